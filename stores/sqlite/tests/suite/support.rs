//! Entries to write, files to write them to, and processes to kill.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use omnivenue_core::journal::{Archive, Entry, Event, ExecutionNumber, IndexKey, Journal, KillScope, StoredEntry};
use omnivenue_core::model::time::Timestamp;
use omnivenue_sqlite::{Opened, Options, open};
use tempfile::TempDir;

/// A folder with a journal in it, gone at the end of the test.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) journal: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().canonicalize().unwrap().join("trading.journal");
        Self { folder, journal }
    }

    pub(crate) fn open(&self) -> Opened {
        open(&self.journal, Options::default()).unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.journal.with_file_name(name)
    }

    /// The file as any other program sees it.
    pub(crate) fn intruder(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(&self.journal).unwrap()
    }

    /// A journal of `count` plain entries, closed again.
    pub(crate) fn with(count: u64) -> Self {
        let place = Self::new();
        place.open().journal.append(&plain(1..=count)).unwrap();
        place
    }
}

pub(crate) fn at(seq: u64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000 + i64::try_from(seq).unwrap())
}

pub(crate) fn entry(seq: u64, event: &Event, execution: Option<ExecutionNumber>, index: Option<IndexKey>) -> Entry {
    let body = serde_json::to_string(event).unwrap();
    Entry { seq, at: at(seq), kind: event.kind(), body: body.into(), execution, index, metadata: None }
}

/// Entries that belong to nothing.
pub(crate) fn plain(seqs: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    let event =
        |seq| Event::Killed { scope: KillScope::All, mode: Default::default(), reason: format!("entry {seq}"), at: Default::default() };
    seqs.into_iter().map(|seq| entry(seq, &event(seq), None, None)).collect()
}

fn event(json: serde_json::Value) -> Event {
    serde_json::from_value(json).unwrap()
}

pub(crate) fn leg() -> serde_json::Value {
    serde_json::json!({
        "deployment": "main", "agent": "momentum", "account": "hl", "venue": "hyperliquid", "symbol": "HYPE",
        "order": {
            "side": "buy", "quantity": "12.5", "order": {"type": "market"}, "worst_price": "40.4", "leverage": "5",
            "terms": {"asset": "HYPE", "base": "HYPE", "settle": "USDC", "market": "perp", "money_scale": 6},
            "reserve": {"notional": "505", "capital": "101.5"}, "rate": "1"
        }
    })
}

/// A signal that was admitted as this execution, with metadata.
pub(crate) fn admitted(seq: u64, execution: ExecutionNumber, signal: &str) -> Entry {
    let admission = event(serde_json::json!({
        "event": "admitted", "number": execution, "body_hash": "00", "received_at": at(seq).to_string(),
        "command": {"signal": {
            "id": signal, "agent": "momentum", "asset": "HYPE", "direction": "long", "confidence": "0.8",
            "created_at": at(seq).to_string(), "sizing": {"notional": "500"}, "leverage": "5"
        }},
        "legs": [leg()]
    }));
    let index = Some(IndexKey::Signal(signal.parse().unwrap()));
    let mut entry = entry(seq, &admission, Some(execution), index);
    entry.metadata = Some(format!(r#"{{"note":"secret of {signal}"}}"#));
    entry
}

/// An order of that execution's first leg.
pub(crate) fn prepared(seq: u64, execution: ExecutionNumber, order: &str, attempt: u32) -> Entry {
    let intent = event(serde_json::json!({
        "event": "prepared", "leg": {"execution": execution, "leg": 0}, "attempt": attempt, "at": at(seq).to_string(),
        "prepared": {
            "client_order_id": order, "wire": "{}",
            "request": {
                "account": "hl", "symbol": "HYPE", "market": "perp", "side": "buy", "quantity": "12.5", "order": {"type": "market"},
                "worst_price": "40.4", "leverage": "5", "purpose": "entry", "reduce_only": false
            }
        }
    }));
    entry(seq, &intent, Some(execution), Some(IndexKey::Order(order.parse().unwrap())))
}

/// Everything in an archive.
pub(crate) fn all(archive: &dyn Archive) -> Vec<StoredEntry> {
    archive.entries_after(0, usize::MAX).unwrap()
}

pub(crate) fn same(stored: &[StoredEntry], written: &[Entry]) {
    let stored: Vec<_> = stored.iter().map(|e| (e.seq, e.at, &*e.body)).collect();
    let written: Vec<_> = written.iter().map(|e| (e.seq, e.at, &*e.body)).collect();
    assert_eq!(stored, written);
}

/// The variable that turns a run of this very program into a process of a test: what it is to do with the journal.
const ROLE: &str = "OMNIVENUE_SQLITE_TEST_ROLE";
const FILE: &str = "OMNIVENUE_SQLITE_TEST_FILE";

/// This program again, as another process that plays a role. Its file size may be limited (in blocks of 512 bytes): then writing
/// beyond fails as on a broken disk.
pub(crate) fn process(role: &str, place: &Place, blocks: Option<u32>) -> Command {
    let limit = blocks.map_or_else(String::new, |blocks| format!("trap '' XFSZ; ulimit -f {blocks}; "));
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{limit}exec \"$0\" support::a_process --exact --nocapture")).arg(std::env::current_exe().unwrap());
    command.env(ROLE, role).env(FILE, &place.journal).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// What the other process says, line by line: `said: ` marks its own words among those of the test harness.
pub(crate) fn said(line: &str) -> Option<&str> {
    line.split_once("said: ").map(|(_, words)| words)
}

/// Not a test of its own: what this program does when a test runs it as another process.
#[test]
fn a_process() {
    let (Ok(role), Ok(file)) = (std::env::var(ROLE), std::env::var(FILE)) else {
        return;
    };
    if role == "segments" {
        return crate::segments::write_for_ever(file.as_ref());
    }
    let opened = open(file.as_ref(), Options::default());
    let mut opened = match opened {
        Ok(opened) => opened,
        Err(e) => return println!("said: {e}"),
    };
    match role.as_str() {
        "hold" => {
            println!("said: held");
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
        "write" => loop {
            let first = opened.journal.last_seq() + 1;
            let last = first + first % 7;
            match opened.journal.append(&plain(first..=last)) {
                Ok(()) => println!("said: {last}"),
                Err(e) => {
                    println!("said: {e}");
                    let again = opened.journal.append(&plain(first..=last)).unwrap_err();
                    println!("said: {again}");
                    return;
                }
            }
        },
        other => panic!("no such role: {other}"),
    }
}
