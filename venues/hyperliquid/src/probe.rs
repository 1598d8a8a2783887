//! What became of an order whose fate is unknown. Money depends on every line of this file.
//!
//! Four places can know an order: the query by its name, the open orders, the past orders, the trades. Each may be wrong for a while; none alone
//! proves absence. Absence is proved by
//!
//! - burning the order's nonce: `noop` under the same nonce and key is taken, so the order was not, and never can be; or
//! - time: the venue's own clock is past the order's `expiresAfter` and a margin, and *after that* none of the four places knows the order.
//!
//! A nonce that was used before says that something used it: the order, a lost `noop` of ours, or another process with the same key. Then only time
//! proves absence. A nonce protects its own key only: an order that was made for another key is never sent again and its nonce is never burned
//! here. An exit that travels with its entry has the entry's request and nonce: it is looked for by its own name, is never sent by itself, and what
//! proves that the request can never arrive proves it for both. Its probe burns nothing while the entry may yet arrive or go again. Source of
//! the rules: "Nonces and API wallets", "Exchange endpoint" (`expiresAfter`), read 2026-11; not tried live.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::journal::Journaled;
use omnivenue_core::model::number::{Price, Quantity};
use omnivenue_core::model::order::{FillReport, OrderReport, OrderStatus};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Effect, ErrorKind, Evidence, Operation, Prepared, ProbePermission, VenueError};
use omnivenue_kit::clock::wall;

use crate::account::HyperliquidAccount;
use crate::action::{Action, Cloid, OrderRef};
use crate::convert::{self, ConvertError};
use crate::errors;
use crate::intent::{Intent, is_immediate};
use crate::memory::Nonce;
use crate::rest::{LIST_MAX, Purpose};
use crate::shared::Orders;
use crate::wire;

/// From an order's deadline to the look that proves its absence: a block, and the venue's own lists.
pub const MARGIN: Duration = Duration::from_secs(10);
/// How long after an order ended its trades may be missing from the list.
const TRADES_APPEAR_WITHIN: Duration = Duration::from_secs(10);
/// How long before its deadline an order can have been made: the longest lifetime, and clocks.
const MADE_BEFORE: Duration = Duration::from_secs(180);
/// How much further back shared trades reach than one question needs: others were made a little earlier.
const SHARED: Duration = Duration::from_secs(60);
/// How soon to ask again where something can be told at any moment.
const SOON: Duration = Duration::from_secs(1);
/// How soon to ask again for an exit whose entry is still on its way.
const WITH_ENTRY: Duration = Duration::from_secs(5);
/// How soon to ask again where a list does not reach back far enough.
const LATER: Duration = Duration::from_secs(60);
/// The pages of trades that are read at most; the venue keeps 10 000.
const PAGES_MAX: usize = 5;
/// The trades whose orders are asked for one by one at most.
const STRANGERS_MAX: usize = 40;
/// An order that is sent again must arrive in time.
const TRAVEL: Duration = Duration::from_secs(1);

/// The venue's word for an order that rests, or waits.
const OPEN: &str = "open";

fn before(moment: Timestamp, length: Duration) -> Timestamp {
    Timestamp::from_micros(moment.as_micros().saturating_sub(i64::try_from(length.as_micros()).unwrap_or(i64::MAX)))
}

/// Where questions about an account's orders are asked.
pub(crate) struct Desk<'a> {
    account: &'a HyperliquidAccount,
    purpose: Purpose,
}

/// Trades since an instant.
#[derive(Debug)]
pub(crate) struct Trades {
    pub(crate) fills: Vec<wire::Fill>,
    /// Whether these are all.
    pub(crate) complete: bool,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(account: &'a HyperliquidAccount, purpose: Purpose) -> Self {
        Self { account, purpose }
    }

    /// The order as the venue tells it now, or nothing, which proves nothing.
    pub(crate) async fn order(&self, order: &OrderRef) -> Result<Option<wire::OrderState>, VenueError> {
        match self.account.client().order_status(self.account.user(), order, self.purpose).await? {
            wire::OrderStatus::UnknownOid => Ok(None),
            wire::OrderStatus::Order { mut order } => {
                self.account.complete_order(&mut order.order);
                Ok(Some(order))
            }
        }
    }

    /// All trades since an instant, until another where one is given, as far as the venue gives them.
    pub(crate) async fn trades(&self, since: Timestamp, until: Option<Timestamp>) -> Result<Trades, VenueError> {
        let mut fills: Vec<wire::Fill> = Vec::new();
        let (mut from, mut seen) = (since, BTreeSet::new());
        for _ in 0..PAGES_MAX {
            let page = self.account.client().fills(self.account.user(), from, until, self.purpose).await?;
            let (full, last) = (page.len() >= LIST_MAX, page.iter().map(|fill| fill.time).max());
            // The next page begins with the instant at which this one ends.
            fills.extend(page.into_iter().filter(|fill| seen.insert(fill.tid)));
            match last.map(Timestamp::from_millis) {
                Some(last) if full && last > from => from = last,
                _ => return Ok(Trades { fills, complete: !full }),
            }
        }
        Ok(Trades { fills, complete: false })
    }

    /// All trades since an instant or a little before, shared with whoever asks at the same time.
    async fn shared_trades(&self, since: Timestamp) -> Result<Arc<Trades>, VenueError> {
        let since = before(since, SHARED);
        self.account.lists().trades.get(since, async || self.trades(since, None).await).await
    }

    /// The order with all its trades, and totals that agree.
    pub(crate) async fn completed(&self, state: &wire::OrderState) -> Result<OrderReport, VenueError> {
        // A stop may have waited for weeks: the trades since it was placed are many, and none before it woke is its own.
        let sleeper = state.order.wakes_at_the_market();
        if sleeper && state.status == OPEN {
            return self.report(state, &[]);
        }
        let since = if sleeper { state.status_timestamp } else { state.order.timestamp };
        // Trades are asked for after the order: what its state counts is among them.
        let trades = self.shared_trades(Timestamp::from_millis(since)).await?;
        self.report(state, &trades.fills)
    }

    /// The order with those of the trades that are its own.
    pub(crate) fn report(&self, state: &wire::OrderState, fills: &[wire::Fill]) -> Result<OrderReport, VenueError> {
        let ended = Timestamp::from_millis(state.status_timestamp);
        let settled = self.account.client().now().since(ended) > TRADES_APPEAR_WITHIN;
        let own = fills.iter().filter(|fill| fill.oid == state.order.oid);
        let own: Result<Vec<FillReport>, ConvertError> = own.map(|fill| convert::fill(fill, state.order.cloid.as_ref())).collect();
        own.and_then(|own| convert::report(state, own, settled)).map_err(|error| self.unreadable(error))
    }

    fn unreadable(&self, why: impl std::fmt::Display) -> VenueError {
        self.account.client().unreadable(self.purpose.operation, why)
    }
}

/// The order that is looked for.
struct Question<'a> {
    order: &'a Prepared,
    cloid: Cloid,
    /// It cannot have been made before.
    made_after: Timestamp,
    /// It cannot have traded after; absent where it can rest or wait.
    trades_until: Option<Timestamp>,
}

/// An order that the venue knows.
struct Found {
    report: OrderReport,
    /// It is over, and how much of it filled is not listed yet.
    undecided: bool,
}

impl Found {
    fn new(state: &wire::OrderState, report: OrderReport) -> Self {
        let undecided = report.status == OrderStatus::Open && convert::order_status(&state.status).is_final();
        Self { report, undecided }
    }
}

/// What a look in all four places found.
enum Look {
    Found(Found),
    /// Nothing; `gaps` are reasons for which it may be there nevertheless.
    Nothing {
        gaps: Vec<String>,
    },
}

impl Desk<'_> {
    async fn look(&self, question: &Question<'_>) -> Result<Look, VenueError> {
        if let Some(state) = self.order(&OrderRef::Cloid(question.cloid.clone())).await? {
            let report = self.completed(&state).await?;
            return Ok(Look::Found(Found::new(&state, report)));
        }
        let (client, user) = (self.account.client(), self.account.user());
        // An order can move from the open ones to the past ones while we ask, not back; its trades come with it.
        let ask = async || {
            let open = client.open_orders(user, self.purpose).await?;
            Ok(Orders { open, past: client.historical_orders(user, self.purpose).await? })
        };
        let orders = self.account.lists().orders.get(Timestamp::EPOCH, ask).await?;
        let Orders { open, past } = &*orders;
        let mut trades = self.shared_trades(question.made_after).await?;
        if !trades.complete && question.trades_until.is_some() {
            // More have followed than can be read: those of its own time may be few enough.
            trades = Arc::new(self.trades(question.made_after, question.trades_until).await?);
        }
        let own = |order: &wire::Order| order.cloid.as_ref() == Some(&question.cloid);
        // It may be listed once for each thing that happened to it.
        let listed = past.iter().filter(|state| own(&state.order)).max_by_key(|state| convert::standing(state)).cloned();
        let waiting = || open.iter().find(|order| own(order)).map(resting);
        if let Some(mut state) = listed.or_else(waiting) {
            self.account.complete_order(&mut state.order);
            let report = self.report(&state, &trades.fills)?;
            return Ok(Look::Found(Found::new(&state, report)));
        }
        let known: BTreeSet<u64> = open.iter().map(|order| order.oid).chain(past.iter().map(|state| state.order.oid)).collect();
        let mut gaps = Vec::new();
        if let Some(state) = self.strangers(question, &trades, &known, &mut gaps).await? {
            let report = self.report(&state, &trades.fills)?;
            return Ok(Look::Found(Found::new(&state, report)));
        }
        if past.len() >= LIST_MAX && past.iter().all(|state| Timestamp::from_millis(state.status_timestamp) >= question.made_after) {
            gaps.push("the list of past orders does not reach back to when it was made".into());
        }
        if !trades.complete {
            gaps.push("the list of trades is longer than the venue tells".into());
        }
        Ok(Look::Nothing { gaps })
    }

    /// Asks for the orders of trades that no list explains and that may be this order's. One that stays unexplained is a gap.
    async fn strangers(
        &self,
        question: &Question<'_>,
        trades: &Trades,
        known: &BTreeSet<u64>,
        gaps: &mut Vec<String>,
    ) -> Result<Option<wire::OrderState>, VenueError> {
        let other = |fill: &wire::Fill| {
            let name = fill.cloid.clone().map(Some).or_else(|| self.account.memory().name(fill.oid));
            name.is_some_and(|name| name.as_ref() != Some(&question.cloid))
        };
        let fitting = trades.fills.iter().filter(|fill| !known.contains(&fill.oid) && question.fits(fill) && !other(fill));
        let strangers: BTreeSet<u64> = fitting.map(|fill| fill.oid).collect();
        if strangers.len() > STRANGERS_MAX {
            gaps.push(format!("{} trades could be its own, too many to ask for", strangers.len()));
            return Ok(None);
        }
        for oid in strangers {
            match self.order(&OrderRef::Oid(oid)).await? {
                Some(state) if state.order.cloid.as_ref() == Some(&question.cloid) => return Ok(Some(state)),
                Some(_) => {}
                None => gaps.push(format!("a trade of order {oid} could be its own, and the venue does not find that order")),
            }
        }
        Ok(None)
    }
}

impl Question<'_> {
    /// Whether a trade may be this order's.
    fn fits(&self, fill: &wire::Fill) -> bool {
        let request = self.order.request();
        let inside = |price: Price| if request.side.is_buy() { price <= request.worst_price } else { price >= request.worst_price };
        let small = |size: Quantity| size <= request.quantity;
        // What cannot be read may be anything.
        fill.coin == request.symbol.as_str()
            && convert::side(fill.side) == request.side
            && fill.px.parse().map_or(true, inside)
            && convert::quantity(&fill.sz).map_or(true, small)
    }
}

/// An order that is listed as open.
fn resting(order: &wire::Order) -> wire::OrderState {
    wire::OrderState { order: order.clone(), status: OPEN.into(), status_timestamp: order.timestamp }
}

/// Finds out what became of an order.
pub(crate) async fn probe(
    account: &HyperliquidAccount,
    order: &Journaled<Prepared>,
    permission: ProbePermission,
) -> Result<Evidence, VenueError> {
    let intent = account.intent(order, Operation::Probe)?;
    let cloid = Cloid::of(order.client_order_id())
        .map_err(|error| account.error(Operation::Probe, ErrorKind::Internal, Effect::NotSent, error.to_string()))?;
    let travels = account.names(&intent, order, Operation::Probe)?.first() != Some(&cloid);
    let trades_until = is_immediate(order.request()).then(|| intent.deadline().after(MARGIN));
    let question = Question { order, cloid, made_after: before(intent.deadline(), MADE_BEFORE), trades_until };
    let case = Case { account, desk: account.desk(Purpose::read(Operation::Probe)), question, intent, travels };
    case.decide(permission).await
}

/// One order, one probe.
struct Case<'a> {
    account: &'a HyperliquidAccount,
    desk: Desk<'a>,
    question: Question<'a>,
    intent: Intent,
    /// It is no request of its own, but goes with its entry's.
    travels: bool,
}

/// What a `noop` under the order's nonce brought.
enum Burn {
    /// It was taken: the order was not, and never can be.
    Taken,
    /// The nonce was used before.
    Used(String),
    /// Nothing is known by it.
    Failed(String),
}

/// What was found. How much of an order that cannot rest has filled is known only once its trades have had the time to appear.
fn told(Found { report, undecided }: Found) -> Evidence {
    if undecided {
        let why = format!("order {} is done, its trades are not listed yet", report.venue_order_id);
        return Evidence::NotYet { ask_at: wall().after(SOON), why };
    }
    Evidence::Present(report)
}

const NOWHERE: &str = "asked for the order by name, the open orders, the past orders and the trades: nowhere";

impl Case<'_> {
    async fn decide(&self, permission: ProbePermission) -> Result<Evidence, VenueError> {
        if let Look::Found(found) = self.desk.look(&self.question).await? {
            return Ok(told(found));
        }
        let own_key = self.intent.signer == self.account.signer();
        let nonce = self.intent.nonce;
        let known = self.account.memory().nonce(nonce).filter(|_| own_key);
        let mut tried = NOWHERE.to_owned();
        match known {
            Some(Nonce::Burned) => {
                let words = format!("{tried}; nonce {nonce} was burned before: nothing had used it, and the order never can");
                return Ok(Evidence::AbsentForever { evidence: words });
            }
            Some(Nonce::Used) => tried = format!("{tried}; its nonce was used before"),
            None if own_key => {
                if (self.travels || permission.may_resend) && self.in_time().await? {
                    return Ok(if self.travels { self.with_entry(tried) } else { Evidence::Resendable { evidence: tried } });
                }
                match self.burn().await? {
                    Burn::Taken => {
                        self.account.memory().burned(nonce);
                        let words = format!("{tried}; then nonce {nonce} was burned: nothing had used it, and the order never can");
                        return Ok(Evidence::AbsentForever { evidence: words });
                    }
                    Burn::Used(words) => tried = format!("{tried}; its nonce was used before ({words})"),
                    Burn::Failed(words) => tried = format!("{tried}; its nonce could not be burned ({words})"),
                }
            }
            None => tried = format!("{tried}; it was made for the key of {}, whose nonces are not ours to burn", self.intent.signer),
        }
        self.by_time(tried).await
    }

    /// The entry may yet arrive, or be sent again, and the exit with it: whoever settles the entry settles this too.
    fn with_entry(&self, tried: String) -> Evidence {
        let now = wall();
        let soon = now.after(WITH_ENTRY).min(self.account.ours(self.intent.deadline()).max(now.after(SOON)));
        Evidence::NotYet {
            ask_at: soon,
            why: format!("{tried}; it goes with its entry, which the venue takes until {}", self.intent.deadline()),
        }
    }

    /// Whether the venue would still take the order.
    async fn in_time(&self) -> Result<bool, VenueError> {
        let client = self.account.client();
        if client.clock().uncertainty().is_none() {
            client.time(Purpose::read(Operation::Probe)).await?;
        }
        let doubt = client.clock().uncertainty().unwrap_or(TRAVEL);
        Ok(client.now().after(TRAVEL).after(doubt) < self.intent.deadline())
    }

    async fn burn(&self) -> Result<Burn, VenueError> {
        self.account.client().permit(1, Purpose::urgent(Operation::Probe)).await?;
        // The same nonce, key and account; no deadline of its own, which could pass on the way.
        let terms = crate::sign::Terms { expires_after: None, ..self.intent.terms() };
        match self.account.send_signed(&Action::Noop.to_json(), &terms, Operation::Probe).await {
            Ok(None) => Ok(Burn::Taken),
            Ok(Some(items)) => Ok(Burn::Failed(format!("answered with {items:?}"))),
            Err(error) => match error.code.as_deref() {
                Some(errors::DUPLICATE_NONCE | errors::NONCE_TOO_LOW) => Ok(Burn::Used(error.message)),
                _ => Ok(Burn::Failed(error.message)),
            },
        }
    }

    /// Absence by time: a look that begins after the deadline and the margin, by the venue's own clock.
    async fn by_time(&self, tried: String) -> Result<Evidence, VenueError> {
        let purpose = Purpose::read(Operation::Probe);
        let proof_from = self.intent.deadline().after(MARGIN);
        let venue_time = self.account.client().time(purpose).await?;
        // Whatever used the nonce may have appeared since the first look.
        let gaps = match self.desk.look(&self.question).await? {
            Look::Found(found) => return Ok(told(found)),
            Look::Nothing { gaps } => gaps,
        };
        if venue_time <= proof_from {
            let wait = proof_from.since(venue_time).max(SOON);
            return Ok(Evidence::NotYet {
                ask_at: wall().after(wait),
                why: format!("{tried}; the venue takes it until {}", self.intent.deadline()),
            });
        }
        if !gaps.is_empty() {
            return Ok(Evidence::NotYet { ask_at: wall().after(LATER), why: format!("{tried}; {}", gaps.join("; ")) });
        }
        let words = format!("{tried}; at {venue_time} by the venue's clock, after it expired at {}, nowhere again", self.intent.deadline());
        Ok(Evidence::AbsentForever { evidence: words })
    }
}
