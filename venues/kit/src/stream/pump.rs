//! The task that owns the connection: one half writes subscriptions and keep-alives, the other reads and watches the clocks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue, Uri};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::shared::Shared;
use super::{KeepAlive, Protocol, SessionConfig, StreamError};
use crate::clock::Monotonic;
use crate::connect::{Connector, Socket};
use crate::http::proxy_uri;

type WebSocket = WebSocketStream<Socket>;

/// Room for what we write, in bytes: a message and what waits before it.
const WRITE_BUFFER_MAX: usize = 4 << 20;

/// How exactly silence is measured: often enough to be a small part of what is configured.
const TICK_MIN: Duration = Duration::from_millis(5);
const TICK_MAX: Duration = Duration::from_millis(500);

/// Connects and shakes hands, all within `connect_timeout`.
pub(super) async fn open(config: &SessionConfig) -> Result<WebSocket, StreamError> {
    let within = config.connect_timeout;
    tokio::time::timeout(within, shake_hands(config)).await.unwrap_or(Err(StreamError::Handshake { within }))
}

async fn shake_hands(config: &SessionConfig) -> Result<WebSocket, StreamError> {
    let wrong = |what: &str| StreamError::Config(format!("the stream {what}"));
    let url: Uri = config.url.parse().map_err(|_| wrong("has no url"))?;
    if !matches!(url.scheme_str(), Some("ws" | "wss")) {
        return Err(wrong("needs a url with ws or wss"));
    }
    let mut request = url.clone().into_client_request().map_err(|_| wrong("has a url that cannot be used"))?;
    for (name, value) in &config.headers {
        let name: HeaderName = name.parse().map_err(|_| wrong("has a header with an impossible name"))?;
        let value = HeaderValue::from_str(value).map_err(|_| wrong("has a header with an impossible value"))?;
        request.headers_mut().append(name, value);
    }
    let proxy = config.proxy.as_deref().map(proxy_uri).transpose().map_err(StreamError::Proxy)?;
    let socket = Connector::new(config.connect_timeout, proxy).connect(url).await.map_err(StreamError::Connect)?;
    let limits = WebSocketConfig::default()
        .max_message_size(Some(config.message_max))
        .max_frame_size(Some(config.message_max))
        .max_write_buffer_size(WRITE_BUFFER_MAX);
    let (stream, _) = tokio_tungstenite::client_async_with_config(request, socket, Some(limits)).await?;
    Ok(stream)
}

/// Tells the session that the task is gone, even if it panicked or was dropped.
struct Ending<M>(Arc<Shared<M>>);

impl<M> Drop for Ending<M> {
    fn drop(&mut self) {
        // After a failure of the connection this comes second and changes nothing.
        self.0.fail(StreamError::Internal);
    }
}

/// Runs the connection until it fails.
pub(super) async fn run<P: Protocol>(
    stream: WebSocket,
    protocol: P,
    requests: Vec<String>,
    config: SessionConfig,
    shared: Arc<Shared<P::Message>>,
) {
    let ending = Ending(Arc::clone(&shared));
    let (sink, stream) = stream.split();
    let keep_alive = protocol.keep_alive();
    let error = tokio::select! {
        error = write(sink, requests, keep_alive, &config) => error,
        error = read(stream, &protocol, &config, &shared) => error,
    };
    shared.fail(error);
    drop(ending);
}

/// Subscribes, then keeps the connection alive. Ends with the first failure.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    requests: Vec<String>,
    keep_alive: KeepAlive,
    config: &SessionConfig,
) -> StreamError {
    let mut requests = requests.into_iter();
    loop {
        let message = match requests.next() {
            Some(request) => Message::text(request),
            None => {
                tokio::time::sleep(config.ping_every).await;
                match &keep_alive {
                    KeepAlive::Text(text) => Message::text(text.as_str()),
                    KeepAlive::Ping => Message::Ping(Bytes::new()),
                }
            }
        };
        match tokio::time::timeout(config.silent_after, sink.send(message)).await {
            Ok(Ok(())) => {}
            // The reading half knows better why the connection is over: by a close frame, an end, or silence.
            Ok(Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Io(_) | Error::Protocol(_))) => std::future::pending().await,
            Ok(Err(error)) => return error.into(),
            Err(_) => return StreamError::Stuck,
        }
    }
}

/// Reads, and watches the clocks. Ends with the first failure.
async fn read<P: Protocol>(
    mut stream: SplitStream<WebSocket>,
    protocol: &P,
    config: &SessionConfig,
    shared: &Shared<P::Message>,
) -> StreamError {
    let mut ticks = tokio::time::interval((config.silent_after / 16).clamp(TICK_MIN, TICK_MAX));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut heard = Monotonic::now();
    loop {
        tokio::select! {
            message = stream.next() => {
                heard = Monotonic::now();
                if let Err(error) = frame(message, protocol, shared, heard) {
                    return error;
                }
            }
            _ = ticks.tick() => {
                let now = Monotonic::now();
                let age = now.since(heard);
                if age > config.silent_after {
                    return StreamError::Silent { age };
                }
                shared.look_at_clocks(now);
            }
        }
    }
}

fn frame<P: Protocol>(
    message: Option<Result<Message, Error>>,
    protocol: &P,
    shared: &Shared<P::Message>,
    now: Monotonic,
) -> Result<(), StreamError> {
    match message {
        Some(Ok(Message::Text(text))) => shared.take(protocol.read(text.as_str()), text.len(), now),
        Some(Ok(Message::Close(close))) => {
            let (code, reason) = close.map_or((1005, String::new()), |close| (close.code.into(), close.reason.to_string()));
            Err(StreamError::Closed { code, reason })
        }
        Some(Ok(Message::Binary(bytes))) => shared.take(super::Frame::Other, bytes.len(), now),
        // Pings are answered by the library while we read.
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
            shared.count();
            Ok(())
        }
        Some(Err(error)) => Err(error.into()),
        None => Err(StreamError::Broken(Box::new(Error::ConnectionClosed))),
    }
}
