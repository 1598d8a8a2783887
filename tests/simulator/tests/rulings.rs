//! What checks of the user's own said of a signal's legs holds for as long as the signal does: for legs that are decided later, and after
//! a restart.

mod desk;

use std::time::Duration;

use desk::{Desk, name};
use omnivenue_core::executor::{Approval, DriftPolicy, Input};
use omnivenue_core::gates::{Ruling, UserVerdict};
use omnivenue_core::journal::Event;

fn ruling(account: &str, verdict: UserVerdict) -> Ruling {
    let gate = (verdict != UserVerdict::Pass).then(|| "house".to_owned());
    Ruling { deployment: name("one"), account: name(account), gate, verdict }
}

fn half() -> UserVerdict {
    UserVerdict::Shrink(name("0.5"))
}

fn refuse() -> UserVerdict {
    UserVerdict::Refuse("the moon is full".into())
}

#[test]
fn a_leg_that_no_gate_was_asked_about_is_refused() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    let signal = desk.signal("s", "one", r#","sizing":{"quantity":"10"}"#);
    desk.execute_ruled(signal, vec![ruling("main", half())]);
    assert_eq!(desk.outcomes("s"), ["filled:", "refused:user_gate"]);
    assert_eq!((desk.ours("one", "main").as_str(), desk.ours("one", "other").as_str()), ("5", "0"));
    desk.check();
}

#[test]
fn a_refusal_holds_for_the_account_that_is_next_in_line() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    let signal = desk.signal("s", "one", r#","sizing":{"quantity":"10"},"routing":"first""#);
    desk.execute_ruled(signal, vec![ruling("main", refuse()), ruling("other", half())]);
    assert_eq!(desk.outcomes("s"), ["refused:user_gate", "filled:"]);
    assert_eq!(desk.ours("one", "other"), "5");
    let signal = desk.signal("t", "one", r#","sizing":{"quantity":"10"},"routing":"first""#);
    desk.execute_ruled(signal, vec![ruling("main", refuse()), ruling("other", refuse())]);
    assert_eq!(desk.outcomes("t"), ["refused:user_gate", "refused:user_gate"]);
}

#[test]
fn a_persons_yes_is_within_what_the_gates_allowed() {
    let mut desk = Desk::with(desk::config(None), DriftPolicy::HaltEntries, |setup| {
        setup.deployments.get_mut(&name("one")).expect("it is there").approval = Some(Duration::from_secs(600));
    });
    let signal = desk.signal("s", "one", r#","sizing":{"quantity":"10"},"valid_for":"600s""#);
    desk.execute_ruled(signal, vec![ruling("main", half()), ruling("other", refuse())]);
    assert_eq!(desk.outcomes("s"), ["awaiting_approval", "refused:user_gate"]);
    desk.restart();
    desk.pass(Duration::from_secs(1));
    let execution = desk.kernel.execution_of(&name("s")).expect("the journal reads").expect("it was taken");
    let approval = Approval { execution, deployment: None, approved: true, reason: "fine".into() };
    desk.input(Input::Approve { approval, recalled: None, token: 900 });
    assert_eq!(desk.outcomes("s"), ["filled:", "refused:user_gate"]);
    assert_eq!(desk.ours("one", "main"), "5");
    let told =
        desk.store.entries().iter().any(|entry| matches!(entry.event(), Ok(Event::Admitted(admission)) if admission.rulings.is_some()));
    assert!(told, "the journal says what the gates said");
    desk.check();
}
