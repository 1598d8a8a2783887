//! How much a client may ask.

use serde_json::json;

use crate::world::{Answer, World, limit, one, orders};

#[test]
fn a_minute_has_so_much_weight() {
    let world = World::with(|config| config.limits.ip_weight = 50);
    // 20 each, and 2.
    for _ in 0..2 {
        assert!(world.info(&json!({ "type": "meta" })).is_object());
    }
    for _ in 0..5 {
        assert!(world.info(&json!({ "type": "allMids" })).is_object());
    }
    assert_eq!(world.post("/info", &json!({ "type": "allMids" })), Answer::Reply(429, "Too Many Requests".into()));
    let nonce = world.nonce();
    let noop = world.key.envelope(&json!({ "type": "noop" }), nonce, None, None);
    assert_eq!(world.post("/exchange", &noop), Answer::Reply(429, "Too Many Requests".into()));
    let refused = world.truth()["refused"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&refused["kind"], &refused["reason"]), (&json!("noop"), &json!("429 Too Many Requests")));
}

#[test]
fn an_address_has_so_many_actions_and_more_by_trading() {
    let world = World::with(|config| config.limits.address_actions = 5);
    let resting = |world: &World| limit(true, "30", "Gtc", &world.cloid());
    let cloids: Vec<String> = (0..4).map(|_| world.cloid()).collect();
    let four: Vec<_> = cloids.iter().map(|cloid| limit(true, "30", "Gtc", cloid)).collect();
    assert_eq!(world.act(&orders(&four, "na")).ok()["status"], "ok");
    // One is left; a batch of three is too many, and is the one in ten seconds that is let through all the same.
    let three = [resting(&world), resting(&world), resting(&world)];
    assert_eq!(world.act(&orders(&three, "na")).ok()["status"], "ok");
    let nonce = world.nonce();
    let words = world.post("/exchange", &world.key.envelope(&one(resting(&world)), nonce, None, None)).words();
    assert!(words.starts_with("Too many cumulative requests sent (8 > 5) for cumulative volume traded $0"), "{words}");
    assert_eq!(world.account()["orders"].as_array().unwrap().len(), 7);
    // Cancels have room of their own.
    let cancel = json!({ "type": "cancelByCloid", "cancels": [{ "asset": 3, "cloid": cloids[0] }] });
    assert_eq!(world.act(&cancel).status(), "success");
    let limits = world.info(&json!({ "type": "userRateLimit", "user": world.address }));
    assert_eq!((&limits["nRequestsUsed"], &limits["nRequestsCap"]), (&json!(8), &json!(5)));
    // What was not looked at has used no nonce, and bought requests make room for it.
    assert!(world.act(&json!({ "type": "reserveRequestWeight", "weight": 100 })).words().starts_with("Too many cumulative requests"));
}

#[test]
fn what_has_expired_counts_five_times() {
    let world = World::new();
    let expired = world.key.envelope(&json!({ "type": "noop" }), world.nonce(), None, Some(world.now() - 1));
    assert!(world.post("/exchange", &expired).words().starts_with("Action expired"));
    assert_eq!(world.account()["actions_used"], 5);
}

#[test]
fn actions_can_be_bought() {
    let world = World::new();
    assert_eq!(world.act(&json!({ "type": "reserveRequestWeight", "weight": 1000 })).ok()["status"], "ok");
    assert_eq!(world.account()["balances"]["perp"]["USDC"], "9999.5");
    assert_eq!(world.info(&json!({ "type": "userRateLimit", "user": world.address }))["nRequestsCap"], 11_000);
}

#[test]
fn an_account_has_so_many_open_orders() {
    let world = World::with(|config| config.limits.open_orders = 2);
    for _ in 0..2 {
        assert!(world.act(&one(limit(true, "30", "Gtc", &world.cloid()))).status()["resting"].is_object());
    }
    let error = world.act(&one(limit(true, "30", "Gtc", &world.cloid()))).status()["error"].clone();
    assert!(error.as_str().unwrap().starts_with("Too many open orders"), "{error}");
}
