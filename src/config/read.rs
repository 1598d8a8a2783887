//! From keys to a [`Config`], one function a section.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use omnivenue_core::executor::{Breakers, DriftPolicy, Limits, LossBound, LossLimits, StopRequirement, Timing};
use omnivenue_core::journal::OnBreach;
use omnivenue_core::model::ids::{Asset, VenueId, VenueSymbol};
use omnivenue_core::model::instrument::Market;
use omnivenue_core::model::number::{Factor, Fraction, Rate};
use omnivenue_core::model::time::parse_duration;
use omnivenue_core::venue::{Absence, Resend};

use super::node::Node;
use super::section::{Asked, Issue, Issues, Section};
use super::strategy::{losses as strategy_losses, strategy};
use super::{
    AccountConfig, Adapter, AgentConfig, Config, DeploymentConfig, Environment, FaultsConfig, FundingConfig, JournalConfig, KillConfig,
    Origin, PaperConfig, Preset, PricesConfig, RiskConfig, SecretRef, ShareConfig, check, limits, told,
};

/// The fewest entries of a segment: each is a file, and closing one takes a snapshot.
const SEGMENT_ENTRIES_MIN: u64 = 1_000;

/// What a paper account holds when nothing is said.
const BALANCE: &str = "10000";

/// Reads and checks everything.
pub(super) fn config(table: &BTreeMap<String, Node>, base: &Path) -> Result<Config, Vec<Issue>> {
    let issues = Issues::default();
    let config = read(table, base, &issues);
    let (config, wrong) = check::together(config, table);
    wrong.into_iter().for_each(|issue| issues.add(issue.key, issue.line, issue.problem));
    let issues = issues.into_vec();
    if issues.is_empty() { Ok(config) } else { Err(issues) }
}

/// What a reading of this table asks for, present or not.
pub(super) fn asked(table: &BTreeMap<String, Node>) -> Vec<Asked> {
    let issues = Issues::recording();
    read(table, Path::new(""), &issues);
    issues.into_asked()
}

fn read(table: &BTreeMap<String, Node>, base: &Path, issues: &Issues) -> Config {
    let root = Section::new("", None, table, issues);
    let data_dir = base.join(root.text("data_dir", "a path").unwrap_or(".omnivenue"));
    let journal = root.section("journal").map_or(
        JournalConfig { path: None, chain_key: None, namespace: None, views: true, segment_entries: None, retain_segments: None },
        |section| journal(&section, base),
    );
    let kill = root.section("kill").map_or_else(KillConfig::default, |section| kill(&section, base));
    let (accounts, agents, deployments) =
        (root.sections("account", ACCOUNT), root.sections("agent", AGENT), root.sections("deployment", DEPLOYMENT));
    let (risk, close_slippage) = risk(root.section("risk").as_ref());
    let timing = root.section("timing").map_or_else(Timing::default, |section| timing(&section));
    let breakers = root.section("breakers").map_or_else(Breakers::default, |section| breakers(&section));
    let config = Config {
        data_dir,
        journal,
        kill,
        accounts: accounts.iter().filter_map(|section| account(section, base)).collect(),
        agents: agents.iter().filter_map(agent).collect(),
        deployments: deployments.iter().filter_map(deployment).collect(),
        risk,
        timing: Timing { close_slippage: close_slippage.unwrap_or(timing.close_slippage), ..timing },
        breakers,
        log: root.section("log").and_then(|section| told::log(&section, base)),
        metrics: root.section("metrics").and_then(|section| told::metrics(&section)),
        warnings: Vec::new(),
        origin: Origin::default(),
    };
    root.finish();
    config
}

const ACCOUNT: &str = "a table, written as [[account]]";
const AGENT: &str = "a table, written as [[agent]]";
const DEPLOYMENT: &str = "a table, written as [[deployment]]";
const ID: &str = "a name in quotes, of 1 or more of A-Z a-z 0-9 . _ : / @ -";

fn journal(section: &Section<'_>, base: &Path) -> JournalConfig {
    let path = section.text("path", "a path").map(|path| base.join(path));
    let chain_key = section.guarded_text("chain_key").and_then(|text| secret(section, "chain_key", text, base));
    let namespace = section.text("namespace", "6 of 0-9 a-f").map(str::to_owned);
    if let Some(given) = namespace.as_ref().filter(|text| text.len() != 6 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
    {
        section.issue("namespace", format!("got \"{given}\", but must be 6 of 0-9 a-f"));
    }
    let views = section.flag("views").unwrap_or(true);
    let segment_entries = section.count("segment_entries", "a whole number of entries, 1000 or more");
    if let Some(few) = segment_entries.filter(|entries| *entries < SEGMENT_ENTRIES_MIN) {
        section.issue("segment_entries", format!("got {few}, but must be {SEGMENT_ENTRIES_MIN} or more"));
    }
    let retain_segments = section.count("retain_segments", "a whole number of closed segments, 1 or more");
    if retain_segments == Some(0) {
        section.issue("retain_segments", "got 0, but must be 1 or more: venues tell of late trades");
    }
    if retain_segments.is_some() && segment_entries.is_none() {
        section.issue("retain_segments", "holds only with segment_entries");
    }
    section.finish();
    JournalConfig { path, chain_key, namespace, views, segment_entries, retain_segments }
}

fn kill(section: &Section<'_>, base: &Path) -> KillConfig {
    let secret = section.guarded_text("secret").and_then(|text| secret(section, "secret", text, base));
    section.finish();
    KillConfig { secret }
}

fn secret(section: &Section<'_>, key: &str, text: &str, base: &Path) -> Option<SecretRef> {
    SecretRef::parse(text, base).map_err(|fits| section.issue(key, format!("{fits} (what was given is not shown)"))).ok()
}

fn account(section: &Section<'_>, base: &Path) -> Option<AccountConfig> {
    let id = section.required("id", ID);
    let venue: Option<VenueId> = section.required("venue", ID);
    let market =
        section.choice("market", &[("perp", Market::Perp), ("spot", Market::Spot), ("future", Market::Future)]).unwrap_or_default();
    let environments = [("paper", Environment::Paper), ("testnet", Environment::Testnet), ("mainnet", Environment::Mainnet)];
    let environment = section.choice("environment", &environments).unwrap_or_default();
    let armed = section.flag("armed").unwrap_or_default();
    if environment == Environment::Mainnet && !armed {
        section.issue("environment", "got \"mainnet\" without `armed = true`; real money is never traded by accident");
    }
    let urls = section.entries("urls").filter_map(|(name, entries)| Some((name.to_owned(), url(&entries, name)?))).collect();
    let credentials = section
        .entries("credentials")
        .filter_map(|(name, entries)| Some((name.to_owned(), secret(&entries, name, entries.free_text(name)?, base)?)))
        .collect();
    let limits = limits::within(section);
    let losses = losses(section);
    let policies = [("halt_entries", DriftPolicy::HaltEntries), ("adopt", DriftPolicy::Adopt), ("flatten", DriftPolicy::Flatten)];
    let drift = section.choice("drift", &policies).unwrap_or_default();
    let address = section.text("address", "an address such as \"0x…\"").map(str::to_owned);
    let vault_address = section.text("vault_address", "an address such as \"0x…\"").map(str::to_owned);
    let order_lifetime = duration(section, "order_lifetime", "15s");
    let given = section.section("paper");
    let paper = if environment == Environment::Paper {
        Some(paper(given, section, venue.as_ref(), market, base)?)
    } else {
        if given.is_some() {
            section.issue("paper", "is there, but the environment is not \"paper\": remove one of the two");
        }
        None
    };
    if let (Some(venue), true) = (&venue, environment != Environment::Paper) {
        login(section, venue, &credentials);
    }
    section.finish();
    Some(AccountConfig {
        id: id?,
        venue: venue?,
        market,
        environment,
        armed,
        urls,
        credentials,
        address,
        vault_address,
        order_lifetime,
        limits,
        losses,
        drift,
        paper,
    })
}

/// What a login at the venue itself needs.
fn login(section: &Section<'_>, venue: &VenueId, credentials: &BTreeMap<String, SecretRef>) {
    let names = || Adapter::ALL.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    match Adapter::of(venue) {
        None => section.issue("venue", format!("got \"{venue}\", but outside paper only {} can be traded", names())),
        Some(Adapter::Hyperliquid) => {
            if !credentials.contains_key("private_key") {
                section.issue(
                    "credentials",
                    "private_key is missing: give { private_key = \"env:NAME\" } or \"file:PATH\", best an API wallet's",
                );
            }
            if let Some(other) = credentials.keys().find(|name| *name != "private_key") {
                section.issue("credentials", format!("{other} is not used by hyperliquid, which takes private_key alone"));
            }
            for key in ["address", "vault_address"] {
                let fits = |text: &str| text.len() == 42 && text.starts_with("0x") && text[2..].bytes().all(|b| b.is_ascii_hexdigit());
                if let Some(given) = section.text(key, "an address").filter(|text| !fits(text)) {
                    section.issue(key, format!("got \"{given}\", but must be 0x and 40 hexadecimal digits"));
                }
            }
        }
    }
}

fn url(entries: &Section<'_>, name: &str) -> Option<String> {
    let text = entries.free_text(name)?;
    let known = ["https://", "http://", "wss://", "ws://"].iter().any(|scheme| text.starts_with(scheme));
    if !known || text.contains('@') {
        entries.issue(name, "must begin with https://, http://, wss:// or ws:// and hold no user or password");
        return None;
    }
    Some(text.to_owned())
}

const PRESETS: [(&str, Preset); 4] =
    [("hyperliquid", Preset::Hyperliquid), ("ostium", Preset::Ostium), ("spot", Preset::Spot), ("coin", Preset::Coin)];

fn paper(section: Option<Section<'_>>, account: &Section<'_>, venue: Option<&VenueId>, market: Market, base: &Path) -> Option<PaperConfig> {
    let live = section.as_ref().is_some_and(|section| section.is_text("prices"));
    let given = section.as_ref().and_then(|section| section.choice("preset", &PRESETS));
    let by_venue = || PRESETS.iter().find(|(name, _)| venue.is_some_and(|venue| venue.as_str() == *name)).map(|(_, preset)| *preset);
    let preset = given
        .or((live && market == Market::Spot).then_some(Preset::Spot))
        .or_else(by_venue)
        .or((market == Market::Spot).then_some(Preset::Spot));
    let preset = match (preset, &section) {
        (Some(preset), _) => preset,
        // A wrong preset has been reported already.
        (None, Some(section)) if !section.is_sound() => return None,
        _ => {
            account.issue(
                "paper",
                "preset is missing: give one of \"hyperliquid\", \"ostium\", \"spot\", \"coin\", which the simulated venue is modelled on",
            );
            return None;
        }
    };
    let fits = if preset == Preset::Spot { Market::Spot } else { Market::Perp };
    if market != fits && (market == Market::Spot || fits == Market::Spot || !live) {
        account.issue("market", format!("got \"{market}\", but the paper preset \"{preset}\" trades \"{fits}\""));
    }
    let mut paper = PaperConfig {
        preset,
        prices: PricesConfig { live, walk_seed: 1, candles: BTreeMap::new(), speed: 1, fixed: BTreeMap::new() },
        balance: BALANCE.parse().expect("a constant number"),
        latency: None,
        faults: FaultsConfig::default(),
        resend: None,
        absence: None,
        funding: None,
    };
    if let Some(section) = section {
        if let Some(balance) = section.number("balance", BALANCE) {
            paper.balance = balance;
        }
        if live {
            live_prices(&section, venue);
        } else if let Some(given) = section.section("prices") {
            paper.prices = prices(&given, base);
        }
        paper.latency = duration(&section, "latency", "50ms");
        paper.faults = section.section("faults").map(|section| faults(&section)).unwrap_or_default();
        paper.resend = section.choice("resend", &[("idempotent", Resend::Idempotent), ("after_proof", Resend::AfterProof)]);
        paper.absence = absence(&section);
        paper.funding = section.section("funding").map(|section| funding(&section, base));
        section.finish();
    }
    Some(paper)
}

/// The one word that a table of prices can be replaced by.
fn live_prices(section: &Section<'_>, venue: Option<&VenueId>) {
    section.choice("prices", &[("live", ())]);
    if let Some(venue) = venue.filter(|venue| Adapter::of(venue).is_none()) {
        let names = Adapter::ALL.map(|(name, _)| name).join(", ");
        section.issue("prices", format!("got \"live\", but {venue} has no live prices here; those that do: {names}"));
    }
}

fn prices(section: &Section<'_>, base: &Path) -> PricesConfig {
    let walk_seed = section.count("walk_seed", "a whole number, 0 or more").unwrap_or(1);
    let symbol = |entries: &Section<'_>, name: &str| entries.keep(name, name.parse::<VenueSymbol>());
    let candles: BTreeMap<_, _> = section
        .entries("candles")
        .filter_map(|(name, entries)| Some((symbol(&entries, name)?, base.join(entries.free_text(name)?))))
        .collect();
    let fixed: BTreeMap<_, _> =
        section.entries("fixed").filter_map(|(name, entries)| Some((symbol(&entries, name)?, entries.free_number(name)?))).collect();
    let speed = section.count("speed", "a whole number, 1 or more");
    if speed == Some(0) || (speed.is_some() && candles.is_empty()) {
        section.issue("speed", "must be 1 or more, and holds only with candles");
    }
    if let Some(both) = candles.keys().find(|symbol| fixed.contains_key(*symbol)) {
        section.issue("fixed", format!("names {both}, which candles names too; give one"));
    }
    section.finish();
    PricesConfig { live: false, walk_seed, candles, speed: speed.unwrap_or(1), fixed }
}

fn funding(section: &Section<'_>, base: &Path) -> FundingConfig {
    let symbol = |entries: &Section<'_>, name: &str| entries.keep(name, name.parse::<VenueSymbol>());
    let files = section.entries("files").filter_map(|(name, entries)| Some((symbol(&entries, name)?, base.join(entries.free_text(name)?))));
    let funding = FundingConfig {
        rate: section.number("rate", "0.0001").unwrap_or(Rate::ZERO),
        every: positive(section, "every", "8h", EIGHT_HOURS),
        files: files.collect(),
    };
    section.finish();
    funding
}

/// How often most venues pay it.
const EIGHT_HOURS: Duration = Duration::from_secs(8 * 3600);

fn faults(section: &Section<'_>) -> FaultsConfig {
    let per_mille = |key| {
        let count = section.count(key, "a whole number of 0 to 1000, in a thousand requests").unwrap_or_default();
        if count > 1000 {
            section.issue(key, format!("got {count}, but must be 0 to 1000: in a thousand requests"));
        }
        count
    };
    let faults = FaultsConfig {
        seed: section.count("seed", "a whole number, 0 or more").unwrap_or_default(),
        refuse: per_mille("refuse"),
        delay: per_mille("delay"),
        cut_before: per_mille("cut_before"),
        cut_after: per_mille("cut_after"),
        late_commit: per_mille("late_commit"),
        false_not_found: per_mille("false_not_found"),
        duplicate_fill: per_mille("duplicate_fill"),
        late_fill: per_mille("late_fill"),
        silence: per_mille("silence"),
        delay_max: duration(section, "delay_max", "2s"),
        late_commit_max: duration(section, "late_commit_max", "3s"),
        late_fill_max: duration(section, "late_fill_max", "1s"),
        silence_for: duration(section, "silence_for", "5s"),
    };
    section.finish();
    faults
}

/// `absence = "burn" | "never" | "window"`, the last with `absence_window` and `absence_margin`.
fn absence(section: &Section<'_>) -> Option<Absence> {
    let kind = section.choice("absence", &[("burn", "burn"), ("window", "window"), ("never", "never")]);
    let (length, margin) = (duration(section, "absence_window", "5s"), duration(section, "absence_margin", "1s"));
    match kind {
        Some("burn") => Some(Absence::Burn),
        Some("never") => Some(Absence::Never),
        Some("window") => {
            Some(Absence::Window { length: length.unwrap_or(Duration::from_secs(5)), margin: margin.unwrap_or(Duration::from_secs(1)) })
        }
        _ => {
            for key in [length.map(|_| "absence_window"), margin.map(|_| "absence_margin")].into_iter().flatten() {
                section.issue(key, "holds only with absence = \"window\"");
            }
            None
        }
    }
}

fn agent(section: &Section<'_>) -> Option<AgentConfig> {
    let id = section.required("id", ID);
    let allowed_assets =
        section.texts::<Asset>("allowed_assets", "names in quotes, such as [\"HYPE\", \"BTC\"]").map(|assets| assets.into_iter().collect());
    let approval = approval(section);
    let strategy = section.section("strategy").and_then(|section| strategy(&section));
    let given = losses(section);
    let losses = if section.has("losses") { given } else { strategy_losses(strategy.as_ref()) };
    let enabled = section.flag("enabled").unwrap_or(true);
    let limits = limits::within(section);
    section.finish();
    Some(AgentConfig { id: id?, allowed_assets, losses, approval, enabled, limits, strategy })
}

fn deployment(section: &Section<'_>) -> Option<DeploymentConfig> {
    let id = section.required("id", ID);
    let agent = section.required("agent", "the id of an [[agent]]");
    let shares = section.sections("accounts", "tables, such as [{ account = \"ID\", allocation = \"5000\" }]");
    if shares.is_empty() && section.is_sound() {
        section.issue("accounts", "is empty: give at least one, such as [{ account = \"ID\" }]");
    }
    let accounts = shares.iter().filter_map(share).collect();
    let limits = limits::within(section);
    let losses = losses(section);
    let stops = section.choice("stops", &[("any", StopRequirement::Any), ("venue", StopRequirement::Venue)]).unwrap_or_default();
    let approval = approval(section);
    let scale = section.number("scale", "0.5").unwrap_or(Factor::ONE);
    let enabled = section.flag("enabled").unwrap_or(true);
    section.finish();
    Some(DeploymentConfig { id: id?, agent: agent?, accounts, limits, losses, stops, approval, scale, enabled })
}

/// How long a signal waits for a person's yes, where it needs one.
fn approval(section: &Section<'_>) -> Option<Duration> {
    let length = duration(section, "approval", "10m")?;
    if length.is_zero() {
        section.issue("approval", "got 0, but must be longer, such as \"10m\"; leave it out where no yes is needed");
    }
    Some(length)
}

fn share(section: &Section<'_>) -> Option<ShareConfig> {
    let account = section.required("account", "the id of an [[account]]");
    let allocation = section.number("allocation", "5000");
    let fallback = section.parsed("fallback", "the id of a paper [[account]]");
    section.finish();
    Some(ShareConfig { account: account?, allocation, fallback })
}

/// `losses = { max_daily_loss = "5%", max_drawdown = "500", on_breach = "flatten" }`.
fn losses(section: &Section<'_>) -> LossLimits {
    let Some(section) = section.section("losses") else { return LossLimits::default() };
    let bound = |key| {
        let bound = section.parsed(key, "an amount such as \"500\" or a percentage such as \"5%\"");
        if bound.is_some_and(|bound: LossBound| bound.is_zero()) {
            section.issue(key, "got 0, but must be more: any loss would break it at once; leave it out where none is limited");
        }
        bound
    };
    let limits = LossLimits {
        max_daily_loss: bound("max_daily_loss"),
        max_drawdown: bound("max_drawdown"),
        on_breach: section.choice("on_breach", &ON_BREACH).unwrap_or_default(),
    };
    if limits.is_empty() && section.is_sound() {
        section.issue("max_daily_loss", "is missing: give max_daily_loss or max_drawdown, or leave the table out");
    }
    section.finish();
    limits
}

const ON_BREACH: [(&str, OnBreach); 3] =
    [("halt_entries", OnBreach::HaltEntries), ("flatten", OnBreach::Flatten), ("stop_agent", OnBreach::StopAgent)];

/// The section, and how far from the market a close may fill.
fn risk(section: Option<&Section<'_>>) -> (RiskConfig, Option<Fraction>) {
    let dollar = || BTreeMap::from([("USDC".parse().expect("a constant name"), Factor::ONE)]);
    let Some(section) = section else {
        let (losses, depeg) = (LossLimits::default(), BTreeMap::new());
        return (RiskConfig { limits: Limits::default(), rates: dollar(), losses, depeg }, None);
    };
    let limits = limits::read(section);
    let close_slippage = section.number("close_slippage", "0.05");
    let rate = |(name, entries): (&str, Section<'_>)| {
        let asset = entries.keep(name, name.parse::<Asset>());
        let rate = entries.free_number(name);
        Some((asset?, rate?))
    };
    let rates: BTreeMap<Asset, Factor> = section.entries("rates").filter_map(rate).collect();
    let rates = if rates.is_empty() { dollar() } else { rates };
    let losses = losses(section);
    let depeg = depeg(section, &rates);
    section.finish();
    (RiskConfig { limits, rates, losses, depeg }, close_slippage)
}

/// `depeg = { USDC = "0.02" }`: of currencies whose rate is stated.
fn depeg(section: &Section<'_>, rates: &BTreeMap<Asset, Factor>) -> BTreeMap<Asset, Fraction> {
    let watched = |(name, entries): (&str, Section<'_>)| {
        let (asset, most) = (entries.keep(name, name.parse::<Asset>()), entries.free_number::<Fraction>(name));
        let (asset, most) = (asset?, most?);
        if !rates.contains_key(&asset) {
            let known = rates.keys().map(Asset::as_str).collect::<Vec<_>>().join(", ");
            entries.issue(name, format!("has no stated rate to be away from: add it to risk.rates; those with a rate are {known}"));
        }
        Some((asset, most))
    };
    section.entries("depeg").filter_map(watched).collect()
}

fn duration(section: &Section<'_>, key: &'static str, example: &str) -> Option<Duration> {
    let text = section.text(key, &format!("a length of time in quotes, such as \"{example}\""))?;
    section.keep(key, parse_duration(text))
}

fn positive(section: &Section<'_>, key: &'static str, example: &str, default: Duration) -> Duration {
    let length = duration(section, key, example).unwrap_or(default);
    if length.is_zero() {
        section.issue(key, format!("got 0, but must be longer, such as \"{example}\""));
    }
    length
}

fn breakers(section: &Section<'_>) -> Breakers {
    let defaults = Breakers::default();
    let count = |key, default| {
        let count = section.count(key, "a whole number, 1 or more").unwrap_or(default);
        if count == 0 {
            section.issue(key, "got 0, but must be 1 or more");
        }
        count
    };
    let positive = |key, example, default| positive(section, key, example, default);
    let breakers = Breakers {
        window: positive("window", "1m", defaults.window),
        errors_high: count("errors_high", defaults.errors_high),
        errors_critical: count("errors_critical", defaults.errors_critical),
        latency_high: positive("latency_high", "4s", defaults.latency_high),
        stale_high: positive("stale_high", "1m", defaults.stale_high),
        unknown_high: positive("unknown_high", "2m", defaults.unknown_high),
        cool_down: positive("cool_down", "30s", defaults.cool_down),
    };
    if breakers.errors_critical < breakers.errors_high {
        let (critical, high) = (breakers.errors_critical, breakers.errors_high);
        section.issue("errors_critical", format!("got {critical}, but must be errors_high ({high}) or more"));
    }
    section.finish();
    breakers
}

fn timing(section: &Section<'_>) -> Timing {
    let defaults = Timing::default();
    let positive = |key, example, default| positive(section, key, example, default);
    let timing = Timing {
        leg_deadline: positive("leg_deadline", "5s", defaults.leg_deadline),
        max_attempts: section.count("max_attempts", "a whole number, 1 to 100").unwrap_or(defaults.max_attempts),
        backoff_min: positive("backoff_min", "100ms", defaults.backoff_min),
        backoff_max: positive("backoff_max", "30s", defaults.backoff_max),
        reconcile_every: positive("reconcile_every", "30s", defaults.reconcile_every),
        reconcile_idle: section.count("reconcile_idle", "a whole number, 1 to 100").unwrap_or(defaults.reconcile_idle),
        protection_deadline: positive("protection_deadline", "5s", defaults.protection_deadline),
        group_deadline: positive("group_deadline", "10s", defaults.group_deadline),
        stop_move_every: positive("stop_move_every", "2s", defaults.stop_move_every),
        user_gate_deadline: positive("user_gate_deadline", "250ms", defaults.user_gate_deadline),
        expiry_margin: positive("expiry_margin", "1h", defaults.expiry_margin),
        ..defaults
    };
    if !(1..=100).contains(&timing.max_attempts) {
        section.issue("max_attempts", format!("got {}, but must be 1 to 100", timing.max_attempts));
    }
    if !(1..=100).contains(&timing.reconcile_idle) {
        section.issue("reconcile_idle", format!("got {}, but must be 1 to 100", timing.reconcile_idle));
    }
    if timing.backoff_min > timing.backoff_max {
        section.issue("backoff_min", "is longer than backoff_max");
    }
    section.finish();
    timing
}
