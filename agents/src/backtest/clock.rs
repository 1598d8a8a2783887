//! Lengths of time in microseconds.

use std::time::Duration;

pub(super) fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}
