//! The words of the engine as types: names, exact numbers, instruments, signals, orders and executions.

pub mod ids;
pub mod number;
pub mod schema;
pub mod secret;
pub mod time;

pub mod close;
pub mod contract;
pub mod exit;
pub mod hours;
pub mod instrument;
pub mod signal;

pub mod execution;
pub mod movement;
pub mod order;
