//! Processes that die at a moment that chance picks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use omnivenue::model::execution::Execution;
use omnivenue::model::ids::SignalId;
use omnivenue_simulator::Random;
use serde_json::Value;

use crate::support::{Home, micros};

/// Starts the process, looks at what it prints, and kills it at a moment that chance picks.
pub(crate) struct Reaper {
    random: Random,
    pub(crate) unanswered: BTreeSet<SignalId>,
    /// Microseconds from the start to the first line, as last seen.
    first_line: u64,
    /// Microseconds from one line to the next, as last seen.
    between: u64,
    /// Kills before anything was printed.
    pub(crate) young: usize,
    /// Kills that found the process ended.
    pub(crate) late: usize,
    /// New answers before each kill.
    pub(crate) answers: Vec<usize>,
    pub(crate) refusals: BTreeMap<String, usize>,
}

impl Reaper {
    pub(crate) fn new(unanswered: BTreeSet<SignalId>) -> Self {
        let random = Random::new(micros());
        let (answers, refusals) = (Vec::new(), BTreeMap::new());
        Self { random, unanswered, first_line: 200_000, between: 5_000, young: 0, late: 0, answers, refusals }
    }

    /// One life of the process. Lives that are still to come, and the one that is let live, get their share of what is left to do.
    pub(crate) fn life(&mut self, home: &Home, arguments: &[&str], lives_left: usize) {
        let left = u64::try_from(self.unanswered.len() / (lives_left + 2)).unwrap();
        // One in five dies young: while it opens its files, recovers, or answers what was answered before.
        let goal = if self.random.chance(20) { 0 } else { self.random.below(2 * left + 1) };
        let start = micros();
        let process = home.start(arguments);
        let (mut seen, mut new, mut lines) = (0, 0, 0_u64);
        while new < goal {
            let Some(line) = process.line() else { break };
            if lines == 0 {
                self.first_line = (micros() - start).min(400_000);
            }
            lines += 1;
            new += u64::from(self.read(&line));
            seen = micros() - start;
        }
        if lines > 1 {
            self.between = (seen.saturating_sub(self.first_line) / (lines - 1)).min(10_000);
        }
        let wait = if goal == 0 { self.first_line * 5 / 4 } else { 4 * self.between };
        std::thread::sleep(Duration::from_micros(self.random.below(wait + 1)));
        let (killed, rest) = process.kill();
        // A line that was cut off in the middle is no answer.
        let rest = rest.iter().filter(|line| serde_json::from_str::<Value>(line).is_ok()).filter(|line| self.read(line)).count();
        self.young += usize::from(killed && lines == 0 && rest == 0);
        self.late += usize::from(!killed);
        self.answers.push(usize::try_from(new).unwrap() + rest);
    }

    /// Reads a line; says whether it is an answer that was not there before.
    pub(crate) fn read(&mut self, line: &str) -> bool {
        let execution: Execution = serde_json::from_str(line).unwrap_or_else(|error| panic!("no execution ({error}): {line}"));
        let new = self.unanswered.remove(&execution.signal_id);
        for leg in execution.legs.iter().filter(|_| new).filter(|leg| leg.filled_quantity.is_zero()) {
            let code = leg.code.clone().unwrap_or_else(|| leg.state.clone());
            *self.refusals.entry(code).or_default() += 1;
        }
        new
    }
}
