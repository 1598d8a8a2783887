//! `omnivenue kill`, `resume` and `reconcile`.

use std::time::Duration;

use clap::Args;
use omnivenue::control::{Request, codes};
use omnivenue::open::{self, Latch};
use omnivenue_core::engine::{Env, SystemEnv};
use omnivenue_core::journal::{KillMode, KillScope};
use serde_json::{Value, json};

use super::backend::{self, Backend, Through};
use super::exit::{CommandError, Done};
use super::{Options, show};

/// How often to look whether the accounts have been compared.
const PAUSE: Duration = Duration::from_millis(50);

/// How long to wait for them.
const PATIENCE: Duration = Duration::from_secs(10);

/// `omnivenue kill`.
#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// What to stop: all, agent:ID, account:ID, venue:ID or asset:NAME
    #[arg(long, default_value = "all", value_parser = scope)]
    scope: KillScope,
    /// Why; kept in the journal for ever
    #[arg(long, default_value = "by hand")]
    reason: String,
}

/// `omnivenue resume`.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// What to let go on: all, agent:ID, account:ID, venue:ID or asset:NAME
    #[arg(long, default_value = "all", value_parser = scope)]
    scope: KillScope,
    /// Why; kept in the journal for ever
    #[arg(long)]
    reason: String,
}

fn scope(text: &str) -> Result<KillScope, String> {
    fn name<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
        text.parse().map_err(|error: T::Err| error.to_string())
    }
    let fits = "give all, agent:ID, account:ID, venue:ID or asset:NAME";
    match text.split_once(':') {
        None if text == "all" => Ok(KillScope::All),
        Some(("agent", id)) => Ok(KillScope::Agent(name(id)?)),
        Some(("account", id)) => Ok(KillScope::Account(name(id)?)),
        Some(("venue", id)) => Ok(KillScope::Venue(name(id)?)),
        Some(("asset", id)) => Ok(KillScope::Asset(name(id)?)),
        _ => Err(fits.to_owned()),
    }
}

impl Kill {
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        let text = format!("stopped: {}; lift it with `omnivenue resume`", self.scope);
        let request = Request::Kill { scope: self.scope.clone(), mode: KillMode::Pause, reason: self.reason.clone() };
        throw(options, request, Latch::Kill { scope: self.scope, reason: self.reason }, &text).await
    }
}

impl Resume {
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        let text = format!("resumed: {}", self.scope);
        let request = Request::Resume { scope: self.scope.clone(), reason: self.reason.clone() };
        throw(options, request, Latch::Resume { scope: self.scope, reason: self.reason }, &text).await
    }
}

/// Tells the running engine, or writes it into the journal: a kill must not begin by starting an engine.
async fn throw(options: &Options, request: Request, latch: Latch, text: &str) -> Result<Done, CommandError> {
    let (config, _) = options.load()?;
    let mut tries = 0;
    let running = loop {
        let path = match Backend::running_or(&config, async || open::latch(&config, latch.clone())).await? {
            Through::Running(path) => path,
            Through::Own(()) => break false,
        };
        match backend::once(&path, &request).await {
            // It ended under the request: throwing a switch twice is throwing it.
            Err(failure) if failure.code == codes::UNREACHABLE && tries < backend::HANDOVERS => tries += 1,
            answer => {
                answer?;
                break true;
            }
        }
    };
    let when = if running { "" } else { " (no engine runs; it holds from the next start)" };
    options.output().either(&json!({ "done": text, "running": running }), || format!("{text}{when}"))?;
    Ok(Done::Well)
}

/// `omnivenue reconcile`.
pub(crate) async fn reconcile(options: &Options) -> Result<Done, CommandError> {
    let (config, _) = options.load()?;
    let output = options.output();
    let mut backend = Backend::acting(&config, output).await?;
    let compared = compare(&mut backend).await;
    let left = backend.close().await?;
    let (health, all) = compared?;
    output.either(&health, || {
        let text = show::accounts(&health);
        if all { text } else { format!("{text}\nsome accounts have not answered yet") }
    })?;
    let ready = health["accounts"].as_array().is_some_and(|accounts| accounts.iter().all(|account| account["status"] == "ready"));
    Ok(left.and(if all && ready { Done::Well } else { Done::Refused }))
}

/// Asks for a comparison and waits until every account has been compared since; says whether all were.
async fn compare(backend: &mut Backend) -> Result<(Value, bool), CommandError> {
    // By the clock: a pause takes longer than it should on a busy machine.
    let asked_at = SystemEnv.now().monotonic;
    backend.ask(Request::Reconcile).await?;
    loop {
        tokio::time::sleep(PAUSE).await;
        let health = backend.ask(Request::Health).await?;
        let waited = Duration::from_micros(SystemEnv.now().monotonic.saturating_sub(asked_at));
        let fresh = |account: &Value| account["compared_ms_ago"].as_u64().is_some_and(|ago| u128::from(ago) <= waited.as_millis());
        let all = health["accounts"].as_array().is_some_and(|accounts| accounts.iter().all(fresh));
        if all || waited >= PATIENCE {
            return Ok((health, all));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_named() {
        assert_eq!(scope("all").unwrap(), KillScope::All);
        assert_eq!(scope("agent:demo").unwrap(), KillScope::Agent("demo".parse().unwrap()));
        assert_eq!(scope("asset:HYPE").unwrap(), KillScope::Asset("HYPE".parse().unwrap()));
        assert_eq!(scope("account:a:b").unwrap(), KillScope::Account("a:b".parse().unwrap()));
        for wrong in ["", "everything", "agent", "agent:", "agents:demo", "all:x"] {
            assert!(scope(wrong).is_err(), "{wrong}");
        }
    }
}
