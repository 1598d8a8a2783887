//! Subscriptions, and the frames they get: what happened at once, what changed at each tick.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::account_info::{basic, fill as fill_value, side};
use super::config::Limits;
use super::market_info::interval;
use super::numbers::text;
use super::orders::Order;
use super::settle::Fill;
use super::sign::Address;
use super::state::Hyperliquid;
use crate::json::Json;
use crate::protocol::{Call, Connection, Frame, Incoming};

/// What a client listens to.
#[derive(Debug, Clone, PartialEq)]
struct Subscription {
    /// As the client spelled it, to be echoed.
    spelled: Value,
    kind: String,
    user: Option<Address>,
    coin: Option<String>,
    interval: Option<String>,
    /// What it was last told, where only changes are told.
    told: String,
}

/// What is told when something happens; everything else is told when it changed.
const EVENTS: [&str; 8] =
    ["orderUpdates", "userFills", "userEvents", "trades", "userFundings", "userNonFundingLedgerUpdates", "notification", "webData3"];
const STATES: [&str; 9] =
    ["allMids", "l2Book", "bbo", "candle", "activeAssetCtx", "clearinghouseState", "openOrders", "activeAssetData", "webData2"];
const OF_USER: [&str; 11] = [
    "orderUpdates",
    "userFills",
    "userEvents",
    "userFundings",
    "userNonFundingLedgerUpdates",
    "notification",
    "webData3",
    "clearinghouseState",
    "openOrders",
    "activeAssetData",
    "webData2",
];
const OF_COIN: [&str; 6] = ["l2Book", "bbo", "trades", "candle", "activeAssetCtx", "activeAssetData"];

#[derive(Debug)]
struct Client {
    peer: IpAddr,
    subscriptions: Vec<Subscription>,
    in_flight: usize,
}

/// Every stream connection, and what is to be sent.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    clients: BTreeMap<Connection, Client>,
    outbox: Vec<Frame>,
}

impl Streams {
    pub(crate) fn open(&mut self, connection: Connection, peer: IpAddr, most: usize) -> bool {
        let fits = self.clients.values().filter(|client| client.peer == peer).count() < most;
        if fits {
            self.clients.insert(connection, Client { peer, subscriptions: Vec::new(), in_flight: 0 });
        }
        fits
    }

    pub(crate) fn close(&mut self, connection: Connection) {
        self.clients.remove(&connection);
    }

    pub(crate) fn take(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.outbox)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.clients.is_empty()
    }

    fn say(&mut self, to: Connection, value: &Value) {
        self.outbox.push(Frame { to, channel: None, account: None, text: value.to_string().into() });
    }

    /// Tells everyone who listens to this.
    fn tell(&mut self, kind: &str, user: Option<Address>, coin: Option<&str>, channel: &str, data: &Value) {
        let text: Arc<str> = json!({ "channel": channel, "data": data }).to_string().into();
        for (to, client) in &self.clients {
            let listens = |s: &&Subscription| s.kind == kind && s.user == user && s.coin.as_deref() == coin;
            for _ in client.subscriptions.iter().filter(listens) {
                let account = user.map(|user| user.to_string());
                self.outbox.push(Frame { to: *to, channel: Some(kind.to_owned()), account, text: text.clone() });
            }
        }
    }

    pub(crate) fn order_changed(&mut self, order: &Order) {
        let update = json!([{ "order": basic(order), "status": order.status, "statusTimestamp": order.status_timestamp }]);
        self.tell("orderUpdates", Some(order.account), None, "orderUpdates", &update);
    }

    pub(crate) fn traded(&mut self, fill: &Fill) {
        let fills = json!({ "user": fill.account.to_string(), "fills": [fill_value(fill)] });
        self.tell("userFills", Some(fill.account), None, "userFills", &fills);
        self.tell("userEvents", Some(fill.account), None, "user", &json!({ "fills": [fill_value(fill)] }));
        let trade = json!([{
            "coin": fill.coin, "side": side(fill.buy), "px": text(fill.price), "sz": text(fill.size), "time": fill.time,
            "hash": fill.hash, "tid": fill.tid, "users": [fill.account.to_string(), Address([0; 20]).to_string()],
        }]);
        self.tell("trades", None, Some(fill.coin.as_str()), "trades", &trade);
    }

    /// Adds a subscription, or says in the venue's words why not.
    fn add(&mut self, connection: Connection, subscription: Subscription, limits: &Limits) -> Result<(), String> {
        let Some(peer) = self.clients.get(&connection).map(|client| client.peer) else {
            return Err("not connected".into());
        };
        let same = |other: &Subscription| other.spelled == subscription.spelled;
        if self.clients.get(&connection).is_some_and(|client| client.subscriptions.iter().any(same)) {
            return Err(format!("Already subscribed: {}", subscription.spelled));
        }
        let all = || self.clients.values().filter(|client| client.peer == peer).flat_map(|client| &client.subscriptions);
        if all().count() >= limits.subscriptions {
            return Err(format!("Cannot subscribe to more than {} channels.", limits.subscriptions));
        }
        let users: BTreeSet<Address> = all().filter_map(|other| other.user).chain(subscription.user).collect();
        if users.len() > limits.users {
            return Err(format!("Cannot track more than {} total users.", limits.users));
        }
        if let Some(client) = self.clients.get_mut(&connection) {
            client.subscriptions.push(subscription);
        }
        Ok(())
    }
}

impl Hyperliquid {
    /// What a client's frame asks for.
    pub(crate) fn stream_message(&mut self, connection: Connection, text: &str) -> Incoming {
        let Some(peer) = self.streams.clients.get(&connection).map(|client| client.peer) else {
            return Incoming::Done;
        };
        let error = |words: &str| json!({ "channel": "error", "data": words });
        if !self.messages.take(self.system, peer, 1, self.config.limits.messages) {
            self.streams.say(connection, &error("Too many messages."));
            return Incoming::Done;
        }
        let Ok(message) = serde_json::from_str::<Json>(text) else {
            let words = format!("Error parsing JSON into valid websocket request: {}", text.chars().take(200).collect::<String>());
            self.streams.say(connection, &error(&words));
            return Incoming::Done;
        };
        match message.text("method") {
            Some("ping") => self.streams.say(connection, &json!({ "channel": "pong" })),
            Some(method @ ("subscribe" | "unsubscribe")) => self.change_subscription(connection, method, message.get("subscription")),
            Some("post") => return self.post(connection, peer, &message),
            _ => self.streams.say(connection, &error("Error parsing JSON into valid websocket request")),
        }
        Incoming::Done
    }

    fn post(&mut self, connection: Connection, peer: IpAddr, message: &Json) -> Incoming {
        let request = message.get("request");
        let kind = request.and_then(|request| request.text("type"));
        let path = match kind {
            Some("action") => "/exchange",
            Some("info") => "/info",
            _ => "",
        };
        let (Some(id), Some(payload)) = (message.get("id").and_then(Json::as_u64), request.and_then(|request| request.get("payload")))
        else {
            self.streams.say(connection, &json!({ "channel": "error", "data": "Error parsing JSON into valid websocket request" }));
            return Incoming::Done;
        };
        let most = self.config.limits.posts;
        let client = self.streams.clients.get_mut(&connection);
        if path.is_empty() || client.as_ref().is_some_and(|client| client.in_flight >= most) {
            let response =
                json!({ "type": "error", "payload": if path.is_empty() { "Invalid request type" } else { "Too many inflight posts" } });
            self.streams.say(connection, &json!({ "channel": "post", "data": { "id": id, "response": response } }));
            return Incoming::Done;
        }
        client.into_iter().for_each(|client| client.in_flight += 1);
        let body = serde_json::to_string(payload).unwrap_or_default();
        Incoming::Call { tag: json!({ "id": id, "type": kind }), call: Call { path: path.into(), body, peer } }
    }

    pub(crate) fn post_answered(&mut self, connection: Connection) {
        if let Some(client) = self.streams.clients.get_mut(&connection) {
            client.in_flight = client.in_flight.saturating_sub(1);
        }
    }

    fn change_subscription(&mut self, connection: Connection, method: &str, asked: Option<&Json>) {
        let spelled = asked.and_then(|asked| serde_json::to_value(asked).ok()).unwrap_or_default();
        let done = match asked.and_then(|asked| self.subscription(asked, spelled.clone())) {
            None => Err(format!("Invalid subscription {spelled}")),
            Some(subscription) if method == "subscribe" => self.streams.add(connection, subscription, &self.config.limits),
            Some(_) => {
                let subscriptions = self.streams.clients.get_mut(&connection).map(|client| &mut client.subscriptions);
                let place = subscriptions.as_ref().and_then(|all| all.iter().position(|other| other.spelled == spelled));
                match (subscriptions, place) {
                    (Some(all), Some(place)) => {
                        all.remove(place);
                        Ok(())
                    }
                    _ => Err(format!("Already unsubscribed: {spelled}")),
                }
            }
        };
        match done {
            Err(words) => self.streams.say(connection, &json!({ "channel": "error", "data": words })),
            Ok(()) => {
                let data = json!({ "method": method, "subscription": spelled });
                self.streams.say(connection, &json!({ "channel": "subscriptionResponse", "data": data }));
                if method == "subscribe" {
                    self.first_snapshot(connection);
                    self.publish();
                }
            }
        }
    }

    fn subscription(&self, asked: &Json, spelled: Value) -> Option<Subscription> {
        let kind = asked.text("type").filter(|kind| EVENTS.contains(kind) || STATES.contains(kind))?;
        let user = if OF_USER.contains(&kind) { Some(asked.text("user")?.parse().ok()?) } else { None };
        let coin = if OF_COIN.contains(&kind) { Some(self.market.coin(asked.text("coin")?)?.name.to_string()) } else { None };
        let interval =
            if kind == "candle" { Some(asked.text("interval").filter(|name| interval(name).is_some())?.to_owned()) } else { None };
        Some(Subscription { spelled, kind: kind.into(), user, coin, interval, told: String::new() })
    }

    /// What the newest subscription of a connection is told first, where that is not its state.
    fn first_snapshot(&mut self, connection: Connection) {
        let newest = self.streams.clients.get(&connection).and_then(|client| client.subscriptions.last()).cloned();
        let Some(Subscription { kind, user: Some(user), .. }) = newest else {
            return;
        };
        let name = user.to_string();
        let data = match kind.as_str() {
            "userFills" => json!({ "isSnapshot": true, "user": name, "fills": self.latest_fills(user) }),
            "userFundings" => json!({ "isSnapshot": true, "user": name, "fundings": [] }),
            "userNonFundingLedgerUpdates" => json!({ "isSnapshot": true, "user": name, "nonFundingLedgerUpdates": [] }),
            _ => return,
        };
        let text = json!({ "channel": kind, "data": data }).to_string().into();
        self.streams.outbox.push(Frame { to: connection, channel: Some(kind), account: Some(name), text });
    }

    /// Tells every subscription of a state that differs from what it was told.
    pub(crate) fn publish(&mut self) {
        if self.streams.is_idle() {
            return;
        }
        let mut known: BTreeMap<String, Option<(Value, String)>> = BTreeMap::new();
        let connections: Vec<Connection> = self.streams.clients.keys().copied().collect();
        for connection in connections {
            let wanted: Vec<(usize, Subscription)> = self.streams.clients[&connection].subscriptions.iter().cloned().enumerate().collect();
            for (place, wanted) in wanted.into_iter().filter(|(_, wanted)| STATES.contains(&wanted.kind.as_str())) {
                let key = wanted.spelled.to_string();
                if !known.contains_key(&key) {
                    let state = self.state(&wanted);
                    known.insert(key.clone(), state);
                }
                let Some(Some((data, essence))) = known.get(&key) else {
                    continue;
                };
                if *essence == wanted.told {
                    continue;
                }
                // The venue tells of spot pairs on a channel of another name.
                let spot = wanted.kind == "activeAssetCtx" && data["ctx"].get("circulatingSupply").is_some();
                let channel = if spot { "activeSpotAssetCtx" } else { wanted.kind.as_str() };
                let text = json!({ "channel": channel, "data": data }).to_string().into();
                let account = wanted.user.map(|user| user.to_string());
                self.streams.outbox.push(Frame { to: connection, channel: Some(wanted.kind), account, text });
                let told = self.streams.clients.get_mut(&connection).and_then(|client| client.subscriptions.get_mut(place));
                told.into_iter().for_each(|subscription| subscription.told.clone_from(essence));
            }
        }
    }

    /// What a subscription of a state is told now, and the same without the time of telling.
    fn state(&mut self, wanted: &Subscription) -> Option<(Value, String)> {
        let coin = wanted.coin.as_deref().and_then(|name| self.market.coin(name)).cloned();
        let data = match (wanted.kind.as_str(), wanted.user, coin) {
            ("allMids", ..) => json!({ "mids": self.mids() }),
            ("l2Book", _, Some(coin)) => self.book(&coin)?,
            ("bbo", _, Some(coin)) => {
                let book = self.book(&coin)?;
                json!({ "coin": coin.name, "time": book["time"], "bbo": [book["levels"][0][0], book["levels"][1][0]] })
            }
            ("activeAssetCtx", _, Some(coin)) => json!({ "coin": coin.name, "ctx": self.context(&coin) }),
            ("candle", _, Some(coin)) => {
                let now = self.now_signed();
                self.candle_snapshot(&coin, wanted.interval.as_deref()?, now, now)?.pop()?
            }
            ("activeAssetData", Some(user), Some(coin)) => self.active_asset_data(user, &coin),
            ("clearinghouseState", Some(user), _) => {
                json!({ "dex": "", "user": user.to_string(), "clearinghouseState": self.clearinghouse(user) })
            }
            ("openOrders", Some(user), _) => json!({ "dex": "", "user": user.to_string(), "orders": self.open_orders(user, true) }),
            ("webData2", Some(user), _) => self.web_data(user),
            _ => return None,
        };
        let essence = without_time(&data).to_string();
        Some((data, essence))
    }
}

fn without_time(value: &Value) -> Value {
    match value {
        Value::Object(pairs) => pairs
            .iter()
            .filter(|(key, _)| *key != "time" && *key != "serverTime")
            .map(|(key, value)| (key.clone(), without_time(value)))
            .collect(),
        other => other.clone(),
    }
}
