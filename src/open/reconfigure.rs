//! From one configuration to another while the engine runs.
//!
//! What says how much, how long and whether may change: limits, rates, allowed assets, timing, breakers, approval, stops, what is switched off.
//! What says who, where and with what may not: accounts, venues, credentials, the journal, files and sockets; an agent's or a deployment's place.

use std::collections::BTreeMap;

use omnivenue_core::engine::{Engine, EngineError};
use omnivenue_core::journal::ConfigChange;
use serde_json::Value;

use super::setup;
use crate::config::{Config, Issue};

/// Why another configuration was not taken. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// It changes what may not change while the engine runs.
    #[error("{}; nothing was changed", shown(.0))]
    Unchangeable(Vec<Issue>),
    /// The engine refused it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

fn shown(issues: &[Issue]) -> String {
    issues.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The parts of the configuration that may change, by the first part of a key.
const MAY: [&str; 5] = ["risk", "timing", "breakers", "agent", "deployment"];

/// Of an account, what may change.
const OF_ACCOUNT: [&str; 3] = ["limits", "losses", "drift"];

/// Compares what an engine was opened with and what it is to become.
///
/// # Errors
/// Every key that differs and may not change while an engine runs.
pub fn changes(before: &Config, after: &Config) -> Result<Vec<ConfigChange>, Vec<Issue>> {
    let (old, new) = (flat(before), flat(after));
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let (mut changes, mut wrong) = (Vec::new(), Vec::new());
    for key in keys.into_iter().filter(|key| old.get(*key) != new.get(*key)) {
        match refusal(key) {
            None => changes.push(ConfigChange { key: key.clone(), before: old.get(key).cloned(), after: new.get(key).cloned() }),
            // What it was and is may be where a secret is kept.
            Some(problem) => wrong.push(Issue { key: key.clone(), line: None, problem }),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let (old, new) = (setup(before), setup(after));
    if let Err(unchangeable) = old.can_become(&new) {
        return Err(vec![Issue { key: unchangeable.key, line: None, problem: unchangeable.reason }]);
    }
    // What is not shown of a configuration is still told to have changed.
    if changes.is_empty() && format!("{old:?}") != format!("{new:?}") {
        changes.push(ConfigChange { key: "(not shown)".into(), before: None, after: None });
    }
    Ok(changes)
}

/// Takes another configuration, all of it or nothing, and says what changed.
///
/// # Errors
/// [`ReconfigureError`]; nothing was changed then.
pub async fn reconfigure(engine: &Engine, before: &Config, after: &Config) -> Result<Vec<ConfigChange>, ReconfigureError> {
    let changes = changes(before, after).map_err(ReconfigureError::Unchangeable)?;
    if !changes.is_empty() {
        engine.reconfigure(setup(after), changes.clone()).await?;
    }
    Ok(changes)
}

/// Why a key may not change; `None` where it may.
fn refusal(key: &str) -> Option<String> {
    let mut parts = key.splitn(3, ['.', '[']);
    let section = parts.next().unwrap_or_default();
    let restart = "restart it with the new configuration";
    if section == "account" {
        let within = key.split_once("].").map_or("", |(_, within)| within);
        let first = within.split(['.', '[']).next().unwrap_or_default();
        return (!OF_ACCOUNT.contains(&first))
            .then(|| format!("is not changed while the engine runs, only limits, losses and drift of an account are: {restart}"));
    }
    (!MAY.contains(&section)).then(|| format!("is not changed while the engine runs: {restart}"))
}

/// Every value of a configuration by its key, accounts and the like by their ids.
fn flat(config: &Config) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let Ok(Value::Object(sections)) = serde_json::to_value(config) else { return all };
    for (section, value) in sections {
        let name = match section.as_str() {
            "warnings" => continue,
            "accounts" => "account",
            "agents" => "agent",
            "deployments" => "deployment",
            other => other,
        };
        flatten(name.to_owned(), value, &mut all);
    }
    all
}

fn flatten(key: String, value: Value, all: &mut BTreeMap<String, Value>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => fields.into_iter().for_each(|(name, value)| flatten(format!("{key}.{name}"), value, all)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (place, item) in items.into_iter().enumerate() {
                let id = ["id", "account"].iter().find_map(|name| item.get(name)?.as_str().map(str::to_owned));
                flatten(format!("{key}[{}]", id.unwrap_or_else(|| place.to_string())), item, all);
            }
        }
        other => drop(all.insert(key, other)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::TEMPLATE;

    fn config(text: &str) -> Config {
        Config::from_toml(text, "a test", Path::new("/data")).unwrap()
    }

    fn with(from: &str, to: &str) -> Config {
        assert!(TEMPLATE.contains(from), "the template holds {from}");
        config(&TEMPLATE.replacen(from, to, 1))
    }

    #[test]
    fn what_may_change_is_told_with_before_and_after() {
        let before = config(TEMPLATE);
        let check = |from: &str, to: &str, key: &str, was: &str, is: &str| {
            let changes = changes(&before, &with(from, to)).unwrap();
            assert_eq!(changes.len(), 1, "{changes:?}");
            let text = |value: &Option<Value>| value.as_ref().map(|value| value.to_string().replace('"', "")).unwrap_or_default();
            assert_eq!((changes[0].key.as_str(), &*text(&changes[0].before), &*text(&changes[0].after)), (key, was, is));
        };
        check(
            "max_asset_notional = \"20000\"",
            "max_asset_notional = \"300\"",
            "deployment[demo].limits.max_asset_notional",
            "20000",
            "300",
        );
        check("max_notional = \"50000\"", "max_notional = \"60000\"", "risk.limits.max_notional", "50000", "60000");
        check("rates = { USDC = \"1\" }", "rates = { USDC = \"0.99\" }", "risk.rates.USDC", "1", "0.99");
        check("errors_high = 5 ", "errors_high = 6 ", "breakers.errors_high", "5", "6");
        check("leg_deadline = \"5s\"", "leg_deadline = \"4s\"", "timing.leg_deadline", "5s", "4s");
        check("# group_deadline = \"10s\"", "group_deadline = \"11s\"", "timing.group_deadline", "10s", "11s");
        check("# allowed_assets = [\"HYPE\", \"BTC\", \"ETH\"]", "allowed_assets = [\"HYPE\"]", "agent[demo].allowed_assets", "", "[HYPE]");
        check("# drift = \"halt_entries\"", "drift = \"adopt\"", "account[hyperliquid-paper].drift", "halt_entries", "adopt");
        let fresh = changes(&before, &with("# losses = { max_daily_loss = \"1000\" }", "losses = { max_daily_loss = \"1000\" }")).unwrap();
        assert!(fresh.iter().any(|change| change.key == "risk.losses.max_daily_loss" && change.before.is_none()), "{fresh:?}");
        let allocation = "deployment[demo].accounts[ostium-paper].allocation";
        check("{ account = \"ostium-paper\" }", "{ account = \"ostium-paper\", allocation = \"5\" }", allocation, "", "5");
        assert_eq!(changes(&before, &before).unwrap(), []);
    }

    #[test]
    fn what_may_not_change_is_refused_as_a_whole_with_each_key() {
        let before = config(TEMPLATE);
        let check = |from: &str, to: &str, keys: &[&str]| {
            let wrong = changes(&before, &with(from, to)).unwrap_err();
            assert_eq!(wrong.iter().map(|issue| issue.key.as_str()).collect::<Vec<_>>(), keys, "{wrong:?}");
        };
        check("data_dir = \".omnivenue\"", "data_dir = \"elsewhere\"", &["data_dir"]);
        check("# path = \".omnivenue/journal.db\"", "path = \"other.db\"", &["journal.path"]);
        check("# chain_key = \"env:OMNIVENUE_CHAIN_KEY\"", "chain_key = \"env:SOME_KEY\"", &["journal.chain_key"]);
        check("balance = \"10000\"\nprices", "balance = \"9000\"\nprices", &["account[ostium-paper].paper.balance"]);
        let text = TEMPLATE.replacen("max_asset_notional = \"20000\"", "max_asset_notional = \"300\"", 1);
        let both = config(&text.replacen("data_dir = \".omnivenue\"", "data_dir = \"elsewhere\"", 1));
        let wrong = changes(&before, &both).unwrap_err();
        assert_eq!((wrong.len(), wrong[0].key.as_str()), (1, "data_dir"));
        assert!(wrong[0].problem.contains("restart"), "{wrong:?}");
        let gone = "    { account = \"ostium-paper\" },\n";
        assert!(changes(&before, &with(gone, "")).is_err());
    }
}
