//! On which market a signal wants to trade.

use std::fmt;

use serde::de::IntoDeserializer;
use serde::de::value::{Error, StringDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::instrument::Market;

/// The market that a signal asks for: `perp`, `spot`, or `any`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WantedMarket {
    /// This one.
    Only(Market),
    /// Whichever the account can trade: the one it is configured for; else perpetuals where its venue lists them, else spot. Spot takes only
    /// what it can carry: long, without leverage.
    Any,
}

impl WantedMarket {
    /// Whether an instrument of this market will do.
    #[must_use]
    pub fn allows(self, market: Market) -> bool {
        match self {
            Self::Only(wanted) => wanted == market,
            Self::Any => true,
        }
    }
}

impl Default for WantedMarket {
    /// Perpetuals.
    fn default() -> Self {
        Self::Only(Market::default())
    }
}

impl From<Market> for WantedMarket {
    fn from(market: Market) -> Self {
        Self::Only(market)
    }
}

impl fmt::Display for WantedMarket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only(market) => market.fmt(f),
            Self::Any => f.pad("any"),
        }
    }
}

impl Serialize for WantedMarket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Only(market) => market.serialize(serializer),
            Self::Any => serializer.serialize_str("any"),
        }
    }
}

impl<'de> Deserialize<'de> for WantedMarket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "any" {
            return Ok(Self::Any);
        }
        let named: StringDeserializer<Error> = text.into_deserializer();
        Market::deserialize(named).map(Self::Only).map_err(|error| serde::de::Error::custom(format!("{error}, or `any` of them")))
    }
}
