//! What the command does with a journal: verify, export, back up, erase.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use omnivenue_core::journal::{ChainKey, Event, ExecutionNumber, Hash, StoreError, StoredEntry};
use omnivenue_core::model::ids::{ClientOrderId, SignalId};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::chain::{self, Head, ReadError, from_sql, to_sql};
use crate::journal::{Options, open};
use crate::reader::Reader;
use crate::{error, file, schema, segments};

/// Entries read at once: an open read keeps the engine from emptying its write-ahead log, so none lasts long.
const STRETCH: usize = 1_024;

/// What [`verify`] found to be whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many entries there are.
    pub entries: u64,
    /// The chain up to the last one; all zeros when there is none. Noted elsewhere, it proves later that nothing before it changed.
    pub head: Hash,
    /// The entry whose hash is the one that was expected.
    pub expected_at: Option<u64>,
    /// The tag that begins every client order id.
    pub namespace: String,
    /// The first entry that the journal itself still holds: 1 unless it let go of closed segments.
    pub first: u64,
    /// How many closed segments there are.
    pub segments: u64,
    /// Closed segments whose files are not there, in words.
    pub missing: Vec<String>,
}

/// Checks a whole journal: the database's structure, every link of the chain, and that the indexes say what the entries say. Reads
/// only; an engine may be running.
///
/// `expected_head` is a hash noted earlier, in hex: it must be that of an entry. Without one, the chain cannot tell that the last
/// entries were cut off, nor, without a key, that all of it was rebuilt.
///
/// # Errors
/// [`StoreError::Broken`] names the first entry that does not fit; [`StoreError::Unreadable`] one that cannot be read, or whose index
/// is wrong; [`StoreError::Io`] when the database is damaged.
pub fn verify(path: &Path, key: &ChainKey, expected_head: Option<&str>) -> Result<Verified, StoreError> {
    verify_in(path, key, expected_head, None)
}

/// As [`verify`], with closed segments that were moved to another folder.
///
/// # Errors
/// As [`verify`].
pub fn verify_in(path: &Path, key: &ChainKey, expected_head: Option<&str>, folder: Option<&Path>) -> Result<Verified, StoreError> {
    let path = file::resolve(path)?;
    let mut reader = Reader::open(&path)?;
    let namespace = reader.read(|conn| Ok(schema::namespace(conn, &path, key)?))?;
    reader.read(|conn| integrity(conn, &path))?;
    reader.read(|conn| chain::latest_snapshot(conn, key))?;
    let expected = expected_head.map(|hash| hash.trim().to_ascii_lowercase());
    let mut check = Check { executions: BTreeMap::new(), expected: expected.clone(), expected_at: None };
    let base = reader.read(|conn| segments::base(conn, key))?;
    let (segments, missing) = check.segments(&mut reader, (&path, key, &namespace), base, folder)?;
    let mut head = base;
    loop {
        let next = reader.read(|conn| chain::walk(conn, key, head, STRETCH, |entry| check.entry(conn, entry)))?;
        if next == head {
            break;
        }
        head = next;
    }
    match (expected, check.expected_at) {
        (Some(expected), None) => Err(StoreError::OtherHead { expected, head: head.hash.to_string() }),
        (_, expected_at) => {
            Ok(Verified { entries: head.seq, head: head.hash, expected_at, namespace, first: base.seq + 1, segments, missing })
        }
    }
}

fn integrity(conn: &Connection, path: &Path) -> Result<(), ReadError> {
    let said: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if said == "ok" {
        return Ok(());
    }
    Err(StoreError::Io(format!("{} is damaged ({said}); restore a backup", path.display())).into())
}

/// What an entry's columns and indexes must say, by its body.
struct Check {
    executions: BTreeMap<ClientOrderId, ExecutionNumber>,
    expected: Option<String>,
    expected_at: Option<u64>,
}

impl Check {
    /// Every closed segment follows the one before, is what its file holds, and agrees with what the journal itself still has. Says how many
    /// there are, and which files are not there.
    fn segments(
        &mut self,
        reader: &mut Reader,
        (path, key, namespace): (&Path, &ChainKey, &str),
        base: Head,
        folder: Option<&Path>,
    ) -> Result<(u64, Vec<String>), StoreError> {
        let (mut before, mut missing, mut count) = (Head::GENESIS, Vec::new(), 0);
        for segment in reader.read(segments::all)? {
            count += 1;
            let wrong = |what: &str| StoreError::Incompatible(format!("{}: {what}", segment.words(path)));
            if (segment.number, segment.first, segment.previous) != (count, before.seq + 1, before.hash) {
                return Err(wrong("does not follow the one before; restore a backup"));
            }
            before = Head { seq: segment.last, hash: segment.head };
            if segment.last >= base.seq && self.hash_at(reader, base, segment.last)? != Some(segment.head) {
                return Err(wrong("ends otherwise than the journal; restore a backup"));
            }
            let name = segment.path(path);
            let name = folder.map_or_else(|| name.clone(), |folder| folder.join(name.file_name().unwrap_or_default()));
            if !name.exists() {
                missing.push(format!("{} is missing", segment.words(path)));
                continue;
            }
            let found = segments::verify_file(&name, key, self.expected.as_deref())?;
            let (ends, whose) = ((found.number, found.first, found.last), found.namespace.as_str());
            let same =
                ends == (segment.number, segment.first, segment.last) && (found.previous, found.head) == (segment.previous, segment.head);
            if !same || whose != namespace {
                return Err(wrong("its file holds something else; restore it from the archive"));
            }
            self.expected_at = self.expected_at.or(found.expected_at);
        }
        if base.seq > before.seq {
            let reason = "the journal lets go only of what is in closed segments, and no segment has it; restore a backup".to_owned();
            return Err(StoreError::Unreadable { seq: base.seq, reason });
        }
        Ok((count, missing))
    }

    fn hash_at(&self, reader: &mut Reader, base: Head, seq: u64) -> Result<Option<Hash>, StoreError> {
        if seq == base.seq {
            return Ok(Some(base.hash));
        }
        reader.read(|conn| {
            let mut statement = conn.prepare_cached("SELECT hash FROM entries WHERE seq = ?1")?;
            let found: Option<[u8; 32]> = statement.query_row([to_sql(seq)], |row| row.get(0)).optional()?;
            Ok(found.map(Hash::from_bytes))
        })
    }

    fn entry(&mut self, conn: &Connection, entry: &StoredEntry) -> Result<(), ReadError> {
        if self.expected.as_deref() == Some(entry.hash.to_string().as_str()) {
            self.expected_at = Some(entry.seq);
        }
        let event = entry.event()?;
        let wrong = |what: &str| {
            ReadError::Store(StoreError::Unreadable { seq: entry.seq, reason: format!("its {what} is not what its body says") })
        };
        let (kind, execution): (String, Option<i64>) = conn
            .prepare_cached("SELECT kind, execution FROM entries WHERE seq = ?1")?
            .query_row([to_sql(entry.seq)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if kind != event.kind() {
            return Err(wrong("kind"));
        }
        if let Some(expected) = self.execution(&event)
            && execution.map(from_sql) != Some(expected)
        {
            return Err(wrong("execution"));
        }
        let index = |sql: &str, id: &str| -> Result<Option<i64>, ReadError> {
            Ok(conn.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?)
        };
        match &event {
            Event::Admitted(admission) => {
                let id = admission.command.id();
                if index("SELECT execution FROM signals WHERE signal_id = ?1", id.as_str())? != execution {
                    return Err(wrong("index by signal"));
                }
            }
            Event::Prepared(intent) => {
                let id = intent.client_order_id();
                if index("SELECT execution FROM orders WHERE client_order_id = ?1", id.as_str())? != execution {
                    return Err(wrong("index by order"));
                }
                self.executions.insert(id.clone(), intent.leg.execution);
            }
            _ => {}
        }
        Ok(())
    }

    /// The execution an event belongs to, where it says so itself or through its order.
    fn execution(&self, event: &Event) -> Option<ExecutionNumber> {
        event.execution().or_else(|| event.order().and_then(|order| self.executions.get(order)).copied())
    }
}

/// Writes every entry as a line of JSON, `{"seq", "at", "hash", "event"}`, and says how many. What callers attached to signals is not
/// in it. Reads only; an engine may be running.
///
/// # Errors
/// [`StoreError`] when the journal cannot be read or the output not written.
pub fn export(path: &Path, output: &mut dyn Write) -> Result<u64, StoreError> {
    let path = file::resolve(path)?;
    let mut reader = Reader::open(&path)?;
    let mut seq = 0;
    loop {
        let entries = reader.read(|conn| stretch(conn, seq))?;
        let Some(last) = entries.last() else { break };
        seq = last.seq;
        for entry in &entries {
            let written = writeln!(output, r#"{{"seq":{},"at":"{}","hash":"{}","event":{}}}"#, entry.seq, entry.at, entry.hash, entry.body);
            written.map_err(|e| StoreError::Io(format!("cannot write the export: {e}")))?;
        }
    }
    output.flush().map_err(|e| StoreError::Io(format!("cannot write the export: {e}")))?;
    Ok(seq)
}

fn stretch(conn: &Connection, after: u64) -> Result<Vec<StoredEntry>, ReadError> {
    let mut statement = conn.prepare_cached("SELECT seq, at, body, hash FROM entries WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = statement.query((to_sql(after), i64::try_from(STRETCH).unwrap_or(i64::MAX)))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let entry = chain::entry(row)?;
        let json = serde_json::from_str::<serde_json::Value>(&entry.body);
        json.map_err(|e| StoreError::Unreadable { seq: entry.seq, reason: e.to_string() })?;
        entries.push(entry);
    }
    Ok(entries)
}

/// Copies a journal into one new file: a state between two commits, complete, whatever is still in the write-ahead log. The copy is
/// flushed before it gets its name, and it is never written over anything. An engine may be running and is not delayed.
///
/// # Errors
/// [`StoreError`] when the journal cannot be read, or the copy exists already or cannot be written.
pub fn backup(from: &Path, to: &Path) -> Result<(), StoreError> {
    let from = file::resolve(from)?;
    let to = file::resolve(to)?;
    let exists = || StoreError::Io(format!("{} exists already; name a new file", to.display()));
    if to.exists() {
        return Err(exists());
    }
    let mut reader = Reader::open(&from)?;
    let partial = Partial::create(&to)?;
    reader.read(|conn| copy(conn, &partial.0).map_err(ReadError::Store))?;
    File::open(&partial.0).and_then(|copy| copy.sync_all()).map_err(|e| error::io(&partial.0, "flush", &e))?;
    // Unlike a rename, a link never replaces a file.
    std::fs::hard_link(&partial.0, &to).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => exists(),
        _ => error::io(&to, "create", &e),
    })?;
    drop(partial);
    file::sync_folder(&to)
}

/// A copy that is not complete yet; gone when dropped.
struct Partial(PathBuf);

impl Partial {
    fn create(to: &Path) -> Result<Self, StoreError> {
        let path = file::beside(to, &format!(".partial-{}", std::process::id()));
        file::create(&path).map(|()| Self(path))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn copy(from: &Connection, to: &Path) -> Result<(), StoreError> {
    let failed = |e: rusqlite::Error| error::sqlite(to, &e);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(to, flags).map_err(failed)?;
    {
        let backup = Backup::new(from, &mut copy).map_err(failed)?;
        // All pages in one step are one state; in several, each commit of the engine would begin the copy anew.
        match backup.step(-1).map_err(failed)? {
            StepResult::Done => {}
            _ => {
                return Err(StoreError::Io(format!("{} could not be copied in one go; try again", to.display())));
            }
        }
    }
    // One file that needs no other.
    let mode: String = copy.pragma_update_and_check(None, "journal_mode", "delete", |row| row.get(0)).map_err(failed)?;
    if mode == "delete" { Ok(()) } else { Err(StoreError::Io(format!("{} stays in `{mode}` mode; try again", to.display()))) }
}

/// Erases what the caller attached to a signal from a journal that no engine has open; see
/// [`SqliteJournal::erase_metadata`](crate::SqliteJournal::erase_metadata). Says whether there was anything.
///
/// # Errors
/// [`StoreError::InUse`] while an engine runs; else as [`open`].
pub fn erase_metadata(path: &Path, key: &ChainKey, signal: &SignalId) -> Result<bool, StoreError> {
    if !path.exists() {
        return Err(StoreError::Io(format!("{} does not exist", path.display())));
    }
    let options = Options { chain_key: key.clone(), ..Options::default() };
    open(path, options)?.journal.erase_metadata(signal)
}
