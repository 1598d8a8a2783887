//! How many positions there may be.

use super::{Candidate, Gate, Verdict, View};
use crate::model::execution::Reason;

/// Refuses an entry that would make one position more than the limit: `max_open_positions`. One counts for each deployment, account and
/// instrument on which something is held or may yet be by an entry on its way; more of what is there already makes none. O(log n).
#[derive(Debug)]
pub(super) struct MaxOpenPositions;

impl Gate for MaxOpenPositions {
    fn name(&self) -> &'static str {
        "max_open_positions"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        for holder in view.holders {
            let Some(limit) = holder.limits.max_open_positions else { continue };
            if view.book.standing().engagement(&candidate.position_key()).is_some() {
                return Ok(Verdict::Pass);
            }
            let open = holder.tally(view).map_or(0, |tally| tally.open_positions());
            if open >= limit {
                let words = format!("{holder} has {open} positions, held or being entered, and may have {limit}");
                return Err(Reason::new(self.name(), words));
            }
        }
        Ok(Verdict::Pass)
    }
}
