//! The configuration: `omnivenue.toml`, the same as a JSON object, or the built-in one.
//!
//! Reading gathers every mistake and names each key by its full path, with what it got and what fits. Secrets are never part of it:
//! it holds where they are kept ([`SecretRef`]), so that it can be printed whole.

mod check;
mod limits;
mod node;
mod origin;
mod read;
mod schema;
mod secret;
mod section;
mod strategy;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use omnivenue_agents::Strategy;
use omnivenue_core::executor::{Breakers, DriftPolicy, Limits, LossLimits, StopRequirement, Timing};
use omnivenue_core::model::ids::{AccountId, AgentId, Asset, DeploymentId, VenueId, VenueSymbol};
use omnivenue_core::model::instrument::Market;
use omnivenue_core::model::number::{Factor, Fraction, Notional, Price, Rate};
use omnivenue_core::model::time::format_duration;
use omnivenue_core::venue::{Absence, Resend};
use serde::{Serialize, Serializer};

pub use self::origin::Origin;
pub use self::schema::schema;
pub use self::secret::{SecretError, SecretRef};
pub use self::section::Issue;
pub use self::told::{LogConfig, LogLevel, MetricsConfig};

/// The name of the configuration file that is looked for.
pub const FILE_NAME: &str = "omnivenue.toml";

/// The built-in configuration, commented: what `omnivenue init` writes and what holds without a file.
pub const TEMPLATE: &str = include_str!("config/template.toml");

/// The largest configuration that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// Everything an engine is told by its owner. Made by reading; every part has been checked against the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Where everything that lasts is kept: the journal, the paper exchanges, the control socket.
    pub data_dir: PathBuf,
    /// The journal.
    pub journal: JournalConfig,
    /// The kill switch.
    pub kill: KillConfig,
    /// The accounts.
    pub accounts: Vec<AccountConfig>,
    /// The agents.
    pub agents: Vec<AgentConfig>,
    /// Where agents' signals are carried out.
    pub deployments: Vec<DeploymentConfig>,
    /// Limits over everything, and currency rates.
    pub risk: RiskConfig,
    /// How long things may take, and how far from the market a close may fill.
    #[serde(serialize_with = "timing")]
    pub timing: Timing,
    /// When a venue counts as unwell.
    #[serde(serialize_with = "breakers")]
    pub breakers: Breakers,
    /// Files that the log is written to, beside stderr; none when absent.
    pub log: Option<LogConfig>,
    /// Where numbers are served; nowhere when absent.
    pub metrics: Option<MetricsConfig>,
    /// What is odd but not wrong, in words.
    pub warnings: Vec<String>,
    /// Where it was read from, to read it again.
    #[serde(skip)]
    pub origin: Origin,
}

/// Who may lift the kill switch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct KillConfig {
    /// What lifts it; whoever may talk to the engine when absent.
    pub secret: Option<SecretRef>,
}

/// Where the journal is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JournalConfig {
    /// The file; `journal.db` in the data directory when absent.
    pub path: Option<PathBuf>,
    /// What keys its hash chain; unkeyed when absent.
    pub chain_key: Option<SecretRef>,
    /// The tag that begins our client order ids; made once and kept in the data directory when absent.
    pub namespace: Option<String>,
    /// Whether the journal's history is also kept as plain tables, in a file beside it that any SQLite tool can read.
    pub views: bool,
    /// After how many entries a segment is closed: copied into a file of its own that can be archived; never when absent.
    pub segment_entries: Option<u64>,
    /// How many closed segments the journal itself still holds; all of them when absent.
    pub retain_segments: Option<u32>,
}

/// Where the orders of an account go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// The simulated exchange.
    #[default]
    Paper,
    /// The venue's test environment, or a local testnet where `urls` say so.
    Testnet,
    /// Real money.
    Mainnet,
}

/// The venues that can be traded on themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Adapter {
    /// Hyperliquid, perpetuals and spot.
    Hyperliquid,
}

impl Adapter {
    /// All of them, by the venue's name.
    pub const ALL: [(&'static str, Self); 1] = [("hyperliquid", Self::Hyperliquid)];

    /// The adapter of a venue, where there is one.
    #[must_use]
    pub fn of(venue: &VenueId) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| *name == venue.as_str()).map(|(_, adapter)| adapter)
    }
}

/// One login at one venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountConfig {
    /// Its name.
    pub id: AccountId,
    /// The venue.
    pub venue: VenueId,
    /// What it trades there.
    pub market: Market,
    /// Where its orders go.
    pub environment: Environment,
    /// Whether real money may move; without it mainnet is refused.
    pub armed: bool,
    /// Base URLs by name, `rest` and `stream`, where they are not the venue's own. On paper they are only where live prices come from.
    pub urls: BTreeMap<String, String>,
    /// Where each credential is kept. Not used by paper.
    pub credentials: BTreeMap<String, SecretRef>,
    /// Whose account it is, where the credentials are not the account's own (API wallets). Not used by paper.
    pub address: Option<String>,
    /// The sub-account or vault that is traded through that login. Not used by paper.
    pub vault_address: Option<String>,
    /// How long after it was prepared the venue still takes an order, if not the venue's usual. Not used by paper.
    #[serde(serialize_with = "maybe_length")]
    pub order_lifetime: Option<Duration>,
    /// Limits over all deployments on it.
    #[serde(serialize_with = "limits::shown")]
    pub limits: Limits,
    /// The losses that may be on all of it.
    #[serde(serialize_with = "losses", skip_serializing_if = "LossLimits::is_empty")]
    pub losses: LossLimits,
    /// What follows when its truth and ours differ and nothing explains it, or somebody else closes what is ours.
    pub drift: DriftPolicy,
    /// The simulated exchange behind it; there exactly when the environment is paper.
    pub paper: Option<PaperConfig>,
}

/// Which venue a simulated exchange is modelled on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Perpetuals; the same bytes may be sent twice; absence is proved by burning the nonce.
    Hyperliquid,
    /// Perpetuals on chain; the same raw transaction may be sent twice.
    Ostium,
    /// A spot exchange whose orders may not be sent twice; absence is proved by a window.
    Spot,
    /// Inverse and quanto perpetuals, margined and settled in bitcoin.
    Coin,
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Hyperliquid => "hyperliquid",
            Self::Ostium => "ostium",
            Self::Spot => "spot",
            Self::Coin => "coin",
        })
    }
}

/// Where a simulated exchange's prices come from: the venue itself, or candles or a fixed price where given, else a random walk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PricesConfig {
    /// The venue's own prices and instruments, live; then nothing else here counts.
    pub live: bool,
    /// The same seed gives the same walks, which begin at usual prices.
    pub walk_seed: u64,
    /// Recorded candles to replay (CSV, or a gzip of one), by the venue's name of the instrument.
    pub candles: BTreeMap<VenueSymbol, PathBuf>,
    /// How many times faster than recorded.
    pub speed: u32,
    /// Prices that never change, by the venue's name of the instrument.
    pub fixed: BTreeMap<VenueSymbol, Price>,
}

/// A simulated exchange and what an account has there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaperConfig {
    /// What the exchange is modelled on. The same for all accounts at a venue.
    pub preset: Preset,
    /// Where its prices come from. The same for all accounts at a venue.
    pub prices: PricesConfig,
    /// What the account is funded with when the exchange first sees it, in the settlement currency.
    pub balance: Notional,
    /// How long requests and answers travel, each way, if not as the preset says. The same for all accounts at a venue.
    #[serde(serialize_with = "maybe_length")]
    pub latency: Option<Duration>,
    /// What goes wrong on purpose. The same for all accounts at a venue.
    pub faults: FaultsConfig,
    /// Whether the same bytes may be sent twice, if not as the preset says.
    pub resend: Option<Resend>,
    /// How absence becomes proof, if not as the preset says.
    pub absence: Option<Absence>,
    /// What longs and shorts of its perpetuals pay one another; nothing when absent. The same for all accounts at a venue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub funding: Option<FundingConfig>,
}

/// Funding of a simulated exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FundingConfig {
    /// What longs pay shorts each time, as a share of the position's worth; negative is the other way round.
    pub rate: Rate,
    /// From one payment to the next, counted from when the exchange's file was made.
    #[serde(with = "omnivenue_core::model::time::duration_text")]
    pub every: Duration,
    /// Recorded rates (CSV with the columns open_time_ms,funding_rate, or a gzip of one), by the venue's name of the instrument: one for each
    /// payment, and after the last one `rate`.
    pub files: BTreeMap<VenueSymbol, PathBuf>,
}

/// What goes wrong on purpose: how often, in a thousand requests to which it can happen, and how far it goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FaultsConfig {
    /// Decides which requests are hit; the same seed and the same requests give the same faults.
    pub seed: u64,
    /// The request is refused without being looked at.
    pub refuse: u16,
    /// It is done, and answered late.
    pub delay: u16,
    /// The connection breaks before it is done.
    pub cut_before: u16,
    /// The connection breaks after it is done: the answer is lost.
    pub cut_after: u16,
    /// The connection breaks; the order is taken later all the same.
    pub late_commit: u16,
    /// Asking for an order says that there is none.
    pub false_not_found: u16,
    /// A report with trades comes twice.
    pub duplicate_fill: u16,
    /// The answer says nothing of the trades; the stream tells of them late.
    pub late_fill: u16,
    /// No answer ever comes, and what the stream would tell for a while is lost.
    pub silence: u16,
    /// The longest delay of an answer, if not the usual.
    #[serde(serialize_with = "maybe_length")]
    pub delay_max: Option<Duration>,
    /// The latest that an order is taken after its connection broke, if not the usual.
    #[serde(serialize_with = "maybe_length")]
    pub late_commit_max: Option<Duration>,
    /// The latest that the stream tells of a trade that the answer did not, if not the usual.
    #[serde(serialize_with = "maybe_length")]
    pub late_fill_max: Option<Duration>,
    /// How long the stream is silent, if not the usual.
    #[serde(serialize_with = "maybe_length")]
    pub silence_for: Option<Duration>,
}

/// Who emits signals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentConfig {
    /// Its name.
    pub id: AgentId,
    /// The assets it may trade; all when absent.
    pub allowed_assets: Option<BTreeSet<Asset>>,
    /// The losses that may be over all its deployments.
    #[serde(serialize_with = "losses", skip_serializing_if = "LossLimits::is_empty")]
    pub losses: LossLimits,
    /// How long each of its signals waits for a person's yes; none is needed when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Duration>,
    /// Whether its signals open anything.
    pub enabled: bool,
    /// Limits of all its deployments together.
    #[serde(serialize_with = "limits::shown", skip_serializing_if = "limits::is_unlimited")]
    pub limits: Limits,
    /// The ready-made agent that emits its signals in this engine; some other program does when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
}

/// Where one agent's signals are carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeploymentConfig {
    /// Its name.
    pub id: DeploymentId,
    /// Whose signals.
    pub agent: AgentId,
    /// The accounts, in order of preference.
    pub accounts: Vec<ShareConfig>,
    /// Limits of this deployment.
    #[serde(serialize_with = "limits::shown")]
    pub limits: Limits,
    /// The losses that may be in this deployment.
    #[serde(serialize_with = "losses", skip_serializing_if = "LossLimits::is_empty")]
    pub losses: LossLimits,
    /// Where a stop must be: at the venue, or wherever it can be.
    pub stops: StopRequirement,
    /// How long each signal carried out here waits for a person's yes; none is needed when absent. Of this and the agent's, the shorter counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Duration>,
    /// Multiplies the size of every signal carried out here.
    pub scale: Factor,
    /// Whether anything is opened here.
    pub enabled: bool,
}

/// A deployment's share of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShareConfig {
    /// The account.
    pub account: AccountId,
    /// How much of its balance the deployment may use; all of it when absent.
    pub allocation: Option<Notional>,
    /// The paper account that entries go to instead while the engine, or the account's venue, is in emergency.
    pub fallback: Option<AccountId>,
}

/// Limits over everything, and what currencies are worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RiskConfig {
    /// Limits over all deployments.
    #[serde(serialize_with = "limits::shown")]
    pub limits: Limits,
    /// What one unit of a currency is worth in the currency of the limits.
    pub rates: BTreeMap<Asset, Factor>,
    /// The losses that may be over everything.
    #[serde(serialize_with = "losses", skip_serializing_if = "LossLimits::is_empty")]
    pub losses: LossLimits,
    /// Currencies whose stated rate is watched, and how far from it they may be.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub depeg: BTreeMap<Asset, Fraction>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML.
    #[error("{origin}, line {line}, column {column}: {message}")]
    Syntax {
        /// The file, or what stands for it.
        origin: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What the parser says; never the text itself.
        message: String,
    },
    /// It reads, but does not fit: every mistake.
    #[error("{}", Invalid { origin, issues })]
    Invalid {
        /// The file, or what stands for it.
        origin: String,
        /// The mistakes, by line.
        issues: Vec<Issue>,
    },
}

struct Invalid<'a> {
    origin: &'a str,
    issues: &'a [Issue],
}

impl fmt::Display for Invalid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.issues {
            [issue] => write!(f, "{}: {issue}", self.origin),
            issues => {
                write!(f, "{}: {} errors", self.origin, issues.len())?;
                issues.iter().try_for_each(|issue| write!(f, "\n  {issue}"))
            }
        }
    }
}

impl Config {
    /// Reads a file. Relative paths in it start at its own directory.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(unreadable)?.len() > LONGEST {
            return Err(unreadable(std::io::Error::other("it is larger than a megabyte")));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let config = Self::from_toml(&text, &path.display().to_string(), path.parent().unwrap_or(Path::new("")))?;
        Ok(Self { origin: Origin::of(path), ..config })
    }

    /// Reads TOML; `origin` stands in errors, relative paths start at `base`.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake.
    pub fn from_toml(text: &str, origin: &str, base: &Path) -> Result<Self, ConfigError> {
        let table = node::from_toml(text).map_err(|syntax| ConfigError::Syntax {
            origin: origin.to_owned(),
            line: syntax.line,
            column: syntax.column,
            message: syntax.message,
        })?;
        read::config(&table, base).map_err(|issues| ConfigError::Invalid { origin: origin.to_owned(), issues })
    }

    /// Reads the same from a JSON object; relative paths start at `base`.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every mistake.
    pub fn from_json(json: &serde_json::Value, base: &Path) -> Result<Self, ConfigError> {
        let origin = "the configuration";
        let node = node::Node::from(json);
        let node::Value::Table(table) = &node.value else {
            let problem = format!("got {}, but must be an object", node.value.shown());
            return Err(ConfigError::Invalid {
                origin: origin.to_owned(),
                issues: vec![Issue { key: "(whole)".into(), line: None, problem }],
            });
        };
        read::config(table, base).map_err(|issues| ConfigError::Invalid { origin: origin.to_owned(), issues })
    }

    /// The built-in configuration: two paper venues, one agent, one deployment; data in `.omnivenue` under `base`.
    #[must_use]
    pub fn built_in(base: &Path) -> Self {
        Self::from_toml(TEMPLATE, "the built-in configuration", base).expect("a test reads the template")
    }

    /// The file of the journal.
    #[must_use]
    pub fn journal_path(&self) -> PathBuf {
        self.journal.path.clone().unwrap_or_else(|| self.data_dir.join("journal.db"))
    }

    /// The socket through which other processes reach the engine.
    #[must_use]
    pub fn control_path(&self) -> PathBuf {
        self.journal_path().with_file_name("control.sock")
    }

    /// The file of a venue's simulated exchange.
    #[must_use]
    pub fn exchange_path(&self, venue: &VenueId) -> PathBuf {
        // A venue's name may hold `/` and `:`, a file's name may not everywhere.
        let name: String =
            venue.as_str().chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '+' }).collect();
        self.data_dir.join(format!("exchange-{name}.db"))
    }
}

fn maybe_length<S: Serializer>(length: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    length.map(format_duration).serialize(serializer)
}

fn losses<S: Serializer>(losses: &LossLimits, serializer: S) -> Result<S::Ok, S::Error> {
    let bounds = losses.bounds().map(|(kind, bound)| (kind.code(), bound.to_string()));
    serializer.collect_map(bounds.chain([("on_breach", losses.on_breach.to_string())]))
}

fn timing<S: Serializer>(timing: &Timing, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shown {
        leg_deadline: String,
        max_attempts: u32,
        backoff_min: String,
        backoff_max: String,
        reconcile_every: String,
        reconcile_idle: u32,
        expiry_margin: String,
        close_slippage: Fraction,
        user_gate_deadline: String,
        protection_deadline: String,
        group_deadline: String,
        stop_move_every: String,
    }
    let shown = Shown {
        leg_deadline: format_duration(timing.leg_deadline),
        max_attempts: timing.max_attempts,
        backoff_min: format_duration(timing.backoff_min),
        backoff_max: format_duration(timing.backoff_max),
        reconcile_every: format_duration(timing.reconcile_every),
        reconcile_idle: timing.reconcile_idle,
        expiry_margin: format_duration(timing.expiry_margin),
        close_slippage: timing.close_slippage,
        user_gate_deadline: format_duration(timing.user_gate_deadline),
        protection_deadline: format_duration(timing.protection_deadline),
        group_deadline: format_duration(timing.group_deadline),
        stop_move_every: format_duration(timing.stop_move_every),
    };
    shown.serialize(serializer)
}

fn breakers<S: Serializer>(breakers: &Breakers, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shown {
        window: String,
        errors_high: u32,
        errors_critical: u32,
        latency_high: String,
        stale_high: String,
        unknown_high: String,
        cool_down: String,
    }
    let shown = Shown {
        window: format_duration(breakers.window),
        errors_high: breakers.errors_high,
        errors_critical: breakers.errors_critical,
        latency_high: format_duration(breakers.latency_high),
        stale_high: format_duration(breakers.stale_high),
        unknown_high: format_duration(breakers.unknown_high),
        cool_down: format_duration(breakers.cool_down),
    };
    shown.serialize(serializer)
}

#[cfg(test)]
mod tests;
