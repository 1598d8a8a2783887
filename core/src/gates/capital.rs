//! Whether there is money for it.

use rust_decimal::Decimal;

use super::{Candidate, Gate, Holder, Most, Verdict, View, excess, overflow};
use crate::ledger::{CapitalKey, Level};
use crate::model::execution::Reason;
use crate::model::number::{Amount, Quantity, exact};

/// Refuses or shrinks what the deployment's allocation, or the account as a whole, cannot carry: `insufficient_capital`. What is reserved for
/// orders on their way or unknown, and the margin of what is held, is not free. O(log n).
#[derive(Debug)]
pub(super) struct AvailableCapital;

impl Gate for AvailableCapital {
    fn name(&self) -> &'static str {
        "available_capital"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        let (account, settle) = (candidate.account(), &candidate.terms.settle);
        let ledger = view.book.ledger();
        let needed = candidate.reserve.capital;
        let funded = ledger.means(account, settle).map_err(overflow)?;
        let whole = CapitalKey { account: account.clone(), deployment: None, currency: settle.clone() };
        let holder = |wanted: fn(&Level) -> bool| view.holders.iter().find(|holder| wanted(&holder.level));
        let (deployment, of_account) =
            (holder(|level| matches!(level, Level::Deployment(_))), holder(|level| matches!(level, Level::Account(_))));
        let mut pots = vec![(format!("account {account}"), of_account, funded, whole.clone())];
        if let Some(allocation) = candidate.share.allocation {
            let key = CapitalKey { deployment: Some(candidate.deployment.clone()), ..whole };
            pots.push((format!("deployment {} on {account}", candidate.deployment), deployment, allocation.amount(), key));
        }
        for (whose, holder, funds, key) in pots {
            let available = ledger.capital(&key).available(funds).map_err(overflow)?;
            if available < needed.amount() {
                let words = format!("the order needs {needed} {settle} (margin and fee at the worst price), {whose} has {available} free");
                let reason = Reason::new("insufficient_capital", words);
                return match holder {
                    Some(holder) => self.excess(candidate, holder, reason, available),
                    None => Err(reason),
                };
            }
        }
        Ok(Verdict::Pass)
    }
}

impl AvailableCapital {
    fn excess(&self, candidate: &Candidate<'_>, holder: &Holder<'_>, reason: Reason, available: Amount) -> Result<Verdict, Reason> {
        let (instrument, price) = (candidate.instrument, candidate.reserve_price);
        let lot = || {
            let worth = instrument.worth_at_most(instrument.lot_size, price).ok()?;
            let margin = exact::div_up(worth.decimal(), candidate.leverage.decimal(), super::KEPT)?;
            exact::add(margin, instrument.fee_at_most(instrument.lot_size, price).ok()?.decimal())
        };
        let room = available.decimal().max(Decimal::ZERO);
        excess(holder, reason, || Most::Quantity(lot().map_or(Quantity::ZERO, |lot| instrument.lots(room, lot))))
    }
}
