//! Answers from the files while no engine runs.

use omnivenue::config::Config;
use omnivenue::control::{Failure, Request, codes};
use omnivenue::open;
use omnivenue_core::engine::{AccountHealth, Books, Health};
use omnivenue_core::executor::Setup;
use omnivenue_core::journal::Archive;
use omnivenue_core::model::ids::{AccountId, VenueId};
use omnivenue_sqlite::SqliteArchive;
use serde::Serialize;
use serde_json::{Value, json};

use super::exit::{CommandError, open_failure};

/// Entries read at once.
const STRETCH: usize = 512;

/// The journal, read without an engine; absent before the first start.
pub(crate) struct Files {
    archive: Option<SqliteArchive>,
    accounts: Vec<(AccountId, VenueId)>,
    setup: Setup,
}

fn value(answer: impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer).map_err(|error| Failure::new(codes::FAILED, error.to_string()))
}

impl Files {
    pub(crate) fn open(config: &Config) -> Result<Self, CommandError> {
        let archive = open::archive(config).map_err(|error| open_failure(&error))?;
        let accounts = config.accounts.iter().map(|account| (account.id.clone(), account.venue.clone())).collect();
        Ok(Self { archive, accounts, setup: open::setup(config) })
    }

    pub(crate) fn ask(&self, request: &Request) -> Result<Value, Failure> {
        let Some(archive) = &self.archive else {
            return match request {
                Request::Positions | Request::Orders | Request::Fills | Request::Equity | Request::KillReport { .. } => Ok(json!([])),
                Request::Health => Ok(
                    json!({ "status": "offline", "accounts": [], "breakers": [], "kills": [], "unknown": [], "seq": 0, "durable_seq": 0, "positions": 0 }),
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
            Request::Equity => value(books()?.equity(Some(&self.setup))),
            Request::Health => value(self.health(&books()?)),
            Request::KillReport { scope } => {
                let reports = books()?.kill_reports(&self.setup).into_iter();
                value(reports.filter(|report| scope.as_ref().is_none_or(|scope| *scope == report.scope)).collect::<Vec<_>>())
            }
            Request::Execution { id } => value(books()?.execution(archive, id).map_err(|error| Failure::from(&error))?),
            _ => Err(acts()),
        }
    }

    /// The journal knows which accounts are halted, the configuration which there are.
    fn health(&self, books: &Books) -> Health {
        let account = |(account, venue): &(AccountId, VenueId)| {
            let halt = books.book().halt(account);
            let status = if halt.is_some() { "halted" } else { "offline" };
            let reason = halt.map(|why| why.reason.clone());
            AccountHealth {
                account: account.clone(),
                venue: venue.clone(),
                status: status.to_owned(),
                reason,
                compared_ms_ago: None,
                stale: false,
                stream_ms_ago: None,
            }
        };
        Health { accounts: self.accounts.iter().map(account).collect(), ..books.health() }
    }

    /// Hands over every entry after a number, until `item` has seen enough.
    pub(crate) fn stream(&self, request: &Request, mut item: impl FnMut(Value) -> bool) -> Result<(), Failure> {
        let Request::Events { since, follow } = request else { return Err(acts()) };
        if *follow {
            return Err(Failure::new(codes::UNREACHABLE, "no engine runs, so nothing happens that could be followed; leave out --follow"));
        }
        let Some(archive) = &self.archive else { return Ok(()) };
        let mut seq = *since;
        loop {
            let entries = archive.entries_after(seq, STRETCH).map_err(|error| Failure::from(&error))?;
            let Some(last) = entries.last() else { return Ok(()) };
            if let Some(first) = entries.first().filter(|first| first.seq > seq + 1) {
                let missed = json!({ "missed": { "from": seq + 1, "to": first.seq - 1 } });
                if !item(missed) {
                    return Ok(());
                }
            }
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
