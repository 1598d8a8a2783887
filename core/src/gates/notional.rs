//! How much may be at stake.

use super::{Candidate, Gate, View, overflow};
use crate::executor::Limits;
use crate::ledger::{Level, Scope};
use crate::model::execution::Reason;
use crate::model::number::Notional;

/// Refuses what would exceed a limit on notional, by order, asset and altogether, for the deployment, the account and everything:
/// `max_order_notional`, `max_asset_notional`, `max_notional`. Unknown orders count in full.
#[derive(Debug)]
pub(super) struct MaxNotional;

impl Gate for MaxNotional {
    fn name(&self) -> &'static str {
        "max_notional"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<(), Reason> {
        let settle = &candidate.terms.settle;
        let rate = view.setup.rates.get(settle).copied().ok_or_else(|| {
            Reason::new("no_rate", format!("the configuration states no rate for {settle} (risk.rates), so that no limit can count it"))
        })?;
        let asked = candidate.reserve.notional.times(rate).map_err(overflow)?;
        let account_limits = view.setup.accounts.get(candidate.account()).map(|account| account.limits).unwrap_or_default();
        let levels: [(String, Level, Limits); 3] = [
            (
                format!("deployment {}", candidate.deployment),
                Level::Deployment(candidate.deployment.clone()),
                candidate.deployment_setup.limits,
            ),
            (format!("account {}", candidate.account()), Level::Account(candidate.account().clone()), account_limits),
            ("everything".to_owned(), Level::Global, view.setup.limits),
        ];
        for (whose, level, limits) in levels {
            if let Some(limit) = limits.max_order_notional.filter(|limit| asked > *limit) {
                return Err(Reason::new(
                    "max_order_notional",
                    format!("the order may cost {asked}, the limit of {whose} is {limit} an order"),
                ));
            }
            let asset = Some(candidate.terms.asset.clone());
            for (code, limit, asset) in
                [("max_asset_notional", limits.max_asset_notional, asset), ("max_notional", limits.max_notional, None)]
            {
                let Some(limit) = limit else { continue };
                let of = asset.as_ref().map_or_else(String::new, |asset| format!(" in {asset}"));
                let at_stake = at_stake(view, Scope { level: level.clone(), asset })?;
                let after = at_stake.plus(asked).map_err(overflow)?;
                if after > limit {
                    return Err(Reason::new(
                        code,
                        format!("{at_stake} is at stake{of} and the order may cost {asked}; the limit of {whose} is {limit}"),
                    ));
                }
            }
        }
        Ok(())
    }
}

fn at_stake(view: View<'_>, scope: Scope) -> Result<Notional, Reason> {
    let Some(exposure) = view.book.ledger().exposure(&scope) else { return Ok(Notional::ZERO) };
    exposure
        .value(|venue, symbol| view.marks.get(&(venue.clone(), symbol.clone())).copied(), |asset| view.setup.rates.get(asset).copied())
        .map_err(overflow)
}
