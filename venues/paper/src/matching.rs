//! How orders become trades: against the quote when they arrive, against each new price or quote while they rest.

use omnivenue_core::model::ids::AccountId;
use omnivenue_core::model::instrument::Instrument;
use omnivenue_core::model::number::{NumberError, Price, Quantity};
use omnivenue_core::model::order::{FillReport, OrderReport, OrderStatus};
use omnivenue_core::model::signal::{OrderType, TimeInForce};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::Quote;

use crate::books::{Order, Trade, Wait};
use crate::exchange::{Exchange, reaches, touch};
use crate::state::Change;
use crate::triggers::Denies;
use crate::wire::PlaceOrder;

impl Exchange {
    /// Makes an order of a request that was admitted: it takes what it can at once, unless it waits for a trigger.
    pub(crate) fn accept(
        &mut self,
        now: Timestamp,
        account: &AccountId,
        place: &PlaceOrder,
        wire: &str,
        denies: Denies<'_>,
    ) -> OrderReport {
        let number = self.state.next_order();
        let order = Order {
            number,
            place: place.clone(),
            wire: wire.to_owned(),
            status: OrderStatus::Open,
            filled: Quantity::ZERO,
            why: None,
            accepted_at: now,
            updated_at: now,
            wait: place.trigger.map(|_| Wait { entry: None, armed: place.quantity }),
        };
        if order.wait.is_some() {
            self.update(now, account, order, None);
        } else {
            let start = self.exits_start_at(now, place);
            self.record_order(account, order);
            let (order, fill) = self.take_liquidity(now, account, number);
            let order = settle(order, self.leaves_nothing_to_reduce(account, place));
            self.update(now, account, order.clone(), fill);
            self.accept_exits(now, account, &order, start, denies);
        }
        self.state.account(account).and_then(|state| state.report(number)).expect("the order was recorded above")
    }

    /// Trades an order that just arrived against the quote, as far as its bound and the depth allow.
    fn take_liquidity(&mut self, now: Timestamp, account: &AccountId, number: u64) -> (Order, Option<FillReport>) {
        let order = self.state.account(account).and_then(|state| state.order(number)).cloned().expect("the order was just recorded");
        let quote = self.market.quote(&order.place.symbol, now);
        let Some(price) = quote.and_then(|quote| self.market.taker_price(&quote, order.place.side)) else {
            return (order, None);
        };
        if !reaches(&order.place, price) {
            return (order, None);
        }
        let quantity = self.tradable(account, &order, price);
        let all_or_nothing = matches!(order.place.order, OrderType::Limit { time_in_force: TimeInForce::Fok, .. });
        if all_or_nothing && quantity < order.remaining() {
            return (order, None);
        }
        self.trade(now, account, order, price, quantity, true)
    }

    /// Matches every order that rests on a price which the exchange makes against the prices of this instant, and wakes those that wait
    /// for a trigger which the mark has reached. To be called at each change of price.
    pub fn match_resting(&mut self, now: Timestamp) {
        let resting = self.resting(|exchange, order| !exchange.market.is_live(&order.place.symbol));
        self.match_orders(now, resting);
    }

    /// Takes a quote of a real venue, and matches what rests in its instrument against it. Says whether it was news: quotes that were
    /// overtaken, too old or crossed, or of an instrument without live prices, change nothing.
    pub fn take_quote(&mut self, now: Timestamp, quote: Quote) -> bool {
        let symbol = quote.symbol.clone();
        if !self.market.take_quote(quote, now) {
            return false;
        }
        let resting = self.resting(|_, order| order.place.symbol == symbol);
        self.match_orders(now, resting);
        true
    }

    pub(crate) fn resting(&self, wanted: impl Fn(&Self, &Order) -> bool) -> Vec<(AccountId, u64)> {
        let open = self.state.accounts().flat_map(|(id, account)| account.open_orders().into_iter().map(move |order| (id, order)));
        open.filter(|(_, order)| wanted(self, order)).map(|(id, order)| (id.clone(), order.number)).collect()
    }

    /// In the order in which they were accepted, so that an entry comes before its exits.
    pub(crate) fn match_orders(&mut self, now: Timestamp, resting: Vec<(AccountId, u64)>) {
        for (account, number) in resting {
            let order = self.state.account(&account).and_then(|state| state.order(number));
            // One that was matched before it may have ended it.
            let Some(order) = order.filter(|order| !order.status.is_final()).cloned() else {
                continue;
            };
            if order.wait.is_some() {
                self.wake(now, &account, order);
                continue;
            }
            if order.place.reduce_only && self.leaves_nothing_to_reduce(&account, &order.place) {
                let order = done(order, OrderStatus::Canceled, "there is nothing left to reduce");
                self.update(now, &account, order, None);
                continue;
            }
            let Some(quote) = self.market.quote(&order.place.symbol, now) else {
                continue;
            };
            if reaches(&order.place, touch(&quote, &order.place)) {
                let price = order.bound();
                let quantity = self.tradable(&account, &order, price);
                let (order, fill) = self.trade(now, &account, order, price, quantity, false);
                if fill.is_some() || order.status != OrderStatus::Open {
                    self.update(now, &account, order, fill);
                }
            }
        }
    }

    pub(crate) fn tradable(&self, account: &AccountId, order: &Order, price: Price) -> Quantity {
        let depth = self.market.depth_at(&order.place.symbol, price).unwrap_or_default();
        let quantity = order.ready().min(depth);
        match self.state.account(account) {
            Some(state) if order.place.reduce_only => quantity.min(state.reducible(&order.place)),
            _ => quantity,
        }
    }

    /// Books a trade, or cancels the order when its exact result would not fit.
    pub(crate) fn trade(
        &mut self,
        now: Timestamp,
        account: &AccountId,
        order: Order,
        price: Price,
        quantity: Quantity,
        taker: bool,
    ) -> (Order, Option<FillReport>) {
        if quantity.is_zero() {
            return (order, None);
        }
        let instrument = self.market.instrument(&order.place.symbol).cloned().expect("orders are accepted for listed instruments only");
        match self.book(now, account, &order, &instrument, (price, quantity), taker) {
            Ok((filled, fill)) => {
                let status = if filled == order.place.quantity { OrderStatus::Filled } else { order.status };
                (Order { filled, status, ..order }, Some(fill))
            }
            Err(e) => (done(order, OrderStatus::Canceled, &e.to_string()), None),
        }
    }

    fn book(
        &mut self,
        now: Timestamp,
        account: &AccountId,
        order: &Order,
        instrument: &Instrument,
        (price, quantity): (Price, Quantity),
        taker: bool,
    ) -> Result<(Quantity, FillReport), NumberError> {
        let filled = order.filled.plus(quantity)?;
        let fee_rate = if taker { instrument.taker_fee } else { self.config.maker_fee };
        let trade = Trade { side: order.place.side, price, quantity, fee_rate, leverage: order.place.leverage };
        let books =
            self.state.account(account).map(|state| state.truth.book(instrument, trade)).expect("orders belong to accounts that exist")?;
        let fill = FillReport {
            trade_id: self.state.next_trade(),
            client_order_id: Some(order.client_order_id().clone()),
            venue_order_id: order.venue_order_id(),
            symbol: order.place.symbol.clone(),
            side: order.place.side,
            price,
            quantity,
            fee: books.fee.clone(),
            at: now,
            cause: None,
        };
        self.state.record(Change::Fill { account: account.clone(), fill: fill.clone() });
        for (asset, total) in books.balances {
            self.state.record(Change::Balance { account: account.clone(), asset, total });
        }
        if let Some(position) = books.position {
            self.state.record(Change::Position { account: account.clone(), symbol: order.place.symbol.clone(), position });
        }
        Ok((filled, fill))
    }

    pub(crate) fn leaves_nothing_to_reduce(&self, account: &AccountId, place: &PlaceOrder) -> bool {
        place.reduce_only && self.state.account(account).is_none_or(|state| state.reducible(place).is_zero())
    }

    pub(crate) fn record_order(&mut self, account: &AccountId, order: Order) {
        self.state.record(Change::Order { account: account.clone(), order: Box::new(order) });
    }

    /// Records an order that changed, tells its account, and lets exits follow: its own, or the other one of its entry.
    pub(crate) fn update(&mut self, now: Timestamp, account: &AccountId, order: Order, fill: Option<FillReport>) {
        let entry = order.wait.and_then(|wait| wait.entry).unwrap_or(order.number);
        self.change(now, account, order, fill);
        self.settle_exits(now, account, entry);
    }

    /// Records an order that changed and tells its account.
    pub(crate) fn change(&mut self, now: Timestamp, account: &AccountId, order: Order, fill: Option<FillReport>) {
        let order = Order { updated_at: now, ..order };
        self.updates.push((account.clone(), order.report(fill.into_iter().collect())));
        self.record_order(account, order);
    }
}

pub(crate) fn done(order: Order, status: OrderStatus, why: &str) -> Order {
    Order { status, why: Some(why.to_owned()), ..order }
}

/// What becomes of an order's rest once it has taken what it could.
fn settle(order: Order, nothing_to_reduce: bool) -> Order {
    if order.status != OrderStatus::Open {
        return order;
    }
    match order.place.order {
        OrderType::Market => done(order, OrderStatus::Canceled, "nothing more trades within the worst price"),
        OrderType::Limit { time_in_force: TimeInForce::Ioc | TimeInForce::Fok, .. } => {
            done(order, OrderStatus::Expired, "it did not fill at once")
        }
        OrderType::Limit { time_in_force: TimeInForce::Gtc, .. } if nothing_to_reduce => {
            done(order, OrderStatus::Canceled, "there is nothing left to reduce")
        }
        OrderType::Limit { time_in_force: TimeInForce::Gtc, .. } => order,
    }
}
