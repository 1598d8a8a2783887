//! What to connect to, what to subscribe to, and what to put up with.

use std::fmt;
use std::time::Duration;

/// What to connect to and how long to wait. `Debug` shows the host only: some venues put keys into the URL.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// `ws://` or `wss://`.
    pub url: String,
    /// Further headers of the handshake.
    pub headers: Vec<(String, String)>,
    /// An HTTP proxy that connects us, as in [`HttpConfig`](crate::http::HttpConfig).
    pub proxy: Option<String>,
    /// For name, TCP, proxy, TLS and handshake together.
    pub connect_timeout: Duration,
    /// For all subscriptions to be acknowledged.
    pub ack_timeout: Duration,
    /// How often the keep-alive is sent, whatever else is.
    pub ping_every: Duration,
    /// The connection is dead when nothing at all arrived for so long; more than `ping_every`.
    pub silent_after: Duration,
    /// The longest message, in bytes.
    pub message_max: usize,
    /// How many events wait for a slow reader.
    pub queue_max: usize,
    /// How many bytes of text the waiting events were read from, at most.
    pub queue_bytes_max: usize,
}

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// What the venue's `Protocol` calls it; unique in the session.
    pub key: String,
    /// The text that subscribes.
    pub request: String,
    /// How long it may be silent; `None` for one that may be silent for ever, such as fills.
    pub stale_after: Option<Duration>,
    /// What happens to its messages when the reader is too slow.
    pub overflow: Overflow,
}

/// What happens when the reader is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The session fails, so that the gap is filled by asking: for fills and orders.
    Fail,
    /// The oldest message goes and is counted: for quotes, where the latest is what counts.
    DropOldest,
}

impl SessionConfig {
    /// What suits most venues: 10 s to connect, 10 s to acknowledge, a keep-alive every 20 s, dead after 45 s of silence,
    /// messages of at most 8 MiB, 8192 events and 64 MiB of text waiting.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            proxy: None,
            connect_timeout: Duration::from_secs(10),
            ack_timeout: Duration::from_secs(10),
            ping_every: Duration::from_secs(20),
            silent_after: Duration::from_secs(45),
            message_max: 8 << 20,
            queue_max: 8192,
            queue_bytes_max: 64 << 20,
        }
    }
}

impl Subscription {
    /// A subscription that may be silent and whose messages are never dropped.
    #[must_use]
    pub fn new(key: impl Into<String>, request: impl Into<String>) -> Self {
        Self { key: key.into(), request: request.into(), stale_after: None, overflow: Overflow::Fail }
    }

    /// One that may not be silent for so long.
    #[must_use]
    pub fn stale_after(mut self, length: Duration) -> Self {
        self.stale_after = Some(length);
        self
    }

    /// One of which only the latest messages count.
    #[must_use]
    pub fn drop_oldest(mut self) -> Self {
        self.overflow = Overflow::DropOldest;
        self
    }
}

impl fmt::Debug for SessionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Something without a scheme may be anything, put in the wrong place.
        let url = self.url.parse::<http::Uri>().ok().filter(|url| url.scheme().is_some());
        let host = url.as_ref().and_then(http::Uri::host).unwrap_or_default();
        f.debug_struct("SessionConfig")
            .field("host", &host)
            .field("proxied", &self.proxy.is_some())
            .field("connect_timeout", &self.connect_timeout)
            .field("ack_timeout", &self.ack_timeout)
            .field("ping_every", &self.ping_every)
            .field("silent_after", &self.silent_after)
            .field("message_max", &self.message_max)
            .field("queue_max", &self.queue_max)
            .field("queue_bytes_max", &self.queue_bytes_max)
            .finish_non_exhaustive()
    }
}
