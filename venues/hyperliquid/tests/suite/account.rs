//! Who signs for whom, what may be set, and what the venue can do beyond the engine's trait.

use omnivenue_core::model::instrument::{Market, Side};
use omnivenue_core::model::order::{OrderRequest, OrderStatus, Purpose};
use omnivenue_core::model::secret::Secret;
use omnivenue_core::model::signal::OrderType;
use omnivenue_core::venue::{Account, Effect, ErrorKind, Grade, Operation};
use omnivenue_hyperliquid::action::{CancelByCloid, CancelByOid, Cloid, Modify, Order, OrderKind, OrderRef, Tif, Tpsl};
use omnivenue_hyperliquid::rest;
use omnivenue_hyperliquid::wire::ItemStatus;
use omnivenue_hyperliquid::{Hyperliquid, Login, USERS_MAX};
use omnivenue_kit::sign::{Address, SigningKey};
use serde_json::json;

use crate::bench::{Bench, World, parse};

#[tokio::test]
async fn an_agent_trades_for_its_account() {
    let world = World::start();
    let mut bench = Bench::with(&world, world.agent_login()).await;
    let order = bench.order(json!({})).await;
    assert_eq!(bench.place(&order).await.unwrap().status, OrderStatus::Filled);
    let orders = world.orders();
    assert_eq!(orders[0]["signer"], bench.account.signer().to_string());
    assert_ne!(bench.account.signer(), bench.account.user());
}

#[tokio::test]
async fn a_sub_account_is_traded_through_its_address() {
    for by_agent in [false, true] {
        let world = World::start();
        let sub = world.main.sub_accounts[0].address.clone();
        let login = if by_agent { world.agent_login() } else { world.login(Market::Perp) };
        let mut bench = Bench::with(&world, Login { vault_address: Some(parse(&sub)), ..login }).await;
        let order = bench.order(json!({})).await;
        assert_eq!(bench.place(&order).await.unwrap().status, OrderStatus::Filled);
        let snapshot = bench.account.snapshot(None).await.unwrap();
        assert_eq!(snapshot.fills[0].client_order_id.as_ref(), Some(order.client_order_id()));
        // The burn of a nonce goes the same way.
        let lost = bench.order(json!({})).await;
        world.fault("cut_before", "order", 1);
        bench.place(&lost).await.unwrap_err();
        assert!(matches!(bench.probe(&lost, false).await, omnivenue_core::venue::Evidence::AbsentForever { .. }));
        assert!(world.orders().is_empty() && world.truth(&sub)["orders"].as_array().unwrap().len() == 1);
    }
}

#[tokio::test]
async fn an_agent_that_ended_is_refused_and_found_by_the_examination() {
    let world = World::start();
    let mut bench = Bench::with(&world, world.agent_login()).await;
    let grade = |findings: &[omnivenue_core::venue::Finding]| findings.iter().find(|finding| finding.check == "signer").unwrap().grade;
    assert_eq!(grade(&bench.account.examine().await.unwrap()), Grade::Good);
    let order = bench.order(json!({})).await;
    let agent = world.main.agents[0].address.clone();
    world.control("/agents", &json!({"account": world.main.address, "agent": agent, "name": "bot", "expired": true}));
    let error = bench.place(&order).await.unwrap_err();
    assert_eq!((error.effect, error.kind), (Effect::Refused, ErrorKind::Unauthorized), "{error}");
    assert_eq!(grade(&bench.account.examine().await.unwrap()), Grade::Bad);
}

#[tokio::test]
async fn an_account_is_examined_without_trading() {
    let world = World::start();
    let bench = Bench::open(&world).await;
    let findings = bench.account.examine().await.unwrap();
    for finding in &findings {
        assert_eq!(finding.grade, Grade::Good, "{finding:?}");
    }
    let checks: Vec<&str> = findings.iter().map(|finding| finding.check.as_str()).collect();
    assert_eq!(checks, ["clock", "signer", "role", "action_budget", "mode", "balance", "positions", "open_orders"]);
    let unknown = Login { private_key: Secret::new("11".repeat(32)), ..world.login(Market::Perp) };
    let stranger = bench.hyperliquid.trader(unknown).unwrap().examine().await.unwrap();
    assert_eq!(stranger.iter().find(|finding| finding.check == "role").unwrap().grade, Grade::Bad);
    assert!(world.orders().is_empty());
}

#[tokio::test]
async fn an_eleventh_user_is_refused_and_a_key_that_is_none() {
    let world = World::start();
    let hyperliquid = Hyperliquid::new(world.config()).unwrap();
    let login = |n: usize| Login { private_key: Secret::new(format!("{:064x}", n + 1)), ..world.login(Market::Perp) };
    for n in 0..USERS_MAX {
        hyperliquid.account(login(n)).unwrap();
    }
    // The same user again, on the other market.
    hyperliquid.account(Login { market: Market::Spot, ..login(0) }).unwrap();
    assert!(hyperliquid.account(login(USERS_MAX)).is_err());
    hyperliquid.account(login(1)).unwrap();
    let wrong = hyperliquid.account(Login { private_key: Secret::new("not a key at all"), ..login(0) }).err().unwrap();
    assert!(!format!("{wrong} {wrong:?}").contains("not a key at all"));
}

#[tokio::test]
async fn leverage_is_set_while_flat_and_whole() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let order = bench.order(json!({"leverage": "4"})).await;
    bench.place(&order).await.unwrap();
    // The position holds it now.
    assert!(bench.try_order(json!({"leverage": "5"})).await.is_none());
    assert!(bench.story().contains("leverage_conflict"), "{}", bench.story());
    let request = OrderRequest { leverage: parse("5"), ..order.request().clone() };
    let refused = bench.account.ready(&request).await.unwrap_err();
    assert!(refused.to_string().contains("it is changed only while flat"), "{refused}");
    assert!(bench.try_order(json!({"leverage": "2.5", "asset": "BTC", "sizing": {"quantity": "0.001"}})).await.is_none());
    assert!(bench.story().contains("leverage 2.5 is not whole"));
    assert!(bench.try_order(json!({"leverage": "4"})).await.is_some());
}

fn entry(price: &str, cloid: u32) -> Order {
    let hype = 159;
    Order {
        asset: hype,
        is_buy: true,
        price: price.into(),
        size: "1".into(),
        reduce_only: false,
        kind: OrderKind::Limit { tif: Tif::Gtc },
        cloid: Some(Cloid::parse(&format!("0x{cloid:032x}")).unwrap()),
    }
}

fn number(status: &ItemStatus) -> u64 {
    match status {
        ItemStatus::Resting { oid } | ItemStatus::Filled { oid, .. } => *oid,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn many_orders_in_one_request_and_one_fault_for_all() {
    let world = World::start();
    let bench = Bench::open(&world).await;
    let asset = bench.hyperliquid.listing(&parse("HYPE")).unwrap().asset;
    let order = |price: &str, cloid| Order { asset, ..entry(price, cloid) };
    let placed = bench.account.place_batch(vec![order("30", 1), order("31", 2), order("40", 3)]).await.unwrap();
    assert!(matches!(placed[..], [ItemStatus::Resting { .. }, ItemStatus::Resting { .. }, ItemStatus::Filled { .. }]), "{placed:?}");
    // A bad price is a fault of the text: the whole batch is refused before any of it is looked at.
    let refused = bench.account.place_batch(vec![order("30", 4), order("38.12345", 5)]).await;
    let all_refused = match &refused {
        Ok(statuses) => statuses.iter().all(|status| matches!(status, ItemStatus::Error(_))),
        Err(error) => error.effect == Effect::Refused,
    };
    assert!(all_refused, "{refused:?}");
    assert_eq!(world.orders().len(), 3);
    assert_eq!(bench.account.place_batch(Vec::new()).await.unwrap_err().effect, Effect::NotSent);

    let modified = Modify { oid: OrderRef::Oid(number(&placed[0])), order: order("29", 6) };
    let by_name = Modify { oid: OrderRef::Cloid(Cloid::parse(&format!("0x{:032x}", 2)).unwrap()), order: order("28", 7) };
    let replaced = bench.account.modify(vec![modified, by_name]).await.unwrap();
    assert!(replaced.iter().all(|status| matches!(status, ItemStatus::Resting { .. })), "{replaced:?}");
    let canceled = bench.account.cancel_by_oid(vec![CancelByOid { asset, oid: number(&replaced[0]) }]).await.unwrap();
    assert_eq!(canceled, [ItemStatus::Success]);
    let cloid = Cloid::parse(&format!("0x{:032x}", 7)).unwrap();
    let canceled = bench.account.cancel_by_cloid(vec![CancelByCloid { asset, cloid: cloid.clone() }]).await.unwrap();
    assert_eq!(canceled, [ItemStatus::Success]);
    let again = bench.account.cancel_by_cloid(vec![CancelByCloid { asset, cloid }]).await.unwrap();
    assert!(matches!(&again[..], [ItemStatus::Error(words)] if words.starts_with("Order was never placed")), "{again:?}");
}

#[tokio::test]
async fn stops_live_at_the_venue() {
    let world = World::start();
    let bench = Bench::open(&world).await;
    let asset = bench.hyperliquid.listing(&parse("HYPE")).unwrap().asset;
    let trigger = |price: &str, worst: &str, size: &str, tpsl| Order::trigger(asset, false, size, price, worst, tpsl);
    let entry = Order { asset, kind: OrderKind::Limit { tif: Tif::Ioc }, ..entry("40", 1) };
    let exits = vec![trigger("45", "43", "1", Tpsl::Tp), trigger("36", "34", "1", Tpsl::Sl)];
    let placed = bench.account.place_bracket(entry, exits).await.unwrap();
    assert!(matches!(placed[0], ItemStatus::Filled { .. }) && placed.len() == 3, "{placed:?}");
    world.price("HYPE", "35.5");
    let purpose = rest::Purpose::read(Operation::Examine);
    let user = bench.account.user();
    let mut flat = false;
    for _ in 0..50 {
        flat = bench.hyperliquid.client().clearinghouse(user, purpose).await.unwrap().asset_positions.is_empty();
        if flat {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(flat, "the stop has sold; its sibling is gone with it");
    let alone = bench.account.place_batch(vec![trigger("30", "28", "1", Tpsl::Sl)]).await.unwrap();
    assert_eq!(alone.len(), 1);
    let positional = bench.account.place_position_exits(vec![trigger("30", "28", "0", Tpsl::Sl)]).await.unwrap();
    assert_eq!(positional.len(), 1);
}

#[tokio::test]
async fn margin_leverage_and_agents_are_set() {
    let world = World::start();
    let bench = Bench::open(&world).await;
    let asset = bench.hyperliquid.listing(&parse("HYPE")).unwrap().asset;
    bench.account.update_leverage(asset, false, 3).await.unwrap();
    let bought = bench.account.place_batch(vec![Order { asset, ..entry("40", 1) }]).await.unwrap();
    assert!(matches!(bought[..], [ItemStatus::Filled { .. }]));
    bench.account.update_isolated_margin(asset, 1_000_000).await.unwrap();
    // Too little has been traded for it: the venue says so.
    let refused = bench.account.schedule_cancel(Some(u64::MAX / 2)).await.unwrap_err();
    assert!(refused.message.contains("scheduled cancel"), "{refused}");

    let key = Secret::new("22".repeat(32));
    let agent: Address = SigningKey::from_secret(&key).unwrap().address();
    bench.account.approve_agent(agent, "second").await.unwrap();
    let login = Login { private_key: key, address: Some(bench.account.user()), ..world.login(Market::Perp) };
    let second = bench.hyperliquid.trader(login).unwrap();
    let placed = second.place_batch(vec![Order { asset, ..entry("30", 9) }]).await.unwrap();
    assert!(matches!(placed[..], [ItemStatus::Resting { .. }]), "{placed:?}");
    let error = second.approve_agent(agent, "third").await.unwrap_err();
    assert_eq!((error.kind, error.effect), (ErrorKind::Unauthorized, Effect::NotSent));
}

#[tokio::test]
async fn the_last_actions_of_an_account_are_for_exits() {
    let world = World::with(|config| config.limits.address_actions = 50);
    let mut bench = Bench::open(&world).await;
    assert!(bench.try_order(json!({})).await.is_none());
    let entry = OrderRequest {
        account: parse("main"),
        symbol: parse("HYPE"),
        market: Market::Perp,
        side: Side::Buy,
        quantity: parse("1"),
        order: OrderType::Market,
        worst_price: parse("39"),
        leverage: parse("1"),
        purpose: Purpose::Entry,
        reduce_only: false,
        trigger: None,
        attached: Vec::new(),
    };
    let error = bench.account.ready(&entry).await.unwrap_err();
    assert_eq!((error.kind, error.effect, error.code.as_deref()), (ErrorKind::RateLimited, Effect::NotSent, Some("action_budget")));
    let exit = OrderRequest { purpose: Purpose::Close, side: Side::Sell, reduce_only: true, ..entry };
    bench.account.ready(&exit).await.unwrap();
}
