//! Asking user gates about a new signal, away from the engine's thread: a thread for each gate and agent, a deadline for each signal.
//!
//! The engine waits for no gate: what is asked comes back as a message, with or without answers. A gate that hangs holds up its own agent's
//! lane and nothing else; what waits in a lane is bounded, and refused at once beyond that.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use tokio::sync::mpsc;

use super::env::Env;
use crate::executor::{CommandError, Setup, State};
use crate::gates::{Ruling, UserGate, UserQuestion, UserVerdict};
use crate::model::ids::{AccountId, AgentId, DeploymentId};
use crate::model::signal::Signal;

/// Signals of one agent that may wait for one gate.
const LANE: usize = 64;

/// The longest name of a gate.
const NAME: usize = 64;

/// One signal's questions to one gate.
struct Job {
    questions: Arc<[UserQuestion]>,
    /// Until when an answer counts, by the monotonic clock.
    until: u64,
    answers: mpsc::UnboundedSender<Told>,
}

/// What one gate said of one leg.
struct Told {
    gate: usize,
    leg: usize,
    verdict: UserVerdict,
}

/// The user gates of an engine.
pub(super) struct UserGates {
    env: Arc<dyn Env>,
    gates: Vec<Arc<dyn UserGate>>,
    lanes: BTreeMap<(usize, AgentId), std_mpsc::SyncSender<Job>>,
}

impl UserGates {
    pub(super) fn new(env: Arc<dyn Env>) -> Self {
        Self { env, gates: Vec::new(), lanes: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gates.is_empty()
    }

    /// Has one more gate asked from now on.
    pub(super) fn add(&mut self, gate: Arc<dyn UserGate>) -> Result<(), CommandError> {
        let name = gate.name();
        if name.is_empty() || name.chars().count() > NAME {
            return Err(CommandError::Invalid(format!("the name of a user gate must have 1 to {NAME} characters; it was not added")));
        }
        if self.gates.iter().any(|other| other.name() == name) {
            return Err(CommandError::Invalid(format!("there is a user gate {name} already; this one was not added")));
        }
        self.gates.push(gate);
        Ok(())
    }

    /// Asks every gate about every leg; what comes of it is there by the deadline at the latest.
    pub(super) fn ask(&mut self, questions: Vec<UserQuestion>, allowed: Duration) -> impl Future<Output = Vec<Ruling>> + Send + use<> {
        let (answers, told) = mpsc::unbounded_channel();
        let until = self.env.now().monotonic.saturating_add(u64::try_from(allowed.as_micros()).unwrap_or(u64::MAX));
        let questions: Arc<[UserQuestion]> = questions.into();
        let agent = questions.first().map(|question| question.agent.clone());
        for gate in 0..self.gates.len() {
            let Some(agent) = &agent else { break };
            let job = Job { questions: Arc::clone(&questions), until, answers: answers.clone() };
            if let Err(words) = self.hand_over(gate, agent, job) {
                for leg in 0..questions.len() {
                    let _ = answers.send(Told { gate, leg, verdict: UserVerdict::Refuse(words.clone()) });
                }
            }
        }
        let names = self.gates.iter().map(|gate| gate.name().to_owned()).collect();
        gather(self.env.sleep(allowed), allowed, names, questions, told)
    }

    fn hand_over(&mut self, gate: usize, agent: &AgentId, job: Job) -> Result<(), String> {
        let lane = match self.lanes.get(&(gate, agent.clone())) {
            Some(lane) => lane,
            None => {
                let lane = self.open_lane(gate, agent).map_err(|error| format!("no thread could be started to ask it: {error}"))?;
                self.lanes.entry((gate, agent.clone())).or_insert(lane)
            }
        };
        lane.try_send(job).map_err(|error| match error {
            std_mpsc::TrySendError::Full(_) => format!("{LANE} signals of {agent} wait for its answer already"),
            std_mpsc::TrySendError::Disconnected(_) => "its thread has ended".to_owned(),
        })
    }

    /// A thread that ends once the engine has, and it has answered.
    fn open_lane(&self, gate: usize, agent: &AgentId) -> std::io::Result<std_mpsc::SyncSender<Job>> {
        let (lane, jobs) = std_mpsc::sync_channel::<Job>(LANE);
        let (env, asked) = (Arc::clone(&self.env), Arc::clone(&self.gates[gate]));
        let body = move || {
            while let Ok(job) = jobs.recv() {
                answer(&*env, gate, &*asked, &job);
            }
        };
        self.env.spawn_thread(&format!("gate-{agent}"), Box::new(body))?;
        Ok(lane)
    }
}

fn answer(env: &dyn Env, gate: usize, asked: &dyn UserGate, job: &Job) {
    for (leg, question) in job.questions.iter().enumerate() {
        if env.now().monotonic >= job.until {
            // Nobody waits any more.
            return;
        }
        let verdict = match catch_unwind(AssertUnwindSafe(|| asked.check(question))) {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => UserVerdict::Refuse(format!("it failed: {error}")),
            Err(_) => UserVerdict::Refuse("it panicked".to_owned()),
        };
        if job.answers.send(Told { gate, leg, verdict }).is_err() {
            return;
        }
    }
}

/// Waits for every answer, or for the deadline: what is missing then refuses.
async fn gather(
    deadline: impl Future<Output = ()> + Send,
    allowed: Duration,
    names: Vec<String>,
    questions: Arc<[UserQuestion]>,
    mut told: mpsc::UnboundedReceiver<Told>,
) -> Vec<Ruling> {
    let mut verdicts: Vec<Vec<Option<UserVerdict>>> = vec![vec![None; names.len()]; questions.len()];
    let mut missing = questions.len() * names.len();
    let mut deadline = std::pin::pin!(deadline);
    while missing > 0 {
        tokio::select! {
            biased;
            Some(Told { gate, leg, verdict }) = told.recv() => {
                let place = verdicts.get_mut(leg).and_then(|leg| leg.get_mut(gate));
                if place.is_some_and(|place| place.replace(verdict).is_none()) {
                    missing -= 1;
                }
            }
            () = &mut deadline => break,
        }
    }
    let late = || UserVerdict::Refuse(format!("it did not answer within {allowed:?}"));
    let ruling = |(question, said): (&UserQuestion, Vec<Option<UserVerdict>>)| {
        let said = names.iter().cloned().zip(said.into_iter().map(|verdict| verdict.unwrap_or_else(late)));
        Ruling::of(question.deployment.clone(), question.account.clone(), said)
    };
    questions.iter().zip(verdicts).map(ruling).collect()
}

/// What user gates are asked about a signal: each account that may take part in any deployment of its agent.
pub(super) fn questions(setup: &Setup, state: &State, signal: &Signal, at: crate::model::time::Timestamp) -> Vec<UserQuestion> {
    let signal = Arc::new(signal.clone());
    let places = setup.deployments.iter().filter(|(_, deployment)| deployment.agent == signal.agent);
    let places: Vec<(DeploymentId, AccountId)> =
        places.flat_map(|(id, deployment)| deployment.accounts.iter().map(|share| (id.clone(), share.account.clone()))).collect();
    let question = |(deployment, account): (DeploymentId, AccountId)| {
        let venue = setup.accounts.get(&account)?.venue.clone();
        if signal.venues.as_ref().is_some_and(|named| !named.contains(&venue)) || signal.routing.weight(&venue).is_none() {
            return None;
        }
        let instrument = setup.instrument_for(&signal, (&account, &venue), at).ok().map(|one| one.symbol.clone());
        let quote = instrument.as_ref().and_then(|symbol| state.quote(&venue, symbol)).cloned();
        Some(UserQuestion::new(Arc::clone(&signal), deployment, account, venue, instrument, quote, at))
    };
    places.into_iter().filter_map(question).collect()
}
