//! Hyperliquid's protocol over the paper exchange: the state is synchronous, the frame around it does sockets, time and faults.

mod config;
mod numbers;
mod sign;
mod universe;

mod accounts;
mod limits;
mod market;
mod nonces;
mod orders;

mod actions;
mod brackets;
mod envelope;
mod place;
mod settle;
mod transfers;
mod triggers;
mod wire;

mod account_info;
mod info;
mod market_info;
mod streams;
mod truth;
mod usage;

mod state;
mod venue;

pub use self::config::{AccountConfig, AgentConfig, HyperliquidConfig, Limits, Source, SubAccountConfig};
pub(crate) use self::state::Hyperliquid;
