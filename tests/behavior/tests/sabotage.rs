//! A suite that cannot fail says nothing: each way of breaking an adapter here is noticed by the case that is there for it, and by that
//! case only because of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use omnivenue_behavior::{Fault, Paper, Subject, Truth, World, run};
use omnivenue_core::gates::Cleared;
use omnivenue_core::journal::Journaled;
use omnivenue_core::model::ids::{AccountId, ClientOrderId, VenueSymbol};
use omnivenue_core::model::instrument::Instrument;
use omnivenue_core::model::number::Price;
use omnivenue_core::model::order::{OrderReport, OrderRequest, OrderStatus};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{
    Absence, Account, AccountSnapshot, Capabilities, Effect, ErrorKind, Evidence, Finding, Operation, Prepared, ProbePermission, Quote,
    Resend, Sink, Ticket, Venue, VenueError,
};
use omnivenue_paper::Config;

/// One way of being wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sabotage {
    /// Nothing: the control.
    None,
    /// What is not found at once is absent for ever.
    HastyAbsence,
    /// What is not found may be sent again, wherever it is.
    HastyResend,
    /// A broken connection is called a refusal.
    CutIsRefusal,
    /// Every order is sent twice.
    SendsTwice,
    /// An order is sent again by the probe that finds nothing.
    ProbeSends,
    /// Trades lack their fees.
    NoFees,
    /// The stream tells trades by names of its own.
    OtherNames,
    /// The stream keeps trades to itself.
    NoTrades,
    /// The stream never ends.
    EndlessStream,
    /// The stream hides what is not ours.
    HidesForeign,
    /// A snapshot since an instant leaves out what rests.
    ForgetsResting,
    /// A snapshot leaves out positions.
    NoPositions,
    /// A snapshot leaves out the older half of the trades.
    HalfTheTrades,
    /// Canceling what is done is an error.
    CancelsOnce,
    /// A cancel says that it worked, and does nothing.
    LazyCancel,
    /// What is written down is signed.
    Signed,
    /// Every order has the same nonce.
    OneNonce,
    /// Preparing moves the worst price.
    Careless,
    /// Immediate-or-cancel is sent as good till canceled.
    Rests,
    /// Nothing only reduces.
    Turns,
    /// Whoever asks is welcome.
    Blind,
    /// Bid and ask are swapped.
    Crossed,
    /// Prices have a digit too many.
    FineTicks,
    /// Instruments come twice.
    Twice,
    /// Deadlines are forgotten.
    NoDeadline,
    /// What is not found is an invalid request.
    WrongKind,
}

struct Broken {
    subject: Paper,
    how: Sabotage,
}

#[async_trait]
impl Subject for Broken {
    fn name(&self) -> String {
        format!("{:?} on {}", self.how, self.subject.name())
    }

    async fn open(&self) -> Result<Box<dyn World>, String> {
        let world = self.subject.open().await?;
        let venue: Arc<dyn Venue> = Arc::new(BrokenVenue { venue: Arc::clone(world.venue()), how: self.how });
        let broken = |account: &Arc<dyn Account>| {
            Arc::new(BrokenAccount { account: Arc::clone(account), venue: Arc::clone(&venue), how: self.how }) as Arc<dyn Account>
        };
        let (accounts, stranger) = (world.accounts().iter().map(broken).collect(), broken(world.stranger()));
        Ok(Box::new(BrokenWorld { how: self.how, world, venue, accounts, stranger }))
    }
}

struct BrokenWorld {
    how: Sabotage,
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
        Ok(Arc::new(BrokenAccount { account, venue: Arc::clone(&self.venue), how: self.how }))
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
        self.world.secrets()
    }
}

struct BrokenVenue {
    venue: Arc<dyn Venue>,
    how: Sabotage,
}

#[async_trait]
impl Venue for BrokenVenue {
    fn id(&self) -> &omnivenue_core::model::ids::VenueId {
        self.venue.id()
    }

    fn capabilities(&self) -> &Capabilities {
        self.venue.capabilities()
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
        self.venue.stream_quotes(sink).await
    }
}

fn with_point(price: Price) -> String {
    let text = price.to_string();
    if text.contains('.') { text } else { format!("{text}.") }
}

struct BrokenAccount {
    account: Arc<dyn Account>,
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
        self.account.place(order).await.map_err(|mut error| {
            if self.how == Sabotage::CutIsRefusal && error.effect == Effect::Unknown {
                error.effect = Effect::Refused;
            }
            error
        })
    }

    async fn probe(&self, order: &Journaled<Prepared>, permission: ProbePermission) -> Result<Evidence, VenueError> {
        let known = self.account.snapshot(None).await?.orders.into_iter().any(|report| report.client_order_id == *order.client_order_id());
        let evidence = "sabotage".to_owned();
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
        let mut snapshot = self.account.snapshot(since).await?;
        match self.how {
            Sabotage::ForgetsResting if since.is_some() => snapshot.orders.clear(),
            Sabotage::NoPositions => snapshot.positions.clear(),
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
            Sabotage::Blind => Ok(vec![Finding::new("everything", omnivenue_core::venue::Grade::Good, "seems fine")]),
            _ => self.account.examine().await,
        }
    }
}

/// Runs each case on a broken adapter and on a whole one: it must tell them apart. All at once: most of the time is waiting.
fn notices(expected: &[(&Paper, Sabotage, &str)]) {
    std::thread::scope(|scope| {
        for (subject, how, case) in expected {
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                for (how, must_fail) in [(Sabotage::None, false), (*how, true)] {
                    let broken: Arc<dyn Subject> = Arc::new(Broken { subject: (*subject).clone(), how });
                    let report = runtime.block_on(run(&broken, case));
                    assert_eq!(report.failed.is_empty(), !must_fail, "{how:?} and {case}: {report:?}");
                    assert_eq!(report.passed.is_empty(), must_fail, "{how:?} and {case}: {report:?}");
                }
            });
        }
    });
}

#[test]
fn evidence_that_is_none_is_noticed() {
    let (perp, twice) = (Paper::of_kind(Resend::Idempotent, Absence::Burn), Paper::of_kind(Resend::AfterProof, Absence::Never));
    notices(&[
        (&perp, Sabotage::HastyAbsence, "an_order_lost_on_its_way_is_absent_for_ever_and_its_bytes_are_never_taken"),
        (&perp, Sabotage::HastyAbsence, "absence_that_was_proved_holds_against_an_order_on_its_way"),
        (&twice, Sabotage::HastyAbsence, "where_nothing_proves_absence_it_is_never_claimed"),
        (&twice, Sabotage::HastyResend, "a_probe_offers_no_resending_where_the_same_bytes_may_be_taken_twice"),
        (&perp, Sabotage::ProbeSends, "an_order_lost_on_its_way_may_be_sent_again"),
        (&perp, Sabotage::CutIsRefusal, "an_order_lost_on_its_way_may_be_sent_again"),
        (&perp, Sabotage::NoFees, "an_answer_lost_after_acceptance_is_found_with_its_trades_and_fees"),
    ]);
}

#[test]
fn orders_that_are_not_the_ones_asked_for_are_noticed() {
    let (perp, twice) = (Paper::of_kind(Resend::Idempotent, Absence::Burn), Paper::of_kind(Resend::AfterProof, Absence::Burn));
    let window = Paper::like(Config::ostium_like());
    notices(&[
        (&twice, Sabotage::SendsTwice, "an_order_that_filled_is_found_by_every_way_of_asking"),
        (&perp, Sabotage::Careless, "a_market_order_whose_worst_price_is_not_reached_takes_nothing"),
        (&perp, Sabotage::Rests, "immediate_or_cancel_never_rests"),
        (&twice, Sabotage::Turns, "reduce_only_never_turns_a_position"),
        (&perp, Sabotage::OneNonce, "nonces_never_repeat_over_a_burst_on_two_accounts_of_one_signer"),
        (&perp, Sabotage::Signed, "what_is_written_down_holds_no_authentication"),
        (&window, Sabotage::NoDeadline, "an_order_with_a_window_says_when_it_ends"),
    ]);
}

#[test]
fn what_is_told_wrong_is_noticed() {
    let perp = Paper::of_kind(Resend::Idempotent, Absence::Burn);
    notices(&[
        (&perp, Sabotage::OtherNames, "trades_on_the_stream_and_in_the_snapshot_are_the_same"),
        (&perp, Sabotage::NoTrades, "a_trade_that_is_told_twice_is_one"),
        (&perp, Sabotage::HidesForeign, "someone_elses_orders_are_told_and_are_not_ours"),
        (&perp, Sabotage::EndlessStream, "a_stream_that_breaks_says_so_and_nothing_is_missed"),
        (&perp, Sabotage::ForgetsResting, "an_order_that_rests_is_found_by_every_way_of_asking"),
        (&perp, Sabotage::NoPositions, "positions_and_balances_in_the_snapshot_are_the_venues_own"),
        (&perp, Sabotage::HalfTheTrades, "fees_are_exact_and_add_up_to_what_the_balance_lost"),
        (&perp, Sabotage::CancelsOnce, "canceling_twice_reports_how_it_stands"),
        (&perp, Sabotage::CancelsOnce, "canceling_what_has_filled_reports_how_it_stands"),
        (&perp, Sabotage::LazyCancel, "a_limit_order_rests_until_it_is_canceled"),
        (&perp, Sabotage::WrongKind, "canceling_an_order_that_never_was_says_that_it_is_not_found"),
        (&perp, Sabotage::Blind, "bad_credentials_are_found_bad"),
    ]);
}

#[test]
fn instruments_and_quotes_that_are_wrong_are_noticed() {
    let perp = Paper::of_kind(Resend::Idempotent, Absence::Burn);
    notices(&[
        (&perp, Sabotage::Crossed, "quotes_are_of_listed_instruments_each_once_and_not_crossed"),
        (&perp, Sabotage::FineTicks, "every_quoted_price_is_on_the_price_rule_of_its_instrument"),
        (&perp, Sabotage::Twice, "instruments_are_the_venues_own_and_can_be_counted_exactly"),
    ]);
}

#[test]
fn a_subject_that_runs_too_few_cases_is_noticed() {
    let subject: Arc<dyn Subject> = Arc::new(Paper::of_kind(Resend::Idempotent, Absence::Burn));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(run(&subject, "canceling"));
    assert_eq!(report.passed.len(), 3, "{report:?}");
    assert_eq!(report.complaint(3), None);
    assert!(report.complaint(4).is_some_and(|words| words.contains("3 cases ran, but at least 4 must")));
}
