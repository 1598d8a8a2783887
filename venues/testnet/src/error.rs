//! Why a testnet cannot start.

use omnivenue_paper::PaperError;

/// Why a testnet cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestnetError {
    /// The configuration is wrong.
    #[error("testnet: {venue}: {reason}")]
    Config {
        /// Which venue's.
        venue: &'static str,
        /// Names the field, what it got and what fits.
        reason: String,
    },
    /// The exchange behind a venue cannot be opened.
    #[error("testnet: {venue}: its exchange cannot be opened")]
    Exchange {
        /// Which venue's.
        venue: &'static str,
        /// Why.
        #[source]
        source: PaperError,
    },
    /// A port cannot be listened on.
    #[error("testnet: {what}: port {port} of 127.0.0.1 cannot be listened on")]
    Port {
        /// Whose port.
        what: &'static str,
        /// As it was asked for.
        port: u16,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The thread or its runtime cannot be started.
    #[error("testnet: its thread cannot be started")]
    Thread(#[source] std::io::Error),
}
