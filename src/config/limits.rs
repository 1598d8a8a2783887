//! The keys of limits: the same under `[deployment.limits]`, `[agent.limits]`, `limits` of an account and `[risk]`.

use std::time::Duration;

use omnivenue_core::executor::{Limits, OnExcess, TradingHours, TradingWindow};
use omnivenue_core::model::number::Fraction;
use omnivenue_core::model::time::{format_duration, parse_duration};
use serde::Serializer;
use serde_json::Value;

use super::section::Section;

/// Reads a table of limits and nothing else.
pub(super) fn table(section: &Section<'_>) -> Limits {
    let limits = read(section);
    section.finish();
    limits
}

/// Reads the keys of limits, where other keys may stand beside them.
pub(super) fn read(section: &Section<'_>) -> Limits {
    let policies = [("refuse", OnExcess::Refuse), ("shrink", OnExcess::Shrink)];
    let min_liquidation_distance = fraction(section, "min_liquidation_distance", "0.1");
    let maintenance_margin: Option<Fraction> = section.number("maintenance_margin", "0.02");
    if min_liquidation_distance.is_some() && maintenance_margin.is_none() {
        let fits = "is there without maintenance_margin: give that too, as the venue states it for the instrument, such as \"0.02\"";
        section.issue("min_liquidation_distance", fits);
    }
    if maintenance_margin.is_some() && min_liquidation_distance.is_none() {
        section.issue("maintenance_margin", "holds only with min_liquidation_distance");
    }
    Limits {
        max_order_notional: section.number("max_order_notional", "5000"),
        max_asset_notional: section.number("max_asset_notional", "20000"),
        max_notional: section.number("max_notional", "50000"),
        on_excess: section.choice("on_excess", &policies).unwrap_or_default(),
        min_confidence: section.number("min_confidence", "0.7"),
        max_signal_age: length(section, "max_signal_age", "10s"),
        trading_hours: trading_hours(section),
        max_open_positions: count(section, "max_open_positions"),
        one_position_per_asset: section.flag("one_position_per_asset").unwrap_or_default(),
        max_same_direction: count(section, "max_same_direction"),
        max_same_direction_notional: section.number("max_same_direction_notional", "20000"),
        max_concentration: fraction(section, "max_concentration", "0.25"),
        max_leverage: section.number("max_leverage", "5"),
        max_risk_per_trade: section.number("max_risk_per_trade", "100"),
        max_risk_per_trade_fraction: fraction(section, "max_risk_per_trade_fraction", "0.02"),
        min_reward_to_risk: section.number("min_reward_to_risk", "1.5"),
        min_liquidation_distance,
        maintenance_margin,
        price_collar: fraction(section, "price_collar", "0.02"),
        max_price_age: length(section, "max_price_age", "5s"),
        max_spread: fraction(section, "max_spread", "0.002"),
        max_order_rate: section.parsed("max_order_rate", "a count and a period in quotes, such as \"10/1m\""),
        cooldown: length(section, "cooldown", "5m"),
        loss_cooldown: length(section, "loss_cooldown", "30m"),
    }
}

fn count(section: &Section<'_>, key: &'static str) -> Option<u32> {
    let count = section.count(key, "a whole number, 1 or more");
    if count == Some(0) {
        section.issue(key, "got 0, but must be 1 or more; leave it out where there is no limit");
    }
    count
}

fn fraction(section: &Section<'_>, key: &'static str, example: &str) -> Option<Fraction> {
    let fraction: Option<Fraction> = section.number(key, example);
    if fraction.is_some_and(Fraction::is_zero) {
        section.issue(key, format!("got \"0\", but must be greater than 0 and at most 1, such as \"{example}\""));
    }
    fraction
}

fn length(section: &Section<'_>, key: &'static str, example: &str) -> Option<Duration> {
    let text = section.text(key, &format!("a length of time in quotes, such as \"{example}\""))?;
    let length = section.keep(key, parse_duration(text))?;
    if length.is_zero() {
        section.issue(key, format!("got 0, but must be longer, such as \"{example}\"; leave it out where there is no limit"));
    }
    Some(length)
}

fn trading_hours(section: &Section<'_>) -> Option<TradingHours> {
    let windows: Vec<TradingWindow> = section.texts("trading_hours", "times of the week in UTC, such as [\"mon-fri 08:00-16:30\"]")?;
    if !section.is_sound() {
        return None;
    }
    section.keep("trading_hours", TradingHours::new(&windows))
}

/// The limits that are set, as they are written.
pub(super) fn shown<S: Serializer>(limits: &Limits, serializer: S) -> Result<S::Ok, S::Error> {
    let text = |value: &dyn ToString| Some(Value::String(value.to_string()));
    let length = |length: Duration| Some(Value::String(format_duration(length)));
    let hours = |hours: TradingHours| Value::Array(hours.windows().map(|window| Value::String(window.to_string())).collect());
    let given: [(&str, Option<Value>); 24] = [
        ("max_order_notional", limits.max_order_notional.and_then(|value| text(&value))),
        ("max_asset_notional", limits.max_asset_notional.and_then(|value| text(&value))),
        ("max_notional", limits.max_notional.and_then(|value| text(&value))),
        ("on_excess", (limits.on_excess == OnExcess::Shrink).then(|| Value::String("shrink".to_owned()))),
        ("min_confidence", limits.min_confidence.and_then(|value| text(&value))),
        ("max_signal_age", limits.max_signal_age.and_then(length)),
        ("trading_hours", limits.trading_hours.map(hours)),
        ("max_open_positions", limits.max_open_positions.map(Value::from)),
        ("one_position_per_asset", limits.one_position_per_asset.then_some(Value::Bool(true))),
        ("max_same_direction", limits.max_same_direction.map(Value::from)),
        ("max_same_direction_notional", limits.max_same_direction_notional.and_then(|value| text(&value))),
        ("max_concentration", limits.max_concentration.and_then(|value| text(&value))),
        ("max_leverage", limits.max_leverage.and_then(|value| text(&value))),
        ("max_risk_per_trade", limits.max_risk_per_trade.and_then(|value| text(&value))),
        ("max_risk_per_trade_fraction", limits.max_risk_per_trade_fraction.and_then(|value| text(&value))),
        ("min_reward_to_risk", limits.min_reward_to_risk.and_then(|value| text(&value))),
        ("min_liquidation_distance", limits.min_liquidation_distance.and_then(|value| text(&value))),
        ("maintenance_margin", limits.maintenance_margin.and_then(|value| text(&value))),
        ("price_collar", limits.price_collar.and_then(|value| text(&value))),
        ("max_price_age", limits.max_price_age.and_then(length)),
        ("max_spread", limits.max_spread.and_then(|value| text(&value))),
        ("max_order_rate", limits.max_order_rate.and_then(|value| text(&value))),
        ("cooldown", limits.cooldown.and_then(length)),
        ("loss_cooldown", limits.loss_cooldown.and_then(length)),
    ];
    serializer.collect_map(given.into_iter().filter_map(|(key, limit)| Some((key, limit?))))
}

/// The limits that are set, where none may be.
pub(super) fn is_unlimited(limits: &Limits) -> bool {
    *limits == Limits::default()
}

/// A table of limits inside another one.
pub(super) fn within(section: &Section<'_>) -> Limits {
    section.section("limits").map(|section| table(&section)).unwrap_or_default()
}
