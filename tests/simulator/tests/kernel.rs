//! The kernel by hand: what is durable when, what leaves when, and what a limit sees, one input at a time.
mod bench;

use std::sync::atomic::Ordering;
use std::time::Duration;

use omnivenue_core::engine::{Task, replay};
use omnivenue_core::executor::{Input, Limits};
use omnivenue_core::journal::{Failure, Journal, KillScope, LegRef};
use omnivenue_core::model::ids::ClientOrderId;
use omnivenue_core::model::number::{Amount, Notional, SignedQuantity};
use omnivenue_core::model::order::{Fee, FillReport, NetPosition, OrderReport, OrderStatus};
use omnivenue_core::model::signal::Signal;
use omnivenue_core::venue::{Effect, ErrorKind, Evidence};
use proptest::prelude::*;

use bench::{Bench, name, placed};

fn limit(text: &str) -> Limits {
    Limits { max_notional: Some(name(text)), ..Limits::default() }
}

#[test]
fn ten_legs_share_one_flush_and_leave_only_after_it() {
    let mut bench = Bench::new(10, Limits::default());
    let signal = bench.signal("s", "one", "");
    let tasks = bench.execute(signal);
    assert_eq!(placed(&tasks), [], "nothing leaves before it is durable");
    let (entries, tasks) = bench.commit();
    assert_eq!(entries, 11, "one admission and ten intents, in one write");
    assert_eq!(placed(&tasks).len(), 10);
    assert!(!bench.kernel.has_entries());
}

#[test]
fn a_leg_that_is_not_ready_is_committed_on_its_own_and_delays_nobody() {
    let mut bench = Bench::new(3, Limits::default());
    bench.accounts[1].ready.store(false, Ordering::Relaxed);
    let signal = bench.signal("s", "one", "");
    let tasks = bench.execute(signal);
    let late: Vec<LegRef> = tasks.iter().filter_map(|task| if let Task::Ready { leg, .. } = task { Some(*leg) } else { None }).collect();
    assert_eq!(late.len(), 1);
    assert_eq!(placed(&bench.commit().1).len(), 2);
    assert_eq!(bench.states("s"), ["sent", "planned", "sent"]);
    bench.pass(Duration::from_secs(1));
    bench.kernel.input(bench.now, Input::Ready { leg: late[0], result: Ok(()) });
    let (entries, tasks) = bench.commit();
    assert_eq!((entries, placed(&tasks).len()), (1, 1), "its intent alone");
}

#[test]
fn a_leg_that_is_never_ready_expires_with_its_signal() {
    let mut bench = Bench::new(1, Limits::default());
    bench.accounts[0].ready.store(false, Ordering::Relaxed);
    let signal = bench.signal("s", "one", r#","valid_for":"5s""#);
    let tasks = bench.execute(signal);
    let timer = tasks.into_iter().find_map(|task| if let Task::Wake { timer, .. } = task { Some(timer) } else { None });
    bench.pass(Duration::from_secs(6));
    bench.kernel.input(bench.now, Input::Timer(timer.expect("it is looked at again when the signal ends")));
    assert_eq!(bench.states("s"), ["expired:expired"]);
    assert_eq!(bench.at_stake(), Notional::ZERO);
}

#[test]
fn validity_is_checked_right_before_the_write() {
    let mut bench = Bench::new(2, Limits::default());
    let signal = bench.signal("s", "one", r#","valid_for":"1s""#);
    bench.execute(signal);
    // The disk takes its time.
    bench.pass(Duration::from_secs(2));
    assert_eq!(placed(&bench.commit().1), []);
    assert_eq!(bench.states("s"), ["expired:expired", "expired:expired"]);
    assert_eq!(bench.at_stake(), Notional::ZERO);
}

#[test]
fn the_kill_switch_stops_what_is_decided_but_has_not_left() {
    let mut bench = Bench::new(2, Limits::default());
    let signal = bench.signal("s", "one", "");
    bench.execute(signal);
    let batch = bench.kernel.take_batch().expect("the intents");
    bench.store.append(&batch.entries).expect("memory takes it");
    bench.kernel.input(
        bench.now,
        Input::Kill { scope: KillScope::Account(name("account1")), mode: Default::default(), reason: "stop".into(), token: 99 },
    );
    let tasks = bench.kernel.committed(bench.now, batch);
    assert_eq!(placed(&tasks).len(), 1, "the other account goes on");
    assert_eq!(bench.states("s"), ["sent", "refused:killed"]);
    let signal = bench.signal("t", "one", "");
    bench.execute(signal);
    assert_eq!(bench.states("t"), ["planned", "refused:killed"].map(|state| if state == "planned" { "sent" } else { state }));
}

#[test]
fn an_unknown_order_holds_its_room_and_blocks_its_agent_until_there_is_evidence() {
    let mut bench = Bench::new(1, Limits::default());
    let signal = bench.signal("s", "one", "");
    bench.execute(signal);
    let order = placed(&bench.commit().1).remove(0);
    let held = bench.at_stake();
    assert!(held > Notional::ZERO);
    let failure = Failure { kind: ErrorKind::Timeout, effect: Effect::Unknown, code: None, message: "no answer".into() };
    let tasks = bench.kernel.input(bench.now, Input::Placed { order: order.clone(), result: Err(failure) });
    assert!(tasks.iter().any(|task| matches!(task, Task::Probe { .. })), "it is asked for at once");
    assert_eq!(bench.states("s"), ["unknown"]);
    assert_eq!(bench.at_stake(), held, "it counts in full");
    let (again, other) = (bench.signal("t", "one", ""), bench.signal("u", "two", ""));
    bench.execute(again);
    bench.execute(other);
    assert_eq!(bench.states("t"), ["refused:unresolved"]);
    assert_eq!(bench.states("u"), ["sent"], "another agent is not blocked");
    // No timer ends it.
    bench.pass(Duration::from_secs(86_400));
    let asked = Input::Probed { order: order.clone(), result: Ok(Evidence::NotYet { ask_at: bench.now.wall, why: "no word".into() }) };
    bench.kernel.input(bench.now, asked);
    assert_eq!(bench.states("s"), ["unknown"]);
    bench.kernel.input(bench.now, Input::Probed { order, result: Ok(Evidence::AbsentForever { evidence: "burned".into() }) });
    assert_eq!(bench.states("s"), ["expired:absent"], "the signal is over, so no other attempt follows");
}

#[test]
fn proven_absence_allows_another_attempt_under_another_name() {
    let mut bench = Bench::new(1, Limits::default());
    let signal = bench.signal("s", "one", "");
    bench.execute(signal);
    let first = placed(&bench.commit().1).remove(0);
    let failure = Failure { kind: ErrorKind::Connection, effect: Effect::Unknown, code: None, message: "cut".into() };
    bench.kernel.input(bench.now, Input::Placed { order: first.clone(), result: Err(failure) });
    let tasks = bench
        .kernel
        .input(bench.now, Input::Probed { order: first.clone(), result: Ok(Evidence::AbsentForever { evidence: "burned".into() }) });
    let retry = tasks.into_iter().find_map(|task| match task {
        Task::Wake { timer: timer @ omnivenue_core::executor::Timer::Retry(_), .. } => Some(timer),
        _ => None,
    });
    bench.kernel.input(bench.now, Input::Timer(retry.expect("another attempt is planned")));
    let second = placed(&bench.commit().1).remove(0);
    assert_ne!(first, second);
    // Late truth: the first one traded after all. It is booked, not lost.
    bench.fill(&second, 4);
    bench.fill(&first, 4);
    let net = bench.kernel.state().book().ledger().net_quantity(&name("account0"), &name("HYPE"));
    assert_eq!(net, SignedQuantity::new(rust_decimal::Decimal::new(2604, 2)).expect("a number"));
}

#[test]
fn a_signal_is_the_same_execution_for_ever() {
    let mut bench = Bench::new(1, Limits::default());
    for index in 0..(omnivenue_core::executor::RETAINED * 2) {
        let signal = bench.signal(&format!("s{index}"), "one", r#","leverage":"2""#);
        bench.execute(signal);
        let order = placed(&bench.commit().1).remove(0);
        bench.fill(&order, 0);
        bench.commit();
    }
    let book = bench.kernel.state().book();
    assert!(book.execution_of(&name("s0")).is_none(), "it is no longer at hand");
    assert!(book.executions().count() <= omnivenue_core::executor::RETAINED, "what is at hand is bounded");
    let same = bench.signal("s0", "one", r#","leverage":"2.0""#);
    let tasks = bench.execute(same);
    assert!(matches!(tasks[..], [Task::Answer { result: Ok(Some(1)), .. }]), "{tasks:?}");
    assert!(!bench.kernel.has_entries());
    let other = bench.signal("s0", "one", r#","leverage":"3""#);
    let tasks = bench.execute(other);
    assert!(matches!(&tasks[..], [Task::Answer { result: Err(error), .. }] if error.to_string().contains("another body")), "{tasks:?}");
}

#[test]
fn what_the_journal_does_not_have_yet_is_not_forgotten() {
    let mut bench = Bench::new(1, Limits::default());
    bench.kernel.input(bench.now, Input::Kill { scope: KillScope::All, mode: Default::default(), reason: "stop".into(), token: 99 });
    // A flood of signals, all refused at once, while the disk is busy: more than stay at hand.
    for index in 0..(omnivenue_core::executor::RETAINED * 2) {
        let signal = bench.signal(&format!("s{index}"), "one", "");
        bench.execute(signal);
    }
    assert!(bench.kernel.state().book().execution_of(&name("s0")).is_none(), "it is no longer at hand");
    let before = bench.kernel.seq();
    let same = bench.signal("s0", "one", "");
    let tasks = bench.execute(same);
    assert!(matches!(tasks[..], [Task::Answer { result: Ok(Some(1)), .. }]), "{tasks:?}");
    assert_eq!(bench.kernel.seq(), before, "nothing new was decided");
    assert_eq!(bench.states("s0"), ["refused:killed"]);
}

#[test]
fn a_trade_named_twice_in_one_report_is_booked_once() {
    let mut bench = Bench::new(1, Limits::default());
    let signal = bench.signal("s", "one", "");
    bench.execute(signal);
    let order = placed(&bench.commit().1).remove(0);
    let fill = |trade: &str| FillReport {
        trade_id: name(trade),
        client_order_id: Some(order.clone()),
        venue_order_id: name("v1"),
        symbol: name("HYPE"),
        side: omnivenue_core::model::instrument::Side::Buy,
        price: name("38"),
        quantity: name("1"),
        fee: Fee { asset: name("USDC"), amount: Amount::ZERO },
        at: bench.now.wall,
        cause: None,
    };
    let report = OrderReport {
        client_order_id: order.clone(),
        venue_order_id: name("v1"),
        symbol: name("HYPE"),
        status: OrderStatus::Open,
        filled_quantity: name("2"),
        fills: vec![fill("a"), fill("a"), fill("b"), fill("a")],
        position_id: None,
        at: bench.now.wall,
    };
    bench.kernel.input(bench.now, Input::Placed { order, result: Ok(report) });
    assert_eq!(bench.kernel.state().book().ledger().net_quantity(&name("account0"), &name("HYPE")).to_string(), "2");
}

#[test]
fn a_trade_of_an_execution_long_gone_is_booked() {
    let mut bench = Bench::new(1, Limits::default());
    let mut first = None;
    for index in 0..(omnivenue_core::executor::RETAINED + 10) {
        let signal = bench.signal(&format!("s{index}"), "one", "");
        bench.execute(signal);
        let order = placed(&bench.commit().1).remove(0);
        bench.fill(&order, 0);
        bench.commit();
        first.get_or_insert(order);
    }
    let order = first.expect("there was one");
    assert!(bench.kernel.state().book().order(&order).is_none());
    let fill = FillReport {
        trade_id: name("late"),
        client_order_id: Some(order.clone()),
        venue_order_id: name("v1"),
        symbol: name("HYPE"),
        side: omnivenue_core::model::instrument::Side::Buy,
        price: name("38"),
        quantity: name("1"),
        fee: Fee { asset: name("USDC"), amount: Amount::ZERO },
        at: bench.now.wall,
        cause: None,
    };
    let report = OrderReport {
        client_order_id: order,
        venue_order_id: name("v1"),
        symbol: name("HYPE"),
        status: OrderStatus::Canceled,
        filled_quantity: name("1"),
        fills: vec![fill],
        position_id: None,
        at: bench.now.wall,
    };
    bench.kernel.report(bench.now, name("account0"), report.clone());
    bench.kernel.report(bench.now, name("account0"), report);
    bench.commit();
    assert_eq!(bench.kernel.state().book().ledger().net_quantity(&name("account0"), &name("HYPE")).to_string(), "1", "once");
    assert_eq!(bench.states("s0"), ["partially_filled:canceled"]);
    let folded = replay(&bench.store).expect("the journal replays").book;
    assert_eq!(folded, *bench.kernel.state().book());
}

#[test]
fn a_journal_older_than_the_truth_halts_entries() {
    let mut bench = Bench::new(1, Limits::default());
    let before = bench.store.entries().len();
    let signal = bench.signal("s", "one", "");
    bench.execute(signal);
    let order = placed(&bench.commit().1).remove(0);
    bench.fill(&order, 4);
    bench.commit();
    let report = OrderReport {
        client_order_id: order,
        venue_order_id: name("v1"),
        symbol: name("HYPE"),
        status: OrderStatus::Filled,
        filled_quantity: name("13.02"),
        fills: Vec::new(),
        position_id: None,
        at: bench.now.wall,
    };
    // A copy from before the signal, as a restored backup would be.
    let rolled_back = bench.store.truncated(before);
    let mut bench = Bench::opened(bench.setup, bench.accounts, rolled_back, bench.now);
    bench.recover(&[report]);
    let signal = bench.signal("s", "one", "");
    bench.execute(signal);
    assert_eq!(bench.states("s"), ["refused:halted"]);
    let why = bench.kernel.state().book().halt(&name("account0")).expect("it is halted");
    assert_eq!(why.code, "journal_rolled_back");
}

#[test]
fn an_unexplained_position_is_looked_at_twice_and_then_halts_entries() {
    let mut bench = Bench::new(1, Limits::default());
    for halted in [false, true] {
        let foreign = NetPosition { symbol: name("HYPE"), quantity: name("5"), cost: None };
        let snapshot = bench.snapshot(&[], vec![foreign]);
        bench.kernel.snapshot(bench.now, name("account0"), Ok(snapshot));
        assert_eq!(bench.kernel.state().book().halt(&name("account0")).is_some(), halted);
    }
}

/// One thing that can happen next, whatever happened before.
#[derive(Debug, Clone)]
enum Turn {
    Signal { agent: bool, notional: u64 },
    Commit,
    Answer { which: usize, share: u64 },
    Lose { which: usize },
    Refuse { which: usize },
    Evidence { which: usize, absent: bool },
    Pass { millis: u64 },
    Restart,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        4 => (any::<bool>(), 20_u64..1_500).prop_map(|(agent, notional)| Turn::Signal { agent, notional }),
        3 => Just(Turn::Commit),
        3 => (0_usize..8, 0_u64..=4).prop_map(|(which, share)| Turn::Answer { which, share }),
        1 => (0_usize..8).prop_map(|which| Turn::Lose { which }),
        1 => (0_usize..8).prop_map(|which| Turn::Refuse { which }),
        1 => (0_usize..8, any::<bool>()).prop_map(|(which, absent)| Turn::Evidence { which, absent }),
        1 => (1_u64..70_000).prop_map(|millis| Turn::Pass { millis }),
        1 => Just(Turn::Restart),
    ];
    prop::collection::vec(turn, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Signals at once, answers in any order, losses and restarts at any moment: what is at stake never exceeds the limit, and the state is
    /// the fold of the journal.
    #[test]
    fn no_interleaving_exceeds_a_limit(turns in turns()) {
        let most = limit("2000");
        let mut bench = Bench::new(2, most);
        let (mut on_their_way, mut count): (Vec<ClientOrderId>, u64) = (Vec::new(), 0);
        for turn in turns {
            let pick = |which: usize, orders: &[ClientOrderId]| orders.get(which % orders.len().max(1)).cloned();
            match turn {
                Turn::Signal { agent, notional } => {
                    count += 1;
                    let agent = if agent { "one" } else { "two" };
                    let text = format!(r#"{{"id":"s{count}","agent":"{agent}","asset":"HYPE","direction":"long","sizing":{{"notional":"{notional}"}}}}"#);
                    bench.execute(Signal::from_json(&text).unwrap());
                }
                Turn::Commit => on_their_way.extend(placed(&bench.commit().1)),
                Turn::Answer { which, share } => if let Some(order) = pick(which, &on_their_way) {
                    on_their_way.retain(|other| *other != order);
                    bench.fill(&order, share);
                },
                Turn::Lose { which } => if let Some(order) = pick(which, &on_their_way) {
                    let failure = Failure { kind: ErrorKind::Timeout, effect: Effect::Unknown, code: None, message: "lost".into() };
                    bench.kernel.input(bench.now, Input::Placed { order, result: Err(failure) });
                },
                Turn::Refuse { which } => if let Some(order) = pick(which, &on_their_way) {
                    on_their_way.retain(|other| *other != order);
                    let failure = Failure { kind: ErrorKind::InvalidRequest, effect: Effect::Refused, code: None, message: "no".into() };
                    bench.kernel.input(bench.now, Input::Placed { order, result: Err(failure) });
                },
                Turn::Evidence { which, absent } => if let Some(order) = pick(which, &on_their_way) {
                    on_their_way.retain(|other| *other != order);
                    if absent {
                        let evidence = Evidence::AbsentForever { evidence: "burned".into() };
                        bench.kernel.input(bench.now, Input::Probed { order, result: Ok(evidence) });
                    } else {
                        bench.fill(&order, 4);
                    }
                },
                Turn::Pass { millis } => bench.pass(Duration::from_millis(millis)),
                Turn::Restart => {
                    // What was not durable is gone; what may have left is unknown.
                    let before = std::mem::take(&mut on_their_way);
                    bench = Bench::opened(bench.setup, bench.accounts, bench.store, bench.now);
                    on_their_way = before.into_iter().filter(|order| bench.kernel.state().book().order(order).is_some_and(|order| order.state.is_live())).collect();
                    bench.recover(&[]);
                }
            }
            prop_assert!(bench.at_stake() <= name::<Notional>("2000"), "{} is at stake", bench.at_stake());
        }
        while bench.kernel.has_entries() {
            bench.commit();
        }
        let folded = replay(&bench.store).unwrap().book;
        prop_assert!(folded == *bench.kernel.state().book(), "the state is not the fold of the journal");
        let again = replay(&bench.store).unwrap().book;
        prop_assert_eq!(serde_json::to_string(&folded).unwrap(), serde_json::to_string(&again).unwrap());
    }
}
