//! The journal's own thread: takes batches, flushes, says when they are durable. Nothing waits for the disk but what must.

use std::sync::mpsc;

use tokio::sync::mpsc::UnboundedSender;

use super::env::Env;
use super::kernel::Batch;
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

/// Starts the thread; it ends when the sender is dropped, and closes the journal then.
pub(super) fn start(env: &dyn Env, mut journal: Box<dyn Journal>, done: UnboundedSender<Committed>) -> std::io::Result<mpsc::Sender<Work>> {
    let (sender, work) = mpsc::channel::<Work>();
    let body = move || {
        for work in work {
            match work {
                Work::Commit(batch) => {
                    let result = journal.append(&batch.entries).map(|()| batch);
                    if done.send(result).is_err() {
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
    Ok(sender)
}
