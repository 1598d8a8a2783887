//! An order is one request, whatever happens to it.

use std::time::Duration;

use omnivenue_core::venue::{Effect, ErrorKind};
use omnivenue_kit::http::{HttpConfig, HttpError, Reply, Request, WriteClient};

use crate::server::{Act, Server, answer, header, ok};

fn config() -> HttpConfig {
    HttpConfig { connect_timeout: Duration::from_millis(500), timeout: Duration::from_secs(5), ..HttpConfig::default() }
}

fn client() -> WriteClient {
    WriteClient::new(&config()).unwrap()
}

fn order(server: &Server, number: u32) -> Request {
    Request::post_json(server.url(&format!("/order/{number}")), format!("{{\"order\":{number}}}"))
}

/// Sends one order, waits until nothing can arrive any more, and checks that it arrived exactly once.
async fn one_order(act: Act) -> Result<Reply, HttpError> {
    let server = Server::new([act]);
    let client = client();
    let result = client.send(order(&server, 1)).await;
    drop(client);
    server.quiet().await;
    assert_eq!(server.seen().len(), 1, "{result:?}: {:?}", server.seen());
    assert_eq!(server.seen()[0].body, b"{\"order\":1}");
    result
}

fn unknown(result: Result<Reply, HttpError>, kind: ErrorKind) {
    let error = result.unwrap_err();
    assert_eq!((error.effect, error.kind), (Effect::Unknown, kind), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("order/1"), "no path in {error:?}");
}

#[tokio::test]
async fn an_answer_is_a_reply_of_whatever_status() {
    let reply = one_order(Act::Answer(answer(503, "Retry-After: 7\r\n", "overloaded"))).await.unwrap();
    assert_eq!((reply.status, reply.retry_after, &reply.body[..]), (503, Some(Duration::from_secs(7)), &b"overloaded"[..]));
    for status in [200, 201, 204, 301, 304, 400, 401, 408, 421, 425, 429, 500, 502, 504, 599] {
        let reply = one_order(Act::Answer(answer(status, "", ""))).await.unwrap();
        assert_eq!((reply.status, reply.is_success()), (status, status < 300));
    }
}

#[tokio::test]
async fn a_redirect_is_the_answer_and_is_not_followed() {
    let elsewhere = Server::new([]);
    for status in [301, 302, 303, 307, 308] {
        for target in ["/order/2".to_owned(), elsewhere.url("/order/1")] {
            let reply = one_order(Act::Answer(answer(status, &format!("Location: {target}\r\n"), ""))).await.unwrap();
            assert_eq!(reply.status, status);
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn what_breaks_after_the_request_was_read_is_unknown() {
    unknown(one_order(Act::Reset).await, ErrorKind::Connection);
    unknown(one_order(Act::Close).await, ErrorKind::Connection);
    unknown(one_order(Act::AnswerAndClose("HTTP/1.1 200 OK\r\nContent-Le".to_owned())).await, ErrorKind::Connection);
    unknown(one_order(Act::AnswerAndClose("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"sta".to_owned())).await, ErrorKind::Connection);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"sta\r\n";
    unknown(one_order(Act::AnswerAndClose(chunked.to_owned())).await, ErrorKind::Connection);
}

#[tokio::test]
async fn what_cannot_be_read_is_unknown() {
    unknown(one_order(Act::AnswerAndClose("SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned())).await, ErrorKind::Unreadable);
    let long = answer(200, "", &"x".repeat(WriteClient::BODY_MAX + 1));
    unknown(one_order(Act::AnswerAndClose(long)).await, ErrorKind::Unreadable);
    let most = answer(200, "", &"x".repeat(WriteClient::BODY_MAX));
    assert_eq!(one_order(Act::AnswerAndClose(most)).await.unwrap().body.len(), WriteClient::BODY_MAX);
}

#[tokio::test]
async fn silence_is_unknown() {
    let server = Server::new([Act::Silence]);
    let client = WriteClient::new(&HttpConfig { timeout: Duration::from_millis(200), ..config() }).unwrap();
    unknown(client.send(order(&server, 1)).await, ErrorKind::Timeout);
    drop(client);
    server.quiet().await;
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_is_no_reason_to_send_again() {
    let body = vec![b'x'; 6 << 20];
    for (act, may_break) in [
        (Act::AnswerEarly(answer(413, "", "too long")), false),
        (Act::AnswerEarlyAndClose(answer(413, "Connection: close\r\n", "too long")), true),
    ] {
        let server = Server::new([act]);
        let client = client();
        let result = client.send(Request::post_json(server.url("/order/1"), body.clone())).await;
        drop(client);
        if !may_break {
            server.close_now();
        }
        server.quiet().await;
        assert_eq!(server.seen().len(), 1);
        match result {
            Ok(reply) => assert_eq!((reply.status, &reply.body[..]), (413, &b"too long"[..])),
            Err(error) => assert!(may_break && error.effect == Effect::Unknown, "{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced() {
    let server = Server::new([Act::AnswerAndCloseWhenTold(ok())]);
    let client = client();
    assert_eq!(client.send(order(&server, 1)).await.unwrap().status, 200);
    server.close_now();
    // Long enough for the runtime to notice.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(client.send(order(&server, 2)).await.unwrap().status, 200);
    drop(client);
    server.quiet().await;
    assert_eq!((server.count("/order/1"), server.count("/order/2"), server.connections()), (1, 1, 2));
}

/// The connection is closed, and the client does not know yet: its runtime has had no chance to look, or has looked and
/// not told the client. The first order is written into the void, the second is queued on a dead connection, where the
/// client library would by default send it again elsewhere. Neither goes anywhere else, and nobody claims to know.
#[tokio::test]
async fn an_order_into_a_closing_connection_is_unknown_and_goes_nowhere_else() {
    for looked in [false, true] {
        for _ in 0..10 {
            let server = Server::new([Act::AnswerAndCloseWhenTold(ok())]);
            let client = client();
            assert_eq!(client.send(order(&server, 1)).await.unwrap().status, 200);
            // The connection goes back into the pool.
            tokio::time::sleep(Duration::from_millis(5)).await;
            server.close_now();
            std::thread::sleep(Duration::from_millis(5));
            if looked {
                tokio::task::yield_now().await;
            }
            let error = client.send(order(&server, 2)).await.unwrap_err();
            assert_eq!((error.effect, error.kind), (Effect::Unknown, ErrorKind::Connection), "{error:?}");
            drop(client);
            server.quiet().await;
            assert_eq!((server.count("/order/2"), server.connections()), (0, 1));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_the_venue_closes_no_order_arrives_twice() {
    let server = Server::new((0..400).map(|i| if i % 3 == 0 { Act::Answer(ok()) } else { Act::AnswerAndClose(ok()) }));
    let client = client();
    let mut answered = 0;
    for number in 0..300 {
        let result = client.send(order(&server, number)).await;
        let count = server.count(&format!("/order/{number}"));
        match result {
            Ok(reply) => {
                assert_eq!((reply.status, count), (200, 1));
                answered += 1;
            }
            Err(error) => assert!(error.effect == Effect::Unknown && count <= 1, "{error:?}: {count}"),
        }
        // Now and then the client is late enough to meet a closed connection, and now and then it is not.
        tokio::time::sleep(Duration::from_micros(u64::from(number % 7) * 40)).await;
    }
    drop(client);
    server.quiet().await;
    for number in 0..300 {
        assert!(server.count(&format!("/order/{number}")) <= 1);
    }
    assert!(answered > 100, "{answered}");
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_not_taken_for_anothers() {
    for blocked in [false, true] {
        let server = Server::new([Act::Answer(format!("{}{}", ok(), answer(200, "", "stale")))]);
        let client = client();
        assert_eq!(&client.send(order(&server, 1)).await.unwrap().body[..], b"{}");
        if blocked {
            std::thread::sleep(Duration::from_millis(20));
        } else {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        match client.send(order(&server, 2)).await {
            Ok(reply) => assert_eq!(&reply.body[..], b"{}"),
            Err(error) => assert_eq!(error.effect, Effect::Unknown),
        }
        drop(client);
        server.quiet().await;
        assert!(server.count("/order/2") <= 1);
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_make_a_second_one() {
    let server = Server::new([Act::Silence]);
    let client = client();
    let given_up = tokio::time::timeout(Duration::from_millis(100), client.send(order(&server, 1))).await;
    assert!(given_up.is_err());
    assert_eq!(client.send(order(&server, 2)).await.unwrap().status, 200);
    drop(client);
    server.quiet().await;
    assert_eq!((server.count("/order/1"), server.count("/order/2"), server.connections()), (1, 1, 2));
}

#[tokio::test]
async fn connections_are_kept_and_given_up_when_idle() {
    let server = Server::new([]);
    let client = WriteClient::new(&HttpConfig { idle_timeout: Duration::from_millis(300), ..config() }).unwrap();
    for number in 0..3 {
        client.send(order(&server, number)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(server.connections(), 1);
    tokio::time::sleep(Duration::from_millis(400)).await;
    client.send(order(&server, 3)).await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn what_is_sent_is_what_was_asked_for() {
    let server = Server::new([]);
    let request = Request::post_json(server.url("/order/1?key=value"), "{\"a\":1}").header("X-Key", "secret");
    client().send(request).await.unwrap();
    let seen = &server.seen()[0];
    assert!(seen.head.starts_with("POST /order/1?key=value HTTP/1.1\r\n"), "{}", seen.head);
    let check = |name: &str, value: &str| assert_eq!(header(&seen.head, name), Some(value), "{name}");
    check("content-type", "application/json");
    check("content-length", "7");
    check("x-key", "secret");
    check("host", &format!("127.0.0.1:{}", server.port));
    check("user-agent", concat!("omnivenue/", env!("CARGO_PKG_VERSION")));
    assert_eq!(header(&seen.head, "accept-encoding"), None, "nothing would unpack it");
    assert_eq!(seen.body, b"{\"a\":1}");
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [format!("http://{closed}/order/1?signature=hunter2"), "http://no-such-host.invalid/order/1?signature=hunter2".to_owned()] {
        let error = client().send(Request::post_json(url, "hunter2")).await.unwrap_err();
        assert_eq!(error.effect, Effect::NotSent, "{error:?}");
        assert!(matches!(error.kind, ErrorKind::Connection | ErrorKind::Timeout), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
