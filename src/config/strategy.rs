//! The ready-made agent of an `[[agent]]`, and what it is told.

use omnivenue_agents::Strategy;
use omnivenue_agents::momentum::{MomentumConfig, Trail, TrailOf};
use omnivenue_core::executor::LossLimits;
use omnivenue_core::model::ids::Asset;
use omnivenue_core::model::instrument::Market;
use rust_decimal::Decimal;

use super::section::Section;

/// Reads the strategy of an agent.
pub(super) fn strategy(section: &Section<'_>) -> Option<Strategy> {
    let known = Strategy::NAMES.map(|name| (name, ()));
    if !section.has("name") {
        section.issue("name", format!("is missing: give one of {}", Strategy::NAMES.map(|name| format!("\"{name}\"")).join(", ")));
    }
    let named = section.choice("name", &known);
    let momentum = momentum(section);
    section.finish();
    named.and(momentum.filter(|_| section.is_sound())).map(Strategy::Momentum)
}

fn momentum(section: &Section<'_>) -> Option<MomentumConfig> {
    let asset: Option<Asset> = section.required("asset", "the name of an asset, such as \"BTC\"");
    // Everything is asked for even where the asset is missing, so that every mistake is told at once.
    let usual = MomentumConfig::new(asset.clone().unwrap_or_else(|| "-".parse().expect("a constant that is a name")));
    let config = MomentumConfig {
        market: section.choice("market", &[("perp", Market::Perp), ("spot", Market::Spot)]).unwrap_or(usual.market),
        timeframe: section.parsed("timeframe", "whole seconds that divide a day, such as \"1m\"").unwrap_or(usual.timeframe),
        bars: section.count("bars", "a whole number, 1 to 1000").unwrap_or(usual.bars),
        threshold: section.number("threshold", "0.02").unwrap_or(usual.threshold),
        take_profit: section.number("take_profit", "0.05").unwrap_or(usual.take_profit),
        stop_loss: section.number("stop_loss", "0.03").unwrap_or(usual.stop_loss),
        risk: section.number("risk", "0.05").unwrap_or(usual.risk),
        equity_fraction: section.number("equity_fraction", "0.08"),
        leverage: section.number("leverage", "5"),
        daily_loss: section.number("daily_loss", "0.20").unwrap_or(usual.daily_loss),
        max_positions: section.count("max_positions", "a whole number, 1 or more").unwrap_or(usual.max_positions),
        max_leverage: section.number("max_leverage", "25").unwrap_or(usual.max_leverage),
        trailing: trailing(section, usual.trailing),
        asset: usual.asset,
    };
    if section.has("risk") && section.has("equity_fraction") {
        section
            .issue("equity_fraction", "is there beside risk: give how much may be lost at the stop, or how much is the margin, not both");
    }
    // A value that could not be read has been reported; what follows from the usual one in its place is not.
    if section.is_sound()
        && let Err(impossible) = config.check()
    {
        section.issue(impossible.key, impossible.problem);
    }
    asset.map(|_| config)
}

/// The limit that a strategy brings along, where the agent has none of its own.
pub(super) fn losses(strategy: Option<&Strategy>) -> LossLimits {
    let Some(Strategy::Momentum(config)) = strategy else { return LossLimits::default() };
    let percent = config.daily_loss.decimal().checked_mul(Decimal::ONE_HUNDRED).unwrap_or_default().normalize();
    LossLimits { max_daily_loss: format!("{percent}%").parse().ok(), ..LossLimits::default() }
}

/// A table, or the word that there is none.
fn trailing(section: &Section<'_>, usual: Option<Trail>) -> Option<Trail> {
    if section.is_text("trailing") {
        return section.choice("trailing", &[("none", ())]).map_or(usual, |()| None);
    }
    let Some(given) = section.section("trailing") else { return usual };
    let fraction = given.number("fraction", "0.10");
    let of = given.choice("of", &[("margin", TrailOf::Margin), ("price", TrailOf::Price)]).unwrap_or_default();
    let activation = given.number("activation", "0.10").or(fraction);
    if fraction.is_none() && given.is_sound() {
        given.issue("fraction", "is missing: give how far the stop stays behind the best price, such as \"0.10\"");
    }
    given.finish();
    Some(Trail { fraction: fraction?, of, activation: activation? })
}
