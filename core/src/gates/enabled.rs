//! Whether an agent, or a deployment of it, is switched on.

use super::{Candidate, Gate, Verdict, View};
use crate::model::execution::Reason;

/// Refuses entries of an agent or a deployment that is switched off in the configuration: `agent_disabled`, `deployment_disabled`. What is open
/// is looked after as ever.
#[derive(Debug)]
pub(super) struct Enabled;

impl Gate for Enabled {
    fn name(&self) -> &'static str {
        "enabled"
    }

    fn check(&self, candidate: &Candidate<'_>, _: View<'_>) -> Result<Verdict, Reason> {
        let off = |what: String| format!("{what} is switched off in the configuration; what is open is looked after as ever");
        if candidate.agent_setup.disabled {
            return Err(Reason::new("agent_disabled", off(format!("agent {}", candidate.agent))));
        }
        if candidate.agent_setup.disabled_deployments.contains(candidate.deployment) {
            return Err(Reason::new("deployment_disabled", off(format!("deployment {}", candidate.deployment))));
        }
        Ok(Verdict::Pass)
    }
}
