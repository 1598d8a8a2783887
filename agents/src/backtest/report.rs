//! What a run came to: per agent, combined, and beside it what the exchanges' own books say.

use std::collections::BTreeMap;

use omnivenue_core::agent::Timeframe;
use omnivenue_core::engine::{BreakerHealth, Kernel};
use omnivenue_core::journal::BreakerState;
use omnivenue_core::model::execution::EquityReport;
use omnivenue_core::model::ids::{AccountId, AgentId, Asset, VenueId};
use omnivenue_core::model::number::{Amount, Factor, NumberError};
use omnivenue_core::model::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::cast::Cast;
use super::plan::BacktestError;
use super::series::Series;
use super::tally::{Tally, booked, by_agent, key_of};
use super::world::World;

/// How far equity fell from its best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Drawdown {
    /// In the currency.
    pub amount: Amount,
    /// Of the best there was, to six decimals; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<Factor>,
}

/// What one agent came to, in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentResult {
    /// The agent.
    pub agent: AgentId,
    /// The currency.
    pub currency: Asset,
    /// What its deployments may use: their allocations, or all of their accounts.
    pub capital: Option<Amount>,
    /// Signals it emitted.
    pub signals: u64,
    /// Signals and legs that came to nothing, by the code of why.
    pub refused: BTreeMap<String, u64>,
    /// Trades at the exchanges.
    pub fills: u64,
    /// Positions that were closed again, whatever number of signals each was made of.
    pub trades: u64,
    /// Of these, those that gained something after fees.
    pub won: u64,
    /// Those that lost.
    pub lost: u64,
    /// Positions that are still open.
    pub open: usize,
    /// Booked gains and losses, before fees.
    pub realized_pnl: Amount,
    /// Open ones, at the exchanges' marks.
    pub unrealized_pnl: Amount,
    /// Fees paid.
    pub fees: Amount,
    /// Funding; positive was received.
    pub funding: Amount,
    /// Realized, unrealized and funding, less fees.
    pub pnl: Amount,
    /// Capital and PnL.
    pub equity: Option<Amount>,
    /// How far it fell from its best.
    pub max_drawdown: Drawdown,
    /// Instances that were started after a panic.
    pub restarts: u32,
    /// Inputs it missed while it was down.
    pub missed: u64,
    /// Why it stays down, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// What all agents came to together, in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Combined {
    /// The currency.
    pub currency: Asset,
    /// Signals.
    pub signals: u64,
    /// Trades at the exchanges.
    pub fills: u64,
    /// Positions that were closed again.
    pub trades: u64,
    /// Booked gains and losses, before fees.
    pub realized_pnl: Amount,
    /// Open ones.
    pub unrealized_pnl: Amount,
    /// Fees paid.
    pub fees: Amount,
    /// Funding.
    pub funding: Amount,
    /// Realized, unrealized and funding, less fees.
    pub pnl: Amount,
    /// Of all accounts: what was deposited, and the PnL.
    pub equity: Amount,
    /// How far all accounts together fell from their best.
    pub max_drawdown: Drawdown,
}

/// What an exchange's own books say of an account, and how it compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueResult {
    /// The exchange.
    pub venue: VenueId,
    /// The account.
    pub account: AccountId,
    /// The currency.
    pub currency: Asset,
    /// What it was funded with.
    pub deposited: Amount,
    /// What the exchange says its balance is.
    pub balance: Amount,
    /// What the exchange says it is worth, open positions included.
    pub equity: Amount,
    /// The exchange's equity less what was deposited and what all agents gained there: 0, or the books disagree.
    pub difference: Amount,
}

/// How much of a series was run over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesResult {
    /// The asset.
    pub asset: Asset,
    /// How long a candle is.
    pub timeframe: Timeframe,
    /// How many there were.
    pub candles: u64,
    /// How often candles were missing between two.
    pub gaps: u64,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When the first candle began.
    pub from: Timestamp,
    /// Where virtual time ended.
    pub to: Timestamp,
    /// The candles.
    pub series: Vec<SeriesResult>,
    /// By agent and currency.
    pub agents: Vec<AgentResult>,
    /// By currency.
    pub combined: Vec<Combined>,
    /// By account and currency.
    pub venues: Vec<VenueResult>,
    /// Circuit breakers that were open at the end, and why: nothing was entered since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breakers: Vec<BreakerHealth>,
    /// Entries of the journal.
    pub entries: u64,
    /// The hash over all of them: the same input gives the same.
    pub journal: String,
}

impl Report {
    /// Whether the exchanges' own books agree with ours, to the last digit.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.venues.iter().all(|venue| venue.difference == Amount::ZERO)
    }
}

pub(super) fn series(series: &Series, candles: u64, gaps: u64) -> SeriesResult {
    SeriesResult { asset: series.asset().clone(), timeframe: series.timeframe(), candles, gaps }
}

/// A line's open gains at the exchanges' own marks: what both sides are compared at.
fn unrealized(world: &World, line: &EquityReport) -> Option<Amount> {
    let now = world.now().wall;
    let mark = |venue: &VenueId, symbol: &_| {
        let place = world.places.iter().find(|place| place.config.id == *venue)?;
        place.link.open().server.mark(symbol, now)
    };
    world.kernel.state().book().ledger().unrealized(&key_of(line), mark)
}

#[derive(Default)]
struct Money {
    capital: Option<Amount>,
    realized: Amount,
    unrealized: Amount,
    fees: Amount,
    funding: Amount,
}

impl Money {
    fn add(&mut self, line: &EquityReport, unrealized: Amount) -> Result<(), NumberError> {
        self.realized = self.realized.plus(line.realized_pnl.unwrap_or_default())?;
        self.unrealized = self.unrealized.plus(unrealized)?;
        self.fees = self.fees.plus(line.fees)?;
        self.funding = self.funding.plus(line.funding)?;
        Ok(())
    }

    fn pnl(&self) -> Result<Amount, NumberError> {
        self.realized.plus(self.unrealized)?.minus(self.fees)?.plus(self.funding)
    }
}

pub(super) fn make(
    world: &World,
    cast: &Cast,
    mut tally: Tally,
    series: Vec<SeriesResult>,
    from: Timestamp,
) -> Result<Report, BacktestError> {
    tally.value(&world.kernel);
    let broken = |error: NumberError| BacktestError::Broken { at: world.now().wall, reason: error.to_string() };
    let agents = agents(world, cast, &tally).map_err(broken)?;
    let venues = venues(world).map_err(broken)?;
    let combined = combined(&agents, &venues, &tally).map_err(broken)?;
    let (head, entries) = world.store.head();
    let breakers = world.kernel.health(world.now()).breakers.into_iter().filter(|breaker| breaker.state != BreakerState::Normal).collect();
    Ok(Report { from, to: world.now().wall, series, agents, combined, venues, breakers, entries, journal: head.to_string() })
}

fn agents(world: &World, cast: &Cast, tally: &Tally) -> Result<Vec<AgentResult>, NumberError> {
    let lines = world.kernel.equity();
    let mut money: BTreeMap<(AgentId, Asset), Money> = BTreeMap::new();
    for (agent, _) in cast.actors() {
        // Those that never traded are listed too.
        for (currency, capital) in funds(&world.kernel, agent)? {
            money.insert((agent.clone(), currency), Money { capital, ..Money::default() });
        }
    }
    for (agent, line) in by_agent(&world.kernel, &lines) {
        let of = money.entry((agent, line.currency.clone())).or_default();
        of.add(line, unrealized(world, line).unwrap_or_default())?;
    }
    money.into_iter().map(|((agent, currency), money)| agent_result(world, cast, tally, (agent, currency), &money)).collect()
}

/// What an agent's deployments may use, by currency: their allocations, or all of their accounts.
fn funds(kernel: &Kernel, agent: &AgentId) -> Result<BTreeMap<Asset, Option<Amount>>, NumberError> {
    let setup = kernel.setup();
    let mut all: BTreeMap<Asset, Option<Amount>> = BTreeMap::new();
    for share in setup.deployments.values().filter(|deployment| deployment.agent == *agent).flat_map(|deployment| &deployment.accounts) {
        let venue = setup.accounts.get(&share.account).and_then(|account| setup.venues.get(&account.venue));
        let Some(currency) = venue.and_then(|venue| venue.instruments.values().next()).map(|instrument| instrument.settle.clone()) else {
            continue;
        };
        let whole = || kernel.state().book().ledger().funds(&share.account, &currency);
        let Some(more) = share.allocation.map(|allocation| allocation.amount()).or_else(whole) else { continue };
        let sum = all.entry(currency).or_default();
        *sum = Some(sum.unwrap_or_default().plus(more)?);
    }
    Ok(all)
}

fn agent_result(
    world: &World,
    cast: &Cast,
    tally: &Tally,
    (agent, currency): (AgentId, Asset),
    money: &Money,
) -> Result<AgentResult, NumberError> {
    let of_agent = |deployment: &_| world.kernel.setup().deployments.get(deployment).is_some_and(|deployment| deployment.agent == agent);
    let trades = tally.trades.iter().filter(|(deployment, _)| of_agent(deployment)).map(|(_, trades)| trades);
    let (trades, won, lost) = trades.fold((0, 0, 0), |sum, one| (sum.0 + one.closed, sum.1 + one.won, sum.2 + one.lost));
    let positions = world.kernel.state().book().ledger().positions();
    let open = positions.filter(|(key, position)| of_agent(&key.deployment) && position.terms().settle == currency).count();
    let actor = cast.actors().find(|(id, _)| **id == agent).map(|(_, actor)| actor);
    let pnl = money.pnl()?;
    Ok(AgentResult {
        capital: money.capital,
        signals: actor.map_or(0, |actor| actor.signals),
        refused: tally.refused.get(&agent).cloned().unwrap_or_default(),
        fills: actor.map_or(0, |actor| actor.fills),
        trades,
        won,
        lost,
        open,
        realized_pnl: money.realized,
        unrealized_pnl: money.unrealized,
        fees: money.fees,
        funding: money.funding,
        pnl,
        equity: money.capital.map(|capital| capital.plus(pnl)).transpose()?,
        max_drawdown: tally.drawdowns.get(&(agent.clone(), currency.clone())).map(|path| path.deepest()).unwrap_or_default(),
        restarts: actor.map_or(0, |actor| actor.restarts),
        missed: actor.map_or(0, |actor| actor.missed),
        failed: actor.filter(|actor| actor.is_down()).and_then(|actor| actor.panic.clone()),
        agent,
        currency,
    })
}

fn venues(world: &World) -> Result<Vec<VenueResult>, NumberError> {
    let now = world.now().wall;
    let lines = world.kernel.equity();
    let mut all = Vec::new();
    for place in &world.places {
        for (account, deposits) in &place.config.accounts {
            for (currency, deposited) in deposits {
                let mut gained = Amount::ZERO;
                let ours = |line: &&EquityReport| line.deployment.is_some() && line.account == *account && line.currency == *currency;
                for line in lines.iter().filter(ours) {
                    gained = gained.plus(booked(line).unwrap_or_default())?.plus(unrealized(world, line).unwrap_or_default())?;
                }
                let mut medium = place.link.open();
                let equity = medium.server.equity(account, currency, now)?;
                let balance = medium.server.truth().accounts.get(account).map(|truth| truth.balance(currency)).unwrap_or_default();
                all.push(VenueResult {
                    venue: place.config.id.clone(),
                    account: account.clone(),
                    currency: currency.clone(),
                    deposited: *deposited,
                    balance,
                    equity,
                    difference: equity.minus(deposited.plus(gained)?)?,
                });
            }
        }
    }
    Ok(all)
}

fn combined(agents: &[AgentResult], venues: &[VenueResult], tally: &Tally) -> Result<Vec<Combined>, NumberError> {
    let mut all: BTreeMap<Asset, Combined> = BTreeMap::new();
    for venue in venues {
        let of = all.entry(venue.currency.clone()).or_insert_with(|| Combined {
            currency: venue.currency.clone(),
            signals: 0,
            fills: 0,
            trades: 0,
            realized_pnl: Amount::ZERO,
            unrealized_pnl: Amount::ZERO,
            fees: Amount::ZERO,
            funding: Amount::ZERO,
            pnl: Amount::ZERO,
            equity: Amount::ZERO,
            max_drawdown: tally.combined.get(&venue.currency).map(|path| path.deepest()).unwrap_or_default(),
        });
        of.equity = of.equity.plus(venue.deposited)?;
    }
    for result in agents {
        let Some(of) = all.get_mut(&result.currency) else { continue };
        (of.signals, of.fills, of.trades) = (of.signals + result.signals, of.fills + result.fills, of.trades + result.trades);
        of.realized_pnl = of.realized_pnl.plus(result.realized_pnl)?;
        of.unrealized_pnl = of.unrealized_pnl.plus(result.unrealized_pnl)?;
        of.fees = of.fees.plus(result.fees)?;
        of.funding = of.funding.plus(result.funding)?;
        of.pnl = of.pnl.plus(result.pnl)?;
        of.equity = of.equity.plus(result.pnl)?;
    }
    Ok(all.into_values().collect())
}
