//! A request to close positions.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ids::{AccountId, DeploymentId, SignalId, VenueSymbol};
use super::signal::hex;

/// Which positions to close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseTarget {
    /// Every position of ours.
    All,
    /// What is left of one signal's fills, on every account.
    Signal(SignalId),
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
}

/// A request to close positions, idempotent by its id: the same id with the same target is the same execution for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseRequest {
    /// Unique for ever, among signals too.
    pub id: SignalId,
    /// Which positions.
    pub target: CloseTarget,
}

impl CloseRequest {
    /// SHA-256 of the request, in hex.
    #[must_use]
    pub fn body_hash(&self) -> String {
        let body = serde_json::to_string(self).expect("a request to close is plain data and always serializes");
        hex(&Sha256::digest(body.as_bytes()))
    }
}
