//! What a failure of SQLite or of the file system means, in words that say what to do.

use std::path::Path;

use omnivenue_core::journal::StoreError;
use rusqlite::ErrorCode;

/// A failed call of SQLite on this file.
pub(crate) fn sqlite(path: &Path, error: &rusqlite::Error) -> StoreError {
    let file = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => not_a_journal(path),
        Some(ErrorCode::DiskFull) => StoreError::Io(format!("{file}: the disk is full ({error}); make room and restart")),
        Some(ErrorCode::DatabaseCorrupt) => {
            StoreError::Io(format!("{file} is damaged ({error}); restore a backup of it, or examine it with `omnivenue journal verify`"))
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Io(format!("{file} is held by another program ({error}); close that program's transaction"))
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            StoreError::Io(format!("{file} cannot be written ({error}); give this user the right to write the file and its folder"))
        }
        Some(ErrorCode::CannotOpen) => {
            StoreError::Io(format!("{file} cannot be opened ({error}); check the rights to the file and its folder"))
        }
        Some(ErrorCode::SystemIoFailure) => StoreError::Io(format!("{file}: the disk failed ({error}); look at the system's log")),
        _ => StoreError::Io(format!("{file}: {error}")),
    }
}

/// Whether the bytes of a failed write may or may not be on the disk: after this a flush that succeeds proves nothing.
pub(crate) fn leaves_doubt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt))
}

/// Whether another program holds a lock for the moment.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// A failed call of the file system.
pub(crate) fn io(path: &Path, doing: &str, error: &std::io::Error) -> StoreError {
    StoreError::Io(format!("cannot {doing} {}: {error}", path.display()))
}

pub(crate) fn not_a_journal(path: &Path) -> StoreError {
    StoreError::Incompatible(format!(
        "{} is not a journal of omnivenue; name another file, or move this one away and a new journal is begun",
        path.display()
    ))
}
