//! A testnet, the adapter in front of it, and orders that a real kernel has cleared and made durable.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::engine::{Kernel, SystemEnv, Task};
use omnivenue_core::executor::{AccountSetup, AccountShare, AgentSetup, DeploymentSetup, Input, Limits, Now, Setup, Timing, VenueSetup};
use omnivenue_core::journal::{Failure, Journal, Journaled, MemoryStore};
use omnivenue_core::model::instrument::{AssetMap, Market};
use omnivenue_core::model::number::Factor;
use omnivenue_core::model::order::OrderReport;
use omnivenue_core::model::secret::Secret;
use omnivenue_core::model::signal::Signal;
use omnivenue_core::venue::{Account, Evidence, Prepared, ProbePermission, Venue, VenueError};
use omnivenue_hyperliquid::{Config, Environment, Hyperliquid, HyperliquidAccount, Login};
use omnivenue_testnet::{AccountConfig, HyperliquidConfig, Testnet};
use serde_json::{Value, json};

use crate::mint::Mint;

/// Reads a name or a number that a test writes.
pub(crate) fn parse<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("`{text}` does not fit"))
}

/// A testnet with prices that stand still: HYPE and its spot pair cost 38.
pub(crate) struct World {
    pub(crate) testnet: Testnet,
    pub(crate) main: AccountConfig,
}

impl World {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut HyperliquidConfig)) -> Self {
        let mut config = HyperliquidConfig::built_in();
        change(&mut config);
        let main = config.accounts[0].clone();
        let config = omnivenue_testnet::Config { admin_port: 0, hyperliquid: Some(config) };
        // It has a runtime of its own, which cannot be made inside another.
        let testnet = std::thread::spawn(move || Testnet::start(config).unwrap()).join().unwrap();
        let world = Self { testnet, main };
        for symbol in ["HYPE", "@107"] {
            world.control("/prices", &json!({"symbol": symbol, "price": "38"}));
        }
        world
    }

    pub(crate) fn control(&self, path: &str, body: &Value) {
        self.testnet.control(path, body).unwrap();
    }

    /// The next requests or frames of this kind meet a fault.
    pub(crate) fn fault(&self, fault: &str, kind: &str, count: u32) {
        self.control("/faults", &json!({"script": [{"fault": fault, "kind": kind, "count": count}]}));
    }

    pub(crate) fn price(&self, symbol: &str, price: &str) {
        self.control("/prices", &json!({"symbol": symbol, "price": price}));
    }

    /// What really happened on an account.
    pub(crate) fn truth(&self, address: &str) -> Value {
        self.testnet.truth()["venues"]["hyperliquid"]["accounts"][address].clone()
    }

    /// The orders of the main account that really wait for their trigger or their entry.
    pub(crate) fn waiting(&self) -> Vec<Value> {
        self.truth(&self.main.address)["waiting_triggers"].as_array().unwrap().clone()
    }

    /// How many requests of a kind the venue has looked at.
    pub(crate) fn requests(&self, kind: &str) -> u64 {
        self.testnet.truth()["venues"]["hyperliquid"]["requests"][kind].as_u64().unwrap_or(0)
    }

    /// The orders that the venue really took from the main account.
    pub(crate) fn orders(&self) -> Vec<Value> {
        self.truth(&self.main.address)["orders"].as_array().unwrap().clone()
    }

    pub(crate) fn config(&self) -> Config {
        let urls = &self.testnet.urls()["hyperliquid"];
        let (rest_url, ws_url) = (Some(urls.rest.clone()), Some(urls.stream.clone()));
        let second = Duration::from_secs(1);
        let quick =
            Config { order_lifetime: second * 5, request_timeout: second, cross_check_every: second, ..Config::new(Environment::Testnet) };
        Config { rest_url, ws_url, ..quick }
    }

    pub(crate) fn login(&self, market: Market) -> Login {
        let private_key = Secret::new(self.main.test_key.clone().unwrap());
        Login { account: parse("main"), market, private_key, address: None, vault_address: None }
    }

    /// The main account, traded with its agent's key.
    pub(crate) fn agent_login(&self) -> Login {
        let private_key = Secret::new(self.main.agents[0].test_key.clone().unwrap());
        Login { private_key, address: Some(parse(&self.main.address)), ..self.login(Market::Perp) }
    }
}

/// The adapter, and a kernel that clears orders for it.
pub(crate) struct Bench {
    pub(crate) hyperliquid: Arc<Hyperliquid>,
    pub(crate) account: Arc<HyperliquidAccount>,
    kernel: Kernel,
    store: MemoryStore,
    placed: Vec<Journaled<Prepared>>,
    count: u64,
    market: Market,
    /// Makes exits.
    pub(crate) mint: Mint,
}

pub(crate) fn now() -> Now {
    SystemEnv::shared().now()
}

/// One agent that trades on one account without limits.
pub(crate) fn setup(venue: &dyn Venue, market: Market) -> Setup {
    let deployment = DeploymentSetup {
        agent: parse("demo"),
        accounts: vec![AccountShare { account: parse("main"), allocation: None, fallback: None }],
        limits: Limits::default(),
        stops: Default::default(),
        approval: Default::default(),
        scale: Factor::ONE,
    };
    Setup {
        venues: BTreeMap::new(),
        accounts: BTreeMap::from([(
            parse("main"),
            AccountSetup { venue: venue.id().clone(), market: Some(market), limits: Limits::default(), drift: Default::default() },
        )]),
        agents: BTreeMap::from([(parse("demo"), AgentSetup::default())]),
        deployments: BTreeMap::from([(parse("demo"), deployment)]),
        limits: Limits::default(),
        rates: BTreeMap::from([(parse("USDC"), Factor::ONE)]),
        assets: AssetMap::default(),
        timing: Timing::default(),
        breakers: Default::default(),
        losses: Default::default(),
        depeg: Default::default(),
    }
}

impl Bench {
    pub(crate) async fn open(world: &World) -> Self {
        Self::with(world, world.login(Market::Perp)).await
    }

    pub(crate) async fn with(world: &World, login: Login) -> Self {
        let hyperliquid = Hyperliquid::new(world.config()).unwrap();
        let market = login.market;
        let account = hyperliquid.trader(login).unwrap();
        let instruments = hyperliquid.instruments().await.unwrap();
        let mut setup = setup(&*hyperliquid, market);
        let venue = VenueSetup::new(hyperliquid.capabilities().clone(), instruments, &setup.assets);
        setup.venues.insert(hyperliquid.id().clone(), venue);
        let quotes = hyperliquid.quotes().await.unwrap();
        let mint = Mint::new(setup.clone(), &hyperliquid, &account, quotes.clone());
        let store = MemoryStore::new();
        let accounts = vec![Arc::clone(&account) as Arc<dyn Account>];
        let kernel = Kernel::open(setup, accounts, Arc::new(store.clone())).unwrap();
        let mut bench = Self { hyperliquid, account, kernel, store, placed: Vec::new(), count: 0, market, mint };
        for quote in quotes {
            let venue = bench.hyperliquid.id().clone();
            drop(bench.kernel.input(now(), Input::Quote { venue, quote }));
        }
        let tasks = bench.kernel.input(now(), Input::Opened { version: "test", namespace: "abc123".into() });
        bench.turn(tasks).await;
        bench
    }

    /// Carries out what the kernel asks, except sending: orders are handed to the test.
    async fn turn(&mut self, tasks: Vec<Task>) {
        let mut tasks = VecDeque::from(tasks);
        loop {
            while let Some(batch) = self.kernel.take_batch() {
                self.store.append(&batch.entries).unwrap();
                tasks.extend(self.kernel.committed(now(), batch));
            }
            let Some(task) = tasks.pop_front() else { return };
            match task {
                Task::Ready { leg, request, .. } => {
                    let result = self.account.ready(&request).await.map_err(|error| Failure::from(&error));
                    tasks.extend(self.kernel.input(now(), Input::Ready { leg, result }));
                }
                Task::Snapshot { account, since } => {
                    let result = self.account.snapshot(since).await.map_err(|error| Failure::from(&error));
                    tasks.extend(self.kernel.snapshot(now(), account, result));
                }
                Task::Place { order, .. } => self.placed.push(order),
                Task::Answer { result, .. } => drop(result.unwrap()),
                Task::Probe { .. } | Task::Cancel { .. } | Task::Wake { .. } | Task::Changed { .. } | Task::Recovered { .. } => {}
            }
        }
    }

    /// An order that is cleared, prepared and durable, but not sent. `change` is laid over the signal.
    pub(crate) async fn order(&mut self, change: Value) -> Journaled<Prepared> {
        let leg = self.try_order(change).await;
        leg.unwrap_or_else(|| panic!("the order was refused: {}", self.story()))
    }

    /// As [`Bench::order`]; nothing where the leg was refused before.
    pub(crate) async fn try_order(&mut self, change: Value) -> Option<Journaled<Prepared>> {
        self.count += 1;
        let market = self.market.to_string();
        let mut signal = json!({
            "id": format!("signal-{}", self.count), "agent": "demo", "asset": "HYPE", "market": market, "direction": "long",
            "sizing": {"quantity": "1"}, "slippage": "0.02", "valid_for": "1h",
        });
        for (key, value) in change.as_object().unwrap() {
            signal[key] = value.clone();
        }
        let signal = Signal::from_json(&signal.to_string()).unwrap();
        let tasks = self.kernel.execute(now(), signal, self.count);
        self.turn(tasks).await;
        self.placed.pop()
    }

    /// Everything that was journaled.
    pub(crate) fn story(&self) -> String {
        self.store.entries().into_iter().map(|entry| entry.body + "\n").collect()
    }

    /// Places an order and tells the kernel what came of it.
    pub(crate) async fn place(&mut self, order: &Journaled<Prepared>) -> Result<OrderReport, VenueError> {
        let result = self.account.place(order).await;
        let told = match &result {
            Ok(report) => Ok(report.clone()),
            Err(error) => Err(Failure::from(error)),
        };
        let tasks = self.kernel.input(now(), Input::Placed { order: order.client_order_id().clone(), result: told });
        self.turn(tasks).await;
        result
    }

    pub(crate) async fn probe(&self, order: &Journaled<Prepared>, may_resend: bool) -> Evidence {
        self.account.probe(order, ProbePermission { may_resend, now: now().wall }).await.unwrap()
    }

    /// Asks until it is known, for at most half a minute.
    pub(crate) async fn settle(&self, order: &Journaled<Prepared>) -> Evidence {
        for _ in 0..60 {
            match self.probe(order, false).await {
                Evidence::NotYet { ask_at, .. } => tokio::time::sleep(ask_at.since(now().wall).min(Duration::from_secs(20))).await,
                evidence => return evidence,
            }
        }
        panic!("it never became known");
    }
}

/// A limit order that rests far from the market.
pub(crate) fn resting() -> Value {
    json!({"order": {"type": "limit", "price": "30", "time_in_force": "gtc"}})
}

pub(crate) fn present(evidence: Evidence) -> OrderReport {
    match evidence {
        Evidence::Present(report) => report,
        other => panic!("{other:?}"),
    }
}
