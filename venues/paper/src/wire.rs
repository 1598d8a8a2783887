//! What travels between a client and the exchange: requests, answers and the exact text of an order.

use omnivenue_core::model::exit::Trigger;
use omnivenue_core::model::ids::{AccountId, ClientOrderId, VenueSymbol};
use omnivenue_core::model::instrument::Side;
use omnivenue_core::model::number::{Leverage, Price, Quantity};
use omnivenue_core::model::order::{AttachedExit, FillReport, OrderReport};
use omnivenue_core::model::signal::OrderType;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{AccountSnapshot, Quote};
use serde::{Deserialize, Serialize};

/// An order as the exchange takes it. Its text is canonical: the same order has the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceOrder {
    /// The client's name of the order.
    pub client_order_id: ClientOrderId,
    /// Where the exchange wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<u64>,
    /// When it was made, by the client's clock.
    pub timestamp: Timestamp,
    /// Refused when it arrives later, where the exchange has a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The instrument.
    pub symbol: VenueSymbol,
    /// Buy or sell.
    pub side: Side,
    /// In base units.
    pub quantity: Quantity,
    /// Market or limit.
    pub order: OrderType,
    /// The order never fills beyond it.
    pub worst_price: Price,
    /// The leverage of the account in this instrument from now on.
    pub leverage: Leverage,
    /// Whether it may only reduce a position.
    pub reduce_only: bool,
    /// What wakes it: until the exchange's mark is there it waits, and trades nothing. Only for reduce-only market orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// Exits of its own, each an order that waits: armed for as much as this one trades. At most one of each kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<AttachedExit>,
}

impl PlaceOrder {
    /// The text that is sent.
    #[must_use]
    pub fn to_wire(&self) -> String {
        serde_json::to_string(self).expect("an order is plain data and always serializes")
    }
}

/// What a client can ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Places an order.
    Place {
        /// Whose.
        account: AccountId,
        /// The text of a [`PlaceOrder`].
        wire: String,
    },
    /// Asks for one order.
    Order {
        /// Whose.
        account: AccountId,
        /// Which.
        client_order_id: ClientOrderId,
    },
    /// Asks for every order that rests.
    OpenOrders {
        /// Whose.
        account: AccountId,
    },
    /// Asks for trades.
    Fills {
        /// Whose.
        account: AccountId,
        /// Only those at or after this instant.
        since: Option<Timestamp>,
        /// Only those of this order.
        client_order_id: Option<ClientOrderId>,
    },
    /// Cancels what rests of an order.
    Cancel {
        /// Whose.
        account: AccountId,
        /// Its instrument.
        symbol: VenueSymbol,
        /// Which.
        client_order_id: ClientOrderId,
    },
    /// Uses up a client order id, so that no order can ever have it.
    Burn {
        /// Whose.
        account: AccountId,
        /// Which.
        client_order_id: ClientOrderId,
    },
    /// Asks for everything of an account.
    Snapshot {
        /// Whose.
        account: AccountId,
        /// Done orders and trades only from this instant on.
        since: Option<Timestamp>,
    },
    /// Asks for all quotes.
    Quotes,
}

impl Request {
    /// What it asks, without the details.
    #[must_use]
    pub const fn kind(&self) -> RequestKind {
        match self {
            Self::Place { .. } => RequestKind::Place,
            Self::Order { .. } => RequestKind::Order,
            Self::OpenOrders { .. } => RequestKind::OpenOrders,
            Self::Fills { .. } => RequestKind::Fills,
            Self::Cancel { .. } => RequestKind::Cancel,
            Self::Burn { .. } => RequestKind::Burn,
            Self::Snapshot { .. } => RequestKind::Snapshot,
            Self::Quotes => RequestKind::Quotes,
        }
    }

    /// Whose it is.
    #[must_use]
    pub const fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Place { account, .. }
            | Self::Order { account, .. }
            | Self::OpenOrders { account }
            | Self::Fills { account, .. }
            | Self::Cancel { account, .. }
            | Self::Burn { account, .. }
            | Self::Snapshot { account, .. } => Some(account),
            Self::Quotes => None,
        }
    }
}

/// What a request asks, without the details; also [`RequestKind::Trigger`], which is a part of one, and [`RequestKind::Update`], which is
/// the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// [`Request::Place`].
    Place,
    /// [`Request::Order`].
    Order,
    /// [`Request::OpenOrders`].
    OpenOrders,
    /// [`Request::Fills`].
    Fills,
    /// [`Request::Cancel`].
    Cancel,
    /// [`Request::Burn`].
    Burn,
    /// [`Request::Snapshot`].
    Snapshot,
    /// [`Request::Quotes`].
    Quotes,
    /// No request of its own: an order with a trigger in a place request, by itself or attached to an entry. Each one counts.
    Trigger,
    /// No request: a report that the exchange sends on an account's stream.
    Update,
}

/// What the exchange answers when it does what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// To place, order, cancel. Holds all trades of the order, faults aside.
    Order(OrderReport),
    /// To open orders.
    Orders {
        /// Every order that rests.
        orders: Vec<OrderReport>,
        /// By the exchange's clock.
        at: Timestamp,
    },
    /// To fills.
    Fills {
        /// In the order in which they happened.
        fills: Vec<FillReport>,
        /// By the exchange's clock.
        at: Timestamp,
    },
    /// To burn: the id is used up, and no order ever had it.
    Burned,
    /// To burn: there is an order of that id.
    Exists(OrderReport),
    /// To snapshot.
    Snapshot(AccountSnapshot),
    /// To quotes.
    Quotes(Vec<Quote>),
}

/// Why the exchange refused: its own codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// Not an order.
    Malformed,
    /// No such account here.
    UnknownAccount,
    /// No such instrument here.
    UnknownSymbol,
    /// No order of that id.
    UnknownOrder,
    /// The id was used before: by other bytes, or burned.
    AlreadyUsed,
    /// The nonce is missing, was used before or is out of its range.
    BadNonce,
    /// It arrived after its deadline.
    Expired,
    /// The price is no multiple of the tick size, or out of range.
    BadPrice,
    /// The quantity is no multiple of the lot size, or out of range.
    BadQuantity,
    /// Worth less than the smallest order.
    MinNotional,
    /// Higher leverage than the instrument allows.
    BadLeverage,
    /// Not enough free balance or margin.
    InsufficientFunds,
    /// There is no position that it would reduce.
    ReduceOnly,
    /// It was to rest, but would trade at once.
    PostOnly,
    /// It was to wait for its trigger, but that is reached already.
    BadTrigger,
    /// No more orders may wait for a trigger.
    TooManyTriggers,
    /// The exchange cannot do this at all.
    Unsupported,
    /// There is no price at present.
    NoPrice,
    /// The instrument does not trade now: it is outside its hours, or has expired.
    NotTrading,
    /// The request was not looked at: too many of them.
    Overloaded,
}

impl RefusalCode {
    /// Whether the request was looked at and decided: the same bytes will not be taken later where requests are idempotent.
    #[must_use]
    pub const fn is_decision(self) -> bool {
        !matches!(self, Self::Overloaded | Self::UnknownAccount | Self::UnknownOrder)
    }

    /// As it is written.
    #[must_use]
    pub fn text(self) -> String {
        let value = serde_json::to_value(self).expect("a fieldless variant always serializes");
        value.as_str().unwrap_or_default().to_owned()
    }
}

/// The exchange's refusal, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .code.text())]
pub struct Refusal {
    /// Its code.
    pub code: RefusalCode,
    /// Its words.
    pub message: String,
    /// By the exchange's clock.
    pub at: Timestamp,
}

/// What comes back to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was done.
    Ok(Box<Response>),
    /// It was not done, and the exchange says so.
    Refused(Refusal),
    /// The connection broke: it may have been done.
    Cut,
}
