//! Groups of legs by hand: they stand together, or what filled is closed again from the actual fills.

mod bench;

use std::sync::atomic::Ordering;
use std::time::Duration;

use omnivenue_core::engine::{Task, replay};
use omnivenue_core::executor::{Input, Limits, RETAINED, Setup, Timer};
use omnivenue_core::journal::{Event, Failure, KillScope, LegRef, MemoryStore};
use omnivenue_core::model::execution::ExecutionStatus;
use omnivenue_core::model::ids::{AccountId, ClientOrderId};
use omnivenue_core::model::number::{Notional, Quantity};
use omnivenue_core::model::order::{OrderReport, Purpose};
use omnivenue_core::venue::{Effect, ErrorKind, Evidence};
use omnivenue_simulator::{Coverage, FaultKind, RequestKind, Rule, Scenario, run};

use bench::{Bench, name};

const ALL: &str = r#","leg_policy":"all_or_none""#;

/// A bench whose wake-ups come when they are due, and whose writes are durable at once.
struct Play {
    bench: Bench,
    timers: Vec<(u64, Timer)>,
    orders: Vec<(AccountId, ClientOrderId)>,
    waiting: Vec<LegRef>,
}

impl Play {
    fn new(venues: usize) -> Self {
        Self::with(venues, |_| {})
    }

    fn with(venues: usize, change: impl FnOnce(&mut Setup)) -> Self {
        Self::of(Bench::with(venues, Limits::default(), MemoryStore::new(), change))
    }

    fn of(bench: Bench) -> Self {
        Self { bench, timers: Vec::new(), orders: Vec::new(), waiting: Vec::new() }
    }

    fn take(&mut self, tasks: Vec<Task>) {
        for task in tasks {
            match task {
                Task::Place { account, order } => self.orders.push((account, order.client_order_id().clone())),
                Task::Wake { after, timer } => {
                    let at = self.bench.now.monotonic + u64::try_from(after.as_micros()).expect("short");
                    self.timers.push((at, timer));
                }
                Task::Ready { leg, .. } => self.waiting.push(leg),
                _ => {}
            }
        }
    }

    fn turn(&mut self, input: Input) {
        let tasks = self.bench.kernel.input(self.bench.now, input);
        self.take(tasks);
        self.commit();
    }

    fn commit(&mut self) {
        while self.bench.kernel.has_entries() {
            let tasks = self.bench.commit().1;
            self.take(tasks);
        }
    }

    fn execute(&mut self, id: &str, change: &str) {
        let signal = self.bench.signal(id, "one", change);
        let tasks = self.bench.execute(signal);
        self.take(tasks);
        self.commit();
    }

    /// The next order that left on an account.
    fn next(&mut self, account: &str) -> ClientOrderId {
        let place = self.orders.iter().position(|(at, _)| *at == name(account));
        self.orders.remove(place.unwrap_or_else(|| panic!("an order left on {account}; there are {:?}", self.orders))).1
    }

    fn fill(&mut self, order: &ClientOrderId, share: u64) {
        let tasks = self.bench.fill(order, share);
        self.take(tasks);
        self.commit();
    }

    fn fail(&mut self, order: &ClientOrderId, effect: Effect) {
        let kind = if effect == Effect::Unknown { ErrorKind::Timeout } else { ErrorKind::InvalidRequest };
        let failure = Failure { kind, effect, code: None, message: "the test says no".into() };
        self.turn(Input::Placed { order: order.clone(), result: Err(failure) });
    }

    fn evidence(&mut self, order: &ClientOrderId, evidence: Evidence) {
        self.turn(Input::Probed { order: order.clone(), result: Ok(evidence) });
    }

    fn pass(&mut self, length: Duration) {
        let end = self.bench.now.monotonic + u64::try_from(length.as_micros()).expect("short");
        while let Some(next) = self.timers.iter().enumerate().min_by_key(|(_, (at, _))| *at).filter(|(_, (at, _))| *at <= end) {
            let place = next.0;
            let (at, timer) = self.timers.remove(place);
            self.bench.pass(Duration::from_micros(at.saturating_sub(self.bench.now.monotonic)));
            self.turn(Input::Timer(timer));
        }
        self.bench.pass(Duration::from_micros(end - self.bench.now.monotonic));
    }

    /// The process dies and another one opens the journal; nothing is known of the venues yet.
    fn restart(self) -> Self {
        let mut play = Self::of(Bench::opened(self.bench.setup, self.bench.accounts, self.bench.store, self.bench.now));
        let tasks = std::mem::take(&mut play.bench.opening);
        play.take(tasks);
        play.commit();
        play
    }

    fn recover(&mut self, orders: &[OrderReport]) {
        let tasks = self.bench.recover(orders);
        self.take(tasks);
        self.commit();
    }

    fn states(&self, id: &str) -> Vec<String> {
        self.bench.states(id)
    }

    fn held(&self, account: &str) -> String {
        self.bench.kernel.state().book().ledger().net_quantity(&name(account), &name("HYPE")).to_string()
    }

    fn asked(&self, order: &ClientOrderId) -> (Purpose, Quantity) {
        let request = self.bench.kernel.state().book().order(order).expect("it is at hand").intent.request();
        (request.purpose, request.quantity)
    }

    fn duties(&self) -> usize {
        self.bench.kernel.state().book().duties().count()
    }

    fn status(&self, id: &str) -> ExecutionStatus {
        self.bench.kernel.published(&name(id)).expect("the journal reads").expect("it was taken").status
    }

    /// The state is the fold, nothing is undecided, held back or left to do.
    fn is_over(&self) {
        let book = self.bench.kernel.state().book();
        assert_eq!(replay(&self.bench.store).expect("the journal replays").book, *book);
        assert_eq!((self.duties(), book.undecided().count()), (0, 0));
        assert_eq!(self.bench.at_stake(), Notional::ZERO);
    }
}

/// FIELD 26: the hedge fails, and the leg that filled is closed again.
#[test]
fn the_hedge_fails_and_the_other_leg_is_closed_from_its_actual_fills() {
    let mut play = Play::new(2);
    play.execute("s", ALL);
    let (first, hedge) = (play.next("account0"), play.next("account1"));
    play.fill(&first, 4);
    assert_eq!(play.duties(), 0, "nothing is decided yet");
    play.fail(&hedge, Effect::Refused);
    assert_eq!(play.status("s"), ExecutionStatus::Working, "it is being closed again");
    assert_eq!(play.states("s"), ["filled:", "rejected:invalid_request"]);
    let close = play.next("account0");
    assert_eq!(play.asked(&close), (Purpose::Close, name("13.02")));
    play.fill(&close, 4);
    assert_eq!(play.states("s"), ["unwound:unwind", "rejected:invalid_request"]);
    assert_eq!((play.held("account0").as_str(), play.status("s")), ("0", ExecutionStatus::Done));
    play.is_over();
}

/// FIELD 26: the unwind books the wrong amount.
#[test]
fn a_partial_fill_fails_its_group_and_each_leg_is_closed_by_what_it_holds() {
    let mut play = Play::new(2);
    play.execute("s", ALL);
    let (first, hedge) = (play.next("account0"), play.next("account1"));
    play.fill(&hedge, 1);
    assert!(play.asked(&play.orders[0].1.clone()).0 == Purpose::Close, "it cannot stand any more: nothing is waited for");
    play.fill(&first, 4);
    let (close, rest) = (play.next("account0"), play.next("account1"));
    assert_eq!((play.asked(&close).1, play.asked(&rest).1), (name("13.02"), name("3.25")));
    // The close itself fills in part: what is left is closed again.
    play.fill(&close, 2);
    play.fill(&rest, 4);
    assert_eq!(play.states("s"), ["filled:", "unwound:unwind"]);
    play.pass(Duration::from_secs(5));
    let again = play.next("account0");
    assert_eq!(play.asked(&again).1, name("6.51"));
    play.fill(&again, 4);
    assert_eq!(play.states("s"), ["unwound:unwind", "unwound:unwind"]);
    play.is_over();
}

/// FIELD 27: an unwound leg is not one that never filled.
#[test]
fn an_unwound_leg_keeps_its_fills_fees_and_pnl() {
    let mut play = Play::new(2);
    play.execute("s", ALL);
    let (first, hedge) = (play.next("account0"), play.next("account1"));
    play.fill(&first, 4);
    play.fail(&hedge, Effect::Refused);
    let close = play.next("account0");
    play.fill(&close, 4);
    let execution = play.bench.kernel.published(&name("s")).unwrap().unwrap();
    let leg = &execution.legs[0];
    assert_eq!((leg.filled_quantity, leg.fees[0].amount), (name("13.02"), name("0.1")));
    assert!(leg.average_price.is_some());
    assert!(leg.reason.as_ref().is_some_and(|reason| reason.contains("account1 rejected (invalid_request)")), "{leg:?}");
    let book = play.bench.kernel.state().book();
    let capital: Vec<_> = book.ledger().capitals().filter(|(key, _)| key.deployment.is_none() && key.account == name("account0")).collect();
    // Bought at the worst price, sold at the worst price, 0.1 each way: what really happened.
    assert_eq!(capital[0].1.fees, name("0.2"));
    assert!(capital[0].1.realized.to_string().starts_with('-'), "{capital:?}");
}

#[test]
fn an_unknown_leg_leaves_the_group_undecided_until_its_deadline_and_is_closed_on_evidence() {
    let mut play = Play::new(2);
    play.execute("s", ALL);
    let (first, lost) = (play.next("account0"), play.next("account1"));
    play.fill(&first, 4);
    play.fail(&lost, Effect::Unknown);
    play.pass(Duration::from_millis(9_900));
    assert_eq!((play.duties(), play.orders.len()), (0, 0), "it may yet stand");
    play.pass(Duration::from_millis(200));
    let close = play.next("account0");
    play.fill(&close, 4);
    assert_eq!(play.states("s"), ["unwound:unwind", "unknown"]);
    assert_eq!(play.status("s"), ExecutionStatus::Unresolved);
    // Much later, in another process, the venue tells that it filled.
    play = play.restart();
    play.bench.pass(Duration::from_secs(86_400));
    play.recover(&[]);
    let tasks = play.bench.fill(&lost, 4);
    play.take(tasks);
    play.commit();
    assert_eq!(play.duties(), 1, "an orphan is work to do");
    // The account has not recovered until its order was asked for.
    play.evidence(&lost, Evidence::NotYet { ask_at: play.bench.now.wall, why: "no word".into() });
    let close = play.next("account1");
    assert_eq!(play.asked(&close), (Purpose::Close, name("13.02")));
    play.fill(&close, 4);
    assert_eq!(play.states("s"), ["unwound:unwind", "unwound:unwind"]);
    play.is_over();
}

#[test]
fn an_unknown_leg_that_proves_absent_after_its_group_failed_ends_with_nothing_to_close() {
    let mut play = Play::new(2);
    play.execute("s", ALL);
    let (first, lost) = (play.next("account0"), play.next("account1"));
    play.fill(&first, 4);
    play.fail(&lost, Effect::Unknown);
    play.pass(Duration::from_secs(11));
    let close = play.next("account0");
    play.fill(&close, 4);
    // The signal is valid for a minute, but no other attempt follows.
    play.evidence(&lost, Evidence::AbsentForever { evidence: "burned".into() });
    play.pass(Duration::from_secs(20));
    assert_eq!(play.orders, []);
    assert_eq!(play.states("s"), ["unwound:unwind", "expired:absent"]);
    play.is_over();
}

#[test]
fn a_leg_found_to_have_filled_when_its_execution_was_long_gone_is_closed() {
    let mut play = Play::new(2);
    play.execute("s", ALL);
    let (first, lost) = (play.next("account0"), play.next("account1"));
    play.fail(&first, Effect::Refused);
    play.fail(&lost, Effect::Unknown);
    play.evidence(&lost, Evidence::AbsentForever { evidence: "burned, or so it says".into() });
    let kill = |scope| Input::Kill { scope, mode: Default::default(), reason: "stop".into(), token: 99 };
    play.turn(kill(KillScope::All));
    for index in 0..(RETAINED + 8) {
        play.execute(&format!("t{index}"), "");
    }
    let book = play.bench.kernel.state().book();
    assert!(book.execution_of(&name("s")).is_none(), "it is no longer at hand");
    let report = OrderReport {
        client_order_id: lost.clone(),
        venue_order_id: name("v9"),
        symbol: name("HYPE"),
        status: omnivenue_core::model::order::OrderStatus::Filled,
        filled_quantity: name("13.02"),
        fills: vec![omnivenue_core::model::order::FillReport {
            trade_id: name("late"),
            client_order_id: Some(lost.clone()),
            venue_order_id: name("v9"),
            symbol: name("HYPE"),
            side: omnivenue_core::model::instrument::Side::Buy,
            price: name("38"),
            quantity: name("13.02"),
            fee: omnivenue_core::model::order::Fee { asset: name("USDC"), amount: name("0.1") },
            at: play.bench.now.wall,
            cause: None,
        }],
        position_id: None,
        at: play.bench.now.wall,
    };
    let tasks = play.bench.kernel.report(play.bench.now, name("account1"), report);
    play.take(tasks);
    play.commit();
    let close = play.next("account1");
    play.fill(&close, 4);
    assert_eq!(play.states("s")[1], "unwound:unwind");
    play.is_over();
}

#[test]
fn a_leg_refused_at_the_pre_check_sends_nothing_anywhere() {
    let mut play = Play::new(3);
    play.turn(Input::Kill { scope: KillScope::Account(name("account1")), mode: Default::default(), reason: "stop".into(), token: 99 });
    play.execute("s", ALL);
    assert_eq!(play.orders, []);
    assert_eq!(play.states("s"), ["refused:group", "refused:killed", "refused:group"]);
    let execution = play.bench.kernel.published(&name("s")).unwrap().unwrap();
    let reason = execution.legs[0].reason.clone().unwrap_or_default();
    assert!(reason.contains("all 3 legs") && reason.contains("account1 refused (killed)"), "{reason}");
    play.is_over();
    play.execute("t", r#","leg_policy":{"at_least":4}"#);
    assert_eq!(play.states("t"), ["refused:group", "refused:killed", "refused:group"]);
    play.execute("u", r#","leg_policy":{"at_least":2}"#);
    assert_eq!((play.states("u"), play.orders.len()), (vec!["sent".to_owned(), "refused:killed".into(), "sent".into()], 2));
}

#[test]
fn a_leg_that_is_killed_right_before_it_leaves_keeps_its_group_from_leaving() {
    let mut play = Play::new(2);
    let signal = play.bench.signal("s", "one", ALL);
    let tasks = play.bench.execute(signal);
    play.take(tasks);
    let kill = Input::Kill { scope: KillScope::Account(name("account1")), mode: Default::default(), reason: "stop".into(), token: 99 };
    play.turn(kill);
    assert_eq!(play.orders, [], "the first leg would have left alone");
    assert_eq!(play.states("s"), ["refused:group", "refused:killed"]);
    play.is_over();
}

#[test]
fn a_ready_leg_waits_for_the_others_of_its_group_and_all_go_in_one_flush() {
    let mut play = Play::new(3);
    play.bench.accounts[1].ready.store(false, Ordering::Relaxed);
    play.execute("s", ALL);
    assert_eq!(play.orders, []);
    assert_eq!(play.states("s"), ["planned", "planned", "planned"]);
    play.pass(Duration::from_secs(1));
    let late = play.waiting.remove(0);
    play.bench.kernel.input(play.bench.now, Input::Ready { leg: late, result: Ok(()) });
    let (entries, tasks) = play.bench.commit();
    assert_eq!((entries, bench::placed(&tasks).len()), (3, 3), "three intents in one write");
    let nonces: Vec<_> = play.bench.kernel.state().book().unsettled().cloned().collect();
    assert_eq!(nonces.len(), 3);
}

#[test]
fn what_was_ready_too_long_ago_is_asked_again() {
    let mut play = Play::new(2);
    play.bench.accounts[1].ready.store(false, Ordering::Relaxed);
    play.execute("s", ALL);
    play.pass(Duration::from_secs(6));
    let late = play.waiting.remove(0);
    play.bench.accounts[0].ready.store(false, Ordering::Relaxed);
    play.turn(Input::Ready { leg: late, result: Ok(()) });
    assert_eq!(play.orders, [], "the first leg's permit is six seconds old");
    let again = play.waiting.remove(0);
    assert_eq!(again.leg, 0);
    play.turn(Input::Ready { leg: again, result: Ok(()) });
    assert_eq!(play.orders.len(), 2);
}

#[test]
fn a_leg_that_is_never_ready_ends_its_group_before_anything_is_sent() {
    let mut play = Play::new(2);
    play.bench.accounts[1].ready.store(false, Ordering::Relaxed);
    play.execute("s", ALL);
    play.execute("t", &format!(r#","valid_for":"3s"{ALL}"#));
    play.pass(Duration::from_secs(4));
    assert_eq!(play.states("t"), ["expired:expired", "refused:group"], "validity bounds the wait");
    assert_eq!(play.states("s"), ["planned", "planned"]);
    play.pass(Duration::from_secs(7));
    assert_eq!(play.states("s"), ["refused:group", "refused:group"]);
    assert_eq!(play.orders, []);
    play.is_over();
}

#[test]
fn where_enough_are_ready_without_it_a_late_leg_is_waited_for_half_of_the_time() {
    let mut play = Play::new(2);
    play.bench.accounts[1].ready.store(false, Ordering::Relaxed);
    play.execute("s", r#","leg_policy":{"at_least":1}"#);
    play.pass(Duration::from_millis(4_900));
    assert_eq!(play.orders, []);
    play.pass(Duration::from_millis(200));
    // Its permit is as old as that: it is asked again, and goes.
    let order = play.next("account0");
    play.fill(&order, 4);
    assert_eq!(play.states("s"), ["filled:", "planned"]);
    let late = play.waiting.remove(0);
    play.turn(Input::Ready { leg: late, result: Ok(()) });
    assert_eq!(play.orders.len(), 1, "it follows on its own");
}

#[test]
fn at_least_one_of_two_stands_with_one_failing() {
    let mut play = Play::new(2);
    play.execute("s", r#","leg_policy":{"at_least":1}"#);
    let (first, other) = (play.next("account0"), play.next("account1"));
    play.fill(&other, 1);
    assert_eq!(play.duties(), 0, "the other may yet fill");
    play.fill(&first, 4);
    assert_eq!(play.states("s"), ["filled:", "partially_filled:canceled"], "what filled in part stays as it is");
    play.pass(Duration::from_secs(60));
    assert_eq!((play.duties(), play.held("account1").as_str()), (0, "3.25"));
}

#[test]
fn two_deployments_are_two_groups() {
    let mut play = Play::with(2, |setup| {
        let mut copy = setup.deployments[&name("one")].clone();
        copy.accounts.truncate(1);
        setup.deployments.insert(name("copy"), copy);
    });
    play.execute("s", ALL);
    // Deployments in the order of their names: the copy has one leg, on account0.
    let (copy, first, hedge) = (play.next("account0"), play.next("account0"), play.next("account1"));
    play.fill(&copy, 4);
    play.fill(&first, 4);
    play.fail(&hedge, Effect::Refused);
    let close = play.next("account0");
    assert_eq!(play.asked(&close).1, name("13.02"));
    play.fill(&close, 4);
    assert_eq!(play.states("s"), ["filled:", "unwound:unwind", "rejected:invalid_request"]);
    assert_eq!(play.held("account0"), "13.02", "the copy's is not touched");
}

/// FIELD 28: main and unwind both failed, and the orphan was a line in a log.
#[test]
fn an_orphan_is_work_to_do_through_refusals_outages_and_restarts_until_it_is_flat() {
    let mut play = Play::new(2);
    play.execute("s", ALL);
    let (first, hedge) = (play.next("account0"), play.next("account1"));
    play.fill(&first, 4);
    play.fail(&hedge, Effect::Refused);
    for _ in 0..3 {
        let close = play.next("account0");
        play.fail(&close, Effect::Refused);
        play.pass(Duration::from_secs(40));
    }
    let health = play.bench.kernel.health(play.bench.now);
    assert_eq!(health.duties.len(), 1);
    let duty = &health.duties[0];
    assert_eq!((duty.code.as_str(), duty.tries, duty.quantity), ("unwind", 4, name("13.02")));
    assert!(duty.reason.contains("account1 rejected"), "{duty:?}");
    play = play.restart();
    let health = play.bench.kernel.health(play.bench.now);
    assert!(health.duties[0].failure.as_ref().is_some_and(|why| why.contains("cannot trade yet")), "{health:?}");
    play.pass(Duration::from_secs(600));
    assert_eq!(play.orders, [], "the venue is out of reach");
    play.recover(&[]);
    // What was on its way when the process died is asked for first.
    let lost: Vec<ClientOrderId> = play.bench.kernel.state().book().unsettled().cloned().collect();
    for order in lost {
        play.evidence(&order, Evidence::AbsentForever { evidence: "burned".into() });
    }
    play.pass(Duration::from_secs(40));
    let close = play.next("account0");
    play.fill(&close, 4);
    assert_eq!(play.states("s"), ["unwound:unwind", "rejected:invalid_request"]);
    play.is_over();
}

#[test]
fn a_group_whose_deadline_passed_while_nothing_ran_is_decided_by_what_its_accounts_tell() {
    for both in [true, false] {
        let mut play = Play::new(2);
        play.execute("s", ALL);
        let (first, second) = (play.next("account0"), play.next("account1"));
        play.bench.pass(Duration::from_secs(3_600));
        play = play.restart();
        play.pass(Duration::from_secs(1));
        assert_eq!(play.duties(), 0, "nothing is decided before the accounts were asked");
        play.recover(&[]);
        play.fill(&first, 4);
        play.evidence(&first, Evidence::NotYet { ask_at: play.bench.now.wall, why: "told already".into() });
        assert_eq!(play.duties(), 0);
        if both {
            play.fill(&second, 4);
            assert_eq!(play.states("s"), ["filled:", "filled:"]);
        } else {
            play.evidence(&second, Evidence::NotYet { ask_at: play.bench.now.wall, why: "no word".into() });
            assert_eq!(play.states("s"), ["filled:", "unknown"]);
        }
        play.pass(Duration::from_secs(1));
        assert_eq!(play.duties(), usize::from(!both));
    }
}

#[test]
fn a_hedge_whose_account_does_not_recover_is_not_waited_for_for_ever() {
    let mut play = Play::new(2);
    play.execute("s", ALL);
    let (first, _) = (play.next("account0"), play.next("account1"));
    play.fill(&first, 4);
    play.bench.pass(Duration::from_secs(3_600));
    play = play.restart();
    // Only the first account comes back.
    let positions = vec![omnivenue_core::model::order::NetPosition { symbol: name("HYPE"), quantity: name("13.02"), cost: None }];
    let snapshot = play.bench.snapshot(&[], positions);
    let tasks = play.bench.kernel.snapshot(play.bench.now, name("account0"), Ok(snapshot));
    play.take(tasks);
    play.commit();
    play.pass(Duration::from_secs(9));
    assert_eq!(play.orders, []);
    play.pass(Duration::from_secs(2));
    let close = play.next("account0");
    assert_eq!(play.asked(&close).0, Purpose::Close);
}

#[test]
fn a_person_who_cancels_half_a_group_ends_all_of_it() {
    let mut play = Play::new(2);
    play.bench.accounts[1].ready.store(false, Ordering::Relaxed);
    play.execute("s", ALL);
    let tasks = play.bench.kernel.cancel(play.bench.now, &name("s"), 7);
    play.take(tasks);
    play.commit();
    assert_eq!(play.states("s"), ["canceled:canceled", "refused:group"]);
    play.is_over();
}

/// One venue's account has no room: the other venue never hears of it.
#[test]
fn a_group_that_cannot_stand_reaches_no_exchange() {
    let mut scenario = Scenario::group(Rule::ALL[0], None);
    scenario.script.truncate(1);
    let full = scenario.setup.accounts.values_mut().next_back().expect("there are accounts");
    full.limits.max_notional = Some(name("50"));
    let history = run(1, &scenario, false);
    assert_eq!(history.violations, []);
    assert_eq!((history.coverage.counts.get("signals"), history.coverage.counts.get("orders placed")), (Some(&1), None));
    assert_eq!(history.coverage.counts.get("groups that failed"), Some(&1));
}

fn holds(rule: Rule, fault: Option<(RequestKind, FaultKind, usize)>, total: &mut Coverage) {
    let scenario = Scenario::group(rule, fault);
    let spared = run(1, &scenario, false);
    assert_eq!(spared.violations, [], "{rule:?} {fault:?}, never dying");
    total.merge(&spared.coverage);
    for place in 1..=spared.opportunities.min(140) {
        let scenario = Scenario { crashes: vec![place], ..scenario.clone() };
        let history = run(1, &scenario, false);
        assert_eq!(history.violations, [], "{rule:?} {fault:?}, dying at opportunity {place}");
        total.merge(&history.coverage);
    }
}

/// FIELD 26: a crash between the legs, and one at every moment of the unwind. Money is the venue's to the last digit.
#[test]
fn dying_anywhere_in_a_group_leaves_nothing_half_open() {
    let mut total = Coverage::default();
    Rule::ALL.into_iter().for_each(|rule| holds(rule, None, &mut total));
    let faults = [FaultKind::CutAfter, FaultKind::LateFill, FaultKind::Silence, FaultKind::Refuse, FaultKind::CutBefore];
    for (rule, fault) in Rule::ALL.into_iter().zip(faults) {
        holds(rule, Some((RequestKind::Place, fault, 1)), &mut total);
    }
    for what in ["groups that failed", "groups that stood", "legs unwound"] {
        assert!(total.counts.get(what).is_some_and(|count| *count > 100), "{what}: {total:?}");
    }
}

/// The verdict is one event, whatever happens later.
#[test]
fn a_group_is_decided_once() {
    let mut play = Play::new(2);
    play.execute("s", ALL);
    let (first, hedge) = (play.next("account0"), play.next("account1"));
    play.fail(&hedge, Effect::Refused);
    play.fill(&first, 4);
    let close = play.next("account0");
    play.fill(&close, 4);
    play.pass(Duration::from_secs(60));
    play = play.restart();
    play.recover(&[]);
    play.pass(Duration::from_secs(60));
    let verdicts = play.bench.store.entries().into_iter().filter(|entry| matches!(entry.event(), Ok(Event::GroupDecided { .. }))).count();
    assert_eq!(verdicts, 1);
    play.is_over();
}
