//! The two clients over one transport.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use omnivenue_core::venue::ErrorKind;

use super::message::retry_after;
use super::{HttpConfig, HttpError, Reply, Request, RetryConfig};
use crate::connect::Connector;

/// Sends each request once: no retry of any kind, at no layer.
///
/// Use it for whatever changes something at the venue. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct WriteClient {
    transport: Transport,
}

/// Asks, and asks again a bounded number of times. For questions only, whatever their method.
///
/// Asked again: after a failure of the connection, a timeout, and 502, 503, 504. Each attempt costs the venue's rate
/// budget its weight. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct ReadClient {
    transport: Transport,
    retry: RetryConfig,
}

#[derive(Debug, Clone)]
struct Transport {
    client: Client<Connector, Full<Bytes>>,
    user_agent: HeaderValue,
    timeout: Duration,
}

/// The longest body that is read, in bytes.
const BODY_MAX: usize = 8 << 20;

/// How many unused connections are kept to one host.
const IDLE_MAX: usize = 16;

impl WriteClient {
    /// The longest body of an answer, in bytes; a longer one is an error.
    pub const BODY_MAX: usize = BODY_MAX;

    /// A client without connections; it makes them when needed.
    ///
    /// # Errors
    /// `InvalidRequest`, not sent, when the proxy or the user agent is none.
    pub fn new(config: &HttpConfig) -> Result<Self, HttpError> {
        Ok(Self { transport: Transport::new(config)? })
    }

    /// Sends the request, once.
    ///
    /// Dropping the future closes the connection; what was sent stays sent.
    ///
    /// # Errors
    /// [`HttpError`], not sent where nothing can have left, else unknown.
    pub async fn send(&self, request: Request) -> Result<Reply, HttpError> {
        self.transport.send(request).await
    }
}

impl ReadClient {
    /// A client that asks again as [`RetryConfig::default`] says.
    ///
    /// # Errors
    /// `InvalidRequest`, not sent, when the proxy or the user agent is none.
    pub fn new(config: &HttpConfig) -> Result<Self, HttpError> {
        Self::with_retry(config, RetryConfig::default())
    }

    /// A client that asks again as told.
    ///
    /// # Errors
    /// `InvalidRequest`, not sent, when the proxy or the user agent is none.
    pub fn with_retry(config: &HttpConfig, retry: RetryConfig) -> Result<Self, HttpError> {
        Ok(Self { transport: Transport::new(config)?, retry })
    }

    /// Asks until there is an answer or no attempt is left; then the last answer or error is the result.
    ///
    /// # Errors
    /// [`HttpError`] of the last attempt.
    pub async fn send(&self, request: Request) -> Result<Reply, HttpError> {
        let mut backoff = self.retry.backoff.min(self.retry.backoff_max);
        for _ in 1..self.retry.attempts {
            let result = self.transport.send(request.clone()).await;
            let Some(wait) = self.wait(&result, backoff) else { return result };
            tokio::time::sleep(wait).await;
            backoff = backoff.saturating_mul(2).min(self.retry.backoff_max);
        }
        self.transport.send(request).await
    }

    /// How long to wait before asking again; `None` when that would be of no use.
    fn wait(&self, result: &Result<Reply, HttpError>, backoff: Duration) -> Option<Duration> {
        match result {
            Ok(reply) if matches!(reply.status, 502..=504) => {
                Some(reply.retry_after.unwrap_or(backoff).max(backoff)).filter(|wait| *wait <= self.retry.backoff_max)
            }
            Ok(_) => None,
            Err(error) => matches!(error.kind, ErrorKind::Connection | ErrorKind::Timeout).then_some(backoff),
        }
    }
}

impl Transport {
    fn new(config: &HttpConfig) -> Result<Self, HttpError> {
        let connector = Connector::new(config.connect_timeout, config.proxy_uri()?);
        let client = Client::builder(TokioExecutor::new())
            // On by default: requests canceled by a connection that closed are sent again on another.
            .retry_canceled_requests(false)
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Ok(Self { client, user_agent: config.user_agent()?, timeout: config.timeout })
    }

    async fn send(&self, request: Request) -> Result<Reply, HttpError> {
        let (host, request) = request.build(&self.user_agent)?;
        let exchange = self.exchange(&host, request);
        let late = || HttpError::unknown(ErrorKind::Timeout, format!("no answer of {host} within {:?}", self.timeout));
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| Err(late()))
    }

    async fn exchange(&self, host: &str, request: http::Request<Full<Bytes>>) -> Result<Reply, HttpError> {
        let response = self.client.request(request).await.map_err(|e| HttpError::of_exchange(host, e))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, BODY_MAX).collect().await.map_err(|e| {
            if e.is::<LengthLimitError>() {
                HttpError::unknown(ErrorKind::Unreadable, format!("the answer of {host} is longer than {BODY_MAX} bytes"))
            } else {
                HttpError::unknown(ErrorKind::Connection, format!("the answer of {host} broke off")).with_source(e)
            }
        })?;
        Ok(Reply { status: head.status.as_u16(), retry_after: retry_after(&head.headers), body: body.to_bytes() })
    }
}
