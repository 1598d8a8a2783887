//! The kill switch at work: what it holds is called off and closed, whenever it turns up, for as long as it holds.
//!
//! What must be done follows from the book alone: [`Step::enforce`] asks for it when the switch is thrown, when the engine opens and when
//! an account can trade again, [`Step::enforce_leg`] whenever something became known of a leg. Protective orders are never touched here: the
//! exits of a position go once it is flat.

use std::collections::BTreeSet;

use super::book::LegRecord;
use super::step::{Effect, Step, Timer, Token};
use super::weighing::LOSS;
use crate::journal::{Event, KillMode, KillScope, LegRef};
use crate::ledger::PositionKey;
use crate::model::close::Lot;
use crate::model::execution::{Outcome, Reason};
use crate::model::ids::{AccountId, ClientOrderId, VenueSymbol};
use crate::model::order::{OrderState, Purpose};

/// The code of what a kill switch ends.
pub(super) const KILLED: &str = "killed";

/// Whether something must be closed only because a latch says so: with the latch that ends too, when a person lifts it.
pub(super) fn is_latch(code: &str) -> bool {
    code == KILLED || code == LOSS
}

impl Step<'_> {
    /// Throws the switch, and does at once what can be done.
    pub(super) fn kill(&mut self, scope: KillScope, mode: KillMode, reason: String, token: Token) {
        self.emit(Event::Killed { scope, mode, reason, at: self.now.wall });
        self.enforce(None);
        self.effect(Effect::Done { token });
    }

    /// Lifts the switch: what it had closed need not be closed any more, unless something else demands it.
    pub(super) fn lift(&mut self, scope: KillScope, reason: &str) {
        let duties = self.book.duties().filter(|(_, duty)| is_latch(&duty.why.code));
        // What a latch that ended by itself had closed goes on.
        let held = duties.filter(|(lot, duty)| duty.why.code == KILLED || self.flattened(&PositionKey::of(lot)).is_some());
        let held: Vec<(Lot, Option<u64>)> = held.map(|(lot, duty)| (lot.clone(), duty.close)).collect();
        self.emit(Event::Resumed { scope, reason: reason.to_owned() });
        let over: Vec<(Lot, Option<u64>)> = held.into_iter().filter(|(lot, _)| self.flattened(&PositionKey::of(lot)).is_none()).collect();
        for (lot, close) in over {
            let key = PositionKey::of(&lot);
            self.emit(Event::Relieved { lot, why: Reason::new("resumed", reason) });
            let planned: Vec<LegRef> = close.into_iter().flat_map(|number| self.book.planned_of(number).collect::<Vec<_>>()).collect();
            for at in planned {
                self.live.asked_ready.remove(&at);
                self.end_leg(at, Outcome::Canceled, Reason::new("resumed", "the kill switch was lifted before it was sent"));
            }
            self.tend_position(&key);
        }
    }

    /// Does what the latches demand: on one account, or everywhere.
    pub(super) fn enforce(&mut self, account: Option<&AccountId>) {
        if !self.any_latch() {
            return;
        }
        let concerns = |of: &AccountId| account.is_none_or(|account| account == of);
        let unsettled = self.book.unsettled().filter_map(|id| self.book.leg_of(id));
        let legs: BTreeSet<LegRef> =
            unsettled.chain(self.book.planned()).filter(|at| self.book.leg(*at).is_some_and(|leg| concerns(&leg.plan.account))).collect();
        legs.into_iter().for_each(|at| self.enforce_entry(at));
        let keys: Vec<PositionKey> =
            self.book.ledger().positions().map(|(key, _)| key).filter(|key| concerns(&key.account)).cloned().collect();
        keys.iter().for_each(|key| self.enforce_position(key));
    }

    /// Something became known of a leg: does what the latches demand of it and of its position.
    pub(super) fn enforce_leg(&mut self, at: LegRef) {
        if !self.any_latch() {
            return;
        }
        self.enforce_entry(at);
        let Some(leg) = self.book.leg(at) else { return };
        let Some(symbol) = leg.plan.symbol.clone() else { return };
        let key = PositionKey { deployment: leg.plan.deployment.clone(), account: leg.plan.account.clone(), symbol };
        self.enforce_position(&key);
        self.ask_whether_flat(&key);
    }

    /// What was planned ends, what rests is canceled; what is on its way or unknown is, once the venue says that it has it.
    fn enforce_entry(&mut self, at: LegRef) {
        let Some((record, leg)) = self.book.find(at) else { return };
        if record.purpose() != Purpose::Entry || !self.is_called_off(leg) {
            return;
        }
        let open = leg.orders.iter().filter(|order| matches!(order.state, OrderState::Open { .. }));
        let open: Vec<ClientOrderId> = open.map(|order| order.intent.client_order_id().clone()).collect();
        open.iter().for_each(|order| self.call_off(order));
        let Some(leg) = self.book.leg(at) else { return };
        if self.book.is_planned(at) {
            let why = self.book.broken_for(leg).map(|broken| Reason::new(broken.kind.code(), broken.words()));
            let why = why.unwrap_or_else(|| Reason::new(KILLED, "the kill switch was thrown before it was sent"));
            self.live.asked_ready.remove(&at);
            self.end_leg(at, Outcome::Canceled, why);
        }
    }

    /// What is held is closed until it is flat.
    fn enforce_position(&mut self, key: &PositionKey) {
        let Some(why) = self.flattened(key) else { return };
        self.must_close(key.whole(), why);
    }

    /// Whether a latch wants the rest of an entry canceled.
    fn is_called_off(&self, leg: &LegRecord) -> bool {
        self.book.kills().any(|(scope, kill)| kill.mode >= KillMode::Cancel && scope.holds_leg(leg))
            || self.book.flattens(&leg.plan.deployment, Some(&leg.plan.agent), &leg.plan.account).is_some()
    }

    /// Whether anything may have to be called off or closed: a kill switch, or a limit on losses that flattens.
    fn any_latch(&self) -> bool {
        self.book.kills().next().is_some() || self.book.any_flattens()
    }

    /// The latch that wants a position flat, as a reason; `None` when there is none, or no position.
    fn flattened(&self, key: &PositionKey) -> Option<Reason> {
        let position = self.book.ledger().position(key)?;
        if let Some(broken) = self.book.flattened_by(self.setup, key) {
            return Some(Reason::new(LOSS, format!("{}: {}", broken.kind.code(), broken.words())));
        }
        let agent = self.setup.deployments.get(&key.deployment).map(|setup| &setup.agent).or_else(|| self.book.agent_of(&key.deployment));
        let holds = |scope: &KillScope| scope.holds(agent, &key.account, position.venue(), Some(&position.terms().asset));
        let (scope, kill) = self.book.kills().find(|(scope, kill)| kill.mode == KillMode::Flatten && holds(scope))?;
        Some(Reason::new(KILLED, format!("the kill switch is on for {scope}: {}", kill.reason)))
    }

    /// Asks the venue to cancel what rests of an entry, unless that was asked a moment ago.
    fn call_off(&mut self, order: &ClientOrderId) {
        let Some(leg) = self.book.leg_of(order).and_then(|at| self.book.leg(at)) else { return };
        let (account, Some(symbol)) = (leg.plan.account.clone(), leg.plan.symbol.clone()) else { return };
        if self.live.called_off.contains_key(order) {
            // It was asked for before, and is asked for again when its time has come.
            return;
        }
        self.cancel_entry(account, symbol, order, 1);
    }

    fn cancel_entry(&mut self, account: AccountId, symbol: VenueSymbol, order: &ClientOrderId, tries: u32) {
        self.live.called_off.insert(order.clone(), tries);
        self.effect(Effect::Cancel { account, symbol, order: order.clone() });
        // A cancel that is never answered has had its time by then.
        let allowed = self.setup.timing.leg_deadline.max(self.backoff(tries));
        self.wake_after(allowed, Timer::CallOff(order.clone(), tries));
    }

    /// A cancel was answered, or failed: if the order rests even so, it is asked for again, later each time.
    pub(super) fn call_off_later(&mut self, order: &ClientOrderId) {
        let Some(tries) = self.live.called_off.get(order).copied() else { return };
        let pause = self.backoff(tries);
        self.wake_after(pause, Timer::CallOff(order.clone(), tries));
    }

    /// The time has come to look whether an order that was to be canceled still rests.
    pub(super) fn call_off_again(&mut self, order: &ClientOrderId, tries: u32) {
        if self.live.called_off.get(order) != Some(&tries) {
            return;
        }
        let leg = self.book.leg_of(order).and_then(|at| self.book.leg(at));
        let open = self.book.order(order).is_some_and(|order| matches!(order.state, OrderState::Open { .. }));
        let place = leg.filter(|leg| open && self.is_called_off(leg));
        match place.and_then(|leg| Some((leg.plan.account.clone(), leg.plan.symbol.clone()?))) {
            Some((account, symbol)) => self.cancel_entry(account, symbol, order, tries.saturating_add(1)),
            None => drop(self.live.called_off.remove(order)),
        }
    }
}
