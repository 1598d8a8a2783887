//! What everything has gained or lost since the journal began, for each scope that has a limit on losses. Pure: prices come in.
//!
//! One pass over what is held and over the lines of money: O(positions + lines + scopes).

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use super::losses::{LossBound, scopes_of};
use super::setup::Setup;
use crate::gates::Marks;
use crate::journal::LossScope;
use crate::ledger::{CapitalKey, Position};
use crate::model::ids::{AccountId, Asset, DeploymentId, VenueSymbol};
use crate::model::number::{Amount, exact};

/// What a scope has come to, in the currency of the limits; words where something it rests on is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Worth {
    /// Realized + unrealized − fees ± funding.
    pub(super) result: Result<Amount, String>,
    /// What it began with, with what came in and went out since; looked at only where a limit is a fraction.
    pub(super) funds: Result<Amount, String>,
}

/// What each of these scopes has come to.
pub(super) fn of_all(setup: &Setup, book: &Book, marks: &Marks) -> BTreeMap<LossScope, Worth> {
    let mut sums = Sums { setup, book, totals: setup.losses.keys().map(|scope| (scope.clone(), Ok(Amount::ZERO))).collect() };
    sums.money();
    sums.held(marks);
    let funds = Funds { setup, book };
    let worth = |(scope, result)| {
        let fractional = setup.losses.get(&scope).is_some_and(|limits| limits.bounds().any(|(_, b)| matches!(b, LossBound::Fraction(_))));
        let funds = if fractional { funds.of(&scope) } else { Ok(Amount::ZERO) };
        (scope, Worth { result, funds })
    };
    sums.totals.into_iter().map(worth).collect()
}

/// What all accounts together hold at the latest prices, in the currency of the limits; `None` when a part of it is unknown. Accounts that
/// only stand in for others are no part of it.
pub(crate) fn total_equity(setup: &Setup, book: &Book, marks: &Marks) -> Option<Amount> {
    let mut sums = Sums { setup, book, totals: BTreeMap::from([(LossScope::Global, Ok(Amount::ZERO))]) };
    sums.money();
    sums.held(marks);
    let result = sums.totals.remove(&LossScope::Global)?.ok()?;
    Funds { setup, book }.of(&LossScope::Global).ok()?.plus(result).ok()
}

/// What an amount is worth in the currency of the limits.
pub(super) fn convert(setup: &Setup, amount: Amount, currency: &Asset) -> Result<Amount, String> {
    if amount.is_zero() {
        return Ok(Amount::ZERO);
    }
    let rate = setup.rates.get(currency).ok_or_else(|| format!("the configuration states no rate for {currency} (risk.rates)"))?;
    let product = exact::mul(amount.decimal(), rate.decimal()).and_then(|value| Amount::new(value).ok());
    product.ok_or_else(|| format!("{amount} {currency} has more digits than can be kept exactly in the currency of the limits"))
}

/// What an amount is worth in the currency of the limits; `None` where no rate is stated.
pub(crate) fn in_limits(setup: &Setup, amount: Amount, currency: &Asset) -> Option<Amount> {
    convert(setup, amount, currency).ok()
}

struct Sums<'a> {
    setup: &'a Setup,
    book: &'a Book,
    totals: BTreeMap<LossScope, Result<Amount, String>>,
}

impl Sums<'_> {
    fn add(&mut self, scope: &LossScope, amount: &Result<Amount, String>) {
        let Some(total) = self.totals.get_mut(scope) else { return };
        if let Ok(sum) = total {
            *total = match amount {
                Ok(amount) => sum.plus(*amount).map_err(|error| error.to_string()),
                Err(words) => Err(words.clone()),
            };
        }
    }

    fn add_to_all(&mut self, scopes: impl Iterator<Item = LossScope>, amount: &Result<Amount, String>) {
        scopes.for_each(|scope| self.add(&scope, amount));
    }

    /// The scopes of a deployment on an account. What stands in on paper is no result of the deployment.
    fn ours(&self, deployment: &DeploymentId, account: &AccountId, with_account: bool) -> Vec<LossScope> {
        let stands_in = stands_in(self.setup, deployment, account);
        let counts = |scope: &LossScope| match scope {
            LossScope::Deployment(_) | LossScope::Agent(_) => !stands_in,
            LossScope::Account(_) => with_account,
            LossScope::Global => with_account && !is_stand_in(self.setup, account),
        };
        scopes_of(deployment, self.book.owner_of(self.setup, deployment), account).filter(counts).collect()
    }

    fn whole(&self, account: &AccountId) -> Vec<LossScope> {
        let global = (!is_stand_in(self.setup, account)).then_some(LossScope::Global);
        std::iter::once(LossScope::Account(account.clone())).chain(global).collect()
    }

    /// What is booked.
    fn money(&mut self) {
        for (key, _) in self.book.ledger().capitals() {
            let booked = self.booked(key);
            let scopes = match &key.deployment {
                Some(deployment) => self.ours(deployment, &key.account, false),
                None => self.whole(&key.account),
            };
            self.add_to_all(scopes.into_iter(), &booked);
        }
        for (deployment, account, asset, fee) in self.book.ledger().other_fees() {
            let fee = convert(self.setup, -fee, asset);
            self.add_to_all(self.ours(deployment, account, true).into_iter(), &fee);
        }
    }

    fn booked(&self, key: &CapitalKey) -> Result<Amount, String> {
        let overflow = || "the result has more digits than can be kept exactly".to_owned();
        let money = self.book.ledger().money(key).ok_or_else(overflow)?;
        let net = money.realized.minus(money.fees).and_then(|net| net.plus(money.funding)).map_err(|_| overflow())?;
        convert(self.setup, net, &key.currency)
    }

    /// What is held, at the latest prices.
    fn held(&mut self, marks: &Marks) {
        for (key, position) in self.book.ledger().positions() {
            let gain = self.gain(&key.symbol, position, marks);
            self.add_to_all(self.ours(&key.deployment, &key.account, true).into_iter(), &gain);
        }
        for ((account, symbol), position) in self.book.ledger().valued() {
            let gain = self.gain(symbol, position, marks);
            self.add_to_all(self.whole(account).into_iter(), &gain);
        }
        for (account, symbol) in self.book.ledger().unvalued() {
            let held = self.book.ledger().external_quantity(account, symbol).unwrap_or_default();
            if !held.is_zero() {
                let words = Err(format!("{account} holds {held} {symbol} that is not ours, of which it is not known what it cost"));
                self.add_to_all(self.whole(account).into_iter(), &words);
            }
        }
    }

    fn gain(&self, symbol: &VenueSymbol, position: &Position, marks: &Marks) -> Result<Amount, String> {
        if position.quantity().is_zero() {
            return Ok(Amount::ZERO);
        }
        let venue = position.venue();
        let mark =
            marks.get(&(venue.clone(), symbol.clone())).ok_or_else(|| format!("{venue} has no price for {symbol}, which is held"))?;
        let gain = position.unrealized(*mark).map_err(|error| error.to_string())?;
        convert(self.setup, gain, &position.terms().settle)
    }
}

/// Whether an account only stands in for another one of this deployment's.
fn stands_in(setup: &Setup, deployment: &DeploymentId, account: &AccountId) -> bool {
    setup.deployments.get(deployment).is_some_and(|setup| {
        setup.accounts.iter().any(|share| share.fallback.as_ref() == Some(account)) && !setup.accounts.iter().any(|s| s.account == *account)
    })
}

/// Whether an account only ever stands in: what is won or lost there is paper beside what is real.
fn is_stand_in(setup: &Setup, account: &AccountId) -> bool {
    let mut shares = setup.deployments.values().flat_map(|deployment| &deployment.accounts);
    let trades = setup.deployments.values().flat_map(|deployment| &deployment.accounts).any(|share| share.account == *account);
    !trades && shares.any(|share| share.fallback.as_ref() == Some(account))
}

struct Funds<'a> {
    setup: &'a Setup,
    book: &'a Book,
}

impl Funds<'_> {
    fn of(&self, scope: &LossScope) -> Result<Amount, String> {
        match scope {
            LossScope::Global => {
                let real = self.setup.accounts.keys().filter(|account| !is_stand_in(self.setup, account));
                total(real.map(|account| self.account(account)))
            }
            LossScope::Account(account) => self.account(account),
            LossScope::Agent(agent) => self.shares(|_, of| of == Some(agent)),
            LossScope::Deployment(deployment) => self.shares(|id, _| id == deployment),
        }
    }

    /// What deployments may use: an account counts once where one of them may use all of it.
    fn shares(&self, of: impl Fn(&DeploymentId, Option<&crate::model::ids::AgentId>) -> bool) -> Result<Amount, String> {
        let deployments = self.setup.deployments.iter().filter(|(id, setup)| of(id, Some(&setup.agent)));
        let shares: Vec<_> = deployments.flat_map(|(_, setup)| &setup.accounts).collect();
        let accounts: BTreeSet<&AccountId> = shares.iter().map(|share| &share.account).collect();
        let means = |account: &AccountId| {
            let mut there = shares.iter().filter(|share| share.account == *account);
            if there.clone().any(|share| share.allocation.is_none()) {
                return self.account(account);
            }
            there.try_fold(Amount::ZERO, |sum, share| {
                let allocation = share.allocation.map(|allocation| allocation.amount()).unwrap_or_default();
                sum.plus(self.allocation(account, allocation)?).map_err(|error| error.to_string())
            })
        };
        total(accounts.into_iter().map(means))
    }

    fn account(&self, account: &AccountId) -> Result<Amount, String> {
        let ledger = self.book.ledger();
        if !ledger.is_funded(account) {
            return Err(format!("it is not known yet what {account} holds"));
        }
        let in_limits = |currency: &Asset| {
            let funds = ledger.funds(account, currency).ok_or_else(|| format!("what {account} holds of {currency} does not fit"))?;
            convert(self.setup, funds, currency)
        };
        total(ledger.currencies(account).into_iter().map(in_limits))
    }

    /// An allocation is in the settlement currency; where the account has several, in the one that is worth least.
    fn allocation(&self, account: &AccountId, amount: Amount) -> Result<Amount, String> {
        let currencies = self.book.ledger().currencies(account);
        let rated = currencies.into_iter().filter(|currency| self.setup.rates.contains_key(*currency));
        let least = rated.map(|currency| convert(self.setup, amount, currency)).collect::<Result<Vec<_>, _>>()?.into_iter().min();
        least.ok_or_else(|| format!("it is not known yet which currency {account} holds"))
    }
}

fn total(parts: impl Iterator<Item = Result<Amount, String>>) -> Result<Amount, String> {
    let mut sum = Amount::ZERO;
    for part in parts {
        sum = sum.plus(part?).map_err(|error| error.to_string())?;
    }
    Ok(sum)
}
