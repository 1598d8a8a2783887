//! Whether currencies are worth what the configuration states: spot prices between two stated currencies tell.
//!
//! A price away from the stated rates raises the alarm at once; it is lowered once every price has been near them for `cool_down`. Which
//! of the two is the one that moved cannot be told from one price: each that is watched counts as away. O(watched currencies) a price.

use std::collections::{BTreeMap, BTreeSet};

use super::step::Step;
use super::vitals::micros;
use crate::journal::Event;
use crate::model::execution::Reason;
use crate::model::ids::{Asset, VenueId, VenueSymbol};
use crate::model::instrument::Market;
use crate::model::number::{Factor, Fraction, Price, exact};

/// What this process has seen of a watched currency.
#[derive(Debug, Default)]
pub(super) struct Peg {
    /// Where its price is away from the stated rate.
    away: BTreeSet<(VenueId, VenueSymbol)>,
    /// Since when it is nowhere away, by the monotonic clock; absent before a price was seen.
    near_since: Option<u64>,
}

pub(super) type Pegs = BTreeMap<Asset, Peg>;

impl Step<'_> {
    /// A price came in: looks at what it says of watched currencies.
    pub(super) fn watch_peg(&mut self, venue: &VenueId, symbol: &VenueSymbol) {
        if self.setup.depeg.is_empty() || self.live.accounts.is_empty() {
            return;
        }
        let Some(instrument) = self.setup.venues.get(venue).and_then(|venue| venue.instruments.get(symbol)) else { return };
        let (base, quote) = (&instrument.base, &instrument.quote);
        let rates = self.setup.rates.get(base).zip(self.setup.rates.get(quote));
        let Some(((base_rate, quote_rate), price)) = rates.zip(self.live.marks.get(&(venue.clone(), symbol.clone())).copied()) else {
            return;
        };
        if instrument.market != Market::Spot || base == quote {
            return;
        }
        let sides = [(base, [*base_rate, *quote_rate], false), (quote, [*base_rate, *quote_rate], true)];
        for (asset, rates, is_quote) in sides {
            let Some(most) = self.setup.depeg.get(asset).copied() else { continue };
            let away = is_away(rates, price, most, is_quote);
            self.note_peg(asset, (venue, symbol), price, (away, most));
        }
        self.repeg();
    }

    /// Looks at every price there is.
    pub(super) fn watch_pegs(&mut self) {
        if !self.setup.depeg.is_empty() {
            let places: Vec<(VenueId, VenueSymbol)> = self.live.marks.keys().cloned().collect();
            places.iter().for_each(|(venue, symbol)| self.watch_peg(venue, symbol));
        }
    }

    fn note_peg(&mut self, asset: &Asset, place: (&VenueId, &VenueSymbol), price: Price, (away, most): (bool, Fraction)) {
        let now = self.now.monotonic;
        let peg = self.live.pegs.entry(asset.clone()).or_default();
        let key = (place.0.clone(), place.1.clone());
        if away {
            peg.away.insert(key);
            peg.near_since = None;
        } else {
            peg.away.remove(&key);
            if peg.away.is_empty() {
                peg.near_since.get_or_insert(now);
            }
        }
        if away && self.book.is_depegged(asset).is_none() {
            let (venue, symbol) = place;
            let rate = self.setup.rates.get(asset).copied().unwrap_or(Factor::ONE);
            let words = format!("{symbol} of {venue} is at {price}: {asset} is more than {most} away from the stated rate of {rate}");
            let why = Some(Reason::new("depeg", words));
            self.emit(Event::DepegChanged { asset: asset.clone(), why, at: self.now.wall });
        }
    }

    /// Lowers the alarm of currencies that were near their rates for long enough, or are not watched any more.
    pub(super) fn repeg(&mut self) {
        let (now, patience) = (self.now.monotonic, micros(self.setup.breakers.cool_down));
        let is_near = |asset: &Asset| {
            let since = self.live.pegs.get(asset).and_then(|peg| peg.near_since);
            since.is_some_and(|since| now.saturating_sub(since) >= patience)
        };
        let well: Vec<Asset> = self
            .book
            .depegged()
            .map(|(asset, _)| asset)
            .filter(|asset| is_near(asset) || !self.setup.depeg.contains_key(*asset))
            .cloned()
            .collect();
        for asset in well {
            self.emit(Event::DepegChanged { asset, why: None, at: self.now.wall });
        }
    }
}

/// Whether a price of base in quote is further from the stated rates than it may be, as seen from base or from quote. What cannot be
/// computed exactly counts as away.
fn is_away([base, quote]: [Factor; 2], price: Price, most: Fraction, from_quote: bool) -> bool {
    let away = || {
        let traded = exact::mul(price.decimal(), quote.decimal())?;
        let apart = exact::sub(traded, base.decimal())?.abs();
        // base is worth price × quote; quote is worth base ÷ price, which is multiplied out here.
        let of = if from_quote { traded } else { base.decimal() };
        Some(apart > exact::mul(of, most.decimal())?)
    };
    away().unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_away_when_it_leaves_the_band() {
        let check = |base: &str, quote: &str, price: &str, most: &str, from_quote: bool, expected: bool| {
            let rates = [base.parse().unwrap(), quote.parse().unwrap()];
            let found = is_away(rates, price.parse().unwrap(), most.parse().unwrap(), from_quote);
            assert_eq!(found, expected, "{base} {quote} {price} {most} {from_quote}");
        };
        check("1", "1", "0.98", "0.02", false, false);
        check("1", "1", "0.9799", "0.02", false, true);
        check("1", "1", "1.0201", "0.02", false, true);
        // Seen from the quote: 1 ÷ 1.02 is 0.980…, and 1 ÷ 1.03 is 0.970….
        check("1", "1", "1.02", "0.02", true, false);
        check("1", "1", "1.03", "0.02", true, true);
        check("1.1", "1", "1.1", "0.001", false, false);
        check("1.1", "1", "1", "0.05", false, true);
    }
}
