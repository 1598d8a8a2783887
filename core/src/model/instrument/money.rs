//! What an instrument's quantities are worth, and how much of it some money is.

use rust_decimal::Decimal;

use super::Instrument;
use crate::model::contract::{Contract, MoneyRounding};
use crate::model::ids::Asset;
use crate::model::number::{Factor, Notional, NumberError, Price, Quantity, exact};
use crate::model::time::Timestamp;

const fn overflow() -> NumberError {
    NumberError::Overflow { operation: "fee" }
}

impl Instrument {
    /// What a quantity is worth at a price, in the settlement currency: what margin and fees are of.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the result does not fit.
    pub fn worth(&self, quantity: Quantity, price: Price) -> Result<Notional, NumberError> {
        self.contract.worth(quantity, price)
    }

    /// The most that an order can be worth at a price, in the settlement currency, in however many trades it fills.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the result does not fit.
    pub fn worth_at_most(&self, quantity: Quantity, price: Price) -> Result<Notional, NumberError> {
        self.contract.worth_at_most(quantity, self.lot_size, price)
    }

    /// The most that an order can cost in fees at a price, in the settlement currency, in however many trades it fills. Nothing where there is
    /// a rebate.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the result does not fit.
    pub fn fee_at_most(&self, quantity: Quantity, price: Price) -> Result<Notional, NumberError> {
        let Ok(rate) = Factor::new(self.taker_fee.decimal().max(Decimal::ZERO)) else { return Ok(Notional::ZERO) };
        let Some(money) = self.contract.money() else { return self.worth(quantity, price)?.times(rate) };
        // Venues round the fee of each trade too; no trade is smaller than a lot.
        let one = self.worth_at_most(self.lot_size, price)?.times(rate)?;
        let fee = money.up(one.decimal()).zip(exact::div(quantity.decimal(), self.lot_size.decimal(), 0, MoneyRounding::Up));
        Notional::new(fee.and_then(|(one, lots)| exact::mul(one, lots)).ok_or_else(overflow)?)
    }

    /// What a quantity counts for the smallest order: in [`Self::notional_currency`].
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the result does not fit.
    pub fn notional(&self, quantity: Quantity, price: Price) -> Result<Notional, NumberError> {
        match self.contract {
            Contract::Linear | Contract::Quanto { .. } => self.worth(quantity, price),
            Contract::Inverse { .. } => Notional::new(quantity.decimal()),
        }
    }

    /// What the notional of an order is in: the quote currency; of quanto contracts, which are worth nothing in it, the settlement currency.
    #[must_use]
    pub fn notional_currency(&self) -> &Asset {
        if matches!(self.contract, Contract::Quanto { .. }) { &self.settle } else { &self.quote }
    }

    /// The whole lots that a notional, in [`Self::notional_currency`], buys at `price`, rounded down.
    #[must_use]
    pub fn quantity_for(&self, notional: Notional, price: Price) -> Quantity {
        match self.contract {
            Contract::Linear | Contract::Quanto { .. } => self.quantity_worth(notional, price),
            Contract::Inverse { .. } => self.lots(notional.decimal(), self.lot_size.decimal()),
        }
    }

    /// The whole lots that are worth no more than `worth`, in the settlement currency, at `price`: rounded down.
    #[must_use]
    pub fn quantity_worth(&self, worth: Notional, price: Price) -> Quantity {
        let one = if self.contract.is_linear() {
            exact::mul(price.decimal(), self.lot_size.decimal())
        } else {
            self.worth_at_most(self.lot_size, price).ok().map(Notional::decimal)
        };
        one.map_or(Quantity::ZERO, |one| self.lots(worth.decimal(), one))
    }

    /// The whole lots that are so many `units` of an asset at `price`, where one of the base is `per_base` of them; rounded down. Quanto contracts
    /// are of no units of anything: there the number is one of contracts. Not bounded by the largest order: `None` only where it does not fit.
    #[must_use]
    pub fn quantity_of(&self, units: Decimal, per_base: Factor, price: Price) -> Option<Quantity> {
        let units = if self.contract.is_inverse() { exact::mul(units, price.decimal()) } else { Some(units) };
        let one = exact::mul(self.lot_size.decimal(), per_base.decimal());
        let lots = units.zip(one).and_then(|(units, one)| exact::units(units, one))?;
        exact::mul(lots, self.lot_size.decimal()).and_then(|value| Quantity::new(value).ok())
    }

    /// The whole lots with which no more than `loss`, in the settlement currency, is lost between two prices, the fees of both trades included:
    /// rounded down, however many trades they fill in.
    #[must_use]
    pub fn quantity_risking(&self, loss: Notional, entry: Price, stop: Price) -> Quantity {
        self.lost_by_a_lot(entry, stop).map_or(Quantity::ZERO, |lost| self.lots(loss.decimal(), lost))
    }

    /// What one lot loses at most between two prices, with the fees of both trades.
    pub(crate) fn lost_by_a_lot(&self, entry: Price, stop: Price) -> Option<Decimal> {
        let dearer = self.dearer(entry, stop);
        let cheaper = if dearer == entry { stop } else { entry };
        let most = self.worth_at_most(self.lot_size, dearer).ok()?.decimal();
        let least = match self.contract.money() {
            // A trade may be rounded down: by less than a unit for each lot.
            Some(money) => exact::sub(self.worth_at_most(self.lot_size, cheaper).ok()?.decimal(), Decimal::new(1, money.scale))?,
            None => self.worth(self.lot_size, cheaper).ok()?.decimal(),
        };
        let fees = [entry, stop].map(|price| self.fee_at_most(self.lot_size, price).ok().map(Notional::decimal));
        let lost = fees.into_iter().try_fold(exact::sub(most, least)?, |sum, fee| exact::add(sum, fee?))?;
        (lost > Decimal::ZERO).then_some(lost)
    }

    /// Of two prices between which an order may fill, the one at which what it makes is worth most: the one to reserve at.
    #[must_use]
    pub fn dearer(&self, one: Price, other: Price) -> Price {
        if self.contract.rises_with_price() { one.max(other) } else { one.min(other) }
    }

    /// How many whole lots fit, each of which counts `one`: as a quantity.
    pub(crate) fn lots(&self, total: Decimal, one: Decimal) -> Quantity {
        exact::units(total, one)
            .and_then(|lots| exact::mul(lots, self.lot_size.decimal()))
            .and_then(|value| Quantity::new(value).ok())
            .map_or(Quantity::ZERO, |quantity| quantity.min(self.max_quantity))
    }

    /// When it expires, if that is no later than `margin` from now.
    #[must_use]
    pub fn expires_within(&self, now: Timestamp, margin: std::time::Duration) -> Option<Timestamp> {
        self.expiry.filter(|expiry| *expiry <= now.after(margin))
    }

    /// Whether it trades at an instant: not after its expiry, and only in its hours.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.expiry.is_none_or(|expiry| at < expiry) && self.hours.as_ref().is_none_or(|hours| hours.is_open(at))
    }

    /// When it trades again: `None` while it does, or where it will not.
    #[must_use]
    pub fn opens_after(&self, at: Timestamp) -> Option<Timestamp> {
        let opens = self.hours.as_ref()?.opens_after(at)?;
        self.expiry.is_none_or(|expiry| opens < expiry).then_some(opens)
    }
}
