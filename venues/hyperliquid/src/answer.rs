//! What the venue answers to an order that was placed, as a report.

use omnivenue_core::model::number::Quantity;
use omnivenue_core::model::order::{OrderReport, OrderStatus};
use omnivenue_core::model::signal::OrderType;
use omnivenue_core::venue::{Operation, Prepared, VenueError};

use crate::account::HyperliquidAccount;
use crate::action::{Cloid, OrderRef};
use crate::errors::{self, Scope};
use crate::intent::is_immediate;
use crate::rest::Purpose;
use crate::{convert, wire};

/// What became of the first of `count` orders that were placed in one request: one answer each, in their order. The others, which travel with
/// it, are not told of here.
///
/// # Errors
/// The venue's refusal of the order; an unreadable answer, with an unknown effect.
pub(crate) async fn of_order(
    account: &HyperliquidAccount,
    order: &Prepared,
    statuses: Vec<wire::ItemStatus>,
    count: usize,
) -> Result<OrderReport, VenueError> {
    let unreadable = |why: String| account.client().unreadable(Operation::Place, why);
    let first = first_of(&statuses, count).ok_or_else(|| unreadable(format!("{count} orders were answered {} times", statuses.len())))?;
    let (oid, status, filled) = match first {
        wire::ItemStatus::Resting { oid } => (*oid, OrderStatus::Open, Quantity::ZERO),
        wire::ItemStatus::Filled { oid, total_sz, .. } => {
            let filled = convert::quantity(total_sz).map_err(|error| unreadable(error.to_string()))?;
            (*oid, filled_status(order, filled), filled)
        }
        wire::ItemStatus::Error(words) => {
            let error = account.client().said(words, Scope::Item, Operation::Place);
            return unmatched(account, order, error).await;
        }
        wire::ItemStatus::WaitingForTrigger | wire::ItemStatus::WaitingForFill => return unnumbered(account, order).await,
        wire::ItemStatus::Success => return Err(unreadable("an order was answered as a cancel".into())),
    };
    account.memory().named(oid, Cloid::of(order.client_order_id()).ok().as_ref());
    Ok(OrderReport {
        client_order_id: order.client_order_id().clone(),
        venue_order_id: convert::venue_order_id(oid),
        symbol: order.request().symbol.clone(),
        status,
        filled_quantity: filled,
        fills: Vec::new(),
        position_id: None,
        at: account.client().now(),
    })
}

/// The answer to the first of the orders. A fault that the text of one of them shows is answered once, for all. Source: "Error responses", read
/// 2026-11.
fn first_of(statuses: &[wire::ItemStatus], count: usize) -> Option<&wire::ItemStatus> {
    match statuses {
        [error @ wire::ItemStatus::Error(_)] => Some(error),
        [first, ..] if statuses.len() == count => Some(first),
        _ => None,
    }
}

fn filled_status(order: &Prepared, filled: Quantity) -> OrderStatus {
    let request = order.request();
    match request.order {
        _ if filled >= request.quantity => OrderStatus::Filled,
        OrderType::Market => OrderStatus::Canceled,
        _ if is_immediate(request) => OrderStatus::Expired,
        _ => OrderStatus::Open,
    }
}

/// An order that could not match at once has a number and an end of its own at the venue: that is what is reported, where it can be had.
async fn unmatched(account: &HyperliquidAccount, order: &Prepared, error: VenueError) -> Result<OrderReport, VenueError> {
    if error.code.as_deref() != Some(errors::NO_MATCH) {
        return Err(error);
    }
    match ask(account, order).await {
        Some(state) => match convert::report(&state, Vec::new(), true) {
            Ok(report) if report.status == OrderStatus::Expired && report.filled_quantity.is_zero() => Ok(report),
            _ => Err(error),
        },
        None => Err(error),
    }
}

/// An order that waits is answered without its number: it is asked for. Found or not, the venue has it, so that nothing is refused here.
async fn unnumbered(account: &HyperliquidAccount, order: &Prepared) -> Result<OrderReport, VenueError> {
    let unreadable = |why: String| account.client().unreadable(Operation::Place, why);
    let state = ask(account, order).await.ok_or_else(|| unreadable("it waits at the venue, which does not tell its number now".into()))?;
    convert::report(&state, Vec::new(), false).map_err(|error| unreadable(error.to_string()))
}

async fn ask(account: &HyperliquidAccount, order: &Prepared) -> Option<wire::OrderState> {
    let cloid = Cloid::of(order.client_order_id()).ok()?;
    let asked = account.client().order_status(account.user(), &OrderRef::Cloid(cloid), Purpose::read(Operation::Place)).await;
    let Ok(wire::OrderStatus::Order { mut order }) = asked else { return None };
    account.complete_order(&mut order.order);
    Some(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_error_for_many_is_the_first_ones() {
        let error = || wire::ItemStatus::Error("Order has invalid price.".into());
        let resting = || wire::ItemStatus::Resting { oid: 1 };
        let waits = || wire::ItemStatus::WaitingForFill;
        let check = |statuses: &[wire::ItemStatus], count: usize, expected: Option<wire::ItemStatus>| {
            assert_eq!(first_of(statuses, count).cloned(), expected, "{statuses:?} of {count}");
        };
        check(&[resting()], 1, Some(resting()));
        check(&[resting(), waits(), error()], 3, Some(resting()));
        check(&[error(), error()], 2, Some(error()));
        check(&[error()], 3, Some(error()));
        // What is missing is not made up: the effect is unknown.
        check(&[resting()], 3, None);
        check(&[resting(), waits()], 1, None);
        check(&[], 1, None);
    }
}
