//! What a failed exchange may have done.

use std::error::Error;

use omnivenue_core::venue::{Effect, ErrorKind};

use crate::connect::ConnectError;

/// An exchange without an answer.
///
/// [`Effect::NotSent`] only where nothing can have left: the request could not be built, or there was no connection.
/// After that it is [`Effect::Unknown`], whatever the cause. The message has no path, query, headers or body.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct HttpError {
    /// Whether the request may have had an effect; never [`Effect::Refused`].
    pub effect: Effect,
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// What happened, in our words.
    pub message: String,
    /// What caused it.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl HttpError {
    pub(crate) fn not_sent(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { effect: Effect::NotSent, kind, message: message.into(), source: None }
    }

    pub(super) fn unknown(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { effect: Effect::Unknown, kind, message: message.into(), source: None }
    }

    pub(super) fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the client says of an exchange that gave no answer.
    pub(super) fn of_exchange(host: &str, error: hyper_util::client::legacy::Error) -> Self {
        // The client calls an error one of connecting only while it has no connection to hand the request to.
        if error.is_connect() {
            let late = matches!(cause::<ConnectError>(&error), Some(ConnectError::Timeout { .. }));
            let message = cause::<ConnectError>(&error).map_or_else(|| format!("no connection to {host}"), ToString::to_string);
            return Self::not_sent(if late { ErrorKind::Timeout } else { ErrorKind::Connection }, message).with_source(error);
        }
        // A request that was queued on a connection just closed never left either, says hyper; it is kept as unknown,
        // because that rests on the inside of a library and costs one look at the venue.
        let unreadable = cause::<hyper::Error>(&error).is_some_and(hyper::Error::is_parse);
        if unreadable {
            return Self::unknown(ErrorKind::Unreadable, format!("the answer of {host} is not HTTP")).with_source(error);
        }
        Self::unknown(ErrorKind::Connection, format!("the connection to {host} broke before the answer")).with_source(error)
    }
}

/// The first error of a type in the chain of causes.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
