//! Rows as entries, and the walk along the chain.

use omnivenue_core::journal::{ChainError, ChainKey, Hash, Snapshot, StoreError, StoredEntry};
use omnivenue_core::model::time::Timestamp;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, Row};

/// What reading rows can come to: an error of SQLite, which only the caller can name the file of, or one of the content.
#[derive(Debug)]
pub(crate) enum ReadError {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// How far the chain reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
}

impl Head {
    pub(crate) const GENESIS: Self = Self { seq: 0, hash: Hash::GENESIS };
}

/// SQLite's integers have a sign; ours never need the last bit.
pub(crate) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The entry in a row of `seq, at, body, hash`.
pub(crate) fn entry(row: &Row<'_>) -> Result<StoredEntry, ReadError> {
    let seq = from_sql(row.get(0)?);
    let unreadable = |e: FromSqlError| StoreError::Unreadable { seq, reason: e.to_string() };
    let at = Timestamp::from_micros(row.get(1)?);
    let body = row.get_ref(2)?.as_str().map_err(unreadable)?.to_owned();
    let hash = hash(row.get_ref(3)?.as_blob().map_err(unreadable)?, seq)?;
    Ok(StoredEntry { seq, at, body, hash })
}

fn hash(bytes: &[u8], seq: u64) -> Result<Hash, StoreError> {
    let wrong = |_| StoreError::Unreadable { seq, reason: format!("its hash has {} bytes instead of 32", bytes.len()) };
    bytes.try_into().map(Hash::from_bytes).map_err(wrong)
}

/// Checks up to `limit` entries after `head`, hands each to `each`, and returns how far it came.
pub(crate) fn walk(
    conn: &Connection,
    key: &ChainKey,
    mut head: Head,
    limit: usize,
    mut each: impl FnMut(&StoredEntry) -> Result<(), ReadError>,
) -> Result<Head, ReadError> {
    let mut statement = conn.prepare_cached("SELECT seq, at, body, hash FROM entries WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query((to_sql(head.seq), limit))?;
    while let Some(row) = rows.next()? {
        let entry = entry(row)?;
        let seq = head.seq + 1;
        if entry.seq != seq {
            let (stored, computed) = ("no such entry".into(), format!("one before the next stored entry, {}", entry.seq));
            return Err(StoreError::Broken(ChainError { seq, stored, computed }).into());
        }
        key.check(head.hash, seq, entry.at, &entry.body, entry.hash).map_err(StoreError::Broken)?;
        each(&entry)?;
        head = Head { seq, hash: entry.hash };
    }
    Ok(head)
}

/// The hash that is kept with a snapshot: over its place in the chain and its exact text.
pub(crate) fn snapshot_hash(key: &ChainKey, head: Head, state: &str) -> Hash {
    key.link(head.hash, head.seq, Timestamp::EPOCH, state)
}

/// The latest snapshot that is what was once kept. One that is not is passed over, loudly: the entries are the truth, a snapshot
/// only saves replaying them. A snapshot of an entry that does not exist means that the journal's end is missing.
pub(crate) fn latest_snapshot(conn: &Connection, key: &ChainKey) -> Result<Option<Snapshot>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT s.seq, s.chain, s.state, s.hash, e.hash, (SELECT max(seq) FROM entries)
         FROM snapshots s LEFT JOIN entries e ON e.seq = s.seq ORDER BY s.seq DESC",
    )?;
    let mut rows = statement.query([])?;
    let mut latest = None;
    while let Some(row) = rows.next()? {
        let seq = from_sql(row.get(0)?);
        let last = from_sql(row.get::<_, Option<i64>>(5)?.unwrap_or(0));
        if seq > last {
            let (stored, computed) = ("no such entry".into(), format!("one, since a snapshot was kept of entry {seq}"));
            return Err(StoreError::Broken(ChainError { seq: last + 1, stored, computed }).into());
        }
        if latest.is_none() {
            latest = kept(row, seq, key)?;
        }
    }
    Ok(latest)
}

/// The latest whole snapshot that contains nothing after an entry.
pub(crate) fn snapshot_up_to(conn: &Connection, key: &ChainKey, seq: u64) -> Result<Option<Snapshot>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT s.seq, s.chain, s.state, s.hash, e.hash FROM snapshots s JOIN entries e ON e.seq = s.seq
         WHERE s.seq <= ?1 ORDER BY s.seq DESC",
    )?;
    let mut rows = statement.query([to_sql(seq)])?;
    while let Some(row) = rows.next()? {
        let at = from_sql(row.get(0)?);
        if let Some(snapshot) = kept(row, at, key)? {
            return Ok(Some(snapshot));
        }
    }
    Ok(None)
}

/// The snapshot in a row, if it is whole.
fn kept(row: &Row<'_>, seq: u64, key: &ChainKey) -> Result<Option<Snapshot>, ReadError> {
    let blob = |column: usize| -> Result<Option<Hash>, ReadError> {
        Ok(row.get_ref(column)?.as_blob().ok().and_then(|bytes| hash(bytes, seq).ok()))
    };
    let (chain, own, entry) = (blob(1)?, blob(3)?, blob(4)?);
    let state = row.get_ref(2)?.as_str().ok();
    let (Some(chain), Some(state)) = (chain, state) else {
        return Ok(damaged(seq));
    };
    let whole = entry == Some(chain) && own == Some(snapshot_hash(key, Head { seq, hash: chain }, state));
    if whole { Ok(Some(Snapshot { seq, hash: chain, state: state.to_owned() })) } else { Ok(damaged(seq)) }
}

fn damaged(seq: u64) -> Option<Snapshot> {
    tracing::warn!(seq, "a snapshot in the journal was changed by something else and is not used; the entries are read instead");
    None
}
