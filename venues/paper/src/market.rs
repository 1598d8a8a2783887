//! What the exchange trades and at which prices: marks, quotes, and what an order that takes liquidity pays.

use std::collections::BTreeMap;

use omnivenue_core::model::ids::VenueSymbol;
use omnivenue_core::model::instrument::{Instrument, Rounding, Side};
use omnivenue_core::model::number::{Amount, Fraction, Notional, Price, Quantity};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Depth, PriceLevel, Quote};

use crate::candles::CandleError;
use crate::config::{Config, PriceSource};
use crate::live::LivePrice;
use crate::prices::Prices;

/// Where the price of one instrument stands.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The exchange makes it.
    Made(Prices),
    /// A real venue gives it.
    Live(LivePrice),
}

/// Where the price of each instrument stands.
pub(crate) type Sources = BTreeMap<VenueSymbol, Source>;

/// Opens every source of prices: reads the files of candles.
pub(crate) fn open_sources(config: &Config) -> Result<Sources, CandleError> {
    config.prices.iter().map(|(symbol, source)| Ok((symbol.clone(), Source::open(source)?))).collect()
}

impl Source {
    fn open(source: &PriceSource) -> Result<Self, CandleError> {
        if let PriceSource::Live { holds_for } = source {
            return Ok(Self::Live(LivePrice::new(*holds_for)));
        }
        Prices::open(source).map(|prices| Self::Made(prices.expect("only live prices are no function of time")))
    }
}

/// Instruments and their prices.
#[derive(Debug, Clone)]
pub(crate) struct Market {
    epoch: Timestamp,
    instruments: BTreeMap<VenueSymbol, Instrument>,
    prices: Sources,
    half_spread: Fraction,
    slippage: Fraction,
    depth: Option<Notional>,
}

impl Market {
    /// The instruments that the configuration's check has proved, at prices that have been opened.
    pub(crate) fn new(config: &Config, instruments: BTreeMap<VenueSymbol, Instrument>, prices: Sources, epoch: Timestamp) -> Self {
        let half_spread = half(config.spread);
        Self { epoch, instruments, prices, half_spread, slippage: config.slippage, depth: config.depth }
    }

    pub(crate) fn instrument(&self, symbol: &VenueSymbol) -> Option<&Instrument> {
        self.instruments.get(symbol)
    }

    pub(crate) fn instruments(&self) -> impl Iterator<Item = &Instrument> {
        self.instruments.values()
    }

    /// The middle of the market; positions are valued at it. A live one is the last there was, however old: `None` before the first.
    pub(crate) fn mark(&mut self, symbol: &VenueSymbol, now: Timestamp) -> Option<Price> {
        let elapsed = now.since(self.epoch);
        match self.prices.get_mut(symbol)? {
            Source::Made(prices) => Some(prices.at(elapsed)),
            Source::Live(live) => live.mark(),
        }
    }

    /// Bid and ask: on the price rule and apart by at least the spread where the exchange makes the price, as the real venue
    /// gave them where it is live, unless it gave their middle only. `None` where the price has left what the instrument allows, or is too
    /// old, and while the instrument does not trade.
    pub(crate) fn quote(&mut self, symbol: &VenueSymbol, now: Timestamp) -> Option<Quote> {
        if !self.instruments.get(symbol)?.is_open(now) {
            return None;
        }
        if let Source::Live(live) = self.prices.get(symbol)? {
            let quote = live.quote(now)?.clone();
            return if quote.bid < quote.ask { Some(quote) } else { self.around(symbol, quote.bid, quote.at) };
        }
        let mark = self.mark(symbol, now)?;
        self.around(symbol, mark, now)
    }

    /// Bid and ask around a middle.
    fn around(&self, symbol: &VenueSymbol, mark: Price, at: Timestamp) -> Option<Quote> {
        let instrument = self.instruments.get(symbol)?;
        let bid = instrument.price_rule.round(moved(mark, Side::Sell, self.half_spread)?, Rounding::Down)?;
        let ask = instrument.price_rule.round(moved(mark, Side::Buy, self.half_spread)?, Rounding::Up)?;
        (ask <= instrument.max_price).then(|| Quote { symbol: symbol.clone(), bid, ask, at, depth: Depth::default() })
    }

    pub(crate) fn quotes(&mut self, now: Timestamp) -> Vec<Quote> {
        let symbols: Vec<VenueSymbol> = self.instruments.keys().cloned().collect();
        let told = |symbol: &VenueSymbol| {
            let quote = self.quote(symbol, now)?;
            Some(Quote { depth: self.depth(&quote), ..quote })
        };
        symbols.iter().filter_map(told).collect()
    }

    /// What an order meets here: one level a side, at the price that takers get. Told only where that differs from the quote, or has an end.
    fn depth(&self, quote: &Quote) -> Depth {
        if self.slippage.is_zero() && self.depth.is_none() {
            return Depth::default();
        }
        let level = |side| {
            let price = self.taker_price(quote, side)?;
            Some(PriceLevel { price, quantity: self.depth_at(&quote.symbol, price)? })
        };
        Depth::book(level(Side::Sell).into_iter().collect(), level(Side::Buy).into_iter().collect())
    }

    /// What an order that takes liquidity trades at: the quote, and the slippage.
    pub(crate) fn taker_price(&self, quote: &Quote, side: Side) -> Option<Price> {
        let instrument = self.instruments.get(&quote.symbol)?;
        let (touch, rounding) = if side.is_buy() { (quote.ask, Rounding::Up) } else { (quote.bid, Rounding::Down) };
        let price = instrument.price_rule.round(moved(touch, side, self.slippage)?, rounding)?;
        (price <= instrument.max_price).then_some(price)
    }

    /// The most that one order can trade at this price at once.
    pub(crate) fn depth_at(&self, symbol: &VenueSymbol, price: Price) -> Option<Quantity> {
        let instrument = self.instruments.get(symbol)?;
        Some(self.depth.map_or(instrument.max_quantity, |depth| instrument.quantity_for(depth, price)))
    }

    /// Takes a quote of a real venue; `false` where its instrument has no live price, or it says nothing new of it.
    pub(crate) fn take_quote(&mut self, quote: Quote, now: Timestamp) -> bool {
        let Some(instrument) = self.instruments.get(&quote.symbol) else { return false };
        match self.prices.get_mut(&quote.symbol) {
            Some(Source::Live(live)) if quote.ask <= instrument.max_price => live.take(quote, now),
            _ => false,
        }
    }

    /// Whether the price of an instrument comes from a real venue.
    pub(crate) fn is_live(&self, symbol: &VenueSymbol) -> bool {
        matches!(self.prices.get(symbol), Some(Source::Live(_)))
    }

    /// The first instant after `now` at which some price that the exchange makes may differ.
    pub(crate) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let elapsed = now.since(self.epoch);
        let made = self.prices.values().filter_map(|source| match source {
            Source::Made(prices) => prices.next_change(elapsed),
            Source::Live(_) => None,
        });
        made.min().map(|next| self.epoch.after(next))
    }
}

fn half(spread: Fraction) -> Fraction {
    let half: Option<Fraction> = "0.5".parse::<Quantity>().ok().and_then(|half| {
        let spread = Price::new(spread.decimal()).ok()?;
        Fraction::new(spread.notional(half).ok()?.decimal()).ok()
    });
    half.unwrap_or_default()
}

/// The price, worse by a share of it for whoever trades on this side.
fn moved(price: Price, side: Side, share: Fraction) -> Option<Price> {
    let one: Amount = "1".parse().expect("1 is an amount");
    let share = Amount::new(share.decimal()).ok()?;
    let factor = if side.is_buy() { one.plus(share) } else { one.minus(share) }.ok()?;
    let factor = Quantity::new(factor.decimal()).ok()?;
    Price::new(price.notional(factor).ok()?.decimal()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PriceSource;

    #[test]
    fn quotes_stand_around_the_mark_on_the_price_rule() {
        let mut config = Config::hyperliquid_like();
        let hype: VenueSymbol = "HYPE".parse().unwrap();
        config.prices.insert(hype.clone(), PriceSource::Fixed { price: "38.1".parse().unwrap() });
        config.spread = "0.001".parse().unwrap();
        config.slippage = "0.002".parse().unwrap();
        config.depth = Some("100".parse().unwrap());
        let mut market = Market::new(&config, config.check().unwrap(), open_sources(&config).unwrap(), Timestamp::EPOCH);
        let quote = market.quote(&hype, Timestamp::EPOCH).unwrap();
        assert_eq!((quote.bid.to_string(), quote.ask.to_string()), ("38.08".into(), "38.12".into()));
        let check = |side, expected: &str| assert_eq!(market.taker_price(&quote, side).unwrap().to_string(), expected);
        check(Side::Buy, "38.197");
        check(Side::Sell, "38.003");
        assert_eq!(market.depth_at(&hype, quote.ask).unwrap().to_string(), "2.62");
        assert_eq!(market.quotes(Timestamp::EPOCH).len(), 5);
    }

    #[test]
    fn a_price_out_of_range_has_no_quote() {
        let mut config = Config::hyperliquid_like();
        let pepe: VenueSymbol = "kPEPE".parse().unwrap();
        for price in ["101", "0.0000001"] {
            config.prices.insert(pepe.clone(), PriceSource::Fixed { price: price.parse().unwrap() });
            let mut market = Market::new(&config, config.check().unwrap(), open_sources(&config).unwrap(), Timestamp::EPOCH);
            assert_eq!(market.quote(&pepe, Timestamp::EPOCH), None, "{price}");
        }
    }
}
