//! Durable entries as a stream, resumable by number.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::handle::EngineError;
use crate::journal::{Archive, StoreError};
use crate::model::time::Timestamp;

/// Entries read at once.
const PAGE: usize = 256;

/// One durable entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventEntry {
    /// Its number.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// What happened.
    pub event: serde_json::Value,
}

/// Durable entries, in order, without a gap.
pub struct EventFeed {
    archive: Arc<dyn Archive>,
    durable: watch::Receiver<u64>,
    last: u64,
    page: VecDeque<EventEntry>,
}

impl std::fmt::Debug for EventFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventFeed").field("last", &self.last).finish_non_exhaustive()
    }
}

impl EventFeed {
    pub(super) fn new(archive: Arc<dyn Archive>, durable: watch::Receiver<u64>, since: u64) -> Self {
        Self { archive, durable, last: since, page: VecDeque::new() }
    }

    /// The next entry; waits for one. `None` once the engine is closed and everything was read.
    ///
    /// # Errors
    /// [`EngineError::Store`] when the journal cannot be read.
    pub async fn next(&mut self) -> Result<Option<EventEntry>, EngineError> {
        loop {
            if let Some(entry) = self.page.pop_front() {
                self.last = entry.seq;
                return Ok(Some(entry));
            }
            if self.read()? {
                continue;
            }
            let last = self.last;
            if self.durable.wait_for(|durable| *durable > last).await.is_err() && !self.read()? {
                return Ok(None);
            }
        }
    }

    /// Reads a page of what is durable already; `false` when there is nothing more.
    fn read(&mut self) -> Result<bool, StoreError> {
        for stored in self.archive.entries_after(self.last, PAGE)? {
            let event =
                serde_json::from_str(&stored.body).map_err(|e| StoreError::Unreadable { seq: stored.seq, reason: e.to_string() })?;
            self.page.push_back(EventEntry { seq: stored.seq, at: stored.at, event });
        }
        Ok(!self.page.is_empty())
    }
}
