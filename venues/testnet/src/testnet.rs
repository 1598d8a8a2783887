//! A testnet that runs: its thread, its ports, and what is known of it.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use serde_json::Value;
use tokio::runtime::Builder;
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

fn listen(what: &'static str, port: u16) -> Result<(TcpListener, u16), TestnetError> {
    let wrong = |source| TestnetError::Port { what, port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(wrong)?;
    listener.set_nonblocking(true).map_err(wrong)?;
    let port = listener.local_addr().map_err(wrong)?.port();
    Ok((listener, port))
}

/// Serves every venue and the admin endpoint until it is stopped.
async fn serve(admin: Admin, listeners: Vec<TcpListener>, admin_listener: TcpListener, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    for (host, listener) in admin.hosts.iter().zip(listeners) {
        let ticking = host.clone();
        tokio::spawn(async move { ticking.run().await });
        let (host, listener) = (host.clone(), tokio::net::TcpListener::from_std(listener)?);
        tokio::spawn(http::accept(listener, move |stream, peer| http::venue(host.clone(), stream, peer)));
    }
    let listener = tokio::net::TcpListener::from_std(admin_listener)?;
    tokio::spawn(http::accept(listener, move |stream, _| http::admin(admin.clone(), stream)));
    // Stopped, or the handle is gone.
    let _ = stopped.await;
    Ok(())
}

impl Testnet {
    /// Starts every venue of a configuration; when this returns, all of them take connections. It may be called from anywhere, also from
    /// asynchronous code: it waits for nothing but its own thread.
    ///
    /// # Errors
    /// [`TestnetError`] when the configuration is wrong, or a port or the thread cannot be had. Nothing is left running.
    pub fn start(config: Config) -> Result<Self, TestnetError> {
        let (mut hosts, mut listeners, mut urls) = (Vec::new(), Vec::new(), BTreeMap::new());
        if let Some(config) = config.hyperliquid {
            let (listener, port) = listen("hyperliquid", config.port)?;
            let plan = config.faults.clone();
            let host = Host::new("hyperliquid", Box::new(Hyperliquid::new(config, clock::now())?), plan);
            let venue = VenueUrls { rest: format!("http://127.0.0.1:{port}"), stream: format!("ws://127.0.0.1:{port}/ws") };
            urls.insert("hyperliquid".to_owned(), venue);
            hosts.push(Arc::new(host));
            listeners.push(listener);
        }
        let (admin_listener, port) = listen("admin", config.admin_port)?;
        let admin = Admin { hosts: Arc::new(hosts) };
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = mpsc::sync_channel(1);
        let serving = admin.clone();
        let run = move || match Builder::new_current_thread().enable_all().build() {
            Err(error) => drop(ready.send(Err(error))),
            Ok(runtime) => {
                let _ = ready.send(Ok(()));
                if let Err(error) = runtime.block_on(serve(serving, listeners, admin_listener, stopped)) {
                    tracing::error!(%error, "the testnet has stopped");
                }
            }
        };
        let thread = thread::Builder::new().name("omnivenue-testnet".into()).spawn(run).map_err(TestnetError::Thread)?;
        let running = started.recv().unwrap_or_else(|_| Err(io::Error::other("its thread ended at once")));
        running.map_err(TestnetError::Thread)?;
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
