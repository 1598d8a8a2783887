//! The journal's one writer, and how it comes to be.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use omnivenue_core::journal::{ChainKey, Entry, Hash, IndexKey, Journal, StoreError};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::archive::SqliteArchive;
use crate::chain::{self, Head, ReadError, from_sql, to_sql};
use crate::checkpoint::{self, Checkpointer};
use crate::lock::OwnerLock;
use crate::schema::{self, BODY_VERSION, Content};
use crate::segments::{self, Closer};
use crate::views::ViewsProjector;
use crate::{erase, error, file};

/// How long a commit waits for a tool that holds the file's write lock.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// After how many entries the state is kept, where segments are not shorter.
const SNAPSHOT_EVERY: u64 = 20_000;
/// How often the write-ahead log is tried to be emptied of what was erased before the caller is answered.
const SCRUB_TRIES: u32 = 25;
/// The pause between two of these.
const SCRUB_PAUSE: Duration = Duration::from_millis(10);

/// How a journal is opened.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The key of the hash chain; the same for the whole life of the file. None by default: then whoever can write the file can
    /// also rebuild the chain.
    pub chain_key: ChainKey,
    /// The tag that begins every client order id: 6 of 0-9 a-f. Drawn at random when the file is created, if absent; a file that
    /// exists keeps its own, and is refused if another is given.
    pub namespace: Option<String>,
    /// After how many entries a segment is closed; never when absent.
    pub segment_entries: Option<u64>,
    /// How many closed segments the journal itself still holds; all of them when absent.
    pub retain_segments: Option<u32>,
}

/// An open journal.
#[derive(Debug)]
pub struct Opened {
    /// Writes; for the committing thread. Dropping it gives the journal up.
    pub journal: SqliteJournal,
    /// Reads, beside the writer.
    pub archive: SqliteArchive,
    /// The tag that begins every client order id, for ever.
    pub namespace: String,
}

/// Opens a journal for writing, or creates it: takes the sole right to it, and checks the chain from the latest good snapshot to the
/// end (all of it where there is none).
///
/// # Errors
/// [`StoreError::InUse`] names the process that has it. [`StoreError::Incompatible`]: no journal, another format, another chain key
/// or namespace, or a place where locks and flushes cannot be relied on. [`StoreError::Broken`] names the first entry that does not
/// fit the chain. [`StoreError::Io`]: the disk, the rights, a damaged file, or a fork of the process that has it open.
pub fn open(path: &Path, options: Options) -> Result<Opened, StoreError> {
    let path = file::resolve(path)?;
    file::refuse_network(&path)?;
    let key = options.chain_key;
    let segments = options.segment_entries.map(|entries| (entries.max(1), options.retain_segments));
    let journal = SqliteJournal::open(path.clone(), key.clone(), options.namespace.as_deref(), segments)?;
    let archive = SqliteArchive::open(&path, key)?;
    let namespace = archive.namespace().to_owned();
    Ok(Opened { journal, archive, namespace })
}

/// The journal's one writer.
///
/// One call of [`append`](Journal::append) is one transaction and one flush. Its cost does not grow with the history, but for the
/// depth of the indexes.
#[derive(Debug)]
pub struct SqliteJournal {
    path: PathBuf,
    key: ChainKey,
    head: Head,
    poisoned: Option<String>,
    followers: Vec<SyncSender<()>>,
    closer: Option<Closer>,
    /// Something was erased, and the write-ahead log may still hold it.
    scrub: bool,
    /// The table that what callers attach goes to.
    table: String,
    // In this order they are dropped: the lock goes last.
    checkpointer: Checkpointer,
    conn: Option<Connection>,
    lock: OwnerLock,
}

impl SqliteJournal {
    fn open(path: PathBuf, key: ChainKey, namespace: Option<&str>, segments: Option<(u64, Option<u32>)>) -> Result<Self, StoreError> {
        let lock = OwnerLock::acquire(&path)?;
        if !file::exists_fit(&path)? {
            file::create(&path)?;
        }
        let mut conn = connect(&path)?;
        let content = schema::examine(&conn, &path)?;
        prepare(&conn).map_err(|e| error::sqlite(&path, &e))?;
        if content == Content::Empty {
            schema::create(&mut conn, &path, &key, namespace)?;
        }
        segments::prepare(&conn).map_err(|e| error::sqlite(&path, &e))?;
        let stored = schema::namespace(&conn, &path, &key)?;
        if let Some(given) = namespace.map(schema::check_namespace).transpose()?.filter(|given| *given != stored) {
            return Err(StoreError::Incompatible(format!(
                "{} has the namespace {stored} for ever, not {given}; leave the namespace out or name another file",
                path.display()
            )));
        }
        // What a process that was killed had written may be visible and not yet flushed: nothing may rest on it before it is.
        checkpoint::truncate(&conn).map_err(|e| error::sqlite(&path, &e))?;
        let head = check(&conn, &key).map_err(|e| named(&path, e))?;
        let closed = segments::all(&conn).map_err(|e| named(&path, e))?.pop();
        let closed = closed.map_or((0, Head::GENESIS), |last| (last.number, Head { seq: last.last, hash: last.head }));
        let closer = segments.map(|how| Closer::start(&path, &key, &stored, how, closed)).transpose()?;
        let table = erase::latest_table(&conn).map_err(|e| error::sqlite(&path, &e))?;
        let checkpointer = Checkpointer::start(&path, &mut conn)?;
        let mut journal = Self {
            path,
            key,
            head,
            poisoned: None,
            followers: Vec::new(),
            closer,
            scrub: false,
            table,
            checkpointer,
            conn: Some(conn),
            lock,
        };
        journal.find_spare()?;
        Ok(journal)
    }

    /// The number of the last entry; 0 when there is none.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.head.seq
    }

    /// The chain up to the last entry: what to note elsewhere for [`verify`](crate::verify).
    #[must_use]
    pub fn head(&self) -> Hash {
        self.head.hash
    }

    /// Starts to keep the views of this journal, on a thread of their own, woken after each commit.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the journal cannot be read through a second connection. Views that cannot be written are no error:
    /// [`ViewsProjector::trouble`] tells, and it is tried again.
    pub fn keep_views(&mut self) -> Result<ViewsProjector, StoreError> {
        self.guard()?;
        let (projector, wake) = ViewsProjector::start(&self.path, self.key.clone())?;
        self.followers.push(wake);
        Ok(projector)
    }

    /// Erases what the caller attached to a signal, also from the file's free space and the write-ahead log, if no reader holds it.
    /// Says whether there was anything. The chain does not cover it and stays whole; copies of the file keep it.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the journal itself is unharmed.
    pub fn erase_metadata(&mut self, signal: &omnivenue_core::model::ids::SignalId) -> Result<bool, StoreError> {
        self.guard()?;
        let conn = self.connection()?;
        let erase = || -> rusqlite::Result<bool> {
            conn.execute_batch("BEGIN IMMEDIATE")?;
            let erased = erase::blank(conn, signal)?;
            conn.execute_batch("COMMIT")?;
            Ok(erased)
        };
        let result = erase();
        let erased = self.settle(result)?;
        self.scrub |= erased;
        self.scrub(SCRUB_TRIES);
        Ok(erased)
    }

    /// Empties the write-ahead log of what was erased. A reader may be in the way for a moment: what cannot be done now is done with a later
    /// commit, or when the journal is closed or opened.
    fn scrub(&mut self, tries: u32) {
        for attempt in 0..tries {
            let Some(conn) = self.conn.as_ref().filter(|_| self.scrub) else { return };
            match checkpoint::truncate(conn) {
                Ok(emptied) => self.scrub = !emptied,
                Err(e) if error::leaves_doubt(&e) => return self.poisoned = Some(error::sqlite(&self.path, &e).to_string()),
                Err(_) => {}
            }
            if self.scrub && attempt + 1 < tries {
                std::thread::sleep(SCRUB_PAUSE);
            }
        }
    }

    /// Finds out up to which entry the journal may let go: it changes with snapshots and closed segments alone.
    fn find_spare(&mut self) -> Result<(), StoreError> {
        let (Some(conn), Some(closer)) = (self.conn.as_ref(), self.closer.as_mut()) else { return Ok(()) };
        let spare = segments::all(conn).and_then(|all| segments::spare(conn, &all, closer.retain));
        closer.spare = spare.map_err(|e| named(&self.path, e))?;
        Ok(())
    }

    /// A segment whose file is complete by now is noted, so that the next start need not write it again.
    fn note_last_segment(&mut self) {
        let Some(closer) = &mut self.closer else { return };
        closer.finish();
        let segment = closer.take();
        if let (Some(conn), Some(segment), None) = (&self.conn, segment, &self.poisoned) {
            let _ = segments::register(conn, &segment);
        }
    }

    /// Refuses to write after a failure, and in a fork.
    fn guard(&mut self) -> Result<(), StoreError> {
        self.lock.check()?;
        if self.poisoned.is_none() {
            self.poisoned = self.checkpointer.failed();
        }
        match &self.poisoned {
            None => Ok(()),
            Some(why) => Err(StoreError::Io(format!("an earlier write failed, so nothing more is written until a restart ({why})"))),
        }
    }

    fn connection(&self) -> Result<&Connection, StoreError> {
        self.conn.as_ref().ok_or_else(|| StoreError::Io("the journal is closed".into()))
    }

    /// The result of a write beside the entries: an error is the journal's end only if it leaves the disk's content in doubt.
    fn settle<T>(&mut self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|e| {
            if let Some(conn) = self.conn.as_ref().filter(|conn| !conn.is_autocommit()) {
                let _ = conn.execute_batch("ROLLBACK");
            }
            let failed = error::sqlite(&self.path, &e);
            if error::leaves_doubt(&e) {
                self.poisoned = Some(failed.to_string());
            }
            failed
        })
    }

    /// Writes the entries in one transaction; returns the chain's new head once it is durable.
    fn commit(&mut self, entries: &[Entry]) -> Result<Head, ReadError> {
        let segment = self.closer.as_mut().and_then(Closer::take);
        let mut table = None;
        let conn = self.conn.as_ref().ok_or_else(|| StoreError::Io("the journal is closed".into()))?;
        self.checkpointer.bound(conn)?;
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let head = insert(conn, &self.key, &self.table, self.head, entries)?;
        if let Some(segment) = &segment {
            segments::register(conn, segment)?;
            if self.closer.as_ref().is_some_and(|closer| closer.retain.is_some()) {
                table = Some(erase::begin_table(conn, segment.number)?);
            }
        }
        if let Some(closer) = &mut self.closer {
            match segments::let_go(conn, &self.key, closer.spare, entries.len()) {
                // Nothing was changed yet: that old entries cannot be let go of is no reason to take no new ones.
                Err(ReadError::Store(error)) => {
                    tracing::error!(%error, "the journal keeps what it could let go of; examine it with `omnivenue journal verify`");
                    closer.spare = 0;
                }
                other => drop(other?),
            }
        }
        conn.prepare_cached("COMMIT")?.execute([])?;
        if let Some(table) = table {
            self.table = table;
        }
        if let (Some(closer), Some(segment)) = (&mut self.closer, &segment) {
            closer.noted(segment);
            tracing::info!(segment = segment.number, first = segment.first, last = segment.last, "a segment of the journal is closed");
        }
        if segment.is_some()
            && let Err(error) = self.find_spare()
        {
            tracing::warn!(%error, "the journal keeps what it could let go of");
        }
        Ok(head)
    }
}

impl Journal for SqliteJournal {
    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.guard()?;
        if entries.is_empty() {
            return Ok(());
        }
        match self.commit(entries) {
            Ok(head) => {
                self.head = head;
                let erased = entries.iter().any(|entry| matches!(entry.index, Some(IndexKey::Erased(_))));
                self.scrub |= erased;
                self.scrub(if erased { SCRUB_TRIES } else { 1 });
                self.checkpointer.committed();
                // A follower that is awake already has a token and needs no second one.
                self.followers.retain(|wake| !matches!(wake.try_send(()), Err(TrySendError::Disconnected(()))));
                Ok(())
            }
            Err(e) => {
                if let Some(conn) = self.conn.as_ref().filter(|conn| !conn.is_autocommit()) {
                    let _ = conn.execute_batch("ROLLBACK");
                }
                let failed = named(&self.path, e);
                self.poisoned = Some(failed.to_string());
                Err(failed)
            }
        }
    }

    fn snapshot(&mut self, seq: u64, state: &str) -> Result<(), StoreError> {
        self.guard()?;
        let conn = self.connection()?;
        let find = || -> rusqlite::Result<Option<[u8; 32]>> {
            conn.prepare_cached("SELECT hash FROM entries WHERE seq = ?1")?.query_row([to_sql(seq)], |row| row.get(0)).optional()
        };
        let result = find().and_then(|found| match found {
            None => Ok(false),
            Some(hash) => keep(conn, &self.key, Head { seq, hash: Hash::from_bytes(hash) }, state).map(|()| true),
        });
        let kept = self.settle(result)?;
        if !kept {
            return Err(StoreError::Io(format!("entry {seq} is not in the journal")));
        }
        if let Some(closer) = &mut self.closer {
            closer.snapshot_kept(seq);
        }
        self.find_spare()
    }

    fn snapshot_every(&self) -> u64 {
        self.closer.as_ref().map_or(SNAPSHOT_EVERY, |closer| closer.every().min(SNAPSHOT_EVERY))
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        if self.lock.opener().is_here() {
            self.note_last_segment();
        }
        let Some(conn) = self.conn.take() else { return };
        if self.lock.opener().is_here() {
            // A tidy end: all of it in one file. What cannot be done now is done on the next start.
            if self.poisoned.is_none() && self.checkpointer.failed().is_none() {
                let _ = checkpoint::truncate(&conn);
            }
        } else {
            // A fork must not even close what its parent opened.
            std::mem::forget(conn);
        }
    }
}

/// Opens for writing a file that exists. Changes nothing in it yet.
pub(crate) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |e: rusqlite::Error| error::sqlite(path, &e);
    let conn = Connection::open_with_flags(path, flags).map_err(failed)?;
    let set = || -> rusqlite::Result<()> {
        conn.busy_timeout(PATIENCE)?;
        // The `-wal` stays for ever: readers take its absence as proof that no engine runs.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        conn.execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA wal_autocheckpoint = 0;
             PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; PRAGMA secure_delete = ON",
        )
    };
    set().map_err(failed)?;
    Ok(conn)
}

/// Makes the file one with a write-ahead log.
fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode == "wal" { Ok(()) } else { Err(rusqlite::Error::InvalidQuery) }
}

/// The chain from the latest good snapshot to the end.
fn check(conn: &Connection, key: &ChainKey) -> Result<Head, ReadError> {
    let base = segments::base(conn, key)?;
    let first: Option<i64> = conn.query_row("SELECT min(seq) FROM entries", [], |row| row.get(0))?;
    let from = match chain::latest_snapshot(conn, key)? {
        Some(snapshot) if first.map(from_sql) == Some(base.seq + 1) => Head { seq: snapshot.seq, hash: snapshot.hash },
        _ => base,
    };
    let head = chain::walk(conn, key, from, usize::MAX, |_| Ok(()))?;
    tracing::debug!(entries = from_sql(to_sql(head.seq)), since = from.seq, "the journal's chain is whole");
    Ok(head)
}

fn insert(conn: &Connection, key: &ChainKey, table: &str, mut head: Head, entries: &[Entry]) -> Result<Head, ReadError> {
    let mut line =
        conn.prepare_cached("INSERT INTO entries (seq, at, kind, version, body, execution, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for entry in entries {
        if entry.seq != head.seq + 1 {
            return Err(StoreError::Io(format!("entry {} was to be written after entry {}", entry.seq, head.seq)).into());
        }
        let hash = key.link(head.hash, entry.seq, entry.at, &entry.body);
        let execution = entry.execution.map(to_sql);
        line.execute((to_sql(entry.seq), entry.at.as_micros(), entry.kind, BODY_VERSION, &*entry.body, execution, hash.as_bytes()))?;
        match (execution, &entry.index) {
            (_, Some(IndexKey::Erased(signal))) => drop(erase::blank(conn, signal)?),
            (Some(execution), Some(index)) => find_by(conn, index, execution)?,
            (None, _) | (_, None) => {}
        }
        if let Some(metadata) = &entry.metadata {
            erase::attach(conn, table, entry.seq, metadata)?;
        }
        head = Head { seq: entry.seq, hash };
    }
    Ok(head)
}

/// Indexes an execution. An id that is another execution already is refused: it would be a second order for the same wish.
fn find_by(conn: &Connection, index: &IndexKey, execution: i64) -> Result<(), ReadError> {
    let (sql, id) = match index {
        IndexKey::Erased(_) => return Ok(()),
        IndexKey::Signal(id) => (
            "INSERT INTO signals (signal_id, execution) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET execution = execution WHERE execution = excluded.execution",
            id.as_str(),
        ),
        IndexKey::Order(id) => (
            "INSERT INTO orders (client_order_id, execution) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET execution = execution WHERE execution = excluded.execution",
            id.as_str(),
        ),
    };
    let written = conn.prepare_cached(sql)?.execute((id, execution))?;
    if written == 1 { Ok(()) } else { Err(StoreError::Io(format!("{id} is in the journal already, as another execution")).into()) }
}

/// Keeps a snapshot and the one before it.
fn keep(conn: &Connection, key: &ChainKey, head: Head, state: &str) -> rusqlite::Result<()> {
    let hash = chain::snapshot_hash(key, head, state);
    conn.execute_batch("BEGIN IMMEDIATE")?;
    conn.prepare_cached("INSERT OR REPLACE INTO snapshots (seq, chain, state, hash) VALUES (?1, ?2, ?3, ?4)")?.execute((
        to_sql(head.seq),
        head.hash.as_bytes(),
        state,
        hash.as_bytes(),
    ))?;
    conn.prepare_cached("DELETE FROM snapshots WHERE seq NOT IN (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT 2)")?.execute([])?;
    conn.execute_batch("COMMIT")
}

fn named(path: &Path, error: ReadError) -> StoreError {
    match error {
        ReadError::Sqlite(e) => error::sqlite(path, &e),
        ReadError::Store(e) => e,
    }
}

#[cfg(test)]
mod tests {
    use omnivenue_core::journal::{Archive, Event, KillScope};
    use omnivenue_core::model::time::Timestamp;

    use super::*;
    use crate::lock::Opener;

    fn entry(seq: u64) -> Entry {
        let event =
            Event::Killed { scope: KillScope::All, mode: Default::default(), reason: format!("{seq:01000}"), at: Default::default() };
        let body = serde_json::to_string(&event).unwrap();
        Entry { seq, at: Timestamp::EPOCH, kind: event.kind(), body: body.into(), execution: None, index: None, metadata: None }
    }

    #[test]
    fn on_a_full_disk_it_stops_and_what_was_acknowledged_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let mut opened = open(&path, Options::default()).unwrap();
        opened.journal.connection().unwrap().pragma_update_and_check(None, "max_page_count", 40, |_| Ok(())).unwrap();
        let full = (1..).find_map(|seq| opened.journal.append(&[entry(seq)]).err().map(|e| (seq, e)));
        let (seq, error) = full.unwrap();
        assert!(error.to_string().contains("disk is full"), "{error}");
        // Room again, but not for this journal before it is opened anew.
        opened.journal.connection().unwrap().pragma_update_and_check(None, "max_page_count", 4_000, |_| Ok(())).unwrap();
        assert!(opened.journal.append(&[entry(seq)]).unwrap_err().to_string().contains("earlier write failed"));
        drop(opened);
        let mut opened = open(&path, Options::default()).unwrap();
        assert_eq!(opened.journal.last_seq(), seq - 1);
        opened.journal.append(&[entry(seq)]).unwrap();
        assert_eq!(opened.archive.entries_after(0, usize::MAX).unwrap().len(), usize::try_from(seq).unwrap());
    }

    #[test]
    fn a_full_disk_fails_a_snapshot_and_not_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let mut opened = open(&folder.path().join("j"), Options::default()).unwrap();
        opened.journal.append(&[entry(1)]).unwrap();
        opened.journal.connection().unwrap().pragma_update_and_check(None, "max_page_count", 40, |_| Ok(())).unwrap();
        assert!(opened.journal.snapshot(1, &"x".repeat(400_000)).unwrap_err().to_string().contains("disk is full"));
        opened.journal.append(&[entry(2)]).unwrap();
        assert_eq!(opened.archive.latest_snapshot().unwrap(), None);
    }

    #[test]
    fn a_failed_copy_of_the_log_ends_the_writing() {
        let folder = tempfile::tempdir().unwrap();
        let mut opened = open(&folder.path().join("j"), Options::default()).unwrap();
        opened.journal.append(&[entry(1)]).unwrap();
        opened.journal.checkpointer.fail("the disk failed");
        assert!(opened.journal.append(&[entry(2)]).unwrap_err().to_string().contains("the disk failed"));
    }

    #[test]
    fn a_reader_keeps_the_log_from_being_emptied_only_while_it_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let mut opened = open(&path, Options::default()).unwrap();
        opened.journal.append(&[entry(1)]).unwrap();
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT * FROM entries").unwrap();
        opened.journal.append(&[entry(2)]).unwrap();
        let log = || std::fs::metadata(file::beside(&path.canonicalize().unwrap(), "-wal")).unwrap().len();
        opened.journal.checkpointer.pretend(20_000);
        for seq in 3..30 {
            opened.journal.append(&[entry(seq)]).unwrap();
        }
        assert!(log() > 27 * 4_096);
        reader.execute_batch("COMMIT").unwrap();
        opened.journal.checkpointer.pretend(40_000);
        opened.journal.append(&[entry(30)]).unwrap();
        assert!(log() < 8 * 4_096);
    }

    #[test]
    fn in_a_fork_it_neither_writes_nor_closes_anything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let mut opened = open(&path, Options::default()).unwrap();
        opened.journal.append(&[entry(1)]).unwrap();
        opened.journal.lock.forge_opener(Opener::elsewhere());
        assert!(opened.journal.append(&[entry(2)]).unwrap_err().to_string().contains("fork"));
        let log = file::beside(&path.canonicalize().unwrap(), "-wal");
        let before = std::fs::metadata(&log).unwrap().len();
        drop(opened);
        assert_eq!(std::fs::metadata(&log).unwrap().len(), before);
        assert!(matches!(open(&path, Options::default()).unwrap_err(), StoreError::InUse { .. }));
    }
}
