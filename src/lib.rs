//! omnivenue

pub mod config;
