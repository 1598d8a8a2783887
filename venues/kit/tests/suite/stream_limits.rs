//! What a stream holds back is bounded, and what goes is counted.

use std::time::Duration;

use futures_util::SinkExt;
use omnivenue_kit::stream::{Event, Session, SessionConfig, StreamError, Subscription};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::stream_server::{Words, acknowledge, data, pair, say, serve, subscriptions, until_closed};

/// A server that sends `count` quotes, and `fills` fills among the first of them.
async fn flood(count: usize, fills: usize, wanted: Vec<Subscription>, limits: impl FnOnce(&mut SessionConfig)) -> Session<String> {
    let (mut config, _server) = serve(async move |mut socket| {
        acknowledge(&mut socket, 2).await;
        for i in 0..count {
            let _ = socket.feed(Message::text(format!("data quotes {i:08}"))).await;
            if i < fills {
                let _ = socket.feed(Message::text(format!("data fills {i:08}"))).await;
            }
        }
        let _ = socket.flush().await;
        until_closed(&mut socket).await;
    })
    .await;
    config.silent_after = Duration::from_secs(5);
    limits(&mut config);
    Session::connect(&config, Words, wanted).await.unwrap()
}

async fn until_frames(session: &Session<String>, frames: u64) {
    while session.counters().frames < frames {
        sleep(Duration::from_millis(1)).await;
    }
}

fn quotes_and_fills() -> Vec<Subscription> {
    vec![Subscription::new("quotes", "subscribe quotes").drop_oldest(), Subscription::new("fills", "subscribe fills")]
}

#[tokio::test]
async fn a_slow_reader_loses_old_quotes_and_no_fill() {
    let mut session = flood(10_000, 30, quotes_and_fills(), |config| config.queue_max = 100).await;
    until_frames(&session, 2 + 10_030).await;
    let fresh = session.freshness();
    assert_eq!((fresh[0].received, fresh[0].dropped, fresh[1].received, fresh[1].dropped), (10_000, 9_930, 30, 0));
    assert_eq!(session.counters().dropped, 9_930);
    for i in 0..30 {
        assert_eq!(data(&mut session).await, pair("fills", &format!("{i:08}")));
    }
    for i in 9_930..10_000 {
        assert_eq!(data(&mut session).await, pair("quotes", &format!("{i:08}")));
    }
    assert!(timeout(Duration::from_millis(60), session.next()).await.is_err(), "nothing else waits");
}

#[tokio::test]
async fn the_bytes_that_wait_are_bounded_too() {
    let one = "data quotes 00000000".len();
    let mut session = flood(5_000, 0, quotes_and_fills(), |config| config.queue_bytes_max = 10 * one).await;
    until_frames(&session, 2 + 5_000).await;
    assert_eq!(session.counters().dropped, 4_990);
    for i in 4_990..5_000 {
        assert_eq!(data(&mut session).await, pair("quotes", &format!("{i:08}")));
    }
}

#[tokio::test]
async fn a_reader_too_slow_for_fills_loses_the_session_and_is_told() {
    let mut session = flood(1_000, 1_000, quotes_and_fills(), |config| config.queue_max = 100).await;
    // The hundred and first fill finds no quote that could go.
    let mut fills = 0;
    let error = loop {
        match timeout(Duration::from_secs(3), async {
            sleep(Duration::from_millis(20)).await;
            session.next().await
        })
        .await
        .unwrap()
        {
            Ok(Event::Data(data)) => {
                assert_eq!((&*data.key, data.message), ("fills", format!("{fills:08}")));
                fills += 1;
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StreamError::Overflow { waiting: 100 }), "{error:?}");
    assert!((100..110).contains(&fills), "{fills}");
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_the_session() {
    let (config, _server) = serve(async |mut socket| {
        acknowledge(&mut socket, 1).await;
        say(&mut socket, &format!("data a {}", "x".repeat(5_000))).await;
        until_closed(&mut socket).await;
    })
    .await;
    let config = SessionConfig { message_max: 5_000, ..config };
    let mut session = Session::connect(&config, Words, subscriptions(&["a"])).await.unwrap();
    assert!(matches!(session.next().await, Err(StreamError::Broken(_))));
}

#[tokio::test]
async fn a_venue_that_takes_nothing_is_noticed() {
    let (config, _server) = serve(async |mut socket| {
        // Talks, and never reads.
        loop {
            if socket.send(Message::text("pong")).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let config = SessionConfig { ack_timeout: Duration::from_secs(5), ..config };
    let wanted = (0..16).map(|i| Subscription::new(i.to_string(), "x".repeat(2 << 20))).collect();
    let error = Session::connect(&config, Words, wanted).await.unwrap_err();
    assert!(matches!(error, StreamError::Stuck), "{error:?}");
}
