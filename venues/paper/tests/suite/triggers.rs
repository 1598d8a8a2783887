//! Orders that wait for their trigger: what wakes them, and what they may do then.

use omnivenue_core::model::exit::ExitKind::{self, StopLoss, TakeProfit};
use omnivenue_core::model::exit::Trigger;
use omnivenue_core::model::instrument::Side::{self, Buy, Sell};
use omnivenue_core::model::order::OrderStatus;
use omnivenue_core::model::signal::TimeInForce::Gtc;
use omnivenue_paper::{Answer, Config, FaultKind, PlaceOrder, PriceSource, RefusalCode, Request, RequestKind, Response, Store, Truth};

use crate::world::{World, attach, id, limit, moving, quiet, waiting};

/// A world in which the price of HYPE runs through these values, one a second, and in which 5 HYPE are held.
fn holding(side: Side, path: &[&str]) -> (World, tempfile::TempDir) {
    let (config, folder) = moving(Config::hyperliquid_like(), path);
    let mut world = World::new(config);
    let entry = world.order("entry", side, "5", if side.is_buy() { "50" } else { "20" });
    world.place(&entry).unwrap();
    (world, folder)
}

fn stood(world: &mut World, name: &str) -> (OrderStatus, String) {
    let report = world.query(name).unwrap();
    (report.status, report.filled_quantity.to_string())
}

#[test]
fn a_trigger_wakes_when_the_mark_is_there_and_not_before() {
    let check = |entry: Side, kind: ExitKind, trigger: &str, path: [&str; 3], worst: &str| {
        let (mut world, _folder) = holding(entry, &path);
        let order = waiting(&world.order("exit", entry.opposite(), "5", worst), kind, trigger);
        let report = world.place(&order).unwrap();
        assert_eq!((report.status, report.fills.len()), (OrderStatus::Open, 0));
        world.wait(1_999);
        assert_eq!(stood(&mut world, "exit"), (OrderStatus::Open, "0".into()), "{entry} {kind:?}, one tick before");
        world.wait(1);
        let report = world.query("exit").unwrap();
        assert_eq!((report.status, report.fills.len()), (OrderStatus::Filled, 1), "{entry} {kind:?}");
        assert_eq!((report.fills[0].price.to_string(), report.fills[0].side), (path[2].into(), entry.opposite()));
        assert_eq!(report.fills[0].client_order_id, Some(id("exit")));
        assert_eq!(world.position(), "0");
        assert_eq!(world.updates.last().unwrap(), &report, "the stream tells the same");
    };
    check(Buy, StopLoss, "37", ["38", "37.001", "37"], "30");
    check(Buy, TakeProfit, "39", ["38", "38.999", "39"], "30");
    check(Sell, StopLoss, "39", ["38", "38.999", "39"], "50");
    check(Sell, TakeProfit, "37", ["38", "37.001", "37"], "50");
}

#[test]
fn it_trades_at_the_quote_with_slippage_and_pays_the_takers_fee() {
    let (config, _folder) = moving(Config::hyperliquid_like(), &["38", "37"]);
    let mut world = World::new(Config { spread: "0.002".parse().unwrap(), slippage: "0.001".parse().unwrap(), ..config });
    let entry = world.order("entry", Buy, "5", "39");
    world.place(&entry).unwrap();
    let stop = waiting(&world.order("stop", Sell, "5", "30"), StopLoss, "37");
    world.place(&stop).unwrap();
    world.wait(1000);
    let report = world.query("stop").unwrap();
    assert_eq!((report.fills[0].price.to_string(), report.fills[0].fee.amount.to_string()), ("36.926".into(), "0.0830835".into()));
}

#[test]
fn a_gap_through_the_trigger_trades_where_the_price_is_and_never_beyond_the_worst_one() {
    for (worst, status, filled, left) in [("35", OrderStatus::Filled, "5", "0"), ("36.5", OrderStatus::Canceled, "0", "5")] {
        let (mut world, _folder) = holding(Buy, &["38", "36", "37"]);
        let stop = waiting(&world.order("stop", Sell, "5", worst), StopLoss, "37");
        world.place(&stop).unwrap();
        world.wait(5000);
        assert_eq!(stood(&mut world, "stop"), (status, filled.into()), "{worst}");
        assert_eq!(world.position(), left);
    }
}

#[test]
fn a_candle_whose_range_crosses_the_trigger_wakes_it_at_its_extreme() {
    let mut config = quiet(Config::hyperliquid_like());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hype.csv");
    std::fs::write(&path, "open_time_ms,open,high,low,close,volume\n0,38,38,38,38,1\n60000,38,38.2,36.9,38.1,1\n").unwrap();
    config.prices.insert("HYPE".parse().unwrap(), PriceSource::Candles { path, speed: 1 });
    let mut world = World::new(config);
    let entry = world.order("entry", Buy, "5", "39");
    world.place(&entry).unwrap();
    let stop = waiting(&world.order("stop", Sell, "5", "30"), StopLoss, "37");
    world.place(&stop).unwrap();
    // One look, long after the candle.
    world.wait(600_000);
    assert_eq!(world.query("stop").unwrap().fills[0].price.to_string(), "36.9");
}

#[test]
fn a_trigger_that_is_reached_already_is_refused() {
    let (mut world, _folder) = holding(Buy, &["38", "38"]);
    for (kind, trigger) in [(StopLoss, "38"), (StopLoss, "38.5"), (TakeProfit, "38"), (TakeProfit, "37")] {
        let order = waiting(&world.order(&format!("x{kind:?}{trigger}"), Sell, "5", "30"), kind, trigger);
        let refusal = world.place(&order).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::BadTrigger);
        assert!(refusal.message.contains("is reached already: the price is 38"), "{}", refusal.message);
        assert_eq!(world.place(&order).unwrap_err(), refusal, "the same bytes are refused the same");
    }
    assert_eq!(world.truth().orders.len(), 1);
    assert_eq!(world.position(), "5");
}

#[test]
fn it_never_trades_more_than_is_held_when_it_wakes() {
    for (closed, status, filled) in
        [("3", OrderStatus::Canceled, "2"), ("5", OrderStatus::Canceled, "0"), ("8", OrderStatus::Canceled, "0")]
    {
        let (mut world, _folder) = holding(Buy, &["38", "38", "36"]);
        let stop = waiting(&world.order("stop", Sell, "5", "30"), StopLoss, "37");
        world.place(&stop).unwrap();
        let close = world.order("close", Sell, closed, "30");
        world.place(&close).unwrap();
        let before = world.position();
        world.wait(1000);
        assert_eq!(stood(&mut world, "stop").0, OrderStatus::Open, "it waits, whatever is held");
        world.wait(1000);
        assert_eq!(stood(&mut world, "stop"), (status, filled.into()), "{closed} were closed before");
        assert_eq!(world.position(), if closed == "3" { "0".into() } else { before }, "it opens and turns nothing");
    }
}

#[test]
fn a_part_of_the_position_has_its_own_stop() {
    let (mut world, _folder) = holding(Buy, &["38", "37", "36"]);
    for (name, quantity, trigger) in [("s1", "2", "37"), ("s2", "3", "36")] {
        let stop = waiting(&world.order(name, Sell, quantity, "30"), StopLoss, trigger);
        world.place(&stop).unwrap();
    }
    world.wait(1000);
    assert_eq!((stood(&mut world, "s1").0, stood(&mut world, "s2").0), (OrderStatus::Filled, OrderStatus::Open));
    assert_eq!(world.position(), "3");
    world.wait(1000);
    assert_eq!((stood(&mut world, "s2").0, world.position()), (OrderStatus::Filled, "0".into()));
}

#[test]
fn what_does_not_trade_when_it_wakes_is_canceled() {
    let (config, _folder) = moving(Config::hyperliquid_like(), &["38", "36", "36.5"]);
    let mut world = World::new(Config { depth: Some("100".parse().unwrap()), ..config });
    for name in ["e1", "e2"] {
        let entry = world.order(name, Buy, "2", "39");
        world.place(&entry).unwrap();
    }
    let stop = waiting(&world.order("stop", Sell, "4", "30"), StopLoss, "37");
    world.place(&stop).unwrap();
    world.wait(1000);
    assert_eq!(stood(&mut world, "stop"), (OrderStatus::Canceled, "2.77".into()));
    world.wait(10_000);
    assert_eq!((world.truth().fills.len(), world.position()), (3, "1.23".into()));
}

#[test]
fn it_waits_without_a_position_and_then_protects_the_one_that_comes() {
    let (config, _folder) = moving(Config::hyperliquid_like(), &["38", "37.5", "37"]);
    let mut world = World::new(config);
    let stop = waiting(&world.order("stop", Sell, "5", "30"), StopLoss, "37");
    world.place(&stop).unwrap();
    world.wait(1000);
    let entry = world.order("entry", Buy, "5", "39");
    world.place(&entry).unwrap();
    world.wait(1000);
    assert_eq!((stood(&mut world, "stop").0, world.position()), (OrderStatus::Filled, "0".into()));
}

#[test]
fn it_is_listed_while_it_waits_and_canceled_by_its_name() {
    let (mut world, _folder) = holding(Buy, &["38", "38", "30"]);
    let stop = waiting(&world.order("stop", Sell, "5", "20"), StopLoss, "37");
    let placed = world.place(&stop).unwrap();
    let ask = |world: &mut World, request| match world.ask(request) {
        Some(Answer::Ok(response)) => *response,
        other => panic!("{other:?}"),
    };
    let Response::Orders { orders, .. } = ask(&mut world, Request::OpenOrders { account: World::account() }) else { panic!() };
    assert_eq!(orders, std::slice::from_ref(&placed));
    let since = Some(world.now.after(std::time::Duration::from_secs(1)));
    let Response::Snapshot(snapshot) = ask(&mut world, Request::Snapshot { account: World::account(), since }) else { panic!() };
    assert_eq!(snapshot.orders, [placed], "however long it has rested");
    let cancel = Request::Cancel { account: World::account(), symbol: "HYPE".parse().unwrap(), client_order_id: id("stop") };
    for _ in 0..2 {
        let Response::Order(report) = ask(&mut world, cancel.clone()) else { panic!() };
        assert_eq!(report.status, OrderStatus::Canceled);
    }
    world.wait(5000);
    assert_eq!(world.position(), "5", "it is gone");
}

#[test]
fn an_exchange_without_them_refuses_them() {
    let without = |change: fn(&mut Config)| {
        let mut config = quiet(Config::hyperliquid_like());
        change(&mut config);
        World::new(config)
    };
    let check = |mut world: World, kinds: &[ExitKind], travels: bool, words: &str| {
        let entry = world.order("entry", Buy, "5", "39");
        if world.config.id.as_str() != "spot" {
            world.place(&entry).unwrap();
        }
        for kind in kinds {
            let trigger = if *kind == StopLoss { "37" } else { "39" };
            let order =
                world.order(&format!("x{kind:?}{travels}"), if travels { Buy } else { Sell }, "1", if travels { "39" } else { "30" });
            let order = if travels { attach(&order, &[("y", *kind, trigger, "30")]) } else { waiting(&order, *kind, trigger) };
            let order = if world.config.id.as_str() == "spot" { PlaceOrder { reduce_only: false, ..order } } else { order };
            let refusal = world.place(&order).unwrap_err();
            assert_eq!(refusal.code, RefusalCode::Unsupported);
            assert!(refusal.message.contains(words), "{}", refusal.message);
        }
    };
    check(without(|c| c.exits = None), &[StopLoss, TakeProfit], false, "that wait for their price are not supported here");
    check(without(|c| c.exits = None), &[StopLoss, TakeProfit], true, "that wait for their price are not supported here");
    check(World::new(quiet(Config::spot_like())), &[StopLoss], false, "stop losses that wait");
    check(World::new(quiet(Config::ostium_like())), &[StopLoss], true, "place each by itself");
    check(without(|c| c.exits.as_mut().unwrap().stop = false), &[StopLoss], false, "stop losses");
    check(without(|c| c.exits.as_mut().unwrap().take_profit = false), &[TakeProfit], false, "take profits");
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let (mut world, _folder) = holding(Buy, &["38", "38"]);
    let mut check = |code: RefusalCode, change: &dyn Fn(&PlaceOrder) -> PlaceOrder| {
        let name = format!("x{}", world.now.as_millis());
        let order = waiting(&world.order(&name, Sell, "1", "30"), StopLoss, "37");
        assert_eq!(world.place(&change(&order)).unwrap_err().code, code);
        world.wait(1);
    };
    check(RefusalCode::Malformed, &|order| PlaceOrder { reduce_only: false, ..order.clone() });
    check(RefusalCode::Malformed, &|order| limit(order, "30", Gtc, false));
    check(RefusalCode::Malformed, &|order| attach(order, &[("y", TakeProfit, "39", "30")]));
    check(RefusalCode::BadPrice, &|order| waiting(order, StopLoss, "36.12345"));
    check(RefusalCode::BadQuantity, &|order| PlaceOrder { quantity: "0.001".parse().unwrap(), ..order.clone() });
    let entry = |order: &PlaceOrder| PlaceOrder { trigger: None, reduce_only: false, ..order.clone() };
    check(RefusalCode::Malformed, &|order| PlaceOrder { reduce_only: true, ..attach(&entry(order), &[("y", StopLoss, "39", "50")]) });
    check(RefusalCode::Malformed, &|order| attach(&entry(order), &[("y", StopLoss, "39", "50"), ("z", StopLoss, "40", "50")]));
    check(RefusalCode::Malformed, &|order| attach(&entry(order), &[("y", StopLoss, "39", "50"), ("y", TakeProfit, "37", "50")]));
    check(RefusalCode::Malformed, &|order| attach(&entry(order), &[(order.client_order_id.as_str(), StopLoss, "39", "50")]));
    check(RefusalCode::BadPrice, &|order| attach(&entry(order), &[("y", StopLoss, "39.12345", "50")]));
    check(RefusalCode::BadPrice, &|order| attach(&entry(order), &[("y", StopLoss, "39", "50.12345")]));
    assert_eq!(world.truth().orders.len(), 1);
}

#[test]
fn waiting_orders_wake_the_same_however_often_one_looks() {
    let path = ["38", "37.5", "36.9", "38", "39.5", "36", "38"];
    let run = |step: u64| {
        let (mut world, _folder) = holding(Buy, &path);
        for (name, kind, trigger) in [("s", StopLoss, "37"), ("t", TakeProfit, "39")] {
            let order = waiting(&world.order(name, Sell, "2", "30"), kind, trigger);
            world.place(&order).unwrap();
        }
        let entry = world.order("more", Buy, "4", "50");
        world
            .place(&attach(&limit(&entry, "37.2", Gtc, false), &[("as", StopLoss, "36.5", "30"), ("at", TakeProfit, "39", "30")]))
            .unwrap();
        (0..7000 / step).for_each(|_| drop(world.wait(step)));
        (world.truth(), world.updates)
    };
    let (often, once) = (run(10), run(7000));
    assert_eq!(often.0, once.0);
    assert_eq!(often.1, once.1);
    assert_eq!(often.0.fills.len(), 5);
}

#[test]
fn the_exchange_wants_to_be_woken_while_something_waits() {
    let (mut world, _folder) = holding(Buy, &["38", "38", "38", "36"]);
    assert_eq!(world.server.next_wakeup(), None);
    let stop = waiting(&world.order("stop", Sell, "5", "30"), StopLoss, "37");
    world.place(&stop).unwrap();
    let mut wakes = 0;
    while let Some(next) = world.server.next_wakeup() {
        assert!(next > world.now);
        world.now = next;
        world.wait(0);
        wakes += 1;
    }
    assert_eq!((stood(&mut world, "stop").0, wakes), (OrderStatus::Filled, 12), "at each quarter of a candle until it was done");
}

#[test]
fn waiting_orders_survive_and_wake_when_the_price_ran_through_them_while_the_exchange_was_away() {
    for (away, status) in [(1000, OrderStatus::Open), (2000, OrderStatus::Filled)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exchange.db");
        let (config, _candles) = moving(Config::hyperliquid_like(), &["38", "38", "36"]);
        let mut world = World::with(config.clone(), Store::open(&path).unwrap());
        let entry = world.order("entry", Buy, "5", "39");
        world.place(&entry).unwrap();
        let stop = waiting(&world.order("stop", Sell, "4", "30"), StopLoss, "37");
        let placed = world.place(&stop).unwrap();
        let (before, epoch) = (world.server.truth(), world.now);
        drop(world);
        assert_eq!(Truth::read(&path).unwrap(), before);

        let mut world = World::at(config, Store::open(&path).unwrap(), epoch.after(std::time::Duration::from_millis(away)));
        assert_eq!(world.server.truth(), before, "nothing happens before it is woken");
        assert_eq!(world.server.next_wakeup(), Some(world.now));
        world.wait(0);
        assert_eq!(stood(&mut world, "stop").0, status);
        world.wait(5000);
        assert_eq!(world.query("stop").unwrap().venue_order_id, placed.venue_order_id);
        assert_eq!((stood(&mut world, "stop").0, world.position()), (OrderStatus::Filled, "1".into()));
        assert_eq!(Truth::read(&path).unwrap(), world.server.truth());
    }
}

#[test]
fn an_exchange_of_the_version_before_is_opened_and_a_later_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.db");
    let open = || World::with(quiet(Config::hyperliquid_like()), Store::open(&path).unwrap());
    let mut world = open();
    let entry = world.order("entry", Buy, "5", "39");
    world.place(&entry).unwrap();
    let before = world.server.truth();
    drop(world);
    let edit = |sql: &str| rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    edit("DROP TABLE waits; UPDATE meta SET value = '1' WHERE key = 'version'");
    assert_eq!(Truth::read(&path).unwrap(), before, "looking at it changes nothing");
    let mut world = open();
    assert_eq!(world.server.truth(), before);
    world.wait(1000);
    let stop = waiting(&world.order("stop", Sell, "5", "30"), StopLoss, "37");
    world.place(&stop).unwrap();
    let version: String =
        rusqlite::Connection::open(&path).unwrap().query_row("SELECT value FROM meta WHERE key = 'version'", [], |row| row.get(0)).unwrap();
    assert_eq!(version, "2", "what knows nothing of such orders must not open it again");
    drop(world);
    edit("DELETE FROM waits");
    assert!(Truth::read(&path).unwrap_err().to_string().contains("nothing that fits order 2"));
    edit("UPDATE meta SET value = '3' WHERE key = 'version'");
    let error = Truth::read(&path).unwrap_err().to_string();
    assert!(error.contains("of version 3, but this is version 2; use the version that wrote it, or another file"), "{error}");
}

#[test]
fn a_live_quote_wakes_it_and_one_that_is_too_old_does_not() {
    let mut config = quiet(Config::hyperliquid_like());
    let holds_for = std::time::Duration::from_secs(10);
    config.prices.insert("HYPE".parse().unwrap(), PriceSource::Live { holds_for });
    let mut world = World::new(config);
    let quote = |world: &mut World, bid: &str, ask: &str| {
        let (symbol, at) = ("HYPE".parse().unwrap(), world.now);
        world.server.give_quotes(
            at,
            [omnivenue_core::venue::Quote { symbol, bid: bid.parse().unwrap(), ask: ask.parse().unwrap(), at, depth: Default::default() }],
        );
        world.wait(0);
    };
    let early = waiting(&world.order("early", Sell, "5", "30"), StopLoss, "37");
    assert_eq!(world.place(&early).unwrap_err().code, RefusalCode::NoPrice);
    quote(&mut world, "37.9", "38.1");
    let entry = world.order("entry", Buy, "5", "39");
    world.place(&entry).unwrap();
    world.wait(60_000);
    let stop = waiting(&world.order("stop", Sell, "5", "30"), StopLoss, "37");
    world.place(&stop).unwrap();
    quote(&mut world, "36.9", "37.2");
    assert_eq!(stood(&mut world, "stop").0, OrderStatus::Open, "the bid is there, but the middle is not");
    quote(&mut world, "36.8", "37.2");
    assert_eq!(world.query("stop").unwrap().fills[0].price.to_string(), "36.8");
}

#[test]
fn every_fault_of_a_request_happens_to_it_too() {
    let run = |kind: RequestKind, fault: FaultKind| {
        let (mut world, folder) = holding(Buy, &["38", "38", "38", "38", "38", "36"]);
        world.server.script(kind, fault, 1);
        let stop = waiting(&world.order("stop", Sell, "5", "30"), StopLoss, "37");
        let answer = world.ask(Request::Place { account: World::account(), wire: stop.to_wire() });
        let found = world.query("stop").is_ok();
        world.wait(5000);
        let count = world.server.fault_counts().get(&fault).copied().unwrap_or_default();
        drop(folder);
        (answer, found, world.position(), count)
    };
    let refused = |answer: Option<Answer>| matches!(answer, Some(Answer::Refused(_)));
    let (answer, found, position, count) = run(RequestKind::Place, FaultKind::Refuse);
    assert!(refused(answer) && !found && position == "5" && count == 1);
    let (answer, found, position, count) = run(RequestKind::Place, FaultKind::CutBefore);
    assert!(answer == Some(Answer::Cut) && !found && position == "5" && count == 1);
    let (answer, found, position, count) = run(RequestKind::Place, FaultKind::CutAfter);
    assert!(answer == Some(Answer::Cut) && found && position == "0" && count == 1);
    let (answer, found, position, count) = run(RequestKind::Place, FaultKind::LateCommit);
    assert!(answer == Some(Answer::Cut) && !found && position == "0" && count == 1);
    let (answer, found, position, count) = run(RequestKind::Place, FaultKind::Silence);
    assert!(answer.is_none() && found && position == "0" && count == 1);
    let (answer, found, position, count) = run(RequestKind::Place, FaultKind::Delay);
    assert!(matches!(answer, Some(Answer::Ok(_))) && found && position == "0" && count == 1);
    let (answer, found, position, count) = run(RequestKind::Order, FaultKind::FalseNotFound);
    assert!(matches!(answer, Some(Answer::Ok(_))) && !found && position == "0" && count == 1);
    let (answer, found, position, count) = run(RequestKind::Trigger, FaultKind::RefuseTrigger);
    assert!(refused(answer) && !found && position == "5" && count == 1);
}

#[test]
fn a_trigger_is_refused_on_request_and_other_orders_are_not() {
    let mut world = World::new(quiet(Config::hyperliquid_like()));
    world.server.script(RequestKind::Trigger, FaultKind::RefuseTrigger, 1);
    let entry = world.order("entry", Buy, "5", "39");
    world.place(&entry).unwrap();
    let stop = waiting(&world.order("s1", Sell, "5", "30"), StopLoss, "37");
    let refusal = world.place(&stop).unwrap_err();
    assert_eq!((refusal.code, refusal.message.as_str()), (RefusalCode::TooManyTriggers, "no more orders may wait for a trigger"));
    assert_eq!(world.place(&stop).unwrap_err(), refusal, "the same bytes are refused the same");
    let again = waiting(&world.order("s2", Sell, "5", "30"), StopLoss, "37");
    world.place(&again).unwrap();
    assert_eq!(world.server.fault_counts()[&FaultKind::RefuseTrigger], 1);
    // By chance, too.
    let mut config = quiet(Config::hyperliquid_like());
    config.faults.refuse_trigger = 1000;
    let mut world = World::new(config);
    let entry = world.order("entry", Buy, "5", "39");
    world.place(&entry).unwrap();
    let stop = PlaceOrder {
        trigger: Some(Trigger { kind: StopLoss, price: "37".parse().unwrap() }),
        reduce_only: true,
        ..world.order("s1", Sell, "5", "30")
    };
    assert_eq!(world.place(&stop).unwrap_err().code, RefusalCode::TooManyTriggers);
}
