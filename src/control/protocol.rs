//! What can be asked through the socket, and how failure is told.

use omnivenue_core::engine::EngineError;
use omnivenue_core::executor::CommandError;
use omnivenue_core::journal::{KillMode, KillScope, StoreError, Verdict};
use omnivenue_core::model::close::CloseRequest;
use omnivenue_core::model::ids::{AccountId, Asset, ClientOrderId, DeploymentId, SignalId};
use omnivenue_core::model::secret::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Stable codes of failures that are not the engine's own.
pub mod codes {
    /// The request or the signal in it is not of the published form.
    pub const BAD_REQUEST: &str = "bad_request";
    /// No engine answers, or its answer was lost.
    pub const UNREACHABLE: &str = "unreachable";
    /// Another engine owns the journal.
    pub const IN_USE: &str = "journal_in_use";
    /// There is no such signal, order or position.
    pub const NOT_FOUND: &str = "not_found";
    /// Too many connections at once.
    pub const BUSY: &str = "busy";
    /// Anything else.
    pub const FAILED: &str = "failed";
    /// Whoever asks may not.
    pub const DENIED: &str = "denied";
}

/// How long `execute` and `close` wait before they answer. What has begun goes on in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitFor {
    /// Until what is to be done is durable.
    Journaled,
    /// Until each venue has answered, or is past its deadline.
    #[default]
    Acknowledged,
    /// Until nothing more will trade.
    Settled,
}

/// One request to the engine: the same surface as in the process that owns it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// Carries out a signal, given in its published form. Answers with the execution.
    Execute {
        /// The signal.
        signal: serde_json::Value,
        /// How long to wait.
        #[serde(default)]
        wait: WaitFor,
    },
    /// What became of a signal or of a request to close; `null` when it was never seen.
    Execution {
        /// Its id.
        id: SignalId,
    },
    /// Closes positions. Answers with the execution.
    Close {
        /// Which ones.
        request: CloseRequest,
        /// How long to wait.
        #[serde(default)]
        wait: WaitFor,
    },
    /// Asks the venues to cancel what rests of a signal.
    Cancel {
        /// The signal.
        id: SignalId,
    },
    /// Answers whether a signal that waits for a person may be carried out. Answers with the execution.
    Approve {
        /// The signal.
        id: SignalId,
        /// Where; in every deployment in which it waits when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deployment: Option<DeploymentId>,
        /// Yes or no.
        approved: bool,
        /// Why, in the person's words.
        reason: String,
        /// How long to wait.
        #[serde(default)]
        wait: WaitFor,
    },
    /// Settles an order whose fate no evidence tells.
    Resolve {
        /// The order, by our name.
        order: ClientOrderId,
        /// What a person says became of it.
        verdict: Verdict,
        /// Why, in the person's words.
        reason: String,
    },
    /// Our positions.
    Positions,
    /// Our orders; where an engine runs, also those of others that rest on our accounts, marked `foreign`.
    Orders,
    /// Our trades.
    Fills,
    /// Equity per deployment and account.
    Equity,
    /// How the engine, its accounts and its journal stand.
    Health,
    /// Where an asset could be traded now, on what terms, and what stands in the way.
    Availability {
        /// Our name of it, or a venue's.
        asset: Asset,
    },
    /// The journal's events after a number, and then, when following, each as it happens.
    Events {
        /// The last number already known; 0 for all.
        #[serde(default)]
        since: u64,
        /// Whether to go on at the end.
        #[serde(default)]
        follow: bool,
    },
    /// Throws the kill switch. Answers with what it has come to so far.
    Kill {
        /// What it stops.
        scope: KillScope,
        /// What it does beside keeping entries from leaving.
        #[serde(default)]
        mode: KillMode,
        /// Why.
        reason: String,
    },
    /// What the kill switch has come to: a list, of one latch or of each.
    KillReport {
        /// The latch; each when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<KillScope>,
    },
    /// Lifts the kill switch.
    Resume {
        /// What it stopped.
        scope: KillScope,
        /// Why.
        reason: String,
        /// What lifts it, where the kill switch has a secret.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<GivenSecret>,
    },
    /// Reads the configuration again and takes what may change while the engine runs. Answers with what changed.
    Reload,
    /// Erases what the caller attached to a signal, for ever.
    EraseMetadata {
        /// The signal.
        id: SignalId,
    },
    /// Compares the venues' truth with ours now.
    Reconcile,
    /// Takes a venue's truth about an account for ours, and lifts its halt.
    Adopt {
        /// The account.
        account: AccountId,
        /// Why, in the person's words.
        reason: String,
    },
}

/// A secret that goes through the socket, to the engine of the same user, and is shown nowhere else.
#[derive(Debug, Clone)]
pub struct GivenSecret(pub Secret);

impl PartialEq for GivenSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_same_as(&other.0)
    }
}

impl Serialize for GivenSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for GivenSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Its own words would repeat what was given.
        let text = String::deserialize(deserializer).map_err(|_| serde::de::Error::custom("the secret is not text"))?;
        Ok(Self(Secret::new(text)))
    }
}

/// Why a request came to nothing: a stable code and a sentence. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Stable, in `snake_case`: one of [`codes`] or the engine's own.
    pub code: String,
    /// For people.
    pub message: String,
}

impl Failure {
    /// A failure with its code.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        let code = match error {
            StoreError::InUse { .. } => codes::IN_USE,
            StoreError::Broken(_) => "journal_broken",
            StoreError::OtherHead { .. } => "journal_other_head",
            StoreError::Unreadable { .. } => "journal_unreadable",
            StoreError::Incompatible(_) => "journal_incompatible",
            StoreError::NotKept(_) => "not_kept",
            _ => "journal_io",
        };
        Self::new(code, error.to_string())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let code = match &error {
            EngineError::Command(CommandError::Invalid(_)) => codes::BAD_REQUEST,
            EngineError::Store(error) => return Self::from(error),
            EngineError::Closed => codes::UNREACHABLE,
            _ => error.code(),
        };
        Self::new(code, error.to_string())
    }
}

/// One line from the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// The answer.
    Ok(serde_json::Value),
    /// The request came to nothing.
    Error(Failure),
    /// One item of a stream; more lines follow.
    Event(serde_json::Value),
}

impl Line {
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("lines are plain data and always serialize")
    }
}

#[cfg(test)]
mod tests {
    use omnivenue_core::model::close::{CloseTarget, Part};

    use super::*;

    #[test]
    fn requests_read_as_they_are_documented() {
        let check = |text: &str, expected: Request| {
            assert_eq!(serde_json::from_str::<Request>(text).unwrap(), expected);
            let again = serde_json::to_string(&expected).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&again).unwrap(), expected);
        };
        check(r#"{"verb":"positions"}"#, Request::Positions);
        check(r#"{"verb":"availability","asset":"HYPE"}"#, Request::Availability { asset: "HYPE".parse().unwrap() });
        check(r#"{"verb":"events","since":7,"follow":true}"#, Request::Events { since: 7, follow: true });
        check(
            r#"{"verb":"kill","scope":{"agent":"demo"},"reason":"x"}"#,
            Request::Kill { scope: KillScope::Agent("demo".parse().unwrap()), mode: KillMode::Pause, reason: "x".into() },
        );
        check(
            r#"{"verb":"kill","scope":"all","reason":"x"}"#,
            Request::Kill { scope: KillScope::All, mode: KillMode::Pause, reason: "x".into() },
        );
        let verdict = Verdict::Filled { quantity: "1.5".parse().unwrap(), price: "38.1".parse().unwrap() };
        let request = Request::Resolve { order: "abc".parse().unwrap(), verdict, reason: "seen".into() };
        check(r#"{"verb":"resolve","order":"abc","verdict":{"filled":{"quantity":"1.5","price":"38.1"}},"reason":"seen"}"#, request);
        let (id, reason) = ("s".parse().unwrap(), "fits".to_owned());
        let request = Request::Approve { id, deployment: Some("d".parse().unwrap()), approved: true, reason, wait: WaitFor::Settled };
        check(r#"{"verb":"approve","id":"s","deployment":"d","approved":true,"reason":"fits","wait":"settled"}"#, request);
        let target = CloseTarget::Position { account: "a".parse().unwrap(), instrument: "HYPE".parse().unwrap(), deployment: None };
        let part = Some(Part::Fraction("0.5".parse().unwrap()));
        let request = CloseRequest { part, include_external: true, ..CloseRequest::new("c".parse().unwrap(), target) };
        check(
            r#"{"verb":"close","request":{"id":"c","target":{"position":{"account":"a","instrument":"HYPE"}},"part":{"fraction":"0.5"},"include_external":true}}"#,
            Request::Close { request, wait: WaitFor::Acknowledged },
        );
        assert!(serde_json::from_str::<Request>(r#"{"verb":"close","request":{"id":"c","target":"all","fraction":"0.5"}}"#).is_err());
        assert!(serde_json::from_str::<Request>(r#"{"verb":"approve","id":"s","reason":"which?"}"#).is_err());
        assert!(serde_json::from_str::<Request>(r#"{"verb":"postions"}"#).is_err());
        assert!(serde_json::from_str::<Request>(r#"{"verb":"events","sicne":7}"#).is_err());
    }

    #[test]
    fn a_given_secret_is_never_shown() {
        let request = Request::Resume { scope: KillScope::All, reason: "x".into(), secret: Some(GivenSecret(Secret::new("hunter2"))) };
        assert!(!format!("{request:?}").contains("hunter2"));
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        let wrong = r#"{"verb":"resume","scope":"all","reason":"x","secret":12345}"#;
        assert!(!serde_json::from_str::<Request>(wrong).unwrap_err().to_string().contains("12345"));
    }

    #[test]
    fn lines_have_one_key() {
        assert_eq!(Line::Ok(serde_json::Value::Null).text(), r#"{"ok":null}"#);
        assert_eq!(Line::Error(Failure::new(codes::BUSY, "later")).text(), r#"{"error":{"code":"busy","message":"later"}}"#);
    }
}
