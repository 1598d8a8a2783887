//! The leverage of an entry.

use super::{Candidate, Gate, Most, Verdict, View, excess};
use crate::model::execution::Reason;
use crate::model::number::Leverage;

/// Refuses or shrinks leverage above the limit, or above what the instrument allows: `max_leverage`. The most that the venue takes is a limit of
/// every deployment. What is shrunk becomes a whole number, since venues take no other.
#[derive(Debug)]
pub(super) struct MaxLeverage;

impl Gate for MaxLeverage {
    fn name(&self) -> &'static str {
        "max_leverage"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        let (asked, most) = (candidate.leverage, candidate.instrument.max_leverage);
        if let Some(holder) = view.holders.first().filter(|_| asked > most) {
            let words = format!("leverage {asked} is above the {most} that {} allows", candidate.instrument.symbol);
            return excess(holder, Reason::new(self.name(), words), || Most::Leverage(whole(most)));
        }
        for holder in view.holders {
            if let Some(limit) = holder.limits.max_leverage.filter(|limit| asked > *limit) {
                let words = format!("leverage {asked} is above the limit of {holder}, {limit}");
                return excess(holder, Reason::new(self.name(), words), || Most::Leverage(whole(limit)));
            }
        }
        Ok(Verdict::Pass)
    }
}

fn whole(leverage: Leverage) -> Leverage {
    Leverage::new(leverage.decimal().floor()).unwrap_or(Leverage::ONE)
}

/// Refuses leverage other than that of a position or an entry on the same instrument of the account, whosever it is: `leverage_conflict`. It
/// belongs to the account: the first holder fixes it, and it changes only once all are flat. Where the deployment shrinks, an entry that asks
/// for more takes the leverage that is there; more than it asked for it never gets. O(deployments on the instrument + log n).
#[derive(Debug)]
pub(super) struct LeverageConflict;

impl Gate for LeverageConflict {
    fn name(&self) -> &'static str {
        "leverage_conflict"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        let (asked, account, symbol) = (candidate.leverage, candidate.account(), &candidate.instrument.symbol);
        for (deployment, engagement) in view.book.standing().engaged_on(account, symbol) {
            let Some(there) = engagement.leverage().filter(|there| *there != asked) else { continue };
            let words = if deployment == candidate.deployment {
                format!("the position has leverage {there}, the signal asks for {asked}; it can change only when flat")
            } else {
                format!(
                    "deployment {deployment} has leverage {there} in {symbol} on {account}, the signal asks for {asked}; it can change only when all are flat"
                )
            };
            let reason = Reason::new(self.name(), words);
            return match view.holders.first().filter(|_| there < asked) {
                Some(holder) => excess(holder, reason, || Most::Leverage(there)),
                None => Err(reason),
            };
        }
        Ok(Verdict::Pass)
    }
}
