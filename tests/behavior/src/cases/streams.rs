//! What an account's stream tells, twice, late or never; and that with the snapshot nothing is missing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::model::ids::TradeId;
use omnivenue_core::model::instrument::Side::Buy;
use omnivenue_core::model::order::{FillReport, OrderReport, OrderStatus};

use crate::case::{Case, Failed, Verdict, cases, expect};
use crate::ear::Ear;
use crate::stage::{PATIENCE, Stage};
use crate::subject::Fault;

pub(super) fn cases() -> Vec<Case> {
    cases![
        trades_on_the_stream_and_in_the_snapshot_are_the_same,
        an_order_that_rests_and_is_canceled_is_told_on_the_stream,
        a_trade_that_is_told_twice_is_one,
        a_trade_that_is_told_late_is_the_one_of_the_snapshot,
        a_trade_that_the_stream_never_tells_is_in_the_snapshot,
        a_stream_that_breaks_says_so_and_nothing_is_missed,
        a_stream_ends_when_nobody_listens,
        someone_elses_orders_are_told_and_are_not_ours,
    ]
}

/// The trades of reports, each once; the same trade told twice must be told the same.
fn trades<'r>(reports: impl IntoIterator<Item = &'r OrderReport>) -> Verdict<BTreeMap<TradeId, FillReport>> {
    merged(reports.into_iter().flat_map(|report| &report.fills))
}

fn merged<'f>(fills: impl IntoIterator<Item = &'f FillReport>) -> Verdict<BTreeMap<TradeId, FillReport>> {
    let mut trades: BTreeMap<TradeId, FillReport> = BTreeMap::new();
    for fill in fills {
        let known = trades.entry(fill.trade_id.clone()).or_insert_with(|| fill.clone());
        let same = (known.price, known.quantity, &known.fee, &known.venue_order_id)
            == (fill.price, fill.quantity, &fill.fee, &fill.venue_order_id);
        expect(same, || format!("one trade of a name, but {known:?} and {fill:?}"))?;
    }
    Ok(trades)
}

/// Buys twice at the market.
async fn trade(stage: &Stage) -> Verdict {
    for _ in 0..2 {
        stage.placed(stage.market(Buy).await?).await?;
    }
    Ok(())
}

/// All trades of the truth, by the names that the snapshot gives them: as many, and the same ones.
async fn expect_all(stage: &Stage, told: &BTreeMap<TradeId, FillReport>) -> Verdict {
    let snapshot = stage.account().snapshot(None).await?;
    let listed = merged(&snapshot.fills)?;
    let keys = |trades: &BTreeMap<TradeId, FillReport>| trades.keys().cloned().collect::<Vec<_>>();
    expect(keys(told) == keys(&listed), || format!("the trades {:?}, but {:?}", keys(&listed), keys(told)))?;
    for (name, fill) in told {
        let other = &listed[name];
        let same = (fill.price, fill.quantity, &fill.fee, fill.side) == (other.price, other.quantity, &other.fee, other.side);
        expect(same, || format!("{other:?} on the stream too, but {fill:?}"))?;
    }
    let truth = stage.truth().await?;
    expect(truth.fills.len() == listed.len(), || format!("{} trades as in the venue's books, but {}", truth.fills.len(), listed.len()))
}

fn filled(heard: &[OrderReport], count: usize) -> bool {
    trades(heard).is_ok_and(|trades| trades.len() >= count)
}

async fn trades_on_the_stream_and_in_the_snapshot_are_the_same(stage: Arc<Stage>) -> Verdict {
    let mut ear = stage.listen().await?;
    trade(&stage).await?;
    ear.hear_until("two trades", 2 * PATIENCE, |heard| filled(heard, 2)).await?;
    expect_all(&stage, &trades(ear.heard())?).await
}

async fn an_order_that_rests_and_is_canceled_is_told_on_the_stream(stage: Arc<Stage>) -> Verdict {
    let mut ear = stage.listen().await?;
    let (order, _) = stage.placed(stage.resting().await?).await?;
    let told = |heard: &[OrderReport], status| {
        heard.iter().any(|report| report.client_order_id == *order.client_order_id() && report.status == status)
    };
    ear.hear_until("that it is open", 2 * PATIENCE, |heard| told(heard, OrderStatus::Open)).await?;
    stage.account().cancel(&stage.instrument.symbol, order.client_order_id()).await?;
    ear.hear_until("that it is canceled", 2 * PATIENCE, |heard| told(heard, OrderStatus::Canceled)).await
}

async fn a_trade_that_is_told_twice_is_one(stage: Arc<Stage>) -> Verdict {
    let mut ear = stage.listen().await?;
    stage.strike(Fault::Duplicate).await?;
    trade(&stage).await?;
    ear.hear_until("two trades", 2 * PATIENCE, |heard| filled(heard, 2)).await?;
    ear.hear_for(Duration::from_millis(300)).await;
    expect_all(&stage, &trades(ear.heard())?).await
}

async fn a_trade_that_is_told_late_is_the_one_of_the_snapshot(stage: Arc<Stage>) -> Verdict {
    let mut ear = stage.listen().await?;
    stage.strike(Fault::Late).await?;
    let order = stage.order(stage.market(Buy).await?).await?;
    // The answer may say as much or as little as it likes.
    let answer = stage.place(&order).await;
    expect(answer.is_ok(), || format!("an answer, but {answer:?}"))?;
    let patience = stage.world.lateness() + 2 * PATIENCE;
    ear.hear_until("the trade, late", patience, |heard| filled(heard, 1)).await?;
    expect_all(&stage, &trades(ear.heard())?).await?;
    expect(stage.found(&order).await?.status == OrderStatus::Filled, || "that it filled".into())
}

async fn a_trade_that_the_stream_never_tells_is_in_the_snapshot(stage: Arc<Stage>) -> Verdict {
    let mut ear = stage.listen().await?;
    stage.strike(Fault::Missing).await?;
    let order = stage.order(stage.market(Buy).await?).await?;
    let _silence_may_be_part_of_it = stage.place(&order).await;
    ear.hear_for(Duration::from_millis(300)).await;
    let snapshot = stage.account().snapshot(None).await?;
    let mut all = trades(ear.heard())?;
    all.extend(merged(&snapshot.fills)?);
    expect(all.len() == 1, || format!("one trade by stream and snapshot together, but {all:?}"))?;
    expect_all(&stage, &all).await
}

async fn a_stream_that_breaks_says_so_and_nothing_is_missed(stage: Arc<Stage>) -> Verdict {
    let mut ear = stage.listen().await?;
    let since = stage.account().snapshot(None).await?.at;
    stage.placed(stage.market(Buy).await?).await?;
    ear.hear_until("the first trade", 2 * PATIENCE, |heard| filled(heard, 1)).await?;
    stage.world.cut_streams().await?;
    // While it breaks, or nobody listens any more, one order fills and another begins to rest.
    stage.placed(stage.market(Buy).await?).await?;
    let ended = ear.ended().await?;
    expect(ended.is_err(), || "that a stream which breaks ends with an error: its caller must take a snapshot".into())?;
    let (resting, _) = stage.placed(stage.resting().await?).await?;
    let mut again = stage.listen().await?;
    stage.placed(stage.market(Buy).await?).await?;
    again.hear_until("the third trade", 2 * PATIENCE, |heard| filled(heard, 1)).await?;
    let snapshot = stage.account().snapshot(Some(since)).await?;
    let mut all = trades(ear.heard().iter().chain(again.heard()))?;
    all.extend(merged(&snapshot.fills)?);
    expect(all.len() == 3, || format!("three trades by streams and snapshot together, but {all:?}"))?;
    expect_all(&stage, &all).await?;
    let listed = snapshot.orders.iter().any(|report| report.client_order_id == *resting.client_order_id());
    expect(listed, || "the order that rests in the snapshot".into())
}

async fn a_stream_ends_when_nobody_listens(stage: Arc<Stage>) -> Verdict {
    let ear = stage.listen().await?;
    let knock = async {
        // A stream sees that nobody listens at the latest when it has something to tell.
        tokio::time::sleep(Duration::from_millis(50)).await;
        stage.placed(stage.market(Buy).await?).await
    };
    let (ended, placed) = tokio::join!(ear.hang_up(), knock);
    placed?;
    let ended = ended?;
    expect(ended.is_ok(), || format!("that it ends well, but {ended:?}"))
}

async fn someone_elses_orders_are_told_and_are_not_ours(stage: Arc<Stage>) -> Verdict {
    let mut ear: Ear = stage.listen().await?;
    let theirs = stage.foreign.entry(stage.id(), stage.market(Buy).await?).await.map_err(|why| Failed::Expected(why.reason))?;
    stage.account().place(&theirs).await?;
    ear.hear_until("someone else's trade", 2 * PATIENCE, |heard| filled(heard, 1)).await?;
    let report = ear.heard().iter().find(|report| report.client_order_id == *theirs.client_order_id());
    expect(report.is_some(), || format!("a report on {}, but {:?}", theirs.client_order_id(), ear.heard()))?;
    let snapshot = stage.account().snapshot(None).await?;
    let listed = snapshot.orders.iter().any(|report| report.client_order_id == *theirs.client_order_id());
    expect(listed && snapshot.fills.len() == 1, || format!("it and its trade in the snapshot, but {snapshot:?}"))?;
    let claimed = snapshot.orders.iter().any(|report| stage.desk.is_ours(report.client_order_id.as_str()));
    expect(!claimed, || "that none of them has a name of ours".into())
}
