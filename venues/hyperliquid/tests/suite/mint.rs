//! Orders that no signal of a test makes by itself: exits, cleared by a real kernel, prepared by the adapter and durable.
//!
//! A journal is written up to what was decided, one decision in it is changed to the one that a test wants, and a kernel is opened on it.

use std::collections::VecDeque;
use std::sync::Arc;

use omnivenue_core::engine::{Batch, Kernel, Task};
use omnivenue_core::executor::{Input, Setup};
use omnivenue_core::journal::{Entry, Failure, IndexKey, Journal, Journaled, MemoryStore};
use omnivenue_core::model::exit::{ExitKind, Trigger};
use omnivenue_core::model::ids::AccountId;
use omnivenue_core::model::order::{AttachedExit, Balance, Fee, FillReport, OrderReport, OrderRequest, OrderStatus, Purpose};
use omnivenue_core::model::signal::Signal;
use omnivenue_core::venue::{Account, AccountSnapshot, Prepared, Quote, Venue};
use omnivenue_hyperliquid::{Hyperliquid, HyperliquidAccount};
use serde_json::{Value, json};

use crate::bench::{now, parse};

/// An exit: which, its trigger price, and the worst price once it is awake.
pub(crate) type Exit<'a> = (ExitKind, &'a str, &'a str);

pub(crate) const STOP: Exit<'static> = (ExitKind::StopLoss, "36", "34");
pub(crate) const PROFIT: Exit<'static> = (ExitKind::TakeProfit, "42", "40");

pub(crate) fn trigger((kind, price, _): Exit<'_>) -> Trigger {
    Trigger { kind, price: parse(price) }
}

/// Makes orders for one account.
pub(crate) struct Mint {
    setup: Setup,
    hyperliquid: Arc<Hyperliquid>,
    account: Arc<HyperliquidAccount>,
    quotes: Vec<Quote>,
    count: u64,
}

/// A kernel on a journal, turned by hand.
struct Life {
    kernel: Kernel,
    store: MemoryStore,
    account: Arc<HyperliquidAccount>,
    placed: Vec<Journaled<Prepared>>,
    probed: Vec<Journaled<Prepared>>,
    /// What is on its way to the journal, with an intent in it.
    intents: Option<Batch>,
}

impl Mint {
    pub(crate) fn new(mut setup: Setup, hyperliquid: &Arc<Hyperliquid>, account: &Arc<HyperliquidAccount>, quotes: Vec<Quote>) -> Self {
        // Exits travel with an entry where a test says so, and not otherwise.
        for exits in setup.venues.values_mut().filter_map(|venue| venue.capabilities.exits.as_mut()) {
            exits.attached = false;
        }
        Self { setup, hyperliquid: Arc::clone(hyperliquid), account: Arc::clone(account), quotes, count: 0 }
    }

    /// An entry that exits travel with; nothing where it was refused before it was durable.
    pub(crate) async fn entry(&mut self, signal: Value, exits: &[Exit<'_>]) -> Result<Journaled<Prepared>, String> {
        let attached: Vec<AttachedExit> = exits.iter().map(|exit| self.attached(*exit)).collect();
        let mut life = Life::begin(self, MemoryStore::new()).await;
        drop(life.kernel.execute(now(), self.signal(signal), 1));
        life.write("admitted", |body| body["legs"][0]["order"]["attached"] = json!(attached));
        let mut next = Life::begin(self, life.store).await;
        next.placed.pop().ok_or_else(|| next.story())
    }

    /// An exit that waits by itself, of so much of what an entry like `signal` has opened.
    pub(crate) async fn alone(&mut self, signal: Value, quantity: &str, exit: Exit<'_>) -> Journaled<Prepared> {
        let store = self.protecting(signal, quantity, exit).await;
        let mut life = Life::begin(self, store).await;
        life.placed.pop().unwrap_or_else(|| panic!("{}", life.story()))
    }

    /// The exits that travel with an entry, as the journal tells of them after a restart: under their own names, with the entry's text.
    pub(crate) async fn travelers(&mut self, entry: &Journaled<Prepared>) -> Vec<Journaled<Prepared>> {
        let mut travelers = Vec::new();
        for exit in &entry.request().attached {
            let request = OrderRequest {
                side: entry.request().side.opposite(),
                purpose: Purpose::Protect,
                reduce_only: true,
                order: omnivenue_core::model::signal::OrderType::Market,
                trigger: Some(exit.trigger),
                worst_price: exit.worst_price,
                attached: Vec::new(),
                ..entry.request().clone()
            };
            let direction = if entry.request().side.is_buy() { "long" } else { "short" };
            let store = self.protecting(json!({"direction": direction}), "1", STOP).await;
            let mut life = Life::open(self, store);
            life.hold().await;
            life.write("prepared", |body| {
                let prepared = &mut body["prepared"];
                prepared["request"] = json!(request);
                prepared["client_order_id"] = json!(exit.client_order_id);
                prepared["wire"] = json!(entry.wire());
                prepared["nonce"] = json!(entry.nonce());
                prepared["deadline"] = json!(entry.deadline());
            });
            let mut next = Life::begin(self, life.store).await;
            travelers.push(next.probed.pop().expect("an intent without an outcome is asked for"));
        }
        travelers
    }

    fn attached(&mut self, exit: Exit<'_>) -> AttachedExit {
        self.count += 1;
        let client_order_id = parse(&format!("abc123{:026x}", self.count));
        AttachedExit { client_order_id, trigger: trigger(exit), worst_price: parse(exit.2) }
    }

    fn signal(&mut self, change: Value) -> Signal {
        self.count += 1;
        let mut signal = json!({
            "id": format!("minted-{}", self.count), "agent": "demo", "asset": "HYPE", "direction": "long",
            "sizing": {"quantity": "1"}, "slippage": "0.02", "valid_for": "1h",
            "market": self.setup.accounts[&account()].market,
        });
        for (key, value) in change.as_object().unwrap() {
            signal[key] = value.clone();
        }
        Signal::from_json(&signal.to_string()).unwrap()
    }

    /// A journal in which an entry has filled, and it was decided to keep an exit of it at the venue.
    async fn protecting(&mut self, signal: Value, quantity: &str, exit: Exit<'_>) -> MemoryStore {
        let mut life = Life::begin(self, MemoryStore::new()).await;
        let kind = if exit.0 == ExitKind::StopLoss { "stop_loss" } else { "take_profit" };
        let mut change = signal;
        change["exits"] = json!({kind: {"price": exit.1}});
        let tasks = life.kernel.execute(now(), self.signal(change), 1);
        life.turn(tasks).await;
        let entry = life.placed.pop().unwrap_or_else(|| panic!("{}", life.story()));
        drop(life.kernel.input(now(), Input::Placed { order: entry.client_order_id().clone(), result: Ok(filled(&entry)) }));
        self.count += 1;
        // The name of an order follows from the id of what it is for.
        let id = format!("minted-{}", self.count);
        life.write("admitted", |body| {
            body["command"]["protect"]["id"] = json!(id);
            let order = &mut body["legs"][0]["order"];
            order["quantity"] = json!(quantity);
            order["worst_price"] = json!(exit.2);
            order["trigger"] = json!(trigger(exit));
        });
        life.store
    }
}

fn account() -> AccountId {
    parse("main")
}

/// All of an entry has traded, as no venue was ever asked.
fn filled(entry: &Prepared) -> OrderReport {
    let request = entry.request();
    let fill = FillReport {
        trade_id: parse("minted"),
        client_order_id: Some(entry.client_order_id().clone()),
        venue_order_id: parse("minted"),
        symbol: request.symbol.clone(),
        side: request.side,
        price: request.worst_price,
        quantity: request.quantity,
        fee: Fee { asset: parse("USDC"), amount: parse("0.01") },
        at: now().wall,
        cause: None,
    };
    OrderReport {
        client_order_id: entry.client_order_id().clone(),
        venue_order_id: parse("minted"),
        symbol: request.symbol.clone(),
        status: OrderStatus::Filled,
        filled_quantity: request.quantity,
        fills: vec![fill],
        position_id: None,
        at: now().wall,
    }
}

impl Life {
    fn open(mint: &Mint, store: MemoryStore) -> Self {
        let accounts = vec![Arc::clone(&mint.account) as Arc<dyn Account>];
        let mut kernel = Kernel::open(mint.setup.clone(), accounts, Arc::new(store.clone())).unwrap();
        for quote in &mint.quotes {
            let venue = mint.hyperliquid.id().clone();
            drop(kernel.input(now(), Input::Quote { venue, quote: quote.clone() }));
        }
        Self { kernel, store, account: Arc::clone(&mint.account), placed: Vec::new(), probed: Vec::new(), intents: None }
    }

    /// Opened, and everything done that follows from it.
    async fn begin(mint: &Mint, store: MemoryStore) -> Self {
        let mut life = Self::open(mint, store);
        let tasks = life.kernel.input(now(), Input::Opened { version: "test", namespace: "abc123".into() });
        life.turn(tasks).await;
        life
    }

    /// As `begin`, up to the first intent, which stays unwritten.
    async fn hold(&mut self) {
        let tasks = self.kernel.input(now(), Input::Opened { version: "test", namespace: "abc123".into() });
        let mut tasks = VecDeque::from(tasks);
        while let Some(task) = tasks.pop_front() {
            tasks.extend(self.answer(task).await);
            while let Some(batch) = self.kernel.take_batch() {
                if batch.entries.iter().any(|entry| entry.kind == "prepared") {
                    self.intents = Some(batch);
                    return;
                }
                self.store.append(&batch.entries).unwrap();
                tasks.extend(self.kernel.committed(now(), batch));
            }
        }
        panic!("nothing was prepared: {}", self.story());
    }

    async fn turn(&mut self, tasks: Vec<Task>) {
        let mut tasks = VecDeque::from(tasks);
        loop {
            while let Some(batch) = self.kernel.take_batch() {
                self.store.append(&batch.entries).unwrap();
                tasks.extend(self.kernel.committed(now(), batch));
            }
            let Some(task) = tasks.pop_front() else { return };
            tasks.extend(self.answer(task).await);
        }
    }

    async fn answer(&mut self, task: Task) -> Vec<Task> {
        match task {
            Task::Ready { leg, request, .. } => {
                let result = self.account.ready(&request).await.map_err(|error| Failure::from(&error));
                self.kernel.input(now(), Input::Ready { leg, result })
            }
            Task::Snapshot { account, .. } => {
                let balances = vec![Balance { asset: parse("USDC"), total: parse("10000") }];
                let snapshot = AccountSnapshot { at: now().wall, balances, ..AccountSnapshot::default() };
                self.kernel.snapshot(now(), account, Ok(snapshot))
            }
            Task::Place { order, .. } => {
                self.placed.push(order);
                Vec::new()
            }
            Task::Probe { order, .. } => {
                self.probed.push(order);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Writes what waits to be written up to the first decision of a kind, which is changed; this kernel does not hear of it.
    fn write(&mut self, kind: &str, change: impl Fn(&mut Value)) {
        let batch = self.intents.take().or_else(|| self.kernel.take_batch()).expect("something was decided");
        let last = batch.entries.iter().position(|entry| entry.kind == kind).expect("it was decided");
        let entries: Vec<Entry> = batch
            .entries
            .into_iter()
            .take(last + 1)
            .map(|entry| {
                let mut body: Value = serde_json::from_str(&entry.body).unwrap();
                if entry.kind == kind {
                    change(&mut body);
                }
                let order = body["prepared"]["client_order_id"].as_str().map(|id| IndexKey::Order(parse(id)));
                Entry { body: body.to_string().into(), index: order.or(entry.index.clone()), ..entry }
            })
            .collect();
        self.store.append(&entries).unwrap();
    }

    fn story(&self) -> String {
        self.store.entries().into_iter().map(|entry| entry.body + "\n").collect()
    }
}
