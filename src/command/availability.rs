//! `omnivenue availability`: where an asset could be traded now.

use std::time::Duration;

use clap::Args;
use omnivenue::control::Request;
use omnivenue_core::model::ids::Asset;
use serde_json::Value;

use super::Options;
use super::backend::Backend;
use super::exit::{CommandError, Done};
use super::table::{Column, clean, id, number, shown, table, text, wrapped};

/// How often to look whether accounts that recover, and venues without a price, have become ready.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

const COLUMNS: &[Column] = &[
    id("account", "account"),
    text("instrument", "symbol"),
    text("market", "market"),
    text("status", "status"),
    number("bid", "bid"),
    number("ask", "ask"),
    number("spread", "spread"),
    number("fee", "taker_fee"),
    number("lev.", "max_leverage"),
    number("lot", "lot_size"),
    number("min", "min_notional"),
];

/// `omnivenue availability`.
#[derive(Debug, Args)]
pub(crate) struct FindVenues {
    /// What to trade, such as HYPE
    asset: Asset,
}

impl FindVenues {
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        let (config, _) = options.load()?;
        let output = options.output();
        let mut backend = Backend::acting(&config, output).await?;
        let answer = self.ask(&mut backend).await;
        let left = backend.close().await?;
        let answer = answer?;
        output.either(&answer, || page(&answer))?;
        let ready = rows(&answer).any(|row| row["status"] == "ready");
        Ok(left.and(if ready { Done::Well } else { Done::Refused }))
    }

    /// Where an engine has only just begun, accounts and prices take a moment.
    async fn ask(&self, backend: &mut Backend) -> Result<Value, CommandError> {
        for _ in 0..LOOKS {
            let answer = backend.ask(Request::Availability { asset: self.asset.clone() }).await?;
            if !rows(&answer).any(|row| row["status"] == "recovering" || row["status"] == "no_price") {
                return Ok(answer);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(backend.ask(Request::Availability { asset: self.asset.clone() }).await?)
    }
}

fn rows(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.as_array().into_iter().flatten()
}

/// A row whose terms and prices stand side by side.
fn flat(row: &Value) -> Value {
    let mut flat = row.clone();
    for part in ["instrument", "quote"] {
        let fields = row[part].as_object().cloned().unwrap_or_default();
        for (key, value) in fields.into_iter().filter(|(key, _)| part == "instrument" || key != "quote") {
            // What prices are in has the name of the whole.
            flat[if key == "quote" { "quoted_in" } else { key.as_str() }] = value;
        }
    }
    flat
}

fn page(answer: &Value) -> String {
    let flat: Vec<Value> = rows(answer).map(flat).collect();
    let mut text = table(&flat, COLUMNS, "no account trades anything");
    for row in rows(answer) {
        let account = shown(row.get("account"));
        if let Some(reason) = row["reason"].as_str() {
            text.push_str(&format!("\n{}", wrapped(&format!("{account}: {}: {}", shown(row.get("status")), clean(reason)))));
        }
        for could in row["deployments"].as_array().into_iter().flatten() {
            for refused in could["refused"].as_array().into_iter().flatten() {
                let (deployment, direction) = (shown(could.get("deployment")), shown(refused.get("direction")));
                let why = clean(refused["reason"].as_str().unwrap_or_default());
                let line = format!("{account}, {deployment}, {direction}: {}: {why}", shown(refused.get("code")));
                text.push_str(&format!("\n{}", wrapped(&line)));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_has_its_terms_and_prices_and_what_stands_in_the_way() {
        let answer = json!([
            {"venue": "hyperliquid", "account": "main", "status": "ready",
             "instrument": {"symbol": "HYPE", "market": "perp", "asset_per_unit": "1", "quote": "USDC", "settle": "USDC", "lot_size": "0.01",
                "min_quantity": "0.01", "min_notional": "10", "max_leverage": "10", "taker_fee": "0.00045"},
             "quote": {"bid": "38.1", "ask": "38.11", "spread": "0.00026243", "age_ms": 12},
             "deployments": [{"deployment": "demo", "agent": "demo", "could_open": true,
                "refused": [{"direction": "short", "code": "opposite_interest", "reason": "other agents hold 5 HYPE on main"}]}]},
            {"venue": "spot", "account": "cash", "status": "not_listed", "reason": "spot lists no HYPE"}]);
        let text = page(&answer);
        for words in [
            "38.11",
            "0.00045",
            "0.00026243",
            "ready",
            "main, demo, short: opposite_interest: other agents",
            "cash: not_listed: spot lists no",
        ] {
            assert!(text.contains(words), "{text}\nshould contain {words}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
