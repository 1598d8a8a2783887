//! One login: a signer, the account it trades for, and what the venue can do for them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use omnivenue_core::gates::Cleared;
use omnivenue_core::journal::Journaled;
use omnivenue_core::model::ids::{AccountId, ClientOrderId, VenueSymbol};
use omnivenue_core::model::instrument::Market;
use omnivenue_core::model::order::{OrderReport, OrderRequest, OrderStatus, Purpose as OrderPurpose};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{
    Account, AccountSnapshot, Effect, ErrorKind, Evidence, Finding, Operation, Prepared, ProbePermission, Sink, Ticket, Venue, VenueError,
};
use omnivenue_kit::clock::wall;
use omnivenue_kit::nonce::Nonces;
use omnivenue_kit::permits::Use;
use omnivenue_kit::sign::{Address, SigningKey};
use serde_json::value::RawValue;

use crate::action::{Action, CancelByCloid, CancelByOid, Cloid, OrderRef};
use crate::config::{ConfigError, Login};
use crate::convert::{self, Listing, OrderError};
use crate::errors::{self, Scope};
use crate::intent::Intent;
use crate::memory::Memory;
use crate::probe::Desk;
use crate::rest::{Client, Purpose, envelope, weight_of};
use crate::shared::Lists;
use crate::venue::Hyperliquid;
use crate::{answer, examine, leverage, sign, snapshot, stream, wire};

/// An account of Hyperliquid, on one market.
pub struct HyperliquidAccount {
    name: AccountId,
    market: Market,
    key: SigningKey,
    /// Whose orders, positions and balances these are: never the agent's.
    user: Address,
    /// The account whose agent the key may be.
    master: Address,
    vault: Option<Address>,
    nonces: Arc<Nonces>,
    hyperliquid: Arc<Hyperliquid>,
    venue: Arc<dyn Venue>,
    memory: Memory,
    lists: Lists,
}

impl std::fmt::Debug for HyperliquidAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HyperliquidAccount")
            .field("name", &self.name)
            .field("user", &self.user)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl HyperliquidAccount {
    pub(crate) fn new(hyperliquid: Arc<Hyperliquid>, login: Login) -> Result<Self, ConfigError> {
        let key =
            SigningKey::from_secret(&login.private_key).map_err(|source| ConfigError::Key { account: login.account.clone(), source })?;
        let master = login.address.unwrap_or(key.address());
        Ok(Self {
            name: login.account,
            market: login.market,
            user: login.vault_address.unwrap_or(master),
            master,
            vault: login.vault_address,
            nonces: hyperliquid.nonces(key.address()),
            venue: Arc::clone(&hyperliquid) as Arc<dyn Venue>,
            hyperliquid,
            key,
            memory: Memory::new(),
            lists: Lists::new(),
        })
    }

    /// Whose orders, positions and balances these are.
    #[must_use]
    pub fn user(&self) -> Address {
        self.user
    }

    /// Whose agent the signer may be.
    #[must_use]
    pub fn master(&self) -> Address {
        self.master
    }

    /// The address of the key that signs.
    #[must_use]
    pub fn signer(&self) -> Address {
        self.key.address()
    }

    /// Its market.
    #[must_use]
    pub fn market(&self) -> Market {
        self.market
    }

    pub(crate) fn name(&self) -> &AccountId {
        &self.name
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }

    pub(crate) fn vault(&self) -> Option<Address> {
        self.vault
    }

    pub(crate) fn hyperliquid(&self) -> &Arc<Hyperliquid> {
        &self.hyperliquid
    }

    pub(crate) fn client(&self) -> &Client {
        self.hyperliquid.client()
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn lists(&self) -> &Lists {
        &self.lists
    }

    pub(crate) fn complete_order(&self, order: &mut wire::Order) {
        self.memory.complete(order);
    }

    pub(crate) fn error(&self, operation: Operation, kind: ErrorKind, effect: Effect, message: impl Into<String>) -> VenueError {
        self.client().error(operation, kind, effect, message)
    }

    /// The listing of an instrument of this account's market.
    pub(crate) fn listing(&self, symbol: &VenueSymbol, operation: Operation) -> Result<Listing, VenueError> {
        let found = self.hyperliquid.listing(symbol).filter(|listing| listing.instrument.market == self.market);
        found.ok_or_else(|| {
            let words = format!("{symbol} is not traded on {} here", self.market);
            self.error(operation, ErrorKind::NotFound, Effect::NotSent, words)
        })
    }

    /// The next nonce of the signer, at or above `floor`, in milliseconds of the venue's time.
    pub(crate) fn next_nonce(&self, floor: Option<u64>) -> u64 {
        let now = u64::try_from(self.client().now().as_millis()).unwrap_or(0);
        // Kit's floor is a nonce that was used; the engine's is the first that was not.
        self.nonces.next(now, floor.and_then(|floor| floor.checked_sub(1)))
    }

    /// After this the venue refuses a request that is made now: milliseconds of its clock.
    pub(crate) fn expiry(&self, now: Timestamp) -> u64 {
        let deadline = self.client().clock().now(now).after(self.hyperliquid.config().order_lifetime);
        u64::try_from(deadline.as_millis()).unwrap_or(0)
    }

    /// An instant of the venue's clock by ours.
    pub(crate) fn ours(&self, venue: Timestamp) -> Timestamp {
        Timestamp::from_micros(venue.as_micros().saturating_sub(self.client().clock().offset()))
    }

    pub(crate) fn desk(&self, purpose: Purpose) -> Desk<'_> {
        Desk::new(self, purpose)
    }

    fn refused(&self, operation: Operation, error: OrderError) -> VenueError {
        let kind = if matches!(error, OrderError::Unsupported(_)) { ErrorKind::Unsupported } else { ErrorKind::InvalidRequest };
        self.error(operation, kind, Effect::NotSent, error.to_string())
    }

    /// Reads back what was journaled, and makes sure that it is this account's.
    pub(crate) fn intent(&self, order: &Prepared, operation: Operation) -> Result<Intent, VenueError> {
        let wrong = |words: String| self.error(operation, ErrorKind::Internal, Effect::NotSent, words);
        let intent = Intent::parse(order.wire()).map_err(|error| wrong(format!("the journaled order cannot be read: {error}")))?;
        let environment = self.hyperliquid.config().environment;
        if intent.user != self.user || intent.environment != environment {
            return Err(wrong(format!(
                "the order was made for {} on {}, but the account is now {} on {}: only there can be told what became of it",
                intent.user,
                intent.environment.chain(),
                self.user,
                environment.chain()
            )));
        }
        Ok(intent)
    }

    /// The names of the orders in the journaled request; the one that is meant is among them.
    pub(crate) fn names(&self, intent: &Intent, order: &Prepared, operation: Operation) -> Result<Vec<Cloid>, VenueError> {
        let wrong = |words: String| self.error(operation, ErrorKind::Internal, Effect::NotSent, words);
        let names = intent.names().map_err(|error| wrong(format!("the journaled request cannot be read: {error}")))?;
        let own = Cloid::of(order.client_order_id()).map_err(|error| wrong(error.to_string()))?;
        if !names.contains(&own) {
            return Err(wrong(format!("the journaled request has no order {own}")));
        }
        Ok(names)
    }

    /// Signs what was journaled and sends it once.
    async fn send(&self, intent: &Intent, operation: Operation) -> Result<Option<Vec<wire::ItemStatus>>, VenueError> {
        self.send_signed(intent.action.get(), &intent.terms(), operation).await
    }

    pub(crate) async fn send_signed(
        &self,
        action_json: &str,
        terms: &sign::Terms,
        operation: Operation,
    ) -> Result<Option<Vec<wire::ItemStatus>>, VenueError> {
        let signature = sign::sign(&self.key, action_json, terms)
            .map_err(|error| self.error(operation, ErrorKind::Internal, Effect::NotSent, error.to_string()))?;
        let sent = self.client().exchange(envelope(action_json, &signature, terms), operation).await;
        self.hyperliquid.budgets().spend(self.user, 1);
        match sent.as_ref().err().and_then(|error| error.code.as_deref()) {
            Some(errors::DUPLICATE_NONCE | errors::NONCE_TOO_LOW) => self.memory.spend(terms.nonce),
            Some(errors::BUDGET) => self.hyperliquid.budgets().exhausted(self.user),
            _ => {}
        }
        sent
    }
}

/// Too many requests now are no reason to give the order up: it is not sent yet, and can wait.
fn passing(mut error: VenueError) -> VenueError {
    if error.kind == ErrorKind::RateLimited {
        error.effect = Effect::NotSent;
    }
    error
}

/// An order that is about to expire is not sent: it would be refused, and costs five requests of the budget. Source: "Rate limits".
const TRAVEL: Duration = Duration::from_millis(500);

#[async_trait]
impl Account for HyperliquidAccount {
    fn id(&self) -> &AccountId {
        &self.name
    }

    fn venue(&self) -> &Arc<dyn Venue> {
        &self.venue
    }

    async fn ready(&self, request: &OrderRequest) -> Result<(), VenueError> {
        // Only an entry has orders that travel with it.
        let entry = request.purpose == OrderPurpose::Entry;
        let orders = 1 + request.attached.len();
        if entry {
            let budgets = self.hyperliquid.budgets();
            let actions = u64::try_from(orders).unwrap_or(u64::MAX);
            if budgets.is_low(self.user, actions) {
                let purpose = Purpose { operation: Operation::Ready, usage: Use::Entry };
                budgets.refresh(self.client(), self.user, purpose).await.map_err(passing)?;
            }
            budgets.admit(self.client(), self.user, actions)?;
        }
        if entry && self.market == Market::Perp {
            leverage::ensure(self, request).await.map_err(passing)?;
        }
        self.hyperliquid.watch(&request.symbol);
        let usage = if entry { Use::Entry } else { Use::Exit };
        self.client().permit(weight_of(orders), Purpose { operation: Operation::Ready, usage }).await
    }

    fn prepare(&self, cleared: Cleared<OrderRequest>, ticket: Ticket) -> Result<Prepared, VenueError> {
        let request = cleared.get();
        if request.account != self.name {
            let words = format!("an order of {} was given to {}", request.account, self.name);
            return Err(self.error(Operation::Prepare, ErrorKind::Internal, Effect::NotSent, words));
        }
        let listing = self.listing(&request.symbol, Operation::Prepare)?;
        let action = convert::action(request, &ticket, &listing).map_err(|error| self.refused(Operation::Prepare, error))?;
        if let Action::Order { orders, .. } = &action {
            self.memory.sent(orders);
        }
        let action = RawValue::from_string(action.to_json()).expect("an action is JSON");
        let nonce = self.next_nonce(ticket.nonce);
        let intent = Intent {
            environment: self.hyperliquid.config().environment,
            user: self.user,
            signer: self.signer(),
            nonce,
            vault_address: self.vault,
            expires_after: self.expiry(ticket.now),
            action,
        };
        let deadline = self.ours(intent.deadline());
        Ok(Prepared::new(cleared, ticket, Some(nonce), intent.to_text(), Some(deadline)))
    }

    async fn place(&self, order: &Journaled<Prepared>) -> Result<OrderReport, VenueError> {
        let intent = self.intent(order, Operation::Place)?;
        if intent.signer != self.signer() {
            let words = format!("the order was made for the key of {}; under another key it would be another order", intent.signer);
            return Err(self.error(Operation::Place, ErrorKind::Internal, Effect::NotSent, words));
        }
        let names = self.names(&intent, order, Operation::Place)?;
        if names.first().map(Cloid::client_order_id).as_ref() != Some(order.client_order_id()) {
            let words = "the order travels with its entry, and is not sent by itself";
            return Err(self.error(Operation::Place, ErrorKind::Internal, Effect::NotSent, words));
        }
        if self.client().now().after(TRAVEL) >= intent.deadline() {
            return Err(self.error(Operation::Place, ErrorKind::Expired, Effect::NotSent, "its time ran out before it was sent"));
        }
        let more = u64::try_from(names.len() - 1).unwrap_or(u64::MAX);
        self.hyperliquid.budgets().spend(self.user, more);
        let statuses = self.send(&intent, Operation::Place).await?;
        // Whatever was said of each order, the request was taken, once and for ever.
        self.memory.spend(intent.nonce);
        answer::of_order(self, order, statuses.unwrap_or_default(), names.len()).await
    }

    async fn probe(&self, order: &Journaled<Prepared>, permission: ProbePermission) -> Result<Evidence, VenueError> {
        crate::probe::probe(self, order, permission).await
    }

    async fn cancel(&self, symbol: &VenueSymbol, client_order_id: &ClientOrderId) -> Result<OrderReport, VenueError> {
        let listing = self.listing(symbol, Operation::Cancel)?;
        let (action, order) = cancel_action(client_order_id, listing.asset)
            .ok_or_else(|| self.error(Operation::Cancel, ErrorKind::NotFound, Effect::NotSent, "no order of this venue has that name"))?;
        let purpose = Purpose::urgent(Operation::Cancel);
        self.client().permit(1, purpose).await?;
        let terms = self.terms();
        let statuses = self.send_signed(&action.to_json(), &terms, Operation::Cancel).await?;
        let canceled = match statuses.as_deref() {
            Some([wire::ItemStatus::Success]) => true,
            Some([wire::ItemStatus::Error(words)]) => {
                let error = self.client().said(words, Scope::Item, Operation::Cancel);
                if error.code.as_deref() != Some(errors::GONE) {
                    return Err(error);
                }
                false
            }
            other => return Err(self.client().unreadable(Operation::Cancel, format!("a cancel was answered with {other:?}"))),
        };
        let desk = self.desk(purpose);
        let Some(state) = desk.order(&order).await? else {
            let words = "the venue does not find the order now";
            return Err(self.error(Operation::Cancel, ErrorKind::NotFound, Effect::Unknown, words));
        };
        let mut report = desk.completed(&state).await?;
        if canceled && report.status == OrderStatus::Open {
            // The answer to the query is older than the cancel.
            report.status = OrderStatus::Canceled;
        }
        Ok(report)
    }

    async fn snapshot(&self, since: Option<Timestamp>) -> Result<AccountSnapshot, VenueError> {
        snapshot::take(self, since).await
    }

    async fn stream(&self, sink: Sink<OrderReport>) -> Result<(), VenueError> {
        stream::follow(self, sink).await
    }

    async fn examine(&self) -> Result<Vec<Finding>, VenueError> {
        examine::examine(self).await
    }
}

impl HyperliquidAccount {
    /// Terms for a request that is made and sent now.
    pub(crate) fn terms(&self) -> sign::Terms {
        sign::Terms {
            nonce: self.next_nonce(None),
            vault_address: self.vault,
            expires_after: Some(self.expiry(wall())),
            environment: self.hyperliquid.config().environment,
        }
    }
}

/// The cancel of an order by the name it has with us, and how to ask for it.
fn cancel_action(id: &ClientOrderId, asset: u32) -> Option<(Action, OrderRef)> {
    if let Some(number) = id.as_str().strip_prefix("oid:") {
        let oid = number.parse().ok()?;
        return Some((Action::Cancel { cancels: vec![CancelByOid { asset, oid }] }, OrderRef::Oid(oid)));
    }
    let cloid = Cloid::of(id).ok()?;
    Some((Action::CancelByCloid { cancels: vec![CancelByCloid { asset, cloid: cloid.clone() }] }, OrderRef::Cloid(cloid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_canceled_by_the_name_they_have() {
        let json = |id: &str| cancel_action(&id.parse().unwrap(), 159).map(|(action, _)| action.to_json());
        let ours = r#"{"type":"cancelByCloid","cancels":[{"asset":159,"cloid":"0x00000000000000000000000000000001"}]}"#;
        assert_eq!(json("00000000000000000000000000000001").as_deref(), Some(ours));
        assert_eq!(json("oid:7").as_deref(), Some(r#"{"type":"cancel","cancels":[{"a":159,"o":7}]}"#));
        assert_eq!(json("oid:x"), None);
        assert_eq!(json("zz000000000000000000000000000001"), None);
    }
}
