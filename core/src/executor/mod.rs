//! The synchronous state machine.

mod setup;

pub use self::setup::{AccountSetup, AccountShare, AgentSetup, DeploymentSetup, Limits, Setup, Timing, VenueSetup};
