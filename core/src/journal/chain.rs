//! The hash chain: each entry's hash covers the one before it, so that no entry can be changed, dropped or inserted unnoticed.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::model::signal::hex;
use crate::model::time::Timestamp;

/// A link of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash([u8; 32]);

/// Where the stored chain and the computed one part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at entry {seq}: stored {stored}, computed {computed}")]
pub struct ChainError {
    /// The first entry that does not fit.
    pub seq: u64,
    /// What the file says.
    pub stored: String,
    /// What its bytes give.
    pub computed: String,
}

/// The key of the chain. Without one, whoever can write the file can also rebuild the chain; with one, only who knows the key can.
#[derive(Clone, Default)]
pub struct ChainKey(Option<Vec<u8>>);

impl std::fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "ChainKey(set)" } else { "ChainKey(none)" })
    }
}

impl ChainKey {
    /// A keyed chain (HMAC-SHA-256).
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(Some(secret.to_vec()))
    }

    /// The link after `previous`, over the entry's number, time and exact body.
    #[must_use]
    pub fn link(&self, previous: Hash, seq: u64, at: Timestamp, body: &str) -> Hash {
        let seq = seq.to_be_bytes();
        let at = at.as_micros().to_be_bytes();
        let parts: [&[u8]; 4] = [&previous.0, &seq, &at, body.as_bytes()];
        match &self.0 {
            None => {
                let mut hasher = Sha256::new();
                parts.iter().for_each(|part| hasher.update(part));
                Hash(hasher.finalize().into())
            }
            Some(key) => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
                parts.iter().for_each(|part| mac.update(part));
                Hash(mac.finalize().into_bytes().into())
            }
        }
    }

    /// Checks one stored link.
    ///
    /// # Errors
    /// [`ChainError`] with both hashes.
    pub fn check(&self, previous: Hash, seq: u64, at: Timestamp, body: &str, stored: Hash) -> Result<(), ChainError> {
        let computed = self.link(previous, seq, at, body);
        if computed == stored { Ok(()) } else { Err(ChainError { seq, stored: stored.to_string(), computed: computed.to_string() }) }
    }
}

impl Hash {
    /// Before the first entry.
    pub const GENESIS: Self = Self([0; 32]);

    /// From stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts_and_so_does_the_key() {
        let at = Timestamp::from_micros(5);
        let plain = ChainKey::default();
        let link = plain.link(Hash::GENESIS, 1, at, "{}");
        assert_ne!(link, plain.link(Hash::GENESIS, 2, at, "{}"));
        assert_ne!(link, plain.link(Hash::GENESIS, 1, Timestamp::from_micros(6), "{}"));
        assert_ne!(link, plain.link(Hash::GENESIS, 1, at, "{ }"));
        assert_ne!(link, plain.link(link, 1, at, "{}"));
        assert_ne!(link, ChainKey::new(b"key").link(Hash::GENESIS, 1, at, "{}"));
        assert!(plain.check(Hash::GENESIS, 1, at, "{}", link).is_ok());
        assert_eq!(plain.check(Hash::GENESIS, 1, at, "x", link).unwrap_err().seq, 1);
        assert_eq!(format!("{:?}", ChainKey::new(b"hunter2")), "ChainKey(set)");
    }
}
