//! `omnivenue close`: closes positions.

use clap::{ArgGroup, Args};
use omnivenue::control::{Request, WaitFor};
use omnivenue_core::model::close::{CloseRequest, CloseTarget, Part};
use omnivenue_core::model::ids::{AccountId, AgentId, Asset, DeploymentId, SignalId, VenueSymbol};
use omnivenue_core::model::number::{Fraction, Quantity};

use super::backend::Backend;
use super::exit::{CommandError, Done};
use super::{Options, show, signal};

/// `omnivenue close`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").required(true).args(["all", "signal", "agent", "asset", "account", "position"]))]
#[command(group = ArgGroup::new("part").args(["fraction", "quantity"]))]
pub(crate) struct Close {
    /// Every position of ours
    #[arg(long)]
    all: bool,
    /// What is left of one signal's fills
    #[arg(long, value_name = "ID")]
    signal: Option<SignalId>,
    /// Every position of one agent
    #[arg(long, value_name = "ID")]
    agent: Option<AgentId>,
    /// Every position in one asset, such as HYPE
    #[arg(long, value_name = "NAME")]
    asset: Option<Asset>,
    /// Every position on one account
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// One instrument on one account
    #[arg(long, num_args = 2, value_names = ["ACCOUNT", "INSTRUMENT"])]
    position: Option<Vec<String>>,
    /// Only of this deployment
    #[arg(long, requires = "position", value_name = "ID")]
    deployment: Option<DeploymentId>,
    /// Only this share of each position, such as 0.5, rounded down to whole lots
    #[arg(long)]
    fraction: Option<Fraction>,
    /// Only so much of each position, such as 1.5, rounded down to whole lots
    #[arg(long, value_name = "NUMBER")]
    quantity: Option<Quantity>,
    /// Also what is held on the same accounts and instruments and is not ours
    #[arg(long)]
    include_external: bool,
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
        let left = backend.close().await?;
        let execution = answer?;
        let typed = signal::typed(&execution)?;
        output.either(&typed, || show::execution(&execution))?;
        Ok(left.and(Done::from(&typed)))
    }

    fn request(self) -> Result<CloseRequest, CommandError> {
        let usage = |error: omnivenue_core::model::ids::NameError| CommandError::Usage(error.to_string());
        let position = match self.position.as_deref() {
            Some([account, instrument]) => Some(CloseTarget::Position {
                account: AccountId::new(account).map_err(usage)?,
                instrument: VenueSymbol::new(instrument).map_err(usage)?,
                deployment: self.deployment,
            }),
            _ => None,
        };
        let target = position
            .or(self.signal.map(CloseTarget::Signal))
            .or(self.agent.map(CloseTarget::Agent))
            .or(self.asset.map(CloseTarget::Asset))
            .or(self.account.map(CloseTarget::Account))
            .unwrap_or(CloseTarget::All);
        let part = self.fraction.map(Part::Fraction).or(self.quantity.map(Part::Quantity));
        let id = match self.id {
            Some(id) => id,
            None => SignalId::new(&signal::fresh_id("close")).map_err(usage)?,
        };
        let request = CloseRequest { part, include_external: self.include_external, ..CloseRequest::new(id, target) };
        request.check().map_err(CommandError::Usage)?;
        Ok(request)
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
        assert_eq!(request(&["--agent", "a"]).unwrap().target, CloseTarget::Agent("a".parse().unwrap()));
        assert_eq!(request(&["--asset", "HYPE"]).unwrap().target, CloseTarget::Asset("HYPE".parse().unwrap()));
        let half = request(&["--account", "a", "--fraction", "0.5", "--include-external"]).unwrap();
        assert_eq!(half.target, CloseTarget::Account("a".parse().unwrap()));
        assert_eq!((half.part, half.include_external), (Some(Part::Fraction("0.5".parse().unwrap())), true));
        let some = request(&["--all", "--quantity", "1.5"]).unwrap();
        assert_eq!((some.part, some.include_external), (Some(Part::Quantity("1.5".parse().unwrap())), false));
        assert!(request(&["--all", "--quantity", "1.5", "--fraction", "0.5"]).is_err());
        assert!(request(&["--all", "--fraction", "0"]).unwrap_err().contains("greater than 0"));
        assert!(request(&["--all", "--fraction", "1.5"]).unwrap_err().contains("between 0 and 1"));
        assert!(request(&["--agent", "a", "--include-external"]).unwrap_err().contains("holds nothing that is not ours"));
        assert!(request(&["--agent", "a", "--asset", "HYPE"]).is_err());
        assert!(request(&[]).is_err());
        assert!(request(&["--all", "--signal", "s-1"]).is_err());
        assert!(request(&["--position", "a"]).is_err());
        assert!(request(&["--position", "a b", "HYPE"]).unwrap_err().contains("cannot be a account id"));
    }
}
