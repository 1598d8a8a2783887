//! Fifty agents on ten accounts: no limit is exceeded when an entry is decided, and every refusal is explained by its own numbers.

use omnivenue_simulator::{Coverage, Scenario, run};

/// More of them with `OMNIVENUE_LIMITS_SEEDS=200`.
const SEEDS: u64 = 8;

#[test]
fn fifty_agents_on_ten_accounts_exceed_no_limit_and_every_refusal_explains_itself() {
    let seeds = std::env::var("OMNIVENUE_LIMITS_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    let mut total = Coverage::default();
    for seed in 0..seeds {
        let history = run(seed, &Scenario::crowd(seed), false);
        assert_eq!(history.violations, [], "seed {seed}");
        total.merge(&history.coverage);
    }
    println!("{total:#?}");
    // Silence is no proof: every limit must have refused something, and those on size must have made something smaller.
    for code in [
        "cooldown",
        "insufficient_capital",
        "leverage_conflict",
        "loss_cooldown",
        "max_asset_notional",
        "max_concentration",
        "max_leverage",
        "max_notional",
        "max_open_positions",
        "max_order_notional",
        "max_order_rate",
        "max_risk_per_trade",
        "max_same_direction",
        "max_same_direction_notional",
        "max_signal_age",
        "max_spread",
        "min_confidence",
        "min_liquidation_distance",
        "min_reward_to_risk",
        "one_position_per_asset",
        "price_collar",
        "stale_price",
        "trading_hours",
    ] {
        assert!(total.counts.contains_key(&format!("refused {code}")), "nothing was refused by {code}: {total:#?}");
    }
    for code in ["max_notional", "max_asset_notional", "max_order_notional", "max_risk_per_trade", "max_leverage", "insufficient_capital"] {
        assert!(total.counts.contains_key(&format!("shrunk by {code}")), "nothing was shrunk by {code}: {total:#?}");
    }
    let died: u64 = total.counts.iter().filter(|(what, _)| what.starts_with("died")).map(|(_, count)| count).sum();
    assert!(died >= seeds / 2 && total.counts["entries passed"] > 20 * seeds, "{total:#?}");
}
