//! The engine as Node sees it.

use std::path::Path;
use std::sync::Arc;

use napi::bindgen_prelude::{Env, PromiseRaw};
use napi_derive::napi;
use omnivenue::engine::EventFeed;
use omnivenue::{Config, Failure, Opened, Signal, Wait};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::error::promise;

/// An open engine. Every call is a promise; what was asked for goes on whether or not anyone waits for it.
#[napi]
pub struct Engine {
    opened: Arc<Mutex<Option<Opened>>>,
    engine: omnivenue::Engine,
}

/// A configuration from a path, an object, or the built-in one.
fn read(config: Option<Value>) -> Result<Config, Failure> {
    let here = Path::new("");
    Ok(match config {
        None | Some(Value::Null) => Config::built_in(here),
        Some(Value::String(path)) => Config::load(Path::new(&path))?,
        Some(object) => Config::from_json(&object, here)?,
    })
}

fn json(value: &impl serde::Serialize) -> napi::Result<Value> {
    serde_json::to_value(value).map_err(napi::Error::from)
}

#[napi]
impl Engine {
    /// Opens the engine of a configuration: a path, an object of the same form, or the built-in one.
    #[napi(ts_return_type = "Promise<Engine>")]
    pub fn open<'env>(env: &'env Env, config: Option<Value>) -> napi::Result<PromiseRaw<'env, Engine>> {
        let opening = async move { Ok(omnivenue::open(&read(config)?).await?) };
        promise(env, opening, |opened| {
            let engine = omnivenue::Engine::clone(&opened);
            Ok(Self { opened: Arc::new(Mutex::new(Some(opened))), engine })
        })
    }

    /// Carries out a signal of the published form. The same id with the same body is the same execution for ever.
    #[napi(ts_return_type = "Promise<any>")]
    pub fn execute<'env>(&self, env: &'env Env, signal: Value, wait: Option<String>) -> napi::Result<PromiseRaw<'env, Value>> {
        let engine = self.engine.clone();
        let call = async move {
            let wait =
                wait.as_deref().map(str::parse::<Wait>).transpose().map_err(|words| Failure::new("invalid", words))?.unwrap_or_default();
            Ok(engine.execute(Signal::from_value(signal)?, wait).await?)
        };
        promise(env, call, |execution| json(&execution))
    }

    /// Durable entries after a number, in order.
    #[napi]
    pub fn feed(&self, since: Option<u32>) -> Feed {
        Feed { feed: Arc::new(Mutex::new(self.engine.events(since.unwrap_or(0).into()))) }
    }

    /// Ends the engine: refused while a stop depends on it, unless told to leave positions unprotected. Once it has ended, nothing follows.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn shutdown<'env>(&self, env: &'env Env, leave_unprotected: Option<bool>) -> napi::Result<PromiseRaw<'env, ()>> {
        let (engine, opened) = (self.engine.clone(), Arc::clone(&self.opened));
        let call = async move {
            if leave_unprotected == Some(true) {
                engine.shutdown_unprotected().await?
            } else {
                engine.shutdown().await?
            };
            // The exchanges and the views wait for their threads: not where others' calls are served.
            if let Some(opened) = opened.lock().await.take() {
                let _ = tokio::task::spawn_blocking(move || drop(opened)).await;
            }
            Ok(())
        };
        promise(env, call, Ok)
    }
}

/// Durable entries, one after the other.
#[napi]
pub struct Feed {
    feed: Arc<Mutex<EventFeed>>,
}

#[napi]
impl Feed {
    /// The next entry; `null` once the engine is closed and everything was read.
    #[napi(ts_return_type = "Promise<any>")]
    pub fn next<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, Value>> {
        let feed = Arc::clone(&self.feed);
        promise(env, async move { Ok(feed.lock().await.next().await?) }, |entry| json(&entry))
    }
}
