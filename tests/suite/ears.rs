//! What an engine tells of itself: log files, numbers, health, events.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use omnivenue::config::TEMPLATE;
use omnivenue::engine::{Health, METRICS};

use crate::support::{Home, Process, contains, eventually, signal};

/// The built-in configuration with more in it.
fn told(more: &str) -> String {
    format!("{TEMPLATE}\n{more}\n")
}

/// Starts an engine that takes signals from stdin and stays.
fn stay(home: &Home) -> Process {
    let mut command = home.command(&["run", "--stay"]);
    command.stdin(Stdio::piped());
    let process = Process::start(command);
    eventually("the engine answers", || home.json(&["status"])["running"].as_bool().filter(|running| *running));
    process
}

/// Where the numbers are, as the command says.
fn address(process: &Process) -> String {
    eventually("it says where the numbers are", || {
        let text = process.stderr();
        let (_, rest) = text.split_once("http://")?;
        Some(rest.split_once("/metrics")?.0.to_owned())
    })
}

fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head.to_owned(), body.to_owned())
}

/// The value of one number; the sum over what is left open of its labels.
fn value(body: &str, name: &str, labels: &[&str]) -> f64 {
    let lines = body.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])) && labels.iter().all(|label| line.contains(label))
    });
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

#[test]
fn every_number_is_documented_and_every_documented_number_is_exported() {
    let losses = "losses = { max_daily_loss = \"1000\" }";
    let given = format!("{losses} #");
    let home =
        Home::with_config(&told("[metrics]\nlisten = \"127.0.0.1:0\"").replacen(&format!("# {losses}   # of everything"), &given, 1));
    let mut engine = stay(&home);
    let address = address(&engine);
    engine.tell(&signal("a", "demo", "HYPE", "500"));
    contains(&engine.line().unwrap(), &["\"a\"", "filled"]);
    engine.tell(&signal("b", "demo", "HYPE", "5000000"));
    contains(&engine.line().unwrap(), &["\"b\"", "refused"]);

    let body = eventually("the gauges are up to date", || {
        let (head, body) = get(&address, "/metrics");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let known = body.contains("omnivenue_loss_allowed{") && !body.contains("NaN");
        (known && value(&body, "omnivenue_positions", &[]) >= 2.0).then_some(body)
    });
    let exported: BTreeMap<&str, &str> =
        body.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(|line| line.split_once(' ').unwrap()).collect();
    let table: BTreeMap<&str, String> = METRICS.iter().map(|metric| (metric.name, metric.kind.to_string())).collect();
    let table: BTreeMap<&str, &str> = table.iter().map(|(name, kind)| (*name, kind.as_str())).collect();
    assert_eq!(exported, table);

    let documented: BTreeSet<String> =
        include_str!("../../docs/metrics.md").lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    let rows = METRICS.iter().map(|metric| {
        let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        format!("| `{}` | {} | {labels} | {} |", metric.name, metric.kind, metric.help)
    });
    assert_eq!(documented, rows.collect(), "docs/metrics.md is the table of METRICS");
    for metric in METRICS.iter().filter(|metric| !metric.labels.is_empty()) {
        let line = body
            .lines()
            .find(|line| line.starts_with(&format!("{}{{", metric.name)) || line.starts_with(&format!("{}_sum{{", metric.name)));
        let line = line.unwrap_or_else(|| panic!("{} is told by its labels", metric.name));
        let names: BTreeSet<&str> =
            line[line.find('{').unwrap() + 1..line.rfind('}').unwrap()].split(',').map(|label| label.split_once('=').unwrap().0).collect();
        assert_eq!(names, metric.labels.iter().copied().collect(), "{line}");
    }

    assert_eq!(value(&body, "omnivenue_signals_total", &["agent=\"demo\""]), 2.0);
    assert_eq!(value(&body, "omnivenue_legs_planned_total", &[]), 2.0);
    assert_eq!(value(&body, "omnivenue_legs_refused_total", &["agent=\"demo\"", "code="]), 2.0);
    assert_eq!(value(&body, "omnivenue_legs_filled_total", &["venue=\"ostium\""]), 1.0);
    for stage in ["resolved", "cleared", "prepared", "journaled", "sent", "acknowledged"] {
        let labels = ["venue=\"hyperliquid\"", &format!("stage=\"{stage}\"")];
        assert!(value(&body, "omnivenue_stage_seconds_count", &labels) >= 1.0, "{stage}");
    }
    assert!(value(&body, "omnivenue_calls_total", &["operation=\"place\""]) >= 2.0);
    assert!(value(&body, "omnivenue_journal_flush_seconds_count", &[]) >= 1.0);
    assert!(value(&body, "omnivenue_equity", &["account=\"hyperliquid-paper\""]) > 9_000.0);
    assert_eq!(value(&body, "omnivenue_loss_allowed", &["scope=\"everything\"", "limit=\"max_daily_loss\""]), 1_000.0);
    assert!(value(&body, "omnivenue_uptime_seconds", &[]) > 0.0);
    assert!(get(&address, "/").0.starts_with("HTTP/1.1 404"));
    // What a signal holds beside names and codes is no number's label.
    assert!(!body.contains("\"a\"") && !body.contains(&home.path().display().to_string()));
    drop(engine);
}

#[test]
fn a_log_line_names_signal_leg_venue_and_order_once_and_each_agent_has_its_own() {
    let more = "[log]\ndir = \"logs\"\nper_agent = true\nlevel = \"debug\"\n[[agent]]\nid = \"other\"\n\
                [[deployment]]\nid = \"other\"\nagent = \"other\"\naccounts = [{ account = \"hyperliquid-paper\" }]";
    let home = Home::with_config(&told(more));
    let mut engine = stay(&home);
    for (id, agent) in [("mine-1", "demo"), ("theirs-1", "other")] {
        engine.tell(&signal(id, agent, "HYPE", "500"));
        contains(&engine.line().unwrap(), &[id]);
    }
    let read = |name: &str| std::fs::read_to_string(home.file("logs").join(name)).unwrap_or_default();
    let mine = eventually("its file has all of it", || {
        let text = read("agent-demo.log");
        (text.matches(" traded ").count() == 2).then_some(text)
    });
    assert!(!mine.contains("theirs-1"), "{mine}");
    contains(&read("agent-other.log"), &["theirs-1", "traded", "venue=hyperliquid"]);
    let all = read("omnivenue.log");
    assert!(mine.lines().all(|line| all.contains(line)), "what an agent's file has is in the common one");
    for venue in ["hyperliquid", "ostium"] {
        let of_venue: Vec<&str> = mine.lines().filter(|line| line.contains(&format!("venue={venue}"))).collect();
        for words in ["order prepared", "handed to its account", "traded"] {
            let lines: Vec<&&str> = of_venue.iter().filter(|line| line.contains(words)).collect();
            assert_eq!(lines.len(), 1, "{words} is told once:\n{of_venue:#?}");
            contains(lines[0], &["signal_id=mine-1", "leg=", "deployment=demo", &format!("account={venue}-paper"), "client_order_id="]);
        }
    }
    // The private parts of a request are in no line, and the files are their owner's.
    use std::os::unix::fs::PermissionsExt as _;
    for name in ["omnivenue.log", "agent-demo.log", "agent-other.log"] {
        let mode = std::fs::metadata(home.file("logs").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    drop(engine);
}

#[test]
fn health_tells_how_each_part_is() {
    let home = Home::new();
    let mut engine = stay(&home);
    engine.tell(&signal("a", "demo", "HYPE", "500"));
    contains(&engine.line().unwrap(), &["filled"]);
    let mut reader = home.start(&["events", "--follow", "--json"]);
    assert!(reader.line().is_some());
    let health: Health = eventually("the reader is counted", || {
        let health: Health = serde_json::from_value(home.json(&["status"])["health"].clone()).unwrap();
        (health.events.readers == 1 && health.events.furthest_behind == 0).then_some(health)
    });
    assert!(health.uptime_ms.is_some_and(|uptime| uptime > 0));
    assert_eq!(health.venues.len(), 2);
    for venue in &health.venues {
        assert!(
            venue.calls_total > 0 && venue.failed_total == 0 && venue.latency_us.is_some() && venue.price_ms_ago.is_some(),
            "{venue:?}"
        );
    }
    assert!(health.accounts.iter().all(|account| account.compared_ms_ago.is_some()));
    assert!(health.journal.bytes > Some(4_096) && health.journal.flush_us.is_some() && health.journal.head >= health.journal.durable);
    contains(&home.run(&["status"]).well(), &["up for: ", "latest flush", "event readers: 1", "venues", "latency us"]);
    assert!(reader.is_running());
    drop(engine);
    let offline: Health = serde_json::from_value(home.json(&["status"])["health"].clone()).unwrap();
    assert_eq!((offline.status.as_str(), offline.uptime_ms), ("offline", None));
}

/// A signal with something attached that must not be found again.
fn with_metadata(id: &str, needle: &str) -> String {
    let plain = signal(id, "demo", "HYPE", "500");
    format!("{},\"metadata\":{{\"note\":\"{needle}\"}}}}", plain.strip_suffix('}').unwrap())
}

fn holds(home: &Home, needle: &str) -> Vec<std::path::PathBuf> {
    let found = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    home.files().into_iter().filter(|(_, bytes)| found(bytes)).map(|(path, _)| path).collect()
}

/// A person's right to be forgotten: FIELD, "what the model said is in a database for ever".
#[test]
fn what_was_attached_is_erased_from_every_file_and_the_chain_stays_whole() {
    let home = Home::new();
    let mut engine = stay(&home);
    for (id, needle) in [("a", "needle-of-a"), ("b", "needle-of-b"), ("c", "needle-of-c")] {
        engine.tell(&with_metadata(id, needle));
        contains(&engine.line().unwrap(), &["filled"]);
    }
    engine.tell(&signal("plain", "demo", "HYPE", "500"));
    contains(&engine.line().unwrap(), &["filled"]);
    assert!(!holds(&home, "needle-of-a").is_empty(), "or the search finds nothing");
    home.run(&["journal", "erase", "a"]).well();
    assert_eq!(holds(&home, "needle-of-a"), Vec::<std::path::PathBuf>::new(), "while the engine runs");
    home.run(&["journal", "erase", "plain"]).failed(1, &["nothing was attached to plain"]);
    home.run(&["journal", "erase", "never"]).failed(1, &["never"]);
    drop(engine);
    home.run(&["journal", "erase", "b"]).well();
    assert_eq!(holds(&home, "needle-of-b"), Vec::<std::path::PathBuf>::new(), "without one");
    assert!(!holds(&home, "needle-of-c").is_empty());
    contains(&home.run(&["journal", "verify"]).well(), &["the journal is whole"]);
    let events = home.run(&["events"]).well();
    assert_eq!(events.matches(" metadata_erased ").count(), 2, "{events}");
    // The execution is what it was, and the same signal is the same execution.
    let mut engine = stay(&home);
    engine.tell(&with_metadata("a", "other words"));
    contains(&engine.line().unwrap(), &["\"a\"", "filled"]);
    assert_eq!(holds(&home, "other words"), Vec::<std::path::PathBuf>::new());
    drop(engine);
}

#[test]
fn limits_change_while_it_runs_and_the_rest_is_refused_as_a_whole() {
    let home = Home::with_config(TEMPLATE);
    let mut engine = stay(&home);
    engine.tell(&signal("before", "demo", "HYPE", "500"));
    contains(&engine.line().unwrap(), &["filled"]);
    let resting = r#"{"id":"resting","agent":"demo","asset":"HYPE","direction":"long","sizing":{"notional":"100"},"valid_for":"1h",
        "order":{"type":"limit","price":"1","time_in_force":"gtc"},"venues":["hyperliquid"]}"#
        .replace('\n', "");
    engine.tell(&resting);
    let rests = |home: &Home| {
        let orders = home.json(&["orders"]);
        orders.as_array().unwrap().iter().filter(|order| order["state"] == "open").count() == 1
    };
    eventually("the limit order rests", || rests(&home).then_some(()));
    contains(&home.run(&["reload"]).well(), &["nothing has changed"]);

    // Tightened: what is open stays, what comes is refused.
    let tight = TEMPLATE.replacen("max_asset_notional = \"20000\"", "max_asset_notional = \"200\"", 1);
    home.write("omnivenue.toml", &tight);
    let shown = home.run(&["reload"]).well();
    contains(&shown, &["deployment[demo].limits.max_asset_notional: \"20000\" -> \"200\""]);
    engine.tell(&signal("after", "demo", "HYPE", "500"));
    let line = std::iter::from_fn(|| engine.line()).find(|line| line.contains("\"after\"")).unwrap();
    contains(&line, &["refused", "200"]);
    assert!(rests(&home), "nothing that is open was canceled");
    assert_eq!(home.json(&["positions"]).as_array().unwrap().len(), 2);

    // One key that may not change, and nothing is changed.
    let both = TEMPLATE.replacen("[journal]", "[journal]\nviews = false", 1);
    home.write("omnivenue.toml", &both);
    home.run(&["reload"]).failed(2, &["journal.views", "restart", "nothing was changed"]);
    engine.tell(&signal("still", "demo", "HYPE", "500"));
    let line = std::iter::from_fn(|| engine.line()).find(|line| line.contains("\"still\"")).unwrap();
    contains(&line, &["refused"]);
    home.write("omnivenue.toml", &tight.replacen("errors_high = 5 ", "errors_high = \"five\" ", 1));
    home.run(&["reload"]).failed(2, &["breakers.errors_high"]);

    // Switched off, and on again.
    let off = TEMPLATE.replacen("# enabled = true ", "enabled = false ", 1);
    home.write("omnivenue.toml", &off);
    home.run(&["reload"]).well();
    engine.tell(&signal("off", "demo", "HYPE", "500"));
    let line = std::iter::from_fn(|| engine.line()).find(|line| line.contains("\"off\"")).unwrap();
    contains(&line, &["agent_disabled"]);
    home.write("omnivenue.toml", TEMPLATE);
    home.run(&["reload"]).well();
    engine.tell(&signal("on", "demo", "HYPE", "500"));
    let line = std::iter::from_fn(|| engine.line()).find(|line| line.contains("\"on\"")).unwrap();
    contains(&line, &["filled"]);
    let events: Vec<serde_json::Value> =
        home.run(&["events", "--json"]).well().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let changed: Vec<&serde_json::Value> = events.iter().filter(|entry| entry["event"]["event"] == "config_changed").collect();
    assert_eq!(changed.len(), 3);
    let change = &changed[0]["event"]["changes"][0];
    assert_eq!((&change["before"], &change["after"]), (&"20000".into(), &"200".into()));
    drop(engine);
    home.run(&["reload"]).failed(4, &["no engine runs"]);
}

#[test]
fn a_reader_of_a_journal_that_let_go_of_old_entries_is_told_and_an_old_id_is_never_a_new_signal() {
    let text = r#"
        [journal]
        segment_entries = 1000
        retain_segments = 1
        [[account]]
        id = "hyperliquid-paper"
        venue = "hyperliquid"
        [account.paper]
        balance = "10000"
        [[agent]]
        id = "demo"
        [[deployment]]
        id = "demo"
        agent = "demo"
        accounts = [{ account = "hyperliquid-paper" }]
    "#;
    let home = Home::with_config(text);
    let mut engine = stay(&home);
    engine.tell(&signal("first", "demo", "HYPE", "100"));
    contains(&engine.line().unwrap(), &["filled"]);
    let orders = home.orders_at("hyperliquid");
    engine.tell(&signal("second", "demo", "HYPE", "100"));
    contains(&engine.line().unwrap(), &["filled"]);
    // Refused again and again, until what came first is neither at hand any more nor in the journal.
    let mut sent = 0;
    let first = eventually("the journal lets go of its beginning", || {
        for _ in 0..100 {
            sent += 1;
            engine.tell(&signal(&format!("s-{sent}"), "demo", "HYPE", "9000000"));
        }
        (0..100).for_each(|_| contains(&engine.line().unwrap(), &["refused"]));
        let first = home.json(&["journal", "verify"])["first"].as_u64();
        first.filter(|first| *first > 200 && sent > omnivenue::executor::RETAINED)
    });
    // What is in the memory of the engine is missed by nobody; after a restart the journal is all there is.
    contains(home.run(&["events", "--since", "5", "--json"]).well().lines().next().unwrap(), &["\"seq\":6"]);
    drop(engine);
    contains(home.run(&["events", "--since", "5", "--json"]).well().lines().next().unwrap(), &["{\"missed\":{\"from\":6,\"to\":"]);
    let mut engine = stay(&home);
    let mut reader = home.start(&["events", "--since", "5", "--follow", "--json"]);
    let line: serde_json::Value = serde_json::from_str(&reader.line().unwrap()).unwrap();
    assert_eq!(line["missed"]["from"], 6, "{line}");
    let to = line["missed"]["to"].as_u64().unwrap();
    assert!(to + 1 >= first, "{line}");
    let next: serde_json::Value = serde_json::from_str(&reader.line().unwrap()).unwrap();
    assert_eq!(next["seq"], to + 1);
    assert!(reader.is_running());
    // The same id with the same body: no second order, and no claim that it never was.
    let before = home.orders_at("hyperliquid");
    engine.tell(&signal("first", "demo", "HYPE", "100"));
    contains(&engine.line().unwrap(), &["not_kept", "first"]);
    engine.tell(&signal("first", "demo", "HYPE", "101"));
    contains(&engine.line().unwrap(), &["conflict"]);
    assert_eq!(home.orders_at("hyperliquid"), before);
    assert!(before > orders);
    home.run(&["execution", "first"]).failed(1, &["no longer kept"]);
    // Segments are beside the journal, whole on their own, and a missing one is named.
    let segment = |number: u32| home.file(&format!(".omnivenue/journal.db.{number:06}.segment"));
    contains(&home.run(&["journal", "verify-segment", segment(1).to_str().unwrap()]).well(), &["segment 1 is whole", "entries: 1 to "]);
    std::fs::rename(segment(1), home.file("archived")).unwrap();
    let ended = home.run(&["journal", "verify"]);
    assert_eq!(ended.code(), 1);
    contains(&ended.stdout, &["segment 1 (entries 1 to ", "is missing"]);
    drop(engine);
    // A start from the latest snapshot, with what is left.
    let mut engine = stay(&home);
    engine.tell(&signal("last", "demo", "HYPE", "100"));
    contains(&engine.line().unwrap(), &["filled"]);
    drop(engine);
}
