//! Exits: how a position that a signal opens is closed again without another word from the agent.

use std::time::Duration;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::contract::Contract;
use super::instrument::{Instrument, Side};
use super::number::{Factor, Fraction, Leverage, Price, exact};
use super::schema::Length;
use super::signal::Direction;
use super::time::option_duration_text;

/// How far from the entry price an exit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// A fraction of the entry price: `0.05` is 5 % of it.
    Fraction(Fraction),
    /// A price of the instrument.
    Price(Price),
    /// A return on margin: `0.5` is half of it, which at leverage 5 is 10 % of the entry price; of an inverse contract what gains or loses so much
    /// of the coins ([`Exits::on`]).
    Roe(Factor),
}

/// A stop that follows the price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trailing {
    /// How far behind the best price seen since it was activated, as a fraction of that price.
    pub fraction: Fraction,
    /// The gain, as a fraction of the entry price, from which on it follows; at once when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Fraction>,
}

/// How the position of a leg is closed again. Each exit closes all that is left of the leg; the first one ends the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exits {
    /// Closes at a gain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_profit: Option<Distance>,
    /// Closes at a loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_loss: Option<Distance>,
    /// Closes when the price falls back from its best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trailing: Option<Trailing>,
    /// Closes so long after the first fill.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "option_duration_text")]
    #[schemars(with = "Option<Length>")]
    pub time_limit: Option<Duration>,
}

/// Which exit it is, at a venue or in the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExitKind {
    /// Against the position: the fixed stop or the trailing one, whichever is nearer.
    StopLoss,
    /// In favor of the position.
    TakeProfit,
}

/// What wakes an order that waits at a venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trigger {
    /// Which exit it is.
    pub kind: ExitKind,
    /// The trigger price.
    pub price: Price,
}

/// Which price a venue compares with a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TriggerSource {
    /// The price that positions are margined at.
    Mark,
    /// The latest trade.
    Last,
    /// The middle of bid and ask: what the engine itself compares.
    Mid,
}

impl ExitKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::StopLoss, Self::TakeProfit];
}

impl Trigger {
    /// Whether a price has reached it, for an exit that trades to `side`.
    #[must_use]
    pub fn is_reached(self, side: Side, price: Price) -> bool {
        let rising = (self.kind == ExitKind::StopLoss) == side.is_buy();
        if rising { price >= self.price } else { price <= self.price }
    }
}

impl Exits {
    /// Whether a stop is asked for: fixed or trailing.
    #[must_use]
    pub const fn wants_stop(&self) -> bool {
        self.stop_loss.is_some() || self.trailing.is_some()
    }

    /// The same exits for a contract: where it is inverse, returns on margin are turned into those that a linear one would have at the same price.
    /// One that no price gives is left out.
    #[must_use]
    pub fn on(&self, contract: &Contract, direction: Direction, leverage: Leverage) -> Self {
        if !contract.is_inverse() {
            return *self;
        }
        let long = direction == Direction::Long;
        let turned = |distance: Option<Distance>, up| distance.and_then(|distance| distance.turned(leverage, up));
        Self { take_profit: turned(self.take_profit, long), stop_loss: turned(self.stop_loss, !long), ..*self }
    }

    /// Checks what the types alone cannot.
    ///
    /// # Errors
    /// A sentence that names the field, what was given and what fits.
    pub fn check(&self, direction: Direction) -> Result<(), String> {
        if *self == Self::default() {
            return Err("exits is empty; leave it out, or give one of take_profit, stop_loss, trailing, time_limit".into());
        }
        for (name, distance) in [("take_profit", self.take_profit), ("stop_loss", self.stop_loss)] {
            let zero = match distance {
                Some(Distance::Fraction(fraction)) => fraction.decimal().is_zero(),
                Some(Distance::Roe(roe)) => roe.decimal().is_zero(),
                _ => false,
            };
            if zero {
                return Err(format!("exits.{name} is 0, but must be greater than 0"));
            }
        }
        let whole = |fraction: Fraction| fraction.decimal() == Decimal::ONE;
        let down = if direction == Direction::Long { ("stop_loss", self.stop_loss) } else { ("take_profit", self.take_profit) };
        if matches!(down.1, Some(Distance::Fraction(fraction)) if whole(fraction)) {
            return Err(format!("exits.{} is 1, but a price cannot fall to 0: it must be less than 1", down.0));
        }
        if let Some(trailing) = &self.trailing
            && (trailing.fraction.decimal().is_zero() || whole(trailing.fraction))
        {
            return Err(format!("exits.trailing.fraction is {}, but must be greater than 0 and less than 1", trailing.fraction));
        }
        if self.time_limit.is_some_and(|limit| limit.is_zero()) {
            return Err("exits.time_limit is 0, but must be at least 1ms".into());
        }
        Ok(())
    }

    /// Where an exit is, for a position that was entered at `entry` and whose best price since is `best`: of the stops the nearer one.
    /// `None` where none is asked for, where it is not active yet, or where its price would not be above 0.
    #[must_use]
    pub fn trigger_price(&self, kind: ExitKind, direction: Direction, entry: Price, leverage: Leverage, best: Price) -> Option<Price> {
        if kind == ExitKind::TakeProfit {
            return self.take_profit_price(direction, entry, leverage);
        }
        match (self.stop_price(direction, entry, leverage), self.trailing_price(direction, entry, best)) {
            (Some(fixed), Some(trailing)) => Some(if direction == Direction::Long { fixed.max(trailing) } else { fixed.min(trailing) }),
            (fixed, trailing) => fixed.or(trailing),
        }
    }

    /// The price of the take profit, for a position that was entered at `entry`; `None` without one, or where the price would not be above 0.
    #[must_use]
    pub fn take_profit_price(&self, direction: Direction, entry: Price, leverage: Leverage) -> Option<Price> {
        self.take_profit?.price(entry, leverage, direction == Direction::Long)
    }

    /// The price of the fixed stop.
    #[must_use]
    pub fn stop_price(&self, direction: Direction, entry: Price, leverage: Leverage) -> Option<Price> {
        self.stop_loss?.price(entry, leverage, direction == Direction::Short)
    }

    /// The price of the trailing stop when the best price since the entry is `best`; `None` while it is not activated.
    #[must_use]
    pub fn trailing_price(&self, direction: Direction, entry: Price, best: Price) -> Option<Price> {
        let trailing = self.trailing?;
        let long = direction == Direction::Long;
        let activation = match trailing.activation {
            Some(fraction) => moved(entry, fraction.decimal(), long)?,
            None => entry,
        };
        let active = if long { best >= activation } else { best <= activation };
        if !active {
            return None;
        }
        moved(best, trailing.fraction.decimal(), !long)
    }
}

impl Distance {
    /// Of an inverse contract: it gains leverage × (1 − entry / price) of the margin, so that the price is entry ÷ (1 ∓ return / leverage).
    fn turned(self, leverage: Leverage, up: bool) -> Option<Self> {
        let Self::Roe(roe) = self else { return Some(self) };
        let share = roe.decimal().checked_div(leverage.decimal())?;
        let rest = if up { exact::sub(Decimal::ONE, share)? } else { exact::add(Decimal::ONE, share)? };
        let turned = roe.decimal().checked_div(rest).filter(|_| rest > Decimal::ZERO)?;
        Factor::new(turned).ok().map(Self::Roe)
    }

    fn price(self, entry: Price, leverage: Leverage, up: bool) -> Option<Price> {
        match self {
            Self::Price(price) => Some(price),
            Self::Fraction(fraction) => moved(entry, fraction.decimal(), up),
            Self::Roe(roe) => moved(entry, roe.decimal().checked_div(leverage.decimal())?, up),
        }
    }
}

fn moved(price: Price, fraction: Decimal, up: bool) -> Option<Price> {
    let factor = if up { exact::add(Decimal::ONE, fraction)? } else { Decimal::ONE.checked_sub(fraction)? };
    Price::new(price.decimal().checked_mul(factor)?.round_dp(12)).ok()
}

/// A trigger price that the instrument admits, rounded toward the entry: a stop never further away than was asked.
#[must_use]
pub fn trigger_price(instrument: &Instrument, price: Price, kind: ExitKind, direction: Direction) -> Option<Price> {
    // A buyer's limit is rounded down, a seller's up.
    let up = (kind == ExitKind::StopLoss) == (direction == Direction::Long);
    instrument.limit_price(price, if up { Side::Sell } else { Side::Buy })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exits(text: &str) -> Exits {
        serde_json::from_str(text).unwrap()
    }

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    #[test]
    fn distances_are_of_the_entry_price_or_of_the_margin() {
        let check = |text: &str, direction, leverage: &str, stop: Option<&str>, profit: Option<&str>| {
            let (exits, leverage) = (exits(text), leverage.parse().unwrap());
            assert_eq!(exits.stop_price(direction, price("40"), leverage), stop.map(price), "{text}");
            assert_eq!(exits.take_profit_price(direction, price("40"), leverage), profit.map(price), "{text}");
        };
        let both = r#"{"take_profit":{"fraction":"0.05"},"stop_loss":{"fraction":"0.03"}}"#;
        check(both, Direction::Long, "5", Some("38.8"), Some("42"));
        check(both, Direction::Short, "5", Some("41.2"), Some("38"));
        check(r#"{"take_profit":{"roe":"0.5"},"stop_loss":{"price":"39.5"}}"#, Direction::Long, "5", Some("39.5"), Some("44"));
        check(r#"{"take_profit":{"roe":"6"}}"#, Direction::Short, "5", None, None);
    }

    #[test]
    fn a_return_on_coins_is_another_price_than_one_on_money() {
        let inverse = Contract::Inverse { money: crate::model::contract::MoneyRule::nearest(8) };
        let check = |text: &str, direction, leverage: &str, stop: Option<&str>, profit: Option<&str>| {
            let leverage = leverage.parse().unwrap();
            let exits = exits(text).on(&inverse, direction, leverage);
            assert_eq!(exits.stop_price(direction, price("40000"), leverage), stop.map(price), "{text}");
            assert_eq!(exits.take_profit_price(direction, price("40000"), leverage), profit.map(price), "{text}");
            // The formula of the venues: leverage × (1 − entry / price), the other way round for a short position.
        };
        let both = r#"{"take_profit":{"roe":"1"},"stop_loss":{"roe":"1.25"}}"#;
        check(both, Direction::Long, "5", Some("32000"), Some("50000"));
        check(both, Direction::Short, "5", Some("53333.333333333333"), Some("33333.333333333333"));
        // Coins can be lost without end on the way down, but no more than all that is sold on the way up.
        check(r#"{"take_profit":{"roe":"5"}}"#, Direction::Long, "5", None, None);
        check(r#"{"stop_loss":{"fraction":"0.1"}}"#, Direction::Long, "5", Some("36000"), None);
    }

    #[test]
    fn a_trailing_stop_follows_once_it_is_activated() {
        let trailing = exits(r#"{"trailing":{"fraction":"0.10","activation":"0.05"}}"#);
        assert_eq!(trailing.trailing_price(Direction::Long, price("100"), price("104.9")), None);
        assert_eq!(trailing.trailing_price(Direction::Long, price("100"), price("105")), Some(price("94.5")));
        assert_eq!(trailing.trailing_price(Direction::Short, price("100"), price("95")), Some(price("104.5")));
        let at_once = exits(r#"{"trailing":{"fraction":"0.10"}}"#);
        assert_eq!(at_once.trailing_price(Direction::Long, price("100"), price("100")), Some(price("90")));
    }

    #[test]
    fn bad_exits_say_what_fits() {
        let check = |text: &str, direction, words: &str| {
            let said = exits(text).check(direction).unwrap_err();
            assert!(said.contains(words), "{said}");
        };
        check("{}", Direction::Long, "is empty");
        check(r#"{"take_profit":{"fraction":"0"}}"#, Direction::Long, "take_profit is 0");
        check(r#"{"stop_loss":{"fraction":"1"}}"#, Direction::Long, "less than 1");
        check(r#"{"take_profit":{"fraction":"1"}}"#, Direction::Short, "less than 1");
        check(r#"{"trailing":{"fraction":"1"}}"#, Direction::Long, "trailing.fraction is 1");
        check(r#"{"time_limit":"0s"}"#, Direction::Long, "time_limit is 0");
        assert_eq!(exits(r#"{"stop_loss":{"fraction":"1"}}"#).check(Direction::Short), Ok(()));
        assert!(serde_json::from_str::<Exits>(r#"{"stop":{"fraction":"1"}}"#).is_err());
    }

    #[test]
    fn a_trigger_wakes_on_its_side() {
        let check = |kind, side, at: &str, expected| {
            assert_eq!(Trigger { kind, price: price("100") }.is_reached(side, price(at)), expected, "{kind:?} {side} {at}");
        };
        check(ExitKind::StopLoss, Side::Sell, "100.01", false);
        check(ExitKind::StopLoss, Side::Sell, "100", true);
        check(ExitKind::TakeProfit, Side::Sell, "99.99", false);
        check(ExitKind::TakeProfit, Side::Sell, "100", true);
        check(ExitKind::StopLoss, Side::Buy, "99.99", false);
        check(ExitKind::StopLoss, Side::Buy, "100", true);
        check(ExitKind::TakeProfit, Side::Buy, "100.01", false);
        check(ExitKind::TakeProfit, Side::Buy, "100", true);
    }
}
