//! What follows when an account's truth and ours differ and nothing explains it, or when somebody else closed what is ours: the policy of
//! the account, and a person's word.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::setup::DriftPolicy;
use super::sharing::shrink;
use super::step::{CommandError, Effect, Step, Token};
use crate::journal::{AdjustmentKind, Event, PriceSource, Share};
use crate::ledger::{CapitalKey, PositionKey};
use crate::model::close::Lot;
use crate::model::execution::Reason;
use crate::model::ids::{AccountId, AdjustmentId, Asset, DeploymentId, VenueSymbol};
use crate::model::number::{Amount, NumberError, Price, SignedQuantity, exact};
use crate::model::order::{Balance, NetPosition};
use crate::venue::AccountSnapshot;

/// A difference between the venue's truth and ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) at_venue: SignedQuantity,
    pub(super) ours: SignedQuantity,
    /// Whether it was seen twice in a row: a snapshot may cross a fill on its way.
    pub(super) is_certain: bool,
}

/// What a venue last said an account holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Truth {
    positions: Vec<NetPosition>,
    balances: Vec<Balance>,
    at: crate::model::time::Timestamp,
}

impl Truth {
    /// When, by the venue's clock.
    pub(super) const fn at(&self) -> crate::model::time::Timestamp {
        self.at
    }
}

impl From<&AccountSnapshot> for Truth {
    fn from(snapshot: &AccountSnapshot) -> Self {
        Self { positions: snapshot.positions.clone(), balances: snapshot.balances.clone(), at: snapshot.at }
    }
}

impl Step<'_> {
    fn policy(&self, account: &AccountId) -> DriftPolicy {
        self.setup.accounts.get(account).map_or(DriftPolicy::default(), |account| account.drift)
    }

    /// A difference was seen twice.
    pub(super) fn settle_drift(&mut self, account: &AccountId, symbol: &VenueSymbol, found: Difference, words: &str) {
        let why = format!("{words}; nothing explains the difference");
        let policy = self.policy(account);
        if policy != DriftPolicy::Adopt {
            self.halt(account, Reason::new("drift", why.clone()));
        }
        if policy != DriftPolicy::HaltEntries {
            self.adopt_difference(account, symbol, found, &why);
            self.cover(account, symbol, None, &why);
        }
        if policy == DriftPolicy::Flatten {
            self.flatten(account, symbol, &why);
        }
    }

    /// Somebody else traded: as far as they closed what is ours, the policy decides.
    pub(super) fn check_cover(&mut self, account: &AccountId, symbol: &VenueSymbol, price: Option<(Price, PriceSource)>) {
        let Some(missing) = self.uncovered(account, symbol) else { return };
        let why = format!("somebody else closed {missing} {symbol} of ours on {account}");
        let policy = self.policy(account);
        if policy != DriftPolicy::Adopt {
            self.halt(account, Reason::new("drift", format!("{why}; our closes take no more than the venue still holds")));
        }
        if policy != DriftPolicy::HaltEntries {
            self.cover(account, symbol, price, &why);
        }
        if policy == DriftPolicy::Flatten {
            self.flatten(account, symbol, &why);
        }
    }

    /// How much of what is ours the venue no longer holds, because what is not ours is opposite to it.
    fn uncovered(&self, account: &AccountId, symbol: &VenueSymbol) -> Option<crate::model::number::Quantity> {
        let ours = self.book.ledger().net_quantity(account, symbol);
        let external = self.book.ledger().external_quantity(account, symbol).unwrap_or_default();
        let opposite = (ours.is_long() && external.is_short()) || (ours.is_short() && external.is_long());
        opposite.then(|| ours.magnitude().min(external.magnitude()))
    }

    /// What the venue no longer holds of ours is no longer ours: shared over our positions in proportion, at the price of the trade that closed
    /// it, else at the mark. Without a price it stays as it is.
    fn cover(&mut self, account: &AccountId, symbol: &VenueSymbol, price: Option<(Price, PriceSource)>, why: &str) {
        let Some(missing) = self.uncovered(account, symbol) else { return };
        let price = price.or_else(|| self.mark(account, symbol).map(|price| (price, PriceSource::Mark)));
        let id = self.own_id("netted", symbol);
        let (Some(price), Some(adjustment)) = (price, self.adjustment(account, id, AdjustmentKind::Netted, Some(symbol))) else { return };
        let ours: Vec<_> = self.holders(account, symbol).into_iter().filter(|(deployment, _)| deployment.is_some()).collect();
        let held: Vec<Decimal> = ours.iter().map(|(_, held)| held.decimal()).collect();
        let lot = self.instrument_on(account, symbol).map_or(Decimal::new(1, 8), |instrument| instrument.lot_size.decimal());
        let rounded = adjustment.terms.clone().filter(|terms| !terms.contract.is_linear());
        let share = || -> Result<Vec<Share>, NumberError> {
            let (changes, _) = shrink(missing.decimal(), &held, lot)?;
            let mut shares = Vec::new();
            let (mut sum, mut worth) = (SignedQuantity::ZERO, Amount::ZERO);
            for ((whose, _), change) in ours.iter().zip(changes) {
                let change = SignedQuantity::new(change)?;
                sum = sum.plus(change)?;
                if !change.is_zero() {
                    let value = rounded.as_ref().map(|terms| terms.value(change, price.0)).transpose()?;
                    worth = worth.plus(value.unwrap_or_default())?;
                    shares.push(Share { value, ..Share::traded(whose.clone(), change, Amount::ZERO) });
                }
            }
            // No money moves: what one side is worth, the other is.
            let value = rounded.as_ref().map(|_| -worth);
            shares.push(Share { value, ..Share::traded(None, SignedQuantity::ZERO.minus(sum)?, Amount::ZERO) });
            Ok(shares)
        };
        let Ok(shares) = share() else { return };
        let hit: Vec<DeploymentId> = shares.iter().filter_map(|share| share.deployment.clone()).collect();
        self.emit(Event::Adjusted(crate::journal::Adjustment { price: Some(price), shares, reason: why.to_owned(), ..adjustment }));
        self.look_after_all(account, symbol, hit);
    }

    /// Has our positions in an instrument closed.
    fn flatten(&mut self, account: &AccountId, symbol: &VenueSymbol, why: &str) {
        let keys: Vec<PositionKey> = self.book.ledger().positions_on(account, symbol).map(|(key, _)| key.clone()).collect();
        let lots: Vec<Lot> = keys.iter().map(PositionKey::whole).collect();
        lots.into_iter().for_each(|lot| self.must_close(lot, Reason::new("drift", why)));
    }

    /// Books a difference as not ours, at the mark; and what money then differs by, where the venue tells what everything cost.
    fn adopt_difference(&mut self, account: &AccountId, symbol: &VenueSymbol, found: Difference, why: &str) {
        let now = self.book.ledger().venue_quantity(account, symbol);
        let (Ok(now), Ok(quantity)) = (now, found.at_venue.minus(found.ours)) else { return };
        if now != found.ours || quantity.is_zero() {
            return;
        }
        let id = self.own_id("adopted", symbol);
        let Some(mut adjustment) = self.adjustment(account, id, AdjustmentKind::Adopted, Some(symbol)) else { return };
        adjustment.price = self.mark(account, symbol).map(|price| (price, PriceSource::Mark));
        adjustment.shares = vec![Share::traded(None, quantity, Amount::ZERO)];
        adjustment.reason = why.to_owned();
        let settle = adjustment.terms.as_ref().map(|terms| terms.settle.clone());
        self.emit(Event::Adjusted(adjustment));
        if let Some(asset) = settle {
            self.adopt_money(account, symbol, &asset, why);
        }
    }

    /// After a difference was adopted, its money: what the venue's balance, less what everything cost, differs by from ours.
    fn adopt_money(&mut self, account: &AccountId, symbol: &VenueSymbol, asset: &Asset, why: &str) {
        let Some(amount) = self.unexplained_money(account, asset).filter(|amount| !amount.is_zero()) else { return };
        let id = self.own_id("adopted", symbol);
        let Some(mut adjustment) = self.adjustment(account, id, AdjustmentKind::Adopted, None) else { return };
        adjustment.asset = Some(asset.clone());
        adjustment.shares = vec![Share::paid(None, amount)];
        adjustment.reason = format!("{why}; the balance says what it was worth");
        self.emit(Event::Adjusted(adjustment));
    }

    /// How much money the venue says there is beyond what our books explain; `None` where it does not tell enough, or holds something else than
    /// our books say.
    fn unexplained_money(&self, account: &AccountId, asset: &Asset) -> Option<Amount> {
        let truth = self.live.accounts.get(account)?.truth.as_ref()?;
        let ledger = self.book.ledger();
        if self.book.seen(account).is_some_and(|seen| seen > truth.at) || ledger.is_unvalued(account) {
            return None;
        }
        let mut theirs = truth.balances.iter().find(|balance| balance.asset == *asset)?.total;
        let mut held: BTreeMap<&VenueSymbol, SignedQuantity> = BTreeMap::new();
        for position in &truth.positions {
            if self.terms(account, &position.symbol)?.settle == *asset {
                theirs = theirs.minus(position.cost?).ok()?;
                held.insert(&position.symbol, position.quantity);
            }
        }
        let key = CapitalKey { account: account.clone(), deployment: None, currency: asset.clone() };
        let mut ours = ledger.equity(&key, ledger.funds(account, asset), Some(Amount::ZERO))?;
        let positions = ledger.positions().filter(|(key, _)| key.account == *account).map(|(key, position)| (&key.symbol, position));
        for (symbol, position) in positions.chain(ledger.foreign(account)).filter(|(_, position)| position.terms().settle == *asset) {
            ours = ours.minus(position.cost()).ok()?;
            let left = held.entry(symbol).or_default();
            *left = left.minus(position.quantity()).ok()?;
        }
        if held.values().any(|left| !left.is_zero()) {
            return None;
        }
        exact::sub(theirs.decimal(), ours.decimal()).and_then(|amount| Amount::new(amount).ok())
    }

    fn own_id(&self, what: &str, symbol: &VenueSymbol) -> AdjustmentId {
        format!("{what}:{symbol}:{}", self.book.adjusted() + 1).parse().expect("words, a symbol and a number are a valid name")
    }

    /// A person takes the venue's truth for ours: every present difference is booked as not ours, what is no longer held of ours is given up,
    /// and the halt is lifted.
    pub(super) fn adopt(&mut self, account: &AccountId, reason: &str, token: Token) {
        let refused = |words: String| Effect::Rejected { token, error: CommandError::NotFound(words) };
        if reason.trim().is_empty() {
            return self.effect(refused("a reason is needed: it is journaled with what is adopted".into()));
        }
        let Some(live) = self.live.accounts.get(account) else { return self.effect(refused(format!("there is no account {account}"))) };
        if live.truth.is_none() {
            return self.effect(refused(format!("{account} has not been compared with its venue yet")));
        }
        let found: Vec<(VenueSymbol, Difference)> =
            live.suspicion.iter().filter(|(_, found)| found.is_certain).map(|(place, found)| (place.symbol.clone(), *found)).collect();
        let outdated = |(symbol, found): &&(VenueSymbol, Difference)| {
            !self.book.is_moving(account, symbol) && self.book.ledger().venue_quantity(account, symbol) != Ok(found.ours)
        };
        if let Some((symbol, _)) = found.iter().find(outdated) {
            return self.effect(refused(format!("our books of {symbol} have changed since {account} was compared; compare it once more")));
        }
        let why = format!("adopted by a person: {reason}");
        for (symbol, difference) in found {
            if !self.book.is_moving(account, &symbol) {
                self.adopt_difference(account, &symbol, difference, &why);
            }
        }
        let mut symbols: Vec<VenueSymbol> = self.book.ledger().instruments_of(account).cloned().collect();
        symbols.dedup();
        // A close that is on its way there may be the very difference: it is known soon.
        symbols.retain(|symbol| self.book.closing(account, symbol).is_none());
        symbols.iter().for_each(|symbol| self.cover(account, symbol, None, &why));
        if let Some(live) = self.live.accounts.get_mut(account) {
            live.suspicion.clear();
        }
        if self.book.halt(account).is_some() {
            self.emit(Event::Unhalted { account: account.clone(), reason: why });
        }
        self.effect(Effect::Done { token });
    }
}
