//! The exchange as seen through the wire: requests arrive after a latency, answers leave before or after faults, streams tell of
//! changes. Synchronous: time is what each call says it is, so that a live thread and a simulator drive the same code.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::model::ids::{AccountId, ClientOrderId, VenueOrderId, VenueSymbol};
use omnivenue_core::model::number::{Amount, NumberError, Price, Quantity};
use omnivenue_core::model::order::{OrderReport, OrderStatus};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Absence, Quote};

use crate::books::Truth;
use crate::config::Config;
use crate::exchange::{Burn, Exchange, PaperError};
use crate::faults::{FaultConfig, FaultKind, Faults};
use crate::market::{Sources, open_sources};
use crate::random::Random;
use crate::store::Store;
use crate::wire::{Answer, PlaceOrder, Refusal, RefusalCode, Request, RequestKind, Response};

/// The caller's name of a request, given back with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What has come out of the exchange.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Polled {
    /// Answers, in the order in which they arrive.
    pub answers: Vec<(Token, Answer)>,
    /// Stream reports, in the order in which they arrive: each with its new trades only.
    pub updates: Vec<(AccountId, OrderReport)>,
}

/// A place request that the exchange looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// When it was decided.
    pub at: Timestamp,
    /// Whose.
    pub account: AccountId,
    /// The client's name, unless the request could not be read.
    pub client_order_id: Option<ClientOrderId>,
    /// What became of it.
    pub outcome: PlacementOutcome,
}

/// What became of a place request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacementOutcome {
    /// It made an order.
    Accepted(VenueOrderId),
    /// It was a repetition: answered with the order there already was.
    Repeated(VenueOrderId),
    /// It was refused.
    Refused(RefusalCode),
}

#[derive(Debug)]
enum Event {
    Arrive {
        token: Option<Token>,
        request: Request,
    },
    Commit {
        account: AccountId,
        wire: String,
        arrived: Timestamp,
    },
    Answer {
        token: Token,
        answer: Answer,
    },
    Update {
        account: AccountId,
        report: OrderReport,
    },
    Quote(Quote),
    /// The exchange is back: prices may have run through triggers while it was away.
    Wake,
}

/// How many place requests are remembered.
const PLACEMENTS_MAX: usize = 100_000;

/// The exchange behind its wire.
#[derive(Debug)]
pub struct Server {
    exchange: Exchange,
    store: Store,
    faults: Faults,
    random: Random,
    now: Timestamp,
    events: BTreeMap<(Timestamp, u64), Event>,
    sequence: u64,
    placements: VecDeque<Placement>,
    silent_until: Timestamp,
    failure: Option<String>,
}

impl Server {
    /// The exchange that the store holds, or a new one whose time starts `now`.
    ///
    /// # Errors
    /// [`PaperError`] when the configuration, a file of candles or the store cannot be used.
    pub fn new(config: Arc<Config>, store: Store, now: Timestamp) -> Result<Self, PaperError> {
        // The configuration and the candles first: what is wrong there must not start the time of a new exchange.
        config.check()?;
        let sources = open_sources(&config)?;
        Self::with_sources(config, store, sources, now)
    }

    pub(crate) fn with_sources(config: Arc<Config>, mut store: Store, sources: Sources, now: Timestamp) -> Result<Self, PaperError> {
        let state = store.load(&config.id, now)?;
        let mut exchange = Exchange::with_sources(Arc::clone(&config), state, sources)?;
        store.commit(&exchange.take_changes())?;
        let waiting = exchange.has_waiting_orders();
        let mut server = Self {
            exchange,
            store,
            random: Random::new(config.faults.seed ^ 0x6c61_7465_6e63_7921),
            faults: Faults::new(config.faults.clone()),
            now,
            events: BTreeMap::new(),
            sequence: 0,
            placements: VecDeque::new(),
            silent_until: Timestamp::EPOCH,
            failure: None,
        };
        // What expired while it did not run is settled first of all.
        server.exchange.settle_expired(now);
        server.flush(Duration::ZERO);
        if waiting {
            server.schedule(now, Event::Wake);
        }
        Ok(server)
    }

    /// Sends a request on its way. Nothing happens before [`Server::poll`].
    pub fn submit(&mut self, now: Timestamp, token: Token, request: Request) {
        let at = self.now.max(now).after(self.travel(self.exchange.config().latency.request));
        self.schedule(at, Event::Arrive { token: Some(token), request });
    }

    /// Gives the exchange quotes of a real venue, for its instruments with [`PriceSource::Live`](crate::PriceSource::Live). They take
    /// effect with [`Server::poll`], in the order in which they were given, before what is submitted after them; without latency, since
    /// they have already travelled. Other instruments, and quotes that say nothing new, are passed over.
    pub fn give_quotes(&mut self, now: Timestamp, quotes: impl IntoIterator<Item = Quote>) {
        let at = self.now.max(now);
        for quote in quotes {
            self.schedule(at, Event::Quote(quote));
        }
    }

    /// Lets the exchange live until `now`, and returns what comes out of it until then.
    pub fn poll(&mut self, now: Timestamp) -> Polled {
        let mut polled = Polled::default();
        while let Some(next) = self.next_wakeup().filter(|next| *next <= now) {
            let price_changed = self.next_match() == Some(next);
            let funding_due = self.exchange.next_funding(self.now) == Some(next);
            let expiry_due = self.exchange.next_expiry(self.now) == Some(next);
            self.now = next;
            if expiry_due {
                // Funding of that instant is paid before.
                if funding_due {
                    self.exchange.pay_due(next);
                }
                self.exchange.settle_expired(next);
                self.flush(Duration::ZERO);
            } else if funding_due {
                self.exchange.pay_due(next);
                self.flush(Duration::ZERO);
            } else if price_changed {
                self.exchange.match_resting(next);
                self.flush(Duration::ZERO);
            } else if let Some((_, event)) = self.events.pop_first() {
                self.handle(event, &mut polled);
            }
        }
        self.now = self.now.max(now);
        polled
    }

    /// When [`Server::poll`] has something to do next: never, while nothing is on its way and no order rests on changing prices.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        let due = [self.next_match(), self.exchange.next_funding(self.now), self.exchange.next_expiry(self.now)];
        event.into_iter().chain(due.into_iter().flatten()).min()
    }

    /// When a change of price may match an order that rests. On a tie it comes before what arrives at that instant.
    fn next_match(&self) -> Option<Timestamp> {
        self.exchange.has_open_orders().then(|| self.exchange.next_price_change(self.now)).flatten()
    }

    /// The client is gone: what it sent still takes effect, but neither answers nor reports that are on their way come back to it.
    /// What happens from now on is told to whoever listens then.
    pub fn forget_clients(&mut self) {
        self.events.retain(|_, event| match event {
            Event::Arrive { token, .. } => {
                *token = None;
                true
            }
            Event::Commit { .. } | Event::Quote(_) | Event::Wake => true,
            Event::Answer { .. } | Event::Update { .. } => false,
        });
    }

    /// The next `count` requests of this kind get this fault, whatever chance says.
    pub fn script(&mut self, request: RequestKind, fault: FaultKind, count: usize) {
        self.faults.script(request, fault, count);
    }

    /// Other chances of faults from now on.
    pub fn set_faults(&mut self, faults: FaultConfig) {
        self.faults.set(faults);
    }

    /// How often each fault has happened.
    #[must_use]
    pub const fn fault_counts(&self) -> &BTreeMap<FaultKind, u64> {
        self.faults.counts()
    }

    /// The latest place requests that were looked at, in order; the last 100,000 of them.
    pub fn placements(&self) -> impl Iterator<Item = &Placement> {
        self.placements.iter()
    }

    /// Has something happen to the exchange that no request asks for, such as [`Exchange::pay_funding`]: written down, and told on the
    /// streams where it is about an order.
    pub fn have<T>(&mut self, now: Timestamp, happen: impl FnOnce(&mut Exchange, Timestamp) -> T) -> T {
        self.now = self.now.max(now);
        let at = self.now;
        let happened = happen(&mut self.exchange, at);
        self.flush(Duration::ZERO);
        happened
    }

    /// Everything the exchange holds, copied.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.exchange.truth()
    }

    /// The quotes of this instant, without latency or faults.
    #[must_use]
    pub fn quotes(&mut self, now: Timestamp) -> Vec<Quote> {
        self.exchange.quotes(now)
    }

    /// The quote of one instrument at this instant, without latency or faults.
    #[must_use]
    pub fn quote(&mut self, symbol: &VenueSymbol, now: Timestamp) -> Option<Quote> {
        self.exchange.quote(symbol, now)
    }

    /// Whether any order rests or waits.
    #[must_use]
    pub fn has_open_orders(&self) -> bool {
        self.exchange.has_open_orders()
    }

    /// Forgets what is long over, for runs of any length: orders that ended before this instant with their trades, movements of money, and what
    /// is remembered of requests. Balances, positions, what rests and burned ids stay. Only for a client that asks for nothing older, of an
    /// exchange without a file: what was forgotten could be placed again.
    pub fn forget(&mut self, before: Timestamp) {
        self.exchange.forget(before);
        while self.placements.front().is_some_and(|placement| placement.at < before) {
            self.placements.pop_front();
        }
    }

    /// The price at which positions are valued.
    #[must_use]
    pub fn mark(&mut self, symbol: &VenueSymbol, now: Timestamp) -> Option<Price> {
        self.exchange.mark(symbol, now)
    }

    /// Balance plus unrealized gains of an account, in one currency; on spot with the worth of the holdings.
    ///
    /// # Errors
    /// [`NumberError`] when the exact result does not fit.
    pub fn equity(
        &mut self,
        account: &AccountId,
        asset: &omnivenue_core::model::ids::Asset,
        now: Timestamp,
    ) -> Result<Amount, NumberError> {
        self.exchange.equity(account, asset, now)
    }

    /// Why the exchange has stopped, if it has: its file could not be written. Every request since then was cut.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    fn travel(&mut self, time: Duration) -> Duration {
        let jitter = self.exchange.config().latency.jitter;
        let most = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        time.saturating_add(Duration::from_micros(self.random.below(most)))
    }

    fn schedule(&mut self, at: Timestamp, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    fn answer(&mut self, token: Option<Token>, answer: Answer, delay: Duration) {
        let travel = self.travel(self.exchange.config().latency.answer);
        if let Some(token) = token {
            self.schedule(self.now.after(delay).after(travel), Event::Answer { token, answer });
        }
    }

    fn handle(&mut self, event: Event, polled: &mut Polled) {
        match event {
            Event::Arrive { token, request } => self.arrive(token, request),
            Event::Commit { account, wire, arrived } => {
                let _ = self.place(&account, &wire, arrived);
                self.flush(Duration::ZERO);
            }
            Event::Quote(quote) => {
                if self.exchange.take_quote(self.now, quote) {
                    self.flush(Duration::ZERO);
                }
            }
            Event::Wake => {
                self.exchange.wake_waiting(self.now);
                self.flush(Duration::ZERO);
            }
            Event::Answer { token, answer } => polled.answers.push((token, answer)),
            Event::Update { account, report } => polled.updates.push((account, report)),
        }
    }

    fn arrive(&mut self, token: Option<Token>, request: Request) {
        let fault = self.faults.draw(request.kind());
        let fault = fault.filter(|fault| self.takes_place(*fault, &request));
        let config = self.faults.config().clone();
        match fault {
            // The last two happen to reports and to orders with a trigger, not to requests.
            None | Some(FaultKind::DuplicateFill | FaultKind::RefuseTrigger) => {
                let answer = self.execute(request, Duration::ZERO);
                self.answer(token, answer, Duration::ZERO);
            }
            Some(FaultKind::Refuse) => {
                let message = "too many requests; this one was not looked at".into();
                let refusal = Refusal { code: RefusalCode::Overloaded, message, at: self.now };
                self.answer(token, Answer::Refused(refusal), Duration::ZERO);
            }
            Some(FaultKind::Delay) => {
                let answer = self.execute(request, Duration::ZERO);
                let delay = self.faults.some_of(config.delay_max);
                self.answer(token, answer, delay);
            }
            Some(FaultKind::CutBefore) => self.answer(token, Answer::Cut, Duration::ZERO),
            Some(FaultKind::CutAfter) => {
                let _ = self.execute(request, Duration::ZERO);
                self.answer(token, Answer::Cut, Duration::ZERO);
            }
            Some(FaultKind::LateCommit) => {
                self.commit_late(request, config.late_commit_max);
                self.answer(token, Answer::Cut, Duration::ZERO);
            }
            Some(FaultKind::FalseNotFound) => {
                let message = "there is no such order".into();
                let refusal = Refusal { code: RefusalCode::UnknownOrder, message, at: self.now };
                self.answer(token, Answer::Refused(refusal), Duration::ZERO);
            }
            Some(FaultKind::LateFill) => {
                let delay = self.faults.some_of(config.late_fill_max);
                let answer = self.execute(request, delay);
                let answer = self.without_fills(answer);
                self.answer(token, answer, Duration::ZERO);
            }
            Some(FaultKind::Silence) => {
                self.silent_until = self.now.after(config.silence_for);
                let _ = self.execute(request, Duration::ZERO);
            }
        }
        if let Some(fault) = fault.filter(|fault| *fault != FaultKind::LateFill && *fault != FaultKind::DuplicateFill) {
            self.faults.count(fault);
        }
    }

    /// Whether a fault can happen to this very request: an order is denied only so often.
    fn takes_place(&mut self, fault: FaultKind, request: &Request) -> bool {
        match (fault, request) {
            (FaultKind::FalseNotFound, Request::Order { account, client_order_id }) => {
                self.exchange.order(self.now, account, client_order_id).is_ok() && self.faults.may_deny(account, client_order_id)
            }
            (fault, request) => fault.applies_to(request.kind()),
        }
    }

    /// Takes the order later, but before its absence may be taken for proved.
    fn commit_late(&mut self, request: Request, longest: Duration) {
        let Request::Place { account, wire } = request else {
            return;
        };
        let mut at = self.now.after(self.faults.some_of(longest));
        let deadline = serde_json::from_str::<PlaceOrder>(&wire).ok().and_then(|place| place.deadline);
        if let (Absence::Window { margin, .. }, Some(deadline)) = (self.exchange.config().orders.absence, deadline) {
            let proof = deadline.after(margin);
            let last = Timestamp::from_micros(proof.as_micros().saturating_sub(1));
            at = at.min(last).max(self.now);
        }
        self.schedule(at, Event::Commit { account, wire, arrived: self.now });
    }

    /// An answer that hides the trades of its order: it calls the order open, or tells how much traded but not how.
    fn without_fills(&mut self, answer: Answer) -> Answer {
        let Answer::Ok(response) = answer else {
            return answer;
        };
        let Response::Order(mut report) = *response else {
            return Answer::Ok(response);
        };
        if !report.fills.is_empty() {
            self.faults.count(FaultKind::LateFill);
            report.fills.clear();
            if self.faults.coin() {
                (report.status, report.filled_quantity) = (OrderStatus::Open, Quantity::ZERO);
            }
        }
        Answer::Ok(Box::new(Response::Order(report)))
    }

    /// Does what is asked; what changed is written down before the answer exists.
    fn execute(&mut self, request: Request, updates_delay: Duration) -> Answer {
        if self.failure.is_some() {
            return Answer::Cut;
        }
        let result = self.decide(request);
        self.flush(updates_delay);
        match result {
            _ if self.failure.is_some() => Answer::Cut,
            Ok(response) => Answer::Ok(Box::new(response)),
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    fn decide(&mut self, request: Request) -> Result<Response, Refusal> {
        let now = self.now;
        match request {
            Request::Place { account, wire } => self.place(&account, &wire, now).map(Response::Order),
            Request::Order { account, client_order_id } => self.exchange.order(now, &account, &client_order_id).map(Response::Order),
            Request::OpenOrders { account } => {
                let orders = self.exchange.open_orders(now, &account)?;
                Ok(Response::Orders { orders, at: now })
            }
            Request::Fills { account, since, client_order_id } => {
                let fills = self.exchange.fills(now, &account, since, client_order_id.as_ref())?;
                Ok(Response::Fills { fills, at: now })
            }
            Request::Cancel { account, symbol, client_order_id } => {
                self.exchange.cancel(now, &account, &symbol, &client_order_id).map(Response::Order)
            }
            Request::Burn { account, client_order_id } => Ok(match self.exchange.burn(now, &account, &client_order_id)? {
                Burn::Burned => Response::Burned,
                Burn::Exists(report) => Response::Exists(report),
            }),
            Request::Snapshot { account, since } => self.exchange.snapshot(now, &account, since).map(Response::Snapshot),
            Request::Quotes => Ok(Response::Quotes(self.exchange.quotes(now))),
        }
    }

    fn place(&mut self, account: &AccountId, wire: &str, arrived: Timestamp) -> Result<OrderReport, Refusal> {
        if self.failure.is_some() {
            return Err(Refusal { code: RefusalCode::Overloaded, message: "the exchange has stopped".into(), at: self.now });
        }
        let before = self.exchange.last_order();
        let faults = &mut self.faults;
        let mut denies = |_: &ClientOrderId| {
            let drawn = faults.draw(RequestKind::Trigger) == Some(FaultKind::RefuseTrigger);
            if drawn {
                faults.count(FaultKind::RefuseTrigger);
            }
            drawn
        };
        let result = self.exchange.place_unless(self.now, arrived, account, wire, &mut denies);
        let outcome = match &result {
            Ok(report) if self.exchange.last_order() > before => PlacementOutcome::Accepted(report.venue_order_id.clone()),
            Ok(report) => PlacementOutcome::Repeated(report.venue_order_id.clone()),
            Err(refusal) => PlacementOutcome::Refused(refusal.code),
        };
        if self.placements.len() == PLACEMENTS_MAX {
            self.placements.pop_front();
        }
        let client_order_id = serde_json::from_str::<PlaceOrder>(wire).ok().map(|place| place.client_order_id);
        self.placements.push_back(Placement { at: self.now, account: account.clone(), client_order_id, outcome });
        result
    }

    /// Writes down what changed, then sends the streams on their way.
    fn flush(&mut self, delay: Duration) {
        let changes = self.exchange.take_changes();
        if let Err(error) = self.store.commit(&changes) {
            let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            self.failure.get_or_insert(format!("{error}{cause}"));
        }
        let updates = self.exchange.take_updates();
        if self.failure.is_some() || self.now < self.silent_until {
            return;
        }
        for (account, report) in updates {
            let twice = self.faults.draw(RequestKind::Update) == Some(FaultKind::DuplicateFill) && !report.fills.is_empty();
            if twice {
                self.faults.count(FaultKind::DuplicateFill);
            }
            for _ in 0..=usize::from(twice) {
                let at = self.now.after(delay).after(self.travel(self.exchange.config().latency.answer));
                self.schedule(at, Event::Update { account: account.clone(), report: report.clone() });
            }
        }
    }
}
