//! Loss limits: what the configuration says of them, and what the fold keeps of baselines, peaks and broken limits.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::book::{Book, LegRecord};
use super::setup::Setup;
use crate::journal::{Baseline, KillScope, LimitBroken, LossKind, LossScope, OnBreach};
use crate::ledger::{PositionKey, pairs};
use crate::model::execution::Reason;
use crate::model::ids::{AccountId, AgentId, Asset, DeploymentId};
use crate::model::number::{Amount, Fraction, Notional, NumberError, exact};
use crate::model::time::Timestamp;

/// The largest loss that may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossBound {
    /// In the currency of the limits.
    Amount(Notional),
    /// Of the equity that the loss is counted from; deposits and withdrawals since then move what it is a fraction of.
    Fraction(Fraction),
}

impl LossBound {
    /// Whether nothing may be lost.
    #[must_use]
    pub fn is_zero(self) -> bool {
        match self {
            Self::Amount(most) => most.is_zero(),
            Self::Fraction(part) => part.is_zero(),
        }
    }

    /// The amount that may be lost, from an equity of `base`; `None` when it has more digits than can be kept exactly.
    #[must_use]
    pub fn of(self, base: Amount) -> Option<Amount> {
        match self {
            Self::Amount(most) => Some(most.amount()),
            // Of nothing, nothing may be lost.
            Self::Fraction(_) if base < Amount::ZERO => Some(Amount::ZERO),
            Self::Fraction(part) => exact::mul(base.decimal(), part.decimal()).and_then(|most| Amount::new(most).ok()),
        }
    }
}

impl FromStr for LossBound {
    type Err = NumberError;

    /// Reads `500`, an amount, or `5%`, a fraction.
    fn from_str(text: &str) -> Result<Self, NumberError> {
        let Some(percent) = text.strip_suffix('%') else { return Ok(Self::Amount(text.parse()?)) };
        let percent: Notional = percent.trim_end().parse()?;
        let hundredth = rust_decimal::Decimal::new(1, 2);
        let part = exact::mul(percent.decimal(), hundredth).ok_or(NumberError::Overflow { operation: "a percentage" })?;
        Ok(Self::Fraction(Fraction::new(part)?))
    }
}

impl fmt::Display for LossBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amount(most) => write!(f, "{most}"),
            Self::Fraction(part) => match exact::mul(part.decimal(), rust_decimal::Decimal::ONE_HUNDRED) {
                Some(percent) => write!(f, "{percent}%"),
                None => write!(f, "a fraction of {part}"),
            },
        }
    }
}

/// The losses that may be, and what follows beyond them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LossLimits {
    /// Since the UTC day began: realized + unrealized − fees ± funding. Deposits and withdrawals are no part of it.
    pub max_daily_loss: Option<LossBound>,
    /// Since the best result so far.
    pub max_drawdown: Option<LossBound>,
    /// What follows.
    pub on_breach: OnBreach,
}

impl LossLimits {
    /// Whether nothing is limited.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.max_daily_loss.is_none() && self.max_drawdown.is_none()
    }

    /// The limits there are.
    pub fn bounds(&self) -> impl Iterator<Item = (LossKind, LossBound)> {
        let all = [(LossKind::DailyLoss, self.max_daily_loss), (LossKind::Drawdown, self.max_drawdown)];
        all.into_iter().filter_map(|(kind, bound)| Some((kind, bound?)))
    }
}

/// Losses of one scope, as the journal tells them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LossRecord {
    /// From where today's loss counts; absent before it was ever taken, and once a person has resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// The best result so far, as last written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<Amount>,
    /// The limits that are broken.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub broken: BTreeMap<LossKind, LimitBroken>,
}

impl LossRecord {
    fn lift(&mut self, kind: LossKind) {
        if self.broken.remove(&kind).is_some() {
            // What was lost is accepted: it counts anew from what there is.
            match kind {
                LossKind::DailyLoss => self.baseline = None,
                LossKind::Drawdown => self.peak = None,
            }
        }
    }
}

/// A currency that is not worth what the configuration states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depegged {
    /// What was seen.
    pub why: Reason,
    /// Since when.
    pub since: Timestamp,
}

/// Losses and currencies, as the journal tells them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Losses {
    #[serde(with = "pairs", default)]
    records: BTreeMap<LossScope, LossRecord>,
    #[serde(default)]
    depegged: BTreeMap<Asset, Depegged>,
}

impl Losses {
    pub(super) fn begin_day(&mut self, baseline: &Baseline) {
        let record = self.records.entry(baseline.scope.clone()).or_default();
        record.broken.remove(&LossKind::DailyLoss);
        record.baseline = Some(baseline.clone());
    }

    pub(super) fn peaked(&mut self, scope: &LossScope, result: Amount) {
        self.records.entry(scope.clone()).or_default().peak = Some(result);
    }

    pub(super) fn broke(&mut self, broken: &LimitBroken) {
        self.records.entry(broken.scope.clone()).or_default().broken.insert(broken.kind, broken.clone());
    }

    pub(super) fn lift(&mut self, scope: &LossScope, kind: LossKind) {
        if let Some(record) = self.records.get_mut(scope) {
            record.lift(kind);
        }
    }

    /// A person resumes: what is broken within the scope is lifted.
    pub(super) fn resume(&mut self, scope: &KillScope, agents: &BTreeMap<DeploymentId, AgentId>) {
        for (_, record) in self.records.iter_mut().filter(|(of, _)| is_lifted_with(of, scope, agents)) {
            [LossKind::DailyLoss, LossKind::Drawdown].into_iter().for_each(|kind| record.lift(kind));
        }
    }

    pub(super) fn depeg(&mut self, asset: &Asset, why: Option<&Reason>, since: Timestamp) {
        match why {
            Some(why) => drop(self.depegged.insert(asset.clone(), Depegged { why: why.clone(), since })),
            None => drop(self.depegged.remove(asset)),
        }
    }
}

/// Whether resuming `by` lifts what is broken of `of`: an agent's deployments go with it.
fn is_lifted_with(of: &LossScope, by: &KillScope, agents: &BTreeMap<DeploymentId, AgentId>) -> bool {
    match (of, by) {
        (LossScope::Global, KillScope::All) => true,
        (LossScope::Account(of), KillScope::Account(by)) => of == by,
        (LossScope::Agent(of), KillScope::Agent(by)) => of == by,
        (LossScope::Deployment(of), KillScope::Agent(by)) => agents.get(of) == Some(by),
        _ => false,
    }
}

/// The scopes in which something of a deployment on an account counts, the narrowest first.
pub(crate) fn scopes_of<'a>(
    deployment: &'a DeploymentId,
    agent: Option<&'a AgentId>,
    account: &'a AccountId,
) -> impl Iterator<Item = LossScope> {
    let agent = agent.cloned().map(LossScope::Agent);
    let narrow = [LossScope::Deployment(deployment.clone()), LossScope::Account(account.clone()), LossScope::Global];
    agent.into_iter().chain(narrow)
}

impl Book {
    /// What is known of a scope's losses.
    #[must_use]
    pub fn loss(&self, scope: &LossScope) -> Option<&LossRecord> {
        self.losses().records.get(scope)
    }

    /// Every limit on losses that is broken.
    pub fn broken_limits(&self) -> impl Iterator<Item = &LimitBroken> {
        self.losses().records.values().flat_map(|record| record.broken.values())
    }

    /// A broken limit of one of these scopes.
    pub(crate) fn broken_in(&self, mut scopes: impl Iterator<Item = LossScope>) -> Option<&LimitBroken> {
        scopes.find_map(|scope| self.loss(&scope)?.broken.values().next())
    }

    /// The broken limit that holds entries of a leg.
    pub(crate) fn broken_for(&self, leg: &LegRecord) -> Option<&LimitBroken> {
        if self.losses().records.is_empty() {
            return None;
        }
        self.broken_in(scopes_of(&leg.plan.deployment, Some(&leg.plan.agent), &leg.plan.account))
    }

    /// The broken limit that wants what a deployment holds on an account closed, and what rests canceled.
    pub(super) fn flattens(&self, deployment: &DeploymentId, agent: Option<&AgentId>, account: &AccountId) -> Option<&LimitBroken> {
        if !self.any_flattens() {
            return None;
        }
        let flattens = |scope: LossScope| self.loss(&scope)?.broken.values().find(|broken| broken.action == OnBreach::Flatten);
        scopes_of(deployment, agent, account).find_map(flattens)
    }

    pub(super) fn any_flattens(&self) -> bool {
        self.broken_limits().any(|broken| broken.action == OnBreach::Flatten)
    }

    /// Whether resuming a scope of the kill switch would lift a broken limit on losses.
    #[must_use]
    pub fn is_broken_within(&self, scope: &KillScope) -> bool {
        self.broken_limits().any(|broken| is_lifted_with(&broken.scope, scope, self.known_agents()))
    }

    /// Currencies that are not worth what the configuration states.
    pub fn depegged(&self) -> impl Iterator<Item = (&Asset, &Depegged)> {
        self.losses().depegged.iter()
    }

    /// Whether a currency is not worth what the configuration states, and since when.
    #[must_use]
    pub fn is_depegged(&self, asset: &Asset) -> Option<&Depegged> {
        self.losses().depegged.get(asset)
    }

    /// Whose a deployment is: by the configuration, else as its legs told.
    pub(super) fn owner_of<'a>(&'a self, setup: &'a Setup, deployment: &DeploymentId) -> Option<&'a AgentId> {
        setup.deployments.get(deployment).map(|setup| &setup.agent).or_else(|| self.agent_of(deployment))
    }

    /// The flattening limit that holds a position.
    pub(super) fn flattened_by(&self, setup: &Setup, key: &PositionKey) -> Option<&LimitBroken> {
        self.flattens(&key.deployment, self.owner_of(setup, &key.deployment), &key.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_an_amount_or_a_percentage() {
        let check = |text: &str, base: &str, expected: &str| {
            let bound: LossBound = text.parse().unwrap();
            assert_eq!(bound.of(base.parse().unwrap()).unwrap().to_string(), expected, "{text} of {base}");
            assert_eq!(bound.to_string().parse::<LossBound>().unwrap(), bound, "{text} reads back");
        };
        check("500", "1000", "500");
        check("5%", "1000", "50");
        check("0.25 %", "1000", "2.5");
        check("100%", "1000", "1000");
        check("5%", "-3", "0");
        for wrong in ["", "%", "-5", "101%", "-1%", "5 percent", "1e3"] {
            assert!(wrong.parse::<LossBound>().is_err(), "{wrong}");
        }
    }
}
