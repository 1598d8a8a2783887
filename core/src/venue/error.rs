//! What a failed call must say: what it is, whether it may have happened, when to ask again.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::ids::VenueId;

/// What a failed request may have done at the venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing: it never left this machine.
    NotSent,
    /// Nothing: the venue refused it, in its own words.
    Refused,
    /// Perhaps: ask before doing anything else.
    Unknown,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request breaks a rule of the venue.
    InvalidRequest,
    /// Not enough balance or margin.
    InsufficientFunds,
    /// The credentials do not allow it.
    Unauthorized,
    /// Too many requests.
    RateLimited,
    /// Neither order nor instrument of that name.
    NotFound,
    /// It arrived after its deadline.
    Expired,
    /// No answer in time.
    Timeout,
    /// The connection could not be made or broke.
    Connection,
    /// The venue is down or overloaded.
    Unavailable,
    /// The answer could not be read.
    Unreadable,
    /// The venue cannot do this at all.
    Unsupported,
    /// A fault of ours, such as a panic in an adapter.
    Internal,
}

/// What was attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// [`Venue::instruments`](super::Venue::instruments).
    Instruments,
    /// [`Venue::quotes`](super::Venue::quotes) and its stream.
    Quotes,
    /// [`Account::ready`](super::Account::ready).
    Ready,
    /// [`Account::prepare`](super::Account::prepare).
    Prepare,
    /// [`Account::place`](super::Account::place).
    Place,
    /// [`Account::probe`](super::Account::probe).
    Probe,
    /// [`Account::cancel`](super::Account::cancel).
    Cancel,
    /// [`Account::snapshot`](super::Account::snapshot).
    Snapshot,
    /// [`Account::stream`](super::Account::stream).
    Stream,
    /// [`Account::examine`](super::Account::examine).
    Examine,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Instruments => "instruments",
            Self::Quotes => "quotes",
            Self::Ready => "ready",
            Self::Prepare => "prepare",
            Self::Place => "place",
            Self::Probe => "probe",
            Self::Cancel => "cancel",
            Self::Snapshot => "snapshot",
            Self::Stream => "stream",
            Self::Examine => "examine",
        })
    }
}

/// A failed call to a venue.
#[derive(Debug)]
pub struct VenueError {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// Whether it may have happened.
    pub effect: Effect,
    /// What was attempted.
    pub operation: Operation,
    /// The venue.
    pub venue: VenueId,
    /// The venue's own code.
    pub code: Option<String>,
    /// The venue's own words, or ours where it said nothing; never a secret.
    pub message: String,
    /// When the venue allows the next try.
    pub retry_after: Option<Duration>,
    /// What caused it.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl Operation {
    /// Whether it changes anything at the venue.
    #[must_use]
    pub const fn is_write(self) -> bool {
        matches!(self, Self::Place | Self::Cancel)
    }
}

impl VenueError {
    /// An error without a code, a time or a cause.
    #[must_use]
    pub fn new(venue: &VenueId, operation: Operation, kind: ErrorKind, effect: Effect, message: impl Into<String>) -> Self {
        Self { kind, effect, operation, venue: venue.clone(), code: None, message: message.into(), retry_after: None, source: None }
    }

    /// The same error with the venue's own code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }
}

/// The name of a fieldless variant as serde writes it.
fn snake(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

impl ErrorKind {
    /// The stable code of the kind, such as `rate_limited`.
    #[must_use]
    pub fn code(self) -> String {
        snake(self)
    }
}

impl fmt::Display for VenueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.venue, snake(self.operation), self.message)?;
        if let Some(code) = &self.code {
            write!(f, " (code {code})")?;
        }
        match self.effect {
            Effect::NotSent => f.write_str("; it was not sent"),
            Effect::Refused => Ok(()),
            // A question has no effect to be unsure of.
            Effect::Unknown if self.operation.is_write() => f.write_str("; it may have taken effect"),
            Effect::Unknown => Ok(()),
        }
    }
}

impl Error for VenueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
