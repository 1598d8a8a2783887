//! What goes wrong on purpose: a seeded plan, and faults that a test asks for by name. Everything has a bound.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use omnivenue_core::model::ids::{AccountId, ClientOrderId};
use omnivenue_core::model::time::duration_text;
use serde::{Deserialize, Serialize};

use crate::random::Random;
use crate::wire::RequestKind;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The request is refused without being looked at.
    Refuse,
    /// It is done, and answered late.
    Delay,
    /// The connection breaks before it is done.
    CutBefore,
    /// The connection breaks after it is done.
    CutAfter,
    /// The connection breaks; the order is taken later all the same, though never after absence counts as proved.
    LateCommit,
    /// Asking for the order by its id says that there is none; open orders and fills tell the truth.
    FalseNotFound,
    /// A report with trades comes twice on the stream.
    DuplicateFill,
    /// The answer says nothing of the trades, or calls the order open; the stream tells of them late.
    LateFill,
    /// It is done, but no answer ever comes, and what the stream would tell for a while is lost.
    Silence,
    /// One order with a trigger is refused; whatever came with it in the same request is taken all the same.
    RefuseTrigger,
}

impl FaultKind {
    /// Every kind, in the order in which chance is asked.
    pub const ALL: [Self; 10] = [
        Self::Refuse,
        Self::Delay,
        Self::CutBefore,
        Self::CutAfter,
        Self::LateCommit,
        Self::FalseNotFound,
        Self::DuplicateFill,
        Self::LateFill,
        Self::Silence,
        Self::RefuseTrigger,
    ];

    /// Whether it can happen to a request of this kind.
    #[must_use]
    pub const fn applies_to(self, request: RequestKind) -> bool {
        match self {
            Self::LateCommit | Self::LateFill => matches!(request, RequestKind::Place),
            Self::FalseNotFound => matches!(request, RequestKind::Order),
            Self::DuplicateFill => matches!(request, RequestKind::Update),
            Self::RefuseTrigger => matches!(request, RequestKind::Trigger),
            Self::Refuse | Self::Delay | Self::CutBefore | Self::CutAfter | Self::Silence => {
                !matches!(request, RequestKind::Update | RequestKind::Trigger)
            }
        }
    }
}

/// How often each fault happens, in a thousand requests to which it can happen, and how far it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultConfig {
    /// The same seed and the same requests give the same faults.
    pub seed: u64,
    /// [`FaultKind::Refuse`], per mille.
    pub refuse: u16,
    /// [`FaultKind::Delay`], per mille.
    pub delay: u16,
    /// [`FaultKind::CutBefore`], per mille.
    pub cut_before: u16,
    /// [`FaultKind::CutAfter`], per mille.
    pub cut_after: u16,
    /// [`FaultKind::LateCommit`], per mille.
    pub late_commit: u16,
    /// [`FaultKind::FalseNotFound`], per mille.
    pub false_not_found: u16,
    /// [`FaultKind::DuplicateFill`], per mille.
    pub duplicate_fill: u16,
    /// [`FaultKind::LateFill`], per mille.
    pub late_fill: u16,
    /// [`FaultKind::Silence`], per mille.
    pub silence: u16,
    /// [`FaultKind::RefuseTrigger`], per mille of the orders with a trigger.
    pub refuse_trigger: u16,
    /// The longest delay of an answer.
    #[serde(with = "duration_text")]
    pub delay_max: Duration,
    /// The latest that an order is taken after its connection broke.
    #[serde(with = "duration_text")]
    pub late_commit_max: Duration,
    /// How often the exchange may deny one order.
    pub false_not_found_max: u32,
    /// The latest that the stream tells of a trade that the answer did not.
    #[serde(with = "duration_text")]
    pub late_fill_max: Duration,
    /// How long the stream is silent.
    #[serde(with = "duration_text")]
    pub silence_for: Duration,
}

impl Default for FaultConfig {
    /// No fault ever.
    fn default() -> Self {
        Self {
            seed: 0,
            refuse: 0,
            delay: 0,
            cut_before: 0,
            cut_after: 0,
            late_commit: 0,
            false_not_found: 0,
            duplicate_fill: 0,
            late_fill: 0,
            silence: 0,
            refuse_trigger: 0,
            delay_max: Duration::from_secs(2),
            late_commit_max: Duration::from_secs(3),
            false_not_found_max: 3,
            late_fill_max: Duration::from_secs(2),
            silence_for: Duration::from_secs(3),
        }
    }
}

impl FaultConfig {
    /// Every fault equally often, per mille.
    #[must_use]
    pub fn all(seed: u64, per_mille: u16) -> Self {
        Self {
            seed,
            refuse: per_mille,
            delay: per_mille,
            cut_before: per_mille,
            cut_after: per_mille,
            late_commit: per_mille,
            false_not_found: per_mille,
            duplicate_fill: per_mille,
            late_fill: per_mille,
            silence: per_mille,
            refuse_trigger: per_mille,
            ..Self::default()
        }
    }

    const fn per_mille(&self, kind: FaultKind) -> u16 {
        match kind {
            FaultKind::Refuse => self.refuse,
            FaultKind::Delay => self.delay,
            FaultKind::CutBefore => self.cut_before,
            FaultKind::CutAfter => self.cut_after,
            FaultKind::LateCommit => self.late_commit,
            FaultKind::FalseNotFound => self.false_not_found,
            FaultKind::DuplicateFill => self.duplicate_fill,
            FaultKind::LateFill => self.late_fill,
            FaultKind::Silence => self.silence,
            FaultKind::RefuseTrigger => self.refuse_trigger,
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        for kind in FaultKind::ALL {
            let per_mille = self.per_mille(kind);
            if per_mille > 1000 {
                let name = serde_json::to_string(&kind).unwrap_or_default();
                return Err(format!("faults.{} is {per_mille}, but must be at most 1000", name.trim_matches('"')));
            }
        }
        Ok(())
    }
}

/// Faults as they are drawn: those asked for by name first, then chance.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    config: FaultConfig,
    random: Random,
    script: BTreeMap<RequestKind, VecDeque<FaultKind>>,
    denied: BTreeMap<(AccountId, ClientOrderId), u32>,
    counts: BTreeMap<FaultKind, u64>,
}

impl Faults {
    pub(crate) fn new(config: FaultConfig) -> Self {
        Self { random: Random::new(config.seed), config, script: BTreeMap::new(), denied: BTreeMap::new(), counts: BTreeMap::new() }
    }

    pub(crate) const fn config(&self) -> &FaultConfig {
        &self.config
    }

    /// Other probabilities from now on; what was asked for by name and what was counted stays.
    pub(crate) fn set(&mut self, config: FaultConfig) {
        self.random = Random::new(config.seed);
        self.config = config;
    }

    pub(crate) fn script(&mut self, request: RequestKind, fault: FaultKind, count: usize) {
        self.script.entry(request).or_default().extend(std::iter::repeat_n(fault, count));
    }

    /// The fault that happens to the next request of this kind. Chance is asked for every kind, so that one more fault does not
    /// change which others follow.
    pub(crate) fn draw(&mut self, request: RequestKind) -> Option<FaultKind> {
        let mut drawn = None;
        for kind in FaultKind::ALL.into_iter().filter(|kind| kind.applies_to(request)) {
            let hit = self.random.below(1000) < u64::from(self.config.per_mille(kind));
            drawn = drawn.or(hit.then_some(kind));
        }
        self.script.get_mut(&request).and_then(VecDeque::pop_front).or(drawn)
    }

    /// A length of time from 1 µs to `longest`.
    pub(crate) fn some_of(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(1 + self.random.below(u64::try_from(longest.as_micros()).unwrap_or(u64::MAX)))
    }

    pub(crate) const fn coin(&mut self) -> bool {
        self.random.below(2) == 0
    }

    /// Whether the exchange may deny this order once more.
    pub(crate) fn may_deny(&mut self, account: &AccountId, id: &ClientOrderId) -> bool {
        let denied = self.denied.entry((account.clone(), id.clone())).or_default();
        let may = *denied < self.config.false_not_found_max;
        *denied += u32::from(may);
        may
    }

    pub(crate) fn count(&mut self, kind: FaultKind) {
        *self.counts.entry(kind).or_default() += 1;
    }

    pub(crate) const fn counts(&self) -> &BTreeMap<FaultKind, u64> {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_faults() {
        let draws = |seed| {
            let mut faults = Faults::new(FaultConfig::all(seed, 100));
            (0..200).map(|_| faults.draw(RequestKind::Place)).collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        let kinds: std::collections::BTreeSet<_> = draws(3).into_iter().flatten().collect();
        assert_eq!(kinds.len(), 7, "all but those of other requests: {kinds:?}");
    }

    #[test]
    fn faults_asked_for_come_first_and_as_often_as_asked() {
        let mut faults = Faults::new(FaultConfig::default());
        faults.script(RequestKind::Place, FaultKind::CutAfter, 2);
        let drawn: Vec<_> = (0..3).map(|_| faults.draw(RequestKind::Place)).collect();
        assert_eq!(drawn, [Some(FaultKind::CutAfter), Some(FaultKind::CutAfter), None]);
        assert_eq!(faults.draw(RequestKind::Order), None);
    }

    #[test]
    fn triggers_have_chances_of_their_own() {
        let draws = |refuse_trigger| {
            let mut faults = Faults::new(FaultConfig { refuse_trigger, ..FaultConfig::all(3, 100) });
            (0..100).map(|_| faults.draw(RequestKind::Place)).collect::<Vec<_>>()
        };
        assert_eq!(draws(0), draws(1000), "a request without triggers is not touched");
        let mut faults = Faults::new(FaultConfig { refuse_trigger: 1000, ..FaultConfig::default() });
        assert_eq!(faults.draw(RequestKind::Trigger), Some(FaultKind::RefuseTrigger));
        assert_eq!(faults.draw(RequestKind::Place), None);
    }

    #[test]
    fn denial_is_bounded() {
        let mut faults = Faults::new(FaultConfig { false_not_found_max: 2, ..FaultConfig::default() });
        let (account, id) = ("a".parse().unwrap(), "x".parse().unwrap());
        let denials: Vec<_> = (0..4).map(|_| faults.may_deny(&account, &id)).collect();
        assert_eq!(denials, [true, true, false, false]);
    }
}
