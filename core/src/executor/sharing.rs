//! Who bears how much of what happens to a shared position: exact, so that the shares add up to the last digit.

use rust_decimal::Decimal;

use crate::model::number::{NumberError, exact};

/// Decimals of a share of money, unless the whole has more.
const SCALE: u32 = 12;

const fn overflow() -> NumberError {
    NumberError::Overflow { operation: "sharing" }
}

fn sum(parts: impl IntoIterator<Item = Decimal>) -> Result<Decimal, NumberError> {
    parts.into_iter().try_fold(Decimal::ZERO, exact::add).ok_or_else(overflow)
}

/// Which is the largest; of equally large ones the first.
fn largest(weights: impl IntoIterator<Item = Decimal>) -> Option<usize> {
    let mut best: Option<(usize, Decimal)> = None;
    for (index, weight) in weights.into_iter().enumerate() {
        if best.is_none_or(|(_, most)| weight > most) {
            best = Some((index, weight));
        }
    }
    best.map(|(index, _)| index)
}

/// Shares a total by weight. Weights may have signs: a share against the sum of them gets the opposite. What rounding leaves over is the
/// largest weight's, of equal ones the first one's. `None` when the weights add up to nothing.
///
/// # Errors
/// [`NumberError::Overflow`] when a share does not fit.
pub(super) fn pro_rata(total: Decimal, weights: &[Decimal]) -> Result<Option<Vec<Decimal>>, NumberError> {
    let whole = sum(weights.iter().copied())?;
    let Some(last) = largest(weights.iter().map(Decimal::abs)).filter(|_| !whole.is_zero()) else { return Ok(None) };
    let scale = SCALE.max(total.scale());
    let mut parts =
        weights.iter().map(|weight| exact::apportion(total, *weight, whole, scale)).collect::<Option<Vec<_>>>().ok_or_else(overflow)?;
    let rest = exact::sub(total, sum(parts.iter().copied())?).ok_or_else(overflow)?;
    parts[last] = exact::add(parts[last], rest).ok_or_else(overflow)?;
    Ok(Some(parts))
}

/// How each holding changes when `quantity` of their sum is closed from outside: all shrink in proportion, those against the sum too, by
/// whole lots and never through zero. Odd lots are taken from the holding on the side of the sum that has most left. What no holding
/// can bear is left over.
///
/// # Errors
/// [`NumberError::Overflow`] when a share does not fit.
pub(super) fn shrink(quantity: Decimal, held: &[Decimal], lot: Decimal) -> Result<(Vec<Decimal>, Decimal), NumberError> {
    let whole = sum(held.iter().copied())?;
    if whole.is_zero() {
        return Ok((vec![Decimal::ZERO; held.len()], quantity));
    }
    let with = |one: &Decimal| one.is_sign_positive() == whole.is_sign_positive();
    let mut taken = Vec::with_capacity(held.len());
    for one in held {
        let part = quantity.checked_mul(one.abs()).and_then(|product| product.checked_div(whole.abs())).ok_or_else(overflow)?;
        let lots = if part.is_zero() { Decimal::ZERO } else { exact::units(part, lot).ok_or_else(overflow)? };
        // A holding that is not a number of lots goes wholly when its share is all of it.
        let floored = exact::mul(lots, lot).ok_or_else(overflow)?;
        taken.push(if part >= one.abs() { one.abs() } else { floored.min(one.abs()) });
    }
    let net = |taken: &[Decimal]| sum(taken.iter().zip(held).map(|(part, one)| if with(one) { *part } else { -*part }));
    let mut rest = exact::sub(quantity, net(&taken)?).ok_or_else(overflow)?;
    while !rest.is_zero() {
        // More is to be taken from those on the side of the sum, or less.
        let room = |index: usize| {
            let (one, part) = (held[index], taken[index]);
            if !with(&one) {
                Some(Decimal::ZERO)
            } else if rest.is_sign_positive() {
                exact::sub(one.abs(), part)
            } else {
                Some(part)
            }
        };
        let rooms = (0..held.len()).map(room).collect::<Option<Vec<_>>>().ok_or_else(overflow)?;
        let Some(index) = largest(rooms.iter().copied()).filter(|index| !rooms[*index].is_zero()) else { break };
        let step = rooms[index].min(rest.abs());
        let step = if rest.is_sign_positive() { step } else { -step };
        taken[index] = exact::add(taken[index], step).ok_or_else(overflow)?;
        rest = exact::sub(rest, step).ok_or_else(overflow)?;
    }
    let changes = taken.iter().zip(held).map(|(part, one)| if one.is_sign_positive() { -*part } else { *part }).collect();
    Ok((changes, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimals(numbers: &[i64]) -> Vec<Decimal> {
        numbers.iter().map(|number| Decimal::new(*number, 2)).collect()
    }

    #[test]
    fn the_largest_holder_takes_the_remainder() {
        let parts = pro_rata(Decimal::ONE, &decimals(&[100, 100, 100])).unwrap().unwrap();
        assert_eq!(parts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["0.333333333334", "0.333333333333", "0.333333333333"]);
        assert_eq!(pro_rata(Decimal::ONE, &decimals(&[100, -100])).unwrap(), None);
        let parts = pro_rata(Decimal::TEN, &decimals(&[300, -200])).unwrap().unwrap();
        assert_eq!(parts, [Decimal::from(30), Decimal::from(-20)], "who is against the sum gets what the others pay");
    }

    #[test]
    fn a_liquidation_leaves_nobody_on_the_other_side() {
        let check = |quantity: i64, held: &[i64], changes: &[i64], rest: i64| {
            let got = shrink(Decimal::new(quantity, 2), &decimals(held), Decimal::new(1, 2)).unwrap();
            assert_eq!(got, (decimals(changes), Decimal::new(rest, 2)), "{quantity} of {held:?}");
        };
        check(300, &[300, 100, -100], &[-300, -100, 100], 0);
        check(1, &[100, 100], &[-1, 0], 0);
        check(3, &[100, 100], &[-2, -1], 0);
        check(500, &[300, 100], &[-300, -100], 100);
        check(50, &[-300, 200], &[150, -100], 0);
        check(7, &[100, -100], &[0, 0], 7);
    }

    proptest! {
        #[test]
        fn shares_add_up_to_the_last_digit(total in -1_000_000_i64..1_000_000, weights in prop::collection::vec(-100_000_i64..100_000, 1..7)) {
            let weights = decimals(&weights);
            let total = Decimal::new(total, 6);
            match pro_rata(total, &weights).unwrap() {
                Some(parts) => prop_assert_eq!(parts.iter().sum::<Decimal>().normalize(), total.normalize()),
                None => prop_assert!(weights.iter().sum::<Decimal>().is_zero()),
            }
        }

        #[test]
        fn what_is_closed_is_closed_by_somebody(quantity in 1_i64..300_000, held in prop::collection::vec(-100_000_i64..100_000, 1..7)) {
            let held = decimals(&held);
            let quantity = Decimal::new(quantity, 2);
            let whole: Decimal = held.iter().sum();
            let (changes, rest) = shrink(quantity, &held, Decimal::new(1, 2)).unwrap();
            let moved: Decimal = changes.iter().sum();
            let moved = if whole.is_sign_positive() { -moved } else { moved };
            prop_assert_eq!((moved + rest).normalize(), quantity.normalize());
            prop_assert!(!rest.is_sign_negative());
            for (one, change) in held.iter().zip(&changes) {
                prop_assert!(change.abs() <= one.abs(), "{} by {}", one, change);
                prop_assert!(change.is_zero() || change.is_sign_positive() != one.is_sign_positive());
            }
        }
    }
}
