//! Every error of the public surface as one, for programs in other languages: a stable code, a class, and a text for people.

use std::error::Error;

use omnivenue_core::engine::EngineError;
use omnivenue_core::model::signal::SignalError;

use crate::config::ConfigError;
#[cfg(all(feature = "sqlite", feature = "paper"))]
use crate::open::OpenError;

/// What went wrong. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Failure {
    code: &'static str,
    words: String,
}

/// What a program does about it: the classes of exceptions in other languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The configuration does not fit, or no engine can be opened with it.
    Configuration,
    /// What was asked for does not fit; nothing was done.
    Invalid,
    /// The id was used before with another body; nothing was done.
    Conflict,
    /// The engine is closed, or belongs to another process.
    Closed,
    /// Anything else.
    Other,
}

impl Failure {
    /// A failure with a stable code, in `snake_case`.
    #[must_use]
    pub fn new(code: &'static str, words: impl Into<String>) -> Self {
        Self { code, words: words.into() }
    }

    /// Stable, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// What a program does about it.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self.code {
            "configuration" => FailureClass::Configuration,
            "invalid" | "not_found" | "denied" | "unprotected" | "already_answered" => FailureClass::Invalid,
            "conflict" => FailureClass::Conflict,
            "closed" | "forked" => FailureClass::Closed,
            _ => FailureClass::Other,
        }
    }

    /// An error with all it came from, in one text.
    fn whole(code: &'static str, error: &dyn Error) -> Self {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let more = cause.to_string();
            if !words.ends_with(&more) {
                words = format!("{words}: {more}");
            }
            source = cause.source();
        }
        Self { code, words }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::whole(error.code(), &error)
    }
}

impl From<SignalError> for Failure {
    fn from(error: SignalError) -> Self {
        Self::whole("invalid", &error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::whole("configuration", &error)
    }
}

#[cfg(all(feature = "sqlite", feature = "paper"))]
impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::whole("configuration", &error)
    }
}
