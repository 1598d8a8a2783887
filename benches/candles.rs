//! Candles a second through the backtest driver: with no signals, and with one every hundred candles; and that neither speed nor memory
//! change with the length of the run.
//!
//! The whole engine runs over each candle: the state machine, the simulated exchange, its accounts compared every half minute of virtual
//! time while anything is held, an agent that is told each candle. Beside it, in the same run, the same file is read by bare `csv` without
//! doing anything with it: the ratio says what everything else costs.
//!
//! `cargo bench --bench candles` runs over 100,000 and 1,000,000 candles, the file of the latter about 60 MB, in Cargo's target directory.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use omnivenue::agent::{Agent, AgentInput, Context, Subscription};
use omnivenue::backtest::{add_file, plan};
use omnivenue::config::Config;
use omnivenue::model::signal::Signal;

const CONFIG: &str = r#"
    [[account]]
    id = "paper"
    venue = "hyperliquid"
    [account.paper]
    balance = "1000000"
    [[agent]]
    id = "demo"
    [[deployment]]
    id = "demo"
    agent = "demo"
    accounts = [{ account = "paper" }]
    [risk]
    rates = { USDC = "1" }
"#;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--test");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory is writable");
    println!("candles a second                     bare csv       driver    ratio   signals   resident");
    for count in if quick { [1_000, 2_000] } else { [100_000, 1_000_000] } {
        let file = write(folder.path(), count);
        let bare = rate(count, bare(&file));
        for every in [0, 100] {
            let (spent, signals) = run(&file, every);
            let ours = rate(count, spent);
            let what = if every == 0 { "no signals".to_owned() } else { format!("one signal every {every}") };
            let ratio = bare * 10 / ours.max(1);
            println!(
                "{count:>9}, {what:<22} {bare:>11} {ours:>12} {:>6}.{} {signals:>9} {:>8} MB",
                ratio / 10,
                ratio % 10,
                resident() >> 20
            );
        }
    }
}

/// How many a second.
fn rate(count: u64, spent: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1_000_000 / spent.as_micros().max(1)).unwrap_or(u64::MAX)
}

/// Candles that go up and down by a few tenths of a percent.
fn write(folder: &Path, count: u64) -> PathBuf {
    let path = folder.join(format!("{count}.csv"));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file is made"));
    let mut text = "open_time_ms,open,high,low,close,volume\n".to_owned();
    for index in 0..count {
        let (open, time) = (4_000_000 + index * 3_701 % 20_000, 1_640_995_200_000 + index * 60_000);
        let price = |hundredths: u64| format!("{}.{:02}", hundredths / 100, hundredths % 100);
        let (high, low, close) = (price(open + 2_000), price(open - 2_000), price(open + 1_000));
        writeln!(text, "{time},{},{high},{low},{close},{}", price(open), 1 + index % 97).expect("text is written");
        file.write_all(text.as_bytes()).expect("the file is written");
        text.clear();
    }
    path
}

#[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
fn bare(file: &Path) -> Duration {
    let started = Instant::now();
    let mut reader = csv::Reader::from_path(file).expect("the file opens");
    let read = reader.records().map(|record| record.expect("a line").len()).sum::<usize>();
    assert!(read > 0);
    started.elapsed()
}

#[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
fn run(file: &Path, every: u64) -> (Duration, u64) {
    let config = Config::from_toml(CONFIG, "a bench", Path::new("/nowhere")).expect("a valid configuration");
    let mut plan = plan(&config).expect("all is paper");
    plan.agents.push(("demo".parse().expect("a name"), Box::new(move || Box::new(EachSo { every, seen: 0 }))));
    add_file(&mut plan, "BTC".parse().expect("an asset"), file).expect("the file opens");
    let started = Instant::now();
    let report = plan.run().expect("it runs");
    let spent = started.elapsed();
    assert!(report.agrees(), "{report:?}");
    (spent, report.combined.first().map_or(0, |all| all.signals))
}

/// Buys for a minute and a half every so many candles.
struct EachSo {
    every: u64,
    seen: u64,
}

impl Agent for EachSo {
    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::candles("BTC".parse().expect("an asset"), "1m".parse().expect("a timeframe"))]
    }

    fn handle(&mut self, input: &AgentInput, context: &mut Context<'_>) {
        let AgentInput::Candle(candle) = input else { return };
        self.seen += 1;
        if self.every == 0 || !self.seen.is_multiple_of(self.every) {
            return;
        }
        let made = context.emit(&candle.trigger(), |id, agent| {
            let exits = r#"{"stop_loss":{"fraction":"0.03"},"take_profit":{"fraction":"0.05"},"time_limit":"90s"}"#;
            let text = format!(
                r#"{{"id":"{id}","agent":"{agent}","asset":"BTC","direction":"long","sizing":{{"notional":"100"}},"exits":{exits}}}"#
            );
            Signal::from_json(&text).expect("a valid signal")
        });
        made.expect("a valid trigger");
    }
}

/// Resident memory in bytes, where the system tells.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size()
}
