use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000;

fn breakers() -> Breakers {
    Breakers::default()
}

/// A venue of which so many calls failed and so many did not, in this second.
fn venue(failed: u32, well: u32, at: u64) -> Vitals {
    let mut vitals = Vitals::default();
    let window = breakers().window;
    (0..well).for_each(|_| vitals.answered(window, at));
    (0..failed).for_each(|_| vitals.failed(window, at));
    vitals
}

#[test]
fn errors_are_as_bad_as_the_table_says() {
    let check = |failed, well, expected: Option<Severity>| {
        let reading = venue(failed, well, SECOND).errors(&breakers(), SECOND);
        assert_eq!(reading.map(|reading| reading.severity), expected, "{failed} of {}", failed + well);
    };
    check(0, 1_000, None);
    check(2, 0, None);
    check(3, 1_000, Some(Severity::Low));
    check(5, 0, Some(Severity::High));
    check(5, 45, Some(Severity::High));
    // A busy day has failures too.
    check(5, 46, Some(Severity::Low));
    check(30, 30, Some(Severity::Critical));
    check(30, 31, Some(Severity::High));
}

#[test]
fn a_slow_venue_is_never_critical() {
    let check = |slow: u32, quick: u32, expected: Option<Severity>| {
        let mut vitals = Vitals::default();
        (0..quick).for_each(|_| vitals.took(&breakers(), SECOND, SECOND / 10));
        (0..slow).for_each(|_| vitals.took(&breakers(), SECOND, 9 * SECOND));
        assert_eq!(vitals.latency(&breakers(), SECOND).map(|reading| reading.severity), expected, "{slow} slow, {quick} quick");
    };
    check(0, 10, None);
    check(1, 0, Some(Severity::Low));
    check(2, 2, Some(Severity::High));
    check(2, 3, Some(Severity::Low));
    check(100_000, 0, Some(Severity::High));
}

#[test]
fn a_quiet_market_is_not_a_dead_venue() {
    let (late, breakers) = (200 * SECOND, breakers());
    let severity = |vitals: &Vitals, at_stake| vitals.stale(&breakers, late, || at_stake).map(|reading| reading.severity);
    let mut vitals = Vitals::default();
    vitals.answered(breakers.window, SECOND);
    assert_eq!(severity(&vitals, true), None, "a venue without prices has none that could be old");
    vitals.quoted(SECOND);
    assert_eq!(severity(&vitals, true), Some(Severity::High));
    assert_eq!(severity(&vitals, false), None, "nothing is at stake there");
    vitals.answered(breakers.window, 190 * SECOND);
    assert_eq!(severity(&vitals, true), Some(Severity::Low), "it answers: perhaps nothing changes");
    vitals.quoted(190 * SECOND);
    assert_eq!(severity(&vitals, true), None);
}

#[test]
fn an_alarm_is_raised_at_once_and_lowered_once_it_was_calm_for_long_enough() {
    let breakers = breakers();
    let reading = |severity| Some(Reading { severity, value: String::new(), threshold: String::new() });
    let mut vitals = Vitals::default();
    let mut weigh = |measure, severity: Option<Severity>, second: u64| {
        let now = (Timestamp::from_millis(i64::try_from(second).unwrap() * 1000), second * SECOND);
        vitals.weigh(measure, severity.and_then(reading), now, &breakers);
        vitals.standing.get(&measure).map(|standing| standing.reading.severity)
    };
    assert_eq!(weigh(Measure::Stale, Some(Severity::High), 10), Some(Severity::High));
    assert_eq!(weigh(Measure::Stale, None, 20), Some(Severity::High));
    assert_eq!(weigh(Measure::Stale, Some(Severity::High), 30), Some(Severity::High), "once more: the calm begins anew");
    assert_eq!(weigh(Measure::Stale, Some(Severity::Low), 59), Some(Severity::High));
    assert_eq!(weigh(Measure::Stale, Some(Severity::Low), 60), Some(Severity::Low), "down to what it is, in one go");
    assert_eq!(weigh(Measure::Drift, Some(Severity::High), 60), Some(Severity::High));
    assert_eq!(weigh(Measure::Drift, None, 61), None, "a person has looked at it: there is nothing to wait for");
}

#[test]
fn silence_is_no_recovery() {
    let breakers = breakers();
    let mut vitals = venue(5, 0, SECOND);
    let look = |vitals: &mut Vitals, second: u64| {
        let reading = vitals.errors(&breakers, second * SECOND);
        vitals.weigh(Measure::Errors, reading, (Timestamp::EPOCH, second * SECOND), &breakers);
        vitals.worst()
    };
    assert_eq!(look(&mut vitals, 1), Some(Severity::High));
    for second in [70, 700, 7_000] {
        assert_eq!(look(&mut vitals, second), Some(Severity::High), "nobody has heard of it since");
    }
    vitals.answered(breakers.window, 7_001 * SECOND);
    assert_eq!(look(&mut vitals, 7_029), Some(Severity::High));
    assert_eq!(look(&mut vitals, 7_030), None);
}

#[test]
fn what_the_venue_properly_refuses_is_no_failure() {
    let failure = |kind| Failure { kind, effect: crate::venue::Effect::Refused, code: None, message: String::new() };
    for kind in [ErrorKind::InsufficientFunds, ErrorKind::InvalidRequest, ErrorKind::NotFound, ErrorKind::Expired] {
        assert!(!counts(&failure(kind)), "{kind:?}");
    }
    for kind in [ErrorKind::Timeout, ErrorKind::Unavailable, ErrorKind::RateLimited, ErrorKind::Unreadable, ErrorKind::Connection] {
        assert!(counts(&failure(kind)), "{kind:?}");
    }
}

#[test]
fn the_engines_state_is_what_the_table_says() {
    let alarm = |venue: Option<&str>, severity| Alarm {
        venue: venue.map(|venue| venue.parse().unwrap()),
        measure: Measure::Errors,
        severity,
        value: String::new(),
        threshold: String::new(),
        since: Timestamp::EPOCH,
    };
    let check = |alarms: &[(Option<&str>, Severity)], expected| {
        let alarms: Vec<Alarm> = alarms.iter().map(|(venue, severity)| alarm(*venue, *severity)).collect();
        assert_eq!(engine_state(&alarms), expected, "{alarms:?}");
    };
    use Severity::{Critical, High, Low};
    check(&[], BreakerState::Normal);
    check(&[(Some("a"), Low), (Some("b"), Low), (Some("c"), Low)], BreakerState::Normal);
    check(&[(Some("a"), High), (Some("b"), Low)], BreakerState::Normal);
    check(&[(Some("a"), High), (Some("b"), High)], BreakerState::Degraded);
    check(&[(Some("a"), Low), (Some("b"), Critical)], BreakerState::Emergency);
    check(&[(None, High)], BreakerState::Degraded);
}

proptest! {
    /// Whatever comes when, a tally says how much of it was within the window, to a part of it.
    #[test]
    fn a_tally_counts_what_is_within_its_window(steps in prop::collection::vec(0_u64..20, 1..200), after in 0_u64..80) {
        let window = Duration::from_secs(60);
        let mut tally = Tally::default();
        let mut at = 0;
        let mut all = Vec::new();
        for step in steps {
            at += step * SECOND;
            tally.add(at, window);
            all.push(at);
        }
        let now = at + after * SECOND;
        let within = |length: u64| u32::try_from(all.iter().filter(|at| **at + length * SECOND > now).count()).unwrap();
        let total = tally.total(now, window);
        prop_assert!(within(55) <= total && total <= within(60), "{total}, but {} to {}", within(55), within(60));
    }
}
