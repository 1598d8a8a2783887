//! Numbers for Prometheus: a recorder for this process, and a thread that answers `GET /metrics`. A scrape reads what was counted and asks the
//! engine nothing.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use omnivenue::config::Config;
use omnivenue_core::engine::{Env, SystemEnv, UPTIME, describe_metrics};
use tokio::sync::Semaphore;

use super::exit::CommandError;

/// Scrapes at once; further ones wait.
const CONNECTIONS: usize = 16;
/// How long one connection may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often histograms are folded while nobody scrapes, so that what is counted takes the same few bytes.
const UPKEEP: Duration = Duration::from_secs(5);

/// From half a millisecond to a minute: a flush, a venue's answer, a fill that waited.
const BUCKETS: [f64; 17] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// Serves the numbers of this process if the configuration asks for it; before the engine opens.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) fn serve(config: &Config) -> Result<Option<SocketAddr>, CommandError> {
    let Some(metrics) = config.metrics else { return Ok(None) };
    let failed = |error: &dyn std::fmt::Display| CommandError::failed(format!("metrics.listen: {}: {error}", metrics.listen));
    let listener = TcpListener::bind(metrics.listen).map_err(|error| failed(&error))?;
    listener.set_nonblocking(true).map_err(|error| failed(&error))?;
    let address = listener.local_addr().map_err(|error| failed(&error))?;
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS).map_err(|error| failed(&error))?;
    let handle = builder.install_recorder().map_err(|error| failed(&error))?;
    describe_metrics();
    let began = SystemEnv.now().monotonic;
    let run = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => answer_all(listener, handle, began).await,
                Err(error) => tracing::error!(%error, "the numbers are not served"),
            }
        });
    };
    std::thread::Builder::new().name("omnivenue-metrics".into()).spawn(run).map_err(|error| failed(&error))?;
    tracing::info!(%address, "numbers are served at /metrics");
    Ok(Some(address))
}

async fn answer_all(listener: tokio::net::TcpListener, handle: PrometheusHandle, began: u64) {
    let folding = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            folding.run_upkeep();
        }
    });
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a scrape cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let handle = handle.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, &handle, began);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            let connection = server.timer(TokioTimer::new()).keep_alive(false).serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(PATIENCE, connection).await;
            drop(permit);
        });
    }
}

fn answer(request: &Request<Incoming>, handle: &PrometheusHandle, began: u64) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            let open = Duration::from_micros(SystemEnv.now().monotonic.saturating_sub(began));
            metrics::gauge!(UPTIME).set(open.as_secs_f64());
            (StatusCode::OK, handle.render())
        }
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "numbers are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}
