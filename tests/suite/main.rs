//! The whole of omnivenue from the outside: the command as people use it, the engine over real files, processes that are killed.
//!
//! The market data that some of these tests replay is made by them; `OMNIVENUE_DATA` names a folder with the real thing.
//! `OMNIVENUE_FULL=1` runs the long versions.

#![allow(clippy::unwrap_used, reason = "in a test, what is unexpected ends it")]

mod bench;
mod books;
mod candles;
mod reaper;
mod support;

mod attended;
mod backtest;
mod bad_input;
mod bindings;
mod campaign;
mod clients;
mod command;
mod ears;
mod gates;
mod handover;
mod isolation;
mod kill;
mod killed;
mod naked;
mod recalled;
mod schemas;
mod secrets;
mod steps;
