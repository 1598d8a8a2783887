//! What happened, for a person to read when a seed fails.

use omnivenue_core::model::time::Timestamp;

/// A log of one history, kept only when asked.
#[derive(Debug, Default)]
pub struct Story {
    lines: Vec<String>,
    told: bool,
}

impl Story {
    /// One that is kept, or one that forgets.
    #[must_use]
    pub const fn new(told: bool) -> Self {
        Self { lines: Vec::new(), told }
    }

    pub(crate) fn tell(&mut self, at: Timestamp, words: impl FnOnce() -> String) {
        if self.told {
            let millis = at.as_millis();
            self.lines.push(format!("{:>7}.{:03}  {}", millis / 1000 % 100_000, millis % 1000, words()));
        }
    }

    /// The lines so far.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}
