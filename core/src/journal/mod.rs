//! The durable, ordered, hash-chained log that is ours alone: its events, its chain, and what a store must do.

mod adjustment;
mod chain;
mod event;
mod loss;
mod memory;

use std::ops::Deref;
use std::sync::Arc;

pub use self::adjustment::{Adjustment, AdjustmentKind, Basis, PriceSource, Share};
pub use self::chain::{ChainError, ChainKey, Hash};
pub use self::event::{
    Admission, BreakerState, Command, ConfigChange, Event, ExecutionNumber, Failure, Intent, KillMode, KillScope, LegPlan, LegRef,
    OrderPlan, Protect, Reserve, Terms, Verdict,
};
pub use self::loss::{Baseline, LimitBroken, LossKind, LossScope, OnBreach};
pub use self::memory::MemoryStore;
use crate::model::ids::{ClientOrderId, SignalId};
use crate::model::time::Timestamp;

/// Proof that what it holds is durable in the journal. Made when a commit has succeeded, and by nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journaled<T>(T);

impl<T> Journaled<T> {
    /// Only the kernel calls this, for what a commit that succeeded contained.
    pub(crate) fn witnessed(durable: T) -> Self {
        Self(durable)
    }
}

impl<T> Deref for Journaled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// One line of the journal, as it is stored: the chain runs over exactly these bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// The event's name.
    pub kind: &'static str,
    /// The event as JSON.
    pub body: Arc<str>,
    /// The execution it belongs to, for finding an old one again.
    pub execution: Option<ExecutionNumber>,
    /// What the store indexes beside it.
    pub index: Option<IndexKey>,
    /// Whatever the caller attached to a signal: kept apart from the chain, erasable.
    pub metadata: Option<String>,
}

/// What a store can find an execution by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexKey {
    /// The first entry of a signal or a request to close.
    Signal(SignalId),
    /// The intent of an order.
    Order(ClientOrderId),
    /// What the caller attached to this signal goes, for ever and with this very entry.
    Erased(SignalId),
}

/// One line of the journal as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its number.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// The event as JSON.
    pub body: String,
    /// The chain up to and including it.
    pub hash: Hash,
}

impl StoredEntry {
    /// The event.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when the body is not an event of this version.
    pub fn event(&self) -> Result<Event, StoreError> {
        serde_json::from_str(&self.body).map_err(|e| StoreError::Unreadable { seq: self.seq, reason: e.to_string() })
    }
}

/// The state at one entry, so that a start need not replay what came before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last entry it contains.
    pub seq: u64,
    /// The chain up to that entry.
    pub hash: Hash,
    /// The state as JSON.
    pub state: String,
}

/// Why a store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another engine owns it.
    #[error("{what} is in use by another engine{owner}; stop that one first, or talk to it", owner = .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse {
        /// The file.
        what: String,
        /// The process that owns it, where it is known.
        pid: Option<i32>,
    },
    /// The chain is broken: the file was changed by something else.
    #[error("the journal's hash chain is broken: {0}; restore a backup, or examine it with `omnivenue journal verify`")]
    Broken(#[from] ChainError),
    /// The journal is whole, but is not the one that was expected.
    #[error("no entry of the journal has the hash {expected}: it is another journal, or an older copy; its head is {head}")]
    OtherHead {
        /// The hash that was noted earlier.
        expected: String,
        /// The hash of its last entry.
        head: String,
    },
    /// An entry cannot be read.
    #[error("entry {seq} of the journal cannot be read: {reason}")]
    Unreadable {
        /// The entry.
        seq: u64,
        /// What is wrong.
        reason: String,
    },
    /// What is asked for was once here and is no longer kept: its entries went with a closed segment.
    #[error("{0} is known and its entries are no longer kept in the journal; closed segments have them")]
    NotKept(String),
    /// A file of another version, or no journal at all.
    #[error("{0}")]
    Incompatible(String),
    /// Writing or reading failed. After a failed write the store takes no more.
    #[error("the journal cannot be written or read: {0}")]
    Io(String),
}

/// Where the journal is kept. One writer; owned by the committing thread.
pub trait Journal: Send {
    /// Makes all entries durable, in order, as one: on return all of them are, or an error says that none is promised. After an
    /// error every further call fails: a failed flush is never retried as if nothing had happened.
    ///
    /// # Errors
    /// [`StoreError::Io`], for good.
    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError>;

    /// Keeps the state as of `snapshot.seq`; `snapshot.hash` is ignored, the store knows its chain. May be called off the commit path.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the journal itself is unharmed.
    fn snapshot(&mut self, seq: u64, state: &str) -> Result<(), StoreError>;

    /// After how many entries the state should be kept: a start replays at most about as many.
    fn snapshot_every(&self) -> u64 {
        20_000
    }
}

/// Reads what is durable, beside the writer. Shared; each call is one consistent read.
pub trait Archive: Send + Sync {
    /// The latest snapshot.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read or is not what the chain says.
    fn latest_snapshot(&self) -> Result<Option<Snapshot>, StoreError>;

    /// Up to `limit` entries after `seq`, in order.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    fn entries_after(&self, seq: u64, limit: usize) -> Result<Vec<StoredEntry>, StoreError>;

    /// The entries of one execution, in order. Cost: O(log history + its own entries).
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    fn entries_of(&self, execution: ExecutionNumber) -> Result<Vec<StoredEntry>, StoreError>;

    /// The execution of a signal or a request to close. Cost: O(log history).
    ///
    /// # Errors
    /// [`StoreError`] when the index cannot be read.
    fn execution_of_signal(&self, id: &SignalId) -> Result<Option<ExecutionNumber>, StoreError>;

    /// The execution of an order. Cost: O(log history).
    ///
    /// # Errors
    /// [`StoreError`] when the index cannot be read.
    fn execution_of_order(&self, id: &ClientOrderId) -> Result<Option<ExecutionNumber>, StoreError>;

    /// The hash of the body of a signal or a request to close whose entries are no longer kept; `None` while they are. Cost: O(log history).
    ///
    /// # Errors
    /// [`StoreError`] when the index cannot be read.
    fn body_hash_of(&self, id: &SignalId) -> Result<Option<String>, StoreError>;

    /// What the journal takes on disk now, in bytes.
    ///
    /// # Errors
    /// [`StoreError`] when that cannot be found out.
    fn bytes(&self) -> Result<u64, StoreError>;
}
