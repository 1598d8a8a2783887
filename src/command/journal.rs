//! `omnivenue journal`: what is done with the journal's file itself.

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;
use omnivenue::control::Request;
use omnivenue::open::{self, Latch, chain_key};
use omnivenue_core::model::ids::SignalId;
use serde_json::json;

use super::Options;
use super::backend::{self, Backend, Through};
use super::exit::{CommandError, Done};

/// `omnivenue journal`.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalVerb {
    /// Check every link of the hash chain; an engine may be running
    Verify {
        /// A hash noted earlier that must be in the chain: proves that nothing before it changed or was cut off
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
        /// Where the files of closed segments are, if they were moved away from beside the journal
        #[arg(long, value_name = "DIR")]
        segments: Option<PathBuf>,
    },
    /// Check the file of a closed segment on its own, wherever it is
    VerifySegment {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Erase for ever what was attached to a signal as metadata; an engine may be running
    Erase {
        /// The signal
        #[arg(value_name = "SIGNAL")]
        signal: SignalId,
    },
    /// Write every entry as a line of JSON; an engine may be running
    Export {
        /// Where to [default: stdout]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Copy the journal into one new file; an engine may be running
    Backup {
        /// Where to
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
    /// Write the views anew, the tables for people and tools beside the journal; an engine may be running
    RebuildViews,
}

impl JournalVerb {
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        let (config, _) = options.load()?;
        let output = options.output();
        let path = config.journal_path();
        if !path.exists() {
            return Err(CommandError::failed(format!("there is no journal at {}", path.display())));
        }
        match self {
            Self::Verify { head, segments } => {
                let verified = omnivenue_sqlite::verify_in(&path, &chain_key(&config)?, head.as_deref(), segments.as_deref())?;
                let answer = json!({
                    "journal": path, "entries": verified.entries, "head": verified.head.to_string(),
                    "expected_at": verified.expected_at, "namespace": verified.namespace,
                    "first": verified.first, "segments": verified.segments, "missing": verified.missing
                });
                let whole = verified.missing.is_empty();
                output.either(&answer, || {
                    let expected = verified.expected_at.map(|seq| format!("\nexpected head: found at entry {seq}")).unwrap_or_default();
                    let begins = if verified.first > 1 { format!(" (from {} on)", verified.first) } else { String::new() };
                    let segments = match verified.segments {
                        0 => String::new(),
                        count => format!(
                            "\nclosed segments: {count}{}",
                            verified.missing.iter().map(|words| format!("\n{words}")).collect::<String>()
                        ),
                    };
                    let said = if whole { "the journal is whole" } else { "the journal is whole as far as it is there" };
                    format!("{said}\nentries: {}{begins}\nhead: {}{expected}{segments}", verified.entries, verified.head)
                })?;
                if !whole {
                    return Ok(Done::Refused);
                }
            }
            Self::VerifySegment { file } => {
                let found = omnivenue_sqlite::verify_segment(&file, &chain_key(&config)?)?;
                let answer = json!({
                    "segment": found.number, "first": found.first, "last": found.last, "previous": found.previous.to_string(),
                    "head": found.head.to_string(), "namespace": found.namespace
                });
                output.either(&answer, || {
                    format!(
                        "segment {} is whole\nentries: {} to {}\nfollows: {}\nhead: {}",
                        found.number, found.first, found.last, found.previous, found.head
                    )
                })?;
            }
            Self::Erase { signal } => {
                let own = async || open::latch(&config, Latch::Erase { signal: signal.clone() });
                match Backend::running_or(&config, own).await? {
                    Through::Own(()) => {}
                    Through::Running(path) => drop(backend::once(&path, &Request::EraseMetadata { id: signal.clone() }).await?),
                }
                output.either(&json!({ "erased": signal }), || {
                    format!("what was attached to {signal} is erased; copies and backups of the journal keep it")
                })?;
            }
            Self::Export { output: None } => {
                omnivenue_sqlite::export(&path, &mut std::io::stdout().lock())?;
            }
            Self::Export { output: Some(to) } => {
                let file = std::fs::File::create_new(&to)
                    .map_err(|error| CommandError::failed(format!("{} cannot be created: {error}", to.display())))?;
                let mut file = std::io::BufWriter::new(file);
                let entries = omnivenue_sqlite::export(&path, &mut file)?;
                file.flush()?;
                output.either(&json!({ "entries": entries, "written": to }), || format!("wrote {entries} entries to {}", to.display()))?;
            }
            Self::Backup { to } => {
                omnivenue_sqlite::backup(&path, &to)?;
                output.either(&json!({ "written": to }), || format!("copied the journal to {}", to.display()))?;
            }
            Self::RebuildViews => {
                let entries = omnivenue_sqlite::rebuild_views(&path)?;
                output.either(&json!({ "entries": entries }), || format!("rebuilt the views from {entries} entries"))?;
            }
        }
        Ok(Done::Well)
    }
}
