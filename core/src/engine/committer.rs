//! The journal's own thread: takes batches, flushes, says when they are durable. Nothing waits for the disk but what must.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::env::Env;
use super::kernel::Batch;
use super::meters::FlushMeters;
use crate::executor::Book;
use crate::journal::{Journal, StoreError};

/// Work for the journal.
pub(super) enum Work {
    /// Make a batch durable.
    Commit(Batch),
    /// Keep the state as of an entry; after the batches before it.
    Snapshot(u64, Box<Book>),
}

/// What became of a batch.
pub(super) type Committed = Result<Batch, StoreError>;

/// How long flushes take, in microseconds; 0 before the first.
#[derive(Debug, Default)]
pub(super) struct Flushes {
    latest: AtomicU64,
    slowest: AtomicU64,
}

impl Flushes {
    fn note(&self, micros: u64) {
        self.latest.store(micros, Ordering::Relaxed);
        self.slowest.fetch_max(micros, Ordering::Relaxed);
    }

    /// The latest and the slowest; `None` before the first.
    pub(super) fn told(&self) -> Option<(u64, u64)> {
        let slowest = self.slowest.load(Ordering::Relaxed);
        (slowest > 0).then(|| (self.latest.load(Ordering::Relaxed), slowest))
    }
}

/// The thread's other end.
pub(super) struct Committer {
    pub(super) work: mpsc::Sender<Work>,
    pub(super) flushes: Arc<Flushes>,
}

/// Starts the thread; it ends when the sender is dropped, and closes the journal then.
pub(super) fn start(env: &Arc<dyn Env>, mut journal: Box<dyn Journal>, done: UnboundedSender<Committed>) -> std::io::Result<Committer> {
    let (sender, work) = mpsc::channel::<Work>();
    let flushes = Arc::new(Flushes::default());
    let (clock, noted, meters) = (Arc::clone(env), Arc::clone(&flushes), FlushMeters::new());
    let body = move || {
        for work in work {
            match work {
                Work::Commit(batch) => {
                    let began = clock.now().monotonic;
                    let result = journal.append(&batch.entries);
                    let took = clock.now().monotonic.saturating_sub(began).max(1);
                    if result.is_ok() {
                        noted.note(took);
                        meters.flushed(batch.entries.len(), Duration::from_micros(took));
                    }
                    if done.send(result.map(|()| batch)).is_err() {
                        break;
                    }
                }
                Work::Snapshot(seq, book) => {
                    let kept = serde_json::to_string(&book)
                        .map_err(|e| StoreError::Io(e.to_string()))
                        .and_then(|state| journal.snapshot(seq, &state));
                    if let Err(error) = kept {
                        tracing::warn!(%error, seq, "no snapshot was kept; the journal itself is unharmed");
                    }
                }
            }
        }
    };
    env.spawn_thread("omnivenue-journal", Box::new(body))?;
    Ok(Committer { work: sender, flushes })
}
