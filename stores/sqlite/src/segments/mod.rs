//! Closed segments: stretches of the journal copied into files of their own, each chained to the one before and closed by a snapshot that
//! carries the chain's head; and what the journal itself lets go of, where only so many are to stay in it.
//!
//! The order of things makes every moment safe to die in: the file is complete and flushed before it has its name, it has its name before the
//! journal knows of it, and the journal knows of it before it lets go of anything. A file that the journal does not know of is made again.
//! Ids are kept for ever: with the entries of a command go neither its id nor the hash of its body.

mod closer;
mod file;
mod keep;

use std::path::{Path, PathBuf};

use omnivenue_core::journal::{ChainKey, Hash, Snapshot, StoreError};
use omnivenue_core::model::ids::SignalId;
use omnivenue_core::model::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

pub(crate) use self::closer::Closer;
pub(crate) use self::file::verify_file;
pub use self::file::{SegmentFile, verify_segment};
pub(crate) use self::keep::{let_go, spare};
use crate::chain::{Head, ReadError, from_sql, to_sql};

/// Made by the first version that knew of them: a journal without them is one in which nothing was ever closed.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS segments (
        number INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, previous BLOB NOT NULL, head BLOB NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS bodies (signal_id TEXT PRIMARY KEY, body_hash TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS base (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash BLOB NOT NULL, seal BLOB NOT NULL) STRICT;
";

/// A closed segment, as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The chain up to the entry before its first.
    pub(crate) previous: Hash,
    /// The chain up to its last entry.
    pub(crate) head: Hash,
}

impl Segment {
    /// Its file's name beside a journal.
    pub(crate) fn path(&self, journal: &Path) -> PathBuf {
        path_of(journal, self.number)
    }

    /// What it is, for people.
    pub(crate) fn words(&self, journal: &Path) -> String {
        let name = self.path(journal).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        format!("segment {} (entries {} to {}), {name}", self.number, self.first, self.last)
    }
}

pub(crate) fn path_of(journal: &Path, number: u64) -> PathBuf {
    crate::file::beside(journal, &format!(".{number:06}.segment"))
}

/// Makes the tables where they are missing.
pub(crate) fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    if conn.table_exists(None, "base")? { Ok(()) } else { conn.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} COMMIT")) }
}

fn hash(bytes: [u8; 32]) -> Hash {
    Hash::from_bytes(bytes)
}

/// All closed segments, in order.
pub(crate) fn all(conn: &Connection) -> Result<Vec<Segment>, ReadError> {
    if !conn.table_exists(None, "segments")? {
        return Ok(Vec::new());
    }
    let mut statement = conn.prepare_cached("SELECT number, first, last, previous, head FROM segments ORDER BY number")?;
    let rows = statement.query_map([], |row| {
        Ok(Segment {
            number: from_sql(row.get(0)?),
            first: from_sql(row.get(1)?),
            last: from_sql(row.get(2)?),
            previous: hash(row.get(3)?),
            head: hash(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes a segment whose file is there; within the transaction of the caller.
pub(crate) fn register(conn: &Connection, segment: &Segment) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached("INSERT INTO segments (number, first, last, previous, head) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    statement.execute((
        to_sql(segment.number),
        to_sql(segment.first),
        to_sql(segment.last),
        segment.previous.as_bytes(),
        segment.head.as_bytes(),
    ))?;
    Ok(())
}

/// The last entry that the journal itself no longer holds; none before the first that it lets go of.
pub(crate) fn base(conn: &Connection, key: &ChainKey) -> Result<Head, ReadError> {
    if !conn.table_exists(None, "base")? {
        return Ok(Head::GENESIS);
    }
    let mut statement = conn.prepare_cached("SELECT seq, hash, seal FROM base")?;
    let found = statement.query_row([], |row| Ok((from_sql(row.get(0)?), hash(row.get(1)?), hash(row.get(2)?)))).optional()?;
    let Some((seq, hash, stored)) = found else { return Ok(Head::GENESIS) };
    let head = Head { seq, hash };
    if stored == seal(key, head) {
        return Ok(head);
    }
    let reason = "where the journal begins was changed by something else; restore a backup".to_owned();
    Err(StoreError::Unreadable { seq, reason }.into())
}

/// Says that the entries up to one were let go of on purpose: without the chain's key nobody can say so.
fn seal(key: &ChainKey, head: Head) -> Hash {
    key.link(head.hash, head.seq, Timestamp::EPOCH, "the journal begins after this")
}

/// The hash of the body of a command whose entries are no longer kept.
pub(crate) fn body_hash_of(conn: &Connection, id: &SignalId) -> Result<Option<String>, ReadError> {
    if !conn.table_exists(None, "bodies")? {
        return Ok(None);
    }
    let mut statement = conn.prepare_cached("SELECT body_hash FROM bodies WHERE signal_id = ?1")?;
    Ok(statement.query_row([id.as_str()], |row| row.get(0)).optional()?)
}

/// The last entry that the journal itself no longer holds, for who has no key.
pub(crate) fn base_unsealed(conn: &Connection) -> rusqlite::Result<u64> {
    if !conn.table_exists(None, "base")? {
        return Ok(0);
    }
    let found: Option<i64> = conn.prepare_cached("SELECT seq FROM base")?.query_row([], |row| row.get(0)).optional()?;
    Ok(found.map_or(0, from_sql))
}

/// The oldest snapshot that is kept, as far as its entry says that it is of this history.
pub(crate) fn first_snapshot(conn: &Connection) -> Result<Option<Snapshot>, ReadError> {
    let sql = "SELECT s.seq, s.chain, s.state FROM snapshots s JOIN entries e ON e.seq = s.seq AND e.hash = s.chain ORDER BY s.seq LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| Ok(Snapshot { seq: from_sql(row.get(0)?), hash: hash(row.get(1)?), state: row.get(2)? });
    Ok(conn.query_row(sql, [], read).optional()?)
}
