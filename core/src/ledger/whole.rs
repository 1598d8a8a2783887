//! What is looked at as a whole: every fee elsewhere, every currency, everything that is not ours.

use std::collections::BTreeSet;

use super::position::Position;
use super::{AccountSymbol, Ledger};
use crate::model::ids::{AccountId, Asset, DeploymentId};
use crate::model::number::Amount;

impl Ledger {
    /// Fees paid in a currency that is neither settlement nor base, by deployment and account.
    pub fn other_fees(&self) -> impl Iterator<Item = (&DeploymentId, &AccountId, &Asset, Amount)> {
        self.other_fees.iter().map(|((deployment, account, asset), amount)| (deployment, account, asset, *amount))
    }

    /// The currencies that an account held when first seen, or in which money came or went since.
    #[must_use]
    pub fn currencies(&self, account: &AccountId) -> BTreeSet<&Asset> {
        let keys = self.funded.keys().chain(self.outside.keys());
        keys.filter(|(of, _)| of == account).map(|(_, currency)| currency).collect()
    }

    /// Everything that is not ours and of which it is known what it cost.
    pub fn valued(&self) -> impl Iterator<Item = (&AccountSymbol, &Position)> {
        self.foreign.iter()
    }

    /// Where something that is not ours is or was, of which it is not known what it cost.
    pub fn unvalued(&self) -> impl Iterator<Item = &AccountSymbol> {
        self.unvalued.iter()
    }
}
