//! The way to one simulated exchange, through virtual time.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use omnivenue_core::model::ids::AccountId;
use omnivenue_core::model::order::OrderReport;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Quote, Sink};
use omnivenue_paper::{Answer, Link, LinkError, Request, Response, Server, Token};

pub(super) struct Medium {
    pub(super) server: Server,
    now: Timestamp,
    waiting: BTreeMap<Token, Waker>,
    answers: BTreeMap<Token, Answer>,
    next: u64,
}

/// One exchange, and the requests on their way to it.
#[derive(Clone)]
pub(super) struct VirtualLink(Arc<Mutex<Medium>>);

impl VirtualLink {
    pub(super) fn new(server: Server, now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Medium { server, now, waiting: BTreeMap::new(), answers: BTreeMap::new(), next: 0 })))
    }

    pub(super) fn open(&self) -> MutexGuard<'_, Medium> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the exchange live until `now`; returns what its streams tell.
    pub(super) fn advance(&self, now: Timestamp) -> Vec<(AccountId, OrderReport)> {
        let mut medium = self.open();
        medium.now = now;
        let polled = medium.server.poll(now);
        for (token, answer) in polled.answers {
            medium.answers.insert(token, answer);
            if let Some(waker) = medium.waiting.remove(&token) {
                waker.wake();
            }
        }
        polled.updates
    }
}

/// The answer to a request, once virtual time has brought it. A channel of some runtime would not do: inside one, it may say "not yet" to
/// whoever polls it often, so that others get their turn, and here nobody else does.
struct Awaited {
    link: VirtualLink,
    token: Token,
}

impl Future for Awaited {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let mut medium = self.link.open();
        match medium.answers.remove(&self.token) {
            Some(answer) => Poll::Ready(answer),
            None => {
                medium.waiting.insert(self.token, context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[async_trait]
impl Link for VirtualLink {
    async fn call(&self, request: Request) -> Result<Response, LinkError> {
        let token = {
            let mut medium = self.open();
            medium.next += 1;
            let (token, now) = (Token(medium.next), medium.now);
            medium.server.submit(now, token, request);
            token
        };
        match (Awaited { link: self.clone(), token }).await {
            Answer::Ok(response) => Ok(*response),
            Answer::Refused(refusal) => Err(LinkError::Refused(refusal)),
            Answer::Cut => Err(LinkError::Cut),
        }
    }

    async fn updates(&self, _: &AccountId, _: Sink<OrderReport>) -> Result<(), LinkError> {
        // The driver hands stream reports to the state machine itself.
        std::future::pending().await
    }

    async fn quotes(&self, _: Sink<Quote>) -> Result<(), LinkError> {
        std::future::pending().await
    }
}
