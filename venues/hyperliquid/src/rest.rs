//! One function per endpoint, its request weight beside it. All requests are POSTs to `/info` or `/exchange`.
//!
//! Weights: "Rate limits", read 2026-11. The venue sends no headers that tell what is left, so every request takes its weight from our own
//! count first; what a list adds for its length is counted when it has arrived.

use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::model::ids::VenueId;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Effect, ErrorKind, Operation, VenueError};
use omnivenue_kit::clock::{Sample, VenueClock, wall};
use omnivenue_kit::http::{HttpConfig, HttpError, ReadClient, Reply, Request, RetryConfig, WriteClient};
use omnivenue_kit::permits::{Budget, PermitError, Permits, Use};
use omnivenue_kit::sign::Address;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::action::OrderRef;
use crate::config::Config;
use crate::errors::{self, Scope};
use crate::sign::{Terms, WireSignature};
use crate::wire;

/// What only exits may spend of a minute's weight.
const RESERVED: u32 = 200;
/// How long a question may take before it is asked again or given up.
const READ_TIMEOUT: Duration = Duration::from_secs(4);
/// How often a question is asked whose answer did not come.
const READ_ATTEMPTS: u32 = 2;
/// The pause between them.
const READ_PAUSE: Duration = Duration::from_millis(150);
/// How long everything pauses after a 429 that names no time.
const RATE_PAUSE: Duration = Duration::from_secs(10);
/// The most entries that the venue gives of fills and of past orders.
pub const LIST_MAX: usize = 2000;

/// Speaks to the venue's two endpoints, within its rate limits.
#[derive(Debug)]
pub struct Client {
    venue: VenueId,
    info_url: String,
    exchange_url: String,
    reads: ReadClient,
    writes: WriteClient,
    permits: Arc<Permits>,
    clock: VenueClock,
}

/// What a question is for: which operation it is part of, and which part of the rate budget it may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purpose {
    /// Named in errors.
    pub operation: Operation,
    /// Counted as.
    pub usage: Use,
}

/// How long a probe or a snapshot waits for each permit.
const PERMIT_PATIENCE: Duration = Duration::from_millis(500);

impl Purpose {
    /// An ordinary question.
    #[must_use]
    pub const fn read(operation: Operation) -> Self {
        Self { operation, usage: Use::Read }
    }

    /// How long its requests wait for a permit. What the engine asks again and again must not queue up behind itself: asked a second time
    /// while the first still waits, it would spend the budget without ever being answered.
    const fn patience(self) -> Option<Duration> {
        match self.operation {
            Operation::Probe | Operation::Snapshot => Some(PERMIT_PATIENCE),
            _ => None,
        }
    }

    /// A question that must not wait behind others.
    #[must_use]
    pub const fn urgent(operation: Operation) -> Self {
        Self { operation, usage: Use::Exit }
    }
}

/// The weight of an action with so many items ([`Action::count`](crate::action::Action::count)): one, and one more for every 40 of them.
#[must_use]
pub fn weight_of(items: usize) -> u32 {
    1 + u32::try_from(items / 40).unwrap_or(u32::MAX - 1)
}

/// The body of a request to `/exchange`.
#[must_use]
pub fn envelope(action_json: &str, signature: &WireSignature, terms: &Terms) -> String {
    let signature = serde_json::to_string(signature).expect("a signature has only string keys");
    let vault = terms.vault_address.map_or("null".to_owned(), |vault| format!("\"{vault}\""));
    let expires_after = terms.expires_after.map_or("null".to_owned(), |at| at.to_string());
    format!(
        r#"{{"action":{action_json},"nonce":{},"signature":{signature},"vaultAddress":{vault},"expiresAfter":{expires_after}}}"#,
        terms.nonce
    )
}

impl Client {
    /// Makes the client; nothing is sent.
    ///
    /// # Errors
    /// [`HttpError`] when the configuration cannot be used.
    pub fn new(config: &Config) -> Result<Self, HttpError> {
        let base = config.rest().trim_end_matches('/');
        let writing = HttpConfig { timeout: config.request_timeout, ..HttpConfig::default() };
        let reading = HttpConfig { timeout: config.request_timeout.min(READ_TIMEOUT), ..HttpConfig::default() };
        // Every attempt takes its own permit, so the client below asks once.
        let once = RetryConfig { attempts: 1, ..RetryConfig::default() };
        let budget = Budget {
            capacity: config.weight_per_minute,
            window: Duration::from_secs(60),
            reserved: RESERVED.min(config.weight_per_minute / 4),
        };
        Ok(Self {
            venue: config.id.clone(),
            info_url: format!("{base}/info"),
            exchange_url: format!("{base}/exchange"),
            reads: ReadClient::with_retry(&reading, once)?,
            writes: WriteClient::new(&writing)?,
            permits: Arc::new(Permits::new(budget)),
            clock: VenueClock::new(),
        })
    }

    /// The venue's clock, as learnt from its answers.
    #[must_use]
    pub fn clock(&self) -> &VenueClock {
        &self.clock
    }

    /// The venue's time now, as far as is known.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now(wall())
    }

    /// The permits of this address.
    #[must_use]
    pub fn permits(&self) -> &Permits {
        &self.permits
    }

    /// Waits for permission to spend a weight.
    ///
    /// # Errors
    /// [`ErrorKind::RateLimited`], not sent, when it can never be given.
    pub async fn permit(&self, weight: u32, purpose: Purpose) -> Result<(), VenueError> {
        let refused = |error: PermitError| {
            VenueError::new(&self.venue, purpose.operation, ErrorKind::RateLimited, Effect::NotSent, error.to_string())
        };
        let Some(patience) = purpose.patience() else {
            return self.permits.take(weight, purpose.usage).await.map_err(refused);
        };
        match tokio::time::timeout(patience, self.permits.take(weight, purpose.usage)).await {
            Ok(taken) => taken.map_err(refused),
            Err(_) => {
                let words = "the budget of requests is used up for now";
                Err(VenueError::new(&self.venue, purpose.operation, ErrorKind::RateLimited, Effect::NotSent, words))
            }
        }
    }

    async fn info<T: DeserializeOwned>(&self, weight: u32, body: &Value, purpose: Purpose) -> Result<T, VenueError> {
        let body = body.to_string();
        let mut attempt = 0;
        loop {
            attempt += 1;
            self.permit(weight, purpose).await?;
            match self.reads.send(Request::post_json(&self.info_url, body.clone())).await {
                Err(_) | Ok(Reply { status: 502..=504, .. }) if attempt < READ_ATTEMPTS => tokio::time::sleep(READ_PAUSE).await,
                Err(error) => return Err(self.unanswered(error, purpose.operation)),
                Ok(reply) if reply.is_success() => return self.readable(&reply.body, purpose.operation),
                Ok(reply) => return Err(self.refused(&reply, purpose.operation)),
            }
        }
    }

    fn readable<T: DeserializeOwned>(&self, body: &[u8], operation: Operation) -> Result<T, VenueError> {
        serde_json::from_slice(body).map_err(|error| {
            let mut unreadable = VenueError::new(
                &self.venue,
                operation,
                ErrorKind::Unreadable,
                Effect::Unknown,
                format!("the answer cannot be read: {error}"),
            );
            unreadable.source = Some(error.into());
            unreadable
        })
    }

    fn unanswered(&self, error: HttpError, operation: Operation) -> VenueError {
        let mut failed = VenueError::new(&self.venue, operation, error.kind, error.effect, error.message.clone());
        failed.source = Some(error.into());
        failed
    }

    /// An answer of HTTP instead of the venue's JSON. After a 429 everyone waits.
    fn refused(&self, reply: &Reply, operation: Operation) -> VenueError {
        let meaning = errors::http_meaning(reply.status, reply.retry_after);
        if reply.status == 429 {
            self.permits.pause_for(reply.retry_after.unwrap_or(RATE_PAUSE));
        }
        let words = String::from_utf8_lossy(&reply.body);
        let words: String = words.chars().filter(|c| !c.is_control()).take(2000).collect();
        errors::error(&self.venue, operation, meaning, &format!("HTTP {}: {words}", reply.status))
    }

    /// Counts what a list adds to its request for its length.
    fn count_items(&self, items: usize, per: usize) {
        // Already spent at the venue: where there is no room for it now, the next requests are counted a little too low.
        let extra = u32::try_from(items / per).unwrap_or(u32::MAX);
        if extra > 0 && !self.permits.try_take(extra, Use::Read) {
            tracing::debug!(venue = %self.venue, extra, "the weight of a long answer found no room in the count");
        }
    }

    /// The perpetuals. Weight 20.
    ///
    /// # Errors
    /// Those of any question: [`ErrorKind::Connection`], [`ErrorKind::Timeout`], [`ErrorKind::RateLimited`], [`ErrorKind::Unavailable`],
    /// [`ErrorKind::Unreadable`].
    pub async fn meta(&self, purpose: Purpose) -> Result<wire::Meta, VenueError> {
        self.info(20, &json!({"type": "meta"}), purpose).await
    }

    /// The spot pairs and tokens. Weight 20.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn spot_meta(&self, purpose: Purpose) -> Result<wire::SpotMeta, VenueError> {
        self.info(20, &json!({"type": "spotMeta"}), purpose).await
    }

    /// The perpetuals with their mark, oracle and impact prices and funding. Weight 20.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn meta_and_contexts(&self, purpose: Purpose) -> Result<(wire::Meta, Vec<wire::AssetContext>), VenueError> {
        self.info(20, &json!({"type": "metaAndAssetCtxs"}), purpose).await
    }

    /// The middle of every book, perpetuals and spot. Weight 2.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn all_mids(&self, purpose: Purpose) -> Result<wire::AllMids, VenueError> {
        self.info(2, &json!({"type": "allMids"}), purpose).await
    }

    /// The book of a coin, 20 levels a side. Weight 2.
    ///
    /// # Errors
    /// Those of any question; an unknown coin is [`ErrorKind::Unreadable`] or [`ErrorKind::Unavailable`].
    pub async fn book(&self, coin: &str, purpose: Purpose) -> Result<wire::Book, VenueError> {
        self.info(2, &json!({"type": "l2Book", "coin": coin}), purpose).await
    }

    /// Candles that begin between two instants; `interval` is `1m` to `1M`. Weight 20 and one per 60 candles.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn candles(
        &self,
        coin: &str,
        interval: &str,
        from: Timestamp,
        until: Timestamp,
        purpose: Purpose,
    ) -> Result<Vec<wire::Candle>, VenueError> {
        let span = json!({"coin": coin, "interval": interval, "startTime": from.as_millis(), "endTime": until.as_millis()});
        let candles: Vec<wire::Candle> = self.info(20, &json!({"type": "candleSnapshot", "req": span}), purpose).await?;
        self.count_items(candles.len(), 60);
        Ok(candles)
    }

    /// Hourly funding rates since an instant. Weight 20.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn funding(&self, coin: &str, from: Timestamp, purpose: Purpose) -> Result<Vec<wire::FundingRate>, VenueError> {
        self.info(20, &json!({"type": "fundingHistory", "coin": coin, "startTime": from.as_millis()}), purpose).await
    }

    /// The venue's own time; teaches our clock. Weight 2.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn time(&self, purpose: Purpose) -> Result<Timestamp, VenueError> {
        let sent = wall();
        let status: wire::ExchangeStatus = self.info(2, &json!({"type": "exchangeStatus"}), purpose).await?;
        let venue = Timestamp::from_millis(status.time);
        self.clock.learn(Sample { sent, venue, received: wall() });
        Ok(venue)
    }

    /// Margin and positions. Weight 2.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn clearinghouse(&self, user: Address, purpose: Purpose) -> Result<wire::ClearinghouseState, VenueError> {
        self.info(2, &json!({"type": "clearinghouseState", "user": user}), purpose).await
    }

    /// Tokens held. Weight 2.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn spot_balances(&self, user: Address, purpose: Purpose) -> Result<wire::SpotState, VenueError> {
        self.info(2, &json!({"type": "spotClearinghouseState", "user": user}), purpose).await
    }

    /// The leverage of a coin on an account, traded or not. Weight 20.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn active_asset(&self, user: Address, coin: &str, purpose: Purpose) -> Result<wire::ActiveAssetData, VenueError> {
        self.info(20, &json!({"type": "activeAssetData", "user": user, "coin": coin}), purpose).await
    }

    /// An order by our name or the venue's number. `UnknownOid` is no proof of absence. Weight 2.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn order_status(&self, user: Address, order: &OrderRef, purpose: Purpose) -> Result<wire::OrderStatus, VenueError> {
        self.info(2, &json!({"type": "orderStatus", "user": user, "oid": order}), purpose).await
    }

    /// Every order that rests or waits for its trigger, those that wait for their entry among them. Weight 20.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn open_orders(&self, user: Address, purpose: Purpose) -> Result<Vec<wire::Order>, VenueError> {
        let open: Vec<wire::Order> = self.info(20, &json!({"type": "frontendOpenOrders", "user": user}), purpose).await?;
        Ok(open.into_iter().flat_map(wire::Order::with_children).collect())
    }

    /// Past orders, refused ones included; the latest 2000. Weight 20 and one per 20 orders.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn historical_orders(&self, user: Address, purpose: Purpose) -> Result<Vec<wire::OrderState>, VenueError> {
        let orders: Vec<wire::OrderState> = self.info(20, &json!({"type": "historicalOrders", "user": user}), purpose).await?;
        self.count_items(orders.len(), 20);
        Ok(orders)
    }

    /// Trades since an instant, until another where one is given; oldest first, at most 2000. Weight 20 and one per 20 trades.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn fills(
        &self,
        user: Address,
        since: Timestamp,
        until: Option<Timestamp>,
        purpose: Purpose,
    ) -> Result<Vec<wire::Fill>, VenueError> {
        let mut body = json!({"type": "userFillsByTime", "user": user, "startTime": since.as_millis().max(0), "aggregateByTime": false});
        if let Some(until) = until {
            body["endTime"] = until.as_millis().into();
        }
        let fills: Vec<wire::Fill> = self.info(20, &body, purpose).await?;
        self.count_items(fills.len(), 20);
        Ok(fills)
    }

    /// How much of its budget of actions an account has used. Weight 20.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn rate_limit(&self, user: Address, purpose: Purpose) -> Result<wire::UserRateLimit, VenueError> {
        self.info(20, &json!({"type": "userRateLimit", "user": user}), purpose).await
    }

    /// What an address is. Weight 60.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn role(&self, user: Address, purpose: Purpose) -> Result<wire::UserRole, VenueError> {
        self.info(60, &json!({"type": "userRole", "user": user}), purpose).await
    }

    /// The keys that may trade for an account. Weight 20.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn agents(&self, user: Address, purpose: Purpose) -> Result<Vec<wire::ExtraAgent>, VenueError> {
        self.info(20, &json!({"type": "extraAgents", "user": user}), purpose).await
    }

    /// Whether spot and perpetuals share their collateral: `default`, `disabled`, `unifiedAccount`, … Weight 20.
    ///
    /// # Errors
    /// Those of any question.
    pub async fn abstraction(&self, user: Address, purpose: Purpose) -> Result<String, VenueError> {
        self.info(20, &json!({"type": "userAbstraction", "user": user}), purpose).await
    }

    /// Sends a signed action once, and reads one outcome per item. Weight [`weight_of`]; the caller has taken the permit.
    ///
    /// An error for the request as a whole is the error of every item. `None` where the venue answers without items (`default`).
    ///
    /// # Errors
    /// The venue's refusal by [`errors::meaning`]; [`Effect::NotSent`] where no connection was made, [`Effect::Unknown`] after that.
    pub async fn exchange(&self, body: String, operation: Operation) -> Result<Option<Vec<wire::ItemStatus>>, VenueError> {
        let reply = self.writes.send(Request::post_json(&self.exchange_url, body)).await;
        let reply = reply.map_err(|error| self.unanswered(error, operation))?;
        if !reply.is_success() {
            return Err(self.refused(&reply, operation));
        }
        match self.readable(&reply.body, operation)? {
            wire::ExchangeAnswer::Ok(wire::ExchangeResponse { data: None }) => Ok(None),
            wire::ExchangeAnswer::Ok(wire::ExchangeResponse { data: Some(data) }) => {
                Ok(data.statuses.or_else(|| data.status.map(|status| vec![status])))
            }
            wire::ExchangeAnswer::Err(words) => Err(self.said(&words, Scope::Request, operation)),
        }
    }

    /// The venue's words as an error.
    #[must_use]
    pub fn said(&self, words: &str, scope: Scope, operation: Operation) -> VenueError {
        errors::error(&self.venue, operation, errors::meaning(words, scope), words)
    }

    /// An error of ours.
    pub(crate) fn error(&self, operation: Operation, kind: ErrorKind, effect: Effect, message: impl Into<String>) -> VenueError {
        VenueError::new(&self.venue, operation, kind, effect, message)
    }

    /// An answer that does not say what it should.
    pub(crate) fn unreadable(&self, operation: Operation, why: impl std::fmt::Display) -> VenueError {
        self.error(operation, ErrorKind::Unreadable, Effect::Unknown, why.to_string())
    }
}
