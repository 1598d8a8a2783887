//! omnivenue from Node: each method converts, calls, and converts back.

mod engine;
mod error;
