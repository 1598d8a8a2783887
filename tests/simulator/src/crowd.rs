//! Fifty agents on ten accounts, with limits at every level: what many who know nothing of one another make of the same room.

use std::collections::BTreeMap;
use std::time::Duration;

use omnivenue_core::executor::{AccountSetup, AccountShare, AgentSetup, DeploymentSetup, Limits, OnExcess, TradingHours, TradingWindow};
use omnivenue_core::model::close::{CloseRequest, CloseTarget};
use omnivenue_core::model::ids::AccountId;
use omnivenue_core::model::signal::Signal;
use omnivenue_core::model::time::Timestamp;
use omnivenue_paper::PriceSource;

use crate::Random;
use crate::scenario::{Action, Rule, Scenario, exchange, name};

const AGENTS: u64 = 50;
const VENUES: usize = 5;
/// Midnight, 2026-01-01, where histories begin; a Thursday.
const START: i64 = 1_767_225_600_000;

impl Scenario {
    /// Fifty agents with one or two deployments each, on two accounts at each of five venues. Prices move a lot, venues fail, and the process
    /// dies now and then.
    #[must_use]
    pub fn crowd(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x63_726f_7764);
        let faults = *random.pick(&[0, 30, 80]);
        let rules: Vec<Rule> = (0..VENUES).map(|_| *random.pick(&Rule::ALL)).collect();
        let mut scenario = Self::with(&rules[..1], &mut random, faults);
        scenario.exchanges = rules.iter().enumerate().map(|(index, rule)| exchange(index, *rule, &mut random, faults)).collect();
        for (index, exchange) in scenario.exchanges.iter_mut().enumerate() {
            let money = BTreeMap::from([(name("USDC"), name("10000"))]);
            exchange.accounts = (0..2).map(|account| (name(&format!("account{index}{account}")), money.clone())).collect();
            exchange.spread = name(random.pick::<&str>(&["0.0002", "0.0002", "0.003"]));
            for (symbol, source) in &mut exchange.prices {
                let start = name(if symbol.as_str() == "HYPE" { "38" } else { "40000" });
                let step = name(random.pick::<&str>(&["0.0005", "0.002", "0.006"]));
                *source = PriceSource::Walk { seed: random.next(), start, step, every: Duration::from_millis(500) };
            }
        }
        let accounts: Vec<(AccountId, _)> =
            scenario.exchanges.iter().flat_map(|venue| venue.accounts.keys().map(|id| (id.clone(), venue.id.clone()))).collect();
        let setup = &mut scenario.setup;
        setup.accounts = accounts
            .iter()
            .map(|(id, venue)| {
                let limits = limits(&mut random, 3, [700, 1_500, 3_000]);
                (id.clone(), AccountSetup { venue: venue.clone(), market: None, limits, drift: Default::default() })
            })
            .collect();
        setup.limits = limits(&mut random, 1, [4_000, 8_000, 15_000]);
        (setup.agents, setup.deployments) = (BTreeMap::new(), BTreeMap::new());
        for agent in 0..AGENTS {
            let totals = limits(&mut random, 2, [300, 700, 1_500]);
            setup.agents.insert(called(agent, ""), AgentSetup { limits: totals, ..AgentSetup::default() });
            for copy in 0..(1 + random.below(2)) {
                let first = random.below(accounts.len() as u64);
                let share = |place: u64| AccountShare {
                    account: accounts[usize::try_from((first + place * 3) % 10).unwrap_or(0)].0.clone(),
                    allocation: Some(name(["90", "300", "800"][usize::try_from(place).unwrap_or(0)])),
                    fallback: None,
                };
                let shares = (0..(1 + random.below(3))).map(share).collect();
                let deployment = DeploymentSetup {
                    agent: called(agent, ""),
                    accounts: shares,
                    limits: limits(&mut random, 3, [200, 400, 900]),
                    stops: Default::default(),
                    approval: None,
                    scale: name("1"),
                };
                setup.deployments.insert(called(agent, if copy == 0 { ".first" } else { ".second" }), deployment);
            }
        }
        // Breakers are tried elsewhere: here they would refuse nearly everything.
        setup.breakers.errors_high = 100_000;
        setup.breakers.errors_critical = 100_000;
        setup.breakers.unknown_high = Duration::from_secs(100_000);
        setup.breakers.latency_high = Duration::from_secs(100_000);
        scenario.script = script(&mut random);
        scenario.crashes = (0..random.below(5)).map(|_| 1 + random.below(1_500)).collect();
        scenario.crashes.sort_unstable();
        scenario
    }
}

/// Without digits, so that every number in a sentence is one that was counted.
fn called<T: std::str::FromStr>(agent: u64, suffix: &str) -> T {
    let letter = |index: u64| char::from(b'a' + u8::try_from(index % 26).unwrap_or(0));
    name(&format!("{}{}{suffix}", letter(agent / 26), letter(agent)))
}

/// A few limits out of all there are.
fn limits(random: &mut Random, count: u64, notionals: [u64; 3]) -> Limits {
    let mut limits = Limits::default();
    if random.chance(50) {
        limits.on_excess = OnExcess::Shrink;
    }
    for _ in 0..random.below(count + 1) {
        let notional = name(&random.pick(&notionals).to_string());
        match random.below(22) {
            0 => limits.max_notional = Some(notional),
            1 => limits.max_asset_notional = Some(notional),
            2 => limits.max_order_notional = Some(name(random.pick::<&str>(&["120", "200", "333.33"]))),
            3 => limits.max_same_direction_notional = Some(notional),
            4 => limits.max_open_positions = Some(1 + u32::from(random.chance(60)) * 2),
            5 => limits.max_same_direction = Some(1 + u32::from(random.chance(60))),
            6 => limits.one_position_per_asset = true,
            7 => limits.max_leverage = Some(name(random.pick::<&str>(&["2", "2.5", "4"]))),
            8 => limits.min_confidence = Some(name(random.pick::<&str>(&["0.3", "0.65"]))),
            9 => limits.max_signal_age = Some(Duration::from_millis(400)),
            10 => limits.max_price_age = Some(Duration::from_millis(*random.pick(&[120, 300]))),
            11 => limits.max_spread = Some(name("0.001")),
            12 => limits.price_collar = Some(name(random.pick::<&str>(&["0.0095", "0.015", "0.03"]))),
            13 => limits.max_order_rate = random.pick::<&str>(&["1/3s", "3/10s", "8/20s"]).parse().ok(),
            14 => limits.cooldown = Some(Duration::from_millis(500 + random.below(8_000))),
            15 => limits.loss_cooldown = Some(Duration::from_millis(500 + random.below(8_000))),
            16 => limits.max_risk_per_trade = Some(name(random.pick::<&str>(&["1", "3", "10"]))),
            17 => limits.max_risk_per_trade_fraction = Some(name(random.pick::<&str>(&["0.002", "0.01"]))),
            18 => limits.min_reward_to_risk = Some(name(random.pick::<&str>(&["1", "2.5"]))),
            19 => {
                limits.min_liquidation_distance = Some(name(random.pick::<&str>(&["0.05", "0.2"])));
                limits.maintenance_margin = Some(name("0.03"));
            }
            20 => limits.max_concentration = Some(name(random.pick::<&str>(&["0.2", "0.6"]))),
            _ => {
                let window: TradingWindow =
                    random.pick::<&str>(&["thu 00:00-00:01", "thu 00:01-24:00", "mon-wed 08:00-16:00"]).parse().expect("a valid window");
                limits.trading_hours = TradingHours::new(&[window]).ok();
            }
        }
    }
    limits
}

fn script(random: &mut Random) -> Vec<(u64, Action)> {
    let mut script = Vec::new();
    let mut at = 0;
    for index in 0..160 {
        at += random.below(450);
        let agent: omnivenue_core::model::ids::AgentId = called(random.below(AGENTS), "");
        let action = if random.chance(88) {
            Action::Execute(Box::new(signal(&format!("s{index}"), agent.as_str(), at, random)))
        } else if random.chance(80) {
            Action::Close(CloseRequest::new(name(&format!("c{index}")), CloseTarget::Agent(agent)))
        } else {
            Action::Close(CloseRequest::new(name(&format!("c{index}")), CloseTarget::Asset(name("HYPE"))))
        };
        script.push((at, action));
    }
    script
}

fn signal(id: &str, agent: &str, at: u64, random: &mut Random) -> Signal {
    let asset = *random.pick(&["HYPE", "HYPE", "BTC"]);
    let direction = if random.chance(90) { "long" } else { "short" };
    let notional = 20 + random.below(400);
    let leverage = if random.chance(85) { "3" } else { *random.pick(&["1", "2", "9", "60"]) };
    let order = if asset == "HYPE" && random.chance(10) {
        r#"{"type":"limit","price":"38.6","time_in_force":"ioc"}"#
    } else {
        r#"{"type":"market"}"#
    };
    let mut more = String::new();
    if random.chance(75) {
        let exits = random.pick::<&str>(&[
            r#"{"stop_loss":{"fraction":"0.004"},"take_profit":{"fraction":"0.01"}}"#,
            r#"{"stop_loss":{"fraction":"0.02"},"take_profit":{"fraction":"0.03"}}"#,
            r#"{"stop_loss":{"roe":"0.06"},"take_profit":{"roe":"0.05"}}"#,
            r#"{"stop_loss":{"fraction":"0.15"}}"#,
        ]);
        more.push_str(&format!(r#","exits":{exits}"#));
    }
    if random.chance(70) {
        more.push_str(&format!(r#","confidence":"0.{}""#, 1 + random.below(9)));
    }
    if random.chance(50) {
        let made = START + i64::try_from(at + 500 - random.below(500)).unwrap_or(0);
        more.push_str(&format!(r#","created_at":"{}""#, Timestamp::from_millis(made)));
    }
    let text = format!(
        r#"{{"id":"{id}","agent":"{agent}","asset":"{asset}","direction":"{direction}","sizing":{{"notional":"{notional}"}},"leverage":"{leverage}","order":{order}{more}}}"#
    );
    Signal::from_json(&text).expect("the scenario writes valid signals")
}
