//! The testnet, seen from outside: raw sockets, signatures of its own making, and the truth to compare with.

#![allow(clippy::unwrap_used, reason = "in a test, what is unexpected ends it")]

mod books;
mod brackets;
mod clients;
mod faults;
mod limits;
mod once;
mod refusals;
mod signatures;
mod streams;
mod world;
