//! Hyperliquid as a configuration says it is.

use std::sync::Arc;

use omnivenue_core::model::ids::VenueId;
use omnivenue_core::venue::Venue;
use omnivenue_hyperliquid::config::{Config, Environment, Login};
use omnivenue_hyperliquid::{Address, Hyperliquid};

use super::OpenError;
use super::venues::Real;
use crate::config::{AccountConfig, Environment as Where};

/// The venue and the accounts at it. Asks nothing of it.
pub(super) fn open(venue: &VenueId, members: &[&AccountConfig]) -> Result<Real, OpenError> {
    let hyperliquid = connect(venue, members)?;
    let account = |account: &&AccountConfig| {
        let wrong = |reason: String| OpenError::Login { account: account.id.clone(), reason };
        let key = account.credentials.get("private_key").ok_or_else(|| wrong("credentials.private_key is missing".into()))?;
        let address = |text: &Option<String>| text.as_deref().map(str::parse::<Address>).transpose();
        let login = Login {
            account: account.id.clone(),
            market: account.market,
            private_key: key.read().map_err(|error| wrong(format!("credentials.private_key: {error}")))?,
            address: address(&account.address).map_err(|error| wrong(error.to_string()))?,
            vault_address: address(&account.vault_address).map_err(|error| wrong(error.to_string()))?,
        };
        hyperliquid.account(login).map_err(|error| wrong(error.to_string()))
    };
    let accounts = members.iter().map(account).collect::<Result<Vec<_>, _>>()?;
    Ok(Real { venue: hyperliquid, accounts })
}

/// The venue for its prices alone.
pub(super) fn prices(venue: &VenueId, members: &[&AccountConfig]) -> Result<Arc<dyn Venue>, OpenError> {
    Ok(connect(venue, members)?)
}

fn connect(venue: &VenueId, members: &[&AccountConfig]) -> Result<Arc<Hyperliquid>, OpenError> {
    // All members agree on where the venue is: the configuration was checked.
    let first = members.first();
    let testnet = first.is_some_and(|account| account.environment == Where::Testnet);
    let mut config = Config::new(if testnet { Environment::Testnet } else { Environment::Mainnet });
    config.id = venue.clone();
    if let Some(account) = first {
        config.rest_url = account.urls.get("rest").cloned();
        config.ws_url = account.urls.get("stream").cloned();
        config.order_lifetime = account.order_lifetime.unwrap_or(config.order_lifetime);
    }
    Hyperliquid::new(config).map_err(|error| OpenError::Venue { venue: venue.clone(), reason: error.to_string() })
}
