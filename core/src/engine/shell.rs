//! The live driver: one thread, one current-thread runtime, real time. It owns the state; everyone else sends it inputs.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::asking::{self, UserGates};
use super::committer::{self, Committed, Committer, Flushes, Work};
use super::env::Env;
use super::feed::EventBuffer;
use super::handle::{Answer, Command, EngineError, OpenError, Parts, Wait};
use super::health::{self, Around};
use super::kernel::{Kernel, Task};
use super::killed::may_lift;
use super::meters;
use super::report::{self, Present};
use crate::agent::{AgentInput, Roster};
use crate::executor::{CommandError, Input, Timer, Token, VenueSetup};
use crate::gates::Ruling;
use crate::journal::{ExecutionNumber, Failure, KillScope};
use crate::model::ids::{AccountId, AgentId, SignalId, VenueId};
use crate::model::instrument::Instrument;
use crate::model::order::{OrderReport, Purpose};
use crate::model::secret::Secret;
use crate::model::signal::Signal;
use crate::venue::{Account, AccountSnapshot, Effect as Happened, ErrorKind, Operation, Quote, Sink, Venue, VenueError};

/// How long entries that a venue could tell us again wait for company before they are flushed.
const LINGER: Duration = Duration::from_millis(20);
/// How long `Wait::Settled` waits at most.
const SETTLE_WAIT: Duration = Duration::from_secs(60);
/// How often gauges are brought up to date while anything happens.
const GAUGE_EVERY: Duration = Duration::from_secs(1);
/// Inputs taken in one go before the batch is sent to the journal.
const BURST: usize = 256;
/// Reports and quotes that may wait on one stream.
const STREAM: usize = 1_024;
/// The pause before a stream that ended is opened again.
const RECONNECT: Duration = Duration::from_millis(250);
/// The longest such pause: venues count connections a minute.
const RECONNECT_MAX: Duration = Duration::from_secs(8);

/// What tasks bring back to the engine.
enum Message {
    Input(Input),
    Report(AccountId, OrderReport),
    Snapshot(AccountId, Result<AccountSnapshot, Failure>),
    Reconnected(AccountId),
    /// A venue that was down says what it trades.
    Loaded(Arc<dyn Venue>, Vec<Instrument>),
    /// User gates were asked about a signal.
    Ruled(SignalId, Vec<Ruling>),
}

/// A caller's signal.
struct Wish {
    signal: Box<Signal>,
    /// When it was handed over, by the monotonic clock.
    received: u64,
    waiter: Waiter,
}

enum Waiter {
    Execution(Wait, Answer<crate::model::execution::Execution>),
    Act(Answer<()>),
    /// Wants to close the engine.
    Leave(Answer<()>),
    /// An agent, told only when its signal is not taken.
    Agent(AgentId, SignalId),
}

/// A caller whose execution is under way.
struct Waiting {
    wait: Wait,
    answer: Answer<crate::model::execution::Execution>,
    /// The entry that must be durable before it is answered.
    seq: u64,
    /// When it is answered whatever the legs do, by the monotonic clock.
    until: u64,
}

/// How often streams at each venue ended and were opened again.
#[derive(Default)]
struct Reconnects(Mutex<BTreeMap<VenueId, u64>>);

impl Reconnects {
    fn note(&self, venue: &VenueId, stream: &'static str) {
        meters::stream_ended(venue, stream);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(venue.clone()).or_default() += 1;
    }

    fn of(&self, venue: &VenueId) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(venue).copied().unwrap_or(0)
    }
}

/// How long to wait before a stream is opened again: longer each time that it ends soon after it began.
struct Patience(Duration);

impl Patience {
    const fn new() -> Self {
        Self(RECONNECT)
    }

    /// After a stream that lasted so many microseconds.
    fn after(&mut self, lasted: u64) -> Duration {
        if lasted >= micros(RECONNECT_MAX) {
            self.0 = RECONNECT;
        }
        let pause = self.0;
        self.0 = (self.0 * 2).min(RECONNECT_MAX);
        pause
    }
}

struct Shell {
    env: Arc<dyn Env>,
    kernel: Kernel,
    messages: mpsc::UnboundedSender<Message>,
    journal: Option<std_mpsc::Sender<Work>>,
    flushes: Arc<Flushes>,
    head: watch::Sender<u64>,
    events: Arc<EventBuffer>,
    /// Streams that ended, by venue.
    reconnects: Arc<Reconnects>,
    /// When the gauges were last brought up to date, by the monotonic clock.
    gauged_at: u64,
    committing: bool,
    linger_until: Option<u64>,
    timers: BTreeMap<(u64, u64), Timer>,
    timer_count: u64,
    next_token: Token,
    callers: BTreeMap<Token, Waiter>,
    /// Answered, but resting on entries that are not durable yet.
    acts: Vec<(u64, Answer<()>)>,
    waiting: BTreeMap<ExecutionNumber, Vec<Waiting>>,
    deadlines: BTreeSet<(u64, ExecutionNumber)>,
    recovering: BTreeSet<AccountId>,
    opened: Option<oneshot::Sender<Result<(), OpenError>>>,
    open_until: u64,
    last_snapshot: u64,
    /// Entries between two snapshots of the state.
    snapshot_every: u64,
    agents: Roster,
    /// Calls under way that change something at a venue: a shutdown waits for their answers, within their deadline.
    writes: u64,
    /// Whoever is told once the engine has stopped, from when on it stops.
    stop: Option<Answer<()>>,
    /// What lifts the kill switch.
    kill_secret: Option<Secret>,
    gates: UserGates,
    /// Signals about which user gates are being asked, each with whoever sent it since.
    asking: BTreeMap<SignalId, Vec<Wish>>,
    /// What agents keep once these were asked.
    checkpoints: BTreeMap<AgentId, serde_json::Value>,
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

/// The engine's thread.
pub(super) fn run(
    parts: Parts,
    inbox: mpsc::Receiver<Command>,
    head: (watch::Sender<u64>, Arc<EventBuffer>),
    opened: oneshot::Sender<Result<(), OpenError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(opened.send(Err(OpenError::Thread(error)))),
    };
    runtime.block_on(async move {
        let (messages, arrivals) = mpsc::unbounded_channel();
        let (done, commits) = mpsc::unbounded_channel();
        match open(parts, messages, head, done).await {
            Err(error) => drop(opened.send(Err(error))),
            Ok((mut shell, namespace)) => {
                shell.opened = Some(opened);
                shell.take(Input::Opened { version: env!("CARGO_PKG_VERSION"), namespace });
                shell.turn(inbox, arrivals, commits).await;
            }
        }
    });
    // A task that hangs in a venue must not keep the process: the runtime is dropped without waiting for it.
    runtime.shutdown_background();
}

async fn open(
    parts: Parts,
    messages: mpsc::UnboundedSender<Message>,
    (head, events): (watch::Sender<u64>, Arc<EventBuffer>),
    done: mpsc::UnboundedSender<Committed>,
) -> Result<(Shell, String), OpenError> {
    let Parts { env, mut setup, venues, accounts, journal, archive, namespace, recovery_wait, kill_secret, user_gates } = parts;
    let mut gates = UserGates::new(Arc::clone(&env));
    for gate in user_gates {
        gates.add(gate).map_err(|error| OpenError::Setup(error.to_string()))?;
    }
    // All at once, and none longer than it may take: a venue that is down costs its own legs only.
    let loading: Vec<_> = venues.iter().map(|venue| tokio::spawn(tokio::time::timeout(recovery_wait, load(Arc::clone(venue))))).collect();
    let mut quotes: Vec<(VenueId, Quote)> = Vec::new();
    let mut down: Vec<Arc<dyn Venue>> = Vec::new();
    for (venue, loading) in venues.iter().zip(loading) {
        let id = venue.id().clone();
        match loading.await {
            Ok(Ok(Ok((instruments, prices)))) => {
                setup.venues.insert(id.clone(), VenueSetup::new(venue.capabilities().clone(), instruments, &setup.assets));
                quotes.extend(prices.into_iter().map(|quote| (id.clone(), quote)));
            }
            outcome => {
                let why = match outcome {
                    Ok(Ok(Err(error))) => error.to_string(),
                    Ok(Err(_)) => format!("no answer within {recovery_wait:?}"),
                    _ => "the adapter panicked".to_owned(),
                };
                tracing::warn!(venue = %id, %why, "the venue is down; its legs are skipped until it answers");
                down.push(Arc::clone(venue));
            }
        }
    }
    for (deployment, share) in
        setup.deployments.iter().flat_map(|(id, deployment)| deployment.accounts.iter().map(move |share| (id, share)))
    {
        for named in std::iter::once(&share.account).chain(&share.fallback) {
            if !setup.accounts.contains_key(named) || !accounts.iter().any(|account| account.id() == named) {
                return Err(OpenError::Setup(format!("deployment {deployment} names the account {named}, which is not open")));
            }
        }
    }
    let recovering = setup.accounts.keys().cloned().collect();
    let mut kernel = Kernel::open(setup, accounts.clone(), archive)?;
    kernel.observe(env.now());
    head.send_replace(kernel.durable());
    let snapshot_every = journal.snapshot_every();
    let Committer { work, flushes } = committer::start(&env, journal, done)?;
    let open_until = env.now().monotonic.saturating_add(micros(recovery_wait));
    let last_snapshot = kernel.latest_snapshot();
    let mut shell = Shell {
        env,
        kernel,
        messages,
        journal: Some(work),
        flushes,
        head,
        events,
        reconnects: Arc::default(),
        gauged_at: 0,
        committing: false,
        linger_until: None,
        timers: BTreeMap::new(),
        timer_count: 0,
        next_token: 0,
        callers: BTreeMap::new(),
        acts: Vec::new(),
        waiting: BTreeMap::new(),
        deadlines: BTreeSet::new(),
        recovering,
        opened: None,
        open_until,
        last_snapshot,
        snapshot_every,
        agents: Roster::default(),
        writes: 0,
        stop: None,
        kill_secret,
        gates,
        asking: BTreeMap::new(),
        checkpoints: BTreeMap::new(),
    };
    for (venue, quote) in quotes {
        shell.take(Input::Quote { venue, quote });
    }
    down.into_iter().for_each(|venue| shell.load_later(venue));
    venues.into_iter().for_each(|venue| shell.follow_quotes(venue));
    accounts.into_iter().for_each(|account| shell.follow_account(account));
    Ok((shell, namespace))
}

/// What a venue trades, and at which prices: those that are missing now come with the stream.
async fn load(venue: Arc<dyn Venue>) -> Result<(Vec<Instrument>, Vec<Quote>), VenueError> {
    let instruments = venue.instruments().await?;
    let prices = tokio::time::timeout(RECONNECT * 8, venue.quotes()).await;
    Ok((instruments, prices.ok().and_then(Result::ok).unwrap_or_default()))
}

impl Shell {
    /// Turns until it is told to stop.
    async fn turn(
        &mut self,
        mut inbox: mpsc::Receiver<Command>,
        mut arrivals: mpsc::UnboundedReceiver<Message>,
        mut commits: mpsc::UnboundedReceiver<Committed>,
    ) {
        let mut stop_until = u64::MAX;
        loop {
            self.flush(self.stop.is_some());
            self.announce_open();
            let now = self.env.now().monotonic;
            if now >= self.gauged_at.saturating_add(micros(GAUGE_EVERY)) {
                self.gauged_at = now;
                self.kernel.gauge();
            }
            if self.stop.is_some() {
                let patience = micros(self.kernel.setup().timing.leg_deadline);
                stop_until = stop_until.min(now.saturating_add(patience));
                if !self.committing && !self.kernel.has_entries() && (self.writes == 0 || now >= stop_until) {
                    break;
                }
            }
            let pause = self
                .next_wake()
                .into_iter()
                .chain(self.stop.is_some().then_some(stop_until))
                .min()
                .map_or(Duration::from_secs(3600), |at| Duration::from_micros(at.saturating_sub(now)));
            let sleep = self.env.sleep(pause);
            tokio::select! {
                biased;
                Some(committed) = commits.recv() => self.committed(committed),
                Some(message) = arrivals.recv() => self.arrived(message),
                command = inbox.recv(), if self.stop.is_none() => match command {
                    Some(command) => self.command(command),
                    // Every handle is gone.
                    None => self.stop = Some(oneshot::channel().0),
                },
                () = sleep => self.wake(),
            }
            // Whatever else has come meanwhile shares the flush.
            for _ in 0..BURST {
                if let Ok(committed) = commits.try_recv() {
                    self.committed(committed);
                } else if let Ok(message) = arrivals.try_recv() {
                    self.arrived(message);
                } else if self.stop.is_some() {
                    break;
                } else if let Ok(command) = inbox.try_recv() {
                    self.command(command);
                } else {
                    break;
                }
            }
        }
        // Dropping the sender ends the journal's thread, which closes the file and gives up its lock.
        self.journal = None;
        while commits.recv().await.is_some() {}
        if let Some(answer) = self.stop.take() {
            let _ = answer.send(Ok(()));
        }
    }

    fn take(&mut self, input: Input) {
        let tasks = self.kernel.input(self.env.now(), input);
        self.carry_out(tasks);
    }

    fn arrived(&mut self, message: Message) {
        let now = self.env.now();
        if let Message::Input(Input::Quote { venue, quote }) = &message {
            self.agents.quote(now.wall, venue, quote);
        }
        if let Message::Input(Input::Placed { .. } | Input::Canceled { .. }) = &message {
            self.writes = self.writes.saturating_sub(1);
        }
        let tasks = match message {
            Message::Input(input) => self.kernel.input(now, input),
            Message::Report(account, report) => self.kernel.report(now, account, report),
            Message::Snapshot(account, result) => self.kernel.snapshot(now, account, result),
            Message::Loaded(venue, instruments) => {
                let tasks = self.kernel.open_venue(now, venue.id(), venue.capabilities().clone(), instruments);
                self.agents.resolve(self.kernel.setup());
                tasks
            }
            Message::Reconnected(account) => self.kernel.input(now, Input::Refresh { account }),
            Message::Ruled(id, rulings) => return self.ruled(&id, rulings),
        };
        self.carry_out(tasks);
    }

    /// Takes a signal: at once, or once the user gates were asked about it.
    fn execute(&mut self, wish: Wish) {
        if let Some(waiting) = self.asking.get_mut(&wish.signal.id) {
            return waiting.push(wish);
        }
        if self.gates.is_empty() || self.kernel.may_know(&wish.signal.id) {
            return self.execute_ruled(wish, None);
        }
        let (setup, state) = (self.kernel.setup(), self.kernel.state());
        let questions = asking::questions(setup, state, &wish.signal, self.env.now().wall);
        let asked = self.gates.ask(questions, setup.timing.user_gate_deadline);
        let (messages, id) = (self.messages.clone(), wish.signal.id.clone());
        self.asking.insert(id.clone(), vec![wish]);
        tokio::spawn(async move {
            let rulings = asked.await;
            let _ = messages.send(Message::Ruled(id, rulings));
        });
    }

    /// The user gates have answered, or have had their time.
    fn ruled(&mut self, id: &SignalId, rulings: Vec<Ruling>) {
        let mut waiting = self.asking.remove(id).unwrap_or_default().into_iter();
        if self.stop.is_some() {
            // Nothing new is taken any more: whoever waits hears that the engine is closed.
            return;
        }
        if let Some(first) = waiting.next() {
            self.execute_ruled(first, Some(rulings));
        }
        // What came after it is the same signal, another one of its name, or the first was none.
        waiting.for_each(|wish| self.execute(wish));
        let held: Vec<AgentId> = self.checkpoints.keys().filter(|agent| !self.is_asking_for(agent)).cloned().collect();
        for agent in held {
            if let Some(state) = self.checkpoints.remove(&agent) {
                self.take(Input::Checkpoint { agent, state });
            }
        }
    }

    /// Whether user gates are being asked about a signal of this agent.
    fn is_asking_for(&self, agent: &AgentId) -> bool {
        self.asking.values().flatten().any(|wish| wish.signal.agent == *agent)
    }

    fn execute_ruled(&mut self, wish: Wish, rulings: Option<Vec<Ruling>>) {
        let Wish { signal, received, waiter } = wish;
        let token = self.next_token;
        self.next_token += 1;
        self.callers.insert(token, waiter);
        let tasks = self.kernel.execute_ruled(self.env.now(), received, *signal, rulings, token);
        self.carry_out(tasks);
    }

    fn command(&mut self, command: Command) {
        let now = self.env.now();
        let token = self.next_token;
        self.next_token += 1;
        let state = self.kernel.state();
        let tasks = match command {
            Command::Execute(signal, received, wait, answer) => {
                return self.execute(Wish { signal, received, waiter: Waiter::Execution(wait, answer) });
            }
            Command::AddGate(gate, answer) => return drop(answer.send(self.gates.add(gate).map_err(EngineError::from))),
            Command::Close(request, wait, answer) => {
                self.callers.insert(token, Waiter::Execution(wait, answer));
                self.kernel.close(now, request, token)
            }
            Command::Cancel(id, answer) => {
                self.callers.insert(token, Waiter::Act(answer));
                self.kernel.cancel(now, &id, token)
            }
            Command::Approve(id, deployment, approved, reason, wait, answer) => {
                self.callers.insert(token, Waiter::Execution(wait, answer));
                self.kernel.approve(now, &id, deployment, approved, reason, token)
            }
            Command::Resolve(order, verdict, reason, answer) => {
                self.callers.insert(token, Waiter::Act(answer));
                self.kernel.input(now, Input::Resolve { order, verdict, reason, token })
            }
            Command::Kill(scope, mode, reason, answer) => {
                self.callers.insert(token, Waiter::Act(answer));
                self.kernel.input(now, Input::Kill { scope, mode, reason, token })
            }
            Command::Resume(scope, reason, secret, answer) => {
                if let Err(error) = may_lift(state.book(), &scope, self.kill_secret.as_ref(), secret.as_ref()) {
                    return drop(answer.send(Err(error.into())));
                }
                self.callers.insert(token, Waiter::Act(answer));
                self.kernel.input(now, Input::Resume { scope, reason, token })
            }
            Command::Reconcile(answer) => {
                let tasks = self.kernel.input(now, Input::Reconcile);
                let _ = answer.send(Ok(()));
                tasks
            }
            Command::Reconfigure(setup, changes, answer) => {
                self.callers.insert(token, Waiter::Act(answer));
                self.kernel.reconfigure(now, *setup, changes, token)
            }
            Command::EraseMetadata(id, answer) => {
                self.callers.insert(token, Waiter::Act(answer));
                self.kernel.erase_metadata(now, &id, token)
            }
            Command::Adopt(account, reason, answer) => {
                self.callers.insert(token, Waiter::Act(answer));
                self.kernel.input(now, Input::Adopt { account, reason, token })
            }
            Command::ForeignOrders(answer) => return drop(answer.send(Ok(state.foreign_orders().cloned().collect()))),
            Command::Execution(id, answer) => return drop(answer.send(self.find(&id))),
            Command::Positions(answer) => {
                return drop(answer.send(Ok(self.kernel.positions())));
            }
            Command::Orders(answer) => return drop(answer.send(Ok(report::orders(state.book())))),
            Command::Fills(answer) => return drop(answer.send(Ok(report::fills(state.book())))),
            Command::Equity(answer) => {
                return drop(answer.send(Ok(self.kernel.equity())));
            }
            Command::Health(answer) => {
                let around = Around {
                    events: &self.events,
                    agents: self.agents.statuses(now.monotonic),
                    flushes: self.flushes.told(),
                    reconnects: &|venue| self.reconnects.of(venue),
                };
                return drop(answer.send(Ok(health::complete(&self.kernel, now, around))));
            }
            Command::Availability(asset, answer) => return drop(answer.send(Ok(self.kernel.availability(now, &asset)))),
            Command::KillReports(scope, answer) => {
                let scopes: Vec<KillScope> = match scope {
                    Some(scope) => vec![scope],
                    None => state.book().kills().map(|(scope, _)| scope.clone()).collect(),
                };
                return drop(answer.send(Ok(scopes.iter().filter_map(|scope| self.kernel.kill_report(scope)).collect())));
            }
            Command::Recruit(agent, shared, answer) => {
                if !self.kernel.setup().agents.contains_key(&agent) {
                    let words = format!("the configuration has no agent {agent}");
                    return drop(answer.send(Err(CommandError::Invalid(words).into())));
                }
                self.agents.recruit(&agent, shared);
                return drop(answer.send(Ok(())));
            }
            Command::Enlist(channel, wanted, lost) => return self.agents.attach(&self.kernel, channel, wanted, lost),
            Command::Detach(agent, answer) => {
                let found = self.agents.detach(self.kernel.setup(), &agent);
                let missing = || CommandError::NotFound(format!("no agent {agent} is at work")).into();
                return drop(answer.send(if found { Ok(()) } else { Err(missing()) }));
            }
            Command::Emit(signal, received) => {
                let waiter = Waiter::Agent(signal.agent.clone(), signal.id.clone());
                return self.execute(Wish { signal, received, waiter });
            }
            Command::Checkpoint(agent, state) => {
                if self.is_asking_for(&agent) {
                    // What an agent keeps must not be durable before the signals that it knows of.
                    return drop(self.checkpoints.insert(agent, state));
                }
                self.kernel.input(now, Input::Checkpoint { agent, state })
            }
            Command::Shutdown(leave_unprotected, answer) => {
                self.callers.insert(token, Waiter::Leave(answer));
                self.kernel.input(now, Input::Leave { leave_unprotected, token })
            }
        };
        self.carry_out(tasks);
    }

    fn present(&self) -> Present<'_> {
        Present { setup: self.kernel.setup(), state: self.kernel.state() }
    }

    fn find(&self, id: &crate::model::ids::SignalId) -> Result<Option<crate::model::execution::Execution>, EngineError> {
        Ok(self.kernel.published(id)?)
    }

    fn carry_out(&mut self, tasks: Vec<Task>) {
        for task in tasks {
            match task {
                Task::Ready { account, leg, request } => self.call(
                    account,
                    Operation::Ready,
                    move |account| async move {
                        let result = account.ready(&request).await;
                        Message::Input(Input::Ready { leg, result: result.map_err(|e| Failure::from(&e)) })
                    },
                    move |failure| Message::Input(Input::Ready { leg, result: Err(failure) }),
                ),
                Task::Place { account, order } => {
                    self.writes += 1;
                    let id = order.client_order_id().clone();
                    let lost = id.clone();
                    self.call(
                        account,
                        Operation::Place,
                        move |account| async move {
                            let result = account.place(&order).await;
                            Message::Input(Input::Placed { order: id, result: result.map_err(|e| Failure::from(&e)) })
                        },
                        move |failure| Message::Input(Input::Placed { order: lost, result: Err(failure) }),
                    );
                }
                Task::Probe { account, order, permission } => {
                    let id = order.client_order_id().clone();
                    let lost = id.clone();
                    self.call(
                        account,
                        Operation::Probe,
                        move |account| async move {
                            let result = account.probe(&order, permission).await;
                            Message::Input(Input::Probed { order: id, result: result.map_err(|e| Failure::from(&e)) })
                        },
                        move |failure| Message::Input(Input::Probed { order: lost, result: Err(failure) }),
                    );
                }
                Task::Cancel { account, symbol, order } => {
                    self.writes += 1;
                    let lost = order.clone();
                    self.call(
                        account,
                        Operation::Cancel,
                        move |account| async move {
                            let result = account.cancel(&symbol, &order).await;
                            Message::Input(Input::Canceled { order, result: result.map_err(|e| Failure::from(&e)) })
                        },
                        move |failure| Message::Input(Input::Canceled { order: lost, result: Err(failure) }),
                    );
                }
                Task::Snapshot { account, since } => {
                    let (id, lost) = (account.clone(), account.clone());
                    self.call(
                        account,
                        Operation::Snapshot,
                        move |account| async move {
                            let result = account.snapshot(since).await;
                            Message::Snapshot(id, result.map_err(|e| Failure::from(&e)))
                        },
                        move |failure| Message::Snapshot(lost, Err(failure)),
                    );
                }
                Task::Wake { after, timer } => {
                    let at = self.env.now().monotonic.saturating_add(micros(after));
                    self.timer_count += 1;
                    self.timers.insert((at, self.timer_count), timer);
                }
                Task::Answer { token, result, seq } => self.answer(token, result, seq),
                Task::Changed { execution } => {
                    self.agents.changed(&self.kernel, execution);
                    self.changed(execution);
                }
                Task::Recovered { account } => drop(self.recovering.remove(&account)),
            }
        }
    }

    /// Calls an account on the engine's runtime. A panic in the adapter is an error of that call alone.
    fn call<F>(
        &self,
        id: AccountId,
        operation: Operation,
        call: impl FnOnce(Arc<dyn Account>) -> F,
        lost: impl FnOnce(Failure) -> Message + Send + 'static,
    ) where
        F: Future<Output = Message> + Send + 'static,
    {
        let messages = self.messages.clone();
        let Some(account) = self.kernel.account(&id).cloned() else { return };
        let venue = account.venue().id().clone();
        let running = tokio::spawn(call(account));
        tokio::spawn(async move {
            let message = match running.await {
                Ok(message) => message,
                Err(_) => {
                    // What it did before it panicked is not known.
                    let error = VenueError::new(&venue, operation, ErrorKind::Internal, Happened::Unknown, "the adapter panicked");
                    lost(Failure::from(&error))
                }
            };
            let _ = messages.send(message);
        });
    }

    fn answer(&mut self, token: Token, result: Result<Option<ExecutionNumber>, CommandError>, seq: u64) {
        match (self.callers.remove(&token), result) {
            (None, _) => {}
            (Some(Waiter::Agent(agent, signal)), Err(error)) => {
                let error = EngineError::from(error);
                let (code, reason) = (error.code().to_owned(), error.to_string());
                tracing::warn!(%agent, signal_id = %signal, code, reason, "the agent's signal was not taken");
                self.agents.refuse(&agent, AgentInput::Refused { signal, code, reason });
            }
            (Some(Waiter::Agent(..)), Ok(_)) => {}
            (Some(Waiter::Execution(_, answer)), Err(error)) => drop(answer.send(Err(error.into()))),
            (Some(Waiter::Act(answer) | Waiter::Leave(answer)), Err(error)) => drop(answer.send(Err(error.into()))),
            (Some(Waiter::Leave(answer)), Ok(_)) => self.stop = Some(answer),
            (Some(Waiter::Act(answer)), Ok(_)) if self.kernel.has_failed() => {
                // It holds in this process, and cannot be promised beyond it.
                let reason = self.kernel.state().failed().unwrap_or_default().to_owned();
                let _ = answer.send(Err(CommandError::JournalUnwritable(reason).into()));
            }
            (Some(Waiter::Act(answer)), Ok(_)) => self.acts.push((seq, answer)),
            (Some(Waiter::Execution(wait, answer)), Ok(Some(execution))) => {
                let patience = match wait {
                    Wait::Settled => SETTLE_WAIT,
                    // The deadline starts when the order is sent, after the flush.
                    _ => self.kernel.setup().timing.leg_deadline + Duration::from_millis(250),
                };
                let until = self.env.now().monotonic.saturating_add(micros(patience));
                self.waiting.entry(execution).or_default().push(Waiting { wait, answer, seq, until });
                self.deadlines.insert((until, execution));
                self.changed(execution);
            }
            (Some(Waiter::Execution(_, answer)), Ok(None)) => drop(answer.send(Err(EngineError::Closed))),
        }
    }

    /// Answers whoever waits for an execution and has waited enough.
    fn changed(&mut self, number: ExecutionNumber) {
        let Some(waiting) = self.waiting.remove(&number) else { return };
        let record = match self.kernel.execution(number) {
            Ok(Some(record)) => record,
            Ok(None) => {
                let gone = || crate::journal::StoreError::NotKept("what was asked for".to_owned());
                return waiting.into_iter().for_each(|one| {
                    self.deadlines.remove(&(one.until, number));
                    let _ = one.answer.send(Err(EngineError::Store(gone())));
                });
            }
            Err(error) => {
                let words = error.to_string();
                return waiting
                    .into_iter()
                    .for_each(|one| drop(one.answer.send(Err(EngineError::Store(crate::journal::StoreError::Io(words.clone()))))));
            }
        };
        if self.kernel.has_failed() && record.purpose() == Purpose::Entry {
            // What became of it in this process is not written down, and may be something else after a restart.
            let reason = self.kernel.state().failed().unwrap_or_default().to_owned();
            return waiting.into_iter().for_each(|one| {
                self.deadlines.remove(&(one.until, number));
                let _ = one.answer.send(Err(CommandError::JournalUnwritable(reason.clone()).into()));
            });
        }
        let now = self.env.now().monotonic;
        let durable = if self.kernel.has_failed() { u64::MAX } else { self.kernel.durable() };
        let mut still = Vec::new();
        for one in waiting {
            let enough = match one.wait {
                Wait::Journaled => true,
                Wait::Acknowledged => report::is_acknowledged(&record),
                Wait::Settled => report::is_settled(&record),
            };
            if durable >= one.seq && (enough || now >= one.until) {
                self.deadlines.remove(&(one.until, number));
                let _ = one.answer.send(Ok(report::execution(&record, Some(self.present()))));
            } else if !one.answer.is_closed() {
                still.push(one);
            }
        }
        if !still.is_empty() {
            self.waiting.insert(number, still);
        }
    }

    /// Sends the gathered entries to the journal, one batch at a time: what comes meanwhile shares the next flush.
    fn flush(&mut self, now_or_never: bool) {
        if self.committing || !self.kernel.has_entries() {
            return;
        }
        let now = self.env.now().monotonic;
        if !self.kernel.is_urgent() && !now_or_never {
            let until = *self.linger_until.get_or_insert(now.saturating_add(micros(LINGER)));
            if now < until {
                return;
            }
        }
        self.linger_until = None;
        let Some(batch) = self.kernel.take_batch() else { return };
        self.committing = true;
        let sent = self.journal.as_ref().is_some_and(|journal| journal.send(Work::Commit(batch)).is_ok());
        if sent {
            self.keep_snapshot();
        } else {
            self.committing = false;
            self.journal_failed("the journal's thread has ended".into());
        }
    }

    fn committed(&mut self, committed: Committed) {
        self.committing = false;
        match committed {
            Ok(batch) => {
                self.events.push(&batch.entries);
                let tasks = self.kernel.committed(self.env.now(), batch);
                let durable = self.kernel.durable();
                self.head.send_replace(durable);
                self.carry_out(tasks);
                let (ready, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.acts).into_iter().partition(|(seq, _)| *seq <= durable);
                self.acts = later;
                ready.into_iter().for_each(|(_, answer)| drop(answer.send(Ok(()))));
                let waiting: Vec<ExecutionNumber> =
                    self.waiting.iter().filter(|(_, all)| all.iter().any(|one| one.seq <= durable)).map(|(n, _)| *n).collect();
                waiting.into_iter().for_each(|number| self.changed(number));
            }
            Err(error) => self.journal_failed(error.to_string()),
        }
    }

    /// A failed flush is fatal to entries: nothing that rests on it is sent, and whoever waits for it is told.
    fn journal_failed(&mut self, reason: String) {
        tracing::error!(%reason, "the journal cannot be written: no entry is taken any more");
        self.take(Input::JournalFailed { reason: reason.clone() });
        let durable = self.kernel.durable();
        for (seq, answer) in std::mem::take(&mut self.acts) {
            let result = if seq <= durable { Ok(()) } else { Err(CommandError::JournalUnwritable(reason.clone()).into()) };
            let _ = answer.send(result);
        }
        let waiting: Vec<ExecutionNumber> = self.waiting.keys().copied().collect();
        waiting.into_iter().for_each(|number| self.changed(number));
        // What was gathered has nowhere to go.
        drop(self.kernel.take_batch());
    }

    /// Keeps the state now and then, so that a start need not replay everything. Called right after a batch was handed over: the book is the
    /// fold of exactly what the journal will have once it has written that, and it writes in order.
    fn keep_snapshot(&mut self) {
        let seq = self.kernel.seq();
        if seq < self.last_snapshot + self.snapshot_every {
            return;
        }
        self.last_snapshot = seq;
        let book = Box::new(self.kernel.state().book().clone());
        if let Some(journal) = &self.journal {
            let _ = journal.send(Work::Snapshot(seq, book));
        }
    }

    fn next_wake(&self) -> Option<u64> {
        let timer = self.timers.keys().next().map(|(at, _)| *at);
        let deadline = self.deadlines.iter().next().map(|(at, _)| *at);
        let linger = if self.committing { None } else { self.linger_until };
        let open = self.opened.as_ref().map(|_| self.open_until);
        let candle = self.agents.next_close().map(|at| {
            let now = self.env.now();
            now.monotonic.saturating_add(micros(at.since(now.wall)))
        });
        [timer, deadline, linger, open, candle].into_iter().flatten().min()
    }

    fn wake(&mut self) {
        let now = self.env.now();
        self.agents.close(now.wall);
        let now = now.monotonic;
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let timer = entry.remove();
            self.take(Input::Timer(timer));
        }
        while let Some((at, number)) = self.deadlines.first().copied() {
            if at > now {
                break;
            }
            self.deadlines.remove(&(at, number));
            self.changed(number);
        }
    }

    /// Tells the opener once every account has recovered and that is durable, or once it has waited enough.
    fn announce_open(&mut self) {
        let waited = self.env.now().monotonic >= self.open_until;
        let recovered = self.recovering.is_empty() && !self.kernel.has_entries() && !self.committing;
        if (recovered || waited)
            && let Some(opened) = self.opened.take()
        {
            let _ = opened.send(Ok(()));
        }
    }

    /// Asks a venue that is down again and again what it trades.
    fn load_later(&self, venue: Arc<dyn Venue>) {
        let (messages, env) = (self.messages.clone(), Arc::clone(&self.env));
        let patience = self.kernel.setup().timing.leg_deadline;
        tokio::spawn(async move {
            let mut pause = RECONNECT;
            while !messages.is_closed() {
                env.sleep(pause).await;
                pause = (pause * 2).min(RECONNECT_MAX);
                if let Ok(Ok(Ok((instruments, _)))) = tokio::spawn(tokio::time::timeout(patience, load(Arc::clone(&venue)))).await {
                    let _ = messages.send(Message::Loaded(venue, instruments));
                    return;
                }
            }
        });
    }

    fn follow_quotes(&self, venue: Arc<dyn Venue>) {
        let (messages, env, reconnects) = (self.messages.clone(), Arc::clone(&self.env), Arc::clone(&self.reconnects));
        let (sink, mut quotes) = Sink::bounded(STREAM);
        let id = venue.id().clone();
        let forward = messages.clone();
        tokio::spawn(async move {
            while let Some(quote) = quotes.recv().await {
                if forward.send(Message::Input(Input::Quote { venue: id.clone(), quote })).is_err() {
                    break;
                }
                // Let the engine look at it before the next: a flood of prices must not pile up in front of orders.
                tokio::task::yield_now().await;
            }
        });
        tokio::spawn(async move {
            let mut patience = Patience::new();
            while !messages.is_closed() {
                let began = env.now().monotonic;
                // On a task of its own: a panic in the adapter ends that stream, not the following of it.
                let (stream, sink) = (Arc::clone(&venue), sink.clone());
                match tokio::spawn(async move { stream.stream_quotes(sink).await }).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(venue = %venue.id(), %error, "the stream of prices ended"),
                    Err(_) => tracing::error!(venue = %venue.id(), "the adapter panicked in the stream of prices"),
                }
                reconnects.note(venue.id(), "prices");
                env.sleep(patience.after(env.now().monotonic.saturating_sub(began))).await;
            }
        });
    }

    fn follow_account(&self, account: Arc<dyn Account>) {
        let (messages, env, reconnects) = (self.messages.clone(), Arc::clone(&self.env), Arc::clone(&self.reconnects));
        let (sink, mut reports) = Sink::bounded(STREAM);
        let id = account.id().clone();
        let forward = messages.clone();
        tokio::spawn(async move {
            while let Some(report) = reports.recv().await {
                if forward.send(Message::Report(id.clone(), report)).is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        });
        tokio::spawn(async move {
            let mut patience = Patience::new();
            while !messages.is_closed() {
                let began = env.now().monotonic;
                let (stream, sink) = (Arc::clone(&account), sink.clone());
                match tokio::spawn(async move { stream.stream(sink).await }).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(account = %account.id(), %error, "the stream of orders ended"),
                    Err(_) => tracing::error!(account = %account.id(), "the adapter panicked in the stream of orders"),
                }
                reconnects.note(account.venue().id(), "orders");
                env.sleep(patience.after(env.now().monotonic.saturating_sub(began))).await;
                // What was missed meanwhile is in the venue's truth.
                let _ = messages.send(Message::Reconnected(account.id().clone()));
            }
        });
    }
}
