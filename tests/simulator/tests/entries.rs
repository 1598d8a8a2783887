//! Entries through the simulated exchange: how far from the market they fill, how long they rest, and what is refused before it is sent.

use std::time::Duration;

use omnivenue_core::executor::DriftPolicy;
use omnivenue_core::model::execution::LegState;
use omnivenue_paper::{Config, PriceSource};

mod desk;

use self::desk::{Desk, config, name};

/// A desk whose exchange follows the prices of the test.
fn desk(change: impl FnOnce(&mut Config)) -> Desk {
    let mut config = config(None);
    let live = PriceSource::Live { holds_for: Duration::from_secs(3_600) };
    config.prices.insert(name("HYPE"), live);
    config.orders.fill_or_kill = true;
    config.spread = name("0");
    config.accounts.retain(|account, _| account.as_str() == "main");
    change(&mut config);
    let mut desk = Desk::on(config, DriftPolicy::HaltEntries);
    desk.streams = true;
    desk.price("38");
    desk
}

/// Sends ten of HYPE and tells how the leg stands, with what it holds.
fn send(desk: &mut Desk, id: &str, more: &str) -> (String, String) {
    let signal = desk.signal(id, "one", &format!(r#","sizing":{{"quantity":"10"}}{more}"#));
    desk.execute(signal);
    (desk.outcomes(id).remove(0), desk.ours("one", "main"))
}

fn limit(price: &str, time_in_force: &str, post_only: bool) -> String {
    format!(r#","order":{{"type":"limit","price":"{price}","time_in_force":"{time_in_force}","post_only":{post_only}}}"#)
}

fn why(desk: &Desk, id: &str) -> String {
    let number = desk.kernel.execution_of(&name(id)).expect("the journal reads").expect("it was taken");
    let record = desk.kernel.execution(number).expect("the journal reads").expect("it is there");
    match &record.legs[0].state {
        LegState::Done { why: Some(why), .. } => format!("{}: {}", why.code, why.reason),
        state => state.name().to_owned(),
    }
}

fn told(state: &str, held: &str) -> (String, String) {
    (state.to_owned(), held.to_owned())
}

#[test]
fn a_limit_order_rests_until_its_price_comes() {
    let mut desk = desk(|_| {});
    assert_eq!(send(&mut desk, "s", &limit("37", "gtc", false)), told("working", "0"));
    desk.pass(Duration::from_secs(1));
    desk.price("37.5");
    assert_eq!(desk.outcomes("s"), ["working"]);
    desk.price("36.9");
    desk.pass(Duration::from_secs(1));
    assert_eq!((desk.outcomes("s"), desk.ours("one", "main")), (vec!["filled:".to_owned()], "10".to_owned()));
    desk.check();
}

#[test]
fn what_does_not_fill_at_once_is_gone_with_ioc_and_all_of_it_with_fok() {
    // At 38 the exchange trades 3.94 at once: 150 of notional.
    let mut desk = desk(|config| config.depth = Some(name("150")));
    assert_eq!(send(&mut desk, "away", &limit("37", "ioc", false)).1, "0");
    assert_eq!(send(&mut desk, "kill", &limit("38.5", "fok", false)).1, "0");
    assert_eq!(send(&mut desk, "some", &limit("38.5", "ioc", false)), told("partially_filled:canceled", "3.94"));
    let gone = |id: &str| desk.outcomes(id)[0].split(':').next().is_some_and(|how| how == "canceled" || how == "expired");
    assert!(gone("away") && gone("kill"), "{:?} {:?}", desk.outcomes("away"), desk.outcomes("kill"));
    let little = desk.signal("little", "one", &format!(r#","sizing":{{"quantity":"3"}}{}"#, limit("38.5", "fok", false)));
    desk.execute(little);
    assert_eq!((desk.outcomes("little"), desk.ours("one", "main")), (vec!["filled:".to_owned()], "6.94".to_owned()));
    desk.check();
}

#[test]
fn post_only_rests_or_is_refused() {
    let mut desk = desk(|_| {});
    assert_eq!(send(&mut desk, "rests", &limit("37.9", "gtc", true)), told("working", "0"));
    // It would trade at once: the exchange says no, and nothing is known less of it.
    let (state, held) = send(&mut desk, "crosses", &limit("38.2", "gtc", true));
    assert!(state.starts_with("rejected"), "{state}: {}", why(&desk, "crosses"));
    assert_eq!(held, "0");
    assert!(why(&desk, "crosses").contains("would trade at once"), "{}", why(&desk, "crosses"));
    desk.check();
}

#[test]
fn what_the_exchange_has_no_orders_for_never_reaches_it() {
    let mut desk = desk(|config| {
        config.orders.fill_or_kill = false;
        config.orders.post_only = false;
    });
    let before = desk.counter().server.placements().count();
    assert_eq!(send(&mut desk, "fok", &limit("38.5", "fok", false)), told("refused:unsupported_order", "0"));
    assert_eq!(why(&desk, "fok"), "unsupported_order: venue has no fill-or-kill orders; use ioc");
    assert_eq!(send(&mut desk, "post", &limit("37", "gtc", true)), told("refused:unsupported_order", "0"));
    assert_eq!(why(&desk, "post"), "unsupported_order: venue has no post-only orders; leave post_only out");
    assert_eq!(desk.counter().server.placements().count(), before);
}

#[test]
fn a_market_order_fills_no_further_away_than_its_slippage() {
    // Takers pay half a percent more than the quote.
    let mut desk = desk(|config| config.slippage = name("0.005"));
    let (state, held) = send(&mut desk, "tight", r#","slippage":"0.001""#);
    assert_eq!(held, "0", "{state}");
    assert!(state.starts_with("canceled") || state.starts_with("expired"), "{state}");
    assert_eq!(send(&mut desk, "wide", r#","slippage":"0.01""#), told("filled:", "10"));
    let order = desk.only_order("wide");
    let average = desk.book().order(&order).and_then(|order| order.filled.average_price()).expect("it filled");
    assert_eq!(average.to_string(), "38.19", "and at what the exchange offered");
    desk.check();
}
