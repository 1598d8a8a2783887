//! What can be asked of `/exchange`: typed actions, spelled and ordered as the venue hashes them.
//!
//! The order of the keys is part of the signature: fields here stand in the order of the venue's own client. Source: hyperliquid-python-sdk
//! 0.24.0 and `@nktkas/hyperliquid` 0.32.2, which agree byte for byte on every action in `fixtures/vectors.json`.

use std::fmt;

use omnivenue_core::model::ids::ClientOrderId;
use serde::{Deserialize, Deserializer, Serialize};

/// An action signed with the agent scheme ("L1 action").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Action {
    /// Places orders, all in one request. A fault in the payload is one error for all of them.
    Order {
        /// The orders. Weight 1 + one per 40 of them.
        orders: Vec<Order>,
        /// Whether they belong together.
        grouping: Grouping,
        /// Who else earns on them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        builder: Option<Builder>,
    },
    /// Cancels orders by the venue's number.
    Cancel {
        /// Which.
        cancels: Vec<CancelByOid>,
    },
    /// Cancels orders by our name.
    CancelByCloid {
        /// Which.
        cancels: Vec<CancelByCloid>,
    },
    /// Replaces resting orders. The replacement has another number.
    BatchModify {
        /// Which, by what.
        modifies: Vec<Modify>,
    },
    /// Sets the leverage of one coin for the account.
    UpdateLeverage {
        /// The asset's number.
        asset: u32,
        /// Cross or isolated margin.
        is_cross: bool,
        /// Whole, from 1 to the coin's highest.
        leverage: u32,
    },
    /// Moves margin into (positive) or out of (negative) an isolated position.
    UpdateIsolatedMargin {
        /// The asset's number.
        asset: u32,
        /// Ignored by the venue as long as positions are one-way; its clients send `true`.
        is_buy: bool,
        /// Millionths of a USD.
        ntli: i64,
    },
    /// Cancels *all* orders of the account at an instant, stops included; without a time, takes that back. At least five seconds ahead, at
    /// most ten times a day, and only for accounts that have traded enough.
    ScheduleCancel {
        /// Milliseconds, by the venue's clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        time: Option<u64>,
    },
    /// Does nothing, and uses up its nonce.
    Noop,
    /// Buys requests for the account's budget.
    ReserveRequestWeight {
        /// How many; each costs 0.0005 USDC.
        weight: u64,
    },
}

/// One order of an [`Action::Order`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The asset's number.
    #[serde(rename = "a")]
    pub asset: u32,
    /// Whether it buys.
    #[serde(rename = "b")]
    pub is_buy: bool,
    /// The limit price, in canonical digits ([`crate::convert::wire_number`]).
    #[serde(rename = "p")]
    pub price: String,
    /// The size in base units, in canonical digits.
    #[serde(rename = "s")]
    pub size: String,
    /// Whether it may only reduce a position.
    #[serde(rename = "r")]
    pub reduce_only: bool,
    /// Limit or trigger.
    #[serde(rename = "t")]
    pub kind: OrderKind,
    /// Our name of it.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub cloid: Option<Cloid>,
}

/// What kind of order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OrderKind {
    /// At its price or better.
    Limit {
        /// How long it may rest.
        tif: Tif,
    },
    /// Sleeps until the mark price reaches its trigger.
    #[serde(rename_all = "camelCase")]
    Trigger {
        /// Whether it then takes liquidity up to its price, or rests at it.
        is_market: bool,
        /// The trigger price, in canonical digits.
        trigger_px: String,
        /// Take profit or stop loss.
        tpsl: Tpsl,
    },
}

/// How long a limit order may rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tif {
    /// Until it is filled or canceled.
    Gtc,
    /// What does not fill at once is gone.
    Ioc,
    /// Refused rather than filled at once (post-only).
    Alo,
}

/// Which side of the entry a trigger guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tpsl {
    /// Take profit.
    Tp,
    /// Stop loss.
    Sl,
}

/// Whether the orders of one action belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Grouping {
    /// Each for itself.
    Na,
    /// The first is an entry; the others are reduce-only triggers that live as long as it does.
    NormalTpsl,
    /// Triggers that follow the size of the position.
    PositionTpsl,
}

/// Who else earns on an order; the account must have approved it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Builder {
    /// Its address, lower case.
    #[serde(rename = "b")]
    pub address: String,
    /// Tenths of a basis point.
    #[serde(rename = "f")]
    pub fee: u32,
}

/// One order to cancel by number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelByOid {
    /// The asset's number.
    #[serde(rename = "a")]
    pub asset: u32,
    /// The order's number.
    #[serde(rename = "o")]
    pub oid: u64,
}

/// One order to cancel by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelByCloid {
    /// The asset's number.
    pub asset: u32,
    /// Our name of it.
    pub cloid: Cloid,
}

/// One order to replace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Modify {
    /// Which.
    pub oid: OrderRef,
    /// By what.
    pub order: Order,
}

/// An order by the venue's number or by our name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OrderRef {
    /// By number.
    Oid(u64),
    /// By name.
    Cloid(Cloid),
}

/// Our name of an order as the venue takes it: 128 bits, `0x` and 32 lower-case hex characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Cloid(String);

/// Text that is no [`Cloid`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is no client order id of this venue: 32 hex characters")]
pub struct CloidError {
    /// What was given, cut to a readable length.
    pub got: String,
}

impl Cloid {
    /// From `0x` and 32 hex characters, in either case.
    ///
    /// # Errors
    /// [`CloidError`] when it is something else.
    pub fn parse(text: &str) -> Result<Self, CloidError> {
        let digits = text.strip_prefix("0x").unwrap_or("");
        if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(CloidError { got: text.chars().take(40).collect() });
        }
        Ok(Self(format!("0x{}", digits.to_ascii_lowercase())))
    }

    /// The venue's spelling of one of our names.
    ///
    /// # Errors
    /// [`CloidError`] when the name is not 32 hex characters.
    pub fn of(id: &ClientOrderId) -> Result<Self, CloidError> {
        Self::parse(&format!("0x{}", id.as_str())).map_err(|_| CloidError { got: id.as_str().to_owned() })
    }

    /// Our spelling of it.
    #[must_use]
    pub fn client_order_id(&self) -> ClientOrderId {
        ClientOrderId::new(self.0.trim_start_matches("0x")).expect("32 hex characters are a valid client order id")
    }

    /// The venue's spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cloid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Cloid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Action {
    /// Orders that have nothing to do with one another.
    #[must_use]
    pub fn orders(orders: Vec<Order>) -> Self {
        Self::Order { orders, grouping: Grouping::Na, builder: None }
    }

    /// An entry with the triggers that guard it; they live and die with it.
    #[must_use]
    pub fn bracket(entry: Order, exits: Vec<Order>) -> Self {
        let orders = std::iter::once(entry).chain(exits).collect();
        Self::Order { orders, grouping: Grouping::NormalTpsl, builder: None }
    }

    /// Triggers that follow the size of the position they close.
    #[must_use]
    pub fn position_exits(exits: Vec<Order>) -> Self {
        Self::Order { orders: exits, grouping: Grouping::PositionTpsl, builder: None }
    }

    /// How many things it asks for: what it counts against the account's budget, and in its weight.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Order { orders, .. } => orders.len(),
            Self::Cancel { cancels } => cancels.len(),
            Self::CancelByCloid { cancels } => cancels.len(),
            Self::BatchModify { modifies } => modifies.len(),
            _ => 1,
        }
    }

    /// Its JSON text, keys in the order in which they are hashed.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an action has only string keys")
    }
}

impl Order {
    /// A take profit or stop loss that closes at the market, no worse than `worst_price`, when the mark price reaches `trigger_price`.
    #[must_use]
    pub fn trigger(asset: u32, is_buy: bool, size: &str, trigger_price: &str, worst_price: &str, tpsl: Tpsl) -> Self {
        Self {
            asset,
            is_buy,
            price: worst_price.to_owned(),
            size: size.to_owned(),
            reduce_only: true,
            kind: OrderKind::Trigger { is_market: true, trigger_px: trigger_price.to_owned(), tpsl },
            cloid: None,
        }
    }

    /// The same order under a name of ours.
    #[must_use]
    pub fn named(mut self, cloid: Cloid) -> Self {
        self.cloid = Some(cloid);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_32_hex_characters_both_ways() {
        let id: ClientOrderId = "00ff00ff00ff00ff00ff00ff00ff00ff".parse().unwrap();
        let cloid = Cloid::of(&id).unwrap();
        assert_eq!(cloid.as_str(), "0x00ff00ff00ff00ff00ff00ff00ff00ff");
        assert_eq!(cloid.client_order_id(), id);
        assert_eq!(Cloid::parse("0xABCDEF00000000000000000000000001").unwrap().as_str(), "0xabcdef00000000000000000000000001");
        for wrong in ["", "0x", "00ff00ff00ff00ff00ff00ff00ff00ff", "0x00ff", "0xz0ff00ff00ff00ff00ff00ff00ff00ff"] {
            assert!(Cloid::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Cloid::of(&"oid:7".parse().unwrap()).is_err());
    }
}
