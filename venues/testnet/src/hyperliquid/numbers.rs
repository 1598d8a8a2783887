//! Numbers as the venue reads and writes them. What is money stays in the exact types of the core; what is only shown may be rounded.

use rust_decimal::Decimal;

/// As the venue writes numbers: whole ones with `.0`.
pub(crate) fn text(value: Decimal) -> String {
    let value = value.normalize();
    if value.scale() == 0 { format!("{value}.0") } else { value.to_string() }
}

/// A plain decimal with at most 8 decimals and without an exponent, as the venue takes it.
pub(crate) fn read(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.len() <= 40;
    let value = plain.then(|| Decimal::from_str_exact(text).ok()).flatten()?.normalize();
    (value.scale() <= 8).then_some(value)
}

/// A product to be shown.
pub(crate) fn times(a: Decimal, b: Decimal) -> Decimal {
    a.checked_mul(b).unwrap_or_default()
}

/// A quotient to be shown; zero when there is none.
pub(crate) fn over(a: Decimal, b: Decimal) -> Decimal {
    a.checked_div(b).unwrap_or_default()
}

/// A sum to be shown.
pub(crate) fn plus(a: Decimal, b: Decimal) -> Decimal {
    a.checked_add(b).unwrap_or_default()
}

/// A difference to be shown.
pub(crate) fn minus(a: Decimal, b: Decimal) -> Decimal {
    a.checked_sub(b).unwrap_or_default()
}

/// Rounded for people, as the venue rounds USDC: 6 decimals.
pub(crate) fn usd(value: Decimal) -> String {
    text(value.round_dp(6))
}

/// Without trailing zeros, for answers that are no JSON numbers' texts of the venue: prices inside sentences.
pub(crate) fn plain(value: Decimal) -> String {
    value.normalize().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_venue_writes_them() {
        let check = |value: &str, expected: &str| assert_eq!(text(value.parse().unwrap()), expected);
        check("38.10", "38.1");
        check("5", "5.0");
        check("0.000", "0.0");
        check("-3.50", "-3.5");
        check("100", "100.0");
    }

    #[test]
    fn only_plain_decimals_are_read() {
        assert_eq!(read("38.10").unwrap().to_string(), "38.1");
        for wrong in ["", "1e5", "0x1", "1.123456789", "1,5", ".", " 1", "1.2.3"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
