//! The step: one input in, events to write down and effects to carry out.
//!
//! The state has two parts. The [`Book`] is the fold of the journal: every change of it is an event. [`Live`] is what only this process
//! knows (prices, timers, what is in flight) and is rebuilt after a restart. Neither time nor chance nor any call is in here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::approval::Approval;
use super::book::{Book, ExecutionRecord, FoldError};
use super::breakers::{News, Watch};
use super::depeg::Pegs;
use super::drift::{Difference, Truth};
use super::flat::Shown;
use super::groups::GroupLive;
use super::guarding::Leaving;
use super::setup::Setup;
use super::weighing::Scales;
use crate::gates::{Cleared, Heard, Marks, Quotes, Ruling};
use crate::journal::{ConfigChange, Event, ExecutionNumber, Failure, KillMode, KillScope, LegRef, Verdict};
use crate::ledger::{AccountSymbol, PositionKey};
use crate::model::close::{CloseRequest, Lot};
use crate::model::exit::ExitKind;
use crate::model::ids::{AccountId, AgentId, ClientOrderId, DeploymentId, PositionId, SignalId, VenueId, VenueOrderId, VenueSymbol};
use crate::model::number::Quantity;
use crate::model::order::{OrderReport, OrderRequest, OrderState};
use crate::model::signal::{Direction, Signal};
use crate::model::time::Timestamp;
use crate::venue::{AccountSnapshot, Effect as Happened, ErrorKind, Evidence, Prepared, ProbePermission, Quote, Ticket};

/// The present: wall clock for what is agreed with others, a monotonic clock for lengths of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Now {
    /// UTC.
    pub wall: Timestamp,
    /// Microseconds since some fixed instant; never goes back, and counts suspend.
    pub monotonic: u64,
}

/// Names a caller who waits for an answer.
pub type Token = u64;

/// A command that the journal already holds, found in its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// Its execution.
    pub execution: ExecutionNumber,
    /// The hash of its body.
    pub body_hash: String,
}

/// What a wake-up is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A leg may try again.
    Retry(LegRef),
    /// A venue has had its time to answer.
    Deadline(ClientOrderId),
    /// A venue may be asked again what became of an order.
    Probe(ClientOrderId),
    /// An account is due to be compared with the venue's truth.
    Snapshot(AccountId),
    /// A probe has had its time: it is given up and made again.
    ProbeOverdue(ClientOrderId, u32),
    /// A snapshot has had its time: it is given up and fetched again.
    SnapshotOverdue(AccountId, u32),
    /// What must become flat is closed again.
    Pursue(Lot),
    /// An entry leg's exits are looked at again.
    Tend(LegRef),
    /// A position's stop must be confirmed by now.
    Protection(LegRef),
    /// A position has been held for as long as it was meant to be.
    TimeLimit(LegRef),
    /// What became of an exit that travels with an entry is asked, unless it is known.
    Ask(ClientOrderId),
    /// An entry that a kill switch had canceled is looked at again, unless another cancel of it was asked for since.
    CallOff(ClientOrderId, u32),
    /// Whoever wants to close the engine has waited enough.
    Leave,
    /// The legs of a deployment must be decided by now, or half of the time for it is over.
    Group(ExecutionNumber, DeploymentId),
    /// A signal is no longer valid, or a person has not answered in time: a leg of it that was never sent ends.
    Expire(LegRef),
    /// It is looked at how well the venues are.
    Breakers,
    /// Losses are weighed.
    Losses,
}

/// What can come in.
#[derive(Debug)]
pub enum Input {
    /// The journal is replayed; begin.
    Opened {
        /// The version of the software.
        version: &'static str,
        /// The tag of the journal, for a new one.
        namespace: String,
    },
    /// A caller wants a signal carried out.
    Execute {
        /// The signal.
        signal: Box<Signal>,
        /// Its hash, where it has metadata.
        metadata_hash: Option<String>,
        /// What the journal's index says of its id, where it is not at hand.
        archived: Option<Archived>,
        /// When the caller handed it over, by the monotonic clock: timings count from here.
        received: u64,
        /// What user gates said of each leg; nothing where there are none.
        rulings: Option<Vec<Ruling>>,
        /// Whom to answer.
        token: Token,
    },
    /// A caller wants positions closed.
    Close {
        /// Which.
        request: CloseRequest,
        /// What the journal's index says of its id, where it is not at hand.
        archived: Option<Archived>,
        /// Whom to answer.
        token: Token,
    },
    /// An account is ready for a leg's order, or cannot be.
    Ready {
        /// The leg.
        leg: LegRef,
        /// Whether it is ready.
        result: Result<(), Failure>,
    },
    /// An account prepared a leg's order, or could not.
    Prepared {
        /// The leg.
        leg: LegRef,
        /// The order.
        result: Result<Prepared, Failure>,
    },
    /// The intent of an order is durable.
    Durable {
        /// The order.
        order: ClientOrderId,
    },
    /// A venue answered to an order, or failed to.
    Placed {
        /// The order.
        order: ClientOrderId,
        /// What it said.
        result: Result<OrderReport, Failure>,
    },
    /// A stream told of an order.
    Reported {
        /// On which account.
        account: AccountId,
        /// What it said.
        report: OrderReport,
        /// The execution, when it was no longer at hand and the journal had it.
        recalled: Option<Box<ExecutionRecord>>,
    },
    /// A probe came back.
    Probed {
        /// The order.
        order: ClientOrderId,
        /// What it found.
        result: Result<Evidence, Failure>,
    },
    /// The venue's truth about an account.
    Snapshot {
        /// The account.
        account: AccountId,
        /// What it said.
        result: Result<AccountSnapshot, Failure>,
        /// Executions of orders in it that were no longer at hand.
        recalled: Vec<ExecutionRecord>,
    },
    /// A price.
    Quote {
        /// The venue.
        venue: VenueId,
        /// Its quote.
        quote: Quote,
    },
    /// A wake-up that was asked for.
    Timer(Timer),
    /// The kill switch is thrown.
    Kill {
        /// What it stops.
        scope: KillScope,
        /// What it does beside.
        mode: KillMode,
        /// Why.
        reason: String,
        /// Whom to answer.
        token: Token,
    },
    /// The kill switch, or a halt, is lifted.
    Resume {
        /// What it stopped.
        scope: KillScope,
        /// Why.
        reason: String,
        /// Whom to answer.
        token: Token,
    },
    /// A caller wants what rests of an execution canceled.
    Cancel {
        /// The execution.
        execution: ExecutionNumber,
        /// Whom to answer.
        token: Token,
    },
    /// A venue answered to a cancel, or failed to.
    Canceled {
        /// The order.
        order: ClientOrderId,
        /// How it stands.
        result: Result<OrderReport, Failure>,
    },
    /// A person settles an unknown order.
    Resolve {
        /// The order.
        order: ClientOrderId,
        /// The verdict.
        verdict: Verdict,
        /// Why.
        reason: String,
        /// Whom to answer.
        token: Token,
    },
    /// A person answers whether a signal may be carried out.
    Approve {
        /// The answer.
        approval: Approval,
        /// The execution, when it was no longer at hand and the journal had it.
        recalled: Option<Box<ExecutionRecord>>,
        /// Whom to answer.
        token: Token,
    },
    /// Whoever owns the engine wants to close it: refused while a stop depends on it, unless told otherwise.
    Leave {
        /// Leave positions without their stops.
        leave_unprotected: bool,
        /// Whom to answer.
        token: Token,
    },
    /// Compare an account with its venue now.
    Refresh {
        /// The account.
        account: AccountId,
    },
    /// Compare every account with its venue now.
    Reconcile,
    /// A person takes the venue's truth about an account for ours.
    Adopt {
        /// The account.
        account: AccountId,
        /// Why.
        reason: String,
        /// Whom to answer.
        token: Token,
    },
    /// The configuration is another one from now on.
    Reconfigured {
        /// What changed.
        changes: Vec<ConfigChange>,
        /// Whether the breakers count over a window of another length.
        window_changed: bool,
        /// Whom to answer.
        token: Token,
    },
    /// A person wants what was attached to a signal erased.
    EraseMetadata {
        /// The signal's execution.
        execution: ExecutionNumber,
        /// The signal.
        signal: SignalId,
        /// Whom to answer.
        token: Token,
    },
    /// An agent keeps what it must know after a restart.
    Checkpoint {
        /// The agent: one that the configuration does not have keeps nothing.
        agent: AgentId,
        /// In its own words, and within its bound.
        state: serde_json::Value,
    },
    /// The journal can no longer be written.
    JournalFailed {
        /// Why.
        reason: String,
    },
}

/// What is to be carried out.
#[derive(Debug)]
pub enum Effect {
    /// Wait until an account is ready for an order; answer with [`Input::Ready`].
    Ready {
        /// The leg.
        leg: LegRef,
        /// The order it will send.
        request: OrderRequest,
    },
    /// Prepare an order now; answer with [`Input::Prepared`] before any other input.
    Prepare {
        /// The leg.
        leg: LegRef,
        /// The order.
        cleared: Cleared<OrderRequest>,
        /// Its id and nonce.
        ticket: Ticket,
    },
    /// Send an order whose intent is durable; answer with [`Input::Placed`].
    Place {
        /// The account.
        account: AccountId,
        /// The order.
        order: ClientOrderId,
    },
    /// Find out what became of an order; answer with [`Input::Probed`].
    Probe {
        /// The account.
        account: AccountId,
        /// The order.
        order: ClientOrderId,
        /// What the probe may do.
        permission: ProbePermission,
    },
    /// Cancel what rests of an order; answer with [`Input::Canceled`].
    Cancel {
        /// The account.
        account: AccountId,
        /// The instrument.
        symbol: VenueSymbol,
        /// The order.
        order: ClientOrderId,
    },
    /// Fetch the venue's truth about an account; answer with [`Input::Snapshot`].
    Snapshot {
        /// The account.
        account: AccountId,
        /// From when on orders and trades are wanted.
        since: Option<Timestamp>,
    },
    /// Come back later with [`Input::Timer`].
    Wake {
        /// How much later.
        after: Duration,
        /// What for.
        timer: Timer,
    },
    /// Tell a caller that its command is an execution.
    Accepted {
        /// The caller.
        token: Token,
        /// The execution.
        execution: ExecutionNumber,
    },
    /// Tell a caller that an act without an execution was done.
    Done {
        /// The caller.
        token: Token,
    },
    /// Tell a caller that nothing was done, and why.
    Rejected {
        /// The caller.
        token: Token,
        /// Why.
        error: CommandError,
    },
    /// Something about an execution changed.
    Changed {
        /// The execution.
        execution: ExecutionNumber,
    },
    /// An account can trade from now on.
    Recovered {
        /// The account.
        account: AccountId,
    },
}

/// Why a command was not taken. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The id was used before, for something else.
    #[error("{id} was used before with another body; nothing was done: an id is unique for ever")]
    Conflict {
        /// The id.
        id: SignalId,
    },
    /// The command contradicts the configuration.
    #[error("{0}")]
    Invalid(String),
    /// The journal cannot be written.
    #[error("the journal cannot be written ({0}); no entry is taken until the engine is restarted")]
    JournalUnwritable(String),
    /// A stop would be gone with the engine, and no venue can hold it.
    #[error(
        "the engine runs the stops of {0}; they would be gone with it: close these positions, or say that they may be left unprotected"
    )]
    Unprotected(String),
    /// A person has answered otherwise before.
    #[error("{0}")]
    Answered(String),
    /// There is no such order, or nothing to settle about it.
    #[error("{0}")]
    NotFound(String),
    /// Whoever asks may not.
    #[error("{0}")]
    Denied(String),
}

/// An event, and the execution it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What was decided.
    pub event: Event,
    /// The execution, if it is about one.
    pub execution: Option<ExecutionNumber>,
}

/// What a step gives back.
#[derive(Debug, Default)]
pub struct Output {
    /// To be written down, in this order; already folded into the book.
    pub events: Vec<Decided>,
    /// To be carried out, in this order.
    pub effects: Vec<Effect>,
    /// The state machine met what it must not meet; no entry is taken any more.
    pub fault: Option<FoldError>,
}

/// What is compared with what: never anything of two accounts, of both sides where a venue keeps them apart, nor of two positions where it
/// has several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holding {
    pub(super) account: AccountId,
    pub(super) symbol: VenueSymbol,
    /// Where long and short are kept apart.
    pub(super) side: Option<Direction>,
    /// Where there are several of one instrument.
    pub(super) position: Option<PositionId>,
}

impl Holding {
    /// The one that an account has in an instrument where everything is net.
    pub(super) fn net(account: &AccountId, symbol: &VenueSymbol) -> Self {
        Self { account: account.clone(), symbol: symbol.clone(), side: None, position: None }
    }
}

/// An order of somebody else that rests on an account of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignOrder {
    /// The venue.
    pub venue: VenueId,
    /// The account.
    pub account: AccountId,
    /// The instrument.
    pub instrument: VenueSymbol,
    /// Their name of it.
    pub client_order_id: ClientOrderId,
    /// The venue's name of it.
    pub venue_order_id: VenueOrderId,
    /// Always `foreign`: that it rests is all that is known of how it stands.
    pub state: String,
    /// How much of it traded, in base units.
    pub filled_quantity: Quantity,
    /// Always: tells it from orders of ours where both are listed.
    pub foreign: bool,
    /// When the venue told of it, by its clock.
    pub seen_at: Timestamp,
}

/// How an account stands, as this process knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct AccountLive {
    /// Whether it may trade: its unresolved orders were asked for and its snapshot was compared.
    pub(super) ready: bool,
    /// Whether a first snapshot has come in.
    pub(super) compared: bool,
    /// The orders that must be asked for once before it is ready.
    pub(super) to_probe: BTreeSet<ClientOrderId>,
    /// The latest failure, until a call succeeds.
    pub(super) failure: Option<String>,
    /// When its truth was last compared, by the monotonic clock.
    pub(super) compared_at: Option<u64>,
    /// Differences seen once; seen twice they are drift.
    pub(super) suspicion: BTreeMap<Holding, Difference>,
    /// What the venue last said it holds.
    pub(super) truth: Option<Truth>,
    /// Orders of others that rested then.
    pub(super) foreign_orders: Vec<ForeignOrder>,
    /// Whether a snapshot is being fetched.
    pub(super) fetching: bool,
    /// When the next one is due, by the monotonic clock.
    pub(super) due_at: Option<u64>,
    /// Counts the snapshots fetched.
    pub(super) fetches: u32,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Where each snapshot under way began, in [`Live::touches`]; oldest first.
    pub(super) begun: VecDeque<u64>,
    /// What the latest snapshot showed.
    pub(super) shown: Option<Shown>,
}

/// What only this process knows.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) quotes: Quotes,
    pub(super) marks: Marks,
    pub(super) accounts: BTreeMap<AccountId, AccountLive>,
    pub(super) unsent: BTreeSet<ClientOrderId>,
    pub(super) asked_ready: BTreeSet<LegRef>,
    pub(super) probing: BTreeMap<ClientOrderId, ProbeLive>,
    pub(super) started: BTreeMap<ExecutionNumber, u64>,
    /// When an order was handed to its account, since its command came in.
    pub(super) sent_at: BTreeMap<ClientOrderId, Option<u64>>,
    pub(super) journal_failed: Option<String>,
    /// Emergency names used by this process.
    pub(super) emergencies: BTreeMap<PositionKey, u32>,
    /// Entry legs whose deadlines run.
    pub(super) armed: BTreeSet<LegRef>,
    /// When an exit that waits at the venue should have woken, by the monotonic clock.
    pub(super) crossed: BTreeMap<(LegRef, ExitKind), u64>,
    /// When an exit was last asked of the venue.
    pub(super) exits_asked: BTreeMap<(LegRef, ExitKind), ExitAsked>,
    /// Cancels of exits under way, since when.
    pub(super) canceling: BTreeMap<ClientOrderId, u64>,
    /// How often the entries of exits were asked for that told of trades before them.
    pub(super) early_exits: BTreeMap<ClientOrderId, u32>,
    /// Closes that wait for exits to go, since when.
    pub(super) cleared_at: BTreeMap<LegRef, u64>,
    /// Undecided groups of legs, with their deadlines.
    pub(super) groups: BTreeMap<(ExecutionNumber, DeploymentId), GroupLive>,
    /// Legs that are ready and wait for the others of their group, since when.
    pub(super) gathered: BTreeMap<LegRef, u64>,
    /// The leg of a group that is being prepared: its intent comes before anything else.
    pub(super) preparing: Option<LegRef>,
    /// Who waits to close the engine.
    pub(super) leaving: Option<Leaving>,
    /// How well the venues are.
    pub(super) watch: Watch,
    /// Entries that a kill switch wants canceled, and how often that was asked for.
    pub(super) called_off: BTreeMap<ClientOrderId, u32>,
    /// Counts what became known of orders.
    pub(super) touches: u64,
    /// The latest of these at each place.
    pub(super) touched: BTreeMap<AccountSymbol, u64>,
    /// Losses as last weighed.
    pub(super) scales: Scales,
    /// Currencies as their prices tell.
    pub(super) pegs: Pegs,
}

/// When an exit was last asked of the venue, and how often it came to nothing since.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct ExitAsked {
    pub(super) at: u64,
    pub(super) refusals: u32,
}

/// How far the resolver is with an order.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct ProbeLive {
    pub(super) in_flight: bool,
    /// Counts the probes of this order.
    pub(super) asked: u32,
    /// Its bytes were sent more than once: an answer to one of them says nothing of the others.
    pub(super) resent: bool,
    /// A repetition came to nothing: it is not sent again.
    pub(super) refused: bool,
    pub(super) failures: u32,
    /// When it is asked again, by the wall clock.
    pub(super) ask_at: Option<Timestamp>,
}

/// The whole state.
#[derive(Debug, Default)]
pub struct State {
    pub(super) book: Book,
    pub(super) live: Live,
}

impl State {
    /// The state after a replay.
    #[must_use]
    pub fn new(book: Book) -> Self {
        Self { book, live: Live::default() }
    }

    /// What the journal holds.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The latest prices.
    #[must_use]
    pub fn marks(&self) -> &Marks {
        &self.live.marks
    }

    /// The latest quote of an instrument.
    #[must_use]
    pub fn quote(&self, venue: &VenueId, symbol: &VenueSymbol) -> Option<&Quote> {
        self.live.quotes.get(&(venue.clone(), symbol.clone())).map(|heard| &heard.quote)
    }

    /// Whether an account may trade.
    #[must_use]
    pub fn is_ready(&self, account: &AccountId) -> bool {
        self.live.accounts.get(account).is_some_and(|account| account.ready)
    }

    /// Why an account may not trade or was last out of reach, if so.
    #[must_use]
    pub fn account_failure(&self, account: &AccountId) -> Option<&str> {
        self.live.accounts.get(account)?.failure.as_deref()
    }

    /// When an account was last compared with its venue, by the monotonic clock.
    #[must_use]
    pub fn compared_at(&self, account: &AccountId) -> Option<u64> {
        self.live.accounts.get(account)?.compared_at
    }

    /// Orders of others that rested when an account was last compared.
    pub fn foreign_orders(&self) -> impl Iterator<Item = &ForeignOrder> {
        self.live.accounts.values().flat_map(|account| &account.foreign_orders)
    }

    /// When an unknown order is asked for again.
    #[must_use]
    pub fn asked_at(&self, order: &ClientOrderId) -> Option<Timestamp> {
        self.live.probing.get(order)?.ask_at
    }

    /// Why no entry is taken, if the journal or the state machine failed.
    #[must_use]
    pub fn failed(&self) -> Option<&str> {
        self.live.journal_failed.as_deref()
    }
}

/// One step under way.
pub(super) struct Step<'a> {
    pub(super) setup: &'a Setup,
    pub(super) book: &'a mut Book,
    pub(super) live: &'a mut Live,
    pub(super) now: Now,
    pub(super) out: Output,
}

/// Takes one input: changes the state, returns what to write down and what to carry out.
pub fn step(setup: &Setup, state: &mut State, now: Now, input: Input) -> Output {
    let State { book, live } = state;
    let mut step = Step { setup, book, live, now, out: Output::default() };
    step.take(input);
    step.keep_watch();
    step.keep_weighing();
    if let Some(fault) = &step.out.fault {
        step.live.journal_failed = Some(format!("internal fault: {fault}"));
    }
    step.out
}

impl Step<'_> {
    fn take(&mut self, input: Input) {
        match input {
            Input::Opened { version, namespace } => {
                self.open(version, namespace);
                self.watch_pegs();
            }
            Input::Execute { signal, metadata_hash, archived, received, rulings, token } => {
                self.execute(*signal, metadata_hash, archived, (received, rulings), token);
            }
            Input::Close { request, archived, token } => self.close(request, archived, token),
            Input::Ready { leg, result } => self.ready(leg, result),
            Input::Prepared { leg, result } => self.prepared(leg, result),
            Input::Durable { order } => self.durable(&order),
            Input::Placed { order, result } => self.placed(&order, result),
            Input::Reported { account, report, recalled } => {
                if let Some(record) = recalled {
                    self.emit(Event::Recalled(record));
                }
                self.streamed(&account, report);
            }
            Input::Probed { order, result } => self.probed(&order, result),
            Input::Snapshot { account, result, recalled } => {
                for record in recalled {
                    self.emit(Event::Recalled(Box::new(record)));
                }
                let shown = self.shown(&account, result.as_ref().ok());
                self.compare(&account, result);
                self.note_shown(&account, shown);
            }
            Input::Quote { venue, quote } => {
                let key = (venue, quote.symbol.clone());
                self.live.marks.insert(key.clone(), quote.middle());
                self.live.quotes.insert(key.clone(), Heard { quote, heard_at: self.now.monotonic });
                self.heard_price(&key.0);
                self.price_weighs(&key.0, &key.1);
                self.watch(&key.0, &key.1);
            }
            Input::Timer(timer) => self.wake(timer),
            Input::Kill { scope, mode, reason, token } => self.kill(scope, mode, reason, token),
            Input::Resume { scope, reason, token } => self.resume(scope, reason, token),
            Input::Cancel { execution, token } => self.cancel(execution, token),
            Input::Canceled { order, result } => self.canceled(&order, result),
            Input::Resolve { order, verdict, reason, token } => self.resolve(&order, verdict, reason, token),
            Input::Approve { approval, recalled, token } => self.approve(approval, recalled.as_deref(), token),
            Input::Leave { leave_unprotected, token } => self.leave(leave_unprotected, token),
            Input::Refresh { account } => self.fetch(&account),
            Input::Reconcile => self.by_risk().iter().for_each(|account| self.fetch(account)),
            Input::Adopt { account, reason, token } => self.adopt(&account, &reason, token),
            Input::Reconfigured { changes, window_changed, token } => self.reconfigured(changes, window_changed, token),
            Input::EraseMetadata { execution, signal, token } => self.erase_metadata(execution, signal, token),
            Input::Checkpoint { agent, state } => {
                if self.setup.agents.contains_key(&agent) && self.book.checkpoint(&agent) != Some(&state) {
                    self.emit(Event::Checkpointed { agent, state });
                }
            }
            Input::JournalFailed { reason } => self.journal_failed(reason),
        }
    }

    fn wake(&mut self, timer: Timer) {
        match timer {
            Timer::Retry(leg) => self.ask_ready(leg),
            Timer::Deadline(order) => self.deadline(&order),
            Timer::Probe(order) => {
                // A later question was agreed on meanwhile.
                let early = self.live.probing.get(&order).and_then(|probing| probing.ask_at).is_some_and(|at| at > self.now.wall);
                if !early {
                    self.probe(&order);
                }
            }
            Timer::Snapshot(account) => {
                let due = self.live.accounts.get(&account).and_then(|live| live.due_at).is_some_and(|at| at <= self.now.monotonic);
                if due {
                    self.fetch(&account);
                }
            }
            Timer::ProbeOverdue(order, asked) => self.probe_overdue(&order, asked),
            Timer::SnapshotOverdue(account, fetches) => self.snapshot_overdue(&account, fetches),
            Timer::Expire(leg) => self.expire(leg),
            Timer::Pursue(lot) => self.pursue(&lot),
            Timer::Tend(entry) => self.tend(entry),
            Timer::Protection(entry) => self.check_protection(entry),
            Timer::TimeLimit(entry) => self.check_time(entry),
            Timer::Ask(order) => {
                if self.book.order(&order).is_some_and(|order| order.state == OrderState::Sent) {
                    self.probe(&order);
                }
            }
            Timer::CallOff(order, tries) => self.call_off_again(&order, tries),
            Timer::Leave => self.check_leaving(),
            Timer::Group(execution, deployment) => self.check_group(execution, &deployment),
            Timer::Breakers => self.check_breakers(),
            Timer::Losses => self.weigh_in_time(),
        }
    }

    fn resume(&mut self, scope: KillScope, reason: String, token: Token) {
        if let KillScope::Account(account) = &scope
            && self.book.halt(account).is_some()
        {
            self.emit(Event::Unhalted { account: account.clone(), reason: reason.clone() });
            if let Some(live) = self.live.accounts.get_mut(account) {
                live.suspicion.clear();
            }
        }
        self.lift(scope, &reason);
        // What was lifted counts from here.
        self.weigh_losses();
        self.effect(Effect::Done { token });
    }

    /// Folds an event and hands it out to be written down.
    pub(super) fn emit(&mut self, event: Event) {
        // Asked before it is folded: folding may let a finished execution go.
        let execution = event.execution().or_else(|| Some(self.book.leg_of(event.order()?)?.execution));
        match self.book.apply(&event) {
            Ok(()) => {
                let news = News::of(&event);
                self.event_weighs(&event);
                self.out.events.push(Decided { event, execution });
                self.notice(news);
            }
            Err(fault) => self.out.fault = Some(fault),
        }
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.out.effects.push(effect);
    }

    pub(super) fn wake_after(&mut self, after: Duration, timer: Timer) {
        self.effect(Effect::Wake { after, timer });
    }

    /// A call that should have answered long ago, as a failure.
    pub(super) fn overdue(&self) -> Failure {
        let allowed = self.setup.timing.leg_deadline;
        Failure { kind: ErrorKind::Timeout, effect: Happened::Unknown, code: None, message: format!("no answer within {allowed:?}") }
    }

    /// The pause after so many failures in a row.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        let timing = &self.setup.timing;
        timing.backoff_min.saturating_mul(1_u32 << failures.min(16)).min(timing.backoff_max)
    }

    /// Microseconds since the execution's command came in; `None` after a restart.
    pub(super) fn elapsed(&self, execution: ExecutionNumber) -> Option<u64> {
        self.live.started.get(&execution).map(|started| self.now.monotonic.saturating_sub(*started))
    }
}
