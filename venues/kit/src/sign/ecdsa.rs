//! Signatures on secp256k1, as Ethereum makes them.

use std::fmt;

use k256::ecdsa::{RecoveryId, VerifyingKey};
use omnivenue_core::model::secret::Secret;

use super::Address;
use super::hex;

/// A private key that signs; shows nothing but its address.
#[derive(Clone)]
pub struct SigningKey {
    key: k256::ecdsa::SigningKey,
    address: Address,
}

/// A signature that tells its signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// The x coordinate of the nonce point, big-endian.
    pub r: [u8; 32],
    /// The proof, big-endian; always in the lower half of the group order.
    pub s: [u8; 32],
    /// 27 or 28: which of the two points it is.
    pub v: u8,
}

/// A secret that is not a private key; it does not say what the secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not 64 hexadecimal digits.
    #[error("the private key is not 64 hexadecimal digits (with or without 0x)")]
    NotHex(#[source] hex::HexError),
    /// Zero, or not below the order of the curve.
    #[error("the private key is out of range: it is zero or not below the order of secp256k1")]
    OutOfRange,
}

impl SigningKey {
    /// The key of a secret of 64 hexadecimal digits, with or without `0x`.
    ///
    /// # Errors
    /// [`KeyError`] when the secret is no private key; it never shows the secret.
    pub fn from_secret(secret: &Secret) -> Result<Self, KeyError> {
        let bytes = hex::decode_array::<32>(secret.expose().trim()).map_err(KeyError::NotHex)?;
        let key = k256::ecdsa::SigningKey::from_slice(&bytes).map_err(|_| KeyError::OutOfRange)?;
        let address = address_of(key.verifying_key());
        Ok(Self { key, address })
    }

    /// The address it signs for.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Signs a digest: deterministic (RFC 6979), `s` in the lower half.
    #[must_use]
    pub fn sign_digest(&self, digest: &[u8; 32]) -> Signature {
        let (signature, id) = self.key.sign_prehash_recoverable(digest);
        let (r, s) = signature.split_bytes();
        // The nonce point's x lies beyond the group order once in some 2^127 signatures: 27 and 28 are enough.
        Signature { r: r.into(), s: s.into(), v: 27 + u8::from(id.is_y_odd()) }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.address)
    }
}

/// Who signed the digest, or `None` when the signature is none. Takes `v` as 27 or 28, and only `s` in the lower half.
#[must_use]
pub fn recover(digest: &[u8; 32], signature: &Signature) -> Option<Address> {
    let id = RecoveryId::from_byte(signature.v.checked_sub(27)?).filter(|id| !id.is_x_reduced())?;
    let parsed = k256::ecdsa::Signature::from_scalars(signature.r, signature.s).ok()?;
    if parsed.normalize_s() != parsed {
        return None;
    }
    let key = VerifyingKey::recover_from_prehash(digest, &parsed, id).ok()?;
    Some(address_of(&key))
}

fn address_of(key: &VerifyingKey) -> Address {
    Address::of_public_key(&key.to_sec1_point(false).as_bytes()[1..])
}
