//! The venues that there are.

mod paper;

pub use self::paper::Paper;
