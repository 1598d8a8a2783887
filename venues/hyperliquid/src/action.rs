//! What can be asked of `/exchange`: typed actions, spelled and ordered as the venue hashes them, and their msgpack form.
//!
//! The order of the keys is part of the signature: fields here stand in the order of the venue's own client. Source: hyperliquid-python-sdk
//! 0.24.0 and `@nktkas/hyperliquid` 0.32.2, which agree byte for byte on every action in `fixtures/vectors.json`.

use std::fmt;

use omnivenue_core::model::ids::ClientOrderId;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// JSON whose keys keep their order: what is hashed is exactly what is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Map(Vec<(String, Node)>),
    List(Vec<Node>),
    Text(String),
    Unsigned(u64),
    Negative(i64),
    Bool(bool),
}

impl Node {
    /// Reads an action's JSON text. Nulls and fractions are refused: no action has them, and they would change the hash.
    pub(crate) fn parse(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// The msgpack form: smallest width for integers and lengths, as the venue's own client packs.
    pub(crate) fn pack(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.pack_into(&mut out);
        out
    }

    fn pack_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Map(entries) => {
                pack_length(out, entries.len(), (0x80, 16), None, 0xde);
                for (key, value) in entries {
                    pack_text(out, key);
                    value.pack_into(out);
                }
            }
            Self::List(items) => {
                pack_length(out, items.len(), (0x90, 16), None, 0xdc);
                items.iter().for_each(|item| item.pack_into(out));
            }
            Self::Text(text) => pack_text(out, text),
            Self::Unsigned(number) => pack_unsigned(out, *number),
            Self::Negative(number) => pack_negative(out, *number),
            Self::Bool(flag) => out.push(if *flag { 0xc3 } else { 0xc2 }),
        }
    }
}

/// A length in the marker itself, in one byte where the type has that form, in two, or in four.
fn pack_length(out: &mut Vec<u8>, length: usize, (fixed, fixed_below): (u8, usize), one: Option<u8>, two: u8) {
    if length < fixed_below {
        out.push(fixed | u8::try_from(length).expect("below 32"));
        return;
    }
    match (one, u8::try_from(length), u16::try_from(length)) {
        (Some(marker), Ok(short), _) => out.extend([marker, short]),
        (_, _, Ok(long)) => {
            out.push(two);
            out.extend(long.to_be_bytes());
        }
        _ => {
            out.push(two + 1);
            out.extend(u32::try_from(length).expect("an action is far below 4 GiB").to_be_bytes());
        }
    }
}

fn pack_text(out: &mut Vec<u8>, text: &str) {
    pack_length(out, text.len(), (0xa0, 32), Some(0xd9), 0xda);
    out.extend(text.as_bytes());
}

fn pack_unsigned(out: &mut Vec<u8>, number: u64) {
    if let Ok(byte) = u8::try_from(number) {
        if byte >= 0x80 {
            out.push(0xcc);
        }
        out.push(byte);
    } else if let Ok(short) = u16::try_from(number) {
        out.push(0xcd);
        out.extend(short.to_be_bytes());
    } else if let Ok(word) = u32::try_from(number) {
        out.push(0xce);
        out.extend(word.to_be_bytes());
    } else {
        out.push(0xcf);
        out.extend(number.to_be_bytes());
    }
}

fn pack_negative(out: &mut Vec<u8>, number: i64) {
    if let Ok(byte) = i8::try_from(number) {
        if byte < -32 {
            out.push(0xd0);
        }
        out.extend(byte.to_be_bytes());
    } else if let Ok(short) = i16::try_from(number) {
        out.push(0xd1);
        out.extend(short.to_be_bytes());
    } else if let Ok(word) = i32::try_from(number) {
        out.push(0xd2);
        out.extend(word.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend(number.to_be_bytes());
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an action: objects, lists, strings, whole numbers and booleans")
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Node, E> {
                Ok(Node::Bool(flag))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
                Ok(Node::Unsigned(number))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
                Ok(u64::try_from(number).map_or(Node::Negative(number), Node::Unsigned))
            }

            fn visit_str<E>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Node::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
                let mut map = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    map.push(entry);
                }
                Ok(Node::Map(map))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Map(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
            Self::List(items) => serializer.collect_seq(items),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Unsigned(number) => serializer.serialize_u64(*number),
            Self::Negative(number) => serializer.serialize_i64(*number),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(json: &str) -> Vec<u8> {
        Node::parse(json).unwrap().pack()
    }

    #[test]
    fn lengths_and_numbers_take_the_smallest_form() {
        let check = |json: &str, starts: &[u8]| {
            assert!(packed(json).starts_with(starts), "{json}: {:02x?}", &packed(json)[..4.min(packed(json).len())])
        };
        check("127", &[0x7f]);
        check("128", &[0xcc, 0x80]);
        check("256", &[0xcd, 1, 0]);
        check("65536", &[0xce, 0, 1, 0, 0]);
        check("4294967296", &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]);
        check("-1", &[0xff]);
        check("-32", &[0xe0]);
        check("-33", &[0xd0, 0xdf]);
        check("-129", &[0xd1, 0xff, 0x7f]);
        check("-12500000", &[0xd2, 0xff, 0x41, 0x43, 0xe0]);
        check("-2147483649", &[0xd3, 0xff]);
        check(&format!("\"{}\"", "a".repeat(31)), &[0xbf]);
        check(&format!("\"{}\"", "a".repeat(32)), &[0xd9, 32]);
        check(&format!("\"{}\"", "a".repeat(256)), &[0xda, 1, 0]);
        check(&format!("[{}]", ["1"; 15].join(",")), &[0x9f]);
        check(&format!("[{}]", ["1"; 16].join(",")), &[0xdc, 0, 16]);
    }

    #[test]
    fn what_no_action_has_is_refused() {
        for json in ["null", "1.5", "{\"a\":null}", "[1e3]"] {
            assert!(Node::parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn the_order_of_keys_counts() {
        assert_ne!(packed(r#"{"a":1,"b":2}"#), packed(r#"{"b":2,"a":1}"#));
    }

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

    proptest! {
        #[test]
        fn text_keeps_its_order(keys in proptest::collection::vec("[a-z]{1,40}", 0..20), number in any::<u64>()) {
            let node = Node::Map(keys.iter().map(|key| (key.clone(), Node::Unsigned(number))).collect());
            let text = serde_json::to_string(&node).unwrap();
            prop_assert_eq!(Node::parse(&text).unwrap(), node);
        }
    }
}
