//! What callers see: the published shapes, made from the state.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::agent::AgentStatus;
use crate::executor::{Alarm, Book, ExecutionRecord, LegRecord, OrderRecord, Setup, State, in_limits, pace, total_equity};
use crate::gates::Marks;
use crate::journal::{Archive, BreakerState, Command, ExecutionNumber, KillMode, LegRef, LimitBroken, LossKind, LossScope};
use crate::ledger::{CapitalKey, PositionKey};
use crate::model::execution::{
    EquityReport, Execution, ExecutionStatus, ExitReport, LegReport, LegState, Outcome, PositionReport, Protection,
};
use crate::model::ids::{AccountId, AgentId, Asset, ClientOrderId, DeploymentId, SignalId, TradeId, VenueId, VenueOrderId, VenueSymbol};
use crate::model::instrument::Side;
use crate::model::number::{Amount, Price, Quantity};
use crate::model::order::{Fee, FillReport, OrderState, Purpose};
use crate::model::signal::{Direction, Sizing};
use crate::model::time::Timestamp;

use super::health::{Drops, EventsHealth, JournalHealth, VenueHealth};
use super::kernel::{ReplayError, Replayed, rebuild, replay};
use super::killed::{KillReport, kill_report};

/// One order as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderSummary {
    /// The signal or request it is for.
    pub signal_id: SignalId,
    /// Entry or close.
    pub purpose: Purpose,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The venue.
    pub venue: VenueId,
    /// The account.
    pub account: AccountId,
    /// The instrument.
    pub instrument: VenueSymbol,
    /// Buy or sell.
    pub side: Side,
    /// `sent`, `unknown`, `open`, or why it is done: `filled`, `canceled`, `expired`, `rejected`, `not_sent`, `absent`, `superseded`, `resolved`.
    pub state: String,
    /// What was asked, in base units.
    pub quantity: Quantity,
    /// What traded.
    pub filled_quantity: Quantity,
    /// At what average price, to 12 decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_price: Option<Price>,
    /// The worst price admitted.
    pub worst_price: Price,
    /// Which attempt of the leg, from 0.
    pub attempt: u32,
    /// Our name of it.
    pub client_order_id: ClientOrderId,
    /// The venue's name of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub venue_order_id: Option<VenueOrderId>,
    /// When it was prepared.
    pub created_at: Timestamp,
}

/// One trade as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillSummary {
    /// The signal or request it is for.
    pub signal_id: SignalId,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The venue.
    pub venue: VenueId,
    /// The account.
    pub account: AccountId,
    /// The instrument.
    pub instrument: VenueSymbol,
    /// Buy or sell.
    pub side: Side,
    /// In base units.
    pub quantity: Quantity,
    /// In quote units.
    pub price: Price,
    /// What it cost.
    pub fee: Fee,
    /// The venue's name of it.
    pub trade_id: TradeId,
    /// Our name of its order.
    pub client_order_id: ClientOrderId,
    /// When it traded.
    pub at: Timestamp,
}

/// How one account stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountHealth {
    /// The account.
    pub account: AccountId,
    /// Its venue.
    pub venue: VenueId,
    /// `ready`, `recovering`, `halted`, or `offline` when no engine runs.
    pub status: String,
    /// Why, when it is not ready, or what went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Milliseconds since it was last compared with the venue's truth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared_ms_ago: Option<u64>,
    /// Whether that is longer ago than three comparisons should take: what is shown of it may be out of date.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// Milliseconds since its stream last told of an order; absent while it never has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_ms_ago: Option<u64>,
}

/// An order that may have taken effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownOrder {
    /// The signal or request it is for.
    pub signal_id: SignalId,
    /// The account.
    pub account: AccountId,
    /// The instrument.
    pub instrument: VenueSymbol,
    /// Our name of it.
    pub client_order_id: ClientOrderId,
    /// What was tried and what happened.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// When the venue is asked again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask_at: Option<Timestamp>,
}

/// Something that must become flat and is closed again and again until it is: an orphan leg, an exit, a position without its stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DutyReport {
    /// The signal; absent when all of the position is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal_id: Option<SignalId>,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The account.
    pub account: AccountId,
    /// The instrument.
    pub instrument: VenueSymbol,
    /// How much of it is still held, in base units.
    pub quantity: Quantity,
    /// Why, as a stable code.
    pub code: String,
    /// Why, as a sentence.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// How often a close of it was begun.
    pub tries: u32,
    /// Why it is not closed yet, as far as is known: what the latest close came to, or why none can be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A signal that waits for a person's yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingSignal {
    /// The signal.
    pub signal_id: SignalId,
    /// Where it would be carried out.
    pub deployment: DeploymentId,
    /// Whose it is.
    pub agent: AgentId,
    /// What it would trade.
    pub asset: Asset,
    /// Long or short.
    pub direction: Direction,
    /// How large each leg would be.
    pub sizing: Sizing,
    /// The accounts on which it would be opened.
    pub accounts: Vec<AccountId>,
    /// When it ends without an answer.
    pub until: Timestamp,
}

/// A latch of the kill switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillLatch {
    /// What it stops.
    pub scope: String,
    /// What it does beside.
    pub mode: KillMode,
    /// Why.
    pub reason: String,
}

/// How the engine as a whole, or one venue, may trade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerHealth {
    /// The venue; the engine as a whole when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub venue: Option<VenueId>,
    /// As configured, exits only, or exits only while entries may go to paper.
    pub state: BreakerState,
    /// Since when, unless it is normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why, unless it is normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is not as it should be, the gravest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<Alarm>,
}

/// How one limit on losses stands, in the currency of the limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossHealth {
    /// Whose losses: `everything`, or an account, agent or deployment.
    pub scope: String,
    /// `max_daily_loss` or `max_drawdown`.
    pub limit: String,
    /// How much is lost, negative when something is gained; absent while it is not known or no engine runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Amount>,
    /// How much may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Amount>,
    /// Since when it is broken, if it is: nothing is entered there until it is lifted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_since: Option<Timestamp>,
    /// With which numbers it was broken and until when it holds, or why the loss is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A currency that is not worth what the configuration states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepegHealth {
    /// The currency.
    pub asset: Asset,
    /// What was seen.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// How the engine stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ready`, `recovering`, `killed`, `journal_unwritable`, or `offline` when no engine runs.
    pub status: String,
    /// The accounts.
    pub accounts: Vec<AccountHealth>,
    /// The circuit breakers: the engine's own first, then each venue's.
    #[serde(default)]
    pub breakers: Vec<BreakerHealth>,
    /// The kill switch.
    pub kills: Vec<KillLatch>,
    /// Orders that may have taken effect.
    pub unknown: Vec<UnknownOrder>,
    /// What must become flat and is not yet.
    #[serde(default)]
    pub duties: Vec<DutyReport>,
    /// Signals that wait for a person's yes.
    #[serde(default)]
    pub waiting: Vec<WaitingSignal>,
    /// Limits on losses: how each stands, or those that are broken while no engine runs.
    #[serde(default)]
    pub losses: Vec<LossHealth>,
    /// Currencies that are not worth what the configuration states: nothing is entered that settles in them.
    #[serde(default)]
    pub depegged: Vec<DepegHealth>,
    /// Equity of all accounts together, in the currency of the limits at the stated rates; absent when a part is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equity: Option<Amount>,
    /// The last entry decided.
    pub seq: u64,
    /// The last entry that is durable.
    pub durable_seq: u64,
    /// Open virtual positions.
    pub positions: usize,
    /// Why no entry is taken, if the journal failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// How long the engine has been open, in milliseconds; absent when none runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_ms: Option<u64>,
    /// The venues.
    #[serde(default)]
    pub venues: Vec<VenueHealth>,
    /// The journal.
    #[serde(default)]
    pub journal: JournalHealth,
    /// Who reads events.
    #[serde(default)]
    pub events: EventsHealth,
    /// The agents in the engine's process.
    #[serde(default)]
    pub agents: Vec<AgentStatus>,
    /// What was dropped because its reader was too slow.
    #[serde(default)]
    pub drops: Drops,
}

impl Health {
    /// Of a journal that reaches to an entry, before anything else is known.
    fn at(status: &str, (seq, durable_seq): (u64, u64)) -> Self {
        Self {
            status: status.to_owned(),
            accounts: Vec::new(),
            breakers: Vec::new(),
            kills: Vec::new(),
            unknown: Vec::new(),
            duties: Vec::new(),
            waiting: Vec::new(),
            losses: Vec::new(),
            depegged: Vec::new(),
            equity: None,
            seq,
            durable_seq,
            positions: 0,
            failure: None,
            uptime_ms: None,
            venues: Vec::new(),
            journal: JournalHealth { head: seq, durable: durable_seq, lag: seq.saturating_sub(durable_seq), ..JournalHealth::default() },
            events: EventsHealth::default(),
            agents: Vec::new(),
            drops: Drops::default(),
        }
    }
}

/// What a running engine knows beside its books.
#[derive(Clone, Copy)]
pub(super) struct Present<'a> {
    pub(super) setup: &'a Setup,
    pub(super) state: &'a State,
}

impl Present<'_> {
    fn asked_at(self, order: &ClientOrderId) -> Option<Timestamp> {
        self.state.asked_at(order)
    }

    /// What protects an entry leg, held or about to be.
    fn protection(self, record: &ExecutionRecord, leg: usize) -> Protection {
        let at = LegRef { execution: record.admission.number, leg };
        if let Some(protected) = self.state.protected(self.setup, at) {
            return protected.protection;
        }
        let asks = matches!(&record.admission.command, Command::Signal(signal) if signal.exits.is_some_and(|exits| exits.wants_stop()));
        let awaited = record.legs.get(leg).is_some_and(LegRecord::is_live);
        if asks && awaited { Protection::Pending } else { Protection::None }
    }
}

/// An execution in its published form.
pub(super) fn execution(record: &ExecutionRecord, present: Option<Present<'_>>) -> Execution {
    let legs: Vec<LegReport> = record.legs.iter().enumerate().map(|(index, leg)| leg_report(record, index, leg, present)).collect();
    let unknown = record.legs.iter().any(|leg| matches!(leg.state, LegState::Unknown { .. }));
    let status = if unknown {
        ExecutionStatus::Unresolved
    } else if record.legs.iter().all(|leg| leg.state.is_done() && !record.is_unwinding(leg)) {
        ExecutionStatus::Done
    } else {
        ExecutionStatus::Working
    };
    Execution { signal_id: record.admission.command.id().clone(), status, legs }
}

fn leg_report(record: &ExecutionRecord, index: usize, leg: &LegRecord, present: Option<Present<'_>>) -> LegReport {
    let asked_at = |order: &ClientOrderId| present?.asked_at(order);
    let filled = leg.filled().unwrap_or_default();
    let order = leg.orders.last();
    let id = order.map(|order| order.intent.client_order_id().clone());
    // Smaller than the signal asked: a person sees that for as long as there is nothing else to say of it.
    let shrunk = leg.plan.order.as_ref().and_then(|order| order.shrunk.as_ref());
    let (outcome, code, reason) = match &leg.state {
        LegState::Done { outcome, .. } if record.is_unwinding(leg) => {
            let why = record.failed_group(leg).map(|why| format!("it is being closed again: {}", why.reason));
            (Some(*outcome), Some("unwind".to_owned()), why)
        }
        LegState::Done { outcome, why } => {
            let why = why.as_ref().or(shrunk);
            (Some(*outcome), why.map(|why| why.code.clone()), why.map(|why| why.reason.clone()))
        }
        LegState::Unknown { why, since } => {
            let mut words = unknown_words(leg, id.as_ref(), why, *since, &asked_at);
            if let Some(failed) = record.failed_group(leg) {
                words.push_str(&format!(". Its group failed ({}): what it turns out to have filled is closed again", failed.reason));
            }
            (None, Some("unknown".to_owned()), Some(words))
        }
        LegState::AwaitingApproval { until } => {
            let words =
                format!("a person must approve it until {until}; nothing is reserved for it, and it is sized and checked anew then");
            (None, Some("awaiting_approval".to_owned()), Some(words))
        }
        LegState::Planned | LegState::Sent | LegState::Working => {
            (None, shrunk.map(|why| why.code.clone()), shrunk.map(|why| why.reason.clone()))
        }
    };
    LegReport {
        deployment: leg.plan.deployment.clone(),
        venue: leg.plan.venue.clone(),
        account: leg.plan.account.clone(),
        instrument: leg.plan.symbol.clone(),
        market: leg.plan.order.as_ref().map(|order| order.terms.market),
        routed: leg.plan.routed.clone(),
        state: leg.state.name().to_owned(),
        stands_in: leg.plan.stands_in.clone(),
        outcome,
        code,
        reason,
        quantity: order.map(|order| order.prepared().request.quantity).or(leg.plan.order.as_ref().map(|order| order.quantity)),
        filled_quantity: filled.quantity,
        average_price: filled.average_price(),
        fees: filled.fees.into_iter().map(|(asset, amount)| Fee { asset, amount }).collect(),
        client_order_id: id,
        venue_order_id: order.and_then(|order| venue_order_id(&order.state)),
        position_id: None,
        protection: present.map_or(Protection::None, |present| present.protection(record, index)),
        timings_us: leg.timings,
    }
}

/// What a person must know of an unknown leg.
fn unknown_words(
    leg: &LegRecord,
    order: Option<&ClientOrderId>,
    why: &str,
    since: Timestamp,
    asked_at: &impl Fn(&ClientOrderId) -> Option<Timestamp>,
) -> String {
    let instrument = leg.plan.symbol.as_ref().map(ToString::to_string).unwrap_or_default();
    let asked =
        order.and_then(asked_at).map_or_else(|| "the venue is being asked".to_owned(), |at| format!("the venue is asked again at {at}"));
    format!(
        "may have taken effect since {since}: {why}. It holds {} of capital and blocks {} from entering {instrument} on {}; {asked}. To settle it by hand: `omnivenue resolve {}`",
        leg.held.capital,
        leg.plan.agent,
        leg.plan.account,
        order.map(ToString::to_string).unwrap_or_default(),
    )
}

fn venue_order_id(state: &OrderState) -> Option<VenueOrderId> {
    match state {
        OrderState::Open { venue_order_id } => Some(venue_order_id.clone()),
        OrderState::Done { venue_order_id, .. } => venue_order_id.clone(),
        OrderState::Sent | OrderState::Unknown { .. } => None,
    }
}

fn state_name(state: &OrderState) -> String {
    match state {
        OrderState::Sent => "sent".into(),
        OrderState::Unknown { .. } => "unknown".into(),
        OrderState::Open { .. } => "open".into(),
        OrderState::Done { reason, .. } => {
            serde_json::to_value(reason).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
        }
    }
}

/// The exits of each signal in a position.
fn exits(book: &Book, present: Present<'_>, key: &PositionKey) -> Vec<ExitReport> {
    let report = |entry: LegRef| {
        let protected = present.state.protected(present.setup, entry)?;
        Some(ExitReport {
            signal: protected.lot.signal?,
            protection: protected.protection,
            stop_price: protected.stop_price,
            take_profit_price: protected.take_profit_price,
            source: protected.source,
        })
    };
    book.guarding(key).filter_map(|(entry, _)| report(entry)).collect()
}

pub(super) fn positions(
    book: &Book,
    marks: &Marks,
    present: Option<Present<'_>>,
    agent_of: impl Fn(&DeploymentId) -> Option<crate::model::ids::AgentId>,
) -> Vec<PositionReport> {
    let report = |(key, position): (&crate::ledger::PositionKey, &crate::ledger::Position)| {
        let mark = marks.get(&(position.venue().clone(), key.symbol.clone())).copied();
        let exits = present.map(|present| exits(book, present, key)).unwrap_or_default();
        let of = |signal: &SignalId| exits.iter().find(|exit| exit.signal == *signal).map_or(Protection::None, |exit| exit.protection);
        let weakest = position.lots().map(|lot| of(&lot.signal)).min().unwrap_or_default();
        PositionReport {
            agent: agent_of(&key.deployment)
                .unwrap_or_else(|| key.deployment.as_str().parse().expect("a deployment's name is a valid agent's name")),
            deployment: key.deployment.clone(),
            venue: position.venue().clone(),
            account: key.account.clone(),
            instrument: key.symbol.clone(),
            direction: if position.quantity().is_long() { Direction::Long } else { Direction::Short },
            quantity: position.quantity().magnitude(),
            entry_price: position.entry_price(),
            mark_price: mark,
            unrealized_pnl: mark.and_then(|mark| position.unrealized(mark).ok()),
            realized_pnl: position.realized(),
            funding: position.funding(),
            currency: Some(position.terms().settle.clone()),
            signals: position.lots().map(|lot| lot.signal.clone()).collect(),
            protection: weakest,
            exits,
        }
    };
    book.ledger().positions().map(report).collect()
}

pub(super) fn orders(book: &Book) -> Vec<OrderSummary> {
    let of_leg = |record: &ExecutionRecord, leg: &LegRecord| -> Vec<OrderSummary> {
        let summary = |order: &crate::executor::OrderRecord| {
            let request = &order.prepared().request;
            OrderSummary {
                signal_id: record.admission.command.id().clone(),
                purpose: request.purpose,
                deployment: leg.plan.deployment.clone(),
                venue: leg.plan.venue.clone(),
                account: leg.plan.account.clone(),
                instrument: request.symbol.clone(),
                side: request.side,
                state: state_name(&order.state),
                quantity: request.quantity,
                filled_quantity: order.filled.quantity,
                average_price: order.filled.average_price(),
                worst_price: request.worst_price,
                attempt: order.intent.attempt,
                client_order_id: order.intent.client_order_id().clone(),
                venue_order_id: venue_order_id(&order.state),
                created_at: order.intent.at,
            }
        };
        leg.orders.iter().map(summary).collect()
    };
    book.executions().flat_map(|(_, record)| record.legs.iter().flat_map(|leg| of_leg(record, leg)).collect::<Vec<_>>()).collect()
}

pub(super) fn fills(book: &Book) -> Vec<FillSummary> {
    let mut all: Vec<FillSummary> = book.executions().flat_map(|(_, record)| fills_of(record)).map(|(_, fill)| fill).collect();
    all.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.trade_id.cmp(&b.trade_id)));
    all
}

/// The trades of one execution, each with the agent whose it is.
pub(super) fn fills_of(record: &ExecutionRecord) -> Vec<(AgentId, FillSummary)> {
    let of_leg = |leg: &LegRecord| {
        let fills = leg.orders.iter().flat_map(|order| order.trades.values().map(move |fill| fill_summary(record, leg, order, fill)));
        fills.map(|fill| (leg.plan.agent.clone(), fill)).collect::<Vec<_>>()
    };
    let mut all: Vec<(AgentId, FillSummary)> = record.legs.iter().flat_map(of_leg).collect();
    all.sort_by(|(_, a), (_, b)| a.at.cmp(&b.at).then_with(|| a.trade_id.cmp(&b.trade_id)));
    all
}

fn fill_summary(record: &ExecutionRecord, leg: &LegRecord, order: &OrderRecord, fill: &FillReport) -> FillSummary {
    FillSummary {
        signal_id: record.admission.command.id().clone(),
        deployment: leg.plan.deployment.clone(),
        venue: leg.plan.venue.clone(),
        account: leg.plan.account.clone(),
        instrument: fill.symbol.clone(),
        side: fill.side,
        quantity: fill.quantity,
        price: fill.price,
        fee: fill.fee.clone(),
        trade_id: fill.trade_id.clone(),
        client_order_id: order.intent.client_order_id().clone(),
        at: fill.at,
    }
}

/// One line per account and currency, and one per deployment on it.
pub(super) fn equity(book: &Book, marks: &Marks, setup: Option<&Setup>) -> Vec<EquityReport> {
    let line = |(key, capital): (&CapitalKey, &crate::ledger::Capital)| {
        let ledger = book.ledger();
        let unrealized = ledger.unrealized(key, |venue, symbol| marks.get(&(venue.clone(), symbol.clone())).copied());
        let share = key.deployment.as_ref().and_then(|deployment| {
            let share = setup?
                .deployments
                .get(deployment)?
                .accounts
                .iter()
                .find(|share| share.account == key.account || share.fallback.as_ref() == Some(&key.account))?;
            share.allocation.map(|allocation| allocation.amount())
        });
        let funds = if key.deployment.is_none() { ledger.funds(&key.account, &key.currency) } else { share };
        let money = ledger.money(key).unwrap_or(*capital);
        let whole = ledger.equity(key, funds, unrealized);
        EquityReport {
            deployment: key.deployment.clone(),
            account: key.account.clone(),
            currency: key.currency.clone(),
            capital: funds,
            // What is not ours gained or lost, when we closed it, nobody can tell unless it is known what it cost.
            realized_pnl: Some(money.realized).filter(|_| key.deployment.is_some() || !ledger.is_unvalued(&key.account)),
            fees: money.fees,
            funding: money.funding,
            unrealized_pnl: unrealized,
            committed: capital.committed.amount(),
            reserved: capital.reserved.amount(),
            equity: whole,
            value: setup.zip(whole).and_then(|(setup, equity)| in_limits(setup, equity, &key.currency)),
        }
    };
    book.ledger().capitals().map(line).collect()
}

fn unknown_orders(book: &Book, asked_at: impl Fn(&ClientOrderId) -> Option<Timestamp>) -> Vec<UnknownOrder> {
    let unknown = |id: &ClientOrderId| {
        let at = book.leg_of(id)?;
        let OrderState::Unknown { why, since } = &book.order(id)?.state else { return None };
        let leg = book.leg(at)?;
        Some(UnknownOrder {
            signal_id: book.execution(at.execution)?.admission.command.id().clone(),
            account: leg.plan.account.clone(),
            instrument: leg.plan.symbol.clone()?,
            client_order_id: id.clone(),
            why: why.clone(),
            since: *since,
            ask_at: asked_at(id),
        })
    };
    book.unsettled().filter_map(unknown).collect()
}

/// What must become flat; `held_up` says why nothing can be sent on an account.
fn duties(book: &Book, held_up: impl Fn(&AccountId) -> Option<String>) -> Vec<DutyReport> {
    let came_to = |number: ExecutionNumber| {
        let leg = book.execution(number)?.legs.first()?;
        match &leg.state {
            LegState::Unknown { why, .. } => Some(format!("the latest close may have taken effect: {why}")),
            LegState::Done { outcome: Outcome::Filled, .. } | LegState::Done { why: None, .. } => None,
            LegState::Done { outcome, why: Some(why) } => Some(format!("the latest close was {outcome} ({}): {}", why.code, why.reason)),
            _ => None,
        }
    };
    let report = |(lot, duty): (&crate::model::close::Lot, &crate::executor::Duty)| DutyReport {
        signal_id: lot.signal.clone(),
        deployment: lot.deployment.clone(),
        account: lot.account.clone(),
        instrument: lot.instrument.clone(),
        quantity: book.ledger().left_of(lot).unwrap_or_default(),
        code: duty.why.code.clone(),
        reason: duty.why.reason.clone(),
        since: duty.since,
        tries: duty.tries,
        failure: held_up(&lot.account).or_else(|| came_to(duty.close?)),
    };
    book.duties().map(report).collect()
}

/// Each limit on losses, as it stood when it was last weighed.
pub(super) fn losses(setup: &Setup, state: &State) -> Vec<LossHealth> {
    let book = state.book();
    let one = |scope: &LossScope, kind: LossKind| {
        let standing = state.losses().get(scope);
        let level = standing.and_then(|standing| standing.levels.get(&kind));
        let of = book.loss(scope).and_then(|record| record.broken.get(&kind));
        let unknown = standing.and_then(|standing| standing.unknown.clone());
        LossHealth {
            scope: scope.to_string(),
            limit: kind.code().to_owned(),
            loss: level.map(|level| level.loss),
            allowed: level.map(|level| level.allowed),
            broken_since: of.map(|broken| broken.at),
            reason: of.map(LimitBroken::words).or(unknown),
        }
    };
    setup.losses.iter().flat_map(|(scope, limits)| limits.bounds().map(move |(kind, _)| one(scope, kind))).collect()
}

fn broken(broken: &LimitBroken) -> LossHealth {
    LossHealth {
        scope: broken.scope.to_string(),
        limit: broken.kind.code().to_owned(),
        loss: None,
        allowed: None,
        broken_since: Some(broken.at),
        reason: Some(broken.words()),
    }
}

fn depegged(book: &Book) -> Vec<DepegHealth> {
    let health = |(asset, depegged): (&Asset, &crate::executor::Depegged)| DepegHealth {
        asset: asset.clone(),
        reason: depegged.why.reason.clone(),
        since: depegged.since,
    };
    book.depegged().map(health).collect()
}

/// What waits for a person: a line for each signal and deployment.
fn waiting(book: &Book) -> Vec<WaitingSignal> {
    let mut all: Vec<WaitingSignal> = Vec::new();
    for (at, leg) in book.awaiting() {
        let Some(Command::Signal(signal)) = book.execution(at.execution).map(|record| &record.admission.command) else { continue };
        let LegState::AwaitingApproval { until } = leg.state else { continue };
        match all.last_mut().filter(|last| last.signal_id == signal.id && last.deployment == leg.plan.deployment) {
            Some(last) => last.accounts.push(leg.plan.account.clone()),
            None => all.push(WaitingSignal {
                signal_id: signal.id.clone(),
                deployment: leg.plan.deployment.clone(),
                agent: signal.agent.clone(),
                asset: signal.asset.clone(),
                direction: signal.direction,
                sizing: signal.sizing,
                accounts: vec![leg.plan.account.clone()],
                until,
            }),
        }
    }
    all
}

fn kills(book: &Book) -> Vec<KillLatch> {
    book.kills().map(|(scope, kill)| KillLatch { scope: scope.to_string(), mode: kill.mode, reason: kill.reason.clone() }).collect()
}

/// The engine's state and each venue's, with their alarms.
fn breakers(book: &Book, venues: impl IntoIterator<Item = VenueId>, alarms: &[Alarm]) -> Vec<BreakerHealth> {
    let known = book.breakers().filter_map(|(venue, _)| venue.cloned());
    let venues: BTreeSet<VenueId> = venues.into_iter().chain(known).collect();
    let health = |venue: Option<VenueId>| {
        let breaker = book.breaker(venue.as_ref());
        BreakerHealth {
            state: breaker.map(|breaker| breaker.state).unwrap_or_default(),
            since: breaker.map(|breaker| breaker.since),
            reason: breaker.map(|breaker| format!("{}: {}", breaker.why.code, breaker.why.reason)),
            alarms: alarms.iter().filter(|alarm| alarm.venue == venue).cloned().collect(),
            venue,
        }
    };
    std::iter::once(None).chain(venues.into_iter().map(Some)).map(health).collect()
}

pub(super) fn health(setup: &Setup, state: &State, monotonic: u64, (seq, durable_seq): (u64, u64)) -> Health {
    let book = state.book();
    let account = |(id, account): (&AccountId, &crate::executor::AccountSetup)| {
        let (status, reason) = match (book.halt(id), state.is_ready(id)) {
            (Some(why), _) => ("halted", Some(why.reason.clone())),
            (None, true) => ("ready", state.account_failure(id).map(str::to_owned)),
            (None, false) => ("recovering", state.account_failure(id).map(str::to_owned)),
        };
        let compared_ms_ago = state.compared_at(id).map(|at| monotonic.saturating_sub(at) / 1000);
        let patience = u64::try_from(pace(setup, book, id).as_millis()).unwrap_or(u64::MAX).saturating_mul(3);
        let stale = compared_ms_ago.is_none_or(|ago| ago > patience);
        AccountHealth {
            account: id.clone(),
            venue: account.venue.clone(),
            status: status.to_owned(),
            reason,
            compared_ms_ago,
            stale,
            stream_ms_ago: None,
        }
    };
    let accounts: Vec<AccountHealth> = setup.accounts.iter().map(account).collect();
    let status = if state.failed().is_some() {
        "journal_unwritable"
    } else if book.kills().any(|(scope, _)| *scope == crate::journal::KillScope::All) {
        "killed"
    } else if accounts.iter().any(|account| account.status == "recovering") {
        "recovering"
    } else {
        "ready"
    };
    Health {
        accounts,
        breakers: breakers(book, setup.accounts.values().map(|account| account.venue.clone()), &state.alarms()),
        kills: kills(book),
        unknown: unknown_orders(book, |id| state.asked_at(id)),
        duties: duties(book, |account| {
            let why = state.account_failure(account).map(|why| format!(": {why}")).unwrap_or_default();
            (!state.is_ready(account)).then(|| format!("{account} cannot trade yet{why}"))
        }),
        waiting: waiting(book),
        losses: losses(setup, state),
        depegged: depegged(book),
        equity: total_equity(setup, book, state.marks()),
        positions: book.ledger().positions().count(),
        failure: state.failed().map(str::to_owned),
        ..Health::at(status, (seq, durable_seq))
    }
}

/// The state as the files tell it, while no engine runs.
#[derive(Debug)]
pub struct Books {
    book: Book,
    seq: u64,
}

impl Books {
    /// Replays a journal without touching it.
    ///
    /// # Errors
    /// [`ReplayError`] when it cannot be read or contradicts itself.
    pub fn read(archive: &dyn Archive) -> Result<Self, ReplayError> {
        let Replayed { book, seq, .. } = replay(archive)?;
        Ok(Self { book, seq })
    }

    /// The book itself.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The number of the last entry.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Open virtual positions; without prices, since no venue is asked.
    #[must_use]
    pub fn positions(&self) -> Vec<PositionReport> {
        let agents = |deployment: &DeploymentId| self.agent_of(deployment);
        positions(&self.book, &Marks::new(), None, agents)
    }

    fn agent_of(&self, deployment: &DeploymentId) -> Option<crate::model::ids::AgentId> {
        self.book
            .executions()
            .rev()
            .flat_map(|(_, record)| &record.legs)
            .find(|leg| leg.plan.deployment == *deployment)
            .map(|leg| leg.plan.agent.clone())
    }

    /// What each latch of the kill switch has come to, as far as the files tell: nothing is confirmed, since no venue is asked.
    #[must_use]
    pub fn kill_reports(&self, setup: &Setup) -> Vec<KillReport> {
        self.book.kills().filter_map(|(scope, _)| kill_report(&self.book, setup, None, scope)).collect()
    }

    /// Recent orders.
    #[must_use]
    pub fn orders(&self) -> Vec<OrderSummary> {
        orders(&self.book)
    }

    /// Recent trades.
    #[must_use]
    pub fn fills(&self) -> Vec<FillSummary> {
        fills(&self.book)
    }

    /// Money by account and deployment; with the configuration, each deployment's allocation too.
    #[must_use]
    pub fn equity(&self, setup: Option<&Setup>) -> Vec<EquityReport> {
        equity(&self.book, &Marks::new(), setup)
    }

    /// The execution of a signal or a request to close.
    ///
    /// # Errors
    /// [`crate::journal::StoreError`] when the journal cannot be read.
    pub fn execution(&self, archive: &dyn Archive, id: &SignalId) -> Result<Option<Execution>, crate::journal::StoreError> {
        let number: Option<ExecutionNumber> = match self.book.execution_of(id) {
            Some(number) => Some(number),
            None => archive.execution_of_signal(id)?,
        };
        let Some(number) = number else { return Ok(None) };
        let record = match self.book.execution(number) {
            Some(record) => Some(record.clone()),
            None => rebuild(archive, number, Vec::new())?,
        };
        let record = record.ok_or_else(|| crate::journal::StoreError::NotKept(id.to_string()))?;
        Ok(Some(execution(&record, None)))
    }

    /// How things stand while no engine runs.
    #[must_use]
    pub fn health(&self) -> Health {
        Health {
            breakers: breakers(&self.book, [], &[]),
            kills: kills(&self.book),
            unknown: unknown_orders(&self.book, |_| None),
            duties: duties(&self.book, |_| None),
            waiting: waiting(&self.book),
            losses: self.book.broken_limits().map(broken).collect(),
            depegged: depegged(&self.book),
            equity: None,
            positions: self.book.ledger().positions().count(),
            ..Health::at("offline", (self.seq, self.seq))
        }
    }
}

/// Whether a leg has been answered: acknowledged, refused or unknown.
pub(super) fn is_acknowledged(record: &ExecutionRecord) -> bool {
    record.legs.iter().all(|leg| !matches!(leg.state, LegState::Planned | LegState::Sent))
}

/// Whether everything is over.
pub(super) fn is_settled(record: &ExecutionRecord) -> bool {
    record.is_finished()
}

/// Whether the execution opened anything: for exit codes and summaries.
#[must_use]
pub fn opened_anything(execution: &Execution) -> bool {
    let opened = |leg: &LegReport| match leg.outcome {
        Some(Outcome::Unwound) => false,
        Some(Outcome::Filled | Outcome::PartiallyFilled) => true,
        _ => !leg.filled_quantity.is_zero(),
    };
    execution.legs.iter().any(opened)
}
