//! The thread of an agent: one instance after the other, within a budget of restarts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::runner::{Panicked, Runner};
use super::status::Shared;
use super::{Agent, AgentInput, QUEUE};
use crate::engine::Engine;
use crate::model::ids::AgentId;

/// Makes instances of an agent: the first one, and one after each panic.
pub type Factory = Box<dyn Fn() -> Box<dyn Agent> + Send>;

/// How an agent is looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supervision {
    /// How many new instances are started within [`Self::within`]; after that it stays down, `failed`.
    pub restarts: u32,
    /// See [`Self::restarts`].
    pub within: Duration,
    /// The pause before a new instance; doubled for each within the time, up to 3 s.
    pub pause: Duration,
    /// How long an input may take before the agent is shown as hanging. It is not ended, since nothing can end a thread.
    pub hang_after: Duration,
}

impl Default for Supervision {
    /// Five in ten minutes, the first after 100 ms; hanging after 10 s.
    fn default() -> Self {
        Self { restarts: 5, within: Duration::from_secs(600), pause: Duration::from_millis(100), hang_after: Duration::from_secs(10) }
    }
}

/// The longest pause before a new instance.
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// The engine's end of an instance's queue.
pub(crate) struct Channel {
    pub(crate) agent: AgentId,
    pub(crate) shared: Arc<Shared>,
    sender: SyncSender<AgentInput>,
}

impl Channel {
    /// Hands over an input, if there is room.
    pub(super) fn hand(&self, input: AgentInput) -> Handed {
        match self.sender.try_send(input) {
            Ok(()) => Handed::Taken,
            Err(TrySendError::Full(_)) => Handed::Full,
            Err(TrySendError::Disconnected(_)) => Handed::Gone,
        }
    }
}

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handed {
    /// It waits for the instance.
    Taken,
    /// There is no room for it.
    Full,
    /// The instance is gone.
    Gone,
}

/// How an instance ended.
enum End {
    /// Its queue is gone: the agent was ended or replaced, or the engine closed.
    Closed,
    /// It panicked; so many inputs that waited for it were not taken.
    Panicked(Panicked, u64),
}

/// What runs on the agent's thread.
pub(crate) struct Supervisor {
    pub(crate) agent: AgentId,
    pub(crate) factory: Factory,
    pub(crate) engine: Engine,
    pub(crate) shared: Arc<Shared>,
}

impl Supervisor {
    /// Until the agent is ended, or has used up its budget.
    pub(crate) fn run(self) {
        let mut restarts: VecDeque<u64> = VecDeque::new();
        let mut lost = 0;
        while let End::Panicked(panic, more) = self.live(lost) {
            lost = more;
            let Supervision { restarts: budget, within, pause, .. } = self.shared.supervision();
            let now = self.engine.now().monotonic;
            let window = u64::try_from(within.as_micros()).unwrap_or(u64::MAX);
            while restarts.front().is_some_and(|at| now.saturating_sub(*at) > window) {
                restarts.pop_front();
            }
            let tries = u32::try_from(restarts.len()).unwrap_or(u32::MAX);
            let again = tries < budget;
            self.shared.panicked(&panic.words, again);
            if !again {
                tracing::error!(agent = %self.agent, panic = %panic.words, restarts = tries, "the agent panicked again and stays down");
                return;
            }
            tracing::error!(agent = %self.agent, panic = %panic.words, restarts = tries + 1, "the agent panicked; a new instance begins");
            restarts.push_back(now);
            std::thread::sleep(pause.saturating_mul(1_u32 << tries.min(16)).min(PAUSE_MAX));
        }
        self.shared.stopped();
    }

    /// One instance.
    fn live(&self, lost: u64) -> End {
        let made = Runner::new(self.agent.clone(), &self.factory);
        let mut runner = match made {
            Ok(runner) => runner,
            Err(panic) => return End::Panicked(panic, lost),
        };
        let wanted = match runner.subscriptions() {
            Ok(wanted) => wanted,
            Err(panic) => return End::Panicked(panic, lost),
        };
        let (sender, inputs) = sync_channel(QUEUE);
        let channel = Channel { agent: self.agent.clone(), shared: Arc::clone(&self.shared), sender };
        if !self.engine.enlist(channel, wanted, lost) {
            return End::Closed;
        }
        let mut timer_was_last = false;
        while let Some(input) = self.next(&mut runner, &inputs, &mut timer_was_last) {
            let now = self.engine.now();
            self.shared.begin(now.monotonic);
            let emitted = match runner.handle(now, &input) {
                Ok(emitted) => emitted,
                Err(panic) => {
                    // Its queue is revoked here; what waited in it is missed, the input that it panicked over too.
                    let waiting = inputs.try_iter().count();
                    return End::Panicked(panic, u64::try_from(waiting).unwrap_or(u64::MAX).saturating_add(1));
                }
            };
            self.shared.end(emitted.signals.len());
            // What one input gave is sent on before the next is looked at; if the engine is busy, this agent waits, and nobody else.
            if emitted.signals.into_iter().any(|signal| !self.engine.submit(signal))
                || emitted.checkpoint.is_some_and(|state| !self.engine.keep(self.agent.clone(), state))
            {
                return End::Closed;
            }
        }
        End::Closed
    }

    /// The next input: a timer that is over, or what waits, in turns; `None` once the queue is gone.
    fn next(&self, runner: &mut Runner, inputs: &Receiver<AgentInput>, timer_was_last: &mut bool) -> Option<AgentInput> {
        let taken = |input| {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            Some(input)
        };
        if std::mem::take(timer_was_last)
            && let Ok(input) = inputs.try_recv()
        {
            return taken(input);
        }
        loop {
            let Some(at) = runner.next_wake() else { return inputs.recv().ok().and_then(taken) };
            let now = self.engine.now();
            if let Some(input) = runner.due(now) {
                *timer_was_last = true;
                return Some(input);
            }
            match inputs.recv_timeout(Duration::from_micros(at.saturating_sub(now.monotonic))) {
                Ok(input) => return taken(input),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}
