//! Losses as they stand: weighed before anything is decided, and at most once a second while prices and trades come in.
//!
//! Weighing is one pass over what is held and booked (see [`super::worth`]); a price costs O(1) beside that. What a limit demands once it
//! is broken is done here at once, and from then on wherever the kill switch is enforced.

use std::collections::BTreeMap;

use super::losses::{LossBound, LossLimits};
use super::step::{State, Step, Timer};
use super::worth::{self, Worth};
use crate::journal::{Baseline, Event, KillMode, KillScope, LimitBroken, LossKind, LossScope, OnBreach};
use crate::model::execution::Reason;
use crate::model::ids::{AgentId, VenueId, VenueSymbol};
use crate::model::number::{Amount, exact};
use crate::model::time::Timestamp;

/// The code of what a limit on losses has closed.
pub(super) const LOSS: &str = "loss_limit";

/// How long after it was weighed the next weighing follows by itself, in microseconds.
const WEIGHED_FOR: u64 = 1_000_000;

/// A peak is written down once it has risen by this part of what may be lost from it: a restart forgets no more than that.
const PEAK_STEPS: u32 = 100;

/// How one limit stands, in the currency of the limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LossLevel {
    /// How much is lost; negative when something is gained.
    pub loss: Amount,
    /// How much may be.
    pub allowed: Amount,
}

/// How a scope's losses stood when they were last weighed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LossStanding {
    /// Its limits, as far as they could be weighed.
    pub levels: BTreeMap<LossKind, LossLevel>,
    /// Why the loss is not known, if it is not: nothing is entered then.
    pub unknown: Option<String>,
}

/// How every scope with a limit stood when it was last weighed.
pub type LossStandings = BTreeMap<LossScope, LossStanding>;

/// What this process knows of losses beside the journal.
#[derive(Debug, Default)]
pub(super) struct Scales {
    pub(super) standings: LossStandings,
    /// The best results, which the journal has in steps.
    peaks: BTreeMap<LossScope, Amount>,
    /// When it was last weighed, by the monotonic clock.
    weighed_at: Option<u64>,
    /// Something has changed since.
    stale: bool,
    /// A timer runs.
    ticking: bool,
}

impl State {
    /// How losses stood when they were last weighed, by scope.
    #[must_use]
    pub fn losses(&self) -> &LossStandings {
        &self.live.scales.standings
    }
}

/// The UTC day of an instant, counted from 1970-01-01.
fn day_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(86_400_000_000)
}

impl Step<'_> {
    /// A price came in.
    pub(super) fn price_weighs(&mut self, venue: &VenueId, symbol: &VenueSymbol) {
        self.watch_peg(venue, symbol);
        if !self.setup.losses.is_empty() {
            self.live.scales.stale = true;
        }
    }

    /// Something was decided or became known.
    pub(super) fn event_weighs(&mut self, event: &Event) {
        let weighs = matches!(
            event,
            Event::Started { .. }
                | Event::Reported { .. }
                | Event::Resolved { .. }
                | Event::Adjusted(_)
                | Event::Funded { .. }
                | Event::External { .. }
        );
        self.live.scales.stale |= weighs && !self.setup.losses.is_empty();
    }

    /// The step is about to end: weighs what has changed, now or when its time has come.
    pub(super) fn keep_weighing(&mut self) {
        let scales = &self.live.scales;
        if !scales.stale || scales.ticking || self.live.accounts.is_empty() {
            return;
        }
        let age = scales.weighed_at.map_or(u64::MAX, |at| self.now.monotonic.saturating_sub(at));
        if age >= WEIGHED_FOR {
            return self.weigh_losses();
        }
        self.live.scales.ticking = true;
        self.wake_after(std::time::Duration::from_micros(WEIGHED_FOR - age), Timer::Losses);
    }

    /// The time has come to weigh what has changed.
    pub(super) fn weigh_in_time(&mut self) {
        self.live.scales.ticking = false;
        if self.live.scales.stale {
            self.weigh_losses();
        }
    }

    /// Weighs all losses, begins the day where it is a new one, and does what broken limits demand. Asked before anything is decided.
    pub(super) fn weigh_losses(&mut self) {
        if self.live.accounts.is_empty() {
            // The journal is not open yet.
            return;
        }
        self.lift_what_is_not_limited();
        if self.setup.losses.is_empty() {
            return;
        }
        (self.live.scales.weighed_at, self.live.scales.stale) = (Some(self.now.monotonic), false);
        let worths = worth::of_all(self.setup, self.book, &self.live.marks);
        let setup = self.setup;
        let mut broken = Vec::new();
        for ((scope, limits), worth) in setup.losses.iter().filter_map(|(scope, limits)| Some(((scope, limits), worths.get(scope)?))) {
            let standing = self.weigh_scope(scope, limits, worth);
            broken.extend(self.newly_broken(scope, limits, &standing, worth));
            self.live.scales.standings.insert(scope.clone(), standing);
        }
        let flattens = broken.iter().any(|one| one.action == OnBreach::Flatten);
        for one in broken {
            self.emit(Event::LimitBroken(one.clone()));
            if one.action == OnBreach::StopAgent {
                self.stop_agents(&one);
            }
        }
        if flattens {
            self.enforce(None);
        }
    }

    fn weigh_scope(&mut self, scope: &LossScope, limits: &LossLimits, worth: &Worth) -> LossStanding {
        let mut standing = LossStanding::default();
        let result = match (&worth.result, &worth.funds) {
            (Ok(result), Ok(_)) => *result,
            (Err(words), _) | (_, Err(words)) => {
                standing.unknown = Some(words.clone());
                return standing;
            }
        };
        for (kind, bound) in limits.bounds() {
            let from = match kind {
                LossKind::DailyLoss => self.begin_day(scope, result),
                LossKind::Drawdown => self.best(scope, bound, result, worth),
            };
            match level(bound, worth, from, result) {
                Some(level) => drop(standing.levels.insert(kind, level)),
                None => standing.unknown = Some("the loss has more digits than can be kept exactly".into()),
            }
        }
        standing
    }

    /// From where today's loss counts. A clock that was set back changes nothing: the day only ever moves on.
    fn begin_day(&mut self, scope: &LossScope, result: Amount) -> Amount {
        let day = day_of(self.now.wall);
        let known = self.book.loss(scope).and_then(|record| record.baseline.as_ref());
        if let Some(known) = known.filter(|known| known.day >= day) {
            return known.result;
        }
        self.emit(Event::LossBaseline(Baseline { scope: scope.clone(), day, result, at: self.now.wall }));
        result
    }

    /// The best result so far, this one included.
    fn best(&mut self, scope: &LossScope, bound: LossBound, result: Amount, worth: &Worth) -> Amount {
        let known = self.book.loss(scope).and_then(|record| record.peak);
        let peaks = &mut self.live.scales.peaks;
        let best = match known {
            Some(known) => peaks.get(scope).copied().map_or(known, |peak| peak.max(known)).max(result),
            // Never taken, or a person has resumed: what was before does not count.
            None => result,
        };
        peaks.insert(scope.clone(), best);
        let worth_telling = |known: Amount| {
            let risen = best.minus(known).ok()?;
            let parts = exact::mul(risen.decimal(), rust_decimal::Decimal::from(PEAK_STEPS))?;
            let allowed = level(bound, worth, best, best)?.allowed;
            Some(!risen.is_zero() && parts >= allowed.decimal())
        };
        if known.is_none_or(|known| worth_telling(known).unwrap_or(true)) && known != Some(best) {
            self.emit(Event::LossPeak { scope: scope.clone(), result: best, at: self.now.wall });
        }
        best
    }

    fn newly_broken(&self, scope: &LossScope, limits: &LossLimits, standing: &LossStanding, worth: &Worth) -> Vec<LimitBroken> {
        let stands = |kind: &LossKind| self.book.loss(scope).is_some_and(|record| record.broken.contains_key(kind));
        let broken = |(kind, level): (&LossKind, &LossLevel)| {
            let result = *worth.result.as_ref().ok()?;
            let from = result.plus(level.loss).ok()?;
            let (scope, action, at) = (scope.clone(), limits.on_breach, self.now.wall);
            Some(LimitBroken { scope, kind: *kind, loss: level.loss, allowed: level.allowed, from, result, action, at })
        };
        standing.levels.iter().filter(|(kind, level)| level.loss > level.allowed && !stands(kind)).filter_map(broken).collect()
    }

    /// Throws the kill switch for the agents that a broken limit concerns; what is thrown already stays as it is.
    fn stop_agents(&mut self, broken: &LimitBroken) {
        let agents = |concerns: &dyn Fn(&super::setup::DeploymentSetup) -> bool| -> Vec<KillScope> {
            let mut agents: Vec<AgentId> =
                self.setup.deployments.values().filter(|setup| concerns(setup)).map(|setup| setup.agent.clone()).collect();
            agents.sort();
            agents.dedup();
            agents.into_iter().map(KillScope::Agent).collect()
        };
        let scopes = match &broken.scope {
            LossScope::Global => vec![KillScope::All],
            LossScope::Agent(agent) => vec![KillScope::Agent(agent.clone())],
            LossScope::Account(account) => agents(&|setup| setup.accounts.iter().any(|share| share.account == *account)),
            LossScope::Deployment(deployment) => {
                self.book.owner_of(self.setup, deployment).cloned().map(KillScope::Agent).into_iter().collect()
            }
        };
        for scope in scopes.into_iter().filter(|scope| self.book.kill(scope).is_none()).collect::<Vec<_>>() {
            let reason = format!("{}: {}", broken.kind.code(), broken.words());
            self.emit(Event::Killed { scope, mode: KillMode::Pause, reason, at: self.now.wall });
        }
    }

    /// What the configuration does not limit or watch any more is not held up by it.
    fn lift_what_is_not_limited(&mut self) {
        if self.book.broken_limits().next().is_none() && self.book.depegged().next().is_none() {
            return;
        }
        let limited = |broken: &&LimitBroken| {
            let limits = self.setup.losses.get(&broken.scope);
            limits.is_some_and(|limits| limits.bounds().any(|(kind, _)| kind == broken.kind))
        };
        let gone: Vec<(LossScope, LossKind)> =
            self.book.broken_limits().filter(|broken| !limited(broken)).map(|broken| (broken.scope.clone(), broken.kind)).collect();
        for (scope, kind) in gone {
            let why = Reason::new("not_configured", format!("{} of {scope} is not in the configuration any more", kind.code()));
            self.emit(Event::LimitLifted { scope, kind, why });
        }
        self.repeg();
    }
}

/// How much is lost between two results, and how much may be.
fn level(bound: LossBound, worth: &Worth, from: Amount, result: Amount) -> Option<LossLevel> {
    let base = worth.funds.as_ref().ok()?.plus(from).ok()?;
    Some(LossLevel { loss: from.minus(result).ok()?, allowed: bound.of(base)? })
}
