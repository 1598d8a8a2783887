//! The one place where this crate looks at a clock: a venue is another party, with its own time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use omnivenue_core::model::time::Timestamp;

/// The system's time. The venue's own is this and its skew.
#[allow(clippy::disallowed_methods, reason = "the venue is another party: it has its own clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::EPOCH.after(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// How long to sleep until an instant.
pub(crate) fn until(at: Timestamp) -> Duration {
    at.since(now())
}
