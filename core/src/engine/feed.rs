//! Durable entries as a stream, resumable by number.
//!
//! The latest entries are kept in memory, within fixed bounds, for readers that keep up; who falls behind reads the journal, and who falls
//! behind what the journal still keeps is told what it missed. Nothing grows with slow readers: each holds one page.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::handle::EngineError;
use super::meters;
use crate::journal::{Archive, Entry, StoreError};
use crate::model::time::Timestamp;

/// Entries read at once.
const PAGE: usize = 256;
/// The most entries kept in memory.
const LIVE: usize = 4_096;
/// The most bytes of them.
const LIVE_BYTES: usize = 8 * 1024 * 1024;

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

/// Entries that the journal no longer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub to: u64,
}

/// What a reader of events gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EventItem {
    /// These were asked for and are no longer kept: closed segments of the journal may have them. What follows is the next there is.
    Missed {
        /// Which.
        missed: Missed,
    },
    /// The next entry.
    Entry(EventEntry),
}

impl EventItem {
    /// The number of the last entry it speaks of: what to resume after.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        match self {
            Self::Missed { missed } => missed.to,
            Self::Entry(entry) => entry.seq,
        }
    }

    /// The entry, unless entries were missed.
    #[must_use]
    pub fn entry(self) -> Option<EventEntry> {
        match self {
            Self::Missed { .. } => None,
            Self::Entry(entry) => Some(entry),
        }
    }
}

/// An entry as it is kept for readers.
#[derive(Debug, Clone)]
struct Kept {
    seq: u64,
    at: Timestamp,
    body: Arc<str>,
}

impl Kept {
    fn read(&self) -> Result<EventEntry, StoreError> {
        let event = serde_json::from_str(&self.body).map_err(|e| StoreError::Unreadable { seq: self.seq, reason: e.to_string() })?;
        Ok(EventEntry { seq: self.seq, at: self.at, event })
    }
}

#[derive(Debug, Default)]
struct Latest {
    entries: VecDeque<Kept>,
    bytes: usize,
    /// Up to where each reader has come.
    readers: BTreeMap<u64, u64>,
    reader_count: u64,
}

/// The latest durable entries, and who reads.
#[derive(Debug, Default)]
pub(super) struct EventBuffer(Mutex<Latest>);

impl EventBuffer {
    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are durable.
    pub(super) fn push(&self, entries: &[Entry]) {
        let mut latest = self.latest();
        for entry in entries {
            latest.bytes += entry.body.len();
            latest.entries.push_back(Kept { seq: entry.seq, at: entry.at, body: Arc::clone(&entry.body) });
            while latest.entries.len() > LIVE || latest.bytes > LIVE_BYTES {
                let Some(gone) = latest.entries.pop_front() else { break };
                latest.bytes -= gone.body.len();
            }
        }
    }

    /// How many read, and the number that the slowest of them has come to.
    pub(super) fn readers(&self) -> (usize, Option<u64>) {
        let latest = self.latest();
        (latest.readers.len(), latest.readers.values().min().copied())
    }

    /// A page after an entry; `None` when the next one is not among those kept here.
    fn after(&self, seq: u64) -> Option<Vec<Kept>> {
        let latest = self.latest();
        let first = latest.entries.front()?.seq;
        let skip = usize::try_from(seq.checked_add(1)?.checked_sub(first)?).ok()?;
        (skip < latest.entries.len()).then(|| latest.entries.iter().skip(skip).take(PAGE).cloned().collect())
    }
}

/// Durable entries, in order. What is missing is told, never skipped.
pub struct EventFeed {
    archive: Arc<dyn Archive>,
    buffer: Arc<EventBuffer>,
    durable: watch::Receiver<u64>,
    reader: u64,
    last: u64,
    page: VecDeque<Kept>,
}

impl std::fmt::Debug for EventFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventFeed").field("last", &self.last).finish_non_exhaustive()
    }
}

impl Drop for EventFeed {
    fn drop(&mut self) {
        self.buffer.latest().readers.remove(&self.reader);
    }
}

impl EventFeed {
    pub(super) fn new(archive: Arc<dyn Archive>, buffer: Arc<EventBuffer>, durable: watch::Receiver<u64>, since: u64) -> Self {
        let reader = {
            let mut latest = buffer.latest();
            latest.reader_count += 1;
            let reader = latest.reader_count;
            latest.readers.insert(reader, since);
            reader
        };
        Self { archive, buffer, durable, reader, last: since, page: VecDeque::new() }
    }

    /// The next entry, or which ones are no longer kept; waits for one. `None` once the engine is closed and everything was read. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// [`EngineError::Store`] when the journal cannot be read.
    pub async fn next(&mut self) -> Result<Option<EventItem>, EngineError> {
        loop {
            if let Some(item) = self.take()? {
                return Ok(Some(item));
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

    /// The next of the page at hand.
    fn take(&mut self) -> Result<Option<EventItem>, StoreError> {
        let Some(next) = self.page.front() else { return Ok(None) };
        let item = if next.seq > self.last + 1 {
            let missed = Missed { from: self.last + 1, to: next.seq - 1 };
            meters::dropped("events", missed.to - self.last);
            EventItem::Missed { missed }
        } else {
            let entry = next.read()?;
            self.page.pop_front();
            EventItem::Entry(entry)
        };
        self.last = item.seq();
        Ok(Some(item))
    }

    /// Reads a page of what is durable already; `false` when there is nothing more.
    fn read(&mut self) -> Result<bool, StoreError> {
        self.page = match self.buffer.after(self.last) {
            Some(page) => page.into(),
            None => {
                let stored = self.archive.entries_after(self.last, PAGE)?;
                stored.into_iter().map(|stored| Kept { seq: stored.seq, at: stored.at, body: stored.body.into() }).collect()
            }
        };
        if let Some(place) = self.buffer.latest().readers.get_mut(&self.reader) {
            *place = self.last;
        }
        Ok(!self.page.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{ExecutionNumber, Hash, Snapshot, StoredEntry};
    use crate::model::ids::{ClientOrderId, SignalId};

    fn entry(seq: u64, bytes: usize) -> Entry {
        let body = serde_json::Value::String("x".repeat(bytes)).to_string();
        Entry { seq, at: Timestamp::EPOCH, kind: "started", body: body.into(), execution: None, index: None, metadata: None }
    }

    /// A journal that keeps only what is after an entry.
    struct Kept10(u64, u64);

    impl Archive for Kept10 {
        fn latest_snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
            Ok(None)
        }
        fn entries_after(&self, seq: u64, limit: usize) -> Result<Vec<StoredEntry>, StoreError> {
            let stored = |seq| StoredEntry { seq, at: Timestamp::EPOCH, body: "{}".into(), hash: Hash::GENESIS };
            Ok((seq.max(self.0) + 1..=self.1).take(limit).map(stored).collect())
        }
        fn entries_of(&self, _: ExecutionNumber) -> Result<Vec<StoredEntry>, StoreError> {
            Ok(Vec::new())
        }
        fn execution_of_signal(&self, _: &SignalId) -> Result<Option<ExecutionNumber>, StoreError> {
            Ok(None)
        }
        fn execution_of_order(&self, _: &ClientOrderId) -> Result<Option<ExecutionNumber>, StoreError> {
            Ok(None)
        }
        fn body_hash_of(&self, _: &SignalId) -> Result<Option<String>, StoreError> {
            Ok(None)
        }
        fn bytes(&self) -> Result<u64, StoreError> {
            Ok(0)
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// FIELD: streams that silently skip what a slow reader had no time for.
    #[test]
    fn a_slow_reader_is_told_what_it_missed_and_gets_all_the_rest() {
        let buffer = Arc::new(EventBuffer::default());
        // The journal keeps 51 to 100, the buffer 91 to 100.
        buffer.push(&(91..=100).map(|seq| entry(seq, 1)).collect::<Vec<_>>());
        let (head, durable) = watch::channel(100);
        for since in [0, 10, 49, 50, 51, 89, 90, 95, 99, 100] {
            let mut feed = EventFeed::new(Arc::new(Kept10(50, 100)), Arc::clone(&buffer), durable.clone(), since);
            let mut next = since + 1;
            if since < 50 {
                let missed = Missed { from: since + 1, to: 50 };
                assert_eq!(block_on(feed.next()).unwrap(), Some(EventItem::Missed { missed }));
                next = 51;
            }
            for seq in next..=100 {
                assert_eq!(block_on(feed.next()).unwrap().unwrap().entry().unwrap().seq, seq);
            }
        }
        drop(head);
        let mut feed = EventFeed::new(Arc::new(Kept10(50, 100)), Arc::clone(&buffer), durable, 100);
        assert_eq!(buffer.readers(), (1, Some(100)));
        assert_eq!(block_on(feed.next()).unwrap(), None);
        drop(feed);
        assert_eq!(buffer.readers(), (0, None));
    }

    #[test]
    fn what_is_kept_for_readers_is_bounded_in_number_and_in_bytes() {
        let buffer = EventBuffer::default();
        let _slow = EventFeed::new(Arc::new(Kept10(0, 0)), Arc::new(EventBuffer::default()), watch::channel(0).1, 0);
        buffer.push(&(1..=3 * 4_096).map(|seq| entry(seq, 1)).collect::<Vec<_>>());
        assert_eq!(buffer.latest().entries.len(), LIVE);
        buffer.push(&(1..=10).map(|seq| entry(12_288 + seq, LIVE_BYTES / 4)).collect::<Vec<_>>());
        assert!(buffer.latest().bytes <= LIVE_BYTES);
        let after = buffer.after(12_295).unwrap();
        assert_eq!(after.first().unwrap().seq, 12_296);
        assert!(buffer.after(12_298).is_none() && buffer.after(5).is_none() && buffer.after(u64::MAX).is_none());
    }

    #[test]
    fn items_read_as_they_are_written() {
        let missed = EventItem::Missed { missed: Missed { from: 3, to: 9 } };
        assert_eq!(serde_json::to_string(&missed).unwrap(), r#"{"missed":{"from":3,"to":9}}"#);
        let entry = EventItem::Entry(EventEntry { seq: 1, at: Timestamp::EPOCH, event: serde_json::json!({"event": "x"}) });
        for item in [missed, entry] {
            let text = serde_json::to_string(&item).unwrap();
            assert_eq!(serde_json::from_str::<EventItem>(&text).unwrap(), item);
        }
    }
}
