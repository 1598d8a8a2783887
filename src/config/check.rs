//! What must hold between the parts of a configuration.

use std::collections::{BTreeMap, BTreeSet};

use omnivenue_core::model::close::RESERVED;
use omnivenue_core::model::number::Notional;

use super::node::{Node, Value};
use super::section::{Issue, did_you_mean};
use super::{AccountConfig, Config, DeploymentConfig};

/// Where things stand in the file: the line of `table[place]`.
struct Lines<'a>(&'a BTreeMap<String, Node>);

impl Lines<'_> {
    /// The place and line of the item of `[[table]]` with this id; of the last one when several have it.
    fn of(&self, table: &str, id: &str) -> (usize, Option<usize>) {
        let Some(Value::List(items)) = self.0.get(table).map(|node| &node.value) else {
            return (0, None);
        };
        let named = |node: &Node| matches!(&node.value, Value::Table(item) if item.get("id").is_some_and(|node| node.value == Value::Text(id.to_owned())));
        items.iter().rposition(named).map_or((0, None), |place| (place, items[place].line))
    }
}

/// Checks the parts against one another: mistakes, and the configuration with its warnings.
pub(super) fn together(mut config: Config, table: &BTreeMap<String, Node>) -> (Config, Vec<Issue>) {
    let mut found = Found { lines: Lines(table), issues: Vec::new(), warnings: Vec::new() };
    // What could not be read has been reported; what refers to it is not reported again.
    let given = |key: &str| table.get(key).map_or(0, |node| if let Value::List(items) = &node.value { items.len() } else { 0 });
    let whole = given("account") == config.accounts.len()
        && given("agent") == config.agents.len()
        && given("deployment") == config.deployments.len();
    found.ids(&config);
    found.reserved(&config);
    found.presence(table);
    if whole {
        found.references(&config);
        found.allocations(&config);
    }
    found.venues(&config);
    found.oddities(&config);
    config.warnings = found.warnings;
    (config, found.issues)
}

struct Found<'a> {
    lines: Lines<'a>,
    issues: Vec<Issue>,
    warnings: Vec<String>,
}

impl Found<'_> {
    fn issue(&mut self, table: &str, id: &str, key: &str, problem: String) {
        let (place, line) = self.lines.of(table, id);
        self.issues.push(Issue { key: format!("{table}[{place}].{key}"), line, problem });
    }

    fn ids(&mut self, config: &Config) {
        self.unique("account", config.accounts.iter().map(|account| account.id.as_str()));
        self.unique("agent", config.agents.iter().map(|agent| agent.id.as_str()));
        self.unique("deployment", config.deployments.iter().map(|deployment| deployment.id.as_str()));
    }

    /// Some names stand for what is nobody's.
    fn reserved(&mut self, config: &Config) {
        let agents = config.agents.iter().map(|agent| ("agent", agent.id.as_str()));
        let deployments = config.deployments.iter().map(|deployment| ("deployment", deployment.id.as_str()));
        for (table, id) in agents.chain(deployments).filter(|(_, id)| id.starts_with(RESERVED)) {
            self.issue(table, id, "id", format!("got \"{id}\", but names that begin with \"{RESERVED}\" are the engine's own"));
        }
    }

    fn unique<'a>(&mut self, table: &str, ids: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for id in ids {
            if !seen.insert(id) {
                self.issue(table, id, "id", format!("got \"{id}\", which another [[{table}]] has already; ids are unique"));
            }
        }
    }

    fn presence(&mut self, table: &BTreeMap<String, Node>) {
        for key in ["account", "agent", "deployment"] {
            if !table.contains_key(key) {
                self.issues.push(Issue { key: key.into(), line: None, problem: format!("is missing: give at least one [[{key}]]") });
            }
        }
    }

    fn references(&mut self, config: &Config) {
        let agents = || config.agents.iter().map(|agent| agent.id.as_str());
        let accounts = || config.accounts.iter().map(|account| account.id.as_str());
        for deployment in &config.deployments {
            let id = deployment.id.as_str();
            if !agents().any(|agent| agent == deployment.agent.as_str()) {
                let given = &deployment.agent;
                let hint = did_you_mean(given.as_str(), agents());
                self.issue("deployment", id, "agent", format!("got \"{given}\", but no [[agent]] has that id{hint}"));
            }
            let mut seen = BTreeSet::new();
            for (place, share) in deployment.accounts.iter().enumerate() {
                let (key, given) = (format!("accounts[{place}].account"), &share.account);
                if !accounts().any(|account| account == given.as_str()) {
                    let hint = did_you_mean(given.as_str(), accounts());
                    self.issue("deployment", id, &key, format!("got \"{given}\", but no [[account]] has that id{hint}"));
                } else if !seen.insert(given) {
                    self.issue("deployment", id, &key, format!("got \"{given}\" a second time; name each account once"));
                }
                self.fallback(config, deployment, place);
            }
        }
        for agent in agents() {
            if !config.deployments.iter().any(|deployment| deployment.agent.as_str() == agent) {
                self.issue(
                    "agent",
                    agent,
                    "id",
                    format!("no [[deployment]] carries out the signals of \"{agent}\": add one, or remove the agent"),
                );
            }
        }
    }

    /// Where entries go in an emergency must be an account of the same market that moves no money, and none that is traded here anyway: a
    /// leg's key is its account.
    fn fallback(&mut self, config: &Config, deployment: &DeploymentConfig, place: usize) {
        let Some(share) = deployment.accounts.get(place) else { return };
        let Some(given) = &share.fallback else { return };
        let find = |id| config.accounts.iter().find(|account| account.id == id);
        let papers = config.accounts.iter().filter(|account| account.paper.is_some()).map(|account| account.id.as_str());
        let papers = papers.filter(|id| !deployment.accounts.iter().any(|share| share.account.as_str() == *id));
        let fit = papers.map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(", ");
        let fit = if fit.is_empty() {
            "there is none yet: add an [[account]] with environment = \"paper\"".to_owned()
        } else {
            format!("those that fit: {fit}")
        };
        let problem = match find(given.clone()) {
            None => {
                let hint = did_you_mean(given.as_str(), config.accounts.iter().map(|account| account.id.as_str()));
                format!("got \"{given}\", but no [[account]] has that id{hint}; it must be a paper account, {fit}")
            }
            Some(account) if account.paper.is_none() => format!("got \"{given}\", which is not paper; it must be a paper account, {fit}"),
            Some(_) if deployment.accounts.iter().any(|share| share.account == *given) => {
                format!("got \"{given}\", which this deployment trades on anyway; it must be another paper account, {fit}")
            }
            Some(account) => match find(share.account.clone()).filter(|of| of.market != account.market) {
                None => return,
                Some(of) => format!(
                    "got \"{given}\", which trades {}, but \"{}\" trades {}; they must trade the same",
                    account.market, of.id, of.market
                ),
            },
        };
        self.issue("deployment", deployment.id.as_str(), &format!("accounts[{place}].fallback"), problem);
    }

    fn allocations(&mut self, config: &Config) {
        for account in &config.accounts {
            let shares =
                || config.deployments.iter().flat_map(|deployment| &deployment.accounts).filter(|share| share.account == account.id);
            let total = shares().filter_map(|share| share.allocation).try_fold(Notional::ZERO, Notional::plus);
            match (total, account.paper.as_ref().map(|paper| paper.balance)) {
                // What a real account holds is known only to its venue: the capital gate asks it with every order.
                (Ok(_), None) => {}
                (Ok(total), Some(balance)) if total <= balance => {}
                (Ok(total), Some(balance)) => {
                    let problem = format!(
                        "deployments are allocated {total} of \"{}\", but its balance is {balance}: lower an allocation or raise the balance",
                        account.id
                    );
                    self.issue("account", account.id.as_str(), "paper.balance", problem);
                }
                (Err(error), _) => self.issue("account", account.id.as_str(), "paper.balance", error.to_string()),
            }
            if shares().count() > 1 && shares().any(|share| share.allocation.is_none()) {
                self.warnings.push(format!(
                    "account \"{}\" serves several deployments, and one without an allocation may use all of it",
                    account.id
                ));
            }
            let stands_in = config.deployments.iter().flat_map(|d| &d.accounts).any(|share| share.fallback.as_ref() == Some(&account.id));
            if shares().next().is_none() && !stands_in {
                self.warnings.push(format!("account \"{}\" is in no deployment, so nothing is traded on it", account.id));
            }
        }
    }

    /// Accounts at one venue share where it is: its environment and URLs, or its simulated exchange.
    fn venues(&mut self, config: &Config) {
        let mut first: BTreeMap<&str, &AccountConfig> = BTreeMap::new();
        for account in &config.accounts {
            let other = *first.entry(account.venue.as_str()).or_insert(account);
            let place = [
                ("environment", account.environment != other.environment),
                ("urls", account.urls != other.urls),
                ("order_lifetime", account.order_lifetime != other.order_lifetime),
            ];
            for (key, _) in place.into_iter().filter(|(_, differs)| *differs) {
                let problem = format!("differs from that of account \"{}\", but both are at venue \"{}\"", other.id, account.venue);
                self.issue("account", account.id.as_str(), key, problem);
            }
            let (Some(ours), Some(theirs)) = (&account.paper, &other.paper) else { continue };
            let differs = [
                ("preset", ours.preset != theirs.preset),
                ("prices", ours.prices != theirs.prices),
                ("latency", ours.latency != theirs.latency),
                ("faults", ours.faults != theirs.faults),
                ("resend", ours.resend != theirs.resend),
                ("absence", ours.absence != theirs.absence),
                ("funding", ours.funding != theirs.funding),
            ];
            for (key, _) in differs.into_iter().filter(|(_, differs)| *differs) {
                let problem = format!(
                    "differs from that of account \"{}\", but both are at venue \"{}\" and share its exchange",
                    other.id, account.venue
                );
                self.issue("account", account.id.as_str(), &format!("paper.{key}"), problem);
            }
        }
    }

    fn oddities(&mut self, config: &Config) {
        for account in &config.accounts {
            let Some(paper) = &account.paper else { continue };
            let unused = [
                ("urls", account.urls.is_empty() || paper.prices.live),
                ("credentials", account.credentials.is_empty()),
                ("address", account.address.is_none()),
                ("vault_address", account.vault_address.is_none()),
                ("order_lifetime", account.order_lifetime.is_none()),
            ];
            for (key, _) in unused.into_iter().filter(|(_, empty)| !*empty) {
                self.warnings.push(format!("account \"{}\" is paper, so its {key} are not used", account.id));
            }
        }
        let limits = config.deployments.iter().map(|deployment| (format!("deployment \"{}\"", deployment.id), &deployment.limits));
        for (what, limits) in limits.chain([("[risk]".to_owned(), &config.risk.limits)]) {
            if let (Some(order), Some(total)) = (limits.max_order_notional, limits.max_notional)
                && order > total
            {
                self.warnings.push(format!("{what} admits orders of {order}, but no more than {total} altogether"));
            }
            if limits.max_notional.is_none() {
                self.warnings.push(format!("{what} has no max_notional"));
            }
        }
    }
}
