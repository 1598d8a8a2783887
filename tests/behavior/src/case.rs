//! What a case is: a sentence, what it needs of a venue, and what it does.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use omnivenue_core::model::instrument::Market;
use omnivenue_core::venue::{Absence, Capabilities, NonceRule, PositionModel, Resend, VenueError};

use crate::stage::Stage;

/// Why a case did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// Something else was expected.
    Expected(String),
    /// It turned out that the case says nothing of this venue, and why.
    DoesNotApply(String),
}

/// How a case ended.
pub type Verdict<T = ()> = Result<T, Failed>;

impl From<String> for Failed {
    fn from(words: String) -> Self {
        Self::Expected(words)
    }
}

impl From<VenueError> for Failed {
    fn from(error: VenueError) -> Self {
        Self::Expected(format!("an answer, but {} ({:?}, {:?})", error, error.kind, error.effect))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected(words) => write!(f, "expected {words}"),
            Self::DoesNotApply(why) => write!(f, "does not apply: {why}"),
        }
    }
}

/// Fails with what was expected, unless it holds.
///
/// # Errors
/// [`Failed::Expected`].
pub fn expect(holds: bool, expected: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Failed::Expected(expected())) }
}

/// What a case needs of a venue, asked of its capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The venue takes the same bytes once.
    Idempotent,
    /// It may take them twice.
    AfterProof,
    /// Ids can be burned.
    Burn,
    /// Requests have a window.
    Window,
    /// Absence can be proved in some way.
    Proof,
    /// Nothing proves absence.
    NoProof,
    /// Orders can be told to only reduce.
    ReduceOnly,
    /// Orders carry nonces.
    Nonces,
    /// The instrument is held as a position, long or short.
    Net,
    /// The instrument is held as a balance (spot).
    Holdings,
}

impl Need {
    /// Why a venue of these capabilities does not meet it, where an instrument of this market is traded.
    #[must_use]
    pub const fn missing(self, capabilities: &Capabilities, market: Market) -> Option<&'static str> {
        let orders = &capabilities.orders;
        // A venue with both markets has one position model; the instrument says which of the two is traded.
        let spot = matches!(market, Market::Spot) || matches!(capabilities.positions, PositionModel::Holdings);
        let (met, why) = match self {
            Self::Idempotent => (matches!(orders.resend, Resend::Idempotent), "it may take the same bytes twice"),
            Self::AfterProof => (matches!(orders.resend, Resend::AfterProof), "it takes the same bytes once"),
            Self::Burn => (matches!(orders.absence, Absence::Burn), "it cannot burn an id"),
            Self::Window => (matches!(orders.absence, Absence::Window { .. }), "its absence is not proved by a window"),
            Self::Proof => (!matches!(orders.absence, Absence::Never), "nothing proves absence there"),
            Self::NoProof => (matches!(orders.absence, Absence::Never), "absence can be proved there"),
            Self::ReduceOnly => (orders.reduce_only && !spot, "it has no reduce-only orders"),
            Self::Nonces => (!matches!(orders.nonce, NonceRule::None), "its orders carry no nonce"),
            Self::Net => (!spot, "it holds balances, not positions"),
            Self::Holdings => (spot, "it holds positions, not balances"),
        };
        if met { None } else { Some(why) }
    }
}

type Running = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// One case: a sentence about every venue that meets its needs.
pub struct Case {
    /// The sentence, in `snake_case`.
    pub name: &'static str,
    needs: &'static [Need],
    run: Box<dyn Fn(Arc<Stage>) -> Running + Send + Sync>,
}

impl Case {
    /// A case for venues that meet all of `needs`.
    pub fn new<F, R>(name: &'static str, needs: &'static [Need], run: F) -> Self
    where
        F: Fn(Arc<Stage>) -> R + Send + Sync + 'static,
        R: Future<Output = Verdict> + Send + 'static,
    {
        Self { name, needs, run: Box::new(move |stage| Box::pin(run(stage))) }
    }

    /// Why it does not apply to a venue where an instrument of this market is traded, if it does not.
    #[must_use]
    pub fn missing(&self, capabilities: &Capabilities, market: Market) -> Option<&'static str> {
        self.needs.iter().find_map(|need| need.missing(capabilities, market))
    }

    /// Runs it.
    pub async fn run(&self, stage: Arc<Stage>) -> Verdict {
        (self.run)(stage).await
    }
}

/// Cases from functions: the name of the function is the sentence, what it needs stands behind it.
macro_rules! cases {
    ($($name:ident $([$($need:ident),+])?),+ $(,)?) => {
        vec![$($crate::case::Case::new(stringify!($name), &[$($($crate::case::Need::$need),+)?], $name)),+]
    };
}

pub(crate) use cases;
