//! What the tests share: a testnet, a raw HTTP client that sees how connections end, and a signer.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use k256::ecdsa::SigningKey;
use omnivenue_testnet::{Config, HyperliquidConfig, Testnet};
use serde_json::{Value, json};
use sha3::{Digest, Keccak256};
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

/// How a request ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// Status and body; a body that is no JSON is a string.
    Reply(u16, Value),
    /// The connection was closed without an answer.
    Cut,
    /// Nothing came in time.
    Silence,
}

impl Answer {
    /// The JSON of a good answer.
    pub(crate) fn ok(self) -> Value {
        match self {
            Self::Reply(200, value) => value,
            other => panic!("expected an answer, got {other:?}"),
        }
    }

    /// The venue's sentence when it refused the whole request.
    pub(crate) fn words(self) -> String {
        let value = self.ok();
        assert_eq!(value["status"], "err", "{value}");
        value["response"].as_str().unwrap().to_owned()
    }

    /// The one status of orders or cancels.
    pub(crate) fn status(self) -> Value {
        let value = self.ok();
        assert_eq!(value["status"], "ok", "{value}");
        let statuses = value["response"]["data"]["statuses"].as_array().unwrap();
        assert_eq!(statuses.len(), 1, "{value}");
        statuses[0].clone()
    }
}

/// Asks over a connection of its own, and waits at most so long.
pub(crate) fn ask(url: &str, method: &str, path: &str, body: &str, wait: Duration) -> Answer {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(wait)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => return Answer::Silence,
        Err(_) | Ok(0) => return Answer::Cut,
        Ok(_) => {}
    }
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer::Reply(status, serde_json::from_str(body).unwrap_or_else(|_| body.into()))
}

fn keccak(bytes: &[u8]) -> [u8; 32] {
    Keccak256::digest(bytes).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// MessagePack of what the tests send; keys in the order in which they are written out.
fn pack(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
        Value::Number(number) => match number.as_u64().unwrap() {
            small @ 0..=127 => out.push(u8::try_from(small).unwrap()),
            large => {
                let bytes = large.to_be_bytes();
                let short = bytes.iter().skip_while(|byte| **byte == 0).count().next_power_of_two();
                out.push(0xcc + u8::try_from(short.trailing_zeros()).unwrap());
                out.extend(&bytes[8 - short..]);
            }
        },
        Value::String(text) => {
            match u8::try_from(text.len()).unwrap() {
                short @ 0..=31 => out.push(0xa0 | short),
                long => out.extend([0xd9, long]),
            }
            out.extend(text.as_bytes());
        }
        Value::Array(items) => {
            match u8::try_from(items.len()).unwrap() {
                short @ 0..=15 => out.push(0x90 | short),
                long => out.extend([0xdc, 0, long]),
            }
            items.iter().for_each(|item| pack(item, out));
        }
        Value::Object(pairs) => {
            out.push(0x80 | u8::try_from(pairs.len()).unwrap());
            for (key, value) in pairs {
                pack(&key.as_str().into(), out);
                pack(value, out);
            }
        }
        Value::Null => out.push(0xc0),
    }
}

fn domain(name: &str, chain: u64) -> [u8; 32] {
    let kind = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    let chain = [&[0; 24][..], &chain.to_be_bytes()].concat();
    keccak(&[&kind[..], &keccak(name.as_bytes()), &keccak(b"1"), &chain, &[0; 32]].concat())
}

/// A private key of the tests.
#[derive(Clone)]
pub(crate) struct Key(SigningKey);

impl Key {
    pub(crate) fn read(text: &str) -> Self {
        let digits = text.strip_prefix("0x").unwrap();
        let bytes: Vec<u8> = (0..64).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
        Self(SigningKey::from_slice(&bytes).unwrap())
    }

    pub(crate) fn of(sentence: &str) -> Self {
        Self(SigningKey::from_slice(&keccak(sentence.as_bytes())).unwrap())
    }

    pub(crate) fn address(&self) -> String {
        let point = self.0.verifying_key().to_sec1_point(false);
        format!("0x{}", hex(&keccak(&point.as_bytes()[1..])[12..]))
    }

    fn sign(&self, domain: [u8; 32], message: [u8; 32]) -> Value {
        let digest = keccak(&[&[0x19, 0x01][..], &domain, &message].concat());
        let (signature, recovery) = self.0.sign_prehash_recoverable(&digest);
        let bytes = signature.to_bytes();
        json!({ "r": format!("0x{}", hex(&bytes[..32])), "s": format!("0x{}", hex(&bytes[32..])), "v": 27 + recovery.to_byte() })
    }

    /// An envelope as a client sends it.
    pub(crate) fn envelope(&self, action: &Value, nonce: u64, vault: Option<&str>, expires: Option<u64>) -> Value {
        let mut bytes = Vec::new();
        pack(action, &mut bytes);
        bytes.extend(nonce.to_be_bytes());
        match vault {
            None => bytes.push(0),
            Some(vault) => {
                bytes.push(1);
                bytes.extend((2..42).step_by(2).map(|at| u8::from_str_radix(&vault[at..at + 2], 16).unwrap()));
            }
        }
        if let Some(expires) = expires {
            bytes.push(0);
            bytes.extend(expires.to_be_bytes());
        }
        let kind = keccak(b"Agent(string source,bytes32 connectionId)");
        let message = keccak(&[kind, keccak(b"b"), keccak(&bytes)].concat());
        let signature = self.sign(domain("Exchange", 1337), message);
        json!({ "action": action, "nonce": nonce, "signature": signature, "vaultAddress": vault, "expiresAfter": expires })
    }

    /// An approval of an agent, signed field by field.
    pub(crate) fn approval(&self, agent: &str, name: &str, nonce: u64) -> Value {
        let kind = b"HyperliquidTransaction:ApproveAgent(string hyperliquidChain,address agentAddress,string agentName,uint64 nonce)";
        let address: Vec<u8> = (2..42).step_by(2).map(|at| u8::from_str_radix(&agent[at..at + 2], 16).unwrap()).collect();
        let nonce_word = [&[0; 24][..], &nonce.to_be_bytes()].concat();
        let fields = [&keccak(kind)[..], &keccak(b"Testnet"), &[0; 12], &address, &keccak(name.as_bytes()), &nonce_word].concat();
        let signature = self.sign(domain("HyperliquidSignTransaction", 421_614), keccak(&fields));
        let action = json!({
            "type": "approveAgent", "hyperliquidChain": "Testnet", "signatureChainId": "0x66eee", "agentAddress": agent,
            "agentName": name, "nonce": nonce,
        });
        json!({ "action": action, "nonce": nonce, "signature": signature })
    }
}

/// A testnet with prices that stand still, and a client of its main account.
pub(crate) struct World {
    pub(crate) testnet: Testnet,
    pub(crate) url: String,
    pub(crate) key: Key,
    pub(crate) address: String,
    nonces: AtomicU64,
    cloids: AtomicU64,
}

/// HYPE's asset id.
pub(crate) const HYPE: u64 = 3;

/// The longest that a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for a condition.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    #[allow(clippy::disallowed_methods, reason = "a deadline of a test against real sockets")]
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut HyperliquidConfig)) -> Self {
        let mut config = HyperliquidConfig::built_in();
        config.prices =
            serde_json::from_value(json!({ "HYPE": { "fixed": { "price": "40" } }, "BTC": { "fixed": { "price": "97000" } } })).unwrap();
        change(&mut config);
        let account = config.accounts[0].clone();
        let testnet = Testnet::start(Config { admin_port: 0, hyperliquid: Some(config) }).unwrap();
        let url = testnet.urls()["hyperliquid"].rest.clone();
        let now = testnet.truth()["venues"]["hyperliquid"]["time"].as_u64().unwrap();
        let key = Key::read(account.test_key.as_deref().unwrap());
        Self { testnet, url, key, address: account.address, nonces: AtomicU64::new(now), cloids: AtomicU64::new(1) }
    }

    /// The truth of the venue.
    pub(crate) fn truth(&self) -> Value {
        self.testnet.truth()["venues"]["hyperliquid"].take()
    }

    /// The truth of the main account.
    pub(crate) fn account(&self) -> Value {
        self.truth()["accounts"][&self.address].take()
    }

    /// Every order that was taken under a client's id.
    pub(crate) fn taken(&self, cloid: &str) -> Vec<Value> {
        let orders = self.account()["orders"].as_array().unwrap().clone();
        orders.into_iter().filter(|order| order["cloid"] == cloid).collect()
    }

    pub(crate) fn order_at(&self, oid: &Value) -> Value {
        let account = self.account();
        let all = ["orders", "rejected_orders"].into_iter().flat_map(|key| account[key].as_array().unwrap().clone());
        all.into_iter().find(|order| order["oid"] == *oid).unwrap()
    }

    /// The venue's time in milliseconds.
    pub(crate) fn now(&self) -> u64 {
        self.truth()["time"].as_u64().unwrap()
    }

    pub(crate) fn nonce(&self) -> u64 {
        self.nonces.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn cloid(&self) -> String {
        format!("0x{:032x}", self.cloids.fetch_add(1, Ordering::SeqCst))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        ask(&self.url, "POST", path, &body.to_string(), PATIENCE)
    }

    pub(crate) fn info(&self, body: &Value) -> Value {
        self.post("/info", body).ok()
    }

    /// An action of the main account under a nonce of its own.
    pub(crate) fn act(&self, action: &Value) -> Answer {
        self.post("/exchange", &self.key.envelope(action, self.nonce(), None, None))
    }

    pub(crate) fn control(&self, path: &str, body: &Value) {
        self.testnet.control(path, body).unwrap();
    }

    pub(crate) fn price(&self, price: &str) {
        self.control("/prices", &json!({ "symbol": "HYPE", "price": price }));
    }

    /// The next so many requests of a kind get a fault.
    pub(crate) fn fault(&self, fault: &str, kind: &str, count: u32) {
        self.control("/faults", &json!({ "script": [{ "fault": fault, "kind": kind, "count": count }] }));
    }

    pub(crate) fn order_status(&self, cloid: &str) -> Value {
        self.info(&json!({ "type": "orderStatus", "user": self.address, "oid": cloid }))
    }

    pub(crate) fn stream(&self) -> Stream {
        Stream::open(&self.testnet.urls()["hyperliquid"].stream)
    }
}

/// A limit order of one HYPE.
pub(crate) fn limit(buy: bool, price: &str, tif: &str, cloid: &str) -> Value {
    json!({ "a": HYPE, "b": buy, "p": price, "s": "1", "r": false, "t": { "limit": { "tif": tif } }, "c": cloid })
}

/// A reduce-only trigger at a price, with room to trade.
pub(crate) fn trigger(buy: bool, trigger: &str, price: &str, tpsl: &str, cloid: &str) -> Value {
    let kind = json!({ "trigger": { "isMarket": true, "triggerPx": trigger, "tpsl": tpsl } });
    json!({ "a": HYPE, "b": buy, "p": price, "s": "1", "r": true, "t": kind, "c": cloid })
}

pub(crate) fn orders(list: &[Value], grouping: &str) -> Value {
    json!({ "type": "order", "orders": list, "grouping": grouping })
}

pub(crate) fn one(order: Value) -> Value {
    orders(&[order], "na")
}

/// A stream connection of a client.
pub(crate) struct Stream(WebSocket<TcpStream>);

impl Stream {
    pub(crate) fn open(url: &str) -> Self {
        let host = url.strip_prefix("ws://").unwrap().strip_suffix("/ws").unwrap();
        let socket = TcpStream::connect(host).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(client(url, socket).unwrap().0)
    }

    pub(crate) fn send(&mut self, value: &Value) {
        self.0.send(Message::text(value.to_string())).unwrap();
    }

    pub(crate) fn subscribe(&mut self, subscription: &Value) {
        self.send(&json!({ "method": "subscribe", "subscription": subscription }));
        let ack = self.until(|frame| ["subscriptionResponse", "error"].contains(&frame["channel"].as_str().unwrap_or("")));
        assert_eq!(ack["data"], json!({ "method": "subscribe", "subscription": subscription }));
    }

    /// The next frame; `None` when the connection has ended.
    pub(crate) fn next(&mut self) -> Option<Value> {
        match self.0.read() {
            Ok(Message::Text(text)) => Some(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(_)) | Err(_) => None,
            Ok(_) => self.next(),
        }
    }

    /// The first frame that fits.
    pub(crate) fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.next().expect("the stream ended");
            if fits(&frame) {
                return frame;
            }
        }
    }

    pub(crate) fn on(&mut self, channel: &str) -> Value {
        self.until(|frame| frame["channel"] == channel)
    }
}
