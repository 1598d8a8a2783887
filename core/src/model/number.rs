//! Exact numbers: every price, quantity and amount of money in the engine.
//!
//! `rust_decimal` panics on overflow and rounds silently beyond 28 digits, so no operator of it is used on money.
//! The types here are opaque, keep one spelling per value (`0.80` and `0.8` are the same number and print the same)
//! and offer only arithmetic that is exact or fails.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why text is not a number of ours, or why an operation on numbers has no exact result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumberError {
    /// The text is not a plain decimal number.
    #[error("`{got}` is not a decimal number; write digits with an optional point, such as \"38.1\"")]
    NotDecimal {
        /// What was given.
        got: String,
    },
    /// More digits than can be kept exactly.
    #[error("`{got}` has more than 28 significant digits and cannot be kept exactly")]
    TooLong {
        /// What was given.
        got: String,
    },
    /// Outside what the type allows.
    #[error("{what} is {got}, but must be {fits}")]
    OutOfRange {
        /// The kind of number.
        what: &'static str,
        /// What was given.
        got: String,
        /// What would fit.
        fits: &'static str,
    },
    /// The exact result does not fit 28 digits.
    #[error("the result of {operation} has more digits than can be kept exactly")]
    Overflow {
        /// What was computed.
        operation: &'static str,
    },
}

/// Arithmetic on decimals that is exact or fails; results are normalized.
pub(crate) mod exact {
    use rust_decimal::Decimal;

    use crate::model::contract::MoneyRounding;

    const MANTISSA_MAX: i128 = (1 << 96) - 1;

    fn pow10(exponent: u32) -> Option<i128> {
        10_i128.checked_pow(exponent)
    }

    fn build(mut mantissa: i128, mut scale: u32) -> Option<Decimal> {
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        if mantissa.abs() > MANTISSA_MAX || scale > Decimal::MAX_SCALE {
            return None;
        }
        Decimal::try_from_i128_with_scale(mantissa, scale).ok()
    }

    /// The exact product, or `None` when it does not fit.
    pub(crate) fn mul(a: Decimal, b: Decimal) -> Option<Decimal> {
        build(a.mantissa().checked_mul(b.mantissa())?, a.scale() + b.scale())
    }

    /// The exact sum, or `None` when it does not fit.
    pub(crate) fn add(a: Decimal, b: Decimal) -> Option<Decimal> {
        let scale = a.scale().max(b.scale());
        let left = a.mantissa().checked_mul(pow10(scale - a.scale())?)?;
        let right = b.mantissa().checked_mul(pow10(scale - b.scale())?)?;
        build(left.checked_add(right)?, scale)
    }

    /// The exact difference, or `None` when it does not fit.
    pub(crate) fn sub(a: Decimal, b: Decimal) -> Option<Decimal> {
        add(a, -b)
    }

    /// `part × share / whole`, rounded toward zero to `scale` decimals. Used only to apportion a total whose
    /// remainder is kept, so that the parts always add up to the whole.
    pub(crate) fn apportion(total: Decimal, share: Decimal, whole: Decimal, scale: u32) -> Option<Decimal> {
        if share == whole {
            return Some(total);
        }
        let part = total.checked_mul(share)?.checked_div(whole)?;
        Some(part.trunc_with_scale(scale.min(Decimal::MAX_SCALE)).normalize())
    }

    /// The largest whole number of `unit`s in `total` (both positive).
    pub(crate) fn units(total: Decimal, unit: Decimal) -> Option<Decimal> {
        let mut count = total.checked_div(unit)?.floor();
        // The division rounds at 28 digits: step back if it rounded up to a whole number.
        while count > Decimal::ZERO && mul(count, unit)? > total {
            count = sub(count, Decimal::ONE)?;
        }
        Some(count.normalize())
    }

    /// `a / b`, both 0 or more and `b` above it, rounded exactly once, from the true quotient, to `scale` decimals.
    pub(crate) fn div(a: Decimal, b: Decimal, scale: u32, rounding: MoneyRounding) -> Option<Decimal> {
        let (mut over, mut under) = (a.mantissa(), b.mantissa());
        match (b.scale() + scale).checked_sub(a.scale()) {
            Some(up) => over = over.checked_mul(pow10(up)?)?,
            None => under = under.checked_mul(pow10(a.scale() - b.scale() - scale)?)?,
        }
        let (whole, rest) = (over.checked_div(under)?, over.checked_rem(under)?);
        let more = match rounding {
            MoneyRounding::Down => false,
            MoneyRounding::Up => rest > 0,
            MoneyRounding::Nearest => rest >= under - rest,
        };
        build(whole.checked_add(i128::from(more))?, scale)
    }

    /// `a / b` rounded away from zero to `scale` decimals: for what must never be understated.
    pub(crate) fn div_up(a: Decimal, b: Decimal, scale: u32) -> Option<Decimal> {
        let quotient = a.checked_div(b)?;
        let rounded = quotient.round_dp_with_strategy(scale, rust_decimal::RoundingStrategy::AwayFromZero);
        Some(rounded.normalize())
    }
}

fn parse(text: &str) -> Result<Decimal, NumberError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && digits.bytes().filter(|b| *b == b'.').count() <= 1
        && digits.bytes().any(|b| b.is_ascii_digit());
    let shown = || text.chars().take(48).collect::<String>();
    if !plain {
        return Err(NumberError::NotDecimal { got: shown() });
    }
    Decimal::from_str_exact(text).map(|d| d.normalize()).map_err(|_| NumberError::TooLong { got: shown() })
}

/// A number of one kind: what the newtypes of this module share.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $what:literal, $fits:literal, $ok:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(Decimal);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(Decimal::ZERO);

            /// The number, if it is in range.
            ///
            /// # Errors
            /// [`NumberError::OutOfRange`] when the value is not what this type allows.
            pub fn new(value: Decimal) -> Result<Self, NumberError> {
                let fits: fn(&Decimal) -> bool = $ok;
                if fits(&value) {
                    Ok(Self(value.normalize()))
                } else {
                    Err(NumberError::OutOfRange { what: $what, got: value.normalize().to_string(), fits: $fits })
                }
            }

            /// The exact value.
            #[must_use]
            pub fn decimal(self) -> Decimal {
                self.0
            }

            /// Whether the value is zero.
            #[must_use]
            pub fn is_zero(self) -> bool {
                self.0.is_zero()
            }

            /// The exact sum.
            ///
            /// # Errors
            /// [`NumberError::Overflow`] when it does not fit 28 digits.
            pub fn plus(self, other: Self) -> Result<Self, NumberError> {
                exact::add(self.0, other.0).map(Self).ok_or(NumberError::Overflow { operation: concat!($what, " + ", $what) })
            }

            /// The exact difference.
            ///
            /// # Errors
            /// [`NumberError::Overflow`] when it does not fit, [`NumberError::OutOfRange`] when it leaves this type's range.
            pub fn minus(self, other: Self) -> Result<Self, NumberError> {
                let difference = exact::sub(self.0, other.0).ok_or(NumberError::Overflow { operation: concat!($what, " - ", $what) })?;
                Self::new(difference)
            }
        }

        impl FromStr for $name {
            type Err = NumberError;

            fn from_str(text: &str) -> Result<Self, NumberError> {
                Self::new(parse(text)?)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = text_only(deserializer, $what)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Reads a string and refuses JSON numbers with a sentence that says what to write.
fn text_only<'de, D: Deserializer<'de>>(deserializer: D, what: &'static str) -> Result<String, D::Error> {
    struct Visitor(&'static str);
    impl serde::de::Visitor<'_> for Visitor {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} as a string such as \"38.1\" (a JSON number may already have lost digits)", self.0)
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }
    deserializer.deserialize_any(Visitor(what))
}

number!(
    /// A price in quote units per base unit, or per contract; positive.
    Price, "price", "greater than 0", |d| *d > Decimal::ZERO
);
number!(
    /// A quantity in base units; of inverse contracts in quote units, of quanto ones in contracts ([`Contract`](super::contract::Contract));
    /// never negative.
    Quantity, "quantity", "0 or more", |d| *d >= Decimal::ZERO
);
number!(
    /// A quantity with a sign: positive is long, negative is short; in the units of a [`Quantity`].
    SignedQuantity, "signed quantity", "a number", |_| true
);
number!(
    /// What a quantity is worth, such as price × quantity; in the unit of the currency it stands beside; never negative.
    Notional, "notional", "0 or more", |d| *d >= Decimal::ZERO
);
number!(
    /// An amount of money with a sign, in the unit of the currency it stands beside.
    Amount, "amount", "a number", |_| true
);
number!(
    /// How many times the margin a position is worth; at least 1.
    Leverage, "leverage", "between 1 and 1000", |d| *d >= Decimal::ONE && *d <= Decimal::ONE_THOUSAND
);
number!(
    /// A share of something: `0.05` is five percent; between 0 and 1.
    Fraction, "fraction", "between 0 and 1", |d| *d >= Decimal::ZERO && *d <= Decimal::ONE
);
number!(
    /// A rate with a sign, such as a fee rate (`0.00045`) or a rebate (`-0.0001`); between -1 and 1.
    Rate, "rate", "between -1 and 1", |d| d.abs() <= Decimal::ONE
);
number!(
    /// A positive factor without a unit, such as a multiplier or a currency rate.
    Factor, "factor", "greater than 0", |d| *d > Decimal::ZERO
);

const fn overflow(operation: &'static str) -> NumberError {
    NumberError::Overflow { operation }
}

impl Leverage {
    /// No leverage.
    pub const ONE: Self = Self(Decimal::ONE);
}

impl Factor {
    /// One.
    pub const ONE: Self = Self(Decimal::ONE);
}

impl Price {
    /// Price × quantity.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the exact product does not fit.
    pub fn notional(self, quantity: Quantity) -> Result<Notional, NumberError> {
        exact::mul(self.0, quantity.0).map(Notional).ok_or(overflow("price × quantity"))
    }
}

impl Quantity {
    /// The same quantity, long (positive) or short (negative).
    #[must_use]
    pub fn signed(self, long: bool) -> SignedQuantity {
        SignedQuantity(if long { self.0 } else { -self.0 }.normalize())
    }
}

impl SignedQuantity {
    /// The quantity without its sign.
    #[must_use]
    pub fn magnitude(self) -> Quantity {
        Quantity(self.0.abs())
    }

    /// Whether the quantity is above zero.
    #[must_use]
    pub fn is_long(self) -> bool {
        self.0 > Decimal::ZERO
    }

    /// Whether the quantity is below zero.
    #[must_use]
    pub fn is_short(self) -> bool {
        self.0 < Decimal::ZERO
    }
}

impl std::ops::Neg for SignedQuantity {
    type Output = Self;

    fn neg(self) -> Self {
        Self((-self.0).normalize())
    }
}

impl Notional {
    /// The same value as an amount of money.
    #[must_use]
    pub fn amount(self) -> Amount {
        Amount(self.0)
    }

    /// The notional multiplied by a factor, such as a currency rate.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the exact product does not fit.
    pub fn times(self, factor: Factor) -> Result<Self, NumberError> {
        exact::mul(self.0, factor.0).map(Self).ok_or(overflow("notional × factor"))
    }

    /// The margin that carries this notional at `leverage`, rounded up to 12 decimals.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the result does not fit.
    pub fn margin(self, leverage: Leverage) -> Result<Self, NumberError> {
        exact::div_up(self.0, leverage.0, 12).map(Self).ok_or(overflow("notional / leverage"))
    }
}

impl Amount {
    /// The amount without its sign.
    #[must_use]
    pub fn magnitude(self) -> Notional {
        Notional(self.0.abs())
    }
}

impl std::ops::Neg for Amount {
    type Output = Self;

    fn neg(self) -> Self {
        Self((-self.0).normalize())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_value_has_one_spelling() {
        let check = |text: &str, printed: &str| {
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), printed);
        };
        check("0.80", "0.8");
        check("0.8", "0.8");
        check("100", "100");
        check("100.000", "100");
        check("-0", "0");
        check("-0.10", "-0.1");
        check("007", "7");
        check(".5", "0.5");
    }

    #[test]
    fn bad_text_is_refused_with_what_fits() {
        let check = |text: &str, words: &str| {
            let error = text.parse::<Quantity>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        };
        check("", "not a decimal number");
        check("NaN", "not a decimal number");
        check("inf", "not a decimal number");
        check("1e5", "not a decimal number");
        check("1_000", "not a decimal number");
        check("1.2.3", "not a decimal number");
        check("--1", "not a decimal number");
        check("-1", "must be 0 or more");
        check("123456789012345678901234567890", "more than 28");
        check("0.12345678901234567890123456789012", "more than 28");
    }

    #[test]
    fn json_numbers_are_refused() {
        let error = serde_json::from_str::<Price>("38.1").unwrap_err().to_string();
        assert!(error.contains("as a string"), "{error}");
        assert_eq!(serde_json::from_str::<Price>("\"38.10\"").unwrap().to_string(), "38.1");
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_never_a_panic() {
        let big: Price = "1000000000000000000".parse().unwrap();
        let many: Quantity = "1000000000000000000".parse().unwrap();
        assert_eq!(big.notional(many), Err(NumberError::Overflow { operation: "price × quantity" }));
        let fine: Price = "0.0000000000000001".parse().unwrap();
        let small: Quantity = "0.0000000000001".parse().unwrap();
        assert!(fine.notional(small).is_err(), "29 decimals must not be rounded away");
    }

    prop_compose! {
        fn decimals()(mantissa in -1_000_000_000_000_i64..1_000_000_000_000, scale in 0_u32..10) -> Decimal {
            Decimal::new(mantissa, scale).normalize()
        }
    }

    proptest! {
        #[test]
        fn sums_and_products_are_exact(a in decimals(), b in decimals()) {
            let sum = exact::add(a, b).unwrap();
            prop_assert_eq!(exact::sub(sum, b).unwrap(), a);
            let product = exact::mul(a, b).unwrap();
            prop_assert_eq!(product.mantissa() * 10_i128.pow(a.scale() + b.scale() - product.scale()), a.mantissa() * b.mantissa());
        }

        #[test]
        fn whole_units_never_exceed_the_total(total in 1_i64..i64::MAX, unit in 1_i64..1_000_000, a in 0_u32..12, b in 0_u32..12) {
            let (total, unit) = (Decimal::new(total, a), Decimal::new(unit, b));
            if let Some(count) = exact::units(total, unit) {
                let used = exact::mul(count, unit).unwrap();
                prop_assert!(used <= total);
                prop_assert!(exact::add(used, unit).is_none_or(|next| next > total));
            }
        }

        #[test]
        fn text_round_trips(a in decimals()) {
            let number = Amount::new(a).unwrap();
            prop_assert_eq!(number.to_string().parse::<Amount>().unwrap(), number);
            let json = serde_json::to_string(&number).unwrap();
            prop_assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), number);
        }

        #[test]
        fn apportioned_parts_stay_within_the_total(total in 0_i64..1_000_000_000, whole in 1_i64..1_000_000, part in 0_i64..1_000_000) {
            let part = part.min(whole);
            let share = exact::apportion(Decimal::from(total), Decimal::from(part), Decimal::from(whole), 8).unwrap();
            prop_assert!(share >= Decimal::ZERO && share <= Decimal::from(total));
        }
    }
}
