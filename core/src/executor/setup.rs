//! What the state machine is told once, when the engine opens: who trades where, with what, within which limits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::ids::{AccountId, AgentId, Asset, DeploymentId, VenueId, VenueSymbol};
use crate::model::instrument::{AssetMap, Instrument, Market};
use crate::model::number::{Factor, Fraction, Notional};
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
        Self { capabilities, instruments, by_asset }
    }

    /// The instrument of an asset on a market: the first by name where there are several quote currencies.
    #[must_use]
    pub fn instrument_of(&self, asset: &Asset, market: Market) -> Option<&Instrument> {
        self.instruments.get(self.by_asset.get(&(asset.clone(), market))?.first()?)
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
}

/// An agent as the state machine sees it.
#[derive(Debug, Clone, Default)]
pub struct AgentSetup {
    /// The assets it may trade; all when absent.
    pub allowed_assets: Option<BTreeSet<Asset>>,
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
}

/// A deployment's share of an account.
#[derive(Debug, Clone)]
pub struct AccountShare {
    /// The account.
    pub account: AccountId,
    /// How much of the account's balance it may use, in the settlement currency; all of it when absent.
    pub allocation: Option<Notional>,
}

/// The most that may be at stake, in the currency of the limits; absent is unlimited. Positions count at the larger of cost and market
/// value; orders on their way or unknown count in full, at the worst price admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// In one order.
    pub max_order_notional: Option<Notional>,
    /// In one asset.
    pub max_asset_notional: Option<Notional>,
    /// Altogether.
    pub max_notional: Option<Notional>,
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
    /// How often the venue's truth is compared with ours while all is well.
    pub reconcile_every: Duration,
    /// How far from the market an order that closes a position may fill.
    pub close_slippage: Fraction,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            leg_deadline: Duration::from_secs(5),
            max_attempts: 3,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            reconcile_every: Duration::from_secs(30),
            close_slippage: "0.05".parse().expect("0.05 is a fraction"),
        }
    }
}
