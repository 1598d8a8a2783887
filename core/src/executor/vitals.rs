//! How well a venue is, in numbers: what its calls and its prices tell over a window of time. Pure: the present comes in.
//!
//! | measure | low | high | critical |
//! |---|---|---|---|
//! | `errors`: calls that failed in the window | half of `errors_high` | `errors_high`, and at least every tenth call | `errors_critical`, and at least every second call |
//! | `latency`: orders answered later than `latency_high` in the window | one | two, and at least every second order | never: what is slow still answers, and what does not answer is an error |
//! | `stale`: time since the latest price, while something is held or on its way there | no price for `stale_high`, but the venue answers: a quiet market looks the same | neither a price nor an answer for `stale_high` | never: of other venues it says nothing |
//! | `unknown`: how long it is not known whether an order took effect | half of `unknown_high` | `unknown_high` | never: one order is one order |
//! | `drift`: entries on an account of the venue are halted | never | its truth and ours differ | the journal is older than the truth: then it is wrong about every venue |
//! | `restart`: what the venue was in when the process ended before | never | degraded | emergency |
//!
//! An alarm is raised at once and lowered late: its measure must have been below it for `cool_down`. Errors are over only once a call has
//! succeeded after the last one that failed, since a venue that is hardly asked any more hardly fails. `drift` ends when a person resumes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::setup::Breakers;
use crate::journal::{BreakerState, Failure};
use crate::model::execution::Reason;
use crate::model::ids::VenueId;
use crate::model::time::{Timestamp, format_duration};
use crate::venue::ErrorKind;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nothing follows.
    Low,
    /// The venue is degraded; two of them anywhere degrade the engine.
    High,
    /// The venue is in emergency, and the engine with it.
    Critical,
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Low => "low",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Calls that failed.
    Errors,
    /// How long orders take to be answered.
    Latency,
    /// How old the latest sign of life is.
    Stale,
    /// Accounts whose truth and ours differ.
    Drift,
    /// Orders of which it is not known whether they took effect.
    Unknown,
    /// What was so before the process ended, until it is measured anew.
    Restart,
}

impl Measure {
    /// Its name, as in the journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Stale => "stale",
            Self::Drift => "drift",
            Self::Unknown => "unknown",
            Self::Restart => "restart",
        }
    }
}

/// One measure that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Whose; the engine's as a whole when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub venue: Option<VenueId>,
    /// What is measured.
    pub measure: Measure,
    /// How bad it is.
    pub severity: Severity,
    /// What was measured last, in words.
    pub value: String,
    /// From where on it is as bad as that, in words.
    pub threshold: String,
    /// Since when it is as bad as that.
    pub since: Timestamp,
}

impl Alarm {
    /// Why a venue is in the state that follows from this alarm.
    pub(super) fn reason(&self) -> Reason {
        Reason::new(self.measure.name(), format!("{} ({} from {})", self.value, self.severity, self.threshold))
    }
}

/// The state of one venue, from its own alarms.
#[must_use]
pub fn venue_state(worst: Option<Severity>) -> BreakerState {
    match worst {
        Some(Severity::Critical) => BreakerState::Emergency,
        Some(Severity::High) => BreakerState::Degraded,
        Some(Severity::Low) | None => BreakerState::Normal,
    }
}

/// The engine's own state, from all alarms of all venues: one critical is an emergency, two high ones degrade. What the engine itself was in
/// before a restart counts for as much as it was.
#[must_use]
pub fn engine_state<'a>(alarms: impl IntoIterator<Item = &'a Alarm>) -> BreakerState {
    let mut high = 0_u32;
    for alarm in alarms {
        match alarm.severity {
            Severity::Critical => return BreakerState::Emergency,
            Severity::High => high += if alarm.venue.is_some() { 1 } else { 2 },
            Severity::Low => {}
        }
    }
    if high >= 2 { BreakerState::Degraded } else { BreakerState::Normal }
}

/// Whether a failed call says that the venue is unwell: not when it properly refused, or knows nothing of what was asked for.
pub(super) fn counts(failure: &Failure) -> bool {
    match failure.kind {
        ErrorKind::RateLimited
        | ErrorKind::Timeout
        | ErrorKind::Connection
        | ErrorKind::Unavailable
        | ErrorKind::Unreadable
        | ErrorKind::Internal => true,
        ErrorKind::InvalidRequest
        | ErrorKind::InsufficientFunds
        | ErrorKind::Unauthorized
        | ErrorKind::NotFound
        | ErrorKind::Expired
        | ErrorKind::Unsupported => false,
    }
}

pub(super) fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

/// Into how many parts a window is cut: what is counted leaves it a part at a time.
const PARTS: u64 = 12;

/// Counts what happened within a window, in the same few bytes however much that is. What it says is of the latest 11 to 12 parts.
#[derive(Debug, Clone, Default)]
struct Tally {
    /// As many as [`PARTS`] says.
    parts: [u32; 12],
    /// The latest part that was counted in, since the clock began.
    latest: u64,
}

impl Tally {
    fn part(now: u64, window: Duration) -> u64 {
        now / (micros(window) / PARTS).max(1)
    }

    fn place(part: u64) -> usize {
        usize::try_from(part % PARTS).unwrap_or(0)
    }

    fn add(&mut self, now: u64, window: Duration) {
        let part = Self::part(now, window).max(self.latest);
        if part - self.latest >= PARTS {
            self.parts = Default::default();
        } else {
            (self.latest + 1..=part).for_each(|gone| self.parts[Self::place(gone)] = 0);
        }
        self.latest = part;
        let count = &mut self.parts[Self::place(part)];
        *count = count.saturating_add(1);
    }

    fn total(&self, now: u64, window: Duration) -> u32 {
        let part = Self::part(now, window).max(self.latest);
        let first = (part + 1).saturating_sub(PARTS);
        (first..=self.latest).fold(0, |sum, part| sum.saturating_add(self.parts[Self::place(part)]))
    }
}

/// How a venue is, as numbers: times in microseconds, `None` where there never was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wellness {
    /// Calls that came back, within the breakers' window.
    pub calls: u32,
    /// Of these, those that failed for a reason of the venue's.
    pub failed: u32,
    /// Since the latest price.
    pub unpriced: Option<u64>,
    /// Since the latest answer.
    pub unanswered: Option<u64>,
}

/// What a measure says at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) severity: Severity,
    pub(super) value: String,
    pub(super) threshold: String,
}

/// An alarm that stands.
#[derive(Debug, Clone)]
struct Standing {
    reading: Reading,
    since: Timestamp,
    /// When its measure was last as bad as that, by the monotonic clock.
    seen_at: u64,
}

/// What is known of one venue's wellness.
#[derive(Debug, Clone, Default)]
pub(super) struct Vitals {
    calls: Tally,
    failed: Tally,
    answers: Tally,
    slow: Tally,
    /// How long the latest slow answer took, in microseconds.
    slowest: u64,
    /// Nothing has succeeded since a call failed.
    failing: bool,
    answered_at: Option<u64>,
    quoted_at: Option<u64>,
    standing: BTreeMap<Measure, Standing>,
}

impl Vitals {
    /// Counts anew, as over a window of another length.
    pub(super) fn forget_counts(&mut self) {
        [&mut self.calls, &mut self.failed, &mut self.answers, &mut self.slow].into_iter().for_each(|tally| *tally = Tally::default());
    }

    /// A price came in.
    pub(super) fn quoted(&mut self, now: u64) {
        self.quoted_at = Some(now);
    }

    /// The venue answered, be it by a refusal.
    pub(super) fn answered(&mut self, window: Duration, now: u64) {
        self.calls.add(now, window);
        self.failing = false;
        self.answered_at = Some(now);
    }

    /// A call failed.
    pub(super) fn failed(&mut self, window: Duration, now: u64) {
        self.calls.add(now, window);
        self.failed.add(now, window);
        self.failing = true;
    }

    /// An order was answered after so many microseconds.
    pub(super) fn took(&mut self, breakers: &Breakers, now: u64, length: u64) {
        self.answers.add(now, breakers.window);
        if length > micros(breakers.latency_high) {
            self.slow.add(now, breakers.window);
            self.slowest = length;
        }
    }

    /// How long there has been no price; `None` while there never was one.
    pub(super) fn unpriced(&self, now: u64) -> Option<u64> {
        self.quoted_at.map(|at| now.saturating_sub(at))
    }

    /// Calls within the window, those of them that failed, and how long ago the latest price and the latest answer came.
    pub(super) fn wellness(&self, breakers: &Breakers, now: u64) -> Wellness {
        Wellness {
            calls: self.calls.total(now, breakers.window),
            failed: self.failed.total(now, breakers.window),
            unpriced: self.unpriced(now),
            unanswered: self.answered_at.map(|at| now.saturating_sub(at)),
        }
    }

    pub(super) fn errors(&self, breakers: &Breakers, now: u64) -> Option<Reading> {
        let (failed, calls) = (self.failed.total(now, breakers.window), self.calls.total(now, breakers.window));
        let at_least = |count: u32, of: u32| failed >= count && failed.saturating_mul(of) >= calls;
        let (severity, threshold) = if at_least(breakers.errors_critical, 2) {
            (Severity::Critical, format!("{} and half of all", breakers.errors_critical))
        } else if at_least(breakers.errors_high, 10) {
            (Severity::High, format!("{} and a tenth of all", breakers.errors_high))
        } else if failed > 0 && failed.saturating_mul(2) >= breakers.errors_high {
            (Severity::Low, format!("{}", breakers.errors_high.div_ceil(2)))
        } else {
            return None;
        };
        let value = format!("{failed} of {calls} calls failed within {}", format_duration(breakers.window));
        Some(Reading { severity, value, threshold })
    }

    pub(super) fn latency(&self, breakers: &Breakers, now: u64) -> Option<Reading> {
        let (slow, answers) = (self.slow.total(now, breakers.window), self.answers.total(now, breakers.window));
        let high = slow >= 2 && slow.saturating_mul(2) >= answers;
        let severity = if high { Severity::High } else { Severity::Low };
        let allowed = format_duration(breakers.latency_high);
        let threshold = if high { format!("2 later than {allowed} and half of all") } else { format!("1 later than {allowed}") };
        let value = format!(
            "{slow} of {answers} orders were answered later than {allowed} within {}, the latest after {}",
            format_duration(breakers.window),
            format_duration(Duration::from_micros(self.slowest))
        );
        (slow > 0).then_some(Reading { severity, value, threshold })
    }

    /// `at_stake` is asked only if there is no fresh price: whether anything is held or on its way there.
    pub(super) fn stale(&self, breakers: &Breakers, now: u64, at_stake: impl FnOnce() -> bool) -> Option<Reading> {
        let unpriced = self.unpriced(now)?;
        let allowed = micros(breakers.stale_high);
        if unpriced < allowed || !at_stake() {
            return None;
        }
        let silent = self.answered_at.is_none_or(|at| now.saturating_sub(at) >= allowed);
        let seconds = unpriced / 1_000_000;
        let (severity, value) = if silent {
            (Severity::High, format!("neither a price nor an answer for {seconds}s"))
        } else {
            (Severity::Low, format!("no price for {seconds}s, though the venue answers"))
        };
        Some(Reading { severity, value, threshold: format_duration(breakers.stale_high) })
    }

    /// Takes over what the venue was in before the process ended.
    pub(super) fn carry_over(&mut self, severity: Severity, state: BreakerState, why: &Reason, since: Timestamp, now: u64) {
        let value = format!("{state} before the restart: {}: {}", why.code, why.reason);
        let reading = Reading { severity, value, threshold: "the restart, until all is well".into() };
        self.standing.insert(Measure::Restart, Standing { reading, since, seen_at: now });
    }

    /// Sets an alarm to what its measure says: up at once, down once it has been below for long enough. Whether its severity changed.
    pub(super) fn weigh(&mut self, measure: Measure, reading: Option<Reading>, now: (Timestamp, u64), breakers: &Breakers) -> bool {
        let (wall, now) = now;
        let below = |standing: &Standing| reading.as_ref().is_none_or(|reading| reading.severity < standing.reading.severity);
        let before = self.standing.get(&measure).map(|standing| standing.reading.severity);
        if let Some(standing) = self.standing.get_mut(&measure).filter(|standing| below(standing)) {
            let no_evidence = match measure {
                Measure::Errors => self.failing,
                Measure::Restart => self.answered_at.is_none() && self.quoted_at.is_none(),
                _ => false,
            };
            if no_evidence {
                standing.seen_at = now;
            }
            // A drift ends when a person says so: there is nothing to wait for.
            let calm = measure == Measure::Drift || now.saturating_sub(standing.seen_at) >= micros(breakers.cool_down);
            if no_evidence || !calm {
                return false;
            }
        }
        match reading {
            None => drop(self.standing.remove(&measure)),
            Some(reading) => {
                let since = self.standing.get(&measure).filter(|standing| standing.reading.severity == reading.severity);
                let since = since.map_or(wall, |standing| standing.since);
                self.standing.insert(measure, Standing { reading, since, seen_at: now });
            }
        }
        before != self.standing.get(&measure).map(|standing| standing.reading.severity)
    }

    pub(super) fn worst(&self) -> Option<Severity> {
        self.standing.values().map(|standing| standing.reading.severity).max()
    }

    /// What stands, the gravest first.
    pub(super) fn alarms(&self, venue: Option<&VenueId>) -> Vec<Alarm> {
        let alarm = |(measure, standing): (&Measure, &Standing)| Alarm {
            venue: venue.cloned(),
            measure: *measure,
            severity: standing.reading.severity,
            value: standing.reading.value.clone(),
            threshold: standing.reading.threshold.clone(),
            since: standing.since,
        };
        let mut all: Vec<Alarm> = self.standing.iter().map(alarm).collect();
        all.sort_by_key(|alarm| std::cmp::Reverse(alarm.severity));
        all
    }
}

#[cfg(test)]
mod tests;
