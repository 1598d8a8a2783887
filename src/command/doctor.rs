//! `omnivenue doctor`: what stands in the way, if anything does. Shows where secrets are kept and whether they are there, never a secret.

mod first_order;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use omnivenue::config::{Config, SecretRef};
use omnivenue::control::{Client, Request};
use omnivenue::open::{self, chain_key};
use omnivenue_core::model::ids::Asset;
use omnivenue_core::venue::Grade;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Options;
use super::exit::{CommandError, Done, chain};
use super::table::{shown, table, text};

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Note,
    Bad,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    check: String,
    verdict: Verdict,
    detail: String,
}

impl From<Grade> for Verdict {
    fn from(grade: Grade) -> Self {
        match grade {
            Grade::Good => Self::Ok,
            Grade::Warning => Self::Note,
            Grade::Bad => Self::Bad,
        }
    }
}

/// How long a venue may take to answer about a login.
const EXAMINE_WAIT: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, check: impl Into<String>, verdict: Verdict, detail: impl Into<String>) {
        self.0.push(Check { check: check.into(), verdict, detail: detail.into() });
    }
}

/// `omnivenue doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Also send the smallest order that rests, half a market away, through the whole engine, and cancel it; on every account at a real
    /// venue, or on the one named
    #[arg(long, value_name = "ACCOUNT", num_args = 0..=1, default_missing_value = "")]
    first_order: Option<String>,
    /// What that order is in
    #[arg(long, value_name = "ASSET", default_value = "BTC", requires = "first_order")]
    asset: Asset,
}

impl Doctor {
    /// Runs every check; fails when one is bad.
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        run(self, options).await
    }
}

async fn run(doctor: Doctor, options: &Options) -> Result<Done, CommandError> {
    let (config, origin) = options.load()?;
    let mut checks = Checks::default();
    checks.add("configuration", Verdict::Ok, origin);
    for warning in &config.warnings {
        checks.add("configuration", Verdict::Note, warning);
    }
    for account in &config.accounts {
        let environment = json!(account.environment);
        let model = account.paper.as_ref().map(|paper| format!(", modelled on {}", paper.preset)).unwrap_or_default();
        let detail = format!("{} {} at {}{model}", shown(Some(&environment)), account.market, account.venue);
        checks.add(format!("account {}", account.id), Verdict::Ok, detail);
        for (name, secret) in &account.credentials {
            check_secret(&mut checks, &format!("account {} {name}", account.id), secret, Verdict::Note);
        }
    }
    if let Some(secret) = &config.journal.chain_key {
        check_secret(&mut checks, "journal chain_key", secret, Verdict::Bad);
    }
    if let Some(secret) = &config.kill.secret {
        check_secret(&mut checks, "kill secret", secret, Verdict::Bad);
    }
    check_files(&mut checks, &config);
    check_chain(&mut checks, &config);
    check_engine(&mut checks, &config).await;
    check_logins(&mut checks, &config).await;
    if let Some(account) = &doctor.first_order {
        first_order::check(&mut checks, &config, account, &doctor.asset).await?;
    }
    let bad = checks.0.iter().any(|check| check.verdict == Verdict::Bad);
    let answer = json!({ "ok": !bad, "checks": checks.0, "configuration": config });
    options.output().either(&answer, || {
        let rows: Vec<Value> = answer["checks"].as_array().cloned().unwrap_or_default();
        let columns = [text("", "verdict"), text("check", "check"), text("detail", "detail")];
        table(&rows, &columns, "nothing to check")
    })?;
    Ok(if bad { Done::Refused } else { Done::Well })
}

fn check_secret(checks: &mut Checks, what: &str, secret: &SecretRef, if_absent: Verdict) {
    match secret.read() {
        Ok(_) => checks.add(what, Verdict::Ok, format!("{secret} is there")),
        Err(error) => checks.add(what, if_absent, chain(&error)),
    }
    if let SecretRef::File(path) = secret
        && std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
    {
        checks.add(what, Verdict::Note, format!("{} can be read by others; chmod 600 closes it", path.display()));
    }
}

fn check_files(checks: &mut Checks, config: &Config) {
    let journal = config.journal_path();
    check_file(checks, "data directory", &config.data_dir, "made at the first start");
    check_file(checks, "journal", &journal, "made at the first start");
    let paper = config.accounts.iter().filter(|account| account.paper.is_some());
    for venue in paper.map(|account| &account.venue).collect::<std::collections::BTreeSet<_>>() {
        check_file(checks, &format!("exchange {venue}"), &config.exchange_path(venue), "made at the first start");
    }
}

fn check_file(checks: &mut Checks, what: &str, path: &Path, if_absent: &str) {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            checks.add(what, Verdict::Note, format!("{} does not exist yet: {if_absent}", path.display()));
        }
        Err(error) => checks.add(what, Verdict::Bad, format!("{} cannot be looked at: {error}", path.display())),
        Ok(found) => {
            let mode = found.permissions().mode() & 0o777;
            let detail = format!("{} (mode {mode:o}, owner {})", path.display(), found.uid());
            let verdict = if mode & 0o022 != 0 { Verdict::Bad } else { Verdict::Ok };
            let advice = if verdict == Verdict::Bad { ": others may change it; chmod go-w closes it" } else { "" };
            checks.add(what, verdict, format!("{detail}{advice}"));
        }
    }
}

fn check_chain(checks: &mut Checks, config: &Config) {
    let path = config.journal_path();
    if !path.exists() {
        return;
    }
    let verified = match chain_key(config) {
        Ok(key) => omnivenue_sqlite::verify(&path, &key, None).map_err(|error| error.to_string()),
        Err(error) => Err(chain(&error)),
    };
    match verified {
        Ok(verified) => checks.add("journal chain", Verdict::Ok, format!("{} entries, head {}", verified.entries, verified.head)),
        Err(error) => checks.add("journal chain", Verdict::Bad, error),
    }
}

/// Asks each real venue about each login, all at once. Nothing is traded.
async fn check_logins(checks: &mut Checks, config: &Config) {
    let accounts = match open::logins(config) {
        Ok(accounts) => accounts,
        Err(error) => return checks.add("logins", Verdict::Bad, chain(&error)),
    };
    let asking = accounts.into_iter().map(|account| {
        let id = account.id().clone();
        (id, tokio::spawn(async move { timeout(EXAMINE_WAIT, account.examine()).await }))
    });
    for (id, asked) in asking.collect::<Vec<_>>() {
        match asked.await {
            Ok(Ok(Ok(findings))) => {
                for finding in findings {
                    checks.add(format!("account {id} {}", finding.check), finding.grade.into(), finding.detail);
                }
            }
            Ok(Ok(Err(error))) => checks.add(format!("account {id}"), Verdict::Bad, chain(&error)),
            Ok(Err(_)) => checks.add(format!("account {id}"), Verdict::Bad, format!("no answer within {EXAMINE_WAIT:?}")),
            Err(_) => checks.add(format!("account {id}"), Verdict::Bad, "the adapter panicked"),
        }
    }
}

async fn check_engine(checks: &mut Checks, config: &Config) {
    let path = config.control_path();
    let health = match Client::connect(&path).await {
        Ok(None) => {
            checks.add("engine", Verdict::Ok, "not running");
            return;
        }
        Ok(Some(mut client)) => client.ask(&Request::Health).await,
        Err(failure) => Err(failure),
    };
    match health {
        Err(failure) => checks.add("engine", Verdict::Bad, failure.message),
        Ok(health) => {
            let owner = std::fs::read_to_string(lock_path(&config.journal_path())).unwrap_or_default();
            checks.add("engine", Verdict::Ok, format!("running{}, answers at {}", process(&owner), path.display()));
            for account in health["accounts"].as_array().into_iter().flatten() {
                let ready = account["status"] == "ready";
                let verdict = if ready { Verdict::Ok } else { Verdict::Bad };
                checks.add(format!("account {}", shown(account.get("account"))), verdict, shown(account.get("status")));
            }
        }
    }
}

fn process(owner: &str) -> String {
    owner.trim().parse::<u32>().map(|pid| format!(" as process {pid}")).unwrap_or_default()
}

/// The file that the owner of a journal locks, with its process id as text.
fn lock_path(journal: &Path) -> std::path::PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
