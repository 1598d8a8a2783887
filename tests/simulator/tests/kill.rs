//! The kill switch: what it stops stays stopped, what it closes is flat, and what it says of both is so.

use std::collections::BTreeMap;
use std::time::Duration;

use omnivenue_core::engine::{Flatness, KillReport};
use omnivenue_core::executor::{EntryFate, Limits};
use omnivenue_core::journal::{KillMode, KillScope};
use omnivenue_core::model::ids::{AccountId, VenueSymbol};
use omnivenue_core::model::number::SignedQuantity;
use omnivenue_core::model::order::{OrderState, Purpose};
use omnivenue_core::model::signal::Signal;
use omnivenue_paper::{Config, FaultConfig, PriceSource};
use omnivenue_simulator::{Action, Bench, FaultKind, Random, RequestKind, Rule, Scenario};

fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("a valid name")
}

/// Exchanges of one account each, with fixed prices; two agents trade on all of them.
fn scenario(exchanges: usize) -> Scenario {
    let rules = vec![Rule::ALL[0]; exchanges];
    let mut scenario = Scenario::with(&rules, &mut Random::new(1), 0);
    scenario.script = Vec::new();
    let unlimited = Limits::default();
    scenario.setup.limits = unlimited;
    scenario.setup.accounts.clear();
    for (index, rule) in rules.iter().enumerate() {
        let mut config = Config::hyperliquid_like();
        config.id = name(&format!("venue{index}"));
        config.instruments.iter_mut().for_each(|spec| spec.venue = config.id.clone());
        for source in config.prices.values_mut() {
            let PriceSource::Walk { start, .. } = source else { continue };
            *source = PriceSource::Fixed { price: *start };
        }
        config.orders.resend = rule.resend;
        config.orders.absence = rule.absence;
        config.latency = Default::default();
        config.latency.request = Duration::from_millis(10);
        config.accounts = BTreeMap::from([(name(&format!("account{index}")), BTreeMap::from([(name("USDC"), name("100000"))]))]);
        scenario.exchanges[index] = config;
        let account = omnivenue_core::executor::AccountSetup {
            venue: name(&format!("venue{index}")),
            market: None,
            limits: unlimited,
            drift: Default::default(),
        };
        scenario.setup.accounts.insert(name(&format!("account{index}")), account);
    }
    for deployment in scenario.setup.deployments.values_mut() {
        deployment.limits = unlimited;
        let template = deployment.accounts[0].clone();
        let shares = scenario.setup.accounts.keys().map(|account| omnivenue_core::executor::AccountShare {
            account: account.clone(),
            allocation: None,
            ..template.clone()
        });
        deployment.accounts = shares.collect();
    }
    scenario
}

/// Opens the engine and lets its accounts recover.
fn bench(exchanges: usize) -> Bench {
    let mut bench = Bench::new(&scenario(exchanges));
    assert!(bench.pass_until(5_000, |bench| (0..exchanges).all(|index| bench.state().is_ready(&account(index)))));
    bench
}

fn account(index: usize) -> AccountId {
    name(&format!("account{index}"))
}

fn signal(id: &str, agent: &str, asset: &str, order: &str) -> Action {
    let text = format!(
        r#"{{"id":"{id}","agent":"{agent}","asset":"{asset}","direction":"long","sizing":{{"notional":"500"}},"order":{order},"valid_for":"600s"}}"#
    );
    Action::Execute(Box::new(Signal::from_json(&text).expect("a valid signal")))
}

const MARKET: &str = r#"{"type":"market"}"#;
/// Far below the market: it rests.
const RESTING: &str = r#"{"type":"limit","price":"20","time_in_force":"gtc"}"#;

fn kill(bench: &mut Bench, scope: KillScope, mode: KillMode) {
    bench.act(&Action::Kill(scope, mode));
}

fn report(bench: &Bench, scope: &KillScope) -> KillReport {
    bench.kernel().kill_report(scope).expect("the switch is on")
}

fn resting(bench: &Bench, purpose: Purpose) -> usize {
    let book = bench.state().book();
    let open = book.unsettled().filter_map(|id| book.order(id)).filter(|order| matches!(order.state, OrderState::Open { .. }));
    open.filter(|order| order.intent.request().purpose == purpose).count()
}

/// How the legs of a signal ended: outcome and code.
fn ends(bench: &Bench, id: &str) -> Vec<String> {
    let number = bench.kernel().execution_of(&name(id)).expect("the journal reads").expect("it was taken");
    let record = bench.kernel().execution(number).expect("the journal reads").expect("it is there");
    let end = |state: &omnivenue_core::model::execution::LegState| match state {
        omnivenue_core::model::execution::LegState::Done { outcome, why } => {
            format!("{outcome}:{}", why.as_ref().map(|why| why.code.as_str()).unwrap_or_default())
        }
        other => other.name().to_owned(),
    };
    record.legs.iter().map(|leg| end(&leg.state)).collect()
}

fn is_flat(bench: &Bench, index: usize, symbol: &str) -> bool {
    bench.held(&account(index), &name::<VenueSymbol>(symbol)).is_zero()
}

/// Has an order leave, and cuts the venue off before it can answer: the next fault of a place request says what becomes of it there.
fn lose(bench: &mut Bench, signal: &Action) {
    bench.act(signal);
    assert!(bench.pass_until(1_000, |bench| bench.state().book().unsettled().next().is_some()));
    // It is on its way for 10 ms: everything that is asked later is cut.
    bench.pass(8);
    bench.exchange(0, |server| server.set_faults(FaultConfig { cut_before: 1000, ..FaultConfig::default() }));
}

/// What the report says of each position is what the exchanges hold, or it does not claim to know. Returns how many it says are flat.
fn assert_true(bench: &Bench, report: &KillReport) -> usize {
    let mut ours: BTreeMap<(AccountId, VenueSymbol), SignedQuantity> = BTreeMap::new();
    let mut sure: BTreeMap<(AccountId, VenueSymbol), bool> = BTreeMap::new();
    for position in &report.positions {
        let key = (position.account.clone(), position.instrument.clone());
        let confirmed = position.state == Flatness::FlatConfirmed;
        assert!(!confirmed || (position.now.is_zero() && position.confirmed_at.is_some()), "{position:?}");
        assert_eq!(position.why.is_some(), matches!(position.state, Flatness::Stuck | Flatness::FlatUnconfirmed), "{position:?}");
        let sum = ours.entry(key.clone()).or_insert(SignedQuantity::ZERO);
        *sum = sum.plus(position.now).expect("it fits");
        *sure.entry(key).or_insert(true) &= confirmed;
    }
    for ((account, symbol), quantity) in &ours {
        if sure[&(account.clone(), symbol.clone())] {
            assert!(bench.held(account, symbol).is_zero(), "{account} {symbol} is said to be flat, and is not: {report:?}");
            assert!(quantity.is_zero());
        }
    }
    report.positions.iter().filter(|position| position.state == Flatness::FlatConfirmed).count()
}

#[test]
fn pause_keeps_entries_from_leaving_and_nothing_else() {
    let mut bench = bench(2);
    bench.act(&signal("held", "one", "HYPE", MARKET));
    bench.act(&signal("rests", "one", "HYPE", RESTING));
    bench.pass(500);
    assert_eq!(resting(&bench, Purpose::Entry), 2);
    kill(&mut bench, KillScope::All, KillMode::Pause);
    bench.act(&signal("late", "two", "BTC", MARKET));
    bench.pass(20_000);
    assert_eq!(ends(&bench, "late"), ["refused:killed", "refused:killed"]);
    assert_eq!(resting(&bench, Purpose::Entry), 2, "what rests goes on");
    let report = report(&bench, &KillScope::All);
    assert!(report.complete, "{report:?}");
    assert!(report.positions.iter().all(|position| position.state == Flatness::Held) && report.positions.len() == 2, "{report:?}");
    assert!(report.entries.iter().all(|entry| entry.state == EntryFate::Open) && report.entries.len() == 2, "{report:?}");
}

#[test]
fn kill_switch_that_did_not_stop_new_orders() {
    for mode in [KillMode::Pause, KillMode::Cancel, KillMode::Flatten] {
        let mut bench = bench(2);
        bench.act(&signal("before", "one", "HYPE", MARKET));
        // Decided, and not durable yet when the switch is thrown.
        kill(&mut bench, KillScope::All, mode);
        bench.act(&signal("after", "one", "BTC", MARKET));
        // Until the caller hears of it, the throw may be lost with the process.
        bench.pass(20);
        bench.restart(1_000);
        bench.pass(5_000);
        bench.act(&signal("restarted", "two", "ETH", MARKET));
        bench.pass(30_000);
        let entries = (0..2).map(|index| {
            bench.exchange(index, |server| {
                let orders = server.truth().accounts[&account(index)].orders.clone();
                orders.len()
            })
        });
        assert_eq!(entries.sum::<usize>(), 0, "{mode}: no order ever reached a venue");
        assert_eq!(ends(&bench, "restarted"), ["refused:killed", "refused:killed"], "{mode}");
    }
}

#[test]
fn cancel_ends_what_rests_and_what_was_planned_and_leaves_positions() {
    let mut bench = bench(2);
    bench.act(&signal("held", "one", "HYPE", MARKET));
    bench.act(&signal("rests", "one", "HYPE", RESTING));
    bench.pass(500);
    kill(&mut bench, KillScope::All, KillMode::Cancel);
    assert!(!report(&bench, &KillScope::All).complete, "the venue has not said so yet");
    bench.pass(500);
    let report = report(&bench, &KillScope::All);
    assert!(report.complete, "{report:?}");
    assert_eq!(resting(&bench, Purpose::Entry), 0);
    assert!(report.entries.len() == 2 && report.entries.iter().all(|entry| entry.state == EntryFate::Canceled), "{report:?}");
    assert!(report.positions.iter().all(|position| position.state == Flatness::Held), "{report:?}");
    assert!(!is_flat(&bench, 0, "HYPE") && !is_flat(&bench, 1, "HYPE"));
}

#[test]
fn a_cancel_that_failed_is_asked_again_after_a_restart_too() {
    let mut bench = bench(1);
    bench.act(&signal("rests", "one", "HYPE", RESTING));
    bench.pass(500);
    bench.fault(0, RequestKind::Cancel, FaultKind::Refuse, 3);
    kill(&mut bench, KillScope::All, KillMode::Cancel);
    bench.pass(300);
    assert_eq!(resting(&bench, Purpose::Entry), 1);
    bench.restart(100);
    bench.pass(200);
    assert!(!report(&bench, &KillScope::All).complete);
    assert!(bench.pass_until(20_000, |bench| resting(bench, Purpose::Entry) == 0), "{:?}", report(&bench, &KillScope::All));
    assert!(report(&bench, &KillScope::All).complete);
}

#[test]
fn flatten_closes_everything_and_says_so_once_the_venue_has_shown_it() {
    let mut bench = bench(2);
    bench.act(&signal("held", "one", "HYPE", MARKET));
    bench.act(&signal("other", "two", "HYPE", MARKET));
    bench.act(&signal("rests", "one", "HYPE", RESTING));
    bench.pass(500);
    kill(&mut bench, KillScope::All, KillMode::Flatten);
    let mut unconfirmed = 0;
    for _ in 0..500 {
        let report = report(&bench, &KillScope::All);
        assert_true(&bench, &report);
        unconfirmed += report.positions.iter().filter(|position| position.state == Flatness::FlatUnconfirmed).count();
        if report.complete {
            break;
        }
        bench.pass(10);
    }
    assert!(unconfirmed > 0, "flat by our books is not flat yet");
    let report = report(&bench, &KillScope::All);
    assert!(report.complete && report.positions.len() == 4, "{report:?}");
    assert!(report.positions.iter().all(|position| !position.then.is_zero()), "{report:?}");
    assert!(is_flat(&bench, 0, "HYPE") && is_flat(&bench, 1, "HYPE"));
    bench.pass(60_000);
    assert!(bench.kernel().kill_report(&KillScope::All).is_some_and(|report| report.complete), "and it stays so");
}

#[test]
fn stop_that_leaves_positions_open() {
    // An entry whose answer was lost is found after the throw: its position is closed as well.
    for fault in [FaultKind::CutAfter, FaultKind::LateCommit, FaultKind::Silence] {
        let mut bench = bench(1);
        bench.fault(0, RequestKind::Place, fault, 1);
        lose(&mut bench, &signal("lost", "one", "HYPE", MARKET));
        kill(&mut bench, KillScope::All, KillMode::Flatten);
        let before = report(&bench, &KillScope::All);
        assert!(!before.complete && before.positions.is_empty(), "{fault:?}: {before:?}");
        assert!(!before.entries[0].state.is_over(), "{fault:?}: {before:?}");
        bench.exchange(0, |server| server.set_faults(FaultConfig::default()));
        let done = bench.pass_until(120_000, |bench| report(bench, &KillScope::All).complete);
        let after = report(&bench, &KillScope::All);
        assert!(done, "{fault:?}: {after:?}");
        assert_true(&bench, &after);
        assert!(is_flat(&bench, 0, "HYPE"), "{fault:?}");
        let traded = bench.exchange(0, |server| server.truth().accounts[&account(0)].fills.len());
        assert_eq!(after.positions.len(), usize::from(traded > 0), "{fault:?}: {after:?}");
        assert!(after.positions.iter().all(|position| position.then.is_zero()), "{fault:?}: it arose later: {after:?}");
    }
}

#[test]
fn an_unknown_order_that_rests_is_canceled_once_it_is_found() {
    let mut bench = bench(1);
    // Neither an answer nor the stream tells of it.
    bench.fault(0, RequestKind::Place, FaultKind::Silence, 1);
    lose(&mut bench, &signal("lost", "one", "HYPE", RESTING));
    bench.pass(2_500);
    kill(&mut bench, KillScope::Asset(name("HYPE")), KillMode::Cancel);
    let scope = KillScope::Asset(name("HYPE"));
    assert_eq!(report(&bench, &scope).entries[0].state, EntryFate::Unknown, "{:?}", report(&bench, &scope));
    bench.exchange(0, |server| server.set_faults(FaultConfig::default()));
    assert!(bench.pass_until(60_000, |bench| report(bench, &scope).complete), "{:?}", report(&bench, &scope));
    assert_eq!(report(&bench, &scope).entries[0].state, EntryFate::Canceled);
    let open =
        bench.exchange(0, |server| server.truth().accounts[&account(0)].orders.iter().filter(|order| !order.status.is_final()).count());
    assert_eq!(open, 0);
}

#[test]
fn a_restart_in_the_middle_of_a_flatten_goes_on_with_it() {
    for moment in (0..200).step_by(5) {
        let mut bench = bench(2);
        bench.act(&signal("held", "one", "HYPE", MARKET));
        bench.act(&signal("other", "two", "BTC", MARKET));
        bench.pass(500);
        kill(&mut bench, KillScope::All, KillMode::Flatten);
        bench.pass(20);
        let then = bench.kernel().kill_report(&KillScope::All).map(|report| report.positions.len());
        assert_eq!(then, Some(4));
        bench.pass(moment);
        bench.restart(1_000);
        let early = report(&bench, &KillScope::All);
        assert!(!early.complete, "this process has not asked any venue yet: {early:?}");
        let done = bench.pass_until(60_000, |bench| {
            assert_true(bench, &report(bench, &KillScope::All));
            report(bench, &KillScope::All).complete
        });
        let after = report(&bench, &KillScope::All);
        assert!(done && after.positions.len() == 4, "after {moment} ms: {after:?}");
        assert!(after.positions.iter().all(|position| !position.then.is_zero()), "what there was at the throw is not forgotten: {after:?}");
        for (index, symbol) in [(0, "HYPE"), (1, "HYPE"), (0, "BTC"), (1, "BTC")] {
            assert!(is_flat(&bench, index, symbol));
        }
    }
}

#[test]
fn a_flatten_works_while_the_journal_cannot_be_written() {
    let mut bench = bench(2);
    bench.act(&signal("held", "one", "HYPE", MARKET));
    bench.pass(500);
    bench.fill_disk();
    kill(&mut bench, KillScope::All, KillMode::Flatten);
    assert!(bench.pass_until(30_000, |bench| report(bench, &KillScope::All).complete), "{:?}", report(&bench, &KillScope::All));
    let report = report(&bench, &KillScope::All);
    assert!(report.failure.is_some(), "it is said that it holds in this process only");
    assert!(is_flat(&bench, 0, "HYPE") && is_flat(&bench, 1, "HYPE"));
    // The next process knows nothing of the switch, and books what was closed.
    bench.restart(1_000);
    bench.pass(10_000);
    assert!(bench.kernel().kill_report(&KillScope::All).is_none());
    assert_eq!(bench.state().book().ledger().positions().count(), 0);
}

#[test]
fn each_scope_leaves_the_others_alone() {
    let scopes = [
        (KillScope::Agent(name("one")), [true, false, true, false]),
        (KillScope::Account(name("account1")), [false, false, true, true]),
        (KillScope::Venue(name("venue0")), [true, true, false, false]),
        (KillScope::Asset(name("BTC")), [false, true, false, true]),
    ];
    for (scope, flat) in scopes {
        let mut bench = bench(2);
        // Agent one holds HYPE, agent two BTC, on both accounts; each has an order that rests.
        bench.act(&signal("one", "one", "HYPE", MARKET));
        bench.act(&signal("two", "two", "BTC", MARKET));
        bench.act(&signal("rests", "one", "HYPE", RESTING));
        bench.pass(500);
        kill(&mut bench, scope.clone(), KillMode::Flatten);
        assert!(bench.pass_until(30_000, |bench| report(bench, &scope).complete), "{scope}: {:?}", report(&bench, &scope));
        bench.pass(10_000);
        let found = [(0, "HYPE"), (0, "BTC"), (1, "HYPE"), (1, "BTC")].map(|(index, symbol)| is_flat(&bench, index, symbol));
        assert_eq!(found, flat, "{scope}");
        let canceled = [(0, flat[0]), (1, flat[2])].into_iter().filter(|(_, killed)| *killed).count();
        assert_eq!(resting(&bench, Purpose::Entry), 2 - canceled, "{scope}");
        bench.act(&signal("after-one", "one", "HYPE", MARKET));
        bench.act(&signal("after-two", "two", "BTC", MARKET));
        bench.pass(2_000);
        let went = [ends(&bench, "after-one"), ends(&bench, "after-two")].map(|legs| legs.map_each());
        let expected = [[!flat[0], !flat[2]], [!flat[1], !flat[3]]];
        assert_eq!(went, expected, "{scope}");
    }
}

trait Each {
    fn map_each(self) -> [bool; 2];
}

impl Each for Vec<String> {
    fn map_each(self) -> [bool; 2] {
        [self[0] != "refused:killed", self[1] != "refused:killed"]
    }
}

#[test]
fn a_stronger_mode_strengthens_and_a_weaker_one_changes_nothing() {
    let mut bench = bench(1);
    bench.act(&signal("held", "one", "HYPE", MARKET));
    bench.act(&signal("rests", "one", "HYPE", RESTING));
    bench.pass(500);
    kill(&mut bench, KillScope::All, KillMode::Pause);
    bench.pass(2_000);
    assert_eq!(resting(&bench, Purpose::Entry), 1);
    kill(&mut bench, KillScope::All, KillMode::Cancel);
    bench.pass(2_000);
    assert_eq!(resting(&bench, Purpose::Entry), 0);
    assert!(!is_flat(&bench, 0, "HYPE"));
    kill(&mut bench, KillScope::All, KillMode::Flatten);
    kill(&mut bench, KillScope::All, KillMode::Pause);
    assert_eq!(report(&bench, &KillScope::All).mode, KillMode::Flatten);
    bench.pass(10);
    bench.restart(100);
    assert!(bench.pass_until(30_000, |bench| report(bench, &KillScope::All).complete));
    assert!(is_flat(&bench, 0, "HYPE"));
}

#[test]
fn what_is_lifted_need_not_be_closed_any_more() {
    let mut bench = bench(1);
    bench.act(&signal("held", "one", "HYPE", MARKET));
    bench.pass(500);
    // Whatever is asked is refused: the close cannot take effect.
    bench.exchange(0, |server| server.set_faults(FaultConfig { refuse: 1000, ..FaultConfig::default() }));
    kill(&mut bench, KillScope::All, KillMode::Flatten);
    bench.pass(3_000);
    assert_eq!(bench.state().book().duties().count(), 1);
    bench.act(&Action::Resume(KillScope::All));
    assert_eq!(bench.state().book().duties().count(), 0);
    bench.exchange(0, |server| server.set_faults(FaultConfig::default()));
    bench.pass(60_000);
    assert!(!is_flat(&bench, 0, "HYPE"), "nothing closes it any more");
    assert!(bench.kernel().kill_report(&KillScope::All).is_none());
    // The breaker of the venue that refused everything needs its time.
    bench.pass(140_000);
    bench.act(&signal("again", "one", "BTC", MARKET));
    bench.pass(1_000);
    assert_eq!(ends(&bench, "again"), ["filled:"], "and entries leave again");
}

#[test]
fn a_second_latch_keeps_what_the_first_one_demanded() {
    let mut bench = bench(1);
    bench.act(&signal("held", "one", "HYPE", MARKET));
    bench.pass(500);
    bench.fault(0, RequestKind::Place, FaultKind::Refuse, 8);
    kill(&mut bench, KillScope::All, KillMode::Flatten);
    kill(&mut bench, KillScope::Asset(name("HYPE")), KillMode::Flatten);
    bench.act(&Action::Resume(KillScope::All));
    let scope = KillScope::Asset(name("HYPE"));
    assert!(bench.pass_until(120_000, |bench| report(bench, &scope).complete), "{:?}", report(&bench, &scope));
    assert!(is_flat(&bench, 0, "HYPE"));
}

#[test]
fn a_hundred_positions_on_ten_accounts_while_three_of_them_fail() {
    let mut bench = bench(10);
    for asset in ["HYPE", "BTC", "ETH", "SOL", "kPEPE"] {
        for agent in ["one", "two"] {
            bench.act(&signal(&format!("{agent}-{asset}"), agent, asset, MARKET));
        }
    }
    bench.pass(2_000);
    assert_eq!(bench.state().book().ledger().positions().count(), 100);
    // One account is out of reach, one loses answers, one refuses orders; what the last two do at random they also do to snapshots.
    let outage = FaultConfig { cut_before: 1000, ..FaultConfig::default() };
    let lost = FaultConfig { seed: 3, cut_after: 300, silence: 200, late_commit: 100, ..FaultConfig::default() };
    bench.exchange(0, |server| server.set_faults(outage));
    bench.exchange(1, |server| server.set_faults(lost));
    bench.fault(2, RequestKind::Place, FaultKind::Refuse, 100);
    kill(&mut bench, KillScope::All, KillMode::Flatten);
    let (mut flat, mut refused) = (0, 0);
    for moment in 0..600 {
        bench.pass(50);
        if moment == 100 {
            bench.restart(500);
        }
        let report = report(&bench, &KillScope::All);
        assert_eq!(report.positions.len(), 100, "at {moment}");
        assert!(!report.complete, "at {moment}: three accounts fail");
        flat = assert_true(&bench, &report);
        let stuck = report.positions.iter().filter(|position| position.account == account(2) && position.state == Flatness::Stuck);
        refused = refused.max(stuck.filter(|position| position.why.as_ref().is_some_and(|why| why.contains("refused"))).count());
    }
    let before = report(&bench, &KillScope::All);
    assert!((70..=90).contains(&flat), "{flat}: {before:?}");
    for position in &before.positions {
        match position.account.as_str() {
            "account0" => assert_eq!(position.state, Flatness::Stuck, "{position:?}"),
            "account1" | "account2" => {}
            _ => assert_eq!(position.state, Flatness::FlatConfirmed, "{position:?}"),
        }
    }
    assert!(refused > 0, "that closes were refused was never told: {before:?}");
    for index in 0..3 {
        bench.exchange(index, |server| server.set_faults(FaultConfig::default()));
    }
    let done = bench.pass_until(180_000, |bench| {
        let report = report(bench, &KillScope::All);
        assert_true(bench, &report);
        report.complete
    });
    let after = report(&bench, &KillScope::All);
    let open: Vec<_> = after.positions.iter().filter(|position| position.state != Flatness::FlatConfirmed).collect();
    assert!(done, "{open:?} {:?}", after.entries);
    for index in 0..10 {
        for symbol in ["HYPE", "BTC", "ETH", "SOL", "kPEPE"] {
            assert!(is_flat(&bench, index, symbol), "{index} {symbol}");
        }
    }
}
