//! Orders that wait for a trigger: which the exchange takes, what wakes them, and how exits follow the entry that they came with.

use std::collections::BTreeSet;

use omnivenue_core::model::exit::{ExitKind, Trigger};
use omnivenue_core::model::ids::{AccountId, ClientOrderId};
use omnivenue_core::model::instrument::Side;
use omnivenue_core::model::number::{Price, Quantity};
use omnivenue_core::model::order::{AttachedExit, OrderStatus};
use omnivenue_core::model::signal::OrderType;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::ExitCapabilities;

use crate::books::{Order, Wait, bound};
use crate::exchange::{Exchange, reaches};
use crate::matching::done;
use crate::rules::Refused;
use crate::wire::{PlaceOrder, RefusalCode};

/// Asked of each order with a trigger that would be taken: whether it is refused all the same.
pub(crate) type Denies<'a> = &'a mut dyn FnMut(&ClientOrderId) -> bool;

/// Whether the exits in a request are such as this exchange has, and the request makes sense with them.
pub(crate) fn check_exits(place: &PlaceOrder, exits: Option<&ExitCapabilities>) -> Result<(), Refused> {
    let malformed = |message: &str| Err((RefusalCode::Malformed, message.to_owned()));
    let triggers = place.trigger.into_iter().chain(place.attached.iter().map(|exit| exit.trigger));
    for trigger in triggers {
        let (has, name) = match trigger.kind {
            ExitKind::StopLoss => (exits.is_some_and(|exits| exits.stop), "stop losses"),
            ExitKind::TakeProfit => (exits.is_some_and(|exits| exits.take_profit), "take profits"),
        };
        if !has {
            return Err((RefusalCode::Unsupported, format!("{name} that wait for their price are not supported here")));
        }
    }
    if !place.attached.is_empty() && !exits.is_some_and(|exits| exits.attached) {
        return Err((RefusalCode::Unsupported, "exits cannot travel with an entry here; place each by itself".into()));
    }
    if place.trigger.is_some() && (!place.reduce_only || place.order != OrderType::Market) {
        return malformed("an order that waits for a trigger must be a reduce-only market order");
    }
    if !place.attached.is_empty() && place.reduce_only {
        return malformed("exits travel with an entry, but this order only reduces");
    }
    let kinds: BTreeSet<ExitKind> = place.attached.iter().map(|exit| exit.trigger.kind).collect();
    if kinds.len() < place.attached.len() {
        return malformed("only one exit of each kind can travel with an entry");
    }
    let ids: BTreeSet<&ClientOrderId> = place.attached.iter().map(|exit| &exit.client_order_id).chain([&place.client_order_id]).collect();
    if ids.len() <= place.attached.len() {
        return malformed("each order of a request needs a client order id of its own");
    }
    Ok(())
}

/// Whether an order by itself would wait: its trigger must not be reached already.
pub(crate) fn check_waits(side: Side, trigger: Trigger, price: Price) -> Result<(), Refused> {
    if trigger.is_reached(side, price) {
        return Err((RefusalCode::BadTrigger, format!("its trigger {} is reached already: the price is {price}", trigger.price)));
    }
    Ok(())
}

pub(crate) fn denied() -> Refused {
    (RefusalCode::TooManyTriggers, "no more orders may wait for a trigger".into())
}

/// An exit that came with an entry, as an order of its own.
fn exit_order(entry: &PlaceOrder, exit: &AttachedExit) -> PlaceOrder {
    PlaceOrder {
        client_order_id: exit.client_order_id.clone(),
        // The entry has used it up.
        nonce: None,
        side: entry.side.opposite(),
        order: OrderType::Market,
        worst_price: exit.worst_price,
        reduce_only: true,
        trigger: Some(exit.trigger),
        attached: Vec::new(),
        ..entry.clone()
    }
}

impl Exchange {
    /// The price that decides whether an exit that comes with an entry would wait: the mark, or for an entry that rests the price that it
    /// rests at.
    pub(crate) fn exits_start_at(&mut self, now: Timestamp, place: &PlaceOrder) -> Option<Price> {
        let quote = self.market.quote(&place.symbol, now)?;
        let taken = self.market.taker_price(&quote, place.side)?;
        if reaches(place, taken) { self.market.mark(&place.symbol, now) } else { Some(bound(place)) }
    }

    /// Takes the exits that came with an entry, after it was matched. One that is refused ends at once, as an order of its own; the entry and
    /// the other one stay.
    pub(crate) fn accept_exits(&mut self, now: Timestamp, account: &AccountId, entry: &Order, start: Option<Price>, denies: Denies<'_>) {
        for exit in &entry.place.attached {
            let place = exit_order(&entry.place, exit);
            let waits = start.map_or(Ok(()), |price| check_waits(place.side, exit.trigger, price));
            let refused = waits.err().or_else(|| denies(&exit.client_order_id).then(denied));
            let order = Order {
                number: self.state.next_order(),
                wire: place.to_wire(),
                place,
                status: OrderStatus::Open,
                filled: Quantity::ZERO,
                why: None,
                accepted_at: now,
                updated_at: now,
                wait: Some(Wait { entry: Some(entry.number), armed: entry.filled }),
            };
            let order = match refused {
                Some((_, message)) => done(order, OrderStatus::Canceled, &format!("refused: {message}")),
                None => order,
            };
            self.change(now, account, order, None);
        }
        self.settle_exits(now, account, entry.number);
    }

    /// Brings exits in line with the entry that they came with, and with one another: armed for what it has traded; ended when it ended
    /// without a trade, or when one of them has closed all that it opened.
    pub(crate) fn settle_exits(&mut self, now: Timestamp, account: &AccountId, entry: u64) {
        let Some(state) = self.state.account(account) else { return };
        let exits = state.exits_of(entry);
        let Some(entry) = state.order(entry).filter(|_| !exits.is_empty()) else { return };
        let (over, opened) = (entry.status.is_final(), entry.filled);
        let why = if over && opened.is_zero() {
            Some("its entry ended without a trade")
        } else if over && exits.iter().any(|exit| exit.filled >= opened) {
            Some("the other exit has closed what their entry opened")
        } else {
            None
        };
        for exit in exits.into_iter().filter(|exit| !exit.status.is_final()) {
            match (why, exit.wait) {
                (Some(why), _) => self.change(now, account, done(exit, OrderStatus::Canceled, why), None),
                (None, Some(wait)) if wait.armed < opened => {
                    let wait = Some(Wait { armed: opened, ..wait });
                    self.record_order(account, Order { wait, updated_at: now, ..exit });
                }
                (None, _) => {}
            }
        }
    }

    /// Trades an order whose trigger the mark has reached: once, as a market order that only reduces. What does not trade then is canceled.
    /// Without a quote there is nothing to trade at: it goes on waiting.
    pub(crate) fn wake(&mut self, now: Timestamp, account: &AccountId, order: Order) {
        let (symbol, side) = (order.place.symbol.clone(), order.place.side);
        let mark = self.market.mark(&symbol, now).filter(|_| !order.ready().is_zero());
        let reached = order.place.trigger.zip(mark).is_some_and(|(trigger, mark)| trigger.is_reached(side, mark));
        let quote = reached.then(|| self.market.quote(&symbol, now)).flatten();
        let Some(price) = quote.and_then(|quote| self.market.taker_price(&quote, side)) else {
            return;
        };
        let nothing = self.leaves_nothing_to_reduce(account, &order.place);
        let quantity = if reaches(&order.place, price) { self.tradable(account, &order, price) } else { Quantity::ZERO };
        let (order, fill) = self.trade(now, account, order, price, quantity, true);
        let why = if nothing { "there was nothing left to reduce when it woke" } else { "nothing more traded within the worst price" };
        let order = if order.status.is_final() { order } else { done(order, OrderStatus::Canceled, why) };
        self.update(now, account, order, fill);
    }

    /// Wakes what waits at the prices of this instant, and nothing else: for an exchange that has been away while prices went on.
    pub fn wake_waiting(&mut self, now: Timestamp) {
        let waiting = self.resting(|_, order| order.wait.is_some());
        self.match_orders(now, waiting);
    }

    /// Whether any order waits for its trigger.
    #[must_use]
    pub fn has_waiting_orders(&self) -> bool {
        self.state.accounts().any(|(_, account)| account.open_orders().iter().any(|order| order.wait.is_some()))
    }
}

/// The prices in a request that belong to its exits.
pub(crate) fn prices(place: &PlaceOrder) -> impl Iterator<Item = Price> + '_ {
    let attached = place.attached.iter().flat_map(|exit| [exit.trigger.price, exit.worst_price]);
    place.trigger.map(|trigger| trigger.price).into_iter().chain(attached)
}
