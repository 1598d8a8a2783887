//! A journal that keeps what is still asked for, and of the rest the hash of the chain: for runs of any length.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use omnivenue_core::executor::RETAINED;
use omnivenue_core::journal::{Archive, ChainKey, Entry, ExecutionNumber, Hash, IndexKey, Journal, Snapshot, StoreError, StoredEntry};
use omnivenue_core::model::ids::{ClientOrderId, SignalId};

/// Executions whose entries are kept: more than the state machine has at hand, so that what turns up late is still found.
const KEPT: usize = 4 * RETAINED;

#[derive(Debug, Default)]
struct Kept {
    entries: Vec<StoredEntry>,
    signals: Vec<SignalId>,
    orders: Vec<ClientOrderId>,
}

#[derive(Debug)]
struct Inner {
    executions: BTreeMap<ExecutionNumber, Kept>,
    signals: BTreeMap<SignalId, ExecutionNumber>,
    orders: BTreeMap<ClientOrderId, ExecutionNumber>,
    head: Hash,
    seq: u64,
}

/// The journal; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Store {
    inner: Arc<Mutex<Inner>>,
    key: ChainKey,
}

impl Store {
    pub(super) fn new() -> Self {
        let inner = Inner { executions: BTreeMap::new(), signals: BTreeMap::new(), orders: BTreeMap::new(), head: Hash::GENESIS, seq: 0 };
        Self { inner: Arc::new(Mutex::new(inner)), key: ChainKey::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hash over all that was written, and how many entries that is.
    pub(super) fn head(&self) -> (Hash, u64) {
        let inner = self.inner();
        (inner.head, inner.seq)
    }
}

impl Inner {
    fn forget(&mut self) {
        while self.executions.len() > KEPT {
            let Some((_, old)) = self.executions.pop_first() else { return };
            for id in &old.signals {
                self.signals.remove(id);
            }
            for id in &old.orders {
                self.orders.remove(id);
            }
        }
    }
}

impl Journal for Store {
    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut inner = self.inner();
        for entry in entries {
            let hash = self.key.link(inner.head, entry.seq, entry.at, &entry.body);
            (inner.head, inner.seq) = (hash, entry.seq);
            // What is of no execution is asked for only when a journal is opened, and this one never is again.
            let Some(execution) = entry.execution else { continue };
            let kept = inner.executions.entry(execution).or_default();
            kept.entries.push(StoredEntry { seq: entry.seq, at: entry.at, body: entry.body.to_string(), hash });
            match &entry.index {
                Some(IndexKey::Signal(id)) => {
                    kept.signals.push(id.clone());
                    inner.signals.insert(id.clone(), execution);
                }
                Some(IndexKey::Order(id)) => {
                    kept.orders.push(id.clone());
                    inner.orders.insert(id.clone(), execution);
                }
                Some(IndexKey::Erased(_)) | None => {}
            }
        }
        inner.forget();
        Ok(())
    }

    fn snapshot(&mut self, _: u64, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Archive for Store {
    fn latest_snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        Ok(None)
    }

    fn entries_after(&self, seq: u64, _: usize) -> Result<Vec<StoredEntry>, StoreError> {
        // Only an empty one is ever replayed.
        if self.inner().seq > seq { Err(StoreError::Io("the journal of a backtest cannot be replayed".into())) } else { Ok(Vec::new()) }
    }

    fn entries_of(&self, execution: ExecutionNumber) -> Result<Vec<StoredEntry>, StoreError> {
        Ok(self.inner().executions.get(&execution).map(|kept| kept.entries.clone()).unwrap_or_default())
    }

    fn execution_of_signal(&self, id: &SignalId) -> Result<Option<ExecutionNumber>, StoreError> {
        Ok(self.inner().signals.get(id).copied())
    }

    fn body_hash_of(&self, _: &SignalId) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    fn bytes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn execution_of_order(&self, id: &ClientOrderId) -> Result<Option<ExecutionNumber>, StoreError> {
        Ok(self.inner().orders.get(id).copied())
    }
}
