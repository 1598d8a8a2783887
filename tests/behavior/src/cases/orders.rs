//! What orders do: rest, trade, end.

use std::sync::Arc;

use omnivenue_core::model::instrument::Side::{Buy, Sell};
use omnivenue_core::model::number::{Price, Quantity};
use omnivenue_core::model::order::{OrderReport, OrderStatus};
use omnivenue_core::model::signal::TimeInForce;
use omnivenue_core::venue::{Effect, ErrorKind};
use rust_decimal::Decimal;

use super::refused::refused;
use crate::case::{Case, Failed, Verdict, cases, expect};
use crate::desk::Wish;
use crate::stage::Stage;

pub(super) fn cases() -> Vec<Case> {
    cases![
        an_order_that_filled_is_found_by_every_way_of_asking,
        an_order_that_rests_is_found_by_every_way_of_asking,
        a_limit_order_rests_until_it_is_canceled,
        canceling_twice_reports_how_it_stands,
        canceling_what_has_filled_reports_how_it_stands,
        canceling_an_order_that_never_was_says_that_it_is_not_found,
        a_market_order_fills_within_its_worst_price,
        a_market_order_whose_worst_price_is_not_reached_takes_nothing,
        a_limit_order_that_is_reached_trades_at_its_price_or_better,
        what_rests_fills_when_the_price_comes_to_it,
        immediate_or_cancel_never_rests,
        immediate_or_cancel_takes_what_is_there,
        post_only_never_takes,
        post_only_rests_where_it_does_not_reach,
        reduce_only_never_turns_a_position [ReduceOnly, Net],
        closing_leaves_nothing [Net],
        what_is_held_can_be_sold [Holdings],
        a_short_position_is_one [Net],
    ]
}

async fn an_order_that_filled_is_found_by_every_way_of_asking(stage: Arc<Stage>) -> Verdict {
    let (order, _) = stage.placed(stage.market(Buy).await?).await?;
    let found = stage.found(&order).await?;
    let true_one = stage.one(&order).await?;
    expect(found.status == OrderStatus::Filled && true_one.status == OrderStatus::Filled, || format!("that it filled, but {found:?}"))?;
    expect(found.venue_order_id == true_one.venue_order_id, || format!("order {}, but {found:?}", true_one.venue_order_id))?;
    let snapshot = stage.account().snapshot(None).await?;
    let listed = snapshot.orders.iter().find(|report| report.client_order_id == *order.client_order_id());
    expect(listed.is_some_and(|report| report.status == OrderStatus::Filled), || {
        format!("it among the snapshot's orders, but {listed:?}")
    })?;
    let mine: Vec<_> = snapshot.fills.iter().filter(|fill| fill.venue_order_id == found.venue_order_id).cloned().collect();
    expect(mine == found.fills, || format!("the same trades by probe and snapshot, but {:?} and {mine:?}", found.fills))?;
    let named = mine.iter().all(|fill| fill.client_order_id.as_ref().is_none_or(|id| id == order.client_order_id()));
    expect(named, || format!("trades that name no other order, but {mine:?}"))
}

async fn an_order_that_rests_is_found_by_every_way_of_asking(stage: Arc<Stage>) -> Verdict {
    let (order, answer) = stage.placed(stage.resting().await?).await?;
    expect(answer.status == OrderStatus::Open, || format!("that it is open, but {answer:?}"))?;
    let found = stage.found(&order).await?;
    expect(found.status == OrderStatus::Open && found.venue_order_id == answer.venue_order_id, || format!("{answer:?}, but {found:?}"))?;
    // What rests is listed however recent the changes are that are asked for.
    let now = stage.account().snapshot(None).await?.at;
    for since in [None, Some(now.after(std::time::Duration::from_secs(3600)))] {
        let snapshot = stage.account().snapshot(since).await?;
        let listed = snapshot.orders.iter().filter(|report| report.client_order_id == *order.client_order_id()).count();
        expect(listed == 1, || format!("it once in the snapshot since {since:?}, but {listed} times"))?;
    }
    Ok(())
}

async fn a_limit_order_rests_until_it_is_canceled(stage: Arc<Stage>) -> Verdict {
    let wish = stage.resting().await?;
    let (order, _) = stage.placed(wish).await?;
    stage.move_price(98).await?;
    let rests = stage.one(&order).await?;
    expect(rests.status == OrderStatus::Open && rests.price == wish.worst_price, || format!("{wish:?} rests, but {rests:?}"))?;
    let report = stage.account().cancel(&stage.instrument.symbol, order.client_order_id()).await?;
    expect(report.status == OrderStatus::Canceled && report.filled_quantity.is_zero(), || format!("canceled, but {report:?}"))?;
    expect(stage.one(&order).await?.status == OrderStatus::Canceled, || "canceled in the venue's books".into())?;
    // What is canceled trades no more, whatever the price does.
    stage.move_price(70).await?;
    expect(stage.found(&order).await?.status == OrderStatus::Canceled, || "that it stays canceled".into())?;
    expect(stage.truth().await?.fills.is_empty(), || "that nothing traded".into())
}

async fn canceling_twice_reports_how_it_stands(stage: Arc<Stage>) -> Verdict {
    let (order, _) = stage.placed(stage.resting().await?).await?;
    for round in ["first", "second"] {
        let report = stage.account().cancel(&stage.instrument.symbol, order.client_order_id()).await?;
        expect(report.status == OrderStatus::Canceled, || format!("canceled at the {round} time, but {report:?}"))?;
        expect(report.client_order_id == *order.client_order_id(), || format!("a report on {}", order.client_order_id()))?;
    }
    Ok(())
}

async fn canceling_what_has_filled_reports_how_it_stands(stage: Arc<Stage>) -> Verdict {
    let (order, _) = stage.placed(stage.market(Buy).await?).await?;
    let report = stage.account().cancel(&stage.instrument.symbol, order.client_order_id()).await?;
    expect(report.status == OrderStatus::Filled && report.filled_quantity == order.request().quantity, || format!("filled, but {report:?}"))
}

async fn canceling_an_order_that_never_was_says_that_it_is_not_found(stage: Arc<Stage>) -> Verdict {
    let (resting, _) = stage.placed(stage.resting().await?).await?;
    let never = stage.order(stage.resting().await?).await?;
    match stage.account().cancel(&stage.instrument.symbol, never.client_order_id()).await {
        Ok(report) => return Err(Failed::Expected(format!("an error, but {report:?}"))),
        // Whether it may yet arrive is another question, which a probe answers.
        Err(error) => expect(error.kind == ErrorKind::NotFound && error.effect != Effect::NotSent, || {
            format!("not found, but {error} ({:?}, {:?})", error.kind, error.effect)
        })?,
    }
    expect(stage.one(&resting).await?.status == OrderStatus::Open, || "that the other order still rests".into())
}

fn within(report: &OrderReport, wish: &Wish) -> Verdict {
    let worse = |price: Price| if wish.side.is_buy() { price > wish.worst_price } else { price < wish.worst_price };
    expect(!report.fills.iter().any(|fill| worse(fill.price)), || format!("no trade beyond {}, but {:?}", wish.worst_price, report.fills))
}

async fn a_market_order_fills_within_its_worst_price(stage: Arc<Stage>) -> Verdict {
    let wish = stage.market(Buy).await?;
    let (order, answer) = stage.placed(wish).await?;
    expect(answer.status == OrderStatus::Filled, || format!("that it fills, but {answer:?}"))?;
    let report = stage.found(&order).await?;
    expect(report.filled_quantity == wish.quantity && !report.fills.is_empty(), || format!("all of {}, but {report:?}", wish.quantity))?;
    within(&report, &wish)?;
    let fills_of = |report: &OrderReport| report.fills.iter().all(|fill| fill.side == Buy && fill.symbol == stage.instrument.symbol);
    expect(fills_of(&report), || format!("purchases of {}, but {:?}", stage.instrument.symbol, report.fills))
}

async fn a_market_order_whose_worst_price_is_not_reached_takes_nothing(stage: Arc<Stage>) -> Verdict {
    let wish = stage.market(Buy).await?;
    let order = stage.order(wish).await?;
    // It is on its way when the price leaves it behind.
    stage.move_price(110).await?;
    ends_without_trade(&stage, &order, "beyond its worst price").await
}

/// Placed, an order ends at once and trades nothing: refused, or accepted and ended.
async fn ends_without_trade(
    stage: &Stage,
    order: &omnivenue_core::journal::Journaled<omnivenue_core::venue::Prepared>,
    why: &str,
) -> Verdict {
    match stage.place(order).await {
        Ok(report) => {
            let ended = report.status.is_final() && report.status != OrderStatus::Filled && report.filled_quantity.is_zero();
            expect(ended, || format!("that it ends {why}, but {report:?}"))?;
        }
        Err(Some(error)) => refused(&error)?,
        Err(None) => return Err(Failed::Expected("an answer".into())),
    }
    let truth = stage.truth().await?;
    let rests = truth.named(order.client_order_id()).iter().any(|order| !order.status.is_final());
    expect(!rests && truth.fills.is_empty(), || format!("neither a trade nor an open order in the venue's books, but {truth:?}"))
}

async fn a_limit_order_that_is_reached_trades_at_its_price_or_better(stage: Arc<Stage>) -> Verdict {
    let wish = stage.limit(Buy, 103, TimeInForce::Gtc, false).await?;
    let (order, _) = stage.placed(wish).await?;
    let report = stage.found(&order).await?;
    expect(report.status == OrderStatus::Filled, || format!("that it fills, but {report:?}"))?;
    within(&report, &wish)
}

async fn what_rests_fills_when_the_price_comes_to_it(stage: Arc<Stage>) -> Verdict {
    let wish = stage.resting().await?;
    let (order, _) = stage.placed(wish).await?;
    stage.move_price(85).await?;
    let filled = async || stage.one(&order).await.is_ok_and(|order| order.status == OrderStatus::Filled);
    stage.until("it fills in the venue's books", filled).await?;
    let report = stage.found(&order).await?;
    expect(report.status == OrderStatus::Filled && report.filled_quantity == wish.quantity, || format!("filled, but {report:?}"))?;
    within(&report, &wish)
}

async fn immediate_or_cancel_never_rests(stage: Arc<Stage>) -> Verdict {
    let order = stage.order(stage.limit(Buy, 90, TimeInForce::Ioc, false).await?).await?;
    ends_without_trade(&stage, &order, "at once").await
}

async fn immediate_or_cancel_takes_what_is_there(stage: Arc<Stage>) -> Verdict {
    let wish = stage.limit(Buy, 103, TimeInForce::Ioc, false).await?;
    let (order, _) = stage.placed(wish).await?;
    let report = stage.found(&order).await?;
    expect(report.status == OrderStatus::Filled, || format!("that it fills, but {report:?}"))?;
    within(&report, &wish)
}

async fn post_only_never_takes(stage: Arc<Stage>) -> Verdict {
    let order = stage.order(stage.limit(Buy, 103, TimeInForce::Gtc, true).await?).await?;
    ends_without_trade(&stage, &order, "rather than take").await
}

async fn post_only_rests_where_it_does_not_reach(stage: Arc<Stage>) -> Verdict {
    let (order, _) = stage.placed(stage.limit(Buy, 90, TimeInForce::Gtc, true).await?).await?;
    expect(stage.one(&order).await?.status == OrderStatus::Open, || "that it rests".into())
}

/// Buys at the market, and tells the desk what came of it.
async fn bought(stage: &Stage, percent: u32) -> Verdict<OrderReport> {
    let mut wish = stage.market(Buy).await?;
    wish.quantity = stage.worth(60 * percent / 100).await?;
    let (order, _) = stage.placed(wish).await?;
    let report = stage.found(&order).await?;
    stage.desk.learn(stage.id(), report.clone()).await;
    Ok(report)
}

/// An order that closes what the desk holds.
async fn closing(stage: &Stage) -> Verdict<omnivenue_core::journal::Journaled<omnivenue_core::venue::Prepared>> {
    let worst = stage.percent(stage.quote().await?.bid, 95);
    let order = stage.desk.close(stage.id(), worst).await;
    order.map_err(|why| Failed::Expected(format!("an order that closes, but {}: {}", why.code, why.reason)))
}

async fn reduce_only_never_turns_a_position(stage: Arc<Stage>) -> Verdict {
    let ours = bought(&stage, 200).await?;
    // Someone else sells half of it: what closes all of ours would turn the position.
    let half = Wish { quantity: stage.worth(60).await?, ..stage.market(Sell).await? };
    let sold = stage.foreign.entry(stage.id(), half).await.map_err(|why| Failed::Expected(why.reason))?;
    stage.account().place(&sold).await?;
    let order = closing(&stage).await?;
    expect(order.request().reduce_only && order.request().quantity == ours.filled_quantity, || format!("{:?}", order.request()))?;
    let answer = stage.place(&order).await;
    if let Err(Some(error)) = &answer {
        refused(error)?;
    }
    let position = stage.truth().await?.positions.get(&stage.instrument.symbol).copied().unwrap_or_default();
    expect(!position.is_short(), || format!("no short position, but {position}"))?;
    let traded = if answer.is_ok() { stage.found(&order).await?.filled_quantity } else { Quantity::ZERO };
    let left = ours.filled_quantity.minus(half.quantity).and_then(|left| left.minus(traded)).unwrap_or_default();
    expect(position.magnitude() == left, || format!("that {left} is left, but {position}"))
}

async fn closing_leaves_nothing(stage: Arc<Stage>) -> Verdict {
    bought(&stage, 100).await?;
    let order = closing(&stage).await?;
    stage.account().place(&order).await?;
    stage.found(&order).await?;
    let snapshot = stage.account().snapshot(None).await?;
    expect(snapshot.positions.is_empty(), || format!("no position, but {:?}", snapshot.positions))?;
    expect(stage.truth().await?.positions.is_empty(), || "no position in the venue's books".into())
}

async fn what_is_held_can_be_sold(stage: Arc<Stage>) -> Verdict {
    let before = stage.truth().await?.balances;
    let held = |balances: &std::collections::BTreeMap<_, omnivenue_core::model::number::Amount>| {
        balances.get(&stage.instrument.base).copied().unwrap_or_default()
    };
    bought(&stage, 100).await?;
    let order = closing(&stage).await?;
    stage.account().place(&order).await?;
    let sold = stage.found(&order).await?;
    expect(sold.status == OrderStatus::Filled && sold.fills.iter().all(|fill| fill.side == Sell), || format!("a sale, but {sold:?}"))?;
    let after = stage.truth().await?.balances;
    let kept = held(&after).minus(held(&before)).map_err(|error| error.to_string())?;
    // A fee in base leaves less than a lot.
    let dust = kept.decimal() >= Decimal::ZERO && kept.decimal() < stage.instrument.lot_size.decimal();
    expect(dust, || format!("that less than a lot is left of what was bought, but {kept}"))
}

async fn a_short_position_is_one(stage: Arc<Stage>) -> Verdict {
    let wish = stage.market(Sell).await?;
    let (order, _) = stage.placed(wish).await?;
    within(&stage.found(&order).await?, &wish)?;
    let snapshot = stage.account().snapshot(None).await?;
    let short = snapshot.positions.iter().any(|position| position.quantity == wish.quantity.signed(false));
    expect(short, || format!("a short position of {}, but {:?}", wish.quantity, snapshot.positions))
}
