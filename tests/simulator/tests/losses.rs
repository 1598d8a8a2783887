//! Losses: from where they count, what follows beyond the limit, and what neither a restart, nor money that moves, nor a clock changes.

mod desk;

use std::collections::BTreeMap;
use std::time::Duration;

use desk::{Desk, name};
use omnivenue_core::executor::{DriftPolicy, Input, LossLimits, Setup, VenueSetup};
use omnivenue_core::journal::{Event, KillMode, KillScope, LossScope, OnBreach};
use omnivenue_core::model::close::{CloseRequest, CloseTarget};
use omnivenue_core::model::ids::AccountId;
use omnivenue_core::model::instrument::{AssetMap, Instrument, Market};
use omnivenue_core::model::movement::MovementKind;
use omnivenue_core::model::number::{Amount, Factor};
use omnivenue_core::venue::Quote;
use omnivenue_paper::{Config, PriceSource};

const SECOND: Duration = Duration::from_secs(1);

/// Prices of HYPE are given by hand; nothing costs a fee, and trades are at the price.
fn exchange() -> Config {
    let mut config = desk::config(None);
    config.prices.insert(name("HYPE"), PriceSource::Live { holds_for: Duration::from_secs(600) });
    (config.spread, config.slippage) = (name("0"), name("0"));
    config.instruments.iter_mut().for_each(|spec| spec.taker_fee = name("0"));
    config
}

fn limits(daily: Option<&str>, drawdown: Option<&str>, on_breach: OnBreach) -> LossLimits {
    LossLimits { max_daily_loss: daily.map(name), max_drawdown: drawdown.map(name), on_breach }
}

fn daily(most: &str) -> LossLimits {
    limits(Some(most), None, OnBreach::HaltEntries)
}

/// Agent `one` trades on `main`, agent `two` on `other`; HYPE is at 40.
fn desk_with(scope: LossScope, losses: LossLimits, change: impl FnOnce(&mut Setup)) -> Desk {
    let mut desk = Desk::with(exchange(), DriftPolicy::HaltEntries, |setup| {
        for (deployment, account) in [("one", "main"), ("two", "other")] {
            let shares = &mut setup.deployments.get_mut(&name(deployment)).expect("it is there").accounts;
            shares.retain(|share| share.account.as_str() == account);
        }
        setup.losses.insert(scope, losses);
        change(setup);
    });
    desk.streams = true;
    desk.price("40");
    desk
}

fn desk(scope: LossScope, losses: LossLimits) -> Desk {
    desk_with(scope, losses, |_| {})
}

fn one() -> LossScope {
    LossScope::Deployment(name("one"))
}

/// A new price, and time enough to weigh it.
fn price(desk: &mut Desk, price: &str) {
    desk.price(price);
    desk.pass(SECOND);
}

fn events(desk: &Desk, kind: &str) -> Vec<Event> {
    desk.store.entries().iter().filter_map(|entry| entry.event().ok()).filter(|event| event.kind() == kind).collect()
}

fn refused(desk: &mut Desk, id: &str, agent: &str, code: &str) {
    desk.buy(id, agent, "1");
    assert_eq!(desk.outcomes(id), [format!("refused:{code}")], "{id}");
}

fn taken(desk: &mut Desk, id: &str, agent: &str) {
    desk.buy(id, agent, "1");
    assert_eq!(desk.outcomes(id), ["filled:"], "{id}");
}

fn move_money(desk: &mut Desk, account: &str, amount: &str) {
    let (account, amount): (AccountId, Amount) = (name(account), name(amount));
    let kind = if amount < Amount::ZERO { MovementKind::Withdrawal } else { MovementKind::Deposit };
    desk.happens(|exchange, now| exchange.move_money(now, &account, &name("USDC"), amount, (kind, None))).expect("the exchange does it");
    desk.reconcile();
}

fn close_all(desk: &mut Desk, id: &str) {
    desk.close(CloseRequest::new(name(id), CloseTarget::All));
}

fn resume(desk: &mut Desk, scope: KillScope) {
    desk.input(Input::Resume { scope, reason: "seen".into(), token: 900 });
}

/// The clock on the wall is set; what has passed is not touched.
fn set_clock(desk: &mut Desk, at: &str) {
    desk.now.wall = name(at);
}

#[test]
fn a_daily_loss_stops_entries_wherever_it_is_limited_and_nothing_else() {
    let scopes = [one(), LossScope::Agent(name("one")), LossScope::Account(name("main")), LossScope::Global];
    for scope in scopes {
        let global = scope == LossScope::Global;
        let mut desk = desk(scope.clone(), daily("50"));
        desk.buy("a", "one", "10");
        price(&mut desk, "35.01");
        taken(&mut desk, "b", "one");
        // Ten lose 5.2, and one loses 0.21.
        price(&mut desk, "34.8");
        refused(&mut desk, "c", "one", "max_daily_loss");
        desk.buy("d", "two", "1");
        let other = if global { "refused:max_daily_loss" } else { "filled:" };
        assert_eq!(desk.outcomes("d"), [other], "{scope}");
        let health = desk.kernel.health(desk.now);
        let line = health.losses.first().expect("it is limited");
        assert_eq!(line.loss.map(|loss| loss.to_string()), Some("52.21".into()), "{scope}");
        assert!(line.reason.as_ref().is_some_and(|words| words.contains("52.21") && words.contains("50")), "{line:?}");
        // It recovers: what is broken stays so for the day.
        price(&mut desk, "41");
        refused(&mut desk, "e", "one", "max_daily_loss");
        close_all(&mut desk, "close");
        assert_eq!((desk.ours("one", "main").as_str(), desk.ours("two", "other").as_str()), ("0", "0"), "what is held is closed as ever");
        assert_eq!(events(&desk, "limit_broken").len(), 1);
        desk.check();
    }
}

#[test]
fn a_realized_loss_counts_as_much_as_one_on_paper() {
    let mut desk = desk(one(), daily("50"));
    desk.buy("a", "one", "10");
    price(&mut desk, "37");
    close_all(&mut desk, "close");
    desk.buy("b", "one", "10");
    price(&mut desk, "35.1");
    taken(&mut desk, "c", "one");
    price(&mut desk, "34.9");
    refused(&mut desk, "d", "one", "max_daily_loss");
}

#[test]
fn a_restart_in_the_middle_of_the_day_keeps_where_it_counts_from() {
    let mut desk = desk(one(), daily("50"));
    desk.buy("a", "one", "10");
    price(&mut desk, "36");
    desk.restart();
    desk.pass(SECOND);
    taken(&mut desk, "b", "one");
    price(&mut desk, "34.8");
    refused(&mut desk, "c", "one", "max_daily_loss");
    // What is broken is broken for whoever comes next too, however often.
    for restart in 0..2 {
        let before = (events(&desk, "loss_baseline"), events(&desk, "limit_broken"));
        desk.restart();
        desk.pass(SECOND);
        refused(&mut desk, &format!("again{restart}"), "one", "max_daily_loss");
        assert_eq!((events(&desk, "loss_baseline"), events(&desk, "limit_broken")), before);
    }
    assert_eq!(events(&desk, "loss_baseline").len(), 1);
    desk.check();
}

#[test]
fn a_deposit_is_no_gain_and_a_withdrawal_no_loss() {
    for scope in [LossScope::Account(name("main")), LossScope::Global, one()] {
        let mut desk = desk(scope.clone(), daily("50"));
        desk.buy("a", "one", "10");
        price(&mut desk, "36");
        move_money(&mut desk, "main", "-5000");
        taken(&mut desk, "b", "one");
        move_money(&mut desk, "main", "9000");
        price(&mut desk, "34.8");
        refused(&mut desk, "c", "one", "max_daily_loss");
        desk.check();
    }
}

#[test]
fn a_percentage_is_of_the_equity_and_moves_with_money() {
    // 0.05 % of 100,000 is 50.
    let mut desk = desk(LossScope::Account(name("main")), daily("0.05%"));
    desk.buy("a", "one", "10");
    price(&mut desk, "35.01");
    taken(&mut desk, "b", "one");
    // Half of the money goes: 25 may be lost.
    move_money(&mut desk, "main", "-50000");
    refused(&mut desk, "c", "one", "max_daily_loss");
    let broken = events(&desk, "limit_broken");
    let Some(Event::LimitBroken(broken)) = broken.first() else { panic!("{broken:?}") };
    assert_eq!((broken.loss.to_string(), broken.allowed.to_string()), ("49.9".into(), "25".into()));
}

#[test]
fn midnight_lifts_a_daily_loss_and_counts_from_there() {
    let mut desk = desk(one(), daily("50"));
    desk.buy("a", "one", "10");
    price(&mut desk, "34");
    refused(&mut desk, "b", "one", "max_daily_loss");
    set_clock(&mut desk, "2026-01-01T23:59:57Z");
    price(&mut desk, "34");
    refused(&mut desk, "c", "one", "max_daily_loss");
    desk.pass(SECOND * 4);
    price(&mut desk, "34");
    assert_eq!(desk.book().broken_limits().count(), 0, "it is another day");
    taken(&mut desk, "d", "one");
    price(&mut desk, "29.5");
    taken(&mut desk, "e", "one");
    price(&mut desk, "29");
    refused(&mut desk, "f", "one", "max_daily_loss");
    assert_eq!(events(&desk, "loss_baseline").len(), 2);
    desk.check();
}

#[test]
fn a_clock_that_is_set_back_begins_no_day() {
    let mut desk = desk(one(), daily("50"));
    desk.buy("a", "one", "10");
    set_clock(&mut desk, "2026-01-02T00:00:05Z");
    price(&mut desk, "34");
    assert_eq!(events(&desk, "loss_baseline").len(), 2, "what was lost in the night is of neither day");
    price(&mut desk, "28.9");
    refused(&mut desk, "b", "one", "max_daily_loss");
    for clock in ["2026-01-01T12:00:00Z", "2026-01-02T00:00:01Z", "2025-12-31T00:00:00Z", "2026-01-02T23:00:00Z"] {
        set_clock(&mut desk, clock);
        price(&mut desk, "28.9");
        refused(&mut desk, &format!("at-{}", clock.replace(':', "-")), "one", "max_daily_loss");
    }
    assert_eq!(events(&desk, "loss_baseline").len(), 2);
}

#[test]
fn flatten_closes_what_is_held_cancels_what_rests_and_outlives_the_process() {
    let mut desk = desk(LossScope::Agent(name("one")), limits(Some("50"), None, OnBreach::Flatten));
    desk.buy("a", "one", "10");
    desk.buy("b", "two", "10");
    let rests = r#","sizing":{"quantity":"1"},"order":{"type":"limit","price":"20","time_in_force":"gtc"},"valid_for":"600s"}"#;
    let signal = desk.signal("rests", "one", rests.trim_end_matches('}'));
    desk.execute(signal);
    assert_eq!(desk.outcomes("rests"), ["working"]);
    price(&mut desk, "34");
    desk.pass(SECOND * 3);
    assert_eq!((desk.ours("one", "main").as_str(), desk.ours("two", "other").as_str()), ("0", "10"));
    assert_eq!(desk.outcomes("rests"), ["canceled:canceled"]);
    refused(&mut desk, "c", "one", "max_daily_loss");
    taken(&mut desk, "d", "two");
    desk.restart();
    desk.pass(SECOND * 3);
    refused(&mut desk, "e", "one", "max_daily_loss");
    assert_eq!((events(&desk, "limit_broken").len(), events(&desk, "must_close").len()), (1, 1));
    desk.check();
}

#[test]
fn what_could_not_be_closed_before_the_process_died_is_closed_by_the_next() {
    let mut desk = desk(one(), limits(Some("50"), None, OnBreach::Flatten));
    desk.buy("a", "one", "10");
    desk.hold = true;
    price(&mut desk, "34");
    assert_eq!((desk.ours("one", "main").as_str(), desk.book().duties().count()), ("10", 1), "its close is on its way");
    desk.hold = false;
    desk.restart();
    set_clock(&mut desk, "2026-01-02T00:00:01Z");
    price(&mut desk, "34");
    assert_eq!(desk.book().broken_limits().count(), 0);
    desk.pass(SECOND * 90);
    assert_eq!(desk.ours("one", "main"), "0", "the day is over, the duty is not");
}

#[test]
fn a_stopped_agent_trades_again_only_when_a_person_says_so() {
    let mut desk = desk(LossScope::Agent(name("one")), limits(Some("50"), None, OnBreach::StopAgent));
    desk.buy("a", "one", "10");
    price(&mut desk, "34");
    let scope = KillScope::Agent(name("one"));
    assert_eq!(desk.book().kill(&scope).map(|kill| kill.mode), Some(KillMode::Pause));
    assert!(desk.book().kill(&scope).is_some_and(|kill| kill.reason.contains("max_daily_loss")));
    assert_eq!(desk.ours("one", "main"), "10", "what is held goes on");
    refused(&mut desk, "b", "one", "killed");
    taken(&mut desk, "c", "two");
    set_clock(&mut desk, "2026-01-02T00:00:05Z");
    price(&mut desk, "34");
    desk.restart();
    desk.pass(SECOND);
    refused(&mut desk, "d", "one", "killed");
    resume(&mut desk, scope);
    taken(&mut desk, "e", "one");
}

#[test]
fn a_person_who_resumes_accepts_what_is_lost_so_far() {
    let mut desk = desk(LossScope::Agent(name("one")), limits(Some("50"), None, OnBreach::StopAgent));
    desk.buy("a", "one", "10");
    price(&mut desk, "34");
    refused(&mut desk, "b", "one", "killed");
    resume(&mut desk, KillScope::Agent(name("two")));
    refused(&mut desk, "c", "one", "killed");
    resume(&mut desk, KillScope::Agent(name("one")));
    taken(&mut desk, "d", "one");
    price(&mut desk, "29.5");
    taken(&mut desk, "e", "one");
    price(&mut desk, "29");
    refused(&mut desk, "f", "one", "killed");
    desk.check();
}

#[test]
fn a_drawdown_counts_from_the_best_result_and_no_day_lifts_it() {
    let mut desk = desk(one(), limits(None, Some("50"), OnBreach::HaltEntries));
    desk.buy("a", "one", "10");
    price(&mut desk, "44");
    price(&mut desk, "40");
    desk.restart();
    desk.pass(SECOND);
    taken(&mut desk, "b", "one");
    price(&mut desk, "38.9");
    refused(&mut desk, "c", "one", "max_drawdown");
    set_clock(&mut desk, "2026-01-03T00:00:05Z");
    price(&mut desk, "38.9");
    refused(&mut desk, "d", "one", "max_drawdown");
    desk.restart();
    desk.pass(SECOND);
    refused(&mut desk, "e", "one", "max_drawdown");
    resume(&mut desk, KillScope::All);
    refused(&mut desk, "f", "one", "max_drawdown");
    resume(&mut desk, KillScope::Agent(name("one")));
    taken(&mut desk, "g", "one");
    price(&mut desk, "35");
    taken(&mut desk, "h", "one");
    price(&mut desk, "34.5");
    refused(&mut desk, "i", "one", "max_drawdown");
    desk.check();
}

#[test]
fn a_peak_is_written_down_in_steps_not_with_every_price() {
    let mut desk = desk(one(), limits(None, Some("100"), OnBreach::HaltEntries));
    desk.buy("a", "one", "1");
    for cents in 0..300 {
        price(&mut desk, &format!("40.{:03}", cents * 3));
    }
    // From 0 to 0.897: less than a hundredth of what may be lost.
    assert_eq!(events(&desk, "loss_peak").len(), 1);
    price(&mut desk, "42");
    price(&mut desk, "41");
    assert_eq!(events(&desk, "loss_peak").len(), 2);
}

#[test]
fn what_is_held_without_a_price_lets_nothing_in_where_losses_are_limited() {
    let mut desk = desk(one(), daily("50"));
    desk.buy("a", "one", "10");
    // The exchange has no price of HYPE any more, and the process that knew one is gone.
    desk.pass(SECOND * 601);
    desk.restart();
    let btc = |desk: &mut Desk, id: &str| {
        let mut signal = desk.signal(id, "one", r#","sizing":{"quantity":"0.01"}"#);
        signal.asset = name("BTC");
        desk.execute(signal);
        desk.outcomes(id)
    };
    assert_eq!(btc(&mut desk, "b"), ["refused:loss_unknown"]);
    let health = desk.kernel.health(desk.now);
    assert!(health.losses[0].loss.is_none() && health.losses[0].reason.as_ref().is_some_and(|words| words.contains("HYPE")), "{health:?}");
    assert_eq!(health.equity, None, "unknown is not zero");
    price(&mut desk, "39");
    assert_eq!(btc(&mut desk, "c"), ["filled:"]);
    assert!(desk.kernel.health(desk.now).equity.is_some());
}

#[test]
fn a_limit_that_is_not_configured_any_more_holds_nothing_up() {
    let mut desk = desk(one(), daily("50"));
    desk.buy("a", "one", "10");
    price(&mut desk, "34");
    refused(&mut desk, "b", "one", "max_daily_loss");
    desk.setup.losses.clear();
    desk.restart();
    desk.pass(SECOND);
    taken(&mut desk, "c", "one");
    assert_eq!(events(&desk, "limit_lifted").len(), 1);
    desk.check();
}

#[test]
fn an_order_that_was_not_sent_yet_does_not_leave_once_a_limit_is_broken() {
    let mut desk = desk(one(), daily("50"));
    desk.buy("a", "one", "10");
    desk.price("34");
    // The decision weighs what the latest price has changed, although no second has passed.
    refused(&mut desk, "b", "one", "max_daily_loss");
}

/// A venue on which nobody trades here tells what USDC is worth in USDT.
fn with_a_pair(setup: &mut Setup) {
    let capabilities = setup.venues.values().next().expect("there is one").capabilities.clone();
    let mut pair = exchange().instruments.remove(0);
    (pair.venue, pair.symbol, pair.market) = (name("fx"), name("USDC/USDT"), Market::Spot);
    (pair.base, pair.quote, pair.settle, pair.max_leverage) = (name("USDC"), name("USDT"), name("USDT"), name("1"));
    let pair = Instrument::new(pair).expect("it is a pair");
    let fx = VenueSetup::new(capabilities, vec![pair], &AssetMap::default());
    setup.venues.insert(name("fx"), fx);
    setup.rates = BTreeMap::from([(name("USDC"), Factor::ONE), (name("USDT"), Factor::ONE)]);
    setup.depeg.insert(name("USDC"), name("0.02"));
    setup.losses.clear();
}

fn pair_at(desk: &mut Desk, price: &str) {
    let quote = Quote { symbol: name("USDC/USDT"), bid: name(price), ask: name(price), at: desk.now.wall, depth: Default::default() };
    desk.input(Input::Quote { venue: name("fx"), quote });
}

#[test]
fn a_currency_that_loses_its_peg_takes_no_entries_and_lets_exits_go() {
    let mut desk = desk_with(one(), daily("50"), with_a_pair);
    pair_at(&mut desk, "0.985");
    taken(&mut desk, "a", "one");
    pair_at(&mut desk, "0.97");
    refused(&mut desk, "b", "one", "depeg");
    let health = desk.kernel.health(desk.now);
    assert!(health.depegged.len() == 1 && health.depegged[0].reason.contains("0.97"), "{health:?}");
    desk.restart();
    desk.pass(SECOND);
    refused(&mut desk, "c", "one", "depeg");
    close_all(&mut desk, "close");
    assert_eq!(desk.ours("one", "main"), "0");
    // It is back, but for how long?
    pair_at(&mut desk, "0.999");
    refused(&mut desk, "d", "one", "depeg");
    desk.pass(SECOND * 31);
    pair_at(&mut desk, "0.97");
    pair_at(&mut desk, "0.999");
    refused(&mut desk, "e", "one", "depeg");
    desk.pass(SECOND * 31);
    taken(&mut desk, "f", "one");
    assert_eq!(events(&desk, "depeg_changed").len(), 2);
    desk.check();
}

#[test]
fn equity_adds_up_in_the_currency_of_the_limits_or_is_not_known() {
    let mut config = exchange();
    config.accounts.get_mut(&name::<AccountId>("main")).expect("it is there").insert(name("USDT"), name("1000"));
    let mut desk = Desk::with(config, DriftPolicy::HaltEntries, |setup| {
        setup.rates.insert(name("USDT"), name("0.9"));
    });
    desk.streams = true;
    price(&mut desk, "40");
    let total = |desk: &Desk| desk.kernel.health(desk.now).equity.map(|equity| equity.to_string());
    assert_eq!(total(&desk).as_deref(), Some("200900"), "two accounts of 100,000, and 1,000 at 0.9");
    desk.buy("a", "one", "10");
    price(&mut desk, "41");
    assert_eq!(total(&desk).as_deref(), Some("200920"), "ten on each account have gained one each");
    move_money(&mut desk, "other", "-500");
    assert_eq!(total(&desk).as_deref(), Some("200420"));
    desk.setup.rates.remove(&name::<omnivenue_core::model::ids::Asset>("USDT"));
    desk.restart();
    desk.pass(SECOND);
    assert_eq!(total(&desk), None, "nobody says what USDT is worth");
}

#[test]
fn what_has_no_stated_rate_makes_a_percentage_unknown_and_an_amount_not() {
    for (losses, ends) in [(daily("5%"), "refused:loss_unknown"), (daily("50"), "filled:")] {
        let mut config = exchange();
        config.accounts.get_mut(&name::<AccountId>("main")).expect("it is there").insert(name("USDT"), name("1000"));
        let mut desk = Desk::with(config, DriftPolicy::HaltEntries, |setup| {
            setup.losses.insert(LossScope::Account(name("main")), losses);
            setup.deployments.get_mut(&name("one")).expect("it is there").accounts.retain(|share| share.account.as_str() == "main");
        });
        desk.streams = true;
        desk.price("40");
        desk.buy("a", "one", "1");
        assert_eq!(desk.outcomes("a"), [ends]);
    }
}
