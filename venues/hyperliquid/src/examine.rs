//! Looks at everything that trading depends on, without trading.

use std::time::Duration;

use omnivenue_core::model::instrument::Market;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Finding, Grade, Operation, VenueError};

use crate::account::HyperliquidAccount;
use crate::rest::Purpose;
use crate::{convert, wire};

const PURPOSE: Purpose = Purpose::read(Operation::Examine);
/// A clock further off than this should be set, though requests follow the venue's.
const CLOCK_OFF: Duration = Duration::from_secs(1);
/// A key that ends sooner than this should be replaced.
const KEY_ENDS: Duration = Duration::from_secs(7 * 86_400);

/// One finding per thing looked at. A question that fails is a finding too, except the first.
pub(crate) async fn examine(account: &HyperliquidAccount) -> Result<Vec<Finding>, VenueError> {
    let (client, user) = (account.client(), account.user());
    let now = client.time(PURPOSE).await?;
    let (role, limit, orders) =
        tokio::join!(client.role(user, PURPOSE), client.rate_limit(user, PURPOSE), client.open_orders(user, PURPOSE));
    let (signer, abstraction) = tokio::join!(signer(account, now), client.abstraction(user, PURPOSE));
    let mut findings = vec![clock(account)];
    findings.push(asked("signer", signer));
    findings.push(asked("role", role.map(|role| role_of(account, &role))));
    findings.push(asked("action_budget", limit.map(|limit| budget(&limit))));
    findings.push(asked("mode", abstraction.map(|mode| mode_of(&mode))));
    findings.extend(funds(account).await);
    let count = |orders: Vec<wire::Order>| {
        let ours = orders.iter().filter(|order| convert::is_of(&order.coin, account.market())).count();
        Finding::new("open_orders", Grade::Good, format!("{ours} rest on {}", account.market()))
    };
    findings.push(asked("open_orders", orders.map(count)));
    Ok(findings)
}

fn asked(check: &str, found: Result<Finding, VenueError>) -> Finding {
    found.unwrap_or_else(|error| Finding::new(check, Grade::Warning, format!("could not be asked: {error}")))
}

fn clock(account: &HyperliquidAccount) -> Finding {
    let clock = account.client().clock();
    let (offset, doubt) = (clock.offset(), clock.uncertainty().unwrap_or_default());
    let far = Duration::from_micros(offset.unsigned_abs()) > CLOCK_OFF + doubt;
    let grade = if far { Grade::Warning } else { Grade::Good };
    let advice = if far { "; set this machine's clock" } else { "" };
    Finding::new("clock", grade, format!("the venue's clock is {} ms ahead of ours, give or take {doubt:?}{advice}", offset / 1000))
}

/// Whether the key may trade for the account, and for how long.
async fn signer(account: &HyperliquidAccount, now: Timestamp) -> Result<Finding, VenueError> {
    let (client, signer, master) = (account.client(), account.signer(), account.master());
    if signer == master {
        let words = format!("{signer} is the account's own key: it can also withdraw; an agent's key cannot");
        return Ok(Finding::new("signer", Grade::Good, words));
    }
    let agents = client.agents(master, PURPOSE).await?;
    if let Some(agent) = agents.iter().find(|agent| agent.address.parse() == Ok(signer)) {
        return Ok(agent_of(agent, now));
    }
    // The nameless agent is in no list.
    let role = client.role(signer, PURPOSE).await?;
    let owner = role.data.and_then(|data| data.user).and_then(|user| user.parse().ok());
    if role.role == "agent" && owner == Some(master) {
        let words = format!("{signer} is the nameless agent of {master}; when it ends is not told");
        return Ok(Finding::new("signer", Grade::Good, words));
    }
    let words = format!("{signer} is not approved to trade for {master}; approve it as an agent, or give its own account");
    Ok(Finding::new("signer", Grade::Bad, words))
}

fn agent_of(agent: &wire::ExtraAgent, now: Timestamp) -> Finding {
    let until = Timestamp::from_millis(agent.valid_until);
    let (grade, words) = if until <= now {
        (Grade::Bad, format!("agent `{}` ended at {until}; approve a new key", agent.name))
    } else if until.since(now) < KEY_ENDS {
        (Grade::Warning, format!("agent `{}` ends at {until}; approve a new key before", agent.name))
    } else {
        (Grade::Good, format!("agent `{}`, until {until}", agent.name))
    };
    Finding::new("signer", grade, words)
}

fn role_of(account: &HyperliquidAccount, role: &wire::UserRole) -> Finding {
    let user = account.user();
    let owner = role.data.as_ref().and_then(|data| data.master.as_deref()?.parse::<omnivenue_kit::sign::Address>().ok());
    let (grade, words) = match role.role.as_str() {
        "missing" => (Grade::Bad, format!("{user} is no account: nothing was ever deposited")),
        "agent" => (Grade::Bad, format!("{user} is an agent: give the address of the account it trades for")),
        "subAccount" if account.vault().is_some() && owner.is_some_and(|owner| owner != account.master()) => {
            (Grade::Bad, format!("{user} is a subAccount of another account than {}", account.master()))
        }
        "subAccount" | "vault" if account.vault().is_none() => (Grade::Bad, format!("{user} is a {}: give it as vault_address", role.role)),
        other => (Grade::Good, format!("{user} is a {other}")),
    };
    Finding::new("role", grade, words)
}

fn budget(limit: &wire::UserRateLimit) -> Finding {
    let (used, cap) = (limit.n_requests_used, limit.n_requests_cap);
    let words = format!("{used} of {cap} requests are used; one more comes with every USDC traded");
    let grade = if used >= cap {
        Grade::Bad
    } else if used.saturating_mul(10) >= cap.saturating_mul(9) {
        Grade::Warning
    } else {
        Grade::Good
    };
    Finding::new("action_budget", grade, words)
}

fn mode_of(mode: &str) -> Finding {
    match mode {
        "default" | "disabled" => Finding::new("mode", Grade::Good, format!("spot and perpetuals keep their own balances (`{mode}`)")),
        other => {
            let words =
                format!("the account is in mode `{other}`, in which spot and perpetuals share balances: they are not told apart here");
            Finding::new("mode", Grade::Bad, words)
        }
    }
}

async fn funds(account: &HyperliquidAccount) -> Vec<Finding> {
    let (client, user) = (account.client(), account.user());
    match account.market() {
        Market::Perp | Market::Future => match client.clearinghouse(user, PURPOSE).await {
            Ok(state) => {
                let held = state.asset_positions.iter().map(|held| {
                    let leverage = &held.position.leverage;
                    format!("{} {} at {}x {}", held.position.szi, held.position.coin, leverage.value, leverage.kind)
                });
                let held: Vec<String> = held.collect();
                let positions = if held.is_empty() { "none".to_owned() } else { held.join(", ") };
                vec![funded(&state.margin_summary.account_value, "USDC of margin"), Finding::new("positions", Grade::Good, positions)]
            }
            Err(error) => vec![asked("balance", Err(error))],
        },
        Market::Spot => match client.spot_balances(user, PURPOSE).await {
            Ok(state) => {
                let usdc = state.balances.iter().find(|balance| balance.coin == "USDC");
                vec![funded(usdc.map_or("0", |balance| &balance.total), "USDC on spot")]
            }
            Err(error) => vec![asked("balance", Err(error))],
        },
    }
}

fn funded(total: &str, what: &str) -> Finding {
    let empty = convert::amount(total).is_ok_and(|amount| amount.is_zero());
    let grade = if empty { Grade::Warning } else { Grade::Good };
    Finding::new("balance", grade, format!("{total} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_end_are_told_in_time() {
        let now = Timestamp::from_millis(1_763_640_000_000);
        let check = |days: i64, grade: Grade| {
            let valid_until = now.as_millis() + days * 86_400_000;
            let agent = wire::ExtraAgent { name: "bot".into(), address: String::new(), valid_until };
            assert_eq!(agent_of(&agent, now).grade, grade, "{days} days");
        };
        check(-1, Grade::Bad);
        check(0, Grade::Bad);
        check(6, Grade::Warning);
        check(8, Grade::Good);
    }

    #[test]
    fn budgets_and_modes_have_grades() {
        let check =
            |used, grade: Grade| assert_eq!(budget(&wire::UserRateLimit { n_requests_used: used, n_requests_cap: 10_000 }).grade, grade);
        check(8_999, Grade::Good);
        check(9_000, Grade::Warning);
        check(10_000, Grade::Bad);
        assert_eq!(mode_of("default").grade, Grade::Good);
        assert_eq!(mode_of("unifiedAccount").grade, Grade::Bad);
        assert_eq!(funded("0.0", "x").grade, Grade::Warning);
    }
}
