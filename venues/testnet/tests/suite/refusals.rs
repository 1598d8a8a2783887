//! What the venue refuses, in its own words.

use serde_json::{Value, json};

use crate::world::{HYPE, World, limit, one, orders, trigger};

/// An order of HYPE with something changed.
fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut order = limit(true, "30", "Gtc", "0x00000000000000000000000000000001");
    change(&mut order);
    order
}

#[test]
fn each_refusal_has_the_venue_s_words_and_its_place_in_history() {
    let world = World::new();
    let check = |order: Value, words: &str, status: Option<&str>| {
        let before = world.info(&json!({ "type": "historicalOrders", "user": world.address })).as_array().unwrap().len();
        let error = world.act(&one(order)).status()["error"].as_str().unwrap().to_owned();
        assert_eq!(error, words);
        assert_eq!(world.truth()["refused"].as_array().unwrap().last().unwrap()["reason"], words);
        let history = world.info(&json!({ "type": "historicalOrders", "user": world.address })).as_array().unwrap().clone();
        // What the text alone shows never became an order.
        assert_eq!(history.len() - before, usize::from(status.is_some()), "{words}");
        status.into_iter().for_each(|status| assert_eq!(history[0]["status"], status));
    };
    let tick = "Price must be divisible by tick size. asset=3";
    check(changed(|o| o["p"] = "30.001234".into()), tick, None);
    check(changed(|o| o["p"] = "30.0001".into()), tick, None);
    check(changed(|o| o["p"] = "0".into()), "Order has invalid price.", None);
    check(changed(|o| o["p"] = "-1".into()), "Order has invalid price.", None);
    check(changed(|o| o["p"] = "3e1".into()), "Order has invalid price.", None);
    check(changed(|o| o["s"] = "0".into()), "Order has zero size.", None);
    check(changed(|o| o["s"] = "1.001".into()), "Order has invalid size.", None);
    check(changed(|o| o["s"] = "one".into()), "Order has invalid size.", None);
    check(changed(|o| o["a"] = 99.into()), "Asset 99 does not exist.", None);
    let small = "Order must have minimum value of $10. asset=3";
    check(changed(|o| o["s"] = "0.33".into()), small, Some("minTradeNtlRejected"));
    check(changed(|o| o["s"] = "50000".into()), "Insufficient margin to place order. asset=3", Some("perpMarginRejected"));
    let touch = "Post only order would have immediately matched, bbo was 39.996@40.004. asset=3";
    check(changed(|o| (o["p"], o["t"]["limit"]["tif"]) = ("40.004".into(), "Alo".into())), touch, Some("badAloPxRejected"));
    let nothing = "Order could not immediately match against any resting orders. asset=3";
    check(changed(|o| o["t"]["limit"]["tif"] = "Ioc".into()), nothing, Some("iocCancelRejected"));
    let market = "No liquidity available for market order. asset=3";
    check(changed(|o| o["t"]["limit"]["tif"] = "FrontendMarket".into()), market, Some("marketOrderNoLiquidityRejected"));
    check(changed(|o| o["r"] = true.into()), "Reduce only order would increase position. asset=3", Some("reduceOnlyRejected"));
    let far = "Order price cannot be more than 80% away from the reference price asset=3";
    check(changed(|o| (o["p"], o["s"]) = ("7.9".into(), "10".into())), far, Some("oracleRejected"));
    check(changed(|o| o["p"] = "72.1".into()), far, Some("oracleRejected"));
    let cloid = "0x00000000000000000000000000000002";
    check(trigger(false, "41", "39", "sl", cloid), "Invalid TP/SL price. asset=3", Some("badTriggerPxRejected"));
    check(trigger(false, "39", "38", "tp", cloid), "Invalid TP/SL price. asset=3", Some("badTriggerPxRejected"));
    check(
        changed(|o| (o["a"], o["s"], o["p"]) = (10_107.into(), "1000".into(), "36".into())),
        "Insufficient spot balance asset=10107",
        Some("insufficientSpotBalanceRejected"),
    );
    assert_eq!(world.account()["orders"], json!([]));
    assert_eq!(world.account()["fills"], json!([]));
}

#[test]
fn one_fault_in_the_text_refuses_the_batch_with_one_error() {
    let world = World::new();
    let good = limit(true, "30", "Gtc", &world.cloid());
    let bad = changed(|o| o["s"] = "0".into());
    let answer = world.act(&orders(&[good.clone(), bad, good], "na")).ok();
    assert_eq!(answer["response"]["data"]["statuses"], json!([{ "error": "Order has zero size." }]));
    assert_eq!(world.account()["orders"], json!([]));
    let empty = world.act(&orders(&[], "na")).status();
    assert_eq!(empty, json!({ "error": "Empty batch of orders." }));
}

#[test]
fn canceling_what_is_not_open_is_an_error_of_its_own() {
    let world = World::new();
    let words = json!({ "error": "Order was never placed, already canceled, or filled. asset=3" });
    let cancel = |oid: &Value| world.act(&json!({ "type": "cancel", "cancels": [{ "a": HYPE, "o": oid }] })).status();
    assert_eq!(cancel(&json!(77)), words);
    let cloid = world.cloid();
    let oid = world.act(&one(limit(true, "30", "Gtc", &cloid))).status()["resting"]["oid"].clone();
    // The right number under the wrong asset is not that order.
    let other = world.act(&json!({ "type": "cancel", "cancels": [{ "a": 0, "o": oid }] })).status();
    assert_eq!(other, json!({ "error": "Order was never placed, already canceled, or filled. asset=0" }));
    assert_eq!(cancel(&oid), "success");
    assert_eq!(cancel(&oid), words);
    let by_id = world.act(&json!({ "type": "cancelByCloid", "cancels": [{ "asset": HYPE, "cloid": cloid }] })).status();
    assert_eq!(by_id, words);
}

#[test]
fn leverage_and_margin_have_their_rules() {
    let world = World::new();
    let set =
        |leverage: u64, cross: bool| world.act(&json!({ "type": "updateLeverage", "asset": HYPE, "isCross": cross, "leverage": leverage }));
    assert_eq!(set(11, true).words(), "Invalid leverage value");
    assert_eq!(set(0, true).words(), "Invalid leverage value");
    assert_eq!(set(4, true).ok()["status"], "ok");
    assert!(world.act(&one(limit(true, "41", "Ioc", &world.cloid()))).status()["filled"].is_object());
    assert_eq!(set(4, false).words(), "Cannot switch leverage type with open position.");
    let margin = world.info(&json!({ "type": "clearinghouseState", "user": world.address }))["marginSummary"]["totalMarginUsed"].clone();
    assert_eq!(margin, "10.0");
    assert_eq!(set(2, true).ok()["status"], "ok");
    let margin = world.info(&json!({ "type": "clearinghouseState", "user": world.address }))["marginSummary"]["totalMarginUsed"].clone();
    assert_eq!(margin, "20.0");
    let isolated = json!({ "type": "updateIsolatedMargin", "asset": HYPE, "isBuy": true, "ntli": 1_000_000 });
    assert!(world.act(&isolated).words().contains("isolated position"));
}

#[test]
fn reduce_only_orders_never_turn_a_position() {
    let world = World::new();
    assert!(world.act(&one(limit(true, "41", "Ioc", &world.cloid()))).status()["filled"].is_object());
    let mut close = limit(false, "39", "Ioc", &world.cloid());
    (close["s"], close["r"]) = ("5".into(), true.into());
    let filled = world.act(&one(close)).status()["filled"].clone();
    assert_eq!(filled["totalSz"], "1");
    assert_eq!(world.account()["positions"], json!({}));
}
