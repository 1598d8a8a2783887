//! What this venue consists of: accounts, agents, prices, limits, faults.

use std::collections::BTreeMap;
use std::time::Duration;

use omnivenue_core::model::ids::{Asset, VenueSymbol};
use omnivenue_core::model::number::{Amount, Notional};
use omnivenue_core::model::time::duration_text;
use omnivenue_paper::PriceSource;
use serde::{Deserialize, Serialize};

use super::sign::{Hash, address_of_key, hex, keccak};
use crate::faults::FaultPlan;

/// Hyperliquid on the testnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HyperliquidConfig {
    /// The port on 127.0.0.1; 0 lets the system choose.
    pub port: u16,
    /// Who trades here.
    pub accounts: Vec<AccountConfig>,
    /// For which networks actions may be signed. The venue's Python SDK signs for `testnet` at any address but the mainnet's, ccxt for
    /// `mainnet` unless its sandbox mode is on.
    pub sources: Vec<Source>,
    /// Prices other than the built-in walks, by the venue's coin: `HYPE`, `@107`.
    pub prices: BTreeMap<VenueSymbol, PriceSource>,
    /// The most that one order trades at one price, in USDC; unlimited when absent.
    pub depth: Option<Notional>,
    /// How long before the start the prices begin, for candles.
    #[serde(with = "duration_text")]
    pub history: Duration,
    /// How much a client may ask.
    pub limits: Limits,
    /// What goes wrong.
    pub faults: FaultPlan,
}

/// The network that a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Signed with source `a`.
    Mainnet,
    /// Signed with source `b`.
    Testnet,
}

impl Source {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Mainnet => "a",
            Self::Testnet => "b",
        }
    }
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountConfig {
    /// What people call it.
    pub name: String,
    /// `0x` and 40 hexadecimals.
    pub address: String,
    /// A published test key of this address, only to be printed: the venue never needs it. Never a key that holds anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_key: Option<String>,
    /// USDC on the perpetuals' side.
    pub perp: Amount,
    /// Holdings on the spot side.
    pub spot: BTreeMap<Asset, Amount>,
    /// Keys that may trade for it.
    pub agents: Vec<AgentConfig>,
    /// Sub-accounts, traded through `vaultAddress`.
    pub sub_accounts: Vec<SubAccountConfig>,
    /// Vaults that it leads, traded through `vaultAddress`.
    pub vaults: Vec<SubAccountConfig>,
}

/// A key that may trade for an account, its sub-accounts and its vaults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentConfig {
    /// Its name; absent for the one agent without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `0x` and 40 hexadecimals.
    pub address: String,
    /// As in [`AccountConfig::test_key`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_key: Option<String>,
    /// Until when, in milliseconds since 1970 by the venue's clock; 90 days when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<u64>,
}

/// A sub-account or a vault.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubAccountConfig {
    /// What people call it.
    pub name: String,
    /// `0x` and 40 hexadecimals.
    pub address: String,
    /// USDC on the perpetuals' side.
    pub perp: Amount,
    /// Holdings on the spot side.
    pub spot: BTreeMap<Asset, Amount>,
}

/// How much a client may ask. The defaults are the venue's, as its documentation states them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Weight of requests per minute and IP address.
    pub ip_weight: u64,
    /// Actions of an address before it has traded anything; one more for each USDC traded.
    pub address_actions: u64,
    /// Orders that rest or wait, per account.
    pub open_orders: usize,
    /// USDC traded before `scheduleCancel` is allowed.
    pub schedule_cancel_volume: u64,
    /// Stream connections per IP address.
    pub connections: usize,
    /// Subscriptions per IP address.
    pub subscriptions: usize,
    /// Different users in subscriptions per IP address.
    pub users: usize,
    /// Messages from clients per minute and IP address.
    pub messages: u64,
    /// Requests in flight per stream connection.
    pub posts: usize,
    /// A connection that was sent nothing for this long is closed.
    #[serde(with = "duration_text")]
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ip_weight: 1200,
            address_actions: 10_000,
            open_orders: 1000,
            schedule_cancel_volume: 1_000_000,
            connections: 100,
            subscriptions: 1000,
            users: 10,
            messages: 2000,
            posts: 100,
            idle: Duration::from_secs(60),
        }
    }
}

impl Default for HyperliquidConfig {
    /// No accounts, walking prices, the venue's limits, no faults.
    fn default() -> Self {
        Self {
            port: 0,
            accounts: Vec::new(),
            sources: vec![Source::Mainnet, Source::Testnet],
            prices: BTreeMap::new(),
            depth: None,
            history: Duration::from_secs(86_400),
            limits: Limits::default(),
            faults: FaultPlan::default(),
        }
    }
}

/// A private key that anyone can compute: the hash of a sentence.
fn published_key(sentence: &str) -> Hash {
    keccak(sentence.as_bytes())
}

fn published_account(name: &str) -> AccountConfig {
    let key = published_key(&format!("omnivenue testnet: account {name}"));
    let agent = published_key(&format!("omnivenue testnet: agent of {name}"));
    let address = |key: &Hash| address_of_key(key).map(|address| address.to_string()).unwrap_or_default();
    let amount = |text: &str| text.parse::<Amount>().expect("a constant amount");
    let asset = |text: &str| text.parse::<Asset>().expect("a constant asset");
    AccountConfig {
        name: name.into(),
        address: address(&key),
        test_key: Some(hex(&key)),
        perp: amount("10000"),
        spot: BTreeMap::from([(asset("USDC"), amount("10000")), (asset("HYPE"), amount("100"))]),
        agents: vec![AgentConfig { name: Some("bot".into()), address: address(&agent), test_key: Some(hex(&agent)), valid_until: None }],
        sub_accounts: vec![SubAccountConfig {
            name: "sub".into(),
            address: address(&published_key(&format!("omnivenue testnet: sub-account of {name}"))),
            perp: amount("1000"),
            spot: BTreeMap::from([(asset("USDC"), amount("1000"))]),
        }],
        vaults: Vec::new(),
    }
}

impl HyperliquidConfig {
    /// Two accounts, `main` and `other`, each with 10000 USDC on both sides, an agent and a sub-account. Their private keys are hashes of
    /// published sentences: anyone has them, so never send anything to these addresses elsewhere.
    #[must_use]
    pub fn built_in() -> Self {
        Self { accounts: vec![published_account("main"), published_account("other")], ..Self::default() }
    }
}
