//! A secret, in a type that never prints it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Serialize, Serializer};
use sha2::Sha256;

/// A secret. Printing, logging or serializing it shows `[redacted]`; only [`Secret::expose`] gives the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether another secret has the same text, in a time that tells nothing of either.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        let made = |text: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(b"omnivenue: the same secret").expect("a key of any length will do");
            mac.update(text.as_bytes());
            mac
        };
        made(&self.0).verify(&made(&other.0).finalize().into_bytes()).is_ok()
    }

    /// The text itself: for signing and for deriving keys, never for printing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("hunter2");
        let shown = format!("{secret} {secret:?} {:#?} {}", Some(&secret), serde_json::to_string(&secret).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn only_the_same_text_is_the_same_secret() {
        let secret = Secret::new("hunter2");
        assert!(secret.is_same_as(&Secret::new("hunter2")));
        for other in ["", "hunter", "hunter22", "Hunter2", "hunter2 "] {
            assert!(!secret.is_same_as(&Secret::new(other)), "{other}");
        }
    }
}
