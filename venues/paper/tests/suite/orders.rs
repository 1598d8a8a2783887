//! What becomes of each kind of order.

use omnivenue_core::model::instrument::Side::{Buy, Sell};
use omnivenue_core::model::order::OrderStatus;
use omnivenue_core::model::signal::TimeInForce::{Fok, Gtc, Ioc};
use omnivenue_paper::{Answer, Config, PlaceOrder, RefusalCode, Request, Response};

use crate::world::{World, id, limit, moving, quiet};

fn perp() -> World {
    World::new(quiet(Config::hyperliquid_like()))
}

#[test]
fn a_market_order_fills_at_the_quote_and_pays_its_fee() {
    let mut world = perp();
    let order = world.order("a1", Buy, "10", "39");
    let report = world.place(&order).unwrap();
    assert_eq!((report.status, report.filled_quantity.to_string()), (OrderStatus::Filled, "10".into()));
    assert_eq!((report.fills[0].price.to_string(), report.fills[0].fee.amount.to_string()), ("38".into(), "0.171".into()));
    let truth = world.truth();
    assert_eq!(truth.balance(&"USDC".parse().unwrap()).to_string(), "9999.829");
    assert_eq!(world.position(), "10");
    assert_eq!(world.updates, [report], "the stream tells the same");
}

#[test]
fn nothing_fills_beyond_the_worst_price() {
    let mut world = perp();
    for (name, side, worst) in [("b", Buy, "37.9"), ("s", Sell, "38.1")] {
        let order = world.order(name, side, "1", worst);
        let report = world.place(&order).unwrap();
        assert_eq!((report.status, report.fills.len()), (OrderStatus::Canceled, 0), "{name}");
        // A limit that is laxer than the worst price does not widen it.
        let order = world.order(&format!("{name}2"), side, "1", worst);
        let report = world.place(&limit(&order, "38", Ioc, false)).unwrap();
        assert_eq!((report.status, report.fills.len()), (OrderStatus::Expired, 0), "{name}");
    }
}

#[test]
fn depth_leaves_a_rest() {
    let mut config = quiet(Config::hyperliquid_like());
    config.depth = Some("100".parse().unwrap());
    config.orders.fill_or_kill = true;
    let mut world = World::new(config);
    let mut check = |name: &str, change: &dyn Fn(&PlaceOrder) -> PlaceOrder, status: OrderStatus, filled: &str| {
        let order = world.order(name, Buy, "10", "39");
        let report = world.place(&change(&order)).unwrap();
        assert_eq!((report.status, report.filled_quantity.to_string()), (status, filled.into()), "{name}");
    };
    check("market", &Clone::clone, OrderStatus::Canceled, "2.63");
    check("ioc", &|order| limit(order, "38", Ioc, false), OrderStatus::Expired, "2.63");
    check("fok", &|order| limit(order, "38", Fok, false), OrderStatus::Expired, "0");
    check("gtc", &|order| limit(order, "38", Gtc, false), OrderStatus::Open, "2.63");
}

#[test]
fn what_an_exchange_has_no_orders_for_it_refuses() {
    let mut config = quiet(Config::hyperliquid_like());
    config.orders.post_only = false;
    let mut world = World::new(config);
    let order = world.order("a1", Buy, "10", "39");
    assert_eq!(world.place(&limit(&order, "38", Fok, false)).unwrap_err().code, RefusalCode::Unsupported);
    let order = world.order("b1", Buy, "10", "39");
    assert_eq!(world.place(&limit(&order, "37", Gtc, true)).unwrap_err().code, RefusalCode::Unsupported);
}

#[test]
fn a_limit_order_rests_until_the_price_comes_and_pays_the_makers_fee() {
    let (config, _folder) = moving(Config::hyperliquid_like(), &["38", "38", "37", "36", "39"]);
    let mut world = World::new(config);
    let order = world.order("a1", Buy, "10", "39");
    let report = world.place(&limit(&order, "37", Gtc, true)).unwrap();
    assert_eq!(report.status, OrderStatus::Open);
    world.wait(1_999);
    assert_eq!(world.query("a1").unwrap().status, OrderStatus::Open);
    world.wait(1);
    let report = world.query("a1").unwrap();
    assert_eq!((report.status, report.fills[0].price.to_string()), (OrderStatus::Filled, "37".into()));
    assert_eq!(report.fills[0].fee.amount.to_string(), "0.0555");
    assert_eq!(world.updates.last().unwrap().fills, report.fills);
}

#[test]
fn resting_orders_match_the_same_however_often_one_looks() {
    let path = ["38", "37.5", "38", "36.9", "38", "36", "38"];
    let run = |step: u64| {
        let (config, _folder) = moving(Config::hyperliquid_like(), &path);
        let mut world = World::new(config);
        for (name, price) in [("a1", "37.2"), ("b1", "36.5")] {
            let order = world.order(name, Buy, "10", "39");
            world.place(&limit(&order, price, Gtc, false)).unwrap();
        }
        (0..7000 / step).for_each(|_| drop(world.wait(step)));
        world.truth().fills
    };
    assert_eq!(run(10), run(7000));
    assert_eq!(run(10).len(), 2);
}

#[test]
fn post_only_never_takes() {
    let mut world = perp();
    let order = world.order("a1", Buy, "1", "39");
    assert_eq!(world.place(&limit(&order, "38", Gtc, true)).unwrap_err().code, RefusalCode::PostOnly);
}

#[test]
fn reduce_only_never_opens_or_turns_a_position() {
    let mut world = perp();
    let reduce = |order: PlaceOrder| PlaceOrder { reduce_only: true, ..order };
    let order = reduce(world.order("r0", Sell, "1", "37"));
    assert_eq!(world.place(&order).unwrap_err().code, RefusalCode::ReduceOnly);
    let order = world.order("o1", Buy, "3", "39");
    world.place(&order).unwrap();
    let order = reduce(world.order("r1", Buy, "1", "39"));
    assert_eq!(world.place(&order).unwrap_err().code, RefusalCode::ReduceOnly);
    let order = reduce(world.order("r2", Sell, "5", "37"));
    let report = world.place(&order).unwrap();
    assert_eq!((report.status, report.filled_quantity.to_string()), (OrderStatus::Canceled, "3".into()));
    assert_eq!(world.position(), "0");
}

#[test]
fn a_resting_reduce_only_order_goes_with_its_position() {
    let (config, _folder) = moving(Config::hyperliquid_like(), &["38", "38.5", "38"]);
    let mut world = World::new(config);
    let order = world.order("o1", Buy, "3", "39");
    world.place(&order).unwrap();
    let order = PlaceOrder { reduce_only: true, ..world.order("r1", Sell, "3", "37") };
    world.place(&limit(&order, "45", Gtc, false)).unwrap();
    let order = world.order("c1", Sell, "3", "37");
    world.place(&order).unwrap();
    world.wait(1000);
    assert_eq!(world.query("r1").unwrap().status, OrderStatus::Canceled);
}

#[test]
fn canceling_twice_reports_how_it_stands() {
    let mut world = perp();
    let order = world.order("a1", Buy, "1", "39");
    world.place(&limit(&order, "30", Gtc, false)).unwrap();
    let cancel = |world: &mut World, name: &str| {
        world.ask(Request::Cancel { account: World::account(), symbol: "HYPE".parse().unwrap(), client_order_id: id(name) }).unwrap()
    };
    for _ in 0..2 {
        let Answer::Ok(response) = cancel(&mut world, "a1") else { panic!("refused") };
        let Response::Order(report) = *response else { panic!("{response:?}") };
        assert_eq!(report.status, OrderStatus::Canceled);
    }
    assert!(matches!(cancel(&mut world, "zz"), Answer::Refused(refusal) if refusal.code == RefusalCode::UnknownOrder));
}

#[test]
fn margin_and_holdings_are_checked() {
    let mut world = perp();
    let order = world.order("a1", Buy, "264", "39");
    let refusal = world.place(&order).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::InsufficientFunds);
    assert_eq!(refusal.message, "10036.5144 USDC are needed, but 10000 are free");
    let order = world.order("a2", Buy, "2000", "39");
    world.place(&PlaceOrder { leverage: "10".parse().unwrap(), ..order }).unwrap();
    // What reduces is never refused for want of margin.
    let order = world.order("a3", Sell, "2000", "37");
    world.place(&order).unwrap();

    let mut spot = World::new(quiet(Config::spot_like()));
    let order = spot.order("s1", Sell, "1", "37");
    assert_eq!(spot.place(&order).unwrap_err().code, RefusalCode::InsufficientFunds);
    let order = spot.order("s2", Buy, "100", "39");
    spot.place(&order).unwrap();
    // The fee was taken in base: what was bought cannot all be sold.
    let order = spot.order("s3", Sell, "100", "37");
    assert_eq!(spot.place(&order).unwrap_err().code, RefusalCode::InsufficientFunds);
    let order = spot.order("s4", Sell, "99.9", "37");
    spot.place(&order).unwrap();
}

#[test]
fn open_orders_hold_what_they_may_spend() {
    let mut world = World::new(quiet(Config::spot_like()));
    let order = world.order("a1", Buy, "200", "39");
    world.place(&limit(&order, "30", Gtc, false)).unwrap();
    let order = world.order("a2", Buy, "150", "39");
    assert_eq!(world.place(&order).unwrap_err().code, RefusalCode::InsufficientFunds);
}

#[test]
fn a_snapshot_tells_everything_or_what_is_new() {
    let mut world = World::new(quiet(Config::spot_like()));
    let order = world.order("a1", Buy, "10", "39");
    world.place(&order).unwrap();
    let order = world.order("a2", Buy, "10", "39");
    world.place(&limit(&order, "30", Gtc, false)).unwrap();
    world.wait(1000);
    let mut snapshot = |since| match world.ask(Request::Snapshot { account: World::account(), since }).unwrap() {
        Answer::Ok(response) => match *response {
            Response::Snapshot(snapshot) => snapshot,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let all = snapshot(None);
    assert_eq!((all.orders.len(), all.fills.len()), (2, 1));
    assert_eq!(format!("{:?}", all.positions), "[NetPosition { symbol: HYPE/USDC, quantity: 9.99, cost: None }]");
    assert_eq!(all.balances.len(), 2);
    let new = snapshot(Some(all.at));
    assert_eq!((new.orders.len(), new.fills.len()), (1, 0), "what rests is always told");
}

#[test]
fn another_account_is_another_world_and_an_unknown_one_is_refused() {
    let config = quiet(Config::hyperliquid_like()).with_account(&"other".parse().unwrap(), "USDC".parse().unwrap(), "1".parse().unwrap());
    let mut world = World::new(config);
    let order = world.order("a1", Buy, "1", "39");
    world.place(&order).unwrap();
    let mut ask = |account: &str| world.ask(Request::Order { account: account.parse().unwrap(), client_order_id: id("a1") }).unwrap();
    assert!(matches!(ask("other"), Answer::Refused(refusal) if refusal.code == RefusalCode::UnknownOrder));
    assert!(matches!(ask("nobody"), Answer::Refused(refusal) if refusal.code == RefusalCode::UnknownAccount));
}

#[test]
fn positions_and_open_orders_hold_their_margin() {
    let at = |leverage: &str, order: PlaceOrder| PlaceOrder { leverage: leverage.parse().unwrap(), ..order };
    // 6080 of 10000 are held at leverage 1, as a position or as an order.
    for rests in [false, true] {
        let mut world = perp();
        let order = world.order("a1", Buy, "160", "39");
        world.place(&if rests { limit(&order, "37.999", Gtc, false) } else { order }).unwrap();
        let order = world.order("a2", Buy, "160", "39");
        assert_eq!(world.place(&order).unwrap_err().code, RefusalCode::InsufficientFunds, "{rests}");
        let order = world.order("a3", Buy, "160", "39");
        world.place(&at("2", order)).unwrap();
    }
}

#[test]
fn closing_at_another_leverage_leaves_that_of_the_rest() {
    let mut world = perp();
    let at = |leverage: &str, order: PlaceOrder| PlaceOrder { leverage: leverage.parse().unwrap(), ..order };
    let order = world.order("a1", Buy, "1000", "39");
    world.place(&at("5", order)).unwrap();
    let order = world.order("a2", Sell, "10", "37");
    world.place(&at("1", order)).unwrap();
    assert_eq!(world.truth().positions[&"HYPE".parse().unwrap()].leverage.to_string(), "5");
    let order = world.order("a3", Buy, "1", "39");
    world.place(&at("4", order)).unwrap();
    assert_eq!(world.truth().positions[&"HYPE".parse().unwrap()].leverage.to_string(), "4");
}
