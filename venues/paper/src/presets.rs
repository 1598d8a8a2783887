//! Ready-made exchanges that behave like the kinds of venue there are. Prices start where they plausibly are.

use std::collections::BTreeMap;
use std::time::Duration;

use omnivenue_core::model::contract::{Contract, MoneyRule};
use omnivenue_core::model::ids::{AccountId, Asset, VenueId, VenueSymbol};
use omnivenue_core::model::instrument::{Instrument, InstrumentSpec, Market, PriceRule};
use omnivenue_core::model::number::{Amount, Fraction, Rate};
use omnivenue_core::venue::{Absence, Capabilities, ExitCapabilities, NonceRule, OrderCapabilities, PositionModel, Resend, TriggerSource};

use crate::config::{Config, Latency, PriceSource, quarter_second, ten_seconds};
use crate::faults::FaultConfig;

/// One instrument of a preset, as text: symbol, base, price rule, lot size, largest price, largest leverage, starting price.
struct Row {
    symbol: &'static str,
    base: &'static str,
    price_rule: PriceRule,
    lot_size: &'static str,
    max_price: &'static str,
    max_leverage: &'static str,
    start: &'static str,
}

/// Reads a constant of this file.
fn constant<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("the constants of the presets are valid, as their test proves")
}

fn figures(decimals: u32) -> PriceRule {
    PriceRule { significant_figures: Some(5), decimals: Some(decimals), ..PriceRule::default() }
}

fn tick(size: &str) -> PriceRule {
    PriceRule { tick_size: Some(constant(size)), ..PriceRule::default() }
}

impl Row {
    const fn new(symbol: &'static str, base: &'static str, price_rule: PriceRule, numbers: [&'static str; 4]) -> Self {
        let [lot_size, max_price, max_leverage, start] = numbers;
        Self { symbol, base, price_rule, lot_size, max_price, max_leverage, start }
    }

    fn spec(&self, venue: &str, market: Market, min_notional: &str, taker_fee: &str) -> InstrumentSpec {
        InstrumentSpec {
            venue: constant(venue),
            symbol: constant(self.symbol),
            market,
            base: constant(self.base),
            quote: constant("USDC"),
            settle: constant("USDC"),
            price_rule: self.price_rule.clone(),
            lot_size: constant(self.lot_size),
            min_quantity: constant(self.lot_size),
            max_quantity: constant("10000000"),
            min_notional: constant(min_notional),
            max_price: constant(self.max_price),
            max_leverage: constant(self.max_leverage),
            taker_fee: constant(taker_fee),
            contract: Contract::Linear,
            contract_size: None,
            expiry: None,
            hours: None,
            maintenance_margin: None,
        }
    }
}

fn preset(venue: &str, market: Market, rows: &[Row], min_notional: &str, taker_fee: &str, orders: OrderCapabilities) -> Config {
    let walk = |(seed, row): (u64, &Row)| {
        let source = PriceSource::Walk { seed, start: constant(row.start), step: constant("0.0004"), every: quarter_second() };
        (constant(row.symbol), source)
    };
    Config {
        id: constant(venue),
        instruments: rows.iter().map(|row| row.spec(venue, market, min_notional, taker_fee)).collect(),
        orders,
        exits: None,
        prices: (1..).zip(rows).map(walk).collect(),
        accounts: BTreeMap::new(),
        spread: constant("0.0002"),
        slippage: constant("0.0001"),
        maker_fee: constant("0"),
        depth: None,
        latency: Latency { request: Duration::from_millis(5), answer: Duration::from_millis(5), jitter: Duration::from_millis(2) },
        funding: BTreeMap::new(),
        faults: FaultConfig::default(),
    }
}

/// An instrument of a real venue that cannot be simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The instrument.
    pub symbol: VenueSymbol,
    /// Why.
    pub reason: String,
}

impl Config {
    /// Like Hyperliquid: perpetuals in USDC, nonces in milliseconds, the same bytes taken once, ids that can be burned, no fill-or-kill,
    /// exits that wait alone or travel with their entry.
    #[must_use]
    pub fn hyperliquid_like() -> Self {
        // Prices: 5 significant figures and at most 6 − szDecimals decimals.
        let rows = [
            Row::new("HYPE", "HYPE", figures(4), ["0.01", "100000", "10", "38.1"]),
            Row::new("BTC", "BTC", figures(1), ["0.00001", "10000000", "40", "97000"]),
            Row::new("ETH", "ETH", figures(2), ["0.0001", "1000000", "25", "3400"]),
            Row::new("SOL", "SOL", figures(4), ["0.01", "100000", "20", "190"]),
            Row::new("kPEPE", "kPEPE", figures(6), ["1", "100", "10", "0.0185"]),
        ];
        let orders = OrderCapabilities {
            resend: Resend::Idempotent,
            absence: Absence::Burn,
            reduce_only: true,
            nonce: NonceRule::Milliseconds,
            fill_or_kill: false,
            post_only: true,
        };
        let preset = preset("hyperliquid", Market::Perp, &rows, "10", "0.00045", orders);
        Self { maker_fee: constant("0.00015"), exits: Some(exits(true)), ..preset }
    }

    /// Like Ostium: perpetuals in USDC with tick sizes, requests that may be taken twice and expire after a few seconds, exits that wait.
    /// Its positions are net, where Ostium's are many per pair; its exits are orders of their own, where Ostium's belong to a position.
    #[must_use]
    pub fn ostium_like() -> Self {
        let rows = [
            Row::new("HYPE-USD", "HYPE", tick("0.001"), ["0.01", "100000", "50", "38.1"]),
            Row::new("BTC-USD", "BTC", tick("0.1"), ["0.00001", "10000000", "100", "97000"]),
            Row::new("ETH-USD", "ETH", tick("0.01"), ["0.0001", "1000000", "100", "3400"]),
            Row::new("XAU-USD", "XAU", tick("0.01"), ["0.001", "1000000", "100", "2650"]),
            Row::new("EUR-USD", "EUR", tick("0.00001"), ["1", "1000", "200", "1.085"]),
        ];
        let preset = preset("ostium", Market::Perp, &rows, "5", "0.0005", after_proof(true));
        Self { exits: Some(exits(false)), ..preset }
    }

    /// Perpetuals that are margined and settled in bitcoin, as BitMEX had them: XBTUSD is inverse, one dollar a contract in lots of 100; ETHUSD is
    /// quanto, 100 satoshi per dollar and contract. What a trade is worth is rounded to the nearest satoshi. Otherwise like
    /// [`Config::hyperliquid_like`]. (BitMEX, "XBTUSD" and "ETHUSD" contract specifications.)
    #[must_use]
    pub fn coin_like() -> Self {
        let money = MoneyRule::nearest(8);
        let quanto = Contract::Quanto { multiplier: constant("0.000001"), money };
        let rows = [
            (Row::new("XBTUSD", "BTC", tick("0.5"), ["100", "1000000", "100", "97000"]), Contract::Inverse { money }),
            (Row::new("ETHUSD", "ETH", tick("0.05"), ["1", "100000", "50", "3400"]), quanto),
        ];
        let base = Self::hyperliquid_like();
        let spec = |(row, contract): &(Row, Contract)| InstrumentSpec {
            quote: constant("USD"),
            settle: constant("BTC"),
            contract: *contract,
            contract_size: Some(constant("1")),
            maintenance_margin: Some(constant("0.005")),
            ..row.spec("coin", Market::Perp, "0", "0.0005")
        };
        let walk = |(seed, (row, _)): (u64, &(Row, Contract))| {
            let source = PriceSource::Walk { seed, start: constant(row.start), step: constant("0.0004"), every: quarter_second() };
            (constant(row.symbol), source)
        };
        Self {
            id: constant("coin"),
            instruments: rows.iter().map(spec).collect(),
            prices: (11..).zip(&rows).map(walk).collect(),
            maker_fee: constant("0.0002"),
            ..base
        }
    }

    /// A spot exchange: holdings, fees in the base asset on buys, no reduce-only, requests that may be taken twice.
    #[must_use]
    pub fn spot_like() -> Self {
        let rows = [
            Row::new("BTC/USDC", "BTC", tick("0.01"), ["0.00001", "10000000", "1", "97000"]),
            Row::new("HYPE/USDC", "HYPE", tick("0.001"), ["0.01", "100000", "1", "38.1"]),
        ];
        let preset = preset("spot", Market::Spot, &rows, "5", "0.001", after_proof(false));
        Self { maker_fee: constant("0.001"), ..preset }
    }

    /// An exchange for paper trading on the live prices of a real venue: its capabilities, its instruments with their rules and taker
    /// fees, each with [`PriceSource::Live`]; no slippage, no latency, no faults, no accounts yet. Every field may be changed. Triggers are
    /// compared with the middle of the quotes, whatever the venue itself compares.
    ///
    /// Instruments do not say what an order that rested pays: `maker_fee` is the highest of their taker fees until it is set.
    /// Instruments that cannot be simulated here are left out, and told beside it: those of the other market than the position model
    /// is for, and of spot instruments with the same base all but the first.
    #[must_use]
    pub fn live(id: &VenueId, capabilities: &Capabilities, instruments: &[Instrument]) -> (Self, Vec<LeftOut>) {
        let spot = capabilities.positions == PositionModel::Holdings;
        let orders = OrderCapabilities { reduce_only: capabilities.orders.reduce_only && !spot, ..capabilities.orders.clone() };
        let mut config = Self {
            id: id.clone(),
            instruments: Vec::new(),
            orders,
            exits: capabilities
                .exits
                .clone()
                .filter(|exits| !spot && (exits.stop || exits.take_profit))
                .map(|exits| ExitCapabilities { source: TriggerSource::Mark, ..exits }),
            prices: BTreeMap::new(),
            accounts: BTreeMap::new(),
            spread: Fraction::default(),
            slippage: Fraction::default(),
            maker_fee: Rate::ZERO,
            depth: None,
            latency: Latency::default(),
            funding: BTreeMap::new(),
            faults: FaultConfig::default(),
        };
        let empty = config.clone();
        let mut left_out = Vec::new();
        for instrument in instruments {
            let spec = InstrumentSpec { venue: id.clone(), ..(**instrument).clone() };
            match config.fits(&empty, &spec, spot) {
                Ok(alone) => {
                    config.instruments.extend(alone.instruments);
                    config.prices.extend(alone.prices);
                }
                Err(reason) => left_out.push(LeftOut { symbol: spec.symbol, reason }),
            }
        }
        config.maker_fee = config.instruments.iter().map(|spec| spec.taker_fee).max().unwrap_or(Rate::ZERO);
        (config, left_out)
    }

    /// The exchange of this instrument alone, if it can be simulated beside those that are there.
    fn fits(&self, empty: &Self, spec: &InstrumentSpec, spot: bool) -> Result<Self, String> {
        if spot != (spec.market == Market::Spot) {
            return Err(format!("it is {}, which is another venue's here", spec.market));
        }
        let twin = |other: &&InstrumentSpec| other.symbol == spec.symbol || (spot && other.base == spec.base);
        if let Some(twin) = self.instruments.iter().find(twin) {
            return Err(format!("{} is there already, and could not be told from it", twin.symbol));
        }
        let prices = BTreeMap::from([(spec.symbol.clone(), PriceSource::Live { holds_for: ten_seconds() })]);
        let alone = Self { instruments: vec![spec.clone()], prices, ..empty.clone() };
        alone.check().map_err(|error| error.reason)?;
        Ok(alone)
    }

    /// The same exchange with an account that starts with this much of an asset.
    #[must_use]
    pub fn with_account(mut self, account: &AccountId, asset: Asset, amount: Amount) -> Self {
        self.accounts.entry(account.clone()).or_default().insert(asset, amount);
        self
    }
}

const fn exits(attached: bool) -> ExitCapabilities {
    ExitCapabilities { stop: true, take_profit: true, attached, source: TriggerSource::Mark }
}

fn after_proof(reduce_only: bool) -> OrderCapabilities {
    let absence = Absence::Window { length: Duration::from_secs(5), margin: Duration::from_secs(2) };
    OrderCapabilities { resend: Resend::AfterProof, absence, reduce_only, nonce: NonceRule::None, fill_or_kill: true, post_only: true }
}
