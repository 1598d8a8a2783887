//! The engine's side of the socket.

use std::cell::RefCell;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use super::REQUEST_MAX;
use super::address::{Address, PATH_MAX};
use super::frame::{LineError, LineReader, write_line};
use super::protocol::{Failure, Line, Request, codes};

/// The most connections at once; further ones are told so and closed.
const CONNECTIONS_MAX: usize = 128;

/// How long a client may take to read one line before it is dropped.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may say nothing between requests.
const IDLE_PATIENCE: Duration = Duration::from_secs(600);

/// How long requests that have begun may take to finish when the server stops.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// Answers requests. Its futures stay on the server's thread.
#[allow(async_fn_in_trait, reason = "the server runs its futures on one thread and needs no bound on them")]
pub trait Handler {
    /// Answers one request. A stream's items go through `lines`; the answer ends it.
    ///
    /// # Errors
    /// [`Failure`] as it is to be told.
    async fn answer(&self, request: Request, lines: &Lines) -> Result<serde_json::Value, Failure>;
}

/// Where the items of a stream are written.
#[derive(Debug)]
pub struct Lines {
    writer: RefCell<Option<OwnedWriteHalf>>,
}

impl Lines {
    /// Writes one item of a stream.
    ///
    /// # Errors
    /// When the client is gone or does not read: the stream should end.
    pub async fn send(&self, item: serde_json::Value) -> Result<(), Failure> {
        self.write(&Line::Event(item)).await.map_err(|error| Failure::new(codes::UNREACHABLE, format!("the client is gone: {error}")))
    }

    async fn write(&self, line: &Line) -> io::Result<()> {
        // Taken out for the time of the write, so that no borrow is held across an await.
        let mut writer = self.writer.borrow_mut().take().ok_or(io::ErrorKind::BrokenPipe)?;
        write_line(&mut writer, &line.text(), WRITE_PATIENCE).await?;
        self.writer.borrow_mut().replace(writer);
        Ok(())
    }
}

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another engine answers there.
    #[error("the control socket {} is in use by another engine", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The operating system takes no path that long.
    #[error("the control socket's path {} is longer than {PATH_MAX} bytes; choose a shorter data_dir", path.display())]
    TooLong {
        /// The socket.
        path: PathBuf,
    },
    /// Anything else.
    #[error("the control socket {} cannot be opened", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A running server. Dropping it stops accepting, lets requests that have begun finish for a few seconds, and removes the socket.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    inode: u64,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Opens the socket and serves it on a thread of its own. A socket file that nobody answers on is replaced. To be called only by
    /// who holds the journal's lock: two starting at once are not told apart here.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn start<H: Handler + Send + 'static>(path: &Path, handler: H) -> Result<Self, BindError> {
        let wrong = |source| BindError::Io { path: path.to_owned(), source };
        let (listener, owner, inode) = bind(path)?;
        let (stop, stopped) = watch::channel(false);
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        // The runtime is made and dropped on its own thread: the caller may itself be inside one.
        let serve = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            LocalSet::new().block_on(&runtime, async {
                match UnixListener::from_std(listener) {
                    Ok(listener) => {
                        let _ = ready.send(Ok(()));
                        accept(listener, owner, Rc::new(handler), stopped).await;
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            });
        };
        let thread = std::thread::Builder::new().name("omnivenue-control".into()).spawn(serve).map_err(wrong)?;
        started.recv().unwrap_or_else(|_| Err(io::Error::other("its thread ended"))).map_err(wrong)?;
        Ok(Self { path: path.to_owned(), inode, stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Removed first, so that nobody connects to a server that stops; and only if it is still ours.
        if std::fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Binds under another name, closes it to others, and only then gives it its name: at no time can another user connect.
fn bind(path: &Path) -> Result<(std::os::unix::net::UnixListener, u32, u64), BindError> {
    let too_long = || BindError::TooLong { path: path.to_owned() };
    let hidden = path.with_file_name(format!(".c{}", std::process::id()));
    let (address, hidden_address) = Address::of(path).zip(Address::of(&hidden)).ok_or_else(too_long)?;
    if std::os::unix::net::UnixStream::connect(address.path()).is_ok() {
        return Err(BindError::InUse { path: path.to_owned() });
    }
    let prepare = || {
        match std::fs::remove_file(&hidden) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = std::os::unix::net::UnixListener::bind(hidden_address.path())?;
        listener.set_nonblocking(true)?;
        std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600))?;
        let metadata = std::fs::metadata(&hidden)?;
        std::fs::rename(&hidden, path)?;
        Ok((listener, metadata.uid(), metadata.ino()))
    };
    prepare().map_err(|source| BindError::Io { path: path.to_owned(), source })
}

async fn accept<H: Handler + 'static>(listener: UnixListener, owner: u32, handler: Rc<H>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Such as too many open files: worth a pause, not an end.
                    tracing::warn!(%error, "the control socket cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == owner => {
                let full = connections.len() >= CONNECTIONS_MAX;
                connections.spawn_local(serve(stream, Rc::clone(&handler), stopped.clone(), full));
            }
            Ok(peer) => tracing::warn!(uid = peer.uid(), "refused a connection of another user"),
            Err(error) => tracing::warn!(%error, "refused a connection whose user is not known"),
        }
    }
    drop(listener);
    let drained = timeout(DRAIN_PATIENCE, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(connections = connections.len(), "requests were cut off by the shutdown");
    }
}

async fn serve<H: Handler>(stream: UnixStream, handler: Rc<H>, mut stopped: watch::Receiver<bool>, full: bool) {
    let (reader, writer) = stream.into_split();
    let mut reader = LineReader::new(reader, REQUEST_MAX);
    let lines = Lines { writer: RefCell::new(Some(writer)) };
    if full {
        let failure = Failure::new(codes::BUSY, format!("more than {CONNECTIONS_MAX} connections at once"));
        let _ = timeout(Duration::from_millis(100), lines.write(&Line::Error(failure))).await;
        return;
    }
    loop {
        let line = tokio::select! {
            biased;
            line = timeout(IDLE_PATIENCE, reader.next()) => line,
            _ = stopped.changed() => return,
        };
        let answer = match line {
            Ok(Ok(Some(line))) => tokio::select! {
                answer = respond(&*handler, &line, &lines, &mut stopped) => answer,
                // What was asked goes on in the engine; only the waiting ends.
                () = reader.closed() => return,
            },
            Ok(Err(LineError::Io(_)) | Ok(None)) | Err(_) => return,
            Ok(Err(error)) => {
                let _ = lines.write(&Line::Error(Failure::new(codes::BAD_REQUEST, error.to_string()))).await;
                finish(lines, reader).await;
                return;
            }
        };
        if lines.write(&answer).await.is_err() {
            return;
        }
    }
}

/// Ends a connection whose input is not understood: the answer is still delivered, since closing with unread input would discard it.
async fn finish(lines: Lines, mut reader: LineReader<OwnedReadHalf>) {
    drop(lines);
    let rest = async { while !matches!(reader.next().await, Ok(None) | Err(LineError::Io(_) | LineError::TooLong { .. })) {} };
    let _ = timeout(Duration::from_millis(100), rest).await;
}

async fn respond<H: Handler>(handler: &H, line: &str, lines: &Lines, stopped: &mut watch::Receiver<bool>) -> Line {
    let request = match serde_json::from_str::<Request>(line) {
        Ok(request) => request,
        Err(error) => {
            return Line::Error(Failure::new(codes::BAD_REQUEST, format!("not a request: {error}")));
        }
    };
    let streams = matches!(request, Request::Events { .. });
    let answer = tokio::select! {
        answer = handler.answer(request, lines) => answer,
        // Requests that end by themselves may finish; a stream would go on for ever.
        _ = stopped.wait_for(|stopped| *stopped), if streams => Err(Failure::new(codes::UNREACHABLE, "the engine shuts down")),
    };
    answer.map_or_else(Line::Error, Line::Ok)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::Client;
    use super::*;

    /// Answers positions at once, never answers equity, streams numbers for events.
    struct Stub(Arc<AtomicUsize>);

    impl Handler for Stub {
        async fn answer(&self, request: Request, lines: &Lines) -> Result<serde_json::Value, Failure> {
            match request {
                Request::Positions => Ok(serde_json::json!([])),
                Request::Equity => {
                    struct Abandoned<'a>(&'a AtomicUsize);
                    impl Drop for Abandoned<'_> {
                        fn drop(&mut self) {
                            self.0.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    let _abandoned = Abandoned(&self.0);
                    std::future::pending().await
                }
                Request::Events { since, follow } => {
                    for seq in since.. {
                        lines.send(serde_json::json!({ "seq": seq })).await?;
                        if !follow && seq == since + 2 {
                            break;
                        }
                    }
                    Ok(serde_json::Value::Null)
                }
                _ => Err(Failure::new("no", "not here")),
            }
        }
    }

    fn serve(test: impl AsyncFnOnce(&Path, &AtomicUsize)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let abandoned = Arc::new(AtomicUsize::new(0));
        let server = Server::start(&path, Stub(Arc::clone(&abandoned))).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test(&path, &abandoned));
        drop(server);
        assert!(!path.exists(), "the socket is removed");
    }

    async fn client(path: &Path) -> Client {
        Client::connect(path).await.unwrap().expect("a server answers")
    }

    #[test]
    fn requests_are_answered_in_turn_and_errors_end_nothing() {
        serve(async |path, _| {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
            let mut client = client(path).await;
            assert_eq!(client.ask(&Request::Positions).await.unwrap(), serde_json::json!([]));
            assert_eq!(client.ask(&Request::Fills).await.unwrap_err().code, "no");
            assert_eq!(client.ask(&Request::Positions).await.unwrap(), serde_json::json!([]));
        });
    }

    #[test]
    fn a_client_that_waits_hinders_nobody_and_its_end_is_noticed() {
        serve(async |path, abandoned| {
            let mut waiting = client(path).await;
            assert!(timeout(Duration::from_millis(50), waiting.ask(&Request::Equity)).await.is_err());
            assert_eq!(client(path).await.ask(&Request::Positions).await.unwrap(), serde_json::json!([]));
            drop(waiting);
            for _ in 0..200 {
                if abandoned.load(Ordering::SeqCst) == 1 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("the abandoned request is still being answered");
        });
    }

    #[test]
    fn streams_deliver_and_end() {
        serve(async |path, _| {
            let mut seen = Vec::new();
            let request = Request::Events { since: 5, follow: false };
            client(path)
                .await
                .stream(&request, |item| {
                    seen.push(item["seq"].as_u64().unwrap());
                    true
                })
                .await
                .unwrap();
            assert_eq!(seen, [5, 6, 7]);
        });
    }

    #[test]
    fn a_stream_that_nobody_reads_does_not_keep_the_server() {
        serve(async |path, _| {
            // Written to until the buffers are full, then left.
            let stream = UnixStream::connect(path).await.unwrap();
            stream.try_write(b"{\"verb\":\"events\",\"follow\":true}\n").unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(client(path).await.ask(&Request::Positions).await.unwrap(), serde_json::json!([]));
        });
    }

    #[test]
    fn what_is_no_request_is_answered_with_what_is_wrong() {
        serve(async |path, _| {
            let stream = UnixStream::connect(path).await.unwrap();
            let (reader, mut writer) = stream.into_split();
            let mut reader = LineReader::new(reader, 4096);
            write_line(&mut writer, "{\"verb\":\"postions\"}", WRITE_PATIENCE).await.unwrap();
            let answer = reader.next().await.unwrap().unwrap();
            assert!(answer.contains("bad_request") && answer.contains("postions"), "{answer}");
            let _ = write_line(&mut writer, &"x".repeat(REQUEST_MAX + 1), WRITE_PATIENCE).await;
            let answer = reader.next().await.unwrap().unwrap();
            assert!(answer.contains("longer than"), "{answer}");
        });
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        serve(async |path, _| {
            let error = Server::start(path, Stub(Arc::default())).unwrap_err();
            assert!(matches!(error, BindError::InUse { .. }), "{error}");
            assert_eq!(client(path).await.ask(&Request::Positions).await.unwrap(), serde_json::json!([]));
        });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Server::start(&path, Stub(Arc::default())).unwrap());
        let name = dir.path().join("x".repeat(PATH_MAX));
        assert!(Server::start(&name, Stub(Arc::default())).unwrap_err().to_string().contains("shorter data_dir"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_in_a_deep_folder_can_be_reached() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("d".repeat(120));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("control.sock");
        let _server = Server::start(&path, Stub(Arc::default())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            assert_eq!(client(&path).await.ask(&Request::Positions).await.unwrap(), serde_json::json!([]));
        });
    }
}
