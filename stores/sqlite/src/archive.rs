//! Reads of the journal, shared by everyone who reads.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use omnivenue_core::journal::{Archive, ChainKey, ExecutionNumber, Snapshot, StoreError, StoredEntry};
use omnivenue_core::model::ids::{ClientOrderId, SignalId};
use rusqlite::{Connection, OptionalExtension};

use crate::chain::{self, ReadError, from_sql, to_sql};
use crate::reader::Reader;
use crate::{erase, file, schema};

/// Reads what is durable in a journal, through a connection of its own: never waits for the writer, nor makes it wait.
#[derive(Debug)]
pub struct SqliteArchive {
    reader: Mutex<Reader>,
    path: PathBuf,
    key: ChainKey,
    namespace: String,
}

impl SqliteArchive {
    /// Opens a journal for reading only: beside the engine that owns it, or when none runs. Takes no lock, creates no file, and
    /// does not check the chain; [`verify`](crate::verify) does.
    ///
    /// # Errors
    /// [`StoreError::Io`] when there is no such file, [`StoreError::Incompatible`] when it is no journal of this format or was begun
    /// with another key.
    pub fn read(path: &Path, key: ChainKey) -> Result<Self, StoreError> {
        Self::open(&file::resolve(path)?, key)
    }

    /// The same, but `None` where no journal has been begun: there is no file, or an engine is only just making it, or was killed
    /// while it did.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] when it is no journal of this format or was begun with another key.
    pub fn read_begun(path: &Path, key: ChainKey) -> Result<Option<Self>, StoreError> {
        let path = file::resolve(path)?;
        if !file::exists_fit(&path)? {
            return Ok(None);
        }
        Reader::open_begun(&path)?.map(|reader| Self::over(reader, &path, key)).transpose()
    }

    /// Opens the journal with this canonical path.
    pub(crate) fn open(path: &Path, key: ChainKey) -> Result<Self, StoreError> {
        Self::over(Reader::open(path)?, path, key)
    }

    fn over(mut reader: Reader, path: &Path, key: ChainKey) -> Result<Self, StoreError> {
        let namespace = reader.read(|conn| Ok(schema::namespace(conn, path, &key)?))?;
        Ok(Self { reader: Mutex::new(reader), path: path.to_owned(), key, namespace })
    }

    /// The tag that begins every client order id of this journal.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What the caller attached to a signal; absent when nothing was, when there is no such signal, or when it was erased.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub fn metadata(&self, signal: &SignalId) -> Result<Option<String>, StoreError> {
        self.query(|conn| Ok(erase::attached(conn, signal)?))
    }

    fn query<T>(&self, query: impl FnMut(&Connection) -> Result<T, ReadError>) -> Result<T, StoreError> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner).read(query)
    }

    fn entries(&self, sql: &str, parameters: impl rusqlite::Params + Copy) -> Result<Vec<StoredEntry>, StoreError> {
        self.query(|conn| {
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query(parameters)?;
            let mut entries = Vec::new();
            while let Some(row) = rows.next()? {
                entries.push(chain::entry(row)?);
            }
            Ok(entries)
        })
    }

    fn execution(&self, sql: &str, id: &str) -> Result<Option<ExecutionNumber>, StoreError> {
        self.query(|conn| {
            let found: Option<i64> = conn.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
            Ok(found.map(from_sql))
        })
    }
}

impl Archive for SqliteArchive {
    fn latest_snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        self.query(|conn| chain::latest_snapshot(conn, &self.key))
    }

    fn entries_after(&self, seq: u64, limit: usize) -> Result<Vec<StoredEntry>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.entries("SELECT seq, at, body, hash FROM entries WHERE seq > ?1 ORDER BY seq LIMIT ?2", (to_sql(seq), limit))
    }

    fn entries_of(&self, execution: ExecutionNumber) -> Result<Vec<StoredEntry>, StoreError> {
        self.entries("SELECT seq, at, body, hash FROM entries WHERE execution = ?1 ORDER BY seq", [to_sql(execution)])
    }

    fn execution_of_signal(&self, id: &SignalId) -> Result<Option<ExecutionNumber>, StoreError> {
        self.execution("SELECT execution FROM signals WHERE signal_id = ?1", id.as_str())
    }

    fn execution_of_order(&self, id: &ClientOrderId) -> Result<Option<ExecutionNumber>, StoreError> {
        self.execution("SELECT execution FROM orders WHERE client_order_id = ?1", id.as_str())
    }

    fn body_hash_of(&self, id: &SignalId) -> Result<Option<String>, StoreError> {
        self.query(|conn| crate::segments::body_hash_of(conn, id))
    }

    fn bytes(&self) -> Result<u64, StoreError> {
        file::bytes(&self.path)
    }
}
