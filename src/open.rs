//! From a [`Config`] to a running engine: the journal, the simulated exchanges, the setup.

#[cfg(feature = "hyperliquid")]
mod hyperliquid;
mod paper;
mod reconfigure;
mod venues;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::agent::{AgentHandle, Supervision};
use omnivenue_core::engine::{Engine, EngineError, Env, Kernel, Parts, SystemEnv, Task, may_lift};
use omnivenue_core::executor::{AccountSetup, AccountShare, AgentSetup, DeploymentSetup, Input, LossLimits, Setup};
use omnivenue_core::gates::UserGate;
use omnivenue_core::journal::{ChainKey, Journal, KillMode, KillScope, LossScope, StoreError};
use omnivenue_core::model::ids::{AccountId, SignalId, VenueId};
use omnivenue_core::model::instrument::AssetMap;
use omnivenue_core::model::secret::Secret;
use omnivenue_core::venue::{Account, Grade};
use omnivenue_paper::PaperExchange;
use omnivenue_sqlite::{SqliteArchive, ViewsProjector};

pub use self::reconfigure::{ReconfigureError, changes, reconfigure};
use self::venues::Venues;
use crate::config::{AgentConfig, Config, SecretError};

/// How often logins at real venues are looked at while an engine runs.
const EXAMINE_EVERY: Duration = Duration::from_secs(12 * 3600);

/// How long opening waits for the accounts to recover; one that takes longer goes on and skips legs until it has.
const RECOVERY_WAIT: Duration = Duration::from_secs(10);

/// Why an engine cannot be opened from a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A directory cannot be made.
    #[error("{} cannot be made", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A secret that is needed is not there.
    #[error("journal.chain_key")]
    Secret(#[from] SecretError),
    /// What lifts the kill switch is not there.
    #[error("kill.secret")]
    KillSecret(#[source] SecretError),
    /// A latch may not be lifted with what was given.
    #[error("{0}")]
    Denied(String),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] StoreError),
    /// A simulated exchange cannot be opened.
    #[error("the simulated exchange of venue {venue} cannot be opened: {reason}")]
    Exchange {
        /// The venue.
        venue: VenueId,
        /// Why.
        reason: String,
    },
    /// A venue cannot be used as the configuration says.
    #[error("venue {venue} cannot be opened: {reason}")]
    Venue {
        /// The venue.
        venue: VenueId,
        /// Why.
        reason: String,
    },
    /// An account cannot log in with what the configuration says.
    #[error("account {account}: {reason}")]
    Login {
        /// The account.
        account: AccountId,
        /// Why. Never a secret.
        reason: String,
    },
    /// The engine cannot start.
    #[error(transparent)]
    Engine(#[from] omnivenue_core::engine::OpenError),
}

/// Opens the engine of a configuration: takes the journal, recovers every account, and is then ready.
///
/// # Errors
/// [`OpenError`]; [`StoreError::InUse`] in it when another engine has the journal.
pub async fn open(config: &Config) -> Result<Opened, OpenError> {
    open_with(config, Vec::new()).await
}

/// As [`open()`], with checks of the user's own, which are asked about every new signal.
///
/// # Errors
/// Those of [`open()`].
pub async fn open_with(config: &Config, user_gates: Vec<Arc<dyn UserGate>>) -> Result<Opened, OpenError> {
    let mut opened = take_journal(config)?;
    let views = config.journal.views.then(|| opened.journal.keep_views()).transpose()?;
    let Venues { exchanges, venues, accounts } = venues::open(config).await?;
    let real = config.accounts.iter().filter(|account| account.paper.is_none()).map(|account| &account.id);
    let real: BTreeSet<&AccountId> = real.collect();
    let logins = accounts.iter().filter(|account| real.contains(account.id())).cloned().collect();
    let parts = Parts {
        env: SystemEnv::shared(),
        setup: setup(config),
        venues,
        accounts,
        journal: Box::new(opened.journal),
        archive: Arc::new(opened.archive),
        namespace: opened.namespace,
        recovery_wait: RECOVERY_WAIT,
        kill_secret: kill_secret(config)?,
        user_gates,
    };
    let engine = Engine::open(parts).await?;
    Ok(Opened { engine, exchanges, logins, views })
}

/// The accounts at real venues, to be looked at without an engine: nothing is recovered, journaled or traded.
///
/// # Errors
/// [`OpenError`] when a venue or a login does not fit.
pub fn logins(config: &Config) -> Result<Vec<Arc<dyn Account>>, OpenError> {
    let mut all = Vec::new();
    let ids: BTreeSet<&VenueId> = config.accounts.iter().map(|account| &account.venue).collect();
    for venue in ids {
        let members: Vec<_> = config.accounts.iter().filter(|account| account.venue == *venue && account.paper.is_none()).collect();
        if !members.is_empty() {
            all.extend(venues::real(venue, &members)?.accounts);
        }
    }
    Ok(all)
}

/// Writes one act of a person into the journal while no engine runs: a kill or its end. Nothing is asked of any venue and nothing is sent.
///
/// # Errors
/// [`OpenError`]; [`StoreError::InUse`] in it when an engine runs after all.
pub fn latch(config: &Config, act: Latch) -> Result<(), OpenError> {
    let mut opened = take_journal(config)?;
    let mut kernel = Kernel::open(setup(config), Vec::new(), Arc::new(opened.archive)).map_err(omnivenue_core::engine::OpenError::from)?;
    let now = SystemEnv.now();
    let input = match act {
        Latch::Kill { scope, mode, reason } => Input::Kill { scope, mode, reason, token: 0 },
        Latch::Resume { scope, reason, secret } => {
            let held = kernel.state().book();
            may_lift(held, &scope, kill_secret(config)?.as_ref(), secret.as_ref()).map_err(|error| OpenError::Denied(error.to_string()))?;
            Input::Resume { scope, reason, token: 0 }
        }
        Latch::Erase { signal } => return write_down(kernel.erase_metadata(now, &signal, 0), &mut kernel, &mut opened.journal),
    };
    // The tasks are left undone: there is no account to carry them out on, and the next start begins anew.
    write_down(kernel.input(now, input), &mut kernel, &mut opened.journal)
}

/// Makes durable what an act came to.
fn write_down(tasks: Vec<Task>, kernel: &mut Kernel, journal: &mut omnivenue_sqlite::SqliteJournal) -> Result<(), OpenError> {
    while let Some(batch) = kernel.take_batch() {
        journal.append(&batch.entries)?;
    }
    let refused = tasks.into_iter().find_map(|task| match task {
        Task::Answer { result: Err(error), .. } => Some(error.to_string()),
        _ => None,
    });
    refused.map_or(Ok(()), |reason| Err(omnivenue_core::engine::OpenError::Setup(reason).into()))
}

/// An act of a person that needs no venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Latch {
    /// Throws the kill switch.
    Kill {
        /// What it stops.
        scope: KillScope,
        /// What it does beside: carried out from the next start on.
        mode: KillMode,
        /// Why.
        reason: String,
    },
    /// Lifts it.
    Resume {
        /// What it stopped.
        scope: KillScope,
        /// Why.
        reason: String,
        /// What was given to lift it, where the kill switch has a secret.
        secret: Option<Secret>,
    },
    /// Erases what the caller attached to a signal.
    Erase {
        /// The signal.
        signal: SignalId,
    },
}

/// The simulated exchanges of a configuration, as they would be opened.
///
/// # Errors
/// [`OpenError`] when an account is not paper, or a preset does not have what the configuration names.
pub fn exchanges(config: &Config) -> Result<Vec<omnivenue_paper::Config>, OpenError> {
    if let Some(real) = config.accounts.iter().find(|account| account.paper.is_none()) {
        let reason =
            "it is not paper, and nothing else can be simulated: give it environment = \"paper\" in another configuration".to_owned();
        return Err(OpenError::Login { account: real.id.clone(), reason });
    }
    let ids: BTreeSet<&VenueId> = config.accounts.iter().map(|account| &account.venue).collect();
    let exchange = |venue: &VenueId| {
        let members: Vec<_> = config.accounts.iter().filter(|account| account.venue == *venue).collect();
        paper::paper(venue, &members).map_err(|reason| OpenError::Exchange { venue: venue.clone(), reason })
    };
    ids.into_iter().map(exchange).collect()
}

/// Puts every agent of a configuration that has a strategy to work.
///
/// # Errors
/// Those of [`Engine::attach`].
pub async fn attach_agents(engine: &Engine, config: &Config) -> Result<Vec<AgentHandle>, EngineError> {
    let mut handles = Vec::new();
    for agent in &config.agents {
        if let Some(strategy) = &agent.strategy {
            handles.push(engine.attach(agent.id.clone(), strategy.factory(), Supervision::default()).await?);
        }
    }
    Ok(handles)
}

/// Takes the sole right to the journal, and makes it if there is none.
fn take_journal(config: &Config) -> Result<omnivenue_sqlite::Opened, OpenError> {
    let path = config.journal_path();
    make_private(&config.data_dir)?;
    path.parent().map_or(Ok(()), make_private)?;
    let options = omnivenue_sqlite::Options {
        chain_key: chain_key(config)?,
        namespace: config.journal.namespace.clone(),
        segment_entries: config.journal.segment_entries,
        retain_segments: config.journal.retain_segments,
    };
    Ok(omnivenue_sqlite::open(&path, options)?)
}

/// Opens the journal of a configuration for reading only, beside the engine that owns it or without one; `None` when there is none yet.
///
/// # Errors
/// [`OpenError`] when it is there but cannot be read.
pub fn archive(config: &Config) -> Result<Option<SqliteArchive>, OpenError> {
    let path = config.journal_path();
    if !path.exists() {
        return Ok(None);
    }
    Ok(SqliteArchive::read_begun(&path, chain_key(config)?)?)
}

/// The key of the journal's hash chain, fetched from where it is kept.
///
/// # Errors
/// [`OpenError::Secret`] when it is not there.
pub fn chain_key(config: &Config) -> Result<ChainKey, OpenError> {
    let secret = config.journal.chain_key.as_ref().map(crate::config::SecretRef::read).transpose()?;
    Ok(secret.map_or_else(ChainKey::default, |secret| ChainKey::new(secret.expose().as_bytes())))
}

/// What lifts the kill switch, fetched from where it is kept; `None` where the configuration names none.
///
/// # Errors
/// [`OpenError::KillSecret`] when it is not there: an engine does not start without it, since nothing could be lifted.
pub fn kill_secret(config: &Config) -> Result<Option<Secret>, OpenError> {
    config.kill.secret.as_ref().map(crate::config::SecretRef::read).transpose().map_err(OpenError::KillSecret)
}

/// Makes a directory that only its owner can enter; one that exists is left as it is.
fn make_private(path: &Path) -> Result<(), OpenError> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| OpenError::Directory { path: path.to_owned(), source })
}

/// What the state machine is told. The venues' part is filled by the engine, from the venues.
#[must_use]
pub fn setup(config: &Config) -> Setup {
    let accounts = config.accounts.iter().map(|account| {
        (
            account.id.clone(),
            AccountSetup { venue: account.venue.clone(), market: Some(account.market), limits: account.limits, drift: account.drift },
        )
    });
    let agents = config.agents.iter().map(|agent| (agent.id.clone(), agent_setup(config, agent)));
    let deployments = config.deployments.iter().map(|deployment| {
        let shares = deployment.accounts.iter().map(|share| AccountShare {
            account: share.account.clone(),
            allocation: share.allocation,
            fallback: share.fallback.clone(),
        });
        let setup = DeploymentSetup {
            agent: deployment.agent.clone(),
            accounts: shares.collect(),
            limits: deployment.limits,
            stops: deployment.stops,
            approval: deployment.approval,
            scale: deployment.scale,
        };
        (deployment.id.clone(), setup)
    });
    Setup {
        venues: BTreeMap::new(),
        accounts: accounts.collect(),
        agents: agents.collect(),
        deployments: deployments.collect(),
        limits: config.risk.limits,
        rates: config.risk.rates.clone(),
        assets: AssetMap::default(),
        timing: config.timing,
        breakers: config.breakers,
        losses: losses(config),
        depeg: config.risk.depeg.clone(),
    }
}

/// The losses that may be, by whose they are.
fn losses(config: &Config) -> BTreeMap<LossScope, LossLimits> {
    let accounts = config.accounts.iter().map(|account| (LossScope::Account(account.id.clone()), account.losses));
    let agents = config.agents.iter().map(|agent| (LossScope::Agent(agent.id.clone()), agent.losses));
    let deployments = config.deployments.iter().map(|deployment| (LossScope::Deployment(deployment.id.clone()), deployment.losses));
    let all = accounts.chain(agents).chain(deployments).chain([(LossScope::Global, config.risk.losses)]);
    all.filter(|(_, limits)| !limits.is_empty()).collect()
}

fn agent_setup(config: &Config, agent: &AgentConfig) -> AgentSetup {
    let off = config.deployments.iter().filter(|deployment| deployment.agent == agent.id && !deployment.enabled);
    AgentSetup {
        allowed_assets: agent.allowed_assets.clone(),
        approval: agent.approval,
        limits: agent.limits,
        disabled: !agent.enabled,
        disabled_deployments: off.map(|deployment| deployment.id.clone()).collect(),
    }
}

/// An engine and the simulated exchanges it trades on; it can be used as the [`Engine`] it holds. Dropping it stops the exchanges, so
/// keep it for as long as its engine is used.
pub struct Opened {
    engine: Engine,
    exchanges: Vec<PaperExchange>,
    logins: Vec<Arc<dyn Account>>,
    views: Option<ViewsProjector>,
}

impl Opened {
    /// The simulated exchange behind a venue: what really happened there, and faults on request.
    #[must_use]
    pub fn exchange(&self, venue: &VenueId) -> Option<&PaperExchange> {
        self.exchanges.iter().find(|exchange| exchange.config().id == *venue)
    }

    /// Looks after the logins at real venues for as long as it is polled: twice a day each is examined, and what is not as it should be is
    /// logged, such as a key that ends within days. Trades nothing.
    pub fn watch_logins(&self) -> impl Future<Output = ()> + Send + use<> {
        let logins = self.logins.clone();
        async move {
            loop {
                for account in &logins {
                    examine(&**account).await;
                }
                SystemEnv.sleep(EXAMINE_EVERY).await;
            }
        }
    }

    /// What keeps the views beside the journal, unless the configuration says that there are none.
    #[must_use]
    pub const fn views(&self) -> Option<&ViewsProjector> {
        self.views.as_ref()
    }

    /// Shuts the engine down, then the exchanges. Gives back what keeps the views: it ends when dropped, whether or not they are up to
    /// date, and the next engine goes on where it stopped.
    ///
    /// # Errors
    /// Those of [`Engine::shutdown`]. The engine ends even so, since nobody holds it any more: who wants to keep it asks with
    /// [`Opened::try_shutdown`].
    pub async fn shutdown(mut self) -> Result<Option<ViewsProjector>, EngineError> {
        self.try_shutdown().await
    }

    /// As [`Opened::shutdown`], but the engine goes on when it refuses.
    ///
    /// # Errors
    /// Those of [`Engine::shutdown`].
    pub async fn try_shutdown(&mut self) -> Result<Option<ViewsProjector>, EngineError> {
        self.engine.shutdown().await?;
        Ok(self.views.take())
    }

    /// As [`Opened::shutdown`], leaving positions whose stop the engine runs without one.
    ///
    /// # Errors
    /// Those of [`Engine::shutdown_unprotected`].
    pub async fn shutdown_unprotected(self) -> Result<Option<ViewsProjector>, EngineError> {
        self.engine.shutdown_unprotected().await?;
        Ok(self.views)
    }
}

async fn examine(account: &dyn Account) {
    let (id, venue) = (account.id(), account.venue().id());
    match account.examine().await {
        Ok(findings) => {
            for finding in findings.iter().filter(|finding| finding.grade != Grade::Good) {
                tracing::warn!(account = %id, %venue, check = %finding.check, "{}", finding.detail);
            }
        }
        Err(error) => tracing::warn!(account = %id, %venue, %error, "the login cannot be examined now"),
    }
}

impl Deref for Opened {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("exchanges", &self.exchanges).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use omnivenue_core::engine::Wait;
    use omnivenue_core::model::signal::Signal;
    use omnivenue_paper::PriceSource;

    use super::paper::paper;
    use super::*;

    #[test]
    fn the_built_in_configuration_makes_two_exchanges_that_are_valid() {
        let config = Config::built_in(Path::new("/data"));
        for account in &config.accounts {
            let paper = paper(&account.venue, &[account]).unwrap();
            paper.check().unwrap();
            assert_eq!(paper.id, account.venue);
            assert_eq!(paper.accounts[&account.id].len(), 1);
        }
        let setup = setup(&config);
        assert_eq!(setup.deployments.len(), 1);
        assert_eq!(setup.accounts.len(), 2);
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    fn signal(id: &str) -> Signal {
        Signal::from_json(&format!(r#"{{"id":"{id}","agent":"demo","asset":"HYPE","direction":"long","sizing":{{"notional":"500"}}}}"#))
            .unwrap()
    }

    #[test]
    fn a_kill_without_an_engine_holds_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::built_in(folder.path());
        let kill = Latch::Kill { scope: KillScope::All, mode: KillMode::Pause, reason: "lunch".into() };
        latch(&config, kill).unwrap();
        block_on(async {
            let engine = open(&config).await.unwrap();
            assert_eq!(engine.health().await.unwrap().kills.len(), 1);
            let refused = engine.execute(signal("a"), Wait::Settled).await.unwrap();
            assert!(refused.legs.iter().all(|leg| leg.code.as_deref() == Some("killed")), "{refused:?}");
            let busy = latch(&config, Latch::Resume { scope: KillScope::All, reason: "back".into(), secret: None }).unwrap_err();
            assert!(matches!(busy, OpenError::Journal(StoreError::InUse { .. })), "{busy}");
            drop(engine.shutdown().await.unwrap());
        });
        latch(&config, Latch::Resume { scope: KillScope::All, reason: "back".into(), secret: None }).unwrap();
        block_on(async {
            let engine = open(&config).await.unwrap();
            let filled = engine.execute(signal("b"), Wait::Settled).await.unwrap();
            assert!(filled.legs.iter().all(|leg| !leg.filled_quantity.is_zero()), "{filled:?}");
            let truth = engine.exchange(&config.accounts[0].venue).and_then(|exchange| exchange.with(|server| server.truth()));
            assert!(truth.is_some());
            drop(engine.shutdown().await.unwrap());
        });
    }

    #[test]
    fn the_same_id_is_the_same_execution_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::built_in(folder.path());
        let run = || {
            block_on(async {
                let engine = open(&config).await.unwrap();
                let execution = engine.execute(signal("a"), Wait::Settled).await.unwrap();
                let orders = engine.orders().await.unwrap().len();
                drop(engine.shutdown().await.unwrap());
                let ids: Vec<_> = execution.legs.iter().map(|leg| leg.client_order_id.clone()).collect();
                (ids, orders)
            })
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn an_exchange_is_changed_as_its_account_says() {
        let mut account = Config::built_in(Path::new("/data")).accounts.remove(0);
        account.venue = "elsewhere".parse().unwrap();
        account.paper.as_mut().unwrap().prices.fixed.insert("HYPE".parse().unwrap(), "38".parse().unwrap());
        account.paper.as_mut().unwrap().faults.cut_after = 50;
        let paper = paper(&account.venue, &[&account]).unwrap();
        paper.check().unwrap();
        assert_eq!(paper.prices[&"HYPE".parse().unwrap()], PriceSource::Fixed { price: "38".parse().unwrap() });
        assert_eq!(paper.faults.cut_after, 50);
        account.paper.as_mut().unwrap().prices.fixed.insert("HPYE".parse().unwrap(), "38".parse().unwrap());
        assert!(super::paper::paper(&account.venue, &[&account]).unwrap_err().contains("prices names HPYE"));
    }
}
