//! The views' file: created, checked, emptied, written.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use omnivenue_core::journal::{Hash, StoreError, StoredEntry};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::project::{Projection, Recall, moment};
use crate::chain::{ReadError, from_sql, to_sql};
use crate::lock::Opener;
use crate::{error, file};

/// `OMNV`: the application id of views.
const APPLICATION: i64 = 0x4F4D_4E56;
/// The tables this version writes; views of another are rebuilt.
const FORMAT: i64 = 4;

const TABLES: &str = include_str!("schema.sql");

/// An open file of views.
#[derive(Debug)]
pub(crate) struct Views {
    conn: Option<Connection>,
    /// Device and inode: whether the name still means this file.
    identity: (u64, u64),
    opener: Opener,
}

/// Where the views stand.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(crate) hash: String,
    pub(crate) namespace: String,
}

impl Views {
    /// Opens the views, or creates them. A database of someone else is refused, not overwritten.
    pub(crate) fn open(path: &Path, namespace: &str) -> Result<Self, ReadError> {
        if !file::exists_fit(path)? {
            // A log without its database would be taken for that of the new one.
            Self::remove(path)?;
            file::create(path)?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(Duration::from_millis(500))?;
        conn.set_prepared_statement_cache_capacity(64);
        let application: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let format: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if application != APPLICATION && tables > 0 {
            let reason = format!("{} is not a file of views; move it away and the views are built", path.display());
            return Err(StoreError::Incompatible(reason).into());
        }
        // Flushed at checkpoints only: what a power cut takes is projected again.
        conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")?;
        let meta = std::fs::metadata(path).map_err(|e| error::io(path, "look at", &e))?;
        let mut views = Self { conn: Some(conn), identity: (meta.dev(), meta.ino()), opener: Opener::here() };
        if (application, format) != (APPLICATION, FORMAT) {
            views.clear(namespace)?;
        }
        Ok(views)
    }

    /// Deletes the files of views, whatever is in them.
    pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
        for name in [path.to_owned(), file::beside(path, "-wal"), file::beside(path, "-shm"), file::beside(path, "-journal")] {
            match std::fs::remove_file(&name) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(error::io(&name, "delete", &e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether this is still the file with that name.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity)
    }

    pub(crate) fn place(&mut self) -> Result<Place, ReadError> {
        Ok(place(self.conn())?)
    }

    /// Empties the views, in one transaction: who reads sees the old ones or none.
    pub(crate) fn clear(&mut self, namespace: &str) -> Result<(), ReadError> {
        self.begin(namespace, 0, &Hash::GENESIS.to_string())
    }

    /// The same, to begin after an entry.
    pub(crate) fn begin(&mut self, namespace: &str, seq: u64, hash: &str) -> Result<(), ReadError> {
        let transaction = self.conn().transaction_with_behavior(TransactionBehavior::Immediate)?;
        let names = {
            let mut tables = transaction.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?;
            tables.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?
        };
        for name in names {
            transaction.execute_batch(&format!("DROP TABLE \"{}\"", name.replace('"', "\"\"")))?;
        }
        transaction.execute_batch(TABLES)?;
        let first = (to_sql(seq), hash, namespace);
        transaction.execute("INSERT INTO as_of (as_of_seq, hash, namespace) VALUES (?1, ?2, ?3)", first)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        Ok(transaction.commit()?)
    }

    /// Projects the entries that follow a place, together with the new place, and returns how far the views reach. Does nothing if
    /// another process has moved them meanwhile.
    pub(crate) fn apply(
        &mut self,
        from: &Place,
        entries: &[StoredEntry],
        projection: &mut Projection,
        recall: &mut Recall<'_>,
    ) -> Result<u64, ReadError> {
        let transaction = self.conn().transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now = place(&transaction)?;
        let Some(last) = entries.last().filter(|_| now.is(from)) else { return Ok(now.seq) };
        projection.project(&transaction, entries, recall)?;
        transaction.prepare_cached("UPDATE as_of SET as_of_seq = ?1, as_of = ?2, hash = ?3")?.execute((
            to_sql(last.seq),
            moment(last.at),
            last.hash.to_string(),
        ))?;
        transaction.commit()?;
        Ok(last.seq)
    }

    fn conn(&mut self) -> &mut Connection {
        self.conn.as_mut().expect("the connection is only taken when the views are dropped")
    }
}

impl Drop for Views {
    fn drop(&mut self) {
        if !self.opener.is_here() {
            std::mem::forget(self.conn.take());
        }
    }
}

fn place(conn: &Connection) -> rusqlite::Result<Place> {
    conn.prepare_cached("SELECT as_of_seq, hash, namespace FROM as_of")?
        .query_row([], |row| Ok(Place { seq: from_sql(row.get(0)?), hash: row.get(1)?, namespace: row.get(2)? }))
}
