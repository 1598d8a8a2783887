//! What is written down. The state is the fold of these events, so each holds all that the fold needs: no event's meaning depends
//! on the configuration of the day it is replayed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::executor::ExecutionRecord;
use crate::model::close::{CloseRequest, Lot};
use crate::model::contract::Contract;
use crate::model::execution::{Outcome, Reason, StandIn, Timings};
use crate::model::exit::Trigger;
use crate::model::ids::{AccountId, AdjustmentId, AgentId, Asset, ClientOrderId, DeploymentId, SignalId, VenueId, VenueSymbol};
use crate::model::instrument::{Instrument, Market, Side};
use crate::model::number::{Amount, Factor, Leverage, Notional, NumberError, Price, Quantity, SignedQuantity};
use crate::model::order::{AttachedExit, OrderReport, OrderRequest, Purpose};
use crate::model::signal::{OrderType, Signal};
use crate::model::time::Timestamp;
use crate::venue::{Effect, ErrorKind, VenueError};

use super::adjustment::{Adjustment, Basis};
use super::loss::{Baseline, LimitBroken, LossKind, LossScope};
use crate::gates::Ruling;
use crate::venue::PreparedBody;

/// Numbers executions in the order in which they were admitted, from 1.
pub type ExecutionNumber = u64;

/// One leg of one execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct LegRef {
    /// The execution.
    pub execution: ExecutionNumber,
    /// The leg, counted from 0.
    pub leg: usize,
}

/// What was asked of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// To open what a signal wishes. Its metadata is kept apart.
    Signal(Box<Signal>),
    /// To close positions.
    Close(CloseRequest),
    /// To keep exits of a leg at its venue.
    Protect(Protect),
}

/// The exits of one entry leg that wait at its venue: an execution of its own, with a leg for each order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Protect {
    /// Derived from the leg.
    pub id: SignalId,
    /// The leg whose position they close.
    pub entry: LegRef,
    /// Its signal.
    pub signal: SignalId,
}

impl Command {
    /// The id it is idempotent by.
    #[must_use]
    pub fn id(&self) -> &SignalId {
        match self {
            Self::Signal(signal) => &signal.id,
            Self::Close(close) => &close.id,
            Self::Protect(protect) => &protect.id,
        }
    }
}

/// What the ledger must know of an instrument for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Terms {
    /// Our name of what is traded.
    pub asset: Asset,
    /// The venue's name of it: fees may be paid in it.
    pub base: Asset,
    /// What profit, loss and margin are in.
    pub settle: Asset,
    /// Spot, perpetual or dated.
    pub market: Market,
    /// Decimals that costs are kept to.
    pub money_scale: u32,
    /// How it makes money; linear in what was written before there were others.
    #[serde(default, skip_serializing_if = "Contract::is_linear")]
    pub contract: Contract,
}

impl Terms {
    /// What the ledger must know of this instrument, which trades `asset` in our words.
    #[must_use]
    pub fn of(instrument: &Instrument, asset: Asset) -> Self {
        Self {
            asset,
            base: instrument.base.clone(),
            settle: instrument.settle.clone(),
            market: instrument.market,
            money_scale: instrument.money_scale(),
            contract: instrument.contract,
        }
    }

    /// What a quantity is worth at a price, in the settlement currency.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the result does not fit.
    pub fn worth(&self, quantity: Quantity, price: Price) -> Result<Notional, NumberError> {
        self.contract.worth(quantity, price)
    }

    /// The same with the sign that it counts with: [`Contract::value`].
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the result does not fit.
    pub fn value(&self, quantity: SignedQuantity, price: Price) -> Result<Amount, NumberError> {
        self.contract.value(quantity, price)
    }
}

/// What a leg holds back until it has traded or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Reserve {
    /// What it is worth at the worst price admitted, in the settlement currency: counts in limits.
    pub notional: Notional,
    /// Margin and fee at the worst price admitted, in the settlement currency: counts in capital.
    pub capital: Notional,
}

/// What was decided for one leg: an order to prepare, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LegPlan {
    /// Where the agent's signal is carried out.
    pub deployment: DeploymentId,
    /// Whose it is.
    pub agent: AgentId,
    /// The account.
    pub account: AccountId,
    /// Its venue.
    pub venue: VenueId,
    /// The instrument, where one was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<VenueSymbol>,
    /// The order, unless the leg ended at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderPlan>,
    /// How it ended, if it did at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<(Outcome, Reason)>,
    /// The account it stands in for, if that one's venue or the engine was in emergency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_in: Option<StandIn>,
    /// Until when it waits for a person's yes, if it does: it has no order yet, and holds nothing back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaiting: Option<Timestamp>,
    /// What was compared when the account was chosen among several (routing `best`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed: Option<String>,
    /// How long the decision took.
    #[serde(default)]
    pub timings: Timings,
}

/// The order a leg will prepare, with what it reserves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderPlan {
    /// Buy or sell.
    pub side: Side,
    /// How much at most, in base units. Of a close: what the position's share is; the order takes what the venue still holds.
    pub quantity: Quantity,
    /// Market or limit.
    pub order: OrderType,
    /// The worst price admitted.
    pub worst_price: Price,
    /// The account's leverage for it.
    pub leverage: Leverage,
    /// For the ledger.
    pub terms: Terms,
    /// What it holds back.
    pub reserve: Reserve,
    /// Turns the settlement currency into that of the limits, as stated in the configuration when it was decided.
    pub rate: Factor,
    /// The signal whose lots are closed first, when the request named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes: Option<SignalId>,
    /// What wakes it, where it waits at the venue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// Exits that travel with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<AttachedExit>,
    /// What it reduces is not ours: asked for with `include_external`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub external: bool,
    /// Why it is smaller than the signal asked, or has less leverage: the limit that made it so, and from what to what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<Reason>,
}

impl LegPlan {
    /// The order it means, before any gate has cleared it; `None` when it means none.
    pub(crate) fn request(&self, purpose: Purpose) -> Option<OrderRequest> {
        let (symbol, order) = (self.symbol.clone()?, self.order.as_ref()?);
        Some(OrderRequest {
            account: self.account.clone(),
            symbol,
            market: order.terms.market,
            side: order.side,
            quantity: order.quantity,
            order: order.order,
            worst_price: order.worst_price,
            leverage: order.leverage,
            purpose,
            reduce_only: false,
            trigger: order.trigger,
            attached: order.attached.clone(),
        })
    }
}

/// A command taken: from here on it is the same execution for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Admission {
    /// Its number.
    pub number: ExecutionNumber,
    /// What was asked.
    pub command: Command,
    /// The hash of its canonical body.
    pub body_hash: String,
    /// The hash of the metadata that is kept apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_hash: Option<String>,
    /// When it was received.
    pub received_at: Timestamp,
    /// When no order may be sent for it any more; closes have no such instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// What was decided for each leg.
    pub legs: Vec<LegPlan>,
    /// Where to turn next if a leg comes to nothing (routing `first` and `best`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standby: Vec<(DeploymentId, AccountId)>,
    /// What user gates said of each leg that was thought of; absent where there are no user gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rulings: Option<Vec<Ruling>>,
}

/// The intent of one order: durable before a byte of it leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Intent {
    /// The leg it is for.
    pub leg: LegRef,
    /// Which attempt of that leg, from 0.
    pub attempt: u32,
    /// When it was prepared, by our clock.
    pub at: Timestamp,
    /// The exact request.
    pub(crate) prepared: PreparedBody,
    /// The entry's order in whose request it travels; it is not sent by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub travels_with: Option<ClientOrderId>,
    /// How long it took.
    #[serde(default)]
    pub timings: Timings,
}

impl Intent {
    /// What is asked of the venue.
    #[must_use]
    pub fn request(&self) -> &OrderRequest {
        &self.prepared.request
    }

    /// Our name of the order.
    #[must_use]
    pub fn client_order_id(&self) -> &ClientOrderId {
        &self.prepared.client_order_id
    }
}

/// A failed call, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// Whether it may have happened.
    pub effect: Effect,
    /// The venue's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// In words.
    pub message: String,
}

impl From<&VenueError> for Failure {
    fn from(error: &VenueError) -> Self {
        Self { kind: error.kind, effect: error.effect, code: error.code.clone(), message: error.to_string() }
    }
}

/// A person's verdict on an order whose fate no evidence tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It never took effect.
    Absent,
    /// It traded this much at this price, fees unknown: booked as an adjustment.
    Filled {
        /// In base units.
        quantity: Quantity,
        /// The average price.
        price: Price,
    },
}

/// What the kill switch stops.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KillScope {
    /// Everything.
    All,
    /// One agent.
    Agent(AgentId),
    /// One account.
    Account(AccountId),
    /// One venue.
    Venue(VenueId),
    /// One asset.
    Asset(Asset),
}

impl KillScope {
    /// Whether it holds what this agent does in this asset on this account of this venue.
    #[must_use]
    pub fn holds(&self, agent: Option<&AgentId>, account: &AccountId, venue: &VenueId, asset: Option<&Asset>) -> bool {
        match self {
            Self::All => true,
            Self::Agent(held) => agent == Some(held),
            Self::Account(held) => held == account,
            Self::Venue(held) => held == venue,
            Self::Asset(held) => asset == Some(held),
        }
    }
}

impl std::fmt::Display for KillScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Agent(id) => write!(f, "agent {id}"),
            Self::Account(id) => write!(f, "account {id}"),
            Self::Venue(id) => write!(f, "venue {id}"),
            Self::Asset(id) => write!(f, "asset {id}"),
        }
    }
}

/// What the kill switch does beside keeping entries from leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KillMode {
    /// Nothing: what rests at the venues goes on.
    #[default]
    Pause,
    /// Entries that rest are canceled; protective orders stay.
    Cancel,
    /// That, and every position is closed; stops go only once flat is confirmed.
    Flatten,
}

impl std::fmt::Display for KillMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Pause => "pause",
            Self::Cancel => "cancel",
            Self::Flatten => "flatten",
        })
    }
}

/// How a venue, or the engine as a whole, is allowed to trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// As configured.
    #[default]
    Normal,
    /// Exits only.
    Degraded,
    /// Exits only, and entries may go to paper.
    Emergency,
}

impl std::fmt::Display for BreakerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Normal => "normal",
            Self::Degraded => "degraded",
            Self::Emergency => "emergency",
        })
    }
}

/// What happened, in the order in which it was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "events are made one at a time and live shortly")]
pub enum Event {
    /// The engine opened the journal.
    Started {
        /// The version of the software.
        version: String,
        /// The tag that begins our client order ids, for ever.
        namespace: String,
    },
    /// A command was taken.
    Admitted(Admission),
    /// A further leg of an execution was decided.
    LegPlanned {
        /// The execution.
        execution: ExecutionNumber,
        /// What was decided.
        plan: LegPlan,
    },
    /// A leg ended without a further order.
    LegEnded {
        /// The leg.
        leg: LegRef,
        /// How.
        outcome: Outcome,
        /// Why.
        why: Reason,
    },
    /// An order's intent; see [`Intent`].
    Prepared(Intent),
    /// The venue reported on an order.
    Reported {
        /// What it said; of the fills, only those not known before.
        report: OrderReport,
        /// How long it took.
        #[serde(default)]
        timings: Timings,
    },
    /// An execution that was no longer at hand came back, because more became known of it.
    Recalled(#[schemars(with = "serde_json::Value")] Box<ExecutionRecord>),
    /// An order may have taken effect.
    BecameUnknown {
        /// The order.
        order: ClientOrderId,
        /// What happened.
        why: String,
        /// When.
        at: Timestamp,
        /// How long it took.
        #[serde(default)]
        timings: Timings,
    },
    /// An order took no effect: it never left, or the venue refused it.
    Failed {
        /// The order.
        order: ClientOrderId,
        /// What happened.
        failure: Failure,
        /// Whether another attempt follows.
        again: bool,
        /// How long it took.
        #[serde(default)]
        timings: Timings,
    },
    /// The venue's evidence says that an order never took effect and never can.
    ProvedAbsent {
        /// The order.
        order: ClientOrderId,
        /// What was asked and answered.
        evidence: String,
        /// Whether another attempt follows.
        again: bool,
    },
    /// A prepared order was retired before it was sent.
    Superseded {
        /// The order.
        order: ClientOrderId,
        /// Why.
        why: Reason,
        /// Whether another attempt follows.
        again: bool,
    },
    /// A person settled an unknown order.
    Resolved {
        /// The order.
        order: ClientOrderId,
        /// The verdict.
        verdict: Verdict,
        /// Why, in the person's words.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// The kill switch was thrown.
    Killed {
        /// What it stops.
        scope: KillScope,
        /// What it does beside.
        #[serde(default)]
        mode: KillMode,
        /// Why.
        reason: String,
        /// When.
        #[serde(default)]
        at: Timestamp,
    },
    /// The kill switch was lifted.
    Resumed {
        /// What it stopped.
        scope: KillScope,
        /// Why.
        reason: String,
    },
    /// Entries on an account were halted because its truth and ours differ.
    Halted {
        /// The account.
        account: AccountId,
        /// Why.
        why: Reason,
    },
    /// A person lifted the halt.
    Unhalted {
        /// The account.
        account: AccountId,
        /// Why.
        reason: String,
    },
    /// What an account held in a currency when it was first seen.
    Funded {
        /// The account.
        account: AccountId,
        /// The currency.
        asset: Asset,
        /// The balance.
        amount: Amount,
    },
    /// What an account holds of an instrument that is not ours, as first seen or as a person settled it: never sold by us.
    External {
        /// The account.
        account: AccountId,
        /// The instrument.
        symbol: VenueSymbol,
        /// Positive is long.
        quantity: SignedQuantity,
        /// Why it is booked.
        reason: String,
        /// What it cost, where that is known: then its gains count in the account's equity.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        basis: Option<Basis>,
    },
    /// From here on what happens to an account without us is booked; what was before is in what it held. Said again, from time to time, it only
    /// says up to when all is known, so that a restart need not ask for more than a short while.
    Followed {
        /// The account.
        account: AccountId,
        /// What was earlier than this, by the venue's clock, is not booked any more.
        since: Timestamp,
        /// Up to when, by the venue's clock, it was told what happened.
        until: Timestamp,
        /// What was later than `since` and is in what it held already.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        known: Vec<AdjustmentId>,
    },
    /// The books changed without an order of ours.
    Adjusted(Adjustment),
    /// Something must become flat, and is closed again and again until it is: an exit, an orphan, a position without its stop.
    MustClose {
        /// What.
        lot: Lot,
        /// Why.
        why: Reason,
        /// Since when.
        at: Timestamp,
    },
    /// What had to become flat need not any more, although something is left.
    Relieved {
        /// What.
        lot: Lot,
        /// Why.
        why: Reason,
    },
    /// The best price since the entry has moved, and the trailing stop with it.
    GuardMoved {
        /// The entry leg.
        leg: LegRef,
        /// The best price.
        best: Price,
    },
    /// Whether the legs of a group stand; where they do not, what filled is closed again.
    GroupDecided {
        /// The execution.
        execution: ExecutionNumber,
        /// The deployment whose legs are the group.
        deployment: DeploymentId,
        /// Whether they stand.
        stands: bool,
        /// Why.
        why: Reason,
    },
    /// A person has answered whether a signal may be carried out.
    Approved {
        /// The execution.
        execution: ExecutionNumber,
        /// The deployment; all that wait when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deployment: Option<DeploymentId>,
        /// Yes or no.
        approved: bool,
        /// In the person's words.
        reason: String,
    },
    /// What was decided for a leg that had to wait for a person's yes.
    LegDecided {
        /// The leg.
        leg: LegRef,
        /// What was decided.
        plan: LegPlan,
    },
    /// A venue, or the engine as a whole, is allowed to trade otherwise than before.
    BreakerChanged {
        /// The venue; the engine as a whole when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        venue: Option<VenueId>,
        /// How from now on.
        state: BreakerState,
        /// Why.
        why: Reason,
        /// Since when.
        #[serde(default)]
        at: Timestamp,
    },
    /// From where the loss of a day counts. A new day lifts what the day before had broken.
    LossBaseline(Baseline),
    /// The result from which a drawdown counts: the best one so far.
    LossPeak {
        /// Whose.
        scope: LossScope,
        /// The result since the journal began, in the currency of the limits.
        result: Amount,
        /// When.
        at: Timestamp,
    },
    /// A loss was larger than it may be.
    LimitBroken(LimitBroken),
    /// What a limit had stopped goes on, without a new day and without a person.
    LimitLifted {
        /// Whose.
        scope: LossScope,
        /// Which limit.
        kind: LossKind,
        /// Why.
        why: Reason,
    },
    /// A currency is no longer worth what the configuration states, or is again.
    DepegChanged {
        /// The currency.
        asset: Asset,
        /// What was seen; absent when it is again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Reason>,
        /// Since when.
        at: Timestamp,
    },
    /// The configuration was changed while the engine ran. What holds is in the configuration; this says what it was before.
    ConfigChanged {
        /// What changed.
        changes: Vec<ConfigChange>,
        /// When.
        at: Timestamp,
    },
    /// What the caller attached to a signal was erased: with this entry it is gone from the journal. Its hash stays.
    MetadataErased {
        /// The signal's execution.
        execution: ExecutionNumber,
        /// The signal.
        signal: SignalId,
        /// When.
        at: Timestamp,
    },
    /// An agent keeps what it must know after a restart; the latest counts.
    Checkpointed {
        /// The agent.
        agent: AgentId,
        /// In its own words.
        state: serde_json::Value,
    },
}

/// One key of the configuration that changed. Where secrets are kept is never part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigChange {
    /// The key.
    pub key: String,
    /// What it was; absent when it was not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<serde_json::Value>,
    /// What it is; absent when it is no longer given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<serde_json::Value>,
}

impl Event {
    /// The event's name in the journal.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Admitted(_) => "admitted",
            Self::LegPlanned { .. } => "leg_planned",
            Self::LegEnded { .. } => "leg_ended",
            Self::Prepared(_) => "prepared",
            Self::Reported { .. } => "reported",
            Self::Recalled(_) => "recalled",
            Self::BecameUnknown { .. } => "became_unknown",
            Self::Failed { .. } => "failed",
            Self::ProvedAbsent { .. } => "proved_absent",
            Self::Superseded { .. } => "superseded",
            Self::Resolved { .. } => "resolved",
            Self::Killed { .. } => "killed",
            Self::Resumed { .. } => "resumed",
            Self::Halted { .. } => "halted",
            Self::Unhalted { .. } => "unhalted",
            Self::Funded { .. } => "funded",
            Self::External { .. } => "external",
            Self::Followed { .. } => "followed",
            Self::Adjusted(_) => "adjusted",
            Self::MustClose { .. } => "must_close",
            Self::Relieved { .. } => "relieved",
            Self::GuardMoved { .. } => "guard_moved",
            Self::GroupDecided { .. } => "group_decided",
            Self::Approved { .. } => "approved",
            Self::LegDecided { .. } => "leg_decided",
            Self::BreakerChanged { .. } => "breaker_changed",
            Self::LossBaseline(_) => "loss_baseline",
            Self::LossPeak { .. } => "loss_peak",
            Self::LimitBroken(_) => "limit_broken",
            Self::LimitLifted { .. } => "limit_lifted",
            Self::DepegChanged { .. } => "depeg_changed",
            Self::ConfigChanged { .. } => "config_changed",
            Self::MetadataErased { .. } => "metadata_erased",
            Self::Checkpointed { .. } => "checkpointed",
        }
    }

    /// The execution it names, if it names one.
    #[must_use]
    pub fn execution(&self) -> Option<ExecutionNumber> {
        match self {
            Self::Admitted(admission) => Some(admission.number),
            Self::Recalled(record) => Some(record.admission.number),
            Self::LegPlanned { execution, .. }
            | Self::GroupDecided { execution, .. }
            | Self::Approved { execution, .. }
            | Self::MetadataErased { execution, .. } => Some(*execution),
            Self::LegEnded { leg, .. } | Self::LegDecided { leg, .. } => Some(leg.execution),
            Self::Prepared(intent) => Some(intent.leg.execution),
            _ => None,
        }
    }

    /// The order it is about, if it is about one.
    #[must_use]
    pub fn order(&self) -> Option<&ClientOrderId> {
        match self {
            Self::Prepared(intent) => Some(intent.client_order_id()),
            Self::Reported { report, .. } => Some(&report.client_order_id),
            Self::BecameUnknown { order, .. }
            | Self::Failed { order, .. }
            | Self::ProvedAbsent { order, .. }
            | Self::Superseded { order, .. }
            | Self::Resolved { order, .. } => Some(order),
            _ => None,
        }
    }
}
