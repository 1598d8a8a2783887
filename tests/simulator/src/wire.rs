//! The medium between the engine and one exchange: virtual, and able to lose the process at either end of every call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use omnivenue_core::journal::MemoryStore;
use omnivenue_core::model::ids::{AccountId, ClientOrderId, VenueId};
use omnivenue_core::model::order::OrderReport;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Quote, Resend, Sink};
use omnivenue_paper::{Answer, Link, LinkError, PlaceOrder, Request, RequestKind, Response, Server, Token};
use tokio::sync::oneshot;

/// Counts the opportunities to die, and says when to take one.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    count: u64,
    crashes: Vec<u64>,
    /// Set when the process is dead and only waits to be buried.
    pub(crate) dead: Option<&'static str>,
}

impl Fate {
    pub(crate) fn new(mut crashes: Vec<u64>) -> Self {
        crashes.sort_unstable();
        crashes.reverse();
        Self { count: 0, crashes, dead: None }
    }

    /// An opportunity; true when the process dies here.
    pub(crate) fn meets(&mut self, place: &'static str) -> bool {
        if self.dead.is_some() {
            return true;
        }
        self.count += 1;
        if self.crashes.last().is_some_and(|at| *at <= self.count) {
            self.crashes.pop();
            self.dead = Some(place);
        }
        self.dead.is_some()
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// From now on it lives.
    pub(crate) fn spare(&mut self) {
        self.crashes.clear();
        self.dead = None;
    }
}

/// A place request as it left the engine.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) at: Timestamp,
    pub(crate) order: ClientOrderId,
    /// Whether its intent was durable at that moment.
    pub(crate) durable: bool,
}

pub(crate) struct Medium {
    pub(crate) venue: VenueId,
    /// Whether the venue takes the same bytes once.
    pub(crate) resend: Resend,
    pub(crate) server: Server,
    pub(crate) now: Timestamp,
    pub(crate) fate: Arc<Mutex<Fate>>,
    pub(crate) sent: Vec<Sent>,
    journal: MemoryStore,
    waiting: BTreeMap<Token, oneshot::Sender<Answer>>,
    next: u64,
}

/// One exchange, reached through virtual time.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Mutex<Medium>>);

impl Wire {
    pub(crate) fn new(
        venue: VenueId,
        resend: Resend,
        server: Server,
        now: Timestamp,
        fate: Arc<Mutex<Fate>>,
        journal: MemoryStore,
    ) -> Self {
        Self(Arc::new(Mutex::new(Medium {
            venue,
            resend,
            server,
            now,
            fate,
            sent: Vec::new(),
            journal,
            waiting: BTreeMap::new(),
            next: 0,
        })))
    }

    pub(crate) fn open(&self) -> MutexGuard<'_, Medium> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the exchange live until `now`; returns what its streams tell.
    pub(crate) fn advance(&self, now: Timestamp) -> Vec<(AccountId, OrderReport)> {
        let mut medium = self.open();
        medium.now = now;
        let polled = medium.server.poll(now);
        for (token, answer) in polled.answers {
            if let Some(waiting) = medium.waiting.remove(&token) {
                let _ = waiting.send(answer);
            }
        }
        polled.updates
    }

    /// The process died: its requests go on, its answers are lost.
    pub(crate) fn bury(&self) {
        let mut medium = self.open();
        medium.server.forget_clients();
        medium.waiting.clear();
    }
}

#[async_trait]
impl Link for Wire {
    async fn call(&self, request: Request) -> Result<Response, LinkError> {
        let answer = {
            let mut medium = self.open();
            let medium = &mut *medium;
            let fate = Arc::clone(&medium.fate);
            let mut fate = fate.lock().unwrap_or_else(PoisonError::into_inner);
            if fate.meets("before a call") {
                None
            } else {
                if request.kind() == RequestKind::Place
                    && let Request::Place { wire, .. } = &request
                    && let Ok(place) = serde_json::from_str::<PlaceOrder>(wire)
                {
                    // With a journal that cannot be written only names reserved before go out: which those were, the journal knows at the end.
                    let durable = medium.journal.knows(&place.client_order_id) || medium.journal.is_failing();
                    medium.sent.push(Sent { at: medium.now, order: place.client_order_id, durable });
                }
                medium.next += 1;
                let token = Token(medium.next);
                medium.server.submit(medium.now, token, request);
                let (sender, receiver) = oneshot::channel();
                if fate.meets("after a call") {
                    None
                } else {
                    medium.waiting.insert(token, sender);
                    Some(receiver)
                }
            }
        };
        // A dead process waits for ever.
        let Some(answer) = answer else { return std::future::pending().await };
        match answer.await {
            Ok(Answer::Ok(response)) => Ok(*response),
            Ok(Answer::Refused(refusal)) => Err(LinkError::Refused(refusal)),
            Ok(Answer::Cut) => Err(LinkError::Cut),
            Err(_) => std::future::pending().await,
        }
    }

    async fn updates(&self, _account: &AccountId, _sink: Sink<OrderReport>) -> Result<(), LinkError> {
        // The world hands stream reports to the kernel itself.
        std::future::pending().await
    }

    async fn quotes(&self, _sink: Sink<Quote>) -> Result<(), LinkError> {
        std::future::pending().await
    }
}
