//! What one simulated exchange is: instruments, rules, prices, fees, starting balances and faults, as plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use omnivenue_core::model::ids::{AccountId, Asset, VenueId, VenueSymbol};
use omnivenue_core::model::instrument::{Instrument, InstrumentSpec, Market};
use omnivenue_core::model::number::{Amount, Fraction, Notional, Price, Rate};
use omnivenue_core::model::time::duration_text;
use omnivenue_core::venue::{Capabilities, ExitCapabilities, OrderCapabilities, PositionModel, TriggerSource};
use serde::{Deserialize, Serialize};

use crate::faults::FaultConfig;
use crate::funding::{Funding, RATE_DECIMALS};

/// One simulated exchange. Which position model it has follows from its instruments: perpetuals are net positions, spot is holdings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name.
    pub id: VenueId,
    /// What it trades; each taker fee rate is the instrument's own.
    pub instruments: Vec<InstrumentSpec>,
    /// What its orders can do.
    pub orders: OrderCapabilities,
    /// Which orders can wait for a trigger, which is compared with the mark. They only reduce: where orders cannot be told to
    /// (`orders.reduce_only`), there are none, whatever this says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exits: Option<ExitCapabilities>,
    /// Where the price of each instrument comes from.
    pub prices: BTreeMap<VenueSymbol, PriceSource>,
    /// What each account starts with; a deposit made once, when the account is first seen.
    pub accounts: BTreeMap<AccountId, BTreeMap<Asset, Amount>>,
    /// From bid to ask, as a share of the price. Live prices have a spread of their own, unless their venue tells the middle only.
    #[serde(default)]
    pub spread: Fraction,
    /// How much worse than the quote an order that takes liquidity trades, as a share of the price.
    #[serde(default)]
    pub slippage: Fraction,
    /// The fee rate of an order that rested.
    #[serde(default)]
    pub maker_fee: Rate,
    /// The most that one order can trade at one price, in quote units; unlimited when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<Notional>,
    /// How long requests, answers and stream updates travel.
    #[serde(default)]
    pub latency: Latency,
    /// What goes wrong, and how often.
    #[serde(default)]
    pub faults: FaultConfig,
    /// Funding of perpetuals by schedule; none when absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub funding: BTreeMap<VenueSymbol, Funding>,
}

/// Where the price of an instrument comes from. Time counts from the exchange's epoch, when its file was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PriceSource {
    /// Candles of a file, open → extremes → close; after the last one its close holds.
    Candles {
        /// A CSV file, or a gzip of one when it ends in `.gz`.
        path: PathBuf,
        /// How many times faster than it was recorded.
        #[serde(default = "one")]
        speed: u32,
    },
    /// A seeded walk that always comes back to where it started.
    Walk {
        /// The same seed gives the same prices.
        seed: u64,
        /// Where it starts and returns to.
        start: Price,
        /// The largest change of one step, as a share of `start`; at most 0.01. It never strays further than 64 steps.
        step: Fraction,
        /// From one step to the next.
        #[serde(default = "quarter_second", with = "duration_text")]
        every: Duration,
    },
    /// One price for ever.
    Fixed {
        /// The price.
        price: Price,
    },
    /// The quotes of a real venue, as they are given to the exchange: [`Server::give_quotes`](crate::Server::give_quotes),
    /// [`PaperExchange::follow`](crate::PaperExchange::follow).
    Live {
        /// How long a quote holds, from when it was made, by the exchange's clock: an older one is no price.
        #[serde(default = "ten_seconds", with = "duration_text")]
        holds_for: Duration,
    },
}

const fn one() -> u32 {
    1
}

pub(crate) const fn quarter_second() -> Duration {
    Duration::from_millis(250)
}

pub(crate) const fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

/// How long things travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Latency {
    /// From the client to the exchange.
    #[serde(with = "duration_text")]
    pub request: Duration,
    /// From the exchange to the client: answers and stream updates.
    #[serde(with = "duration_text")]
    pub answer: Duration,
    /// At most this much more in each direction, at random; so things overtake one another.
    #[serde(with = "duration_text")]
    pub jitter: Duration,
}

/// What is wrong with a [`Config`]: names the venue, the field, what it got and what fits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("paper venue {venue}: {reason}")]
pub struct ConfigError {
    /// The venue.
    pub venue: VenueId,
    /// What is wrong.
    pub reason: String,
}

impl Config {
    /// What the venue can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        let spot = self.instruments.iter().any(|spec| spec.market == Market::Spot);
        Capabilities {
            orders: self.orders.clone(),
            positions: if spot { PositionModel::Holdings } else { PositionModel::Net },
            exits: self.exits_offered().cloned(),
        }
    }

    /// Which orders can wait for a trigger here.
    pub(crate) fn exits_offered(&self) -> Option<&ExitCapabilities> {
        self.exits.as_ref().filter(|_| self.orders.reduce_only)
    }

    /// Checks everything that the types alone cannot, and proves that the instruments' numbers can be kept exactly.
    ///
    /// # Errors
    /// [`ConfigError`] names the field, what it got and what fits.
    pub fn check(&self) -> Result<BTreeMap<VenueSymbol, Instrument>, ConfigError> {
        self.check_instruments().map_err(|reason| self.wrong(reason)).and_then(|instruments| {
            self.check_markets().map_err(|reason| self.wrong(reason))?;
            self.check_rest().and_then(|()| self.check_funding()).map_err(|reason| self.wrong(reason))?;
            Ok(instruments)
        })
    }

    fn wrong(&self, reason: String) -> ConfigError {
        ConfigError { venue: self.id.clone(), reason }
    }

    fn check_instruments(&self) -> Result<BTreeMap<VenueSymbol, Instrument>, String> {
        if self.instruments.is_empty() {
            return Err("instruments is empty; give at least one".into());
        }
        let mut instruments = BTreeMap::new();
        for spec in &self.instruments {
            if spec.venue != self.id {
                return Err(format!("instruments: {} says venue {}, but must say {}", spec.symbol, spec.venue, self.id));
            }
            self.check_fee_digits(spec)?;
            let instrument = Instrument::new(spec.clone()).map_err(|e| format!("instruments: {e}"))?;
            if instruments.insert(spec.symbol.clone(), instrument).is_some() {
                return Err(format!("instruments: {} is there twice", spec.symbol));
            }
        }
        Ok(instruments)
    }

    /// Fees are exact products: more decimals than 8 beyond the notional's would not fit over many orders.
    fn check_fee_digits(&self, spec: &InstrumentSpec) -> Result<(), String> {
        for (field, rate) in [("taker_fee", spec.taker_fee), ("maker_fee", self.maker_fee)] {
            if rate.decimal().scale() > 8 {
                return Err(format!("{field} of {} is {rate}, but may have at most 8 decimals", spec.symbol));
            }
        }
        Ok(())
    }

    fn check_funding(&self) -> Result<(), String> {
        for (symbol, funding) in &self.funding {
            let perpetual = self.instruments.iter().any(|spec| spec.symbol == *symbol && spec.market == Market::Perp);
            if !perpetual {
                return Err(format!("funding: {symbol} is no perpetual of instruments"));
            }
            if funding.rate.decimal().scale() > RATE_DECIMALS {
                return Err(format!("funding: rate of {symbol} is {}, but may have at most 8 decimals", funding.rate));
            }
            if funding.every < Duration::from_secs(1) {
                return Err(format!("funding: every of {symbol} is {:?}, but must be at least 1s", funding.every));
            }
        }
        Ok(())
    }

    fn check_markets(&self) -> Result<(), String> {
        let spot = self.capabilities().positions == PositionModel::Holdings;
        let mut bases = BTreeSet::new();
        for spec in &self.instruments {
            if spot && spec.market.is_margined() {
                return Err(format!("instruments: {} is a contract beside spot instruments; make two venues of them", spec.symbol));
            }
            if spot && !bases.insert(&spec.base) {
                return Err(format!(
                    "instruments: {} is a second spot instrument of {}; its holdings could not be told apart",
                    spec.symbol, spec.base
                ));
            }
            if spot && spec.quote == spec.base {
                return Err(format!("instruments: {} trades {} for itself", spec.symbol, spec.base));
            }
        }
        if spot && self.orders.reduce_only {
            return Err("orders.reduce_only is true, but spot has no reduce-only".into());
        }
        if spot && self.exits.is_some() {
            return Err("exits is given, but on spot no order can wait that only reduces; leave it out".into());
        }
        Ok(())
    }

    fn check_rest(&self) -> Result<(), String> {
        for spec in &self.instruments {
            let source = self.prices.get(&spec.symbol).ok_or_else(|| format!("prices has no {}", spec.symbol))?;
            source.check().map_err(|reason| format!("prices: {}: {reason}", spec.symbol))?;
        }
        if let Some(symbol) = self.prices.keys().find(|symbol| !self.instruments.iter().any(|spec| spec.symbol == **symbol)) {
            return Err(format!("prices names {symbol}, which is no instrument of it"));
        }
        for (field, share) in [("spread", self.spread), ("slippage", self.slippage)] {
            if share > tenth() || share.decimal().scale() > 8 {
                return Err(format!("{field} is {share}, but must be at most 0.1, with at most 8 decimals"));
            }
        }
        if let Some(exits) = &self.exits {
            if !exits.stop && !exits.take_profit {
                return Err("exits has neither stop nor take_profit; leave it out where no order can wait".into());
            }
            if exits.source != TriggerSource::Mark {
                return Err("exits.source must be mark, the one price of this exchange that is always there".into());
            }
        }
        for (account, balances) in &self.accounts {
            if let Some((asset, amount)) = balances.iter().find(|(_, amount)| **amount < Amount::ZERO) {
                return Err(format!("accounts: {account} starts with {amount} {asset}, but must start with 0 or more"));
            }
        }
        self.faults.check()
    }
}

fn tenth() -> Fraction {
    "0.1".parse().expect("0.1 is a fraction")
}

impl PriceSource {
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Candles { speed: 0, .. } => Err("speed is 0, but must be at least 1".into()),
            Self::Walk { step, .. } if *step > "0.01".parse().expect("0.01 is a fraction") => {
                Err(format!("step is {step}, but must be at most 0.01"))
            }
            Self::Walk { step, .. } if step.decimal().scale() > 6 => Err(format!("step is {step}, but may have at most 6 decimals")),
            Self::Walk { every, .. } if every.is_zero() => Err("every is 0, but must be at least 1ms".into()),
            Self::Live { holds_for } if holds_for.is_zero() => Err("holds_for is 0, but must be longer, such as 10s".into()),
            Self::Candles { .. } | Self::Walk { .. } | Self::Fixed { .. } | Self::Live { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Config), words: &str) {
        let mut config = Config::hyperliquid_like();
        change(&mut config);
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(words), "{error}\nshould contain {words}");
    }

    #[test]
    fn presets_are_valid_and_read_back() {
        for config in [Config::hyperliquid_like(), Config::ostium_like(), Config::coin_like(), Config::spot_like()] {
            config.check().unwrap();
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
        }
    }

    #[test]
    fn errors_say_what_fits() {
        check(|c| c.instruments.clear(), "instruments is empty");
        check(|c| c.instruments[0].venue = "okx".parse().unwrap(), "must say hyperliquid");
        check(|c| c.instruments[1].symbol = c.instruments[0].symbol.clone(), "is there twice");
        check(|c| c.instruments[1].market = Market::Spot, "make two venues of them");
        check(|c| c.instruments[0].settle = "BTC".parse().unwrap(), "settles in its quote currency");
        check(|c| drop(c.prices.pop_first()), "prices has no BTC");
        check(|c| drop(c.prices.insert("X".parse().unwrap(), PriceSource::Fixed { price: "1".parse().unwrap() })), "no instrument of it");
        check(|c| c.spread = "0.5".parse().unwrap(), "spread is 0.5, but must be at most 0.1");
        check(|c| c.maker_fee = "0.123456789".parse().unwrap(), "at most 8 decimals");
        check(|c| c.faults.refuse = 1001, "refuse is 1001");
        let walk = |step: &str, every| PriceSource::Walk { seed: 1, start: "1".parse().unwrap(), step: step.parse().unwrap(), every };
        let quarter = Duration::from_millis(250);
        check(|c| drop(c.prices.insert("BTC".parse().unwrap(), walk("0.02", quarter))), "at most 0.01");
        check(|c| drop(c.prices.insert("BTC".parse().unwrap(), walk("0.0000001", quarter))), "at most 6 decimals");
        check(|c| drop(c.prices.insert("BTC".parse().unwrap(), walk("0.001", Duration::ZERO))), "at least 1ms");
        let stopped = PriceSource::Candles { path: "x.csv".into(), speed: 0 };
        check(|c| drop(c.prices.insert("BTC".parse().unwrap(), stopped)), "speed is 0");
        let fleeting = PriceSource::Live { holds_for: Duration::ZERO };
        check(|c| drop(c.prices.insert("BTC".parse().unwrap(), fleeting)), "holds_for is 0");
        let debts = BTreeMap::from([("USDC".parse().unwrap(), "-1".parse().unwrap())]);
        check(|c| drop(c.accounts.insert("a".parse().unwrap(), debts)), "0 or more");
        let mut spot = Config::spot_like();
        spot.orders.reduce_only = true;
        assert!(spot.check().unwrap_err().to_string().contains("no reduce-only"));
        let spot = Config { exits: Config::hyperliquid_like().exits, ..Config::spot_like() };
        assert!(spot.check().unwrap_err().to_string().contains("exits is given, but on spot"));
        let exits = |c: &mut Config, change: fn(&mut ExitCapabilities)| c.exits.iter_mut().for_each(change);
        check(|c| exits(c, |exits| (exits.stop, exits.take_profit) = (false, false)), "neither stop nor take_profit");
        check(|c| exits(c, |exits| exits.source = TriggerSource::Last), "exits.source must be mark");
    }

    #[test]
    fn exits_are_told_where_orders_can_only_reduce() {
        let told = |config: Config| config.capabilities().exits.map(|exits| (exits.stop, exits.take_profit, exits.attached));
        assert_eq!(told(Config::hyperliquid_like()), Some((true, true, true)));
        assert_eq!(told(Config::ostium_like()), Some((true, true, false)));
        assert_eq!(told(Config::spot_like()), None);
        let mut config = Config::hyperliquid_like();
        config.orders.reduce_only = false;
        config.check().unwrap();
        assert_eq!(told(config), None);
        let mut old = serde_json::to_value(Config::hyperliquid_like()).unwrap();
        old.as_object_mut().unwrap().remove("exits");
        assert_eq!(serde_json::from_value::<Config>(old).unwrap().exits, None, "a configuration from before has none");
    }

    #[test]
    fn live_quotes_hold_ten_seconds_unless_told_otherwise() {
        let read = |text: &str| serde_json::from_str::<PriceSource>(text).unwrap();
        assert_eq!(read(r#"{"live":{}}"#), PriceSource::Live { holds_for: Duration::from_secs(10) });
        assert_eq!(read(r#"{"live":{"holds_for":"3s"}}"#), PriceSource::Live { holds_for: Duration::from_secs(3) });
    }

    #[test]
    fn unknown_keys_are_refused() {
        let mut value = serde_json::to_value(Config::spot_like()).unwrap();
        value["sprad"] = "0.1".into();
        assert!(serde_json::from_value::<Config>(value).unwrap_err().to_string().contains("unknown field `sprad`"));
    }
}
