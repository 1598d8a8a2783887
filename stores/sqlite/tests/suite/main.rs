//! The journal on real files: what survives, what is refused, who may open it.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test, in the helpers too")]

mod damage;
mod journal;
mod owner;
mod property;
mod segments;
mod support;
mod tools;
mod views;
