//! The whole of omnivenue from the outside: the command as people use it, the engine over real files, processes that are killed.
//!
//! The market data that some of these tests replay is made by them; `OMNIVENUE_DATA` names a folder with the real thing.
//! `OMNIVENUE_FULL=1` runs the long versions.

mod books;
mod candles;
mod support;

mod command;
mod killed;
mod recalled;
mod steps;
