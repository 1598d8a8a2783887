//! A suite that cannot fail says nothing: for every case there is an adapter here, broken in one way, on which it fails.

mod broken;
mod ways;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use omnivenue_behavior::{Paper, Report, Subject, run};
use omnivenue_core::venue::{Absence, Resend};

use crate::broken::Broken;
use crate::ways::{Kind, NOTICED, Sabotage};

/// Runs a case, or all, on a broken adapter.
fn report(how: Sabotage, kind: Kind, case: &str) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let broken: Arc<dyn Subject> = Arc::new(Broken { subject: kind.subject(), how });
    runtime.block_on(run(&broken, case))
}

/// How many run at once: most of the time is waiting.
const AT_ONCE: usize = 16;

#[test]
fn every_case_fails_on_an_adapter_that_is_broken_where_it_looks() {
    let (queue, missed) = (Mutex::new(NOTICED.to_vec()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no thread panics with it").pop();
                    let Some((case, how, kind)) = next else { return };
                    let report = report(how, kind, case);
                    // A name may begin another one's: it is this case that must fail.
                    if !report.failed.iter().any(|(name, _)| *name == case) {
                        missed.lock().expect("no thread panics with it").push(format!("{case} does not notice {how:?}: {report:?}"));
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().expect("no thread panics with it");
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn no_case_is_without_its_sabotage() {
    let sabotaged: BTreeSet<&str> = NOTICED.iter().map(|(case, ..)| *case).collect();
    let all: BTreeSet<&str> = omnivenue_behavior::all().iter().map(|case| case.name).collect();
    assert_eq!(sabotaged, all);
}

#[test]
fn without_sabotage_nothing_fails() {
    for kind in [Kind::Once, Kind::Spot] {
        let report = report(Sabotage::None, kind, "");
        assert!(report.failed.is_empty() && report.passed.len() > 60, "{report:?}");
    }
}

#[test]
fn a_subject_that_runs_too_few_cases_is_noticed() {
    let subject: Arc<dyn Subject> = Arc::new(Paper::of_kind(Resend::Idempotent, Absence::Burn));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(run(&subject, "canceling"));
    assert_eq!(report.passed.len(), 3, "{report:?}");
    assert_eq!(report.complaint(3), None);
    assert!(report.complaint(4).is_some_and(|words| words.contains("3 cases ran, but at least 4 must")));
}
