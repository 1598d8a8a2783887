//! How the groups of legs stand, as the journal tells it: which are undecided, and which legs of failed ones are still held.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::book::{ExecutionRecord, LegRecord};
use crate::journal::{Command, ExecutionNumber, LegRef};
use crate::ledger::{PositionKey, pairs};
use crate::model::close::Lot;
use crate::model::execution::{LegState, Outcome, Reason};
use crate::model::ids::{AccountId, DeploymentId};
use crate::model::signal::LegPolicy;

/// Whether the legs of a group stand, once that is decided: for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupVerdict {
    /// Whether they do. Where they do not, whatever has filled or turns out to have filled is closed again.
    pub stands: bool,
    /// Why.
    pub why: Reason,
}

impl ExecutionRecord {
    /// How many of a deployment's legs must fill in full; `None` where each stands for itself.
    pub(super) fn required(&self, deployment: &DeploymentId) -> Option<usize> {
        let Command::Signal(signal) = &self.admission.command else { return None };
        match signal.leg_policy {
            LegPolicy::BestEffort => None,
            LegPolicy::AllOrNone => Some(self.legs.iter().filter(|leg| leg.plan.deployment == *deployment).count()),
            LegPolicy::AtLeast(legs) => Some(legs),
        }
    }

    /// Why the group of a leg failed, if it did.
    #[must_use]
    pub fn failed_group(&self, leg: &LegRecord) -> Option<&Reason> {
        self.groups.get(&leg.plan.deployment).filter(|verdict| !verdict.stands).map(|verdict| &verdict.why)
    }

    /// Whether a leg has traded although its group failed, and is not known to be flat again.
    #[must_use]
    pub fn is_unwinding(&self, leg: &LegRecord) -> bool {
        let unwound = matches!(&leg.state, LegState::Done { outcome: Outcome::Unwound, .. });
        let traded = leg.orders.iter().any(|order| !order.filled.quantity.is_zero());
        traded && !unwound && self.failed_group(leg).is_some()
    }

    /// What a leg of this execution holds, if it has an instrument.
    pub(super) fn lot_of(&self, leg: &LegRecord) -> Option<Lot> {
        Some(Lot {
            deployment: leg.plan.deployment.clone(),
            account: leg.plan.account.clone(),
            instrument: leg.plan.symbol.clone()?,
            signal: Some(self.admission.command.id().clone()),
        })
    }
}

/// Undecided groups, and the legs of failed ones that are being closed again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Groups {
    undecided: BTreeMap<ExecutionNumber, BTreeSet<DeploymentId>>,
    #[serde(with = "pairs")]
    unwinding: BTreeMap<Lot, LegRef>,
}

impl Groups {
    pub(super) fn undecided(&self) -> impl Iterator<Item = (ExecutionNumber, &DeploymentId)> {
        self.undecided.iter().flat_map(|(number, deployments)| deployments.iter().map(|deployment| (*number, deployment)))
    }

    pub(super) fn undecided_of(&self, execution: ExecutionNumber) -> impl Iterator<Item = &DeploymentId> {
        self.undecided.get(&execution).into_iter().flatten()
    }

    pub(super) fn is_undecided(&self, execution: ExecutionNumber, deployment: &DeploymentId) -> bool {
        self.undecided.get(&execution).is_some_and(|deployments| deployments.contains(deployment))
    }

    /// The legs of failed groups that are held in a position.
    pub(super) fn unwinding(&self, key: &PositionKey) -> impl Iterator<Item = LegRef> {
        let key = key.clone();
        self.unwinding.range(key.whole()..).take_while(move |(lot, _)| PositionKey::of(lot) == key).map(|(_, at)| *at)
    }

    /// The legs of failed groups that are held on an account.
    pub(super) fn unwinding_on(&self, account: &AccountId) -> impl Iterator<Item = LegRef> {
        self.unwinding.iter().filter(move |(lot, _)| lot.account == *account).map(|(_, at)| *at)
    }

    pub(super) fn begin(&mut self, execution: ExecutionNumber, deployment: DeploymentId) {
        self.undecided.entry(execution).or_default().insert(deployment);
    }

    pub(super) fn decide(&mut self, execution: ExecutionNumber, deployment: &DeploymentId) {
        if let Some(deployments) = self.undecided.get_mut(&execution) {
            deployments.remove(deployment);
            if deployments.is_empty() {
                self.undecided.remove(&execution);
            }
        }
    }

    /// Notes whether a leg is one of a failed group that is still held.
    pub(super) fn note(&mut self, lot: Lot, at: LegRef, unwinding: bool) {
        if unwinding {
            self.unwinding.insert(lot, at);
        } else {
            self.unwinding.remove(&lot);
        }
    }
}
