//! Placing, asking, canceling, snapshots.

use omnivenue_core::model::instrument::Market;
use omnivenue_core::model::order::OrderStatus;
use omnivenue_core::venue::{Account, Effect, ErrorKind, Venue};
use serde_json::json;

use crate::bench::{Bench, World, parse, present, resting};

#[tokio::test]
async fn a_market_order_fills_and_is_found_with_its_trades() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let order = bench.order(json!({"leverage": "3"})).await;
    assert!(!order.wire().contains("\"r\":\"0x") && !order.wire().contains("signature"), "{}", order.wire());
    let report = bench.place(&order).await.unwrap();
    assert_eq!((report.status, report.filled_quantity), (OrderStatus::Filled, parse("1")));
    let found = present(bench.probe(&order, false).await);
    assert_eq!((found.status, found.filled_quantity, found.fills.len()), (OrderStatus::Filled, parse("1"), 1));
    assert_eq!(found.venue_order_id, report.venue_order_id);
    assert_eq!(found.fills[0].client_order_id.as_ref(), Some(order.client_order_id()));
    assert!(!found.fills[0].fee.amount.is_zero());
    let purpose = omnivenue_hyperliquid::rest::Purpose::read(omnivenue_core::venue::Operation::Examine);
    let state = bench.hyperliquid.client().clearinghouse(bench.account.user(), purpose).await.unwrap();
    assert_eq!(state.asset_positions[0].position.leverage.value, 3, "it was set before the order");

    let snapshot = bench.account.snapshot(None).await.unwrap();
    assert_eq!(snapshot.positions[0].quantity, parse("1"));
    assert_eq!(snapshot.fills, found.fills);
    assert_eq!(snapshot.orders[0].client_order_id, *order.client_order_id());
    let truth = world.truth(&world.main.address);
    // The venue tells millionths.
    let settled = truth["balances"]["perp"]["USDC"].as_str().unwrap();
    assert!(settled.starts_with(&snapshot.balances[0].total.to_string()), "{settled} {}", snapshot.balances[0].total);
}

#[tokio::test]
async fn an_order_rests_until_it_is_canceled_and_a_second_cancel_tells_how_it_stands() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let order = bench.order(resting()).await;
    let report = bench.place(&order).await.unwrap();
    assert_eq!(report.status, OrderStatus::Open);
    assert_eq!(present(bench.probe(&order, true).await).status, OrderStatus::Open);
    let snapshot = bench.account.snapshot(None).await.unwrap();
    assert_eq!(snapshot.orders.iter().map(|order| order.status).collect::<Vec<_>>(), [OrderStatus::Open]);
    for _ in 0..2 {
        let canceled = bench.account.cancel(&parse("HYPE"), order.client_order_id()).await.unwrap();
        assert_eq!((canceled.status, canceled.filled_quantity), (OrderStatus::Canceled, parse("0")));
    }
    let snapshot = bench.account.snapshot(Some(canceled_before(&report))).await.unwrap();
    assert_eq!(snapshot.orders[0].status, OrderStatus::Canceled);
    let unknown = bench.account.cancel(&parse("HYPE"), &parse("00000000000000000000000000000009")).await.unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::NotFound);
}

fn canceled_before(report: &omnivenue_core::model::order::OrderReport) -> omnivenue_core::model::time::Timestamp {
    omnivenue_core::model::time::Timestamp::from_millis(report.at.as_millis() - 60_000)
}

#[tokio::test]
async fn what_cannot_match_at_once_ends_and_is_not_believed_to_rest() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let order = bench.order(json!({"order": {"type": "limit", "price": "30", "time_in_force": "ioc"}})).await;
    let report = bench.place(&order).await.unwrap();
    assert_eq!((report.status, report.filled_quantity), (OrderStatus::Expired, parse("0")));
    assert_eq!(present(bench.probe(&order, false).await).status, OrderStatus::Expired);
}

#[tokio::test]
async fn a_part_that_fills_at_once_is_all_there_is() {
    let world = World::with(|config| config.depth = Some(parse("380")));
    let mut bench = Bench::open(&world).await;
    let order = bench.order(json!({"sizing": {"quantity": "15"}, "slippage": "0.001"})).await;
    let report = bench.place(&order).await.unwrap();
    assert!(report.status.is_final() && report.status != OrderStatus::Filled, "{report:?}");
    let found = present(bench.settle(&order).await);
    assert!(found.status.is_final() && found.filled_quantity == report.filled_quantity, "{found:?}");
    assert!(found.filled_quantity < parse("15") && !found.filled_quantity.is_zero());
}

#[tokio::test]
async fn refusals_are_the_venues_own_words_and_final() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let post_only = json!({"order": {"type": "limit", "price": "39", "time_in_force": "gtc", "post_only": true}});
    let order = bench.order(post_only).await;
    let error = bench.place(&order).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_deref()), (Effect::Refused, Some("post_only_would_match")));
    assert!(error.message.starts_with("Post only order would have immediately matched"), "{error}");
    let whole = json!({"order": {"type": "limit", "price": "38", "time_in_force": "fok"}});
    assert!(bench.try_order(whole).await.is_none());
    assert!(bench.story().contains("no fill-or-kill"), "{}", bench.story());
}

#[tokio::test]
async fn spot_is_holdings_and_has_no_leverage() {
    let world = World::start();
    let mut bench = Bench::with(&world, world.login(Market::Spot)).await;
    let before = bench.account.snapshot(None).await.unwrap();
    let held = |snapshot: &omnivenue_core::venue::AccountSnapshot| {
        snapshot.positions.iter().find(|held| held.symbol == parse("@107")).unwrap().quantity
    };
    let order = bench.order(json!({})).await;
    assert_eq!(bench.place(&order).await.unwrap().status, OrderStatus::Filled);
    let after = bench.account.snapshot(None).await.unwrap();
    assert!(held(&after) > held(&before) && after.balances[0].total < before.balances[0].total, "{after:?}");
    assert_eq!(after.fills[0].symbol, parse("@107"));
    let perps = bench.hyperliquid.trader(world.login(Market::Perp)).unwrap().snapshot(None).await.unwrap();
    assert!(perps.orders.is_empty() && perps.fills.is_empty(), "each market is told of its own");
}

#[tokio::test]
async fn instruments_and_quotes_come_for_both_markets() {
    let world = World::start();
    let bench = Bench::open(&world).await;
    let instruments = bench.hyperliquid.instruments().await.unwrap();
    for (symbol, market) in [("HYPE", Market::Perp), ("@107", Market::Spot)] {
        let found = instruments.iter().find(|instrument| instrument.symbol == parse(symbol)).unwrap();
        assert_eq!((found.market, found.base.as_str(), found.quote.as_str()), (market, "HYPE", "USDC"));
    }
    let quotes = bench.hyperliquid.quotes().await.unwrap();
    assert_eq!(quotes.len(), instruments.len());
    let hype = quotes.iter().find(|quote| quote.symbol == parse("HYPE")).unwrap();
    assert!(hype.bid <= hype.ask && hype.bid > parse("37") && hype.ask < parse("39"), "{hype:?}");
    let book = bench.hyperliquid.book(&parse("HYPE")).await.unwrap();
    assert!(!book.levels[0].is_empty() && book.coin == "HYPE");
    let contexts = bench.hyperliquid.contexts().await.unwrap();
    assert!(contexts["HYPE"].mark_px.is_some() && contexts["HYPE"].funding.is_some());
    let hour = omnivenue_core::model::time::Timestamp::from_millis(hype.at.as_millis() - 3_600_000);
    assert!(!bench.hyperliquid.candles(&parse("HYPE"), "1m", hour, hype.at).await.unwrap().is_empty());
    bench.hyperliquid.funding(&parse("HYPE"), hour).await.unwrap();
}
