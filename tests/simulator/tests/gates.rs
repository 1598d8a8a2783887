//! Each limit, tried at its edge: what is just within passes, what is just over does not, and says by which numbers.
mod bench;

use std::sync::atomic::Ordering;
use std::time::Duration;

use omnivenue_core::executor::{AccountSetup, AccountShare, DeploymentSetup, Limits, OnExcess, Setup, TradingHours, TradingWindow};
use omnivenue_core::journal::MemoryStore;
use omnivenue_core::model::close::{CloseRequest, CloseTarget};
use omnivenue_core::model::ids::DeploymentId;

use bench::{Bench, name, placed};

/// A bench with one venue, on which deployment `one` has these limits. HYPE is at 37.99 to 38.01: a buy may fill at 38.39, a sale at 37.611.
fn limited(change: impl FnOnce(&mut Limits)) -> Bench {
    Bench::changed(1, "0", |setup| change(&mut deployment(setup, "one").limits))
}

fn deployment<'a>(setup: &'a mut Setup, id: &str) -> &'a mut DeploymentSetup {
    setup.deployments.get_mut(&name::<DeploymentId>(id)).expect("the bench has it")
}

fn account<'a>(setup: &'a mut Setup, id: &str) -> &'a mut AccountSetup {
    setup.accounts.get_mut(&name(id)).expect("the bench has it")
}

/// What was decided for each leg of a signal: `passes`, `code: sentence`, or that it was shrunk.
fn verdicts(bench: &Bench, id: &str) -> Vec<String> {
    let number = bench.kernel.execution_of(&name(id)).expect("the journal reads").expect("it was taken");
    let record = bench.kernel.execution(number).expect("the journal reads").expect("it is there");
    let verdict = |leg: &omnivenue_core::executor::LegRecord| match (&leg.plan.ended, &leg.plan.order) {
        (Some((_, why)), _) => format!("{}: {}", why.code, why.reason),
        (None, Some(order)) => order.shrunk.as_ref().map_or_else(|| "passes".to_owned(), |why| format!("{}: {}", why.code, why.reason)),
        (None, None) => "waits".to_owned(),
    };
    record.legs.iter().map(verdict).collect()
}

/// Sends a signal to buy HYPE for 500, changed; says what was decided for its first leg.
fn ask(bench: &mut Bench, id: &str, agent: &str, change: &str) -> String {
    let signal = bench.signal(id, agent, change);
    bench.execute(signal);
    verdicts(bench, id).remove(0)
}

const SHORT: &str = r#","direction":"short""#;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Closes all there is; it fills at the worst price admitted, 5 % away.
fn close_all(bench: &mut Bench, id: &str) {
    bench.close(CloseRequest::new(name(id), CloseTarget::All));
    for order in placed(&bench.commit().1) {
        bench.fill(&order, 4);
    }
    bench.commit();
}

#[test]
fn a_signal_must_be_as_sure_as_asked_and_say_so() {
    let check = |change: &str, expected: &str| {
        let mut bench = limited(|limits| limits.min_confidence = Some(name("0.7")));
        assert_eq!(ask(&mut bench, "s", "one", change), expected);
    };
    check(r#","confidence":"0.7""#, "passes");
    check(r#","confidence":"0.6999""#, "min_confidence: the confidence is 0.6999, deployment one asks for at least 0.7");
    check("", "min_confidence: the signal states no confidence, deployment one asks for at least 0.7");
}

#[test]
fn an_old_signal_opens_nothing() {
    let made = |milliseconds: u64| {
        let mut bench = limited(|limits| limits.max_signal_age = Some(seconds(10)));
        let created = bench.now.wall;
        bench.pass(Duration::from_millis(milliseconds));
        ask(&mut bench, "s", "one", &format!(r#","created_at":"{created}""#))
    };
    assert_eq!(made(10_000), "passes");
    assert_eq!(made(10_001), "max_signal_age: the signal was made 10001ms ago, the limit of deployment one is 10s");
}

#[test]
fn a_signal_that_waited_for_a_person_counts_from_when_it_came_in() {
    let mut bench = Bench::changed(1, "0", |setup| {
        let deployment = deployment(setup, "one");
        (deployment.limits.max_signal_age, deployment.approval) = (Some(seconds(5)), Some(seconds(60)));
    });
    assert_eq!(ask(&mut bench, "s", "one", ""), "waits");
    bench.pass(seconds(6));
    bench.approve("s", None, true, "looks right");
    assert_eq!(verdicts(&bench, "s"), ["max_signal_age: the signal came in 6s ago, the limit of deployment one is 5s"]);
}

#[test]
fn outside_its_hours_an_agent_opens_nothing_and_closes_all_the_same() {
    let mut bench = Bench::changed(1, "0", |setup| {
        // The bench begins on a Thursday at midnight.
        let window: TradingWindow = "thu 00:00-00:01".parse().expect("a valid window");
        setup.agents.get_mut(&name("one")).expect("the bench has it").limits.trading_hours = TradingHours::new(&[window]).ok();
    });
    bench.pass(Duration::from_millis(59_999));
    bench.opened_by("s", "one", "");
    bench.pass(Duration::from_millis(1));
    let words = "trading_hours: it is thu 00:01 UTC, agent one opens positions only at thu 00:00-00:01";
    assert_eq!(ask(&mut bench, "late", "one", ""), words);
    assert_eq!(ask(&mut bench, "other", "two", ""), "passes");
    close_all(&mut bench, "c");
    assert_eq!(bench.held("one"), "0");
}

#[test]
fn a_silently_stale_feed_opens_nothing() {
    let mut bench = limited(|limits| limits.max_price_age = Some(seconds(5)));
    bench.pass(seconds(5));
    assert_eq!(ask(&mut bench, "s1", "one", ""), "passes");
    bench.pass(Duration::from_millis(1));
    let words = "stale_price: the price of HYPE came in 5001ms ago, the limit of deployment one is 5s";
    assert_eq!(ask(&mut bench, "s2", "one", ""), words);
    bench.quote("37.99", "38.01");
    assert_eq!(ask(&mut bench, "s3", "one", ""), "passes");
}

#[test]
fn a_price_is_as_old_as_when_it_came_in_whatever_clock_was_set() {
    let mut bench = limited(|limits| limits.max_price_age = Some(seconds(5)));
    bench.pass(seconds(6));
    bench.now.wall = name("2025-12-31T23:00:00Z");
    assert!(ask(&mut bench, "s", "one", "").starts_with("stale_price: the price of HYPE came in 6s ago"));
}

#[test]
fn a_wide_spread_opens_nothing() {
    let check = |limit: &str, expected: &str| {
        let mut bench = limited(|limits| limits.max_spread = Some(name(limit)));
        assert_eq!(ask(&mut bench, "s", "one", ""), expected);
    };
    // 0.02 of 38 is 0.000526315789…
    check("0.000526315790", "passes");
    check(
        "0.000526315789",
        "max_spread: HYPE is at 37.99 to 38.01, a spread of 0.00052631579; the limit of deployment one is 0.000526315789",
    );
}

#[test]
fn a_fat_finger_is_held_by_the_collar() {
    let check = |limit: &str, change: &str, expected: &str| {
        let mut bench = limited(|limits| limits.price_collar = Some(name(limit)));
        assert_eq!(ask(&mut bench, "s", "one", change), expected);
    };
    check("0.0103", "", "passes");
    check(
        "0.0102",
        "",
        "price_collar: the order may buy HYPE at 38.39, above 38.3876: that is 0.0102 from the middle at venue0, 38, which is the limit of deployment one",
    );
    check("0.0103", SHORT, "passes");
    check(
        "0.0102",
        SHORT,
        "price_collar: the order may sell HYPE at 37.611, below 37.6124: that is 0.0102 from the middle at venue0, 38, which is the limit of deployment one",
    );
    let limit = |price: &str| format!(r#","order":{{"type":"limit","price":"{price}"}}"#);
    check("0.05", &limit("39.9"), "passes");
    assert!(ask(&mut limited(|limits| limits.price_collar = Some(name("0.05"))), "s", "one", &limit("39.901")).contains("above 39.9"));
    // What is better than the middle is nobody's mistake.
    check("0.05", &limit("20"), "passes");
}

#[test]
fn a_venue_whose_prices_have_gone_astray_is_not_followed() {
    let mut bench = Bench::changed(2, "0", |setup| deployment(setup, "one").limits.price_collar = Some(name("0.05")));
    bench.quote_at(1, "29.99", "30.01");
    let signal = bench.signal("s", "one", "");
    bench.execute(signal);
    let found = verdicts(&bench, "s");
    let words = "price_collar: the order may buy HYPE at 38.39, above 31.5: that is 0.05 from the middle at venue1, 30, which is the limit of deployment one";
    assert_eq!(found, [words, "passes"]);
    // A price that nobody has heard for long says nothing of the others.
    bench.pass(seconds(11));
    bench.quote_at(0, "37.99", "38.01");
    assert_eq!(ask(&mut bench, "later", "one", r#","venues":["venue0"]"#), "passes");
}

#[test]
fn entries_in_a_period_are_counted_through_a_restart() {
    let mut bench = limited(|limits| limits.max_order_rate = "3/1m".parse().ok());
    for (id, wait) in [("s1", 0), ("s2", 20), ("s3", 20)] {
        bench.pass(seconds(wait));
        bench.quote("37.99", "38.01");
        bench.opened_by(id, "one", "");
        assert_eq!(verdicts(&bench, id), ["passes"]);
    }
    let words = "max_order_rate: deployment one has 3 entries in the last 1m, and may have 3";
    assert_eq!(ask(&mut bench, "s4", "one", ""), words);
    bench.restart(Duration::from_millis(19_999));
    bench.recover(&[]);
    assert_eq!(ask(&mut bench, "s5", "one", ""), words);
    bench.pass(Duration::from_millis(1));
    assert_eq!(ask(&mut bench, "s6", "one", ""), "passes");
    assert_eq!(ask(&mut bench, "s7", "one", ""), words, "what is on its way counts");
    assert_eq!(ask(&mut bench, "s8", "two", ""), "passes");
}

#[test]
fn an_entry_that_waits_for_its_turn_counts_at_once() {
    let mut bench = limited(|limits| limits.max_order_rate = "1/1m".parse().ok());
    bench.accounts[0].ready.store(false, Ordering::Relaxed);
    assert_eq!(ask(&mut bench, "s1", "one", ""), "passes");
    assert_eq!(bench.states("s1"), ["planned"]);
    assert_eq!(ask(&mut bench, "s2", "one", ""), "max_order_rate: deployment one has 1 entries in the last 1m, and may have 1");
}

#[test]
fn a_clock_that_is_set_back_ends_no_pause() {
    let mut bench = limited(|limits| (limits.max_order_rate, limits.cooldown) = ("1/1m".parse().ok(), Some(seconds(60))));
    bench.opened_by("s1", "one", "");
    bench.pass(seconds(30));
    bench.now.wall = name("2025-12-31T00:00:00Z");
    assert!(ask(&mut bench, "s2", "one", "").starts_with("max_order_rate"));
    bench.now.wall = name("2026-01-01T00:00:59.999Z");
    assert!(ask(&mut bench, "s3", "one", "").starts_with("max_order_rate"));
    bench.now.wall = name("2026-01-01T00:01:00Z");
    assert_eq!(ask(&mut bench, "s4", "one", ""), "passes");
}

#[test]
fn after_an_entry_there_is_a_pause_for_others_and_none_for_its_own_legs() {
    let mut bench = Bench::changed(2, "0", |setup| deployment(setup, "one").limits.cooldown = Some(seconds(300)));
    bench.opened_by("s1", "one", "");
    assert_eq!(verdicts(&bench, "s1"), ["passes", "passes"]);
    bench.restart(Duration::from_millis(299_999));
    bench.recover(&[]);
    let words = "cooldown: the latest entry of deployment one in HYPE was 299999ms ago, the next may come after 5m";
    assert_eq!(ask(&mut bench, "s2", "one", ""), words);
    assert_eq!(ask(&mut bench, "other", "two", ""), "passes");
    bench.pass(Duration::from_millis(1));
    assert_eq!(ask(&mut bench, "s3", "one", ""), "passes");
    assert!(ask(&mut bench, "s4", "one", "").ends_with("was 0ms ago, the next may come after 5m"));
}

#[test]
fn after_a_loss_there_is_a_pause_and_after_a_gain_none() {
    let mut bench = limited(|limits| limits.loss_cooldown = Some(seconds(60)));
    bench.opened_by("s1", "one", SHORT);
    bench.quote("29.99", "30.01");
    // Sold at 37.611, bought back at 30.01 and 5 %.
    close_all(&mut bench, "gain");
    bench.opened_by("s2", "one", "");
    close_all(&mut bench, "loss");
    let words = |age: &str| format!("loss_cooldown: the latest loss of deployment one in HYPE was {age} ago, the next may come after 1m");
    assert_eq!(ask(&mut bench, "s3", "one", ""), words("0ms"));
    bench.restart(Duration::from_millis(59_999));
    bench.recover(&[]);
    assert_eq!(ask(&mut bench, "s4", "one", ""), words("59999ms"));
    bench.pass(Duration::from_millis(1));
    assert_eq!(ask(&mut bench, "s5", "one", ""), "passes");
}

#[test]
fn one_signal_at_a_time_has_a_position_in_an_asset() {
    let mut bench = Bench::changed(2, "0", |setup| {
        deployment(setup, "one").limits.one_position_per_asset = true;
    });
    assert_eq!(ask(&mut bench, "s1", "one", ""), "passes");
    assert_eq!(verdicts(&bench, "s1"), ["passes", "passes"], "legs of one signal are one position in the asset");
    let words = "one_position_per_asset: s1 is entering HYPE for one on account0; deployment one has one position in HYPE at most";
    assert_eq!(ask(&mut bench, "s2", "one", ""), words);
    for order in placed(&bench.commit().1) {
        bench.fill(&order, 4);
    }
    let words = "one_position_per_asset: 13.02 HYPE is held by one on account0; deployment one has one position in HYPE at most";
    assert_eq!(ask(&mut bench, "s3", "one", ""), words);
    assert_eq!(ask(&mut bench, "other", "two", ""), "passes");
    close_all(&mut bench, "c");
    assert_eq!(ask(&mut bench, "s4", "one", ""), "passes");
}

#[test]
fn positions_are_counted_while_they_are_being_entered() {
    let mut bench = Bench::changed(3, "0", |setup| deployment(setup, "one").limits.max_open_positions = Some(2));
    let words = "max_open_positions: deployment one has 2 positions, held or being entered, and may have 2";
    assert_eq!(ask(&mut bench, "s1", "one", ""), "passes");
    assert_eq!(verdicts(&bench, "s1"), ["passes", "passes", words]);
    let orders = placed(&bench.commit().1);
    // One fills, the other is refused by the market: its place is free again.
    bench.fill(&orders[0], 4);
    bench.fill(&orders[1], 0);
    assert_eq!(ask(&mut bench, "s2", "one", r#","venues":["venue0"]"#), "passes", "more of what is there is no further position");
    assert_eq!(ask(&mut bench, "s3", "one", r#","venues":["venue2"]"#), "passes");
    assert_eq!(ask(&mut bench, "s4", "one", r#","venues":["venue1"]"#), words);
}

#[test]
fn an_agent_has_totals_over_its_deployments() {
    // A second deployment of the same agent, on the other account.
    let change = |setup: &mut Setup, change: fn(&mut Limits)| {
        let mut first = deployment(setup, "one").clone();
        first.accounts.truncate(1);
        let second = DeploymentSetup { accounts: vec![share("account1")], ..first.clone() };
        setup.deployments.insert(name("one"), first);
        setup.deployments.insert(name("copy"), second);
        change(&mut setup.agents.get_mut(&name("one")).expect("the bench has it").limits);
    };
    let check = |limits: fn(&mut Limits), expected: &str| {
        let mut bench = Bench::changed(2, "0", |setup| change(setup, limits));
        let signal = bench.signal("s", "one", "");
        bench.execute(signal);
        // Deployments are in the order of their names.
        assert_eq!(verdicts(&bench, "s"), ["passes", expected]);
        assert_eq!(ask(&mut bench, "other", "two", ""), "passes");
    };
    check(
        |limits| limits.max_notional = Some(name("999.6")),
        "max_notional: 499.8378 is at stake and the order may cost 499.8378; the limit of agent one is 999.6",
    );
    check(|limits| limits.max_notional = Some(name("999.6756")), "passes");
    check(
        |limits| limits.max_asset_notional = Some(name("999")),
        "max_asset_notional: 499.8378 is at stake in HYPE and the order may cost 499.8378; the limit of agent one is 999",
    );
    check(
        |limits| limits.max_open_positions = Some(1),
        "max_open_positions: agent one has 1 positions, held or being entered, and may have 1",
    );
    check(|limits| limits.max_order_rate = "1/1h".parse().ok(), "max_order_rate: agent one has 1 entries in the last 1h, and may have 1");
    check(
        |limits| (limits.max_notional, limits.on_excess) = (Some(name("600")), OnExcess::Shrink),
        "max_notional: shrunk from 13.02 to 2.6 HYPE by max_notional: 499.8378 is at stake and the order may cost 499.8378; the limit of agent one is 600",
    );
}

fn share(account: &str) -> AccountShare {
    AccountShare { account: name(account), allocation: None, fallback: None }
}

#[test]
fn positions_in_one_direction_are_counted_apart() {
    let mut bench = Bench::changed(3, "0", |setup| deployment(setup, "one").limits.max_same_direction = Some(1));
    bench.opened_by("s1", "one", r#","venues":["venue0"]"#);
    let words = "max_same_direction: deployment one has 1 long positions, held or being entered, and may have 1";
    assert_eq!(ask(&mut bench, "s2", "one", r#","venues":["venue1"]"#), words);
    assert_eq!(ask(&mut bench, "s3", "one", r#","venues":["venue0"]"#), "passes");
    assert_eq!(ask(&mut bench, "s4", "one", r#","direction":"short","venues":["venue1"]"#), "passes");
    let words = "max_same_direction: deployment one has 1 short positions, held or being entered, and may have 1";
    assert_eq!(ask(&mut bench, "s5", "one", r#","direction":"short","venues":["venue2"]"#), words);
}

#[test]
fn what_is_at_stake_in_one_direction_has_a_limit_of_its_own() {
    let mut bench = Bench::changed(2, "0", |setup| deployment(setup, "one").limits.max_same_direction_notional = Some(name("900")));
    bench.opened_by("s1", "one", r#","venues":["venue0"]"#);
    let words =
        "max_same_direction_notional: 499.8378 is at stake long and the order may cost 499.8378; the limit of deployment one is 900";
    assert_eq!(ask(&mut bench, "s2", "one", r#","venues":["venue1"]"#), words);
    assert_eq!(ask(&mut bench, "s3", "one", r#","direction":"short","venues":["venue1"]"#), "passes");
    // What a price makes of it counts too.
    bench.quote("50", "50.02");
    let words = "max_same_direction_notional: 651.1302 is at stake long and the order may cost 303.12; the limit of deployment one is 900";
    assert_eq!(ask(&mut bench, "s4", "one", r#","venues":["venue0"],"sizing":{"quantity":"6"}"#), words);
    // Closed, it leaves nothing behind.
    close_all(&mut bench, "c");
    let ledger = bench.kernel.state().book().ledger();
    let scope = omnivenue_core::ledger::Scope::toward(
        omnivenue_core::ledger::Level::Deployment(name("one")),
        omnivenue_core::model::signal::Direction::Long,
    );
    let left = ledger.exposure(&scope).expect("there was some").value(|_, _| None, |_| Some(name("1"))).expect("it fits");
    assert_eq!(left.to_string(), "0");
}

#[test]
fn leverage_is_refused_or_shrunk_to_a_whole_number() {
    let check = |limit: &str, policy: OnExcess, asked: &str, expected: &str| {
        let mut bench = limited(|limits| (limits.max_leverage, limits.on_excess) = (Some(name(limit)), policy));
        assert_eq!(ask(&mut bench, "s", "one", &format!(r#","leverage":"{asked}""#)), expected);
    };
    use OnExcess::{Refuse, Shrink};
    check("5", Refuse, "5", "passes");
    check("5", Refuse, "5.1", "max_leverage: leverage 5.1 is above the limit of deployment one, 5");
    check("5", Refuse, "11", "max_leverage: leverage 11 is above the 10 that HYPE allows");
    check(
        "2.5",
        Shrink,
        "8",
        "max_leverage: shrunk from leverage 8 to 2 by max_leverage: leverage 8 is above the limit of deployment one, 2.5",
    );
    check("20", Shrink, "25", "max_leverage: shrunk from leverage 25 to 10 by max_leverage: leverage 25 is above the 10 that HYPE allows");
}

#[test]
fn shrunk_leverage_takes_more_capital() {
    let mut bench = limited(|limits| (limits.max_leverage, limits.on_excess) = (Some(name("2")), OnExcess::Shrink));
    bench.opened_by("s", "one", r#","leverage":"8""#);
    let key = omnivenue_core::ledger::CapitalKey { account: name("account0"), deployment: Some(name("one")), currency: name("USDC") };
    let committed = bench.kernel.state().book().ledger().capital(&key).committed;
    assert_eq!(committed.to_string(), "249.9189", "half of what it cost");
}

#[test]
fn what_is_sized_by_margin_or_risk_is_sized_anew_for_shrunk_leverage() {
    let check = |sizing: &str, expected: &str| {
        let mut bench = Bench::changed(1, "0", |setup| {
            let deployment = deployment(setup, "one");
            deployment.accounts[0].allocation = Some(name("1000"));
            (deployment.limits.max_leverage, deployment.limits.on_excess) = (Some(name("2")), OnExcess::Shrink);
        });
        let words = "max_leverage: leverage 8 is above the limit of deployment one, 2";
        let change = format!(r#","leverage":"8","sizing":{sizing}"#);
        assert_eq!(ask(&mut bench, "s", "one", &change), format!("max_leverage: shrunk {expected} by {words}"));
    };
    // A tenth of 1,000 as margin: 800 at 8 times, 200 at 2 times.
    check(r#"{"equity_fraction":"0.1"}"#, "from 20.83 to 5.2 HYPE and from leverage 8 to 2");
    check(r#"{"notional":"500"}"#, "from leverage 8 to 2");
    // Half of the margin is 6.25 % of the price at 8 times and 25 % at 2 times: the same loss takes a quarter.
    check(r#"{"risk_fraction":"0.02"},"exits":{"stop_loss":{"roe":"0.5"}}"#, "from 8.22 to 2.07 HYPE and from leverage 8 to 2");
}

#[test]
fn the_first_deployment_on_an_instrument_fixes_its_leverage() {
    let mut bench = limited(|_| {});
    assert_eq!(ask(&mut bench, "s1", "one", r#","leverage":"3""#), "passes");
    let words = |there: &str, asked: &str| {
        format!(
            "leverage_conflict: deployment one has leverage {there} in HYPE on account0, the signal asks for {asked}; it can change only when all are flat"
        )
    };
    // While it is on its way, and once it is held.
    assert_eq!(ask(&mut bench, "s2", "two", r#","leverage":"5""#), words("3", "5"));
    for order in placed(&bench.commit().1) {
        bench.fill(&order, 4);
    }
    assert_eq!(ask(&mut bench, "s3", "two", r#","leverage":"2""#), words("3", "2"));
    assert_eq!(ask(&mut bench, "s4", "two", r#","leverage":"3""#), "passes");
    let own = "leverage_conflict: the position has leverage 3, the signal asks for 5; it can change only when flat";
    assert_eq!(ask(&mut bench, "s5", "one", r#","leverage":"5""#), own);
}

#[test]
fn the_leverage_that_is_there_is_taken_only_where_it_is_less() {
    let mut bench = Bench::changed(1, "0", |setup| deployment(setup, "two").limits.on_excess = OnExcess::Shrink);
    bench.opened_by("s1", "one", r#","leverage":"3""#);
    assert!(
        ask(&mut bench, "s2", "two", r#","leverage":"5""#)
            .starts_with("leverage_conflict: shrunk from leverage 5 to 3 by leverage_conflict")
    );
    assert!(ask(&mut bench, "s3", "two", r#","leverage":"2""#).starts_with("leverage_conflict: deployment one has leverage 3"));
}

fn exits(stop: &str, profit: &str) -> String {
    let part = |name: &str, text: &str| (!text.is_empty()).then(|| format!(r#""{name}":{{{text}}}"#));
    let parts: Vec<String> = [part("stop_loss", stop), part("take_profit", profit)].into_iter().flatten().collect();
    format!(r#","exits":{{{}}}"#, parts.join(","))
}

#[test]
fn the_reward_must_be_worth_the_risk() {
    let check = |limit: &str, change: &str, expected: &str| {
        let mut bench = limited(|limits| limits.min_reward_to_risk = Some(name(limit)));
        assert_eq!(ask(&mut bench, "s", "one", change), expected);
    };
    let both = |stop: &str, profit: &str| exits(&format!(r#""fraction":"{stop}""#), &format!(r#""fraction":"{profit}""#));
    check("2", &both("0.05", "0.1"), "passes");
    check(
        "2",
        &both("0.05", "0.0999"),
        "min_reward_to_risk: from 38.39 the take profit is at 42.225161 and the stop loss at 36.4705: 1.998 times the risk, deployment one asks for 2",
    );
    check("2", &format!("{SHORT}{}", both("0.05", "0.1")), "passes");
    let needed = "min_reward_to_risk: a take_profit and a stop_loss are needed: deployment one asks for 2 times the risk as reward";
    check("2", "", needed);
    check("2", &exits(r#""fraction":"0.05""#, ""), needed);
    // From 38.39 to 40 and to 37: 1.61 for 1.39.
    check("1.158", &exits(r#""price":"37""#, r#""price":"40""#), "passes");
    assert!(
        ask(
            &mut limited(|limits| limits.min_reward_to_risk = Some(name("1.159"))),
            "s",
            "one",
            &exits(r#""price":"37""#, r#""price":"40""#)
        )
        .contains("1.158273381294 times the risk")
    );
}

#[test]
fn a_stop_must_come_before_liquidation() {
    let check = |distance: &str, change: &str, expected: &str| {
        let mut bench = limited(|limits| {
            (limits.min_liquidation_distance, limits.maintenance_margin) = (Some(name(distance)), Some(name("0.05")));
        });
        assert_eq!(ask(&mut bench, "s", "one", change), expected);
    };
    // 38.39 × 0.9 / 0.95 = 36.3694…, and a stop of 3 % is at 37.2383: 2.333 % before it.
    let stop = format!(r#","leverage":"10"{}"#, exits(r#""fraction":"0.03""#, ""));
    check("0.0233", &stop, "passes");
    check(
        "0.0234",
        &stop,
        "min_liquidation_distance: from 38.39 with leverage 10 and a maintenance margin of 0.05 liquidation is at about 36.369473684211; deployment one asks for 0.0234 beyond the stop loss at 37.2383, which is 36.36692378",
    );
    // A stop beyond liquidation protects nothing.
    assert!(
        ask(
            &mut limited(|limits| (limits.min_liquidation_distance, limits.maintenance_margin) = (Some(name("0.0001")), Some(name("0.05")))),
            "s",
            "one",
            &format!(r#","leverage":"10"{}"#, exits(r#""fraction":"0.06""#, ""))
        )
        .starts_with("min_liquidation_distance")
    );
    // Without a stop it is the entry that counts; without leverage there is no liquidation.
    check("0.0526", r#","leverage":"10""#, "passes");
    check("0.9", "", "passes");
    // 37.611 × 1.1 / 1.05 = 39.4020, above which a short one is liquidated.
    check("0.0476", &format!(r#"{SHORT},"leverage":"10""#), "passes");
    assert!(
        ask(
            &mut limited(|limits| (limits.min_liquidation_distance, limits.maintenance_margin) = (Some(name("0.0477")), Some(name("0.05")))),
            "s",
            "one",
            &format!(r#"{SHORT},"leverage":"10""#)
        )
        .contains("liquidation is at about 39.402")
    );
}

#[test]
fn a_trade_may_lose_so_much_at_its_stop() {
    let stop = exits(r#""fraction":"0.05""#, "");
    let check = |limit: &str, change: &str, expected: &str| {
        let mut bench = limited(|limits| limits.max_risk_per_trade = Some(name(limit)));
        assert_eq!(ask(&mut bench, "s", "one", change), expected);
    };
    // 13.02 of 38.39 × 5 %, and 0.045 % of 38.39 and of 36.4705: 1.9195 + 0.033687225 each.
    check("25.430498", &stop, "passes");
    check(
        "25.43",
        &stop,
        "max_risk_per_trade: the order may lose 25.4304976695 at its stop loss, fees included; the limit of deployment one is 25.43",
    );
    check("1000", "", "max_risk_per_trade: a stop_loss is needed to know what may be lost: the limit of deployment one is 1000");
    // A trailing stop that is not active yet bounds nothing.
    check(
        "1000",
        r#","exits":{"trailing":{"fraction":"0.05"}}"#,
        "max_risk_per_trade: a stop_loss is needed to know what may be lost: the limit of deployment one is 1000",
    );
    // A sale may fill as high as 38.37, from where 5 % are more.
    assert!(
        ask(&mut limited(|limits| limits.max_risk_per_trade = Some(name("1"))), "s", "one", &format!("{SHORT}{stop}"))
            .starts_with("max_risk_per_trade: the order may lose 25.4592691")
    );
}

#[test]
fn the_risk_of_a_trade_is_a_fraction_of_the_equity_and_can_be_shrunk() {
    let stop = exits(r#""fraction":"0.05""#, "");
    let mut bench = Bench::changed(1, "0", |setup| {
        let deployment = deployment(setup, "one");
        deployment.accounts[0].allocation = Some(name("1000"));
        (deployment.limits.max_risk_per_trade_fraction, deployment.limits.on_excess) = (Some(name("0.02")), OnExcess::Shrink);
    });
    let words = "max_risk_per_trade: shrunk from 13.02 to 10.23 HYPE by max_risk_per_trade: the order may lose 25.4304976695 at its stop loss, fees included; the limit of deployment one is 20, 0.02 of its equity 1000";
    assert_eq!(ask(&mut bench, "s1", "one", &stop), words);
    for order in placed(&bench.commit().1) {
        bench.fill(&order, 4);
    }
    // 10.23 were bought at 38.39 for a fee of 0.1, and are worth 38: the equity is less by 3.9897 and 0.1.
    let words = ask(&mut bench, "s2", "one", &stop);
    assert!(words.contains("the limit of deployment one is 19.918206, 0.02 of its equity 995.9103"), "{words}");
}

#[test]
fn an_entry_is_shrunk_to_the_tightest_of_its_limits() {
    let mut bench = Bench::changed(1, "0", |setup| {
        let one = &mut deployment(setup, "one").limits;
        (one.max_order_notional, one.on_excess) = (Some(name("300")), OnExcess::Shrink);
        let account = &mut account(setup, "account0").limits;
        (account.max_notional, account.on_excess) = (Some(name("250")), OnExcess::Shrink);
    });
    let words = "max_notional: shrunk from 13.02 to 6.51 HYPE by max_order_notional and max_notional: 0 is at stake and the order may cost 299.8259; the limit of account account0 is 250";
    assert_eq!(ask(&mut bench, "s1", "one", ""), words);
    assert_eq!(bench.at_stake().to_string(), "249.9189", "the reserve is that of what is left");
    let orders = placed(&bench.commit().1);
    assert_eq!(bench.asked(&orders[0]).quantity.to_string(), "6.51");
    // Nothing is left of the limit that could be sent.
    ask(&mut bench, "s2", "one", "");
    let words = "max_notional: 249.9189 is at stake and the order may cost 299.8259; the limit of account account0 is 250; shrunk to that, quantity 0 is below the smallest order of HYPE, 0.01 HYPE";
    assert_eq!(verdicts(&bench, "s2"), [words]);
}

#[test]
fn what_is_too_small_for_the_venue_is_refused_by_the_limit_that_made_it_so() {
    // The smallest order is worth 10.
    let check = |limit: &str, expected: &str| {
        let mut bench = limited(|limits| (limits.max_notional, limits.on_excess) = (Some(name(limit)), OnExcess::Shrink));
        assert_eq!(ask(&mut bench, "s", "one", ""), expected);
    };
    check(
        "10.4",
        "max_notional: shrunk from 13.02 to 0.27 HYPE by max_notional: 0 is at stake and the order may cost 499.8378; the limit of deployment one is 10.4",
    );
    check(
        "10.3",
        "max_notional: 0 is at stake and the order may cost 499.8378; the limit of deployment one is 10.3; shrunk to that, notional 9.9814 is below the smallest order of HYPE, 10 USDC",
    );
}

#[test]
fn where_one_of_two_limits_refuses_nothing_is_shrunk() {
    let mut bench = Bench::changed(1, "0", |setup| {
        let one = &mut deployment(setup, "one").limits;
        (one.max_order_notional, one.on_excess) = (Some(name("300")), OnExcess::Shrink);
        account(setup, "account0").limits.max_notional = Some(name("250"));
    });
    let words = "max_notional: 0 is at stake and the order may cost 299.8259; the limit of account account0 is 250";
    assert_eq!(ask(&mut bench, "s", "one", ""), words);
}

#[test]
fn capital_is_shrunk_to_only_where_that_is_wanted() {
    let check = |policy: OnExcess, expected: &str| {
        let mut bench = Bench::changed(1, "0", |setup| {
            let deployment = deployment(setup, "one");
            deployment.accounts[0].allocation = Some(name("100"));
            deployment.limits.on_excess = policy;
        });
        assert_eq!(ask(&mut bench, "s", "one", r#","leverage":"2""#), expected);
    };
    let words = "the order needs 250.14382701 USDC (margin and fee at the worst price), deployment one on account0 has 100 free";
    check(OnExcess::Refuse, &format!("insufficient_capital: {words}"));
    check(OnExcess::Shrink, &format!("insufficient_capital: shrunk from 13.02 to 5.2 HYPE by insufficient_capital: {words}"));
}

#[test]
fn one_asset_may_be_so_much_of_the_equity() {
    let check = |fraction: &str, expected: &str| {
        let mut bench = Bench::changed(1, "0", |setup| {
            let deployment = deployment(setup, "one");
            deployment.accounts[0].allocation = Some(name("2000"));
            deployment.limits.max_concentration = Some(name(fraction));
        });
        assert_eq!(ask(&mut bench, "s", "one", ""), expected);
    };
    check("0.25", "passes");
    check(
        "0.2499",
        "max_concentration: 0 is at stake in HYPE and the order may cost 499.8378; the limit of deployment one is 499.8, 0.2499 of its equity 2000",
    );
}

#[test]
fn the_equity_of_an_account_has_what_long_and_short_positions_gained() {
    let mut bench = Bench::changed(2, "0", |setup| {
        account(setup, "account0").limits.max_concentration = Some(name("0.0001"));
        account(setup, "account1").limits.max_concentration = Some(name("0.0001"));
    });
    // A million each; 2 bought at 38.39 and 2 sold at 37.611, for a fee of 0.1.
    bench.opened_by("long", "one", r#","sizing":{"quantity":"2"},"venues":["venue0"]"#);
    bench.opened_by("short", "one", r#","sizing":{"quantity":"2"},"venues":["venue1"],"direction":"short""#);
    bench.quote("39.99", "40.01");
    let signal = bench.signal("s", "one", r#","sizing":{"quantity":"1"}"#);
    bench.execute(signal);
    let gained = "max_concentration: 80 is at stake in HYPE and the order may cost 40.41; the limit of account account0 is 100.000312, 0.0001 of its equity 1000003.12";
    let lost = "max_concentration: 80 is at stake in HYPE and the order may cost 40.41; the limit of account account1 is 99.9995122, 0.0001 of its equity 999995.122";
    assert_eq!(verdicts(&bench, "s"), [gained, lost]);
}

#[test]
fn equity_that_nobody_knows_is_no_equity() {
    // Something stood on the account before, of which nobody says what it cost.
    let mut bench = Bench::changed(1, "2", |setup| setup.limits.max_concentration = Some(name("0.25")));
    let words = "equity_unknown: the equity of account account0 is not known, it holds or held something of unknown cost; no limit can be a fraction of it";
    assert_eq!(ask(&mut bench, "s", "one", ""), words);
}

#[test]
fn a_snapshot_that_lacks_what_limits_count_is_not_used() {
    use omnivenue_core::engine::replay;
    use omnivenue_core::journal::Journal;
    let mut store = MemoryStore::new();
    let mut bench = Bench::with(1, Limits::default(), store.clone(), |setup| deployment(setup, "one").limits.cooldown = Some(seconds(60)));
    bench.opened_by("s1", "one", "");
    let mut state = serde_json::to_value(bench.kernel.state().book()).expect("a book is plain data");
    let fields = state.as_object_mut().expect("a book is an object");
    // As an earlier version wrote it.
    fields.remove("shape");
    fields.remove("standing");
    store.snapshot(bench.kernel.seq(), &state.to_string()).expect("memory takes it");
    let replayed = replay(&store).expect("it replays");
    assert_eq!((replayed.snapshot, &replayed.book), (0, bench.kernel.state().book()));
}
