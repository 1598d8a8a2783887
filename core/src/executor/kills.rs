//! What the fold keeps of the kill switch: each latch, what it found, and what came of that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::book::{ExecutionRecord, LegRecord, OrderRecord};
use crate::journal::{KillMode, KillScope, LegRef};
use crate::ledger::{PositionKey, pairs};
use crate::model::execution::LegState;
use crate::model::ids::{AccountId, AgentId, Asset, ClientOrderId, DeploymentId, SignalId, VenueId, VenueSymbol};
use crate::model::instrument::Side;
use crate::model::number::{Quantity, SignedQuantity};
use crate::model::order::{DoneReason, OrderState, Purpose};
use crate::model::time::Timestamp;

/// A latch of the kill switch, with what it found when it was thrown in its present mode and what came in its scope since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kill {
    /// What it does beside keeping entries from leaving.
    pub mode: KillMode,
    /// Why it was thrown.
    pub reason: String,
    /// When it was thrown in this mode.
    pub at: Timestamp,
    /// Positions it found, and those that arose since. One for each deployment, account and instrument there is, at most.
    #[serde(default, with = "pairs")]
    pub positions: BTreeMap<PositionKey, KilledPosition>,
    /// Entries it found that could still trade, and those of which more became known since.
    #[serde(default, with = "pairs")]
    pub entries: BTreeMap<LegRef, KilledEntry>,
}

impl Kill {
    pub(super) fn new(mode: KillMode, reason: &str, at: Timestamp) -> Self {
        Self { mode, reason: reason.to_owned(), at, positions: BTreeMap::new(), entries: BTreeMap::new() }
    }
}

/// A position that a kill switch found, or that arose while it held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KilledPosition {
    /// Its venue.
    pub venue: VenueId,
    /// What it is in.
    pub asset: Asset,
    /// How much there was at the throw, in base units; zero when it arose later.
    pub then: SignedQuantity,
}

/// What became of an entry that a kill switch found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryFate {
    /// It may have taken effect, or trades of it are missing.
    Unknown,
    /// It is on its way or rests: more of it can trade.
    Open,
    /// Nothing more of it can trade; what traded before stays until it is closed.
    Canceled,
    /// All of it traded.
    Filled,
    /// The venue never had it.
    NeverPlaced,
}

impl EntryFate {
    /// Whether nothing more can come of it.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Canceled | Self::Filled | Self::NeverPlaced)
    }
}

/// An entry that a kill switch found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KilledEntry {
    /// Its signal.
    pub signal_id: SignalId,
    /// Whose it is.
    pub agent: AgentId,
    /// Where it was carried out.
    pub deployment: DeploymentId,
    /// The venue.
    pub venue: VenueId,
    /// The account.
    pub account: AccountId,
    /// The instrument.
    pub instrument: VenueSymbol,
    /// Buy or sell.
    pub side: Side,
    /// How much was asked for, in base units.
    pub quantity: Quantity,
    /// How much of it traded, as booked.
    pub filled_quantity: Quantity,
    /// Our name of its latest order; absent when none was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_order_id: Option<ClientOrderId>,
    /// What became of it.
    pub state: EntryFate,
    /// What says so.
    pub confirmed_by: String,
}

/// Whether a leg is an entry of which something can still trade, or may have traded.
pub(super) fn can_trade(record: &ExecutionRecord, leg: &LegRecord) -> bool {
    let waits = matches!(leg.state, LegState::AwaitingApproval { .. });
    record.purpose() == Purpose::Entry && !waits && (leg.is_live() || leg.orders.iter().any(OrderRecord::is_unsettled))
}

impl KilledEntry {
    /// How an entry stands; `None` for what means no order.
    pub(super) fn of(record: &ExecutionRecord, leg: &LegRecord) -> Option<Self> {
        let (state, confirmed_by) = fate(leg);
        let order = leg.orders.last();
        Some(Self {
            signal_id: record.admission.command.id().clone(),
            agent: leg.plan.agent.clone(),
            deployment: leg.plan.deployment.clone(),
            venue: leg.plan.venue.clone(),
            account: leg.plan.account.clone(),
            instrument: leg.plan.symbol.clone()?,
            side: leg.plan.order.as_ref()?.side,
            quantity: leg.plan.order.as_ref()?.quantity,
            filled_quantity: leg.filled().unwrap_or_default().quantity,
            client_order_id: order.map(|order| order.intent.client_order_id().clone()),
            state,
            confirmed_by,
        })
    }
}

fn fate(leg: &LegRecord) -> (EntryFate, String) {
    let unknown = leg.orders.iter().find_map(|order| if let OrderState::Unknown { why, .. } = &order.state { Some(why) } else { None });
    if let Some(why) = unknown {
        return (EntryFate::Unknown, format!("nothing yet: {why}"));
    }
    if leg.orders.iter().any(|order| matches!(order.state, OrderState::Open { .. })) {
        return (EntryFate::Open, "the venue's report".into());
    }
    if leg.orders.iter().any(|order| order.state == OrderState::Sent) {
        return (EntryFate::Open, "nothing yet: it is on its way".into());
    }
    if leg.orders.iter().any(OrderRecord::is_unsettled) {
        return (EntryFate::Unknown, "the venue's total is ahead of the trades it told of".into());
    }
    if leg.is_live() {
        return (EntryFate::Open, "it was not sent yet".into());
    }
    let filled = leg.filled().unwrap_or_default().quantity;
    let reason = leg.orders.last().map(|order| &order.state);
    let Some(OrderState::Done { reason, .. }) = reason else { return (EntryFate::NeverPlaced, "it was never sent".into()) };
    let ended = if filled.is_zero() { EntryFate::NeverPlaced } else { EntryFate::Canceled };
    match reason {
        DoneReason::Filled => (EntryFate::Filled, "the venue's report".into()),
        DoneReason::Absent => (ended, "the venue's evidence that it never took effect".into()),
        DoneReason::Superseded | DoneReason::NotSent => (ended, "it was never sent".into()),
        DoneReason::Rejected => (ended, "the venue refused it".into()),
        DoneReason::Resolved => (if filled.is_zero() { ended } else { EntryFate::Filled }, "a person's verdict".into()),
        _ => (EntryFate::Canceled, "the venue's report".into()),
    }
}

/// The latches, by what they stop.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Kills(#[serde(with = "pairs")] BTreeMap<KillScope, Kill>);

impl Kills {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&KillScope, &Kill)> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn lift(&mut self, scope: &KillScope) {
        self.0.remove(scope);
    }

    /// Throws it: a stronger mode takes a weaker one's place, a weaker one changes nothing. `None` when nothing is to be looked for.
    pub(super) fn throw(&mut self, scope: &KillScope, mode: KillMode, reason: &str, at: Timestamp) -> Option<&mut Kill> {
        if let Some(held) = self.0.get_mut(scope).filter(|held| held.mode >= mode) {
            if held.mode == mode {
                reason.clone_into(&mut held.reason);
            }
            return None;
        }
        self.0.insert(scope.clone(), Kill::new(mode, reason, at));
        self.0.get_mut(scope)
    }

    /// Notes that a position is there.
    pub(super) fn note_position(&mut self, agent: Option<&AgentId>, key: &PositionKey, venue: &VenueId, asset: &Asset) {
        for (_, kill) in self.0.iter_mut().filter(|(scope, _)| scope.holds(agent, &key.account, venue, Some(asset))) {
            let arose = || KilledPosition { venue: venue.clone(), asset: asset.clone(), then: SignedQuantity::ZERO };
            kill.positions.entry(key.clone()).or_insert_with(arose);
        }
    }

    /// Notes how an entry stands.
    pub(super) fn note_entry(&mut self, at: LegRef, record: &ExecutionRecord, leg: &LegRecord) {
        for (scope, kill) in &mut self.0 {
            let concerns = kill.entries.contains_key(&at) || (can_trade(record, leg) && scope.holds_leg(leg));
            if let Some(entry) = KilledEntry::of(record, leg).filter(|_| concerns) {
                kill.entries.insert(at, entry);
            }
        }
    }
}

impl KillScope {
    pub(super) fn holds_leg(&self, leg: &LegRecord) -> bool {
        let asset = leg.plan.order.as_ref().map(|order| &order.terms.asset);
        self.holds(Some(&leg.plan.agent), &leg.plan.account, &leg.plan.venue, asset)
    }
}
