//! What one entry may lose.

use rust_decimal::Decimal;

use super::equity::{equity_for, part};
use super::{Candidate, Gate, Most, Verdict, View, excess, overflow, product, rounded_up};
use crate::model::execution::Reason;
use crate::model::number::{Notional, exact};
use crate::model::signal::Direction;

/// Refuses or shrinks entries that may lose more at their stop loss than an amount, or than a fraction of the equity, and refuses those without
/// a stop loss: `max_risk_per_trade`. Counted from the worst price admitted to the stop, with the fee of both; what a price that jumps over the stop
/// loses more is not in it. O(instruments and accounts in the scope) for the fraction, else O(1).
#[derive(Debug)]
pub(super) struct RiskPerTrade;

impl Gate for RiskPerTrade {
    fn name(&self) -> &'static str {
        "max_risk_per_trade"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        for holder in view.holders.iter().filter(|_| candidate.opens()) {
            let mut limits: Vec<(Notional, String)> = Vec::new();
            limits.extend(holder.limits.max_risk_per_trade.map(|limit| (limit, format!("the limit of {holder} is {limit}"))));
            if let Some(fraction) = holder.limits.max_risk_per_trade_fraction {
                let equity = equity_for(&holder.level, candidate, view)?;
                let limit = part(equity, fraction)?;
                limits.push((limit, format!("the limit of {holder} is {limit}, {fraction} of its equity {equity}")));
            }
            if limits.is_empty() {
                continue;
            }
            let Some(lot) = lost_by_a_lot(candidate)? else {
                let (_, limit) = &limits[0];
                return Err(Reason::new(self.name(), format!("a stop_loss is needed to know what may be lost: {limit}")));
            };
            let lot = product(lot, candidate.rate(view)?.decimal())?;
            let asked = exact::units(candidate.quantity.decimal(), candidate.instrument.lot_size.decimal());
            let asked = asked.and_then(|lots| exact::mul(lots, lot)).and_then(|asked| Notional::new(rounded_up(asked)).ok());
            let asked = asked.ok_or_else(|| overflow(crate::model::number::NumberError::Overflow { operation: "loss × quantity" }))?;
            for (limit, words) in limits {
                if asked > limit {
                    let reason = Reason::new(self.name(), format!("the order may lose {asked} at its stop loss, fees included; {words}"));
                    return excess(holder, reason, || Most::Quantity(candidate.instrument.lots(limit.decimal(), lot)));
                }
            }
        }
        Ok(Verdict::Pass)
    }
}

/// What one lot loses at most from where it fills to its stop loss, in the settlement currency, with the fees of both; `None` without a stop
/// loss. It may fill anywhere between the two prices, and loses most at one of them.
///
/// # Errors
/// An amount that does not fit.
fn lost_by_a_lot(candidate: &Candidate<'_>) -> Result<Option<Decimal>, Reason> {
    let Candidate { signal, instrument, worst_price, reserve_price, leverage, .. } = *candidate;
    let direction = signal.direction;
    let Some(exits) = signal.exits.as_ref().filter(|exits| exits.stop_loss.is_some()) else { return Ok(None) };
    let exits = exits.on(&instrument.contract, direction, leverage);
    let mut most = Decimal::ZERO;
    for entry in [worst_price, reserve_price] {
        let lost = match exits.stop_price(direction, entry, leverage) {
            // A stop on the other side of the entry loses nothing but fees.
            Some(stop) if (direction == Direction::Long) == (stop > entry) => instrument.lost_by_a_lot(entry, entry),
            Some(stop) => instrument.lost_by_a_lot(entry, stop),
            // A stop whose price would not be above zero is never reached: all of it can be lost, and the fees.
            None => {
                let worth = instrument.worth_at_most(instrument.lot_size, entry).map_err(overflow)?;
                exact::add(worth.decimal(), instrument.fee_at_most(instrument.lot_size, entry).map_err(overflow)?.decimal())
            }
        };
        most = most.max(lost.unwrap_or_default());
    }
    Ok(Some(most))
}
