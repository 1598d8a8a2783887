//! Numbers about the engine, through the `metrics` facade: where no recorder is installed they go nowhere and cost next to nothing.
//!
//! [`METRICS`] is the one table of them; the documentation is compared with it, and it with what is really exported. Each handle is looked up
//! once and kept, so that counting is an addition.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label, counter, gauge, histogram};

use super::report;
use crate::executor::{Setup, State};
use crate::journal::{BreakerState, Failure};
use crate::model::execution::Timings;
use crate::model::ids::{AccountId, AgentId, Asset, VenueId};
use crate::model::number::Amount;
use crate::venue::Operation;

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How values are distributed.
    Histogram,
}

impl std::fmt::Display for MetricKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// One metric: its name, kind, labels, and what it tells.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// The labels it is told by.
    pub labels: &'static [&'static str],
    /// What it tells, with its unit.
    pub help: &'static str,
}

const fn metric(name: &'static str, kind: MetricKind, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind, labels, help }
}

const SIGNALS: &str = "omnivenue_signals_total";
const PLANNED: &str = "omnivenue_legs_planned_total";
const REFUSED: &str = "omnivenue_legs_refused_total";
const FILLED: &str = "omnivenue_legs_filled_total";
const STAGES: &str = "omnivenue_stage_seconds";
const CALLS: &str = "omnivenue_calls_total";
const FAILED: &str = "omnivenue_calls_failed_total";
const UNKNOWN_TOTAL: &str = "omnivenue_orders_became_unknown_total";
const UNKNOWN: &str = "omnivenue_unknown_orders";
const DROPPED: &str = "omnivenue_dropped_total";
const RECONNECTS: &str = "omnivenue_stream_ends_total";
const FLUSH: &str = "omnivenue_journal_flush_seconds";
const ENTRIES: &str = "omnivenue_journal_entries_total";
const HEAD: &str = "omnivenue_journal_head";
const DURABLE: &str = "omnivenue_journal_durable";
const LATCHES: &str = "omnivenue_kill_latches";
const BREAKER: &str = "omnivenue_breaker_state";
const POSITIONS: &str = "omnivenue_positions";
const DUTIES: &str = "omnivenue_duties";
const EQUITY: &str = "omnivenue_equity";
const LOSS: &str = "omnivenue_loss";
const LOSS_ALLOWED: &str = "omnivenue_loss_allowed";
const DEPEGGED: &str = "omnivenue_depegged_currencies";
/// How long the engine has been open; set by who serves the numbers, so that it grows while the engine has nothing to do.
pub const UPTIME: &str = "omnivenue_uptime_seconds";

/// Every metric there is.
pub const METRICS: [Metric; 24] = {
    use MetricKind::{Counter, Gauge, Histogram};
    [
        metric(UPTIME, Gauge, &[], "seconds since the engine opened"),
        metric(SIGNALS, Counter, &["agent"], "signals taken"),
        metric(PLANNED, Counter, &["agent", "venue"], "legs that passed every gate"),
        metric(REFUSED, Counter, &["agent", "code"], "legs that ended without an order, by the code of the reason"),
        metric(FILLED, Counter, &["agent", "venue"], "entry legs of which anything has traded"),
        metric(STAGES, Histogram, &["venue", "stage"], "seconds from a signal's arrival to each stage of its legs"),
        metric(CALLS, Counter, &["venue", "operation"], "calls to the venue that came back"),
        metric(FAILED, Counter, &["venue", "operation"], "of these, those that failed"),
        metric(UNKNOWN_TOTAL, Counter, &["venue"], "orders of which it became unknown whether they took effect"),
        metric(UNKNOWN, Gauge, &[], "orders of which that is unknown now"),
        metric(DROPPED, Counter, &["what"], "what was dropped because its reader was too slow: agent_inputs, events, log_lines"),
        metric(RECONNECTS, Counter, &["venue", "stream"], "streams that ended and were opened again: prices, orders"),
        metric(FLUSH, Histogram, &[], "seconds until a batch of the journal was durable"),
        metric(ENTRIES, Counter, &[], "journal entries made durable"),
        metric(HEAD, Gauge, &[], "number of the last entry decided"),
        metric(DURABLE, Gauge, &[], "number of the last entry that is durable"),
        metric(LATCHES, Gauge, &[], "latches of the kill switch that are on"),
        metric(BREAKER, Gauge, &["scope"], "circuit breakers, the engine's and each venue's: 0 normal, 1 degraded, 2 emergency"),
        metric(POSITIONS, Gauge, &[], "open virtual positions"),
        metric(DUTIES, Gauge, &[], "what must become flat and is not yet"),
        metric(EQUITY, Gauge, &["account", "currency"], "equity of an account, where it is known; rounded to a float, for display only"),
        metric(
            LOSS,
            Gauge,
            &["scope", "limit"],
            "how much is lost of what a limit allows, in the currency of the limits; negative is gained",
        ),
        metric(LOSS_ALLOWED, Gauge, &["scope", "limit"], "how much may be lost there"),
        metric(DEPEGGED, Gauge, &[], "currencies that are not worth what the configuration states"),
    ]
};

/// The stages of a leg, in order.
const STAGE_NAMES: [&str; 7] = ["resolved", "cleared", "prepared", "journaled", "sent", "acknowledged", "filled"];

/// The most values of labels that are told apart; beyond it numbers go under `other`.
const FAMILY_MAX: usize = 4_096;

/// Something was dropped because its reader was too slow.
pub(crate) fn dropped(what: &'static str, count: u64) {
    counter!(DROPPED, "what" => what).increment(count);
}

/// A stream ended and is opened again.
pub(super) fn stream_ended(venue: &VenueId, stream: &'static str) {
    counter!(RECONNECTS, "venue" => venue.to_string(), "stream" => stream).increment(1);
}

/// Where the committing thread counts.
pub(super) struct FlushMeters {
    flush: Histogram,
    entries: Counter,
}

impl FlushMeters {
    pub(super) fn new() -> Self {
        Self { flush: histogram!(FLUSH), entries: counter!(ENTRIES) }
    }

    /// A batch of so many entries took so long.
    pub(super) fn flushed(&self, entries: usize, took: Duration) {
        self.flush.record(took.as_secs_f64());
        self.entries.increment(u64::try_from(entries).unwrap_or(u64::MAX));
    }
}

/// Handles by the values of their labels.
struct Family<K, M> {
    make: fn(&K) -> M,
    known: BTreeMap<K, M>,
    other: Option<M>,
}

impl<K: Ord + Clone, M> Family<K, M> {
    fn new(make: fn(&K) -> M) -> Self {
        Self { make, known: BTreeMap::new(), other: None }
    }

    fn at(&mut self, key: &K, other: fn() -> M) -> &mut M {
        if !self.known.contains_key(key) {
            if self.known.len() >= FAMILY_MAX {
                return self.other.get_or_insert_with(other);
            }
            self.known.insert(key.clone(), (self.make)(key));
        }
        self.known.get_mut(key).expect("it was inserted if it was not there")
    }
}

/// What came of the calls to a venue since the engine opened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct VenueTally {
    pub(super) calls: u64,
    pub(super) failed: u64,
    /// How long the latest order took to be answered, in microseconds.
    pub(super) latency: Option<u64>,
}

struct VenueMeters {
    stages: [Histogram; 7],
    unknown: Counter,
    tally: VenueTally,
}

impl VenueMeters {
    fn named(venue: String) -> Self {
        let stages = STAGE_NAMES.map(|stage| histogram!(STAGES, "venue" => venue.clone(), "stage" => stage));
        Self { stages, unknown: counter!(UNKNOWN_TOTAL, "venue" => venue), tally: VenueTally::default() }
    }
}

/// All handles of one engine.
pub(super) struct Meters {
    signals: Family<AgentId, Counter>,
    planned: Family<(AgentId, VenueId), Counter>,
    refused: Family<(AgentId, String), Counter>,
    filled: Family<(AgentId, VenueId), Counter>,
    venues: Family<VenueId, VenueMeters>,
    calls: Family<(VenueId, Operation), (Counter, Counter)>,
    breakers: Family<Option<VenueId>, Gauge>,
    equity: Family<(AccountId, Asset), Gauge>,
    losses: Family<(String, String), (Gauge, Gauge)>,
}

const OTHER: &str = "other";

fn by_two(name: &'static str, labels: [(&'static str, String); 2]) -> Counter {
    counter!(name, labels.into_iter().map(|(key, value)| Label::new(key, value)).collect::<Vec<_>>())
}

impl Meters {
    /// With everything that the configuration names at zero, so that what has not happened yet is told too.
    pub(super) fn new(setup: &Setup) -> Self {
        let mut meters = Self {
            signals: Family::new(|agent| counter!(SIGNALS, "agent" => agent.to_string())),
            planned: Family::new(|(agent, venue)| by_two(PLANNED, [("agent", agent.to_string()), ("venue", venue.to_string())])),
            refused: Family::new(|(agent, code)| by_two(REFUSED, [("agent", agent.to_string()), ("code", code.clone())])),
            filled: Family::new(|(agent, venue)| by_two(FILLED, [("agent", agent.to_string()), ("venue", venue.to_string())])),
            venues: Family::new(|venue| VenueMeters::named(venue.to_string())),
            calls: Family::new(|(venue, operation)| calls(venue.to_string(), operation.to_string())),
            breakers: Family::new(
                |venue| gauge!(BREAKER, "scope" => venue.as_ref().map_or_else(|| "engine".to_owned(), ToString::to_string)),
            ),
            losses: Family::new(|(scope, limit)| losses(scope.clone(), limit.clone())),
            equity: Family::new(|(account, currency)| gauge!(EQUITY, "account" => account.to_string(), "currency" => currency.to_string())),
        };
        for venue in setup.accounts.values().map(|account| &account.venue) {
            meters.venue(venue);
            for operation in [Operation::Place, Operation::Cancel, Operation::Probe, Operation::Snapshot, Operation::Ready] {
                meters.call(venue, operation);
            }
            for stream in ["prices", "orders"] {
                counter!(RECONNECTS, "venue" => venue.to_string(), "stream" => stream).increment(0);
            }
        }
        let places = |deployment: &crate::executor::DeploymentSetup| {
            let venues = deployment.accounts.iter().filter_map(|share| setup.accounts.get(&share.account));
            venues.map(|account| (deployment.agent.clone(), account.venue.clone())).collect::<Vec<_>>()
        };
        for place in setup.deployments.values().flat_map(places) {
            meters.planned.at(&place, || calls_other(PLANNED)).increment(0);
            meters.filled.at(&place, || calls_other(FILLED)).increment(0);
        }
        setup.agents.keys().for_each(|agent| meters.signals.at(agent, || counter!(SIGNALS, "agent" => OTHER)).increment(0));
        ["agent_inputs", "events", "log_lines"].into_iter().for_each(|what| dropped(what, 0));
        meters
    }

    pub(super) fn signal(&mut self, agent: &AgentId) {
        self.signals.at(agent, || counter!(SIGNALS, "agent" => OTHER)).increment(1);
    }

    pub(super) fn planned(&mut self, agent: &AgentId, venue: &VenueId) {
        self.planned.at(&(agent.clone(), venue.clone()), || calls_other(PLANNED)).increment(1);
    }

    pub(super) fn refused(&mut self, agent: &AgentId, code: &str) {
        let other = || by_two(REFUSED, [("agent", OTHER.into()), ("code", OTHER.into())]);
        self.refused.at(&(agent.clone(), code.to_owned()), other).increment(1);
    }

    pub(super) fn filled(&mut self, agent: &AgentId, venue: &VenueId) {
        self.filled.at(&(agent.clone(), venue.clone()), || calls_other(FILLED)).increment(1);
    }

    pub(super) fn unknown(&mut self, venue: &VenueId) {
        self.venue(venue).unknown.increment(1);
    }

    pub(super) fn answered(&mut self, venue: &VenueId, operation: Operation, failure: Option<&Failure>) {
        let (all, failed) = self.call(venue, operation);
        all.increment(1);
        failed.increment(u64::from(failure.is_some()));
        let tally = &mut self.venue(venue).tally;
        tally.calls += 1;
        tally.failed += u64::from(failure.is_some());
    }

    pub(super) fn stages(&mut self, venue: &VenueId, timings: Timings) {
        let Timings { resolved, cleared, prepared, journaled, sent, acknowledged, filled } = timings;
        let venue = self.venue(venue);
        for (stage, at) in venue.stages.iter().zip([resolved, cleared, prepared, journaled, sent, acknowledged, filled]) {
            if let Some(micros) = at {
                stage.record(Duration::from_micros(micros).as_secs_f64());
            }
        }
        if let (Some(sent), Some(acknowledged)) = (sent, acknowledged) {
            venue.tally.latency = Some(acknowledged.saturating_sub(sent));
        }
    }

    pub(super) fn tally(&self, venue: &VenueId) -> VenueTally {
        self.venues.known.get(venue).map(|venue| venue.tally).unwrap_or_default()
    }

    /// Sets what is told of how things stand now.
    #[allow(clippy::cast_precision_loss, reason = "counts are shown, and exact up to 2^53")]
    pub(super) fn gauge(&mut self, setup: &Setup, state: &State, (seq, durable): (u64, u64)) {
        let book = state.book();
        let set = |name: &'static str, count: usize| gauge!(name).set(count as f64);
        gauge!(HEAD).set(seq as f64);
        gauge!(DURABLE).set(durable as f64);
        set(UNKNOWN, book.unsettled().filter(|id| book.order(id).is_some_and(|order| order.state.is_unknown())).count());
        set(LATCHES, book.kills().count());
        set(POSITIONS, book.ledger().positions().count());
        set(DUTIES, book.duties().count());
        let venues = setup.accounts.values().map(|account| Some(account.venue.clone()));
        for scope in std::iter::once(None).chain(venues) {
            let state = book.breaker(scope.as_ref()).map_or(BreakerState::Normal, |breaker| breaker.state);
            let level = match state {
                BreakerState::Normal => 0.0,
                BreakerState::Degraded => 1.0,
                BreakerState::Emergency => 2.0,
            };
            self.breakers.at(&scope, || gauge!(BREAKER, "scope" => OTHER)).set(level);
        }
        for line in report::equity(book, state.marks(), Some(setup)).into_iter().filter(|line| line.deployment.is_none()) {
            let other = || gauge!(EQUITY, "account" => OTHER, "currency" => OTHER);
            self.equity.at(&(line.account, line.currency), other).set(shown(line.equity));
        }
        set(DEPEGGED, book.depegged().count());
        for line in report::losses(setup, state) {
            let (loss, allowed) = self.losses.at(&(line.scope, line.limit), || losses(OTHER.to_owned(), OTHER.to_owned()));
            loss.set(shown(line.loss));
            allowed.set(shown(line.allowed));
        }
    }

    fn venue(&mut self, venue: &VenueId) -> &mut VenueMeters {
        self.venues.at(venue, || VenueMeters::named(OTHER.to_owned()))
    }

    fn call(&mut self, venue: &VenueId, operation: Operation) -> &mut (Counter, Counter) {
        self.calls.at(&(venue.clone(), operation), || calls(OTHER.to_owned(), OTHER.to_owned()))
    }
}

/// An exact amount as a number on a screen; nothing is decided by it.
fn shown(amount: Option<Amount>) -> f64 {
    amount.and_then(|amount| amount.to_string().parse().ok()).unwrap_or(f64::NAN)
}

fn losses(scope: String, limit: String) -> (Gauge, Gauge) {
    let (of, which) = (scope.clone(), limit.clone());
    (gauge!(LOSS, "scope" => of, "limit" => which), gauge!(LOSS_ALLOWED, "scope" => scope, "limit" => limit))
}

fn calls(venue: String, operation: String) -> (Counter, Counter) {
    let labels = || [("venue", venue.clone()), ("operation", operation.clone())];
    (by_two(CALLS, labels()), by_two(FAILED, labels()))
}

fn calls_other(name: &'static str) -> Counter {
    by_two(name, [("agent", OTHER.to_owned()), ("venue", OTHER.to_owned())])
}

/// Says what each metric is to the recorder that is installed; before the engine opens.
pub fn describe_metrics() {
    for metric in METRICS {
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, metric.help),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            MetricKind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}
