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
mod tests {
    use super::*;

    #[test]
    fn keccak_is_the_original_and_not_sha3() {
        let check = |text: &str, expected: &str| assert_eq!(hex::encode(keccak256(text)), expected);
        check("", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
        check("abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
    }
}
