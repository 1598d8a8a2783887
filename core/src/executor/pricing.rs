//! What a leg may cost: the worst price admitted, and what an order of its size comes to at a venue with the fee.

use rust_decimal::Decimal;

use crate::model::execution::Reason;
use crate::model::instrument::{Instrument, Side};
use crate::model::number::{Price, Quantity, exact};
use crate::model::signal::{OrderType, Signal};
use crate::venue::Quote;

/// The prices between which an entry is expected to trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The worst price admitted.
    pub(super) worst: Price,
    /// The price at which the leg is reserved: for a sale, and for a purchase of an inverse contract, the two differ, since a better price makes a
    /// larger position.
    pub(super) reserve: Price,
}

/// The worst price admitted, and the price at which the leg is reserved.
pub(super) fn bounds(signal: &Signal, instrument: &Instrument, quote: &Quote, side: Side) -> Result<Bounds, Reason> {
    let away = |price: Price, up: bool| {
        let slip = signal.slippage.decimal();
        let factor = if up { exact::add(Decimal::ONE, slip) } else { exact::sub(Decimal::ONE, slip) };
        factor.and_then(|factor| price.decimal().checked_mul(factor)).and_then(|moved| Price::new(moved).ok())
    };
    let no_price =
        || Reason::new("no_valid_price", format!("no valid price of {} is within the slippage of {}", instrument.symbol, signal.slippage));
    let worst = match signal.order {
        OrderType::Market => away(if side.is_buy() { quote.ask } else { quote.bid }, side.is_buy()),
        OrderType::Limit { price, .. } => Some(price),
    };
    let worst = worst.and_then(|worst| instrument.limit_price(worst, side)).ok_or_else(no_price)?;
    if worst > instrument.max_price {
        return Err(Reason::new(
            "no_valid_price",
            format!("{worst} is above the largest price of {}, {}", instrument.symbol, instrument.max_price),
        ));
    }
    // Filled better than that, some make a larger position: sales, and purchases of inverse contracts.
    if side.is_buy() == instrument.contract.rises_with_price() {
        return Ok(Bounds { worst, reserve: worst });
    }
    let best = if side.is_buy() { away(quote.ask, false) } else { away(quote.bid, true) };
    let best = best.and_then(|best| instrument.limit_price(best, side)).ok_or_else(no_price)?;
    Ok(Bounds { worst, reserve: instrument.dearer(worst, best) })
}

/// An order, as far as its price at a venue goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) instrument: &'a Instrument,
    pub(super) quote: &'a Quote,
    pub(super) side: Side,
    pub(super) order: OrderType,
    pub(super) worst: Price,
    pub(super) quantity: Quantity,
}

impl Wanted<'_> {
    /// What one base unit comes to on average with the fee: paid for a purchase, received for a sale, in quote units. Only to compare venues:
    /// rounded at 28 digits, never booked. The fee is that of taking liquidity, also for what may rest: instruments tell no other.
    pub(super) fn after_fees(self) -> Option<Decimal> {
        let fee = self.instrument.taker_fee.decimal();
        let factor = if self.side.is_buy() { exact::add(Decimal::ONE, fee) } else { exact::sub(Decimal::ONE, fee) };
        self.average()?.checked_mul(factor?)
    }

    /// The average price: what the book offers within the worst price, and the worst price for what it does not. A venue that tells nothing of
    /// what lies behind its best price is taken at its word for all of it.
    fn average(self) -> Option<Decimal> {
        let touch = if self.side.is_buy() { self.quote.ask } else { self.quote.bid };
        if matches!(self.order, OrderType::Limit { post_only: true, .. }) || !self.admits(touch) {
            return Some(self.worst.decimal());
        }
        let levels = self.quote.depth.against(self.side);
        if levels.is_empty() || self.quote.depth.top_only || self.quantity.is_zero() {
            return Some(touch.decimal());
        }
        let (mut left, mut cost) = (self.quantity, Decimal::ZERO);
        for level in levels.iter().take_while(|level| self.admits(level.price)) {
            let taken = left.min(level.quantity);
            cost = cost.checked_add(level.price.decimal().checked_mul(taken.decimal())?)?;
            left = left.minus(taken).ok()?;
        }
        let rest = self.worst.decimal().checked_mul(left.decimal())?;
        cost.checked_add(rest)?.checked_div(self.quantity.decimal())
    }

    fn admits(self, price: Price) -> bool {
        if self.side.is_buy() { price <= self.worst } else { price >= self.worst }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instrument::{InstrumentSpec, Market, PriceRule};
    use crate::model::number::Rate;
    use crate::venue::{Depth, PriceLevel};

    fn instrument(fee: &str) -> Instrument {
        Instrument::new(InstrumentSpec {
            price_rule: PriceRule { decimals: Some(4), ..PriceRule::default() },
            taker_fee: fee.parse::<Rate>().unwrap(),
            ..crate::executor::sizing::tests::spec(Market::Perp)
        })
        .unwrap()
    }

    fn quote(depth: Depth) -> Quote {
        Quote {
            symbol: "HYPE".parse().unwrap(),
            bid: "37.99".parse().unwrap(),
            ask: "38.01".parse().unwrap(),
            at: Default::default(),
            depth,
        }
    }

    fn levels(of: &[(&str, &str)]) -> Vec<PriceLevel> {
        of.iter().map(|(price, quantity)| PriceLevel { price: price.parse().unwrap(), quantity: quantity.parse().unwrap() }).collect()
    }

    fn cost(depth: Depth, side: Side, order: OrderType, worst: &str, quantity: &str, fee: &str) -> String {
        let (instrument, quote) = (instrument(fee), quote(depth));
        let wanted = Wanted {
            instrument: &instrument,
            quote: &quote,
            side,
            order,
            worst: worst.parse().unwrap(),
            quantity: quantity.parse().unwrap(),
        };
        wanted.after_fees().unwrap().normalize().to_string()
    }

    #[test]
    fn a_book_is_walked_and_the_fee_is_on_top() {
        let book = || Depth::book(levels(&[("37.99", "1"), ("37.9", "3")]), levels(&[("38.01", "1"), ("38.1", "3"), ("39", "100")]));
        let check = |side, worst, quantity, fee, expected: &str| {
            assert_eq!(cost(book(), side, OrderType::Market, worst, quantity, fee), expected, "{side} {quantity} within {worst}");
        };
        // 38.01, and then (38.01 + 3 × 38.1) / 4.
        check(Side::Buy, "38.5", "1", "0", "38.01");
        check(Side::Buy, "38.5", "4", "0", "38.0775");
        check(Side::Buy, "38.5", "4", "0.001", "38.1155775");
        // What is not offered within the worst price counts at it: (38.01 + 3 × 38.1 + 4 × 38.5) / 8.
        check(Side::Buy, "38.5", "8", "0", "38.28875");
        // A sale receives less by the fee: (37.99 + 3 × 37.9) / 4 × 0.999.
        check(Side::Sell, "37", "4", "0", "37.9225");
        check(Side::Sell, "37", "4", "0.001", "37.8845775");
    }

    #[test]
    fn where_nothing_is_told_of_the_depth_the_quote_holds() {
        let check = |depth: Depth, order, worst, expected: &str| assert_eq!(cost(depth, Side::Buy, order, worst, "100", "0"), expected);
        check(Depth::default(), OrderType::Market, "38.5", "38.01");
        let top = Depth { top_only: true, ..Depth::book(Vec::new(), levels(&[("38.01", "0.5")])) };
        check(top, OrderType::Market, "38.5", "38.01");
        // A limit below the market rests, and so does what may only rest.
        let limit =
            |price: &str, post_only| OrderType::Limit { price: price.parse().unwrap(), time_in_force: Default::default(), post_only };
        check(Depth::default(), limit("37", false), "37", "37");
        check(Depth::default(), limit("38", true), "38", "38");
    }
}
