//! The command while a person attends: parts are closed, signals wait for a yes, and stops that end with the engine are told.

use std::process::{Command, Stdio};

use omnivenue::engine::Health;
use omnivenue::model::execution::{Execution, Outcome, PositionReport, Protection};

use crate::support::{Home, Process, contains, eventually, signal};

const SIGNAL: [&str; 6] = ["signal", "--asset", "HYPE", "--long", "--notional", "500"];
const STOP: [&str; 9] = ["signal", "--asset", "HYPE", "--market", "spot", "--long", "--notional=500", "--stop-loss", "0.5"];

/// Spot holds no stop: the engine runs it.
const SPOT: &str = r#"
[[account]]
id = "spot-paper"
venue = "spot"
market = "spot"
paper = { preset = "spot", balance = "10000", prices = { fixed = { "HYPE/USDC" = "38.1", "BTC/USDC" = "97000" } } }

[[agent]]
id = "demo"

[[deployment]]
id = "demo"
agent = "demo"
accounts = [{ account = "spot-paper" }]
"#;

fn positions(home: &Home) -> Vec<PositionReport> {
    serde_json::from_value(home.json(&["positions"])).unwrap()
}

fn asking() -> Home {
    let home = Home::new();
    home.run(&["init"]).well();
    let text = std::fs::read_to_string(home.file("omnivenue.toml")).unwrap();
    home.write("omnivenue.toml", &text.replacen("[[agent]]\nid = \"demo\"\n", "[[agent]]\nid = \"demo\"\napproval = \"10m\"\n", 1));
    home
}

#[test]
fn positions_are_closed_by_whose_and_where_they_are_and_in_part() {
    let home = Home::new();
    home.run(&[&SIGNAL[..], &["--id", "s-1"]].concat()).well();
    let before = positions(&home);
    assert_eq!(before.len(), 2);
    let half: Execution = home.execution(&["close", "--account", "ostium-paper", "--fraction", "0.5", "--id", "c-1"]);
    assert_eq!(half.legs.len(), 1);
    assert_eq!(half.legs[0].outcome, Some(Outcome::Filled), "{half:?}");
    let left = |positions: &[PositionReport], account: &str| {
        positions.iter().find(|position| position.account.as_str() == account).map(|position| position.quantity)
    };
    let after = positions(&home);
    let (whole, rest) = (left(&before, "ostium-paper").unwrap(), left(&after, "ostium-paper").unwrap());
    assert_eq!(rest.plus(half.legs[0].filled_quantity).unwrap(), whole);
    assert!(half.legs[0].filled_quantity <= rest && rest < whole, "{half:?}");
    assert_eq!(left(&before, "hyperliquid-paper"), left(&after, "hyperliquid-paper"));
    assert_eq!(home.execution(&["close", "--account", "ostium-paper", "--fraction", "0.5", "--id", "c-1"]), half, "once");
    home.run(&["close", "--agent", "demi"]).failed(2, &["there is no agent demi; there are demo", "nothing was done"]);
    home.run(&["close", "--agent", "demo", "--include-external"]).failed(2, &["an agent holds nothing that is not ours"]);
    let dust = home.execution(&["close", "--asset", "HYPE", "--quantity", "0.0000001"]);
    assert!(dust.legs.iter().all(|leg| leg.code.as_deref() == Some("less_than_a_lot")), "{dust:?}");
    home.run(&["close", "--asset", "HYPE", "--include-external"]).well();
    assert_eq!(positions(&home), []);
}

#[test]
fn a_signal_waits_for_a_yes_across_processes() {
    let home = asking();
    for id in ["s-1", "s-2"] {
        let waits: Execution = home.execution(&[&SIGNAL[..], &["--id", id, "--valid-for", "5m"]].concat());
        assert!(waits.legs.len() == 2 && waits.legs.iter().all(|leg| leg.state == "awaiting_approval"), "{waits:?}");
    }
    let status = home.json(&["status"]);
    let health: Health = serde_json::from_value(status["health"].clone()).unwrap();
    let waiting: Vec<&str> = health.waiting.iter().map(|signal| signal.signal_id.as_str()).collect();
    assert_eq!(waiting, ["s-1", "s-2"]);
    contains(&home.run(&["status"]).well(), &["waiting for a person", "s-1", "long HYPE", "notional 500"]);
    let done: Execution = home.execution(&["approve", "s-1", "--reason", "fits"]);
    assert!(done.legs.iter().all(|leg| leg.outcome == Some(Outcome::Filled)), "{done:?}");
    let no = home.run(&["approve", "s-2", "--no", "--reason", "too much of it", "--json"]).well();
    let no: Execution = serde_json::from_str(&no).unwrap();
    assert!(
        no.legs.iter().all(|leg| (leg.code.as_deref(), leg.reason.as_deref()) == (Some("not_approved"), Some("too much of it"))),
        "{no:?}"
    );
    assert_eq!(home.execution(&["approve", "s-1", "--reason", "again"]), done, "again changes nothing");
    home.run(&["approve", "s-2", "--reason", "after all"]).failed(1, &["s-2 was declined for demo before: too much of it"]);
    assert_eq!(home.json_error(1, &["approve", "s-9", "--reason", "x"])["code"], "not_found");
    assert_eq!(home.orders_at("hyperliquid"), 1);
}

#[test]
fn a_command_that_leaves_a_position_without_its_stop_says_so() {
    let home = Home::with_config(SPOT);
    let ended = home.run(&[&STOP[..], &["--id", "s-1"]].concat());
    assert_eq!(ended.code(), 5, "{ended:?}");
    contains(&ended.stderr, &["warning", "HYPE/USDC on", "(s-1)", "nothing protects these positions", "omnivenue run --stay"]);
    contains(&ended.stdout, &["s-1: done", "filled"]);
    // It is looked after again from the next start on.
    let mut command = home.command(&["run", "--stay"]);
    command.stdin(Stdio::piped());
    let mut engine = Process::start(command);
    let guarded = || home.json(&["status"])["running"] == true && positions(&home).iter().all(|held| held.protection == Protection::Engine);
    eventually("the stops are run again", || guarded().then_some(()));
    // Asked to stop it refuses, and goes on.
    interrupt(&engine);
    eventually("it says why it stays", || engine.stderr().contains("not stopped").then_some(()));
    contains(&engine.stderr(), &["HYPE/USDC on", "(s-1)", "Interrupt it once more"]);
    assert!(engine.is_running());
    assert_eq!(positions(&home).len(), 1, "it still answers");
    interrupt(&engine);
    let ended = engine.wait();
    assert_eq!(ended.code(), 5, "{ended:?}");
    // Told beforehand, it stops at once.
    let mut command = home.command(&["run", "--stay", "--leave-unprotected"]);
    command.stdin(Stdio::null());
    let engine = Process::start(command);
    eventually("it is there", || home.json(&["status"])["running"].as_bool().filter(|running| *running));
    let ended = engine.terminate();
    assert_eq!(ended.code(), 5, "{ended:?}");
    assert!(!ended.stderr.contains("not stopped"), "{ended:?}");
}

#[test]
fn an_engine_that_stays_for_its_stops_ends_with_the_last_of_them() {
    let home = Home::new();
    // A trailing stop that is not active yet waits at no venue.
    let mut command = home.command(&["run"]);
    command.stdin(Stdio::piped());
    let mut engine = Process::start(command);
    let text = signal("s-1", "demo", "HYPE", "500");
    engine.tell(&text.replacen('{', r#"{"exits":{"trailing":{"fraction":"0.5","activation":"0.9"}},"#, 1));
    engine.line().expect("the execution");
    engine.end_input();
    eventually("it says why it stays", || engine.stderr().contains("not stopped").then_some(()));
    eventually("it answers again", || home.json(&["status"])["running"].as_bool().filter(|running| *running));
    home.run(&["close", "--all"]).well();
    let ended = engine.wait();
    assert_eq!(ended.code(), 0, "{ended:?}");
}

/// What Ctrl-C does.
fn interrupt(process: &Process) {
    let asked = Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap();
    assert!(asked.success());
}
