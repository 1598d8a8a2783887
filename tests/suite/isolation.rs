//! One leg's failure is its own: slow, broken, panicking and hanging venues, callers who leave, and many who ask at once.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use omnivenue::engine::{Engine, EngineError};
use omnivenue::executor::{CommandError, Limits};
use omnivenue::model::execution::{Execution, ExecutionStatus, LegReport, Outcome};
use omnivenue::model::ids::SignalId;
use omnivenue::model::number::Notional;
use omnivenue::model::signal::Signal;
use omnivenue::venue::Absence;
use omnivenue::{CloseRequest, CloseTarget, Wait};

use crate::bench::{Bench, Down, Fault, block_on, parse, quiet};
use crate::support::{eventually, signal};

const QUICK: Duration = Duration::from_millis(20);

fn entry(id: &str, notional: &str) -> Signal {
    Signal::from_json(&signal(id, "demo", "HYPE", notional)).unwrap()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("venue-{number}")).collect()
}

fn filled(leg: &LegReport) {
    assert_eq!((leg.outcome, leg.quantity), (Some(Outcome::Filled), Some(leg.filled_quantity)), "{leg:?}");
}

/// What became of a signal, once nothing more of it can happen.
fn settled(engine: &Engine, id: &str) -> Execution {
    let id = SignalId::new(id).unwrap();
    eventually("the execution is done", || {
        block_on(engine.execution(&id)).unwrap().filter(|execution| execution.status == ExecutionStatus::Done)
    })
}

/// Microseconds from the start of an execution until the last of these legs was acknowledged.
fn slowest<'a>(legs: impl IntoIterator<Item = &'a LegReport>) -> u64 {
    legs.into_iter().map(|leg| leg.timings_us.acknowledged.expect("it was acknowledged")).max().unwrap()
}

#[test]
fn nine_venues_do_not_notice_that_the_tenth_is_slow() {
    let slow = Duration::from_secs(2);
    let run = |tenth: Option<Duration>| {
        let folder = tempfile::tempdir().unwrap();
        let mut configs: Vec<_> = names(9).iter().map(|name| quiet(name, QUICK)).collect();
        configs.extend(tenth.map(|latency| quiet("tenth", latency)));
        let bench = Bench::new(configs);
        block_on(async {
            let engine = bench.open(folder.path()).await.unwrap();
            engine.execute(entry("warm", "100"), Wait::Acknowledged).await.unwrap();
            let execution = engine.execute(entry("s-1", "100"), Wait::Acknowledged).await.unwrap();
            engine.shutdown().await.unwrap();
            execution.legs
        })
    };
    let alone = run(None);
    let beside = run(Some(slow));
    alone.iter().chain(&beside).for_each(filled);
    let (tenth, nine) = beside.split_last().unwrap();
    let (alone, nine, tenth) = (slowest(&alone), slowest(nine), slowest([tenth]));
    println!("nine legs: {alone} µs alone, {nine} µs beside one that took {tenth} µs");
    let least = u64::try_from(slow.as_micros()).unwrap();
    assert!(tenth >= least, "the tenth is slow: {tenth}");
    assert!(nine < (10 * alone).max(least / 2), "as if it were not there: {nine}, and {alone} alone");
}

#[test]
fn a_slow_venue_does_not_hold_up_the_signals_that_follow() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(vec![quiet("quick", QUICK), quiet("slow", Duration::from_secs(2))]);
    block_on(async {
        let engine = bench.open(folder.path()).await.unwrap();
        engine.execute(entry("warm", "100"), Wait::Acknowledged).await.unwrap();
        let sent: Vec<String> = (0..20).map(|number| format!("s-{number}")).collect();
        for id in &sent {
            engine.execute(entry(id, "100"), Wait::Journaled).await.unwrap();
        }
        let mut last = Vec::new();
        for id in &sent {
            let execution = engine.execute(entry(id, "100"), Wait::Settled).await.unwrap();
            execution.legs.iter().for_each(filled);
            last.push(execution);
        }
        let quick = slowest(last.iter().map(|execution| &execution.legs[0]));
        let slow = last.iter().map(|execution| slowest([&execution.legs[1]])).min().unwrap();
        assert!(quick < slow, "every quick leg ({quick} µs at most) before any slow one ({slow} µs at least)");
        engine.shutdown().await.unwrap();
    });
}

/// Three venues, the middle one with faults: the others fill at once, and then everything is as it should be.
fn beside(faults: &[(Fault, usize)], absence: Option<Absence>, outcome: Outcome) -> (Execution, usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut configs: Vec<_> = names(3).iter().map(|name| quiet(name, QUICK)).collect();
    if let Some(absence) = absence {
        configs[1].orders.resend = omnivenue::venue::Resend::AfterProof;
        configs[1].orders.absence = absence;
    }
    let mut bench = Bench::new(configs);
    bench.setup.timing.leg_deadline = Duration::from_secs(1);
    let faulty = bench.faulty(1, faults);
    let engine = block_on(bench.open(folder.path())).unwrap();
    let mut wish = entry("s-1", "100");
    if outcome == Outcome::Expired {
        wish.valid_for = Duration::from_secs(3);
    }
    let first = block_on(engine.execute(wish.clone(), Wait::Acknowledged)).unwrap();
    filled(&first.legs[0]);
    filled(&first.legs[2]);
    let last = settled(&engine, "s-1");
    let leg = &last.legs[1];
    assert_eq!(leg.outcome, Some(outcome), "{leg:?}");
    assert_eq!((&first.legs[0], &first.legs[2]), (&last.legs[0], &last.legs[2]));
    for place in 0..3 {
        let truth = bench.truth(place);
        let expected = usize::from(place != 1 || outcome == Outcome::Filled);
        assert_eq!(truth.orders.len(), expected, "orders at venue {place}: {:?}", truth.orders);
        let held = truth.positions.values().next().map(|position| position.quantity.magnitude()).unwrap_or_default();
        assert_eq!(held, last.legs[place].filled_quantity);
    }
    // The engine is whole, and so is the account, once its adapter is.
    let next = block_on(engine.execute(entry("s-2", "100"), Wait::Settled)).unwrap();
    next.legs.iter().for_each(filled);
    block_on(engine.shutdown()).unwrap();
    (first, faulty.placed.load(Ordering::SeqCst))
}

const WINDOW: Absence = Absence::Window { length: Duration::from_millis(400), margin: Duration::from_millis(100) };

#[test]
fn an_adapter_that_panics_before_it_sends_leaves_its_leg_unknown_until_that_is_known() {
    for absence in [None, Some(WINDOW)] {
        let (first, _) = beside(&[(Fault::PanicBeforeSending, 1)], absence, Outcome::Filled);
        assert_ne!(first.legs[1].outcome, Some(Outcome::Rejected), "{:?}", first.legs[1]);
    }
}

#[test]
fn an_adapter_that_panics_after_it_sent_does_not_double_the_order() {
    for absence in [None, Some(WINDOW)] {
        let (_, placed) = beside(&[(Fault::PanicAfterSending, 1)], absence, Outcome::Filled);
        assert_eq!(placed, 2, "one order for each signal");
    }
}

#[test]
fn an_adapter_that_never_answers_leaves_its_leg_unknown_until_that_is_known() {
    for fault in [Fault::HangBeforeSending, Fault::HangAfterSending] {
        for absence in [None, Some(WINDOW)] {
            beside(&[(fault, 1)], absence, Outcome::Filled);
        }
    }
}

#[test]
fn a_leg_whose_answer_never_comes_says_that_it_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(vec![quiet("fine", QUICK), quiet("mute", QUICK)]);
    bench.setup.timing.leg_deadline = Duration::from_millis(300);
    // Nobody finds out, for as long as this test looks.
    bench.faulty(1, &[(Fault::HangBeforeSending, 1), (Fault::ProbeHangs, usize::MAX)]);
    block_on(async {
        let engine = bench.open(folder.path()).await.unwrap();
        let execution = engine.execute(entry("s-1", "100"), Wait::Acknowledged).await.unwrap();
        assert_eq!(execution.status, ExecutionStatus::Unresolved);
        filled(&execution.legs[0]);
        let leg = &execution.legs[1];
        assert_eq!((leg.state.as_str(), leg.outcome), ("unknown", None), "{leg:?}");
        let reason = leg.reason.as_deref().unwrap();
        crate::support::contains(reason, &["no answer within 300ms", "blocks demo from entering HYPE", "omnivenue resolve"]);
        let unknown = engine.health().await.unwrap().unknown;
        assert_eq!(unknown.iter().map(|order| Some(&order.client_order_id)).collect::<Vec<_>>(), [leg.client_order_id.as_ref()]);
        // It blocks its own agent, account and instrument, and nothing else.
        let next = engine.execute(entry("s-2", "100"), Wait::Acknowledged).await.unwrap();
        filled(&next.legs[0]);
        assert_eq!((next.legs[1].outcome, next.legs[1].code.as_deref()), (Some(Outcome::Refused), Some("unresolved")));
        // A person settles it.
        let order = leg.client_order_id.clone().unwrap();
        engine.resolve(order, omnivenue::journal::Verdict::Absent, "it was never sent".into()).await.unwrap();
        let next = engine.execute(entry("s-3", "100"), Wait::Settled).await.unwrap();
        next.legs.iter().for_each(filled);
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn probes_that_hang_or_panic_are_made_again() {
    for fault in [Fault::ProbeHangs, Fault::ProbePanics] {
        beside(&[(Fault::HangAfterSending, 1), (fault, 2)], None, Outcome::Filled);
        beside(&[(Fault::PanicBeforeSending, 1), (fault, 2)], Some(WINDOW), Outcome::Filled);
    }
}

#[test]
fn an_account_that_never_gets_ready_costs_its_own_leg_only() {
    // Asked twice: once whether it is ready right away, and once to wait for it.
    let (first, placed) = beside(&[(Fault::ReadyHangs, 2)], None, Outcome::Expired);
    assert_eq!(first.legs[1].filled_quantity, "0".parse().unwrap());
    assert_eq!(placed, 1, "only the second signal's order was sent");
}

#[test]
fn an_adapter_that_panics_before_there_is_an_order_costs_its_own_leg_only() {
    for fault in [Fault::ReadyPanics, Fault::PreparePanics] {
        let (first, placed) = beside(&[(fault, 1)], None, Outcome::Refused);
        crate::support::contains(first.legs[1].reason.as_deref().unwrap(), &["the adapter panicked"]);
        assert_eq!(placed, 1, "only the second signal's order was sent");
    }
}

#[test]
fn a_stream_that_panics_harms_no_leg_and_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(vec![quiet("fine", QUICK), quiet("broken", QUICK)]);
    let faulty = bench.faulty(1, &[(Fault::StreamPanics, 2)]);
    let engine = block_on(bench.open(folder.path())).unwrap();
    let execution = block_on(engine.execute(entry("s-1", "100"), Wait::Settled)).unwrap();
    execution.legs.iter().for_each(filled);
    eventually("the stream is opened again", || (faulty.streamed.load(Ordering::SeqCst) > 2).then_some(()));
    block_on(engine.shutdown()).unwrap();
}

#[test]
fn an_account_whose_truth_does_not_come_is_skipped_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(vec![quiet("fine", QUICK), quiet("mute", QUICK)]);
    bench.setup.timing.leg_deadline = Duration::from_secs(5);
    bench.recovery_wait = Duration::from_millis(300);
    bench.faulty(1, &[(Fault::SnapshotHangs, 1)]);
    let engine = block_on(bench.open(folder.path())).unwrap();
    let execution = block_on(engine.execute(entry("s-1", "100"), Wait::Settled)).unwrap();
    filled(&execution.legs[0]);
    assert_eq!((execution.legs[1].outcome, execution.legs[1].code.as_deref()), (Some(Outcome::Skipped), Some("recovering")));
    eventually("the account is ready", || {
        let health = block_on(engine.health()).unwrap();
        health.accounts.iter().all(|account| account.status == "ready").then_some(())
    });
    let execution = block_on(engine.execute(entry("s-2", "100"), Wait::Settled)).unwrap();
    execution.legs.iter().for_each(filled);
    block_on(engine.shutdown()).unwrap();
}

#[test]
fn a_venue_that_is_down_when_the_engine_opens_costs_its_own_leg_only_and_comes_back() {
    let all = [Down::QuotesFail, Down::QuotesHang, Down::InstrumentsFail, Down::InstrumentsHang, Down::InstrumentsPanic];
    for down in all {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = Bench::new(vec![quiet("fine", QUICK), quiet("down", QUICK)]);
        bench.recovery_wait = Duration::from_secs(3);
        let broken = bench.broken(1, down);
        let engine = block_on(bench.open(folder.path())).unwrap();
        let execution = block_on(engine.execute(entry("s-1", "100"), Wait::Settled)).unwrap();
        filled(&execution.legs[0]);
        let code = if matches!(down, Down::QuotesFail | Down::QuotesHang) { "no_price" } else { "venue_down" };
        let leg = &execution.legs[1];
        assert_eq!((leg.outcome, leg.code.as_deref()), (Some(Outcome::Skipped), Some(code)), "{down:?}: {leg:?}");
        assert_eq!(bench.truth(1).orders, []);
        broken.up.store(true, Ordering::SeqCst);
        let mut tries = 0;
        eventually("the venue takes part again", || {
            tries += 1;
            let execution = block_on(engine.execute(entry(&format!("again-{tries}"), "100"), Wait::Settled)).unwrap();
            filled(&execution.legs[0]);
            (execution.legs[1].outcome == Some(Outcome::Filled)).then_some(())
        });
        assert_eq!(bench.truth(1).orders.len(), 1);
        block_on(engine.shutdown()).unwrap();
    }
}

#[test]
fn who_stops_waiting_does_not_stop_the_execution() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(vec![quiet("one", Duration::from_millis(200)), quiet("two", QUICK)]);
    let engine = block_on(bench.open(folder.path())).unwrap();
    block_on(async {
        let timed_out = tokio::time::timeout(Duration::ZERO, engine.execute(entry("timed-out", "100"), Wait::Settled)).await;
        assert!(timed_out.is_err(), "nobody waited for it");
        tokio::select! {
            biased;
            _ = engine.execute(entry("selected", "100"), Wait::Settled) => panic!("it cannot have ended yet"),
            () = std::future::ready(()) => {}
        }
        let task = tokio::spawn({
            let engine = engine.clone();
            async move { engine.execute(entry("aborted", "100"), Wait::Settled).await }
        });
        tokio::task::yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        // A wish that was never uttered is none.
        drop(engine.execute(entry("never-begun", "100"), Wait::Settled));
    });
    let ids = ["timed-out", "selected", "aborted"];
    for id in ids {
        settled(&engine, id).legs.iter().for_each(filled);
    }
    assert!(block_on(engine.execution(&SignalId::new("never-begun").unwrap())).unwrap().is_none());
    assert_eq!((bench.truth(0).orders.len(), bench.truth(1).orders.len()), (3, 3));
    // A request to close is no different.
    block_on(async {
        let close = CloseRequest::new(parse("flat"), CloseTarget::All);
        assert!(tokio::time::timeout(Duration::ZERO, engine.close_positions(close, Wait::Settled)).await.is_err());
    });
    settled(&engine, "flat").legs.iter().for_each(filled);
    assert!(block_on(engine.positions()).unwrap().is_empty());
    block_on(engine.shutdown()).unwrap();
}

/// Runs something on a hundred threads at once.
fn hundred<T: Send + 'static>(act: impl Fn(usize) -> T + Send + Sync + 'static) -> Vec<T> {
    let act = Arc::new(act);
    let start = Arc::new(Barrier::new(100));
    let run = |number| {
        let (act, start) = (Arc::clone(&act), Arc::clone(&start));
        std::thread::spawn(move || {
            start.wait();
            act(number)
        })
    };
    let threads: Vec<_> = (0..100).map(run).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn a_signal_delivered_a_hundred_times_at_once_is_one_execution() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(vec![quiet("one", QUICK), quiet("two", QUICK)]);
    let engine = block_on(bench.open(folder.path())).unwrap();
    let callers = engine.clone();
    let answers = hundred(move |_| block_on(callers.execute(entry("s-1", "100"), Wait::Settled)).unwrap());
    answers[0].legs.iter().for_each(filled);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "all are told the same");
    assert_eq!((bench.truth(0).orders.len(), bench.truth(1).orders.len()), (1, 1));

    // Half of them with another body: one of the two is the signal, the other is a conflict.
    let callers = engine.clone();
    let answers = hundred(move |number| block_on(callers.execute(entry("s-2", ["100", "200"][number % 2]), Wait::Settled)));
    let (taken, refused): (Vec<_>, Vec<_>) = answers.into_iter().enumerate().partition(|(_, answer)| answer.is_ok());
    let bodies: BTreeSet<usize> = taken.iter().map(|(number, _)| number % 2).collect();
    assert_eq!((taken.len(), refused.len(), bodies.len()), (50, 50, 1));
    assert!(refused.iter().all(|(_, answer)| matches!(answer, Err(EngineError::Command(CommandError::Conflict { .. })))));
    assert_eq!((bench.truth(0).orders.len(), bench.truth(1).orders.len()), (2, 2));
    block_on(engine.shutdown()).unwrap();
}

#[test]
fn a_hundred_signals_at_once_stay_within_the_limits() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(vec![quiet("one", QUICK), quiet("two", QUICK)]);
    let limit: Notional = parse("1000");
    let deployment = bench.setup.deployments.values_mut().next().unwrap();
    deployment.limits = Limits { max_notional: Some(limit), ..Limits::default() };
    let engine = block_on(bench.open(folder.path())).unwrap();
    let callers = engine.clone();
    let answers = hundred(move |number| block_on(callers.execute(entry(&format!("s-{number}"), "90"), Wait::Settled)).unwrap());
    let legs: Vec<&LegReport> = answers.iter().flat_map(|answer| &answer.legs).collect();
    let (taken, refused): (Vec<&LegReport>, Vec<&LegReport>) = legs.into_iter().partition(|leg| leg.outcome == Some(Outcome::Filled));
    assert!(refused.iter().all(|leg| leg.code.as_deref() == Some("max_notional")), "{refused:?}");
    let cost = |place: usize| bench.truth(place).fills.iter().map(|fill| fill.price.notional(fill.quantity).unwrap()).collect::<Vec<_>>();
    let sum = [cost(0), cost(1)].concat().into_iter().try_fold(Notional::ZERO, Notional::plus).unwrap();
    assert!(sum <= limit, "{sum} is within {limit}");
    // Room is reserved at the worst price, so a little less than the limit may be used, but not much.
    assert!(taken.len() >= 10, "{} were taken", taken.len());
    assert_eq!(bench.truth(0).orders.len() + bench.truth(1).orders.len(), taken.len(), "what was refused was not sent");
    block_on(engine.shutdown()).unwrap();
}

#[test]
fn what_is_unknown_counts_in_full() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(vec![quiet("fine", QUICK), quiet("mute", QUICK)]);
    bench.setup.limits = Limits { max_notional: Some(parse("1000")), ..Limits::default() };
    bench.setup.timing.leg_deadline = Duration::from_millis(200);
    bench.faulty(1, &[(Fault::HangBeforeSending, usize::MAX), (Fault::ProbeHangs, usize::MAX)]);
    let engine = block_on(bench.open(folder.path())).unwrap();
    let on = |id: &str, venue: &str, notional: &str| {
        let wish = Signal { venues: Some(vec![parse(venue)]), ..entry(id, notional) };
        block_on(engine.execute(wish, Wait::Acknowledged)).unwrap().legs.remove(0)
    };
    assert_eq!(on("s-1", "mute", "900").state, "unknown");
    let refused = on("s-2", "fine", "200");
    assert_eq!((refused.outcome, refused.code.as_deref()), (Some(Outcome::Refused), Some("max_notional")), "{refused:?}");
    filled(&on("s-3", "fine", "90"));
    let equity = block_on(engine.equity()).unwrap();
    let held = equity.iter().find(|line| line.deployment.is_none() && line.account.as_str() == "mute-account").unwrap();
    assert!(held.reserved > parse("890"), "its capital is held back: {held:?}");
    block_on(engine.shutdown()).unwrap();
}
