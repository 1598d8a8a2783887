//! The equity that fractions are of, in the currency of the limits.
//!
//! A deployment's on an account is its allocation and its results there, or the account's where it has no allocation. An agent's is that of its
//! deployments together, an account that several of them use as a whole counted once; that of everything is all accounts' that a deployment
//! trades on. What cannot be known, since a price or a cost is missing, is no equity: a limit that depends on it refuses.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use super::{Candidate, View, overflow};
use crate::executor::{AccountShare, DeploymentSetup};
use crate::ledger::{CapitalKey, Level, Scope};
use crate::model::execution::Reason;
use crate::model::ids::{AccountId, Asset, DeploymentId};
use crate::model::number::{Amount, Fraction, Notional, exact};
use crate::model::signal::Direction;

/// The equity that a fraction of a trade is of: of a deployment, that on the candidate's account.
///
/// # Errors
/// `equity_unknown`, or an amount that does not fit.
pub(super) fn equity_for(level: &Level, candidate: &Candidate<'_>, view: View<'_>) -> Result<Amount, Reason> {
    match level {
        Level::Deployment(id) => deployment(id, std::slice::from_ref(candidate.share), candidate, view, &mut BTreeSet::new()),
        _ => equity(level, candidate, view),
    }
}

/// All equity at a level. O(instruments and accounts in it).
///
/// # Errors
/// `equity_unknown`, or an amount that does not fit.
pub(super) fn equity(level: &Level, candidate: &Candidate<'_>, view: View<'_>) -> Result<Amount, Reason> {
    let mut whole = BTreeSet::new();
    let sum = |all: Amount, more: Amount| all.plus(more).map_err(overflow);
    let of = |id: &DeploymentId, setup: &DeploymentSetup, whole: &mut BTreeSet<AccountId>| {
        deployment(id, &setup.accounts, candidate, view, whole)
    };
    match level {
        Level::Deployment(id) => of(id, candidate.deployment_setup, &mut whole),
        Level::Account(id) => account(id, view),
        Level::Agent(agent) => {
            let mut deployments = view.setup.deployments.iter().filter(|(_, setup)| setup.agent == *agent);
            deployments.try_fold(Amount::ZERO, |all, (id, setup)| sum(all, of(id, setup, &mut whole)?))
        }
        Level::Global => {
            let traded: BTreeSet<&AccountId> =
                view.setup.deployments.values().flat_map(|setup| &setup.accounts).map(|share| &share.account).collect();
            traded.into_iter().try_fold(Amount::ZERO, |all, id| sum(all, account(id, view)?))
        }
    }
}

/// A fraction of the equity, rounded down; nothing of what is below zero.
pub(super) fn part(equity: Amount, fraction: Fraction) -> Result<Notional, Reason> {
    let whole = equity.decimal().max(Decimal::ZERO).trunc_with_scale(8);
    let share = exact::mul(whole, fraction.decimal()).and_then(|share| Notional::new(share).ok());
    share.ok_or_else(|| Reason::new("overflow", format!("{fraction} of {equity} has more digits than can be kept exactly")))
}

fn unknown(whose: &str, why: &str) -> Reason {
    Reason::new("equity_unknown", format!("the equity of {whose} is not known, {why}; no limit can be a fraction of it"))
}

/// What a deployment has on these accounts. Accounts that it may use as a whole are noted, and count once.
fn deployment(
    id: &DeploymentId,
    shares: &[AccountShare],
    candidate: &Candidate<'_>,
    view: View<'_>,
    whole: &mut BTreeSet<AccountId>,
) -> Result<Amount, Reason> {
    let mut sum = Amount::ZERO;
    for share in shares {
        let Some(allocation) = share.allocation else {
            if whole.insert(share.account.clone()) {
                sum = sum.plus(account(&share.account, view)?).map_err(overflow)?;
            }
            continue;
        };
        let settle = settle_of(&share.account, candidate, view);
        let rate = settle.and_then(|settle| view.setup.rates.get(settle));
        let rate = rate.ok_or_else(|| unknown(&format!("{id} on {}", share.account), "no rate of its currency is stated"))?;
        let more = allocation.times(*rate).map_err(overflow)?.amount().plus(results(Some(id), &share.account, view)?);
        sum = sum.plus(more.map_err(overflow)?).map_err(overflow)?;
        sum = sum.plus(unrealized_of(id, &share.account, view)?).map_err(overflow)?;
    }
    Ok(sum)
}

/// What a deployment has gained on an account by prices that are not booked yet. O(positions of the deployment there).
fn unrealized_of(id: &DeploymentId, account: &AccountId, view: View<'_>) -> Result<Amount, Reason> {
    let mut sum = Amount::ZERO;
    for (symbol, position) in view.book.ledger().positions_of(id, account) {
        let rate = view.setup.rates.get(&position.terms().settle);
        let (Some(mark), Some(rate)) = (view.mark(position.venue(), symbol), rate) else {
            return Err(unknown(&format!("{id} on {account}"), &format!("there is no price of {symbol}")));
        };
        let gained = position.unrealized(mark).map_err(overflow)?;
        sum = sum.plus(times(gained, rate.decimal())?).map_err(overflow)?;
    }
    Ok(sum)
}

/// What an account has, with all deployments on it and what is not ours.
fn account(id: &AccountId, view: View<'_>) -> Result<Amount, Reason> {
    let ledger = view.book.ledger();
    let whose = format!("account {id}");
    if ledger.is_unvalued(id) {
        return Err(unknown(&whose, "it holds or held something of unknown cost"));
    }
    let mut sum = results(None, id, view)?;
    for (currency, rate) in &view.setup.rates {
        let means = ledger.means(id, currency).map_err(overflow)?;
        sum = sum.plus(times(means, rate.decimal())?).map_err(overflow)?;
    }
    let no_price = || unknown(&whose, "there is no price of something that it holds");
    for direction in [Direction::Long, Direction::Short] {
        let Some(exposure) = ledger.exposure(&Scope::toward(Level::Account(id.clone()), direction)) else { continue };
        let gained = exposure.unrealized(direction, |venue, symbol| view.mark(venue, symbol), |asset| view.setup.rates.get(asset).copied());
        sum = sum.plus(gained.map_err(overflow)?.ok_or_else(no_price)?).map_err(overflow)?;
    }
    for (symbol, position) in ledger.foreign(id).filter(|(_, position)| !position.quantity().is_zero()) {
        let rate = view.setup.rates.get(&position.terms().settle);
        let (Some(mark), Some(rate)) = (view.mark(position.venue(), symbol), rate) else { return Err(no_price()) };
        sum = sum.plus(times(position.unrealized(mark).map_err(overflow)?, rate.decimal())?).map_err(overflow)?;
    }
    Ok(sum)
}

/// Booked gains less fees, with funding: of a deployment on an account, or of all of them there.
fn results(deployment: Option<&DeploymentId>, account: &AccountId, view: View<'_>) -> Result<Amount, Reason> {
    view.setup.rates.iter().try_fold(Amount::ZERO, |sum, (currency, rate)| {
        let key = CapitalKey { account: account.clone(), deployment: deployment.cloned(), currency: currency.clone() };
        let capital = view.book.ledger().capital(&key);
        let result = capital.realized.minus(capital.fees).and_then(|sum| sum.plus(capital.funding)).map_err(overflow)?;
        sum.plus(times(result, rate.decimal())?).map_err(overflow)
    })
}

/// An amount in the currency of the limits.
fn times(amount: Amount, rate: Decimal) -> Result<Amount, Reason> {
    let product = exact::mul(amount.decimal(), rate).and_then(|product| Amount::new(product).ok());
    product.ok_or_else(|| Reason::new("overflow", format!("{amount} × {rate} has more digits than can be kept exactly")))
}

/// The currency that an account is allocated in: what its instruments settle in.
fn settle_of<'a>(account: &AccountId, candidate: &Candidate<'a>, view: View<'a>) -> Option<&'a Asset> {
    if account == candidate.account() {
        return Some(&candidate.instrument.settle);
    }
    let setup = view.setup.accounts.get(account)?;
    let trades = |market| setup.market.is_none_or(|only| only == market);
    let instruments = view.setup.venues.get(&setup.venue)?.instruments.values();
    instruments.into_iter().find(|instrument| trades(instrument.market)).map(|instrument| &instrument.settle)
}
