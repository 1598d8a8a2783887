//! Connections: name, TCP, proxy, TLS. Whatever fails here, no request has left.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::tls;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no connection. Says which step failed, never what was to be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL names no host, or neither `http`, `https`, `ws` nor `wss`.
    #[error("the url needs a host and one of the schemes http, https, ws, wss")]
    Url,
    /// The name is unknown, or nobody answers at the address.
    #[error("no connection to {host}")]
    Tcp {
        /// The host.
        host: String,
        /// The failure below.
        #[source]
        source: BoxError,
    },
    /// The proxy did not connect us.
    #[error("the proxy gave no connection to {host}")]
    Proxy {
        /// The host.
        host: String,
        /// The failure below.
        #[source]
        source: BoxError,
    },
    /// The host did not prove who it is, or does not speak TLS.
    #[error("no secure connection to {host}")]
    Tls {
        /// The host.
        host: String,
        /// The failure below.
        #[source]
        source: BoxError,
    },
    /// All steps together took too long.
    #[error("no connection to {host} within {within:?}")]
    Timeout {
        /// The host.
        host: String,
        /// The time allowed.
        within: Duration,
    },
}

/// Makes connections, each within a time that covers all steps.
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector,
    proxy: Option<Uri>,
    within: Duration,
}

/// A connection, with or without TLS.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connector {
    pub(crate) fn new(within: Duration, proxy: Option<Uri>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(within));
        Self { tcp, proxy, within }
    }

    pub(crate) async fn connect(self, target: Uri) -> Result<Socket, ConnectError> {
        let host = target.host().ok_or(ConnectError::Url)?.to_owned();
        let within = self.within;
        let steps = self.steps(target, host.clone());
        tokio::time::timeout(within, steps).await.unwrap_or(Err(ConnectError::Timeout { host, within }))
    }

    async fn steps(mut self, target: Uri, host: String) -> Result<Socket, ConnectError> {
        let secure = match target.scheme_str() {
            Some("https" | "wss") => true,
            Some("http" | "ws") => false,
            _ => return Err(ConnectError::Url),
        };
        let target = with_port(&target, if secure { 443 } else { 80 }).ok_or(ConnectError::Url)?;
        // Before anything is sent: without roots there is nobody to talk to.
        let tls =
            if secure { Some(tls::client_config().map_err(|e| ConnectError::Tls { host: host.clone(), source: e.into() })?) } else { None };
        let stream = match self.proxy.take() {
            Some(proxy) => {
                Tunnel::new(proxy, self.tcp).call(target).await.map_err(|e| ConnectError::Proxy { host: host.clone(), source: e.into() })
            }
            None => self.tcp.call(target).await.map_err(|e| ConnectError::Tcp { host: host.clone(), source: e.into() }),
        }?;
        let stream = stream.into_inner();
        let Some(config) = tls else { return Ok(Socket::Plain(stream)) };
        let failed = |source: BoxError| ConnectError::Tls { host: host.clone(), source };
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|e| failed(e.into()))?;
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|e| failed(e.into()))?;
        Ok(Socket::Tls(Box::new(stream)))
    }
}

/// Host and port alone, as TCP and proxies want them.
fn with_port(target: &Uri, default: u16) -> Option<Uri> {
    let authority = format!("{}:{}", target.host()?, target.port_u16().unwrap_or(default));
    Uri::builder().scheme("http").authority(authority).path_and_query("/").build().ok()
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("proxied", &self.proxy.is_some()).field("within", &self.within).finish_non_exhaustive()
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Socket>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(target).await.map(TokioIo::new) })
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
