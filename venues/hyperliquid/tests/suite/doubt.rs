//! Orders whose fate is unknown: found, or proved absent, and never twice.

use std::time::Duration;

use omnivenue_core::model::instrument::Market;
use omnivenue_core::model::order::OrderStatus;
use omnivenue_core::venue::{Account, Effect, ErrorKind, Evidence, ProbePermission};
use omnivenue_hyperliquid::{Login, MARGIN};
use omnivenue_kit::sign::Address;
use serde_json::json;

use crate::bench::{Bench, World, parse, present, resting};

/// Longer than the testnet's latest late commit.
const LATEST: Duration = Duration::from_secs(4);

#[tokio::test]
async fn whatever_happened_to_the_answer_the_truth_is_found() {
    for (fault, arrives) in [("cut_before", false), ("error_before", false), ("cut_after", true), ("error_after", true), ("silence", true)]
    {
        let world = World::start();
        let mut bench = Bench::open(&world).await;
        let order = bench.order(json!({})).await;
        world.fault(fault, "order", 1);
        let error = bench.place(&order).await.unwrap_err();
        assert_eq!(error.effect, Effect::Unknown, "{fault}: {error}");
        match bench.settle(&order).await {
            Evidence::Present(report) => {
                assert!(arrives, "{fault}");
                assert_eq!((report.status, report.fills.len()), (OrderStatus::Filled, 1));
            }
            Evidence::AbsentForever { evidence } => assert!(!arrives && evidence.contains("was burned"), "{fault}: {evidence}"),
            other => panic!("{fault}: {other:?}"),
        }
        assert_eq!(world.orders().len(), usize::from(arrives), "{fault}");
    }
}

#[tokio::test]
async fn a_burned_order_never_arrives_however_late() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let order = bench.order(json!({})).await;
    world.fault("late_commit", "order", 1);
    assert_eq!(bench.place(&order).await.unwrap_err().effect, Effect::Unknown);
    match bench.settle(&order).await {
        // It was still on its way.
        Evidence::AbsentForever { .. } => {
            tokio::time::sleep(LATEST).await;
            assert_eq!(world.orders().len(), 0);
        }
        Evidence::Present(_) => assert_eq!(world.orders().len(), 1),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_same_bytes_may_go_again_and_take_effect_once() {
    for (fault, first_arrives) in [("cut_before", false), ("late_commit", true), ("cut_after", true)] {
        let world = World::start();
        let mut bench = Bench::open(&world).await;
        let order = bench.order(json!({})).await;
        world.fault(fault, "order", 1);
        assert_eq!(bench.place(&order).await.unwrap_err().effect, Effect::Unknown);
        if fault == "cut_after" {
            // It is denied once everywhere that a name is asked for; the lists tell it.
            world.fault("false_not_found", "orderStatus", 1);
        }
        match bench.probe(&order, true).await {
            Evidence::Resendable { .. } => match bench.place(&order).await {
                Ok(report) => assert_eq!(report.status, OrderStatus::Filled),
                Err(error) => assert!(first_arrives && error.effect == Effect::Unknown, "{fault}: {error}"),
            },
            Evidence::Present(_) => assert!(first_arrives, "{fault}"),
            other => panic!("{fault}: {other:?}"),
        }
        tokio::time::sleep(LATEST).await;
        assert_eq!(world.orders().len(), 1, "{fault}");
        assert_eq!(present(bench.settle(&order).await).filled_quantity, parse("1"));
    }
}

#[tokio::test]
async fn an_order_that_is_denied_by_name_is_found_in_the_lists() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    for (shape, status) in [(resting(), OrderStatus::Open), (json!({}), OrderStatus::Filled)] {
        let order = bench.order(shape).await;
        bench.place(&order).await.unwrap();
        world.fault("false_not_found", "orderStatus", 1);
        let found = present(bench.probe(&order, true).await);
        assert_eq!((found.status, &found.client_order_id), (status, order.client_order_id()));
    }
}

#[tokio::test]
async fn a_duplicate_nonce_is_never_taken_for_a_refusal() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let order = bench.order(resting()).await;
    bench.place(&order).await.unwrap();
    let again = bench.account.place(&order).await.unwrap_err();
    assert_eq!((again.effect, again.code.as_deref()), (Effect::Unknown, Some("duplicate_nonce")));
    assert_eq!(present(bench.probe(&order, true).await).status, OrderStatus::Open);
    assert_eq!(world.orders().len(), 1);
}

#[tokio::test]
async fn a_used_nonce_and_no_order_is_absence_only_after_the_deadline() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let order = bench.order(json!({})).await;
    // Burned before it was ever sent, by an earlier life of this process, which this one has forgotten.
    let earlier = bench.hyperliquid.trader(world.login(Market::Perp)).unwrap();
    let permission = ProbePermission { may_resend: false, now: omnivenue_kit::clock::wall() };
    assert!(matches!(earlier.probe(&order, permission).await.unwrap(), Evidence::AbsentForever { .. }));
    assert_eq!(bench.account.place(&order).await.unwrap_err().effect, Effect::Unknown);
    for may_resend in [true, false] {
        match bench.probe(&order, may_resend).await {
            Evidence::NotYet { why, .. } => assert!(why.contains("nonce was used before"), "{why}"),
            other => panic!("sent again or given up too early: {other:?}"),
        }
    }
    let Evidence::AbsentForever { evidence } = bench.settle(&order).await else { panic!() };
    assert!(evidence.contains("after it expired"), "{evidence}");
    // Whoever burned it still knows.
    let Evidence::AbsentForever { evidence } = earlier.probe(&order, permission).await.unwrap() else { panic!() };
    assert!(evidence.contains("was burned before"), "{evidence}");
    assert_eq!(world.orders().len(), 0);
}

#[tokio::test]
async fn what_is_too_late_is_not_sent_and_what_arrives_too_late_is_absent() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let order = bench.order(json!({})).await;
    let stale = bench.order(json!({"asset": "BTC", "sizing": {"quantity": "0.001"}})).await;
    // The venue's clock jumps past the deadline; we have not noticed.
    world.control("/clock", &json!({"skew_ms": 60_000}));
    let error = bench.place(&order).await.unwrap_err();
    assert_ne!(error.effect, Effect::NotSent);
    assert!(matches!(bench.probe(&order, false).await, Evidence::AbsentForever { .. }));
    let purpose = omnivenue_hyperliquid::rest::Purpose::read(omnivenue_core::venue::Operation::Examine);
    for _ in 0..16 {
        bench.hyperliquid.client().time(purpose).await.unwrap();
    }
    let error = bench.account.place(&stale).await.unwrap_err();
    assert_eq!((error.effect, error.kind), (Effect::NotSent, ErrorKind::Expired));
    assert!(world.orders().is_empty());
}

#[tokio::test]
async fn a_clock_that_is_wrong_from_the_start_does_no_harm() {
    for skew in [-3_600_000, 3_600_000] {
        let world = World::start();
        world.control("/clock", &json!({"skew_ms": skew}));
        let mut bench = Bench::open(&world).await;
        let order = bench.order(json!({})).await;
        assert_eq!(bench.place(&order).await.unwrap().status, OrderStatus::Filled, "{skew}");
        let deadline = order.deadline().unwrap();
        let now = omnivenue_kit::clock::wall();
        assert!(deadline.since(now) > Duration::from_secs(3) && deadline.since(now) < Duration::from_secs(6), "in our own time");
    }
}

#[tokio::test]
async fn an_order_made_under_another_key_is_never_sent_again_nor_its_nonce_burned() {
    let world = World::start();
    let mut bench = Bench::with(&world, world.agent_login()).await;
    let (lost, taken) = (bench.order(json!({})).await, bench.order(json!({})).await);
    bench.account.place(&taken).await.unwrap();
    // The same account, after a restart with another key.
    let other = Bench::open(&world).await;
    let error = other.account.place(&lost).await.unwrap_err();
    assert_eq!(error.effect, Effect::NotSent);
    match other.probe(&lost, true).await {
        Evidence::NotYet { why, .. } => assert!(why.contains("not ours to burn"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(present(other.probe(&taken, true).await).status, OrderStatus::Filled);
    let Evidence::AbsentForever { evidence } = other.settle(&lost).await else { panic!() };
    assert!(evidence.contains("after it expired") && MARGIN > Duration::from_secs(1), "{evidence}");
    assert_eq!(world.orders().len(), 1);
}

#[tokio::test]
async fn an_order_of_another_account_is_not_looked_for_in_the_wrong_place() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let order = bench.order(json!({})).await;
    bench.place(&order).await.unwrap();
    let sub: Address = parse(&world.main.sub_accounts[0].address);
    let elsewhere = bench.hyperliquid.trader(Login { vault_address: Some(sub), ..world.login(Market::Perp) }).unwrap();
    let permission = ProbePermission { may_resend: false, now: omnivenue_kit::clock::wall() };
    let error = elsewhere.probe(&order, permission).await.unwrap_err();
    assert!(error.message.contains("only there can be told"), "{error}");
}

#[tokio::test]
async fn a_venue_that_does_not_answer_teaches_nothing() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let order = bench.order(json!({})).await;
    world.fault("cut_before", "info", 2);
    let permission = ProbePermission { may_resend: false, now: omnivenue_kit::clock::wall() };
    assert!(bench.account.probe(&order, permission).await.is_err());
    world.fault("error_after", "noop", 1);
    match bench.probe(&order, false).await {
        Evidence::NotYet { why, .. } => assert!(why.contains("could not be burned"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn too_many_requests_are_a_refusal_and_everyone_waits() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let order = bench.order(json!({})).await;
    world.fault("rate_limit", "order", 1);
    let error = bench.place(&order).await.unwrap_err();
    assert_eq!((error.effect, error.kind), (Effect::Refused, ErrorKind::RateLimited));
    assert!(!bench.hyperliquid.client().permits().try_take(1, omnivenue_kit::permits::Use::Exit));
    assert!(world.orders().is_empty());
}
