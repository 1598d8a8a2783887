//! Agents of a configuration over recorded candles, in virtual time, on its simulated exchanges: see [`omnivenue_agents::backtest`].

use std::path::Path;

use omnivenue_agents::backtest::SeriesError;
pub use omnivenue_agents::backtest::{AgentResult, BacktestError, Combined, Drawdown, Plan, Report, Series, SeriesResult, VenueResult};
use omnivenue_core::model::ids::Asset;

use crate::config::Config;
use crate::open::{OpenError, exchanges, setup};

/// A configuration as a plan, without candles yet: its accounts at their simulated exchanges, its limits, and every agent with a strategy.
/// Where prices came from does not matter, and nothing is kept: neither the journal nor the exchanges' files are touched.
///
/// # Errors
/// [`OpenError`] when an account is not paper: what a real account holds, no backtest can know.
pub fn plan(config: &Config) -> Result<Plan, OpenError> {
    let mut plan = Plan::new(setup(config), exchanges(config)?);
    let strategies = config.agents.iter().filter_map(|agent| Some((agent.id.clone(), agent.strategy.as_ref()?.factory())));
    plan.agents = strategies.collect();
    Ok(plan)
}

/// Adds the candles of a file.
///
/// # Errors
/// [`SeriesError`] when it cannot be used.
pub fn add_file(plan: &mut Plan, asset: Asset, file: &Path) -> Result<(), SeriesError> {
    plan.series.push(Series::file(asset, file)?);
    Ok(())
}
