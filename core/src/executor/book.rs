//! The state that is the fold of the journal: executions, orders, books, latches. Changed by events, and by nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::breakers::Open;
use super::kills::{Kill, KilledPosition, Kills};
use super::losses::Losses;
use super::moving::Moving;
use super::standing::Standing;
use super::told::Told;
use super::unwinding::{GroupVerdict, Groups};
use super::upkeep::{Duty, Guard, Upkeep};
use crate::journal::{
    Adjustment, Admission, Command, Event, ExecutionNumber, Failure, Intent, KillMode, KillScope, LegPlan, LegRef, Share, Verdict,
};
use crate::ledger::{CapitalKey, Held, Ledger, Owner, PositionKey, Trade, pairs};
use crate::model::close::{CloseRequest, CloseTarget, Lot};
use crate::model::contract::Contract;
use crate::model::execution::{LegEvent, LegState, Outcome, Reason, Timings};
use crate::model::ids::{AccountId, AdjustmentId, AgentId, ClientOrderId, DeploymentId, SignalId, TradeId, VenueId, VenueSymbol};
use crate::model::instrument::Side;
use crate::model::number::{Amount, Notional, NumberError, Price, Quantity, SignedQuantity, exact};
use crate::model::order::{DoneReason, Fee, FillReport, Filled, OrderEvent, OrderReport, OrderState, Purpose};
use crate::model::signal::Direction;
use crate::model::time::Timestamp;
use crate::venue::{Effect, PreparedBody};

/// Finished executions that stay at hand; older ones are found in the journal.
pub const RETAINED: usize = 1_024;

/// Why an event cannot be folded: the journal is not one of ours, or a bound was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FoldError {
    /// It names an order that no earlier event made.
    #[error("event names the unknown order {0}")]
    UnknownOrder(ClientOrderId),
    /// It names a leg that no earlier event made.
    #[error("event names the unknown leg {0:?}")]
    UnknownLeg(LegRef),
    /// An amount does not fit.
    #[error(transparent)]
    Number(#[from] NumberError),
}

/// One order of a leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRecord {
    /// What was written down before it was sent.
    pub intent: Intent,
    /// How it stands.
    pub state: OrderState,
    /// What traded, as booked.
    pub filled: Filled,
    /// What traded, as the venue's total says; fills may follow.
    pub reported: Quantity,
    /// The trades booked.
    pub trades: BTreeMap<TradeId, FillReport>,
    /// What a person settled it to, until the venue's own trades arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjustment: Option<FillReport>,
}

impl OrderRecord {
    /// Whether more may become known of it: it is live, or trades it is known to have made are missing.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        self.state.is_live() || self.filled.quantity < self.reported
    }

    pub(crate) fn prepared(&self) -> &PreparedBody {
        &self.intent.prepared
    }
}

/// One leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegRecord {
    /// What was decided.
    pub plan: LegPlan,
    /// How it stands.
    pub state: LegState,
    /// Its orders, one per attempt.
    pub orders: Vec<OrderRecord>,
    /// What it holds back now.
    pub held: Held,
    /// How long each stage took.
    pub timings: Timings,
}

impl LegRecord {
    /// What traded over all its orders.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the sum does not fit.
    pub fn filled(&self) -> Result<Filled, NumberError> {
        self.orders.iter().try_fold(Filled::default(), |mut sum, order| {
            sum.quantity = sum.quantity.plus(order.filled.quantity)?;
            sum.notional = sum.notional.plus(order.filled.notional)?;
            sum.inverse |= order.filled.inverse;
            for (asset, amount) in &order.filled.fees {
                let fee = sum.fees.entry(asset.clone()).or_default();
                *fee = fee.plus(*amount)?;
            }
            Ok(sum)
        })
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.state.is_done()
    }
}

/// One execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionRecord {
    /// What was asked, and when; its legs are moved out to `legs`.
    pub admission: Admission,
    /// Its legs.
    pub legs: Vec<LegRecord>,
    /// Whether the legs of a deployment stand, where the signal made a group of them and it is decided.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<DeploymentId, GroupVerdict>,
    /// What a person answered for each deployment whose legs had to wait for that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<DeploymentId, Answer>,
}

/// What a person answered whether a signal may be carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Yes or no.
    pub approved: bool,
    /// In the person's words.
    pub reason: String,
}

impl ExecutionRecord {
    /// The legs that wait for a person's yes: of one deployment, or of all.
    pub fn waiting(&self, deployment: Option<&DeploymentId>) -> impl Iterator<Item = (LegRef, &LegRecord)> {
        let waits = move |leg: &LegRecord| {
            matches!(leg.state, LegState::AwaitingApproval { .. }) && deployment.is_none_or(|wanted| *wanted == leg.plan.deployment)
        };
        let at = |(index, leg)| (LegRef::of(self.admission.number, index), leg);
        self.legs.iter().enumerate().filter(move |(_, leg)| waits(leg)).map(at)
    }

    /// Entry or close.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        match self.admission.command {
            Command::Signal(_) => Purpose::Entry,
            Command::Close(_) => Purpose::Close,
            Command::Protect(_) => Purpose::Protect,
        }
    }

    /// One of its orders.
    #[must_use]
    pub fn order(&self, id: &ClientOrderId) -> Option<&OrderRecord> {
        self.legs.iter().flat_map(|leg| &leg.orders).find(|order| order.intent.client_order_id() == id)
    }

    /// Whether nothing more can happen to it, as far as is known.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let over = |leg: &LegRecord| leg.state.is_done() && !leg.orders.iter().any(OrderRecord::is_unsettled);
        self.legs.iter().all(|leg| over(leg) && !self.is_unwinding(leg))
    }
}

/// The state that is the fold of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Book {
    /// What this software keeps of the history: a snapshot of another one may lack some of it.
    #[serde(default = "Shape::unknown")]
    shape: Shape,
    namespace: String,
    /// How often an engine has opened this journal: each start reserves a block of emergency names.
    starts: u64,
    /// Shared, so that a copy of the book for a snapshot costs a pointer each.
    executions: BTreeMap<ExecutionNumber, Arc<ExecutionRecord>>,
    last_execution: ExecutionNumber,
    signals: BTreeMap<SignalId, ExecutionNumber>,
    orders: BTreeMap<ClientOrderId, LegRef>,
    /// Orders of which more may become known.
    unsettled: BTreeSet<ClientOrderId>,
    /// Legs that are planned and have no order on its way.
    planned: BTreeSet<LegRef>,
    /// Both of these, by where they would trade.
    moving: Moving,
    /// What limits count by number and by time.
    #[serde(default)]
    standing: Standing,
    /// The order that reduces a position, one at a time per account and instrument.
    #[serde(with = "pairs")]
    closing: BTreeMap<(AccountId, VenueSymbol), ClientOrderId>,
    /// Finished executions at hand, by when they finished or came back.
    finished: BTreeMap<u64, ExecutionNumber>,
    finished_at: BTreeMap<ExecutionNumber, u64>,
    last_finish: u64,
    ledger: Ledger,
    #[serde(default)]
    upkeep: Upkeep,
    #[serde(default)]
    groups: Groups,
    #[serde(default)]
    breakers: Open,
    kills: Kills,
    /// Whose each deployment is, as its legs tell.
    #[serde(default)]
    agents: BTreeMap<DeploymentId, AgentId>,
    halts: BTreeMap<AccountId, Reason>,
    nonces: BTreeMap<AccountId, u64>,
    seen: BTreeMap<AccountId, Timestamp>,
    /// What venues have told beside our orders.
    #[serde(default)]
    told: BTreeMap<AccountId, Told>,
    /// How many adjustments were booked.
    #[serde(default)]
    adjusted: u64,
    #[serde(default)]
    losses: Losses,
    /// What each agent last kept.
    #[serde(default)]
    checkpoints: BTreeMap<AgentId, serde_json::Value>,
}

/// Which totals and indexes a book has. To be raised by one whenever it gets others that older snapshots lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Shape(u32);

impl Shape {
    const fn unknown() -> Self {
        Self(0)
    }
}

impl Default for Shape {
    fn default() -> Self {
        Self(1)
    }
}

impl LegRef {
    const fn of(execution: ExecutionNumber, leg: usize) -> Self {
        Self { execution, leg }
    }
}

impl Book {
    /// Whether it has all that this software keeps: a snapshot of an older one may not, and the journal is folded from its beginning then.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.shape == Shape::default()
    }

    /// The tag that begins our client order ids.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// How often an engine has opened this journal.
    #[must_use]
    pub const fn starts(&self) -> u64 {
        self.starts
    }

    /// The books.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// An execution at hand.
    #[must_use]
    pub fn execution(&self, number: ExecutionNumber) -> Option<&ExecutionRecord> {
        self.executions.get(&number).map(|record| &**record)
    }

    /// The executions at hand, oldest first.
    pub fn executions(&self) -> impl DoubleEndedIterator<Item = (ExecutionNumber, &ExecutionRecord)> {
        self.executions.iter().map(|(number, record)| (*number, &**record))
    }

    /// The execution at hand of a signal or request.
    #[must_use]
    pub fn execution_of(&self, id: &SignalId) -> Option<ExecutionNumber> {
        self.signals.get(id).copied()
    }

    /// The number the next execution takes.
    #[must_use]
    pub const fn next_execution(&self) -> ExecutionNumber {
        self.last_execution + 1
    }

    /// A leg at hand.
    #[must_use]
    pub fn leg(&self, at: LegRef) -> Option<&LegRecord> {
        self.executions.get(&at.execution)?.legs.get(at.leg)
    }

    /// The leg of an order at hand.
    #[must_use]
    pub fn leg_of(&self, order: &ClientOrderId) -> Option<LegRef> {
        self.orders.get(order).copied()
    }

    /// An order at hand.
    #[must_use]
    pub fn order(&self, id: &ClientOrderId) -> Option<&OrderRecord> {
        self.leg(self.leg_of(id)?)?.orders.iter().find(|order| order.intent.client_order_id() == id)
    }

    /// The orders of which more may become known.
    pub fn unsettled(&self) -> impl Iterator<Item = &ClientOrderId> {
        self.unsettled.iter()
    }

    /// The legs that wait for an order to be prepared.
    pub fn planned(&self) -> impl Iterator<Item = LegRef> {
        self.planned.iter().copied()
    }

    /// The legs of one execution that wait for an order to be prepared.
    pub fn planned_of(&self, execution: ExecutionNumber) -> impl Iterator<Item = LegRef> {
        self.planned.range(LegRef::of(execution, 0)..=LegRef::of(execution, usize::MAX)).copied()
    }

    /// The legs that wait for a person's yes, oldest first.
    pub fn awaiting(&self) -> impl Iterator<Item = (LegRef, &LegRecord)> {
        self.executions.values().flat_map(|record| record.waiting(None))
    }

    /// Whether a leg waits for an order to be prepared.
    #[must_use]
    pub fn is_planned(&self, at: LegRef) -> bool {
        self.planned.contains(&at)
    }

    /// Whether an order on this account's instrument may trade or may have traded without our knowing.
    #[must_use]
    pub fn is_moving(&self, account: &AccountId, symbol: &VenueSymbol) -> bool {
        self.moving.any(account, symbol)
    }

    /// An entry of another deployment to this side of an account's instrument that may yet trade.
    #[must_use]
    pub fn rival(&self, account: &AccountId, symbol: &VenueSymbol, side: Side, deployment: &DeploymentId) -> Option<LegRef> {
        self.moving.rival(account, symbol, side, deployment)
    }

    /// A leg of this agent on an account's instrument of which it is not known whether it took effect.
    #[must_use]
    pub fn unknown_leg(&self, agent: &AgentId, account: &AccountId, symbol: &VenueSymbol) -> Option<LegRef> {
        self.moving.unknown(agent, account, symbol)
    }

    /// What limits count by number and by time.
    #[must_use]
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The order that is reducing a position on an account's instrument.
    #[must_use]
    pub fn closing(&self, account: &AccountId, symbol: &VenueSymbol) -> Option<&ClientOrderId> {
        self.closing.get(&(account.clone(), symbol.clone()))
    }

    /// What must become flat.
    pub fn duties(&self) -> impl Iterator<Item = (&Lot, &Duty)> {
        self.upkeep.duties()
    }

    /// Why a lot must become flat, if it must.
    #[must_use]
    pub fn duty(&self, lot: &Lot) -> Option<&Duty> {
        self.upkeep.duty(lot)
    }

    /// The groups of legs of which it is not decided whether they stand.
    pub fn undecided(&self) -> impl Iterator<Item = (ExecutionNumber, &DeploymentId)> {
        self.groups.undecided()
    }

    /// The deployments whose legs of an execution are an undecided group.
    pub fn undecided_of(&self, execution: ExecutionNumber) -> impl Iterator<Item = &DeploymentId> {
        self.groups.undecided_of(execution)
    }

    /// Whether a deployment's legs of an execution are a group that is not decided.
    #[must_use]
    pub fn is_undecided(&self, execution: ExecutionNumber, deployment: &DeploymentId) -> bool {
        self.groups.is_undecided(execution, deployment)
    }

    /// The legs of failed groups of which a position still holds something.
    pub fn unwinding(&self, key: &PositionKey) -> impl Iterator<Item = LegRef> {
        self.groups.unwinding(key)
    }

    /// The legs of failed groups of which an account still holds something.
    pub fn unwinding_on(&self, account: &AccountId) -> impl Iterator<Item = LegRef> {
        self.groups.unwinding_on(account)
    }

    /// The exits of an entry leg, while anything of it is held.
    #[must_use]
    pub fn guard(&self, entry: LegRef) -> Option<&Guard> {
        self.upkeep.guard(entry)
    }

    /// Every entry leg with exits of which anything is held.
    pub fn guards(&self) -> impl Iterator<Item = (LegRef, &Guard)> {
        self.upkeep.guards()
    }

    /// The entry legs with exits that a position is made of.
    pub fn guarding(&self, key: &PositionKey) -> impl Iterator<Item = (LegRef, &Guard)> {
        self.upkeep.guarding(key)
    }

    /// The entry legs with exits that a price of an instrument concerns.
    pub fn watching(&self, venue: &VenueId, symbol: &VenueSymbol) -> impl Iterator<Item = LegRef> + use<'_> {
        self.upkeep.watching(venue, symbol)
    }

    /// The legs with exits that wait at the venue for an entry leg, or may.
    pub fn exits_of(&self, entry: LegRef) -> impl Iterator<Item = (LegRef, &LegRecord)> {
        self.upkeep.exits(entry).filter_map(|at| Some((at, self.leg(at)?)))
    }

    /// The entry legs of a position for which exits wait at its venue, or may.
    pub fn with_exits_on(&self, key: &PositionKey) -> impl Iterator<Item = LegRef> + use<'_> {
        self.upkeep.with_exits_on(key)
    }

    /// Every entry leg for which exits wait at a venue, or may.
    pub fn with_exits(&self) -> impl Iterator<Item = LegRef> + use<'_> {
        self.upkeep.with_exits()
    }

    /// The closes on an account's instrument that are not over.
    pub fn closes(&self, account: &AccountId, symbol: &VenueSymbol) -> impl Iterator<Item = LegRef> + use<'_> {
        self.moving.closes(account, symbol)
    }

    /// What an execution at hand closes, if it is a close.
    #[must_use]
    pub fn close_target(&self, number: ExecutionNumber) -> Option<&CloseTarget> {
        match &self.execution(number)?.admission.command {
            Command::Close(close) => Some(&close.target),
            Command::Signal(_) | Command::Protect(_) => None,
        }
    }

    /// An execution at hand, with one of its legs.
    #[must_use]
    pub fn find(&self, at: LegRef) -> Option<(&ExecutionRecord, &LegRecord)> {
        let record = self.execution(at.execution)?;
        Some((record, record.legs.get(at.leg)?))
    }

    /// The latches of the kill switch, with their reasons.
    pub fn kills(&self) -> impl Iterator<Item = (&KillScope, &Kill)> {
        self.kills.iter()
    }

    /// A latch of the kill switch.
    #[must_use]
    pub fn kill(&self, scope: &KillScope) -> Option<&Kill> {
        self.kills.iter().find(|(of, _)| *of == scope).map(|(_, kill)| kill)
    }

    /// What an agent last kept.
    #[must_use]
    pub fn checkpoint(&self, agent: &AgentId) -> Option<&serde_json::Value> {
        self.checkpoints.get(agent)
    }

    /// Whose a deployment is, as its latest leg tells.
    #[must_use]
    pub fn agent_of(&self, deployment: &DeploymentId) -> Option<&AgentId> {
        self.agents.get(deployment)
    }

    /// Why entries on an account are halted.
    #[must_use]
    pub fn halt(&self, account: &AccountId) -> Option<&Reason> {
        self.halts.get(account)
    }

    pub(super) const fn losses(&self) -> &Losses {
        &self.losses
    }

    pub(super) const fn known_agents(&self) -> &BTreeMap<DeploymentId, AgentId> {
        &self.agents
    }

    pub(super) const fn open_breakers(&self) -> &Open {
        &self.breakers
    }

    /// The highest nonce written down for an account.
    #[must_use]
    pub fn nonce(&self, account: &AccountId) -> Option<u64> {
        self.nonces.get(account).copied()
    }

    /// The latest instant, by the venue's clock, that a report of an account has told of.
    #[must_use]
    pub fn seen(&self, account: &AccountId) -> Option<Timestamp> {
        self.seen.get(account).copied()
    }

    /// The instant, by the venue's clock, up to which the journal says that all was told that happened on an account. Reports on orders of ours
    /// say nothing of what others did before them, so that they count only as long as nobody else is followed.
    #[must_use]
    pub fn known_until(&self, account: &AccountId) -> Option<Timestamp> {
        self.told.get(account).map(Told::latest).or_else(|| self.seen(account))
    }

    /// Whether what happens to an account without us is booked: from its first snapshot on.
    #[must_use]
    pub fn is_followed(&self, account: &AccountId) -> bool {
        self.told.contains_key(account)
    }

    /// Whether something that a venue told of is booked, or was before the account was followed.
    #[must_use]
    pub fn is_told(&self, account: &AccountId, id: &AdjustmentId, at: Timestamp) -> bool {
        self.told.get(account).is_none_or(|told| told.knows(id, at))
    }

    /// Whether anything can be lost on an account: something is held, on its way, or must become flat.
    #[must_use]
    pub fn is_at_risk(&self, account: &AccountId) -> bool {
        let on_its_way =
            || self.unsettled.iter().any(|id| self.leg_of(id).and_then(|at| self.leg(at)).is_some_and(|leg| leg.plan.account == *account));
        self.ledger.positions().any(|(key, _)| key.account == *account)
            || on_its_way()
            || self.duties().any(|(lot, _)| lot.account == *account)
    }

    /// How many adjustments were booked.
    #[must_use]
    pub const fn adjusted(&self) -> u64 {
        self.adjusted
    }

    /// What each deployment held of an account's instrument at an instant, as far as trades at hand tell, with what is not ours now.
    pub(super) fn held_at(
        &self,
        account: &AccountId,
        symbol: &VenueSymbol,
        at: Timestamp,
    ) -> Result<BTreeMap<Option<DeploymentId>, SignedQuantity>, NumberError> {
        let mut held: BTreeMap<Option<DeploymentId>, SignedQuantity> = BTreeMap::new();
        held.insert(None, self.ledger.external_quantity(account, symbol).unwrap_or_default());
        for (key, position) in self.ledger.positions_on(account, symbol) {
            held.insert(Some(key.deployment.clone()), position.quantity());
        }
        let there = |leg: &&LegRecord| leg.plan.account == *account && leg.plan.symbol.as_ref() == Some(symbol);
        for leg in self.executions.values().flat_map(|record| &record.legs).filter(there) {
            for fill in leg.orders.iter().flat_map(|order| order.trades.values()).filter(|fill| fill.at > at) {
                let of = held.entry(Some(leg.plan.deployment.clone())).or_default();
                *of = of.minus(fill.quantity.signed(fill.side.is_buy()))?;
            }
        }
        Ok(held)
    }

    /// The record of one execution, from its own entries.
    ///
    /// # Errors
    /// [`FoldError`] when the entries are not those of one execution.
    pub fn rebuild(events: impl IntoIterator<Item = Event>) -> Result<Option<ExecutionRecord>, FoldError> {
        let mut book = Self::default();
        // What the journal still holds may begin in the middle: only from its admission on, or from where it was brought back whole, is it known.
        for event in events.into_iter().skip_while(|event| !matches!(event, Event::Admitted(_) | Event::Recalled(_))) {
            book.apply(&event)?;
        }
        Ok(book.executions.pop_last().map(|(_, record)| Arc::unwrap_or_clone(record)))
    }

    /// Folds one event.
    ///
    /// # Errors
    /// [`FoldError`] when the event contradicts what came before it; the book is then unusable.
    pub fn apply(&mut self, event: &Event) -> Result<(), FoldError> {
        match event {
            Event::Started { namespace, .. } => {
                self.namespace.clone_from(namespace);
                self.starts += 1;
            }
            Event::Admitted(admission) => {
                let mut header = admission.clone();
                let legs = std::mem::take(&mut header.legs);
                self.admit(header);
                for plan in &legs {
                    self.add_leg(admission.number, plan)?;
                }
                self.settle(admission.number);
            }
            Event::LegPlanned { execution, plan } => {
                self.add_leg(*execution, plan)?;
                self.settle(*execution);
            }
            Event::LegEnded { leg, outcome, why } => {
                self.end_leg(*leg, *outcome, Some(why.clone()))?;
                self.settle(leg.execution);
            }
            Event::Prepared(intent) => self.intend(intent)?,
            Event::Recalled(record) => self.recall(record),
            Event::Killed { scope, mode, reason, at } => self.throw(scope, *mode, reason, *at),
            Event::Resumed { scope, .. } => {
                self.kills.lift(scope);
                self.losses.resume(scope, &self.agents);
            }
            Event::LossBaseline(baseline) => self.losses.begin_day(baseline),
            Event::LossPeak { scope, result, .. } => self.losses.peaked(scope, *result),
            Event::LimitBroken(broken) => self.losses.broke(broken),
            Event::LimitLifted { scope, kind, .. } => self.losses.lift(scope, *kind),
            Event::DepegChanged { asset, why, at } => self.losses.depeg(asset, why.as_ref(), *at),
            Event::Halted { account, why } => drop(self.halts.insert(account.clone(), why.clone())),
            Event::Unhalted { account, .. } => drop(self.halts.remove(account)),
            Event::Funded { account, asset, amount } => self.ledger.fund(account, asset, *amount),
            Event::External { account, symbol, quantity, basis, .. } => {
                self.ledger.set_external(account, symbol, *quantity, basis.as_ref());
            }
            Event::Followed { account, since, until, known } => match self.told.get_mut(account) {
                Some(told) => told.advance(*until),
                None => drop(self.told.insert(account.clone(), Told::from(*since, *until, known))),
            },
            Event::Adjusted(adjustment) => self.adjust_books(adjustment)?,
            Event::GroupDecided { execution, deployment, stands, why } => {
                self.decide_group(*execution, deployment, GroupVerdict { stands: *stands, why: why.clone() })?;
            }
            Event::BreakerChanged { venue, state, why, at } => self.breakers.changed(venue.as_ref(), *state, why, *at),
            Event::Approved { execution, deployment, approved, reason } => {
                self.note_answer(*execution, deployment.as_ref(), &Answer { approved: *approved, reason: reason.clone() })?;
            }
            Event::LegDecided { leg, plan } => {
                self.decide_leg(*leg, plan)?;
                self.settle(leg.execution);
            }
            Event::MustClose { lot, why, at } => self.upkeep.must_close(lot, why, *at),
            Event::Relieved { lot, .. } => self.upkeep.relieve(lot),
            Event::GuardMoved { leg, best } => self.upkeep.moved(*leg, *best),
            // What holds is in the configuration, and the text was never in the state.
            Event::ConfigChanged { .. } | Event::MetadataErased { .. } => {}
            Event::Checkpointed { agent, state } => drop(self.checkpoints.insert(agent.clone(), state.clone())),
            Event::Reported { .. }
            | Event::BecameUnknown { .. }
            | Event::Failed { .. }
            | Event::ProvedAbsent { .. }
            | Event::Superseded { .. }
            | Event::Resolved { .. } => {
                let Some(order) = event.order() else { return Ok(()) };
                let at = self.orders.get(order).copied().ok_or_else(|| FoldError::UnknownOrder(order.clone()))?;
                self.apply_to_order(at, order, event)?;
                self.settle(at.execution);
            }
        }
        Ok(())
    }

    /// Books an adjustment, once: what was booked under its name already changes nothing.
    fn adjust_books(&mut self, adjustment: &Adjustment) -> Result<(), FoldError> {
        if adjustment.kind.is_told() {
            let told = self.told.entry(adjustment.account.clone()).or_default();
            if !told.note(&adjustment.id, adjustment.at) {
                return Ok(());
            }
        }
        self.adjusted += 1;
        for share in &adjustment.shares {
            self.adjust_share(adjustment, share)?;
        }
        let Some(symbol) = &adjustment.symbol else { return Ok(()) };
        for deployment in adjustment.shares.iter().filter_map(|share| share.deployment.clone()) {
            let key = PositionKey { deployment, account: adjustment.account.clone(), symbol: symbol.clone() };
            self.settle_position(&key);
        }
        Ok(())
    }

    /// Books one share of an adjustment; what it closes at a loss is noted as with every trade.
    fn adjust_share(&mut self, adjustment: &Adjustment, share: &Share) -> Result<(), FoldError> {
        let position = share.deployment.clone().zip(adjustment.symbol.clone()).and_then(|(deployment, symbol)| {
            let key = PositionKey { deployment, account: adjustment.account.clone(), symbol };
            let terms = self.ledger.position(&key)?.terms().clone();
            let money =
                CapitalKey { account: key.account.clone(), deployment: Some(key.deployment.clone()), currency: terms.settle.clone() };
            let before = self.ledger.capital(&money).realized;
            Some((key, terms, money, before))
        });
        self.ledger.adjust(adjustment, share)?;
        if let Some((key, terms, money, before)) = position
            && self.ledger.capital(&money).realized < before
        {
            self.standing.lost(&key, self.agents.get(&key.deployment), &terms.asset, adjustment.at);
        }
        Ok(())
    }

    /// Takes a command without its legs, which [`Self::add_leg`] adds one by one.
    pub(super) fn admit(&mut self, header: Admission) {
        self.last_execution = self.last_execution.max(header.number);
        self.signals.insert(header.command.id().clone(), header.number);
        if let Command::Close(CloseRequest { target: CloseTarget::Lot(lot), .. }) = &header.command {
            self.upkeep.pursued(lot, header.number);
        }
        let (groups, answers) = (BTreeMap::new(), BTreeMap::new());
        self.executions.insert(header.number, Arc::new(ExecutionRecord { admission: header, legs: Vec::new(), groups, answers }));
    }

    /// Notes where an execution turns next if a leg comes to nothing.
    pub(super) fn stand_by(&mut self, number: ExecutionNumber, standby: Vec<(DeploymentId, AccountId)>) {
        if let Some(record) = self.executions.get_mut(&number).map(Arc::make_mut) {
            record.admission.standby = standby;
        }
        self.settle(number);
    }

    /// Adds a leg with what it reserves.
    pub(super) fn add_leg(&mut self, execution: ExecutionNumber, plan: &LegPlan) -> Result<(), FoldError> {
        if self.agents.get(&plan.deployment) != Some(&plan.agent) {
            self.agents.insert(plan.deployment.clone(), plan.agent.clone());
        }
        let record = self.executions.get_mut(&execution).map(Arc::make_mut).ok_or(FoldError::UnknownLeg(LegRef::of(execution, 0)))?;
        let at = LegRef::of(execution, record.legs.len());
        if let Some(place) = record.admission.standby.iter().position(|(d, a)| *d == plan.deployment && *a == plan.account) {
            record.admission.standby.remove(place);
        }
        let state = match (&plan.ended, plan.awaiting) {
            (Some((outcome, why)), _) => LegState::Done { outcome: *outcome, why: Some(why.clone()) },
            (None, Some(until)) => LegState::AwaitingApproval { until },
            (None, None) => LegState::Planned,
        };
        let planned = state == LegState::Planned;
        record.legs.push(LegRecord { plan: plan.clone(), state, orders: Vec::new(), held: Held::default(), timings: plan.timings });
        if record.required(&plan.deployment).is_some() && !record.groups.contains_key(&plan.deployment) {
            self.groups.begin(execution, plan.deployment.clone());
        }
        if planned {
            self.begin_leg(at)?;
        }
        Ok(())
    }

    /// A leg has an order to send: it moves, and holds back what that may cost.
    fn begin_leg(&mut self, at: LegRef) -> Result<(), FoldError> {
        self.planned.insert(at);
        self.note_moving(at);
        self.rehold(at)
    }

    /// A person has answered for a deployment, or for all of which something waits.
    fn note_answer(&mut self, execution: ExecutionNumber, deployment: Option<&DeploymentId>, answer: &Answer) -> Result<(), FoldError> {
        let record = self.executions.get_mut(&execution).map(Arc::make_mut).ok_or(FoldError::UnknownLeg(LegRef::of(execution, 0)))?;
        let answered: BTreeSet<DeploymentId> = record.waiting(deployment).map(|(_, leg)| leg.plan.deployment.clone()).collect();
        record.answers.extend(answered.into_iter().map(|deployment| (deployment, answer.clone())));
        Ok(())
    }

    /// What was decided for a leg that waited for a person's yes.
    fn decide_leg(&mut self, at: LegRef, plan: &LegPlan) -> Result<(), FoldError> {
        let leg = self.leg_mut(at)?;
        if !matches!(leg.state, LegState::AwaitingApproval { .. }) {
            return Err(FoldError::UnknownLeg(at));
        }
        leg.plan = plan.clone();
        leg.timings = leg.timings.with(plan.timings);
        match &plan.ended {
            Some((outcome, why)) => self.end_leg(at, *outcome, Some(why.clone())),
            None => {
                self.move_leg(at, LegEvent::Decided)?;
                self.begin_leg(at)
            }
        }
    }

    fn intend(&mut self, intent: &Intent) -> Result<(), FoldError> {
        let at = intent.leg;
        let id = intent.client_order_id().clone();
        let record = self.executions.get_mut(&at.execution).map(Arc::make_mut).ok_or(FoldError::UnknownLeg(at))?;
        let leg = record.legs.get_mut(at.leg).ok_or(FoldError::UnknownLeg(at))?;
        let request = &intent.prepared.request;
        if request.purpose == Purpose::Close {
            self.closing.insert((request.account.clone(), request.symbol.clone()), id.clone());
        }
        if let Some(nonce) = intent.prepared.nonce {
            let highest = self.nonces.entry(request.account.clone()).or_default();
            *highest = (*highest).max(nonce);
        }
        leg.timings = leg.timings.with(intent.timings);
        leg.state = std::mem::replace(&mut leg.state, LegState::Planned).after(LegEvent::Intended);
        leg.orders.push(OrderRecord {
            intent: intent.clone(),
            state: OrderState::Sent,
            filled: Filled::default(),
            reported: Quantity::ZERO,
            trades: BTreeMap::new(),
            adjustment: None,
        });
        if request.purpose == Purpose::Entry && intent.attempt == 0 {
            self.standing.entered(at.execution, &leg.plan, intent.at);
        }
        self.planned.remove(&at);
        self.unsettled.insert(id.clone());
        self.orders.insert(id, at);
        self.note_moving(at);
        Ok(())
    }

    /// Throws the kill switch, and notes what is in its scope.
    fn throw(&mut self, scope: &KillScope, mode: KillMode, reason: &str, at: Timestamp) {
        let Some(kill) = self.kills.throw(scope, mode, reason, at) else { return };
        for (key, position) in self.ledger.positions() {
            let (venue, asset) = (position.venue(), &position.terms().asset);
            if scope.holds(self.agents.get(&key.deployment), &key.account, venue, Some(asset)) {
                let found = KilledPosition { venue: venue.clone(), asset: asset.clone(), then: position.quantity() };
                kill.positions.insert(key.clone(), found);
            }
        }
        let executions: Vec<ExecutionNumber> = self.executions.keys().copied().collect();
        executions.into_iter().for_each(|number| self.note_killed(number));
    }

    /// Notes for the kill switch how an execution's entries stand.
    fn note_killed(&mut self, number: ExecutionNumber) {
        if self.kills.is_empty() {
            return;
        }
        let Some(record) = self.executions.get(&number).filter(|record| record.purpose() == Purpose::Entry) else { return };
        for (index, leg) in record.legs.iter().enumerate() {
            self.kills.note_entry(LegRef::of(number, index), record, leg);
        }
    }

    fn note_moving(&mut self, at: LegRef) {
        let Some(record) = self.executions.get(&at.execution) else { return };
        if let Some(leg) = record.legs.get(at.leg) {
            let planned = self.planned.contains(&at);
            self.moving.note(at, leg, record.purpose(), planned);
            if record.purpose() == Purpose::Entry {
                let alive = planned || leg.orders.iter().any(OrderRecord::is_unsettled);
                self.standing.note(at, &leg.plan, alive.then_some(planned));
            }
        }
    }

    fn decide_group(&mut self, number: ExecutionNumber, deployment: &DeploymentId, verdict: GroupVerdict) -> Result<(), FoldError> {
        let record = self.executions.get_mut(&number).map(Arc::make_mut).ok_or(FoldError::UnknownLeg(LegRef::of(number, 0)))?;
        record.groups.insert(deployment.clone(), verdict);
        self.groups.decide(number, deployment);
        self.settle(number);
        Ok(())
    }

    /// Notes which of an execution's legs have traded although their group failed, and are still held.
    fn note_unwinding(&mut self, number: ExecutionNumber) {
        let Some(record) = self.executions.get(&number).filter(|record| !record.groups.is_empty()) else { return };
        for (index, leg) in record.legs.iter().enumerate() {
            if let Some(lot) = record.lot_of(leg) {
                self.groups.note(lot, LegRef::of(number, index), record.is_unwinding(leg));
            }
        }
    }

    /// Notes which of an execution's legs are exits that may yet wait at a venue.
    fn note_exits(&mut self, number: ExecutionNumber) {
        let Some(record) = self.executions.get(&number) else { return };
        let Command::Protect(protect) = &record.admission.command else { return };
        for (index, leg) in record.legs.iter().enumerate() {
            let over = leg.state.is_done() && !leg.orders.iter().any(OrderRecord::is_unsettled);
            let Some(symbol) = leg.plan.symbol.clone() else { continue };
            let key = PositionKey { deployment: leg.plan.deployment.clone(), account: leg.plan.account.clone(), symbol };
            self.upkeep.note_exit(protect.entry, &key, LegRef::of(number, index), over);
        }
    }

    fn recall(&mut self, record: &ExecutionRecord) {
        let number = record.admission.number;
        self.signals.insert(record.admission.command.id().clone(), number);
        for (index, leg) in record.legs.iter().enumerate() {
            for order in &leg.orders {
                self.orders.insert(order.intent.client_order_id().clone(), LegRef::of(number, index));
            }
        }
        self.executions.insert(number, Arc::new(record.clone()));
        self.finish(number);
    }

    fn apply_to_order(&mut self, at: LegRef, id: &ClientOrderId, event: &Event) -> Result<(), FoldError> {
        match event {
            Event::Reported { report, timings } => {
                self.note_timings(at, *timings);
                if let Some(account) = self.leg(at).map(|leg| leg.plan.account.clone()) {
                    let seen = self.seen.entry(account).or_default();
                    *seen = (*seen).max(report.at);
                }
                self.book_report(at, id, report)?;
                let order_event = OrderEvent::Reported { venue_order_id: report.venue_order_id.clone(), status: report.status };
                let order = self.order_mut(at, id)?;
                order.state = std::mem::replace(&mut order.state, OrderState::Sent).after(order_event);
                self.follow_order(at, id, None)
            }
            Event::BecameUnknown { why, at: since, timings, .. } => {
                self.note_timings(at, *timings);
                let order = self.order_mut(at, id)?;
                let event = OrderEvent::BecameUnknown { why: why.clone(), at: *since };
                order.state = std::mem::replace(&mut order.state, OrderState::Sent).after(event);
                if order.state.is_unknown() {
                    self.move_leg(at, LegEvent::BecameUnknown { why: why.clone(), at: *since })?;
                }
                Ok(())
            }
            Event::Failed { failure, again, timings, .. } => {
                self.note_timings(at, *timings);
                let reason = if failure.effect == Effect::NotSent { DoneReason::NotSent } else { DoneReason::Rejected };
                self.end_order(at, id, reason, *again, (Outcome::Rejected, failure.reason()))
            }
            Event::ProvedAbsent { evidence, again, .. } => {
                let why = Reason::new("absent", format!("the order never took effect: {evidence}"));
                self.end_order(at, id, DoneReason::Absent, *again, (Outcome::Expired, why))
            }
            Event::Superseded { why, again, .. } => {
                let outcome = if why.code == "expired" { Outcome::Expired } else { Outcome::Refused };
                self.end_order(at, id, DoneReason::Superseded, *again, (outcome, why.clone()))
            }
            Event::Resolved { verdict, reason, at: when, .. } => {
                let why = Reason::new("resolved", format!("settled by a person: {reason}"));
                if let Verdict::Filled { quantity, price } = verdict {
                    self.adjust(at, id, *quantity, *price, *when)?;
                }
                self.end_order(at, id, DoneReason::Resolved, false, (Outcome::Expired, why))
            }
            _ => Ok(()),
        }
    }

    /// Books what a person says has traded, as a trade of a name of its own, until the venue's trades arrive.
    fn adjust(&mut self, at: LegRef, id: &ClientOrderId, quantity: Quantity, price: Price, when: Timestamp) -> Result<(), FoldError> {
        let terms =
            self.leg(at).and_then(|leg| leg.plan.order.as_ref()).map(|order| order.terms.clone()).ok_or(FoldError::UnknownLeg(at))?;
        let order = self.order_mut(at, id)?;
        let request = &order.prepared().request;
        let fill = FillReport {
            trade_id: format!("resolved:{id}").parse().expect("an order id with a prefix is a valid trade id"),
            client_order_id: Some(id.clone()),
            venue_order_id: format!("resolved:{id}").parse().expect("an order id with a prefix is a valid order id"),
            symbol: request.symbol.clone(),
            side: request.side,
            price,
            quantity,
            fee: Fee { asset: terms.settle, amount: Amount::ZERO },
            at: when,
            cause: None,
        };
        order.adjustment = Some(fill.clone());
        self.book_trade(at, id, &fill)?;
        self.look_after(at)
    }

    fn book_report(&mut self, at: LegRef, id: &ClientOrderId, report: &OrderReport) -> Result<(), FoldError> {
        let order = self.order_mut(at, id)?;
        order.reported = order.reported.max(report.filled_quantity);
        let new: Vec<FillReport> = report.fills.iter().filter(|fill| !order.trades.contains_key(&fill.trade_id)).cloned().collect();
        let told = !new.is_empty();
        if told && let Some(adjustment) = order.adjustment.take() {
            self.reverse(at, id, &adjustment)?;
        }
        for fill in new {
            // A trade named twice in one report is booked once.
            if !self.order_mut(at, id)?.trades.contains_key(&fill.trade_id) {
                self.book_trade(at, id, &fill)?;
            }
        }
        let order = self.order_mut(at, id)?;
        order.reported = order.reported.max(order.filled.quantity);
        // Only now: between what a person said and what the venue says the position may seem flat for a moment.
        if told { self.look_after(at) } else { Ok(()) }
    }

    /// Takes a person's adjustment out again: the venue's own trades tell the truth now.
    fn reverse(&mut self, at: LegRef, id: &ClientOrderId, adjustment: &FillReport) -> Result<(), FoldError> {
        let contract = self.contract_of(at);
        let order = self.order_mut(at, id)?;
        order.trades.remove(&adjustment.trade_id);
        order.filled.count(adjustment, &contract, false)?;
        let opposite = FillReport { side: adjustment.side.opposite(), ..adjustment.clone() };
        let signal = self.executions.get(&at.execution).map(|record| record.admission.command.id().clone());
        self.book_in_ledger(at, &opposite, signal.as_ref())
    }

    fn book_trade(&mut self, at: LegRef, id: &ClientOrderId, fill: &FillReport) -> Result<(), FoldError> {
        self.book_in_ledger(at, fill, None)?;
        let contract = self.contract_of(at);
        let order = self.order_mut(at, id)?;
        order.trades.insert(fill.trade_id.clone(), fill.clone());
        order.filled.count(fill, &contract, true)?;
        if !fill.fee.amount.is_zero() {
            let fee = order.filled.fees.entry(fill.fee.asset.clone()).or_default();
            *fee = fee.plus(fill.fee.amount)?;
        }
        self.guard_leg(at, fill.at)
    }

    fn contract_of(&self, at: LegRef) -> Contract {
        self.leg(at).and_then(|leg| leg.plan.order.as_ref()).map_or(Contract::Linear, |order| order.terms.contract)
    }

    fn book_in_ledger(&mut self, at: LegRef, fill: &FillReport, closes: Option<&SignalId>) -> Result<(), FoldError> {
        let record = self.executions.get(&at.execution).ok_or(FoldError::UnknownLeg(at))?;
        let leg = record.legs.get(at.leg).ok_or(FoldError::UnknownLeg(at))?;
        let (Some(symbol), Some(order)) = (&leg.plan.symbol, &leg.plan.order) else { return Err(FoldError::UnknownLeg(at)) };
        let owner = Owner {
            agent: Some(&leg.plan.agent),
            deployment: &leg.plan.deployment,
            account: &leg.plan.account,
            venue: &leg.plan.venue,
            symbol,
            terms: &order.terms,
        };
        let trade = Trade { side: fill.side, quantity: fill.quantity, price: fill.price, fee: fill.fee.clone(), value: None };
        if order.external {
            return Ok(self.ledger.trade_external(owner, &trade)?);
        }
        let signal = record.admission.command.id();
        let key = PositionKey { deployment: leg.plan.deployment.clone(), account: leg.plan.account.clone(), symbol: symbol.clone() };
        let money =
            CapitalKey { account: key.account.clone(), deployment: Some(key.deployment.clone()), currency: order.terms.settle.clone() };
        let before = self.ledger.capital(&money).realized;
        self.ledger.trade(owner, order.leverage, &trade, signal, closes.or(order.closes.as_ref()))?;
        if self.ledger.capital(&money).realized < before {
            self.standing.lost(&key, Some(&leg.plan.agent), &order.terms.asset, fill.at);
        }
        Ok(())
    }

    /// The position of a leg has changed.
    fn look_after(&mut self, at: LegRef) -> Result<(), FoldError> {
        let plan = &self.leg(at).ok_or(FoldError::UnknownLeg(at))?.plan;
        let symbol = plan.symbol.clone().ok_or(FoldError::UnknownLeg(at))?;
        let key = PositionKey { deployment: plan.deployment.clone(), account: plan.account.clone(), symbol };
        self.settle_position(&key);
        Ok(())
    }

    /// A position has changed: what is flat needs nothing any more, and what a kill switch wants flat is noted.
    fn settle_position(&mut self, key: &PositionKey) {
        let _done = self.upkeep.settle(key, &self.ledger);
        self.standing.hold(key, self.agents.get(&key.deployment), self.ledger.position(key));
        if self.kills.is_empty() {
            return;
        }
        if let Some(position) = self.ledger.position(key) {
            self.kills.note_position(self.agents.get(&key.deployment), key, position.venue(), &position.terms().asset);
        }
    }

    /// An entry with exits has traded: what it bought or sold is guarded from now on.
    fn guard_leg(&mut self, at: LegRef, since: Timestamp) -> Result<(), FoldError> {
        let Some((record, leg)) = self.find(at) else { return Err(FoldError::UnknownLeg(at)) };
        let (Command::Signal(signal), Some(order)) = (&record.admission.command, &leg.plan.order) else {
            return Ok(());
        };
        let Some(exits) = signal.exits else { return Ok(()) };
        let Some(lot) = record.lot_of(leg) else { return Ok(()) };
        if self.ledger.left_of(&lot)?.is_zero() {
            return Ok(());
        }
        let (venue, direction, leverage, entered) = (leg.plan.venue.clone(), signal.direction, order.leverage, leg.filled()?);
        let contract = order.terms.contract;
        self.upkeep.guard_with(at, Guard { lot, venue, direction, leverage, exits, entered, since, best: None, contract });
        Ok(())
    }

    fn end_order(
        &mut self,
        at: LegRef,
        id: &ClientOrderId,
        reason: DoneReason,
        again: bool,
        end: (Outcome, Reason),
    ) -> Result<(), FoldError> {
        let order = self.order_mut(at, id)?;
        order.state = std::mem::replace(&mut order.state, OrderState::Sent).after(OrderEvent::Ended(reason));
        if matches!(order.state, OrderState::Done { reason: now, .. } if now == reason) && again {
            self.free_closing(at, id);
            self.move_leg(at, LegEvent::Again)?;
            self.planned.insert(at);
            return Ok(());
        }
        self.follow_order(at, id, Some(end))
    }

    /// Brings the leg to where its order is.
    fn follow_order(&mut self, at: LegRef, id: &ClientOrderId, end: Option<(Outcome, Reason)>) -> Result<(), FoldError> {
        let (state, unsettled, asked) = {
            let order = self.order_mut(at, id)?;
            (order.state.clone(), order.is_unsettled(), order.prepared().request.quantity)
        };
        let OrderState::Done { reason, .. } = state else {
            if matches!(state, OrderState::Open { .. }) {
                self.unsettled.insert(id.clone());
                self.planned.remove(&at);
                self.move_leg(at, LegEvent::Opened)?;
            }
            return self.rehold(at);
        };
        self.took_effect_after_all(at, id)?;
        if unsettled {
            self.unsettled.insert(id.clone());
            self.move_leg(at, LegEvent::Opened)?;
            return self.rehold(at);
        }
        self.free_closing(at, id);
        // A leg whose later order is on its way does not end with an earlier one.
        let leg = self.leg(at).ok_or(FoldError::UnknownLeg(at))?;
        let later =
            leg.orders.iter().any(|order| order.intent.client_order_id() != id && order.is_unsettled()) || self.planned.contains(&at);
        if later {
            return self.rehold(at);
        }
        let filled = leg.filled()?.quantity;
        let outcome = match reason {
            _ if !filled.is_zero() && filled >= asked => Outcome::Filled,
            _ if !filled.is_zero() => Outcome::PartiallyFilled,
            DoneReason::Canceled => Outcome::Canceled,
            _ => end.as_ref().map_or(Outcome::Expired, |(outcome, _)| *outcome),
        };
        let why = match outcome {
            Outcome::Filled => None,
            Outcome::PartiallyFilled | Outcome::Canceled if end.is_none() => {
                Some(Reason::new("canceled", format!("{filled} of {asked} traded; the venue canceled the rest")))
            }
            Outcome::Expired if end.is_none() => Some(Reason::new("expired", "its time in force ended before any of it traded")),
            _ => end.map(|(_, why)| why),
        };
        self.end_leg(at, outcome, why)
    }

    /// An order that was said to have taken no effect has traded: the attempt that was to follow it must not. A close goes on, since it takes
    /// only what is left.
    fn took_effect_after_all(&mut self, at: LegRef, id: &ClientOrderId) -> Result<(), FoldError> {
        let traded = !self.order_mut(at, id)?.filled.quantity.is_zero() || self.order_mut(at, id)?.is_unsettled();
        let closes = self.execution(at.execution).is_some_and(|record| record.purpose() == Purpose::Close);
        if traded && !closes {
            self.planned.remove(&at);
        }
        Ok(())
    }

    fn free_closing(&mut self, at: LegRef, id: &ClientOrderId) {
        let Some(leg) = self.leg(at) else { return };
        let Some(symbol) = leg.plan.symbol.clone() else { return };
        let key = (leg.plan.account.clone(), symbol);
        if self.closing.get(&key) == Some(id) {
            self.closing.remove(&key);
        }
    }

    fn end_leg(&mut self, at: LegRef, outcome: Outcome, why: Option<Reason>) -> Result<(), FoldError> {
        self.planned.remove(&at);
        self.move_leg(at, LegEvent::Ended { outcome, why })?;
        self.rehold(at)
    }

    fn move_leg(&mut self, at: LegRef, event: LegEvent) -> Result<(), FoldError> {
        let leg = self.leg_mut(at)?;
        leg.state = std::mem::replace(&mut leg.state, LegState::Planned).after(event);
        Ok(())
    }

    fn note_timings(&mut self, at: LegRef, timings: Timings) {
        if let Ok(leg) = self.leg_mut(at) {
            leg.timings = timings.with(leg.timings);
        }
    }

    fn leg_mut(&mut self, at: LegRef) -> Result<&mut LegRecord, FoldError> {
        self.executions
            .get_mut(&at.execution)
            .and_then(|record| Arc::make_mut(record).legs.get_mut(at.leg))
            .ok_or(FoldError::UnknownLeg(at))
    }

    fn order_mut(&mut self, at: LegRef, id: &ClientOrderId) -> Result<&mut OrderRecord, FoldError> {
        let leg = self.leg_mut(at)?;
        leg.orders.iter_mut().find(|order| order.intent.client_order_id() == id).ok_or_else(|| FoldError::UnknownOrder(id.clone()))
    }

    /// Holds back what the leg may still cost: all of its reserve while it lives, less what has traded; nothing once it is done.
    fn rehold(&mut self, at: LegRef) -> Result<(), FoldError> {
        let leg = self.leg(at).ok_or(FoldError::UnknownLeg(at))?;
        let (Some(symbol), Some(order)) = (leg.plan.symbol.clone(), leg.plan.order.clone()) else { return Ok(()) };
        let before = leg.held;
        let after = if leg.is_live() {
            let left = order.quantity.minus(leg.filled()?.quantity.min(order.quantity))?;
            let share = |total: Notional| {
                exact::apportion(total.decimal(), left.decimal(), order.quantity.decimal(), 12)
                    .ok_or(NumberError::Overflow { operation: "share of a reserve" })
                    .and_then(Notional::new)
            };
            Held { notional: share(order.reserve.notional.times(order.rate)?)?, capital: share(order.reserve.capital)? }
        } else {
            Held::default()
        };
        let plan = leg.plan.clone();
        let owner = Owner {
            agent: Some(&plan.agent),
            deployment: &plan.deployment,
            account: &plan.account,
            venue: &plan.venue,
            symbol: &symbol,
            terms: &order.terms,
        };
        let direction = if order.side.is_buy() { Direction::Long } else { Direction::Short };
        self.ledger.hold(owner, direction, before, after)?;
        self.leg_mut(at)?.held = after;
        Ok(())
    }

    fn finish(&mut self, number: ExecutionNumber) {
        if !self.finished_at.contains_key(&number) {
            self.last_finish += 1;
            self.finished.insert(self.last_finish, number);
            self.finished_at.insert(number, self.last_finish);
        }
    }

    /// Keeps the indexes in step with an execution, and lets old finished ones go.
    fn settle(&mut self, number: ExecutionNumber) {
        let Some(record) = self.executions.get(&number) else { return };
        for order in record.legs.iter().flat_map(|leg| &leg.orders) {
            if !order.is_unsettled() {
                self.unsettled.remove(order.intent.client_order_id());
            }
        }
        let (legs, finished) = (record.legs.len(), record.is_finished());
        (0..legs).for_each(|leg| self.note_moving(LegRef::of(number, leg)));
        self.note_exits(number);
        self.note_unwinding(number);
        self.note_killed(number);
        if finished {
            self.finish(number);
        }
        while self.finished.len() > RETAINED {
            let Some((_, oldest)) = self.finished.pop_first() else { break };
            self.finished_at.remove(&oldest);
            let Some(record) = self.executions.get(&oldest).filter(|record| record.is_finished()) else { continue };
            self.signals.remove(record.admission.command.id());
            for order in record.legs.iter().flat_map(|leg| &leg.orders) {
                self.orders.remove(order.intent.client_order_id());
            }
            self.executions.remove(&oldest);
        }
    }
}

impl Failure {
    /// The failure as the reason of a leg.
    #[must_use]
    pub fn reason(&self) -> Reason {
        Reason { code: self.kind.code(), reason: self.message.clone() }
    }
}

/// The side that reduces a position.
pub(crate) const fn closing_side(is_long: bool) -> Side {
    if is_long { Side::Sell } else { Side::Buy }
}
