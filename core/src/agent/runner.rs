//! One instance of an agent, whoever calls it: its timers, and the wall around its panics.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde_json::Value;

use super::context::{Context, TIMERS_MAX, TimerRequest};
use super::{Agent, AgentInput, Subscription};
use crate::executor::Now;
use crate::model::ids::AgentId;
use crate::model::signal::Signal;

/// What followed from one input: the signals first, then the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Emitted {
    /// To be handed to the engine, in this order.
    pub signals: Vec<Signal>,
    /// To be kept after them.
    pub checkpoint: Option<Value>,
}

/// An agent panicked: this instance is not to be called again, and what it emitted meanwhile is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the agent panicked: {words}")]
pub struct Panicked {
    /// What the panic said.
    pub words: String,
}

/// The most of a panic's words that is kept.
const WORDS_MAX: usize = 300;

/// What a panic says, cut to a readable length.
pub(crate) fn caught<T>(result: Result<T, Box<dyn Any + Send>>) -> Result<T, Panicked> {
    result.map_err(|payload| {
        let words = payload.downcast_ref::<&str>().map(|words| (*words).to_owned());
        let words = words.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without words".to_owned());
        Panicked { words: words.chars().take(WORDS_MAX).collect() }
    })
}

#[derive(Debug, Clone, Copy)]
struct Timer {
    /// By the monotonic clock.
    at: u64,
    every: Option<Duration>,
}

/// One instance of an agent.
pub struct Runner {
    id: AgentId,
    agent: Box<dyn Agent>,
    timers: BTreeMap<String, Timer>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("id", &self.id).field("timers", &self.timers).finish_non_exhaustive()
    }
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

impl Runner {
    /// Makes an instance, as its factory does.
    ///
    /// # Errors
    /// [`Panicked`] when making it panics.
    pub fn new(id: AgentId, make: impl FnOnce() -> Box<dyn Agent>) -> Result<Self, Panicked> {
        let agent = caught(catch_unwind(AssertUnwindSafe(make)))?;
        Ok(Self { id, agent, timers: BTreeMap::new() })
    }

    /// Whose instance it is.
    #[must_use]
    pub const fn id(&self) -> &AgentId {
        &self.id
    }

    /// What it wants to be told.
    ///
    /// # Errors
    /// [`Panicked`].
    pub fn subscriptions(&self) -> Result<Vec<Subscription>, Panicked> {
        caught(catch_unwind(AssertUnwindSafe(|| self.agent.subscriptions())))
    }

    /// Tells it one input.
    ///
    /// # Errors
    /// [`Panicked`]: the instance is done for.
    pub fn handle(&mut self, now: Now, input: &AgentInput) -> Result<Emitted, Panicked> {
        let mut context = Context::new(&self.id, now);
        let agent = &mut self.agent;
        caught(catch_unwind(AssertUnwindSafe(|| agent.handle(input, &mut context))))?;
        let Context { emitted, checkpoint, timers, .. } = context;
        for request in timers {
            self.set(now, request);
        }
        Ok(Emitted { signals: emitted, checkpoint })
    }

    fn set(&mut self, now: Now, request: TimerRequest) {
        match request {
            TimerRequest::Clear(name) => drop(self.timers.remove(&name)),
            TimerRequest::Set(name, ..) if self.timers.len() >= TIMERS_MAX && !self.timers.contains_key(&name) => {
                tracing::warn!(agent = %self.id, %name, "the timer is not set: the agent has {TIMERS_MAX} already");
            }
            TimerRequest::Set(name, after, again) => {
                let every = again.then(|| after.max(Duration::from_millis(1)));
                let at = now.monotonic.saturating_add(micros(every.unwrap_or(after)));
                self.timers.insert(name, Timer { at, every });
            }
        }
    }

    /// When the next timer is over, by the monotonic clock.
    #[must_use]
    pub fn next_wake(&self) -> Option<u64> {
        self.timers.values().map(|timer| timer.at).min()
    }

    /// The timer that has been over for longest, as an input.
    pub fn due(&mut self, now: Now) -> Option<AgentInput> {
        let over = self.timers.iter().filter(|(_, timer)| timer.at <= now.monotonic);
        let (name, timer) = over.min_by_key(|(name, timer)| (timer.at, *name)).map(|(name, timer)| (name.clone(), *timer))?;
        match timer.every.map(micros) {
            None => drop(self.timers.remove(&name)),
            Some(every) => {
                let missed = now.monotonic.saturating_sub(timer.at) / every.max(1);
                let at = timer.at.saturating_add(every.saturating_mul(missed + 1));
                self.timers.insert(name.clone(), Timer { at, ..timer });
            }
        }
        Some(AgentInput::Timer { name })
    }
}

impl Drop for Runner {
    /// An agent that panicked may panic again when it is dropped: that ends nothing either.
    fn drop(&mut self) {
        let agent = std::mem::replace(&mut self.agent, Box::new(Gone));
        let _ = catch_unwind(AssertUnwindSafe(|| drop(agent)));
    }
}

/// What is left of an agent that was dropped.
struct Gone;

impl Agent for Gone {
    fn subscriptions(&self) -> Vec<Subscription> {
        Vec::new()
    }

    fn handle(&mut self, _: &AgentInput, _: &mut Context<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::super::{CHECKPOINT_MAX, EMITTED_MAX};
    use super::*;
    use crate::model::ids::SignalId;
    use crate::model::time::Timestamp;

    fn signal(id: &SignalId, agent: &AgentId) -> Signal {
        let text = format!(r#"{{"id":"{id}","agent":"{agent}","asset":"BTC","direction":"long","sizing":{{"notional":"100"}}}}"#);
        Signal::from_json(&text).unwrap()
    }

    struct Each<F>(F);

    impl<F: FnMut(&AgentInput, &mut Context<'_>) + Send> Agent for Each<F> {
        fn subscriptions(&self) -> Vec<Subscription> {
            Vec::new()
        }
        fn handle(&mut self, input: &AgentInput, context: &mut Context<'_>) {
            (self.0)(input, context);
        }
    }

    fn runner(each: impl FnMut(&AgentInput, &mut Context<'_>) + Send + 'static) -> Runner {
        Runner::new("a".parse().unwrap(), || Box::new(Each(each))).unwrap()
    }

    fn at(millis: u64) -> Now {
        Now { wall: Timestamp::EPOCH.after(Duration::from_millis(millis)), monotonic: millis * 1000 }
    }

    const TOLD: AgentInput = AgentInput::Missed { inputs: 1 };

    #[test]
    fn ids_are_made_of_agent_trigger_and_ordinal() {
        let mut runner = runner(|_, context| {
            for _ in 0..2 {
                context.emit("candle:1", |id, agent| signal(&id, &agent)).unwrap();
            }
            context.emit("no spaces", |id, agent| signal(&id, &agent)).unwrap_err();
            let other = context.emit("t", |_, agent| signal(&"other".parse().unwrap(), &agent)).unwrap_err();
            assert!(other.to_string().contains("says that it is other"), "{other}");
        });
        for _ in 0..2 {
            let ids: Vec<String> = runner.handle(at(0), &TOLD).unwrap().signals.iter().map(|signal| signal.id.to_string()).collect();
            assert_eq!(ids, ["a/candle:1/0", "a/candle:1/1"], "and the same at each repetition");
        }
    }

    #[test]
    fn what_one_input_causes_has_a_bound() {
        let mut runner = runner(|_, context| {
            let taken = (0..1_000).filter(|_| context.emit("t", |id, agent| signal(&id, &agent)).is_ok()).count();
            assert_eq!(taken, EMITTED_MAX);
            context.checkpoint(Value::from("x")).unwrap();
            let long = context.checkpoint(Value::from("x".repeat(CHECKPOINT_MAX))).unwrap_err();
            assert!(long.to_string().contains("16386 bytes"), "{long}");
            (0..1_000).for_each(|number| context.wake_after(Duration::from_secs(1), &number.to_string()));
        });
        let emitted = runner.handle(at(0), &TOLD).unwrap();
        assert_eq!((emitted.signals.len(), emitted.checkpoint), (EMITTED_MAX, Some(Value::from("x"))));
        assert_eq!(runner.timers.len(), TIMERS_MAX);
    }

    #[test]
    fn a_panic_forgets_what_was_emitted_and_says_why() {
        let mut runner = runner(|_, context| {
            context.emit("t", |id, agent| signal(&id, &agent)).unwrap();
            panic!("a bug in a strategy");
        });
        assert_eq!(runner.handle(at(0), &TOLD), Err(Panicked { words: "a bug in a strategy".into() }));
        assert!(Runner::new("a".parse().unwrap(), || panic!("no {}", "luck")).is_err_and(|panic| panic.words == "no luck"));
    }

    #[test]
    fn timers_come_in_order_once_or_again_and_again() {
        let mut runner = runner(|_, context| {
            context.wake_after(Duration::from_millis(50), "once");
            context.wake_every(Duration::from_millis(20), "often");
            context.wake_after(Duration::from_millis(1), "never");
            context.clear_timer("never");
        });
        runner.handle(at(0), &TOLD).unwrap();
        let mut due = |millis| match runner.due(at(millis)) {
            Some(AgentInput::Timer { name }) => Some(name),
            _ => None,
        };
        assert_eq!(due(19), None);
        assert_eq!([due(20), due(20)], [Some("often".into()), None]);
        // Three were missed: they are one, and the next is when it would have been.
        assert_eq!([due(85), due(85), due(85)], [Some("often".into()), Some("once".into()), None]);
        assert_eq!([due(99), due(100)], [None, Some("often".into())]);
        assert_eq!(runner.next_wake(), Some(120_000));
    }
}
