//! One history: the kernel, its journal, its venues and the script, turned in virtual time until nothing more happens.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use omnivenue_core::engine::{Batch, Kernel, Task};
use omnivenue_core::executor::{Input, Now, Setup, Timer, VenueSetup};
use omnivenue_core::journal::{Event, Failure, Journal, MemoryStore, Verdict};
use omnivenue_core::model::execution::Outcome;
use omnivenue_core::model::ids::{AccountId, Asset, ClientOrderId, VenueSymbol};
use omnivenue_core::model::movement::MovementKind;
use omnivenue_core::model::number::Amount;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Account, AccountSnapshot, Venue};
use omnivenue_paper::{FaultConfig, PaperAccount, PaperVenue, Server, Store};

use crate::Random;
use crate::check::{self, Violation};
use crate::limits::{Heard, Scene, Watch};
use crate::scenario::{Action, Outside, Scenario};
use crate::story::Story;
use crate::wire::{Fate, Sent, Wire};

/// Midnight, 2026-01-01: the simulator's wall clock starts here.
const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);
/// How often prices reach the engine.
const QUOTE_EVERY: u64 = 200_000;
/// Virtual time after which the faults stop, so that everything can end.
const CALM_AFTER: u64 = 40_000_000;
/// Virtual time after which everything must have ended.
const END: u64 = 400_000_000;

/// How a history ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Nothing more happens.
    Quiet,
    /// Virtual time ran out with something still open.
    OutOfTime,
}

/// What one history touched: so that silence is not mistaken for proof.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// Counters by name.
    pub counts: BTreeMap<String, u64>,
}

impl Coverage {
    pub(crate) fn add(&mut self, what: impl Into<String>, count: u64) {
        *self.counts.entry(what.into()).or_default() += count;
    }

    /// Adds another history's counters.
    pub fn merge(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            self.add(what.clone(), *count);
        }
    }
}

/// The outcome of one history.
#[derive(Debug)]
pub struct History {
    /// What must hold and did not.
    pub violations: Vec<Violation>,
    /// What was touched.
    pub coverage: Coverage,
    /// What happened, when it was told.
    pub story: Story,
    /// How it ended.
    pub stop: Stop,
    /// How many opportunities to die there were.
    pub opportunities: u64,
    /// Every entry of the journal, as it was written: the same seed gives the same bytes.
    pub journal: Vec<String>,
}

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

/// What lives and dies with the process.
struct Process {
    kernel: Kernel,
    running: Vec<Running>,
    timers: BTreeMap<(u64, u64), Timer>,
    committing: Option<(u64, Batch)>,
    linger: Option<u64>,
    tokens: BTreeMap<u64, usize>,
}

/// What is left of the world when a process dies.
pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) wires: Vec<Wire>,
    pub(crate) store: MemoryStore,
    pub(crate) coverage: Coverage,
    pub(crate) story: Story,
    pub(crate) violations: Vec<Violation>,
    fate: Arc<Mutex<Fate>>,
    random: Random,
    accounts: Vec<Arc<dyn Account>>,
    process: Option<Process>,
    pub(crate) elapsed: u64,
    counter: u64,
    calm: bool,
    next_quotes: u64,
    heard: Heard,
    watch: Watch,
}

/// Runs one history. With `told`, the story is kept.
#[must_use]
pub fn run(seed: u64, scenario: &Scenario, told: bool) -> History {
    let mut world = world(seed, scenario, told);
    let stop = world.live(scenario);
    world.finish(stop)
}

/// The world of a scenario, before anything happens.
pub(crate) fn world(seed: u64, scenario: &Scenario, told: bool) -> World {
    let fate = Arc::new(Mutex::new(Fate::new(scenario.crashes.clone())));
    let store = MemoryStore::new();
    let mut setup = scenario.setup.clone();
    let mut wires = Vec::new();
    let mut accounts: Vec<Arc<dyn Account>> = Vec::new();
    for config in &scenario.exchanges {
        let mut server = Server::new(Arc::new(config.clone()), Store::memory(), START).expect("the scenario's exchanges are valid");
        for (request, fault, count) in &scenario.faults {
            server.script(*request, *fault, *count);
        }
        let wire = Wire::new(config.id.clone(), config.orders.resend, server, START, Arc::clone(&fate), store.clone());
        let venue = Arc::new(PaperVenue::new(config, Arc::new(wire.clone())).expect("the scenario's exchanges are valid"));
        let instruments = config.check().expect("the scenario's exchanges are valid").into_values().collect();
        setup.venues.insert(config.id.clone(), VenueSetup::new(venue.capabilities().clone(), instruments, &setup.assets));
        for account in config.accounts.keys() {
            accounts.push(Arc::new(PaperAccount::new(account.clone(), Arc::clone(&venue), Arc::new(wire.clone()))));
        }
        wires.push(wire);
    }
    World {
        setup,
        wires,
        store,
        coverage: Coverage::default(),
        story: Story::new(told),
        violations: Vec::new(),
        fate,
        random: Random::new(seed ^ 0x0077_6f72_6c64),
        accounts,
        process: None,
        elapsed: 0,
        counter: 0,
        calm: scenario.faults_per_mille == 0,
        next_quotes: 0,
        heard: Heard::default(),
        watch: Watch::default(),
    }
}

impl World {
    pub(crate) fn now(&self) -> Now {
        Now {
            wall: Timestamp::from_micros(START.as_micros() + i64::try_from(self.elapsed).expect("virtual time is short")),
            monotonic: self.elapsed,
        }
    }

    fn fate(&self) -> std::sync::MutexGuard<'_, Fate> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An opportunity to die, in the engine itself.
    fn meets(&self, place: &'static str) -> bool {
        self.fate().meets(place)
    }

    fn live(&mut self, scenario: &Scenario) -> Stop {
        let mut script: VecDeque<(u64, usize)> =
            scenario.script.iter().enumerate().map(|(index, (at, _))| (at * 1000 + 500_000, index)).collect();
        self.start();
        loop {
            self.settle();
            if self.fate().dead.is_some() {
                self.bury();
                // The client feeds the same input again: whatever it had sent so far.
                let sent: Vec<usize> = (0..scenario.script.len()).filter(|index| !script.iter().any(|(_, left)| left == index)).collect();
                self.elapsed += self.random.below(12_000_000);
                let restart = self.elapsed + 300_000;
                let again = sent
                    .into_iter()
                    .filter(|index| matches!(scenario.script[*index].1, Action::Execute(_) | Action::Close(_) | Action::Approve(..)));
                script = again.map(|index| (restart, index)).chain(script).collect();
                self.start();
                continue;
            }
            if self.elapsed > CALM_AFTER && !self.calm {
                self.calm = true;
                self.fate().spare();
                self.wires.iter().for_each(|wire| wire.open().server.set_faults(FaultConfig::default()));
            }
            if script.is_empty() && self.is_quiet() {
                return Stop::Quiet;
            }
            if self.elapsed > END {
                return Stop::OutOfTime;
            }
            if self.elapsed > END / 2 {
                self.resolve_by_hand();
                self.adopt_by_hand();
            }
            let due = script.front().map(|(at, _)| (*at).max(self.elapsed));
            self.turn(due, END + 1);
            while script.front().is_some_and(|(at, _)| *at <= self.elapsed) {
                let (_, index) = script.pop_front().expect("the front is there");
                self.act(index, &scenario.script[index].1);
            }
        }
    }

    /// Goes on to whatever happens next, at `due` or before it, or else at `end`.
    pub(crate) fn turn(&mut self, due: Option<u64>, end: u64) {
        let next = [Some(self.next_quotes), due, self.next_event()].into_iter().flatten().min().unwrap_or(end);
        self.elapsed = next.max(self.elapsed);
        let now = self.now();
        for wire in self.wires.clone() {
            for (account, report) in wire.advance(now.wall) {
                if self.meets("before a stream report") {
                    break;
                }
                self.with_kernel(|kernel| kernel.report(now, account, report));
            }
        }
        if self.elapsed >= self.next_quotes {
            self.next_quotes = self.elapsed + QUOTE_EVERY;
            self.quote();
        }
        self.commit();
        self.timers();
    }

    /// Opens a process on what is durable.
    pub(crate) fn start(&mut self) {
        self.coverage.add("starts", 1);
        let now = self.now();
        self.story.tell(now.wall, || "the process starts".into());
        let kernel = match Kernel::open(self.setup.clone(), self.accounts.clone(), Arc::new(self.store.clone())) {
            Ok(kernel) => kernel,
            Err(error) => {
                self.violations.push(Violation::new("replay", error.to_string()));
                return;
            }
        };
        self.check_replay(&kernel);
        self.heard.clear();
        self.watch.begin(kernel.state().book());
        self.process =
            Some(Process { kernel, running: Vec::new(), timers: BTreeMap::new(), committing: None, linger: None, tokens: BTreeMap::new() });
        self.quote();
        self.with_kernel(|kernel| kernel.input(now, Input::Opened { version: "simulated", namespace: "simsim".into() }));
    }

    /// Replaying twice gives the same state.
    fn check_replay(&mut self, kernel: &Kernel) {
        let again = omnivenue_core::engine::replay(&self.store);
        if again.as_ref().ok().map(|replayed| &replayed.book) != Some(kernel.state().book()) {
            self.violations.push(Violation::new("replay", "replaying the same journal twice gives two states".into()));
        }
    }

    pub(crate) fn bury(&mut self) {
        let place = self.fate().dead.take().unwrap_or("nowhere");
        let now = self.now();
        self.story.tell(now.wall, || format!("the process dies {place}"));
        self.coverage.add(format!("died {place}"), 1);
        self.process = None;
        self.store.set_failing(false);
        self.wires.iter().for_each(Wire::bury);
    }

    fn with_kernel(&mut self, turn: impl FnOnce(&mut Kernel) -> Vec<Task>) {
        let now = self.now();
        let Some(process) = &mut self.process else { return };
        let tasks = turn(&mut process.kernel);
        let scene = Scene { setup: process.kernel.setup(), state: process.kernel.state(), heard: &self.heard, now };
        self.violations.extend(self.watch.look(scene, &mut self.coverage));
        self.carry_out(tasks);
    }

    fn carry_out(&mut self, tasks: Vec<Task>) {
        let now = self.now();
        for task in tasks {
            match task {
                Task::Ready { account, leg, request } => self.spawn(&account, move |account| async move {
                    let result = account.ready(&request).await;
                    Message::Input(Input::Ready { leg, result: result.map_err(|e| Failure::from(&e)) })
                }),
                Task::Place { account, order } => {
                    self.coverage.add("orders placed", 1);
                    self.story.tell(now.wall, || format!("place {} on {account}: {}", order.client_order_id(), order.wire()));
                    self.spawn(&account, move |account| async move {
                        let result = account.place(&order).await;
                        Message::Input(Input::Placed {
                            order: order.client_order_id().clone(),
                            result: result.map_err(|e| Failure::from(&e)),
                        })
                    });
                }
                Task::Probe { account, order, permission } => {
                    self.coverage.add("probes", 1);
                    self.spawn(&account, move |account| async move {
                        let result = account.probe(&order, permission).await;
                        Message::Input(Input::Probed {
                            order: order.client_order_id().clone(),
                            result: result.map_err(|e| Failure::from(&e)),
                        })
                    });
                }
                Task::Cancel { account, symbol, order } => {
                    self.story.tell(now.wall, || format!("cancel {order} on {account}"));
                    self.coverage.add("orders canceled", 1);
                    self.spawn(&account, move |account| async move {
                        let result = account.cancel(&symbol, &order).await;
                        Message::Input(Input::Canceled { order, result: result.map_err(|e| Failure::from(&e)) })
                    });
                }
                Task::Snapshot { account, since } => {
                    let id = account.clone();
                    self.spawn(&account, move |account| async move {
                        Message::Snapshot(id, account.snapshot(since).await.map_err(|e| Failure::from(&e)))
                    });
                }
                Task::Wake { after, timer } => {
                    self.counter += 1;
                    let at = self.elapsed.saturating_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
                    if let Some(process) = &mut self.process {
                        process.timers.insert((at, self.counter), timer);
                    }
                }
                Task::Answer { token, result, .. } => {
                    if let Err(error) = result {
                        self.story.tell(now.wall, || format!("refused: {error}"));
                        self.coverage.add("commands refused", 1);
                    }
                    if let Some(process) = &mut self.process {
                        process.tokens.remove(&token);
                    }
                }
                Task::Changed { .. } => {}
                Task::Recovered { account } => self.story.tell(now.wall, || format!("{account} has recovered")),
            }
        }
        self.tell_events();
    }

    fn tell_events(&mut self) {
        let Some(process) = &mut self.process else { return };
        if process.committing.is_none() && process.kernel.has_entries() {
            let urgent = process.kernel.is_urgent();
            let at = if urgent { self.elapsed } else { *process.linger.get_or_insert(self.elapsed + 20_000) };
            if at <= self.elapsed {
                process.linger = None;
                if let Some(batch) = process.kernel.take_batch() {
                    let flush = 50 + self.random.below(4_000);
                    process.committing = Some((self.elapsed + flush, batch));
                }
            }
        }
    }

    fn spawn<F>(&mut self, id: &AccountId, call: impl FnOnce(Arc<dyn Account>) -> F)
    where
        F: Future<Output = Message> + Send + 'static,
    {
        let Some(account) = self.accounts.iter().find(|account| account.id() == id).cloned() else { return };
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        if let Some(process) = &mut self.process {
            process.running.push(Running { future: Box::pin(call(account)), flag, waker });
        }
    }

    /// Polls what was woken, until nothing is.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut finished = Vec::new();
            {
                let Some(process) = &mut self.process else { return };
                process.running.retain_mut(|task| {
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
            }
            if self.fate().dead.is_some() || finished.is_empty() {
                return;
            }
            let now = self.now();
            for message in finished {
                if self.meets("before an answer is taken in") {
                    return;
                }
                if let Message::Input(Input::Placed { order, result }) = &message {
                    self.story.tell(now.wall, || format!("answer to {order}: {result:?}"));
                }
                if let Message::Input(Input::Probed { order, result }) = &message {
                    self.story.tell(now.wall, || format!("probe of {order}: {result:?}"));
                }
                self.with_kernel(|kernel| match message {
                    Message::Input(input) => kernel.input(now, input),
                    Message::Snapshot(account, result) => kernel.snapshot(now, account, result),
                });
            }
        }
    }

    fn next_event(&self) -> Option<u64> {
        let process = self.process.as_ref()?;
        let timer = process.timers.keys().next().map(|(at, _)| *at);
        let commit = process.committing.as_ref().map(|(at, _)| *at);
        let wire = self.wires.iter().filter_map(|wire| wire.open().server.next_wakeup()).min();
        let wire = wire.map(|at| u64::try_from(at.as_micros() - START.as_micros()).unwrap_or(0));
        [timer, commit, process.linger, wire].into_iter().flatten().min()
    }

    fn commit(&mut self) {
        self.tell_events();
        let Some(process) = &mut self.process else { return };
        let Some((at, batch)) = process.committing.take() else { return };
        if at > self.elapsed {
            process.committing = Some((at, batch));
            return;
        }
        if self.meets("before a journal write") {
            return;
        }
        let now = self.now();
        if let Err(error) = self.store.append(&batch.entries) {
            self.coverage.add("journal writes failed", 1);
            self.story.tell(now.wall, || "the disk is full".into());
            return self.with_kernel(|kernel| kernel.input(now, Input::JournalFailed { reason: error.to_string() }));
        }
        for entry in &batch.entries {
            let (at, body) = (entry.at, Arc::clone(&entry.body));
            self.story.tell(at, || format!("journal {}: {body}", entry.seq));
        }
        if self.meets("after a journal write") {
            return;
        }
        let over = self.kernel().and_then(|kernel| check::over_a_limit(&self.setup, kernel.state().book()));
        if let Some(found) = over {
            self.violations.push(found);
        }
        self.with_kernel(|kernel| kernel.committed(now, batch));
    }

    fn timers(&mut self) {
        let now = self.now();
        while let Some(process) = &mut self.process {
            match process.timers.first_entry() {
                Some(entry) if entry.key().0 <= self.elapsed => {
                    let timer = entry.remove();
                    self.with_kernel(|kernel| kernel.input(now, Input::Timer(timer)));
                }
                _ => return,
            }
        }
    }

    fn quote(&mut self) {
        let now = self.now();
        for wire in self.wires.clone() {
            let (venue, quotes) = {
                let mut medium = wire.open();
                (medium.venue.clone(), medium.server.quotes(now.wall))
            };
            for quote in quotes {
                let venue = venue.clone();
                self.heard.insert((venue.clone(), quote.symbol.clone()), (quote.clone(), now.monotonic));
                self.with_kernel(|kernel| kernel.input(now, Input::Quote { venue, quote }));
            }
        }
    }

    pub(crate) fn act(&mut self, index: usize, action: &Action) {
        let now = self.now();
        self.counter += 1;
        let token = self.counter;
        if let Some(process) = &mut self.process {
            process.tokens.insert(token, index);
        }
        match action.clone() {
            Action::Execute(signal) => {
                self.story.tell(now.wall, || format!("signal {}", signal.canonical()));
                self.coverage.add("signals", 1);
                self.with_kernel(|kernel| kernel.execute(now, *signal, token));
            }
            Action::Close(request) => {
                self.story.tell(now.wall, || format!("close {request:?}"));
                self.coverage.add("closes", 1);
                self.with_kernel(|kernel| kernel.close(now, request, token));
            }
            Action::Approve(id, approved) => {
                self.story.tell(now.wall, || format!("{} {id}", if approved { "approve" } else { "decline" }));
                self.with_kernel(|kernel| kernel.approve(now, &id, None, approved, "the script says so".into(), token));
            }
            Action::Cancel(id) => {
                self.story.tell(now.wall, || format!("cancel {id}"));
                self.with_kernel(|kernel| kernel.cancel(now, &id, token));
            }
            Action::Kill(scope, mode) => {
                self.story.tell(now.wall, || format!("kill {scope}: {mode}"));
                self.coverage.add(format!("kills {mode}"), 1);
                self.with_kernel(|kernel| kernel.input(now, Input::Kill { scope, mode, reason: "the script says so".into(), token }));
            }
            Action::Outside(index, account, outside) => self.outside(index, &account, &outside),
            Action::FillDisk => self.store.set_failing(true),
            Action::Die => self.fate().dead = Some("when told to"),
            Action::Resume(scope) => {
                self.with_kernel(|kernel| kernel.input(now, Input::Resume { scope, reason: "the script says so".into(), token }));
            }
        }
    }

    /// Nothing is on its way, anywhere.
    fn is_quiet(&self) -> bool {
        let Some(process) = &self.process else { return false };
        let book = process.kernel.state().book();
        let resting = |id: &ClientOrderId| {
            book.order(id).is_some_and(|order| {
                matches!(order.state, omnivenue_core::model::order::OrderState::Open { .. }) && order.filled.quantity >= order.reported
            })
        };
        let owed = book.duties().next().is_some() || book.undecided().next().is_some() || book.awaiting().next().is_some();
        let settled = book.unsettled().all(resting) && book.planned().next().is_none() && !owed;
        let guarded = check::unprotected(&self.setup, process.kernel.state()).is_none() && check::strayed_exit(book).is_none();
        let killed = check::what_is_killed(&self.setup, process.kernel.state()).is_empty();
        let accounts = self.setup.accounts.keys().all(|account| process.kernel.state().is_ready(account));
        // Late commits and late fills may still be under way inside the exchanges; the engine must have compared itself with them since.
        let still = self.elapsed > CALM_AFTER + 15_000_000;
        // An order that rests may have traded this very moment, and the report be on its way.
        settled
            && guarded
            && killed
            && accounts
            && still
            && !process.kernel.has_entries()
            && process.committing.is_none()
            && check::positions_agree(self, book)
    }

    /// Something happens on an account without the engine.
    fn outside(&mut self, index: usize, account: &AccountId, outside: &Outside) {
        let now = self.now();
        self.story.tell(now.wall, || format!("on {account}, without us: {outside:?}"));
        self.coverage.add("happened without us", 1);
        let symbol: VenueSymbol = "HYPE".parse().expect("a valid symbol");
        let usdc: Asset = "USDC".parse().expect("a valid asset");
        let mut medium = self.wires[index].open();
        medium.server.have(now.wall, |exchange, now| match outside {
            Outside::Trade(side, quantity) => drop(exchange.trade_by_hand(now, account, &symbol, *side, *quantity)),
            Outside::Funding(rate) => drop(exchange.pay_funding(now, &symbol, *rate)),
            Outside::Money(amount) => {
                let kind = if *amount < Amount::ZERO { MovementKind::Withdrawal } else { MovementKind::Deposit };
                drop(exchange.move_money(now, account, &usdc, *amount, (kind, None)));
            }
            Outside::Force(quantity, cause) => drop(exchange.force(now, account, &symbol, Some(*quantity), *cause)),
        });
    }

    /// Where somebody else closed what is ours, a person says that the venue is right.
    fn adopt_by_hand(&mut self) {
        // Where funding never ceases, some account is always behind: now and then a person has all of them compared at once.
        if self.elapsed % 5_000_000 < QUOTE_EVERY {
            let now = self.now();
            self.with_kernel(|kernel| kernel.input(now, Input::Reconcile));
        }
        let Some(process) = &self.process else { return };
        let halted = |account: &&AccountId| process.kernel.state().book().halt(account).is_some_and(|why| why.code == "drift");
        let accounts: Vec<AccountId> = self.setup.accounts.keys().filter(halted).cloned().collect();
        for account in accounts {
            self.coverage.add("adopted by a person", 1);
            self.counter += 1;
            let (now, token) = (self.now(), self.counter);
            self.with_kernel(|kernel| kernel.input(now, Input::Adopt { account, reason: "it was sold by hand".into(), token }));
        }
    }

    /// Where no evidence can come, a person looks at the venue and settles it.
    fn resolve_by_hand(&mut self) {
        let Some(process) = &self.process else { return };
        let book = process.kernel.state().book();
        let unknown: Vec<ClientOrderId> =
            book.unsettled().filter(|id| book.order(id).is_some_and(|order| order.state.is_unknown())).cloned().collect();
        let truths: Vec<_> = self.wires.iter().map(|wire| wire.open().server.truth()).collect();
        for id in unknown {
            let exists = truths
                .iter()
                .flat_map(|truth| truth.accounts.values())
                .any(|account| account.orders.iter().any(|order| *order.client_order_id() == id));
            if exists {
                continue;
            }
            self.coverage.add("settled by a person", 1);
            self.counter += 1;
            let (now, token) = (self.now(), self.counter);
            self.with_kernel(|kernel| {
                kernel.input(now, Input::Resolve { order: id, verdict: Verdict::Absent, reason: "looked it up at the venue".into(), token })
            });
        }
    }

    pub(crate) fn kernel(&self) -> Option<&Kernel> {
        self.process.as_ref().map(|process| &process.kernel)
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.wires.iter().flat_map(|wire| wire.open().sent.clone()).collect()
    }

    fn finish(mut self, stop: Stop) -> History {
        // Everything decided is made durable, so that the journal can be compared with the state.
        if let Some(process) = &mut self.process
            && let Some(batch) = process.kernel.take_batch()
        {
            let _ = self.store.append(&batch.entries);
        }
        let found = check::all(&self, stop);
        self.violations.extend(found);
        for wire in &self.wires {
            for (kind, count) in wire.open().server.fault_counts() {
                self.coverage.add(format!("fault {kind:?}"), *count);
            }
        }
        for entry in self.store.entries() {
            if let Ok(event) = entry.event() {
                if let Event::Admitted(admission) = &event
                    && admission.command.id().as_str().starts_with("emergency:")
                {
                    self.coverage.add("emergency orders recognized", 1);
                }
                match &event {
                    Event::GroupDecided { stands, .. } => {
                        self.coverage.add(if *stands { "groups that stood" } else { "groups that failed" }, 1);
                    }
                    Event::LegEnded { outcome: Outcome::Unwound, .. } => self.coverage.add("legs unwound", 1),
                    _ => {}
                }
                if let Event::Admitted(admission) = &event {
                    crate::routes::cover(admission, &mut self.coverage);
                    let stood_in = admission.legs.iter().filter(|leg| leg.stands_in.is_some() && leg.ended.is_none()).count();
                    (0..stood_in).for_each(|_| self.coverage.add("legs that stood in on paper", 1));
                }
                self.coverage.add(format!("event {}", event.kind()), 1);
            }
        }
        let opportunities = self.fate().count();
        self.coverage.add("opportunities to die", opportunities);
        History {
            violations: self.violations,
            coverage: self.coverage,
            story: self.story,
            stop,
            opportunities,
            journal: self.store.entries().into_iter().map(|entry| entry.body).collect(),
        }
    }
}
