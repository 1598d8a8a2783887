//! What a venue has told of an account beside our orders: remembered by the venue's own names, so that nothing is booked twice.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::ids::AdjustmentId;
use crate::model::time::Timestamp;

/// How many names are remembered; the oldest quarter goes when there are more, and what is as old counts as booked from then on.
const REMEMBERED: usize = 4_096;

/// The names booked since an instant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Told {
    since: Timestamp,
    latest: Timestamp,
    ids: BTreeMap<AdjustmentId, Timestamp>,
}

impl Told {
    /// Nothing yet; what was earlier than `since` counts as booked, and so does what is `known`.
    pub(super) fn from(since: Timestamp, until: Timestamp, known: &[AdjustmentId]) -> Self {
        Self { since, latest: until, ids: known.iter().map(|id| (id.clone(), until)).collect() }
    }

    /// Whether something is booked already.
    pub(super) fn knows(&self, id: &AdjustmentId, at: Timestamp) -> bool {
        at < self.since || self.ids.contains_key(id)
    }

    /// Everything up to an instant was told, whether there was anything to book or not.
    pub(super) fn advance(&mut self, until: Timestamp) {
        self.latest = self.latest.max(until);
    }

    /// Up to when everything is known to have been told.
    pub(super) const fn latest(&self) -> Timestamp {
        self.latest
    }

    /// Remembers something; `false` when it was known.
    pub(super) fn note(&mut self, id: &AdjustmentId, at: Timestamp) -> bool {
        if self.knows(id, at) {
            return false;
        }
        self.latest = self.latest.max(at);
        self.ids.insert(id.clone(), at);
        if self.ids.len() > REMEMBERED {
            let mut times: Vec<Timestamp> = self.ids.values().copied().collect();
            times.sort_unstable();
            self.since = times[REMEMBERED / 4].after(Duration::from_micros(1));
            self.ids.retain(|_, at| *at >= self.since);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: i64) -> AdjustmentId {
        format!("trade:{number}").parse().unwrap()
    }

    #[test]
    fn nothing_is_new_twice_and_memory_is_bounded() {
        let mut told = Told::from(Timestamp::from_micros(10), Timestamp::from_micros(20), &[id(20)]);
        assert!(!told.note(&id(5), Timestamp::from_micros(5)), "it was before");
        assert!(!told.note(&id(20), Timestamp::from_micros(20)), "it was in what was held");
        for number in 100..20_000 {
            assert!(told.note(&id(number), Timestamp::from_micros(number)), "{number}");
            assert!(told.ids.len() <= REMEMBERED);
        }
        for number in 100..20_000 {
            assert!(!told.note(&id(number), Timestamp::from_micros(number)), "{number} again");
        }
        for number in 0..10_000 {
            told.note(&id(100_000 + number), Timestamp::from_micros(20_000));
            assert!(told.ids.len() <= REMEMBERED, "at one instant");
        }
    }
}
