//! Opposite interests on one netting account.

use super::{Candidate, Gate, Verdict, View, overflow};
use crate::model::execution::Reason;
use crate::model::instrument::Market;

/// Refuses an entry opposite to another deployment's, or a foreign, position or order on the same account and instrument: at the venue the
/// two would cancel out and neither could be reduced; and one to the side of a close that is on its way, since both together would open more
/// than was admitted. Spot accounts hold balances: there a short entry may only sell what is ours.
#[derive(Debug)]
pub(super) struct Interest;

impl Gate for Interest {
    fn name(&self) -> &'static str {
        "interest"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        let (account, symbol) = (candidate.account(), &candidate.instrument.symbol);
        let closing = view.book.closing(account, symbol).and_then(|id| view.book.order(id)).map(|order| &order.prepared().request);
        if let Some(close) = closing.filter(|close| close.side == candidate.side) {
            return Err(Reason::new(
                "closing",
                format!(
                    "a {} order that closes {} {symbol} is on its way; a {} entry would take away what it closes",
                    close.side, close.quantity, candidate.side
                ),
            ));
        }
        let ledger = view.book.ledger();
        let own = ledger.position(&candidate.position_key()).map(|position| position.quantity()).unwrap_or_default();
        if candidate.terms.market == Market::Spot {
            if !candidate.side.is_buy() && candidate.quantity > own.magnitude() {
                return Err(Reason::new(
                    "short_on_spot",
                    format!("{} {symbol} cannot be sold short on spot; {own} is held", candidate.quantity),
                ));
            }
            return Ok(Verdict::Pass);
        }
        let opposite = |quantity: crate::model::number::SignedQuantity| {
            if candidate.side.is_buy() { quantity.is_short() } else { quantity.is_long() }
        };
        let others = ledger.net_quantity(account, symbol).minus(own).map_err(overflow)?;
        let foreign = ledger.external_quantity(account, symbol).unwrap_or_default();
        for (whose, quantity) in [("other agents hold", others), ("positions that are not ours hold", foreign)] {
            if opposite(quantity) {
                return Err(Reason::new(
                    "opposite_interest",
                    format!("{whose} {quantity} {symbol} on {account}; a {} there would cancel it out", candidate.side),
                ));
            }
        }
        let rival = view.book.rival(account, symbol, candidate.side.opposite(), candidate.deployment);
        let rival = rival.and_then(|at| view.book.execution(at.execution)).map(|record| record.admission.command.id());
        match rival {
            Some(id) => Err(Reason::new(
                "opposite_interest",
                format!("{id} has a {} order on {symbol} of {account} on its way", candidate.side.opposite()),
            )),
            None => Ok(Verdict::Pass),
        }
    }
}
