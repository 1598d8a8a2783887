//! Checks of the user's own: they are asked once, before anything is decided, and where they do not answer, nothing is opened. What they do
//! wrong is their agent's alone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use omnivenue::Wait;
use omnivenue::engine::Engine;
use omnivenue::gates::{UserGate, UserGateError, UserQuestion, UserVerdict};
use omnivenue::journal::{Archive, Event};
use omnivenue::model::execution::{Execution, Outcome};
use omnivenue::model::signal::Signal;

use crate::bench::{Bench, block_on, parse, quiet};
use crate::support::{contains, eventually, micros, signal};

type Answer = Box<dyn Fn(&UserQuestion) -> Result<UserVerdict, UserGateError> + Send + Sync>;

/// A gate that answers as a test says, and counts how often it was asked.
struct Asked {
    name: &'static str,
    answer: Answer,
    count: AtomicUsize,
}

impl Asked {
    fn new(name: &'static str, answer: impl Fn(&UserQuestion) -> Result<UserVerdict, UserGateError> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { name, answer: Box::new(answer), count: AtomicUsize::new(0) })
    }
}

impl UserGate for Asked {
    fn name(&self) -> &str {
        self.name
    }

    fn check(&self, question: &UserQuestion) -> Result<UserVerdict, UserGateError> {
        self.count.fetch_add(1, Ordering::SeqCst);
        (self.answer)(question)
    }
}

/// Two agents on one account each, and gates with plenty of time to answer unless a test says otherwise.
fn bench(gates: &[Arc<Asked>]) -> Bench {
    let mut bench = Bench::new(vec![quiet("first", Duration::ZERO), quiet("second", Duration::ZERO)]);
    let mut other = bench.setup.deployments[&parse("demo")].clone();
    other.agent = parse("other");
    other.accounts.remove(0);
    bench.setup.agents.insert(parse("other"), Default::default());
    bench.setup.deployments.insert(parse("other"), other);
    bench.setup.deployments.get_mut(&parse("demo")).unwrap().accounts.truncate(1);
    bench.setup.timing.user_gate_deadline = Duration::from_secs(30);
    bench.user_gates = gates.iter().map(|gate| Arc::clone(gate) as Arc<dyn UserGate>).collect();
    bench
}

fn wish(id: &str, agent: &str) -> Signal {
    Signal::from_json(&signal(id, agent, "HYPE", "1000")).unwrap()
}

fn send(engine: &Engine, id: &str, agent: &str) -> Execution {
    block_on(engine.execute(wish(id, agent), Wait::Settled)).unwrap()
}

/// The sentence with which a leg was refused by a user gate.
fn refused(execution: &Execution) -> String {
    let [leg] = execution.legs.as_slice() else { panic!("{execution:?}") };
    assert_eq!((leg.outcome, leg.code.as_deref()), (Some(Outcome::Refused), Some("user_gate")), "{leg:?}");
    assert!(leg.client_order_id.is_none() && leg.filled_quantity.is_zero(), "{leg:?}");
    leg.reason.clone().unwrap()
}

fn filled(execution: &Execution) -> String {
    let [leg] = execution.legs.as_slice() else { panic!("{execution:?}") };
    assert_eq!(leg.outcome, Some(Outcome::Filled), "{leg:?}");
    leg.filled_quantity.to_string()
}

#[test]
fn a_gate_sees_the_leg_and_may_pass_shrink_or_refuse_it() {
    let folder = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let gate = Asked::new("house", move |question| {
        told.lock().unwrap().push(question.clone());
        Ok(match question.signal.id.as_str() {
            "pass" => UserVerdict::Pass,
            "half" => UserVerdict::Shrink("0.5".parse().unwrap()),
            "tiny" => UserVerdict::Shrink("0.000001".parse().unwrap()),
            _ => UserVerdict::Refuse("the moon is full".into()),
        })
    });
    let bench = bench(&[Arc::clone(&gate)]);
    let engine = block_on(bench.open(folder.path())).unwrap();
    let mut wide = wish("pass", "demo");
    wide.metadata.insert("note".into(), "for the gate".into());
    let whole = filled(&block_on(engine.execute(wide, Wait::Settled)).unwrap());
    let half = filled(&send(&engine, "half", "demo"));
    let (whole, half): (f64, f64) = (whole.parse().unwrap(), half.parse().unwrap());
    assert!((whole / 2.0 - half).abs() <= 0.01, "half of {whole} in whole lots is {half}");
    contains(&refused(&send(&engine, "no", "demo")), &["house", "the moon is full"]);
    contains(&refused(&send(&engine, "tiny", "demo")), &["house", "less than can be traded"]);
    {
        let seen = seen.lock().unwrap();
        let first = &seen[0];
        let place = (first.agent.as_str(), first.deployment.as_str(), first.account.as_str(), first.venue.as_str());
        assert_eq!(place, ("demo", "demo", "first-account", "first"));
        assert_eq!(first.instrument.as_ref().map(|symbol| symbol.as_str()), Some("HYPE"));
        assert_eq!(first.quote.as_ref().map(|quote| quote.bid.to_string()), Some("38".into()));
        assert_eq!(first.signal.metadata["note"], "for the gate");
        assert_eq!(seen.len(), 4);
    }
    // The journal explains it, and a signal that was taken before is not asked about again.
    assert_eq!(filled(&send(&engine, "half", "demo")), half.to_string());
    block_on(engine.shutdown()).unwrap();
    let opened = omnivenue::sqlite::open(&folder.path().join("journal.db"), Default::default()).unwrap();
    let entries = opened.archive.entries_after(0, 10_000).unwrap();
    let rulings = entries.iter().find_map(|entry| match entry.event().unwrap() {
        Event::Admitted(admission) if admission.command.id().as_str() == "half" => admission.rulings,
        _ => None,
    });
    let [ruling] = &rulings.unwrap()[..] else { panic!("one leg was asked about") };
    assert_eq!((ruling.gate.as_deref(), &ruling.verdict), (Some("house"), &UserVerdict::Shrink("0.5".parse().unwrap())));
    drop(opened);
    let engine = block_on(bench.open(folder.path())).unwrap();
    contains(&refused(&send(&engine, "no", "demo")), &["the moon is full"]);
    assert_eq!(gate.count.load(Ordering::SeqCst), 4, "not after a restart either");
    block_on(engine.shutdown()).unwrap();
}

#[test]
fn a_gate_that_panics_or_fails_refuses_and_is_asked_again_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Asked::new("shaky", |question| match question.signal.id.as_str() {
        "panics" => panic!("a mistake in a gate"),
        "fails" => Err("the model server is down".into()),
        _ => Ok(UserVerdict::Pass),
    });
    let bench = bench(&[gate]);
    let engine = block_on(bench.open(folder.path())).unwrap();
    contains(&refused(&send(&engine, "panics", "demo")), &["shaky", "it panicked"]);
    contains(&refused(&send(&engine, "fails", "demo")), &["shaky", "the model server is down"]);
    filled(&send(&engine, "fine", "demo"));
    block_on(engine.shutdown()).unwrap();
}

#[test]
fn a_gate_that_hangs_refuses_its_agents_signals_and_delays_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let gate = Asked::new("slow", move |question| {
        if question.agent.as_str() == "demo" {
            let _ = held.lock().unwrap().recv();
        }
        Ok(UserVerdict::Pass)
    });
    let mut bench = bench(&[Arc::clone(&gate)]);
    bench.setup.timing.user_gate_deadline = Duration::from_secs(3);
    let engine = block_on(bench.open(folder.path())).unwrap();
    block_on(async {
        let slow = tokio::spawn({
            let engine = engine.clone();
            async move { engine.execute(wish("hangs", "demo"), Wait::Settled).await.unwrap() }
        });
        let again = tokio::spawn({
            let engine = engine.clone();
            async move { engine.execute(wish("hangs", "demo"), Wait::Settled).await.unwrap() }
        });
        while gate.count.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let began = micros();
        for number in 0..10 {
            filled(&engine.execute(wish(&format!("other-{number}"), "other"), Wait::Settled).await.unwrap());
        }
        assert!(!slow.is_finished(), "the others did not wait for it: {} µs", micros() - began);
        // What waits behind it is refused too, in its own time.
        let behind = engine.execute(wish("behind", "demo"), Wait::Settled).await.unwrap();
        contains(&refused(&behind), &["slow", "did not answer within 3s"]);
        let (first, second) = (slow.await.unwrap(), again.await.unwrap());
        contains(&refused(&first), &["slow", "did not answer within 3s"]);
        assert_eq!(first, second, "sent twice while it was asked about, it is one execution");
    });
    let asked = gate.count.load(Ordering::SeqCst);
    assert_eq!(asked, 11, "once for the one that hangs, and for each of the others");
    // A hanging gate does not hold the engine back from ending, nor a caller who waits for it.
    let waits = {
        let engine = engine.clone();
        std::thread::spawn(move || block_on(engine.execute(wish("last", "demo"), Wait::Settled)))
    };
    let began = micros();
    block_on(engine.shutdown()).unwrap();
    assert!(micros() - began < 2_500_000, "{} µs", micros() - began);
    let last = waits.join().unwrap();
    assert!(last.is_err() || refused(last.as_ref().unwrap()).contains("slow"), "{last:?}");
    drop(release);
}

#[test]
fn a_late_answer_changes_nothing_and_the_next_signal_is_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let gate = Asked::new("late", move |question| {
        if question.signal.id.as_str() == "late" {
            let _ = held.lock().unwrap().recv();
        }
        Ok(UserVerdict::Pass)
    });
    let mut bench = bench(&[Arc::clone(&gate)]);
    bench.setup.timing.user_gate_deadline = Duration::from_millis(200);
    let engine = block_on(bench.open(folder.path())).unwrap();
    contains(&refused(&send(&engine, "late", "demo")), &["did not answer within 200ms"]);
    release.send(()).unwrap();
    eventually("the gate answers in time again", || {
        let id = format!("next-{}", micros());
        let execution = send(&engine, &id, "demo");
        (execution.legs[0].outcome == Some(Outcome::Filled)).then_some(())
    });
    contains(&refused(&send(&engine, "late", "demo")), &["did not answer within 200ms"]);
    block_on(engine.shutdown()).unwrap();
}

#[test]
fn every_gate_is_asked_and_the_gravest_counts() {
    let folder = tempfile::tempdir().unwrap();
    let half = Asked::new("half", |_| Ok(UserVerdict::Shrink("0.5".parse().unwrap())));
    let no = Asked::new("no", |question| {
        let stop = question.signal.id.as_str() == "stop";
        Ok(if stop { UserVerdict::Refuse("not now".into()) } else { UserVerdict::Pass })
    });
    let bench = bench(&[Arc::clone(&half), Arc::clone(&no)]);
    let engine = block_on(bench.open(folder.path())).unwrap();
    let part = filled(&send(&engine, "go", "demo"));
    assert!(part.starts_with("13."), "half of 1000 at 38 and a little: {part}");
    contains(&refused(&send(&engine, "stop", "demo")), &["no: not now"]);
    let late = Asked::new("third", |_| Ok(UserVerdict::Refuse("closed".into())));
    block_on(engine.add_gate(Arc::clone(&late) as Arc<dyn UserGate>)).unwrap();
    let twice = block_on(engine.add_gate(late)).unwrap_err();
    assert_eq!(twice.code(), "invalid", "{twice}");
    contains(&refused(&send(&engine, "after", "demo")), &["third: closed"]);
    block_on(engine.shutdown()).unwrap();
}
