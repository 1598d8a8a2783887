//! What is traded: coins, asset ids, lots, price rules. Perpetuals are the paper preset's; asset ids are places in the list.
//!
//! Source: the venue's documentation, "Asset ids" and "Tick and lot size", read 2026-11-20.

use std::collections::BTreeMap;
use std::sync::Arc;

use omnivenue_core::model::ids::{AccountId, Asset, VenueSymbol};
use omnivenue_core::model::instrument::{InstrumentSpec, Market, PriceRule};
use omnivenue_core::model::number::{Amount, Fraction};
use omnivenue_core::venue::{Absence, NonceRule, OrderCapabilities, Resend};
use omnivenue_paper::{Config, PriceSource};
use rust_decimal::Decimal;

use super::config::HyperliquidConfig;
use super::numbers;

/// Spot asset ids begin here.
pub(crate) const SPOT: u32 = 10_000;

/// The order of the perpetuals: an asset id is a place in it.
const PERPS: [&str; 5] = ["BTC", "ETH", "SOL", "HYPE", "kPEPE"];

/// The tokens of the spot side, positional: name, decimals of sizes, decimals of amounts.
pub(crate) const TOKENS: [(&str, u32, u32); 3] = [("USDC", 8, 8), ("PURR", 0, 5), ("HYPE", 2, 8)];

/// Spot pairs: coin, place in the venue's list, base token, largest price, starting price.
const PAIRS: [(&str, u32, usize, &str, &str); 2] = [("PURR/USDC", 0, 1, "1000", "0.2"), ("@107", 107, 2, "100000", "38.1")];

/// One thing that is traded.
#[derive(Debug, Clone)]
pub(crate) struct Coin {
    /// The venue's name: `HYPE`, `@107`.
    pub(crate) name: VenueSymbol,
    pub(crate) asset: u32,
    pub(crate) spot: bool,
    pub(crate) base: Asset,
    pub(crate) quote: Asset,
    pub(crate) sz_decimals: u32,
    pub(crate) max_leverage: u32,
    pub(crate) price_rule: PriceRule,
    /// The place of the base token.
    pub(crate) token: usize,
}

impl Coin {
    fn of(spec: &InstrumentSpec, asset: u32, token: usize) -> Self {
        Self {
            name: spec.symbol.clone(),
            asset,
            spot: spec.market == Market::Spot,
            base: spec.base.clone(),
            quote: spec.quote.clone(),
            sz_decimals: spec.lot_size.decimal().scale(),
            max_leverage: u32::try_from(spec.max_leverage.decimal().trunc().mantissa()).unwrap_or(1),
            price_rule: spec.price_rule.clone(),
            token,
        }
    }

    /// The leverage of an account that never set one: 20, or the most where that is less.
    pub(crate) const fn leverage(&self) -> u32 {
        if self.max_leverage < 20 { self.max_leverage } else { 20 }
    }

    /// The decimals that costs are kept with.
    pub(crate) fn money_scale(&self) -> u32 {
        self.price_rule.decimals.unwrap_or(0) + self.sz_decimals
    }

    /// A price with no more decimals than its rule has, for what is only shown.
    pub(crate) fn rounded(&self, price: Decimal) -> Decimal {
        price.round_dp(self.price_rule.decimals.unwrap_or(0))
    }
}

/// Balances to start with, by account.
pub(crate) type Deposits = BTreeMap<AccountId, BTreeMap<Asset, Amount>>;

fn orders(reduce_only: bool) -> OrderCapabilities {
    // Nonces and client order ids are this server's own business.
    OrderCapabilities {
        resend: Resend::AfterProof,
        absence: Absence::Never,
        reduce_only,
        nonce: NonceRule::None,
        fill_or_kill: false,
        post_only: true,
    }
}

fn constant<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("the constants of the universe are valid, as its test proves")
}

/// Applies what the configuration says of prices and depth.
fn configured(config: &HyperliquidConfig, mut paper: Config, accounts: Deposits) -> Config {
    for (symbol, source) in &config.prices {
        if let Some(price) = paper.prices.get_mut(symbol) {
            *price = source.clone();
        }
    }
    paper.depth = config.depth;
    // The book that is told is the book that trades: an order at the best price is filled there.
    paper.slippage = Fraction::default();
    paper.accounts = accounts;
    paper
}

/// The perpetuals as a paper exchange.
pub(crate) fn perps(config: &HyperliquidConfig, accounts: Deposits) -> Config {
    let mut paper = Config { orders: orders(true), ..Config::hyperliquid_like() };
    let place = |spec: &InstrumentSpec| PERPS.iter().position(|name| *name == spec.symbol.as_str());
    paper.instruments.retain(|spec| place(spec).is_some());
    paper.instruments.sort_by_key(place);
    paper.prices.retain(|symbol, _| PERPS.contains(&symbol.as_str()));
    configured(config, paper, accounts)
}

/// The spot side as a paper exchange: fees 0.07 % and 0.04 %, in the base token on buys.
pub(crate) fn spot(config: &HyperliquidConfig, accounts: Deposits) -> Config {
    let base = Config::hyperliquid_like();
    let row = |(coin, _, token, max_price, _): &(&str, u32, usize, &str, &str)| {
        let (name, decimals, _) = TOKENS[*token];
        let lot = Decimal::try_from_i128_with_scale(1, decimals).unwrap_or(Decimal::ONE);
        InstrumentSpec {
            symbol: constant(coin),
            market: Market::Spot,
            base: constant(name),
            price_rule: PriceRule { significant_figures: Some(5), decimals: Some(8 - decimals), ..PriceRule::default() },
            lot_size: constant(&numbers::plain(lot)),
            min_quantity: constant(&numbers::plain(lot)),
            max_price: constant(max_price),
            max_leverage: constant("1"),
            taker_fee: constant("0.0007"),
            ..base.instruments[0].clone()
        }
    };
    let price = |(seed, (coin, .., start)): (u64, &(&str, u32, usize, &str, &str))| {
        let every = std::time::Duration::from_millis(250);
        (constant(coin), PriceSource::Walk { seed, start: constant(start), step: constant("0.0004"), every })
    };
    let paper = Config {
        instruments: PAIRS.iter().map(row).collect(),
        prices: (101..).zip(&PAIRS).map(price).collect(),
        orders: orders(false),
        exits: None,
        maker_fee: constant("0.0004"),
        ..base
    };
    configured(config, paper, accounts)
}

/// Every coin of the two exchanges.
pub(crate) fn coins(perps: &Arc<Config>, spot: &Arc<Config>) -> Vec<Coin> {
    let perps = (0..).zip(&perps.instruments).map(|(asset, spec)| Coin::of(spec, asset, 0));
    let pairs = PAIRS.iter().zip(&spot.instruments).map(|((_, index, token, ..), spec)| Coin::of(spec, SPOT + index, *token));
    perps.chain(pairs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_universe_is_consistent() {
        let config = HyperliquidConfig::default();
        let (perps, spot) = (Arc::new(perps(&config, Deposits::new())), Arc::new(spot(&config, Deposits::new())));
        perps.check().unwrap();
        spot.check().unwrap();
        let coins = coins(&perps, &spot);
        let listed: Vec<String> = coins.iter().map(|c| format!("{} {} {} {}", c.name, c.asset, c.sz_decimals, c.max_leverage)).collect();
        assert_eq!(
            listed,
            ["BTC 0 5 40", "ETH 1 4 25", "SOL 2 2 20", "HYPE 3 2 10", "kPEPE 4 0 10", "PURR/USDC 10000 0 1", "@107 10107 2 1"]
        );
        for coin in &coins {
            let most = if coin.spot { 8 } else { 6 };
            assert_eq!(coin.price_rule.decimals, Some(most - coin.sz_decimals), "{}", coin.name);
        }
    }
}
