//! The live exchange: one thread of its own, a bounded mailbox, streams that end when their listener is too slow.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use omnivenue_core::model::ids::{AccountId, VenueSymbol};
use omnivenue_core::model::number::Price;
use omnivenue_core::model::order::OrderReport;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Account, Quote, Sink, Venue};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock;
use crate::config::{Config, PriceSource};
use crate::exchange::PaperError;
use crate::follow::follow;
use crate::link::{Link, LinkError};
use crate::market::open_sources;
use crate::server::{Server, Token};
use crate::store::Store;
use crate::venue::{PaperAccount, PaperVenue};
use crate::wire::{Answer, Request, Response};

/// Requests and reports that may wait for their reader.
const QUEUE: usize = 1024;
/// From one look at the quotes to the next.
const QUOTES_EVERY: Duration = Duration::from_millis(100);
/// The longest that the thread sleeps.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// A simulated exchange on its own thread, with its own file. Dropping it stops the thread; its file holds the truth.
pub struct PaperExchange {
    config: Arc<Config>,
    venue: Arc<PaperVenue>,
    link: Arc<ThreadLink>,
    /// The exchange's own thread, and the one that follows a real venue's prices where there is one.
    threads: Mutex<Vec<JoinHandle<()>>>,
    stopped: watch::Receiver<()>,
}

impl PaperExchange {
    /// Starts the exchange of a file, or one that lives in memory only.
    ///
    /// # Errors
    /// [`PaperError`] when the configuration or a file cannot be used, another exchange has the file, or no thread can be started.
    pub fn open(config: Config, path: Option<PathBuf>) -> Result<Self, PaperError> {
        let config = Arc::new(config);
        // Before the file: what cannot be opened leaves none behind it.
        config.check()?;
        let sources = open_sources(&config)?;
        let store = path.map_or(Ok(Store::memory()), |path| Store::open(&path))?;
        let server = Server::with_sources(Arc::clone(&config), store, sources, clock::now())?;
        let (sender, mailbox) = sync_channel(QUEUE);
        let (runs, stopped) = watch::channel(());
        let office = move || {
            Office::new(server).run(&mailbox);
            drop(runs);
        };
        let thread = spawn(format!("paper-{}", config.id), office)?;
        let link = Arc::new(ThreadLink { mailbox: sender });
        let venue = Arc::new(PaperVenue::new(&config, Arc::clone(&link) as Arc<dyn Link>)?);
        Ok(Self { config, venue, link, threads: Mutex::new(vec![thread]), stopped })
    }

    /// [`PaperExchange::open`], and [`PaperExchange::follow`] on a thread of its own: paper trading on the live prices of `feed`.
    ///
    /// `feed` is used on that thread only, so that it should not be the one that an engine trades on.
    ///
    /// # Errors
    /// Those of [`PaperExchange::open`]. A venue that cannot be reached is none: until it can be, its instruments have no price.
    pub fn open_on(config: Config, path: Option<PathBuf>, feed: Arc<dyn Venue>) -> Result<Self, PaperError> {
        let exchange = Self::open(config, path)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PaperError::Thread)?;
        let following = exchange.follow(feed);
        let thread = spawn(format!("paper-{}-feed", exchange.config.id), move || runtime.block_on(following))?;
        if let Ok(mut threads) = exchange.threads.lock() {
            threads.push(thread);
        }
        Ok(exchange)
    }

    /// Gives the quotes of another venue to the instruments with [`PriceSource::Live`], by their symbols, until the exchange stops or
    /// the future is dropped. It reads the stream and opens it again whenever it ends, after a pause that doubles to half a minute, and
    /// asks for all quotes once it is open and three times within the shortest `holds_for`. To be run where `feed` may be used: it
    /// needs a runtime with time, and with whatever `feed` needs.
    pub fn follow(&self, feed: Arc<dyn Venue>) -> impl Future<Output = ()> + Send + use<> {
        let holds = self.config.prices.values().filter_map(|source| match source {
            PriceSource::Live { holds_for } => Some(*holds_for),
            _ => None,
        });
        let holds_for = holds.min();
        let mut stopped = self.stopped.clone();
        let mailbox = self.link.mailbox.clone();
        // A full mailbox drops quotes: later ones follow, and all of them are asked for again.
        let take = move |quotes| !matches!(mailbox.try_send(Mail::Feed(quotes)), Err(TrySendError::Disconnected(_)));
        async move {
            let Some(holds_for) = holds_for else { return };
            tokio::select! {
                () = follow(feed, holds_for, take) => {}
                _ = stopped.changed() => {}
            }
        }
    }

    /// What the exchange is.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The exchange as a venue.
    #[must_use]
    pub fn venue(&self) -> Arc<dyn Venue> {
        Arc::clone(&self.venue) as Arc<dyn Venue>
    }

    /// An account at it. One that the exchange does not know is refused with every call.
    #[must_use]
    pub fn account(&self, id: &AccountId) -> Arc<dyn Account> {
        Arc::new(PaperAccount::new(id.clone(), Arc::clone(&self.venue), Arc::clone(&self.link) as Arc<dyn Link>))
    }

    /// A connection for a client of one's own.
    #[must_use]
    pub fn link(&self) -> Arc<dyn Link> {
        Arc::clone(&self.link) as Arc<dyn Link>
    }

    /// Runs something on the exchange's thread and waits for it: faults on request, counts, the truth. `None` once it has stopped.
    pub fn with<T: Send + 'static>(&self, job: impl FnOnce(&mut Server) -> T + Send + 'static) -> Option<T> {
        let (sender, result) = sync_channel(1);
        let job = Box::new(move |server: &mut Server| drop(sender.send(job(server))));
        self.link.mailbox.send(Mail::Job(job)).ok()?;
        result.recv().ok()
    }

    /// Breaks every stream that is open, as a connection that is lost does: who listened opens it again. `false` once the exchange has stopped.
    pub fn cut_streams(&self) -> bool {
        self.link.mailbox.send(Mail::CutStreams).is_ok()
    }

    /// Stops the thread and lets go of the file. What was on its way is lost, as with any exchange that goes down.
    pub fn stop(&self) {
        let threads = self.threads.lock().map(|mut threads| std::mem::take(&mut *threads)).unwrap_or_default();
        if !threads.is_empty() {
            // Either fails only when the thread has ended already.
            drop(self.link.mailbox.send(Mail::Stop));
            threads.into_iter().for_each(|thread| drop(thread.join()));
        }
    }
}

impl Drop for PaperExchange {
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for PaperExchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PaperExchange").field("id", &self.config.id).finish_non_exhaustive()
    }
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, PaperError> {
    std::thread::Builder::new().name(name).spawn(work).map_err(PaperError::Thread)
}

enum Mail {
    Call { request: Request, reply: oneshot::Sender<Answer> },
    Updates { account: AccountId, to: mpsc::Sender<OrderReport> },
    Quotes { to: mpsc::Sender<Quote> },
    Feed(Vec<Quote>),
    CutStreams,
    Job(Box<dyn FnOnce(&mut Server) + Send>),
    Stop,
}

/// The way to the exchange's thread.
struct ThreadLink {
    mailbox: SyncSender<Mail>,
}

impl ThreadLink {
    fn post(&self, mail: Mail) -> Result<(), LinkError> {
        self.mailbox.try_send(mail).map_err(|error| {
            LinkError::NotSent(match error {
                TrySendError::Full(_) => "its mailbox is full".into(),
                TrySendError::Disconnected(_) => "it has stopped".into(),
            })
        })
    }
}

#[async_trait]
impl Link for ThreadLink {
    async fn call(&self, request: Request) -> Result<Response, LinkError> {
        let (reply, answer) = oneshot::channel();
        self.post(Mail::Call { request, reply })?;
        match answer.await {
            Ok(Answer::Ok(response)) => Ok(*response),
            Ok(Answer::Refused(refusal)) => Err(refusal.into()),
            Ok(Answer::Cut) | Err(_) => Err(LinkError::Cut),
        }
    }

    async fn updates(&self, account: &AccountId, sink: Sink<OrderReport>) -> Result<(), LinkError> {
        let (to, mut reports) = mpsc::channel(QUEUE);
        self.post(Mail::Updates { account: account.clone(), to })?;
        while let Some(report) = reports.recv().await {
            if sink.send(report).await.is_err() {
                return Ok(());
            }
        }
        Err(LinkError::Cut)
    }

    async fn quotes(&self, sink: Sink<Quote>) -> Result<(), LinkError> {
        let (to, mut quotes) = mpsc::channel(QUEUE);
        self.post(Mail::Quotes { to })?;
        while let Some(quote) = quotes.recv().await {
            if sink.send(quote).await.is_err() {
                return Ok(());
            }
        }
        Err(LinkError::Cut)
    }
}

/// A listener to quotes, and what it has heard.
struct Listener {
    to: mpsc::Sender<Quote>,
    heard: BTreeMap<VenueSymbol, (Price, Price)>,
}

/// What the thread owns.
struct Office {
    server: Server,
    replies: BTreeMap<Token, oneshot::Sender<Answer>>,
    next_token: u64,
    updates: Vec<(AccountId, mpsc::Sender<OrderReport>)>,
    quotes: Vec<Listener>,
    quotes_at: Timestamp,
    failed: bool,
}

impl Office {
    const fn new(server: Server) -> Self {
        Self {
            server,
            replies: BTreeMap::new(),
            next_token: 0,
            updates: Vec::new(),
            quotes: Vec::new(),
            quotes_at: Timestamp::EPOCH,
            failed: false,
        }
    }

    fn run(mut self, mailbox: &Receiver<Mail>) {
        let mut pause = Duration::ZERO;
        loop {
            // A full mailbox does not keep answers waiting for ever.
            for _ in 0..QUEUE {
                match mailbox.recv_timeout(pause) {
                    Ok(Mail::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                    Ok(mail) => self.take(mail),
                    Err(RecvTimeoutError::Timeout) => break,
                }
                pause = Duration::ZERO;
            }
            self.deliver();
            pause = self.pause();
        }
    }

    fn take(&mut self, mail: Mail) {
        match mail {
            Mail::Call { request, reply } => {
                self.next_token += 1;
                let token = Token(self.next_token);
                self.replies.insert(token, reply);
                self.server.submit(clock::now(), token, request);
            }
            Mail::Updates { account, to } => self.updates.push((account, to)),
            Mail::Quotes { to } => {
                self.quotes.push(Listener { to, heard: BTreeMap::new() });
                self.quotes_at = Timestamp::EPOCH;
            }
            Mail::Feed(quotes) => self.server.give_quotes(clock::now(), quotes),
            Mail::CutStreams => {
                self.updates.clear();
                self.quotes.clear();
            }
            Mail::Job(job) => job(&mut self.server),
            Mail::Stop => {}
        }
    }

    fn deliver(&mut self) {
        let now = clock::now();
        let polled = self.server.poll(now);
        for (token, answer) in polled.answers {
            if let Some(reply) = self.replies.remove(&token) {
                drop(reply.send(answer));
            }
        }
        // A silent exchange never answers: a caller that has given up needs no place any more.
        self.replies.retain(|_, reply| !reply.is_closed());
        self.updates.retain(|(account, to)| {
            let mut reports = polled.updates.iter().filter(|(whose, _)| whose == account);
            !to.is_closed() && reports.all(|(_, report)| to.try_send(report.clone()).is_ok())
        });
        self.tell_quotes(now);
        self.note_failure();
    }

    fn tell_quotes(&mut self, now: Timestamp) {
        self.quotes.retain(|listener| !listener.to.is_closed());
        if self.quotes.is_empty() || now < self.quotes_at {
            return;
        }
        self.quotes_at = now.after(QUOTES_EVERY);
        for quote in self.server.quotes(now) {
            for listener in &mut self.quotes {
                let news = (quote.bid, quote.ask);
                // One that does not fit is told at the next look, if it still holds then.
                if listener.heard.get(&quote.symbol) != Some(&news) && listener.to.try_send(quote.clone()).is_ok() {
                    listener.heard.insert(quote.symbol.clone(), news);
                }
            }
        }
    }

    fn note_failure(&mut self) {
        if let Some(failure) = self.server.failure().filter(|_| !self.failed) {
            tracing::error!(failure, "the paper exchange has stopped taking requests");
            self.failed = true;
        }
    }

    fn pause(&self) -> Duration {
        let now = clock::now();
        let quotes = (!self.quotes.is_empty()).then_some(self.quotes_at);
        let next = self.server.next_wakeup().into_iter().chain(quotes).min();
        next.map_or(SLEEP_MAX, |next| next.since(now).min(SLEEP_MAX))
    }
}
