//! A virtual position: quantity and cost as totals, so that no division ever loses money.

use std::collections::VecDeque;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::exposure::Stake;
use crate::journal::Terms;
use crate::model::contract::{Contract, MoneyRule};
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
    /// How much is left of it.
    pub quantity: Quantity,
}

/// One trade to book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade {
    /// Buy or sell.
    pub side: Side,
    /// In the units of the instrument's quantity.
    pub quantity: Quantity,
    /// In quote units.
    pub price: Price,
    /// What it cost.
    pub fee: Fee,
    /// What it counts, where it is a part of what the venue has rounded as a whole; else it follows from the price.
    pub value: Option<Amount>,
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
/// `cost` is the signed sum of what the trades of what is held were worth, each rounded as its venue does when it is booked
/// ([`Contract::value`](crate::model::contract::Contract::value)), so unrealized PnL is the value at the mark less the cost. A partial close
/// takes a share of the cost, rounded toward zero to the instrument's decimals; the rest stays. What a trade through zero opens is worth the
/// rest of what the whole trade is. So cost plus realized PnL always add up to what was traded, and nothing is ever derived anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    venue: VenueId,
    terms: Terms,
    leverage: Leverage,
    quantity: SignedQuantity,
    cost: Amount,
    realized: Amount,
    #[serde(default)]
    funding: Amount,
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
        Self { venue, terms, leverage, quantity, cost, realized, funding: Amount::ZERO, lots: VecDeque::new() }
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

    /// The signed cost of what is held, in the settlement currency.
    #[must_use]
    pub fn cost(&self) -> Amount {
        self.cost
    }

    /// What partial closes have booked since it was last flat, before fees.
    #[must_use]
    pub fn realized(&self) -> Amount {
        self.realized
    }

    /// Funding since it was last flat; positive was received.
    #[must_use]
    pub fn funding(&self) -> Amount {
        self.funding
    }

    pub(super) fn fund(&mut self, amount: Amount) -> Result<(), NumberError> {
        self.funding = self.funding.plus(amount)?;
        Ok(())
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

    /// Average price of what is held, rounded for people: to 12 decimals, and where the cost was rounded to no more digits than that allows.
    #[must_use]
    pub fn entry_price(&self) -> Option<Price> {
        let (cost, quantity) = (self.cost.decimal().abs(), self.quantity.decimal().abs());
        let average = match self.terms.contract {
            Contract::Linear => cost.checked_div(quantity)?,
            // The mean of prices whose inverses count.
            Contract::Inverse { money } => sure_digits(quantity.checked_div(cost)?, cost, quantity, money)?,
            Contract::Quanto { multiplier, money } => {
                sure_digits(cost.checked_div(exact::mul(quantity, multiplier.decimal())?)?, cost, quantity, money)?
            }
        };
        Price::new(average.round_dp(12)).ok()
    }

    /// Gain or loss at `mark`.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when it does not fit.
    pub fn unrealized(&self, mark: Price) -> Result<Amount, NumberError> {
        self.terms.value(self.quantity, mark)?.minus(self.cost)
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
        let mut value = trade.value;
        let in_base = trade.fee.asset == self.terms.base && trade.fee.asset != self.terms.settle && !trade.fee.amount.is_zero();
        let mut base_fee = Quantity::ZERO;
        if in_base {
            base_fee = Quantity::new(trade.fee.amount.decimal())?;
            booked.fee = trade.price.notional(base_fee)?.amount();
            if trade.side.is_buy() {
                quantity = quantity.minus(base_fee)?;
                base_fee = Quantity::ZERO;
                value = None;
            }
        } else if trade.fee.asset == self.terms.settle {
            booked.fee = trade.fee.amount;
        } else if !trade.fee.amount.is_zero() {
            booked.other_fee = Some((trade.fee.asset.clone(), trade.fee.amount));
        }
        let mut realized = self.exchange(trade.side, quantity, trade.price, value, (signal, closes))?;
        if !base_fee.is_zero() {
            realized = realized.plus(self.exchange(Side::Sell, base_fee, trade.price, None, (signal, closes))?)?;
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
        value: Option<Amount>,
        (signal, closes): (&SignalId, Option<&SignalId>),
    ) -> Result<Amount, NumberError> {
        let worth = |quantity: Quantity| self.terms.value(quantity.signed(side.is_buy()), price);
        let value = value.map_or_else(|| worth(quantity), Ok)?;
        let held = self.quantity.magnitude();
        let opens = held.is_zero() || self.quantity.is_long() == side.is_buy();
        if opens {
            self.add(side, quantity, value, signal)?;
            return Ok(Amount::ZERO);
        }
        let closed = quantity.min(held);
        // Of a trade through zero: what it closes is rounded like a trade, what it opens is the rest.
        let received = if closed == quantity { value } else { worth(closed)? };
        let part = exact::apportion(self.cost.decimal(), closed.decimal(), held.decimal(), self.terms.money_scale)
            .ok_or(overflow("share of cost"))?;
        let part = Amount::new(part)?;
        let realized = (-received).minus(part)?;
        self.cost = self.cost.minus(part)?;
        self.quantity = self.quantity.plus(closed.signed(side.is_buy()))?;
        self.take_lots(closed, closes)?;
        let rest = quantity.minus(closed)?;
        if !rest.is_zero() {
            self.add(side, rest, value.minus(received)?, signal)?;
        }
        Ok(realized)
    }

    fn add(&mut self, side: Side, quantity: Quantity, value: Amount, signal: &SignalId) -> Result<(), NumberError> {
        self.cost = self.cost.plus(value)?;
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

    /// What is held is worth at `mark`, or what it cost where that is more; in the settlement currency.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when it does not fit.
    pub fn value_at(&self, mark: Price) -> Result<Notional, NumberError> {
        Ok(self.terms.worth(self.quantity.magnitude(), mark)?.max(self.cost.magnitude()))
    }
}

/// A price that was derived from a rounded cost, to the digits of which that leaves no doubt.
fn sure_digits(price: Decimal, cost: Decimal, quantity: Decimal, money: MoneyRule) -> Option<Decimal> {
    let rounded = match money.each {
        Some(each) => cost.checked_mul(each.decimal())?.checked_div(quantity)?,
        None => cost,
    };
    let units = rounded.checked_mul(Decimal::from(10_u64.checked_pow(money.scale)?))?.trunc();
    price.round_sf(units.mantissa().unsigned_abs().checked_ilog10()?.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::instrument::Market;

    fn terms(market: Market) -> Terms {
        Terms {
            asset: "HYPE".parse().unwrap(),
            base: "HYPE".parse().unwrap(),
            settle: "USDC".parse().unwrap(),
            market,
            money_scale: 4,
            contract: Contract::Linear,
        }
    }

    fn trade(side: Side, quantity: &str, price: &str, fee: (&str, &str)) -> Trade {
        Trade {
            side,
            quantity: quantity.parse().unwrap(),
            price: price.parse().unwrap(),
            fee: Fee { asset: fee.1.parse().unwrap(), amount: fee.0.parse().unwrap() },
            value: None,
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

    fn in_contract(contract: Contract) -> Position {
        let money_scale = contract.money().map_or(4, |money| money.scale);
        let terms = Terms { settle: "XBT".parse().unwrap(), contract, money_scale, ..terms(Market::Perp) };
        Position::new("paper".parse().unwrap(), terms, Leverage::ONE)
    }

    #[test]
    fn an_inverse_position_is_booked_in_coins() {
        let mut position = in_contract(Contract::Inverse { money: MoneyRule::nearest(8) });
        position.apply(&trade(Side::Buy, "100", "60000", ("0.00000084", "XBT")), &signal("one"), None).unwrap();
        // The cost alone would say 59999.88, which is more than six digits can tell.
        assert_eq!((position.cost().to_string(), position.entry_price().unwrap().to_string()), ("-0.00166667".into(), "60000".into()));
        position.apply(&trade(Side::Buy, "200", "50000", ("0", "XBT")), &signal("one"), None).unwrap();
        assert_eq!(position.unrealized("50000".parse().unwrap()).unwrap().to_string(), "-0.00033333");
        // OKX, "Calculation of contracts' profit and loss": 10 contracts at 100,000 and 5 at 80,000 are 92,307 on average.
        let mut entered = in_contract(Contract::Inverse { money: MoneyRule::nearest(8) });
        for (quantity, price) in [("1000", "100000"), ("500", "80000")] {
            entered.apply(&trade(Side::Sell, quantity, price, ("0", "XBT")), &signal("one"), None).unwrap();
        }
        assert_eq!(entered.entry_price().unwrap().to_string(), "92307.7");
        // Through zero: the long position loses, the short one begins at what is left of the trade.
        let booked = position.apply(&trade(Side::Sell, "700", "45000", ("0", "XBT")), &signal("two"), None).unwrap();
        assert_eq!((booked.realized.to_string(), position.cost().to_string()), ("-0.001".into(), "0.00888889".into()));
        assert_eq!(position.quantity().to_string(), "-400");
    }

    #[test]
    fn partial_closes_release_the_whole_cost_to_the_last_digit() {
        let contracts = [
            Contract::Linear,
            Contract::Inverse { money: MoneyRule::nearest(8) },
            Contract::Quanto { multiplier: "0.000001".parse().unwrap(), money: MoneyRule::nearest(8) },
        ];
        for contract in contracts {
            let (mut whole, mut parts) = (in_contract(contract), in_contract(contract));
            for position in [&mut whole, &mut parts] {
                for (quantity, price) in [("300", "59999.5"), ("400", "60123.5")] {
                    position.apply(&trade(Side::Buy, quantity, price, ("0", "XBT")), &signal("one"), None).unwrap();
                }
            }
            let cost = whole.cost();
            // At one price, of which every lot is worth a whole number of units: nothing but the cost could be lost on the way.
            let at_once = whole.apply(&trade(Side::Sell, "700", "62500", ("0", "XBT")), &signal("two"), None).unwrap().realized;
            let mut by_parts = Amount::ZERO;
            for quantity in ["100", "300", "200", "100"] {
                let booked = parts.apply(&trade(Side::Sell, quantity, "62500", ("0", "XBT")), &signal("two"), None).unwrap();
                by_parts = by_parts.plus(booked.realized).unwrap();
            }
            assert_eq!(by_parts, at_once, "{contract:?}");
            assert_eq!((parts.cost(), parts.quantity().is_short() || parts.quantity().is_long()), (Amount::ZERO, false));
            let sold = contract.value("-700".parse().unwrap(), "62500".parse().unwrap()).unwrap();
            assert_eq!(by_parts.plus(cost).unwrap(), -sold, "{contract:?}");
        }
    }

    prop_compose! {
        fn contracts()(kind in 0..3, rounding in 0..3, each in any::<bool>()) -> Contract {
            use crate::model::contract::MoneyRounding as Way;
            let rounding = [Way::Nearest, Way::Down, Way::Up][usize::try_from(rounding).unwrap()];
            let money = MoneyRule { scale: 8, rounding, each: each.then(|| "0.01".parse().unwrap()) };
            match kind {
                0 => Contract::Linear,
                1 => Contract::Inverse { money },
                _ => Contract::Quanto { multiplier: "0.0000125".parse().unwrap(), money },
            }
        }
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

        /// The same of contracts that are settled in another currency: what was realized plus what is unrealized, less fees, is the cash that
        /// flowed, as the venue rounded it at each trade, plus what is held at the mark.
        #[test]
        fn money_is_conserved_in_every_contract(contract in contracts(), trades in prop::collection::vec((any::<bool>(), 1_i64..1_000_000, 100_i64..10_000_000, 0_i64..1000), 1..60), mark in 100_i64..10_000_000) {
            let mut position = in_contract(contract);
            let (mut cash, mut realized, mut fees, mut held) = (Decimal::ZERO, Amount::ZERO, Amount::ZERO, SignedQuantity::ZERO);
            for (index, (buy, quantity, price, fee)) in trades.into_iter().enumerate() {
                let side = if buy { Side::Buy } else { Side::Sell };
                let (quantity, price, fee) = (Decimal::new(quantity, 2), Decimal::new(price, 2), Decimal::new(fee, 8));
                let one = trade(side, &quantity.to_string(), &price.to_string(), (&fee.to_string(), "XBT"));
                let booked = position.apply(&one, &signal(&format!("s{index}")), None).unwrap();
                realized = realized.plus(booked.realized).unwrap();
                fees = fees.plus(booked.fee).unwrap();
                // By the formulas of the venues, in their own words.
                let worth = match contract {
                    Contract::Linear => quantity * price,
                    Contract::Inverse { .. } | Contract::Quanto { .. } => contract.worth(one.quantity, one.price).unwrap().decimal(),
                };
                cash -= if buy == contract.rises_with_price() { worth } else { -worth };
                cash -= fee;
                held = held.plus(one.quantity.signed(buy)).unwrap();
            }
            let mark = Price::new(Decimal::new(mark, 2)).unwrap();
            let ours = realized.plus(position.unrealized(mark).unwrap()).unwrap().minus(fees).unwrap();
            let value = contract.value(held, mark).unwrap().decimal();
            prop_assert_eq!(ours.decimal(), (cash + value).normalize());
            prop_assert_eq!(position.quantity(), held);
        }
    }
}
