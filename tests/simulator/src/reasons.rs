//! Whether the numbers in a refusal explain it: read from its sentence, compared with one another and with the limits that are set.

use std::time::Duration;

use omnivenue_core::executor::{Limits, TradingHours};
use omnivenue_core::journal::OrderPlan;
use omnivenue_core::ledger::Level;
use omnivenue_core::model::execution::Reason;
use omnivenue_core::model::time::parse_duration;
use rust_decimal::Decimal;

/// Reads a sentence from left to right.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    /// Goes on behind a piece of text.
    fn after(&self, marker: &str) -> Result<Self, String> {
        self.0.split_once(marker).map(|(_, rest)| Self(rest)).ok_or_else(|| format!("`{marker}` is missing"))
    }

    fn token(&self) -> &'a str {
        self.0.split([' ', ',', ';', ':']).next().unwrap_or("").trim_end_matches('.')
    }

    fn number(&self) -> Result<Decimal, String> {
        self.token().parse().map_err(|_| format!("`{}` is no number", self.token()))
    }

    fn length(&self) -> Result<Duration, String> {
        parse_duration(self.token()).map_err(|error| error.to_string())
    }
}

fn sure(holds: bool, words: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(words()) }
}

/// The limits of whoever is named: `deployment x`, `agent x`, `account x`, `everything`.
fn named<'a>(text: &str, holders: &[(Level, &'a Limits)]) -> Result<&'a Limits, String> {
    let of = |(level, _): &&(Level, &Limits)| match level {
        Level::Global => text.starts_with("everything"),
        Level::Account(id) => text.starts_with(&format!("account {id}")),
        Level::Deployment(id) => text.starts_with(&format!("deployment {id}")),
        Level::Agent(id) => text.starts_with(&format!("agent {id}")),
    };
    holders.iter().find(of).map(|(_, limits)| *limits).ok_or_else(|| format!("nobody is named in `{text}`"))
}

/// Checks that a refusal is explained by its numbers. Refusals that are not about numbers only need a sentence.
///
/// # Errors
/// What does not add up.
pub(crate) fn explain(why: &Reason, holders: &[(Level, &Limits)]) -> Result<(), String> {
    let text = Words(&why.reason);
    match why.code.as_str() {
        "max_notional" | "max_asset_notional" | "max_same_direction_notional" => {
            let (there, asked) = (text.number()?, text.after("may cost ")?.number()?);
            let limit = stated(&text, &why.code, holders)?;
            sure(there + asked > limit, || format!("{there} + {asked} is not above {limit}"))
        }
        "max_order_notional" => {
            let (asked, limit) = (text.after("may cost ")?.number()?, stated(&text, &why.code, holders)?);
            sure(asked > limit, || format!("{asked} is not above {limit}"))
        }
        "max_concentration" => {
            let (there, asked) = (text.number()?, text.after("may cost ")?.number()?);
            let limit = fraction(&text, &why.code, holders)?;
            sure(there + asked > limit, || format!("{there} + {asked} is not above {limit}"))
        }
        "max_risk_per_trade" if why.reason.starts_with("a stop_loss is needed") => Ok(()),
        "max_risk_per_trade" => {
            let asked = text.after("may lose ")?.number()?;
            let is_fraction = why.reason.contains("of its equity");
            let limit = if is_fraction { fraction(&text, &why.code, holders)? } else { stated(&text, &why.code, holders)? };
            sure(asked > limit, || format!("{asked} is not above {limit}"))
        }
        "insufficient_capital" => {
            let (needed, free) = (text.after("needs ")?.number()?, text.after(", ")?.after(" has ")?.number()?);
            sure(needed > free, || format!("{needed} is not above {free}"))
        }
        "max_open_positions" | "max_same_direction" | "max_order_rate" => counted(why, holders),
        "max_leverage" => {
            let asked = text.after("leverage ")?.number()?;
            let limit = if why.reason.ends_with("allows") {
                text.after("above the ")?.number()?
            } else {
                let of = text.after("the limit of ")?;
                let limit = of.after(", ")?.number()?;
                sure(named(of.0, holders)?.max_leverage.map(|set| set.decimal()) == Some(limit), || format!("{limit} is not set"))?;
                limit
            };
            sure(asked > limit, || format!("{asked} is not above {limit}"))
        }
        "leverage_conflict" => {
            let (there, asked) = (text.after("has leverage ")?.number()?, text.after("asks for ")?.number()?);
            sure(there != asked, || format!("{there} is {asked}"))
        }
        "min_confidence" => {
            let limit = text.after("at least ")?.number()?;
            let set = named(text.after(", ")?.0, holders)?.min_confidence.map(|set| set.decimal());
            sure(set == Some(limit), || format!("{limit} is not set"))?;
            if why.reason.contains("no confidence") {
                return Ok(());
            }
            let stated = text.after("confidence is ")?.number()?;
            sure(stated < limit, || format!("{stated} is not below {limit}"))
        }
        "min_reward_to_risk" => reward(&text, holders),
        "min_liquidation_distance" => liquidation(&text, holders),
        "price_collar" | "max_spread" => market(why, holders),
        "max_signal_age" | "stale_price" | "cooldown" | "loss_cooldown" => aged(why, holders),
        "trading_hours" => {
            let hours = named(text.after("UTC, ")?.0, holders)?.trading_hours.ok_or("no hours are set")?;
            sure(why.reason.ends_with(&hours.to_string()), || format!("the hours are {hours}"))?;
            let moment = text.after("it is ")?.0.get(..9).ok_or("no moment")?;
            sure(!is_within(moment, &hours), || format!("{moment} is within {hours}"))
        }
        _ => sure(!why.reason.is_empty(), || "there is no sentence".into()),
    }
}

/// The limit in a sentence, which must be the one that is set.
fn stated(text: &Words<'_>, code: &str, holders: &[(Level, &Limits)]) -> Result<Decimal, String> {
    let of = text.after("the limit of ")?;
    let (limits, limit) = (named(of.0, holders)?, of.after(" is ")?.number()?);
    let set = match code {
        "max_notional" => limits.max_notional,
        "max_asset_notional" => limits.max_asset_notional,
        "max_order_notional" => limits.max_order_notional,
        "max_same_direction_notional" => limits.max_same_direction_notional,
        _ => limits.max_risk_per_trade,
    };
    sure(set.map(|set| set.decimal()) == Some(limit), || format!("{limit} is not set as {code}"))?;
    Ok(limit)
}

/// A limit that is a fraction of the equity, which must be the one that is set.
fn fraction(text: &Words<'_>, code: &str, holders: &[(Level, &Limits)]) -> Result<Decimal, String> {
    let of = text.after("the limit of ")?;
    let (limits, limit) = (named(of.0, holders)?, of.after(" is ")?);
    let (share, equity, limit) = (limit.after(", ")?.number()?, limit.after("its equity ")?.number()?, limit.number()?);
    let set = if code == "max_concentration" { limits.max_concentration } else { limits.max_risk_per_trade_fraction };
    sure(set.map(|set| set.decimal()) == Some(share), || format!("{share} is not set as {code}"))?;
    let exact = share * equity.max(Decimal::ZERO);
    let near = limit <= exact && exact - limit < Decimal::new(1, 7);
    sure(near, || format!("{limit} is not {share} of {equity}"))?;
    Ok(limit)
}

fn counted(why: &Reason, holders: &[(Level, &Limits)]) -> Result<(), String> {
    let text = Words(&why.reason);
    let limits = named(text.0, holders)?;
    let (count, limit) = (text.after(" has ")?.number()?, text.after("may have ")?.number()?);
    let set = match why.code.as_str() {
        "max_open_positions" => limits.max_open_positions,
        "max_same_direction" => limits.max_same_direction,
        _ => limits.max_order_rate.map(|rate| rate.count),
    };
    sure(set.map(Decimal::from) == Some(limit), || format!("{limit} is not set"))?;
    if why.code == "max_order_rate" {
        let per = text.after("in the last ")?.length()?;
        sure(limits.max_order_rate.map(|rate| rate.per) == Some(per), || format!("{per:?} is not set"))?;
    }
    sure(count >= limit, || format!("{count} and one more is not above {limit}"))
}

fn reward(text: &Words<'_>, holders: &[(Level, &Limits)]) -> Result<(), String> {
    if text.0.starts_with("a take_profit and a stop_loss are needed") {
        return Ok(());
    }
    let (entry, profit) = (text.after("from ")?.number()?, text.after("take profit is at ")?.number()?);
    let stop = text.after("stop loss at ")?;
    let (ratio, limit) = (stop.after(": ")?.number()?, stop.after("asks for ")?.number()?);
    let set = named(stop.after("risk, ")?.0, holders)?.min_reward_to_risk.map(|set| set.decimal());
    sure(set == Some(limit), || format!("{limit} is not set"))?;
    let counted = (profit - entry) / (entry - stop.number()?);
    sure((counted - ratio).abs() < Decimal::new(1, 11), || format!("{counted} is not {ratio}"))?;
    sure(ratio < limit, || format!("{ratio} is not below {limit}"))
}

fn liquidation(text: &Words<'_>, holders: &[(Level, &Limits)]) -> Result<(), String> {
    let entry = text.after("from ")?.number()?;
    let (leverage, margin) = (text.after("leverage ")?.number()?, text.after("maintenance margin of ")?.number()?);
    let about = text.after("at about ")?;
    let (distance, from) = (about.after("asks for ")?.number()?, about.after("beyond the ")?.after("at ")?.number()?);
    let edge = about.after("which is ")?.number()?;
    let limits = named(about.after("; ")?.0, holders)?;
    sure(limits.min_liquidation_distance.map(|set| set.decimal()) == Some(distance), || format!("{distance} is not set"))?;
    let one = Decimal::ONE;
    let long = edge < from;
    let (left, kept) = if long { (one - one / leverage, one - margin) } else { (one + one / leverage, one + margin) };
    let counted = entry * left / kept;
    let liquidation = about.number()?;
    sure((counted - liquidation).abs() < Decimal::new(1, 8), || format!("{counted} is not {liquidation}"))?;
    let moved = if long { from * (one - distance) } else { from * (one + distance) };
    sure((moved - edge).abs() < Decimal::new(1, 8), || format!("{moved} is not {edge}"))?;
    let near = if long { liquidation > edge } else { liquidation < edge };
    sure(near, || format!("{liquidation} is beyond {edge}"))
}

fn market(why: &Reason, holders: &[(Level, &Limits)]) -> Result<(), String> {
    let text = Words(&why.reason);
    let near = |a: Decimal, b: Decimal| (a - b).abs() < Decimal::new(1, 8);
    if why.code == "max_spread" {
        let (bid, ask) = (text.after(" is at ")?.number()?, text.after(" to ")?.number()?);
        let (spread, of) = (text.after("a spread of ")?.number()?, text.after("the limit of ")?);
        let limit = of.after(" is ")?.number()?;
        sure(named(of.0, holders)?.max_spread.map(|set| set.decimal()) == Some(limit), || format!("{limit} is not set"))?;
        let counted = (ask - bid) / ((ask + bid) / Decimal::TWO);
        sure(near(counted, spread), || format!("{counted} is not {spread}"))?;
        return sure(spread > limit, || format!("{spread} is not above {limit}"));
    }
    let buys = why.reason.contains(", above ");
    let worst = text.after(" at ")?.number()?;
    let edge = text.after(if buys { ", above " } else { ", below " })?.number()?;
    let share = text.after("that is ")?.number()?;
    let middle = text.after("from the middle at ")?.after(", ")?.number()?;
    let of = named(text.after("the limit of ")?.0, holders)?;
    sure(of.price_collar.map(|set| set.decimal()) == Some(share), || format!("{share} is not set"))?;
    let counted = if buys { middle * (Decimal::ONE + share) } else { middle * (Decimal::ONE - share) };
    sure(near(counted, edge), || format!("{counted} is not {edge}"))?;
    sure(if buys { worst > edge } else { worst < edge }, || format!("{worst} is within {edge}"))
}

fn aged(why: &Reason, holders: &[(Level, &Limits)]) -> Result<(), String> {
    let text = Words(&why.reason);
    let pause = why.code.ends_with("cooldown");
    let of = named(text.after(" of ")?.0, holders).or_else(|_| named(text.after("the limit of ")?.0, holders))?;
    let set = match why.code.as_str() {
        "max_signal_age" => of.max_signal_age,
        "stale_price" => of.max_price_age,
        "cooldown" => of.cooldown,
        _ => of.loss_cooldown,
    };
    let marker = match why.code.as_str() {
        "max_signal_age" if why.reason.contains("was made ") => "was made ",
        "max_signal_age" | "stale_price" => "came in ",
        _ => " was ",
    };
    let age = text.after(marker)?.length()?;
    let limit = if pause { text.after("come after ")?.length()? } else { text.after("the limit of ")?.after(" is ")?.length()? };
    sure(set == Some(limit), || format!("{limit:?} is not set"))?;
    sure(if pause { age < limit } else { age > limit }, || format!("{age:?} against {limit:?}"))
}

/// Whether a moment such as `thu 23:59` is within hours, asked of a week in which it is.
fn is_within(moment: &str, hours: &TradingHours) -> bool {
    let week = (0..7 * 24 * 60).map(|minute| omnivenue_core::model::time::Timestamp::from_millis(minute * 60_000));
    week.into_iter().find(|at| TradingHours::moment(*at) == moment).is_some_and(|at| hours.hold(at))
}

/// Checks that what was made smaller is what it says, and why.
///
/// # Errors
/// What does not add up.
pub(crate) fn explain_shrunk(why: &Reason, order: &OrderPlan, holders: &[(Level, &Limits)]) -> Result<(), String> {
    let (head, tail) = why.reason.split_once(": ").ok_or("no reason is given")?;
    let changes = head.strip_prefix("shrunk ").ok_or("it does not say from what to what")?;
    for change in changes.split(" by ").next().unwrap_or("").split(" and ") {
        let text = Words(change);
        let (from, what) = match change.strip_prefix("from leverage ") {
            Some(rest) => (Words(rest).number()?, order.leverage.decimal()),
            None => (text.after("from ")?.number()?, order.quantity.decimal()),
        };
        let to = text.after(" to ")?.number()?;
        sure(to < from && to == what, || format!("{to} is not less than {from}, or not {what}"))?;
    }
    explain(&Reason { code: why.code.clone(), reason: tail.to_owned() }, holders)
}
