//! How far away liquidation is.

use super::{Candidate, Gate, Verdict, View, beyond_one, product, rounded_down, rounded_up};
use crate::model::execution::Reason;
use crate::model::instrument::Market;

/// Refuses entries whose estimated liquidation price is not so far beyond their stop loss as the limit asks, as a fraction of the stop; of the
/// entry where there is no stop: `min_liquidation_distance`. A stop beyond liquidation protects nothing.
///
/// The estimate is that of one position with its own margin and nothing else
/// ([`Contract::liquidation_price`](crate::model::contract::Contract::liquidation_price)): of a linear one, with entry `e`, leverage `l` and maintenance margin `m`
/// (of the position's value), `e × (1 − 1/l) / (1 − m)` for a long one and `e × (1 + 1/l) / (1 + m)` for a short one, where what is left of the
/// margin is what must be kept. It is what Hyperliquid's formula `price − side × margin_available / size / (1 − side / maintenance leverage)`
/// comes to for the initial margin at the entry price (Hyperliquid docs, "Liquidations", read 2026-11-20). Fees, funding, and what else the account
/// holds under cross margin are not in it. Rounded toward the entry.
#[derive(Debug)]
pub(super) struct LiquidationDistance;

impl Gate for LiquidationDistance {
    fn name(&self) -> &'static str {
        "min_liquidation_distance"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        if candidate.instrument.market == Market::Spot {
            return Ok(Verdict::Pass);
        }
        for holder in view.holders {
            let Some(limit) = holder.limits.min_liquidation_distance else { continue };
            let long = candidate.side.is_buy();
            let margin = holder.limits.maintenance_margin.unwrap_or_default();
            // Either end of where it may fill can be the worse one: a stop may be a price, or a distance from the entry.
            for entry in [candidate.worst_price, candidate.reserve_price] {
                let contract = &candidate.instrument.contract;
                let Some(liquidation) = contract.liquidation_price(entry, candidate.leverage, margin, long) else { continue };
                let liquidation = liquidation.decimal();
                let exits = candidate.signal.exits.as_ref();
                let stop = exits.and_then(|exits| {
                    exits.on(contract, candidate.direction(), candidate.leverage).stop_price(
                        candidate.direction(),
                        entry,
                        candidate.leverage,
                    )
                });
                let (what, from) = stop.map_or(("entry", entry), |stop| ("stop loss", stop));
                let edge = product(from.decimal(), beyond_one(limit, !long))?;
                let beyond = if long { liquidation <= edge } else { liquidation >= edge };
                if !beyond {
                    let (leverage, edge) = (candidate.leverage, if long { rounded_down(edge) } else { rounded_up(edge) });
                    let words = format!(
                        "from {entry} with leverage {leverage} and a maintenance margin of {margin} liquidation is at about {liquidation}; {holder} asks for {limit} beyond the {what} at {from}, which is {edge}"
                    );
                    return Err(Reason::new(self.name(), words));
                }
            }
        }
        Ok(Verdict::Pass)
    }
}
