//! A virtual position: quantity and cost as totals, so that no division ever loses money.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::exposure::Stake;
use crate::journal::Terms;
use crate::model::ids::{AccountId, Asset, DeploymentId, SignalId, VenueId, VenueSymbol};
use crate::model::instrument::Side;
use crate::model::number::{Amount, Leverage, Notional, NumberError, Price, Quantity, SignedQuantity, exact};
use crate::model::order::Fee;

/// Whose position, where, of what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PositionKey {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The account.
    pub account: AccountId,
    /// The instrument.
    pub symbol: VenueSymbol,
}

impl PositionKey {
    /// Whose position a lot is of.
    #[must_use]
    pub fn of(lot: &crate::model::close::Lot) -> Self {
        Self { deployment: lot.deployment.clone(), account: lot.account.clone(), symbol: lot.instrument.clone() }
    }

    /// All of the position, as a lot.
    #[must_use]
    pub fn whole(&self) -> crate::model::close::Lot {
        crate::model::close::Lot {
            deployment: self.deployment.clone(),
            account: self.account.clone(),
            instrument: self.symbol.clone(),
            signal: None,
        }
    }
}

/// What is left of one signal's fills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lot {
    /// The signal.
    pub signal: SignalId,
    /// How much is left of it, in base units.
    pub quantity: Quantity,
}

/// One trade to book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade {
    /// Buy or sell.
    pub side: Side,
    /// In base units.
    pub quantity: Quantity,
    /// In quote units.
    pub price: Price,
    /// What it cost.
    pub fee: Fee,
}

/// What one trade changed in money.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Booked {
    pub(crate) realized: Amount,
    /// In the settlement currency.
    pub(crate) fee: Amount,
    /// A fee in a currency that is neither settlement nor base.
    pub(crate) other_fee: Option<(Asset, Amount)>,
}

/// A virtual position.
///
/// `cost` is the signed sum of quantity × price of what is held, so unrealized PnL is `quantity × mark − cost`. A partial close takes a
/// share of the cost, rounded toward zero to the instrument's decimals; the rest stays, so cost plus realized PnL always add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    venue: VenueId,
    terms: Terms,
    leverage: Leverage,
    quantity: SignedQuantity,
    cost: Amount,
    realized: Amount,
    lots: VecDeque<Lot>,
}

fn overflow(operation: &'static str) -> NumberError {
    NumberError::Overflow { operation }
}

impl Position {
    /// A flat position.
    #[must_use]
    pub fn new(venue: VenueId, terms: Terms, leverage: Leverage) -> Self {
        let (quantity, cost, realized) = (SignedQuantity::ZERO, Amount::ZERO, Amount::ZERO);
        Self { venue, terms, leverage, quantity, cost, realized, lots: VecDeque::new() }
    }

    /// What somebody else holds, at what it cost.
    #[must_use]
    pub(crate) fn held(venue: VenueId, terms: Terms, quantity: SignedQuantity, cost: Amount, of: SignalId) -> Self {
        let lots = (!quantity.is_zero()).then(|| Lot { signal: of, quantity: quantity.magnitude() });
        Self { quantity, cost, lots: lots.into_iter().collect(), ..Self::new(venue, terms, super::outside::LEVERAGE) }
    }

    /// The venue.
    #[must_use]
    pub fn venue(&self) -> &VenueId {
        &self.venue
    }

    /// What the ledger knows of the instrument.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The leverage it was opened with.
    #[must_use]
    pub fn leverage(&self) -> Leverage {
        self.leverage
    }

    /// Positive is long.
    #[must_use]
    pub fn quantity(&self) -> SignedQuantity {
        self.quantity
    }

    /// The signed cost of what is held, in quote units.
    #[must_use]
    pub fn cost(&self) -> Amount {
        self.cost
    }

    /// What partial closes have booked since it was last flat, before fees.
    #[must_use]
    pub fn realized(&self) -> Amount {
        self.realized
    }

    /// What is left of each signal, oldest first.
    pub fn lots(&self) -> impl Iterator<Item = &Lot> {
        self.lots.iter()
    }

    /// How much of it is one signal's.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the sum does not fit.
    pub fn share_of(&self, signal: &SignalId) -> Result<Quantity, NumberError> {
        self.lots.iter().filter(|lot| lot.signal == *signal).try_fold(Quantity::ZERO, |sum, lot| sum.plus(lot.quantity))
    }

    /// Average price of what is held, rounded to 12 decimals for people.
    #[must_use]
    pub fn entry_price(&self) -> Option<Price> {
        let average = self.cost.decimal().checked_div(self.quantity.decimal())?;
        Price::new(average.round_dp(12)).ok()
    }

    /// Gain or loss at `mark`.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when it does not fit.
    pub fn unrealized(&self, mark: Price) -> Result<Amount, NumberError> {
        let value = exact::mul(self.quantity.decimal(), mark.decimal()).ok_or(overflow("quantity × mark"))?;
        Amount::new(value)?.minus(self.cost)
    }

    /// What it counts in limits and capital.
    pub(crate) fn stake(&self) -> Result<Stake, NumberError> {
        let cost = self.cost.magnitude();
        Ok(Stake { quantity: self.quantity.magnitude(), cost, margin: cost.margin(self.leverage)? })
    }

    /// Books one trade.
    ///
    /// A fee in the base asset of a buy shrinks what is acquired and is valued at the trade's price; of a sell, it is one more sale whose
    /// proceeds pay it.
    pub(crate) fn apply(&mut self, trade: &Trade, signal: &SignalId, closes: Option<&SignalId>) -> Result<Booked, NumberError> {
        let mut booked = Booked::default();
        let mut quantity = trade.quantity;
        let in_base = trade.fee.asset == self.terms.base && trade.fee.asset != self.terms.settle && !trade.fee.amount.is_zero();
        let mut base_fee = Quantity::ZERO;
        if in_base {
            base_fee = Quantity::new(trade.fee.amount.decimal())?;
            booked.fee = trade.price.notional(base_fee)?.amount();
            if trade.side.is_buy() {
                quantity = quantity.minus(base_fee)?;
                base_fee = Quantity::ZERO;
            }
        } else if trade.fee.asset == self.terms.settle {
            booked.fee = trade.fee.amount;
        } else if !trade.fee.amount.is_zero() {
            booked.other_fee = Some((trade.fee.asset.clone(), trade.fee.amount));
        }
        let mut realized = self.exchange(trade.side, quantity, trade.price, signal, closes)?;
        if !base_fee.is_zero() {
            realized = realized.plus(self.exchange(Side::Sell, base_fee, trade.price, signal, closes)?)?;
        }
        self.realized = self.realized.plus(realized)?;
        booked.realized = realized;
        Ok(booked)
    }

    /// Changes quantity and cost; returns what was realized.
    fn exchange(
        &mut self,
        side: Side,
        quantity: Quantity,
        price: Price,
        signal: &SignalId,
        closes: Option<&SignalId>,
    ) -> Result<Amount, NumberError> {
        let held = self.quantity.magnitude();
        let opens = held.is_zero() || self.quantity.is_long() == side.is_buy();
        if opens {
            self.add(side, quantity, price, signal)?;
            return Ok(Amount::ZERO);
        }
        let closed = quantity.min(held);
        let part = exact::apportion(self.cost.decimal(), closed.decimal(), held.decimal(), self.terms.money_scale)
            .ok_or(overflow("share of cost"))?;
        let part = Amount::new(part)?;
        let value = price.notional(closed)?.amount();
        let value = if self.quantity.is_long() { value } else { -value };
        let realized = value.minus(part)?;
        self.cost = self.cost.minus(part)?;
        self.quantity = self.quantity.plus(closed.signed(side.is_buy()))?;
        self.take_lots(closed, closes)?;
        let rest = quantity.minus(closed)?;
        if !rest.is_zero() {
            self.add(side, rest, price, signal)?;
        }
        Ok(realized)
    }

    fn add(&mut self, side: Side, quantity: Quantity, price: Price, signal: &SignalId) -> Result<(), NumberError> {
        let value = price.notional(quantity)?.amount();
        self.cost = self.cost.plus(if side.is_buy() { value } else { -value })?;
        self.quantity = self.quantity.plus(quantity.signed(side.is_buy()))?;
        match self.lots.back_mut().filter(|lot| lot.signal == *signal) {
            Some(lot) => lot.quantity = lot.quantity.plus(quantity)?,
            None => self.lots.push_back(Lot { signal: signal.clone(), quantity }),
        }
        Ok(())
    }

    /// Takes closed quantity out of the lots: the named signal's first, then the oldest.
    fn take_lots(&mut self, closed: Quantity, first: Option<&SignalId>) -> Result<(), NumberError> {
        let mut left = closed;
        if let Some(signal) = first {
            for lot in self.lots.iter_mut().filter(|lot| lot.signal == *signal) {
                let taken = left.min(lot.quantity);
                lot.quantity = lot.quantity.minus(taken)?;
                left = left.minus(taken)?;
            }
        }
        for lot in &mut self.lots {
            let taken = left.min(lot.quantity);
            lot.quantity = lot.quantity.minus(taken)?;
            left = left.minus(taken)?;
        }
        self.lots.retain(|lot| !lot.quantity.is_zero());
        Ok(())
    }

    /// The notional of what is held at `mark`, or at cost where that is more.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when it does not fit.
    pub fn value_at(&self, mark: Price) -> Result<Notional, NumberError> {
        Ok(mark.notional(self.quantity.magnitude())?.max(self.cost.magnitude()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;
    use crate::model::instrument::Market;

    fn terms(market: Market) -> Terms {
        Terms { asset: "HYPE".parse().unwrap(), base: "HYPE".parse().unwrap(), settle: "USDC".parse().unwrap(), market, money_scale: 4 }
    }

    fn trade(side: Side, quantity: &str, price: &str, fee: (&str, &str)) -> Trade {
        Trade {
            side,
            quantity: quantity.parse().unwrap(),
            price: price.parse().unwrap(),
            fee: Fee { asset: fee.1.parse().unwrap(), amount: fee.0.parse().unwrap() },
        }
    }

    fn flat(market: Market) -> Position {
        Position::new("paper".parse().unwrap(), terms(market), Leverage::ONE)
    }

    fn signal(name: &str) -> SignalId {
        name.parse().unwrap()
    }

    #[test]
    fn partial_closes_and_flips_book_what_was_gained() {
        let mut position = flat(Market::Perp);
        let (one, two) = (signal("one"), signal("two"));
        position.apply(&trade(Side::Buy, "3", "10", ("0", "USDC")), &one, None).unwrap();
        let booked = position.apply(&trade(Side::Sell, "1", "13", ("0.1", "USDC")), &two, None).unwrap();
        assert_eq!((booked.realized.to_string(), booked.fee.to_string()), ("3".into(), "0.1".into()));
        // Through zero: two are closed at 9, three are opened short at 9.
        let booked = position.apply(&trade(Side::Sell, "5", "9", ("0", "USDC")), &two, None).unwrap();
        assert_eq!(booked.realized.to_string(), "-2");
        assert_eq!(position.quantity().to_string(), "-3");
        assert_eq!(position.unrealized("8".parse().unwrap()).unwrap().to_string(), "3");
        assert_eq!(
            position.lots().map(|lot| (lot.signal.as_str(), lot.quantity.to_string())).collect::<Vec<_>>(),
            [("two", "3".to_owned())]
        );
    }

    #[test]
    fn a_fee_in_base_shrinks_the_lot_and_is_valued_at_the_trade() {
        let mut position = flat(Market::Spot);
        let booked = position.apply(&trade(Side::Buy, "2", "10", ("0.02", "HYPE")), &signal("one"), None).unwrap();
        assert_eq!(
            (position.quantity().to_string(), position.cost().to_string(), booked.fee.to_string()),
            ("1.98".into(), "19.8".into(), "0.2".into())
        );
        let booked = position.apply(&trade(Side::Sell, "1", "10", ("0.1", "BNB")), &signal("two"), None).unwrap();
        assert_eq!(booked.other_fee, Some(("BNB".parse().unwrap(), "0.1".parse().unwrap())));
    }

    #[test]
    fn a_close_by_signal_takes_that_signals_lots_first() {
        let mut position = flat(Market::Perp);
        for name in ["one", "two"] {
            position.apply(&trade(Side::Buy, "1", "10", ("0", "USDC")), &signal(name), None).unwrap();
        }
        position.apply(&trade(Side::Sell, "0.4", "10", ("0", "USDC")), &signal("close"), Some(&signal("two"))).unwrap();
        assert_eq!(position.share_of(&signal("one")).unwrap().to_string(), "1");
        assert_eq!(position.share_of(&signal("two")).unwrap().to_string(), "0.6");
    }

    proptest! {
        /// Money is conserved: what was realized plus what is unrealized equals the cash that flowed plus what is held, to the last digit.
        #[test]
        fn money_is_conserved_over_any_history(trades in prop::collection::vec((any::<bool>(), 1_i64..100_000, 1_i64..1_000_000, 0_i64..1000), 1..60), mark in 1_i64..1_000_000) {
            let mut position = flat(Market::Perp);
            let (mut cash, mut realized, mut fees, mut held) = (Decimal::ZERO, Amount::ZERO, Amount::ZERO, Decimal::ZERO);
            for (index, (buy, quantity, price, fee)) in trades.into_iter().enumerate() {
                let side = if buy { Side::Buy } else { Side::Sell };
                let (quantity, price, fee) = (Decimal::new(quantity, 2), Decimal::new(price, 2), Decimal::new(fee, 4));
                let one = trade(side, &quantity.to_string(), &price.to_string(), (&fee.to_string(), "USDC"));
                let booked = position.apply(&one, &signal(&format!("s{index}")), None).unwrap();
                realized = realized.plus(booked.realized).unwrap();
                fees = fees.plus(booked.fee).unwrap();
                let sign = if buy { Decimal::ONE } else { -Decimal::ONE };
                cash -= sign * quantity * price;
                cash -= fee;
                held += sign * quantity;
            }
            let mark = Price::new(Decimal::new(mark, 2)).unwrap();
            let ours = realized.plus(position.unrealized(mark).unwrap()).unwrap().minus(fees).unwrap();
            prop_assert_eq!(ours.decimal(), (cash + held * mark.decimal()).normalize());
            prop_assert_eq!(position.quantity().decimal(), held.normalize());
            let lots = position.lots().try_fold(Quantity::ZERO, |sum, lot| sum.plus(lot.quantity)).unwrap();
            prop_assert_eq!(lots, position.quantity().magnitude());
        }
    }
}
