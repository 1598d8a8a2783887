//! Time: ours, and the venue's as we learn it. The one place of this crate where a clock is read.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use omnivenue_core::model::time::Timestamp;

/// An instant of a clock that never steps and counts the time the machine was suspended.
///
/// On Linux `CLOCK_BOOTTIME`; on macOS `CLOCK_MONOTONIC`, which counts sleep there. Elsewhere it may stop during
/// suspend. Meaningless beyond the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let clock = rustix::time::ClockId::Boottime;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let clock = rustix::time::ClockId::Monotonic;
        Self(read(clock))
    }

    /// The time since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant and a length of time later, saturating.
    #[must_use]
    pub const fn after(self, length: Duration) -> Self {
        Self(self.0.saturating_add(length))
    }
}

/// The machine's wall clock. It steps; use it for what people read and for [`VenueClock`].
#[must_use]
pub fn wall() -> Timestamp {
    Timestamp::EPOCH.after(read(rustix::time::ClockId::Realtime))
}

/// The runtime's own time, which tests can stop; it paces timers and proves nothing.
pub(crate) fn paced() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

fn read(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    // A clock before its epoch is as good as none.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// One question about the venue's time: when we asked, what it said, when we heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When the question left, by our clock.
    pub sent: Timestamp,
    /// The time in the answer.
    pub venue: Timestamp,
    /// When the answer came, by our clock.
    pub received: Timestamp,
}

/// The venue's clock, as far as its answers tell.
///
/// The venue read its clock between `sent` and `received`; the middle is the estimate and half the round trip how far
/// off it may be. Of the recent samples the one with the shortest round trip counts. A sample that contradicts earlier
/// ones (one of the two clocks has stepped) replaces them. Before the first one the venue's time is taken to be ours,
/// with an uncertainty of `None`.
#[derive(Debug, Default)]
pub struct VenueClock {
    recent: Mutex<VecDeque<Sample>>,
}

/// How many samples are remembered.
const SAMPLES: usize = 16;

/// How long a sample counts, by our clock.
const SAMPLE_AGE_MAX: Duration = Duration::from_secs(15 * 60);

/// How far clocks drift apart at most, as a divisor of the time between: 100 parts in a million. What venues write in
/// milliseconds adds one more.
const DRIFT_DIVISOR: u32 = 10_000;
const ROUNDING: Duration = Duration::from_millis(1);

impl Sample {
    fn round_trip(&self) -> Duration {
        self.received.since(self.sent)
    }

    /// The venue's time less ours, in microseconds.
    fn offset(&self) -> i64 {
        let ours = i128::from(self.sent.as_micros()) + i128::from(self.received.as_micros());
        let offset = i128::from(self.venue.as_micros()) - ours.div_euclid(2);
        i64::try_from(offset).unwrap_or(if offset < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether both can be true of clocks that do not step.
    fn agrees_with(&self, earlier: &Self) -> bool {
        let apart = Duration::from_micros(self.offset().abs_diff(earlier.offset()));
        let age = self.received.since(earlier.received);
        apart <= half(self.round_trip()) + half(earlier.round_trip()) + age / DRIFT_DIVISOR + ROUNDING
    }
}

impl VenueClock {
    /// Nothing learnt yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns from one answer. A sample that ends before it begins (our clock stepped back) is dropped, and so is what
    /// was learnt under the clock before the step.
    pub fn learn(&self, sample: Sample) {
        let mut recent = self.lock();
        if sample.received < sample.sent {
            recent.clear();
            return;
        }
        let young = |old: &Sample| old.received <= sample.received && sample.received.since(old.received) <= SAMPLE_AGE_MAX;
        recent.retain(|old| young(old) && sample.agrees_with(old));
        if recent.len() >= SAMPLES {
            recent.pop_front();
        }
        recent.push_back(sample);
    }

    /// The venue's time at an instant of ours.
    #[must_use]
    pub fn now(&self, ours: Timestamp) -> Timestamp {
        Timestamp::from_micros(ours.as_micros().saturating_add(self.offset()))
    }

    /// The venue's time less ours, in microseconds; zero before the first sample.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.best().map_or(0, |best| best.offset())
    }

    /// How far off the estimate may be to either side; `None` before the first sample.
    #[must_use]
    pub fn uncertainty(&self) -> Option<Duration> {
        self.best().map(|best| half(best.round_trip()))
    }

    fn best(&self) -> Option<Sample> {
        // Of equally short ones the latest: drift has had the least time.
        self.lock().iter().rev().copied().min_by_key(Sample::round_trip)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Sample>> {
        // A panic elsewhere leaves whole samples behind: each change is one call of the queue.
        self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Rounded up to the microsecond that time is kept in.
fn half(length: Duration) -> Duration {
    Duration::from_micros(u64::try_from(length.as_micros().div_ceil(2)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(sent: i64, venue: i64, received: i64) -> Sample {
        Sample { sent: Timestamp::from_millis(sent), venue: Timestamp::from_millis(venue), received: Timestamp::from_millis(received) }
    }

    #[test]
    fn clocks_run() {
        let (before, wall_before) = (Monotonic::now(), wall());
        std::thread::sleep(Duration::from_millis(3));
        let elapsed = Monotonic::now().since(before);
        assert!(elapsed >= Duration::from_millis(3) && elapsed < Duration::from_secs(60), "{elapsed:?}");
        assert!(wall_before.as_millis() > 1_700_000_000_000 && wall() > wall_before);
        assert_eq!(before.since(Monotonic::now()), Duration::ZERO);
        assert_eq!(before.after(elapsed).since(before), elapsed);
    }

    #[test]
    fn the_shortest_round_trip_counts() {
        let clock = VenueClock::new();
        assert_eq!((clock.offset(), clock.uncertainty()), (0, None));
        clock.learn(sample(1_000, 6_100, 1_200));
        assert_eq!((clock.offset(), clock.uncertainty()), (5_000_000, Some(Duration::from_millis(100))));
        clock.learn(sample(2_000, 7_300, 2_400));
        assert_eq!(clock.offset(), 5_000_000, "a slower answer teaches nothing");
        clock.learn(sample(3_000, 8_015, 3_020));
        assert_eq!((clock.offset(), clock.uncertainty()), (5_005_000, Some(Duration::from_millis(10))));
        clock.learn(sample(4_000, 9_012, 4_020));
        assert_eq!(clock.offset(), 5_002_000, "of equally good ones the latest");
        assert_eq!(clock.now(Timestamp::from_millis(10_000)), Timestamp::from_millis(15_002));
    }

    #[test]
    fn the_past_is_forgotten() {
        let clock = VenueClock::new();
        clock.learn(sample(0, 20, 0));
        for i in 1..=15 {
            clock.learn(sample(i * 1_000, i * 1_000 + 50, i * 1_000 + 100));
        }
        assert_eq!(clock.offset(), 20_000, "sixteen samples are remembered");
        clock.learn(sample(16_000, 16_050, 16_100));
        assert_eq!(clock.offset(), 0, "and no more");

        let clock = VenueClock::new();
        clock.learn(sample(0, 20, 0));
        clock.learn(sample(899_900, 899_950, 900_000));
        assert_eq!(clock.offset(), 20_000, "a quarter of an hour");
        clock.learn(sample(899_901, 899_951, 900_001));
        assert_eq!(clock.offset(), 0, "and no longer");
    }

    #[test]
    fn a_step_of_either_clock_starts_anew() {
        let clock = VenueClock::new();
        clock.learn(sample(100_000, 100_000, 100_000));
        clock.learn(sample(100_500, 90_000, 90_100));
        assert_eq!(clock.uncertainty(), None, "ours stepped back while we waited");
        clock.learn(sample(100_600, 100_700, 100_800));
        clock.learn(sample(50_000, 100_900, 50_400));
        assert_eq!(clock.offset(), 50_700_000, "ours stepped back in between");
        clock.learn(sample(90_000, 101_300, 90_800));
        assert_eq!(clock.offset(), 10_900_000, "ours stepped forward, and the answer was slow");
        clock.learn(sample(91_000, 112_300, 91_800));
        assert_eq!(clock.offset(), 20_900_000, "the venue's stepped");
    }

    proptest! {
        #[test]
        fn the_truth_is_within_the_uncertainty(offset in -10_000_000_i64..10_000_000, trips in proptest::collection::vec((0_i64..500_000, 0_i64..500_000), 1..40)) {
            let clock = VenueClock::new();
            let mut now = 1_000_000_000_i64;
            for (out, back) in trips {
                let (asked, heard) = (now, now + out + back);
                clock.learn(Sample {
                    sent: Timestamp::from_micros(asked),
                    venue: Timestamp::from_micros(asked + out + offset),
                    received: Timestamp::from_micros(heard),
                });
                now = heard + 1_000;
            }
            let error = (clock.offset() - offset).unsigned_abs();
            prop_assert!(u128::from(error) <= clock.uncertainty().unwrap().as_micros() + 1);
        }

        #[test]
        fn nothing_overflows(a in any::<i64>(), b in any::<i64>(), c in any::<i64>(), ours in any::<i64>()) {
            let clock = VenueClock::new();
            clock.learn(Sample { sent: Timestamp::from_micros(a), venue: Timestamp::from_micros(b), received: Timestamp::from_micros(c) });
            let _ = (clock.now(Timestamp::from_micros(ours)), clock.uncertainty());
        }
    }
}
