//! What a venue can do, as data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::exit::TriggerSource;
use crate::model::time::duration_text;

/// Whether the same bytes may be sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resend {
    /// The venue takes them once and answers the same: by nonce, by client order id, by transaction hash.
    Idempotent,
    /// The venue may take them twice: only proven absence allows another attempt, under another id.
    AfterProof,
}

/// How the absence of an order becomes proof that it can never arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// Its nonce or id is used up by a request that does nothing; then it is not found.
    Burn,
    /// The venue refuses it once its deadline has passed; `margin` covers clocks and processing.
    Window {
        /// From `prepare` to the deadline in the request.
        #[serde(with = "duration_text")]
        length: Duration,
        /// From the deadline to proof.
        #[serde(with = "duration_text")]
        margin: Duration,
    },
    /// Never by time: it is found, or a person settles it.
    Never,
}

/// What the account needs as a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NonceRule {
    /// None.
    None,
    /// Milliseconds, each used once per signer, and none repeated in a burst.
    Milliseconds,
}

/// How the venue keeps positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionModel {
    /// One per instrument, long or short.
    Net,
    /// Balances only (spot).
    Holdings,
}

/// What its orders can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderCapabilities {
    /// Whether the same bytes may be sent twice.
    pub resend: Resend,
    /// How absence becomes proof.
    pub absence: Absence,
    /// Whether an order of a derivative can be told to only reduce. There is no such thing on spot.
    pub reduce_only: bool,
    /// What the account needs as a nonce.
    pub nonce: NonceRule,
    /// Whether an order can be filled in full at once, or not at all.
    #[serde(default = "yes")]
    pub fill_or_kill: bool,
    /// Whether an order can be told to rest, and is refused where it would trade at once.
    #[serde(default = "yes")]
    pub post_only: bool,
}

const fn yes() -> bool {
    true
}

/// What a venue can do: what the composed stack achieves, asked before it is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Its orders.
    pub orders: OrderCapabilities,
    /// Its positions.
    pub positions: PositionModel,
    /// The exits that can wait at the venue; absent where none can, and the engine runs them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exits: Option<ExitCapabilities>,
}

/// Which exits of derivatives can wait at the venue, and survive our process there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitCapabilities {
    /// Stop losses.
    pub stop: bool,
    /// Take profits.
    pub take_profit: bool,
    /// Both can travel with the entry, in one request.
    pub attached: bool,
    /// Which price is compared with the trigger.
    pub source: TriggerSource,
}
