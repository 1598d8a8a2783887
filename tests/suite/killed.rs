//! The process is killed, again and again, while it carries out signals: each entry takes effect exactly once all the same.
//!
//! Real processes, real files, SIGKILL. The exchanges die with the process, since they are threads of it, but what they took is in
//! their files before they answer: the truth that the journal is compared with at the end.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use omnivenue::model::execution::{Execution, ExecutionStatus};
use omnivenue::model::ids::SignalId;
use omnivenue_simulator::Random;
use serde_json::json;

use crate::books;
use crate::candles;
use crate::reaper::Reaper;
use crate::support::{Home, eventually, full, micros};

/// One story: what is sent, where, and how often the process dies over it.
struct Story {
    name: &'static str,
    signals: usize,
    kills: usize,
    /// Signals on their way at once.
    in_flight: usize,
    /// An agent for each signal: then no order that is unknown for a while blocks another signal.
    own_agents: bool,
    /// The rules of the first venue and of the second one.
    rules: [&'static str; 2],
    /// Per mille, of each kind of fault.
    faults: u16,
}

const IDEMPOTENT: &str = "resend = \"idempotent\"\nabsence = \"burn\"";
const AFTER_PROOF: &str = "resend = \"after_proof\"\nabsence = \"window\"\nabsence_window = \"1200ms\"\nabsence_margin = \"300ms\"";

/// The assets that both venues trade.
const ASSETS: [&str; 3] = ["BTC", "ETH", "HYPE"];

impl Story {
    fn agent(&self, signal: usize) -> String {
        if self.own_agents { format!("agent-{signal}") } else { "agent".into() }
    }

    fn signals(&self) -> Vec<(SignalId, String)> {
        let mut random = Random::new(7);
        let signal = |index: usize| {
            let id = format!("{}-{index}", self.name);
            // Opposite interests of several agents would be refused, and rightly so.
            let direction = if self.own_agents || random.chance(60) { "long" } else { "short" };
            let body = json!({
                "id": id, "agent": self.agent(index), "asset": ASSETS[index % 3], "direction": direction, "leverage": "5",
                "sizing": { "notional": (15 + random.below(60)).to_string() }, "slippage": "0.1", "valid_for": "6h",
                "metadata": { "index": index },
            });
            (id.parse().unwrap(), body.to_string())
        };
        (0..self.signals).map(signal).collect()
    }

    /// The configuration. Which requests are hit by a fault differs from life to life.
    fn config(&self, life: usize) -> String {
        let f = self.faults;
        let account = |venue: &str, preset: &str, suffix: &str, rules: &str, seed: usize| {
            format!(
                r#"
[[account]]
id = "{venue}-account"
venue = "{venue}"
[account.paper]
preset = "{preset}"
balance = "1000000"
latency = "8ms"
{rules}
[account.paper.prices]
speed = 600
candles = {{ "BTC{suffix}" = "{btc}", "ETH{suffix}" = "eth.csv", "HYPE{suffix}" = "hype.csv" }}
[account.paper.faults]
seed = {seed}
refuse = {f}
delay = {f}
cut_before = {f}
cut_after = {f}
late_commit = {f}
false_not_found = {denied}
duplicate_fill = {f}
late_fill = {f}
silence = {silence}
delay_max = "100ms"
late_commit_max = "200ms"
late_fill_max = "100ms"
silence_for = "200ms"
"#,
                btc = "BTC_FILE",
                denied = 5 * f,
                silence = f / 4,
            )
        };
        let mut text =
            account("first", "hyperliquid", "", self.rules[0], life) + &account("second", "ostium", "-USD", self.rules[1], life + 1_000);
        let agents: BTreeSet<String> = (0..self.signals).map(|signal| self.agent(signal)).collect();
        for agent in agents {
            let accounts = r#"[{ account = "first-account" }, { account = "second-account" }]"#;
            writeln!(text, "[[agent]]\nid = \"{agent}\"\n[[deployment]]\nid = \"{agent}\"\nagent = \"{agent}\"\naccounts = {accounts}")
                .unwrap();
        }
        // Everything fails here all the time, and nothing may be kept from it.
        text + "[timing]\nleg_deadline = \"1s\"\nmax_attempts = 20\nbackoff_min = \"20ms\"\nbackoff_max = \"1s\"\nreconcile_every = \"5s\"\n\
         [breakers]\nerrors_high = 1000000\nerrors_critical = 1000000\nlatency_high = \"1h\"\nstale_high = \"1h\"\nunknown_high = \"1h\"\n"
    }

    /// A folder with the signals, the candles and the configuration of the first life.
    fn home(&self) -> Home {
        let home = Home::new();
        candles::btc(home.path());
        candles::made(home.path(), "eth.csv", 2, 340_000, 200);
        candles::made(home.path(), "hype.csv", 3, 3_810, 4);
        let input: String = self.signals().iter().map(|(_, body)| format!("{body}\n")).collect();
        home.write("signals.jsonl", &input);
        self.configure(&home, 1);
        home
    }

    fn configure(&self, home: &Home, life: usize) {
        home.write("omnivenue.toml", &self.config(life).replace("BTC_FILE", &candles::btc_path(home.path()).display().to_string()));
    }

    fn tell(&self) {
        let home = self.home();
        let signals = self.signals();
        let in_flight = self.in_flight.to_string();
        let arguments = ["run", "signals.jsonl", "--in-flight", &in_flight];
        let mut reaper = Reaper::new(signals.iter().map(|(id, _)| id.clone()).collect());
        let began = micros();
        for life in 1..=self.kills {
            self.configure(&home, life);
            reaper.life(&home, &arguments, self.kills - life);
        }
        let last = home.run(&arguments);
        assert!(matches!(last.code(), 0 | 1), "{last:?}");
        let lines = last.stdout.lines().filter(|line| reaper.read(line)).count();
        let elapsed = Duration::from_micros(micros() - began);

        let files = books::files(home.path());
        files.assert_exactly_once();
        files.assert_books_equal_venues();
        let traded = files.assert_answered(signals.iter().map(|(id, _)| id), 2);
        assert_eq!(reaper.unanswered.len(), 0, "every signal was answered: {:?}", reaper.unanswered);
        assert_eq!(last.stdout.lines().count(), signals.len(), "one line for each signal");
        let keys = 2 * self.signals;
        println!(
            "{}: {} signals, {} kills ({} before the first answer of a life, {} too late; answers at each: {:?}), {lines} new answers at the end; \
             {} orders were on their way when the process died; orders: {}; {traded} of {keys} legs traded; {elapsed:?}",
            self.name,
            self.signals,
            self.kills,
            reaper.young,
            reaper.late,
            reaper.answers,
            files.interrupted,
            files.orders(),
        );
        println!("    refusals: {:?}", reaper.refusals);
        assert!(4 * reaper.late <= self.kills, "{} of {} kills came after the run had ended", reaper.late, self.kills);
        assert!(files.interrupted > 0, "no kill met an order on its way");
        if self.own_agents {
            assert_eq!((traded, files.entries.len()), (keys, keys), "exactly one order for each signal and account: {:?}", reaper.refusals);
        } else {
            // What is unknown blocks its instrument meanwhile; signals that come then are refused, and say so.
            assert!(reaper.refusals.keys().all(|code| code == "unresolved"), "{:?}", reaper.refusals);
            assert!(2 * traded >= keys, "{traded} of {keys} legs traded: {:?}", reaper.refusals);
        }

        let mut close = Reaper::new(BTreeSet::from(["flat".parse().unwrap()]));
        let arguments = ["close", "--all", "--id", "flat", "--json"];
        for _ in 0..2 {
            close.life(&home, &arguments, 0);
        }
        // The command waits a minute; closes go out one after the other, and many positions take longer.
        eventually("everything is closed", || (home.execution(&arguments[..4]).status == ExecutionStatus::Done).then_some(()));
        let (files, before) = (books::files(home.path()), files);
        assert!(files.is_flat(), "{:?}", files.books.positions());
        files.assert_books_equal_venues();
        assert!(files.closes > 0);
        assert_eq!(files.entries, before.entries, "closing opened nothing");
    }
}

#[test]
fn each_signal_takes_effect_exactly_once_however_often_the_process_is_killed() {
    let (signals, kills) = if full() { (1_000, 50) } else { (200, 12) };
    let story = Story { name: "signal", signals, kills, in_flight: 8, own_agents: true, rules: ["", ""], faults: 10 };
    Story { rules: [IDEMPOTENT, AFTER_PROOF], ..story }.tell();
}

#[test]
fn where_the_same_bytes_may_be_sent_twice_and_ids_burned() {
    let (signals, kills) = if full() { (400, 20) } else { (80, 6) };
    let rules = [IDEMPOTENT, IDEMPOTENT];
    Story { name: "burn", signals, kills, in_flight: 4, own_agents: false, rules, faults: 20 }.tell();
}

#[test]
fn where_only_a_window_that_has_passed_proves_absence() {
    let (signals, kills) = if full() { (400, 20) } else { (80, 6) };
    let rules = [AFTER_PROOF, AFTER_PROOF];
    Story { name: "window", signals, kills, in_flight: 2, own_agents: false, rules, faults: 20 }.tell();
}

#[test]
fn a_run_that_is_asked_to_stop_says_how_things_stand_and_goes_on_at_the_next_start() {
    let story = Story { name: "stop", signals: 120, kills: 0, in_flight: 8, own_agents: true, rules: [IDEMPOTENT, AFTER_PROOF], faults: 0 };
    let home = story.home();
    let signals = story.signals();
    let arguments = ["run", "signals.jsonl", "--in-flight", "8"];
    let mut reaper = Reaper::new(signals.iter().map(|(id, _)| id.clone()).collect());
    for stop in 0..4 {
        let process = home.start(&arguments);
        let mut new = 0;
        while new < 10 {
            new += usize::from(reaper.read(&process.line().expect("there is more to do")));
        }
        let ended = process.terminate();
        assert_eq!(ended.code(), 0, "stop {stop}: {ended:?}");
        // What was on its way is told as it stands, working or done; nothing is left out.
        let rest: Vec<Execution> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        rest.iter().filter(|execution| execution.status == ExecutionStatus::Done).for_each(|execution| {
            reaper.unanswered.remove(&execution.signal_id);
        });
    }
    assert!(reaper.unanswered.len() > 20, "it was stopped in the middle: {} are left", reaper.unanswered.len());
    let last = home.run(&arguments).well();
    assert_eq!(last.lines().count(), signals.len());
    let files = books::files(home.path());
    files.assert_exactly_once();
    files.assert_books_equal_venues();
    assert_eq!(files.assert_answered(signals.iter().map(|(id, _)| id), 2), 2 * signals.len());
}
