//! What a testnet consists of, as plain data.

use serde::{Deserialize, Serialize};

use crate::hyperliquid::HyperliquidConfig;

/// A testnet: which venues it runs, and where. Ports of 0 are chosen by the system.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The port of the admin endpoint on 127.0.0.1.
    pub admin_port: u16,
    /// Hyperliquid; absent when it is not to run.
    pub hyperliquid: Option<HyperliquidConfig>,
}

impl Config {
    /// Every venue that this crate speaks, each with two funded accounts whose private keys are published test keys: anyone has them.
    #[must_use]
    pub fn built_in() -> Self {
        Self { admin_port: 0, hyperliquid: Some(HyperliquidConfig::built_in()) }
    }

    /// Only the named venues of [`Config::built_in`].
    ///
    /// # Errors
    /// A sentence with the names that fit, when a name is none of them.
    pub fn of_venues<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, String> {
        let mut config = Self::default();
        for name in names {
            match name {
                "hyperliquid" => config.hyperliquid = Some(HyperliquidConfig::built_in()),
                other => return Err(format!("`{other}` is no venue of the testnet; it speaks hyperliquid")),
            }
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_reads_back() {
        let text = serde_json::to_string_pretty(&Config::built_in()).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), Config::built_in(), "{text}");
        assert_eq!(Config::of_venues(["hyperliquid"]).unwrap(), Config::built_in());
    }

    #[test]
    fn the_configuration_of_the_readme_is_one() {
        let readme = include_str!("../README.md");
        let text = readme.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
        let shown = serde_json::from_str::<Config>(text).unwrap().hyperliquid.unwrap();
        let built_in = Config::built_in().hyperliquid.unwrap();
        assert_eq!(shown.accounts[0].address, built_in.accounts[0].address);
        assert_eq!(shown.accounts[0].agents[0].address, built_in.accounts[0].agents[0].address);
        assert_eq!(shown.accounts[0].sub_accounts[0].address, built_in.accounts[0].sub_accounts[0].address);
        assert_eq!(shown.limits, built_in.limits);
    }

    #[test]
    fn unknown_keys_and_venues_are_refused() {
        let error = |text: &str| serde_json::from_str::<Config>(text).unwrap_err().to_string();
        assert!(error(r#"{"admin":1}"#).contains("unknown field `admin`"));
        assert!(error(r#"{"hyperliquid":{"prot":1}}"#).contains("unknown field `prot`"));
        assert!(error(r#"{"hyperliquid":{"accounts":[{"name":"a","addres":"0x"}]}}"#).contains("unknown field `addres`"));
        assert!(Config::of_venues(["nyse"]).unwrap_err().contains("it speaks hyperliquid"));
    }
}
