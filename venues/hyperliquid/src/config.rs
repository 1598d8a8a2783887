//! Where the venue is and who trades there.

use std::time::Duration;

use omnivenue_core::model::ids::{AccountId, VenueId};
use omnivenue_core::model::instrument::Market;
use omnivenue_core::model::secret::Secret;
use omnivenue_core::model::time::duration_text;
use omnivenue_kit::sign::{Address, KeyError};
use serde::{Deserialize, Serialize};

/// Which chain: decides what is signed, and the hosts unless they are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Real money.
    Mainnet,
    /// The venue's public test network.
    Testnet,
}

impl Environment {
    /// Where requests go. Source: "API", read 2026-11.
    #[must_use]
    pub const fn rest_url(self) -> &'static str {
        match self {
            Self::Mainnet => "https://api.hyperliquid.xyz",
            Self::Testnet => "https://api.hyperliquid-testnet.xyz",
        }
    }

    /// Where the stream is.
    #[must_use]
    pub const fn ws_url(self) -> &'static str {
        match self {
            Self::Mainnet => "wss://api.hyperliquid.xyz/ws",
            Self::Testnet => "wss://api.hyperliquid-testnet.xyz/ws",
        }
    }

    /// The `source` of signatures on actions.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::Mainnet => "a",
            Self::Testnet => "b",
        }
    }

    /// The `hyperliquidChain` of user-signed actions.
    #[must_use]
    pub const fn chain(self) -> &'static str {
        match self {
            Self::Mainnet => "Mainnet",
            Self::Testnet => "Testnet",
        }
    }
}

/// The venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name, normally `hyperliquid`.
    #[serde(default = "default_id")]
    pub id: VenueId,
    /// Which chain.
    pub environment: Environment,
    /// Where requests go instead of the environment's host. Signatures are for `environment` whatever the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest_url: Option<String>,
    /// Where the stream is instead of the environment's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ws_url: Option<String>,
    /// How long after it was prepared the venue still takes an order (`expiresAfter`); 5 seconds to 1 minute. Longer outlasts slower networks;
    /// shorter settles doubt sooner.
    #[serde(default = "default_order_lifetime", with = "duration_text")]
    pub order_lifetime: Duration,
    /// How long an answer may take before it counts as none.
    #[serde(default = "default_request_timeout", with = "duration_text")]
    pub request_timeout: Duration,
    /// The weight this process may spend in a minute; the venue allows 1200 per IP address. Lower it where others share the address.
    #[serde(default = "default_weight_per_minute")]
    pub weight_per_minute: u32,
    /// How often trades are fetched by REST and compared with those the stream told, while all looks well.
    #[serde(default = "default_cross_check", with = "duration_text")]
    pub cross_check_every: Duration,
}

fn default_id() -> VenueId {
    VenueId::new("hyperliquid").expect("a valid venue id")
}

const fn default_order_lifetime() -> Duration {
    Duration::from_secs(15)
}

const fn default_request_timeout() -> Duration {
    Duration::from_secs(10)
}

/// The venue's limit per IP address and minute. Source: "Rate limits", read 2026-11.
pub const WEIGHT_PER_MINUTE: u32 = 1200;

const fn default_weight_per_minute() -> u32 {
    WEIGHT_PER_MINUTE
}

const fn default_cross_check() -> Duration {
    Duration::from_secs(60)
}

impl Config {
    /// The defaults for a chain.
    #[must_use]
    pub fn new(environment: Environment) -> Self {
        Self {
            id: default_id(),
            environment,
            rest_url: None,
            ws_url: None,
            order_lifetime: default_order_lifetime(),
            request_timeout: default_request_timeout(),
            weight_per_minute: default_weight_per_minute(),
            cross_check_every: default_cross_check(),
        }
    }

    /// Where requests go.
    #[must_use]
    pub fn rest(&self) -> &str {
        self.rest_url.as_deref().unwrap_or(self.environment.rest_url())
    }

    /// Where the stream is.
    #[must_use]
    pub fn ws(&self) -> &str {
        self.ws_url.as_deref().unwrap_or(self.environment.ws_url())
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let wrong =
            |field: &'static str, got: String, fits: &'static str| Err(ConfigError::Field { venue: self.id.clone(), field, got, fits });
        let seconds = |length: Duration, from: u64, to: u64| length >= Duration::from_secs(from) && length <= Duration::from_secs(to);
        if !seconds(self.order_lifetime, 5, 60) {
            return wrong("order_lifetime", format!("{:?}", self.order_lifetime), "5s to 1m");
        }
        if !seconds(self.request_timeout, 1, 60) {
            return wrong("request_timeout", format!("{:?}", self.request_timeout), "1s to 1m");
        }
        if !seconds(self.cross_check_every, 1, 3600) {
            return wrong("cross_check_every", format!("{:?}", self.cross_check_every), "1s to 1h");
        }
        if !(200..=WEIGHT_PER_MINUTE).contains(&self.weight_per_minute) {
            return wrong("weight_per_minute", self.weight_per_minute.to_string(), "200 to 1200");
        }
        // The two would otherwise be of different chains: orders here, truth from there.
        if self.rest_url.is_some() != self.ws_url.is_some() {
            let (field, got) = if self.rest_url.is_some() { ("ws_url", "absent") } else { ("rest_url", "absent") };
            return wrong(field, got.to_owned(), "given together with the other one");
        }
        Ok(())
    }
}

/// Who trades.
#[derive(Debug, Clone)]
pub struct Login {
    /// The account's name.
    pub account: AccountId,
    /// What it trades: its snapshots, reports and balances are of this market only.
    pub market: Market,
    /// The key that signs: the account's own, or an agent's.
    pub private_key: Secret,
    /// The account whose agent the key is; the key's own when absent.
    pub address: Option<Address>,
    /// The sub-account or vault that is traded with the key.
    pub vault_address: Option<Address>,
}

/// Why the venue or an account cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A field does not fit.
    #[error("{venue}: {field} is {got}, but must be {fits}")]
    Field {
        /// The venue.
        venue: VenueId,
        /// The field.
        field: &'static str,
        /// What was given.
        got: String,
        /// What fits.
        fits: &'static str,
    },
    /// The key is none.
    #[error("account {account}: {source}")]
    Key {
        /// The account.
        account: AccountId,
        /// Why.
        source: KeyError,
    },
    /// The venue tells one IP address of ten users only.
    #[error("account {account}: hyperliquid streams at most {most} users to one IP address; run another process behind another address")]
    TooManyUsers {
        /// The account.
        account: AccountId,
        /// How many.
        most: usize,
    },
    /// The network client cannot be made.
    #[error("{venue}: {reason}")]
    Network {
        /// The venue.
        venue: VenueId,
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_the_environments_unless_given() {
        let mut config = Config::new(Environment::Mainnet);
        assert_eq!((config.rest(), config.ws()), ("https://api.hyperliquid.xyz", "wss://api.hyperliquid.xyz/ws"));
        assert!(config.check().is_ok());
        config.rest_url = Some("http://127.0.0.1:1".into());
        assert!(config.check().unwrap_err().to_string().contains("ws_url is absent"));
        config.ws_url = Some("ws://127.0.0.1:1/ws".into());
        assert!(config.check().is_ok());
        assert_eq!(config.rest(), "http://127.0.0.1:1");
        assert_eq!(config.environment.source(), "a", "the host does not decide what is signed");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let check = |change: fn(&mut Config), words: &str| {
            let mut config = Config::new(Environment::Testnet);
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        check(|c| c.order_lifetime = Duration::from_secs(61), "order_lifetime is 61s, but must be 5s to 1m");
        check(|c| c.request_timeout = Duration::ZERO, "request_timeout");
        check(|c| c.weight_per_minute = 1201, "200 to 1200");
        check(|c| c.cross_check_every = Duration::ZERO, "cross_check_every");
    }

    #[test]
    fn a_config_is_plain_text() {
        let config: Config = serde_json::from_str(r#"{"environment":"testnet","order_lifetime":"20s"}"#).unwrap();
        assert_eq!(config, Config { order_lifetime: Duration::from_secs(20), ..Config::new(Environment::Testnet) });
        assert!(serde_json::from_str::<Config>(r#"{"environment":"testnet","order_lifetme":"20s"}"#).is_err());
    }

    #[test]
    fn a_login_does_not_print_its_key() {
        let login = Login {
            account: "a".parse().unwrap(),
            market: Market::Perp,
            private_key: Secret::new("0123456789abcdef"),
            address: None,
            vault_address: None,
        };
        assert!(!format!("{login:?}").contains("0123456789abcdef"));
    }
}
