//! JSON whose objects keep the order of their keys as received: what was signed is a hash over exactly that order.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// A JSON value as received.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The value of a key of an object.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(pairs) => pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) const fn as_u64(&self) -> Option<u64> {
        if let Self::Unsigned(number) = self { Some(*number) } else { None }
    }

    pub(crate) const fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    pub(crate) fn items(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// The text of a key of an object.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// Appends it as MessagePack: integers as short as they fit, strings as `str`, keys in their order.
    pub(crate) fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0xc0),
            Self::Bool(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
            Self::Unsigned(number) => pack_unsigned(*number, out),
            Self::Signed(number) => pack_signed(*number, out),
            Self::Float(number) => {
                out.push(0xcb);
                out.extend(number.to_be_bytes());
            }
            Self::Text(text) => {
                pack_length(text.len(), (0xa0, 32), (Some(0xd9), 0xda, 0xdb), out);
                out.extend(text.as_bytes());
            }
            Self::List(items) => {
                pack_length(items.len(), (0x90, 16), (None, 0xdc, 0xdd), out);
                items.iter().for_each(|item| item.pack(out));
            }
            Self::Object(pairs) => {
                pack_length(pairs.len(), (0x80, 16), (None, 0xde, 0xdf), out);
                for (key, value) in pairs {
                    Self::Text(key.clone()).pack(out);
                    value.pack(out);
                }
            }
        }
    }
}

fn pack_unsigned(number: u64, out: &mut Vec<u8>) {
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

fn pack_signed(number: i64, out: &mut Vec<u8>) {
    if let Ok(positive) = u64::try_from(number) {
        pack_unsigned(positive, out);
    } else if number >= -32 {
        out.extend(number.to_be_bytes().last());
    } else if let Ok(byte) = i8::try_from(number) {
        out.push(0xd0);
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

/// The head of a string, list or map: `(first byte, lengths it holds)`, then the marks of 8, 16 and 32 bits.
fn pack_length(length: usize, (fixed, below): (u8, usize), (byte, short, long): (Option<u8>, u8, u8), out: &mut Vec<u8>) {
    match (u8::try_from(length), u16::try_from(length), byte) {
        (Ok(small), _, _) if length < below => out.push(fixed | small),
        (Ok(small), _, Some(mark)) => out.extend([mark, small]),
        (_, Ok(medium), _) => {
            out.push(short);
            out.extend(medium.to_be_bytes());
        }
        _ => {
            out.push(long);
            out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Signed(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Float(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Json, A::Error> {
        let mut object: Vec<(String, Json)> = Vec::new();
        while let Some((key, value)) = pairs.next_entry::<String, Json>()? {
            if object.iter().any(|(name, _)| *name == key) {
                return Err(A::Error::custom(format!("duplicate field `{key}`")));
            }
            object.push((key, value));
        }
        Ok(Json::Object(object))
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Unsigned(number) => serializer.serialize_u64(*number),
            Self::Signed(number) => serializer.serialize_i64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Self::Object(pairs) => {
                let mut object = serializer.serialize_map(Some(pairs.len()))?;
                for (key, value) in pairs {
                    object.serialize_entry(key, value)?;
                }
                object.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        serde_json::from_str::<Json>(text).unwrap().pack(&mut out);
        out
    }

    #[test]
    fn integers_are_as_short_as_they_fit() {
        let check = |text: &str, expected: &[u8]| assert_eq!(packed(text), expected, "{text}");
        check("0", &[0]);
        check("127", &[0x7f]);
        check("128", &[0xcc, 0x80]);
        check("256", &[0xcd, 1, 0]);
        check("65536", &[0xce, 0, 1, 0, 0]);
        check("4294967296", &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]);
        check("-1", &[0xff]);
        check("-33", &[0xd0, 0xdf]);
        check("-129", &[0xd1, 0xff, 0x7f]);
        check("-32769", &[0xd2, 0xff, 0xff, 0x7f, 0xff]);
    }

    #[test]
    fn lengths_change_their_mark_where_the_format_says() {
        let text = |length: usize| packed(&format!("\"{}\"", "x".repeat(length)));
        assert_eq!(text(31)[..1], [0xbf]);
        assert_eq!(text(32)[..2], [0xd9, 32]);
        assert_eq!(text(256)[..3], [0xda, 1, 0]);
        assert_eq!(text(65_536)[..5], [0xdb, 0, 1, 0, 0]);
        let list = |length: usize| packed(&format!("[{}]", vec!["1"; length].join(",")));
        assert_eq!(list(15)[..1], [0x9f]);
        assert_eq!(list(16)[..3], [0xdc, 0, 16]);
    }

    #[test]
    fn keys_keep_their_order_and_come_once() {
        assert_eq!(packed(r#"{"b":null,"a":[true,false]}"#), [0x82, 0xa1, b'b', 0xc0, 0xa1, b'a', 0x92, 0xc3, 0xc2]);
        let text = r#"{"z":1,"a":{"y":-2,"b":"x"}}"#;
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Json>(text).unwrap()).unwrap(), text);
        assert!(serde_json::from_str::<Json>(r#"{"a":1,"a":2}"#).unwrap_err().to_string().contains("duplicate field"));
    }
}
