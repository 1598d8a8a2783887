//! Where a signal's legs go: the best price after fees, weights that add up, and never two places for one leg.

use std::collections::BTreeMap;
use std::time::Duration;

use omnivenue_core::engine::Task;
use omnivenue_core::executor::{ExecutionRecord, Input, Limits, Setup, Timer, VenueSetup};
use omnivenue_core::journal::{Failure, MemoryStore};
use omnivenue_core::model::execution::LegState;
use omnivenue_core::model::ids::{AccountId, ClientOrderId};
use omnivenue_core::model::instrument::{Instrument, InstrumentSpec, Market};
use omnivenue_core::venue::{Depth, Effect, ErrorKind, Evidence, PriceLevel, Quote};
use proptest::prelude::*;
use rust_decimal::Decimal;

mod bench;

use self::bench::{Bench, name, placed};

/// A bench whose instruments are changed, by venue.
fn bench(venues: usize, change: impl Fn(usize, &mut InstrumentSpec), more: impl FnOnce(&mut Setup)) -> Bench {
    Bench::with(venues, Limits::default(), MemoryStore::new(), |setup| {
        let assets = setup.assets.clone();
        for (index, venue) in setup.venues.values_mut().enumerate() {
            let changed = |instrument: &Instrument| {
                let mut spec = InstrumentSpec::clone(instrument);
                change(index, &mut spec);
                Instrument::new(spec).expect("the test changes it soundly")
            };
            *venue = VenueSetup::new(venue.capabilities.clone(), venue.instruments.values().map(changed).collect(), &assets);
        }
        more(setup);
    })
}

fn fees(of: &'static [&'static str]) -> impl Fn(usize, &mut InstrumentSpec) {
    |index, spec| spec.taker_fee = name(of[index])
}

fn level(price: &str, quantity: &str) -> PriceLevel {
    PriceLevel { price: name(price), quantity: name(quantity) }
}

trait Routes {
    fn offer(&mut self, venue: usize, bid: &str, ask: &str, depth: Depth);
    fn offer_of(&mut self, venue: usize, symbol: &str, bid: &str, ask: &str);
    fn send(&mut self, id: &str, more: &str) -> Vec<ClientOrderId>;
    fn record(&self, id: &str) -> ExecutionRecord;
    fn went_to(&self, id: &str) -> Vec<String>;
    fn refuse(&mut self, order: &ClientOrderId) -> Vec<Task>;
    fn lose(&mut self, order: &ClientOrderId) -> Vec<Task>;
}

impl Routes for Bench {
    fn offer(&mut self, venue: usize, bid: &str, ask: &str, depth: Depth) {
        let quote = Quote { symbol: name("HYPE"), bid: name(bid), ask: name(ask), at: self.now.wall, depth };
        self.kernel.input(self.now, Input::Quote { venue: name(&format!("venue{venue}")), quote });
    }

    fn offer_of(&mut self, venue: usize, symbol: &str, bid: &str, ask: &str) {
        let quote = Quote { symbol: name(symbol), bid: name(bid), ask: name(ask), at: self.now.wall, depth: Depth::default() };
        self.kernel.input(self.now, Input::Quote { venue: name(&format!("venue{venue}")), quote });
    }

    fn send(&mut self, id: &str, more: &str) -> Vec<ClientOrderId> {
        let signal = self.signal(id, "one", more);
        self.execute(signal);
        placed(&self.commit().1)
    }

    fn record(&self, id: &str) -> ExecutionRecord {
        let number = self.kernel.execution_of(&name(id)).expect("the journal reads").expect("it was taken");
        self.kernel.execution(number).expect("the journal reads").expect("it is there")
    }

    /// The accounts of the legs, in order, with what each asks for.
    fn went_to(&self, id: &str) -> Vec<String> {
        let leg = |leg: &omnivenue_core::executor::LegRecord| {
            let quantity = leg.plan.order.as_ref().map_or_else(|| "-".to_owned(), |order| order.quantity.to_string());
            format!("{} {quantity}", leg.plan.account)
        };
        self.record(id).legs.iter().map(leg).collect()
    }

    fn refuse(&mut self, order: &ClientOrderId) -> Vec<Task> {
        let failure = Failure { kind: ErrorKind::InvalidRequest, effect: Effect::Refused, code: None, message: "no".into() };
        self.kernel.input(self.now, Input::Placed { order: order.clone(), result: Err(failure) })
    }

    fn lose(&mut self, order: &ClientOrderId) -> Vec<Task> {
        let failure = Failure { kind: ErrorKind::Timeout, effect: Effect::Unknown, code: None, message: "no answer".into() };
        self.kernel.input(self.now, Input::Placed { order: order.clone(), result: Err(failure) })
    }
}

const BEST: &str = r#","routing":"best""#;

fn unsized_signal(sizing: &str, more: &str) -> String {
    format!(r#"{{"id":"s","agent":"one","asset":"HYPE","direction":"long","sizing":{sizing}{more}}}"#)
}

fn send(bench: &mut Bench, text: &str) -> Vec<ClientOrderId> {
    let signal = omnivenue_core::model::signal::Signal::from_json(text).expect("a valid signal");
    bench.execute(signal);
    placed(&bench.commit().1)
}

#[test]
fn best_is_the_best_price_after_fees() {
    // 38.00 × 1.001 = 38.038; 38.02 × 1.00045 = 38.037109; 38.03 × 1.0004 = 38.045212.
    let mut bench = bench(3, fees(&["0.001", "0.00045", "0.0004"]), |_| {});
    bench.offer(0, "37.99", "38", Depth::default());
    bench.offer(1, "37.97", "38.02", Depth::default());
    bench.offer(2, "37.99", "38.03", Depth::default());
    assert_eq!(bench.send("long", BEST).len(), 1, "one leg and no more");
    assert_eq!(bench.went_to("long"), ["account1 13.02"]);
    let routed = bench.record("long").legs[0].plan.routed.clone().expect("it says what was compared");
    assert_eq!(routed, "per unit after fees: account1 38.037109, account0 38.038, account2 38.045212");
    // A short receives 37.99 × 0.9996 = 37.974804 at the third, more than 37.95201 and 37.9529135.
    let short = unsized_signal(r#"{"notional":"500"}"#, BEST)
        .replace("long", "short")
        .replace(r#""s""#, r#""down""#)
        .replace(r#""one""#, r#""two""#);
    // On an account of its own: the other agent is long elsewhere.
    send(&mut bench, &short);
    assert_eq!(bench.went_to("down").last().map(|leg| leg.split(' ').next().unwrap_or_default().to_owned()), Some("account2".into()));
}

#[test]
fn equal_offers_go_by_the_deployments_order() {
    let mut bench = bench(3, |_, _| {}, |setup| setup.deployments.values_mut().for_each(|deployment| deployment.accounts.reverse()));
    bench.send("s", BEST);
    assert_eq!(bench.went_to("s"), ["account2 13.02"]);
}

#[test]
fn a_thin_book_is_best_for_little_and_not_for_much() {
    let mut bench = bench(2, |_, _| {}, |_| {});
    let thin = || Depth::book(vec![level("37.9", "1000")], vec![level("38", "5"), level("38.3", "1000")]);
    let deep = || Depth::book(vec![level("37.9", "1000")], vec![level("38.1", "1000")]);
    bench.offer(0, "37.9", "38", thin());
    bench.offer(1, "37.9", "38.1", deep());
    send(&mut bench, &unsized_signal(r#"{"quantity":"5"}"#, BEST));
    assert_eq!(bench.went_to("s"), ["account0 5"]);
    // 5 at 38 and 10 at 38.3 are 38.2 on average.
    send(&mut bench, &unsized_signal(r#"{"quantity":"15"}"#, BEST).replace(r#""s""#, r#""t""#));
    assert_eq!(bench.went_to("t"), ["account1 15"]);
    // Beyond its book a venue is taken at the worst price admitted.
    bench.offer(0, "37.9", "38", Depth::book(Vec::new(), vec![level("38", "1")]));
    send(&mut bench, &unsized_signal(r#"{"quantity":"10"}"#, BEST).replace(r#""s""#, r#""u""#));
    assert_eq!(bench.went_to("u"), ["account1 10"]);
}

/// kPEPE is 1000 PEPE: prices are compared for one of the asset, and sizes are of the asset.
#[test]
fn venues_that_count_in_thousands_are_compared_by_the_asset() {
    let pepe = |index: usize, spec: &mut InstrumentSpec| {
        if index == 1 && spec.symbol.as_str() == "kPEPE" {
            spec.symbol = name("PEPE");
            spec.base = name("PEPE");
            spec.price_rule = omnivenue_core::model::instrument::PriceRule { decimals: Some(9), ..Default::default() };
            spec.max_quantity = name("1000000000");
        }
    };
    for (ask, wanted) in [("0.000018", "account1 2500000"), ("0.000019", "account0 2500")] {
        let mut bench = bench(2, pepe, |_| {});
        bench.offer_of(0, "kPEPE", "0.0184", "0.0185");
        bench.offer_of(1, "PEPE", "0.000017", ask);
        let text = r#"{"id":"s","agent":"one","asset":"kPEPE","direction":"long","sizing":{"quantity":"2500"},"routing":"best"}"#;
        assert_eq!(send(&mut bench, text).len(), 1);
        // The exchange behind the bench knows no PEPE: what is decided counts.
        assert_eq!(bench.went_to("s")[0], wanted, "at {ask} for one PEPE");
    }
}

#[test]
fn who_cannot_trade_now_is_passed_over() {
    let mut bench = bench(3, |_, _| {}, |_| {});
    bench.offer(0, "37", "37.5", Depth::default());
    bench.offer(1, "37", "37.6", Depth::default());
    for _ in 0..5 {
        let failure = Failure { kind: ErrorKind::Connection, effect: Effect::Unknown, code: None, message: "gone".into() };
        bench.kernel.snapshot(bench.now, name("account0"), Err(failure));
    }
    assert!(bench.kernel.state().book().breaker(Some(&name("venue0"))).is_some(), "its breaker is open");
    assert_eq!(bench.send("s", BEST).len(), 1);
    assert_eq!(bench.went_to("s"), ["account1 13.16"], "the cheapest is unwell, and gets no leg at all");
    assert_eq!(bench.record("s").admission.standby.len(), 2);
    let routed = bench.record("s").legs[0].plan.routed.clone().unwrap_or_default();
    assert!(routed.ends_with("account0 none"), "{routed}");
}

#[test]
fn a_refusal_turns_to_what_is_best_by_then() {
    let mut bench = bench(3, |_, _| {}, |_| {});
    for (venue, ask) in [(0, "38"), (1, "38.1"), (2, "38.2")] {
        bench.offer(venue, "37.9", ask, Depth::default());
    }
    let order = bench.send("s", BEST).remove(0);
    assert_eq!(bench.went_to("s"), ["account0 13.02"]);
    // Prices moved while it was on its way.
    bench.offer(1, "37.9", "38.3", Depth::default());
    bench.refuse(&order);
    let next = placed(&bench.commit().1);
    assert_eq!((next.len(), bench.went_to("s").len()), (1, 2));
    assert!(bench.went_to("s")[1].starts_with("account2"), "{:?}", bench.went_to("s"));
    bench.fill(&next[0], 4);
    bench.commit();
    let states = bench.states("s");
    assert!(states[0].starts_with("rejected") && states[1] == "filled:", "{states:?}");
}

#[test]
fn a_leg_that_is_unknown_never_falls_through() {
    for routing in ["best", "first"] {
        let mut bench = bench(2, |_, _| {}, |_| {});
        let order = bench.send("s", &format!(r#","routing":"{routing}","valid_for":"1h""#)).remove(0);
        bench.lose(&order);
        assert_eq!(bench.states("s"), ["unknown"]);
        // Whatever time passes, and whoever asks again.
        for _ in 0..40 {
            bench.pass(Duration::from_secs(30));
            bench.quote("37.99", "38.01");
            for timer in [Timer::Probe(order.clone()), Timer::Deadline(order.clone()), Timer::Breakers] {
                assert!(placed(&bench.kernel.input(bench.now, Input::Timer(timer))).is_empty());
            }
            assert!(placed(&bench.commit().1).is_empty(), "{routing}: nothing leaves while it is unknown");
        }
        assert_eq!(bench.send("s", &format!(r#","routing":"{routing}","valid_for":"1h""#)), [], "nor when it is sent again");
        assert_eq!((bench.states("s").len(), bench.states("s")[0].as_str()), (1, "unknown"));
        // Evidence ends it, and the leg tries again at the same place; a refusal there is certain, and the other account is next.
        let evidence = Evidence::AbsentForever { evidence: "its nonce is burned".into() };
        bench.kernel.input(bench.now, Input::Probed { order, result: Ok(evidence) });
        bench.commit();
        let leg = omnivenue_core::journal::LegRef { execution: 1, leg: 0 };
        bench.kernel.input(bench.now, Input::Timer(Timer::Retry(leg)));
        let again = placed(&bench.commit().1);
        assert_eq!((again.len(), bench.states("s").len()), (1, 1), "{routing}: another attempt of the same leg");
        bench.refuse(&again[0]);
        let next = placed(&bench.commit().1);
        assert_eq!((next.len(), bench.states("s").len()), (1, 2), "{routing}");
        bench.fill(&next[0], 4);
        bench.commit();
        let takes_effect = bench.record("s").legs.iter().filter(|leg| leg.filled().is_ok_and(|filled| !filled.quantity.is_zero())).count();
        assert_eq!(takes_effect, 1);
    }
}

#[test]
fn weights_share_the_size() {
    let two_at_one = |setup: &mut Setup| {
        // The third account is a second one at the first venue.
        let second: AccountId = name("account2");
        setup.accounts.get_mut(&second).expect("it is there").venue = name("venue0");
    };
    let mut bench = bench(3, |_, _| {}, two_at_one);
    let split = r#","routing":{"split":{"venue0":"0.6","venue1":"0.4"}}"#;
    send(&mut bench, &unsized_signal(r#"{"quantity":"10.01"}"#, split));
    // 3.003 each, and 4.004.
    assert_eq!(bench.went_to("s"), ["account0 3", "account1 4", "account2 3"]);
    bench.send("n", split);
    // 150, 200 and 150 at 38.391, the worst price admitted.
    assert_eq!(bench.went_to("n"), ["account0 3.9", "account1 5.2", "account2 3.9"]);
    // Where only some venues are named, the others take no part.
    bench.send("o", r#","routing":{"split":{"venue1":"1"}}"#);
    assert_eq!(bench.went_to("o"), ["account1 13.02"]);
}

#[test]
fn a_split_that_cannot_be_is_refused_before_anything() {
    let mut bench = bench(2, |_, _| {}, |_| {});
    let parse = |split: &str| {
        let text = unsized_signal(r#"{"notional":"500"}"#, &format!(r#","routing":{{"split":{split}}}"#));
        omnivenue_core::model::signal::Signal::from_json(&text)
    };
    let error = parse(r#"{"venue0":"0.5","venue1":"0.49"}"#).expect_err("it does not add up").to_string();
    assert!(error.contains("0.99") && error.contains("exactly 1"), "{error}");
    let unknown = parse(r#"{"venue0":"0.5","elsewhere":"0.5"}"#).expect("the form is right");
    let tasks = bench.execute(unknown);
    let said =
        tasks.iter().find_map(|task| if let Task::Answer { result: Err(error), .. } = task { Some(error.to_string()) } else { None });
    let said = said.expect("it is refused");
    assert!(said.contains("elsewhere is not enabled") && said.contains("venue0"), "{said}");
    assert!(bench.kernel.execution_of(&name("s")).expect("the journal reads").is_none(), "and nothing was written down");
}

#[test]
fn a_split_leg_that_comes_to_nothing_goes_nowhere_else() {
    let mut bench = bench(2, |_, _| {}, |_| {});
    let orders = bench.send("s", r#","routing":{"split":{"venue0":"0.5","venue1":"0.5"}}"#);
    assert_eq!(orders.len(), 2);
    bench.refuse(&orders[0]);
    bench.fill(&orders[1], 4);
    assert!(placed(&bench.commit().1).is_empty());
    assert_eq!(bench.went_to("s").len(), 2);
}

/// The first venue lists perpetuals, the second spot, the third both.
fn markets() -> Bench {
    let mut bench = Bench::with(3, Limits::default(), MemoryStore::new(), |setup| {
        let assets = setup.assets.clone();
        for (index, venue) in setup.venues.values_mut().enumerate() {
            let mut specs: Vec<InstrumentSpec> =
                venue.instruments.values().filter(|i| i.symbol.as_str() == "HYPE").map(|i| InstrumentSpec::clone(i)).collect();
            let spot = InstrumentSpec {
                symbol: name("HYPE/USDC"),
                market: Market::Spot,
                max_leverage: name("1"),
                ..specs.first().cloned().expect("HYPE is listed")
            };
            match index {
                0 => {}
                1 => specs = vec![spot],
                _ => specs.push(spot),
            }
            let instruments = specs.into_iter().map(|spec| Instrument::new(spec).expect("it is sound")).collect();
            *venue = VenueSetup::new(venue.capabilities.clone(), instruments, &assets);
        }
    });
    for venue in [1, 2] {
        bench.offer_of(venue, "HYPE/USDC", "37.99", "38.01");
    }
    bench
}

fn traded(bench: &Bench, id: &str) -> Vec<String> {
    let leg = |leg: &omnivenue_core::executor::LegRecord| match (&leg.plan.order, &leg.state) {
        (Some(order), _) => {
            format!("{} {}", leg.plan.symbol.as_ref().map(|symbol| symbol.as_str()).unwrap_or_default(), order.terms.market)
        }
        (None, LegState::Done { why, .. }) => why.as_ref().map(|why| why.code.clone()).unwrap_or_default(),
        (None, state) => state.name().to_owned(),
    };
    bench.record(id).legs.iter().map(leg).collect()
}

#[test]
fn any_market_is_perpetuals_where_there_are_some_and_spot_where_it_can_be() {
    let mut bench = markets();
    bench.send("s", r#","market":"any""#);
    assert_eq!(traded(&bench, "s"), ["HYPE perp", "HYPE/USDC spot", "HYPE perp"]);
    bench.send("p", r#","market":"perp""#);
    assert_eq!(traded(&bench, "p"), ["HYPE perp", "not_listed", "HYPE perp"]);
    // Spot has no leverage and is not sold short.
    let mut bench = markets();
    bench.send("l", r#","market":"any","leverage":"2""#);
    assert_eq!(traded(&bench, "l"), ["HYPE perp", "other_market", "HYPE perp"]);
    let mut bench = markets();
    send(&mut bench, &unsized_signal(r#"{"notional":"500"}"#, r#","market":"any""#).replace("long", "short"));
    assert_eq!(traded(&bench, "s"), ["HYPE perp", "other_market", "HYPE perp"]);
}

#[test]
fn the_market_an_account_is_configured_for_comes_first() {
    let mut bench = markets();
    bench.setup.accounts.get_mut(&name::<AccountId>("account2")).expect("it is there").market = Some(Market::Spot);
    let mut bench = Bench::opened(bench.setup.clone(), bench.accounts.clone(), MemoryStore::new(), bench.now);
    for venue in [1, 2] {
        bench.offer_of(venue, "HYPE/USDC", "37.99", "38.01");
    }
    bench.recover(&[]);
    bench.send("s", r#","market":"any""#);
    assert_eq!(traded(&bench, "s"), ["HYPE perp", "HYPE/USDC spot", "HYPE/USDC spot"]);
    bench.send("p", "");
    assert_eq!(traded(&bench, "p"), ["HYPE perp", "not_listed", "other_market"]);
}

#[test]
fn what_a_venue_has_no_orders_for_is_refused_before_the_wire() {
    let no_post_only = |setup: &mut Setup| {
        let venue = setup.venues.get_mut(&name("venue1")).expect("it is there");
        venue.capabilities.orders.post_only = false;
        venue.capabilities.orders.fill_or_kill = true;
    };
    let mut bench = bench(2, |_, _| {}, no_post_only);
    let fok = r#","order":{"type":"limit","price":"38.5","time_in_force":"fok"}"#;
    assert_eq!(bench.send("fok", fok).len(), 1);
    assert_eq!(bench.states("fok"), ["refused:unsupported_order", "sent"]);
    let why = match &bench.record("fok").legs[0].state {
        LegState::Done { why: Some(why), .. } => why.reason.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(why, "venue0 has no fill-or-kill orders; use ioc");
    assert_eq!(bench.send("post", r#","order":{"type":"limit","price":"37","post_only":true}"#).len(), 1);
    assert_eq!(bench.states("post"), ["sent", "refused:unsupported_order"]);
    // Routing goes where it can be done.
    assert_eq!(bench.send("best", &format!(r#"{fok}{BEST}"#)).len(), 1);
    assert_eq!(bench.went_to("best").len(), 1);
    assert!(bench.went_to("best")[0].starts_with("account1"));
}

#[test]
fn every_signal_of_a_deployment_is_scaled() {
    let mut bench = bench(
        1,
        |_, _| {},
        |setup| {
            setup.deployments.get_mut(&name("one")).expect("it is there").scale = name("0.5");
        },
    );
    bench.send("half", "");
    assert_eq!(bench.went_to("half"), ["account0 6.51"]);
    send(&mut bench, &unsized_signal(r#"{"quantity":"10.01"}"#, ""));
    assert_eq!(bench.went_to("s"), ["account0 5"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_split_adds_up_to_no_more_than_the_total(
        weights in proptest::collection::vec(1_u32..100, 1..4),
        cents in 1_000_u32..10_000_000,
        scale in 1_u32..300,
        shared in 0_usize..4,
        kind in 0..3,
        short in any::<bool>(),
    ) {
        let total: u32 = weights.iter().sum();
        let scale = Decimal::new(i64::from(scale), 2);
        let place = |setup: &mut Setup| {
            // The last account is a second one at one of the venues.
            setup.accounts.get_mut(&name::<AccountId>("account3")).expect("it is there").venue = name(&format!("venue{shared}"));
            setup.deployments.values_mut().for_each(|deployment| deployment.scale = name(&scale.to_string()));
        };
        let mut bench = bench(4, |_, _| {}, place);
        let mut left = Decimal::ONE;
        let mut split = BTreeMap::new();
        for (index, weight) in weights.iter().enumerate() {
            let share = if index + 1 == weights.len() { left } else { (Decimal::from(*weight) / Decimal::from(total)).trunc_with_scale(6) };
            left -= share;
            split.insert(format!("venue{index}"), share.normalize().to_string());
        }
        let asked = Decimal::new(i64::from(cents), 2);
        let fraction = Decimal::new(i64::from(cents), 8);
        let sizing = match kind {
            0 => format!(r#"{{"notional":"{asked}"}}"#),
            1 => format!(r#"{{"quantity":"{asked}"}}"#),
            _ => format!(r#"{{"equity_fraction":"{fraction}"}}"#),
        };
        let routing = serde_json::json!({ "split": split });
        let text = unsized_signal(&sizing, &format!(r#","routing":{routing}"#));
        send(&mut bench, &if short { text.replace("long", "short") } else { text });
        let record = bench.record("s");
        let mut sum = Decimal::ZERO;
        for leg in record.legs.iter().filter_map(|leg| leg.plan.order.as_ref()) {
            sum += match kind {
                1 => leg.quantity.decimal(),
                _ => leg.worst_price.notional(leg.quantity).expect("it fits").decimal(),
            };
        }
        // Each account has a million.
        let most = match kind { 2 => fraction * Decimal::from(1_000_000), _ => asked } * scale;
        prop_assert!(sum <= most, "{sum} of {most}");
        let keys: Vec<&AccountId> = record.legs.iter().map(|leg| &leg.plan.account).collect();
        let mut apart = keys.clone();
        apart.sort();
        apart.dedup();
        prop_assert_eq!(keys.len(), apart.len(), "one leg an account");
    }

    #[test]
    fn nobody_offers_a_better_price_than_the_best(
        asks in proptest::collection::vec(3_700_u32..3_900, 3),
        fees in proptest::collection::vec(0_u32..200, 3),
        short in any::<bool>(),
    ) {
        let fee = |index: usize| Decimal::new(i64::from(fees[index]), 5);
        let mut bench = bench(3, |index, spec| spec.taker_fee = name(&fee(index).to_string()), |_| {});
        let price = |index: usize| Decimal::new(i64::from(asks[index]), 2);
        for index in 0..3 {
            let (touch, spread) = (price(index), Decimal::new(1, 2));
            let (bid, ask) = if short { (touch, touch + spread) } else { (touch - spread, touch) };
            bench.offer(index, &bid.to_string(), &ask.to_string(), Depth::default());
        }
        let text = unsized_signal(r#"{"quantity":"10"}"#, BEST);
        let orders = send(&mut bench, &if short { text.replace("long", "short") } else { text });
        prop_assert_eq!(orders.len(), 1);
        let chosen = bench.record("s").legs[0].plan.account.to_string();
        let chosen: usize = chosen.trim_start_matches("account").parse().expect("a number");
        let cost = |index: usize| if short { -price(index) * (Decimal::ONE - fee(index)) } else { price(index) * (Decimal::ONE + fee(index)) };
        for other in 0..3 {
            prop_assert!(cost(chosen) < cost(other) || (cost(chosen) == cost(other) && chosen <= other), "{chosen} {other}");
        }
    }
}
