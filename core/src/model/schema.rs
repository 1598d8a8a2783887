//! The JSON Schemas of what is text in JSON: names, exact numbers, times. Everything else derives its own.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::hours::{Day, TimeOfDay};
use super::ids::{
    AccountId, AdjustmentId, AgentId, Asset, ClientOrderId, DeploymentId, MovementId, PositionId, SignalId, TradeId, VenueId, VenueOrderId,
    VenueSymbol,
};
use super::instrument::Market;
use super::number::{Amount, Factor, Fraction, Leverage, Notional, Price, Quantity, Rate, SignedQuantity};
use super::signal::WantedMarket;
use super::time::Timestamp;

/// An exact number that is not negative, as text.
const UNSIGNED: &str = r"^\+?[0-9]+(\.[0-9]+)?$";
/// An exact number, as text.
const SIGNED: &str = r"^[+-]?[0-9]+(\.[0-9]+)?$";
/// A name.
const NAME: &str = "^[A-Za-z0-9._:/@-]+$";
/// A time in UTC, as text (RFC 3339).
const TIME: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$";

macro_rules! text {
    ($($kind:ident: $pattern:expr, $meaning:literal;)*) => {$(
        impl JsonSchema for $kind {
            fn schema_name() -> Cow<'static, str> {
                stringify!($kind).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $meaning })
            }
        }
    )*};
}

text! {
    SignalId: NAME, "unique for ever";
    AgentId: NAME, "an agent of the configuration";
    DeploymentId: NAME, "a deployment of the configuration";
    AccountId: NAME, "an account of the configuration";
    VenueId: NAME, "a venue";
    VenueSymbol: NAME, "a venue's own name of an instrument";
    Asset: NAME, "an asset or currency, such as HYPE";
    ClientOrderId: NAME, "our name of an order";
    VenueOrderId: NAME, "the venue's name of an order";
    TradeId: NAME, "the venue's name of a trade";
    PositionId: NAME, "the venue's name of a position";
    MovementId: NAME, "the venue's name of a movement of money";
    AdjustmentId: NAME, "what happened without an order of ours";
    Price: UNSIGNED, "an exact price, in quote units, as text";
    Quantity: UNSIGNED, "an exact quantity, as text: in base units, of inverse contracts in quote units, of quanto ones in contracts";
    SignedQuantity: SIGNED, "an exact quantity, in base units, negative when short, as text";
    Notional: UNSIGNED, "an exact amount that is not negative, as text";
    Amount: SIGNED, "an exact amount, as text";
    Factor: UNSIGNED, "an exact factor above 0, as text";
    Fraction: UNSIGNED, "an exact share, such as 0.05 for 5 %, as text";
    Leverage: UNSIGNED, "how many times its margin, 1 or more, as text";
    Rate: SIGNED, "an exact rate, as text";
    Timestamp: TIME, "a time in UTC (RFC 3339)";
    TimeOfDay: "^[0-9]{2}:[0-9]{2}$", "a time of day on the exchange's clock, such as 09:30; 24:00 ends the day";
    Day: "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "a day on the exchange's calendar";
}

/// A length of time as text, such as `250ms`, `5s` or `12h`: what stands in the place of [`std::time::Duration`].
pub(crate) struct Length;

impl JsonSchema for Length {
    fn schema_name() -> Cow<'static, str> {
        "Length".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "a length of time with its unit, such as 250ms, 5s, 10m or 12h" })
    }
}

/// What a confidence may be written as: it is no money, so a number is taken too.
pub(crate) struct Confidence;

impl JsonSchema for Confidence {
    fn schema_name() -> Cow<'static, str> {
        "Confidence".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string", "pattern": UNSIGNED }, { "type": "number", "minimum": 0, "maximum": 1 }] })
    }
}

/// The JSON Schema (draft 2020-12) of one part of the surface, by its name: `signal`, `execution`, `event`, `close`. `None` for other names.
#[must_use]
pub fn schema(name: &str) -> Option<serde_json::Value> {
    let generator = SchemaGenerator::default();
    let schema = match name {
        "signal" => generator.into_root_schema_for::<super::signal::Signal>(),
        "execution" => generator.into_root_schema_for::<super::execution::Execution>(),
        "event" => generator.into_root_schema_for::<crate::journal::Event>(),
        "close" => generator.into_root_schema_for::<super::close::CloseRequest>(),
        _ => return None,
    };
    Some(schema.to_value())
}

impl JsonSchema for WantedMarket {
    fn schema_name() -> Cow<'static, str> {
        "WantedMarket".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<Market>(), { "const": "any" }] })
    }
}
