#![doc = include_str!("../README.md")]

mod config;
mod error;
mod testnet;
mod usage;

mod admin;
mod faults;
mod host;
mod http;
mod protocol;
mod session;

mod hyperliquid;

mod clock;
mod json;

pub use self::config::Config;
pub use self::error::TestnetError;
pub use self::faults::{Chance, FaultKind, FaultPlan, Scripted};
pub use self::hyperliquid::{AccountConfig, AgentConfig, HyperliquidConfig, Limits, Source, SubAccountConfig};
pub use self::testnet::{Testnet, VenueUrls};
