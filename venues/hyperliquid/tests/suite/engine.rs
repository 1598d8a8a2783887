//! The whole engine on the venue's protocol, while everything fails now and then: no order twice, none lost, the books as the venue's.

use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::engine::{Engine, Parts, SystemEnv, Wait};
use omnivenue_core::executor::Timing;
use omnivenue_core::journal::MemoryStore;
use omnivenue_core::model::execution::ExecutionStatus;
use omnivenue_core::model::instrument::Market;
use omnivenue_core::model::number::Quantity;
use omnivenue_core::model::signal::Signal;
use omnivenue_core::venue::Venue;
use omnivenue_hyperliquid::Hyperliquid;
use serde_json::{Value, json};

use crate::bench::{World, parse, setup};

/// Signals of one run; fewer than use up a minute's weight.
const SIGNALS: usize = 6;
/// How long everything may take to become known: the longest proof, and waiting for weight.
const PATIENCE: Duration = Duration::from_secs(150);

async fn open(world: &World, store: &MemoryStore) -> Engine {
    let hyperliquid = Hyperliquid::new(world.config()).unwrap();
    let account = hyperliquid.account(world.login(Market::Perp)).unwrap();
    let mut setup = setup(&*hyperliquid, Market::Perp);
    let quick = Duration::from_millis(50);
    setup.timing = Timing { backoff_min: quick, backoff_max: quick * 20, leg_deadline: quick * 40, ..Timing::default() };
    let parts = Parts {
        env: SystemEnv::shared(),
        setup,
        venues: vec![hyperliquid as Arc<dyn Venue>],
        accounts: vec![account],
        journal: Box::new(store.clone()),
        archive: Arc::new(store.clone()),
        namespace: "abc123".into(),
        recovery_wait: Duration::from_secs(20),
        kill_secret: None,
        user_gates: Vec::new(),
    };
    Engine::open(parts).await.unwrap()
}

fn signal(id: &str) -> Signal {
    let body = json!({
        "id": id, "agent": "demo", "asset": "HYPE", "direction": "long", "sizing": {"quantity": "1"}, "slippage": "0.05", "valid_for": "10m",
    });
    Signal::from_json(&body.to_string()).unwrap()
}

/// What the venue really did for the orders of one engine.
fn traded(orders: &[Value]) -> (usize, Quantity) {
    let filled = orders.iter().map(|order| order["filled"].as_str().unwrap().parse::<Quantity>().unwrap());
    let total = filled.fold(Quantity::ZERO, |sum, filled| sum.plus(filled).unwrap());
    (orders.iter().filter(|order| order["status"] == "filled").count(), total)
}

async fn campaign(seed: u64, fault: &str, kind: &str) {
    let world = World::start();
    let store = MemoryStore::new();
    let engine = open(&world, &store).await;
    world.control(
        "/faults",
        &json!({"seed": seed, "chances": [{"fault": fault, "kind": kind, "per_mille": 400}], "late_commit_max": "500ms"}),
    );
    for n in 0..SIGNALS {
        let executed = engine.execute(signal(&format!("{fault}-{n}")), Wait::Settled).await.unwrap();
        if n == SIGNALS / 2 {
            world.control("/faults", &json!({"clear": true}));
        }
        // Given again, it is the same execution.
        let again = engine.execute(signal(&format!("{fault}-{n}")), Wait::Journaled).await.unwrap();
        assert_eq!(executed.legs[0].client_order_id.is_some(), again.legs[0].client_order_id.is_some());
    }
    world.control("/faults", &json!({"clear": true}));
    let deadline = omnivenue_kit::clock::Monotonic::now().after(PATIENCE);
    let mut open_legs = Vec::new();
    while omnivenue_kit::clock::Monotonic::now() < deadline {
        open_legs.clear();
        for n in 0..SIGNALS {
            let execution = engine.execution(&parse(&format!("{fault}-{n}"))).await.unwrap().unwrap();
            if execution.status != ExecutionStatus::Done {
                open_legs.push(execution);
            }
        }
        if open_legs.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(open_legs.is_empty(), "{fault}: never known: {open_legs:#?}");
    let mut booked = Quantity::ZERO;
    for n in 0..SIGNALS {
        let execution = engine.execution(&parse(&format!("{fault}-{n}"))).await.unwrap().unwrap();
        assert!(execution.legs[0].filled_quantity <= parse("1"), "{fault}: {execution:#?}");
        booked = booked.plus(execution.legs[0].filled_quantity).unwrap();
    }
    let (_, at_venue) = traded(&world.orders());
    assert_eq!(booked, at_venue, "{fault}: the books are the venue's");
    let held: Quantity = engine.positions().await.unwrap().first().map_or(Quantity::ZERO, |position| position.quantity);
    assert_eq!(held, at_venue, "{fault}");
    assert!(held >= parse("1"), "{fault}: something traded");
    engine.shutdown().await.unwrap();

    // Another life on the same journal agrees with the venue.
    let engine = open(&world, &store).await;
    let held: Quantity = engine.positions().await.unwrap().first().map_or(Quantity::ZERO, |position| position.quantity);
    assert_eq!(held, at_venue, "{fault}: after a restart");
    let after = engine.execute(signal(&format!("{fault}-after")), Wait::Settled).await.unwrap();
    assert_eq!(after.legs[0].filled_quantity, parse("1"), "{fault}: {after:#?}");
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn answers_that_are_lost_change_nothing() {
    campaign(1, "cut_after", "order").await;
    campaign(2, "cut_before", "order").await;
}

#[tokio::test]
async fn orders_that_come_late_come_once() {
    campaign(3, "late_commit", "order").await;
}

#[tokio::test]
async fn errors_after_the_fact_and_denials_change_nothing() {
    campaign(4, "error_after", "*").await;
    campaign(5, "false_not_found", "*").await;
}

#[tokio::test]
async fn streams_that_lose_and_repeat_change_nothing() {
    campaign(6, "drop", "stream").await;
    campaign(7, "duplicate", "stream").await;
}
