//! Triggers, brackets, and what orders do to one another.

use serde_json::{Value, json};

use crate::world::{HYPE, World, limit, one, orders, trigger};

fn status(world: &World, cloid: &str) -> String {
    world.order_status(cloid)["order"]["status"].as_str().unwrap_or("unknownOid").to_owned()
}

fn statuses(world: &World, list: &[Value], grouping: &str) -> Vec<Value> {
    world.act(&orders(list, grouping)).ok()["response"]["data"]["statuses"].as_array().unwrap().clone()
}

fn long(world: &World) {
    assert!(world.act(&one(limit(true, "41", "Ioc", &world.cloid()))).status()["filled"].is_object());
}

#[test]
fn a_stop_waits_for_the_mark_and_closes() {
    let world = World::new();
    long(&world);
    let cloid = world.cloid();
    let placed = world.act(&one(trigger(false, "38", "35", "sl", &cloid))).status();
    let oid = placed["resting"]["oid"].clone();
    world.price("38.01");
    assert_eq!(status(&world, &cloid), "open");
    world.price("37.9");
    assert_eq!(status(&world, &cloid), "filled");
    let order = world.order_at(&oid);
    assert_eq!((&order["filled"], &order["trigger_price"]), (&json!("1"), &json!("38")));
    assert_eq!(world.account()["positions"], json!({}));
    // The very same number was told to have been triggered: the venue's word on the fill is the order's.
    assert_eq!(world.account()["fills"][1]["oid"], oid);
}

#[test]
fn a_gap_beyond_the_limit_of_a_stop_leaves_it_canceled() {
    let world = World::new();
    long(&world);
    let cloid = world.cloid();
    world.act(&one(trigger(false, "38", "37.5", "sl", &cloid))).status();
    world.price("30");
    assert_eq!(status(&world, &cloid), "canceled");
    assert_eq!(world.account()["positions"]["HYPE"]["quantity"], "1");
}

#[test]
fn a_stop_without_a_position_ends_when_it_fires() {
    let world = World::new();
    let cloid = world.cloid();
    world.act(&one(trigger(false, "38", "35", "sl", &cloid))).status();
    world.price("37");
    assert_eq!(status(&world, &cloid), "reduceOnlyCanceled");
    assert_eq!(world.account()["fills"], json!([]));
}

#[test]
fn children_wait_for_their_entry_and_one_ends_the_other() {
    for (price, winner, loser) in [("42.5", 1, 2), ("36.5", 2, 1)] {
        let world = World::new();
        let cloids: Vec<String> = (0..3).map(|_| world.cloid()).collect();
        let bracket = [
            limit(true, "39", "Gtc", &cloids[0]),
            trigger(false, "42", "40", "tp", &cloids[1]),
            trigger(false, "37", "35", "sl", &cloids[2]),
        ];
        let answer = statuses(&world, &bracket, "normalTpsl");
        assert!(answer[0]["resting"].is_object());
        assert_eq!(answer[1..], ["waitingForFill", "waitingForFill"]);
        let shown = world.info(&json!({ "type": "frontendOpenOrders", "user": world.address }));
        assert_eq!((shown.as_array().unwrap().len(), shown[0]["children"].as_array().unwrap().len()), (1, 2));
        world.price("38.9");
        assert_eq!(status(&world, &cloids[0]), "filled");
        world.price(price);
        assert_eq!(status(&world, &cloids[winner]), "filled", "{price}");
        assert_eq!(status(&world, &cloids[loser]), "siblingFilledCanceled", "{price}");
        assert_eq!(world.account()["positions"], json!({}));
    }
}

#[test]
fn children_of_a_canceled_entry_end_with_it() {
    let world = World::new();
    let cloids: Vec<String> = (0..2).map(|_| world.cloid()).collect();
    statuses(&world, &[limit(true, "30", "Gtc", &cloids[0]), trigger(false, "28", "26", "sl", &cloids[1])], "normalTpsl");
    world.act(&json!({ "type": "cancelByCloid", "cancels": [{ "asset": HYPE, "cloid": cloids[0] }] })).status();
    assert_eq!([status(&world, &cloids[0]), status(&world, &cloids[1])], ["canceled", "canceled"]);
    world.price("25");
    assert_eq!(world.account()["fills"], json!([]));
}

#[test]
fn a_refused_entry_takes_its_children_with_it() {
    let world = World::new();
    let cloids: Vec<String> = (0..2).map(|_| world.cloid()).collect();
    let answer = statuses(&world, &[limit(true, "30", "Ioc", &cloids[0]), trigger(false, "28", "26", "sl", &cloids[1])], "normalTpsl");
    assert_eq!(answer.len(), 2);
    assert!(answer.iter().all(|one| one["error"].as_str().unwrap().starts_with("Order could not immediately match")));
    assert_eq!(status(&world, &cloids[1]), "unknownOid");
}

#[test]
fn exits_of_a_position_close_whatever_it_is() {
    let world = World::new();
    let cloids: Vec<String> = (0..2).map(|_| world.cloid()).collect();
    let exits = || {
        let mut exits = [trigger(false, "42", "40", "tp", &cloids[0]), trigger(false, "37", "35", "sl", &cloids[1])];
        exits.iter_mut().for_each(|exit| exit["s"] = "0".into());
        exits
    };
    let refused = statuses(&world, &exits(), "positionTpsl");
    assert!(refused.iter().all(|one| one["error"] == "Reduce only order would increase position. asset=3"), "{refused:?}");
    long(&world);
    assert_eq!(statuses(&world, &exits(), "positionTpsl"), ["waitingForTrigger", "waitingForTrigger"]);
    long(&world);
    world.price("36.9");
    assert_eq!(status(&world, &cloids[1]), "filled");
    assert_eq!(status(&world, &cloids[0]), "siblingFilledCanceled");
    let account = world.account();
    assert_eq!(account["positions"], json!({}));
    assert_eq!(account["fills"][2]["sz"], "2.0");
}

#[test]
fn exits_end_with_a_position_that_was_closed_by_hand() {
    let world = World::new();
    long(&world);
    let cloid = world.cloid();
    let mut exit = trigger(false, "37", "35", "sl", &cloid);
    exit["s"] = "0".into();
    statuses(&world, &[exit], "positionTpsl");
    let mut close = limit(false, "39", "Ioc", &world.cloid());
    close["r"] = true.into();
    assert!(world.act(&one(close)).status()["filled"].is_object());
    assert_eq!(status(&world, &cloid), "reduceOnlyCanceled");
}

#[test]
fn what_is_to_close_must_only_reduce() {
    let world = World::new();
    let mut loose = trigger(false, "37", "35", "sl", &world.cloid());
    loose["r"] = false.into();
    let answer = statuses(&world, &[limit(true, "39", "Gtc", &world.cloid()), loose], "normalTpsl");
    assert_eq!(answer, [json!({ "error": "TP/SL orders must be reduce-only trigger orders." })]);
    assert_eq!(world.account()["orders"], json!([]));
}

#[test]
fn scheduled_cancels_take_stops_too() {
    let world = World::with(|config| config.limits.schedule_cancel_volume = 30);
    let schedule = |time: Option<u64>| {
        let mut action = json!({ "type": "scheduleCancel" });
        time.into_iter().for_each(|time| action["time"] = time.into());
        world.act(&action)
    };
    let words = schedule(Some(world.now() + 60_000)).words();
    assert_eq!(words, "Cannot set scheduled cancel time until enough volume traded. Required: $30. Traded: $0.");
    long(&world);
    assert!(schedule(Some(world.now() + 1_000)).words().starts_with("Scheduled cancel time too early"));
    let cloids: Vec<String> = (0..2).map(|_| world.cloid()).collect();
    world.act(&one(limit(true, "30", "Gtc", &cloids[0]))).status();
    world.act(&one(trigger(false, "38", "35", "sl", &cloids[1]))).status();
    assert_eq!(schedule(Some(world.now() + 60_000)).ok()["status"], "ok");
    assert_eq!(status(&world, &cloids[0]), "open");
    world.control("/clock", &json!({ "skew_ms": 60_001 }));
    assert_eq!([status(&world, &cloids[0]), status(&world, &cloids[1])], ["scheduledCancel", "scheduledCancel"]);
    assert_eq!(world.account()["positions"]["HYPE"]["quantity"], "1");
}

#[test]
fn a_stop_whose_limit_is_short_of_its_trigger_is_refused() {
    let world = World::new();
    long(&world);
    for (buy, at, limit, taken) in [(false, "38", "38.1", false), (false, "38", "38", true), (true, "42", "41.9", false)] {
        let placed = world.act(&one(trigger(buy, at, limit, "sl", &world.cloid()))).status();
        let refused = placed["error"].as_str().is_some_and(|words| words.starts_with("Invalid TP/SL price."));
        assert_eq!((placed["resting"].is_object(), refused), (taken, !taken), "{placed}");
    }
}

#[test]
fn the_truth_has_every_trigger_that_waits_and_what_for() {
    let world = World::new();
    long(&world);
    let cloids: Vec<String> = (0..4).map(|_| world.cloid()).collect();
    let bracket =
        [limit(true, "39", "Gtc", &cloids[0]), trigger(false, "42", "40", "tp", &cloids[1]), trigger(false, "37", "35", "sl", &cloids[2])];
    statuses(&world, &bracket, "normalTpsl");
    world.act(&one(trigger(false, "38", "35", "sl", &cloids[3]))).status();
    let waiting = || {
        let listed = world.account()["waiting_triggers"].as_array().unwrap().clone();
        let row = |order: &Value| (order["cloid"].clone(), order["waits_for"].clone(), order["trigger"]["kind"].clone());
        listed.iter().map(row).collect::<Vec<_>>()
    };
    let row = |of: usize, what: &str, kind: &str| (json!(cloids[of]), json!(what), json!(kind));
    let alone = row(3, "waitingForTrigger", "stop_loss");
    assert_eq!(waiting(), [row(1, "waitingForFill", "take_profit"), row(2, "waitingForFill", "stop_loss"), alone.clone()]);
    world.price("38.9");
    assert_eq!(waiting(), [row(1, "waitingForTrigger", "take_profit"), row(2, "waitingForTrigger", "stop_loss"), alone]);
    // Both stops sell; the take profit ends with its sibling.
    world.price("36.5");
    assert_eq!((waiting(), world.account()["positions"].clone()), (Vec::new(), json!({})));
}
