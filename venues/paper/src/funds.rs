//! What an account may still spend: free margin on perpetuals, free holdings on spot.

use std::collections::BTreeMap;

use omnivenue_core::model::ids::{Asset, VenueSymbol};
use omnivenue_core::model::instrument::{InstrumentSpec, Market};
use omnivenue_core::model::number::{Amount, NumberError, Price, Quantity};

use crate::books::{AccountTruth, Order, amount_of};
use crate::contracts;
use crate::rules::Refused;
use crate::wire::{PlaceOrder, RefusalCode};

/// The prices and instruments that positions and orders are valued with.
pub(crate) struct Valuation<'a> {
    pub(crate) specs: BTreeMap<&'a VenueSymbol, &'a InstrumentSpec>,
    pub(crate) marks: BTreeMap<VenueSymbol, Price>,
}

impl Valuation<'_> {
    /// The balance of a currency and what open positions in it have gained, unbooked; on spot, the worth of the holdings too.
    pub(crate) fn equity(&self, account: &AccountTruth, asset: &Asset) -> Result<Amount, NumberError> {
        let mut equity = account.balance(asset);
        for (symbol, position) in &account.positions {
            if let Some((spec, mark)) = self.of(symbol)
                && spec.settle == *asset
            {
                equity = equity.plus(position.unrealized(spec, mark)?)?;
            }
        }
        for (symbol, spec) in &self.specs {
            if let Some((_, mark)) = self.of(symbol)
                && spec.market == Market::Spot
                && spec.quote == *asset
            {
                let held = Quantity::new(account.balance(&spec.base).decimal()).unwrap_or_default();
                equity = equity.plus(mark.notional(held)?.amount())?;
            }
        }
        Ok(equity)
    }

    fn of(&self, symbol: &VenueSymbol) -> Option<(&InstrumentSpec, Price)> {
        Some((*self.specs.get(symbol)?, *self.marks.get(symbol)?))
    }

    /// Refuses an order that the account cannot carry. `price` is what it would trade or rest at.
    pub(crate) fn check(&self, account: &AccountTruth, open: &[&Order], place: &PlaceOrder, price: Price) -> Result<(), Refused> {
        let Some(spec) = self.specs.get(&place.symbol) else {
            return Err((RefusalCode::UnknownSymbol, format!("{} is not traded here", place.symbol)));
        };
        let (asset, needed, free) = match spec.market {
            Market::Perp | Market::Future => self.margin(account, open, place, price, spec),
            Market::Spot => holdings(account, open, place, price, spec),
        }
        .map_err(|e| (RefusalCode::BadQuantity, e.to_string()))?;
        if needed > Amount::ZERO && needed > free {
            return Err((RefusalCode::InsufficientFunds, format!("{needed} {asset} are needed, but {free} are free")));
        }
        Ok(())
    }

    fn margin<'s>(
        &self,
        account: &AccountTruth,
        open: &[&Order],
        place: &PlaceOrder,
        price: Price,
        spec: &'s InstrumentSpec,
    ) -> Result<(&'s Asset, Amount, Amount), NumberError> {
        let held = account.position(&place.symbol).quantity;
        let after = held.plus(place.quantity.signed(place.side.is_buy()))?.magnitude();
        let growth = after.minus(held.magnitude()).unwrap_or_default();
        if place.reduce_only || growth.is_zero() {
            return Ok((&spec.settle, Amount::ZERO, Amount::ZERO));
        }
        let fee = contracts::fee(spec, contracts::worth(spec, place.quantity, price)?, spec.taker_fee)?;
        let needed = contracts::worth(spec, growth, price)?.margin(place.leverage)?.amount().plus(fee.max(Amount::ZERO))?;
        let mut free = self.equity(account, &spec.settle)?;
        for (symbol, position) in &account.positions {
            if let Some((other, mark)) = self.of(symbol)
                && other.settle == spec.settle
            {
                free = free.minus(contracts::worth(other, position.quantity.magnitude(), mark)?.margin(position.leverage)?.amount())?;
            } else if self.specs.get(symbol).is_some_and(|other| other.settle == spec.settle) {
                // Without a price yet, as after a restart on live prices, it is worth what it cost.
                free = free.minus(position.cost.magnitude().margin(position.leverage)?.amount())?;
            }
        }
        for order in open.iter().filter(|order| !order.place.reduce_only) {
            if let Some(other) = self.specs.get(&order.place.symbol).filter(|other| other.settle == spec.settle) {
                free = free.minus(contracts::worth(other, order.remaining(), order.bound())?.margin(order.place.leverage)?.amount())?;
            }
        }
        Ok((&spec.settle, needed, free))
    }
}

fn holdings<'s>(
    account: &AccountTruth,
    open: &[&Order],
    place: &PlaceOrder,
    price: Price,
    spec: &'s InstrumentSpec,
) -> Result<(&'s Asset, Amount, Amount), NumberError> {
    let asset = if place.side.is_buy() { &spec.quote } else { &spec.base };
    let worth = |place: &PlaceOrder, quantity: Quantity, price: Price| {
        if place.side.is_buy() { Ok(price.notional(quantity)?.amount()) } else { amount_of(quantity) }
    };
    let mut free = account.balance(asset);
    // Orders in other instruments lock the same quote currency; base assets belong to one instrument each.
    for order in open.iter().filter(|order| order.place.side == place.side && (place.side.is_buy() || order.place.symbol == place.symbol)) {
        free = free.minus(worth(&order.place, order.remaining(), order.bound())?)?;
    }
    Ok((asset, worth(place, place.quantity, price)?, free))
}
