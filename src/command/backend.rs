//! Where a verb's request goes: to the running engine, to an engine of our own, or to the files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use omnivenue::config::Config;
use omnivenue::control::{Client, EngineHandler, Failure, Reloader, Request, Server, codes};
use omnivenue::open::{self, OpenError, Opened};
use omnivenue::sqlite::ViewsProjector;
use omnivenue_core::engine::{Engine, EngineError};
use omnivenue_core::executor::CommandError as EngineRefusal;
use omnivenue_core::journal::StoreError;
use omnivenue_core::model::execution::Protection;
use serde_json::Value;

use super::exit::{CommandError, Done, chain};
use super::files::Files;
use super::output::Output;

/// How long to wait for another command that has the journal at the moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait for the views at the end.
const VIEWS_PATIENCE: Duration = Duration::from_millis(500);

/// How often an engine may end under a request before the command gives up.
pub(crate) const HANDOVERS: usize = 8;

/// How often to look meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// Where requests go.
pub(crate) enum Backend {
    /// To the engine that runs.
    Running(Box<Running>),
    /// To an engine of this process, which others can reach meanwhile.
    Own(Box<Own>),
    /// To the files, for reading only.
    Files(Box<Files>),
}

/// An engine of another process, and where to turn once it has ended.
pub(crate) struct Running {
    path: PathBuf,
    config: Config,
    /// What to become without it: an engine of our own, or the files.
    acting: Option<Output>,
}

/// The running engine, or what was done without it.
pub(crate) enum Through<T> {
    Running(PathBuf),
    Own(T),
}

/// An engine of this process.
pub(crate) struct Own {
    // In this order they are dropped: nobody is let in any more before the engine goes.
    server: Option<Server>,
    engine: Opened,
    config: Config,
    output: Output,
}

impl Own {
    fn new(engine: Opened, config: Config, output: Output) -> Self {
        let mut own = Self { server: None, engine, config, output };
        own.serve();
        own
    }

    /// Lets others reach the engine.
    fn serve(&mut self) {
        let handler = EngineHandler::new(Engine::clone(&self.engine)).with_reloader(Reloader::new(self.config.clone()));
        let server = Server::start(&self.config.control_path(), handler);
        let noted = server.map_err(|error| self.output.note(&format!("other commands cannot reach this engine: {}", chain(&error))));
        self.server = noted.ok();
    }

    /// Ends the engine, unless that would end a stop which it runs: then it goes on, and these are the positions.
    async fn end(&mut self) -> Result<Option<String>, CommandError> {
        // Nobody is let in any more before the engine goes.
        self.server = None;
        let seq = self.engine.health().await.map_or(0, |health| health.durable_seq);
        match self.engine.try_shutdown().await {
            Ok(views) => {
                finish(views, seq);
                Ok(None)
            }
            Err(EngineError::Command(EngineRefusal::Unprotected(exposed))) => {
                self.serve();
                Ok(Some(exposed))
            }
            Err(error) => Err(Failure::from(error).into()),
        }
    }

    /// Ends the engine whatever stops it runs.
    async fn leave(self) -> Result<(), CommandError> {
        let Self { server, engine, .. } = self;
        drop(server);
        let seq = engine.health().await.map_or(0, |health| health.durable_seq);
        finish(engine.shutdown_unprotected().await.map_err(Failure::from)?, seq);
        Ok(())
    }
}

/// The last act of this process: whoever looks at the views next should find what it did.
fn finish(views: Option<ViewsProjector>, seq: u64) {
    if let Some(views) = views {
        let _ = views.wait_for(seq, VIEWS_PATIENCE);
    }
}

/// What asks from many tasks at once.
#[derive(Clone)]
pub(crate) enum Handle {
    Running(Arc<PathBuf>),
    Own(Engine),
}

impl Handle {
    pub(crate) async fn ask(&self, request: Request) -> Result<Value, Failure> {
        match self {
            Self::Running(path) => once(path, &request).await,
            Self::Own(engine) => EngineHandler::new(engine.clone()).ask(request).await,
        }
    }
}

/// Asks the engine at this socket.
pub(crate) async fn once(path: &Path, request: &Request) -> Result<Value, Failure> {
    connect(path).await?.ask(request).await
}

async fn connect(path: &Path) -> Result<Client, Failure> {
    Client::connect(path).await?.ok_or_else(|| gone(path))
}

fn gone(path: &Path) -> Failure {
    Failure::new(codes::UNREACHABLE, format!("the engine no longer answers at {}", path.display()))
}

impl Running {
    /// What there is now that it has ended.
    async fn next(&self) -> Result<Backend, Failure> {
        let next = match self.acting {
            Some(output) => Box::pin(Backend::acting(&self.config, output)).await,
            None => Box::pin(Backend::reading(&self.config)).await,
        };
        next.map_err(|error| error.failure())
    }
}

impl Backend {
    /// For verbs that act: the running engine, or else an engine of our own.
    pub(crate) async fn acting(config: &Config, output: Output) -> Result<Self, CommandError> {
        match Self::running_or(config, async || open::open(config).await).await? {
            Through::Running(path) => Ok(Self::Running(Box::new(Running { path, config: config.clone(), acting: Some(output) }))),
            Through::Own(engine) => Ok(Self::Own(Box::new(Own::new(engine, config.clone(), output)))),
        }
    }

    /// The running engine, or else what needs the journal for itself. Waits a little for another command that has the journal.
    pub(crate) async fn running_or<T>(
        config: &Config,
        mut own: impl AsyncFnMut() -> Result<T, OpenError>,
    ) -> Result<Through<T>, CommandError> {
        let path = config.control_path();
        let mut waited = Duration::ZERO;
        loop {
            if Client::connect(&path).await?.is_some() {
                return Ok(Through::Running(path));
            }
            match own().await {
                Ok(done) => return Ok(Through::Own(done)),
                Err(OpenError::Journal(StoreError::InUse { .. })) if waited < PATIENCE => {}
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(PAUSE).await;
            waited += PAUSE;
        }
    }

    /// For verbs that show: the running engine, or else the files.
    pub(crate) async fn reading(config: &Config) -> Result<Self, CommandError> {
        let path = config.control_path();
        if Client::connect(&path).await?.is_some() {
            return Ok(Self::Running(Box::new(Running { path, config: config.clone(), acting: None })));
        }
        Ok(Self::Files(Box::new(Files::open(config)?)))
    }

    /// Looks after the logins of an engine of our own, in the background.
    pub(crate) fn watch_logins(&self) {
        if let Self::Own(own) = self {
            tokio::spawn(own.engine.watch_logins());
        }
    }

    /// Puts the configured agents to work in an engine of our own; tells how many there are.
    pub(crate) async fn attach_agents(&self) -> Result<usize, CommandError> {
        let Self::Own(own) = self else { return Ok(0) };
        let handles = open::attach_agents(&own.engine, &own.config).await.map_err(Failure::from)?;
        Ok(handles.len())
    }

    /// Whether an engine of another process answers.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self, Self::Running(_))
    }

    /// For many requests at once. Only of a backend that acts.
    pub(crate) fn handle(&self) -> Result<Handle, CommandError> {
        match self {
            Self::Running(running) => Ok(Handle::Running(Arc::new(running.path.clone()))),
            Self::Own(own) => Ok(Handle::Own(Engine::clone(&own.engine))),
            Self::Files(_) => Err(CommandError::failed("files only answer, they do not act")),
        }
    }

    /// Asks one thing. An engine of another process may end at any moment: what it then left undone, or may have left undone and can be
    /// asked twice, is asked of whatever takes its place.
    pub(crate) async fn ask(&mut self, request: Request) -> Result<Value, Failure> {
        for _ in 0..HANDOVERS {
            let Self::Running(running) = self else { break };
            match once(&running.path, &request).await {
                Err(failure) if failure.code == codes::UNREACHABLE && !matches!(request, Request::Resolve { .. }) => {
                    tracing::debug!(message = %failure.message, "the engine has ended; looking for the next one");
                    let next = running.next().await?;
                    *self = next;
                }
                answer => return answer,
            }
        }
        match self {
            Self::Running(running) => Err(gone(&running.path)),
            Self::Own(own) => EngineHandler::new(Engine::clone(&own.engine)).ask(request).await,
            Self::Files(files) => files.ask(&request),
        }
    }

    /// Hands over each item until the stream ends or `item` says that it has seen enough.
    pub(crate) async fn stream(&mut self, request: Request, item: impl FnMut(Value) -> bool) -> Result<(), Failure> {
        match self {
            Self::Running(running) => connect(&running.path).await?.stream(&request, item).await.map(|_| ()),
            Self::Own(_) => Err(Failure::new(codes::FAILED, "an engine of this process streams to nobody")),
            Self::Files(files) => files.stream(&request, item),
        }
    }

    /// Shuts down an engine of our own; others are left alone. Where it runs stops that no venue can hold, it says so, ends them, and tells
    /// that in how the command ends: a command that was asked for one thing does not stay.
    pub(crate) async fn close(self) -> Result<Done, CommandError> {
        let Self::Own(mut own) = self else { return Ok(Done::Well) };
        let Some(exposed) = own.end().await? else { return Ok(Done::Well) };
        own.output.note(&format!(
            "omnivenue: warning: the stops of {exposed} are run by the engine, which ends now: nothing protects these positions until an engine \
             runs again; `omnivenue run --stay` looks after them"
        ));
        own.leave().await?;
        Ok(Done::Unprotected)
    }

    /// Whether an engine of our own runs stops that would end with it.
    pub(crate) async fn runs_stops(&self) -> bool {
        let Self::Own(own) = self else { return false };
        let ends = |protection: Protection| !matches!(protection, Protection::None | Protection::Venue);
        let positions = own.engine.positions().await.unwrap_or_default();
        positions.iter().flat_map(|position| &position.exits).any(|exit| ends(exit.protection))
    }

    /// Shuts down an engine of our own, unless that would end a stop which it runs: then it goes on, and others can still reach it. These
    /// are the positions.
    pub(crate) async fn end(&mut self) -> Result<Option<String>, CommandError> {
        match self {
            Self::Own(own) => own.end().await,
            Self::Running(_) | Self::Files(_) => Ok(None),
        }
    }
}
