//! What a command prints: answers on stdout, everything else on stderr.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use super::exit::{CommandError, chain};

/// Where and how a command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// JSON instead of text.
    pub(crate) json: bool,
}

impl Output {
    /// Prints text, exactly.
    pub(crate) fn text(self, text: &str) -> Result<(), CommandError> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()?;
        Ok(())
    }

    /// Prints one line of JSON.
    pub(crate) fn line(self, value: &impl Serialize) -> Result<(), CommandError> {
        self.text(&serde_json::to_string(value).map_err(|error| CommandError::failed(error.to_string()))?)
    }

    /// Prints JSON when asked for, else the text.
    pub(crate) fn either(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), CommandError> {
        if self.json { self.line(value) } else { self.text(&text()) }
    }

    /// Something a person may want to know; never part of the answer.
    pub(crate) fn note(self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Tells why a command came to nothing: as `{"error":…}` on stdout with `--json`, else on stderr.
    pub(crate) fn error(self, error: &CommandError) -> ExitCode {
        match error {
            // Whoever read the output has seen enough.
            CommandError::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            _ if self.json => drop(self.line(&serde_json::json!({ "error": error.failure() }))),
            _ => self.note(&format!("omnivenue: {}", chain(error))),
        }
        error.exit_code().into()
    }
}
