//! What limits count by number and by time: which positions are held or being entered, with which leverage, when the latest entries were and
//! the latest losses. Kept up to date as events arrive, at each level that limits hold over, so that a question costs O(log n).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::limits::MOST_COUNTED;
use crate::journal::{ExecutionNumber, LegPlan, LegRef};
use crate::ledger::{AccountSymbol, Level, Position, PositionKey, pairs};
use crate::model::ids::{AccountId, AgentId, Asset, DeploymentId, VenueSymbol};
use crate::model::number::Leverage;
use crate::model::signal::Direction;
use crate::model::time::Timestamp;

/// The latest instants that are kept of each level.
const KEPT: usize = MOST_COUNTED as usize;

/// What a deployment has on an instrument of an account: a position, entries that may yet trade, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engagement {
    /// Whose it was when it began; it counts there until it ends.
    agent: AgentId,
    asset: Asset,
    held: Option<(Direction, Leverage)>,
    #[serde(with = "pairs")]
    entries: BTreeMap<LegRef, (Direction, Leverage)>,
}

impl Engagement {
    /// Whether there is a position or an entry in this direction.
    #[must_use]
    pub fn is_toward(&self, direction: Direction) -> bool {
        self.stakes().any(|(toward, _)| toward == direction)
    }

    /// The leverage of its position, or of its first entry: it is the account's for the instrument until both have ended.
    #[must_use]
    pub fn leverage(&self) -> Option<Leverage> {
        self.stakes().next().map(|(_, leverage)| leverage)
    }

    /// Its entries that may yet trade.
    pub fn entries(&self) -> impl Iterator<Item = LegRef> {
        self.entries.keys().copied()
    }

    fn stakes(&self) -> impl Iterator<Item = (Direction, Leverage)> {
        self.held.iter().chain(self.entries.values()).copied()
    }

    fn sides(&self) -> Sides {
        Sides { long: self.is_toward(Direction::Long), short: self.is_toward(Direction::Short) }
    }
}

/// In which directions something counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sides {
    long: bool,
    short: bool,
}

impl Sides {
    const fn any(self) -> bool {
        self.long || self.short
    }
}

/// The latest entry in an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatestEntry {
    /// It is about to be prepared.
    Now,
    /// It was prepared then.
    At(Timestamp),
}

/// What counts at one level.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Positions held or being entered.
    engaged: BTreeMap<Asset, BTreeSet<PositionKey>>,
    open: u32,
    long: u32,
    short: u32,
    /// Entry legs that wait for their order.
    planned: BTreeMap<Asset, BTreeSet<LegRef>>,
    waiting: u32,
    /// When the latest entries were prepared, in microseconds; ascending.
    entries: VecDeque<i64>,
    /// Of each asset the latest entries of two signals, oldest first.
    latest: BTreeMap<Asset, VecDeque<(Timestamp, ExecutionNumber)>>,
    losses: BTreeMap<Asset, Timestamp>,
}

impl Tally {
    /// Positions held or being entered.
    #[must_use]
    pub const fn open_positions(&self) -> u32 {
        self.open
    }

    /// Those of one asset.
    pub fn positions_in(&self, asset: &Asset) -> impl Iterator<Item = &PositionKey> {
        self.engaged.get(asset).into_iter().flatten()
    }

    /// Positions held or being entered in one direction.
    #[must_use]
    pub const fn toward(&self, direction: Direction) -> u32 {
        match direction {
            Direction::Long => self.long,
            Direction::Short => self.short,
        }
    }

    /// Entries prepared after an instant, and those about to be; no more than the latest 256 are known.
    #[must_use]
    pub fn entries_after(&self, instant: Timestamp) -> usize {
        let before = self.entries.partition_point(|at| *at <= instant.as_micros());
        self.entries.len() - before + self.waiting as usize
    }

    /// The latest entry in an asset that is not of this execution.
    #[must_use]
    pub fn latest_entry(&self, asset: &Asset, but: ExecutionNumber) -> Option<LatestEntry> {
        let waits = self.planned.get(asset).and_then(|legs| legs.first().zip(legs.last()));
        if waits.is_some_and(|(first, last)| first.execution != but || last.execution != but) {
            return Some(LatestEntry::Now);
        }
        let latest = self.latest.get(asset)?;
        latest.iter().rev().find(|(_, execution)| *execution != but).map(|(at, _)| LatestEntry::At(*at))
    }

    /// When a trade in an asset last closed at a loss, before fees, by the venue's clock.
    #[must_use]
    pub fn latest_loss(&self, asset: &Asset) -> Option<Timestamp> {
        self.losses.get(asset).copied()
    }

    fn turn(&mut self, key: &PositionKey, asset: &Asset, before: Sides, after: Sides) {
        let moved = |count: &mut u32, was: bool, is: bool| match (was, is) {
            (false, true) => *count += 1,
            (true, false) => *count = count.saturating_sub(1),
            _ => {}
        };
        moved(&mut self.long, before.long, after.long);
        moved(&mut self.short, before.short, after.short);
        moved(&mut self.open, before.any(), after.any());
        put(&mut self.engaged, asset, key.clone(), after.any());
    }

    fn wait(&mut self, at: LegRef, asset: &Asset, waits: bool) {
        match (put(&mut self.planned, asset, at, waits), waits) {
            (true, true) => self.waiting += 1,
            (true, false) => self.waiting = self.waiting.saturating_sub(1),
            (false, _) => {}
        }
    }

    fn entered(&mut self, asset: &Asset, execution: ExecutionNumber, at: Timestamp) {
        // A clock that was set back moves nothing back.
        let instant = self.entries.back().map_or(at.as_micros(), |last| at.as_micros().max(*last));
        self.entries.push_back(instant);
        while self.entries.len() > KEPT {
            self.entries.pop_front();
        }
        let latest = self.latest.entry(asset.clone()).or_default();
        latest.retain(|(_, other)| *other != execution);
        latest.push_back((Timestamp::from_micros(instant), execution));
        while latest.len() > 2 {
            latest.pop_front();
        }
    }

    fn lost(&mut self, asset: &Asset, at: Timestamp) {
        let latest = self.losses.entry(asset.clone()).or_insert(at);
        *latest = at.max(*latest);
    }
}

/// Puts something into the set of an asset, or takes it out; says whether that changed anything. No set is left empty.
fn put<T: Ord>(sets: &mut BTreeMap<Asset, BTreeSet<T>>, asset: &Asset, what: T, belongs: bool) -> bool {
    if belongs {
        return sets.entry(asset.clone()).or_default().insert(what);
    }
    let Some(set) = sets.get_mut(asset) else { return false };
    let removed = set.remove(&what);
    if set.is_empty() {
        sets.remove(asset);
    }
    removed
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    #[serde(with = "pairs")]
    places: BTreeMap<AccountSymbol, BTreeMap<DeploymentId, Engagement>>,
    #[serde(with = "pairs")]
    tallies: BTreeMap<Level, Tally>,
    /// Entry legs that may yet trade, and whether they wait for their order.
    #[serde(with = "pairs")]
    legs: BTreeMap<LegRef, bool>,
}

impl Standing {
    /// What counts at a level; `None` where nothing ever did.
    #[must_use]
    pub fn tally(&self, level: &Level) -> Option<&Tally> {
        self.tallies.get(level)
    }

    /// What a deployment has on an instrument of an account.
    #[must_use]
    pub fn engagement(&self, key: &PositionKey) -> Option<&Engagement> {
        self.places.get(&(key.account.clone(), key.symbol.clone()))?.get(&key.deployment)
    }

    /// Who has anything on an instrument of an account.
    pub fn engaged_on(&self, account: &AccountId, symbol: &VenueSymbol) -> impl Iterator<Item = (&DeploymentId, &Engagement)> {
        self.places.get(&(account.clone(), symbol.clone())).into_iter().flatten()
    }

    /// Notes how an entry leg stands now: `None` when no more of it can trade, else whether it waits for its order.
    pub(super) fn note(&mut self, at: LegRef, plan: &LegPlan, planned: Option<bool>) {
        if self.legs.get(&at).copied() == planned {
            return;
        }
        let (Some(symbol), Some(order)) = (&plan.symbol, &plan.order) else { return };
        match planned {
            Some(planned) => drop(self.legs.insert(at, planned)),
            None => drop(self.legs.remove(&at)),
        }
        let key = PositionKey { deployment: plan.deployment.clone(), account: plan.account.clone(), symbol: symbol.clone() };
        let toward = if order.side.is_buy() { Direction::Long } else { Direction::Short };
        self.change(&key, &plan.agent, &order.terms.asset, |engagement| match planned {
            Some(_) => drop(engagement.entries.insert(at, (toward, order.leverage))),
            None => drop(engagement.entries.remove(&at)),
        });
        for level in Level::of(&plan.deployment, &plan.account, Some(&plan.agent)) {
            self.tallies.entry(level).or_default().wait(at, &order.terms.asset, planned == Some(true));
        }
    }

    /// The first order of an entry leg was written down.
    pub(super) fn entered(&mut self, execution: ExecutionNumber, plan: &LegPlan, at: Timestamp) {
        let Some(order) = &plan.order else { return };
        for level in Level::of(&plan.deployment, &plan.account, Some(&plan.agent)) {
            self.tallies.entry(level).or_default().entered(&order.terms.asset, execution, at);
        }
    }

    /// A position is what it is now.
    pub(super) fn hold(&mut self, key: &PositionKey, agent: Option<&AgentId>, position: Option<&Position>) {
        let held = position.map(|position| {
            let toward = if position.quantity().is_long() { Direction::Long } else { Direction::Short };
            (position.terms().asset.clone(), (toward, position.leverage()))
        });
        let known = self.engagement(key).map(|engagement| (engagement.agent.clone(), engagement.asset.clone()));
        let Some((agent, asset)) = known.or_else(|| Some((agent?.clone(), held.as_ref()?.0.clone()))) else { return };
        self.change(key, &agent, &asset, |engagement| engagement.held = held.map(|(_, held)| held));
    }

    /// A trade has closed at a loss.
    pub(super) fn lost(&mut self, key: &PositionKey, agent: Option<&AgentId>, asset: &Asset, at: Timestamp) {
        for level in Level::of(&key.deployment, &key.account, agent) {
            self.tallies.entry(level).or_default().lost(asset, at);
        }
    }

    fn change(&mut self, key: &PositionKey, agent: &AgentId, asset: &Asset, change: impl FnOnce(&mut Engagement)) {
        let place = (key.account.clone(), key.symbol.clone());
        let there = self.places.entry(place.clone()).or_default();
        let nothing = || Engagement { agent: agent.clone(), asset: asset.clone(), held: None, entries: BTreeMap::new() };
        let engagement = there.entry(key.deployment.clone()).or_insert_with(nothing);
        let before = engagement.sides();
        change(engagement);
        let after = engagement.sides();
        let (agent, asset) = (engagement.agent.clone(), engagement.asset.clone());
        if !after.any() {
            there.remove(&key.deployment);
            if there.is_empty() {
                self.places.remove(&place);
            }
        }
        if before != after {
            for level in Level::of(&key.deployment, &key.account, Some(&agent)) {
                self.tallies.entry(level).or_default().turn(key, &asset, before, after);
            }
        }
    }
}
