#![doc = include_str!("../README.md")]

pub mod config;

pub mod action;
pub mod convert;
pub mod errors;
pub mod sign;
pub mod user_action;
pub mod wire;

pub mod rest;

mod account;
mod answer;
mod beyond;
mod venue;

mod budget;
mod examine;
mod frames;
mod intent;
mod joiner;
mod leverage;
mod memory;
mod pack;
mod probe;
mod quotes;
mod shared;
mod snapshot;
mod stream;

pub use self::account::HyperliquidAccount;
pub use self::beyond::BATCH_MAX;
pub use self::config::{Config, ConfigError, Environment, Login};
pub use self::probe::MARGIN;
pub use self::venue::{CONNECTIONS_MAX, Hyperliquid, USERS_MAX, WATCHED_MAX};
pub use omnivenue_kit::sign::Address;
