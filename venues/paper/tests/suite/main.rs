//! The simulated exchange from outside: what it promises to whoever trades on it.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod attached;
mod faults;
mod file;
mod identity;
mod live;
mod live_prices;
mod money;
mod orders;
mod probing;
mod triggers;
mod world;
