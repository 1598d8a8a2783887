//! The kill switch as people use it: from a second terminal, with a secret that lifts it, and practiced.

use omnivenue::config::TEMPLATE;
use omnivenue::engine::KillReport;
use omnivenue::model::execution::{Execution, Outcome};

use crate::command::{first, stay};
use crate::support::{Home, contains};

const RIGHT: &str = "correct-horse-battery";
const WRONG: &str = "wrong-horse-battery";

/// A folder with the built-in configuration, in which a secret lifts the kill switch.
fn guarded() -> Home {
    let text = TEMPLATE.replace("# [kill]", "[kill]").replace("# secret = \"env:OMNIVENUE_KILL_SECRET\"", "secret = \"file:held.secret\"");
    assert_ne!(text, TEMPLATE);
    let home = Home::with_config(&text);
    home.write("held.secret", &format!("{RIGHT}\n"));
    home.write("right", &format!("{RIGHT}\n"));
    home.write("wrong", &format!("{WRONG}\n"));
    home
}

fn is_filled(execution: &Execution) -> bool {
    execution.legs.len() == 2 && execution.legs.iter().all(|leg| leg.outcome == Some(Outcome::Filled))
}

fn is_flat(home: &Home) -> bool {
    let flat = |venue: &str| {
        home.truth(venue).is_none_or(|truth| {
            truth.accounts.values().flat_map(|account| account.positions.values()).all(|position| position.quantity.is_zero())
        })
    };
    flat("hyperliquid") && flat("ostium")
}

fn reports(home: &Home) -> Vec<KillReport> {
    let ended = home.run(&["kill", "--report", "--json"]);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[test]
fn a_kill_from_a_second_terminal_flattens_and_only_its_secret_lifts_it() {
    let home = guarded();
    let engine = stay(&home);
    assert!(is_filled(&home.execution(&first("s-1"))));
    let resting = ["signal", "--asset", "HYPE", "--long", "--notional", "500", "--limit", "20", "--id", "rests"];
    home.run(&[&resting[..], &["--wait", "acknowledged"]].concat());
    assert!(!is_flat(&home));

    let text = home.run(&["kill", "--mode", "flatten", "--reason", "fire"]).well();
    contains(&text, &["stopped: all", "flatten since", "complete", "fire", "flat_confirmed", "canceled", "hyperliquid-paper"]);
    assert!(!text.contains("not complete"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(is_flat(&home), "what is told as flat is flat at the exchanges");
    let told = reports(&home);
    assert!(told.len() == 1 && told[0].complete && told[0].positions.len() == 2 && told[0].entries.len() == 2, "{told:?}");
    contains(&home.run(&["status"]).well(), &["flatten", "fire"]);
    let weaker = home.run(&["kill", "--mode", "pause"]);
    contains(&weaker.stderr, &["flatten holds there already"]);

    let denied = home.run(&["resume", "--reason", "back"]).failed(1, &["a secret of its own"]);
    let wrong = ["resume", "--reason", "back", "--secret", "file:wrong"];
    let error = home.json_error(1, &wrong);
    assert_eq!(error["code"], "denied");
    let plain = home.run(&["resume", "--reason", "back", "--secret", RIGHT]);
    assert_eq!(plain.code(), 2, "{plain:?}");
    for said in [&denied, &error.to_string(), &plain.stderr, &plain.stdout] {
        assert!(!said.contains(RIGHT) && !said.contains(WRONG), "{said}");
    }
    assert_eq!(reports(&home).len(), 1, "nothing was lifted");
    assert!(!is_filled(&home.execution(&first("s-2"))));
    home.run(&["resume", "--reason", "back", "--secret", "file:right"]).well();
    assert!(is_filled(&home.execution(&first("s-3"))));

    home.run(&["kill", "--drill"]).failed(2, &["give --secret"]);
    assert!(!is_flat(&home));
    let drilled = home.run(&["kill", "--drill", "--secret", "file:right"]).well();
    contains(&drilled, &["this was a drill", "lifted again", "flat_confirmed"]);
    assert!(is_flat(&home) && reports(&home).is_empty());
    assert!(is_filled(&home.execution(&first("s-4"))));
    let events = home.run(&["events", "--json"]).well();
    assert!(!events.contains(RIGHT) && !events.contains(WRONG));

    // Without an engine the latch is written down, and the next start carries it out.
    assert_eq!(engine.terminate().code(), 0);
    let offline = home.run(&["kill", "--mode", "flatten", "--reason", "nobody there"]);
    assert_eq!(offline.code(), 1, "{offline:?}");
    contains(&offline.stdout, &["no engine runs", "not complete yet", "stuck"]);
    home.run(&["resume", "--reason", "back"]).failed(1, &["a secret of its own"]);
    let engine = stay(&home);
    crate::support::eventually("the next start has flattened everything", || reports(&home)[0].complete.then_some(()));
    assert!(is_flat(&home));
    assert_eq!(engine.terminate().code(), 0);
    home.run(&["resume", "--reason", "back", "--secret", "file:right"]).well();
    assert!(reports(&home).is_empty());
}

#[test]
fn a_drill_touches_no_account_that_is_not_paper() {
    let real = r#"
[[account]]
id = "real-one"
venue = "hyperliquid"
environment = "testnet"
credentials = { private_key = "env:KEY" }
[[account]]
id = "simulated"
venue = "ostium"
paper = { preset = "ostium", balance = "10000" }
[[agent]]
id = "demo"
[[deployment]]
id = "demo"
agent = "demo"
accounts = [{ account = "real-one" }, { account = "simulated" }]
"#;
    let home = Home::with_config(real);
    let before = home.files();
    home.run(&["kill", "--drill"]).failed(1, &["real-one is not paper", "nothing was done"]);
    home.run(&["kill", "--drill", "--scope", "agent:demo"]).failed(1, &["real-one is not paper"]);
    home.run(&["kill", "--drill", "--scope", "account:nobody"]).failed(1, &["no account is in the scope"]);
    assert_eq!(home.files(), before);
}
