//! What the exchange knows, as the fold of its changes: applied in memory, written to its file, and applied again when it opens.

use std::collections::{BTreeMap, BTreeSet};

use omnivenue_core::model::ids::{AccountId, Asset, ClientOrderId, TradeId, VenueSymbol};
use omnivenue_core::model::instrument::{Instrument, Market};
use omnivenue_core::model::movement::Movement;
use omnivenue_core::model::number::{Amount, Quantity, SignedQuantity};
use omnivenue_core::model::order::{FillReport, OrderReport, OrderStatus};
use omnivenue_core::model::time::Timestamp;

use crate::books::{AccountTruth, Order, Position, Truth};
use crate::config::{Config, ConfigError};
use crate::rules::Refused;
use crate::wire::{PlaceOrder, RefusalCode};

/// One thing that became true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An account was opened, with its deposits.
    Opened {
        /// Whose.
        account: AccountId,
        /// What it starts with.
        deposits: BTreeMap<Asset, Amount>,
    },
    /// An order was accepted or changed.
    Order {
        /// Whose.
        account: AccountId,
        /// As it now stands.
        order: Box<Order>,
    },
    /// A trade happened.
    Fill {
        /// Whose.
        account: AccountId,
        /// The trade.
        fill: FillReport,
    },
    /// Money moved without a trade; what the balance then is follows.
    Moved {
        /// Whose.
        account: AccountId,
        /// What moved.
        movement: Movement,
    },
    /// A balance changed.
    Balance {
        /// Whose.
        account: AccountId,
        /// Of what.
        asset: Asset,
        /// What it now is.
        total: Amount,
    },
    /// A position changed.
    Position {
        /// Whose.
        account: AccountId,
        /// In what.
        symbol: VenueSymbol,
        /// What it now is.
        position: Position,
    },
    /// A client order id was used up.
    Burned {
        /// Whose.
        account: AccountId,
        /// Which.
        client_order_id: ClientOrderId,
    },
    /// An order was refused for good: the same bytes get the same refusal.
    Refused {
        /// Whose.
        account: AccountId,
        /// Which.
        client_order_id: ClientOrderId,
        /// The exact text.
        wire: String,
        /// The exchange's code.
        code: RefusalCode,
        /// Its words.
        message: String,
    },
}

/// What the exchange knows of one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AccountState {
    pub(crate) truth: AccountTruth,
    /// The numbers of orders that rest.
    pub(crate) open: BTreeSet<u64>,
    pub(crate) burned: BTreeSet<ClientOrderId>,
    /// Which order used a nonce.
    pub(crate) nonces: BTreeMap<u64, ClientOrderId>,
    refused: BTreeMap<ClientOrderId, (String, Refused)>,
    /// Where an order stands in `truth.orders`, by its number.
    places: BTreeMap<u64, usize>,
    /// The numbers of all orders of an id, in order.
    numbers: BTreeMap<ClientOrderId, Vec<u64>>,
    /// Where an order's trades stand in `truth.fills`.
    fills: BTreeMap<u64, Vec<usize>>,
    /// The numbers of the exits that came with an entry.
    exits: BTreeMap<u64, Vec<u64>>,
}

/// Everything the exchange knows, and what of it is not yet written down.
#[derive(Debug, Clone, Default)]
pub struct State {
    epoch: Timestamp,
    accounts: BTreeMap<AccountId, AccountState>,
    last_order: u64,
    last_trade: u64,
    movements: u64,
    pending: Vec<Change>,
}

impl State {
    /// Nothing yet; prices count from `epoch`.
    #[must_use]
    pub fn new(epoch: Timestamp) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// What a file said, change by change.
    #[must_use]
    pub fn restored(epoch: Timestamp, changes: impl IntoIterator<Item = Change>) -> Self {
        let mut state = Self::new(epoch);
        for change in changes {
            state.apply(change);
        }
        state
    }

    /// When the exchange began.
    #[must_use]
    pub const fn epoch(&self) -> Timestamp {
        self.epoch
    }

    /// Everything, copied.
    #[must_use]
    pub fn truth(&self) -> Truth {
        let accounts = self.accounts.iter().map(|(id, account)| (id.clone(), account.truth.clone())).collect();
        Truth { epoch: self.epoch, accounts }
    }

    /// Forgets what ended before this instant; balances, positions, what rests and what is used up stay.
    pub(crate) fn forget(&mut self, before: Timestamp) {
        self.accounts.values_mut().for_each(|account| account.forget(before));
    }

    pub(crate) fn account(&self, id: &AccountId) -> Option<&AccountState> {
        self.accounts.get(id)
    }

    pub(crate) fn accounts(&self) -> impl Iterator<Item = (&AccountId, &AccountState)> {
        self.accounts.iter()
    }

    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.pending)
    }

    pub(crate) const fn last_order(&self) -> u64 {
        self.last_order
    }

    /// How often money has moved without a trade.
    pub(crate) const fn movements(&self) -> u64 {
        self.movements
    }

    pub(crate) const fn next_order(&self) -> u64 {
        self.last_order + 1
    }

    pub(crate) fn next_trade(&self) -> TradeId {
        TradeId::new(&format!("t{}", self.last_trade + 1)).expect("a letter and digits make a name")
    }

    /// Makes a change true, and keeps it to be written down.
    pub(crate) fn record(&mut self, change: Change) {
        self.apply(change.clone());
        self.pending.push(change);
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Opened { account, deposits } => {
                let truth = AccountTruth { balances: deposits.clone(), deposits, ..AccountTruth::default() };
                self.accounts.insert(account, AccountState { truth, ..AccountState::default() });
            }
            Change::Order { account, order } => {
                self.last_order = self.last_order.max(order.number);
                self.accounts.entry(account).or_default().put_order(*order);
            }
            Change::Fill { account, fill } => {
                self.last_trade += 1;
                self.accounts.entry(account).or_default().put_fill(fill);
            }
            Change::Moved { account, movement } => {
                self.movements += 1;
                self.accounts.entry(account).or_default().truth.movements.push(movement);
            }
            Change::Balance { account, asset, total } => {
                self.accounts.entry(account).or_default().truth.balances.insert(asset, total);
            }
            Change::Position { account, symbol, position } => {
                self.accounts.entry(account).or_default().truth.positions.insert(symbol, position);
            }
            Change::Burned { account, client_order_id } => {
                self.accounts.entry(account).or_default().burned.insert(client_order_id);
            }
            Change::Refused { account, client_order_id, wire, code, message } => {
                let refused = &mut self.accounts.entry(account).or_default().refused;
                refused.entry(client_order_id).or_insert((wire, (code, message)));
            }
        }
    }

    /// Refuses a file whose open orders and positions the configuration does not list.
    pub(crate) fn fits(&self, config: &Config, instruments: &BTreeMap<VenueSymbol, Instrument>) -> Result<(), ConfigError> {
        for (id, account) in &self.accounts {
            let held = account.truth.positions.iter().filter(|(_, position)| !position.quantity.is_zero()).map(|(symbol, _)| symbol);
            let resting = account.open_orders().into_iter().map(|order| &order.place.symbol);
            if let Some(symbol) = held.chain(resting).find(|symbol| !instruments.contains_key(*symbol)) {
                let reason = format!("its file has an open order or position of {id} in {symbol}, which instruments does not list");
                return Err(ConfigError { venue: config.id.clone(), reason });
            }
        }
        Ok(())
    }
}

impl AccountState {
    fn put_order(&mut self, order: Order) {
        if order.status == OrderStatus::Open {
            self.open.insert(order.number);
        } else {
            self.open.remove(&order.number);
        }
        if let Some(place) = self.places.get(&order.number) {
            self.truth.orders[*place] = order;
            return;
        }
        if let Some(nonce) = order.place.nonce {
            self.nonces.insert(nonce, order.client_order_id().clone());
        }
        if let Some(entry) = order.wait.and_then(|wait| wait.entry) {
            self.exits.entry(entry).or_default().push(order.number);
        }
        self.places.insert(order.number, self.truth.orders.len());
        self.numbers.entry(order.client_order_id().clone()).or_default().push(order.number);
        self.truth.orders.push(order);
    }

    /// Keeps orders that rest or changed since then, those that came together as one, with their trades; everything else anew from these.
    fn forget(&mut self, before: Timestamp) {
        let entry = |order: &Order| order.wait.and_then(|wait| wait.entry).unwrap_or(order.number);
        let live = |order: &&Order| order.status == OrderStatus::Open || order.updated_at >= before;
        let kept: BTreeSet<u64> = self.truth.orders.iter().filter(live).map(entry).collect();
        let old = std::mem::take(self);
        self.burned = old.burned;
        self.truth = AccountTruth {
            orders: Vec::new(),
            fills: Vec::new(),
            movements: old.truth.movements.into_iter().filter(|movement| movement.at >= before).collect(),
            ..old.truth
        };
        old.truth.orders.into_iter().filter(|order| kept.contains(&entry(order))).for_each(|order| self.put_order(order));
        let known = |fill: &FillReport| fill.venue_order_id.as_str().parse().is_ok_and(|number: u64| self.places.contains_key(&number));
        let fills: Vec<FillReport> = old.truth.fills.into_iter().filter(known).collect();
        fills.into_iter().for_each(|fill| self.put_fill(fill));
    }

    fn put_fill(&mut self, fill: FillReport) {
        let number = fill.venue_order_id.as_str().parse().unwrap_or_default();
        self.fills.entry(number).or_default().push(self.truth.fills.len());
        self.truth.fills.push(fill);
    }

    /// The answer that these bytes got before, or would get under a used id.
    pub(crate) fn answered_before(&self, id: &ClientOrderId, wire: &str) -> Option<Result<OrderReport, Refused>> {
        let other = || (RefusalCode::AlreadyUsed, format!("client order id {id} is already used, by another order"));
        if let Some(order) = self.latest(id).and_then(|number| self.order(number)) {
            return Some(if order.wire == wire { self.report(order.number).ok_or_else(other) } else { Err(other()) });
        }
        let (before, refused) = self.refused.get(id)?;
        Some(Err(if before == wire { refused.clone() } else { other() }))
    }

    /// Whether an id was given to an order or a refusal before.
    pub(crate) fn has_used(&self, id: &ClientOrderId) -> bool {
        self.numbers.contains_key(id) || self.refused.contains_key(id)
    }

    /// The exits that came with an entry, done ones included.
    pub(crate) fn exits_of(&self, entry: u64) -> Vec<Order> {
        self.exits.get(&entry).into_iter().flatten().filter_map(|number| self.order(*number)).cloned().collect()
    }

    /// The number of the latest order of an id.
    pub(crate) fn latest(&self, id: &ClientOrderId) -> Option<u64> {
        self.numbers.get(id)?.last().copied()
    }

    pub(crate) fn order(&self, number: u64) -> Option<&Order> {
        self.truth.orders.get(*self.places.get(&number)?)
    }

    /// An order with all its trades.
    pub(crate) fn report(&self, number: u64) -> Option<OrderReport> {
        let fills = self.fills.get(&number).into_iter().flatten();
        Some(self.order(number)?.report(fills.map(|place| self.truth.fills[*place].clone()).collect()))
    }

    pub(crate) fn open_orders(&self) -> Vec<&Order> {
        self.open.iter().filter_map(|number| self.order(*number)).collect()
    }

    /// How much an order could reduce.
    pub(crate) fn reducible(&self, place: &PlaceOrder) -> Quantity {
        let held = self.truth.position(&place.symbol).quantity;
        let opposite = if place.side.is_buy() { held.is_short() } else { held.is_long() };
        if opposite { held.magnitude() } else { Quantity::ZERO }
    }

    /// What is held of an instrument, unless it is nothing.
    pub(crate) fn held(&self, instrument: &Instrument) -> Option<SignedQuantity> {
        let held = match instrument.market {
            Market::Perp | Market::Future => self.truth.position(&instrument.symbol).quantity,
            Market::Spot => SignedQuantity::new(self.truth.balance(&instrument.base).decimal()).ok()?,
        };
        (!held.is_zero()).then_some(held)
    }
}
