//! Whether there is money for it.

use super::{Candidate, Gate, View, overflow};
use crate::ledger::CapitalKey;
use crate::model::execution::Reason;

/// Refuses what the deployment's allocation, or the account as a whole, cannot carry: `insufficient_capital`. What is reserved for orders on
/// their way or unknown, and the margin of what is held, is not free.
#[derive(Debug)]
pub(super) struct AvailableCapital;

impl Gate for AvailableCapital {
    fn name(&self) -> &'static str {
        "available_capital"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<(), Reason> {
        let (account, settle) = (candidate.account(), &candidate.terms.settle);
        let ledger = view.book.ledger();
        let needed = candidate.reserve.capital;
        let funded = ledger.means(account, settle).map_err(overflow)?;
        let whole = CapitalKey { account: account.clone(), deployment: None, currency: settle.clone() };
        let mut pots = vec![(format!("account {account}"), funded, whole.clone())];
        if let Some(allocation) = candidate.share.allocation {
            let key = CapitalKey { deployment: Some(candidate.deployment.clone()), ..whole };
            pots.push((format!("deployment {} on {account}", candidate.deployment), allocation.amount(), key));
        }
        for (whose, funds, key) in pots {
            let available = ledger.capital(&key).available(funds).map_err(overflow)?;
            if available < needed.amount() {
                return Err(Reason::new(
                    "insufficient_capital",
                    format!("the order needs {needed} {settle} (margin and fee at the worst price), {whose} has {available} free"),
                ));
            }
        }
        Ok(())
    }
}
