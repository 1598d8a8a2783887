//! Groups: legs of one signal in one deployment that stand together or are closed again.
//!
//! Nothing of a group is sent before every leg of it could be; then all go in one flush. The group stands once enough legs filled in full. It
//! fails as soon as that cannot be reached any more, or at its deadline: what was not sent ends, what rests is canceled, and what filled is
//! closed again from the actual fills. The verdict is written down, so that a leg that turns out to have filled later is closed too,
//! whenever that is. Each change of a leg costs O(legs of its execution).

use std::collections::BTreeSet;
use std::time::Duration;

use super::book::{ExecutionRecord, LegRecord, OrderRecord};
use super::step::{Effect, Step, Timer};
use crate::journal::{Event, ExecutionNumber, LegRef};
use crate::ledger::PositionKey;
use crate::model::execution::{LegState, Outcome, Reason};
use crate::model::ids::{AccountId, ClientOrderId, DeploymentId};
use crate::model::order::{DoneReason, OrderState};

/// The code of what ends because its group failed.
pub(super) const GROUP: &str = "group";
/// The code of what is closed again because its group failed.
pub(super) const UNWIND: &str = "unwind";
/// How many legs a sentence names.
const NAMED: usize = 3;

/// When an undecided group is decided at the latest, by the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupLive {
    /// At the latest, while its accounts can be asked.
    due: u64,
    /// At the latest, where one of its accounts has not recovered since the start.
    grace: u64,
}

/// A group: the legs of one execution in one deployment.
#[derive(Clone, Copy)]
struct Group<'a> {
    record: &'a ExecutionRecord,
    deployment: &'a DeploymentId,
    required: usize,
}

impl<'a> Group<'a> {
    fn legs(self) -> impl Iterator<Item = (LegRef, &'a LegRecord)> {
        let execution = self.record.admission.number;
        let all = self.record.legs.iter().enumerate().map(move |(leg, record)| (LegRef { execution, leg }, record));
        all.filter(move |(_, leg)| leg.plan.deployment == *self.deployment)
    }

    /// Why it fails, with the legs that are missing and why.
    fn words(self, within: Option<Duration>) -> String {
        let (total, required) = (self.legs().count(), self.required);
        if required > total {
            return format!("{required} legs must fill in full, and only {total} take part");
        }
        let missing: Vec<&LegRecord> = self
            .legs()
            .map(|(_, leg)| leg)
            .filter(|leg| if within.is_some() { !fills(leg) } else { !fills(leg) && leg.state.is_done() })
            .collect();
        let wish = if required == total {
            format!("all {total} legs must fill in full")
        } else {
            format!("{required} of {total} legs must fill in full")
        };
        let time = within.map(|within| format!(" within {within:?}")).unwrap_or_default();
        let named = missing.iter().take(NAMED).map(|leg| leg_words(leg)).collect::<Vec<_>>().join("; ");
        let more = missing.len().saturating_sub(NAMED);
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        format!("{wish}{time}; missing: {named}{more}")
    }
}

/// Whether a leg stands: all that it asked for has traded, by our books or by the venue's own total.
fn fills(leg: &LegRecord) -> bool {
    let Some(asked) = leg.plan.order.as_ref().map(|order| order.quantity) else { return false };
    let traded = leg.orders.iter().try_fold(crate::model::number::Quantity::ZERO, |sum, order| sum.plus(order.reported));
    traded.is_ok_and(|traded| !traded.is_zero() && traded >= asked)
}

/// Whether an order of a leg may have left.
fn was_sent(leg: &LegRecord) -> bool {
    leg.orders.iter().any(|order| !matches!(order.state, OrderState::Done { reason: DoneReason::Superseded, .. }))
}

fn leg_words(leg: &LegRecord) -> String {
    let account = &leg.plan.account;
    match &leg.state {
        LegState::Done { outcome, why: Some(why) } => format!("{account} {outcome} ({}): {}", why.code, why.reason),
        LegState::Done { outcome, why: None } => format!("{account} {outcome}"),
        state => format!("{account} is {}", state.name()),
    }
}

impl Step<'_> {
    fn group<'a>(&'a self, execution: ExecutionNumber, deployment: &'a DeploymentId) -> Option<Group<'a>> {
        let record = self.book.execution(execution)?;
        Some(Group { record, deployment, required: record.required(deployment)? })
    }

    /// The deployment of a leg, if it is one of an undecided group.
    fn undecided(&self, at: LegRef) -> Option<DeploymentId> {
        let deployment = &self.book.leg(at)?.plan.deployment;
        self.book.is_undecided(at.execution, deployment).then(|| deployment.clone())
    }

    /// Looks at the groups of an execution that begins: one that cannot stand any more ends before anything is sent, the others have their
    /// deadline from now on, or from when a person has said yes.
    pub(super) fn begin_groups(&mut self, execution: ExecutionNumber) {
        let deployments: Vec<DeploymentId> = self.book.undecided_of(execution).cloned().collect();
        for deployment in deployments {
            self.judge(execution, &deployment, false);
            let begun = self.live.groups.contains_key(&(execution, deployment.clone()));
            if !begun && self.book.is_undecided(execution, &deployment) && !self.awaits_approval(execution, &deployment) {
                let allowed = self.setup.timing.group_deadline;
                self.arm_group(execution, deployment, allowed);
            }
        }
    }

    fn awaits_approval(&self, execution: ExecutionNumber, deployment: &DeploymentId) -> bool {
        let awaits = |leg: &LegRecord| matches!(leg.state, LegState::AwaitingApproval { .. });
        self.group(execution, deployment).is_some_and(|group| group.legs().any(|(_, leg)| awaits(leg)))
    }

    /// Goes on with every undecided group after a start. One whose deadline has passed is decided once its accounts have recovered, or have had
    /// as long as the deadline is to do so: then what is known counts.
    pub(super) fn resume_groups(&mut self) {
        let allowed = self.setup.timing.group_deadline;
        let undecided: Vec<(ExecutionNumber, DeploymentId)> =
            self.book.undecided().map(|(execution, deployment)| (execution, deployment.clone())).collect();
        for (execution, deployment) in undecided {
            if self.awaits_approval(execution, &deployment) {
                continue;
            }
            let received = self.book.execution(execution).map(|record| record.admission.received_at);
            let left = received.map(|received| received.after(allowed).since(self.now.wall)).unwrap_or_default();
            self.arm_group(execution, deployment, left.min(allowed));
        }
    }

    fn arm_group(&mut self, execution: ExecutionNumber, deployment: DeploymentId, left: Duration) {
        let at = |length: Duration| self.now.monotonic.saturating_add(u64::try_from(length.as_micros()).unwrap_or(u64::MAX));
        let live = GroupLive { due: at(left), grace: at(self.setup.timing.group_deadline) };
        self.live.groups.insert((execution, deployment.clone()), live);
        self.wake_after(left / 2, Timer::Group(execution, deployment.clone()));
        self.wake_after(left, Timer::Group(execution, deployment));
    }

    /// The time of a group has come, or part of it.
    pub(super) fn check_group(&mut self, execution: ExecutionNumber, deployment: &DeploymentId) {
        if !self.book.is_undecided(execution, deployment) {
            return;
        }
        let Some(live) = self.live.groups.get(&(execution, deployment.clone())).copied() else { return };
        if self.now.monotonic < live.due {
            return self.go_on(execution, deployment);
        }
        let Some(group) = self.group(execution, deployment) else { return };
        let recovering = |leg: &LegRecord| !self.live.accounts.get(&leg.plan.account).is_some_and(|account| account.ready);
        if self.now.monotonic < live.grace && group.legs().any(|(_, leg)| leg.is_live() && recovering(leg)) {
            let left = Duration::from_micros(live.grace.saturating_sub(self.now.monotonic));
            return self.wake_after(left, Timer::Group(execution, deployment.clone()));
        }
        self.judge(execution, deployment, true);
    }

    /// An account can trade: what it told may decide groups, and what they left there is closed.
    pub(super) fn check_groups_of(&mut self, account: &AccountId) {
        let here = |(execution, deployment): &(ExecutionNumber, &DeploymentId)| {
            self.group(*execution, deployment).is_some_and(|group| group.legs().any(|(_, leg)| leg.plan.account == *account))
        };
        let undecided: Vec<(ExecutionNumber, DeploymentId)> =
            self.book.undecided().filter(here).map(|(execution, deployment)| (execution, deployment.clone())).collect();
        undecided.iter().for_each(|(execution, deployment)| self.check_group(*execution, deployment));
        let held: Vec<LegRef> = self.book.unwinding_on(account).collect();
        held.into_iter().for_each(|at| self.unwind(at));
    }

    /// Something became known of a leg: it may decide its group, or it is one that must be closed again.
    pub(super) fn follow_group(&mut self, at: LegRef) {
        let Some(deployment) = self.book.leg(at).map(|leg| leg.plan.deployment.clone()) else { return };
        if !self.book.is_planned(at) {
            self.live.gathered.remove(&at);
        }
        if self.book.is_undecided(at.execution, &deployment) {
            self.judge(at.execution, &deployment, false);
            if self.book.is_undecided(at.execution, &deployment) {
                self.go_on(at.execution, &deployment);
            }
        } else {
            self.unwind(at);
        }
    }

    /// Decides whether a group stands, if that can be said.
    fn judge(&mut self, execution: ExecutionNumber, deployment: &DeploymentId, overdue: bool) {
        let Some(group) = self.group(execution, deployment).filter(|_| self.book.is_undecided(execution, deployment)) else { return };
        let standing = group.legs().filter(|(_, leg)| fills(leg)).count();
        let hopeful = group.legs().filter(|(_, leg)| !fills(leg) && leg.is_live()).count();
        let (stands, why) = if standing >= group.required {
            (true, Reason::new("filled", format!("{standing} of {} legs filled in full", group.legs().count())))
        } else if standing.saturating_add(hopeful) < group.required {
            (false, Reason::new(GROUP, group.words(None)))
        } else if overdue {
            (false, Reason::new(GROUP, group.words(Some(self.setup.timing.group_deadline))))
        } else {
            return;
        };
        let legs: Vec<LegRef> = group.legs().map(|(at, _)| at).collect();
        self.live.groups.remove(&(execution, deployment.clone()));
        self.emit(Event::GroupDecided { execution, deployment: deployment.clone(), stands, why: why.clone() });
        if stands {
            // What was ready and waited goes now.
            let ready: Vec<LegRef> = legs.into_iter().filter(|at| self.live.gathered.remove(at).is_some()).collect();
            return ready.into_iter().for_each(|at| self.ask_ready(at));
        }
        legs.iter().for_each(|at| self.give_up(*at, &why));
        legs.into_iter().for_each(|at| self.unwind(at));
    }

    /// Ends what was not sent of a leg whose group failed, and cancels what rests.
    fn give_up(&mut self, at: LegRef, why: &Reason) {
        self.live.gathered.remove(&at);
        let Some(leg) = self.book.leg(at) else { return };
        let of_leg = |order: &&OrderRecord| self.live.unsent.contains(order.intent.client_order_id());
        let unsent: Vec<ClientOrderId> = leg.orders.iter().filter(of_leg).map(|order| order.intent.client_order_id().clone()).collect();
        let waits = self.book.is_planned(at) || matches!(leg.state, LegState::AwaitingApproval { .. });
        for order in unsent {
            self.live.unsent.remove(&order);
            self.emit(Event::Superseded { order: order.clone(), why: why.clone(), again: false });
            self.share_fate(&order, |order| Event::Superseded { order, why: why.clone(), again: false });
            self.after_order(at);
        }
        if waits {
            self.live.asked_ready.remove(&at);
            self.end_leg(at, Outcome::Refused, why.clone());
        }
    }

    /// Has a leg of a failed group closed again from its actual fills: now, or whenever it turns out to have filled.
    fn unwind(&mut self, at: LegRef) {
        let Some((record, leg)) = self.book.find(at) else { return };
        let Some(why) = record.failed_group(leg).map(|why| why.reason.clone()) else { return };
        let resting =
            leg.orders.iter().find(|order| matches!(order.state, OrderState::Open { .. }) && order.filled.quantity >= order.reported);
        let resting = resting.map(|order| order.intent.client_order_id().clone());
        let lot = record.lot_of(leg).filter(|_| record.is_unwinding(leg));
        let place = leg.plan.symbol.clone().map(|symbol| (leg.plan.account.clone(), symbol));
        if let (Some(order), Some((account, symbol))) = (resting, place)
            && !self.live.canceling.contains_key(&order)
        {
            self.live.canceling.insert(order.clone(), self.now.monotonic);
            self.effect(Effect::Cancel { account, symbol, order });
        }
        if let Some(lot) = lot {
            let key = PositionKey::of(&lot);
            self.must_close(lot, Reason::new(UNWIND, why));
            self.settle_unwound(&key);
        }
    }

    /// Says of the legs of failed groups in a position that are flat again that they are unwound. What they traded stays.
    pub(super) fn settle_unwound(&mut self, key: &PositionKey) {
        let legs: Vec<LegRef> = self.book.unwinding(key).collect();
        for at in legs {
            let Some((record, leg)) = self.book.find(at) else { continue };
            let (Some(lot), Some(why)) = (record.lot_of(leg), record.failed_group(leg)) else { continue };
            let over = leg.state.is_done() && self.book.duty(&lot).is_none();
            let (left, why) = (self.left_of(&lot), why.reason.clone());
            let words = if left.is_zero() {
                format!("closed again: {why}")
            } else if self.is_dust(&lot) {
                format!("unwound but for {left}, which is less than can be traded: {why}")
            } else {
                continue;
            };
            if over {
                self.emit(Event::LegEnded { leg: at, outcome: Outcome::Unwound, why: Reason::new(UNWIND, words) });
                self.effect(Effect::Changed { execution: at.execution });
            }
        }
    }

    /// Whether a leg is one of a group that failed, or whose time is over: nothing of it is sent any more.
    pub(super) fn is_given_up(&self, at: LegRef) -> bool {
        let Some((record, leg)) = self.book.find(at) else { return false };
        let group = (at.execution, leg.plan.deployment.clone());
        record.failed_group(leg).is_some() || self.live.groups.get(&group).is_some_and(|live| self.now.monotonic >= live.due)
    }

    /// Why an order that is durable must not leave although nothing holds it itself: its group has failed, or another leg of the group, of which
    /// nothing was sent, must be prepared again first.
    pub(super) fn held_by_group(&mut self, at: LegRef) -> Option<(Reason, bool)> {
        if let Some(deployment) = self.undecided(at) {
            let group = self.group(at.execution, &deployment)?;
            let unsent: Vec<ClientOrderId> = group
                .legs()
                .filter(|(other, _)| *other != at)
                .flat_map(|(_, leg)| &leg.orders)
                .map(|order| order.intent.client_order_id().clone())
                .filter(|order| self.live.unsent.contains(order))
                .collect();
            let held: Vec<(ClientOrderId, bool)> =
                unsent.into_iter().filter_map(|order| self.retired(&order).map(|(_, again)| (order, again))).collect();
            let again = held.iter().any(|(_, again)| *again);
            held.into_iter().for_each(|(order, _)| self.durable(&order));
            let failed = self.book.find(at).and_then(|(record, leg)| record.failed_group(leg).cloned());
            if failed.is_none() && again && !self.has_left(at.execution, &deployment, at) {
                return Some((Reason::new("stale", "another leg of its group was prepared too long ago; it was never sent"), true));
            }
        }
        self.book.find(at).and_then(|(record, leg)| record.failed_group(leg).cloned()).map(|why| (why, false))
    }

    /// Whether an order of another leg of a group has left.
    fn has_left(&self, execution: ExecutionNumber, deployment: &DeploymentId, but: LegRef) -> bool {
        let left = |leg: &LegRecord| {
            leg.orders.iter().any(|order| {
                let unsent = self.live.unsent.contains(order.intent.client_order_id());
                !unsent && !matches!(order.state, OrderState::Done { reason: DoneReason::Superseded, .. })
            })
        };
        self.group(execution, deployment).is_some_and(|group| group.legs().any(|(at, leg)| at != but && left(leg)))
    }

    /// A leg's account is ready: the leg goes, or waits for the others of its group. `true` when it waits.
    pub(super) fn gather(&mut self, at: LegRef) -> bool {
        let Some(deployment) = self.undecided(at) else { return false };
        self.live.gathered.insert(at, self.now.monotonic);
        self.go_on(at.execution, &deployment);
        true
    }

    /// A leg was prepared, or could not be: the next one of those that wait follows.
    pub(super) fn go_on_after(&mut self, at: LegRef) {
        if self.live.preparing != Some(at) {
            return;
        }
        self.live.preparing = None;
        let groups: BTreeSet<(ExecutionNumber, DeploymentId)> =
            self.live.gathered.keys().filter_map(|at| Some((at.execution, self.undecided(*at)?))).collect();
        groups.iter().for_each(|(execution, deployment)| self.go_on(*execution, deployment));
    }

    /// Sends what is ready of a group, if it may, one leg at a time: the next follows when the intent of this one is written down, since each
    /// takes the nonce after the one before.
    fn go_on(&mut self, execution: ExecutionNumber, deployment: &DeploymentId) {
        while self.live.preparing.is_none() && self.may_go(execution, deployment) {
            let next = self
                .group(execution, deployment)
                .and_then(|group| group.legs().map(|(at, _)| at).find(|at| self.live.gathered.contains_key(at)));
            let Some(at) = next else { return };
            self.live.gathered.remove(&at);
            if self.send(at) {
                self.live.preparing = Some(at);
            }
        }
    }

    /// Whether what is ready of a group may be sent: something was already, or every leg of it is ready. Once half of its time has passed, as
    /// many as must stand are enough. What was ready too long ago is asked again.
    fn may_go(&mut self, execution: ExecutionNumber, deployment: &DeploymentId) -> bool {
        let Some(live) = self.live.groups.get(&(execution, deployment.clone())).copied() else { return false };
        let Some(group) = self.group(execution, deployment) else { return false };
        if self.now.monotonic >= live.due {
            return false;
        }
        if group.legs().any(|(_, leg)| was_sent(leg)) {
            return true;
        }
        let allowed = self.setup.timing.leg_deadline;
        let fresh = |since: u64| u128::from(self.now.monotonic.saturating_sub(since)) < allowed.as_micros();
        let (ready, late): (Vec<LegRef>, Vec<LegRef>) =
            group.legs().filter(|(_, leg)| leg.is_live()).map(|(at, _)| at).partition(|at| self.live.gathered.contains_key(at));
        let half = self.setup.timing.group_deadline / 2;
        let patient = Duration::from_micros(live.due.saturating_sub(self.now.monotonic)) > half;
        if ready.is_empty() || (!late.is_empty() && (patient || ready.len() < group.required)) {
            return false;
        }
        let stale: Vec<LegRef> = ready.into_iter().filter(|at| !self.live.gathered.get(at).copied().is_some_and(fresh)).collect();
        if stale.is_empty() {
            return true;
        }
        for at in &stale {
            self.live.gathered.remove(at);
        }
        stale.into_iter().for_each(|at| self.ask_ready(at));
        false
    }
}
