//! Closing by hand: parts, what is not ours, and names that there are not.

mod bench;

use bench::{Bench, name, placed};
use omnivenue_core::engine::{Task, replay};
use omnivenue_core::executor::Input;
use omnivenue_core::journal::{Failure, Journal};
use omnivenue_core::ledger::CapitalKey;
use omnivenue_core::model::close::{CloseRequest, CloseTarget, Part};
use omnivenue_core::model::ids::ClientOrderId;
use omnivenue_core::model::instrument::Side;
use omnivenue_core::model::number::{Quantity, SignedQuantity};
use omnivenue_core::model::order::{Fee, FillReport, OrderReport, OrderStatus};
use omnivenue_core::venue::{Effect, ErrorKind};
use proptest::prelude::*;

fn request(id: &str, target: CloseTarget) -> CloseRequest {
    CloseRequest::new(name(id), target)
}

fn half(id: &str, target: CloseTarget) -> CloseRequest {
    CloseRequest { part: Some(Part::Fraction(name("0.5"))), ..request(id, target) }
}

fn with_external(id: &str, target: CloseTarget) -> CloseRequest {
    CloseRequest { include_external: true, ..request(id, target) }
}

fn position(deployment: Option<&str>) -> CloseTarget {
    CloseTarget::Position { account: name("account0"), instrument: name("HYPE"), deployment: deployment.map(name) }
}

fn refusal(tasks: &[Task]) -> String {
    match tasks {
        [Task::Answer { result: Err(error), .. }] => error.to_string(),
        other => panic!("it was taken: {other:?}"),
    }
}

/// Fills every close that leaves, one after the other; what left, in order.
fn drain(bench: &mut Bench, tasks: Vec<Task>) -> Vec<(Side, String)> {
    let mut sent = Vec::new();
    let mut tasks = tasks;
    loop {
        let mut orders = placed(&tasks);
        let (count, more) = bench.commit();
        orders.extend(placed(&more));
        if orders.is_empty() && count == 0 {
            return sent;
        }
        tasks = Vec::new();
        for order in orders {
            let asked = bench.asked(&order);
            sent.push((asked.side, asked.quantity.to_string()));
            tasks.extend(bench.fill(&order, 4));
        }
    }
}

#[test]
fn a_part_is_in_whole_lots_and_never_more_than_was_asked() {
    let mut bench = Bench::new(1, Default::default());
    bench.opened_by("s", "one", "");
    assert_eq!(bench.held("one"), "13.02");
    let some = CloseRequest { part: Some(Part::Quantity(name("1.239"))), ..request("c1", position(None)) };
    let tasks = bench.close(some);
    assert_eq!(drain(&mut bench, tasks), [(Side::Sell, "1.23".to_owned())], "rounded down");
    let tasks = bench.close(half("c2", CloseTarget::Agent(name("one"))));
    assert_eq!(drain(&mut bench, tasks), [(Side::Sell, "5.89".to_owned())], "half of 11.79, rounded down");
    let dust = CloseRequest { part: Some(Part::Fraction(name("0.0001"))), ..request("c3", CloseTarget::All) };
    bench.close(dust);
    assert_eq!(bench.states("c3"), ["skipped:less_than_a_lot"]);
    let more = CloseRequest { part: Some(Part::Quantity(name("100"))), ..request("c4", CloseTarget::Asset(name("HYPE"))) };
    let tasks = bench.close(more);
    assert_eq!(drain(&mut bench, tasks), [(Side::Sell, "5.9".to_owned())], "no more than there is");
    assert_eq!(bench.held("one"), "0");
}

#[test]
fn half_of_a_signal_is_half_of_its_own_fills() {
    let mut bench = Bench::new(1, Default::default());
    bench.opened_by("s1", "one", "");
    bench.opened_by("s2", "one", "");
    let tasks = bench.close(half("c", CloseTarget::Signal(name("s2"))));
    assert_eq!(drain(&mut bench, tasks), [(Side::Sell, "6.51".to_owned())]);
    let book = bench.kernel.state().book();
    let (_, position) = book.ledger().positions().next().expect("it is open");
    assert_eq!(position.share_of(&name("s1")).unwrap().to_string(), "13.02");
    assert_eq!(position.share_of(&name("s2")).unwrap().to_string(), "6.51");
}

/// hummingbot #7294: a failure event, then a fill: the close was executed twice.
#[test]
fn a_close_that_failed_and_then_filled_is_not_executed_twice() {
    let mut bench = Bench::new(1, Default::default());
    bench.opened_by("s", "one", "");
    bench.close(half("c", CloseTarget::All));
    let order = placed(&bench.commit().1).remove(0);
    assert_eq!(bench.asked(&order).quantity.to_string(), "6.51");
    assert!(bench.asked(&order).reduce_only);
    let failure = Failure { kind: ErrorKind::Timeout, effect: Effect::Unknown, code: None, message: "lost".into() };
    bench.kernel.input(bench.now, Input::Placed { order: order.clone(), result: Err(failure) });
    let tasks = bench.close(half("c", CloseTarget::All));
    assert!(placed(&tasks).is_empty(), "the same id is the same execution");
    assert!(placed(&bench.commit().1).is_empty());
    assert_eq!(bench.states("c"), ["unknown"]);
    // Another one waits until it is known what became of the first.
    bench.close(half("d", CloseTarget::All));
    assert!(placed(&bench.commit().1).is_empty(), "one at a time per account and instrument");
    let tasks = bench.fill(&order, 4);
    assert_eq!(drain(&mut bench, tasks), [(Side::Sell, "6.51".to_owned())], "the second half, once the first is known");
    assert_eq!(bench.held("one"), "0");
    let other = CloseRequest { part: None, ..half("c", CloseTarget::All) };
    assert!(refusal(&bench.close(other)).contains("another body"));
}

/// QuantDinger #190: exits closed the user's own coins. What existed before us is never sold, unless it is named.
#[test]
fn what_was_there_before_us_is_never_sold_unless_it_is_named() {
    let mut bench = Bench::changed(1, "5", |_| {});
    bench.opened_by("s", "one", "");
    let tasks = bench.close(request("c1", CloseTarget::All));
    assert_eq!(drain(&mut bench, tasks), [(Side::Sell, "13.02".to_owned())], "ours alone");
    let tasks = bench.close(request("c2", CloseTarget::All));
    assert_eq!(drain(&mut bench, tasks), []);
    assert_eq!(bench.external(), "5");
}

/// nautilus #4454: positions owned by nobody here cannot be closed.
#[test]
fn what_is_not_ours_is_closed_when_it_is_named_by_a_leg_of_its_own() {
    let mut bench = Bench::changed(1, "5", |_| {});
    bench.opened_by("s", "one", "");
    let tasks = bench.close(CloseRequest { part: Some(Part::Fraction(name("0.5"))), ..with_external("c0", position(None)) });
    let sent = drain(&mut bench, tasks);
    assert_eq!(sent, [(Side::Sell, "6.51".to_owned()), (Side::Sell, "2.5".to_owned())], "one after the other, ours first");
    assert_eq!((bench.held("one"), bench.external()), ("6.51".to_owned(), "2.5".to_owned()));
    let tasks = bench.close(with_external("c1", CloseTarget::Account(name("account0"))));
    drain(&mut bench, tasks);
    assert_eq!((bench.held("one"), bench.external()), ("0".to_owned(), "0".to_owned()));
    let number = bench.kernel.execution_of(&name("c1")).unwrap().expect("it was taken");
    let record = bench.kernel.execution(number).unwrap().expect("it is there");
    let deployments: Vec<&str> = record.legs.iter().map(|leg| leg.plan.deployment.as_str()).collect();
    assert_eq!(deployments, ["one", "engine:external"]);
    let ledger = bench.kernel.state().book().ledger();
    let capital = |deployment: Option<&str>| {
        let key = CapitalKey { account: name("account0"), deployment: deployment.map(name), currency: name("USDC") };
        ledger.money(&key).expect("it fits")
    };
    assert_eq!(capital(None).fees.to_string(), "0.5", "five orders cost the account");
    assert_eq!(capital(Some("one")).fees.to_string(), "0.3", "three of them were ours");
    assert_eq!(capital(Some("engine:external")), Default::default(), "it is in nobody's book");
    assert_eq!(capital(None).realized, capital(Some("one")).realized, "what is not ours gains nothing for us");
    assert!(ledger.is_unvalued(&name("account0")), "what it gained is not known");
    let folded = replay(&bench.store).unwrap().book;
    assert_eq!(folded, *bench.kernel.state().book());
}

#[test]
fn what_is_opposite_at_the_venue_is_closed_only_as_far_as_the_venue_holds_it() {
    let mut bench = Bench::new(1, Default::default());
    bench.opened_by("s", "one", "");
    // By hand, at the venue: sold short through our long position.
    let foreign = omnivenue_core::journal::Event::External {
        account: name("account0"),
        symbol: name("HYPE"),
        quantity: name("-20"),
        reason: "by hand".into(),
        basis: None,
    };
    let body = serde_json::to_string(&foreign).unwrap().into();
    let entry = omnivenue_core::journal::Entry {
        seq: bench.kernel.seq() + 1,
        at: bench.now.wall,
        kind: foreign.kind(),
        body,
        execution: None,
        index: None,
        metadata: None,
    };
    bench.store.append(&[entry]).unwrap();
    bench.restart(std::time::Duration::from_secs(1));
    bench.recover(&[]);
    let tasks = bench.close(request("c1", CloseTarget::All));
    assert_eq!(drain(&mut bench, tasks), [], "selling ours would enlarge what the venue holds");
    assert_eq!(bench.states("c1"), ["skipped:nothing_to_close"]);
    let tasks = bench.close(with_external("c2", CloseTarget::All));
    assert_eq!(drain(&mut bench, tasks), [(Side::Buy, "6.98".to_owned())], "until the venue is flat");
    assert_eq!((bench.held("one"), bench.external()), ("13.02".to_owned(), "-13.02".to_owned()), "the rest cancels out");
}

#[test]
fn names_that_there_are_not_are_an_error_that_says_what_fits() {
    let mut bench = Bench::changed(1, "5", |_| {});
    bench.opened_by("s", "one", "");
    let entries = bench.kernel.seq();
    let mut check = |request: CloseRequest, words: &str| {
        let said = refusal(&bench.close(request));
        assert!(said.contains(words), "{said}\nshould contain {words}");
    };
    check(request("c", CloseTarget::Agent(name("three"))), "there is no agent three; there are one, two");
    check(request("c", CloseTarget::Account(name("account9"))), "there is no account account9; there are account0");
    check(request("c", CloseTarget::Asset(name("HIPE"))), "there is no asset HIPE");
    check(request("c", position(Some("three"))), "there is no deployment three; there are one, two");
    let elsewhere = CloseTarget::Position { account: name("account0"), instrument: name("HIPE"), deployment: None };
    check(request("c", elsewhere), "there is no instrument HIPE");
    check(request("c", CloseTarget::Signal(name("t"))), "there never was a signal t");
    check(with_external("c", CloseTarget::Agent(name("one"))), "an agent holds nothing that is not ours");
    check(with_external("c", CloseTarget::Signal(name("s"))), "a signal holds nothing that is not ours");
    check(with_external("c", position(Some("one"))), "a deployment holds nothing that is not ours");
    check(CloseRequest { part: Some(Part::Fraction(name("0"))), ..request("c", CloseTarget::All) }, "greater than 0");
    assert_eq!(bench.kernel.seq(), entries, "nothing was done");
}

#[test]
fn what_is_not_ours_can_be_closed_while_nothing_can_be_written_and_is_booked_later() {
    let mut bench = Bench::changed(1, "5", |_| {});
    let sent = {
        bench.kernel.input(bench.now, Input::JournalFailed { reason: "the disk is full".into() });
        placed(&bench.close(with_external("c", CloseTarget::All)))
    };
    let [order] = &sent[..] else { panic!("it leaves under a reserved name: {sent:?}") };
    let asked = bench.asked(order);
    assert_eq!((asked.side, asked.quantity.to_string()), (Side::Sell, "5".to_owned()));
    let report = traded(order, asked.side, asked.quantity, bench.now.wall);
    bench.restart(std::time::Duration::from_secs(5));
    assert_eq!(bench.external(), "5", "the journal knows nothing of it");
    bench.kernel.report(bench.now, name("account0"), report.clone());
    bench.kernel.report(bench.now, name("account0"), report);
    assert_eq!(bench.external(), "0", "booked once, as what it was");
    assert!(bench.kernel.state().book().halt(&name("account0")).is_none());
}

fn traded(order: &ClientOrderId, side: Side, quantity: Quantity, at: omnivenue_core::model::time::Timestamp) -> OrderReport {
    let fill = FillReport {
        trade_id: name("t-emergency"),
        client_order_id: Some(order.clone()),
        venue_order_id: name("v9"),
        symbol: name("HYPE"),
        side,
        price: name("38"),
        quantity,
        fee: Fee { asset: name("USDC"), amount: name("0.1") },
        at,
        cause: None,
    };
    OrderReport {
        client_order_id: order.clone(),
        venue_order_id: name("v9"),
        symbol: name("HYPE"),
        status: OrderStatus::Filled,
        filled_quantity: quantity,
        fills: vec![fill],
        position_id: None,
        at,
    }
}

/// One thing that can happen next, whatever happened before.
#[derive(Debug, Clone)]
enum Turn {
    Signal { agent: bool, notional: u64 },
    Close { target: u8, part: u64, external: bool },
    Commit,
    Answer { which: usize, share: u64 },
    Refuse { which: usize },
    Restart,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        3 => (any::<bool>(), 20_u64..1_500).prop_map(|(agent, notional)| Turn::Signal { agent, notional }),
        4 => (0_u8..5, 0_u64..130, any::<bool>()).prop_map(|(target, part, external)| Turn::Close { target, part, external }),
        4 => Just(Turn::Commit),
        5 => (0_usize..8, 0_u64..=4).prop_map(|(which, share)| Turn::Answer { which, share }),
        1 => (0_usize..8).prop_map(|which| Turn::Refuse { which }),
        1 => Just(Turn::Restart),
    ];
    prop::collection::vec(turn, 1..60)
}

fn closes(target: u8) -> CloseTarget {
    match target {
        0 => CloseTarget::All,
        1 => CloseTarget::Agent(name("one")),
        2 => CloseTarget::Asset(name("HYPE")),
        3 => position(None),
        _ => position(Some("two")),
    }
}

fn part(percent: u64) -> Option<Part> {
    let text = |value: u64| format!("{}.{:02}", value / 100, value % 100);
    match percent {
        0 => None,
        1..=100 => Some(Part::Fraction(name(&text(percent)))),
        _ => Some(Part::Quantity(name(&text(percent * 3)))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Closes of random parts, beside foreign positions, with fills at any moment, at a venue that clamps nothing: no order turns what the
    /// venue holds, no deployment's position turns, and what is not ours is sold only by those that name it.
    #[test]
    fn no_close_turns_a_position_or_sells_what_is_not_named(foreign in -900_i64..900, turns in turns()) {
        let foreign = SignedQuantity::new(rust_decimal::Decimal::new(foreign, 2)).unwrap();
        let mut bench = Bench::changed(1, &foreign.to_string(), |setup| {
            setup.venues.values_mut().for_each(|venue| venue.capabilities.orders.reduce_only = false);
        });
        let mut at_venue = foreign;
        let (mut on_their_way, mut count): (Vec<ClientOrderId>, u64) = (Vec::new(), 0);
        for turn in turns {
            count += 1;
            let named = |target: u8| matches!(target, 0 | 2 | 3);
            let pick = |which: usize, orders: &[ClientOrderId]| orders.get(which % orders.len().max(1)).cloned();
            match turn {
                Turn::Signal { agent, notional } => {
                    let agent = if agent { "one" } else { "two" };
                    let direction = if foreign.is_short() { "short" } else { "long" };
                    let text = format!(r#"{{"id":"s{count}","agent":"{agent}","asset":"HYPE","direction":"{direction}","sizing":{{"notional":"{notional}"}}}}"#);
                    bench.execute(omnivenue_core::model::signal::Signal::from_json(&text).unwrap());
                }
                Turn::Close { target, part: percent, external } => {
                    let external = external && named(target);
                    bench.close(CloseRequest { part: part(percent), include_external: external, ..request(&format!("c{count}"), closes(target)) });
                }
                Turn::Commit => on_their_way.extend(placed(&bench.commit().1)),
                Turn::Answer { which, share } => if let Some(order) = pick(which, &on_their_way) {
                    on_their_way.retain(|other| *other != order);
                    let (external, asked) = (bench.external(), bench.asked(&order));
                    let at = bench.kernel.state().book().leg_of(&order).unwrap();
                    let (record, leg) = bench.kernel.state().book().find(at).unwrap();
                    let plan = leg.plan.order.clone().unwrap();
                    let entry = asked.purpose == omnivenue_core::model::order::Purpose::Entry;
                    prop_assert!(entry || asked.quantity <= plan.quantity, "more than was asked");
                    let may = matches!(&record.admission.command, omnivenue_core::journal::Command::Close(close) if close.include_external);
                    prop_assert!(may || !plan.external);
                    if !entry {
                        let held = at_venue.magnitude();
                        prop_assert!(at_venue.is_long() != asked.side.is_buy() && asked.quantity <= held, "{asked:?} turns {at_venue}");
                    }
                    let tasks = bench.fill(&order, share);
                    on_their_way.extend(placed(&tasks));
                    let book = bench.kernel.state().book();
                    let filled = book.order(&order).map_or(Quantity::ZERO, |order| order.filled.quantity);
                    at_venue = at_venue.plus(filled.signed(asked.side.is_buy())).unwrap();
                    prop_assert!(plan.external || bench.external() == external, "what is not ours was sold by another");
                },
                Turn::Refuse { which } => if let Some(order) = pick(which, &on_their_way) {
                    on_their_way.retain(|other| *other != order);
                    let failure = Failure { kind: ErrorKind::InvalidRequest, effect: Effect::Refused, code: None, message: "no".into() };
                    bench.kernel.input(bench.now, Input::Placed { order, result: Err(failure) });
                },
                Turn::Restart => {
                    // What was decided is durable, so that its trades are.
                    while bench.kernel.has_entries() {
                        on_their_way.extend(placed(&bench.commit().1));
                    }
                    let before = std::mem::take(&mut on_their_way);
                    bench.restart(std::time::Duration::from_millis(10));
                    on_their_way = before.into_iter().filter(|order| bench.kernel.state().book().order(order).is_some_and(|order| order.state.is_live())).collect();
                    bench.recover(&[]);
                }
            }
            let ledger = bench.kernel.state().book().ledger();
            prop_assert_eq!(ledger.venue_quantity(&name("account0"), &name("HYPE")).unwrap(), at_venue);
            let turned = |held: SignedQuantity| if foreign.is_short() { held.is_long() } else { held.is_short() };
            prop_assert!(!turned(at_venue) || foreign.is_zero(), "the venue's position turned: {}", at_venue);
            prop_assert!(ledger.positions().all(|(_, position)| !turned(position.quantity())), "a position of ours turned");
            prop_assert!(!turned(bench.external().parse().unwrap()) || foreign.is_zero(), "what is not ours turned");
        }
        while bench.kernel.has_entries() {
            bench.commit();
        }
        prop_assert!(replay(&bench.store).unwrap().book == *bench.kernel.state().book(), "the state is not the fold of the journal");
    }
}

/// The close and the entry would both take from the same position: what the entry was admitted for would be opened twice over.
#[test]
fn nothing_opens_to_the_side_of_a_close_that_is_on_its_way() {
    let mut bench = Bench::new(1, Default::default());
    bench.opened_by("s", "one", "");
    bench.close(request("c", CloseTarget::All));
    let close = placed(&bench.commit().1).remove(0);
    let short =
        |id: &str| format!(r#"{{"id": "{id}", "agent": "one", "asset": "HYPE", "direction": "short", "sizing": {{"notional": "500"}}}}"#);
    let signal = |id: &str| omnivenue_core::model::signal::Signal::from_json(&short(id)).unwrap();
    bench.execute(signal("early"));
    assert_eq!(bench.states("early"), ["refused:closing"]);
    bench.fill(&close, 4);
    bench.execute(signal("later"));
    assert_ne!(bench.states("later"), ["refused:closing"]);
}
