//! The format of the file: its marks, its tables, and what is fixed when it is created.

use std::io::Read;
use std::path::Path;

use omnivenue_core::journal::{ChainKey, Hash, StoreError};
use omnivenue_core::model::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use crate::error;

/// `OMNJ`: what `file` and SQLite call the application id.
pub(crate) const APPLICATION: i64 = 0x4F4D_4E4A;
/// The format this version writes and reads.
pub(crate) const FORMAT: i64 = 1;
/// The same, with its first entries let go of: a version that does not know of that must not take it for damaged.
pub(crate) const FORMAT_WITHOUT_BEGINNING: i64 = 2;
/// How the body of an entry is written.
pub(crate) const BODY_VERSION: i64 = 1;

/// Decimals live inside the JSON bodies, as strings; STRICT keeps every column what it says it is. `kind`, `version`, `execution`,
/// `signals` and `orders` repeat what the bodies say, to be found by; the chain covers number, time and body.
const TABLES: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        version INTEGER NOT NULL,
        body TEXT NOT NULL,
        execution INTEGER,
        hash BLOB NOT NULL
    ) STRICT;
    CREATE INDEX entries_by_execution ON entries (execution) WHERE execution IS NOT NULL;
    CREATE TABLE signals (signal_id TEXT PRIMARY KEY, execution INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE orders (client_order_id TEXT PRIMARY KEY, execution INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE metadata (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
    CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, chain BLOB NOT NULL, state TEXT NOT NULL, hash BLOB NOT NULL) STRICT;
";

/// What a database file is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing yet: just created, or its creation was cut short.
    Empty,
    /// A journal of this format.
    Journal,
}

/// Reads the marks of a file; refuses what is no journal or one of another format. Writes nothing.
pub(crate) fn examine(conn: &Connection, path: &Path) -> Result<Content, StoreError> {
    let failed = |e: rusqlite::Error| error::sqlite(path, &e);
    // One look: between two an engine may have made it a journal.
    let look = conn.unchecked_transaction().map_err(failed)?;
    let pragma = |name: &str| look.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    let (application, format) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 = look.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    match (application, format, tables) {
        (0, 0, 0) => Ok(Content::Empty),
        (APPLICATION, FORMAT | FORMAT_WITHOUT_BEGINNING, _) => Ok(Content::Journal),
        (APPLICATION, other, _) => Err(StoreError::Incompatible(format!(
            "{} is a journal of format {other}, and this version of omnivenue reads format {FORMAT}; open it with the version that wrote it, or {}",
            path.display(),
            if other > FORMAT_WITHOUT_BEGINNING { "update this one" } else { "convert it with that version's `omnivenue journal export`" }
        ))),
        _ => Err(error::not_a_journal(path)),
    }
}

/// Makes an empty file a journal, in one transaction.
pub(crate) fn create(conn: &mut Connection, path: &Path, key: &ChainKey, namespace: Option<&str>) -> Result<(), StoreError> {
    let namespace = match namespace {
        Some(given) => check_namespace(given)?.to_owned(),
        None => random_namespace()?,
    };
    let write = |conn: &mut Connection| -> rusqlite::Result<()> {
        let transaction = conn.transaction()?;
        transaction.execute_batch(TABLES)?;
        let mut meta = transaction.prepare("INSERT INTO meta (key, value) VALUES (?1, ?2)")?;
        meta.execute(["namespace", &namespace])?;
        meta.execute(["key_check", &key_check(key)])?;
        drop(meta);
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()
    };
    write(conn).map_err(|e| error::sqlite(path, &e))
}

/// The namespace tag; refuses a key that is not the one the journal was begun with.
pub(crate) fn namespace(conn: &Connection, path: &Path, key: &ChainKey) -> Result<String, StoreError> {
    if meta(conn, path, "key_check")? != key_check(key) {
        return Err(StoreError::Incompatible(format!(
            "the chain key given is not the one {} was begun with; give that key (or none, if there was none)",
            path.display()
        )));
    }
    meta(conn, path, "namespace")
}

/// What was fixed when the file was created.
pub(crate) fn meta(conn: &Connection, path: &Path, key: &str) -> Result<String, StoreError> {
    let found = conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional();
    let missing = || StoreError::Incompatible(format!("{} lacks its `{key}`; restore a backup", path.display()));
    found.map_err(|e| error::sqlite(path, &e))?.ok_or_else(missing)
}

/// Tells a wrong key from a broken chain. Says nothing about the key itself.
fn key_check(key: &ChainKey) -> String {
    key.link(Hash::GENESIS, 0, Timestamp::EPOCH, "omnivenue").to_string()
}

const TAG_LENGTH: usize = 6;
const TAG_DIGITS: &[u8; 16] = b"0123456789abcdef";

pub(crate) fn check_namespace(text: &str) -> Result<&str, StoreError> {
    let fits = text.len() == TAG_LENGTH && text.bytes().all(|b| TAG_DIGITS.contains(&b));
    let wrong = || StoreError::Incompatible(format!("`{text}` cannot be a namespace; use {TAG_LENGTH} of 0-9 a-f"));
    if fits { Ok(text) } else { Err(wrong()) }
}

/// Six digits from the system's randomness, each equally likely.
fn random_namespace() -> Result<String, StoreError> {
    let path = Path::new("/dev/urandom");
    let failed = |e: std::io::Error| error::io(path, "read", &e);
    let mut bytes = [0; TAG_LENGTH];
    std::fs::File::open(path).and_then(|mut source| source.read_exact(&mut bytes)).map_err(failed)?;
    let tag = bytes.iter().map(|byte| char::from(TAG_DIGITS[usize::from(byte % 16)])).collect();
    Ok(tag)
}
