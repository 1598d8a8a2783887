//! An engine on a real journal, with as many simulated venues as a test wants and adapters that misbehave as it says.

use std::collections::BTreeMap;
use std::future::pending;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use omnivenue::engine::{Engine, OpenError, Parts, SystemEnv};
use omnivenue::executor::{AccountSetup, AccountShare, AgentSetup, DeploymentSetup, Limits, Setup, Timing};
use omnivenue::gates::{Cleared, UserGate};
use omnivenue::journal::{Entry, Journal, Journaled, StoreError};
use omnivenue::model::ids::{AccountId, ClientOrderId, VenueId, VenueSymbol};
use omnivenue::model::instrument::{AssetMap, Instrument};
use omnivenue::model::number::Factor;
use omnivenue::model::order::{OrderReport, OrderRequest};
use omnivenue::model::time::Timestamp;
use omnivenue::paper::{AccountTruth, Config, PaperExchange, PriceSource};
use omnivenue::sqlite::{Options, SqliteJournal};
use omnivenue::venue::{
    Account, AccountSnapshot, Capabilities, Effect, ErrorKind, Evidence, Finding, Operation, Prepared, ProbePermission, Quote, Sink,
    Ticket, Venue, VenueError,
};

/// Reads a name or a number that a test writes.
pub(crate) fn parse<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("`{text}` does not fit"))
}

/// Runs a future on a runtime of this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// An exchange of its own name, where HYPE costs 38 for ever.
pub(crate) fn quiet(venue: &str, latency: Duration) -> Config {
    let mut config = Config::hyperliquid_like();
    config.id = parse(venue);
    config.instruments.retain(|spec| spec.base.as_str() == "HYPE");
    config.instruments.iter_mut().for_each(|spec| spec.venue = parse(venue));
    config.prices = BTreeMap::from([(parse("HYPE"), PriceSource::Fixed { price: parse("38") })]);
    (config.spread, config.slippage) = (parse("0"), parse("0"));
    (config.latency.request, config.latency.answer, config.latency.jitter) = (latency / 2, latency / 2, Duration::ZERO);
    config.with_account(&account(venue), parse("USDC"), parse("100000"))
}

/// The one account at a venue of [`quiet`].
pub(crate) fn account(venue: &str) -> AccountId {
    parse(&format!("{venue}-account"))
}

/// What an adapter does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `place` panics before anything is sent.
    PanicBeforeSending,
    /// `place` panics when the order has been sent and answered.
    PanicAfterSending,
    /// `place` never sends and never answers.
    HangBeforeSending,
    /// `place` sends and never answers.
    HangAfterSending,
    /// The first probes never answer.
    ProbeHangs,
    /// The first probes panic.
    ProbePanics,
    /// `ready` never says yes.
    ReadyHangs,
    /// `ready` panics.
    ReadyPanics,
    /// `prepare` panics.
    PreparePanics,
    /// The venue's truth never comes.
    SnapshotHangs,
    /// The first stream of orders panics.
    StreamPanics,
}

/// An account that does some things wrong, each so many times, and leaves the rest to the real one.
pub(crate) struct Faulty {
    inner: Arc<dyn Account>,
    faults: Mutex<Vec<(Fault, usize)>>,
    /// How often `place` was called.
    pub(crate) placed: AtomicUsize,
    /// How often `stream` was called.
    pub(crate) streamed: AtomicUsize,
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn Account>, faults: &[(Fault, usize)]) -> Arc<Self> {
        Arc::new(Self { inner, faults: Mutex::new(faults.to_vec()), placed: AtomicUsize::new(0), streamed: AtomicUsize::new(0) })
    }

    /// Whether this fault happens now.
    fn meets(&self, fault: Fault) -> bool {
        let mut faults = self.faults.lock().unwrap();
        let found = faults.iter_mut().find(|(kind, left)| *kind == fault && *left > 0);
        found.map(|(_, left)| *left -= 1).is_some()
    }
}

#[async_trait]
impl Account for Faulty {
    fn id(&self) -> &AccountId {
        self.inner.id()
    }

    fn venue(&self) -> &Arc<dyn Venue> {
        self.inner.venue()
    }

    async fn ready(&self, request: &OrderRequest) -> Result<(), VenueError> {
        assert!(!self.meets(Fault::ReadyPanics), "an adapter's mistake in ready");
        if self.meets(Fault::ReadyHangs) {
            pending::<()>().await;
        }
        self.inner.ready(request).await
    }

    fn prepare(&self, cleared: Cleared<OrderRequest>, ticket: Ticket) -> Result<Prepared, VenueError> {
        assert!(!self.meets(Fault::PreparePanics), "an adapter's mistake in prepare");
        self.inner.prepare(cleared, ticket)
    }

    async fn place(&self, order: &Journaled<Prepared>) -> Result<OrderReport, VenueError> {
        self.placed.fetch_add(1, Ordering::SeqCst);
        assert!(!self.meets(Fault::PanicBeforeSending), "an adapter's mistake in place");
        if self.meets(Fault::HangBeforeSending) {
            pending::<()>().await;
        }
        let answer = self.inner.place(order).await;
        assert!(!self.meets(Fault::PanicAfterSending), "an adapter's mistake in place");
        if self.meets(Fault::HangAfterSending) {
            pending::<()>().await;
        }
        answer
    }

    async fn probe(&self, order: &Journaled<Prepared>, permission: ProbePermission) -> Result<Evidence, VenueError> {
        assert!(!self.meets(Fault::ProbePanics), "an adapter's mistake in probe");
        if self.meets(Fault::ProbeHangs) {
            pending::<()>().await;
        }
        self.inner.probe(order, permission).await
    }

    async fn cancel(&self, symbol: &VenueSymbol, client_order_id: &ClientOrderId) -> Result<OrderReport, VenueError> {
        self.inner.cancel(symbol, client_order_id).await
    }

    async fn snapshot(&self, since: Option<Timestamp>) -> Result<AccountSnapshot, VenueError> {
        if self.meets(Fault::SnapshotHangs) {
            pending::<()>().await;
        }
        self.inner.snapshot(since).await
    }

    async fn stream(&self, sink: Sink<OrderReport>) -> Result<(), VenueError> {
        self.streamed.fetch_add(1, Ordering::SeqCst);
        assert!(!self.meets(Fault::StreamPanics), "an adapter's mistake in stream");
        self.inner.stream(sink).await
    }

    async fn examine(&self) -> Result<Vec<Finding>, VenueError> {
        self.inner.examine().await
    }
}

/// What a venue does while it is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Down {
    /// It says what it trades, but no prices: asking for them fails.
    QuotesFail,
    /// It says what it trades, but asking for prices is never answered.
    QuotesHang,
    /// It does not say what it trades: asking fails.
    InstrumentsFail,
    /// It does not say what it trades: asking is never answered.
    InstrumentsHang,
    /// Its adapter panics when it is asked what it trades.
    InstrumentsPanic,
}

/// A venue that is down until it is said to be up.
pub(crate) struct Broken {
    inner: Arc<dyn Venue>,
    down: Down,
    pub(crate) up: AtomicBool,
}

impl Broken {
    fn is(&self, down: Down) -> bool {
        self.down == down && !self.up.load(Ordering::SeqCst)
    }

    fn refused(&self, operation: Operation) -> VenueError {
        VenueError::new(self.inner.id(), operation, ErrorKind::Unavailable, Effect::Refused, "down for maintenance")
    }
}

#[async_trait]
impl Venue for Broken {
    fn id(&self) -> &VenueId {
        self.inner.id()
    }

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn instruments(&self) -> Result<Vec<Instrument>, VenueError> {
        assert!(!self.is(Down::InstrumentsPanic), "an adapter's mistake in instruments");
        if self.is(Down::InstrumentsFail) {
            return Err(self.refused(Operation::Instruments));
        }
        if self.is(Down::InstrumentsHang) {
            pending::<()>().await;
        }
        self.inner.instruments().await
    }

    async fn quotes(&self) -> Result<Vec<Quote>, VenueError> {
        if self.is(Down::QuotesHang) {
            pending::<()>().await;
        }
        if self.up.load(Ordering::SeqCst) { self.inner.quotes().await } else { Err(self.refused(Operation::Quotes)) }
    }

    async fn stream_quotes(&self, sink: Sink<Quote>) -> Result<(), VenueError> {
        if self.up.load(Ordering::SeqCst) { self.inner.stream_quotes(sink).await } else { Err(self.refused(Operation::Quotes)) }
    }
}

/// A journal that writes so many batches and then cannot any more.
pub(crate) struct Failing {
    inner: SqliteJournal,
    left: Arc<AtomicUsize>,
}

impl Journal for Failing {
    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(StoreError::Io("the disk is full".into()));
        }
        self.left.store(left - 1, Ordering::SeqCst);
        self.inner.append(entries)
    }

    fn snapshot(&mut self, seq: u64, state: &str) -> Result<(), StoreError> {
        self.inner.snapshot(seq, state)
    }
}

/// The exchanges, and what is told to the engine about them.
pub(crate) struct Bench {
    pub(crate) exchanges: Vec<PaperExchange>,
    pub(crate) setup: Setup,
    pub(crate) accounts: Vec<Arc<dyn Account>>,
    pub(crate) venues: Vec<Arc<dyn Venue>>,
    pub(crate) recovery_wait: Duration,
    /// How many batches the journal still takes.
    pub(crate) batches: Arc<AtomicUsize>,
    /// Checks of the user's own.
    pub(crate) user_gates: Vec<Arc<dyn UserGate>>,
}

impl Bench {
    /// One account at each exchange, one agent `demo` that trades on all of them without limits.
    pub(crate) fn new(configs: Vec<Config>) -> Self {
        let share = |config: &Config| AccountShare { account: account(config.id.as_str()), allocation: None, fallback: None };
        let deployment = DeploymentSetup {
            agent: parse("demo"),
            accounts: configs.iter().map(share).collect(),
            limits: Limits::default(),
            stops: Default::default(),
            approval: None,
            scale: Factor::ONE,
        };
        let accounts = configs.iter().map(|config| {
            let setup = AccountSetup { venue: config.id.clone(), market: None, limits: Limits::default(), drift: Default::default() };
            (account(config.id.as_str()), setup)
        });
        let setup = Setup {
            venues: BTreeMap::new(),
            accounts: accounts.collect(),
            agents: BTreeMap::from([(parse("demo"), AgentSetup::default())]),
            deployments: BTreeMap::from([(parse("demo"), deployment)]),
            limits: Limits::default(),
            rates: BTreeMap::from([(parse("USDC"), Factor::ONE)]),
            assets: AssetMap::default(),
            timing: Timing { backoff_min: Duration::from_millis(20), backoff_max: Duration::from_millis(200), ..Timing::default() },
            breakers: Default::default(),
            losses: Default::default(),
            depeg: Default::default(),
        };
        let exchanges: Vec<_> = configs.into_iter().map(|config| PaperExchange::open(config, None).unwrap()).collect();
        let accounts = exchanges.iter().map(|exchange| exchange.account(&account(exchange.config().id.as_str()))).collect();
        let venues = exchanges.iter().map(PaperExchange::venue).collect();
        let (recovery_wait, batches) = (Duration::from_secs(5), Arc::new(AtomicUsize::new(usize::MAX)));
        Self { exchanges, setup, accounts, venues, recovery_wait, batches, user_gates: Vec::new() }
    }

    /// Puts an adapter that misbehaves in front of an account.
    pub(crate) fn faulty(&mut self, place: usize, faults: &[(Fault, usize)]) -> Arc<Faulty> {
        let faulty = Faulty::new(Arc::clone(&self.accounts[place]), faults);
        self.accounts[place] = Arc::clone(&faulty) as Arc<dyn Account>;
        faulty
    }

    /// Puts a venue that is down in the place of one.
    pub(crate) fn broken(&mut self, place: usize, down: Down) -> Arc<Broken> {
        let broken = Arc::new(Broken { inner: Arc::clone(&self.venues[place]), down, up: AtomicBool::new(false) });
        self.venues[place] = Arc::clone(&broken) as Arc<dyn Venue>;
        broken
    }

    /// Opens the engine with its journal in a folder.
    pub(crate) async fn open(&self, folder: &Path) -> Result<Engine, OpenError> {
        let opened = omnivenue::sqlite::open(&folder.join("journal.db"), Options::default()).unwrap();
        let parts = Parts {
            env: SystemEnv::shared(),
            setup: self.setup.clone(),
            venues: self.venues.clone(),
            accounts: self.accounts.clone(),
            journal: Box::new(Failing { inner: opened.journal, left: Arc::clone(&self.batches) }),
            archive: Arc::new(opened.archive),
            namespace: opened.namespace,
            recovery_wait: self.recovery_wait,
            kill_secret: None,
            user_gates: self.user_gates.clone(),
        };
        Engine::open(parts).await
    }

    /// What an exchange holds for its account.
    pub(crate) fn truth(&self, place: usize) -> AccountTruth {
        let exchange = &self.exchanges[place];
        let truth = exchange.with(|server| server.truth()).unwrap();
        truth.accounts[&account(exchange.config().id.as_str())].clone()
    }
}
