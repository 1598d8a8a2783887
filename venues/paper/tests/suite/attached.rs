//! Exits that travel with their entry: armed for what it trades, ended with it and by one another.

use std::sync::Mutex;
use std::time::Duration;

use omnivenue_core::model::exit::ExitKind::{StopLoss, TakeProfit};
use omnivenue_core::model::instrument::Side::{Buy, Sell};
use omnivenue_core::model::order::OrderStatus::{self, Canceled, Expired, Filled, Open};
use omnivenue_core::model::signal::TimeInForce::{Gtc, Ioc};
use omnivenue_core::venue::{Absence, Evidence, ProbePermission, Resend};
use omnivenue_paper::{
    Answer, Config, FaultKind, LinkError, PlaceOrder, Question, RefusalCode, Request, RequestKind, Response, Store, Truth, probe,
};

use crate::world::{TestLink, World, attach, id, limit, moving, quiet};

/// An exchange on which the price of HYPE runs through these values, one a second.
fn running(path: &[&str]) -> (World, tempfile::TempDir) {
    let (config, folder) = moving(Config::hyperliquid_like(), path);
    (World::new(config), folder)
}

/// A long entry of 5 HYPE at the market with a stop at 37 and a take profit at 39.
fn long(world: &mut World, name: &str) -> PlaceOrder {
    let entry = world.order(name, Buy, "5", "50");
    attach(&entry, &[("stop", StopLoss, "37", "20"), ("profit", TakeProfit, "39", "20")])
}

fn stood(world: &mut World, name: &str) -> (OrderStatus, String) {
    let report = world.query(name).unwrap();
    (report.status, report.filled_quantity.to_string())
}

/// Each order: name, status, how much of it is armed.
fn armed(world: &World, name: &str) -> String {
    let truth = world.truth();
    let order = truth.orders.iter().find(|order| order.client_order_id().as_str() == name).unwrap();
    order.wait.unwrap().armed.to_string()
}

fn why(world: &World, name: &str) -> String {
    let truth = world.truth();
    truth.orders.iter().find(|order| order.client_order_id().as_str() == name).unwrap().why.clone().unwrap()
}

fn cancel(world: &mut World, name: &str) -> OrderStatus {
    let request = Request::Cancel { account: World::account(), symbol: "HYPE".parse().unwrap(), client_order_id: id(name) };
    match world.ask(request) {
        Some(Answer::Ok(response)) => match *response {
            Response::Order(report) => report.status,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn they_wait_once_the_entry_has_traded_and_one_ends_the_other() {
    for (path, closes, ends, price) in [(["38", "36.5"], "stop", "profit", "36.5"), (["38", "39.2"], "profit", "stop", "39.2")] {
        let (mut world, _folder) = running(&path);
        let entry = long(&mut world, "entry");
        let report = world.place(&entry).unwrap();
        assert_eq!((report.client_order_id.as_str(), report.status), ("entry", Filled), "the answer is the entry's alone");
        let told: Vec<_> = world.updates.iter().map(|report| (report.client_order_id.to_string(), report.status)).collect();
        assert_eq!(told, [("entry".into(), Filled), ("stop".into(), Open), ("profit".into(), Open)]);
        assert_eq!((armed(&world, "stop"), armed(&world, "profit")), ("5".into(), "5".into()));
        world.wait(999);
        assert_eq!((stood(&mut world, "stop").0, stood(&mut world, "profit").0), (Open, Open));
        world.updates.clear();
        world.wait(1);
        let report = world.query(closes).unwrap();
        assert_eq!((report.status, report.fills[0].price.to_string()), (Filled, price.into()));
        assert_eq!(stood(&mut world, ends), (Canceled, "0".into()));
        assert_eq!(why(&world, ends), "the other exit has closed what their entry opened");
        let told: Vec<_> = world.updates.iter().map(|report| (report.client_order_id.to_string(), report.status)).collect();
        assert_eq!(told, [(closes.into(), Filled), (ends.into(), Canceled)]);
        assert_eq!(world.position(), "0");
    }
}

#[test]
fn they_protect_a_short_position_on_the_other_side() {
    for (path, closes) in [(["38", "39.5"], "stop"), (["38", "36.5"], "profit")] {
        let (mut world, _folder) = running(&path);
        let entry = world.order("entry", Sell, "5", "20");
        world.place(&attach(&entry, &[("profit", TakeProfit, "37", "50"), ("stop", StopLoss, "39", "50")])).unwrap();
        assert_eq!(world.position(), "-5");
        world.wait(1000);
        assert_eq!((stood(&mut world, closes).0, world.position()), (Filled, "0".into()));
        assert_eq!(world.truth().orders.iter().filter(|order| !order.status.is_final()).count(), 0);
    }
}

#[test]
fn they_end_with_an_entry_that_ends_without_a_trade() {
    for immediate in [false, true] {
        let mut world = World::new(quiet(Config::hyperliquid_like()));
        let entry = PlaceOrder { worst_price: "37.5".parse().unwrap(), ..long(&mut world, "entry") };
        let entry = if immediate { limit(&entry, "37.5", Ioc, false) } else { entry };
        let report = world.place(&entry).unwrap();
        assert_eq!(report.status, if immediate { Expired } else { Canceled });
        for name in ["stop", "profit"] {
            assert_eq!(stood(&mut world, name), (Canceled, "0".into()));
            assert_eq!(why(&world, name), "its entry ended without a trade");
        }
    }
    // One that rests and is canceled.
    let (mut world, _folder) = running(&["38", "38"]);
    let entry = long(&mut world, "entry");
    world.place(&limit(&entry, "37.5", Gtc, false)).unwrap();
    assert_eq!((stood(&mut world, "stop").0, armed(&world, "stop")), (Open, "0".into()));
    assert_eq!(cancel(&mut world, "entry"), Canceled);
    assert_eq!((stood(&mut world, "stop").0, stood(&mut world, "profit").0), (Canceled, Canceled));
}

#[test]
fn while_the_entry_rests_no_price_wakes_them() {
    let (mut world, _folder) = running(&["38", "39.5", "37.4", "37.2", "36"]);
    let entry = long(&mut world, "entry");
    world.place(&limit(&entry, "37.5", Gtc, false)).unwrap();
    // Somebody else's position must not be sold for it.
    let other = world.order("other", Buy, "2", "50");
    world.place(&other).unwrap();
    world.wait(1000);
    assert_eq!((stood(&mut world, "profit").0, world.position()), (Open, "2".into()));
    world.wait(1000);
    assert_eq!((stood(&mut world, "entry").0, armed(&world, "stop"), world.position()), (Filled, "5".into(), "7".into()));
    world.wait(2000);
    assert_eq!((stood(&mut world, "stop"), stood(&mut world, "profit").0), ((Filled, "5".into()), Canceled));
    assert_eq!(world.position(), "2", "what the entry did not buy is not theirs to sell");
}

#[test]
fn an_entry_that_fills_where_an_exit_is_reached_closes_at_once() {
    // The price falls through the limit and the stop in one step.
    let (mut world, _folder) = running(&["38", "36"]);
    let entry = long(&mut world, "entry");
    world.place(&limit(&entry, "37.5", Gtc, false)).unwrap();
    world.wait(1000);
    assert_eq!((stood(&mut world, "entry").0, stood(&mut world, "stop").0, world.position()), (Filled, Filled, "0".into()));
    assert_eq!(world.truth().fills.iter().map(|fill| fill.price.to_string()).collect::<Vec<_>>(), ["37.5", "36"]);
}

#[test]
fn they_are_armed_for_what_has_traded_and_no_more() {
    let (config, _folder) = moving(Config::hyperliquid_like(), &["38", "38", "36"]);
    let mut world = World::new(Config { depth: Some("100".parse().unwrap()), ..config });
    let entry = long(&mut world, "entry");
    world.place(&entry).unwrap();
    assert_eq!(stood(&mut world, "entry"), (Canceled, "2.63".into()));
    assert_eq!((armed(&world, "stop"), armed(&world, "profit")), ("2.63".into(), "2.63".into()));
    let other = world.order("other", Buy, "2", "50");
    world.place(&other).unwrap();
    world.wait(2000);
    assert_eq!(stood(&mut world, "stop"), (Canceled, "2.63".into()), "all it was armed for, of the five it was asked for");
    assert_eq!((stood(&mut world, "profit").0, world.position()), (Canceled, "2".into()));
}

#[test]
fn they_follow_an_entry_that_fills_in_parts() {
    let (config, _folder) = moving(Config::hyperliquid_like(), &["38", "37.4", "37.3", "36.9", "36.9"]);
    let mut world = World::new(Config { depth: Some("75".parse().unwrap()), ..config });
    let entry = long(&mut world, "entry");
    world.place(&limit(&entry, "37.5", Gtc, false)).unwrap();
    world.wait(1000);
    assert_eq!((stood(&mut world, "entry").1, armed(&world, "stop")), ("2".into(), "2".into()));
    world.wait(250);
    assert_eq!((stood(&mut world, "entry").1, armed(&world, "profit")), ("4".into(), "4".into()));
    world.wait(250);
    assert_eq!((stood(&mut world, "entry"), armed(&world, "profit")), ((Filled, "5".into()), "5".into()));
    world.wait(2000);
    // The depth let two of five go: the other exit stays for the rest.
    assert_eq!((stood(&mut world, "stop"), stood(&mut world, "profit").0), ((Canceled, "2.03".into()), Open));
    assert_eq!(world.position(), "2.97");
}

#[test]
fn an_exit_that_closes_a_part_of_an_entry_leaves_the_other_for_the_rest() {
    let (config, _folder) = moving(Config::hyperliquid_like(), &["38", "37.4", "36.9", "37.4", "37.4", "39.5"]);
    let mut world = World::new(Config { depth: Some("75".parse().unwrap()), ..config });
    let entry = long(&mut world, "entry");
    let entry = PlaceOrder { quantity: "2.5".parse().unwrap(), ..entry };
    let entry = attach(&limit(&entry, "37.1", Gtc, false), &[("stop", StopLoss, "37", "20"), ("profit", TakeProfit, "39", "20")]);
    world.place(&entry).unwrap();
    world.wait(2000);
    // At 36.9 the entry buys 2.02, of which the stop sells what the depth allows.
    assert_eq!((stood(&mut world, "entry"), stood(&mut world, "stop")), ((Open, "2.02".into()), (Canceled, "2.02".into())));
    assert_eq!((stood(&mut world, "profit").0, world.position()), (Open, "0".into()), "the entry is not over");
    world.wait(250);
    assert_eq!((stood(&mut world, "entry"), armed(&world, "profit")), ((Filled, "2.5".into()), "2.5".into()));
    world.wait(5000);
    // Reduce-only: it sells the rest of the position, not the 2.5 that were bought in all.
    assert_eq!((stood(&mut world, "profit"), world.position()), ((Canceled, "0.48".into()), "0".into()));
}

#[test]
fn one_that_is_reached_already_is_refused_and_the_rest_is_taken() {
    let (mut world, _folder) = running(&["38", "39.5"]);
    let entry = world.order("entry", Buy, "5", "50");
    let entry = attach(&entry, &[("stop", StopLoss, "38.5", "20"), ("profit", TakeProfit, "39", "20")]);
    assert_eq!(world.place(&entry).unwrap().status, Filled);
    assert_eq!(stood(&mut world, "stop"), (Canceled, "0".into()));
    assert_eq!(why(&world, "stop"), "refused: its trigger 38.5 is reached already: the price is 38");
    assert_eq!((stood(&mut world, "profit").0, world.position()), (Open, "5".into()));
    world.wait(1000);
    assert_eq!((stood(&mut world, "profit").0, world.position()), (Filled, "0".into()));
    // An entry that rests is judged where it rests: below the market, a take profit below the market makes sense.
    let (mut world, _folder) = running(&["38", "37"]);
    let entry = world.order("entry", Buy, "5", "50");
    let exits = [("stop", StopLoss, "37.2", "20"), ("profit", TakeProfit, "37.8", "20")];
    world.place(&limit(&attach(&entry, &exits), "37.1", Gtc, false)).unwrap();
    assert_eq!((stood(&mut world, "stop").0, stood(&mut world, "profit").0), (Canceled, Open));
}

#[test]
fn the_stop_alone_is_refused_on_request() {
    let mut world = World::new(quiet(Config::hyperliquid_like()));
    world.server.script(RequestKind::Trigger, FaultKind::RefuseTrigger, 1);
    let entry = long(&mut world, "entry");
    assert_eq!(world.place(&entry).unwrap().status, Filled);
    assert_eq!((stood(&mut world, "stop"), stood(&mut world, "profit").0), ((Canceled, "0".into()), Open));
    assert_eq!(why(&world, "stop"), "refused: no more orders may wait for a trigger");
    assert_eq!((world.position(), world.server.fault_counts()[&FaultKind::RefuseTrigger]), ("5".into(), 1));
    // Its sibling still works, and what was refused stays so.
    assert_eq!(world.place(&entry).unwrap().status, Filled);
    assert_eq!(world.truth().orders.len(), 3);
}

#[test]
fn each_is_canceled_by_its_own_name() {
    let (mut world, _folder) = running(&["38", "36", "40"]);
    let entry = long(&mut world, "entry");
    world.place(&entry).unwrap();
    assert_eq!((cancel(&mut world, "stop"), cancel(&mut world, "stop")), (Canceled, Canceled));
    assert_eq!((stood(&mut world, "entry").0, stood(&mut world, "profit").0), (Filled, Open));
    world.wait(1000);
    assert_eq!(world.position(), "5");
    world.wait(1000);
    assert_eq!((stood(&mut world, "profit").0, world.position()), (Filled, "0".into()));
}

#[test]
fn the_same_bytes_are_the_same_three_orders_and_names_are_used_once() {
    let mut world = World::new(quiet(Config::hyperliquid_like()));
    let entry = long(&mut world, "entry");
    let report = world.place(&entry).unwrap();
    assert_eq!(world.place(&entry).unwrap(), report);
    assert_eq!((world.truth().orders.len(), world.position()), (3, "5".into()));
    let thief = long(&mut world, "other");
    assert_eq!(world.place(&thief).unwrap_err().code, RefusalCode::AlreadyUsed, "the names of its exits are taken");
    let thief = world.order("stop", Buy, "1", "50");
    assert_eq!(world.place(&thief).unwrap_err().code, RefusalCode::AlreadyUsed);
    // Where the same bytes are two orders, they are two with two exits each.
    let mut config = quiet(Config::ostium_like());
    config.exits.as_mut().unwrap().attached = true;
    let mut world = World::new(config);
    let entry = long(&mut world, "entry");
    world.place(&entry).unwrap();
    world.place(&entry).unwrap();
    assert_eq!((world.truth().orders.len(), world.position()), (6, "10".into()));
}

#[test]
fn they_survive_with_what_is_armed_and_whose_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.db");
    let (config, _candles) = moving(Config::hyperliquid_like(), &["38", "37.4", "37.4", "36.5"]);
    let config = Config { depth: Some("75".parse().unwrap()), ..config };
    let mut world = World::with(config.clone(), Store::open(&path).unwrap());
    let entry = long(&mut world, "entry");
    world.place(&limit(&entry, "37.5", Gtc, false)).unwrap();
    world.wait(1000);
    let (before, now) = (world.server.truth(), world.now);
    assert_eq!(armed(&world, "stop"), "2");
    drop(world);
    let mut world = World::at(Config { depth: None, ..config }, Store::open(&path).unwrap(), now);
    assert_eq!(world.server.truth(), before);
    assert_eq!(world.place(&limit(&entry, "37.5", Gtc, false)).unwrap().filled_quantity.to_string(), "2", "the same bytes, still");
    world.wait(1000);
    assert_eq!((stood(&mut world, "entry").0, armed(&world, "stop")), (Filled, "5".into()));
    world.wait(1000);
    assert_eq!((stood(&mut world, "stop").0, stood(&mut world, "profit").0, world.position()), (Filled, Canceled, "0".into()));
    assert_eq!(Truth::read(&path).unwrap(), world.server.truth());
}

/// What a probe says of an exit of `order`, as the engine asks: by its own name, with the entry's text and deadline.
fn asked(link: &TestLink, order: &PlaceOrder, name: &str, may_resend: bool) -> Result<Evidence, LinkError> {
    let (now, orders) = {
        let world = link.0.lock().unwrap();
        (world.now, world.config.orders.clone())
    };
    let (account, name, wire) = (World::account(), id(name), order.to_wire());
    let permission = ProbePermission { may_resend, now };
    let question = Question { account: &account, client_order_id: &name, wire: &wire, deadline: order.deadline, permission };
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(probe(link, &orders, question))
}

fn present(evidence: Result<Evidence, LinkError>) -> (OrderStatus, String) {
    match evidence.unwrap() {
        Evidence::Present(report) => (report.status, report.filled_quantity.to_string()),
        other => panic!("{other:?}"),
    }
}

/// An exchange with attached exits that absence is proved on in this way.
fn kind(resend: Resend, absence: Absence) -> Config {
    let mut config = if resend == Resend::Idempotent { Config::hyperliquid_like() } else { Config::ostium_like() };
    (config.orders.resend, config.orders.absence) = (resend, absence);
    config.exits.as_mut().unwrap().attached = true;
    config
}

const WINDOW: Absence = Absence::Window { length: Duration::from_secs(5), margin: Duration::from_secs(2) };

#[test]
fn a_probe_finds_each_by_its_own_name_when_the_answer_was_lost() {
    for resend in [Resend::Idempotent, Resend::AfterProof] {
        for absence in [Absence::Burn, WINDOW, Absence::Never] {
            let (config, _folder) = moving(kind(resend, absence), &["38", "38", "36.5", "36.5"]);
            let mut world = World::new(config);
            world.server.script(RequestKind::Trigger, FaultKind::RefuseTrigger, 1);
            world.server.script(RequestKind::Place, FaultKind::CutAfter, 1);
            let entry = world.order("entry", Buy, "5", "50");
            let entry = attach(&entry, &[("profit", TakeProfit, "39", "20"), ("stop", StopLoss, "37", "20")]);
            assert_eq!(world.ask(Request::Place { account: World::account(), wire: entry.to_wire() }), Some(Answer::Cut));
            world.server.script(RequestKind::Order, FaultKind::FalseNotFound, 2);
            let link = TestLink(Mutex::new(world));
            assert_eq!(present(asked(&link, &entry, "stop", true)), (Open, "0".into()), "denied, and found in the list");
            assert_eq!(present(asked(&link, &entry, "profit", true)), (Canceled, "0".into()), "refused by itself, and denied");
            link.0.lock().unwrap().wait(2000);
            assert_eq!(present(asked(&link, &entry, "stop", false)), (Filled, "5".into()));
            assert_eq!(link.0.lock().unwrap().truth().orders.len(), 3);
        }
    }
}

#[test]
fn a_probe_of_one_never_lets_it_be_sent_again() {
    for resend in [Resend::Idempotent, Resend::AfterProof] {
        for absence in [Absence::Burn, WINDOW, Absence::Never] {
            let mut world = World::new(quiet(kind(resend, absence)));
            world.server.script(RequestKind::Place, FaultKind::CutBefore, 1);
            let entry = long(&mut world, "entry");
            assert_eq!(world.ask(Request::Place { account: World::account(), wire: entry.to_wire() }), Some(Answer::Cut));
            let link = TestLink(Mutex::new(world));
            let evidence = asked(&link, &entry, "stop", true).unwrap();
            match absence {
                Absence::Burn => assert!(matches!(evidence, Evidence::AbsentForever { .. }), "{evidence:?}"),
                Absence::Window { .. } | Absence::Never => assert!(matches!(evidence, Evidence::NotYet { .. }), "{evidence:?}"),
            }
            link.0.lock().unwrap().wait(7000);
            let evidence = asked(&link, &entry, "stop", true).unwrap();
            assert_eq!(matches!(evidence, Evidence::AbsentForever { .. }), absence != Absence::Never, "{evidence:?}");
        }
    }
}

#[test]
fn once_one_is_burned_nothing_of_its_request_can_ever_come() {
    let mut world = World::new(quiet(Config::hyperliquid_like()));
    world.server.script(RequestKind::Place, FaultKind::LateCommit, 1);
    let entry = long(&mut world, "entry");
    assert_eq!(world.ask(Request::Place { account: World::account(), wire: entry.to_wire() }), Some(Answer::Cut));
    let link = TestLink(Mutex::new(world));
    assert!(matches!(asked(&link, &entry, "profit", true).unwrap(), Evidence::AbsentForever { .. }));
    let mut world = link.0.into_inner().unwrap();
    world.wait(60_000);
    assert_eq!((world.truth().orders.len(), world.position()), (0, "0".into()));
    assert_eq!(world.place(&entry).unwrap_err().code, RefusalCode::AlreadyUsed);
}
