//! `omnivenue kill`, `resume` and `reconcile`.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use omnivenue::config::{Config, SecretRef};
use omnivenue::control::{Failure, GivenSecret, Request, codes};
use omnivenue::open::{self, Latch};
use omnivenue_core::engine::{Env, SystemEnv};
use omnivenue_core::journal::{KillMode, KillScope};
use omnivenue_core::model::ids::AccountId;
use omnivenue_core::model::secret::Secret;
use omnivenue_core::model::time::parse_duration;
use serde_json::{Value, json};

use super::backend::{self, Backend, Through};
use super::exit::{CommandError, Done, chain};
use super::{Options, killed, show};

/// How often to look whether the accounts have been compared.
const PAUSE: Duration = Duration::from_millis(50);

/// How long to wait for them.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often to look how far a kill is.
const KILL_PAUSE: Duration = Duration::from_millis(200);

/// `omnivenue kill`.
#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// What to stop: all, agent:ID, account:ID, venue:ID or asset:NAME [default: all]
    #[arg(long, value_parser = scope)]
    scope: Option<KillScope>,
    /// Beside new orders: pause nothing else, cancel what rests, or flatten every position too
    #[arg(long, default_value = "pause", value_parser = mode, conflicts_with_all = ["report", "drill"])]
    mode: KillMode,
    /// Why; kept in the journal for ever
    #[arg(long, default_value = "by hand", conflicts_with = "report")]
    reason: String,
    /// How long to wait until it is carried out; it goes on in any case
    #[arg(long, default_value = "60s", value_parser = parse_duration, conflicts_with = "report")]
    wait: Duration,
    /// Only tell what the kill switch has come to
    #[arg(long, conflicts_with = "drill")]
    report: bool,
    /// Practice on paper accounts: flatten, wait, report, and lift it again
    #[arg(long)]
    drill: bool,
    /// For a drill, what lifts the switch: env:NAME, file:PATH, or - to read a line
    #[arg(long, requires = "drill")]
    secret: Option<String>,
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
    /// What lifts the kill switch, if it has a secret: env:NAME, file:PATH, or - to read a line
    #[arg(long)]
    secret: Option<String>,
}

fn mode(text: &str) -> Result<KillMode, String> {
    match text {
        "pause" => Ok(KillMode::Pause),
        "cancel" => Ok(KillMode::Cancel),
        "flatten" => Ok(KillMode::Flatten),
        _ => Err("give pause, cancel or flatten".to_owned()),
    }
}

/// Fetches a secret from where a person says it is. What was given is repeated nowhere: it may be the secret itself.
fn given(text: Option<&str>) -> Result<Option<Secret>, CommandError> {
    let wrong = |words: String| CommandError::Usage(format!("--secret: {words} (what was given is not shown)"));
    match text {
        None => Ok(None),
        Some("-") => {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line)?;
            Ok(Some(Secret::new(line.trim_end_matches(['\r', '\n']))))
        }
        Some(text) => {
            let place = SecretRef::parse(text, Path::new("")).map_err(|fits| wrong(fits.to_owned()))?;
            place.read().map(Some).map_err(|error| CommandError::Usage(format!("--secret: {}", chain(&error))))
        }
    }
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
        if self.report {
            return self.tell(options).await;
        }
        if self.drill {
            return self.practice(options).await;
        }
        let (config, _) = options.load()?;
        let output = options.output();
        let scope = self.scope.unwrap_or(KillScope::All);
        let request = Request::Kill { scope: scope.clone(), mode: self.mode, reason: self.reason.clone() };
        let latch = Latch::Kill { scope: scope.clone(), mode: self.mode, reason: self.reason };
        let running = match throw(&config, request, latch).await {
            // It holds in the running process, and is carried out there.
            Err(CommandError::Failure(failure)) if failure.code == "journal_unwritable" && self.mode > KillMode::Pause => {
                output.note(&format!("omnivenue: {failure}; the kill switch holds in this process only"));
                true
            }
            thrown => thrown?,
        };
        let when = if running { "" } else { " (no engine runs; it holds from the next start)" };
        let text = format!("stopped: {scope}; lift it with `omnivenue resume`");
        if running && self.mode > KillMode::Pause {
            output.note(&format!("stopped: {scope} ({}); waiting until it is carried out", self.mode));
        }
        let report = wait_for(&config, &scope, if running { self.wait } else { Duration::ZERO }).await?;
        let held = report["mode"].as_str().and_then(|held| mode(held).ok()).unwrap_or(self.mode);
        if held > self.mode {
            output.note(&format!("{held} holds there already, which is stronger: {} changes nothing", self.mode));
        }
        output.either(&json!({ "done": text, "running": running, "report": report }), || {
            let told = if held > KillMode::Pause { format!("\n\n{}", killed::text(&report)) } else { String::new() };
            format!("{text}{when}{told}")
        })?;
        Ok(killed::done(&report))
    }

    /// Tells what each latch, or the one named, has come to.
    async fn tell(self, options: &Options) -> Result<Done, CommandError> {
        let (config, _) = options.load()?;
        let reports = Backend::reading(&config).await?.ask(Request::KillReport { scope: self.scope }).await?;
        let all = reports.as_array().cloned().unwrap_or_default();
        options.output().either(&reports, || {
            let texts: Vec<String> = all.iter().map(killed::text).collect();
            if texts.is_empty() { "the kill switch is not on".to_owned() } else { texts.join("\n\n") }
        })?;
        Ok(all.iter().map(killed::done).fold(Done::Well, Done::and))
    }

    /// Flattens paper accounts, tells how that went, and lifts the switch again.
    async fn practice(self, options: &Options) -> Result<Done, CommandError> {
        let (config, _) = options.load()?;
        let output = options.output();
        let scope = self.scope.unwrap_or(KillScope::All);
        killed::only_paper(&config, &scope)?;
        let secret = given(self.secret.as_deref())?;
        if config.kill.secret.is_some() && secret.is_none() {
            return Err(CommandError::Usage("the kill switch has a secret, and a drill lifts it again: give --secret".into()));
        }
        let mut backend = Backend::acting(&config, output).await?;
        let drilled = drill(&mut backend, &scope, &self.reason, self.wait, secret).await;
        backend.close().await?;
        let (report, lifted) = drilled?;
        let answer = json!({ "drill": true, "lifted": lifted.is_ok(), "report": report });
        output.either(&answer, || {
            let end = if lifted.is_ok() { "it is lifted again" } else { "it could not be lifted and still holds" };
            format!("this was a drill; {end}\n\n{}", killed::text(&report))
        })?;
        lifted?;
        Ok(killed::done(&report))
    }
}

/// Throws the switch in flatten, waits, and lifts it. Gives back the report, and whether it was lifted.
async fn drill(
    backend: &mut Backend,
    scope: &KillScope,
    reason: &str,
    wait: Duration,
    secret: Option<Secret>,
) -> Result<(Value, Result<Value, Failure>), CommandError> {
    let held = backend.ask(Request::KillReport { scope: None }).await?;
    if held.as_array().is_some_and(|held| held.iter().any(|held| held["scope"] == json!(scope))) {
        return Err(CommandError::failed(format!("the kill switch is on for {scope}: a drill would lift it")));
    }
    let reason = format!("drill: {reason}");
    backend.ask(Request::Kill { scope: scope.clone(), mode: KillMode::Flatten, reason: reason.clone() }).await?;
    let asked_at = SystemEnv.now().monotonic;
    let told = loop {
        let told = backend.ask(Request::KillReport { scope: Some(scope.clone()) }).await.map(|list| list[0].clone());
        let waited = Duration::from_micros(SystemEnv.now().monotonic.saturating_sub(asked_at));
        if waited >= wait || told.as_ref().map_or(true, |told| told["complete"] == true) {
            break told;
        }
        tokio::time::sleep(KILL_PAUSE).await;
    };
    // Whatever it came to, a drill must not leave the switch on.
    let lifted = backend.ask(Request::Resume { scope: scope.clone(), reason, secret: secret.map(GivenSecret) }).await;
    Ok((told?, lifted))
}

/// What a latch has come to once it is complete, or as far as it is after this time.
async fn wait_for(config: &Config, scope: &KillScope, wait: Duration) -> Result<Value, CommandError> {
    let asked_at = SystemEnv.now().monotonic;
    loop {
        let reports = Backend::reading(config).await?.ask(Request::KillReport { scope: Some(scope.clone()) }).await?;
        let report = reports[0].clone();
        let waited = Duration::from_micros(SystemEnv.now().monotonic.saturating_sub(asked_at));
        if report["complete"] == true || waited >= wait {
            return Ok(report);
        }
        tokio::time::sleep(KILL_PAUSE).await;
    }
}

impl Resume {
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        let (config, _) = options.load()?;
        let secret = given(self.secret.as_deref())?;
        let text = format!("resumed: {}", self.scope);
        let given = secret.clone().map(GivenSecret);
        let request = Request::Resume { scope: self.scope.clone(), reason: self.reason.clone(), secret: given };
        let running = throw(&config, request, Latch::Resume { scope: self.scope, reason: self.reason, secret }).await?;
        let when = if running { "" } else { " (no engine runs; it holds from the next start)" };
        options.output().either(&json!({ "done": text, "running": running }), || format!("{text}{when}"))?;
        Ok(Done::Well)
    }
}

/// Tells the running engine, or writes it into the journal: a kill must not begin by starting an engine. Says whether an engine runs.
async fn throw(config: &Config, request: Request, latch: Latch) -> Result<bool, CommandError> {
    let mut tries = 0;
    loop {
        let path = match Backend::running_or(config, async || open::latch(config, latch.clone())).await? {
            Through::Running(path) => path,
            Through::Own(()) => return Ok(false),
        };
        match backend::once(&path, &request).await {
            // It ended under the request: throwing a switch twice is throwing it.
            Err(failure) if failure.code == codes::UNREACHABLE && tries < backend::HANDOVERS => tries += 1,
            answer => {
                answer?;
                return Ok(true);
            }
        }
    }
}

/// `omnivenue reconcile`.
#[derive(Debug, Args)]
pub(crate) struct Reconcile {
    /// Take the venue's truth about this account for ours: book what differs as not ours, and lift its halt
    #[arg(long, value_name = "ACCOUNT", requires = "reason")]
    adopt: Option<AccountId>,
    /// Why; kept in the journal for ever
    #[arg(long, requires = "adopt")]
    reason: Option<String>,
}

impl Reconcile {
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        let (config, _) = options.load()?;
        let output = options.output();
        let mut backend = Backend::acting(&config, output).await?;
        let compared = self.settle(&mut backend).await;
        let left = backend.close().await?;
        let (health, all) = compared?;
        output.either(&health, || {
            let text = show::accounts(&health);
            if all { text } else { format!("{text}\nsome accounts have not answered yet") }
        })?;
        let ready = health["accounts"].as_array().is_some_and(|accounts| accounts.iter().all(|account| account["status"] == "ready"));
        Ok(left.and(if all && ready { Done::Well } else { Done::Refused }))
    }

    /// Compares, adopts what differs where that is asked for, and tells how things stand then.
    async fn settle(self, backend: &mut Backend) -> Result<(Value, bool), CommandError> {
        let compared = compare(backend).await?;
        let Some((account, reason)) = self.adopt.zip(self.reason) else { return Ok(compared) };
        backend.ask(Request::Adopt { account, reason }).await?;
        Ok((backend.ask(Request::Health).await?, compared.1))
    }
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
