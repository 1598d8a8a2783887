//! What is written down of losses: from where they count, and that one was larger than it may be.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::ids::{AccountId, AgentId, DeploymentId};
use crate::model::number::Amount;
use crate::model::time::Timestamp;

/// Whose losses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossScope {
    /// Everything: all of each account.
    Global,
    /// All of an account, what is not ours included.
    Account(AccountId),
    /// All deployments of an agent.
    Agent(AgentId),
    /// One deployment.
    Deployment(DeploymentId),
}

impl fmt::Display for LossScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("everything"),
            Self::Account(id) => write!(f, "account {id}"),
            Self::Agent(id) => write!(f, "agent {id}"),
            Self::Deployment(id) => write!(f, "deployment {id}"),
        }
    }
}

/// Which loss is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Since the UTC day began.
    DailyLoss,
    /// Since the best result so far.
    Drawdown,
}

impl LossKind {
    /// The limit's key in the configuration, which is also the code that entries are refused with.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::DailyLoss => "max_daily_loss",
            Self::Drawdown => "max_drawdown",
        }
    }
}

/// What follows when a loss is larger than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBreach {
    /// No entry: until the next UTC day (daily loss), or until a person resumes (drawdown). What rests at the venues goes on.
    #[default]
    HaltEntries,
    /// That, but what rests is canceled, and every position of ours is closed until it is flat.
    Flatten,
    /// As `halt_entries`, and the kill switch is thrown for the agent, or for each agent concerned: only a person lifts it.
    StopAgent,
}

impl fmt::Display for OnBreach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::HaltEntries => "halt_entries",
            Self::Flatten => "flatten",
            Self::StopAgent => "stop_agent",
        })
    }
}

/// From where a day's loss counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    /// Whose.
    pub scope: LossScope,
    /// The UTC day, counted from 1970-01-01.
    pub day: i64,
    /// The result since the journal began: realized + unrealized − fees ± funding, in the currency of the limits. What came in or went out
    /// is no part of it.
    pub result: Amount,
    /// When it was taken.
    pub at: Timestamp,
}

/// A loss was larger than it may be: from now on what `action` says holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LimitBroken {
    /// Whose.
    pub scope: LossScope,
    /// Which limit.
    pub kind: LossKind,
    /// The loss, in the currency of the limits.
    pub loss: Amount,
    /// The largest that may be.
    pub allowed: Amount,
    /// The result it is counted from.
    pub from: Amount,
    /// The result now.
    pub result: Amount,
    /// What follows.
    pub action: OnBreach,
    /// When.
    pub at: Timestamp,
}

impl LimitBroken {
    /// Why nothing is entered, as a sentence with the numbers.
    #[must_use]
    pub fn words(&self) -> String {
        let (what, until) = match self.kind {
            LossKind::DailyLoss => ("today's loss", "the next UTC day, or a person resumes before that"),
            LossKind::Drawdown => ("the drawdown", "a person resumes"),
        };
        format!(
            "{what} of {} was {} at {}, and may be {} ({}); no entry until {until}",
            self.scope, self.loss, self.at, self.allowed, self.action
        )
    }
}
