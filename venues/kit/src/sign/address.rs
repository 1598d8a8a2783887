//! Ethereum addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hex::{self, HexError};
use super::keccak256;

/// An Ethereum address; prints as `0x` and 40 lower-case digits, which is how venues hash it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; 20]);

/// Text that is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is not an address; write 40 hexadecimal digits, with or without 0x")]
pub struct AddressError {
    /// The beginning of what was given: never all of it, since a private key may have been put in the wrong place.
    pub got: String,
    /// Why it is none.
    #[source]
    pub source: HexError,
}

impl Address {
    /// The address of 20 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The address of an uncompressed public key, without the leading tag byte.
    pub(super) fn of_public_key(point: &[u8]) -> Self {
        let hash = keccak256(point);
        let mut bytes = [0; 20];
        bytes.copy_from_slice(&hash[12..]);
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode_0x(self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        hex::decode_array(text).map(Self).map_err(|source| {
            let mut got: String = text.chars().take(8).collect();
            if got.len() < text.len() {
                got.push('…');
            }
            AddressError { got, source }
        })
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_spelling_is_read_and_one_is_printed() {
        let printed = "0x14791697260e4c9a71f18484c9f997b308e59325";
        for text in ["0x14791697260E4c9A71f18484C9f997B308e59325", "14791697260E4C9A71F18484C9F997B308E59325", printed] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), printed);
        }
        let json = format!("\"{printed}\"");
        let address: Address = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&address).unwrap(), json);
    }

    #[test]
    fn a_private_key_in_its_place_is_refused_and_not_shown() {
        let key = "0x0123456789012345678901234567890123456789012345678901234567890123";
        let error = key.parse::<Address>().unwrap_err();
        assert_eq!(error.source, HexError::Length { got: 64, wanted: 40 });
        assert!(!format!("{error} {error:?}").contains("678901"), "{error:?}");
        for wrong in ["", "0x", "0x1479", "0x14791697260e4c9a71f18484c9f997b308e5932g"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
