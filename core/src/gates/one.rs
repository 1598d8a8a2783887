//! One position in an asset.

use super::{Candidate, Gate, Verdict, View};
use crate::journal::LegRef;
use crate::ledger::PositionKey;
use crate::model::execution::Reason;

/// Refuses an entry in an asset in which another signal holds a position or is entering one: `one_position_per_asset`. The legs of one signal
/// on several accounts do not stand in each other's way. O(legs of the signal + log n).
#[derive(Debug)]
pub(super) struct OnePosition;

impl Gate for OnePosition {
    fn name(&self) -> &'static str {
        "one_position_per_asset"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        if !candidate.opens() {
            return Ok(Verdict::Pass);
        }
        let asset = &candidate.terms.asset;
        for holder in view.holders.iter().filter(|holder| holder.limits.one_position_per_asset) {
            let keys = holder.tally(view).into_iter().flat_map(|tally| tally.positions_in(asset));
            for key in keys {
                let PositionKey { deployment, account, symbol } = key;
                let place = || format!("{deployment} on {account}; {holder} has one position in {asset} at most");
                let position = view.book.ledger().position(key);
                let held = position.is_some_and(|position| position.lots().any(|lot| lot.signal != candidate.signal.id));
                if let Some(position) = position.filter(|_| held) {
                    return Err(Reason::new(self.name(), format!("{} {symbol} is held by {}", position.quantity(), place())));
                }
                let engagement = view.book.standing().engagement(key);
                let mut entries = engagement.into_iter().flat_map(|engagement| engagement.entries());
                if let Some(LegRef { execution, .. }) = entries.find(|at| at.execution != candidate.execution) {
                    let id = view.book.execution(execution).map(|record| record.admission.command.id().to_string()).unwrap_or_default();
                    return Err(Reason::new(self.name(), format!("{id} is entering {symbol} for {}", place())));
                }
            }
        }
        Ok(Verdict::Pass)
    }
}
