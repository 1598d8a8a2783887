//! Circuit breakers: no entry at a venue that is unwell, nor anywhere while the engine as a whole is.

use super::{Candidate, Gate, Verdict, View};
use crate::executor::{Book, Breaker, LegRecord};
use crate::journal::BreakerState;
use crate::model::execution::Reason;
use crate::model::ids::VenueId;

/// Refuses entries while a breaker is open: `breaker`.
#[derive(Debug)]
pub(super) struct CircuitBreaker;

impl Gate for CircuitBreaker {
    fn name(&self) -> &'static str {
        "breaker"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        if let Some(breaker) = view.book.breaker(Some(candidate.venue)) {
            return Err(refusal(Some(candidate.venue), breaker));
        }
        match view.book.breaker(None) {
            // Standing in for an account is what is left in an emergency.
            Some(breaker) if !candidate.stands_in => Err(refusal(None, breaker)),
            _ => Ok(Verdict::Pass),
        }
    }
}

fn refusal(venue: Option<&VenueId>, breaker: &Breaker) -> Reason {
    let whose = venue.map_or("the engine", VenueId::as_str);
    let (state, since, why) = (breaker.state, breaker.since, &breaker.why);
    let state = if state == BreakerState::Emergency { "in emergency" } else { "degraded" };
    Reason::new("breaker", format!("{whose} is {state} since {since}: {}: {}", why.code, why.reason))
}

/// Whether an entry that was let through may still leave. In an emergency it may not; while merely degraded it may: it was decided before, its
/// price is admitted and its capital held, and stopping it halfway would tear its group apart.
pub(super) fn may_leave(book: &Book, leg: &LegRecord) -> Result<(), Reason> {
    let emergency = |venue: Option<&VenueId>| match book.breaker(venue) {
        Some(breaker) if breaker.state == BreakerState::Emergency => Err(refusal(venue, breaker)),
        _ => Ok(()),
    };
    emergency(Some(&leg.plan.venue))?;
    if leg.plan.stands_in.is_some() { Ok(()) } else { emergency(None) }
}
