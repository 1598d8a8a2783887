//! Circuit breakers: what is unwell takes no entries until it has been well for a while, and what is open is closed as ever.

use std::time::Duration;

use omnivenue_core::engine::Task;
use omnivenue_core::executor::{Input, Limits, Measure, Severity, Timer, engine_state, venue_state};
use omnivenue_core::journal::{BreakerState, Event, Failure, Journal, KillScope, MemoryStore, Verdict};
use omnivenue_core::model::ids::{AccountId, ClientOrderId, VenueId};
use omnivenue_core::model::order::NetPosition;
use omnivenue_core::venue::{Effect, ErrorKind, Quote};
use proptest::prelude::*;

mod bench;

use self::bench::{Bench, name, placed};

fn failure(kind: ErrorKind, effect: Effect) -> Failure {
    Failure { kind, effect, code: None, message: "the test says so".into() }
}

/// A bench of `venues`; the last account is paper and stands in for the others where `fallback` says so.
fn bench(venues: usize, fallback: bool, store: MemoryStore) -> Bench {
    Bench::with(venues, Limits::default(), store, |setup| {
        if fallback {
            let paper: AccountId = name(&format!("account{}", venues - 1));
            for deployment in setup.deployments.values_mut() {
                deployment.accounts.retain(|share| share.account != paper);
                deployment.accounts.iter_mut().for_each(|share| share.fallback = Some(paper.clone()));
            }
        }
    })
}

trait Wellness {
    fn fail(&mut self, venue: usize, times: usize, kind: ErrorKind);
    fn answer(&mut self, venue: usize);
    fn price(&mut self, venue: usize) -> Vec<Task>;
    fn tick(&mut self);
    fn well_for(&mut self, seconds: u64);
    fn state(&self, venue: Option<usize>) -> BreakerState;
    fn raised(&self, venue: usize) -> Vec<(Measure, Severity)>;
}

impl Wellness for Bench {
    fn fail(&mut self, venue: usize, times: usize, kind: ErrorKind) {
        for _ in 0..times {
            let result = Err(failure(kind, Effect::Unknown));
            self.kernel.snapshot(self.now, name(&format!("account{venue}")), result);
        }
    }

    fn answer(&mut self, venue: usize) {
        let account: AccountId = name(&format!("account{venue}"));
        let ledger = self.kernel.state().book().ledger();
        let symbols: Vec<_> = ledger.instruments_of(&account).cloned().collect();
        let positions = symbols
            .into_iter()
            .map(|symbol| NetPosition { quantity: ledger.net_quantity(&account, &symbol), symbol, cost: None })
            .collect();
        let snapshot = self.snapshot(&[], positions);
        self.kernel.snapshot(self.now, account, Ok(snapshot));
    }

    fn price(&mut self, venue: usize) -> Vec<Task> {
        let quote = Quote { symbol: name("HYPE"), bid: name("37.99"), ask: name("38.01"), at: self.now.wall, depth: Default::default() };
        self.kernel.input(self.now, Input::Quote { venue: name(&format!("venue{venue}")), quote })
    }

    fn tick(&mut self) {
        self.kernel.input(self.now, Input::Timer(Timer::Breakers));
    }

    /// Everything answers and has prices, for so long.
    fn well_for(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(Duration::from_secs(1));
            (0..self.accounts.len()).for_each(|venue| {
                self.answer(venue);
                self.price(venue);
            });
            self.tick();
        }
        self.commit();
    }

    fn state(&self, venue: Option<usize>) -> BreakerState {
        let venue: Option<VenueId> = venue.map(|venue| name(&format!("venue{venue}")));
        self.kernel.state().book().breaker(venue.as_ref()).map(|breaker| breaker.state).unwrap_or_default()
    }

    fn raised(&self, venue: usize) -> Vec<(Measure, Severity)> {
        let venue: VenueId = name(&format!("venue{venue}"));
        let alarms = self.kernel.state().alarms();
        alarms.into_iter().filter(|alarm| alarm.venue.as_ref() == Some(&venue)).map(|alarm| (alarm.measure, alarm.severity)).collect()
    }
}

fn enter(bench: &mut Bench, id: &str) -> Vec<ClientOrderId> {
    let signal = bench.signal(id, "one", "");
    bench.execute(signal);
    placed(&bench.commit().1)
}

fn reason(bench: &Bench, id: &str, leg: usize) -> String {
    let number = bench.kernel.execution_of(&name(id)).expect("the journal reads").expect("it was taken");
    let record = bench.kernel.execution(number).expect("the journal reads").expect("it is there");
    serde_json::to_string(&record.legs[leg].state).expect("plain data")
}

#[test]
fn an_outage_degrades_a_venue_and_its_end_must_be_seen() {
    let mut bench = bench(2, false, MemoryStore::new());
    bench.fail(0, 4, ErrorKind::Connection);
    assert_eq!(bench.state(Some(0)), BreakerState::Normal);
    bench.fail(0, 1, ErrorKind::Connection);
    assert_eq!((bench.state(Some(0)), bench.state(None)), (BreakerState::Degraded, BreakerState::Normal));
    assert_eq!(enter(&mut bench, "s").len(), 1, "the other venue is not concerned");
    assert_eq!(bench.states("s"), ["refused:breaker", "sent"]);
    let why = reason(&bench, "s", 0);
    for words in ["venue0 is degraded since 2026-01-01", "errors: 5 of 6 calls failed within 1m", "high from 5"] {
        assert!(why.contains(words), "{why}\nshould contain {words}");
    }
    // Nobody can reach it any more, so nothing fails any more: that is no recovery.
    for _ in 0..10 {
        bench.pass(Duration::from_secs(60));
        bench.tick();
    }
    assert_eq!(bench.state(Some(0)), BreakerState::Degraded);
    bench.well_for(29);
    assert_eq!(bench.state(Some(0)), BreakerState::Degraded, "not yet for long enough");
    bench.well_for(2);
    assert_eq!(bench.state(Some(0)), BreakerState::Normal);
}

#[test]
fn exits_pass_whatever_is_open() {
    let mut bench = bench(2, false, MemoryStore::new());
    let orders = enter(&mut bench, "s");
    orders.iter().for_each(|order| drop(bench.fill(order, 4)));
    bench.fail(0, 40, ErrorKind::Unavailable);
    assert_eq!((bench.state(Some(0)), bench.state(None)), (BreakerState::Emergency, BreakerState::Emergency));
    assert_eq!(enter(&mut bench, "t").len(), 0);
    let request = serde_json::from_str(r#"{"id":"c","target":"all"}"#).expect("a valid request");
    bench.token += 1;
    bench.kernel.close(bench.now, request, bench.token);
    let closes = placed(&bench.commit().1);
    assert_eq!(closes.len(), 2, "both positions are closed, in an emergency too");
}

#[test]
fn what_was_prepared_leaves_while_degraded_and_stays_in_an_emergency() {
    for (failures, leaving) in [(5, 2), (30, 0)] {
        let mut bench = bench(2, false, MemoryStore::new());
        let signal = bench.signal("s", "one", "");
        bench.execute(signal);
        let batch = bench.kernel.take_batch().expect("the intents");
        bench.store.append(&batch.entries).expect("memory takes it");
        bench.fail(0, failures, ErrorKind::Timeout);
        assert_eq!(placed(&bench.kernel.committed(bench.now, batch)).len(), leaving, "{failures} failures");
    }
}

#[test]
fn two_venues_that_are_unwell_degrade_the_engine() {
    let mut bench = bench(3, false, MemoryStore::new());
    bench.fail(0, 5, ErrorKind::Unreadable);
    assert_eq!(bench.state(None), BreakerState::Normal);
    bench.fail(1, 5, ErrorKind::RateLimited);
    assert_eq!((bench.state(None), bench.state(Some(2))), (BreakerState::Degraded, BreakerState::Normal));
    assert_eq!(enter(&mut bench, "s").len(), 0);
    assert!(reason(&bench, "s", 2).contains("the engine is degraded"), "{}", reason(&bench, "s", 2));
    bench.well_for(92);
    assert_eq!(bench.state(None), BreakerState::Normal);
    assert_eq!(enter(&mut bench, "t").len(), 3);
}

#[test]
fn routing_first_turns_to_the_next_venue() {
    let mut bench = bench(2, false, MemoryStore::new());
    bench.fail(0, 5, ErrorKind::Connection);
    let signal = bench.signal("s", "one", r#","routing":"first""#);
    bench.execute(signal);
    assert_eq!(placed(&bench.commit().1).len(), 1);
    assert_eq!(bench.states("s"), ["refused:breaker", "sent"]);
}

#[test]
fn in_an_emergency_entries_go_to_paper_and_never_to_both() {
    let mut bench = bench(3, true, MemoryStore::new());
    bench.fail(0, 30, ErrorKind::Unavailable);
    assert_eq!(bench.state(None), BreakerState::Emergency);
    assert_eq!(enter(&mut bench, "s").len(), 1);
    assert_eq!(bench.states("s"), ["sent", "skipped:paper_fallback"]);
    let number = bench.kernel.execution_of(&name("s")).expect("the journal reads").expect("it was taken");
    let record = bench.kernel.execution(number).expect("the journal reads").expect("it is there");
    let stand_in = record.legs[0].plan.stands_in.as_ref().expect("it says so");
    assert_eq!((record.legs[0].plan.account.as_str(), stand_in.account.as_str()), ("account2", "account0"));
    assert!(stand_in.why.reason.contains("30 of 31 calls failed within 1m (critical from 30"), "{}", stand_in.why.reason);
    let order = record.legs[0].orders[0].intent.client_order_id().clone();
    bench.fill(&order, 4);
    bench.commit();
    // Once more while it lasts, and once more when it is over: the same execution, on paper.
    assert_eq!(enter(&mut bench, "s").len(), 0);
    bench.well_for(92);
    assert_eq!(bench.state(None), BreakerState::Normal);
    assert_eq!(enter(&mut bench, "s").len(), 0);
    assert_eq!(bench.states("s"), ["filled:", "skipped:paper_fallback"]);
    assert_eq!(enter(&mut bench, "t").len(), 2, "the next one is for real");
    assert_eq!(bench.states("t"), ["sent", "sent"]);
}

#[test]
fn without_a_fallback_an_emergency_takes_no_entries() {
    let mut bench = bench(2, false, MemoryStore::new());
    bench.fail(1, 30, ErrorKind::Timeout);
    assert_eq!(enter(&mut bench, "s").len(), 0);
    assert_eq!(bench.states("s"), ["refused:breaker", "refused:breaker"]);
}

#[test]
fn an_order_that_stays_unknown_is_an_alarm() {
    let mut bench = bench(1, false, MemoryStore::new());
    let order = enter(&mut bench, "s").remove(0);
    let lost = Err(failure(ErrorKind::Timeout, Effect::Unknown));
    bench.kernel.input(bench.now, Input::Placed { order: order.clone(), result: lost });
    bench.well_for(119);
    assert_eq!(bench.raised(0), [(Measure::Unknown, Severity::Low)]);
    bench.well_for(2);
    assert_eq!((bench.raised(0), bench.state(Some(0))), (vec![(Measure::Unknown, Severity::High)], BreakerState::Degraded));
    let resolve = Input::Resolve { order, verdict: Verdict::Absent, reason: "looked it up".into(), token: 9 };
    bench.kernel.input(bench.now, resolve);
    bench.well_for(31);
    assert_eq!(bench.state(Some(0)), BreakerState::Normal);
}

#[test]
fn an_order_is_unknown_for_as_long_as_it_was_whatever_restarted_meanwhile() {
    let store = MemoryStore::new();
    let mut bench = bench(1, false, store.clone());
    let order = enter(&mut bench, "s").remove(0);
    bench.kernel.input(bench.now, Input::Placed { order, result: Err(failure(ErrorKind::Timeout, Effect::Unknown)) });
    bench.well_for(100);
    let (setup, accounts, mut now) = (bench.setup.clone(), bench.accounts.clone(), bench.now);
    now.monotonic = 5;
    drop(bench);
    let mut bench = Bench::opened(setup, accounts, store, now);
    bench.well_for(21);
    assert_eq!(bench.raised(0), [(Measure::Unknown, Severity::High)]);
}

#[test]
fn drift_is_an_alarm_until_a_person_says_otherwise() {
    let mut bench = bench(2, false, MemoryStore::new());
    let foreign = || vec![NetPosition { symbol: name("HYPE"), quantity: name("3"), cost: None }];
    for _ in 0..2 {
        let snapshot = bench.snapshot(&[], foreign());
        bench.kernel.snapshot(bench.now, name("account0"), Ok(snapshot));
    }
    assert_eq!((bench.raised(0), bench.state(Some(0))), (vec![(Measure::Drift, Severity::High)], BreakerState::Degraded));
    let resume = Input::Resume { scope: KillScope::Account(name("account0")), reason: "it is mine".into(), token: 7 };
    bench.kernel.input(bench.now, resume);
    assert_eq!((bench.raised(0), bench.state(Some(0))), (vec![], BreakerState::Normal), "there is nothing to wait for");
}

#[test]
fn slow_answers_degrade_and_never_more_than_that() {
    let mut bench = bench(1, false, MemoryStore::new());
    for round in 0..40 {
        let signal = bench.signal(&format!("s{round}"), "one", "");
        bench.execute(signal);
        let orders = placed(&bench.commit().1);
        bench.pass(Duration::from_millis(4_500));
        orders.iter().for_each(|order| drop(bench.fill(order, 4)));
        let expected = if round == 0 { BreakerState::Normal } else { BreakerState::Degraded };
        assert_eq!(bench.state(Some(0)), expected, "round {round}");
    }
    assert_eq!(bench.raised(0), [(Measure::Latency, Severity::High)]);
}

#[test]
fn what_is_silent_is_an_alarm_only_while_something_is_at_stake() {
    let mut bench = bench(2, false, MemoryStore::new());
    bench.pass(Duration::from_secs(300));
    bench.tick();
    assert_eq!(bench.raised(0), [], "nothing is held there");
    bench.well_for(1);
    let order = enter(&mut bench, "s").remove(0);
    bench.fill(&order, 4);
    bench.pass(Duration::from_secs(61));
    bench.price(1);
    bench.tick();
    assert_eq!(bench.raised(0), [(Measure::Stale, Severity::High)]);
    assert_eq!(bench.raised(1), [], "it has a price");
    bench.well_for(1);
    bench.pass(Duration::from_secs(61));
    bench.answer(1);
    bench.tick();
    assert_eq!(bench.raised(1), [(Measure::Stale, Severity::Low)], "it answers: perhaps nothing changes there");
}

#[test]
fn a_restart_begins_with_what_stood_and_leaves_it_when_all_is_well() {
    let store = MemoryStore::new();
    let mut bench = bench(3, true, store.clone());
    bench.fail(0, 30, ErrorKind::Unavailable);
    bench.commit();
    let (setup, accounts, mut now) = (bench.setup.clone(), bench.accounts.clone(), bench.now);
    now.monotonic = 17;
    drop(bench);
    let mut bench = Bench::opened(setup, accounts, store, now);
    bench.recover(&[]);
    assert_eq!((bench.state(Some(0)), bench.state(None)), (BreakerState::Emergency, BreakerState::Emergency));
    assert_eq!(enter(&mut bench, "s").len(), 1);
    assert_eq!(bench.states("s"), ["sent", "skipped:paper_fallback"]);
    bench.well_for(29);
    assert_eq!(bench.state(None), BreakerState::Emergency);
    bench.well_for(7);
    assert_eq!((bench.state(Some(0)), bench.state(None)), (BreakerState::Normal, BreakerState::Normal));
}

#[test]
fn a_flood_of_prices_costs_nothing() {
    let mut bench = bench(1, false, MemoryStore::new());
    let order = enter(&mut bench, "s").remove(0);
    bench.fill(&order, 4);
    bench.commit();
    let timers = |tasks: Vec<Task>| tasks.iter().filter(|task| matches!(task, Task::Wake { timer: Timer::Breakers, .. })).count();
    bench.tick();
    bench.commit();
    let woken: usize = (0..10_000).map(|_| timers(bench.price(0))).sum();
    assert_eq!(woken, 0, "one timer runs, however many prices come");
    assert!(!bench.kernel.has_entries() && bench.kernel.state().alarms().is_empty());
}

#[test]
fn proper_refusals_open_nothing() {
    let mut bench = bench(1, false, MemoryStore::new());
    for (round, kind) in [ErrorKind::InsufficientFunds, ErrorKind::InvalidRequest, ErrorKind::Expired, ErrorKind::Unauthorized]
        .repeat(20)
        .into_iter()
        .enumerate()
    {
        let order = enter(&mut bench, &format!("s{round}")).remove(0);
        bench.kernel.input(bench.now, Input::Placed { order, result: Err(failure(kind, Effect::Refused)) });
        bench.fail(0, 1, ErrorKind::NotFound);
    }
    assert!(bench.kernel.state().alarms().is_empty());
    assert_eq!(bench.state(Some(0)), BreakerState::Normal);
}

#[test]
fn a_call_that_is_overdue_is_counted_once() {
    let mut bench = bench(1, false, MemoryStore::new());
    let order = enter(&mut bench, "s").remove(0);
    bench.pass(Duration::from_secs(5));
    bench.kernel.input(bench.now, Input::Timer(Timer::Deadline(order.clone())));
    for _ in 0..10 {
        bench.kernel.input(bench.now, Input::Timer(Timer::Deadline(order.clone())));
        let late = Err(failure(ErrorKind::Timeout, Effect::Unknown));
        bench.kernel.input(bench.now, Input::Placed { order: order.clone(), result: late });
    }
    assert!(bench.raised(0).is_empty(), "{:?}", bench.raised(0));
}

/// What can come in, as far as breakers care.
#[derive(Debug, Clone)]
enum Turn {
    Fail(usize, usize),
    Answer(usize),
    Quote(usize),
    Enter,
    Lose,
    Slow,
    Pass(u64),
    Tick,
    Drift(usize),
    Resume(usize),
    Restart,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        4 => (0_usize..3, 1_usize..16).prop_map(|(venue, times)| Turn::Fail(venue, times)),
        3 => (0_usize..3).prop_map(Turn::Answer),
        2 => (0_usize..3).prop_map(Turn::Quote),
        2 => Just(Turn::Enter),
        1 => Just(Turn::Lose),
        1 => Just(Turn::Slow),
        4 => (1_u64..80).prop_map(Turn::Pass),
        4 => Just(Turn::Tick),
        1 => (0_usize..3).prop_map(Turn::Drift),
        1 => (0_usize..3).prop_map(Turn::Resume),
        1 => Just(Turn::Restart),
    ];
    prop::collection::vec(turn, 1..60)
}

fn take(mut bench: Bench, turn: &Turn, count: usize, open: &mut Vec<ClientOrderId>) -> Bench {
    match turn {
        Turn::Fail(venue, times) => bench.fail(*venue, *times, ErrorKind::Timeout),
        Turn::Answer(venue) => bench.answer(*venue),
        Turn::Quote(venue) => drop(bench.price(*venue)),
        Turn::Enter => open.extend(enter(&mut bench, &format!("s{count}"))),
        Turn::Lose => {
            if let Some(order) = open.pop() {
                bench.kernel.input(bench.now, Input::Placed { order, result: Err(failure(ErrorKind::Connection, Effect::Unknown)) });
            }
        }
        Turn::Slow => {
            bench.pass(Duration::from_secs(5));
            if let Some(order) = open.pop() {
                bench.fill(&order, 4);
            }
        }
        Turn::Pass(seconds) => bench.pass(Duration::from_secs(*seconds)),
        Turn::Tick => bench.tick(),
        Turn::Drift(venue) => {
            for _ in 0..2 {
                let snapshot = bench.snapshot(&[], vec![NetPosition { symbol: name("BTC"), quantity: name("3"), cost: None }]);
                bench.kernel.snapshot(bench.now, name(&format!("account{venue}")), Ok(snapshot));
            }
        }
        Turn::Resume(venue) => {
            let scope = KillScope::Account(name(&format!("account{venue}")));
            bench.kernel.input(bench.now, Input::Resume { scope, reason: "looked at".into(), token: 3 });
        }
        Turn::Restart => {
            bench.commit();
            let (setup, accounts, store, mut now) = (bench.setup.clone(), bench.accounts.clone(), bench.store.clone(), bench.now);
            now.monotonic = 1;
            open.clear();
            return Bench::opened(setup, accounts, store, now);
        }
    }
    bench
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever comes when: the states are what the table says of the alarms, and the journal tells the same.
    #[test]
    fn the_states_are_what_the_alarms_say(turns in turns()) {
        let mut bench = bench(3, false, MemoryStore::new());
        let mut open = Vec::new();
        for (count, turn) in turns.iter().enumerate() {
            bench = take(bench, turn, count, &mut open);
            let alarms = bench.kernel.state().alarms();
            prop_assert_eq!(bench.state(None), engine_state(&alarms), "{:?}: {:?}", turn, alarms);
            for venue in 0..3 {
                let worst = bench.raised(venue).into_iter().map(|(_, severity)| severity).max();
                prop_assert_eq!(bench.state(Some(venue)), venue_state(worst), "{:?}: {:?}", turn, alarms);
            }
        }
        bench.commit();
        let mut told = std::collections::BTreeMap::new();
        for entry in bench.store.entries() {
            if let Ok(Event::BreakerChanged { venue, state, .. }) = entry.event() {
                prop_assert_ne!(told.insert(venue, state), Some(state), "a change that changes nothing is not one");
            }
        }
        for (venue, state) in told {
            prop_assert_eq!(bench.kernel.state().book().breaker(venue.as_ref()).map(|breaker| breaker.state).unwrap_or_default(), state);
        }
    }
}
