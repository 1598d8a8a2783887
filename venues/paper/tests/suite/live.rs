//! The live thread: real time, its own file, streams.

use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::model::instrument::Side::Buy;
use omnivenue_core::venue::{Effect, ErrorKind, Sink};
use omnivenue_paper::{Config, FaultKind, LinkError, PaperError, PaperExchange, Request, RequestKind, Response, Truth};

use crate::world::{World, id, quiet};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn config() -> Config {
    let mut config = quiet(Config::ostium_like());
    config.prices = Config::ostium_like().prices;
    config.spread = "0.0002".parse().unwrap();
    config
}

/// An order as a client would make it at the exchange's own time.
fn order(exchange: &PaperExchange, name: &str) -> Request {
    let now = runtime().block_on(exchange.account(&World::account()).snapshot(None)).unwrap().at;
    let mut world = World::new(quiet(Config::ostium_like()));
    world.now = now;
    Request::Place { account: World::account(), wire: world.order(name, Buy, "1", "60").to_wire() }
}

#[test]
fn orders_streams_and_the_file_tell_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.db");
    let exchange = PaperExchange::open(config(), Some(path.clone())).unwrap();
    let place = order(&exchange, "a1");
    let link = exchange.link();
    let account = exchange.account(&World::account());
    runtime().block_on(async {
        let (sink, mut reports) = Sink::bounded(8);
        let stream = account.stream(sink);
        let trade = async {
            // The stream is asked for first: the mailbox keeps the order.
            tokio::task::yield_now().await;
            let Response::Order(report) = link.call(place).await.unwrap() else { panic!("no order") };
            let streamed = reports.recv().await.unwrap();
            assert_eq!(streamed.fills, report.fills);
            report
        };
        let report = tokio::select! {
            report = trade => report,
            ended = stream => panic!("{ended:?}"),
        };
        let snapshot = account.snapshot(None).await.unwrap();
        assert_eq!(snapshot.fills, report.fills);
        assert_eq!(snapshot.positions[0].quantity.to_string(), "1");
    });
    let truth = Truth::read(&path).unwrap();
    assert_eq!(truth, exchange.with(|server| server.truth()).unwrap());
    assert_eq!(truth.accounts[&World::account()].fills.len(), 1);
    exchange.stop();
    let again = PaperExchange::open(config(), Some(path)).unwrap();
    assert_eq!(again.with(|server| server.truth()).unwrap(), truth);
}

#[test]
fn quotes_come_at_once_and_when_they_change() {
    let exchange = PaperExchange::open(config(), None).unwrap();
    let venue = exchange.venue();
    runtime().block_on(async {
        assert_eq!(venue.quotes().await.unwrap().len(), 5);
        assert_eq!(venue.instruments().await.unwrap().len(), 5);
        let (sink, mut quotes) = Sink::bounded(64);
        let listen = async {
            let mut heard = Vec::new();
            while heard.len() < 7 {
                heard.push(quotes.recv().await.unwrap());
            }
            heard
        };
        let heard = tokio::select! {
            heard = listen => heard,
            ended = venue.stream_quotes(sink) => panic!("{ended:?}"),
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("no quotes"),
        };
        let first: std::collections::BTreeSet<_> = heard[..5].iter().map(|quote| quote.symbol.clone()).collect();
        assert_eq!(first.len(), 5);
        assert!(heard.iter().all(|quote| quote.bid < quote.ask));
    });
}

#[test]
fn faults_reach_the_adapter_as_what_they_are() {
    let exchange = PaperExchange::open(config(), None).unwrap();
    let account = exchange.account(&World::account());
    let symbol = "HYPE-USD".parse().unwrap();
    let check = |fault: Option<FaultKind>, kind: ErrorKind, effect: Effect| {
        exchange.with(move |server| fault.into_iter().for_each(|fault| server.script(RequestKind::Cancel, fault, 1))).unwrap();
        let error = runtime().block_on(account.cancel(&symbol, &id("nothing"))).unwrap_err();
        assert_eq!((error.kind, error.effect), (kind, effect), "{error}");
    };
    check(Some(FaultKind::CutBefore), ErrorKind::Connection, Effect::Unknown);
    check(Some(FaultKind::Refuse), ErrorKind::RateLimited, Effect::Refused);
    check(None, ErrorKind::NotFound, Effect::Refused);
    exchange.stop();
    check_stopped(&exchange);
}

fn check_stopped(exchange: &PaperExchange) {
    let error = runtime().block_on(exchange.account(&World::account()).snapshot(None)).unwrap_err();
    assert_eq!((error.kind, error.effect), (ErrorKind::Connection, Effect::NotSent));
    assert_eq!(exchange.with(|_| ()), None);
}

#[test]
fn a_silent_exchange_leaves_the_deadline_to_the_caller() {
    let exchange = PaperExchange::open(config(), None).unwrap();
    let place = order(&exchange, "a1");
    exchange.with(|server| server.script(RequestKind::Place, FaultKind::Silence, 1)).unwrap();
    let link = exchange.link();
    runtime().block_on(async {
        assert!(tokio::time::timeout(Duration::from_millis(300), link.call(place)).await.is_err());
        let asked = link.call(Request::Order { account: World::account(), client_order_id: id("a1") }).await;
        assert!(matches!(asked, Ok(Response::Order(report)) if report.fills.len() == 1));
    });
}

#[test]
fn stopping_ends_calls_and_streams() {
    let exchange = Arc::new(PaperExchange::open(config(), None).unwrap());
    exchange.with(|server| server.script(RequestKind::Quotes, FaultKind::Silence, 1)).unwrap();
    let (link, account) = (exchange.link(), exchange.account(&World::account()));
    let (sink, _reports) = Sink::bounded(1);
    runtime().block_on(async {
        let stopper = Arc::clone(&exchange);
        let stop = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            stopper.stop();
        });
        assert_eq!(link.call(Request::Quotes).await, Err(LinkError::Cut));
        assert!(account.stream(sink).await.is_err());
        stop.join().unwrap();
    });
}

#[test]
fn streams_that_are_cut_are_opened_again() {
    let exchange = PaperExchange::open(config(), None).unwrap();
    let account = exchange.account(&World::account());
    runtime().block_on(async {
        for (round, name) in ["a1", "a2"].into_iter().enumerate() {
            let (sink, mut reports) = Sink::bounded(8);
            let (quotes, mut heard) = Sink::bounded(8);
            let venue = exchange.venue();
            let act = async {
                heard.recv().await.unwrap();
                let place = std::thread::scope(|scope| scope.spawn(|| order(&exchange, name)).join().unwrap());
                exchange.link().call(place).await.unwrap();
                reports.recv().await.unwrap();
                assert!(exchange.cut_streams(), "{round}");
                std::future::pending::<()>().await;
            };
            let both = async { tokio::join!(account.stream(sink), venue.stream_quotes(quotes)) };
            tokio::select! {
                (stream, quotes) = both => assert!(stream.is_err() && quotes.is_err()),
                () = act => {}
            }
        }
    });
}

#[test]
fn a_second_exchange_on_the_same_file_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.db");
    let _first = PaperExchange::open(config(), Some(path.clone())).unwrap();
    let error = PaperExchange::open(config(), Some(path)).unwrap_err();
    assert!(matches!(&error, PaperError::Store(_)) && error.to_string().contains("is in use by another exchange"), "{error}");
}
