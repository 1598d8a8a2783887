//! The venue's truth and ours: what comes late, what others do on our accounts, money that moves, and what a difference leads to.

mod desk;

use std::time::Duration;

use omnivenue_core::executor::{DriftPolicy, Input};
use omnivenue_core::journal::{AdjustmentKind, Failure, PriceSource, Verdict};
use omnivenue_core::ledger::CapitalKey;
use omnivenue_core::model::close::{CloseRequest, CloseTarget, Lot};
use omnivenue_core::model::ids::{ClientOrderId, DeploymentId};
use omnivenue_core::model::instrument::Side;
use omnivenue_core::model::movement::{FillCause, MovementKind};
use omnivenue_core::model::number::Amount;
use omnivenue_core::model::order::{Fee, FillReport, OrderReport, OrderState, OrderStatus};
use omnivenue_core::venue::{Effect, ErrorKind, Evidence};
use proptest::prelude::*;

use desk::{Desk, config, name};

const MINUTE: Duration = Duration::from_secs(60);

/// What a venue says of an order when it says it late.
fn late(desk: &Desk, order: &ClientOrderId, status: OrderStatus, trades: &[(&str, &str)]) -> OrderReport {
    let side = desk.book().order(order).map_or(Side::Buy, |order| order.intent.request().side);
    let fill = |(trade, quantity): &(&str, &str)| FillReport {
        trade_id: name(trade),
        client_order_id: Some(order.clone()),
        venue_order_id: name("v1"),
        symbol: name("HYPE"),
        side,
        price: name("38"),
        quantity: name(quantity),
        fee: Fee { asset: name("USDC"), amount: name("0.1") },
        at: desk.now.wall,
        cause: None,
    };
    let fills: Vec<FillReport> = trades.iter().map(fill).collect();
    let filled = fills.iter().try_fold(Default::default(), |sum: omnivenue_core::model::number::Quantity, fill| sum.plus(fill.quantity));
    OrderReport {
        client_order_id: order.clone(),
        venue_order_id: name("v1"),
        symbol: name("HYPE"),
        status,
        filled_quantity: filled.expect("it fits"),
        fills,
        position_id: None,
        at: desk.now.wall,
    }
}

fn failure(effect: Effect) -> Failure {
    Failure { kind: ErrorKind::InvalidRequest, effect, code: None, message: "no".into() }
}

/// A desk on which one order of 10 HYPE with a stop is on its way to `main`; answers are given by hand.
fn held(more: &str) -> (Desk, ClientOrderId) {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    desk.setup.deployments.get_mut(&name::<DeploymentId>("one")).expect("it is there").accounts.truncate(1);
    desk.restart();
    desk.hold = true;
    let sizing = format!(r#","sizing":{{"quantity":"10"}},"exits":{{"stop_loss":{{"fraction":"0.5"}}}}{more}"#);
    let signal = desk.signal("s", "one", &sizing);
    desk.execute(signal);
    assert_eq!(desk.held.len(), 1);
    let order = desk.held[0].client_order_id().clone();
    (desk, order)
}

fn reserved(desk: &Desk) -> String {
    let key = CapitalKey { account: name("main"), deployment: None, currency: name("USDC") };
    desk.book().ledger().capital(&key).reserved.to_string()
}

/// Whatever ended an order: a trade that is told of later is booked, once, and its leg is guarded.
fn traded_after_all(desk: &mut Desk, order: &ClientOrderId) {
    assert_eq!((desk.ours("one", "main"), reserved(desk)), ("0".into(), "0".into()), "it was over");
    let first = late(desk, order, OrderStatus::Open, &[("t1", "4")]);
    desk.report("main", first.clone());
    assert_eq!(desk.ours("one", "main"), "4");
    let state = desk.book().order(order).expect("it is at hand").state.clone();
    if matches!(state, OrderState::Open { .. }) {
        assert_eq!(desk.outcomes("s"), ["working"], "the leg is open again");
        assert_ne!(reserved(desk), "0", "what may yet trade is held back again");
    }
    assert_eq!(desk.book().guards().count(), 1, "what was bought is guarded");
    let seq = desk.kernel.seq();
    desk.report("main", first);
    assert_eq!(desk.kernel.seq(), seq, "said twice, it changes nothing");
    let all = late(desk, order, OrderStatus::Filled, &[("t1", "4"), ("t2", "6")]);
    desk.report("main", all.clone());
    desk.report("main", all);
    assert_eq!((desk.ours("one", "main"), reserved(desk)), ("10".into(), "0".into()));
    assert_eq!(desk.outcomes("s"), ["filled:"]);
    let folded = omnivenue_core::engine::replay(&desk.store).expect("the journal replays").book;
    assert!(folded == *desk.book(), "the state is the fold of the journal");
}

#[test]
fn field_9_a_fill_after_a_cancel_reopens_the_leg() {
    let (mut desk, order) = held(r#","order":{"type":"limit","price":"38.5","time_in_force":"gtc"}"#);
    let open = late(&desk, &order, OrderStatus::Open, &[]);
    desk.input(Input::Placed { order: order.clone(), result: Ok(open) });
    let canceled = late(&desk, &order, OrderStatus::Canceled, &[]);
    desk.input(Input::Canceled { order: order.clone(), result: Ok(canceled) });
    assert_eq!(desk.outcomes("s"), ["canceled:canceled"]);
    traded_after_all(&mut desk, &order);
}

#[test]
fn field_9_a_fill_after_a_refusal_reopens_the_leg() {
    let (mut desk, order) = held("");
    desk.input(Input::Placed { order: order.clone(), result: Err(failure(Effect::Refused)) });
    assert_eq!(desk.outcomes("s").len(), 1);
    traded_after_all(&mut desk, &order);
}

#[test]
fn field_9_a_fill_after_a_verdict_reopens_the_leg() {
    let (mut desk, order) = held("");
    desk.input(Input::Placed { order: order.clone(), result: Err(failure(Effect::Unknown)) });
    let verdict = Input::Resolve { order: order.clone(), verdict: Verdict::Absent, reason: "looked".into(), token: 99 };
    desk.input(verdict);
    traded_after_all(&mut desk, &order);
}

#[test]
fn field_9_a_fill_after_proven_absence_ends_the_attempt_that_was_to_follow() {
    let (mut desk, order) = held("");
    desk.input(Input::Placed { order: order.clone(), result: Err(failure(Effect::Unknown)) });
    let absent = Evidence::AbsentForever { evidence: "burned".into() };
    desk.input(Input::Probed { order: order.clone(), result: Ok(absent) });
    assert_eq!(desk.outcomes("s"), ["planned"], "another attempt is to follow");
    let found = late(&desk, &order, OrderStatus::Filled, &[("t1", "10")]);
    desk.report("main", found);
    desk.pass(MINUTE);
    let number = desk.kernel.execution_of(&name("s")).expect("the journal reads").expect("it was taken");
    let record = desk.kernel.execution(number).expect("the journal reads").expect("it is there");
    assert_eq!(record.legs[0].orders.len(), 1, "no second entry is ever prepared; what else left is its stop");
    assert_eq!((desk.outcomes("s"), desk.ours("one", "main")), (vec!["filled:".to_owned()], "10".to_owned()));
    assert_eq!(reserved(&desk), "0");
}

#[test]
fn field_9_the_venues_own_trades_replace_a_persons_word_and_what_must_be_closed_stays_so() {
    let (mut desk, order) = held("");
    desk.input(Input::Placed { order: order.clone(), result: Err(failure(Effect::Unknown)) });
    let verdict = Verdict::Filled { quantity: name("10"), price: name("38") };
    desk.input(Input::Resolve { order: order.clone(), verdict, reason: "looked".into(), token: 99 });
    assert_eq!(desk.ours("one", "main"), "10");
    let lot = Lot { deployment: name("one"), account: name("main"), instrument: name("HYPE"), signal: Some(name("s")) };
    let entry = desk.book().guards().next().expect("it is guarded").0;
    desk.input(Input::Timer(omnivenue_core::executor::Timer::Protection(entry)));
    let before = desk.book().duty(&lot).cloned();
    let guards = desk.book().guards().count();
    let told = late(&desk, &order, OrderStatus::Filled, &[("t1", "7"), ("t2", "3")]);
    desk.report("main", told);
    assert_eq!((desk.ours("one", "main"), desk.book().guards().count()), ("10".to_owned(), guards));
    assert_eq!(desk.book().duty(&lot).map(|duty| &duty.why), before.as_ref().map(|duty| &duty.why));
}

#[test]
fn field_9_a_close_that_took_effect_twice_is_closed_again() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    desk.setup.deployments.get_mut(&name::<DeploymentId>("one")).expect("it is there").accounts.truncate(1);
    desk.restart();
    desk.buy("s", "one", "10");
    desk.hold = true;
    desk.close(CloseRequest::new(name("c"), CloseTarget::All));
    let order = desk.held[0].client_order_id().clone();
    let told = late(&desk, &order, OrderStatus::Filled, &[("t1", "10"), ("t2", "4")]);
    desk.report("main", told);
    assert_eq!(desk.ours("one", "main"), "-4");
    let duty = desk.book().duties().next().expect("it must become flat").1;
    assert_eq!(duty.why.code, "overclosed");
}

#[test]
fn field_10_what_is_told_twice_is_booked_once_and_recovering_twice_is_recovering_once() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    desk.buy("s", "one", "10");
    desk.hand("main", Side::Buy, "3");
    desk.happens(|exchange, now| exchange.pay_funding(now, &name("HYPE"), name("0.0001")));
    for _ in 0..3 {
        desk.reconcile();
    }
    assert_eq!(desk.adjustments().len(), 3, "one trade, and funding of two accounts");
    desk.check();
    for _ in 0..3 {
        desk.restart();
        desk.reconcile();
        desk.pass(MINUTE);
    }
    assert_eq!(desk.adjustments().len(), 3);
    desk.check();
}

#[test]
fn field_11_working_orders_are_never_dropped_whatever_the_snapshot_says() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    let resting = r#","sizing":{"quantity":"10"},"order":{"type":"limit","price":"30","time_in_force":"gtc"}"#;
    let signal = desk.signal("s", "one", resting);
    desk.execute(signal);
    desk.lies(|snapshot| {
        snapshot.orders.clear();
        snapshot.fills.clear();
    });
    desk.reconcile();
    desk.pass(MINUTE * 5);
    assert_eq!(desk.outcomes("s"), ["working", "working"], "only the order's own query ends it");
    let order = desk.only_order("s");
    desk.happens(|exchange, now| exchange.cancel(now, &name("main"), &name("HYPE"), &order)).expect("it rests there");
    desk.pass(MINUTE * 5);
    assert_eq!(desk.outcomes("s"), ["canceled:canceled", "working"]);
}

#[test]
fn field_12_nothing_is_made_up_an_adoption_has_a_reason_and_a_price_source() {
    let mut desk = Desk::new(DriftPolicy::Adopt);
    desk.buy("s", "one", "10");
    desk.lies(|snapshot| snapshot.fills.clear());
    desk.hand("main", Side::Buy, "3");
    desk.pass(MINUTE * 2);
    let adopted = desk.adjustments();
    let trade = adopted.iter().find(|one| one.symbol.is_some()).expect("it is adopted");
    assert_eq!((trade.kind, trade.price), (AdjustmentKind::Adopted, Some((name("38"), PriceSource::Mark))));
    assert!(trade.reason.contains("nothing explains"), "{}", trade.reason);
    assert_eq!((desk.ours("one", "main"), desk.external("main")), ("10".into(), "3".into()));
    assert_eq!(desk.halt("main"), None, "it goes on");
    desk.check();
}

#[test]
fn field_13_two_accounts_never_mix() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    desk.buy("s", "one", "10");
    desk.hand("main", Side::Buy, "3");
    desk.hand("other", Side::Sell, "3");
    desk.reconcile();
    assert_eq!((desk.external("main"), desk.external("other")), ("3".into(), "-3".into()));
    assert_eq!((desk.halt("main"), desk.halt("other")), (None, Some("drift".into())), "there somebody sold what is ours");
    desk.check();
}

#[test]
fn field_15_trades_by_hand_are_seen_while_it_runs() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    desk.buy("s", "one", "10");
    desk.hand("main", Side::Buy, "3");
    desk.pass(desk.setup.timing.reconcile_every + Duration::from_secs(1));
    assert_eq!(desk.external("main"), "3", "without anybody asking for it");
    // On the stream it is heard of sooner.
    desk.streams = true;
    desk.hand("main", Side::Buy, "2");
    desk.pass(desk.setup.timing.reconcile_every / 5);
    assert_eq!(desk.external("main"), "5");
    desk.check();
}

#[test]
fn field_16_a_difference_that_nothing_explains_halts_entries() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    desk.buy("s", "one", "10");
    desk.lies(|snapshot| snapshot.fills.clear());
    desk.hand("main", Side::Buy, "3");
    desk.pass(MINUTE);
    assert_eq!(desk.halt("main"), Some("drift".into()));
    desk.buy("s2", "one", "1");
    assert_eq!(desk.outcomes("s2"), ["refused:halted", "refused:breaker"], "and the venue is unwell for a while");
    assert_eq!(desk.adjustments(), [], "nothing is booked without a word");
    // The venue tells of the trade after all: it is explained, and a person says that entries may go on.
    desk.tells_the_truth();
    desk.reconcile();
    assert_eq!(desk.external("main"), "3");
    desk.adopt("main", "it was me").expect("it is done");
    assert_eq!(desk.halt("main"), None);
    desk.check();
}

#[test]
fn field_17_each_policy_does_what_it_says() {
    for (policy, ours, external, halted) in [
        (DriftPolicy::HaltEntries, "10", "-4", Some("drift".to_owned())),
        (DriftPolicy::Adopt, "6", "0", None),
        (DriftPolicy::Flatten, "0", "0", Some("drift".to_owned())),
    ] {
        for hidden in [false, true] {
            let mut desk = Desk::new(policy);
            desk.buy("s", "one", "10");
            if hidden {
                desk.lies(|snapshot| {
                    snapshot.fills.retain(|fill| fill.client_order_id.as_ref().is_none_or(|id| !id.as_str().starts_with("hand")))
                });
            }
            desk.hand("main", Side::Sell, "4");
            desk.pass(MINUTE * 2);
            let expected = if hidden && policy == DriftPolicy::HaltEntries { "0" } else { external };
            assert_eq!((desk.ours("one", "main"), desk.external("main")), (ours.to_owned(), expected.to_owned()), "{policy:?} {hidden}");
            assert_eq!(desk.halt("main"), halted, "{policy:?} {hidden}");
            if policy == DriftPolicy::HaltEntries {
                // A close takes no more than the venue holds, and a person settles the rest.
                desk.tells_the_truth();
                desk.reconcile();
                desk.close(CloseRequest::new(name("c"), CloseTarget::Account(name("main"))));
                assert_eq!(desk.ours("one", "main"), "4", "the venue held six");
                desk.adopt("main", "sold by hand").expect("it is done");
                assert_eq!((desk.ours("one", "main"), desk.external("main"), desk.halt("main")), ("0".into(), "0".into(), None));
            }
            desk.check();
        }
    }
}

#[test]
fn a_duty_that_the_venue_no_longer_holds_waits_without_a_word() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    desk.buy("s", "one", "10");
    desk.hand("main", Side::Sell, "10");
    desk.reconcile();
    desk.setup.accounts.values_mut().for_each(|account| account.drift = DriftPolicy::Flatten);
    desk.restart();
    desk.hand("main", Side::Sell, "1");
    desk.reconcile();
    assert_eq!(
        (desk.ours("one", "main"), desk.external("main")),
        ("0".into(), "-1".into()),
        "all of it is given up, nothing is bought back"
    );
    let seq = desk.kernel.seq();
    desk.pass(MINUTE * 30);
    assert!(desk.kernel.seq() <= seq + 6, "{} entries in half an hour", desk.kernel.seq() - seq);
    desk.check();
}

#[test]
fn a_person_needs_a_reason_and_a_comparison_to_adopt() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    assert!(desk.adopt("main", " ").unwrap_err().contains("reason"));
    assert!(desk.adopt("nowhere", "why").unwrap_err().contains("no account"));
    let seq = desk.kernel.seq();
    desk.adopt("main", "nothing to adopt").expect("it is done");
    assert_eq!(desk.kernel.seq(), seq, "nothing was written down");
}

#[test]
fn field_18_fills_while_we_were_away_are_booked() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    let resting = r#","sizing":{"quantity":"10"},"order":{"type":"limit","price":"30","time_in_force":"gtc"}"#;
    let signal = desk.signal("s", "one", resting);
    desk.execute(signal);
    desk.hand("main", Side::Buy, "1");
    desk.pass(Duration::from_secs(1));
    desk.hand("main", Side::Buy, "2");
    desk.restart();
    assert_eq!(desk.external("main"), "3");
    desk.check();
}

#[test]
fn field_19_fills_are_cross_checked_although_the_stream_is_well() {
    let mut desk = Desk::on(config(Some(3)), DriftPolicy::HaltEntries);
    // Nothing of what the stream tells arrives.
    let resting = r#","sizing":{"quantity":"10"},"order":{"type":"limit","price":"37.9","time_in_force":"gtc"}"#;
    let signal = desk.signal("s", "one", resting);
    desk.execute(signal);
    desk.pass(MINUTE * 20);
    desk.check_quantities();
    assert_eq!(desk.ours("one", "main"), "10");
}

#[test]
fn field_20_orders_of_others_are_shown_never_ours_and_block_nothing() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    desk.happens(|exchange, now| {
        let place = format!(
            r#"{{"client_order_id":"theirs","nonce":{},"timestamp":"{now}","symbol":"HYPE","side":"sell","quantity":"5","order":{{"type":"limit","price":"50","time_in_force":"gtc","post_only":false}},"worst_price":"50","leverage":"1","reduce_only":false}}"#,
            now.as_millis() - 1
        );
        exchange.place(now, now, &name("main"), &place)
    })
    .expect("the exchange takes it");
    desk.reconcile();
    let foreign: Vec<_> = desk.kernel.state().foreign_orders().collect();
    assert_eq!(foreign.len(), 1);
    assert_eq!((foreign[0].account.as_str(), foreign[0].client_order_id.as_str(), foreign[0].foreign), ("main", "theirs", true));
    desk.buy("s", "one", "10");
    assert_eq!(desk.outcomes("s"), ["filled:", "filled:"], "an order of somebody else stands in nobody's way");
    desk.close(CloseRequest::new(name("c"), CloseTarget::All));
    desk.happens(|exchange, now| exchange.cancel(now, &name("main"), &name("HYPE"), &name("theirs"))).expect("it still rests");
    desk.reconcile();
    assert_eq!(desk.kernel.state().foreign_orders().count(), 0);
}

#[test]
fn field_52_what_was_there_before_us_is_never_sold() {
    let mut first = config(None);
    first.accounts.remove(&name::<omnivenue_core::model::ids::AccountId>("other"));
    for policy in [DriftPolicy::HaltEntries, DriftPolicy::Adopt, DriftPolicy::Flatten] {
        let mut desk = Desk::on(first.clone(), policy);
        desk.hand("main", Side::Buy, "20");
        // Another journal begins on an account that holds something.
        desk.store = omnivenue_core::journal::MemoryStore::new();
        desk.restart();
        assert_eq!(desk.external("main"), "20");
        desk.check();
        desk.buy("s", "one", "10");
        desk.hand("main", Side::Sell, "5");
        desk.pass(MINUTE * 2);
        assert_eq!((desk.external("main"), desk.halt("main")), ("15".into(), None), "they sold what is theirs");
        desk.close(CloseRequest::new(name("c"), CloseTarget::All));
        desk.pass(MINUTE);
        assert_eq!((desk.ours("one", "main"), desk.external("main")), ("0".into(), "15".into()));
        desk.check();
    }
}

#[test]
fn funding_is_shared_by_what_each_held_when_it_was_due() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    desk.buy("s", "one", "10");
    desk.buy("s2", "two", "5");
    desk.hand("main", Side::Buy, "1");
    desk.pass(Duration::from_secs(1));
    desk.happens(|exchange, now| exchange.pay_funding(now, &name("HYPE"), name("0.0001")));
    desk.pass(Duration::from_secs(1));
    // After it was due, one of them sells: it pays nevertheless.
    desk.close(CloseRequest::new(name("c"), CloseTarget::Signal(name("s"))));
    desk.reconcile();
    let of = |deployment: Option<&str>| {
        let key = CapitalKey { account: name("main"), deployment: deployment.map(name), currency: name("USDC") };
        desk.book().ledger().money(&key).expect("it fits").funding.to_string()
    };
    assert_eq!((of(Some("one")), of(Some("two")), of(None)), ("-0.038".into(), "-0.019".into(), "-0.0608".into()));
    desk.check();
}

#[test]
fn deposits_and_withdrawals_are_the_accounts_alone_and_change_what_it_may_use() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    desk.buy("s", "one", "10");
    let moved = |amount: &str, kind| {
        let amount: Amount = name(amount);
        move |exchange: &mut omnivenue_paper::Exchange, now| {
            exchange.move_money(now, &name("main"), &name("USDC"), amount, (kind, None)).expect("the exchange does it");
        }
    };
    desk.happens(moved("50000", MovementKind::Deposit));
    desk.happens(moved("-149000", MovementKind::Withdrawal));
    desk.reconcile();
    desk.check();
    assert_eq!(desk.book().ledger().funds(&name("main"), &name("USDC")).map(|funds| funds.to_string()), Some("1000".into()));
    desk.buy("s2", "one", "100");
    assert_eq!(desk.outcomes("s2")[0], "refused:insufficient_capital", "what was taken out is not there any more");
}

#[test]
fn a_liquidation_hits_everybody_in_proportion_and_halts_entries() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    let stop = r#","sizing":{"quantity":"10"},"exits":{"stop_loss":{"fraction":"0.5"}}"#;
    let signal = desk.signal("s", "one", stop);
    desk.execute(signal);
    desk.buy("s2", "two", "5");
    desk.hand("main", Side::Buy, "5");
    desk.reconcile();
    let guards = desk.book().guards().count();
    let force = |quantity: Option<&str>| {
        let quantity = quantity.map(name);
        move |exchange: &mut omnivenue_paper::Exchange, now| {
            exchange.force(now, &name("main"), &name("HYPE"), quantity, FillCause::Liquidation).expect("something is held");
        }
    };
    desk.happens(force(Some("4")));
    desk.reconcile();
    assert_eq!((desk.ours("one", "main"), desk.ours("two", "main"), desk.external("main")), ("8".into(), "4".into(), "4".into()));
    assert_eq!((desk.halt("main"), desk.halt("other")), (Some("liquidated".into()), None));
    desk.check();
    desk.happens(force(None));
    desk.reconcile();
    assert_eq!((desk.ours("one", "main"), desk.ours("two", "main"), desk.external("main")), ("0".into(), "0".into(), "0".into()));
    assert_eq!(desk.book().guards().count(), guards - 1, "what is gone needs no stop");
    desk.buy("s3", "one", "1");
    assert_eq!(desk.outcomes("s3"), ["refused:halted", "refused:breaker"], "and the venue is unwell for a while");
    desk.adopt("main", "looked at it").expect("it is done");
    desk.pass(MINUTE * 5);
    desk.buy("s4", "one", "1");
    assert_eq!(desk.outcomes("s4"), ["filled:", "filled:"]);
    desk.check();
}

#[test]
fn idle_accounts_are_compared_less_often_and_those_at_risk_as_always() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    desk.setup.deployments.get_mut(&name::<DeploymentId>("one")).expect("it is there").accounts.truncate(1);
    desk.restart();
    desk.buy("s", "one", "10");
    desk.asked.clear();
    desk.pass(desk.setup.timing.reconcile_every * 40);
    assert_eq!((desk.asked[&name("main")], desk.asked[&name("other")]), (40, 10));
}

#[test]
fn what_others_did_long_before_our_latest_trade_is_not_passed_over() {
    let mut desk = Desk::new(DriftPolicy::HaltEntries);
    // Nothing is at risk: the next comparison is two minutes away, and longer ago than a snapshot looks back.
    desk.hand("main", Side::Buy, "0.01");
    desk.pass(MINUTE + Duration::from_secs(1));
    desk.buy("s", "one", "10");
    for restarts in [false, true] {
        if restarts {
            desk.hand("main", Side::Buy, "1");
            desk.pass(Duration::from_secs(1));
            desk.buy("s2", "one", "1");
            desk.restart();
        }
        desk.reconcile();
        desk.check();
    }
    assert_eq!((desk.external("main"), desk.halt("main")), ("1.01".into(), None));
    let seq = desk.kernel.seq();
    desk.pass(MINUTE * 60);
    assert!(desk.kernel.seq() - seq <= 14, "{} entries in an hour of two accounts", desk.kernel.seq() - seq);
}

/// One thing that happens, to us or without us.
#[derive(Debug, Clone)]
enum Turn {
    Buy { agent: bool, quantity: u32 },
    Close { agent: bool },
    Hand { account: bool, buys: bool, quantity: u32 },
    Funding { rate: i32 },
    Deposit { account: bool, amount: i32 },
    Force { account: bool, quantity: Option<u32>, deleverages: bool },
    Pass { millis: u32 },
    Reconcile,
    Restart,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        4 => (any::<bool>(), 30_u32..3_000).prop_map(|(agent, quantity)| Turn::Buy { agent, quantity }),
        2 => any::<bool>().prop_map(|agent| Turn::Close { agent }),
        3 => (any::<bool>(), any::<bool>(), 1_u32..3_000).prop_map(|(account, buys, quantity)| Turn::Hand { account, buys, quantity }),
        2 => (-9_999_i32..9_999).prop_map(|rate| Turn::Funding { rate }),
        1 => (any::<bool>(), -900_000_i32..900_000).prop_map(|(account, amount)| Turn::Deposit { account, amount }),
        2 => (any::<bool>(), prop::option::of(1_u32..3_000), any::<bool>())
            .prop_map(|(account, quantity, deleverages)| Turn::Force { account, quantity, deleverages }),
        3 => (1_u32..20_000).prop_map(|millis| Turn::Pass { millis }),
        3 => Just(Turn::Reconcile),
        1 => Just(Turn::Restart),
    ];
    prop::collection::vec(turn, 1..50)
}

fn hundredths(quantity: u32) -> String {
    format!("{}.{:02}", quantity / 100, quantity % 100)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Funding, trades of others, liquidations, deposits and trades of two deployments on shared accounts, in any order, with restarts: what is
    /// ours and what is not adds up to what the venue has, and so does the money, to the last digit.
    #[test]
    fn what_is_ours_and_what_is_not_adds_up_to_the_venue(seed in 0_u64..1_000, policy in 0_usize..3, turns in turns()) {
        let policy = [DriftPolicy::HaltEntries, DriftPolicy::Adopt, DriftPolicy::Flatten][policy];
        let mut desk = Desk::on(config(Some(seed)), policy);
        let mut count = 0;
        let account = |main: bool| if main { "main" } else { "other" };
        for turn in turns {
            count += 1;
            match turn {
                Turn::Buy { agent, quantity } => {
                    let agent = if agent { "one" } else { "two" };
                    desk.buy(&format!("s{count}"), agent, &hundredths(quantity));
                }
                Turn::Close { agent } => {
                    let target = CloseTarget::Agent(name(if agent { "one" } else { "two" }));
                    desk.close(CloseRequest::new(name(&format!("c{count}")), target));
                }
                Turn::Hand { account: main, buys, quantity } => {
                    let side = if buys { Side::Buy } else { Side::Sell };
                    desk.hand(account(main), side, &hundredths(quantity));
                }
                Turn::Funding { rate } => {
                    let rate = format!("{}0.{:08}", if rate < 0 { "-" } else { "" }, rate.unsigned_abs());
                    desk.happens(|exchange, now| exchange.pay_funding(now, &name("HYPE"), name(&rate)));
                }
                Turn::Deposit { account: main, amount } => {
                    let amount: Amount = Amount::new(rust_decimal::Decimal::new(amount.into(), 2)).unwrap();
                    let kind = if amount < Amount::ZERO { MovementKind::Withdrawal } else { MovementKind::Deposit };
                    desk.happens(|exchange, now| exchange.move_money(now, &name(account(main)), &name("USDC"), amount, (kind, None))).unwrap();
                }
                Turn::Force { account: main, quantity, deleverages } => {
                    let cause = if deleverages { FillCause::Deleveraging } else { FillCause::Liquidation };
                    let quantity = quantity.map(|quantity| name(&hundredths(quantity)));
                    let _ = desk.happens(|exchange, now| exchange.force(now, &name(account(main)), &name("HYPE"), quantity, cause));
                }
                Turn::Pass { millis } => desk.pass(Duration::from_millis(millis.into())),
                Turn::Reconcile => {
                    desk.reconcile();
                    desk.check();
                }
                Turn::Restart => desk.restart(),
            }
        }
        desk.reconcile();
        desk.pass(MINUTE);
        desk.reconcile();
        desk.check();
        let adjustments = desk.adjustments().len();
        for _ in 0..2 {
            desk.restart();
            desk.reconcile();
        }
        prop_assert_eq!(desk.adjustments().len(), adjustments, "recovering twice is recovering once");
        desk.check();
    }
}
