//! One kernel and one real paper exchange, turned by hand: time passes when told to, answers come at once or when the test gives them.

#![allow(dead_code, reason = "each file of tests needs its own part of it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use omnivenue_core::engine::{Kernel, Task, replay};
use omnivenue_core::executor::{
    AccountSetup, AccountShare, AgentSetup, Book, DeploymentSetup, DriftPolicy, Input, Limits, Now, Setup, Timer, Timing, VenueSetup,
};
use omnivenue_core::gates::Ruling;
use omnivenue_core::journal::{Adjustment, Event, Failure, Journal, Journaled, MemoryStore};
use omnivenue_core::ledger::CapitalKey;
use omnivenue_core::model::ids::{AccountId, ClientOrderId, VenueSymbol};
use omnivenue_core::model::instrument::{AssetMap, Side};
use omnivenue_core::model::number::{Factor, Quantity, SignedQuantity};
use omnivenue_core::model::order::OrderReport;
use omnivenue_core::model::signal::Signal;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Account, AccountSnapshot, Prepared, Quote, Sink, Venue};
use omnivenue_paper::{
    Answer, Config, Exchange, Link, LinkError, PaperAccount, PaperVenue, PriceSource, Request, Response, Server, Store, Token,
};

pub(crate) fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("a valid name")
}

/// An exchange without any way to it: what is asked is answered at once.
struct Straight(Arc<Mutex<Counter>>);

pub(crate) struct Counter {
    pub(crate) server: Server,
    now: Timestamp,
    token: u64,
    updates: Vec<(AccountId, OrderReport)>,
}

#[async_trait]
impl Link for Straight {
    async fn call(&self, request: Request) -> Result<Response, LinkError> {
        let mut counter = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counter.token += 1;
        let (token, now) = (Token(counter.token), counter.now);
        counter.server.submit(now, token, request);
        let polled = counter.server.poll(now);
        counter.updates.extend(polled.updates);
        match polled.answers.into_iter().find(|(of, _)| *of == token) {
            Some((_, Answer::Ok(response))) => Ok(*response),
            Some((_, Answer::Refused(refusal))) => Err(LinkError::Refused(refusal)),
            _ => Err(LinkError::Cut),
        }
    }
    async fn updates(&self, _: &AccountId, _: Sink<OrderReport>) -> Result<(), LinkError> {
        std::future::pending().await
    }
    async fn quotes(&self, _: Sink<Quote>) -> Result<(), LinkError> {
        std::future::pending().await
    }
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("the exchange answers at once"),
    }
}

type Lie = Box<dyn FnMut(&mut AccountSnapshot)>;

pub(crate) struct Desk {
    pub(crate) kernel: Kernel,
    pub(crate) store: MemoryStore,
    pub(crate) setup: Setup,
    pub(crate) now: Now,
    /// Orders are kept here instead of being sent.
    pub(crate) hold: bool,
    pub(crate) held: Vec<Journaled<Prepared>>,
    /// Whether what streams tell arrives.
    pub(crate) streams: bool,
    /// How often each account was asked for its truth.
    pub(crate) asked: BTreeMap<AccountId, u64>,
    lie: Option<Lie>,
    counter: Arc<Mutex<Counter>>,
    accounts: Vec<Arc<dyn Account>>,
    timers: BTreeMap<(u64, u64), Timer>,
    timer: u64,
    token: u64,
    answers: Vec<Result<(), String>>,
}

pub(crate) fn config(prices: Option<u64>) -> Config {
    let mut config = Config::hyperliquid_like();
    config.id = name("venue");
    config.instruments.retain(|spec| ["HYPE", "BTC"].contains(&spec.base.as_str()));
    config.instruments.iter_mut().for_each(|spec| spec.venue = config.id.clone());
    let price = |symbol: &VenueSymbol| name(if symbol.as_str() == "HYPE" { "38" } else { "40000" });
    let source = |symbol: &VenueSymbol| match prices {
        None => PriceSource::Fixed { price: price(symbol) },
        Some(seed) => PriceSource::Walk { seed, start: price(symbol), step: name("0.005"), every: Duration::from_millis(500) },
    };
    config.prices = config.instruments.iter().map(|spec| (spec.symbol.clone(), source(&spec.symbol))).collect();
    config.accounts = ["main", "other"].iter().map(|account| (name(account), BTreeMap::from([(name("USDC"), name("100000"))]))).collect();
    config.latency = Default::default();
    config
}

impl Desk {
    pub(crate) fn new(drift: DriftPolicy) -> Self {
        Self::on(config(None), drift)
    }

    pub(crate) fn on(config: Config, drift: DriftPolicy) -> Self {
        Self::with(config, drift, |_| {})
    }

    /// One whose configuration is changed before it opens.
    pub(crate) fn with(config: Config, drift: DriftPolicy, change: impl FnOnce(&mut Setup)) -> Self {
        let now = Now { wall: name("2026-01-01T00:00:00Z"), monotonic: 1_000_000 };
        let server = Server::new(Arc::new(config.clone()), Store::memory(), now.wall).expect("the configuration is valid");
        let counter = Arc::new(Mutex::new(Counter { server, now: now.wall, token: 0, updates: Vec::new() }));
        let venue = Arc::new(PaperVenue::new(&config, Arc::new(Straight(Arc::clone(&counter)))).expect("the configuration is valid"));
        let assets = AssetMap::default();
        let instruments = config.check().expect("the configuration is valid").into_values().collect();
        let venues = BTreeMap::from([(config.id.clone(), VenueSetup::new(venue.capabilities().clone(), instruments, &assets))]);
        let account_setup = AccountSetup { venue: config.id.clone(), market: None, limits: Limits::default(), drift };
        let shares: Vec<AccountShare> =
            config.accounts.keys().map(|account| AccountShare { account: account.clone(), allocation: None, fallback: None }).collect();
        let deployment = |agent: &str| DeploymentSetup {
            agent: name(agent),
            accounts: shares.clone(),
            limits: Limits::default(),
            stops: Default::default(),
            approval: None,
            scale: Factor::ONE,
        };
        let mut setup = Setup {
            venues,
            accounts: config.accounts.keys().map(|account| (account.clone(), account_setup.clone())).collect(),
            agents: ["one", "two"].iter().map(|agent| (name(agent), AgentSetup::default())).collect(),
            deployments: ["one", "two"].iter().map(|agent| (name(agent), deployment(agent))).collect(),
            limits: Limits::default(),
            rates: BTreeMap::from([(name("USDC"), Factor::ONE)]),
            assets,
            timing: Timing::default(),
            breakers: Default::default(),
            losses: Default::default(),
            depeg: Default::default(),
        };
        change(&mut setup);
        let accounts = config.accounts.keys().map(|account| {
            let link = Arc::new(Straight(Arc::clone(&counter)));
            Arc::new(PaperAccount::new(account.clone(), Arc::clone(&venue), link)) as Arc<dyn Account>
        });
        let accounts: Vec<_> = accounts.collect();
        let store = MemoryStore::new();
        let kernel = Kernel::open(setup.clone(), accounts.clone(), Arc::new(store.clone())).expect("the journal replays");
        let mut desk = Self {
            kernel,
            store,
            setup,
            now,
            hold: false,
            held: Vec::new(),
            streams: false,
            asked: BTreeMap::new(),
            lie: None,
            counter,
            accounts,
            timers: BTreeMap::new(),
            timer: 0,
            token: 0,
            answers: Vec::new(),
        };
        desk.begin();
        desk
    }

    fn begin(&mut self) {
        self.quote();
        self.input(Input::Opened { version: "test", namespace: "testns".into() });
    }

    /// The process dies and another one begins on what is durable.
    pub(crate) fn restart(&mut self) {
        let kernel = Kernel::open(self.setup.clone(), self.accounts.clone(), Arc::new(self.store.clone()));
        self.kernel = kernel.expect("the journal replays");
        self.timers.clear();
        self.held.clear();
        self.begin();
    }

    pub(crate) fn counter(&self) -> MutexGuard<'_, Counter> {
        self.counter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happens at the exchange that no order of ours is the cause of.
    pub(crate) fn happens<T>(&mut self, happen: impl FnOnce(&mut Exchange, Timestamp) -> T) -> T {
        let now = self.now.wall;
        let happened = self.counter().server.have(now, happen);
        self.set_time(self.now.monotonic);
        happened
    }

    /// From now on the exchange's truth is changed on its way.
    pub(crate) fn lies(&mut self, lie: impl FnMut(&mut AccountSnapshot) + 'static) {
        self.lie = Some(Box::new(lie));
    }

    pub(crate) fn tells_the_truth(&mut self) {
        self.lie = None;
    }

    pub(crate) fn hand(&mut self, account: &str, side: Side, quantity: &str) -> OrderReport {
        self.hand_in(account, "HYPE", side, quantity)
    }

    pub(crate) fn hand_in(&mut self, account: &str, symbol: &str, side: Side, quantity: &str) -> OrderReport {
        let (account, symbol, quantity): (AccountId, VenueSymbol, Quantity) = (name(account), name(symbol), name(quantity));
        self.happens(|exchange, now| exchange.trade_by_hand(now, &account, &symbol, side, quantity)).expect("the exchange takes it")
    }

    /// The price of HYPE from now on, at an exchange that trades at live prices.
    pub(crate) fn price(&mut self, price: &str) {
        self.price_at_exchange(price);
        self.quote();
    }

    /// The same, before the engine hears of it.
    pub(crate) fn price_at_exchange(&mut self, price: &str) {
        self.price_of("HYPE", price);
    }

    /// The price of an instrument at the exchange from now on, where it is live.
    pub(crate) fn price_of(&mut self, symbol: &str, price: &str) {
        let (now, price) = (self.now.wall, name(price));
        self.counter()
            .server
            .give_quotes(now, [Quote { symbol: name(symbol), bid: price, ask: price, at: now, depth: Default::default() }]);
        self.set_time(self.now.monotonic);
    }

    pub(crate) fn quote(&mut self) {
        let now = self.now.wall;
        let quotes = self.counter().server.quotes(now);
        for quote in quotes {
            self.input(Input::Quote { venue: name("venue"), quote });
        }
    }

    /// Lets time pass; whatever is due happens in its turn.
    pub(crate) fn pass(&mut self, length: Duration) {
        let end = self.now.monotonic + u64::try_from(length.as_micros()).expect("short");
        while let Some((at, number)) = self.timers.keys().next().copied().filter(|(at, _)| *at <= end) {
            self.set_time(at.max(self.now.monotonic));
            let timer = self.timers.remove(&(at, number)).expect("it is there");
            self.input(Input::Timer(timer));
        }
        self.set_time(end);
        self.quote();
    }

    fn set_time(&mut self, monotonic: u64) {
        let passed = Duration::from_micros(monotonic - self.now.monotonic);
        self.now = Now { wall: self.now.wall.after(passed), monotonic };
        let wall = self.now.wall;
        {
            let mut counter = self.counter();
            counter.now = wall;
            let polled = counter.server.poll(wall);
            counter.updates.extend(polled.updates);
        }
        self.stream();
    }

    fn stream(&mut self) {
        let updates = std::mem::take(&mut self.counter().updates);
        let heard = self.streams;
        for (account, report) in updates.into_iter().filter(|_| heard) {
            let tasks = self.kernel.report(self.now, account, report);
            self.carry_out(tasks);
        }
    }

    pub(crate) fn input(&mut self, input: Input) {
        let tasks = self.kernel.input(self.now, input);
        self.carry_out(tasks);
    }

    pub(crate) fn report(&mut self, account: &str, report: OrderReport) {
        let tasks = self.kernel.report(self.now, name(account), report);
        self.carry_out(tasks);
    }

    /// Compares every account with the exchange now.
    pub(crate) fn reconcile(&mut self) {
        self.input(Input::Reconcile);
    }

    pub(crate) fn adopt(&mut self, account: &str, reason: &str) -> Result<(), String> {
        self.token += 1;
        let (account, token) = (name(account), self.token);
        self.answers.clear();
        self.input(Input::Adopt { account, reason: reason.to_owned(), token });
        self.answers.pop().expect("it is answered")
    }

    pub(crate) fn signal(&mut self, id: &str, agent: &str, more: &str) -> Signal {
        let text = format!(r#"{{"id":"{id}","agent":"{agent}","asset":"HYPE","direction":"long"{more}}}"#);
        Signal::from_json(&text).expect("a valid signal")
    }

    /// An agent buys on every account.
    pub(crate) fn buy(&mut self, id: &str, agent: &str, quantity: &str) {
        let signal = self.signal(id, agent, &format!(r#","sizing":{{"quantity":"{quantity}"}}"#));
        self.execute(signal);
    }

    pub(crate) fn execute(&mut self, signal: Signal) {
        self.token += 1;
        let tasks = self.kernel.execute(self.now, signal, self.token);
        self.carry_out(tasks);
    }

    /// A signal of whose legs user gates were asked.
    pub(crate) fn execute_ruled(&mut self, signal: Signal, rulings: Vec<Ruling>) {
        self.token += 1;
        let tasks = self.kernel.execute_ruled(self.now, self.now.monotonic, signal, Some(rulings), self.token);
        self.carry_out(tasks);
    }

    pub(crate) fn close(&mut self, request: omnivenue_core::model::close::CloseRequest) {
        self.token += 1;
        let tasks = self.kernel.close(self.now, request, self.token);
        self.carry_out(tasks);
    }

    fn carry_out(&mut self, tasks: Vec<Task>) {
        let mut waiting: VecDeque<Task> = tasks.into();
        loop {
            while let Some(task) = waiting.pop_front() {
                waiting.extend(self.carry_out_one(task));
            }
            let Some(batch) = self.kernel.take_batch() else { return };
            self.store.append(&batch.entries).expect("memory takes it");
            waiting.extend(self.kernel.committed(self.now, batch));
        }
    }

    fn account(&self, id: &AccountId) -> Arc<dyn Account> {
        self.accounts.iter().find(|account| account.id() == id).cloned().expect("the account is open")
    }

    fn carry_out_one(&mut self, task: Task) -> Vec<Task> {
        let failure = |error| Failure::from(&error);
        match task {
            Task::Ready { account, leg, request } => {
                let result = at_once(self.account(&account).ready(&request)).map_err(failure);
                self.kernel.input(self.now, Input::Ready { leg, result })
            }
            Task::Place { order, .. } if self.hold => {
                self.held.push(order);
                Vec::new()
            }
            Task::Place { account, order } => {
                let result = at_once(self.account(&account).place(&order)).map_err(failure);
                self.kernel.input(self.now, Input::Placed { order: order.client_order_id().clone(), result })
            }
            Task::Probe { .. } if self.hold => Vec::new(),
            Task::Probe { account, order, permission } => {
                let result = at_once(self.account(&account).probe(&order, permission)).map_err(failure);
                self.kernel.input(self.now, Input::Probed { order: order.client_order_id().clone(), result })
            }
            Task::Cancel { account, symbol, order } => {
                let result = at_once(self.account(&account).cancel(&symbol, &order)).map_err(failure);
                self.kernel.input(self.now, Input::Canceled { order, result })
            }
            Task::Snapshot { account, since } => {
                *self.asked.entry(account.clone()).or_default() += 1;
                let mut result = at_once(self.account(&account).snapshot(since)).map_err(failure);
                if let (Ok(snapshot), Some(lie)) = (&mut result, &mut self.lie) {
                    lie(snapshot);
                }
                self.kernel.snapshot(self.now, account, result)
            }
            Task::Wake { after, timer } => {
                self.timer += 1;
                let at = self.now.monotonic.saturating_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
                self.timers.insert((at, self.timer), timer);
                Vec::new()
            }
            Task::Answer { result, .. } => {
                self.answers.push(result.map(|_| ()).map_err(|error| error.to_string()));
                Vec::new()
            }
            Task::Changed { .. } | Task::Recovered { .. } => Vec::new(),
        }
    }

    /// How many commands were answered so far.
    pub(crate) fn answered(&self) -> usize {
        self.answers.len()
    }

    /// What was answered since.
    pub(crate) fn answered_since(&self, before: usize) -> Vec<Result<(), String>> {
        self.answers[before..].to_vec()
    }

    pub(crate) fn book(&self) -> &Book {
        self.kernel.state().book()
    }

    pub(crate) fn halt(&self, account: &str) -> Option<String> {
        self.book().halt(&name(account)).map(|why| why.code.clone())
    }

    /// How a signal's legs ended.
    pub(crate) fn outcomes(&self, id: &str) -> Vec<String> {
        let number = self.kernel.execution_of(&name(id)).expect("the journal reads").expect("it was taken");
        let record = self.kernel.execution(number).expect("the journal reads").expect("it is there");
        let state = |state: &omnivenue_core::model::execution::LegState| match state {
            omnivenue_core::model::execution::LegState::Done { outcome, why } => {
                format!("{outcome}:{}", why.as_ref().map(|why| why.code.as_str()).unwrap_or_default())
            }
            other => other.name().to_owned(),
        };
        record.legs.iter().map(|leg| state(&leg.state)).collect()
    }

    /// What a deployment holds of HYPE on an account.
    pub(crate) fn ours(&self, deployment: &str, account: &str) -> String {
        let positions = self.book().ledger().positions();
        let mut found = positions.filter(|(key, _)| key.deployment.as_str() == deployment && key.account.as_str() == account);
        found.find(|(key, _)| key.symbol.as_str() == "HYPE").map_or("0".to_owned(), |(_, position)| position.quantity().to_string())
    }

    /// What is not ours of HYPE on an account.
    pub(crate) fn external(&self, account: &str) -> String {
        self.book().ledger().external_quantity(&name(account), &name("HYPE")).unwrap_or_default().to_string()
    }

    /// Every adjustment in the journal.
    pub(crate) fn adjustments(&self) -> Vec<Adjustment> {
        let entries = self.store.entries();
        let events = entries.iter().filter_map(|entry| entry.event().ok());
        events.filter_map(|event| if let Event::Adjusted(adjustment) = event { Some(adjustment) } else { None }).collect()
    }

    pub(crate) fn only_order(&self, id: &str) -> ClientOrderId {
        let number = self.kernel.execution_of(&name(id)).expect("the journal reads").expect("it was taken");
        let record = self.kernel.execution(number).expect("the journal reads").expect("it is there");
        record.legs[0].orders[0].intent.client_order_id().clone()
    }

    /// Quantities and equity are the exchange's, to the last digit, and the state is the fold of the journal.
    pub(crate) fn check(&self) {
        self.check_quantities();
        self.check_money();
        let folded = replay(&self.store).expect("the journal replays").book;
        assert!(folded == *self.book(), "the state is not the fold of the journal");
        let text = serde_json::to_string(&folded).expect("it is plain data");
        assert!(serde_json::from_str::<Book>(&text).expect("it reads back") == folded, "a snapshot does not read back as it was");
    }

    pub(crate) fn check_quantities(&self) {
        let truth = self.counter().server.truth();
        for (account, at_venue) in &truth.accounts {
            for (symbol, instrument) in &self.setup.venues[&name("venue")].instruments {
                let theirs = if instrument.market.is_margined() {
                    at_venue.positions.get(symbol).map_or(SignedQuantity::ZERO, |position| position.quantity)
                } else {
                    SignedQuantity::new(at_venue.balance(&instrument.base).decimal()).expect("it fits")
                };
                let ours = self.book().ledger().venue_quantity(account, symbol).expect("it fits");
                assert_eq!(ours, theirs, "{account} {symbol}");
            }
        }
    }

    pub(crate) fn check_money(&self) {
        let (truth, now) = (self.counter().server.truth(), self.now.wall);
        let instruments = self.setup.venues[&name("venue")].instruments.values();
        let currencies: BTreeSet<_> = instruments.map(|instrument| instrument.settle.clone()).collect();
        for (account, currency) in truth.accounts.keys().flat_map(|account| currencies.iter().map(move |currency| (account, currency))) {
            let key = CapitalKey { account: account.clone(), deployment: None, currency: currency.clone() };
            let ledger = self.book().ledger();
            let marks = |symbol: &VenueSymbol| self.counter().server.mark(symbol, now);
            let unrealized = ledger.unrealized(&key, |_, symbol| marks(symbol));
            let ours = ledger.equity(&key, ledger.funds(account, &key.currency), unrealized);
            let theirs = self.counter().server.equity(account, &key.currency, now).expect("it fits");
            assert_eq!(ours, Some(theirs), "equity of {account} in {currency}");
        }
    }
}
