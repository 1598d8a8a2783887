//! What a venue trades, and how its prices and quantities are rounded.

mod money;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::contract::Contract;
use super::hours::TradingHours;
use super::ids::{Asset, VenueId, VenueSymbol};
use super::number::{Factor, Fraction, Leverage, Notional, NumberError, Price, Quantity, Rate, exact};
use super::time::Timestamp;

/// Buying or selling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Adds to a long position, reduces a short one.
    Buy,
    /// Adds to a short position, reduces a long one.
    Sell,
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// Whether this is [`Side::Buy`].
    #[must_use]
    pub const fn is_buy(self) -> bool {
        matches!(self, Self::Buy)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if self.is_buy() { "buy" } else { "sell" })
    }
}

/// The market an instrument belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Market {
    /// The asset itself changes hands.
    Spot,
    /// A perpetual contract.
    #[default]
    Perp,
    /// A dated future: it is settled at its expiry.
    Future,
}

impl Market {
    /// Whether what is held is a contract on margin, and not the asset itself.
    #[must_use]
    pub const fn is_margined(self) -> bool {
        !matches!(self, Self::Spot)
    }
}

impl fmt::Display for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Spot => "spot",
            Self::Perp => "perp",
            Self::Future => "future",
        })
    }
}

/// Which prices a venue takes. All given parts hold at once; with none, every positive price is valid.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceRule {
    /// Prices are multiples of this tick size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick_size: Option<Price>,
    /// Prices have at most this many significant figures; whole numbers are always valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub significant_figures: Option<u32>,
    /// Prices have at most this many decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u32>,
    /// Tick sizes that depend on the price: (from this price on, tick size), ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bands: Vec<(Price, Price)>,
}

/// Which way a price is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// To the next valid price at or below.
    Down,
    /// To the next valid price at or above.
    Up,
}

fn power_of_ten(exponent: i32) -> Option<Decimal> {
    if exponent >= 0 {
        Decimal::try_from_i128_with_scale(10_i128.checked_pow(exponent.unsigned_abs())?, 0).ok()
    } else {
        Decimal::try_from_i128_with_scale(1, exponent.unsigned_abs()).ok()
    }
}

/// The exponent of the leading digit: 0 for 1 to 9, 1 for 10 to 99, -1 for 0.1 to 0.9.
fn magnitude(value: Decimal) -> i32 {
    let digits = i32::try_from(value.mantissa().unsigned_abs().checked_ilog10().unwrap_or(0)).unwrap_or(0);
    digits - i32::try_from(value.scale()).unwrap_or(0)
}

impl PriceRule {
    /// The steps that hold at this price.
    fn steps(&self, price: Decimal) -> impl Iterator<Item = Decimal> {
        let figures = self.significant_figures.and_then(|figures| {
            let exponent = magnitude(price) + 1 - i32::try_from(figures).unwrap_or(i32::MAX);
            power_of_ten(exponent.min(0))
        });
        let decimals = self.decimals.and_then(|decimals| power_of_ten(-i32::try_from(decimals).ok()?));
        let band = self.bands.iter().rev().find(|(from, _)| from.decimal() <= price).map(|(_, step)| step.decimal());
        [self.tick_size.map(Price::decimal), figures, decimals, band].into_iter().flatten()
    }

    /// Whether the venue takes this price.
    #[must_use]
    pub fn allows(&self, price: Price) -> bool {
        let price = price.decimal();
        self.steps(price).all(|step| price.checked_rem(step).is_some_and(|rest| rest.is_zero()))
    }

    /// The nearest valid price on the given side, or `None` when there is none above zero.
    #[must_use]
    pub fn round(&self, price: Price, rounding: Rounding) -> Option<Price> {
        let mut price = price;
        // A rounded price can enter another band or decade, whose step differs: a few rounds settle it.
        for _ in 0..8 {
            if self.allows(price) {
                return Some(price);
            }
            let value = price.decimal();
            let step = self.steps(value).filter(|step| value.checked_rem(*step).is_none_or(|rest| !rest.is_zero())).max()?;
            let down = exact::mul(exact::units(value, step)?, step)?;
            let rounded = match rounding {
                Rounding::Down => down,
                Rounding::Up => exact::add(down, step)?,
            };
            price = Price::new(rounded).ok()?;
        }
        None
    }

    /// The most decimals a valid price has, if the rule bounds them.
    fn scale(&self) -> Option<u32> {
        let banded = (!self.bands.is_empty()).then(|| self.bands.iter().map(|(_, step)| step.decimal().scale()).max()).flatten();
        [self.tick_size.map(|tick| tick.decimal().scale()), self.decimals, banded].into_iter().flatten().min()
    }
}

/// The facts of an instrument as a venue states them; [`Instrument::new`] proves that its numbers can be kept exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InstrumentSpec {
    /// The venue.
    pub venue: VenueId,
    /// The venue's own name of the instrument.
    pub symbol: VenueSymbol,
    /// The market.
    pub market: Market,
    /// What is traded, in the venue's words (`XBT`, `kPEPE`); [`AssetMap`] knows what it is ours of.
    pub base: Asset,
    /// What prices are in.
    pub quote: Asset,
    /// What profit, loss and margin are in.
    pub settle: Asset,
    /// Which prices are valid.
    pub price_rule: PriceRule,
    /// Quantities are multiples of this, in the units of its quantity ([`Contract`]).
    pub lot_size: Quantity,
    /// The smallest quantity of an order.
    pub min_quantity: Quantity,
    /// The largest quantity of an order.
    pub max_quantity: Quantity,
    /// The smallest notional of an order that is not reduce-only: in quote units, of quanto contracts in the settlement currency.
    pub min_notional: Notional,
    /// The largest price we take for real, in quote units: bounds the arithmetic.
    pub max_price: Price,
    /// The highest leverage of a position; 1 for spot.
    pub max_leverage: Leverage,
    /// The fee rate of an order that takes liquidity, of its worth.
    pub taker_fee: Rate,
    /// How it makes money.
    #[serde(default, skip_serializing_if = "Contract::is_linear")]
    pub contract: Contract,
    /// What one contract of the venue is, in our quantity: adapters count in it. Base units where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract_size: Option<Quantity>,
    /// When it is settled and trades no more; dated futures have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Timestamp>,
    /// When it trades; always where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<TradingHours>,
    /// The share of a position's worth below which the venue liquidates it, where it states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_margin: Option<Fraction>,
}

/// Why an instrument cannot be traded here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("instrument {symbol} of {venue}: {reason}")]
pub struct InstrumentError {
    /// The venue.
    pub venue: VenueId,
    /// The instrument.
    pub symbol: VenueSymbol,
    /// What is wrong, with the value and what fits.
    pub reason: String,
}

/// A tradable instrument, whose products and totals are proved to fit 28 digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Instrument(InstrumentSpec);

impl Deref for Instrument {
    type Target = InstrumentSpec;

    fn deref(&self) -> &InstrumentSpec {
        &self.0
    }
}

/// Digits kept free above the largest single notional, for totals over many orders.
const HEADROOM_DIGITS: u32 = 5;

fn significant(value: Decimal) -> u32 {
    value.mantissa().unsigned_abs().checked_ilog10().unwrap_or(0) + 1
}

fn integer_digits(value: Decimal) -> u32 {
    u32::try_from(magnitude(value).max(0)).unwrap_or(0) + 1
}

/// Whether the facts of a contract fit one another.
fn check_contract(spec: &InstrumentSpec) -> Result<(), String> {
    if spec.market == Market::Spot && (!spec.contract.is_linear() || spec.expiry.is_some()) {
        return Err("it is spot, but has a contract that is not linear, or an expiry".into());
    }
    if (spec.market == Market::Future) != spec.expiry.is_some() {
        return Err("a dated future must have an expiry, and nothing else may have one".into());
    }
    if let Some(hours) = &spec.hours {
        hours.check()?;
    }
    let settles = match spec.contract {
        Contract::Linear => spec.settle == spec.quote,
        Contract::Inverse { .. } => spec.settle != spec.quote,
        Contract::Quanto { .. } => spec.settle != spec.quote && spec.settle != spec.base,
    };
    if !settles {
        let fits = match spec.contract {
            Contract::Linear => "in its quote currency",
            Contract::Inverse { .. } => "in what it is of, and is priced in another",
            Contract::Quanto { .. } => "in a third currency",
        };
        return Err(format!("it settles in {}, but such a contract settles {fits}", spec.settle));
    }
    let Some(money) = spec.contract.money() else { return Ok(()) };
    if money.scale > MONEY_SCALE_MAX {
        return Err(format!("its money has {} decimals, but at most {MONEY_SCALE_MAX} are kept", money.scale));
    }
    let divides = |each: Quantity| spec.lot_size.decimal().checked_rem(each.decimal()).is_some_and(|rest| rest.is_zero());
    match money.each.filter(|each| !divides(*each)) {
        Some(each) => Err(format!("its worth is rounded by {each}, but that must divide the lot size {}", spec.lot_size)),
        None => Ok(()),
    }
}

/// Decimals of a settlement currency, at most: what margin is kept to.
const MONEY_SCALE_MAX: u32 = 12;

/// The digits that the largest amounts can have, and what they are computed from.
fn digits(spec: &InstrumentSpec, price_scale: u32) -> u32 {
    let (price, quantity) = (integer_digits(spec.max_price.decimal()), integer_digits(spec.max_quantity.decimal()));
    let product = price_scale + spec.lot_size.decimal().scale() + price + quantity + HEADROOM_DIGITS;
    match spec.contract {
        Contract::Linear => product,
        Contract::Quanto { multiplier, .. } => product + significant(multiplier.decimal()),
        // At the lowest price it is worth most; prices of trades have up to two decimals more.
        Contract::Inverse { money } => {
            product.max(quantity + spec.lot_size.decimal().scale() + price_scale + 2 + money.scale + HEADROOM_DIGITS)
        }
    }
}

impl Instrument {
    /// Checks the facts and proves the bounds of the arithmetic.
    ///
    /// # Errors
    /// [`InstrumentError`] when a fact contradicts another, or when exact results would not fit 28 digits.
    pub fn new(spec: InstrumentSpec) -> Result<Self, InstrumentError> {
        let wrong = |reason: String| InstrumentError { venue: spec.venue.clone(), symbol: spec.symbol.clone(), reason };
        if spec.lot_size.is_zero() {
            return Err(wrong("lot_size is 0, but must be greater than 0".into()));
        }
        if spec.max_quantity < spec.min_quantity || spec.max_quantity.is_zero() {
            return Err(wrong(format!(
                "max_quantity is {}, but must be at least min_quantity {} and above 0",
                spec.max_quantity, spec.min_quantity
            )));
        }
        let bands_ascend = spec.price_rule.bands.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !bands_ascend {
            return Err(wrong("price bands must ascend".into()));
        }
        let all: Vec<Decimal> =
            spec.price_rule.steps(spec.max_price.decimal()).chain(spec.price_rule.bands.iter().map(|(_, step)| step.decimal())).collect();
        let nested = all.iter().all(|a| all.iter().all(|b| a.max(b).checked_rem(*a.min(b)).is_some_and(|rest| rest.is_zero())));
        if !nested {
            return Err(wrong("the steps of its price rule do not divide one another, so that no grid satisfies all".into()));
        }
        let Some(price_scale) = spec.price_rule.scale() else {
            return Err(wrong("its price rule bounds no decimals: give tick_size, decimals or bands".into()));
        };
        let quantity_scale = spec.lot_size.decimal().scale();
        if let Err(reason) = check_contract(&spec) {
            return Err(wrong(reason));
        }
        let digits = digits(&spec, price_scale);
        if digits > 28 {
            return Err(wrong(format!(
                "a notional can have {digits} digits ({price_scale} + {quantity_scale} decimals, max_price {}, max_quantity {}), but at most 28 are exact: lower max_price or max_quantity",
                spec.max_price, spec.max_quantity
            )));
        }
        Ok(Self(spec))
    }

    /// The largest valid quantity of whole lots at or below `quantity`: never enlarges risk.
    #[must_use]
    pub fn floor_quantity(&self, quantity: Quantity) -> Quantity {
        let lot = self.lot_size.decimal();
        exact::units(quantity.decimal(), lot)
            .and_then(|lots| exact::mul(lots, lot))
            .and_then(|value| Quantity::new(value).ok())
            .map_or(Quantity::ZERO, |floored| floored.min(self.max_quantity))
    }

    /// The valid limit price nearest to `price` that is no worse for us: down when buying, up when selling.
    #[must_use]
    pub fn limit_price(&self, price: Price, side: Side) -> Option<Price> {
        self.price_rule.round(price, if side.is_buy() { Rounding::Down } else { Rounding::Up })
    }

    /// Decimals that cost, worth and realized PnL of this instrument have at most.
    #[must_use]
    pub fn money_scale(&self) -> u32 {
        let exact = self.price_rule.scale().unwrap_or(0) + self.lot_size.decimal().scale();
        self.contract.money().map_or(exact, |money| money.scale)
    }

    /// Checks that an order of this quantity at this price passes the venue's filters.
    ///
    /// # Errors
    /// A sentence that names the filter, the value and what fits.
    pub fn check_order(&self, quantity: Quantity, price: Price, reduce_only: bool) -> Result<(), String> {
        if quantity < self.min_quantity || quantity.is_zero() {
            return Err(format!(
                "quantity {quantity} is below the smallest order of {}, {} {}",
                self.symbol,
                self.min_quantity.max(self.lot_size),
                self.base
            ));
        }
        if quantity > self.max_quantity {
            return Err(format!("quantity {quantity} is above the largest order of {}, {} {}", self.symbol, self.max_quantity, self.base));
        }
        let notional = self.notional(quantity, price).map_err(|e| e.to_string())?;
        if !reduce_only && notional < self.min_notional {
            return Err(format!(
                "notional {notional} is below the smallest order of {}, {} {}",
                self.symbol,
                self.min_notional,
                self.notional_currency()
            ));
        }
        Ok(())
    }

    /// Checks that a price and quantity reported by a venue are within the proved bounds.
    ///
    /// # Errors
    /// A sentence that names the value and the bound.
    pub fn check_trade(&self, price: Price, quantity: Quantity) -> Result<(), String> {
        if price > self.max_price || quantity > self.max_quantity {
            return Err(format!(
                "a trade of {quantity} at {price} is outside the bounds of {} (at most {} at {})",
                self.symbol, self.max_quantity, self.max_price
            ));
        }
        if price.decimal().scale() > self.price_rule.scale().unwrap_or(0) + 2
            || quantity.decimal().scale() > self.lot_size.decimal().scale()
        {
            return Err(format!("a trade of {quantity} at {price} has more decimals than {} trades in", self.symbol));
        }
        self.contract.worth(quantity, price).map(|_| ()).map_err(|e: NumberError| e.to_string())
    }
}

/// What the venues' names of assets mean: `XBT` is BTC, `kPEPE` is 1000 PEPE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetMap {
    aliases: BTreeMap<Asset, (Asset, Factor)>,
}

impl Default for AssetMap {
    /// The aliases in common use: XBT, and the `k` and `1000` prefixes of the meme coins.
    fn default() -> Self {
        let mut map = Self { aliases: BTreeMap::new() };
        let mut add = |alias: &str, asset: &str, count: i64| {
            let name = |text: &str| Asset::new(text).expect("a constant that is a valid asset");
            map.aliases.insert(name(alias), (name(asset), Factor::new(Decimal::from(count)).expect("a positive constant")));
        };
        add("XBT", "BTC", 1);
        for coin in ["PEPE", "SHIB", "BONK", "FLOKI", "LUNC", "DOGS", "NEIRO"] {
            add(&format!("k{coin}"), coin, 1000);
            add(&format!("1000{coin}"), coin, 1000);
        }
        map
    }
}

impl AssetMap {
    /// Adds an alias: one `alias` is `multiplier` times one `asset`.
    pub fn insert(&mut self, alias: Asset, asset: Asset, multiplier: Factor) {
        self.aliases.insert(alias, (asset, multiplier));
    }

    /// The asset behind a name, and how many of it one unit of the name is.
    #[must_use]
    pub fn resolve(&self, name: &Asset) -> (Asset, Factor) {
        self.aliases.get(name).cloned().unwrap_or_else(|| (name.clone(), Factor::ONE))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    fn spec(price_rule: PriceRule, lot_size: &str) -> InstrumentSpec {
        InstrumentSpec {
            venue: "paper".parse().unwrap(),
            symbol: "HYPE".parse().unwrap(),
            market: Market::Perp,
            base: "HYPE".parse().unwrap(),
            quote: "USDC".parse().unwrap(),
            settle: "USDC".parse().unwrap(),
            price_rule,
            lot_size: lot_size.parse().unwrap(),
            min_quantity: lot_size.parse().unwrap(),
            max_quantity: "1000000".parse().unwrap(),
            min_notional: "10".parse().unwrap(),
            max_price: price("1000000"),
            max_leverage: "10".parse().unwrap(),
            taker_fee: "0.00045".parse().unwrap(),
            contract: Contract::Linear,
            contract_size: None,
            expiry: None,
            hours: None,
            maintenance_margin: None,
        }
    }

    fn five_figures() -> PriceRule {
        PriceRule { significant_figures: Some(5), decimals: Some(4), ..PriceRule::default() }
    }

    #[test]
    fn figures_and_decimals_hold_together() {
        let check = |given: &str, down: &str, up: &str| {
            assert_eq!(five_figures().round(price(given), Rounding::Down), Some(price(down)), "{given} down");
            assert_eq!(five_figures().round(price(given), Rounding::Up), Some(price(up)), "{given} up");
        };
        check("38.1234567", "38.123", "38.124");
        check("0.123456", "0.1234", "0.1235");
        check("123456.7", "123456", "123457");
        check("123456", "123456", "123456");
        check("9999.97", "9999.9", "10000");
        check("99999.5", "99999", "100000");
    }

    #[test]
    fn a_step_may_depend_on_the_price() {
        let rule = PriceRule { bands: vec![(price("0.0001"), price("0.0001")), (price("1"), price("0.01"))], ..PriceRule::default() };
        assert_eq!(rule.round(price("0.99995"), Rounding::Up), Some(price("1")));
        assert_eq!(rule.round(price("0.99995"), Rounding::Down), Some(price("0.9999")));
        assert_eq!(rule.round(price("38.123"), Rounding::Down), Some(price("38.12")));
        assert_eq!(rule.round(price("1.001"), Rounding::Up), Some(price("1.01")));
    }

    #[test]
    fn bounds_are_proved_when_an_instrument_is_loaded() {
        assert!(Instrument::new(spec(five_figures(), "0.01")).is_ok());
        let mut huge = spec(five_figures(), "0.0000000001");
        huge.max_price = price("1000000000000");
        assert!(Instrument::new(huge).unwrap_err().to_string().contains("at most 28 are exact"));
        let mut unbounded = spec(PriceRule { significant_figures: Some(5), ..PriceRule::default() }, "0.01");
        assert!(Instrument::new(unbounded.clone()).unwrap_err().to_string().contains("bounds no decimals"));
        unbounded.price_rule = PriceRule { tick_size: Some(price("0.3")), decimals: Some(1), ..PriceRule::default() };
        unbounded.price_rule.bands = vec![(price("1"), price("0.2"))];
        assert!(Instrument::new(unbounded).unwrap_err().to_string().contains("do not divide"));
    }

    #[test]
    fn names_of_assets_resolve() {
        let map = AssetMap::default();
        let check = |name: &str, asset: &str, count: &str| {
            assert_eq!(map.resolve(&name.parse().unwrap()), (asset.parse().unwrap(), count.parse().unwrap()));
        };
        check("XBT", "BTC", "1");
        check("kPEPE", "PEPE", "1000");
        check("1000PEPE", "PEPE", "1000");
        check("HYPE", "HYPE", "1");
    }

    proptest! {
        #[test]
        fn rounding_never_enlarges_an_order(quantity in 0_i64..1_000_000_000, scale in 0_u32..6, lot in 1_i64..1000) {
            let instrument = Instrument::new(spec(five_figures(), &Decimal::new(lot, 3).to_string())).unwrap();
            let quantity = Quantity::new(Decimal::new(quantity, scale)).unwrap();
            let floored = instrument.floor_quantity(quantity);
            prop_assert!(floored <= quantity);
            prop_assert!(floored == instrument.max_quantity || quantity.minus(floored).unwrap() < instrument.lot_size || quantity > instrument.max_quantity);
        }

        #[test]
        fn notional_sizing_never_exceeds_what_was_asked(notional in 1_i64..1_000_000, cents in 1_i64..10_000_000) {
            let instrument = Instrument::new(spec(five_figures(), "0.01")).unwrap();
            let notional = Notional::new(Decimal::from(notional)).unwrap();
            let at = Price::new(Decimal::new(cents, 2)).unwrap();
            let quantity = instrument.quantity_for(notional, at);
            prop_assert!(at.notional(quantity).unwrap() <= notional);
        }

        #[test]
        fn limit_prices_are_valid_and_no_worse(mantissa in 1_i64..10_000_000_000, scale in 0_u32..8, banded in any::<bool>()) {
            let rule = if banded {
                PriceRule { bands: vec![(price("0.0001"), price("0.0001")), (price("1"), price("0.01"))], ..PriceRule::default() }
            } else {
                five_figures()
            };
            let given = Price::new(Decimal::new(mantissa, scale)).unwrap();
            if let Some(down) = rule.round(given, Rounding::Down) {
                prop_assert!(rule.allows(down) && down <= given);
            }
            let up = rule.round(given, Rounding::Up);
            if given >= price("0.0001") {
                let up = up.unwrap();
                prop_assert!(rule.allows(up) && up >= given);
            }
        }
    }
}
