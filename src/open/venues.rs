//! The venues of a configuration: simulated exchanges, and the venues themselves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::model::ids::VenueId;
use omnivenue_core::venue::{Account, Venue};
use omnivenue_paper::{PaperError, PaperExchange};

use super::OpenError;
use super::paper::{live, paper};
use crate::config::{AccountConfig, Adapter, Config};

/// How long to wait for the file of a simulated exchange that another process is giving up, and how often to look.
const EXCHANGE_WAIT: Duration = Duration::from_secs(5);
const EXCHANGE_PAUSE: Duration = Duration::from_millis(20);

/// What the accounts of a configuration trade on.
pub(super) struct Venues {
    pub(super) exchanges: Vec<PaperExchange>,
    pub(super) venues: Vec<Arc<dyn Venue>>,
    pub(super) accounts: Vec<Arc<dyn Account>>,
}

/// A venue itself, and the accounts at it.
pub(super) struct Real {
    pub(super) venue: Arc<dyn Venue>,
    pub(super) accounts: Vec<Arc<dyn Account>>,
}

/// Opens every venue, each once for all accounts at it. Nothing is asked of a venue yet, except where a simulated exchange takes its
/// instruments from one.
pub(super) async fn open(config: &Config) -> Result<Venues, OpenError> {
    let mut opened = Venues { exchanges: Vec::new(), venues: Vec::new(), accounts: Vec::new() };
    let ids: BTreeSet<&VenueId> = config.accounts.iter().map(|account| &account.venue).collect();
    for venue in ids {
        let members: Vec<&AccountConfig> = config.accounts.iter().filter(|account| account.venue == *venue).collect();
        let given = members.first().and_then(|account| account.paper.as_ref());
        let Some(given) = given else {
            let real = real(venue, &members)?;
            opened.venues.push(real.venue);
            opened.accounts.extend(real.accounts);
            continue;
        };
        let wrong = |reason: String| OpenError::Exchange { venue: venue.clone(), reason };
        let path = config.exchange_path(venue);
        let exchange = if given.prices.live {
            let feed = self::feed(venue, &members)?;
            let paper = live(&members, &feed).await.map_err(wrong)?;
            patiently(|| PaperExchange::open_on(paper.clone(), Some(path.clone()), Arc::clone(&feed)))
        } else {
            let paper = paper(venue, &members).map_err(wrong)?;
            patiently(|| PaperExchange::open(paper.clone(), Some(path.clone())))
        };
        let exchange = exchange.map_err(|error| wrong(error.to_string()))?;
        opened.venues.push(exchange.venue());
        opened.accounts.extend(members.iter().map(|account| exchange.account(&account.id)));
        opened.exchanges.push(exchange);
    }
    Ok(opened)
}

/// The journal is ours by now: whoever still has the exchange's file had the journal before us and is on its way out.
fn patiently(mut open: impl FnMut() -> Result<PaperExchange, PaperError>) -> Result<PaperExchange, PaperError> {
    let mut waited = Duration::ZERO;
    loop {
        match open() {
            Err(PaperError::Store(omnivenue_paper::StoreError::InUse { .. })) if waited < EXCHANGE_WAIT => {
                std::thread::sleep(EXCHANGE_PAUSE);
                waited += EXCHANGE_PAUSE;
            }
            opened => return opened,
        }
    }
}

/// Reaches a venue itself.
pub(super) fn real(venue: &VenueId, members: &[&AccountConfig]) -> Result<Real, OpenError> {
    match Adapter::of(venue) {
        #[cfg(feature = "hyperliquid")]
        Some(Adapter::Hyperliquid) => super::hyperliquid::open(venue, members),
        _ => Err(no_adapter(venue, members)),
    }
}

/// A venue for its prices alone.
fn feed(venue: &VenueId, members: &[&AccountConfig]) -> Result<Arc<dyn Venue>, OpenError> {
    match Adapter::of(venue) {
        #[cfg(feature = "hyperliquid")]
        Some(Adapter::Hyperliquid) => super::hyperliquid::prices(venue, members),
        _ => Err(no_adapter(venue, members)),
    }
}

fn no_adapter(venue: &VenueId, _members: &[&AccountConfig]) -> OpenError {
    OpenError::Venue { venue: venue.clone(), reason: "this build was made without it".into() }
}
