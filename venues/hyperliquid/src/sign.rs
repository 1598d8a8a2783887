//! Signatures: action + key + nonce → signature. Pure: no clock, no network. The golden vectors are in `fixtures/vectors.json`.
//!
//! Source: hyperliquid-python-sdk 0.24.0 `utils/signing.py` and the documentation ("Signing"), read 2026-11; checked against three
//! implementations through the vectors.

use omnivenue_kit::sign::eip712::{self, Domain, Field};
use omnivenue_kit::sign::{Address, Signature, SigningKey, hex, keccak256};
use serde::Serialize;

use crate::config::Environment;
use crate::pack::Node;

/// What a signature of an [`Action`](crate::action::Action) covers beside the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Used once per signer: milliseconds.
    pub nonce: u64,
    /// The sub-account or vault that acts.
    pub vault_address: Option<Address>,
    /// After this the venue refuses it: milliseconds, by its clock.
    pub expires_after: Option<u64>,
    /// Which chain.
    pub environment: Environment,
}

/// A text that is no action.
#[derive(Debug, thiserror::Error)]
#[error("the action cannot be read back: {0}")]
pub struct SignError(#[from] serde_json::Error);

/// The signature as `/exchange` takes it: r and s padded to 32 bytes.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct WireSignature {
    r: String,
    s: String,
    v: u8,
}

// Whoever has a signature can send what it signs.
impl std::fmt::Debug for WireSignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WireSignature([redacted])")
    }
}

impl From<Signature> for WireSignature {
    fn from(signature: Signature) -> Self {
        Self { r: hex::encode_0x(signature.r), s: hex::encode_0x(signature.s), v: signature.v }
    }
}

/// The msgpack form of an action's JSON text, keys in the order of the text.
///
/// # Errors
/// [`SignError`] when the text is no action.
pub fn pack(action_json: &str) -> Result<Vec<u8>, SignError> {
    Ok(Node::parse(action_json)?.pack())
}

/// The hash of a packed action and its terms ("connection id").
#[must_use]
pub fn action_hash(packed: &[u8], terms: &Terms) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(packed.len() + 40);
    bytes.extend(packed);
    bytes.extend(terms.nonce.to_be_bytes());
    match terms.vault_address {
        None => bytes.push(0),
        Some(vault) => {
            bytes.push(1);
            bytes.extend(vault.as_bytes());
        }
    }
    if let Some(expires_after) = terms.expires_after {
        bytes.push(0);
        bytes.extend(expires_after.to_be_bytes());
    }
    keccak256(bytes)
}

/// What is signed for an action.
#[must_use]
pub fn digest(connection_id: [u8; 32], environment: Environment) -> [u8; 32] {
    let separator = Domain::new().name("Exchange").version("1").chain_id(1337).verifying_contract(Address::new([0; 20])).separator();
    eip712::digest(&separator, &agent_hash(connection_id, environment))
}

fn agent_hash(connection_id: [u8; 32], environment: Environment) -> [u8; 32] {
    eip712::hash_struct("Agent(string source,bytes32 connectionId)", &[Field::String(environment.source()), Field::Bytes32(connection_id)])
}

/// Signs an action's JSON text: the same bytes in give the same signature out.
///
/// # Errors
/// [`SignError`] when the text is no action.
pub fn sign(key: &SigningKey, action_json: &str, terms: &Terms) -> Result<WireSignature, SignError> {
    let connection_id = action_hash(&pack(action_json)?, terms);
    Ok(key.sign_digest(&digest(connection_id, terms.environment)).into())
}

#[cfg(test)]
mod tests {
    use omnivenue_core::model::secret::Secret;
    use serde::Deserialize;
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;
    use crate::action::Action;
    use crate::rest::envelope;
    use crate::user_action::{UserAction, user_separator};

    #[derive(Deserialize)]
    struct Vectors {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        name: String,
        kind: String,
        inputs: Inputs,
        expected: Value,
    }

    #[derive(Deserialize)]
    struct Inputs {
        private_key: String,
        signer_address: String,
        network: String,
        nonce: u64,
        #[serde(default)]
        vault_address: Option<Address>,
        #[serde(default)]
        expires_after: Option<u64>,
        /// As text: the order of the keys is part of the case.
        action: Box<RawValue>,
    }

    fn cases(kind: &str) -> Vec<Case> {
        let vectors: Vectors = serde_json::from_str(include_str!("../fixtures/vectors.json")).unwrap();
        assert_eq!(vectors.cases.len(), 32);
        vectors.cases.into_iter().filter(|case| case.kind == kind).collect()
    }

    impl Case {
        fn key(&self) -> SigningKey {
            let key = SigningKey::from_secret(&Secret::new(self.inputs.private_key.clone())).unwrap();
            assert_eq!(key.address(), self.inputs.signer_address.parse().unwrap(), "{}", self.name);
            key
        }

        fn environment(&self) -> Environment {
            match self.inputs.network.as_str() {
                "mainnet" => Environment::Mainnet,
                "testnet" => Environment::Testnet,
                other => panic!("{other}"),
            }
        }

        fn terms(&self) -> Terms {
            let Inputs { nonce, vault_address, expires_after, .. } = self.inputs;
            Terms { nonce, vault_address, expires_after, environment: self.environment() }
        }

        fn check(&self, what: &str, got: impl AsRef<[u8]>) {
            assert_eq!(self.expected[what].as_str().unwrap(), hex::encode_0x(got), "{}: {what}", self.name);
        }

        /// The body that is sent, as JSON values; r and s as whole numbers, since the SDK drops their leading zeros.
        fn check_body(&self, body: &str) {
            let padded = |mut body: Value| {
                for part in ["r", "s"] {
                    let digits = body["signature"][part].as_str().unwrap().trim_start_matches("0x").to_owned();
                    body["signature"][part] = format!("{digits:0>64}").into();
                }
                body
            };
            let expected = padded(self.expected["http"]["body"].clone());
            assert_eq!(padded(serde_json::from_str(body).unwrap()), expected, "{}", self.name);
            let url = format!("{}/exchange", self.environment().rest_url());
            assert_eq!(self.expected["http"]["url"], json!(url), "{}", self.name);
            let signature = &serde_json::from_str::<Value>(body).unwrap()["signature"];
            assert_eq!(*signature, self.expected["signature"], "{}: padded to 32 bytes", self.name);
        }
    }

    #[test]
    fn every_action_is_signed_as_the_venues_own_client_signs_it() {
        let cases = cases("l1");
        assert_eq!(cases.len(), 28);
        for case in cases {
            // Through our types: a field out of order would show.
            let action: Action = serde_json::from_str(case.inputs.action.get()).unwrap();
            let json = action.to_json();
            let packed = pack(&json).unwrap();
            case.check("msgpack_hex", &packed);
            let hash = action_hash(&packed, &case.terms());
            case.check("action_hash_connection_id", hash);
            assert_eq!(case.expected["phantom_agent_source"], case.environment().source());
            case.check("struct_hash", agent_hash(hash, case.environment()));
            case.check("digest", digest(hash, case.environment()));
            let signature = sign(&case.key(), &json, &case.terms()).unwrap();
            case.check_body(&envelope(&json, &signature, &case.terms()));
        }
    }

    #[test]
    fn every_user_signed_action_is_signed_as_the_venues_own_client_signs_it() {
        let cases = cases("user_signed");
        assert_eq!(cases.len(), 4);
        for case in cases {
            let action: UserAction = serde_json::from_str(case.inputs.action.get()).unwrap();
            let environment = case.environment();
            assert_eq!(action.nonce(), case.inputs.nonce);
            case.check("domain_separator", user_separator());
            case.check("struct_hash", action.struct_hash(environment).unwrap());
            case.check("digest", action.digest(environment).unwrap());
            let signature = action.sign(&case.key(), environment).unwrap();
            case.check_body(&envelope(&action.to_json(environment).to_string(), &signature, &case.terms()));
        }
    }

    #[test]
    fn the_domain_of_actions_is_the_one_of_the_vectors() {
        let separator = Domain::new().name("Exchange").version("1").chain_id(1337).verifying_contract(Address::new([0; 20])).separator();
        cases("l1").iter().for_each(|case| case.check("domain_separator", separator));
    }

    #[test]
    fn everything_that_is_signed_changes_the_hash() {
        let terms = Terms { nonce: 1, vault_address: None, expires_after: None, environment: Environment::Mainnet };
        let packed = pack(r#"{"type":"noop"}"#).unwrap();
        let hashes = [
            action_hash(&packed, &terms),
            action_hash(&packed, &Terms { nonce: 2, ..terms }),
            action_hash(&packed, &Terms { vault_address: Some(Address::new([0; 20])), ..terms }),
            action_hash(&packed, &Terms { expires_after: Some(0), ..terms }),
            action_hash(&pack(r#"{"type":"noop2"}"#).unwrap(), &terms),
        ];
        assert!((1..hashes.len()).all(|i| !hashes[..i].contains(&hashes[i])));
        assert_ne!(digest(hashes[0], Environment::Mainnet), digest(hashes[0], Environment::Testnet));
    }

    #[test]
    fn a_signature_is_not_printed() {
        let key = SigningKey::from_secret(&Secret::new("01".repeat(32))).unwrap();
        let terms = Terms { nonce: 1, vault_address: None, expires_after: None, environment: Environment::Mainnet };
        let signature = sign(&key, r#"{"type":"noop"}"#, &terms).unwrap();
        assert_eq!(format!("{signature:?}"), "WireSignature([redacted])");
    }
}
