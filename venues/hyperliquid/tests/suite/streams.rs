//! What the streams tell, and that they end when they lose something.

use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::model::order::{OrderReport, OrderStatus};
use omnivenue_core::venue::{Account, Quote, Sink, Venue, VenueError};
use omnivenue_hyperliquid::action::{CancelByOid, Order, OrderKind, Tif};
use omnivenue_hyperliquid::wire::ItemStatus;
use serde_json::json;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;

use crate::bench::{Bench, World, parse, resting};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Followed {
    reports: Receiver<OrderReport>,
    over: JoinHandle<Result<(), VenueError>>,
}

impl Followed {
    /// Follows the account, and waits until it really does: a foreign order is told.
    pub(crate) async fn start(bench: &Bench) -> Self {
        let (sink, reports) = Sink::bounded(1024);
        let account = Arc::clone(&bench.account);
        let over = tokio::spawn(async move { account.stream(sink).await });
        let mut followed = Self { reports, over };
        let asset = bench.hyperliquid.listing(&parse("HYPE")).unwrap().asset;
        let foreign = Order {
            asset,
            is_buy: true,
            price: "30".into(),
            size: "1".into(),
            reduce_only: false,
            kind: OrderKind::Limit { tif: Tif::Gtc },
            cloid: None,
        };
        for _ in 0..100 {
            let placed = bench.account.place_batch(vec![foreign.clone()]).await.unwrap();
            let [ItemStatus::Resting { oid }] = placed[..] else { panic!("{placed:?}") };
            let told = tokio::time::timeout(Duration::from_millis(200), followed.reports.recv()).await;
            bench.account.cancel_by_oid(vec![CancelByOid { asset, oid }]).await.unwrap();
            if told.is_ok() {
                return followed;
            }
        }
        panic!("the stream tells nothing");
    }

    /// Waits for a report that fits.
    pub(crate) async fn until(&mut self, fits: impl Fn(&OrderReport) -> bool) -> OrderReport {
        let found = async {
            loop {
                let report = self.reports.recv().await.expect("the stream goes on");
                if fits(&report) {
                    return report;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("it is told in time")
    }

    pub(crate) async fn end(self) -> VenueError {
        tokio::time::timeout(PATIENCE, self.over).await.expect("it ends").unwrap().unwrap_err()
    }
}

#[tokio::test]
async fn orders_and_trades_are_told_under_our_names() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let mut followed = Followed::start(&bench).await;
    let order = bench.order(json!({})).await;
    bench.place(&order).await.unwrap();
    let filled = followed.until(|report| report.client_order_id == *order.client_order_id() && report.status == OrderStatus::Filled).await;
    assert_eq!((filled.filled_quantity, filled.fills.len()), (parse("1"), 1));
    assert_eq!(filled.fills[0].client_order_id.as_ref(), Some(order.client_order_id()));

    let resting = bench.order(resting()).await;
    bench.place(&resting).await.unwrap();
    let named = |status| move |report: &OrderReport| report.status == status;
    let open = followed.until(named(OrderStatus::Open)).await;
    assert_eq!(open.client_order_id, *resting.client_order_id());
    // The market comes to it.
    world.price("HYPE", "29");
    let hit = followed.until(named(OrderStatus::Filled)).await;
    assert_eq!((hit.client_order_id, hit.filled_quantity), (open.client_order_id, parse("1")));
}

#[tokio::test]
async fn frames_that_come_twice_or_late_change_nothing() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let mut followed = Followed::start(&bench).await;
    for fault in ["duplicate", "reorder"] {
        let order = bench.order(json!({})).await;
        world.fault(fault, "stream", 2);
        bench.place(&order).await.unwrap();
        let done = |report: &OrderReport| report.client_order_id == *order.client_order_id() && !report.fills.is_empty();
        let told = followed.until(done).await;
        assert_eq!((told.filled_quantity, told.fills.len()), (parse("1"), 1), "{fault}");
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_is_an_error() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let followed = Followed::start(&bench).await;
    world.fault("cut_stream", "orderUpdates", 1);
    let order = bench.order(json!({})).await;
    bench.place(&order).await.unwrap();
    followed.end().await;
}

#[tokio::test]
async fn a_trade_that_was_never_streamed_is_told_and_ends_the_stream() {
    for (fault, kind) in [("drop", "userFills"), ("silent_stream", "stream")] {
        let world = World::start();
        let mut bench = Bench::open(&world).await;
        let mut followed = Followed::start(&bench).await;
        world.fault(fault, kind, 1);
        let order = bench.order(json!({})).await;
        bench.place(&order).await.unwrap();
        let told = followed.until(|report| report.client_order_id == *order.client_order_id() && !report.fills.is_empty()).await;
        assert_eq!(told.fills[0].quantity, parse("1"));
        let error = followed.end().await;
        assert!(error.message.contains("never streamed"), "{fault}: {error}");
    }
}

#[tokio::test]
async fn quotes_follow_the_market_and_best_prices_the_coins_that_are_traded() {
    let world = World::start();
    let mut bench = Bench::open(&world).await;
    let (sink, mut quotes) = Sink::bounded(4096);
    let venue = Arc::clone(&bench.hyperliquid);
    let over = tokio::spawn(async move { venue.stream_quotes(sink).await });
    let mut until = async |fits: &dyn Fn(&Quote) -> bool| {
        let found = async {
            loop {
                let quote = quotes.recv().await.expect("the stream goes on");
                if fits(&quote) {
                    return quote;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("it is told in time")
    };
    let hype = |quote: &Quote| quote.symbol == parse("HYPE");
    let middle = until(&hype).await;
    assert_eq!(middle.bid, middle.ask);
    bench.order(resting()).await;
    let best = until(&|quote: &Quote| hype(quote) && quote.bid < quote.ask).await;
    assert!(best.bid < parse("38") && best.ask > parse("38"), "{best:?}");
    world.price("HYPE", "40");
    until(&|quote: &Quote| hype(quote) && quote.bid > parse("39")).await;
    drop(quotes);
    world.price("HYPE", "41");
    assert!(tokio::time::timeout(PATIENCE, over).await.expect("nobody listens").unwrap().is_ok());
}
