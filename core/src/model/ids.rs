//! Names: opaque identifiers that cannot be mistaken for one another.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` cannot be a {what}: use 1 to {longest} of A-Z a-z 0-9 . _ : / @ -")]
pub struct NameError {
    /// The kind of name.
    pub what: &'static str,
    /// What was given, cut to a readable length.
    pub got: String,
    /// The longest allowed length in characters.
    pub longest: usize,
}

fn check(text: &str, what: &'static str, longest: usize) -> Result<(), NameError> {
    let fits = !text.is_empty() && text.len() <= longest && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b));
    if fits { Ok(()) } else { Err(NameError { what, got: text.chars().take(80).collect(), longest }) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $longest:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name, if it is made of allowed characters.
            ///
            /// # Errors
            /// [`NameError`] says what fits.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text, $what, $longest)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text of the name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// Names a signal, unique for ever. Given by whoever emits it.
    SignalId, "signal id", 128
);
name!(
    /// Names an agent.
    AgentId, "agent id", 64
);
name!(
    /// Names a deployment: where one agent's signals are carried out.
    DeploymentId, "deployment id", 64
);
name!(
    /// Names an account: one login at one venue.
    AccountId, "account id", 64
);
name!(
    /// Names a venue: a place that trades.
    VenueId, "venue id", 32
);
name!(
    /// Names an asset or a currency, such as `HYPE` or `USDC`.
    Asset, "asset", 32
);
name!(
    /// The venue's own name of an instrument.
    VenueSymbol, "venue symbol", 64
);
name!(
    /// Our name of an order, as the venue sees it; 32 lower-case hexadecimal digits before a venue re-spells it.
    ClientOrderId, "client order id", 32
);
name!(
    /// The venue's name of an order.
    VenueOrderId, "venue order id", 128
);
name!(
    /// The venue's name of a trade.
    TradeId, "trade id", 128
);
name!(
    /// The venue's name of a movement of money.
    MovementId, "movement id", 128
);
name!(
    /// Names an adjustment of the books; derived from the venue's own name of what it rests on.
    AdjustmentId, "adjustment id", 192
);
name!(
    /// The venue's name of a position, where a venue has several per instrument.
    PositionId, "position id", 128
);
