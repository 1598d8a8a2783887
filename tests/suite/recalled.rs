//! Executions that have ended leave the memory, perhaps before what ended them is durable. A report that comes again in that moment
//! must not bring back their older selves.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use omnivenue::engine::{Kernel, Task};
use omnivenue::executor::{
    AccountSetup, AccountShare, AgentSetup, DeploymentSetup, Input, Limits, Now, RETAINED, Setup, Timing, VenueSetup,
};
use omnivenue::journal::{Journal, Journaled, MemoryStore};
use omnivenue::ledger::CapitalKey;
use omnivenue::model::ids::{AccountId, ClientOrderId};
use omnivenue::model::instrument::AssetMap;
use omnivenue::model::number::{Factor, Price};
use omnivenue::model::order::{Balance, Fee, FillReport, OrderReport, OrderStatus};
use omnivenue::model::signal::Signal;
use omnivenue::model::time::Timestamp;
use omnivenue::paper::{Config, Link, LinkError, PaperAccount, PaperVenue, Request, Response};
use omnivenue::venue::{AccountSnapshot, Prepared, Quote, Sink, Venue};

struct Nobody;

#[async_trait]
impl Link for Nobody {
    async fn call(&self, _: Request) -> Result<Response, LinkError> {
        Err(LinkError::Cut)
    }

    async fn updates(&self, _: &AccountId, _: Sink<OrderReport>) -> Result<(), LinkError> {
        Err(LinkError::Cut)
    }

    async fn quotes(&self, _: Sink<Quote>) -> Result<(), LinkError> {
        Err(LinkError::Cut)
    }
}

fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().unwrap()
}

fn now() -> Now {
    Now { wall: Timestamp::from_millis(1_767_225_600_000), monotonic: 1_000_000 }
}

struct World {
    kernel: Kernel,
    store: MemoryStore,
    account: AccountId,
    trades: u32,
}

impl World {
    fn new() -> Self {
        let account: AccountId = name("account");
        let config = Config::hyperliquid_like();
        let venue = Arc::new(PaperVenue::new(&config, Arc::new(Nobody)).unwrap());
        let instruments = config.check().unwrap().into_values().collect();
        let assets = AssetMap::default();
        let share = AccountShare { account: account.clone(), allocation: None, fallback: None };
        let setup = Setup {
            venues: BTreeMap::from([(config.id.clone(), VenueSetup::new(venue.capabilities().clone(), instruments, &assets))]),
            accounts: BTreeMap::from([(
                account.clone(),
                AccountSetup { venue: config.id.clone(), market: None, limits: Limits::default(), drift: Default::default() },
            )]),
            agents: BTreeMap::from([(name("demo"), AgentSetup::default())]),
            deployments: BTreeMap::from([(
                name("demo"),
                DeploymentSetup {
                    agent: name("demo"),
                    accounts: vec![share],
                    limits: Limits::default(),
                    stops: Default::default(),
                    approval: None,
                    scale: Factor::ONE,
                },
            )]),
            limits: Limits::default(),
            rates: BTreeMap::from([(name("USDC"), Factor::ONE)]),
            assets,
            timing: Timing::default(),
            breakers: Default::default(),
            losses: Default::default(),
            depeg: Default::default(),
        };
        let store = MemoryStore::new();
        let adapter = PaperAccount::new(account.clone(), Arc::clone(&venue), Arc::new(Nobody));
        let kernel = Kernel::open(setup, vec![Arc::new(adapter)], Arc::new(store.clone())).unwrap();
        let mut world = Self { kernel, store, account: account.clone(), trades: 0 };
        world.kernel.input(now(), Input::Opened { version: "test", namespace: "abcdef".into() });
        let balances = vec![Balance { asset: name("USDC"), total: name("1000000") }];
        world.kernel.snapshot(now(), account, Ok(AccountSnapshot { balances, at: now().wall, ..AccountSnapshot::default() }));
        let price: Price = name("38");
        let quote = Quote { symbol: name("HYPE"), bid: price, ask: price, at: now().wall, depth: Default::default() };
        world.kernel.input(now(), Input::Quote { venue: config.id, quote });
        world.commit();
        world
    }

    /// Makes durable what was decided, and carries on.
    fn commit(&mut self) -> Vec<Task> {
        let mut tasks = Vec::new();
        while let Some(batch) = self.kernel.take_batch() {
            self.store.append(&batch.entries).unwrap();
            tasks.extend(self.kernel.committed(now(), batch));
        }
        tasks
    }

    /// Sends a signal; gives back the order that left.
    fn send(&mut self, id: &str) -> Journaled<Prepared> {
        let text = format!(r#"{{"id":"{id}","agent":"demo","asset":"HYPE","direction":"long","sizing":{{"quantity":"1"}}}}"#);
        self.kernel.execute(now(), Signal::from_json(&text).unwrap(), 1);
        let placed = self.commit().into_iter().find_map(|task| match task {
            Task::Place { order, .. } => Some(order),
            _ => None,
        });
        placed.expect("an order leaves")
    }

    /// What the venue says of an order that has filled.
    fn filled(&mut self, order: &ClientOrderId) -> OrderReport {
        self.trades += 1;
        let fill = FillReport {
            trade_id: name(&format!("t{}", self.trades)),
            client_order_id: Some(order.clone()),
            venue_order_id: name(&format!("v{}", self.trades)),
            symbol: name("HYPE"),
            side: omnivenue::model::instrument::Side::Buy,
            price: name("38"),
            quantity: name("1"),
            fee: Fee { asset: name("USDC"), amount: name("0.01") },
            at: now().wall,
            cause: None,
        };
        OrderReport {
            client_order_id: order.clone(),
            venue_order_id: fill.venue_order_id.clone(),
            symbol: fill.symbol.clone(),
            status: OrderStatus::Filled,
            filled_quantity: fill.quantity,
            fills: vec![fill],
            position_id: None,
            at: now().wall,
        }
    }

    fn report(&mut self, report: &OrderReport) {
        self.kernel.report(now(), self.account.clone(), report.clone());
    }

    /// Position, fees and reserve, as booked.
    fn booked(&self) -> (String, String, String) {
        let ledger = self.kernel.state().book().ledger();
        let key = CapitalKey { account: self.account.clone(), deployment: None, currency: name("USDC") };
        let capital = ledger.capital(&key);
        (ledger.net_quantity(&self.account, &name("HYPE")).to_string(), capital.fees.to_string(), capital.reserved.to_string())
    }
}

#[test]
fn a_report_that_comes_again_before_the_first_is_durable_is_booked_once() {
    let mut world = World::new();
    let orders: Vec<ClientOrderId> = (0..RETAINED + 50).map(|index| world.send(&format!("s-{index}")).client_order_id().clone()).collect();
    // All of them fill while the disk is busy.
    let reports: Vec<OrderReport> = orders.iter().map(|order| world.filled(order)).collect();
    reports.iter().for_each(|report| world.report(report));
    let book = world.kernel.state().book();
    assert_eq!(book.leg_of(&orders[0]), None, "it is no longer at hand");
    let once = world.booked();
    // The stream tells it all again.
    reports.iter().for_each(|report| world.report(report));
    assert_eq!(world.kernel.state().failed(), None, "no fault");
    assert_eq!(world.booked(), once, "booked once");
    world.commit();
    reports.iter().for_each(|report| world.report(report));
    world.commit();
    assert_eq!(world.booked(), once, "booked once");
    let replayed = omnivenue::engine::replay(&world.store).unwrap().book;
    assert!(replayed == *world.kernel.state().book(), "the state is the fold of the journal");
}
