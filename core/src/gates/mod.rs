//! The risk checks every order passes, and the proof of having passed.
//!
//! Check and reservation are one step: the executor asks the gates and books the reserve they grant before it looks at anything else, so
//! that no two signals are ever checked against the same room. [`Cleared`] is then made from the reserve that is held, right before
//! the order is prepared.

mod assets;
mod breaker;
mod capital;
mod enabled;
mod interest;
mod latch;
mod loss;
mod notional;
mod user;

use std::collections::BTreeMap;

pub(crate) use self::user::apply as apply_rulings;
pub use self::user::{Ruling, UserGate, UserGateError, UserQuestion, UserVerdict};
use crate::executor::{AccountShare, AgentSetup, Book, DeploymentSetup, LegRecord, LossStandings, Setup};
use crate::journal::{OrderPlan, Reserve, Terms};
use crate::ledger::PositionKey;
use crate::model::execution::Reason;
use crate::model::ids::{AccountId, AgentId, DeploymentId, VenueId, VenueSymbol};
use crate::model::instrument::{Instrument, Side};
use crate::model::number::{Leverage, Price, Quantity, SignedQuantity};
use crate::model::order::{AttachedExit, OrderRequest, Purpose};

/// Proof that the gates have passed what it holds. Made by [`crate::gates`], and by nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared<T>(T);

impl<T> Cleared<T> {
    /// What was cleared.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// What was cleared, by value: only an account takes it, to prepare it.
    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

/// The latest prices, by venue and instrument.
pub type Marks = BTreeMap<(VenueId, VenueSymbol), Price>;

/// An entry that asks to be let through, with everything a gate may look at.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Whose signal it is.
    pub agent: &'a AgentId,
    /// What the configuration says of the agent.
    pub agent_setup: &'a AgentSetup,
    /// Where it is carried out.
    pub deployment: &'a DeploymentId,
    /// What the configuration says of the deployment.
    pub deployment_setup: &'a DeploymentSetup,
    /// The deployment's share of the account.
    pub share: &'a AccountShare,
    /// Whether it stands in for an account in an emergency.
    pub stands_in: bool,
    /// The venue.
    pub venue: &'a VenueId,
    /// The instrument.
    pub instrument: &'a Instrument,
    /// What the ledger knows of it.
    pub terms: &'a Terms,
    /// Buy or sell.
    pub side: Side,
    /// In the units of the instrument's quantity.
    pub quantity: Quantity,
    /// The worst price admitted.
    pub worst_price: Price,
    /// The account's leverage for it.
    pub leverage: Leverage,
    /// What it would hold back.
    pub reserve: Reserve,
}

impl Candidate<'_> {
    /// The account.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.share.account
    }

    fn position_key(&self) -> PositionKey {
        PositionKey { deployment: self.deployment.clone(), account: self.account().clone(), symbol: self.instrument.symbol.clone() }
    }
}

/// What a gate may look at beside the candidate.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The configuration.
    pub setup: &'a Setup,
    /// The state.
    pub book: &'a Book,
    /// The latest prices.
    pub marks: &'a Marks,
    /// How losses stand.
    pub losses: &'a LossStandings,
}

/// One risk check. Passes, or says why not with a stable code and a sentence that has the numbers in it. Object-safe; must not depend on
/// anything but its arguments.
pub trait Gate: Send + Sync {
    /// Its name, which begins the codes it refuses with.
    fn name(&self) -> &'static str;

    /// Checks one candidate.
    ///
    /// # Errors
    /// The reason for which the entry is refused.
    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<(), Reason>;
}

/// The built-in gates, in the order in which they are asked: what stops everything first, money last.
const BUILT_IN: [&dyn Gate; 9] = [
    &latch::Latch,
    &enabled::Enabled,
    &breaker::CircuitBreaker,
    &loss::LossLimit,
    &loss::Depeg,
    &interest::Interest,
    &assets::AllowedAssets,
    &notional::MaxNotional,
    &capital::AvailableCapital,
];

/// Asks every gate. The caller books the candidate's reserve before it asks about another one.
///
/// # Errors
/// The first refusal.
pub(crate) fn check_entry(candidate: &Candidate<'_>, view: View<'_>) -> Result<(), Reason> {
    BUILT_IN.iter().try_for_each(|gate| gate.check(candidate, view))
}

/// Clears the order of a leg that holds its reserve, and the exits that travel with it, which can only reduce.
///
/// # Errors
/// The reason why the leg may not go out now.
pub(crate) fn clear_entry(book: &Book, leg: &LegRecord, attached: Vec<AttachedExit>) -> Result<Cleared<OrderRequest>, Reason> {
    let no_order = || Reason::new("no_order", "the leg has no order to send");
    let order = leg.plan.order.as_ref().ok_or_else(no_order)?;
    may_leave(book, leg)?;
    let needs = order.terms.worth(order.quantity, order.worst_price).map_err(overflow)?;
    if needs > order.reserve.notional || (leg.held.notional.is_zero() && !needs.is_zero()) {
        return Err(Reason::new(
            "not_reserved",
            format!("the order may cost {needs} {}, but {} is held back for it", order.terms.settle, leg.held.notional),
        ));
    }
    let request = leg.plan.request(Purpose::Entry).ok_or_else(no_order)?;
    let attached = if attached.is_empty() { request.attached } else { attached };
    Ok(Cleared(OrderRequest { attached, ..request }))
}

/// Whether an entry may still leave: asked when it is cleared, and once more right before it is sent. A venue that became degraded meanwhile
/// does not stop it; an emergency does.
///
/// # Errors
/// The latch or the emergency that holds it.
pub(crate) fn may_leave(book: &Book, leg: &LegRecord) -> Result<(), Reason> {
    let asset = leg.plan.order.as_ref().map(|order| &order.terms.asset);
    latch::check(book, &leg.plan.agent, &leg.plan.account, &leg.plan.venue, asset)?;
    breaker::may_leave(book, leg)?;
    loss::may_leave(book, leg)
}

/// Clears the order that closes a position: our share of it, or what is not ours where that was asked for, but no more than was asked and no
/// more than the venue still holds, one at a time per account and instrument. No latch stops it.
///
/// # Errors
/// The reason why there is nothing to send.
pub(crate) fn clear_close(setup: &Setup, book: &Book, leg: &LegRecord, worst_price: Price) -> Result<Cleared<OrderRequest>, Reason> {
    let (Some(symbol), Some(order)) = (&leg.plan.symbol, &leg.plan.order) else {
        return Err(Reason::new("no_order", "the leg has no order to send"));
    };
    let venue = setup.venues.get(&leg.plan.venue);
    let instrument = venue.and_then(|venue| venue.instruments.get(symbol)).ok_or_else(|| unknown_instrument(symbol))?;
    let (share, reducible) = share_to_close(book, leg, symbol, order)?;
    // What the venue has said to have traded counts, whether its trades were told or not.
    let traded = leg.orders.iter().try_fold(Quantity::ZERO, |sum, order| sum.plus(order.filled.quantity.max(order.reported)));
    let traded = traded.map_err(overflow)?;
    let left = order.quantity.minus(traded.min(order.quantity)).map_err(overflow)?;
    let quantity = instrument.floor_quantity(share.min(left).min(reducible));
    if quantity.is_zero() {
        let whose = if order.external { "what is not ours" } else { "our share" };
        let held = book.ledger().venue_quantity(&leg.plan.account, symbol).map_err(overflow)?;
        return Err(Reason::new("nothing_to_close", format!("{whose} is {share}, {left} is asked for, the venue holds {held}")));
    }
    let request = leg.plan.request(Purpose::Close).ok_or_else(|| Reason::new("no_order", "the leg has no order to send"))?;
    // There is nothing to reduce on spot: balances are sold like any other.
    let reduce_only = instrument.market.is_margined() && venue.is_some_and(|venue| venue.capabilities.orders.reduce_only);
    Ok(Cleared(OrderRequest { quantity, worst_price, reduce_only, ..request }))
}

/// How much a leg that closes may close of what is held: its share as booked, and what of it the venue holds too.
fn share_to_close(book: &Book, leg: &LegRecord, symbol: &VenueSymbol, order: &OrderPlan) -> Result<(Quantity, Quantity), Reason> {
    let nothing = |words: &str| Reason::new("nothing_to_close", words);
    let turned = |held: SignedQuantity| held.is_long() == order.side.is_buy();
    let ledger = book.ledger();
    if order.external {
        let held = ledger.external_quantity(&leg.plan.account, symbol).unwrap_or_default();
        if held.is_zero() || turned(held) {
            return Err(nothing("nothing is left there that is not ours"));
        }
        return Ok((held.magnitude(), ledger.reducible_external(&leg.plan.account, symbol).map_err(overflow)?));
    }
    let key = PositionKey { deployment: leg.plan.deployment.clone(), account: leg.plan.account.clone(), symbol: symbol.clone() };
    let position = ledger.position(&key).ok_or_else(|| nothing("the position is closed already"))?;
    if turned(position.quantity()) {
        return Err(nothing("the position has turned to the other side"));
    }
    let share = match &order.closes {
        Some(signal) => position.share_of(signal).map_err(overflow)?,
        None => position.quantity().magnitude(),
    };
    Ok((share, ledger.reducible(&key).map_err(overflow)?))
}

/// Clears an order that waits at the venue for its trigger: what is left of the signal it protects, and never more than the venue holds. No
/// latch stops it: it can only reduce.
///
/// # Errors
/// The reason why there is nothing to send.
pub(crate) fn clear_protect(setup: &Setup, book: &Book, leg: &LegRecord) -> Result<Cleared<OrderRequest>, Reason> {
    let (Some(symbol), Some(order)) = (&leg.plan.symbol, &leg.plan.order) else {
        return Err(Reason::new("no_order", "the leg has no order to send"));
    };
    let venue = setup.venues.get(&leg.plan.venue);
    let instrument = venue.and_then(|venue| venue.instruments.get(symbol)).ok_or_else(|| unknown_instrument(symbol))?;
    let reduces = instrument.market.is_margined() && venue.is_some_and(|venue| venue.capabilities.orders.reduce_only);
    if !reduces || order.trigger.is_none() {
        return Err(Reason::new("no_venue_stop", format!("{symbol} has no reduce-only orders with a trigger")));
    }
    let key = PositionKey { deployment: leg.plan.deployment.clone(), account: leg.plan.account.clone(), symbol: symbol.clone() };
    let nothing = || Reason::new("nothing_to_close", "the position is closed already");
    let position = book.ledger().position(&key).ok_or_else(nothing)?;
    if position.quantity().is_long() == order.side.is_buy() {
        return Err(nothing());
    }
    let share = match &order.closes {
        Some(signal) => position.share_of(signal).map_err(overflow)?,
        None => position.quantity().magnitude(),
    };
    let quantity = instrument.floor_quantity(share.min(order.quantity));
    if quantity.is_zero() {
        return Err(nothing());
    }
    let request = leg.plan.request(Purpose::Protect).ok_or_else(nothing)?;
    Ok(Cleared(OrderRequest { quantity, reduce_only: true, ..request }))
}

fn unknown_instrument(symbol: &VenueSymbol) -> Reason {
    Reason::new("no_instrument", format!("the venue no longer lists {symbol}"))
}

/// An amount that cannot be kept exactly is refused, never rounded.
pub(crate) fn overflow(error: crate::model::number::NumberError) -> Reason {
    Reason::new("overflow", error.to_string())
}

/// What an entry holds back: what it may be worth at the price at which that is most ([`Instrument::dearer`]), in however many trades it
/// fills, and margin plus fee there; all in the settlement currency.
///
/// # Errors
/// An amount that does not fit.
pub(crate) fn reserve(instrument: &Instrument, quantity: Quantity, price: Price, leverage: Leverage) -> Result<Reserve, Reason> {
    let notional = instrument.worth_at_most(quantity, price).map_err(overflow)?;
    let fee = instrument.fee_at_most(quantity, price).map_err(overflow)?;
    let capital = notional.margin(leverage).and_then(|margin| margin.plus(fee)).map_err(overflow)?;
    Ok(Reserve { notional, capital })
}
