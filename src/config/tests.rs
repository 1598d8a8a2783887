use super::*;

/// Reads the template with one piece of text replaced.
fn with(from: &str, to: &str) -> Result<Config, String> {
    assert!(TEMPLATE.contains(from), "the template holds {from}");
    read(&TEMPLATE.replacen(from, to, 1))
}

fn read(text: &str) -> Result<Config, String> {
    Config::from_toml(text, "omnivenue.toml", Path::new("/data")).map_err(|error| error.to_string())
}

/// The line of the template on which a piece of text first stands.
fn line(text: &str) -> usize {
    TEMPLATE[..TEMPLATE.find(text).expect(text)].matches('\n').count() + 1
}

/// The error holds all these words.
fn check(result: Result<Config, String>, words: &[&str]) {
    let error = result.expect_err("a mistake");
    for word in words {
        assert!(error.contains(word), "{error}\nshould contain {word}");
    }
}

#[test]
fn the_template_is_the_built_in_configuration() {
    let config = Config::built_in(Path::new("/data"));
    let accounts: Vec<(&str, &str)> = config.accounts.iter().map(|account| (account.id.as_str(), account.venue.as_str())).collect();
    assert_eq!(accounts, [("hyperliquid-paper", "hyperliquid"), ("ostium-paper", "ostium")]);
    assert_eq!(
        config.accounts.iter().map(|account| account.paper.as_ref().unwrap().preset).collect::<Vec<_>>(),
        [Preset::Hyperliquid, Preset::Ostium]
    );
    assert!(
        config
            .accounts
            .iter()
            .all(|account| account.environment == Environment::Paper && account.paper.as_ref().unwrap().balance.to_string() == "10000")
    );
    assert_eq!(config.deployments[0].limits.max_order_notional.unwrap().to_string(), "5000");
    assert_eq!(config.risk.limits.max_notional.unwrap().to_string(), "50000");
    assert_eq!(config.timing, Timing::default());
    assert_eq!(config.journal_path(), Path::new("/data/.omnivenue/journal.db"));
    assert_eq!(config.control_path(), Path::new("/data/.omnivenue/control.sock"));
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn a_misspelt_key_is_named_with_its_path_and_what_was_meant() {
    let key = format!("deployment[0].limits.max_asset_notinal (line {})", line("max_asset_notional"));
    check(with("max_asset_notional", "max_asset_notinal"), &[&key, "did you mean `max_asset_notional`?"]);
    let key = format!("timings (line {}): is not a key of the configuration", line("[timing]"));
    check(with("[timing]", "[timings]"), &[&key, "did you mean `timing`?"]);
    check(with("[[agent]]\nid", "[[agent]]\nname = \"x\"\nid"), &["agent[0].name", "the keys are id, allowed_assets, approval"]);
}

#[test]
fn money_is_text() {
    let order = "max_order_notional = \"5000\"\nmax_asset";
    check(
        with(order, "max_order_notional = 5000.10\nmax_asset"),
        &["deployment[0].limits.max_order_notional", "got the number 5000.10", "write \"5000.10\""],
    );
    check(with(order, "max_order_notional = 5000\nmax_asset"), &["write \"5000\""]);
    check(with(order, "max_order_notional = \"5,000\"\nmax_asset"), &["`5,000` is not a decimal number"]);
    check(with(order, "max_order_notional = \"-1\"\nmax_asset"), &["notional is -1, but must be 0 or more"]);
    check(
        with(order, "max_order_notional = true\nmax_asset"),
        &["got true, but must be an exact number written as text, such as \"5000\""],
    );
    check(with("USDC = \"1\"", "USDC = 1.0"), &["risk.rates.USDC", "write \"1.0\""]);
    check(with("USDC = \"1\"", "USDC = \"0\""), &["risk.rates.USDC", "must be greater than 0"]);
}

#[test]
fn a_wrong_value_is_answered_with_what_fits() {
    check(
        with("\"paper\"  ", "\"papr\"  "),
        &["account[0].environment", "got \"papr\"", "\"paper\", \"testnet\", \"mainnet\"", "did you mean `paper`?"],
    );
    check(with("preset = \"ostium\"", "preset = \"ostum\""), &["account[1].paper.preset", "did you mean `ostium`?"]);
    check(with("market = \"perp\"  ", "market = \"spot\"  "), &["account[0].market", "trades \"perp\""]);
    check(with("leg_deadline = \"5s\"", "leg_deadline = \"5\""), &["timing.leg_deadline", "`5` is not a length of time"]);
    check(with("leg_deadline = \"5s\"", "leg_deadline = 5"), &["timing.leg_deadline", "got 5, but must be a length of time in quotes"]);
    check(with("leg_deadline = \"5s\"", "leg_deadline = \"0s\""), &["timing.leg_deadline", "must be longer"]);
    check(with("# drift = \"halt_entries\"", "drift = \"adapt\" #"), &["account[0].drift", "got \"adapt\"", "did you mean `adopt`?"]);
    check(with("# expiry_margin = \"1h\"", "expiry_margin = \"0s\""), &["timing.expiry_margin"]);
    check(with("# reconcile_idle = 4", "reconcile_idle = 0"), &["timing.reconcile_idle", "1 to 100"]);
    check(with("# stops = \"any\"", "stops = \"exchange\""), &["stops", "exchange", "any", "venue"]);
    check(with("# scale = \"1\"", "scale = \"0\""), &["deployment[0].scale", "factor is 0", "greater than 0"]);
    check(with("# scale = \"1\"", "scale = 0.5"), &["deployment[0].scale", "0.5"]);
    check(with("# protection_deadline = \"5s\"", "protection_deadline = \"0s\""), &["timing.protection_deadline", "5s"]);
    check(with("max_attempts = 3", "max_attempts = 0"), &["timing.max_attempts", "1 to 100"]);
    check(with("max_attempts = 3", "max_attempts = -1"), &["timing.max_attempts", "got -1"]);
    check(with("backoff_min = \"100ms\"", "backoff_min = \"1h\""), &["timing.backoff_min", "longer than backoff_max"]);
    check(with("venue = \"ostium\"", "venue = \"os tium\""), &["account[1].venue", "`os tium` cannot be a venue id"]);
    check(with("venue = \"ostium\"\n", ""), &["account[1].venue", "is missing"]);
    check(with("{ walk_seed = 1 } #", "{ speed = 60 } #"), &["account[0].paper.prices.speed", "only with candles"]);
    check(with("# allowed_assets = [\"HYPE\"", "allowed_assets = [5"), &["agent[0].allowed_assets[0]", "got 5"]);
    check(with("accounts = [", "accounts = [ \"x\","), &["deployment[0].accounts[0]", "{ account ="]);
}

#[test]
fn losses_are_limited_by_an_amount_or_a_percentage() {
    use omnivenue_core::journal::OnBreach;
    let written = "# losses = { max_daily_loss = \"5%\", max_drawdown = \"1500\", on_breach = \"halt_entries\" }";
    let config = with(written, written.trim_start_matches("# ")).unwrap();
    let losses = config.deployments[0].losses;
    assert_eq!(losses.max_daily_loss.map(|bound| bound.to_string()).as_deref(), Some("5%"));
    assert_eq!((losses.max_drawdown.map(|bound| bound.to_string()).as_deref(), losses.on_breach), (Some("1500"), OnBreach::HaltEntries));
    let shown = serde_json::to_value(&config).unwrap();
    assert_eq!(shown["deployments"][0]["losses"]["max_daily_loss"], "5%");
    let key = "deployment[0].losses.max_daily_loss";
    let check_losses = |to: &str, words: &[&str]| check(with(written, to), words);
    check_losses("losses = { max_daily_loss = \"five\" }", &[key, "`five` is not a decimal number"]);
    check_losses("losses = { max_daily_loss = 5 }", &[key, "\"500\"", "\"5%\""]);
    check_losses("losses = { max_daily_loss = \"120%\" }", &[key, "between 0 and 1"]);
    check_losses("losses = { max_daily_loss = \"0%\" }", &[key, "leave it out"]);
    check_losses("losses = { on_breach = \"flatten\" }", &[key, "is missing", "max_drawdown"]);
    let wrong = "losses = { max_drawdown = \"5%\", on_breach = \"flaten\" }";
    check_losses(wrong, &["deployment[0].losses.on_breach", "did you mean `flatten`?"]);
    check_losses("losses = { max_drawdown = \"5%\", max_loss = \"5\" }", &["deployment[0].losses.max_loss", "is not a key"]);
    for (at, scope) in [("# losses = { max_daily_loss = \"500\" }", "account[0]"), ("# losses = { max_drawdown = \"20%\" }", "agent[0]")] {
        check(with(at, "losses = { max_drawdown = \"-1\" }"), &[&format!("{scope}.losses.max_drawdown"), "0 or more"]);
    }
    check(with("# losses = { max_daily_loss = \"1000\" }", "losses = { max_drawdown = \"x\" }"), &["risk.losses.max_drawdown"]);
}

#[test]
fn a_currency_is_watched_only_where_its_rate_is_stated() {
    let written = "# depeg = { USDC = \"0.02\" }";
    let config = with(written, "depeg = { USDC = \"0.02\" }").unwrap();
    assert_eq!(config.risk.depeg.iter().map(|(asset, most)| format!("{asset} {most}")).collect::<Vec<_>>(), ["USDC 0.02"]);
    check(with(written, "depeg = { USDT = \"0.02\" }"), &["risk.depeg.USDT", "no stated rate", "USDC"]);
    check(with(written, "depeg = { USDC = \"2\" }"), &["risk.depeg.USDC", "between 0 and 1"]);
    check(with("# user_gate_deadline = \"250ms\"", "user_gate_deadline = \"0s\""), &["timing.user_gate_deadline", "250ms"]);
}

#[test]
fn real_money_is_never_traded_by_accident() {
    let paper = "environment = \"paper\"  ";
    check(with(paper, "environment = \"mainnet\"  "), &["account[0].environment", "`armed = true`"]);
    check(with(paper, "environment = \"testnet\"  "), &["account[0].paper", "the environment is not \"paper\"", "private_key is missing"]);
    check(with("venue = \"ostium\"\n", "venue = \"ostium\"\nenvironment = \"testnet\"\n"), &["account[1].venue", "only \"hyperliquid\""]);
}

const REAL: &str = r#"
    [[account]]
    id = "main"
    venue = "hyperliquid"
    environment = "testnet"
    credentials = { private_key = "env:KEY" }
    [[agent]]
    id = "demo"
    [[deployment]]
    id = "demo"
    agent = "demo"
    accounts = [{ account = "main", allocation = "500" }]
"#;

#[test]
fn a_login_at_a_venue_says_what_it_needs() {
    let real = |from: &str, to: &str| {
        assert!(REAL.contains(from));
        read(&REAL.replacen(from, to, 1))
    };
    let config = read(REAL).unwrap();
    assert_eq!((config.accounts[0].paper.as_ref(), config.accounts[0].environment), (None, Environment::Testnet));
    let armed = real("environment = \"testnet\"", "environment = \"mainnet\"\narmed = true").unwrap();
    assert_eq!(armed.accounts[0].environment, Environment::Mainnet);
    check(real("private_key", "api_key"), &["account[0].credentials", "private_key is missing", "api_key is not used"]);
    check(real("\"env:KEY\"", "\"0xabc\""), &["account[0].credentials.private_key", "(what was given is not shown)"]);
    check(real("[[agent]]", "address = \"0x12\"\n[[agent]]"), &["account[0].address", "got \"0x12\"", "40 hexadecimal digits"]);
    let second = |more: &str| {
        let account = format!("[[account]]\nid = \"other\"\nvenue = \"hyperliquid\"\n{more}\n[[agent]]");
        real("[[agent]]", &account)
    };
    check(
        second("").map(|mut config| {
            config.warnings.clear();
            config
        }),
        &["account[1].environment", "differs from that of account \"main\""],
    );
    assert!(second("market = \"spot\"\nenvironment = \"testnet\"\ncredentials = { private_key = \"env:KEY\" }").is_ok());
}

#[test]
fn live_prices_are_one_word() {
    let live = with("prices = { walk_seed = 1 } #", "prices = \"live\" #").unwrap();
    assert!(live.accounts[0].paper.as_ref().unwrap().prices.live);
    check(with("prices = { walk_seed = 1 } #", "prices = \"alive\" #"), &["account[0].paper.prices", "did you mean `live`?"]);
    let ostium = "balance = \"10000\"\nprices = { walk_seed = 1 }\n";
    check(with(ostium, "prices = \"live\"\n"), &["account[1].paper.prices", "ostium has no live prices"]);
}

#[test]
fn the_parts_must_agree() {
    check(
        with("agent = \"demo\"", "agent = \"dmeo\""),
        &["deployment[0].agent", "no [[agent]] has that id", "did you mean `demo`?", "agent[0].id", "no [[deployment]]"],
    );
    check(
        with("{ account = \"ostium-paper\" }", "{ account = \"ostium-papre\" }"),
        &["deployment[0].accounts[1].account", "did you mean `ostium-paper`?"],
    );
    check(
        with("{ account = \"ostium-paper\" }", "{ account = \"hyperliquid-paper\" }"),
        &["deployment[0].accounts[1].account", "a second time"],
    );
    check(with("id = \"ostium-paper\"", "id = \"hyperliquid-paper\""), &["account[1].id (line", "ids are unique"]);
    check(with("venue = \"ostium\"", "venue = \"hyperliquid\""), &["account[1].paper.preset", "share its exchange"]);
    check(
        with("{ account = \"ostium-paper\" }", "{ account = \"ostium-paper\", allocation = \"10000.01\" }"),
        &["account[1].paper.balance", "allocated 10000.01", "balance is 10000"],
    );
    check(read(""), &["3 errors", "account: is missing: give at least one [[account]]"]);
}

#[test]
fn several_mistakes_are_reported_together_in_the_order_of_the_file() {
    let text = TEMPLATE
        .replace("market = \"perp\"\n", "markt = \"perp\"\n")
        .replace("max_attempts = 3", "max_attempts = \"3\"")
        .replace("\"50000\"", "50000.0");
    let error = read(&text).unwrap_err();
    assert!(error.starts_with("omnivenue.toml: 3 errors\n"), "{error}");
    let places: Vec<usize> =
        ["account[1].markt", "risk.max_notional", "timing.max_attempts"].iter().map(|key| error.find(key).expect(key)).collect();
    assert!(places.is_sorted(), "{error}");
}

#[test]
fn secrets_are_references_and_are_never_shown() {
    let key = "# chain_key = \"env:OMNIVENUE_CHAIN_KEY\"";
    let config = with(key, "chain_key = \"env:OMNIVENUE_CHAIN_KEY\"").unwrap();
    assert_eq!(config.journal.chain_key, Some(SecretRef::Env("OMNIVENUE_CHAIN_KEY".into())));
    let id = "id = \"ostium-paper\"";
    let credentials = |value: &str| with(id, &format!("{id}\ncredentials = {{ api_key = {value} }}"));
    for mistake in [
        with(key, "chain_key = \"hunter2\""),
        with(key, "chain_key = \"env:hunter2\""),
        with(key, "chain_key = [\"hunter2\"]"),
        with(key, "chain_kye = \"hunter2\""),
        with(key, "chain_key = hunter2"),
        with(id, &format!("{id}\napi_secret = \"hunter2\"")),
        credentials("\"hunter2\""),
        credentials("[\"hunter2\"]"),
        with(id, &format!("{id}\nurls = {{ rest = \"https://me:hunter2@host\" }}")),
    ] {
        let error = mistake.expect_err("a mistake");
        assert!(!error.contains("hunter2"), "{error}");
    }
    check(credentials("\"hunter2\""), &["account[1].credentials.api_key", "plain-text secrets are refused"]);
    check(credentials("12345"), &["account[1].credentials.api_key", "got a number (not shown)"]);
    let config = credentials("\"file:key\"").unwrap();
    assert_eq!(config.warnings, ["account \"ostium-paper\" is paper, so its credentials are not used"]);
    let shown = serde_json::to_string(&config).unwrap();
    assert!(shown.contains("file:/data/key"), "{shown}");
}

#[test]
fn json_reads_the_same() {
    let json = serde_json::json!({
        "account": [{"id": "a", "venue": "ostium"}],
        "agent": [{"id": "demo"}],
        "deployment": [{"id": "d", "agent": "demo", "accounts": [{"account": "a"}], "limits": {"max_notional": "100"}}],
        "risk": {"max_notional": "100"},
    });
    let config = Config::from_json(&json, Path::new("/data")).unwrap();
    assert_eq!(config.accounts[0].paper.as_ref().unwrap().preset, Preset::Ostium);
    let mut wrong = json;
    wrong["risk"]["max_notional"] = serde_json::json!(100.5);
    let error = Config::from_json(&wrong, Path::new("/data")).unwrap_err().to_string();
    assert!(error.contains("risk.max_notional: got the number 100.5"), "{error}");
    assert!(Config::from_json(&serde_json::json!([]), Path::new("/data")).is_err());
}

#[test]
fn paper_can_be_told_to_differ_from_its_preset() {
    let config =
        with("preset = \"ostium\"", "preset = \"ostium\"\nresend = \"after_proof\"\nabsence = \"window\"\nabsence_window = \"2s\"")
            .unwrap();
    assert_eq!(config.accounts[1].paper.as_ref().unwrap().resend, Some(Resend::AfterProof));
    assert_eq!(
        config.accounts[1].paper.as_ref().unwrap().absence,
        Some(Absence::Window { length: Duration::from_secs(2), margin: Duration::from_secs(1) })
    );
    check(
        with("preset = \"ostium\"", "preset = \"ostium\"\nabsence_window = \"2s\""),
        &["account[1].paper.absence_window", "only with absence = \"window\""],
    );
    let prices = "{ candles = { HYPE = \"hype.csv\" }, speed = 60, fixed = { BTC = \"97000\" } } #";
    let config = with("{ walk_seed = 1 } #", prices).unwrap();
    let prices = &config.accounts[0].paper.as_ref().unwrap().prices;
    assert_eq!(prices.candles[&"HYPE".parse().unwrap()], Path::new("/data/hype.csv"));
    assert_eq!((prices.speed, prices.fixed[&"BTC".parse().unwrap()].to_string()), (60, "97000".to_owned()));
    let both = "{ candles = { HYPE = \"hype.csv\" }, fixed = { HYPE = \"38\" } } #";
    check(with("{ walk_seed = 1 } #", both), &["account[0].paper.prices.fixed", "names HYPE"]);
    let faults = with("# faults =", "faults =").unwrap();
    assert_eq!(faults.accounts[0].paper.as_ref().unwrap().faults.cut_after, 50);
}

#[test]
fn breakers_are_read_and_a_fallback_is_another_paper_account() {
    assert_eq!(Config::built_in(Path::new("/data")).breakers, omnivenue_core::executor::Breakers::default());
    let tight = with("errors_high = 5 ", "errors_high = 2 ").unwrap();
    assert_eq!(tight.breakers.errors_high, 2);
    check(with("errors_high = 5 ", "errors_high = 31 "), &["breakers.errors_critical", "got 30, but must be errors_high (31) or more"]);
    check(with("cool_down = \"30s\"", "cool_down = \"0s\""), &["breakers.cool_down", "got 0, but must be longer"]);
    check(with("stale_high = \"1m\"", "stale_hihg = \"1m\""), &["breakers.stale_hihg", "did you mean `stale_high`?"]);
    let paper = "[[account]]\nid = \"practice\"\nvenue = \"elsewhere\"\npaper = { preset = \"ostium\" }\n\n[[agent]]";
    let share = "{ account = \"ostium-paper\" }";
    let falls_to = |fallback: &str, paper: &str| {
        let text = TEMPLATE.replacen("[[agent]]", paper, 1);
        read(&text.replacen(share, &format!("{{ account = \"ostium-paper\", fallback = \"{fallback}\" }}"), 1))
    };
    let config = falls_to("practice", paper).unwrap();
    assert_eq!(config.deployments[0].accounts[1].fallback.as_ref().unwrap().as_str(), "practice");
    assert_eq!(config.warnings, Vec::<String>::new());
    check(
        falls_to("practise", paper),
        &["deployment[0].accounts[1].fallback", "got \"practise\"", "did you mean `practice`?", "those that fit: \"practice\""],
    );
    check(falls_to("hyperliquid-paper", paper), &["got \"hyperliquid-paper\", which this deployment trades on anyway"]);
    check(falls_to("practice", "[[agent]]"), &["there is none yet: add an [[account]]"]);
    let real = "[[account]]\nid = \"practice\"\nvenue = \"hyperliquid\"\nenvironment = \"testnet\"\ncredentials = { private_key = \"env:KEY\" }\n\n[[agent]]";
    check(falls_to("practice", real), &["got \"practice\", which is not paper; it must be a paper account"]);
    let spot = "[[account]]\nid = \"practice\"\nvenue = \"elsewhere\"\nmarket = \"spot\"\npaper = { preset = \"spot\" }\n\n[[agent]]";
    check(falls_to("practice", spot), &["got \"practice\", which trades spot, but \"ostium-paper\" trades perp"]);
}

/// What the reader asks for is the schema, so every configuration that reads must fit it; what it names must be read.
#[test]
fn the_schema_is_the_readers_own() {
    let schema = super::schema();
    let validator = jsonschema::validator_for(&schema).expect("it is a JSON Schema");
    let template: toml::Value = toml::from_str(super::TEMPLATE).unwrap();
    let template = serde_json::to_value(template).unwrap();
    let wrong: Vec<String> = validator.iter_errors(&template).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let check = |change: &dyn Fn(&mut serde_json::Value), named: &str| {
        let mut changed = template.clone();
        change(&mut changed);
        let wrong: Vec<String> = validator.iter_errors(&changed).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(wrong.iter().any(|words| words.contains(named)), "{named} in {wrong:?}");
    };
    check(&|config| config["risk"]["max_notional"] = 5.into(), "/risk/max_notional");
    check(&|config| config["account"][0]["environment"] = "live".into(), "/account/0/environment");
    check(&|config| config["deployment"][0]["colour"] = "red".into(), "colour");
    check(&|config| drop(config["agent"][0].as_object_mut().unwrap().remove("id")), "id");
    assert_eq!(
        schema["properties"]["account"]["items"]["properties"]["paper"]["properties"]["prices"]["anyOf"].as_array().unwrap().len(),
        2
    );
}

#[test]
fn paper_pays_funding_when_told_to() {
    let funding = "# faults = { seed = 1, cut_after = 50 }";
    let with = |text: &str| with(funding, &format!("funding = {text} #"));
    let config = with("{ rate = \"-0.00025\", every = \"1h\", files = { HYPE = \"rates.csv.gz\" } }").unwrap();
    let funding = config.accounts[0].paper.as_ref().unwrap().funding.clone().unwrap();
    assert_eq!((funding.rate.to_string(), funding.every), ("-0.00025".into(), Duration::from_secs(3600)));
    assert_eq!(funding.files[&"HYPE".parse().unwrap()], Path::new("/data/rates.csv.gz"));
    check(with("{ rate = \"2\" }"), &["account[0].paper.funding.rate", "between -1 and 1"]);
    check(with("{ every = \"8\" }"), &["account[0].paper.funding.every", "`8` is not a length of time"]);
    check(with("{ rats = \"1\" }"), &["account[0].paper.funding", "rats"]);
}

#[test]
fn what_is_told_and_where_is_checked() {
    let more = |text: &str| read(&format!("{TEMPLATE}\n{text}"));
    let config = more("[log]\ndir = \"logs\"\n[metrics]\nlisten = \"127.0.0.1:9464\"").unwrap();
    let log = config.log.unwrap();
    assert_eq!((log.dir, log.per_agent, log.level, log.keep), (Path::new("/data/logs").to_owned(), false, LogLevel::Info, 5));
    assert_eq!(config.metrics.unwrap().listen.to_string(), "127.0.0.1:9464");
    check(more("[log]\nlevel = \"info\""), &["log.dir", "is missing"]);
    check(more("[log]\ndir = \"l\"\nlevel = \"inof\"\nmax_bytes = 1\nkeep = 5000"), &["log.level", "`info`", "log.max_bytes", "log.keep"]);
    check(more("[metrics]\nlisten = \"9464\""), &["metrics.listen", "got \"9464\"", "127.0.0.1:9464"]);
    check(more("[metrics]"), &["metrics.listen", "is missing"]);
    let journal = |text: &str| with("[journal]\n", &format!("[journal]\n{text}\n"));
    let config = journal("segment_entries = 5000\nretain_segments = 3").unwrap();
    assert_eq!((config.journal.segment_entries, config.journal.retain_segments), (Some(5_000), Some(3)));
    check(journal("segment_entries = 10"), &["journal.segment_entries", "got 10", "1000 or more"]);
    check(journal("retain_segments = 3"), &["journal.retain_segments", "holds only with segment_entries"]);
    check(journal("segment_entries = 5000\nretain_segments = 0"), &["journal.retain_segments", "got 0"]);
}

/// The template with these limits in the place of one of its deployment's.
fn limited(limits: &str) -> Result<Config, String> {
    with("max_asset_notional = \"20000\"", limits)
}

#[test]
fn every_limit_has_a_key_and_is_shown_as_it_was_written() {
    let limits = r#"
on_excess = "shrink"
max_leverage = "5"
max_open_positions = 3
one_position_per_asset = true
max_same_direction = 2
max_same_direction_notional = "20000"
max_concentration = "0.25"
max_risk_per_trade = "100"
max_risk_per_trade_fraction = "0.02"
min_reward_to_risk = "1.5"
min_liquidation_distance = "0.1"
maintenance_margin = "0.02"
min_confidence = "0.7"
max_signal_age = "10s"
max_price_age = "5s"
max_spread = "0.002"
price_collar = "0.02"
max_order_rate = "10/1m"
cooldown = "5m"
loss_cooldown = "30m"
trading_hours = ["mon-fri 08:00-16:30", "sat 10:00-12:00"]
max_asset_notional = "20000"
"#;
    let config = limited(limits).expect("a valid configuration");
    let shown = serde_json::to_value(&config).expect("plain data")["deployments"][0]["limits"].clone();
    let written: Vec<(&str, &str)> = limits.lines().filter_map(|line| line.split_once(" = ")).collect();
    for (key, value) in &written {
        let value = value.replace("mon-fri", "mon,tue,wed,thu,fri");
        assert_eq!(shown[*key].to_string().replace(' ', ""), value.replace(' ', ""), "{key}");
    }
    assert_eq!(shown.as_object().expect("a table").len(), written.len() + 2, "and the two of the template");
    // Everything that the template offers in comments can be used.
    let section = TEMPLATE.lines().skip_while(|line| !line.starts_with("[deployment.limits]")).take_while(|line| !line.is_empty());
    let is_key = |line: &&str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let offered: Vec<&str> = section.filter_map(|line| line.strip_prefix("# ")).filter(is_key).collect();
    assert!(offered.len() > 18, "{offered:?}");
    limited(&offered.join("\n")).expect("the template's comments are valid");
}

#[test]
fn limits_hold_for_accounts_agents_and_everything_too() {
    let agent =
        with("# allowed_assets = [\"HYPE\", \"BTC\", \"ETH\"]", "limits = { max_order_rate = \"3/1h\" }").expect("a valid configuration");
    assert_eq!(agent.agents[0].limits.max_order_rate.map(|rate| rate.to_string()).as_deref(), Some("3/1h"));
    let risk = with("close_slippage = \"0.05\"", "max_open_positions = 7").expect("a valid configuration");
    assert_eq!(risk.risk.limits.max_open_positions, Some(7));
    let account = with("# limits = { max_notional = \"25000\" }", "limits = { cooldown = \"1m\" }").expect("a valid configuration");
    assert_eq!(account.accounts[0].limits.cooldown, Some(Duration::from_secs(60)));
    let setup = crate::open::setup(&agent);
    assert_eq!(setup.agents.values().next().map(|agent| agent.limits), Some(agent.agents[0].limits));
}

#[test]
fn a_wrong_limit_says_what_fits() {
    let key = |key: &str| format!("deployment[0].limits.{key}");
    let say = |text: &str, name: &str, words: &[&str]| {
        check(limited(text), &[&[key(name).as_str()], words].concat());
    };
    say("min_confidence = \"1.2\"", "min_confidence", &["1.2", "between 0 and 1"]);
    say("min_confidence = 0.7", "min_confidence", &["got the number 0.7", "write \"0.7\""]);
    say("max_leverage = \"0.5\"", "max_leverage", &["0.5", "between 1 and 1000"]);
    say("max_open_positions = 0", "max_open_positions", &["got 0", "1 or more"]);
    say("max_open_positions = \"3\"", "max_open_positions", &["a whole number, 1 or more"]);
    say("max_same_direction = -1", "max_same_direction", &["-1", "a whole number, 1 or more"]);
    say("max_spread = \"0\"", "max_spread", &["got \"0\"", "greater than 0 and at most 1"]);
    say("cooldown = \"0s\"", "cooldown", &["got 0", "longer, such as \"5m\""]);
    say("max_price_age = \"soon\"", "max_price_age", &["`soon` is not a length of time"]);
    say("max_order_rate = \"10\"", "max_order_rate", &["`10` is not a rate", "\"10/1m\""]);
    say("max_order_rate = \"300/1m\"", "max_order_rate", &["`300/1m`", "1 to 256"]);
    say("trading_hours = [\"mon 8-16\"]", "trading_hours[0]", &["`mon 8-16` is no time of the week", "mon-fri 08:00-16:30"]);
    say("trading_hours = []", "trading_hours", &["got 0 times of the week", "1 to 16"]);
    say("on_excess = \"shrnk\"", "on_excess", &["\"refuse\", \"shrink\"", "did you mean `shrink`?"]);
    say("min_reward_to_risk = \"0\"", "min_reward_to_risk", &["greater than 0"]);
    say("min_liquidation_distance = \"0.1\"", "min_liquidation_distance", &["without maintenance_margin", "as the venue states it"]);
    say("maintenance_margin = \"0.1\"", "maintenance_margin", &["holds only with min_liquidation_distance"]);
    say("max_positions = 3", "max_positions", &["is not a key of deployment[0].limits"]);
}
