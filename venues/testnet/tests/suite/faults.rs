//! Each fault does what it says: what the client sees, and what is true.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Answer, World, ask, eventually, limit, one, orders, trigger};

/// Places an order under a fault: what the client saw, and whether the venue has the order.
fn under(world: &World, fault: &str, wait: Duration) -> (Answer, bool) {
    world.fault(fault, "order", 1);
    let cloid = world.cloid();
    let envelope = world.key.envelope(&one(limit(true, "30", "Gtc", &cloid)), world.nonce(), None, None);
    let answer = ask(&world.url, "POST", "/exchange", &envelope.to_string(), wait);
    (answer, !world.taken(&cloid).is_empty())
}

#[test]
fn faults_of_requests_do_what_they_say() {
    let world = World::new();
    world.control("/faults", &json!({ "delay_max": "300ms" }));
    let patient = Duration::from_secs(10);
    assert_eq!(under(&world, "cut_before", patient), (Answer::Cut, false));
    assert_eq!(under(&world, "cut_after", patient), (Answer::Cut, true));
    assert_eq!(under(&world, "error_before", patient), (Answer::Reply(503, "Service Unavailable".into()), false));
    assert_eq!(under(&world, "error_after", patient), (Answer::Reply(502, "Bad Gateway".into()), true));
    assert_eq!(under(&world, "rate_limit", patient), (Answer::Reply(429, "Too Many Requests".into()), false));
    assert_eq!(under(&world, "silence", Duration::from_millis(300)), (Answer::Silence, true));
    assert_eq!(under(&world, "delay", Duration::from_millis(50)), (Answer::Silence, true));
    let (answer, taken) = under(&world, "delay", patient);
    assert!(answer.status()["resting"].is_object() && taken);
    let counts = world.truth()["faults"].as_array().unwrap().clone();
    let count = |fault: &str| counts.iter().find(|entry| entry["fault"] == fault).map(|entry| entry["count"].clone());
    assert_eq!(count("delay"), Some(json!(2)));
    for fault in ["cut_before", "cut_after", "error_before", "error_after", "rate_limit", "silence"] {
        assert_eq!(count(fault), Some(json!(1)), "{fault}");
    }
    // A script is over when it is over.
    assert!(world.act(&one(limit(true, "30", "Gtc", &world.cloid()))).status()["resting"].is_object());
}

#[test]
fn what_was_cut_before_may_be_sent_again_as_it_is() {
    let world = World::new();
    let cloid = world.cloid();
    let envelope = world.key.envelope(&one(limit(true, "30", "Gtc", &cloid)), world.nonce(), None, None);
    for fault in ["cut_before", "rate_limit", "error_before"] {
        world.fault(fault, "order", 1);
        assert!(!matches!(world.post("/exchange", &envelope), Answer::Reply(200, _)), "{fault}");
    }
    assert!(world.post("/exchange", &envelope).status()["resting"].is_object());
    assert_eq!(world.taken(&cloid).len(), 1);
}

#[test]
fn an_order_is_denied_so_often_and_no_more() {
    let world = World::new();
    let cloid = world.cloid();
    world.act(&one(limit(true, "30", "Gtc", &cloid))).status();
    world.control("/faults", &json!({ "false_not_found_max": 2, "chances": [{ "fault": "false_not_found", "per_mille": 1000 }] }));
    let seen: Vec<Value> = (0..4).map(|_| world.order_status(&cloid)["status"].clone()).collect();
    assert_eq!(seen, ["unknownOid", "unknownOid", "order", "order"]);
    // Everything else tells the truth.
    let open = world.info(&json!({ "type": "openOrders", "user": world.address }));
    assert_eq!(open[0]["cloid"], cloid.as_str());
    // What is not there is not denied but unknown.
    assert_eq!(world.order_status(&world.cloid())["status"], "unknownOid");
}

#[test]
fn faults_can_be_of_one_account_and_one_kind() {
    let world = World::new();
    world.control(
        "/faults",
        &json!({ "script": [
            { "fault": "cut_before", "kind": "cancel", "account": world.address },
            { "fault": "cut_before", "kind": "order", "account": "0x0000000000000000000000000000000000000001" },
            { "fault": "cut_before", "kind": "info", "account": world.address },
        ]}),
    );
    let oid = world.act(&one(limit(true, "30", "Gtc", &world.cloid()))).status()["resting"]["oid"].clone();
    let cancel = json!({ "type": "cancel", "cancels": [{ "a": 3, "o": oid }] });
    assert_eq!(world.act(&cancel), Answer::Cut);
    assert_eq!(world.act(&cancel).status(), "success");
    assert!(world.info(&json!({ "type": "allMids" })).is_object());
    assert_eq!(world.post("/info", &json!({ "type": "openOrders", "user": world.address })), Answer::Cut);
    world.control("/faults", &json!({ "clear": true }));
    assert_eq!(world.testnet.faults()["venues"]["hyperliquid"]["plan"]["script"], json!([]));
}

#[test]
fn chance_repeats_itself_for_a_seed() {
    let run = || {
        let world = World::new();
        world
            .control("/faults", &json!({ "seed": 11, "chances": [{ "fault": "cut_before", "kind": "exchangeStatus", "per_mille": 400 }] }));
        (0..40).map(|_| world.post("/info", &json!({ "type": "exchangeStatus" })) == Answer::Cut).collect::<Vec<_>>()
    };
    let first = run();
    assert_eq!(first, run());
    assert!(first.contains(&true) && first.contains(&false));
}

/// Two streams of fills, one under a fault: what each is told of three orders.
fn streamed(fault: &str, count: u32) -> (Vec<Value>, Vec<Value>) {
    let world = World::new();
    world.control("/faults", &json!({ "reorder_max": "300ms" }));
    let subscription = json!({ "type": "orderUpdates", "user": world.address });
    let mut faulty = world.stream();
    faulty.subscribe(&subscription);
    world.fault(fault, "orderUpdates", count);
    for _ in 0..3 {
        world.act(&one(limit(true, "30", "Gtc", &world.cloid()))).status();
    }
    // A frame that no fault touches marks the end.
    let mut told = Vec::new();
    eventually("held frames are released", || (!world.truth()["faults"].as_array().unwrap().is_empty()).then_some(()));
    std::thread::sleep(Duration::from_millis(700));
    faulty.send(&json!({ "method": "ping" }));
    while let Some(frame) = faulty.next() {
        if frame["channel"] == "pong" {
            break;
        }
        told.push(frame["data"][0]["order"]["oid"].clone());
    }
    let truth = world.account()["orders"].as_array().unwrap().iter().map(|order| order["oid"].clone()).collect();
    (told, truth)
}

#[test]
fn faults_of_streams_do_what_they_say() {
    let (told, truth) = streamed("duplicate", 1);
    assert_eq!(told, [truth[0].clone(), truth[0].clone(), truth[1].clone(), truth[2].clone()]);
    let (told, truth) = streamed("drop", 1);
    assert_eq!(told, truth[1..]);
    let (told, truth) = streamed("reorder", 1);
    assert_eq!(told, [truth[1].clone(), truth[0].clone(), truth[2].clone()]);
    let (told, truth) = streamed("silent_stream", 1);
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(truth.len(), 3);
    let (told, truth) = streamed("cut_stream", 1);
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(truth.len(), 3);
}

#[test]
fn a_frame_that_nothing_follows_is_held_back_only_so_long() {
    let world = World::new();
    world.control("/faults", &json!({ "reorder_max": "200ms" }));
    let mut stream = world.stream();
    stream.subscribe(&json!({ "type": "orderUpdates", "user": world.address }));
    world.fault("reorder", "orderUpdates", 1);
    let oid = world.act(&one(limit(true, "30", "Gtc", &world.cloid()))).status()["resting"]["oid"].clone();
    assert_eq!(stream.on("orderUpdates")["data"][0]["order"]["oid"], oid);
}

#[test]
fn requests_by_stream_have_faults_too() {
    let world = World::new();
    let mut stream = world.stream();
    let cloid = world.cloid();
    let envelope = world.key.envelope(&one(limit(true, "30", "Gtc", &cloid)), world.nonce(), None, None);
    world.fault("cut_after", "order", 1);
    stream.send(&json!({ "method": "post", "id": 1, "request": { "type": "action", "payload": envelope } }));
    assert_eq!(stream.next(), None);
    assert_eq!(world.taken(&cloid).len(), 1);
}

/// An entry with a stop and a take profit, and their names.
fn bracket(world: &World) -> (Value, Vec<String>) {
    let cloids: Vec<String> = (0..3).map(|_| world.cloid()).collect();
    let entry = limit(true, "41", "Ioc", &cloids[0]);
    let exits = [trigger(false, "44", "42", "tp", &cloids[1]), trigger(false, "37", "35", "sl", &cloids[2])];
    (orders(&[vec![entry], exits.to_vec()].concat(), "normalTpsl"), cloids)
}

fn status(world: &World, cloid: &str) -> Value {
    world.order_status(cloid)["order"]["status"].clone()
}

#[test]
fn triggers_are_refused_while_their_entry_is_taken() {
    let world = World::new();
    world.fault("refuse_triggers", "order", 2);
    // An order that waits for nothing is none of those.
    assert!(world.act(&one(limit(true, "30", "Gtc", &world.cloid()))).status()["resting"].is_object());
    let (action, cloids) = bracket(&world);
    let answer = world.act(&action).ok()["response"]["data"]["statuses"].clone();
    assert!(answer[0]["filled"].is_object(), "{answer}");
    for (place, cloid) in cloids.iter().enumerate().skip(1) {
        assert_eq!(answer[place]["error"], "Invalid TP/SL price. asset=3");
        assert_eq!(status(&world, cloid), "badTriggerPxRejected");
    }
    let alone = || world.act(&one(trigger(false, "37", "35", "sl", &world.cloid()))).status();
    assert_eq!(alone()["error"], "Invalid TP/SL price. asset=3");
    assert!(alone()["resting"].is_object(), "a script is over when it is over");
    let account = world.account();
    assert_eq!((account["positions"]["HYPE"]["quantity"].clone(), account["rejected_orders"].as_array().unwrap().len()), (json!("1"), 3));
    assert_eq!(world.truth()["faults"], json!([{ "fault": "refuse_triggers", "kind": "order", "count": 2 }]));
    world.control("/faults", &json!({ "chances": [{ "fault": "refuse_triggers", "account": world.address, "per_mille": 1000 }] }));
    assert!(alone()["error"].is_string());
}

#[test]
fn triggers_have_every_fault_that_other_orders_have() {
    for (fault, taken) in [("cut_before", false), ("cut_after", true), ("error_after", true), ("late_commit", true)] {
        for refused in [false, true] {
            let world = World::new();
            world.control("/faults", &json!({ "late_commit_max": "100ms" }));
            world.fault(fault, "order", 1);
            if refused {
                world.fault("refuse_triggers", "order", 1);
            }
            let (action, cloids) = bracket(&world);
            assert_ne!(world.act(&action).clone(), Answer::Silence);
            if taken {
                eventually("it arrives", || (!world.taken(&cloids[0]).is_empty()).then_some(()));
            }
            let expected = match (taken, refused) {
                (false, _) => Value::Null,
                (true, false) => json!("open"),
                (true, true) => json!("badTriggerPxRejected"),
            };
            assert_eq!([status(&world, &cloids[1]), status(&world, &cloids[2])], [expected.clone(), expected], "{fault} {refused}");
        }
    }
    // A trigger that waits, alone or for its entry, is denied as any other order.
    let world = World::new();
    let (action, cloids) = bracket(&world);
    world.act(&action).ok();
    world.fault("false_not_found", "orderStatus", 1);
    assert_eq!([status(&world, &cloids[2]), status(&world, &cloids[2])], [Value::Null, json!("open")]);
    // And its frames get lost.
    let mut stream = world.stream();
    stream.subscribe(&json!({ "type": "orderUpdates", "user": world.address }));
    world.fault("drop", "orderUpdates", 1);
    world.price("36.5");
    let told = stream.on("orderUpdates");
    assert_eq!(
        (&told["data"][0]["order"]["cloid"], &told["data"][0]["status"]),
        (&json!(cloids[2]), &json!("filled")),
        "`triggered` was lost"
    );
}

#[test]
fn a_wrong_plan_changes_nothing() {
    let world = World::new();
    let check = |body: Value, words: &str| {
        let error = world.testnet.control("/faults", &body).unwrap_err();
        assert!(error.contains(words), "{error}");
        assert_eq!(world.testnet.faults()["venues"]["hyperliquid"]["plan"]["chances"], json!([]));
    };
    check(json!({ "chances": [{ "fault": "delay", "per_mille": 1001 }] }), "at most 1000");
    check(json!({ "chances": [{ "fault": "explode", "per_mille": 1 }] }), "unknown variant `explode`");
    check(json!({ "chanses": [] }), "unknown field `chanses`");
    check(json!({ "venue": "nyse" }), "no such venue");
}
