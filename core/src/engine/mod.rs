//! The shell around the state machine.

mod asking;
mod committer;
mod env;
mod feed;
mod handle;
mod health;
mod kernel;
mod killed;
mod meters;
mod pending;
mod report;
mod shell;
mod telemetry;

pub use self::env::{BoxFuture, Env, SystemEnv};
pub use self::feed::{EventEntry, EventFeed, EventItem, Missed};
pub use self::handle::{Engine, EngineError, OpenError, Parts, Wait};
pub use self::health::{Drops, EventsHealth, JournalHealth, VenueHealth};
pub use self::kernel::{Batch, Kernel, ReplayError, Replayed, Task, rebuild, replay};
pub use self::killed::{Flatness, KillForeign, KillPosition, KillReport, may_lift};
pub(crate) use self::meters::dropped as note_dropped;
pub use self::meters::{METRICS, Metric, MetricKind, UPTIME, describe_metrics};
pub use self::report::{
    AccountHealth, Books, BreakerHealth, DepegHealth, DutyReport, FillSummary, Health, KillLatch, LossHealth, OrderSummary, UnknownOrder,
    WaitingSignal, opened_anything,
};

/// Tells the engine's numbers that a log file could not keep up and so many lines were dropped.
pub fn note_dropped_log_lines(lines: u64) {
    health::LOG_LINES.fetch_add(lines, std::sync::atomic::Ordering::Relaxed);
    meters::dropped("log_lines", lines);
}
