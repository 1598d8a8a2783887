//! What protects a position, and what follows when nothing does in time.

use super::book::Book;
use super::exits::covering;
use super::setup::{Setup, StopRequirement};
use super::step::{CommandError, Effect, Live, State, Step, Timer, Token};
use crate::journal::LegRef;
use crate::model::close::Lot;
use crate::model::execution::{Protection, Reason};
use crate::model::exit::ExitKind;
use crate::model::ids::AccountId;
use crate::venue::TriggerSource;

/// What protects one entry leg, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protected {
    /// What is protected.
    pub lot: Lot,
    /// How.
    pub protection: Protection,
    /// Where the stop is now, if one is asked for and active.
    pub stop_price: Option<crate::model::number::Price>,
    /// Where the take profit is.
    pub take_profit_price: Option<crate::model::number::Price>,
    /// Which price is compared with the stop.
    pub source: TriggerSource,
}

impl State {
    /// What protects what is held of an entry leg; `None` when nothing of it is held, or its signal asked for no exits.
    #[must_use]
    pub fn protected(&self, setup: &Setup, entry: LegRef) -> Option<Protected> {
        protected(setup, &self.book, &self.live, entry)
    }
}

fn protected(setup: &Setup, book: &Book, live: &Live, entry: LegRef) -> Option<Protected> {
    let guard = book.guard(entry)?;
    let at_venue = covering(book, entry, ExitKind::StopLoss).is_some();
    let ready = live.accounts.get(&guard.lot.account).is_some_and(|account| account.ready);
    let priced = live.marks.contains_key(&(guard.venue.clone(), guard.lot.instrument.clone()));
    let anywhere = requirement(setup, &guard.lot) == StopRequirement::Any;
    let whole = Lot { signal: None, ..guard.lot.clone() };
    let given_up = [&guard.lot, &whole].into_iter().any(|lot| book.duty(lot).is_some_and(|duty| duty.why.code == UNPROTECTED));
    let protection = if !guard.exits.wants_stop() {
        Protection::None
    } else if at_venue {
        Protection::Venue
    } else if given_up {
        Protection::Failed
    } else if anywhere && ready && priced {
        Protection::Engine
    } else {
        Protection::Pending
    };
    let venue = setup.venues.get(&guard.venue).and_then(|venue| venue.capabilities.exits.as_ref());
    let source = venue.filter(|_| at_venue).map_or(TriggerSource::Mid, |exits| exits.source);
    Some(Protected {
        lot: guard.lot.clone(),
        protection,
        stop_price: guard.trigger_price(ExitKind::StopLoss),
        take_profit_price: guard.trigger_price(ExitKind::TakeProfit),
        source,
    })
}

/// The code of what is closed because its stop could not be had.
pub(super) const UNPROTECTED: &str = "unprotected";

fn requirement(setup: &Setup, lot: &Lot) -> StopRequirement {
    setup.deployments.get(&lot.deployment).map(|deployment| deployment.stops).unwrap_or_default()
}

/// Someone wants to close the engine, and waits until stops are where they outlive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaving {
    token: Token,
    /// When it is refused, by the monotonic clock.
    until: u64,
}

impl Step<'_> {
    /// Begins to look after an entry leg that has traded: its deadlines run from now on.
    pub(super) fn arm(&mut self, entry: LegRef) {
        let Some(guard) = self.book.guard(entry) else {
            if self.live.armed.remove(&entry) {
                self.live.exits_asked.retain(|(of, _), _| *of != entry);
                self.live.crossed.retain(|(of, _), _| *of != entry);
            }
            return;
        };
        let (wants_stop, limit, since) = (guard.exits.wants_stop(), guard.exits.time_limit, guard.since);
        if !self.live.armed.insert(entry) {
            return;
        }
        if wants_stop {
            self.wake_after(self.setup.timing.protection_deadline, Timer::Protection(entry));
        }
        if let Some(limit) = limit {
            let left = since.after(limit).since(self.now.wall);
            self.wake_after(left, Timer::TimeLimit(entry));
        }
    }

    /// Goes on to look after everything that is held on an account, once it can trade.
    pub(super) fn arm_all(&mut self, account: &AccountId) {
        let entries: Vec<LegRef> = self.book.guards().filter(|(_, guard)| guard.lot.account == *account).map(|(entry, _)| entry).collect();
        for entry in entries {
            self.arm(entry);
            self.tend(entry);
        }
        let orphans: Vec<LegRef> = self
            .book
            .with_exits()
            .filter(|entry| self.book.guard(*entry).is_none())
            .filter(|entry| self.book.exits_of(*entry).any(|(_, leg)| leg.plan.account == *account))
            .collect();
        orphans.into_iter().for_each(|entry| self.tend(entry));
    }

    /// A position whose stop is still not where it must be is closed.
    pub(super) fn check_protection(&mut self, entry: LegRef) {
        let Some(protected) = protected(self.setup, self.book, self.live, entry) else { return };
        if protected.protection != Protection::Pending {
            return;
        }
        let allowed = self.setup.timing.protection_deadline;
        let words = format!("no stop of {} was confirmed within {allowed:?}", protected.lot.instrument);
        self.must_close(protected.lot, Reason::new(UNPROTECTED, words));
    }

    /// A position that has been held for as long as it was meant to be is closed.
    pub(super) fn check_time(&mut self, entry: LegRef) {
        let Some(guard) = self.book.guard(entry) else { return };
        let Some(limit) = guard.exits.time_limit else { return };
        let left = guard.since.after(limit).since(self.now.wall);
        if !left.is_zero() {
            return self.wake_after(left, Timer::TimeLimit(entry));
        }
        let words = format!("held since {}, for {limit:?}", guard.since);
        self.must_close(guard.lot.clone(), Reason::new("time_limit", words));
    }

    /// Someone wants to close the engine: stops that it runs go to the venue where it can hold them; otherwise it is refused.
    pub(super) fn leave(&mut self, leave_unprotected: bool, token: Token) {
        let exposed = self.exposed();
        if leave_unprotected || exposed.is_empty() {
            return self.effect(Effect::Done { token });
        }
        let holdable = |entry: &LegRef| {
            self.book.guard(*entry).is_some_and(|guard| self.can_hold(&guard.venue, &guard.lot.instrument, ExitKind::StopLoss))
        };
        if !exposed.iter().all(holdable) {
            return self.refuse_leave(token, &exposed);
        }
        let allowed = self.setup.timing.protection_deadline;
        let until = self.now.monotonic.saturating_add(u64::try_from(allowed.as_micros()).unwrap_or(u64::MAX));
        self.live.leaving = Some(Leaving { token, until });
        exposed.into_iter().for_each(|entry| self.tend(entry));
        self.wake_after(allowed, Timer::Leave);
    }

    /// Answers whoever wants to close the engine, once no stop depends on it or it has taken too long.
    pub(super) fn check_leaving(&mut self) {
        let Some(leaving) = self.live.leaving else { return };
        let exposed = self.exposed();
        if exposed.is_empty() {
            self.live.leaving = None;
            self.effect(Effect::Done { token: leaving.token });
        } else if self.now.monotonic >= leaving.until {
            self.live.leaving = None;
            self.refuse_leave(leaving.token, &exposed);
        }
    }

    fn refuse_leave(&mut self, token: Token, exposed: &[LegRef]) {
        let lots: Vec<String> = exposed
            .iter()
            .filter_map(|entry| self.book.guard(*entry))
            .map(|guard| {
                let signal = guard.lot.signal.as_ref().map(ToString::to_string).unwrap_or_default();
                format!("{} on {} ({signal})", guard.lot.instrument, guard.lot.account)
            })
            .collect();
        self.effect(Effect::Rejected { token, error: CommandError::Unprotected(lots.join(", ")) });
    }

    /// The entry legs whose stop would be gone with this process.
    fn exposed(&self) -> Vec<LegRef> {
        let here = |entry: &LegRef| {
            protected(self.setup, self.book, self.live, *entry)
                .is_some_and(|protected| !matches!(protected.protection, Protection::None | Protection::Venue))
        };
        self.book.guards().map(|(entry, _)| entry).filter(here).collect()
    }
}
