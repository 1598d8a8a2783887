//! The price of an instrument as a function of the time since the exchange's epoch: exact, and the same at every asking.

use std::time::Duration;

use omnivenue_core::model::number::{Fraction, Price, Quantity};

use crate::candles::{CandleError, Candles};
use crate::config::PriceSource;
use crate::random;

/// Where the price of one instrument stands at any instant.
#[derive(Debug, Clone)]
pub struct Prices {
    path: Path,
}

#[derive(Debug, Clone)]
enum Path {
    Candles { candles: Candles, speed: u128 },
    Walk(Walk),
    Fixed(Price),
}

const MILLION: i64 = 1_000_000;

/// The share of its distance from the start that a walk comes back by at each step is one in this many.
const REVERSION: i64 = 64;

/// A walk in millionths of its starting price: at each step it loses 1/64 of its distance and moves by up to `step`, so that
/// it never strays further than 64 steps.
#[derive(Debug, Clone)]
struct Walk {
    seed: u64,
    start: Price,
    step: i64,
    every: Duration,
    /// The last step computed, and how far from the start it was. Later steps are computed from it.
    index: u64,
    offset: i64,
}

impl Prices {
    /// Makes ready a source; reads its file if it has one. `None` for live prices: they are no function of time.
    ///
    /// # Errors
    /// [`CandleError`] when the file of candles cannot be used.
    pub fn open(source: &PriceSource) -> Result<Option<Self>, CandleError> {
        let path = match source {
            PriceSource::Live { .. } => return Ok(None),
            PriceSource::Candles { path, speed } => Path::Candles { candles: Candles::read(path)?, speed: u128::from(*speed) },
            PriceSource::Walk { seed, start, step, every } => Path::Walk(Walk::new(*seed, *start, *step, *every)),
            PriceSource::Fixed { price } => Path::Fixed(*price),
        };
        Ok(Some(Self { path }))
    }

    /// The price at this time since the epoch. Cost: for a walk, the steps since the last asking; asked backwards, all of them.
    #[must_use]
    pub fn at(&mut self, elapsed: Duration) -> Price {
        match &mut self.path {
            Path::Candles { candles, speed } => candles.price(u64::try_from(quarter(candles, *speed, elapsed)).unwrap_or(u64::MAX)),
            Path::Walk(walk) => walk.at(walk.index_at(elapsed)),
            Path::Fixed(price) => *price,
        }
    }

    /// The first time after this one at which the price may differ; `None` when it never will.
    #[must_use]
    pub fn next_change(&self, elapsed: Duration) -> Option<Duration> {
        match &self.path {
            Path::Candles { candles, speed } => {
                let next = quarter(candles, *speed, elapsed) + 1;
                let quarters = 4 * u128::try_from(candles.count()).expect("a count fits 128 bits");
                let micros = (next * u128::from(candles.step_ms()) * 1000).div_ceil(4 * speed);
                (next < quarters).then(|| u64::try_from(micros).ok().map(Duration::from_micros)).flatten()
            }
            Path::Walk(walk) => {
                let next = u128::from(walk.index_at(elapsed)) + 1;
                u64::try_from(walk.every.as_micros() * next).ok().map(Duration::from_micros)
            }
            Path::Fixed(_) => None,
        }
    }
}

fn quarter(candles: &Candles, speed: u128, elapsed: Duration) -> u128 {
    elapsed.as_micros() * speed * 4 / (u128::from(candles.step_ms()) * 1000)
}

impl Walk {
    fn new(seed: u64, start: Price, step: Fraction, every: Duration) -> Self {
        // The configuration allows a step at most 6 decimals: its text is a whole number of millionths.
        let decimals = step.decimal().scale();
        let millionths = step.decimal().mantissa() * 10_i128.pow(6_u32.saturating_sub(decimals));
        let step = i64::try_from(millionths).expect("a fraction is at most a million millionths");
        Self { seed, start, step, every, index: 0, offset: 0 }
    }

    fn index_at(&self, elapsed: Duration) -> u64 {
        u64::try_from(elapsed.as_micros() / self.every.as_micros().max(1)).unwrap_or(u64::MAX)
    }

    fn at(&mut self, index: u64) -> Price {
        if index < self.index {
            (self.index, self.offset) = (0, 0);
        }
        while self.index < index {
            self.index += 1;
            let span = u64::try_from(2 * self.step + 1).expect("a step is not negative");
            let moved = i64::try_from(random::at(self.seed, self.index) % span).expect("a span is small") - self.step;
            self.offset += moved - self.offset / REVERSION;
        }
        self.price()
    }

    fn price(&self) -> Price {
        let share = format!("{}.{:06}", (MILLION + self.offset) / MILLION, (MILLION + self.offset) % MILLION);
        let share: Quantity = share.parse().expect("a walk keeps within two thirds of its start, so its share is positive");
        self.start.notional(share).ok().and_then(|price| Price::new(price.decimal()).ok()).unwrap_or(self.start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walk(seed: u64, step: &str) -> Prices {
        let start = "38.1".parse().unwrap();
        Prices::open(&PriceSource::Walk { seed, start, step: step.parse().unwrap(), every: Duration::from_millis(250) }).unwrap().unwrap()
    }

    fn candles(speed: u32) -> Prices {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("candles.csv");
        std::fs::write(&path, "open_time_ms,open,high,low,close,volume\n0,10,12,9,11,5\n60000,11,11.5,8,9,1\n").unwrap();
        Prices::open(&PriceSource::Candles { path, speed }).unwrap().unwrap()
    }

    #[test]
    fn candles_play_at_their_speed() {
        let mut prices = candles(60);
        let mut at = |millis| prices.at(Duration::from_millis(millis)).to_string();
        assert_eq!([at(0), at(249), at(250), at(500), at(999)], ["10", "10", "9", "12", "11"]);
        assert_eq!([at(1250), at(1999), at(1_000_000)], ["11.5", "9", "9"]);
        let changes: Vec<_> = [0, 1999].map(|millis| prices.next_change(Duration::from_millis(millis))).into();
        assert_eq!(changes, [Some(Duration::from_millis(250)), None]);
    }

    #[test]
    fn every_change_is_announced() {
        for mut prices in [candles(7), walk(3, "0.001")] {
            let mut elapsed = Duration::ZERO;
            for _ in 0..7 {
                let before = prices.at(elapsed);
                let next = prices.next_change(elapsed).unwrap();
                assert_eq!(prices.at(next - Duration::from_micros(1)), before);
                elapsed = next;
            }
        }
    }

    #[test]
    fn a_fixed_price_never_changes() {
        let mut prices = Prices::open(&PriceSource::Fixed { price: "2".parse().unwrap() }).unwrap().unwrap();
        assert_eq!(prices.at(Duration::MAX).to_string(), "2");
        assert_eq!(prices.next_change(Duration::ZERO), None);
    }

    proptest! {
        #[test]
        fn a_walk_is_a_function_of_seed_and_time(seed: u64, times in prop::collection::vec(0_u64..5_000_000, 1..20)) {
            let mut one = walk(seed, "0.0005");
            for millis in times {
                let elapsed = Duration::from_millis(millis);
                prop_assert_eq!(one.at(elapsed), walk(seed, "0.0005").at(elapsed));
            }
        }

        #[test]
        fn a_walk_never_runs_away(seed: u64) {
            let mut prices = walk(seed, "0.01");
            let (low, high) = ("13.7".parse().unwrap(), "62.5".parse().unwrap());
            for step in 0..2000 {
                let price = prices.at(Duration::from_millis(250 * step));
                prop_assert!(price > low && price < high, "{}", price);
            }
        }
    }
}
