//! The venue's budget of actions per account: 10 000 and one more for every USDC traded. Source: "Rate limits", read 2026-11.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use omnivenue_core::venue::{Effect, ErrorKind, Operation, VenueError};
use omnivenue_kit::clock::Monotonic;
use omnivenue_kit::sign::Address;

use crate::errors::{self, BUDGET_PAUSE};
use crate::rest::{Client, Purpose};
use crate::wire;

/// What entries leave to exits, which count against the same budget.
const RESERVED: u64 = 100;
/// How long what the venue told is relied on, with our own count on top. Snapshots ask again, so that no order waits for it.
const TOLD_FOR: Duration = Duration::from_secs(120);
/// How long it is relied on when there is nothing left: trading adds to it.
const EMPTY_FOR: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
struct Budget {
    used: u64,
    cap: u64,
    told: Monotonic,
}

/// The budgets of all accounts of this process; logins of one account share one.
#[derive(Debug, Default)]
pub(crate) struct Budgets(Mutex<BTreeMap<Address, Budget>>);

impl Budgets {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Address, Budget>> {
        // Each change is one call of the map or of an entry.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts actions that were sent.
    pub(crate) fn spend(&self, user: Address, actions: u64) {
        if let Some(budget) = self.lock().get_mut(&user) {
            budget.used = budget.used.saturating_add(actions);
        }
    }

    /// The venue has refused one for it.
    pub(crate) fn exhausted(&self, user: Address) {
        if let Some(budget) = self.lock().get_mut(&user) {
            budget.used = budget.used.max(budget.cap);
        }
    }

    fn tell(&self, user: Address, limit: &wire::UserRateLimit) {
        let budget = Budget { used: limit.n_requests_used, cap: limit.n_requests_cap, told: Monotonic::now() };
        self.lock().insert(user, budget);
    }

    fn get(&self, user: Address) -> Option<Budget> {
        self.lock().get(&user).copied()
    }

    /// Asks the venue, unless what it told is still good. Weight 20.
    ///
    /// # Errors
    /// Those of the question.
    pub(crate) async fn refresh(&self, client: &Client, user: Address, purpose: Purpose) -> Result<(), VenueError> {
        let good = |budget: Budget| {
            let age = Monotonic::now().since(budget.told);
            age < if budget.left() > RESERVED { TOLD_FOR } else { EMPTY_FOR }
        };
        if !self.get(user).is_some_and(good) {
            self.tell(user, &client.rate_limit(user, purpose).await?);
        }
        Ok(())
    }

    /// Whether an entry of so many orders should ask again before it is refused.
    pub(crate) fn is_low(&self, user: Address, orders: u64) -> bool {
        self.get(user).is_some_and(|budget| budget.left() < RESERVED.saturating_add(orders))
    }

    /// Whether there is room for one more entry of so many orders. What is not known is no reason to refuse.
    ///
    /// # Errors
    /// [`ErrorKind::RateLimited`], not sent, when what is left belongs to exits.
    pub(crate) fn admit(&self, client: &Client, user: Address, orders: u64) -> Result<(), VenueError> {
        match self.get(user).filter(|budget| budget.left() < RESERVED.saturating_add(orders)) {
            None => Ok(()),
            Some(Budget { used, cap, .. }) => {
                let words =
                    format!("{used} of the account's {cap} requests are used; what is left is for exits. It grows with what is traded");
                let mut error = client.error(Operation::Ready, ErrorKind::RateLimited, Effect::NotSent, words).with_code(errors::BUDGET);
                error.retry_after = Some(BUDGET_PAUSE);
                Err(error)
            }
        }
    }
}

impl Budget {
    const fn left(&self) -> u64 {
        self.cap.saturating_sub(self.used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};

    #[test]
    fn the_last_part_of_a_budget_is_for_exits() {
        let client = Client::new(&Config::new(Environment::Testnet)).unwrap();
        let (budgets, user) = (Budgets::default(), Address::new([1; 20]));
        assert!(budgets.admit(&client, user, 1).is_ok(), "not known yet");
        budgets.tell(user, &wire::UserRateLimit { n_requests_used: 9_000, n_requests_cap: 10_000 });
        budgets.spend(user, 1_000 - RESERVED - 1);
        assert!(budgets.admit(&client, user, 1).is_ok());
        assert!(budgets.admit(&client, user, 2).is_err() && budgets.is_low(user, 2), "an entry with a stop is two actions");
        budgets.spend(user, 1);
        let error = budgets.admit(&client, user, 1).unwrap_err();
        assert_eq!((error.kind, error.effect, error.retry_after), (ErrorKind::RateLimited, Effect::NotSent, Some(BUDGET_PAUSE)));
        assert!(budgets.admit(&client, Address::new([2; 20]), 1).is_ok(), "each account has its own");
        budgets.exhausted(user);
        assert_eq!(budgets.get(user).unwrap().left(), 0);
    }
}
