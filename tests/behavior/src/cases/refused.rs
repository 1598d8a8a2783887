//! Orders that no venue may take, and that leave nothing behind.

use std::sync::Arc;

use omnivenue_core::model::instrument::Market;
use omnivenue_core::model::instrument::Side::{Buy, Sell};
use omnivenue_core::model::number::{Price, Quantity};
use omnivenue_core::model::signal::{OrderType, TimeInForce};
use omnivenue_core::venue::{Effect, ErrorKind, VenueError};
use rust_decimal::Decimal;

use crate::case::{Case, Failed, Verdict, cases, expect};
use crate::desk::Wish;
use crate::stage::Stage;

pub(super) fn cases() -> Vec<Case> {
    cases![
        an_order_below_the_smallest_is_refused_and_leaves_nothing,
        a_price_off_the_tick_is_refused_or_moved_in_our_favor,
        a_quantity_off_the_lot_is_refused_and_leaves_nothing,
        what_cannot_be_paid_is_refused_and_leaves_nothing,
    ]
}

/// An error that says that nothing was done.
pub(super) fn refused(error: &VenueError) -> Verdict {
    expect(matches!(error.effect, Effect::Refused | Effect::NotSent), || {
        format!("that it is refused, but {error} ({:?}, {:?})", error.kind, error.effect)
    })
}

/// Refused by the account or by the venue, an order leaves no trace.
async fn leaves_nothing(stage: &Stage, wish: Wish, kind: Option<ErrorKind>) -> Verdict {
    let before = stage.truth().await?;
    match stage.careless.entry(stage.id(), wish).await {
        // The account would not prepare it: nothing was sent.
        Err(_) => {}
        Ok(order) => match stage.place(&order).await {
            Ok(report) => return Err(Failed::Expected(format!("that {wish:?} is refused, but {report:?}"))),
            Err(None) => return Err(Failed::Expected("an answer".into())),
            Err(Some(error)) => {
                refused(&error)?;
                expect(kind.is_none_or(|kind| error.kind == kind), || format!("{kind:?}, but {error} ({:?})", error.kind))?;
                let open = stage.truth().await?.named(order.client_order_id()).iter().any(|order| !order.status.is_final());
                expect(!open, || "no open order in the venue's books".into())?;
            }
        },
    }
    let after = stage.truth().await?;
    let same = before.fills == after.fills && before.balances == after.balances && before.positions == after.positions;
    expect(same, || format!("that nothing changed, but {before:?} became {after:?}"))
}

async fn an_order_below_the_smallest_is_refused_and_leaves_nothing(stage: Arc<Stage>) -> Verdict {
    let wish = stage.market(Buy).await?;
    let least = stage.instrument.min_notional.decimal();
    let whole = stage.instrument.quantity_for(stage.instrument.min_notional, stage.quote().await?.ask);
    let small = whole.decimal().checked_mul(Decimal::new(5, 1)).and_then(|half| Quantity::new(half).ok()).unwrap_or_default();
    let small = stage.instrument.floor_quantity(small).max(stage.instrument.lot_size);
    let worth = wish.worst_price.notional(small).map_err(|error| error.to_string())?;
    if worth.decimal() >= least {
        return Err(Failed::DoesNotApply("one lot is worth the smallest order".into()));
    }
    leaves_nothing(&stage, Wish { quantity: small, ..wish }, Some(ErrorKind::InvalidRequest)).await
}

async fn a_price_off_the_tick_is_refused_or_moved_in_our_favor(stage: Arc<Stage>) -> Verdict {
    let wish = stage.resting().await?;
    let scale = stage.instrument.money_scale() - stage.instrument.lot_size.decimal().scale() + 1;
    for side in [Buy, Sell] {
        // A sale of what is not held is no order on spot.
        if !side.is_buy() && stage.instrument.market == Market::Spot {
            continue;
        }
        let near = if side.is_buy() { wish.worst_price } else { stage.percent(stage.quote().await?.ask, 110) };
        let price = near.decimal().checked_add(Decimal::new(3, scale)).and_then(|price| Price::new(price).ok());
        let price = price.ok_or_else(|| "a price".to_owned())?;
        expect(!stage.instrument.price_rule.allows(price), || format!("that {price} is off the price rule"))?;
        let order = OrderType::Limit { price, time_in_force: TimeInForce::Gtc, post_only: false };
        let wish = Wish { side, order, worst_price: price, ..wish };
        match stage.careless.entry(stage.id(), wish).await {
            Err(_) => {}
            Ok(order) => match stage.place(&order).await {
                Err(Some(error)) => {
                    refused(&error)?;
                    stage.none(&order).await?;
                }
                Err(None) => return Err(Failed::Expected("an answer".into())),
                Ok(_) => {
                    let taken = stage.one(&order).await?.price;
                    let better = if side.is_buy() { taken <= price } else { taken >= price };
                    let fits = stage.instrument.price_rule.allows(taken);
                    expect(better && fits, || format!("a {side} at {price} or a valid price that is better, but {taken}"))?;
                }
            },
        }
    }
    Ok(())
}

async fn a_quantity_off_the_lot_is_refused_and_leaves_nothing(stage: Arc<Stage>) -> Verdict {
    let wish = stage.market(Buy).await?;
    let part = stage.instrument.lot_size.decimal().checked_mul(Decimal::new(3, 1));
    let quantity = part.and_then(|part| wish.quantity.decimal().checked_add(part)).and_then(|quantity| Quantity::new(quantity).ok());
    let quantity = quantity.ok_or_else(|| "a quantity".to_owned())?;
    leaves_nothing(&stage, Wish { quantity, ..wish }, Some(ErrorKind::InvalidRequest)).await
}

async fn what_cannot_be_paid_is_refused_and_leaves_nothing(stage: Arc<Stage>) -> Verdict {
    let wish = Wish { quantity: stage.worth(5_000_000).await?, ..stage.market(Buy).await? };
    leaves_nothing(&stage, wish, Some(ErrorKind::InsufficientFunds)).await
}
