//! What other clients call, the admin endpoint, and the life of a testnet.

use std::net::TcpStream;
use std::time::Duration;

use omnivenue_testnet::{Config, Testnet, TestnetError};
use serde_json::{Value, json};

use crate::world::{Answer, Key, World, ask, limit, one};

#[test]
fn every_question_of_the_known_clients_has_an_answer() {
    let world = World::new();
    let user = world.address.as_str();
    world.act(&one(limit(true, "41", "Ioc", &world.cloid()))).status();
    let now = world.now();
    let questions = [
        json!({ "type": "meta", "dex": "" }),
        json!({ "type": "spotMeta" }),
        json!({ "type": "metaAndAssetCtxs" }),
        json!({ "type": "spotMetaAndAssetCtxs" }),
        json!({ "type": "perpDexs" }),
        json!({ "type": "allMids", "dex": "" }),
        json!({ "type": "l2Book", "coin": "HYPE" }),
        json!({ "type": "candleSnapshot", "req": { "coin": "HYPE", "interval": "1h", "startTime": now - 7_200_000, "endTime": now } }),
        json!({ "type": "fundingHistory", "coin": "HYPE", "startTime": now - 7_200_000 }),
        json!({ "type": "exchangeStatus" }),
        json!({ "type": "clearinghouseState", "user": user, "dex": "" }),
        json!({ "type": "spotClearinghouseState", "user": user }),
        json!({ "type": "userAbstraction", "user": user }),
        json!({ "type": "activeAssetData", "user": user, "coin": "HYPE" }),
        json!({ "type": "openOrders", "user": user, "dex": "" }),
        json!({ "type": "frontendOpenOrders", "user": user }),
        json!({ "type": "historicalOrders", "user": user }),
        json!({ "type": "userFills", "user": user }),
        json!({ "type": "userFillsByTime", "user": user, "startTime": now - 1000 }),
        json!({ "type": "userRateLimit", "user": user }),
        json!({ "type": "userRole", "user": user }),
        json!({ "type": "extraAgents", "user": user }),
        json!({ "type": "subAccounts", "user": user }),
        json!({ "type": "userFees", "user": user }),
        json!({ "type": "webData2", "user": user }),
    ];
    for question in questions {
        let answer = world.info(&question);
        assert!(!answer.is_null(), "{question}");
    }
    assert_eq!(world.info(&json!({ "type": "l2Book", "coin": "NOPE" })), Value::Null);
    assert!(matches!(world.post("/info", &json!({ "type": "openOrders" })), Answer::Reply(422, _)));
    assert!(matches!(world.post("/info", &json!({ "type": "nonsense", "user": user })), Answer::Reply(422, _)));
}

#[test]
fn what_is_positional_is_in_its_place() {
    let world = World::new();
    let both = world.info(&json!({ "type": "spotMetaAndAssetCtxs" }));
    for (place, token) in both[0]["tokens"].as_array().unwrap().iter().enumerate() {
        assert_eq!(token["index"], place);
    }
    for pair in both[0]["universe"].as_array().unwrap() {
        let index = usize::try_from(pair["index"].as_u64().unwrap()).unwrap();
        assert_eq!(both[1][index]["coin"], pair["name"]);
        assert_ne!(both[1][index]["markPx"], "0.0");
    }
    let both = world.info(&json!({ "type": "metaAndAssetCtxs" }));
    assert_eq!(both[0]["universe"].as_array().unwrap().len(), both[1].as_array().unwrap().len());
    assert_eq!(both[0]["universe"][3]["name"], "HYPE");
    assert_eq!(both[1][3]["markPx"], "40.0");
}

#[test]
fn an_agent_s_address_and_a_stranger_s_have_nothing() {
    let world = World::new();
    let agents = world.info(&json!({ "type": "extraAgents", "user": world.address }));
    for user in [agents[0]["address"].as_str().unwrap(), "0x0000000000000000000000000000000000000009"] {
        let state = world.info(&json!({ "type": "clearinghouseState", "user": user }));
        assert_eq!((&state["marginSummary"]["accountValue"], &state["assetPositions"]), (&json!("0.0"), &json!([])));
        assert_eq!(world.info(&json!({ "type": "openOrders", "user": user })), json!([]));
    }
}

#[test]
fn nobody_sees_or_cancels_another_s_order_by_its_number() {
    let world = World::new();
    let oid = world.act(&one(limit(true, "30", "Gtc", &world.cloid()))).status()["resting"]["oid"].clone();
    let truth = world.truth();
    let (other, _) = truth["accounts"].as_object().unwrap().iter().find(|(_, account)| account["name"] == "other").unwrap();
    let seen = world.info(&json!({ "type": "orderStatus", "user": other, "oid": oid }));
    assert_eq!(seen, json!({ "status": "unknownOid" }));
    let key = Key::of("omnivenue testnet: account other");
    assert_eq!(key.address(), *other);
    let cancel = json!({ "type": "cancel", "cancels": [{ "a": 3, "o": oid }] });
    let refused = world.post("/exchange", &key.envelope(&cancel, world.nonce(), None, None)).status();
    assert!(refused["error"].as_str().unwrap().starts_with("Order was never placed"), "{refused}");
    assert_eq!(world.order_at(&oid)["status"], "open");
}

#[test]
fn candles_agree_with_one_another_and_with_the_price() {
    let world = World::new();
    let now = world.now();
    let ask = |interval: &str, span: u64| {
        let request = json!({ "coin": "ETH", "interval": interval, "startTime": now - span, "endTime": now });
        world.info(&json!({ "type": "candleSnapshot", "req": request })).as_array().unwrap().clone()
    };
    let minutes = ask("1m", 3_600_000);
    assert!((60..=61).contains(&minutes.len()), "{}", minutes.len());
    for pair in minutes.windows(2) {
        assert_eq!(pair[0]["t"].as_u64().unwrap() + 60_000, pair[1]["t"].as_u64().unwrap());
    }
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    for candle in &minutes {
        let [o, h, l, c] = ["o", "h", "l", "c"].map(|key| number(&candle[key]));
        assert!(l <= o.min(c) && h >= o.max(c) && l > 3000.0 && h < 3800.0, "{candle}");
    }
    // What is over stays as it was told.
    assert_eq!(ask("1m", 3_600_000)[..59], minutes[..59]);
    // Prices began a day ago.
    assert!((24..=25).contains(&ask("1h", 10 * 86_400_000).len()));
}

#[test]
fn usdc_moves_between_the_sides_of_an_account() {
    let world = World::new();
    let before = world.account()["balances"].clone();
    assert_eq!((&before["perp"]["USDC"], &before["spot"]["USDC"]), (&json!("10000"), &json!("10000")));
    // A request signed like an action of trading is not the account's own word.
    let action = json!({ "type": "usdClassTransfer", "amount": "10", "toPerp": true, "nonce": world.nonce() });
    assert!(world.act(&action).ok()["status"] == "err");
    assert_eq!(world.account()["balances"], before);
}

#[test]
fn the_admin_endpoint_says_what_is_wrong() {
    let world = World::new();
    let admin = world.testnet.admin_url();
    let error = |method: &str, path: &str, body: &str| match ask(admin, method, path, body, Duration::from_secs(5)) {
        Answer::Reply(400, body) => body["error"].as_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    assert!(error("GET", "/nothing", "").contains("GET /truth"));
    assert!(error("POST", "/prices", "{\"symbol\":\"NOPE\",\"price\":\"1\"}").contains("NOPE"));
    assert!(error("POST", "/prices", "{\"symbol\":\"HYPE\",\"price\":1}").contains("as a string"));
    assert!(error("POST", "/clock", "{\"skew_ms\":99999999999}").contains("at most"));
    assert!(
        error("POST", "/agents", "{\"account\":\"nobody\",\"agent\":\"0x0000000000000000000000000000000000000001\"}").contains("nobody")
    );
    assert_eq!(ask(admin, "GET", "/truth", "", Duration::from_secs(5)).ok()["venues"]["hyperliquid"]["skew_ms"], 0);
    assert!(ask(admin, "GET", "/faults", "", Duration::from_secs(5)).ok()["venues"]["hyperliquid"]["plan"].is_object());
}

#[test]
fn everything_is_counted_by_its_kind() {
    let world = World::new();
    world.info(&json!({ "type": "allMids" }));
    world.info(&json!({ "type": "allMids" }));
    world.act(&json!({ "type": "noop" }));
    let requests = world.truth()["requests"].clone();
    assert_eq!((&requests["allMids"], &requests["noop"]), (&json!(2), &json!(1)));
}

#[test]
fn the_venue_s_clock_can_be_wrong_without_moving_prices() {
    let world = World::new();
    let before = world.now();
    world.control("/clock", &json!({ "skew_ms": -3_600_000 }));
    assert!(world.info(&json!({ "type": "exchangeStatus" }))["time"].as_u64().unwrap() < before - 3_000_000);
    world.act(&one(limit(true, "41", "Ioc", &world.cloid()))).status();
    let fill = world.account()["fills"][0].clone();
    assert!(fill["time"].as_u64().unwrap() < before - 3_000_000, "{fill}");
    assert_eq!(fill["px"], "40.004");
}

#[test]
fn a_dropped_testnet_is_gone_and_its_port_is_free() {
    let world = World::new();
    let address = world.url.trim_start_matches("http://").to_owned();
    assert!(TcpStream::connect(&address).is_ok());
    let config = |port| {
        let mut config = Config::built_in();
        config.hyperliquid.as_mut().unwrap().port = port;
        config
    };
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    let taken = Testnet::start(config(port)).unwrap_err();
    assert!(matches!(taken, TestnetError::Port { port: seen, .. } if seen == port), "{taken}");
    drop(world);
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn it_starts_and_stops_inside_asynchronous_code() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let testnet = Testnet::start(Config::built_in()).unwrap();
        let url = &testnet.urls()["hyperliquid"].rest;
        assert!(matches!(ask(url, "POST", "/info", r#"{"type":"meta"}"#, Duration::from_secs(5)), Answer::Reply(200, _)));
        let taken: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
        let mut other = Config::built_in();
        other.hyperliquid.as_mut().unwrap().port = taken;
        assert!(Testnet::start(other).is_err());
    });
}

#[test]
fn a_wrong_configuration_is_refused_with_its_field() {
    let check = |change: fn(&mut omnivenue_testnet::HyperliquidConfig), words: &str| {
        let mut config = Config::built_in();
        change(config.hyperliquid.as_mut().unwrap());
        let error = Testnet::start(config).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    check(|c| c.accounts[0].address = "0x1".into(), "`0x1` is no address");
    check(|c| c.accounts[1] = c.accounts[0].clone(), "is there twice");
    check(|c| c.history = Duration::from_secs(86_400 * 365), "history must be at most 31d");
    check(
        |c| c.prices = serde_json::from_value(json!({ "NOPE": { "fixed": { "price": "1" } } })).unwrap(),
        "NOPE, which is not traded here",
    );
    check(|c| c.prices = serde_json::from_value(json!({ "HYPE": { "live": {} } })).unwrap(), "live is given");
    check(|c| c.faults.late_commit_max = Duration::from_secs(3600), "late_commit_max");
}

#[test]
fn how_to_use_it_names_every_address() {
    let world = World::new();
    let text = world.testnet.how_to_use();
    let urls = &world.testnet.urls()["hyperliquid"];
    for word in
        [&urls.rest, &urls.stream, world.testnet.admin_url(), &world.address, "ccxt", "hyperliquid-python-sdk", "@nktkas/hyperliquid"]
    {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
}
