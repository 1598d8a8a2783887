//! How much may gain and lose together.

use super::holder::at_stake;
use super::{Candidate, Gate, Most, Verdict, View, excess, overflow};
use crate::ledger::Scope;
use crate::model::execution::Reason;
use crate::model::signal::Direction;

/// Refuses an entry that would make one position more in its direction than the limit, or shrinks or refuses one that would put more at stake
/// there: `max_same_direction`, `max_same_direction_notional`. Positions in one direction fall together when markets do. O(instruments in the
/// scope + log n).
#[derive(Debug)]
pub(super) struct SameDirection;

impl Gate for SameDirection {
    fn name(&self) -> &'static str {
        "max_same_direction"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        let direction = candidate.direction();
        let shown = if direction == Direction::Long { "long" } else { "short" };
        for holder in view.holders {
            if let Some(limit) = holder.limits.max_same_direction {
                let open = holder.tally(view).map_or(0, |tally| tally.toward(direction));
                let engagement = view.book.standing().engagement(&candidate.position_key());
                let there = engagement.is_some_and(|engagement| engagement.is_toward(direction));
                if open >= limit && !there {
                    let words = format!("{holder} has {open} {shown} positions, held or being entered, and may have {limit}");
                    return Err(Reason::new(self.name(), words));
                }
            }
            if let Some(limit) = holder.limits.max_same_direction_notional {
                let rate = candidate.rate(view)?;
                let asked = candidate.reserve.notional.times(rate).map_err(overflow)?;
                let there = at_stake(view, &Scope::toward(holder.level.clone(), direction))?;
                if there.plus(asked).map_err(overflow)? > limit {
                    let words = format!("{there} is at stake {shown} and the order may cost {asked}; the limit of {holder} is {limit}");
                    let room = limit.minus(there.min(limit)).map_err(overflow)?;
                    let reason = Reason::new("max_same_direction_notional", words);
                    return excess(holder, reason, || Most::Quantity(candidate.within(room, rate)));
                }
            }
        }
        Ok(Verdict::Pass)
    }
}
