//! What the state machine is told once, when the engine opens: who trades where, with what, within which limits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::{OnExcess, OrderRate, TradingHours};
use super::losses::LossLimits;
use crate::journal::LossScope;
use crate::model::ids::{AccountId, AgentId, Asset, DeploymentId, VenueId, VenueSymbol};
use crate::model::instrument::{AssetMap, Instrument, Market};
use crate::model::number::{Factor, Fraction, Leverage, Notional};
use crate::model::time::Timestamp;
use crate::venue::Capabilities;

/// Everything the state machine knows beside its state. Constant while the engine is open.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The venues, by name.
    pub venues: BTreeMap<VenueId, VenueSetup>,
    /// The accounts, by name.
    pub accounts: BTreeMap<AccountId, AccountSetup>,
    /// The agents, by name.
    pub agents: BTreeMap<AgentId, AgentSetup>,
    /// The deployments, by name.
    pub deployments: BTreeMap<DeploymentId, DeploymentSetup>,
    /// Limits over everything.
    pub limits: Limits,
    /// What one unit of a currency is worth in the currency of the limits, as stated by the configuration.
    pub rates: BTreeMap<Asset, Factor>,
    /// What the venues' names of assets mean.
    pub assets: AssetMap,
    /// How long things may take.
    pub timing: Timing,
    /// When a venue counts as unwell.
    pub breakers: Breakers,
    /// The losses that may be, and what follows beyond them.
    pub losses: BTreeMap<LossScope, LossLimits>,
    /// Currencies whose stated rate is watched, and how far from it they may be.
    pub depeg: BTreeMap<Asset, Fraction>,
}

/// A venue as the state machine sees it.
#[derive(Debug, Clone)]
pub struct VenueSetup {
    /// What it can do.
    pub capabilities: Capabilities,
    /// What it trades.
    pub instruments: BTreeMap<VenueSymbol, Instrument>,
    by_asset: BTreeMap<(Asset, Market), Vec<VenueSymbol>>,
}

impl VenueSetup {
    /// A venue with its instruments, found by what they are of.
    #[must_use]
    pub fn new(capabilities: Capabilities, instruments: Vec<Instrument>, assets: &AssetMap) -> Self {
        let instruments: BTreeMap<_, _> = instruments.into_iter().map(|instrument| (instrument.symbol.clone(), instrument)).collect();
        let mut by_asset: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (symbol, instrument) in &instruments {
            by_asset.entry((assets.resolve(&instrument.base).0, instrument.market)).or_default().push(symbol.clone());
        }
        // Contracts that are settled in what they are priced in come first, then those that expire first.
        for symbols in by_asset.values_mut() {
            symbols.sort_by_key(|symbol| instruments.get(symbol).map(|one| (!one.contract.is_linear(), one.expiry)));
        }
        Self { capabilities, instruments, by_asset }
    }

    /// Every instrument of an asset, by market: spot comes first in order.
    pub fn instruments_of<'a>(&'a self, asset: &'a Asset) -> impl Iterator<Item = &'a Instrument> {
        let from = self.by_asset.range((asset.clone(), Market::Spot)..).take_while(move |((of, _), _)| of == asset);
        from.flat_map(|(_, symbols)| symbols).filter_map(|symbol| self.instruments.get(symbol))
    }

    /// The instrument of an asset on a market. Where there are several: a linear one before others, then the one that expires first, then the
    /// first by name.
    #[must_use]
    pub fn instrument_of(&self, asset: &Asset, market: Market) -> Option<&Instrument> {
        self.instruments.get(self.by_asset.get(&(asset.clone(), market))?.first()?)
    }

    /// The same, but of dated futures the first that has not expired by `then`; where all have, the last of them.
    #[must_use]
    pub fn instrument_at(&self, asset: &Asset, market: Market, then: Timestamp) -> Option<&Instrument> {
        let listed = || self.by_asset.get(&(asset.clone(), market)).into_iter().flatten().filter_map(|symbol| self.instruments.get(symbol));
        listed().find(|one| one.expiry.is_none_or(|expiry| expiry > then)).or_else(|| listed().max_by_key(|one| one.expiry))
    }
}

/// An account as the state machine sees it.
#[derive(Debug, Clone)]
pub struct AccountSetup {
    /// Its venue.
    pub venue: VenueId,
    /// The market it trades there; every one that its venue lists when absent.
    pub market: Option<Market>,
    /// Limits over all deployments on it.
    pub limits: Limits,
    /// What follows when its truth and ours differ and nothing explains it.
    pub drift: DriftPolicy,
}

/// What follows when an account's truth and ours differ, seen twice and explained by nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftPolicy {
    /// No entry there until a person has looked at it.
    #[default]
    HaltEntries,
    /// The difference is booked as not ours, and trading goes on.
    Adopt,
    /// No entry there, and our positions in that instrument are closed.
    Flatten,
}

/// An agent as the state machine sees it.
#[derive(Debug, Clone, Default)]
pub struct AgentSetup {
    /// The assets it may trade; all when absent.
    pub allowed_assets: Option<BTreeSet<Asset>>,
    /// A person must say yes to each of its signals, within this time.
    pub approval: Option<Duration>,
    /// It is switched off: no entry of it is taken.
    pub disabled: bool,
    /// Deployments of it that are switched off.
    pub disabled_deployments: BTreeSet<DeploymentId>,
    /// Limits of its deployments together.
    pub limits: Limits,
}

/// Where one agent's signals are carried out.
#[derive(Debug, Clone)]
pub struct DeploymentSetup {
    /// Whose signals.
    pub agent: AgentId,
    /// The accounts, in order of preference.
    pub accounts: Vec<AccountShare>,
    /// Limits of this deployment.
    pub limits: Limits,
    /// Where a stop must be.
    pub stops: StopRequirement,
    /// A person must say yes to each signal carried out here, within this time.
    pub approval: Option<Duration>,
    /// Multiplies the size of every signal carried out here.
    pub scale: Factor,
}

/// Where a stop must be for the position to count as protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopRequirement {
    /// At the venue where it can be, else in the engine.
    #[default]
    Any,
    /// At the venue: where it cannot be, nothing is opened, and what is open without one is closed.
    Venue,
}

/// A deployment's share of an account.
#[derive(Debug, Clone)]
pub struct AccountShare {
    /// The account.
    pub account: AccountId,
    /// How much of the account's balance it may use, in the settlement currency; all of it when absent.
    pub allocation: Option<Notional>,
    /// Where entries go instead while the engine is in emergency: a paper account.
    pub fallback: Option<AccountId>,
}

/// What an entry must keep, of whoever it is: a deployment, an agent with all its deployments, an account with all deployments on it, or
/// everything. What is absent is unlimited. Amounts are in the currency of the limits. Positions count at the larger of cost and market value;
/// orders on their way or unknown count in full, at the worst price admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// In one order.
    pub max_order_notional: Option<Notional>,
    /// In one asset.
    pub max_asset_notional: Option<Notional>,
    /// Altogether.
    pub max_notional: Option<Notional>,
    /// What happens to an entry that is too large, or whose leverage is too high.
    pub on_excess: OnExcess,
    /// How sure the agent must be; a signal that does not say is refused.
    pub min_confidence: Option<Fraction>,
    /// How long ago the agent may have decided, or the signal have come in where it does not say.
    pub max_signal_age: Option<Duration>,
    /// When entries may be opened.
    pub trading_hours: Option<TradingHours>,
    /// Positions held or being entered: one for each deployment, account and instrument.
    pub max_open_positions: Option<u32>,
    /// No entry in an asset in which another signal holds a position, or is entering one.
    pub one_position_per_asset: bool,
    /// Positions held or being entered in one direction.
    pub max_same_direction: Option<u32>,
    /// At stake in one direction.
    pub max_same_direction_notional: Option<Notional>,
    /// At stake in one asset, as a fraction of the equity.
    pub max_concentration: Option<Fraction>,
    /// The leverage of an entry.
    pub max_leverage: Option<Leverage>,
    /// What an entry may lose at its stop loss, fees included.
    pub max_risk_per_trade: Option<Notional>,
    /// The same as a fraction of the equity: of a deployment, of that on the account of the entry.
    pub max_risk_per_trade_fraction: Option<Fraction>,
    /// How many times what is lost at the stop loss must be gained at the take profit.
    pub min_reward_to_risk: Option<Factor>,
    /// How far beyond the stop loss the estimated liquidation price must be, as a fraction of the stop loss; of the entry where there is none.
    pub min_liquidation_distance: Option<Fraction>,
    /// The maintenance margin that the estimate counts with, as a fraction of the position's value. Stated, since venues differ.
    pub maintenance_margin: Option<Fraction>,
    /// How far beyond the middle of bid and ask an entry may fill, here and as other venues have it.
    pub price_collar: Option<Fraction>,
    /// How old the price may be that an entry is decided by.
    pub max_price_age: Option<Duration>,
    /// From bid to ask, as a fraction of the middle.
    pub max_spread: Option<Fraction>,
    /// Entries in a period.
    pub max_order_rate: Option<OrderRate>,
    /// How long after an entry in an asset there is no other one.
    pub cooldown: Option<Duration>,
    /// How long after a trade in an asset that closed at a loss there is no entry.
    pub loss_cooldown: Option<Duration>,
}

/// When a venue counts as unwell. What follows from each measure is told by a table in the executor's `vitals`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breakers {
    /// Over which time failures and slow answers are counted.
    pub window: Duration,
    /// How many failed calls in that time are high, if they are also a tenth of all. A venue that is gone is asked again later each time, so
    /// that its calls fail about five times in the first ten seconds and twice a minute from then on.
    pub errors_high: u32,
    /// How many are critical, if they are also half of all: many orders and accounts must have met it.
    pub errors_critical: u32,
    /// An order answered later than this is slow; a venue on a chain may take seconds.
    pub latency_high: Duration,
    /// Neither a price nor an answer for so long, while something is held or on its way there, is high.
    pub stale_high: Duration,
    /// An order unknown for so long is high: longer than any venue needs to prove absence.
    pub unknown_high: Duration,
    /// How long an alarm's measure must have been below it before it is lowered.
    pub cool_down: Duration,
}

impl Default for Breakers {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            errors_high: 5,
            errors_critical: 30,
            latency_high: Duration::from_secs(4),
            stale_high: Duration::from_secs(60),
            unknown_high: Duration::from_secs(120),
            cool_down: Duration::from_secs(30),
        }
    }
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long the venue may take to answer before the leg is unknown.
    pub leg_deadline: Duration,
    /// How many attempts one leg has; each but the first follows proof that the one before took no effect.
    pub max_attempts: u32,
    /// The first pause before another attempt or another probe; doubled each time.
    pub backoff_min: Duration,
    /// The longest such pause.
    pub backoff_max: Duration,
    /// How often the venue's truth is compared with ours while all is well and something is at risk on the account.
    pub reconcile_every: Duration,
    /// How many times less often that is where nothing is at risk: nothing held, nothing on its way. From 1 to 100.
    pub reconcile_idle: u32,
    /// How far from the market an order that closes a position may fill.
    pub close_slippage: Fraction,
    /// How long after the first fill a stop may take to be confirmed before the position is closed.
    pub protection_deadline: Duration,
    /// How long the legs of a group may take to be decided before what filled is closed again.
    pub group_deadline: Duration,
    /// How long a stop stays where it is at the venue before it is moved again: moves cost requests.
    pub stop_move_every: Duration,
    /// How long user gates may take to answer about one signal.
    pub user_gate_deadline: Duration,
    /// How long before its expiry a contract is no longer entered.
    pub expiry_margin: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            leg_deadline: Duration::from_secs(5),
            max_attempts: 3,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            reconcile_every: Duration::from_secs(30),
            reconcile_idle: 4,
            close_slippage: "0.05".parse().expect("0.05 is a fraction"),
            protection_deadline: Duration::from_secs(5),
            group_deadline: Duration::from_secs(10),
            stop_move_every: Duration::from_secs(2),
            user_gate_deadline: Duration::from_millis(250),
            expiry_margin: Duration::from_secs(3600),
        }
    }
}
