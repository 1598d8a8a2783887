//! The core of omnivenue: what decides, and nothing that talks.
//!
//! - [`model`]: names, exact numbers, instruments, signals, orders, executions.
//! - [`venue`]: what a venue and an account must do, and what their errors must say.
//! - [`gates`]: the risk checks every order passes, and [`gates::Cleared`], which only they can make.
//! - [`executor`]: the synchronous state machine, `step(state, input) → effects`.
//! - [`ledger`]: virtual positions, money and limits, as the fold of what happened.
//! - [`journal`]: the durable log's events and chain, and [`journal::Journaled`], which only a durable commit can make.
//! - [`agent`]: the trait of whoever emits signals, and the thread each one lives on.
//! - [`engine`]: the shell around the state machine: one thread, one journal writer, real time.

pub mod model;

pub mod venue;

pub mod gates;

pub mod executor;

pub mod ledger;

pub mod journal;

pub mod agent;

pub mod engine;
