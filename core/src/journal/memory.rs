//! A journal in memory, for tests and the simulator: it forgets everything with the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Archive, ChainKey, Entry, ExecutionNumber, Hash, IndexKey, Journal, Snapshot, StoreError, StoredEntry};
use crate::model::ids::{ClientOrderId, SignalId};

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<StoredEntry>,
    executions: BTreeMap<ExecutionNumber, Vec<usize>>,
    signals: BTreeMap<SignalId, ExecutionNumber>,
    orders: BTreeMap<ClientOrderId, ExecutionNumber>,
    snapshot: Option<Snapshot>,
    failing: bool,
}

/// A journal in memory; clones share it, as the writer and its readers do.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
    key: ChainKey,
}

impl MemoryStore {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every write fails, as on a full disk; or no longer does, as after a restart with room on it.
    pub fn set_failing(&self, failing: bool) {
        self.inner().failing = failing;
    }

    /// Whether every write fails at present.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.inner().failing
    }

    /// Everything written, in order.
    #[must_use]
    pub fn entries(&self) -> Vec<StoredEntry> {
        self.inner().entries.clone()
    }

    /// Whether the intent of this order is durable.
    #[must_use]
    pub fn knows(&self, order: &ClientOrderId) -> bool {
        self.inner().orders.contains_key(order)
    }

    /// A copy of the first `count` entries in a store of its own: a journal as it was, or one rolled back.
    #[must_use]
    pub fn truncated(&self, count: usize) -> Self {
        let copy = Self { inner: Arc::default(), key: self.key.clone() };
        {
            let (from, mut to) = (self.inner(), copy.inner());
            to.entries = from.entries.iter().take(count).cloned().collect();
            for (execution, places) in &from.executions {
                let kept: Vec<usize> = places.iter().copied().filter(|place| *place < count).collect();
                if !kept.is_empty() {
                    to.executions.insert(*execution, kept);
                }
            }
            to.signals = from.signals.iter().filter(|(_, e)| to.executions.contains_key(e)).map(|(k, v)| (k.clone(), *v)).collect();
            let known: Vec<ClientOrderId> = to.entries.iter().filter_map(|e| e.event().ok()?.order().cloned()).collect();
            to.orders = from.orders.iter().filter(|(id, _)| known.contains(id)).map(|(k, v)| (k.clone(), *v)).collect();
        }
        copy
    }
}

impl Journal for MemoryStore {
    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut inner = self.inner();
        if inner.failing {
            return Err(StoreError::Io("no space left (simulated)".into()));
        }
        for entry in entries {
            let place = inner.entries.len();
            let previous = inner.entries.last().map_or(Hash::GENESIS, |last| last.hash);
            let hash = self.key.link(previous, entry.seq, entry.at, &entry.body);
            inner.entries.push(StoredEntry { seq: entry.seq, at: entry.at, body: entry.body.to_string(), hash });
            if let Some(execution) = entry.execution {
                inner.executions.entry(execution).or_default().push(place);
                match &entry.index {
                    Some(IndexKey::Signal(id)) => drop(inner.signals.insert(id.clone(), execution)),
                    Some(IndexKey::Order(id)) => drop(inner.orders.insert(id.clone(), execution)),
                    Some(IndexKey::Erased(_)) | None => {}
                }
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, seq: u64, state: &str) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let hash = inner.entries.iter().rev().find(|entry| entry.seq == seq).map(|entry| entry.hash);
        let hash = hash.ok_or_else(|| StoreError::Io(format!("entry {seq} is not in the journal")))?;
        inner.snapshot = Some(Snapshot { seq, hash, state: state.to_owned() });
        Ok(())
    }
}

impl Archive for MemoryStore {
    fn latest_snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.inner().snapshot.clone())
    }

    fn entries_after(&self, seq: u64, limit: usize) -> Result<Vec<StoredEntry>, StoreError> {
        let inner = self.inner();
        let from = inner.entries.partition_point(|entry| entry.seq <= seq);
        Ok(inner.entries.iter().skip(from).take(limit).cloned().collect())
    }

    fn entries_of(&self, execution: ExecutionNumber) -> Result<Vec<StoredEntry>, StoreError> {
        let inner = self.inner();
        let places = inner.executions.get(&execution).map(Vec::as_slice).unwrap_or_default();
        Ok(places.iter().map(|place| inner.entries[*place].clone()).collect())
    }

    fn execution_of_signal(&self, id: &SignalId) -> Result<Option<ExecutionNumber>, StoreError> {
        Ok(self.inner().signals.get(id).copied())
    }

    fn execution_of_order(&self, id: &ClientOrderId) -> Result<Option<ExecutionNumber>, StoreError> {
        Ok(self.inner().orders.get(id).copied())
    }

    fn body_hash_of(&self, _: &SignalId) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    fn bytes(&self) -> Result<u64, StoreError> {
        Ok(self.inner().entries.iter().map(|entry| u64::try_from(entry.body.len()).unwrap_or(0)).sum())
    }
}
