//! What a kill switch has come to, as text; and where it may be practiced.

use std::collections::BTreeSet;

use omnivenue::config::Config;
use omnivenue::control::{Failure, codes};
use omnivenue_core::journal::KillScope;
use omnivenue_core::model::ids::AccountId;
use serde_json::Value;

use super::exit::{CommandError, Done};
use super::table::{Column, clean, id, moment, number, shown, table, text as words, wrapped};

const POSITIONS: &[Column] = &[
    words("deployment", "deployment"),
    words("account", "account"),
    words("instrument", "instrument"),
    number("then", "then"),
    number("now", "now"),
    words("state", "state"),
    moment("confirmed", "confirmed_at"),
];

const ENTRIES: &[Column] = &[
    id("order", "client_order_id"),
    words("account", "account"),
    words("what", "side quantity instrument"),
    words("state", "state"),
    number("filled", "filled_quantity"),
    words("confirmed by", "confirmed_by"),
];

const FOREIGN: &[Column] =
    &[words("account", "account"), words("instrument", "instrument"), number("not ours", "quantity"), number("unexplained", "unexplained")];

/// A report as text: its tables, and a sentence for each position that is stuck or not confirmed.
pub(crate) fn text(report: &Value) -> String {
    let rows = |key: &str| report[key].as_array().cloned().unwrap_or_default();
    let (positions, entries, foreign) = (rows("positions"), rows("entries"), rows("foreign"));
    let complete = if report["complete"] == true { "complete" } else { "not complete yet" };
    let scope = scope(&report["scope"]);
    let (mode, reason) = (shown(report.get("mode")), shown(report.get("reason")));
    let mut out = wrapped(&format!("kill switch on {scope}: {mode} since {}, {complete}: {reason}", shown(report.get("since"))));
    if let Some(failure) = report.get("failure") {
        let sentence = format!("the journal cannot be written, so it may hold in this process only: {}", shown(Some(failure)));
        out.push_str(&format!("\n{}", wrapped(&sentence)));
    }
    out.push_str(&format!("\n\npositions\n{}", table(&positions, POSITIONS, "none")));
    for position in &positions {
        let Some(why) = position.get("why").and_then(Value::as_str) else { continue };
        let place = format!("{} on {}", shown(position.get("instrument")), shown(position.get("account")));
        out.push_str(&format!("\n{}", wrapped(&format!("{place}: {}: {}", shown(position.get("state")), clean(why)))));
    }
    for position in positions.iter().filter(|position| position["now"] == "0" && position["exits_waiting"] != 0) {
        let place = format!("{} on {}", shown(position.get("instrument")), shown(position.get("account")));
        out.push_str(&format!("\n{place}: orders that protected it are still there: {}", shown(position.get("exits_waiting"))));
    }
    out.push_str(&format!("\n\nentries\n{}", table(&entries, ENTRIES, "none")));
    if !foreign.is_empty() {
        out.push_str(&format!("\n\nnot ours, and left\n{}", table(&foreign, FOREIGN, "none")));
    }
    out
}

fn scope(value: &Value) -> String {
    serde_json::from_value::<KillScope>(value.clone()).map_or_else(|_| shown(Some(value)), |scope| scope.to_string())
}

/// Well only once it is carried out, and where it outlives the process.
pub(crate) fn done(report: &Value) -> Done {
    if report["complete"] == true && report.get("failure").is_none() { Done::Well } else { Done::Refused }
}

/// Refuses a drill where any account in its scope is not paper.
pub(crate) fn only_paper(config: &Config, scope: &KillScope) -> Result<(), CommandError> {
    let of_agent: BTreeSet<&AccountId> = config
        .deployments
        .iter()
        .filter(|deployment| matches!(scope, KillScope::Agent(agent) if *agent == deployment.agent))
        .flat_map(|deployment| deployment.accounts.iter().map(|share| &share.account))
        .collect();
    let within = |id: &AccountId, venue: &omnivenue_core::model::ids::VenueId| match scope {
        KillScope::All | KillScope::Asset(_) => true,
        KillScope::Agent(_) => of_agent.contains(id),
        KillScope::Account(account) => account == id,
        KillScope::Venue(named) => named == venue,
    };
    let accounts: Vec<_> = config.accounts.iter().filter(|account| within(&account.id, &account.venue)).collect();
    let real: Vec<&str> = accounts.iter().filter(|account| account.paper.is_none()).map(|account| account.id.as_str()).collect();
    let denied = |words: String| Err(Failure::new(codes::DENIED, words).into());
    if accounts.is_empty() {
        return denied(format!("no account is in the scope {scope}; nothing was done"));
    }
    if !real.is_empty() {
        return denied(format!("a drill flattens paper accounts only, and {} is not paper; nothing was done", real.join(", ")));
    }
    Ok(())
}
