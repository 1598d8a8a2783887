//! Hyperliquid, through its adapter and the testnet that speaks its protocol on loopback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use omnivenue_core::model::ids::{AccountId, Asset, ClientOrderId, VenueSymbol};
use omnivenue_core::model::instrument::{Market, Side};
use omnivenue_core::model::number::{Amount, Price, SignedQuantity};
use omnivenue_core::model::order::{Fee, FillReport, OrderStatus};
use omnivenue_core::model::secret::Secret;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Account, Venue};
use omnivenue_hyperliquid::{Config, Environment, Hyperliquid, Login};
use omnivenue_paper::PriceSource;
use omnivenue_testnet::{AccountConfig, FaultPlan, HyperliquidConfig, Testnet};
use serde_json::{Value, json};

use crate::subject::{Fault, Subject, TrueOrder, Truth, World};

/// The latest of whatever is late.
const LATE_MAX: Duration = Duration::from_millis(800);
/// A key that the venue does not know.
const STRANGERS_KEY: &str = "0x5151515151515151515151515151515151515151515151515151515151515151";

/// Hyperliquid on one of its markets.
#[derive(Debug, Clone, Copy)]
pub struct HyperliquidSubject {
    market: Market,
}

impl HyperliquidSubject {
    /// Perpetuals.
    #[must_use]
    pub const fn perp() -> Self {
        Self { market: Market::Perp }
    }

    /// Spot.
    #[must_use]
    pub const fn spot() -> Self {
        Self { market: Market::Spot }
    }

    const fn symbol(self) -> &'static str {
        match self.market {
            Market::Perp | Market::Future => "HYPE",
            Market::Spot => "@107",
        }
    }
}

fn constant<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("the constants of this file are valid")
}

/// The venue: `main` with its agent and its sub-account, and a price that stands still.
fn configured() -> HyperliquidConfig {
    let mut config = HyperliquidConfig::built_in();
    for symbol in ["HYPE", "@107"] {
        config.prices.insert(constant(symbol), PriceSource::Fixed { price: constant("38") });
    }
    config.faults = FaultPlan {
        late_commit_max: LATE_MAX,
        reorder_max: LATE_MAX,
        delay_max: LATE_MAX,
        false_not_found_max: 100,
        ..FaultPlan::default()
    };
    config
}

#[async_trait]
impl Subject for HyperliquidSubject {
    fn name(&self) -> String {
        format!("hyperliquid {}", self.market)
    }

    async fn open(&self) -> Result<Box<dyn World>, String> {
        let (testnet, main) = start()?;
        let config = reached(&testnet)?;
        Ok(Box::new(HyperliquidWorld::new(self, testnet, config, &main)?))
    }
}

/// A testnet, and its account `main`.
pub(super) fn start() -> Result<(Testnet, AccountConfig), String> {
    let config = configured();
    let main = config.accounts.first().cloned().ok_or("an account")?;
    let testnet = Testnet::start(omnivenue_testnet::Config { admin_port: 0, hyperliquid: Some(config) });
    Ok((testnet.map_err(|error| error.to_string())?, main))
}

/// How the adapter reaches it.
fn reached(testnet: &Testnet) -> Result<Config, String> {
    let urls = testnet.urls().get("hyperliquid").ok_or("where hyperliquid is")?;
    Ok(Config {
        rest_url: Some(urls.rest.clone()),
        ws_url: Some(urls.stream.clone()),
        order_lifetime: Duration::from_secs(5),
        ..Config::new(Environment::Testnet)
    })
}

/// The venue that a testnet is, for whoever only looks at its prices.
pub(super) fn watched(testnet: &Testnet) -> Result<Arc<dyn Venue>, String> {
    Ok(venue(&reached(testnet)?)? as Arc<dyn Venue>)
}

/// Who trades with which key.
#[derive(Debug, Clone)]
struct Logins {
    market: Market,
    agent: String,
    main: String,
    sub: String,
}

impl Logins {
    fn of(market: Market, main: &AccountConfig) -> Result<Self, String> {
        let agent = main.agents.first().and_then(|agent| agent.test_key.clone()).ok_or("an agent of main with a key")?;
        let sub = main.sub_accounts.first().ok_or("a sub-account of main")?.address.clone();
        Ok(Self { market, agent, main: main.address.clone(), sub })
    }

    fn open(&self, venue: &Arc<Hyperliquid>, name: &str, key: &str, of: [Option<&str>; 2]) -> Result<Arc<dyn Account>, String> {
        let address = |text: Option<&str>| text.map(str::parse).transpose().map_err(|_| format!("an address, but {text:?}"));
        let login = Login {
            account: constant(name),
            market: self.market,
            private_key: Secret::new(key),
            address: address(of[0])?,
            vault_address: address(of[1])?,
        };
        venue.account(login).map_err(|error| error.to_string())
    }

    /// The account itself, by its agent.
    fn main(&self, venue: &Arc<Hyperliquid>) -> Result<Arc<dyn Account>, String> {
        self.open(venue, "main", &self.agent, [Some(&self.main), None])
    }

    /// Its sub-account, by the same agent.
    fn sub(&self, venue: &Arc<Hyperliquid>) -> Result<Arc<dyn Account>, String> {
        self.open(venue, "sub", &self.agent, [Some(&self.main), Some(&self.sub)])
    }

    fn stranger(&self, venue: &Arc<Hyperliquid>) -> Result<Arc<dyn Account>, String> {
        self.open(venue, "stranger", STRANGERS_KEY, [None, None])
    }
}

fn venue(config: &Config) -> Result<Arc<Hyperliquid>, String> {
    Hyperliquid::new(config.clone()).map_err(|error| error.to_string())
}

struct HyperliquidWorld {
    testnet: Mutex<Option<Testnet>>,
    venue: Arc<dyn Venue>,
    accounts: Vec<Arc<dyn Account>>,
    stranger: Arc<dyn Account>,
    addresses: BTreeMap<AccountId, String>,
    deposits: BTreeMap<AccountId, BTreeMap<Asset, Amount>>,
    config: Config,
    logins: Logins,
    symbol: VenueSymbol,
}

impl HyperliquidWorld {
    fn new(subject: &HyperliquidSubject, testnet: Testnet, config: Config, main: &AccountConfig) -> Result<Self, String> {
        let (logins, venue) = (Logins::of(subject.market, main)?, venue(&config)?);
        let mut world = Self {
            testnet: Mutex::new(Some(testnet)),
            accounts: vec![logins.main(&venue)?, logins.sub(&venue)?],
            stranger: logins.stranger(&venue)?,
            venue,
            addresses: BTreeMap::from([(constant("main"), logins.main.clone()), (constant("sub"), logins.sub.clone())]),
            deposits: BTreeMap::new(),
            symbol: constant(subject.symbol()),
            config,
            logins,
        };
        let names: Vec<AccountId> = world.addresses.keys().cloned().collect();
        world.deposits = names.into_iter().map(|name| Ok((name.clone(), world.told(&name)?.balances))).collect::<Result<_, String>>()?;
        Ok(world)
    }

    fn testnet(&self) -> MutexGuard<'_, Option<Testnet>> {
        self.testnet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn control(&self, path: &str, body: &Value) -> Result<(), String> {
        self.testnet().as_ref().ok_or("the venue is gone")?.control(path, body).map(|_| ())
    }

    fn script(&self, fault: &str, kind: &str) -> Result<(), String> {
        self.control("/faults", &json!({ "script": [{ "fault": fault, "kind": kind, "count": 1 }] }))
    }

    /// The venue's books of an account on its market, in the words of the suite.
    fn told(&self, account: &AccountId) -> Result<Truth, String> {
        let truth = self.testnet().as_ref().ok_or("the venue is gone")?.truth();
        let address = self.addresses.get(account).ok_or_else(|| format!("an account {account}"))?;
        let held = &truth["venues"]["hyperliquid"]["accounts"][address.to_lowercase()];
        let side = if self.logins.market == Market::Spot { "spot" } else { "perp" };
        let is_ours = |of: &Value| of.as_str() == Some(self.symbol.as_str());
        let list = |name: &str| held[name].as_array().cloned().unwrap_or_default();
        let fills = list("fills").iter().filter(|fill| is_ours(&fill["coin"])).map(fill).collect::<Result<_, _>>()?;
        let orders = list("orders").iter().filter(|order| is_ours(&order["symbol"])).map(order).collect::<Result<_, _>>()?;
        let balances = held["balances"][side].as_object().ok_or_else(|| format!("balances of {account}, but {held}"))?;
        let balances: BTreeMap<Asset, Amount> =
            balances.iter().map(|(asset, amount)| Ok((read(&json!(asset))?, read(amount)?))).collect::<Result<_, String>>()?;
        Ok(Truth { orders, fills, positions: self.positions(held, &balances)?, deposits: BTreeMap::new(), balances })
    }

    fn positions(&self, held: &Value, balances: &BTreeMap<Asset, Amount>) -> Result<BTreeMap<VenueSymbol, SignedQuantity>, String> {
        if self.logins.market == Market::Spot {
            let amount = balances.get(&constant::<Asset>("HYPE")).copied().unwrap_or_default();
            let holding = SignedQuantity::new(amount.decimal()).map_err(|error| error.to_string())?;
            return Ok(if holding.is_zero() { BTreeMap::new() } else { BTreeMap::from([(self.symbol.clone(), holding)]) });
        }
        let positions = held["positions"].as_object().ok_or("positions")?;
        positions.iter().map(|(coin, position)| Ok((read(&json!(coin))?, read(&position["quantity"])?))).collect()
    }
}

/// A value that the testnet writes as text.
fn read<T: std::str::FromStr>(value: &Value) -> Result<T, String> {
    value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| format!("a value of the testnet, but {value}"))
}

/// Our name of an order, where it has one: the venue spells it with `0x`.
fn name(cloid: &Value) -> Option<ClientOrderId> {
    cloid.as_str()?.strip_prefix("0x")?.parse().ok()
}

fn order(order: &Value) -> Result<TrueOrder, String> {
    let oid = order["oid"].to_string();
    Ok(TrueOrder {
        client_order_id: name(&order["cloid"]).unwrap_or_else(|| constant("nameless")),
        venue_order_id: read(&json!(oid))?,
        price: read(&order["price"])?,
        status: match order["status"].as_str() {
            Some("open" | "triggered") => OrderStatus::Open,
            Some("filled") => OrderStatus::Filled,
            _ => OrderStatus::Canceled,
        },
        filled: read(&order["filled"])?,
    })
}

fn fill(fill: &Value) -> Result<FillReport, String> {
    Ok(FillReport {
        trade_id: read(&json!(fill["tid"].to_string()))?,
        client_order_id: name(&fill["cloid"]),
        venue_order_id: read(&json!(fill["oid"].to_string()))?,
        symbol: read(&fill["coin"])?,
        side: if fill["side"] == "B" { Side::Buy } else { Side::Sell },
        price: read(&fill["px"])?,
        quantity: read(&fill["sz"])?,
        fee: Fee { asset: read(&fill["feeToken"])?, amount: read(&fill["fee"])? },
        at: Timestamp::from_millis(fill["time"].as_i64().unwrap_or_default()),
        cause: None,
    })
}

#[async_trait]
impl World for HyperliquidWorld {
    fn venue(&self) -> &Arc<dyn Venue> {
        &self.venue
    }

    fn accounts(&self) -> &[Arc<dyn Account>] {
        &self.accounts
    }

    async fn restarted(&self) -> Result<Arc<dyn Account>, String> {
        let venue = venue(&self.config)?;
        // As an engine does when it opens.
        venue.instruments().await.map_err(|error| error.to_string())?;
        self.logins.main(&venue)
    }

    fn stranger(&self) -> &Arc<dyn Account> {
        &self.stranger
    }

    fn symbol(&self) -> &VenueSymbol {
        &self.symbol
    }

    async fn set_price(&self, price: Price) -> Result<(), String> {
        self.control("/prices", &json!({ "symbol": self.symbol.as_str(), "price": price.to_string() }))
    }

    async fn strike(&self, fault: Fault) -> Result<(), String> {
        let (fault, kind) = match fault {
            Fault::LostBefore => ("cut_before", "order"),
            Fault::LostAfter => ("cut_after", "order"),
            Fault::ServerFailure => ("error_after", "order"),
            Fault::LateCommit => ("late_commit", "order"),
            Fault::Silence => ("silence", "order"),
            Fault::NotLookedAt => ("rate_limit", "order"),
            Fault::CancelLostAfter => ("cut_after", "cancelByCloid"),
            Fault::FalseNotFound => ("false_not_found", "orderStatus"),
            Fault::Duplicate => ("duplicate", "userFills"),
            Fault::Late => ("reorder", "userFills"),
            Fault::Missing => ("drop", "userFills"),
        };
        self.script(fault, kind)
    }

    async fn cut_streams(&self) -> Result<(), String> {
        self.script("cut_stream", "userFills")
    }

    async fn die(&self) {
        drop(self.testnet().take());
    }

    async fn truth(&self, account: &AccountId) -> Result<Truth, String> {
        let deposits = self.deposits.get(account).cloned().unwrap_or_default();
        Ok(Truth { deposits, ..self.told(account)? })
    }

    fn lateness(&self) -> Duration {
        LATE_MAX
    }

    fn money_decimals(&self) -> Option<u32> {
        // Of perpetuals; holdings on spot are told whole.
        (self.logins.market == Market::Perp).then_some(6)
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.logins.agent.clone(), STRANGERS_KEY.to_owned()]
    }
}
