//! Runs the cases on a subject, and says which ran, which do not apply and why, and what failed.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::case::{Case, Failed, Verdict};
use crate::cases;
use crate::stage::Stage;
use crate::subject::Subject;

/// Cases that run at once: most of their time they wait.
const AT_ONCE: usize = 8;
/// A case that takes longer has failed.
const CASE_MAX: Duration = Duration::from_secs(45);

/// What came of one subject.
#[derive(Debug, Default)]
pub struct Report {
    /// The subject.
    pub subject: String,
    /// The cases that passed.
    pub passed: Vec<&'static str>,
    /// The cases that say nothing of it, and why.
    pub not_applicable: Vec<(&'static str, String)>,
    /// The cases that failed, and what was expected.
    pub failed: Vec<(&'static str, String)>,
}

impl Report {
    /// What went wrong, if anything did: failures, or fewer cases than there must be.
    #[must_use]
    pub fn complaint(&self, at_least: usize) -> Option<String> {
        let mut words = String::new();
        for (case, expected) in &self.failed {
            let _ = writeln!(words, "{}: {case}: {expected}", self.subject);
        }
        let ran = self.passed.len() + self.failed.len();
        if ran < at_least {
            let _ = writeln!(words, "{}: {ran} cases ran, but at least {at_least} must", self.subject);
        }
        (!words.is_empty()).then_some(words)
    }

    /// How many cases ran, and for each reason how many did not.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut words = format!("{}: {} cases passed", self.subject, self.passed.len());
        if !self.failed.is_empty() {
            let _ = write!(words, ", {} failed", self.failed.len());
        }
        let mut reasons: Vec<&String> = self.not_applicable.iter().map(|(_, why)| why).collect();
        reasons.sort();
        reasons.dedup();
        for reason in reasons {
            let names: Vec<&str> = self.not_applicable.iter().filter(|(_, why)| why == reason).map(|(name, _)| *name).collect();
            let _ = write!(words, "\n  {} do not apply, because {reason}: {}", names.len(), names.join(", "));
        }
        words
    }
}

/// Runs every case that applies and whose name contains `filter`, each in a world of its own.
pub async fn run(subject: &Arc<dyn Subject>, filter: &str) -> Report {
    let mut report = Report { subject: subject.name(), ..Report::default() };
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    let mut names = std::collections::BTreeMap::new();
    for case in cases::all().into_iter().filter(|case| case.name.contains(filter)) {
        let (subject, permits, name) = (Arc::clone(subject), Arc::clone(&permits), case.name);
        let handle = running.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let verdict = timeout(CASE_MAX, play(&*subject, &case)).await;
            verdict.unwrap_or_else(|_| Err(Failed::Expected(format!("that it ends in {CASE_MAX:?}"))))
        });
        names.insert(handle.id(), name);
    }
    while let Some(ended) = running.join_next_with_id().await {
        let (id, verdict) = match ended {
            Ok((id, verdict)) => (id, verdict),
            Err(error) => (error.id(), Err(Failed::Expected(format!("no panic, but {error}")))),
        };
        let name = names[&id];
        match verdict {
            Ok(()) => report.passed.push(name),
            Err(Failed::DoesNotApply(why)) => report.not_applicable.push((name, why)),
            Err(Failed::Expected(what)) => report.failed.push((name, format!("expected {what}"))),
        }
    }
    report.failed.sort();
    report
}

/// One case in a fresh world.
async fn play(subject: &dyn Subject, case: &Case) -> Verdict {
    let stage = Stage::set_up(subject.open().await?).await?;
    match case.missing(&stage.capabilities, stage.instrument.market) {
        Some(why) => Err(Failed::DoesNotApply(why.into())),
        None => case.run(Arc::new(stage)).await,
    }
}
