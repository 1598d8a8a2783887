//! What goes wrong on purpose: by chance from a seed, and by script. Everything is counted and has a bound.

use std::collections::BTreeMap;
use std::time::Duration;

use omnivenue_core::model::time::duration_text;
use omnivenue_paper::Random;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::protocol::{Class, Group};

/// A kind of fault. The first nine happen to requests, the last is the venue's own, the others happen to frames of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Done in time, answered late.
    Delay,
    /// The socket is closed; nothing was done.
    CutBefore,
    /// Done; the socket is closed without an answer.
    CutAfter,
    /// Done; the answer is HTTP 502.
    ErrorAfter,
    /// Not done; the answer is HTTP 503.
    ErrorBefore,
    /// The socket is closed now and the request is done later, under the rules of that later time.
    LateCommit,
    /// An order that exists is denied.
    FalseNotFound,
    /// Not done; the answer is HTTP 429.
    RateLimit,
    /// Done; no answer ever comes.
    Silence,
    /// The frame comes twice.
    Duplicate,
    /// The frame comes after the next one.
    Reorder,
    /// The frame is missing.
    Drop,
    /// From now on the connection carries no data; pings are answered.
    SilentStream,
    /// The connection is closed instead.
    CutStream,
    /// Orders that are to wait for a trigger are refused, in the venue's own words; the others of the same request are taken. Whatever
    /// happens to the connection can happen as well.
    RefuseTriggers,
}

impl FaultKind {
    /// Whether it can happen to a request or frame of this class.
    fn applies_to(self, class: &Class) -> bool {
        let stream = matches!(self, Self::Duplicate | Self::Reorder | Self::Drop | Self::SilentStream | Self::CutStream);
        match self {
            Self::FalseNotFound => class.kind == "orderStatus",
            Self::LateCommit => class.group == Group::Action,
            Self::RefuseTriggers => class.triggers,
            _ => stream == (class.group == Group::Stream),
        }
    }

    /// Whether the venue itself does it, whatever happens to the connection.
    const fn is_inside(self) -> bool {
        matches!(self, Self::RefuseTriggers)
    }
}

/// The kind that every request and every frame fits.
fn any() -> String {
    "*".into()
}

/// A fault that happens by chance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chance {
    /// What happens.
    pub fault: FaultKind,
    /// A kind in the venue's own word (`order`, `orderStatus`, `userFills`), a group (`action`, `info`, `stream`), or `*`.
    #[serde(default = "any")]
    pub kind: String,
    /// Only to this account, by the venue's name of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// How often, in a thousand.
    pub per_mille: u16,
}

/// A fault that happens to the next requests or frames that it fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scripted {
    /// What happens.
    pub fault: FaultKind,
    /// As in [`Chance::kind`].
    #[serde(default = "any")]
    pub kind: String,
    /// Only to this account, by the venue's name of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// To how many.
    #[serde(default = "one")]
    pub count: u32,
}

const fn one() -> u32 {
    1
}

/// Which faults happen at a venue, and how far they go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultPlan {
    /// The same seed and the same requests give the same faults.
    pub seed: u64,
    /// By chance.
    pub chances: Vec<Chance>,
    /// By script, first come first served; it goes before chance.
    pub script: Vec<Scripted>,
    /// The longest delay of an answer.
    #[serde(with = "duration_text")]
    pub delay_max: Duration,
    /// The latest that a request is done after its socket was cut.
    #[serde(with = "duration_text")]
    pub late_commit_max: Duration,
    /// How often one order may be denied.
    pub false_not_found_max: u32,
    /// How long a frame is held back at most when no other follows it.
    #[serde(with = "duration_text")]
    pub reorder_max: Duration,
}

impl Default for FaultPlan {
    /// No fault ever.
    fn default() -> Self {
        Self {
            seed: 0,
            chances: Vec::new(),
            script: Vec::new(),
            delay_max: Duration::from_secs(2),
            late_commit_max: Duration::from_secs(3),
            false_not_found_max: 3,
            reorder_max: Duration::from_secs(1),
        }
    }
}

/// How many entries a plan may have.
const ENTRIES_MAX: usize = 1000;

/// No delay of any kind is longer.
const DELAY_MAX: Duration = Duration::from_secs(600);

impl FaultPlan {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.chances.len() > ENTRIES_MAX || self.script.len() > ENTRIES_MAX {
            return Err(format!("faults: chances and script may have at most {ENTRIES_MAX} entries each"));
        }
        if let Some(chance) = self.chances.iter().find(|chance| chance.per_mille > 1000) {
            return Err(format!("faults: per_mille is {}, but must be at most 1000", chance.per_mille));
        }
        for (field, length) in [("delay_max", self.delay_max), ("late_commit_max", self.late_commit_max), ("reorder_max", self.reorder_max)]
        {
            if length > DELAY_MAX {
                return Err(format!("faults: {field} is {}s, but must be at most {}s", length.as_secs(), DELAY_MAX.as_secs()));
            }
        }
        Ok(())
    }
}

fn fits(kind: &str, account: Option<&str>, class: &Class) -> bool {
    let group = match class.group {
        Group::Action => "action",
        Group::Info => "info",
        Group::Stream => "stream",
    };
    let mine = account.is_none_or(|wanted| class.account.as_ref().is_some_and(|account| account.eq_ignore_ascii_case(wanted)));
    (kind == "*" || kind == group || kind == class.kind) && mine
}

/// Faults as they are drawn.
#[derive(Debug)]
pub(crate) struct Faults {
    plan: FaultPlan,
    random: Random,
    counts: BTreeMap<(FaultKind, String), u64>,
}

/// How many different kinds of requests are counted.
const KINDS_MAX: usize = 1000;

impl Faults {
    pub(crate) const fn new(plan: FaultPlan) -> Self {
        let random = Random::new(plan.seed);
        Self { plan, random, counts: BTreeMap::new() }
    }

    /// Another plan from now on; what was counted stays.
    pub(crate) fn set(&mut self, plan: FaultPlan) {
        self.random = Random::new(plan.seed);
        self.plan = plan;
    }

    pub(crate) const fn plan(&self) -> &FaultPlan {
        &self.plan
    }

    /// The fault that happens to this request or frame on its way, counted.
    pub(crate) fn draw(&mut self, class: &Class) -> Option<FaultKind> {
        self.drawn(class, false)
    }

    /// Whether the orders of this request that wait for a trigger are refused, counted.
    pub(crate) fn draw_refusal(&mut self, class: &Class) -> bool {
        self.drawn(class, true).is_some()
    }

    /// Whether that is planned for any request.
    pub(crate) fn may_refuse_triggers(&self) -> bool {
        self.plan.chances.iter().any(|chance| chance.fault.is_inside()) || self.plan.script.iter().any(|entry| entry.fault.is_inside())
    }

    /// Every chance is drawn, so that one does not change which others follow.
    fn drawn(&mut self, class: &Class, inside: bool) -> Option<FaultKind> {
        let fits = |fault: FaultKind, kind: &str, account: Option<&str>| {
            fault.is_inside() == inside && fault.applies_to(class) && fits(kind, account, class)
        };
        let mut drawn = None;
        for chance in &self.plan.chances {
            if fits(chance.fault, &chance.kind, chance.account.as_deref()) {
                let hit = self.random.below(1000) < u64::from(chance.per_mille);
                drawn = drawn.or(hit.then_some(chance.fault));
            }
        }
        let next = self.plan.script.iter_mut().find(|entry| entry.count > 0 && fits(entry.fault, &entry.kind, entry.account.as_deref()));
        if let Some(entry) = next {
            entry.count -= 1;
            drawn = Some(entry.fault);
        }
        self.plan.script.retain(|entry| entry.count > 0);
        let drawn = drawn?;
        if self.counts.len() < KINDS_MAX || self.counts.contains_key(&(drawn, class.kind.clone())) {
            *self.counts.entry((drawn, class.kind.clone())).or_default() += 1;
        }
        Some(drawn)
    }

    /// A length of time from half of `longest` to all of it.
    pub(crate) fn some_of(&mut self, longest: Duration) -> Duration {
        let half = u64::try_from(longest.as_micros() / 2).unwrap_or(u64::MAX);
        Duration::from_micros(half + self.random.below(half + 1))
    }

    /// How often each fault happened, to what.
    pub(crate) fn counts(&self) -> Value {
        let entry = |((fault, kind), count): (&(FaultKind, String), &u64)| json!({"fault": fault, "kind": kind, "count": count});
        self.counts.iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(kind: &str, group: Group, account: Option<&str>) -> Class {
        Class { kind: kind.into(), group, account: account.map(Into::into), triggers: false }
    }

    fn plan(text: &str) -> FaultPlan {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_seed_gives_the_same_faults() {
        let draws = |seed: u64| {
            let mut faults = Faults::new(FaultPlan {
                seed,
                ..plan(r#"{"chances":[{"fault":"cut_after","kind":"order","per_mille":300},{"fault":"delay","per_mille":300}]}"#)
            });
            (0..200).map(|_| faults.draw(&class("order", Group::Action, None))).collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        assert!(draws(1).contains(&Some(FaultKind::Delay)) && draws(1).contains(&Some(FaultKind::CutAfter)) && draws(1).contains(&None));
    }

    #[test]
    fn a_script_goes_first_and_as_often_as_asked() {
        let mut faults = Faults::new(plan(
            r#"{"script":[{"fault":"silence","kind":"order","count":2},{"fault":"drop","kind":"stream"},{"fault":"cut_before","account":"0xA"}]}"#,
        ));
        let mut draw = |kind, group, account| faults.draw(&class(kind, group, account));
        assert_eq!(draw("cancel", Group::Action, None), None);
        assert_eq!(draw("order", Group::Action, None), Some(FaultKind::Silence));
        assert_eq!(draw("userFills", Group::Stream, None), Some(FaultKind::Drop));
        assert_eq!(draw("userFills", Group::Stream, None), None);
        assert_eq!(draw("order", Group::Action, Some("0xa")), Some(FaultKind::Silence));
        assert_eq!(draw("order", Group::Action, Some("0xb")), None);
        assert_eq!(draw("order", Group::Action, Some("0xa")), Some(FaultKind::CutBefore));
        assert_eq!(faults.counts()[0], json!({"fault": "cut_before", "kind": "order", "count": 1}));
        assert!(faults.plan().script.is_empty());
    }

    #[test]
    fn faults_happen_only_to_what_they_can_happen_to() {
        let always = |fault: &str| plan(&format!(r#"{{"chances":[{{"fault":"{fault}","per_mille":1000}}]}}"#));
        let check = |fault: &str, class: Class, happens: bool| {
            assert_eq!(Faults::new(always(fault)).draw(&class).is_some(), happens, "{fault} {class:?}");
        };
        check("false_not_found", class("orderStatus", Group::Info, None), true);
        check("false_not_found", class("openOrders", Group::Info, None), false);
        check("late_commit", class("meta", Group::Info, None), false);
        check("duplicate", class("order", Group::Action, None), false);
        check("cut_after", class("userFills", Group::Stream, None), false);
        check("refuse_triggers", Class { triggers: true, ..class("order", Group::Action, None) }, false);
    }

    #[test]
    fn refused_triggers_and_a_lost_answer_can_meet() {
        let both = r#"{"script":[{"fault":"refuse_triggers"},{"fault":"cut_after","kind":"order"}],"chances":[{"fault":"refuse_triggers","per_mille":0}]}"#;
        let mut faults = Faults::new(plan(both));
        let plain = class("order", Group::Action, None);
        let with_stop = Class { triggers: true, ..plain.clone() };
        assert!(faults.may_refuse_triggers() && !faults.draw_refusal(&plain));
        assert_eq!((faults.draw(&with_stop), faults.draw_refusal(&with_stop)), (Some(FaultKind::CutAfter), true));
        assert_eq!((faults.draw(&with_stop), faults.draw_refusal(&with_stop)), (None, false));
        assert_eq!(faults.counts()[1], json!({"fault": "refuse_triggers", "kind": "order", "count": 1}));
        assert!(!Faults::new(plan("{}")).may_refuse_triggers());
    }

    #[test]
    fn plans_have_bounds() {
        assert!(plan(r#"{"chances":[{"fault":"delay","per_mille":1001}]}"#).check().unwrap_err().contains("at most 1000"));
        assert!(plan(r#"{"delay_max":"2h"}"#).check().unwrap_err().contains("delay_max"));
        assert!(serde_json::from_str::<FaultPlan>(r#"{"chance":[]}"#).is_err());
    }
}
