//! The command as people use it: in an empty folder, from two terminals, in scripts.

use std::process::Stdio;

use omnivenue::engine::{EventEntry, FillSummary, Health, OrderSummary};
use omnivenue::journal::{ChainKey, Event};
use omnivenue::model::execution::{EquityReport, Execution, ExecutionStatus, Outcome, PositionReport};
use omnivenue::open::OpenError;
use omnivenue::{Config, journal::StoreError};
use serde_json::Value;

use crate::books;
use crate::support::{Home, Process, contains, eventually, signal};

const FIRST: [&str; 7] = ["signal", "--asset", "HYPE", "--long", "--notional", "500", "--id"];

pub(crate) fn first(id: &str) -> Vec<&str> {
    [&FIRST[..], &[id]].concat()
}

/// Starts an engine that takes signals from its stdin and stays, and waits until others can reach it.
pub(crate) fn stay(home: &Home) -> Process {
    let mut command = home.command(&["run", "--stay"]);
    command.stdin(Stdio::piped());
    let process = Process::start(command);
    eventually("the engine answers", || home.json(&["status"])["running"].as_bool().filter(|running| *running));
    process
}

fn filled(execution: &Execution) {
    assert_eq!((execution.status, execution.legs.len()), (ExecutionStatus::Done, 2), "{execution:?}");
    for leg in &execution.legs {
        assert_eq!((leg.outcome, leg.quantity), (Some(Outcome::Filled), Some(leg.filled_quantity)), "{leg:?}");
    }
}

fn killed(execution: &Execution) {
    assert_eq!((execution.status, execution.legs.len()), (ExecutionStatus::Done, 2), "{execution:?}");
    for leg in &execution.legs {
        assert_eq!((leg.outcome, leg.code.as_deref()), (Some(Outcome::Refused), Some("killed")), "{leg:?}");
    }
}

fn orders(home: &Home) -> [usize; 2] {
    ["hyperliquid", "ostium"].map(|venue| home.orders_at(venue))
}

/// What the engine says, read as the types that programs use.
fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

#[test]
fn the_first_signal_fills_at_each_venue_and_again_it_changes_nothing() {
    let home = Home::new();
    let shown = home.run(&first("tweet-42")).well();
    contains(&shown, &["tweet-42: done", "hyperliquid-paper", "ostium-paper"]);
    let (legs, positions) = shown.split_once("\n\n").expect("legs, then positions");
    assert_eq!(legs.matches(" filled ").count() - 1, 2, "a title and two legs:\n{shown}");
    assert_eq!(positions.matches(" long ").count(), 2, "one position each:\n{shown}");
    assert_eq!(orders(&home), [1, 1]);

    let again: Vec<String> = (0..3).map(|_| home.run(&[&first("tweet-42")[..], &["--json"]].concat()).well()).collect();
    assert_eq!(again[0], again[1], "the same bytes");
    assert_eq!(again[1], again[2], "the same bytes");
    let execution: Execution = serde_json::from_str(&again[0]).unwrap();
    filled(&execution);
    // Said in JSON, with every default spelled out and something for the caller's own use, it is the same signal.
    let spelled = r#"{"id":"tweet-42","agent":"demo","asset":"HYPE","market":"perp","direction":"long","sizing":{"notional":"500.00"},
        "leverage":"1.0","slippage":"0.010","order":{"type":"market"},"routing":"all","metadata":{"tweet":"https://example.com/42"}}"#;
    assert_eq!(home.run(&["signal", spelled, "--json"]).well(), again[0]);
    assert_eq!(orders(&home), [1, 1], "no further order");

    for leg in &execution.legs {
        let truth = home.truth(leg.venue.as_str()).unwrap();
        let position = truth.accounts[&leg.account].position(leg.instrument.as_ref().unwrap());
        assert_eq!(position.quantity, leg.filled_quantity.signed(true));
    }
    let files = books::files(home.path());
    files.assert_exactly_once();
    files.assert_books_equal_venues();
}

#[test]
fn another_body_under_a_known_id_is_refused() {
    let home = Home::new();
    home.run(&first("tweet-42")).well();
    let other = ["signal", "--asset", "HYPE", "--long", "--notional", "600", "--id", "tweet-42"];
    home.run(&other).failed(1, &["tweet-42", "was used before with another body", "nothing was done"]);
    let error = home.json_error(1, &other);
    assert_eq!(error["code"], "conflict");
    contains(error["message"].as_str().unwrap(), &["tweet-42 was used before with another body"]);
    assert_eq!(orders(&home), [1, 1]);
    filled(&home.execution(&["execution", "tweet-42"]));
}

#[test]
fn a_second_terminal_sees_and_steers_the_engine_that_runs() {
    let home = Home::new();
    let mut engine = stay(&home);
    engine.tell(&signal("s-1", "demo", "HYPE", "500"));
    let s1: Execution = serde_json::from_str(&engine.line().unwrap()).unwrap();
    filled(&s1);
    assert_eq!(home.execution(&["execution", "s-1"]), s1, "both terminals see the same");
    let said = home.run(&[&first("s-1")[..], &["--json"]].concat()).well();
    assert_eq!(serde_json::from_str::<Execution>(&said).unwrap(), s1, "the same id from the other terminal is the same execution");

    let status = home.json(&["status"]);
    let health: Health = typed(status["health"].clone());
    assert_eq!((status["running"].as_bool(), health.status.as_str(), health.positions), (Some(true), "ready", 2));
    assert!(health.accounts.iter().all(|account| account.status == "ready"), "{health:?}");

    let positions: Vec<PositionReport> = typed(home.json(&["positions"]));
    assert_eq!(positions.len(), 2);
    for (position, leg) in positions.iter().zip(&s1.legs) {
        assert_eq!((position.quantity, position.signals.len()), (leg.filled_quantity, 1));
        assert!(position.mark_price.is_some() && position.unrealized_pnl.is_some(), "{position:?}");
    }
    let placed: Vec<OrderSummary> = typed(home.json(&["orders"]));
    assert!(placed.len() == 2 && placed.iter().all(|order| order.state == "filled"), "{placed:?}");
    let fills: Vec<FillSummary> = typed(home.json(&["fills"]));
    assert_eq!(fills.len(), 2);
    let equity: Vec<EquityReport> = typed(home.json(&["equity"]));
    assert_eq!(equity.len(), 4, "an account and a deployment on it, twice");
    for line in equity.iter().filter(|line| line.deployment.is_none()) {
        let fees = fills.iter().filter(|fill| fill.account == line.account).map(|fill| fill.fee.amount);
        assert_eq!(fees.collect::<Vec<_>>(), [line.fees]);
        let whole = line.capital.unwrap().plus(line.unrealized_pnl.unwrap()).unwrap().minus(line.fees).unwrap();
        assert_eq!(line.equity, Some(whole));
    }

    // What a venue could tell again may become durable a moment after it was answered.
    let events = eventually("all entries are durable", || {
        let events = home.run(&["events", "--json"]).well();
        let events: Vec<EventEntry> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (events.len() == 10).then_some(events)
    });
    assert!(events.iter().zip(1..).all(|(entry, seq)| entry.seq == seq), "numbered without a gap: {events:?}");
    let kinds: Vec<&str> = events.iter().map(|entry| typed::<Event>(entry.event.clone()).kind()).collect();
    assert_eq!(kinds[..6], ["started", "funded", "followed", "funded", "followed", "admitted"]);
    assert_eq!(kinds[6..], ["prepared", "prepared", "reported", "reported"]);
    let follower = home.start(&["events", "--json", "--since", &events.len().to_string(), "--follow"]);

    contains(&home.run(&["kill", "--reason", "lunch"]).well(), &["stopped: all"]);
    contains(&follower.line().unwrap(), &["killed", "lunch"]);
    engine.tell(&signal("s-2", "demo", "HYPE", "500"));
    killed(&serde_json::from_str(&engine.line().unwrap()).unwrap());
    let refused = home.run(&first("s-3"));
    assert_eq!(refused.code(), 1);
    contains(&refused.stdout, &["refused (killed)", "lunch"]);
    assert_eq!(home.json(&["status"])["health"]["status"], "killed");
    assert_eq!(orders(&home), [1, 1], "what is stopped sends nothing");

    contains(&home.run(&["resume", "--reason", "back"]).well(), &["resumed: all"]);
    filled(&home.execution(&first("s-4")));
    assert_eq!(orders(&home), [2, 2]);
    killed(&home.execution(&["execution", "s-2"]));

    let closed = home.execution(&["close", "--all", "--id", "flat"]);
    filled(&closed);
    assert_eq!(typed::<Vec<PositionReport>>(home.json(&["positions"])), []);
    assert_eq!(home.execution(&["close", "--all", "--id", "flat"]), closed, "the same request is the same execution");
    assert_eq!(orders(&home), [3, 3]);
    contains(&home.run(&["reconcile"]).well(), &["hyperliquid-paper", "ostium-paper", "ready"]);

    drop(follower);
    let ended = engine.terminate();
    assert_eq!(ended.code(), 1, "a signal of its own input was refused: {ended:?}");
    let files = books::files(home.path());
    files.assert_books_equal_venues();
    assert!(files.is_flat());
    assert!(!home.file(".omnivenue/control.sock").exists());
}

#[test]
fn doctor_and_journal_look_while_the_engine_runs_and_after() {
    let home = Home::new();
    let mut engine = stay(&home);
    engine.tell(&signal("s-1", "demo", "HYPE", "500"));
    engine.line().unwrap();
    eventually("all entries are durable", || (home.json(&["status"])["health"]["durable_seq"] == 10).then_some(()));

    let check = |engine: &str| {
        let doctor = home.json(&["doctor"]);
        assert_eq!(doctor["ok"], true, "{doctor}");
        contains(&doctor.to_string(), &["journal chain", "10 entries", engine]);
        let verified = home.json(&["journal", "verify"]);
        assert_eq!(verified["entries"], 10);
        verified["head"].as_str().unwrap().to_owned()
    };
    let head = check(&format!("running as process {}", engine.id()));
    let found = home.json(&["journal", "verify", "--head", &head]);
    assert_eq!(found["expected_at"], 10);
    home.run(&["journal", "verify", "--head", &"ab".repeat(32)]).failed(1, &["no entry of the journal has the hash", &"ab".repeat(32)]);

    let exported = home.run(&["journal", "export"]).well();
    let events = home.run(&["events", "--json"]).well();
    let (exported, events): (Vec<Value>, Vec<Value>) = (
        exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
    );
    assert_eq!(exported.len(), 10);
    assert!(exported.iter().zip(&events).all(|(entry, event)| entry["event"] == event["event"] && entry["seq"] == event["seq"]));
    assert_eq!(exported.last().unwrap()["hash"], head.as_str());
    home.run(&["journal", "export", "-o", "journal.jsonl"]).well();
    home.run(&["journal", "export", "-o", "journal.jsonl"]).failed(1, &["journal.jsonl cannot be created"]);

    home.run(&["journal", "backup", "copy.db"]).well();
    let copied = omnivenue::sqlite::verify(&home.file("copy.db"), &ChainKey::default(), Some(&head)).unwrap();
    assert_eq!(copied.entries, 10);
    home.run(&["journal", "backup", "copy.db"]).failed(1, &["copy.db", "exists already"]);

    assert_eq!(engine.terminate().code(), 0);
    assert_eq!(check("not running"), head);
    std::fs::remove_file(home.file(".omnivenue/journal.views.db")).unwrap();
    assert_eq!(home.json(&["journal", "rebuild-views"])["entries"], 10);
    let views = rusqlite::Connection::open(home.file(".omnivenue/journal.views.db")).unwrap();
    let fills: i64 = views.query_row("SELECT count(*) FROM fills", [], |row| row.get(0)).unwrap();
    assert_eq!(fills, 2);
    // What is shown from the files is what the engine showed, prices aside.
    assert_eq!(typed::<Vec<OrderSummary>>(home.json(&["orders"])).len(), 2);
    assert_eq!(typed::<Vec<PositionReport>>(home.json(&["positions"])).len(), 2);
}

#[test]
fn a_kill_while_nothing_runs_holds_from_the_start_on() {
    let home = Home::new();
    contains(&home.run(&["kill", "--reason", "before the first start"]).well(), &["stopped: all", "no engine runs"]);
    assert_eq!(orders(&home), [0, 0]);
    let shown = home.run(&["status"]).well();
    contains(&shown, &["not running", "before the first start"]);
    // Each command is a process of its own: the latch is on the disk.
    killed(&home.execution(&first("s-1")));
    let mut engine = stay(&home);
    engine.tell(&signal("s-2", "demo", "BTC", "500"));
    killed(&serde_json::from_str(&engine.line().unwrap()).unwrap());
    let (running, _) = engine.kill();
    assert!(running);
    killed(&home.execution(&first("s-3")));
    assert_eq!(orders(&home), [0, 0]);
    home.run(&["resume", "--reason", "after lunch"]).well();
    filled(&home.execution(&first("s-4")));
    killed(&home.execution(&first("s-1")));
    assert_eq!(orders(&home), [1, 1]);
}

#[test]
fn a_kill_of_one_venue_leaves_the_other_one_alone() {
    let home = Home::new();
    home.run(&["kill", "--scope", "venue:ostium", "--reason", "maintenance"]).well();
    let execution = home.execution(&first("s-1"));
    let outcomes: Vec<_> = execution.legs.iter().map(|leg| (leg.venue.as_str(), leg.outcome)).collect();
    assert_eq!(outcomes, [("hyperliquid", Some(Outcome::Filled)), ("ostium", Some(Outcome::Refused))]);
    assert_eq!(orders(&home), [1, 0]);
}

#[test]
fn a_second_engine_is_told_whose_the_journal_is() {
    let home = Home::new();
    let engine = stay(&home);
    // While the socket is there, commands go through it, and another engine that wants to stay has nothing to do.
    home.run(&["run", "--stay"]).failed(2, &["an engine runs already"]);
    std::fs::remove_file(home.file(".omnivenue/control.sock")).unwrap();
    let owner = format!("(process {})", engine.id());
    home.run(&first("s-1")).failed(4, &["journal.db is in use by another engine", &owner, "stop that one first"]);
    assert_eq!(home.json_error(4, &["run"])["code"], "journal_in_use");
    let config = Config::built_in(home.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(omnivenue::open(&config)).unwrap_err();
    assert!(
        matches!(&error, OpenError::Journal(StoreError::InUse { pid: Some(pid), .. }) if u32::try_from(*pid) == Ok(engine.id())),
        "{error}"
    );
    assert_eq!(orders(&home), [0, 0]);
    // Only looking is always allowed.
    assert_eq!(home.json(&["status"])["running"], false);
    assert_eq!(home.json(&["journal", "verify"])["entries"], 5);
    let (running, _) = engine.kill();
    assert!(running);
    filled(&home.execution(&first("s-1")));
}

#[test]
fn a_configuration_is_written_once_and_says_what_holds_without_one() {
    let home = Home::new();
    home.run(&["init"]).well();
    home.run(&["init"]).failed(2, &["omnivenue.toml exists already"]);
    assert_eq!(Config::load(&home.file("omnivenue.toml")).unwrap(), Config::built_in(home.path()));
    filled(&home.execution(&first("s-1")));
    assert_eq!(orders(&home), [1, 1]);
}

#[test]
fn no_line_is_wider_than_a_hundred_columns() {
    let home = Home::with_config(
        r#"
[[account]]
id = "the-first-account-of-somebody-with-a-taste-for-names"
venue = "a-venue-called-hyperliquid"
paper = { preset = "hyperliquid", balance = "1234567.89" }
[[account]]
id = "the-second-account-of-somebody-with-a-taste-for-names"
venue = "a-venue-called-ostium"
paper = { preset = "ostium", balance = "1234567.89" }
[[agent]]
id = "momentum-of-the-social-media-of-the-other-hemisphere"
[[deployment]]
id = "the-deployment-of-the-momentum-of-the-social-media"
agent = "momentum-of-the-social-media-of-the-other-hemisphere"
accounts = [
    { account = "the-first-account-of-somebody-with-a-taste-for-names" },
    { account = "the-second-account-of-somebody-with-a-taste-for-names" },
]
"#,
    );
    let narrow = |ended: crate::support::Ended| {
        let widest = ended.stdout.lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
        assert!(widest.chars().count() <= 100, "{} columns: {widest}\nin\n{}", widest.chars().count(), ended.stdout);
        assert!(!ended.stdout.is_empty(), "{ended:?}");
    };
    let long = "a-signal-from-a-queue-that-names-them-itself-0f8fad5b-d9cb-469f-a165-70867728950e";
    narrow(home.run(&["signal", "--asset", "BTC", "--long", "--notional", "123456.78", "--leverage", "3", "--id", long]));
    narrow(home.run(&["signal", "--asset", "HYPE", "--short", "--quantity", "7.77", "--slippage", "0.001"]));
    narrow(home.run(&["signal", "--asset", "ETH", "--long", "--notional", "99999999999"]));
    let look = |verbs: &[&str]| verbs.iter().for_each(|verb| narrow(home.run(&[verb])));
    look(&["status", "positions", "orders", "fills", "equity", "events", "doctor"]);
    let engine = stay(&home);
    home.run(&["kill", "--scope", "asset:SOL", "--reason", "a reason that a person gave at length, since it is kept for ever and ever"])
        .well();
    look(&["status", "positions", "orders", "fills", "equity", "events", "reconcile", "doctor"]);
    narrow(home.run(&["execution", long]));
    narrow(home.run(&["close", "--signal", long]));
    narrow(home.run(&["close", "--all"]));
    look(&["positions", "orders", "fills", "equity"]);
    assert_eq!(engine.terminate().code(), 0);
}

#[test]
fn a_signal_can_come_through_a_pipe_or_from_a_file() {
    let home = Home::new();
    let text = signal("s-1", "demo", "HYPE", "500");
    let file = home.write("signal.json", &text);
    filled(&home.execution(&["signal", file.to_str().unwrap()]));
    let mut command = home.command(&["signal", "-", "--json"]);
    command.stdin(std::fs::File::open(&file).unwrap());
    let piped: Execution = serde_json::from_str(&home.finish(command).well()).unwrap();
    assert_eq!(piped, home.execution(&["signal", &text]));
    let mut command = home.command(&["run"]);
    command.stdin(std::fs::File::open(&file).unwrap());
    assert_eq!(serde_json::from_str::<Execution>(&home.finish(command).well()).unwrap(), piped);
    assert_eq!(orders(&home), [1, 1]);
}

#[test]
fn a_run_goes_on_after_a_line_that_is_no_signal() {
    let home = Home::new();
    let mut engine = stay(&home);
    engine.tell("{\"id\":");
    contains(&engine.line().unwrap(), &["\"line\":1", "not valid JSON"]);
    engine.tell("");
    engine.tell(&signal("s-1", "demo", "HYPE", "500"));
    filled(&serde_json::from_str(&engine.line().unwrap()).unwrap());
    engine.end_input();
    assert!(engine.is_running(), "it stays");
    filled(&home.execution(&first("s-2")));
    let ended = engine.terminate();
    assert_eq!(ended.code(), 1, "something was refused: {ended:?}");
}

#[test]
fn many_commands_at_once_do_no_more_than_one() {
    let home = Home::new();
    let engine = stay(&home);
    let processes: Vec<Process> = (0..8).map(|_| home.start(&[&first("s-1")[..], &["--json"]].concat())).collect();
    let answers: Vec<String> = processes.into_iter().map(|process| process.wait().well()).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    filled(&serde_json::from_str(&answers[0]).unwrap());
    assert_eq!(orders(&home), [1, 1]);
    assert_eq!(engine.terminate().code(), 0);
    let files = books::files(home.path());
    files.assert_exactly_once();
    files.assert_books_equal_venues();
}

#[test]
fn an_asset_is_looked_for_and_a_signal_goes_where_it_is_best() {
    let home = Home::new();
    let rows = home.json(&["availability", "HYPE"]);
    let statuses: Vec<&str> = rows.as_array().unwrap().iter().filter_map(|row| row["status"].as_str()).collect();
    assert_eq!(statuses, ["ready", "ready"], "{rows}");
    assert_eq!(rows[0]["deployments"][0]["could_open"], true, "{rows}");
    contains(&home.run(&["availability", "HYPE"]).well(), &["hyperliquid-paper", "HYPE-USD", "0.00045"]);
    home.run(&["availability", "DOGE"]).failed(1, &[]);

    let best = ["signal", "--asset", "HYPE", "--long", "--equity-fraction", "0.05", "--routing", "best", "--id", "best"];
    let execution = home.execution(&best);
    assert_eq!(execution.legs.iter().map(|leg| leg.outcome).collect::<Vec<_>>(), [Some(Outcome::Filled)], "one place: {execution:?}");
    assert!(execution.legs[0].routed.as_deref().is_some_and(|why| why.starts_with("per unit after fees: ")), "{execution:?}");
    let weights = "split:hyperliquid=0.7,ostium=0.3";
    let split = ["signal", "--asset", "HYPE", "--long", "--quantity", "10", "--routing", weights, "--market", "any", "--id", "split"];
    let execution = home.execution(&split);
    filled(&execution);
    let parts: Vec<String> = execution.legs.iter().map(|leg| leg.filled_quantity.to_string()).collect();
    assert_eq!(parts, ["7", "3"]);
    let files = books::files(home.path());
    files.assert_exactly_once();
    files.assert_books_equal_venues();
}
