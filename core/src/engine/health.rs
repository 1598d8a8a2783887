//! What `health` tells beside the accounts, the breakers and what waits for somebody: how the parts around the state are.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::feed::EventBuffer;
use super::kernel::Kernel;
use super::report::Health;
use crate::agent::AgentStatus;
use crate::executor::{Breakers, Now};
use crate::journal::BreakerState;
use crate::model::ids::VenueId;

/// Lines that log files could not keep up with, in this process.
pub(super) static LOG_LINES: AtomicU64 = AtomicU64::new(0);

/// How one venue is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueHealth {
    /// The venue.
    pub venue: VenueId,
    /// Its circuit breaker.
    pub state: BreakerState,
    /// Calls to it that came back, within the breakers' window.
    pub calls: u32,
    /// Of these, those that failed for a reason of the venue's.
    pub failed: u32,
    /// Calls since the engine opened, but for those that only asked whether an account is ready.
    pub calls_total: u64,
    /// Of these, those that failed for whatever reason.
    pub failed_total: u64,
    /// How long the latest order took to be answered, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<u64>,
    /// Milliseconds since its latest price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_ms_ago: Option<u64>,
    /// Milliseconds since it last answered a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_ms_ago: Option<u64>,
    /// How often its stream of prices, or a stream of orders there, ended and was opened again.
    pub reconnects: u64,
}

/// How the journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JournalHealth {
    /// The last entry decided.
    pub head: u64,
    /// The last entry that is durable.
    pub durable: u64,
    /// How many are decided and not durable yet.
    pub lag: u64,
    /// What it takes on disk, with its write-ahead log, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How long the latest flush took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flush_us: Option<u64>,
    /// How long the slowest took since the engine opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest_flush_us: Option<u64>,
}

/// Who reads events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventsHealth {
    /// How many read.
    pub readers: usize,
    /// How many entries the slowest of them is behind what is durable.
    pub furthest_behind: u64,
}

/// What was dropped because its reader was too slow, since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Drops {
    /// Inputs of agents.
    pub agent_inputs: u64,
    /// Lines of log files.
    pub log_lines: u64,
}

/// What only the shell knows.
pub(super) struct Around<'a> {
    pub(super) events: &'a EventBuffer,
    pub(super) agents: Vec<AgentStatus>,
    /// The latest and the slowest flush, in microseconds.
    pub(super) flushes: Option<(u64, u64)>,
    pub(super) reconnects: &'a dyn Fn(&VenueId) -> u64,
}

/// All of it.
pub(super) fn complete(kernel: &Kernel, now: Now, around: Around<'_>) -> Health {
    let mut health = kernel.health(now);
    for account in &mut health.accounts {
        let heard = kernel.telemetry().and_then(|telemetry| telemetry.heard_at(&account.account));
        account.stream_ms_ago = heard.map(|at| now.monotonic.saturating_sub(at) / 1_000);
    }
    let (readers, slowest) = around.events.readers();
    let durable = kernel.durable();
    let dropped = around.agents.iter().map(|agent| agent.dropped).sum();
    Health {
        uptime_ms: kernel.telemetry().and_then(|telemetry| u64::try_from(telemetry.uptime(now).as_millis()).ok()),
        venues: venues(kernel, now, around.reconnects),
        journal: JournalHealth {
            head: kernel.seq(),
            durable,
            lag: kernel.seq().saturating_sub(durable),
            bytes: kernel.archive().bytes().ok(),
            flush_us: around.flushes.map(|(latest, _)| latest),
            slowest_flush_us: around.flushes.map(|(_, slowest)| slowest),
        },
        events: EventsHealth { readers, furthest_behind: slowest.map_or(0, |seq| durable.saturating_sub(seq)) },
        agents: around.agents,
        drops: Drops { agent_inputs: dropped, log_lines: LOG_LINES.load(Ordering::Relaxed) },
        ..health
    }
}

fn venues(kernel: &Kernel, now: Now, reconnects: &dyn Fn(&VenueId) -> u64) -> Vec<VenueHealth> {
    let (setup, state) = (kernel.setup(), kernel.state());
    let mut names: Vec<&VenueId> = setup.accounts.values().map(|account| &account.venue).collect();
    names.sort();
    names.dedup();
    let breakers: &Breakers = &setup.breakers;
    let health = |venue: &VenueId| {
        let wellness = state.wellness(venue, breakers, now.monotonic);
        let tally = kernel.telemetry().map(|telemetry| telemetry.tally(venue)).unwrap_or_default();
        VenueHealth {
            venue: venue.clone(),
            state: state.book().breaker(Some(venue)).map_or(BreakerState::Normal, |breaker| breaker.state),
            calls: wellness.calls,
            failed: wellness.failed,
            calls_total: tally.calls,
            failed_total: tally.failed,
            latency_us: tally.latency,
            price_ms_ago: wellness.unpriced.map(|micros| micros / 1_000),
            answer_ms_ago: wellness.unanswered.map(|micros| micros / 1_000),
            reconnects: reconnects(venue),
        }
    };
    names.into_iter().map(health).collect()
}
