//! The life of one WebSocket connection: subscribe, see it acknowledged, read, notice when it dies.
//!
//! [`Session::connect`] returns only once every subscription is acknowledged. From then on [`Session::next`] gives what
//! arrives, until the connection fails; then the caller makes a new session, and fills the gap by asking. Reconnecting
//! and its backoff are not done here.
//!
//! That something arrives proves little: a heartbeat comes while the data one waits for has stopped. So every subscription
//! has a clock of its own ([`Session::freshness`]), and one that may not be silent says so ([`Subscription::stale_after`]).

mod config;
mod error;
mod pump;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::model::time::Timestamp;
use tokio::task::AbortHandle;

pub use self::config::{Overflow, SessionConfig, Subscription};
pub use self::error::StreamError;
use self::shared::Shared;
use crate::clock::Monotonic;

/// What the frames of a venue mean. Pure: it is called for every text frame, in their order.
pub trait Protocol: Send + Sync + 'static {
    /// A message as the venue's adapter wants it.
    type Message: Send + 'static;

    /// What a text frame is. Called with whatever the venue sends, greetings and nonsense included.
    fn read(&self, text: &str) -> Frame<Self::Message>;

    /// What keeps the connection alive.
    fn keep_alive(&self) -> KeepAlive;
}

/// What a text frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<M> {
    /// The venue has accepted the subscription with this key.
    Ack(String),
    /// News of the subscription with this key.
    Data(String, M),
    /// An answer to a heartbeat.
    Pong,
    /// The venue complains, in its own words. Before all subscriptions are acknowledged this fails the session.
    Error(String),
    /// A greeting, something of no interest, or nothing we can read: counted, and otherwise ignored.
    Other,
}

/// What keeps a connection alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepAlive {
    /// A text frame, for venues with a heartbeat of their own.
    Text(String),
    /// A WebSocket ping.
    Ping,
}

/// What a session gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<M> {
    /// News of a subscription.
    Data(Data<M>),
    /// A subscription has been silent for longer than it may be. Told once for each silence.
    Stale {
        /// The subscription.
        key: Arc<str>,
        /// Since its last news, or since it was acknowledged.
        age: Duration,
    },
    /// The venue complains, in its own words; at most 200 characters.
    Error(String),
}

/// News of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data<M> {
    /// The subscription.
    pub key: Arc<str>,
    /// When it arrived, however long it was queued.
    pub received: Monotonic,
    /// When it arrived, by the wall clock.
    pub received_at: Timestamp,
    /// The message.
    pub message: M,
}

/// How fresh a subscription is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freshness {
    /// The subscription.
    pub key: Arc<str>,
    /// Since its last news; `None` before the first.
    pub age: Option<Duration>,
    /// How many messages came.
    pub received: u64,
    /// How many of them were dropped because the reader was too slow.
    pub dropped: u64,
    /// Whether it has been silent for longer than it may be.
    pub stale: bool,
}

/// What came and belongs to no subscription.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames of all kinds.
    pub frames: u64,
    /// Greetings and frames that could not be read.
    pub other: u64,
    /// Acknowledgments and data under keys that nobody subscribed to.
    pub unclaimed: u64,
    /// Messages dropped because the reader was too slow, over all subscriptions.
    pub dropped: u64,
}

/// A connection whose subscriptions are all acknowledged. Dropping it closes the connection.
#[derive(Debug)]
pub struct Session<M> {
    shared: Arc<Shared<M>>,
    pump: AbortHandle,
}

impl<M: Send + 'static> Session<M> {
    /// Connects, subscribes, and waits until every subscription is acknowledged.
    ///
    /// Must be called in a tokio runtime, where the connection is read from then on. Dropping the future closes it.
    ///
    /// # Errors
    /// [`StreamError`]: no connection, the venue complains, or something is not acknowledged in time.
    pub async fn connect<P>(config: &SessionConfig, protocol: P, subscriptions: Vec<Subscription>) -> Result<Self, StreamError>
    where
        P: Protocol<Message = M>,
    {
        let shared = Arc::new(Shared::new(config, &subscriptions)?);
        let socket = pump::open(config).await?;
        let requests = subscriptions.into_iter().map(|subscription| subscription.request).collect();
        let pump = tokio::spawn(pump::run(socket, protocol, requests, config.clone(), Arc::clone(&shared)));
        let session = Self { shared, pump: pump.abort_handle() };
        session.acknowledged(config.ack_timeout).await?;
        Ok(session)
    }

    /// The next event. Events that arrived before the connection failed come before its error.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`StreamError`]: why the connection is over; [`StreamError::Over`] when that was told already.
    pub async fn next(&mut self) -> Result<Event<M>, StreamError> {
        loop {
            // Registered before looking, so that news in between is not missed.
            let news = self.shared.news();
            if let Some(result) = self.shared.pop() {
                return result;
            }
            news.await;
        }
    }

    /// How fresh each subscription is, in the order they were given.
    #[must_use]
    pub fn freshness(&self) -> Vec<Freshness> {
        self.shared.freshness(Monotonic::now())
    }

    /// What came and belongs to no subscription.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    async fn acknowledged(&self, within: Duration) -> Result<(), StreamError> {
        let all = async {
            loop {
                let news = self.shared.news();
                if let Some(result) = self.shared.ready() {
                    return result;
                }
                news.await;
            }
        };
        match tokio::time::timeout(within, all).await {
            Ok(result) => result,
            Err(_) => Err(StreamError::NotAcknowledged { keys: self.shared.unacknowledged(), within }),
        }
    }
}

impl<M> Drop for Session<M> {
    fn drop(&mut self) {
        self.pump.abort();
    }
}
