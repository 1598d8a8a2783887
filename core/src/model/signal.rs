//! An agent's wish: what `execute` takes.

mod market;
mod routing;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::market::WantedMarket;
pub use self::routing::Routing;
use super::exit::Exits;
use super::ids::{AgentId, Asset, SignalId, VenueId};
use super::instrument::Side;
use super::number::{Fraction, Leverage, Notional, Price, Quantity};
use super::schema::{Confidence, Length};
use super::time::{Timestamp, duration_text};

/// The direction of a signal or a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Gains when the price rises.
    Long,
    /// Gains when the price falls.
    Short,
}

impl Direction {
    /// The side of the order that opens this direction.
    #[must_use]
    pub const fn entry_side(self) -> Side {
        match self {
            Self::Long => Side::Buy,
            Self::Short => Side::Sell,
        }
    }
}

/// How large each leg is, times the deployment's `scale`; where the routing splits, how large all of a deployment's legs are together. Never
/// more than that: rounded down to whole lots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sizing {
    /// This much in quote units, at the worst price admitted.
    Notional(Notional),
    /// This much of the asset.
    Quantity(Quantity),
    /// This share of the deployment's equity on the account is the margin: the leg is worth share × leverage, at the worst price admitted.
    /// The equity is its allocation with all gains and losses there since; without an allocation it is that of the whole account.
    EquityFraction(Fraction),
    /// This share of the same equity is lost if the stop closes at its price: from the worst price admitted, with the fees of both trades.
    /// Needs `exits.stop_loss`.
    RiskFraction(Fraction),
}

impl Sizing {
    /// Its name in the published form.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Notional(_) => "notional",
            Self::Quantity(_) => "quantity",
            Self::EquityFraction(_) => "equity_fraction",
            Self::RiskFraction(_) => "risk_fraction",
        }
    }

    /// The number: quote units, units of the asset, or a share.
    #[must_use]
    pub fn value(&self) -> rust_decimal::Decimal {
        match self {
            Self::Notional(notional) => notional.decimal(),
            Self::Quantity(quantity) => quantity.decimal(),
            Self::EquityFraction(share) | Self::RiskFraction(share) => share.decimal(),
        }
    }
}

/// How long an order may rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeInForce {
    /// Until it is filled or canceled.
    #[default]
    Gtc,
    /// What does not fill at once is canceled.
    Ioc,
    /// All of it at once, or nothing.
    Fok,
}

/// The order a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum OrderType {
    /// At the market, but never beyond the worst price that `slippage` admits.
    #[default]
    Market,
    /// At `price` or better.
    Limit {
        /// The limit.
        price: Price,
        /// How long it may rest.
        #[serde(default)]
        time_in_force: TimeInForce,
        /// Refused rather than filled at once.
        #[serde(default)]
        post_only: bool,
    },
}

/// What becomes of the other legs when one fails: within one deployment, never across two. Only for orders that do not rest.
///
/// A leg *stands* when all that it asked for has traded. The group of a deployment's legs stands once the required number of them do; it fails
/// as soon as that cannot be reached any more, or at the group's deadline (10 s from receipt, or from a person's yes).
///
/// - Before anything is sent, every leg must be able to be: where too few pass the gates, all end `refused` with the code `group`. A leg that is
///   ready waits for the others, for half of the deadline where enough are ready without them; then all go in one flush.
/// - Where the group stands, legs that filled in part or not at all stay as they are.
/// - Where it fails, what was not sent ends with the code `group`, what rests is canceled, and what filled is closed again from the actual
///   fills, until it is flat: then the leg is `unwound`. A leg that is unknown at that moment is closed whenever it turns out to have filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LegPolicy {
    /// Each leg stands for itself.
    #[default]
    BestEffort,
    /// Within a deployment every leg fills in full, or what filled is closed again. A venue that does not list the asset is a leg that does
    /// not: name the venues that count.
    AllOrNone,
    /// Within a deployment at least so many legs fill in full, or what filled is closed again.
    AtLeast(usize),
}

/// An instruction to open a position, unique for ever by its id.
///
/// The JSON form is strict: unknown fields and JSON numbers for money are refused with a sentence, never ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// Unique for ever: the same id with the same body is the same execution.
    pub id: SignalId,
    /// Whose signal it is.
    pub agent: AgentId,
    /// What to trade.
    pub asset: Asset,
    /// On which market; perpetuals when absent.
    #[serde(default)]
    pub market: WantedMarket,
    /// Long or short.
    pub direction: Direction,
    /// How sure the agent is.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "confidence")]
    #[schemars(with = "Option<Confidence>")]
    pub confidence: Option<Fraction>,
    /// When the agent decided; the validity counts from here, or from receipt when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// How long an order may still be sent for it.
    #[serde(default = "default_validity", with = "duration_text")]
    #[schemars(with = "Length")]
    pub valid_for: Duration,
    /// How large each leg is.
    pub sizing: Sizing,
    /// How many times its margin each leg is worth; 1 when absent.
    #[serde(default = "default_leverage")]
    pub leverage: Leverage,
    /// How far from the reference price a market order may fill.
    #[serde(default = "default_slippage")]
    pub slippage: Fraction,
    /// The kind of order.
    #[serde(default)]
    pub order: OrderType,
    /// How the positions are closed again; by hand only when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exits: Option<Exits>,
    /// The venues that may take part; all enabled ones when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub venues: Option<Vec<VenueId>>,
    /// How the venues are chosen.
    #[serde(default)]
    pub routing: Routing,
    /// What becomes of the other legs when one fails.
    #[serde(default)]
    pub leg_policy: LegPolicy,
    /// Whatever the caller wants to find again. Not part of the body: kept apart and erasable.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

const fn default_validity() -> Duration {
    Duration::from_secs(60)
}

const fn default_leverage() -> Leverage {
    Leverage::ONE
}

fn default_slippage() -> Fraction {
    "0.01".parse().expect("0.01 is a fraction")
}

/// Confidence is no money: a JSON number is taken too, by its text.
fn confidence<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Fraction>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    let text = match value {
        None | Some(serde_json::Value::Null) => return Ok(None),
        Some(serde_json::Value::String(text)) => text,
        Some(serde_json::Value::Number(number)) => number.to_string(),
        Some(other) => return Err(serde::de::Error::custom(format!("confidence is {other}, but must be between 0 and 1"))),
    };
    text.parse().map(Some).map_err(|e| serde::de::Error::custom(format!("confidence: {e}")))
}

/// Why a signal is refused before anything is written down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// Not of the published form.
    #[error("signal{id}: {reason}", id = .id.as_ref().map(|id| format!(" {id}")).unwrap_or_default())]
    Form {
        /// The signal's id, where it could be read.
        id: Option<String>,
        /// What is wrong, where, what was given and what fits.
        reason: String,
    },
}

/// The fields of the contract, for suggestions.
const FIELDS: &[&str] = &[
    "id",
    "agent",
    "asset",
    "market",
    "direction",
    "confidence",
    "created_at",
    "valid_for",
    "sizing",
    "leverage",
    "slippage",
    "order",
    "exits",
    "venues",
    "routing",
    "leg_policy",
    "metadata",
];

impl Signal {
    /// Reads a signal from JSON.
    ///
    /// # Errors
    /// [`SignalError`] names the field, what was given and what fits.
    pub fn from_json(text: &str) -> Result<Self, SignalError> {
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|e| SignalError::Form { id: None, reason: format!("not valid JSON: {e}") })?;
        Self::from_value(value)
    }

    /// Reads a signal from a JSON value.
    ///
    /// # Errors
    /// [`SignalError`] names the field, what was given and what fits.
    pub fn from_value(value: serde_json::Value) -> Result<Self, SignalError> {
        let serde_json::Value::Object(fields) = &value else {
            return Err(SignalError::Form { id: None, reason: "a signal is a JSON object".into() });
        };
        let id = fields.get("id").and_then(|id| id.as_str()).map(str::to_owned);
        if let Some(unknown) = fields.keys().find(|key| !FIELDS.contains(&key.as_str())) {
            return Err(SignalError::Form { id, reason: format!("unknown field `{unknown}`; the fields are {}", FIELDS.join(", ")) });
        }
        // Field by field first, so that an error names its field.
        for (field, given) in fields {
            check_field(field, given).map_err(|reason| SignalError::Form { id: id.clone(), reason: format!("{field}: {reason}") })?;
        }
        let signal: Self = serde_json::from_value(value).map_err(|e| SignalError::Form { id: id.clone(), reason: e.to_string() })?;
        signal.check().map_err(|reason| SignalError::Form { id, reason })?;
        Ok(signal)
    }

    /// Checks what the types alone cannot: sizes above zero, validity above zero, parts that fit one another.
    ///
    /// # Errors
    /// A sentence that names the field, what was given and what fits.
    pub fn check(&self) -> Result<(), String> {
        if self.sizing.value().is_zero() {
            return Err(format!("sizing.{} is 0, but must be greater than 0", self.sizing.name()));
        }
        if matches!(self.sizing, Sizing::RiskFraction(_)) && self.exits.is_none_or(|exits| exits.stop_loss.is_none()) {
            return Err("sizing.risk_fraction is what may be lost at the stop, so that it needs exits.stop_loss".into());
        }
        if self.valid_for.is_zero() {
            return Err("valid_for is 0, but must be at least 1ms".into());
        }
        if self.slippage == Fraction::new(rust_decimal::Decimal::ONE).expect("1 is a fraction") && self.direction == Direction::Short {
            return Err("slippage is 1, but must be less than 1 when selling".into());
        }
        if let Some(exits) = &self.exits {
            exits.check(self.direction)?;
        }
        self.check_leg_policy()?;
        if self.venues.as_ref().is_some_and(Vec::is_empty) {
            return Err("venues is empty; leave it out to mean all enabled ones".into());
        }
        if matches!(self.order, OrderType::Limit { post_only: true, time_in_force, .. } if time_in_force != TimeInForce::Gtc) {
            return Err("order.post_only may only rest, so that it needs time_in_force gtc".into());
        }
        self.routing.check(self.venues.as_deref())
    }

    /// A group must be decided soon: what rests would leave it open.
    fn check_leg_policy(&self) -> Result<(), String> {
        if self.leg_policy == LegPolicy::BestEffort {
            return Ok(());
        }
        if self.leg_policy == LegPolicy::AtLeast(0) {
            return Err("leg_policy is at_least 0, but must be at least 1".into());
        }
        if matches!(self.order, OrderType::Limit { time_in_force: TimeInForce::Gtc, .. }) {
            return Err("leg_policy needs an order that does not rest: market, or limit with time_in_force ioc or fok".into());
        }
        if self.routing.opens_one() {
            return Err("leg_policy needs routing all or split: first and best open one leg only".into());
        }
        Ok(())
    }

    /// The body in its canonical form: every default spelled out, numbers and times in their one spelling, no `metadata`.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut body = self.clone();
        body.metadata.clear();
        serde_json::to_string(&body).expect("a signal is plain data and always serializes")
    }

    /// SHA-256 of the canonical body, in hex.
    #[must_use]
    pub fn body_hash(&self) -> String {
        hex(&Sha256::digest(self.canonical().as_bytes()))
    }

    /// When the signal stops being valid, if it was received at `received_at`.
    #[must_use]
    pub fn valid_until(&self, received_at: Timestamp) -> Timestamp {
        self.created_at.unwrap_or(received_at).after(self.valid_for)
    }
}

fn check_field(field: &str, given: &serde_json::Value) -> Result<(), String> {
    fn read<T: serde::de::DeserializeOwned>(given: &serde_json::Value) -> Result<(), String> {
        serde_json::from_value::<T>(given.clone()).map(|_| ()).map_err(|e| e.to_string())
    }
    match field {
        "id" => read::<SignalId>(given),
        "agent" => read::<AgentId>(given),
        "asset" => read::<Asset>(given),
        "market" => read::<WantedMarket>(given),
        "direction" => read::<Direction>(given),
        "confidence" => confidence(given).map(|_| ()).map_err(|e: serde_json::Error| e.to_string()),
        "created_at" => read::<Option<Timestamp>>(given),
        "valid_for" => duration_text::deserialize(given).map(|_| ()).map_err(|e: serde_json::Error| e.to_string()),
        "sizing" => {
            // Field by field here too, so that an error names what is wrong.
            for (part, value) in given.as_object().into_iter().flatten() {
                let checked = match part.as_str() {
                    "notional" => read::<Notional>(value),
                    "quantity" => read::<Quantity>(value),
                    "equity_fraction" | "risk_fraction" => read::<Fraction>(value),
                    _ => Ok(()),
                };
                checked.map_err(|reason| format!("{part}: {reason}"))?;
            }
            read::<Sizing>(given)
        }
        "leverage" => read::<Leverage>(given),
        "slippage" => read::<Fraction>(given),
        "order" => read::<OrderType>(given),
        "exits" => read::<Option<Exits>>(given),
        "venues" => read::<Option<Vec<VenueId>>>(given),
        "routing" => {
            for (venue, weight) in given.get("split").and_then(serde_json::Value::as_object).into_iter().flatten() {
                read::<Fraction>(weight).map_err(|reason| format!("split.{venue}: {reason}"))?;
            }
            read::<Routing>(given)
        }
        "leg_policy" => read::<LegPolicy>(given),
        "metadata" => read::<serde_json::Map<String, serde_json::Value>>(given),
        _ => Ok(()),
    }
}

/// Bytes in lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#"{"id":"s-1","agent":"demo","asset":"HYPE","direction":"long","sizing":{"notional":"500"}}"#;

    fn with(change: &str) -> Result<Signal, SignalError> {
        Signal::from_json(&PLAIN.replacen("{\"id\"", &format!("{{{change},\"id\""), 1))
    }

    #[test]
    fn defaults_and_spelling_do_not_change_the_body() {
        let plain = Signal::from_json(PLAIN).unwrap();
        let spelled = with(r#""market":"perp","valid_for":"60s","leverage":"1.0","slippage":"0.010","routing":"all","order":{"type":"market"},"metadata":{"tweet":"42"}"#).unwrap();
        assert_eq!(plain.body_hash(), spelled.body_hash());
        let other = Signal::from_json(&PLAIN.replace("500", "501")).unwrap();
        assert_ne!(plain.body_hash(), other.body_hash());
    }

    /// What was accepted once is the same execution for ever: the canonical form of what could be said before never changes.
    #[test]
    fn the_canonical_form_is_what_it_always_was() {
        let plain = Signal::from_json(PLAIN).unwrap();
        let canonical = r#"{"id":"s-1","agent":"demo","asset":"HYPE","market":"perp","direction":"long","valid_for":"1m","sizing":{"notional":"500"},"leverage":"1","slippage":"0.01","order":{"type":"market"},"routing":"all","leg_policy":"best_effort"}"#;
        assert_eq!(plain.canonical(), canonical);
        assert_eq!(plain.body_hash(), "4c6b31781e283951ba0ab53ecea39aa1ef47948c6343af7346bbc2128c4ff59d");
    }

    #[test]
    fn every_sizing_routing_and_market_has_one_spelling() {
        let check = |change: &str, spelled: &str| {
            let signal = with(change).unwrap();
            assert!(signal.canonical().contains(spelled), "{} should contain {spelled}", signal.canonical());
            assert_eq!(Signal::from_json(&signal.canonical()).unwrap(), signal);
        };
        check(r#""market":"any""#, r#""market":"any""#);
        check(r#""routing":"best""#, r#""routing":"best""#);
        check(
            r#""routing":{"split":{"ostium":"0.30","hyperliquid":"0.7"}}"#,
            r#""routing":{"split":{"hyperliquid":"0.7","ostium":"0.3"}}"#,
        );
        let sized = |sizing: &str| Signal::from_json(&PLAIN.replace("{\"notional\":\"500\"}", sizing)).unwrap();
        assert!(sized(r#"{"equity_fraction":"0.080"}"#).canonical().contains(r#""sizing":{"equity_fraction":"0.08"}"#));
        let risk = PLAIN
            .replace(r#""sizing":{"notional":"500"}"#, r#""sizing":{"risk_fraction":"0.05"},"exits":{"stop_loss":{"fraction":"0.03"}}"#);
        assert_eq!(Signal::from_json(&risk).unwrap().sizing, Sizing::RiskFraction("0.05".parse().unwrap()));
    }

    #[test]
    fn the_canonical_form_reads_back() {
        let signal = with(
            r#""order":{"type":"limit","price":"38.10","time_in_force":"ioc"},"confidence":0.8,"created_at":"2026-01-31T12:00:00+01:00""#,
        )
        .unwrap();
        let again = Signal::from_json(&signal.canonical()).unwrap();
        assert_eq!(again, signal);
        assert_eq!(again.confidence.unwrap().to_string(), "0.8");
    }

    #[test]
    fn bad_signals_say_what_fits() {
        let check = |result: Result<Signal, SignalError>, words: &str| {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(words), "{error}\nshould contain {words}");
        };
        check(with(r#""confidence":1.2"#), "confidence is 1.2, but must be between 0 and 1".trim_start_matches("confidence is "));
        check(with(r#""levrage":"5""#), "unknown field `levrage`");
        check(with(r#""exits":{"stop_loss":{"fraction":0.05}}"#), "exits: ");
        check(with(r#""exits":{"stop_loss":{"fraction":"0"}}"#), "stop_loss is 0");
        check(with(r#""leg_policy":{"at_least":0}"#), "at least 1");
        check(with(r#""leg_policy":"all_or_none","order":{"type":"limit","price":"1"}"#), "does not rest");
        check(with(r#""leg_policy":"all_or_none","routing":"first""#), "needs routing all");
        check(with(r#""leg_policy":"all_or_none","routing":"best""#), "open one leg only");
        check(with(r#""order":{"type":"limit","price":"1","time_in_force":"ioc","post_only":true}"#), "may only rest");
        check(with(r#""market":"futures""#), "or `any` of them");
        check(with(r#""routing":"worst""#), "routing: ");
        check(with(r#""routing":{"split":{}}"#), "split is empty");
        check(with(r#""routing":{"split":{"a":"0.7","b":"0.2"}}"#), "adds up to 0.9 (a 0.7, b 0.2), but must add up to exactly 1");
        check(with(r#""routing":{"split":{"a":"1","b":"0"}}"#), "gives b 0");
        check(with(r#""routing":{"split":{"a":0.5,"b":"0.5"}}"#), "routing: split.a: ");
        check(with(r#""routing":{"split":{"a":"0.5","b":"0.5"}},"venues":["a"]"#), "different venues");
        check(with(r#""valid_for":"soon""#), "not a length of time");
        check(with(r#""slippage":"1.5""#), "between 0 and 1");
        check(with(r#""leverage":5"#), "as a string");
        check(Signal::from_json(&PLAIN.replace("\"500\"", "\"-1\"")), "0 or more");
        check(Signal::from_json(&PLAIN.replace("\"500\"", "\"NaN\"")), "not a decimal number");
        check(Signal::from_json(&PLAIN.replace("\"500\"", "\"0\"")), "must be greater than 0");
        check(Signal::from_json(&PLAIN.replace("\"500\"", "\"123456789012345678901234567890\"")), "more than 28");
        let sized = |sizing: &str| Signal::from_json(&PLAIN.replace("{\"notional\":\"500\"}", sizing));
        check(sized(r#"{"equity_fraction":"1.1"}"#), "equity_fraction: fraction is 1.1, but must be between 0 and 1");
        check(sized(r#"{"equity_fraction":0.1}"#), "as a string");
        check(sized(r#"{"risk_fraction":"0"}"#), "must be greater than 0");
        check(sized(r#"{"risk_fraction":"0.05"}"#), "needs exits.stop_loss");
        check(Signal::from_json(&PLAIN.replace("s-1", "s 1")), "cannot be a signal id");
        check(Signal::from_json("[]"), "JSON object");
    }
}
