//! `omnivenue backtest`: the configuration's agents over recorded candles, in virtual time.

use std::path::PathBuf;

use clap::Args;
use omnivenue::backtest::{self, Report};
use omnivenue_core::model::ids::Asset;
use omnivenue_core::model::time::Timestamp;
use serde_json::Value;

use super::Options;
use super::exit::{CommandError, Done, open_failure};
use super::table::{Column, clean, money, number, shown, table, text, wrapped};

/// `omnivenue backtest`.
#[derive(Debug, Args)]
pub(crate) struct Backtest {
    /// Candles of an asset: CSV, or gzip of it, with the columns open_time_ms,open,high,low,close,volume; once for each asset
    #[arg(long, required = true, value_name = "ASSET=FILE", value_parser = candles)]
    candles: Vec<(Asset, PathBuf)>,
    /// Pass over candles that begin before this, such as 2022-01-05T00:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// End at the first candle that begins at this or later
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// Decides whatever chance decides; the same seed gives the same bytes
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
}

fn candles(text: &str) -> Result<(Asset, PathBuf), String> {
    let (asset, file) = text.split_once('=').ok_or("write ASSET=FILE, such as BTC=btc.csv.gz")?;
    Ok((asset.parse().map_err(|error: omnivenue_core::model::ids::NameError| error.to_string())?, PathBuf::from(file)))
}

const AGENTS: &[Column] = &[
    text("agent", "agent"),
    number("signals", "signals"),
    number("trades", "trades"),
    number("won", "won"),
    money("realized", "realized_pnl"),
    money("unrealized", "unrealized_pnl"),
    money("fees", "fees"),
    money("funding", "funding"),
    money("equity", "equity"),
    money("drawdown", "drawdown"),
];

impl Backtest {
    pub(crate) fn run(self, options: &Options) -> Result<Done, CommandError> {
        let (config, origin) = options.load()?;
        let mut plan = backtest::plan(&config).map_err(|error| open_failure(&error))?;
        if plan.agents.is_empty() {
            let words =
                format!("{origin} has no agent with a strategy: give one, such as strategy = {{ name = \"momentum\", asset = \"BTC\" }}");
            return Err(CommandError::Usage(words));
        }
        for (asset, file) in self.candles {
            backtest::add_file(&mut plan, asset, &file).map_err(|error| CommandError::Usage(chain(&error)))?;
        }
        (plan.from, plan.to, plan.seed) = (self.from, self.to, self.seed);
        let report = plan.run().map_err(|error| CommandError::failed(chain(&error)))?;
        options.output().either(&report, || shown_report(&report))?;
        Ok(if report.agrees() { Done::Well } else { Done::Refused })
    }
}

/// An error with what caused it.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    super::exit::chain(error)
}

fn shown_report(report: &Report) -> String {
    let value = serde_json::to_value(report).unwrap_or_default();
    let drawn = |row: &Value| {
        let mut row = row.clone();
        row["drawdown"] = row["max_drawdown"]["amount"].clone();
        row
    };
    let mut rows: Vec<Value> = value["agents"].as_array().into_iter().flatten().map(drawn).collect();
    for all in value["combined"].as_array().into_iter().flatten() {
        let mut row = drawn(all);
        row["agent"] = "all".into();
        rows.push(row);
    }
    let candles: u64 = report.series.iter().map(|series| series.candles).sum();
    let mut out = format!("{candles} candles from {} to {}\n{}", report.from, report.to, table(&rows, AGENTS, "no agents"));
    for series in report.series.iter().filter(|series| series.gaps > 0) {
        out.push_str(&format!("\n{}: candles are missing in {} places", series.asset, series.gaps));
    }
    for row in &rows {
        for (code, count) in row["refused"].as_object().into_iter().flatten() {
            out.push_str(&format!("\n{}: {} legs came to nothing: {}", shown(row.get("agent")), shown(Some(count)), clean(code)));
        }
        if let Some(why) = row["failed"].as_str() {
            out.push_str(&format!("\n{}", wrapped(&format!("{} stays down: {}", shown(row.get("agent")), clean(why)))));
        }
    }
    for venue in &report.venues {
        let words = if venue.difference == Default::default() {
            "agree with its own books".to_owned()
        } else {
            format!("differ from its own books by {}", venue.difference)
        };
        out.push_str(&format!("\n{}: equity {} {}; all agents' results {words}", venue.account, venue.equity, venue.currency));
    }
    for breaker in &report.breakers {
        let whose = breaker.venue.as_ref().map_or_else(|| "the engine".to_owned(), ToString::to_string);
        let why = breaker.reason.as_deref().unwrap_or_default();
        out.push_str(&format!("\n{}", wrapped(&format!("{whose} ended {}: {}", breaker.state, clean(why)))));
    }
    out.push_str(&format!("\njournal {} after {} entries", report.journal, report.entries));
    out
}
