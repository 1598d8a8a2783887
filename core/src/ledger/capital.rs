//! The money of a deployment on an account, and of the account as a whole: reserved → committed by fills → released.

use serde::{Deserialize, Serialize};

use super::Owner;
use crate::model::ids::{AccountId, Asset, DeploymentId};
use crate::model::number::{Amount, Notional, NumberError};

/// Whose money, in which currency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CapitalKey {
    /// The account.
    pub account: AccountId,
    /// The deployment; `None` is the account as a whole.
    pub deployment: Option<DeploymentId>,
    /// The currency.
    pub currency: Asset,
}

impl CapitalKey {
    pub(super) fn of(owner: Owner<'_>) -> [Self; 2] {
        let key = |deployment| Self { account: owner.account.clone(), deployment, currency: owner.terms.settle.clone() };
        [key(None), key(Some(owner.deployment.clone()))]
    }
}

/// Money as totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capital {
    /// Held back for orders on their way or unknown.
    pub reserved: Notional,
    /// Margin of what is held.
    pub committed: Notional,
    /// Booked gains and losses, before fees.
    pub realized: Amount,
    /// Fees paid.
    pub fees: Amount,
    /// Funding; positive was received.
    #[serde(default)]
    pub funding: Amount,
}

impl Capital {
    /// What of `funds` is free: funds + realized − fees + funding − committed − reserved.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the sum does not fit.
    pub fn available(&self, funds: Amount) -> Result<Amount, NumberError> {
        funds.plus(self.realized)?.minus(self.fees)?.plus(self.funding)?.minus(self.committed.amount())?.minus(self.reserved.amount())
    }
}
