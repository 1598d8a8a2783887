//! Why a connection is over.

use std::time::Duration;

use omnivenue_core::venue::ErrorKind;
use tokio_tungstenite::tungstenite;

use crate::connect::ConnectError;
use crate::http::HttpError;

/// Why a session is over or never began. No message shows the URL's path or query.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
    /// The proxy's address cannot be used.
    #[error("the stream's proxy cannot be used")]
    Proxy(#[source] HttpError),
    /// No connection.
    #[error("no stream")]
    Connect(#[source] ConnectError),
    /// The venue answered the handshake with this status.
    #[error("the stream was refused with status {status}")]
    Refused {
        /// The status.
        status: u16,
    },
    /// The handshake took too long.
    #[error("no stream within {within:?}")]
    Handshake {
        /// The time allowed.
        within: Duration,
    },
    /// The venue complained before all subscriptions were acknowledged; in its own words, at most 200 characters.
    #[error("the venue refuses a subscription: {message}")]
    Subscription {
        /// The venue's words.
        message: String,
    },
    /// Subscriptions that nobody acknowledged.
    #[error("not acknowledged within {within:?}: {}", keys.join(", "))]
    NotAcknowledged {
        /// Their keys, at most ten.
        keys: Vec<String>,
        /// The time allowed.
        within: Duration,
    },
    /// Nothing at all arrived.
    #[error("nothing arrived for {age:?}")]
    Silent {
        /// For how long.
        age: Duration,
    },
    /// The venue did not take what we sent in time.
    #[error("the venue does not take what is sent")]
    Stuck,
    /// The venue closed the connection.
    #[error("the venue closed the stream (code {code}) {reason}")]
    Closed {
        /// The code of the close frame; 1005 without one.
        code: u16,
        /// The venue's words.
        reason: String,
    },
    /// The connection broke, or what arrived breaks the protocol.
    #[error("the stream broke")]
    Broken(#[source] Box<tungstenite::Error>),
    /// The reader was too slow for messages that may not be dropped.
    #[error("{waiting} messages wait for the reader, and none may be dropped")]
    Overflow {
        /// How many wait.
        waiting: usize,
    },
    /// Reading a frame panicked.
    #[error("reading the stream failed in our own code")]
    Internal,
    /// The session is over; why was told before.
    #[error("the stream is over")]
    Over,
}

impl StreamError {
    /// What kind of failure it is, in the core's words.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::Proxy(_) | Self::Subscription { .. } => ErrorKind::InvalidRequest,
            Self::Handshake { .. } | Self::NotAcknowledged { .. } | Self::Silent { .. } | Self::Stuck => ErrorKind::Timeout,
            Self::Connect(ConnectError::Timeout { .. }) => ErrorKind::Timeout,
            Self::Refused { status: 401 | 403 } => ErrorKind::Unauthorized,
            Self::Refused { status: 429 } => ErrorKind::RateLimited,
            Self::Refused { .. } => ErrorKind::Unavailable,
            Self::Internal | Self::Overflow { .. } => ErrorKind::Internal,
            Self::Connect(_) | Self::Closed { .. } | Self::Broken(_) | Self::Over => ErrorKind::Connection,
        }
    }
}

impl From<tungstenite::Error> for StreamError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            // The answer itself is left behind: it may be long, and repeat what was asked.
            tungstenite::Error::Http(response) => Self::Refused { status: response.status().as_u16() },
            other => Self::Broken(Box::new(other)),
        }
    }
}
