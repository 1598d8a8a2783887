//! From one signal to all its orders: how long the state machine takes, and that its history costs it nothing.
//!
//! Timed is what stands between a signal's arrival and its orders' departure, without the disk and the network: gates, reserves, the
//! exact requests, the journal's entries as JSON with their hash chain (in memory), and the release of every order once they are durable.
//!
//! What a signal costs is O(legs × (instruments at stake + orders on their way + latches) + log n) after n signals. The bench holds the
//! first factors still in turn: `legs` has 1, 3 and 10 of them, `open` has orders resting, `gates` has 1, 10 and 20 limits set at each of four
//! levels, and `history` has n finished signals; there only the look-up of the signal's id grows, as the depth of an index does.
//!
//! `cargo bench --bench step`, or with `OMNIVENUE_BENCH_LONG=1` for a history of 1,000,000 signals as well (a minute more).

#[path = "limits.rs"]
mod limits;
#[path = "world.rs"]
mod world;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode};
use omnivenue::engine::{Kernel, Task};
use omnivenue::executor::{Input, Now, Setup, VenueSetup};
use omnivenue::journal::{Archive, Entry, ExecutionNumber, IndexKey, Journal, Journaled, MemoryStore, Snapshot, StoreError, StoredEntry};
use omnivenue::model::ids::{ClientOrderId, SignalId};
use omnivenue::model::order::{Balance, Fee, FillReport, OrderReport, OrderStatus};
use omnivenue::model::signal::{OrderType, TimeInForce};
use omnivenue::model::time::Timestamp;
use omnivenue::paper::PaperExchange;
use omnivenue::venue::{Account, AccountSnapshot, Prepared, Quote};
use omnivenue::{Signal, model};

use crate::world::{constant, exchanges, setup, signal};

/// 2026-01-01, where the benches' clock starts.
const START: i64 = 1_767_225_600_000_000;

fn main() {
    let lengths = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    let mut criterion = lengths.configure_from_args();
    let mut times = Times::default();
    legs(&mut criterion, &mut times);
    open(&mut criterion, &mut times);
    gates(&mut criterion, &mut times);
    history(&mut criterion, &mut times);
    criterion.final_summary();
    times.print();
}

fn legs(criterion: &mut Criterion, times: &mut Times) {
    let mut group = criterion.benchmark_group("legs");
    for count in [1, 3, 10] {
        let exchanges = exchanges(count);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter_custom(|iterations| {
                // The journal is in memory: each sample has its own, and gives it back.
                let mut desk = Desk::open(&exchanges, MemoryStore::new());
                times.add("legs", count as u64, desk.time(iterations))
            });
        });
    }
}

fn open(criterion: &mut Criterion, times: &mut Times) {
    let mut group = criterion.benchmark_group("open");
    let exchanges = exchanges(1);
    for count in [0, 100, 1_000] {
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut desk = Desk::open(&exchanges, MemoryStore::new());
                (0..count).for_each(|number| desk.rest(number));
                times.add("open", count, desk.time(iterations))
            });
        });
    }
}

/// So many limits, each for the deployment, its agent, the account and everything. Nothing fills, and something is held in three other assets.
fn gates(criterion: &mut Criterion, times: &mut Times) {
    let mut group = criterion.benchmark_group("gates");
    let exchanges = exchanges(1);
    for count in [1, 10, 20] {
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut desk = Desk::changed(&exchanges, MemoryStore::new(), |setup| limits::limit(setup, count));
                desk.hold(&exchanges, &["BTC", "ETH", "SOL"]);
                desk.careful = true;
                times.add("gates", count as u64, desk.time(iterations))
            });
        });
    }
}

fn history(criterion: &mut Criterion, times: &mut Times) {
    let mut group = criterion.benchmark_group("history");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    let exchanges = exchanges(1);
    let long = std::env::var_os("OMNIVENUE_BENCH_LONG").is_some();
    for count in [0, 10_000, 1_000_000].into_iter().filter(|count| *count < 1_000_000 || long) {
        // After so many signals it starts again from where the history ended, so that it stays as long as it is, or nearly.
        let run = (count / 10).max(200);
        let before = Ids::after(&exchanges, count);
        let again = || Desk { number: count, ..Desk::open(&exchanges, before.copy()) };
        let mut desk = again();
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut left = iterations;
                let mut spent = Spent::default();
                while left > 0 {
                    if desk.number == count + run {
                        desk = again();
                    }
                    let now = left.min(count + run - desk.number);
                    spent.add(desk.time(now));
                    left -= now;
                }
                times.add("history", count, spent)
            });
        });
    }
}

/// A kernel and the least of a driver around it: entries become durable at once, and every order is filled when the clock is stopped.
struct Desk<S> {
    kernel: Kernel,
    store: S,
    number: u64,
    clock: u64,
    /// Whether its signals keep every limit there is and its orders end without a fill.
    careful: bool,
}

/// How long so many signals took, by part.
#[derive(Debug, Default, Clone, Copy)]
struct Spent {
    signals: u64,
    decided: Duration,
    written: Duration,
    released: Duration,
}

impl Spent {
    fn add(&mut self, more: Self) {
        self.signals += more.signals;
        self.decided += more.decided;
        self.written += more.written;
        self.released += more.released;
    }

    fn total(&self) -> Duration {
        self.decided + self.written + self.released
    }
}

impl<S: Journal + Archive + Clone + 'static> Desk<S> {
    /// Replays the store and lets every account recover.
    fn open(exchanges: &[PaperExchange], store: S) -> Self {
        Self::changed(exchanges, store, |_| {})
    }

    /// The same with a configuration of its own.
    fn changed(exchanges: &[PaperExchange], store: S, change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup: Setup = setup(exchanges);
        let mut accounts: Vec<Arc<dyn Account>> = Vec::new();
        for (index, exchange) in exchanges.iter().enumerate() {
            let instruments = exchange.config().check().expect("the exchange is valid").into_values().collect();
            let venue = VenueSetup::new(exchange.config().capabilities(), instruments, &setup.assets);
            setup.venues.insert(exchange.config().id.clone(), venue);
            accounts.push(exchange.account(&world::account(index)));
        }
        change(&mut setup);
        let kernel = Kernel::open(setup, accounts, Arc::new(store.clone())).expect("the journal replays");
        let mut desk = Self { kernel, store, number: 0, clock: 0, careful: false };
        for exchange in exchanges {
            let quote = Quote {
                symbol: constant("HYPE"),
                bid: constant("38.096"),
                ask: constant("38.104"),
                at: desk.now().wall,
                depth: Default::default(),
            };
            let input = Input::Quote { venue: exchange.config().id.clone(), quote };
            desk.input(input);
        }
        let tasks = desk.input(Input::Opened { version: "bench", namespace: "benchb".into() });
        for task in tasks {
            if let Task::Snapshot { account, .. } = task {
                let balance = Balance { asset: constant("USDC"), total: constant("1000000000") };
                let snapshot = AccountSnapshot { balances: vec![balance], at: desk.now().wall, ..AccountSnapshot::default() };
                let now = desk.now();
                desk.kernel.snapshot(now, account, Ok(snapshot));
            }
        }
        desk.commit();
        desk
    }

    fn now(&mut self) -> Now {
        self.clock += 1_000;
        let micros = i64::try_from(self.clock).expect("the bench is short");
        Now { wall: Timestamp::from_micros(START + micros), monotonic: self.clock }
    }

    fn input(&mut self, input: Input) -> Vec<Task> {
        let now = self.now();
        self.kernel.input(now, input)
    }

    fn commit(&mut self) -> Vec<Task> {
        let Some(batch) = self.kernel.take_batch() else { return Vec::new() };
        self.store.append(&batch.entries).expect("memory takes everything");
        let now = self.now();
        self.kernel.committed(now, batch)
    }

    /// Times so many signals, each from its arrival to the release of its last order; fills them with the clock stopped.
    #[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
    fn time(&mut self, signals: u64) -> Spent {
        let mut spent = Spent { signals, ..Spent::default() };
        for _ in 0..signals {
            let signal = self.next();
            let now = self.now();
            let arrived = Instant::now();
            let tasks = self.kernel.execute(now, signal, self.number);
            let batch = self.kernel.take_batch().expect("a signal is written down");
            let decided = Instant::now();
            self.store.append(&batch.entries).expect("memory takes everything");
            let written = Instant::now();
            let released = self.kernel.committed(now, batch);
            let gone = Instant::now();
            spent.decided += decided - arrived;
            spent.written += written - decided;
            spent.released += gone - written;
            drop(tasks);
            assert_eq!(placed(&released).count(), self.kernel.setup().accounts.len(), "every leg has an order");
            if self.careful { self.end(&released) } else { self.fill(&released) }
        }
        spent
    }

    fn next(&mut self) -> Signal {
        self.number += 1;
        if self.careful { limits::careful(self.number, "HYPE") } else { signal(self.number) }
    }

    /// A position in each of these assets, bought at the price that HYPE has.
    fn hold(&mut self, exchanges: &[PaperExchange], assets: &[&str]) {
        for asset in assets {
            for exchange in exchanges {
                let quote = Quote {
                    symbol: constant(asset),
                    bid: constant("38.09"),
                    ask: constant("38.1"),
                    at: self.now().wall,
                    depth: Default::default(),
                };
                self.input(Input::Quote { venue: exchange.config().id.clone(), quote });
            }
            self.number += 1;
            let signal = limits::careful(self.number, asset);
            let now = self.now();
            self.kernel.execute(now, signal, self.number);
            let released = self.commit();
            assert!(placed(&released).count() > 0, "it passes every gate");
            self.fill(&released);
        }
    }

    /// A signal, filled.
    fn finish(&mut self) {
        let signal = self.next();
        let now = self.now();
        self.kernel.execute(now, signal, self.number);
        let released = self.commit();
        self.fill(&released);
    }

    /// A signal whose order rests.
    fn rest(&mut self, number: u64) {
        let id = constant(&format!("resting-{number}"));
        let order = OrderType::Limit { price: constant("30"), time_in_force: TimeInForce::Gtc, post_only: true };
        let resting = Signal { id, order, direction: model::signal::Direction::Long, ..signal(0) };
        let now = self.now();
        self.kernel.execute(now, resting, 0);
        let released = self.commit();
        let now = self.now();
        let reports: Vec<OrderReport> = placed(&released).map(|order| report(order, OrderStatus::Open, now.wall)).collect();
        self.answer(reports);
    }

    /// The orders end without a fill.
    fn end(&mut self, released: &[Task]) {
        let now = self.now();
        let reports: Vec<OrderReport> = placed(released).map(|order| report(order, OrderStatus::Canceled, now.wall)).collect();
        self.answer(reports);
    }

    fn fill(&mut self, released: &[Task]) {
        let now = self.now();
        let reports: Vec<OrderReport> = placed(released).map(|order| report(order, OrderStatus::Filled, now.wall)).collect();
        self.answer(reports);
    }

    fn answer(&mut self, reports: Vec<OrderReport>) {
        for report in reports {
            self.input(Input::Placed { order: report.client_order_id.clone(), result: Ok(report) });
        }
        self.commit();
    }
}

fn placed(tasks: &[Task]) -> impl Iterator<Item = &Journaled<Prepared>> {
    tasks.iter().filter_map(|task| if let Task::Place { order, .. } = task { Some(order) } else { None })
}

/// What a venue would say of an order.
fn report(order: &Journaled<Prepared>, status: OrderStatus, at: Timestamp) -> OrderReport {
    let (id, request) = (order.client_order_id(), order.request());
    let venue_order_id: omnivenue::model::ids::VenueOrderId = constant(&format!("v{id}"));
    let fill = FillReport {
        trade_id: constant(&format!("t{id}")),
        client_order_id: Some(id.clone()),
        venue_order_id: venue_order_id.clone(),
        symbol: request.symbol.clone(),
        side: request.side,
        price: constant("38.1"),
        quantity: request.quantity,
        fee: Fee { asset: constant("USDC"), amount: constant("0.17145") },
        at,
        cause: None,
    };
    let fills = if status == OrderStatus::Filled { vec![fill] } else { Vec::new() };
    let filled_quantity = fills.first().map_or_else(|| constant("0"), |fill| fill.quantity);
    OrderReport {
        client_order_id: id.clone(),
        venue_order_id,
        symbol: request.symbol.clone(),
        status,
        filled_quantity,
        fills,
        position_id: None,
        at,
    }
}

/// A journal that keeps only what new signals are looked up in, so that a million old ones fit in memory.
#[derive(Debug, Clone, Default)]
struct Ids(Arc<Mutex<IdsInner>>);

#[derive(Debug, Clone, Default)]
struct IdsInner {
    signals: BTreeMap<SignalId, ExecutionNumber>,
    orders: HashMap<ClientOrderId, ExecutionNumber>,
    snapshot: Option<Snapshot>,
}

impl Ids {
    /// The journal after so many finished signals, and the state at its end.
    fn after(exchanges: &[PaperExchange], signals: u64) -> Self {
        let mut desk = Desk::open(exchanges, Self::default());
        (0..signals).for_each(|_| desk.finish());
        let state = serde_json::to_string(desk.kernel.state().book()).expect("a book is plain data");
        let hash = omnivenue::journal::Hash::GENESIS;
        desk.store.inner().snapshot = Some(Snapshot { seq: desk.kernel.seq(), hash, state });
        desk.store
    }

    fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.inner().clone())))
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, IdsInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for Ids {
    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut inner = self.inner();
        for entry in entries {
            match (&entry.index, entry.execution) {
                (Some(IndexKey::Signal(id)), Some(execution)) => drop(inner.signals.insert(id.clone(), execution)),
                (Some(IndexKey::Order(id)), Some(execution)) => drop(inner.orders.insert(id.clone(), execution)),
                _ => {}
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, _seq: u64, _state: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Archive for Ids {
    fn latest_snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.inner().snapshot.clone())
    }

    fn entries_after(&self, _seq: u64, _limit: usize) -> Result<Vec<StoredEntry>, StoreError> {
        Ok(Vec::new())
    }

    fn entries_of(&self, _execution: ExecutionNumber) -> Result<Vec<StoredEntry>, StoreError> {
        Ok(Vec::new())
    }

    fn execution_of_signal(&self, id: &SignalId) -> Result<Option<ExecutionNumber>, StoreError> {
        Ok(self.inner().signals.get(id).copied())
    }

    fn execution_of_order(&self, id: &ClientOrderId) -> Result<Option<ExecutionNumber>, StoreError> {
        Ok(self.inner().orders.get(id).copied())
    }

    fn body_hash_of(&self, _: &SignalId) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    fn bytes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// What was measured, for the table at the end.
#[derive(Debug, Default)]
struct Times(BTreeMap<(&'static str, u64), Spent>);

impl Times {
    /// Books a measurement; returns its length.
    fn add(&mut self, group: &'static str, size: u64, spent: Spent) -> Duration {
        self.0.entry((group, size)).or_default().add(spent);
        spent.total()
    }

    fn print(&self) {
        if self.0.is_empty() {
            return;
        }
        println!("mean of one signal, from its arrival to the release of its last order");
        println!("{:>8} {:>9} {:>12} {:>12} {:>12} {:>12} {:>8}", "group", "size", "decided", "written", "released", "total", "ratio");
        for ((group, size), spent) in &self.0 {
            let mean = |part: Duration| part.as_nanos() / u128::from(spent.signals.max(1));
            let micros = |part: Duration| format!("{}.{:01} µs", mean(part) / 1_000, mean(part) % 1_000 / 100);
            let first =
                self.0.range((*group, 0)..).next().map_or(1, |(_, first)| first.total().as_nanos() / u128::from(first.signals.max(1)));
            let ratio = mean(spent.total()) * 100 / first.max(1);
            println!(
                "{group:>8} {size:>9} {:>12} {:>12} {:>12} {:>12} {:>8}",
                micros(spent.decided),
                micros(spent.written),
                micros(spent.released),
                micros(spent.total()),
                format!("{}.{:02}", ratio / 100, ratio % 100)
            );
        }
    }
}
