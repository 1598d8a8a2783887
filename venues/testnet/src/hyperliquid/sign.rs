//! Who signed a request. Pure: hashes, typed data, recovery of the signer; this crate's own, not the adapter's.
//!
//! Source: the venue's Python SDK 0.24.0 and the recorded vectors beside this crate, read 2026-11-20.

use std::fmt;
use std::str::FromStr;

use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use sha3::{Digest, Keccak256};

use crate::json::Json;

/// An account of the venue: 20 bytes, written in lower-case hexadecimals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address(pub(crate) [u8; 20]);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{}` is no address: write 0x and 40 hexadecimals", text.chars().take(64).collect::<String>());
        let bytes = unhex(text).ok_or_else(wrong)?;
        bytes.try_into().map(Self).map_err(|_| wrong())
    }
}

/// A 32-byte hash.
pub(crate) type Hash = [u8; 32];

pub(crate) fn keccak(bytes: &[u8]) -> Hash {
    Keccak256::digest(bytes).into()
}

/// `0x` and lower-case hexadecimals.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::from("0x"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of hexadecimals, with or without `0x`; an odd count has a leading zero left out.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let padded = if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("0{digits}") };
    (0..padded.len()).step_by(2).map(|at| u8::from_str_radix(padded.get(at..at + 2)?, 16).ok()).collect()
}

/// A signature as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    r: Hash,
    s: Hash,
    v: u64,
}

impl Signed {
    /// From `{"r":"0x…","s":"0x…","v":27|28}`; leading zeros of `r` and `s` may be left out.
    pub(crate) fn read(value: &Json) -> Option<Self> {
        let part = |key| padded(value.text(key)?);
        Some(Self { r: part("r")?, s: part("s")?, v: value.get("v")?.as_u64()? })
    }

    /// The address of whoever signed this digest.
    pub(crate) fn signer(&self, digest: &Hash) -> Option<Address> {
        let parity = match self.v {
            0 | 27 => 0,
            1 | 28 => 1,
            _ => return None,
        };
        let signature = Signature::from_scalars(self.r, self.s).ok()?;
        let key = VerifyingKey::recover_from_prehash(digest, &signature, RecoveryId::from_byte(parity)?).ok()?;
        Some(address_of(&key))
    }
}

fn padded(text: &str) -> Option<Hash> {
    let bytes = unhex(text)?;
    let mut out = [0; 32];
    out.get_mut(32_usize.checked_sub(bytes.len())?..)?.copy_from_slice(&bytes);
    Some(out)
}

fn address_of(key: &VerifyingKey) -> Address {
    let point = key.to_sec1_point(false);
    let hash = keccak(point.as_bytes().get(1..).unwrap_or_default());
    let mut address = [0; 20];
    address.copy_from_slice(&hash[12..]);
    Address(address)
}

/// The address of a private key.
pub(crate) fn address_of_key(key: &Hash) -> Option<Address> {
    SigningKey::from_slice(key).ok().map(|key| address_of(key.verifying_key()))
}

/// The hash of an action with its nonce, vault and expiry: what the phantom agent of an action is connected to.
pub(crate) fn action_hash(action: &Json, nonce: u64, vault: Option<Address>, expires_after: Option<u64>) -> Hash {
    let mut bytes = Vec::new();
    action.pack(&mut bytes);
    bytes.extend(nonce.to_be_bytes());
    match vault {
        None => bytes.push(0),
        Some(vault) => {
            bytes.push(1);
            bytes.extend(vault.0);
        }
    }
    if let Some(expires_after) = expires_after {
        bytes.push(0);
        bytes.extend(expires_after.to_be_bytes());
    }
    keccak(&bytes)
}

/// The digest that a trading key signs: `source` is `a` on the venue's mainnet and `b` on its testnet.
pub(crate) fn agent_digest(source: &str, connection: &Hash) -> Hash {
    let kind = keccak(b"Agent(string source,bytes32 connectionId)");
    let message = keccak(&[kind, keccak(source.as_bytes()), *connection].concat());
    typed_digest(&domain("Exchange", 1337), &message)
}

fn number(value: u64) -> Hash {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&value.to_be_bytes());
    word
}

fn domain(name: &str, chain: u64) -> Hash {
    let kind = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    keccak(&[kind, keccak(name.as_bytes()), keccak(b"1"), number(chain), [0; 32]].concat())
}

fn typed_digest(domain: &Hash, message: &Hash) -> Hash {
    let mut bytes = vec![0x19, 0x01];
    bytes.extend(domain);
    bytes.extend(message);
    keccak(&bytes)
}

/// The action's type, the name it is signed under, its fields with their types.
type UserSigned = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// What an account's own key signs field by field.
const USER_SIGNED: [UserSigned; 6] = [
    (
        "approveAgent",
        "ApproveAgent",
        &[("hyperliquidChain", "string"), ("agentAddress", "address"), ("agentName", "string"), ("nonce", "uint64")],
    ),
    (
        "approveBuilderFee",
        "ApproveBuilderFee",
        &[("hyperliquidChain", "string"), ("maxFeeRate", "string"), ("builder", "address"), ("nonce", "uint64")],
    ),
    (
        "usdClassTransfer",
        "UsdClassTransfer",
        &[("hyperliquidChain", "string"), ("amount", "string"), ("toPerp", "bool"), ("nonce", "uint64")],
    ),
    ("usdSend", "UsdSend", &[("hyperliquidChain", "string"), ("destination", "string"), ("amount", "string"), ("time", "uint64")]),
    (
        "spotSend",
        "SpotSend",
        &[("hyperliquidChain", "string"), ("destination", "string"), ("token", "string"), ("amount", "string"), ("time", "uint64")],
    ),
    ("withdraw3", "Withdraw", &[("hyperliquidChain", "string"), ("destination", "string"), ("amount", "string"), ("time", "uint64")]),
];

/// Whether actions of this type are signed field by field.
pub(crate) fn is_user_signed(kind: &str) -> bool {
    USER_SIGNED.iter().any(|(name, ..)| *name == kind)
}

/// The digest of a user-signed action; `None` when a field is missing or not of its type.
pub(crate) fn user_digest(action: &Json) -> Option<Hash> {
    let kind = action.text("type")?;
    let (_, name, fields) = USER_SIGNED.iter().find(|(action, ..)| *action == kind)?;
    let listed: Vec<String> = fields.iter().map(|(field, kind)| format!("{kind} {field}")).collect();
    let mut message = keccak(format!("HyperliquidTransaction:{name}({})", listed.join(",")).as_bytes()).to_vec();
    for (field, kind) in *fields {
        message.extend(user_field(action, field, kind)?);
    }
    let chain = action.text("signatureChainId")?;
    let chain = u64::from_str_radix(chain.strip_prefix("0x")?, 16).ok()?;
    Some(typed_digest(&domain("HyperliquidSignTransaction", chain), &keccak(&message)))
}

fn user_field(action: &Json, field: &str, kind: &str) -> Option<Hash> {
    let value = action.get(field);
    match kind {
        // An agent without a name is signed with an empty one, and sent without any.
        "string" if field == "agentName" => Some(keccak(value.and_then(Json::as_str).unwrap_or_default().as_bytes())),
        "string" => Some(keccak(value?.as_str()?.as_bytes())),
        "bool" => Some(number(u64::from(value?.as_bool()?))),
        "uint64" => Some(number(value?.as_u64()?)),
        _ => {
            let address: Address = value?.as_str()?.parse().ok()?;
            let mut word = [0; 32];
            word[12..].copy_from_slice(&address.0);
            Some(word)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors() -> Vec<Json> {
        let text = include_str!("../../fixtures/hyperliquid_vectors.json");
        serde_json::from_str::<Json>(text).unwrap().get("cases").unwrap().items().to_vec()
    }

    fn digest(case: &Json) -> Hash {
        let inputs = case.get("inputs").unwrap();
        let action = inputs.get("action").unwrap();
        if case.text("kind") == Some("user_signed") {
            return user_digest(action).unwrap();
        }
        let vault = inputs.text("vault_address").map(|text| text.parse().unwrap());
        let expires = inputs.get("expires_after").and_then(Json::as_u64);
        let hash = action_hash(action, inputs.get("nonce").unwrap().as_u64().unwrap(), vault, expires);
        let expected = case.get("expected").unwrap();
        assert_eq!(hex(&hash), expected.text("action_hash_connection_id").unwrap());
        agent_digest(expected.text("phantom_agent_source").unwrap(), &hash)
    }

    #[test]
    fn every_vector_has_its_digest_and_its_signer() {
        assert_eq!(vectors().len(), 32);
        for case in vectors() {
            let expected = case.get("expected").unwrap();
            let digest = digest(&case);
            assert_eq!(hex(&digest), expected.text("digest").unwrap(), "{:?}", case.text("name"));
            let signer = Signed::read(expected.get("signature").unwrap()).unwrap().signer(&digest).unwrap();
            assert_eq!(signer.to_string(), case.get("inputs").unwrap().text("signer_address").unwrap().to_lowercase());
        }
    }

    #[test]
    fn leading_zeros_may_be_left_out() {
        let signed = |r: &str| Signed::read(&serde_json::from_str(&format!(r#"{{"r":"{r}","s":"0x01","v":27}}"#)).unwrap());
        assert_eq!(signed("0x0abc"), signed("0xabc"));
        assert_eq!(signed("0xabc"), signed("abc"));
        for wrong in ["0x", "0xg", &format!("0x{}", "1".repeat(66))] {
            assert_eq!(signed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_address_of_a_key_is_the_published_one() {
        let key: Hash = unhex("0x0123456789012345678901234567890123456789012345678901234567890123").unwrap().try_into().unwrap();
        assert_eq!(address_of_key(&key).unwrap().to_string(), "0x14791697260e4c9a71f18484c9f997b308e59325");
    }
}
