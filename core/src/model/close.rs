//! A request to close positions.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ids::{AccountId, AgentId, Asset, DeploymentId, SignalId, VenueSymbol};
use super::number::{Fraction, Quantity};
use super::signal::hex;

/// Which positions to close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseTarget {
    /// Every position of ours.
    All,
    /// What is left of one signal's fills, on every account.
    Signal(SignalId),
    /// Every position of one agent.
    Agent(AgentId),
    /// Every position in one asset.
    Asset(Asset),
    /// Every position on one account.
    Account(AccountId),
    /// One instrument on one account: of every deployment, or of the one named.
    Position {
        /// The account.
        account: AccountId,
        /// The instrument, by the venue's name.
        instrument: VenueSymbol,
        /// The deployment; all of them when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deployment: Option<DeploymentId>,
    },
    /// One deployment's position on one instrument of one account, or what is left there of one signal: what the engine closes by itself.
    Lot(Lot),
}

/// What one deployment holds of an instrument on an account: all of it, or what is left of one signal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lot {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The account.
    pub account: AccountId,
    /// The instrument, by the venue's name.
    pub instrument: VenueSymbol,
    /// The signal; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<SignalId>,
}

/// How much of each position to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// This share of it, rounded down to whole lots.
    Fraction(Fraction),
    /// This much of it, in base units, rounded down to whole lots.
    Quantity(Quantity),
}

/// A request to close positions, idempotent by its id: the same id with the same target is the same execution for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseRequest {
    /// Unique for ever, among signals too.
    pub id: SignalId,
    /// Which positions.
    pub target: CloseTarget,
    /// How much of each; all of it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Whether what is not ours on the same accounts and instruments is closed too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub include_external: bool,
}

impl CloseRequest {
    /// A request to close all of what a target names.
    #[must_use]
    pub const fn new(id: SignalId, target: CloseTarget) -> Self {
        Self { id, target, part: None, include_external: false }
    }

    /// SHA-256 of the request, in hex.
    #[must_use]
    pub fn body_hash(&self) -> String {
        let body = serde_json::to_string(self).expect("a request to close is plain data and always serializes");
        hex(&Sha256::digest(body.as_bytes()))
    }
}
