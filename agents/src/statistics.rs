//! Statistics of prices: the one place with floats. What leaves it is a decimal, rounded toward caution: toward zero, so that nothing
//! seems to have moved further than it did. Money is never in here.
#![allow(clippy::float_arithmetic, reason = "statistics are no money")]

use omnivenue_core::model::number::Price;
use rust_decimal::Decimal;
use rust_decimal::prelude::{FromPrimitive, ToPrimitive};
use rust_ti::momentum_indicators::single::rate_of_change;

/// Decimals of what leaves here.
const SCALE: u32 = 9;

/// How far a price has moved since another: `0.02` is a rise by two percent. `None` where the floats do not tell.
pub(crate) fn moved(now: Price, then: Price) -> Option<Decimal> {
    let percent = rate_of_change(now.decimal().to_f64()?, then.decimal().to_f64()?);
    // The float may be a hair above the true value: what was rounded up by that is taken back.
    let cautious = percent / 100.0 * (1.0 - 1e-12);
    cautious.is_finite().then(|| Decimal::from_f64(cautious)).flatten().map(|value| value.trunc_with_scale(SCALE).normalize())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(now: &str, then: &str, expected: &str) {
        assert_eq!(moved(now.parse().unwrap(), then.parse().unwrap()).map(|moved| moved.to_string()).as_deref(), Some(expected));
    }

    #[test]
    fn a_move_is_a_share_of_where_it_began() {
        check("120", "100", "0.199999999");
        check("100", "120", "-0.166666666");
        check("100", "100", "0");
        check("0.0000123", "0.0000120", "0.024999999");
    }

    proptest! {
        #[test]
        fn nothing_seems_to_have_moved_further_than_it_did(now in 1_i64..10_000_000_000, then in 1_i64..10_000_000_000, scale in 0_u32..8) {
            let price = |mantissa| Price::new(Decimal::new(mantissa, scale)).unwrap();
            let told = moved(price(now), price(then)).unwrap();
            // |told| × then ≤ |now − then|, in whole numbers.
            let exact = i128::from(now - then).abs() * 1_000_000_000;
            prop_assert!((told.abs() * Decimal::from(1_000_000_000)).to_i128().unwrap() * i128::from(then) <= exact);
        }
    }
}
