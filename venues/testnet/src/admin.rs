//! The admin endpoint: what really happened, and what is to go wrong. For tests and people, never for clients of a venue.

use std::sync::Arc;

use omnivenue_core::model::number::Price;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::protocol::{Command, Reply};

/// Every venue of a testnet.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) hosts: Arc<Vec<Arc<Host>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceMove {
    #[serde(default)]
    venue: Option<String>,
    symbol: String,
    /// Absent: it follows its source again.
    #[serde(default)]
    price: Option<Price>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    #[serde(default)]
    venue: Option<String>,
    skew_ms: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentChange {
    #[serde(default)]
    venue: Option<String>,
    account: String,
    agent: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    valid_until: Option<u64>,
    /// The same as a `valid_until` that has passed.
    #[serde(default)]
    expired: bool,
}

fn read<T: DeserializeOwned>(body: &str) -> Result<T, String> {
    serde_json::from_str(body).map_err(|e| e.to_string())
}

impl Admin {
    fn host(&self, venue: Option<&str>) -> Result<&Arc<Host>, String> {
        let mut hosts = self.hosts.iter().filter(|host| venue.is_none_or(|venue| host.name == venue));
        hosts.next().ok_or_else(|| format!("venue is {}, but no such venue runs here", venue.unwrap_or("not given")))
    }

    pub(crate) fn truth(&self) -> Value {
        let venues: Map<String, Value> = self.hosts.iter().map(|host| (host.name.to_owned(), host.truth())).collect();
        json!({ "venues": venues })
    }

    pub(crate) fn faults(&self) -> Value {
        let venues: Map<String, Value> = self.hosts.iter().map(|host| (host.name.to_owned(), host.faults())).collect();
        json!({ "venues": venues })
    }

    fn set_faults(&self, body: &str) -> Result<Value, String> {
        let mut change: Map<String, Value> = read(body)?;
        let venue = change.remove("venue");
        let host = self.host(venue.as_ref().and_then(Value::as_str))?;
        if change.remove("clear") == Some(Value::Bool(true)) {
            host.clear_faults();
        }
        host.set_faults(&Value::Object(change))?;
        Ok(host.faults())
    }

    /// What a path of the endpoint does.
    pub(crate) fn control(&self, path: &str, body: &str) -> Result<Value, String> {
        match path {
            "/faults" => self.set_faults(body),
            "/prices" => {
                let asked: PriceMove = read(body)?;
                self.host(asked.venue.as_deref())?.command(Command::Price { symbol: asked.symbol, price: asked.price })
            }
            "/clock" => {
                let asked: ClockChange = read(body)?;
                self.host(asked.venue.as_deref())?.command(Command::Skew { millis: asked.skew_ms })
            }
            "/agents" => {
                let asked: AgentChange = read(body)?;
                let valid_until = if asked.expired { Some(0) } else { asked.valid_until };
                let host = self.host(asked.venue.as_deref())?;
                host.command(Command::Agent { account: asked.account, agent: asked.agent, name: asked.name, valid_until })
            }
            _ => Err(format!("there is no {path} here; there are /truth, /faults, /prices, /clock and /agents")),
        }
    }

    /// An HTTP request to the endpoint.
    pub(crate) fn answer(&self, method: &str, path: &str, body: &str) -> Reply {
        let done = match (method, path) {
            ("GET", "/truth") => Ok(self.truth()),
            ("GET", "/faults") => Ok(self.faults()),
            ("POST", _) => self.control(path, body),
            _ => {
                Err(format!("{method} {path} is nothing here; there are GET /truth and /faults, POST /faults, /prices, /clock and /agents"))
            }
        };
        match done {
            Ok(value) => Reply::json(&value),
            Err(reason) => Reply { status: 400, ..Reply::json(&json!({ "error": reason })) },
        }
    }
}
