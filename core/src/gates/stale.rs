//! How old the price is.

use std::time::Duration;

use super::{Candidate, Gate, Verdict, View};
use crate::model::execution::Reason;
use crate::model::time::format_duration;

/// Refuses entries that would be decided by a price that came in longer ago than the limit `max_price_age`: `stale_price`. Counted by the
/// monotonic clock from when it was heard, whatever instant the venue puts on it. Where a venue tells of prices only as they change, a quiet
/// market counts as stale.
#[derive(Debug)]
pub(super) struct StalePrice;

impl Gate for StalePrice {
    fn name(&self) -> &'static str {
        "stale_price"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        let age = Duration::from_micros(view.now.monotonic.saturating_sub(candidate.quote.heard_at));
        for holder in view.holders {
            let Some(limit) = holder.limits.max_price_age.filter(|limit| age > *limit) else { continue };
            let (age, limit, symbol) = (super::shown_up(age), format_duration(limit), &candidate.instrument.symbol);
            let words = format!("the price of {symbol} came in {age} ago, the limit of {holder} is {limit}");
            return Err(Reason::new(self.name(), words));
        }
        Ok(Verdict::Pass)
    }
}
