//! A request is done at most once, and only in its time.

use std::time::Duration;

use serde_json::json;

use crate::world::{Answer, HYPE, Key, World, ask, eventually, limit, one};

const DAY_MS: u64 = 86_400_000;

#[test]
fn two_copies_of_an_envelope_are_one_order() {
    let world = World::new();
    let (cloid, nonce) = (world.cloid(), world.nonce());
    let envelope = world.key.envelope(&one(limit(true, "30", "Gtc", &cloid)), nonce, None, None);
    let copies: Vec<Answer> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| world.post("/exchange", &envelope))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let taken = copies.iter().filter(|answer| (*answer).clone().ok()["status"] == "ok").count();
    assert_eq!(taken, 1);
    let refused = copies.into_iter().map(Answer::ok).filter(|answer| answer["status"] == "err");
    assert!(
        refused.clone().count() == 7 && refused.into_iter().all(|a| a["response"] == format!("Invalid nonce: duplicate nonce {nonce}"))
    );
    assert_eq!(world.taken(&cloid).len(), 1);
}

#[test]
fn the_same_client_s_id_under_another_nonce_is_another_order() {
    let world = World::new();
    let cloid = world.cloid();
    let oids: Vec<_> = (0..2).map(|_| world.act(&one(limit(true, "30", "Gtc", &cloid))).status()["resting"]["oid"].clone()).collect();
    assert_ne!(oids[0], oids[1]);
    assert_eq!(world.taken(&cloid).len(), 2);
    assert_eq!(world.order_status(&cloid)["order"]["order"]["oid"], oids[1]);
}

#[test]
fn a_refused_order_has_used_its_nonce_too() {
    let world = World::new();
    let nonce = world.nonce();
    let envelope = world.key.envelope(&one(limit(true, "30", "Ioc", &world.cloid())), nonce, None, None);
    assert!(world.post("/exchange", &envelope).status()["error"].is_string());
    assert_eq!(world.post("/exchange", &envelope).words(), format!("Invalid nonce: duplicate nonce {nonce}"));
}

#[test]
fn what_nobody_signed_uses_no_nonce() {
    let world = World::new();
    let nonce = world.nonce();
    let noop = json!({ "type": "noop" });
    let mut envelope = world.key.envelope(&noop, nonce, None, None);
    envelope["signature"]["v"] = if envelope["signature"]["v"] == 27 { 28.into() } else { 27.into() };
    assert!(world.post("/exchange", &envelope).words().starts_with("User or API Wallet"));
    assert_eq!(world.post("/exchange", &world.key.envelope(&noop, nonce, None, None)).ok()["status"], "ok");
}

#[test]
fn nonces_are_near_the_venue_s_present() {
    let world = World::new();
    let noop = |nonce| world.post("/exchange", &world.key.envelope(&json!({ "type": "noop" }), nonce, None, None)).ok();
    let now = world.now();
    assert!(noop(now - 2 * DAY_MS)["response"].as_str().unwrap().starts_with("Invalid nonce: nonce too low"));
    assert_eq!(noop(now - 2 * DAY_MS + 60_000)["status"], "ok");
    assert!(noop(now + DAY_MS + 60_000)["response"].as_str().unwrap().starts_with("Invalid nonce: nonce too high"));
    assert_eq!(noop(now + DAY_MS - 60_000)["status"], "ok");
    // The venue's clock decides, not the system's.
    world.control("/clock", &json!({ "skew_ms": 120_000 }));
    assert_eq!(noop(now + DAY_MS + 60_000)["status"], "ok");
}

#[test]
fn only_the_hundred_highest_nonces_are_kept() {
    let world = World::new();
    let noop = |nonce| world.post("/exchange", &world.key.envelope(&json!({ "type": "noop" }), nonce, None, None)).ok();
    let first = world.nonce();
    (1..=100).for_each(|step| assert_eq!(noop(first + step)["status"], "ok"));
    assert_eq!(noop(first)["response"], format!("Invalid nonce: nonce too low {first} < {}", first + 1));
    // Another signer of the same account has nonces of its own.
    let agent = Key::of("a signer of its own");
    world.control("/agents", &json!({ "account": "main", "agent": agent.address() }));
    assert_eq!(world.post("/exchange", &agent.envelope(&json!({ "type": "noop" }), first, None, None)).ok()["status"], "ok");
}

#[test]
fn a_request_expires_by_the_venue_s_clock() {
    let world = World::new();
    let noop = |nonce, expires| world.post("/exchange", &world.key.envelope(&json!({ "type": "noop" }), nonce, None, Some(expires)));
    let expires = world.now() + 30_000;
    assert_eq!(noop(world.nonce(), expires).ok()["status"], "ok");
    world.control("/clock", &json!({ "skew_ms": 30_001 }));
    let nonce = world.nonce();
    assert!(noop(nonce, expires).words().starts_with("Action expired"));
    // It never was: its nonce is free.
    assert_eq!(noop(nonce, expires + 60_000).ok()["status"], "ok");
}

#[test]
fn a_late_order_comes_after_a_burnt_nonce_in_vain() {
    let world = World::new();
    world.control("/faults", &json!({ "late_commit_max": "400ms" }));
    world.fault("late_commit", "order", 1);
    let (cloid, nonce) = (world.cloid(), world.nonce());
    let envelope = world.key.envelope(&one(limit(true, "30", "Gtc", &cloid)), nonce, None, None);
    assert_eq!(world.post("/exchange", &envelope), Answer::Cut);
    assert_eq!(world.order_status(&cloid)["status"], "unknownOid");
    // The nonce is burnt before the order arrives.
    assert_eq!(world.post("/exchange", &world.key.envelope(&json!({ "type": "noop" }), nonce, None, None)).ok()["status"], "ok");
    let refused = eventually("the late order", || {
        world.truth()["refused"].as_array().unwrap().iter().find(|refused| refused["kind"] == "order").cloned()
    });
    assert_eq!((&refused["reason"], &refused["nonce"]), (&json!(format!("Invalid nonce: duplicate nonce {nonce}")), &json!(nonce)));
    assert!(world.taken(&cloid).is_empty());
}

#[test]
fn a_late_order_is_taken_when_nothing_stops_it() {
    let world = World::new();
    world.control("/faults", &json!({ "late_commit_max": "300ms" }));
    world.fault("late_commit", "order", 1);
    let (cloid, nonce) = (world.cloid(), world.nonce());
    let envelope = world.key.envelope(&one(limit(true, "30", "Gtc", &cloid)), nonce, None, None);
    assert_eq!(world.post("/exchange", &envelope), Answer::Cut);
    assert_eq!(world.order_status(&cloid)["status"], "unknownOid");
    eventually("the late order", || (world.taken(&cloid).len() == 1).then_some(()));
    // Burning its nonce now tells that it came.
    let burn = world.post("/exchange", &world.key.envelope(&json!({ "type": "noop" }), nonce, None, None));
    assert_eq!(burn.words(), format!("Invalid nonce: duplicate nonce {nonce}"));
}

#[test]
fn a_late_order_that_expired_meanwhile_is_refused() {
    let world = World::new();
    world.control("/faults", &json!({ "late_commit_max": "400ms" }));
    world.fault("late_commit", "order", 1);
    let cloid = world.cloid();
    let expires = world.now() + 60_000;
    let envelope = world.key.envelope(&one(limit(true, "30", "Gtc", &cloid)), world.nonce(), None, Some(expires));
    assert_eq!(world.post("/exchange", &envelope), Answer::Cut);
    world.control("/clock", &json!({ "skew_ms": 120_000 }));
    let reason = eventually("the late order", || {
        let truth = world.truth();
        truth["refused"].as_array().unwrap().iter().find(|refused| refused["kind"] == "order").map(|refused| refused["reason"].to_string())
    });
    assert!(reason.contains("Action expired"), "{reason}");
    assert!(world.taken(&cloid).is_empty());
}

#[test]
fn an_unreadable_request_is_not_even_looked_at() {
    let world = World::new();
    for body in [
        "",
        "{",
        "[]",
        "{\"action\":{\"type\":\"order\"}}",
        "{\"action\":{\"type\":\"noop\"},\"nonce\":-1,\"signature\":{\"r\":\"0x1\",\"s\":\"0x1\",\"v\":27}}",
        "{\"action\":{\"type\":\"noop\"},\"nonce\":1,\"signature\":{\"r\":\"0x1\",\"s\":\"zz\",\"v\":27}}",
    ] {
        let answer = ask(&world.url, "POST", "/exchange", body, Duration::from_secs(5));
        assert_eq!(answer, Answer::Reply(422, "Failed to deserialize the JSON body into the target type".into()), "{body}");
    }
    let unreadable = json!({ "type": "order", "orders": [{ "a": HYPE }], "grouping": "na" });
    assert!(matches!(world.act(&unreadable), Answer::Reply(422, _)));
    assert!(matches!(world.act(&json!({ "type": "makeMeRich" })), Answer::Reply(422, _)));
    assert!(matches!(ask(&world.url, "GET", "/info", "", Duration::from_secs(5)), Answer::Reply(405, _)));
    assert!(matches!(ask(&world.url, "POST", "/other", "{}", Duration::from_secs(5)), Answer::Reply(404, _)));
}
