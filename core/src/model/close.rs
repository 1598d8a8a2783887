//! A request to close positions.

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ids::{AccountId, AgentId, Asset, DeploymentId, SignalId, VenueSymbol};
use super::number::{Fraction, Quantity, exact};
use super::signal::hex;

/// What begins names that only the engine gives: no agent and no deployment of a configuration may have one.
pub const RESERVED: &str = "engine:";

/// The name that stands, as deployment and as agent, for what an account holds that is not ours: no one's book has it.
const EXTERNAL: &str = "engine:external";

/// The deployment of a leg that closes what is not ours.
#[must_use]
pub fn external_deployment() -> DeploymentId {
    DeploymentId::new(EXTERNAL).expect("it is a valid name")
}

/// The agent of a leg that closes what is not ours.
#[must_use]
pub fn external_agent() -> AgentId {
    AgentId::new(EXTERNAL).expect("it is a valid name")
}

/// Which positions to close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CloseTarget {
    /// Every position of ours.
    All,
    /// What is left of one signal's fills, on every account.
    Signal(SignalId),
    /// Every position of one agent.
    Agent(AgentId),
    /// Every position in one asset.
    Asset(Asset),
    /// Every position on one account.
    Account(AccountId),
    /// One instrument on one account: of every deployment, or of the one named.
    Position {
        /// The account.
        account: AccountId,
        /// The instrument, by the venue's name.
        instrument: VenueSymbol,
        /// The deployment; all of them when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deployment: Option<DeploymentId>,
    },
    /// One deployment's position on one instrument of one account, or what is left there of one signal: what the engine closes by itself.
    Lot(Lot),
}

/// What one deployment holds of an instrument on an account: all of it, or what is left of one signal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lot {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The account.
    pub account: AccountId,
    /// The instrument, by the venue's name.
    pub instrument: VenueSymbol,
    /// The signal; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<SignalId>,
}

/// How much of each position to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// This share of it, rounded down to whole lots.
    Fraction(Fraction),
    /// This much of it, in base units, rounded down to whole lots.
    Quantity(Quantity),
}

impl Part {
    /// How much of `whole` it is, before it is rounded to lots: never more than the whole.
    #[must_use]
    pub fn of(self, whole: Quantity) -> Quantity {
        match self {
            Self::Quantity(quantity) => quantity.min(whole),
            Self::Fraction(fraction) => {
                // A fraction with more digits than can be multiplied exactly is cut, so that it is never more.
                let of = |fraction: Decimal| exact::mul(whole.decimal(), fraction).and_then(|part| Quantity::new(part).ok());
                let part = of(fraction.decimal()).or_else(|| of(fraction.decimal().trunc_with_scale(9)));
                part.map_or(Quantity::ZERO, |part| part.min(whole))
            }
        }
    }
}

/// A request to close positions, idempotent by its id: the same id with the same target is the same execution for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseRequest {
    /// Unique for ever, among signals too.
    pub id: SignalId,
    /// Which positions.
    pub target: CloseTarget,
    /// How much of each; all of it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Whether what is not ours on the same accounts and instruments is closed too, by legs of its own. What belongs to an agent, a signal
    /// or a deployment is ours, so only targets that name neither can have a foreign part.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub include_external: bool,
}

impl CloseRequest {
    /// A request to close all of what a target names.
    #[must_use]
    pub const fn new(id: SignalId, target: CloseTarget) -> Self {
        Self { id, target, part: None, include_external: false }
    }

    /// Checks what the types alone cannot.
    ///
    /// # Errors
    /// A sentence that names the field, what was given and what fits.
    pub fn check(&self) -> Result<(), String> {
        match self.part {
            Some(Part::Fraction(fraction)) if fraction.is_zero() => return Err("part.fraction is 0, but must be greater than 0".into()),
            Some(Part::Quantity(quantity)) if quantity.is_zero() => return Err("part.quantity is 0, but must be greater than 0".into()),
            _ => {}
        }
        let whose = match &self.target {
            CloseTarget::All | CloseTarget::Asset(_) | CloseTarget::Account(_) | CloseTarget::Position { deployment: None, .. } => None,
            CloseTarget::Signal(_) => Some("a signal"),
            CloseTarget::Agent(_) => Some("an agent"),
            CloseTarget::Position { .. } | CloseTarget::Lot(_) => Some("a deployment"),
        };
        match whose.filter(|_| self.include_external) {
            Some(whose) => Err(format!(
                "include_external is given, but {whose} holds nothing that is not ours; name all, an asset, an account, or a position without a \
                 deployment"
            )),
            None => Ok(()),
        }
    }

    /// SHA-256 of the request, in hex.
    #[must_use]
    pub fn body_hash(&self) -> String {
        let body = serde_json::to_string(self).expect("a request to close is plain data and always serializes");
        hex(&Sha256::digest(body.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<CloseRequest, String> {
        serde_json::from_str::<CloseRequest>(text).map_err(|error| error.to_string())
    }

    #[test]
    fn requests_read_as_they_are_documented() {
        let check = |target: &str, expected: CloseTarget| {
            let request = read(&format!(r#"{{"id":"c","target":{target}}}"#)).unwrap();
            assert_eq!(request, CloseRequest::new("c".parse().unwrap(), expected));
            let again = serde_json::to_string(&request).unwrap();
            assert_eq!(again, format!(r#"{{"id":"c","target":{target}}}"#), "what is not given is not written");
        };
        check(r#""all""#, CloseTarget::All);
        check(r#"{"signal":"s"}"#, CloseTarget::Signal("s".parse().unwrap()));
        check(r#"{"agent":"a"}"#, CloseTarget::Agent("a".parse().unwrap()));
        check(r#"{"asset":"HYPE"}"#, CloseTarget::Asset("HYPE".parse().unwrap()));
        check(r#"{"account":"a"}"#, CloseTarget::Account("a".parse().unwrap()));
        let position = |deployment: Option<&str>| CloseTarget::Position {
            account: "a".parse().unwrap(),
            instrument: "HYPE".parse().unwrap(),
            deployment: deployment.map(|deployment| deployment.parse().unwrap()),
        };
        check(r#"{"position":{"account":"a","instrument":"HYPE"}}"#, position(None));
        check(r#"{"position":{"account":"a","instrument":"HYPE","deployment":"d"}}"#, position(Some("d")));
        let half = read(r#"{"id":"c","target":"all","part":{"fraction":"0.50"},"include_external":true}"#).unwrap();
        assert_eq!((half.part, half.include_external), (Some(Part::Fraction("0.5".parse().unwrap())), true));
        let some = read(r#"{"id":"c","target":"all","part":{"quantity":"1.5"}}"#).unwrap();
        assert_eq!(some.part, Some(Part::Quantity("1.5".parse().unwrap())));
        assert_ne!(half.body_hash(), some.body_hash());
    }

    #[test]
    fn bad_requests_are_refused() {
        for wrong in [
            r#"{"target":"all"}"#,
            r#"{"id":"c"}"#,
            r#"{"id":"c","target":"everything"}"#,
            r#"{"id":"c","target":"all","parts":{"fraction":"0.5"}}"#,
            r#"{"id":"c","target":"all","part":{"fraction":0.5}}"#,
            r#"{"id":"c","target":"all","part":{"fraction":"1.5"}}"#,
            r#"{"id":"c","target":"all","part":{"fraction":"0.5","quantity":"1"}}"#,
            r#"{"id":"c","target":"all","part":{"quantity":"-1"}}"#,
            r#"{"id":"c","target":"all","include_external":"yes"}"#,
            r#"{"id":"c","target":{"position":{"account":"a","instrument":"HYPE","deploiment":"d"}}}"#,
            r#"{"id":"c","target":{"lot":{"deployment":"d","account":"a","instrument":"HYPE","sginal":"s"}}}"#,
            r#"{"id":"c","target":{"signal":"s","agent":"a"}}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let check = |text: &str, words: &str| {
            let error = read(text).unwrap().check().unwrap_err();
            assert!(error.contains(words), "{error}\nshould contain {words}");
        };
        check(r#"{"id":"c","target":"all","part":{"fraction":"0"}}"#, "fraction is 0");
        check(r#"{"id":"c","target":"all","part":{"quantity":"0"}}"#, "quantity is 0");
        check(r#"{"id":"c","target":{"agent":"a"},"include_external":true}"#, "an agent holds nothing");
        check(r#"{"id":"c","target":{"signal":"s"},"include_external":true}"#, "a signal holds nothing");
        let position = r#"{"id":"c","target":{"position":{"account":"a","instrument":"H","deployment":"d"}},"include_external":true}"#;
        check(position, "a deployment holds nothing");
    }

    #[test]
    fn a_part_is_never_more_than_the_whole() {
        let check = |part: Part, whole: &str, expected: &str| assert_eq!(part.of(whole.parse().unwrap()).to_string(), expected);
        check(Part::Fraction("0.5".parse().unwrap()), "3.01", "1.505");
        check(Part::Fraction("1".parse().unwrap()), "3.01", "3.01");
        check(Part::Quantity("5".parse().unwrap()), "3.01", "3.01");
        check(Part::Quantity("0.1".parse().unwrap()), "3.01", "0.1");
        check(Part::Fraction("0.9999999999999999999999999999".parse().unwrap()), "12345.678", "12345.677987654322");
    }
}
