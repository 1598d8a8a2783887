//! How far apart bid and ask are.

use rust_decimal::Decimal;

use super::{Candidate, Gate, Verdict, View, product, rounded_up};
use crate::model::execution::Reason;

/// Refuses entries where bid and ask are further apart than the limit, as a fraction of their middle: `max_spread`.
#[derive(Debug)]
pub(super) struct MaxSpread;

impl Gate for MaxSpread {
    fn name(&self) -> &'static str {
        "max_spread"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        let (bid, ask) = (candidate.quote.bid, candidate.quote.ask);
        for holder in view.holders {
            let Some(limit) = holder.limits.max_spread else { continue };
            // (ask − bid) / ((ask + bid) / 2) > limit, without a division.
            let twice = product(ask.decimal().saturating_sub(bid.decimal()), Decimal::TWO)?;
            let both = ask.decimal().saturating_add(bid.decimal());
            if twice > product(limit.decimal(), both)? {
                let spread = twice.checked_div(both).map(rounded_up).unwrap_or(twice);
                let symbol = &candidate.instrument.symbol;
                let words = format!("{symbol} is at {bid} to {ask}, a spread of {spread}; the limit of {holder} is {limit}");
                return Err(Reason::new(self.name(), words));
            }
        }
        Ok(Verdict::Pass)
    }
}
