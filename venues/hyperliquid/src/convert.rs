//! Between the venue's words and ours. Pure: no network, no clock.

use omnivenue_core::model::ids::{Asset, ClientOrderId, VenueId, VenueOrderId, VenueSymbol};
use omnivenue_core::model::instrument::{Instrument, InstrumentSpec, Market, PriceRule, Rounding, Side};
use omnivenue_core::model::number::{Amount, Leverage, Price, Quantity, Rate, SignedQuantity};
use omnivenue_core::model::order::{Fee, FillReport, OrderReport, OrderRequest, OrderStatus};
use omnivenue_core::model::signal::{OrderType, TimeInForce};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Quote, Ticket};
use rust_decimal::Decimal;

use crate::action::{self, Cloid, OrderKind, Tif};
use crate::wire;

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
        Market::Perp => 7,
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

/// Why a request has no order at this venue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The venue has no such orders.
    #[error("{0}")]
    Unsupported(String),
    /// A rule of the venue is broken.
    #[error("{0}")]
    Invalid(String),
}

/// The order as the venue takes it. A market order is an immediate-or-cancel limit at the worst price admitted. Prices are rounded to the price
/// rule, never for the worse; quantities are not rounded: one that is no whole number of lots is refused.
///
/// # Errors
/// [`OrderError`] says what the venue does not have, or which rule is broken.
pub fn order(request: &OrderRequest, ticket: &Ticket, listing: &Listing) -> Result<action::Order, OrderError> {
    let instrument = &listing.instrument;
    let invalid = OrderError::Invalid;
    let (price, tif) = match request.order {
        OrderType::Market => (request.worst_price, Tif::Ioc),
        OrderType::Limit { time_in_force: TimeInForce::Fok, .. } => {
            return Err(OrderError::Unsupported("hyperliquid has no fill-or-kill orders; use ioc".into()));
        }
        OrderType::Limit { price, time_in_force: TimeInForce::Gtc, post_only: true } => (price, Tif::Alo),
        OrderType::Limit { post_only: true, .. } => {
            return Err(OrderError::Unsupported("a post-only order rests until it is filled or canceled; use gtc".into()));
        }
        OrderType::Limit { price, time_in_force: TimeInForce::Gtc, .. } => (price, Tif::Gtc),
        OrderType::Limit { price, time_in_force: TimeInForce::Ioc, .. } => (price, Tif::Ioc),
    };
    // The worst price binds whatever else is asked for.
    let price = if request.side.is_buy() { price.min(request.worst_price) } else { price.max(request.worst_price) };
    let price = instrument
        .limit_price(price, request.side)
        .ok_or_else(|| invalid(format!("price {price} has no valid price of {} at or inside it", instrument.symbol)))?;
    if request.reduce_only && instrument.market == Market::Spot {
        return Err(OrderError::Unsupported("spot has no reduce-only orders".into()));
    }
    if instrument.floor_quantity(request.quantity) != request.quantity || request.quantity.is_zero() {
        return Err(invalid(format!("quantity {} is not a whole number of lots of {}", request.quantity, instrument.lot_size)));
    }
    let digits = |number: Decimal| wire_number(number).ok_or_else(|| invalid(format!("{number} has more than 8 decimals")));
    Ok(action::Order {
        asset: listing.asset,
        is_buy: request.side.is_buy(),
        price: digits(price.decimal())?,
        size: digits(request.quantity.decimal())?,
        reduce_only: request.reduce_only,
        kind: OrderKind::Limit { tif },
        cloid: Some(Cloid::of(&ticket.client_order_id).map_err(|error| invalid(error.to_string()))?),
    })
}

/// How the venue's word for a state reads in ours. Words nobody here knows that do not end as those below are taken as still open: an order that
/// is wrongly believed to rest is asked for again, one that is wrongly believed gone is not.
#[must_use]
pub fn order_status(word: &str) -> OrderStatus {
    match word {
        "filled" => OrderStatus::Filled,
        "iocCancelRejected" | "marketOrderNoLiquidityRejected" => OrderStatus::Expired,
        "scheduledCancel" => OrderStatus::Canceled,
        word if word.ends_with("anceled") || word.ends_with("ancelled") || word.ends_with("ejected") || word.ends_with("Cancel") => {
            OrderStatus::Canceled
        }
        _ => OrderStatus::Open,
    }
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
/// that the venue may have shrunk (reduce-only), only the trades tell how much: `settled` says that they have had the time to appear. Until
/// then it is reported as open, because a total that is too high can never be taken back.
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
    Some(Quote { symbol: symbol(coin).ok()?, bid: bid.parse().ok()?, ask: ask.parse().ok()?, at })
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
mod tests {
    use std::fs;

    use omnivenue_core::model::order::Purpose;
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    fn listing(market: Market, symbol: &str, sz_decimals: u32) -> Listing {
        let names = Names { symbol, base: "HYPE", quote: "USDC" };
        let instrument = instrument(&"hyperliquid".parse().unwrap(), market, &names, sz_decimals, 10).unwrap();
        Listing { instrument, asset: 159, only_isolated: false, base_token: None }
    }

    fn request() -> OrderRequest {
        OrderRequest {
            account: "a".parse().unwrap(),
            symbol: "HYPE".parse().unwrap(),
            market: Market::Perp,
            side: Side::Buy,
            quantity: "1.5".parse().unwrap(),
            order: OrderType::Market,
            worst_price: "40.0349".parse().unwrap(),
            leverage: "2".parse().unwrap(),
            purpose: Purpose::Entry,
            reduce_only: false,
        }
    }

    fn ticket() -> Ticket {
        Ticket { client_order_id: "00000000000000000000000000000001".parse().unwrap(), nonce: None, now: Timestamp::EPOCH }
    }

    fn limit(price: &str, time_in_force: TimeInForce, post_only: bool) -> OrderType {
        OrderType::Limit { price: price.parse().unwrap(), time_in_force, post_only }
    }

    fn made(request: &OrderRequest) -> Result<action::Order, OrderError> {
        order(request, &ticket(), &listing(request.market, request.symbol.as_str(), 2))
    }

    #[derive(Deserialize)]
    struct Tables {
        float_to_wire: Vec<Spelled>,
        price_rounding: Vec<Rounded>,
    }

    #[derive(Deserialize)]
    struct Spelled {
        value: Box<serde_json::value::RawValue>,
        wire: String,
    }

    #[derive(Deserialize)]
    struct Rounded {
        coin: String,
        sz_decimals: u32,
        price_in: String,
        ccxt_price: String,
        sdk_slippage_price_zero_slippage: String,
    }

    fn tables() -> Tables {
        serde_json::from_str(&fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/vectors.json")).unwrap()).unwrap()
    }

    #[test]
    fn numbers_are_spelled_as_the_venues_own_client_spells_them() {
        let table = tables().float_to_wire;
        assert_eq!(table.len(), 8);
        for Spelled { value, wire } in table {
            let exact: omnivenue_kit::number::Exact = serde_json::from_str(value.get()).unwrap();
            assert_eq!(wire_number(exact.decimal()), Some(wire));
        }
        assert_eq!(wire_number("-0".parse().unwrap()).unwrap(), "0");
        assert_eq!(wire_number("0.123456789".parse().unwrap()), None);
    }

    /// Both clients round to the nearest valid price; ours goes to a side. So theirs is always one of our two.
    #[test]
    fn prices_are_rounded_to_neighbours_of_what_other_clients_send() {
        let table = tables().price_rounding;
        assert_eq!(table.len(), 35);
        for row in table {
            let given: Price = row.price_in.parse().unwrap();
            let down = round_price(Market::Perp, row.sz_decimals, given, Rounding::Down);
            let up = round_price(Market::Perp, row.sz_decimals, given, Rounding::Up).unwrap();
            let down_text = down.map_or("0".to_owned(), |down| down.to_string());
            assert!(
                [&down_text, &up.to_string()].contains(&&row.ccxt_price),
                "{} {}: {down_text} {up}, ccxt {}",
                row.coin,
                row.price_in,
                row.ccxt_price
            );
            // The SDK's %.5g gives 123460, one of several valid integers near it: it must be valid for us too.
            if let Ok(sdk) = row.sdk_slippage_price_zero_slippage.parse::<Price>() {
                assert!(price_rule(Market::Perp, row.sz_decimals).allows(sdk), "{sdk}");
            }
        }
    }

    /// The examples of "Tick and lot size".
    #[test]
    fn prices_are_valid_where_the_venue_says_so() {
        let check = |market, sz_decimals, price: &str, valid: bool| {
            assert_eq!(price_rule(market, sz_decimals).allows(price.parse().unwrap()), valid, "{price}");
        };
        check(Market::Perp, 0, "1234.5", true);
        check(Market::Perp, 0, "1234.56", false);
        check(Market::Perp, 0, "0.001234", true);
        check(Market::Perp, 0, "0.0012345", false);
        check(Market::Perp, 0, "123456", true);
        check(Market::Perp, 1, "0.01234", true);
        check(Market::Perp, 1, "0.012345", false);
        check(Market::Spot, 2, "0.000123", true);
        check(Market::Spot, 2, "0.0001234", false);
    }

    #[test]
    fn a_market_order_is_immediate_or_cancel_at_the_worst_price() {
        let order = made(&request()).unwrap();
        assert_eq!(
            serde_json::to_string(&order).unwrap(),
            r#"{"a":159,"b":true,"p":"40.034","s":"1.5","r":false,"t":{"limit":{"tif":"Ioc"}},"c":"0x00000000000000000000000000000001"}"#
        );
        let sell = made(&OrderRequest { side: Side::Sell, ..request() }).unwrap();
        assert_eq!((sell.price.as_str(), sell.is_buy), ("40.035", false));
    }

    #[test]
    fn limits_keep_their_price_within_the_worst() {
        let tif = |order: OrderType| made(&OrderRequest { order, ..request() }).map(|order| (order.price, order.kind));
        let rests = |tif| OrderKind::Limit { tif };
        assert_eq!(tif(limit("38.1", TimeInForce::Gtc, false)), Ok(("38.1".into(), rests(Tif::Gtc))));
        assert_eq!(tif(limit("38.1", TimeInForce::Gtc, true)), Ok(("38.1".into(), rests(Tif::Alo))));
        assert_eq!(tif(limit("38.1", TimeInForce::Ioc, false)), Ok(("38.1".into(), rests(Tif::Ioc))));
        assert_eq!(tif(limit("50", TimeInForce::Ioc, false)), Ok(("40.034".into(), rests(Tif::Ioc))));
        assert!(matches!(tif(limit("38.1", TimeInForce::Fok, false)), Err(OrderError::Unsupported(_))));
        assert!(matches!(tif(limit("38.1", TimeInForce::Ioc, true)), Err(OrderError::Unsupported(_))));
    }

    #[test]
    fn what_the_venue_does_not_have_is_refused() {
        let spot = OrderRequest { symbol: "@107".parse().unwrap(), market: Market::Spot, reduce_only: true, ..request() };
        assert!(matches!(made(&spot), Err(OrderError::Unsupported(_))));
        assert!(made(&OrderRequest { reduce_only: false, ..spot }).is_ok());
        assert!(made(&OrderRequest { reduce_only: true, ..request() }).unwrap().reduce_only);
        assert!(matches!(made(&OrderRequest { quantity: "1.505".parse().unwrap(), ..request() }), Err(OrderError::Invalid(_))));
        assert!(matches!(made(&OrderRequest { worst_price: "0.00001".parse().unwrap(), ..request() }), Err(OrderError::Invalid(_))));
        assert_eq!(whole_leverage("5".parse().unwrap()), Ok(5));
        assert!(whole_leverage("2.5".parse().unwrap()).is_err());
    }

    #[test]
    fn every_shape_of_instrument_is_kept_exactly() {
        for sz_decimals in 0..=6 {
            listing(Market::Perp, "HYPE", sz_decimals);
            listing(Market::Spot, "@107", sz_decimals);
        }
        let btc = listing(Market::Perp, "BTC", 5).instrument;
        assert!(btc.max_price > "5000000".parse().unwrap());
        let meme = listing(Market::Perp, "kPEPE", 0).instrument;
        assert!(meme.max_quantity > "5000000000".parse().unwrap());
    }

    #[test]
    fn instruments_come_from_the_venues_own_lists() {
        let meta: wire::Meta = serde_json::from_str(include_str!("../fixtures/info_meta.json")).unwrap();
        let spot: wire::SpotMeta = serde_json::from_str(include_str!("../fixtures/info_spot_meta.json")).unwrap();
        let all = listings(&"hyperliquid".parse().unwrap(), &meta, &spot);
        let shown: Vec<String> = all
            .iter()
            .map(|listing| match listing {
                Ok(listing) => {
                    let i = &listing.instrument;
                    format!("{} {} {} {}/{} {}", listing.asset, i.symbol, i.market, i.base, i.quote, i.lot_size)
                }
                Err(error) => format!("left out: {error}").chars().take(40).collect(),
            })
            .collect();
        let expected = [
            "0 BTC perp BTC/USDC 0.00001",
            "1 ETH perp ETH/USDC 0.0001",
            "3 kPEPE perp kPEPE/USDC 1",
            "left out: the venue's coin is `BAD NAME`",
            "10000 PURR/USDC spot PURR/USDC 1",
            "10107 @107 spot HYPE/USDC 0.01",
            "left out: the venue's spot pair is `@200",
        ];
        assert_eq!(shown, expected, "MATIC is delisted: its number stays taken");
    }

    fn state(status: &str, orig: &str, left: &str, tif: &str) -> wire::OrderState {
        let order = format!(
            r#"{{"coin":"HYPE","side":"B","limitPx":"40","sz":"{left}","oid":7,"timestamp":1,"origSz":"{orig}","tif":"{tif}","cloid":null}}"#
        );
        serde_json::from_str(&format!(r#"{{"order":{order},"status":"{status}","statusTimestamp":5}}"#)).unwrap()
    }

    fn trade(tid: u64, size: &str) -> FillReport {
        let json =
            format!(r#"{{"coin":"HYPE","px":"40","sz":"{size}","side":"B","time":9,"oid":7,"tid":{tid},"fee":"0.01","feeToken":"USDC"}}"#);
        fill(&serde_json::from_str(&json).unwrap(), None).unwrap()
    }

    #[test]
    fn totals_and_status_agree_with_the_trades() {
        let check = |status: &str, left: &str, tif: &str, trades: &[&str], settled: bool, expected: (OrderStatus, &str)| {
            let fills = (1..).zip(trades).map(|(tid, size)| trade(tid, size)).collect();
            let report = report(&state(status, "10", left, tif), fills, settled).unwrap();
            assert_eq!((report.status, report.filled_quantity.to_string().as_str()), expected, "{status} {left} {tif} {trades:?}");
        };
        use OrderStatus::{Canceled, Expired, Filled, Open};
        check("open", "10", "Gtc", &[], true, (Open, "0"));
        // What is left is not kept up to date.
        check("open", "10", "Gtc", &["4"], true, (Open, "4"));
        check("open", "6", "Gtc", &[], true, (Open, "4"));
        check("open", "10", "Gtc", &["4", "6"], true, (Filled, "10"));
        check("filled", "0.0", "Gtc", &[], true, (Filled, "10"));
        check("filled", "10", "Gtc", &["10"], true, (Filled, "10"));
        // Its trades may not be listed yet, or its rest is gone.
        check("filled", "0.0", "Ioc", &["4"], false, (Open, "4"));
        check("filled", "0.0", "Ioc", &["4"], true, (Expired, "4"));
        check("filled", "0.0", "Ioc", &["4", "6"], false, (Filled, "10"));
        check("filled", "0.0", "Ioc", &[], true, (Open, "0"));
        check("canceled", "6", "Gtc", &[], true, (Canceled, "4"));
        check("canceled", "0.0", "Gtc", &["4"], true, (Canceled, "4"));
        check("marginCanceled", "10", "Gtc", &[], true, (Canceled, "0"));
        check("iocCancelRejected", "10", "Ioc", &[], true, (Expired, "0"));
        check("perpMarginRejected", "10", "Ioc", &[], true, (Canceled, "0"));
        check("scheduledCancel", "10", "Gtc", &[], true, (Canceled, "0"));
        check("somethingNew", "10", "Gtc", &[], true, (Open, "0"));
    }

    #[test]
    fn names_of_orders_are_ours_or_the_venues_number() {
        assert_eq!(client_order_id(None, 7).as_str(), "oid:7");
        let cloid = Cloid::parse("0x00000000000000000000000000000001").unwrap();
        assert_eq!(client_order_id(Some(&cloid), 7).as_str(), "00000000000000000000000000000001");
    }

    #[test]
    fn a_balance_is_what_is_settled() {
        let state: wire::ClearinghouseState = serde_json::from_str(include_str!("../fixtures/info_clearinghouse_state.json")).unwrap();
        assert_eq!(settled_balance(&state).unwrap().to_string(), "1004.5");
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        for text in ["", "NaN", "1e5", "-1", "0x1"] {
            assert!(quantity(text).is_err(), "{text}");
        }
        assert!(report(&state("open", "ten", "1", "Gtc"), Vec::new(), true).is_err());
    }

    proptest! {
        #[test]
        fn wire_numbers_are_canonical_and_round_trip(mantissa in any::<i64>(), scale in 0_u32..12) {
            let number = Decimal::new(mantissa, scale);
            match wire_number(number) {
                None => prop_assert!(number.normalize().scale() > 8),
                Some(text) => {
                    prop_assert!(!text.contains(['e', 'E', '+']) && text != "-0");
                    let decimals = text.split_once('.').map_or("", |(_, decimals)| decimals);
                    prop_assert!(decimals.len() <= 8 && !decimals.ends_with('0'));
                    prop_assert_eq!(text.parse::<Decimal>().unwrap(), number);
                }
            }
        }

        #[test]
        fn rounding_never_enlarges_risk(mantissa in 1_i64..10_000_000_000, scale in 0_u32..8, worse in 0_i64..1000, sz_decimals in 0_u32..6, buys in any::<bool>(), lots in 1_i64..1_000_000) {
            let side = if buys { Side::Buy } else { Side::Sell };
            let price = Price::new(Decimal::new(mantissa, scale)).unwrap();
            let limit_price = Price::new(Decimal::new(mantissa + worse, scale)).unwrap();
            let quantity = Quantity::new(Decimal::new(lots, sz_decimals)).unwrap();
            let order_type = OrderType::Limit { price: limit_price, time_in_force: TimeInForce::Gtc, post_only: false };
            let asked = OrderRequest { side, worst_price: price, quantity, order: order_type, ..request() };
            let listing = listing(Market::Perp, "HYPE", sz_decimals);
            if let Ok(order) = order(&asked, &ticket(), &listing) {
                let sent: Price = order.price.parse().unwrap();
                prop_assert!(listing.instrument.price_rule.allows(sent));
                let inside = if buys { sent <= price && sent <= limit_price } else { sent >= price && sent >= limit_price };
                prop_assert!(inside, "{} for {} and {}", sent, price, limit_price);
                prop_assert_eq!(order.size.parse::<Quantity>().unwrap(), quantity);
            }
        }

        #[test]
        fn no_report_claims_less_than_its_trades(orig in 1_u32..1000, left in 0_u32..1000, parts in proptest::collection::vec(1_u32..200, 0..6), word in "filled|open|canceled|iocCancelRejected|odd", settled in any::<bool>()) {
            let fills: Vec<FillReport> = (1..).zip(&parts).map(|(tid, size)| trade(tid, &size.to_string())).collect();
            let traded = total(&fills).unwrap();
            let report = report(&state(&word, &orig.to_string(), &left.min(orig).to_string(), "Ioc"), fills, settled).unwrap();
            prop_assert!(report.filled_quantity >= traded);
            prop_assert!(word != "filled" || report.filled_quantity == traded, "a total that is too high is never taken back");
            prop_assert!(report.status != OrderStatus::Filled || report.filled_quantity.decimal() >= Decimal::from(orig));
        }
    }
}
