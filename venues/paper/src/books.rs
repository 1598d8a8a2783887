//! What the exchange holds for each account, and how one trade changes it: exact cash flows, nothing rounded away.

use std::collections::BTreeMap;

use omnivenue_core::model::ids::{AccountId, Asset, ClientOrderId, VenueOrderId, VenueSymbol};
use omnivenue_core::model::instrument::{InstrumentSpec, Market, Side};
use omnivenue_core::model::movement::Movement;
use omnivenue_core::model::number::{Amount, Factor, Leverage, Notional, NumberError, Price, Quantity, Rate, SignedQuantity};
use omnivenue_core::model::order::{Fee, FillReport, OrderReport, OrderStatus};
use omnivenue_core::model::time::Timestamp;

use crate::contracts;
use crate::wire::PlaceOrder;

/// The whole truth of the exchange at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Truth {
    /// When the exchange began; prices count from here.
    pub epoch: Timestamp,
    /// Every account.
    pub accounts: BTreeMap<AccountId, AccountTruth>,
}

/// What the exchange holds for one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountTruth {
    /// What it started with.
    pub deposits: BTreeMap<Asset, Amount>,
    /// Settled: deposits, plus realized PnL, less fees; on spot the holdings.
    pub balances: BTreeMap<Asset, Amount>,
    /// Positions of perpetuals and dated futures, flat ones included once they existed.
    pub positions: BTreeMap<VenueSymbol, Position>,
    /// Every order ever accepted, in order of acceptance.
    pub orders: Vec<Order>,
    /// Every trade, in order.
    pub fills: Vec<FillReport>,
    /// Every movement of money without a trade, in order.
    pub movements: Vec<Movement>,
}

/// One position, net.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Positive is long.
    pub quantity: SignedQuantity,
    /// What the open quantity was worth when it was traded: positive of a long position, negative of a short one; in the settlement currency.
    pub cost: Amount,
    /// All profit and loss booked so far, before fees.
    pub realized: Amount,
    /// The leverage it is held at.
    pub leverage: Leverage,
}

/// One accepted order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The exchange's number of it.
    pub number: u64,
    /// What was asked.
    pub place: PlaceOrder,
    /// The exact text in which it was asked.
    pub wire: String,
    /// How it stands.
    pub status: OrderStatus,
    /// How much of it traded.
    pub filled: Quantity,
    /// Why it ended, unless it filled.
    pub why: Option<String>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// How it waits, where it has a trigger.
    pub wait: Option<Wait>,
}

/// How an order waits for its trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The number of the entry that it came with; `None` where it was placed alone.
    pub entry: Option<u64>,
    /// How much the trigger wakes, in base units: what its entry has traded, or all of it where it was placed alone.
    pub armed: Quantity,
}

impl Order {
    /// The exchange's name of it.
    #[must_use]
    pub fn venue_order_id(&self) -> VenueOrderId {
        VenueOrderId::new(&self.number.to_string()).expect("digits make a name")
    }

    /// The client's name of it.
    #[must_use]
    pub const fn client_order_id(&self) -> &ClientOrderId {
        &self.place.client_order_id
    }

    /// How much of it has not traded.
    #[must_use]
    pub fn remaining(&self) -> Quantity {
        self.place.quantity.minus(self.filled).unwrap_or_default()
    }

    /// How much of it could trade at a price that it reaches: what has not traded, and of an order that waits only what is armed.
    #[must_use]
    pub fn ready(&self) -> Quantity {
        self.wait.map_or(self.place.quantity, |wait| wait.armed).minus(self.filled).unwrap_or_default()
    }

    /// The worst price it may trade at: its limit, or its worst price where that is stricter.
    #[must_use]
    pub fn bound(&self) -> Price {
        bound(&self.place)
    }

    pub(crate) fn report(&self, fills: Vec<FillReport>) -> OrderReport {
        OrderReport {
            client_order_id: self.client_order_id().clone(),
            venue_order_id: self.venue_order_id(),
            symbol: self.place.symbol.clone(),
            status: self.status,
            filled_quantity: self.filled,
            fills,
            position_id: None,
            at: self.updated_at,
        }
    }
}

pub(crate) fn bound(place: &PlaceOrder) -> Price {
    use omnivenue_core::model::signal::OrderType;
    match place.order {
        OrderType::Market => place.worst_price,
        OrderType::Limit { price, .. } if place.side.is_buy() => price.min(place.worst_price),
        OrderType::Limit { price, .. } => price.max(place.worst_price),
    }
}

/// What one trade changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Booking {
    pub(crate) fee: Fee,
    pub(crate) balances: BTreeMap<Asset, Amount>,
    pub(crate) position: Option<Position>,
}

/// One trade before it is booked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trade {
    pub(crate) side: Side,
    pub(crate) price: Price,
    pub(crate) quantity: Quantity,
    pub(crate) fee_rate: Rate,
    pub(crate) leverage: Leverage,
}

impl AccountTruth {
    /// The settled balance of an asset.
    #[must_use]
    pub fn balance(&self, asset: &Asset) -> Amount {
        self.balances.get(asset).copied().unwrap_or_default()
    }

    /// The position in a contract; flat when there never was one.
    #[must_use]
    pub fn position(&self, symbol: &VenueSymbol) -> Position {
        self.positions.get(symbol).copied().unwrap_or(Position::FLAT)
    }

    /// Computes what a trade changes, without changing it.
    pub(crate) fn book(&self, spec: &InstrumentSpec, trade: Trade) -> Result<Booking, NumberError> {
        match spec.market {
            Market::Perp | Market::Future => self.book_contract(spec, trade),
            Market::Spot => self.book_spot(spec, trade),
        }
    }

    fn book_contract(&self, spec: &InstrumentSpec, trade: Trade) -> Result<Booking, NumberError> {
        let worth = contracts::worth(spec, trade.quantity, trade.price)?;
        let fee = contracts::fee(spec, worth, trade.fee_rate)?;
        let before = self.position(&spec.symbol);
        let position = before.after(spec, trade, worth)?;
        let profit = position.realized.minus(before.realized)?;
        let balance = self.balance(&spec.settle).plus(profit)?.minus(fee)?;
        Ok(Booking {
            fee: Fee { asset: spec.settle.clone(), amount: fee },
            balances: BTreeMap::from([(spec.settle.clone(), balance)]),
            position: Some(position),
        })
    }

    fn book_spot(&self, spec: &InstrumentSpec, trade: Trade) -> Result<Booking, NumberError> {
        let value = trade.price.notional(trade.quantity)?;
        let traded = amount_of(trade.quantity)?;
        let (base, quote) = (self.balance(&spec.base), self.balance(&spec.quote));
        let (fee, base, quote) = if trade.side.is_buy() {
            let amount = share(traded.magnitude(), trade.fee_rate)?;
            let fee = Fee { asset: spec.base.clone(), amount };
            (fee, base.plus(traded)?.minus(amount)?, quote.minus(value.amount())?)
        } else {
            let amount = share(value, trade.fee_rate)?;
            let fee = Fee { asset: spec.quote.clone(), amount };
            (fee, base.minus(traded)?, quote.plus(value.amount())?.minus(amount)?)
        };
        let balances = BTreeMap::from([(spec.base.clone(), base), (spec.quote.clone(), quote)]);
        Ok(Booking { fee, balances, position: None })
    }
}

impl Position {
    /// No position.
    pub const FLAT: Self = Self { quantity: SignedQuantity::ZERO, cost: Amount::ZERO, realized: Amount::ZERO, leverage: Leverage::ONE };

    /// What it is worth at a price, in the settlement currency: positive for a long position, negative for a short one.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the exact product does not fit.
    pub fn value(&self, spec: &InstrumentSpec, mark: Price) -> Result<Amount, NumberError> {
        let value = contracts::worth(spec, self.quantity.magnitude(), mark)?.amount();
        Ok(if self.quantity.is_short() { -value } else { value })
    }

    /// What would be gained by leaving it at a price.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the exact result does not fit.
    pub fn unrealized(&self, spec: &InstrumentSpec, mark: Price) -> Result<Amount, NumberError> {
        let grown = self.value(spec, mark)?.minus(self.cost)?;
        Ok(if contracts::gains_as_worth_falls(spec) { -grown } else { grown })
    }

    /// The position after a trade that is worth `worth`. What is closed takes its share of the cost with it; the rest of the cost stays, so that
    /// nothing is lost to rounding. What a trade through zero opens costs what it is worth beyond what it closes.
    fn after(self, spec: &InstrumentSpec, trade: Trade, worth: Notional) -> Result<Self, NumberError> {
        let long = trade.side.is_buy();
        let opposite = if long { self.quantity.is_short() } else { self.quantity.is_long() };
        let held = self.quantity.magnitude();
        let closed = if opposite { held.min(trade.quantity) } else { Quantity::ZERO };
        let opened = trade.quantity.minus(closed)?;
        let released = apportion(self.cost, closed, held, scale(spec));
        let worth_of_closed = if opened.is_zero() { worth } else { contracts::worth(spec, closed, trade.price)? };
        let received = signed(worth_of_closed, !long);
        let paid = if long { worth.amount().minus(worth_of_closed.amount())? } else { worth_of_closed.amount().minus(worth.amount())? };
        let gained = received.minus(released)?;
        let gained = if contracts::gains_as_worth_falls(spec) { -gained } else { gained };
        Ok(Self {
            quantity: self.quantity.plus(trade.quantity.signed(long))?,
            cost: self.cost.minus(released)?.plus(paid)?,
            realized: self.realized.plus(gained)?,
            leverage: if opened.is_zero() { self.leverage } else { trade.leverage },
        })
    }
}

fn signed(value: Notional, positive: bool) -> Amount {
    if positive { value.amount() } else { -value.amount() }
}

/// Decimals of the cost that stays with what remains open.
fn scale(spec: &InstrumentSpec) -> u32 {
    if let Some(money) = spec.contract.money() {
        return money.scale;
    }
    let tick = spec.price_rule.tick_size.map_or(0, |tick| tick.decimal().scale());
    tick.max(spec.price_rule.decimals.unwrap_or(0)) + spec.lot_size.decimal().scale()
}

/// The share of `total` that belongs to `part` of `whole`, rounded toward zero. The caller keeps the remainder.
fn apportion(total: Amount, part: Quantity, whole: Quantity, scale: u32) -> Amount {
    if part == whole {
        return total;
    }
    let ratio = part.decimal().checked_div(whole.decimal());
    let share = ratio.and_then(|ratio| total.decimal().checked_mul(ratio));
    share.and_then(|share| Amount::new(share.trunc_with_scale(scale)).ok()).unwrap_or_default()
}

/// A rate of a value, exactly; negative for a rebate.
pub(crate) fn share(value: Notional, rate: Rate) -> Result<Amount, NumberError> {
    let Ok(factor) = Factor::new(rate.decimal().abs()) else {
        return Ok(Amount::ZERO);
    };
    let share = value.times(factor)?.amount();
    Ok(if rate < Rate::ZERO { -share } else { share })
}

/// A quantity of an asset, as an amount of it.
pub(crate) fn amount_of(quantity: Quantity) -> Result<Amount, NumberError> {
    Amount::new(quantity.decimal())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trade(text: &str) -> Trade {
        let mut words = text.split(' ');
        let side = if words.next() == Some("buy") { Side::Buy } else { Side::Sell };
        let quantity = words.next().unwrap().parse().unwrap();
        let price = words.next().unwrap().parse().unwrap();
        Trade { side, price, quantity, fee_rate: "0.001".parse().unwrap(), leverage: Leverage::ONE }
    }

    fn run(trades: &[&str]) -> (String, String, String) {
        let spec = InstrumentSpec {
            price_rule: omnivenue_core::model::instrument::PriceRule { decimals: Some(4), ..Default::default() },
            lot_size: "1".parse().unwrap(),
            ..crate::Config::hyperliquid_like().instruments[0].clone()
        };
        let after = |position: Position, text: &&str| {
            let trade = trade(text);
            position.after(&spec, trade, contracts::worth(&spec, trade.quantity, trade.price).unwrap()).unwrap()
        };
        let position = trades.iter().fold(Position::FLAT, after);
        (position.quantity.to_string(), position.cost.to_string(), position.realized.to_string())
    }

    #[test]
    fn positions_open_grow_shrink_and_turn() {
        let check = |trades: &[&str], quantity: &str, cost: &str, realized: &str| {
            assert_eq!(run(trades), (quantity.into(), cost.into(), realized.into()), "{trades:?}");
        };
        check(&["buy 2 10"], "2", "20", "0");
        check(&["buy 2 10", "buy 1 13"], "3", "33", "0");
        check(&["buy 2 10", "sell 1 12"], "1", "10", "2");
        check(&["buy 2 10", "sell 2 12"], "0", "0", "4");
        check(&["buy 2 10", "sell 3 12"], "-1", "-12", "4");
        check(&["sell 1 100", "buy 1 90"], "0", "0", "10");
        check(&["sell 2 100", "buy 1 110"], "-1", "-100", "-10");
        // A third of the cost is no decimal: what is not released stays.
        check(&["buy 3 0.3333", "buy 0.1 1", "sell 1 1"], "2.1", "0.7451", "0.6452");
    }

    #[test]
    fn rebates_are_negative_fees() {
        let value = "100".parse().unwrap();
        assert_eq!(share(value, "-0.0001".parse().unwrap()).unwrap().to_string(), "-0.01");
        assert_eq!(share(value, Rate::ZERO).unwrap(), Amount::ZERO);
    }

    #[test]
    fn spot_takes_its_fee_in_what_is_received() {
        let config = crate::Config::spot_like();
        let account =
            AccountTruth { balances: BTreeMap::from([("USDC".parse().unwrap(), "1000".parse().unwrap())]), ..AccountTruth::default() };
        let hype = &config.instruments[1];
        let bought = account.book(hype, trade("buy 10 38")).unwrap();
        assert_eq!(bought.fee, Fee { asset: "HYPE".parse().unwrap(), amount: "0.01".parse().unwrap() });
        assert_eq!(format!("{:?}", bought.balances), "{HYPE: 9.99, USDC: 620}");
        let holder = AccountTruth { balances: bought.balances, ..AccountTruth::default() };
        let sold = holder.book(hype, trade("sell 9 40")).unwrap();
        assert_eq!(sold.fee, Fee { asset: "USDC".parse().unwrap(), amount: "0.36".parse().unwrap() });
        assert_eq!(format!("{:?}", sold.balances), "{HYPE: 0.99, USDC: 979.64}");
    }
}
