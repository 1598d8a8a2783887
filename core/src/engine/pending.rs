//! What was decided but is not durable yet, as the archive will tell it: so that nothing is forgotten between the state letting it go and
//! the journal having it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::journal::{Entry, Event, ExecutionNumber, IndexKey, StoreError};
use crate::model::ids::{ClientOrderId, SignalId};

#[derive(Debug)]
struct Line {
    seq: u64,
    execution: Option<ExecutionNumber>,
    index: Option<IndexKey>,
    body: Arc<str>,
}

/// Entries on their way to the journal. Holds no more than what the journal is behind by.
#[derive(Debug, Default)]
pub(super) struct Pending {
    lines: VecDeque<Line>,
    signals: BTreeMap<SignalId, ExecutionNumber>,
    orders: BTreeMap<ClientOrderId, ExecutionNumber>,
}

impl Pending {
    pub(super) fn push(&mut self, entry: &Entry) {
        if let (Some(execution), Some(index)) = (entry.execution, &entry.index) {
            match index {
                IndexKey::Signal(id) => drop(self.signals.insert(id.clone(), execution)),
                IndexKey::Order(id) => drop(self.orders.insert(id.clone(), execution)),
                IndexKey::Erased(_) => {}
            }
        }
        self.lines.push_back(Line {
            seq: entry.seq,
            execution: entry.execution,
            index: entry.index.clone(),
            body: Arc::clone(&entry.body),
        });
    }

    /// Everything up to `seq` is durable: the archive tells it from now on.
    pub(super) fn durable(&mut self, seq: u64) {
        while self.lines.front().is_some_and(|line| line.seq <= seq) {
            match self.lines.pop_front().and_then(|line| line.index) {
                Some(IndexKey::Signal(id)) => drop(self.signals.remove(&id)),
                Some(IndexKey::Order(id)) => drop(self.orders.remove(&id)),
                Some(IndexKey::Erased(_)) | None => {}
            }
        }
    }

    pub(super) fn signal(&self, id: &SignalId) -> Option<ExecutionNumber> {
        self.signals.get(id).copied()
    }

    pub(super) fn order(&self, id: &ClientOrderId) -> Option<ExecutionNumber> {
        self.orders.get(id).copied()
    }

    /// The events of one execution, in order. O(what the journal is behind by).
    pub(super) fn events(&self, execution: ExecutionNumber) -> Result<Vec<(u64, Event)>, StoreError> {
        let lines = self.lines.iter().filter(|line| line.execution == Some(execution));
        let read = |line: &Line| match serde_json::from_str(&line.body) {
            Ok(event) => Ok((line.seq, event)),
            Err(e) => Err(StoreError::Unreadable { seq: line.seq, reason: e.to_string() }),
        };
        lines.map(read).collect()
    }
}
