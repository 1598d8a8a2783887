//! What is at stake, by scope: kept as totals per instrument, valued when a decision asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Owner, pairs};
use crate::journal::Terms;
use crate::model::contract::Contract;
use crate::model::ids::{AccountId, Asset, DeploymentId, VenueId, VenueSymbol};
use crate::model::number::{Factor, Notional, NumberError, Price, Quantity};

/// Over whom a limit holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Everything.
    Global,
    /// All deployments on one account.
    Account(AccountId),
    /// One deployment.
    Deployment(DeploymentId),
}

/// Over what a limit holds: everything at a level, or one asset of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scope {
    /// Whose.
    pub level: Level,
    /// One asset, or all of them.
    pub asset: Option<Asset>,
}

impl Scope {
    /// The six scopes that an owner's stake counts in.
    pub(crate) fn of(owner: Owner<'_>) -> impl Iterator<Item = Self> {
        let levels = [Level::Global, Level::Account(owner.account.clone()), Level::Deployment(owner.deployment.clone())];
        let asset = owner.terms.asset.clone();
        levels.into_iter().flat_map(move |level| [Self { level: level.clone(), asset: None }, Self { level, asset: Some(asset.clone()) }])
    }
}

/// What one position counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stake {
    pub(crate) quantity: Quantity,
    pub(crate) cost: Notional,
    pub(crate) margin: Notional,
}

/// What is held of one instrument within a scope, long and short added up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Gross {
    settle: Asset,
    #[serde(default, skip_serializing_if = "Contract::is_linear")]
    contract: Contract,
    quantity: Quantity,
    cost: Notional,
}

/// What is at stake within a scope.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exposure {
    /// Of orders on their way or unknown, at the worst price, in the currency of the limits.
    pub reserved: Notional,
    #[serde(with = "pairs")]
    gross: BTreeMap<(VenueId, VenueSymbol), Gross>,
}

impl Exposure {
    pub(super) fn restake(
        &mut self,
        instrument: (&VenueId, &VenueSymbol),
        terms: &Terms,
        before: &Stake,
        after: &Stake,
    ) -> Result<(), NumberError> {
        let key = (instrument.0.clone(), instrument.1.clone());
        let gross = self.gross.entry(key.clone()).or_insert_with(|| Gross {
            settle: terms.settle.clone(),
            contract: terms.contract,
            quantity: Quantity::ZERO,
            cost: Notional::ZERO,
        });
        gross.quantity = gross.quantity.plus(after.quantity)?.minus(before.quantity)?;
        gross.cost = gross.cost.plus(after.cost)?.minus(before.cost)?;
        if gross.quantity.is_zero() && gross.cost.is_zero() {
            self.gross.remove(&key);
        }
        Ok(())
    }

    /// The value in the currency of the limits: reserved, plus each instrument at the larger of cost and market value. O(instruments).
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when a sum does not fit; `Err` also when `rate` knows no rate of a currency held.
    pub fn value(
        &self,
        mark: impl Fn(&VenueId, &VenueSymbol) -> Option<Price>,
        rate: impl Fn(&Asset) -> Option<Factor>,
    ) -> Result<Notional, NumberError> {
        self.gross.iter().try_fold(self.reserved, |sum, ((venue, symbol), gross)| {
            let market = mark(venue, symbol).map(|mark| gross.contract.worth(gross.quantity, mark)).transpose()?;
            let rate = rate(&gross.settle).ok_or(NumberError::Overflow { operation: "a currency without a stated rate" })?;
            sum.plus(gross.cost.max(market.unwrap_or_default()).times(rate)?)
        })
    }
}
