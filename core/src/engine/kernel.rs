//! The state machine between its journal and its accounts: what both drivers, the live shell and the simulator, turn.
//!
//! It runs the step, has orders prepared at once, gathers entries into batches, and hands out an order only when the batch with its intent
//! is durable: the one place where [`Journaled`] is made. It knows no clock, no runtime and no thread.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::killed::{KillReport, kill_report};
use super::pending::Pending;
use super::report::{self, FillSummary, Health, Present};
use super::telemetry::Telemetry;
use crate::executor::{
    Approval, Archived, Availability, Book, CommandError, Effect, ExecutionRecord, FoldError, Input, Now, Setup, State, Timer, Token,
    VenueSetup, step,
};
use crate::gates::Ruling;
use crate::journal::{Archive, ConfigChange, Entry, Event, ExecutionNumber, Failure, IndexKey, Journaled, KillScope, LegRef, StoreError};
use crate::model::close::{CloseRequest, CloseTarget};
use crate::model::execution::{EquityReport, Execution, PositionReport};
use crate::model::ids::{AccountId, AgentId, Asset, ClientOrderId, DeploymentId, SignalId, VenueId, VenueSymbol};
use crate::model::instrument::Instrument;
use crate::model::order::OrderRequest;
use crate::model::signal::{Signal, hex};
use crate::model::time::Timestamp;
use crate::venue::{Account, AccountSnapshot, Capabilities, Effect as Happened, ErrorKind, Prepared, ProbePermission};

/// What a driver carries out.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "tasks are made one at a time and live shortly")]
pub enum Task {
    /// Await [`Account::ready`]; answer with [`Input::Ready`].
    Ready {
        /// The account.
        account: AccountId,
        /// The leg.
        leg: LegRef,
        /// Its order.
        request: OrderRequest,
    },
    /// Await [`Account::place`]; answer with [`Input::Placed`].
    Place {
        /// The account.
        account: AccountId,
        /// The order, proved durable.
        order: Journaled<Prepared>,
    },
    /// Await [`Account::probe`]; answer with [`Input::Probed`].
    Probe {
        /// The account.
        account: AccountId,
        /// The order, proved durable.
        order: Journaled<Prepared>,
        /// What the probe may do.
        permission: ProbePermission,
    },
    /// Await [`Account::cancel`]; answer with [`Input::Canceled`].
    Cancel {
        /// The account.
        account: AccountId,
        /// The instrument.
        symbol: VenueSymbol,
        /// The order.
        order: ClientOrderId,
    },
    /// Await [`Account::snapshot`]; answer through [`Kernel::snapshot`].
    Snapshot {
        /// The account.
        account: AccountId,
        /// From when on.
        since: Option<Timestamp>,
    },
    /// Come back later with [`Input::Timer`].
    Wake {
        /// How much later.
        after: Duration,
        /// What for.
        timer: Timer,
    },
    /// Answer a caller once everything up to `seq` is durable.
    Answer {
        /// The caller.
        token: Token,
        /// Its execution, nothing for an act without one, or why nothing was done.
        result: Result<Option<ExecutionNumber>, CommandError>,
        /// The last entry the answer rests on.
        seq: u64,
    },
    /// Look whether anyone waits for this execution.
    Changed {
        /// The execution.
        execution: ExecutionNumber,
    },
    /// The account can trade.
    Recovered {
        /// The account.
        account: AccountId,
    },
}

/// Entries to make durable as one.
#[derive(Debug)]
pub struct Batch {
    /// In order.
    pub entries: Vec<Entry>,
    orders: Vec<ClientOrderId>,
    last: u64,
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its entries contradict one another.
    #[error("entry {seq} of the journal contradicts what came before it: {source}")]
    Fold {
        /// The entry.
        seq: u64,
        /// The contradiction.
        source: FoldError,
    },
    /// Its snapshot cannot be read.
    #[error("the snapshot at entry {seq} cannot be read: {reason}")]
    Snapshot {
        /// The entry.
        seq: u64,
        /// What is wrong.
        reason: String,
    },
}

/// How many orders are remembered as traded in full.
const WHOLE: usize = 65_536;

/// How many entries are read at once.
const PAGE: usize = 1_000;

/// What a journal tells.
#[derive(Debug)]
pub struct Replayed {
    /// The fold of all its entries.
    pub book: Book,
    /// Its last entry.
    pub seq: u64,
    /// The entry up to which a snapshot told; 0 without one.
    pub snapshot: u64,
}

/// Replays a journal: the latest snapshot, then every entry after it.
///
/// # Errors
/// [`ReplayError`] names the entry that cannot be read or folded.
pub fn replay(archive: &dyn Archive) -> Result<Replayed, ReplayError> {
    let (mut book, snapshot) = match archive.latest_snapshot()? {
        Some(snapshot) => {
            let unreadable = |e: serde_json::Error| ReplayError::Snapshot { seq: snapshot.seq, reason: e.to_string() };
            let book: Book = serde_json::from_str(&snapshot.state).map_err(unreadable)?;
            // What an older snapshot lacks, the journal itself has.
            if book.is_whole() { (book, snapshot.seq) } else { (Book::default(), 0) }
        }
        None => (Book::default(), 0),
    };
    let mut seq = snapshot;
    loop {
        let page = archive.entries_after(seq, PAGE)?;
        let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(Replayed { book, seq, snapshot }) };
        if first.seq != seq + 1 {
            let reason = "it is no longer in the journal, and no snapshot says what came of it; restore a backup".to_owned();
            return Err(StoreError::Unreadable { seq: seq + 1, reason }.into());
        }
        let end = last.seq;
        for entry in &page {
            book.apply(&entry.event()?).map_err(|source| ReplayError::Fold { seq: entry.seq, source })?;
        }
        seq = end;
    }
}

/// The state machine between its journal and its accounts.
pub struct Kernel {
    setup: Setup,
    state: State,
    accounts: BTreeMap<AccountId, Arc<dyn Account>>,
    archive: Arc<dyn Archive>,
    seq: u64,
    /// The entry up to which the snapshot told that it was opened with.
    latest_snapshot: u64,
    durable: u64,
    entries: Vec<Entry>,
    orders: Vec<ClientOrderId>,
    urgent: bool,
    /// The journal cannot be written: nothing is gathered for it any more.
    journal_failed: bool,
    pending: Pending,
    /// Orders no longer at hand that are known to have traded in full.
    whole: BTreeSet<ClientOrderId>,
    /// Metadata of a signal under way, until its entry takes it.
    metadata: Option<String>,
    /// Who tells of what happens, where anyone does.
    telemetry: Option<Box<Telemetry>>,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("seq", &self.seq).field("durable", &self.durable).finish_non_exhaustive()
    }
}

impl Kernel {
    /// Replays the journal. The first input must be [`Input::Opened`].
    ///
    /// # Errors
    /// [`ReplayError`] when the journal cannot be replayed.
    pub fn open(setup: Setup, accounts: Vec<Arc<dyn Account>>, archive: Arc<dyn Archive>) -> Result<Self, ReplayError> {
        let Replayed { book, seq, snapshot } = replay(&*archive)?;
        let accounts = accounts.into_iter().map(|account| (account.id().clone(), account)).collect();
        let state = State::new(book);
        Ok(Self {
            setup,
            state,
            accounts,
            archive,
            seq,
            latest_snapshot: snapshot,
            durable: seq,
            entries: Vec::new(),
            orders: Vec::new(),
            urgent: false,
            journal_failed: false,
            pending: Pending::default(),
            whole: BTreeSet::new(),
            metadata: None,
            telemetry: None,
        })
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// From now on what happens is told: as lines in the log, and as numbers.
    pub(super) fn observe(&mut self, now: Now) {
        self.telemetry = Some(Box::new(Telemetry::new(&self.setup, now)));
    }

    /// Brings the gauges up to date.
    pub(super) fn gauge(&mut self) {
        if let Some(telemetry) = &mut self.telemetry {
            telemetry.gauge(&self.setup, &self.state, (self.seq, self.durable));
        }
    }

    pub(super) fn telemetry(&self) -> Option<&Telemetry> {
        self.telemetry.as_deref()
    }

    /// The journal's reader.
    pub(super) fn archive(&self) -> &Arc<dyn Archive> {
        &self.archive
    }

    /// The configuration.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What a latch of the kill switch has come to; `None` when it is not on for this scope.
    #[must_use]
    pub fn kill_report(&self, scope: &KillScope) -> Option<KillReport> {
        let present = Present { setup: &self.setup, state: &self.state };
        kill_report(self.state.book(), &self.setup, Some(present), scope)
    }

    /// One of its accounts.
    #[must_use]
    pub fn account(&self, id: &AccountId) -> Option<&Arc<dyn Account>> {
        self.accounts.get(id)
    }

    /// The number of the last entry decided.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The entry up to which a snapshot told when the journal was opened; 0 without one.
    #[must_use]
    pub const fn latest_snapshot(&self) -> u64 {
        self.latest_snapshot
    }

    /// The number of the last entry that is durable.
    #[must_use]
    pub const fn durable(&self) -> u64 {
        self.durable
    }

    /// Takes a signal.
    pub fn execute(&mut self, now: Now, signal: Signal, token: Token) -> Vec<Task> {
        self.execute_received(now, now.monotonic, signal, token)
    }

    /// Takes a signal that a caller handed over at `received`, by the monotonic clock: its timings count from there.
    pub fn execute_received(&mut self, now: Now, received: u64, signal: Signal, token: Token) -> Vec<Task> {
        self.execute_ruled(now, received, signal, None, token)
    }

    /// Takes a signal of whose legs user gates were asked.
    pub fn execute_ruled(&mut self, now: Now, received: u64, mut signal: Signal, rulings: Option<Vec<Ruling>>, token: Token) -> Vec<Task> {
        let archived = match self.archived(&signal.id) {
            Ok(archived) => archived,
            Err(error) => return vec![self.refuse(token, &error)],
        };
        let metadata = std::mem::take(&mut signal.metadata);
        let text = (!metadata.is_empty()).then(|| serde_json::Value::Object(metadata).to_string());
        let metadata_hash = text.as_ref().map(|text| hex(&Sha256::digest(text.as_bytes())));
        self.metadata = text;
        let tasks = self.input(now, Input::Execute { signal: Box::new(signal), metadata_hash, archived, received, rulings, token });
        self.metadata = None;
        tasks
    }

    /// Takes a wish to cancel what rests of a signal.
    pub fn cancel(&mut self, now: Now, id: &SignalId, token: Token) -> Vec<Task> {
        let missing = |words: String| vec![Task::Answer { token, result: Err(CommandError::NotFound(words)), seq: 0 }];
        match self.execution_of(id) {
            Ok(Some(execution)) => self.input(now, Input::Cancel { execution, token }),
            Ok(None) => missing(format!("there never was a signal {id}")),
            Err(error) => vec![self.refuse(token, &error)],
        }
    }

    /// Takes a wish to erase what was attached to a signal.
    pub fn erase_metadata(&mut self, now: Now, id: &SignalId, token: Token) -> Vec<Task> {
        let missing = |words: String| vec![Task::Answer { token, result: Err(CommandError::NotFound(words)), seq: 0 }];
        let found =
            self.execution_of(id).and_then(|number| Ok((number, number.map(|number| self.execution(number)).transpose()?.flatten())));
        match found {
            Err(error) => vec![self.refuse(token, &error)],
            Ok((None, _)) => missing(format!("there never was a signal {id}")),
            Ok((Some(_), None)) => missing(format!("the entries of {id} are no longer kept, and what was attached to it went with them")),
            Ok((Some(_), Some(record))) if record.admission.metadata_hash.is_none() => missing(format!("nothing was attached to {id}")),
            Ok((Some(execution), Some(_))) => self.input(now, Input::EraseMetadata { execution, signal: id.clone(), token }),
        }
    }

    /// Takes another configuration, all of it or nothing. What is open stays as it is; only what comes is decided by it.
    pub fn reconfigure(&mut self, now: Now, setup: Setup, changes: Vec<ConfigChange>, token: Token) -> Vec<Task> {
        let refused = |error| vec![Task::Answer { token, result: Err(error), seq: 0 }];
        if let Some(reason) = self.state.failed() {
            return refused(CommandError::JournalUnwritable(reason.to_owned()));
        }
        if let Err(unchangeable) = self.setup.can_become(&setup) {
            return refused(CommandError::Invalid(format!("{unchangeable}; nothing was changed")));
        }
        let window_changed = self.setup.breakers.window != setup.breakers.window;
        let venues = std::mem::take(&mut self.setup.venues);
        let assets = std::mem::take(&mut self.setup.assets);
        self.setup = Setup { venues, assets, ..setup };
        self.input(now, Input::Reconfigured { changes, window_changed, token })
    }

    /// Takes a person's answer whether a signal may be carried out.
    pub fn approve(
        &mut self,
        now: Now,
        id: &SignalId,
        deployment: Option<DeploymentId>,
        approved: bool,
        reason: String,
        token: Token,
    ) -> Vec<Task> {
        let found = self.execution_of(id).and_then(|number| {
            let away = number.filter(|number| self.state.book().execution(*number).is_none());
            Ok((number, away.map(|number| self.rebuild(number)).transpose()?.flatten()))
        });
        match found {
            Ok((Some(execution), recalled)) => {
                let approval = Approval { execution, deployment, approved, reason };
                self.input(now, Input::Approve { approval, recalled: recalled.map(Box::new), token })
            }
            Ok((None, _)) => {
                let error = CommandError::NotFound(format!("there never was a signal {id}"));
                vec![Task::Answer { token, result: Err(error), seq: 0 }]
            }
            Err(error) => vec![self.refuse(token, &error)],
        }
    }

    /// Takes a request to close.
    pub fn close(&mut self, now: Now, request: CloseRequest, token: Token) -> Vec<Task> {
        if let CloseTarget::Signal(signal) = &request.target
            && let Ok(None) = self.execution_of(signal)
        {
            let error = CommandError::NotFound(format!("there never was a signal {signal}"));
            return vec![Task::Answer { token, result: Err(error), seq: 0 }];
        }
        match self.archived(&request.id) {
            Ok(archived) => self.input(now, Input::Close { request, archived, token }),
            Err(error) => vec![self.refuse(token, &error)],
        }
    }

    /// Takes what a stream told of an order; one that is no longer at hand is found in the journal.
    pub fn report(&mut self, now: Now, account: AccountId, report: crate::model::order::OrderReport) -> Vec<Task> {
        let recalled = self.recall(&report.client_order_id).map(Box::new);
        if recalled.is_none() && self.is_not_kept(&report.client_order_id) {
            return Vec::new();
        }
        self.input(now, Input::Reported { account, report, recalled })
    }

    /// Takes the venue's truth about an account.
    pub fn snapshot(&mut self, now: Now, account: AccountId, result: Result<AccountSnapshot, Failure>) -> Vec<Task> {
        let mut recalled: BTreeMap<ExecutionNumber, ExecutionRecord> = BTreeMap::new();
        let result = result.map(|mut snapshot| {
            // Of an order that is no longer at hand, only what its record does not know yet is worth bringing it back.
            snapshot.fills.retain(|fill| {
                let Some(id) = &fill.client_order_id else { return true };
                if self.whole.contains(id) {
                    return false;
                }
                let Some(record) = self.recall(id) else { return !self.is_not_kept(id) };
                let news = record.order(id).is_none_or(|order| !order.trades.contains_key(&fill.trade_id));
                if news {
                    recalled.insert(record.admission.number, record);
                }
                news
            });
            snapshot.orders.retain(|report| {
                let id = &report.client_order_id;
                if self.whole.contains(id) {
                    return false;
                }
                let Some(record) = self.recall(id) else { return !self.is_not_kept(id) };
                let number = record.admission.number;
                if record.order(id).is_none_or(|order| report.filled_quantity > order.reported) {
                    recalled.insert(number, record);
                }
                recalled.contains_key(&number)
            });
            snapshot
        });
        self.input(now, Input::Snapshot { account, result, recalled: recalled.into_values().collect() })
    }

    /// A venue that was down when the engine opened says what it trades: its accounts recover now.
    pub fn open_venue(&mut self, now: Now, venue: &VenueId, capabilities: Capabilities, instruments: Vec<Instrument>) -> Vec<Task> {
        self.setup.venues.insert(venue.clone(), VenueSetup::new(capabilities, instruments, &self.setup.assets));
        let of_venue = self.setup.accounts.iter().filter(|(_, account)| account.venue == *venue);
        let accounts: Vec<AccountId> = of_venue.map(|(id, _)| id.clone()).collect();
        accounts.into_iter().flat_map(|account| self.input(now, Input::Refresh { account })).collect()
    }

    /// Takes one input, and every order it has prepared.
    pub fn input(&mut self, now: Now, input: Input) -> Vec<Task> {
        let mut tasks = Vec::new();
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.journal_failed |= matches!(input, Input::JournalFailed { .. });
            if let Some(telemetry) = &mut self.telemetry {
                telemetry.heard(&self.setup, &self.state, now, &input);
            }
            let output = step(&self.setup, &mut self.state, now, input);
            if let Some(fault) = &output.fault {
                tracing::error!(%fault, "the state machine met what it must not meet; no entry is taken any more");
            }
            for decided in output.events {
                if let Some(telemetry) = &mut self.telemetry {
                    telemetry.decided(self.state.book(), self.seq + 1, &decided.event, decided.execution);
                }
                if !self.journal_failed {
                    self.record(now.wall, decided.event, decided.execution);
                } else if let Event::Prepared(intent) = decided.event {
                    // Its name was reserved by an entry that is durable: it rests on that one.
                    inputs.push_back(Input::Durable { order: intent.client_order_id().clone() });
                }
            }
            for effect in output.effects {
                self.dispatch(effect, &mut inputs, &mut tasks);
            }
        }
        if let Some(telemetry) = &self.telemetry {
            tasks.iter().for_each(|task| telemetry.carries_out(self.state.book(), task));
        }
        tasks
    }

    /// Whether answers need not wait for the journal any more: it will not be written again.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.journal_failed
    }

    /// The entries to make durable next. `urgent` ones carry what only we know; others may wait for company.
    pub fn take_batch(&mut self) -> Option<Batch> {
        if self.entries.is_empty() {
            return None;
        }
        self.urgent = false;
        Some(Batch { entries: std::mem::take(&mut self.entries), orders: std::mem::take(&mut self.orders), last: self.seq })
    }

    /// Whether something waits for the next batch to be durable.
    #[must_use]
    pub const fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Whether anything waits to be made durable.
    #[must_use]
    pub fn has_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    /// The batch is durable: its orders may go out.
    pub fn committed(&mut self, now: Now, batch: Batch) -> Vec<Task> {
        self.durable = batch.last;
        self.pending.durable(batch.last);
        batch.orders.into_iter().flat_map(|order| self.input(now, Input::Durable { order })).collect()
    }

    /// The record of an execution: at hand, or from the journal.
    ///
    /// # Errors
    /// [`StoreError`] when the journal cannot be read.
    pub fn execution(&self, number: ExecutionNumber) -> Result<Option<ExecutionRecord>, StoreError> {
        match self.state.book().execution(number) {
            Some(record) => Ok(Some(record.clone())),
            None => self.rebuild(number),
        }
    }

    /// The execution of a signal or request, at hand or in the journal.
    ///
    /// # Errors
    /// [`StoreError`] when the journal cannot be read.
    pub fn execution_of(&self, id: &SignalId) -> Result<Option<ExecutionNumber>, StoreError> {
        match self.state.book().execution_of(id) {
            Some(number) => Ok(Some(number)),
            None => self.away(id),
        }
    }

    /// Whether a signal or request was ever taken, or cannot be said not to have been.
    pub(super) fn may_know(&self, id: &SignalId) -> bool {
        !matches!(self.execution_of(id), Ok(None))
    }

    /// The execution of a signal that is no longer at hand.
    fn away(&self, id: &SignalId) -> Result<Option<ExecutionNumber>, StoreError> {
        match self.pending.signal(id) {
            Some(number) => Ok(Some(number)),
            None => self.archive.execution_of_signal(id),
        }
    }

    /// The record of an execution that is no longer at hand: from the journal, and from what is on its way there.
    fn rebuild(&self, number: ExecutionNumber) -> Result<Option<ExecutionRecord>, StoreError> {
        rebuild(&*self.archive, number, self.pending.events(number)?)
    }

    /// What became of a signal or request, in its published form; `None` when it never was.
    ///
    /// # Errors
    /// [`StoreError`] when the journal cannot be read.
    pub fn published(&self, id: &SignalId) -> Result<Option<Execution>, StoreError> {
        let Some(number) = self.execution_of(id)? else { return Ok(None) };
        let record = self.execution(number)?.ok_or_else(|| StoreError::NotKept(id.to_string()))?;
        let record = Some(record);
        Ok(record.map(|record| report::execution(&record, Some(Present { setup: &self.setup, state: &self.state }))))
    }

    /// An execution at hand, in its published form.
    #[must_use]
    pub fn told_of(&self, number: ExecutionNumber) -> Option<Execution> {
        let record = self.state.book().execution(number)?;
        Some(report::execution(record, Some(Present { setup: &self.setup, state: &self.state })))
    }

    /// The trades of an execution at hand, each with the agent whose it is.
    #[must_use]
    pub fn fills_of(&self, number: ExecutionNumber) -> Vec<(AgentId, FillSummary)> {
        self.state.book().execution(number).map(report::fills_of).unwrap_or_default()
    }

    /// Open virtual positions, in the published form.
    #[must_use]
    pub fn positions(&self) -> Vec<PositionReport> {
        let present = Present { setup: &self.setup, state: &self.state };
        let agent_of = |id: &DeploymentId| self.setup.deployments.get(id).map(|deployment| deployment.agent.clone());
        report::positions(self.state.book(), self.state.marks(), Some(present), agent_of)
    }

    /// Money by account and deployment, in the published form.
    #[must_use]
    pub fn equity(&self) -> Vec<EquityReport> {
        report::equity(self.state.book(), self.state.marks(), Some(&self.setup))
    }

    /// How things stand, in the published form.
    #[must_use]
    pub fn health(&self, now: Now) -> Health {
        report::health(&self.setup, &self.state, now.monotonic, (self.seq, self.durable))
    }

    /// Where an asset could be traded now; see [`State::availability`].
    #[must_use]
    pub fn availability(&mut self, now: Now, asset: &Asset) -> Vec<Availability> {
        self.state.availability(&self.setup, now, asset)
    }

    fn archived(&self, id: &SignalId) -> Result<Option<Archived>, StoreError> {
        if self.state.book().execution_of(id).is_some() {
            return Ok(None);
        }
        let Some(execution) = self.away(id)? else { return Ok(None) };
        let known = match self.rebuild(execution)? {
            Some(record) => Some(record.admission.body_hash),
            None => self.archive.body_hash_of(id)?,
        };
        // An id that is known and of which nothing is known is never taken for a new one.
        let body_hash = known.ok_or_else(|| StoreError::NotKept(id.to_string()))?;
        Ok(Some(Archived { execution, body_hash }))
    }

    fn refuse(&self, token: Token, error: &StoreError) -> Task {
        Task::Answer { token, result: Err(CommandError::JournalUnwritable(error.to_string())), seq: 0 }
    }

    /// The execution of an order of ours that is no longer at hand. Costs a read of the journal: not done twice for an order of which all
    /// has traded, since nothing more can come of it.
    fn recall(&mut self, order: &ClientOrderId) -> Option<ExecutionRecord> {
        let record = self.look_up(order)?;
        let whole = record.order(order).is_some_and(|order| order.filled.quantity >= order.prepared().request.quantity);
        if whole {
            if self.whole.len() >= WHOLE {
                self.whole.clear();
            }
            self.whole.insert(order.clone());
        }
        Some(record)
    }

    /// Whether an order is one of ours whose entries the journal no longer holds: nothing can be booked on it any more. Where it traded after
    /// all, what the venue holds differs from our books, and that is seen as any difference is.
    fn is_not_kept(&self, order: &ClientOrderId) -> bool {
        let book = self.state.book();
        if book.leg_of(order).is_some() || book.namespace().is_empty() || !order.as_str().starts_with(book.namespace()) {
            return false;
        }
        let known = self.pending.order(order).is_none() && matches!(self.archive.execution_of_order(order), Ok(Some(_)));
        let gone = known && self.look_up(order).is_none();
        if gone {
            tracing::debug!(client_order_id = %order, "the venue tells of an order whose entries are no longer kept");
        }
        gone
    }

    fn look_up(&self, order: &ClientOrderId) -> Option<ExecutionRecord> {
        let book = self.state.book();
        if book.leg_of(order).is_some() || book.namespace().is_empty() || !order.as_str().starts_with(book.namespace()) {
            return None;
        }
        let number = match self.pending.order(order) {
            Some(number) => number,
            None => self.archive.execution_of_order(order).ok()??,
        };
        self.rebuild(number).ok()?
    }

    fn record(&mut self, at: Timestamp, event: Event, execution: Option<ExecutionNumber>) {
        self.seq += 1;
        let mut metadata = None;
        let index = match &event {
            Event::Admitted(admission) => {
                if admission.metadata_hash.is_some() {
                    metadata = self.metadata.take();
                }
                Some(IndexKey::Signal(admission.command.id().clone()))
            }
            Event::Prepared(intent) => {
                self.orders.push(intent.client_order_id().clone());
                Some(IndexKey::Order(intent.client_order_id().clone()))
            }
            Event::MetadataErased { signal, .. } => Some(IndexKey::Erased(signal.clone())),
            _ => None,
        };
        // What a venue can tell again may wait; what only we know may not.
        let told = matches!(&event, Event::Adjusted(adjustment) if adjustment.kind.is_told());
        self.urgent |= !told
            && !matches!(
                event,
                Event::Reported { .. }
                    | Event::BecameUnknown { .. }
                    | Event::Recalled(_)
                    | Event::GuardMoved { .. }
                    | Event::LossPeak { .. }
                    | Event::Checkpointed { .. }
            );
        let kind = event.kind();
        let body = serde_json::to_string(&event).expect("events are plain data and always serialize").into();
        let entry = Entry { seq: self.seq, at, kind, body, execution, index, metadata };
        self.pending.push(&entry);
        self.entries.push(entry);
    }

    fn dispatch(&mut self, effect: Effect, inputs: &mut VecDeque<Input>, tasks: &mut Vec<Task>) {
        let seq = self.seq;
        match effect {
            Effect::Ready { leg, request } => match self.poll_ready(&request) {
                Some(result) => inputs.push_back(Input::Ready { leg, result }),
                None => tasks.push(Task::Ready { account: request.account.clone(), leg, request }),
            },
            Effect::Prepare { leg, cleared, ticket } => {
                let result = match self.accounts.get(&cleared.get().account) {
                    None => Err(internal("the account is not open")),
                    Some(account) => catch_unwind(AssertUnwindSafe(|| account.prepare(cleared, ticket))).map_or_else(
                        |_| Err(internal("the adapter panicked while it prepared the order")),
                        |made| made.map_err(|e| Failure::from(&e)),
                    ),
                };
                // Before any other input: nothing may come between a clearance and its intent.
                inputs.push_front(Input::Prepared { leg, result });
            }
            Effect::Place { account, order } => {
                if let Some(order) = self.witness(&order) {
                    tasks.push(Task::Place { account, order });
                }
            }
            Effect::Probe { account, order, permission } => {
                if let Some(order) = self.witness(&order) {
                    tasks.push(Task::Probe { account, order, permission });
                }
            }
            Effect::Cancel { account, symbol, order } => tasks.push(Task::Cancel { account, symbol, order }),
            Effect::Snapshot { account, since } => tasks.push(Task::Snapshot { account, since }),
            Effect::Wake { after, timer } => tasks.push(Task::Wake { after, timer }),
            Effect::Accepted { token, execution } => tasks.push(Task::Answer { token, result: Ok(Some(execution)), seq }),
            Effect::Done { token } => tasks.push(Task::Answer { token, result: Ok(None), seq }),
            Effect::Rejected { token, error } => tasks.push(Task::Answer { token, result: Err(error), seq: 0 }),
            Effect::Changed { execution } => tasks.push(Task::Changed { execution }),
            Effect::Recovered { account } => tasks.push(Task::Recovered { account }),
        }
    }

    /// The order, proved durable: its intent was in a batch that was committed, in this process or before it.
    fn witness(&self, id: &ClientOrderId) -> Option<Journaled<Prepared>> {
        let order = self.state.book().order(id)?;
        Some(Journaled::witnessed(Prepared::from_journal(order.prepared().clone())))
    }

    /// Asks an account once whether it is ready; `None` when it must be awaited.
    fn poll_ready(&self, request: &OrderRequest) -> Option<Result<(), Failure>> {
        let Some(account) = self.accounts.get(&request.account) else { return Some(Err(internal("the account is not open"))) };
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let ready = pin!(account.ready(request));
            ready.poll(&mut Context::from_waker(Waker::noop()))
        }));
        match polled {
            Ok(Poll::Ready(result)) => Some(result.map_err(|error| Failure::from(&error))),
            Ok(Poll::Pending) => None,
            Err(_) => Some(Err(internal("the adapter panicked"))),
        }
    }
}

/// A fault of ours before anything was sent.
fn internal(words: &str) -> Failure {
    Failure { kind: ErrorKind::Internal, effect: Happened::Refused, code: None, message: words.to_owned() }
}

/// The record of an execution from its entries in the journal, and from numbered events that may follow them.
///
/// # Errors
/// [`StoreError`] when the entries cannot be read.
pub fn rebuild(archive: &dyn Archive, number: ExecutionNumber, more: Vec<(u64, Event)>) -> Result<Option<ExecutionRecord>, StoreError> {
    let entries = archive.entries_of(number)?;
    let last = entries.last().map_or(0, |entry| entry.seq);
    let events = entries.iter().map(|entry| entry.event()).collect::<Result<Vec<_>, _>>()?;
    // The journal may have them already, and not have said so yet.
    let more = more.into_iter().filter(|(seq, _)| *seq > last).map(|(_, event)| event);
    Book::rebuild(events.into_iter().chain(more)).map_err(|e| StoreError::Io(format!("execution {number} contradicts itself: {e}")))
}
