//! A person's yes: legs of a deployment that needs one wait without an order and without a reserve, and are decided anew when it comes.

use std::time::Duration;

use super::book::ExecutionRecord;
use super::routing::Place;
use super::setup::DeploymentSetup;
use super::step::{CommandError, Effect, Step, Timer, Token};
use crate::journal::{Command, Event, ExecutionNumber, LegPlan, LegRef};
use crate::model::execution::{LegState, Outcome, Reason};
use crate::model::ids::DeploymentId;
use crate::model::time::Timestamp;

/// A person's answer whether a signal may be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The signal's execution.
    pub execution: ExecutionNumber,
    /// For which deployment; for all of which something waits when absent.
    pub deployment: Option<DeploymentId>,
    /// Yes or no.
    pub approved: bool,
    /// In the person's words.
    pub reason: String,
}

impl Step<'_> {
    /// How long legs of a deployment wait for a person's yes, if they need one: the shorter of what the deployment and its agent say.
    fn patience(&self, deployment: &DeploymentSetup) -> Option<Duration> {
        let agent = self.setup.agents.get(&deployment.agent).and_then(|agent| agent.approval);
        [deployment.approval, agent].into_iter().flatten().min()
    }

    /// Until when a leg that is about to be decided must wait for a person's yes; `None` when it need not, or has it already.
    pub(super) fn must_await(&self, deployment: (&DeploymentId, &DeploymentSetup), number: ExecutionNumber) -> Option<Timestamp> {
        let patience = self.patience(deployment.1)?;
        let record = self.book.execution(number)?;
        if record.answers.get(deployment.0).is_some_and(|answer| answer.approved) {
            return None;
        }
        let until = record.admission.received_at.after(patience);
        Some(record.admission.valid_until.map_or(until, |valid_until| until.min(valid_until)))
    }

    /// Has every leg of an execution that waits for a yes end when it has waited enough.
    pub(super) fn await_answers(&mut self, number: ExecutionNumber) {
        let waiting: Vec<LegRef> =
            self.book.execution(number).into_iter().flat_map(|record| record.waiting(None)).map(|(at, _)| at).collect();
        for at in waiting {
            self.expire_waiting(at);
        }
    }

    /// After a restart: what waits goes on waiting, and what has waited enough meanwhile ends.
    pub(super) fn await_all_answers(&mut self) {
        let waiting: Vec<LegRef> = self.book.awaiting().map(|(at, _)| at).collect();
        for at in waiting {
            self.expire_waiting(at);
        }
    }

    /// Ends a leg that has waited enough, or comes back when it has. `true` for a leg that waits, or did until now.
    pub(super) fn expire_waiting(&mut self, at: LegRef) -> bool {
        let Some(LegState::AwaitingApproval { until }) = self.book.leg(at).map(|leg| leg.state.clone()) else { return false };
        if self.now.wall > until {
            self.end_leg(at, Outcome::Expired, Reason::new("expired", format!("nobody approved it until {until}; nothing was sent")));
        } else {
            let left = until.since(self.now.wall).saturating_add(Duration::from_millis(1));
            self.wake_after(left, Timer::Expire(at));
        }
        true
    }

    /// A person answers. Answering the same again changes nothing; what has waited too long has ended. `recalled` is the execution, where
    /// it is no longer at hand.
    pub(super) fn approve(&mut self, approval: Approval, recalled: Option<&ExecutionRecord>, token: Token) {
        let number = approval.execution;
        match self.answered(&approval, recalled) {
            Err(error) => return self.effect(Effect::Rejected { token, error }),
            Ok(waiting) if waiting.is_empty() => {}
            Ok(waiting) => self.take_answer(approval, waiting),
        }
        self.effect(Effect::Accepted { token, execution: number });
    }

    /// The legs that an answer decides; none when it was given before.
    fn answered(&mut self, approval: &Approval, recalled: Option<&ExecutionRecord>) -> Result<Vec<LegRef>, CommandError> {
        let wanted = approval.deployment.as_ref();
        if approval.reason.trim().is_empty() {
            return Err(CommandError::Invalid("a reason is needed: it is journaled with the answer; nothing was done".into()));
        }
        let Some(record) = self.book.execution(approval.execution).or(recalled) else {
            return Err(CommandError::NotFound("there is no such signal".into()));
        };
        let id = record.admission.command.id().clone();
        let deployments: Vec<&DeploymentId> = record.legs.iter().map(|leg| &leg.plan.deployment).collect();
        if let Some(wanted) = wanted.filter(|wanted| !deployments.contains(wanted)) {
            let mut names: Vec<String> = deployments.iter().map(ToString::to_string).collect();
            names.dedup();
            return Err(CommandError::NotFound(format!("{id} is not carried out in {wanted}, but in {}", names.join(", "))));
        }
        let waiting: Vec<(LegRef, bool)> = record.waiting(wanted).map(|(at, leg)| (at, self.has_waited(&leg.state))).collect();
        if !waiting.is_empty() {
            if let Some(reason) = &self.live.journal_failed {
                return Err(CommandError::JournalUnwritable(reason.clone()));
            }
            let (late, in_time): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, late)| *late);
            for (at, _) in &late {
                self.expire_waiting(*at);
            }
            let in_time: Vec<LegRef> = in_time.into_iter().map(|(at, _)| at).collect();
            return if in_time.is_empty() {
                Err(CommandError::NotFound(format!("{id} has waited for too long, and has expired")))
            } else {
                Ok(in_time)
            };
        }
        let answers = || record.answers.iter().filter(|(deployment, _)| wanted.is_none_or(|wanted| wanted == *deployment));
        if let Some((deployment, answer)) = answers().find(|(_, answer)| answer.approved != approval.approved) {
            let words = if answer.approved { "approved" } else { "declined" };
            return Err(CommandError::Answered(format!("{id} was {words} for {deployment} before: {}; that stands", answer.reason)));
        }
        if answers().next().is_none() {
            return Err(CommandError::NotFound(format!("nothing of {id} waits for an approval")));
        }
        Ok(Vec::new())
    }

    fn has_waited(&self, state: &LegState) -> bool {
        matches!(state, LegState::AwaitingApproval { until } if self.now.wall > *until)
    }

    fn take_answer(&mut self, approval: Approval, waiting: Vec<LegRef>) {
        let Approval { execution, deployment, approved, reason } = approval;
        self.weigh_losses();
        self.emit(Event::Approved { execution, deployment, approved, reason: reason.clone() });
        if !approved {
            return waiting.into_iter().for_each(|at| self.end_leg(at, Outcome::Refused, Reason::new("not_approved", reason.clone())));
        }
        for at in &waiting {
            let Some(plan) = self.decide_again(*at) else { continue };
            // Its reserve is booked before the next leg is looked at.
            self.emit(Event::LegDecided { leg: *at, plan });
        }
        self.advance(execution);
        for at in waiting {
            if self.book.leg(at).is_some_and(|leg| leg.state.is_done()) {
                self.after_order(at);
            }
        }
    }

    /// Sizes and checks a leg as if its signal came now.
    fn decide_again(&self, at: LegRef) -> Option<LegPlan> {
        let (record, leg) = self.book.find(at)?;
        let Command::Signal(signal) = &record.admission.command else { return None };
        let deployment = &leg.plan.deployment;
        let setup = self.setup.deployments.get(deployment);
        let share = setup.and_then(|setup| setup.accounts.iter().find(|share| share.account == leg.plan.account));
        match (setup, share) {
            (Some(setup), Some(share)) if self.setup.accounts.contains_key(&share.account) => {
                let place = Place { share, why: leg.plan.routed.clone() };
                Some(self.plan_leg(signal, deployment, setup, place, at.execution))
            }
            _ => {
                let words = format!("{deployment} does not trade on {} any more", leg.plan.account);
                let ended = Some((Outcome::Skipped, Reason::new("no_account", words)));
                Some(LegPlan { awaiting: None, ended, ..leg.plan.clone() })
            }
        }
    }

    /// Whether a further leg of a deployment may be opened without asking a person: none is needed, or the answer was yes.
    pub(super) fn may_go_on(&self, deployment: (&DeploymentId, &DeploymentSetup), record: &ExecutionRecord) -> bool {
        match record.answers.get(deployment.0) {
            Some(answer) => answer.approved,
            None => self.patience(deployment.1).is_none(),
        }
    }
}
