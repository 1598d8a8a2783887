//! Actions as they are hashed: JSON whose keys keep their order, and its msgpack form.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

    proptest! {
        #[test]
        fn text_keeps_its_order(keys in proptest::collection::vec("[a-z]{1,40}", 0..20), number in any::<u64>()) {
            let node = Node::Map(keys.iter().map(|key| (key.clone(), Node::Unsigned(number))).collect());
            let text = serde_json::to_string(&node).unwrap();
            prop_assert_eq!(Node::parse(&text).unwrap(), node);
        }
    }
}
