//! The synchronous state machine.

mod adjusting;
mod admit;
mod approval;
mod availability;
mod book;
mod breakers;
mod closing;
mod depeg;
mod drift;
mod duties;
mod emergency;
mod exits;
mod flat;
mod groups;
mod guarding;
mod ids;
mod killing;
mod kills;
mod losses;
mod moving;
mod open;
mod orders;
mod pricing;
mod recovery;
mod resolver;
mod routing;
mod setup;
mod sharing;
mod sizing;
mod step;
mod told;
mod unwinding;
mod upkeep;
mod vitals;
mod weighing;
mod worth;

pub use self::approval::Approval;
pub use self::availability::{Availability, CouldOpen, ListedTerms, QuoteReport, RefusedDirection};
pub use self::book::{Answer, Book, ExecutionRecord, FoldError, LegRecord, OrderRecord, RETAINED};
pub use self::breakers::Breaker;
pub use self::guarding::Protected;
pub use self::ids::NAMESPACE_LENGTH;
pub use self::kills::{EntryFate, Kill, KilledEntry, KilledPosition};
pub(crate) use self::losses::scopes_of;
pub use self::losses::{Depegged, LossBound, LossLimits, LossRecord};
pub(crate) use self::recovery::pace;
pub use self::setup::{
    AccountSetup, AccountShare, AgentSetup, Breakers, DeploymentSetup, DriftPolicy, Limits, Setup, StopRequirement, Timing, VenueSetup,
};
pub use self::step::{Archived, CommandError, Decided, Effect, ForeignOrder, Input, Now, Output, State, Timer, Token, step};
pub use self::unwinding::GroupVerdict;
pub use self::upkeep::{Duty, Guard};
pub use self::vitals::{Alarm, Measure, Severity, engine_state, venue_state};
pub use self::weighing::{LossLevel, LossStanding, LossStandings};
pub(crate) use self::worth::{in_limits, total_equity};
