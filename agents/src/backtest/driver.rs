//! What drives a run: the candles' prices, the world's own events and the agents, in order of time.

use std::collections::{BTreeSet, VecDeque};

use omnivenue_core::agent::Candle;
use omnivenue_core::model::ids::VenueSymbol;
use omnivenue_core::model::number::{Factor, Fraction, Price};
use omnivenue_core::model::time::Timestamp;
use omnivenue_paper::CandleRow;
use rust_decimal::Decimal;

use super::cast::Cast;
use super::clock::micros;
use super::plan::{BacktestError, Plan};
use super::report::{self, Report};
use super::series::{Series, SeriesError};
use super::tally::Tally;
use super::world::World;

/// How long the engine has before the first candle, so that its accounts have recovered.
const BEFORE: std::time::Duration = std::time::Duration::from_secs(60);
/// How long what is on its way has after the last candle.
const AFTER: u64 = 10_000_000;
/// The most steps in which one way within a candle is gone.
const STEPS_MAX: i64 = 64;
/// Decimals of a price on the way.
const PRICE_SCALE: u32 = 10;

/// An instrument whose prices come from a series.
struct Target {
    place: usize,
    symbol: VenueSymbol,
    /// How many of the asset one unit of the instrument is.
    multiplier: Factor,
}

/// A series on its way through its candles.
struct Track {
    series: Series,
    targets: Vec<Target>,
    row: Option<CandleRow>,
    /// The next of the four prices; 4 is the candle's end.
    quarter: u32,
    /// Steps on the way to it.
    steps: VecDeque<(u64, Price)>,
    candles: u64,
    gaps: u64,
}

enum Due {
    Close,
    Price(Price),
}

impl Track {
    fn length(&self) -> u64 {
        micros(self.series.timeframe().length())
    }

    /// When its next price or the end of its candle is due, ends first.
    fn next(&self, world: &World) -> Option<(u64, bool)> {
        let row = self.row.as_ref()?;
        if let Some((at, _)) = self.steps.front() {
            return Some((*at, true));
        }
        let open = world.at(Timestamp::from_millis(row.open_time_ms));
        Some((open + self.length() / 4 * u64::from(self.quarter), self.quarter < 4))
    }

    /// Takes what is due, and plans the way to the next price in steps where each of them counts.
    fn take(&mut self, at: u64, step: Option<Fraction>) -> Option<Due> {
        if let Some((_, price)) = self.steps.pop_front() {
            return Some(Due::Price(price));
        }
        let path = self.row.as_ref()?.path();
        let quarter = usize::try_from(self.quarter).unwrap_or(4);
        let Some(price) = path.get(quarter).copied() else { return Some(Due::Close) };
        self.quarter += 1;
        if let (Some(step), Some(next)) = (step, path.get(quarter + 1)) {
            self.steps =
                steps(price, *next, step).into_iter().map(|(part, of, price)| (at + self.length() / 4 * part / of, price)).collect();
        }
        Some(Due::Price(price))
    }

    /// Goes on to the next candle.
    fn advance(&mut self, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<(), SeriesError> {
        let before = self.row.take().map(|row| Timestamp::from_millis(row.open_time_ms).after(self.series.timeframe().length()));
        self.row = self.series.next(from, to)?;
        self.quarter = 0;
        if let Some(row) = &self.row {
            self.candles += 1;
            self.gaps += u64::from(before.is_some_and(|end| end < Timestamp::from_millis(row.open_time_ms)));
        }
        Ok(())
    }

    fn candle(&self, world: &World, target: &Target) -> Option<Candle> {
        let row = self.row.as_ref()?;
        let price = |price| scaled(price, target.multiplier);
        Some(Candle {
            venue: world.places[target.place].config.id.clone(),
            symbol: target.symbol.clone(),
            timeframe: self.series.timeframe(),
            open_time: Timestamp::from_millis(row.open_time_ms),
            open: price(row.open)?,
            high: price(row.high)?,
            low: price(row.low)?,
            close: price(row.close)?,
            volume: row.volume,
        })
    }
}

/// The prices between two, so that none is further from the one before it than a share of it: each with which part of the way it is at.
fn steps(from: Price, to: Price, step: Fraction) -> Vec<(u64, u64, Price)> {
    let (start, way) = (from.decimal(), to.decimal() - from.decimal());
    let count = start
        .checked_mul(step.decimal())
        .filter(|step| !step.is_zero())
        .and_then(|step| way.abs().checked_div(step))
        .and_then(|count| i64::try_from(count.ceil()).ok())
        .map_or(1, |count| count.clamp(1, STEPS_MAX));
    let at = |part: i64| {
        let moved = way.checked_mul(Decimal::from(part))?.checked_div(Decimal::from(count))?;
        let price = Price::new(start.checked_add(moved)?.round_dp(PRICE_SCALE)).ok()?;
        Some((u64::try_from(part).ok()?, u64::try_from(count).ok()?, price))
    };
    (1..count).filter_map(at).collect()
}

fn scaled(price: Price, by: Factor) -> Option<Price> {
    if by == Factor::ONE {
        return Some(price);
    }
    Price::new(price.decimal().checked_mul(by.decimal())?.round_dp(PRICE_SCALE)).ok()
}

pub(super) struct Driver {
    world: World,
    cast: Cast,
    tally: Tally,
    tracks: Vec<Track>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    step: Fraction,
    began: Timestamp,
}

impl Driver {
    pub(super) fn new(plan: Plan) -> Result<Self, BacktestError> {
        let Plan { mut setup, exchanges, agents, series, from, to, seed, step, think, flush, supervision } = plan;
        let mut tracks = Vec::new();
        let mut seen = BTreeSet::new();
        for series in series {
            if !seen.insert((series.asset().clone(), series.market())) {
                return Err(SeriesError::Twice(series.asset().clone()).into());
            }
            // Prices come four times a candle: that is not what makes a venue stale.
            setup.breakers.stale_high = setup.breakers.stale_high.max(series.timeframe().length());
            let mut track = Track { series, targets: Vec::new(), row: None, quarter: 0, steps: VecDeque::new(), candles: 0, gaps: 0 };
            track.advance(from, to)?;
            if track.row.is_none() {
                let time = |at: Option<Timestamp>| at.map_or_else(|| "…".to_owned(), |at| at.to_string());
                let within = format!(" from {} to {}", time(from), time(to));
                return Err(SeriesError::Empty { what: track.series.name(), within }.into());
            }
            tracks.push(track);
        }
        let first = tracks.iter().filter_map(|track| track.row.as_ref()).map(|row| Timestamp::from_millis(row.open_time_ms)).min();
        let began = first.ok_or_else(|| BacktestError::Setup("there are no candles to run over".into()))?;
        if let Some((missing, _)) = agents.iter().find(|(agent, _)| !setup.agents.contains_key(agent)) {
            return Err(BacktestError::Setup(format!("the configuration has no agent {missing}")));
        }
        let start = Timestamp::from_micros(began.as_micros().saturating_sub(i64::try_from(BEFORE.as_micros()).unwrap_or(0)));
        let world = World::open(setup, exchanges, (seed, flush), start)?;
        for track in &mut tracks {
            track.targets = targets(&world, &track.series);
            if track.targets.is_empty() {
                return Err(BacktestError::not_traded(track.series.asset()));
            }
        }
        Ok(Self { world, cast: Cast::new(agents, think, supervision), tally: Tally::default(), tracks, from, to, step, began })
    }

    pub(super) fn run(mut self) -> Result<Report, BacktestError> {
        let version = env!("CARGO_PKG_VERSION");
        self.world.input(omnivenue_core::executor::Input::Opened { version, namespace: "bcktst".into() });
        self.world.settle();
        // The agents begin with the candles, on accounts that have recovered.
        self.go_on_to(self.world.at(self.began), false);
        self.check()?;
        while let Some((at, index)) = self.next_due() {
            self.go_on_to(at, true);
            self.due(at, index)?;
        }
        self.cast.hold();
        let end = self.world.elapsed.saturating_add(AFTER);
        self.go_on_to(end, false);
        self.check()?;
        let series = self.tracks.iter().map(|track| report::series(&track.series, track.candles, track.gaps)).collect();
        report::make(&self.world, &self.cast, self.tally, series, self.began)
    }

    fn check(&self) -> Result<(), BacktestError> {
        let broken = |reason| Err(BacktestError::Broken { at: self.world.now().wall, reason });
        self.world.failure().map_or(Ok(()), broken)
    }

    /// The track that is due next: of several at one instant first those whose candle ends.
    fn next_due(&self) -> Option<(u64, usize)> {
        let due = |(index, track): (usize, &Track)| track.next(&self.world).map(|(at, price)| (at, price, index));
        self.tracks.iter().enumerate().filter_map(due).min().map(|(at, _, index)| (at, index))
    }

    /// Lets everything happen that happens by itself up to and at an instant.
    fn go_on_to(&mut self, end: u64, with_agents: bool) {
        loop {
            let agents = with_agents.then(|| self.cast.next_event()).flatten();
            let next = [self.world.next_event(), agents].into_iter().flatten().min().filter(|at| *at <= end);
            let Some(at) = next else { break };
            self.world.turn(at);
            if with_agents {
                self.cast.turn(&mut self.world);
                self.world.settle();
            }
            self.hear();
        }
        self.world.turn(end);
        self.hear();
    }

    /// Tells everyone what has happened until nothing more does.
    fn hear(&mut self) {
        loop {
            let happened = std::mem::take(&mut self.world.happened);
            if happened.is_nothing() {
                break;
            }
            self.tally.heard(&self.world.kernel, &happened);
            self.cast.hear(&self.world, happened);
        }
        self.cast.act(&self.world);
    }

    fn due(&mut self, at: u64, index: usize) -> Result<(), BacktestError> {
        let step = self.world.is_exposed().then_some(self.step);
        let track = &mut self.tracks[index];
        match track.take(at, step) {
            None => {}
            Some(Due::Close) => {
                for target in &track.targets {
                    if let Some(candle) = track.candle(&self.world, target) {
                        self.cast.candle(&candle);
                    }
                }
                track.advance(self.from, self.to)?;
                self.cast.act(&self.world);
                self.check()?;
            }
            Some(Due::Price(price)) => {
                for target in &track.targets {
                    let Some(price) = scaled(price, target.multiplier) else { continue };
                    if let Some(quote) = self.world.price(target.place, &target.symbol, price) {
                        self.cast.quote(&self.world.places[target.place].config.id, &quote);
                    }
                }
                self.hear();
                if step.is_some() {
                    self.tally.value(&self.world.kernel);
                }
            }
        }
        Ok(())
    }
}

/// Every instrument of an asset, wherever it is traded.
fn targets(world: &World, series: &Series) -> Vec<Target> {
    let setup = world.kernel.setup();
    let of = |(place, venue): (usize, &super::world::Place)| {
        let instruments = setup.venues.get(&venue.config.id).into_iter().flat_map(|venue| venue.instruments.values());
        let fits = instruments.filter(|instrument| instrument.market == series.market()).filter_map(|instrument| {
            let (asset, multiplier) = setup.assets.resolve(&instrument.base);
            (asset == *series.asset()).then(|| (instrument.symbol.clone(), multiplier))
        });
        fits.map(|(symbol, multiplier)| Target { place, symbol, multiplier }).collect::<Vec<_>>()
    };
    world.places.iter().enumerate().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_way_is_gone_in_steps_and_a_short_one_at_once() {
        let way = |from: &str, to: &str, step: &str| {
            let all = steps(from.parse().unwrap(), to.parse().unwrap(), step.parse().unwrap());
            all.into_iter().map(|(part, of, price)| format!("{part}/{of} {price}")).collect::<Vec<_>>()
        };
        assert_eq!(way("100", "100.04", "0.0005"), Vec::<String>::new());
        assert_eq!(way("100", "99.85", "0.0005"), ["1/3 99.95", "2/3 99.9"]);
        assert_eq!(way("100", "200", "0.0005").len(), 63, "but in no more than so many");
        assert_eq!(way("100", "100", "0.0005"), Vec::<String>::new());
        assert_eq!(way("100", "200", "0"), Vec::<String>::new());
    }
}
