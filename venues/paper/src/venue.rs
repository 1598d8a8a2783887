//! The exchange as the engine sees it: a venue and its accounts, over a link.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use omnivenue_core::gates::Cleared;
use omnivenue_core::journal::Journaled;
use omnivenue_core::model::ids::{AccountId, ClientOrderId, VenueId, VenueSymbol};
use omnivenue_core::model::instrument::Instrument;
use omnivenue_core::model::order::{OrderReport, OrderRequest};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{
    Account, AccountSnapshot, Capabilities, Effect, ErrorKind, Evidence, Finding, Grade, Operation, Prepared, ProbePermission, Quote, Sink,
    Ticket, Venue, VenueError,
};

use crate::config::{Config, ConfigError};
use crate::convert;
use crate::errors::venue_error;
use crate::link::{Link, LinkError};
use crate::probe::{self, Question};
use crate::wire::{Request, Response};

/// The simulated exchange as a venue.
pub struct PaperVenue {
    id: VenueId,
    capabilities: Capabilities,
    instruments: BTreeMap<VenueSymbol, Instrument>,
    link: Arc<dyn Link>,
}

impl PaperVenue {
    /// The venue that a link leads to; `config` is the exchange's own.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration is wrong.
    pub fn new(config: &Config, link: Arc<dyn Link>) -> Result<Self, ConfigError> {
        Ok(Self { id: config.id.clone(), capabilities: config.capabilities(), instruments: config.check()?, link })
    }

    fn not_sent(&self, operation: Operation, kind: ErrorKind, message: String) -> VenueError {
        VenueError::new(&self.id, operation, kind, Effect::NotSent, message)
    }
}

#[async_trait]
impl Venue for PaperVenue {
    fn id(&self) -> &VenueId {
        &self.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn instruments(&self) -> Result<Vec<Instrument>, VenueError> {
        Ok(self.instruments.values().cloned().collect())
    }

    async fn quotes(&self) -> Result<Vec<Quote>, VenueError> {
        match self.link.call(Request::Quotes).await {
            Ok(Response::Quotes(quotes)) => Ok(quotes),
            Ok(_) => Err(venue_error(&self.id, Operation::Quotes, LinkError::Unreadable)),
            Err(error) => Err(venue_error(&self.id, Operation::Quotes, error)),
        }
    }

    async fn stream_quotes(&self, sink: Sink<Quote>) -> Result<(), VenueError> {
        self.link.quotes(sink).await.map_err(|error| venue_error(&self.id, Operation::Quotes, error))
    }
}

/// An account at the simulated exchange.
pub struct PaperAccount {
    id: AccountId,
    venue: Arc<dyn Venue>,
    paper: Arc<PaperVenue>,
    link: Arc<dyn Link>,
}

impl PaperAccount {
    /// The account of that name, reached over its own link.
    #[must_use]
    pub fn new(id: AccountId, venue: Arc<PaperVenue>, link: Arc<dyn Link>) -> Self {
        Self { id, venue: Arc::clone(&venue) as Arc<dyn Venue>, paper: venue, link }
    }

    async fn order(&self, operation: Operation, request: Request) -> Result<OrderReport, VenueError> {
        match self.link.call(request).await {
            Ok(Response::Order(report)) => Ok(report),
            Ok(_) => Err(venue_error(&self.paper.id, operation, LinkError::Unreadable)),
            Err(error) => Err(venue_error(&self.paper.id, operation, error)),
        }
    }
}

#[async_trait]
impl Account for PaperAccount {
    fn id(&self) -> &AccountId {
        &self.id
    }

    fn venue(&self) -> &Arc<dyn Venue> {
        &self.venue
    }

    async fn ready(&self, _request: &OrderRequest) -> Result<(), VenueError> {
        Ok(())
    }

    fn prepare(&self, cleared: Cleared<OrderRequest>, ticket: Ticket) -> Result<Prepared, VenueError> {
        let wrong = |kind, message| self.paper.not_sent(Operation::Prepare, kind, message);
        let request = cleared.get();
        if request.account != self.id {
            return Err(wrong(ErrorKind::Internal, format!("an order of {} was given to {}", request.account, self.id)));
        }
        let instrument = self.paper.instruments.get(&request.symbol);
        let instrument = instrument.ok_or_else(|| wrong(ErrorKind::NotFound, format!("{} is not traded here", request.symbol)))?;
        let place =
            convert::place_order(request, &ticket, &self.paper.capabilities, instrument).map_err(|(kind, message)| wrong(kind, message))?;
        Ok(Prepared::new(cleared, ticket, place.nonce, place.to_wire(), place.deadline))
    }

    async fn place(&self, order: &Journaled<Prepared>) -> Result<OrderReport, VenueError> {
        let request = Request::Place { account: self.id.clone(), wire: order.wire().to_owned() };
        self.order(Operation::Place, request).await
    }

    async fn probe(&self, order: &Journaled<Prepared>, permission: ProbePermission) -> Result<Evidence, VenueError> {
        let question = Question {
            account: &self.id,
            client_order_id: order.client_order_id(),
            wire: order.wire(),
            deadline: order.deadline(),
            permission,
        };
        let found = probe::probe(&*self.link, &self.paper.capabilities.orders, question).await;
        found.map_err(|error| venue_error(&self.paper.id, Operation::Probe, error))
    }

    async fn cancel(&self, symbol: &VenueSymbol, client_order_id: &ClientOrderId) -> Result<OrderReport, VenueError> {
        let request = Request::Cancel { account: self.id.clone(), symbol: symbol.clone(), client_order_id: client_order_id.clone() };
        self.order(Operation::Cancel, request).await
    }

    async fn snapshot(&self, since: Option<Timestamp>) -> Result<AccountSnapshot, VenueError> {
        match self.link.call(Request::Snapshot { account: self.id.clone(), since }).await {
            Ok(Response::Snapshot(snapshot)) => Ok(snapshot),
            Ok(_) => Err(venue_error(&self.paper.id, Operation::Snapshot, LinkError::Unreadable)),
            Err(error) => Err(venue_error(&self.paper.id, Operation::Snapshot, error)),
        }
    }

    async fn stream(&self, sink: Sink<OrderReport>) -> Result<(), VenueError> {
        let ended = self.link.updates(&self.id, sink).await;
        ended.map_err(|error| venue_error(&self.paper.id, Operation::Stream, error))
    }

    async fn examine(&self) -> Result<Vec<Finding>, VenueError> {
        match self.link.call(Request::OpenOrders { account: self.id.clone() }).await {
            Ok(Response::Orders { orders, .. }) => {
                let detail = format!("the simulated exchange answers; {} orders rest", orders.len());
                Ok(vec![Finding::new("exchange", Grade::Good, detail)])
            }
            Ok(_) => Err(venue_error(&self.paper.id, Operation::Examine, LinkError::Unreadable)),
            Err(error) => Err(venue_error(&self.paper.id, Operation::Examine, error)),
        }
    }
}
