//! The risk checks every order passes, and the proof of having passed.
//!
//! Check and reservation are one step: the executor asks the gates and books the reserve they grant before it looks at anything else, so
//! that no two signals are ever checked against the same room. [`Cleared`] is then made from the reserve that is held, right before
//! the order is prepared.

mod age;
mod assets;
mod breaker;
mod capital;
mod collar;
mod concentration;
mod confidence;
mod cooldown;
mod direction;
mod enabled;
mod equity;
mod fit;
mod holder;
mod hours;
mod interest;
mod latch;
mod leverage;
mod liquidation;
mod loss;
mod notional;
mod one;
mod open;
mod rate;
mod reward;
mod risk;
mod spread;
mod stale;
mod user;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use rust_decimal::Decimal;

pub(crate) use self::fit::{Fitted, fit_entry};
pub use self::holder::Holder;
pub(crate) use self::user::apply as apply_rulings;
pub use self::user::{Ruling, UserGate, UserGateError, UserQuestion, UserVerdict};
use crate::executor::{AccountShare, AgentSetup, Book, DeploymentSetup, LegRecord, LossStandings, Now, OnExcess, Setup};
use crate::journal::{ExecutionNumber, OrderPlan, Reserve, Terms};
use crate::ledger::PositionKey;
use crate::model::execution::Reason;
use crate::model::ids::{AccountId, AgentId, DeploymentId, VenueId, VenueSymbol};
use crate::model::instrument::{Instrument, Market, Side};
use crate::model::number::{Factor, Fraction, Leverage, Notional, Price, Quantity, SignedQuantity, exact};
use crate::model::order::{AttachedExit, OrderRequest, Purpose};
use crate::model::signal::{Direction, Signal};
use crate::model::time::format_duration;
use crate::venue::Quote;

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

/// A quote, and when it was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The quote.
    pub quote: Quote,
    /// When it came in, by the monotonic clock.
    pub heard_at: u64,
}

impl Deref for Heard {
    type Target = Quote;

    fn deref(&self) -> &Quote {
        &self.quote
    }
}

/// The latest quotes, by venue and instrument.
pub type Quotes = BTreeMap<(VenueId, VenueSymbol), Heard>;

/// An entry that asks to be let through, with everything a gate may look at.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The signal.
    pub signal: &'a Signal,
    /// The execution that its legs are.
    pub execution: ExecutionNumber,
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
    /// The price at which it counts: of a sale the best one, since that makes the larger position.
    pub reserve_price: Price,
    /// The quote it was sized by.
    pub quote: &'a Heard,
    /// The account's leverage for it.
    pub leverage: Leverage,
    /// How large it would be with another leverage, as the signal asks to be sized.
    pub resize: Resize<'a>,
    /// What it would hold back.
    pub reserve: Reserve,
}

/// How large an entry would be with another leverage.
#[derive(Clone, Copy)]
pub struct Resize<'a>(pub &'a dyn Fn(Leverage) -> Result<Quantity, Reason>);

impl std::fmt::Debug for Resize<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resize")
    }
}

impl Candidate<'_> {
    /// The account.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.share.account
    }

    /// The direction of what it opens.
    const fn direction(&self) -> Direction {
        if self.side.is_buy() { Direction::Long } else { Direction::Short }
    }

    /// Whether it opens anything: on spot a sale only gives away what is held.
    fn opens(&self) -> bool {
        self.side.is_buy() || self.instrument.market != Market::Spot
    }

    /// What its settlement currency is worth in the currency of the limits.
    fn rate(&self, view: View<'_>) -> Result<Factor, Reason> {
        let settle = &self.terms.settle;
        view.setup.rates.get(settle).copied().ok_or_else(|| {
            Reason::new("no_rate", format!("the configuration states no rate for {settle} (risk.rates), so that no limit can count it"))
        })
    }

    /// The whole lots of which all together count no more than `room`, at the price that is reserved and with the rate of their currency.
    fn within(&self, room: Notional, rate: Factor) -> Quantity {
        let lot = self.instrument.worth_at_most(self.instrument.lot_size, self.reserve_price).and_then(|worth| worth.times(rate));
        lot.map_or(Quantity::ZERO, |lot| self.instrument.lots(room.decimal(), lot.decimal()))
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
    /// The latest quotes.
    pub quotes: &'a Quotes,
    /// The present.
    pub now: Now,
    /// Whose limits the candidate must keep; the gates' caller fills it.
    pub holders: &'a [Holder<'a>],
}

impl View<'_> {
    fn mark(&self, venue: &VenueId, symbol: &VenueSymbol) -> Option<Price> {
        self.marks.get(&(venue.clone(), symbol.clone())).copied()
    }
}

/// What a gate says of a candidate it does not refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass as it is.
    Pass,
    /// It may pass if it is made smaller. What is made of it is asked of every gate again.
    Shrink(Shrink),
}

/// How small a candidate must become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrink {
    /// The most of it that may pass.
    pub most: Most,
    /// Why, as if it were refused.
    pub reason: Reason,
}

/// The most of a candidate that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Most {
    /// This much; it is rounded down to whole lots, and refused where that is below the venue's smallest order.
    Quantity(Quantity),
    /// This leverage.
    Leverage(Leverage),
}

/// One risk check: refuses with a stable code and a sentence that has the numbers in it (what was asked, the limit, what is there already), or
/// says what may pass. Object-safe; must not depend on anything but its arguments, and must pass what it has shrunk. Must cost no more than
/// O(instruments and accounts in the scope of its limits + log n), n being all that is open or was: it stands between every signal and its orders.
pub trait Gate: Send + Sync {
    /// Its name, which begins the codes it refuses with.
    fn name(&self) -> &'static str;

    /// Checks one candidate.
    ///
    /// # Errors
    /// The reason for which the entry is refused.
    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason>;
}

/// The built-in gates, in the order in which they are asked: what stops everything first, then what the signal and the market are, then how
/// much there is already, money last. One whose limit is set nowhere costs a few comparisons.
const BUILT_IN: [&dyn Gate; 26] = [
    &latch::Latch,
    &enabled::Enabled,
    &breaker::CircuitBreaker,
    &loss::LossLimit,
    &loss::Depeg,
    &hours::Hours,
    &confidence::MinConfidence,
    &age::SignalAge,
    &assets::AllowedAssets,
    &interest::Interest,
    &stale::StalePrice,
    &spread::MaxSpread,
    &collar::PriceCollar,
    &reward::RewardToRisk,
    &rate::OrderRate,
    &cooldown::Cooldown,
    &one::OnePosition,
    &open::MaxOpenPositions,
    &leverage::MaxLeverage,
    &leverage::LeverageConflict,
    &liquidation::LiquidationDistance,
    &direction::SameDirection,
    &risk::RiskPerTrade,
    &notional::MaxNotional,
    &concentration::Concentration,
    &capital::AvailableCapital,
];

/// Refuses what is too large, or says how much of it may pass where the holder of the limit wants that.
fn excess(holder: &Holder<'_>, reason: Reason, most: impl FnOnce() -> Most) -> Result<Verdict, Reason> {
    match holder.limits.on_excess {
        OnExcess::Refuse => Err(reason),
        OnExcess::Shrink => Ok(Verdict::Shrink(Shrink { most: most(), reason })),
    }
}

/// Decimals that are kept where a limit is derived from other numbers; what is beyond is rounded toward caution.
const KEPT: u32 = 12;

fn rounded_up(value: Decimal) -> Decimal {
    value.round_dp_with_strategy(KEPT, rust_decimal::RoundingStrategy::ToPositiveInfinity).normalize()
}

fn rounded_down(value: Decimal) -> Decimal {
    value.round_dp_with_strategy(KEPT, rust_decimal::RoundingStrategy::ToNegativeInfinity).normalize()
}

/// A length of time for people, rounded up to milliseconds.
fn shown_up(length: Duration) -> String {
    let millis = length.as_micros().div_ceil(1_000);
    format_duration(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
}

/// A product that must fit.
fn product(a: Decimal, b: Decimal) -> Result<Decimal, Reason> {
    exact::mul(a, b).ok_or_else(|| Reason::new("overflow", format!("{a} × {b} has more digits than can be kept exactly")))
}

/// One and a fraction, or one less a fraction.
fn beyond_one(fraction: Fraction, more: bool) -> Decimal {
    let one = Decimal::ONE;
    if more { one.saturating_add(fraction.decimal()) } else { one.saturating_sub(fraction.decimal()) }
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

/// The same of an entry: on spot, selling what is held takes no capital.
///
/// # Errors
/// An amount that does not fit.
pub(crate) fn entry_reserve(
    instrument: &Instrument,
    side: Side,
    quantity: Quantity,
    price: Price,
    leverage: Leverage,
) -> Result<Reserve, Reason> {
    let reserve = reserve(instrument, quantity, price, leverage)?;
    let gives = instrument.market == Market::Spot && !side.is_buy();
    Ok(if gives { Reserve { capital: Notional::ZERO, ..reserve } } else { reserve })
}
