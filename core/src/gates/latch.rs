//! The kill switch, halts, and what an unknown order blocks.

use super::{Candidate, Gate, Verdict, View};
use crate::executor::Book;
use crate::model::execution::Reason;
use crate::model::ids::{AccountId, AgentId, Asset, VenueId};

/// Refuses entries while a latch holds: `killed`, `halted`, `unresolved`.
#[derive(Debug)]
pub(super) struct Latch;

impl Gate for Latch {
    fn name(&self) -> &'static str {
        "latch"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        check(view.book, candidate.agent, candidate.account(), candidate.venue, Some(&candidate.terms.asset))?;
        let symbol = &candidate.instrument.symbol;
        match view.book.unknown_leg(candidate.agent, candidate.account(), symbol) {
            None => Ok(Verdict::Pass),
            Some(at) => {
                let id = view.book.execution(at.execution).map(|record| record.admission.command.id().to_string()).unwrap_or_default();
                Err(Reason::new(
                    "unresolved",
                    format!(
                        "an order of {id} on {symbol} of {} may have taken effect; no entry there until that is known",
                        candidate.account()
                    ),
                ))
            }
        }
    }
}

/// The latch that holds an entry of this agent, account, venue and asset.
pub(super) fn check(book: &Book, agent: &AgentId, account: &AccountId, venue: &VenueId, asset: Option<&Asset>) -> Result<(), Reason> {
    if let Some((scope, kill)) = book.kills().find(|(scope, _)| scope.holds(Some(agent), account, venue, asset)) {
        return Err(Reason::new("killed", format!("the kill switch is on for {scope}: {}", kill.reason)));
    }
    match book.halt(account) {
        Some(why) => Err(Reason::new("halted", format!("entries on {account} are halted ({}): {}", why.code, why.reason))),
        None => Ok(()),
    }
}
