//! `omnivenue approve`: a person's answer whether a signal may be carried out.

use clap::Args;
use omnivenue::control::{Request, WaitFor};
use omnivenue_core::model::ids::{DeploymentId, SignalId};

use super::backend::Backend;
use super::exit::{CommandError, Done};
use super::{Options, show, signal};

/// `omnivenue approve`.
#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// The signal: see `omnivenue status`
    signal: SignalId,
    /// Only in this deployment [default: wherever it waits]
    #[arg(long, value_name = "ID")]
    deployment: Option<DeploymentId>,
    /// Say no: it ends, refused
    #[arg(long)]
    no: bool,
    /// Why; kept in the journal for ever
    #[arg(long)]
    reason: String,
    /// journaled, acknowledged or settled [default: settled, or acknowledged for one deployment of several]
    #[arg(long, value_parser = signal::wait, value_name = "STAGE")]
    wait: Option<WaitFor>,
}

impl Approve {
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        if self.reason.trim().is_empty() {
            return Err(CommandError::Usage("--reason is empty: say why".into()));
        }
        let (config, _) = options.load()?;
        let output = options.output();
        let approved = !self.no;
        // With only one of several deployments answered, the others may wait for long.
        let wait = self.wait.unwrap_or(if self.deployment.is_some() { WaitFor::Acknowledged } else { WaitFor::Settled });
        let request = Request::Approve { id: self.signal, deployment: self.deployment, approved, reason: self.reason, wait };
        let mut backend = Backend::acting(&config, output).await?;
        let answer = backend.ask(request).await;
        let left = backend.close().await?;
        let execution = answer?;
        let typed = signal::typed(&execution)?;
        output.either(&typed, || show::execution(&execution))?;
        // A no that was heard is no failure.
        let done = if approved { Done::from(&typed) } else { Done::Well };
        Ok(left.and(done))
    }
}
