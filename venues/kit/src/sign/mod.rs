//! Signing primitives: pure functions of key and bytes, without a clock and without a network.

mod address;
mod ecdsa;
pub mod eip712;
pub mod hex;
mod mac;

pub use self::address::{Address, AddressError};
pub use self::ecdsa::{KeyError, Signature, SigningKey, recover};
pub use self::mac::hmac_sha256;

use sha3::{Digest, Keccak256};

/// Ethereum's hash: Keccak-256 with the original padding, which is not SHA3-256.
#[must_use]
pub fn keccak256(bytes: impl AsRef<[u8]>) -> [u8; 32] {
    Keccak256::digest(bytes.as_ref()).into()
}

#[cfg(test)]
mod tests;
