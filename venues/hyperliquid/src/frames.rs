//! The stream's frames: what they are, whatever they tell.

use std::time::Duration;

use omnivenue_core::venue::{Effect, ErrorKind, Operation, VenueError};
use omnivenue_kit::stream::{Frame, KeepAlive, Protocol, StreamError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::rest::Client;
use crate::wire;

/// The text that subscribes.
pub(crate) fn subscribe(subscription: &Value) -> String {
    json!({"method": "subscribe", "subscription": subscription}).to_string()
}

/// A frame with the name of its channel.
pub(crate) struct Channel<'a> {
    pub(crate) name: &'a str,
    data: &'a str,
}

impl Channel<'_> {
    /// Its content, or what is wrong with it: a frame that cannot be read is news that is missing.
    pub(crate) fn read<T: DeserializeOwned, M>(&self, good: impl FnOnce(T) -> M, bad: impl FnOnce(String) -> M) -> M {
        match serde_json::from_str(self.data) {
            Ok(content) => good(content),
            Err(error) => bad(format!("a frame of {} cannot be read: {error}", self.name)),
        }
    }
}

/// The venue's frames, with the meaning of their data channels.
pub(crate) struct Json<M>(pub(crate) fn(&Channel<'_>) -> Frame<M>);

impl<M: Send + 'static> Protocol for Json<M> {
    type Message = M;

    fn read(&self, text: &str) -> Frame<M> {
        read_with(text, self.0)
    }

    fn keep_alive(&self) -> KeepAlive {
        // The venue drops a connection it has sent nothing to for a minute. Source: "Timeouts and heartbeats", read 2026-11.
        KeepAlive::Text(r#"{"method":"ping"}"#.to_owned())
    }
}

/// What a frame is; data goes to `meaning`.
pub(crate) fn read_with<M>(text: &str, meaning: fn(&Channel<'_>) -> Frame<M>) -> Frame<M> {
    // The greeting is no JSON.
    let Ok(frame) = serde_json::from_str::<wire::Frame<'_>>(text) else { return Frame::Other };
    let data = frame.data.map_or("null", |data| data.get());
    match frame.channel.as_str() {
        "pong" => Frame::Pong,
        "error" => Frame::Error(serde_json::from_str(data).unwrap_or_else(|_| data.to_owned())),
        "subscriptionResponse" => acknowledged(data).map_or(Frame::Other, Frame::Ack),
        name => meaning(&Channel { name, data }),
    }
}

/// The key of the subscription that is acknowledged: its type, and its coin where it has one.
fn acknowledged(data: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Response {
        subscription: Echo,
    }
    #[derive(Deserialize)]
    struct Echo {
        #[serde(rename = "type")]
        kind: String,
        coin: Option<String>,
    }
    let Response { subscription: Echo { kind, coin } } = serde_json::from_str(data).ok()?;
    Some(coin.map_or(kind.clone(), |coin| format!("{kind}:{coin}")))
}

pub(crate) fn failed(client: &Client, operation: Operation, error: StreamError) -> VenueError {
    let mut failed = client.error(operation, error.kind(), Effect::Unknown, error.to_string());
    failed.source = Some(error.into());
    failed
}

pub(crate) fn stale(client: &Client, operation: Operation, key: &str, age: Duration) -> VenueError {
    client.error(operation, ErrorKind::Timeout, Effect::Unknown, format!("{key} has been silent for {age:?}"))
}

pub(crate) fn complaint(client: &Client, operation: Operation, words: &str) -> VenueError {
    client.error(operation, ErrorKind::Unavailable, Effect::Unknown, format!("the stream complains: {words}"))
}
