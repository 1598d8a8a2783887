//! What happens on an account that is not ours: positions of others, money that comes and goes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::position::{Position, Trade};
use super::{AccountSymbol, Capital, CapitalKey, Ledger, Owner, PositionKey};
use crate::journal::{Adjustment, Basis, Share, Terms};
use crate::model::ids::{AccountId, Asset, SignalId, VenueId, VenueSymbol};
use crate::model::instrument::Side;
use crate::model::number::{Amount, Leverage, NumberError, Price, SignedQuantity};
use crate::model::order::Fee;

/// Money of an account in one currency that no deployment has: what came in and went out since it was first seen, and the results of what is
/// not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outside {
    /// Deposits less withdrawals, transfers included.
    pub moved: Amount,
    /// Gains and losses of what is not ours, and what else the account got or paid.
    pub realized: Amount,
    /// Fees of trades that are not ours.
    pub fees: Amount,
    /// Funding of what is not ours; positive was received.
    pub funding: Amount,
}

impl Outside {
    /// Realized − fees + funding.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the sum does not fit.
    pub fn result(&self) -> Result<Amount, NumberError> {
        self.realized.minus(self.fees)?.plus(self.funding)
    }
}

fn nobody() -> SignalId {
    "external".parse().expect("a word is a valid signal id")
}

impl Ledger {
    /// Books what is not ours as first seen or as a person settled it.
    pub(crate) fn set_external(&mut self, account: &AccountId, symbol: &VenueSymbol, quantity: SignedQuantity, basis: Option<&Basis>) {
        let place = (account.clone(), symbol.clone());
        self.external.insert(place.clone(), quantity);
        match basis {
            Some(Basis { venue, terms, cost }) => {
                self.unvalued.remove(&place);
                self.foreign.insert(place, Position::held(venue.clone(), terms.clone(), quantity, *cost, nobody()));
            }
            None => {
                self.foreign.remove(&place);
                if quantity.is_zero() {
                    self.unvalued.remove(&place);
                } else {
                    self.unvalued.insert(place);
                }
            }
        }
    }

    /// Books a trade of ours on what is not ours. Where it is not known what that cost, nobody knows what it gained or lost.
    pub(crate) fn trade_external(&mut self, owner: Owner<'_>, trade: &Trade) -> Result<(), NumberError> {
        let place: AccountSymbol = (owner.account.clone(), owner.symbol.clone());
        let before = self.external.get(&place).copied().unwrap_or_default();
        let valued = self.foreign.remove(&place);
        let known = valued.is_some();
        let unvalued = || Position::held(owner.venue.clone(), owner.terms.clone(), before, Amount::ZERO, nobody());
        let mut position = valued.unwrap_or_else(unvalued);
        let booked = position.apply(trade, &nobody(), None)?;
        self.external.insert(place.clone(), position.quantity());
        if known {
            self.foreign.insert(place, position);
        } else {
            self.unvalued.insert(place);
        }
        let outside = self.outside_of(owner.account, &owner.terms.settle);
        outside.fees = outside.fees.plus(booked.fee)?;
        if known {
            outside.realized = outside.realized.plus(booked.realized)?;
        }
        if let Some((asset, amount)) = booked.other_fee {
            let outside = self.outside_of(owner.account, &asset);
            outside.fees = outside.fees.plus(amount)?;
        }
        Ok(())
    }

    /// Books one share of an adjustment.
    pub(crate) fn adjust(&mut self, adjustment: &Adjustment, share: &Share) -> Result<(), NumberError> {
        if !share.quantity.is_zero() || !share.fee.is_zero() {
            match (&share.deployment, &adjustment.symbol) {
                (_, None) => {}
                (None, Some(symbol)) => self.adjust_external(adjustment, share, symbol)?,
                (Some(deployment), Some(symbol)) => {
                    let key = PositionKey { deployment: deployment.clone(), account: adjustment.account.clone(), symbol: symbol.clone() };
                    self.adjust_position(adjustment, share, &key)?;
                }
            }
        }
        if let Some(asset) = adjustment.asset.as_ref().filter(|_| !share.amount.is_zero()) {
            self.adjust_money(adjustment, share, asset)?;
        }
        Ok(())
    }

    /// Changes a position of ours as a trade would. Only what is held is ever reduced, so that no lot needs a signal of its own.
    fn adjust_position(&mut self, adjustment: &Adjustment, share: &Share, key: &PositionKey) -> Result<(), NumberError> {
        let Some(position) = self.positions.get(key) else { return Ok(()) };
        let (venue, terms, leverage) = (position.venue().clone(), position.terms().clone(), position.leverage());
        let Some((price, _)) = adjustment.price else { return Ok(()) };
        let (deployment, account, symbol) = (&key.deployment, &key.account, &key.symbol);
        let owner = super::Owner { agent: None, deployment, account, venue: &venue, symbol, terms: &terms };
        let trade = trade_of(adjustment, share, price, &terms);
        self.trade(owner, leverage, &trade, &nobody(), None)
    }

    fn adjust_external(&mut self, adjustment: &Adjustment, share: &Share, symbol: &VenueSymbol) -> Result<(), NumberError> {
        let place: AccountSymbol = (adjustment.account.clone(), symbol.clone());
        let before = self.external.get(&place).copied().unwrap_or_default();
        let Some(((price, _), terms)) = adjustment.price.zip(adjustment.terms.as_ref()) else {
            // Without a price or without knowing what it is, only how much there is can be said.
            self.foreign.remove(&place);
            self.external.insert(place.clone(), before.plus(share.quantity)?);
            self.unvalued.insert(place);
            return Ok(());
        };
        let flat = || Position::held(adjustment.venue.clone(), terms.clone(), before, Amount::ZERO, nobody());
        let mut position = self.foreign.remove(&place).unwrap_or_else(flat);
        let booked = position.apply(&trade_of(adjustment, share, price, terms), &nobody(), None)?;
        self.external.insert(place.clone(), position.quantity());
        self.foreign.insert(place, position);
        let outside = self.outside_of(&adjustment.account, &terms.settle);
        outside.realized = outside.realized.plus(booked.realized)?;
        outside.fees = outside.fees.plus(booked.fee)?;
        if let Some((asset, amount)) = booked.other_fee {
            let outside = self.outside_of(&adjustment.account, &asset);
            outside.fees = outside.fees.plus(amount)?;
        }
        Ok(())
    }

    fn adjust_money(&mut self, adjustment: &Adjustment, share: &Share, asset: &Asset) -> Result<(), NumberError> {
        use crate::journal::AdjustmentKind as Kind;
        if let Some(deployment) = &share.deployment {
            for deployment in [None, Some(deployment.clone())] {
                let key = CapitalKey { account: adjustment.account.clone(), deployment, currency: asset.clone() };
                let capital = self.capital.entry(key).or_default();
                match adjustment.kind {
                    Kind::Funding => capital.funding = capital.funding.plus(share.amount)?,
                    _ => capital.fees = capital.fees.minus(share.amount)?,
                }
            }
            if let (Kind::Funding, Some(symbol)) = (adjustment.kind, &adjustment.symbol) {
                let key = PositionKey { deployment: deployment.clone(), account: adjustment.account.clone(), symbol: symbol.clone() };
                if let Some(position) = self.positions.get_mut(&key) {
                    position.fund(share.amount)?;
                }
            }
            return Ok(());
        }
        let outside = self.outside_of(&adjustment.account, asset);
        match adjustment.kind {
            Kind::Funding => outside.funding = outside.funding.plus(share.amount)?,
            Kind::LiquidationFee => outside.fees = outside.fees.minus(share.amount)?,
            kind if kind.is_transfer() => outside.moved = outside.moved.plus(share.amount)?,
            _ => outside.realized = outside.realized.plus(share.amount)?,
        }
        Ok(())
    }

    fn outside_of(&mut self, account: &AccountId, asset: &Asset) -> &mut Outside {
        // The account has a line of its own from now on, even if nothing of ours was ever traded in this currency.
        self.capital.entry(CapitalKey { account: account.clone(), deployment: None, currency: asset.clone() }).or_default();
        self.outside.entry((account.clone(), asset.clone())).or_default()
    }

    /// Money of an account that no deployment has.
    #[must_use]
    pub fn outside(&self, account: &AccountId, asset: &Asset) -> Outside {
        self.outside.get(&(account.clone(), asset.clone())).copied().unwrap_or_default()
    }

    /// What is not ours on an account and is valued: cost and gains are known.
    pub fn foreign<'a>(&'a self, account: &'a AccountId) -> impl Iterator<Item = (&'a VenueSymbol, &'a Position)> {
        self.foreign.iter().filter(move |((a, _), _)| a == account).map(|((_, symbol), position)| (symbol, position))
    }

    /// Whether the account holds, or held, something of which it is not known what it cost: its equity is unknown then, not zero.
    #[must_use]
    pub fn is_unvalued(&self, account: &AccountId) -> bool {
        self.unvalued.iter().any(|(a, _)| a == account)
    }

    /// What an account held in a currency when first seen, with what came in and went out since; `None` before.
    #[must_use]
    pub fn funds(&self, account: &AccountId, asset: &Asset) -> Option<Amount> {
        let first = self.funded(account, asset).or_else(|| self.is_funded(account).then_some(Amount::ZERO))?;
        first.plus(self.outside(account, asset).moved).ok()
    }

    /// What the account as a whole has to trade with: [`Self::funds`] and the results of what is not ours.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] when the sum does not fit.
    pub fn means(&self, account: &AccountId, asset: &Asset) -> Result<Amount, NumberError> {
        self.funds(account, asset).unwrap_or_default().plus(self.outside(account, asset).result()?)
    }

    /// Gains or losses not yet booked, of a deployment on an account or of the account as a whole, what is not ours included; `None` while
    /// a price or a cost is missing.
    pub fn unrealized(&self, key: &CapitalKey, mut mark: impl FnMut(&VenueId, &VenueSymbol) -> Option<Price>) -> Option<Amount> {
        let ours = self
            .positions()
            .filter(|(place, _)| place.account == key.account && key.deployment.as_ref().is_none_or(|d| *d == place.deployment))
            .map(|(place, position)| (&place.symbol, position));
        let whole = key.deployment.is_none();
        if whole && self.is_unvalued(&key.account) {
            return None;
        }
        let foreign = self.foreign(&key.account).filter(|(_, position)| whole && !position.quantity().is_zero());
        // Where the venue rounds, it rounds the worth of what the account holds of an instrument as a whole: so do we.
        let mut held: BTreeMap<(&VenueId, &VenueSymbol), (&Terms, SignedQuantity, Amount)> = BTreeMap::new();
        for (symbol, position) in ours.chain(foreign).filter(|(_, position)| position.terms().settle == key.currency) {
            let none = (position.terms(), SignedQuantity::ZERO, Amount::ZERO);
            let (_, quantity, cost) = held.entry((position.venue(), symbol)).or_insert(none);
            *quantity = quantity.plus(position.quantity()).ok()?;
            *cost = cost.plus(position.cost()).ok()?;
        }
        held.into_iter().try_fold(Amount::ZERO, |sum, ((venue, symbol), (terms, quantity, cost))| {
            let value = terms.value(quantity, mark(venue, symbol)?).ok()?;
            sum.plus(value.minus(cost).ok()?).ok()
        })
    }

    /// Money of a deployment on an account as it stands, or of the account as a whole with what is not ours.
    #[must_use]
    pub fn money(&self, key: &CapitalKey) -> Option<Capital> {
        let capital = self.capital(key);
        if key.deployment.is_some() {
            return Some(capital);
        }
        let outside = self.outside(&key.account, &key.currency);
        Some(Capital {
            realized: capital.realized.plus(outside.realized).ok()?,
            fees: capital.fees.plus(outside.fees).ok()?,
            funding: capital.funding.plus(outside.funding).ok()?,
            ..capital
        })
    }

    /// `funds` + realized + unrealized − fees + funding; `None` when a part is unknown.
    #[must_use]
    pub fn equity(&self, key: &CapitalKey, funds: Option<Amount>, unrealized: Option<Amount>) -> Option<Amount> {
        let money = self.money(key)?;
        funds?.plus(money.realized).ok()?.plus(unrealized?).ok()?.minus(money.fees).ok()?.plus(money.funding).ok()
    }
}

fn trade_of(adjustment: &Adjustment, share: &Share, price: Price, terms: &Terms) -> Trade {
    let asset = adjustment.fee_asset.clone().unwrap_or_else(|| terms.settle.clone());
    Trade {
        side: if share.quantity.is_long() { Side::Buy } else { Side::Sell },
        quantity: share.quantity.magnitude(),
        price,
        fee: Fee { asset, amount: share.fee },
        value: share.value,
    }
}

/// The leverage that positions which are not ours are kept at: it is not known, and nothing is margined by it.
pub(super) const LEVERAGE: Leverage = Leverage::ONE;
