//! What the venues publish, computed here; and what must hold of any contract.

use proptest::prelude::*;

use super::*;
use crate::model::instrument::{Instrument, InstrumentSpec, Market, PriceRule};

fn inverse(scale: u32) -> Contract {
    Contract::Inverse { money: MoneyRule::nearest(scale) }
}

fn of<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn ethusd() -> Contract {
    Contract::Quanto { multiplier: of("0.000001"), money: MoneyRule::nearest(8) }
}

/// What a long position gains between two prices, each trade booked by itself.
fn gained(contract: Contract, quantity: &str, entry: &str, exit: &str) -> String {
    let bought = contract.value(of(quantity), of(entry)).unwrap();
    let sold = contract.value(of::<SignedQuantity>(quantity), of(exit)).unwrap();
    sold.minus(bought).unwrap().to_string()
}

#[test]
fn published_examples_of_inverse_contracts() {
    let check = |contract, quantity: &str, entry: &str, exit: &str, expected: &str| {
        assert_eq!(gained(contract, quantity, entry, exit), expected, "{quantity} from {entry} to {exit}");
        let short = format!("-{quantity}");
        let lost = if let Some(gain) = expected.strip_prefix('-') { gain.to_owned() } else { format!("-{expected}") };
        assert_eq!(gained(contract, &short, entry, exit), lost, "{short} from {entry} to {exit}");
    };
    // Deribit, "Example (futures)" (deribit.com/docs/example-futures): 1000/600 − 1000/700 = 0.238095 BTC; it keeps 8 decimals.
    check(inverse(8), "1000", "600", "700", "0.23809524");
    // Binance, "COIN-margined futures" (binance.com, support, contract 100 USD): 10,000 USD from 12,000 to 14,000 is 0.83 − 0.71 BTC; 8 decimals.
    check(inverse(8), "10000", "12000", "14000", "0.11904762");
    // Bybit, "What is an inverse contract": 10,000 from 23,000 to 25,000 is 0.435 − 0.4 BTC.
    check(inverse(8), "10000", "23000", "25000", "0.03478261");
    // OKX, "Calculation of contracts' profit and loss": face value × contracts × (1/entry − 1/close); 10 USD of XRP from 0.233 to 0.2361 is 0.5635.
    check(inverse(8), "10", "0.233", "0.2361", "0.56352059");
    // Against it a long one loses more than it gains with it, which is what an inverse contract is about.
    check(inverse(8), "1000", "600", "500", "-0.33333333");
}

#[test]
fn bitmex_rounds_the_worth_of_a_contract_or_of_a_trade_to_satoshi() {
    // A wallet of November 2017, asked about on BitMEX's forum: 885 XBTUSD from 7299 to 6635.5. The formula without rounding says −1212403
    // satoshi, the wallet −1211565 (with 3334 + 783 − 709 of rebates and funding −1208157): each contract was worth 13701 and 15070 satoshi.
    let by_contract = Contract::Inverse { money: MoneyRule { each: Some(of("1")), ..MoneyRule::nearest(8) } };
    assert_eq!(gained(by_contract, "885", "7299", "6635.5"), "-0.01211565");
    assert_eq!(gained(inverse(8), "885", "7299", "6635.5"), "-0.01212403");
    // Recorded from its API in 2024: 100 contracts at 60000 cost 166667 satoshi, so the trade is rounded as a whole.
    assert_eq!(inverse(8).worth(of("100"), of("60000")).unwrap().to_string(), "0.00166667");
    assert_eq!(by_contract.worth(of("100"), of("60000")).unwrap().to_string(), "0.001667");
}

#[test]
fn published_examples_of_quanto_contracts() {
    // BitMEX, "Quanto for speculators": 10,000 ETHUSD at 500 with 0.000001 XBT per USD are worth 5 XBT, 0.10 of margin at 50×.
    let worth = ethusd().worth(of("10000"), of("500")).unwrap();
    assert_eq!((worth.to_string(), worth.margin(of("50")).unwrap().to_string()), ("5".into(), "0.1".into()));
    // BitMEX, "ETHUSD series guide": (exit − entry) × multiplier × contracts.
    assert_eq!(gained(ethusd(), "10000", "500", "505"), "0.05");
    assert_eq!(gained(ethusd(), "-1000", "500", "550.05"), "-0.05005");
    // One contract at 2500 is 250000 satoshi: recorded.
    assert_eq!(ethusd().worth(of("1"), of("2500")).unwrap().to_string(), "0.0025");
}

#[test]
fn liquidation_is_where_the_margin_no_longer_suffices() {
    let check = |contract: Contract, long, leverage: &str, expected: Option<&str>| {
        let price = contract.liquidation_price(of("60000"), of(leverage), of("0.005"), long);
        assert_eq!(price.map(|price| price.to_string()), expected.map(str::to_owned), "{contract:?} {leverage}");
        // What is left there is what must be kept.
        let Some(price) = price else { return };
        let worth = |at: Price| if contract.is_inverse() { Decimal::ONE / at.decimal() } else { at.decimal() };
        let (entry, now) = (worth(of("60000")), worth(price));
        let gained = if long == contract.rises_with_price() { now - entry } else { entry - now };
        let left = entry / of::<Decimal>(leverage) + gained;
        assert!((left / now - Decimal::new(5, 3)).abs() < Decimal::new(1, 12));
    };
    check(Contract::Linear, true, "10", Some("54271.356783919598"));
    check(Contract::Linear, false, "10", Some("65671.641791044776"));
    check(inverse(8), true, "10", Some("54818.181818181819"));
    check(inverse(8), false, "10", Some("66333.333333333333"));
    // Coins of one's own sold forward cannot be lost; a long position of them can.
    check(inverse(8), false, "1", None);
    check(inverse(8), true, "1", Some("30150"));
    check(Contract::Linear, true, "1", None);
}

#[test]
fn money_is_rounded_as_the_venue_states() {
    let check = |rounding, quantity: &str, price: &str, expected: &str| {
        let contract = Contract::Inverse { money: MoneyRule { rounding, ..MoneyRule::nearest(2) } };
        assert_eq!(contract.worth(of(quantity), of(price)).unwrap().to_string(), expected, "{quantity} at {price} {rounding:?}");
    };
    check(MoneyRounding::Nearest, "1", "8", "0.13");
    check(MoneyRounding::Nearest, "3", "8", "0.38");
    check(MoneyRounding::Nearest, "1", "3", "0.33");
    check(MoneyRounding::Nearest, "2", "3", "0.67");
    check(MoneyRounding::Down, "2", "3", "0.66");
    check(MoneyRounding::Up, "1", "3", "0.34");
    check(MoneyRounding::Up, "1", "4", "0.25");
    // A quotient whose 28 digits look like a half, but is less.
    check(MoneyRounding::Nearest, "0.0149999999999999999999999999", "1", "0.01");
}

fn spec(contract: Contract, tick: &str, settle: &str) -> InstrumentSpec {
    InstrumentSpec {
        venue: of("bitmex"),
        symbol: of("XBTUSD"),
        market: Market::Perp,
        base: of("XBT"),
        quote: of("USD"),
        settle: of(settle),
        price_rule: PriceRule { tick_size: Some(of(tick)), ..PriceRule::default() },
        lot_size: of("100"),
        min_quantity: of("100"),
        max_quantity: of("10000000"),
        min_notional: of("0"),
        max_price: of("1000000"),
        max_leverage: of("100"),
        taker_fee: of("0.0005"),
        contract,
        contract_size: None,
        expiry: None,
        hours: None,
        maintenance_margin: Some(of("0.005")),
    }
}

#[test]
fn the_facts_of_a_contract_fit_one_another() {
    let check = |change: fn(&mut InstrumentSpec), words: &str| {
        let mut wrong = spec(inverse(8), "0.1", "XBT");
        change(&mut wrong);
        let said = Instrument::new(wrong).unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    };
    Instrument::new(spec(inverse(8), "0.1", "XBT")).unwrap();
    Instrument::new(spec(ethusd(), "0.05", "BTC")).unwrap();
    check(|spec| spec.settle = spec.quote.clone(), "such a contract settles in what it is of");
    check(|spec| spec.contract = Contract::Linear, "in its quote currency");
    check(|spec| spec.contract = inverse(13), "at most 12");
    check(|spec| spec.contract = Contract::Inverse { money: MoneyRule { each: Some(of("30")), ..MoneyRule::nearest(8) } }, "must divide");
    check(|spec| spec.market = Market::Future, "must have an expiry");
    check(|spec| spec.market = Market::Spot, "is spot");
    check(|spec| spec.max_quantity = of("1000000000000000"), "at most 28 are exact");
    // Written before there were others, it reads as it was.
    let linear = InstrumentSpec { maintenance_margin: None, settle: of("USD"), ..spec(Contract::Linear, "0.1", "USD") };
    let text = serde_json::to_string(&linear).unwrap();
    assert!(!["contract", "expiry", "hours", "maintenance"].iter().any(|key| text.contains(key)), "{text}");
    assert_eq!(serde_json::from_str::<InstrumentSpec>(&text).unwrap(), linear);
    let text = serde_json::to_string(&spec(inverse(8), "0.1", "XBT")).unwrap();
    assert_eq!(serde_json::from_str::<InstrumentSpec>(&text).unwrap(), spec(inverse(8), "0.1", "XBT"));
}

#[test]
fn sizes_are_whole_lots_of_what_is_asked() {
    let (xbtusd, eth) = (Instrument::new(spec(inverse(8), "0.1", "XBT")).unwrap(), Instrument::new(spec(ethusd(), "0.05", "BTC")).unwrap());
    // 1,050 USD are ten lots of 100 USD, half a bitcoin at 60,000 is 300 of them, 0.0005 BTC of margin and worth none.
    assert_eq!(xbtusd.quantity_for(of("1050"), of("60000")).to_string(), "1000");
    assert_eq!(xbtusd.quantity_of(of("0.5"), of("1"), of("60000")).unwrap().to_string(), "30000");
    assert_eq!(xbtusd.quantity_worth(of("0.0166667"), of("60000")).to_string(), "1000");
    assert_eq!(xbtusd.quantity_worth(of("0.01666669"), of("60000")).to_string(), "900", "in ten trades it could be worth a satoshi more");
    assert_eq!(xbtusd.notional(of("1000"), of("60000")).unwrap().to_string(), "1000");
    assert_eq!((xbtusd.notional_currency().as_str(), eth.notional_currency().as_str()), ("USD", "BTC"));
    assert_eq!(eth.quantity_for(of("5"), of("500")).to_string(), "10000");
    // From 60,000 to 50,000 each lot loses 0.00033334 at most, and 0.00000184 of fees.
    assert_eq!(xbtusd.quantity_risking(of("0.01"), of("60000"), of("50000")).to_string(), "2900");
    assert_eq!(xbtusd.quantity_risking(of("0.01"), of("50000"), of("60000")).to_string(), "2900");
    // From 500 to 495 each lot of 100 contracts loses 0.0005, and 0.00004975 of fees.
    assert_eq!(eth.quantity_risking(of("0.05"), of("500"), of("495")).to_string(), "9000");
}

prop_compose! {
    fn contracts()(kind in 0..3, scale in 2_u32..10, rounding in 0..3, whole in any::<bool>()) -> Contract {
        let rounding = [MoneyRounding::Nearest, MoneyRounding::Down, MoneyRounding::Up][usize::try_from(rounding).unwrap()];
        let money = MoneyRule { scale, rounding, each: whole.then(|| of("10")) };
        match kind {
            0 => Contract::Linear,
            1 => Contract::Inverse { money },
            _ => Contract::Quanto { multiplier: of("0.0000125"), money },
        }
    }
}

proptest! {
    /// Rounded from the true quotient, once: what is left over is less than a unit, and of the nearest at most half of one.
    #[test]
    fn a_quotient_is_rounded_once(a in 0_i64..i64::MAX, b in 1_i64..1_000_000_000, x in 0_u32..6, y in 0_u32..6, scale in 0_u32..8) {
        let (over, under) = (Decimal::new(a, x), Decimal::new(b, y));
        let of = |rounding| exact::div(over, under, scale, rounding);
        if let (Some(down), Some(near), Some(up)) = (of(MoneyRounding::Down), of(MoneyRounding::Nearest), of(MoneyRounding::Up)) {
            let unit = Decimal::new(1, scale);
            if let (Some(low), Some(high)) = (exact::mul(down, under), exact::mul(up, under)) {
                prop_assert!(low <= over && over <= high);
                prop_assert!(up == down || exact::sub(up, down) == Some(unit));
                prop_assert_eq!(up == down, low == over);
                prop_assert!(near == up || near == down);
                let (below, above) = (exact::sub(over, low).unwrap(), exact::sub(high, over).unwrap());
                prop_assert_eq!(near, if above <= below { up } else { down });
            }
        }
    }

    /// However an order is divided into lots, at any price between the two it may fill at, its trades together are worth no more than is
    /// reserved, and cost no more in fees.
    #[test]
    fn the_reserve_covers_every_way_to_fill(
        contract in contracts(),
        cents in (100_i64..10_000_000, 100_i64..10_000_000),
        fills in prop::collection::vec((1_i64..50, 0_u8..=100), 1..12),
        leverage in 1_i64..50,
    ) {
        let settle = match contract { Contract::Linear => "USD", Contract::Inverse { .. } => "XBT", Contract::Quanto { .. } => "EUR" };
        let spec = InstrumentSpec { lot_size: of("10"), min_quantity: of("10"), ..spec(contract, "0.01", settle) };
        let instrument = Instrument::new(spec).unwrap();
        let leverage = crate::model::number::Leverage::new(Decimal::from(leverage)).unwrap();
        let quantity = Quantity::new(Decimal::from(fills.iter().map(|(lots, _)| lots * 10).sum::<i64>())).unwrap();
        let price = |cents: i64| Price::new(Decimal::new(cents, 2)).unwrap();
        let worst = instrument.dearer(price(cents.0), price(cents.1));
        let reserve = crate::gates::reserve(&instrument, quantity, worst, leverage).unwrap();
        let (mut worth, mut fees) = (Notional::ZERO, Decimal::ZERO);
        for (lots, share) in fills {
            let at = price(cents.0 + (cents.1 - cents.0) * i64::from(share) / 100);
            let traded = instrument.worth(Quantity::new(Decimal::from(lots * 10)).unwrap(), at).unwrap();
            worth = worth.plus(traded).unwrap();
            let fee = traded.decimal() * instrument.taker_fee.decimal();
            fees += contract.money().map_or(fee, |money| money.up(fee).unwrap());
        }
        prop_assert!(worth <= reserve.notional, "{} above {}", worth, reserve.notional);
        let needed = worth.margin(leverage).unwrap().decimal() + fees;
        prop_assert!(needed <= reserve.capital.decimal(), "{} above {}", needed, reserve.capital);
    }

    /// Sizes never enlarge what was asked.
    #[test]
    fn a_size_is_never_more_than_was_asked(contract in contracts(), cents in 100_i64..10_000_000, stop in 100_i64..10_000_000, worth in 1_i64..1_000_000) {
        let settle = match contract { Contract::Linear => "USD", Contract::Inverse { .. } => "XBT", Contract::Quanto { .. } => "EUR" };
        let instrument = Instrument::new(InstrumentSpec { lot_size: of("10"), min_quantity: of("10"), ..spec(contract, "0.01", settle) }).unwrap();
        let (at, stop) = (Price::new(Decimal::new(cents, 2)).unwrap(), Price::new(Decimal::new(stop, 2)).unwrap());
        let asked = Notional::new(Decimal::new(worth, 2)).unwrap();
        prop_assert!(instrument.worth_at_most(instrument.quantity_worth(asked, at), at).unwrap() <= asked);
        prop_assert!(instrument.notional(instrument.quantity_for(asked, at), at).unwrap() <= asked);
        let risked = instrument.quantity_risking(asked, at, stop);
        let (one, other) = (instrument.worth(risked, at).unwrap().decimal(), instrument.worth(risked, stop).unwrap().decimal());
        let fee = |worth: Decimal| {
            let fee = worth * instrument.taker_fee.decimal();
            contract.money().map_or(fee, |money| money.up(fee).unwrap())
        };
        prop_assert!((one - other).abs() + fee(one) + fee(other) <= asked.decimal());
    }
}
