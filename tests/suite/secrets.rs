//! Secrets are where they are kept, and nowhere else: not in what is printed, logged, written down or dumped.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;

use omnivenue::Config;
use omnivenue::journal::{Archive, ChainKey};
use omnivenue::sqlite::SqliteArchive;
use omnivenue_testnet::Testnet;
use serde_json::{Value, json};

use crate::support::{Home, Process, contains, signal};

/// In the environment, in files, and what keys the journal's chain.
const API_KEY: &str = "AKIA-5d41402abc4b2a76-env";
const API_SECRET: &str = "hunter2/of+the=file\"with'quotes";
const PRIVATE_KEY: &str = "0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
const CHAIN_KEY: &str = "correct horse battery staple";

const CONFIG: &str = r#"
[journal]
chain_key = "env:SUITE_CHAIN_KEY"
[[account]]
id = "first"
venue = "hyperliquid"
urls = { rest = "https://api.example.com" }
credentials = { api_key = "env:SUITE_API_KEY", api_secret = "file:secrets/api", private_key = "file:secrets/wallet" }
[[account]]
id = "second"
venue = "ostium"
credentials = { private_key = "file:secrets/wallet" }
[account.paper]
faults = { seed = 3, cut_after = 300, refuse = 100 }
[[agent]]
id = "demo"
[[deployment]]
id = "demo"
agent = "demo"
accounts = [{ account = "first" }, { account = "second" }]
[timing]
backoff_min = "20ms"
max_attempts = 20
"#;

/// How a secret may be spelled by mistake.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let debug = format!("{secret:?}");
    let json = serde_json::to_string(secret).unwrap();
    let quoted = [debug.trim_matches('"'), json.trim_matches('"')].map(str::to_owned);
    let bytes = format!("{:?}", secret.as_bytes());
    let all = [vec![secret.to_owned(), hex.clone(), hex.to_uppercase(), bytes, base64(secret.as_bytes())], quoted.to_vec()].concat();
    all.into_iter().map(String::into_bytes).collect()
}

/// Without the last letters, which depend on what follows.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = |group: &[u8]| {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(LETTERS[usize::try_from(bits >> shift & 63).unwrap()])).to_vec()
    };
    bytes.chunks_exact(3).flat_map(letters).collect()
}

struct Safe {
    home: Home,
    /// What must be found nowhere.
    secrets: Vec<String>,
    /// Everything that was printed or logged.
    said: Vec<(String, Vec<u8>)>,
}

impl Safe {
    fn new() -> Self {
        let home = Home::with_config(CONFIG);
        std::fs::create_dir(home.file("secrets")).unwrap();
        home.write("secrets/api", &format!("{API_SECRET}\n"));
        let wallet = home.write("secrets/wallet", PRIVATE_KEY);
        std::fs::set_permissions(wallet, std::fs::Permissions::from_mode(0o600)).unwrap();
        let secrets = [API_KEY, API_SECRET, PRIVATE_KEY, &PRIVATE_KEY[2..], CHAIN_KEY].map(str::to_owned).to_vec();
        Self { home, secrets, said: Vec::new() }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.home.command(arguments);
        command.env("SUITE_API_KEY", API_KEY).env("SUITE_CHAIN_KEY", CHAIN_KEY);
        command.env("OMNIVENUE_LOG", "trace").env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
        command
    }

    /// Runs a command as talkative as it gets, and gives back what it answered.
    fn run(&mut self, arguments: &[&str]) -> String {
        let mut answer = String::new();
        for json in [&[][..], &["--json"]] {
            let arguments = [arguments, json].concat();
            let ended = self.home.finish(self.command(&arguments));
            self.said.push((arguments.join(" "), [ended.stdout.as_bytes(), ended.stderr.as_bytes()].concat()));
            answer = ended.stdout;
        }
        answer
    }

    /// No secret, in no spelling, anywhere but in the files it is kept in.
    fn search(&self) -> usize {
        let kept = self.home.file("secrets");
        let files = self.home.files().into_iter().filter(|(path, _)| !path.starts_with(&kept));
        let files = files.map(|(path, content)| (path.display().to_string(), content));
        let all: Vec<(String, Vec<u8>)> = files.chain(self.said.clone()).collect();
        for secret in &self.secrets {
            for spelling in spellings(secret) {
                for (place, content) in &all {
                    let found = content.windows(spelling.len()).any(|window| window == spelling);
                    assert!(!found, "a secret, as {:?}, is in: {place}", String::from_utf8_lossy(&spelling));
                }
            }
        }
        all.len()
    }
}

#[test]
fn no_secret_is_printed_logged_or_written_down() {
    let mut safe = Safe::new();
    let mut command = safe.command(&["run", "--stay"]);
    command.stdin(std::process::Stdio::piped());
    let mut engine = Process::start(command);
    for number in 0..10 {
        engine.tell(&signal(&format!("s-{number}"), "demo", ["HYPE", "BTC"][number % 2], "100"));
        let line = engine.line().unwrap();
        safe.said.push((format!("answer {number}"), line.into_bytes()));
    }
    let verbs: [&[&str]; 12] = [
        &["status"],
        &["positions"],
        &["orders"],
        &["fills"],
        &["equity"],
        &["events"],
        &["doctor"],
        &["execution", "s-1"],
        &["journal", "verify"],
        &["journal", "export"],
        &["signal", "--asset", "ETH", "--long", "--notional", "100"],
        &["kill", "--scope", "asset:SOL"],
    ];
    verbs.iter().for_each(|verb| drop(safe.run(verb)));
    let ended = engine.terminate();
    contains(&ended.stderr, &["DEBUG"]);
    safe.said.push(("run".into(), [ended.stdout.as_bytes(), ended.stderr.as_bytes()].concat()));
    verbs.iter().for_each(|verb| drop(safe.run(verb)));
    safe.run(&["journal", "backup", "copy.db"]);
    safe.run(&["journal", "rebuild-views"]);
    safe.run(&["close", "--all"]);
    safe.run(&["reconcile"]);

    let doctor: Value = serde_json::from_str(&safe.run(&["doctor"])).unwrap();
    assert_eq!(doctor["ok"], true, "{doctor}");
    let there = ["env:SUITE_API_KEY is there", "file:secrets/api is there", "file:secrets/wallet is there", "env:SUITE_CHAIN_KEY is there"];
    contains(&doctor.to_string(), &there);
    contains(&doctor.to_string(), &["secrets/api can be read by others"]);
    let searched = safe.search();
    assert!(searched > 60, "{searched} places were searched");
    // The key does what it is for.
    let archive = |key: ChainKey| SqliteArchive::read(&safe.home.file(".omnivenue/journal.db"), key);
    assert!(archive(ChainKey::default()).is_err());
    assert!(archive(ChainKey::new(CHAIN_KEY.as_bytes())).unwrap().entries_after(0, 100).unwrap().len() > 40);
}

/// Accounts whose keys sign, at a venue that speaks Hyperliquid's own protocol and often fails.
fn signing(testnet: &Testnet) -> Safe {
    let urls = &testnet.urls()["hyperliquid"];
    let mut accounts = omnivenue_testnet::Config::built_in().hyperliquid.unwrap().accounts;
    let (own, agents) = (accounts.remove(0), accounts.remove(0));
    let agent_key = agents.agents[0].test_key.clone().unwrap();
    let stranger = PRIVATE_KEY.to_owned();
    let login = |id: &str, more: &str| {
        format!(
            "[[account]]\nid = \"{id}\"\nvenue = \"hyperliquid\"\nenvironment = \"testnet\"\norder_lifetime = \"5s\"\n\
             urls = {{ rest = \"{}\", stream = \"{}\" }}\ncredentials = {{ private_key = \"file:secrets/{id}\" }}\n{more}\n",
            urls.rest, urls.stream
        )
    };
    let config = login("own", "") + &login("agent", &format!("address = \"{}\"", agents.address)) + &login("stranger", "");
    let home = Home::with_config(
        &(config
            + r#"
[[agent]]
id = "demo"
[[deployment]]
id = "demo"
agent = "demo"
accounts = [{ account = "own" }, { account = "agent" }, { account = "stranger" }]
[timing]
leg_deadline = "1s"
"#),
    );
    std::fs::create_dir(home.file("secrets")).unwrap();
    let keys = [("own", own.test_key.unwrap()), ("agent", agent_key), ("stranger", stranger)];
    let mut secrets = Vec::new();
    for (id, key) in keys {
        let file = home.write(&format!("secrets/{id}"), &key);
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
        secrets.extend([key.trim_start_matches("0x").to_owned(), key.trim_start_matches("0x").to_uppercase()]);
    }
    Safe { home, secrets, said: Vec::new() }
}

#[test]
fn no_key_that_signs_is_told_by_any_request_answer_or_error() {
    let testnet = Testnet::start(omnivenue_testnet::Config::of_venues(["hyperliquid"]).unwrap()).unwrap();
    let faults = ["delay", "cut_before", "cut_after", "error_after", "error_before", "rate_limit", "silence"];
    let chances: Vec<Value> = faults.iter().map(|fault| json!({ "fault": fault, "kind": "order", "per_mille": 60 })).collect();
    testnet.control("/faults", &json!({ "chances": chances, "delay_max": "100ms" })).unwrap();
    let mut safe = signing(&testnet);
    let wishes: String =
        (0..12).map(|number| signal(&format!("s-{number}"), "demo", ["HYPE", "BTC", "ETH"][number % 3], "50") + "\n").collect();
    safe.home.write("signals.jsonl", &wishes);
    let verbs: [&[&str]; 8] = [
        &["doctor"],
        &["run", "signals.jsonl"],
        &["doctor", "--first-order", "own", "--asset", "HYPE"],
        &["status"],
        &["orders"],
        &["journal", "export"],
        &["close", "--all"],
        &["reconcile"],
    ];
    let said: Vec<String> = verbs.iter().map(|verb| safe.run(verb)).collect();
    contains(&said[0], &["is no account: nothing was ever deposited"]);
    assert!(said[1].contains("filled"), "{}", said[1]);
    assert!(!said[5].contains("signature"), "what is journaled of a request has no authentication");
    let searched = safe.search();
    assert!(searched > 20, "{searched} places were searched");
}

/// A process that crashes would leave its memory, and with it the keys, in a file that is then copied around.
#[test]
fn a_crash_leaves_no_core_dump() {
    let home = Home::new();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -c unlimited; exec \"$0\" run --stay", env!("CARGO_BIN_EXE_omnivenue")]);
    let mut command = home.settle(shell);
    command.stdin(std::process::Stdio::piped());
    let mut engine = Process::start(command);
    engine.tell(&signal("s-1", "demo", "HYPE", "100"));
    engine.line().unwrap();
    let crashed = std::process::Command::new("kill").args(["-ABRT", &engine.id().to_string()]).status().unwrap();
    assert!(crashed.success());
    let ended = engine.wait();
    assert_eq!((ended.status.signal(), ended.status.core_dumped()), (Some(6), false), "{ended:?}");
    assert!(home.files().keys().all(|path| !path.to_string_lossy().contains("core")), "a core dump was left");
}

#[test]
fn no_secret_is_told_when_something_goes_wrong() {
    let mut safe = Safe::new();
    safe.run(&["signal", "--asset", "HYPE", "--long", "--notional", "100", "--id", "s-1"]);
    // Another key, a key that is missing, a secret that is gone, a journal that was changed.
    let journal = safe.home.file(".omnivenue/journal.db");
    let mut other = safe.command(&["run"]);
    other.env("SUITE_CHAIN_KEY", format!("{CHAIN_KEY}!"));
    let ended = safe.home.finish(other);
    assert_eq!(ended.code(), 1);
    safe.said.push(("another key".into(), [ended.stdout.as_bytes(), ended.stderr.as_bytes()].concat()));
    let mut none = safe.command(&["doctor"]);
    none.env_remove("SUITE_API_KEY").env_remove("SUITE_CHAIN_KEY");
    let ended = safe.home.finish(none);
    assert_eq!(ended.code(), 1);
    contains(&ended.stdout, &["SUITE_API_KEY is not set", "SUITE_CHAIN_KEY is not set"]);
    safe.said.push(("no key".into(), ended.stdout.into_bytes()));
    let conn = rusqlite::Connection::open(&journal).unwrap();
    conn.execute("UPDATE entries SET body = replace(body, 'HYPE', 'HYPO') WHERE seq = 6", []).unwrap();
    drop(conn);
    contains(&safe.run(&["run"]), &["journal_broken"]);
    contains(&safe.run(&["journal", "verify"]), &["journal_broken"]);
    // A configuration in which a secret stands where it must not.
    for wrong in [format!("api_key = \"{API_KEY}\""), format!("apikey = {API_KEY}")] {
        let text = CONFIG.replace("api_key = \"env:SUITE_API_KEY\"", &wrong);
        let ended = safe.home.finish({
            let path = safe.home.file("secrets").join("wrong.toml");
            std::fs::write(&path, text).unwrap();
            safe.command(&["status", "--config", path.to_str().unwrap()])
        });
        assert_eq!(ended.code(), 2, "{ended:?}");
        safe.said.push((wrong.clone(), [ended.stdout.as_bytes(), ended.stderr.as_bytes()].concat()));
    }
    safe.search();
}

#[test]
fn a_configuration_can_be_dumped_whole() {
    let safe = Safe::new();
    let config = Config::load(&safe.home.file("omnivenue.toml")).unwrap();
    let dumped = format!("{config:?} {config:#?} {}", serde_json::to_string_pretty(&config).unwrap());
    contains(&dumped, &["SUITE_API_KEY", "SUITE_CHAIN_KEY", "secrets/api", "secrets/wallet"]);
    let secret = omnivenue::config::SecretRef::parse("file:secrets/wallet", safe.home.path()).unwrap().read().unwrap();
    assert_eq!(secret.expose(), PRIVATE_KEY);
    let shown = format!("{secret} {secret:?} {secret:#?} {}", serde_json::to_string(&secret).unwrap());
    for text in [dumped, shown] {
        assert!(![API_KEY, API_SECRET, PRIVATE_KEY, CHAIN_KEY].iter().any(|secret| text.contains(secret)), "{text}");
    }
}
