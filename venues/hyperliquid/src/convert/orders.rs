//! What the engine asks for, as the venue takes it.

use omnivenue_core::model::exit::{ExitKind, Trigger};
use omnivenue_core::model::ids::ClientOrderId;
use omnivenue_core::model::instrument::{Instrument, Market, Side};
use omnivenue_core::model::number::{Price, Quantity};
use omnivenue_core::model::order::{AttachedExit, OrderRequest};
use omnivenue_core::model::signal::{OrderType, TimeInForce};
use omnivenue_core::venue::Ticket;
use rust_decimal::Decimal;

use super::{Listing, wire_number};
use crate::action::{self, Action, Cloid, OrderKind, Tif, Tpsl};

/// Why a request has no order at this venue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The venue has no such orders.
    #[error("{0}")]
    Unsupported(String),
    /// A rule of the venue is broken.
    #[error("{0}")]
    Invalid(String),
}

use OrderError::{Invalid, Unsupported};

/// All that a request puts into one action: its order, and the exits that travel with it. They share one nonce, so that all of them arrive or
/// none does.
///
/// # Errors
/// [`OrderError`] says what the venue does not have, or which rule is broken.
pub fn action(request: &OrderRequest, ticket: &Ticket, listing: &Listing) -> Result<Action, OrderError> {
    let first = order(request, ticket, listing)?;
    if request.attached.is_empty() {
        return Ok(Action::orders(vec![first]));
    }
    if listing.instrument.market == Market::Spot {
        return Err(no_triggers_on_spot());
    }
    if request.reduce_only || request.trigger.is_some() {
        return Err(Unsupported("only an entry can have exits that travel with it".into()));
    }
    let mut names = vec![&ticket.client_order_id];
    let mut kinds = Vec::new();
    for exit in &request.attached {
        if names.contains(&&exit.client_order_id) || kinds.contains(&exit.trigger.kind) {
            return Err(Invalid("an entry has at most one exit of each kind, each under a name of its own".into()));
        }
        names.push(&exit.client_order_id);
        kinds.push(exit.trigger.kind);
    }
    let exits = request.attached.iter().map(|exit| attached(request, exit).order(listing)).collect::<Result<_, _>>()?;
    Ok(Action::bracket(first, exits))
}

/// The order of a request, without what travels with it. A market order is an immediate-or-cancel limit at the worst price admitted. Its price
/// is rounded to the price rule, never for the worse; prices of triggers come rounded, and quantities are not rounded: what does not fit is
/// refused.
///
/// # Errors
/// [`OrderError`] says what the venue does not have, or which rule is broken.
pub fn order(request: &OrderRequest, ticket: &Ticket, listing: &Listing) -> Result<action::Order, OrderError> {
    let instrument = &listing.instrument;
    if let Some(trigger) = request.trigger {
        return waiting(request, trigger, &ticket.client_order_id).and_then(|waiting| waiting.order(listing));
    }
    let (price, tif) = match request.order {
        OrderType::Market => (request.worst_price, Tif::Ioc),
        OrderType::Limit { time_in_force: TimeInForce::Fok, .. } => {
            return Err(Unsupported("hyperliquid has no fill-or-kill orders; use ioc".into()));
        }
        OrderType::Limit { price, time_in_force: TimeInForce::Gtc, post_only: true } => (price, Tif::Alo),
        OrderType::Limit { post_only: true, .. } => {
            return Err(Unsupported("a post-only order rests until it is filled or canceled; use gtc".into()));
        }
        OrderType::Limit { price, time_in_force: TimeInForce::Gtc, .. } => (price, Tif::Gtc),
        OrderType::Limit { price, time_in_force: TimeInForce::Ioc, .. } => (price, Tif::Ioc),
    };
    // The worst price binds whatever else is asked for.
    let price = if request.side.is_buy() { price.min(request.worst_price) } else { price.max(request.worst_price) };
    let price = instrument
        .limit_price(price, request.side)
        .ok_or_else(|| Invalid(format!("price {price} has no valid price of {} at or inside it", instrument.symbol)))?;
    if request.reduce_only && instrument.market == Market::Spot {
        return Err(Unsupported("spot has no reduce-only orders".into()));
    }
    Ok(action::Order {
        asset: listing.asset,
        is_buy: request.side.is_buy(),
        price: digits(price.decimal())?,
        size: size(instrument, request.quantity)?,
        reduce_only: request.reduce_only,
        kind: OrderKind::Limit { tif },
        cloid: Some(name(&ticket.client_order_id)?),
    })
}

/// An order that sleeps until its trigger and then reduces at the market.
struct Waiting<'a> {
    name: &'a ClientOrderId,
    side: Side,
    quantity: Quantity,
    trigger: Trigger,
    worst_price: Price,
}

fn no_triggers_on_spot() -> OrderError {
    Unsupported("spot has no reduce-only orders, and so no exits that wait at the venue".into())
}

fn waiting<'a>(request: &OrderRequest, trigger: Trigger, name: &'a ClientOrderId) -> Result<Waiting<'a>, OrderError> {
    if request.market == Market::Spot {
        return Err(no_triggers_on_spot());
    }
    if request.order != OrderType::Market {
        return Err(Unsupported("an order that waits for a trigger trades at the market here".into()));
    }
    if !request.reduce_only {
        return Err(Unsupported("an order that waits for a trigger only reduces here".into()));
    }
    Ok(Waiting { name, side: request.side, quantity: request.quantity, trigger, worst_price: request.worst_price })
}

/// An exit that travels with an entry closes all of it.
fn attached<'a>(entry: &OrderRequest, exit: &'a AttachedExit) -> Waiting<'a> {
    Waiting {
        name: &exit.client_order_id,
        side: entry.side.opposite(),
        quantity: entry.quantity,
        trigger: exit.trigger,
        worst_price: exit.worst_price,
    }
}

impl Waiting<'_> {
    fn order(&self, listing: &Listing) -> Result<action::Order, OrderError> {
        let (instrument, trigger, worst) = (&listing.instrument, self.trigger.price, self.worst_price);
        if instrument.market == Market::Spot {
            return Err(no_triggers_on_spot());
        }
        for (what, price) in [("trigger price", trigger), ("worst price", worst)] {
            if !instrument.price_rule.allows(price) {
                return Err(Invalid(format!("{what} {price} is no valid price of {}", instrument.symbol)));
            }
        }
        // The venue refuses such a stop, and a take profit like that would wake and not trade. Source: nautilus_trader issue 3611, read 2026-11.
        let beyond = if self.side.is_buy() { worst < trigger } else { worst > trigger };
        if beyond {
            return Err(Invalid(format!("worst price {worst} is short of trigger price {trigger}: it could not trade when it wakes")));
        }
        let tpsl = match self.trigger.kind {
            ExitKind::StopLoss => Tpsl::Sl,
            ExitKind::TakeProfit => Tpsl::Tp,
        };
        let (trigger, worst) = (digits(trigger.decimal())?, digits(worst.decimal())?);
        let size = size(instrument, self.quantity)?;
        Ok(action::Order::trigger(listing.asset, self.side.is_buy(), &size, &trigger, &worst, tpsl).named(name(self.name)?))
    }
}

fn digits(number: Decimal) -> Result<String, OrderError> {
    wire_number(number).ok_or_else(|| Invalid(format!("{number} has more than 8 decimals")))
}

fn size(instrument: &Instrument, quantity: Quantity) -> Result<String, OrderError> {
    if instrument.floor_quantity(quantity) != quantity || quantity.is_zero() {
        return Err(Invalid(format!("quantity {quantity} is not a whole number of lots of {}", instrument.lot_size)));
    }
    digits(quantity.decimal())
}

fn name(id: &ClientOrderId) -> Result<Cloid, OrderError> {
    Cloid::of(id).map_err(|error| Invalid(error.to_string()))
}
