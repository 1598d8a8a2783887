//! The state machine, its accounts and its journal, turned in virtual time.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use omnivenue_core::engine::{Batch, Kernel, Task};
use omnivenue_core::executor::{CommandError, Input, Now, Setup, Timer, Token, VenueSetup};
use omnivenue_core::journal::{ExecutionNumber, Failure, Journal};
use omnivenue_core::model::ids::{AccountId, AgentId, SignalId, VenueSymbol};
use omnivenue_core::model::number::Price;
use omnivenue_core::model::signal::Signal;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Account, AccountSnapshot, Quote, Venue};
use omnivenue_paper::{Config, PaperAccount, PaperVenue, PriceSource, Server};

use super::clock::micros;
use super::link::VirtualLink;
use super::plan::BacktestError;
use super::store::Store;

/// How long a price of the candles holds: until the next one, whenever that is.
const HOLDS: Duration = Duration::from_secs(3650 * 86_400);
/// How long entries that a venue could tell us again wait for company, as live.
const LINGER: u64 = 20_000;
/// How often, in virtual time, the exchanges forget what is long over, and what that is.
const FORGET_EVERY: u64 = 3_600_000_000;
const FORGET_AFTER: Duration = Duration::from_secs(2 * 3600);

enum Message {
    Input(Input),
    Snapshot(AccountId, Result<AccountSnapshot, Failure>),
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Running {
    future: Pin<Box<dyn Future<Output = Message> + Send>>,
    flag: Arc<Flag>,
    waker: Waker,
}

/// One simulated exchange.
pub(super) struct Place {
    pub(super) config: Arc<Config>,
    pub(super) link: VirtualLink,
}

/// What has happened since it was last asked.
#[derive(Default)]
pub(super) struct Happened {
    /// Executions of which something changed, in order, each once.
    pub(super) changed: Vec<ExecutionNumber>,
    /// Signals that were not taken.
    pub(super) refused: Vec<(AgentId, SignalId, CommandError)>,
}

impl Happened {
    pub(super) fn is_nothing(&self) -> bool {
        self.changed.is_empty() && self.refused.is_empty()
    }
}

/// The engine's side and the exchanges.
pub(super) struct World {
    pub(super) kernel: Kernel,
    pub(super) places: Vec<Place>,
    pub(super) store: Store,
    pub(super) happened: Happened,
    accounts: BTreeMap<AccountId, Arc<dyn Account>>,
    running: Vec<Running>,
    timers: BTreeMap<(u64, u64), Timer>,
    committing: Option<(u64, Batch)>,
    linger: Option<u64>,
    callers: BTreeMap<Token, (AgentId, SignalId)>,
    flush: u64,
    start: Timestamp,
    pub(super) elapsed: u64,
    counter: u64,
    forget_at: u64,
}

impl World {
    /// Opens the engine on exchanges that begin at `start`.
    pub(super) fn open(
        mut setup: Setup,
        exchanges: Vec<Config>,
        (seed, flush): (u64, Duration),
        start: Timestamp,
    ) -> Result<Self, BacktestError> {
        let store = Store::new();
        let mut places = Vec::new();
        let mut accounts: BTreeMap<AccountId, Arc<dyn Account>> = BTreeMap::new();
        for (index, mut config) in (0_u64..).zip(exchanges) {
            config.prices.values_mut().for_each(|source| *source = PriceSource::Live { holds_for: HOLDS });
            config.faults.seed = config.faults.seed.wrapping_add(seed.wrapping_mul(1_000_003)).wrapping_add(index);
            let config = Arc::new(config);
            let server = Server::new(Arc::clone(&config), omnivenue_paper::Store::memory(), start)?;
            let link = VirtualLink::new(server, start);
            let venue = PaperVenue::new(&config, Arc::new(link.clone())).map_err(omnivenue_paper::PaperError::from)?;
            let venue = Arc::new(venue);
            let instruments = config.check().map_err(omnivenue_paper::PaperError::from)?.into_values().collect();
            setup.venues.insert(config.id.clone(), VenueSetup::new(venue.capabilities().clone(), instruments, &setup.assets));
            for account in config.accounts.keys() {
                let opened = PaperAccount::new(account.clone(), Arc::clone(&venue), Arc::new(link.clone()));
                accounts.insert(account.clone(), Arc::new(opened));
            }
            places.push(Place { config, link });
        }
        if let Some(missing) = setup.accounts.keys().find(|account| !accounts.contains_key(*account)) {
            return Err(BacktestError::Setup(format!("the account {missing} is at no simulated exchange")));
        }
        let kernel = Kernel::open(setup, accounts.values().cloned().collect(), Arc::new(store.clone()))
            .map_err(|error| BacktestError::Setup(error.to_string()))?;
        Ok(Self {
            kernel,
            places,
            store,
            happened: Happened::default(),
            accounts,
            running: Vec::new(),
            timers: BTreeMap::new(),
            committing: None,
            linger: None,
            callers: BTreeMap::new(),
            flush: micros(flush),
            start,
            elapsed: 0,
            counter: 0,
            forget_at: FORGET_EVERY,
        })
    }

    pub(super) fn now(&self) -> Now {
        Now { wall: self.start.after(Duration::from_micros(self.elapsed)), monotonic: self.elapsed }
    }

    /// An instant as time since the start.
    pub(super) fn at(&self, wall: Timestamp) -> u64 {
        micros(wall.since(self.start))
    }

    pub(super) fn input(&mut self, input: Input) {
        let tasks = self.kernel.input(self.now(), input);
        self.carry_out(tasks);
    }

    pub(super) fn execute(&mut self, signal: Signal) {
        self.counter += 1;
        let (now, token) = (self.now(), self.counter);
        self.callers.insert(token, (signal.agent.clone(), signal.id.clone()));
        let tasks = self.kernel.execute(now, signal, token);
        self.carry_out(tasks);
    }

    /// When something happens by itself next.
    pub(super) fn next_event(&self) -> Option<u64> {
        let timer = self.timers.keys().next().map(|(at, _)| *at);
        let commit = self.committing.as_ref().map(|(at, _)| *at);
        let wire = self.places.iter().filter_map(|place| place.link.open().server.next_wakeup()).min().map(|at| self.at(at));
        [timer, commit, self.linger, wire].into_iter().flatten().min()
    }

    /// Goes on to an instant at which nothing is left to happen before it.
    pub(super) fn turn(&mut self, at: u64) {
        self.elapsed = self.elapsed.max(at);
        self.advance();
        self.commit();
        self.fire_timers();
        self.settle();
        if self.elapsed >= self.forget_at {
            self.forget_at = self.elapsed + FORGET_EVERY;
            let before =
                Timestamp::from_micros(self.now().wall.as_micros().saturating_sub(i64::try_from(FORGET_AFTER.as_micros()).unwrap_or(0)));
            self.places.iter().for_each(|place| place.link.open().server.forget(before));
        }
    }

    fn advance(&mut self) {
        let now = self.now();
        for index in 0..self.places.len() {
            for (account, report) in self.places[index].link.advance(now.wall) {
                let tasks = self.kernel.report(now, account, report);
                self.carry_out(tasks);
            }
        }
    }

    /// The price of an instrument moves.
    pub(super) fn price(&mut self, place: usize, symbol: &VenueSymbol, price: Price) -> Option<Quote> {
        let now = self.now();
        let link = self.places[place].link.clone();
        {
            let quote = Quote { symbol: symbol.clone(), bid: price, ask: price, depth: Default::default(), at: now.wall };
            link.open().server.give_quotes(now.wall, [quote]);
        }
        self.advance();
        let quote = link.open().server.quote(symbol, now.wall)?;
        let venue = self.places[place].config.id.clone();
        self.input(Input::Quote { venue, quote: quote.clone() });
        self.settle();
        Some(quote)
    }

    /// Whether anything rests or is held, or is on its way there: then each step of a price counts.
    pub(super) fn is_exposed(&self) -> bool {
        let book = self.kernel.state().book();
        book.ledger().positions().next().is_some()
            || book.unsettled().next().is_some()
            || self.places.iter().any(|place| place.link.open().server.has_open_orders())
    }

    /// Why nothing that follows can be believed.
    pub(super) fn failure(&self) -> Option<String> {
        let stopped = self.places.iter().find_map(|place| place.link.open().server.failure().map(str::to_owned));
        stopped.or_else(|| self.kernel.state().failed().map(str::to_owned))
    }

    fn commit(&mut self) {
        if let Some((at, batch)) = self.committing.take() {
            if at > self.elapsed {
                self.committing = Some((at, batch));
                return;
            }
            let now = self.now();
            let tasks = match self.store.append(&batch.entries) {
                Ok(()) => self.kernel.committed(now, batch),
                Err(error) => self.kernel.input(now, Input::JournalFailed { reason: error.to_string() }),
            };
            self.carry_out(tasks);
        }
        self.begin_commit();
    }

    fn begin_commit(&mut self) {
        if self.committing.is_some() || !self.kernel.has_entries() {
            return;
        }
        let at = if self.kernel.is_urgent() { self.elapsed } else { *self.linger.get_or_insert(self.elapsed + LINGER) };
        if at <= self.elapsed {
            self.linger = None;
            self.committing = self.kernel.take_batch().map(|batch| (self.elapsed + self.flush, batch));
        }
    }

    fn fire_timers(&mut self) {
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= self.elapsed) {
            let timer = entry.remove();
            self.input(Input::Timer(timer));
        }
    }

    /// Polls what was woken, until nothing is.
    pub(super) fn settle(&mut self) {
        loop {
            let mut finished = Vec::new();
            self.running.retain_mut(|task| {
                if !task.flag.0.swap(false, Ordering::Relaxed) {
                    return true;
                }
                match task.future.as_mut().poll(&mut Context::from_waker(&task.waker)) {
                    Poll::Pending => true,
                    Poll::Ready(message) => {
                        finished.push(message);
                        false
                    }
                }
            });
            if finished.is_empty() {
                return;
            }
            let now = self.now();
            for message in finished {
                let tasks = match message {
                    Message::Input(input) => self.kernel.input(now, input),
                    Message::Snapshot(account, result) => self.kernel.snapshot(now, account, result),
                };
                self.carry_out(tasks);
            }
        }
    }

    fn carry_out(&mut self, tasks: Vec<Task>) {
        for task in tasks {
            match task {
                Task::Ready { account, leg, request } => self.call(&account, move |account| async move {
                    let result = account.ready(&request).await;
                    Message::Input(Input::Ready { leg, result: result.map_err(|e| Failure::from(&e)) })
                }),
                Task::Place { account, order } => self.call(&account, move |account| async move {
                    let result = account.place(&order).await;
                    let order = order.client_order_id().clone();
                    Message::Input(Input::Placed { order, result: result.map_err(|e| Failure::from(&e)) })
                }),
                Task::Probe { account, order, permission } => self.call(&account, move |account| async move {
                    let result = account.probe(&order, permission).await;
                    let order = order.client_order_id().clone();
                    Message::Input(Input::Probed { order, result: result.map_err(|e| Failure::from(&e)) })
                }),
                Task::Cancel { account, symbol, order } => self.call(&account, move |account| async move {
                    let result = account.cancel(&symbol, &order).await;
                    Message::Input(Input::Canceled { order, result: result.map_err(|e| Failure::from(&e)) })
                }),
                Task::Snapshot { account, since } => {
                    let id = account.clone();
                    self.call(&account, move |account| async move {
                        Message::Snapshot(id, account.snapshot(since).await.map_err(|e| Failure::from(&e)))
                    });
                }
                Task::Wake { after, timer } => {
                    self.counter += 1;
                    self.timers.insert((self.elapsed.saturating_add(micros(after)), self.counter), timer);
                }
                Task::Answer { token, result, .. } => {
                    if let (Some((agent, signal)), Err(error)) = (self.callers.remove(&token), result) {
                        self.happened.refused.push((agent, signal, error));
                    }
                }
                Task::Changed { execution } => {
                    if !self.happened.changed.contains(&execution) {
                        self.happened.changed.push(execution);
                    }
                }
                Task::Recovered { .. } => {}
            }
        }
        self.begin_commit();
    }

    fn call<F>(&mut self, id: &AccountId, call: impl FnOnce(Arc<dyn Account>) -> F)
    where
        F: Future<Output = Message> + Send + 'static,
    {
        let Some(account) = self.accounts.get(id).cloned() else { return };
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        self.running.push(Running { future: Box::pin(call(account)), flag, waker });
    }
}
