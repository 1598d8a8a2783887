//! Ready-made agents by name.

use omnivenue_core::agent::Factory;
use serde::Serialize;

use crate::momentum::{Momentum, MomentumConfig};

/// A ready-made agent, with what it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "name", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Strategy {
    /// See [`crate::momentum`].
    Momentum(MomentumConfig),
}

impl Strategy {
    /// All names.
    pub const NAMES: [&'static str; 1] = ["momentum"];

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Momentum(_) => "momentum",
        }
    }

    /// Makes instances of it.
    #[must_use]
    pub fn factory(&self) -> Factory {
        match self.clone() {
            Self::Momentum(config) => Box::new(move || Box::new(Momentum::new(config.clone()))),
        }
    }
}
