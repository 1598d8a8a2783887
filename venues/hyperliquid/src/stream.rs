//! What the stream tells of an account.
//!
//! Reconnecting is the engine's: a stream ends with an error when anything about it is in doubt, and a snapshot covers what was missed.

use std::time::Duration;

use omnivenue_core::model::order::OrderReport;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Closed, Operation, Sink, VenueError};
use omnivenue_kit::stream::{Event, Frame, Session, SessionConfig, Subscription};
use serde_json::json;

use crate::account::HyperliquidAccount;
use crate::action::OrderRef;
use crate::convert::ConvertError;
use crate::frames::{Channel, Json, complaint, failed, stale, subscribe};
use crate::joiner::Joiner;
use crate::rest::Purpose;
use crate::wire;

/// What the stream tells of an account.
#[derive(Debug)]
enum News {
    Orders(Vec<wire::OrderState>),
    Fills(wire::FillsFrame),
    Unreadable(String),
}

const ORDERS: &str = "orderUpdates";
const FILLS: &str = "userFills";

fn read(channel: &Channel<'_>) -> Frame<News> {
    match channel.name {
        ORDERS => Frame::Data(ORDERS.to_owned(), channel.read(News::Orders, News::Unreadable)),
        FILLS => Frame::Data(FILLS.to_owned(), channel.read(News::Fills, News::Unreadable)),
        _ => Frame::Other,
    }
}

/// Trades of the first frame that are told: what may have happened while nothing listened. Older ones are in the snapshot that the engine takes.
const OVERLAP: Duration = Duration::from_secs(60);
/// How often trades whose order the stream has not named are looked up.
const LOOK_UP_EVERY: Duration = Duration::from_millis(250);
/// How many are looked up each time.
const LOOK_UPS_AT_ONCE: usize = 8;
/// How often one is looked up before the stream is given up.
const LOOK_UPS_MAX: u32 = 20;
/// How old a trade is before it counts as never streamed.
const LATE_AFTER: Duration = Duration::from_secs(10);

/// One account's stream.
struct Stream<'a> {
    account: &'a HyperliquidAccount,
    sink: Sink<OrderReport>,
    joiner: Joiner,
    since: Timestamp,
}

/// Why a stream is over.
enum End {
    /// The engine no longer listens.
    Closed,
    Failed(VenueError),
}

impl From<Closed> for End {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<VenueError> for End {
    fn from(error: VenueError) -> Self {
        Self::Failed(error)
    }
}

/// Delivers reports until the connection or the sink ends.
pub(crate) async fn follow(account: &HyperliquidAccount, sink: Sink<OrderReport>) -> Result<(), VenueError> {
    let _place = account.hyperliquid().connection(Operation::Stream)?;
    let since = account.client().now();
    let joiner = Joiner::new(account.market());
    match (Stream { account, sink, joiner, since }).run().await {
        Ok(()) | Err(End::Closed) => Ok(()),
        Err(End::Failed(error)) => Err(error),
    }
}

impl Stream<'_> {
    async fn run(&mut self) -> Result<(), End> {
        let client = self.account.client();
        let user = self.account.user();
        let subscriptions = [ORDERS, FILLS].map(|kind| {
            let aggregated = if kind == FILLS {
                json!({"type": kind, "user": user, "aggregateByTime": false})
            } else {
                json!({"type": kind, "user": user})
            };
            Subscription::new(kind, subscribe(&aggregated))
        });
        let config = SessionConfig::new(self.account.hyperliquid().config().ws());
        self.account.hyperliquid().connect(Operation::Stream).await?;
        let session = Session::connect(&config, Json(read), subscriptions.into()).await;
        let mut session = session.map_err(|error| failed(client, Operation::Stream, error))?;
        let mut look_ups = tokio::time::interval(LOOK_UP_EVERY);
        let every = self.account.hyperliquid().config().cross_check_every;
        let mut checks = tokio::time::interval(every);
        checks.reset();
        loop {
            tokio::select! {
                event = session.next() => match event.map_err(|error| failed(client, Operation::Stream, error))? {
                    Event::Data(data) => self.take(data.message).await?,
                    Event::Stale { key, age } => return Err(stale(client, Operation::Stream, &key, age).into()),
                    Event::Error(words) => return Err(complaint(client, Operation::Stream, &words).into()),
                },
                _ = look_ups.tick() => self.look_up().await?,
                _ = checks.tick() => self.cross_check().await?,
            }
        }
    }

    async fn take(&mut self, news: News) -> Result<(), End> {
        match news {
            News::Orders(orders) => {
                for mut state in orders {
                    self.account.complete_order(&mut state.order);
                    let report = self.joiner.order(state);
                    self.tell(report).await?;
                }
            }
            News::Fills(frame) => {
                let recent = Timestamp::from_micros(self.since.as_micros().saturating_sub(i64::try_from(OVERLAP.as_micros()).unwrap_or(0)));
                for fill in frame.fills {
                    if frame.is_snapshot && Timestamp::from_millis(fill.time) < recent {
                        self.joiner.tell(fill.tid);
                        continue;
                    }
                    let report = self.joiner.fill(fill);
                    self.tell(report).await?;
                }
            }
            News::Unreadable(why) => return Err(self.unreadable(why)),
        }
        Ok(())
    }

    fn unreadable(&self, why: impl std::fmt::Display) -> End {
        self.account.client().unreadable(Operation::Stream, why).into()
    }

    async fn tell(&self, report: Result<Option<OrderReport>, ConvertError>) -> Result<(), End> {
        if let Some(report) = report.map_err(|error| self.unreadable(error))? {
            self.sink.send(report).await?;
        }
        Ok(())
    }

    /// Asks for the orders of trades that came before them.
    async fn look_up(&mut self) -> Result<(), End> {
        let waiting: Vec<u64> = self.joiner.waiting().take(LOOK_UPS_AT_ONCE).collect();
        for oid in waiting {
            self.look_up_one(oid).await?;
        }
        Ok(())
    }

    async fn look_up_one(&mut self, oid: u64) -> Result<(), End> {
        let client = self.account.client();
        let asked = client.order_status(self.account.user(), &OrderRef::Oid(oid), Purpose::read(Operation::Stream)).await;
        match asked {
            Ok(wire::OrderStatus::Order { order }) => {
                let report = self.joiner.order(order);
                self.tell(report).await
            }
            Ok(wire::OrderStatus::UnknownOid) | Err(_) => {
                if self.joiner.asked_in_vain(oid) < LOOK_UPS_MAX {
                    return Ok(());
                }
                Err(self.unreadable(format!("a trade came of order {oid}, which the venue does not know")))
            }
        }
    }

    /// Compares the trades that were streamed with those of REST. One that never came is told, and the stream is given up: it loses messages.
    async fn cross_check(&mut self) -> Result<(), End> {
        let client = self.account.client();
        let now = client.now();
        let fills = match client.fills(self.account.user(), self.since, None, Purpose::read(Operation::Stream)).await {
            Ok(fills) => fills,
            // The stream itself is well; the next check covers the same time.
            Err(error) => {
                tracing::debug!(account = %self.account.name(), %error, "trades could not be cross-checked");
                return Ok(());
            }
        };
        let late = |fill: &wire::Fill| now.since(Timestamp::from_millis(fill.time)) > LATE_AFTER;
        let missed: Vec<wire::Fill> =
            fills.into_iter().filter(|fill| late(fill) && self.joiner.is_ours(&fill.coin) && !self.joiner.is_told(fill.tid)).collect();
        if missed.is_empty() {
            let margin = i64::try_from((LATE_AFTER + OVERLAP).as_micros()).unwrap_or(0);
            self.since = self.since.max(Timestamp::from_micros(now.as_micros().saturating_sub(margin)));
            return Ok(());
        }
        let count = missed.len();
        tracing::warn!(account = %self.account.name(), count, "the stream has lost trades; it is opened again");
        for fill in missed {
            let report = self.joiner.fill(fill);
            self.tell(report).await?;
        }
        while self.joiner.waiting().next().is_some() {
            tokio::time::sleep(LOOK_UP_EVERY).await;
            self.look_up().await?;
        }
        Err(self.unreadable(format!("{count} trades were never streamed")))
    }
}

#[cfg(test)]
mod tests {
    use omnivenue_core::model::instrument::Market;
    use omnivenue_core::model::order::OrderStatus;

    use super::*;
    use crate::frames::read_with;

    fn frame(text: &str) -> News {
        match read_with(text, read) {
            Frame::Data(_, news) => news,
            other => panic!("{other:?}"),
        }
    }

    fn orders() -> Vec<wire::OrderState> {
        match frame(include_str!("../fixtures/ws_order_updates.json")) {
            News::Orders(orders) => orders,
            other => panic!("{other:?}"),
        }
    }

    fn fill() -> wire::Fill {
        match frame(include_str!("../fixtures/ws_user_fills.json")) {
            News::Fills(frame) => {
                assert!(frame.is_snapshot);
                frame.fills[0].clone()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn frames_are_what_they_say() {
        let check = |text: &str, expected: &str| assert!(format!("{:?}", read_with(text, read)).starts_with(expected), "{text}");
        check("Websocket connection established.", "Other");
        check(r#"{"channel":"pong"}"#, "Pong");
        check(r#"{"channel":"error","data":"Invalid subscription"}"#, r#"Error("Invalid subscription")"#);
        let ack = r#"{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":{"type":"userFills","user":"0x00"}}}"#;
        check(ack, r#"Ack("userFills")"#);
        let ack = r#"{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":{"type":"bbo","coin":"HYPE"}}}"#;
        check(ack, r#"Ack("bbo:HYPE")"#);
        check(r#"{"channel":"orderUpdates","data":[{}]}"#, r#"Data("orderUpdates", Unreadable("#);
        check(r#"{"channel":"notification","data":{}}"#, "Other");
    }

    #[test]
    fn trades_meet_their_order_whichever_comes_first() {
        for order_first in [true, false] {
            let mut joiner = Joiner::new(Market::Perp);
            let report = if order_first {
                let first = joiner.order(orders().remove(0)).unwrap().unwrap();
                assert_eq!(
                    (first.status, first.fills.len()),
                    (OrderStatus::Open, 0),
                    "how much an order filled that cannot rest, its trades tell"
                );
                joiner.fill(fill()).unwrap().unwrap()
            } else {
                assert!(joiner.fill(fill()).unwrap().is_none());
                joiner.order(orders().remove(0)).unwrap().unwrap()
            };
            assert_eq!((report.status, report.filled_quantity.to_string().as_str(), report.fills.len()), (OrderStatus::Filled, "1.5", 1));
            assert_eq!(report.client_order_id.as_str(), "00000000000000000000000000000001");
            assert_eq!(report.fills[0].client_order_id, Some(report.client_order_id.clone()));
            assert!(joiner.fill(fill()).unwrap().is_none(), "told once");
        }
    }

    #[test]
    fn foreign_orders_are_named_by_number_and_other_markets_left_out() {
        let foreign = Joiner::new(Market::Perp).order(orders().remove(1)).unwrap().unwrap();
        assert_eq!((foreign.client_order_id.as_str(), foreign.status), ("oid:77738309", OrderStatus::Open));
        assert!(Joiner::new(Market::Spot).order(orders().remove(1)).unwrap().is_none());
    }

    #[test]
    fn what_is_over_stays_over() {
        let mut joiner = Joiner::new(Market::Perp);
        let mut canceled = orders().remove(1);
        canceled.status = "canceled".into();
        joiner.order(canceled).unwrap();
        assert_eq!(joiner.order(orders().remove(1)).unwrap().unwrap().status, OrderStatus::Canceled, "an older frame came later");
    }
}
