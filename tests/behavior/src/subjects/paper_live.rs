//! Paper trading on the live prices of a real venue: the simulated exchange on those of Hyperliquid, which moves them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use omnivenue_core::model::ids::{AccountId, VenueSymbol};
use omnivenue_core::model::number::Price;
use omnivenue_core::venue::{Account, Venue};
use omnivenue_paper::{Config, PaperExchange};
use omnivenue_testnet::Testnet;
use serde_json::json;

use super::hyperliquid;
use super::paper::{PaperWorld, calm};
use crate::stage::PATIENCE;
use crate::subject::{Fault, Subject, Truth, World};

/// The simulated exchange with Hyperliquid's perpetuals at Hyperliquid's prices.
#[derive(Debug, Clone, Copy)]
pub struct PaperOnHyperliquid;

#[async_trait]
impl Subject for PaperOnHyperliquid {
    fn name(&self) -> String {
        "paper on hyperliquid".into()
    }

    async fn open(&self) -> Result<Box<dyn World>, String> {
        let (testnet, _) = hyperliquid::start()?;
        let instruments = hyperliquid::watched(&testnet)?.instruments().await.map_err(|error| error.to_string())?;
        let feed = hyperliquid::watched(&testnet)?;
        feed.instruments().await.map_err(|error| error.to_string())?;
        let (config, _other_market) = Config::live(feed.id(), feed.capabilities(), &instruments);
        // Hyperliquid tells the middle of what is not watched.
        let config = Config { spread: "0.001".parse().map_err(|_| "a constant")?, ..calm(config) };
        let exchange = PaperExchange::open_on(config, None, feed).map_err(|error| error.to_string())?;
        let world = LiveWorld { paper: PaperWorld::new(exchange)?, testnet };
        world.wait_for_prices().await?;
        Ok(Box::new(world))
    }
}

struct LiveWorld {
    // Dropped first: it stops following before there is nothing to follow.
    paper: PaperWorld,
    testnet: Testnet,
}

impl LiveWorld {
    async fn wait_for_prices(&self) -> Result<(), String> {
        let quoted = async {
            while !self.venue().quotes().await.is_ok_and(|quotes| quotes.iter().any(|quote| quote.symbol == *self.symbol())) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(2 * PATIENCE, quoted).await.map_err(|_| format!("a price of {}", self.symbol()))
    }
}

#[async_trait]
impl World for LiveWorld {
    fn venue(&self) -> &Arc<dyn Venue> {
        self.paper.venue()
    }

    fn accounts(&self) -> &[Arc<dyn Account>] {
        self.paper.accounts()
    }

    async fn restarted(&self) -> Result<Arc<dyn Account>, String> {
        self.paper.restarted().await
    }

    fn stranger(&self) -> &Arc<dyn Account> {
        self.paper.stranger()
    }

    fn symbol(&self) -> &VenueSymbol {
        self.paper.symbol()
    }

    async fn set_price(&self, price: Price) -> Result<(), String> {
        self.testnet.control("/prices", &json!({ "symbol": self.symbol().as_str(), "price": price.to_string() })).map(|_| ())
    }

    async fn strike(&self, fault: Fault) -> Result<(), String> {
        self.paper.strike(fault).await
    }

    async fn cut_streams(&self) -> Result<(), String> {
        self.paper.cut_streams().await
    }

    async fn die(&self) {
        self.paper.die().await;
    }

    async fn truth(&self, account: &AccountId) -> Result<Truth, String> {
        self.paper.truth(account).await
    }

    fn lateness(&self) -> Duration {
        self.paper.lateness()
    }

    fn money_decimals(&self) -> Option<u32> {
        self.paper.money_decimals()
    }

    fn secrets(&self) -> Vec<String> {
        self.paper.secrets()
    }
}
