//! What may be gained for what may be lost.

use rust_decimal::Decimal;

use super::{Candidate, Gate, Verdict, View, product, rounded_down};
use crate::model::execution::Reason;

/// Refuses entries whose take profit is less than so many times as far from the entry as their stop loss, or that lack one of the two:
/// `min_reward_to_risk`. Counted from the worst price admitted, without fees.
#[derive(Debug)]
pub(super) struct RewardToRisk;

impl Gate for RewardToRisk {
    fn name(&self) -> &'static str {
        "min_reward_to_risk"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        for holder in view.holders.iter().filter(|_| candidate.opens()) {
            let Some(limit) = holder.limits.min_reward_to_risk else { continue };
            let (direction, entry, leverage) = (candidate.direction(), candidate.worst_price, candidate.leverage);
            let exits = candidate.signal.exits.as_ref().map(|exits| exits.on(&candidate.instrument.contract, direction, leverage));
            let exits = exits.as_ref();
            let profit = exits.and_then(|exits| exits.take_profit_price(direction, entry, leverage));
            let stop = exits.and_then(|exits| exits.stop_price(direction, entry, leverage));
            let (Some(profit), Some(stop)) = (profit, stop) else {
                let words = format!("a take_profit and a stop_loss are needed: {holder} asks for {limit} times the risk as reward");
                return Err(Reason::new(self.name(), words));
            };
            let sign = if candidate.side.is_buy() { Decimal::ONE } else { Decimal::NEGATIVE_ONE };
            let reward = product(profit.decimal().saturating_sub(entry.decimal()), sign)?;
            let risk = product(entry.decimal().saturating_sub(stop.decimal()), sign)?;
            // A stop at the entry or on its other side risks nothing there.
            if reward < product(limit.decimal(), risk)? || (reward <= Decimal::ZERO && risk <= Decimal::ZERO) {
                let ratio = reward.checked_div(risk).map_or_else(|| "no".to_owned(), |ratio| rounded_down(ratio).to_string());
                let words = format!(
                    "from {entry} the take profit is at {profit} and the stop loss at {stop}: {ratio} times the risk, {holder} asks for {limit}"
                );
                return Err(Reason::new(self.name(), words));
            }
        }
        Ok(Verdict::Pass)
    }
}
