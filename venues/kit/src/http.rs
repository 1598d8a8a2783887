//! HTTP for venues: one client that sends once and one that may ask again.
//!
//! Neither follows redirects, reads proxies from the environment or decompresses; both speak HTTP/1.1 only. Every status
//! is an answer, 3xx and 5xx included: what it means is the venue's business.

mod client;
mod config;
mod error;
mod message;

pub use http::Method;

pub use self::client::{ReadClient, WriteClient};
pub(crate) use self::config::proxy_uri;
pub use self::config::{HttpConfig, RetryConfig};
pub use self::error::HttpError;
pub use self::message::{Reply, Request};
