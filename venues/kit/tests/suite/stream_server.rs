//! A WebSocket server that does what a test tells it, and the small protocol it speaks: `ack KEY`, `data KEY TEXT`, `pong`,
//! `error TEXT`; what is anything else is of no interest.

use std::future::Future;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use omnivenue_kit::stream::{Data, Event, Frame, KeepAlive, Protocol, Session, SessionConfig, Subscription};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// The protocol, with a text as keep-alive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words;

/// The same, with a WebSocket ping as keep-alive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pings;

fn read(text: &str) -> Frame<String> {
    let mut words = text.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some("ack"), Some(key), None) => Frame::Ack(key.to_owned()),
        (Some("data"), Some(key), Some(rest)) => Frame::Data(key.to_owned(), rest.to_owned()),
        (Some("pong"), None, None) => Frame::Pong,
        (Some("error"), Some(first), rest) => Frame::Error([Some(first), rest].into_iter().flatten().collect::<Vec<_>>().join(" ")),
        (Some("panic"), ..) => panic!("a fault of the adapter"),
        _ => Frame::Other,
    }
}

impl Protocol for Words {
    type Message = String;

    fn read(&self, text: &str) -> Frame<String> {
        read(text)
    }

    fn keep_alive(&self) -> KeepAlive {
        KeepAlive::Text("ping".to_owned())
    }
}

impl Protocol for Pings {
    type Message = String;

    fn read(&self, text: &str) -> Frame<String> {
        read(text)
    }

    fn keep_alive(&self) -> KeepAlive {
        KeepAlive::Ping
    }
}

/// A server for one connection, and how to reach it; times are short.
pub(crate) async fn serve<F, T>(script: F) -> (SessionConfig, JoinHandle<T::Output>)
where
    F: FnOnce(Socket) -> T + Send + 'static,
    T: Future<Output: Send + 'static> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = SessionConfig {
        connect_timeout: Duration::from_secs(2),
        ack_timeout: Duration::from_secs(2),
        ping_every: Duration::from_millis(40),
        silent_after: Duration::from_millis(400),
        ..SessionConfig::new(format!("ws://{}/ws?listenKey=hunter2", listener.local_addr().unwrap()))
    };
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        script(tokio_tungstenite::accept_async(stream).await.unwrap()).await
    });
    (config, task)
}

/// Subscriptions with these keys.
pub(crate) fn subscriptions(keys: &[&str]) -> Vec<Subscription> {
    keys.iter().map(|key| Subscription::new(*key, format!("subscribe {key}"))).collect()
}

/// Sends a text. A client that is gone already is part of the game.
pub(crate) async fn say<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>, text: &str) {
    let _ = socket.send(Message::text(text)).await;
}

/// The next text, keep-alives left out; `None` when the client is gone.
pub(crate) async fn hear(socket: &mut Socket) -> Option<String> {
    loop {
        match socket.next().await? {
            Ok(Message::Text(text)) if text.as_str() != "ping" => return Some(text.to_string()),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

/// Acknowledges so many subscriptions.
pub(crate) async fn acknowledge(socket: &mut Socket, count: usize) {
    for _ in 0..count {
        let request = hear(socket).await.unwrap();
        say(socket, &request.replace("subscribe", "ack")).await;
    }
}

/// Reads until the client is gone.
pub(crate) async fn until_closed<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) {
    while let Some(Ok(_)) = socket.next().await {}
}

/// The next event, which must be data: its key and text.
pub(crate) async fn data(session: &mut Session<String>) -> (String, String) {
    match session.next().await.unwrap() {
        Event::Data(Data { key, message, .. }) => (key.to_string(), message),
        other => panic!("{other:?}"),
    }
}

/// What [`data`] gives.
pub(crate) fn pair(key: &str, text: &str) -> (String, String) {
    (key.to_owned(), text.to_owned())
}
