//! The *momentum* agent: when an asset has moved by more than a threshold within so many candles, it enters in that direction.
//!
//! It enters when the threshold is *crossed*: not again while the move goes on, and not against what it holds. The exits are carried out by
//! the engine and the venue, not by this agent; they hold while it is down. After a start, and after a gap in the candles, it is silent until
//! it has seen [`bars`](MomentumConfig::bars) candles in a row.

mod config;

use std::collections::{BTreeSet, VecDeque};

use omnivenue_core::agent::{Agent, AgentInput, Candle, Context, Feed, Subject, Subscription};
use omnivenue_core::model::execution::PositionReport;
use omnivenue_core::model::ids::SignalId;
use omnivenue_core::model::number::Price;
use omnivenue_core::model::signal::{Direction, Signal, SignalError};
use omnivenue_core::model::time::Timestamp;
use rust_decimal::Decimal;

pub use self::config::{ImpossibleError, MomentumConfig, Trail, TrailOf};
use crate::statistics::moved;

/// The momentum agent. Its memory is one close a bar, and the names of its open signals.
#[derive(Debug)]
pub struct Momentum {
    config: MomentumConfig,
    closes: VecDeque<Price>,
    /// When the latest candle ended.
    until: Option<Timestamp>,
    /// Which way the threshold was crossed at the latest candle, if it was.
    beyond: Option<Direction>,
    /// Signals that are on their way.
    pending: BTreeSet<SignalId>,
    /// Signals of which something is held, and in which direction.
    held: BTreeSet<SignalId>,
    holding: Option<Direction>,
}

impl Momentum {
    /// An instance.
    #[must_use]
    pub const fn new(config: MomentumConfig) -> Self {
        Self { config, closes: VecDeque::new(), until: None, beyond: None, pending: BTreeSet::new(), held: BTreeSet::new(), holding: None }
    }

    fn holds(&mut self, positions: &[PositionReport]) {
        self.held = positions.iter().flat_map(|position| position.signals.iter().cloned()).collect();
        self.holding = positions.first().map(|position| position.direction);
    }

    /// How far the price has moved over the bars, once there are enough in a row.
    fn momentum(&mut self, candle: &Candle) -> Option<Decimal> {
        if self.until.is_some_and(|until| until != candle.open_time) {
            self.closes.clear();
            self.beyond = None;
        }
        self.until = Some(candle.close_time());
        self.closes.push_back(candle.close);
        let bars = usize::from(self.config.bars);
        if self.closes.len() <= bars {
            return None;
        }
        while self.closes.len() > bars + 1 {
            self.closes.pop_front();
        }
        moved(candle.close, *self.closes.front()?)
    }

    fn candle(&mut self, candle: &Candle, context: &mut Context<'_>) {
        let Some(momentum) = self.momentum(candle) else { return };
        let direction = if momentum.is_sign_negative() { Direction::Short } else { Direction::Long };
        let beyond = (momentum.abs() >= self.config.threshold.decimal()).then_some(direction);
        let before = std::mem::replace(&mut self.beyond, beyond);
        let Some(direction) = beyond.filter(|_| beyond != before) else { return };
        let open = self.held.union(&self.pending).count();
        if open >= usize::from(self.config.max_positions) || self.holding.is_some_and(|held| held != direction) {
            return tracing::debug!(agent = %context.agent(), open, ?direction, "momentum, but no room for another position");
        }
        match self.emit(candle, direction, momentum, context) {
            Ok(id) => drop(self.pending.insert(id)),
            Err(error) => tracing::error!(agent = %context.agent(), %error, "the signal is not valid and was not emitted"),
        }
    }

    fn emit(&self, candle: &Candle, direction: Direction, momentum: Decimal, context: &mut Context<'_>) -> Result<SignalId, SignalError> {
        let mut made = Ok(());
        let id = context.emit(&candle.trigger(), |id, agent| {
            let read = Signal::from_value(self.config.signal(&id, &agent, candle, direction, momentum));
            read.unwrap_or_else(|error| {
                made = Err(error);
                Signal::from_json(&format!(
                    r#"{{"id":"{id}","agent":"{agent}","asset":"-","direction":"long","sizing":{{"notional":"1"}}}}"#
                ))
                .expect("a constant that is a valid signal")
            })
        })?;
        made.map(|()| id)
    }
}

impl Agent for Momentum {
    fn subscriptions(&self) -> Vec<Subscription> {
        let of = Subject::Asset { asset: self.config.asset.clone(), market: self.config.market };
        vec![Subscription { of, feed: Feed::Candles(self.config.timeframe) }]
    }

    fn handle(&mut self, input: &AgentInput, context: &mut Context<'_>) {
        match input {
            AgentInput::Started { positions, .. } | AgentInput::Positions(positions) => self.holds(positions),
            AgentInput::Candle(candle) => self.candle(candle, context),
            AgentInput::Execution(execution) if execution.legs.iter().all(|leg| leg.outcome.is_some()) => {
                self.pending.remove(&execution.signal_id);
            }
            AgentInput::Refused { signal, .. } => drop(self.pending.remove(signal)),
            // What became of what is on its way may be among it: it counts as held or gone as of the next news.
            AgentInput::Missed { .. } => self.pending.clear(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
