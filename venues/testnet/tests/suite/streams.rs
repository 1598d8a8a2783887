//! Streams: acknowledged, snapshot first, what happens at once, states when they change; bounds.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{World, limit, one};

#[test]
fn orders_and_fills_are_told_as_they_happen() {
    let world = World::new();
    let mut stream = world.stream();
    let user = world.address.as_str();
    stream.subscribe(&json!({ "type": "orderUpdates", "user": user }));
    stream.subscribe(&json!({ "type": "userFills", "user": user }));
    assert_eq!(stream.on("userFills")["data"], json!({ "isSnapshot": true, "user": user, "fills": [] }));
    stream.subscribe(&json!({ "type": "userEvents", "user": user }));
    let cloid = world.cloid();
    let oid = world.act(&one(limit(true, "41", "Ioc", &cloid))).status()["filled"]["oid"].clone();
    let frames: Vec<Value> = (0..4).map(|_| stream.next().unwrap()).collect();
    let channels: Vec<&str> = frames.iter().map(|frame| frame["channel"].as_str().unwrap()).collect();
    assert_eq!(channels, ["orderUpdates", "userFills", "user", "orderUpdates"]);
    let (open, fills, filled) = (&frames[0]["data"][0], &frames[1]["data"], &frames[3]["data"][0]);
    assert_eq!((&open["status"], &open["order"]["oid"], &open["order"]["cloid"]), (&json!("open"), &oid, &json!(cloid)));
    assert_eq!((&filled["status"], &filled["order"]["sz"], &filled["order"]["origSz"]), (&json!("filled"), &json!("0.0"), &json!("1.0")));
    assert_eq!(fills["fills"], world.account()["fills"]);
    assert_eq!(frames[2]["data"]["fills"], fills["fills"]);
    assert!(fills.get("isSnapshot").is_none());
}

#[test]
fn a_new_subscription_begins_with_what_was_missed() {
    let world = World::new();
    world.act(&one(limit(true, "41", "Ioc", &world.cloid()))).status();
    let mut stream = world.stream();
    stream.subscribe(&json!({ "type": "userFills", "user": world.address }));
    let snapshot = stream.on("userFills");
    assert_eq!(snapshot["data"]["isSnapshot"], true);
    assert_eq!(snapshot["data"]["fills"], world.account()["fills"]);
}

#[test]
fn states_are_told_when_they_change() {
    let world = World::new();
    let mut stream = world.stream();
    stream.subscribe(&json!({ "type": "allMids" }));
    assert_eq!(stream.on("allMids")["data"]["mids"]["HYPE"], "40.0");
    for (kind, path) in [("bbo", "/data/bbo/0/px"), ("l2Book", "/data/levels/0/0/px"), ("activeAssetCtx", "/data/ctx/markPx")] {
        stream.subscribe(&json!({ "type": kind, "coin": "HYPE" }));
        assert!(["39.996", "40.0"].contains(&stream.on(kind).pointer(path).unwrap().as_str().unwrap()), "{kind}");
    }
    stream.subscribe(&json!({ "type": "candle", "coin": "HYPE", "interval": "1m" }));
    assert_eq!(stream.on("candle")["data"]["c"], "40.0");
    stream.subscribe(&json!({ "type": "clearinghouseState", "user": world.address }));
    assert_eq!(stream.on("clearinghouseState")["data"]["clearinghouseState"]["marginSummary"]["accountValue"], "10000.0");
    world.price("41");
    let mids = stream.until(|frame| frame["channel"] == "allMids" && frame["data"]["mids"]["HYPE"] == "41.0");
    assert_eq!(mids["data"]["mids"]["HYPE"], "41.0");
    // Another coin's price changes all the time; a book of HYPE that stands still is told once for each change.
    let book = stream.on("l2Book");
    assert_eq!(book["data"]["levels"][0][0]["px"], "40.995");
}

#[test]
fn mids_keep_coming_while_prices_move() {
    let world = World::new();
    let mut stream = world.stream();
    stream.subscribe(&json!({ "type": "allMids" }));
    let seen: Vec<Value> = (0..4).map(|_| stream.on("allMids")["data"]["mids"]["ETH"].clone()).collect();
    assert!(seen.windows(2).any(|pair| pair[0] != pair[1]), "{seen:?}");
}

#[test]
fn requests_travel_by_stream_too() {
    let world = World::new();
    let mut stream = world.stream();
    let post =
        |id: u64, kind: &str, payload: &Value| json!({ "method": "post", "id": id, "request": { "type": kind, "payload": payload } });
    let envelope = world.key.envelope(&one(limit(true, "30", "Gtc", &world.cloid())), world.nonce(), None, None);
    stream.send(&post(7, "action", &envelope));
    let answer = stream.on("post")["data"].clone();
    assert_eq!((&answer["id"], &answer["response"]["type"]), (&json!(7), &json!("action")));
    assert!(answer["response"]["payload"]["response"]["data"]["statuses"][0]["resting"].is_object(), "{answer}");
    // The very same bytes a second time, by the other way.
    assert!(world.post("/exchange", &envelope).words().contains("duplicate nonce"));
    stream.send(&post(8, "info", &json!({ "type": "openOrders", "user": world.address })));
    let answer = stream.on("post")["data"]["response"].clone();
    assert_eq!((&answer["type"], &answer["payload"]["type"]), (&json!("info"), &json!("openOrders")));
    assert_eq!(answer["payload"]["data"].as_array().unwrap().len(), 1);
    stream.send(&post(9, "info", &json!({ "type": "nonsense" })));
    assert_eq!(stream.on("post")["data"]["response"]["type"], "error");
    stream.send(&post(10, "wish", &json!({})));
    assert_eq!(stream.on("post")["data"]["response"]["type"], "error");
}

#[test]
fn so_many_requests_are_in_flight_and_no_more() {
    let world = World::with(|config| config.limits.posts = 2);
    world.fault("silence", "exchangeStatus", 2);
    let mut stream = world.stream();
    let mut ask = |id: u64, kind: &str| {
        stream.send(&json!({ "method": "post", "id": id, "request": { "type": "info", "payload": { "type": kind } } }));
        (id == 3 || id == 4).then(|| stream.on("post")["data"].clone())
    };
    ask(1, "exchangeStatus");
    ask(2, "exchangeStatus");
    // Two never end, so that there is no room for a third.
    assert_eq!(ask(3, "allMids").unwrap()["response"], json!({ "type": "error", "payload": "Too many inflight posts" }));
    // Other connections have room of their own, and what was answered makes room.
    let mut other = world.stream();
    for id in 0..5 {
        other.send(&json!({ "method": "post", "id": id, "request": { "type": "info", "payload": { "type": "allMids" } } }));
        assert_eq!(other.on("post")["data"]["response"]["type"], "info");
    }
}

#[test]
fn what_cannot_be_subscribed_to_is_an_error() {
    let world = World::new();
    let mut stream = world.stream();
    let mut error = |message: Value| {
        stream.send(&message);
        let frame = stream.next().unwrap();
        assert_eq!(frame["channel"], "error", "{frame}");
        frame["data"].as_str().unwrap().to_owned()
    };
    let subscribe = |subscription: Value| json!({ "method": "subscribe", "subscription": subscription });
    assert!(error(subscribe(json!({ "type": "weather" }))).starts_with("Invalid subscription"));
    assert!(error(subscribe(json!({ "type": "l2Book", "coin": "NOPE" }))).starts_with("Invalid subscription"));
    assert!(error(subscribe(json!({ "type": "userFills", "user": "me" }))).starts_with("Invalid subscription"));
    assert!(error(json!({ "method": "shout" })).starts_with("Error parsing"));
    assert!(error(json!({ "method": "unsubscribe", "subscription": { "type": "allMids" } })).starts_with("Already unsubscribed"));
    let user = json!({ "type": "orderUpdates", "user": world.address });
    stream.subscribe(&user);
    stream.send(&subscribe(user));
    assert!(stream.on("error")["data"].as_str().unwrap().starts_with("Already subscribed"));
}

#[test]
fn unsubscribing_ends_it() {
    let world = World::new();
    let mut stream = world.stream();
    let subscription = json!({ "type": "orderUpdates", "user": world.address });
    stream.subscribe(&subscription);
    stream.send(&json!({ "method": "unsubscribe", "subscription": subscription }));
    assert_eq!(stream.on("subscriptionResponse")["data"]["method"], "unsubscribe");
    world.act(&one(limit(true, "30", "Gtc", &world.cloid()))).status();
    stream.send(&json!({ "method": "ping" }));
    assert_eq!(stream.next().unwrap()["channel"], "pong");
}

#[test]
fn ten_users_and_no_more() {
    let world = World::with(|config| config.limits.connections = 2);
    let mut streams = [world.stream(), world.stream()];
    let user = |index: usize| json!({ "type": "orderUpdates", "user": format!("0x{index:040x}") });
    (0..10).for_each(|index| streams[index % 2].subscribe(&user(index)));
    // The same user again is no other user, an eleventh is.
    streams[1].subscribe(&user(0));
    streams[0].send(&json!({ "method": "subscribe", "subscription": user(11) }));
    assert_eq!(streams[0].on("error")["data"], "Cannot track more than 10 total users.");
    assert_eq!(world.stream().next(), None, "a third connection is closed");
}

#[test]
fn a_connection_that_is_told_nothing_is_closed_and_a_ping_keeps_it() {
    let world = World::with(|config| config.limits.idle = Duration::from_millis(400));
    let mut quiet = world.stream();
    let mut alive = world.stream();
    let pinging = std::thread::spawn(move || {
        for _ in 0..8 {
            std::thread::sleep(Duration::from_millis(150));
            alive.send(&json!({ "method": "ping" }));
            assert_eq!(alive.next().unwrap()["channel"], "pong");
        }
    });
    assert_eq!(quiet.next(), None);
    pinging.join().unwrap();
}
