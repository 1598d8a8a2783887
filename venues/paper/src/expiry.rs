//! Contracts that end, and markets with hours: what trades when, and what becomes of what is held and rests at the end.

use omnivenue_core::model::ids::{AccountId, VenueSymbol};
use omnivenue_core::model::instrument::Instrument;
use omnivenue_core::model::movement::FillCause;
use omnivenue_core::model::order::OrderStatus;
use omnivenue_core::model::signal::{OrderType, TimeInForce};
use omnivenue_core::model::time::Timestamp;

use crate::exchange::Exchange;
use crate::matching::done;
use crate::rules::Refused;
use crate::wire::{PlaceOrder, RefusalCode};

/// Refuses what cannot trade now: nothing of a contract that has expired; outside its hours only what may rest, or waits for a trigger.
pub(crate) fn check_open(place: &PlaceOrder, instrument: &Instrument, now: Timestamp) -> Result<(), Refused> {
    if let Some(expiry) = instrument.expiry.filter(|expiry| *expiry <= now) {
        return Err((RefusalCode::NotTrading, format!("{} expired at {expiry}", instrument.symbol)));
    }
    let rests = place.trigger.is_some() || matches!(place.order, OrderType::Limit { time_in_force: TimeInForce::Gtc, .. });
    if rests || instrument.is_open(now) {
        return Ok(());
    }
    let opens = instrument.opens_after(now).map_or_else(|| "no session is known".to_owned(), |opens| format!("it opens at {opens}"));
    Err((RefusalCode::NotTrading, format!("{} is closed: {opens}", instrument.symbol)))
}

impl Exchange {
    /// When the next contract expires after an instant.
    pub(crate) fn next_expiry(&self, after: Timestamp) -> Option<Timestamp> {
        self.market.instruments().filter_map(|instrument| instrument.expiry).filter(|expiry| *expiry > after).min()
    }

    /// Ends the contracts that have expired: what rests is taken out, what is held is closed at the price at which positions are valued, at the
    /// fee of an order that takes liquidity (as at Binance, "Quarterly futures contracts": the settlement fee is the taker fee). Without a
    /// price it waits for one.
    pub(crate) fn settle_expired(&mut self, now: Timestamp) {
        let over = |instrument: &&Instrument| instrument.expiry.is_some_and(|expiry| expiry <= now);
        let expired: Vec<VenueSymbol> = self.market.instruments().filter(over).map(|instrument| instrument.symbol.clone()).collect();
        for symbol in expired {
            for (account, number) in self.resting(|_, order| order.place.symbol == symbol) {
                let order = self.state.account(&account).and_then(|state| state.order(number)).cloned();
                // One that was ended before it may have ended it.
                if let Some(order) = order.filter(|order| !order.status.is_final()) {
                    self.update(now, &account, done(order, OrderStatus::Expired, "the contract has expired"), None);
                }
            }
            let held = self.state.accounts().filter(|(_, account)| !account.truth.position(&symbol).quantity.is_zero());
            let held: Vec<AccountId> = held.map(|(id, _)| id.clone()).collect();
            held.into_iter().for_each(|account| drop(self.force(now, &account, &symbol, None, FillCause::Settlement)));
        }
    }
}
