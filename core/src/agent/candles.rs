//! Candles made of quotes, or of shorter candles.

use super::input::{Candle, Timeframe};
use crate::model::ids::{VenueId, VenueSymbol};
use crate::model::number::{Price, Quantity};
use crate::model::time::Timestamp;

/// Sums up the prices of one instrument. Holds one candle, whatever the history.
#[derive(Debug, Clone)]
pub struct Aggregator {
    venue: VenueId,
    symbol: VenueSymbol,
    timeframe: Timeframe,
    /// Prices before this are of a candle whose beginning was not seen.
    from: Option<Timestamp>,
    current: Option<Candle>,
}

impl Aggregator {
    /// Nothing yet.
    #[must_use]
    pub const fn new(venue: VenueId, symbol: VenueSymbol, timeframe: Timeframe) -> Self {
        Self { venue, symbol, timeframe, from: None, current: None }
    }

    /// Takes a price; gives the candle that it ends. Prices must come in order of time: one that is earlier than the candle under way counts
    /// as its latest.
    pub fn price(&mut self, at: Timestamp, price: Price) -> Option<Candle> {
        let ended = self.close(at);
        let open_time = self.timeframe.open_of(at);
        // The first candle began before anything was heard of it, unless this very instant is its first.
        let from = *self.from.get_or_insert(if open_time == at { at } else { open_time.after(self.timeframe.length()) });
        match &mut self.current {
            Some(candle) => {
                candle.high = candle.high.max(price);
                candle.low = candle.low.min(price);
                candle.close = price;
            }
            None if open_time >= from => self.current = Some(self.flat(open_time, price)),
            None => {}
        }
        ended
    }

    /// Takes a shorter candle, or one as long; gives the candles that it ends: the one before it, and its own where it is the last part of it.
    /// One that is longer, or not aligned with these, is left out.
    pub fn candle(&mut self, part: &Candle) -> impl Iterator<Item = Candle> + use<> {
        let before = self.close(part.open_time);
        let open_time = self.timeframe.open_of(part.open_time);
        let end = open_time.after(self.timeframe.length());
        let whole = part.close_time() <= end;
        let from = *self.from.get_or_insert(if open_time == part.open_time { open_time } else { end });
        if whole && open_time >= from {
            let candle = self.current.get_or_insert_with(|| Candle {
                timeframe: self.timeframe,
                venue: self.venue.clone(),
                symbol: self.symbol.clone(),
                open_time,
                volume: Some(Quantity::ZERO),
                ..part.clone()
            });
            candle.high = candle.high.max(part.high);
            candle.low = candle.low.min(part.low);
            candle.close = part.close;
            candle.volume = candle.volume.zip(part.volume).and_then(|(sum, more)| sum.plus(more).ok());
        }
        before.into_iter().chain(self.close(part.close_time()))
    }

    /// The candle under way, if it is over by now.
    pub fn close(&mut self, now: Timestamp) -> Option<Candle> {
        self.current.take_if(|candle| candle.close_time() <= now)
    }

    /// When the candle under way is over.
    #[must_use]
    pub fn closes_at(&self) -> Option<Timestamp> {
        self.current.as_ref().map(Candle::close_time)
    }

    fn flat(&self, open_time: Timestamp, price: Price) -> Candle {
        let (venue, symbol, timeframe) = (self.venue.clone(), self.symbol.clone(), self.timeframe);
        Candle { venue, symbol, timeframe, open_time, open: price, high: price, low: price, close: price, volume: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aggregator(timeframe: &str) -> Aggregator {
        Aggregator::new("paper".parse().unwrap(), "BTC".parse().unwrap(), timeframe.parse().unwrap())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn shown(candle: &Candle) -> (i64, [String; 4]) {
        (candle.open_time.as_millis() / 1000, [candle.open, candle.high, candle.low, candle.close].map(|price| price.to_string()))
    }

    fn prices(aggregator: &mut Aggregator, all: &[(i64, &str)]) -> Vec<(i64, [String; 4])> {
        all.iter()
            .filter_map(|(second, price)| aggregator.price(at(*second), price.parse().unwrap()))
            .map(|candle| shown(&candle))
            .collect()
    }

    #[test]
    fn a_candle_is_told_when_it_is_over_and_only_if_it_was_seen_from_its_beginning() {
        let mut minutes = aggregator("1m");
        let told = prices(&mut minutes, &[(30, "5"), (61, "10"), (70, "12"), (80, "9"), (119, "11"), (120, "13")]);
        assert_eq!(told, [(60, ["10", "12", "9", "11"].map(str::to_owned))], "the first minute was half over");
        assert_eq!(minutes.closes_at(), Some(at(180)));
        assert_eq!(minutes.close(at(179)), None);
        assert_eq!(minutes.close(at(180)).map(|candle| shown(&candle)), Some((120, ["13"; 4].map(str::to_owned))));
        // A minute without a price is none, and one that came late counts as the latest.
        assert_eq!(prices(&mut minutes, &[(300, "1"), (299, "2"), (360, "3")]), [(300, ["1", "2", "1", "2"].map(str::to_owned))]);
    }

    #[test]
    fn the_first_instant_of_a_candle_is_its_beginning() {
        assert_eq!(prices(&mut aggregator("1m"), &[(60, "1"), (120, "2")]), [(60, ["1"; 4].map(str::to_owned))]);
    }

    fn minute(index: i64, [open, high, low, close]: [&str; 4]) -> Candle {
        let price = |text: &str| text.parse().unwrap();
        Candle {
            venue: "paper".parse().unwrap(),
            symbol: "BTC".parse().unwrap(),
            timeframe: "1m".parse().unwrap(),
            open_time: at(index * 60),
            open: price(open),
            high: price(high),
            low: price(low),
            close: price(close),
            volume: Some("2".parse().unwrap()),
        }
    }

    #[test]
    fn longer_candles_are_made_of_shorter_ones_and_gaps_stay_gaps() {
        let mut three = aggregator("3m");
        let mut told = Vec::new();
        for index in [2, 3, 4, 5, 6, 9, 10, 12] {
            let part = minute(index, if index == 4 { ["2", "9", "1", "3"] } else { ["2", "4", "2", "3"] });
            told.extend(three.candle(&part).map(|candle| (shown(&candle).0, candle.high.to_string(), candle.volume.unwrap().to_string())));
        }
        // 0..3 was not seen from its beginning; 6..9 has one part, 9..12 two, 12..15 is under way.
        let expected = [(180, "9", "6"), (360, "4", "2"), (540, "4", "4")];
        assert_eq!(told, expected.map(|(open, high, volume)| (open, high.to_owned(), volume.to_owned())));
        let mut same = aggregator("1m");
        assert_eq!(same.candle(&minute(7, ["2", "4", "2", "3"])).collect::<Vec<_>>(), [minute(7, ["2", "4", "2", "3"])]);
        let longer = Candle { timeframe: "1h".parse().unwrap(), ..minute(60, ["2", "4", "2", "3"]) };
        assert_eq!(same.candle(&longer).count(), 0, "an hour tells nothing of a minute");
    }
}
