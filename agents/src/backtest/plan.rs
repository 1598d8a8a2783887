//! What is to be run.

use std::time::Duration;

use omnivenue_core::agent::{Factory, Supervision};
use omnivenue_core::executor::Setup;
use omnivenue_core::model::ids::{AgentId, Asset};
use omnivenue_core::model::number::Fraction;
use omnivenue_core::model::time::Timestamp;
use omnivenue_paper::{Config, PaperError};

use super::driver::Driver;
use super::report::Report;
use super::series::{Series, SeriesError};

/// Why a backtest cannot be run, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BacktestError {
    /// A series of candles cannot be used.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// A simulated exchange cannot be made.
    #[error(transparent)]
    Exchange(#[from] PaperError),
    /// The configuration cannot be replayed in virtual time.
    #[error("{0}")]
    Setup(String),
    /// The state machine met what it must not meet, or an exchange stopped: what was reported up to here means nothing.
    #[error("the run broke down at {at}: {reason}")]
    Broken {
        /// When, in virtual time.
        at: Timestamp,
        /// What happened.
        reason: String,
    },
}

impl BacktestError {
    /// No instrument of an asset anywhere.
    pub(super) fn not_traded(asset: &Asset) -> Self {
        Self::Setup(format!("there are candles of {asset}, but no simulated exchange of the configuration trades it"))
    }
}

/// What is to be run: everything a backtest depends on.
pub struct Plan {
    /// Accounts, agents, deployments, limits; the venues are filled in from `exchanges`.
    pub setup: Setup,
    /// The simulated exchanges. Where their prices came from does not matter: here they come from the candles.
    pub exchanges: Vec<Config>,
    /// The agents to put to work.
    pub agents: Vec<(AgentId, Factory)>,
    /// The candles, one series for each asset.
    pub series: Vec<Series>,
    /// Candles that begin earlier are passed over.
    pub from: Option<Timestamp>,
    /// Candles that begin at this instant or later end the run.
    pub to: Option<Timestamp>,
    /// Decides whatever chance decides at the exchanges: latency jitter and faults.
    pub seed: u64,
    /// The largest part of itself by which a price changes at once within a candle, while anything rests or is held; 0.0005.
    pub step: Fraction,
    /// How long an agent takes to decide; 1 ms.
    pub think: Duration,
    /// How long an entry of the journal takes to be durable; 1 ms.
    pub flush: Duration,
    /// How agents are looked after.
    pub supervision: Supervision,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("exchanges", &self.exchanges).field("series", &self.series).finish_non_exhaustive()
    }
}

impl Plan {
    /// No agents and no candles yet, and the usual numbers.
    #[must_use]
    pub fn new(setup: Setup, exchanges: Vec<Config>) -> Self {
        Self {
            setup,
            exchanges,
            agents: Vec::new(),
            series: Vec::new(),
            from: None,
            to: None,
            seed: 1,
            step: "0.0005".parse().expect("a constant that is a fraction"),
            think: Duration::from_millis(1),
            flush: Duration::from_millis(1),
            supervision: Supervision::default(),
        }
    }

    /// Runs it to the end of the candles.
    ///
    /// # Errors
    /// [`BacktestError`].
    pub fn run(self) -> Result<Report, BacktestError> {
        Driver::new(self)?.run()
    }
}
