//! Lines of bounded length over a socket.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

/// Reads lines. Dropping the future of [`LineReader::next`] loses nothing: what has arrived is kept for the next call.
#[derive(Debug)]
pub(super) struct LineReader<R> {
    inner: BufReader<R>,
    partial: Vec<u8>,
    longest: usize,
}

/// Why there is no further line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// A line without end.
    #[error("a line is longer than {longest} bytes")]
    TooLong { longest: usize },
    /// Not text.
    #[error("a line is not UTF-8")]
    NotText,
    /// The connection broke, also in the middle of a line.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(super) fn new(inner: R, longest: usize) -> Self {
        Self { inner: BufReader::new(inner), partial: Vec::new(), longest }
    }

    /// The next line without its end; `None` when the other side has closed between lines.
    pub(super) async fn next(&mut self) -> Result<Option<String>, LineError> {
        loop {
            let arrived = self.inner.fill_buf().await?;
            if arrived.is_empty() {
                return if self.partial.is_empty() { Ok(None) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) };
            }
            let end = arrived.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(arrived.len());
            if self.partial.len() + taken > self.longest {
                return Err(LineError::TooLong { longest: self.longest });
            }
            self.partial.extend_from_slice(&arrived[..taken]);
            self.inner.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                let line = std::mem::take(&mut self.partial);
                return String::from_utf8(line).map(Some).map_err(|_| LineError::NotText);
            }
        }
    }

    /// Resolves when the other side has closed; never while it has something to say.
    pub(super) async fn closed(&mut self) {
        if self.inner.buffer().is_empty() {
            match self.inner.fill_buf().await {
                Ok(arrived) if !arrived.is_empty() => {}
                Ok(_) | Err(_) => return,
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Writes one line, or gives up on a reader that does not read.
pub(super) async fn write_line<W: AsyncWrite + Unpin>(writer: &mut W, line: &str, patience: Duration) -> io::Result<()> {
    let write = async {
        writer.write_all(line.as_bytes()).await?;
        writer.write_all(b"\n").await?;
        writer.flush().await
    };
    timeout(patience, write).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn lines_arrive_whole_however_they_are_cut() {
        block_on(async {
            let (mut ours, theirs) = tokio::io::duplex(4);
            let mut lines = LineReader::new(theirs, 32);
            let writing = async move {
                ours.write_all(b"one\ntwo is longer\n\nend").await.unwrap();
            };
            let reading = async {
                assert_eq!(lines.next().await.unwrap().unwrap(), "one");
                assert_eq!(lines.next().await.unwrap().unwrap(), "two is longer");
                assert_eq!(lines.next().await.unwrap().unwrap(), "");
                assert!(matches!(lines.next().await, Err(LineError::Io(_))), "cut in the middle of a line");
            };
            tokio::join!(writing, reading);
        });
    }

    #[test]
    fn a_dropped_read_loses_nothing() {
        block_on(async {
            let (mut ours, theirs) = tokio::io::duplex(64);
            let mut lines = LineReader::new(theirs, 32);
            ours.write_all(b"ab").await.unwrap();
            assert!(timeout(Duration::from_millis(5), lines.next()).await.is_err());
            ours.write_all(b"cd\n").await.unwrap();
            drop(ours);
            assert_eq!(lines.next().await.unwrap().unwrap(), "abcd");
            assert!(lines.next().await.unwrap().is_none());
        });
    }

    #[test]
    fn a_line_without_end_is_refused() {
        block_on(async {
            let (mut ours, theirs) = tokio::io::duplex(1024);
            ours.write_all(&[b'x'; 100]).await.unwrap();
            let mut lines = LineReader::new(theirs, 32);
            assert!(matches!(lines.next().await, Err(LineError::TooLong { longest: 32 })));
        });
    }

    #[test]
    fn a_reader_that_does_not_read_is_given_up() {
        block_on(async {
            let (mut ours, _theirs) = tokio::io::duplex(4);
            let error = write_line(&mut ours, "longer than the pipe", Duration::from_millis(5)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }
}
