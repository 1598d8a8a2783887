//! Everything the venue knows. Each call is told the system's time; the venue's own is that and its skew.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use omnivenue_core::model::time::Timestamp;
use omnivenue_paper::PriceSource;
use rust_decimal::Decimal;
use serde_json::Value;

use super::accounts::Accounts;
use super::config::HyperliquidConfig;
use super::limits::Window;
use super::market::Market;
use super::nonces::Nonces;
use super::orders::Orders;
use super::settle::Fill;
use super::sign::Address;
use super::streams::Streams;
use crate::error::TestnetError;

/// What is held of a coin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Holding {
    /// Positive is long.
    pub(crate) size: Decimal,
    /// What the open size cost, with its sign.
    pub(crate) cost: Decimal,
}

/// A request that was refused.
#[derive(Debug, Clone)]
pub(crate) struct RefusedRequest {
    pub(crate) at: u64,
    pub(crate) kind: String,
    pub(crate) account: Option<Address>,
    pub(crate) signer: Option<Address>,
    pub(crate) nonce: Option<u64>,
    pub(crate) reason: String,
}

/// How many refused requests are remembered.
const REFUSED_MAX: usize = 10_000;

/// The venue.
#[derive(Debug)]
pub(crate) struct Hyperliquid {
    pub(crate) config: HyperliquidConfig,
    pub(crate) system: Timestamp,
    pub(crate) skew_ms: i64,
    pub(crate) market: Market,
    pub(crate) accounts: Accounts,
    pub(crate) nonces: Nonces,
    pub(crate) weights: Window,
    pub(crate) messages: Window,
    pub(crate) orders: Orders,
    pub(crate) fills: BTreeMap<Address, Vec<Fill>>,
    pub(crate) last_tid: u64,
    pub(crate) holdings: BTreeMap<(Address, u32), Holding>,
    pub(crate) transfers: Vec<Value>,
    pub(crate) streams: Streams,
    pub(crate) requests: BTreeMap<String, u64>,
    pub(crate) refused: VecDeque<RefusedRequest>,
    pub(crate) refused_count: u64,
    /// How often each order was denied.
    pub(crate) denied: BTreeMap<u64, u32>,
    /// Whether the request being done has its triggers refused, by a fault.
    pub(crate) refuse_triggers: bool,
}

impl Hyperliquid {
    pub(crate) fn new(config: HyperliquidConfig, now: Timestamp) -> Result<Self, TestnetError> {
        const VENUE: &str = "hyperliquid";
        let wrong = |reason| TestnetError::Config { venue: VENUE, reason };
        config.faults.check().map_err(wrong)?;
        if config.history > Duration::from_secs(31 * 86_400) {
            return Err(wrong("history must be at most 31d".into()));
        }
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(0);
        let (accounts, perps, spot) = Accounts::new(&config, now_ms).map_err(wrong)?;
        let market = Market::new(&config, now, perps, spot).map_err(|source| TestnetError::Exchange { venue: VENUE, source })?;
        if let Some(symbol) = config.prices.keys().find(|symbol| market.coin(symbol.as_str()).is_none()) {
            return Err(wrong(format!("prices names {symbol}, which is not traded here")));
        }
        if config.prices.values().any(|source| matches!(source, PriceSource::Live { .. })) {
            return Err(wrong("prices: live is given, but nothing gives this venue quotes; write walk, candles or fixed".into()));
        }
        let mut venue = Self {
            config,
            system: now,
            skew_ms: 0,
            market,
            accounts,
            nonces: Nonces::default(),
            weights: Window::default(),
            messages: Window::default(),
            orders: Orders::default(),
            fills: BTreeMap::new(),
            last_tid: 700_000_000_000,
            holdings: BTreeMap::new(),
            transfers: Vec::new(),
            streams: Streams::default(),
            requests: BTreeMap::new(),
            refused: VecDeque::new(),
            refused_count: 0,
            denied: BTreeMap::new(),
            refuse_triggers: false,
        };
        venue.hold_deposits();
        Ok(venue)
    }

    /// What accounts start with on the spot side is a holding.
    fn hold_deposits(&mut self) {
        let accounts: Vec<_> = self.accounts.iter().map(|(address, account)| (*address, account.id.clone())).collect();
        for (address, id) in accounts {
            let balances = self.market.balances(self.system, &id, true);
            for coin in self.market.coins.iter().filter(|coin| coin.spot) {
                let size = balances.get(&coin.base).map_or(Decimal::ZERO, |amount| amount.decimal());
                self.holdings.insert((address, coin.asset), Holding { size, cost: Decimal::ZERO });
            }
        }
    }

    /// Takes note of the system's time. It never goes backwards here.
    pub(crate) fn at(&mut self, now: Timestamp) {
        self.system = self.system.max(now);
    }

    /// The venue's time in milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.system.as_millis().saturating_add(self.skew_ms)).unwrap_or(0)
    }

    /// The venue's time as a signed number, for reckoning.
    pub(crate) fn now_signed(&self) -> i64 {
        self.system.as_millis().saturating_add(self.skew_ms)
    }

    /// The size of a position, with its sign.
    pub(crate) fn held(&self, account: Address, asset: u32) -> Holding {
        self.holdings.get(&(account, asset)).copied().unwrap_or_default()
    }

    pub(crate) fn note_refusal(&mut self, refused: RefusedRequest) {
        self.refused_count += 1;
        if self.refused.len() >= REFUSED_MAX {
            self.refused.pop_front();
        }
        self.refused.push_back(refused);
    }

    pub(crate) fn count(&mut self, kind: &str) {
        const KINDS_MAX: usize = 1000;
        if self.requests.len() < KINDS_MAX || self.requests.contains_key(kind) {
            *self.requests.entry(kind.to_owned()).or_default() += 1;
        }
    }
}
