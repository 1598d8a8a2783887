//! An order made ready for one venue: exact bytes, id, nonce, deadline.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gates::Cleared;
use crate::model::ids::ClientOrderId;
use crate::model::order::OrderRequest;
use crate::model::time::Timestamp;

/// What the engine gives an account to prepare an order with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Our name of the order, derived from its key: the same key gives the same name.
    pub client_order_id: ClientOrderId,
    /// The smallest nonce above every one written down at the venue, where it wants one: the account uses this or a later one.
    pub nonce: Option<u64>,
    /// The present, by our clock.
    pub now: Timestamp,
}

/// An order made ready for one venue. Made by an account from a [`Cleared`] request, and by nothing else; it cannot be sent before it
/// is [`Journaled`](crate::journal::Journaled).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared(PreparedBody);

/// What is written down of a prepared order: all that is needed to send the same bytes or to ask for it after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PreparedBody {
    pub(crate) request: OrderRequest,
    pub(crate) client_order_id: ClientOrderId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) wire: String,
}

impl Prepared {
    /// Completes a cleared request with the nonce it uses, the venue's exact bytes without authentication, and the instant after which
    /// the venue refuses them, if it does.
    #[must_use]
    pub fn new(cleared: Cleared<OrderRequest>, ticket: Ticket, nonce: Option<u64>, wire: String, deadline: Option<Timestamp>) -> Self {
        Self(PreparedBody { request: cleared.into_inner(), client_order_id: ticket.client_order_id, nonce, deadline, wire })
    }

    pub(crate) fn from_journal(body: PreparedBody) -> Self {
        Self(body)
    }

    pub(crate) fn body(&self) -> &PreparedBody {
        &self.0
    }

    /// What is asked of the venue.
    #[must_use]
    pub fn request(&self) -> &OrderRequest {
        &self.0.request
    }

    /// Our name of the order.
    #[must_use]
    pub fn client_order_id(&self) -> &ClientOrderId {
        &self.0.client_order_id
    }

    /// Its nonce, where the venue wants one.
    #[must_use]
    pub fn nonce(&self) -> Option<u64> {
        self.0.nonce
    }

    /// After this instant the venue refuses it.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.0.deadline
    }

    /// The venue's exact bytes, without authentication headers.
    #[must_use]
    pub fn wire(&self) -> &str {
        &self.0.wire
    }
}
