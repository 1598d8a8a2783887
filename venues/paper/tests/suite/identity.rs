//! What the same id, the same bytes and the same nonce mean, on each kind of exchange.

use omnivenue_core::model::instrument::Side::{Buy, Sell};
use omnivenue_paper::{Answer, Config, PlaceOrder, PlacementOutcome, RefusalCode, Response};

use crate::world::{World, quiet};

#[test]
fn where_requests_are_idempotent_the_same_bytes_are_one_order() {
    let mut world = World::new(quiet(Config::hyperliquid_like()));
    let order = world.order("a1", Buy, "1", "39");
    let first = world.place(&order).unwrap();
    world.wait(5000);
    assert_eq!(world.place(&order).unwrap(), first);
    assert_eq!(world.position(), "1");
    let outcomes: Vec<_> = world.server.placements().map(|placement| placement.outcome.clone()).collect();
    assert_eq!(outcomes, [PlacementOutcome::Accepted(first.venue_order_id.clone()), PlacementOutcome::Repeated(first.venue_order_id)]);
    // Other bytes under the same id, or under the same nonce.
    let other = PlaceOrder { quantity: "2".parse().unwrap(), ..order.clone() };
    assert_eq!(world.place(&other).unwrap_err().code, RefusalCode::AlreadyUsed);
    let thief = PlaceOrder { client_order_id: "b1".parse().unwrap(), ..order };
    assert_eq!(world.place(&thief).unwrap_err().code, RefusalCode::BadNonce);
    assert_eq!(world.position(), "1");
}

#[test]
fn where_requests_are_idempotent_a_refusal_is_for_ever() {
    let mut world = World::new(quiet(Config::hyperliquid_like()));
    let short = world.order("a1", Sell, "200", "37");
    let short = PlaceOrder { leverage: "1".parse().unwrap(), ..short };
    let big = world.order("b1", Buy, "200", "39");
    world.place(&big).unwrap();
    let refused = PlaceOrder { quantity: "900".parse().unwrap(), ..short };
    let first = world.place(&refused).unwrap_err();
    assert_eq!(first.code, RefusalCode::InsufficientFunds);
    // Even when it could be carried later: the same bytes are decided.
    let close = world.order("c1", Sell, "200", "37");
    world.place(&close).unwrap();
    assert_eq!(world.place(&refused).unwrap_err().message, first.message);
}

#[test]
fn where_they_are_not_the_same_bytes_are_two_orders() {
    for config in [Config::ostium_like(), Config::spot_like()] {
        let mut world = World::new(quiet(config));
        let order = world.order("a1", Buy, "1", "39");
        let first = world.place(&order).unwrap();
        let second = world.place(&order).unwrap();
        assert_ne!(first.venue_order_id, second.venue_order_id);
        assert_eq!(world.truth().orders.len(), 2);
        assert_eq!(world.truth().fills.len(), 2);
    }
}

#[test]
fn a_burned_id_is_used_up_for_ever() {
    let mut world = World::new(quiet(Config::hyperliquid_like()));
    let order = world.order("a1", Buy, "1", "39");
    for _ in 0..2 {
        assert_eq!(world.burn("a1"), Answer::Ok(Box::new(Response::Burned)));
    }
    let refusal = world.place(&order).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::AlreadyUsed);
    assert!(refusal.message.contains("already used"));
    assert_eq!(world.truth().orders.len(), 0);
}

#[test]
fn an_order_cannot_be_burned() {
    let mut world = World::new(quiet(Config::hyperliquid_like()));
    let order = world.order("a1", Buy, "1", "39");
    let report = world.place(&order).unwrap();
    assert_eq!(world.burn("a1"), Answer::Ok(Box::new(Response::Exists(report))));
    let mut other = World::new(quiet(Config::spot_like()));
    assert!(matches!(other.burn("a1"), Answer::Refused(refusal) if refusal.code == RefusalCode::Unsupported));
}

#[test]
fn a_request_that_arrives_after_its_deadline_is_refused() {
    let mut config = quiet(Config::ostium_like());
    config.latency.request = std::time::Duration::from_millis(10);
    let mut world = World::new(config);
    let order = world.order("a1", Buy, "1", "39");
    world.wait(4990);
    world.place(&order).unwrap();
    let order = world.order("a2", Buy, "1", "39");
    world.wait(4991);
    assert_eq!(world.place(&order).unwrap_err().code, RefusalCode::Expired);
}
