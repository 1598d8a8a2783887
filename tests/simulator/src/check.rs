//! What must hold at the end of every history.

use std::collections::BTreeMap;
use std::fmt;

use omnivenue_core::engine::replay;
use omnivenue_core::executor::{Book, Guard, LegRecord, Setup, State};
use omnivenue_core::journal::{AdjustmentKind, Admission, BreakerState, Command, Event, KillMode, LegRef};
use omnivenue_core::ledger::{CapitalKey, Level, Scope};
use omnivenue_core::model::close::Lot;
use omnivenue_core::model::execution::{Protection, Reason};
use omnivenue_core::model::exit::{ExitKind, Trigger};
use omnivenue_core::model::ids::{AccountId, Asset, ClientOrderId, DeploymentId, SignalId, VenueId, VenueSymbol};
use omnivenue_core::model::movement::Movement;
use omnivenue_core::model::number::{Amount, Factor, Notional, Quantity, SignedQuantity};
use omnivenue_core::model::order::{FillReport, OrderState, Purpose};
use omnivenue_core::model::signal::LegPolicy;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::Resend;
use omnivenue_paper::{AccountTruth, PlacementOutcome, Server};

use crate::world::{Stop, World};

mod losses;

/// Something that must hold, and did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: &'static str,
    /// What was found.
    pub found: String,
}

impl Violation {
    pub(crate) const fn new(rule: &'static str, found: String) -> Self {
        Self { rule, found }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.found)
    }
}

pub(crate) fn all(world: &World, stop: Stop) -> Vec<Violation> {
    let mut found = Vec::new();
    if stop == Stop::OutOfTime {
        let book = world.kernel().map(|kernel| kernel.state().book());
        let orders: Vec<String> = book
            .iter()
            .flat_map(|book| book.unsettled().map(|id| format!("{id} {:?}", book.order(id).map(|order| &order.state))))
            .collect();
        let legs: Vec<_> = book.iter().flat_map(|book| book.planned()).collect();
        let duties: Vec<_> = book.iter().flat_map(|book| book.duties()).collect();
        let accounts: Vec<_> =
            world.setup.accounts.keys().filter(|account| world.kernel().is_none_or(|kernel| !kernel.state().is_ready(account))).collect();
        found.push(Violation::new(
            "it ends",
            format!("when virtual time ran out, orders {orders:?} were unsettled, legs {legs:?} planned, duties {duties:?} open, accounts {accounts:?} not ready"),
        ));
        let groups: Vec<_> = book.iter().flat_map(|book| book.undecided()).collect();
        if !groups.is_empty() {
            found.push(Violation::new("every group is decided", format!("undecided: {groups:?}")));
        }
    }
    let Some(kernel) = world.kernel() else {
        found.push(Violation::new("it runs", "no process was left".into()));
        return found;
    };
    let book = kernel.state().book();
    exactly_once(world, &mut found);
    written_down_first(world, &mut found);
    ends_rest_on_evidence(world, &mut found);
    nothing_leaves_too_late_or_too_often(world, &mut found);
    no_entry_leaves_in_an_emergency(world, book, &mut found);
    nothing_leaves_unasked(world, book, &mut found);
    no_close_is_of_more_than_was_asked(book, &mut found);
    books_equal_venue(world, book, &mut found);
    nothing_is_held_back(world, book, &mut found);
    found.extend(unprotected(&world.setup, kernel.state()));
    found.extend(strayed_exit(book));
    groups_stand_or_are_flat(world, kernel.state(), &mut found);
    crate::routes::hold(world, book, &mut found);
    state_is_the_fold(world, book, &mut found);
    within_limits(world, &mut found);
    found.extend(what_is_killed(&world.setup, kernel.state()));
    losses::nothing_is_entered_beyond_a_limit(world, &mut found);
    losses::what_is_flattened_is_flat(&world.setup, kernel.state(), &mut found);
    if let Some(fault) = kernel.state().failed() {
        found.push(Violation::new("no fault", fault.to_owned()));
    }
    for account in world.setup.accounts.keys() {
        // Where somebody else closed what is ours, or the venue did, a halt is what was asked for. What nothing explains is never.
        let expected = |why: &Reason| match why.code.as_str() {
            "liquidated" => was_traded_on(world, account, true),
            "drift" => was_traded_on(world, account, false) && !why.reason.contains("nothing explains"),
            _ => false,
        };
        if let Some(why) = book.halt(account).filter(|why| !expected(why)) {
            found.push(Violation::new("no drift", format!("{account}: {}: {}", why.code, why.reason)));
        }
    }
    for entry in world.store.entries() {
        if let Ok(Event::Adjusted(adjustment)) = entry.event()
            && adjustment.kind == AdjustmentKind::Adopted
        {
            found.push(Violation::new("no drift", format!("{adjustment:?}")));
        }
    }
    found
}

/// While a latch that flattens holds, nothing of ours in its scope is held that could be closed; while one that cancels holds, no entry rests
/// there.
pub(crate) fn what_is_killed(setup: &Setup, state: &State) -> Vec<Violation> {
    let book = state.book();
    let mut found = Vec::new();
    for (scope, kill) in book.kills().filter(|(_, kill)| kill.mode >= KillMode::Cancel) {
        for (key, position) in book.ledger().positions().filter(|_| kill.mode == KillMode::Flatten) {
            let asset = &position.terms().asset;
            let lot =
                Lot { deployment: key.deployment.clone(), account: key.account.clone(), instrument: key.symbol.clone(), signal: None };
            let held = scope.holds(book.agent_of(&key.deployment), &key.account, position.venue(), Some(asset));
            if held && !state.is_dust(setup, &lot) {
                let quantity = position.quantity();
                found.push(Violation::new("what is killed is flat", format!("{quantity} of {key:?} is held while {scope} is flattened")));
            }
        }
        let resting = book.unsettled().filter(|id| book.order(id).is_some_and(|order| matches!(order.state, OrderState::Open { .. })));
        for id in resting {
            let Some((record, leg)) = book.leg_of(id).and_then(|at| book.find(at)) else { continue };
            let (plan, asset) = (&leg.plan, leg.plan.order.as_ref().map(|order| &order.terms.asset));
            if record.purpose() == Purpose::Entry && scope.holds(Some(&plan.agent), &plan.account, &plan.venue, asset) {
                found.push(Violation::new("what is killed does not rest", format!("{id} rests while {scope} is killed")));
            }
        }
    }
    found
}

/// Whether somebody else has traded on an account: the venue itself, or another hand.
fn was_traded_on(world: &World, account: &AccountId, forced: bool) -> bool {
    let others = |fill: &FillReport| if forced { fill.cause.is_some() } else { is_by_hand(fill) };
    world.wires.iter().any(|wire| {
        let truth = wire.open().server.truth();
        truth.accounts.get(account).is_some_and(|at_venue| at_venue.fills.iter().any(others))
    })
}

fn is_by_hand(fill: &FillReport) -> bool {
    fill.client_order_id.as_ref().is_some_and(|id| id.as_str().starts_with("hand"))
}

/// The legs of every order that was ever written down.
fn legs(world: &World) -> BTreeMap<ClientOrderId, (LegRef, Purpose)> {
    let mut commands: BTreeMap<u64, Purpose> = BTreeMap::new();
    let mut legs = BTreeMap::new();
    for entry in world.store.entries() {
        match entry.event() {
            Ok(Event::Admitted(admission)) => {
                let purpose = match admission.command {
                    Command::Signal(_) => Purpose::Entry,
                    Command::Close(_) => Purpose::Close,
                    Command::Protect(_) => Purpose::Protect,
                };
                commands.insert(admission.number, purpose);
            }
            Ok(Event::Prepared(intent)) => {
                let purpose = commands.get(&intent.leg.execution).copied().unwrap_or(Purpose::Entry);
                legs.insert(intent.client_order_id().clone(), (intent.leg, purpose));
            }
            _ => {}
        }
    }
    legs
}

/// For one leg at most one order ever took effect, and none was taken twice.
fn exactly_once(world: &World, found: &mut Vec<Violation>) {
    let legs = legs(world);
    let mut accepted: BTreeMap<LegRef, Vec<String>> = BTreeMap::new();
    for wire in &world.wires {
        for placement in wire.open().server.placements() {
            let PlacementOutcome::Accepted(venue_order_id) = &placement.outcome else { continue };
            let Some(id) = &placement.client_order_id else { continue };
            match legs.get(id) {
                Some((leg, _)) => accepted.entry(*leg).or_default().push(format!("{id} as {venue_order_id}")),
                None => found.push(Violation::new("known orders only", format!("the venue took {id}, of which the journal knows nothing"))),
            }
        }
    }
    for (leg, orders) in accepted.into_iter().filter(|(_, orders)| orders.len() > 1) {
        found.push(Violation::new("exactly once", format!("{leg:?} took effect {} times: {}", orders.len(), orders.join(", "))));
    }
}

/// No entry leaves once its signal is no longer valid, not even as a repetition; and where a repetition is another order, nothing is repeated.
fn nothing_leaves_too_late_or_too_often(world: &World, found: &mut Vec<Violation>) {
    let mut valid_until = BTreeMap::new();
    let mut until: BTreeMap<ClientOrderId, Timestamp> = BTreeMap::new();
    for entry in world.store.entries() {
        match entry.event() {
            Ok(Event::Admitted(admission)) => {
                if let Some(at) = admission.valid_until {
                    valid_until.insert(admission.number, at);
                }
            }
            Ok(Event::Prepared(intent)) => {
                if let Some(at) = valid_until.get(&intent.leg.execution) {
                    until.insert(intent.client_order_id().clone(), *at);
                }
            }
            _ => {}
        }
    }
    for wire in &world.wires {
        let medium = wire.open();
        let mut seen: BTreeMap<&ClientOrderId, u64> = BTreeMap::new();
        for sent in &medium.sent {
            *seen.entry(&sent.order).or_default() += 1;
            if until.get(&sent.order).is_some_and(|until| sent.at > *until) {
                found
                    .push(Violation::new("nothing leaves too late", format!("{} left at {}, after its signal ended", sent.order, sent.at)));
            }
        }
        for (order, count) in seen.into_iter().filter(|(_, count)| *count > 1) {
            if medium.resend == Resend::AfterProof {
                found.push(Violation::new(
                    "nothing is repeated",
                    format!("{order} left {count} times for a venue that makes an order of each"),
                ));
            }
        }
    }
}

/// No entry leaves for a venue while it or the engine is in emergency, but for one that stands in on paper; and then nothing leaves for the
/// account it stands in for.
fn no_entry_leaves_in_an_emergency(world: &World, book: &Book, found: &mut Vec<Violation>) {
    let mut changes: Vec<(Timestamp, Option<VenueId>, BreakerState)> = Vec::new();
    for entry in world.store.entries() {
        if let Ok(Event::BreakerChanged { venue, state, .. }) = entry.event() {
            changes.push((entry.at, venue, state));
        }
    }
    // What was written down at the very moment may have come before or after.
    let emergency = |venue: Option<&VenueId>, at: Timestamp| {
        let before = changes.iter().filter(|(_, whose, _)| whose.as_ref() == venue).take_while(|(changed, _, _)| *changed <= at);
        before.last().is_some_and(|(changed, _, state)| *state == BreakerState::Emergency && *changed < at)
    };
    let legs = legs(world);
    for wire in &world.wires {
        let medium = wire.open();
        for sent in &medium.sent {
            let Some((at, Purpose::Entry)) = legs.get(&sent.order) else { continue };
            let stands_in = book.leg(*at).is_some_and(|leg| leg.plan.stands_in.is_some());
            if emergency(Some(&medium.venue), sent.at) || (!stands_in && emergency(None, sent.at)) {
                found.push(Violation::new("no entry in an emergency", format!("{} left for {} at {}", sent.order, medium.venue, sent.at)));
            }
        }
    }
    for (number, record) in book.executions() {
        for leg in record.legs.iter().filter(|leg| !leg.orders.is_empty()) {
            let Some(stand_in) = leg.plan.stands_in.as_ref() else { continue };
            let same = |other: &&LegRecord| other.plan.deployment == leg.plan.deployment && other.plan.account == stand_in.account;
            if record.legs.iter().filter(same).any(|other| !other.orders.is_empty()) {
                found.push(Violation::new("never both", format!("execution {number} went to {} and to paper", stand_in.account)));
            }
        }
    }
}

/// No order was ever made of a leg that waits for a person, or was declined; and nothing waits for ever.
fn nothing_leaves_unasked(world: &World, book: &Book, found: &mut Vec<Violation>) {
    let mut waiting: BTreeMap<LegRef, bool> = BTreeMap::new();
    let mut count: BTreeMap<u64, usize> = BTreeMap::new();
    let mut approved: BTreeMap<u64, bool> = BTreeMap::new();
    for entry in world.store.entries() {
        let planned = match entry.event() {
            Ok(Event::Admitted(admission)) => admission.legs.into_iter().map(|leg| (admission.number, leg)).collect(),
            Ok(Event::LegPlanned { execution, plan }) => vec![(execution, plan)],
            Ok(Event::Approved { execution, approved: yes, .. }) => {
                approved.insert(execution, yes);
                Vec::new()
            }
            Ok(Event::LegDecided { leg, .. }) => {
                if approved.get(&leg.execution) != Some(&true) {
                    found.push(Violation::new("asked first", format!("{leg:?} was decided without a yes")));
                }
                waiting.insert(leg, false);
                Vec::new()
            }
            Ok(Event::Prepared(intent)) => {
                if waiting.get(&intent.leg) == Some(&true) {
                    found
                        .push(Violation::new("asked first", format!("an order of {:?} was made, which waits or was declined", intent.leg)));
                }
                Vec::new()
            }
            _ => Vec::new(),
        };
        for (execution, plan) in planned {
            let index = count.entry(execution).or_default();
            waiting.insert(LegRef { execution, leg: *index }, plan.awaiting.is_some());
            *index += 1;
        }
    }
    found.extend(book.awaiting().map(|(at, _)| Violation::new("nothing waits for ever", format!("{at:?} still waits for a person"))));
}

/// A close that is for a part closes no more than that, whatever its attempts.
fn no_close_is_of_more_than_was_asked(book: &Book, found: &mut Vec<Violation>) {
    for (_, record) in book.executions().filter(|(_, record)| record.purpose() == Purpose::Close) {
        for leg in &record.legs {
            let Some(order) = &leg.plan.order else { continue };
            if leg.filled().is_ok_and(|filled| filled.quantity > order.quantity) {
                let id = record.admission.command.id();
                found.push(Violation::new("no more than was asked", format!("{id} closed {:?} of {}", leg.filled(), order.quantity)));
            }
        }
    }
}

/// What was booked as never having taken effect never did: a lost answer is not a refusal, and a pause is not absence.
fn ends_rest_on_evidence(world: &World, found: &mut Vec<Violation>) {
    let mut accepted: Vec<ClientOrderId> = Vec::new();
    for wire in &world.wires {
        let medium = wire.open();
        let taken = medium.server.placements().filter(|placement| matches!(placement.outcome, PlacementOutcome::Accepted(_)));
        accepted.extend(taken.filter_map(|placement| placement.client_order_id.clone()));
    }
    for entry in world.store.entries() {
        let (order, how) = match entry.event() {
            Ok(Event::Failed { order, .. }) => (order, "failed"),
            Ok(Event::ProvedAbsent { order, .. }) => (order, "absent for ever"),
            Ok(Event::Superseded { order, .. }) => (order, "never sent"),
            _ => continue,
        };
        if accepted.contains(&order) {
            found.push(Violation::new("ends rest on evidence", format!("{order} was booked as {how}, but the venue took it")));
        }
    }
}

/// No order left before its intent was durable.
fn written_down_first(world: &World, found: &mut Vec<Violation>) {
    for sent in world.sent().into_iter().filter(|sent| !sent.durable) {
        found.push(Violation::new("written down first", format!("{} left at {} before its intent was durable", sent.order, sent.at)));
    }
}

/// Whether every position is the venue's, and every movement of money is known.
pub(crate) fn positions_agree(world: &World, book: &Book) -> bool {
    world.wires.iter().all(|wire| {
        wire.open().server.truth().accounts.iter().all(|(account, at_venue)| {
            let told = |movement: &Movement| {
                let id = format!("movement:{}", movement.id).parse().expect("a word and a name are a valid name");
                book.is_told(account, &id, movement.at)
            };
            let held = |(symbol, position): (_, &omnivenue_paper::Position)| {
                book.ledger().venue_quantity(account, symbol) == Ok(position.quantity)
            };
            at_venue.positions.iter().all(held) && at_venue.movements.iter().all(told)
        })
    })
}

/// The first position whose signal asked for a stop and that has none, or has run through it.
pub(crate) fn unprotected(setup: &Setup, state: &State) -> Option<Violation> {
    let wrong = |(entry, guard): (LegRef, &Guard)| {
        let protected = state.protected(setup, entry).filter(|_| !state.is_dust(setup, &guard.lot))?;
        let mark = state.marks().get(&(guard.venue.clone(), guard.lot.instrument.clone())).copied();
        let beyond = ExitKind::ALL.into_iter().find(|kind| {
            let trigger = guard.trigger_price(*kind).map(|price| Trigger { kind: *kind, price });
            trigger.zip(mark).is_some_and(|(trigger, mark)| trigger.is_reached(guard.exit_side(), mark))
        });
        match (protected.protection, beyond) {
            (Protection::Pending | Protection::Failed, _) => Some(format!("{:?} is {}", guard.lot, protected.protection)),
            (_, Some(kind)) if state.book().duty(&guard.lot).is_none() => {
                Some(format!("{:?} ran through its {kind:?} at {mark:?}", guard.lot))
            }
            _ => None,
        }
    };
    state.book().guards().find_map(wrong).map(|found| Violation::new("no position stands unprotected", found))
}

/// No exit waits at a venue for a position that is closed, nor two for the same.
pub(crate) fn strayed_exit(book: &Book) -> Option<Violation> {
    let stray = |entry: LegRef| {
        let exits: Vec<_> = book.exits_of(entry).filter_map(|(_, leg)| leg.plan.order.as_ref()?.trigger).collect();
        let waits = book.leg(entry).is_some_and(|leg| leg.is_live());
        if book.guard(entry).is_none() && !waits {
            return Some(format!("{exits:?} wait for {entry:?}, which is flat"));
        }
        let several = |kind: &ExitKind| exits.iter().filter(|trigger| trigger.kind == *kind).count() > 1;
        ExitKind::ALL.iter().any(several).then(|| format!("{entry:?} has several exits of a kind: {exits:?}"))
    };
    book.with_exits().find_map(stray).map(|found| Violation::new("one fills, the others go", found))
}

/// Quantities, fees and equity are the venue's, to the last digit.
fn books_equal_venue(world: &World, book: &Book, found: &mut Vec<Violation>) {
    let now = world.now();
    for wire in &world.wires {
        let mut medium = wire.open();
        let truth = medium.server.truth();
        for (account, at_venue) in &truth.accounts {
            let symbols: Vec<_> = at_venue.positions.keys().cloned().chain(book.ledger().instruments_of(account).cloned()).collect();
            for symbol in symbols {
                let theirs = at_venue.positions.get(&symbol).map_or(SignedQuantity::ZERO, |position| position.quantity);
                match book.ledger().venue_quantity(account, &symbol) {
                    Ok(ours) if ours == theirs => {}
                    ours => found
                        .push(Violation::new("books equal venue", format!("{account} {symbol}: the venue has {theirs}, we have {ours:?}"))),
                }
            }
            for currency in at_venue.balances.keys().filter(|currency| world.setup.rates.contains_key(*currency)) {
                money_is_conserved((account, currency), at_venue, &mut medium.server, (book, now.wall), found);
            }
        }
    }
}

/// Fees and equity of an account in one currency are the venue's.
fn money_is_conserved(
    (account, currency): (&AccountId, &Asset),
    at_venue: &AccountTruth,
    server: &mut Server,
    (book, now): (&Book, Timestamp),
    found: &mut Vec<Violation>,
) {
    let key = CapitalKey { account: account.clone(), deployment: None, currency: currency.clone() };
    let capital = book.ledger().money(&key).unwrap_or_default();
    let paid = at_venue.fills.iter().filter(|fill| fill.fee.asset == *currency);
    let fees = paid.clone().try_fold(Amount::ZERO, |sum, fill| sum.plus(fill.fee.amount));
    // What others paid before the account was first seen is in what it held then; its equity is compared below in any case.
    let others = paid.clone().any(|fill| fill.cause.is_some() || is_by_hand(fill));
    if !others && fees.as_ref() != Ok(&capital.fees) {
        let words = format!("{account}: fees are {fees:?} {currency} at the venue, {} here", capital.fees);
        found.push(Violation::new("money is conserved", words));
    }
    let unrealized = book.ledger().unrealized(&key, |_, symbol| server.mark(symbol, now));
    let funded = book.ledger().funds(account, currency);
    let ours = book.ledger().equity(&key, funded, unrealized);
    let theirs = server.equity(account, currency, now).ok();
    if funded.is_some() && ours != theirs {
        let words = format!("{account}: equity is {theirs:?} {currency} at the venue, {ours:?} here");
        found.push(Violation::new("money is conserved", words));
    }
}

/// What is done holds nothing back, and the deployments add up to their account.
fn nothing_is_held_back(world: &World, book: &Book, found: &mut Vec<Violation>) {
    let resting = book.unsettled().next().is_some();
    let mut sums: BTreeMap<(String, String), (Notional, Notional)> = BTreeMap::new();
    for (key, capital) in book.ledger().capitals() {
        if !resting && !capital.reserved.is_zero() {
            found.push(Violation::new("reserves are released", format!("{key:?} still holds back {}", capital.reserved)));
        }
        if key.deployment.is_some() {
            let sum = sums.entry((key.account.to_string(), key.currency.to_string())).or_default();
            *sum = (sum.0.plus(capital.reserved).unwrap_or_default(), sum.1.plus(capital.committed).unwrap_or_default());
        }
    }
    for (key, capital) in book.ledger().capitals().filter(|(key, _)| key.deployment.is_none()) {
        let sum = sums.get(&(key.account.to_string(), key.currency.to_string())).copied().unwrap_or_default();
        if sum != (capital.reserved, capital.committed) {
            found.push(Violation::new("deployments add up", format!("{key:?}: {capital:?}, its deployments {sum:?}")));
        }
    }
    let _ = world;
}

/// Where a group failed nothing of its signal is held in that deployment; where all legs had to stand every one filled in full.
fn groups_stand_or_are_flat(world: &World, state: &State, found: &mut Vec<Violation>) {
    let book = state.book();
    let mut signals: BTreeMap<u64, (SignalId, LegPolicy)> = BTreeMap::new();
    let mut failed: Vec<(SignalId, DeploymentId)> = Vec::new();
    for entry in world.store.entries() {
        match entry.event() {
            Ok(Event::Admitted(Admission { number, command: Command::Signal(signal), .. })) => {
                signals.insert(number, (signal.id, signal.leg_policy));
            }
            Ok(Event::GroupDecided { execution, deployment, stands, .. }) => {
                let Some((signal, policy)) = signals.get(&execution) else { continue };
                if !stands {
                    failed.push((signal.clone(), deployment));
                    continue;
                }
                let short = |leg: &&LegRecord| {
                    let asked = leg.plan.order.as_ref().map(|order| order.quantity);
                    leg.plan.deployment == deployment && leg.filled().ok().map(|filled| filled.quantity) < asked.or(Some(Quantity::ZERO))
                };
                let leg = book.execution(execution).and_then(|record| record.legs.iter().find(short));
                if let Some(leg) = leg.filter(|_| *policy == LegPolicy::AllOrNone) {
                    found.push(Violation::new("all or none", format!("{signal} stands in {deployment}, but not {:?}", leg.state)));
                }
            }
            _ => {}
        }
    }
    for (key, position) in book.ledger().positions() {
        let held = position.lots().find(|lot| failed.contains(&(lot.signal.clone(), key.deployment.clone())));
        let dust = |signal: &SignalId| state.is_dust(&world.setup, &Lot { signal: Some(signal.clone()), ..key.whole() });
        if let Some(lot) = held.filter(|lot| !dust(&lot.signal)) {
            found.push(Violation::new("a failed group is flat", format!("{key:?} still holds {lot:?}")));
        }
    }
}

/// The state is the fold of the journal, and a snapshot of it reads back as it was.
fn state_is_the_fold(world: &World, book: &Book, found: &mut Vec<Violation>) {
    match replay(&world.store) {
        Ok(replayed) if replayed.book == *book => {}
        Ok(_) => found.push(Violation::new("state is the fold", "replaying the journal gives another state".into())),
        Err(error) => found.push(Violation::new("state is the fold", error.to_string())),
    }
    let text = serde_json::to_string(book).unwrap_or_default();
    if serde_json::from_str::<Book>(&text).ok().as_ref() != Some(book) {
        found.push(Violation::new("state is the fold", "a snapshot does not read back as it was".into()));
    }
}

/// The first limit that what is held, at cost, and what is on its way, at the worst price, exceed together.
pub(crate) fn over_a_limit(setup: &Setup, book: &Book) -> Option<Violation> {
    let accounts = setup.accounts.iter().map(|(id, account)| (Level::Account(id.clone()), account.limits));
    let deployments = setup.deployments.iter().map(|(id, deployment)| (Level::Deployment(id.clone()), deployment.limits));
    let levels = accounts.chain(deployments).chain([(Level::Global, setup.limits)]);
    for (level, limits) in levels {
        for (asset, limit) in
            [(None, limits.max_notional), (Some("HYPE"), limits.max_asset_notional), (Some("BTC"), limits.max_asset_notional)]
        {
            let scope = Scope { level: level.clone(), asset: asset.map(|asset| asset.parse().expect("a valid asset")), direction: None };
            let Some((limit, exposure)) = limit.zip(book.ledger().exposure(&scope)) else { continue };
            let value = exposure.value(|_, _| None, |currency| setup.rates.get(currency).copied());
            if value.as_ref().is_ok_and(|value| *value > limit) {
                return Some(Violation::new("within limits", format!("{scope:?}: {value:?} is at stake, the limit is {limit}")));
            }
        }
    }
    None
}

/// What the venues hold for us is within the account's limit, at what it cost.
fn within_limits(world: &World, found: &mut Vec<Violation>) {
    for wire in &world.wires {
        let truth = wire.open().server.truth();
        for (account, at_venue) in &truth.accounts {
            let Some(limit) = world.setup.accounts.get(account).and_then(|setup| setup.limits.max_notional) else { continue };
            if was_traded_on(world, account, false) {
                continue;
            }
            let rate = |symbol: &VenueSymbol| {
                let venue = world.setup.accounts.get(account).and_then(|setup| world.setup.venues.get(&setup.venue));
                let instrument = venue.and_then(|venue| venue.instruments.get(symbol));
                instrument.and_then(|instrument| world.setup.rates.get(&instrument.settle)).copied().unwrap_or(Factor::ONE)
            };
            let cost = at_venue
                .positions
                .iter()
                .try_fold(Notional::ZERO, |sum, (symbol, position)| sum.plus(position.cost.magnitude().times(rate(symbol))?));
            if cost.as_ref().is_ok_and(|cost| *cost > limit) {
                found.push(Violation::new("within limits", format!("{account} holds {cost:?}, the limit is {limit}")));
            }
        }
    }
}
