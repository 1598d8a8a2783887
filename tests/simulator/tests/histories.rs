//! Histories that run with every build: every point at which the process can die, and a slice of the seeds.

use omnivenue_simulator::{Coverage, FaultKind, RequestKind, Rule, Scenario, run};

/// Dies once at every opportunity of the small story: at every journal write and around every call to a venue.
fn die_everywhere(rule: Rule, fault: Option<(RequestKind, FaultKind, usize)>, total: &mut Coverage) {
    let scenario = Scenario::small(rule, fault);
    let spared = run(1, &scenario, false);
    assert_eq!(spared.violations, [], "{rule:?} {fault:?}, never dying");
    assert!(spared.opportunities > 40, "the story must have places to die in");
    // Opportunities after the last action repeat themselves: the periodic comparisons.
    for place in 1..=spared.opportunities.min(120) {
        let scenario = Scenario { crashes: vec![place], ..scenario.clone() };
        let history = run(1, &scenario, false);
        assert_eq!(history.violations, [], "{rule:?} {fault:?}, dying at opportunity {place}");
        total.merge(&history.coverage);
    }
}

/// The same of the story in which a signal goes where it is best and another one is split.
#[test]
fn dying_anywhere_sends_no_leg_to_two_places() {
    let mut total = Coverage::default();
    for rule in Rule::ALL {
        for fault in [None, Some(FaultKind::CutAfter), Some(FaultKind::Refuse)] {
            let scenario = Scenario::routed(rule, fault.map(|fault| (RequestKind::Place, fault, 1)));
            let spared = run(1, &scenario, false);
            assert_eq!(spared.violations, [], "{rule:?} {fault:?}, never dying");
            for place in 1..=spared.opportunities.min(60) {
                let scenario = Scenario { crashes: vec![place], ..scenario.clone() };
                let history = run(1, &scenario, false);
                assert_eq!(history.violations, [], "{rule:?} {fault:?}, dying at opportunity {place}");
                total.merge(&history.coverage);
            }
        }
    }
    for what in ["legs sent where it is best", "legs of a split", "legs sized by equity_fraction"] {
        assert!(total.counts.get(what).is_some_and(|count| *count > 300), "{what}: {total:?}");
    }
    assert!(died(&total) > 600, "{total:?}");
}

fn died(total: &Coverage) -> u64 {
    total.counts.iter().filter(|(what, _)| what.starts_with("died")).map(|(_, count)| count).sum()
}

#[test]
fn dying_anywhere_doubles_and_loses_nothing() {
    let mut total = Coverage::default();
    for rule in Rule::ALL {
        die_everywhere(rule, None, &mut total);
    }
    for place in ["before a journal write", "after a journal write", "before a call", "after a call", "before an answer is taken in"] {
        assert!(total.counts.contains_key(&format!("died {place}")), "no history died {place}");
    }
    assert!(died(&total) > 600, "{total:?}");
}

#[test]
fn dying_anywhere_under_every_fault_doubles_and_loses_nothing() {
    let mut total = Coverage::default();
    for rule in Rule::ALL {
        for fault in FaultKind::ALL {
            let request = match fault {
                FaultKind::FalseNotFound => RequestKind::Order,
                FaultKind::DuplicateFill => RequestKind::Update,
                FaultKind::RefuseTrigger => RequestKind::Trigger,
                _ => RequestKind::Place,
            };
            die_everywhere(rule, Some((request, fault, 1)), &mut total);
        }
    }
    assert!(died(&total) > 5_000, "{total:?}");
    // Nobody asks for an order by its name there, and no order waits for a trigger.
    let elsewhere = [FaultKind::FalseNotFound, FaultKind::RefuseTrigger];
    for fault in FaultKind::ALL.into_iter().filter(|fault| !elsewhere.contains(fault)) {
        assert!(total.counts.contains_key(&format!("fault {fault:?}")), "{fault:?} never happened");
    }
}

#[test]
fn seeds_hold() {
    let mut total = Coverage::default();
    for seed in 0..2_000 {
        let history = run(seed, &Scenario::of(seed), false);
        assert_eq!(history.violations, [], "seed {seed}: hear its story with `cargo run -p omnivenue-simulator -- --seed {seed}`");
        total.merge(&history.coverage);
    }
    // Silence is no proof: the seeds must have met what they are there for.
    for what in [
        "event became_unknown",
        "event proved_absent",
        "event resolved",
        "event superseded",
        "event approved",
        "event leg_decided",
        "event killed",
        "event breaker_changed",
        "legs that stood in on paper",
        "legs sent where it is best",
        "legs of a split",
        "legs sized by equity_fraction",
        "legs sized by risk_fraction",
        "journal writes failed",
        "emergency orders recognized",
        "orders canceled",
    ] {
        assert!(total.counts.contains_key(what), "no seed met: {what}");
    }
}

#[test]
fn one_seed_gives_the_same_bytes() {
    for seed in 0..50 {
        let scenario = Scenario::of(seed);
        assert_eq!(run(seed, &scenario, false).journal, run(seed, &scenario, false).journal, "seed {seed}");
    }
}
