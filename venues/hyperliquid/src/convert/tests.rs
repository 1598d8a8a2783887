use std::fs;

use omnivenue_core::model::exit::{ExitKind, Trigger};
use omnivenue_core::model::order::{AttachedExit, OrderRequest, Purpose};
use omnivenue_core::model::signal::{OrderType, TimeInForce};
use omnivenue_core::venue::Ticket;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::action::{self, OrderKind, Tif};

fn listing(market: Market, symbol: &str, sz_decimals: u32) -> Listing {
    let names = Names { symbol, base: "HYPE", quote: "USDC" };
    let instrument = instrument(&"hyperliquid".parse().unwrap(), market, &names, sz_decimals, 10).unwrap();
    Listing { instrument, asset: 159, only_isolated: false, base_token: None }
}

fn request() -> OrderRequest {
    OrderRequest {
        account: "a".parse().unwrap(),
        symbol: "HYPE".parse().unwrap(),
        market: Market::Perp,
        side: Side::Buy,
        quantity: "1.5".parse().unwrap(),
        order: OrderType::Market,
        worst_price: "40.0349".parse().unwrap(),
        leverage: "2".parse().unwrap(),
        purpose: Purpose::Entry,
        reduce_only: false,
        trigger: None,
        attached: Vec::new(),
    }
}

fn ticket() -> Ticket {
    Ticket { client_order_id: "00000000000000000000000000000001".parse().unwrap(), nonce: None, now: Timestamp::EPOCH }
}

fn limit(price: &str, time_in_force: TimeInForce, post_only: bool) -> OrderType {
    OrderType::Limit { price: price.parse().unwrap(), time_in_force, post_only }
}

fn made(request: &OrderRequest) -> Result<action::Order, OrderError> {
    order(request, &ticket(), &listing(request.market, request.symbol.as_str(), 2))
}

#[derive(Deserialize)]
struct Tables {
    float_to_wire: Vec<Spelled>,
    price_rounding: Vec<Rounded>,
}

#[derive(Deserialize)]
struct Spelled {
    value: Box<serde_json::value::RawValue>,
    wire: String,
}

#[derive(Deserialize)]
struct Rounded {
    coin: String,
    sz_decimals: u32,
    price_in: String,
    ccxt_price: String,
    sdk_slippage_price_zero_slippage: String,
}

fn tables() -> Tables {
    serde_json::from_str(&fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/vectors.json")).unwrap()).unwrap()
}

#[test]
fn numbers_are_spelled_as_the_venues_own_client_spells_them() {
    let table = tables().float_to_wire;
    assert_eq!(table.len(), 8);
    for Spelled { value, wire } in table {
        let exact: omnivenue_kit::number::Exact = serde_json::from_str(value.get()).unwrap();
        assert_eq!(wire_number(exact.decimal()), Some(wire));
    }
    assert_eq!(wire_number("-0".parse().unwrap()).unwrap(), "0");
    assert_eq!(wire_number("0.123456789".parse().unwrap()), None);
}

/// Both clients round to the nearest valid price; ours goes to a side. So theirs is always one of our two.
#[test]
fn prices_are_rounded_to_neighbours_of_what_other_clients_send() {
    let table = tables().price_rounding;
    assert_eq!(table.len(), 35);
    for row in table {
        let given: Price = row.price_in.parse().unwrap();
        let down = round_price(Market::Perp, row.sz_decimals, given, Rounding::Down);
        let up = round_price(Market::Perp, row.sz_decimals, given, Rounding::Up).unwrap();
        let down_text = down.map_or("0".to_owned(), |down| down.to_string());
        assert!(
            [&down_text, &up.to_string()].contains(&&row.ccxt_price),
            "{} {}: {down_text} {up}, ccxt {}",
            row.coin,
            row.price_in,
            row.ccxt_price
        );
        // The SDK's %.5g gives 123460, one of several valid integers near it: it must be valid for us too.
        if let Ok(sdk) = row.sdk_slippage_price_zero_slippage.parse::<Price>() {
            assert!(price_rule(Market::Perp, row.sz_decimals).allows(sdk), "{sdk}");
        }
    }
}

/// The examples of "Tick and lot size".
#[test]
fn prices_are_valid_where_the_venue_says_so() {
    let check = |market, sz_decimals, price: &str, valid: bool| {
        assert_eq!(price_rule(market, sz_decimals).allows(price.parse().unwrap()), valid, "{price}");
    };
    check(Market::Perp, 0, "1234.5", true);
    check(Market::Perp, 0, "1234.56", false);
    check(Market::Perp, 0, "0.001234", true);
    check(Market::Perp, 0, "0.0012345", false);
    check(Market::Perp, 0, "123456", true);
    check(Market::Perp, 1, "0.01234", true);
    check(Market::Perp, 1, "0.012345", false);
    check(Market::Spot, 2, "0.000123", true);
    check(Market::Spot, 2, "0.0001234", false);
}

#[test]
fn a_market_order_is_immediate_or_cancel_at_the_worst_price() {
    let order = made(&request()).unwrap();
    assert_eq!(
        serde_json::to_string(&order).unwrap(),
        r#"{"a":159,"b":true,"p":"40.034","s":"1.5","r":false,"t":{"limit":{"tif":"Ioc"}},"c":"0x00000000000000000000000000000001"}"#
    );
    let sell = made(&OrderRequest { side: Side::Sell, ..request() }).unwrap();
    assert_eq!((sell.price.as_str(), sell.is_buy), ("40.035", false));
}

#[test]
fn limits_keep_their_price_within_the_worst() {
    let tif = |order: OrderType| made(&OrderRequest { order, ..request() }).map(|order| (order.price, order.kind));
    let rests = |tif| OrderKind::Limit { tif };
    assert_eq!(tif(limit("38.1", TimeInForce::Gtc, false)), Ok(("38.1".into(), rests(Tif::Gtc))));
    assert_eq!(tif(limit("38.1", TimeInForce::Gtc, true)), Ok(("38.1".into(), rests(Tif::Alo))));
    assert_eq!(tif(limit("38.1", TimeInForce::Ioc, false)), Ok(("38.1".into(), rests(Tif::Ioc))));
    assert_eq!(tif(limit("50", TimeInForce::Ioc, false)), Ok(("40.034".into(), rests(Tif::Ioc))));
    assert!(matches!(tif(limit("38.1", TimeInForce::Fok, false)), Err(OrderError::Unsupported(_))));
    assert!(matches!(tif(limit("38.1", TimeInForce::Ioc, true)), Err(OrderError::Unsupported(_))));
}

#[test]
fn what_the_venue_does_not_have_is_refused() {
    let spot = OrderRequest { symbol: "@107".parse().unwrap(), market: Market::Spot, reduce_only: true, ..request() };
    assert!(matches!(made(&spot), Err(OrderError::Unsupported(_))));
    assert!(made(&OrderRequest { reduce_only: false, ..spot }).is_ok());
    assert!(made(&OrderRequest { reduce_only: true, ..request() }).unwrap().reduce_only);
    assert!(matches!(made(&OrderRequest { quantity: "1.505".parse().unwrap(), ..request() }), Err(OrderError::Invalid(_))));
    assert!(matches!(made(&OrderRequest { worst_price: "0.00001".parse().unwrap(), ..request() }), Err(OrderError::Invalid(_))));
    assert_eq!(whole_leverage("5".parse().unwrap()), Ok(5));
    assert!(whole_leverage("2.5".parse().unwrap()).is_err());
}

fn stop() -> OrderRequest {
    let trigger = Some(Trigger { kind: ExitKind::StopLoss, price: "36".parse().unwrap() });
    let (side, worst_price) = (Side::Sell, "34.2".parse().unwrap());
    OrderRequest { side, worst_price, purpose: Purpose::Protect, reduce_only: true, trigger, ..request() }
}

fn exit(kind: ExitKind, price: &str, worst: &str) -> AttachedExit {
    let client_order_id = if kind == ExitKind::StopLoss { "5" } else { "7" }.repeat(32).parse().unwrap();
    AttachedExit { client_order_id, trigger: Trigger { kind, price: price.parse().unwrap() }, worst_price: worst.parse().unwrap() }
}

#[test]
fn a_stop_waits_for_its_trigger_and_reduces_at_the_market() {
    let json = |request: &OrderRequest| serde_json::to_string(&made(request).unwrap()).unwrap();
    let expected = r#"{"a":159,"b":false,"p":"34.2","s":"1.5","r":true,"t":{"trigger":{"isMarket":true,"triggerPx":"36","tpsl":"sl"}},"c":"0x00000000000000000000000000000001"}"#;
    assert_eq!(json(&stop()), expected);
    let profit = Some(Trigger { kind: ExitKind::TakeProfit, price: "36".parse().unwrap() });
    let short = OrderRequest { side: Side::Buy, trigger: profit, worst_price: "37.8".parse().unwrap(), ..stop() };
    assert!(json(&short).contains(r#""b":true,"p":"37.8""#) && json(&short).contains(r#""tpsl":"tp""#));
}

#[test]
fn triggers_are_checked_and_never_rounded() {
    let refused = |request: OrderRequest| matches!(made(&request), Err(OrderError::Invalid(_)));
    let trigger = |price: &str| Some(Trigger { kind: ExitKind::StopLoss, price: price.parse().unwrap() });
    let price = |text: &str| text.parse().unwrap();
    assert!(refused(OrderRequest { trigger: trigger("36.0001"), ..stop() }), "six figures");
    assert!(refused(OrderRequest { worst_price: price("34.20001"), ..stop() }));
    assert!(refused(OrderRequest { quantity: "1.505".parse().unwrap(), ..stop() }));
    // Such a stop would wake and sell nothing.
    assert!(refused(OrderRequest { worst_price: price("36.001"), ..stop() }));
    assert!(refused(OrderRequest { side: Side::Buy, worst_price: price("35.999"), ..stop() }));
    assert!(made(&OrderRequest { worst_price: price("36"), ..stop() }).is_ok());
    let unsupported = |request: OrderRequest| matches!(made(&request), Err(OrderError::Unsupported(_)));
    assert!(unsupported(OrderRequest { symbol: "@107".parse().unwrap(), market: Market::Spot, ..stop() }));
    assert!(unsupported(OrderRequest { reduce_only: false, ..stop() }), "it could open a position");
    assert!(unsupported(OrderRequest { order: limit("36", TimeInForce::Gtc, false), ..stop() }));
}

#[test]
fn exits_travel_with_their_entry_under_their_own_names() {
    let action = |request: &OrderRequest| super::action(request, &ticket(), &listing(request.market, request.symbol.as_str(), 2));
    let both = vec![exit(ExitKind::TakeProfit, "42", "40"), exit(ExitKind::StopLoss, "36", "34.2")];
    let entry = OrderRequest { attached: both.clone(), ..request() };
    let json = action(&entry).unwrap().to_json();
    let child = |kind: &str, price: &str, at: &str, name: &str| {
        format!(
            r#"{{"a":159,"b":false,"p":"{price}","s":"1.5","r":true,"t":{{"trigger":{{"isMarket":true,"triggerPx":"{at}","tpsl":"{kind}"}}}},"c":"0x{}"}}"#,
            name.repeat(32)
        )
    };
    let first = serde_json::to_string(&made(&request()).unwrap()).unwrap();
    let (profit, stop_loss) = (child("tp", "40", "42", "7"), child("sl", "34.2", "36", "5"));
    assert_eq!(json, format!(r#"{{"type":"order","orders":[{first},{profit},{stop_loss}],"grouping":"normalTpsl"}}"#));

    let refused = |request: OrderRequest, unsupported: bool| match action(&request) {
        Err(OrderError::Unsupported(_)) => assert!(unsupported),
        Err(OrderError::Invalid(_)) => assert!(!unsupported),
        Ok(action) => panic!("{action:?}"),
    };
    refused(OrderRequest { symbol: "@107".parse().unwrap(), market: Market::Spot, ..entry.clone() }, true);
    refused(OrderRequest { reduce_only: true, ..entry.clone() }, true);
    refused(OrderRequest { attached: both.clone(), ..stop() }, true);
    refused(OrderRequest { attached: vec![both[0].clone(), both[0].clone()], ..request() }, false);
    let own_name = AttachedExit { client_order_id: ticket().client_order_id, ..both[0].clone() };
    refused(OrderRequest { attached: vec![own_name], ..request() }, false);
    let unnamed = AttachedExit { client_order_id: "oid:7".parse().unwrap(), ..both[0].clone() };
    refused(OrderRequest { attached: vec![unnamed], ..request() }, false);
    refused(OrderRequest { attached: vec![exit(ExitKind::StopLoss, "36.0001", "34")], ..request() }, false);
}

#[test]
fn every_shape_of_instrument_is_kept_exactly() {
    for sz_decimals in 0..=6 {
        listing(Market::Perp, "HYPE", sz_decimals);
        listing(Market::Spot, "@107", sz_decimals);
    }
    let btc = listing(Market::Perp, "BTC", 5).instrument;
    assert!(btc.max_price > "5000000".parse().unwrap());
    let meme = listing(Market::Perp, "kPEPE", 0).instrument;
    assert!(meme.max_quantity > "5000000000".parse().unwrap());
}

#[test]
fn instruments_come_from_the_venues_own_lists() {
    let meta: wire::Meta = serde_json::from_str(include_str!("../../fixtures/info_meta.json")).unwrap();
    let spot: wire::SpotMeta = serde_json::from_str(include_str!("../../fixtures/info_spot_meta.json")).unwrap();
    let all = listings(&"hyperliquid".parse().unwrap(), &meta, &spot);
    let shown: Vec<String> = all
        .iter()
        .map(|listing| match listing {
            Ok(listing) => {
                let i = &listing.instrument;
                format!("{} {} {} {}/{} {}", listing.asset, i.symbol, i.market, i.base, i.quote, i.lot_size)
            }
            Err(error) => format!("left out: {error}").chars().take(40).collect(),
        })
        .collect();
    let expected = [
        "0 BTC perp BTC/USDC 0.00001",
        "1 ETH perp ETH/USDC 0.0001",
        "3 kPEPE perp kPEPE/USDC 1",
        "left out: the venue's coin is `BAD NAME`",
        "10000 PURR/USDC spot PURR/USDC 1",
        "10107 @107 spot HYPE/USDC 0.01",
        "left out: the venue's spot pair is `@200",
    ];
    assert_eq!(shown, expected, "MATIC is delisted: its number stays taken");
}

fn state(status: &str, orig: &str, left: &str, tif: &str) -> wire::OrderState {
    let order = format!(
        r#"{{"coin":"HYPE","side":"B","limitPx":"40","sz":"{left}","oid":7,"timestamp":1,"origSz":"{orig}","tif":"{tif}","cloid":null}}"#
    );
    serde_json::from_str(&format!(r#"{{"order":{order},"status":"{status}","statusTimestamp":5}}"#)).unwrap()
}

fn trade(tid: u64, size: &str) -> FillReport {
    let json =
        format!(r#"{{"coin":"HYPE","px":"40","sz":"{size}","side":"B","time":9,"oid":7,"tid":{tid},"fee":"0.01","feeToken":"USDC"}}"#);
    fill(&serde_json::from_str(&json).unwrap(), None).unwrap()
}

#[test]
fn totals_and_status_agree_with_the_trades() {
    let check = |status: &str, left: &str, tif: &str, trades: &[&str], settled: bool, expected: (OrderStatus, &str)| {
        let fills = (1..).zip(trades).map(|(tid, size)| trade(tid, size)).collect();
        let report = report(&state(status, "10", left, tif), fills, settled).unwrap();
        assert_eq!((report.status, report.filled_quantity.to_string().as_str()), expected, "{status} {left} {tif} {trades:?}");
    };
    use OrderStatus::{Canceled, Expired, Filled, Open};
    check("open", "10", "Gtc", &[], true, (Open, "0"));
    // What is left is not kept up to date.
    check("open", "10", "Gtc", &["4"], true, (Open, "4"));
    check("open", "6", "Gtc", &[], true, (Open, "4"));
    check("open", "10", "Gtc", &["4", "6"], true, (Filled, "10"));
    check("filled", "0.0", "Gtc", &[], true, (Filled, "10"));
    check("filled", "10", "Gtc", &["10"], true, (Filled, "10"));
    // Its trades may not be listed yet, or its rest is gone.
    check("filled", "0.0", "Ioc", &["4"], false, (Open, "4"));
    check("filled", "0.0", "Ioc", &["4"], true, (Expired, "4"));
    check("filled", "0.0", "Ioc", &["4", "6"], false, (Filled, "10"));
    check("filled", "0.0", "Ioc", &[], true, (Open, "0"));
    check("canceled", "6", "Gtc", &[], true, (Canceled, "4"));
    check("canceled", "0.0", "Gtc", &["4"], true, (Canceled, "4"));
    check("marginCanceled", "10", "Gtc", &[], true, (Canceled, "0"));
    check("iocCancelRejected", "10", "Ioc", &[], true, (Expired, "0"));
    check("perpMarginRejected", "10", "Ioc", &[], true, (Canceled, "0"));
    check("scheduledCancel", "10", "Gtc", &[], true, (Canceled, "0"));
    check("somethingNew", "10", "Gtc", &[], true, (Open, "0"));
}

#[test]
fn what_becomes_of_a_trigger_is_told_by_its_word_and_its_trades() {
    let check = |status: &str, left: &str, trades: &[&str], settled: bool, expected: (OrderStatus, &str)| {
        let mut state = state(status, "10", left, "");
        (state.order.tif, state.order.is_trigger, state.order.reduce_only) = (None, true, true);
        let fills = (1..).zip(trades).map(|(tid, size)| trade(tid, size)).collect();
        let report = report(&state, fills, settled).unwrap();
        assert_eq!((report.status, report.filled_quantity.to_string().as_str()), expected, "{status} {left} {trades:?}");
    };
    use OrderStatus::{Canceled, Filled, Open};
    check("open", "10", &[], true, (Open, "0"));
    check("triggered", "10", &[], true, (Open, "0"));
    check("triggered", "10", &["4"], true, (Open, "4"));
    check("filled", "0.0", &["4", "6"], false, (Filled, "10"));
    // Less was held than it would close; its other trades may not be listed yet.
    check("filled", "0.0", &["4"], false, (Open, "4"));
    check("filled", "0.0", &["4"], true, (Canceled, "4"));
    check("canceled", "6", &["4"], true, (Canceled, "4"));
    for word in ["siblingFilledCanceled", "reduceOnlyCanceled", "badTriggerPxRejected", "reduceOnlyRejected", "scheduledCancel"] {
        check(word, "10", &[], true, (Canceled, "0"));
    }
}

#[test]
fn names_of_orders_are_ours_or_the_venues_number() {
    assert_eq!(client_order_id(None, 7).as_str(), "oid:7");
    let cloid = Cloid::parse("0x00000000000000000000000000000001").unwrap();
    assert_eq!(client_order_id(Some(&cloid), 7).as_str(), "00000000000000000000000000000001");
}

#[test]
fn a_balance_is_what_is_settled() {
    let state: wire::ClearinghouseState = serde_json::from_str(include_str!("../../fixtures/info_clearinghouse_state.json")).unwrap();
    assert_eq!(settled_balance(&state).unwrap().to_string(), "1004.5");
}

#[test]
fn what_is_no_number_is_an_error() {
    for text in ["", "NaN", "1e5", "-1", "0x1"] {
        assert!(quantity(text).is_err(), "{text}");
    }
    assert!(report(&state("open", "ten", "1", "Gtc"), Vec::new(), true).is_err());
}

proptest! {
    #[test]
    fn wire_numbers_are_canonical_and_round_trip(mantissa in any::<i64>(), scale in 0_u32..12) {
        let number = Decimal::new(mantissa, scale);
        match wire_number(number) {
            None => prop_assert!(number.normalize().scale() > 8),
            Some(text) => {
                prop_assert!(!text.contains(['e', 'E', '+']) && text != "-0");
                let decimals = text.split_once('.').map_or("", |(_, decimals)| decimals);
                prop_assert!(decimals.len() <= 8 && !decimals.ends_with('0'));
                prop_assert_eq!(text.parse::<Decimal>().unwrap(), number);
            }
        }
    }

    #[test]
    fn rounding_never_enlarges_risk(mantissa in 1_i64..10_000_000_000, scale in 0_u32..8, worse in 0_i64..1000, sz_decimals in 0_u32..6, buys in any::<bool>(), lots in 1_i64..1_000_000) {
        let side = if buys { Side::Buy } else { Side::Sell };
        let price = Price::new(Decimal::new(mantissa, scale)).unwrap();
        let limit_price = Price::new(Decimal::new(mantissa + worse, scale)).unwrap();
        let quantity = Quantity::new(Decimal::new(lots, sz_decimals)).unwrap();
        let order_type = OrderType::Limit { price: limit_price, time_in_force: TimeInForce::Gtc, post_only: false };
        let asked = OrderRequest { side, worst_price: price, quantity, order: order_type, ..request() };
        let listing = listing(Market::Perp, "HYPE", sz_decimals);
        if let Ok(order) = order(&asked, &ticket(), &listing) {
            let sent: Price = order.price.parse().unwrap();
            prop_assert!(listing.instrument.price_rule.allows(sent));
            let inside = if buys { sent <= price && sent <= limit_price } else { sent >= price && sent >= limit_price };
            prop_assert!(inside, "{} for {} and {}", sent, price, limit_price);
            prop_assert_eq!(order.size.parse::<Quantity>().unwrap(), quantity);
        }
    }

    #[test]
    fn no_report_claims_less_than_its_trades(orig in 1_u32..1000, left in 0_u32..1000, parts in proptest::collection::vec(1_u32..200, 0..6), word in "filled|open|canceled|iocCancelRejected|odd", settled in any::<bool>()) {
        let fills: Vec<FillReport> = (1..).zip(&parts).map(|(tid, size)| trade(tid, &size.to_string())).collect();
        let traded = total(&fills).unwrap();
        let report = report(&state(&word, &orig.to_string(), &left.min(orig).to_string(), "Ioc"), fills, settled).unwrap();
        prop_assert!(report.filled_quantity >= traded);
        prop_assert!(word != "filled" || report.filled_quantity == traded, "a total that is too high is never taken back");
        prop_assert!(report.status != OrderStatus::Filled || report.filled_quantity.decimal() >= Decimal::from(orig));
    }
}
