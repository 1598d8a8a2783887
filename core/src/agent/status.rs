//! How an agent is, as seen from outside: shared by its thread, the engine and whoever holds its handle.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::supervise::Supervision;
use crate::engine::Env;
use crate::model::ids::AgentId;

/// How an agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// It takes inputs.
    Running,
    /// It has not returned from an input for longer than it should; what comes meanwhile waits, and then drops.
    Hanging,
    /// It panicked, and a new instance begins in a moment.
    Restarting,
    /// It panicked more often than its budget allows and stays down: somebody must look at it and start the engine anew.
    Failed,
    /// It was ended, or the engine was.
    Stopped,
    /// It is configured, but no engine runs.
    Offline,
}

impl fmt::Display for AgentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Hanging => "hanging",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Offline => "offline",
        })
    }
}

/// How an agent stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// The agent.
    pub agent: AgentId,
    /// How it is.
    pub state: AgentState,
    /// How many instances were started after the first.
    pub restarts: u32,
    /// Inputs it took.
    pub handled: u64,
    /// Signals it emitted.
    pub emitted: u64,
    /// Inputs that wait.
    pub waiting: usize,
    /// Inputs it missed: its queue was full, or it was down.
    pub dropped: u64,
    /// For how many milliseconds it has been busy with its present input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_ms: Option<u64>,
    /// What its latest panic said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

const RUNNING: u8 = 0;
const RESTARTING: u8 = 1;
const FAILED: u8 = 2;
const STOPPED: u8 = 3;

/// What the agent's thread tells the others.
#[derive(Debug)]
pub(crate) struct Shared {
    state: AtomicU8,
    panicked: AtomicBool,
    restarts: AtomicU32,
    handled: AtomicU64,
    emitted: AtomicU64,
    pub(crate) dropped: AtomicU64,
    /// Inputs that wait.
    pub(crate) waiting: AtomicUsize,
    /// Since when it handles its present input, by the monotonic clock, plus one; 0 when it does not.
    busy_since: AtomicU64,
    reason: Mutex<Option<String>>,
    supervision: Supervision,
}

impl Shared {
    pub(crate) fn new(supervision: Supervision) -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(RUNNING),
            panicked: AtomicBool::new(false),
            restarts: AtomicU32::new(0),
            handled: AtomicU64::new(0),
            emitted: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            busy_since: AtomicU64::new(0),
            reason: Mutex::new(None),
            supervision,
        })
    }

    pub(crate) const fn supervision(&self) -> Supervision {
        self.supervision
    }

    pub(crate) fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Whether no instance will follow.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), FAILED | STOPPED)
    }

    pub(crate) fn begin(&self, monotonic: u64) {
        self.busy_since.store(monotonic.saturating_add(1), Ordering::Relaxed);
    }

    pub(crate) fn end(&self, emitted: usize) {
        self.busy_since.store(0, Ordering::Relaxed);
        self.handled.fetch_add(1, Ordering::Relaxed);
        self.emitted.fetch_add(u64::try_from(emitted).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Its instance panicked; whether another follows.
    pub(crate) fn panicked(&self, words: &str, again: bool) {
        self.busy_since.store(0, Ordering::Relaxed);
        self.waiting.store(0, Ordering::Relaxed);
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(words.to_owned());
        self.panicked.store(true, Ordering::Release);
        if again {
            self.restarts.fetch_add(1, Ordering::Relaxed);
        }
        self.state.store(if again { RESTARTING } else { FAILED }, Ordering::Release);
    }

    pub(crate) fn runs(&self) {
        self.state.store(RUNNING, Ordering::Release);
    }

    pub(crate) fn stopped(&self) {
        self.state.store(STOPPED, Ordering::Release);
    }

    /// How it stands at an instant of the monotonic clock.
    pub(crate) fn status(&self, agent: &AgentId, monotonic: u64) -> AgentStatus {
        let busy = self.busy_since.load(Ordering::Relaxed).checked_sub(1).map(|since| monotonic.saturating_sub(since));
        let hang_after = u64::try_from(self.supervision.hang_after.as_micros()).unwrap_or(u64::MAX);
        let state = match self.state.load(Ordering::Acquire) {
            FAILED => AgentState::Failed,
            STOPPED => AgentState::Stopped,
            RESTARTING => AgentState::Restarting,
            _ if busy.is_some_and(|busy| busy > hang_after) => AgentState::Hanging,
            _ => AgentState::Running,
        };
        AgentStatus {
            agent: agent.clone(),
            state,
            restarts: self.restarts(),
            handled: self.handled.load(Ordering::Relaxed),
            emitted: self.emitted.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            busy_ms: busy.map(|busy| busy / 1000),
            reason: self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// An agent at work. Dropping the handle lets it go on until the engine closes.
#[derive(Debug, Clone)]
pub struct AgentHandle {
    agent: AgentId,
    env: Arc<dyn Env>,
    shared: Arc<Shared>,
}

impl AgentHandle {
    pub(crate) const fn new(agent: AgentId, env: Arc<dyn Env>, shared: Arc<Shared>) -> Self {
        Self { agent, env, shared }
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        self.shared.status(&self.agent, self.env.now().monotonic)
    }

    /// Whether it has ended for good: stopped, or failed.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.shared.is_over()
    }

    /// Whether any instance of it has panicked.
    #[must_use]
    pub fn has_panicked(&self) -> bool {
        self.shared.panicked.load(Ordering::Acquire)
    }

    /// How many instances were started after the first.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.shared.restarts()
    }

    /// Inputs it missed: its queue was full, or it was down.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}
