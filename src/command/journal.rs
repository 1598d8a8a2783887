//! `omnivenue journal`: what is done with the journal's file itself.

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;
use omnivenue::open::chain_key;
use serde_json::json;

use super::Options;
use super::exit::{CommandError, Done};

/// `omnivenue journal`.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalVerb {
    /// Check every link of the hash chain; an engine may be running
    Verify {
        /// A hash noted earlier that must be in the chain: proves that nothing before it changed or was cut off
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
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
    pub(crate) fn run(self, options: &Options) -> Result<Done, CommandError> {
        let (config, _) = options.load()?;
        let output = options.output();
        let path = config.journal_path();
        if !path.exists() {
            return Err(CommandError::failed(format!("there is no journal at {}", path.display())));
        }
        match self {
            Self::Verify { head } => {
                let verified = omnivenue_sqlite::verify(&path, &chain_key(&config)?, head.as_deref())?;
                let answer = json!({
                    "journal": path, "entries": verified.entries, "head": verified.head.to_string(),
                    "expected_at": verified.expected_at, "namespace": verified.namespace
                });
                output.either(&answer, || {
                    let expected = verified.expected_at.map(|seq| format!("\nexpected head: found at entry {seq}")).unwrap_or_default();
                    format!("the journal is whole\nentries: {}\nhead: {}{expected}", verified.entries, verified.head)
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
