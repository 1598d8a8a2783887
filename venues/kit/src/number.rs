//! Numbers of venues, read from their text.
//!
//! Venues write prices as JSON strings or as JSON numbers. A JSON number that goes through a float has lost digits,
//! so it is read from its text: [`Exact`] takes both spellings, exponents included, and refuses what it cannot keep.

use std::fmt;
use std::str::FromStr;

use omnivenue_core::model::number::{Amount, Factor, Fraction, Leverage, Notional, NumberError, Price, Quantity, Rate, SignedQuantity};
use rust_decimal::Decimal;
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

/// Digits that are kept exactly, before and behind the point together.
const DIGITS_MAX: usize = 28;

/// A decimal number exactly as the venue wrote it, from a JSON number or a JSON string.
///
/// Read it with `serde_json` from text or bytes, in structs, maps, `Option` and `Vec`. `#[serde(flatten)]` and untagged
/// enums make a float of the number before anyone sees its text: reading it there is an error. `serde_json::Value` does
/// so too, and gives what the float has left without a word: never read numbers through it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exact(Decimal);

impl Exact {
    /// The value.
    #[must_use]
    pub const fn decimal(self) -> Decimal {
        self.0
    }

    /// The value as one of the core's numbers: `exact.to::<Price>()`.
    ///
    /// # Errors
    /// [`NumberError::OutOfRange`] with the value, when it is not what that type allows.
    pub fn to<T: TryFrom<Self, Error = NumberError>>(self) -> Result<T, NumberError> {
        T::try_from(self)
    }

    /// The value as a price.
    ///
    /// # Errors
    /// [`NumberError::OutOfRange`] when it is not above zero.
    pub fn price(self) -> Result<Price, NumberError> {
        Price::new(self.0)
    }

    /// The value as a quantity.
    ///
    /// # Errors
    /// [`NumberError::OutOfRange`] when it is negative.
    pub fn quantity(self) -> Result<Quantity, NumberError> {
        Quantity::new(self.0)
    }

    /// The value as a quantity with a sign, such as a position of a netting venue.
    ///
    /// # Errors
    /// None today: every decimal is one.
    pub fn signed_quantity(self) -> Result<SignedQuantity, NumberError> {
        SignedQuantity::new(self.0)
    }

    /// The value as an amount of money.
    ///
    /// # Errors
    /// None today: every decimal is one.
    pub fn amount(self) -> Result<Amount, NumberError> {
        Amount::new(self.0)
    }
}

macro_rules! convert {
    ($($name:ident),*) => {$(
        impl TryFrom<Exact> for $name {
            type Error = NumberError;

            fn try_from(exact: Exact) -> Result<Self, NumberError> {
                Self::new(exact.0)
            }
        }
    )*};
}

convert!(Price, Quantity, SignedQuantity, Notional, Amount, Leverage, Fraction, Rate, Factor);

impl FromStr for Exact {
    type Err = NumberError;

    /// Reads digits with an optional sign, point and exponent.
    fn from_str(text: &str) -> Result<Self, NumberError> {
        parse(text).map(Self)
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        read(raw.get()).map_err(D::Error::custom)
    }
}

/// For `#[serde(default, deserialize_with = "number::or_blank")]`: `null`, `""` and absence are `None`, as some venues
/// write what does not apply.
///
/// # Errors
/// When the value is neither blank nor a number that can be kept exactly.
pub fn or_blank<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Exact>, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    match raw.get() {
        "null" | "\"\"" => Ok(None),
        text => read(text).map(Some).map_err(D::Error::custom),
    }
}

/// The number of one JSON value.
fn read(json: &str) -> Result<Exact, NumberError> {
    if !json.starts_with('"') {
        return json.parse();
    }
    // Numbers have nothing to escape: only a string with a backslash needs unescaping, and it is none.
    json.trim_matches('"').parse()
}

fn parse(text: &str) -> Result<Decimal, NumberError> {
    let shown = || text.chars().take(48).collect::<String>();
    let wrong = || NumberError::NotDecimal { got: shown() };
    let long = || NumberError::TooLong { got: shown() };
    let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = rest.split_once(['e', 'E']).map_or((rest, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong());
    }
    let exponent = exponent.map_or(Some(0), power).ok_or_else(wrong)?;

    let zeros_before = digits().take_while(|digit| *digit == b'0').count();
    let zeros_behind = (whole.bytes().chain(fraction.bytes()).rev()).take_while(|digit| *digit == b'0').count();
    let total = whole.len() + fraction.len();
    if zeros_before == total {
        return Ok(Decimal::ZERO);
    }
    let significant = total - zeros_before - zeros_behind;
    if significant > DIGITS_MAX {
        return Err(long());
    }
    let mut number: i128 = digits().skip(zeros_before).take(significant).fold(0, |number, digit| number * 10 + i128::from(digit - b'0'));
    // number × 10^power, with what the point, the zeros cut off at the end and the exponent make of it.
    let length = |count: usize| i64::try_from(count).unwrap_or(i64::MAX / 4);
    let power = exponent + length(zeros_behind) - length(fraction.len());
    let limit = length(DIGITS_MAX);
    if power > limit - length(significant) || power < -limit {
        return Err(long());
    }
    let mut scale = 0;
    if power < 0 {
        scale = u32::try_from(-power).map_err(|_| long())?;
    } else {
        let factor = u32::try_from(power).ok().and_then(|power| 10_i128.checked_pow(power)).ok_or_else(long)?;
        number = number.checked_mul(factor).ok_or_else(long)?;
    }
    Decimal::try_from_i128_with_scale(if negative { -number } else { number }, scale).map_err(|_| long())
}

/// An exponent, held within what no number of ours can reach.
fn power(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<i64>().unwrap_or(i64::MAX).min(i64::MAX / 4);
    Some(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[test]
    fn both_spellings_and_exponents_are_exact() {
        let check = |json: &str, printed: &str| assert_eq!(serde_json::from_str::<Exact>(json).unwrap().to_string(), printed, "{json}");
        check("38.1", "38.1");
        check("\"38.10\"", "38.1");
        check("0.1", "0.1");
        check("1e-7", "0.0000001");
        check("\"1E-7\"", "0.0000001");
        check("12.5e+2", "1250");
        check("-1.50e0", "-1.5");
        check("0e999999999999999999999", "0");
        check("-0.0", "0");
        check("100", "100");
        check("\".5\"", "0.5");
        check("\"5.\"", "5");
        check(" 7 ", "7");
        check("0.1234567890123456789012345678", "0.1234567890123456789012345678");
        check("9999999999999999999999999999", "9999999999999999999999999999");
        check("100000000000000000000000000000000e-30", "100");
        check("9007199254740993", "9007199254740993");
    }

    #[test]
    fn what_cannot_be_kept_is_refused_and_named() {
        let check = |json: &str, words: &str| {
            let error = serde_json::from_str::<Exact>(json).unwrap_err().to_string();
            assert!(error.contains(words), "{json}: {error}");
        };
        check("0.12345678901234567890123456789", "`0.12345678901234567890123456789` has more than 28");
        check("12345678901234567890123456789", "more than 28");
        check("1e28", "more than 28");
        check("1e-29", "more than 28");
        check("1e99999999999999999999", "more than 28");
        check("-1e-99999999999999999999", "more than 28");
        for wrong in [
            "\"\"",
            "\"NaN\"",
            "\"inf\"",
            "\"1_0\"",
            "\"1,5\"",
            "\" 1\"",
            "\"+1\"",
            "\"--1\"",
            "\"1e\"",
            "\"1e+\"",
            "\"1.2.3\"",
            "\"0x10\"",
            "\".\"",
        ] {
            check(wrong, "is not a decimal number");
        }
        for wrong in ["null", "true", "{}", "[1]", "\"\\u0031\"", "\"1\\\"\""] {
            check(wrong, "is not a decimal number");
        }
        let price = "-3".parse::<Exact>().unwrap().price().unwrap_err();
        assert_eq!(price.to_string(), "price is -3, but must be greater than 0");
    }

    #[test]
    fn it_works_where_venues_put_it() {
        #[derive(Deserialize)]
        struct Level {
            px: Exact,
            sizes: Vec<Exact>,
            mark: Option<Exact>,
            #[serde(default, deserialize_with = "or_blank")]
            stop: Option<Exact>,
            #[serde(default, deserialize_with = "or_blank")]
            take: Option<Exact>,
        }
        let text = r#"[{"px":1e-7,"sizes":["1",2.50],"mark":null,"stop":""},{"px":"3","sizes":[],"mark":4,"stop":5.5,"take":null}]"#;
        let levels: Vec<Level> = serde_json::from_slice(text.as_bytes()).unwrap();
        assert_eq!(levels[0].px.price().unwrap().to_string(), "0.0000001");
        assert_eq!(levels[0].sizes[1].to::<Quantity>().unwrap().to_string(), "2.5");
        assert!(levels[0].mark.is_none() && levels[0].stop.is_none() && levels[0].take.is_none());
        assert_eq!(levels[1].mark.unwrap().amount().unwrap().to_string(), "4");
        assert_eq!(levels[1].stop.unwrap().to_string(), "5.5");
        let read: Vec<Level> = serde_json::from_reader(text.as_bytes()).unwrap();
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn a_flattened_struct_is_an_error_and_not_a_float() {
        #[derive(Debug, Deserialize)]
        struct Outer {
            #[serde(flatten)]
            _inner: Inner,
        }
        #[derive(Debug, Deserialize)]
        struct Inner {
            _px: Exact,
        }
        assert!(serde_json::from_str::<Outer>(r#"{"_px":38.100000000000000000001}"#).is_err());
    }

    #[test]
    fn a_json_value_has_lost_the_digits_before_they_can_be_read() {
        let value: serde_json::Value = serde_json::from_str("38.100000000000000000001").unwrap();
        assert_eq!(serde_json::from_value::<Exact>(value).unwrap().to_string(), "38.1", "hence never through it");
    }

    proptest! {
        #[test]
        fn shifting_the_point_by_the_exponent_changes_nothing(mantissa in -999_999_999_999_i64..999_999_999_999, shift in 0_u32..12) {
            let plain = Decimal::new(mantissa, shift).normalize();
            let text = format!("{mantissa}e-{shift}");
            prop_assert_eq!(text.parse::<Exact>().unwrap().decimal(), plain);
            prop_assert_eq!(serde_json::from_str::<Exact>(&text).unwrap().decimal(), plain);
            prop_assert_eq!(plain.to_string().parse::<Exact>().unwrap().decimal(), plain);
        }

        #[test]
        fn the_core_reads_what_is_printed(text in "-?[0-9]{1,14}(\\.[0-9]{0,14})?") {
            let exact: Exact = text.parse().unwrap();
            prop_assert_eq!(exact.amount().unwrap(), text.parse::<Amount>().unwrap());
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,60}") {
            let _ = text.parse::<Exact>();
        }

        #[test]
        fn anything_like_a_number_is_exact_or_refused(text in "-?[0-9]{0,40}\\.?[0-9]{0,40}([eE][+-]?[0-9]{1,3})?") {
            if let Ok(exact) = text.parse::<Exact>() {
                prop_assert_eq!(exact.to_string().parse::<Exact>().unwrap(), exact);
            }
        }
    }
}
