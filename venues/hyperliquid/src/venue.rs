//! The venue: what it trades, what that costs, and who may connect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use omnivenue_core::model::ids::{VenueId, VenueSymbol};
use omnivenue_core::model::instrument::Instrument;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{
    Absence, Account, Capabilities, Effect, ErrorKind, ExitCapabilities, NonceRule, Operation, OrderCapabilities, PositionModel, Quote,
    Resend, Sink, TriggerSource, Venue, VenueError,
};
use omnivenue_kit::nonce::Nonces;
use omnivenue_kit::permits::{Budget, PermitError, Permits, Use};
use omnivenue_kit::sign::Address;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::account::HyperliquidAccount;
use crate::budget::Budgets;
use crate::config::{Config, ConfigError, Login};
use crate::convert::{self, Listing};
use crate::rest::{Client, Purpose};
use crate::{quotes, wire};

/// The users that one IP address may follow. Source: "Rate limits", read 2026-11.
pub const USERS_MAX: usize = 10;
/// The connections we make at most: the stored copies of the documentation differ between 10 and 100.
pub const CONNECTIONS_MAX: usize = 10;
/// New connections: the venue's limit is 30 a minute, by one copy of its documentation. The last ones are for accounts.
const CONNECTS: Budget = Budget { capacity: 25, window: Duration::from_secs(60), reserved: 12 };
/// The coins whose best prices are followed one by one; all others are followed by the middle of their books.
pub const WATCHED_MAX: usize = 100;

/// Hyperliquid, perpetuals and spot.
pub struct Hyperliquid {
    config: Config,
    capabilities: Capabilities,
    client: Client,
    listings: Mutex<Arc<BTreeMap<VenueSymbol, Listing>>>,
    users: Mutex<BTreeSet<Address>>,
    nonces: Mutex<BTreeMap<Address, Arc<Nonces>>>,
    budgets: Budgets,
    connections: Semaphore,
    connects: Permits,
    watched: watch::Sender<BTreeSet<VenueSymbol>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one call of a map: a panic elsewhere leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hyperliquid {
    /// The venue. Nothing is sent before it is asked for something.
    ///
    /// # Errors
    /// [`ConfigError`] names the field, what it got and what fits.
    pub fn new(config: Config) -> Result<Arc<Self>, ConfigError> {
        config.check()?;
        let client = Client::new(&config).map_err(|error| ConfigError::Network { venue: config.id.clone(), reason: error.to_string() })?;
        Ok(Arc::new(Self {
            capabilities: capabilities(),
            client,
            listings: Mutex::default(),
            users: Mutex::default(),
            nonces: Mutex::default(),
            budgets: Budgets::default(),
            connections: Semaphore::new(CONNECTIONS_MAX),
            connects: Permits::new(CONNECTS),
            watched: watch::Sender::new(BTreeSet::new()),
            config,
        }))
    }

    /// An account of this venue, as the engine takes it.
    ///
    /// # Errors
    /// [`ConfigError`]: the key is none, or this would be the eleventh user of this IP address.
    pub fn account(self: &Arc<Self>, login: Login) -> Result<Arc<dyn Account>, ConfigError> {
        Ok(self.trader(login)?)
    }

    /// The same account with all that the venue can do beyond the engine's trait.
    ///
    /// # Errors
    /// As [`Hyperliquid::account`].
    pub fn trader(self: &Arc<Self>, login: Login) -> Result<Arc<HyperliquidAccount>, ConfigError> {
        let account = login.account.clone();
        let trader = HyperliquidAccount::new(Arc::clone(self), login)?;
        let mut users = lock(&self.users);
        users.insert(trader.user());
        if users.len() > USERS_MAX {
            users.remove(&trader.user());
            return Err(ConfigError::TooManyUsers { account, most: USERS_MAX });
        }
        Ok(Arc::new(trader))
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its endpoints.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The one authority for the nonces of a signer.
    pub(crate) fn nonces(&self, signer: Address) -> Arc<Nonces> {
        Arc::clone(lock(&self.nonces).entry(signer).or_default())
    }

    pub(crate) fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// What is known of an instrument; nothing before [`Venue::instruments`] has answered.
    #[must_use]
    pub fn listing(&self, symbol: &VenueSymbol) -> Option<Listing> {
        self.listings().get(symbol).cloned()
    }

    pub(crate) fn listings(&self) -> Arc<BTreeMap<VenueSymbol, Listing>> {
        Arc::clone(&lock(&self.listings))
    }

    /// From now on the best prices of this coin are followed, where there is room.
    pub(crate) fn watch(&self, symbol: &VenueSymbol) {
        self.watched.send_if_modified(|watched| watched.len() < WATCHED_MAX && watched.insert(symbol.clone()));
    }

    pub(crate) fn watched(&self) -> watch::Receiver<BTreeSet<VenueSymbol>> {
        self.watched.subscribe()
    }

    /// Waits until one more connection may be made: a venue that is down is not asked more often than it allows.
    pub(crate) async fn connect(&self, operation: Operation) -> Result<(), VenueError> {
        let usage = if operation == Operation::Stream { Use::Exit } else { Use::Entry };
        let refused = |error: PermitError| self.client.error(operation, ErrorKind::RateLimited, Effect::NotSent, error.to_string());
        self.connects.take(1, usage).await.map_err(refused)
    }

    /// A place for one more connection.
    pub(crate) fn connection(&self, operation: Operation) -> Result<SemaphorePermit<'_>, VenueError> {
        let full = |_| {
            let words = format!("all {CONNECTIONS_MAX} connections to the venue are in use");
            self.client.error(operation, ErrorKind::RateLimited, Effect::NotSent, words)
        };
        self.connections.try_acquire().map_err(full)
    }

    /// The book of an instrument. Weight 2.
    ///
    /// # Errors
    /// Those of [`Client::book`].
    pub async fn book(&self, symbol: &VenueSymbol) -> Result<wire::Book, VenueError> {
        self.client.book(symbol.as_str(), Purpose::read(Operation::Quotes)).await
    }

    /// Candles of an instrument. Weight 20 and one per 60 candles.
    ///
    /// # Errors
    /// Those of [`Client::candles`].
    pub async fn candles(
        &self,
        symbol: &VenueSymbol,
        interval: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<wire::Candle>, VenueError> {
        self.client.candles(symbol.as_str(), interval, from, until, Purpose::read(Operation::Quotes)).await
    }

    /// Past funding rates of a perpetual. Weight 20.
    ///
    /// # Errors
    /// Those of [`Client::funding`].
    pub async fn funding(&self, symbol: &VenueSymbol, from: Timestamp) -> Result<Vec<wire::FundingRate>, VenueError> {
        self.client.funding(symbol.as_str(), from, Purpose::read(Operation::Quotes)).await
    }

    /// Mark, oracle and impact prices and the current funding rate of every perpetual. Weight 20.
    ///
    /// # Errors
    /// Those of [`Client::meta_and_contexts`].
    pub async fn contexts(&self) -> Result<BTreeMap<String, wire::AssetContext>, VenueError> {
        let (meta, contexts) = self.client.meta_and_contexts(Purpose::read(Operation::Quotes)).await?;
        Ok(meta.universe.into_iter().map(|coin| coin.name).zip(contexts).collect())
    }
}

fn capabilities() -> Capabilities {
    Capabilities {
        orders: OrderCapabilities {
            resend: Resend::Idempotent,
            absence: Absence::Burn,
            // On perpetuals; the engine asks it of nothing else.
            reduce_only: true,
            nonce: NonceRule::Milliseconds,
            // Time in force is one of Gtc, Ioc and Alo. Source: "Exchange endpoint", "Place an order"; read 2026-11.
            fill_or_kill: false,
            post_only: true,
        },
        positions: PositionModel::Net,
        // On perpetuals. Source: "Take profit and stop loss orders (TP/SL)": the mark price wakes them; read 2026-11.
        exits: Some(ExitCapabilities { stop: true, take_profit: true, attached: true, source: TriggerSource::Mark }),
    }
}

#[async_trait]
impl Venue for Hyperliquid {
    fn id(&self) -> &VenueId {
        &self.config.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn instruments(&self) -> Result<Vec<Instrument>, VenueError> {
        let purpose = Purpose::read(Operation::Instruments);
        // The venue's time is needed before the first order.
        let (meta, spot, _) = tokio::try_join!(self.client.meta(purpose), self.client.spot_meta(purpose), self.client.time(purpose))?;
        let mut listings = BTreeMap::new();
        for listing in convert::listings(&self.config.id, &meta, &spot) {
            match listing {
                Ok(listing) => drop(listings.insert(listing.instrument.symbol.clone(), listing)),
                Err(error) => tracing::debug!(venue = %self.config.id, %error, "an instrument is left out"),
            }
        }
        let instruments = listings.values().map(|listing| listing.instrument.clone()).collect();
        *lock(&self.listings) = Arc::new(listings);
        Ok(instruments)
    }

    async fn quotes(&self) -> Result<Vec<Quote>, VenueError> {
        let mids = self.client.all_mids(Purpose::read(Operation::Quotes)).await?;
        Ok(quotes::of_mids(&mids, &self.listings(), self.client.now()))
    }

    async fn stream_quotes(&self, sink: Sink<Quote>) -> Result<(), VenueError> {
        quotes::stream(self, sink).await
    }
}
