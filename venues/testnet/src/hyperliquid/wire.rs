//! Orders and cancels as clients spell them. What is not of this form is refused as a whole, as the venue does.

use super::orders::Tpsl;
use super::sign::Address;
use crate::json::Json;

/// The request is not of the form the venue knows: HTTP 422.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// How an order waits or trades.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Limit { tif: String },
    Trigger { market: bool, price: String, tpsl: Tpsl },
}

/// An order as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderWire {
    pub(crate) asset: u32,
    pub(crate) buy: bool,
    pub(crate) price: String,
    pub(crate) size: String,
    pub(crate) reduce_only: bool,
    pub(crate) kind: Kind,
    pub(crate) cloid: Option<String>,
}

/// An order by the venue's number or the client's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OrderName {
    Oid(u64),
    Cloid(String),
}

fn asset(value: Option<&Json>) -> Result<u32, Malformed> {
    value.and_then(Json::as_u64).and_then(|asset| u32::try_from(asset).ok()).ok_or(Malformed)
}

/// A client's id: `0x` and 32 hexadecimals.
pub(crate) fn cloid(text: &str) -> Result<String, Malformed> {
    let digits = text.strip_prefix("0x").ok_or(Malformed)?;
    let fits = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if fits { Ok(text.to_ascii_lowercase()) } else { Err(Malformed) }
}

impl OrderWire {
    pub(crate) fn read(value: &Json) -> Result<Self, Malformed> {
        let cloid = match value.get("c") {
            None | Some(Json::Null) => None,
            Some(text) => Some(cloid(text.as_str().ok_or(Malformed)?)?),
        };
        Ok(Self {
            asset: asset(value.get("a"))?,
            buy: value.get("b").and_then(Json::as_bool).ok_or(Malformed)?,
            price: value.text("p").ok_or(Malformed)?.to_owned(),
            size: value.text("s").ok_or(Malformed)?.to_owned(),
            reduce_only: value.get("r").and_then(Json::as_bool).ok_or(Malformed)?,
            kind: kind(value.get("t").ok_or(Malformed)?)?,
            cloid,
        })
    }
}

/// Whether an action places orders that wait for a trigger.
pub(crate) fn has_triggers(action: &Json) -> bool {
    let waits = |order: &Json| order.get("t").is_some_and(|kind| kind.get("trigger").is_some());
    let placed = action.get("orders").map(Json::items).unwrap_or_default();
    let replaced = action.get("modifies").map(Json::items).unwrap_or_default();
    let one = action.get("order").into_iter();
    placed.iter().chain(replaced.iter().filter_map(|modify| modify.get("order"))).chain(one).any(waits)
}

fn kind(value: &Json) -> Result<Kind, Malformed> {
    if let Some(limit) = value.get("limit") {
        let tif = limit.text("tif").filter(|tif| ["Gtc", "Ioc", "Alo", "FrontendMarket"].contains(tif)).ok_or(Malformed)?;
        return Ok(Kind::Limit { tif: tif.to_owned() });
    }
    let trigger = value.get("trigger").ok_or(Malformed)?;
    let tpsl = match trigger.text("tpsl") {
        Some("tp") => Tpsl::Tp,
        Some("sl") => Tpsl::Sl,
        _ => return Err(Malformed),
    };
    Ok(Kind::Trigger {
        market: trigger.get("isMarket").and_then(Json::as_bool).ok_or(Malformed)?,
        price: trigger.text("triggerPx").ok_or(Malformed)?.to_owned(),
        tpsl,
    })
}

/// `{"a","o"}` of a cancel, `{"asset","cloid"}` of a cancel by the client's id.
pub(crate) fn cancel(value: &Json) -> Result<(u32, OrderName), Malformed> {
    if let Some(text) = value.get("cloid") {
        return Ok((asset(value.get("asset"))?, OrderName::Cloid(cloid(text.as_str().ok_or(Malformed)?)?)));
    }
    Ok((asset(value.get("a"))?, OrderName::Oid(value.get("o").and_then(Json::as_u64).ok_or(Malformed)?)))
}

/// `{"oid": number or client's id, "order": …}`.
pub(crate) fn modify(value: &Json) -> Result<(OrderName, OrderWire), Malformed> {
    Ok((order_name(value.get("oid").ok_or(Malformed)?)?, OrderWire::read(value.get("order").ok_or(Malformed)?)?))
}

pub(crate) fn order_name(value: &Json) -> Result<OrderName, Malformed> {
    match value {
        Json::Unsigned(oid) => Ok(OrderName::Oid(*oid)),
        Json::Text(text) => cloid(text).map(OrderName::Cloid),
        _ => Err(Malformed),
    }
}

/// `{"b": address, "f": tenths of a basis point}`.
pub(crate) fn builder(value: Option<&Json>) -> Result<Option<(Address, u64)>, Malformed> {
    match value {
        None | Some(Json::Null) => Ok(None),
        Some(builder) => {
            let address = builder.text("b").and_then(|text| text.parse().ok()).ok_or(Malformed)?;
            Ok(Some((address, builder.get("f").and_then(Json::as_u64).ok_or(Malformed)?)))
        }
    }
}

/// The action as the venue reads it: prices and sizes without trailing zeros. The hash is over these, so that whoever signed others
/// turns out to be someone else.
pub(crate) fn canonical(value: &Json) -> Json {
    match value {
        Json::List(items) => Json::List(items.iter().map(canonical).collect()),
        Json::Object(pairs) => {
            let pair = |(key, value): &(String, Json)| match value {
                Json::Text(text) if ["p", "s", "triggerPx"].contains(&key.as_str()) => (key.clone(), Json::Text(shortest(text))),
                other => (key.clone(), canonical(other)),
            };
            Json::Object(pairs.iter().map(pair).collect())
        }
        other => other.clone(),
    }
}

fn shortest(text: &str) -> String {
    super::numbers::read(text).map_or_else(|| text.to_owned(), super::numbers::plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str) -> Result<OrderWire, Malformed> {
        OrderWire::read(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn orders_are_read_as_clients_spell_them() {
        let limit =
            order(r#"{"a":3,"b":true,"p":"30","s":"1","r":false,"t":{"limit":{"tif":"Alo"}},"c":"0xABCDEF00000000000000000000000001"}"#);
        let limit = limit.unwrap();
        assert_eq!((limit.asset, limit.cloid.as_deref()), (3, Some("0xabcdef00000000000000000000000001")));
        let wrong = [
            r#"{"a":-1,"b":true,"p":"30","s":"1","r":false,"t":{"limit":{"tif":"Gtc"}}}"#,
            r#"{"a":3,"b":true,"p":30,"s":"1","r":false,"t":{"limit":{"tif":"Gtc"}}}"#,
            r#"{"a":3,"b":true,"p":"30","s":"1","r":false,"t":{"limit":{"tif":"Day"}}}"#,
            r#"{"a":3,"b":true,"p":"30","s":"1","r":false,"t":{"trigger":{"isMarket":true,"triggerPx":"1","tpsl":"x"}}}"#,
            r#"{"a":3,"b":true,"p":"30","s":"1","r":false,"t":{"limit":{"tif":"Gtc"}},"c":"0x1"}"#,
        ];
        for text in wrong {
            assert_eq!(order(text), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn triggers_are_seen_wherever_an_action_places_orders() {
        let check = |text: &str, expected: bool| assert_eq!(has_triggers(&serde_json::from_str(text).unwrap()), expected, "{text}");
        check(r#"{"type":"order","orders":[{"t":{"limit":{"tif":"Gtc"}}},{"t":{"trigger":{}}}]}"#, true);
        check(r#"{"type":"order","orders":[{"t":{"limit":{"tif":"Gtc"}}}]}"#, false);
        check(r#"{"type":"batchModify","modifies":[{"oid":1,"order":{"t":{"trigger":{}}}}]}"#, true);
        check(r#"{"type":"modify","oid":1,"order":{"t":{"trigger":{}}}}"#, true);
        check(r#"{"type":"noop"}"#, false);
    }

    #[test]
    fn trailing_zeros_are_not_what_the_venue_hashes() {
        let action: Json =
            serde_json::from_str(r#"{"orders":[{"p":"30.10","s":"1.0","c":"1.0","t":{"trigger":{"triggerPx":"35.0"}}}]}"#).unwrap();
        let text = serde_json::to_string(&canonical(&action)).unwrap();
        assert_eq!(text, r#"{"orders":[{"p":"30.1","s":"1","c":"1.0","t":{"trigger":{"triggerPx":"35"}}}]}"#);
    }
}
