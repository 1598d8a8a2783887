//! The exchange's own file: SQLite, written in one transaction per change before anyone hears of it. It survives the death of any
//! process (not of the machine: nothing is flushed for the sake of a power loss), and one exchange at a time has it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use omnivenue_core::model::ids::VenueId;
use omnivenue_core::model::time::Timestamp;
use rusqlite::{Connection, OpenFlags};

use crate::books::Truth;
use crate::rows;
use crate::state::{Change, State};

/// Why the exchange's file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another exchange has it.
    #[error("{file} is in use by another exchange{owner}; stop that one first", owner = .pid.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse {
        /// The file.
        file: PathBuf,
        /// The process that has it, where it is known.
        pid: Option<String>,
    },
    /// It is the file of another exchange, or of another version.
    #[error("{file} {reason}")]
    Incompatible {
        /// The file.
        file: PathBuf,
        /// What it is.
        reason: String,
    },
    /// A value in it cannot be read.
    #[error("{file}: {table}.{column} holds `{value}`, which cannot be read")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// SQLite failed.
    #[error("{file}: the exchange's file cannot be read or written")]
    Sqlite {
        /// The file.
        file: PathBuf,
        /// What happened.
        #[source]
        source: rusqlite::Error,
    },
    /// The lock beside the file failed.
    #[error("{file}: cannot be locked")]
    Lock {
        /// The file.
        file: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
}

/// Where the exchange keeps what is true.
#[derive(Debug)]
pub struct Store(Option<Disk>);

#[derive(Debug)]
struct Disk {
    file: PathBuf,
    connection: Connection,
    /// Held as long as the exchange runs; the system lets go of it when the process dies.
    _lock: File,
}

impl Store {
    /// Nowhere: all is gone when the exchange is.
    #[must_use]
    pub const fn memory() -> Self {
        Self(None)
    }

    /// The file at `path`, made when it is not there; its folder must exist.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another exchange has it, in this process or another.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let failed = |source| StoreError::Sqlite { file: path.to_owned(), source };
        // Made before SQLite opens it, so that it is the owner's alone; its log takes the same mode.
        private().open(path).map_err(|source| StoreError::Lock { file: path.to_owned(), source })?;
        let connection = Connection::open(path).map_err(failed)?;
        rows::prepare(&connection).map_err(failed)?;
        Ok(Self(Some(Disk { file: path.to_owned(), connection, _lock: lock })))
    }

    /// What the file says; an empty one becomes the file of `venue`, with its epoch `now`, and one of the version before one of this version.
    ///
    /// # Errors
    /// [`StoreError`] when it is another exchange's file or cannot be read.
    pub fn load(&mut self, venue: &VenueId, now: Timestamp) -> Result<State, StoreError> {
        match &self.0 {
            None => Ok(State::new(now)),
            Some(disk) => {
                rows::begin(&disk.connection, venue, now).map_err(|e| e.at(&disk.file))?;
                let state = read(&disk.connection, &disk.file, Some(venue))?;
                rows::upgrade(&disk.connection).map_err(|source| StoreError::Sqlite { file: disk.file.clone(), source })?;
                Ok(state)
            }
        }
    }

    /// Writes changes, all or none of them.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]: nothing was written.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        match &mut self.0 {
            Some(disk) if !changes.is_empty() => {
                rows::write(&mut disk.connection, changes).map_err(|source| StoreError::Sqlite { file: disk.file.clone(), source })
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Truth {
    /// Reads the file of an exchange, which may be running: one consistent look, nothing is changed.
    ///
    /// # Errors
    /// [`StoreError`] when it is no such file or cannot be read.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Sqlite { file: path.to_owned(), source };
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
        connection.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
        let look = connection.unchecked_transaction().map_err(failed)?;
        Ok(read(&look, path, None)?.truth())
    }
}

fn read(connection: &Connection, file: &Path, venue: Option<&VenueId>) -> Result<State, StoreError> {
    let epoch = rows::check(connection, venue).map_err(|e| e.at(file))?;
    let changes = rows::read(connection).map_err(|e| e.at(file))?;
    Ok(State::restored(epoch, changes))
}

/// Locks a small file beside the exchange's, and writes into it who has it.
/// How its files are opened: made when missing, for the owner only.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// How often a lock is tried again, and after which pause.
const LOCK_TRIES: usize = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let failed = |source| StoreError::Lock { file: path.to_owned(), source };
    let mut file = private().open(name).map_err(failed)?;
    // A process that this one has just forked holds the lock with it, until it becomes another program.
    let mut locked = file.try_lock();
    for _ in 0..LOCK_TRIES {
        if !matches!(locked, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(LOCK_PAUSE);
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => {
            file.set_len(0).map_err(failed)?;
            file.rewind().map_err(failed)?;
            write!(file, "{}", std::process::id()).map_err(failed)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let known = file.read_to_string(&mut pid).is_ok() && !pid.is_empty();
            Err(StoreError::InUse { file: path.to_owned(), pid: known.then_some(pid) })
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
