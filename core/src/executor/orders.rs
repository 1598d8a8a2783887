//! The life of an order: ready → prepared → durable → sent → answered.

use std::time::Duration;

use super::book::{ExecutionRecord, LegRecord, OrderRecord};
use super::ids::client_order_id;
use super::step::{CommandError, Effect, Step, Timer, Token};
use crate::gates::{self, Cleared};
use crate::journal::{Command, Event, ExecutionNumber, Failure, Intent, LegRef};
use crate::ledger::PositionKey;
use crate::model::close::Lot;
use crate::model::execution::{LegState, Outcome, Reason, Timings};
use crate::model::ids::{AccountId, ClientOrderId, VenueSymbol};
use crate::model::number::{Price, Quantity};
use crate::model::order::{OrderEvent, OrderReport, OrderRequest, OrderState, Purpose};
use crate::model::signal::LegPolicy;
use crate::model::time::Timestamp;
use crate::venue::{Effect as Happened, ErrorKind, NonceRule, Prepared, Ticket};

/// Closes of one account's instrument that are asked about at once. They go out one after the other anyway, and each question may cost the
/// account a permit: were all asked each time, hundreds of them would use up a venue's budget before the first ten are closed.
const CLOSES_ASKED: usize = 2;

/// How long the trades of an order may take to follow the answer that says how much traded, before they are asked for.
const TRADES_PATIENCE: Duration = Duration::from_secs(1);

/// How often the entry of an exit that traded more than is held is asked for while it rests.
const EARLY_TRIES: u32 = 8;

/// Why a leg's order is not prepared now.
enum Held {
    /// Something else comes first, and then asks for it.
    Waits,
    /// It is tried again after a pause.
    Again(Duration),
    /// It never will be.
    Ended(Outcome, Reason),
}

impl Step<'_> {
    /// Moves every leg of an execution that waits, and tells whoever waits for it.
    pub(super) fn advance(&mut self, execution: ExecutionNumber) {
        self.begin_groups(execution);
        let waiting: Vec<LegRef> = self.book.planned_of(execution).collect();
        waiting.into_iter().for_each(|at| self.ask_ready(at));
        self.effect(Effect::Changed { execution });
        if self.book.execution(execution).is_none_or(ExecutionRecord::is_finished) {
            self.live.started.remove(&execution);
        }
    }

    /// Asks the account whether a leg's order can be prepared, unless it was asked already or must wait its turn.
    pub(super) fn ask_ready(&mut self, at: LegRef) {
        let Some((record, leg)) = self.book.find(at) else {
            return;
        };
        let Some(symbol) = &leg.plan.symbol else { return };
        let planned = self.book.is_planned(at);
        let its_turn = record.purpose() != Purpose::Close
            || (self.book.closing(&leg.plan.account, symbol).is_none() && self.closes_asked(&leg.plan.account, symbol) < CLOSES_ASKED);
        let account_ready = self.live.accounts.get(&leg.plan.account).is_some_and(|account| account.ready);
        let asked = self.live.asked_ready.contains(&at) || self.live.gathered.contains_key(&at);
        if !planned || !its_turn || !account_ready || asked {
            return;
        }
        let Some(request) = leg.plan.request(record.purpose()) else { return };
        self.live.asked_ready.insert(at);
        let valid_until = record.admission.valid_until;
        self.effect(Effect::Ready { leg: at, request });
        if let Some(until) = valid_until {
            let left = until.since(self.now.wall).saturating_add(Duration::from_millis(1));
            self.wake_after(left, Timer::Expire(at));
        }
    }

    /// How many closes of an account's instrument the account is asked about now.
    fn closes_asked(&self, account: &AccountId, symbol: &VenueSymbol) -> usize {
        let there = |at: &&LegRef| {
            let Some((record, leg)) = self.book.find(**at) else {
                return false;
            };
            record.purpose() == Purpose::Close && leg.plan.account == *account && leg.plan.symbol.as_ref() == Some(symbol)
        };
        self.live.asked_ready.iter().filter(there).count()
    }

    /// Ends a leg whose signal is no longer valid and of which nothing was sent.
    pub(super) fn expire(&mut self, at: LegRef) {
        if self.expire_waiting(at) {
            return;
        }
        let valid_until = self.book.execution(at.execution).and_then(|record| record.admission.valid_until);
        if self.book.is_planned(at) && self.is_over(valid_until) {
            self.live.asked_ready.remove(&at);
            self.end_leg(at, Outcome::Expired, expired(valid_until));
        }
    }

    pub(super) fn ready(&mut self, at: LegRef, result: Result<(), Failure>) {
        self.live.asked_ready.remove(&at);
        if let Some(account) = self.book.leg(at).map(|leg| leg.plan.account.clone()) {
            self.heard_ready(&account, result.as_ref().err());
        }
        let Some((record, leg)) = self.book.find(at) else {
            return;
        };
        if !self.book.is_planned(at) {
            return;
        }
        let (purpose, valid_until) = (record.purpose(), record.admission.valid_until);
        if self.is_over(valid_until) {
            return self.end_leg(at, Outcome::Expired, expired(valid_until));
        }
        if let Err(failure) = result {
            if failure.effect == Happened::Refused && purpose != Purpose::Close {
                return self.end_leg(at, Outcome::Refused, failure.reason());
            }
            let pause = self.backoff(3);
            return self.wake_after(pause, Timer::Retry(at));
        }
        let takes_turn = leg.plan.symbol.as_ref().is_some_and(|symbol| self.book.closing(&leg.plan.account, symbol).is_none());
        if purpose == Purpose::Close && takes_turn && self.clears_the_way(at) {
            let pause = self.backoff(2);
            return self.wake_after(pause, Timer::Retry(at));
        }
        if purpose != Purpose::Entry || !self.gather(at) {
            self.send(at);
        }
    }

    /// Has a leg's order prepared, priced and cleared as of now. `false` when it is not: it ended, or waits.
    pub(super) fn send(&mut self, at: LegRef) -> bool {
        match self.clear(at) {
            Ok((cleared, ticket)) => self.effect(Effect::Prepare { leg: at, cleared, ticket }),
            Err(Held::Waits) => return false,
            Err(Held::Again(pause)) => {
                self.wake_after(pause, Timer::Retry(at));
                return false;
            }
            Err(Held::Ended(outcome, why)) => {
                self.end_leg(at, outcome, why);
                return false;
            }
        }
        true
    }

    fn clear(&mut self, at: LegRef) -> Result<(Cleared<OrderRequest>, Ticket), Held> {
        let Some((record, leg)) = self.book.find(at) else { return Err(Held::Waits) };
        let purpose = record.purpose();
        let attempt = u32::try_from(leg.orders.len()).unwrap_or(u32::MAX);
        let cleared = match purpose {
            Purpose::Entry => {
                let attached = self.attached(at, attempt);
                gates::clear_entry(self.book, leg, attached)
            }
            Purpose::Close => {
                let Some(symbol) = leg.plan.symbol.clone() else { return Err(Held::Waits) };
                if self.book.closing(&leg.plan.account, &symbol).is_some() {
                    // Another order reduces there; this one follows when it is done.
                    return Err(Held::Waits);
                }
                let Some(worst) = self.closing_price(leg) else { return Err(Held::Again(self.backoff(3))) };
                gates::clear_close(self.setup, self.book, leg, worst)
            }
            Purpose::Protect => gates::clear_protect(self.setup, self.book, leg),
        };
        // Names are reserved for closes alone: an exit that rests under one of them would be unknown to the next process.
        let failed = self.live.journal_failed.clone().filter(|_| purpose != Purpose::Close);
        let cleared = match cleared {
            Ok(_) if failed.is_some() => {
                let reason = format!("the journal cannot be written ({})", failed.unwrap_or_default());
                return Err(Held::Ended(Outcome::Refused, Reason::new("journal_unwritable", reason)));
            }
            Ok(cleared) => cleared,
            Err(reason) => {
                let outcome = if reason.code == "nothing_to_close" { Outcome::Skipped } else { Outcome::Refused };
                return Err(Held::Ended(outcome, reason));
            }
        };
        let key = (record.admission.command.id(), &leg.plan.deployment, &leg.plan.account);
        let nonce = self.next_nonce(&leg.plan.account);
        let id = if self.live.journal_failed.is_none() {
            client_order_id(self.book.namespace(), key, purpose, &cleared.get().symbol, attempt)
        } else {
            let Some(reserved) = self.emergency_name(&cleared, at) else {
                let why = Reason::new("journal_unwritable", "the names reserved for emergencies are used up");
                return Err(Held::Ended(Outcome::Refused, why));
            };
            reserved
        };
        Ok((cleared, Ticket { client_order_id: id, nonce, now: self.now.wall }))
    }

    /// The worst price at which a position may be closed now.
    fn closing_price(&self, leg: &LegRecord) -> Option<Price> {
        let symbol = leg.plan.symbol.clone()?;
        let side = leg.plan.order.as_ref()?.side;
        let instrument = self.setup.venues.get(&leg.plan.venue)?.instruments.get(&symbol)?;
        let quote = self.live.quotes.get(&(leg.plan.venue.clone(), symbol))?;
        let slip = self.setup.timing.close_slippage.decimal();
        let (price, factor) = if side.is_buy() {
            (quote.ask, rust_decimal::Decimal::ONE.checked_add(slip)?)
        } else {
            (quote.bid, rust_decimal::Decimal::ONE.checked_sub(slip)?)
        };
        let worst = Price::new(price.decimal().checked_mul(factor)?).ok()?;
        instrument.limit_price(worst, side).map(|price| price.min(instrument.max_price))
    }

    /// The smallest nonce above every one written down at the account's venue: accounts there may share a signer.
    fn next_nonce(&self, account: &AccountId) -> Option<u64> {
        let venue = &self.setup.accounts.get(account)?.venue;
        match self.setup.venues.get(venue)?.capabilities.orders.nonce {
            NonceRule::None => None,
            NonceRule::Milliseconds => {
                let present = u64::try_from(self.now.wall.as_millis()).unwrap_or(0);
                let there = self.setup.accounts.iter().filter(|(_, account)| account.venue == *venue);
                let highest = there.filter_map(|(account, _)| self.book.nonce(account)).max();
                Some(highest.map_or(present, |highest| present.max(highest + 1)))
            }
        }
    }

    pub(super) fn prepared(&mut self, at: LegRef, result: Result<Prepared, Failure>) {
        match result {
            _ if !self.book.is_planned(at) => {}
            Err(failure) => self.end_leg(at, Outcome::Refused, failure.reason()),
            Ok(prepared) => {
                let attempt = self.book.leg(at).map_or(0, |leg| u32::try_from(leg.orders.len()).unwrap_or(u32::MAX));
                let timings = Timings { prepared: self.elapsed(at.execution), ..Timings::default() };
                let id = prepared.client_order_id().clone();
                self.live.unsent.insert(id.clone());
                let prepared = prepared.body().clone();
                self.emit(Event::Prepared(Intent { leg: at, attempt, at: self.now.wall, prepared, travels_with: None, timings }));
                self.admit_attached(at, &id);
                if let Some(account) = self.book.leg(at).map(|leg| leg.plan.account.clone()) {
                    self.keep_pace(&account);
                }
            }
        }
        self.go_on_after(at);
    }

    /// The last look before a byte leaves: validity, latches and the venue's own deadline.
    pub(super) fn durable(&mut self, id: &ClientOrderId) {
        if !self.live.unsent.remove(id) {
            return;
        }
        let Some(at) = self.book.leg_of(id) else { return };
        if let Some((why, again)) = self.retired(id).or_else(|| self.held_by_group(at)) {
            self.emit(Event::Superseded { order: id.clone(), why: why.clone(), again });
            self.share_fate(id, |order| Event::Superseded { order, why: why.clone(), again: false });
            return self.after_order(at);
        }
        let Some(account) = self.book.leg(at).map(|leg| leg.plan.account.clone()) else { return };
        self.live.sent_at.insert(id.clone(), self.elapsed(at.execution));
        self.clock_in(id);
        self.effect(Effect::Place { account, order: id.clone() });
        self.wake_after(self.setup.timing.leg_deadline, Timer::Deadline(id.clone()));
    }

    /// Why an order that was prepared must not leave any more, and whether another attempt follows.
    pub(super) fn retired(&self, id: &ClientOrderId) -> Option<(Reason, bool)> {
        let (record, leg) = self.book.find(self.book.leg_of(id)?)?;
        let order = self.book.order(id)?;
        let valid_until = record.admission.valid_until;
        if self.is_over(valid_until) {
            Some((expired(valid_until), false))
        } else if let Some(held) = (record.purpose() == Purpose::Entry).then(|| gates::may_leave(self.book, leg).err()).flatten() {
            Some((held, false))
        } else if order.prepared().deadline.is_some_and(|deadline| self.now.wall >= deadline) {
            Some((Reason::new("stale", "it was prepared too long ago for the venue to take it; it was never sent"), true))
        } else if record.purpose() == Purpose::Entry && in_effect(leg, id).next().is_some() {
            Some((Reason::new("late_truth", "an earlier attempt took effect after all; this one was never sent"), false))
        } else {
            None
        }
    }

    pub(super) fn placed(&mut self, id: &ClientOrderId, result: Result<OrderReport, Failure>) {
        let Some(at) = self.book.leg_of(id) else { return };
        if let Some(account) = self.book.leg(at).map(|leg| leg.plan.account.clone()) {
            self.clock_out(&account, id, result.as_ref().err());
        }
        match result {
            Ok(report) => {
                self.report(report);
                // The answer is the entry's alone.
                for traveler in self.travelers(id) {
                    self.wake_after(TRADES_PATIENCE, Timer::Ask(traveler.clone()));
                    self.wake_after(self.setup.timing.leg_deadline, Timer::Deadline(traveler));
                }
            }
            Err(failure) if failure.effect == Happened::Unknown => self.becomes_unknown(id, failure.message),
            Err(failure) => {
                let undecided =
                    self.book.order(id).is_some_and(|order| matches!(order.state, OrderState::Sent | OrderState::Unknown { .. }));
                if !undecided {
                    return;
                }
                if self.says_nothing(id) {
                    return self.probe(id);
                }
                let passing =
                    failure.effect == Happened::NotSent || matches!(failure.kind, ErrorKind::RateLimited | ErrorKind::Unavailable);
                let again = passing && self.may_try_again(at);
                let timings = self.answer_timings(id, at.execution);
                self.emit(Event::Failed { order: id.clone(), failure: failure.clone(), again, timings });
                self.share_fate(id, |order| Event::Failed { order, failure: failure.clone(), again: false, timings: Timings::default() });
                self.after_order(at);
            }
        }
    }

    pub(super) fn deadline(&mut self, id: &ClientOrderId) {
        self.clock_overdue(id);
        if self.book.order(id).is_some_and(|order| order.state == OrderState::Sent) {
            let allowed = self.setup.timing.leg_deadline;
            self.becomes_unknown(id, format!("no answer within {allowed:?}"));
        }
    }

    pub(super) fn becomes_unknown(&mut self, id: &ClientOrderId, why: String) {
        let Some(at) = self.book.leg_of(id) else { return };
        if self.book.order(id).is_some_and(|order| order.state == OrderState::Sent) {
            let timings = self.answer_timings(id, at.execution);
            self.emit(Event::BecameUnknown { order: id.clone(), why: why.clone(), at: self.now.wall, timings });
            self.effect(Effect::Changed { execution: at.execution });
            for traveler in self.travelers(id) {
                self.becomes_unknown(&traveler, why.clone());
            }
        }
        self.probe(id);
    }

    /// What a stream told. Foreign orders are not ours to act on; one under our tag that nothing here knows means that the journal is older
    /// than the truth.
    pub(super) fn streamed(&mut self, account: &AccountId, report: OrderReport) {
        if self.book.leg_of(&report.client_order_id).is_some() {
            self.report(report);
        } else if !self.is_tagged(&report.client_order_id) {
            self.hear_of_others(account);
        } else if !self.adopt_emergency(account, &report) {
            self.halt_rolled_back(account, &report.client_order_id);
        }
    }

    pub(super) fn is_tagged(&self, id: &ClientOrderId) -> bool {
        !self.book.namespace().is_empty() && id.as_str().starts_with(self.book.namespace())
    }

    /// Books what a venue says of an order of ours. Said twice, it changes nothing.
    pub(super) fn report(&mut self, mut report: OrderReport) {
        let id = report.client_order_id.clone();
        let Some(at) = self.book.leg_of(&id) else { return };
        let Some(order) = self.book.order(&id) else { return };
        report.fills.retain(|fill| !order.trades.contains_key(&fill.trade_id));
        if self.precedes_its_entry(at, &report) {
            return;
        }
        let (Some(order), Some(leg)) = (self.book.order(&id), self.book.leg(at)) else { return };
        let account = leg.plan.account.clone();
        let instrument = leg.plan.symbol.as_ref().and_then(|symbol| self.setup.venues.get(&leg.plan.venue)?.instruments.get(symbol));
        let bad =
            instrument.and_then(|instrument| report.fills.iter().find_map(|fill| instrument.check_trade(fill.price, fill.quantity).err()));
        if let Some(words) = bad {
            return self.halt(&account, Reason::new("bad_report", words));
        }
        let event = OrderEvent::Reported { venue_order_id: report.venue_order_id.clone(), status: report.status };
        let news = !report.fills.is_empty() || report.filled_quantity > order.reported || order.state.clone().after(event) != order.state;
        if !news {
            return;
        }
        let timings = self.answer_timings(&id, at.execution);
        let timings = Timings { filled: report.status.is_final().then_some(timings.acknowledged).flatten(), ..timings };
        self.emit(Event::Reported { report, timings });
        if self.book.order(&id).is_some_and(|order| !order.state.is_live() && order.is_unsettled()) {
            // The venue's total is ahead of the trades it told of: its stream usually brings them, and asking costs its budget of requests.
            let pause = self.backoff(0).max(TRADES_PATIENCE);
            self.wake_after(pause, Timer::Probe(id));
        }
        self.after_order(at);
        self.mend(at);
    }

    /// Late truth may say that two attempts of a leg took effect, although the venue had proved one absent: what rests of the later one is
    /// called back. And a close that traded what was closed already has opened something: it must become flat.
    fn mend(&mut self, at: LegRef) {
        let Some((record, leg)) = self.book.find(at) else { return };
        let Some(symbol) = leg.plan.symbol.clone() else { return };
        let account = leg.plan.account.clone();
        if record.purpose() == Purpose::Entry {
            let twice = leg.orders.iter().filter(|order| takes_effect(order)).count() > 1;
            let latest = leg.orders.iter().rev().find(|order| matches!(order.state, OrderState::Open { .. }));
            let latest = latest.filter(|_| twice).map(|order| order.intent.client_order_id().clone());
            if let Some(order) = latest.filter(|id| !self.live.canceling.contains_key(id)) {
                self.live.canceling.insert(order.clone(), self.now.monotonic);
                self.effect(Effect::Cancel { account, symbol, order });
            }
            return;
        }
        let signal = Some(record.admission.command.id().clone());
        let lot = Lot { deployment: leg.plan.deployment.clone(), account, instrument: symbol, signal };
        self.must_close(lot, Reason::new("overclosed", "more was closed than was held, since an order took effect after all"));
    }

    /// Whether an exit tells of trades while what it closes is not known yet: the entry is asked for first, and then the exit once more. Booked
    /// in the other order, the position would seem to have turned.
    fn precedes_its_entry(&mut self, at: LegRef, report: &OrderReport) -> bool {
        let id = &report.client_order_id;
        let Some(entry) = self.missing_entry(at, report) else {
            self.live.early_exits.remove(id);
            return false;
        };
        let tries = self.live.early_exits.entry(id.clone()).or_default();
        *tries += 1;
        let tries = *tries;
        let pause = self.backoff(tries);
        self.probe(&entry);
        self.wake_after(pause, Timer::Probe(id.clone()));
        true
    }

    /// The order of an exit's entry that must have traded more than is booked, if what the exit traded cannot be without it. What rests may
    /// have traded, or somebody else may hold what the exit took: it is asked for a few times, and then the trade is booked as it is.
    fn missing_entry(&self, at: LegRef, report: &OrderReport) -> Option<ClientOrderId> {
        let record = self.book.execution(at.execution)?;
        let Command::Protect(protect) = &record.admission.command else { return None };
        if report.fills.is_empty() && report.filled_quantity.is_zero() {
            return None;
        }
        let (signal, entry) = self.book.find(protect.entry)?;
        let left = signal.lot_of(entry).and_then(|lot| self.book.ledger().left_of(&lot).ok()).unwrap_or_default();
        let told = report.fills.iter().try_fold(Quantity::ZERO, |sum, fill| sum.plus(fill.quantity)).ok()?;
        let asked = self.live.early_exits.get(&report.client_order_id).copied().unwrap_or_default();
        let missing = |order: &&OrderRecord| match order.state {
            OrderState::Sent | OrderState::Unknown { .. } => true,
            _ if order.filled.quantity < order.reported => told > left,
            OrderState::Open { .. } => told > left && asked < EARLY_TRIES,
            _ => false,
        };
        entry.orders.iter().find(missing).map(|order| order.intent.client_order_id().clone())
    }

    /// What follows when something became known of a leg's order.
    pub(super) fn after_order(&mut self, at: LegRef) {
        let Some(leg) = self.book.leg(at) else { return };
        let place = leg.plan.symbol.clone().map(|symbol| (leg.plan.account.clone(), symbol));
        if self.book.is_planned(at) {
            let attempts = u32::try_from(leg.orders.len()).unwrap_or(u32::MAX);
            let pause = self.backoff(attempts.saturating_sub(1));
            self.wake_after(pause, Timer::Retry(at));
        } else if leg.state.is_done() {
            self.next_in_line(at);
        }
        if let Some((account, symbol)) = place {
            self.pump_closes(&account, &symbol, at);
        }
        self.look_after(at);
        self.effect(Effect::Changed { execution: at.execution });
        if self.book.execution(at.execution).is_none_or(ExecutionRecord::is_finished) {
            self.live.started.remove(&at.execution);
        }
    }

    /// What a change of a leg means for positions: exits to arm, to move or to take back, closes to begin again.
    fn look_after(&mut self, at: LegRef) {
        self.touch(at);
        self.enforce_leg(at);
        let Some((record, leg)) = self.book.find(at) else { return };
        let (done, over) = (leg.state.is_done(), leg.filled().is_ok_and(|filled| filled.quantity.is_zero()));
        let key = leg.plan.symbol.clone().map(|symbol| PositionKey {
            deployment: leg.plan.deployment.clone(),
            account: leg.plan.account.clone(),
            symbol,
        });
        match &record.admission.command {
            Command::Signal(signal) => {
                let grouped = signal.leg_policy != LegPolicy::BestEffort;
                if grouped {
                    self.follow_group(at);
                }
                self.arm(at);
            }
            Command::Close(_) => {
                if done {
                    self.pursue_after(at);
                }
            }
            Command::Protect(protect) => {
                let entry = protect.entry;
                let trigger = leg.plan.order.as_ref().and_then(|order| order.trigger);
                let refused = matches!(&leg.state, LegState::Done { outcome, .. } if *outcome != Outcome::Canceled) && over;
                if let (Some(trigger), true, Some(_)) = (trigger, refused, self.book.guard(entry)) {
                    let asked = self.live.exits_asked.entry((entry, trigger.kind)).or_default();
                    asked.at = self.now.monotonic;
                    asked.refusals = asked.refusals.saturating_add(1);
                    self.wake_after(self.setup.timing.protection_deadline, Timer::Protection(entry));
                }
                self.arm(entry);
            }
        }
        // What one signal trades may close what another opened.
        if let Some(key) = key {
            self.tend_position(&key);
            self.settle_unwound(&key);
        }
        self.check_leaving();
    }

    /// Whether another attempt may follow one that took no effect for certain.
    pub(super) fn may_try_again(&self, at: LegRef) -> bool {
        let Some((record, leg)) = self.book.find(at) else {
            return false;
        };
        let attempts = u32::try_from(leg.orders.len()).unwrap_or(u32::MAX);
        let held = record.purpose() == Purpose::Entry && gates::may_leave(self.book, leg).is_err();
        attempts < self.setup.timing.max_attempts
            && !self.is_over(record.admission.valid_until)
            && !held
            && !self.is_given_up(at)
            && (self.live.journal_failed.is_none() || record.purpose() == Purpose::Close)
    }

    /// Cancels what rests of an execution, and ends what was never sent. What traded stays.
    pub(super) fn cancel(&mut self, number: ExecutionNumber, token: Token) {
        let Some(record) = self.book.execution(number) else {
            return self.effect(Effect::Rejected { token, error: CommandError::NotFound("it is over; there is nothing to cancel".into()) });
        };
        let mut cancels = Vec::new();
        for leg in &record.legs {
            let Some(symbol) = &leg.plan.symbol else { continue };
            for order in leg.orders.iter().filter(|order| matches!(order.state, OrderState::Open { .. })) {
                let id = order.intent.client_order_id().clone();
                cancels.push(Effect::Cancel { account: leg.plan.account.clone(), symbol: symbol.clone(), order: id });
            }
        }
        let waiting: Vec<LegRef> = record.waiting(None).map(|(at, _)| at).collect();
        cancels.into_iter().for_each(|cancel| self.effect(cancel));
        let planned: Vec<LegRef> = self.book.planned_of(number).chain(waiting).collect();
        for at in planned {
            self.live.asked_ready.remove(&at);
            // With one leg its whole group may have ended.
            let waits = self.book.leg(at).is_some_and(|leg| matches!(leg.state, LegState::AwaitingApproval { .. }));
            if waits || self.book.is_planned(at) {
                self.end_leg(at, Outcome::Canceled, Reason::new("canceled", "canceled before anything was sent"));
            }
        }
        self.effect(Effect::Done { token });
    }

    /// The answer to a cancel is a report like any other; a cancel that failed is one the venue's next report tells of.
    pub(super) fn canceled(&mut self, id: &ClientOrderId, result: Result<OrderReport, Failure>) {
        self.live.canceling.remove(id);
        if let Some(account) = self.book.leg_of(id).and_then(|at| self.book.leg(at)).map(|leg| leg.plan.account.clone()) {
            self.heard(&account, result.as_ref().err());
        }
        match result {
            Ok(report) => self.report(report),
            Err(_) => self.probe(id),
        }
        self.call_off_later(id);
    }

    pub(super) fn is_over(&self, valid_until: Option<Timestamp>) -> bool {
        valid_until.is_some_and(|until| self.now.wall > until)
    }

    pub(super) fn end_leg(&mut self, at: LegRef, outcome: Outcome, why: Reason) {
        self.emit(Event::LegEnded { leg: at, outcome, why });
        self.after_order(at);
    }

    fn answer_timings(&mut self, id: &ClientOrderId, execution: ExecutionNumber) -> Timings {
        let sent = self.live.sent_at.remove(id).flatten();
        // The flush ends where sending begins.
        Timings { journaled: sent, sent, acknowledged: sent.and_then(|_| self.elapsed(execution)), ..Timings::default() }
    }
}

/// Whether an order has traded or may yet, as the venue says.
fn takes_effect(order: &OrderRecord) -> bool {
    matches!(order.state, OrderState::Open { .. }) || !order.filled.quantity.is_zero() || order.filled.quantity < order.reported
}

/// The orders of a leg beside one of them that have traded or may yet, as the venue says.
fn in_effect<'a>(leg: &'a LegRecord, but: &'a ClientOrderId) -> impl Iterator<Item = &'a OrderRecord> {
    leg.orders.iter().filter(move |order| order.intent.client_order_id() != but && takes_effect(order))
}

fn expired(valid_until: Option<Timestamp>) -> Reason {
    let until = valid_until.map(|until| until.to_string()).unwrap_or_default();
    Reason::new("expired", format!("the signal was valid until {until}; nothing was sent"))
}
