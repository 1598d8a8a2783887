//! The one place where this crate looks at clocks: the venues under test live in real time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use omnivenue_core::executor::Now;
use omnivenue_core::model::time::Timestamp;

/// The present, by the wall clock.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the clock module: servers in real time are asked about real time")]
pub(crate) fn now() -> Timestamp {
    Timestamp::EPOCH.after(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The present as the state machine takes it, for a wall clock that shows `wall`.
#[must_use]
pub(crate) fn at(wall: Timestamp) -> Now {
    Now { wall, monotonic: u64::try_from(started().elapsed().as_micros()).unwrap_or(u64::MAX) }
}

/// For lengths of time.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the clock module")]
pub(crate) fn started() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}
