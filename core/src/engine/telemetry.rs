//! What the engine tells while it works: a line in the log for each decision, with the names people search by, and numbers.
//!
//! Lines and numbers are made from events as they are decided and from answers as they come in, beside the step and never in it. Nothing of a
//! request is told but its name: what is signed or secret is not in events.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::Level;

use super::kernel::Task;
use super::meters::{Meters, VenueTally};
use crate::executor::{Book, Input, LegRecord, Now, Setup, State};
use crate::journal::{BreakerState, Command, Event, ExecutionNumber, Failure, LegPlan, LegRef};
use crate::model::execution::Timings;
use crate::model::ids::{AccountId, AgentId, ClientOrderId, DeploymentId, SignalId, VenueId};
use crate::model::number::Quantity;
use crate::model::order::{OrderReport, Purpose};
use crate::model::signal::Direction;
use crate::venue::Operation;

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Long => "long",
        Direction::Short => "short",
    }
}

/// Whether nothing of the leg had traded before what a report tells.
fn is_first_trade(leg: &LegRecord, report: &OrderReport) -> bool {
    let told = report.fills.iter().try_fold(Quantity::ZERO, |sum, fill| sum.plus(fill.quantity));
    matches!((told, leg.filled()), (Ok(told), Ok(filled)) if !told.is_zero() && told == filled.quantity)
}

/// Under which target the lines are told.
const TARGET: &str = "omnivenue";

/// Tells of one engine; owned by its kernel.
pub(super) struct Telemetry {
    meters: Meters,
    /// When a stream last told of an order, by the monotonic clock.
    heard: BTreeMap<AccountId, u64>,
    /// When the engine opened, by the monotonic clock.
    since: u64,
}

/// Whose an event is, as far as it says or the book knows.
#[derive(Default)]
struct Whose<'a> {
    signal: Option<&'a SignalId>,
    leg: Option<usize>,
    agent: Option<&'a AgentId>,
    deployment: Option<&'a DeploymentId>,
    account: Option<&'a AccountId>,
    venue: Option<&'a VenueId>,
    order: Option<&'a ClientOrderId>,
}

impl<'a> Whose<'a> {
    fn plan(mut self, leg: usize, plan: &'a LegPlan) -> Self {
        (self.leg, self.agent, self.deployment) = (Some(leg), Some(&plan.agent), Some(&plan.deployment));
        (self.account, self.venue) = (Some(&plan.account), Some(&plan.venue));
        self
    }

    fn leg(mut self, book: &'a Book, at: LegRef) -> Self {
        let Some((record, leg)) = book.find(at) else { return self };
        self.signal = Some(record.admission.command.id());
        self.plan(at.leg, &leg.plan)
    }

    fn of(book: &'a Book, event: &'a Event, execution: Option<ExecutionNumber>) -> Self {
        let order = event.order();
        let at = match event {
            Event::LegEnded { leg, .. } | Event::LegDecided { leg, .. } | Event::GuardMoved { leg, .. } => Some(*leg),
            _ => order.and_then(|order| book.leg_of(order)),
        };
        let whose = Self { order, ..Self::default() };
        if let Some(at) = at {
            return whose.leg(book, at);
        }
        match event {
            Event::Halted { account, .. } | Event::Unhalted { account, .. } => Self { account: Some(account), ..whose },
            Event::BreakerChanged { venue, .. } => Self { venue: venue.as_ref(), ..whose },
            Event::MustClose { lot, .. } | Event::Relieved { lot, .. } => {
                let (deployment, account) = (Some(&lot.deployment), Some(&lot.account));
                Self { signal: lot.signal.as_ref(), agent: book.agent_of(&lot.deployment), deployment, account, ..whose }
            }
            Event::GroupDecided { deployment, .. } => {
                let signal = execution.and_then(|number| book.execution(number)).map(|record| record.admission.command.id());
                Self { signal, agent: book.agent_of(deployment), deployment: Some(deployment), ..whose }
            }
            _ => {
                let signal = execution.and_then(|number| book.execution(number)).map(|record| record.admission.command.id());
                Self { signal, ..whose }
            }
        }
    }
}

/// What is told of an event beside whose it is.
struct Line {
    level: Level,
    code: Option<String>,
    words: String,
}

impl Line {
    fn new(level: Level, words: impl Into<String>) -> Self {
        Self { level, code: None, words: words.into() }
    }

    fn because(level: Level, code: &str, words: impl Into<String>) -> Self {
        Self { level, code: Some(code.to_owned()), words: words.into() }
    }

    fn of(event: &Event) -> Self {
        match event {
            Event::Started { version, .. } => Self::new(Level::INFO, format!("started, version {version}")),
            Event::Admitted(admission) => {
                let what = match &admission.command {
                    Command::Signal(signal) => format!("signal taken: {} {}", direction(signal.direction), signal.asset),
                    Command::Close(_) => "request to close taken".to_owned(),
                    Command::Protect(_) => "exits are put at the venue".to_owned(),
                };
                Self::new(Level::INFO, format!("{what}, {} legs", admission.legs.len()))
            }
            Event::LegEnded { outcome, why, .. } => Self::because(Level::INFO, &why.code, format!("leg {outcome}: {}", why.reason)),
            Event::Prepared(intent) => Self::new(Level::DEBUG, format!("order prepared, attempt {}", intent.attempt)),
            Event::Reported { report, .. } => {
                let trades: Vec<String> = report.fills.iter().map(|fill| format!("{} at {}", fill.quantity, fill.price)).collect();
                match trades.is_empty() {
                    true => Self::new(Level::DEBUG, "the venue reported on the order"),
                    false => Self::new(Level::INFO, format!("traded {}", trades.join(", "))),
                }
            }
            Event::BecameUnknown { why, .. } => Self::because(Level::WARN, "unknown", format!("the order may have taken effect: {why}")),
            Event::Failed { failure, again, .. } => {
                let then = if *again { "; another attempt follows" } else { "" };
                Self::because(Level::WARN, failure.code.as_deref().unwrap_or("failed"), format!("no effect: {}{then}", failure.message))
            }
            Event::ProvedAbsent { evidence, .. } => {
                Self::because(Level::INFO, "absent", format!("proved never to have taken effect: {evidence}"))
            }
            Event::Resolved { reason, .. } => Self::because(Level::WARN, "resolved", format!("settled by a person: {reason}")),
            Event::Killed { scope, mode, reason, .. } => {
                Self::because(Level::WARN, "killed", format!("the kill switch is on for {scope} ({mode}): {reason}"))
            }
            Event::Resumed { scope, reason } => Self::new(Level::WARN, format!("the kill switch is off for {scope}: {reason}")),
            Event::Halted { why, .. } => Self::because(Level::ERROR, &why.code, format!("entries are halted: {}", why.reason)),
            Event::Unhalted { reason, .. } => Self::new(Level::WARN, format!("entries are no longer halted: {reason}")),
            Event::BreakerChanged { state, why, .. } => {
                let level = if *state == BreakerState::Normal { Level::INFO } else { Level::WARN };
                Self::because(level, &why.code, format!("the circuit breaker is {state}: {}", why.reason))
            }
            Event::MustClose { why, .. } => Self::because(Level::WARN, &why.code, format!("must become flat: {}", why.reason)),
            Event::Relieved { why, .. } => Self::because(Level::INFO, &why.code, format!("need not become flat any more: {}", why.reason)),
            Event::GroupDecided { stands, why, .. } => {
                let level = if *stands { Level::INFO } else { Level::WARN };
                let words = if *stands { "the group stands" } else { "the group is closed again" };
                Self::because(level, &why.code, format!("{words}: {}", why.reason))
            }
            Event::LimitBroken(broken) => Self::because(Level::ERROR, broken.kind.code(), broken.words()),
            Event::LimitLifted { scope, kind, why } => {
                Self::because(Level::WARN, kind.code(), format!("entries of {scope} go on: {}", why.reason))
            }
            Event::DepegChanged { asset, why: Some(why), .. } => Self::because(Level::ERROR, &why.code, format!("{asset}: {}", why.reason)),
            Event::DepegChanged { asset, why: None, .. } => Self::new(Level::WARN, format!("{asset} is worth what it should be again")),
            Event::ConfigChanged { changes, .. } => {
                let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
                Self::new(Level::WARN, format!("the configuration changed: {}", keys.join(", ")))
            }
            Event::MetadataErased { .. } => Self::new(Level::INFO, "what was attached to the signal is erased"),
            Event::Approved { approved, reason, .. } => {
                Self::new(Level::INFO, format!("{}: {reason}", if *approved { "approved" } else { "denied" }))
            }
            other => Self::new(Level::DEBUG, other.kind()),
        }
    }

    /// What is told of a leg that ended as it was decided.
    fn ended(plan: &LegPlan) -> Option<Self> {
        let (outcome, why) = plan.ended.as_ref()?;
        Some(Self::because(Level::INFO, &why.code, format!("leg {outcome}: {}", why.reason)))
    }

    fn tell(&self, seq: u64, kind: &'static str, whose: &Whose<'_>) {
        macro_rules! at {
            ($level:ident) => {
                tracing::event!(
                    target: TARGET,
                    Level::$level,
                    event = kind,
                    seq,
                    signal_id = whose.signal.map(display),
                    leg = whose.leg,
                    agent = whose.agent.map(display),
                    deployment = whose.deployment.map(display),
                    account = whose.account.map(display),
                    venue = whose.venue.map(display),
                    client_order_id = whose.order.map(display),
                    code = self.code.as_deref(),
                    "{}",
                    self.words
                )
            };
        }
        match self.level {
            Level::ERROR => at!(ERROR),
            Level::WARN => at!(WARN),
            Level::INFO => at!(INFO),
            _ => at!(DEBUG),
        }
    }
}

impl Telemetry {
    pub(super) fn new(setup: &Setup, now: Now) -> Self {
        Self { meters: Meters::new(setup), heard: BTreeMap::new(), since: now.monotonic }
    }

    /// How long the engine has been open.
    pub(super) fn uptime(&self, now: Now) -> Duration {
        Duration::from_micros(now.monotonic.saturating_sub(self.since))
    }

    /// What came of the calls to each venue.
    pub(super) fn tally(&self, venue: &VenueId) -> VenueTally {
        self.meters.tally(venue)
    }

    /// When a stream last told of an order on an account, by the monotonic clock.
    pub(super) fn heard_at(&self, account: &AccountId) -> Option<u64> {
        self.heard.get(account).copied()
    }

    /// An input comes in, before it is looked at.
    pub(super) fn heard(&mut self, setup: &Setup, state: &State, now: Now, input: &Input) {
        let of_order = |order: &ClientOrderId| Some(state.book().leg(state.book().leg_of(order)?)?.plan.account.clone());
        let (account, operation, failure) = match input {
            Input::Placed { order, result } => (of_order(order), Operation::Place, result.as_ref().err()),
            Input::Canceled { order, result } => (of_order(order), Operation::Cancel, result.as_ref().err()),
            Input::Probed { order, result } => (of_order(order), Operation::Probe, result.as_ref().err()),
            Input::Snapshot { account, result, .. } => (Some(account.clone()), Operation::Snapshot, result.as_ref().err()),
            Input::Ready { leg, result } => {
                (state.book().leg(*leg).map(|leg| leg.plan.account.clone()), Operation::Ready, result.as_ref().err())
            }
            Input::Reported { account, .. } => {
                self.heard.insert(account.clone(), now.monotonic);
                return;
            }
            _ => return,
        };
        let Some(account) = account else { return };
        let Some(venue) = setup.accounts.get(&account).map(|account| &account.venue) else { return };
        self.meters.answered(venue, operation, failure);
        if let Some(failure) = failure {
            self.tell_failure(&account, venue, operation, failure);
        }
    }

    fn tell_failure(&self, account: &AccountId, venue: &VenueId, operation: Operation, failure: &Failure) {
        tracing::debug!(target: TARGET, %account, %venue, %operation, code = failure.code.as_deref(), "a call failed: {}", failure.message);
    }

    /// An event was decided and folded.
    pub(super) fn decided(&mut self, book: &Book, seq: u64, event: &Event, execution: Option<ExecutionNumber>) {
        self.tell(book, seq, event, execution);
        self.count(book, event);
    }

    fn tell(&self, book: &Book, seq: u64, event: &Event, execution: Option<ExecutionNumber>) {
        if !tracing::enabled!(target: TARGET, Level::ERROR) {
            return;
        }
        let kind = event.kind();
        match event {
            Event::Admitted(admission) => {
                let signal = Some(admission.command.id());
                let agent = if let Command::Signal(signal) = &admission.command { Some(&signal.agent) } else { None };
                Line::of(event).tell(seq, kind, &Whose { signal, agent, ..Whose::default() });
                for (leg, plan) in admission.legs.iter().enumerate() {
                    if let Some(line) = Line::ended(plan) {
                        line.tell(seq, "leg_ended", &Whose { signal, ..Whose::default() }.plan(leg, plan));
                    }
                }
            }
            Event::LegPlanned { execution, plan } => {
                let record = book.execution(*execution);
                let leg = record.map_or(0, |record| record.legs.len().saturating_sub(1));
                let signal = record.map(|record| record.admission.command.id());
                let line = Line::ended(plan).unwrap_or_else(|| Line::new(Level::INFO, "a further leg is planned"));
                line.tell(seq, kind, &Whose { signal, ..Whose::default() }.plan(leg, plan));
            }
            Event::LegDecided { leg, plan } => {
                let line = Line::ended(plan).unwrap_or_else(|| Line::new(Level::INFO, "the leg is decided"));
                line.tell(seq, kind, &Whose::default().leg(book, *leg));
            }
            Event::Prepared(intent) => {
                let whose = Whose { order: Some(intent.client_order_id()), ..Whose::default() };
                Line::of(event).tell(seq, kind, &whose.leg(book, intent.leg));
            }
            _ => Line::of(event).tell(seq, kind, &Whose::of(book, event, execution)),
        }
    }

    fn count(&mut self, book: &Book, event: &Event) {
        let planned = |meters: &mut Meters, plan: &LegPlan| match &plan.ended {
            Some((_, why)) => meters.refused(&plan.agent, &why.code),
            None => meters.planned(&plan.agent, &plan.venue),
        };
        let leg_of = |order: &ClientOrderId| -> Option<&LegRecord> { book.leg(book.leg_of(order)?) };
        match event {
            Event::Admitted(admission) => {
                let Command::Signal(signal) = &admission.command else { return };
                self.meters.signal(&signal.agent);
                for plan in &admission.legs {
                    planned(&mut self.meters, plan);
                    self.meters.stages(&plan.venue, plan.timings);
                }
            }
            Event::LegPlanned { plan, .. } | Event::LegDecided { plan, .. } => {
                planned(&mut self.meters, plan);
                self.meters.stages(&plan.venue, plan.timings);
            }
            Event::LegEnded { leg, why, .. } => {
                if let Some(leg) = book.leg(*leg).filter(|leg| leg.orders.is_empty()) {
                    self.meters.refused(&leg.plan.agent, &why.code);
                }
            }
            Event::Prepared(intent) => self.stages(book.leg(intent.leg), intent.timings),
            Event::Reported { report, timings } => {
                let leg = leg_of(&report.client_order_id);
                self.stages(leg, *timings);
                let entry = book.leg_of(&report.client_order_id).and_then(|at| book.execution(at.execution));
                let entry = entry.is_some_and(|record| record.purpose() == Purpose::Entry);
                if let Some(leg) = leg.filter(|leg| entry && is_first_trade(leg, report)) {
                    self.meters.filled(&leg.plan.agent, &leg.plan.venue);
                }
            }
            Event::BecameUnknown { order, timings, .. } => {
                let leg = leg_of(order);
                self.stages(leg, *timings);
                if let Some(leg) = leg {
                    self.meters.unknown(&leg.plan.venue);
                }
            }
            Event::Failed { order, timings, .. } => self.stages(leg_of(order), *timings),
            _ => {}
        }
    }

    fn stages(&mut self, leg: Option<&LegRecord>, timings: Timings) {
        if let Some(leg) = leg {
            self.meters.stages(&leg.plan.venue, timings);
        }
    }

    /// What is about to be carried out.
    pub(super) fn carries_out(&self, book: &Book, task: &Task) {
        if !tracing::enabled!(target: TARGET, Level::DEBUG) {
            return;
        }
        let (order, words) = match task {
            Task::Place { order, .. } => (order.client_order_id(), "handed to its account"),
            Task::Probe { order, .. } => (order.client_order_id(), "the venue is asked what became of it"),
            Task::Cancel { order, .. } => (order, "the venue is asked to cancel it"),
            _ => return,
        };
        let whose = Whose { order: Some(order), ..Whose::default() };
        let whose = match book.leg_of(order) {
            Some(at) => whose.leg(book, at),
            None => whose,
        };
        Line::new(Level::DEBUG, words).tell(0, "task", &whose);
    }

    /// Brings the gauges up to date; called now and then.
    pub(super) fn gauge(&mut self, setup: &Setup, state: &State, position: (u64, u64)) {
        self.meters.gauge(setup, state, position);
    }
}
