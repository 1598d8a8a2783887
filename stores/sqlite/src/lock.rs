//! One owner: a locked file beside the journal, and a register of what this process owns.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use omnivenue_core::journal::StoreError;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use crate::{error, file};

/// What this process owns, by canonical path, and which process wrote it there. POSIX locks never conflict within a process and
/// vanish when any descriptor of the file is closed, so a second `open` must be refused before it touches the lock file. A fork
/// inherits the register but not the locks: an entry with another process id is the parent's.
static OWNED: Mutex<BTreeMap<PathBuf, u32>> = Mutex::new(BTreeMap::new());

fn owned() -> MutexGuard<'static, BTreeMap<PathBuf, u32>> {
    OWNED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sole right to a journal, held until dropped.
///
/// The lock is a POSIX record lock, because those are not inherited: an agent's child process that outlives the engine does not
/// keep the journal taken, as it would with `flock` or a lock of the open file description.
#[derive(Debug)]
pub(crate) struct OwnerLock {
    journal: PathBuf,
    file: Option<File>,
    opener: Opener,
}

/// The process that opened something. SQLite connections and locks do not survive a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opener(u32);

impl Opener {
    pub(crate) fn here() -> Self {
        Self(std::process::id())
    }

    /// Whether this is that process, not a fork of it.
    pub(crate) fn is_here(self) -> bool {
        self == Self::here()
    }

    /// Refuses the fork.
    pub(crate) fn check(self, journal: &Path) -> Result<(), StoreError> {
        if self.is_here() { Ok(()) } else { Err(forked(journal, self.0)) }
    }

    #[cfg(test)]
    pub(crate) fn elsewhere() -> Self {
        Self(std::process::id().wrapping_add(1))
    }
}

fn forked(journal: &Path, opener: u32) -> StoreError {
    StoreError::Io(format!(
        "{} was opened by process {opener}, and this is its fork (process {}), where it cannot be used; start new processes with spawn instead of fork, and open it there or talk to the engine that has it",
        journal.display(),
        std::process::id()
    ))
}

impl OwnerLock {
    /// Takes the journal with this canonical path, or says who has it.
    pub(crate) fn acquire(journal: &Path) -> Result<Self, StoreError> {
        let mut owned = owned();
        if let Some(&pid) = owned.get(journal) {
            return if pid == std::process::id() { Err(in_use(journal, i32::try_from(pid).ok())) } else { Err(forked(journal, pid)) };
        }
        let path = file::beside(journal, ".lock");
        let file = lock(journal, &path)?;
        let opener = Opener::here();
        owned.insert(journal.to_owned(), opener.0);
        Ok(Self { journal: journal.to_owned(), file: Some(file), opener })
    }

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.opener.check(&self.journal)
    }

    pub(crate) fn opener(&self) -> Opener {
        self.opener
    }

    #[cfg(test)]
    pub(crate) fn forge_opener(&mut self, opener: Opener) {
        self.opener = opener;
    }
}

impl Drop for OwnerLock {
    fn drop(&mut self) {
        // In a fork nothing is ours: the entry stays and keeps the fork from opening the file with SQLite's inherited state.
        if self.opener.is_here() {
            let mut owned = owned();
            drop(self.file.take());
            owned.remove(&self.journal);
        }
    }
}

/// Opens and locks the lock file, and writes our process id into it. The standard library opens close-on-exec.
fn lock(journal: &Path, path: &Path) -> Result<File, StoreError> {
    loop {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(file::PRIVATE).open(path);
        let mut file = opened.map_err(|e| error::io(path, "open", &e))?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Err(in_use(journal, owner(&mut file))),
            Err(e) => return Err(error::io(path, "lock", &e.into())),
        }
        // Someone may have replaced the file between opening and locking it: then what we hold protects nothing.
        let same = |meta: std::fs::Metadata| file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (meta.dev(), meta.ino()));
        if !std::fs::metadata(path).is_ok_and(same) {
            continue;
        }
        let written = file.set_len(0).and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
        return match written {
            Ok(()) => Ok(file),
            Err(e) => Err(error::io(path, "write", &e)),
        };
    }
}

/// Who holds the lock: the kernel knows; where it cannot tell, the file says.
fn owner(file: &mut File) -> Option<i32> {
    let asked = fcntl_getlk(&*file, &Flock::from(FlockType::WriteLock)).ok().flatten();
    asked.and_then(|held| held.pid).map(|pid| pid.as_raw_nonzero().get()).or_else(|| {
        let mut text = String::new();
        file.take(32).read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    })
}

fn in_use(journal: &Path, pid: Option<i32>) -> StoreError {
    StoreError::InUse { what: journal.display().to_string(), pid }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_can_neither_use_nor_reopen_nor_release_it() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("j");
        let mut lock = OwnerLock::acquire(&journal).unwrap();
        assert!(lock.check().is_ok());
        lock.forge_opener(Opener::elsewhere());
        assert!(lock.check().unwrap_err().to_string().contains("fork"));
        drop(lock);
        assert!(matches!(OwnerLock::acquire(&journal).unwrap_err(), StoreError::InUse { .. }));
        owned().insert(journal.clone(), std::process::id().wrapping_add(1));
        assert!(OwnerLock::acquire(&journal).unwrap_err().to_string().contains("fork"));
    }
}
