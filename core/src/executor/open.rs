//! Whether an instrument trades now: expired contracts and closed markets.

use super::step::Step;
use crate::model::close::Lot;
use crate::model::execution::{Outcome, Reason};
use crate::model::instrument::Instrument;
use crate::model::number::{Factor, Notional, exact};
use crate::model::signal::{OrderType, TimeInForce};
use crate::model::time::{Timestamp, format_duration};

impl Step<'_> {
    /// Refuses to enter what expires soon, and what does not trade at this hour: only an order that may rest waits at the venue for the session.
    pub(super) fn check_open(&self, instrument: &Instrument, order: &OrderType) -> Result<(), Reason> {
        let margin = self.setup.timing.expiry_margin;
        if let Some(expiry) = instrument.expires_within(self.now.wall, margin) {
            let words = format!(
                "{} expires at {expiry}; it is not entered later than {} before (timing.expiry_margin)",
                instrument.symbol,
                format_duration(margin)
            );
            return Err(Reason::new("expired_contract", words));
        }
        let rests = matches!(order, OrderType::Limit { time_in_force: TimeInForce::Gtc, .. });
        if rests || instrument.is_open(self.now.wall) {
            return Ok(());
        }
        Err(closed(instrument, self.now.wall))
    }

    /// Why nothing of an instrument can be sold or bought now, if so.
    pub(super) fn shut(&self, instrument: &Instrument) -> Option<(Outcome, Reason)> {
        let now = self.now.wall;
        if let Some(expiry) = instrument.expiry.filter(|expiry| *expiry <= now) {
            let words = format!("{} expired at {expiry}: its venue settles what is held", instrument.symbol);
            return Some((Outcome::Skipped, Reason::new("expired_contract", words)));
        }
        (!instrument.is_open(now)).then(|| (Outcome::Skipped, closed(instrument, now)))
    }

    /// When a lot that does not trade now may be closed again: when its market opens. Of an expired one, when to look whether it was settled.
    pub(super) fn opens_again(&self, lot: &Lot) -> Option<Timestamp> {
        let instrument = self.instrument_on(&lot.account, &lot.instrument)?;
        self.shut(instrument)?;
        Some(instrument.opens_after(self.now.wall).unwrap_or_else(|| self.now.wall.after(self.setup.timing.backoff_max)))
    }

    /// What a signal asks for in quote units, in what the instrument's notional is in: of quanto contracts the settlement currency, by the
    /// stated rates.
    pub(super) fn notional_of(&self, instrument: &Instrument, asked: Notional) -> Result<Notional, Reason> {
        let currency = instrument.notional_currency();
        if *currency == instrument.quote {
            return Ok(asked);
        }
        let rate = |asset| {
            let rate: Option<&Factor> = self.setup.rates.get(asset);
            rate.ok_or_else(|| {
                let symbol = &instrument.symbol;
                Reason::new("no_rate", format!("{symbol} settles in {currency}: state a rate for {asset} (risk.rates), or give a quantity"))
            })
        };
        let (quote, settle) = (rate(&instrument.quote)?, rate(currency)?);
        let worth = exact::mul(asked.decimal(), quote.decimal()).and_then(|worth| worth.checked_div(settle.decimal()));
        let worth = worth.map(|worth| worth.trunc_with_scale(12)).and_then(|worth| Notional::new(worth).ok());
        worth.ok_or_else(|| Reason::new("overflow", "the size has more digits than can be kept exactly"))
    }
}

fn closed(instrument: &Instrument, now: Timestamp) -> Reason {
    let opens = instrument.opens_after(now);
    let when = opens.map_or_else(|| "no session is known".to_owned(), |opens| format!("it opens at {opens}"));
    Reason::new("market_closed", format!("{} does not trade at this hour: {when}", instrument.symbol))
}
