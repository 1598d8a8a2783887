//! One venue and what the frame keeps around it: its faults and its stream connections.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use omnivenue_core::model::time::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use crate::clock;
use crate::faults::{FaultKind, FaultPlan, Faults};
use crate::protocol::{Call, Class, Command, Connection, Frame, Group, Incoming, Protocol, Reply};

/// What goes out on a stream connection.
#[derive(Debug, Clone)]
pub(crate) enum Outgoing {
    Text(Arc<str>),
    Cut,
}

/// Frames that wait for a slow client; one more and it is cut off.
const QUEUE_MAX: usize = 4096;

#[derive(Debug)]
struct Client {
    sender: mpsc::Sender<Outgoing>,
    /// No more data, by a fault.
    silent: bool,
    /// A frame held back until the next one, and since when.
    held: Option<(Timestamp, Arc<str>)>,
}

struct Inner {
    protocol: Box<dyn Protocol>,
    faults: Faults,
    clients: BTreeMap<Connection, Client>,
    last: Connection,
}

/// One venue on its port.
pub(crate) struct Host {
    pub(crate) name: &'static str,
    inner: Mutex<Inner>,
    /// Something happened: the next tick may be earlier than thought.
    changed: Notify,
}

impl Host {
    pub(crate) fn new(name: &'static str, protocol: Box<dyn Protocol>, plan: FaultPlan) -> Self {
        let inner = Inner { protocol, faults: Faults::new(plan), clients: BTreeMap::new(), last: 0 };
        Self { name, inner: Mutex::new(inner), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What a panic left behind is still the truth that a test wants to see.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that happens to this request, if any, and how long it takes where it takes time.
    pub(crate) fn draw(&self, call: &Call) -> Option<(FaultKind, std::time::Duration)> {
        let mut inner = self.lock();
        let class = inner.protocol.classify(clock::now(), call);
        let fault = inner.faults.draw(&class)?;
        let longest = match fault {
            FaultKind::LateCommit => inner.faults.plan().late_commit_max,
            _ => inner.faults.plan().delay_max,
        };
        Some((fault, inner.faults.some_of(longest)))
    }

    /// Does a request, and sends what streams have to say of it.
    pub(crate) fn handle(&self, call: &Call) -> Reply {
        let mut inner = self.lock();
        let now = clock::now();
        // Drawn here, so that an order can be refused in a request that is answered late, done late or not answered at all.
        let refuse_triggers = inner.faults.may_refuse_triggers() && {
            let class = inner.protocol.classify(now, call);
            inner.faults.draw_refusal(&class)
        };
        let reply = inner.protocol.handle(now, call, refuse_triggers);
        inner.send_frames();
        drop(inner);
        self.changed.notify_one();
        reply
    }

    /// Denies the order that this asks for, unless it was denied too often.
    pub(crate) fn deny(&self, call: &Call) -> Option<Reply> {
        let mut inner = self.lock();
        let most = inner.faults.plan().false_not_found_max;
        inner.protocol.deny(clock::now(), call, most)
    }

    pub(crate) fn limited(&self) -> Reply {
        self.lock().protocol.limited()
    }

    /// A stream connects: its number and what goes out to it.
    pub(crate) fn connect(&self, peer: IpAddr) -> Option<(Connection, mpsc::Receiver<Outgoing>)> {
        let mut inner = self.lock();
        inner.last += 1;
        let connection = inner.last;
        if !inner.protocol.connected(clock::now(), connection, peer) {
            return None;
        }
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        inner.clients.insert(connection, Client { sender, silent: false, held: None });
        Some((connection, receiver))
    }

    pub(crate) fn disconnect(&self, connection: Connection) {
        let mut inner = self.lock();
        inner.protocol.disconnected(connection);
        inner.clients.remove(&connection);
    }

    /// A text frame from a client. A request in it comes back, to be done like any other.
    pub(crate) fn message(&self, connection: Connection, text: &str) -> Option<(Value, Call)> {
        let mut inner = self.lock();
        let incoming = inner.protocol.message(clock::now(), connection, text);
        inner.send_frames();
        match incoming {
            Incoming::Done => None,
            Incoming::Call { tag, call } => Some((tag, call)),
        }
    }

    /// Answers a request that came by stream.
    pub(crate) fn answer(&self, connection: Connection, tag: &Value, call: &Call, reply: &Reply) {
        let mut inner = self.lock();
        let frame = inner.protocol.answer(connection, tag, call, reply);
        inner.send(frame);
    }

    /// Closes a stream connection without a word.
    pub(crate) fn cut(&self, connection: Connection) {
        let mut inner = self.lock();
        inner.push(connection, Outgoing::Cut);
    }

    fn tick(&self) -> Option<Timestamp> {
        let mut inner = self.lock();
        let now = clock::now();
        inner.protocol.tick(now);
        inner.send_frames();
        inner.release(now);
        inner.protocol.next_tick(now)
    }

    /// Lets time pass for the venue, for ever.
    pub(crate) async fn run(&self) {
        // Frames held back are released within this, also when no price moves.
        const LONGEST: std::time::Duration = std::time::Duration::from_millis(250);
        const SHORTEST: std::time::Duration = std::time::Duration::from_millis(2);
        loop {
            let next = self.tick().map_or(LONGEST, clock::until).clamp(SHORTEST, LONGEST);
            // Either way it is time to look again.
            let _ = tokio::time::timeout(next, self.changed.notified()).await;
        }
    }

    pub(crate) fn command(&self, command: Command) -> Result<Value, String> {
        let mut inner = self.lock();
        let done = inner.protocol.command(clock::now(), command);
        inner.send_frames();
        drop(inner);
        self.changed.notify_one();
        done
    }

    pub(crate) fn truth(&self) -> Value {
        let mut inner = self.lock();
        let mut truth = inner.protocol.truth(clock::now());
        inner.send_frames();
        truth["faults"] = inner.faults.counts();
        truth["connections"] = inner.clients.len().into();
        truth
    }

    pub(crate) fn faults(&self) -> Value {
        let inner = self.lock();
        json!({ "plan": inner.faults.plan(), "counts": inner.faults.counts() })
    }

    /// Changes the plan: what the value leaves out stays as it is, a script is added to the one there is.
    pub(crate) fn set_faults(&self, change: &Value) -> Result<(), String> {
        let mut inner = self.lock();
        let mut plan = serde_json::to_value(inner.faults.plan()).map_err(|e| e.to_string())?;
        let fields = change.as_object().ok_or("write an object of seed, chances, script and bounds")?;
        for (key, value) in fields {
            match (plan[key.as_str()].as_array_mut().filter(|_| key == "script"), value.as_array()) {
                (Some(script), Some(more)) => script.extend(more.iter().cloned()),
                _ => plan[key.as_str()] = value.clone(),
            }
        }
        let plan: FaultPlan = serde_json::from_value(plan).map_err(|e| e.to_string())?;
        plan.check()?;
        inner.faults.set(plan);
        Ok(())
    }

    /// No fault from now on.
    pub(crate) fn clear_faults(&self) {
        let mut inner = self.lock();
        inner.faults.set(FaultPlan::default());
        inner.clients.values_mut().for_each(|client| client.silent = false);
    }

    /// A stream connection that was sent nothing for this long is closed.
    pub(crate) fn idle(&self) -> std::time::Duration {
        self.lock().protocol.idle()
    }

    pub(crate) fn usage(&self, rest: &str, stream: &str) -> String {
        self.lock().protocol.usage(rest, stream)
    }
}

impl Inner {
    fn send_frames(&mut self) {
        for frame in self.protocol.take_frames() {
            self.send(frame);
        }
    }

    fn send(&mut self, frame: Frame) {
        let Some(channel) = frame.channel else {
            self.push(frame.to, Outgoing::Text(frame.text));
            return;
        };
        if self.clients.get(&frame.to).is_none_or(|client| client.silent) {
            return;
        }
        let class = Class { kind: channel, group: Group::Stream, account: frame.account, triggers: false };
        match self.faults.draw(&class) {
            Some(FaultKind::Drop) => return,
            Some(FaultKind::Duplicate) => self.push(frame.to, Outgoing::Text(frame.text.clone())),
            Some(FaultKind::CutStream) => {
                self.push(frame.to, Outgoing::Cut);
                return;
            }
            Some(FaultKind::SilentStream) => {
                self.clients.get_mut(&frame.to).into_iter().for_each(|client| client.silent = true);
                return;
            }
            Some(FaultKind::Reorder) => {
                if let Some(client) = self.clients.get_mut(&frame.to).filter(|client| client.held.is_none()) {
                    client.held = Some((clock::now(), frame.text));
                    return;
                }
            }
            _ => {}
        }
        self.push(frame.to, Outgoing::Text(frame.text));
        if let Some((_, held)) = self.clients.get_mut(&frame.to).and_then(|client| client.held.take()) {
            self.push(frame.to, Outgoing::Text(held));
        }
    }

    /// Lets go of frames that were held back long enough.
    fn release(&mut self, now: Timestamp) {
        let longest = self.faults.plan().reorder_max;
        let due = |client: &Client| client.held.as_ref().is_some_and(|(since, _)| now.since(*since) >= longest);
        let due: Vec<Connection> = self.clients.iter().filter(|(_, client)| due(client)).map(|(connection, _)| *connection).collect();
        for connection in due {
            if let Some((_, held)) = self.clients.get_mut(&connection).and_then(|client| client.held.take()) {
                self.push(connection, Outgoing::Text(held));
            }
        }
    }

    /// A client that does not read is cut off: dropping its sender ends its session.
    fn push(&mut self, connection: Connection, outgoing: Outgoing) {
        let Some(client) = self.clients.get(&connection) else {
            return;
        };
        if client.sender.try_send(outgoing).is_err() {
            self.clients.remove(&connection);
        }
    }
}
