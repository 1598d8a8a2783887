//! Numbers used once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The one authority for the nonces of one signer: milliseconds that never repeat and always grow.
///
/// Share it (`Arc`) between everything that signs with the key, probes included. It remembers nothing across a
/// restart: the caller gives the highest nonce it has journaled as `floor`, and the first nonce after a start keeps
/// a margin from both, because a predecessor may have used nonces that its journal lost.
#[derive(Debug)]
pub struct Nonces {
    last: AtomicU64,
    margin_ms: u64,
}

/// Far beyond any time; keeps a nonsensical time or floor from using up the numbers above it.
const HIGHEST_START: u64 = 1 << 62;

impl Nonces {
    /// How far ahead the first nonce is: more than a burst of ours can run ahead of the clock.
    pub const MARGIN: Duration = Duration::from_secs(2);

    /// No nonce given out yet; the first one is [`Nonces::MARGIN`] ahead.
    #[must_use]
    pub fn new() -> Self {
        Self::with_margin(Self::MARGIN)
    }

    /// No nonce given out yet; the first one is `margin` ahead.
    #[must_use]
    pub fn with_margin(margin: Duration) -> Self {
        Self { last: AtomicU64::new(0), margin_ms: u64::try_from(margin.as_millis()).unwrap_or(HIGHEST_START).min(HIGHEST_START) }
    }

    /// The next nonce: the highest of the present in milliseconds (the venue's time), the floor and one more than the
    /// last; for the first one, of present + margin and floor + margin. `floor` is the highest nonce known to be used.
    pub fn next(&self, now_ms: u64, floor: Option<u64>) -> u64 {
        let lowest = now_ms.max(floor.map_or(0, |used| used.saturating_add(1))).min(HIGHEST_START);
        let after = |last: u64| if last == 0 { (lowest + self.margin_ms).max(1) } else { lowest.max(last + 1) };
        let before = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)));
        // The closure always gives a number, so the update always happens and `before` is what it replaced.
        match before {
            Ok(last) | Err(last) => after(last),
        }
    }

    /// The last nonce given out.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        Some(self.last.load(Ordering::Relaxed)).filter(|last| *last > 0)
    }
}

impl Default for Nonces {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    #[test]
    fn the_first_keeps_a_margin_and_the_rest_follow_the_clock() {
        let nonces = Nonces::with_margin(Duration::from_millis(500));
        assert_eq!(nonces.last(), None);
        assert_eq!(nonces.next(NOW, None), NOW + 500);
        assert_eq!(nonces.next(NOW, None), NOW + 501);
        assert_eq!(nonces.next(NOW + 400, None), NOW + 502);
        assert_eq!(nonces.next(NOW + 9_000, None), NOW + 9_000);
        assert_eq!(nonces.next(NOW - 86_400_000, None), NOW + 9_001, "the clock stepped back");
        assert_eq!(nonces.last(), Some(NOW + 9_001));
    }

    #[test]
    fn what_the_journal_used_is_never_given_again() {
        let nonces = Nonces::with_margin(Duration::from_millis(500));
        assert_eq!(nonces.next(NOW, Some(NOW + 7_000)), NOW + 7_501);
        assert_eq!(nonces.next(NOW, Some(NOW + 8_000)), NOW + 8_001);
        assert_eq!(nonces.next(NOW, Some(NOW)), NOW + 8_002);
    }

    #[test]
    fn nonsense_does_not_use_up_the_numbers() {
        let nonces = Nonces::with_margin(Duration::MAX);
        let first = nonces.next(u64::MAX, Some(u64::MAX));
        assert!(nonces.next(u64::MAX, Some(u64::MAX)) == first + 1 && first < u64::MAX - (1 << 60));
    }

    #[test]
    fn threads_never_get_the_same_one() {
        let nonces = Arc::new(Nonces::new());
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let nonces = Arc::clone(&nonces);
                std::thread::spawn(move || (0..5_000).map(|i| nonces.next(NOW + i / 100, None)).collect::<Vec<_>>())
            })
            .collect();
        let mut seen = BTreeSet::new();
        for thread in threads {
            let got = thread.join().unwrap();
            assert!(got.is_sorted(), "each thread sees them grow");
            seen.extend(got);
        }
        assert_eq!(seen.len(), 8 * 5_000);
    }

    proptest! {
        #[test]
        fn they_grow_whatever_the_clock_does(calls in proptest::collection::vec((any::<u64>(), any::<Option<u64>>()), 1..200), margin in 0_u64..10_000) {
            let nonces = Nonces::with_margin(Duration::from_millis(margin));
            let mut last = 0;
            for (now, floor) in calls {
                let nonce = nonces.next(now, floor);
                prop_assert!(nonce > last);
                prop_assert!(nonce >= now.min(HIGHEST_START) && floor.is_none_or(|used| nonce > used || used >= HIGHEST_START));
                last = nonce;
            }
        }
    }
}
