//! The adapter against a server that speaks the venue's protocol on loopback, with its faults. Nothing here reaches the venue itself.

#![allow(clippy::unwrap_used, reason = "the helpers of tests too fail by panicking")]

mod bench;
mod mint;

mod account;
mod doubt;
mod engine;
mod exits;
mod streams;
mod trading;
