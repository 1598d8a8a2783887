//! Actions that only the account's own key signs, in a form that wallets can show. Pure.
//!
//! Source: hyperliquid-python-sdk 0.24.0 `utils/signing.py`, read 2026-11; the vectors are checked beside those of [`crate::sign`].

use omnivenue_kit::sign::eip712::{self, Domain, Field};
use omnivenue_kit::sign::{Address, SigningKey};
use serde::{Deserialize, Serialize};

use crate::config::Environment;
use crate::sign::WireSignature;

/// Actions that the owner of the account signs in a form that wallets can show. An agent cannot sign them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum UserAction {
    /// Lets another key trade for the account. A name may end in ` valid_until <ms>`; approving a name again replaces its key.
    ApproveAgent {
        /// The key's address.
        agent_address: String,
        /// Its name; the nameless agent when empty.
        agent_name: String,
        /// Used once: milliseconds.
        nonce: u64,
    },
    /// Lets a builder charge the account up to a rate.
    ApproveBuilderFee {
        /// Such as `0.01%`.
        max_fee_rate: String,
        /// The builder's address.
        builder: String,
        /// Used once: milliseconds.
        nonce: u64,
    },
    /// Moves USDC between the spot and the perpetuals balance of the account.
    UsdClassTransfer {
        /// In USDC.
        amount: String,
        /// Which way.
        to_perp: bool,
        /// Used once: milliseconds.
        nonce: u64,
    },
    /// Sends USDC to another account.
    UsdSend {
        /// Whose.
        destination: String,
        /// In USDC.
        amount: String,
        /// Used once: milliseconds.
        time: u64,
    },
}

/// The chain id that the venue's clients state in user-signed actions.
const SIGNATURE_CHAIN: (u64, &str) = (0x66eee, "0x66eee");

/// An address in an action that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct UserActionError(#[from] omnivenue_kit::sign::AddressError);

impl UserAction {
    /// Its nonce, which the envelope repeats.
    #[must_use]
    pub const fn nonce(&self) -> u64 {
        match self {
            Self::ApproveAgent { nonce, .. } | Self::ApproveBuilderFee { nonce, .. } | Self::UsdClassTransfer { nonce, .. } => *nonce,
            Self::UsdSend { time, .. } => *time,
        }
    }

    /// Its JSON, with the chain it is meant for.
    #[must_use]
    pub fn to_json(&self, environment: Environment) -> serde_json::Value {
        let mut json = serde_json::to_value(self).expect("an action has only string keys");
        json["signatureChainId"] = SIGNATURE_CHAIN.1.into();
        json["hyperliquidChain"] = environment.chain().into();
        json
    }

    /// The hash of its fields.
    ///
    /// # Errors
    /// [`UserActionError`] when an address in it is none.
    pub fn struct_hash(&self, environment: Environment) -> Result<[u8; 32], UserActionError> {
        let chain = Field::String(environment.chain());
        let hash = |typed: &str, fields: &[Field<'_>]| eip712::hash_struct(&format!("HyperliquidTransaction:{typed}"), fields);
        Ok(match self {
            Self::ApproveAgent { agent_address, agent_name, nonce } => hash(
                "ApproveAgent(string hyperliquidChain,address agentAddress,string agentName,uint64 nonce)",
                &[chain, Field::Address(agent_address.parse()?), Field::String(agent_name), Field::Uint64(*nonce)],
            ),
            Self::ApproveBuilderFee { max_fee_rate, builder, nonce } => hash(
                "ApproveBuilderFee(string hyperliquidChain,string maxFeeRate,address builder,uint64 nonce)",
                &[chain, Field::String(max_fee_rate), Field::Address(builder.parse()?), Field::Uint64(*nonce)],
            ),
            Self::UsdClassTransfer { amount, to_perp, nonce } => hash(
                "UsdClassTransfer(string hyperliquidChain,string amount,bool toPerp,uint64 nonce)",
                &[chain, Field::String(amount), Field::Bool(*to_perp), Field::Uint64(*nonce)],
            ),
            Self::UsdSend { destination, amount, time } => hash(
                "UsdSend(string hyperliquidChain,string destination,string amount,uint64 time)",
                &[chain, Field::String(destination), Field::String(amount), Field::Uint64(*time)],
            ),
        })
    }

    /// What is signed.
    ///
    /// # Errors
    /// [`UserActionError`] when an address in it is none.
    pub fn digest(&self, environment: Environment) -> Result<[u8; 32], UserActionError> {
        Ok(eip712::digest(&user_separator(), &self.struct_hash(environment)?))
    }

    /// Signs it.
    ///
    /// # Errors
    /// [`UserActionError`] when an address in it is none.
    pub fn sign(&self, key: &SigningKey, environment: Environment) -> Result<WireSignature, UserActionError> {
        Ok(key.sign_digest(&self.digest(environment)?).into())
    }
}

pub(crate) fn user_separator() -> [u8; 32] {
    let domain = Domain::new().name("HyperliquidSignTransaction").version("1").chain_id(SIGNATURE_CHAIN.0);
    domain.verifying_contract(Address::new([0; 20])).separator()
}
