//! `omnivenue run`: many signals, one JSON object a line, executions as lines.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use omnivenue::control::{Failure, Request, WaitFor, codes};
use omnivenue_core::model::ids::SignalId;
use omnivenue_core::model::signal::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::backend::{Backend, Handle};
use super::exit::{CommandError, Done};
use super::input::{self, InputLine};
use super::output::Output;
use super::stop::Stop;
use super::{Options, metrics, signal};

/// `omnivenue run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The signals, one JSON object a line; `-` for stdin
    #[arg(default_value = "-", value_name = "FILE")]
    input: PathBuf,
    /// Keep the engine running after the end of the input, until SIGINT or SIGTERM, as it is anyway while agents run in it
    #[arg(long)]
    stay: bool,
    /// Stop even if that leaves positions without a stop: those that this engine runs itself and no venue can hold
    #[arg(long)]
    leave_unprotected: bool,
    /// When an execution is printed: journaled, acknowledged or settled
    #[arg(long, value_parser = signal::wait, default_value = "settled", value_name = "STAGE")]
    wait: WaitFor,
    /// The most signals on their way at once; the input is read no further meanwhile
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=100), value_name = "N")]
    in_flight: u16,
}

/// How often an engine that stays only for the stops it runs looks whether any are left.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Carries out a signal. The engine answers after a while even if more can trade; who waits for the end asks again.
async fn execute(handle: &Handle, body: &Value, wait: WaitFor) -> Result<Value, Failure> {
    loop {
        let execution = handle.ask(Request::Execute { signal: body.clone(), wait }).await?;
        if wait != WaitFor::Settled || execution["status"] != "working" {
            return Ok(execution);
        }
    }
}

/// What became of one line.
struct Answer {
    line: u64,
    id: Option<SignalId>,
    result: Result<Value, Failure>,
}

impl Run {
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        let (config, _) = options.load()?;
        let output = options.output();
        let served = metrics::serve(&config)?;
        if let Some(address) = served {
            output.note(&format!("omnivenue: numbers are served at http://{address}/metrics"));
        }
        let lines = input::lines(input::open(&self.input)?)?;
        let mut stop = Stop::new()?;
        let backend = Backend::acting(&config, output).await?;
        if self.stay && backend.is_running() {
            return Err(CommandError::Usage("an engine runs already, so this one has nothing to stay for: leave out --stay".into()));
        }
        if self.stay {
            backend.watch_logins();
        }
        // Agents emit for as long as the engine runs: there is no end of the input to wait for.
        let stay = backend.attach_agents().await? > 0 || self.stay;
        let mut running = Running {
            handle: backend.handle()?,
            wait: self.wait,
            tasks: JoinSet::new(),
            pending: BTreeMap::new(),
            done: Done::Well,
            output,
        };
        let result = running.feed(lines, usize::from(self.in_flight), stay, &mut stop).await;
        let last = running.abandon().await;
        let left = end(backend, self.leave_unprotected, &mut stop, output).await?;
        result?;
        last?;
        Ok(running.done.and(left))
    }
}

/// Ends the engine. Where it runs stops that no venue can hold it stays instead, says so, and ends at the next interrupt: someone who has
/// read what it means asks once more, while a second interrupt given before that, in haste, does nothing.
async fn end(mut backend: Backend, leave_unprotected: bool, stop: &mut Stop, output: Output) -> Result<Done, CommandError> {
    if leave_unprotected {
        return backend.close().await;
    }
    loop {
        let Some(exposed) = backend.end().await? else { return Ok(Done::Well) };
        stop.forget().await;
        output.note(&format!(
            "omnivenue: not stopped: this engine runs the stops of {exposed}, and nothing would protect these positions without it. It goes on \
             looking after them, and takes commands from elsewhere, such as `omnivenue close`; no further input is read. Interrupt it once more \
             to leave them unprotected"
        ));
        loop {
            tokio::select! {
                () = stop.asked() => return backend.close().await,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            if !backend.runs_stops().await {
                break;
            }
        }
    }
}

struct Running {
    handle: Handle,
    wait: WaitFor,
    tasks: JoinSet<Answer>,
    /// The signals that are on their way, by line.
    pending: BTreeMap<u64, SignalId>,
    done: Done,
    output: Output,
}

impl Running {
    /// Until the input ends and all has settled, or until asked to stop.
    async fn feed(
        &mut self,
        mut lines: tokio::sync::mpsc::Receiver<InputLine>,
        most: usize,
        stay: bool,
        stop: &mut Stop,
    ) -> Result<(), CommandError> {
        let mut ended = false;
        loop {
            if ended && self.tasks.is_empty() && !stay {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = stop.asked() => {
                    tracing::info!(on_their_way = self.tasks.len(), "stopping");
                    return Ok(());
                }
                Some(answer) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    let answer = answer.map_err(|error| CommandError::failed(format!("a task ended early: {error}")))?;
                    self.print(answer)?;
                }
                line = lines.recv(), if !ended && self.tasks.len() < most => match line {
                    Some(line) => self.start(line)?,
                    None => ended = true,
                },
            }
        }
    }

    fn start(&mut self, line: InputLine) -> Result<(), CommandError> {
        let parsed = line.text.and_then(|text| {
            let signal = Signal::from_json(&text).map_err(|error| error.to_string())?;
            let body: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            Ok((signal.id, body))
        });
        match parsed {
            Err(problem) => self.print(Answer { line: line.number, id: None, result: Err(Failure::new(codes::BAD_REQUEST, problem)) }),
            Ok((id, body)) => {
                self.pending.insert(line.number, id.clone());
                let (handle, wait) = (self.handle.clone(), self.wait);
                self.tasks.spawn(async move {
                    let result = execute(&handle, &body, wait).await;
                    Answer { line: line.number, id: Some(id), result }
                });
                Ok(())
            }
        }
    }

    fn print(&mut self, answer: Answer) -> Result<(), CommandError> {
        self.pending.remove(&answer.line);
        match answer.result {
            Ok(execution) => {
                let execution = signal::typed(&execution)?;
                self.done = self.done.and(Done::from(&execution));
                self.output.line(&execution)
            }
            Err(failure) => {
                self.done = self.done.and(Done::Refused);
                let mut line = json!({ "error": failure, "line": answer.line });
                if let Some(id) = answer.id {
                    line["signal_id"] = json!(id);
                }
                self.output.line(&line)
            }
        }
    }

    /// Prints how what is still on its way stands; it goes on at the next start.
    async fn abandon(&mut self) -> Result<(), CommandError> {
        // What was started just now hands its signal over first.
        tokio::task::yield_now().await;
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        for (line, id) in std::mem::take(&mut self.pending) {
            let asked = tokio::time::timeout(Duration::from_secs(5), self.handle.ask(Request::Execution { id: id.clone() })).await;
            let result = match asked {
                Ok(Ok(Value::Null)) => Err(Failure::new(codes::FAILED, "stopped before it was taken; nothing was done")),
                Ok(result) => result,
                Err(_) => Err(Failure::new(codes::UNREACHABLE, "stopped; how it stands is not known, the same id again is safe")),
            };
            self.print(Answer { line, id: Some(id), result })?;
        }
        Ok(())
    }
}
