//! Circuit breakers: a venue that is unwell takes no entries until it has been well for a while. What is open is closed as ever.
//!
//! What is measured is in [`super::vitals`], with the table of severities. A venue's state follows from its own alarms, the engine's from all
//! alarms of all venues. Each change is an event, so that offline and after a restart it is known what stood; a new process begins with it and
//! leaves it once it has seen the venue well for as long as anyone else would have to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::book::Book;
use super::setup::{AccountShare, Breakers};
use super::step::{State, Step, Timer};
use super::vitals::{self, Alarm, Measure, Reading, Severity, Vitals, micros};
use crate::journal::{BreakerState, Event, Failure};
use crate::model::execution::{Reason, StandIn};
use crate::model::ids::{AccountId, ClientOrderId, VenueId};
use crate::model::order::OrderState;
use crate::model::time::{Timestamp, format_duration};

/// What a venue, or the engine as a whole, is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Degraded or in emergency: what is normal is not kept.
    pub state: BreakerState,
    /// Why.
    pub why: Reason,
    /// Since when.
    pub since: Timestamp,
}

/// What is not normal, as the journal tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Open {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    engine: Option<Breaker>,
    #[serde(default)]
    venues: BTreeMap<VenueId, Breaker>,
}

impl Open {
    pub(super) fn changed(&mut self, venue: Option<&VenueId>, state: BreakerState, why: &Reason, since: Timestamp) {
        let breaker = (state != BreakerState::Normal).then(|| Breaker { state, why: why.clone(), since });
        match (venue, breaker) {
            (None, breaker) => self.engine = breaker,
            (Some(venue), Some(breaker)) => drop(self.venues.insert(venue.clone(), breaker)),
            (Some(venue), None) => drop(self.venues.remove(venue)),
        }
    }

    fn of(&self, venue: Option<&VenueId>) -> Option<&Breaker> {
        venue.map_or(self.engine.as_ref(), |venue| self.venues.get(venue))
    }
}

impl Book {
    /// What a venue is in, or without one the engine as a whole; `None` when it is as configured.
    #[must_use]
    pub fn breaker(&self, venue: Option<&VenueId>) -> Option<&Breaker> {
        self.open_breakers().of(venue)
    }

    /// Everything that is not normal: the engine first, then the venues by name.
    pub fn breakers(&self) -> impl Iterator<Item = (Option<&VenueId>, &Breaker)> {
        let open = self.open_breakers();
        open.engine.iter().map(|breaker| (None, breaker)).chain(open.venues.iter().map(|(venue, breaker)| (Some(venue), breaker)))
    }

    /// Whether no entry goes to a venue: it, or the engine as a whole, is in emergency.
    pub(super) fn is_emergency(&self, venue: &VenueId) -> bool {
        [None, Some(venue)].into_iter().any(|scope| self.breaker(scope).is_some_and(|breaker| breaker.state == BreakerState::Emergency))
    }
}

/// An order of which it is not known whether it took effect.
#[derive(Debug)]
struct Doubt {
    venue: VenueId,
    /// Since when this process knows of it, by the monotonic clock.
    at: u64,
    /// How long it was in doubt before.
    before: u64,
}

/// What an event says of how well a venue is.
#[derive(Debug)]
pub(super) enum News {
    /// It is not known whether this order took effect.
    Doubt(ClientOrderId),
    /// Entries on this account are halted, or no longer.
    Drift(AccountId),
}

impl News {
    pub(super) fn of(event: &Event) -> Option<Self> {
        match event {
            Event::BecameUnknown { order, .. } => Some(Self::Doubt(order.clone())),
            Event::Halted { account, .. } | Event::Unhalted { account, .. } => Some(Self::Drift(account.clone())),
            _ => None,
        }
    }
}

/// What this process knows of how well everything is.
#[derive(Debug, Default)]
pub(super) struct Watch {
    venues: BTreeMap<VenueId, Vitals>,
    /// What the engine as a whole was in before the process ended.
    engine: Vitals,
    doubts: BTreeMap<ClientOrderId, Doubt>,
    /// Orders that were sent and not answered, since when.
    placing: BTreeMap<ClientOrderId, u64>,
    /// Whether a timer runs.
    ticking: bool,
    /// Whether any alarm stands.
    alarmed: bool,
}

impl Watch {
    fn venue(&mut self, venue: &VenueId) -> &mut Vitals {
        if !self.venues.contains_key(venue) {
            self.venues.insert(venue.clone(), Vitals::default());
        }
        self.venues.get_mut(venue).expect("it was inserted if it was not there")
    }

    /// What was counted over a window of another length says nothing any more; alarms that stand go on standing until all has been well.
    pub(super) fn forget_counts(&mut self) {
        self.venues.values_mut().for_each(Vitals::forget_counts);
    }

    fn alarms(&self) -> Vec<Alarm> {
        let venues = self.venues.iter().flat_map(|(venue, vitals)| vitals.alarms(Some(venue)));
        self.engine.alarms(None).into_iter().chain(venues).collect()
    }
}

impl State {
    /// Everything that is not as it should be, as last measured.
    #[must_use]
    pub fn alarms(&self) -> Vec<Alarm> {
        self.live.watch.alarms()
    }

    /// How a venue is, as numbers, at an instant of the monotonic clock.
    #[must_use]
    pub fn wellness(&self, venue: &VenueId, breakers: &Breakers, now: u64) -> vitals::Wellness {
        self.live.watch.venues.get(venue).map(|vitals| vitals.wellness(breakers, now)).unwrap_or_default()
    }
}

/// How often it is looked at what only passing time changes.
fn pace(breakers: &Breakers) -> Duration {
    let shortest = breakers.window.min(breakers.stale_high).min(breakers.unknown_high).min(breakers.cool_down);
    (shortest / 6).clamp(Duration::from_millis(50), Duration::from_secs(5))
}

impl Step<'_> {
    /// A price came in.
    pub(super) fn heard_price(&mut self, venue: &VenueId) {
        self.live.watch.venue(venue).quoted(self.now.monotonic);
    }

    /// A call to an account's venue came back.
    pub(super) fn heard(&mut self, account: &AccountId, failure: Option<&Failure>) {
        let Some(venue) = self.venue_of(account) else { return };
        let (now, breakers) = (self.now.monotonic, &self.setup.breakers);
        let vitals = self.live.watch.venue(&venue);
        if failure.is_some_and(vitals::counts) {
            vitals.failed(breakers.window, now);
            let errors = vitals.errors(breakers, now);
            self.weigh(&venue, Measure::Errors, errors);
        } else {
            vitals.answered(breakers.window, now);
        }
    }

    /// Whether an account is ready is mostly decided on this side: only that it failed says anything of the venue.
    pub(super) fn heard_ready(&mut self, account: &AccountId, failure: Option<&Failure>) {
        if failure.is_some_and(vitals::counts) {
            self.heard(account, failure);
        }
    }

    /// An order leaves.
    pub(super) fn clock_in(&mut self, order: &ClientOrderId) {
        self.live.watch.placing.insert(order.clone(), self.now.monotonic);
    }

    /// An order was answered, or its call failed.
    pub(super) fn clock_out(&mut self, account: &AccountId, order: &ClientOrderId, failure: Option<&Failure>) {
        let sent = self.live.watch.placing.remove(order);
        if sent.is_none() && failure.is_some() {
            // It was counted when its time was over.
            return;
        }
        self.heard(account, failure);
        if let (Some(sent), Some(venue), false) = (sent, self.venue_of(account), failure.is_some_and(vitals::counts)) {
            let (now, breakers) = (self.now.monotonic, &self.setup.breakers);
            let vitals = self.live.watch.venue(&venue);
            vitals.took(breakers, now, now.saturating_sub(sent));
            let latency = vitals.latency(breakers, now);
            self.weigh(&venue, Measure::Latency, latency);
        }
    }

    /// An order has had its time to be answered.
    pub(super) fn clock_overdue(&mut self, order: &ClientOrderId) {
        let allowed = micros(self.setup.timing.leg_deadline);
        let over = self.live.watch.placing.get(order).is_some_and(|sent| self.now.monotonic.saturating_sub(*sent) >= allowed);
        let account = self.book.leg_of(order).and_then(|at| self.book.leg(at)).map(|leg| leg.plan.account.clone());
        if let (true, Some(account)) = (over, account) {
            self.live.watch.placing.remove(order);
            let failure = self.overdue();
            self.heard(&account, Some(&failure));
        }
    }

    /// Something was decided that says how well a venue is.
    pub(super) fn notice(&mut self, news: Option<News>) {
        match news {
            Some(News::Doubt(order)) => self.doubt(&order),
            Some(News::Drift(account)) => self.check_drift(&account),
            None => {}
        }
    }

    /// It is not known whether an order took effect.
    fn doubt(&mut self, order: &ClientOrderId) {
        let Some(at) = self.book.leg_of(order) else { return };
        let (Some(leg), Some(OrderState::Unknown { since, .. })) = (self.book.leg(at), self.book.order(order).map(|order| &order.state))
        else {
            return;
        };
        let doubt = Doubt { venue: leg.plan.venue.clone(), at: self.now.monotonic, before: micros(self.now.wall.since(*since)) };
        self.live.watch.doubts.insert(order.clone(), doubt);
    }

    /// Begins with what stood when the process before ended, and with the orders it left unknown.
    pub(super) fn carry_breakers_over(&mut self) {
        let known: Vec<(Option<VenueId>, Breaker)> =
            self.book.breakers().map(|(venue, breaker)| (venue.cloned(), breaker.clone())).collect();
        for (venue, Breaker { state, why, since }) in known {
            let severity = if state == BreakerState::Emergency { Severity::Critical } else { Severity::High };
            let now = self.now.monotonic;
            match venue {
                None => self.live.watch.engine.carry_over(severity, state, &why, since, now),
                Some(venue) if self.setup.accounts.values().any(|account| account.venue == venue) => {
                    self.live.watch.venue(&venue).carry_over(severity, state, &why, since, now);
                }
                // Nobody trades there any more.
                Some(_) => {}
            }
        }
        let unsettled: Vec<ClientOrderId> = self.book.unsettled().cloned().collect();
        unsettled.iter().for_each(|order| self.doubt(order));
        let halted: Vec<AccountId> = self.setup.accounts.keys().filter(|account| self.book.halt(account).is_some()).cloned().collect();
        halted.iter().for_each(|account| self.check_drift(account));
        self.reconsider();
    }

    /// Measures what passing time changes.
    pub(super) fn check_breakers(&mut self) {
        self.live.watch.ticking = false;
        let book = &*self.book;
        let in_doubt = |id: &ClientOrderId| book.order(id).is_some_and(|order| order.state.is_unknown());
        self.live.watch.doubts.retain(|id, _| in_doubt(id));
        let now = (self.now.wall, self.now.monotonic);
        let venues: Vec<VenueId> = self.live.watch.venues.keys().cloned().collect();
        for venue in venues {
            let readings = self.measure(&venue);
            let vitals = self.live.watch.venue(&venue);
            for (measure, reading) in readings {
                vitals.weigh(measure, reading, now, &self.setup.breakers);
            }
        }
        let alive = self.live.watch.venues.values().any(|vitals| vitals.unpriced(now.1).is_some());
        if alive {
            self.live.watch.engine.quoted(now.1);
        }
        self.live.watch.engine.weigh(Measure::Restart, None, now, &self.setup.breakers);
        self.reconsider();
    }

    fn measure(&self, venue: &VenueId) -> Vec<(Measure, Option<Reading>)> {
        let (breakers, now) = (&self.setup.breakers, self.now.monotonic);
        let Some(vitals) = self.live.watch.venues.get(venue) else { return Vec::new() };
        vec![
            (Measure::Errors, vitals.errors(breakers, now)),
            (Measure::Latency, vitals.latency(breakers, now)),
            (Measure::Stale, vitals.stale(breakers, now, || self.at_stake(venue))),
            (Measure::Drift, self.drift(venue)),
            (Measure::Unknown, self.unknown(venue)),
            (Measure::Restart, None),
        ]
    }

    /// Whether anything is held or on its way at a venue.
    fn at_stake(&self, venue: &VenueId) -> bool {
        let there = |id: &ClientOrderId| self.book.leg_of(id).and_then(|at| self.book.leg(at)).is_some_and(|leg| leg.plan.venue == *venue);
        self.book.ledger().positions().any(|(_, position)| position.venue() == venue) || self.book.unsettled().any(there)
    }

    fn drift(&self, venue: &VenueId) -> Option<Reading> {
        let there = self.setup.accounts.iter().filter(|(_, account)| account.venue == *venue);
        let halts = there.filter_map(|(account, _)| Some((account, self.book.halt(account)?)));
        let reading = |(account, why): (&AccountId, &Reason)| {
            // What the journal lost may concern any venue.
            let severity = if why.code == "journal_rolled_back" { Severity::Critical } else { Severity::High };
            Reading { severity, value: format!("{account} is halted: {}: {}", why.code, why.reason), threshold: "the first halt".into() }
        };
        halts.map(reading).max_by_key(|reading| reading.severity)
    }

    fn unknown(&self, venue: &VenueId) -> Option<Reading> {
        let allowed = self.setup.breakers.unknown_high;
        let there = || self.live.watch.doubts.values().filter(|doubt| doubt.venue == *venue);
        let oldest = there().map(|doubt| self.now.monotonic.saturating_sub(doubt.at).saturating_add(doubt.before)).max()?;
        let (severity, threshold) = match oldest {
            age if age >= micros(allowed) => (Severity::High, allowed),
            age if age >= micros(allowed / 2) => (Severity::Low, allowed / 2),
            _ => return None,
        };
        let value = format!("{} orders are unknown, the oldest for {}s", there().count(), oldest / 1_000_000);
        Some(Reading { severity, value, threshold: format_duration(threshold) })
    }

    /// Looks at the halts of an account's venue: one came or went.
    fn check_drift(&mut self, account: &AccountId) {
        let Some(venue) = self.venue_of(account) else { return };
        let drift = self.drift(&venue);
        self.weigh(&venue, Measure::Drift, drift);
    }

    fn weigh(&mut self, venue: &VenueId, measure: Measure, reading: Option<Reading>) {
        let now = (self.now.wall, self.now.monotonic);
        if self.live.watch.venue(venue).weigh(measure, reading, now, &self.setup.breakers) {
            self.reconsider();
        }
    }

    /// Brings the states to what the alarms say, and writes down what changed.
    fn reconsider(&mut self) {
        let watch = &self.live.watch;
        let alarms = watch.alarms();
        let known = self.book.breakers().filter_map(|(venue, _)| venue.cloned());
        let mut venues: Vec<VenueId> = watch.venues.keys().cloned().chain(known).collect();
        venues.sort();
        venues.dedup();
        let mut wanted: Vec<(Option<VenueId>, BreakerState, Option<Reason>)> = venues
            .into_iter()
            .map(|venue| {
                let state = vitals::venue_state(watch.venues.get(&venue).and_then(Vitals::worst));
                let gravest = alarms.iter().filter(|alarm| alarm.venue.as_ref() == Some(&venue)).max_by_key(|alarm| alarm.severity);
                (Some(venue), state, gravest.map(Alarm::reason))
            })
            .collect();
        wanted.push((None, vitals::engine_state(&alarms), Some(together(&alarms))));
        let alarmed = !alarms.is_empty();
        for (venue, state, why) in wanted {
            let before = self.book.breaker(venue.as_ref()).map_or(BreakerState::Normal, |breaker| breaker.state);
            if before != state {
                let well = || Reason::new("well", format!("nothing was wrong for {}", format_duration(self.setup.breakers.cool_down)));
                let why = if state == BreakerState::Normal { well() } else { why.unwrap_or_else(well) };
                self.emit(Event::BreakerChanged { venue, state, why, at: self.now.wall });
            }
        }
        self.live.watch.alarmed = alarmed;
    }

    /// Keeps a timer running for as long as there is anything that time alone can change.
    pub(super) fn keep_watch(&mut self) {
        let anything = self.live.watch.alarmed
            || !self.live.watch.doubts.is_empty()
            || self.book.unsettled().next().is_some()
            || self.book.ledger().positions().next().is_some();
        if anything && !self.live.watch.ticking {
            self.live.watch.ticking = true;
            self.wake_after(pace(&self.setup.breakers), Timer::Breakers);
        }
    }

    /// Where a leg goes: to its account, or in an emergency to the paper account that stands in for it.
    pub(super) fn seat(&self, share: &AccountShare) -> (AccountShare, Option<StandIn>) {
        let venue = self.setup.accounts.get(&share.account).map(|account| &account.venue);
        let emergency = venue.filter(|venue| self.book.is_emergency(venue));
        let fallback = share.fallback.as_ref().filter(|fallback| self.setup.accounts.contains_key(*fallback));
        let (Some(venue), Some(fallback)) = (emergency, fallback) else { return (share.clone(), None) };
        let breaker = self.book.breaker(Some(venue)).filter(|breaker| breaker.state == BreakerState::Emergency);
        let (what, breaker) =
            breaker.map_or_else(|| ("the engine".to_owned(), self.book.breaker(None)), |breaker| (venue.to_string(), Some(breaker)));
        let why = breaker.map(|breaker| format!("{}: {}", breaker.why.code, breaker.why.reason)).unwrap_or_default();
        let words = format!("{fallback} stands in for {}: {what} is in emergency: {why}", share.account);
        let seat = AccountShare { account: fallback.clone(), allocation: share.allocation, fallback: None };
        (seat, Some(StandIn { account: share.account.clone(), why: Reason::new("paper_fallback", words) }))
    }
}

/// Why the engine as a whole is in what follows from these alarms: the two gravest.
fn together(alarms: &[Alarm]) -> Reason {
    let mut grave: Vec<&Alarm> = alarms.iter().filter(|alarm| alarm.severity > Severity::Low).collect();
    grave.sort_by_key(|alarm| std::cmp::Reverse(alarm.severity));
    let words = |alarm: &&Alarm| {
        let whose = alarm.venue.as_ref().map_or("the engine", |venue| venue.as_str());
        format!("{whose}: {}: {}", alarm.measure.name(), alarm.reason().reason)
    };
    Reason::new("alarms", grave.iter().take(2).map(words).collect::<Vec<_>>().join("; "))
}
