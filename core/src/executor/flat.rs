//! Whether what should be flat is flat, by the venue's own word: a snapshot that was begun after everything that became known of our orders
//! there, and shows nothing of ours.

use std::collections::BTreeMap;

use super::setup::Setup;
use super::step::{State, Step};
use crate::journal::{KillMode, LegRef};
use crate::ledger::{AccountSymbol, PositionKey};
use crate::model::close::Lot;
use crate::model::execution::{LegState, Outcome};
use crate::model::ids::{AccountId, VenueSymbol};
use crate::model::number::SignedQuantity;
use crate::model::order::{OrderState, Purpose};
use crate::model::time::Timestamp;
use crate::venue::AccountSnapshot;

/// Snapshots that may be under way at once, as far as their order is remembered: far more than ever are, each having a deadline.
const UNDER_WAY: usize = 64;

/// What a snapshot showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// Where it began, in [`super::step::Live::touches`].
    touches: u64,
    positions: BTreeMap<VenueSymbol, SignedQuantity>,
    at: Timestamp,
}

impl Step<'_> {
    /// Something became known of a leg's order: what was shown before says nothing of it.
    pub(super) fn touch(&mut self, at: LegRef) {
        let Some(leg) = self.book.leg(at) else { return };
        let Some(symbol) = leg.plan.symbol.clone() else { return };
        self.live.touches += 1;
        self.live.touched.insert((leg.plan.account.clone(), symbol), self.live.touches);
    }

    /// A snapshot is asked for.
    pub(super) fn note_fetch(&mut self, account: &AccountId) {
        let touches = self.live.touches;
        if let Some(live) = self.live.accounts.get_mut(account) {
            live.begun.push_back(touches);
            if live.begun.len() > UNDER_WAY {
                live.begun.pop_front();
            }
        }
    }

    /// What a snapshot shows. One that failed shows nothing; of several under way, an answer counts as that of the oldest.
    pub(super) fn shown(&mut self, account: &AccountId, snapshot: Option<&AccountSnapshot>) -> Option<Shown> {
        let touches = self.live.accounts.get_mut(account)?.begun.pop_front()?;
        let positions = snapshot?.positions.iter().map(|position| (position.symbol.clone(), position.quantity)).collect();
        Some(Shown { touches, positions, at: self.now.wall })
    }

    /// Keeps what a snapshot showed, once it was compared; where it was too early for a position, the venue is asked again.
    pub(super) fn note_shown(&mut self, account: &AccountId, shown: Option<Shown>) {
        let Some(live) = self.live.accounts.get_mut(account) else { return };
        if shown.is_some() {
            live.shown = shown;
        }
        let flattened = self.book.kills().filter(|(_, kill)| kill.mode == KillMode::Flatten).flat_map(|(_, kill)| kill.positions.keys());
        let keys: Vec<PositionKey> = flattened.filter(|key| key.account == *account).cloned().collect();
        let first = keys.into_iter().find(|key| self.awaits_word(key));
        first.into_iter().for_each(|key| self.ask_whether_flat(&key));
    }

    /// Asks the venue soon, if a position that a kill switch has closed is flat by our books alone.
    pub(super) fn ask_whether_flat(&mut self, key: &PositionKey) {
        if self.awaits_word(key) {
            let pause = self.backoff(3);
            self.schedule_fetch(&key.account, pause);
        }
    }

    fn awaits_word(&self, key: &PositionKey) -> bool {
        let killed = self.book.kills().any(|(_, kill)| kill.mode == KillMode::Flatten && kill.positions.contains_key(key));
        let flat = self.book.ledger().position(key).is_none();
        killed
            && flat
            && self.book.closes(&key.account, &key.symbol).next().is_none()
            && is_too_early(self.live.shown(key), self.touched(key))
    }

    fn touched(&self, key: &PositionKey) -> u64 {
        self.live.touched_at(&(key.account.clone(), key.symbol.clone()))
    }
}

impl super::step::Live {
    fn shown(&self, key: &PositionKey) -> Option<&Shown> {
        self.accounts.get(&key.account)?.shown.as_ref()
    }

    fn touched_at(&self, place: &AccountSymbol) -> u64 {
        self.touched.get(place).copied().unwrap_or(0)
    }
}

fn is_too_early(shown: Option<&Shown>, touched: u64) -> bool {
    shown.is_none_or(|shown| shown.touches < touched)
}

impl State {
    /// When the venue has shown, after everything that became known of our orders there, that nothing of a position of ours is left; else
    /// why that is not known.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn confirmed_flat(&self, key: &PositionKey) -> Result<Timestamp, String> {
        if let Some((_, words)) = self.undecided(key) {
            return Err(words);
        }
        let touched = self.live.touched_at(&(key.account.clone(), key.symbol.clone()));
        let shown = self.live.shown(key).filter(|shown| !is_too_early(Some(shown), touched));
        let Some(shown) = shown else {
            let failure = self.account_failure(&key.account).map(|why| format!(": {why}")).unwrap_or_default();
            return Err(format!("{} has not shown its positions since{failure}", key.account));
        };
        let at_venue = shown.positions.get(&key.symbol).copied().unwrap_or_default();
        match self.book.ledger().venue_quantity(&key.account, &key.symbol) {
            Ok(ours) if ours == at_venue => Ok(shown.at),
            Ok(ours) => Err(format!("{} shows {at_venue} {}, our books say {ours}", key.account, key.symbol)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The order of a position of which it is not known what it did: whether the venue was asked for it in vain, and words.
    fn undecided(&self, key: &PositionKey) -> Option<(bool, String)> {
        let of_key = |at: LegRef| {
            self.book.leg(at).is_some_and(|leg| {
                leg.plan.deployment == key.deployment && leg.plan.account == key.account && leg.plan.symbol.as_ref() == Some(&key.symbol)
            })
        };
        let mut unsettled = self.book.unsettled().filter(|id| self.book.leg_of(id).is_some_and(of_key));
        unsettled.find_map(|id| {
            let order = self.book.order(id)?;
            match &order.state {
                OrderState::Unknown { why, .. } => Some((true, format!("order {id} is unknown: {why}"))),
                OrderState::Sent => Some((false, format!("order {id} is on its way"))),
                _ if order.filled.quantity < order.reported => Some((false, format!("trades of order {id} are missing"))),
                _ => None,
            }
        })
    }

    /// How many protective orders of a position wait at the venue, or may.
    #[must_use]
    pub fn exits_waiting(&self, key: &PositionKey) -> usize {
        let is_of = |at: LegRef| {
            self.book.find(at).is_some_and(|(record, leg)| {
                record.purpose() == Purpose::Protect
                    && leg.plan.deployment == key.deployment
                    && leg.plan.account == key.account
                    && leg.plan.symbol.as_ref() == Some(&key.symbol)
            })
        };
        self.book.unsettled().filter(|id| self.book.leg_of(id).is_some_and(is_of)).count()
    }

    /// Why a position that must become flat is not on its way there; `None` while it is.
    #[must_use]
    pub fn stuck(&self, setup: &Setup, key: &PositionKey) -> Option<String> {
        let live = self.live.accounts.get(&key.account);
        let failure = live.and_then(|live| live.failure.clone());
        if !live.is_some_and(|live| live.ready) || failure.is_some() {
            let why = failure.unwrap_or_else(|| "its venue's truth is still being compared with ours".into());
            return Some(format!("{} is out of reach: {why}", key.account));
        }
        if let Some((true, words)) = self.undecided(key) {
            return Some(words);
        }
        let position = self.book.ledger().position(key)?;
        let lot = Lot { deployment: key.deployment.clone(), account: key.account.clone(), instrument: key.symbol.clone(), signal: None };
        if self.is_dust(setup, &lot) {
            return Some("it is less than can be traded".into());
        }
        if !self.live.quotes.contains_key(&(position.venue().clone(), key.symbol.clone())) {
            return Some(format!("{} has no price for {}", position.venue(), key.symbol));
        }
        self.refused_close(&lot)
    }

    /// Why the latest close of a position came to nothing, while no other is under way.
    fn refused_close(&self, lot: &Lot) -> Option<String> {
        let record = self.book.execution(self.book.duty(lot)?.close?)?;
        let leg = record.legs.first()?;
        match &leg.state {
            LegState::Done { outcome: Outcome::Rejected | Outcome::Refused | Outcome::Skipped, why: Some(why) } => {
                Some(format!("its close was refused ({}): {}", why.code, why.reason))
            }
            _ => None,
        }
    }

    /// What an account shows of an instrument beyond what our books say it holds, in the latest snapshot; zero while orders are under way.
    #[must_use]
    pub fn unexplained(&self, account: &AccountId, symbol: &VenueSymbol) -> SignedQuantity {
        let place = (account.clone(), symbol.clone());
        let shown = self.live.accounts.get(account).and_then(|live| live.shown.as_ref());
        let Some(shown) = shown.filter(|shown| !is_too_early(Some(shown), self.live.touched_at(&place))) else {
            return SignedQuantity::ZERO;
        };
        let at_venue = shown.positions.get(symbol).copied().unwrap_or_default();
        let ours = self.book.ledger().venue_quantity(account, symbol);
        ours.and_then(|ours| at_venue.minus(ours)).unwrap_or_default()
    }

    /// The instruments that an account's latest snapshot shows.
    pub fn shown_on(&self, account: &AccountId) -> impl Iterator<Item = &VenueSymbol> {
        self.live.accounts.get(account).and_then(|live| live.shown.as_ref()).into_iter().flat_map(|shown| shown.positions.keys())
    }
}
