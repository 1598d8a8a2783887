//! How old the signal is.

use super::{Candidate, Gate, Verdict, View};
use crate::model::execution::Reason;
use crate::model::time::format_duration;

/// Refuses signals that were made longer ago than the limit: `max_signal_age`. A signal that does not say when it was made counts from when it
/// came in, so that one which had to wait, for a person or for another leg, is old too.
#[derive(Debug)]
pub(super) struct SignalAge;

impl Gate for SignalAge {
    fn name(&self) -> &'static str {
        "max_signal_age"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        for holder in view.holders {
            let Some(limit) = holder.limits.max_signal_age else { continue };
            let received = || view.book.execution(candidate.execution).map(|record| record.admission.received_at);
            let (what, since) = match candidate.signal.created_at {
                Some(created) => ("was made", created),
                None => ("came in", received().unwrap_or(view.now.wall)),
            };
            let age = view.now.wall.since(since);
            if age > limit {
                let (age, limit) = (super::shown_up(age), format_duration(limit));
                return Err(Reason::new(self.name(), format!("the signal {what} {age} ago, the limit of {holder} is {limit}")));
            }
        }
        Ok(Verdict::Pass)
    }
}
