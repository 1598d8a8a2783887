//! What contracts are worth here, in the exchange's own arithmetic: by long division, digit by digit, and not as its clients compute it.

use omnivenue_core::model::contract::{Contract, MoneyRounding, MoneyRule};
use omnivenue_core::model::instrument::InstrumentSpec;
use omnivenue_core::model::number::{Amount, Notional, NumberError, Price, Quantity, Rate};
use rust_decimal::Decimal;

use crate::books::share;

const TOO_LONG: NumberError = NumberError::Overflow { operation: "worth of a contract" };

/// What so much of an instrument is worth at a price, in the settlement currency.
pub(crate) fn worth(spec: &InstrumentSpec, quantity: Quantity, price: Price) -> Result<Notional, NumberError> {
    match spec.contract {
        Contract::Linear => price.notional(quantity),
        Contract::Inverse { money } => by_contract(money, quantity, |part| quotient(part, price.decimal(), money)),
        Contract::Quanto { multiplier, money } => by_contract(money, quantity, |part| {
            // Dividing by what one settlement unit moves the price: contracts × price × multiplier.
            let moved = part.checked_mul(price.decimal())?.checked_mul(multiplier.decimal())?;
            quotient(moved, Decimal::ONE, money)
        }),
    }
}

/// Where contracts are rounded one by one, their count times the worth of one; else the worth of all.
fn by_contract(money: MoneyRule, quantity: Quantity, of: impl Fn(Decimal) -> Option<Decimal>) -> Result<Notional, NumberError> {
    let quantity = quantity.decimal();
    let worth = match money.each.map(Quantity::decimal) {
        Some(each) if quantity.checked_rem(each).is_some_and(|rest| rest.is_zero()) => {
            let count = quantity.checked_div(each);
            count.and_then(|count| count.checked_mul(of(each)?))
        }
        _ => of(quantity),
    };
    Notional::new(worth.ok_or(TOO_LONG)?)
}

/// `over / under` by long division, and its last digit as the rule says.
fn quotient(over: Decimal, under: Decimal, money: MoneyRule) -> Option<Decimal> {
    let mut found = over.checked_div(under)?.trunc();
    if found.checked_mul(under)? > over {
        // The division was rounded up to a whole number.
        found = found.checked_sub(Decimal::ONE)?;
    }
    let mut rest = over.checked_sub(found.checked_mul(under)?)?;
    let mut unit = Decimal::ONE;
    for _ in 0..money.scale {
        unit = unit.checked_mul(Decimal::new(1, 1))?;
        rest = rest.checked_mul(Decimal::TEN)?;
        while rest >= under {
            rest = rest.checked_sub(under)?;
            found = found.checked_add(unit)?;
        }
    }
    let more = match money.rounding {
        MoneyRounding::Down => false,
        MoneyRounding::Up => !rest.is_zero(),
        MoneyRounding::Nearest => rest.checked_mul(Decimal::TWO)? >= under,
    };
    if more { found.checked_add(unit) } else { Some(found) }
}

/// The fee of a trade: its worth times the rate, and where the currency has a smallest unit, rounded up to it for the exchange.
pub(crate) fn fee(spec: &InstrumentSpec, worth: Notional, rate: Rate) -> Result<Amount, NumberError> {
    whole_units(spec, share(worth, rate)?)
}

/// An amount in whole units of the settlement currency, in favor of the exchange.
pub(crate) fn whole_units(spec: &InstrumentSpec, amount: Amount) -> Result<Amount, NumberError> {
    match spec.contract.money() {
        None => Ok(amount),
        Some(money) => {
            Amount::new(amount.decimal().round_dp_with_strategy(money.scale, rust_decimal::RoundingStrategy::ToPositiveInfinity))
        }
    }
}

/// Whether a long position gains what its worth loses: it was paid for in what it is now worth less of.
pub(crate) const fn gains_as_worth_falls(spec: &InstrumentSpec) -> bool {
    matches!(spec.contract, Contract::Inverse { .. })
}

#[cfg(test)]
mod tests {
    use omnivenue_core::model::number::{Factor, SignedQuantity};
    use proptest::prelude::*;

    use super::*;

    fn spec(contract: Contract) -> InstrumentSpec {
        InstrumentSpec { contract, ..crate::Config::hyperliquid_like().instruments[0].clone() }
    }

    fn of<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().unwrap()
    }

    #[test]
    fn contracts_are_worth_what_venues_publish() {
        let inverse = |each: Option<&str>| spec(Contract::Inverse { money: MoneyRule { each: each.map(of), ..MoneyRule::nearest(8) } });
        let check = |spec: &InstrumentSpec, quantity: &str, price: &str, expected: &str| {
            assert_eq!(worth(spec, of(quantity), of(price)).unwrap().to_string(), expected, "{quantity} at {price}");
        };
        // BitMEX, XBTUSD: recorded of its API in 2024, and a wallet of 2017, when each contract was rounded.
        check(&inverse(None), "100", "60000", "0.00166667");
        check(&inverse(Some("1")), "885", "7299", "0.12125385");
        // Deribit, BTC-PERPETUAL: 1000 USD at 600 and 700.
        check(&inverse(None), "1000", "600", "1.66666667");
        check(&inverse(None), "1000", "700", "1.42857143");
        // BitMEX, ETHUSD: 10,000 contracts at 500 are 5 XBT.
        let quanto = spec(Contract::Quanto { multiplier: of::<Factor>("0.000001"), money: MoneyRule::nearest(8) });
        check(&quanto, "10000", "500", "5");
        assert_eq!(fee(&inverse(None), of("0.00166667"), of("0.0005")).unwrap().to_string(), "0.00000084");
        assert_eq!(fee(&inverse(None), of("0.00166667"), of("-0.0005")).unwrap().to_string(), "-0.00000083");
    }

    proptest! {
        /// Two ways to compute the same: neither may be wrong alone.
        #[test]
        fn the_exchange_and_its_clients_agree(
            quantity in 1_i64..1_000_000_000, price in 1_i64..1_000_000_000, scale in 2_u32..10, rounding in 0_usize..3, quanto: bool, each: bool,
        ) {
            let rounding = [MoneyRounding::Nearest, MoneyRounding::Down, MoneyRounding::Up][rounding];
            let money = MoneyRule { scale, rounding, each: each.then(|| of("0.5")) };
            let contract = if quanto { Contract::Quanto { multiplier: of("0.0000125"), money } } else { Contract::Inverse { money } };
            let quantity = Quantity::new(Decimal::new(quantity, 1)).unwrap();
            let price = Price::new(Decimal::new(price, 2)).unwrap();
            let ours = worth(&spec(contract), quantity, price).unwrap();
            prop_assert_eq!(ours, contract.worth(quantity, price).unwrap());
            let held = SignedQuantity::new(quantity.decimal()).unwrap();
            prop_assert_eq!(contract.value(held, price).unwrap().magnitude(), ours);
        }
    }
}
