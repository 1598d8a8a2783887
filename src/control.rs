//! The control socket: how other processes reach the engine that owns the accounts.
//!
//! One Unix socket beside the journal, for the owner's eyes only (mode 0600, and the peer's user is checked). Requests and answers are
//! lines of JSON: `{"verb":"positions"}` is answered by `{"ok":[…]}` or `{"error":{"code":…,"message":…}}`; a stream of events comes as
//! `{"event":{…}}` lines before its `{"ok":null}`. One connection asks one thing at a time; whoever wants more opens more.
//!
//! The server lives on its own thread and only holds a handle of the engine: a slow, dead or hostile client delays nobody else.

mod address;
mod client;
mod engine;
mod frame;
mod protocol;
mod reload;
mod server;

pub use self::client::Client;
pub use self::engine::EngineHandler;
pub use self::protocol::{Failure, GivenSecret, Request, WaitFor, codes};
pub use self::reload::Reloader;
pub use self::server::{BindError, Handler, Lines, Server};

/// The longest request, in bytes.
pub const REQUEST_MAX: usize = 1024 * 1024;

/// The longest answer a client takes, in bytes.
pub const ANSWER_MAX: usize = 256 * 1024 * 1024;
