//! Agents, builders' fees, transfers between the sides of an account, and requests bought: what is not trading.

use omnivenue_core::model::ids::Asset;
use omnivenue_core::model::number::Amount;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value, json};

use super::accounts::Agent;
use super::actions::Refusal;
use super::envelope::Authorized;
use super::numbers;
use super::sign::Address;
use super::state::Hyperliquid;
use super::wire::Malformed;
use crate::json::Json;

const DAY_MS: u64 = 86_400_000;

/// How many transfers are remembered.
const TRANSFERS_MAX: usize = 10_000;

fn usdc() -> Asset {
    Asset::new("USDC").expect("a constant asset")
}

fn default_answer() -> Value {
    json!({ "type": "default" })
}

/// `name` or `name valid_until <milliseconds>`.
fn agent_name(text: &str) -> (Option<String>, Option<u64>) {
    let (name, until) = match text.split_once(" valid_until ") {
        Some((name, until)) => (name, until.trim().parse().ok()),
        None => (text, None),
    };
    ((!name.is_empty()).then(|| name.to_owned()), until)
}

impl Hyperliquid {
    pub(crate) fn approve_agent(&mut self, action: &Json, who: Authorized) -> Result<Value, Refusal> {
        let address: Address = action.text("agentAddress").and_then(|text| text.parse().ok()).ok_or(Malformed)?;
        let (name, until) = agent_name(action.text("agentName").unwrap_or_default());
        let now = self.now_ms();
        let valid_until = until.unwrap_or(now.saturating_add(90 * DAY_MS)).min(now.saturating_add(180 * DAY_MS));
        self.accounts.approve(who.master, Agent { name, address, valid_until }, now)?;
        Ok(default_answer())
    }

    pub(crate) fn approve_builder_fee(&mut self, action: &Json, who: Authorized) -> Result<Value, Refusal> {
        let builder: Address = action.text("builder").and_then(|text| text.parse().ok()).ok_or(Malformed)?;
        let percent = action.text("maxFeeRate").and_then(|text| numbers::read(text.strip_suffix('%')?)).ok_or(Malformed)?;
        // A percent is a hundred basis points, a thousand tenths of one.
        let tenths = numbers::times(percent, Decimal::ONE_THOUSAND).to_u64().ok_or("Invalid builder fee.")?;
        if tenths > 1000 {
            return Err("Builder fee is too high.".into());
        }
        if let Some(account) = self.accounts.get_mut(&who.master) {
            account.builders.insert(builder, tenths);
        }
        Ok(default_answer())
    }

    /// Moves USDC between the sides of an account; `amount` may name a sub-account: `10 subaccount:0x…`.
    pub(crate) fn class_transfer(&mut self, action: &Json, who: Authorized) -> Result<Value, Refusal> {
        let text = action.text("amount").ok_or(Malformed)?;
        let to_perp = action.get("toPerp").and_then(Json::as_bool).ok_or(Malformed)?;
        let (amount, of) = match text.split_once(" subaccount:") {
            Some((amount, sub)) => (amount, sub.parse::<Address>().map_err(|_| Malformed)?),
            None => (text, who.master),
        };
        let own = of == who.master || self.accounts.subs(who.master).any(|(address, _)| *address == of);
        let account = self.accounts.get(&of).filter(|_| own).ok_or_else(|| format!("Vault not registered: {of}"))?;
        let id = account.id.clone();
        let amount: Amount = amount.parse().map_err(|_| Malformed)?;
        if amount <= Amount::ZERO || amount.decimal().scale() > 6 {
            return Err("Invalid amount.".into());
        }
        let free = if to_perp { self.free_spot(of, "USDC") } else { self.withdrawable(of) };
        if amount.decimal() > free {
            return Err("Insufficient balance for withdrawal.".into());
        }
        self.change_balance(&id, to_perp, &usdc(), -amount, true)?;
        self.change_balance(&id, !to_perp, &usdc(), amount, true)?;
        if self.transfers.len() < TRANSFERS_MAX {
            let direction = if to_perp { "spot_to_perp" } else { "perp_to_spot" };
            let time = self.now_ms();
            self.transfers.push(json!({ "account": of.to_string(), "amount": amount, "direction": direction, "time": time }));
        }
        Ok(default_answer())
    }

    /// Requests cost 0.0005 USDC each. Source: ccxt 4.5.90, read 2026-11-20.
    pub(crate) fn buy_weight(&mut self, who: Authorized, weight: u64) -> Result<Value, Refusal> {
        let cost = numbers::times(Decimal::from(weight), Decimal::new(5, 4));
        if cost > self.withdrawable(who.account) {
            return Err("Insufficient balance to reserve request weight.".into());
        }
        let Some(account) = self.accounts.get_mut(&who.account) else {
            return Err("User does not exist.".into());
        };
        account.actions_bought = account.actions_bought.saturating_add(weight);
        let id = account.id.clone();
        let cost = Amount::new(cost).map_err(|e| e.to_string())?;
        self.change_balance(&id, false, &usdc(), -cost, true)?;
        Ok(default_answer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_say_how_long_they_last() {
        assert_eq!(agent_name("bot"), (Some("bot".into()), None));
        assert_eq!(agent_name("bot valid_until 1700000000000"), (Some("bot".into()), Some(1_700_000_000_000)));
        assert_eq!(agent_name(""), (None, None));
    }
}
