//! A kernel driven by hand, with an account on each of several venues: the test answers for the venues.

#![allow(dead_code, reason = "each file of tests needs its own part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use omnivenue_core::engine::{Kernel, Task};
use omnivenue_core::executor::{AccountSetup, AccountShare, AgentSetup, DeploymentSetup, Input, Limits, Now, Setup, Timing, VenueSetup};
use omnivenue_core::gates::Cleared;
use omnivenue_core::journal::{Journal, Journaled, MemoryStore};
use omnivenue_core::ledger::{Level, PositionKey, Scope};
use omnivenue_core::model::close::CloseRequest;
use omnivenue_core::model::execution::LegState;
use omnivenue_core::model::ids::{AccountId, ClientOrderId, VenueSymbol};
use omnivenue_core::model::instrument::AssetMap;
use omnivenue_core::model::number::{Factor, Notional, Quantity, SignedQuantity};
use omnivenue_core::model::order::{Balance, Fee, FillReport, NetPosition, OrderReport, OrderRequest, OrderStatus};
use omnivenue_core::model::signal::Signal;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{
    Account, AccountSnapshot, Evidence, Finding, Prepared, ProbePermission, Quote, Sink, Ticket, Venue, VenueError,
};
use omnivenue_paper::{Config, Link, LinkError, PaperAccount, PaperVenue, Request, Response};

/// A link that carries nothing: the test answers for the venue.
struct Nowhere;

#[async_trait]
impl Link for Nowhere {
    async fn call(&self, _: Request) -> Result<Response, LinkError> {
        std::future::pending().await
    }
    async fn updates(&self, _: &AccountId, _: Sink<OrderReport>) -> Result<(), LinkError> {
        std::future::pending().await
    }
    async fn quotes(&self, _: Sink<Quote>) -> Result<(), LinkError> {
        std::future::pending().await
    }
}

/// An account that can be made to wait before it is ready.
pub(crate) struct Slow {
    inner: PaperAccount,
    pub(crate) ready: AtomicBool,
}

#[async_trait]
impl Account for Slow {
    fn id(&self) -> &AccountId {
        self.inner.id()
    }
    fn venue(&self) -> &Arc<dyn Venue> {
        self.inner.venue()
    }
    async fn ready(&self, request: &OrderRequest) -> Result<(), VenueError> {
        if !self.ready.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.inner.ready(request).await
    }
    fn prepare(&self, cleared: Cleared<OrderRequest>, ticket: Ticket) -> Result<Prepared, VenueError> {
        self.inner.prepare(cleared, ticket)
    }
    async fn place(&self, order: &Journaled<Prepared>) -> Result<OrderReport, VenueError> {
        self.inner.place(order).await
    }
    async fn probe(&self, order: &Journaled<Prepared>, permission: ProbePermission) -> Result<Evidence, VenueError> {
        self.inner.probe(order, permission).await
    }
    async fn cancel(&self, symbol: &VenueSymbol, id: &ClientOrderId) -> Result<OrderReport, VenueError> {
        self.inner.cancel(symbol, id).await
    }
    async fn snapshot(&self, since: Option<Timestamp>) -> Result<AccountSnapshot, VenueError> {
        self.inner.snapshot(since).await
    }
    async fn stream(&self, sink: Sink<OrderReport>) -> Result<(), VenueError> {
        self.inner.stream(sink).await
    }
    async fn examine(&self) -> Result<Vec<Finding>, VenueError> {
        self.inner.examine().await
    }
}

pub(crate) fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("a valid name")
}

pub(crate) struct Bench {
    pub(crate) kernel: Kernel,
    pub(crate) store: MemoryStore,
    pub(crate) accounts: Vec<Arc<Slow>>,
    pub(crate) setup: Setup,
    pub(crate) now: Now,
    /// What the start asked for.
    pub(crate) opening: Vec<Task>,
    pub(crate) token: u64,
    pub(crate) trade: u64,
    /// What each account held of HYPE before it was first seen.
    pub(crate) foreign: SignedQuantity,
}

impl Bench {
    pub(crate) fn new(venues: usize, limits: Limits) -> Self {
        Self::on(venues, limits, MemoryStore::new())
    }

    pub(crate) fn on(venues: usize, limits: Limits, store: MemoryStore) -> Self {
        Self::with(venues, limits, store, |_| {})
    }

    /// With a configuration of its own, on accounts that held so much HYPE before they were first seen.
    pub(crate) fn changed(venues: usize, foreign: &str, change: impl FnOnce(&mut Setup)) -> Self {
        Self::made(venues, Limits::default(), MemoryStore::new(), name(foreign), change)
    }

    /// One whose configuration is changed before it opens.
    pub(crate) fn with(venues: usize, limits: Limits, store: MemoryStore, change: impl FnOnce(&mut Setup)) -> Self {
        Self::made(venues, limits, store, SignedQuantity::ZERO, change)
    }

    fn made(venues: usize, limits: Limits, store: MemoryStore, foreign: SignedQuantity, change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup {
            venues: BTreeMap::new(),
            accounts: BTreeMap::new(),
            agents: BTreeMap::from([(name("one"), AgentSetup::default()), (name("two"), AgentSetup::default())]),
            deployments: BTreeMap::new(),
            limits,
            rates: BTreeMap::from([(name("USDC"), Factor::ONE)]),
            assets: AssetMap::default(),
            timing: Timing::default(),
            breakers: Default::default(),
            losses: Default::default(),
            depeg: Default::default(),
        };
        let mut accounts = Vec::new();
        for index in 0..venues {
            let mut config = Config::hyperliquid_like();
            config.id = name(&format!("venue{index}"));
            config.instruments.iter_mut().for_each(|spec| spec.venue = config.id.clone());
            let venue = Arc::new(PaperVenue::new(&config, Arc::new(Nowhere)).expect("the preset is valid"));
            let instruments = config.check().expect("the preset is valid").into_values().collect();
            setup.venues.insert(config.id.clone(), VenueSetup::new(venue.capabilities().clone(), instruments, &setup.assets));
            let id: AccountId = name(&format!("account{index}"));
            setup.accounts.insert(
                id.clone(),
                AccountSetup { venue: config.id.clone(), market: None, limits: Limits::default(), drift: Default::default() },
            );
            accounts.push(Arc::new(Slow { inner: PaperAccount::new(id, venue, Arc::new(Nowhere)), ready: AtomicBool::new(true) }));
        }
        let shares: Vec<AccountShare> =
            setup.accounts.keys().map(|account| AccountShare { account: account.clone(), allocation: None, fallback: None }).collect();
        for agent in ["one", "two"] {
            setup.deployments.insert(
                name(agent),
                DeploymentSetup {
                    agent: name(agent),
                    accounts: shares.clone(),
                    limits: Limits::default(),
                    stops: Default::default(),
                    approval: None,
                    scale: Factor::ONE,
                },
            );
        }
        change(&mut setup);
        let now = Now { wall: name("2026-01-01T00:00:00Z"), monotonic: 1_000_000 };
        let mut bench = Self::opened(setup, accounts, store, now);
        bench.foreign = foreign;
        bench.recover(&[]);
        bench
    }

    pub(crate) fn opened(setup: Setup, accounts: Vec<Arc<Slow>>, store: MemoryStore, now: Now) -> Self {
        let shared = accounts.iter().map(|account| Arc::clone(account) as Arc<dyn Account>).collect();
        let kernel = Kernel::open(setup.clone(), shared, Arc::new(store.clone())).expect("the journal replays");
        let mut bench =
            Self { kernel, store, accounts, setup, now, opening: Vec::new(), token: 0, trade: 0, foreign: SignedQuantity::ZERO };
        bench.opening = bench.kernel.input(now, Input::Opened { version: "test", namespace: "testns".into() });
        bench.quote("37.99", "38.01");
        bench
    }

    /// The process dies, and another one begins with what is durable; time goes on meanwhile. Accounts have not recovered yet.
    pub(crate) fn restart(&mut self, length: Duration) -> Vec<Task> {
        self.pass(length);
        let shared = self.accounts.iter().map(|account| Arc::clone(account) as Arc<dyn Account>).collect();
        self.kernel = Kernel::open(self.setup.clone(), shared, Arc::new(self.store.clone())).expect("the journal replays");
        let tasks = self.kernel.input(self.now, Input::Opened { version: "test", namespace: "testns".into() });
        self.quote("37.99", "38.01");
        tasks
    }

    pub(crate) fn quote(&mut self, bid: &str, ask: &str) {
        for index in 0..self.accounts.len() {
            let quote = Quote { symbol: name("HYPE"), bid: name(bid), ask: name(ask), at: self.now.wall, depth: Default::default() };
            self.kernel.input(self.now, Input::Quote { venue: name(&format!("venue{index}")), quote });
        }
    }

    /// A price of one venue alone.
    pub(crate) fn quote_at(&mut self, index: usize, bid: &str, ask: &str) {
        let quote = Quote { symbol: name("HYPE"), bid: name(bid), ask: name(ask), at: self.now.wall, depth: Default::default() };
        self.kernel.input(self.now, Input::Quote { venue: name(&format!("venue{index}")), quote });
    }

    pub(crate) fn close(&mut self, request: CloseRequest) -> Vec<Task> {
        self.token += 1;
        self.kernel.close(self.now, request, self.token)
    }

    pub(crate) fn approve(&mut self, id: &str, deployment: Option<&str>, approved: bool, reason: &str) -> Vec<Task> {
        self.token += 1;
        self.kernel.approve(self.now, &name(id), deployment.map(name), approved, reason.into(), self.token)
    }

    /// Carries out a signal, all of which fills.
    pub(crate) fn opened_by(&mut self, id: &str, agent: &str, change: &str) {
        let signal = self.signal(id, agent, change);
        self.execute(signal);
        for order in placed(&self.commit().1) {
            self.fill(&order, 4);
        }
        self.commit();
    }

    /// The order, as it was asked for.
    pub(crate) fn asked(&self, order: &ClientOrderId) -> OrderRequest {
        self.kernel.state().book().order(order).expect("the order is at hand").intent.request().clone()
    }

    /// What a deployment holds of HYPE on the first account.
    pub(crate) fn held(&self, deployment: &str) -> String {
        let key = PositionKey { deployment: name(deployment), account: name("account0"), symbol: name("HYPE") };
        let position = self.kernel.state().book().ledger().position(&key);
        position.map_or_else(|| "0".to_owned(), |position| position.quantity().to_string())
    }

    /// What is booked as not ours of HYPE on the first account.
    pub(crate) fn external(&self) -> String {
        self.kernel.state().book().ledger().external_quantity(&name("account0"), &name("HYPE")).unwrap_or_default().to_string()
    }

    pub(crate) fn snapshot(&self, orders: &[OrderReport], positions: Vec<NetPosition>) -> AccountSnapshot {
        let balances = vec![Balance { asset: name("USDC"), total: name("1000000") }];
        AccountSnapshot { orders: orders.to_vec(), positions, balances, at: self.now.wall, ..AccountSnapshot::default() }
    }

    /// Gives every account the truth it needs to trade.
    pub(crate) fn recover(&mut self, orders: &[OrderReport]) -> Vec<Task> {
        let mut tasks = Vec::new();
        for index in 0..self.accounts.len() {
            let account: AccountId = name(&format!("account{index}"));
            let ledger = self.kernel.state().book().ledger();
            let mut symbols = ledger.instruments_of(&account).cloned().collect::<Vec<_>>();
            symbols.extend((!ledger.is_funded(&account) && !self.foreign.is_zero()).then(|| name("HYPE")));
            let held = |symbol: &VenueSymbol| {
                let foreign =
                    if ledger.is_funded(&account) { ledger.external_quantity(&account, symbol).unwrap_or_default() } else { self.foreign };
                ledger.net_quantity(&account, symbol).plus(foreign).expect("it fits")
            };
            let positions = symbols.into_iter().map(|symbol| NetPosition { quantity: held(&symbol), cost: None, symbol }).collect();
            let snapshot = self.snapshot(orders, positions);
            tasks.extend(self.kernel.snapshot(self.now, account, Ok(snapshot)));
        }
        tasks.extend(self.commit().1);
        tasks
    }

    pub(crate) fn pass(&mut self, length: Duration) {
        self.now =
            Now { wall: self.now.wall.after(length), monotonic: self.now.monotonic + u64::try_from(length.as_micros()).expect("short") };
    }

    pub(crate) fn signal(&self, id: &str, agent: &str, change: &str) -> Signal {
        let text = format!(r#"{{"id":"{id}","agent":"{agent}","asset":"HYPE","direction":"long","sizing":{{"notional":"500"}}{change}}}"#);
        Signal::from_json(&text).expect("a valid signal")
    }

    pub(crate) fn execute(&mut self, signal: Signal) -> Vec<Task> {
        self.token += 1;
        self.kernel.execute(self.now, signal, self.token)
    }

    /// Makes what was decided durable, as one write. Returns how many entries it had, and what followed.
    pub(crate) fn commit(&mut self) -> (usize, Vec<Task>) {
        let Some(batch) = self.kernel.take_batch() else { return (0, Vec::new()) };
        self.store.append(&batch.entries).expect("memory takes it");
        let count = batch.entries.len();
        (count, self.kernel.committed(self.now, batch))
    }

    pub(crate) fn fill(&mut self, order: &ClientOrderId, share: u64) -> Vec<Task> {
        let (quantity, price, side) = {
            let asked = self.kernel.state().book().order(order).expect("the order is at hand");
            let request = asked.intent.request();
            (request.quantity, request.worst_price, request.side)
        };
        let lot: Quantity = name("0.01");
        let lots = quantity.decimal().checked_div(lot.decimal()).expect("a lot is not zero") * rust_decimal::Decimal::from(share)
            / rust_decimal::Decimal::from(4);
        let filled = Quantity::new(lots.floor() * lot.decimal()).expect("a positive quantity");
        self.trade += 1;
        let fill = FillReport {
            trade_id: name(&format!("t{}-{}", self.store.entries().len(), self.trade)),
            client_order_id: Some(order.clone()),
            venue_order_id: name("v1"),
            symbol: name("HYPE"),
            side,
            price,
            quantity: filled,
            fee: Fee { asset: name("USDC"), amount: name("0.1") },
            at: self.now.wall,
            cause: None,
        };
        let status = if filled == quantity { OrderStatus::Filled } else { OrderStatus::Canceled };
        let fills = if filled.is_zero() { Vec::new() } else { vec![fill] };
        let report = OrderReport {
            client_order_id: order.clone(),
            venue_order_id: name("v1"),
            symbol: name("HYPE"),
            status,
            filled_quantity: filled,
            fills,
            position_id: None,
            at: self.now.wall,
        };
        self.kernel.input(self.now, Input::Placed { order: order.clone(), result: Ok(report) })
    }

    pub(crate) fn states(&self, id: &str) -> Vec<String> {
        let number = self.kernel.execution_of(&name(id)).expect("the journal reads").expect("it was taken");
        let record = self.kernel.execution(number).expect("the journal reads").expect("it is there");
        let state = |state: &LegState| match state {
            LegState::Done { outcome, why } => format!("{outcome}:{}", why.as_ref().map(|why| why.code.as_str()).unwrap_or_default()),
            other => other.name().to_owned(),
        };
        record.legs.iter().map(|leg| state(&leg.state)).collect()
    }

    pub(crate) fn at_stake(&self) -> Notional {
        let scope = Scope::all(Level::Global);
        let exposure = self.kernel.state().book().ledger().exposure(&scope);
        exposure.map_or(Notional::ZERO, |exposure| exposure.value(|_, _| None, |_| Some(Factor::ONE)).expect("it fits"))
    }
}

pub(crate) fn placed(tasks: &[Task]) -> Vec<ClientOrderId> {
    tasks
        .iter()
        .filter_map(|task| if let Task::Place { order, .. } = task { Some(order.client_order_id().clone()) } else { None })
        .collect()
}

pub(crate) fn limit(text: &str) -> Limits {
    Limits { max_notional: Some(name(text)), ..Limits::default() }
}
