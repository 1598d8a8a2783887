//! Orders: what is asked of a venue, what became of it, and what a venue reports.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::contract::{Contract, MoneyRounding};
use super::exit::Trigger;
use super::ids::{AccountId, Asset, ClientOrderId, PositionId, TradeId, VenueOrderId, VenueSymbol};
use super::instrument::{Market, Side};
use super::movement::FillCause;
use super::number::{Amount, Leverage, NumberError, Price, Quantity, SignedQuantity, exact};
use super::signal::OrderType;
use super::time::Timestamp;

/// Why an order is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Opens or adds to a position, on a signal.
    Entry,
    /// Reduces a position.
    Close,
    /// Waits at the venue for its trigger, and then reduces a position.
    Protect,
}

/// An order as the engine means it, before any gate has seen it. Anyone may make one; only a gate can clear it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderRequest {
    /// The account that trades.
    pub account: AccountId,
    /// The instrument, by the venue's name.
    pub symbol: VenueSymbol,
    /// Its market.
    pub market: Market,
    /// Buy or sell.
    pub side: Side,
    /// How much, in base units of the instrument.
    pub quantity: Quantity,
    /// Market or limit.
    pub order: OrderType,
    /// The worst price admitted: the order never fills beyond it.
    pub worst_price: Price,
    /// The leverage the account uses for this instrument.
    pub leverage: Leverage,
    /// Why it is sent.
    pub purpose: Purpose,
    /// Whether the venue is asked to only reduce (where it can).
    pub reduce_only: bool,
    /// What wakes it, where it waits at the venue; then it trades at the market, no worse than `worst_price`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// Exits that travel with an entry, in the same request: the venue arms them when it fills. Only where
    /// [`ExitCapabilities::attached`](crate::venue::ExitCapabilities) says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<AttachedExit>,
}

/// An exit that travels with an entry: an order of its own, reduce-only, of the entry's quantity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttachedExit {
    /// Our name of it.
    pub client_order_id: ClientOrderId,
    /// What wakes it.
    pub trigger: Trigger,
    /// The worst price admitted once it is awake.
    pub worst_price: Price,
}

/// What is owed for a trade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fee {
    /// What the fee is paid in.
    pub asset: Asset,
    /// How much; negative is a rebate.
    pub amount: Amount,
}

/// One trade of an order, as a venue reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FillReport {
    /// The venue's name of the trade: the same trade reported twice has the same one.
    pub trade_id: TradeId,
    /// The order it belongs to, by our name, where the venue says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_order_id: Option<ClientOrderId>,
    /// The order it belongs to, by the venue's name.
    pub venue_order_id: VenueOrderId,
    /// The instrument.
    pub symbol: VenueSymbol,
    /// Buy or sell.
    pub side: Side,
    /// The price paid.
    pub price: Price,
    /// How much was traded, in base units.
    pub quantity: Quantity,
    /// What it cost.
    pub fee: Fee,
    /// When it traded, by the venue's clock.
    pub at: Timestamp,
    /// Why the venue traded by itself, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<FillCause>,
}

/// The venue's word on an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// It rests, wholly or in part.
    Open,
    /// All of it traded.
    Filled,
    /// What had not traded was canceled, by us or by the venue.
    Canceled,
    /// What had not traded ended by its own time in force.
    Expired,
}

impl OrderStatus {
    /// Whether nothing more of it can trade.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Open)
    }
}

/// An order as a venue reports it: an acknowledgement, an update, or the answer to a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderReport {
    /// Our name of the order.
    pub client_order_id: ClientOrderId,
    /// The venue's name of it.
    pub venue_order_id: VenueOrderId,
    /// The instrument.
    pub symbol: VenueSymbol,
    /// How it stands.
    pub status: OrderStatus,
    /// How much of it traded so far, in base units.
    pub filled_quantity: Quantity,
    /// The trades the venue told of with it; not always all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fills: Vec<FillReport>,
    /// The venue's name of the position, where it has several per instrument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_id: Option<PositionId>,
    /// By the venue's clock.
    pub at: Timestamp,
}

/// A position as the venue sees it: one per instrument and account on a netting venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetPosition {
    /// The instrument.
    pub symbol: VenueSymbol,
    /// Positive is long.
    pub quantity: SignedQuantity,
    /// What it cost, in the settlement currency: positive when paid (long), negative when received (short); of an inverse contract the other way
    /// round ([`Contract::value`]). Absent where the venue does not say.
    pub cost: Option<Amount>,
}

/// The settled balance of one currency on an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Balance {
    /// The currency.
    pub asset: Asset,
    /// Settled: deposits, plus realized PnL, less fees.
    pub total: Amount,
}

/// Why an order is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DoneReason {
    /// All of it traded.
    Filled,
    /// Canceled, by us or by the venue.
    Canceled,
    /// Its time in force ended.
    Expired,
    /// The venue refused it.
    Rejected,
    /// It never left this machine.
    NotSent,
    /// The venue's evidence says that it never took effect and never can.
    Absent,
    /// Prepared, but retired before it was sent.
    Superseded,
    /// A person settled it.
    Resolved,
}

/// What is known of one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum OrderState {
    /// Its intent is written down; from the journal alone it cannot be told whether it left.
    Sent,
    /// It may have taken effect. Only evidence ends this.
    Unknown {
        /// What was tried and what happened.
        why: String,
        /// Since when.
        since: Timestamp,
    },
    /// The venue has it.
    Open {
        /// The venue's name of it.
        venue_order_id: VenueOrderId,
    },
    /// Nothing more of it can trade, as far as is known.
    Done {
        /// Why.
        reason: DoneReason,
        /// The venue's name of it, if the venue ever had it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        venue_order_id: Option<VenueOrderId>,
    },
}

/// What can happen to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderEvent {
    /// The venue reported on it.
    Reported {
        /// The venue's name of it.
        venue_order_id: VenueOrderId,
        /// How it stands.
        status: OrderStatus,
    },
    /// It may have taken effect.
    BecameUnknown {
        /// What happened.
        why: String,
        /// When.
        at: Timestamp,
    },
    /// It took no effect, or ended without the venue's report.
    Ended(DoneReason),
}

impl OrderState {
    /// What the order is after an event: total, so that late and repeated events have a meaning too.
    ///
    /// - A report beats every belief: a fill after a cancel, a refusal or a person's verdict reopens or completes the order.
    /// - A final report is not undone by an older open one.
    /// - Doubt never undoes knowledge: an order the venue has, or that is done, does not become unknown.
    /// - An end that rests on "it took no effect" never undoes an order the venue has reported.
    #[must_use]
    pub fn after(self, event: OrderEvent) -> Self {
        use OrderEvent as E;
        match (self, event) {
            (Self::Done { reason, venue_order_id: Some(id) }, E::Reported { status: OrderStatus::Open, .. }) => {
                Self::Done { reason, venue_order_id: Some(id) }
            }
            (_, E::Reported { venue_order_id, status }) => match status {
                OrderStatus::Open => Self::Open { venue_order_id },
                OrderStatus::Filled => Self::Done { reason: DoneReason::Filled, venue_order_id: Some(venue_order_id) },
                OrderStatus::Canceled => Self::Done { reason: DoneReason::Canceled, venue_order_id: Some(venue_order_id) },
                OrderStatus::Expired => Self::Done { reason: DoneReason::Expired, venue_order_id: Some(venue_order_id) },
            },
            (Self::Sent, E::BecameUnknown { why, at }) => Self::Unknown { why, since: at },
            (known @ (Self::Unknown { .. } | Self::Open { .. } | Self::Done { .. }), E::BecameUnknown { .. }) => known,
            (Self::Sent | Self::Unknown { .. }, E::Ended(reason)) => Self::Done { reason, venue_order_id: None },
            (known @ (Self::Open { .. } | Self::Done { .. }), E::Ended(_)) => known,
        }
    }

    /// Whether the order may yet trade or may have traded without our knowing.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        !matches!(self, Self::Done { .. })
    }

    /// Whether only evidence can tell what became of it.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

/// What traded under one order, as totals.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Filled {
    /// Sum of the quantities.
    pub quantity: Quantity,
    /// Sum of price × quantity, in quote units; of an inverse contract of quantity ÷ price, to 15 decimals.
    pub notional: Amount,
    /// Whether it is of an inverse contract.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inverse: bool,
    /// Sum of the fees, per asset.
    pub fees: BTreeMap<Asset, Amount>,
}

impl Filled {
    /// The average price, rounded to 12 decimals for people; `None` before the first fill. Of an inverse contract it is the one at which the whole
    /// is worth what the parts were.
    #[must_use]
    pub fn average_price(&self) -> Option<Price> {
        let (notional, quantity) = (self.notional.decimal(), self.quantity.decimal());
        let average = if self.inverse { quantity.checked_div(notional)?.round_dp(8) } else { notional.checked_div(quantity)? };
        Price::new(average.round_dp(12)).ok()
    }

    /// Adds a trade to the totals of prices, or takes it out again.
    pub(crate) fn count(&mut self, fill: &FillReport, contract: &Contract, add: bool) -> Result<(), NumberError> {
        self.inverse |= contract.is_inverse();
        let notional = if self.inverse {
            let quotient = exact::div(fill.quantity.decimal(), fill.price.decimal(), 15, MoneyRounding::Nearest);
            Amount::new(quotient.ok_or(NumberError::Overflow { operation: "quantity ÷ price" })?)?
        } else {
            fill.price.notional(fill.quantity)?.amount()
        };
        if add {
            (self.quantity, self.notional) = (self.quantity.plus(fill.quantity)?, self.notional.plus(notional)?);
        } else {
            (self.quantity, self.notional) = (self.quantity.minus(fill.quantity)?, self.notional.minus(notional)?);
        }
        Ok(())
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Filled => "filled",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(status: OrderStatus) -> OrderEvent {
        OrderEvent::Reported { venue_order_id: "7".parse().unwrap(), status }
    }

    fn unknown() -> OrderEvent {
        OrderEvent::BecameUnknown { why: "timed out".into(), at: Timestamp::EPOCH }
    }

    fn run(events: Vec<OrderEvent>) -> OrderState {
        events.into_iter().fold(OrderState::Sent, OrderState::after)
    }

    fn done(reason: DoneReason, known: bool) -> OrderState {
        OrderState::Done { reason, venue_order_id: known.then(|| "7".parse().unwrap()) }
    }

    #[test]
    fn late_and_repeated_events_have_a_meaning() {
        let check = |events: Vec<OrderEvent>, expected: OrderState| assert_eq!(run(events), expected);
        let open = OrderState::Open { venue_order_id: "7".parse().unwrap() };
        check(vec![reported(OrderStatus::Open), reported(OrderStatus::Open)], open.clone());
        // An acknowledgement after a timeout.
        check(vec![unknown(), reported(OrderStatus::Open)], open.clone());
        // A timeout after an acknowledgement.
        check(vec![reported(OrderStatus::Open), unknown()], open.clone());
        check(vec![reported(OrderStatus::Filled), unknown()], done(DoneReason::Filled, true));
        // An older open report after the final one.
        check(vec![reported(OrderStatus::Filled), reported(OrderStatus::Open)], done(DoneReason::Filled, true));
        // A fill after a cancel, after a refusal, after proven absence, after a person's verdict.
        check(vec![reported(OrderStatus::Canceled), reported(OrderStatus::Filled)], done(DoneReason::Filled, true));
        for reason in [DoneReason::Rejected, DoneReason::Absent, DoneReason::Resolved] {
            check(vec![unknown(), OrderEvent::Ended(reason), reported(OrderStatus::Filled)], done(DoneReason::Filled, true));
            check(vec![OrderEvent::Ended(reason), reported(OrderStatus::Open)], open.clone());
            // A refusal that contradicts the venue's own report.
            check(vec![reported(OrderStatus::Open), OrderEvent::Ended(reason)], open.clone());
        }
        check(vec![unknown(), unknown()], OrderState::Unknown { why: "timed out".into(), since: Timestamp::EPOCH });
        check(vec![OrderEvent::Ended(DoneReason::Superseded)], done(DoneReason::Superseded, false));
    }
}
