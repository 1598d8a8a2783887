//! Every venue, and how many cases it must run at least. A new venue joins with one line.
//!
//! `cargo test -p omnivenue-behavior -- [subject] [case]` runs only those whose names contain these words.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use omnivenue_behavior::{HyperliquidSubject, Paper, PaperOnHyperliquid, Report, Subject, run};
use omnivenue_paper::Config;

/// Runs subjects at once, each on a thread of its own: most of their time they wait.
const AT_ONCE: usize = 5;

fn subjects() -> Vec<(Arc<dyn Subject>, usize)> {
    let mut subjects: Vec<(Arc<dyn Subject>, usize)> = Vec::new();
    for (kind, at_least) in Paper::kinds().into_iter().zip([74, 74, 69, 68, 68, 63]) {
        subjects.push((Arc::new(kind), at_least));
    }
    subjects.push((Arc::new(Paper::like(Config::spot_like())), 65));
    subjects.push((Arc::new(PaperOnHyperliquid), 74));
    subjects.push((Arc::new(HyperliquidSubject::perp()), 75));
    subjects.push((Arc::new(HyperliquidSubject::spot()), 72));
    subjects
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let (subject, case) = (words.first().cloned().unwrap_or_default(), words.get(1).cloned().unwrap_or_default());
    let chosen: Vec<_> = subjects().into_iter().filter(|(of, _)| of.name().contains(&subject)).collect();
    let (queue, reports) = (Mutex::new(chosen), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((subject, at_least)) = take(&queue) {
                    let report = runtime().block_on(run(&subject, &case));
                    reports.lock().expect("no thread panics with it").push((report, if case.is_empty() { at_least } else { 0 }));
                }
            });
        }
    });
    tell(reports.into_inner().expect("no thread panics with it"))
}

fn take(queue: &Mutex<Vec<(Arc<dyn Subject>, usize)>>) -> Option<(Arc<dyn Subject>, usize)> {
    queue.lock().expect("no thread panics with it").pop()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn tell(mut reports: Vec<(Report, usize)>) -> ExitCode {
    reports.sort_by(|one, two| one.0.subject.cmp(&two.0.subject));
    reports.iter().for_each(|(report, _)| println!("{}", report.summary()));
    let complaints: Vec<String> = reports.iter().filter_map(|(report, at_least)| report.complaint(*at_least)).collect();
    complaints.iter().for_each(|complaint| eprint!("\n{complaint}"));
    if complaints.is_empty() && !reports.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
