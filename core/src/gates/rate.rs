//! How many entries in how much time.

use super::{Candidate, Gate, Verdict, View};
use crate::model::execution::Reason;
use crate::model::time::{Timestamp, format_duration};

/// Refuses entries beyond so many in a period that moves with the present: `max_order_rate`. Each leg counts from when its first order was
/// written down, so that it counts after a restart too, and at once while it waits for that. O(log n).
#[derive(Debug)]
pub(super) struct OrderRate;

impl Gate for OrderRate {
    fn name(&self) -> &'static str {
        "max_order_rate"
    }

    fn check(&self, _: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        for holder in view.holders {
            let Some(rate) = holder.limits.max_order_rate else { continue };
            let Some(tally) = holder.tally(view) else { continue };
            let length = i64::try_from(rate.per.as_micros()).unwrap_or(i64::MAX);
            let since = Timestamp::from_micros(view.now.wall.as_micros().saturating_sub(length));
            let count = tally.entries_after(since);
            if u32::try_from(count).unwrap_or(u32::MAX) >= rate.count {
                let (limit, per) = (rate.count, format_duration(rate.per));
                let words = format!("{holder} has {count} entries in the last {per}, and may have {limit}");
                return Err(Reason::new(self.name(), words));
            }
        }
        Ok(Verdict::Pass)
    }
}
