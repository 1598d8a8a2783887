//! A testnet that runs: its thread, its ports, and what is known of it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread::JoinHandle;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::admin::Admin;
use crate::config::Config;
use crate::error::TestnetError;
use crate::host::Host;
use crate::hyperliquid::Hyperliquid;
use crate::{clock, http, usage};

/// Where a venue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenueUrls {
    /// Where requests go: `http://127.0.0.1:…`, without a path.
    pub rest: String,
    /// Where streams connect: `ws://127.0.0.1:…/ws`.
    pub stream: String,
}

/// Venues on loopback, on a thread of their own. Dropping it stops them; what they knew is gone.
pub struct Testnet {
    admin: Admin,
    admin_url: String,
    urls: BTreeMap<String, VenueUrls>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Testnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Testnet").field("admin_url", &self.admin_url).field("urls", &self.urls).finish_non_exhaustive()
    }
}

fn listen(runtime: &Runtime, what: &'static str, port: u16) -> Result<(TcpListener, u16), TestnetError> {
    let wrong = |source| TestnetError::Port { what, port, source };
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, port))).map_err(wrong)?;
    let port = listener.local_addr().map_err(wrong)?.port();
    Ok((listener, port))
}

impl Testnet {
    /// Starts every venue of a configuration; when this returns, all of them take connections.
    ///
    /// # Errors
    /// [`TestnetError`] when the configuration is wrong, or a port or the thread cannot be had. Nothing is left running.
    pub fn start(config: Config) -> Result<Self, TestnetError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(TestnetError::Thread)?;
        let (mut hosts, mut listeners, mut urls) = (Vec::new(), Vec::new(), BTreeMap::new());
        if let Some(config) = config.hyperliquid {
            let (listener, port) = listen(&runtime, "hyperliquid", config.port)?;
            let plan = config.faults.clone();
            let host = Host::new("hyperliquid", Box::new(Hyperliquid::new(config, clock::now())?), plan);
            let venue = VenueUrls { rest: format!("http://127.0.0.1:{port}"), stream: format!("ws://127.0.0.1:{port}/ws") };
            urls.insert("hyperliquid".to_owned(), venue);
            hosts.push(Arc::new(host));
            listeners.push(listener);
        }
        let (admin_listener, port) = listen(&runtime, "admin", config.admin_port)?;
        let admin = Admin { hosts: Arc::new(hosts) };
        let (stop, stopped) = oneshot::channel();
        let serving = admin.clone();
        let run = move || {
            runtime.block_on(async move {
                for (host, listener) in serving.hosts.iter().zip(listeners) {
                    let ticking = host.clone();
                    tokio::spawn(async move { ticking.run().await });
                    let host = host.clone();
                    tokio::spawn(http::accept(listener, move |stream, peer| http::venue(host.clone(), stream, peer)));
                }
                tokio::spawn(http::accept(admin_listener, move |stream, _| http::admin(serving.clone(), stream)));
                // Stopped, or the handle is gone.
                let _ = stopped.await;
            });
        };
        let thread = std::thread::Builder::new().name("omnivenue-testnet".into()).spawn(run).map_err(TestnetError::Thread)?;
        Ok(Self { admin, admin_url: format!("http://127.0.0.1:{port}"), urls, stop: Some(stop), thread: Some(thread) })
    }

    /// Where each venue is, by its name.
    #[must_use]
    pub const fn urls(&self) -> &BTreeMap<String, VenueUrls> {
        &self.urls
    }

    /// Where the admin endpoint is, without a path.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// What really happened, as `GET /truth` of the admin endpoint tells it.
    #[must_use]
    pub fn truth(&self) -> Value {
        self.admin.truth()
    }

    /// Which faults are planned and how often each has happened, as `GET /faults` of the admin endpoint tells it.
    #[must_use]
    pub fn faults(&self) -> Value {
        self.admin.faults()
    }

    /// Does what `POST` to a path of the admin endpoint does: `/faults`, `/prices`, `/clock`, `/agents`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the body; nothing was changed.
    pub fn control(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.admin.control(path, &body.to_string())
    }

    /// How clients are pointed at it, for people.
    #[must_use]
    pub fn how_to_use(&self) -> String {
        usage::text(&self.admin_url, &self.urls, &self.admin.hosts)
    }
}

impl Drop for Testnet {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}
