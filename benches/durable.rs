//! Durable signals per second: the real engine and its SQLite journal on a real file, beside what bare SQLite makes of the same rows.
//!
//! Each signal becomes one order on each of two simulated exchanges. It counts once its admission and the intents of its orders are
//! flushed to the disk (`Wait::Journaled`); meanwhile the orders of those before it go out, fill and are booked, and the clock stops when
//! the last one is filled. Then plain `rusqlite` writes the very batches that the engine wrote: the same rows and bytes in the same
//! transactions, into the same tables under the same pragmas, with nothing between them; its log is emptied at the same length, by the
//! writer itself where the journal has a thread for it. The ratio of the two is what everything else costs: gates, books, JSON, the hash
//! chain, threads, the exchanges.
//!
//! With one signal at once the disk's flush is the limit; with 64 they share flushes. The last part compares the signals around the
//! 10,000th with those around the 100,000th: what a signal costs must not grow with the history.
//!
//! `cargo bench --bench durable` takes about a minute; its files are in Cargo's target directory. `OMNIVENUE_BENCH_SIGNALS=20000` sets how
//! many signals the last part has.

#[path = "world.rs"]
mod world;

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use omnivenue::engine::{Parts, SystemEnv};
use omnivenue::journal::{Entry, IndexKey, Journal, StoreError};
use omnivenue::paper::PaperExchange;
use omnivenue::sqlite::{Options, SqliteJournal};
use omnivenue::{Engine, Wait};
use rusqlite::Connection;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::world::{account, exchanges, setup, signal};

/// The disk is shared with whatever else runs: the median of so many rounds counts.
const ROUNDS: usize = 3;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--test");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory is writable");
    beside_sqlite(&runtime, folder.path(), quick);
    let asked = std::env::var("OMNIVENUE_BENCH_SIGNALS").ok().and_then(|text| text.parse().ok());
    over_time(&runtime, folder.path(), asked.unwrap_or(if quick { 1_000 } else { 100_000 }));
}

/// The engine and bare SQLite in turn.
fn beside_sqlite(runtime: &Runtime, folder: &Path, quick: bool) {
    println!("signals a second, durable                rows in a flush     bytes in a flush       engine   bare SQLite   ratio");
    for (at_once, signals) in [(1, 700), (64, 8_000)] {
        let signals = if quick { 100 } else { signals };
        let mut rounds: Vec<(u64, u64, u64)> = Vec::new();
        let (mut rows, mut bytes, mut flushes) = (0, 0, 0);
        for round in 0..ROUNDS {
            let batches = Batches::default();
            let path = folder.join(format!("engine-{at_once}-{round}"));
            let spent = runtime.block_on(async {
                let market = Market::open(&path, Some(&batches)).await;
                let spent = market.carry_out(0, signals, at_once).await;
                market.close().await;
                spent
            });
            let batches = std::mem::take(&mut *batches.lock().unwrap_or_else(PoisonError::into_inner));
            let bare = write_bare(&folder.join(format!("bare-{at_once}-{round}")), &batches);
            rows += batches.iter().map(Vec::len).sum::<usize>();
            bytes += batches.iter().flatten().map(|entry| entry.body.len()).sum::<usize>();
            flushes += batches.len();
            let (ours, theirs) = (rate(signals, spent), rate(signals, bare));
            rounds.push((ours * 10_000 / theirs.max(1), ours, theirs));
        }
        rounds.sort_unstable();
        let (ratio, ours, theirs) = rounds[ROUNDS / 2];
        let (rows, bytes) = (rows / flushes, bytes / flushes);
        println!("{at_once:>4} at once, {signals:>6} signals {rows:>31} {bytes:>20} {ours:>12} {theirs:>13} {:>7}", hundredths(ratio));
    }
}

/// The same signals early and late in one history.
fn over_time(runtime: &Runtime, folder: &Path, most: u64) {
    let (window, early) = (most / 100, most / 10);
    let (first, last) = runtime.block_on(async {
        let market = Market::open(&folder.join("long"), None).await;
        market.carry_out(0, early - window, 64).await;
        let first = market.carry_out(early - window, early + window, 64).await;
        market.carry_out(early + window, most - window, 64).await;
        let last = market.carry_out(most - window, most + window, 64).await;
        market.close().await;
        (rate(2 * window, first), rate(2 * window, last))
    });
    println!("\nsignals a second, durable, 64 at once     engine   ratio");
    println!("around the {early:>7}th {first:>27} {:>7}", "1.00");
    println!("around the {most:>7}th {last:>27} {:>7}", hundredths(last * 10_000 / first.max(1)));
}

/// How many a second.
fn rate(count: u64, spent: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1_000_000 / spent.as_micros().max(1)).unwrap_or(u64::MAX)
}

/// A ratio counted in ten-thousandths, as text.
fn hundredths(ratio: u64) -> String {
    format!("{}.{:02}", ratio / 10_000, ratio % 10_000 / 100)
}

/// An engine on a journal of its own, with two exchanges that live in memory.
struct Market {
    engine: Engine,
    // Dropping them stops their threads.
    _exchanges: Vec<PaperExchange>,
}

impl Market {
    async fn open(path: &Path, batches: Option<&Batches>) -> Self {
        let exchanges = exchanges(2);
        let opened = omnivenue::sqlite::open(path, Options::default()).expect("a journal opens");
        let parts = Parts {
            env: SystemEnv::shared(),
            setup: setup(&exchanges),
            venues: exchanges.iter().map(PaperExchange::venue).collect(),
            accounts: exchanges.iter().enumerate().map(|(index, exchange)| exchange.account(&account(index))).collect(),
            journal: match batches {
                Some(batches) => Box::new(Recorder { journal: opened.journal, batches: Arc::clone(batches) }),
                None => Box::new(opened.journal),
            },
            archive: Arc::new(opened.archive),
            namespace: opened.namespace,
            recovery_wait: Duration::from_secs(10),
            kill_secret: None,
            user_gates: Vec::new(),
        };
        let engine = Engine::open(parts).await.expect("the engine opens");
        Self { engine, _exchanges: exchanges }
    }

    /// Carries out the signals of these numbers, so many at once; returns how long it took until all were durable and the last was filled.
    #[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
    async fn carry_out(&self, from: u64, to: u64, at_once: u64) -> Duration {
        let started = Instant::now();
        let (next, missing) = (Arc::new(AtomicU64::new(from)), Arc::new(AtomicUsize::new(0)));
        let mut callers = JoinSet::new();
        for _ in 0..at_once {
            let (engine, next, missing) = (self.engine.clone(), Arc::clone(&next), Arc::clone(&missing));
            callers.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= to {
                        return;
                    }
                    let wait = if number + 1 == to { Wait::Settled } else { Wait::Journaled };
                    let execution = engine.execute(signal(number), wait).await.expect("the signal is taken");
                    let orders = execution.legs.iter().filter(|leg| leg.client_order_id.is_some()).count();
                    missing.fetch_add(2 - orders, Ordering::Relaxed);
                }
            });
        }
        while let Some(ended) = callers.join_next().await {
            ended.expect("no caller panics");
        }
        let spent = started.elapsed();
        let missing = missing.load(Ordering::Relaxed);
        if missing > 0 {
            println!("  {missing} legs of the signals from {from} to {to} came to no order");
        }
        spent
    }

    async fn close(self) {
        self.engine.shutdown().await.expect("the engine was open");
    }
}

type Batches = Arc<Mutex<Vec<Vec<Entry>>>>;

/// The journal, and a copy of every batch it took.
struct Recorder {
    journal: SqliteJournal,
    batches: Batches,
}

impl Journal for Recorder {
    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.journal.append(entries)?;
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).push(entries.to_vec());
        Ok(())
    }

    fn snapshot(&mut self, seq: u64, state: &str) -> Result<(), StoreError> {
        self.journal.snapshot(seq, state)
    }
}

/// The pragmas and tables of the journal's file.
const SCHEMA: &str = "
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;
    PRAGMA wal_autocheckpoint = 1024; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL, execution INTEGER,
        hash BLOB NOT NULL
    ) STRICT;
    CREATE INDEX entries_by_execution ON entries (execution) WHERE execution IS NOT NULL;
    CREATE TABLE signals (signal_id TEXT PRIMARY KEY, execution INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE orders (client_order_id TEXT PRIMARY KEY, execution INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// Writes the batches with nothing between them; returns how long it took.
fn write_bare(path: &Path, batches: &[Vec<Entry>]) -> Duration {
    let conn = Connection::open(path).expect("a file opens");
    conn.execute_batch(SCHEMA).expect("the tables are made");
    write_all(&conn, batches).expect("the rows are written")
}

#[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
fn write_all(conn: &Connection, batches: &[Vec<Entry>]) -> rusqlite::Result<Duration> {
    const ENTRY: &str = "INSERT INTO entries (seq, at, kind, version, body, execution, hash) VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6)";
    let number = |number: u64| i64::try_from(number).expect("the bench is short");
    let started = Instant::now();
    for batch in batches {
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for entry in batch {
            let (execution, hash) = (entry.execution.map(number), [7_u8; 32]);
            conn.prepare_cached(ENTRY)?.execute((
                number(entry.seq),
                entry.at.as_micros(),
                entry.kind,
                &entry.body,
                execution,
                &hash[..],
            ))?;
            match &entry.index {
                Some(IndexKey::Signal(id)) => {
                    conn.prepare_cached("INSERT INTO signals VALUES (?1, ?2)")?.execute((id.as_str(), execution))?
                }
                Some(IndexKey::Order(id)) => {
                    conn.prepare_cached("INSERT INTO orders VALUES (?1, ?2)")?.execute((id.as_str(), execution))?
                }
                Some(IndexKey::Erased(_)) | None => 0,
            };
        }
        conn.prepare_cached("COMMIT")?.execute([])?;
    }
    Ok(started.elapsed())
}
