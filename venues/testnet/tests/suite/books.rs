//! Money, quantities and orders always add up, whatever was asked and whatever went wrong.

use std::collections::BTreeMap;

use omnivenue_paper::Random;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::world::{Answer, HYPE, World, limit, one, orders, trigger};

fn number(value: &Value) -> Decimal {
    value.as_str().unwrap().parse().unwrap()
}

fn usdc(account: &Value) -> Decimal {
    number(&account["balances"]["perp"]["USDC"])
}

/// What must hold of an account that began with 10000 USDC, whatever happened.
fn adds_up(account: &Value) {
    let fills = account["fills"].as_array().unwrap();
    let sum = |key: &str| fills.iter().map(|fill| number(&fill[key])).sum::<Decimal>();
    assert_eq!(usdc(account), Decimal::from(10_000) + sum("closedPnl") - sum("fee"), "balance");
    let mut positions: BTreeMap<&str, Decimal> = BTreeMap::new();
    for fill in fills {
        let position = positions.entry(fill["coin"].as_str().unwrap()).or_default();
        assert_eq!(number(&fill["startPosition"]), *position, "{fill}");
        *position += if fill["side"] == "B" { number(&fill["sz"]) } else { -number(&fill["sz"]) };
    }
    positions.retain(|_, size| !size.is_zero());
    let told: BTreeMap<&str, Decimal> =
        account["positions"].as_object().unwrap().iter().map(|(coin, held)| (coin.as_str(), number(&held["quantity"]))).collect();
    assert_eq!(told, positions);
    let all = || ["orders", "rejected_orders"].into_iter().flat_map(|key| account[key].as_array().unwrap());
    for order in all() {
        let traded: Decimal = fills.iter().filter(|fill| fill["oid"] == order["oid"]).map(|fill| number(&fill["sz"])).sum();
        assert_eq!(number(&order["filled"]), traded, "{order}");
        assert_eq!(order["status"] == "filled", traded == number(&order["quantity"]), "{order}");
    }
    let mut tids: Vec<u64> = fills.iter().map(|fill| fill["tid"].as_u64().unwrap()).collect();
    tids.dedup();
    assert_eq!(tids.len(), fills.len());
}

fn random_action(world: &World, random: &mut Random) -> Value {
    let price = |random: &mut Random| format!("{}", 36 + random.below(9));
    let tif = ["Gtc", "Ioc", "Alo"][usize::try_from(random.below(3)).unwrap()];
    let mut order = limit(random.below(2) == 0, &price(random), tif, &world.cloid());
    order["s"] = format!("{}", 1 + random.below(6)).into();
    order["r"] = (random.below(4) == 0).into();
    match random.below(8) {
        0..=3 => one(order),
        4 => one(trigger(
            random.below(2) == 0,
            &price(random),
            &price(random),
            ["tp", "sl"][usize::from(random.below(2) == 0)],
            &world.cloid(),
        )),
        5 => {
            let buy = order["b"].as_bool().unwrap();
            order["r"] = false.into();
            let (profit, stop) = if buy { ("44", "36") } else { ("36", "44") };
            let worst = if buy { "30" } else { "50" };
            orders(
                &[order, trigger(!buy, profit, worst, "tp", &world.cloid()), trigger(!buy, stop, worst, "sl", &world.cloid())],
                "normalTpsl",
            )
        }
        6 => {
            let open =
                world.account()["orders"].as_array().unwrap().iter().filter(|order| order["status"] == "open").cloned().collect::<Vec<_>>();
            let oid = open.first().map_or(json!(1), |order| order["oid"].clone());
            json!({ "type": "cancel", "cancels": [{ "a": HYPE, "o": oid }] })
        }
        _ => json!({ "type": "updateLeverage", "asset": HYPE, "isCross": true, "leverage": 1 + random.below(10) }),
    }
}

#[test]
fn books_add_up_after_anything() {
    for seed in 0..6 {
        let world = World::with(|config| {
            config.limits.ip_weight = 1_000_000;
            config.depth = (seed % 2 == 1).then(|| "100".parse().unwrap());
        });
        let chances = ["cut_before", "cut_after", "error_before", "error_after", "late_commit", "rate_limit"];
        let chances: Vec<Value> = chances.iter().map(|fault| json!({ "fault": fault, "kind": "action", "per_mille": 60 })).collect();
        world.control("/faults", &json!({ "seed": seed, "chances": chances, "late_commit_max": "20ms" }));
        let mut random = Random::new(seed);
        for _ in 0..120 {
            let action = random_action(&world, &mut random);
            world.act(&action);
            if random.below(4) == 0 {
                world.price(&format!("{}", 36 + random.below(9)));
            }
        }
        let account = world.account();
        assert!(account["fills"].as_array().unwrap().len() > 10, "seed {seed} tries nothing");
        adds_up(&account);
    }
}

#[test]
fn what_is_too_large_for_the_market_trades_in_part() {
    let world = World::with(|config| {
        config.depth = Some("100".parse().unwrap());
        // No price changes by itself, so that what rests trades only when the test says so.
        for coin in ["ETH", "SOL", "kPEPE", "PURR/USDC", "@107"] {
            config.prices.insert(coin.parse().unwrap(), serde_json::from_value(json!({ "fixed": { "price": "1" } })).unwrap());
        }
    });
    let sized = |tif: &str, cloid: &str| {
        let mut order = limit(true, "41", tif, cloid);
        order["s"] = "5".into();
        order
    };
    let cloid = world.cloid();
    let filled = world.act(&one(sized("Ioc", &cloid))).status()["filled"].clone();
    assert_eq!(filled["totalSz"], "2.49");
    let told = world.order_status(&cloid)["order"].clone();
    assert_eq!((&told["status"], &told["order"]["sz"], &told["order"]["origSz"]), (&json!("canceled"), &json!("2.51"), &json!("5.0")));
    let cloid = world.cloid();
    assert!(world.act(&one(sized("Gtc", &cloid))).status()["resting"].is_object());
    let told = world.order_status(&cloid)["order"].clone();
    assert_eq!(told["status"], "open");
    // What rests goes on trading as the market moves.
    world.price("40.5");
    assert_eq!(world.order_status(&cloid)["order"]["order"]["sz"], "0.08");
    world.price("40.4");
    assert_eq!(world.order_status(&cloid)["order"]["status"], "filled");
    adds_up(&world.account());
}

#[test]
fn spot_holdings_change_by_what_was_traded() {
    let world = World::with(|config| {
        config.prices.insert("@107".parse().unwrap(), serde_json::from_value(json!({ "fixed": { "price": "40" } })).unwrap());
    });
    let spot = |buy: bool, price: &str| {
        let mut order = limit(buy, price, "Ioc", &world.cloid());
        (order["a"], order["s"]) = (10_107.into(), "10".into());
        world.act(&one(order)).status()["filled"].clone()
    };
    let held = || {
        let balances = world.account()["balances"]["spot"].clone();
        (number(&balances["HYPE"]), number(&balances["USDC"]))
    };
    assert_eq!(spot(true, "41")["totalSz"], "10");
    let fill = world.account()["fills"][0].clone();
    assert_eq!(
        (&fill["coin"], &fill["dir"], &fill["feeToken"], &fill["startPosition"]),
        (&json!("@107"), &json!("Buy"), &json!("HYPE"), &json!("100.0"))
    );
    let paid = number(&fill["px"]) * Decimal::TEN;
    assert_eq!(held(), (Decimal::from(110) - number(&fill["fee"]), Decimal::from(10_000) - paid));
    spot(false, "39");
    let sold = world.account()["fills"][1].clone();
    assert_eq!((&sold["dir"], &sold["feeToken"]), (&json!("Sell"), &json!("USDC")));
    assert_eq!(number(&sold["startPosition"]), Decimal::from(110) - number(&fill["fee"]));
    let got = number(&sold["px"]) * Decimal::TEN - number(&sold["fee"]);
    assert_eq!(held(), (Decimal::from(100) - number(&fill["fee"]), Decimal::from(10_000) - paid + got));
    // What rests holds what it may spend.
    let mut order = limit(true, "30", "Gtc", &world.cloid());
    (order["a"], order["s"]) = (10_107.into(), "10".into());
    world.act(&one(order)).status();
    let told = world.info(&json!({ "type": "spotClearinghouseState", "user": world.address }));
    let hold = told["balances"].as_array().unwrap().iter().find(|row| row["coin"] == "USDC").unwrap()["hold"].clone();
    assert_eq!(hold, "300.0");
}

#[test]
fn a_price_that_is_let_go_follows_its_source_again() {
    let world = World::new();
    let mark = || world.info(&json!({ "type": "metaAndAssetCtxs" }))[1][3]["markPx"].clone();
    world.price("50");
    assert_eq!(mark(), "50.0");
    world.control("/prices", &json!({ "symbol": "HYPE" }));
    assert_eq!(mark(), "40.0");
    // Everything that was known before the move is known after it.
    let cloid = world.cloid();
    let oid = world.act(&one(limit(true, "41", "Ioc", &cloid))).status()["filled"]["oid"].clone();
    world.price("45");
    assert_eq!(world.order_status(&cloid)["order"]["order"]["oid"], oid);
    assert_eq!(world.account()["positions"]["HYPE"]["quantity"], "1");
    assert!(matches!(world.act(&one(limit(true, "46", "Ioc", &world.cloid()))), Answer::Reply(200, _)));
    adds_up(&world.account());
}
