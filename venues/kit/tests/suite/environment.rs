//! Proxies: the one of the configuration, and none of the environment.

use std::process::Command;
use std::time::Duration;

use omnivenue_core::venue::{Effect, ErrorKind};
use omnivenue_kit::http::{HttpConfig, ReadClient, Request, WriteClient};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::server::Server;

/// In the child the environment names a proxy; the same test runs there and sends one order.
#[tokio::test]
async fn proxies_in_the_environment_are_ignored() {
    const TARGET: &str = "OMNIVENUE_KIT_TEST_TARGET";
    if let Ok(target) = std::env::var(TARGET) {
        assert!(std::env::var("HTTP_PROXY").is_ok());
        let request = || Request::post_json(&target, "{}");
        assert_eq!(WriteClient::new(&HttpConfig::default()).unwrap().send(request()).await.unwrap().status, 200);
        assert_eq!(ReadClient::new(&HttpConfig::default()).unwrap().send(request()).await.unwrap().status, 200);
        return;
    }
    let (target, proxy) = (Server::new([]), Server::new([]));
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "environment::proxies_in_the_environment_are_ignored", "--nocapture"]).env(TARGET, target.url("/order/1"));
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        child.env(name, proxy.url(""));
    }
    let output = child.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("REQUEST_METHOD").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((target.count("/order/1"), proxy.connections()), (2, 0));
}

/// Reads the head of one `CONNECT`, answers it, and connects.
async fn proxy(listener: TcpListener, answer: &'static str) -> String {
    let (mut client, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    client.write_all(answer.as_bytes()).await.unwrap();
    if answer.contains(" 200 ") {
        let target = head.split(' ').nth(1).unwrap();
        let mut server = TcpStream::connect(target).await.unwrap();
        // Ends with the client.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
    head
}

async fn through(answer: &'static str) -> (String, Result<u16, (Effect, ErrorKind)>, usize) {
    let target = Server::new([]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = tokio::spawn(proxy(listener, answer));
    let config =
        HttpConfig { proxy: Some(format!("http://{address}")), connect_timeout: Duration::from_millis(300), ..HttpConfig::default() };
    let client = WriteClient::new(&config).unwrap();
    let result = client.send(Request::post_json(target.url("/order/1"), "secret")).await;
    drop(client);
    let head = proxy.await.unwrap();
    assert!(head.starts_with(&format!("CONNECT 127.0.0.1:{} HTTP/1.1\r\n", target.port)), "{head}");
    (head, result.map(|reply| reply.status).map_err(|error| (error.effect, error.kind)), target.count("/order/1"))
}

#[tokio::test]
async fn a_configured_proxy_connects_us() {
    let (head, result, count) = through("HTTP/1.1 200 Connected\r\n\r\n").await;
    assert_eq!((result, count), (Ok(200), 1));
    assert!(!head.contains("order/1"), "the proxy learns the host only: {head}");
}

#[tokio::test]
async fn a_proxy_that_refuses_has_let_nothing_out() {
    for answer in ["HTTP/1.1 403 Forbidden\r\n\r\n", "HTTP/1.1 407 Who\r\n\r\n", "nonsense\r\n\r\n", ""] {
        let (_, result, count) = through(answer).await;
        let (effect, kind) = result.unwrap_err();
        assert_eq!((effect, count), (Effect::NotSent, 0), "{answer}");
        assert!(matches!(kind, ErrorKind::Connection | ErrorKind::Timeout));
    }
}
