//! Per account: replay, ask for every unresolved intent, compare with the venue's truth, then trade. And compare again for as long as it runs.

use std::time::Duration;

use super::book::Book;
use super::drift::{Difference, Truth};
use super::setup::Setup;
use super::step::{AccountLive, Effect, ForeignOrder, Holding, Step, Timer};
use crate::journal::{Basis, Event, Failure, LegRef};
use crate::model::execution::Reason;
use crate::model::ids::{AccountId, ClientOrderId, VenueSymbol};
use crate::model::number::SignedQuantity;
use crate::model::order::{DoneReason, OrderReport, OrderState, OrderStatus};
use crate::model::time::Timestamp;
use crate::venue::AccountSnapshot;

/// How much earlier than the latest report the venue is asked from: clocks and late reports.
const OVERLAP: Duration = Duration::from_secs(60);

/// After which part of the normal pace an account is compared again when somebody else trades on it.
const OTHERS: u32 = 6;

/// How many orders of others are shown of one account.
const FOREIGN_ORDERS: usize = 200;

/// From when on the venue is asked, to know everything since an instant.
pub(super) fn earlier(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_sub(i64::try_from(OVERLAP.as_micros()).unwrap_or(0)))
}

/// How long after one comparison of an account with its venue the next one follows: where nothing is at risk, later.
pub(crate) fn pace(setup: &Setup, book: &Book, account: &AccountId) -> Duration {
    let every = setup.timing.reconcile_every;
    if book.is_at_risk(account) { every } else { every.saturating_mul(setup.timing.reconcile_idle.clamp(1, 100)) }
}

impl Step<'_> {
    pub(super) fn open(&mut self, version: &'static str, namespace: String) {
        let namespace = if self.book.namespace().is_empty() { namespace } else { self.book.namespace().to_owned() };
        self.emit(Event::Started { version: version.to_owned(), namespace });
        for account in self.setup.accounts.keys() {
            self.live.accounts.insert(account.clone(), AccountLive::default());
        }
        let unsettled: Vec<ClientOrderId> = self.book.unsettled().cloned().collect();
        for id in unsettled {
            let account = self.book.leg_of(&id).and_then(|at| self.book.leg(at)).map(|leg| leg.plan.account.clone());
            let state = self.book.order(&id).map(|order| order.state.clone());
            if state == Some(OrderState::Sent) {
                let why = "the process ended before an answer was known".to_owned();
                self.emit(Event::BecameUnknown { order: id.clone(), why, at: self.now.wall, timings: Default::default() });
            }
            if let Some(live) = account.and_then(|account| self.live.accounts.get_mut(&account)) {
                live.to_probe.insert(id);
            }
        }
        self.resume_groups();
        self.carry_breakers_over();
        self.await_all_answers();
        self.by_risk().iter().for_each(|account| self.fetch(account));
        self.enforce(None);
    }

    /// Fetches the venue's truth about an account, unless that is under way.
    pub(super) fn fetch(&mut self, account: &AccountId) {
        // What explains a difference may have been told late: then it is asked for from further back.
        let explained = self.live.accounts.get(account).filter(|live| live.suspicion.is_empty());
        let compared = explained.and_then(|live| live.truth.as_ref()).map(Truth::at);
        let since = self.book.known_until(account).max(compared).map(earlier);
        let venue = self.setup.accounts.get(account).map(|account| &account.venue);
        let Some(live) = self.live.accounts.get_mut(account) else { return };
        if let Some(venue) = venue.filter(|venue| !self.setup.venues.contains_key(*venue)) {
            // Without its instruments nothing it says can be checked.
            live.failure = Some(format!("{venue} does not say what it trades"));
            return;
        }
        if std::mem::replace(&mut live.fetching, true) {
            return;
        }
        live.fetches = live.fetches.wrapping_add(1);
        let fetches = live.fetches;
        self.note_fetch(account);
        self.effect(Effect::Snapshot { account: account.clone(), since });
        self.wake_after(self.setup.timing.leg_deadline, Timer::SnapshotOverdue(account.clone(), fetches));
    }

    pub(super) fn snapshot_overdue(&mut self, account: &AccountId, fetches: u32) {
        if self.live.accounts.get(account).is_some_and(|live| live.fetching && live.fetches == fetches) {
            let failure = self.overdue();
            self.compare(account, Err(failure));
        }
    }

    /// Compares the venue's truth with ours.
    pub(super) fn compare(&mut self, account: &AccountId, result: Result<AccountSnapshot, Failure>) {
        let Some(live) = self.live.accounts.get_mut(account) else { return };
        live.fetching = false;
        self.heard(account, result.as_ref().err());
        let Some(live) = self.live.accounts.get_mut(account) else { return };
        let snapshot = match result {
            Ok(snapshot) => snapshot,
            Err(failure) => {
                live.failure = Some(failure.message);
                live.failures = live.failures.saturating_add(1);
                let pause = self.live.accounts.get(account).map_or(Duration::ZERO, |live| self.backoff(live.failures));
                return self.schedule_fetch(account, pause);
            }
        };
        live.failure = None;
        live.failures = 0;
        live.compared_at = Some(self.now.monotonic);
        let first = !std::mem::replace(&mut live.compared, true);

        let snapshot = self.with_names(snapshot);
        self.take_reports(account, &snapshot);
        if !self.book.ledger().is_funded(account) {
            self.take_in(account, &snapshot);
        }
        if let Some(live) = self.live.accounts.get_mut(account) {
            live.truth = Some(Truth::from(&snapshot));
        }
        self.note_foreign_orders(account, &snapshot);
        if self.book.is_followed(account) {
            self.take_news(account, &snapshot);
        } else {
            self.follow(account, &snapshot);
        }
        let suspicious = self.check_positions(account, &snapshot);
        self.ask_for_missing(account, &snapshot, first);
        // A difference is looked at again soon: the snapshot may have crossed a fill on its way.
        let pause = if suspicious { self.backoff(1) } else { self.pace(account) };
        self.schedule_fetch(account, pause);
        self.maybe_recovered(account);
    }

    /// How long after a comparison the next one follows: where nothing is at risk, later.
    fn pace(&self, account: &AccountId) -> Duration {
        pace(self.setup, self.book, account)
    }

    /// Something may be at risk on the account from now on: it is compared at the normal pace.
    pub(super) fn keep_pace(&mut self, account: &AccountId) {
        if self.live.accounts.get(account).is_some_and(|live| live.compared) {
            self.schedule_fetch(account, self.setup.timing.reconcile_every);
        }
    }

    /// Somebody else trades on the account: it is compared soon, and not for each of their trades.
    pub(super) fn hear_of_others(&mut self, account: &AccountId) {
        let live = self.live.accounts.get(account);
        if live.is_some_and(|live| live.compared && !live.fetching) {
            self.schedule_fetch(account, self.setup.timing.reconcile_every / OTHERS);
        }
    }

    /// The accounts, those with something at risk first.
    pub(super) fn by_risk(&self) -> Vec<AccountId> {
        let mut accounts: Vec<AccountId> = self.live.accounts.keys().cloned().collect();
        accounts.sort_by_key(|account| !self.book.is_at_risk(account));
        accounts
    }

    /// A snapshot whose trades have our names, where the venue tells the names of orders only.
    fn with_names(&self, mut snapshot: AccountSnapshot) -> AccountSnapshot {
        for fill in snapshot.fills.iter_mut().filter(|fill| fill.client_order_id.is_none() && fill.cause.is_none()) {
            let told = snapshot.orders.iter().find(|report| report.venue_order_id == fill.venue_order_id);
            let told = told.map(|report| report.client_order_id.clone());
            fill.client_order_id = told.or_else(|| self.order_named(&fill.venue_order_id));
        }
        snapshot
    }

    /// Plans the next comparison, unless an earlier one is planned.
    pub(super) fn schedule_fetch(&mut self, account: &AccountId, pause: Duration) {
        let now = self.now.monotonic;
        let at = now.saturating_add(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX));
        let Some(live) = self.live.accounts.get_mut(account) else { return };
        if live.due_at.is_none_or(|due| due <= now || due > at) {
            live.due_at = Some(at);
            self.wake_after(pause, Timer::Snapshot(account.clone()));
        }
    }

    /// Remembers the orders of others that rest, to be shown; they are nobody's of ours and stand in nobody's way.
    fn note_foreign_orders(&mut self, account: &AccountId, snapshot: &AccountSnapshot) {
        let foreign = |report: &&OrderReport| {
            report.status == OrderStatus::Open
                && self.book.leg_of(&report.client_order_id).is_none()
                && !self.is_tagged(&report.client_order_id)
        };
        let venue = self.venue_of(account);
        let orders = snapshot.orders.iter().filter(foreign).take(FOREIGN_ORDERS).filter_map(|report| {
            Some(ForeignOrder {
                venue: venue.clone()?,
                account: account.clone(),
                instrument: report.symbol.clone(),
                client_order_id: report.client_order_id.clone(),
                venue_order_id: report.venue_order_id.clone(),
                state: "foreign".to_owned(),
                filled_quantity: report.filled_quantity,
                foreign: true,
                seen_at: snapshot.at,
            })
        });
        let orders = orders.collect();
        if let Some(live) = self.live.accounts.get_mut(account) {
            live.foreign_orders = orders;
        }
    }

    /// Books the orders and trades of a snapshot. Orders under our tag that nothing here knows halt entries.
    fn take_reports(&mut self, account: &AccountId, snapshot: &AccountSnapshot) {
        for report in &snapshot.orders {
            let mut report = report.clone();
            let told: Vec<_> = report.fills.iter().map(|fill| fill.trade_id.clone()).collect();
            let more = snapshot
                .fills
                .iter()
                .filter(|fill| fill.client_order_id.as_ref() == Some(&report.client_order_id) && !told.contains(&fill.trade_id));
            report.fills.extend(more.cloned());
            self.streamed(account, report);
        }
        for fill in &snapshot.fills {
            let Some(id) = &fill.client_order_id else { continue };
            let Some(order) = self.book.order(id) else {
                // With the order itself in the snapshot, the order says what it is.
                let named = snapshot.orders.iter().any(|report| report.client_order_id == *id);
                if self.is_tagged(id) && !named {
                    self.halt_rolled_back(account, id);
                }
                continue;
            };
            if order.trades.contains_key(&fill.trade_id) {
                continue;
            }
            // A trade alone says nothing of how the order stands.
            let status = match &order.state {
                OrderState::Done { reason: DoneReason::Filled, .. } => OrderStatus::Filled,
                OrderState::Done { venue_order_id: Some(_), .. } => OrderStatus::Canceled,
                _ => OrderStatus::Open,
            };
            let report = OrderReport {
                client_order_id: id.clone(),
                venue_order_id: fill.venue_order_id.clone(),
                symbol: fill.symbol.clone(),
                status,
                filled_quantity: order.filled.quantity.plus(fill.quantity).unwrap_or(order.filled.quantity),
                fills: vec![fill.clone()],
                position_id: None,
                at: fill.at,
            };
            self.report(report);
        }
    }

    /// Books what an account holds when it is first seen: its money, and positions that are not ours.
    fn take_in(&mut self, account: &AccountId, snapshot: &AccountSnapshot) {
        for balance in &snapshot.balances {
            self.emit(Event::Funded { account: account.clone(), asset: balance.asset.clone(), amount: balance.total });
        }
        for position in &snapshot.positions {
            let ours = self.book.ledger().net_quantity(account, &position.symbol);
            if let Ok(quantity) = position.quantity.minus(ours)
                && !quantity.is_zero()
            {
                let reason = "held before the account was first traded here".to_owned();
                let known = position.cost.filter(|_| ours.is_zero());
                let terms = self.terms(account, &position.symbol).zip(self.venue_of(account));
                let basis = known.zip(terms).map(|(cost, (terms, venue))| Basis { venue, terms, cost });
                self.emit(Event::External { account: account.clone(), symbol: position.symbol.clone(), quantity, reason, basis });
            }
        }
    }

    /// Compares positions where no order is on its way. A difference seen twice in a row halts entries on the account.
    fn check_positions(&mut self, account: &AccountId, snapshot: &AccountSnapshot) -> bool {
        let mut symbols: Vec<VenueSymbol> = self.book.ledger().instruments_of(account).cloned().collect();
        symbols.extend(snapshot.positions.iter().map(|position| position.symbol.clone()));
        symbols.sort();
        symbols.dedup();
        let mut suspicious = false;
        for symbol in symbols {
            let at_venue = snapshot
                .positions
                .iter()
                .find(|position| position.symbol == symbol)
                .map_or(SignedQuantity::ZERO, |position| position.quantity);
            let Ok(ours) = self.book.ledger().venue_quantity(account, &symbol) else { continue };
            let moving = self.book.is_moving(account, &symbol);
            let Some(live) = self.live.accounts.get_mut(account) else { return false };
            let place = Holding::net(account, &symbol);
            if at_venue == ours || moving {
                live.suspicion.remove(&place);
                continue;
            }
            let before = live.suspicion.get(&place);
            let seen_before = before.is_some_and(|before| before.at_venue == at_venue && before.ours == ours);
            let found = Difference { at_venue, ours, is_certain: seen_before };
            live.suspicion.insert(place, found);
            suspicious = true;
            if seen_before {
                let words = format!("the venue holds {at_venue} {symbol}, our books say {ours}");
                self.settle_drift(account, &symbol, found, &words);
            }
        }
        suspicious
    }

    /// Asks for orders that should rest but were not in the snapshot, and for every unresolved one.
    fn ask_for_missing(&mut self, account: &AccountId, snapshot: &AccountSnapshot, first: bool) {
        let mine: Vec<ClientOrderId> = self
            .book
            .unsettled()
            .filter(|id| self.book.leg_of(id).and_then(|at| self.book.leg(at)).is_some_and(|leg| leg.plan.account == *account))
            .cloned()
            .collect();
        for id in mine {
            let named = snapshot.orders.iter().any(|report| report.client_order_id == id);
            let open = self.book.order(&id).is_some_and(|order| matches!(order.state, OrderState::Open { .. }));
            let unknown = self.book.order(&id).is_some_and(|order| order.state.is_unknown());
            if (open && !named) || (unknown && first) {
                self.probe(&id);
            }
        }
        if let Some(live) = self.live.accounts.get_mut(account) {
            let book = &*self.book;
            live.to_probe.retain(|id| book.order(id).is_some_and(|order| order.state.is_unknown()));
        }
    }

    /// Opens the account for trading once its snapshot was compared and every unresolved intent was asked for.
    pub(super) fn maybe_recovered(&mut self, account: &AccountId) {
        let Some(live) = self.live.accounts.get_mut(account) else { return };
        if live.ready || !live.compared || !live.to_probe.is_empty() {
            return;
        }
        live.ready = true;
        self.effect(Effect::Recovered { account: account.clone() });
        self.check_groups_of(account);
        self.enforce(Some(account));
        let waiting: Vec<LegRef> =
            self.book.planned().filter(|at| self.book.leg(*at).is_some_and(|leg| leg.plan.account == *account)).collect();
        waiting.into_iter().for_each(|at| self.ask_ready(at));
        self.pursue_all(account);
        self.arm_all(account);
    }

    pub(super) fn halt_rolled_back(&mut self, account: &AccountId, id: &ClientOrderId) {
        let words = format!("the venue has our order {id}, of which the journal knows nothing: the journal is older than the truth");
        self.halt(account, Reason::new("journal_rolled_back", words));
    }

    pub(super) fn halt(&mut self, account: &AccountId, why: Reason) {
        if self.book.halt(account).is_none_or(|held| held.code != why.code) {
            self.emit(Event::Halted { account: account.clone(), why });
        }
    }
}
