//! Whoever emits signals: synchronous, on a thread of its own, with nothing to hold that anyone else waits for.
//!
//! An agent is told of what happens through a bounded queue and answers by emitting into a [`Context`]. If it blocks, its own queue fills and
//! drops; if it panics, it ends, alone. Neither the engine nor another agent notices.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use crate::engine::{AgentHealth, Engine, note_dropped};
use crate::model::execution::Execution;
use crate::model::ids::{AgentId, SignalId, VenueId};
use crate::model::signal::{Signal, SignalError};
use crate::venue::Quote;

/// Inputs that may wait for one agent; beyond that they are dropped and counted.
pub const QUEUE: usize = 1_024;

/// What an agent is told.
#[derive(Debug, Clone)]
pub enum AgentInput {
    /// It was attached.
    Started,
    /// A price changed.
    Quote {
        /// The venue.
        venue: VenueId,
        /// Its quote.
        quote: Quote,
    },
    /// Something became of a signal of its own.
    Execution(Box<Execution>),
}

/// Emits signals. Runs on a thread of its own, one input at a time; may take as long as it likes.
pub trait Agent: Send {
    /// Whose signals they are: an agent of the configuration.
    fn id(&self) -> &AgentId;

    /// Takes one input, and emits whatever follows from it.
    fn handle(&mut self, input: &AgentInput, context: &mut Context<'_>);
}

/// Where an agent emits while it handles one input.
#[derive(Debug)]
pub struct Context<'a> {
    agent: &'a AgentId,
    emitted: Vec<Signal>,
}

impl Context<'_> {
    /// Emits a signal. Its id is made of the agent, `trigger` and how many were emitted before it while handling this input, so that the
    /// same trigger handled again after a crash gives the same ids and doubles nothing: name the trigger after what caused it (a candle's
    /// time, a tweet's id), never after a clock or chance.
    ///
    /// # Errors
    /// [`SignalError`] when the trigger cannot be part of an id, or the signal `make` returns is not valid.
    pub fn emit(&mut self, trigger: &str, make: impl FnOnce(SignalId, AgentId) -> Signal) -> Result<SignalId, SignalError> {
        let text = format!("{}/{trigger}/{}", self.agent, self.emitted.len());
        let id = SignalId::new(&text).map_err(|e| SignalError::Form { id: Some(text.clone()), reason: e.to_string() })?;
        let signal = make(id.clone(), self.agent.clone());
        signal.check().map_err(|reason| SignalError::Form { id: Some(text), reason })?;
        self.emitted.push(signal);
        Ok(id)
    }
}

/// An agent at work. Dropping the handle lets it go on until the engine closes.
#[derive(Debug, Clone)]
pub struct AgentHandle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    ended: AtomicBool,
    panicked: AtomicBool,
    dropped: AtomicU64,
}

impl AgentHandle {
    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::Acquire)
    }

    /// Whether it ended by a panic.
    #[must_use]
    pub fn has_panicked(&self) -> bool {
        self.shared.panicked.load(Ordering::Acquire)
    }

    /// Inputs it missed because its queue was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

/// The engine's end of an agent's queue.
#[derive(Debug)]
pub(crate) struct AgentQueue {
    pub(crate) agent: AgentId,
    sender: mpsc::SyncSender<AgentInput>,
    shared: Arc<Shared>,
}

impl AgentQueue {
    /// How the agent is.
    pub(crate) fn health(&self) -> AgentHealth {
        let ended = self.shared.ended.load(Ordering::Acquire);
        let status = match ended {
            _ if self.shared.panicked.load(Ordering::Acquire) => "panicked",
            true => "ended",
            false => "running",
        };
        AgentHealth { agent: self.agent.clone(), status: status.into(), dropped: self.shared.dropped.load(Ordering::Relaxed) }
    }

    /// Tells the agent, if it has room; `false` once it has ended.
    pub(crate) fn tell(&self, input: AgentInput) -> bool {
        match self.sender.try_send(input) {
            Ok(()) => true,
            Err(mpsc::TrySendError::Full(_)) => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                note_dropped("agent_inputs", 1);
                true
            }
            Err(mpsc::TrySendError::Disconnected(_)) => false,
        }
    }
}

/// What runs on the agent's thread, and the two ends that stay outside.
pub(crate) fn start(mut agent: Box<dyn Agent>, engine: Engine) -> (AgentQueue, AgentHandle, Box<dyn FnOnce() + Send>) {
    let (sender, inputs) = mpsc::sync_channel(QUEUE);
    let shared = Arc::new(Shared::default());
    let id = agent.id().clone();
    let queue = AgentQueue { agent: id.clone(), sender, shared: Arc::clone(&shared) };
    let handle = AgentHandle { shared: Arc::clone(&shared) };
    let body = move || {
        for input in inputs {
            let mut context = Context { agent: &id, emitted: Vec::new() };
            if catch_unwind(AssertUnwindSafe(|| agent.handle(&input, &mut context))).is_err() {
                tracing::error!(agent = %id, "the agent panicked; it emits no more");
                shared.panicked.store(true, Ordering::Release);
                break;
            }
            // What one input gave is sent on before the next is looked at; if the engine is busy, this agent waits, and nobody else.
            if context.emitted.into_iter().any(|signal| !engine.submit(signal)) {
                break;
            }
        }
        shared.ended.store(true, Ordering::Release);
    };
    (queue, handle, Box::new(body))
}
