//! How a command ends.

use std::process::ExitCode;

use omnivenue::config::ConfigError;
use omnivenue::control::{Failure, codes};
use omnivenue::open::OpenError;
use omnivenue_core::journal::StoreError;
use omnivenue_core::model::execution::{Execution, Outcome};

/// Refused or failed.
pub(crate) const FAILED: u8 = 1;
/// Done, but positions are left without the stop that the engine runs.
pub(crate) const UNPROTECTED: u8 = 5;
/// Wrong usage, input or configuration.
pub(crate) const USAGE: ExitStatus = ExitStatus(2);
/// Some leg is unknown.
pub(crate) const UNKNOWN: u8 = 3;
/// No engine answers, or another one has the journal.
pub(crate) const UNREACHABLE: u8 = 4;

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExitStatus(u8);

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.0)
    }
}

/// How a command that ran to its end ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// All is well.
    Well,
    /// It ran, but something was refused or did not pass.
    Refused,
    /// Positions are left without the stop that the engine runs.
    Unprotected,
    /// Something may have taken effect.
    Unknown,
}

impl Done {
    /// The worse of the two.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Unprotected, _) | (_, Self::Unprotected) => Self::Unprotected,
            (Self::Refused, _) | (_, Self::Refused) => Self::Refused,
            (Self::Well, Self::Well) => Self::Well,
        }
    }
}

impl From<Done> for ExitCode {
    fn from(done: Done) -> Self {
        match done {
            Done::Well => Self::SUCCESS,
            Done::Refused => FAILED.into(),
            Done::Unprotected => UNPROTECTED.into(),
            Done::Unknown => UNKNOWN.into(),
        }
    }
}

impl From<&Execution> for Done {
    /// Unknown beats refused beats well. Legs that were skipped do not count while another one did something.
    fn from(execution: &Execution) -> Self {
        if execution.legs.iter().any(|leg| leg.state == "unknown") {
            return Self::Unknown;
        }
        let bad = |outcome: Outcome| {
            matches!(outcome, Outcome::Refused | Outcome::Rejected | Outcome::Expired | Outcome::Canceled | Outcome::Unwound)
        };
        let skipped = |leg: &omnivenue_core::model::execution::LegReport| leg.outcome == Some(Outcome::Skipped);
        let refused = execution.legs.iter().any(|leg| leg.outcome.is_some_and(bad));
        let nothing = !execution.legs.is_empty() && execution.legs.iter().all(skipped);
        if refused || nothing { Self::Refused } else { Self::Well }
    }
}

/// Why a command cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// Wrong usage or input.
    #[error("{0}")]
    Usage(String),
    /// Wrong configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The engine, or the way to it, says no.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
}

impl CommandError {
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failure(Failure::new(codes::FAILED, message))
    }

    /// As it is told to a program.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Usage(message) => Failure::new(codes::BAD_REQUEST, message),
            Self::Config(error) => Failure::new("bad_configuration", chain(error)),
            Self::Failure(failure) => failure.clone(),
            Self::Output(error) => Failure::new(codes::FAILED, format!("cannot write the output: {error}")),
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) => 2,
            Self::Failure(failure) => match failure.code.as_str() {
                codes::BAD_REQUEST => 2,
                codes::UNREACHABLE | codes::IN_USE | codes::BUSY => UNREACHABLE,
                _ => FAILED,
            },
            Self::Output(_) => FAILED,
        }
    }
}

/// Why an engine cannot be opened, as it is told.
pub(crate) fn open_failure(error: &OpenError) -> Failure {
    match error {
        OpenError::Journal(error) => Failure::from(error),
        OpenError::Denied(words) => Failure::new(codes::DENIED, words),
        error => Failure::new(codes::FAILED, chain(error)),
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::Failure(Failure::from(&error))
    }
}

impl From<OpenError> for CommandError {
    fn from(error: OpenError) -> Self {
        Self::Failure(open_failure(&error))
    }
}

/// An error and what caused it, on one line each way.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(legs: &[(&str, Option<&str>)]) -> Execution {
        let legs: Vec<serde_json::Value> = legs
            .iter()
            .map(|(state, outcome)| {
                serde_json::json!({
                    "deployment": "d", "venue": "v", "account": "a", "state": state, "outcome": outcome, "filled_quantity": "0", "fees": [],
                    "protection": "none", "timings_us": {}
                })
            })
            .collect();
        serde_json::from_value(serde_json::json!({"signal_id": "s", "status": "done", "legs": legs})).unwrap()
    }

    #[test]
    fn the_exit_tells_the_worst_leg() {
        let check = |legs: &[(&str, Option<&str>)], expected| assert_eq!(Done::from(&execution(legs)), expected, "{legs:?}");
        check(&[("done", Some("filled")), ("working", None)], Done::Well);
        check(&[("done", Some("filled")), ("done", Some("skipped"))], Done::Well);
        check(&[("done", Some("skipped")), ("done", Some("skipped"))], Done::Refused);
        check(&[("done", Some("filled")), ("done", Some("refused"))], Done::Refused);
        check(&[("done", Some("rejected")), ("unknown", None)], Done::Unknown);
        check(&[], Done::Well);
    }

    #[test]
    fn failures_have_their_exit_codes() {
        let check = |code: &str, expected| assert_eq!(CommandError::from(Failure::new(code, "x")).exit_code(), expected, "{code}");
        check(codes::BAD_REQUEST, 2);
        check(codes::IN_USE, 4);
        check(codes::UNREACHABLE, 4);
        check("anything_else", 1);
        assert_eq!(Done::Refused.and(Done::Unknown).and(Done::Unprotected), Done::Unknown);
        assert_eq!(Done::Refused.and(Done::Unprotected).and(Done::Well), Done::Unprotected);
    }
}
