//! What is counted during a run: trades that were closed again, refusals, and how far equity fell from its best. In constant memory.

use std::collections::{BTreeMap, BTreeSet};

use omnivenue_core::engine::Kernel;
use omnivenue_core::journal::{Command, ExecutionNumber};
use omnivenue_core::ledger::{CapitalKey, PositionKey};
use omnivenue_core::model::execution::EquityReport;
use omnivenue_core::model::ids::{AgentId, Asset, DeploymentId};
use omnivenue_core::model::number::{Amount, Factor};

use super::report::Drawdown;
use super::world::Happened;

/// Executions whose end was counted: older ones change no more.
const COUNTED: usize = 4_096;

/// How many positions were closed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Trades {
    pub(super) closed: u64,
    pub(super) won: u64,
    pub(super) lost: u64,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) trades: BTreeMap<DeploymentId, Trades>,
    /// Entry legs that came to nothing, by agent and code.
    pub(super) refused: BTreeMap<AgentId, BTreeMap<String, u64>>,
    pub(super) drawdowns: BTreeMap<(AgentId, Asset), Path>,
    pub(super) combined: BTreeMap<Asset, Path>,
    /// Open positions, with what the deployment had booked before each was opened.
    open: BTreeMap<PositionKey, Amount>,
    /// What each deployment had booked when it was last looked at.
    booked: BTreeMap<(DeploymentId, omnivenue_core::model::ids::AccountId), Amount>,
    counted: BTreeSet<ExecutionNumber>,
}

/// How equity went.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Path {
    best: Option<Amount>,
    deepest: Drawdown,
}

impl Path {
    fn take(&mut self, equity: Amount) {
        let best = self.best.map_or(equity, |best| best.max(equity));
        self.best = Some(best);
        let Ok(fallen) = best.minus(equity) else { return };
        if fallen > self.deepest.amount {
            let share = fallen.decimal().checked_div(best.decimal()).filter(|_| best > Amount::ZERO);
            self.deepest = Drawdown { amount: fallen, fraction: share.and_then(|share| Factor::new(share.round_dp(6)).ok()) };
        }
    }

    pub(super) const fn deepest(&self) -> Drawdown {
        self.deepest
    }
}

/// What a line has booked: realized, less fees, with funding.
pub(super) fn booked(line: &EquityReport) -> Option<Amount> {
    line.realized_pnl?.minus(line.fees).ok()?.plus(line.funding).ok()
}

/// What a line has gained, open positions included.
pub(super) fn gained(line: &EquityReport) -> Option<Amount> {
    booked(line)?.plus(line.unrealized_pnl?).ok()
}

/// The lines of a ledger by agent and currency: what each has, as far as its capital is known, and what it gained.
pub(super) fn by_agent<'a>(kernel: &'a Kernel, lines: &'a [EquityReport]) -> impl Iterator<Item = (AgentId, &'a EquityReport)> {
    lines.iter().filter_map(|line| {
        let deployment = kernel.setup().deployments.get(line.deployment.as_ref()?)?;
        Some((deployment.agent.clone(), line))
    })
}

/// What a deployment's line starts with: its allocation, or all of the account.
pub(super) fn capital(kernel: &Kernel, line: &EquityReport) -> Option<Amount> {
    line.capital.or_else(|| kernel.state().book().ledger().funds(&line.account, &line.currency))
}

impl Tally {
    pub(super) fn heard(&mut self, kernel: &Kernel, happened: &Happened) {
        for number in &happened.changed {
            self.count(kernel, *number);
        }
        for (agent, _, error) in &happened.refused {
            let code = omnivenue_core::engine::EngineError::from(error.clone()).code();
            *self.refused.entry(agent.clone()).or_default().entry(code.to_owned()).or_default() += 1;
        }
        if !happened.changed.is_empty() {
            self.look(kernel);
        }
    }

    /// Counts the legs of a signal that came to nothing, once it is over.
    fn count(&mut self, kernel: &Kernel, number: ExecutionNumber) {
        let Some(record) = kernel.state().book().execution(number).filter(|record| record.is_finished()) else { return };
        let Command::Signal(signal) = &record.admission.command else { return };
        let old = self.counted.len() >= COUNTED && self.counted.first().is_some_and(|oldest| number < *oldest);
        if old || !self.counted.insert(number) {
            return;
        }
        while self.counted.len() > COUNTED {
            self.counted.pop_first();
        }
        let Some(told) = kernel.told_of(number) else { return };
        for leg in told.legs.iter().filter(|leg| leg.filled_quantity.is_zero()) {
            let code = leg.code.clone().or_else(|| leg.outcome.map(|outcome| outcome.to_string())).unwrap_or_default();
            *self.refused.entry(signal.agent.clone()).or_default().entry(code).or_default() += 1;
        }
    }

    /// Finds positions that were opened or closed since.
    fn look(&mut self, kernel: &Kernel) {
        let ledger = kernel.state().book().ledger();
        let now: BTreeMap<PositionKey, Asset> =
            ledger.positions().map(|(key, position)| (key.clone(), position.terms().settle.clone())).collect();
        let closed: Vec<PositionKey> = self.open.keys().filter(|key| !now.contains_key(*key)).cloned().collect();
        if closed.is_empty() && now.len() == self.open.len() {
            return;
        }
        let lines = kernel.equity();
        let booked_now = |key: &PositionKey| {
            let of = |line: &&EquityReport| line.deployment.as_ref() == Some(&key.deployment) && line.account == key.account;
            lines.iter().filter(of).filter_map(booked).try_fold(Amount::ZERO, Amount::plus).unwrap_or_default()
        };
        for key in closed {
            let Some(before) = self.open.remove(&key) else { continue };
            let after = booked_now(&key);
            let trades = self.trades.entry(key.deployment.clone()).or_default();
            trades.closed += 1;
            trades.won += u64::from(after > before);
            trades.lost += u64::from(after < before);
            self.booked.insert((key.deployment, key.account), after);
        }
        for key in now.into_keys() {
            if !self.open.contains_key(&key) {
                let before = self.booked.get(&(key.deployment.clone(), key.account.clone())).copied().unwrap_or_default();
                self.open.insert(key, before);
            }
        }
    }

    /// Notes what everything is worth now.
    pub(super) fn value(&mut self, kernel: &Kernel) {
        let lines = kernel.equity();
        let mut agents: BTreeMap<(AgentId, Asset), Amount> = BTreeMap::new();
        for (agent, line) in by_agent(kernel, &lines) {
            let Some(worth) = capital(kernel, line).and_then(|capital| capital.plus(gained(line)?).ok()) else { continue };
            let sum = agents.entry((agent, line.currency.clone())).or_default();
            *sum = sum.plus(worth).unwrap_or(*sum);
        }
        for (key, worth) in agents {
            self.drawdowns.entry(key).or_default().take(worth);
        }
        let mut all: BTreeMap<Asset, Amount> = BTreeMap::new();
        for line in lines.iter().filter(|line| line.deployment.is_none()) {
            let Some(worth) = line.equity else { continue };
            let sum = all.entry(line.currency.clone()).or_default();
            *sum = sum.plus(worth).unwrap_or(*sum);
        }
        for (currency, worth) in all {
            self.combined.entry(currency).or_default().take(worth);
        }
    }
}

/// The key of a deployment's money.
pub(super) fn key_of(line: &EquityReport) -> CapitalKey {
    CapitalKey { account: line.account.clone(), deployment: line.deployment.clone(), currency: line.currency.clone() }
}
