//! Agents on a real engine: blocked, hanging and panicking ones delay nobody, each comes back with what it kept, and a trigger handled twice
//! doubles nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use omnivenue_core::agent::{Agent, AgentHandle, AgentInput, AgentState, Candle, Context, Factory, Subscription, Supervision};
use omnivenue_core::engine::{Engine, EngineError, Parts, SystemEnv, Wait};
use omnivenue_core::executor::{AccountSetup, AccountShare, AgentSetup, DeploymentSetup, Limits, Setup, Timing};
use omnivenue_core::journal::MemoryStore;
use omnivenue_core::model::execution::{Execution, Outcome};
use omnivenue_core::model::ids::{AccountId, AgentId, SignalId};
use omnivenue_core::model::instrument::AssetMap;
use omnivenue_core::model::number::Factor;
use omnivenue_core::model::signal::Signal;
use omnivenue_paper::{Config, PaperExchange, PriceSource};
use serde_json::{Value, json};

fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("a valid name")
}

fn signal(id: &SignalId, agent: &AgentId) -> Signal {
    let text = format!(r#"{{"id":"{id}","agent":"{agent}","asset":"HYPE","direction":"long","sizing":{{"notional":"100"}}}}"#);
    Signal::from_json(&text).expect("a valid signal")
}

/// Two exchanges in memory.
fn exchanges() -> Vec<PaperExchange> {
    let open = |(venue, mut config): (&str, Config)| {
        for source in config.prices.values_mut() {
            if let PriceSource::Walk { every, .. } = source {
                *every = Duration::from_millis(100);
            }
        }
        let config = config.with_account(&name(&format!("{venue}-paper")), name("USDC"), name("100000"));
        PaperExchange::open(config, None).expect("the preset is valid")
    };
    [("hyperliquid", Config::hyperliquid_like()), ("ostium", Config::ostium_like())].map(open).into()
}

/// An engine on two exchanges, with three agents.
async fn engine(store: &MemoryStore, exchanges: &[PaperExchange]) -> Engine {
    let account = |exchange: &PaperExchange| {
        let venue = exchange.config().id.clone();
        let id: AccountId = name(&format!("{venue}-paper"));
        (id, AccountSetup { venue, market: None, limits: Limits::default(), drift: Default::default() })
    };
    let accounts: BTreeMap<_, _> = exchanges.iter().map(account).collect();
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
    Engine::open(parts).await.expect("the engine opens")
}

/// An agent that is a closure.
struct Each<F>(Vec<Subscription>, F);

impl<F: FnMut(&AgentInput, &mut Context<'_>) + Send> Agent for Each<F> {
    fn subscriptions(&self) -> Vec<Subscription> {
        self.0.clone()
    }
    fn handle(&mut self, input: &AgentInput, context: &mut Context<'_>) {
        (self.1)(input, context);
    }
}

/// Makes instances that all call the same closure.
fn each(wanted: Vec<Subscription>, handle: impl Fn(&AgentInput, &mut Context<'_>) + Send + Sync + 'static) -> Factory {
    let handle = Arc::new(handle);
    Box::new(move || {
        let handle = Arc::clone(&handle);
        Box::new(Each(wanted.clone(), move |input: &AgentInput, context: &mut Context<'_>| handle(input, context)))
    })
}

fn quotes() -> Vec<Subscription> {
    vec![Subscription::quotes(name("HYPE"))]
}

async fn attach(engine: &Engine, agent: &str, factory: Factory) -> AgentHandle {
    engine.attach(name(agent), factory, Supervision::default()).await.expect("it starts")
}

const TRIGGER: &str = "candle:1767225600";

fn emit(context: &mut Context<'_>) {
    context.emit(TRIGGER, |id, agent| signal(&id, &agent)).expect("a valid signal");
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..6_000 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("in vain: {what}");
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

#[test]
fn a_blocked_and_a_panicking_agent_delay_nobody() {
    block_on(async {
        let (store, exchanges) = (MemoryStore::new(), exchanges());
        let engine = engine(&store, &exchanges).await;
        let (release, never) = mpsc::channel::<()>();
        let never = Mutex::new(never);
        let blocks = each(quotes(), move |_, _| drop(never.lock().map(|never| never.recv())));
        let patience = Supervision { hang_after: Duration::from_millis(50), ..Supervision::default() };
        let blocked = engine.attach(name("blocked"), blocks, patience).await.expect("it starts");
        let quick = Supervision { pause: Duration::from_millis(1), ..Supervision::default() };
        let panics = each(quotes(), |_, _| panic!("a bug in a strategy"));
        let broken = engine.attach(name("broken"), panics, quick).await.expect("it starts");
        let (tell, told) = mpsc::channel::<Execution>();
        let busy = each(Vec::new(), move |input, context| match input {
            AgentInput::Started { .. } => emit(context),
            AgentInput::Execution(execution) => drop(tell.send((**execution).clone())),
            _ => {}
        });
        let busy = attach(&engine, "busy", busy).await;
        // The third one's signal goes through, and so does a caller's.
        let done = std::iter::from_fn(|| told.recv_timeout(Duration::from_secs(30)).ok())
            .find(|execution| execution.legs.iter().all(|leg| leg.outcome == Some(Outcome::Filled)));
        let done = done.expect("its signal is carried out");
        assert_eq!((done.signal_id.as_str(), done.legs.len()), ("busy/candle:1767225600/0", 2));
        let execution = engine.execute(signal(&name("mine"), &name("blocked")), Wait::Settled).await.expect("it is taken");
        assert!(execution.legs.iter().all(|leg| leg.outcome == Some(Outcome::Filled)), "{execution:?}");
        // The one that panics again and again stays down, and says why; the one that hangs is shown.
        eventually("the budget is used up", || broken.has_ended().then_some(()));
        eventually("it counts as hanging", || (blocked.status().state == AgentState::Hanging).then_some(()));
        let health = engine.health().await.expect("it answers");
        let of = |agent: &str| health.agents.iter().find(|status| status.agent.as_str() == agent).expect("it is listed");
        let status = of("broken");
        assert_eq!((status.state, status.restarts, status.reason.as_deref()), (AgentState::Failed, 5, Some("a bug in a strategy")));
        assert_eq!(of("blocked").state, AgentState::Hanging);
        assert_eq!((of("busy").state, of("busy").emitted), (AgentState::Running, 1));
        assert!(broken.has_panicked() && !blocked.has_ended() && !busy.has_ended());
        let unknown = engine.attach(name("nobody"), each(Vec::new(), |_, _| {}), Supervision::default()).await;
        assert!(matches!(unknown, Err(EngineError::Command(_))), "{unknown:?}");
        drop(release);
        engine.shutdown().await.expect("it closes");
    });
}

#[test]
fn an_agent_that_panics_comes_back_with_what_it_kept_and_is_told_what_it_missed() {
    block_on(async {
        let (store, exchanges) = (MemoryStore::new(), exchanges());
        let engine = engine(&store, &exchanges).await;
        let (tell, told) = mpsc::channel::<(Value, u64, usize)>();
        let count = AtomicU32::new(0);
        let agent = each(quotes(), move |input, context| match input {
            AgentInput::Started { checkpoint, restarts, positions } => {
                let kept = json!({ "checkpoint": checkpoint, "restarts": restarts });
                tell.send((kept, 0, positions.len())).expect("the test listens");
                if checkpoint.is_none() {
                    emit(context);
                    context.checkpoint(json!({ "emitted": TRIGGER })).expect("it is short");
                }
            }
            AgentInput::Missed { inputs } => tell.send((Value::Null, *inputs, 0)).expect("the test listens"),
            // While it is slow, quotes pile up behind it; those are missed with the panic.
            AgentInput::Quote { .. } if count.fetch_add(1, Ordering::Relaxed) == 3 => {
                std::thread::sleep(Duration::from_millis(1_500));
                panic!("a bug in a strategy");
            }
            _ => {}
        });
        let handle = attach(&engine, "busy", agent).await;
        let next = || told.recv_timeout(Duration::from_secs(10)).expect("it is told");
        assert_eq!(next(), (json!({ "checkpoint": null, "restarts": 0 }), 0, 0));
        eventually("it panics", || handle.has_panicked().then_some(()));
        let panicked = std::time::Duration::from_secs(5);
        let (kept, _, positions) = told.recv_timeout(panicked).expect("a new instance begins within five seconds");
        assert_eq!(kept, json!({ "checkpoint": { "emitted": TRIGGER }, "restarts": 1 }));
        assert_eq!(positions, 2, "what its signal opened is told");
        let (_, missed, _) = next();
        assert!(missed > 1 && handle.dropped() == missed, "{missed} of {}", handle.dropped());
        eventually("it goes on", || (count_of(&handle) > 10).then_some(()));
        assert_eq!((handle.restarts(), handle.has_ended()), (1, false));
        engine.detach(&name("busy")).await.expect("it is at work");
        eventually("it has ended", || handle.has_ended().then_some(()));
        assert_eq!(handle.status().state, AgentState::Stopped);
        engine.shutdown().await.expect("it closes");
    });
}

fn count_of(handle: &AgentHandle) -> u64 {
    handle.status().handled
}

#[test]
fn prices_that_pile_up_are_dropped_counted_and_do_not_crowd_out_news_of_orders() {
    block_on(async {
        let (store, exchanges) = (MemoryStore::new(), exchanges());
        let engine = engine(&store, &exchanges).await;
        let (release, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let (tell, told) = mpsc::channel::<&'static str>();
        // Every instrument, so that they pile up soon.
        let all = |venue: &str, symbols: &[&str]| {
            symbols.iter().map(|symbol| Subscription::quotes(name("X")).of(name(venue), name(symbol))).collect::<Vec<_>>()
        };
        let mut wanted = all("hyperliquid", &["HYPE", "BTC", "ETH", "SOL", "kPEPE"]);
        wanted.extend(all("ostium", &["HYPE-USD", "BTC-USD", "ETH-USD", "XAU-USD", "EUR-USD"]));
        let slow = each(wanted, move |input, context| {
            let kind = match input {
                AgentInput::Started { .. } => {
                    emit(context);
                    "started"
                }
                AgentInput::Quote { .. } => "quote",
                AgentInput::Fill(_) => "fill",
                AgentInput::Missed { .. } => "missed",
                _ => "other",
            };
            tell.send(kind).expect("the test listens");
            if kind == "quote" {
                let _ = wait.lock().map(|wait| wait.recv());
            }
        });
        let handle = attach(&engine, "busy", slow).await;
        eventually("its queue is full of prices", || (handle.dropped() > 10).then_some(()));
        assert!(handle.status().waiting < omnivenue_core::agent::QUEUE, "room is left for news");
        let by_hand = engine.execute(signal(&name("by-hand"), &name("busy")), Wait::Settled).await.expect("it is taken");
        assert!(by_hand.legs.iter().all(|leg| leg.outcome == Some(Outcome::Filled)), "{by_hand:?}");
        drop(release);
        let mut kinds = BTreeMap::<&str, usize>::new();
        for kind in std::iter::from_fn(|| told.recv_timeout(Duration::from_secs(10)).ok()).take(omnivenue_core::agent::QUEUE) {
            *kinds.entry(kind).or_default() += 1;
        }
        assert_eq!(kinds.get("fill"), Some(&4), "of both signals on both venues: {kinds:?}");
        assert!(kinds.contains_key("missed"), "{kinds:?}");
        engine.shutdown().await.expect("it closes");
    });
}

#[test]
fn candles_and_timers_come_to_whoever_asked_for_them() {
    block_on(async {
        let (store, exchanges) = (MemoryStore::new(), exchanges());
        let engine = engine(&store, &exchanges).await;
        let (tell, told) = mpsc::channel::<Result<Candle, String>>();
        let wanted = vec![Subscription::candles(name("HYPE"), name("1s"))];
        let agent = each(wanted, move |input, context| match input {
            AgentInput::Started { .. } => {
                context.wake_after(Duration::from_millis(20), "once");
                context.wake_every(Duration::from_millis(10), "often");
            }
            AgentInput::Candle(candle) => drop(tell.send(Ok(candle.clone()))),
            AgentInput::Timer { name } => drop(tell.send(Err(name.clone()))),
            _ => panic!("nobody asked for {input:?}"),
        });
        let handle = attach(&engine, "busy", agent).await;
        let (mut candles, mut timers) = (Vec::new(), BTreeMap::<String, u32>::new());
        while candles.len() < 3 {
            match told.recv_timeout(Duration::from_secs(10)).expect("it is told") {
                Ok(candle) => candles.push(candle),
                Err(timer) => *timers.entry(timer).or_default() += 1,
            }
        }
        assert_eq!(timers.get("once"), Some(&1));
        assert!(timers.get("often").is_some_and(|count| *count > 10), "{timers:?}");
        for candle in &candles {
            assert_eq!((candle.venue.as_str(), candle.symbol.as_str()), ("hyperliquid", "HYPE"), "where it trades first");
            assert!(candle.low <= candle.open.min(candle.close) && candle.open.max(candle.close) <= candle.high, "{candle:?}");
            assert_eq!(candle.open_time.as_micros() % 1_000_000, 0);
        }
        assert_eq!(handle.restarts(), 0);
        engine.shutdown().await.expect("it closes");
    });
}

#[test]
fn a_trigger_handled_again_after_a_restart_is_the_same_signal() {
    block_on(async {
        let (store, exchanges) = (MemoryStore::new(), exchanges());
        let first = engine(&store, &exchanges).await;
        for expected in [1, 1] {
            // Another one of the same name ends the one before it.
            let busy = each(Vec::new(), |input, context| {
                if matches!(input, AgentInput::Started { .. }) {
                    emit(context);
                }
            });
            let _busy = attach(&first, "busy", busy).await;
            let execution = loop {
                if let Some(execution) = first.execution(&name("busy/candle:1767225600/0")).await.expect("it reads") {
                    break execution;
                }
                std::thread::sleep(Duration::from_millis(5));
            };
            assert_eq!(execution.legs.len(), 2);
            let admitted = store.entries().iter().filter(|entry| entry.body.contains("\"admitted\"")).count();
            assert_eq!(admitted, expected, "one execution, however often it is emitted");
        }
        first.shutdown().await.expect("it closes");
    });
}

/// An agent that emits once, and keeps that it has.
fn emits_once(tell: mpsc::Sender<Option<Value>>) -> Factory {
    let tell = Mutex::new(tell);
    each(Vec::new(), move |input, context| {
        let AgentInput::Started { checkpoint, .. } = input else { return };
        let _ = tell.lock().map(|tell| tell.send(checkpoint.clone()));
        if checkpoint.is_none() {
            emit(context);
            context.checkpoint(json!({ "emitted": TRIGGER })).expect("it is short");
        }
    })
}

/// FIELD: a signal made inside the process under a random id doubles exposure after a crash between emission and checkpoint.
#[test]
fn killed_between_emission_and_checkpoint_nothing_is_doubled() {
    block_on(async {
        let (store, exchanges) = (MemoryStore::new(), exchanges());
        let held = |exchange: &PaperExchange| exchange.with(|server| server.truth()).expect("it runs").accounts;
        let orders = || exchanges.iter().flat_map(held).map(|(_, account)| account.orders.len()).sum::<usize>();
        let id: SignalId = name("busy/candle:1767225600/0");
        let first = engine(&store, &exchanges).await;
        let (tell, told) = mpsc::channel();
        let _busy = attach(&first, "busy", emits_once(tell)).await;
        assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(None));
        let settled = |execution: &Execution| execution.legs.iter().all(|leg| leg.outcome == Some(Outcome::Filled));
        let done = loop {
            if let Some(execution) = first.execution(&id).await.expect("it reads").filter(settled) {
                break execution;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        first.shutdown().await.expect("it closes");
        assert_eq!(orders(), 2);
        let bodies: Vec<String> = store.entries().into_iter().map(|entry| entry.body).collect();
        let last = |what: &str| bodies.iter().rposition(|body| body.contains(what)).expect("it was written down");
        let (sent, kept) = (last("\"event\":\"prepared\""), last("\"event\":\"checkpointed\""));
        assert!(bodies.iter().position(|body| body.contains("\"event\":\"admitted\"")) < Some(kept), "signals come before what is kept");
        // Whatever is lost with the process after the orders have left: with or without the checkpoint, the same signal is the same one.
        for count in sent + 1..=bodies.len() {
            let rest = store.truncated(count);
            let again = engine(&rest, &exchanges).await;
            let (tell, told) = mpsc::channel();
            let _busy = attach(&again, "busy", emits_once(tell)).await;
            let checkpoint = told.recv_timeout(Duration::from_secs(10)).expect("it starts");
            assert_eq!(checkpoint.is_some(), count > kept, "after {count} entries");
            let execution = again.execute(signal(&id, &name("busy")), Wait::Settled).await.expect("it is the same signal");
            assert!(settled(&execution), "{execution:?}");
            assert_eq!(execution.legs[0].client_order_id, done.legs[0].client_order_id);
            assert_eq!(orders(), 2, "nothing was doubled after {count} entries");
            again.shutdown().await.expect("it closes");
        }
    });
}

#[test]
fn a_trigger_used_for_something_else_is_a_conflict_that_the_agent_is_told() {
    block_on(async {
        let (store, exchanges) = (MemoryStore::new(), exchanges());
        let engine = engine(&store, &exchanges).await;
        let (tell, told) = mpsc::channel::<(SignalId, String)>();
        let agent = each(Vec::new(), move |input, context| match input {
            AgentInput::Started { .. } => {
                emit(context);
                context.wake_after(Duration::ZERO, "again");
            }
            AgentInput::Timer { .. } => {
                let other = |id: SignalId, agent: AgentId| Signal { asset: name("BTC"), ..signal(&id, &agent) };
                context.emit(TRIGGER, other).expect("a valid signal");
            }
            AgentInput::Refused { signal, code, .. } => drop(tell.send((signal.clone(), code.clone()))),
            _ => {}
        });
        let _busy = attach(&engine, "busy", agent).await;
        let refused = told.recv_timeout(Duration::from_secs(10)).expect("it is told");
        assert_eq!(refused, (name("busy/candle:1767225600/0"), "conflict".to_owned()));
        engine.shutdown().await.expect("it closes");
    });
}
