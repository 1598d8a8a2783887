//! Virtual positions, money and what is at stake: kept as totals, changed only by what happened.
//!
//! Everything here is exact and folds from events. Each total that a decision needs is kept up to date as events arrive, so that a
//! decision costs O(instruments in its scope), whatever the history.

mod capital;
mod exposure;
mod outside;
mod position;
mod whole;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::capital::{Capital, CapitalKey};
pub use self::exposure::{Exposure, Level, Scope};
pub use self::outside::Outside;
pub use self::position::{Lot, Position, PositionKey, Trade};
use crate::journal::Terms;
use crate::model::close::Lot as LotName;
use crate::model::ids::{AccountId, AgentId, Asset, DeploymentId, SignalId, VenueId, VenueSymbol};
use crate::model::number::{Amount, Leverage, Notional, NumberError, Quantity, SignedQuantity};
use crate::model::signal::Direction;

/// A map whose keys are not text, written as a list of pairs.
pub(crate) mod pairs {
    use std::collections::BTreeMap;

    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<K: Serialize, V: Serialize, S: Serializer>(map: &BTreeMap<K, V>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map.iter())
    }

    pub(crate) fn deserialize<'de, K: DeserializeOwned + Ord, V: DeserializeOwned, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// An instrument on an account.
pub type AccountSymbol = (AccountId, VenueSymbol);

/// What a leg holds back, in the two currencies that count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Held {
    /// Worth at the worst price, in the currency of the limits.
    pub notional: Notional,
    /// Margin and fee, in the settlement currency.
    pub capital: Notional,
}

/// Whose reserve or position it is, and of what.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// Whose the deployment is; where that is not known, whoever opened the position.
    pub agent: Option<&'a AgentId>,
    /// The deployment.
    pub deployment: &'a DeploymentId,
    /// The account.
    pub account: &'a AccountId,
    /// Its venue.
    pub venue: &'a VenueId,
    /// The instrument.
    pub symbol: &'a VenueSymbol,
    /// For ever.
    pub terms: &'a Terms,
}

/// The books of all deployments and accounts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    #[serde(with = "pairs")]
    positions: BTreeMap<PositionKey, Position>,
    #[serde(with = "pairs")]
    capital: BTreeMap<CapitalKey, Capital>,
    #[serde(with = "pairs")]
    exposure: BTreeMap<Scope, Exposure>,
    #[serde(with = "pairs")]
    net: BTreeMap<AccountSymbol, SignedQuantity>,
    #[serde(with = "pairs")]
    external: BTreeMap<AccountSymbol, SignedQuantity>,
    #[serde(with = "pairs")]
    funded: BTreeMap<(AccountId, Asset), Amount>,
    #[serde(with = "pairs")]
    other_fees: BTreeMap<(DeploymentId, AccountId, Asset), Amount>,
    /// What is not ours, with what it cost; beside `external`, which has the quantities of all.
    #[serde(with = "pairs", default)]
    foreign: BTreeMap<AccountSymbol, Position>,
    /// Where something that is not ours is or was of unknown cost.
    #[serde(default)]
    unvalued: BTreeSet<AccountSymbol>,
    #[serde(with = "pairs", default)]
    outside: BTreeMap<(AccountId, Asset), Outside>,
    /// Under which agent each open position counts: whoever opened it, whosever the deployment is by now.
    #[serde(with = "pairs", default)]
    agents: BTreeMap<PositionKey, AgentId>,
}

impl Ledger {
    /// Changes what is held back for an owner's order in a direction from `before` to `after`.
    pub(crate) fn hold(&mut self, owner: Owner<'_>, direction: Direction, before: Held, after: Held) -> Result<(), NumberError> {
        if before == after {
            return Ok(());
        }
        for scope in Scope::of(owner).chain(Scope::of_direction(owner, direction)) {
            let exposure = self.exposure.entry(scope).or_default();
            exposure.reserved = exposure.reserved.plus(after.notional)?.minus(before.notional)?;
        }
        for key in CapitalKey::of(owner) {
            let capital = self.capital.entry(key).or_default();
            capital.reserved = capital.reserved.plus(after.capital)?.minus(before.capital)?;
        }
        Ok(())
    }

    /// Books a trade on the owner's position. `signal` is whose fill it is; of a close, `closes` names the signal whose lots go first.
    pub(crate) fn trade(
        &mut self,
        owner: Owner<'_>,
        leverage: Leverage,
        trade: &Trade,
        signal: &SignalId,
        closes: Option<&SignalId>,
    ) -> Result<(), NumberError> {
        let key = PositionKey { deployment: owner.deployment.clone(), account: owner.account.clone(), symbol: owner.symbol.clone() };
        let mut position = self.positions.remove(&key).unwrap_or_else(|| Position::new(owner.venue.clone(), owner.terms.clone(), leverage));
        let before = position.stake()?;
        let net_before = position.quantity();
        let booked = position.apply(trade, signal, closes)?;
        let after = position.stake()?;
        let net_change = position.quantity().minus(net_before)?;

        let agent = self.agents.get(&key).or(owner.agent).cloned();
        let owner = Owner { agent: agent.as_ref(), ..owner };
        let instrument = (owner.venue, owner.symbol);
        for scope in Scope::of(owner) {
            self.exposure.entry(scope).or_default().restake(instrument, owner.terms, &before, &after)?;
        }
        for direction in [Direction::Long, Direction::Short] {
            let (was, is) = (before.toward(direction, net_before), after.toward(direction, position.quantity()));
            for scope in Scope::of_direction(owner, direction).filter(|_| was != is) {
                self.exposure.entry(scope).or_default().restake(instrument, owner.terms, &was, &is)?;
            }
        }
        for key in CapitalKey::of(owner) {
            let capital = self.capital.entry(key).or_default();
            capital.committed = capital.committed.plus(after.margin)?.minus(before.margin)?;
            capital.realized = capital.realized.plus(booked.realized)?;
            capital.fees = capital.fees.plus(booked.fee)?;
        }
        if let Some((asset, amount)) = booked.other_fee {
            let fees = self.other_fees.entry((owner.deployment.clone(), owner.account.clone(), asset)).or_default();
            *fees = fees.plus(amount)?;
        }
        let net = self.net.entry((owner.account.clone(), owner.symbol.clone())).or_default();
        *net = net.plus(net_change)?;
        if net.is_zero() {
            self.net.remove(&(owner.account.clone(), owner.symbol.clone()));
        }
        if position.quantity().is_zero() {
            self.agents.remove(&key);
        } else {
            self.agents.extend(agent.map(|agent| (key.clone(), agent)));
            self.positions.insert(key, position);
        }
        Ok(())
    }

    pub(crate) fn fund(&mut self, account: &AccountId, asset: &Asset, amount: Amount) {
        self.funded.insert((account.clone(), asset.clone()), amount);
    }

    /// Every open virtual position.
    pub fn positions(&self) -> impl Iterator<Item = (&PositionKey, &Position)> {
        self.positions.iter()
    }

    /// One virtual position.
    #[must_use]
    pub fn position(&self, key: &PositionKey) -> Option<&Position> {
        self.positions.get(key)
    }

    /// The open positions on one instrument of one account.
    pub fn positions_on<'a>(
        &'a self,
        account: &'a AccountId,
        symbol: &'a VenueSymbol,
    ) -> impl Iterator<Item = (&'a PositionKey, &'a Position)> {
        self.positions.iter().filter(move |(key, _)| key.account == *account && key.symbol == *symbol)
    }

    /// The open positions of a deployment on an account. O(log n) and one step for each.
    pub fn positions_of<'a>(
        &'a self,
        deployment: &'a DeploymentId,
        account: &'a AccountId,
    ) -> impl Iterator<Item = (&'a VenueSymbol, &'a Position)> {
        let first = VenueSymbol::new("-").expect("a dash is a valid symbol");
        let from = PositionKey { deployment: deployment.clone(), account: account.clone(), symbol: first };
        let there = |key: &PositionKey| key.deployment == *deployment && key.account == *account;
        self.positions.range(from..).take_while(move |(key, _)| there(key)).map(|(key, position)| (&key.symbol, position))
    }

    /// How much of a lot is still held.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when a sum does not fit.
    pub fn left_of(&self, lot: &LotName) -> Result<Quantity, NumberError> {
        match (self.positions.get(&PositionKey::of(lot)), &lot.signal) {
            (None, _) => Ok(Quantity::ZERO),
            (Some(position), Some(signal)) => position.share_of(signal),
            (Some(position), None) => Ok(position.quantity().magnitude()),
        }
    }

    /// What the account holds of an instrument as far as we know: ours and what is not ours.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the sum does not fit.
    pub fn venue_quantity(&self, account: &AccountId, symbol: &VenueSymbol) -> Result<SignedQuantity, NumberError> {
        self.net_quantity(account, symbol).plus(self.external_quantity(account, symbol).unwrap_or_default())
    }

    /// The sum of our virtual positions.
    #[must_use]
    pub fn net_quantity(&self, account: &AccountId, symbol: &VenueSymbol) -> SignedQuantity {
        self.net.get(&(account.clone(), symbol.clone())).copied().unwrap_or_default()
    }

    /// Every instrument of an account on which we hold something, or something foreign is booked.
    pub fn instruments_of<'a>(&'a self, account: &'a AccountId) -> impl Iterator<Item = &'a VenueSymbol> {
        self.net.keys().chain(self.external.keys()).filter(move |(a, _)| a == account).map(|(_, symbol)| symbol)
    }

    /// What is booked as not ours; `None` before the account was first seen with this instrument.
    #[must_use]
    pub fn external_quantity(&self, account: &AccountId, symbol: &VenueSymbol) -> Option<SignedQuantity> {
        self.external.get(&(account.clone(), symbol.clone())).copied()
    }

    /// Everything booked as not ours, by account and instrument; some of it may be zero by now.
    pub fn externals(&self) -> impl Iterator<Item = (&AccountSymbol, SignedQuantity)> {
        self.external.iter().map(|(key, quantity)| (key, *quantity))
    }

    /// What the account held in a currency when first seen; `None` before.
    #[must_use]
    pub fn funded(&self, account: &AccountId, asset: &Asset) -> Option<Amount> {
        self.funded.get(&(account.clone(), asset.clone())).copied()
    }

    /// Whether the account has ever been seen.
    #[must_use]
    pub fn is_funded(&self, account: &AccountId) -> bool {
        self.funded.keys().any(|(a, _)| a == account)
    }

    /// The money of a deployment on an account, or of an account as a whole.
    #[must_use]
    pub fn capital(&self, key: &CapitalKey) -> Capital {
        self.capital.get(key).copied().unwrap_or_default()
    }

    /// All money, by owner.
    pub fn capitals(&self) -> impl Iterator<Item = (&CapitalKey, &Capital)> {
        self.capital.iter()
    }

    /// What is at stake within a scope.
    #[must_use]
    pub fn exposure(&self, scope: &Scope) -> Option<&Exposure> {
        self.exposure.get(scope)
    }

    /// The largest quantity that may be sold or bought to reduce: our share, but no more than the venue holds.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when a sum does not fit.
    pub fn reducible(&self, key: &PositionKey) -> Result<Quantity, NumberError> {
        let Some(position) = self.positions.get(key) else { return Ok(Quantity::ZERO) };
        Ok(within(position.quantity(), self.venue_quantity(&key.account, &key.symbol)?))
    }

    /// The same of what is not ours.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when a sum does not fit.
    pub fn reducible_external(&self, account: &AccountId, symbol: &VenueSymbol) -> Result<Quantity, NumberError> {
        let external = self.external_quantity(account, symbol).unwrap_or_default();
        Ok(within(external, self.venue_quantity(account, symbol)?))
    }
}

/// How much of a share may be traded away: no more than the venue holds on that side.
fn within(share: SignedQuantity, at_venue: SignedQuantity) -> Quantity {
    let same_side = at_venue.is_long() == share.is_long() && !at_venue.is_zero() && !share.is_zero();
    if same_side { share.magnitude().min(at_venue.magnitude()) } else { Quantity::ZERO }
}
