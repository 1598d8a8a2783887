//! What a venue's protocol is to the frame around it: synchronous, told the time, without sockets or faults of its own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::model::number::Price;
use omnivenue_core::model::time::Timestamp;
use serde_json::Value;

/// One stream connection.
pub(crate) type Connection = u64;

/// A request as it arrived: over HTTP, or in a frame of a stream that stands for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) peer: IpAddr,
}

/// What a request is, as far as faults go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Class {
    /// In the venue's own word: `order`, `cancel`, `orderStatus`.
    pub(crate) kind: String,
    pub(crate) group: Group,
    /// Whose it is, as the venue's truth names it.
    pub(crate) account: Option<String>,
    /// Whether it places orders that wait for a trigger.
    pub(crate) triggers: bool,
}

/// Whether a request changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Action,
    Info,
    Stream,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// JSON, or plain text.
    pub(crate) json: bool,
}

impl Reply {
    pub(crate) fn json(value: &Value) -> Self {
        Self { status: 200, body: value.to_string(), json: true }
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self { status, body: body.to_owned(), json: false }
    }
}

/// One text frame of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) to: Connection,
    /// What stream faults go by; absent for answers, which no stream fault touches.
    pub(crate) channel: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) text: Arc<str>,
}

/// What a text frame from a client asks for.
pub(crate) enum Incoming {
    /// Done; what it has to say is among the frames.
    Done,
    /// It stands for a request; the answer goes back under this tag.
    Call { tag: Value, call: Call },
}

/// What the admin endpoint can ask of a venue.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// Holds the price of an instrument here; `None` lets it follow its source again.
    Price { symbol: String, price: Option<Price> },
    /// The venue's clock shows this much more than the system's.
    Skew { millis: i64 },
    /// Approves an agent, or ends its approval with an instant that has passed.
    Agent { account: String, agent: String, name: Option<String>, valid_until: Option<u64> },
}

/// One venue. Time is the system's: the venue's own clock is its own matter.
pub(crate) trait Protocol: Send {
    fn classify(&mut self, now: Timestamp, call: &Call) -> Class;
    /// Does a request. With `refuse_triggers`, each order in it that is to wait for a trigger is refused in the venue's words, and no other.
    fn handle(&mut self, now: Timestamp, call: &Call, refuse_triggers: bool) -> Reply;
    /// What the venue says when it denies an order that exists; `None` when this call asks for none, or it was denied too often.
    fn deny(&mut self, now: Timestamp, call: &Call, most: u32) -> Option<Reply>;
    /// What the venue says when it does not look at a request.
    fn limited(&self) -> Reply;
    /// A stream connects; `false` refuses it.
    fn connected(&mut self, now: Timestamp, connection: Connection, peer: IpAddr) -> bool;
    fn disconnected(&mut self, connection: Connection);
    fn message(&mut self, now: Timestamp, connection: Connection, text: &str) -> Incoming;
    /// The frame that answers a request which came by stream.
    fn answer(&mut self, connection: Connection, tag: &Value, call: &Call, reply: &Reply) -> Frame;
    /// Does what is due: prices, triggers, whatever the venue does by itself.
    fn tick(&mut self, now: Timestamp);
    fn next_tick(&self, now: Timestamp) -> Option<Timestamp>;
    fn take_frames(&mut self) -> Vec<Frame>;
    fn command(&mut self, now: Timestamp, command: Command) -> Result<Value, String>;
    fn truth(&mut self, now: Timestamp) -> Value;
    /// A stream connection that was sent nothing for this long is closed.
    fn idle(&self) -> Duration;
    /// How clients are pointed at it.
    fn usage(&self, rest: &str, stream: &str) -> String;
}
