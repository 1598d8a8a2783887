//! Paper trading on the prices of a real venue: what is met, when it is matched, and when there is no price at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use omnivenue_core::model::ids::{VenueId, VenueSymbol};
use omnivenue_core::model::instrument::Instrument;
use omnivenue_core::model::instrument::Side::{Buy, Sell};
use omnivenue_core::model::number::Price;
use omnivenue_core::model::order::OrderStatus;
use omnivenue_core::model::signal::TimeInForce::Gtc;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Capabilities, Effect, ErrorKind, Operation, Quote, Sink, Venue, VenueError};
use omnivenue_paper::{Config, FaultKind, PaperExchange, PriceSource, RefusalCode, RequestKind, Store};
use proptest::prelude::*;

use crate::world::{World, limit, quiet};

const TEN: Duration = Duration::from_secs(10);

/// HYPE at live prices, everything else still; a spread of the configuration's that must not apply.
fn live() -> Config {
    let mut config = quiet(Config::hyperliquid_like());
    config.prices.insert("HYPE".parse().unwrap(), PriceSource::Live { holds_for: TEN });
    config.spread = "0.05".parse().unwrap();
    config
}

fn quote(bid: &str, ask: &str, at: Timestamp) -> Quote {
    Quote { symbol: "HYPE".parse().unwrap(), bid: bid.parse().unwrap(), ask: ask.parse().unwrap(), at, depth: Default::default() }
}

fn give(world: &mut World, bid: &str, ask: &str) {
    world.server.give_quotes(world.now, [quote(bid, ask, world.now)]);
    world.wait(0);
}

fn hype() -> VenueSymbol {
    "HYPE".parse().unwrap()
}

#[test]
fn orders_meet_the_venues_own_bid_and_ask() {
    let mut world = World::new(live());
    let early = world.order("a1", Buy, "1", "60");
    assert_eq!(world.place(&early).unwrap_err().code, RefusalCode::NoPrice, "before the first quote");
    give(&mut world, "37.9", "38.2");
    let (buy, sell) = (world.order("a2", Buy, "1", "60"), world.order("a3", Sell, "1", "20"));
    assert_eq!(world.place(&buy).unwrap().fills[0].price.to_string(), "38.2");
    assert_eq!(world.place(&sell).unwrap().fills[0].price.to_string(), "37.9");
    let now = world.now;
    assert_eq!(world.server.quotes(now).into_iter().find(|quote| quote.symbol == hype()), Some(quote("37.9", "38.2", now)));
    let mut slipping = live();
    slipping.slippage = "0.01".parse().unwrap();
    let mut world = World::new(slipping);
    give(&mut world, "37.9", "38.2");
    let buy = world.order("a1", Buy, "1", "60");
    assert_eq!(world.place(&buy).unwrap().fills[0].price.to_string(), "38.582", "slippage is all that is added");
}

#[test]
fn what_rests_is_matched_when_a_quote_comes_and_by_nothing_else() {
    let mut config = live();
    config.depth = Some("38".parse().unwrap());
    let walk =
        PriceSource::Walk { seed: 1, start: "100".parse().unwrap(), step: "0.001".parse().unwrap(), every: Duration::from_millis(10) };
    config.prices.insert("BTC".parse().unwrap(), walk);
    let mut world = World::new(config);
    give(&mut world, "38", "38.1");
    let order = world.order("a1", Buy, "3", "60");
    assert_eq!(world.place(&limit(&order, "38", Gtc, false)).unwrap().status, OrderStatus::Open);
    give(&mut world, "37.7", "37.8");
    assert_eq!(world.query("a1").unwrap().filled_quantity.to_string(), "1", "as much as the depth allows, at its own price");
    world.wait(5000);
    assert_eq!(world.query("a1").unwrap().filled_quantity.to_string(), "1", "BTC has moved five hundred times, HYPE has not");
    give(&mut world, "37.7", "37.8");
    let report = world.query("a1").unwrap();
    assert_eq!(report.filled_quantity.to_string(), "2");
    assert!(report.fills.iter().all(|fill| fill.price.to_string() == "38"));
    give(&mut world, "38", "38.1");
    assert_eq!(world.query("a1").unwrap().filled_quantity.to_string(), "2", "it is no longer reached");
}

#[test]
fn an_old_quote_is_no_price_but_still_values() {
    let mut world = World::new(Config { spread: "0".parse().unwrap(), ..live() });
    give(&mut world, "38", "38");
    let order = world.order("a1", Buy, "10", "60");
    world.place(&order).unwrap();
    give(&mut world, "40", "40");
    world.wait(10_000);
    let (now, account, usdc) = (world.now, World::account(), "USDC".parse().unwrap());
    let still = world.order("a2", Buy, "1", "60");
    world.place(&still).unwrap();
    world.wait(1);
    let late = world.order("a3", Buy, "1", "60");
    assert_eq!(world.place(&late).unwrap_err().code, RefusalCode::NoPrice);
    assert!(world.server.quotes(world.now).iter().all(|quote| quote.symbol != hype()), "it is not quoted either");
    let equity = world.server.equity(&account, &usdc, now).unwrap();
    // 10000 + 10 bought at 38 and 1 at 40, all worth 40; fees 0.045 % of 380 and 40.
    assert_eq!(equity.to_string(), "10019.811");
    assert_eq!(world.server.mark(&hype(), world.now).unwrap().to_string(), "40");
    // Canceling needs no price, and a late quote is none.
    world.server.give_quotes(world.now, [quote("1", "2", Timestamp::from_millis(999_999))]);
    world.wait(0);
    assert_eq!(world.server.mark(&hype(), world.now).unwrap().to_string(), "40");
    give(&mut world, "41", "41");
    let again = world.order("a4", Sell, "11", "1");
    assert_eq!(world.place(&again).unwrap().fills[0].price.to_string(), "41");
    assert_eq!(world.position(), "0");
}

#[test]
fn a_venue_that_tells_the_middle_only_gets_the_configured_spread() {
    let mut world = World::new(live());
    give(&mut world, "38", "38");
    let (buy, sell) = (world.order("a1", Buy, "1", "60"), world.order("a2", Sell, "1", "20"));
    assert_eq!(world.place(&buy).unwrap().fills[0].price.to_string(), "38.95", "half of five percent above");
    assert_eq!(world.place(&sell).unwrap().fills[0].price.to_string(), "37.05");
    give(&mut world, "37.9", "38.2");
    give(&mut world, "38", "38");
    let again = world.order("a3", Buy, "1", "60");
    assert_eq!(world.place(&again).unwrap().fills[0].price.to_string(), "38.2", "the ask that was told still holds");
}

#[test]
fn quotes_of_what_is_not_live_are_passed_over() {
    let mut world = World::new(live());
    let btc = Quote { symbol: "BTC".parse().unwrap(), ..quote("1", "1", world.now) };
    let nothing = Quote { symbol: "NOPE".parse().unwrap(), ..btc.clone() };
    let beyond = quote("99999", "100001", world.now);
    world.server.give_quotes(world.now, [btc, nothing, beyond]);
    world.wait(0);
    assert_eq!(world.server.mark(&"BTC".parse().unwrap(), world.now).unwrap().to_string(), "100");
    assert_eq!(world.server.mark(&hype(), world.now), None, "a price above the instrument's largest is none");
}

#[test]
fn after_a_restart_everything_stands_and_is_worth_its_cost_until_a_quote_comes() {
    let live = || Config { spread: "0".parse().unwrap(), ..live() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.db");
    let mut world = World::with(live(), Store::open(&path).unwrap());
    give(&mut world, "38", "38");
    // At leverage 1 it holds 7600 of the 10000 there are.
    let held = world.order("a1", Buy, "200", "60");
    world.place(&held).unwrap();
    let resting = world.order("a2", Buy, "1", "60");
    world.place(&limit(&resting, "30", Gtc, false)).unwrap();
    let before = world.server.truth();
    drop(world);
    let mut world = World::with(live(), Store::open(&path).unwrap());
    assert_eq!(world.server.truth(), before, "the price is no part of it");
    world.now = world.now.after(Duration::from_millis(1000));
    let mut other = world.order("a3", Buy, "30", "200");
    other.symbol = "BTC".parse().unwrap();
    assert_eq!(world.place(&other).unwrap_err().code, RefusalCode::InsufficientFunds, "its margin is held without a price too");
    let blind = world.order("a4", Sell, "200", "1");
    assert_eq!(world.place(&blind).unwrap_err().code, RefusalCode::NoPrice);
    give(&mut world, "29", "29.5");
    assert_eq!(world.query("a2").unwrap().status, OrderStatus::Filled);
}

/// One history of quotes, orders and pauses.
fn history(steps: &[(u8, u32, u32, u64)]) -> World {
    let mut config = Config { spread: "0".parse().unwrap(), ..live() };
    config.latency.request = Duration::from_millis(7);
    config.latency.jitter = Duration::from_millis(9);
    let mut world = World::new(config);
    for (index, (kind, one, two, pause)) in steps.iter().enumerate() {
        let (name, side) = (format!("o{index}"), if kind % 2 == 0 { Buy } else { Sell });
        let worst = if side == Buy { "60" } else { "1" };
        let order = world.order(&name, side, &one.to_string(), worst);
        let place = |wire| omnivenue_paper::Request::Place { account: World::account(), wire };
        match kind {
            0 | 1 => drop(world.submit(place(order.to_wire()))),
            2 | 3 => drop(world.submit(place(limit(&order, &two.to_string(), Gtc, false).to_wire()))),
            _ => {
                let made = world.now.after(Duration::from_millis(u64::from(*one)));
                world.server.give_quotes(world.now, [quote(&two.to_string(), &(two + one % 3).to_string(), made)]);
            }
        }
        world.wait(*pause);
    }
    world.wait(60_000);
    world
}

proptest! {
    #[test]
    fn the_same_quotes_and_orders_make_the_same_history(
        steps in prop::collection::vec((0_u8..8, 1_u32..20, 30_u32..45, 0_u64..4000), 1..60),
    ) {
        let (one, two) = (history(&steps), history(&steps));
        prop_assert_eq!(one.server.truth(), two.server.truth());
        prop_assert_eq!(&one.updates, &two.updates);
        // Nothing trades at a price that no quote had, or beyond what was asked.
        let given: Vec<String> = steps.iter().filter(|s| s.0 > 3).flat_map(|s| [s.2.to_string(), (s.2 + s.1 % 3).to_string()]).collect();
        let truth = one.truth();
        for order in &truth.orders {
            for fill in truth.fills.iter().filter(|fill| fill.venue_order_id == order.venue_order_id()) {
                let bound = order.bound();
                let within = if fill.side == Buy { fill.price <= bound } else { fill.price >= bound };
                prop_assert!(within);
                prop_assert!(given.contains(&fill.price.to_string()) || fill.price == bound, "{fill:?}");
            }
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Waits until something holds, at most ten seconds.
async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F, what: &str) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(TEN, wait).await.is_ok(), "{what} in ten seconds");
}

/// A real venue, as far as paper trading is concerned: another exchange, whose connection can be cut.
fn real() -> Arc<PaperExchange> {
    let mut config = quiet(Config::hyperliquid_like());
    config.prices = Config::hyperliquid_like().prices;
    config.spread = "0.001".parse().unwrap();
    Arc::new(PaperExchange::open(config, None).unwrap())
}

/// Paper trading on it, under the same name.
fn paper_on(real: &PaperExchange, holds_for: Duration) -> Config {
    let venue = real.venue();
    let instruments = runtime().block_on(venue.instruments()).unwrap();
    let (mut config, left_out) = Config::live(venue.id(), venue.capabilities(), &instruments);
    assert_eq!(left_out, []);
    config.prices.values_mut().for_each(|source| *source = PriceSource::Live { holds_for });
    config.with_account(&World::account(), "USDC".parse().unwrap(), "10000".parse().unwrap())
}

/// An order for this exchange at its own time.
async fn place(exchange: &PaperExchange, name: &str) -> Result<Price, RefusalCode> {
    let now = exchange.account(&World::account()).snapshot(None).await.unwrap().at;
    let mut world = World::new(quiet(Config::hyperliquid_like()));
    world.now = now;
    let wire = world.order(name, Buy, "1", "60").to_wire();
    match exchange.link().call(omnivenue_paper::Request::Place { account: World::account(), wire }).await {
        Ok(omnivenue_paper::Response::Order(report)) => Ok(report.fills[0].price),
        Err(omnivenue_paper::LinkError::Refused(refusal)) => Err(refusal.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_exchange_trades_on_the_prices_of_another() {
    let real = real();
    let paper = PaperExchange::open_on(paper_on(&real, TEN), None, real.venue()).unwrap();
    runtime().block_on(async {
        let venue = paper.venue();
        until(async || venue.quotes().await.unwrap().len() == 5, "every instrument has a price").await;
        let fill = place(&paper, "a1").await.unwrap();
        let ask = real.venue().quotes().await.unwrap().into_iter().find(|quote| quote.symbol == hype()).unwrap().ask;
        let (low, high): (Price, Price) = ("37".parse().unwrap(), "39.5".parse().unwrap());
        assert!(fill > low && fill < high && ask > low && ask < high, "{fill} is near {ask}: both walk from 38.1");
        // Real prices move, and so do these.
        let first = venue.quotes().await.unwrap();
        until(
            async || {
                let now = venue.quotes().await.unwrap();
                now.iter().zip(&first).any(|(now, first)| now.ask != first.ask)
            },
            "prices move",
        )
        .await;
    });
    paper.stop();
    assert!(real.with(|_| ()).is_some(), "the venue that was followed goes on");
}

#[test]
fn a_venue_that_goes_silent_leaves_no_price_and_comes_back() {
    let real = real();
    let paper = PaperExchange::open_on(paper_on(&real, Duration::from_millis(400)), None, Arc::new(Flaky::new(&real))).unwrap();
    runtime().block_on(async {
        let venue = paper.venue();
        until(async || venue.quotes().await.unwrap().len() == 5, "it opens again after failing").await;
        real.with(|server| server.script(RequestKind::Quotes, FaultKind::CutBefore, 8)).unwrap();
        let flaky = real.venue();
        until(async || flaky.quotes().await.is_ok(), "the faults are used up").await;
        real.stop();
        until(async || venue.quotes().await.unwrap().is_empty(), "prices are gone").await;
        assert_eq!(place(&paper, "a1").await, Err(RefusalCode::NoPrice));
    });
}

/// A venue whose stream breaks after every quote, and at first is not there at all.
struct Flaky {
    venue: Arc<dyn Venue>,
    opened: AtomicUsize,
}

impl Flaky {
    fn new(real: &PaperExchange) -> Self {
        Self { venue: real.venue(), opened: AtomicUsize::new(0) }
    }

    fn broken(&self) -> VenueError {
        VenueError::new(self.venue.id(), Operation::Quotes, ErrorKind::Connection, Effect::Unknown, "the connection broke")
    }
}

#[async_trait]
impl Venue for Flaky {
    fn id(&self) -> &VenueId {
        self.venue.id()
    }

    fn capabilities(&self) -> &Capabilities {
        self.venue.capabilities()
    }

    async fn instruments(&self) -> Result<Vec<Instrument>, VenueError> {
        self.venue.instruments().await
    }

    async fn quotes(&self) -> Result<Vec<Quote>, VenueError> {
        if self.opened.load(Ordering::Relaxed) < 2 {
            return Err(self.broken());
        }
        self.venue.quotes().await
    }

    async fn stream_quotes(&self, sink: Sink<Quote>) -> Result<(), VenueError> {
        if self.opened.fetch_add(1, Ordering::Relaxed) > 1 {
            let (inner, mut quotes) = Sink::bounded(1);
            let one = async {
                if let Some(quote) = quotes.recv().await {
                    let _ = sink.send(quote).await;
                }
            };
            tokio::select! {
                () = one => {}
                ended = self.venue.stream_quotes(inner) => ended?,
            }
        }
        Err(self.broken())
    }
}

#[test]
fn what_cannot_be_simulated_is_left_out_and_said() {
    let instruments = |config: &Config| config.check().unwrap().into_values().collect::<Vec<_>>();
    let (perp, spot) = (Config::hyperliquid_like(), Config::spot_like());
    let both: Vec<Instrument> = instruments(&perp).into_iter().chain(instruments(&spot)).collect();
    let id: VenueId = "paper".parse().unwrap();
    let (config, left_out) = Config::live(&id, &perp.capabilities(), &both);
    assert_eq!((config.instruments.len(), left_out.len()), (5, 2));
    assert!(left_out.iter().all(|out| out.reason == "it is spot, which is another venue's here"), "{left_out:?}");
    assert_eq!(config.maker_fee, perp.instruments[0].taker_fee, "until it is set, what rested pays no less");
    config.check().unwrap();
    let (config, left_out) = Config::live(&id, &spot.capabilities(), &both);
    assert_eq!((config.instruments.len(), left_out.len()), (2, 5));
    config.check().unwrap();
    let twice: Vec<Instrument> = instruments(&spot).into_iter().chain(instruments(&spot)).collect();
    let (_, left_out) = Config::live(&id, &spot.capabilities(), &twice);
    assert!(left_out[0].reason.contains("is there already"), "{left_out:?}");
}
