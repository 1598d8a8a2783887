//! What is at stake, by scope: kept as totals per instrument, valued when a decision asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Owner, pairs};
use crate::journal::Terms;
use crate::model::contract::Contract;
use crate::model::ids::{AccountId, AgentId, Asset, DeploymentId, VenueId, VenueSymbol};
use crate::model::number::{Amount, Factor, Notional, NumberError, Price, Quantity, SignedQuantity};
use crate::model::signal::Direction;

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
    /// All deployments of one agent.
    Agent(AgentId),
}

impl Level {
    /// Every level that what a deployment does on an account counts at.
    pub(crate) fn of(deployment: &DeploymentId, account: &AccountId, agent: Option<&AgentId>) -> impl Iterator<Item = Self> {
        let known = [Self::Global, Self::Account(account.clone()), Self::Deployment(deployment.clone())];
        known.into_iter().chain(agent.cloned().map(Self::Agent))
    }
}

/// Over what a limit holds: everything at a level, one asset of it, or one direction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scope {
    /// Whose.
    pub level: Level,
    /// One asset, or all of them.
    pub asset: Option<Asset>,
    /// What gains in one direction, or in both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
}

impl Scope {
    /// Everything at a level.
    #[must_use]
    pub const fn all(level: Level) -> Self {
        Self { level, asset: None, direction: None }
    }

    /// One asset at a level.
    #[must_use]
    pub const fn of_asset(level: Level, asset: Asset) -> Self {
        Self { level, asset: Some(asset), direction: None }
    }

    /// One direction at a level.
    #[must_use]
    pub const fn toward(level: Level, direction: Direction) -> Self {
        Self { level, asset: None, direction: Some(direction) }
    }

    /// The scopes of both directions that an owner's stake counts in: two at each level.
    pub(crate) fn of(owner: Owner<'_>) -> impl Iterator<Item = Self> {
        let asset = owner.terms.asset.clone();
        Level::of(owner.deployment, owner.account, owner.agent)
            .flat_map(move |level| [Self::all(level.clone()), Self::of_asset(level, asset.clone())])
    }

    /// The scopes of one direction that an owner's stake counts in: one at each level.
    pub(crate) fn of_direction(owner: Owner<'_>, direction: Direction) -> impl Iterator<Item = Self> {
        Level::of(owner.deployment, owner.account, owner.agent).map(move |level| Self::toward(level, direction))
    }
}

/// What one position counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stake {
    pub(crate) quantity: Quantity,
    pub(crate) cost: Notional,
    pub(crate) margin: Notional,
}

impl Stake {
    /// What of it is in a direction: all or nothing.
    pub(super) fn toward(self, direction: Direction, held: SignedQuantity) -> Self {
        let is = if direction == Direction::Long { held.is_long() } else { held.is_short() };
        if is { self } else { Self::default() }
    }
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

    /// What is gained or lost on what is held at these prices, in the currency of the limits, where all of it is in one direction; `None`
    /// where a price or a rate is missing. O(instruments).
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when a sum does not fit.
    pub fn unrealized(
        &self,
        direction: Direction,
        mark: impl Fn(&VenueId, &VenueSymbol) -> Option<Price>,
        rate: impl Fn(&Asset) -> Option<Factor>,
    ) -> Result<Option<Amount>, NumberError> {
        let mut sum = Amount::ZERO;
        for ((venue, symbol), gross) in &self.gross {
            let (Some(mark), Some(rate)) = (mark(venue, symbol), rate(&gross.settle)) else { return Ok(None) };
            let (value, cost) = (gross.contract.worth(gross.quantity, mark)?.times(rate)?.amount(), gross.cost.times(rate)?.amount());
            // What is worth less when the price rises gains that way.
            sum = if (direction == Direction::Long) == gross.contract.rises_with_price() {
                sum.plus(value.minus(cost)?)?
            } else {
                sum.plus(cost.minus(value)?)?
            };
        }
        Ok(Some(sum))
    }
}
