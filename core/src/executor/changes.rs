//! What a person changes while the engine runs: the configuration, and what was attached to a signal. The configuration itself is exchanged by
//! the kernel; here it is only written down, and what was measured by another rule is forgotten.

use super::setup::Setup;
use super::step::{CommandError, Effect, Step, Token};
use crate::journal::{ConfigChange, Event, ExecutionNumber};
use crate::model::ids::SignalId;

/// A part of the configuration that is not changed while the engine runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct Unchangeable {
    /// The key.
    pub key: String,
    /// Why not.
    pub reason: String,
}

impl Setup {
    /// Whether another configuration can take the place of this one while the engine runs: who trades where must be the same.
    ///
    /// # Errors
    /// The first key that differs and may not.
    pub fn can_become(&self, other: &Self) -> Result<(), Unchangeable> {
        let refuse = |key: String, what: &str| {
            Err(Unchangeable { key, reason: format!("{what} while the engine runs: restart it with the new configuration") })
        };
        if let Some(id) = odd(self.accounts.keys(), other.accounts.keys()) {
            return refuse(format!("account[{id}]"), "accounts are neither added nor removed");
        }
        for (id, account) in &self.accounts {
            let after = &other.accounts[id];
            if (&account.venue, account.market) != (&after.venue, after.market) {
                return refuse(format!("account[{id}]"), "an account's venue and market are not changed");
            }
        }
        if let Some(id) = odd(self.agents.keys(), other.agents.keys()) {
            return refuse(format!("agent[{id}]"), "agents are neither added nor removed");
        }
        if let Some(id) = odd(self.deployments.keys(), other.deployments.keys()) {
            return refuse(format!("deployment[{id}]"), "deployments are neither added nor removed");
        }
        for (id, deployment) in &self.deployments {
            let after = &other.deployments[id];
            if deployment.agent != after.agent {
                return refuse(format!("deployment[{id}].agent"), "whose a deployment is, is not changed");
            }
            let seats = |of: &super::setup::DeploymentSetup| -> Vec<_> {
                of.accounts.iter().map(|share| (share.account.clone(), share.fallback.clone())).collect()
            };
            if seats(deployment) != seats(after) {
                return refuse(format!("deployment[{id}].accounts"), "the accounts of a deployment are not changed");
            }
        }
        Ok(())
    }
}

/// The first name that only one of two sorted lists has.
fn odd<'a, K: Ord + std::fmt::Display + 'a>(before: impl Iterator<Item = &'a K>, after: impl Iterator<Item = &'a K>) -> Option<String> {
    let (before, after): (std::collections::BTreeSet<&K>, std::collections::BTreeSet<&K>) = (before.collect(), after.collect());
    before.symmetric_difference(&after).next().map(|name| name.to_string())
}

impl Step<'_> {
    /// The configuration is another one from now on.
    pub(super) fn reconfigured(&mut self, changes: Vec<ConfigChange>, window_changed: bool, token: Token) {
        if window_changed {
            self.live.watch.forget_counts();
        }
        if !changes.is_empty() {
            self.emit(Event::ConfigChanged { changes, at: self.now.wall });
        }
        self.effect(Effect::Done { token });
    }

    /// What was attached to a signal goes, with the entry that says so.
    pub(super) fn erase_metadata(&mut self, execution: ExecutionNumber, signal: SignalId, token: Token) {
        if let Some(reason) = &self.live.journal_failed {
            let error = CommandError::JournalUnwritable(reason.clone());
            return self.effect(Effect::Rejected { token, error });
        }
        self.emit(Event::MetadataErased { execution, signal, at: self.now.wall });
        self.effect(Effect::Done { token });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_that_only_one_has_is_told() {
        let check = |before: &[&str], after: &[&str], expected: Option<&str>| {
            let [before, after] = [before, after].map(|list| list.iter().map(ToString::to_string).collect::<Vec<String>>());
            assert_eq!(odd(before.iter(), after.iter()).as_deref(), expected);
        };
        check(&["a", "b"], &["b", "a"], None);
        check(&["a", "b"], &["a"], Some("b"));
        check(&["a"], &["a", "c"], Some("c"));
        check(&[], &[], None);
    }
}
