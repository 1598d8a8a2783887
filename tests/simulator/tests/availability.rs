//! Where an asset could be traded now, and what stands in the way: what is said is what a signal meets.

use omnivenue_core::executor::{Availability, Input, Limits, Setup, VenueSetup};
use omnivenue_core::journal::{Failure, KillMode, KillScope, MemoryStore};
use omnivenue_core::model::ids::{AccountId, Asset};
use omnivenue_core::model::instrument::{Instrument, InstrumentSpec, Market};
use omnivenue_core::model::signal::Direction;
use omnivenue_core::venue::{Depth, Effect, ErrorKind, Quote};

mod bench;

use self::bench::{Bench, name, placed};

fn of(bench: &mut Bench, asset: &str) -> Vec<Availability> {
    let before = serde_json::to_string(bench.kernel.state().book()).expect("plain data");
    let rows = bench.kernel.availability(bench.now, &name::<Asset>(asset));
    assert_eq!(before, serde_json::to_string(bench.kernel.state().book()).expect("plain data"), "asking changes nothing");
    assert!(bench.kernel.take_batch().is_none(), "and writes nothing down");
    rows
}

fn statuses(rows: &[Availability]) -> Vec<&str> {
    rows.iter().map(|row| row.status.as_str()).collect()
}

fn refused(row: &Availability, deployment: &str, direction: Direction) -> String {
    let could = row.deployments.iter().find(|could| could.deployment.as_str() == deployment).expect("it trades there");
    could.refused.iter().find(|refused| refused.direction == direction).map_or_else(String::new, |refused| refused.code.clone())
}

#[test]
fn a_ready_account_tells_terms_prices_and_who_could_open() {
    let mut bench = Bench::new(2, Limits::default());
    let rows = of(&mut bench, "HYPE");
    assert_eq!(statuses(&rows), ["ready", "ready"]);
    let (terms, quote) = (rows[0].instrument.as_ref().expect("listed"), rows[0].quote.as_ref().expect("quoted"));
    assert_eq!((terms.symbol.as_str(), terms.market, terms.max_leverage.to_string().as_str()), ("HYPE", Market::Perp, "10"));
    assert_eq!((terms.lot_size.to_string().as_str(), terms.min_notional.to_string().as_str()), ("0.01", "10"));
    // 0.02 of 38.
    assert_eq!(quote.spread.expect("apart").to_string(), "0.00052632");
    let who: Vec<(&str, bool, usize)> =
        rows[0].deployments.iter().map(|could| (could.deployment.as_str(), could.could_open, could.refused.len())).collect();
    assert_eq!(who, [("one", true, 0), ("two", true, 0)]);
    let text = serde_json::to_string(&rows).expect("plain data");
    assert_eq!(serde_json::from_str::<Vec<Availability>>(&text).expect("it reads back"), rows);
}

#[test]
fn what_stands_in_the_way_is_told_and_is_what_a_signal_meets() {
    let mut bench = Bench::new(3, Limits::default());
    // The first agent is long everywhere: nobody else may be short there.
    let signal = bench.signal("s", "one", "");
    bench.execute(signal);
    for order in placed(&bench.commit().1) {
        bench.fill(&order, 4);
    }
    for _ in 0..5 {
        let failure = Failure { kind: ErrorKind::Connection, effect: Effect::Unknown, code: None, message: "gone".into() };
        bench.kernel.snapshot(bench.now, name("account0"), Err(failure));
    }
    let kill = Input::Kill { scope: KillScope::Account(name("account1")), mode: KillMode::Pause, reason: "lunch".into(), token: 1 };
    bench.kernel.input(bench.now, kill);
    bench.commit();
    let rows = of(&mut bench, "HYPE");
    assert_eq!(statuses(&rows), ["breaker", "killed", "ready"]);
    assert!(rows[0].reason.as_deref().is_some_and(|why| why.contains("calls failed")), "{rows:?}");
    assert!(rows[1].reason.as_deref().is_some_and(|why| why.contains("lunch")), "{rows:?}");
    assert_eq!(refused(&rows[2], "two", Direction::Long), "");
    assert_eq!(refused(&rows[2], "two", Direction::Short), "opposite_interest");
    assert_eq!(refused(&rows[0], "two", Direction::Long), "breaker");
    assert_eq!(refused(&rows[1], "two", Direction::Long), "killed");
    // And so it is.
    let text = r#"{"id":"t","agent":"two","asset":"HYPE","direction":"short","sizing":{"notional":"20"}}"#;
    bench.execute(omnivenue_core::model::signal::Signal::from_json(text).expect("a valid signal"));
    bench.commit();
    assert_eq!(bench.states("t"), ["refused:breaker", "refused:killed", "refused:opposite_interest"]);
}

#[test]
fn before_anything_is_known_it_says_so() {
    let bench = Bench::new(2, Limits::default());
    let mut fresh = Bench::opened(bench.setup.clone(), bench.accounts.clone(), MemoryStore::new(), bench.now);
    fresh.commit();
    assert_eq!(statuses(&of(&mut fresh, "HYPE")), ["recovering", "recovering"]);
    let mut bench = bench;
    assert_eq!(statuses(&of(&mut bench, "BTC")), ["no_price", "no_price"]);
    let rows = of(&mut bench, "DOGE");
    assert_eq!(statuses(&rows), ["not_listed", "not_listed"]);
    assert!(rows[0].instrument.is_none() && rows[0].deployments.is_empty());
}

#[test]
fn another_market_another_instrument_and_a_venue_that_says_nothing() {
    let change = |setup: &mut Setup| {
        setup.accounts.get_mut(&name::<AccountId>("account0")).expect("it is there").market = Some(Market::Spot);
        let assets = setup.assets.clone();
        let venue = setup.venues.get_mut(&name("venue1")).expect("it is there");
        let mut instruments: Vec<_> = venue.instruments.values().cloned().collect();
        let hype = instruments.iter().find(|instrument| instrument.symbol.as_str() == "HYPE").expect("listed");
        let spec = omnivenue_core::model::instrument::InstrumentSpec {
            symbol: name("HYPE-USDT"),
            quote: name("USDT"),
            settle: name("USDT"),
            ..(**hype).clone()
        };
        instruments.push(omnivenue_core::model::instrument::Instrument::new(spec).expect("it is sound"));
        *venue = VenueSetup::new(venue.capabilities.clone(), instruments, &assets);
        setup.venues.remove(&name("venue2"));
    };
    let mut bench = Bench::with(3, Limits::default(), MemoryStore::new(), change);
    let rows = of(&mut bench, "HYPE");
    assert_eq!(statuses(&rows), ["other_market", "ready", "other_instrument", "venue_down"]);
    assert!(rows[2].deployments.is_empty(), "nobody would trade it");
}

/// Asked for by any of its names; one unit is told in the asset's own.
#[test]
fn a_thousand_of_an_asset_is_the_asset() {
    let mut bench = Bench::new(1, Limits::default());
    let quote = Quote { symbol: name("kPEPE"), bid: name("0.0184"), ask: name("0.0185"), at: bench.now.wall, depth: Depth::default() };
    bench.kernel.input(bench.now, Input::Quote { venue: name("venue0"), quote });
    for asset in ["PEPE", "kPEPE", "1000PEPE"] {
        let rows = of(&mut bench, asset);
        let terms = rows[0].instrument.as_ref().expect("listed");
        assert_eq!((terms.symbol.as_str(), terms.asset_per_unit.to_string().as_str()), ("kPEPE", "1000"), "{asset}");
        assert!(rows[0].deployments.iter().all(|could| could.refused.is_empty()), "{rows:?}");
    }
}

/// However large the scale and small the limit: the question is whether the smallest order passes.
#[test]
fn limits_are_asked_about_the_smallest_order() {
    let mut bench = Bench::with(1, Limits::default(), MemoryStore::new(), |setup| {
        let deployment = setup.deployments.get_mut(&name("one")).expect("it is there");
        deployment.scale = name("1000");
        deployment.limits.max_order_notional = Some(name("15"));
        setup.deployments.get_mut(&name("two")).expect("it is there").limits.max_order_notional = Some(name("5"));
    });
    let rows = of(&mut bench, "HYPE");
    assert_eq!(refused(&rows[0], "one", Direction::Long), "");
    assert_eq!(refused(&rows[0], "two", Direction::Long), "max_order_notional");
    assert!(!rows[0].deployments.iter().find(|could| could.deployment.as_str() == "two").expect("it is there").could_open);
}

/// 2026-01-01 is a Thursday. Of two dated futures the one that is entered is the first that does not expire yet.
#[test]
fn hours_and_expiry_are_told() {
    let change = |setup: &mut Setup| {
        let assets = setup.assets.clone();
        let venue = setup.venues.get_mut(&name("venue0")).expect("it is there");
        let hype = venue.instruments.values().find(|instrument| instrument.symbol.as_str() == "HYPE").cloned().expect("listed");
        let session = serde_json::from_str(r#"{"sessions":[{"day":"thursday","from":"14:30","to":"21:00"}]}"#);
        let perp = InstrumentSpec { hours: Some(session.expect("hours")), ..InstrumentSpec::clone(&hype) };
        let dated = |symbol: &str, expiry: &str| InstrumentSpec {
            symbol: name(symbol),
            market: Market::Future,
            expiry: Some(name(expiry)),
            ..InstrumentSpec::clone(&hype)
        };
        let specs = [perp, dated("HYPE-OLD", "2025-12-26T08:00:00Z"), dated("HYPE-MAR", "2026-03-27T08:00:00Z")];
        let instruments = specs.into_iter().map(|spec| Instrument::new(spec).expect("it is sound")).collect();
        *venue = VenueSetup::new(venue.capabilities.clone(), instruments, &assets);
    };
    let mut bench = Bench::with(1, Limits::default(), MemoryStore::new(), change);
    let quote = Quote { symbol: name("HYPE-MAR"), bid: name("38"), ask: name("38.1"), at: bench.now.wall, depth: Depth::default() };
    bench.kernel.input(bench.now, Input::Quote { venue: name("venue0"), quote });
    let rows = of(&mut bench, "HYPE");
    let told = |symbol: &str| {
        let row = rows.iter().find(|row| row.instrument.as_ref().is_some_and(|terms| terms.symbol.as_str() == symbol)).expect("listed");
        (row.status.as_str(), row.instrument.clone().expect("listed"))
    };
    let (status, terms) = told("HYPE");
    assert_eq!((status, terms.opens_at.map(|at| at.to_string())), ("closed", Some("2026-01-01T14:30:00Z".into())));
    assert_eq!(terms.hours.map(|hours| hours.sessions.len()), Some(1));
    assert_eq!(told("HYPE-OLD").0, "other_instrument");
    let (status, terms) = told("HYPE-MAR");
    assert_eq!((status, terms.expiry.map(|at| at.to_string())), ("ready", Some("2026-03-27T08:00:00Z".into())));
}
