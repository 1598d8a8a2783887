//! From the journal's entries to the views, in stretches, from where they stand.

use std::path::{Path, PathBuf};

use omnivenue_core::executor::{Book, ExecutionRecord};
use omnivenue_core::journal::{ChainKey, ExecutionNumber, StoreError, StoredEntry};
use rusqlite::ErrorCode;

use super::project::Projection;
use super::store::{Place, Views};
use crate::chain::{self, ReadError, to_sql};
use crate::reader::Reader;
use crate::{error, file, schema, segments};

/// Entries projected in one transaction.
const STRETCH: usize = 512;

/// Reads one journal and writes its views.
#[derive(Debug)]
pub(crate) struct Follower {
    journal: Reader,
    namespace: String,
    path: PathBuf,
    key: Option<ChainKey>,
    views: Option<Views>,
    projection: Option<Projection>,
}

impl Follower {
    /// For the journal with this canonical path. The views are opened when they are needed. With the chain's key, a snapshot saves
    /// folding what came before it.
    pub(crate) fn open(journal: &Path, key: Option<ChainKey>) -> Result<Self, StoreError> {
        let mut reader = Reader::open(journal)?;
        let namespace = reader.read(|conn| Ok(schema::meta(conn, journal, "namespace")?))?;
        Ok(Self { journal: reader, namespace, path: file::views_of(journal), key, views: None, projection: None })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Empties the views.
    pub(crate) fn start_over(&mut self) -> Result<(), StoreError> {
        self.mending(|follower| {
            let namespace = follower.namespace.clone();
            follower.views()?.clear(&namespace)
        })
    }

    /// Projects all that is new. Tells `reached` how far it is, which says whether to go on.
    pub(crate) fn catch_up(&mut self, mut reached: impl FnMut(u64) -> bool) -> Result<(), StoreError> {
        while let Some(as_of) = self.mending(Self::stretch)? {
            if !reached(as_of) {
                return Ok(());
            }
        }
        let place = self.mending(|follower| follower.views()?.place())?;
        reached(place.seq);
        Ok(())
    }

    /// Projects one stretch and returns how far the views reach; nothing when there was nothing new.
    fn stretch(&mut self) -> Result<Option<u64>, ReadError> {
        let namespace = self.namespace.clone();
        let place = self.views()?.place()?;
        let mut entries = self.journal.read(|conn| entries_from(conn, place.seq))?;
        let base = self.journal.read(|conn| Ok(segments::base_unsealed(conn)?))?;
        let at_hand = self.projection.as_ref().is_some_and(|projection| projection.seq() == place.seq);
        if base > 0 && !at_hand && (place.seq < base || self.folded_up_to(place.seq, base)?.is_none()) {
            return self.begin_after(base).map(Some);
        }
        let known = place.seq == 0 || entries.first().is_some_and(|e| e.seq == place.seq && e.hash.to_string() == place.hash);
        if !known || place.namespace != namespace {
            tracing::warn!(views = %self.path.display(), "the views are of another history and are rebuilt");
            self.views()?.clear(&namespace)?;
            return Ok(Some(0));
        }
        entries.retain(|entry| entry.seq > place.seq);
        if entries.is_empty() {
            return Ok(None);
        }
        let mut projection = self.projection_at(place.seq)?;
        self.views()?;
        let Self { views: Some(views), journal, .. } = self else { return Ok(Some(place.seq)) };
        let mut recall = |number, seq| journal.read(|conn| recalled(conn, number, seq));
        let reached = views.apply(&place, &entries, &mut projection, &mut recall)?;
        if projection.seq() == reached {
            self.projection = Some(projection);
        }
        Ok(Some(reached))
    }

    /// The journal no longer holds what the views lack: they begin anew with the first snapshot it has.
    fn begin_after(&mut self, base: u64) -> Result<u64, ReadError> {
        let unreadable = |reason: &str| StoreError::Unreadable { seq: base + 1, reason: reason.to_owned() };
        let found =
            self.journal.read(segments::first_snapshot)?.ok_or_else(|| unreadable("there is no snapshot to begin the views with"))?;
        let book: Book = serde_json::from_str(&found.state).map_err(|e| unreadable(&e.to_string()))?;
        tracing::warn!(views = %self.path.display(), from = found.seq, "the views begin with what the journal still holds");
        let namespace = self.namespace.clone();
        self.views()?.begin(&namespace, found.seq, &found.hash.to_string())?;
        self.projection = Some(Projection::at(book, found.seq));
        Ok(found.seq)
    }

    /// The state at the entry where the views stand: the one at hand, or one folded anew.
    fn projection_at(&mut self, seq: u64) -> Result<Projection, ReadError> {
        if let Some(projection) = self.projection.take().filter(|projection| projection.seq() == seq) {
            return Ok(projection);
        }
        let base = self.journal.read(|conn| Ok(segments::base_unsealed(conn)?))?;
        let from = self.folded_up_to(seq, base)?;
        let mut projection = from.map_or_else(Projection::default, |(book, seq)| Projection::at(book, seq));
        while projection.seq() < seq {
            let mut entries = self.journal.read(|conn| entries_from(conn, projection.seq() + 1))?;
            entries.retain(|entry| entry.seq <= seq);
            if entries.is_empty() {
                break;
            }
            for entry in &entries {
                projection.fold(entry)?;
            }
        }
        Ok(projection)
    }

    /// The state as a snapshot tells it, of an entry or of one before it. Without the chain's key a snapshot is believed only where there is
    /// nothing else: the entries before it are gone.
    fn folded_up_to(&mut self, seq: u64, base: u64) -> Result<Option<(Book, u64)>, ReadError> {
        let snapshot = match &self.key {
            Some(key) => self.journal.read(|conn| chain::snapshot_up_to(conn, key, seq))?,
            None if base > 0 => self.journal.read(segments::first_snapshot)?.filter(|snapshot| snapshot.seq <= seq),
            None => None,
        };
        Ok(snapshot.and_then(|snapshot| Some((serde_json::from_str(&snapshot.state).ok()?, snapshot.seq))))
    }

    /// The open views; opened anew when their file was deleted or replaced.
    fn views(&mut self) -> Result<&mut Views, ReadError> {
        if self.views.as_ref().is_some_and(|views| !views.is_at(&self.path)) {
            self.views = None;
        }
        if self.views.is_none() {
            self.views = Some(Views::open(&self.path, &self.namespace)?);
        }
        Ok(self.views.as_mut().expect("opened above"))
    }

    /// Does something with the views; if they turn out to be damaged, throws them away and does it once more.
    fn mending<T>(&mut self, mut work: impl FnMut(&mut Self) -> Result<T, ReadError>) -> Result<T, StoreError> {
        let first = work(self);
        let result = match first {
            Err(ReadError::Sqlite(e)) if is_damage(&e) => {
                tracing::warn!(views = %self.path.display(), error = %e, "the views are damaged and are rebuilt");
                self.views = None;
                self.projection = None;
                Views::remove(&self.path)?;
                work(self)
            }
            other => other,
        };
        result.map_err(|e| {
            // An error may have left a transaction open.
            self.views = None;
            self.projection = None;
            match e {
                ReadError::Sqlite(e) => error::sqlite(&self.path, &e),
                ReadError::Store(e) => e,
            }
        })
    }
}

/// Whether the file itself is at fault, as it is when it was cut, overwritten, or its tables were changed.
fn is_damage(error: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure};
    let elsewhere = [CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure];
    error.sqlite_error_code().is_none_or(|code| !elsewhere.contains(&code))
}

/// The entry the views stand at, and those after it.
fn entries_from(conn: &rusqlite::Connection, seq: u64) -> Result<Vec<StoredEntry>, ReadError> {
    let mut statement = conn.prepare_cached("SELECT seq, at, body, hash FROM entries WHERE seq >= ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = statement.query((to_sql(seq), i64::try_from(STRETCH).unwrap_or(i64::MAX)))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(chain::entry(row)?);
    }
    Ok(entries)
}

/// The record of an execution as of an entry, from its own entries.
fn recalled(conn: &rusqlite::Connection, number: ExecutionNumber, seq: u64) -> Result<Option<ExecutionRecord>, ReadError> {
    let mut statement = conn.prepare_cached("SELECT seq, at, body, hash FROM entries WHERE execution = ?1 AND seq <= ?2 ORDER BY seq")?;
    let mut rows = statement.query((to_sql(number), to_sql(seq)))?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(chain::entry(row)?.event()?);
    }
    Book::rebuild(events).map_err(|e| StoreError::Unreadable { seq, reason: e.to_string() }.into())
}

impl Place {
    /// Whether both are the same place of the same history.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.seq, &self.hash, &self.namespace) == (other.seq, &other.hash, &other.namespace)
    }
}
