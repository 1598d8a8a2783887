//! Whoever emits signals: synchronous, on a thread of its own, with nothing to hold that anyone else waits for.
//!
//! An agent declares what it wants to be told ([`Agent::subscriptions`]), is told of it through a bounded queue, and answers by emitting into a
//! [`Context`]. If it is slow, its own queue fills and drops, and it is told how much it missed; if it hangs, that is visible, and nobody waits
//! for it; if it panics, its channel is revoked, what it emitted while it panicked is forgotten, and a new instance of it is started with the
//! latest checkpoint, so many times within so long ([`Supervision`]). Neither the engine nor another agent notices.
//!
//! The pieces are the same in every driver: [`Runner`] is one instance, [`Feeds`] who is told which prices, [`News`] who is told what became of
//! orders. The live engine puts a thread and a queue between them, a backtest calls one after the other.

mod candles;
mod context;
mod feeds;
mod input;
mod news;
mod roster;
mod runner;
mod status;
mod supervise;

pub use self::candles::Aggregator;
pub use self::context::{CHECKPOINT_MAX, CheckpointError, Context, EMITTED_MAX, TIMERS_MAX};
pub use self::feeds::{Feeds, SUBSCRIPTIONS_MAX};
pub use self::input::{AgentInput, Candle, Feed, Subject, Subscription, Timeframe, TimeframeError};
pub use self::news::News;
pub(crate) use self::roster::Roster;
pub use self::runner::{Emitted, Panicked, Runner};
pub(crate) use self::status::Shared;
pub use self::status::{AgentHandle, AgentState, AgentStatus};
pub(crate) use self::supervise::{Channel, Supervisor};
pub use self::supervise::{Factory, Supervision};

/// Inputs that may wait for one agent; beyond that they are dropped and counted. Of prices a quarter less may wait, so that they never crowd
/// out what became of the agent's own orders.
pub const QUEUE: usize = 1_024;

/// Emits signals. Runs on a thread of its own, one input at a time.
///
/// It may take as long as it likes for an input, at its own cost: what comes meanwhile waits, up to [`QUEUE`] inputs, and an instance that does
/// not return within [`Supervision::hang_after`] is shown as hanging.
///
/// ```
/// use omnivenue_core::agent::{Agent, AgentInput, Context, Subscription, Timeframe};
/// use omnivenue_core::model::signal::Signal;
///
/// /// Buys whenever a minute closes above where it opened.
/// struct Optimist;
///
/// impl Agent for Optimist {
///     fn subscriptions(&self) -> Vec<Subscription> {
///         vec![Subscription::candles("BTC".parse().expect("an asset"), "1m".parse().expect("a timeframe"))]
///     }
///
///     fn handle(&mut self, input: &AgentInput, context: &mut Context<'_>) {
///         let AgentInput::Candle(candle) = input else { return };
///         if candle.close > candle.open {
///             // The trigger names what caused it: handled again after a crash, it gives the same signal.
///             let trigger = candle.trigger();
///             let made = context.emit(&trigger, |id, agent| {
///                 let text = format!(
///                     r#"{{"id":"{id}","agent":"{agent}","asset":"BTC","direction":"long","sizing":{{"notional":"100"}}}}"#
///                 );
///                 Signal::from_json(&text).expect("a valid signal")
///             });
///             made.expect("the trigger fits into an id");
///         }
///     }
/// }
/// # let _ = Optimist;
/// ```
pub trait Agent: Send {
    /// What it wants to be told beside its own orders: asked once, when an instance starts. More than [`SUBSCRIPTIONS_MAX`] are cut off.
    fn subscriptions(&self) -> Vec<Subscription>;

    /// Takes one input, and emits whatever follows from it. All of it counts, or, if it panics, nothing.
    fn handle(&mut self, input: &AgentInput, context: &mut Context<'_>);
}
