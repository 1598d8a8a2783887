//! What the exchange tells: orders, trades, balances, quotes, and its whole truth. Nothing here changes anything.

use std::collections::BTreeMap;

use omnivenue_core::model::ids::{AccountId, Asset, ClientOrderId, VenueSymbol};
use omnivenue_core::model::instrument::{Instrument, InstrumentSpec};
use omnivenue_core::model::number::{Amount, NumberError, Price};
use omnivenue_core::model::order::{Balance, FillReport, NetPosition, OrderReport, OrderStatus};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{AccountSnapshot, Quote};

use crate::books::{Order, Truth};
use crate::contracts;
use crate::exchange::{Exchange, unknown_account};
use crate::funds::Valuation;
use crate::state::AccountState;
use crate::wire::{Refusal, RefusalCode};

impl Exchange {
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

    /// The quote of one instrument, where it has one.
    #[must_use]
    pub fn quote(&mut self, symbol: &VenueSymbol, now: Timestamp) -> Option<Quote> {
        self.market.quote(symbol, now)
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
    pub fn equity(&mut self, account: &AccountId, asset: &Asset, now: Timestamp) -> Result<Amount, NumberError> {
        let marks = self.marks(now);
        let valuation = Valuation { specs: self.specs(), marks };
        self.state.account(account).map_or(Ok(Amount::ZERO), |account| valuation.equity(&account.truth, asset))
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
        self.state.accounts().any(|(_, account)| !account.open.is_empty())
    }

    /// The latest order of that id, with all its trades.
    ///
    /// # Errors
    /// [`RefusalCode::UnknownOrder`] when there is none.
    pub fn order(&self, now: Timestamp, account: &AccountId, id: &ClientOrderId) -> Result<OrderReport, Refusal> {
        let state = self.known(now, account)?;
        let unknown = || Refusal { code: RefusalCode::UnknownOrder, message: format!("there is no order {id}"), at: now };
        state.latest(id).and_then(|number| state.report(number)).ok_or_else(unknown)
    }

    pub(crate) fn known(&self, now: Timestamp, account: &AccountId) -> Result<&AccountState, Refusal> {
        let (code, message) = unknown_account(account);
        self.state.account(account).ok_or(Refusal { code, message, at: now })
    }

    /// Every order that rests.
    ///
    /// # Errors
    /// [`RefusalCode::UnknownAccount`].
    pub fn open_orders(&self, now: Timestamp, account: &AccountId) -> Result<Vec<OrderReport>, Refusal> {
        let state = self.known(now, account)?;
        Ok(state.open.iter().filter_map(|number| state.report(*number)).collect())
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
            since.is_none_or(|since| fill.at >= since) && id.is_none_or(|id| fill.client_order_id.as_ref() == Some(id))
        };
        Ok(state.truth.fills.iter().filter(wanted).cloned().collect())
    }

    /// Everything of an account; done orders and trades only from `since` on.
    ///
    /// # Errors
    /// [`RefusalCode::UnknownAccount`].
    pub fn snapshot(&self, now: Timestamp, account: &AccountId, since: Option<Timestamp>) -> Result<AccountSnapshot, Refusal> {
        let state = self.known(now, account)?;
        let recent = |order: &&Order| order.status == OrderStatus::Open || since.is_none_or(|since| order.updated_at >= since);
        let balances = state.truth.balances.iter().map(|(asset, total)| Balance { asset: asset.clone(), total: *total });
        Ok(AccountSnapshot {
            orders: state.truth.orders.iter().filter(recent).filter_map(|order| state.report(order.number)).collect(),
            fills: self.fills(now, account, since, None)?,
            positions: self.positions(state),
            balances: balances.collect(),
            movements: state.truth.movements.iter().filter(|movement| since.is_none_or(|since| movement.at >= since)).cloned().collect(),
            at: now,
        })
    }

    fn positions(&self, state: &AccountState) -> Vec<NetPosition> {
        let held = self.market.instruments().filter_map(|instrument| Some((instrument, state.held(instrument)?)));
        let position = |instrument: &Instrument, quantity| {
            let symbol = instrument.symbol.clone();
            let cost = instrument.market.is_margined().then(|| state.truth.position(&symbol).cost);
            // Told as clients sign it: what was paid is positive, and for inverse contracts coins are received.
            let cost = cost.map(|cost| if contracts::gains_as_worth_falls(instrument) { -cost } else { cost });
            NetPosition { symbol, quantity, cost }
        };
        held.map(|(instrument, quantity)| position(instrument, quantity)).collect()
    }

    pub(crate) fn specs(&self) -> BTreeMap<&VenueSymbol, &InstrumentSpec> {
        self.market.instruments().map(|instrument| (&instrument.symbol, &**instrument)).collect()
    }

    pub(crate) fn marks(&mut self, now: Timestamp) -> BTreeMap<VenueSymbol, Price> {
        let symbols: Vec<VenueSymbol> = self.market.instruments().map(|instrument| instrument.symbol.clone()).collect();
        symbols.into_iter().filter_map(|symbol| self.market.mark(&symbol, now).map(|mark| (symbol, mark))).collect()
    }
}
