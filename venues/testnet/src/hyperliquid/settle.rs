//! What the exchange reports becomes fills, positions, statuses and stream frames; then what follows from it: siblings, children.

use std::collections::VecDeque;

use omnivenue_core::model::ids::{AccountId, VenueSymbol};
use omnivenue_core::model::number::{Amount, Factor};
use omnivenue_core::model::order::{FillReport, OrderReport, OrderStatus};
use rust_decimal::Decimal;

use super::limits;
use super::numbers;
use super::orders::Order;
use super::sign::{Address, keccak};
use super::state::{Holding, Hyperliquid};

/// One trade as the venue tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) account: Address,
    pub(crate) coin: VenueSymbol,
    pub(crate) price: Decimal,
    pub(crate) size: Decimal,
    pub(crate) buy: bool,
    pub(crate) time: u64,
    pub(crate) start: Decimal,
    pub(crate) direction: &'static str,
    pub(crate) closed_pnl: Decimal,
    pub(crate) hash: String,
    pub(crate) oid: u64,
    pub(crate) cloid: Option<String>,
    pub(crate) crossed: bool,
    /// All that was charged, the builder's part included.
    pub(crate) fee: Decimal,
    pub(crate) builder_fee: Option<Decimal>,
    pub(crate) fee_token: String,
    pub(crate) tid: u64,
}

/// What a trade was to the position.
fn direction(spot: bool, buy: bool, start: Decimal, end: Decimal) -> &'static str {
    let zero = Decimal::ZERO;
    match (spot, buy) {
        (true, true) => "Buy",
        (true, false) => "Sell",
        (false, true) if start >= zero => "Open Long",
        (false, true) if end <= zero => "Close Short",
        (false, true) => "Short > Long",
        (false, false) if start <= zero => "Open Short",
        (false, false) if end >= zero => "Close Long",
        (false, false) => "Long > Short",
    }
}

impl Holding {
    /// After a trade of `size` (with its sign) at a price: the holding, and what was gained by what it closed. What is closed takes its
    /// share of the cost with it, rounded toward zero to `scale` decimals as on the exchange, so that balances and gains agree exactly.
    fn after(self, size: Decimal, price: Decimal, scale: u32) -> (Self, Decimal) {
        let opposite = !self.size.is_zero() && self.size.is_sign_positive() != size.is_sign_positive();
        let closed = if opposite { self.size.abs().min(size.abs()) } else { Decimal::ZERO };
        let released = if closed == self.size.abs() {
            self.cost
        } else {
            numbers::times(self.cost, numbers::over(closed, self.size.abs())).trunc_with_scale(scale)
        };
        let closed_size = if size.is_sign_positive() { -closed } else { closed };
        let gained = if closed.is_zero() { Decimal::ZERO } else { numbers::minus(numbers::times(closed_size, price), released) };
        let opened = numbers::plus(size, closed_size);
        let cost = numbers::plus(numbers::minus(self.cost, released), numbers::times(opened, price));
        (Self { size: numbers::plus(self.size, size), cost }, gained)
    }
}

impl Hyperliquid {
    /// Takes in whatever the exchange has done, and what follows from it, until nothing follows. `canceled_as` is the venue's word for
    /// what the exchange calls canceled.
    pub(crate) fn settle(&mut self, crossed: bool, canceled_as: &str) {
        let mut queue: VecDeque<_> = self.market.take_updates().into();
        let mut changed = Vec::new();
        while let Some((account, spot, report)) = queue.pop_front() {
            changed.extend(self.apply(&account, spot, report, crossed, canceled_as));
        }
        for (oid, traded) in changed {
            self.follow(oid, traded);
        }
    }

    fn apply(&mut self, account: &AccountId, spot: bool, report: OrderReport, crossed: bool, canceled_as: &str) -> Option<(u64, bool)> {
        let mut order = self.orders.of_paper(&report.client_order_id)?.clone();
        if !order.is_open() {
            return None;
        }
        let traded = !report.fills.is_empty();
        for fill in &report.fills {
            self.book_fill(account, spot, &mut order, fill, crossed);
        }
        match report.status {
            // It came to rest, which was told already.
            OrderStatus::Open if !traded => return None,
            OrderStatus::Open => {}
            OrderStatus::Filled => order.status = "filled".into(),
            OrderStatus::Canceled => order.status = canceled_as.into(),
            OrderStatus::Expired => order.status = "canceled".into(),
        }
        let oid = order.oid;
        self.record(order);
        Some((oid, traded))
    }

    fn book_fill(&mut self, account: &AccountId, spot: bool, order: &mut Order, fill: &FillReport, crossed: bool) {
        let (price, size) = (fill.price.decimal(), fill.quantity.decimal());
        let value = numbers::times(price, size);
        let builder_fee = self.builder_fee(account, spot, order, fill);
        let before = self.held(order.account, order.asset);
        let (mut after, gained) = before.after(if order.buy { size } else { -size }, price, self.coin_of(order).money_scale());
        let direction = direction(spot, order.buy, before.size, after.size);
        if spot && order.buy {
            after.size = numbers::minus(after.size, fill.fee.amount.decimal());
        }
        self.holdings.insert((order.account, order.asset), after);
        order.filled = order.filled.plus(fill.quantity).unwrap_or(order.filled);
        order.spent = numbers::plus(order.spent, value);
        self.last_tid += 1;
        let fill = Fill {
            account: order.account,
            coin: order.coin.clone(),
            price,
            size,
            buy: order.buy,
            time: self.now_ms(),
            start: before.size,
            direction,
            closed_pnl: if spot { Decimal::ZERO } else { gained },
            hash: super::sign::hex(&keccak(format!("fill {}", self.last_tid).as_bytes())),
            oid: order.oid,
            cloid: order.cloid.clone(),
            crossed,
            fee: numbers::plus(fill.fee.amount.decimal(), builder_fee.unwrap_or_default()),
            builder_fee,
            fee_token: fill.fee.asset.to_string(),
            tid: self.last_tid,
        };
        if let Some(account) = self.accounts.get_mut(&order.account) {
            limits::traded(account, value);
        }
        self.streams.traded(&fill);
        self.fills.entry(order.account).or_default().push(fill);
    }

    /// Charges what a builder takes, in the currency of the fee; nothing on spot buys, whose fee is in the base token.
    fn builder_fee(&mut self, id: &AccountId, spot: bool, order: &Order, fill: &FillReport) -> Option<Decimal> {
        let (_, tenths) = order.builder.filter(|_| !(spot && order.buy))?;
        let factor = Factor::new(Decimal::new(i64::try_from(tenths).ok()?, 5)).ok()?;
        let fee = fill.price.notional(fill.quantity).ok()?.times(factor).ok()?.amount();
        self.change_balance(id, spot, &fill.fee.asset, -fee, false).ok()?;
        Some(fee.decimal())
    }

    /// Changes a settled balance by hand. A deposit or transfer counts as what the account started with, a fee does not.
    pub(crate) fn change_balance(
        &mut self,
        id: &AccountId,
        spot: bool,
        asset: &omnivenue_core::model::ids::Asset,
        by: Amount,
        deposit: bool,
    ) -> Result<(), String> {
        let mut result = Ok(());
        self.market.edit(spot, |_, truth| {
            if let Some(books) = truth.accounts.get_mut(id) {
                let mut add = |amounts: &mut std::collections::BTreeMap<_, Amount>| {
                    let amount = amounts.entry(asset.clone()).or_default();
                    match amount.plus(by) {
                        Ok(sum) => *amount = sum,
                        Err(e) => result = Err(e.to_string()),
                    }
                };
                add(&mut books.balances);
                if deposit {
                    add(&mut books.deposits);
                }
            }
        })?;
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_open_shrink_and_turn() {
        let check = |trades: &[(i64, i64)], size: i64, cost: &str, gained: &str| {
            let mut holding = Holding::default();
            let mut last = Decimal::ZERO;
            for (size, price) in trades {
                (holding, last) = holding.after((*size).into(), (*price).into(), 4);
            }
            assert_eq!(
                (holding.size, holding.cost.normalize().to_string(), last.normalize().to_string()),
                (size.into(), cost.into(), gained.into())
            );
        };
        check(&[(2, 10)], 2, "20", "0");
        check(&[(2, 10), (-1, 12)], 1, "10", "2");
        check(&[(2, 10), (-2, 12)], 0, "0", "4");
        check(&[(2, 10), (-3, 12)], -1, "-12", "4");
        check(&[(-2, 100), (1, 90)], -1, "-100", "10");
        check(&[(-2, 100), (3, 110)], 1, "110", "-20");
    }

    #[test]
    fn directions_are_the_venue_s_words() {
        let check = |buy, start: i64, end: i64, expected| assert_eq!(direction(false, buy, start.into(), end.into()), expected);
        check(true, 0, 1, "Open Long");
        check(true, -1, 0, "Close Short");
        check(true, -1, 1, "Short > Long");
        check(false, 0, -1, "Open Short");
        check(false, 2, 1, "Close Long");
        check(false, 1, -1, "Long > Short");
        assert_eq!(direction(true, true, Decimal::ZERO, Decimal::ONE), "Buy");
    }
}
