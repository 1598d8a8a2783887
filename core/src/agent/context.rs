//! Where an agent puts what follows from an input.

use std::time::Duration;

use serde_json::Value;

use crate::executor::Now;
use crate::model::ids::{AgentId, SignalId};
use crate::model::signal::{Signal, SignalError};
use crate::model::time::Timestamp;

/// Signals that one input may cause.
pub const EMITTED_MAX: usize = 64;

/// The longest checkpoint, in bytes of JSON.
pub const CHECKPOINT_MAX: usize = 16 * 1024;

/// Timers that one agent may have at once.
pub const TIMERS_MAX: usize = 64;

/// Why a checkpoint is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the checkpoint has {bytes} bytes, but may have {CHECKPOINT_MAX}; keep what cannot be computed again, and the rest elsewhere")]
pub struct CheckpointError {
    /// How long it is.
    pub bytes: usize,
}

/// A timer that was asked for, or called off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TimerRequest {
    /// After how long, and whether again and again.
    Set(String, Duration, bool),
    /// By its name.
    Clear(String),
}

/// Where an agent emits while it handles one input. What it did counts once it has returned; if it panics, nothing of it does.
#[derive(Debug)]
pub struct Context<'a> {
    agent: &'a AgentId,
    now: Now,
    pub(crate) emitted: Vec<Signal>,
    pub(crate) checkpoint: Option<Value>,
    pub(crate) timers: Vec<TimerRequest>,
}

impl<'a> Context<'a> {
    pub(crate) const fn new(agent: &'a AgentId, now: Now) -> Self {
        Self { agent, now, emitted: Vec::new(), checkpoint: None, timers: Vec::new() }
    }

    /// Whose signals it emits.
    #[must_use]
    pub const fn agent(&self) -> &AgentId {
        self.agent
    }

    /// The present: an agent that asks this clock alone does the same in a backtest.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now.wall
    }

    /// Emits a signal. Its id is made of the agent, `trigger` and how many were emitted before it while handling this input, so that the
    /// same trigger handled again after a crash gives the same ids and doubles nothing: name the trigger after what caused it (a candle's
    /// [`trigger`](super::Candle::trigger), a tweet's id), never after a clock or chance. Where the body then differs, the engine refuses it
    /// as a `conflict`.
    ///
    /// # Errors
    /// [`SignalError`] when the trigger cannot be part of an id, the signal `make` returns is not valid or not this one, or the input has caused
    /// [`EMITTED_MAX`] already.
    pub fn emit(&mut self, trigger: &str, make: impl FnOnce(SignalId, AgentId) -> Signal) -> Result<SignalId, SignalError> {
        let text = format!("{}/{trigger}/{}", self.agent, self.emitted.len());
        let wrong = |reason: String| SignalError::Form { id: Some(text.clone()), reason };
        if self.emitted.len() >= EMITTED_MAX {
            return Err(wrong(format!("one input may cause {EMITTED_MAX} signals")));
        }
        let id = SignalId::new(&text).map_err(|e| wrong(e.to_string()))?;
        let signal = make(id.clone(), self.agent.clone());
        signal.check().map_err(&wrong)?;
        if signal.id != id || signal.agent != *self.agent {
            return Err(wrong(format!("the signal says that it is {} of {}", signal.id, signal.agent)));
        }
        self.emitted.push(signal);
        Ok(id)
    }

    /// Keeps what the agent must know after a restart: durable after the signals of this input, and given back with
    /// [`AgentInput::Started`](super::AgentInput::Started). The latest one counts; one that is lost with the process costs nothing, since what
    /// is emitted again has the same ids. Each is an entry of the journal: keep it small, and not at every quote.
    ///
    /// # Errors
    /// [`CheckpointError`] when it is longer than [`CHECKPOINT_MAX`]; the one before it stays.
    pub fn checkpoint(&mut self, state: Value) -> Result<(), CheckpointError> {
        let bytes = state.to_string().len();
        if bytes > CHECKPOINT_MAX {
            return Err(CheckpointError { bytes });
        }
        self.checkpoint = Some(state);
        Ok(())
    }

    /// Tells the agent [`AgentInput::Timer`](super::AgentInput::Timer) once, after a length of time. A timer of that name is set anew; beyond
    /// [`TIMERS_MAX`] names none is set, and a warning is logged. Timers end with the instance.
    pub fn wake_after(&mut self, after: Duration, name: &str) {
        self.timers.push(TimerRequest::Set(name.to_owned(), after, false));
    }

    /// As [`Self::wake_after`], again and again; at least a millisecond apart. What was missed while the agent was busy is one.
    pub fn wake_every(&mut self, every: Duration, name: &str) {
        self.timers.push(TimerRequest::Set(name.to_owned(), every, true));
    }

    /// Calls a timer off.
    pub fn clear_timer(&mut self, name: &str) {
        self.timers.push(TimerRequest::Clear(name.to_owned()));
    }
}
