//! `omnivenue agents`: every agent of the configuration, how it is and what it holds.

use omnivenue::control::Request;
use serde_json::{Value, json};

use super::Options;
use super::backend::Backend;
use super::exit::{CommandError, Done};
use super::table::{Column, clean, number, shown, table, text, wrapped};

const AGENTS: &[Column] = &[
    text("agent", "agent"),
    text("strategy", "strategy"),
    text("state", "state"),
    number("restarts", "restarts"),
    number("signals", "emitted"),
    number("waiting", "waiting"),
    number("dropped", "dropped"),
    number("positions", "positions"),
];

/// `omnivenue agents`.
pub(crate) async fn agents(options: &Options) -> Result<Done, CommandError> {
    let (config, _) = options.load()?;
    let mut backend = Backend::reading(&config).await?;
    let health = backend.ask(Request::Health).await?;
    let positions = backend.ask(Request::Positions).await?;
    let offline = health["status"] == "offline";
    let row = |agent: &omnivenue::config::AgentConfig| {
        let id = agent.id.as_str();
        let status = health["agents"].as_array().into_iter().flatten().find(|status| status["agent"] == id);
        let mut row = status.cloned().unwrap_or_else(|| {
            // One without a strategy is another program: it is not looked after here.
            let state = match (&agent.strategy, offline) {
                (None, _) => "external",
                (Some(_), true) => "offline",
                (Some(_), false) => "stopped",
            };
            json!({ "agent": id, "state": state })
        });
        let held = positions.as_array().into_iter().flatten().filter(|position| position["agent"] == id);
        row["positions"] = held.count().into();
        row["strategy"] = agent.strategy.as_ref().map_or(Value::Null, |strategy| strategy.name().into());
        row
    };
    let rows: Vec<Value> = config.agents.iter().map(row).collect();
    let failed = rows.iter().any(|row| row["state"] == "failed");
    options.output().either(&rows, || {
        let mut out = table(&rows, AGENTS, "no agents");
        for row in rows.iter().filter(|row| row["reason"].is_string()) {
            let words =
                format!("{}: its latest panic said: {}", shown(row.get("agent")), clean(row["reason"].as_str().unwrap_or_default()));
            out.push_str(&format!("\n{}", wrapped(&words)));
        }
        out
    })?;
    Ok(if failed { Done::Refused } else { Done::Well })
}
