//! The exchange itself: takes orders, matches them against the price, keeps every account's books. Synchronous and deterministic.

use std::collections::BTreeMap;
use std::sync::Arc;

use omnivenue_core::model::ids::{AccountId, Asset, ClientOrderId, VenueSymbol};
use omnivenue_core::model::instrument::Instrument;
use omnivenue_core::model::number::{Amount, NumberError, Price, Quantity};
use omnivenue_core::model::order::{Balance, FillReport, NetPosition, OrderReport, OrderStatus};
use omnivenue_core::model::signal::{OrderType, TimeInForce};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Absence, AccountSnapshot, Quote, Resend};

use crate::books::{Order, Trade, Truth, bound};
use crate::config::{Config, ConfigError};
use crate::funds::Valuation;
use crate::market::Market;
use crate::rules::{self, Refused};
use crate::state::{AccountState, Change, State};
use crate::wire::{PlaceOrder, Refusal, RefusalCode};

/// Why an exchange cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PaperError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file of candles cannot be used.
    #[error(transparent)]
    Candles(#[from] crate::candles::CandleError),
    /// The exchange's file cannot be used.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The exchange's thread cannot be started.
    #[error("the thread of the exchange cannot be started")]
    Thread(#[source] std::io::Error),
}

/// What burning an id found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Burn {
    /// The id is used up, and no order ever had it.
    Burned,
    /// There is an order of that id.
    Exists(OrderReport),
}

/// A simulated exchange. Time is what each call says it is, and must not run backwards.
#[derive(Debug)]
pub struct Exchange {
    config: Arc<Config>,
    market: Market,
    state: State,
    updates: Vec<(AccountId, OrderReport)>,
}

impl Exchange {
    /// An exchange that begins or goes on with a state. Accounts that the state does not have get their starting balances.
    ///
    /// # Errors
    /// [`PaperError`] when the configuration is wrong or a file of candles cannot be used.
    pub fn open(config: Arc<Config>, state: State) -> Result<Self, PaperError> {
        let instruments = config.check()?;
        state.fits(&config, &instruments)?;
        let market = Market::open(&config, instruments, state.epoch())?;
        let mut exchange = Self {
            config,
            market,
            state,
            updates: Vec::new(),
        };
        for (account, deposits) in exchange.config.accounts.clone() {
            if exchange.state.account(&account).is_none() {
                exchange.state.record(Change::Opened { account, deposits });
            }
        }
        Ok(exchange)
    }

    /// What the exchange is.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// What changed since the last call, to be written down before anyone hears of it.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.state.take_changes()
    }

    /// What accounts are to be told on their streams since the last call: each report with its new trades only.
    pub fn take_updates(&mut self) -> Vec<(AccountId, OrderReport)> {
        std::mem::take(&mut self.updates)
    }

    /// Everything, copied.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.state.truth()
    }

    /// The quotes of all instruments that have one.
    #[must_use]
    pub fn quotes(&mut self, now: Timestamp) -> Vec<Quote> {
        self.market.quotes(now)
    }

    /// The price at which positions are valued.
    #[must_use]
    pub fn mark(&mut self, symbol: &VenueSymbol, now: Timestamp) -> Option<Price> {
        self.market.mark(symbol, now)
    }

    /// Balance plus unrealized gains, in one currency; on spot with the worth of the holdings.
    ///
    /// # Errors
    /// [`NumberError`] when the exact result does not fit.
    pub fn equity(
        &mut self,
        account: &AccountId,
        asset: &Asset,
        now: Timestamp,
    ) -> Result<Amount, NumberError> {
        let marks = self.marks(now);
        let valuation = Valuation {
            specs: self.specs(),
            marks,
        };
        self.state
            .account(account)
            .map_or(Ok(Amount::ZERO), |account| {
                valuation.equity(&account.truth, asset)
            })
    }

    /// The first instant after `now` at which some price may change.
    #[must_use]
    pub fn next_price_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.market.next_change(now)
    }

    /// The number of the latest order.
    pub(crate) const fn last_order(&self) -> u64 {
        self.state.last_order()
    }

    /// Whether any order rests, so that a change of price can match it.
    #[must_use]
    pub fn has_open_orders(&self) -> bool {
        self.state
            .accounts()
            .any(|(_, account)| !account.open.is_empty())
    }

    /// Takes an order that arrived at `arrived` and is decided `now`.
    ///
    /// Where the exchange is [`Resend::Idempotent`], the same bytes get the answer of the first time, be it an order or a refusal;
    /// elsewhere they make another order.
    ///
    /// # Errors
    /// [`Refusal`] with the exchange's own code.
    pub fn place(
        &mut self,
        now: Timestamp,
        arrived: Timestamp,
        account: &AccountId,
        wire: &str,
    ) -> Result<OrderReport, Refusal> {
        let refusal = |(code, message): Refused| Refusal {
            code,
            message,
            at: now,
        };
        let Some(state) = self.state.account(account) else {
            return Err(refusal(unknown_account(account)));
        };
        let place: PlaceOrder = serde_json::from_str(wire)
            .map_err(|e| refusal((RefusalCode::Malformed, e.to_string())))?;
        if self.config.orders.resend == Resend::Idempotent
            && let Some(before) = state.answered_before(&place.client_order_id, wire)
        {
            return before.map_err(|(code, message)| refusal((code, message)));
        }
        if state.burned.contains(&place.client_order_id) {
            return Err(refusal((
                RefusalCode::AlreadyUsed,
                format!(
                    "client order id {} is already used: it was burned",
                    place.client_order_id
                ),
            )));
        }
        let decided = self
            .admit(now, arrived, account, &place)
            .map(|()| self.accept(now, account, &place, wire));
        if let Err((code, message)) = &decided
            && self.config.orders.resend == Resend::Idempotent
        {
            self.state.record(Change::Refused {
                account: account.clone(),
                client_order_id: place.client_order_id.clone(),
                wire: wire.to_owned(),
                code: *code,
                message: message.clone(),
            });
        }
        decided.map_err(refusal)
    }

    /// Whether the order is one the exchange takes, now.
    fn admit(
        &mut self,
        now: Timestamp,
        arrived: Timestamp,
        account: &AccountId,
        place: &PlaceOrder,
    ) -> Result<(), Refused> {
        let no_price = || {
            (
                RefusalCode::NoPrice,
                format!("{} has no price at present", place.symbol),
            )
        };
        let quote = self.market.quote(&place.symbol, now);
        let marks = self.marks(now);
        let state = self
            .state
            .account(account)
            .ok_or_else(|| unknown_account(account))?;
        rules::check_form(place, &self.config.orders, arrived)?;
        if let Some(nonce) = place.nonce
            && let Some(user) = state.nonces.get(&nonce)
        {
            return Err((
                RefusalCode::BadNonce,
                format!("nonce {nonce} was already used, by {user}"),
            ));
        }
        let unknown = || {
            (
                RefusalCode::UnknownSymbol,
                format!("{} is not traded here", place.symbol),
            )
        };
        let instrument = self.market.instrument(&place.symbol).ok_or_else(unknown)?;
        rules::check_numbers(place, instrument)?;
        let quote = quote.ok_or_else(no_price)?;
        let taken = self
            .market
            .taker_price(&quote, place.side)
            .ok_or_else(no_price)?;
        if let OrderType::Limit {
            post_only: true, ..
        } = place.order
            && reaches(place, touch(&quote, place))
        {
            return Err((
                RefusalCode::PostOnly,
                format!("{} would trade at once", bound(place)),
            ));
        }
        let price = if reaches(place, taken) {
            taken
        } else {
            bound(place)
        };
        rules::check_notional(place, instrument, price)?;
        if place.reduce_only && state.reducible(place).is_zero() {
            return Err((
                RefusalCode::ReduceOnly,
                format!(
                    "there is no position in {} that it would reduce",
                    place.symbol
                ),
            ));
        }
        Valuation {
            specs: self.specs(),
            marks,
        }
        .check(&state.truth, &state.open_orders(), place, price)
    }

    fn accept(
        &mut self,
        now: Timestamp,
        account: &AccountId,
        place: &PlaceOrder,
        wire: &str,
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
        };
        self.record_order(account, order);
        let (order, fill) = self.take_liquidity(now, account, number);
        let order = settle(order, self.leaves_nothing_to_reduce(account, place));
        self.update(now, account, order, fill);
        self.state
            .account(account)
            .and_then(|state| state.report(number))
            .expect("the order was recorded above")
    }

    /// Trades an order that just arrived against the quote, as far as its bound and the depth allow.
    fn take_liquidity(
        &mut self,
        now: Timestamp,
        account: &AccountId,
        number: u64,
    ) -> (Order, Option<FillReport>) {
        let order = self
            .state
            .account(account)
            .and_then(|state| state.order(number))
            .cloned()
            .expect("the order was just recorded");
        let quote = self.market.quote(&order.place.symbol, now);
        let Some(price) = quote.and_then(|quote| self.market.taker_price(&quote, order.place.side))
        else {
            return (order, None);
        };
        if !reaches(&order.place, price) {
            return (order, None);
        }
        let quantity = self.tradable(account, &order, price);
        let all_or_nothing = matches!(
            order.place.order,
            OrderType::Limit {
                time_in_force: TimeInForce::Fok,
                ..
            }
        );
        if all_or_nothing && quantity < order.remaining() {
            return (order, None);
        }
        self.trade(now, account, order, price, quantity, true)
    }

    /// Matches every order that rests against the prices of this instant. To be called at each change of price.
    pub fn match_resting(&mut self, now: Timestamp) {
        let resting: Vec<(AccountId, u64)> = self
            .state
            .accounts()
            .flat_map(|(id, account)| account.open.iter().map(|number| (id.clone(), *number)))
            .collect();
        for (account, number) in resting {
            let Some(order) = self
                .state
                .account(&account)
                .and_then(|state| state.order(number))
                .cloned()
            else {
                continue;
            };
            if order.place.reduce_only && self.leaves_nothing_to_reduce(&account, &order.place) {
                let order = done(
                    order,
                    OrderStatus::Canceled,
                    "there is nothing left to reduce",
                );
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

    fn tradable(&self, account: &AccountId, order: &Order, price: Price) -> Quantity {
        let depth = self
            .market
            .depth_at(&order.place.symbol, price)
            .unwrap_or_default();
        let quantity = order.remaining().min(depth);
        match self.state.account(account) {
            Some(state) if order.place.reduce_only => quantity.min(state.reducible(&order.place)),
            _ => quantity,
        }
    }

    /// Books a trade, or cancels the order when its exact result would not fit.
    fn trade(
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
        let instrument = self
            .market
            .instrument(&order.place.symbol)
            .cloned()
            .expect("orders are accepted for listed instruments only");
        match self.book(now, account, &order, &instrument, (price, quantity), taker) {
            Ok((filled, fill)) => {
                let status = if filled == order.place.quantity {
                    OrderStatus::Filled
                } else {
                    order.status
                };
                (
                    Order {
                        filled,
                        status,
                        ..order
                    },
                    Some(fill),
                )
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
        let fee_rate = if taker {
            instrument.taker_fee
        } else {
            self.config.maker_fee
        };
        let trade = Trade {
            side: order.place.side,
            price,
            quantity,
            fee_rate,
            leverage: order.place.leverage,
        };
        let books = self
            .state
            .account(account)
            .map(|state| state.truth.book(instrument, trade))
            .expect("orders belong to accounts that exist")?;
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
        };
        self.state.record(Change::Fill {
            account: account.clone(),
            fill: fill.clone(),
        });
        for (asset, total) in books.balances {
            self.state.record(Change::Balance {
                account: account.clone(),
                asset,
                total,
            });
        }
        if let Some(position) = books.position {
            self.state.record(Change::Position {
                account: account.clone(),
                symbol: order.place.symbol.clone(),
                position,
            });
        }
        Ok((filled, fill))
    }

    fn leaves_nothing_to_reduce(&self, account: &AccountId, place: &PlaceOrder) -> bool {
        place.reduce_only
            && self
                .state
                .account(account)
                .is_none_or(|state| state.reducible(place).is_zero())
    }

    fn record_order(&mut self, account: &AccountId, order: Order) {
        self.state.record(Change::Order {
            account: account.clone(),
            order: Box::new(order),
        });
    }

    /// Records an order that changed and tells its account.
    fn update(
        &mut self,
        now: Timestamp,
        account: &AccountId,
        order: Order,
        fill: Option<FillReport>,
    ) {
        let order = Order {
            updated_at: now,
            ..order
        };
        self.updates
            .push((account.clone(), order.report(fill.into_iter().collect())));
        self.record_order(account, order);
    }

    /// Cancels what rests of an order; an order that is done stays as it is.
    ///
    /// # Errors
    /// [`RefusalCode::UnknownOrder`] when there is no such order.
    pub fn cancel(
        &mut self,
        now: Timestamp,
        account: &AccountId,
        symbol: &VenueSymbol,
        id: &ClientOrderId,
    ) -> Result<OrderReport, Refusal> {
        let found = self.order(now, account, id)?;
        if found.symbol != *symbol {
            return Err(Refusal {
                code: RefusalCode::UnknownOrder,
                message: format!("{id} is no order in {symbol}"),
                at: now,
            });
        }
        let open: Vec<Order> = self
            .state
            .account(account)
            .map(|state| {
                state
                    .open_orders()
                    .into_iter()
                    .filter(|order| order.client_order_id() == id)
                    .cloned()
                    .collect()
            })
            .unwrap_or_default();
        for order in open {
            self.update(
                now,
                account,
                done(order, OrderStatus::Canceled, "canceled by the client"),
                None,
            );
        }
        self.order(now, account, id)
    }

    /// The latest order of that id, with all its trades.
    ///
    /// # Errors
    /// [`RefusalCode::UnknownOrder`] when there is none.
    pub fn order(
        &self,
        now: Timestamp,
        account: &AccountId,
        id: &ClientOrderId,
    ) -> Result<OrderReport, Refusal> {
        let state = self.known(now, account)?;
        let unknown = || Refusal {
            code: RefusalCode::UnknownOrder,
            message: format!("there is no order {id}"),
            at: now,
        };
        state
            .latest(id)
            .and_then(|number| state.report(number))
            .ok_or_else(unknown)
    }

    fn known(&self, now: Timestamp, account: &AccountId) -> Result<&AccountState, Refusal> {
        let (code, message) = unknown_account(account);
        self.state.account(account).ok_or(Refusal {
            code,
            message,
            at: now,
        })
    }

    /// Every order that rests.
    ///
    /// # Errors
    /// [`RefusalCode::UnknownAccount`].
    pub fn open_orders(
        &self,
        now: Timestamp,
        account: &AccountId,
    ) -> Result<Vec<OrderReport>, Refusal> {
        let state = self.known(now, account)?;
        Ok(state
            .open
            .iter()
            .filter_map(|number| state.report(*number))
            .collect())
    }

    /// Every trade from an instant on, of one order or of all.
    ///
    /// # Errors
    /// [`RefusalCode::UnknownAccount`].
    pub fn fills(
        &self,
        now: Timestamp,
        account: &AccountId,
        since: Option<Timestamp>,
        id: Option<&ClientOrderId>,
    ) -> Result<Vec<FillReport>, Refusal> {
        let state = self.known(now, account)?;
        let wanted = |fill: &&FillReport| {
            since.is_none_or(|since| fill.at >= since)
                && id.is_none_or(|id| fill.client_order_id.as_ref() == Some(id))
        };
        Ok(state.truth.fills.iter().filter(wanted).cloned().collect())
    }

    /// Makes an id unusable for ever, unless an order has it.
    ///
    /// # Errors
    /// [`RefusalCode::Unsupported`] where ids cannot be burned.
    pub fn burn(
        &mut self,
        now: Timestamp,
        account: &AccountId,
        id: &ClientOrderId,
    ) -> Result<Burn, Refusal> {
        let state = self.known(now, account)?;
        if self.config.orders.absence != Absence::Burn {
            return Err(Refusal {
                code: RefusalCode::Unsupported,
                message: "ids cannot be burned here".into(),
                at: now,
            });
        }
        if let Some(report) = state.latest(id).and_then(|number| state.report(number)) {
            return Ok(Burn::Exists(report));
        }
        if !state.burned.contains(id) {
            self.state.record(Change::Burned {
                account: account.clone(),
                client_order_id: id.clone(),
            });
        }
        Ok(Burn::Burned)
    }

    /// Everything of an account; done orders and trades only from `since` on.
    ///
    /// # Errors
    /// [`RefusalCode::UnknownAccount`].
    pub fn snapshot(
        &self,
        now: Timestamp,
        account: &AccountId,
        since: Option<Timestamp>,
    ) -> Result<AccountSnapshot, Refusal> {
        let state = self.known(now, account)?;
        let recent = |order: &&Order| {
            order.status == OrderStatus::Open || since.is_none_or(|since| order.updated_at >= since)
        };
        let balances = state.truth.balances.iter().map(|(asset, total)| Balance {
            asset: asset.clone(),
            total: *total,
        });
        Ok(AccountSnapshot {
            orders: state
                .truth
                .orders
                .iter()
                .filter(recent)
                .filter_map(|order| state.report(order.number))
                .collect(),
            fills: self.fills(now, account, since, None)?,
            positions: self.positions(state),
            balances: balances.collect(),
            at: now,
        })
    }

    fn positions(&self, state: &AccountState) -> Vec<NetPosition> {
        let held = self
            .market
            .instruments()
            .filter_map(|instrument| Some((instrument, state.held(instrument)?)));
        held.map(|(instrument, quantity)| NetPosition {
            symbol: instrument.symbol.clone(),
            quantity,
        })
        .collect()
    }

    fn specs(&self) -> BTreeMap<&VenueSymbol, &omnivenue_core::model::instrument::InstrumentSpec> {
        self.market
            .instruments()
            .map(|instrument| (&instrument.symbol, &**instrument))
            .collect()
    }

    fn marks(&mut self, now: Timestamp) -> BTreeMap<VenueSymbol, Price> {
        let symbols: Vec<VenueSymbol> = self
            .market
            .instruments()
            .map(|instrument| instrument.symbol.clone())
            .collect();
        symbols
            .into_iter()
            .filter_map(|symbol| self.market.mark(&symbol, now).map(|mark| (symbol, mark)))
            .collect()
    }
}

fn unknown_account(account: &AccountId) -> Refused {
    (
        RefusalCode::UnknownAccount,
        format!("there is no account {account} here"),
    )
}

/// The side of the quote that an order meets.
const fn touch(quote: &Quote, place: &PlaceOrder) -> Price {
    if place.side.is_buy() {
        quote.ask
    } else {
        quote.bid
    }
}

/// Whether an order may trade at this price.
fn reaches(place: &PlaceOrder, price: Price) -> bool {
    if place.side.is_buy() {
        price <= bound(place)
    } else {
        price >= bound(place)
    }
}

fn done(order: Order, status: OrderStatus, why: &str) -> Order {
    Order {
        status,
        why: Some(why.to_owned()),
        ..order
    }
}

/// What becomes of an order's rest once it has taken what it could.
fn settle(order: Order, nothing_to_reduce: bool) -> Order {
    if order.status != OrderStatus::Open {
        return order;
    }
    match order.place.order {
        OrderType::Market => done(
            order,
            OrderStatus::Canceled,
            "nothing more trades within the worst price",
        ),
        OrderType::Limit {
            time_in_force: TimeInForce::Ioc | TimeInForce::Fok,
            ..
        } => done(order, OrderStatus::Expired, "it did not fill at once"),
        OrderType::Limit {
            time_in_force: TimeInForce::Gtc,
            ..
        } if nothing_to_reduce => done(
            order,
            OrderStatus::Canceled,
            "there is nothing left to reduce",
        ),
        OrderType::Limit {
            time_in_force: TimeInForce::Gtc,
            ..
        } => order,
    }
}
