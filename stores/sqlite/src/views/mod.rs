//! The views: the journal's history as plain tables, in a file of their own that anyone may read and that is rebuilt at any time.

mod follow;
mod project;
mod store;
mod totals;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use omnivenue_core::journal::{ChainKey, StoreError};

use self::follow::Follower;
use crate::lock::Opener;
use crate::{error, file};

/// How often the journal is looked at when nothing was heard of it, and the views when they could not be written.
const POLL: Duration = Duration::from_secs(1);
/// How long commits are gathered before they are projected as one.
const GATHER: Duration = Duration::from_millis(10);

/// Keeps the views of a journal up to date, on a thread of its own. It reads the journal and writes another file: it can delay
/// neither the committer nor anything that waits for it.
///
/// Views that are deleted, damaged or of another history are rebuilt; views that are locked are tried again. Dropping it ends the
/// thread; the next one goes on where this one stopped.
#[derive(Debug)]
pub struct ViewsProjector {
    shared: Arc<Shared>,
    wake: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
    opener: Opener,
    path: PathBuf,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    moved: Condvar,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    as_of: u64,
    trouble: Option<String>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl ViewsProjector {
    /// Starts to follow a journal. The other end is for the journal's writer: a token after each commit, never waited for.
    pub(crate) fn start(journal: &Path, key: ChainKey) -> Result<(Self, SyncSender<()>), StoreError> {
        let mut follower = Follower::open(journal, Some(key))?;
        let path = follower.path().to_owned();
        let shared = Arc::new(Shared::default());
        let (wake, woken) = sync_channel(1);
        let thread = {
            let shared = Arc::clone(&shared);
            let named = std::thread::Builder::new().name("omnivenue-views".into());
            let spawned = named.spawn(move || follow_while_wanted(&mut follower, &woken, &shared));
            spawned.map_err(|e| error::io(journal, "start a thread for", &e))?
        };
        let projector = Self { shared, wake: wake.clone(), thread: Some(thread), opener: Opener::here(), path };
        Ok((projector, wake))
    }

    /// The views' file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last entry the views contain, as far as this process has seen.
    #[must_use]
    pub fn as_of(&self) -> u64 {
        self.shared.state().as_of
    }

    /// Why the views are behind, if they cannot be written at the moment.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.state().trouble.clone()
    }

    /// Waits until the views contain an entry; `false` when they do not in time.
    #[must_use]
    pub fn wait_for(&self, seq: u64, timeout: Duration) -> bool {
        let _ = self.wake.try_send(());
        let waited = self.shared.moved.wait_timeout_while(self.shared.state(), timeout, |state| state.as_of < seq);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.as_of >= seq
    }
}

impl Drop for ViewsProjector {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = self.wake.try_send(());
        if let Some(thread) = self.thread.take().filter(|_| self.opener.is_here()) {
            let _ = thread.join();
        }
    }
}

/// The thread: projects what is new, waits for more.
fn follow_while_wanted(follower: &mut Follower, woken: &Receiver<()>, shared: &Shared) {
    let mut wanted = true;
    while wanted {
        let path = follower.path().to_owned();
        let result = follower.catch_up(|as_of| {
            let mut state = shared.state();
            state.as_of = as_of;
            if state.trouble.take().is_some() {
                tracing::info!(views = %path.display(), as_of, "the views can be written again");
            }
            shared.moved.notify_all();
            !shared.stopped()
        });
        if let Err(e) = result {
            let why = e.to_string();
            let mut state = shared.state();
            if state.trouble.as_ref() != Some(&why) {
                tracing::warn!(views = %path.display(), why, "the views are behind; this is tried again");
                state.trouble = Some(why);
            }
        }
        match woken.recv_timeout(POLL) {
            Ok(()) if !shared.stopped() => std::thread::sleep(GATHER),
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => wanted = false,
        }
        wanted = wanted && !shared.stopped();
    }
}

/// Rebuilds the views of a journal from its first entry, and says up to which they reach. An engine may be running.
///
/// # Errors
/// [`StoreError`] when the journal cannot be read or the views not be written.
pub fn rebuild_views(journal: &Path) -> Result<u64, StoreError> {
    let mut follower = Follower::open(&file::resolve(journal)?, None)?;
    follower.start_over()?;
    let mut reached = 0;
    follower.catch_up(|as_of| {
        reached = as_of;
        true
    })?;
    Ok(reached)
}
