//! Emptying the write-ahead log, off the commit path.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use omnivenue_core::journal::StoreError;
use rusqlite::Connection;

use crate::error;
use crate::journal::connect;
use crate::lock::Opener;

/// From this many pages (4 MiB) on, the thread copies the log into the database, and again after each as many more.
const WORTH_COPYING: u64 = 1_024;
/// From this many pages (64 MiB) on, the writer empties the log itself: while commits never pause, the thread cannot.
const BOUND: u64 = 16_384;

/// What the writer and the checkpointing thread tell each other.
#[derive(Debug, Default)]
struct Shared {
    /// Pages in the log after the latest commit.
    pages: AtomicU64,
    /// Why nothing may be written any more.
    failed: Mutex<Option<String>>,
}

/// Keeps the log short: a thread that copies it, and a bound at which the writer does.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    shared: Arc<Shared>,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    opener: Opener,
    next_wake: u64,
    next_truncate: u64,
}

impl Checkpointer {
    /// Starts the thread, and counts the pages that `writer` commits.
    pub(crate) fn start(path: &Path, writer: &mut Connection) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::default());
        let counted = Arc::clone(&shared);
        let hook = move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            counted.pages.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        writer.wal_hook(Some(hook)).map_err(|e| error::sqlite(path, &e))?;
        let conn = connect(path)?;
        let (wake, woken) = sync_channel(1);
        let thread = {
            let (file, shared) = (path.to_owned(), Arc::clone(&shared));
            let named = std::thread::Builder::new().name("omnivenue-checkpoint".into());
            named.spawn(move || copy_when_woken(&file, &conn, &woken, &shared)).map_err(|e| error::io(path, "start a thread for", &e))?
        };
        let (wake, thread) = (Some(wake), Some(thread));
        Ok(Self { shared, wake, thread, opener: Opener::here(), next_wake: WORTH_COPYING, next_truncate: BOUND })
    }

    /// Why nothing may be written any more, if a copy failed in a way that leaves the disk's content in doubt.
    pub(crate) fn failed(&self) -> Option<String> {
        self.shared.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// After a commit: wakes the thread when there is enough to copy. Never waits.
    pub(crate) fn committed(&mut self) {
        let pages = self.shared.pages.load(Ordering::Relaxed);
        if pages < WORTH_COPYING {
            (self.next_wake, self.next_truncate) = (WORTH_COPYING, BOUND);
        } else if pages >= self.next_wake {
            self.next_wake = pages + WORTH_COPYING;
            if let Some(wake) = &self.wake {
                // Full means that it is awake already.
                let _ = wake.try_send(());
            }
        }
    }

    /// Before a commit: empties the log if it has passed its bound. A reader that holds an old state keeps it from being emptied;
    /// then it grows on and this is tried again later, since entries matter more than the file's length.
    pub(crate) fn bound(&mut self, writer: &Connection) -> rusqlite::Result<()> {
        let pages = self.shared.pages.load(Ordering::Relaxed);
        if pages < self.next_truncate {
            return Ok(());
        }
        let emptied = match truncate(writer) {
            Err(e) if !error::leaves_doubt(&e) => {
                tracing::warn!(error = %e, "the journal's write-ahead log could not be emptied");
                false
            }
            other => other?,
        };
        if emptied {
            self.shared.pages.store(0, Ordering::Relaxed);
            (self.next_wake, self.next_truncate) = (WORTH_COPYING, BOUND);
        } else {
            self.next_truncate = pages + WORTH_COPYING / 4;
            if pages >= 2 * BOUND {
                tracing::warn!(pages, "the journal's write-ahead log keeps growing: a program that reads the journal holds it up");
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn fail(&self, why: &str) {
        *self.shared.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.into());
    }

    #[cfg(test)]
    pub(crate) fn pretend(&self, pages: u64) {
        self.shared.pages.store(pages, Ordering::Relaxed);
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take().filter(|_| self.opener.is_here()) {
            let _ = thread.join();
        }
    }
}

/// Copies the whole log and empties it; `false` when a reader or the other connection is in the way. Does not wait.
pub(crate) fn truncate(conn: &Connection) -> rusqlite::Result<bool> {
    conn.busy_timeout(std::time::Duration::ZERO)?;
    let result = checkpoint(conn, "PRAGMA wal_checkpoint(TRUNCATE)");
    conn.busy_timeout(crate::journal::PATIENCE)?;
    result
}

fn checkpoint(conn: &Connection, sql: &str) -> rusqlite::Result<bool> {
    match conn.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0)) {
        Ok(busy) => Ok(busy == 0),
        Err(e) if error::is_busy(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

/// The thread: copies what it can without waiting for anyone and without making anyone wait.
fn copy_when_woken(path: &Path, conn: &Connection, woken: &Receiver<()>, shared: &Shared) {
    while woken.recv().is_ok() {
        let Err(e) = checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)") else {
            continue;
        };
        tracing::warn!(journal = %path.display(), error = %e, "the journal's write-ahead log could not be copied");
        if error::leaves_doubt(&e) {
            // A second flush might succeed without the pages the first one lost.
            let mut failed = shared.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| error::sqlite(path, &e).to_string());
        }
    }
}
