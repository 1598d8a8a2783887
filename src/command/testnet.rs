//! `omnivenue testnet`: the venues' own protocols on this machine, over simulated exchanges.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use omnivenue_testnet::{Config, Testnet};
use serde_json::{Value, json};

use super::Options;
use super::exit::{CommandError, Done};
use super::stop::Stop;

/// `omnivenue testnet`.
#[derive(Debug, Args)]
pub(crate) struct LocalTestnet {
    /// The venues, with two funded accounts each
    #[arg(long, value_delimiter = ',', default_value = "hyperliquid", value_name = "VENUE,…", conflicts_with = "file")]
    venues: Vec<String>,
    /// What it consists of: accounts, prices, limits, faults; JSON, or TOML when it ends in .toml
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The port of the first venue, further venues on the ports after it [default: any that are free]
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// The port of the admin endpoint: faults, prices, clock, and what really happened [default: any that is free]
    #[arg(long, value_name = "N")]
    admin_port: Option<u16>,
}

impl LocalTestnet {
    /// Serves until SIGINT or SIGTERM.
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        let mut config = match &self.file {
            Some(path) => read(path)?,
            None => Config::of_venues(self.venues.iter().map(String::as_str)).map_err(CommandError::Usage)?,
        };
        if let (Some(port), Some(hyperliquid)) = (self.port, config.hyperliquid.as_mut()) {
            hyperliquid.port = port;
        }
        config.admin_port = self.admin_port.unwrap_or(config.admin_port);
        let mut stop = Stop::new()?;
        let testnet = Testnet::start(config).map_err(|error| CommandError::failed(error.to_string()))?;
        let output = options.output();
        if output.json {
            let urls = testnet.urls().iter();
            let venues: BTreeMap<&str, Value> =
                urls.map(|(name, urls)| (name.as_str(), json!({ "rest": urls.rest, "stream": urls.stream }))).collect();
            output.line(&json!({ "venues": venues, "admin": testnet.admin_url() }))?;
        } else {
            output.text(&testnet.how_to_use())?;
        }
        stop.asked().await;
        Ok(Done::Well)
    }
}

fn read(path: &Path) -> Result<Config, CommandError> {
    let wrong = |reason: String| CommandError::Usage(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let toml = path.extension().is_some_and(|extension| extension == "toml");
    if toml {
        toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))
    } else {
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
    }
}
