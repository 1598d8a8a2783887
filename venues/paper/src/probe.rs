//! What became of an order whose fate is unknown: found, absent for ever by the exchange's own evidence, or not yet known.

use std::time::Duration;

use omnivenue_core::model::ids::{AccountId, ClientOrderId};
use omnivenue_core::model::number::Quantity;
use omnivenue_core::model::order::{FillReport, OrderReport, OrderStatus};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Absence, Evidence, OrderCapabilities, ProbePermission, Resend};

use crate::link::{Link, LinkError};
use crate::wire::{PlaceOrder, RefusalCode, Request, Response};

/// The order that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Whose.
    pub account: &'a AccountId,
    /// Our name of it. Another one than the text has is that of an exit that came with the order of the text.
    pub client_order_id: &'a ClientOrderId,
    /// The exact text that it came in.
    pub wire: &'a str,
    /// When the exchange refuses it, where it has a window.
    pub deadline: Option<Timestamp>,
    /// What may be done beside asking.
    pub permission: ProbePermission,
}

/// How long to wait before asking again where time proves nothing, at least and at most: as long as the order is old.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// Finds out what became of an order.
///
/// - It is asked for by its id, in the account's trades and among its orders: any one of them may be wrong for a while.
/// - Not found, and the exchange takes the same bytes once: the engine may send them again, if that is permitted; nothing is burned. Not so
///   for an exit that came with an entry: it has no bytes of its own.
/// - Not found, and ids can be burned: its id is burned, which either finds the order or makes it impossible for ever, and with it all that
///   would come in the same request.
/// - Not found, and the exchange has a window: absence is proved by a look that was made, by the exchange's clock, after the
///   deadline and the margin.
///
/// # Errors
/// [`LinkError`] when nothing was learned.
pub async fn probe(link: &dyn Link, orders: &OrderCapabilities, question: Question<'_>) -> Result<Evidence, LinkError> {
    let desk = Desk { link, question };
    let looked_at = match desk.look().await? {
        Look::Found(report) => return Ok(Evidence::Present(report)),
        Look::Nothing { at } => at,
    };
    let tried = "asked for the order, its trades and the account's orders: not found".to_owned();
    if orders.resend == Resend::Idempotent && question.permission.may_resend && desk.is_alone() {
        return Ok(Evidence::Resendable { evidence: tried });
    }
    match orders.absence {
        Absence::Burn => desk.burn(&tried).await,
        Absence::Window { length, margin } => Ok(desk.window(length, margin, looked_at, &tried)),
        Absence::Never => Ok(desk.never(&tried)),
    }
}

/// How far the exchange's clock may be behind ours without hiding an order from the list of those that ended.
const LISTED_BEFORE: Duration = Duration::from_secs(3600);

fn earlier(moment: Timestamp, length: Duration) -> Timestamp {
    let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(moment.as_micros().saturating_sub(micros))
}

enum Look {
    Found(OrderReport),
    /// Nowhere; `at` is the exchange's time of the earliest answer.
    Nothing {
        at: Timestamp,
    },
}

struct Desk<'a> {
    link: &'a dyn Link,
    question: Question<'a>,
}

impl Desk<'_> {
    fn account(&self) -> AccountId {
        self.question.account.clone()
    }

    fn id(&self) -> ClientOrderId {
        self.question.client_order_id.clone()
    }

    /// Asks in every place, in an order in which nothing can slip through: an order that
    /// has trades and then is not listed is done.
    async fn look(&self) -> Result<Look, LinkError> {
        let asked = self.link.call(Request::Order { account: self.account(), client_order_id: self.id() }).await;
        let denied_at = match asked {
            Ok(Response::Order(report)) => return self.completed(report).await.map(Look::Found),
            Ok(_) => return Err(LinkError::Unreadable),
            Err(LinkError::Refused(refusal)) if refusal.code == RefusalCode::UnknownOrder => refusal.at,
            Err(error) => return Err(error),
        };
        let (fills, fills_at) = self.fills().await?;
        let (listed, listed_at) = self.listed_order().await?;
        if let Some(report) = listed {
            return self.completed(report).await.map(Look::Found);
        }
        match fills.last() {
            Some(last) => self.completed(self.ended(last)).await.map(Look::Found),
            None => Ok(Look::Nothing { at: denied_at.min(fills_at).min(listed_at) }),
        }
    }

    async fn fills(&self) -> Result<(Vec<FillReport>, Timestamp), LinkError> {
        let request = Request::Fills { account: self.account(), since: None, client_order_id: Some(self.id()) };
        match self.link.call(request).await? {
            Response::Fills { fills, at } => Ok((fills, at)),
            _ => Err(LinkError::Unreadable),
        }
    }

    /// The order among those that rest and those that ended since it was made.
    async fn listed_order(&self) -> Result<(Option<OrderReport>, Timestamp), LinkError> {
        let since = self.made().map(|made| earlier(made, LISTED_BEFORE));
        match self.link.call(Request::Snapshot { account: self.account(), since }).await? {
            Response::Snapshot(snapshot) => {
                let mut orders = snapshot.orders.into_iter();
                let found = orders.find(|report| report.client_order_id == *self.question.client_order_id);
                Ok((found, snapshot.at))
            }
            _ => Err(LinkError::Unreadable),
        }
    }

    /// The request that it came in.
    fn request(&self) -> Option<PlaceOrder> {
        serde_json::from_str(self.question.wire).ok()
    }

    /// Whether the request is its own, and not that of the entry that it travelled with.
    fn is_alone(&self) -> bool {
        self.request().is_some_and(|place| place.client_order_id == *self.question.client_order_id)
    }

    /// When the order was made, by our clock.
    fn made(&self) -> Option<Timestamp> {
        self.request().map(|place| place.timestamp)
    }

    /// An order that has a trade but rests no more: what did not trade has ended.
    fn ended(&self, fill: &FillReport) -> OrderReport {
        OrderReport {
            client_order_id: self.id(),
            venue_order_id: fill.venue_order_id.clone(),
            symbol: fill.symbol.clone(),
            status: OrderStatus::Canceled,
            filled_quantity: Quantity::ZERO,
            fills: Vec::new(),
            position_id: None,
            at: fill.at,
        }
    }

    async fn present(&self, report: OrderReport) -> Result<Evidence, LinkError> {
        self.completed(report).await.map(Evidence::Present)
    }

    /// A report with every trade of its order, and a total and a status that agree with them.
    async fn completed(&self, report: OrderReport) -> Result<OrderReport, LinkError> {
        let (fills, _) = self.fills().await?;
        let fills: Vec<FillReport> = fills.into_iter().filter(|fill| fill.venue_order_id == report.venue_order_id).collect();
        let traded = fills.iter().try_fold(Quantity::ZERO, |sum, fill| sum.plus(fill.quantity)).unwrap_or_default();
        let filled_quantity = traded.max(report.filled_quantity);
        // An exit is for as much as the entry that it came with.
        let whole = self.request().is_some_and(|place| filled_quantity >= place.quantity);
        let status = if whole { OrderStatus::Filled } else { report.status };
        Ok(OrderReport { fills, filled_quantity, status, ..report })
    }

    async fn burn(&self, tried: &str) -> Result<Evidence, LinkError> {
        match self.link.call(Request::Burn { account: self.account(), client_order_id: self.id() }).await? {
            Response::Burned => {
                Ok(Evidence::AbsentForever { evidence: format!("{tried}; burned its id: no order had it, and none ever can") })
            }
            Response::Exists(report) => self.present(report).await,
            _ => Err(LinkError::Unreadable),
        }
    }

    fn window(&self, length: Duration, margin: Duration, looked_at: Timestamp, tried: &str) -> Evidence {
        let now = self.question.permission.now;
        // Without a deadline of its own the request is as old as the window allows from now on.
        let deadline = self.question.deadline.unwrap_or_else(|| now.after(length));
        let proof = deadline.after(margin);
        if looked_at < proof {
            let wait = proof.since(looked_at);
            return Evidence::NotYet {
                ask_at: now.after(wait),
                why: format!("{tried} at {looked_at}; the exchange may take it until {proof}"),
            };
        }
        Evidence::AbsentForever {
            evidence: format!("{tried} at {looked_at}, after its deadline {deadline} and the margin, when the exchange takes it no more"),
        }
    }

    fn never(&self, tried: &str) -> Evidence {
        let now = self.question.permission.now;
        let made = self.made().unwrap_or(now);
        let wait = now.since(made).clamp(WAIT.0, WAIT.1);
        Evidence::NotYet { ask_at: now.after(wait), why: format!("{tried}; here no time proves that it will not arrive") }
    }
}
