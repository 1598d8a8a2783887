//! Closing a segment, off the commit path: a thread of its own reads the journal and writes the file; the writer only notes it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use omnivenue_core::journal::{ChainKey, Snapshot, StoreError};

use super::file::{Writer, is_ours, verify_file};
use super::{Segment, path_of};
use crate::chain::{self, Head};
use crate::lock::Opener;
use crate::reader::Reader;
use crate::{error, file};

/// Entries read at once.
const STRETCH: usize = 512;

/// What is to be closed: everything after `after`, up to a snapshot.
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) after: Head,
    pub(super) upto: u64,
}

/// Closes segments on a thread of its own.
#[derive(Debug)]
pub(crate) struct Closer {
    /// After how many entries a segment is closed.
    every: u64,
    /// How many closed ones the journal itself keeps.
    pub(crate) retain: Option<u32>,
    jobs: Option<SyncSender<Job>>,
    done: Arc<Mutex<Option<Result<Segment, StoreError>>>>,
    busy: bool,
    thread: Option<JoinHandle<()>>,
    opener: Opener,
    /// How many are closed, and the last entry of the last of them.
    pub(crate) closed: (u64, Head),
    /// Up to which entry the journal may let go, once that is known.
    pub(crate) spare: u64,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("number", &self.number).field("upto", &self.upto).finish_non_exhaustive()
    }
}

impl Closer {
    /// For the journal with this canonical path.
    pub(crate) fn start(
        journal: &Path,
        key: &ChainKey,
        namespace: &str,
        (every, retain): (u64, Option<u32>),
        closed: (u64, Head),
    ) -> Result<Self, StoreError> {
        let (jobs, wanted) = sync_channel(1);
        let done = Arc::new(Mutex::new(None));
        let work = Work { journal: journal.to_owned(), key: key.clone(), namespace: namespace.to_owned() };
        let thread = {
            let done = Arc::clone(&done);
            let named = std::thread::Builder::new().name("omnivenue-segments".into());
            named.spawn(move || work.close_when_wanted(&wanted, &done)).map_err(|e| error::io(journal, "start a thread for", &e))?
        };
        Ok(Self { every, retain, jobs: Some(jobs), done, busy: false, thread: Some(thread), opener: Opener::here(), closed, spare: 0 })
    }

    pub(crate) const fn every(&self) -> u64 {
        self.every
    }

    /// A snapshot was kept of an entry: if there are enough entries since the last segment, the next one ends with it. Never waits.
    pub(crate) fn snapshot_kept(&mut self, seq: u64) {
        let (number, after) = self.closed;
        if self.busy || seq.saturating_sub(after.seq) < self.every {
            return;
        }
        if let Some(jobs) = &self.jobs {
            self.busy = jobs.try_send(Job { number: number + 1, after, upto: seq }).is_ok();
        }
    }

    /// The segment whose file is there by now and is to be noted. A failure is told and tried again with the next snapshot.
    pub(crate) fn take(&mut self) -> Option<Segment> {
        if !self.busy {
            return None;
        }
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        self.busy = false;
        done.map_err(|error| tracing::warn!(%error, "a segment of the journal could not be closed; it is tried again")).ok()
    }

    /// It is noted.
    pub(crate) fn noted(&mut self, segment: &Segment) {
        self.closed = (segment.number, Head { seq: segment.last, hash: segment.head });
    }

    /// Waits for what is under way.
    pub(crate) fn finish(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take().filter(|_| self.opener.is_here()) {
            let _ = thread.join();
        }
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What the thread knows.
pub(super) struct Work {
    pub(super) journal: PathBuf,
    pub(super) key: ChainKey,
    pub(super) namespace: String,
}

impl Work {
    fn close_when_wanted(&self, wanted: &Receiver<Job>, done: &Mutex<Option<Result<Segment, StoreError>>>) {
        for job in wanted {
            let result = self.close(&job);
            *done.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    }

    /// Writes the file, flushes it, and only then gives it its name.
    pub(super) fn close(&self, job: &Job) -> Result<Segment, StoreError> {
        let path = path_of(&self.journal, job.number);
        let partial = file::beside(&path, ".partial");
        let segment = self.write(&partial, job)?;
        // What is archived must be readable: better found out now than in a year.
        verify_file(&partial, &self.key, None)?;
        self.name(&partial, &path, job.number)?;
        Ok(segment)
    }

    pub(super) fn write(&self, partial: &Path, job: &Job) -> Result<Segment, StoreError> {
        let mut reader = Reader::open(&self.journal)?;
        let snapshot = reader.read(|conn| chain::snapshot_up_to(conn, &self.key, job.upto))?;
        let snapshot: Snapshot = snapshot
            .filter(|snapshot| snapshot.seq == job.upto)
            .ok_or_else(|| StoreError::Io(format!("the snapshot of entry {} is no longer there", job.upto)))?;
        let (number, first, previous) = (job.number, job.after.seq + 1, job.after.hash);
        let segment = Segment { number, first, last: snapshot.seq, previous, head: snapshot.hash };
        let mut writer = Writer::begin(partial, &segment, &self.namespace)?;
        let mut head = job.after;
        while head.seq < segment.last {
            let left = usize::try_from(segment.last - head.seq).unwrap_or(STRETCH).min(STRETCH);
            let mut entries = Vec::with_capacity(left);
            let next = reader.read(|conn| {
                entries.clear();
                chain::walk(conn, &self.key, head, left, |entry| {
                    entries.push(entry.clone());
                    Ok(())
                })
            })?;
            if next == head {
                return Err(StoreError::Unreadable { seq: head.seq + 1, reason: "it is missing".into() });
            }
            entries.iter().try_for_each(|entry| writer.entry(entry))?;
            head = next;
        }
        writer.close(&self.key, &snapshot)?;
        Ok(segment)
    }

    /// Unlike a rename, a link never replaces a file. One of ours that is there already was never noted, and goes.
    pub(super) fn name(&self, partial: &Path, path: &Path, number: u64) -> Result<(), StoreError> {
        if is_ours(path, &self.namespace, number) {
            std::fs::remove_file(path).map_err(|e| error::io(path, "replace", &e))?;
        }
        std::fs::hard_link(partial, path).map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => {
                StoreError::Io(format!("{} is there already and is not of this journal; move it away", path.display()))
            }
            _ => error::io(path, "create", &e),
        })?;
        std::fs::remove_file(partial).map_err(|e| error::io(partial, "remove", &e))?;
        file::sync_folder(path)
    }
}

#[cfg(test)]
mod tests;
