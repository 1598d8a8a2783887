//! Where orders come from: the engine's own state machine with a journal in memory, so that what reaches an account has passed the gates
//! and a durable commit like any other order. It never talks to the venue about orders itself; that is what the cases do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use omnivenue_core::engine::{Kernel, Task};
use omnivenue_core::executor::{AccountSetup, AccountShare, AgentSetup, DeploymentSetup, Input, Limits, Now, Setup, Timing, VenueSetup};
use omnivenue_core::journal::{Failure, Journal, Journaled, MemoryStore};
use omnivenue_core::model::close::{CloseRequest, CloseTarget};
use omnivenue_core::model::execution::{LegState, Reason};
use omnivenue_core::model::ids::{AccountId, SignalId, VenueId};
use omnivenue_core::model::instrument::{AssetMap, Instrument, InstrumentSpec, PriceRule, Side};
use omnivenue_core::model::number::{Factor, Price, Quantity};
use omnivenue_core::model::order::{Balance, OrderReport};
use omnivenue_core::model::signal::{Direction, LegPolicy, OrderType, Routing, Signal, Sizing};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Account, AccountSnapshot, Capabilities, Prepared, Quote};
use rust_decimal::Decimal;
use tokio::sync::Mutex;

use crate::clock;

/// What an order is to be, before it has a name, a nonce and a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Buy or sell.
    pub side: Side,
    /// In base units.
    pub quantity: Quantity,
    /// Market or limit.
    pub order: OrderType,
    /// The worst price of a market order.
    pub worst_price: Price,
}

/// The engine's side of a world. It believes that it has money without end; and a careless one that every size and price is allowed, so
/// that the venue is the one that has to refuse.
pub struct Desk {
    kernel: Mutex<Kernel>,
    accounts: BTreeMap<AccountId, Arc<dyn Account>>,
    store: MemoryStore,
    venue: VenueId,
    instrument: Instrument,
    tag: String,
    count: AtomicU64,
    nonces: Nonces,
}

/// The latest nonce of each of several desks on the same accounts: one waits until the clock has passed the other's, since neither
/// knows of the other's journal.
pub type Nonces = Arc<std::sync::Mutex<BTreeMap<String, u64>>>;

/// Reads a constant.
fn constant<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("the constants of this file are valid")
}

impl Desk {
    /// A desk that trades one instrument on these accounts. `tag` is six hexadecimals, and begins the name of every order.
    ///
    /// # Errors
    /// A sentence that says why the engine does not open.
    pub async fn open(
        tag: &str,
        capabilities: &Capabilities,
        instrument: &Instrument,
        accounts: Vec<Arc<dyn Account>>,
        nonces: Nonces,
    ) -> Result<Self, String> {
        let (venue, store) = (instrument.venue.clone(), MemoryStore::new());
        let setup = setup(capabilities, instrument, &accounts);
        let kernel = Kernel::open(setup, accounts.clone(), Arc::new(store.clone())).map_err(|error| error.to_string())?;
        let desk = Self {
            kernel: Mutex::new(kernel),
            accounts: accounts.into_iter().map(|account| (account.id().clone(), account)).collect(),
            store,
            venue,
            instrument: instrument.clone(),
            tag: tag.to_owned(),
            count: AtomicU64::new(0),
            nonces,
        };
        desk.begin().await;
        Ok(desk)
    }

    async fn begin(&self) {
        let now = clock::at(clock::now());
        let mut kernel = self.kernel.lock().await;
        kernel.input(now, Input::Opened { version: "behavior", namespace: self.tag.clone() });
        let riches = Balance { asset: self.instrument.settle.clone(), total: constant("1000000000000") };
        for account in self.accounts.keys() {
            let snapshot = AccountSnapshot { balances: vec![riches.clone()], at: now.wall, ..AccountSnapshot::default() };
            kernel.snapshot(now, account.clone(), Ok(snapshot));
        }
        commit(&self.store, &mut kernel, now);
    }

    /// An order ready to be placed.
    ///
    /// # Errors
    /// Why the account would not prepare it: nothing was sent.
    pub async fn entry(&self, account: &AccountId, wish: Wish) -> Result<Journaled<Prepared>, Reason> {
        self.wait_for_the_others().await;
        self.entry_at(account, wish, clock::now()).await
    }

    /// An order as it would have been prepared at another time.
    ///
    /// # Errors
    /// Why the account would not prepare it: nothing was sent.
    pub async fn entry_at(&self, account: &AccountId, wish: Wish, wall: Timestamp) -> Result<Journaled<Prepared>, Reason> {
        let signal = self.signal(account, wish);
        let (id, now) = (signal.id.clone(), clock::at(wall));
        let mut kernel = self.kernel.lock().await;
        self.quote(&mut kernel, wish.worst_price, now);
        let tasks = kernel.execute(now, signal, 1);
        self.carry_out(&mut kernel, tasks, &id, now).await
    }

    /// An order that closes what the desk holds on an account, as far as it was told of it ([`Desk::learn`]).
    ///
    /// # Errors
    /// Why there is no order.
    pub async fn close(&self, account: &AccountId, worst_price: Price) -> Result<Journaled<Prepared>, Reason> {
        self.wait_for_the_others().await;
        let (id, now) = (self.next_id(), clock::at(clock::now()));
        let target = CloseTarget::Position { account: account.clone(), instrument: self.instrument.symbol.clone(), deployment: None };
        let mut kernel = self.kernel.lock().await;
        self.quote(&mut kernel, worst_price, now);
        let tasks = kernel.close(now, CloseRequest::new(id.clone(), target), 1);
        self.carry_out(&mut kernel, tasks, &id, now).await
    }

    /// Tells the desk what the venue said of an order.
    pub async fn learn(&self, account: &AccountId, report: OrderReport) {
        let now = clock::at(clock::now());
        let mut kernel = self.kernel.lock().await;
        kernel.report(now, account.clone(), report);
        commit(&self.store, &mut kernel, now);
    }

    /// Whether a name is of this desk's making.
    #[must_use]
    pub fn is_ours(&self, name: &str) -> bool {
        name.starts_with(&self.tag)
    }

    /// Waits until the clock has passed every nonce of another desk.
    async fn wait_for_the_others(&self) {
        let latest = {
            let nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
            nonces.iter().filter(|(tag, _)| **tag != self.tag).map(|(_, nonce)| *nonce).max().unwrap_or(0)
        };
        while u64::try_from(clock::now().as_millis()).is_ok_and(|now| now <= latest) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    fn next_id(&self) -> SignalId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        constant(&format!("s{count}"))
    }

    fn signal(&self, account: &AccountId, wish: Wish) -> Signal {
        let (asset, per_base) = AssetMap::default().resolve(&self.instrument.base);
        assert!(per_base == Factor::ONE, "the suite trades an instrument whose base is counted one by one");
        Signal {
            id: self.next_id(),
            agent: constant(account.as_str()),
            asset,
            market: self.instrument.market.into(),
            direction: if wish.side.is_buy() { Direction::Long } else { Direction::Short },
            confidence: None,
            created_at: None,
            valid_for: std::time::Duration::from_secs(3600),
            sizing: Sizing::Quantity(wish.quantity),
            leverage: constant("1"),
            slippage: constant("0"),
            order: wish.order,
            venues: None,
            routing: Routing::All,
            exits: None,
            leg_policy: LegPolicy::BestEffort,
            metadata: serde_json::Map::new(),
        }
    }

    /// Without slippage the worst price is the one that the desk is told stands now.
    fn quote(&self, kernel: &mut Kernel, price: Price, now: Now) {
        let quote = Quote { symbol: self.instrument.symbol.clone(), bid: price, ask: price, at: now.wall, depth: Default::default() };
        kernel.input(now, Input::Quote { venue: self.venue.clone(), quote });
    }

    /// Carries out what leads to an order, and gives back the order instead of placing it.
    async fn carry_out(&self, kernel: &mut Kernel, tasks: Vec<Task>, id: &SignalId, now: Now) -> Result<Journaled<Prepared>, Reason> {
        let mut tasks = VecDeque::from(tasks);
        loop {
            tasks.extend(commit(&self.store, kernel, now));
            match tasks.pop_front() {
                Some(Task::Place { order, .. }) => {
                    if let Some(nonce) = order.nonce() {
                        self.nonces.lock().unwrap_or_else(PoisonError::into_inner).insert(self.tag.clone(), nonce);
                    }
                    return Ok(order);
                }
                Some(Task::Ready { account, leg, request }) => {
                    let account = self.accounts.get(&account).expect("orders are for the accounts of the desk");
                    let result = account.ready(&request).await.map_err(|error| Failure::from(&error));
                    if let Err(failure) = &result {
                        return Err(Reason::new("not_ready", failure.message.clone()));
                    }
                    tasks.extend(kernel.input(now, Input::Ready { leg, result }));
                }
                Some(Task::Answer { result: Err(error), .. }) => return Err(Reason::new("command", error.to_string())),
                Some(_) => {}
                None => return Err(why_not(kernel, id)),
            }
        }
    }
}

/// Why a signal or request led to no order.
fn why_not(kernel: &Kernel, id: &SignalId) -> Reason {
    let number = kernel.execution_of(id).ok().flatten();
    let record = number.and_then(|number| kernel.execution(number).ok().flatten());
    let ended = record.and_then(|record| match &record.legs.first()?.state {
        LegState::Done { why, .. } => why.clone(),
        _ => None,
    });
    ended.unwrap_or_else(|| Reason::new("nothing", "no leg, or one that waits"))
}

/// Makes durable what was decided.
fn commit(store: &MemoryStore, kernel: &mut Kernel, now: Now) -> Vec<Task> {
    // A clone writes to the same journal.
    let (mut store, mut tasks) = (store.clone(), Vec::new());
    while let Some(batch) = kernel.take_batch() {
        store.append(&batch.entries).expect("a journal in memory that is not told to fail takes entries");
        tasks.extend(kernel.committed(now, batch));
    }
    tasks
}

/// The instrument as a careless desk sees it: one more decimal in prices and quantities, and hardly a minimum.
///
/// # Errors
/// A sentence that says what of it does not fit.
pub fn careless(instrument: &Instrument) -> Result<Instrument, String> {
    let tenth = instrument.lot_size.decimal().checked_mul(Decimal::new(1, 1));
    let lot = tenth.and_then(|tenth| Quantity::new(tenth).ok()).ok_or("its lot size has no tenth")?;
    let decimals = instrument.money_scale() - instrument.lot_size.decimal().scale() + 1;
    let spec = InstrumentSpec {
        price_rule: PriceRule { decimals: Some(decimals), ..PriceRule::default() },
        lot_size: lot,
        min_quantity: lot,
        max_quantity: instrument.max_quantity.min(constant("1000000")),
        min_notional: constant("0"),
        max_price: instrument.max_price.min(constant("100000")),
        ..(**instrument).clone()
    };
    Instrument::new(spec).map_err(|error| error.to_string())
}

fn setup(capabilities: &Capabilities, instrument: &Instrument, accounts: &[Arc<dyn Account>]) -> Setup {
    let assets = AssetMap::default();
    let venue = instrument.venue.clone();
    let ids: Vec<AccountId> = accounts.iter().map(|account| account.id().clone()).collect();
    let account_setup = AccountSetup { venue: venue.clone(), market: None, limits: Limits::default(), drift: Default::default() };
    let deployment = |account: &AccountId| DeploymentSetup {
        agent: constant(account.as_str()),
        accounts: vec![AccountShare { account: account.clone(), allocation: None, fallback: None }],
        limits: Limits::default(),
        stops: Default::default(),
        approval: None,
        scale: Factor::ONE,
    };
    Setup {
        venues: BTreeMap::from([(venue, VenueSetup::new(capabilities.clone(), vec![instrument.clone()], &assets))]),
        accounts: ids.iter().map(|id| (id.clone(), account_setup.clone())).collect(),
        agents: ids.iter().map(|id| (constant(id.as_str()), AgentSetup::default())).collect(),
        deployments: ids.iter().map(|id| (constant(id.as_str()), deployment(id))).collect(),
        limits: Limits::default(),
        rates: BTreeMap::from([(instrument.settle.clone(), Factor::ONE)]),
        assets,
        timing: Timing { close_slippage: constant("0"), ..Timing::default() },
        breakers: Default::default(),
        losses: Default::default(),
        depeg: Default::default(),
    }
}
