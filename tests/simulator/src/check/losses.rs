//! What must hold of losses: nothing is entered once a limit is broken, until that is lifted, and what is flattened is flat.

use std::collections::BTreeMap;

use omnivenue_core::executor::{Book, Setup, State};
use omnivenue_core::journal::{Event, LegPlan, LegRef, LimitBroken, LossScope, OnBreach};
use omnivenue_core::model::ids::{AccountId, AgentId, ClientOrderId, DeploymentId};
use omnivenue_core::model::order::Purpose;
use omnivenue_core::model::time::Timestamp;

use super::Violation;
use crate::world::World;

/// Whether a limit is about what this deployment does on this account.
fn concerns(scope: &LossScope, deployment: &DeploymentId, agent: Option<&AgentId>, account: &AccountId) -> bool {
    match scope {
        LossScope::Global => true,
        LossScope::Account(of) => of == account,
        LossScope::Agent(of) => agent == Some(of),
        LossScope::Deployment(of) => of == deployment,
    }
}

fn holds(book: &Book, plan: &LegPlan) -> Option<LimitBroken> {
    book.broken_limits().find(|broken| concerns(&broken.scope, &plan.deployment, Some(&plan.agent), &plan.account)).cloned()
}

/// The journal is folded once more, entry by entry: each decision to enter and each intent of an entry is held against the limits that were
/// broken when it was made; each order that left, against those that were broken before.
pub(super) fn nothing_is_entered_beyond_a_limit(world: &World, found: &mut Vec<Violation>) {
    let mut book = Book::default();
    let mut plans: BTreeMap<ClientOrderId, LegPlan> = BTreeMap::new();
    let mut spans: Vec<(Timestamp, LimitBroken, Option<Timestamp>)> = Vec::new();
    for entry in world.store.entries() {
        let Ok(event) = entry.event() else { continue };
        let mut entered: Vec<(String, LegPlan)> = Vec::new();
        match &event {
            Event::Admitted(admission) if matches!(admission.command, omnivenue_core::journal::Command::Signal(_)) => {
                let legs = admission.legs.iter().filter(|plan| plan.order.is_some());
                entered.extend(legs.map(|plan| (format!("execution {}", admission.number), plan.clone())));
            }
            Event::LegPlanned { execution, plan } | Event::LegDecided { leg: LegRef { execution, .. }, plan } if plan.order.is_some() => {
                entered.push((format!("execution {execution}"), plan.clone()));
            }
            Event::Prepared(intent) if intent.request().purpose == Purpose::Entry => {
                if let Some(plan) = book.leg(intent.leg).map(|leg| leg.plan.clone()) {
                    plans.insert(intent.client_order_id().clone(), plan.clone());
                    entered.push((format!("order {}", intent.client_order_id()), plan));
                }
            }
            _ => {}
        }
        for (what, plan) in entered {
            if let Some(broken) = holds(&book, &plan) {
                let words = format!("{what} at {} on {}, while: {}", entry.at, plan.account, broken.words());
                found.push(Violation::new("nothing is entered beyond a limit", words));
            }
        }
        let before: Vec<LimitBroken> = book.broken_limits().cloned().collect();
        if book.apply(&event).is_err() {
            return;
        }
        let after: Vec<LimitBroken> = book.broken_limits().cloned().collect();
        spans.extend(after.iter().filter(|broken| !before.contains(broken)).map(|broken| (entry.at, broken.clone(), None)));
        let ended = spans.iter_mut().filter(|(_, broken, lifted)| lifted.is_none() && !after.contains(broken));
        ended.for_each(|(_, _, lifted)| *lifted = Some(entry.at));
    }
    for wire in &world.wires {
        let medium = wire.open();
        for sent in &medium.sent {
            let Some(plan) = plans.get(&sent.order) else { continue };
            // What was written down at the very moment may have come before or after; what was sent once may be sent again as the same.
            let broken = spans.iter().find(|(since, broken, lifted)| {
                *since < sent.at
                    && lifted.is_none_or(|lifted| sent.at < lifted)
                    && concerns(&broken.scope, &plan.deployment, Some(&plan.agent), &plan.account)
            });
            let again = medium.sent.iter().any(|other| other.order == sent.order && other.at < sent.at);
            if let Some((since, broken, _)) = broken.filter(|_| !again) {
                let words = format!("{} left at {}, since {since}: {}", sent.order, sent.at, broken.words());
                found.push(Violation::new("nothing is entered beyond a limit", words));
            }
        }
    }
}

/// While a limit that flattens is broken, nothing of ours that it is about is held that could be closed.
pub(super) fn what_is_flattened_is_flat(setup: &Setup, state: &State, found: &mut Vec<Violation>) {
    let book = state.book();
    for broken in book.broken_limits().filter(|broken| broken.action == OnBreach::Flatten) {
        for (key, position) in book.ledger().positions() {
            let agent = setup.deployments.get(&key.deployment).map(|deployment| &deployment.agent);
            if concerns(&broken.scope, &key.deployment, agent, &key.account) && !state.is_dust(setup, &key.whole()) {
                let words = format!("{} of {key:?} is held, while: {}", position.quantity(), broken.words());
                found.push(Violation::new("what is flattened is flat", words));
            }
        }
    }
}
