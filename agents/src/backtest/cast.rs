//! The agents of a run: each told and looked after as in the live engine, but one after the other and without threads.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use omnivenue_core::agent::{AgentInput, Candle, Emitted, Factory, Feeds, News, Panicked, Runner, Supervision};
use omnivenue_core::engine::EngineError;
use omnivenue_core::executor::Input;
use omnivenue_core::model::ids::{AgentId, VenueId};
use omnivenue_core::venue::Quote;

use super::clock::micros;
use super::world::{Happened, World};

/// The longest pause before a new instance, as live.
const PAUSE_MAX: Duration = Duration::from_secs(3);

pub(super) struct Actor {
    factory: Factory,
    runner: Option<Runner>,
    /// When instances were restarted lately.
    lately: VecDeque<u64>,
    restart_at: Option<u64>,
    pub(super) restarts: u32,
    pub(super) signals: u64,
    pub(super) fills: u64,
    pub(super) missed: u64,
    untold: u64,
    /// What its latest panic said.
    pub(super) panic: Option<String>,
}

impl Actor {
    pub(super) const fn is_down(&self) -> bool {
        self.runner.is_none() && self.restart_at.is_none()
    }
}

pub(super) struct Cast {
    actors: BTreeMap<AgentId, Actor>,
    pub(super) feeds: Feeds,
    news: News,
    inbox: VecDeque<(AgentId, AgentInput)>,
    /// What was decided, and when it reaches the engine.
    outbox: BTreeMap<(u64, u64), (AgentId, Emitted)>,
    counter: u64,
    think: u64,
    supervision: Supervision,
}

impl Cast {
    pub(super) fn new(agents: Vec<(AgentId, Factory)>, think: Duration, supervision: Supervision) -> Self {
        let actor = |factory| Actor {
            factory,
            runner: None,
            lately: VecDeque::new(),
            restart_at: Some(0),
            restarts: 0,
            signals: 0,
            fills: 0,
            missed: 0,
            untold: 0,
            panic: None,
        };
        Self {
            actors: agents.into_iter().map(|(id, factory)| (id, actor(factory))).collect(),
            feeds: Feeds::new(),
            news: News::new(),
            inbox: VecDeque::new(),
            outbox: BTreeMap::new(),
            counter: 0,
            // Time passes with every decision: an agent that answers each answer would else never let it pass.
            think: micros(think).max(1),
            supervision,
        }
    }

    pub(super) fn actors(&self) -> impl Iterator<Item = (&AgentId, &Actor)> {
        self.actors.iter()
    }

    /// When something of the agents happens by itself next.
    pub(super) fn next_event(&self) -> Option<u64> {
        let wake = |actor: &Actor| [actor.runner.as_ref().and_then(Runner::next_wake), actor.restart_at].into_iter().flatten().min();
        let sent = self.outbox.keys().next().map(|(at, _)| *at);
        self.actors.values().filter_map(wake).chain(sent).min()
    }

    /// Starts instances, fires timers and hands over what was decided, as far as it is time.
    pub(super) fn turn(&mut self, world: &mut World) {
        let now = world.now();
        let due: Vec<AgentId> = self
            .actors
            .iter()
            .filter(|(_, actor)| actor.restart_at.is_some_and(|at| at <= now.monotonic))
            .map(|(id, _)| id.clone())
            .collect();
        due.into_iter().for_each(|agent| self.start(&agent, world));
        for (agent, actor) in &mut self.actors {
            if let Some(input) = actor.runner.as_mut().and_then(|runner| runner.due(now)) {
                self.inbox.push_back((agent.clone(), input));
            }
        }
        while let Some(entry) = self.outbox.first_entry().filter(|entry| entry.key().0 <= now.monotonic) {
            let (agent, Emitted { signals, checkpoint }) = entry.remove();
            signals.into_iter().for_each(|signal| world.execute(signal));
            if let Some(state) = checkpoint {
                world.input(Input::Checkpoint { agent, state });
            }
        }
    }

    /// Forgets what was decided and has not reached the engine.
    pub(super) fn hold(&mut self) {
        self.outbox.clear();
    }

    fn start(&mut self, agent: &AgentId, world: &World) {
        let Some(actor) = self.actors.get_mut(agent) else { return };
        actor.restart_at = None;
        let made = Runner::new(agent.clone(), &actor.factory).and_then(|runner| Ok((runner.subscriptions()?, runner)));
        match made {
            Err(panic) => self.panicked(agent, &panic, world.elapsed),
            Ok((wanted, runner)) => {
                actor.runner = Some(runner);
                let checkpoint = world.kernel.state().book().checkpoint(agent).cloned();
                let positions = world.kernel.positions().into_iter().filter(|position| position.agent == *agent).collect();
                let started = AgentInput::Started { checkpoint, restarts: actor.restarts, positions };
                self.feeds.subscribe(world.kernel.setup(), agent, wanted);
                // Before anything that waits for it already.
                self.inbox.push_front((agent.clone(), started));
            }
        }
    }

    fn panicked(&mut self, agent: &AgentId, panic: &Panicked, now: u64) {
        let Supervision { restarts, within, pause, .. } = self.supervision;
        let Some(actor) = self.actors.get_mut(agent) else { return };
        (actor.runner, actor.panic) = (None, Some(panic.words.clone()));
        while actor.lately.front().is_some_and(|at| now.saturating_sub(*at) > micros(within)) {
            actor.lately.pop_front();
        }
        let tries = u32::try_from(actor.lately.len()).unwrap_or(u32::MAX);
        if tries < restarts {
            actor.lately.push_back(now);
            actor.restarts += 1;
            actor.restart_at = Some(now.saturating_add(micros(pause.saturating_mul(1_u32 << tries.min(16)).min(PAUSE_MAX))));
        }
        tracing::warn!(%agent, panic = %panic.words, again = tries < restarts, "the agent panicked");
    }

    /// Tells the agents what happened.
    pub(super) fn hear(&mut self, world: &World, happened: Happened) {
        for number in happened.changed {
            let news = self.news.of(&world.kernel, number, |agent| self.actors.contains_key(agent));
            self.inbox.extend(news);
        }
        for (agent, signal, error) in happened.refused {
            let error = EngineError::from(error);
            let input = AgentInput::Refused { signal, code: error.code().to_owned(), reason: error.to_string() };
            self.inbox.push_back((agent, input));
        }
    }

    pub(super) fn quote(&mut self, venue: &VenueId, quote: &Quote) {
        let told = self.feeds.quote(venue, quote);
        self.inbox.extend(told);
    }

    pub(super) fn candle(&mut self, part: &Candle) {
        let told = self.feeds.candle(part);
        self.inbox.extend(told);
    }

    /// Has every agent handle what waits for it.
    pub(super) fn act(&mut self, world: &World) {
        let now = world.now();
        while let Some((agent, input)) = self.inbox.pop_front() {
            let Some(actor) = self.actors.get_mut(&agent) else { continue };
            actor.fills += u64::from(matches!(input, AgentInput::Fill(_)));
            let Some(runner) = &mut actor.runner else {
                (actor.missed, actor.untold) = (actor.missed + 1, actor.untold + 1);
                continue;
            };
            if actor.untold > 0 && !matches!(input, AgentInput::Started { .. }) {
                let inputs = std::mem::take(&mut actor.untold);
                self.inbox.push_front((agent.clone(), input));
                self.inbox.push_front((agent, AgentInput::Missed { inputs }));
                continue;
            }
            match runner.handle(now, &input) {
                Ok(emitted) if emitted == Emitted::default() => {}
                Ok(emitted) => {
                    actor.signals += u64::try_from(emitted.signals.len()).unwrap_or(u64::MAX);
                    self.counter += 1;
                    self.outbox.insert((now.monotonic.saturating_add(self.think), self.counter), (agent, emitted));
                }
                Err(panic) => {
                    (actor.missed, actor.untold) = (actor.missed + 1, actor.untold + 1);
                    self.panicked(&agent, &panic, now.monotonic);
                }
            }
        }
    }
}
