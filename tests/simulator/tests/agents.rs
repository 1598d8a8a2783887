//! Agents on a real engine: one that blocks for ever and one that panics delay nobody, and a trigger handled twice doubles nothing.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use omnivenue_core::agent::{Agent, AgentInput, Context};
use omnivenue_core::engine::{Engine, Parts, SystemEnv, Wait};
use omnivenue_core::executor::{AccountSetup, AccountShare, AgentSetup, DeploymentSetup, Limits, Setup, Timing};
use omnivenue_core::journal::MemoryStore;
use omnivenue_core::model::execution::{Execution, Outcome};
use omnivenue_core::model::ids::{AgentId, SignalId};
use omnivenue_core::model::instrument::AssetMap;
use omnivenue_core::model::number::Factor;
use omnivenue_core::model::signal::Signal;
use omnivenue_paper::{Config, PaperExchange};

fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("a valid name")
}

fn signal(id: &SignalId, agent: &AgentId) -> Signal {
    let text = format!(r#"{{"id":"{id}","agent":"{agent}","asset":"HYPE","direction":"long","sizing":{{"notional":"100"}}}}"#);
    Signal::from_json(&text).expect("a valid signal")
}

/// An engine on two exchanges in memory, with three agents.
async fn engine(store: &MemoryStore) -> (Engine, Vec<PaperExchange>) {
    let mut exchanges = Vec::new();
    let mut accounts = BTreeMap::new();
    for (venue, config) in [("hyperliquid", Config::hyperliquid_like()), ("ostium", Config::ostium_like())] {
        let account = name(&format!("{venue}-paper"));
        let config = config.with_account(&account, name("USDC"), name("100000"));
        accounts.insert(account, AccountSetup { venue: name(venue), market: None, limits: Limits::default(), drift: Default::default() });
        exchanges.push(PaperExchange::open(config, None).expect("the preset is valid"));
    }
    let shares: Vec<AccountShare> =
        accounts.keys().map(|account| AccountShare { account: account.clone(), allocation: None, fallback: None }).collect();
    let deployment = |agent: &str| DeploymentSetup {
        agent: name(agent),
        accounts: shares.clone(),
        limits: Limits::default(),
        stops: Default::default(),
        approval: None,
        scale: Factor::ONE,
    };
    let agents = ["blocked", "broken", "busy"];
    let setup = Setup {
        venues: BTreeMap::new(),
        agents: agents.iter().map(|agent| (name(agent), AgentSetup::default())).collect(),
        deployments: agents.iter().map(|agent| (name(agent), deployment(agent))).collect(),
        limits: Limits::default(),
        rates: BTreeMap::from([(name("USDC"), Factor::ONE)]),
        assets: AssetMap::default(),
        timing: Timing::default(),
        breakers: Default::default(),
        losses: Default::default(),
        depeg: Default::default(),
        accounts: accounts.clone(),
    };
    let parts = Parts {
        env: SystemEnv::shared(),
        setup,
        venues: exchanges.iter().map(PaperExchange::venue).collect(),
        accounts: exchanges.iter().zip(accounts.keys()).map(|(exchange, account)| exchange.account(account)).collect(),
        journal: Box::new(store.clone()),
        archive: std::sync::Arc::new(store.clone()),
        namespace: "agents".into(),
        recovery_wait: Duration::from_secs(10),
        kill_secret: None,
        user_gates: Vec::new(),
    };
    (Engine::open(parts).await.expect("the engine opens"), exchanges)
}

/// Takes one input and never comes back.
struct Blocked(AgentId, mpsc::Receiver<()>);

impl Agent for Blocked {
    fn id(&self) -> &AgentId {
        &self.0
    }
    fn handle(&mut self, _: &AgentInput, _: &mut Context<'_>) {
        let _ = self.1.recv();
    }
}

struct Broken(AgentId);

impl Agent for Broken {
    fn id(&self) -> &AgentId {
        &self.0
    }
    fn handle(&mut self, _: &AgentInput, _: &mut Context<'_>) {
        panic!("a bug in a strategy");
    }
}

/// Emits one signal when it starts, and tells what became of it.
struct Busy(AgentId, mpsc::Sender<Execution>);

impl Agent for Busy {
    fn id(&self) -> &AgentId {
        &self.0
    }
    fn handle(&mut self, input: &AgentInput, context: &mut Context<'_>) {
        match input {
            AgentInput::Started => {
                context.emit("candle:1767225600", |id, agent| signal(&id, &agent)).expect("a valid signal");
            }
            AgentInput::Execution(execution) => drop(self.1.send((**execution).clone())),
            AgentInput::Quote { .. } => {}
        }
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

#[test]
fn a_blocked_and_a_panicking_agent_delay_nobody() {
    block_on(async {
        let store = MemoryStore::new();
        let (engine, _exchanges) = engine(&store).await;
        let (release, never) = mpsc::channel();
        let blocked = engine.attach(Box::new(Blocked(name("blocked"), never))).await.expect("it starts");
        let broken = engine.attach(Box::new(Broken(name("broken")))).await.expect("it starts");
        let (tell, told) = mpsc::channel();
        let busy = engine.attach(Box::new(Busy(name("busy"), tell))).await.expect("it starts");
        // The third one's signal goes through, and so does a caller's.
        let done = std::iter::from_fn(|| told.recv_timeout(Duration::from_secs(30)).ok())
            .find(|execution| execution.legs.iter().all(|leg| leg.outcome == Some(Outcome::Filled)));
        let done = done.expect("its signal is carried out");
        assert_eq!((done.signal_id.as_str(), done.legs.len()), ("busy/candle:1767225600/0", 2));
        let execution = engine.execute(signal(&name("mine"), &name("blocked")), Wait::Settled).await.expect("it is taken");
        assert!(execution.legs.iter().all(|leg| leg.outcome == Some(Outcome::Filled)), "{execution:?}");
        // More prices than its queue holds are dropped, not waited for.
        let patience = std::iter::repeat_n((), 600).find(|()| {
            std::thread::sleep(Duration::from_millis(50));
            broken.has_panicked()
        });
        assert!(patience.is_some() && broken.has_ended(), "the panic ended that agent");
        assert!(!blocked.has_ended() && !busy.has_ended());
        drop(release);
        engine.shutdown().await.expect("it closes");
    });
}

#[test]
fn a_trigger_handled_again_after_a_restart_is_the_same_signal() {
    block_on(async {
        let store = MemoryStore::new();
        let (first, _exchanges) = engine(&store).await;
        for expected in [1, 1] {
            let (tell, told) = mpsc::channel();
            let _busy = first.attach(Box::new(Busy(name("busy"), tell))).await.expect("it starts");
            let execution = loop {
                if let Some(execution) = first.execution(&name("busy/candle:1767225600/0")).await.expect("it reads") {
                    break execution;
                }
                std::thread::sleep(Duration::from_millis(5));
            };
            drop(told);
            assert_eq!(execution.legs.len(), 2);
            let admitted = store.entries().iter().filter(|entry| entry.body.contains("\"admitted\"")).count();
            assert_eq!(admitted, expected, "one execution, however often it is emitted");
        }
        first.shutdown().await.expect("it closes");
    });
}
