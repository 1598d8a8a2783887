//! What must become flat: exits that were triggered, orphans, positions without their stop. Each is written down, closed by orders like any
//! other close, one execution after the other, and stays until nothing of it is left.

use super::book::Book;
use super::killing::is_latch;
use super::setup::Setup;
use super::step::{Live, State, Step, Timer};
use crate::journal::{Event, LegRef};
use crate::ledger::PositionKey;
use crate::model::close::{CloseRequest, CloseTarget, Lot};
use crate::model::execution::Reason;
use crate::model::ids::{AccountId, SignalId};
use crate::model::number::Quantity;

impl Step<'_> {
    /// Has a lot closed until it is flat. What is flat, is being closed, or is less than the venue trades changes nothing.
    pub(super) fn must_close(&mut self, lot: Lot, why: Reason) {
        let due = self.book.duty(&lot).is_some_and(|duty| !is_latch(&duty.why.code) || is_latch(&why.code));
        if due || self.left_of(&lot).is_zero() || self.is_dust(&lot) {
            return;
        }
        self.emit(Event::MustClose { lot: lot.clone(), why, at: self.now.wall });
        self.pursue(&lot);
    }

    /// Begins another close of what must become flat, unless one is under way or the account cannot trade yet.
    pub(super) fn pursue(&mut self, lot: &Lot) {
        let Some(duty) = self.book.duty(lot) else { return };
        let under_way = duty.close.and_then(|number| self.book.execution(number)).is_some_and(|record| !record.is_finished());
        let ready = self.live.accounts.get(&lot.account).is_some_and(|account| account.ready);
        if under_way || !ready {
            return;
        }
        let (code, tries) = (duty.why.code.clone(), duty.tries);
        let reducible = self.book.ledger().reducible(&PositionKey::of(lot)).unwrap_or_default();
        if reducible < self.left_of(lot) && !is_tradable(self.setup, self.live, lot, reducible) {
            // Somebody else closed it: there is nothing to sell, and no use in trying again and again. Whoever settles that goes on from here.
            self.check_cover(&lot.account, &lot.instrument, None);
            if self.book.duty(lot).is_none() {
                return;
            }
            let pause = self.backoff(tries.max(8));
            return self.wake_after(pause, Timer::Pursue(lot.clone()));
        }
        if self.is_dust(lot) {
            let why = Reason::new("dust", format!("{} is less than can be traded", self.left_of(lot)));
            self.emit(Event::Relieved { lot: lot.clone(), why });
            return self.settle_unwound(&PositionKey::of(lot));
        }
        if let Some(opens) = self.opens_again(lot) {
            // The duty stays until its market trades.
            return self.wake_after(opens.since(self.now.wall), Timer::Pursue(lot.clone()));
        }
        let id = engine_id(&code, self.book.next_execution());
        self.admit_close(CloseRequest::new(id, CloseTarget::Lot(lot.clone())));
    }

    /// Goes on with everything that must become flat on an account.
    pub(super) fn pursue_all(&mut self, account: &AccountId) {
        let lots: Vec<Lot> = self.book.duties().map(|(lot, _)| lot).filter(|lot| lot.account == *account).cloned().collect();
        lots.iter().for_each(|lot| self.pursue(lot));
    }

    /// A close has ended: what is left of its lot is closed again, later each time.
    pub(super) fn pursue_after(&mut self, at: LegRef) {
        let Some(CloseTarget::Lot(lot)) = self.book.close_target(at.execution).cloned() else { return };
        let Some(duty) = self.book.duty(&lot) else { return };
        if duty.close == Some(at.execution) {
            let pause = self.backoff(duty.tries);
            self.wake_after(pause, Timer::Pursue(lot));
        }
    }

    pub(super) fn left_of(&self, lot: &Lot) -> Quantity {
        self.book.ledger().left_of(lot).unwrap_or_default()
    }

    /// Whether what is left is less than the venue trades.
    pub(super) fn is_dust(&self, lot: &Lot) -> bool {
        is_dust(self.setup, self.book, self.live, lot)
    }
}

impl State {
    /// Whether what is left of a lot is less than its venue trades: nothing can close it.
    #[must_use]
    pub fn is_dust(&self, setup: &Setup, lot: &Lot) -> bool {
        is_dust(setup, &self.book, &self.live, lot)
    }
}

fn is_dust(setup: &Setup, book: &Book, live: &Live, lot: &Lot) -> bool {
    book.ledger().left_of(lot).is_ok_and(|left| !left.is_zero() && !is_tradable(setup, live, lot, left))
}

/// Whether so much of a lot can be sold or bought at all; it can, as long as the venue or its price is not known.
fn is_tradable(setup: &Setup, live: &Live, lot: &Lot, quantity: Quantity) -> bool {
    let Some(account) = setup.accounts.get(&lot.account) else { return true };
    let Some(venue) = setup.venues.get(&account.venue) else { return true };
    let Some(instrument) = venue.instruments.get(&lot.instrument) else { return true };
    let quantity = instrument.floor_quantity(quantity);
    let Some(mark) = live.marks.get(&(account.venue.clone(), lot.instrument.clone())) else { return !quantity.is_zero() };
    let reduces = venue.capabilities.orders.reduce_only && instrument.market.is_margined();
    // What is large in whole is closed in parts that are not refused.
    !quantity.is_zero() && (quantity >= instrument.max_quantity || instrument.check_order(quantity, *mark, reduces).is_ok())
}

/// The id of an execution that the engine begins by itself.
pub(super) fn engine_id(what: &str, number: u64) -> SignalId {
    format!("engine:{what}:{number}").parse().expect("a code and a number are a valid signal id")
}
