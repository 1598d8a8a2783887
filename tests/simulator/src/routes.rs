//! Signals that are sized by equity or risk, that go where it is best or are split, at random; and what must hold of them afterwards.

use std::collections::{BTreeMap, BTreeSet};

use omnivenue_core::executor::{AccountShare, Book, ExecutionRecord, LegRecord};
use omnivenue_core::journal::{Admission, Command};
use omnivenue_core::model::contract::Contract;
use omnivenue_core::model::ids::{AccountId, DeploymentId, SignalId, VenueId};
use omnivenue_core::model::number::{Notional, Quantity};
use omnivenue_core::model::signal::{LegPolicy, OrderType, Routing, Signal, Sizing, TimeInForce, WantedMarket};
use omnivenue_paper::{FaultKind, RequestKind};

use crate::Random;
use crate::check::Violation;
use crate::scenario::{Action, Rule, Scenario};
use crate::world::{Coverage, World};

fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("names in the scenario are valid")
}

impl Scenario {
    /// A small story on three venues of one rule, with one fault: a signal that goes where it is best, one that is split, both repeated.
    #[must_use]
    pub fn routed(rule: Rule, fault: Option<(RequestKind, FaultKind, usize)>) -> Self {
        let mut scenario = Self::with(&[rule, rule, rule], &mut Random::new(11), 0);
        for exchange in &mut scenario.exchanges {
            exchange.latency = Default::default();
            exchange.latency.request = std::time::Duration::from_millis(10);
            exchange.depth = None;
        }
        let signal = |id: &str, agent: &str, sizing: &str, routing: &str| {
            let text = format!(
                r#"{{"id":"{id}","agent":"{agent}","asset":"HYPE","direction":"long","sizing":{sizing},"routing":{routing},"valid_for":"20s"}}"#
            );
            Action::Execute(Box::new(Signal::from_json(&text).expect("the scenario writes valid signals")))
        };
        let best = || signal("s0", "one", r#"{"equity_fraction":"0.05"}"#, r#""best""#);
        let split = || signal("s1", "two", r#"{"notional":"300"}"#, r#"{"split":{"venue0":"0.5","venue1":"0.3","venue2":"0.2"}}"#);
        let shares: Vec<AccountShare> = scenario.setup.accounts.keys().map(share).collect();
        scenario.setup.deployments.values_mut().for_each(|deployment| deployment.accounts.clone_from(&shares));
        scenario.script = vec![(0, best()), (50, split()), (100, best()), (2_000, split())];
        scenario.faults = fault.into_iter().collect();
        scenario
    }
}

fn share(account: &AccountId) -> AccountShare {
    AccountShare { account: account.clone(), allocation: Some(name("3000")), fallback: None }
}

/// Some signals of a script are sized, routed and worded otherwise; the same signal sent again is changed in the same way.
pub(crate) fn vary(scenario: &mut Scenario, random: &mut Random) {
    for deployment in scenario.setup.deployments.values_mut() {
        deployment.scale = name(random.pick::<&str>(&["1", "1", "0.5", "1.25"]));
    }
    for exchange in &mut scenario.exchanges {
        exchange.orders.fill_or_kill = random.chance(50);
    }
    let venues: BTreeMap<DeploymentId, BTreeSet<VenueId>> = scenario
        .setup
        .deployments
        .iter()
        .map(|(id, deployment)| {
            let venue = |share: &AccountShare| scenario.setup.accounts.get(&share.account).map(|a| a.venue.clone());
            (id.clone(), deployment.accounts.iter().filter_map(venue).collect())
        })
        .collect();
    let mut changed: BTreeMap<SignalId, Signal> = BTreeMap::new();
    for (_, action) in &mut scenario.script {
        let Action::Execute(signal) = action else { continue };
        let there = venues.get(&name::<DeploymentId>(signal.agent.as_str())).cloned().unwrap_or_default();
        let other = changed.entry(signal.id.clone()).or_insert_with(|| varied((**signal).clone(), &there, random));
        **signal = other.clone();
    }
}

fn varied(mut signal: Signal, venues: &BTreeSet<VenueId>, random: &mut Random) -> Signal {
    match random.below(10) {
        0..3 => {
            signal.routing = Routing::Best;
            signal.leg_policy = LegPolicy::BestEffort;
        }
        3..6 if !venues.is_empty() => signal.routing = split(venues, random),
        _ => {}
    }
    match random.below(10) {
        0..2 => signal.sizing = Sizing::EquityFraction(name(random.pick::<&str>(&["0.01", "0.08", "0.25"]))),
        2..4 if signal.exits.is_some_and(|exits| exits.stop_loss.is_some()) => {
            signal.sizing = Sizing::RiskFraction(name(random.pick::<&str>(&["0.0005", "0.001", "0.01"])));
        }
        4 => signal.sizing = Sizing::Quantity(name(random.pick::<&str>(&["0.005", "1.237", "20"]))),
        _ => {}
    }
    if random.chance(20) {
        signal.market = WantedMarket::Any;
    }
    if let OrderType::Limit { time_in_force, post_only, .. } = &mut signal.order {
        match random.below(4) {
            0 => *time_in_force = TimeInForce::Fok,
            1 if *time_in_force == TimeInForce::Gtc => *post_only = true,
            _ => {}
        }
    }
    signal.check().expect("the scenario writes valid signals");
    signal
}

/// Weights that add up to one, of some of the venues.
fn split(venues: &BTreeSet<VenueId>, random: &mut Random) -> Routing {
    let mut venues: Vec<VenueId> = venues.iter().cloned().collect();
    if venues.len() > 1 && random.chance(25) {
        venues.pop();
    }
    let weights: &[&str] = match venues.len() {
        1 => &["1"],
        2 => *random.pick(&[&["0.7", "0.3"], &["0.5", "0.5"], &["0.999", "0.001"]]),
        _ => &["0.5", "0.25", "0.25"],
    };
    Routing::Split(venues.into_iter().zip(weights).map(|(venue, weight)| (venue, name(weight))).collect())
}

/// What a history has met of it.
pub(crate) fn cover(admission: &Admission, coverage: &mut Coverage) {
    let Command::Signal(signal) = &admission.command else { return };
    let planned = admission.legs.iter().filter(|leg| leg.ended.is_none()).count();
    let routing = match &signal.routing {
        Routing::Best => "legs sent where it is best",
        Routing::Split(_) => "legs of a split",
        _ => "legs otherwise",
    };
    (0..planned).for_each(|_| coverage.add(routing, 1));
    (0..planned).for_each(|_| coverage.add(format!("legs sized by {}", signal.sizing.name()), 1));
}

/// A signal that is to be opened at one place is opened at one, and the parts of a split are no more than the whole.
pub(crate) fn hold(world: &World, book: &Book, found: &mut Vec<Violation>) {
    for (_, record) in book.executions() {
        let Command::Signal(signal) = &record.admission.command else { continue };
        for (id, deployment) in world.setup.deployments.iter().filter(|(_, deployment)| deployment.agent == signal.agent) {
            let traded = |leg: &&LegRecord| leg.filled().is_ok_and(|filled| !filled.quantity.is_zero());
            let opened = of(record, id).filter(traded).count();
            if signal.routing.opens_one() && opened > 1 {
                found.push(Violation::new("one place for one leg", format!("{} traded at {opened} places in {id}", signal.id)));
            }
            if signal.routing.split().next().is_none() {
                continue;
            }
            let orders = || of(record, id).filter_map(|leg| leg.plan.order.as_ref());
            let scale = deployment.scale.decimal();
            let over = match signal.sizing {
                Sizing::Quantity(asked) => {
                    // Contracts that are not linear are counted in something else than the asset.
                    let linear = orders().filter(|order| order.terms.contract.is_linear());
                    let sum = linear.map(|order| order.quantity).try_fold(Quantity::ZERO, Quantity::plus);
                    sum.is_ok_and(|sum| sum.decimal() > asked.decimal() * scale)
                }
                Sizing::Notional(asked) => {
                    // A notional counts quote units, which inverse contracts are themselves; of quanto contracts, what they are worth.
                    let worth = |order: &omnivenue_core::journal::OrderPlan| match order.terms.contract {
                        Contract::Inverse { .. } => Notional::new(order.quantity.decimal()),
                        Contract::Linear | Contract::Quanto { .. } => order.terms.worth(order.quantity, order.worst_price),
                    };
                    let sum = orders().try_fold(Notional::ZERO, |sum, order| sum.plus(worth(order)?));
                    sum.is_ok_and(|sum| sum.decimal() > asked.decimal() * scale)
                }
                Sizing::EquityFraction(_) | Sizing::RiskFraction(_) => false,
            };
            if over {
                found.push(Violation::new("a split is no more than the whole", format!("{} in {id}: {:?}", signal.id, signal.sizing)));
            }
        }
    }
}

fn of<'a>(record: &'a ExecutionRecord, deployment: &'a DeploymentId) -> impl Iterator<Item = &'a LegRecord> {
    record.legs.iter().filter(move |leg| leg.plan.deployment == *deployment)
}
