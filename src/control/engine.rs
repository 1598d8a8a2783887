//! Requests as calls of the engine.

use std::sync::Arc;

use omnivenue_core::engine::{Engine, EngineError, Wait};
use omnivenue_core::model::signal::Signal;
use serde::Serialize;
use serde_json::Value;

use super::protocol::{Failure, Request, WaitFor, codes};
use super::reload::Reloader;
use super::server::{Handler, Lines};

/// Answers requests from an engine of this process.
#[derive(Debug, Clone)]
pub struct EngineHandler(Engine, Option<Arc<Reloader>>);

impl From<WaitFor> for Wait {
    fn from(wait: WaitFor) -> Self {
        match wait {
            WaitFor::Journaled => Self::Journaled,
            WaitFor::Acknowledged => Self::Acknowledged,
            WaitFor::Settled => Self::Settled,
        }
    }
}

fn json<T: Serialize>(result: Result<T, EngineError>) -> Result<Value, Failure> {
    let value = result?;
    serde_json::to_value(value).map_err(|error| Failure::new(codes::FAILED, error.to_string()))
}

impl EngineHandler {
    /// Answers from this engine.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self(engine, None)
    }

    /// The same, and its configuration can be read again.
    #[must_use]
    pub fn with_reloader(self, reloader: Reloader) -> Self {
        Self(self.0, Some(Arc::new(reloader)))
    }

    /// Answers one request that is no stream.
    ///
    /// # Errors
    /// [`Failure`] with the engine's own code.
    pub async fn ask(&self, request: Request) -> Result<Value, Failure> {
        let engine = &self.0;
        match request {
            Request::Execute { signal, wait } => {
                let signal = Signal::from_value(signal).map_err(|error| Failure::new(codes::BAD_REQUEST, error.to_string()))?;
                json(engine.execute(signal, wait.into()).await)
            }
            Request::Execution { id } => json(engine.execution(&id).await),
            Request::Close { request, wait } => json(engine.close_positions(request, wait.into()).await),
            Request::Approve { id, deployment, approved, reason, wait } => {
                json(engine.approve(&id, deployment, approved, reason, wait.into()).await)
            }
            Request::Cancel { id } => json(engine.cancel(&id).await),
            Request::Resolve { order, verdict, reason } => json(engine.resolve(order, verdict, reason).await),
            Request::Positions => json(engine.positions().await),
            Request::Orders => {
                let mut orders = json(engine.orders().await)?;
                let foreign = json(engine.foreign_orders().await)?;
                if let (Value::Array(orders), Value::Array(foreign)) = (&mut orders, foreign) {
                    orders.extend(foreign);
                }
                Ok(orders)
            }
            Request::Fills => json(engine.fills().await),
            Request::Equity => json(engine.equity().await),
            Request::Health => json(engine.health().await),
            Request::Availability { asset } => json(engine.availability(&asset).await),
            Request::Kill { scope, mode, reason } => json(engine.kill(scope, mode, reason).await),
            Request::KillReport { scope: Some(scope) } => json(engine.kill_report(&scope).await.map(|report| vec![report])),
            Request::KillReport { scope: None } => json(engine.kill_reports().await),
            Request::Resume { scope, reason, secret } => json(engine.resume(scope, reason, secret.map(|given| given.0)).await),
            Request::Reload => match &self.1 {
                Some(reloader) => reloader.reload(engine).await,
                None => Err(Failure::new(codes::BAD_REQUEST, "this engine does not know where its configuration comes from: restart it")),
            },
            Request::EraseMetadata { id } => json(engine.erase_metadata(&id).await),
            Request::Reconcile => json(engine.reconcile().await),
            Request::Adopt { account, reason } => json(engine.adopt(account, reason).await),
            Request::Events { .. } => Err(Failure::new(codes::BAD_REQUEST, "events are a stream")),
        }
    }

    /// Delivers events until the last one that is durable now, or for ever.
    async fn events(&self, since: u64, follow: bool, lines: &Lines) -> Result<Value, Failure> {
        let last = self.0.health().await?.durable_seq;
        let mut feed = self.0.events(since);
        let mut seq = since;
        while follow || seq < last {
            let Some(item) = feed.next().await? else { break };
            seq = item.seq();
            lines.send(json(Ok(item))?).await?;
        }
        Ok(Value::Null)
    }
}

impl Handler for EngineHandler {
    async fn answer(&self, request: Request, lines: &Lines) -> Result<Value, Failure> {
        match request {
            Request::Events { since, follow } => self.events(since, follow, lines).await,
            other => self.ask(other).await,
        }
    }
}

#[cfg(all(test, feature = "sqlite", feature = "paper"))]
mod tests {
    use super::super::{Client, Server};
    use super::*;
    use crate::config::Config;

    const SIGNAL: &str = r#"{"id":"a","agent":"demo","asset":"HYPE","direction":"long","sizing":{"notional":"500"}}"#;

    #[test]
    fn another_process_has_the_same_surface() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::built_in(folder.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let engine = crate::open(&config).await.unwrap();
            let path = config.control_path();
            let server = Server::start(&path, EngineHandler::new(Engine::clone(&engine))).unwrap();
            let mut client = Client::connect(&path).await.unwrap().unwrap();
            let signal: Value = serde_json::from_str(SIGNAL).unwrap();
            let request = Request::Execute { signal: signal.clone(), wait: WaitFor::Settled };
            let execution = client.ask(&request).await.unwrap();
            assert_eq!(execution, client.ask(&request).await.unwrap(), "the same id is the same execution");
            assert_eq!(execution["status"], "done");
            assert_eq!(client.ask(&Request::Orders).await.unwrap().as_array().unwrap().len(), 2);
            assert_eq!(client.ask(&Request::Positions).await.unwrap().as_array().unwrap().len(), 2);
            let mut other = signal;
            other["sizing"]["notional"] = "600".into();
            let conflict = client.ask(&Request::Execute { signal: other.clone(), wait: WaitFor::Settled }).await.unwrap_err();
            assert_eq!(conflict.code, "conflict");
            other["sizing"]["notional"] = 600.into();
            let wrong = client.ask(&Request::Execute { signal: other, wait: WaitFor::Settled }).await.unwrap_err();
            assert_eq!(wrong.code, codes::BAD_REQUEST);
            let mut seen = Vec::new();
            let events = Request::Events { since: 0, follow: false };
            let ended = client.stream(&events, |entry| {
                seen.push(entry["seq"].as_u64().unwrap());
                true
            });
            ended.await.unwrap();
            assert!(seen.len() > 3 && seen.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seen:?}");
            drop(server);
            drop(engine.shutdown().await.unwrap());
            assert_eq!(client.ask(&Request::Orders).await.unwrap_err().code, codes::UNREACHABLE);
        });
    }
}
