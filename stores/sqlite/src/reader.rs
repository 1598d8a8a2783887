//! A connection that reads a journal beside its writer, or without one, and never writes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use omnivenue_core::journal::StoreError;
use rusqlite::{Connection, OpenFlags};

use crate::chain::ReadError;
use crate::lock::Opener;
use crate::schema::{self, Content};
use crate::{error, file};

/// Reads one journal.
///
/// A journal without its `-wal` has no engine: it is read as an immutable file, so that nothing is created beside it. The engine
/// never deletes the `-wal`; if one has appeared when a read is done, an engine has started meanwhile, and the read is repeated
/// through the shared files.
#[derive(Debug)]
pub(crate) struct Reader {
    path: PathBuf,
    conn: Option<Connection>,
    immutable: bool,
    opener: Opener,
}

impl Reader {
    /// Opens the journal with this canonical path.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_begun(path)?.ok_or_else(|| error::not_a_journal(path))
    }

    /// The same; `None` for a file that is empty yet: an engine is making it a journal, or was killed while it did.
    pub(crate) fn open_begun(path: &Path) -> Result<Option<Self>, StoreError> {
        let engine = || file::beside(path, "-wal").exists();
        let immutable = !engine();
        let (conn, immutable) = match connect(path, immutable) {
            // An engine has started meanwhile, and what was read may be half of what it wrote.
            Ok(None) | Err(_) if immutable && engine() => (connect(path, false)?, false),
            other => (other?, immutable),
        };
        Ok(conn.map(|conn| Self { path: path.to_owned(), conn: Some(conn), immutable, opener: Opener::here() }))
    }

    /// One read: the same reads through the same connection may be made twice, the result of the last is returned.
    pub(crate) fn read<T>(&mut self, mut query: impl FnMut(&Connection) -> Result<T, ReadError>) -> Result<T, StoreError> {
        self.opener.check(&self.path)?;
        loop {
            let conn = self.conn.as_ref().expect("the connection is only taken when the reader is dropped");
            let result = query(conn);
            if self.immutable && file::beside(&self.path, "-wal").exists() {
                self.conn = Some(connect(&self.path, false)?.ok_or_else(|| error::not_a_journal(&self.path))?);
                self.immutable = false;
                continue;
            }
            return result.map_err(|e| match e {
                ReadError::Sqlite(e) => error::sqlite(&self.path, &e),
                ReadError::Store(e) => e,
            });
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.opener.is_here() {
            // A fork must not even close what its parent opened.
            std::mem::forget(self.conn.take());
        }
    }
}

/// `None` when the file is empty yet.
fn connect(path: &Path, immutable: bool) -> Result<Option<Connection>, StoreError> {
    if !file::exists_fit(path)? {
        return Err(StoreError::Io(format!("{} does not exist", path.display())));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = if immutable {
        Connection::open_with_flags(file::immutable_uri(path), flags | OpenFlags::SQLITE_OPEN_URI)
    } else {
        Connection::open_with_flags(path, flags)
    };
    let conn = opened.map_err(|e| error::sqlite(path, &e))?;
    let prepared = conn.busy_timeout(Duration::from_secs(5)).and_then(|()| conn.pragma_update(None, "query_only", true));
    prepared.map_err(|e| error::sqlite(path, &e))?;
    match schema::examine(&conn, path)? {
        Content::Journal => Ok(Some(conn)),
        Content::Empty => Ok(None),
    }
}
