//! Unknown orders: asked for until there is evidence, or a person settles them. No timer turns doubt into failure.

use super::step::{CommandError, Effect, Step, Timer, Token};
use crate::gates;
use crate::journal::{Event, Failure, LegRef, Verdict};
use crate::model::ids::ClientOrderId;
use crate::model::order::{OrderState, Purpose};
use crate::venue::{Evidence, ProbePermission, Resend};

impl Step<'_> {
    /// Asks what became of an order, unless it is being asked already or nothing more can become known.
    pub(super) fn probe(&mut self, id: &ClientOrderId) {
        let Some(at) = self.book.leg_of(id) else { return };
        let (Some(order), Some(leg)) = (self.book.order(id), self.book.leg(at)) else { return };
        if !order.is_unsettled() || self.live.unsent.contains(id) {
            return;
        }
        let account = leg.plan.account.clone();
        let permission = ProbePermission { may_resend: self.may_resend(at, id), now: self.now.wall };
        let probing = self.live.probing.entry(id.clone()).or_default();
        if probing.in_flight {
            return;
        }
        probing.in_flight = true;
        probing.asked = probing.asked.wrapping_add(1);
        probing.ask_at = None;
        let asked = probing.asked;
        self.effect(Effect::Probe { account, order: id.clone(), permission });
        self.wake_after(self.setup.timing.leg_deadline, Timer::ProbeOverdue(id.clone(), asked));
    }

    /// A probe that never answers is no evidence: another one is made. Should it answer after all, its evidence counts.
    pub(super) fn probe_overdue(&mut self, id: &ClientOrderId, asked: u32) {
        if self.live.probing.get(id).is_some_and(|probing| probing.in_flight && probing.asked == asked) {
            let failure = self.overdue();
            self.probed(id, Err(failure));
        }
    }

    /// Whether the same bytes may still be sent: the venue takes them once, the signal is valid and no latch holds it.
    fn may_resend(&self, at: LegRef, id: &ClientOrderId) -> bool {
        let Some((record, leg)) = self.book.find(at) else {
            return false;
        };
        let held = record.purpose() == Purpose::Entry && (gates::may_leave(self.book, leg).is_err() || self.is_given_up(at));
        let venue = self.setup.venues.get(&leg.plan.venue);
        let idempotent = venue.is_some_and(|venue| venue.capabilities.orders.resend == Resend::Idempotent);
        let refused = self.live.probing.get(id).is_some_and(|probing| probing.refused);
        // What travels with another order is sent with it or not at all.
        let travels = self.book.order(id).is_some_and(|order| order.intent.travels_with.is_some());
        idempotent && !travels && !refused && !held && !self.is_over(record.admission.valid_until) && self.live.journal_failed.is_none()
    }

    pub(super) fn probed(&mut self, id: &ClientOrderId, result: Result<Evidence, Failure>) {
        let mut failures = 0;
        if let Some(probing) = self.live.probing.get_mut(id) {
            probing.in_flight = false;
            probing.failures = if result.is_err() { probing.failures.saturating_add(1) } else { 0 };
            failures = probing.failures;
        }
        let Some(at) = self.book.leg_of(id) else { return };
        let account = self.book.leg(at).map(|leg| leg.plan.account.clone());
        if let Some(account) = &account {
            self.heard(account, result.as_ref().err());
        }
        let failed = result.as_ref().err().map(|failure| failure.message.clone());
        let mut pause = self.backoff(failures);
        match result {
            Ok(Evidence::Present(report)) => self.report(report),
            Ok(Evidence::AbsentForever { evidence }) => {
                let undecided =
                    self.book.order(id).is_some_and(|order| matches!(order.state, OrderState::Sent | OrderState::Unknown { .. }));
                if undecided {
                    let again = self.may_try_again(at);
                    self.emit(Event::ProvedAbsent { order: id.clone(), evidence: evidence.clone(), again });
                    self.share_fate(id, |order| Event::ProvedAbsent { order, evidence: evidence.clone(), again: false });
                    self.after_order(at);
                }
            }
            Ok(Evidence::Resendable { .. }) => self.resend(at, id),
            Ok(Evidence::NotYet { ask_at, .. }) => pause = pause.max(ask_at.since(self.now.wall)),
            Err(_) => {}
        }
        if self.book.order(id).is_some_and(|order| order.state.is_unknown() || !order.state.is_live() && order.is_unsettled()) {
            let ask_at = self.now.wall.after(pause);
            self.live.probing.entry(id.clone()).or_default().ask_at = Some(ask_at);
            self.wake_after(pause, Timer::Probe(id.clone()));
        } else {
            self.live.probing.remove(id);
        }
        if let Some(account) = account {
            if let Some(live) = self.live.accounts.get_mut(&account) {
                // Asked once is enough to open the account: what stays unknown blocks its own agent and instrument only.
                match failed {
                    None => drop(live.to_probe.remove(id)),
                    Some(words) => live.failure = Some(words),
                }
            }
            self.maybe_recovered(&account);
        }
    }

    /// Sends the same bytes again, by the same door as the first time: what is no longer valid or is held by a latch stays here.
    fn resend(&mut self, at: LegRef, id: &ClientOrderId) {
        let unknown = self.book.order(id).is_some_and(|order| order.state.is_unknown());
        if !unknown || !self.may_resend(at, id) {
            return;
        }
        let Some(account) = self.book.leg(at).map(|leg| leg.plan.account.clone()) else { return };
        self.live.probing.entry(id.clone()).or_default().resent = true;
        self.clock_in(id);
        self.effect(Effect::Place { account, order: id.clone() });
        self.wake_after(self.setup.timing.leg_deadline, Timer::Deadline(id.clone()));
    }

    /// Whether a failure says nothing of the order, because its bytes were sent before: it is asked for again, and not sent any more.
    pub(super) fn says_nothing(&mut self, id: &ClientOrderId) -> bool {
        let Some(probing) = self.live.probing.get_mut(id).filter(|probing| probing.resent) else { return false };
        probing.refused = true;
        true
    }

    /// A person settles an order that no evidence tells of.
    pub(super) fn resolve(&mut self, id: &ClientOrderId, verdict: Verdict, reason: String, token: Token) {
        let refused = |words: String| Effect::Rejected { token, error: CommandError::NotFound(words) };
        let (Some(at), Some(order)) = (self.book.leg_of(id), self.book.order(id)) else {
            return self.effect(refused(format!("no order {id} is at hand; see `orders`")));
        };
        if !order.state.is_unknown() {
            return self.effect(refused(format!("order {id} is not unknown; there is nothing to settle")));
        }
        if reason.trim().is_empty() {
            return self.effect(refused("a reason is needed: it is journaled with the verdict".into()));
        }
        let asked = order.prepared().request.quantity;
        if let Verdict::Filled { quantity, price } = &verdict {
            let instrument =
                self.book.leg(at).and_then(|leg| self.setup.venues.get(&leg.plan.venue)?.instruments.get(leg.plan.symbol.as_ref()?));
            let bounds = instrument.map_or(Ok(()), |instrument| instrument.check_trade(*price, *quantity));
            if let Err(words) = bounds {
                return self.effect(refused(words));
            }
            if *quantity > asked {
                return self.effect(refused(format!("{quantity} cannot have traded: the order asked for {asked}")));
            }
        }
        let at_present = self.now.wall;
        self.emit(Event::Resolved { order: id.clone(), verdict: verdict.clone(), reason: reason.clone(), at: at_present });
        if verdict == Verdict::Absent {
            self.share_fate(id, |order| Event::Resolved { order, verdict: Verdict::Absent, reason: reason.clone(), at: at_present });
        }
        self.live.probing.remove(id);
        self.effect(Effect::Done { token });
        self.after_order(at);
    }
}
