//! What the momentum agent is told, what each fraction is of, and which combinations cannot be meant.

use omnivenue_core::agent::{Candle, Timeframe};
use omnivenue_core::model::ids::{AgentId, Asset, SignalId};
use omnivenue_core::model::instrument::Market;
use omnivenue_core::model::number::{Fraction, Leverage};
use omnivenue_core::model::signal::Direction;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a trailing stop's fractions are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrailOf {
    /// Of the margin: a return on it, as venues show it (ROE). At leverage 5, `0.10` of the margin is `0.02` of the price.
    #[default]
    Margin,
    /// Of the price.
    Price,
}

/// A stop that follows the price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trail {
    /// How far it stays behind the best price since it was activated.
    pub fraction: Fraction,
    /// What both fractions are of.
    #[serde(default)]
    pub of: TrailOf,
    /// The gain from which on it follows. As much as `fraction`, the usual, means: from where it would close at the entry price.
    pub activation: Fraction,
}

impl Trail {
    /// The same numbers, taken as fractions of the price.
    #[must_use]
    pub const fn of_price(self) -> Self {
        Self { of: TrailOf::Price, ..self }
    }
}

/// What the momentum agent is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MomentumConfig {
    /// What it trades.
    pub asset: Asset,
    /// On which market.
    pub market: Market,
    /// How long a bar is; 1m.
    pub timeframe: Timeframe,
    /// Over how many bars the move is measured: from the close so many bars ago to the latest close; 12.
    pub bars: u16,
    /// The move that counts, as a fraction of the price that many bars ago; 0.02.
    pub threshold: Fraction,
    /// The gain at which a position is closed, as a fraction of its entry price; 0.05.
    pub take_profit: Fraction,
    /// The loss at which it is closed, as a fraction of its entry price; 0.03.
    pub stop_loss: Fraction,
    /// The stop that follows: 0.10 of the margin behind the best price, from a gain of 0.10 of the margin on. None when absent.
    pub trailing: Option<Trail>,
    /// What one position may lose at its stop, fees included, as a fraction of the deployment's equity on the account; 0.05. With a stop at 0.03
    /// it is worth about 1.6 times that equity.
    pub risk: Fraction,
    /// Instead of `risk`: the margin of one position as a fraction of the same equity; it is worth so much times the leverage.
    pub equity_fraction: Option<Fraction>,
    /// The leverage to ask for; when absent what all positions at once need, see [`Self::leverage`].
    pub leverage: Option<Leverage>,
    /// The loss of a day (UTC), realized or not, after which it enters no more until the next, as a fraction of the agent's equity as that day
    /// began; 0.20. A limit of the engine's, in force unless the agent's `losses` say otherwise.
    pub daily_loss: Fraction,
    /// Positions at once, each of one signal; 3.
    pub max_positions: u16,
    /// The leverage that is never exceeded; 25. What is asked for is what all positions at once need, see [`Self::leverage`].
    pub max_leverage: Leverage,
}

/// A combination that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ImpossibleError {
    /// The key at fault.
    pub key: &'static str,
    /// What it got, why that cannot be meant, and what fits.
    pub problem: String,
}

/// Decimals to which fractions are converted.
const SCALE: u32 = 8;

fn constant<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("a constant that is valid, as a test proves")
}

fn of(a: Decimal, b: Decimal) -> Decimal {
    a.checked_div(b).unwrap_or(Decimal::MAX)
}

impl MomentumConfig {
    /// The usual numbers.
    #[must_use]
    pub fn new(asset: Asset) -> Self {
        Self {
            asset,
            market: Market::Perp,
            timeframe: constant("1m"),
            bars: 12,
            threshold: constant("0.02"),
            take_profit: constant("0.05"),
            stop_loss: constant("0.03"),
            trailing: Some(Trail { fraction: constant("0.10"), of: TrailOf::Margin, activation: constant("0.10") }),
            risk: constant("0.05"),
            equity_fraction: None,
            leverage: None,
            daily_loss: constant("0.20"),
            max_positions: 3,
            max_leverage: constant("25"),
        }
    }

    /// How many times the equity one position is worth: `risk / stop_loss`, or `equity_fraction` × leverage.
    fn worth(&self) -> Decimal {
        match self.equity_fraction {
            Some(share) => share.decimal().checked_mul(self.leverage().decimal()).unwrap_or(Decimal::MAX),
            None => of(self.risk.decimal(), self.stop_loss.decimal()),
        }
    }

    /// The leverage it asks for: the one it was given, or the smallest whole one at which all positions fit into the equity as margin, no more
    /// than `max_leverage`. With `equity_fraction` and none given it is 1.
    #[must_use]
    pub fn leverage(&self) -> Leverage {
        match (self.leverage, self.equity_fraction) {
            (Some(leverage), _) => return leverage,
            (None, Some(_)) => return Leverage::ONE,
            (None, None) => {}
        }
        let risk = self.risk.decimal().checked_mul(Decimal::from(self.max_positions)).unwrap_or(Decimal::MAX);
        let needed = of(risk, self.stop_loss.decimal()).ceil();
        let leverage = needed.clamp(Decimal::ONE, self.max_leverage.decimal());
        Leverage::new(leverage).unwrap_or(self.max_leverage)
    }

    /// The trailing stop's distance and activation as fractions of the price.
    fn trail(&self) -> Option<(Decimal, Decimal)> {
        let trail = self.trailing?;
        let part = |fraction: Fraction| match trail.of {
            TrailOf::Margin => of(fraction.decimal(), self.leverage().decimal()).trunc_with_scale(SCALE).normalize(),
            TrailOf::Price => fraction.decimal(),
        };
        Some((part(trail.fraction), part(trail.activation)))
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`ImpossibleError`] names the key, what it got, why that cannot be and what fits.
    pub fn check(&self) -> Result<(), ImpossibleError> {
        let wrong = |key, problem: String| Err(ImpossibleError { key, problem });
        if !(1..=1_000).contains(&self.bars) {
            return wrong("bars", format!("got {}, but must be 1 to 1000", self.bars));
        }
        for (key, fraction) in [
            ("threshold", self.threshold),
            ("take_profit", self.take_profit),
            ("stop_loss", self.stop_loss),
            ("risk", self.risk),
            ("daily_loss", self.daily_loss),
        ] {
            if fraction.is_zero() || (fraction.decimal() == Decimal::ONE && !matches!(key, "risk" | "daily_loss")) {
                return wrong(key, format!("got {fraction}, but must be greater than 0 and less than 1"));
            }
        }
        if self.max_positions == 0 {
            return wrong("max_positions", "got 0, but must be at least 1: an agent that may hold nothing does nothing".into());
        }
        if self.market == Market::Spot && self.max_leverage != Leverage::ONE {
            return wrong("max_leverage", format!("got {}, but on spot it must be 1", self.max_leverage));
        }
        if self.leverage.is_some_and(|leverage| leverage > self.max_leverage) {
            return wrong("leverage", format!("got {}, but max_leverage is {}", self.leverage(), self.max_leverage));
        }
        if self.equity_fraction.is_some_and(Fraction::is_zero) {
            return wrong("equity_fraction", "got 0, but must be greater than 0".into());
        }
        self.check_leverage()?;
        self.check_trail()
    }

    fn check_leverage(&self) -> Result<(), ImpossibleError> {
        let (worth, leverage) = (self.worth(), self.leverage());
        if worth > self.max_leverage.decimal() {
            let problem = format!(
                "got {}, but losing {} of the equity at a stop of {} takes a position of {} times the equity: raise it, lower risk, or widen stop_loss",
                self.max_leverage,
                self.risk,
                self.stop_loss,
                worth.round_dp(2).normalize()
            );
            return Err(ImpossibleError { key: "max_leverage", problem });
        }
        let liquidated = of(Decimal::ONE, leverage.decimal());
        if leverage > Leverage::ONE && self.stop_loss.decimal() >= liquidated {
            let problem = format!(
                "got {}, but at leverage {leverage} the margin is gone after a move of {}: the position would be liquidated before its stop",
                self.stop_loss,
                liquidated.round_dp(4).normalize()
            );
            return Err(ImpossibleError { key: "stop_loss", problem });
        }
        Ok(())
    }

    /// The trailing stop must be able to do something: with the best price just before the take profit it must be nearer than the fixed one.
    fn check_trail(&self) -> Result<(), ImpossibleError> {
        let Some((distance, activation)) = self.trail() else { return Ok(()) };
        let (profit, stop) = (self.take_profit.decimal(), self.stop_loss.decimal());
        let wrong = |problem: String| Err(ImpossibleError { key: "trailing", problem });
        if distance.is_zero() || distance >= Decimal::ONE {
            return wrong(format!("its fraction is {distance} of the price, but must be greater than 0 and less than 1"));
        }
        let Some(trail) = self.trailing else { return Ok(()) };
        let unit = match trail.of {
            TrailOf::Margin => format!("{} of the margin, at leverage {} {distance} of the price", trail.fraction, self.leverage()),
            TrailOf::Price => format!("{} of the price", trail.fraction),
        };
        if activation >= profit {
            return wrong(format!(
                "it can never fire: it follows from a gain of {activation} of the price on, where the take profit at {profit} has closed the position"
            ));
        }
        let one = Decimal::ONE;
        let long = (one + profit).checked_mul(one - distance).unwrap_or_default();
        let short = (one - profit).checked_mul(one + distance).unwrap_or_default();
        let most = (one - of(one - stop, one + profit)).min(of(one + stop, one - profit) - one);
        if long <= one - stop || short >= one + stop {
            return wrong(format!(
                "it can never fire: {unit} behind the best price there is before the take profit ({profit}) is {} of the entry price, and the fixed stop is nearer, at {}: make it smaller than {}, or a fraction of the margin (of = \"margin\")",
                long.normalize(),
                (one - stop).normalize(),
                most.trunc_with_scale(4).normalize(),
            ));
        }
        Ok(())
    }

    /// How sure a move makes it: half at the threshold, fully at twice of it.
    fn confidence(&self, momentum: Decimal) -> Decimal {
        let twice = self.threshold.decimal() + self.threshold.decimal();
        of(momentum.abs(), twice).min(Decimal::ONE).trunc_with_scale(4).normalize()
    }

    /// The signal that a candle causes, in its published form.
    pub(super) fn signal(&self, id: &SignalId, agent: &AgentId, candle: &Candle, direction: Direction, momentum: Decimal) -> Value {
        let trailing =
            self.trail().map(|(distance, activation)| json!({ "fraction": distance.to_string(), "activation": activation.to_string() }));
        let mut exits = json!({ "take_profit": { "fraction": self.take_profit }, "stop_loss": { "fraction": self.stop_loss } });
        if let Some(trailing) = trailing {
            exits["trailing"] = trailing;
        }
        let sizing = match self.equity_fraction {
            Some(share) => json!({ "equity_fraction": share }),
            None => json!({ "risk_fraction": self.risk }),
        };
        json!({
            "id": id,
            "agent": agent,
            "asset": self.asset,
            "market": self.market,
            "direction": direction,
            "confidence": self.confidence(momentum).to_string(),
            // Not the clock's: handled again, the same candle gives the same body.
            "created_at": candle.close_time(),
            "sizing": sizing,
            "leverage": self.leverage(),
            "exits": exits,
            "metadata": { "momentum": momentum.to_string() },
        })
    }
}
