//! The verbs that show how things stand, and executions as text.

use std::time::Duration;

use omnivenue::control::Request;
use omnivenue_core::model::time::format_duration;
use serde_json::{Value, json};

use super::Options;
use super::backend::Backend;
use super::exit::{CommandError, Done};
use super::table::{Column, clean, id, moment, money, number, shown, table, text, wrapped};

const LEGS: &[Column] = &[
    text("account", "account"),
    text("instrument", "instrument"),
    text("state", "shown"),
    number("quantity", "quantity"),
    number("filled", "filled_quantity"),
    number("price", "average_price"),
    text("fees", "fees"),
];

/// An execution as text: its legs, and a sentence for each leg that has a reason.
pub(crate) fn execution(execution: &Value) -> String {
    let legs = execution["legs"].as_array().cloned().unwrap_or_default();
    let rows: Vec<Value> = legs
        .iter()
        .map(|leg| {
            let mut row = leg.clone();
            row["shown"] = leg.get("outcome").filter(|outcome| !outcome.is_null()).unwrap_or(&leg["state"]).clone();
            row
        })
        .collect();
    let mut out =
        format!("{}: {}\n{}", shown(execution.get("signal_id")), shown(execution.get("status")), table(&rows, LEGS, "nothing to do"));
    for leg in &rows {
        if let Some(why) = leg["stands_in"]["why"]["reason"].as_str() {
            out.push_str(&format!("\n{}", wrapped(&format!("{}: {}", shown(leg.get("account")), clean(why)))));
        }
        if let Some(routed) = leg["routed"].as_str().filter(|_| leg["client_order_id"].is_string()) {
            out.push_str(&format!("\n{}", wrapped(&format!("{}: {}", shown(leg.get("account")), clean(routed)))));
        }
        let Some(reason) = leg.get("reason").and_then(Value::as_str) else { continue };
        let code = leg.get("code").and_then(Value::as_str).map(|code| format!(" ({})", clean(code))).unwrap_or_default();
        let sentence = format!("{}: {}{code}: {}", shown(leg.get("account")), shown(leg.get("shown")), clean(reason));
        out.push_str(&format!("\n{}", wrapped(&sentence)));
    }
    out
}

const POSITIONS: &[Column] = &[
    text("deployment", "deployment"),
    text("account", "account"),
    text("instrument", "instrument"),
    text("side", "direction"),
    number("quantity", "quantity"),
    number("entry", "entry_price"),
    number("mark", "mark_price"),
    number("unrealized", "unrealized_pnl"),
    number("realized", "realized_pnl"),
    number("funding", "funding"),
    text("stop", "protection"),
];

/// Positions as a table.
pub(crate) fn positions_table<'a>(rows: impl IntoIterator<Item = &'a Value>, nothing: &str) -> String {
    let rows: Vec<&Value> = rows.into_iter().collect();
    let mut out = table(rows.iter().copied(), POSITIONS, nothing);
    for row in rows {
        for exit in row["exits"].as_array().into_iter().flatten() {
            let at = |key: &str| exit.get(key).and_then(Value::as_str).map(clean);
            let stop = at("stop_price")
                .map(|price| format!("stop at {price} ({} price, {})", shown(exit.get("source")), shown(exit.get("protection"))));
            let profit = at("take_profit_price").map(|price| format!("take profit at {price}"));
            let both: Vec<String> = stop.into_iter().chain(profit).collect();
            if !both.is_empty() {
                let whose = format!("{} {}, {}", shown(row.get("account")), shown(row.get("instrument")), shown(exit.get("signal")));
                out.push_str(&format!("\n{}", wrapped(&format!("{whose}: {}", both.join(", ")))));
            }
        }
    }
    out
}

const ORDERS: &[Column] = &[
    id("order", "client_order_id"),
    text("account", "account"),
    text("what", "side quantity instrument"),
    text("state", "state"),
    number("filled", "filled_quantity"),
    number("price", "average_price"),
];

const FILLS: &[Column] = &[
    moment("at", "at"),
    text("account", "account"),
    text("what", "side quantity instrument"),
    number("price", "price"),
    text("fee", "fee"),
    text("signal", "signal_id"),
];

const EQUITY: &[Column] = &[
    text("account", "account"),
    text("deployment", "deployment"),
    text("in", "currency"),
    money("capital", "capital"),
    money("realized", "realized_pnl"),
    money("unrealized", "unrealized_pnl"),
    money("fees", "fees"),
    money("funding", "funding"),
    money("margin", "committed"),
    money("on hold", "reserved"),
    money("equity", "equity"),
    money("in limits", "value"),
];

/// Columns of [`EQUITY`] that are left out while there is nothing in them.
const SOMETIMES: &[&str] = &["funding", "on hold", "in limits"];

async fn list(options: &Options, request: Request, columns: &[Column], nothing: &str) -> Result<Done, CommandError> {
    let (config, _) = options.load()?;
    let answer = Backend::reading(&config).await?.ask(request).await?;
    options.output().either(&answer, || table(answer.as_array().into_iter().flatten(), columns, nothing))?;
    Ok(Done::Well)
}

/// `omnivenue positions`.
pub(crate) async fn positions(options: &Options) -> Result<Done, CommandError> {
    let (config, _) = options.load()?;
    let answer = Backend::reading(&config).await?.ask(Request::Positions).await?;
    options.output().either(&answer, || positions_table(answer.as_array().into_iter().flatten(), "no positions"))?;
    Ok(Done::Well)
}

/// `omnivenue orders`.
pub(crate) async fn orders(options: &Options) -> Result<Done, CommandError> {
    list(options, Request::Orders, ORDERS, "no orders").await
}

/// `omnivenue fills`.
pub(crate) async fn fills(options: &Options) -> Result<Done, CommandError> {
    list(options, Request::Fills, FILLS, "no fills").await
}

/// `omnivenue equity`.
pub(crate) async fn equity(options: &Options) -> Result<Done, CommandError> {
    let (config, _) = options.load()?;
    let answer = Backend::reading(&config).await?.ask(Request::Equity).await?;
    let rows = || answer.as_array().into_iter().flatten();
    // What is nothing everywhere takes no room.
    let columns: Vec<Column> =
        EQUITY.iter().filter(|column| !SOMETIMES.contains(&column.title()) || !column.is_idle(rows())).copied().collect();
    options.output().either(&answer, || table(rows(), &columns, "no accounts"))?;
    Ok(Done::Well)
}

/// `omnivenue status`.
pub(crate) async fn status(options: &Options) -> Result<Done, CommandError> {
    let (config, _) = options.load()?;
    let mut backend = Backend::reading(&config).await?;
    let running = backend.is_running();
    let health = backend.ask(Request::Health).await?;
    let answer = json!({ "running": running, "journal": config.journal_path(), "health": health });
    options.output().either(&answer, || {
        let engine = if running { "running" } else { "not running; this is what the files say" };
        format!("engine: {engine}\njournal: {}\n{}", config.journal_path().display(), health_text(&health))
    })?;
    let unknown = health["unknown"].as_array().is_some_and(|orders| !orders.is_empty());
    Ok(if unknown { Done::Unknown } else { Done::Well })
}

/// The accounts of a health report as a table.
pub(crate) fn accounts(health: &Value) -> String {
    table(health["accounts"].as_array().into_iter().flatten(), ACCOUNTS, "no accounts")
}

/// What the engine says of itself.
fn health_text(health: &Value) -> String {
    let rows = |key: &str| health[key].as_array().cloned().unwrap_or_default();
    let mut out = format!(
        "status: {}\nlast entry: {} (durable: {})\nopen positions: {}",
        shown(health.get("status")),
        shown(health.get("seq")),
        shown(health.get("durable_seq")),
        shown(health.get("positions"))
    );
    if let Some(equity) = health.get("equity") {
        out.push_str(&format!("\nequity, in the currency of the limits: {}", shown(Some(equity))));
    }
    out.push_str(&around(health));
    if let Some(failure) = health.get("failure") {
        out.push_str(&format!("\njournal: {}", shown(Some(failure))));
    }
    out.push_str(&breakers(&rows("breakers")));
    for (title, key, columns) in [
        ("accounts", "accounts", ACCOUNTS),
        ("venues", "venues", VENUES),
        ("agents", "agents", AGENTS),
        ("kill switch", "kills", KILLS),
        ("unknown orders", "unknown", UNKNOWN),
        ("losses, in the currency of the limits", "losses", LOSSES),
        ("currencies that are not worth what is stated", "depegged", DEPEGGED),
        ("must become flat", "duties", DUTIES),
        ("waiting for a person: omnivenue approve", "waiting", WAITING),
    ] {
        let rows = rows(key);
        if !rows.is_empty() {
            out.push_str(&format!("\n\n{title}\n{}", table(&rows, columns, "none")));
        }
        let reasons = rows.iter().filter(|_| key == "losses").filter_map(|row| row.get("reason")?.as_str());
        reasons.for_each(|words| out.push_str(&format!("\n{}", wrapped(&clean(words)))));
    }
    for duty in rows("duties") {
        let sentence = |key: &str| duty.get(key).and_then(Value::as_str).map(clean);
        let failure = sentence("failure").map(|words| format!("; {words}")).unwrap_or_default();
        let words = format!("{}: {}{failure}", shown(duty.get("account")), sentence("reason").unwrap_or_default());
        out.push_str(&format!("\n{}", wrapped(&words)));
    }
    out
}

/// How the parts around the state are: nothing while no engine runs.
fn around(health: &Value) -> String {
    let Some(uptime) = health["uptime_ms"].as_u64() else { return String::new() };
    let uptime = Duration::from_secs(uptime / 1_000);
    let count = |part: &str, key: &str| health[part][key].as_u64().unwrap_or(0);
    let millis = |key: &str| format!("{}.{:03} ms", count("journal", key) / 1_000, count("journal", key) % 1_000);
    let mut out = format!(
        "\nup for: {}\njournal: {} bytes, {} entries not durable yet, latest flush {}, slowest {}\nevent readers: {}, the slowest {} behind",
        format_duration(uptime),
        count("journal", "bytes"),
        count("journal", "lag"),
        millis("flush_us"),
        millis("slowest_flush_us"),
        count("events", "readers"),
        count("events", "furthest_behind")
    );
    let (inputs, lines) = (count("drops", "agent_inputs"), count("drops", "log_lines"));
    if inputs + lines > 0 {
        out.push_str(&format!("\ndropped: {inputs} inputs of agents, {lines} lines of logs"));
    }
    out
}

/// The circuit breakers: which are open, and every alarm. Nothing when all is well.
fn breakers(rows: &[Value]) -> String {
    let named = |row: &Value, venue: &Value| {
        let mut row = row.clone();
        row["whose"] = if venue.is_string() { venue.clone() } else { "the engine".into() };
        row
    };
    let states: Vec<Value> = rows.iter().map(|row| named(row, &row["venue"])).collect();
    let alarms: Vec<Value> =
        rows.iter().flat_map(|row| row["alarms"].as_array().into_iter().flatten().map(|alarm| named(alarm, &row["venue"]))).collect();
    let mut out = String::new();
    if !alarms.is_empty() || states.iter().any(|row| row["state"] != "normal") {
        out.push_str(&format!("\n\ncircuit breakers\n{}", table(&states, BREAKERS, "none")));
    }
    if !alarms.is_empty() {
        out.push_str(&format!("\n\nalarms\n{}", table(&alarms, ALARMS, "none")));
    }
    out
}

const BREAKERS: &[Column] = &[text("whose", "whose"), text("state", "state"), moment("since", "since"), text("why", "reason")];

const ALARMS: &[Column] = &[
    text("whose", "whose"),
    text("measure", "measure"),
    text("severity", "severity"),
    text("measured", "value"),
    text("from", "threshold"),
    moment("since", "since"),
];

const ACCOUNTS: &[Column] = &[
    text("account", "account"),
    text("venue", "venue"),
    text("status", "status"),
    number("compared ms ago", "compared_ms_ago"),
    text("reason", "reason"),
];

const VENUES: &[Column] = &[
    text("venue", "venue"),
    text("state", "state"),
    number("calls", "calls"),
    number("failed", "failed"),
    number("latency us", "latency_us"),
    number("price ms ago", "price_ms_ago"),
    number("answer ms ago", "answer_ms_ago"),
    number("reconnects", "reconnects"),
];

const AGENTS: &[Column] = &[text("agent", "agent"), text("status", "status"), number("dropped", "dropped")];

const UNKNOWN: &[Column] = &[
    text("signal", "signal_id"),
    text("account", "account"),
    text("instrument", "instrument"),
    id("order", "client_order_id"),
    text("why", "why"),
];

const DUTIES: &[Column] = &[
    text("account", "account"),
    text("what", "quantity instrument"),
    text("signal", "signal_id"),
    text("why", "code"),
    moment("since", "since"),
    number("tries", "tries"),
];

const LOSSES: &[Column] = &[
    text("whose", "scope"),
    text("limit", "limit"),
    money("lost", "loss"),
    money("allowed", "allowed"),
    moment("broken since", "broken_since"),
];

const DEPEGGED: &[Column] = &[text("currency", "asset"), moment("since", "since"), text("why", "reason")];

const WAITING: &[Column] = &[
    text("signal", "signal_id"),
    text("deployment", "deployment"),
    text("agent", "agent"),
    text("what", "direction asset"),
    text("size", "sizing"),
    text("accounts", "accounts"),
    moment("until", "until"),
];

const KILLS: &[Column] = &[text("scope", "scope"), text("mode", "mode"), text("reason", "reason")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_become_flat_is_shown() {
        let value = json!({"status": "ready", "seq": 9, "durable_seq": 9, "positions": 1, "duties": [
            {"signal_id": "s-1", "deployment": "d", "account": "hyperliquid-paper", "instrument": "HYPE", "quantity": "13.02", "code": "unwind",
             "reason": "all 2 legs must fill in full; missing: ostium-paper rejected (market_closed): the market is closed",
             "since": "2026-01-01T00:00:00Z", "tries": 3,
             "failure": "the latest close was rejected (unavailable): the venue does not answer"}]});
        let text = health_text(&value);
        for words in ["must become flat", "hyperliquid-paper", "13.02 HYPE", "s-1", "unwind", "2026-01-01T00:00:00Z", "rejected"] {
            assert!(text.contains(words), "{text}\nshould contain {words}");
        }
        assert!(text.lines().map(|line| line.chars().count()).max() <= Some(100), "{text}");
    }

    #[test]
    fn losses_are_shown_with_their_numbers() {
        let value = json!({"status": "ready", "seq": 9, "durable_seq": 9, "positions": 1, "equity": "9948.5", "losses": [
            {"scope": "deployment demo", "limit": "max_daily_loss", "loss": "51.5", "allowed": "50", "broken_since": "2026-01-01T00:00:00Z",
             "reason": "today's loss of deployment demo was 51.5 at 2026-01-01T00:00:00Z, and may be 50 (halt_entries); no entry until the next UTC day"},
            {"scope": "everything", "limit": "max_drawdown", "loss": "-3", "allowed": "500"}],
            "depegged": [{"asset": "USDC", "since": "2026-01-01T00:00:00Z", "reason": "USDC/USDT of fx is at 0.97"}]});
        let text = health_text(&value);
        for words in
            ["9948.5", "deployment demo", "max_daily_loss", "51.5", "and may be 50", "everything", "-3", "USDC/USDT of fx is at 0.97"]
        {
            assert!(text.contains(words), "{text}\nshould contain {words}");
        }
        assert!(text.lines().map(|line| line.chars().count()).max() <= Some(100), "{text}");
    }

    #[test]
    fn an_execution_tells_its_legs_and_their_reasons() {
        let value = json!({"signal_id": "s-1", "status": "unresolved", "legs": [
            {"deployment": "d", "venue": "ostium", "account": "ostium-paper", "state": "unknown", "filled_quantity": "0", "fees": [],
             "client_order_id": "abc", "reason": "the connection broke after the order left"},
            {"deployment": "d", "venue": "hyperliquid", "account": "hyperliquid-paper", "instrument": "HYPE", "state": "done", "outcome": "filled",
             "quantity": "13.1", "filled_quantity": "13.1", "average_price": "38.123", "fees": [{"asset": "USDC", "amount": "0.2247"}]}]});
        let text = execution(&value);
        for words in ["s-1: unresolved", "ostium-paper: unknown: the connection broke", "filled", "0.2247 USDC", "38.123"] {
            assert!(text.contains(words), "{text}\nshould contain {words}");
        }
        let table = text.lines().filter(|line| !line.contains(": "));
        assert!(table.map(|line| line.chars().count()).max() <= Some(100), "{text}");
    }
    #[test]
    fn a_venue_that_is_unwell_is_shown_with_its_numbers() {
        let well = json!([{"state": "normal"}, {"venue": "hyperliquid", "state": "normal"}]);
        assert_eq!(breakers(well.as_array().unwrap()), "", "what is well is not worth a table");
        let rows = json!([{"state": "normal"}, {"venue": "hyperliquid", "state": "degraded", "since": "2026-01-01T00:00:00.5Z",
            "reason": "errors: 5 of 6 calls failed within 1m (high from 5 and a tenth of all)", "alarms": [
            {"venue": "hyperliquid", "measure": "errors", "severity": "high", "value": "5 of 6 calls failed within 1m",
             "threshold": "5 and a tenth of all", "since": "2026-01-01T00:00:00.5Z"}]}]);
        let text = breakers(rows.as_array().unwrap());
        for words in ["circuit breakers", "the engine", "degraded", "alarms", "5 of 6 calls", "high", "2026-01-01T00:00:00Z"] {
            assert!(text.contains(words), "{text}\nshould contain {words}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
