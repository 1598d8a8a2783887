//! What was spent, and until when it counts.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The weights spent within a sliding window, in a bounded number of entries.
#[derive(Debug)]
pub(super) struct Window {
    length: Duration,
    /// Spendings closer together than this are one entry, at the time of the later: it counts too long, never too short.
    grain: Duration,
    spendings: VecDeque<Spending>,
    spent: u32,
}

#[derive(Debug)]
struct Spending {
    /// When the entry was begun.
    since: Instant,
    /// When it was last added to.
    at: Instant,
    weight: u32,
}

/// How many entries there are in a window, about.
const GRAINS: u32 = 512;

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self { length, grain: length / GRAINS, spendings: VecDeque::new(), spent: 0 }
    }

    /// The weight that counts now.
    pub(super) fn spent(&mut self, now: Instant) -> u32 {
        while let Some(first) = self.spendings.front().filter(|first| now >= first.at + self.length) {
            self.spent -= first.weight;
            self.spendings.pop_front();
        }
        self.spent
    }

    /// When `weight` fits under `most`; `None` is now. `weight` is at most `most`.
    pub(super) fn room(&mut self, now: Instant, weight: u32, most: u32) -> Option<Instant> {
        let mut over = u64::from(self.spent(now)) + u64::from(weight);
        for spending in &self.spendings {
            if over <= u64::from(most) {
                break;
            }
            over -= u64::from(spending.weight);
            if over <= u64::from(most) {
                return Some(spending.at + self.length);
            }
        }
        None
    }

    /// Spends. The caller has asked for room.
    pub(super) fn spend(&mut self, now: Instant, weight: u32) {
        if weight == 0 {
            return;
        }
        self.spent += weight;
        match self.spendings.back_mut().filter(|last| now < last.since + self.grain) {
            Some(last) => {
                last.at = now;
                last.weight += weight;
            }
            None => self.spendings.push_back(Spending { since: now, at: now, weight }),
        }
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.spendings.len()
    }
}
