//! The testnet, seen from outside: raw sockets, signatures of its own making, and the truth to compare with.

mod brackets;
mod clients;
mod faults;
mod limits;
mod once;
mod refusals;
mod signatures;
mod streams;
mod world;
