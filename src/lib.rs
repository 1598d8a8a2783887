//! omnivenue

pub mod config;

#[cfg(feature = "command")]
pub mod control;
