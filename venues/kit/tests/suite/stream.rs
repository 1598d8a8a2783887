//! A stream is there when all is acknowledged, notices what is silent, and says why it ended.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use omnivenue_core::venue::ErrorKind;
use omnivenue_kit::stream::{Event, Session, SessionConfig, StreamError};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::server::{Act, Server, answer};
use crate::stream_server::{Pings, Words, acknowledge, data, hear, pair, say, serve, subscriptions, until_closed};

#[tokio::test]
async fn nothing_that_comes_before_the_last_acknowledgment_is_lost() {
    let (config, server) = serve(async |mut socket| {
        say(&mut socket, "Websocket connection established.").await;
        let requests = [hear(&mut socket).await.unwrap(), hear(&mut socket).await.unwrap()];
        for text in ["data a snapshot", "ack b", "data b 1", "ack b", "ack c", "data c 1"] {
            say(&mut socket, text).await;
        }
        sleep(Duration::from_millis(30)).await;
        say(&mut socket, "ack a").await;
        say(&mut socket, "data b 2").await;
        until_closed(&mut socket).await;
        requests
    })
    .await;
    let mut session = Session::connect(&config, Words, subscriptions(&["a", "b"])).await.unwrap();
    for expected in [pair("a", "snapshot"), pair("b", "1"), pair("b", "2")] {
        assert_eq!(data(&mut session).await, expected);
    }
    let counters = session.counters();
    assert_eq!((counters.other, counters.unclaimed, counters.dropped), (1, 2, 0));
    drop(session);
    assert_eq!(server.await.unwrap(), ["subscribe a", "subscribe b"]);
}

#[tokio::test]
async fn a_missing_acknowledgment_fails_and_is_named() {
    let (config, server) = serve(async |mut socket| {
        acknowledge(&mut socket, 1).await;
        loop {
            say(&mut socket, "data a 1").await;
            say(&mut socket, "data b 1").await;
            if timeout(Duration::from_millis(10), socket.next()).await.is_ok_and(|message| !matches!(message, Some(Ok(_)))) {
                return;
            }
        }
    })
    .await;
    let config = SessionConfig { ack_timeout: Duration::from_millis(200), ..config };
    let error = Session::connect(&config, Words, subscriptions(&["a", "b"])).await.unwrap_err();
    assert_eq!(error.to_string(), "not acknowledged within 200ms: b");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    timeout(Duration::from_secs(2), server).await.expect("the connection is closed").unwrap();
}

#[tokio::test]
async fn a_complaint_fails_the_session_before_and_is_told_after() {
    let (config, _server) = serve(async |mut socket| {
        hear(&mut socket).await;
        say(&mut socket, "error no such coin").await;
        until_closed(&mut socket).await;
    })
    .await;
    let error = Session::connect(&config, Words, subscriptions(&["a"])).await.unwrap_err();
    assert!(matches!(&error, StreamError::Subscription { message } if message == "no such coin"), "{error:?}");

    let (config, _server) = serve(async |mut socket| {
        acknowledge(&mut socket, 1).await;
        say(&mut socket, &format!("error {}", "x".repeat(10_000))).await;
        until_closed(&mut socket).await;
    })
    .await;
    let mut session = Session::connect(&config, Words, subscriptions(&["a"])).await.unwrap();
    assert_eq!(session.next().await.unwrap(), Event::Error("x".repeat(200)));
}

#[tokio::test]
async fn one_silent_subscription_is_noticed_while_others_flow() {
    let (config, _server) = serve(async |mut socket| {
        acknowledge(&mut socket, 3).await;
        for i in 0.. {
            say(&mut socket, "pong").await;
            say(&mut socket, &format!("data flowing {i}")).await;
            if i == 80 {
                say(&mut socket, "data silent again").await;
            }
            if !(80..=140).contains(&i) {
                sleep(Duration::from_millis(10)).await;
            }
            if !socket.get_ref().ready(tokio::io::Interest::WRITABLE).await.is_ok_and(|ready| !ready.is_write_closed()) {
                return;
            }
        }
    })
    .await;
    let patience = Duration::from_millis(400);
    let mut wanted = subscriptions(&["flowing", "silent", "quiet"]);
    wanted[0] = wanted[0].clone().stale_after(patience);
    wanted[1] = wanted[1].clone().stale_after(patience);
    let mut session = Session::connect(&config, Words, wanted).await.unwrap();

    let mut stale = Vec::new();
    let mut spoke = false;
    let both = async {
        while stale.len() < 2 {
            match session.next().await.unwrap() {
                Event::Stale { key, age } => {
                    assert!(age > patience, "{age:?}");
                    stale.push((key.to_string(), spoke));
                }
                Event::Data(data) => spoke |= &*data.key == "silent",
                Event::Error(words) => panic!("{words}"),
            }
        }
    };
    timeout(Duration::from_secs(10), both).await.expect("each silence is told");
    assert_eq!(stale, [("silent".to_owned(), false), ("silent".to_owned(), true)], "once for each silence");
    let fresh = session.freshness();
    assert_eq!(fresh.iter().map(|f| &*f.key).collect::<Vec<_>>(), ["flowing", "silent", "quiet"]);
    assert!(!fresh[0].stale && fresh[0].age.unwrap() < patience && fresh[0].received > 20);
    assert!(fresh[1].stale && fresh[1].age.unwrap() > patience && fresh[1].received == 1);
    assert!(!fresh[2].stale && fresh[2].age.is_none(), "it may be silent for ever");
}

#[tokio::test]
async fn a_server_that_says_nothing_at_all_is_dead() {
    let (config, _server) = serve(async |mut socket| {
        acknowledge(&mut socket, 1).await;
        // Reads our keep-alives, and never answers one.
        until_closed(&mut socket).await;
    })
    .await;
    let mut session = Session::connect(&config, Words, subscriptions(&["a"])).await.unwrap();
    let error = timeout(Duration::from_secs(3), session.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, StreamError::Silent { age } if age > config.silent_after), "{error:?}");
    assert!(matches!(session.next().await, Err(StreamError::Over)));
    assert!(matches!(session.next().await, Err(StreamError::Over)));
}

#[tokio::test]
async fn heartbeats_keep_a_quiet_connection() {
    let (texts, _server) = serve(async |mut socket| {
        acknowledge(&mut socket, 1).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.to_text().is_ok_and(|text| text == "ping") {
                say(&mut socket, "pong").await;
            }
        }
    })
    .await;
    let (pings, _other) = serve(async |mut socket| {
        acknowledge(&mut socket, 1).await;
        // The library answers pings while it reads.
        until_closed(&mut socket).await;
    })
    .await;
    let mut texts = Session::connect(&texts, Words, subscriptions(&["a"])).await.unwrap();
    let mut pings = Session::connect(&pings, Pings, subscriptions(&["a"])).await.unwrap();
    let (a, b) = tokio::join!(timeout(Duration::from_millis(1_200), texts.next()), timeout(Duration::from_millis(1_200), pings.next()));
    assert!(a.is_err() && b.is_err(), "nothing happens: {a:?} {b:?}");
    assert!(texts.counters().frames > 10 && pings.counters().frames > 10);
    assert!(texts.freshness()[0].age.is_none(), "a heartbeat is no news");
}

#[tokio::test]
async fn the_venues_pings_are_answered() {
    let (config, server) = serve(async |mut socket| {
        acknowledge(&mut socket, 1).await;
        socket.send(Message::Ping("are you there".into())).await.unwrap();
        loop {
            if let Message::Pong(answer) = socket.next().await.unwrap().unwrap() {
                return answer;
            }
        }
    })
    .await;
    let _session = Session::connect(&config, Words, subscriptions(&["a"])).await.unwrap();
    assert_eq!(&timeout(Duration::from_secs(2), server).await.unwrap().unwrap()[..], b"are you there");
}

#[tokio::test]
async fn nonsense_is_counted_and_ignored() {
    let (config, _server) = serve(async |mut socket| {
        acknowledge(&mut socket, 1).await;
        for text in ["", "{", "data", "data a", "ack", "\u{0}\u{7f}ÿ", "pong pong pong"] {
            say(&mut socket, text).await;
        }
        socket.send(Message::binary(vec![0xff; 100])).await.unwrap();
        say(&mut socket, "data a sense").await;
        until_closed(&mut socket).await;
    })
    .await;
    let mut session = Session::connect(&config, Words, subscriptions(&["a"])).await.unwrap();
    assert_eq!(data(&mut session).await, pair("a", "sense"));
    assert_eq!(session.counters().other, 8);
}

/// What the session says when these bytes follow one message on the wire.
async fn after(bytes: &'static [u8]) -> StreamError {
    let (config, _server) = serve(async move |mut socket| {
        acknowledge(&mut socket, 1).await;
        say(&mut socket, "data a last words").await;
        let stream = socket.get_mut();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        until_closed(&mut socket).await;
    })
    .await;
    let mut session = Session::connect(&config, Words, subscriptions(&["a"])).await.unwrap();
    assert_eq!(data(&mut session).await, pair("a", "last words"));
    timeout(Duration::from_secs(2), session.next()).await.unwrap().unwrap_err()
}

#[tokio::test]
async fn a_broken_wire_ends_the_session_after_what_came_before() {
    let check = |error: StreamError| {
        assert!(matches!(error, StreamError::Broken(_)), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Connection);
    };
    check(after(b"").await);
    check(after(b"\x81\x64data a cut in the mid").await);
    check(after(b"\x81\x7e").await);
    check(after(b"\xff\xff\xff\xff").await);
    check(after(b"\x81\x02\xc3\x28").await);
    check(after(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
}

#[tokio::test]
async fn a_close_says_why() {
    let (config, _server) = serve(async |mut socket| {
        acknowledge(&mut socket, 1).await;
        say(&mut socket, "data a 1").await;
        socket.close(Some(CloseFrame { code: CloseCode::Again, reason: "maintenance".into() })).await.unwrap();
        until_closed(&mut socket).await;
    })
    .await;
    let mut session = Session::connect(&config, Words, subscriptions(&["a"])).await.unwrap();
    assert_eq!(data(&mut session).await, pair("a", "1"));
    let error = session.next().await.unwrap_err();
    assert!(matches!(&error, StreamError::Closed { code: 1013, reason } if reason == "maintenance"), "{error:?}");
}

#[tokio::test]
async fn a_fault_in_reading_ends_the_session_and_nothing_hangs() {
    let (config, _server) = serve(async |mut socket| {
        acknowledge(&mut socket, 1).await;
        say(&mut socket, "panic").await;
        until_closed(&mut socket).await;
    })
    .await;
    let mut session = Session::connect(&config, Words, subscriptions(&["a"])).await.unwrap();
    let error = timeout(Duration::from_secs(2), session.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, StreamError::Internal), "{error:?}");
}

#[tokio::test]
async fn dropping_the_session_closes_the_connection_and_waiting_loses_nothing() {
    let (config, server) = serve(async |mut socket| {
        acknowledge(&mut socket, 1).await;
        for i in 0..20 {
            sleep(Duration::from_millis(5)).await;
            say(&mut socket, &format!("data a {i}")).await;
        }
        until_closed(&mut socket).await;
    })
    .await;
    let mut session = Session::connect(&config, Words, subscriptions(&["a"])).await.unwrap();
    let mut got = 0;
    while got < 20 {
        // Given up again and again.
        if let Ok(event) = timeout(Duration::from_millis(2), session.next()).await {
            assert!(matches!(event.unwrap(), Event::Data(data) if data.message == got.to_string()));
            got += 1;
        }
    }
    drop(session);
    timeout(Duration::from_secs(2), server).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refused_handshake_tells_its_status() {
    for (status, kind) in
        [(403, ErrorKind::Unauthorized), (429, ErrorKind::RateLimited), (503, ErrorKind::Unavailable), (307, ErrorKind::Unavailable)]
    {
        let server = Server::new([Act::AnswerAndClose(answer(status, "Location: /elsewhere\r\n", "hunter2"))]);
        let config = SessionConfig::new(format!("ws://127.0.0.1:{}/ws", server.port));
        let error = Session::connect(&config, Words, Vec::new()).await.unwrap_err();
        assert!(matches!(error, StreamError::Refused { status: got } if got == status), "{error:?}");
        assert_eq!((error.kind(), server.seen().len()), (kind, 1));
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    let silent = Server::new([Act::Silence]);
    let config =
        SessionConfig { connect_timeout: Duration::from_millis(100), ..SessionConfig::new(format!("ws://127.0.0.1:{}/", silent.port)) };
    assert!(matches!(Session::connect(&config, Words, Vec::new()).await, Err(StreamError::Handshake { .. })));
    let config = SessionConfig::new("ws://127.0.0.1:1/");
    assert!(matches!(Session::connect(&config, Words, Vec::new()).await, Err(StreamError::Connect(_))));
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_anything_is_sent() {
    let good = SessionConfig {
        headers: vec![("x-key".to_owned(), "hunter2".to_owned())],
        ..SessionConfig::new("ws://127.0.0.1:1/ws?key=hunter2")
    };
    let check = async |config: SessionConfig, keys: &[&str], words: &str| {
        let error = Session::connect(&config, Words, subscriptions(keys)).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(!format!("{error} {error:?} {config:?}").contains("hunter2"));
    };
    check(good.clone(), &["a", "b", "a"], "a is there twice").await;
    check(SessionConfig { queue_max: 0, ..good.clone() }, &[], "room").await;
    check(SessionConfig { silent_after: good.ping_every, ..good.clone() }, &[], "silence").await;
    check(SessionConfig { url: "http://host/hunter2".to_owned(), ..good.clone() }, &[], "ws or wss").await;
    check(SessionConfig { url: "hunter2".to_owned(), ..good.clone() }, &[], "ws or wss").await;
    check(SessionConfig { proxy: Some("hunter2".to_owned()), ..good.clone() }, &[], "proxy").await;
    check(SessionConfig { headers: vec![("x-key".to_owned(), "hunter2\r\n".to_owned())], ..good.clone() }, &[], "header").await;
    let many: Vec<String> = (0..3_000).map(|i| i.to_string()).collect();
    check(good, &many.iter().map(String::as_str).collect::<Vec<_>>(), "3000 subscriptions").await;
}
