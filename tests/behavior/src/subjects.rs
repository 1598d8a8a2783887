//! The venues that there are.

mod hyperliquid;
mod paper;
mod paper_live;

pub use self::hyperliquid::HyperliquidSubject;
pub use self::paper::Paper;
pub use self::paper_live::PaperOnHyperliquid;
