//! omnivenue

pub mod config;

#[cfg(all(feature = "sqlite", feature = "paper"))]
pub mod open;

#[cfg(feature = "command")]
pub mod control;
