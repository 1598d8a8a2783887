//! The embedded journal of omnivenue: one SQLite file that is ours alone, and beside it a rebuildable file of views.
//!
//! ```no_run
//! use omnivenue_core::journal::{Archive, Journal};
//! use omnivenue_sqlite::{Options, open};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut opened = open("trading.journal".as_ref(), Options::default())?;
//! opened.journal.append(&[])?; // the writer's thread owns it; what it returned from is on disk
//! let known = opened.archive.latest_snapshot()?; // shared by everyone who reads
//! # drop(known);
//! # Ok(())
//! # }
//! ```
//!
//! [`open`] takes the journal for one engine; [`SqliteArchive::read`], [`verify`], [`export`] and [`backup`] read it beside that
//! engine or without one.
//!
//! # The files
//!
//! | file | what it is |
//! |---|---|
//! | `trading.journal`, `-wal`, `-shm` | the journal: one database in three files; copy it with [`backup`], never by hand |
//! | `trading.journal.000001.segment`, … | closed segments: each on its own, to be archived or deleted; the journal never reads them |
//! | `trading.journal.lock` | who owns it: locked by the engine, with its process id as text; never deleted |
//! | `trading.views.db` | the same history as plain tables for people and tools; may be deleted at any time |
//!
//! # What holds
//!
//! - When [`append`](omnivenue_core::journal::Journal::append) returns `Ok`, its entries are flushed to the disk, all of them, with
//!   one flush. After an error nothing more is written until the journal is opened again.
//! - Each entry's hash covers the entry before it: opening checks the chain from the latest good snapshot, [`verify`] all of it.
//! - One process owns a journal. A second `open` fails with `InUse`, in the same process too; a fork of the owner can neither use
//!   nor reopen it.
//! - Nothing that reads can make an append fail: readers see a snapshot, the write-ahead log is emptied by a thread of its own.
//! - The views never write to the journal and never delay it.

mod archive;
mod chain;
mod checkpoint;
mod erase;
mod error;
mod file;
mod journal;
mod lock;
mod reader;
mod schema;
mod segments;
mod tools;
mod views;

pub use self::archive::SqliteArchive;
pub use self::journal::{Opened, Options, SqliteJournal, open};
pub use self::segments::{SegmentFile, verify_segment};
pub use self::tools::{Verified, backup, erase_metadata, export, verify, verify_in};
pub use self::views::{ViewsProjector, rebuild_views};
