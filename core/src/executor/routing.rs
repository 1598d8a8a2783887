//! Where a signal's legs go: which accounts take part, in which order they are tried, and which one is next when a leg came to nothing.

use rust_decimal::Decimal;

use super::pricing::Wanted;
use super::setup::{AccountShare, DeploymentSetup};
use super::step::Step;
use crate::journal::{Command, Event, LegRef};
use crate::model::execution::{LegState, Outcome};
use crate::model::ids::{AccountId, DeploymentId};
use crate::model::number::Factor;
use crate::model::signal::{Direction, Routing, Signal};

/// How many offers a sentence names.
const NAMED: usize = 4;

/// An account that takes part, and what was compared to find its place among the others.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    pub(super) share: &'a AccountShare,
    /// Where places were compared: the offers, best first.
    pub(super) why: Option<String>,
}

impl Step<'_> {
    /// Whether an account takes part in a signal: its venue is among those that are named.
    pub(super) fn takes_part(&self, signal: &Signal, share: &AccountShare) -> bool {
        let Some(venue) = self.setup.accounts.get(&share.account).map(|account| &account.venue) else { return false };
        signal.routing.weight(venue).is_some() && signal.venues.as_ref().is_none_or(|named| named.contains(venue))
    }

    /// The accounts in the order in which they are tried: the deployment's, and for `best` the best price after fees first. Accounts that
    /// cannot be compared come last, in the deployment's order: their venue is unwell, does not list the asset or tells no price, they are
    /// not ready, or the leg cannot be sized there.
    pub(super) fn in_order<'s>(
        &self,
        signal: &Signal,
        (id, deployment): (&DeploymentId, &DeploymentSetup),
        shares: Vec<&'s AccountShare>,
    ) -> Vec<Place<'s>> {
        if signal.routing != Routing::Best {
            return shares.into_iter().map(|share| Place { share, why: None }).collect();
        }
        let mut offers: Vec<(Option<Decimal>, &AccountShare)> =
            shares.into_iter().map(|share| (self.offer(signal, (id, deployment), share), share)).collect();
        // The sort keeps the deployment's order where offers are equal.
        offers.sort_by(|(a, _), (b, _)| match (a, b) {
            (Some(a), Some(b)) if signal.direction == Direction::Long => a.cmp(b),
            (Some(a), Some(b)) => b.cmp(a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
        let why = words(&offers);
        offers.into_iter().map(|(_, share)| Place { share, why: Some(why.clone()) }).collect()
    }

    /// What one unit of the asset comes to with the fee if the leg goes to this account, in the currency of the limits as far as rates are
    /// stated; `None` where it cannot go there now.
    fn offer(&self, signal: &Signal, (id, deployment): (&DeploymentId, &DeploymentSetup), share: &AccountShare) -> Option<Decimal> {
        let (seat, stands_in) = self.seat(share);
        let account = self.setup.accounts.get(&seat.account)?;
        let ready = self.live.accounts.get(&seat.account).is_some_and(|account| account.ready);
        let broken = self.book.breaker(Some(&account.venue)).is_some() || (stands_in.is_none() && self.book.breaker(None).is_some());
        if !ready || broken || self.book.halt(&seat.account).is_some() {
            return None;
        }
        let instrument = self.setup.instrument_for(signal, (&seat.account, &account.venue), self.now.wall).ok()?;
        let sized = self.propose(signal, (id, deployment), (share, &seat), (&account.venue, instrument)).ok()?;
        let quote = self.live.quotes.get(&(account.venue.clone(), instrument.symbol.clone()))?;
        let wanted = Wanted {
            instrument,
            quote,
            side: signal.direction.entry_side(),
            order: signal.order,
            worst: sized.bounds.worst,
            quantity: sized.quantity,
        };
        let per_base = self.setup.assets.resolve(&instrument.base).1;
        let rate = |currency| self.setup.rates.get(currency).copied();
        let rate = rate(&instrument.quote).or_else(|| rate(&instrument.settle)).unwrap_or(Factor::ONE);
        wanted.after_fees()?.checked_div(per_base.decimal())?.checked_mul(rate.decimal())
    }

    /// Routing `first` and `best`: turns to the next account when a leg came to nothing for certain.
    pub(super) fn next_in_line(&mut self, at: LegRef) {
        if self.book.execution(at.execution).is_some_and(|record| !record.admission.standby.is_empty()) {
            self.weigh_losses();
        }
        let Some(record) = self.book.execution(at.execution) else { return };
        let Some(leg) = record.legs.get(at.leg) else { return };
        let Command::Signal(signal) = record.admission.command.clone() else { return };
        // A leg that was canceled was meant to come to nothing.
        let given_up = matches!(leg.state, LegState::Done { outcome: Outcome::Canceled, .. });
        let nothing = leg.state.is_done() && !given_up && leg.filled().is_ok_and(|filled| filled.quantity.is_zero());
        let alive = record.legs.iter().any(|other| {
            other.plan.deployment == leg.plan.deployment && (other.is_live() || other.filled().is_ok_and(|f| !f.quantity.is_zero()))
        });
        if !signal.routing.opens_one() || !nothing || alive {
            return;
        }
        let deployment = leg.plan.deployment.clone();
        let Some(setup) = self.setup.deployments.get(&deployment) else { return };
        if !self.may_go_on((&deployment, setup), record) {
            return;
        }
        let standby: Vec<AccountId> =
            record.admission.standby.iter().filter(|(d, _)| *d == deployment).map(|(_, account)| account.clone()).collect();
        let shares = standby.iter().filter_map(|account| setup.accounts.iter().find(|share| share.account == *account)).collect();
        // Prices have moved since: they are compared anew.
        for place in self.in_order(&signal, (&deployment, setup), shares) {
            let plan = self.plan_leg(&signal, &deployment, setup, place, at.execution);
            let planned = plan.ended.is_none();
            self.emit(Event::LegPlanned { execution: at.execution, plan });
            if planned {
                break;
            }
        }
        self.advance(at.execution);
    }
}

/// What was compared, best first.
fn words(offers: &[(Option<Decimal>, &AccountShare)]) -> String {
    let shown = |(offer, share): &(Option<Decimal>, &AccountShare)| match offer {
        Some(price) => format!("{} {}", share.account, price.round_sf(8).unwrap_or(*price).normalize()),
        None => format!("{} none", share.account),
    };
    let named = offers.iter().take(NAMED).map(shown).collect::<Vec<_>>().join(", ");
    let more = offers.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    format!("per unit after fees: {named}{more}")
}
