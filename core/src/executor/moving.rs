//! Which legs may yet trade, by where they would: what gates ask for with every entry, without looking at anything else that is open.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::book::{LegRecord, OrderRecord};
use crate::journal::LegRef;
use crate::ledger::pairs;
use crate::model::ids::{AccountId, AgentId, DeploymentId, VenueSymbol};
use crate::model::instrument::Side;
use crate::model::order::{OrderState, Purpose};

type Place = (AccountId, VenueSymbol);

/// The legs that wait for an order or have one of which more may become known. Every question costs O(log n) of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Moving {
    #[serde(with = "pairs")]
    unsettled: BTreeMap<Place, BTreeSet<LegRef>>,
    /// Entries, those that wait for an order included.
    #[serde(with = "pairs")]
    entries: BTreeMap<(AccountId, VenueSymbol, Side), BTreeMap<DeploymentId, BTreeSet<LegRef>>>,
    /// Closes, those that wait for an order included.
    #[serde(with = "pairs", default)]
    closes: BTreeMap<Place, BTreeSet<LegRef>>,
    /// Those with an order of which it is not known whether it took effect.
    #[serde(with = "pairs")]
    unknown: BTreeMap<(AccountId, VenueSymbol, AgentId), BTreeSet<LegRef>>,
}

impl Moving {
    /// Notes how a leg stands now.
    pub(super) fn note(&mut self, at: LegRef, leg: &LegRecord, purpose: Purpose, planned: bool) {
        let (Some(symbol), Some(order)) = (&leg.plan.symbol, &leg.plan.order) else { return };
        let (account, symbol) = (leg.plan.account.clone(), symbol.clone());
        // What waits for its trigger moves nothing until it wakes.
        let waits = |order: &OrderRecord| {
            purpose == Purpose::Protect && matches!(order.state, OrderState::Open { .. }) && order.filled.quantity >= order.reported
        };
        let unsettled = leg.orders.iter().any(|order| order.is_unsettled() && !waits(order));
        let unknown = leg.orders.iter().any(|order| order.state.is_unknown());
        if purpose == Purpose::Entry {
            let key = (account.clone(), symbol.clone(), order.side);
            let mut of = self.entries.remove(&key).unwrap_or_default();
            put(&mut of, leg.plan.deployment.clone(), at, planned || unsettled);
            if !of.is_empty() {
                self.entries.insert(key, of);
            }
        }
        if purpose == Purpose::Close {
            put(&mut self.closes, (account.clone(), symbol.clone()), at, planned || unsettled);
        }
        put(&mut self.unknown, (account.clone(), symbol.clone(), leg.plan.agent.clone()), at, unknown);
        put(&mut self.unsettled, (account, symbol), at, unsettled);
    }

    /// Whether an order on this account's instrument may trade or may have traded without our knowing.
    pub(super) fn any(&self, account: &AccountId, symbol: &VenueSymbol) -> bool {
        self.unsettled.contains_key(&(account.clone(), symbol.clone()))
    }

    /// The closes on an account's instrument that are not over.
    pub(super) fn closes(&self, account: &AccountId, symbol: &VenueSymbol) -> impl Iterator<Item = LegRef> + use<'_> {
        self.closes.get(&(account.clone(), symbol.clone())).into_iter().flatten().copied()
    }

    /// An entry of another deployment to this side of an account's instrument.
    pub(super) fn rival(&self, account: &AccountId, symbol: &VenueSymbol, side: Side, deployment: &DeploymentId) -> Option<LegRef> {
        let of = self.entries.get(&(account.clone(), symbol.clone(), side))?;
        of.iter().find(|(other, _)| *other != deployment).and_then(|(_, legs)| legs.first().copied())
    }

    /// A leg of this agent on an account's instrument of which it is not known whether it took effect.
    pub(super) fn unknown(&self, agent: &AgentId, account: &AccountId, symbol: &VenueSymbol) -> Option<LegRef> {
        self.unknown.get(&(account.clone(), symbol.clone(), agent.clone()))?.first().copied()
    }
}

/// Puts a leg into the set of a key, or takes it out; no set is left empty.
fn put<K: Ord>(sets: &mut BTreeMap<K, BTreeSet<LegRef>>, key: K, at: LegRef, belongs: bool) {
    if belongs {
        sets.entry(key).or_default().insert(at);
    } else if let Some(set) = sets.get_mut(&key) {
        set.remove(&at);
        if set.is_empty() {
            sets.remove(&key);
        }
    }
}
