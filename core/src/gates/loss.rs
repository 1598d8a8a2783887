//! Losses that were larger than they may be, losses that are not known, and currencies that are not worth what is stated.

use super::{Candidate, Gate, Verdict, View};
use crate::executor::{Book, LegRecord, scopes_of};
use crate::journal::LimitBroken;
use crate::model::execution::Reason;

/// Refuses entries while a limit on losses is broken, and while a loss that is limited is not known: `max_daily_loss`, `max_drawdown`,
/// `loss_unknown`. Whether one is broken is weighed in the same step, before the first leg is looked at.
#[derive(Debug)]
pub(super) struct LossLimit;

impl Gate for LossLimit {
    fn name(&self) -> &'static str {
        "loss_limit"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        if view.setup.losses.is_empty() {
            return Ok(Verdict::Pass);
        }
        let scopes = || scopes_of(candidate.deployment, Some(candidate.agent), candidate.account());
        if let Some(broken) = view.book.broken_in(scopes()) {
            return Err(refusal(broken));
        }
        for scope in scopes().filter(|scope| view.setup.losses.get(scope).is_some_and(|limits| !limits.is_empty())) {
            let standing = view.losses.get(&scope);
            let unknown = standing.map_or(Some("it was not weighed yet"), |standing| standing.unknown.as_deref());
            if let Some(words) = unknown {
                let words = format!("the loss of {scope} is limited and not known: {words}; no entry until it is");
                return Err(Reason::new("loss_unknown", words));
            }
        }
        Ok(Verdict::Pass)
    }
}

fn refusal(broken: &LimitBroken) -> Reason {
    Reason::new(broken.kind.code(), broken.words())
}

/// Whether an entry that was let through may still leave.
pub(super) fn may_leave(book: &Book, leg: &LegRecord) -> Result<(), Reason> {
    book.broken_for(leg).map_or(Ok(()), |broken| Err(refusal(broken)))
}

/// Refuses entries in what settles in a currency that is not worth what the configuration states: `depeg`.
#[derive(Debug)]
pub(super) struct Depeg;

impl Gate for Depeg {
    fn name(&self) -> &'static str {
        "depeg"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        let settle = &candidate.terms.settle;
        match view.book.is_depegged(settle).filter(|_| view.setup.depeg.contains_key(settle)) {
            None => Ok(Verdict::Pass),
            Some(depegged) => {
                let words =
                    format!("{} settles in {settle}: {} (since {})", candidate.instrument.symbol, depegged.why.reason, depegged.since);
                Err(Reason::new("depeg", words))
            }
        }
    }
}
