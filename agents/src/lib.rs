//! Ready-made agents, and the driver that runs agents over candles in virtual time.
//!
//! - [`momentum`]: follows a price that has moved far within a few candles; its exits and its risk are in its configuration.
//! - [`Strategy`]: a ready-made agent by its name, as a configuration file gives it, and the factory that makes its instances.
//! - `backtest`: the engine's own core, gates, ledger and journal with agents on simulated exchanges, over recorded candles, in virtual
//!   time. The same input gives the same bytes.
//!
//! An agent of your own implements [`Agent`](omnivenue_core::agent::Agent) and runs in the live engine and in a backtest alike.
//!
//! ```
//! use omnivenue_agents::momentum::MomentumConfig;
//!
//! let config = MomentumConfig::new("BTC".parse()?);
//! config.check()?;
//! // A trail of 10 % of the *price* could never fire behind a take profit of 5 % and a stop of 3 %: it is refused, with the numbers.
//! let trailing = config.trailing.map(|trail| trail.of_price());
//! let said = MomentumConfig { trailing, ..config }.check().unwrap_err();
//! assert!(said.to_string().contains("can never fire"), "{said}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "backtest")]
pub mod backtest;
pub mod momentum;
mod statistics;
mod strategy;

pub use self::strategy::Strategy;
