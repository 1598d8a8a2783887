//! Runs seeded histories and says what it saw; a failing seed is replayed and told.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use omnivenue_simulator::{Coverage, Scenario, run};

const USAGE: &str = "usage: omnivenue-simulator [--seeds COUNT] [--from SEED] [--seed SEED]
  --seeds COUNT  how many histories (1000)
  --from SEED    the first seed (0)
  --seed SEED    one history only, told";

fn main() -> ExitCode {
    let (mut count, mut from, mut one) = (1_000_u64, 0_u64, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().and_then(|value| value.parse::<u64>().ok());
        match (arg.as_str(), value) {
            ("--seeds", Some(value)) => count = value,
            ("--from", Some(value)) => from = value,
            ("--seed", Some(value)) => one = Some(value),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    match one {
        Some(seed) => tell(seed),
        None => campaign(from, count),
    }
}

fn tell(seed: u64) -> ExitCode {
    let scenario = Scenario::of(seed);
    let history = run(seed, &scenario, true);
    history.story.lines().iter().for_each(|line| println!("{line}"));
    println!("\nseed {seed}: {:?}, {} violations", history.stop, history.violations.len());
    history.violations.iter().for_each(|violation| println!("  {violation}"));
    if history.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[allow(clippy::disallowed_methods, reason = "the campaign itself runs in real time")]
fn campaign(from: u64, count: u64) -> ExitCode {
    let started = std::time::Instant::now();
    let next = Arc::new(AtomicU64::new(from));
    let total = Arc::new(Mutex::new((Coverage::default(), Vec::new())));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let threads: Vec<_> = (0..workers)
        .map(|_| {
            let (next, total) = (Arc::clone(&next), Arc::clone(&total));
            std::thread::spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    let history = run(seed, &Scenario::of(seed), false);
                    let mut total = total.lock().expect("no worker panics while it holds the totals");
                    total.0.merge(&history.coverage);
                    if !history.violations.is_empty() {
                        total.1.push((seed, history.violations));
                    }
                }
            })
        })
        .collect();
    let panicked = threads.into_iter().filter_map(|thread| thread.join().err()).count();
    let elapsed = started.elapsed();
    let total = total.lock().expect("the workers are done");
    for (what, seen) in &total.0.counts {
        println!("{seen:>12}  {what}");
    }
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    println!(
        "\n{count} histories in {}.{:03} s: {} a second; {} failed",
        millis / 1000,
        millis % 1000,
        count.saturating_mul(1000) / millis,
        total.1.len()
    );
    for (seed, violations) in total.1.iter().take(20) {
        println!("seed {seed}: {}", violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    }
    if let Some((seed, _)) = total.1.first() {
        println!("to hear the story: --seed {seed}");
    }
    if total.1.is_empty() && panicked == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
