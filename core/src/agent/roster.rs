//! The engine's list of agents: the queue to each, what each wants, what each missed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::QUEUE;
use super::feeds::Feeds;
use super::input::{AgentInput, Subscription};
use super::news::News;
use super::status::{AgentStatus, Shared};
use super::supervise::{Channel, Handed};
use crate::engine::{Kernel, note_dropped};
use crate::executor::Setup;
use crate::journal::ExecutionNumber;
use crate::model::ids::{AgentId, VenueId};
use crate::model::time::Timestamp;
use crate::venue::Quote;

/// Prices that may wait for one agent: what is left of its queue is for news of its orders.
const PRICES: usize = QUEUE / 4 * 3;

struct Enlisted {
    shared: Arc<Shared>,
    /// The queue of the present instance; revoked when it is gone.
    channel: Option<Channel>,
    /// What was dropped and not told yet.
    missed: u64,
}

impl Enlisted {
    fn tell(&mut self, input: AgentInput) {
        // What was missed is told right before something that is not: else telling it would crowd out the rest.
        let most = if input.is_price() { PRICES } else { QUEUE - 1 };
        let room = self.shared.waiting.load(Ordering::Relaxed) < most;
        if room && self.missed > 0 && self.send(AgentInput::Missed { inputs: self.missed }) {
            self.missed = 0;
        }
        if !(room && self.send(input)) {
            self.missed += 1;
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            note_dropped("agent_inputs", 1);
        }
    }

    fn send(&mut self, input: AgentInput) -> bool {
        let Some(channel) = &self.channel else { return false };
        // Counted before it is sent: the other end may take it at once.
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let handed = channel.hand(input);
        if handed != Handed::Taken {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        if handed == Handed::Gone {
            self.channel = None;
        }
        handed == Handed::Taken
    }
}

/// Every agent that was put to work, those that failed included, so that they stay visible.
#[derive(Default)]
pub(crate) struct Roster {
    agents: BTreeMap<AgentId, Enlisted>,
    feeds: Feeds,
    news: News,
}

impl Roster {
    /// A new agent, which has no instance yet. One of the same name is ended: its queue is gone.
    pub(crate) fn recruit(&mut self, agent: &AgentId, shared: Arc<Shared>) {
        self.agents.insert(agent.clone(), Enlisted { shared, channel: None, missed: 0 });
    }

    /// An instance of an agent begins; `lost` inputs of the one before it were not taken. A supervisor that was replaced gets nothing: its
    /// channel is dropped.
    pub(crate) fn attach(&mut self, kernel: &Kernel, channel: Channel, wanted: Vec<Subscription>, lost: u64) {
        let Some(enlisted) = self.agents.get_mut(&channel.agent).filter(|enlisted| Arc::ptr_eq(&enlisted.shared, &channel.shared)) else {
            return;
        };
        let agent = channel.agent.clone();
        enlisted.missed += lost;
        enlisted.shared.dropped.fetch_add(lost, Ordering::Relaxed);
        enlisted.shared.waiting.store(0, Ordering::Relaxed);
        enlisted.shared.runs();
        enlisted.channel = Some(channel);
        let positions = kernel.positions().into_iter().filter(|position| position.agent == agent).collect();
        let checkpoint = kernel.state().book().checkpoint(&agent).cloned();
        let missed = std::mem::take(&mut enlisted.missed);
        enlisted.tell(AgentInput::Started { checkpoint, restarts: enlisted.shared.restarts(), positions });
        enlisted.missed = missed;
        self.feeds.subscribe(kernel.setup(), &agent, wanted);
    }

    /// Ends an agent, once it has taken what waits for it; `false` when there is none.
    pub(crate) fn detach(&mut self, setup: &Setup, agent: &AgentId) -> bool {
        self.feeds.unsubscribe(setup, agent);
        self.agents.get_mut(agent).is_some_and(|enlisted| enlisted.channel.take().is_some())
    }

    /// A venue has said what it trades.
    pub(crate) fn resolve(&mut self, setup: &Setup) {
        self.feeds.resolve(setup);
    }

    fn tell(&mut self, told: Vec<(AgentId, AgentInput)>) {
        for (agent, input) in told {
            if let Some(enlisted) = self.agents.get_mut(&agent).filter(|enlisted| !enlisted.shared.is_over()) {
                enlisted.tell(input);
            }
        }
    }

    /// A signal of this agent was not taken.
    pub(crate) fn refuse(&mut self, agent: &AgentId, input: AgentInput) {
        if let Some(enlisted) = self.agents.get_mut(agent) {
            enlisted.tell(input);
        }
    }

    pub(crate) fn quote(&mut self, now: Timestamp, venue: &VenueId, quote: &Quote) {
        let told = self.feeds.price(now, venue, quote);
        self.tell(told);
        let told = self.feeds.quote(venue, quote);
        self.tell(told);
    }

    /// Something about an execution changed.
    pub(crate) fn changed(&mut self, kernel: &Kernel, execution: ExecutionNumber) {
        if self.agents.is_empty() {
            return;
        }
        let told = self.news.of(kernel, execution, |agent| self.agents.get(agent).is_some_and(|enlisted| !enlisted.shared.is_over()));
        self.tell(told);
    }

    /// Ends the candles that are over by now.
    pub(crate) fn close(&mut self, now: Timestamp) {
        let told = self.feeds.close(now);
        self.tell(told);
    }

    /// When the next candle is over.
    pub(crate) fn next_close(&self) -> Option<Timestamp> {
        self.feeds.next_close()
    }

    /// How each stands.
    pub(crate) fn statuses(&self, monotonic: u64) -> Vec<AgentStatus> {
        self.agents.iter().map(|(agent, enlisted)| enlisted.shared.status(agent, monotonic)).collect()
    }
}
