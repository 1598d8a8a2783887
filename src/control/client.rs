//! The other processes' side of the socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::ANSWER_MAX;
use super::address::Address;
use super::frame::{LineReader, write_line};
use super::protocol::{Failure, Line, Request, codes};

/// How long the engine may take to read a request.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// How long connecting may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a running engine.
#[derive(Debug)]
pub struct Client {
    reader: LineReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

fn unreachable(error: impl std::fmt::Display) -> Failure {
    let hint = "whether the request took effect is not known: the same id again is safe";
    Failure::new(codes::UNREACHABLE, format!("the engine stopped answering ({error}); {hint}"))
}

impl Client {
    /// Connects; `None` when no engine answers at this socket.
    ///
    /// # Errors
    /// When the socket is there but cannot be used.
    pub async fn connect(path: &Path) -> Result<Option<Self>, Failure> {
        let wrong =
            |error: io::Error| Failure::new(codes::UNREACHABLE, format!("the control socket {} cannot be used: {error}", path.display()));
        // A path that is too long, or whose folder is not there: no engine can listen on it.
        let Some(address) = Address::of(path) else { return Ok(None) };
        let connected =
            timeout(CONNECT_PATIENCE, UnixStream::connect(address.path())).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match connected {
            Ok(stream) => {
                let (reader, writer) = stream.into_split();
                Ok(Some(Self { reader: LineReader::new(reader, ANSWER_MAX), writer }))
            }
            // No file, a file nobody listens on, or one that is being closed.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset) =>
            {
                Ok(None)
            }
            Err(error) => Err(wrong(error)),
        }
    }

    /// Asks one thing. Dropping the future abandons the waiting, not what was asked; the connection is then of no further use.
    ///
    /// # Errors
    /// [`Failure`] as the engine tells it, or [`codes::UNREACHABLE`].
    pub async fn ask(&mut self, request: &Request) -> Result<serde_json::Value, Failure> {
        self.stream(request, |_| true).await
    }

    /// Asks for a stream and hands each item over until it ends, or until `item` says that it has seen enough; then the connection is of no
    /// further use.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn stream(
        &mut self,
        request: &Request,
        mut item: impl FnMut(serde_json::Value) -> bool,
    ) -> Result<serde_json::Value, Failure> {
        let text = serde_json::to_string(request).expect("requests are plain data and always serialize");
        write_line(&mut self.writer, &text, WRITE_PATIENCE).await.map_err(unreachable)?;
        loop {
            let line = self.reader.next().await.map_err(unreachable)?.ok_or_else(|| unreachable("it closed the connection"))?;
            match serde_json::from_str(&line).map_err(unreachable)? {
                Line::Event(value) => {
                    if !item(value) {
                        return Ok(serde_json::Value::Null);
                    }
                }
                Line::Ok(value) => return Ok(value),
                Line::Error(failure) => return Err(failure),
            }
        }
    }
}
