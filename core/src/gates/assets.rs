//! Which assets an agent may trade.

use super::{Candidate, Gate, Verdict, View};
use crate::model::execution::Reason;

/// Refuses assets that are not on the agent's list: `asset_not_allowed`.
#[derive(Debug)]
pub(super) struct AllowedAssets;

impl Gate for AllowedAssets {
    fn name(&self) -> &'static str {
        "allowed_assets"
    }

    fn check(&self, candidate: &Candidate<'_>, _: View<'_>) -> Result<Verdict, Reason> {
        match &candidate.agent_setup.allowed_assets {
            Some(allowed) if !allowed.contains(&candidate.terms.asset) => {
                let list = allowed.iter().map(|asset| asset.as_str()).collect::<Vec<_>>().join(", ");
                Err(Reason::new(
                    "asset_not_allowed",
                    format!("{} may not trade {}; it may trade {list}", candidate.agent, candidate.terms.asset),
                ))
            }
            _ => Ok(Verdict::Pass),
        }
    }
}
