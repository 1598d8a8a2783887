//! `omnivenue cancel`: takes back what rests of a signal.

use clap::Args;
use omnivenue::control::Request;
use omnivenue_core::model::ids::SignalId;

use super::Options;
use super::backend::Backend;
use super::exit::{CommandError, Done};

/// `omnivenue cancel`.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The signal
    signal: SignalId,
}

impl Cancel {
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        let (config, _) = options.load()?;
        let output = options.output();
        let mut backend = Backend::acting(&config, output).await?;
        let answer = backend.ask(Request::Cancel { id: self.signal.clone() }).await;
        let left = backend.close().await?;
        let answer = answer?;
        output.either(&answer, || format!("what rests of {} is being canceled; see `omnivenue execution {}`", self.signal, self.signal))?;
        Ok(left)
    }
}
