//! Contracts that are settled in coins, at an expiry or in sessions, and funding: the books are the exchange's, which has an arithmetic of its
//! own, to the last digit.

mod desk;

use std::collections::BTreeMap;
use std::time::Duration;

use omnivenue_core::executor::{DriftPolicy, Limits};
use omnivenue_core::journal::AdjustmentKind;
use omnivenue_core::ledger::{CapitalKey, Position, PositionKey};
use omnivenue_core::model::close::{CloseRequest, CloseTarget};
use omnivenue_core::model::hours::{Session, TradingHours, Weekday};
use omnivenue_core::model::ids::AccountId;
use omnivenue_core::model::instrument::{InstrumentSpec, Market, Side};
use omnivenue_core::model::movement::FillCause;
use omnivenue_core::model::number::Amount;
use omnivenue_core::model::signal::Signal;
use omnivenue_paper::{Config, Funding, PriceSource};
use proptest::prelude::*;

use desk::{Desk, name};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// When the desk begins, a Thursday.
const BEGIN: &str = "2026-01-01T00:00:00Z";

fn live() -> PriceSource {
    PriceSource::Live { holds_for: Duration::from_secs(30 * 86_400) }
}

/// XBTUSD and ETHUSD in bitcoin, HYPE in dollars, and futures of both: in bitcoin at 06:00 and a day later, in dollars at 06:00.
fn coins() -> Config {
    let mut config = Config::coin_like();
    let inverse = config.instruments[0].clone();
    let hype = desk::config(None).instruments.into_iter().find(|spec| spec.symbol.as_str() == "HYPE").expect("it is there");
    let dated = |spec: &InstrumentSpec, symbol: &str, expiry: &str| InstrumentSpec {
        symbol: name(symbol),
        market: Market::Future,
        expiry: Some(name(expiry)),
        ..spec.clone()
    };
    config.instruments.extend([
        dated(&inverse, "XBT1", "2026-01-01T06:00:00Z"),
        dated(&inverse, "XBT2", "2026-01-02T06:00:00Z"),
        dated(&hype, "HYPE1", "2026-01-01T06:00:00Z"),
        hype,
    ]);
    config.id = name("venue");
    config.instruments.iter_mut().for_each(|spec| spec.venue = config.id.clone());
    config.prices = config.instruments.iter().map(|spec| (spec.symbol.clone(), live())).collect();
    config.spread = name("0");
    config.slippage = name("0");
    config.latency = Default::default();
    let money = BTreeMap::from([(name("BTC"), name("20")), (name("USDC"), name("100000"))]);
    config.accounts = ["main", "other"].iter().map(|account| (name(account), money.clone())).collect();
    config
}

fn prices(desk: &mut Desk, bitcoin: &str, ether: &str, hype: &str) {
    for (symbol, price) in [("XBTUSD", bitcoin), ("XBT1", bitcoin), ("XBT2", bitcoin), ("ETHUSD", ether), ("HYPE", hype), ("HYPE1", hype)] {
        desk.price_of(symbol, price);
    }
    desk.quote();
}

fn desk_of(config: Config, drift: DriftPolicy) -> Desk {
    let mut desk = Desk::with(config, drift, |setup| {
        setup.rates = [("USDC", "1"), ("USD", "1"), ("BTC", "60000")].into_iter().map(|(asset, rate)| (name(asset), name(rate))).collect();
    });
    prices(&mut desk, "60000", "3000", "38");
    desk
}

fn only_main(config: Config) -> Config {
    let mut config = config;
    config.accounts.remove(&name::<AccountId>("other"));
    config
}

fn send(desk: &mut Desk, id: &str, agent: &str, more: &str) {
    let text = format!(r#"{{"id":"{id}","agent":"{agent}",{more}}}"#);
    desk.execute(Signal::from_json(&text).expect("a valid signal"));
}

fn position<'a>(desk: &'a Desk, agent: &str, symbol: &str) -> &'a Position {
    let key = PositionKey { deployment: name(agent), account: name("main"), symbol: name(symbol) };
    desk.book().ledger().position(&key).expect("it is held")
}

fn capital(desk: &Desk, agent: &str, currency: &str) -> omnivenue_core::ledger::Capital {
    let key = CapitalKey { account: name("main"), deployment: Some(name(agent)), currency: name(currency) };
    desk.book().ledger().capital(&key)
}

#[test]
fn an_inverse_position_gains_and_loses_coins() {
    let mut desk = desk_of(only_main(coins()), DriftPolicy::HaltEntries);
    // 12,345 dollars are 123 lots; a tenth of a bitcoin is 60 more.
    send(&mut desk, "a", "one", r#""asset":"BTC","direction":"long","sizing":{"notional":"12345"},"leverage":"10""#);
    send(&mut desk, "b", "two", r#""asset":"BTC","direction":"long","sizing":{"quantity":"0.1"},"leverage":"10""#);
    assert_eq!((desk.outcomes("a"), desk.outcomes("b")), (vec!["filled:".to_owned()], vec!["filled:".to_owned()]));
    let one = position(&desk, "one", "XBTUSD");
    assert_eq!((one.quantity().to_string(), one.cost().to_string()), ("12300".into(), "-0.205".into()));
    assert_eq!(
        (one.entry_price().expect("it is held").to_string(), capital(&desk, "one", "BTC").committed.to_string()),
        ("60000".into(), "0.0205".into())
    );
    assert_eq!(
        position(&desk, "two", "XBTUSD").quantity().to_string(),
        "5900",
        "sized at the worst price, so that it is not more than a tenth"
    );
    desk.check();
    prices(&mut desk, "66666.5", "3000", "38");
    // 12300 × (1/60000 − 1/66666.5), each rounded to satoshi.
    assert_eq!(position(&desk, "one", "XBTUSD").unrealized(name("66666.5")).expect("it fits").to_string(), "0.02049954");
    desk.check();
    let half = CloseRequest {
        part: Some(serde_json::from_str(r#"{"fraction":"0.5"}"#).expect("a part")),
        ..CloseRequest::new(name("h"), CloseTarget::Agent(name("one")))
    };
    desk.close(half);
    desk.check();
    desk.close(CloseRequest::new(name("c"), CloseTarget::All));
    desk.check();
    let (one, two) = (capital(&desk, "one", "BTC"), capital(&desk, "two", "BTC"));
    assert_eq!((one.committed.to_string(), one.reserved.to_string()), ("0".into(), "0".into()));
    // Flat: what was gained is what the venue's balance says, whoever has it.
    let balance = desk.counter().server.truth().accounts[&name::<AccountId>("main")].balance(&name("BTC"));
    let ours = [one, two].iter().try_fold(name::<Amount>("20"), |sum, of| sum.plus(of.realized)?.minus(of.fees)).expect("it fits");
    assert_eq!(ours, balance);
    assert_eq!(desk.halt("main"), None);
}

#[test]
fn an_inverse_order_is_reserved_at_the_lowest_price_it_may_fill_at() {
    for direction in ["long", "short"] {
        let mut desk = desk_of(only_main(coins()), DriftPolicy::HaltEntries);
        desk.hold = true;
        let more = format!(r#""asset":"BTC","direction":"{direction}","sizing":{{"notional":"1000"}},"slippage":"0.01""#);
        send(&mut desk, "a", "one", &more);
        // At 59400 each of ten lots is worth up to 0.00168351 BTC, and costs a fee of up to 0.00000085.
        assert_eq!(capital(&desk, "one", "BTC").reserved.to_string(), "0.0168436", "{direction}");
    }
}

#[test]
fn a_quanto_position_is_margined_in_what_it_is_never_priced_in() {
    let mut desk = desk_of(only_main(coins()), DriftPolicy::HaltEntries);
    // 1,800 dollars are 0.03 BTC by the stated rate: ten contracts of 0.003 BTC, less for the price at worst.
    send(&mut desk, "a", "one", r#""asset":"ETH","direction":"short","sizing":{"notional":"1800"},"leverage":"5","slippage":"0""#);
    let held = position(&desk, "one", "ETHUSD");
    assert_eq!((held.quantity().to_string(), held.cost().to_string()), ("-10".into(), "-0.03".into()));
    assert_eq!(capital(&desk, "one", "BTC").committed.to_string(), "0.006");
    prices(&mut desk, "60000", "3100.05", "38");
    assert_eq!(position(&desk, "one", "ETHUSD").unrealized(name("3100.05")).expect("it fits").to_string(), "-0.0010005");
    desk.check();
    desk.close(CloseRequest::new(name("c"), CloseTarget::All));
    assert_eq!(capital(&desk, "one", "BTC").realized.to_string(), "-0.0010005");
    desk.check();
    desk.setup.rates.remove(&name("USD"));
    desk.restart();
    send(&mut desk, "b", "one", r#""asset":"ETH","direction":"short","sizing":{"notional":"1800"}"#);
    assert_eq!(desk.outcomes("b"), ["refused:no_rate"]);
    send(&mut desk, "c2", "one", r#""asset":"ETH","direction":"short","sizing":{"quantity":"7"}"#);
    assert_eq!(position(&desk, "one", "ETHUSD").quantity().to_string(), "-7", "a quantity is one of contracts");
}

#[test]
fn limits_count_contracts_in_their_own_currency() {
    let mut desk = desk_of(only_main(coins()), DriftPolicy::HaltEntries);
    desk.setup.limits = Limits { max_notional: Some(name("3000")), ..Limits::default() };
    desk.restart();
    prices(&mut desk, "60000", "3000", "38");
    send(&mut desk, "a", "one", r#""asset":"BTC","direction":"long","sizing":{"notional":"2900"},"slippage":"0.01""#);
    assert_eq!(desk.outcomes("a"), ["filled:"]);
    send(&mut desk, "b", "two", r#""asset":"ETH","direction":"long","sizing":{"quantity":"1"}"#);
    assert_eq!(desk.outcomes("b"), ["refused:max_notional"]);
    desk.close(CloseRequest::new(name("c"), CloseTarget::All));
    // At the lowest price it may be filled at it would be worth 3030 dollars of bitcoin.
    send(&mut desk, "d", "one", r#""asset":"BTC","direction":"long","sizing":{"notional":"3000"},"slippage":"0.01""#);
    assert_eq!(desk.outcomes("d"), ["refused:max_notional"]);
}

#[test]
fn shares_of_equity_and_of_risk_are_of_coins() {
    let mut desk = desk_of(only_main(coins()), DriftPolicy::HaltEntries);
    let check = |desk: &mut Desk, id: &str, asset: &str, more: &str, held: (&str, &str)| {
        let more = format!(r#""asset":"{asset}","direction":"long","slippage":"0",{more}"#);
        send(desk, id, "one", &more);
        assert_eq!(desk.outcomes(id), ["filled:"]);
        assert_eq!(position(desk, "one", held.0).quantity().to_string(), held.1, "{more}");
        desk.check();
        desk.close(CloseRequest::new(name(&format!("{id}-c")), CloseTarget::All));
    };
    // A tenth of 20 BTC at 3 times is 6 BTC: 3600 lots, less one, since each of so many trades could be rounded up.
    check(&mut desk, "a", "BTC", r#""sizing":{"equity_fraction":"0.1"},"leverage":"3""#, ("XBTUSD", "359900"));
    // 1 % of 19.99… BTC is lost between 60000 and 54000, with the fees of both trades: 0.00018697 a lot of 100 dollars.
    check(&mut desk, "b", "BTC", r#""sizing":{"risk_fraction":"0.01"},"exits":{"stop_loss":{"fraction":"0.1"}}"#, ("XBTUSD", "106900"));
    // And between 3000 and 2700: 0.00030286 a contract.
    check(&mut desk, "c", "ETH", r#""sizing":{"risk_fraction":"0.01"},"exits":{"stop_loss":{"fraction":"0.1"}}"#, ("ETHUSD", "660"));
}

#[test]
fn a_return_on_coins_triggers_where_the_coins_are_made() {
    let mut desk = desk_of(only_main(coins()), DriftPolicy::HaltEntries);
    let exits = r#""asset":"BTC","direction":"long","sizing":{"notional":"6000"},"leverage":"5","slippage":"0","exits":{"take_profit":{"roe":"1"},"stop_loss":{"roe":"0.5"}}"#;
    send(&mut desk, "a", "one", exits);
    // 5 × (1 − 60000/p): all of the margin at 75000, half of it lost at 54545.45.
    let (_, guard) = desk.book().guards().next().expect("it is guarded");
    use omnivenue_core::model::exit::ExitKind;
    assert_eq!(guard.trigger_price(ExitKind::TakeProfit).expect("it is asked for").to_string(), "75000");
    assert!(guard.trigger_price(ExitKind::StopLoss).expect("it is asked for").to_string().starts_with("54545.4545"));
    let margin = capital(&desk, "one", "BTC").committed;
    prices(&mut desk, "75000", "3000", "38");
    desk.pass(MINUTE);
    desk.reconcile();
    desk.check();
    assert_eq!((desk.book().ledger().positions().count(), capital(&desk, "one", "BTC").realized), (0, margin.amount()));
}

#[test]
fn a_dated_future_is_settled_at_its_expiry_and_not_entered_before() {
    let mut desk = desk_of(only_main(coins()), DriftPolicy::HaltEntries);
    for (id, agent, quantity) in [("a", "one", "0.1"), ("b", "two", "0.0333")] {
        send(
            &mut desk,
            id,
            agent,
            &format!(r#""asset":"BTC","market":"future","direction":"long","sizing":{{"quantity":"{quantity}"}},"slippage":"0""#),
        );
    }
    send(
        &mut desk,
        "h",
        "one",
        r#""asset":"HYPE","market":"future","direction":"short","sizing":{"quantity":"10"},"exits":{"stop_loss":{"fraction":"0.5"}}"#,
    );
    let resting = r#""asset":"HYPE","market":"future","direction":"short","sizing":{"quantity":"10"},"order":{"type":"limit","price":"50"},"valid_for":"7d""#;
    send(&mut desk, "r", "one", resting);
    assert_eq!(
        (desk.outcomes("a"), desk.outcomes("h"), desk.outcomes("r")),
        (vec!["filled:".to_owned()], vec!["filled:".to_owned()], vec!["working".to_owned()])
    );
    assert_eq!(position(&desk, "one", "XBT1").quantity().to_string(), "6000", "the one that expires first");
    desk.check();
    desk.pass(HOUR * 5);
    prices(&mut desk, "61234.5", "3000", "37.1234");
    // Within the hour before it: the next one is bitcoin's, and HYPE has none.
    send(&mut desk, "late", "one", r#""asset":"BTC","market":"future","direction":"long","sizing":{"quantity":"0.1"}"#);
    assert_eq!(position(&desk, "one", "XBT2").quantity().to_string(), "6000");
    send(&mut desk, "none", "one", r#""asset":"HYPE","market":"future","direction":"short","sizing":{"quantity":"10"}"#);
    assert_eq!(desk.outcomes("none"), ["refused:expired_contract"]);
    desk.pass(HOUR);
    desk.reconcile();
    desk.pass(MINUTE * 2);
    desk.check();
    let settled: Vec<_> = desk.adjustments().into_iter().filter(|one| one.kind == AdjustmentKind::Settlement).collect();
    assert_eq!(settled.len(), 2, "one for each contract, once");
    let shares = &settled.iter().find(|one| one.symbol == Some(name("XBT1"))).expect("it is there").shares;
    let sum = shares.iter().try_fold(Amount::ZERO, |sum, share| sum.plus(share.value.expect("it is shared"))).expect("it fits");
    // 6000 + 1900 dollars at 61234.5, as the venue rounds them together.
    assert_eq!((shares.len(), sum.to_string()), (2, "0.12901224".into()));
    assert_eq!(desk.halt("main"), None, "nothing of it is drift");
    assert_eq!((desk.book().ledger().positions().count(), desk.book().duties().count(), desk.book().guards().count()), (1, 0, 0));
    assert_eq!(desk.outcomes("r").len(), 1);
    assert_ne!(desk.outcomes("r"), ["working"], "what rested is over");
    let fees = capital(&desk, "one", "USDC");
    assert!(fees.fees > Amount::ZERO && fees.reserved.is_zero() && fees.committed.is_zero());
    desk.restart();
    desk.reconcile();
    desk.check();
}

#[test]
fn what_is_to_be_closed_after_its_expiry_waits_for_the_settlement() {
    let mut desk = desk_of(only_main(coins()), DriftPolicy::HaltEntries);
    send(
        &mut desk,
        "h",
        "one",
        r#""asset":"HYPE","market":"future","direction":"long","sizing":{"quantity":"10"},"exits":{"time_limit":"6h"}"#,
    );
    desk.lies(|snapshot| snapshot.fills.retain(|fill| fill.cause.is_none()));
    desk.pass(HOUR * 6 + MINUTE);
    let close = CloseRequest::new(name("c"), CloseTarget::All);
    desk.close(close);
    assert_eq!(desk.outcomes("c"), ["skipped:expired_contract"]);
    let before = desk.book().executions().count();
    desk.pass(HOUR);
    assert_eq!((desk.book().duties().count(), desk.book().executions().count()), (1, before), "it does not try again and again");
    desk.tells_the_truth();
    desk.reconcile();
    desk.pass(MINUTE);
    desk.reconcile();
    assert_eq!((desk.book().ledger().positions().count(), desk.book().duties().count()), (0, 0));
    desk.check();
}

/// Shares that trade from 14:30 to 21:00 UTC on weekdays; the desk begins on a Thursday.
fn shares() -> Config {
    let mut config = Config::spot_like();
    let sessions = [Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday];
    let sessions = sessions.map(|day| Session { day, from: "14:30".parse().expect("a time"), to: "21:00".parse().expect("a time") });
    let mut stock = config.instruments[1].clone();
    (stock.symbol, stock.base, stock.lot_size, stock.min_quantity) = (name("AAPL"), name("AAPL"), name("1"), name("1"));
    stock.hours =
        Some(TradingHours { sessions: sessions.to_vec(), offsets: Vec::new(), holidays: ["2026-01-02".parse().expect("a day")].into() });
    stock.taker_fee = name("0");
    config.id = name("venue");
    stock.venue = config.id.clone();
    config.instruments = vec![stock];
    config.prices = BTreeMap::from([(name("AAPL"), live())]);
    config.maker_fee = name("0");
    (config.spread, config.slippage, config.latency) = (name("0"), name("0"), Default::default());
    config.accounts = BTreeMap::from([(name("main"), BTreeMap::from([(name("USDC"), name("100000"))]))]);
    config
}

#[test]
fn shares_are_closed_when_their_market_opens() {
    let mut desk = Desk::with(shares(), DriftPolicy::HaltEntries, |_| {});
    assert_eq!(desk.now.wall, name(BEGIN));
    let buy = r#""asset":"AAPL","market":"spot","direction":"long","sizing":{"quantity":"10"}"#;
    let price = |desk: &mut Desk, price: &str| {
        desk.price_of("AAPL", price);
        desk.quote();
    };
    price(&mut desk, "200");
    send(&mut desk, "early", "one", buy);
    assert_eq!(desk.outcomes("early"), ["refused:market_closed"]);
    let number = desk.kernel.execution_of(&name("early")).expect("it reads").expect("it was taken");
    let told = serde_json::to_string(&desk.kernel.execution(number).expect("it reads")).expect("plain data");
    assert!(told.contains("it opens at 2026-01-01T14:30:00Z"), "{told}");
    desk.pass(HOUR * 14 + MINUTE * 30);
    price(&mut desk, "200");
    send(&mut desk, "a", "one", &format!(r#"{buy},"exits":{{"stop_loss":{{"price":"190"}}}}"#));
    assert_eq!(desk.outcomes("a"), ["filled:"]);
    desk.check();
    // A minute after the close the price is through the stop: it must be closed, and is, on Monday, since Friday is a holiday.
    desk.pass(HOUR * 6 + MINUTE * 31);
    desk.input(omnivenue_core::executor::Input::Quote {
        venue: name("venue"),
        quote: omnivenue_core::venue::Quote {
            symbol: name("AAPL"),
            bid: name("185"),
            ask: name("185"),
            at: desk.now.wall,
            depth: Default::default(),
        },
    });
    assert_eq!((desk.book().duties().count(), desk.book().ledger().positions().count()), (1, 1));
    desk.close(CloseRequest::new(name("c"), CloseTarget::All));
    assert_eq!(desk.outcomes("c"), ["skipped:market_closed"]);
    let before = desk.book().executions().count();
    desk.pass(HOUR * 24);
    assert_eq!(desk.book().executions().count(), before, "nothing is tried while it is closed");
    assert_eq!(desk.book().ledger().positions().count(), 1);
    // What rests may be placed while it is closed.
    let text = r#""asset":"AAPL","market":"spot","direction":"long","sizing":{"quantity":"3"},"order":{"type":"limit","price":"150"}"#;
    send(&mut desk, "r", "two", text);
    assert_eq!(desk.outcomes("r"), ["working"]);
    desk.pass(HOUR * 65 + MINUTE * 28);
    price(&mut desk, "184");
    desk.pass(MINUTE * 2);
    assert_eq!((desk.book().duties().count(), desk.book().ledger().positions().count()), (0, 0));
    desk.reconcile();
    desk.check();
    let key = CapitalKey { account: name("main"), deployment: Some(name("one")), currency: name("USDC") };
    assert_eq!(desk.book().ledger().capital(&key).realized.to_string(), "-160");
}

#[test]
fn funding_is_paid_over_three_intervals_and_shared_to_the_last_digit() {
    let mut config = only_main(coins());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rates.csv");
    std::fs::write(&file, "open_time_ms,funding_rate\n1637193600017,0.0001\n1637222400007,8.995e-05\n").expect("it is written");
    let every = HOUR * 8;
    config.funding.insert(name("XBTUSD"), Funding { rate: name("-0.0003"), every, series: Some(file) });
    config.funding.insert(name("ETHUSD"), Funding { rate: name("0.00058316"), every, series: None });
    let mut desk = desk_of(config, DriftPolicy::HaltEntries);
    send(&mut desk, "a", "one", r#""asset":"BTC","direction":"long","sizing":{"notional":"10000"},"slippage":"0""#);
    send(&mut desk, "b", "two", r#""asset":"BTC","direction":"long","sizing":{"notional":"3300"},"slippage":"0""#);
    send(&mut desk, "c", "two", r#""asset":"ETH","direction":"short","sizing":{"quantity":"77"}"#);
    for (bitcoin, ether) in [("61000.5", "3100.35"), ("59000", "2999.95"), ("60123.5", "3050")] {
        desk.pass(HOUR * 7);
        prices(&mut desk, bitcoin, ether, "38");
        desk.pass(HOUR + MINUTE);
        desk.reconcile();
        desk.check();
    }
    // What the exchange has paid and received, each rounded up to satoshi for it, is what is booked; 13300 dollars at 61000.5 cost 0.0001 of it.
    let truth = desk.counter().server.truth();
    let movements = truth.accounts[&name::<AccountId>("main")].movements.clone();
    assert_eq!(movements.len(), 6);
    assert_eq!(
        movements.iter().find(|movement| movement.symbol == Some(name("XBTUSD"))).expect("it was paid").amount.to_string(),
        "-0.00002181"
    );
    let paid = movements.iter().try_fold(Amount::ZERO, |sum, movement| sum.plus(movement.amount)).expect("it fits");
    let booked = capital(&desk, "one", "BTC").funding.plus(capital(&desk, "two", "BTC").funding).expect("it fits");
    assert_eq!(booked, paid);
    let shown = [("one", "XBTUSD"), ("two", "XBTUSD"), ("two", "ETHUSD")].map(|(agent, symbol)| position(&desk, agent, symbol).funding());
    assert_eq!(shown.iter().try_fold(Amount::ZERO, |sum, one| sum.plus(*one)).expect("it fits"), paid, "each position shows its own");
    assert_eq!(capital(&desk, "one", "BTC").realized, Amount::ZERO, "funding is no gain of a trade");
    desk.restart();
    desk.reconcile();
    desk.check();
}

#[test]
fn what_others_close_of_two_agents_costs_no_satoshi() {
    for price in ["61234.5", "59876.5", "61111", "58000.5", "60001"] {
        let mut desk = desk_of(only_main(coins()), DriftPolicy::Adopt);
        for (id, agent, dollars) in [("a", "one", "700"), ("b", "two", "1100")] {
            send(&mut desk, id, agent, &format!(r#""asset":"BTC","direction":"long","sizing":{{"notional":"{dollars}"}},"slippage":"0""#));
        }
        prices(&mut desk, price, "3000", "38");
        desk.hand_in("main", "XBTUSD", Side::Sell, "900");
        desk.reconcile();
        desk.check();
        let netted = desk.adjustments().into_iter().find(|one| one.kind == AdjustmentKind::Netted).expect("it was ours");
        let values: Vec<Amount> = netted.shares.iter().filter_map(|share| share.value).collect();
        let sum = values.iter().try_fold(Amount::ZERO, |sum, value| sum.plus(*value)).expect("it fits");
        assert_eq!((values.len(), sum), (3, Amount::ZERO), "what one side is worth, the other is");
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Turn {
    Enter { agent: bool, what: usize, dollars: u32 },
    Close { agent: bool, part: u8 },
    Hand { buys: bool, what: usize, lots: u32 },
    Funding { what: usize, rate: i32 },
    Force { what: usize, share: u8 },
    Price { bitcoin: u32, ether: u32, hype: u32 },
    Pass { minutes: u32 },
    Reconcile,
    Restart,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        5 => (any::<bool>(), 0_usize..5, 100_u32..20_000).prop_map(|(agent, what, dollars)| Turn::Enter { agent, what, dollars }),
        2 => (any::<bool>(), 1_u8..=100).prop_map(|(agent, part)| Turn::Close { agent, part }),
        2 => (any::<bool>(), 0_usize..4, 1_u32..100).prop_map(|(buys, what, lots)| Turn::Hand { buys, what, lots }),
        2 => (0_usize..2, -9_999_i32..9_999).prop_map(|(what, rate)| Turn::Funding { what, rate }),
        2 => (0_usize..3, 1_u8..=100).prop_map(|(what, share)| Turn::Force { what, share }),
        4 => (40_000_u32..120_000, 1_000_u32..100_000, 2_000_u32..6_000).prop_map(|(bitcoin, ether, hype)| Turn::Price { bitcoin, ether, hype }),
        3 => (1_u32..90).prop_map(|minutes| Turn::Pass { minutes }),
        3 => Just(Turn::Reconcile),
        1 => Just(Turn::Restart),
    ];
    prop::collection::vec(turn, 1..40)
}

/// Symbol, asset, market, lot.
const TRADED: [(&str, &str, &str, u32); 5] = [
    ("XBTUSD", "BTC", "perp", 100),
    ("ETHUSD", "ETH", "perp", 1),
    ("HYPE", "HYPE", "perp", 1),
    ("XBT1", "BTC", "future", 100),
    ("HYPE1", "HYPE", "future", 1),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// Whatever happens to positions in linear, inverse, quanto and dated contracts, of two agents and of others, through expiries, liquidations
    /// and restarts: quantities and equity are the exchange's to the last digit, in each currency, and the state is the fold of the journal.
    #[test]
    fn the_books_of_every_contract_are_the_exchanges(policy in 0_usize..3, turns in turns()) {
        let policy = [DriftPolicy::HaltEntries, DriftPolicy::Adopt, DriftPolicy::Flatten][policy];
        let mut desk = desk_of(only_main(coins()), policy);
        let mut at = ("60000".to_owned(), "3000".to_owned(), "38".to_owned());
        for (count, turn) in turns.into_iter().enumerate() {
            match turn {
                Turn::Enter { agent, what, dollars } => {
                    let (_, asset, market, _) = TRADED[what];
                    let agent = if agent { "one" } else { "two" };
                    let direction = if count % 3 == 0 { "short" } else { "long" };
                    let more = format!(r#""asset":"{asset}","market":"{market}","direction":"{direction}","sizing":{{"notional":"{dollars}"}},"leverage":"3""#);
                    send(&mut desk, &format!("s{count}"), agent, &more);
                }
                Turn::Close { agent, part } => {
                    let target = CloseTarget::Agent(name(if agent { "one" } else { "two" }));
                    let part = serde_json::from_str(&format!(r#"{{"fraction":"{}.{:02}"}}"#, part / 100, part % 100)).expect("a part");
                    desk.close(CloseRequest { part: Some(part), ..CloseRequest::new(name(&format!("c{count}")), target) });
                }
                Turn::Hand { buys, what, lots } => {
                    let (symbol, _, _, lot) = TRADED[what];
                    let side = if buys { Side::Buy } else { Side::Sell };
                    let quantity = name(&(lots * lot).to_string());
                    let _ = desk.happens(|exchange, now| exchange.trade_by_hand(now, &name("main"), &name(symbol), side, quantity));
                }
                Turn::Funding { what, rate } => {
                    let rate = format!("{}0.{:08}", if rate < 0 { "-" } else { "" }, rate.unsigned_abs());
                    desk.happens(|exchange, now| exchange.pay_funding(now, &name(TRADED[what].0), name(&rate)));
                }
                Turn::Force { what, share } => {
                    let symbol = name(TRADED[what].0);
                    let held = desk.counter().server.truth().accounts[&name::<AccountId>("main")].position(&symbol).quantity.magnitude();
                    let lot = i64::from(TRADED[what].3);
                    let lots = held.decimal() * rust_decimal::Decimal::from(share) / rust_decimal::Decimal::from(100 * lot);
                    let quantity = omnivenue_core::model::number::Quantity::new(lots.ceil() * rust_decimal::Decimal::from(lot)).expect("it fits");
                    let _ = desk.happens(|exchange, now| exchange.force(now, &name("main"), &symbol, Some(quantity), FillCause::Liquidation));
                }
                Turn::Price { bitcoin, ether, hype } => {
                    let half = if bitcoin % 2 == 0 { "" } else { ".5" };
                    at = (format!("{bitcoin}{half}"), format!("{}.{:02}", ether / 20, ether % 20 * 5), format!("{}.{:02}", hype / 100, hype % 100));
                    prices(&mut desk, &at.0, &at.1, &at.2);
                }
                Turn::Pass { minutes } => desk.pass(MINUTE * minutes),
                Turn::Reconcile => {
                    desk.reconcile();
                    desk.check();
                }
                Turn::Restart => {
                    desk.restart();
                    prices(&mut desk, &at.0, &at.1, &at.2);
                }
            }
        }
        desk.reconcile();
        desk.pass(MINUTE);
        desk.reconcile();
        desk.check();
        let adjustments = desk.adjustments().len();
        desk.restart();
        desk.reconcile();
        prop_assert_eq!(desk.adjustments().len(), adjustments, "recovering twice is recovering once");
        desk.check();
    }
}
