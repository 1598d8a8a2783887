//! Signatures of other clients are taken as those of whoever made them; anything changed makes them someone else's.

use std::time::Duration;

use omnivenue_testnet::{AccountConfig, Config, HyperliquidConfig, SubAccountConfig, Testnet};
use serde_json::{Value, json};

use crate::world::{Answer, HYPE, Key, World, ask, limit, one};

const VECTORS: &str = include_str!("../../fixtures/hyperliquid_vectors.json");

/// The parts of a vector's body that are texts of JSON: keys keep their order.
fn body(case: &str) -> String {
    // The action has to arrive as it was signed, which a map that sorts its keys would not do.
    let start = case.find("\"body\": {").unwrap() + 8;
    let mut depth = 0;
    let mut quoted = false;
    for (at, byte) in case.bytes().enumerate().skip(start) {
        match byte {
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return case[start..=at].to_owned();
                }
            }
            _ => {}
        }
    }
    panic!("a body without an end");
}

fn cases() -> Vec<(String, Value)> {
    let all: Value = serde_json::from_str(VECTORS).unwrap();
    let texts: Vec<&str> = VECTORS.split("\n   \"name\": ").skip(1).collect();
    let cases = all["cases"].as_array().unwrap().clone();
    assert_eq!(texts.len(), cases.len());
    texts.into_iter().map(body).zip(cases).collect()
}

/// The venue knows who signed a vector, and refuses it only because it is years old; it does not know who signed anything else.
fn known(answer: Answer) -> bool {
    let words = answer.words();
    let old = words.starts_with("Invalid nonce: nonce too low") || words.starts_with("Action expired");
    assert!(
        old || ["User or API Wallet", "Must deposit", "Unable to recover", "Vault not registered", "Invalid nonce: the action's"]
            .iter()
            .any(|start| words.starts_with(start)),
        "{words}"
    );
    old
}

fn of_vectors() -> (Testnet, String) {
    let signer = cases()[0].1["inputs"]["signer_address"].as_str().unwrap().to_owned();
    let vaults = cases()
        .iter()
        .filter_map(|(_, case)| case["inputs"]["vault_address"].as_str().map(str::to_lowercase))
        .collect::<std::collections::BTreeSet<_>>();
    let vaults = vaults.into_iter().map(|address| SubAccountConfig { name: "vault".into(), address, ..SubAccountConfig::default() });
    let account = AccountConfig { name: "vectors".into(), address: signer, vaults: vaults.collect(), ..AccountConfig::default() };
    let config = HyperliquidConfig { accounts: vec![account], ..HyperliquidConfig::default() };
    let testnet = Testnet::start(Config { admin_port: 0, hyperliquid: Some(config) }).unwrap();
    let url = testnet.urls()["hyperliquid"].rest.clone();
    (testnet, url)
}

#[test]
fn requests_that_other_clients_signed_are_theirs() {
    let (_testnet, url) = of_vectors();
    assert_eq!(cases().len(), 32);
    for (body, case) in cases() {
        let answer = ask(&url, "POST", "/exchange", &body, Duration::from_secs(5));
        assert!(known(answer), "{}", case["name"]);
    }
}

#[test]
fn what_was_changed_after_signing_is_someone_else_s() {
    let (_testnet, url) = of_vectors();
    for (body, case) in cases() {
        // The nonce, the network, the expiry, the vault; and of the action whatever it has.
        let changed = [
            body.replace("1700000000000", "1700000000001"),
            body.replace("\"v\": 27", "\"v\": 0x").replace("\"v\": 28", "\"v\": 27").replace("\"v\": 0x", "\"v\": 28"),
            body.replace("\"tif\": \"Gtc\"", "\"tif\": \"Alo\""),
            body.replace("\"b\": true", "\"b\": false"),
            body.replace("\"s\": \"1\"", "\"s\": \"2\""),
            body.replace("\"isCross\": true", "\"isCross\": false"),
            body.replace("\"amount\": \"10\"", "\"amount\": \"11\""),
            body.replace("\"agentName\": \"bot1\"", "\"agentName\": \"bot2\""),
            body.replace("\"maxFeeRate\": \"0.01%\"", "\"maxFeeRate\": \"0.02%\""),
        ];
        let changed: Vec<String> = changed.into_iter().filter(|changed| *changed != body).collect();
        assert!(!changed.is_empty());
        for changed in changed {
            let answer = ask(&url, "POST", "/exchange", &changed, Duration::from_secs(5));
            assert!(!known(answer), "{}: {changed}", case["name"]);
        }
    }
}

#[test]
fn keys_are_hashed_in_the_order_in_which_they_arrive() {
    let world = World::new();
    let body = world.key.envelope(&json!({ "aaa": 1, "type": "noop" }), world.nonce(), None, None).to_string();
    let answer = ask(&world.url, "POST", "/exchange", &body, Duration::from_secs(5));
    assert_eq!(answer.ok()["status"], "ok");
    let body = world.key.envelope(&json!({ "aaa": 1, "type": "noop" }), world.nonce(), None, None).to_string();
    let other = body.replace(r#"{"aaa":1,"type":"noop"}"#, r#"{"type":"noop","aaa":1}"#);
    assert_ne!(body, other);
    assert!(ask(&world.url, "POST", "/exchange", &other, Duration::from_secs(5)).words().starts_with("User or API Wallet"));
}

#[test]
fn prices_with_trailing_zeros_are_signed_by_nobody() {
    let world = World::new();
    let order = limit(true, "30.0", "Gtc", &world.cloid());
    assert!(world.act(&one(order)).words().starts_with("User or API Wallet"));
}

#[test]
fn only_the_networks_of_the_configuration_are_accepted() {
    let world = World::with(|config| config.sources = serde_json::from_value(json!(["mainnet"])).unwrap());
    assert!(world.act(&json!({ "type": "noop" })).words().starts_with("User or API Wallet"));
}

#[test]
fn agents_sign_until_they_expire() {
    let world = World::new();
    let agent = Key::of("an agent of the tests");
    let resting = || one(limit(true, "30", "Gtc", &world.cloid()));
    let place = |agent: &Key| world.post("/exchange", &agent.envelope(&resting(), world.nonce(), None, None));
    let stranger = place(&agent).words();
    assert!(stranger.starts_with("User or API Wallet 0x") && stranger.ends_with(" does not exist."), "{stranger}");
    let valid_until = world.now() + 3_600_000;
    let name = format!("bot valid_until {valid_until}");
    assert_eq!(world.post("/exchange", &world.key.approval(&agent.address(), &name, world.nonce())).ok()["status"], "ok");
    assert!(place(&agent).status()["resting"]["oid"].is_u64());
    // The agent of the same name that was there before is none any more.
    let agents = world.info(&json!({ "type": "extraAgents", "user": world.address }));
    assert_eq!(agents, json!([{ "name": "bot", "address": agent.address(), "validUntil": valid_until }]));
    // An agent cannot approve another.
    let other = Key::of("another agent of the tests");
    let refused = world.post("/exchange", &agent.approval(&other.address(), "other", world.nonce())).words();
    assert_eq!(refused, format!("Must deposit before performing actions. User: {}", agent.address()));
    world.control("/clock", &json!({ "skew_ms": 3_600_001 }));
    assert!(place(&agent).words().starts_with("User or API Wallet"));
    world.control("/clock", &json!({ "skew_ms": 0 }));
    world.control("/agents", &json!({ "account": "main", "agent": agent.address(), "expired": true }));
    assert!(place(&agent).words().starts_with("User or API Wallet"));
}

#[test]
fn sub_accounts_are_traded_by_their_master_only() {
    let world = World::new();
    let truth = world.truth();
    let of = |name: &str| {
        let main = truth["accounts"].as_object().unwrap().iter().find(|(_, account)| account["name"] == name).unwrap().0.clone();
        let subs = truth["accounts"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let mine = |sub: &String| world.info(&json!({ "type": "userRole", "user": sub }))["data"]["master"] == main.as_str();
        subs.into_iter().find(mine).unwrap()
    };
    let (mine, foreign) = (of("main"), of("other"));
    let resting = one(limit(true, "30", "Gtc", &world.cloid()));
    let place = |vault: &str| world.post("/exchange", &world.key.envelope(&resting, world.nonce(), Some(vault), None));
    let oid = place(&mine).status()["resting"]["oid"].clone();
    assert_eq!(world.truth()["accounts"][&mine]["orders"][0]["oid"], oid);
    assert_eq!(world.account()["orders"], json!([]));
    assert_eq!(place(&foreign).words(), format!("Vault not registered: {foreign}"));
    // Without 0x, as one client spells it.
    let mut envelope =
        world.key.envelope(&json!({ "type": "cancel", "cancels": [{ "a": HYPE, "o": oid }] }), world.nonce(), Some(&mine), None);
    envelope["vaultAddress"] = mine.trim_start_matches("0x").into();
    envelope.as_object_mut().unwrap().remove("expiresAfter");
    assert_eq!(world.post("/exchange", &envelope).status(), "success");
}
