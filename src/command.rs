//! The verbs of the command and what they share: options, output, exit codes.

mod agents;
mod approve;
mod availability;
mod backend;
#[cfg(feature = "backtest")]
mod backtest;
mod cancel;
mod close;
mod doctor;
mod events;
mod exit;
mod files;
mod init;
mod input;
mod journal;
mod killed;
mod latch;
mod logs;
mod metrics;
mod output;
mod reload;
mod resolve;
mod run;
mod schema;
mod show;
mod signal;
mod stop;
mod table;
#[cfg(feature = "testnet")]
mod testnet;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use omnivenue::config::{Config, FILE_NAME};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::exit::{CommandError, Done};
use self::output::Output;

/// One signal, every venue: exactly once, inside the limits
#[derive(Debug, Parser)]
#[command(name = "omnivenue", version, long_about = ABOUT, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    verb: Verb,
}

const ABOUT: &str = "\
One signal, every venue: sends an agent's signal to all its venues, exactly once, inside the limits.

Verbs reach the running engine through its control socket. While none runs, verbs that act open the
engine themselves, and verbs that only show read the files.";

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused or failed: a leg was refused, rejected, expired or canceled, or a check did not pass
  2  wrong usage, wrong input or wrong configuration; nothing was done
  3  some leg is unknown: it may have taken effect, see its reason
  4  the engine cannot be reached, or the journal is in use by another process
  5  done, but positions are left without the stop that the engine runs; a warning names them

Without omnivenue.toml a built-in configuration holds: two paper venues, one agent `demo`, data in
.omnivenue. OMNIVENUE_LOG sets what is logged to stderr, such as `debug`.";

/// What every verb takes.
#[derive(Debug, Clone, Args)]
struct Options {
    /// The configuration file [default: ./omnivenue.toml, or the built-in one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the journal and everything else that lasts is kept; goes before the configuration's
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    json: bool,
}

impl Options {
    /// Reads the configuration, and says where it came from.
    fn load(&self) -> Result<(Config, String), CommandError> {
        let (mut config, origin) = match &self.config {
            Some(path) => (Config::load(path)?, path.display().to_string()),
            None if Path::new(FILE_NAME).exists() => (Config::load(Path::new(FILE_NAME))?, FILE_NAME.to_owned()),
            None => (Config::built_in(Path::new("")), "built in".to_owned()),
        };
        if let Some(data_dir) = &self.data_dir {
            config = config.with_data_dir(data_dir);
        }
        Ok((config, origin))
    }

    fn output(&self) -> Output {
        Output { json: self.json }
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a commented omnivenue.toml
    Init(init::Init),
    /// Print the JSON Schema of a signal, an execution, an event, a close or the configuration
    Schema(schema::Schema),
    /// Send one signal to all its venues and wait for what becomes of it
    Signal(Box<signal::SendSignal>),
    /// Carry out signals from a file or stdin, and the configured agents'; serves other commands
    Run(run::Run),
    /// The configured agents: how each is, what it missed, what it holds
    Agents,
    /// Run the configured agents over recorded candles, in virtual time
    #[cfg(feature = "backtest")]
    Backtest(backtest::Backtest),
    /// How the engine, its accounts and its journal stand
    Status,
    /// Our positions
    Positions,
    /// Our orders
    Orders,
    /// Our trades
    Fills,
    /// Equity per deployment and account
    Equity,
    /// Where an asset could be traded now, on what terms, and what stands in the way
    Availability(availability::FindVenues),
    /// The journal's events
    Events(events::Events),
    /// What became of a signal
    Execution(signal::Find),
    /// Close positions
    Close(close::Close),
    /// Answer whether a signal that waits for a person may be carried out
    Approve(approve::Approve),
    /// Cancel what rests of a signal; what traded stays
    Cancel(cancel::Cancel),
    /// Settle an order whose fate no evidence tells
    Resolve(resolve::Resolve),
    /// Stop new orders, cancel what rests, flatten; lasts until `resume`, also across restarts
    Kill(latch::Kill),
    /// Lift a kill switch
    Resume(latch::Resume),
    /// Have the running engine read its configuration again, and take what may change
    Reload(reload::Reload),
    /// Compare the venues' truth with ours now
    Reconcile(latch::Reconcile),
    /// Check, export or copy the journal, and erase from it
    #[command(subcommand)]
    Journal(journal::JournalVerb),
    /// Check the configuration, files, the journal's chain, the engine, and logins at real venues
    Doctor(doctor::Doctor),
    /// Serve venues' own protocols on this machine, over simulated exchanges
    #[cfg(feature = "testnet")]
    Testnet(testnet::LocalTestnet),
}

/// Runs the command.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    // The memory of this process holds keys: a crash must not write it to a file.
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    let output = cli.options.output();
    let logs = if matches!(cli.verb, Verb::Run(_)) { "info" } else { "warn" };
    let filter = tracing_subscriber::EnvFilter::try_from_env("OMNIVENUE_LOG").unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(logs));
    let files = match log_files(&cli) {
        Ok(files) => files,
        Err(error) => return output.error(&error),
    };
    let stderr = match logs::Stderr::start() {
        Ok(stderr) => stderr,
        Err(error) => return output.error(&CommandError::failed(format!("cannot start: {error}"))),
    };
    let last = logs::last(&stderr, files.as_ref().map(|(files, _)| files));
    let shown = tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(false).with_filter(filter);
    let files = files.map(|(files, level)| files.with_filter(level));
    tracing_subscriber::registry().with(shown).with(files).init();
    let code = run(cli, output);
    last.written();
    code
}

fn run(cli: Cli, output: Output) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.error(&CommandError::failed(format!("cannot start: {error}"))),
    };
    match runtime.block_on(dispatch(cli)) {
        Ok(done) => done.into(),
        Err(error) => output.error(&error),
    }
}

/// The log files of an engine that runs for long. A configuration that cannot be read is reported by the verb itself.
fn log_files(cli: &Cli) -> Result<Option<(logs::LogFiles, LevelFilter)>, CommandError> {
    let Verb::Run(_) = cli.verb else { return Ok(None) };
    let Ok((config, _)) = cli.options.load() else { return Ok(None) };
    let failed = |error| CommandError::failed(format!("log.dir: the log files cannot be begun: {error}"));
    let files = logs::LogFiles::start(&config).map_err(failed)?;
    Ok(files.zip(config.log.as_ref().map(logs::filter)))
}

async fn dispatch(cli: Cli) -> Result<Done, CommandError> {
    let options = &cli.options;
    match cli.verb {
        Verb::Init(verb) => verb.run(options),
        Verb::Schema(verb) => verb.run(options),
        Verb::Signal(verb) => verb.run(options).await,
        Verb::Run(verb) => verb.run(options).await,
        Verb::Agents => agents::agents(options).await,
        #[cfg(feature = "backtest")]
        Verb::Backtest(verb) => verb.run(options),
        Verb::Status => show::status(options).await,
        Verb::Positions => show::positions(options).await,
        Verb::Orders => show::orders(options).await,
        Verb::Fills => show::fills(options).await,
        Verb::Equity => show::equity(options).await,
        Verb::Availability(verb) => verb.run(options).await,
        Verb::Events(verb) => verb.run(options).await,
        Verb::Execution(verb) => verb.run(options).await,
        Verb::Close(verb) => verb.run(options).await,
        Verb::Approve(verb) => verb.run(options).await,
        Verb::Cancel(verb) => verb.run(options).await,
        Verb::Resolve(verb) => verb.run(options).await,
        Verb::Kill(verb) => verb.run(options).await,
        Verb::Resume(verb) => verb.run(options).await,
        Verb::Reconcile(verb) => verb.run(options).await,
        Verb::Reload(verb) => verb.run(options).await,
        Verb::Journal(verb) => verb.run(options).await,
        Verb::Doctor(verb) => verb.run(options).await,
        #[cfg(feature = "testnet")]
        Verb::Testnet(verb) => verb.run(options).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_options_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_tells_the_exit_codes_and_fits_a_terminal() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("Exit codes:") && help.contains("some leg is unknown"), "{help}");
        let widest = help.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(110), "{help}");
    }
}
