//! A person's yes, by hand: what waits reserves nothing, blocks nobody, survives a restart, and is decided anew when the answer comes.

mod bench;

use std::time::Duration;

use bench::{Bench, limit, name, placed};
use omnivenue_core::engine::{Task, replay};
use omnivenue_core::executor::{Input, Setup, Timer};
use omnivenue_core::journal::{Failure, KillScope};
use omnivenue_core::model::number::Notional;
use omnivenue_core::venue::{Effect, ErrorKind};

/// Signals of agent `one` wait for a yes for ten seconds.
fn asked(setup: &mut Setup) {
    let deployment = setup.deployments.get_mut(&name("one")).expect("it is there");
    deployment.approval = Some(Duration::from_secs(10));
}

fn waits(venues: usize) -> Bench {
    Bench::changed(venues, "0", asked)
}

fn send(bench: &mut Bench, id: &str, agent: &str, change: &str) -> Vec<Task> {
    let signal = bench.signal(id, agent, change);
    bench.execute(signal)
}

fn refusal(tasks: &[Task]) -> String {
    let refused =
        tasks.iter().find_map(|task| if let Task::Answer { result: Err(error), .. } = task { Some(error.to_string()) } else { None });
    refused.unwrap_or_else(|| panic!("it was taken: {tasks:?}"))
}

fn expiries(tasks: &[Task]) -> Vec<(Duration, Timer)> {
    let expiry = |task: &Task| match task {
        Task::Wake { after, timer: timer @ Timer::Expire(_) } => Some((*after, timer.clone())),
        _ => None,
    };
    tasks.iter().filter_map(expiry).collect()
}

/// LangAlpha #251: execution with approval of every order.
#[test]
fn a_signal_waits_for_a_yes_and_holds_nothing_back() {
    let mut bench = waits(2);
    send(&mut bench, "s", "one", "");
    assert!(placed(&bench.commit().1).is_empty());
    assert_eq!(bench.states("s"), ["awaiting_approval", "awaiting_approval"]);
    assert_eq!(bench.at_stake(), Notional::ZERO, "nothing is reserved");
    bench.opened_by("t", "two", "");
    assert_eq!(bench.states("t"), ["filled:", "filled:"], "and nobody is blocked");
    let tasks = bench.approve("s", None, true, "looks right");
    assert!(placed(&tasks).is_empty(), "written down first");
    assert_eq!(placed(&bench.commit().1).len(), 2);
    assert_eq!(bench.states("s"), ["sent", "sent"]);
    let folded = replay(&bench.store).unwrap().book;
    assert_eq!(folded, *bench.kernel.state().book());
}

#[test]
fn the_same_answer_again_changes_nothing_and_another_one_is_an_error() {
    let mut bench = waits(1);
    send(&mut bench, "s", "one", "");
    send(&mut bench, "n", "one", "");
    bench.approve("s", Some("one"), true, "yes");
    bench.approve("n", None, false, "too large");
    bench.commit();
    assert_eq!(bench.states("n"), ["refused:not_approved"]);
    let seq = bench.kernel.seq();
    for deployment in [None, Some("one")] {
        assert!(matches!(bench.approve("s", deployment, true, "again")[..], [Task::Answer { result: Ok(Some(_)), .. }]));
        assert!(matches!(bench.approve("n", deployment, false, "again")[..], [Task::Answer { result: Ok(Some(_)), .. }]));
        assert!(refusal(&bench.approve("s", deployment, false, "no")).contains("s was approved for one before: yes"));
        assert!(refusal(&bench.approve("n", deployment, true, "yes")).contains("n was declined for one before: too large"));
    }
    assert!(refusal(&bench.approve("s", Some("two"), true, "yes")).contains("not carried out in two, but in one"));
    assert!(refusal(&bench.approve("s", None, true, " ")).contains("a reason is needed"));
    assert!(refusal(&bench.approve("x", None, true, "yes")).contains("there never was a signal x"));
    send(&mut bench, "t", "two", "");
    assert!(refusal(&bench.approve("t", None, true, "yes")).contains("nothing of t waits"));
    bench.commit();
    assert!(bench.kernel.seq() > seq, "only the new signal was written down");
    assert_eq!(bench.states("n"), ["refused:not_approved"]);
    // Long after it is no longer at hand.
    for index in 0..(omnivenue_core::executor::RETAINED + 5) {
        send(&mut bench, &format!("f{index}"), "one", "");
        bench.approve(&format!("f{index}"), None, false, "flood");
        bench.commit();
    }
    assert!(bench.kernel.state().book().execution_of(&name("n")).is_none());
    assert!(matches!(bench.approve("n", None, false, "again")[..], [Task::Answer { result: Ok(Some(_)), .. }]));
    assert!(refusal(&bench.approve("n", None, true, "yes")).contains("declined"));
}

#[test]
fn a_no_ends_it_in_the_persons_words() {
    let mut bench = waits(2);
    send(&mut bench, "s", "one", "");
    bench.approve("s", None, false, "not today");
    assert_eq!(bench.states("s"), ["refused:not_approved", "refused:not_approved"]);
    assert!(placed(&bench.commit().1).is_empty());
    let number = bench.kernel.execution_of(&name("s")).unwrap().expect("it was taken");
    let record = bench.kernel.execution(number).unwrap().expect("it is there");
    assert!(record.answers.get(&name("one")).is_some_and(|answer| !answer.approved && answer.reason == "not today"));
}

#[test]
fn what_nobody_answers_ends_and_an_answer_then_is_too_late() {
    let mut bench = waits(1);
    let first = expiries(&send(&mut bench, "s", "one", ""));
    // Valid for less than the patience: the shorter counts.
    let second = expiries(&send(&mut bench, "t", "one", r#","valid_for":"3s""#));
    assert_eq!((first.len(), second.len()), (1, 1));
    assert!(first[0].0 > Duration::from_secs(10) && first[0].0 < Duration::from_secs(11), "{first:?}");
    assert!(second[0].0 > Duration::from_secs(3) && second[0].0 < Duration::from_secs(4), "{second:?}");
    bench.pass(Duration::from_secs(4));
    // Its timer has not come yet.
    assert!(refusal(&bench.approve("t", None, true, "late")).contains("has waited for too long"));
    assert_eq!(bench.states("t"), ["expired:expired"]);
    // A timer that comes early, since a clock was set back, ends nothing.
    bench.kernel.input(bench.now, Input::Timer(first[0].1.clone()));
    assert_eq!(bench.states("s"), ["awaiting_approval"]);
    bench.pass(Duration::from_secs(7));
    bench.kernel.input(bench.now, Input::Timer(first[0].1.clone()));
    assert_eq!(bench.states("s"), ["expired:expired"]);
    assert!(refusal(&bench.approve("s", None, true, "late")).contains("nothing of s waits"));
    assert!(placed(&bench.commit().1).is_empty());
}

#[test]
fn the_shorter_patience_of_agent_and_deployment_counts() {
    let mut bench = Bench::changed(1, "0", |setup| {
        asked(setup);
        setup.agents.get_mut(&name("one")).expect("it is there").approval = Some(Duration::from_secs(2));
        setup.agents.get_mut(&name("two")).expect("it is there").approval = Some(Duration::from_secs(2));
    });
    for (id, agent) in [("s", "one"), ("t", "two")] {
        let wake = expiries(&send(&mut bench, id, agent, ""));
        assert!(wake.len() == 1 && wake[0].0 < Duration::from_secs(3), "{wake:?}");
    }
}

#[test]
fn what_waits_survives_a_restart() {
    let mut bench = waits(1);
    send(&mut bench, "s", "one", "");
    send(&mut bench, "t", "one", r#","valid_for":"5s""#);
    bench.commit();
    let tasks = bench.restart(Duration::from_secs(6));
    assert_eq!(bench.states("t"), ["expired:expired"], "it has waited enough meanwhile");
    assert_eq!(bench.states("s"), ["awaiting_approval"]);
    let wake = expiries(&tasks);
    assert!(wake.len() == 1 && wake[0].0 < Duration::from_secs(5), "the rest of its time: {wake:?}");
    bench.recover(&[]);
    bench.approve("s", None, true, "yes");
    assert_eq!(placed(&bench.commit().1).len(), 1);
    // Dead right after the answer was durable: it is not asked again.
    send(&mut bench, "u", "one", "");
    bench.approve("u", None, true, "yes");
    bench.commit();
    bench.restart(Duration::from_millis(10));
    assert_eq!(bench.states("u"), ["unknown"]);
    let folded = replay(&bench.store).unwrap().book;
    assert_eq!(folded.awaiting().count(), 0);
}

#[test]
fn gates_are_asked_again_at_the_yes() {
    let mut bench = waits(1);
    for id in ["killed", "halted", "after"] {
        send(&mut bench, id, "one", "");
    }
    bench.kernel.input(bench.now, Input::Kill { scope: KillScope::All, mode: Default::default(), reason: "stop".into(), token: 99 });
    bench.approve("killed", None, true, "yes");
    assert_eq!(bench.states("killed"), ["refused:killed"]);
    bench.kernel.input(bench.now, Input::Resume { scope: KillScope::All, reason: "on".into(), token: 99 });
    bench.approve("after", None, true, "yes");
    assert_eq!(bench.states("after"), ["sent"]);
    // The price has moved: what it buys is sized anew.
    let order = placed(&bench.commit().1).remove(0);
    assert_eq!(bench.asked(&order).quantity.to_string(), "13.02");
    send(&mut bench, "dearer", "one", "");
    bench.quote("75.99", "76.01");
    bench.approve("dearer", None, true, "yes");
    let order = placed(&bench.commit().1).remove(0);
    assert_eq!(bench.asked(&order).quantity.to_string(), "6.51");
}

#[test]
fn a_limit_holds_at_the_yes_however_many_wait() {
    let mut bench = Bench::changed(1, "0", |setup| {
        asked(setup);
        setup.limits = limit("1200");
    });
    for id in ["a", "b", "c"] {
        send(&mut bench, id, "one", "");
        assert_eq!(bench.states(id), ["awaiting_approval"]);
    }
    for id in ["a", "b", "c"] {
        bench.approve(id, None, true, "yes");
    }
    assert_eq!([bench.states("a"), bench.states("b"), bench.states("c")].concat(), ["sent", "sent", "refused:max_notional"]);
    assert!(bench.at_stake() <= name::<Notional>("1200"));
}

#[test]
fn only_the_first_in_line_is_opened_at_the_yes() {
    let mut bench = waits(3);
    send(&mut bench, "s", "one", r#","routing":"first""#);
    assert_eq!(bench.states("s"), ["awaiting_approval"]);
    bench.approve("s", None, true, "yes");
    let order = placed(&bench.commit().1).remove(0);
    assert_eq!(bench.states("s"), ["sent"]);
    // It comes to nothing: the next one follows without being asked for again.
    let failure = Failure { kind: ErrorKind::InvalidRequest, effect: Effect::Refused, code: None, message: "no".into() };
    bench.kernel.input(bench.now, Input::Placed { order, result: Err(failure) });
    assert_eq!(placed(&bench.commit().1).len(), 1);
    assert_eq!(bench.states("s").len(), 2);
    // After a no, or no answer, nobody is next.
    send(&mut bench, "n", "one", r#","routing":"first""#);
    bench.approve("n", None, false, "no");
    assert_eq!(bench.states("n"), ["refused:not_approved"]);
    let wake = expiries(&send(&mut bench, "e", "one", r#","routing":"first""#));
    bench.pass(Duration::from_secs(11));
    bench.kernel.input(bench.now, Input::Timer(wake[0].1.clone()));
    assert_eq!(bench.states("e"), ["expired:expired"]);
}

#[test]
fn what_is_refused_at_once_is_not_asked_for() {
    let mut bench = waits(1);
    send(&mut bench, "s", "one", r#","leverage":"1000""#);
    assert_eq!(bench.states("s"), ["refused:max_leverage"]);
    send(&mut bench, "t", "one", "");
    bench.token += 1;
    bench.kernel.cancel(bench.now, &name("t"), bench.token);
    assert_eq!(bench.states("t"), ["canceled:canceled"], "it can be taken back");
    assert!(refusal(&bench.approve("t", None, true, "yes")).contains("nothing of t waits"));
}

#[test]
fn no_yes_is_taken_that_cannot_be_written_down() {
    let mut bench = waits(1);
    send(&mut bench, "s", "one", "");
    bench.commit();
    bench.kernel.input(bench.now, Input::JournalFailed { reason: "the disk is full".into() });
    assert!(refusal(&bench.approve("s", None, true, "yes")).contains("journal cannot be written"));
    assert_eq!(bench.states("s"), ["awaiting_approval"]);
    bench.restart(Duration::from_secs(1));
    bench.recover(&[]);
    bench.approve("s", None, true, "yes");
    assert_eq!(placed(&bench.commit().1).len(), 1);
}
