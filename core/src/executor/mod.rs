//! The synchronous state machine.

mod admit;
mod book;
mod closing;
mod emergency;
mod ids;
mod moving;
mod orders;
mod recovery;
mod resolver;
mod setup;
mod step;

pub use self::book::{Book, ExecutionRecord, FoldError, LegRecord, OrderRecord, RETAINED};
pub use self::ids::NAMESPACE_LENGTH;
pub use self::setup::{AccountSetup, AccountShare, AgentSetup, DeploymentSetup, Limits, Setup, Timing, VenueSetup};
pub use self::step::{Archived, CommandError, Decided, Effect, Input, Now, Output, State, Timer, Token, step};
