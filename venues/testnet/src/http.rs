//! HTTP connections: requests with their faults, and the upgrade to a stream.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::admin::Admin;
use crate::faults::FaultKind;
use crate::host::Host;
use crate::protocol::{Call, Reply};
use crate::session;

/// The longest body that is read.
const BODY_MAX: usize = 4 << 20;

/// Connections at a time, to each port.
const CONNECTIONS_MAX: usize = 1024;

/// How long a request stays without an answer before its connection is closed.
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// What is to happen to the connection of a request.
pub(crate) enum Outcome {
    Answer(Reply),
    /// Closed without an answer.
    Cut,
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut by a fault")]
pub(crate) struct Cut;

/// Does a request with whatever fault happens to it.
pub(crate) async fn perform(host: &Arc<Host>, call: Call) -> Outcome {
    let Some((fault, time)) = host.draw(&call) else {
        return Outcome::Answer(host.handle(&call));
    };
    match fault {
        FaultKind::Delay => {
            let reply = host.handle(&call);
            tokio::time::sleep(time).await;
            Outcome::Answer(reply)
        }
        FaultKind::CutBefore => Outcome::Cut,
        FaultKind::CutAfter => {
            host.handle(&call);
            Outcome::Cut
        }
        FaultKind::ErrorAfter => {
            host.handle(&call);
            Outcome::Answer(Reply::text(502, "Bad Gateway"))
        }
        FaultKind::ErrorBefore => Outcome::Answer(Reply::text(503, "Service Unavailable")),
        FaultKind::LateCommit => {
            let host = host.clone();
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                host.handle(&call);
            });
            Outcome::Cut
        }
        FaultKind::FalseNotFound => Outcome::Answer(host.deny(&call).unwrap_or_else(|| host.handle(&call))),
        FaultKind::RateLimit => Outcome::Answer(host.limited()),
        FaultKind::Silence => {
            host.handle(&call);
            tokio::time::sleep(SILENCE_MAX).await;
            Outcome::Cut
        }
        // Faults of streams are not drawn for requests, and what the venue does itself is drawn when it does the request.
        FaultKind::Duplicate
        | FaultKind::Reorder
        | FaultKind::Drop
        | FaultKind::SilentStream
        | FaultKind::CutStream
        | FaultKind::RefuseTriggers => Outcome::Answer(host.handle(&call)),
    }
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if reply.json { "application/json" } else { "text/plain; charset=utf-8" };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The body of a request, or what to answer when it cannot be read.
pub(crate) async fn body(request: Request<Incoming>) -> Result<String, Response<Full<Bytes>>> {
    let collected = Limited::new(request.into_body(), BODY_MAX).collect().await;
    let bytes = collected.map_err(|_| response(Reply::text(413, "Payload Too Large")))?.to_bytes();
    String::from_utf8(bytes.to_vec()).map_err(|_| response(Reply::text(400, "Bad Request")))
}

async fn serve(host: Arc<Host>, peer: IpAddr, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let path = request.uri().path().to_owned();
    if request.headers().contains_key(UPGRADE) {
        return Ok(upgrade(host, peer, request));
    }
    if request.method() != Method::POST {
        return Ok(response(Reply::text(405, "Method Not Allowed")));
    }
    let call = match body(request).await {
        Ok(body) => Call { path, body, peer },
        Err(refused) => return Ok(refused),
    };
    match perform(&host, call).await {
        Outcome::Answer(reply) => Ok(response(reply)),
        Outcome::Cut => Err(Cut),
    }
}

fn upgrade(host: Arc<Host>, peer: IpAddr, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let (Some(accept), "/ws") = (key.and_then(|key| HeaderValue::from_str(&key).ok()), request.uri().path()) else {
        return response(Reply::text(400, "Bad Request"));
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            session::run(host, peer, TokioIo::new(upgraded)).await;
        }
    });
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// Takes connections for ever, at most so many at a time.
pub(crate) async fn accept(listener: TcpListener, mut each: impl FnMut(TcpStream, IpAddr) -> Connection) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                let connection = each(stream, peer.ip());
                tokio::spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            // Out of file descriptors, most likely: others have to close first.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// One connection being served.
pub(crate) type Connection = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves one connection to a venue.
pub(crate) fn venue(host: Arc<Host>, stream: TcpStream, peer: IpAddr) -> Connection {
    Box::pin(async move {
        let service = service_fn(move |request| serve(host.clone(), peer, request));
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // An error is a client that went away, or a fault that cut it: both are the client's to notice.
        let _ = connection.with_upgrades().await;
    })
}

/// Serves one connection to the admin endpoint.
pub(crate) fn admin(admin: Admin, stream: TcpStream) -> Connection {
    Box::pin(async move {
        let service = service_fn(move |request: Request<Incoming>| {
            let admin = admin.clone();
            async move {
                let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
                let reply = match body(request).await {
                    Ok(body) => response(admin.answer(&method, &path, &body)),
                    Err(refused) => refused,
                };
                Ok::<_, Infallible>(reply)
            }
        });
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    })
}
