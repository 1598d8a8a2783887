//! What an agent can be told, and how it says what it wants.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::engine::FillSummary;
use crate::model::execution::{Execution, PositionReport};
use crate::model::ids::{Asset, SignalId, VenueId, VenueSymbol};
use crate::model::instrument::Market;
use crate::model::number::{Price, Quantity};
use crate::model::time::{Timestamp, format_duration, parse_duration};
use crate::venue::Quote;

/// What an agent is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AgentInput {
    /// This instance begins: the first input of each.
    Started {
        /// What the agent last kept with [`Context::checkpoint`](super::Context::checkpoint), in this process or one before it.
        checkpoint: Option<Value>,
        /// How many instances this engine has started before this one.
        restarts: u32,
        /// What the agent holds, everywhere.
        positions: Vec<PositionReport>,
    },
    /// A candle it subscribed to is complete.
    Candle(Candle),
    /// A price it subscribed to changed.
    Quote {
        /// The venue.
        venue: VenueId,
        /// Its quote.
        quote: Quote,
    },
    /// Something became of a signal of its own, or of an order that closes what it holds: an exit, a close by hand, a kill.
    Execution(Box<Execution>),
    /// Something of its own traded: each trade is told once by an engine that goes on.
    Fill(Box<FillSummary>),
    /// What the agent holds now, everywhere: after something of its own traded.
    Positions(Vec<PositionReport>),
    /// A signal it emitted was not taken at all; nothing was done. What the gates refuse is an execution.
    Refused {
        /// The signal.
        signal: SignalId,
        /// A stable code, such as `conflict`.
        code: String,
        /// As a sentence.
        reason: String,
    },
    /// A timer it set is over.
    Timer {
        /// As it named it.
        name: String,
    },
    /// It was too slow, or down: so many inputs before this one were dropped, and are not told again.
    Missed {
        /// How many.
        inputs: u64,
    },
}

impl AgentInput {
    /// Whether it is about the market, which goes on, rather than about the agent's own orders.
    pub(crate) const fn is_price(&self) -> bool {
        matches!(self, Self::Quote { .. } | Self::Candle(_))
    }
}

/// The prices of one instrument within a length of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candle {
    /// The venue.
    pub venue: VenueId,
    /// The instrument.
    pub symbol: VenueSymbol,
    /// How long it is.
    pub timeframe: Timeframe,
    /// When it begins. It is told once it is over.
    pub open_time: Timestamp,
    /// The first price in it.
    pub open: Price,
    /// The highest.
    pub high: Price,
    /// The lowest.
    pub low: Price,
    /// The last.
    pub close: Price,
    /// What was traded, in whatever unit its source counts; absent when it is made of quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Quantity>,
}

impl Candle {
    /// When it is over.
    #[must_use]
    pub fn close_time(&self) -> Timestamp {
        self.open_time.after(self.timeframe.length())
    }

    /// A name for signals that this candle causes: the same for the same candle, in every process and in a backtest.
    #[must_use]
    pub fn trigger(&self) -> String {
        format!("{}/{}/{}/{}", self.venue, self.symbol, self.timeframe, self.open_time.as_millis())
    }
}

/// How long a candle is: whole seconds that divide a day, so that candles begin at midnight UTC. Written `1m`, `15m`, `4h`, `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeframe(u32);

/// Text that is no timeframe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is not a timeframe; write whole seconds that divide a day, such as \"30s\", \"1m\", \"15m\", \"4h\" or \"1d\"")]
pub struct TimeframeError {
    /// What was given.
    pub got: String,
}

const DAY: u32 = 86_400;

impl Timeframe {
    /// The timeframe of this length.
    ///
    /// # Errors
    /// [`TimeframeError`] unless it is whole seconds that divide a day.
    pub fn new(length: Duration) -> Result<Self, TimeframeError> {
        let seconds = u32::try_from(length.as_secs()).ok().filter(|seconds| *seconds > 0 && DAY.is_multiple_of(*seconds));
        let whole = seconds.filter(|_| length.subsec_nanos() == 0);
        whole.map(Self).ok_or_else(|| TimeframeError { got: format_duration(length) })
    }

    /// How long it is.
    #[must_use]
    pub const fn length(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }

    /// When the candle begins that an instant is in.
    #[must_use]
    pub fn open_of(self, at: Timestamp) -> Timestamp {
        let length = i64::from(self.0) * 1_000_000;
        Timestamp::from_micros(at.as_micros().div_euclid(length).saturating_mul(length))
    }
}

impl fmt::Display for Timeframe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format_duration(self.length()))
    }
}

impl FromStr for Timeframe {
    type Err = TimeframeError;

    fn from_str(text: &str) -> Result<Self, TimeframeError> {
        let wrong = || TimeframeError { got: text.chars().take(48).collect() };
        Self::new(parse_duration(text).map_err(|_| wrong())?).map_err(|_| wrong())
    }
}

impl Serialize for Timeframe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timeframe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Something an agent wants to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Of what.
    pub of: Subject,
    /// In which form.
    pub feed: Feed,
}

/// What a subscription is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// One instrument.
    Instrument {
        /// The venue.
        venue: VenueId,
        /// The venue's name of it.
        symbol: VenueSymbol,
    },
    /// An asset, where the agent trades it first: on the first account, in the order of its deployments, whose venue lists it on this market.
    Asset {
        /// The asset.
        asset: Asset,
        /// The market.
        market: Market,
    },
}

/// In which form prices are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feed {
    /// Each change.
    Quotes,
    /// Summed up. A candle is told when it is over; one that was not seen from its beginning, or in which there was no price, is not told.
    Candles(Timeframe),
}

impl Subscription {
    /// Candles of an asset's perpetual, where the agent trades it first.
    #[must_use]
    pub fn candles(asset: Asset, timeframe: Timeframe) -> Self {
        Self { of: Subject::Asset { asset, market: Market::Perp }, feed: Feed::Candles(timeframe) }
    }

    /// Quotes of an asset's perpetual, where the agent trades it first.
    #[must_use]
    pub fn quotes(asset: Asset) -> Self {
        Self { of: Subject::Asset { asset, market: Market::Perp }, feed: Feed::Quotes }
    }

    /// The same of one instrument.
    #[must_use]
    pub fn of(self, venue: VenueId, symbol: VenueSymbol) -> Self {
        Self { of: Subject::Instrument { venue, symbol }, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeframes_divide_a_day() {
        for (text, seconds) in [("1s", 1), ("1m", 60), ("15m", 900), ("4h", 14_400), ("1d", 86_400)] {
            let timeframe: Timeframe = text.parse().unwrap();
            assert_eq!((timeframe.length(), timeframe.to_string().as_str()), (Duration::from_secs(seconds), text));
        }
        for text in ["", "0s", "7m", "500ms", "2d", "1w", "m"] {
            let said = text.parse::<Timeframe>().unwrap_err().to_string();
            assert!(said.contains(&format!("`{text}`")) && said.contains("divide a day"), "{said}");
        }
    }

    #[test]
    fn candles_begin_at_midnight() {
        let hour: Timeframe = "4h".parse().unwrap();
        let at: Timestamp = "2026-01-31T13:59:59.999999Z".parse().unwrap();
        assert_eq!(hour.open_of(at).to_string(), "2026-01-31T12:00:00Z");
        assert_eq!(hour.open_of(Timestamp::from_micros(-1)).as_micros(), -14_400_000_000);
    }
}
