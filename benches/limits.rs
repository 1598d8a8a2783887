//! Limits that are set and never reached, and signals that keep all of them.

use std::time::Duration;

use omnivenue::Signal;
use omnivenue::executor::{Limits, Setup, TradingHours, TradingWindow};
use omnivenue::model::signal::Direction;

use crate::world::{constant, signal};

/// Sets so many limits for each of deployment, agent, account and everything, and no other. None is reached.
pub(crate) fn limit(setup: &mut Setup, count: usize) {
    let hour = Duration::from_secs(3_600);
    let short = Duration::from_millis(1);
    let hours = || TradingHours::new(&[constant::<TradingWindow>("mon-sun 00:00-24:00")]).ok();
    let all: [&dyn Fn(&mut Limits); 20] = [
        &|limits| limits.max_notional = Some(constant("100000000")),
        &|limits| limits.max_open_positions = Some(100),
        &|limits| limits.max_order_rate = Some(constant("256/1ms")),
        &|limits| limits.max_leverage = Some(constant("5")),
        &|limits| limits.max_risk_per_trade = Some(constant("1000")),
        &|limits| limits.min_confidence = Some(constant("0.5")),
        &|limits| limits.max_price_age = Some(hour * 24),
        &|limits| limits.max_spread = Some(constant("0.01")),
        &|limits| limits.price_collar = Some(constant("0.05")),
        &|limits| limits.cooldown = Some(short),
        &|limits| limits.max_asset_notional = Some(constant("100000000")),
        &|limits| limits.max_order_notional = Some(constant("10000")),
        &|limits| (limits.max_same_direction, limits.max_same_direction_notional) = (Some(100), Some(constant("100000000"))),
        &|limits| limits.max_concentration = Some(constant("0.9")),
        &|limits| limits.max_signal_age = Some(hour),
        &|limits| limits.loss_cooldown = Some(short),
        &|limits| limits.one_position_per_asset = true,
        &|limits| limits.min_reward_to_risk = Some(constant("1.5")),
        &|limits| (limits.min_liquidation_distance, limits.maintenance_margin) = (Some(constant("0.05")), Some(constant("0.02"))),
        &|limits| limits.trading_hours = hours(),
    ];
    let mut limits = Limits::default();
    all.iter().take(count).for_each(|set| set(&mut limits));
    setup.limits = limits;
    setup.accounts.values_mut().for_each(|account| account.limits = limits);
    setup.agents.values_mut().for_each(|agent| agent.limits = limits);
    setup.deployments.values_mut().for_each(|deployment| deployment.limits = limits);
    // Exits that travel with their entry are orders of their own, which are not what is measured.
    setup.venues.values_mut().for_each(|venue| venue.capabilities.exits = None);
}

/// A signal that keeps every limit there is, to buy an asset.
pub(crate) fn careful(number: u64, asset: &str) -> Signal {
    let exits = serde_json::from_str(r#"{"take_profit":{"fraction":"0.06"},"stop_loss":{"fraction":"0.03"}}"#).ok();
    let direction = Direction::Long;
    Signal { asset: constant(asset), direction, exits, confidence: Some(constant("0.8")), ..signal(number) }
}
