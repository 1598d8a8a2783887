//! What changes an account without an order of ours: money that moves, and trades that a venue forces.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::{Asset, MovementId, VenueSymbol};
use super::number::Amount;
use super::time::Timestamp;

/// Why money moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MovementKind {
    /// What longs and shorts of a perpetual pay one another.
    Funding,
    /// Money came in from outside.
    Deposit,
    /// Money went out.
    Withdrawal,
    /// Between accounts at the venue.
    Transfer,
    /// What a liquidation cost beside its trades.
    LiquidationFee,
    /// Anything else.
    Other,
}

/// Money that moved on an account without a trade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Movement {
    /// The venue's name of it: the same movement told twice has the same one.
    pub id: MovementId,
    /// Why.
    pub kind: MovementKind,
    /// In what.
    pub asset: Asset,
    /// How much; positive came in.
    pub amount: Amount,
    /// For which instrument, where it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<VenueSymbol>,
    /// When, by the venue's clock.
    pub at: Timestamp,
}

/// Why a venue traded for an account by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FillCause {
    /// The margin did not suffice.
    Liquidation,
    /// The other side of someone else's liquidation.
    Deleveraging,
    /// The contract has expired.
    Settlement,
}
