//! Exits: kept at the venue where it can hold them, run by the engine otherwise. One fills, the others go.
//!
//! What should be there follows from the book alone: a guard says which exits a leg has and of how much, and [`Step::tend`] brings the venue
//! there, whatever happened before. It is called whenever something became known of a leg, its exits or its closes, and costs
//! O(exits of the leg).

use rust_decimal::Decimal;

use super::book::{Book, LegRecord, OrderRecord};
use super::duties::engine_id;
use super::ids::client_order_id;
use super::step::{Effect, Step, Timer};
use super::upkeep::Guard;
use crate::journal::{Admission, Command, Event, LegPlan, LegRef, OrderPlan, Protect, Reserve};
use crate::ledger::PositionKey;
use crate::model::close::Lot;
use crate::model::execution::{LegState, Outcome, Reason, Timings};
use crate::model::exit::{ExitKind, Exits, Trigger, trigger_price};
use crate::model::ids::{ClientOrderId, VenueId, VenueSymbol};
use crate::model::instrument::{Instrument, Side};
use crate::model::number::{Factor, Price, Quantity, exact};
use crate::model::order::{AttachedExit, OrderState, Purpose};
use crate::model::signal::{Direction, OrderType};

/// A trailing stop moves when the best price has moved by this part of its distance.
const TRAIL_STEPS: u32 = 50;
/// An exit at the venue stays where it is while it is off by no more than this part of its distance from the entry.
const NEAR: u32 = 20;

/// An exit at the venue, or on its way there.
struct Waiting {
    at: LegRef,
    trigger: Trigger,
    quantity: Quantity,
    state: Stage,
}

#[derive(PartialEq, Eq)]
enum Stage {
    /// No order of it was written down.
    Planned,
    /// Whether the venue has it is not known yet.
    OnItsWay,
    /// The venue has it.
    Resting(ClientOrderId),
}

/// What should wait at the venue.
enum Wanted {
    /// What is there, for now.
    AsItIs,
    /// Nothing.
    Nothing,
    /// This.
    Exit { price: Price, quantity: Quantity },
}

/// The exit that waits at the venue for all that is held of an entry leg.
pub(super) fn covering(book: &Book, entry: LegRef, kind: ExitKind) -> Option<&OrderRecord> {
    let left = book.ledger().left_of(&book.guard(entry)?.lot).ok()?;
    let covers = |order: &&OrderRecord| {
        let request = &order.prepared().request;
        let rest = request.quantity.minus(order.reported.min(request.quantity)).unwrap_or_default();
        matches!(order.state, OrderState::Open { .. }) && request.trigger.is_some_and(|trigger| trigger.kind == kind) && rest >= left
    };
    book.exits_of(entry).flat_map(|(_, leg)| &leg.orders).find(covers)
}

impl Step<'_> {
    /// A price: what it triggers is closed, unless a venue does it.
    pub(super) fn watch(&mut self, venue: &VenueId, symbol: &VenueSymbol) {
        let entries: Vec<LegRef> = self.book.watching(venue, symbol).collect();
        entries.into_iter().for_each(|entry| self.watch_leg(entry));
    }

    fn watch_leg(&mut self, entry: LegRef) {
        let Some(guard) = self.book.guard(entry) else { return };
        let ready = self.live.accounts.get(&guard.lot.account).is_some_and(|account| account.ready);
        let Some(price) = self.live.marks.get(&(guard.venue.clone(), guard.lot.instrument.clone())).copied().filter(|_| ready) else {
            return;
        };
        if let Some(best) = better(guard, price) {
            self.emit(Event::GuardMoved { leg: entry, best });
            ExitKind::ALL.into_iter().for_each(|kind| self.tend_exit(entry, kind));
        }
        ExitKind::ALL.into_iter().for_each(|kind| self.watch_exit(entry, kind, price));
    }

    fn watch_exit(&mut self, entry: LegRef, kind: ExitKind, price: Price) {
        let Some(guard) = self.book.guard(entry) else { return };
        let Some(trigger) = guard.trigger_price(kind).map(|price| Trigger { kind, price }) else { return };
        if !trigger.is_reached(guard.exit_side(), price) {
            self.live.crossed.remove(&(entry, kind));
            return;
        }
        if self.book.duty(&guard.lot).is_some() {
            return;
        }
        let (lot, words) = (guard.lot.clone(), format!("{} is at {price}, the exit at {}", guard.lot.instrument, trigger.price));
        if covering(self.book, entry, kind).is_some() {
            // The venue does it, on its own price. If it does not in time, we do.
            let patience = self.setup.timing.protection_deadline;
            let since = self.live.crossed.get(&(entry, kind)).copied();
            let waited = since.map(|since| self.now.monotonic.saturating_sub(since));
            if waited.is_none() {
                self.live.crossed.insert((entry, kind), self.now.monotonic);
                self.wake_after(patience, Timer::Tend(entry));
            }
            if waited.is_none_or(|waited| u128::from(waited) < patience.as_micros()) {
                return;
            }
        }
        let code = match kind {
            ExitKind::StopLoss => "stop_loss",
            ExitKind::TakeProfit => "take_profit",
        };
        self.must_close(lot, Reason::new(code, words));
    }

    /// Brings the exits of an entry leg that wait at the venue to where they should be.
    pub(super) fn tend(&mut self, entry: LegRef) {
        self.watch_leg(entry);
        ExitKind::ALL.into_iter().for_each(|kind| self.tend_exit(entry, kind));
    }

    /// Looks after the exits of everything that is held of a position.
    pub(super) fn tend_position(&mut self, key: &PositionKey) {
        let entries: Vec<LegRef> = self.book.guarding(key).map(|(entry, _)| entry).collect();
        entries.into_iter().for_each(|entry| self.tend(entry));
        // What waits for a leg of which nothing is held any more has no guard to be found by.
        let orphans: Vec<LegRef> = self.book.with_exits_on(key).filter(|entry| self.book.guard(*entry).is_none()).collect();
        orphans.into_iter().for_each(|entry| self.tend(entry));
    }

    fn tend_exit(&mut self, entry: LegRef, kind: ExitKind) {
        let waiting = self.waiting(entry, kind);
        match self.wanted(entry, kind) {
            Wanted::AsItIs => {}
            Wanted::Nothing => waiting.into_iter().for_each(|exit| self.end_exit(entry, exit)),
            Wanted::Exit { price, quantity } => self.bring(entry, Trigger { kind, price }, quantity, waiting),
        }
    }

    /// Has exactly this exit wait at the venue.
    fn bring(&mut self, entry: LegRef, trigger: Trigger, quantity: Quantity, waiting: Vec<Waiting>) {
        let Some(guard) = self.book.guard(entry).cloned() else { return };
        let fits = |exit: &Waiting| exit.quantity == quantity && is_near(&guard, exit.trigger.price, trigger.price);
        let (fitting, others): (Vec<Waiting>, Vec<Waiting>) = waiting.into_iter().partition(fits);
        if let Some(first) = fitting.iter().position(|exit| matches!(exit.state, Stage::Resting(_))) {
            let mut fitting = fitting;
            fitting.remove(first);
            return fitting.into_iter().chain(others).for_each(|exit| self.end_exit(entry, exit));
        }
        if !fitting.is_empty() || others.iter().any(|exit| exit.state == Stage::OnItsWay) {
            // What is on its way is known soon, and then this is asked again.
            return;
        }
        if let Some(pause) = self.exit_pause(entry, trigger.kind) {
            return self.wake_after(pause, Timer::Tend(entry));
        }
        let resting = others.iter().any(|exit| matches!(exit.state, Stage::Resting(_)));
        if resting && !self.is_clamped(&guard.lot) {
            // Two of them could reduce more than is ours: the old one goes first, and the engine stands in.
            return others.into_iter().for_each(|exit| self.end_exit(entry, exit));
        }
        others.into_iter().filter(|exit| exit.state == Stage::Planned).for_each(|exit| self.end_exit(entry, exit));
        self.place_exit(entry, &guard, trigger, quantity);
    }

    /// How long it must stay as it is: moves cost requests, and what was refused is asked for later each time.
    fn exit_pause(&self, entry: LegRef, kind: ExitKind) -> Option<std::time::Duration> {
        let asked = self.live.exits_asked.get(&(entry, kind))?;
        let pause = if asked.refusals == 0 {
            self.setup.timing.stop_move_every
        } else {
            self.setup.timing.stop_move_every.max(self.backoff(asked.refusals.saturating_add(4)))
        };
        let waited = std::time::Duration::from_micros(self.now.monotonic.saturating_sub(asked.at));
        pause.checked_sub(waited).filter(|left| !left.is_zero())
    }

    fn place_exit(&mut self, entry: LegRef, guard: &Guard, trigger: Trigger, quantity: Quantity) {
        let Some(plan) = self.exit_plan(guard, trigger, quantity) else { return };
        let asked = self.live.exits_asked.entry((entry, trigger.kind)).or_default();
        asked.at = self.now.monotonic;
        let number = self.admit_exit(entry, &guard.lot, plan);
        self.advance(number);
    }

    fn admit_exit(&mut self, entry: LegRef, lot: &Lot, plan: LegPlan) -> u64 {
        let number = self.book.next_execution();
        let signal = lot.signal.clone().unwrap_or_else(|| engine_id("exit", number));
        let command = Command::Protect(Protect { id: engine_id("exit", number), entry, signal });
        self.emit(Event::Admitted(Admission {
            number,
            command,
            body_hash: String::new(),
            metadata_hash: None,
            received_at: self.now.wall,
            valid_until: None,
            legs: vec![plan],
            standby: Vec::new(),
            rulings: None,
        }));
        number
    }

    fn exit_plan(&self, guard: &Guard, trigger: Trigger, quantity: Quantity) -> Option<LegPlan> {
        let position = self.book.ledger().position(&PositionKey::of(&guard.lot))?;
        let instrument = self.instrument(&guard.venue, &guard.lot.instrument)?;
        Some(LegPlan {
            deployment: guard.lot.deployment.clone(),
            agent: self.setup.deployments.get(&guard.lot.deployment)?.agent.clone(),
            account: guard.lot.account.clone(),
            venue: guard.venue.clone(),
            symbol: Some(guard.lot.instrument.clone()),
            order: Some(OrderPlan {
                side: guard.exit_side(),
                quantity,
                order: OrderType::Market,
                worst_price: self.worst_exit(instrument, trigger.price, guard.exit_side())?,
                leverage: position.leverage(),
                terms: position.terms().clone(),
                reserve: Reserve::default(),
                rate: Factor::ONE,
                closes: guard.lot.signal.clone(),
                trigger: Some(trigger),
                attached: Vec::new(),
                external: false,
                shrunk: None,
            }),
            ended: None,
            stands_in: None,
            awaiting: None,
            routed: None,
            timings: Timings::default(),
        })
    }

    /// The worst price at which an exit may trade once it is awake.
    fn worst_exit(&self, instrument: &Instrument, trigger: Price, side: Side) -> Option<Price> {
        let slip = self.setup.timing.close_slippage.decimal();
        let factor = if side.is_buy() { Decimal::ONE.checked_add(slip)? } else { Decimal::ONE.checked_sub(slip)? };
        let worst = Price::new(trigger.decimal().checked_mul(factor)?).ok()?;
        instrument.limit_price(worst, side).map(|price| price.min(instrument.max_price))
    }

    fn instrument(&self, venue: &VenueId, symbol: &VenueSymbol) -> Option<&Instrument> {
        self.setup.venues.get(venue)?.instruments.get(symbol)
    }

    /// Whether a venue can hold an exit of this kind for an instrument.
    pub(super) fn can_hold(&self, venue: &VenueId, symbol: &VenueSymbol, kind: ExitKind) -> bool {
        let capabilities = self.setup.venues.get(venue).map(|venue| &venue.capabilities);
        let reduces = capabilities.is_some_and(|capabilities| capabilities.orders.reduce_only)
            && self.instrument(venue, symbol).is_some_and(|instrument| instrument.market.is_margined());
        let exits = capabilities.and_then(|capabilities| capabilities.exits.as_ref());
        reduces
            && exits.is_some_and(|exits| match kind {
                ExitKind::StopLoss => exits.stop,
                ExitKind::TakeProfit => exits.take_profit,
            })
    }

    /// Whether an exit of this kind should wait at the venue. Where others hold something too, only the stop does: a second order that woke
    /// after the first had closed the lot would close what is theirs.
    fn may_wait(&self, venue: &VenueId, lot: &Lot, kind: ExitKind) -> bool {
        self.can_hold(venue, &lot.instrument, kind) && (kind == ExitKind::StopLoss || self.is_alone(lot))
    }

    /// Whether nobody but the lot's deployment holds anything of its instrument on its account, or could.
    fn is_alone(&self, lot: &Lot) -> bool {
        let others = self.setup.deployments.iter().filter(|(id, _)| **id != lot.deployment);
        let could = others
            .flat_map(|(_, deployment)| &deployment.accounts)
            .any(|share| share.account == lot.account || share.fallback.as_ref() == Some(&lot.account));
        let ledger = self.book.ledger();
        let foreign = ledger.external_quantity(&lot.account, &lot.instrument).is_some_and(|quantity| !quantity.is_zero());
        let key = PositionKey::of(lot);
        let ours = ledger.position(&key).map(|position| position.quantity()).unwrap_or_default();
        !could && !foreign && ledger.net_quantity(&lot.account, &lot.instrument) == ours
    }

    fn wanted(&self, entry: LegRef, kind: ExitKind) -> Wanted {
        let Some(guard) = self.book.guard(entry) else {
            // Exits that traveled with an entry wait for it to fill. Where what had filled was closed again, they go: the rest gets its own.
            let alive = |leg: &LegRecord| !leg.state.is_done() || leg.orders.iter().any(OrderRecord::is_unsettled);
            let untraded = |leg: &LegRecord| leg.filled().is_ok_and(|filled| filled.quantity.is_zero());
            let waits = self.book.leg(entry).is_some_and(|leg| alive(leg) && untraded(leg));
            return if waits { Wanted::AsItIs } else { Wanted::Nothing };
        };
        let ready = self.live.accounts.get(&guard.lot.account).is_some_and(|account| account.ready);
        if !ready || self.live.journal_failed.is_some() || self.is_being_closed(&guard.lot) {
            return Wanted::AsItIs;
        }
        if !self.may_wait(&guard.venue, &guard.lot, kind) {
            return Wanted::Nothing;
        }
        let Some(instrument) = self.instrument(&guard.venue, &guard.lot.instrument) else { return Wanted::AsItIs };
        let price = guard.trigger_price(kind).and_then(|price| trigger_price(instrument, price, kind, guard.direction));
        let Some(price) = price else { return Wanted::Nothing };
        let mark = self.live.marks.get(&(guard.venue.clone(), guard.lot.instrument.clone())).copied();
        if mark.is_some_and(|mark| Trigger { kind, price }.is_reached(guard.exit_side(), mark)) {
            return Wanted::AsItIs;
        }
        let quantity = instrument.floor_quantity(self.left_of(&guard.lot));
        if quantity.is_zero() { Wanted::Nothing } else { Wanted::Exit { price, quantity } }
    }

    /// Whether a close of a lot's position is under way or due: its exits stay as they are until that is over.
    fn is_being_closed(&self, lot: &Lot) -> bool {
        let whole = Lot { signal: None, ..lot.clone() };
        let due = self.book.duty(lot).is_some() || self.book.duty(&whole).is_some();
        let mut closes = self.book.closes(&lot.account, &lot.instrument).filter_map(|at| self.book.leg(at));
        due || closes.any(|leg| leg.plan.deployment == lot.deployment)
    }

    /// Whether what closes a lot twice over still closes no more than the lot: the venue holds nothing else there, nor can it, and only reduces.
    pub(super) fn is_clamped(&self, lot: &Lot) -> bool {
        let venue = self.setup.accounts.get(&lot.account).and_then(|account| self.setup.venues.get(&account.venue));
        let reduces = venue.is_some_and(|venue| venue.capabilities.orders.reduce_only);
        let at_venue = self.book.ledger().venue_quantity(&lot.account, &lot.instrument);
        reduces && self.is_alone(lot) && at_venue.is_ok_and(|at_venue| at_venue.magnitude() <= self.left_of(lot))
    }

    fn waiting(&self, entry: LegRef, kind: ExitKind) -> Vec<Waiting> {
        self.book.exits_of(entry).filter_map(|(at, leg)| waiting(at, leg)).filter(|exit| exit.trigger.kind == kind).collect()
    }

    /// Takes an exit back. What is on its way is taken back once the venue has said that it has it.
    fn end_exit(&mut self, entry: LegRef, exit: Waiting) {
        match exit.state {
            Stage::OnItsWay => {}
            Stage::Planned => {
                self.live.asked_ready.remove(&exit.at);
                self.end_leg(exit.at, Outcome::Canceled, Reason::new("canceled", "it is not needed any more"));
            }
            Stage::Resting(order) => self.cancel_exit(entry, exit.at, order),
        }
    }

    fn cancel_exit(&mut self, entry: LegRef, at: LegRef, order: ClientOrderId) {
        let Some((account, symbol)) = self.book.leg(at).and_then(|leg| Some((leg.plan.account.clone(), leg.plan.symbol.clone()?))) else {
            return;
        };
        let allowed = self.setup.timing.leg_deadline;
        let asked = self
            .live
            .canceling
            .get(&order)
            .is_some_and(|asked| u128::from(self.now.monotonic.saturating_sub(*asked)) < allowed.as_micros());
        if asked {
            return;
        }
        self.live.canceling.insert(order.clone(), self.now.monotonic);
        self.effect(Effect::Cancel { account, symbol, order });
        self.wake_after(allowed, Timer::Tend(entry));
    }

    /// Whether exits must go before a close may leave, since both together could reduce more than is ours. Asks for it.
    pub(super) fn clears_the_way(&mut self, at: LegRef) -> bool {
        let Some(leg) = self.book.leg(at) else { return false };
        let (Some(symbol), Some(order)) = (leg.plan.symbol.clone(), &leg.plan.order) else { return false };
        let lot = Lot {
            deployment: leg.plan.deployment.clone(),
            account: leg.plan.account.clone(),
            instrument: symbol,
            signal: order.closes.clone(),
        };
        if self.is_clamped(&lot) {
            return false;
        }
        let entries: Vec<LegRef> = self
            .book
            .guarding(&PositionKey::of(&lot))
            .filter(|(_, guard)| lot.signal.is_none() || guard.lot.signal == lot.signal)
            .map(|(entry, _)| entry)
            .collect();
        let mut in_the_way = false;
        for entry in entries {
            for kind in ExitKind::ALL {
                for exit in self.waiting(entry, kind) {
                    in_the_way = true;
                    self.end_exit(entry, exit);
                }
            }
        }
        if !in_the_way {
            self.live.cleared_at.remove(&at);
            return false;
        }
        if !self.is_alone(&lot) {
            // Together they could close what is somebody else's: it waits until the exit is gone for certain.
            return true;
        }
        // An exit of which nothing can be learned must not keep the close for ever.
        let now = self.now.monotonic;
        let since = *self.live.cleared_at.entry(at).or_insert(now);
        u128::from(now.saturating_sub(since)) < self.setup.timing.protection_deadline.as_micros()
    }

    /// The exits that travel with an entry, from the price at which it is about to trade.
    pub(super) fn attached(&self, at: LegRef, attempt: u32) -> Vec<AttachedExit> {
        let Some((record, leg)) = self.book.find(at) else { return Vec::new() };
        let Command::Signal(signal) = &record.admission.command else { return Vec::new() };
        let (Some(exits), Some(symbol), Some(order)) = (&signal.exits, &leg.plan.symbol, &leg.plan.order) else { return Vec::new() };
        let travels = self.setup.venues.get(&leg.plan.venue).and_then(|venue| venue.capabilities.exits.as_ref());
        let key = (leg.plan.venue.clone(), symbol.clone());
        let (Some(instrument), Some(quote), Some(mark)) =
            (self.instrument(&leg.plan.venue, symbol), self.live.quotes.get(&key), self.live.marks.get(&key))
        else {
            return Vec::new();
        };
        if !travels.is_some_and(|travels| travels.attached) {
            return Vec::new();
        }
        let entry = match order.order {
            OrderType::Market if order.side.is_buy() => quote.ask,
            OrderType::Market => quote.bid,
            OrderType::Limit { price, .. } => price,
        };
        let side = order.side.opposite();
        let lot =
            Lot { deployment: leg.plan.deployment.clone(), account: leg.plan.account.clone(), instrument: symbol.clone(), signal: None };
        let made = |kind: ExitKind| {
            let exits = exits.on(&instrument.contract, signal.direction, order.leverage);
            let price = exits.trigger_price(kind, signal.direction, entry, order.leverage, entry)?;
            let trigger = Trigger { kind, price: trigger_price(instrument, price, kind, signal.direction)? };
            let due = trigger.is_reached(side, *mark) || !self.may_wait(&leg.plan.venue, &lot, kind);
            let count = attempt.checked_mul(2)?.checked_add(u32::from(kind == ExitKind::TakeProfit))?;
            let id = (&signal.id, &leg.plan.deployment, &leg.plan.account);
            let client_order_id = client_order_id(self.book.namespace(), id, Purpose::Protect, symbol, count);
            let worst_price = self.worst_exit(instrument, trigger.price, side)?;
            (!due).then_some(AttachedExit { client_order_id, trigger, worst_price })
        };
        ExitKind::ALL.into_iter().filter_map(made).collect()
    }

    /// Writes down the exits that travel with an entry's order as orders of their own.
    pub(super) fn admit_attached(&mut self, at: LegRef, entry: &ClientOrderId) {
        let Some(body) = self.book.order(entry).map(|order| order.prepared().clone()) else { return };
        let Some((record, leg)) = self.book.find(at) else { return };
        let Some(plan) = leg.plan.order.clone() else { return };
        let (signal, leg_plan) = (record.admission.command.id().clone(), leg.plan.clone());
        for exit in &body.request.attached {
            let order = OrderPlan {
                side: plan.side.opposite(),
                quantity: body.request.quantity,
                order: OrderType::Market,
                worst_price: exit.worst_price,
                reserve: Reserve::default(),
                closes: Some(signal.clone()),
                trigger: Some(exit.trigger),
                attached: Vec::new(),
                shrunk: None,
                ..plan.clone()
            };
            let leg = LegPlan { order: Some(order), ended: None, timings: Timings::default(), ..leg_plan.clone() };
            let lot = Lot {
                deployment: leg.deployment.clone(),
                account: leg.account.clone(),
                instrument: body.request.symbol.clone(),
                signal: Some(signal.clone()),
            };
            let Some(request) = leg.request(Purpose::Protect) else { continue };
            let number = self.admit_exit(at, &lot, leg);
            self.emit(Event::Prepared(crate::journal::Intent {
                leg: LegRef { execution: number, leg: 0 },
                attempt: 0,
                at: self.now.wall,
                prepared: crate::venue::PreparedBody {
                    request: crate::model::order::OrderRequest { reduce_only: true, ..request },
                    client_order_id: exit.client_order_id.clone(),
                    ..body.clone()
                },
                travels_with: Some(entry.clone()),
                timings: Timings::default(),
            }));
        }
    }

    /// What became of an entry's order as a whole became of what traveled with it.
    pub(super) fn share_fate(&mut self, entry: &ClientOrderId, event: impl Fn(ClientOrderId) -> Event) {
        for id in self.travelers(entry) {
            let undecided = self.book.order(&id).is_some_and(|order| matches!(order.state, OrderState::Sent | OrderState::Unknown { .. }));
            if undecided {
                self.emit(event(id.clone()));
                if let Some(at) = self.book.leg_of(&id) {
                    self.after_order(at);
                }
            }
        }
    }

    /// The exits that travel with an order.
    pub(super) fn travelers(&self, entry: &ClientOrderId) -> Vec<ClientOrderId> {
        let attached = self.book.order(entry).map(|order| &order.prepared().request.attached);
        attached.into_iter().flatten().map(|exit| exit.client_order_id.clone()).collect()
    }

    /// Checks that the exits of a signal are on the right side of the market.
    pub(super) fn check_exits(exits: &Exits, direction: Direction, mark: Price) -> Result<(), Reason> {
        let side = direction.entry_side().opposite();
        for (name, kind, distance) in
            [("stop_loss", ExitKind::StopLoss, exits.stop_loss), ("take_profit", ExitKind::TakeProfit, exits.take_profit)]
        {
            if let Some(crate::model::exit::Distance::Price(price)) = distance
                && (Trigger { kind, price }).is_reached(side, mark)
            {
                return Err(Reason::new("exit_side", format!("{name} at {price} would close the position at once: the price is {mark}")));
            }
        }
        Ok(())
    }
}

fn waiting(at: LegRef, leg: &LegRecord) -> Option<Waiting> {
    let plan = leg.plan.order.as_ref()?;
    let trigger = plan.trigger?;
    let Some(order) = leg.orders.last() else {
        return (leg.state == LegState::Planned).then_some(Waiting { at, trigger, quantity: plan.quantity, state: Stage::Planned });
    };
    let asked = order.prepared().request.quantity;
    let state = match &order.state {
        OrderState::Open { .. } => Stage::Resting(order.intent.client_order_id().clone()),
        OrderState::Done { .. } if leg.state == LegState::Planned => Stage::Planned,
        OrderState::Done { .. } if !order.is_unsettled() => return None,
        _ => Stage::OnItsWay,
    };
    Some(Waiting { at, trigger, quantity: asked.minus(order.reported.min(asked)).ok()?, state })
}

/// The best price since the entry, where it has moved by a step.
fn better(guard: &Guard, price: Price) -> Option<Price> {
    let trailing = guard.exits.trailing?;
    let best = guard.best.or_else(|| guard.entry_price())?;
    let gain = if guard.direction == Direction::Long {
        exact::sub(price.decimal(), best.decimal())?
    } else {
        exact::sub(best.decimal(), price.decimal())?
    };
    let step = best.decimal().checked_mul(trailing.fraction.decimal())?.checked_div(Decimal::from(TRAIL_STEPS))?;
    (gain >= step && gain > Decimal::ZERO).then_some(price)
}

/// Whether an exit may stay where it is although it should be elsewhere by now.
fn is_near(guard: &Guard, there: Price, wanted: Price) -> bool {
    if there == wanted {
        return true;
    }
    let far = |a: Price, b: Price| exact::sub(a.decimal(), b.decimal()).map(|difference| difference.abs());
    let distance = guard.entry_price().and_then(|entry| far(entry, wanted));
    let off = far(there, wanted);
    distance.zip(off).and_then(|(distance, off)| Some(off.checked_mul(Decimal::from(NEAR))? <= distance)).unwrap_or(false)
}
