//! The two paper exchanges, perpetuals and spot, and the history of their prices. Their time is the system's, so that a skewed clock
//! never runs an exchange backwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use omnivenue_core::model::ids::{AccountId, Asset, ClientOrderId, VenueSymbol};
use omnivenue_core::model::number::{Amount, Price};
use omnivenue_core::model::order::OrderReport;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::Quote;
use omnivenue_paper::{Change, Config, Exchange, PaperError, PlaceOrder, PriceSource, Prices, Refusal, State, Truth};
use rust_decimal::Decimal;

use super::config::HyperliquidConfig;
use super::universe::{self, Coin, Deposits};

/// Prices that were in force, each from an instant on.
type History = Vec<(Timestamp, PriceSource)>;

/// How many changes of source are remembered per coin.
const HISTORY_MAX: usize = 1000;

/// A candle, without its interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candle {
    pub(crate) open: Decimal,
    pub(crate) high: Decimal,
    pub(crate) low: Decimal,
    pub(crate) close: Decimal,
}

/// What is traded and at which prices.
#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) coins: Vec<Coin>,
    perps: Exchange,
    spot: Exchange,
    epoch: Timestamp,
    histories: BTreeMap<VenueSymbol, History>,
    /// What each coin follows when it is not held anywhere.
    sources: BTreeMap<VenueSymbol, PriceSource>,
    /// When what rests was last matched, and whether a price was moved by hand since.
    matched: Timestamp,
    moved: bool,
    /// What each coin cost a day ago, and in which minute that was asked.
    day_ago: BTreeMap<VenueSymbol, (i64, Decimal)>,
}

fn open(config: Config, epoch: Timestamp) -> Result<Exchange, PaperError> {
    Exchange::open(Arc::new(config), State::new(epoch))
}

/// What an exchange would have to be told to know what it knows.
fn retold(truth: Truth) -> Vec<Change> {
    let mut changes = Vec::new();
    for (account, held) in truth.accounts {
        changes.push(Change::Opened { account: account.clone(), deposits: held.deposits });
        changes.extend(held.orders.into_iter().map(|order| Change::Order { account: account.clone(), order: Box::new(order) }));
        changes.extend(held.fills.into_iter().map(|fill| Change::Fill { account: account.clone(), fill }));
        changes.extend(held.balances.into_iter().map(|(asset, total)| Change::Balance { account: account.clone(), asset, total }));
        let positions = held.positions.into_iter();
        changes.extend(positions.map(|(symbol, position)| Change::Position { account: account.clone(), symbol, position }));
    }
    changes
}

impl Market {
    pub(crate) fn new(config: &HyperliquidConfig, now: Timestamp, perps: Deposits, spot: Deposits) -> Result<Self, PaperError> {
        // A whole minute, so that candles begin where people expect them to.
        let before = now.as_millis() - i64::try_from(config.history.as_millis()).unwrap_or(0);
        let epoch = Timestamp::from_millis(before - before.rem_euclid(60_000));
        let perps = open(universe::perps(config, perps), epoch)?;
        let spot = open(universe::spot(config, spot), epoch)?;
        let coins = universe::coins(perps.config(), spot.config());
        let sources: BTreeMap<_, _> =
            perps.config().prices.iter().chain(&spot.config().prices).map(|(s, p)| (s.clone(), p.clone())).collect();
        let histories = sources.iter().map(|(symbol, source)| (symbol.clone(), vec![(epoch, source.clone())])).collect();
        Ok(Self { coins, perps, spot, epoch, histories, sources, matched: now, moved: false, day_ago: BTreeMap::new() })
    }

    pub(crate) fn coin(&self, name: &str) -> Option<&Coin> {
        self.coins.iter().find(|coin| coin.name.as_str() == name)
    }

    pub(crate) fn asset(&self, asset: u32) -> Option<&Coin> {
        self.coins.iter().find(|coin| coin.asset == asset)
    }

    fn side(&mut self, spot: bool) -> &mut Exchange {
        if spot { &mut self.spot } else { &mut self.perps }
    }

    pub(crate) fn place(&mut self, now: Timestamp, account: &AccountId, spot: bool, order: &PlaceOrder) -> Result<OrderReport, Refusal> {
        self.side(spot).place(now, now, account, &order.to_wire())
    }

    pub(crate) fn cancel(&mut self, now: Timestamp, account: &AccountId, coin: &Coin, id: &ClientOrderId) -> Result<OrderReport, Refusal> {
        self.side(coin.spot).cancel(now, account, &coin.name, id)
    }

    /// Matches what rests, once for each change of any price.
    pub(crate) fn match_resting(&mut self, now: Timestamp) {
        if !self.moved && self.next_change(self.matched).is_none_or(|change| change > now) {
            return;
        }
        (self.matched, self.moved) = (now, false);
        self.perps.match_resting(now);
        self.spot.match_resting(now);
    }

    /// What happened since the last call: whose, on which side, what.
    pub(crate) fn take_updates(&mut self) -> Vec<(AccountId, bool, OrderReport)> {
        // The exchanges are in memory only: what they want written down is not.
        drop((self.perps.take_changes(), self.spot.take_changes()));
        let perps = self.perps.take_updates().into_iter().map(|(account, report)| (account, false, report));
        let spot = self.spot.take_updates().into_iter().map(|(account, report)| (account, true, report));
        perps.chain(spot).collect()
    }

    pub(crate) fn mark(&mut self, now: Timestamp, coin: &Coin) -> Decimal {
        self.side(coin.spot).mark(&coin.name, now).map_or(Decimal::ZERO, |mark| coin.rounded(mark.decimal()))
    }

    pub(crate) fn quote(&mut self, now: Timestamp, coin: &Coin) -> Option<Quote> {
        let quotes = self.side(coin.spot).quotes(now);
        quotes.into_iter().find(|quote| quote.symbol == coin.name)
    }

    pub(crate) fn quotes(&mut self, now: Timestamp) -> BTreeMap<VenueSymbol, Quote> {
        let quotes = self.perps.quotes(now).into_iter().chain(self.spot.quotes(now));
        quotes.map(|quote| (quote.symbol.clone(), quote)).collect()
    }

    /// Equity of the perpetuals' side, in USDC.
    pub(crate) fn equity(&mut self, now: Timestamp, account: &AccountId) -> Decimal {
        let usdc = Asset::new("USDC").expect("a constant asset");
        self.perps.equity(account, &usdc, now).map_or(Decimal::ZERO, Amount::decimal)
    }

    /// Settled balances of one side.
    pub(crate) fn balances(&mut self, now: Timestamp, account: &AccountId, spot: bool) -> BTreeMap<Asset, Amount> {
        let future = now.after(std::time::Duration::from_secs(1));
        let snapshot = self.side(spot).snapshot(now, account, Some(future)).unwrap_or_default();
        snapshot.balances.into_iter().map(|balance| (balance.asset, balance.total)).collect()
    }

    /// The first instant after `now` at which some price may differ.
    pub(crate) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        [self.perps.next_price_change(now), self.spot.next_price_change(now)].into_iter().flatten().min()
    }

    /// Holds a price where it is told, or lets it follow its source again.
    pub(crate) fn move_price(&mut self, now: Timestamp, name: &str, price: Option<Price>) -> Result<(), String> {
        let coin = self.coin(name).cloned().ok_or_else(|| format!("symbol is {name}, but nothing of that name is traded here"))?;
        let source = price.map_or_else(|| self.sources[&coin.name].clone(), |price| PriceSource::Fixed { price });
        self.edit(coin.spot, |config, _| drop(config.prices.insert(coin.name.clone(), source.clone())))?;
        let history = self.histories.entry(coin.name).or_default();
        if history.len() >= HISTORY_MAX {
            history.remove(1);
        }
        history.push((now, source));
        self.moved = true;
        Ok(())
    }

    /// Opens one side again, with something in its books or its configuration changed by hand.
    pub(crate) fn edit(&mut self, spot: bool, change: impl FnOnce(&mut Config, &mut Truth)) -> Result<(), String> {
        let exchange = self.side(spot);
        let (mut config, mut truth) = ((**exchange.config()).clone(), exchange.truth());
        change(&mut config, &mut truth);
        let state = State::restored(truth.epoch, retold(truth));
        let mut opened = Exchange::open(Arc::new(config), state).map_err(|e| e.to_string())?;
        std::mem::swap(exchange, &mut opened);
        Ok(())
    }

    /// The price of a coin a day ago, or where its prices began. Found anew once a minute: a walk has to be walked again for it.
    pub(crate) fn day_ago(&mut self, now: Timestamp, coin: &Coin) -> Decimal {
        let minute = now.as_millis().div_euclid(60_000);
        if let Some((_, price)) = self.day_ago.get(&coin.name).filter(|(asked, _)| *asked == minute) {
            return *price;
        }
        let then = now.as_millis() - 86_400_000;
        let candle = self.candles(now, coin, 60_000, then, then.max(self.epoch.as_millis() + 60_000)).first().copied();
        let price = candle.map_or_else(|| self.mark(now, coin), |(_, candle)| candle.open);
        self.day_ago.insert(coin.name.clone(), (minute, price));
        price
    }

    /// The candles of a coin from one instant to another, none before prices began and none of the future.
    pub(crate) fn candles(&self, now: Timestamp, coin: &Coin, step_ms: i64, from: i64, to: i64) -> Vec<(i64, Candle)> {
        let Some(history) = self.histories.get(&coin.name) else {
            return Vec::new();
        };
        let mut sources: Vec<(Timestamp, Prices)> =
            history.iter().filter_map(|(at, source)| Prices::open(source).ok().flatten().map(|prices| (*at, prices))).collect();
        let mut price = |at: i64| {
            let at = Timestamp::from_millis(at.min(now.as_millis()).max(self.epoch.as_millis()));
            let source = sources.iter_mut().rev().find(|(since, _)| *since <= at)?;
            Some(coin.rounded(source.1.at(at.since(self.epoch)).decimal()))
        };
        let first = from.max(self.epoch.as_millis()).div_euclid(step_ms) * step_ms;
        let last = to.min(now.as_millis()).div_euclid(step_ms) * step_ms;
        let wanted = (last - first).div_euclid(step_ms).min(4_999);
        let starts = (0..=wanted).map(|index| last - (wanted - index) * step_ms);
        starts.filter_map(|start| Some((start, candle(start, step_ms, &mut price)?))).collect()
    }
}

/// Looks at the price nine times within the candle: exact enough for a chart, and the same at every asking once it is over.
fn candle(start: i64, step_ms: i64, price: &mut impl FnMut(i64) -> Option<Decimal>) -> Option<Candle> {
    let mut candle: Option<Candle> = None;
    for eighth in 0..=8 {
        let seen = price(start + (step_ms - 1) * eighth / 8)?;
        candle = Some(candle.map_or(Candle { open: seen, high: seen, low: seen, close: seen }, |c| Candle {
            high: c.high.max(seen),
            low: c.low.min(seen),
            close: seen,
            ..c
        }));
    }
    candle
}
