//! Whose limits an entry must keep.

use std::fmt;

use super::{Candidate, View};
use crate::executor::{Limits, Tally};
use crate::ledger::Level;
use crate::model::execution::Reason;
use crate::model::number::Notional;

/// A deployment, an agent with all its deployments, an account, or everything: with its limits.
#[derive(Debug, Clone)]
pub struct Holder<'a> {
    /// Who.
    pub level: Level,
    /// What it must keep.
    pub limits: &'a Limits,
}

impl<'a> Holder<'a> {
    /// All of a candidate's, the narrowest first.
    pub(super) fn of(candidate: &Candidate<'a>, view: View<'a>) -> Vec<Self> {
        let account = view.setup.accounts.get(candidate.account());
        let mut all = vec![
            Self { level: Level::Deployment(candidate.deployment.clone()), limits: &candidate.deployment_setup.limits },
            Self { level: Level::Agent(candidate.agent.clone()), limits: &candidate.agent_setup.limits },
        ];
        all.extend(account.map(|account| Self { level: Level::Account(candidate.account().clone()), limits: &account.limits }));
        all.push(Self { level: Level::Global, limits: &view.setup.limits });
        all
    }

    /// What counts for it by number and by time.
    pub(super) fn tally<'v>(&self, view: View<'v>) -> Option<&'v Tally> {
        view.book.standing().tally(&self.level)
    }
}

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.level {
            Level::Global => f.write_str("everything"),
            Level::Account(id) => write!(f, "account {id}"),
            Level::Deployment(id) => write!(f, "deployment {id}"),
            Level::Agent(id) => write!(f, "agent {id}"),
        }
    }
}

/// What is at stake within a scope, in the currency of the limits.
pub(super) fn at_stake(view: View<'_>, scope: &crate::ledger::Scope) -> Result<Notional, Reason> {
    let Some(exposure) = view.book.ledger().exposure(scope) else { return Ok(Notional::ZERO) };
    exposure.value(|venue, symbol| view.mark(venue, symbol), |asset| view.setup.rates.get(asset).copied()).map_err(super::overflow)
}
