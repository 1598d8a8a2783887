//! Exits, by hand: what waits at the venue, what the engine runs, what a restart finds, and what goes when one of them fills.

mod desk;

use std::collections::BTreeMap;
use std::time::Duration;

use desk::{Desk, name};
use omnivenue_core::executor::{DriftPolicy, Input, Setup, StopRequirement};
use omnivenue_core::journal::LegRef;
use omnivenue_core::model::close::{CloseRequest, CloseTarget, Part};
use omnivenue_core::model::execution::Protection;
use omnivenue_core::model::exit::ExitKind;
use omnivenue_core::model::ids::{AccountId, ClientOrderId};
use omnivenue_core::model::order::OrderStatus;
use omnivenue_core::venue::Quote;
use omnivenue_paper::{Config, FaultKind, PriceSource, RequestKind};

const SECOND: Duration = Duration::from_secs(1);

fn exchange(accounts: &[&str]) -> Config {
    let mut config = desk::config(None);
    let live = PriceSource::Live { holds_for: Duration::from_secs(86_400) };
    config.prices.insert(name("HYPE"), live);
    config.spread = name("0");
    config.accounts = accounts.iter().map(|account| (name(account), BTreeMap::from([(name("USDC"), name("100000"))]))).collect();
    config
}

fn desk(config: Config, change: impl FnOnce(&mut Setup)) -> Desk {
    let mut desk = Desk::with(config, DriftPolicy::HaltEntries, change);
    desk.streams = true;
    desk.price("40");
    desk
}

/// One agent, on an account that is its own.
fn alone() -> Desk {
    desk(exchange(&["main"]), |setup| drop(setup.deployments.remove(&name("two"))))
}

/// One agent on an account of its own, at a venue that holds no exits.
fn unaided() -> Desk {
    let config = Config { exits: None, ..exchange(&["main"]) };
    desk(config, |setup| drop(setup.deployments.remove(&name("two"))))
}

fn buy(desk: &mut Desk, id: &str, agent: &str, more: &str) {
    let signal = desk.signal(id, agent, &format!(r#","sizing":{{"quantity":"10"}}{more}"#));
    desk.execute(signal);
}

/// What waits at the exchange: kind, trigger and quantity of each exit.
fn waiting(desk: &Desk, account: &str) -> Vec<(ExitKind, String, String)> {
    let truth = desk.counter().server.truth();
    let open = truth.accounts[&name::<AccountId>(account)].orders.iter().filter(|order| order.status == OrderStatus::Open);
    let mut all: Vec<_> = open
        .filter_map(|order| {
            let trigger = order.place.trigger?;
            Some((trigger.kind, trigger.price.to_string(), order.place.quantity.to_string()))
        })
        .collect();
    all.sort();
    all
}

fn names(desk: &Desk, kind: ExitKind) -> Vec<ClientOrderId> {
    let truth = desk.counter().server.truth();
    let open = truth.accounts[&name::<AccountId>("main")].orders.iter().filter(|order| order.status == OrderStatus::Open);
    open.filter(|order| order.place.trigger.is_some_and(|trigger| trigger.kind == kind))
        .map(|order| order.client_order_id().clone())
        .collect()
}

fn protection(desk: &Desk, id: &str) -> Option<Protection> {
    let execution = desk.kernel.execution_of(&name(id)).expect("the journal reads").expect("it was taken");
    desk.kernel.state().protected(desk.kernel.setup(), LegRef { execution, leg: 0 }).map(|protected| protected.protection)
}

const BOTH: &str = r#","exits":{"stop_loss":{"price":"38"},"take_profit":{"price":"44"}}"#;
const STOP: &str = r#","exits":{"stop_loss":{"price":"38"}}"#;

fn stop(price: &str, quantity: &str) -> (ExitKind, String, String) {
    (ExitKind::StopLoss, price.into(), quantity.into())
}

fn profit(price: &str, quantity: &str) -> (ExitKind, String, String) {
    (ExitKind::TakeProfit, price.into(), quantity.into())
}

#[test]
fn no_naked_window_between_entry_and_stop_where_the_exits_travel_with_the_entry() {
    let mut desk = alone();
    buy(&mut desk, "s", "one", BOTH);
    desk.pass(SECOND);
    assert_eq!(waiting(&desk, "main"), [stop("38", "10"), profit("44", "10")]);
    assert_eq!(protection(&desk, "s"), Some(Protection::Venue));
    let sent = desk.counter().server.placements().count();
    assert_eq!(sent, 1, "both traveled in the entry's own request");

    // One fills, the other goes, and the books say so.
    desk.price("44.5");
    desk.pass(SECOND);
    assert_eq!((desk.ours("one", "main").as_str(), waiting(&desk, "main")), ("0", Vec::new()));
    assert_eq!(desk.book().guards().count() + desk.book().with_exits().count(), 0);
    desk.check();
}

#[test]
fn a_stop_that_the_venue_refuses_is_run_by_the_engine() {
    let mut desk = alone();
    desk.counter().server.script(RequestKind::Trigger, FaultKind::RefuseTrigger, 1_000);
    buy(&mut desk, "s", "one", STOP);
    assert_eq!(protection(&desk, "s"), Some(Protection::Engine), "from the first fill on");
    desk.pass(SECOND * 20);
    assert_eq!(
        (desk.ours("one", "main").as_str(), protection(&desk, "s")),
        ("10", Some(Protection::Engine)),
        "within the deadline, and after it"
    );
    let asked = desk.counter().server.placements().count();
    assert!(asked < 15, "{asked} requests in twenty seconds: what is refused is asked for later each time");
    desk.price("37.9");
    desk.pass(SECOND);
    assert_eq!(desk.ours("one", "main"), "0");
    desk.check();
}

#[test]
fn a_stop_that_must_be_at_the_venue_and_is_not_in_time_ends_the_position() {
    let mut desk = desk(exchange(&["main"]), |setup| {
        setup.deployments.remove(&name("two"));
        setup.deployments.get_mut(&name("one")).unwrap().stops = StopRequirement::Venue;
    });
    desk.counter().server.script(RequestKind::Trigger, FaultKind::RefuseTrigger, 1_000);
    buy(&mut desk, "s", "one", STOP);
    assert_eq!((desk.ours("one", "main").as_str(), protection(&desk, "s")), ("10", Some(Protection::Pending)));
    desk.pass(SECOND * 4);
    assert_eq!(desk.ours("one", "main"), "10", "the deadline is not over");
    desk.pass(SECOND * 12);
    assert_eq!(desk.ours("one", "main"), "0", "not confirmed in time: closed");
    desk.check();

    // Where the venue could never hold it, nothing is opened at all.
    let config = Config { exits: None, ..exchange(&["main"]) };
    let mut desk = self::desk(config, |setup| setup.deployments.get_mut(&name("one")).unwrap().stops = StopRequirement::Venue);
    buy(&mut desk, "s", "one", STOP);
    assert_eq!(desk.outcomes("s"), ["refused:no_venue_stop"]);
}

#[test]
fn moving_the_stop_never_deletes_the_take_profit() {
    let mut desk = alone();
    buy(&mut desk, "s", "one", r#","exits":{"trailing":{"fraction":"0.05"},"take_profit":{"fraction":"0.30"}}"#);
    desk.pass(SECOND * 3);
    assert_eq!(waiting(&desk, "main"), [stop("38", "10"), profit("52", "10")]);
    let (stops, profits) = (names(&desk, ExitKind::StopLoss), names(&desk, ExitKind::TakeProfit));
    for price in ["42", "44", "46"] {
        desk.price(price);
        desk.pass(SECOND * 5);
    }
    assert_eq!(waiting(&desk, "main"), [stop("43.7", "10"), profit("52", "10")]);
    assert_eq!(names(&desk, ExitKind::TakeProfit), profits, "the very same order");
    assert_ne!(names(&desk, ExitKind::StopLoss), stops);
    // The way back does not move it.
    desk.price("44.5");
    desk.pass(SECOND * 5);
    assert_eq!(waiting(&desk, "main")[0], stop("43.7", "10"));
    desk.price("43.6");
    desk.pass(SECOND);
    assert_eq!((desk.ours("one", "main").as_str(), waiting(&desk, "main")), ("0", Vec::new()));
    desk.check();
}

#[test]
fn stop_moves_are_coalesced_and_cost_a_bounded_number_of_requests() {
    let mut desk = alone();
    buy(&mut desk, "s", "one", r#","exits":{"trailing":{"fraction":"0.02"}}"#);
    desk.pass(SECOND * 3);
    let before = desk.counter().server.placements().count();
    // A hundred prices a second for ten seconds, each better than the one before.
    for tick in 0..1_000_u32 {
        let price = rust_decimal::Decimal::new(40_000 + i64::from(tick) * 10, 3).normalize().to_string();
        desk.price(&price);
        desk.pass(Duration::from_millis(10));
    }
    let moved = desk.counter().server.placements().count() - before;
    assert!((2..=6).contains(&moved), "{moved} moves in ten seconds, at most one in two");
    let moves = desk.store.entries().iter().filter(|entry| entry.event().is_ok_and(|event| event.kind() == "guard_moved")).count();
    assert!(moves < 700, "{moves} entries for a thousand prices");
    desk.pass(SECOND * 3);
    assert_eq!(waiting(&desk, "main").len(), 1);
    desk.check();
}

#[test]
fn a_price_that_ran_through_an_engine_run_stop_while_we_were_away_closes_at_once() {
    let mut desk = unaided();
    buy(&mut desk, "s", "one", STOP);
    assert_eq!((waiting(&desk, "main"), protection(&desk, "s")), (Vec::new(), Some(Protection::Engine)));
    desk.pass(SECOND);
    // It lives on after a restart as it was.
    desk.restart();
    assert_eq!((desk.ours("one", "main").as_str(), protection(&desk, "s")), ("10", Some(Protection::Engine)));
    desk.price_at_exchange("37.5");
    assert_eq!(desk.ours("one", "main"), "10", "nobody was there to see it");
    desk.restart();
    desk.pass(Duration::from_millis(1));
    assert_eq!(desk.ours("one", "main"), "0");
    desk.check();
}

#[test]
fn an_exit_at_the_venue_outlives_the_process_and_is_found_again() {
    let mut desk = alone();
    buy(&mut desk, "s", "one", BOTH);
    let before = (names(&desk, ExitKind::StopLoss), names(&desk, ExitKind::TakeProfit));
    desk.restart();
    desk.pass(SECOND * 3);
    assert_eq!((names(&desk, ExitKind::StopLoss), names(&desk, ExitKind::TakeProfit)), before, "found, not placed again");
    assert_eq!(protection(&desk, "s"), Some(Protection::Venue));
    // It fires while nobody is there.
    desk.streams = false;
    desk.price_at_exchange("37.9");
    desk.restart();
    desk.streams = true;
    desk.pass(SECOND * 3);
    assert_eq!((desk.ours("one", "main").as_str(), waiting(&desk, "main")), ("0", Vec::new()));
    desk.check();
}

#[test]
fn exits_follow_what_is_held() {
    let mut desk = alone();
    buy(&mut desk, "s", "one", BOTH);
    desk.pass(SECOND * 3);
    let half = CloseRequest { part: Some(Part::Fraction(name("0.5"))), ..CloseRequest::new(name("half"), CloseTarget::Signal(name("s"))) };
    desk.close(half);
    desk.pass(SECOND * 5);
    assert_eq!(desk.ours("one", "main"), "5");
    assert_eq!(waiting(&desk, "main"), [stop("38", "5"), profit("44", "5")]);
    desk.close(CloseRequest::new(name("rest"), CloseTarget::Signal(name("s"))));
    desk.pass(SECOND * 3);
    assert_eq!((desk.ours("one", "main").as_str(), waiting(&desk, "main")), ("0", Vec::new()));
    desk.check();
}

#[test]
fn a_later_fill_is_protected_too() {
    let mut config = exchange(&["main"]);
    config.depth = Some(name("200"));
    let mut desk = desk(config, |setup| drop(setup.deployments.remove(&name("two"))));
    let order = r#","order":{"type":"limit","price":"40","time_in_force":"gtc"},"exits":{"stop_loss":{"price":"38"}}"#;
    buy(&mut desk, "s", "one", order);
    desk.pass(SECOND * 3);
    let mut sizes = Vec::new();
    for price in ["39.9", "39.95", "39.9", "39.95", "39.9"] {
        desk.price(price);
        desk.pass(SECOND * 3);
        let held: rust_decimal::Decimal = desk.ours("one", "main").parse().unwrap();
        let covered = waiting(&desk, "main").first().map(|exit| exit.2.parse::<rust_decimal::Decimal>().unwrap());
        assert!(held.is_zero() || covered.is_some_and(|covered| covered >= held), "{covered:?} of {held}");
        sizes.push(held);
    }
    sizes.dedup();
    assert!(sizes.len() > 1, "it fills little by little: {sizes:?}");
    assert_eq!(protection(&desk, "s"), Some(Protection::Venue));
    desk.check();
}

#[test]
fn where_others_hold_something_too_nothing_of_theirs_is_ever_closed() {
    let mut desk = desk(exchange(&["main"]), |_| {});
    buy(&mut desk, "a", "one", BOTH);
    buy(&mut desk, "b", "two", "");
    desk.pass(SECOND * 3);
    // Two orders that both wake could close twenty: the take profit is the engine's.
    assert_eq!(waiting(&desk, "main"), [stop("38", "10")]);
    desk.close(CloseRequest::new(name("c"), CloseTarget::Signal(name("a"))));
    desk.pass(SECOND * 3);
    assert_eq!((desk.ours("one", "main").as_str(), desk.ours("two", "main").as_str()), ("0", "10"));
    assert_eq!(waiting(&desk, "main"), []);
    buy(&mut desk, "d", "one", BOTH);
    desk.price("44.5");
    desk.pass(SECOND * 3);
    desk.price("37");
    desk.pass(SECOND * 3);
    assert_eq!(
        (desk.ours("one", "main").as_str(), desk.ours("two", "main").as_str()),
        ("0", "10"),
        "up through one, down through the other"
    );
    desk.check();
}

#[test]
fn a_venue_that_sleeps_through_its_trigger_is_not_waited_for_long() {
    let mut desk = alone();
    buy(&mut desk, "s", "one", STOP);
    desk.pass(SECOND);
    // The engine sees a price at which the exchange, by its own, has not woken the stop.
    let low = |desk: &mut Desk| {
        let quote = Quote { symbol: name("HYPE"), bid: name("37.5"), ask: name("37.5"), at: desk.now.wall, depth: Default::default() };
        desk.input(Input::Quote { venue: name("venue"), quote });
    };
    low(&mut desk);
    assert_eq!(desk.ours("one", "main"), "10", "the venue's own comes first");
    desk.now.wall = desk.now.wall.after(SECOND * 4);
    desk.now.monotonic += 4_000_000;
    low(&mut desk);
    assert_eq!(desk.ours("one", "main"), "10", "it has its time");
    desk.now.wall = desk.now.wall.after(SECOND * 2);
    desk.now.monotonic += 2_000_000;
    low(&mut desk);
    assert_eq!(desk.ours("one", "main"), "0");
}

#[test]
fn a_position_is_held_no_longer_than_it_was_meant_to_be() {
    let mut desk = unaided();
    buy(&mut desk, "s", "one", r#","exits":{"time_limit":"1m"}"#);
    desk.pass(SECOND * 50);
    desk.restart();
    desk.pass(SECOND * 8);
    assert_eq!(desk.ours("one", "main"), "10");
    desk.pass(SECOND * 3);
    assert_eq!(desk.ours("one", "main"), "0", "the time runs through a restart");
    desk.check();
}

#[test]
fn exits_on_the_wrong_side_of_the_market_are_refused() {
    let mut desk = alone();
    for (id, exits, code) in
        [("a", r#"{"stop_loss":{"price":"41"}}"#, "exit_side"), ("b", r#"{"take_profit":{"price":"39"}}"#, "exit_side")]
    {
        buy(&mut desk, id, "one", &format!(r#","exits":{exits}"#));
        assert_eq!(desk.outcomes(id), [format!("refused:{code}")]);
    }
    assert_eq!(desk.counter().server.placements().count(), 0);
}

#[test]
fn an_engine_that_runs_a_stop_does_not_close_unasked() {
    let leave = |desk: &mut Desk, anyway: bool| {
        let before = desk.answered();
        desk.input(Input::Leave { leave_unprotected: anyway, token: 77 });
        desk.pass(SECOND * 6);
        desk.answered_since(before)
    };
    let mut desk = unaided();
    buy(&mut desk, "s", "one", STOP);
    let said = leave(&mut desk, false).pop().unwrap().unwrap_err();
    assert!(said.contains("HYPE on main (s)") && said.contains("left unprotected"), "{said}");
    assert_eq!(leave(&mut desk, true), [Ok(())]);

    // Where the venue can hold it, it is handed over: here it had refused it at first.
    let mut desk = alone();
    desk.counter().server.script(RequestKind::Trigger, FaultKind::RefuseTrigger, 1);
    buy(&mut desk, "s", "one", STOP);
    assert_eq!(protection(&desk, "s"), Some(Protection::Engine));
    assert_eq!(leave(&mut desk, false), [Ok(())]);
    assert_eq!(waiting(&desk, "main"), [stop("38", "10")]);
}
