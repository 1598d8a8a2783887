//! What is wrong is refused with words that say what fits, and leaves nothing behind: signals, configurations, market data, files.

use std::process::{Command, Stdio};

use omnivenue::Config;
use omnivenue::model::execution::{Execution, Outcome};
use omnivenue::model::ids::SignalId;
use serde_json::Value;

use crate::books;
use crate::candles;
use crate::support::{Home, Process, contains, eventually, signal};

/// What is done here leaves the folder as it was, to the last byte.
fn unchanged<T>(home: &Home, act: impl FnOnce() -> T) -> T {
    let before = home.files();
    let result = act();
    let after = home.files();
    assert!(before == after, "changed: {:?} became {:?}", before.keys(), after.keys());
    result
}

const PLAIN: &str = r#"{"id":"s-1","agent":"demo","asset":"HYPE","direction":"long","sizing":{"notional":"500"}}"#;

/// Signals that are none, and what is said of them.
fn bad_signals() -> Vec<(String, Vec<&'static str>)> {
    let with = |field: &str| PLAIN.replacen("{\"id\"", &format!("{{{field},\"id\""), 1);
    let sized = |sizing: &str| PLAIN.replace(r#"{"notional":"500"}"#, sizing);
    let without = |field: &str| PLAIN.replacen(field, "", 1);
    vec![
        (sized(r#"{"notional":"-5"}"#), vec!["s-1", "sizing", "notional is -5", "0 or more"]),
        (sized(r#"{"quantity":"-0.1"}"#), vec!["sizing", "quantity is -0.1", "0 or more"]),
        (sized(r#"{"notional":"0"}"#), vec!["sizing.notional is 0", "greater than 0"]),
        (sized(r#"{"notional":"NaN"}"#), vec!["sizing", "`NaN` is not a decimal number"]),
        (sized(r#"{"notional":"inf"}"#), vec!["sizing", "`inf` is not a decimal number"]),
        (sized(r#"{"notional":"1e3"}"#), vec!["sizing", "`1e3` is not a decimal number"]),
        (sized(r#"{"notional":"123456789012345678901234567890"}"#), vec!["more than 28 significant digits", "exactly"]),
        (sized(r#"{"quantity":"0.123456789012345678901234567891"}"#), vec!["more than 28 significant digits", "exactly"]),
        (sized(r#"{"notional":500}"#), vec!["s-1", "sizing", "500", "as a string", "may already have lost digits"]),
        (sized(r#"{"notional":500.5}"#), vec!["sizing", "500.5", "as a string"]),
        (sized(r#"{"notional":"500","quantity":"1"}"#), vec!["sizing"]),
        (sized(r#"{"equity_fraction":"1.1"}"#), vec!["sizing", "equity_fraction", "1.1", "between 0 and 1"]),
        (sized(r#"{"equity_fraction":"0"}"#), vec!["sizing.equity_fraction is 0", "greater than 0"]),
        (sized(r#"{"risk_fraction":"0.1"}"#), vec!["risk_fraction", "needs exits.stop_loss"]),
        (with(r#""confidence":1.2"#), vec!["confidence", "1.2", "between 0 and 1"]),
        (with(r#""confidence":"-0.1""#), vec!["confidence", "-0.1", "between 0 and 1"]),
        (with(r#""leverage":5"#), vec!["leverage", "5", "as a string"]),
        (with(r#""leverage":"0""#), vec!["leverage"]),
        (with(r#""levrage":"5""#), vec!["unknown field `levrage`", "leverage"]),
        (with(r#""slippage":"1.5""#), vec!["slippage", "1.5", "between 0 and 1"]),
        (with(r#""valid_for":"soon""#), vec!["valid_for", "`soon` is not a length of time", "\"60s\""]),
        (with(r#""valid_for":60"#), vec!["valid_for"]),
        (with(r#""created_at":"yesterday""#), vec!["created_at", "`yesterday` is not a time", "RFC 3339"]),
        (with(r#""order":{"type":"limit"}"#), vec!["order", "price"]),
        (with(r#""order":{"type":"stop","price":"1"}"#), vec!["order", "stop"]),
        (with(r#""order":{"type":"limit","price":"0"}"#), vec!["order", "greater than 0"]),
        (with(r#""venues":[]"#), vec!["venues is empty"]),
        (with(r#""market":"futures""#), vec!["market", "futures", "perp", "`any`"]),
        (with(r#""routing":"worst""#), vec!["routing", "worst", "best"]),
        (with(r#""routing":{"split":{"hyperliquid":"0.9"}}"#), vec!["routing.split adds up to 0.9", "exactly 1"]),
        (with(r#""order":{"type":"limit","price":"1","time_in_force":"fok","post_only":true}"#), vec!["post_only", "gtc"]),
        (with(r#""leg_policy":"all_or_nothing""#), vec!["leg_policy", "all_or_none"]),
        (with(r#""leg_policy":{"at_least":0}"#), vec!["at_least 0", "at least 1"]),
        (with(r#""exits":{"stop_loss":{"fraction":0.05}}"#), vec!["exits", "as a string"]),
        (PLAIN.replace("long", "up"), vec!["direction", "up", "long", "short"]),
        (PLAIN.replace("s-1", "s 1"), vec!["id", "`s 1` cannot be a signal id"]),
        (PLAIN.replace("s-1", &"x".repeat(129)), vec!["cannot be a signal id", "128"]),
        (without(r#","direction":"long""#), vec!["direction"]),
        (without(r#","asset":"HYPE""#), vec!["asset"]),
        ("[]".into(), vec!["a signal is a JSON object"]),
        ("{\"id\":".into(), vec!["not valid JSON"]),
    ]
}

#[test]
fn a_signal_that_is_none_is_refused_before_anything_is_opened() {
    let home = Home::new();
    for (number, (text, words)) in bad_signals().into_iter().enumerate() {
        // A file, since arguments that do not begin with a brace name one.
        let file = home.write("signal.json", &text);
        let said = unchanged(&home, || home.run(&["signal", file.to_str().unwrap()]).failed(2, &words));
        assert!(said.starts_with("omnivenue: ") && said.lines().count() == 1, "{number}: {said}");
        let error = unchanged(&home, || home.json_error(2, &["signal", file.to_str().unwrap()]));
        assert_eq!(error["code"], "bad_request", "{error}");
        contains(error["message"].as_str().unwrap(), &words);
    }
    let flags = |arguments: &[&str], words: &[&str]| {
        unchanged(&home, || home.run(&[&["signal"], arguments].concat()).failed(2, words));
    };
    flags(&["--asset", "HYPE", "--long"], &["--notional or --quantity"]);
    flags(&["--asset", "HYPE", "--notional", "5"], &["--long or --short"]);
    flags(&["--asset", "HYPE", "--long", "--short", "--notional", "5"], &["cannot be used with"]);
    flags(&["--asset", "HYPE", "--long", "--notional", "5", "--levrage", "5"], &["--levrage", "--leverage"]);
    flags(&["nowhere.json"], &["nowhere.json cannot be read", "No such file"]);
    assert!(!home.file(".omnivenue").exists());
}

#[test]
fn a_run_answers_each_bad_line_and_carries_out_the_good_ones() {
    let home = Home::new();
    let bad = bad_signals();
    let mut input: String = bad.iter().map(|(text, _)| format!("{}\n", text.replace('\n', " "))).collect();
    input += &signal("good", "demo", "HYPE", "500");
    home.write("signals.jsonl", &input);
    let ended = home.run(&["run", "signals.jsonl"]);
    assert_eq!(ended.code(), 1, "{ended:?}");
    let answers: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), bad.len() + 1);
    for (answer, (text, words)) in answers.iter().zip(&bad) {
        assert_eq!(answer["error"]["code"], "bad_request", "{answer}");
        assert_eq!(bad[usize::try_from(answer["line"].as_u64().unwrap()).unwrap() - 1].0, *text);
        contains(answer["error"]["message"].as_str().unwrap(), words);
    }
    let good: Execution = serde_json::from_value(answers[bad.len()].clone()).unwrap();
    assert!(good.legs.iter().all(|leg| leg.outcome == Some(Outcome::Filled)), "{good:?}");
    let files = books::files(home.path());
    assert_eq!(files.entries.len(), 2, "{:?}", files.entries);
    let known = |id: &str| files.execution(&SignalId::new(id).unwrap());
    assert!(known("good").is_some() && known("s-1").is_none(), "what was refused is not in the journal");
}

#[test]
fn what_the_configuration_does_not_know_is_refused_and_its_id_stays_free() {
    let home = Home::new();
    let check = |arguments: &[&str], words: &[&str]| {
        let signal = ["signal", "--id", "s-1", "--notional", "500", "--long"];
        let said = home.run(&[&signal, arguments].concat()).failed(2, &["s-1", "nothing was done"]);
        contains(&said, words);
    };
    check(&["--asset", "DOGE"], &["no venue lists DOGE on the perp market", "HYPE"]);
    check(&["--asset", "HYPE", "--market", "spot"], &["no venue lists HYPE on the spot market"]);
    check(&["--asset", "HYPE", "--agent", "nobody"], &["agent nobody has no deployment", "the agents are demo"]);
    check(&["--asset", "HYPE", "--venues", "okx"], &["venue okx is not enabled for agent demo", "hyperliquid, ostium"]);
    let events = home.run(&["events", "--json"]).well();
    let allowed = ["\"started\"", "\"funded\"", "\"followed\""];
    assert!(events.lines().all(|line| allowed.iter().any(|kind| line.contains(kind))), "{events}");
    assert_eq!((home.orders_at("hyperliquid"), home.orders_at("ostium")), (0, 0));
    let execution = home.execution(&["signal", "--id", "s-1", "--notional", "500", "--long", "--asset", "HYPE"]);
    assert!(execution.legs.iter().all(|leg| leg.outcome == Some(Outcome::Filled)), "{execution:?}");
}

#[test]
fn what_a_limit_or_a_venue_does_not_take_is_refused_with_its_numbers() {
    let home = Home::new();
    let check = |arguments: &[&str], code: &str, words: &[&str]| {
        let execution = home.execution(&[&["signal", "--asset", "HYPE", "--long"], arguments].concat());
        for leg in &execution.legs {
            assert_eq!((leg.outcome, leg.code.as_deref()), (Some(Outcome::Refused), Some(code)), "{leg:?}");
            contains(leg.reason.as_deref().unwrap(), words);
        }
    };
    check(&["--notional", "5001"], "max_order_notional", &["the limit of deployment demo is 5000 an order"]);
    check(&["--notional", "3"], "venue_filter", &["is below the smallest order"]);
    check(&["--notional", "500", "--leverage", "51"], "max_leverage", &["leverage 51 is above the"]);
    check(&["--quantity", "9999999999999999999"], "venue_filter", &["9999999999999999999"]);
    assert_eq!((home.orders_at("hyperliquid"), home.orders_at("ostium")), (0, 0));
}

/// A configuration with one account, in which one line is to be wrong.
const CONFIG: &str = r#"data_dir = "data"

[journal]
views = true

[[account]]
id = "main"
venue = "hyperliquid"
environment = "paper"
[account.paper]
balance = "10000"

[[agent]]
id = "demo"

[[deployment]]
id = "demo"
agent = "demo"
accounts = [{ account = "main" }]
[deployment.limits]
max_notional = "1000"

[risk]
max_notional = "1000"

[timing]
leg_deadline = "5s"
"#;

#[test]
fn a_configuration_that_does_not_fit_is_refused_with_the_key_and_what_fits() {
    Config::from_toml(CONFIG, "the plain one", "".as_ref()).unwrap();
    let secret = "sk-live-hunter2";
    let check = |from: &str, to: &str, words: &[&str]| {
        assert!(CONFIG.contains(from), "{from}");
        let home = Home::with_config(&CONFIG.replacen(from, to, 1));
        for verb in [&["signal", "--asset", "HYPE", "--long", "--notional", "500"][..], &["run"], &["status"], &["doctor"], &["kill"]] {
            let said = unchanged(&home, || home.run(verb).failed(2, words));
            contains(&said, &["omnivenue.toml"]);
            assert!(!said.contains(secret), "{said}");
            let error = unchanged(&home, || home.json_error(2, verb));
            assert_eq!(error["code"], "bad_configuration");
            assert!(!error.to_string().contains(secret), "{error}");
        }
    };
    check(
        "[deployment.limits]\nmax_notional",
        "[deployment.limits]\nmax_notinal",
        &["deployment[0].limits.max_notinal (line 21)", "did you mean `max_notional`?"],
    );
    check("leg_deadline", "leg_dedline", &["timing.leg_dedline (line 27)", "did you mean `leg_deadline`?"]);
    check("views = true", "veiws = true", &["journal.veiws", "did you mean `views`?"]);
    check("[risk]", "[rsik]", &["rsik", "did you mean `risk`?"]);
    check("balance = \"10000\"", "balance = 10000", &["account[0].paper.balance", "got the number 10000", "write \"10000\""]);
    check("balance = \"10000\"", "balance = \"-1\"", &["account[0].paper.balance", "-1", "0 or more"]);
    check("balance = \"10000\"", "balance = \"NaN\"", &["account[0].paper.balance", "`NaN` is not a decimal number"]);
    check("leg_deadline = \"5s\"", "leg_deadline = 5", &["timing.leg_deadline", "got 5", "a length of time in quotes"]);
    check("leg_deadline = \"5s\"", "leg_deadline = \"5 seconds\"", &["timing.leg_deadline", "`5 seconds` is not a length of time"]);
    check("leg_deadline = \"5s\"", "leg_deadline = \"0s\"", &["timing.leg_deadline", "must be longer"]);
    check(
        "views = true",
        &format!("chain_key = \"{secret}\""),
        &["journal.chain_key", "plain-text secrets are refused", "\"env:NAME\" or \"file:PATH\"", "not shown"],
    );
    check("views = true", &format!("chain_key = \"env:{secret}\""), &["journal.chain_key", "the name of a variable"]);
    check("views = true", &format!("chian_key = \"{secret}\""), &["journal.chian_key", "did you mean `chain_key`?"]);
    check("views = true", &format!("chain_key = {secret}"), &["line 4"]);
    let credentials = |value: &str| format!("environment = \"paper\"\ncredentials = {{ api_key = {value} }}");
    check(
        "environment = \"paper\"",
        &credentials(&format!("\"{secret}\"")),
        &["account[0].credentials.api_key", "plain-text secrets are refused"],
    );
    check("environment = \"paper\"", &credentials("12345678"), &["account[0].credentials.api_key", "not shown"]);
    check("environment = \"paper\"", "environment = \"mainnet\"", &["account[0].environment", "without `armed = true`", "real money"]);
    check("environment = \"paper\"", "environment = \"mainnet\"\narmed = true", &["account[0].paper", "private_key is missing"]);
    check("environment = \"paper\"", "environment = \"testnet\"", &["account[0].paper", "the environment is not \"paper\""]);
    check("environment = \"paper\"", "environment = \"papre\"", &["account[0].environment", "\"papre\"", "did you mean `paper`?"]);
    check(
        "accounts = [{ account = \"main\" }]",
        "accounts = [{ account = \"mian\" }]",
        &["deployment[0].accounts[0].account", "\"mian\"", "did you mean `main`?"],
    );
    check("agent = \"demo\"", "agent = \"dmeo\"", &["deployment[0].agent", "\"dmeo\"", "did you mean `demo`?"]);
    check("venue = \"hyperliquid\"", "venue = \"elsewhere\"", &["account[0].paper", "preset is missing", "hyperliquid"]);
    check("balance = \"10000\"", "faults = { cut_after = 1001 }", &["faults.cut_after", "1001", "0 to 1000"]);
    check("views = true", "views = true\nviews = true", &["line 5", "duplicate"]);
}

#[test]
fn a_configuration_that_is_not_there_is_no_built_in_one() {
    let home = Home::new();
    unchanged(&home, || home.run(&["status", "--config", "nowhere.toml"]).failed(2, &["nowhere.toml cannot be read", "No such file"]));
    unchanged(&home, || {
        home.run(&["signal", "--config", "nowhere.toml", "--asset", "HYPE", "--long", "--notional", "5"]).failed(2, &["nowhere.toml"])
    });
}

/// One account at a venue whose HYPE follows a file of candles.
const CANDLES: &str = r#"
[[account]]
id = "main"
venue = "hyperliquid"
[account.paper]
prices = { candles = { HYPE = "hype.csv" }, speed = 60 }
[[agent]]
id = "demo"
[[deployment]]
id = "demo"
agent = "demo"
accounts = [{ account = "main" }]
"#;

#[test]
fn market_data_that_cannot_be_used_is_named_by_file_line_and_value() {
    let good = candles::minutes(5, 50, 3_810, 4);
    let line = |number: usize| good.lines().nth(number - 1).unwrap();
    let gap = good.replacen(&format!("{}\n", line(7)), "", 1);
    let column = good.replacen("close", "last", 1);
    let price = good.replacen(line(9), &line(9).replacen(',', ",x", 1), 1);
    let zipped = {
        let folder = tempfile::tempdir().unwrap();
        candles::write_gz(&folder.path().join("x.gz"), &good);
        std::fs::read(folder.path().join("x.gz")).unwrap()
    };
    let time = |number: usize| line(number).split(',').next().unwrap().to_owned();
    let gap_at = format!("line 7: open_time_ms is `{}`", time(8));
    let value_at = format!("line 9: open is `x{}`", line(9).split(',').nth(1).unwrap());
    // A file, what is in it, and what is said of it.
    type Case<'a> = (&'a str, Option<&'a [u8]>, &'a [&'a str]);
    let cases: [Case<'_>; 6] = [
        ("hype.csv", None, &["hype.csv: cannot be read"]),
        ("hype.csv", Some(b""), &["hype.csv: has 0 candles, but at least 2 are needed"]),
        ("hype.csv", Some(gap.as_bytes()), &["hype.csv", &gap_at, "60000 ms after the line before", "gap"]),
        ("hype.csv", Some(column.as_bytes()), &["hype.csv, line 1: has no column `close`", "open,high,low,last,volume"]),
        ("hype.csv", Some(price.as_bytes()), &["hype.csv", &value_at, "a price"]),
        ("hype.csv.gz", Some(&zipped[..zipped.len() - 20]), &["hype.csv.gz: the gzip ends too early or is damaged"]),
    ];
    for (name, content, words) in cases {
        let home = Home::with_config(&CANDLES.replace("hype.csv", name));
        if let Some(content) = content {
            std::fs::write(home.file(name), content).unwrap();
        }
        let order = ["signal", "--asset", "HYPE", "--long", "--notional", "100", "--id", "s-1"];
        home.run(&order).failed(1, &["the simulated exchange of venue hyperliquid cannot be opened"]);
        home.run(&order).failed(1, words);
        home.run(&["run"]).failed(1, words);
        assert!(home.truth("hyperliquid").is_none(), "the exchange has not begun");
        assert_eq!(home.run(&["events"]).well(), "", "nothing is in the journal");
        if name.ends_with("gz") {
            candles::write_gz(&home.file(name), &good);
        } else {
            home.write(name, &good);
        }
        let execution = home.execution(&order);
        assert_eq!(execution.legs[0].outcome, Some(Outcome::Filled), "{execution:?}");
    }
    let home = Home::with_config(&CANDLES.replace("HYPE =", "HYPO ="));
    home.write("hype.csv", &good);
    home.run(&["run"]).failed(1, &["prices names HYPO, but its instruments are HYPE, BTC, ETH"]);
}

/// Signals whose metadata makes the journal grow much faster than the exchanges' files.
fn heavy(count: usize) -> String {
    let weight = "x".repeat(100_000);
    let assets = ["HYPE", "BTC", "ETH"];
    let heavy = |index: usize| {
        let asset = assets[index % 3];
        let body = signal(&format!("s-{index}"), "demo", asset, "100");
        body.replacen('{', &format!("{{\"metadata\":{{\"weight\":\"{weight}\"}},"), 1) + "\n"
    };
    (0..count).map(heavy).collect()
}

/// The command where no file may grow beyond 1.5 MB: to a process that is what a full disk is.
fn on_a_small_disk(home: &Home, arguments: &str) -> Command {
    let mut command = Command::new("sh");
    // Without the trap the system ends the process where the write would fail.
    let script = format!("trap '' XFSZ; ulimit -f 3000; exec \"$OMNIVENUE\" {arguments}");
    command.args(["-c", &script]).env("OMNIVENUE", env!("CARGO_BIN_EXE_omnivenue"));
    home.settle(command)
}

#[test]
fn on_a_full_disk_entries_stop_and_after_a_restart_all_is_there() {
    let home = Home::new();
    let count = 40;
    home.write("signals.jsonl", &heavy(count));
    let ended = home.finish(on_a_small_disk(&home, "run signals.jsonl --in-flight 1"));
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    contains(&ended.stderr, &["the journal cannot be written", "no entry is taken any more"]);
    let answers: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), count, "every signal is answered");
    let (filled, refused): (Vec<&Value>, Vec<&Value>) =
        answers.iter().partition(|answer| !answer.to_string().contains("journal_unwritable"));
    assert!(!filled.is_empty() && refused.len() > 2, "{} were carried out, {} were not", filled.len(), refused.len());
    let words = ["the journal cannot be written", "journal.db", "no entry is taken until the engine is restarted"];
    refused[1..].iter().for_each(|answer| contains(answer["error"]["message"].as_str().unwrap(), &words));
    // What left before the disk was full is at the exchanges, and nothing else.
    assert_eq!((home.orders_at("hyperliquid"), home.orders_at("ostium")), (filled.len(), filled.len()));

    let again = home.run(&["run", "signals.jsonl", "--in-flight", "1"]).well();
    let again: Vec<Execution> = again.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (before, after) in filled.iter().zip(&again) {
        let before: Execution = serde_json::from_value((*before).clone()).unwrap();
        let orders =
            |execution: &Execution| execution.legs.iter().map(|leg| (leg.client_order_id.clone(), leg.filled_quantity)).collect::<Vec<_>>();
        assert_eq!((&before.signal_id, orders(&before)), (&after.signal_id, orders(after)), "what was answered stays as it was");
    }
    let files = books::files(home.path());
    files.assert_exactly_once();
    files.assert_books_equal_venues();
    let ids: Vec<SignalId> = (0..count).map(|index| format!("s-{index}").parse().unwrap()).collect();
    assert_eq!(files.assert_answered(&ids, 2), 2 * count, "all were carried out now");
}

#[test]
fn on_a_full_disk_positions_can_still_be_closed() {
    let home = Home::new();
    let mut command = on_a_small_disk(&home, "run --stay --in-flight 1");
    command.stdin(Stdio::piped());
    let mut engine = Process::start(command);
    for line in heavy(40).lines() {
        engine.tell(line);
        if engine.line().unwrap().contains("journal_unwritable") {
            break;
        }
    }
    let status = home.json(&["status"]);
    assert_eq!(status["health"]["status"], "journal_unwritable");
    contains(status["health"]["failure"].as_str().unwrap(), &["journal.db"]);
    assert_eq!(status["health"]["positions"], 6);
    home.run(&["signal", "--asset", "HYPE", "--long", "--notional", "100"]).failed(1, &["the journal cannot be written"]);
    let closed = home.execution(&["close", "--all"]);
    assert_eq!(closed.legs.len(), 6);
    assert!(closed.legs.iter().all(|leg| leg.outcome == Some(Outcome::Filled)), "{closed:?}");
    for venue in ["hyperliquid", "ostium"] {
        let truth = home.truth(venue).unwrap();
        let positions = truth.accounts.values().flat_map(|account| account.positions.values());
        assert!(positions.clone().count() > 0 && positions.into_iter().all(|position| position.quantity.is_zero()), "{truth:?}");
    }
    // A kill holds in this process; that it holds beyond it cannot be promised, and that is said.
    home.run(&["kill"]).failed(1, &["the journal cannot be written"]);
    let (running, _) = engine.kill();
    assert!(running);

    // The orders that left without an entry of their own are known by their names.
    home.run(&["reconcile"]).well();
    let files = books::files(home.path());
    assert!(files.is_flat());
    assert_eq!(files.closes, 6);
    files.assert_exactly_once();
    files.assert_books_equal_venues();
}

#[test]
fn a_journal_that_was_tampered_with_is_not_opened() {
    let home = Home::new();
    home.run(&["signal", "--asset", "HYPE", "--long", "--notional", "500", "--id", "s-1"]).well();
    let journal = home.file(".omnivenue/journal.db");
    let conn = rusqlite::Connection::open(&journal).unwrap();
    let changed =
        conn.execute("UPDATE entries SET body = replace(body, '12.99', '12.98') WHERE kind = 'reported' AND seq = 9", []).unwrap();
    assert_eq!(changed, 1);
    drop(conn);
    let words = ["the journal's hash chain is broken", "entry 9", "omnivenue journal verify"];
    let orders = home.orders_at("hyperliquid");
    for verb in [&["signal", "--asset", "HYPE", "--long", "--notional", "500"][..], &["run"], &["close", "--all"], &["kill"]] {
        home.run(verb).failed(1, &words);
        assert_eq!(home.json_error(1, verb)["code"], "journal_broken");
    }
    home.run(&["journal", "verify"]).failed(1, &["entry 9"]);
    let doctor = home.run(&["doctor", "--json"]);
    assert_eq!(doctor.code(), 1);
    contains(&doctor.stdout, &["journal chain", "entry 9"]);
    assert_eq!(home.orders_at("hyperliquid"), orders);
}

#[test]
fn a_journal_that_was_set_back_is_noticed_at_the_venue() {
    let home = Home::new();
    home.run(&["signal", "--asset", "HYPE", "--long", "--notional", "100", "--id", "s-1"]).well();
    home.run(&["journal", "backup", "older.db"]).well();
    home.run(&["signal", "--asset", "HYPE", "--long", "--notional", "100", "--id", "s-2"]).well();
    for name in ["journal.db", "journal.db-wal", "journal.db-shm", "journal.views.db"] {
        std::fs::remove_file(home.file(".omnivenue").join(name)).unwrap();
    }
    std::fs::copy(home.file("older.db"), home.file(".omnivenue/journal.db")).unwrap();
    let orders = (home.orders_at("hyperliquid"), home.orders_at("ostium"));
    let refused = home.execution(&["signal", "--asset", "HYPE", "--long", "--notional", "100", "--id", "s-3"]);
    for leg in &refused.legs {
        assert_eq!((leg.outcome, leg.code.as_deref()), (Some(Outcome::Refused), Some("halted")), "{leg:?}");
    }
    assert_eq!((home.orders_at("hyperliquid"), home.orders_at("ostium")), orders, "nothing was sent");
    let status = home.json(&["status"]);
    let accounts = status["health"]["accounts"].as_array().unwrap();
    assert!(accounts.iter().all(|account| account["status"] == "halted"), "{status}");
    // It holds over restarts, for the very signal that was lost too.
    let lost = home.execution(&["signal", "--asset", "HYPE", "--long", "--notional", "100", "--id", "s-2"]);
    assert!(lost.legs.iter().all(|leg| leg.code.as_deref() == Some("halted")), "{lost:?}");
    assert_eq!((home.orders_at("hyperliquid"), home.orders_at("ostium")), orders);
}

#[test]
fn a_file_that_is_no_journal_is_left_alone() {
    let home = Home::new();
    std::fs::create_dir(home.file(".omnivenue")).unwrap();
    home.write(".omnivenue/journal.db", "someone's notes");
    let before = std::fs::read(home.file(".omnivenue/journal.db")).unwrap();
    home.run(&["signal", "--asset", "HYPE", "--long", "--notional", "500"])
        .failed(1, &["journal.db is not a journal of omnivenue", "name another file"]);
    home.run(&["status"]).failed(1, &["journal.db is not a journal of omnivenue"]);
    assert_eq!(std::fs::read(home.file(".omnivenue/journal.db")).unwrap(), before);
}

#[test]
fn a_journal_with_a_key_does_not_open_with_another_one() {
    let home = Home::with_config(&CONFIG.replace("views = true", "chain_key = \"env:CHAIN_KEY\""));
    let order = |key: Option<&str>, id: &str| {
        let mut command = home.command(&["signal", "--asset", "HYPE", "--long", "--notional", "100", "--id", id]);
        command.env_remove("CHAIN_KEY");
        key.map(|key| command.env("CHAIN_KEY", key));
        home.finish(command)
    };
    order(None, "s-1").failed(1, &["journal.chain_key", "the environment variable CHAIN_KEY is not set"]);
    assert!(!home.file("data/journal.db").exists(), "nothing is begun without its key");
    order(Some("the first key"), "s-1").well();
    order(Some("another key"), "s-2").failed(1, &["the chain key given is not the one", "was begun with"]);
    order(Some("the first key"), "s-2").well();
    assert_eq!(eventually("both are there", || home.truth_in("data", "hyperliquid")).accounts.values().next().unwrap().orders.len(), 2);
}
