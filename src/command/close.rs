//! `omnivenue close`: closes positions.

use clap::{ArgGroup, Args};
use omnivenue::control::{Request, WaitFor};
use omnivenue_core::model::close::{CloseRequest, CloseTarget};
use omnivenue_core::model::ids::{AccountId, DeploymentId, SignalId, VenueSymbol};

use super::backend::Backend;
use super::exit::{CommandError, Done};
use super::{Options, show, signal};

/// `omnivenue close`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").required(true).args(["all", "signal", "position"]))]
pub(crate) struct Close {
    /// Every position of ours
    #[arg(long)]
    all: bool,
    /// What is left of one signal's fills
    #[arg(long, value_name = "ID")]
    signal: Option<SignalId>,
    /// One instrument on one account
    #[arg(long, num_args = 2, value_names = ["ACCOUNT", "INSTRUMENT"])]
    position: Option<Vec<String>>,
    /// Only of this deployment
    #[arg(long, requires = "position", value_name = "ID")]
    deployment: Option<DeploymentId>,
    /// Unique for ever: the same id with the same target is the same execution [default: a fresh one]
    #[arg(long)]
    id: Option<SignalId>,
    /// journaled, acknowledged or settled
    #[arg(long, value_parser = signal::wait, default_value = "settled", value_name = "STAGE")]
    wait: WaitFor,
}

impl Close {
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        let (config, _) = options.load()?;
        let output = options.output();
        let wait = self.wait;
        let request = self.request()?;
        let mut backend = Backend::acting(&config, output).await?;
        let answer = backend.ask(Request::Close { request, wait }).await;
        backend.close().await?;
        let execution = answer?;
        let typed = signal::typed(&execution)?;
        output.either(&typed, || show::execution(&execution))?;
        Ok(Done::from(&typed))
    }

    fn request(self) -> Result<CloseRequest, CommandError> {
        let usage = |error: omnivenue_core::model::ids::NameError| CommandError::Usage(error.to_string());
        let target = match (self.signal, self.position.as_deref()) {
            (Some(signal), _) => CloseTarget::Signal(signal),
            (None, Some([account, instrument])) => CloseTarget::Position {
                account: AccountId::new(account).map_err(usage)?,
                instrument: VenueSymbol::new(instrument).map_err(usage)?,
                deployment: self.deployment,
            },
            (None, _) => CloseTarget::All,
        };
        let id = match self.id {
            Some(id) => id,
            None => SignalId::new(&signal::fresh_id("close")).map_err(usage)?,
        };
        Ok(CloseRequest::new(id, target))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Test {
        #[command(flatten)]
        close: Close,
    }

    #[test]
    fn one_target_is_named() {
        let request = |arguments: &[&str]| {
            let parsed = Test::try_parse_from(std::iter::once(&"close").chain(arguments)).map_err(|error| error.to_string())?;
            parsed.close.request().map_err(|error| error.to_string())
        };
        assert_eq!(request(&["--all", "--id", "c-1"]).unwrap(), CloseRequest::new("c-1".parse().unwrap(), CloseTarget::All));
        assert_eq!(request(&["--signal", "s-1"]).unwrap().target, CloseTarget::Signal("s-1".parse().unwrap()));
        let position = CloseTarget::Position { account: "a".parse().unwrap(), instrument: "HYPE".parse().unwrap(), deployment: None };
        assert_eq!(request(&["--position", "a", "HYPE"]).unwrap().target, position);
        assert!(request(&[]).is_err());
        assert!(request(&["--all", "--signal", "s-1"]).is_err());
        assert!(request(&["--position", "a"]).is_err());
        assert!(request(&["--position", "a b", "HYPE"]).unwrap_err().contains("cannot be a account id"));
    }
}
