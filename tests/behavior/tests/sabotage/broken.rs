//! An adapter that is wrong in one way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use omnivenue_behavior::{Fault, Paper, Subject, Truth, World};
use omnivenue_core::gates::Cleared;
use omnivenue_core::journal::Journaled;
use omnivenue_core::model::ids::{AccountId, ClientOrderId, VenueSymbol};
use omnivenue_core::model::instrument::Instrument;
use omnivenue_core::model::number::Price;
use omnivenue_core::model::order::{OrderReport, OrderRequest, OrderStatus};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{
    Account, AccountSnapshot, Capabilities, Effect, ErrorKind, Evidence, Finding, Grade, Operation, Prepared, ProbePermission, Quote,
    Resend, Sink, Ticket, Venue, VenueError,
};
use rust_decimal::Decimal;
use serde_json::Value;

use crate::ways::{PASSWORD, Sabotage};

/// A subject whose adapter is broken.
pub(crate) struct Broken {
    pub(crate) subject: Paper,
    pub(crate) how: Sabotage,
}

#[async_trait]
impl Subject for Broken {
    fn name(&self) -> String {
        format!("{:?} on {}", self.how, self.subject.name())
    }

    async fn open(&self) -> Result<Box<dyn World>, String> {
        let world = self.subject.open().await?;
        let mut capabilities = world.venue().capabilities().clone();
        if self.how == Sabotage::ClaimsOnce {
            capabilities.orders.resend = Resend::Idempotent;
        }
        let venue: Arc<dyn Venue> = Arc::new(BrokenVenue { venue: Arc::clone(world.venue()), capabilities, how: self.how });
        let (first, denied) = (Arc::clone(&world.accounts()[0]), Arc::new(AtomicBool::new(false)));
        let broken = |account: &Arc<dyn Account>| -> Arc<dyn Account> {
            let (account, first) = (Arc::clone(account), Arc::clone(&first));
            Arc::new(BrokenAccount { account, first, venue: Arc::clone(&venue), how: self.how, denied: Arc::clone(&denied) })
        };
        let accounts: Vec<_> = world.accounts().iter().map(&broken).collect();
        Ok(Box::new(BrokenWorld { stranger: broken(world.stranger()), how: self.how, denied, venue, accounts, world }))
    }
}

struct BrokenWorld {
    how: Sabotage,
    denied: Arc<AtomicBool>,
    world: Box<dyn World>,
    venue: Arc<dyn Venue>,
    accounts: Vec<Arc<dyn Account>>,
    stranger: Arc<dyn Account>,
}

#[async_trait]
impl World for BrokenWorld {
    fn venue(&self) -> &Arc<dyn Venue> {
        &self.venue
    }

    fn accounts(&self) -> &[Arc<dyn Account>] {
        &self.accounts
    }

    async fn restarted(&self) -> Result<Arc<dyn Account>, String> {
        let account = self.world.restarted().await?;
        let (first, denied) = (Arc::clone(&account), Arc::clone(&self.denied));
        Ok(Arc::new(BrokenAccount { account, first, venue: Arc::clone(&self.venue), how: self.how, denied }))
    }

    fn stranger(&self) -> &Arc<dyn Account> {
        &self.stranger
    }

    fn symbol(&self) -> &VenueSymbol {
        self.world.symbol()
    }

    async fn set_price(&self, price: Price) -> Result<(), String> {
        self.world.set_price(price).await
    }

    async fn strike(&self, fault: Fault) -> Result<(), String> {
        self.denied.store(fault == Fault::FalseNotFound, Ordering::Relaxed);
        self.world.strike(fault).await
    }

    async fn cut_streams(&self) -> Result<(), String> {
        self.world.cut_streams().await
    }

    async fn die(&self) {
        self.world.die().await;
    }

    async fn truth(&self, account: &AccountId) -> Result<Truth, String> {
        self.world.truth(account).await
    }

    fn lateness(&self) -> Duration {
        self.world.lateness()
    }

    fn money_decimals(&self) -> Option<u32> {
        self.world.money_decimals()
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.into()]
    }
}

struct BrokenVenue {
    venue: Arc<dyn Venue>,
    capabilities: Capabilities,
    how: Sabotage,
}

#[async_trait]
impl Venue for BrokenVenue {
    fn id(&self) -> &omnivenue_core::model::ids::VenueId {
        self.venue.id()
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn instruments(&self) -> Result<Vec<Instrument>, VenueError> {
        let instruments = self.venue.instruments().await?;
        let times = if self.how == Sabotage::Twice { 2 } else { 1 };
        Ok(instruments.iter().cycle().take(instruments.len() * times).cloned().collect())
    }

    async fn quotes(&self) -> Result<Vec<Quote>, VenueError> {
        let mut quotes = self.venue.quotes().await?;
        for quote in &mut quotes {
            match self.how {
                Sabotage::Crossed => std::mem::swap(&mut quote.bid, &mut quote.ask),
                Sabotage::FineTicks => quote.bid = format!("{}0001", with_point(quote.bid)).parse().expect("a price"),
                _ => {}
            }
        }
        Ok(quotes)
    }

    async fn stream_quotes(&self, sink: Sink<Quote>) -> Result<(), VenueError> {
        if self.how != Sabotage::DeafQuotes {
            return self.venue.stream_quotes(sink).await;
        }
        let (inner, mut quotes) = Sink::bounded(1);
        let one = async {
            if let Some(quote) = quotes.recv().await {
                let _sent = sink.send(quote).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            ended = one => ended,
            ended = self.venue.stream_quotes(inner) => ended,
        }
    }
}

fn with_point(price: Price) -> String {
    let text = price.to_string();
    if text.contains('.') { text } else { format!("{text}.") }
}

/// An order's text with something changed in it.
fn changed(wire: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut order: Value = serde_json::from_str(wire).expect("the text of an order is JSON");
    change(&mut order);
    order.to_string()
}

struct BrokenAccount {
    account: Arc<dyn Account>,
    first: Arc<dyn Account>,
    denied: Arc<AtomicBool>,
    venue: Arc<dyn Venue>,
    how: Sabotage,
}

impl BrokenAccount {
    fn error(&self, kind: ErrorKind, effect: Effect) -> VenueError {
        VenueError::new(self.venue.id(), Operation::Cancel, kind, effect, "sabotage")
    }

    /// What the stream passes on of a report.
    fn told(&self, mut report: OrderReport) -> Option<OrderReport> {
        match self.how {
            Sabotage::NoTrades => report.fills.clear(),
            Sabotage::OtherNames => {
                report.fills.iter_mut().for_each(|fill| fill.trade_id = format!("x{}", fill.trade_id).parse().expect("a name"));
            }
            Sabotage::HidesForeign if !report.fills.is_empty() && !report.client_order_id.as_str().starts_with("be4a70") => return None,
            _ => {}
        }
        Some(report)
    }

    /// The order that is prepared instead of the one that was asked for.
    fn instead(&self, prepared: Prepared, cleared: Cleared<OrderRequest>, ticket: Ticket) -> Prepared {
        let text = prepared.wire().to_owned();
        let wire = match self.how {
            Sabotage::Signed => format!("{} ", text.replacen('{', r#"{"signature":"0x12","#, 1)),
            Sabotage::Careless => text.replacen(r#""worst_price":"3"#, r#""worst_price":"9"#, 1),
            Sabotage::Rests => text.replace(r#""time_in_force":"ioc""#, r#""time_in_force":"gtc""#),
            Sabotage::Takes => text.replace(r#""post_only":true"#, r#""post_only":false"#),
            Sabotage::Inflates => changed(&text, |order| order["quantity"] = "3".into()),
            Sabotage::Dearer => changed(&text, |order| {
                let limit: Option<Decimal> = order["order"]["price"].as_str().and_then(|price| price.parse().ok());
                if let Some(limit) = limit {
                    let worse = if order["side"] == "buy" { Decimal::TWO } else { -Decimal::TWO };
                    order["order"]["price"] = limit.checked_add(worse).map(|price| price.round_dp(2).to_string()).into();
                    order["worst_price"] = order["order"]["price"].clone();
                }
            }),
            Sabotage::OneWire => "{}".into(),
            Sabotage::LateDeadline => changed(&text, |order| {
                let later = prepared.deadline().map(|deadline| deadline.after(Duration::from_secs(12)).to_string());
                order["deadline"] = later.into();
            }),
            Sabotage::Turns => text.replace(r#""reduce_only":true"#, r#""reduce_only":false"#),
            _ => text,
        };
        let nonce = if self.how == Sabotage::OneNonce { Some(1_700_000_000_000) } else { prepared.nonce() };
        let deadline = prepared.deadline().filter(|_| self.how != Sabotage::NoDeadline);
        Prepared::new(cleared, ticket, nonce, wire, deadline)
    }
}

#[async_trait]
impl Account for BrokenAccount {
    fn id(&self) -> &AccountId {
        self.account.id()
    }

    fn venue(&self) -> &Arc<dyn Venue> {
        &self.venue
    }

    async fn ready(&self, request: &OrderRequest) -> Result<(), VenueError> {
        if self.how == Sabotage::AsksFirst {
            self.account.snapshot(None).await?;
        }
        self.account.ready(request).await
    }

    fn prepare(&self, cleared: Cleared<OrderRequest>, ticket: Ticket) -> Result<Prepared, VenueError> {
        let prepared = self.account.prepare(cleared.clone(), ticket.clone())?;
        Ok(self.instead(prepared, cleared, ticket))
    }

    async fn place(&self, order: &Journaled<Prepared>) -> Result<OrderReport, VenueError> {
        if self.how == Sabotage::SendsTwice {
            let _first = self.account.place(order).await;
        }
        let mut answer = self.account.place(order).await;
        if self.how == Sabotage::Retries && answer.is_err() {
            answer = self.account.place(order).await;
        }
        answer.map_err(|mut error| {
            if self.how == Sabotage::CutIsRefusal && error.effect == Effect::Unknown {
                error.effect = Effect::Refused;
            }
            if self.how == Sabotage::WrongKind {
                error.kind = ErrorKind::InvalidRequest;
            }
            error
        })
    }

    async fn probe(&self, order: &Journaled<Prepared>, permission: ProbePermission) -> Result<Evidence, VenueError> {
        let evidence = "sabotage".to_owned();
        if self.how == Sabotage::NeverFinds || (self.how == Sabotage::Gullible && self.denied.swap(false, Ordering::Relaxed)) {
            return Ok(Evidence::AbsentForever { evidence });
        }
        let known = self.account.snapshot(None).await?.orders.into_iter().any(|report| report.client_order_id == *order.client_order_id());
        match self.how {
            Sabotage::HastyAbsence if !known => Ok(Evidence::AbsentForever { evidence }),
            Sabotage::HastyResend if !known => Ok(Evidence::Resendable { evidence }),
            Sabotage::ProbeSends if !known => self.account.place(order).await.map(Evidence::Present),
            Sabotage::NoFees => match self.account.probe(order, permission).await? {
                Evidence::Present(mut report) => {
                    report.fills.iter_mut().for_each(|fill| fill.fee.amount = "0".parse().expect("zero"));
                    Ok(Evidence::Present(report))
                }
                other => Ok(other),
            },
            _ => self.account.probe(order, permission).await,
        }
    }

    async fn cancel(&self, symbol: &VenueSymbol, id: &ClientOrderId) -> Result<OrderReport, VenueError> {
        let before = self.account.snapshot(None).await.ok();
        let known = before.and_then(|snapshot| snapshot.orders.into_iter().find(|report| report.client_order_id == *id));
        match (self.how, known) {
            (Sabotage::CancelsOnce, Some(report)) if report.status.is_final() => Err(self.error(ErrorKind::NotFound, Effect::Refused)),
            (Sabotage::LazyCancel, Some(report)) => Ok(OrderReport { status: OrderStatus::Canceled, ..report }),
            (Sabotage::WrongKind, None) => Err(self.error(ErrorKind::InvalidRequest, Effect::Refused)),
            _ => self.account.cancel(symbol, id).await,
        }
    }

    async fn snapshot(&self, since: Option<Timestamp>) -> Result<AccountSnapshot, VenueError> {
        let account = if self.how == Sabotage::OneAccount { &self.first } else { &self.account };
        let mut snapshot = account.snapshot(since).await?;
        match self.how {
            Sabotage::ForgetsResting if since.is_some() => snapshot.orders.clear(),
            Sabotage::NoPositions => snapshot.positions.clear(),
            Sabotage::NoTradesListed => snapshot.fills.clear(),
            Sabotage::NoBalances => snapshot.balances.clear(),
            Sabotage::HalfTheTrades => drop(snapshot.fills.drain(..snapshot.fills.len() / 2)),
            _ => {}
        }
        Ok(snapshot)
    }

    async fn stream(&self, sink: Sink<OrderReport>) -> Result<(), VenueError> {
        let (inner, mut reports) = Sink::bounded(256);
        let pass_on = async {
            while let Some(report) = reports.recv().await {
                if let Some(report) = self.told(report)
                    && sink.send(report).await.is_err()
                {
                    return;
                }
            }
        };
        let ended = tokio::select! {
            () = pass_on => Ok(()),
            ended = self.account.stream(inner) => ended,
        };
        if self.how == Sabotage::EndlessStream {
            std::future::pending::<()>().await;
        }
        ended
    }

    async fn examine(&self) -> Result<Vec<Finding>, VenueError> {
        match self.how {
            Sabotage::Blind => Ok(vec![Finding::new("everything", Grade::Good, "seems fine")]),
            Sabotage::Gloomy => Ok(vec![Finding::new("everything", Grade::Bad, "will end badly")]),
            Sabotage::Chatty => Ok(vec![Finding::new("password", Grade::Good, PASSWORD)]),
            Sabotage::Tidy => {
                for order in self.account.snapshot(None).await?.orders {
                    self.account.cancel(&order.symbol, &order.client_order_id).await?;
                }
                self.account.examine().await
            }
            _ => self.account.examine().await,
        }
    }
}
