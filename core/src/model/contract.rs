//! How a contract makes money: linear, inverse or quanto, and how its venue rounds what a trade is worth.

use rust_decimal::{Decimal, RoundingStrategy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number::{Amount, Factor, Fraction, Leverage, Notional, NumberError, Price, Quantity, SignedQuantity, exact};

/// Which way a venue rounds what a trade is worth to the smallest unit of the settlement currency. Of the magnitude: losses and gains alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MoneyRounding {
    /// To the nearest; a half away from zero.
    #[default]
    Nearest,
    /// Toward zero.
    Down,
    /// Away from zero.
    Up,
}

/// How a venue rounds what a trade is worth, which it does once, when the trade is booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MoneyRule {
    /// Decimals of the smallest unit: 8 for satoshi.
    pub scale: u32,
    /// Which way.
    #[serde(default)]
    pub rounding: MoneyRounding,
    /// Where the venue rounds the worth of one contract and multiplies it: what one contract is, in our quantity. The worth of the whole
    /// trade is rounded where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Quantity>,
}

/// How a position in an instrument makes money. Everything that is held, earned and lost is in the settlement currency.
///
/// What our [`Quantity`] counts depends on it, so that it is always exact; the venue's own count of contracts is a matter of its adapter:
///
/// | contract | quantity | worth in the settlement currency |
/// |---|---|---|
/// | linear | units of the base asset: contracts × multiplier | price × quantity, exact |
/// | inverse | units of the **quote** currency: contracts × contract value (XBTUSD: 1 USD, Deribit: 10 USD, COIN-M BTCUSD: 100 USD) | quantity ÷ price, rounded as [`MoneyRule`] says |
/// | quanto | contracts | multiplier × price × quantity, rounded so |
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Contract {
    /// Settled in what it is priced in: spot too.
    #[default]
    Linear,
    /// Settled in the base asset, and a number of quote units in size: a long position gains 1/entry − 1/exit of its quantity.
    Inverse {
        /// How its worth is rounded.
        money: MoneyRule,
    },
    /// Settled in a third currency at a rate that never changes.
    Quanto {
        /// Settlement units of one contract for one quote unit of price: 0.000001 BTC per USD for BitMEX's ETHUSD.
        multiplier: Factor,
        /// How its worth is rounded.
        money: MoneyRule,
    },
}

const fn overflow() -> NumberError {
    NumberError::Overflow { operation: "worth of a contract" }
}

impl Contract {
    /// Whether it is linear.
    #[must_use]
    pub const fn is_linear(&self) -> bool {
        matches!(self, Self::Linear)
    }

    /// Whether it is inverse.
    #[must_use]
    pub const fn is_inverse(&self) -> bool {
        matches!(self, Self::Inverse { .. })
    }

    /// Whether a higher price makes it worth more. Of inverse contracts a lower one does: there buyers are filled best, and hold most, at the
    /// lowest price.
    #[must_use]
    pub const fn rises_with_price(&self) -> bool {
        !self.is_inverse()
    }

    /// How its worth is rounded; linear ones are exact.
    #[must_use]
    pub const fn money(&self) -> Option<MoneyRule> {
        match self {
            Self::Linear => None,
            Self::Inverse { money } | Self::Quanto { money, .. } => Some(*money),
        }
    }

    /// What a quantity is worth at a price, in the settlement currency, as its venue books a trade of it.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the result does not fit.
    pub fn worth(&self, quantity: Quantity, price: Price) -> Result<Notional, NumberError> {
        let worth = match self {
            Self::Linear => return price.notional(quantity),
            Self::Inverse { money } => money.worth(quantity, |quantity| exact::div(quantity, price.decimal(), money.scale, money.rounding)),
            Self::Quanto { multiplier, money } => money.worth(quantity, |quantity| {
                let whole = exact::mul(exact::mul(price.decimal(), quantity)?, multiplier.decimal())?;
                exact::div(whole, Decimal::ONE, money.scale, money.rounding)
            }),
        };
        Notional::new(worth.ok_or_else(overflow)?)
    }

    /// The most that trades of a quantity can be worth together, however it is divided into whole lots and whichever way each is rounded.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the result does not fit.
    pub fn worth_at_most(&self, quantity: Quantity, lot: Quantity, price: Price) -> Result<Notional, NumberError> {
        let Some(MoneyRule { scale, each: None, .. }) = self.money() else { return self.worth(quantity, price) };
        let up = MoneyRule { scale, rounding: MoneyRounding::Up, each: None };
        let cautious = match *self {
            Self::Linear => Self::Linear,
            Self::Inverse { .. } => Self::Inverse { money: up },
            Self::Quanto { multiplier, .. } => Self::Quanto { multiplier, money: up },
        };
        let one = cautious.worth(lot, price)?.decimal();
        let lots = exact::div(quantity.decimal(), lot.decimal(), 0, MoneyRounding::Up).ok_or_else(overflow)?;
        Notional::new(exact::mul(lots, one).ok_or_else(overflow)?)
    }

    /// What a trade or a position counts with its sign: what is bought is positive, of an inverse contract negative. So for every contract
    ///
    /// - the cost of a position is the sum of the values of its trades, as they were booked,
    /// - its unrealized PnL is its value at the mark less its cost.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the result does not fit.
    pub fn value(&self, quantity: SignedQuantity, price: Price) -> Result<Amount, NumberError> {
        let worth = self.worth(quantity.magnitude(), price)?.amount();
        Ok(if quantity.is_short() == self.rises_with_price() { -worth } else { worth })
    }
}

impl Contract {
    /// Where a position with its own margin alone would be liquidated: where what is left of the margin is `maintenance` of what it is then worth.
    /// To 12 decimals, rounded toward the entry. `None` where no price does that. An estimate: fees, funding and what else an account holds are
    /// left out.
    #[must_use]
    pub fn liquidation_price(&self, entry: Price, leverage: Leverage, maintenance: Fraction, long: bool) -> Option<Price> {
        let (one, share) = (Decimal::ONE, Decimal::ONE.checked_div(leverage.decimal())?);
        let (less, more) = (one.checked_sub(share)?, one.checked_add(share)?);
        let (under, over) = (one.checked_sub(maintenance.decimal())?, one.checked_add(maintenance.decimal())?);
        let (by, over_what) = match (self.is_inverse(), long) {
            // Of money: entry × (1 ∓ 1 / leverage) ÷ (1 ∓ maintenance).
            (false, true) => (less, under),
            (false, false) => (more, over),
            // Of coins: entry × (1 ± maintenance) ÷ (1 ± 1 / leverage).
            (true, true) => (over, more),
            (true, false) => (under, less),
        };
        let rounding = if long { RoundingStrategy::ToPositiveInfinity } else { RoundingStrategy::ToZero };
        Price::new(entry.decimal().checked_mul(by)?.checked_div(over_what)?.round_dp_with_strategy(12, rounding)).ok()
    }
}

impl MoneyRule {
    /// To the nearest unit of so many decimals, the worth of a whole trade.
    #[must_use]
    pub const fn nearest(scale: u32) -> Self {
        Self { scale, rounding: MoneyRounding::Nearest, each: None }
    }

    /// An amount of money rounded up to whole units: for what must never be understated.
    pub(crate) fn up(&self, amount: Decimal) -> Option<Decimal> {
        exact::div(amount, Decimal::ONE, self.scale, MoneyRounding::Up)
    }

    fn worth(&self, quantity: Quantity, of: impl Fn(Decimal) -> Option<Decimal>) -> Option<Decimal> {
        let quantity = quantity.decimal();
        let whole = self.each.filter(|each| quantity.checked_rem(each.decimal()).is_some_and(|rest| rest.is_zero()));
        match whole {
            Some(each) => exact::mul(exact::units(quantity, each.decimal())?, of(each.decimal())?),
            None => of(quantity),
        }
    }
}

#[cfg(test)]
mod tests;
