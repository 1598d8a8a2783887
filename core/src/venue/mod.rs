//! What a venue must do to be traded on. Every method is required; what a venue lacks is in its [`Capabilities`].
//!
//! An order passes four hands, and each makes the type that the next one takes, so that skipping one does not compile:
//! [`OrderRequest`] → [`Cleared`] (a gate) → [`Prepared`] (the account) → [`Journaled`] (a durable commit) →
//! [`Account::place`].

mod capabilities;
mod error;
mod prepared;

use std::sync::Arc;

use async_trait::async_trait;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc;

pub use self::capabilities::{Absence, Capabilities, ExitCapabilities, NonceRule, OrderCapabilities, PositionModel, Resend};
pub use self::error::{Effect, ErrorKind, Operation, VenueError};
pub(crate) use self::prepared::PreparedBody;
pub use self::prepared::{Prepared, Ticket};
use crate::gates::Cleared;
use crate::journal::Journaled;
pub use crate::model::exit::TriggerSource;
use crate::model::ids::{AccountId, ClientOrderId, VenueId, VenueSymbol};
use crate::model::instrument::{Instrument, Side};
use crate::model::movement::Movement;
use crate::model::number::{Price, Quantity, exact};
use crate::model::order::{Balance, FillReport, NetPosition, OrderReport, OrderRequest};
use crate::model::time::Timestamp;

/// The prices of an instrument at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// The instrument.
    pub symbol: VenueSymbol,
    /// The best price to sell at.
    pub bid: Price,
    /// The best price to buy at.
    pub ask: Price,
    /// By the venue's clock.
    pub at: Timestamp,
    /// What is offered at these prices and behind them, as far as the venue tells.
    pub depth: Depth,
}

/// So much at one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceLevel {
    /// The price.
    pub price: Price,
    /// How much, in base units.
    pub quantity: Quantity,
}

/// What is offered on both sides of a book. Empty where the venue tells prices only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Depth {
    /// What others buy, best first: what a sale meets.
    pub bids: Vec<PriceLevel>,
    /// What others sell, best first: what a purchase meets.
    pub asks: Vec<PriceLevel>,
    /// Whether only the best prices are told: then nothing is known of what lies behind them. Otherwise what is not in it is not there.
    pub top_only: bool,
}

impl Depth {
    /// The most levels of a side that are kept.
    pub const LEVELS: usize = 20;

    /// A book as the venue tells it, best first, cut to [`Self::LEVELS`] on each side.
    #[must_use]
    pub fn book(mut bids: Vec<PriceLevel>, mut asks: Vec<PriceLevel>) -> Self {
        bids.truncate(Self::LEVELS);
        asks.truncate(Self::LEVELS);
        Self { bids, asks, top_only: false }
    }

    /// What an order on this side meets, best first.
    #[must_use]
    pub fn against(&self, side: Side) -> &[PriceLevel] {
        if side.is_buy() { &self.asks } else { &self.bids }
    }
}

impl Quote {
    /// The middle of bid and ask: where positions are valued.
    #[must_use]
    pub fn middle(&self) -> Price {
        let both = exact::add(self.bid.decimal(), self.ask.decimal());
        let half = both.and_then(|both| both.checked_div(Decimal::TWO));
        half.and_then(|half| Price::new(half).ok()).unwrap_or(self.ask)
    }
}

/// Where a stream delivers. Bounded: `send` waits for room, `try_send` drops and counts.
#[derive(Debug)]
pub struct Sink<T>(mpsc::Sender<T>);

impl<T> Clone for Sink<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The engine no longer listens; the stream should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine no longer listens")]
pub struct Closed;

impl<T> Sink<T> {
    /// A sink with room for `capacity` items, and where they arrive.
    #[must_use]
    pub fn bounded(capacity: usize) -> (Self, mpsc::Receiver<T>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self(sender), receiver)
    }

    /// Delivers one item, waiting for room. For what must not be lost.
    ///
    /// # Errors
    /// [`Closed`] when the engine no longer listens.
    pub async fn send(&self, item: T) -> Result<(), Closed> {
        self.0.send(item).await.map_err(|_| Closed)
    }

    /// Delivers one item if there is room; `Ok(false)` says that it was dropped. For what a later item replaces.
    ///
    /// # Errors
    /// [`Closed`] when the engine no longer listens.
    pub fn try_send(&self, item: T) -> Result<bool, Closed> {
        match self.0.try_send(item) {
            Ok(()) => Ok(true),
            Err(mpsc::error::TrySendError::Full(_)) => Ok(false),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Closed),
        }
    }
}

/// A place that trades: instruments and quotes, shared by all its accounts.
#[async_trait]
pub trait Venue: Send + Sync {
    /// Its name.
    fn id(&self) -> &VenueId;

    /// What it can do, as data. Constant for the life of the value.
    fn capabilities(&self) -> &Capabilities;

    /// All instruments it trades. Asked once when the engine opens; an instrument whose numbers cannot be kept exactly is left out by the caller.
    async fn instruments(&self) -> Result<Vec<Instrument>, VenueError>;

    /// The current quote of every instrument that has one.
    async fn quotes(&self) -> Result<Vec<Quote>, VenueError>;

    /// Delivers quotes as they change until the connection or the sink ends; the caller calls again. A quote may be dropped, the
    /// latest one arrives.
    async fn stream_quotes(&self, sink: Sink<Quote>) -> Result<(), VenueError>;
}

/// What a probe may do beside asking. It never sends the order: orders leave from one place only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbePermission {
    /// Whether the engine would send the same bytes again where the venue is [`Resend::Idempotent`]: then a probe that finds nothing burns
    /// nothing and says [`Evidence::Resendable`]. Never once the signal is no longer valid or the kill switch is on: then a probe only finds
    /// or burns.
    pub may_resend: bool,
    /// The present, by our clock.
    pub now: Timestamp,
}

/// What a venue says about an order whose fate is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// It took effect.
    Present(OrderReport),
    /// It did not take effect and never can: the request can no longer arrive, and then it was not found.
    AbsentForever {
        /// What was asked and answered, for people.
        evidence: String,
    },
    /// It was not found, and the venue takes the same bytes at most once: they may be sent again. Only as permitted.
    Resendable {
        /// What was asked and answered, for people.
        evidence: String,
    },
    /// Neither is proved yet.
    NotYet {
        /// When asking again can tell more.
        ask_at: Timestamp,
        /// What is awaited, for people.
        why: String,
    },
}

/// The venue's truth about an account at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountSnapshot {
    /// Every order that rests, and every order that changed since the instant asked for.
    pub orders: Vec<OrderReport>,
    /// Every trade since the instant asked for.
    pub fills: Vec<FillReport>,
    /// Every position that is not flat. On spot: the holdings other than the quote currency.
    pub positions: Vec<NetPosition>,
    /// Settled balances.
    pub balances: Vec<Balance>,
    /// Every movement of money since the instant asked for; none where the venue does not tell.
    pub movements: Vec<Movement>,
    /// By the venue's clock.
    pub at: Timestamp,
}

/// How good a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// As it should be.
    Good,
    /// It works, but someone should look at it soon.
    Warning,
    /// Orders will fail.
    Bad,
}

/// One thing that was looked at, without trading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// What was looked at, such as `clock` or `signer`.
    pub check: String,
    /// How good it is.
    pub grade: Grade,
    /// What was found and, unless it is good, what to do. Never a secret.
    pub detail: String,
}

impl Finding {
    /// A finding.
    #[must_use]
    pub fn new(check: &str, grade: Grade, detail: impl Into<String>) -> Self {
        Self { check: check.to_owned(), grade, detail: detail.into() }
    }
}

/// One login at one venue.
///
/// No method repeats a write: an error after bytes may have left carries [`Effect::Unknown`], and what happens next is decided above.
#[async_trait]
pub trait Account: Send + Sync {
    /// Its name.
    fn id(&self) -> &AccountId;

    /// The venue it is at.
    fn venue(&self) -> &Arc<dyn Venue>;

    /// Waits until an order can be prepared: a rate permit is held, leverage is set. Resolves at once where nothing is to be awaited.
    async fn ready(&self, request: &OrderRequest) -> Result<(), VenueError>;

    /// Makes the exact request, without authentication headers. Local, bounded in time: no network. The engine calls it on its own thread.
    fn prepare(&self, cleared: Cleared<OrderRequest>, ticket: Ticket) -> Result<Prepared, VenueError>;

    /// Sends a prepared order once. Called again with the same order only after [`Evidence::Resendable`].
    async fn place(&self, order: &Journaled<Prepared>) -> Result<OrderReport, VenueError>;

    /// Finds out what became of an order, from the order, its trades and whatever else the venue tells. May burn a nonce, as
    /// `permission` says; never sends the order. An error means that nothing was learned.
    async fn probe(&self, order: &Journaled<Prepared>, permission: ProbePermission) -> Result<Evidence, VenueError>;

    /// Cancels what rests of an order. Canceling an order that is done, or twice, reports how it stands.
    async fn cancel(&self, symbol: &VenueSymbol, client_order_id: &ClientOrderId) -> Result<OrderReport, VenueError>;

    /// The venue's truth now, with orders and trades since `since` (all it has when absent).
    async fn snapshot(&self, since: Option<Timestamp>) -> Result<AccountSnapshot, VenueError>;

    /// Delivers reports on this account's orders, foreign ones included, until the connection or the sink ends; the caller calls again and
    /// takes a snapshot for what was missed.
    async fn stream(&self, sink: Sink<OrderReport>) -> Result<(), VenueError>;

    /// Looks at everything that trading depends on, without trading: credentials and how long they last, clocks, rate budgets, funds.
    /// An error means that the venue could not be asked at all.
    async fn examine(&self) -> Result<Vec<Finding>, VenueError>;
}
