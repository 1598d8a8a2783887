//! The exchange itself: takes orders, matches them against the price, keeps every account's books. Synchronous and deterministic.

use std::sync::Arc;

use omnivenue_core::model::ids::{AccountId, ClientOrderId, VenueSymbol};
use omnivenue_core::model::number::Price;
use omnivenue_core::model::order::{OrderReport, OrderStatus};
use omnivenue_core::model::signal::OrderType;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Absence, Quote, Resend};

use crate::books::{Order, bound};
use crate::config::{Config, ConfigError};
use crate::expiry;
use crate::funding::{FundingRates, open_rates};
use crate::funds::Valuation;
use crate::market::{Market, Sources, open_sources};
use crate::matching::done;
use crate::rules::{self, Refused};
use crate::state::{AccountState, Change, State};
use crate::triggers::{self, Denies};
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
    pub(crate) config: Arc<Config>,
    pub(crate) market: Market,
    pub(crate) state: State,
    pub(crate) rates: FundingRates,
    pub(crate) updates: Vec<(AccountId, OrderReport)>,
}

impl Exchange {
    /// An exchange that begins or goes on with a state. Accounts that the state does not have get their starting balances.
    ///
    /// # Errors
    /// [`PaperError`] when the configuration is wrong or a file of candles cannot be used.
    pub fn open(config: Arc<Config>, state: State) -> Result<Self, PaperError> {
        config.check()?;
        let sources = open_sources(&config)?;
        Self::with_sources(config, state, sources)
    }

    pub(crate) fn with_sources(config: Arc<Config>, state: State, sources: Sources) -> Result<Self, PaperError> {
        let instruments = config.check()?;
        state.fits(&config, &instruments)?;
        let market = Market::new(&config, instruments, sources, state.epoch());
        let rates = open_rates(&config)?;
        let mut exchange = Self { config, market, state, rates, updates: Vec::new() };
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

    /// Forgets what ended before this instant.
    pub(crate) fn forget(&mut self, before: Timestamp) {
        self.state.forget(before);
    }

    /// What changed since the last call, to be written down before anyone hears of it.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.state.take_changes()
    }

    /// What accounts are to be told on their streams since the last call: each report with its new trades only.
    pub fn take_updates(&mut self) -> Vec<(AccountId, OrderReport)> {
        std::mem::take(&mut self.updates)
    }

    /// Takes an order that arrived at `arrived` and is decided `now`.
    ///
    /// Where the exchange is [`Resend::Idempotent`], the same bytes get the answer of the first time, be it an order or a refusal;
    /// elsewhere they make another order.
    ///
    /// # Errors
    /// [`Refusal`] with the exchange's own code.
    pub fn place(&mut self, now: Timestamp, arrived: Timestamp, account: &AccountId, wire: &str) -> Result<OrderReport, Refusal> {
        self.place_unless(now, arrived, account, wire, &mut |_| false)
    }

    /// [`Exchange::place`], but each order with a trigger is refused that `denies` says.
    pub(crate) fn place_unless(
        &mut self,
        now: Timestamp,
        arrived: Timestamp,
        account: &AccountId,
        wire: &str,
        denies: Denies<'_>,
    ) -> Result<OrderReport, Refusal> {
        let refusal = |(code, message): Refused| Refusal { code, message, at: now };
        let Some(state) = self.state.account(account) else {
            return Err(refusal(unknown_account(account)));
        };
        let place: PlaceOrder = serde_json::from_str(wire).map_err(|e| refusal((RefusalCode::Malformed, e.to_string())))?;
        if self.config.orders.resend == Resend::Idempotent
            && let Some(before) = state.answered_before(&place.client_order_id, wire)
        {
            return before.map_err(|(code, message)| refusal((code, message)));
        }
        self.check_ids(state, &place).map_err(refusal)?;
        let mut decided = self.admit(now, arrived, account, &place);
        if decided.is_ok() && place.trigger.is_some() && denies(&place.client_order_id) {
            decided = Err(triggers::denied());
        }
        let decided = decided.map(|()| self.accept(now, account, &place, wire, denies));
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

    /// Whether the ids of a request can still be given: burned, none of it ever can, since they came to the exchange together.
    fn check_ids(&self, state: &AccountState, place: &PlaceOrder) -> Result<(), Refused> {
        let attached = place.attached.iter().map(|exit| &exit.client_order_id);
        let used = |id: &&ClientOrderId| self.config.orders.resend == Resend::Idempotent && state.has_used(id);
        if let Some(id) = attached.clone().find(used) {
            return Err((RefusalCode::AlreadyUsed, format!("client order id {id} is already used, by another order")));
        }
        match attached.chain([&place.client_order_id]).find(|id| state.burned.contains(*id)) {
            Some(id) => Err((RefusalCode::AlreadyUsed, format!("client order id {id} is already used: it was burned"))),
            None => Ok(()),
        }
    }

    /// Whether the order is one the exchange takes, now.
    fn admit(&mut self, now: Timestamp, arrived: Timestamp, account: &AccountId, place: &PlaceOrder) -> Result<(), Refused> {
        let no_price = || (RefusalCode::NoPrice, format!("{} has no price at present", place.symbol));
        let quote = self.market.quote(&place.symbol, now);
        let marks = self.marks(now);
        let state = self.state.account(account).ok_or_else(|| unknown_account(account))?;
        rules::check_form(place, &self.config.orders, arrived)?;
        triggers::check_exits(place, self.config.exits_offered())?;
        if let Some(nonce) = place.nonce
            && let Some(user) = state.nonces.get(&nonce)
        {
            return Err((RefusalCode::BadNonce, format!("nonce {nonce} was already used, by {user}")));
        }
        let unknown = || (RefusalCode::UnknownSymbol, format!("{} is not traded here", place.symbol));
        let instrument = self.market.instrument(&place.symbol).ok_or_else(unknown)?;
        rules::check_numbers(place, instrument)?;
        expiry::check_open(place, instrument, now)?;
        if let Some(trigger) = place.trigger {
            // It need not trade now: the last mark there was will do.
            return triggers::check_waits(place.side, trigger, *marks.get(&place.symbol).ok_or_else(no_price)?);
        }
        if !instrument.is_open(now) {
            // It rests until the session, at its own price.
            rules::check_notional(place, instrument, bound(place))?;
            return Valuation { specs: self.specs(), marks }.check(&state.truth, &state.open_orders(), place, bound(place));
        }
        let quote = quote.ok_or_else(no_price)?;
        let taken = self.market.taker_price(&quote, place.side).ok_or_else(no_price)?;
        if let OrderType::Limit { post_only: true, .. } = place.order
            && reaches(place, touch(&quote, place))
        {
            return Err((RefusalCode::PostOnly, format!("{} would trade at once", bound(place))));
        }
        let price = if reaches(place, taken) { taken } else { bound(place) };
        rules::check_notional(place, instrument, price)?;
        if place.reduce_only && state.reducible(place).is_zero() {
            return Err((RefusalCode::ReduceOnly, format!("there is no position in {} that it would reduce", place.symbol)));
        }
        Valuation { specs: self.specs(), marks }.check(&state.truth, &state.open_orders(), place, price)
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
            return Err(Refusal { code: RefusalCode::UnknownOrder, message: format!("{id} is no order in {symbol}"), at: now });
        }
        let open: Vec<Order> = self
            .state
            .account(account)
            .map(|state| state.open_orders().into_iter().filter(|order| order.client_order_id() == id).cloned().collect())
            .unwrap_or_default();
        for order in open {
            self.update(now, account, done(order, OrderStatus::Canceled, "canceled by the client"), None);
        }
        self.order(now, account, id)
    }

    /// Makes an id unusable for ever, unless an order has it.
    ///
    /// # Errors
    /// [`RefusalCode::Unsupported`] where ids cannot be burned.
    pub fn burn(&mut self, now: Timestamp, account: &AccountId, id: &ClientOrderId) -> Result<Burn, Refusal> {
        let state = self.known(now, account)?;
        if self.config.orders.absence != Absence::Burn {
            return Err(Refusal { code: RefusalCode::Unsupported, message: "ids cannot be burned here".into(), at: now });
        }
        if let Some(report) = state.latest(id).and_then(|number| state.report(number)) {
            return Ok(Burn::Exists(report));
        }
        if !state.burned.contains(id) {
            self.state.record(Change::Burned { account: account.clone(), client_order_id: id.clone() });
        }
        Ok(Burn::Burned)
    }
}

pub(crate) fn unknown_account(account: &AccountId) -> Refused {
    (RefusalCode::UnknownAccount, format!("there is no account {account} here"))
}

/// The side of the quote that an order meets.
pub(crate) const fn touch(quote: &Quote, place: &PlaceOrder) -> Price {
    if place.side.is_buy() { quote.ask } else { quote.bid }
}

/// Whether an order may trade at this price.
pub(crate) fn reaches(place: &PlaceOrder, price: Price) -> bool {
    if place.side.is_buy() { price <= bound(place) } else { price >= bound(place) }
}
