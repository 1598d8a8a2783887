//! Every fault does what it says, is counted, and leaves the truth whole.

use std::time::Duration;

use omnivenue_core::model::instrument::Side::Buy;
use omnivenue_core::model::order::OrderStatus;
use omnivenue_paper::{Answer, Config, FaultConfig, FaultKind, RefusalCode, Request, RequestKind, Response};
use proptest::prelude::*;

use crate::world::{World, id, quiet};

fn world() -> World {
    World::new(quiet(Config::hyperliquid_like()))
}

/// Places an order while a fault happens; what the client heard.
fn place(world: &mut World, fault: FaultKind) -> Option<Answer> {
    world.server.script(RequestKind::Place, fault, 1);
    let order = world.order("a1", Buy, "1", "39");
    world.ask(Request::Place { account: World::account(), wire: order.to_wire() })
}

fn counted(world: &World, fault: FaultKind) -> u64 {
    world.server.fault_counts().get(&fault).copied().unwrap_or_default()
}

#[test]
fn refuse() {
    let mut world = world();
    let answer = place(&mut world, FaultKind::Refuse);
    assert!(matches!(answer, Some(Answer::Refused(refusal)) if refusal.code == RefusalCode::Overloaded));
    assert_eq!((world.truth().orders.len(), counted(&world, FaultKind::Refuse)), (0, 1));
    // It was not looked at: the same order can still come.
    let order = world.order("a1", Buy, "1", "39");
    world.place(&order).unwrap();
}

#[test]
fn delay() {
    let mut world = world();
    let before = world.now;
    let answer = place(&mut world, FaultKind::Delay);
    assert!(matches!(answer, Some(Answer::Ok(_))));
    assert!(world.now > before && world.now <= before.after(Duration::from_secs(2)));
    assert_eq!((world.truth().orders[0].accepted_at, counted(&world, FaultKind::Delay)), (before, 1));
}

#[test]
fn cut_before_and_after() {
    for (fault, orders) in [(FaultKind::CutBefore, 0), (FaultKind::CutAfter, 1)] {
        let mut world = world();
        assert_eq!(place(&mut world, fault), Some(Answer::Cut));
        assert_eq!((world.truth().orders.len(), counted(&world, fault)), (orders, 1));
    }
}

#[test]
fn late_commit() {
    let mut world = world();
    assert_eq!(place(&mut world, FaultKind::LateCommit), Some(Answer::Cut));
    assert_eq!(world.query("a1"), Err(RefusalCode::UnknownOrder));
    world.wait(3000);
    assert_eq!(world.query("a1").unwrap().status, OrderStatus::Filled);
    assert_eq!(counted(&world, FaultKind::LateCommit), 1);
}

#[test]
fn a_late_commit_never_follows_a_burn() {
    let mut world = world();
    place(&mut world, FaultKind::LateCommit);
    assert_eq!(world.burn("a1"), Answer::Ok(Box::new(Response::Burned)));
    world.wait(60_000);
    assert_eq!(world.truth().orders.len(), 0);
}

#[test]
fn a_late_commit_comes_before_absence_is_proved() {
    for seed in 0..50 {
        let mut config = quiet(Config::ostium_like());
        config.faults = FaultConfig { seed, late_commit_max: Duration::from_secs(600), ..FaultConfig::default() };
        let mut world = World::new(config);
        let proof = world.now.after(Duration::from_secs(7));
        place(&mut world, FaultKind::LateCommit);
        world.wait(600_000);
        assert!(world.truth().orders[0].accepted_at < proof);
    }
}

#[test]
fn false_not_found() {
    let mut world = world();
    let order = world.order("a1", Buy, "1", "39");
    world.place(&order).unwrap();
    world.server.script(RequestKind::Order, FaultKind::FalseNotFound, 10);
    let denied = (0..6).map(|_| world.query("a1").is_err()).collect::<Vec<_>>();
    assert_eq!(denied, [true, true, true, false, false, false], "bounded");
    assert_eq!(counted(&world, FaultKind::FalseNotFound), 3);
    let fills = Request::Fills { account: World::account(), since: None, client_order_id: Some(id("a1")) };
    assert!(
        matches!(world.ask(fills), Some(Answer::Ok(response)) if matches!(&*response, Response::Fills { fills, .. } if fills.len() == 1))
    );
}

#[test]
fn duplicate_fill() {
    let mut world = world();
    world.server.script(RequestKind::Update, FaultKind::DuplicateFill, 1);
    let order = world.order("a1", Buy, "1", "39");
    world.place(&order).unwrap();
    assert_eq!(world.updates.len(), 2);
    assert_eq!(world.updates[0], world.updates[1]);
    assert_eq!((world.truth().fills.len(), counted(&world, FaultKind::DuplicateFill)), (1, 1));
}

#[test]
fn late_fill() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut config = quiet(Config::hyperliquid_like());
        config.faults.seed = seed;
        let mut world = World::new(config);
        let Some(Answer::Ok(response)) = place(&mut world, FaultKind::LateFill) else { panic!("no answer") };
        let Response::Order(report) = *response else { panic!("{response:?}") };
        assert!(report.fills.is_empty() && world.updates.is_empty());
        seen.insert(report.status.to_string());
        world.wait(2000);
        assert_eq!(world.updates[0].fills.len(), 1);
        assert_eq!(counted(&world, FaultKind::LateFill), 1);
    }
    assert_eq!(seen.len(), 2, "it is called open, or filled without saying how");
}

#[test]
fn silence() {
    let mut world = world();
    assert_eq!(place(&mut world, FaultKind::Silence), None);
    assert_eq!((world.truth().orders.len(), counted(&world, FaultKind::Silence)), (1, 1));
    assert!(world.updates.is_empty());
    world.wait(3000);
    let order = world.order("a2", Buy, "1", "39");
    world.place(&order).unwrap();
    assert_eq!(world.updates.len(), 1, "the stream speaks again, but what it did not tell is lost");
}

#[test]
fn what_a_client_sent_before_it_died_takes_effect_and_nothing_comes_back() {
    let mut config = quiet(Config::hyperliquid_like());
    config.latency.request = Duration::from_millis(5);
    config.latency.answer = Duration::from_millis(5);
    let mut world = World::new(config);
    let order = world.order("a1", Buy, "1", "39");
    world.submit(Request::Place { account: World::account(), wire: order.to_wire() });
    world.server.forget_clients();
    assert!(world.wait(1000).is_empty());
    assert_eq!(world.truth().orders.len(), 1);
    // Between acceptance and answer.
    world.updates.clear();
    let order = world.order("a2", Buy, "1", "39");
    world.submit(Request::Place { account: World::account(), wire: order.to_wire() });
    world.wait(6);
    world.server.forget_clients();
    assert!(world.wait(1000).is_empty() && world.updates.is_empty());
    assert_eq!(world.truth().orders.len(), 2);
}

#[test]
fn latency_and_jitter_are_kept() {
    let mut config = quiet(Config::hyperliquid_like());
    config.latency.request = Duration::from_millis(10);
    config.latency.answer = Duration::from_millis(20);
    config.latency.jitter = Duration::from_millis(5);
    let mut world = World::new(config);
    let before = world.now;
    let order = world.order("a1", Buy, "1", "39");
    world.place(&order).unwrap();
    let (accepted, answered) = (world.truth().orders[0].accepted_at.since(before), world.now.since(before));
    assert!(accepted >= Duration::from_millis(10) && accepted <= Duration::from_millis(15));
    assert!(answered >= Duration::from_millis(30) && answered <= Duration::from_millis(40));
}

fn story(seed: u64, per_mille: u16) -> (String, World) {
    let mut config = quiet(Config::hyperliquid_like());
    config.faults = FaultConfig::all(seed, per_mille);
    let mut world = World::new(config);
    let mut told = String::new();
    for number in 0..60 {
        let order = world.order(&format!("a{number}"), Buy, "1", "39");
        let answer = world.ask(Request::Place { account: World::account(), wire: order.to_wire() });
        let query = world.ask(Request::Order { account: World::account(), client_order_id: order.client_order_id });
        told += &format!("{answer:?} {query:?}\n");
    }
    world.wait(60_000);
    (format!("{told}{:?}{:?}", world.updates, world.server.truth()), world)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn one_seed_is_one_story(seed: u64) {
        prop_assert_eq!(story(seed, 60).0, story(seed, 60).0);
    }

    #[test]
    fn no_fault_makes_two_orders_of_one_request(seed: u64) {
        let (_, world) = story(seed, 100);
        let truth = world.truth();
        let mut ids: Vec<_> = truth.orders.iter().map(|order| order.client_order_id().clone()).collect();
        ids.dedup();
        prop_assert_eq!(ids.len(), truth.orders.len());
        prop_assert!(world.server.fault_counts().values().sum::<u64>() > 0);
    }
}
