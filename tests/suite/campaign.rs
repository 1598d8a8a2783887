//! The campaign: signals on two accounts of a venue that speaks Hyperliquid's own protocol, and on a simulated exchange, under every fault
//! that the testnet can produce, while the engine's process is killed again and again. The venue is another process's affair: it lives on
//! and remembers what it took.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use omnivenue::model::execution::ExecutionStatus;
use omnivenue::model::ids::{AccountId, SignalId};
use omnivenue_simulator::Random;
use omnivenue_testnet::{Chance, Config, FaultKind, Testnet};
use serde_json::{Value, json};

use crate::books::{Files, Seen};
use crate::reaper::Reaper;
use crate::support::{Home, full, micros};

/// How often everything is asked to close; each command waits up to a minute.
const CLOSE_TRIES: usize = 12;

/// How often the signals are given once more while some order is unknown.
const LAST_TRIES: usize = 10;

/// The assets that all venues trade.
const ASSETS: [&str; 3] = ["BTC", "ETH", "HYPE"];

/// What goes wrong with requests, and with frames of streams.
const REQUESTS: [FaultKind; 8] = [
    FaultKind::Delay,
    FaultKind::CutBefore,
    FaultKind::CutAfter,
    FaultKind::ErrorAfter,
    FaultKind::ErrorBefore,
    FaultKind::LateCommit,
    FaultKind::RateLimit,
    FaultKind::Silence,
];
const FRAMES: [FaultKind; 3] = [FaultKind::Duplicate, FaultKind::Reorder, FaultKind::Drop];
const STREAMS: [FaultKind; 2] = [FaultKind::SilentStream, FaultKind::CutStream];

/// A testnet on which all of it happens, and no limit stands in the way of a process that starts a thousand times.
fn testnet() -> Testnet {
    let mut config = Config::of_venues(["hyperliquid"]).unwrap();
    let hyperliquid = config.hyperliquid.as_mut().unwrap();
    let often = |kinds: &[FaultKind], kind: &str, per_mille: u16| {
        let chance = |fault: &FaultKind| Chance { fault: *fault, kind: kind.into(), account: None, per_mille };
        kinds.iter().map(chance).collect::<Vec<_>>()
    };
    hyperliquid.faults.seed = micros();
    hyperliquid.faults.chances = [
        often(&REQUESTS, "order", 20),
        often(&[FaultKind::Delay, FaultKind::CutBefore, FaultKind::ErrorBefore, FaultKind::RateLimit], "info", 4),
        often(&[FaultKind::FalseNotFound], "orderStatus", 200),
        often(&FRAMES, "stream", 20),
        often(&STREAMS, "stream", 2),
        often(&REQUESTS, "noop", 40),
    ]
    .concat();
    hyperliquid.faults.delay_max = Duration::from_millis(300);
    hyperliquid.faults.late_commit_max = Duration::from_millis(1_500);
    hyperliquid.limits.ip_weight = u64::MAX;
    hyperliquid.limits.messages = u64::MAX;
    hyperliquid.limits.address_actions = u64::MAX / 2;
    hyperliquid.limits.connections = 1_000;
    hyperliquid.limits.subscriptions = 10_000;
    for account in &mut hyperliquid.accounts {
        account.perp = "1000000".parse().unwrap();
    }
    Testnet::start(config).unwrap()
}

struct Campaign {
    signals: usize,
    kills: usize,
    in_flight: usize,
}

impl Campaign {
    fn ids(&self) -> impl Iterator<Item = SignalId> {
        (0..self.signals).map(|index| format!("campaign-{index}").parse().unwrap())
    }

    fn input(&self) -> String {
        let mut random = Random::new(11);
        let signal = |(index, id): (usize, SignalId)| {
            let body = json!({
                "id": id, "agent": format!("agent-{index}"), "asset": ASSETS[index % 3], "direction": "long", "leverage": "5",
                "sizing": { "notional": (15 + random.below(60)).to_string() }, "slippage": "0.1",
                // What is valid for long is sent again after a lost answer; what is not can only be found or burned.
                "valid_for": if random.chance(30) { "3s" } else { "6h" },
            });
            format!("{body}\n")
        };
        self.ids().enumerate().map(signal).collect()
    }

    /// One account signs with its own key, the other one with that of an agent.
    fn config(&self, testnet: &Testnet, addresses: &[(String, String); 2]) -> String {
        let urls = &testnet.urls()["hyperliquid"];
        let login = |id: &str, key: &str, more: &str| {
            format!(
                "[[account]]\nid = \"{id}\"\nvenue = \"hyperliquid\"\nenvironment = \"testnet\"\norder_lifetime = \"5s\"\n\
                 urls = {{ rest = \"{}\", stream = \"{}\" }}\ncredentials = {{ private_key = \"file:{key}\" }}\n{more}\n",
                urls.rest, urls.stream
            )
        };
        let agent = format!("address = \"{}\"", addresses[1].1);
        let mut text = login(&addresses[0].0, "one.key", "") + &login(&addresses[1].0, "two.key", &agent);
        text += "[[account]]\nid = \"third\"\nvenue = \"ostium\"\n[account.paper]\npreset = \"ostium\"\nbalance = \"1000000\"\nlatency = \"8ms\"\n\
                 [account.paper.faults]\nseed = 5\ncut_before = 10\ncut_after = 10\nlate_commit = 10\nfalse_not_found = 50\nsilence = 3\n\
                 late_commit_max = \"200ms\"\n";
        for index in 0..self.signals {
            let accounts =
                format!(r#"[{{ account = "{}" }}, {{ account = "{}" }}, {{ account = "third" }}]"#, addresses[0].0, addresses[1].0);
            writeln!(
                text,
                "[[agent]]\nid = \"agent-{index}\"\n[[deployment]]\nid = \"agent-{index}\"\nagent = \"agent-{index}\"\naccounts = {accounts}"
            )
            .unwrap();
        }
        // Everything fails here all the time, and nothing may be kept from it.
        text + "[timing]\nleg_deadline = \"2s\"\nmax_attempts = 20\nbackoff_min = \"20ms\"\nbackoff_max = \"1s\"\nreconcile_every = \"60s\"\n\
         [breakers]\nerrors_high = 1000000\nerrors_critical = 1000000\nlatency_high = \"1h\"\nstale_high = \"1h\"\nunknown_high = \"1h\"\n"
    }

    fn run(&self) {
        let testnet = testnet();
        let mut accounts = Config::built_in().hyperliquid.unwrap().accounts;
        let (one, two) = (accounts.remove(0), accounts.remove(0));
        let logins = [("first".to_owned(), one.address.to_lowercase()), ("second".to_owned(), two.address.to_lowercase())];
        let home = Home::with_config(&self.config(&testnet, &logins));
        let agent_key = two.agents[0].test_key.clone().unwrap();
        let secrets = [one.test_key.unwrap(), agent_key];
        home.write("one.key", &secrets[0]);
        home.write("two.key", &secrets[1]);
        home.write("signals.jsonl", &self.input());
        let seen = |testnet: &Testnet| -> BTreeMap<AccountId, Seen> {
            let truth = testnet.truth();
            logins.iter().map(|(id, address)| (id.parse().unwrap(), Seen::on_hyperliquid(&truth, address))).collect()
        };
        let files = |home: &Home| {
            let config = omnivenue::Config::load(&home.file("omnivenue.toml")).unwrap();
            Files::read(&config, seen(&testnet))
        };

        let in_flight = self.in_flight.to_string();
        let arguments = ["run", "signals.jsonl", "--in-flight", &in_flight];
        let mut reaper = Reaper::new(self.ids().collect());
        let began = micros();
        for life in 1..=self.kills {
            reaper.life(&home, &arguments, self.kills - life);
        }
        // What is still unknown when everything else is done is asked for again by whoever comes next.
        let mut last = home.run(&arguments);
        for _ in 0..LAST_TRIES {
            if last.code() != 3 {
                break;
            }
            last = home.run(&arguments);
        }
        assert!(matches!(last.code(), 0 | 1), "{last:?}");
        for line in last.stdout.lines() {
            reaper.read(line);
        }
        let elapsed = Duration::from_micros(micros() - began);
        assert_eq!(reaper.unanswered.len(), 0, "every signal was answered: {:?}", reaper.unanswered);

        let told = files(&home);
        told.assert_exactly_once();
        told.assert_books_equal_venues();
        let ids: Vec<SignalId> = self.ids().collect();
        let traded = told.assert_answered(&ids, 3);
        let truth = testnet.truth();
        println!(
            "{} signals on 3 accounts, {} kills ({} before the first answer of a life, {} too late) in {elapsed:?}; {} orders were on \
             their way when the process died; orders: {}; {traded} of {} legs traded; the others, as first told: {:?}",
            self.signals,
            self.kills,
            reaper.young,
            reaper.late,
            told.interrupted,
            told.orders(),
            3 * self.signals,
            reaper.refusals,
        );
        let venue = &truth["venues"]["hyperliquid"];
        println!("    injected: {}\n    requests: {}\n    refused by the venue: {}", venue["faults"], venue["requests"], reasons(venue));
        // Over before it could be sent, proved absent, or on an account whose venue did not answer in time when the process began.
        let excused = ["recovering", "venue_down", "no_price", "expired", "absent"];
        let idle = ids.iter().flat_map(|id| told.execution(id).expect("it was answered").legs).filter(|leg| leg.filled_quantity.is_zero());
        let odd: Vec<_> = idle.filter(|leg| !leg.code.as_deref().is_some_and(|code| excused.contains(&code))).collect();
        assert!(odd.is_empty(), "{odd:?}");
        assert!(10 * traded >= 7 * 3 * self.signals, "{traded} of {} legs traded: {:?}", 3 * self.signals, reaper.refusals);
        assert!(4 * reaper.late <= self.kills, "{} of {} kills came after the run had ended", reaper.late, self.kills);
        assert!(told.interrupted > 0, "no kill met an order on its way");

        no_secret(&home, &secrets, &last.stderr);
        // Closes go out one after the other on each instrument: a venue that pauses everything for ten seconds now and then, as above, makes
        // hundreds of them a matter of many minutes. Answers are lost all the same.
        let chance = |fault: &str| json!({ "fault": fault, "kind": "order", "per_mille": 5 });
        let chances = [chance("cut_before"), chance("cut_after"), chance("error_after"), chance("late_commit")];
        testnet.control("/faults", &json!({ "clear": true, "chances": chances })).unwrap();
        let close = ["close", "--all", "--id", "flat"];
        let closed = (0..CLOSE_TRIES).any(|_| home.execution(&close).status == ExecutionStatus::Done);
        assert!(closed, "after {CLOSE_TRIES} commands not everything is closed: {:?}", home.execution(&close));
        let flat = files(&home);
        assert!(flat.is_flat(), "{:?}", flat.books.positions());
        flat.assert_books_equal_venues();
        assert_eq!(flat.entries, told.entries, "closing opened nothing");
    }
}

/// How often the venue refused, by reason without its numbers.
fn reasons(venue: &Value) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    for refused in venue["refused"].as_array().into_iter().flatten() {
        let reason: String = refused["reason"].as_str().unwrap_or_default().chars().filter(|c| !c.is_ascii_digit()).collect();
        *counts.entry(reason.chars().take(40).collect()).or_default() += 1;
    }
    format!("{counts:?}")
}

/// Nothing that was written or said holds a key.
fn no_secret(home: &Home, secrets: &[String], said: &str) {
    for (path, bytes) in home.files() {
        let kept = path.extension().is_some_and(|extension| extension == "key");
        let text = String::from_utf8_lossy(&bytes);
        for secret in secrets {
            let bare = secret.trim_start_matches("0x");
            assert!(kept || !text.contains(bare), "{} holds a private key", path.display());
            assert!(!said.contains(bare), "a private key was logged");
        }
    }
}

#[test]
fn under_every_fault_and_any_number_of_kills_each_signal_is_one_position_at_every_venue() {
    let asked = std::env::var("OMNIVENUE_KILLS").ok().map(|kills| kills.parse().unwrap());
    let kills = asked.unwrap_or(if full() { 1_000 } else { 12 });
    let signals = if kills > 12 { 3 * kills } else { 60 };
    Campaign { signals, kills, in_flight: 8 }.run();
}
