#![doc = include_str!("../README.md")]

mod connect;
pub mod http;
mod tls;

pub mod clock;
pub mod nonce;
pub mod number;
pub mod permits;
pub mod sign;
pub mod stream;

pub use self::connect::ConnectError;
