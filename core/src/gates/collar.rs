//! How far from the market an entry may fill.

use std::time::Duration;

use rust_decimal::Decimal;

use super::{Candidate, Gate, Verdict, View, beyond_one, product, rounded_down, rounded_up};
use crate::model::execution::Reason;
use crate::model::ids::VenueId;
use crate::model::number::{Fraction, Price};

/// Refuses entries that may fill further beyond the middle of bid and ask than the limit, above it for a buy and below it for a sale:
/// `price_collar`. The middle is the venue's own, and that of each other venue which lists the asset and whose price is fresh: a venue whose
/// feed has gone astray is not followed. What is better than the middle passes. O(venues).
#[derive(Debug)]
pub(super) struct PriceCollar;

/// How old another venue's price may be where no limit says so.
const FRESH: Duration = Duration::from_secs(10);

impl Gate for PriceCollar {
    fn name(&self) -> &'static str {
        "price_collar"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        for holder in view.holders {
            let Some(limit) = holder.limits.price_collar else { continue };
            self.compare(candidate, candidate.venue, candidate.quote.middle().decimal(), limit, holder)?;
            let fresh = holder.limits.max_price_age.unwrap_or(FRESH);
            for (venue, setup) in view.setup.venues.iter().filter(|(venue, _)| *venue != candidate.venue) {
                let middle = (|| {
                    let instrument = setup.instrument_of(&candidate.terms.asset, candidate.instrument.market)?;
                    let heard = view.quotes.get(&(venue.clone(), instrument.symbol.clone()))?;
                    let age = Duration::from_micros(view.now.monotonic.saturating_sub(heard.heard_at));
                    let scale = |instrument: &crate::model::instrument::Instrument| {
                        let (_, units) = view.setup.assets.resolve(&instrument.base);
                        let rate = view.setup.rates.get(&instrument.settle)?;
                        rate.decimal().checked_div(units.decimal())
                    };
                    let (theirs, ours) = (scale(instrument)?, scale(candidate.instrument)?);
                    let middle = heard.middle().decimal();
                    let middle = if theirs == ours { middle } else { middle.checked_mul(theirs)?.checked_div(ours)? };
                    (age <= fresh).then_some(middle)
                })();
                if let Some(middle) = middle {
                    self.compare(candidate, venue, middle, limit, holder)?;
                }
            }
        }
        Ok(Verdict::Pass)
    }
}

impl PriceCollar {
    fn compare(
        &self,
        candidate: &Candidate<'_>,
        venue: &VenueId,
        middle: Decimal,
        limit: Fraction,
        holder: &super::Holder<'_>,
    ) -> Result<(), Reason> {
        let (worst, buys) = (candidate.worst_price.decimal(), candidate.side.is_buy());
        // The edge is rounded toward the middle.
        let middle = if buys { rounded_down(middle) } else { rounded_up(middle) };
        let edge = product(middle, beyond_one(limit, buys))?;
        let edge = if buys { rounded_down(edge) } else { rounded_up(edge) };
        if (buys && worst <= edge) || (!buys && worst >= edge) {
            return Ok(());
        }
        let middle = Price::new(middle).map_or_else(|_| middle.to_string(), |middle| middle.to_string());
        let (side, symbol, than) = (candidate.side, &candidate.instrument.symbol, if buys { "above" } else { "below" });
        let words = format!(
            "the order may {side} {symbol} at {worst}, {than} {edge}: that is {limit} from the middle at {venue}, {middle}, which is the limit of {holder}"
        );
        Err(Reason::new("price_collar", words))
    }
}
