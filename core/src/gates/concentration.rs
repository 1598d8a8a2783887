//! How much of everything may be in one asset.

use super::equity::{equity, part};
use super::holder::at_stake;
use super::{Candidate, Gate, Most, Verdict, View, excess, overflow};
use crate::ledger::Scope;
use crate::model::execution::Reason;

/// Refuses or shrinks entries that would put more at stake in one asset than a fraction of the equity: `max_concentration`. Leverage counts: it is
/// what the positions are worth that is compared, not their margin. O(instruments and accounts in the scope).
#[derive(Debug)]
pub(super) struct Concentration;

impl Gate for Concentration {
    fn name(&self) -> &'static str {
        "max_concentration"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        let asset = &candidate.terms.asset;
        for holder in view.holders {
            let Some(fraction) = holder.limits.max_concentration else { continue };
            let rate = candidate.rate(view)?;
            let asked = candidate.reserve.notional.times(rate).map_err(overflow)?;
            let there = at_stake(view, &Scope::of_asset(holder.level.clone(), asset.clone()))?;
            let equity = equity(&holder.level, candidate, view)?;
            let limit = part(equity, fraction)?;
            if there.plus(asked).map_err(overflow)? > limit {
                let words = format!(
                    "{there} is at stake in {asset} and the order may cost {asked}; the limit of {holder} is {limit}, {fraction} of its equity {equity}"
                );
                let room = limit.minus(there.min(limit)).map_err(overflow)?;
                return excess(holder, Reason::new(self.name(), words), || Most::Quantity(candidate.within(room, rate)));
            }
        }
        Ok(Verdict::Pass)
    }
}
