//! Hyperliquid as the frame sees it: requests by path, streams, commands.

use std::net::IpAddr;
use std::time::Duration;

use omnivenue_core::model::time::Timestamp;
use serde_json::{Value, json};

use super::accounts::Agent;
use super::envelope::Envelope;
use super::limits;
use super::sign::Address;
use super::state::{Hyperliquid, RefusedRequest};
use super::{usage, wire};
use crate::json::Json;
use crate::protocol::{Call, Class, Command, Connection, Frame, Group, Incoming, Protocol, Reply};

/// A clock may be wrong by at most this much.
const SKEW_MAX_MS: i64 = 10 * 86_400_000;

impl Hyperliquid {
    fn weighed(&mut self, call: &Call) -> Option<Reply> {
        let body = serde_json::from_str::<Json>(&call.body).ok();
        let weight = match (call.path.as_str(), &body) {
            ("/exchange", Some(body)) => body.get("action").map_or(1, limits::action_weight),
            (_, Some(body)) => Self::info_weight(body.text("type").unwrap_or_default(), 0),
            _ => 1,
        };
        if self.weights.take(self.system, call.peer, weight, self.config.limits.ip_weight) {
            return None;
        }
        let kind = body.and_then(|body| body.text("type").or_else(|| body.get("action")?.text("type")).map(str::to_owned));
        self.note_refusal(RefusedRequest {
            at: self.now_ms(),
            kind: kind.unwrap_or_default(),
            account: None,
            signer: None,
            nonce: None,
            reason: "429 Too Many Requests".into(),
        });
        Some(self.limited())
    }

    /// Long answers weigh more; what they weigh beyond the question is taken afterwards.
    fn weigh_answer(&mut self, call: &Call, reply: &Reply) {
        let kind = serde_json::from_str::<Json>(&call.body).ok().and_then(|body| body.text("type").map(str::to_owned)).unwrap_or_default();
        let items = serde_json::from_str::<Value>(&reply.body).ok().and_then(|value| value.as_array().map(Vec::len)).unwrap_or(0);
        let more = Self::info_weight(&kind, items).saturating_sub(Self::info_weight(&kind, 0));
        if more > 0 {
            self.weights.take(self.system, call.peer, more, u64::MAX);
        }
    }

    fn agent(&mut self, account: &str, agent: &str, name: Option<String>, valid_until: Option<u64>) -> Result<Value, String> {
        let master = self.accounts.named(account).ok_or_else(|| format!("account is {account}, but nobody here is called that"))?;
        let address: Address = agent.parse()?;
        let now = self.now_ms();
        let valid_until = valid_until.unwrap_or(now.saturating_add(90 * 86_400_000));
        let known = self.accounts.get_mut(&master).and_then(|account| account.agents.iter_mut().find(|agent| agent.address == address));
        match known {
            Some(agent) => agent.valid_until = valid_until,
            None => self.accounts.approve(master, Agent { name, address, valid_until }, now)?,
        }
        Ok(json!({ "account": master.to_string(), "agent": address.to_string(), "valid_until": valid_until }))
    }
}

impl Protocol for Hyperliquid {
    fn classify(&mut self, now: Timestamp, call: &Call) -> Class {
        self.at(now);
        let body = serde_json::from_str::<Json>(&call.body).ok();
        if call.path != "/exchange" {
            let kind = body.as_ref().and_then(|body| body.text("type")).unwrap_or_default().to_owned();
            let account = body.as_ref().and_then(|body| Some(body.text("user")?.to_ascii_lowercase()));
            return Class { kind, group: Group::Info, account, triggers: false };
        }
        let envelope = body.and_then(|body| Envelope::read(&body).ok());
        let kind = envelope.as_ref().map(|envelope| envelope.kind().to_owned()).unwrap_or_default();
        let triggers = envelope.as_ref().is_some_and(|envelope| wire::has_triggers(&envelope.action));
        let who = envelope.and_then(|envelope| envelope.authorize(&self.accounts, &self.config.sources, self.now_ms()).ok());
        Class { kind, group: Group::Action, account: who.map(|who| who.account.to_string()), triggers }
    }

    fn handle(&mut self, now: Timestamp, call: &Call, refuse_triggers: bool) -> Reply {
        self.at(now);
        self.refuse_triggers = refuse_triggers;
        if !["/exchange", "/info"].contains(&call.path.as_str()) {
            return Reply::text(404, "Not Found");
        }
        if let Some(limited) = self.weighed(call) {
            return limited;
        }
        // What is due by now happens before what is asked now.
        self.advance();
        if call.path == "/exchange" {
            let reply = self.exchange(&call.body);
            self.publish();
            return reply;
        }
        let reply = self.info(&call.body);
        self.weigh_answer(call, &reply);
        reply
    }

    fn deny(&mut self, now: Timestamp, call: &Call, most: u32) -> Option<Reply> {
        self.at(now);
        let oid = self.denied_order(&call.body)?;
        let denied = self.denied.entry(oid).or_default();
        if *denied >= most {
            return None;
        }
        *denied += 1;
        self.count("orderStatus");
        Some(Reply::json(&json!({ "status": "unknownOid" })))
    }

    fn limited(&self) -> Reply {
        Reply::text(429, "Too Many Requests")
    }

    fn connected(&mut self, now: Timestamp, connection: Connection, peer: IpAddr) -> bool {
        self.at(now);
        self.streams.open(connection, peer, self.config.limits.connections)
    }

    fn disconnected(&mut self, connection: Connection) {
        self.streams.close(connection);
    }

    fn message(&mut self, now: Timestamp, connection: Connection, text: &str) -> Incoming {
        self.at(now);
        self.stream_message(connection, text)
    }

    fn answer(&mut self, connection: Connection, tag: &Value, call: &Call, reply: &Reply) -> Frame {
        self.post_answered(connection);
        let payload = serde_json::from_str::<Value>(&reply.body).ok().filter(|_| reply.status == 200);
        let response = match payload {
            None => json!({ "type": "error", "payload": format!("{} {}", reply.status, reply.body) }),
            Some(payload) if tag["type"] == "info" => {
                let kind = serde_json::from_str::<Value>(&call.body).map(|body| body["type"].clone()).unwrap_or_default();
                json!({ "type": "info", "payload": { "type": kind, "data": payload } })
            }
            Some(payload) => json!({ "type": tag["type"], "payload": payload }),
        };
        let text = json!({ "channel": "post", "data": { "id": tag["id"], "response": response } }).to_string().into();
        Frame { to: connection, channel: None, account: None, text }
    }

    fn tick(&mut self, now: Timestamp) {
        self.at(now);
        self.advance();
        self.publish();
    }

    fn next_tick(&self, now: Timestamp) -> Option<Timestamp> {
        let scheduled = self.accounts.iter().filter_map(|(_, account)| account.schedule).min();
        let scheduled = scheduled.and_then(|at| Some(Timestamp::from_millis(i64::try_from(at).ok()?.saturating_sub(self.skew_ms))));
        [self.market.next_change(now), scheduled].into_iter().flatten().min()
    }

    fn take_frames(&mut self) -> Vec<Frame> {
        self.streams.take()
    }

    fn command(&mut self, now: Timestamp, command: Command) -> Result<Value, String> {
        self.at(now);
        match command {
            Command::Price { symbol, price } => {
                self.advance();
                self.market.move_price(self.system, &symbol, price)?;
                self.advance();
                self.publish();
                Ok(json!({ "symbol": symbol, "price": price }))
            }
            Command::Skew { millis } if millis.abs() > SKEW_MAX_MS => {
                Err(format!("skew_ms is {millis}, but must be at most {SKEW_MAX_MS} either way"))
            }
            Command::Skew { millis } => {
                self.skew_ms = millis;
                Ok(json!({ "skew_ms": millis, "time": self.now_ms() }))
            }
            Command::Agent { account, agent, name, valid_until } => self.agent(&account, &agent, name, valid_until),
        }
    }

    fn truth(&mut self, now: Timestamp) -> Value {
        self.at(now);
        self.advance();
        self.whole_truth()
    }

    fn idle(&self) -> Duration {
        self.config.limits.idle
    }

    fn usage(&self, rest: &str, stream: &str) -> String {
        usage::text(&self.config, rest, stream)
    }
}
