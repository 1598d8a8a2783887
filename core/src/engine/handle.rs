//! The handle: what a program holds. Cheap to clone, safe to share; dropping a future of it abandons the waiting, never the execution.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::env::Env;
use super::feed::{EventBuffer, EventFeed};
use super::killed::KillReport;
use super::report::{FillSummary, Health, OrderSummary};
use super::shell;
use crate::agent::{AgentHandle, Channel, Factory, Shared, Subscription, Supervision, Supervisor};
use crate::executor::{Availability, CommandError, ForeignOrder, Now, Setup};
use crate::gates::UserGate;
use crate::journal::{Archive, ConfigChange, Journal, KillMode, KillScope, StoreError, Verdict};
use crate::model::close::CloseRequest;
use crate::model::execution::{EquityReport, Execution, PositionReport};
use crate::model::ids::{AccountId, AgentId, Asset, ClientOrderId, DeploymentId, SignalId};
use crate::model::number::Amount;
use crate::model::secret::Secret;
use crate::model::signal::Signal;
use crate::venue::{Account, Venue, VenueError};

/// Commands that may wait for the engine's attention before callers have to wait themselves.
const COMMANDS: usize = 4_096;

/// What an engine is made of.
pub struct Parts {
    /// Time, chance and threads.
    pub env: Arc<dyn Env>,
    /// The configuration; `venues` is left empty and filled from the venues themselves.
    pub setup: Setup,
    /// The venues.
    pub venues: Vec<Arc<dyn Venue>>,
    /// The accounts.
    pub accounts: Vec<Arc<dyn Account>>,
    /// The journal's writer.
    pub journal: Box<dyn Journal>,
    /// The journal's reader.
    pub archive: Arc<dyn Archive>,
    /// The tag that begins client order ids: the one the journal was made with.
    pub namespace: String,
    /// How long `open` waits for the accounts to recover; those that have not by then go on recovering and skip legs until they have.
    pub recovery_wait: Duration,
    /// What lifts the kill switch; anyone who may talk to the engine when absent.
    pub kill_secret: Option<Secret>,
    /// Checks of the user's own: each is asked about every new signal, from the first on.
    pub user_gates: Vec<Arc<dyn UserGate>>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("setup", &self.setup).field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// How long a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wait {
    /// Until the command is durable.
    Journaled,
    /// Until every leg is acknowledged, refused, unknown, or past its deadline.
    #[default]
    Acknowledged,
    /// Until every leg is done; at most a minute.
    Settled,
}

impl std::str::FromStr for Wait {
    type Err = String;

    /// By its name, in `snake_case`.
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "journaled" => Ok(Self::Journaled),
            "acknowledged" => Ok(Self::Acknowledged),
            "settled" => Ok(Self::Settled),
            other => Err(format!("wait is {other:?}, but must be \"journaled\", \"acknowledged\" or \"settled\"")),
        }
    }
}

/// Why an engine does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The journal cannot be replayed.
    #[error(transparent)]
    Replay(#[from] super::kernel::ReplayError),
    /// A venue does not say what it trades.
    #[error("a venue cannot be opened: {0}")]
    Venue(#[from] VenueError),
    /// The configuration contradicts itself.
    #[error("{0}")]
    Setup(String),
    /// The machine gives no thread.
    #[error("no thread could be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why a call failed. Nothing was done, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The command was not taken.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The journal cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine was shut down.
    #[error("the engine is closed")]
    Closed,
}

impl EngineError {
    /// A stable code, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Command(CommandError::Conflict { .. }) => "conflict",
            Self::Command(CommandError::Invalid(_)) => "invalid",
            Self::Command(CommandError::JournalUnwritable(_)) => "journal_unwritable",
            Self::Command(CommandError::Answered(_)) => "already_answered",
            Self::Command(CommandError::NotFound(_)) => "not_found",
            Self::Command(CommandError::Unprotected(_)) => "unprotected",
            Self::Command(CommandError::Denied(_)) => "denied",
            Self::Store(StoreError::NotKept(_)) => "not_kept",
            Self::Store(_) => "journal_unreadable",
            Self::Closed => "closed",
        }
    }
}

pub(super) type Answer<T> = oneshot::Sender<Result<T, EngineError>>;

pub(super) enum Command {
    /// With the instant at which the caller handed it over, by the monotonic clock.
    Execute(Box<Signal>, u64, Wait, Answer<Execution>),
    Close(CloseRequest, Wait, Answer<Execution>),
    Execution(SignalId, Answer<Option<Execution>>),
    Cancel(SignalId, Answer<()>),
    /// With for which deployment, yes or no, and why.
    Approve(SignalId, Option<DeploymentId>, bool, String, Wait, Answer<Execution>),
    Resolve(ClientOrderId, Verdict, String, Answer<()>),
    Kill(KillScope, KillMode, String, Answer<()>),
    Resume(KillScope, String, Option<Secret>, Answer<()>),
    /// Of one latch, or of each.
    KillReports(Option<KillScope>, Answer<Vec<KillReport>>),
    Reconcile(Answer<()>),
    Adopt(AccountId, String, Answer<()>),
    ForeignOrders(Answer<Vec<ForeignOrder>>),
    Positions(Answer<Vec<PositionReport>>),
    Orders(Answer<Vec<OrderSummary>>),
    Fills(Answer<Vec<FillSummary>>),
    Equity(Answer<Vec<EquityReport>>),
    Health(Answer<Health>),
    Availability(Asset, Answer<Vec<Availability>>),
    Reconfigure(Box<Setup>, Vec<ConfigChange>, Answer<()>),
    EraseMetadata(SignalId, Answer<()>),
    AddGate(Arc<dyn UserGate>, Answer<()>),
    /// A new agent, which has no instance yet.
    Recruit(AgentId, Arc<Shared>, Answer<()>),
    /// An instance of an agent begins, with what it wants and how many inputs the one before it lost.
    Enlist(Channel, Vec<Subscription>, u64),
    /// An agent is to end.
    Detach(AgentId, Answer<()>),
    /// An agent's signal, with when it was handed over.
    Emit(Box<Signal>, u64),
    /// What an agent keeps.
    Checkpoint(AgentId, serde_json::Value),
    /// With whether positions may be left without their stops.
    Shutdown(bool, Answer<()>),
}

/// An open engine.
#[derive(Clone)]
pub struct Engine {
    env: Arc<dyn Env>,
    commands: mpsc::Sender<Command>,
    archive: Arc<dyn Archive>,
    durable: watch::Receiver<u64>,
    events: Arc<EventBuffer>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("durable_seq", &*self.durable.borrow()).finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens an engine: replays the journal, connects the accounts, recovers, and then takes commands. Needs no runtime of the caller's.
    ///
    /// # Errors
    /// [`OpenError`] when the journal, a venue or the configuration does not allow it.
    pub async fn open(parts: Parts) -> Result<Self, OpenError> {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (opened, ready) = oneshot::channel();
        let (head, durable) = watch::channel(0);
        let (env, archive) = (Arc::clone(&parts.env), Arc::clone(&parts.archive));
        let events = Arc::new(EventBuffer::default());
        let told = Arc::clone(&events);
        env.spawn_thread("omnivenue-engine", Box::new(move || shell::run(parts, inbox, (head, told), opened)))?;
        ready.await.map_err(|_| OpenError::Setup("the engine's thread ended while it opened".into()))??;
        Ok(Self { env, commands, archive, durable, events })
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, EngineError> {
        let (answer, asked) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| EngineError::Closed)?;
        asked.await.map_err(|_| EngineError::Closed)?
    }

    /// Carries out a signal: one leg per deployment and account. The same id with the same body is the same execution for ever.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # use omnivenue_core::engine::Wait;
    /// # use omnivenue_core::model::signal::Signal;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// let text = r#"{"id": "tweet-42", "agent": "demo", "asset": "HYPE", "direction": "long", "sizing": {"notional": "500"}}"#;
    /// let execution = engine.execute(Signal::from_json(text)?, Wait::Settled).await?;
    /// for leg in &execution.legs {
    ///     println!("{}: {} {}", leg.account, leg.state, leg.filled_quantity);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`CommandError::Conflict`] when the id was used with another body, [`CommandError::Invalid`] when the configuration does not know its
    /// agent, venue or asset, [`CommandError::JournalUnwritable`] when nothing can be written down.
    pub async fn execute(&self, signal: Signal, wait: Wait) -> Result<Execution, EngineError> {
        let received = self.env.now().monotonic;
        self.ask(|answer| Command::Execute(Box::new(signal), received, wait, answer)).await
    }

    /// Closes positions: one leg per position. The same id with the same target is the same execution for ever.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # use omnivenue_core::engine::Wait;
    /// # use omnivenue_core::model::close::{CloseRequest, CloseTarget};
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// let request = CloseRequest::new("close-hype-1".parse()?, CloseTarget::Asset("HYPE".parse()?));
    /// let closed = engine.close_positions(request, Wait::Settled).await?;
    /// println!("{:?}", closed.status);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub async fn close_positions(&self, request: CloseRequest, wait: Wait) -> Result<Execution, EngineError> {
        self.ask(|answer| Command::Close(request, wait, answer)).await
    }

    /// What became of a signal or a request to close; `None` when there never was one of that id.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// if let Some(execution) = engine.execution(&"tweet-42".parse()?).await? {
    ///     println!("{:?}", execution.status);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EngineError::Store`] when the journal cannot be read.
    pub async fn execution(&self, id: &SignalId) -> Result<Option<Execution>, EngineError> {
        self.ask(|answer| Command::Execution(id.clone(), answer)).await
    }

    /// Asks the venues to cancel what rests of a signal; returns once that is on its way. What traded stays, and the leg tells how it ended.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// engine.cancel(&"tweet-42".parse()?).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`CommandError::NotFound`] when there never was such a signal, or it is over.
    pub async fn cancel(&self, id: &SignalId) -> Result<(), EngineError> {
        self.ask(|answer| Command::Cancel(id.clone(), answer)).await
    }

    /// Answers whether a signal that waits for a person may be carried out: in one deployment, or in all in which it waits. At a yes each leg
    /// is sized and checked anew; at a no it ends, refused. The same answer again changes nothing.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # use omnivenue_core::engine::Wait;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// let execution = engine.approve(&"tweet-42".parse()?, None, true, "looks right".into(), Wait::Settled).await?;
    /// println!("{:?}", execution.status);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`CommandError::NotFound`] when nothing of it waits, or it has waited for too long; [`CommandError::Answered`] when the answer was
    /// another one before; [`CommandError::Invalid`] without a reason.
    pub async fn approve(
        &self,
        id: &SignalId,
        deployment: Option<DeploymentId>,
        approved: bool,
        reason: String,
        wait: Wait,
    ) -> Result<Execution, EngineError> {
        self.ask(|answer| Command::Approve(id.clone(), deployment, approved, reason, wait, answer)).await
    }

    /// Settles an unknown order by a person's verdict, journaled with the reason. The venue's own word, should it come later, prevails.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # use omnivenue_core::journal::Verdict;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// // The order was looked up on the venue's own page: it is nowhere.
    /// engine.resolve("fd464a66d6b620bc80e043d719659d82".parse()?, Verdict::Absent, "not on the venue's page".into()).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`CommandError::NotFound`] when there is no such order, or it is not unknown.
    pub async fn resolve(&self, order: ClientOrderId, verdict: Verdict, reason: String) -> Result<(), EngineError> {
        self.ask(|answer| Command::Resolve(order, verdict, reason, answer)).await
    }

    /// Throws the kill switch: from the moment this returns, durable, no entry of that scope leaves. With `cancel`, entries that rest are
    /// canceled; with `flatten`, positions are closed as well. Both go on until they are done, whatever fails and however often the engine
    /// is restarted. A stronger mode over a weaker one strengthens it; a weaker one over a stronger one changes nothing: the report says
    /// which holds. It does not wait until all is carried out: ask [`Self::kill_report`] for how far it is.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # use omnivenue_core::journal::{KillMode, KillScope};
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// let report = engine.kill(KillScope::All, KillMode::Flatten, "something is wrong".into()).await?;
    /// println!("{}", serde_json::to_string(&report)?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`CommandError::JournalUnwritable`] when it holds, but in this process only. [`EngineError::Closed`] when the engine is.
    pub async fn kill(&self, scope: KillScope, mode: KillMode, reason: String) -> Result<KillReport, EngineError> {
        self.ask(|answer| Command::Kill(scope.clone(), mode, reason, answer)).await?;
        self.kill_report(&scope).await
    }

    /// What a latch of the kill switch has come to: each entry and each position in its scope, and what confirms it.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # use omnivenue_core::journal::KillScope;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// let report = engine.kill_report(&KillScope::All).await?;
    /// println!("{}", serde_json::to_string(&report)?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`CommandError::NotFound`] when the switch is not on for this scope. [`EngineError::Closed`] when the engine is.
    pub async fn kill_report(&self, scope: &KillScope) -> Result<KillReport, EngineError> {
        let reports = self.ask(|answer| Command::KillReports(Some(scope.clone()), answer)).await?;
        reports.into_iter().next().ok_or_else(|| CommandError::NotFound(format!("the kill switch is not on for {scope}")).into())
    }

    /// What each latch of the kill switch has come to.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// println!("{} latches are on", engine.kill_reports().await?.len());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EngineError::Closed`] when the engine is.
    pub async fn kill_reports(&self) -> Result<Vec<KillReport>, EngineError> {
        self.ask(|answer| Command::KillReports(None, answer)).await
    }

    /// Lifts the kill switch of a scope; of an account, its halt too. What it had closed need not be closed any more. Where the kill switch
    /// has a secret, a latch is lifted only by that; a halt alone needs none.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # use omnivenue_core::journal::KillScope;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// engine.resume(KillScope::All, "it was a false alarm".into(), None).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`CommandError::Denied`] when the secret is missing or another. [`EngineError::Closed`] when the engine is.
    pub async fn resume(&self, scope: KillScope, reason: String, secret: Option<Secret>) -> Result<(), EngineError> {
        self.ask(|answer| Command::Resume(scope, reason, secret, answer)).await
    }

    /// Starts comparing every account with its venue now; [`Self::health`] tells when each was compared.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// engine.reconcile().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EngineError::Closed`] when the engine is.
    pub async fn reconcile(&self) -> Result<(), EngineError> {
        self.ask(Command::Reconcile).await
    }

    /// Takes the venue's truth about an account for ours, by a person's word that is journaled with the reason: every difference that is seen
    /// now is booked as not ours, what the venue no longer holds of ours is given up, and the halt of the account is lifted. Nothing is sold.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// engine.adopt("main".parse()?, "I sold the rest by hand".into()).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`CommandError::NotFound`] when there is no such account, it has not been compared yet, or the reason is empty.
    pub async fn adopt(&self, account: AccountId, reason: String) -> Result<(), EngineError> {
        self.ask(|answer| Command::Adopt(account, reason, answer)).await
    }

    /// Orders of others that rested on our accounts when these were last compared, at most 200 of each. They are not ours: nothing here
    /// cancels them.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// for order in engine.foreign_orders().await? {
    ///     println!("{} rests on {}", order.venue_order_id, order.account);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EngineError::Closed`] when the engine is.
    pub async fn foreign_orders(&self) -> Result<Vec<ForeignOrder>, EngineError> {
        self.ask(Command::ForeignOrders).await
    }

    /// Open virtual positions.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// for position in engine.positions().await? {
    ///     println!("{} {} {}", position.account, position.instrument, position.quantity);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EngineError::Closed`] when the engine is.
    pub async fn positions(&self) -> Result<Vec<PositionReport>, EngineError> {
        self.ask(Command::Positions).await
    }

    /// Orders of recent executions, and every order of which more may become known.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// for order in engine.orders().await? {
    ///     println!("{} {}", order.client_order_id, order.state);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EngineError::Closed`] when the engine is.
    pub async fn orders(&self) -> Result<Vec<OrderSummary>, EngineError> {
        self.ask(Command::Orders).await
    }

    /// Trades of recent executions.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// for fill in engine.fills().await? {
    ///     println!("{} at {}", fill.quantity, fill.price);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EngineError::Closed`] when the engine is.
    pub async fn fills(&self) -> Result<Vec<FillSummary>, EngineError> {
        self.ask(Command::Fills).await
    }

    /// Money, per account and currency, and per deployment on it.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// for line in engine.equity().await? {
    ///     println!("{}", serde_json::to_string(&line)?);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EngineError::Closed`] when the engine is.
    pub async fn equity(&self) -> Result<Vec<EquityReport>, EngineError> {
        self.ask(Command::Equity).await
    }

    /// Equity of all accounts together, in the currency of the limits at the stated rates; `None` when a part of it is unknown.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// match engine.total_equity().await? {
    ///     Some(equity) => println!("{equity}"),
    ///     None => println!("a part of it is not known"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EngineError::Closed`] when the engine is.
    pub async fn total_equity(&self) -> Result<Option<Amount>, EngineError> {
        Ok(self.health().await?.equity)
    }

    /// How the engine and its accounts stand.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// let health = engine.health().await?;
    /// println!("{}, {} orders may have taken effect", health.status, health.unknown.len());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EngineError::Closed`] when the engine is.
    pub async fn health(&self) -> Result<Health, EngineError> {
        self.ask(Command::Health).await
    }

    /// Where an asset could be traded now: by venue, account and instrument whether it is ready or why not, at which prices and on which terms,
    /// and for each deployment there what would become of the smallest order. Nothing is reserved by asking.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// for place in engine.availability(&"HYPE".parse()?).await? {
    ///     println!("{}", serde_json::to_string(&place)?);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EngineError::Closed`] when the engine is.
    pub async fn availability(&self, asset: &Asset) -> Result<Vec<Availability>, EngineError> {
        self.ask(|answer| Command::Availability(asset.clone(), answer)).await
    }

    /// Has one more check of the user's own asked about every signal from now on. Those that must be asked from the first signal on are given
    /// with [`Parts::user_gates`].
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # use omnivenue_core::gates::{UserGate, UserGateError, UserQuestion, UserVerdict};
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// struct Cautious;
    ///
    /// impl UserGate for Cautious {
    ///     fn name(&self) -> &str {
    ///         "cautious"
    ///     }
    ///
    ///     fn check(&self, question: &UserQuestion) -> Result<UserVerdict, UserGateError> {
    ///         Ok(if question.quote.is_some() { UserVerdict::Pass } else { UserVerdict::Refuse("there is no price".into()) })
    ///     }
    /// }
    ///
    /// engine.add_gate(std::sync::Arc::new(Cautious)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`CommandError::Invalid`] when its name is empty, too long or taken. [`EngineError::Closed`] when the engine is.
    pub async fn add_gate(&self, gate: Arc<dyn UserGate>) -> Result<(), EngineError> {
        self.ask(|answer| Command::AddGate(gate, answer)).await
    }

    /// Takes another configuration while the engine runs, all of it or nothing: who trades where must stay the same. What is open stays as it is;
    /// only what comes is decided anew. `changes` are written down as they are: they must hold no secret. Returns once that is durable.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] names the first key that may not change; nothing was changed then. [`CommandError::JournalUnwritable`] when
    /// nothing can be written down.
    pub async fn reconfigure(&self, setup: Setup, changes: Vec<ConfigChange>) -> Result<(), EngineError> {
        self.ask(|answer| Command::Reconfigure(Box::new(setup), changes, answer)).await
    }

    /// Erases what the caller attached to a signal from the journal, for ever; its hash stays, and so does an entry that says that and when it
    /// was erased. Returns once it is gone. Copies that were made of the journal keep it. The same again changes nothing else.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// engine.erase_metadata(&"tweet-42".parse()?).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`CommandError::NotFound`] when there is no such signal or nothing was attached to it.
    pub async fn erase_metadata(&self, signal: &SignalId) -> Result<(), EngineError> {
        self.ask(|answer| Command::EraseMetadata(signal.clone(), answer)).await
    }

    /// Puts an agent to work on a thread of its own. `factory` makes its first instance there, and a new one after each panic, within the
    /// budget of `supervision`. One of the same name that is at work is ended.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # use omnivenue_core::agent::{Agent, AgentInput, Context, Subscription, Supervision};
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// struct Quiet;
    ///
    /// impl Agent for Quiet {
    ///     fn subscriptions(&self) -> Vec<Subscription> {
    ///         Vec::new()
    ///     }
    ///
    ///     fn handle(&mut self, _: &AgentInput, _: &mut Context<'_>) {}
    /// }
    ///
    /// // A new instance is made at the start and after each panic.
    /// let handle = engine.attach("demo".parse()?, Box::new(|| Box::new(Quiet)), Supervision::default()).await?;
    /// println!("{:?}", handle.status());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EngineError::Closed`] when the engine is; [`CommandError::Invalid`] when the configuration has no such agent, or the machine gives no
    /// thread.
    pub async fn attach(&self, agent: AgentId, factory: Factory, supervision: Supervision) -> Result<AgentHandle, EngineError> {
        let shared = Shared::new(supervision);
        self.ask(|answer| Command::Recruit(agent.clone(), Arc::clone(&shared), answer)).await?;
        let name = format!("omnivenue-agent-{agent}");
        let handle = AgentHandle::new(agent.clone(), Arc::clone(&self.env), Arc::clone(&shared));
        let supervisor = Supervisor { agent, factory, engine: self.clone(), shared };
        // What the agent itself logs is told as its own.
        let span = tracing::info_span!("agent", agent = %supervisor.agent);
        let started = self.env.spawn_thread(&name, Box::new(move || span.in_scope(|| supervisor.run())));
        started.map_err(|e| CommandError::Invalid(format!("no thread for the agent: {e}")))?;
        Ok(handle)
    }

    /// Ends an agent once it has taken what waits for it. Its positions and orders stay, and are looked after.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// engine.detach(&"demo".parse()?).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`CommandError::NotFound`] when none of that name is at work; [`EngineError::Closed`].
    pub async fn detach(&self, agent: &AgentId) -> Result<(), EngineError> {
        self.ask(|answer| Command::Detach(agent.clone(), answer)).await
    }

    pub(crate) fn now(&self) -> Now {
        self.env.now()
    }

    /// Begins an instance, from an agent's thread. `false` when the engine is closed.
    pub(crate) fn enlist(&self, channel: Channel, wanted: Vec<Subscription>, lost: u64) -> bool {
        self.commands.blocking_send(Command::Enlist(channel, wanted, lost)).is_ok()
    }

    /// Hands over a signal from an agent's thread; what becomes of it comes back as inputs. `false` when the engine is closed.
    pub(crate) fn submit(&self, signal: Signal) -> bool {
        self.commands.blocking_send(Command::Emit(Box::new(signal), self.env.now().monotonic)).is_ok()
    }

    /// Keeps an agent's checkpoint, after the signals it submitted before. `false` when the engine is closed.
    pub(crate) fn keep(&self, agent: AgentId, state: serde_json::Value) -> bool {
        self.commands.blocking_send(Command::Checkpoint(agent, state)).is_ok()
    }

    /// The durable entries after `since`, and those that follow: from memory for who keeps up, from the journal for who does not. A slow reader
    /// delays nobody and makes nothing grow; what the journal no longer keeps is told as [`super::EventItem::Missed`].
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # use omnivenue_core::engine::EventItem;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut feed = engine.events(0);
    /// while let Some(item) = feed.next().await? {
    ///     match item {
    ///         EventItem::Entry(entry) => println!("{} {}", entry.seq, entry.event["event"]),
    ///         EventItem::Missed { missed } => println!("no longer kept: {missed:?}"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn events(&self, since: u64) -> EventFeed {
        EventFeed::new(Arc::clone(&self.archive), Arc::clone(&self.events), self.durable.clone(), since)
    }

    /// Makes what was decided durable, stops the engine and gives up the journal. Orders that rest stay at the venues. Stops that the engine
    /// runs are handed to their venues where these can hold them.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// if let Err(error) = engine.shutdown().await {
    ///     // It runs stops that no venue can hold: close these positions first.
    ///     println!("{}: {error}", error.code());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`CommandError::Unprotected`] when a stop would be gone with the engine: it goes on; see [`Self::shutdown_unprotected`].
    /// [`EngineError::Closed`] when it was closed already.
    pub async fn shutdown(&self) -> Result<(), EngineError> {
        self.ask(|answer| Command::Shutdown(false, answer)).await
    }

    /// As [`Self::shutdown`], leaving positions whose stop the engine runs without one. They are looked after again from the next start on.
    ///
    /// ```
    /// # use omnivenue_core::engine::Engine;
    /// # async fn example(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// engine.shutdown_unprotected().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EngineError::Closed`] when it was closed already.
    pub async fn shutdown_unprotected(&self) -> Result<(), EngineError> {
        self.ask(|answer| Command::Shutdown(true, answer)).await
    }
}
