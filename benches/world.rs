//! What both benches trade on: simulated exchanges, one agent, limits at every level, and a signal that turns a position over.

use std::collections::BTreeMap;

use omnivenue::executor::{AccountSetup, AccountShare, AgentSetup, DeploymentSetup, Limits, Setup, Timing};
use omnivenue::model::ids::AccountId;
use omnivenue::model::instrument::AssetMap;
use omnivenue::model::number::Factor;
use omnivenue::paper::{Config, Latency, PaperExchange, PriceSource};
use omnivenue::{Signal, model};

/// Reads a constant of the benches.
pub(crate) fn constant<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("the benches' constants are valid")
}

/// Exchanges that keep nothing on disk, answer without delay and have one price for ever, with one account each.
pub(crate) fn exchanges(count: usize) -> Vec<PaperExchange> {
    (0..count).map(|index| PaperExchange::open(exchange(index), None).expect("a simulated exchange opens")).collect()
}

fn exchange(index: usize) -> Config {
    let mut config = Config::hyperliquid_like();
    config.id = constant(&format!("venue{index}"));
    for spec in &mut config.instruments {
        spec.venue = config.id.clone();
    }
    for price in config.prices.values_mut() {
        if let PriceSource::Walk { start, .. } = price {
            *price = PriceSource::Fixed { price: *start };
        }
    }
    config.latency = Latency::default();
    config.with_account(&account(index), constant("USDC"), constant("1000000000"))
}

/// The account at the exchange of that number.
pub(crate) fn account(index: usize) -> AccountId {
    constant(&format!("account{index}"))
}

/// One agent with one deployment on every account. Every limit there is is set, and none is reached.
pub(crate) fn setup(exchanges: &[PaperExchange]) -> Setup {
    let limits = Limits {
        max_order_notional: Some(constant("10000")),
        max_asset_notional: Some(constant("100000000")),
        max_notional: Some(constant("100000000")),
        ..Limits::default()
    };
    let at = |index: usize| AccountSetup { venue: exchanges[index].config().id.clone(), market: None, limits, drift: Default::default() };
    let share = |index: usize| AccountShare { account: account(index), allocation: Some(constant("100000000")), fallback: None };
    let deployment = DeploymentSetup {
        agent: constant("bench"),
        accounts: (0..exchanges.len()).map(share).collect(),
        limits,
        stops: Default::default(),
        approval: None,
        scale: Factor::ONE,
    };
    Setup {
        venues: BTreeMap::new(),
        accounts: (0..exchanges.len()).map(|index| (account(index), at(index))).collect(),
        agents: BTreeMap::from([(constant("bench"), AgentSetup::default())]),
        deployments: BTreeMap::from([(constant("bench"), deployment)]),
        limits,
        rates: BTreeMap::from([(constant("USDC"), Factor::ONE)]),
        assets: AssetMap::default(),
        timing: Timing::default(),
        breakers: Default::default(),
        losses: Default::default(),
        depeg: Default::default(),
    }
}

/// The signal of that number: each buys or sells what the one before it sold or bought, so that positions end and books stay small.
pub(crate) fn signal(number: u64) -> Signal {
    let direction = if number.is_multiple_of(2) { model::signal::Direction::Long } else { model::signal::Direction::Short };
    Signal { id: constant(&format!("signal-{number:09}")), direction, ..template() }
}

fn template() -> Signal {
    const TEXT: &str =
        r#"{"id": "template", "agent": "bench", "asset": "HYPE", "direction": "long", "sizing": {"quantity": "10"}, "leverage": "5"}"#;
    Signal::from_json(TEXT).expect("the template is a valid signal")
}
