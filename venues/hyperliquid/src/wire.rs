//! The venue's answers, spelled exactly as the venue spells them. Numbers that are money stay text: [`crate::convert`] reads them.
//!
//! Source: the venue's documentation ("Info endpoint", "Exchange endpoint", "WebSocket"), as kept in public copies, and recorded answers of
//! hyperliquid-python-sdk; read 2026-11. Fields that nobody here reads are left out, fields the venue adds are ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::action::Cloid;

/// `meta`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// The perpetuals; an asset's number is its place here.
    pub universe: Vec<PerpAsset>,
    /// Which token margin is in; USDC when absent.
    #[serde(default)]
    pub collateral_token: u32,
}

/// One perpetual.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PerpAsset {
    /// The coin.
    pub name: String,
    /// Decimals of sizes.
    pub sz_decimals: u32,
    /// The highest leverage.
    pub max_leverage: u32,
    /// Whether it has isolated margin only.
    #[serde(default)]
    pub only_isolated: bool,
    /// Whether it is traded no more.
    #[serde(default)]
    pub is_delisted: bool,
}

/// `spotMeta`.
#[derive(Debug, Clone, Deserialize)]
pub struct SpotMeta {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// The pairs.
    pub universe: Vec<SpotPair>,
}

/// One token.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Its name.
    pub name: String,
    /// Decimals of sizes where it is the base.
    pub sz_decimals: u32,
    /// Its number.
    pub index: u32,
}

/// One spot pair.
#[derive(Debug, Clone, Deserialize)]
pub struct SpotPair {
    /// `@index`, or a name such as `PURR/USDC`.
    pub name: String,
    /// Base and quote, by number.
    pub tokens: [u32; 2],
    /// Its number; 10000 more is the asset's.
    pub index: u32,
}

/// One entry of the second half of `metaAndAssetCtxs` and `spotMetaAndAssetCtxs`, and of `activeAssetCtx`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssetContext {
    /// The mark price.
    pub mark_px: Option<String>,
    /// The middle of the book; absent where a side is empty.
    pub mid_px: Option<String>,
    /// The oracle's price; perpetuals only.
    pub oracle_px: Option<String>,
    /// The prices at which the impact notional would sell and buy; perpetuals only.
    pub impact_pxs: Option<Vec<String>>,
    /// The funding rate of the current hour; perpetuals only.
    pub funding: Option<String>,
    /// Which pair; spot only.
    pub coin: Option<String>,
}

/// `allMids`: the middle of every book, by coin.
pub type AllMids = BTreeMap<String, String>;

/// The frame of the `allMids` stream.
#[derive(Debug, Clone, Deserialize)]
pub struct MidsFrame {
    /// By coin.
    pub mids: AllMids,
}

/// One price level of a book.
#[derive(Debug, Clone, Deserialize)]
pub struct Level {
    /// The price.
    pub px: String,
    /// The size.
    pub sz: String,
}

/// `l2Book`.
#[derive(Debug, Clone, Deserialize)]
pub struct Book {
    /// The coin.
    pub coin: String,
    /// Milliseconds.
    pub time: i64,
    /// Bids, best first; asks, best first.
    pub levels: [Vec<Level>; 2],
}

/// The frame of the `bbo` stream.
#[derive(Debug, Clone, Deserialize)]
pub struct BestPrices {
    /// The coin.
    pub coin: String,
    /// Milliseconds.
    pub time: i64,
    /// Best bid and best ask.
    pub bbo: [Option<Level>; 2],
}

/// One candle of `candleSnapshot`.
#[derive(Debug, Clone, Deserialize)]
pub struct Candle {
    /// Its first millisecond.
    #[serde(rename = "t")]
    pub open_time: i64,
    /// Its last millisecond.
    #[serde(rename = "T")]
    pub close_time: i64,
    /// First price.
    #[serde(rename = "o")]
    pub open: String,
    /// Last price.
    #[serde(rename = "c")]
    pub close: String,
    /// Highest price.
    #[serde(rename = "h")]
    pub high: String,
    /// Lowest price.
    #[serde(rename = "l")]
    pub low: String,
    /// Volume in base units.
    #[serde(rename = "v")]
    pub volume: String,
}

/// One entry of `fundingHistory`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FundingRate {
    /// The coin.
    pub coin: String,
    /// The rate of that hour.
    pub funding_rate: String,
    /// Milliseconds.
    pub time: i64,
}

/// `exchangeStatus`.
#[derive(Debug, Clone, Deserialize)]
pub struct ExchangeStatus {
    /// The venue's clock, in milliseconds.
    pub time: i64,
}

/// `clearinghouseState`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClearinghouseState {
    /// Totals over all positions.
    pub margin_summary: MarginSummary,
    /// What could be withdrawn.
    pub withdrawable: String,
    /// Milliseconds.
    pub time: i64,
    /// The positions that are not flat.
    pub asset_positions: Vec<AssetPosition>,
}

/// Totals of an account's margin.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MarginSummary {
    /// Balance and unrealized gains.
    pub account_value: String,
    /// Margin in use.
    pub total_margin_used: String,
}

/// One entry of `assetPositions`.
#[derive(Debug, Clone, Deserialize)]
pub struct AssetPosition {
    /// The position.
    pub position: Position,
}

/// One position.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The coin.
    pub coin: String,
    /// Its size; negative is short.
    pub szi: String,
    /// Gain or loss at the mark price.
    pub unrealized_pnl: String,
    /// Its leverage.
    pub leverage: Leverage,
}

/// The leverage of a coin.
#[derive(Debug, Clone, Deserialize)]
pub struct Leverage {
    /// `cross` or `isolated`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whole.
    pub value: u32,
}

/// `activeAssetData`.
#[derive(Debug, Clone, Deserialize)]
pub struct ActiveAssetData {
    /// The coin's leverage on this account.
    pub leverage: Leverage,
}

/// `spotClearinghouseState`.
#[derive(Debug, Clone, Deserialize)]
pub struct SpotState {
    /// One per token held.
    pub balances: Vec<SpotBalance>,
}

/// What is held of one token.
#[derive(Debug, Clone, Deserialize)]
pub struct SpotBalance {
    /// Its name.
    pub coin: String,
    /// Its number.
    pub token: u32,
    /// Held back by open orders.
    pub hold: String,
    /// Altogether.
    pub total: String,
}

/// `B` or `A`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Side {
    /// Bid: buys.
    B,
    /// Ask: sells.
    A,
}

/// An order as every list, query and stream shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The coin.
    pub coin: String,
    /// Buys or sells.
    pub side: Side,
    /// The limit price.
    pub limit_px: String,
    /// What was left when its status last changed; not kept up to date while it fills.
    pub sz: String,
    /// The venue's number.
    pub oid: u64,
    /// When it was placed, in milliseconds.
    pub timestamp: i64,
    /// What was asked for.
    pub orig_sz: String,
    /// Our name of it.
    #[serde(default)]
    pub cloid: Option<Cloid>,
    /// `Gtc`, `Ioc`, `Alo`, `FrontendMarket`; absent in some lists and in the stream.
    #[serde(default)]
    pub tif: Option<String>,
    /// Whether it may only reduce; absent in some lists and in the stream.
    #[serde(default)]
    pub reduce_only: bool,
    /// Whether it sleeps, or slept, until a trigger; absent in some lists and in the stream.
    #[serde(default)]
    pub is_trigger: bool,
    /// Such as `Limit` or `Stop Market`; absent in some lists and in the stream.
    #[serde(default)]
    pub order_type: Option<String>,
    /// The triggers that wait for it to fill, in `frontendOpenOrders`; one that cannot be read is left out, and is then asked for by its name.
    #[serde(default, deserialize_with = "readable")]
    pub children: Vec<Order>,
}

/// What of a list has the shape of orders: what the venue puts there is documented as a list, and no more.
fn readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Order>, D::Error> {
    let listed = Option::<Vec<serde_json::Value>>::deserialize(deserializer)?;
    Ok(listed.unwrap_or_default().into_iter().filter_map(|order| serde_json::from_value(order).ok()).collect())
}

impl Order {
    /// Whether it trades at the market when it wakes, all of it at once, and never before.
    #[must_use]
    pub fn wakes_at_the_market(&self) -> bool {
        self.is_trigger && self.order_type.as_deref().is_some_and(|kind| kind.ends_with("Market"))
    }

    /// The order and all that waits for it, each for itself.
    #[must_use]
    pub fn with_children(mut self) -> Vec<Self> {
        let children = std::mem::take(&mut self.children);
        std::iter::once(self).chain(children.into_iter().flat_map(Self::with_children)).collect()
    }
}

/// An order with how it stands.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderState {
    /// The order.
    pub order: Order,
    /// The venue's word, such as `open` or `iocCancelRejected`.
    pub status: String,
    /// Since when, in milliseconds.
    pub status_timestamp: i64,
}

/// `orderStatus`.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "status", rename_all = "camelCase")]
#[allow(clippy::large_enum_variant, reason = "answers are read one at a time and live shortly")]
pub enum OrderStatus {
    /// There it is.
    Order {
        /// The order.
        order: OrderState,
    },
    /// The venue does not find it now; no proof that it is not there.
    UnknownOid,
}

/// One trade.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fill {
    /// The coin.
    pub coin: String,
    /// The price.
    pub px: String,
    /// The size.
    pub sz: String,
    /// Bought or sold.
    pub side: Side,
    /// Milliseconds.
    pub time: i64,
    /// The order's number.
    pub oid: u64,
    /// The trade's number.
    pub tid: u64,
    /// What it cost; negative is a rebate.
    pub fee: String,
    /// What the fee is paid in.
    pub fee_token: String,
    /// Our name of the order; not in every answer.
    #[serde(default)]
    pub cloid: Option<Cloid>,
}

/// The frame of the `userFills` stream.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FillsFrame {
    /// Whether these are old: the first frame of a subscription.
    #[serde(default)]
    pub is_snapshot: bool,
    /// The trades.
    pub fills: Vec<Fill>,
}

/// `userRateLimit`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRateLimit {
    /// Requests so far.
    pub n_requests_used: u64,
    /// Requests allowed.
    pub n_requests_cap: u64,
}

/// `userRole`.
#[derive(Debug, Clone, Deserialize)]
pub struct UserRole {
    /// `user`, `agent`, `vault`, `subAccount` or `missing`.
    pub role: String,
    /// Whose agent or sub-account.
    #[serde(default)]
    pub data: Option<RoleData>,
}

/// Whose agent or sub-account an address is.
#[derive(Debug, Clone, Deserialize)]
pub struct RoleData {
    /// The account an agent trades for.
    #[serde(default)]
    pub user: Option<String>,
    /// The owner of a sub-account.
    #[serde(default)]
    pub master: Option<String>,
}

/// One entry of `extraAgents`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtraAgent {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Milliseconds.
    pub valid_until: i64,
}

/// Any answer of `/exchange`.
#[derive(Debug, Deserialize)]
#[serde(tag = "status", content = "response", rename_all = "camelCase")]
pub enum ExchangeAnswer {
    /// The request was carried out; each item may still have failed.
    Ok(ExchangeResponse),
    /// The whole request failed, in these words.
    Err(String),
}

/// What a request that was carried out answers.
#[derive(Debug, Deserialize)]
pub struct ExchangeResponse {
    /// Absent for `default`.
    #[serde(default)]
    pub data: Option<ExchangeData>,
}

/// The outcome per item, or of the one item.
#[derive(Debug, Deserialize)]
pub struct ExchangeData {
    /// One per item, in order.
    #[serde(default)]
    pub statuses: Option<Vec<ItemStatus>>,
    /// The one item's.
    #[serde(default)]
    pub status: Option<ItemStatus>,
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ItemStatus {
    /// It rests.
    Resting {
        /// The order's number.
        oid: u64,
    },
    /// It traded at once: all of it, or as much as there was.
    #[serde(rename_all = "camelCase")]
    Filled {
        /// How much.
        total_sz: String,
        /// At which price on average.
        avg_px: String,
        /// The order's number.
        oid: u64,
    },
    /// It was refused, in these words.
    Error(String),
    /// A cancel that was carried out.
    Success,
    /// A child that wakes when its entry fills.
    WaitingForFill,
    /// A trigger that sleeps.
    WaitingForTrigger,
}

/// Any frame of the stream.
#[derive(Debug, Deserialize)]
pub struct Frame<'a> {
    /// What it is about.
    pub channel: String,
    /// Its content.
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Vec<ItemStatus> {
        match serde_json::from_str(text).unwrap() {
            ExchangeAnswer::Ok(ExchangeResponse { data: Some(ExchangeData { statuses, status }) }) => {
                statuses.or_else(|| status.map(|status| vec![status])).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_shape_of_answer_is_read() {
        let statuses = items(include_str!("../fixtures/exchange_order_statuses.json"));
        assert_eq!(statuses[0], ItemStatus::Resting { oid: 77_738_308 });
        assert_eq!(statuses[1], ItemStatus::Filled { total_sz: "0.02".into(), avg_px: "1891.4".into(), oid: 77_747_314 });
        assert!(matches!(&statuses[2], ItemStatus::Error(words) if words.starts_with("Order must have minimum value")));
        assert_eq!(statuses[3..], [ItemStatus::WaitingForFill, ItemStatus::WaitingForTrigger]);
        let canceled = items(include_str!("../fixtures/exchange_cancel.json"));
        assert!(matches!(canceled[..], [ItemStatus::Success, ItemStatus::Error(_)]));
        assert!(matches!(items(include_str!("../fixtures/exchange_twap_error.json"))[..], [ItemStatus::Error(_)]));
        let default: ExchangeAnswer = serde_json::from_str(include_str!("../fixtures/exchange_default.json")).unwrap();
        assert!(matches!(default, ExchangeAnswer::Ok(ExchangeResponse { data: None })));
        let refused: ExchangeAnswer = serde_json::from_str(include_str!("../fixtures/exchange_err.json")).unwrap();
        assert!(matches!(refused, ExchangeAnswer::Err(words) if words.starts_with("Invalid nonce: duplicate nonce")));
    }

    #[test]
    fn orders_and_trades_are_read() {
        let OrderStatus::Order { order } = serde_json::from_str(include_str!("../fixtures/info_order_status.json")).unwrap() else {
            panic!("it is an order")
        };
        assert_eq!((order.order.oid, order.status.as_str(), order.order.reduce_only, order.order.cloid), (1, "filled", true, None));
        assert!(matches!(serde_json::from_str(r#"{"status":"unknownOid"}"#).unwrap(), OrderStatus::UnknownOid));
        let past: Vec<OrderState> = serde_json::from_str(include_str!("../fixtures/info_historical_orders.json")).unwrap();
        assert_eq!((past[0].status.as_str(), past[0].order.tif.as_deref()), ("iocCancelRejected", Some("Ioc")));
        let fills: Vec<Fill> = serde_json::from_str(include_str!("../fixtures/info_user_fills.json")).unwrap();
        assert_eq!((fills[0].tid, fills[0].fee.as_str(), fills[0].side), (118_906_512_037_719, "-0.01", Side::B));
    }

    #[test]
    fn triggers_that_wait_for_their_entry_are_told_inside_it() {
        let open: Vec<Order> = serde_json::from_str(include_str!("../fixtures/info_frontend_open_orders.json")).unwrap();
        let all: Vec<Order> = open.into_iter().flat_map(Order::with_children).collect();
        let shown: Vec<(u64, bool, bool)> = all.iter().map(|order| (order.oid, order.is_trigger, order.cloid.is_some())).collect();
        assert_eq!(shown, [(301, false, true), (302, true, true), (303, true, true), (304, true, false)]);
        assert!(all.iter().all(|order| order.children.is_empty() && order.wakes_at_the_market() == order.is_trigger));
    }

    #[test]
    fn an_answer_that_is_something_else_is_an_error() {
        for text in ["", "null", "[]", "{}", r#"{"status":"ok"}"#, r#"{"status":"new","response":{}}"#, r#"{"status":"err","response":{}}"#]
        {
            assert!(serde_json::from_str::<ExchangeAnswer>(text).is_err(), "{text}");
        }
    }
}
