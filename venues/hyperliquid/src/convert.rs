//! Between the venue's words and ours. Pure: no network, no clock.

use omnivenue_core::model::contract::Contract;
use omnivenue_core::model::ids::{Asset, ClientOrderId, VenueId, VenueOrderId, VenueSymbol};
use omnivenue_core::model::instrument::{Instrument, InstrumentSpec, Market, PriceRule, Rounding, Side};
use omnivenue_core::model::number::{Amount, Leverage, Price, Quantity, Rate, SignedQuantity};
use omnivenue_core::model::order::{Fee, FillReport, OrderReport, OrderStatus};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Depth, Quote};
use rust_decimal::Decimal;

pub use self::orders::{OrderError, action, order};
use crate::action::Cloid;
use crate::wire;

mod orders;

/// Significant figures of a price. Source: "Tick and lot size", read 2026-11.
const FIGURES: u32 = 5;
/// Decimals of a price and a size together.
const PERP_DECIMALS: u32 = 6;
/// The same on spot.
const SPOT_DECIMALS: u32 = 8;
/// Added to a spot pair's number.
const SPOT_ASSETS: u32 = 10_000;
/// The smallest order in quote units. Source: "Error responses", read 2026-11.
const MIN_NOTIONAL: &str = "10";
/// What an order that takes pays at the lowest tier: perpetuals, spot. Source: "Fees", from memory, not checked.
const TAKER_FEES: (&str, &str) = ("0.00045", "0.0007");

/// What the venue's number of an asset and the shape of its sizes are, beside the [`Instrument`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// As the engine knows it.
    pub instrument: Instrument,
    /// The venue's number, in actions.
    pub asset: u32,
    /// Whether it has isolated margin only.
    pub only_isolated: bool,
    /// The number of its base token; spot only.
    pub base_token: Option<u32>,
}

/// Text of the venue that is not what its place calls for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the venue's {what} is `{got}`: {why}")]
pub struct ConvertError {
    what: &'static str,
    got: String,
    why: String,
}

fn read<T: std::str::FromStr>(what: &'static str, text: &str) -> Result<T, ConvertError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| ConvertError { what, got: text.chars().take(48).collect(), why: error.to_string() })
}

/// A number as the venue hashes it: at most 8 decimals, no trailing zeros, no exponent, never `-0`. `None` when it has more decimals.
#[must_use]
pub fn wire_number(number: Decimal) -> Option<String> {
    let number = number.normalize();
    (number.scale() <= SPOT_DECIMALS).then(|| if number.is_zero() { "0".to_owned() } else { number.to_string() })
}

/// The prices of an instrument: integers, or at most five figures and at most `6 - szDecimals` decimals (`8 - szDecimals` on spot).
#[must_use]
pub fn price_rule(market: Market, sz_decimals: u32) -> PriceRule {
    let total = if market == Market::Spot { SPOT_DECIMALS } else { PERP_DECIMALS };
    PriceRule { significant_figures: Some(FIGURES), decimals: Some(total.saturating_sub(sz_decimals)), ..PriceRule::default() }
}

/// Whether a coin's name is that of a spot pair.
#[must_use]
pub fn market_of(coin: &str) -> Market {
    if coin.starts_with('@') || coin.contains('/') { Market::Spot } else { Market::Perp }
}

/// Whether a coin is of a market, and has a name that can be told of at all.
pub(crate) fn is_of(coin: &str, market: Market) -> bool {
    market_of(coin) == market && symbol(coin).is_ok()
}

/// A number of nines.
fn nines(digits: u32) -> Decimal {
    Decimal::from(10_u64.pow(digits) - 1)
}

/// The largest price and quantity whose notional is exact with room for totals: 17 digits together on perpetuals, 15 on spot, where prices
/// have two decimals more. Coins with few decimals of size are cheap and traded by the million; those with many are dear.
fn bounds(market: Market, sz_decimals: u32) -> (Decimal, Decimal) {
    let price_digits = match market {
        Market::Perp | Market::Future => 7,
        Market::Spot => 5 + sz_decimals.min(3),
    };
    let total = if market == Market::Spot { 15 } else { 17 };
    (nines(price_digits), nines(total - price_digits))
}

struct Names<'a> {
    symbol: &'a str,
    base: &'a str,
    quote: &'a str,
}

fn instrument(venue: &VenueId, market: Market, names: &Names<'_>, sz_decimals: u32, max_leverage: u32) -> Result<Instrument, ConvertError> {
    let wrong = |why: String| ConvertError { what: "instrument", got: names.symbol.chars().take(48).collect(), why };
    let lot = Decimal::try_from_i128_with_scale(1, sz_decimals).map_err(|error| wrong(error.to_string()))?;
    let (max_price, max_quantity) = bounds(market, sz_decimals);
    let number = |error: omnivenue_core::model::number::NumberError| wrong(error.to_string());
    let lot = Quantity::new(lot).map_err(number)?;
    let quote: Asset = read("quote token", names.quote)?;
    let (perp_fee, spot_fee) = TAKER_FEES;
    let spec = InstrumentSpec {
        venue: venue.clone(),
        symbol: read("coin", names.symbol)?,
        market,
        base: read("base token", names.base)?,
        settle: quote.clone(),
        quote,
        price_rule: price_rule(market, sz_decimals),
        lot_size: lot,
        min_quantity: lot,
        max_quantity: Quantity::new(max_quantity).map_err(number)?,
        min_notional: MIN_NOTIONAL.parse().expect("10 is a notional"),
        max_price: Price::new(max_price).map_err(number)?,
        max_leverage: Leverage::new(Decimal::from(max_leverage)).map_err(number)?,
        taker_fee: if market == Market::Spot { spot_fee } else { perp_fee }.parse::<Rate>().expect("a fee rate"),
        contract: Contract::Linear,
        contract_size: None,
        expiry: None,
        hours: None,
        maintenance_margin: None,
    };
    Instrument::new(spec).map_err(|error| wrong(error.to_string()))
}

/// Everything the venue trades, or why it is not traded here. Delisted coins are left out.
pub fn listings(venue: &VenueId, meta: &wire::Meta, spot: &wire::SpotMeta) -> Vec<Result<Listing, ConvertError>> {
    let token = |index: u32| spot.tokens.iter().find(|token| token.index == index);
    let collateral = token(meta.collateral_token).map_or("USDC", |token| token.name.as_str());
    let numbered = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let perps = meta.universe.iter().enumerate().filter(|(_, coin)| !coin.is_delisted).map(|(at, coin)| {
        let names = Names { symbol: &coin.name, base: &coin.name, quote: collateral };
        let instrument = instrument(venue, Market::Perp, &names, coin.sz_decimals, coin.max_leverage)?;
        Ok(Listing { instrument, asset: numbered(at), only_isolated: coin.only_isolated, base_token: None })
    });
    let pairs = spot.universe.iter().map(|pair| {
        let missing = || ConvertError { what: "spot pair", got: pair.name.clone(), why: "it names a token that is not listed".into() };
        let (base, quote) = (token(pair.tokens[0]).ok_or_else(missing)?, token(pair.tokens[1]).ok_or_else(missing)?);
        let names = Names { symbol: &pair.name, base: &base.name, quote: &quote.name };
        let instrument = instrument(venue, Market::Spot, &names, base.sz_decimals, 1)?;
        let asset = SPOT_ASSETS.checked_add(pair.index).ok_or_else(missing)?;
        Ok(Listing { instrument, asset, only_isolated: false, base_token: Some(base.index) })
    });
    perps.chain(pairs).collect()
}

/// How the venue's word for a state reads in ours. Words nobody here knows that do not end as those below are taken as still open: an order that
/// is wrongly believed to rest is asked for again, one that is wrongly believed gone is not.
#[must_use]
pub fn order_status(word: &str) -> OrderStatus {
    match word {
        "filled" => OrderStatus::Filled,
        // Its trigger was reached: it trades now, or is about to.
        "triggered" => OrderStatus::Open,
        "iocCancelRejected" | "marketOrderNoLiquidityRejected" => OrderStatus::Expired,
        "scheduledCancel" => OrderStatus::Canceled,
        word if word.ends_with("xpired") => OrderStatus::Expired,
        word if word.ends_with("anceled") || word.ends_with("ancelled") || word.ends_with("ejected") || word.ends_with("Cancel") => {
            OrderStatus::Canceled
        }
        _ => OrderStatus::Open,
    }
}

/// Which of two states of an order is the later one: the end beats the beginning, the later the earlier.
pub(crate) fn standing(state: &wire::OrderState) -> (bool, i64) {
    (order_status(&state.status).is_final(), state.status_timestamp)
}

/// The name of an order: ours, or the venue's number where it has none.
#[must_use]
pub fn client_order_id(cloid: Option<&Cloid>, oid: u64) -> ClientOrderId {
    cloid.map_or_else(
        || ClientOrderId::new(&format!("oid:{oid}")).expect("a number with a prefix is a valid client order id"),
        Cloid::client_order_id,
    )
}

/// The venue's number as a name of ours.
#[must_use]
pub fn venue_order_id(oid: u64) -> VenueOrderId {
    VenueOrderId::new(&oid.to_string()).expect("a number is a valid venue order id")
}

/// The instrument's name.
///
/// # Errors
/// [`ConvertError`] when it is no name.
pub fn symbol(coin: &str) -> Result<VenueSymbol, ConvertError> {
    read("coin", coin)
}

/// A trade. `cloid` is what is known of its order from elsewhere.
///
/// # Errors
/// [`ConvertError`] names the number that cannot be read.
pub fn fill(fill: &wire::Fill, cloid: Option<&Cloid>) -> Result<FillReport, ConvertError> {
    let known = fill.cloid.as_ref().or(cloid);
    Ok(FillReport {
        trade_id: read("trade number", &fill.tid.to_string())?,
        client_order_id: known.map(Cloid::client_order_id),
        venue_order_id: venue_order_id(fill.oid),
        symbol: symbol(&fill.coin)?,
        side: side(fill.side),
        price: read("price", &fill.px)?,
        quantity: read("size", &fill.sz)?,
        fee: Fee { asset: read("fee token", &fill.fee_token)?, amount: read("fee", &fill.fee)? },
        at: Timestamp::from_millis(fill.time),
        cause: None,
    })
}

/// Buys or sells.
#[must_use]
pub const fn side(side: wire::Side) -> Side {
    match side {
        wire::Side::B => Side::Buy,
        wire::Side::A => Side::Sell,
    }
}

/// An order and its trades as one report whose total and status agree with them.
///
/// The venue does not keep an order's `sz` up to date while it fills, and shows filled orders with all of it left; so the trades count first, and
/// `sz` only where it says that more has traded. A `filled` order that can rest has traded in full. Of one that cannot (immediate-or-cancel), or
/// that the venue may have shrunk (reduce-only, as every trigger of ours), only the trades tell how much: `settled` says that they have had the
/// time to appear. Until then it is reported as open, because a total that is too high can never be taken back.
///
/// # Errors
/// [`ConvertError`] names the number that cannot be read.
pub fn report(state: &wire::OrderState, fills: Vec<FillReport>, settled: bool) -> Result<OrderReport, ConvertError> {
    let order = &state.order;
    let (asked, left): (Quantity, Quantity) = (read("size", &order.orig_sz)?, read("size", &order.sz)?);
    let traded = total(&fills)?;
    let in_full = matches!(order.tif.as_deref(), Some("Gtc" | "Alo")) && !order.reduce_only;
    let word = order_status(&state.status);
    let claimed = match word {
        OrderStatus::Filled if in_full => asked.max(traded),
        OrderStatus::Filled => traded,
        // Nothing left of an order that did not fill means that the venue cleared the field; what may only reduce may have been shrunk.
        _ if left.is_zero() || order.reduce_only => traded,
        _ => asked.minus(left).unwrap_or(Quantity::ZERO).max(traded),
    };
    let status = match word {
        // A list may be older than the trades.
        _ if !asked.is_zero() && claimed >= asked => OrderStatus::Filled,
        // There was less to reduce than its size, or less to trade with within its price.
        OrderStatus::Filled if settled && !traded.is_zero() && order.is_trigger => OrderStatus::Canceled,
        OrderStatus::Filled if settled && !traded.is_zero() => OrderStatus::Expired,
        OrderStatus::Filled => OrderStatus::Open,
        word => word,
    };
    let latest = fills.iter().map(|fill| fill.at).max().unwrap_or(Timestamp::EPOCH);
    Ok(OrderReport {
        client_order_id: client_order_id(order.cloid.as_ref(), order.oid),
        venue_order_id: venue_order_id(order.oid),
        symbol: symbol(&order.coin)?,
        status,
        filled_quantity: claimed,
        fills,
        position_id: None,
        at: Timestamp::from_millis(state.status_timestamp).max(latest),
    })
}

/// An order that is not at hand.
pub(crate) fn missing_order(oid: u64) -> ConvertError {
    ConvertError { what: "order", got: oid.to_string(), why: "it is not known".into() }
}

/// What trades add up to.
///
/// # Errors
/// [`ConvertError`] when the sum cannot be kept exactly.
pub fn total(fills: &[FillReport]) -> Result<Quantity, ConvertError> {
    let sum = fills.iter().try_fold(Quantity::ZERO, |sum, fill| sum.plus(fill.quantity));
    sum.map_err(|error| ConvertError { what: "total of trades", got: String::new(), why: error.to_string() })
}

/// Reads a price, a size, an amount.
///
/// # Errors
/// [`ConvertError`] when the text is no such number.
pub fn quantity(text: &str) -> Result<Quantity, ConvertError> {
    read("size", text)
}

/// Reads a signed size.
///
/// # Errors
/// [`ConvertError`] when the text is no such number.
pub fn signed_quantity(text: &str) -> Result<SignedQuantity, ConvertError> {
    read("size", text)
}

/// Reads an amount of money.
///
/// # Errors
/// [`ConvertError`] when the text is no such number.
pub fn amount(text: &str) -> Result<Amount, ConvertError> {
    read("amount", text)
}

/// The settled balance: the account's value less the gains and losses that are not booked yet.
///
/// # Errors
/// [`ConvertError`] names the number that cannot be read.
pub fn settled_balance(state: &wire::ClearinghouseState) -> Result<Amount, ConvertError> {
    let inexact = |error: omnivenue_core::model::number::NumberError| ConvertError {
        what: "account value",
        got: state.margin_summary.account_value.clone(),
        why: error.to_string(),
    };
    state.asset_positions.iter().try_fold(amount(&state.margin_summary.account_value)?, |balance, position| {
        balance.minus(amount(&position.position.unrealized_pnl)?).map_err(inexact)
    })
}

/// A quote from a bid and an ask; `None` when one of them is no price.
#[must_use]
pub fn quote(coin: &str, bid: &str, ask: &str, at: Timestamp) -> Option<Quote> {
    Some(Quote { symbol: symbol(coin).ok()?, bid: bid.parse().ok()?, ask: ask.parse().ok()?, at, depth: Depth::default() })
}

/// The venue's whole number of a leverage.
///
/// # Errors
/// [`OrderError::Invalid`] when it is not whole: the venue has no fractions.
pub fn whole_leverage(leverage: Leverage) -> Result<u32, OrderError> {
    let value = leverage.decimal();
    let whole = value.fract().is_zero().then(|| u32::try_from(value).ok()).flatten();
    whole.ok_or_else(|| OrderError::Invalid(format!("leverage {leverage} is not whole; hyperliquid has whole ones only")))
}

/// Rounds a price to the venue's rule; for callers of the adapter beyond the engine.
#[must_use]
pub fn round_price(market: Market, sz_decimals: u32, price: Price, rounding: Rounding) -> Option<Price> {
    price_rule(market, sz_decimals).round(price, rounding)
}

#[cfg(test)]
mod tests;
