//! When entries may be opened.

use super::{Candidate, Gate, Verdict, View};
use crate::executor::TradingHours;
use crate::model::execution::Reason;

/// Refuses entries outside the hours of the week that are stated, by our clock in UTC: `trading_hours`. Exits and closes are not held up.
#[derive(Debug)]
pub(super) struct Hours;

impl Gate for Hours {
    fn name(&self) -> &'static str {
        "trading_hours"
    }

    fn check(&self, _: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        for holder in view.holders {
            let Some(hours) = holder.limits.trading_hours.filter(|hours| !hours.hold(view.now.wall)) else { continue };
            let now = TradingHours::moment(view.now.wall);
            return Err(Reason::new(self.name(), format!("it is {now} UTC, {holder} opens positions only at {hours}")));
        }
        Ok(Verdict::Pass)
    }
}
