//! What agents are told of their orders.

use std::collections::{BTreeMap, BTreeSet};

use super::input::AgentInput;
use crate::engine::Kernel;
use crate::executor::{ExecutionRecord, RETAINED};
use crate::journal::{Command, ExecutionNumber};
use crate::model::ids::{AgentId, ClientOrderId, TradeId};

/// What was told already, of the executions that are at hand.
#[derive(Debug, Default)]
pub struct News {
    /// By order: each venue numbers its trades itself.
    told: BTreeMap<ExecutionNumber, BTreeSet<(ClientOrderId, TradeId)>>,
    /// Of executions up to this one it is not known any more which trades were told: none is told again.
    forgotten: ExecutionNumber,
}

impl News {
    /// Nothing told yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What those are told who listen, now that something about an execution changed: its new trades and what is held
    /// after them, then how it stands.
    pub fn of(&mut self, kernel: &Kernel, number: ExecutionNumber, listens: impl Fn(&AgentId) -> bool) -> Vec<(AgentId, AgentInput)> {
        let Some(record) = kernel.state().book().execution(number) else { return Vec::new() };
        let agents = agents(record).into_iter().filter(|agent| listens(agent)).collect::<BTreeSet<_>>();
        if agents.is_empty() {
            return Vec::new();
        }
        let mut news = Vec::new();
        if number > self.forgotten {
            let told = self.told.entry(number).or_default();
            let new = kernel.fills_of(number).into_iter().filter(|(agent, fill)| {
                // Who does not listen now is not told later: what it holds is told when it starts.
                told.insert((fill.client_order_id.clone(), fill.trade_id.clone())) && agents.contains(agent)
            });
            let mut traded = BTreeSet::new();
            for (agent, fill) in new {
                traded.insert(agent.clone());
                news.push((agent, AgentInput::Fill(Box::new(fill))));
            }
            if !traded.is_empty() {
                let positions = kernel.positions();
                news.extend(traded.into_iter().map(|agent| {
                    let own = positions.iter().filter(|position| position.agent == agent).cloned().collect();
                    (agent, AgentInput::Positions(own))
                }));
            }
            while self.told.len() > RETAINED {
                self.forgotten = self.told.pop_first().map_or(self.forgotten, |(number, _)| number);
            }
        }
        if let Some(execution) = kernel.told_of(number) {
            news.extend(agents.iter().map(|agent| ((*agent).clone(), AgentInput::Execution(Box::new(execution.clone())))));
        }
        news
    }
}

/// Whom an execution concerns.
fn agents(record: &ExecutionRecord) -> BTreeSet<&AgentId> {
    let signal = match &record.admission.command {
        Command::Signal(signal) => Some(&signal.agent),
        Command::Close(_) | Command::Protect(_) => None,
    };
    signal.into_iter().chain(record.legs.iter().map(|leg| &leg.plan.agent)).collect()
}
