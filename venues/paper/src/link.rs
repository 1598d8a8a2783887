//! How a client reaches the exchange: the one seam between the adapter and whatever carries its requests.

use async_trait::async_trait;
use omnivenue_core::model::ids::AccountId;
use omnivenue_core::model::order::OrderReport;
use omnivenue_core::venue::{Quote, Sink};

use crate::wire::{Refusal, Request, Response};

/// Why a call did not bring a response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The request could not be handed over at all.
    #[error("the exchange cannot be reached: {0}")]
    NotSent(String),
    /// The exchange refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The answer is no answer to what was asked.
    #[error("it answered something else than was asked")]
    Unreadable,
    /// The connection broke after the request was handed over: it may have been done.
    #[error("the connection broke before the answer came")]
    Cut,
}

/// A connection to the exchange. It repeats nothing.
#[async_trait]
pub trait Link: Send + Sync {
    /// Sends a request once and waits for its answer, which may never come: the caller has the deadline.
    ///
    /// # Errors
    /// [`LinkError`] says whether it may have been done.
    async fn call(&self, request: Request) -> Result<Response, LinkError>;

    /// Delivers an account's stream: each report with its new trades only. Ends well when the sink is closed.
    ///
    /// # Errors
    /// [`LinkError::Cut`] when the connection ends or the listener is too slow; what was missed is in a snapshot.
    async fn updates(&self, account: &AccountId, sink: Sink<OrderReport>) -> Result<(), LinkError>;

    /// Delivers every quote once, and then those that change, at most every tenth of a second. Ends well when the sink is closed.
    ///
    /// # Errors
    /// [`LinkError::Cut`] when the connection ends.
    async fn quotes(&self, sink: Sink<Quote>) -> Result<(), LinkError>;
}
