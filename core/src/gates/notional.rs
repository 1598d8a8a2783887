//! How much may be at stake.

use super::holder::at_stake;
use super::{Candidate, Gate, Most, Verdict, View, excess, overflow};
use crate::ledger::Scope;
use crate::model::execution::Reason;
use crate::model::number::Notional;

/// Refuses or shrinks what would exceed a limit on notional, by order, asset and altogether: `max_order_notional`, `max_asset_notional`,
/// `max_notional`. Unknown orders count in full. O(instruments in the scope).
#[derive(Debug)]
pub(super) struct MaxNotional;

impl Gate for MaxNotional {
    fn name(&self) -> &'static str {
        "max_notional"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        let rate = candidate.rate(view)?;
        let asked = candidate.reserve.notional.times(rate).map_err(overflow)?;
        let most = |room: Notional| Most::Quantity(candidate.within(room, rate));
        for holder in view.holders {
            let limits = holder.limits;
            if let Some(limit) = limits.max_order_notional.filter(|limit| asked > *limit) {
                let words = format!("the order may cost {asked}, the limit of {holder} is {limit} an order");
                return excess(holder, Reason::new("max_order_notional", words), || most(limit));
            }
            let asset = Some(candidate.terms.asset.clone());
            for (code, limit, asset) in
                [("max_asset_notional", limits.max_asset_notional, asset), ("max_notional", limits.max_notional, None)]
            {
                let Some(limit) = limit else { continue };
                let of = asset.as_ref().map_or_else(String::new, |asset| format!(" in {asset}"));
                let there = at_stake(view, &Scope { level: holder.level.clone(), asset, direction: None })?;
                if there.plus(asked).map_err(overflow)? > limit {
                    let words = format!("{there} is at stake{of} and the order may cost {asked}; the limit of {holder} is {limit}");
                    let room = limit.minus(there.min(limit)).map_err(overflow)?;
                    return excess(holder, Reason::new(code, words), || most(room));
                }
            }
        }
        Ok(Verdict::Pass)
    }
}
