//! What the venue can do beyond the engine's trait.
//!
//! None of this is journaled, none of it is repeated. An error with [`Effect::Unknown`] may have taken effect: ask before doing it again.

use omnivenue_core::venue::{Effect, ErrorKind, Operation, VenueError};
use omnivenue_kit::permits::Use;
use omnivenue_kit::sign::Address;

use crate::account::HyperliquidAccount;
use crate::action::{Action, CancelByCloid, CancelByOid, Modify, Order};
use crate::rest::{Purpose, envelope, weight_of};
use crate::user_action::UserAction;
use crate::{sign, wire};

/// How many orders, cancels or replacements one request may have here: enough for any use, and a bound on what one error can concern.
pub const BATCH_MAX: usize = 100;

impl HyperliquidAccount {
    /// Signs an action under a fresh nonce and sends it once; one outcome per item, in their order; an empty list where the venue tells none.
    ///
    /// # Errors
    /// The venue's refusal of the request as a whole, which is then that of every item; [`ErrorKind::InvalidRequest`], not sent, for an action
    /// without items or with more than [`BATCH_MAX`].
    pub async fn act(&self, action: &Action) -> Result<Vec<wire::ItemStatus>, VenueError> {
        let operation = operation_of(action);
        if action.count() == 0 || action.count() > BATCH_MAX {
            let words = format!("a request has {} items, but must have 1 to {BATCH_MAX}", action.count());
            return Err(self.error(operation, ErrorKind::InvalidRequest, Effect::NotSent, words));
        }
        self.client().permit(weight_of(action.count()), Purpose { operation, usage: use_of(action) }).await?;
        let more = u64::try_from(action.count() - 1).unwrap_or(u64::MAX);
        self.hyperliquid().budgets().spend(self.user(), more);
        let statuses = self.send_signed(&action.to_json(), &self.terms(), operation).await?.unwrap_or_default();
        Ok(for_all(statuses, action.count()))
    }

    /// Places orders that have nothing to do with one another, in one request.
    ///
    /// # Errors
    /// As [`HyperliquidAccount::act`]; a refusal of one item is in its outcome.
    pub async fn place_batch(&self, orders: Vec<Order>) -> Result<Vec<wire::ItemStatus>, VenueError> {
        self.act(&Action::orders(orders)).await
    }

    /// Places an entry with the triggers that guard it: they wake when it fills and go when it goes.
    ///
    /// # Errors
    /// As [`HyperliquidAccount::act`].
    pub async fn place_bracket(&self, entry: Order, exits: Vec<Order>) -> Result<Vec<wire::ItemStatus>, VenueError> {
        self.act(&Action::bracket(entry, exits)).await
    }

    /// Places triggers that follow the size of the position they close; their own size is `0`.
    ///
    /// # Errors
    /// As [`HyperliquidAccount::act`].
    pub async fn place_position_exits(&self, exits: Vec<Order>) -> Result<Vec<wire::ItemStatus>, VenueError> {
        self.act(&Action::position_exits(exits)).await
    }

    /// Replaces resting orders; each replacement has another number.
    ///
    /// # Errors
    /// As [`HyperliquidAccount::act`].
    pub async fn modify(&self, modifies: Vec<Modify>) -> Result<Vec<wire::ItemStatus>, VenueError> {
        self.act(&Action::BatchModify { modifies }).await
    }

    /// Cancels orders by the venue's number.
    ///
    /// # Errors
    /// As [`HyperliquidAccount::act`].
    pub async fn cancel_by_oid(&self, cancels: Vec<CancelByOid>) -> Result<Vec<wire::ItemStatus>, VenueError> {
        self.act(&Action::Cancel { cancels }).await
    }

    /// Cancels orders by our name.
    ///
    /// # Errors
    /// As [`HyperliquidAccount::act`].
    pub async fn cancel_by_cloid(&self, cancels: Vec<CancelByCloid>) -> Result<Vec<wire::ItemStatus>, VenueError> {
        self.act(&Action::CancelByCloid { cancels }).await
    }

    /// Has the venue cancel *everything* of the account at an instant of its clock (milliseconds), protective orders included, unless it is told
    /// otherwise before; `None` takes it back.
    ///
    /// # Errors
    /// As [`HyperliquidAccount::act`].
    pub async fn schedule_cancel(&self, time: Option<u64>) -> Result<(), VenueError> {
        self.act(&Action::ScheduleCancel { time }).await.map(drop)
    }

    /// Sets the leverage of a coin. The engine sets it itself before an entry.
    ///
    /// # Errors
    /// As [`HyperliquidAccount::act`].
    pub async fn update_leverage(&self, asset: u32, is_cross: bool, leverage: u32) -> Result<(), VenueError> {
        self.act(&Action::UpdateLeverage { asset, is_cross, leverage }).await.map(drop)
    }

    /// Moves margin into (positive) or out of (negative) an isolated position, in millionths of a USD.
    ///
    /// # Errors
    /// As [`HyperliquidAccount::act`].
    pub async fn update_isolated_margin(&self, asset: u32, millionths: i64) -> Result<(), VenueError> {
        self.act(&Action::UpdateIsolatedMargin { asset, is_buy: true, ntli: millionths }).await.map(drop)
    }

    /// Lets another key trade for the account. Only the account's own key can; `name` may end in ` valid_until <ms>`. The address should never
    /// have been an agent before: the venue may have forgotten its nonces, so that its old requests could be sent again.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthorized`], not sent, when this account signs with an agent's key; the venue's refusals.
    pub async fn approve_agent(&self, agent: Address, name: &str) -> Result<(), VenueError> {
        let operation = Operation::Ready;
        if self.signer() != self.master() {
            let words = "an agent cannot approve another agent; sign with the account's own key";
            return Err(self.error(operation, ErrorKind::Unauthorized, Effect::NotSent, words));
        }
        let environment = self.hyperliquid().config().environment;
        let nonce = self.next_nonce(None);
        let action = UserAction::ApproveAgent { agent_address: agent.to_string(), agent_name: name.to_owned(), nonce };
        let signature = action
            .sign(self.key(), environment)
            .map_err(|error| self.error(operation, ErrorKind::InvalidRequest, Effect::NotSent, error.to_string()))?;
        let terms = sign::Terms { nonce, vault_address: None, expires_after: None, environment };
        self.client().permit(1, Purpose { operation, usage: Use::Entry }).await?;
        self.client().exchange(envelope(&action.to_json(environment).to_string(), &signature, &terms), operation).await.map(drop)
    }
}

/// A fault in the text of one item is answered once, and is the answer to all of them.
fn for_all(statuses: Vec<wire::ItemStatus>, count: usize) -> Vec<wire::ItemStatus> {
    match &statuses[..] {
        [error @ wire::ItemStatus::Error(_)] => vec![error.clone(); count],
        _ => statuses,
    }
}

const fn operation_of(action: &Action) -> Operation {
    match action {
        Action::Order { .. } | Action::BatchModify { .. } | Action::Noop => Operation::Place,
        Action::Cancel { .. } | Action::CancelByCloid { .. } | Action::ScheduleCancel { .. } => Operation::Cancel,
        _ => Operation::Ready,
    }
}

fn use_of(action: &Action) -> Use {
    match action {
        Action::Order { orders, .. } if orders.iter().all(|order| order.reduce_only) => Use::Exit,
        Action::Order { .. } | Action::BatchModify { .. } => Use::Entry,
        _ => Use::Exit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_error_for_many_is_the_error_of_each() {
        let error = wire::ItemStatus::Error("Order has invalid price.".into());
        let resting = wire::ItemStatus::Resting { oid: 1 };
        assert_eq!(for_all(vec![error.clone()], 3), vec![error.clone(); 3]);
        assert_eq!(for_all(vec![resting.clone(), error.clone()], 2), [resting, error]);
    }
}
