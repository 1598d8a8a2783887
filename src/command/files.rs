//! Answers from the files while no engine runs.

use omnivenue::config::Config;
use omnivenue::control::{Failure, Request, codes};
use omnivenue::open;
use omnivenue_core::engine::Books;
use omnivenue_core::journal::Archive;
use omnivenue_sqlite::SqliteArchive;
use serde::Serialize;
use serde_json::{Value, json};

use super::exit::{CommandError, open_failure};

/// Entries read at once.
const STRETCH: usize = 512;

/// The journal, read without an engine; absent before the first start.
pub(crate) struct Files(Option<SqliteArchive>);

fn value(answer: impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer).map_err(|error| Failure::new(codes::FAILED, error.to_string()))
}

impl Files {
    pub(crate) fn open(config: &Config) -> Result<Self, CommandError> {
        open::archive(config).map(Self).map_err(|error| open_failure(&error).into())
    }

    pub(crate) fn ask(&self, request: &Request) -> Result<Value, Failure> {
        let Some(archive) = &self.0 else {
            return match request {
                Request::Positions | Request::Orders | Request::Fills | Request::Equity => Ok(json!([])),
                Request::Health => Ok(
                    json!({ "status": "offline", "accounts": [], "kills": [], "unknown": [], "seq": 0, "durable_seq": 0, "positions": 0 }),
                ),
                Request::Execution { .. } => Ok(Value::Null),
                _ => Err(acts()),
            };
        };
        let books = || Books::read(archive).map_err(|error| Failure::new(codes::FAILED, error.to_string()));
        match request {
            Request::Positions => value(books()?.positions()),
            Request::Orders => value(books()?.orders()),
            Request::Fills => value(books()?.fills()),
            Request::Equity => value(books()?.equity()),
            Request::Health => value(books()?.health()),
            Request::Execution { id } => value(books()?.execution(archive, id).map_err(|error| Failure::from(&error))?),
            _ => Err(acts()),
        }
    }

    /// Hands over every entry after a number, until `item` has seen enough.
    pub(crate) fn stream(&self, request: &Request, mut item: impl FnMut(Value) -> bool) -> Result<(), Failure> {
        let Request::Events { since, follow } = request else { return Err(acts()) };
        if *follow {
            return Err(Failure::new(codes::UNREACHABLE, "no engine runs, so nothing happens that could be followed; leave out --follow"));
        }
        let Some(archive) = &self.0 else { return Ok(()) };
        let mut seq = *since;
        loop {
            let entries = archive.entries_after(seq, STRETCH).map_err(|error| Failure::from(&error))?;
            let Some(last) = entries.last() else { return Ok(()) };
            seq = last.seq;
            for entry in &entries {
                let event: Value = serde_json::from_str(&entry.body)
                    .map_err(|error| Failure::new("journal_unreadable", format!("entry {} cannot be read: {error}", entry.seq)))?;
                if !item(json!({ "seq": entry.seq, "at": entry.at, "event": event })) {
                    return Ok(());
                }
            }
        }
    }
}

fn acts() -> Failure {
    Failure::new(codes::UNREACHABLE, "no engine runs, and the files only answer")
}
