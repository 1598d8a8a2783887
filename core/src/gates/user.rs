//! Checks of the user's own, asked before the atomic step: what they are asked, what they may say, and what is written down of it.

use std::error::Error;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::execution::Reason;
use crate::model::ids::{AccountId, AgentId, DeploymentId, VenueId, VenueSymbol};
use crate::model::instrument::Instrument;
use crate::model::number::{Fraction, Quantity, exact};
use crate::model::signal::Signal;
use crate::model::time::Timestamp;
use crate::venue::Quote;

/// The most characters of a user gate's words that are kept.
const LONGEST: usize = 400;

/// A check of the user's own. It is asked about each leg of a new signal, before the engine decides, on a thread of its own for each agent:
/// however long it takes, no other agent's signal waits for it.
///
/// It fails closed: where it panics, fails, or has not answered within [`Timing::user_gate_deadline`](crate::executor::Timing), the leg is
/// refused with the code `user_gate`, its name and why. A signal that was taken before is not asked about again. Implementations must
/// return in the end: one that never does refuses every further signal of that agent, and holds its thread until the process ends.
///
/// ```
/// use omnivenue_core::gates::{UserGate, UserGateError, UserQuestion, UserVerdict};
///
/// struct NotOnSunday;
///
/// impl UserGate for NotOnSunday {
///     fn name(&self) -> &str {
///         "not_on_sunday"
///     }
///
///     fn check(&self, question: &UserQuestion) -> Result<UserVerdict, UserGateError> {
///         // 1970-01-01 was a Thursday.
///         let day = question.at.as_millis().div_euclid(86_400_000) + 4;
///         Ok(if day % 7 == 0 { UserVerdict::Refuse("it is Sunday".into()) } else { UserVerdict::Pass })
///     }
/// }
/// ```
pub trait UserGate: Send + Sync {
    /// Its name, for people: unique among the gates of an engine.
    fn name(&self) -> &str;

    /// Answers one question. Called from several threads at once, one an agent.
    ///
    /// # Errors
    /// Anything: the leg is refused with its words.
    fn check(&self, question: &UserQuestion) -> Result<UserVerdict, UserGateError>;
}

/// Why a user gate has no answer.
pub type UserGateError = Box<dyn Error + Send + Sync>;

/// What a user gate is asked: whether a leg may be opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UserQuestion {
    /// The signal as it came in, with its metadata.
    pub signal: Arc<Signal>,
    /// Whose it is.
    pub agent: AgentId,
    /// Where it would be carried out.
    pub deployment: DeploymentId,
    /// The account. In an emergency another one may stand in for it; the answer holds for that one too.
    pub account: AccountId,
    /// Its venue.
    pub venue: VenueId,
    /// The instrument, where the venue lists one.
    pub instrument: Option<VenueSymbol>,
    /// Its present price, where there is one.
    pub quote: Option<Quote>,
    /// When it is asked, by our clock.
    pub at: Timestamp,
}

impl UserQuestion {
    #[allow(clippy::too_many_arguments, reason = "one a field; only the engine asks")]
    pub(crate) fn new(
        signal: Arc<Signal>,
        deployment: DeploymentId,
        account: AccountId,
        venue: VenueId,
        instrument: Option<VenueSymbol>,
        quote: Option<Quote>,
        at: Timestamp,
    ) -> Self {
        let agent = signal.agent.clone();
        Self { signal, agent, deployment, account, venue, instrument, quote, at }
    }
}

/// What a user gate may say of a leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserVerdict {
    /// It may be opened.
    Pass,
    /// It may be opened in this part of its size, rounded down to whole lots.
    Shrink(Fraction),
    /// It must not be opened, and why.
    Refuse(String),
}

/// What all user gates together said of one leg, as it is written down with the signal: the refusal if there was one, else the smallest
/// part that any of them asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ruling {
    /// Where the leg would be carried out.
    pub deployment: DeploymentId,
    /// The account.
    pub account: AccountId,
    /// Whose verdict counts; absent where all let it pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// What it said.
    pub verdict: UserVerdict,
}

impl Ruling {
    /// What counts of several verdicts on one leg.
    pub(crate) fn of(deployment: DeploymentId, account: AccountId, verdicts: impl IntoIterator<Item = (String, UserVerdict)>) -> Self {
        let mut ruling = Self { deployment, account, gate: None, verdict: UserVerdict::Pass };
        for (gate, verdict) in verdicts {
            let graver = match (&ruling.verdict, &verdict) {
                (UserVerdict::Refuse(_), _) | (_, UserVerdict::Pass) => false,
                (UserVerdict::Shrink(kept), UserVerdict::Shrink(part)) => part < kept,
                (_, UserVerdict::Refuse(_)) | (UserVerdict::Pass, UserVerdict::Shrink(_)) => true,
            };
            if graver {
                let verdict = match verdict {
                    UserVerdict::Refuse(words) => UserVerdict::Refuse(words.chars().take(LONGEST).collect()),
                    other => other,
                };
                (ruling.gate, ruling.verdict) = (Some(gate), verdict);
            }
        }
        ruling
    }
}

/// Brings a leg's size to what user gates said of it.
///
/// # Errors
/// `user_gate` where one of them refused it, or was never asked about it.
pub(crate) fn apply(
    rulings: Option<&[Ruling]>,
    place: (&DeploymentId, &AccountId),
    instrument: &Instrument,
    quantity: Quantity,
) -> Result<Quantity, Reason> {
    let Some(rulings) = rulings else { return Ok(quantity) };
    let refused = |words: String| Err(Reason::new("user_gate", words));
    let (deployment, account) = place;
    let Some(ruling) = rulings.iter().find(|ruling| ruling.deployment == *deployment && ruling.account == *account) else {
        return refused(format!("the user gates were not asked about {deployment} on {account}"));
    };
    let gate = ruling.gate.as_deref().unwrap_or_default();
    match &ruling.verdict {
        UserVerdict::Pass => Ok(quantity),
        UserVerdict::Refuse(words) => refused(format!("{gate}: {words}")),
        UserVerdict::Shrink(part) => {
            let shrunk = exact::mul(quantity.decimal(), part.decimal()).and_then(|shrunk| Quantity::new(shrunk).ok());
            let shrunk = shrunk.map(|shrunk| instrument.floor_quantity(shrunk)).filter(|shrunk| !shrunk.is_zero());
            shrunk.map_or_else(|| refused(format!("{gate}: {part} of {quantity} is less than can be traded")), Ok)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_verdict_counts() {
        let part = |text: &str| UserVerdict::Shrink(text.parse().unwrap());
        let no = |text: &str| UserVerdict::Refuse(text.into());
        let check = |verdicts: &[(&str, UserVerdict)], expected: (Option<&str>, UserVerdict)| {
            let given = verdicts.iter().map(|(gate, verdict)| ((*gate).to_owned(), verdict.clone()));
            let ruling = Ruling::of("d".parse().unwrap(), "a".parse().unwrap(), given);
            assert_eq!((ruling.gate.as_deref(), ruling.verdict), expected, "{verdicts:?}");
        };
        check(&[], (None, UserVerdict::Pass));
        check(&[("one", UserVerdict::Pass), ("two", part("0.5"))], (Some("two"), part("0.5")));
        check(&[("one", part("0.5")), ("two", part("0.2")), ("three", part("0.9"))], (Some("two"), part("0.2")));
        check(&[("one", part("0.5")), ("two", no("x")), ("three", part("0.1")), ("four", no("y"))], (Some("two"), no("x")));
    }
}
