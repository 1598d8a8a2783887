//! How large a leg is: never more than was asked, of what there is.

use omnivenue_core::executor::{ExecutionRecord, Input, Limits, Setup, VenueSetup};
use omnivenue_core::journal::{MemoryStore, OrderPlan};
use omnivenue_core::ledger::CapitalKey;
use omnivenue_core::model::execution::LegState;
use omnivenue_core::model::instrument::{Instrument, InstrumentSpec};
use omnivenue_core::model::number::Amount;
use omnivenue_core::model::signal::{Direction, Signal};
use omnivenue_core::venue::{Depth, Quote};
use proptest::prelude::*;
use rust_decimal::Decimal;

mod bench;

use self::bench::{Bench, name, placed};

fn bench(change: impl FnOnce(&mut Setup)) -> Bench {
    Bench::with(1, Limits::default(), MemoryStore::new(), change)
}

fn allocated(setup: &mut Setup, allocation: &str) {
    for deployment in setup.deployments.values_mut() {
        deployment.accounts.iter_mut().for_each(|share| share.allocation = Some(name(allocation)));
    }
}

fn fee(setup: &mut Setup, fee: &str) {
    let assets = setup.assets.clone();
    for venue in setup.venues.values_mut() {
        let changed = |instrument: &Instrument| {
            Instrument::new(InstrumentSpec { taker_fee: name(fee), ..InstrumentSpec::clone(instrument) }).expect("it is sound")
        };
        *venue = VenueSetup::new(venue.capabilities.clone(), venue.instruments.values().map(changed).collect(), &assets);
    }
}

fn record(bench: &Bench, id: &str) -> ExecutionRecord {
    let number = bench.kernel.execution_of(&name(id)).expect("the journal reads").expect("it was taken");
    bench.kernel.execution(number).expect("the journal reads").expect("it is there")
}

fn send(bench: &mut Bench, id: &str, fields: &str) -> Result<OrderPlan, String> {
    let signal = Signal::from_json(&format!(r#"{{"id":"{id}","agent":"one","asset":"HYPE",{fields}}}"#)).expect("a valid signal");
    bench.execute(signal);
    bench.commit();
    let leg = record(bench, id).legs.remove(0);
    leg.plan.order.ok_or_else(|| match leg.state {
        LegState::Done { why: Some(why), .. } => format!("{}: {}", why.code, why.reason),
        state => state.name().to_owned(),
    })
}

fn equity(bench: &Bench, allocation: Option<&str>) -> Decimal {
    let state = bench.kernel.state();
    let ledger = state.book().ledger();
    let key = CapitalKey { account: name("account0"), deployment: allocation.map(|_| name("one")), currency: name("USDC") };
    let marks = |venue: &_, symbol: &_| state.marks().get(&(Clone::clone(venue), Clone::clone(symbol))).copied();
    let funds: Option<Amount> = allocation.map_or_else(|| ledger.funds(&key.account, &key.currency), |allocation| Some(name(allocation)));
    ledger.equity(&key, funds, ledger.unrealized(&key, marks)).expect("it is known").decimal()
}

fn lots(value: Decimal) -> String {
    ((value * Decimal::ONE_HUNDRED).floor() / Decimal::ONE_HUNDRED).normalize().to_string()
}

/// Opens a position and has the price fall.
fn lose(bench: &mut Bench, price: &str) {
    bench.opened_by("before", "one", "");
    let price: Decimal = name(price);
    bench.quote(&price.to_string(), &(price + Decimal::new(2, 2)).to_string());
}

#[test]
fn a_share_of_the_allocation_is_the_margin() {
    let mut bench = bench(|setup| allocated(setup, "10000"));
    // 8 % of 10,000 at 5 times is 4,000; the worst price admitted is 38.01 and 1 %, which rounds down to 38.39.
    let order = send(&mut bench, "s", r#""direction":"long","sizing":{"equity_fraction":"0.08"},"leverage":"5""#).expect("an order");
    assert_eq!((order.worst_price.to_string().as_str(), order.quantity.to_string().as_str()), ("38.39", "104.19"));
    assert!(order.worst_price.notional(order.quantity).expect("it fits") <= name("4000"));
}

#[test]
fn without_an_allocation_it_is_a_share_of_the_account() {
    let mut bench = bench(|_| {});
    let order = send(&mut bench, "s", r#""direction":"long","sizing":{"equity_fraction":"0.001"}"#).expect("an order");
    // 0.1 % of a million.
    assert_eq!(order.quantity.to_string(), lots(Decimal::from(1000) / order.worst_price.decimal()));
}

#[test]
fn after_losses_there_is_less_to_take_a_share_of() {
    for allocation in [Some("1000"), None] {
        let mut bench = bench(|setup| allocation.into_iter().for_each(|allocation| allocated(setup, allocation)));
        let before = equity(&bench, allocation);
        lose(&mut bench, "19");
        let after = equity(&bench, allocation);
        // 13.02 at 38.39 cost 0.1 of fee and are worth 19.01 each now.
        assert_eq!((before - after).normalize().to_string(), "252.4276", "{allocation:?}");
        let order = send(&mut bench, "s", r#""direction":"long","sizing":{"equity_fraction":"0.2"}"#).expect("an order");
        assert_eq!(order.quantity.to_string(), lots(after * Decimal::new(2, 1) / order.worst_price.decimal()), "{allocation:?}");
    }
    // Of nothing there is no share.
    let mut bench = bench(|setup| allocated(setup, "150"));
    bench.opened_by("before", "one", r#","leverage":"5""#);
    bench.quote("19", "19.02");
    let why = send(&mut bench, "s", r#""direction":"long","sizing":{"equity_fraction":"0.2"},"leverage":"5""#).expect_err("no order");
    assert!(why.starts_with("no_equity: the equity of one on account0 is "), "{why}");
}

#[test]
fn of_an_equity_that_is_not_known_no_share_is_taken() {
    // What the account held before it was first seen has no known cost.
    let mut bench = Bench::changed(1, "5", |_| {});
    for sizing in [r#"{"equity_fraction":"0.1"}"#, r#"{"risk_fraction":"0.1"}"#] {
        let id = if sizing.contains("risk") { "r" } else { "e" };
        let fields = format!(r#""direction":"long","sizing":{sizing},"exits":{{"stop_loss":{{"fraction":"0.1"}}}}"#);
        let why = send(&mut bench, id, &fields).expect_err("no order");
        assert!(why.starts_with("equity_unknown: a share of the equity of account0 is asked for"), "{why}");
    }
    // The deployment's own money is known, where it has some.
    let mut bench = Bench::changed(1, "5", |setup| allocated(setup, "1000"));
    assert!(send(&mut bench, "s", r#""direction":"long","sizing":{"equity_fraction":"0.1"}"#).is_ok());
}

#[test]
fn the_loss_at_the_stop_is_what_was_asked_with_both_fees() {
    let mut bench = bench(|setup| {
        allocated(setup, "10000");
        fee(setup, "0.001");
    });
    let fields = r#""direction":"long","sizing":{"risk_fraction":"0.01"},"leverage":"10","exits":{"stop_loss":{"price":"37"}}"#;
    let order = send(&mut bench, "s", fields).expect("an order");
    // From 38.39 to 37, and 0.03839 and 0.037 of fees: 1.46539 a unit, of 100.
    assert_eq!(order.quantity.to_string(), "68.24");
    // A stop beyond the worst price admitted risks nothing that could be divided by.
    let fields = r#""direction":"long","sizing":{"risk_fraction":"0.01"},"order":{"type":"limit","price":"36"},"exits":{"stop_loss":{"price":"37"}}"#;
    let why = send(&mut bench, "t", fields).expect_err("no order");
    assert!(why.starts_with("exit_side: "), "{why}");
}

/// XBT is BTC under another name: the same order, whatever it is called.
#[test]
fn names_of_an_asset_mean_the_same_size() {
    let mut sizes = Vec::new();
    for asset in ["BTC", "XBT"] {
        let mut bench = bench(|setup| allocated(setup, "10000"));
        let quote = Quote { symbol: name("BTC"), bid: name("96990"), ask: name("97000"), at: bench.now.wall, depth: Depth::default() };
        bench.kernel.input(bench.now, Input::Quote { venue: name("venue0"), quote });
        for (id, sizing) in [("q", r#"{"quantity":"0.012345"}"#), ("e", r#"{"equity_fraction":"0.1"}"#)] {
            let text = format!(r#"{{"id":"{id}","agent":"one","asset":"{asset}","direction":"long","sizing":{sizing}}}"#);
            bench.execute(Signal::from_json(&text).expect("a valid signal"));
            bench.commit();
            sizes.push(record(&bench, id).legs[0].plan.order.as_ref().expect("an order").quantity.to_string());
        }
    }
    // 1,000 / 97,970.
    assert_eq!(sizes, ["0.01234", "0.0102", "0.01234", "0.0102"]);
}

#[test]
fn a_size_of_a_thousand_at_a_time_is_of_the_asset() {
    let mut bench = bench(|_| {});
    let quote = Quote { symbol: name("kPEPE"), bid: name("0.0184"), ask: name("0.0185"), at: bench.now.wall, depth: Depth::default() };
    bench.kernel.input(bench.now, Input::Quote { venue: name("venue0"), quote });
    for (id, asset, quantity, wanted) in
        [("a", "PEPE", "2500999", "2500"), ("b", "kPEPE", "2500.999", "2500"), ("c", "1000PEPE", "2500", "2500")]
    {
        let text = format!(r#"{{"id":"{id}","agent":"one","asset":"{asset}","direction":"long","sizing":{{"quantity":"{quantity}"}}}}"#);
        bench.execute(Signal::from_json(&text).expect("a valid signal"));
        let orders = placed(&bench.commit().1);
        assert_eq!(bench.asked(&orders[0]).quantity.to_string(), wanted, "{quantity} {asset}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_leg_risks_more_than_its_share(
        short in any::<bool>(),
        cents in 1_000_u32..9_000,
        spread in 0_u32..50,
        slippage in 0_u32..50,
        stop in 5_u32..400,
        risk in 1_u32..60,
        allocation in 100_u32..100_000,
        scale in 1_u32..250,
        taker in 0_u32..100,
        leverage in 1_u32..=10,
        roe in any::<bool>(),
        fill in 0_u32..=4,
    ) {
        let (risk, scale) = (Decimal::new(i64::from(risk), 3), Decimal::new(i64::from(scale), 2));
        let taker = Decimal::new(i64::from(taker), 5);
        let mut bench = bench(|setup| {
            allocated(setup, &allocation.to_string());
            fee(setup, &taker.to_string());
            setup.deployments.values_mut().for_each(|deployment| deployment.scale = name(&scale.to_string()));
        });
        let bid = Decimal::new(i64::from(cents), 2);
        bench.quote(&bid.to_string(), &(bid + Decimal::new(i64::from(spread), 2)).to_string());
        let direction = if short { Direction::Short } else { Direction::Long };
        let distance = Decimal::new(i64::from(stop), 3);
        let stop = if roe { format!(r#"{{"roe":"{distance}"}}"#) } else { format!(r#"{{"fraction":"{distance}"}}"#) };
        let slippage = Decimal::new(i64::from(slippage), 3);
        let way = if short { "short" } else { "long" };
        let fields = format!(
            r#""direction":"{way}","sizing":{{"risk_fraction":"{risk}"}},"leverage":"{leverage}","slippage":"{slippage}","exits":{{"stop_loss":{stop}}}"#
        );
        let allowed = Decimal::from(allocation) * risk * scale;
        match send(&mut bench, "s", &fields) {
            Ok(order) => {
                let signal = match record(&bench, "s").admission.command {
                    omnivenue_core::journal::Command::Signal(signal) => signal,
                    other => panic!("{other:?}"),
                };
                // Wherever between the worst price and the quote it fills.
                let touch = if short { bid } else { bid + Decimal::new(i64::from(spread), 2) };
                let entry = order.worst_price.decimal() + (touch - order.worst_price.decimal()) * Decimal::new(i64::from(fill) * 25, 2);
                let exits = signal.exits.expect("it has a stop");
                let at = exits.stop_price(direction, name(&entry.to_string()), order.leverage).expect("above 0").decimal();
                let lost = order.quantity.decimal() * ((entry - at).abs() + taker * (entry + at));
                prop_assert!(lost <= allowed, "{lost} of {allowed}: {order:?}");
                // At the worst price one lot more would be too much; a short that fills better has its stop further away.
                let worst = order.worst_price.decimal();
                let at = exits.stop_price(direction, order.worst_price, order.leverage).expect("above 0").decimal();
                let more = (order.quantity.decimal() + Decimal::new(1, 2)) * ((worst - at).abs() + taker * (worst + at));
                prop_assert!(short || more + Decimal::new(1, 6) > allowed, "{more} of {allowed}");
            }
            // Too small for the venue, too large for the capital, or a stop at nothing.
            Err(why) => {
                let known = ["venue_filter", "insufficient_capital", "no_stop"];
                prop_assert!(known.iter().any(|code| why.starts_with(code)), "{why}");
            }
        }
    }

    #[test]
    fn no_margin_is_more_than_its_share(
        short in any::<bool>(),
        cents in 1_000_u32..9_000,
        share in 1_u32..1_000,
        allocation in 100_u32..100_000,
        leverage in 1_u32..=10,
        fall in 0_u32..30,
    ) {
        let mut bench = bench(|setup| allocated(setup, &allocation.to_string()));
        if allocation > 1_000 && !short {
            lose(&mut bench, &(38 - fall).to_string());
        }
        let bid = Decimal::new(i64::from(cents), 2);
        bench.quote(&bid.to_string(), &(bid + Decimal::new(2, 2)).to_string());
        let share = Decimal::new(i64::from(share), 3);
        let leverage = if allocation > 1_000 && !short { 1 } else { leverage };
        let have = equity(&bench, Some(&allocation.to_string()));
        let way = if short { "short" } else { "long" };
        let fields = format!(r#""direction":"{way}","sizing":{{"equity_fraction":"{share}"}},"leverage":"{leverage}""#);
        match send(&mut bench, "s", &fields) {
            Ok(order) => {
                let margin = order.worst_price.notional(order.quantity).expect("it fits").decimal() / Decimal::from(leverage);
                prop_assert!(margin <= have * share, "{margin} of {have} × {share}");
            }
            Err(why) => {
                let known = ["venue_filter", "insufficient_capital", "no_equity"];
                prop_assert!(known.iter().any(|code| why.starts_with(code)), "{why}");
            }
        }
    }
}
