//! One signal, every venue: an embeddable trading engine.
//!
//! It takes a *signal* from an *agent*, checks it against limits, writes down what it is about to do, sends the orders to every venue in
//! parallel, and looks after what became of them: for one signal, deployment and account at most one entry order ever takes effect, however
//! often the signal is delivered, whichever answer is lost, wherever the process is killed.
//!
//! It trades on simulated exchanges (`environment = "paper"`, the default) and on Hyperliquid. Nothing in it has traded live yet: the venue's
//! protocol was read, compared with what other people's clients sign, and tried on a testnet of this repository.
//!
//! # The smallest program
//!
//! ```
//! use omnivenue::{Config, Signal, Wait};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! # let folder = tempfile::tempdir()?;
//! let config = Config::built_in(folder.path()); // two simulated venues, one agent; or Config::load("omnivenue.toml".as_ref())?
//! let engine = omnivenue::open(&config).await?;
//! let signal = Signal::from_json(r#"{"id": "tweet-42", "agent": "demo", "asset": "HYPE", "direction": "long", "sizing": {"notional": "500"}}"#)?;
//! let execution = engine.execute(signal, Wait::Settled).await?;
//! for leg in &execution.legs {
//!     println!("{}: {} {}", leg.account, leg.state, leg.filled_quantity);
//! }
//! engine.shutdown().await?;
//! # assert_eq!(execution.legs.len(), 2);
//! # Ok(()) })
//! # }
//! ```
//!
//! The same id again is the same execution and sends nothing. A leg whose fate is not known is `unknown` and stays so until there is
//! evidence: it is never reported as failed because of a timeout.
//!
//! # On a real venue
//!
//! The program stays the same; an account's configuration says where its orders go and where the key that signs them is kept.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = r#"
//!     [[account]]
//!     id = "main"
//!     venue = "hyperliquid"
//!     environment = "testnet"   # "mainnet" is real money, and an error without `armed = true`
//!     credentials = { private_key = "env:HYPERLIQUID_AGENT_KEY" }   # an API wallet's, one for each process
//!     address = "0x342898ab916710a132a931ff18838a8a5f225eb0"        # whose API wallet it is
//!
//!     [[agent]]
//!     id = "demo"
//!
//!     [[deployment]]
//!     id = "demo"
//!     agent = "demo"
//!     accounts = [{ account = "main" }]
//! "#;
//! let config = omnivenue::Config::from_toml(text, "an example", "/var/lib/bot".as_ref())?;
//! assert_eq!(config.accounts[0].environment, omnivenue::config::Environment::Testnet);
//! # Ok(())
//! # }
//! ```
//!
//! # Where to go on
//!
//! - [`Config`]: who trades where, with what, within which limits; [`config::TEMPLATE`] is a commented one.
//! - [`open()`]: from a configuration to an [`Engine`]; [`Engine`] is what a program holds: `execute`, `close_positions`, `positions`,
//!   `equity`, `events`, `kill`, `reconcile`, `shutdown`.
//! - [`model`]: signals, executions, exact numbers. Money is never a float.
//! - [`venue`]: what a venue must do; [`paper`] is one, simulated, with faults on request; [`hyperliquid`] is one, real.
//! - [`journal`]: the durable, hash-chained log; [`sqlite`] keeps it in a file.
//! - [`agent`]: strategies in this process; [`agents`] has ready-made ones, [`backtest`] runs them over recorded candles.
//! - [`control`]: how other processes reach an engine that runs, as the `omnivenue` command does.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `sqlite` | the embedded journal |
//! | `paper` | the simulated exchange |
//! | `hyperliquid` | Hyperliquid itself, perpetuals and spot |
//! | `backtest` | agents over recorded candles, in virtual time |
//! | `command` | the `omnivenue` command and the control socket |
//! | `testnet` | `omnivenue testnet`: venues' own protocols on this machine |
//!
//! All are on by default. Without them this crate is the core: bring your own [`journal::Journal`] and [`venue::Venue`]s to
//! [`Engine::open`].

pub mod config;
mod failure;
mod schema;

#[cfg(all(feature = "sqlite", feature = "paper"))]
pub mod open;

#[cfg(feature = "backtest")]
pub mod backtest;

#[cfg(feature = "command")]
pub mod control;

pub use omnivenue_agents as agents;
pub use omnivenue_core::engine::{Engine, EngineError, Wait};
pub use omnivenue_core::model::close::{CloseRequest, CloseTarget};
pub use omnivenue_core::model::execution::Execution;
pub use omnivenue_core::model::signal::Signal;
pub use omnivenue_core::{agent, engine, executor, gates, journal, ledger, model, venue};

pub use self::config::Config;
pub use self::failure::{Failure, FailureClass};
#[cfg(all(feature = "sqlite", feature = "paper"))]
pub use self::open::{Opened, open};
pub use self::schema::{SCHEMAS, schema};

#[cfg(feature = "hyperliquid")]
pub use omnivenue_hyperliquid as hyperliquid;
#[cfg(feature = "paper")]
pub use omnivenue_paper as paper;
#[cfg(feature = "sqlite")]
pub use omnivenue_sqlite as sqlite;
