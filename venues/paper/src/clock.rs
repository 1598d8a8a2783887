//! The one place where this crate looks at a clock: the exchange's own thread is the edge of its world.

use std::time::{SystemTime, UNIX_EPOCH};

use omnivenue_core::model::time::Timestamp;

/// The present.
#[allow(clippy::disallowed_methods, reason = "the exchange is another party: its thread has its own clock")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.after(since)
}
