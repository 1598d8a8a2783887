//! What became of a signal: the legs, their states, and the shape in which callers see them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exit::TriggerSource;
use super::ids::{AccountId, AgentId, Asset, ClientOrderId, DeploymentId, PositionId, SignalId, VenueId, VenueOrderId, VenueSymbol};
use super::instrument::Market;
use super::number::{Amount, Price, Quantity};
use super::order::Fee;
use super::signal::Direction;
use super::time::Timestamp;

/// How a leg ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All of it traded.
    Filled,
    /// Some of it traded, the rest never will.
    PartiallyFilled,
    /// Canceled before any of it traded.
    Canceled,
    /// Its time ran out before any of it traded.
    Expired,
    /// There was nothing to do on this account.
    Skipped,
    /// A gate of ours refused it.
    Refused,
    /// The venue refused it.
    Rejected,
    /// What traded was closed again because the group did not stand. Its fills, fees and PnL are those of the real trades.
    Unwound,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Filled => "filled",
            Self::PartiallyFilled => "partially_filled",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Unwound => "unwound",
        })
    }
}

/// Why a leg is as it is: a stable code and a sentence a person can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// Stable, in `snake_case`.
    pub code: String,
    /// With the numbers in it.
    pub reason: String,
}

impl Reason {
    /// A reason with its code.
    #[must_use]
    pub fn new(code: &str, reason: impl Into<String>) -> Self {
        Self { code: code.to_owned(), reason: reason.into() }
    }
}

/// The account that a leg stands in for, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StandIn {
    /// The account.
    pub account: AccountId,
    /// Why: `paper_fallback`.
    pub why: Reason,
}

/// How one leg stands; each variant holds what is true only then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LegState {
    /// A person must say yes first. Nothing is reserved for it.
    AwaitingApproval {
        /// When it ends without an answer.
        until: Timestamp,
    },
    /// Decided and reserved; no order of it has been written down yet.
    Planned,
    /// An order of it is written down and on its way.
    Sent,
    /// Its order may have taken effect.
    Unknown {
        /// What was tried and what happened.
        why: String,
        /// Since when.
        since: Timestamp,
    },
    /// The venue has its order, and more of it can trade.
    Working,
    /// Nothing more of it can trade, as far as is known.
    Done {
        /// How it ended.
        outcome: Outcome,
        /// Why, unless it simply filled.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Reason>,
    },
}

/// What can happen to a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegEvent {
    /// A person said yes, and there is an order to send.
    Decided,
    /// The intent of an order was written down.
    Intended,
    /// The venue has its order.
    Opened,
    /// Its order may have taken effect.
    BecameUnknown {
        /// What happened.
        why: String,
        /// When.
        at: Timestamp,
    },
    /// Its order took no effect for certain; another attempt follows.
    Again,
    /// It ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// Why, unless it simply filled.
        why: Option<Reason>,
    },
}

impl LegState {
    /// What the leg is after an event: total. Late truth reopens a done leg; doubt undoes nothing that is known.
    #[must_use]
    pub fn after(self, event: LegEvent) -> Self {
        use LegEvent as E;
        match (self, event) {
            (Self::Planned | Self::Sent | Self::Unknown { .. }, E::Again) => Self::Planned,
            (Self::AwaitingApproval { .. }, E::Decided) => Self::Planned,
            (Self::Planned, E::Intended) => Self::Sent,
            (Self::Sent, E::BecameUnknown { why, at }) => Self::Unknown { why, since: at },
            (_, E::Opened) => Self::Working,
            (_, E::Ended { outcome, why }) => Self::Done { outcome, why },
            (state, E::Decided | E::Intended | E::BecameUnknown { .. } | E::Again) => state,
        }
    }

    /// Whether the leg is done.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }

    /// The name of the state in the published form.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AwaitingApproval { .. } => "awaiting_approval",
            Self::Planned => "planned",
            Self::Sent => "sent",
            Self::Unknown { .. } => "unknown",
            Self::Working => "working",
            Self::Done { .. } => "done",
        }
    }
}

/// How an execution stands as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionStatus {
    /// Every leg is done, and what had to be closed again is flat.
    Done,
    /// Some leg is on its way or rests at a venue, or is closed again because its group failed.
    Working,
    /// Some leg is unknown: only evidence, or a person, ends it.
    Unresolved,
}

/// What protects a position against loss: weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// A stop was asked for and could not be had in time: the position is being closed.
    Failed,
    /// Nothing: no stop was asked for.
    #[default]
    None,
    /// A stop was asked for and is not confirmed yet.
    Pending,
    /// The engine runs it: no stop while the process is down.
    Engine,
    /// It waits at the venue, whatever becomes of the process.
    Venue,
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Failed => "failed",
            Self::None => "none",
            Self::Pending => "pending",
            Self::Engine => "engine",
            Self::Venue => "venue",
        })
    }
}

/// Microseconds from receipt of the signal to each stage; absent where a stage was not reached in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// The instrument was found and the leg was sized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<u64>,
    /// Every gate passed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared: Option<u64>,
    /// The exact request was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<u64>,
    /// The intent was durable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journaled: Option<u64>,
    /// The order was handed to the venue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
    /// The venue answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<u64>,
    /// All of it had traded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled: Option<u64>,
}

impl Timings {
    /// These timings, completed by later ones.
    #[must_use]
    pub fn with(self, later: Self) -> Self {
        Self {
            resolved: later.resolved.or(self.resolved),
            cleared: later.cleared.or(self.cleared),
            prepared: later.prepared.or(self.prepared),
            journaled: later.journaled.or(self.journaled),
            sent: later.sent.or(self.sent),
            acknowledged: later.acknowledged.or(self.acknowledged),
            filled: later.filled.or(self.filled),
        }
    }
}

/// Everything that became of a signal, or of a request to close: what `execute` and `close_positions` return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Execution {
    /// The signal's id, or the id of the request to close.
    pub signal_id: SignalId,
    /// How it stands as a whole.
    pub status: ExecutionStatus,
    /// One leg per deployment and account; for a close, one per position.
    pub legs: Vec<LegReport>,
}

/// One leg as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LegReport {
    /// Where the agent's signal was carried out.
    pub deployment: DeploymentId,
    /// The venue.
    pub venue: VenueId,
    /// The account there.
    pub account: AccountId,
    /// The instrument, by the venue's name; absent when none was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instrument: Option<VenueSymbol>,
    /// Its market, which a signal that asks for `any` does not tell; absent while nothing is ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market: Option<Market>,
    /// What was compared when the account was chosen among several: with routing `best`, what a unit of the asset came to at each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed: Option<String>,
    /// `awaiting_approval`, `planned`, `sent`, `unknown`, `working` or `done`.
    pub state: String,
    /// The account it stands in for: in an emergency entries go to paper instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_in: Option<StandIn>,
    /// How it ended, once done. While a leg is closed again because its group failed it is what it was before, with the code `unwind`;
    /// `unwound` once that is flat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why, as a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why, as a sentence. Of an unknown leg: what was tried, what it blocks, when it is asked again, what a person can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How much was asked of the venue, in base units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// How much of it traded.
    pub filled_quantity: Quantity,
    /// The average price of what traded, to 12 decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_price: Option<Price>,
    /// What it cost.
    pub fees: Vec<Fee>,
    /// Our name of the latest order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_order_id: Option<ClientOrderId>,
    /// The venue's name of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub venue_order_id: Option<VenueOrderId>,
    /// The venue's name of the position, where it has several per instrument.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position_id: Option<PositionId>,
    /// What protects the position.
    pub protection: Protection,
    /// How long each stage took.
    pub timings_us: Timings,
}

/// A virtual position: what one deployment holds of one instrument on one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PositionReport {
    /// Whose it is.
    pub agent: AgentId,
    /// Where it was opened.
    pub deployment: DeploymentId,
    /// The venue.
    pub venue: VenueId,
    /// The account.
    pub account: AccountId,
    /// The instrument, by the venue's name.
    pub instrument: VenueSymbol,
    /// Long or short.
    pub direction: Direction,
    /// How much: of an inverse contract in quote units, of a quanto one in contracts, else in base units.
    pub quantity: Quantity,
    /// Average price of what is held, to 12 decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_price: Option<Price>,
    /// Latest price known; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark_price: Option<Price>,
    /// Gain or loss at that price, in the settlement currency; absent when no price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrealized_pnl: Option<Amount>,
    /// Booked by partial closes, before fees and funding, in the settlement currency.
    pub realized_pnl: Amount,
    /// Funding since it was last flat, in the settlement currency; positive was received.
    #[serde(default)]
    pub funding: Amount,
    /// What gains, losses and funding are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Asset>,
    /// The signals whose fills it is made of, oldest first.
    pub signals: Vec<SignalId>,
    /// What protects the weakest part of it.
    pub protection: Protection,
    /// The exits of each signal in it that asked for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exits: Vec<ExitReport>,
}

/// The exits of what one signal holds in a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExitReport {
    /// The signal.
    pub signal: SignalId,
    /// What protects it.
    pub protection: Protection,
    /// Where the stop is now; absent while none is asked for or active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_price: Option<Price>,
    /// Where the take profit is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_profit_price: Option<Price>,
    /// Which price is compared with the stop.
    pub source: TriggerSource,
}

/// The equity of one deployment on one account in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EquityReport {
    /// The deployment; absent on the line of the account as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentId>,
    /// The account.
    pub account: AccountId,
    /// The currency.
    pub currency: super::ids::Asset,
    /// What the deployment may use; or what the account held when first seen, with deposits and withdrawals since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capital: Option<Amount>,
    /// Booked gains and losses; absent on the line of an account once something that is not ours was closed there, of which the gain or loss
    /// is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realized_pnl: Option<Amount>,
    /// Fees paid.
    pub fees: Amount,
    /// Funding; positive was received.
    #[serde(default)]
    pub funding: Amount,
    /// At the latest prices; absent when one is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrealized_pnl: Option<Amount>,
    /// Margin of what is held.
    pub committed: Amount,
    /// Held back for orders on their way or unknown.
    pub reserved: Amount,
    /// Capital + realized + unrealized − fees + funding; absent when a part is unknown. The line of an account counts all of it, what is not
    /// ours included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equity: Option<Amount>,
    /// The equity in the currency of the limits, at the stated rate; absent when it is unknown or no rate is stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Amount>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_meaning_in_every_state() {
        let ended = |outcome| LegEvent::Ended { outcome, why: None };
        let unknown = || LegEvent::BecameUnknown { why: "cut".into(), at: Timestamp::EPOCH };
        let run = |events: Vec<LegEvent>| events.into_iter().fold(LegState::Planned, LegState::after);
        assert_eq!(run(vec![LegEvent::Intended, LegEvent::Opened, ended(Outcome::Filled)]).name(), "done");
        assert_eq!(run(vec![LegEvent::Intended, unknown()]).name(), "unknown");
        assert_eq!(run(vec![LegEvent::Intended, unknown(), LegEvent::Again]).name(), "planned");
        // Doubt after knowledge changes nothing.
        assert_eq!(run(vec![LegEvent::Intended, LegEvent::Opened, unknown()]).name(), "working");
        assert_eq!(run(vec![LegEvent::Intended, ended(Outcome::Filled), unknown()]).name(), "done");
        // Only what waits for a yes is decided by it.
        let waits = LegState::AwaitingApproval { until: Timestamp::EPOCH };
        assert_eq!(waits.clone().after(LegEvent::Decided).name(), "planned");
        assert_eq!(waits.clone().after(LegEvent::Intended), waits);
        assert_eq!(run(vec![LegEvent::Intended, LegEvent::Decided]).name(), "sent");
        // Late truth reopens.
        assert_eq!(run(vec![LegEvent::Intended, ended(Outcome::Rejected), LegEvent::Opened]).name(), "working");
        let reopened = run(vec![LegEvent::Intended, ended(Outcome::Canceled), ended(Outcome::PartiallyFilled)]);
        assert_eq!(reopened, LegState::Done { outcome: Outcome::PartiallyFilled, why: None });
    }
}
