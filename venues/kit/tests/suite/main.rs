//! The clients and streams on real sockets: what leaves, how often, and what is said of it.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test, in the helpers too")]

mod asks_again;
mod environment;
mod sends_once;
mod server;
mod stream;
mod stream_limits;
mod stream_server;
mod tls;
