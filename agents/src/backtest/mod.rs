//! Agents over candles in virtual time: the engine's own state machine, gates, ledger and journal format, and the simulated exchange's own
//! matching and books. Only time, the wire and the journal's file are others.
//!
//! # What happens when
//!
//! - A candle's prices are passed as open, the two extremes, close, a quarter of its time apart: a rising candle passes its low first. While
//!   anything rests or is held, each way is gone in steps of [`Plan::step`], so that a stop fills near its trigger.
//! - An agent is told of a candle when it is over, and its signals arrive [`Plan::think`] later: after the next candle's open, at which they
//!   fill. What it could not have known then it is never told.
//! - Requests and answers travel as the exchange's latency says, and each entry of the journal takes [`Plan::flush`] to be durable.
//!
//! One seed and the same candles give the same bytes: [`Report::journal`] is the hash of all that was decided. Memory does not grow with the
//! length of the run.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use omnivenue_agents::backtest::{Plan, Series};
//! # let (setup, exchange): (omnivenue_core::executor::Setup, omnivenue_paper::Config) = unimplemented!();
//!
//! let mut plan = Plan::new(setup, vec![exchange]);
//! plan.series.push(Series::file("BTC".parse()?, "btc.csv.gz".as_ref())?);
//! let momentum = omnivenue_agents::momentum::MomentumConfig::new("BTC".parse()?);
//! plan.agents.push(("demo".parse()?, omnivenue_agents::Strategy::Momentum(momentum).factory()));
//! let report = plan.run()?;
//! println!("{}", serde_json::to_string_pretty(&report)?);
//! # Ok(())
//! # }
//! ```

mod cast;
mod clock;
mod driver;
mod link;
mod plan;
mod report;
mod series;
mod store;
mod tally;
mod world;

pub use self::plan::{BacktestError, Plan};
pub use self::report::{AgentResult, Combined, Drawdown, Report, SeriesResult, VenueResult};
pub use self::series::{Series, SeriesError};
