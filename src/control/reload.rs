//! Reading the configuration again.

use omnivenue_core::engine::Engine;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::protocol::{Failure, codes};
use crate::config::Config;
use crate::open::{ReconfigureError, reconfigure};

/// What an engine runs with, and where that is read again.
pub struct Reloader {
    current: Mutex<Config>,
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reloader")
    }
}

impl Reloader {
    /// For an engine that was opened with this configuration; it is read again from the file it came from.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { current: Mutex::new(config) }
    }

    /// Reads it again, and takes what changed: all of it or nothing.
    ///
    /// # Errors
    /// [`Failure`] with every mistake, or every key that may not change; nothing was changed then.
    pub async fn reload(&self, engine: &Engine) -> Result<Value, Failure> {
        // One at a time: what is compared with must be what the engine has.
        let mut current = self.current.lock().await;
        let after = current.read_again().map_err(|error| Failure::new(codes::BAD_REQUEST, format!("{error}; nothing was changed")))?;
        match reconfigure(engine, &current, &after).await {
            Ok(changes) => {
                *current = after;
                Ok(json!({ "changes": changes }))
            }
            Err(ReconfigureError::Engine(error)) => Err(error.into()),
            Err(error) => Err(Failure::new(codes::BAD_REQUEST, error.to_string())),
        }
    }
}
