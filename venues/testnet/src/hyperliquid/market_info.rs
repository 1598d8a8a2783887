//! What the venue tells about its markets. Volumes, funding and open interest are zero: the paper exchange has none.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::numbers::{over, plus, text, times};
use super::state::Hyperliquid;
use super::universe::{Coin, SPOT, TOKENS};

/// Intervals of candles, in milliseconds.
const INTERVALS: [(&str, i64); 14] = [
    ("1m", 60_000),
    ("3m", 180_000),
    ("5m", 300_000),
    ("15m", 900_000),
    ("30m", 1_800_000),
    ("1h", 3_600_000),
    ("2h", 7_200_000),
    ("4h", 14_400_000),
    ("8h", 28_800_000),
    ("12h", 43_200_000),
    ("1d", 86_400_000),
    ("3d", 259_200_000),
    ("1w", 604_800_000),
    ("1M", 2_592_000_000),
];

pub(crate) fn interval(name: &str) -> Option<i64> {
    INTERVALS.iter().find(|(text, _)| *text == name).map(|(_, step)| *step)
}

const LEVELS: u32 = 5;

impl Hyperliquid {
    pub(crate) fn perps(&self) -> Vec<Coin> {
        self.market.coins.iter().filter(|coin| !coin.spot).cloned().collect()
    }

    fn pairs(&self) -> Vec<Coin> {
        self.market.coins.iter().filter(|coin| coin.spot).cloned().collect()
    }

    pub(crate) fn meta(&self) -> Value {
        let perps = self.perps();
        let row = |coin: &Coin| json!({ "name": coin.name, "szDecimals": coin.sz_decimals, "maxLeverage": coin.max_leverage, "marginTableId": coin.max_leverage });
        let mut leverages: Vec<u32> = perps.iter().map(|coin| coin.max_leverage).collect();
        leverages.sort_unstable();
        leverages.dedup();
        let table = |most: &u32| json!([most, { "description": "", "marginTiers": [{ "lowerBound": "0.0", "maxLeverage": most }] }]);
        let universe: Vec<Value> = perps.iter().map(row).collect();
        let tables: Vec<Value> = leverages.iter().map(table).collect();
        json!({ "universe": universe, "marginTables": tables, "collateralToken": 0 })
    }

    /// The middle of the market, as the venue's mids.
    pub(crate) fn mid(&mut self, coin: &Coin) -> Option<Decimal> {
        let quote = self.market.quote(self.system, coin)?;
        Some(over(plus(quote.bid.decimal(), quote.ask.decimal()), Decimal::TWO))
    }

    pub(crate) fn mids(&mut self) -> serde_json::Map<String, Value> {
        let quotes = self.market.quotes(self.system);
        let middle = |quote: &omnivenue_core::venue::Quote| text(over(plus(quote.bid.decimal(), quote.ask.decimal()), Decimal::TWO));
        quotes.iter().map(|(symbol, quote)| (symbol.to_string(), middle(quote).into())).collect()
    }

    pub(crate) fn context(&mut self, coin: &Coin) -> Value {
        let mark = self.market.mark(self.system, coin);
        let quote = self.market.quote(self.system, coin);
        let mid = self.mid(coin);
        let before = self.market.day_ago(self.system, coin);
        let common = (mid.map_or(Value::Null, |mid| text(mid).into()), text(before), text(mark));
        if coin.spot {
            return json!({
                "coin": coin.name, "markPx": common.2, "midPx": common.0, "prevDayPx": common.1, "dayNtlVlm": "0.0", "dayBaseVlm": "0.0",
                "circulatingSupply": "1000000.0", "totalSupply": "1000000.0",
            });
        }
        let impact = quote.map_or(Value::Null, |quote| json!([text(quote.bid.decimal()), text(quote.ask.decimal())]));
        json!({
            "funding": "0.0", "openInterest": "0.0", "prevDayPx": common.1, "dayNtlVlm": "0.0", "premium": "0.0", "oraclePx": common.2,
            "markPx": common.2, "midPx": common.0, "impactPxs": impact, "dayBaseVlm": "0.0",
        })
    }

    pub(crate) fn perp_contexts(&mut self) -> Vec<Value> {
        self.perps().iter().map(|coin| self.context(coin)).collect()
    }

    pub(crate) fn spot_meta(&self) -> Value {
        let token = |(place, (name, sz, wei)): (usize, &(&str, u32, u32))| {
            json!({
                "name": name, "szDecimals": sz, "weiDecimals": wei, "index": place, "tokenId": format!("0x{place:032x}"),
                "isCanonical": true, "evmContract": null, "fullName": null, "deployerTradingFeeShare": "0.0",
            })
        };
        let pair = |coin: &Coin| {
            let canonical = !coin.name.as_str().starts_with('@');
            json!({ "name": coin.name, "tokens": [coin.token, 0], "index": coin.asset - SPOT, "isCanonical": canonical })
        };
        let tokens: Vec<Value> = TOKENS.iter().enumerate().map(token).collect();
        let universe: Vec<Value> = self.pairs().iter().map(pair).collect();
        json!({ "tokens": tokens, "universe": universe })
    }

    /// One context for every place up to the last pair: clients look them up by the pair's index.
    pub(crate) fn spot_contexts(&mut self) -> Vec<Value> {
        let pairs = self.pairs();
        let last = pairs.iter().map(|coin| coin.asset - SPOT).max().unwrap_or(0);
        let empty = |index: u32| {
            json!({
                "coin": format!("@{index}"), "markPx": "0.0", "midPx": null, "prevDayPx": "0.0", "dayNtlVlm": "0.0", "dayBaseVlm": "0.0",
                "circulatingSupply": "0.0", "totalSupply": "0.0",
            })
        };
        (0..=last)
            .map(|index| pairs.iter().find(|coin| coin.asset == SPOT + index).map_or_else(|| empty(index), |coin| self.context(coin)))
            .collect()
    }

    /// Five levels a side, each a spread further away; the paper exchange's depth is behind each.
    pub(crate) fn book(&mut self, coin: &Coin) -> Option<Value> {
        let quote = self.market.quote(self.system, coin)?;
        let gap = over(quote.ask.decimal().checked_sub(quote.bid.decimal())?, Decimal::ONE);
        let depth = self.config.depth.map_or(Decimal::from(1_000_000), |depth| depth.decimal());
        let size = over(depth, quote.ask.decimal()).trunc_with_scale(coin.sz_decimals);
        let level = |price: Decimal| json!({ "px": text(price), "sz": text(size), "n": 1 });
        let side = |best: Decimal, away: Decimal| -> Vec<Value> {
            (0..LEVELS).map(|step| plus(best, times(away, Decimal::from(step)))).filter(|p| *p > Decimal::ZERO).map(level).collect()
        };
        let (bids, asks) = (side(quote.bid.decimal(), -gap), side(quote.ask.decimal(), gap));
        Some(json!({ "coin": coin.name, "time": self.now_ms(), "levels": [bids, asks] }))
    }

    pub(crate) fn candle_snapshot(&mut self, coin: &Coin, name: &str, from: i64, to: i64) -> Option<Vec<Value>> {
        let step = interval(name)?;
        let skew = self.skew_ms;
        let candles = self.market.candles(self.system, coin, step, from.saturating_sub(skew), to.saturating_sub(skew));
        let row = |(start, c): (i64, super::market::Candle)| {
            let start = start + skew;
            json!({
                "t": start, "T": start + step - 1, "s": coin.name, "i": name, "o": text(c.open), "c": text(c.close),
                "h": text(c.high), "l": text(c.low), "v": "0.0", "n": 0,
            })
        };
        Some(candles.into_iter().map(row).collect())
    }

    /// One entry an hour, all zero: the paper exchange pays no funding.
    pub(crate) fn funding_history(&self, coin: &Coin, from: i64, to: i64) -> Vec<Value> {
        const HOUR: i64 = 3_600_000;
        let last = to.min(self.now_signed()).div_euclid(HOUR);
        let first = from.div_euclid(HOUR).saturating_add(1).max(last.saturating_sub(499));
        (first..=last).map(|hour| json!({ "coin": coin.name, "fundingRate": "0.0", "premium": "0.0", "time": hour * HOUR })).collect()
    }
}
