//! A server that counts requests and misbehaves as told. It has a thread of its own, so that it can act while the client's
//! runtime does nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};

/// What the server does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Answers and keeps the connection.
    Answer(String),
    /// Answers and closes.
    AnswerAndClose(String),
    /// Answers, and closes when told.
    AnswerAndCloseWhenTold(String),
    /// Answers when the head is read, never reads the body, and closes when told.
    AnswerEarly(String),
    /// Answers when the head is read, and closes.
    AnswerEarlyAndClose(String),
    /// Reads the request and resets the connection.
    Reset,
    /// Reads the request and closes the connection.
    Close,
    /// Reads the request and says nothing.
    Silence,
}

/// A request whose head was read.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Inner {
    seen: Mutex<Vec<Seen>>,
    script: Mutex<Vec<Act>>,
    opened: AtomicUsize,
    closed: AtomicUsize,
    close: Notify,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    inner: Arc<Inner>,
    _stop: oneshot::Sender<()>,
}

/// An answer of this status.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

pub(crate) fn ok() -> String {
    answer(200, "", "{}")
}

impl Server {
    /// A server that does these things, one a request, and answers `ok` from then on.
    pub(crate) fn new(script: impl IntoIterator<Item = Act>) -> Self {
        let inner = Arc::new(Inner::default());
        inner.script.lock().unwrap().extend(script);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&inner);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, serving) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { port, inner, _stop: stop }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// All requests whose head was read.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    /// How many requests for this path were begun.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.head.split(' ').nth(1) == Some(path)).count()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.inner.opened.load(Ordering::SeqCst)
    }

    /// Closes the connection that waits for it, and blocks the calling thread until that is done.
    pub(crate) fn close_now(&self) {
        let before = self.inner.closed.load(Ordering::SeqCst);
        self.inner.close.notify_one();
        while self.inner.closed.load(Ordering::SeqCst) == before {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until every connection is closed: nothing can arrive any more. The client must be gone.
    pub(crate) async fn quiet(&self) {
        while self.inner.closed.load(Ordering::SeqCst) < self.connections() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn accept(listener: std::net::TcpListener, inner: Arc<Inner>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        inner.opened.fetch_add(1, Ordering::SeqCst);
        let inner = Arc::clone(&inner);
        tokio::spawn(async move {
            // A client that breaks the connection is part of the game.
            let _ = serve(stream, &inner).await;
            inner.closed.fetch_add(1, Ordering::SeqCst);
        });
    }
}

async fn serve(mut stream: TcpStream, inner: &Inner) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some(end) = fill(&mut stream, &mut buffer).await? else { return Ok(()) };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end);
        let length = header(&head, "content-length").map_or(0, |text| text.parse().unwrap());
        let at = {
            let mut seen = inner.seen.lock().unwrap();
            seen.push(Seen { head, body: Vec::new() });
            seen.len() - 1
        };
        let act = inner.script.lock().unwrap().get(at).cloned().unwrap_or_else(|| Act::Answer(ok()));
        match &act {
            Act::AnswerEarly(text) => {
                stream.write_all(text.as_bytes()).await?;
                // The rest is never read, and keeps even the end of the connection from arriving.
                inner.close.notified().await;
                return Ok(());
            }
            Act::AnswerEarlyAndClose(text) => return stream.write_all(text.as_bytes()).await,
            _ => {}
        }
        while buffer.len() < length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        inner.seen.lock().unwrap()[at].body = buffer.drain(..length).collect();
        match act {
            Act::Answer(text) => stream.write_all(text.as_bytes()).await?,
            Act::AnswerAndClose(text) => return stream.write_all(text.as_bytes()).await,
            Act::AnswerAndCloseWhenTold(text) => {
                stream.write_all(text.as_bytes()).await?;
                inner.close.notified().await;
                return Ok(());
            }
            Act::Reset => return stream.set_zero_linger(),
            Act::Close => return Ok(()),
            Act::Silence => return until_broken(&mut stream).await,
            Act::AnswerEarly(_) | Act::AnswerEarlyAndClose(_) => unreachable!("done above"),
        }
    }
}

/// Reads until a head is complete, and says where it ends; `None` when the client closed.
async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<usize>> {
    loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            return Ok(Some(at + 4));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// Waits for the client to break the connection, without reading.
async fn until_broken(stream: &mut TcpStream) -> std::io::Result<()> {
    loop {
        let ready = stream.ready(tokio::io::Interest::READABLE | tokio::io::Interest::ERROR).await?;
        if ready.is_read_closed() || ready.is_error() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
