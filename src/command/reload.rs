//! `omnivenue reload`: the configuration is read again by the engine that runs.

use clap::Args;
use omnivenue::control::{Client, Request};

use super::Options;
use super::exit::{CommandError, Done};
use super::output::Output;
use super::table::{clean, shown};

/// `omnivenue reload`.
#[derive(Debug, Args)]
pub(crate) struct Reload {}

impl Reload {
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        // Mistakes are told before the engine is asked.
        let (config, _) = options.load()?;
        let output: Output = options.output();
        let Some(mut client) = Client::connect(&config.control_path()).await? else {
            return Err(CommandError::from(omnivenue::control::Failure::new(
                omnivenue::control::codes::UNREACHABLE,
                "no engine runs: the next start reads the configuration anyway",
            )));
        };
        let answer = client.ask(&Request::Reload).await?;
        output.either(&answer, || {
            let changes = answer["changes"].as_array().cloned().unwrap_or_default();
            if changes.is_empty() {
                return "nothing has changed".to_owned();
            }
            let line = |change: &serde_json::Value| {
                let value = |key: &str| change.get(key).map_or_else(|| "nothing".to_owned(), |value| clean(&value.to_string()));
                format!("{}: {} -> {}", shown(change.get("key")), value("before"), value("after"))
            };
            changes.iter().map(line).collect::<Vec<_>>().join("\n")
        })?;
        Ok(Done::Well)
    }
}
