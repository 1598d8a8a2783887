//! Exits that wait at the venue: alone, with their entry, in doubt, after a restart.

use std::time::Duration;

use omnivenue_core::journal::Journaled;
use omnivenue_core::model::exit::ExitKind;
use omnivenue_core::model::instrument::Market;
use omnivenue_core::model::order::{OrderReport, OrderRequest, OrderStatus, Purpose};
use omnivenue_core::venue::{Account, AccountSnapshot, Effect, ErrorKind, Evidence, Operation, Prepared, TriggerSource, Venue};
use omnivenue_hyperliquid::action::{Cloid, Order, OrderKind, Tif};
use omnivenue_hyperliquid::rest;
use serde_json::{Value, json};

use crate::bench::{Bench, World, parse, present};
use crate::mint::{Exit, PROFIT, STOP};
use crate::streams::Followed;

/// Longer than the testnet's latest late commit.
const LATEST: Duration = Duration::from_secs(4);

/// How an order stands at the venue.
async fn status(bench: &Bench, order: &Journaled<Prepared>) -> OrderStatus {
    present(bench.probe(order, false).await).status
}

async fn place(bench: &Bench, order: &Journaled<Prepared>) -> OrderReport {
    bench.account.place(order).await.unwrap()
}

/// A long position, as a signal of one HYPE opens it.
async fn bought(bench: &mut Bench) {
    let entry = bench.order(json!({})).await;
    assert_eq!(bench.place(&entry).await.unwrap().status, OrderStatus::Filled);
}

/// An entry with a stop and a take profit, and these two.
async fn bracket(bench: &mut Bench, signal: Value) -> (Journaled<Prepared>, [Journaled<Prepared>; 2]) {
    let entry = bench.mint.entry(signal, &[STOP, PROFIT]).await.unwrap();
    let exits = bench.mint.travelers(&entry).await;
    (entry, exits.try_into().unwrap())
}

fn at(price: &str) -> Value {
    json!({"order": {"type": "limit", "price": price, "time_in_force": "gtc"}})
}

async fn size(bench: &Bench) -> String {
    let purpose = rest::Purpose::read(Operation::Examine);
    let state = bench.hyperliquid.client().clearinghouse(bench.account.user(), purpose).await.unwrap();
    state.asset_positions.first().map_or_else(|| "0".to_owned(), |held| held.position.szi.clone())
}

/// The same account in another process: nothing is remembered.
async fn restarted(world: &World) -> Bench {
    Bench::open(world).await
}

fn listed(snapshot: &AccountSnapshot, order: &Prepared) -> Vec<OrderStatus> {
    let own = snapshot.orders.iter().filter(|report| report.client_order_id == *order.client_order_id());
    own.map(|report| report.status).collect()
}

#[tokio::test]
async fn a_stop_waits_at_the_venue_and_its_trades_are_told_under_its_name() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    bought(&mut bench).await;
    let stop = bench.mint.alone(json!({}), "1", STOP).await;
    let report = place(&bench, &stop).await;
    assert_eq!((report.status, report.filled_quantity, &report.client_order_id), (OrderStatus::Open, parse("0"), stop.client_order_id()));
    let asked = world.requests("userFillsByTime");
    assert_eq!(status(&bench, &stop).await, OrderStatus::Open);
    assert_eq!(world.requests("userFillsByTime"), asked, "what sleeps has not traded, however many trades there are");
    let snapshot = bench.account.snapshot(None).await.unwrap();
    assert_eq!(listed(&snapshot, &stop), [OrderStatus::Open]);
    let at_venue = &world.waiting()[0];
    assert_eq!(
        (&at_venue["reduce_only"], &at_venue["trigger"]["kind"], &at_venue["price"]),
        (&json!(true), &json!("stop_loss"), &json!("34"))
    );

    let mut followed = Followed::start(&bench).await;
    world.price("HYPE", "35.9");
    let own = |report: &OrderReport| report.client_order_id == *stop.client_order_id();
    let told = followed.until(|report| own(report) && report.status == OrderStatus::Filled).await;
    assert_eq!((told.filled_quantity, told.fills.len()), (parse("1"), 1));
    assert_eq!(told.fills[0].client_order_id.as_ref(), Some(stop.client_order_id()));
    let found = present(bench.probe(&stop, false).await);
    assert_eq!((found.status, &found.fills), (OrderStatus::Filled, &told.fills));
    let snapshot = bench.account.snapshot(None).await.unwrap();
    assert_eq!((listed(&snapshot, &stop), snapshot.positions.len()), (vec![OrderStatus::Filled], 0));
    assert!(snapshot.fills.contains(&told.fills[0]));
}

#[tokio::test]
async fn a_short_position_is_closed_by_buying() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let short = bench.order(json!({"direction": "short"})).await;
    place(&bench, &short).await;
    let stop = bench.mint.alone(json!({"direction": "short"}), "1", (ExitKind::StopLoss, "40", "42")).await;
    let profit = bench.mint.alone(json!({"direction": "short"}), "1", (ExitKind::TakeProfit, "35", "36")).await;
    place(&bench, &stop).await;
    place(&bench, &profit).await;
    world.price("HYPE", "40.5");
    assert_eq!([status(&bench, &stop).await, status(&bench, &profit).await], [OrderStatus::Filled, OrderStatus::Open]);
    assert_eq!(size(&bench).await, "0");
}

#[tokio::test]
async fn one_request_opens_a_position_and_protects_it_and_one_exit_ends_the_other() {
    for (price, winner, loser) in [("35.9", 0, 1), ("42.5", 1, 0)] {
        let world = World::start();
        let mut bench = Bench::open(&world).await;
        let mut followed = Followed::start(&bench).await;
        let (entry, exits) = bracket(&mut bench, json!({})).await;
        let used = world.truth(&world.main.address)["actions_used"].as_u64().unwrap();
        let report = place(&bench, &entry).await;
        assert_eq!((report.status, report.filled_quantity), (OrderStatus::Filled, parse("1")));
        assert_eq!(world.truth(&world.main.address)["actions_used"].as_u64().unwrap(), used + 3);
        for exit in &exits {
            followed.until(|report| report.client_order_id == *exit.client_order_id() && report.status == OrderStatus::Open).await;
            assert_eq!(status(&bench, exit).await, OrderStatus::Open);
        }
        let snapshot = bench.account.snapshot(None).await.unwrap();
        assert_eq!([listed(&snapshot, &exits[0]), listed(&snapshot, &exits[1])], [[OrderStatus::Open], [OrderStatus::Open]]);
        world.price("HYPE", price);
        let hit = followed.until(|report| report.client_order_id == *exits[winner].client_order_id() && !report.fills.is_empty()).await;
        assert_eq!(hit.fills[0].client_order_id.as_ref(), Some(exits[winner].client_order_id()));
        let ended =
            |report: &OrderReport| report.client_order_id == *exits[loser].client_order_id() && report.status == OrderStatus::Canceled;
        assert_eq!(followed.until(ended).await.filled_quantity, parse("0"));
        assert_eq!(
            [status(&bench, &exits[winner]).await, status(&bench, &exits[loser]).await],
            [OrderStatus::Filled, OrderStatus::Canceled]
        );
        assert_eq!(size(&bench).await, "0", "{price}");
    }
}

#[tokio::test]
async fn exits_wait_for_an_entry_that_rests_and_end_with_it() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let (entry, exits) = bracket(&mut bench, at("37")).await;
    assert_eq!(place(&bench, &entry).await.status, OrderStatus::Open);
    assert_eq!(world.waiting()[0]["waits_for"], "waitingForFill");
    let snapshot = bench.account.snapshot(None).await.unwrap();
    for exit in &exits {
        assert_eq!((status(&bench, exit).await, listed(&snapshot, exit)), (OrderStatus::Open, vec![OrderStatus::Open]));
        // Denied by name, it is found inside its entry.
        world.fault("false_not_found", "orderStatus", 1);
        assert_eq!(status(&bench, exit).await, OrderStatus::Open);
    }
    // One of them is taken back by its own name; the other goes when the entry goes.
    for _ in 0..2 {
        let canceled = bench.account.cancel(&parse("HYPE"), exits[1].client_order_id()).await.unwrap();
        assert_eq!((canceled.status, canceled.filled_quantity), (OrderStatus::Canceled, parse("0")));
    }
    assert_eq!(status(&bench, &exits[0]).await, OrderStatus::Open);
    bench.account.cancel(&parse("HYPE"), entry.client_order_id()).await.unwrap();
    assert_eq!(status(&bench, &exits[0]).await, OrderStatus::Canceled);
    let snapshot = bench.account.snapshot(None).await.unwrap();
    assert_eq!([listed(&snapshot, &exits[0]), listed(&snapshot, &exits[1])], [[OrderStatus::Canceled], [OrderStatus::Canceled]]);

    let (entry, exits) = bracket(&mut bench, at("37")).await;
    place(&bench, &entry).await;
    world.price("HYPE", "36.9");
    assert_eq!(status(&bench, &entry).await, OrderStatus::Filled);
    world.price("HYPE", "35.9");
    assert_eq!([status(&bench, &exits[0]).await, status(&bench, &exits[1]).await], [OrderStatus::Filled, OrderStatus::Canceled]);
}

#[tokio::test]
async fn a_stop_that_is_refused_while_its_entry_is_taken_is_known_to_be_missing() {
    for fault in ["", "cut_after"] {
        let world = World::start();
        let mut bench = Bench::open(&world).await;
        let (entry, exits) = bracket(&mut bench, json!({})).await;
        world.fault("refuse_triggers", "order", 1);
        if fault.is_empty() {
            assert_eq!(place(&bench, &entry).await.status, OrderStatus::Filled);
        } else {
            world.fault(fault, "order", 1);
            assert_eq!(bench.account.place(&entry).await.unwrap_err().effect, Effect::Unknown);
        }
        assert_eq!(status(&bench, &entry).await, OrderStatus::Filled);
        for exit in &exits {
            let refused = present(bench.probe(exit, false).await);
            assert_eq!((refused.status, refused.filled_quantity), (OrderStatus::Canceled, parse("0")), "`{fault}`");
        }
        assert_eq!(size(&bench).await, "1.0");
        // The next attempt is another order.
        let stop = bench.mint.alone(json!({}), "1", STOP).await;
        world.fault("refuse_triggers", "order", 1);
        let error = bench.account.place(&stop).await.unwrap_err();
        assert_eq!((error.effect, error.kind, error.code.as_deref()), (Effect::Refused, ErrorKind::InvalidRequest, Some("trigger_price")));
        let stop = bench.mint.alone(json!({}), "1", STOP).await;
        assert_eq!(place(&bench, &stop).await.status, OrderStatus::Open);
    }
}

#[tokio::test]
async fn a_trigger_that_is_reached_already_is_refused() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    bought(&mut bench).await;
    let (stop, profit) = (bench.mint.alone(json!({}), "1", STOP).await, bench.mint.alone(json!({}), "1", PROFIT).await);
    world.price("HYPE", "35");
    assert_eq!(bench.account.place(&stop).await.unwrap_err().effect, Effect::Refused);
    world.price("HYPE", "43");
    assert_eq!(bench.account.place(&profit).await.unwrap_err().code.as_deref(), Some("trigger_price"));
    assert_eq!((size(&bench).await.as_str(), world.waiting().len()), ("1.0", 0));
}

#[tokio::test]
async fn a_refused_entry_takes_its_exits_with_it() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let (entry, exits) = bracket(&mut bench, json!({"order": {"type": "limit", "price": "30", "time_in_force": "ioc"}})).await;
    let report = place(&bench, &entry).await;
    assert_eq!((report.status, report.filled_quantity), (OrderStatus::Expired, parse("0")));
    // Its nonce is used, so that time alone proves it; nothing is burned, nothing is sent.
    for exit in &exits {
        match bench.probe(exit, true).await {
            Evidence::NotYet { why, .. } => assert!(why.contains("its nonce was used before"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    for exit in &exits {
        assert!(matches!(bench.settle(exit).await, Evidence::AbsentForever { .. }));
    }
    assert_eq!(world.requests("noop"), 0);
    assert!(world.waiting().is_empty());
}

#[tokio::test]
async fn a_lost_answer_of_a_bracket_loses_nothing() {
    for fault in ["cut_after", "error_after", "silence", "late_commit"] {
        let world = World::start();
        let mut bench = Bench::open(&world).await;
        let (entry, exits) = bracket(&mut bench, json!({})).await;
        world.fault(fault, "order", 1);
        assert_eq!(bench.account.place(&entry).await.unwrap_err().effect, Effect::Unknown, "{fault}");
        if fault == "late_commit" {
            tokio::time::sleep(LATEST).await;
        }
        for exit in &exits {
            assert_eq!(status(&bench, exit).await, OrderStatus::Open, "{fault}");
        }
        assert_eq!(status(&bench, &entry).await, OrderStatus::Filled, "{fault}");
        assert_eq!((world.requests("noop"), world.orders().len()), (0, 3), "{fault}");
    }
}

#[tokio::test]
async fn a_bracket_that_never_arrived_is_absent_as_a_whole_once_its_nonce_is_burned() {
    for fault in ["cut_before", "late_commit"] {
        let world = World::start();
        let mut bench = Bench::open(&world).await;
        let (entry, exits) = bracket(&mut bench, json!({})).await;
        world.fault(fault, "order", 1);
        assert_eq!(bench.account.place(&entry).await.unwrap_err().effect, Effect::Unknown);
        // Asked for first, an exit neither goes by itself nor keeps its entry from going again.
        for exit in &exits {
            match bench.probe(exit, true).await {
                Evidence::NotYet { why, .. } => assert!(why.contains("goes with its entry"), "{fault}: {why}"),
                other => panic!("{fault}: {other:?}"),
            }
        }
        assert!(matches!(bench.probe(&entry, true).await, Evidence::Resendable { .. }), "{fault}");
        let Evidence::AbsentForever { evidence } = bench.probe(&entry, false).await else { panic!("{fault}") };
        assert!(evidence.contains("was burned"), "{evidence}");
        for exit in &exits {
            let Evidence::AbsentForever { evidence } = bench.probe(exit, true).await else { panic!("{fault}") };
            assert!(evidence.contains("was burned before"), "{evidence}");
        }
        tokio::time::sleep(LATEST).await;
        let truth = world.truth(&world.main.address);
        assert_eq!([&truth["orders"], &truth["rejected_orders"], &truth["waiting_triggers"]], [&json!([]); 3], "{fault}");
        assert_eq!(world.requests("noop"), 1, "once for all three");
    }
}

#[tokio::test]
async fn the_same_bytes_again_bring_entry_and_exits_once() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let (entry, exits) = bracket(&mut bench, json!({})).await;
    world.fault("cut_before", "order", 1);
    bench.account.place(&entry).await.unwrap_err();
    assert!(matches!(bench.probe(&entry, true).await, Evidence::Resendable { .. }));
    assert_eq!(place(&bench, &entry).await.status, OrderStatus::Filled);
    // And never a third time: the answer says nothing, the orders are there.
    assert_eq!(bench.account.place(&entry).await.unwrap_err().effect, Effect::Unknown);
    assert_eq!([status(&bench, &exits[0]).await, status(&bench, &exits[1]).await], [OrderStatus::Open, OrderStatus::Open]);
    assert_eq!((world.orders().len(), size(&bench).await.as_str()), (3, "1.0"));
}

#[tokio::test]
async fn an_exit_is_never_sent_without_its_entry() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let (_, exits) = bracket(&mut bench, json!({})).await;
    let error = bench.account.place(&exits[0]).await.unwrap_err();
    assert_eq!((error.effect, error.kind), (Effect::NotSent, ErrorKind::Internal));
    assert_eq!(world.requests("order"), 0);
}

#[tokio::test]
async fn exits_whose_entry_nobody_asks_for_are_settled_when_their_time_is_over() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let (entry, exits) = bracket(&mut bench, json!({})).await;
    for exit in &exits {
        let Evidence::AbsentForever { evidence } = bench.settle(exit).await else { panic!() };
        assert!(evidence.contains("was burned"), "{evidence}");
    }
    let Evidence::AbsentForever { evidence } = bench.probe(&entry, true).await else { panic!() };
    assert!(evidence.contains("was burned before"), "{evidence}");
}

#[tokio::test]
async fn moving_the_stop_never_deletes_the_take_profit() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let (entry, [stop, profit]) = bracket(&mut bench, json!({})).await;
    place(&bench, &entry).await;
    // The new one is there before the old one goes.
    let nearer: Exit<'_> = (ExitKind::StopLoss, "37", "35");
    let moved = bench.mint.alone(json!({}), "1", nearer).await;
    assert_eq!(place(&bench, &moved).await.status, OrderStatus::Open);
    assert_eq!(bench.account.cancel(&parse("HYPE"), stop.client_order_id()).await.unwrap().status, OrderStatus::Canceled);
    assert_eq!([status(&bench, &profit).await, status(&bench, &moved).await], [OrderStatus::Open, OrderStatus::Open]);
    let snapshot = bench.account.snapshot(None).await.unwrap();
    assert_eq!([listed(&snapshot, &profit), listed(&snapshot, &moved)], [[OrderStatus::Open], [OrderStatus::Open]]);
    world.price("HYPE", "36.9");
    assert_eq!((status(&bench, &moved).await, size(&bench).await.as_str()), (OrderStatus::Filled, "0"));
    // What was for the position ends with it.
    assert_eq!(status(&bench, &profit).await, OrderStatus::Canceled);
}

#[tokio::test]
async fn a_stop_closes_what_is_held_and_never_more() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    bought(&mut bench).await;
    let (stop, idle) = (bench.mint.alone(json!({}), "1", STOP).await, bench.mint.alone(json!({}), "1", STOP).await);
    place(&bench, &stop).await;
    place(&bench, &idle).await;
    // Somebody sells a part of it.
    let asset = bench.hyperliquid.listing(&parse("HYPE")).unwrap().asset;
    let part = Order {
        asset,
        is_buy: false,
        price: "37".into(),
        size: "0.4".into(),
        reduce_only: true,
        kind: OrderKind::Limit { tif: Tif::Ioc },
        cloid: Some(Cloid::parse(&format!("0x{:032x}", 7)).unwrap()),
    };
    bench.account.place_batch(vec![part]).await.unwrap();
    assert_eq!(size(&bench).await, "0.6");
    world.price("HYPE", "35.9");
    assert_eq!(size(&bench).await, "0");
    let (hit, left) = (present(bench.settle(&stop).await), present(bench.settle(&idle).await));
    assert_eq!((hit.status, hit.filled_quantity), (OrderStatus::Canceled, parse("0.6")), "{hit:?}");
    assert_eq!((left.status, left.filled_quantity), (OrderStatus::Canceled, parse("0")));
}

#[tokio::test]
async fn an_entry_that_fills_in_part_is_protected_for_what_filled() {
    let world = World::with(|config| config.depth = Some(parse("38")));
    let mut bench = Bench::open(&world).await;
    let (entry, [stop, profit]) = bracket(&mut bench, json!({"sizing": {"quantity": "2"}})).await;
    let part = place(&bench, &entry).await;
    assert!(part.status == OrderStatus::Canceled && part.filled_quantity < parse("1") && part.filled_quantity > parse("0.9"), "{part:?}");
    assert_eq!([status(&bench, &stop).await, status(&bench, &profit).await], [OrderStatus::Open, OrderStatus::Open]);
    world.price("HYPE", "35.9");
    let (hit, other) = (present(bench.settle(&stop).await), present(bench.settle(&profit).await));
    assert_eq!((hit.status, hit.filled_quantity), (OrderStatus::Canceled, part.filled_quantity), "{hit:?}");
    assert_eq!((other.status, size(&bench).await.as_str()), (OrderStatus::Canceled, "0"));
}

#[tokio::test]
async fn after_a_restart_exits_are_found_by_what_was_journaled() {
    // Each process counts for itself what all of them ask from one address.
    let world = World::with(|config| config.limits.ip_weight = 10_000);
    let mut bench = Bench::open(&world).await;
    let (entry, exits) = bracket(&mut bench, json!({})).await;
    place(&bench, &entry).await;
    let alone = bench.mint.alone(json!({}), "1", (ExitKind::StopLoss, "35", "33")).await;
    world.fault("cut_after", "order", 1);
    bench.account.place(&alone).await.unwrap_err();
    let (lost, lost_exits) = bracket(&mut bench, json!({})).await;
    world.fault("cut_before", "order", 1);
    bench.account.place(&lost).await.unwrap_err();

    let later = restarted(&world).await;
    for order in exits.iter().chain([&alone]) {
        assert_eq!(status(&later, order).await, OrderStatus::Open);
    }
    let snapshot = later.account.snapshot(None).await.unwrap();
    for order in exits.iter().chain([&alone]) {
        assert_eq!(listed(&snapshot, order), [OrderStatus::Open]);
    }
    let Evidence::AbsentForever { .. } = later.probe(&lost, false).await else { panic!() };
    for exit in &lost_exits {
        assert!(matches!(later.probe(exit, false).await, Evidence::AbsentForever { .. }));
    }
    // Another one still: that the nonce was burned is forgotten, and found out again in time.
    let latest = restarted(&world).await;
    for exit in &lost_exits {
        assert!(matches!(latest.probe(exit, true).await, Evidence::NotYet { .. }));
    }
    for exit in &lost_exits {
        assert!(matches!(latest.settle(exit).await, Evidence::AbsentForever { .. }));
    }
    // What they do from now on is told under their names.
    let mut followed = Followed::start(&later).await;
    world.price("HYPE", "35.9");
    let told = followed.until(|report| report.client_order_id == *exits[0].client_order_id() && !report.fills.is_empty()).await;
    assert_eq!((told.status, told.filled_quantity), (OrderStatus::Filled, parse("1")));
}

#[tokio::test]
async fn a_stop_whose_frames_are_lost_is_told_nevertheless() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    bought(&mut bench).await;
    let stop = bench.mint.alone(json!({}), "1", STOP).await;
    place(&bench, &stop).await;
    let mut followed = Followed::start(&bench).await;
    world.fault("drop", "userFills", 1);
    world.price("HYPE", "35.9");
    let told = followed.until(|report| report.client_order_id == *stop.client_order_id() && !report.fills.is_empty()).await;
    assert_eq!(told.fills[0].quantity, parse("1"));
    assert!(followed.end().await.message.contains("never streamed"));
}

#[tokio::test]
async fn spot_has_no_exits_at_the_venue() {
    let world = World::start();
    let mut bench = Bench::with(&world, world.login(Market::Spot)).await;
    let story = bench.mint.entry(json!({}), &[STOP]).await.unwrap_err();
    assert!(story.contains("spot has no reduce-only orders") && story.contains("\"unsupported\""), "{story}");
    assert_eq!(world.requests("order"), 0);
}

#[tokio::test]
async fn exits_are_ready_when_entries_have_to_wait_and_set_no_leverage() {
    let world = World::with(|config| config.limits.address_actions = 102);
    let bench = Bench::open(&world).await;
    let capabilities = bench.hyperliquid.capabilities().exits.clone().unwrap();
    assert!(capabilities.stop && capabilities.take_profit && capabilities.attached && capabilities.source == TriggerSource::Mark);
    let elsewhere = World::start();
    let mut made = Bench::open(&elsewhere).await;
    let (with_exits, exits) = bracket(&mut made, json!({"leverage": "5"})).await;
    // Two requests are left beside those for exits: enough for an order, too few for one with two exits.
    let error = bench.account.ready(with_exits.request()).await.unwrap_err();
    assert_eq!((error.kind, error.effect, error.code.as_deref()), (ErrorKind::RateLimited, Effect::NotSent, Some("action_budget")));
    let alone = OrderRequest { attached: Vec::new(), ..with_exits.request().clone() };
    bench.account.ready(&alone).await.unwrap();
    assert_eq!(world.requests("updateLeverage"), 1);
    let exit = OrderRequest { leverage: parse("7"), ..exits[0].request().clone() };
    assert_eq!(exit.purpose, Purpose::Protect);
    // Entries wait for what is reserved for exits.
    while bench.hyperliquid.client().permits().try_take(1, omnivenue_kit::permits::Use::Entry) {}
    bench.account.ready(&exit).await.unwrap();
    assert_eq!(world.requests("updateLeverage"), 1);
}

#[tokio::test]
async fn exits_made_under_another_key_are_looked_for_and_nothing_is_burned() {
    let world = World::start();
    let mut bench = Bench::with(&world, world.agent_login()).await;
    let (_, exits) = bracket(&mut bench, json!({})).await;
    let other = restarted(&world).await;
    match other.probe(&exits[0], true).await {
        Evidence::NotYet { why, .. } => assert!(why.contains("not ours to burn"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.requests("noop"), 0);
}
