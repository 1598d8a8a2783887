#![doc = include_str!("../README.md")]

pub mod http;
pub mod stream;

mod connect;
mod tls;

pub mod permits;

pub mod clock;
pub mod nonce;
pub mod number;
pub mod sign;

pub use self::connect::ConnectError;
