//! What a case plays on: one world, the desk that makes its orders, and the few moves that many cases share.

use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::journal::Journaled;
use omnivenue_core::model::ids::AccountId;
use omnivenue_core::model::instrument::{Instrument, Rounding, Side};
use omnivenue_core::model::number::{Notional, Price, Quantity};
use omnivenue_core::model::order::OrderReport;
use omnivenue_core::model::signal::{OrderType, TimeInForce};
use omnivenue_core::venue::{Account, Capabilities, Effect, Evidence, Prepared, ProbePermission, Quote, VenueError};
use rust_decimal::Decimal;
use tokio::time::{sleep, timeout};

use crate::case::{Failed, Verdict, expect};
use crate::clock;
use crate::desk::{Desk, Nonces, Wish, careless};
use crate::ear::Ear;
use crate::subject::{Fault, Truth, World};

/// How long an answer may take before a case takes it for none. The engine gives a venue as long.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// What the orders of the three desks carry in front of their names.
const TAGS: [&str; 3] = ["be4a70", "f0e190", "ca1e55"];

/// One world with everything to act in it.
pub struct Stage {
    /// The world.
    pub world: Box<dyn World>,
    /// Where orders come from.
    pub desk: Desk,
    /// Another engine on the same accounts: its orders are foreign to ours.
    pub foreign: Desk,
    /// A desk that knows nothing of ticks, lots and minimums.
    pub careless: Desk,
    /// What the venue says it can do.
    pub capabilities: Capabilities,
    /// The instrument that is traded.
    pub instrument: Instrument,
}

impl Stage {
    /// Sets up what acts in a world.
    ///
    /// # Errors
    /// What of it does not work.
    pub async fn set_up(world: Box<dyn World>) -> Verdict<Self> {
        let capabilities = world.venue().capabilities().clone();
        let instruments = world.venue().instruments().await?;
        let instrument = instruments.into_iter().find(|instrument| instrument.symbol == *world.symbol());
        let instrument = instrument.ok_or_else(|| format!("an instrument {}", world.symbol()))?;
        let mut accounts = world.accounts().to_vec();
        accounts.push(Arc::clone(world.stranger()));
        let nonces = Nonces::default();
        let open =
            async |tag, instrument: &Instrument| Desk::open(tag, &capabilities, instrument, accounts.clone(), Arc::clone(&nonces)).await;
        let (desk, foreign) = (open(TAGS[0], &instrument).await?, open(TAGS[1], &instrument).await?);
        let careless = open(TAGS[2], &careless(&instrument)?).await?;
        Ok(Self { world, desk, foreign, careless, capabilities, instrument })
    }

    /// The account that most cases trade on.
    #[must_use]
    pub fn account(&self) -> &Arc<dyn Account> {
        &self.world.accounts()[0]
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &AccountId {
        self.account().id()
    }

    /// The truth about it.
    ///
    /// # Errors
    /// When the world cannot tell.
    pub async fn truth(&self) -> Verdict<Truth> {
        Ok(self.world.truth(self.id()).await?)
    }

    /// Makes a fault happen.
    ///
    /// # Errors
    /// When the world cannot.
    pub async fn strike(&self, fault: Fault) -> Verdict {
        Ok(self.world.strike(fault).await?)
    }

    /// The present prices of the instrument.
    ///
    /// # Errors
    /// When there are none.
    pub async fn quote(&self) -> Verdict<Quote> {
        let quotes = self.world.venue().quotes().await?;
        let found = quotes.into_iter().find(|quote| quote.symbol == self.instrument.symbol);
        found.ok_or_else(|| Failed::Expected(format!("a quote of {}", self.instrument.symbol)))
    }

    /// A price that is this many percent of another, on the price rule.
    #[must_use]
    pub fn percent(&self, price: Price, percent: u32) -> Price {
        let share = Decimal::new(i64::from(percent), 2);
        let moved = price.decimal().checked_mul(share).and_then(|moved| Price::new(moved).ok());
        moved
            .and_then(|moved| self.instrument.price_rule.round(moved, Rounding::Down))
            .expect("prices of the suite are neither tiny nor huge")
    }

    /// Moves the price of the instrument to this percentage of what it is, and waits until the venue quotes it.
    ///
    /// # Errors
    /// When the world cannot, or the venue does not.
    pub async fn move_price(&self, percent: u32) -> Verdict<Price> {
        let price = self.percent(self.quote().await?.bid, percent);
        self.world.set_price(price).await?;
        let stands = async || self.quote().await.is_ok_and(|quote| is_near(&quote, price));
        self.until("the venue quotes the new price", stands).await?;
        Ok(price)
    }

    /// A quantity worth about this much.
    ///
    /// # Errors
    /// When there is no price.
    pub async fn worth(&self, notional: u32) -> Verdict<Quantity> {
        let price = self.quote().await?.ask;
        let notional = Notional::new(Decimal::from(notional)).expect("a small whole number is a notional");
        Ok(self.instrument.quantity_for(notional, price))
    }

    /// An order at the market worth 60, which may trade five percent from here.
    ///
    /// # Errors
    /// When there is no price.
    pub async fn market(&self, side: Side) -> Verdict<Wish> {
        let quote = self.quote().await?;
        let worst_price = if side.is_buy() { self.percent(quote.ask, 105) } else { self.percent(quote.bid, 95) };
        Ok(Wish { side, quantity: self.worth(60).await?, order: OrderType::Market, worst_price })
    }

    /// A limit order worth 60 at this percentage of the bid.
    ///
    /// # Errors
    /// When there is no price.
    pub async fn limit(&self, side: Side, percent: u32, time_in_force: TimeInForce, post_only: bool) -> Verdict<Wish> {
        let price = self.percent(self.quote().await?.bid, percent);
        let order = OrderType::Limit { price, time_in_force, post_only };
        Ok(Wish { side, quantity: self.worth(60).await?, order, worst_price: price })
    }

    /// A buy that rests ten percent below the market.
    ///
    /// # Errors
    /// When there is no price.
    pub async fn resting(&self) -> Verdict<Wish> {
        self.limit(Side::Buy, 90, TimeInForce::Gtc, false).await
    }

    /// The order of a wish, on the account.
    ///
    /// # Errors
    /// When the account would not prepare it.
    pub async fn order(&self, wish: Wish) -> Verdict<Journaled<Prepared>> {
        self.desk
            .entry(self.id(), wish)
            .await
            .map_err(|why| Failed::Expected(format!("an order of {wish:?}, but {}: {}", why.code, why.reason)))
    }

    /// Sends an order, and waits as long as the engine would: silence is an error whose effect is unknown.
    pub async fn place(&self, order: &Journaled<Prepared>) -> Result<OrderReport, Option<VenueError>> {
        match timeout(PATIENCE, self.account().place(order)).await {
            Ok(answer) => answer.map_err(Some),
            Err(_) => Err(None),
        }
    }

    /// An order that was placed and answered.
    ///
    /// # Errors
    /// When it was refused or not answered.
    pub async fn placed(&self, wish: Wish) -> Verdict<(Journaled<Prepared>, OrderReport)> {
        let order = self.order(wish).await?;
        match self.place(&order).await {
            Ok(report) => Ok((order, report)),
            Err(Some(error)) => Err(error.into()),
            Err(None) => Err(Failed::Expected(format!("an answer to {} in {PATIENCE:?}", order.wire()))),
        }
    }

    /// An order of which the answer was lost: its fate is unknown to us.
    ///
    /// # Errors
    /// When an answer came, or the error says that nothing can have happened.
    pub async fn lost(&self, wish: Wish, fault: Fault) -> Verdict<Journaled<Prepared>> {
        let order = self.order(wish).await?;
        self.strike(fault).await?;
        match self.place(&order).await {
            Ok(report) => Err(Failed::Expected(format!("no answer after {fault:?}, but {report:?}"))),
            Err(None) => Ok(order),
            Err(Some(error)) => {
                expect(error.effect == Effect::Unknown, || format!("effect unknown after {fault:?}, but {error} ({:?})", error.effect))?;
                Ok(order)
            }
        }
    }

    /// Asks once what became of an order.
    ///
    /// # Errors
    /// When nothing was learned.
    pub async fn probe(&self, order: &Journaled<Prepared>, may_resend: bool) -> Verdict<Evidence> {
        probe(self.account(), order, may_resend).await
    }

    /// Asks what became of an order until there is an answer, as the engine's resolver does.
    ///
    /// # Errors
    /// When there is none in time, or the venue asks for patience without end.
    pub async fn evidence(&self, order: &Journaled<Prepared>, may_resend: bool) -> Verdict<Evidence> {
        evidence(self.account(), order, may_resend).await
    }

    /// The order as the venue has it, with all its trades.
    ///
    /// # Errors
    /// When it is not found, or the trades it tells of do not add up to what filled.
    pub async fn found(&self, order: &Journaled<Prepared>) -> Verdict<OrderReport> {
        match self.evidence(order, false).await? {
            Evidence::Present(report) => {
                let sum = report.fills.iter().try_fold(Quantity::ZERO, |sum, fill| sum.plus(fill.quantity)).unwrap_or_default();
                expect(sum == report.filled_quantity, || {
                    format!("trades that add up to {}, but {:?}", report.filled_quantity, report.fills)
                })?;
                Ok(report)
            }
            other => Err(Failed::Expected(format!("that the order is present, but {other:?}"))),
        }
    }

    /// The order in the venue's own books: exactly one.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub async fn one(&self, order: &Journaled<Prepared>) -> Verdict<crate::subject::TrueOrder> {
        let truth = self.truth().await?;
        let named = truth.named(order.client_order_id());
        expect(named.len() == 1, || format!("one order {} in the venue's books, but {named:?}", order.client_order_id()))?;
        Ok(named[0].clone())
    }

    /// No such order in the venue's books.
    ///
    /// # Errors
    /// When there is one.
    pub async fn none(&self, order: &Journaled<Prepared>) -> Verdict {
        let truth = self.truth().await?;
        let named = truth.named(order.client_order_id());
        expect(named.is_empty(), || format!("no order {} in the venue's books, but {named:?}", order.client_order_id()))
    }

    /// Waits until something holds, as long as the longest lateness and [`PATIENCE`].
    ///
    /// # Errors
    /// When it never does.
    pub async fn until<F: Future<Output = bool>>(&self, what: &str, mut holds: impl FnMut() -> F) -> Verdict {
        let wait = async {
            while !holds().await {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let patience = self.world.lateness() + PATIENCE;
        timeout(patience, wait).await.map_err(|_| Failed::Expected(format!("that {what} within {patience:?}")))
    }

    /// Listens to the account's stream from now on.
    ///
    /// # Errors
    /// When the stream does not open.
    pub async fn listen(&self) -> Verdict<Ear> {
        Ear::open(Arc::clone(self.account()), self).await
    }
}

/// Asks an account once what became of an order.
async fn probe(account: &Arc<dyn Account>, order: &Journaled<Prepared>, may_resend: bool) -> Verdict<Evidence> {
    let permission = ProbePermission { may_resend, now: clock::now() };
    match timeout(PATIENCE, account.probe(order, permission)).await {
        Ok(evidence) => Ok(evidence?),
        Err(_) => Err(Failed::Expected(format!("an answer to a probe in {PATIENCE:?}"))),
    }
}

/// Asks an account what became of an order until there is an answer, as the engine's resolver does.
///
/// # Errors
/// When there is none in time, or the venue asks for patience without end.
pub async fn evidence(account: &Arc<dyn Account>, order: &Journaled<Prepared>, may_resend: bool) -> Verdict<Evidence> {
    let until = clock::now().after(4 * PATIENCE);
    loop {
        match probe(account, order, may_resend).await? {
            Evidence::NotYet { ask_at, why } => {
                expect(ask_at < until, || format!("evidence in time, but: {why}"))?;
                sleep(ask_at.since(clock::now()).max(Duration::from_millis(10))).await;
            }
            evidence => return Ok(evidence),
        }
    }
}

/// Whether bid and ask stand at a price, give or take a quarter of a percent.
#[must_use]
pub fn is_near(quote: &Quote, price: Price) -> bool {
    let most = price.decimal().checked_mul(Decimal::new(25, 4)).unwrap_or_default();
    let off = |side: Price| side.decimal().checked_sub(price.decimal()).is_some_and(|off| off.abs() <= most);
    off(quote.bid) && off(quote.ask)
}
