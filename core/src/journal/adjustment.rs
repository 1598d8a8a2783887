//! What changes the books without an order of ours, with the reason, the source of its price, and who bears it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Terms;
use crate::model::ids::{AccountId, AdjustmentId, Asset, DeploymentId, VenueId, VenueSymbol};
use crate::model::movement::{FillCause, MovementKind};
use crate::model::number::{Amount, Price, SignedQuantity};
use crate::model::time::Timestamp;

/// Why the books changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdjustmentKind {
    /// Funding was paid or received.
    Funding,
    /// Money came in.
    Deposit,
    /// Money went out.
    Withdrawal,
    /// Money moved between accounts.
    Transfer,
    /// A liquidation cost something beside its trades.
    LiquidationFee,
    /// Money moved for another reason.
    Other,
    /// Somebody else traded on the account.
    ForeignTrade,
    /// The venue closed what the margin did not carry.
    Liquidation,
    /// The venue closed it against someone else's liquidation.
    Deleveraging,
    /// A difference that nothing explains was booked as not ours.
    Adopted,
    /// What the venue no longer holds of ours, because somebody else closed it, is no longer ours.
    Netted,
    /// The venue settled what was held of a contract that expired.
    Settlement,
}

impl AdjustmentKind {
    /// The word it is written as.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Funding => "funding",
            Self::Deposit => "deposit",
            Self::Withdrawal => "withdrawal",
            Self::Transfer => "transfer",
            Self::LiquidationFee => "liquidation_fee",
            Self::Other => "other",
            Self::ForeignTrade => "foreign_trade",
            Self::Liquidation => "liquidation",
            Self::Deleveraging => "deleveraging",
            Self::Adopted => "adopted",
            Self::Netted => "netted",
            Self::Settlement => "settlement",
        }
    }

    /// Whether it rests on something that the venue tells, under the venue's own name: told twice, it is booked once.
    #[must_use]
    pub const fn is_told(self) -> bool {
        !matches!(self, Self::Adopted | Self::Netted)
    }

    /// Whether its money is no result of trading: it came from outside or went there.
    #[must_use]
    pub const fn is_transfer(self) -> bool {
        matches!(self, Self::Deposit | Self::Withdrawal | Self::Transfer)
    }
}

impl From<MovementKind> for AdjustmentKind {
    fn from(kind: MovementKind) -> Self {
        match kind {
            MovementKind::Funding => Self::Funding,
            MovementKind::Deposit => Self::Deposit,
            MovementKind::Withdrawal => Self::Withdrawal,
            MovementKind::Transfer => Self::Transfer,
            MovementKind::LiquidationFee => Self::LiquidationFee,
            MovementKind::Other => Self::Other,
        }
    }
}

impl From<Option<FillCause>> for AdjustmentKind {
    fn from(cause: Option<FillCause>) -> Self {
        match cause {
            None => Self::ForeignTrade,
            Some(FillCause::Liquidation) => Self::Liquidation,
            Some(FillCause::Deleveraging) => Self::Deleveraging,
            Some(FillCause::Settlement) => Self::Settlement,
        }
    }
}

/// Where the price of an adjustment comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PriceSource {
    /// The venue's own trade.
    Trade,
    /// The middle of bid and ask when it was booked.
    Mark,
}

impl PriceSource {
    /// The word it is written as.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Trade => "trade",
            Self::Mark => "mark",
        }
    }
}

/// What an instrument is, and what something of it that is not ours cost when it was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Basis {
    /// The venue.
    pub venue: VenueId,
    /// For the ledger.
    pub terms: Terms,
    /// What it cost, signed like a value of the contract ([`Contract::value`](crate::model::contract::Contract::value)), in the settlement
    /// currency.
    pub cost: Amount,
}

/// Who bears how much of an adjustment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// The deployment; absent is what is not ours: other positions on the account, or the account itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentId>,
    /// What was bought (positive) or sold, in base units.
    pub quantity: SignedQuantity,
    /// Money that came in (positive) or went out, in the adjustment's asset.
    pub amount: Amount,
    /// What the trade cost, in the adjustment's fee asset.
    pub fee: Amount,
    /// What the traded quantity counts, where it is a part of what the venue has rounded as a whole; else it follows from the price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Amount>,
}

impl Share {
    /// Of a trade.
    #[must_use]
    pub const fn traded(deployment: Option<DeploymentId>, quantity: SignedQuantity, fee: Amount) -> Self {
        Self { deployment, quantity, amount: Amount::ZERO, fee, value: None }
    }

    /// Of money.
    #[must_use]
    pub const fn paid(deployment: Option<DeploymentId>, amount: Amount) -> Self {
        Self { deployment, quantity: SignedQuantity::ZERO, amount, fee: Amount::ZERO, value: None }
    }
}

/// A change of the books without an order of ours. The shares add up to what happened, to the last digit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Adjustment {
    /// Its name: the same for the same thing, however often it is told.
    pub id: AdjustmentId,
    /// Why the books changed.
    pub kind: AdjustmentKind,
    /// The account.
    pub account: AccountId,
    /// Its venue.
    pub venue: VenueId,
    /// The instrument, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<VenueSymbol>,
    /// What the ledger must know of the instrument; without it nothing of it can be valued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// What money moved in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<Asset>,
    /// What fees were paid in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee_asset: Option<Asset>,
    /// At what price quantities changed, with where it is from; without one their cost is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<(Price, PriceSource)>,
    /// Who bears it.
    pub shares: Vec<Share>,
    /// In words.
    pub reason: String,
    /// When it happened, by the venue's clock where the venue told of it.
    pub at: Timestamp,
}
