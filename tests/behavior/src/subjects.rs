//! The venues that there are.

mod hyperliquid;
mod paper;

pub use self::hyperliquid::HyperliquidSubject;
pub use self::paper::Paper;
