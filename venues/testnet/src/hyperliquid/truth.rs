//! What really happened here: for tests, never for clients.

use serde_json::{Map, Value, json};

use super::account_info::fill;
use super::accounts::Role;
use super::numbers::{plain, text};
use super::orders::{Order, Stage, Tpsl, Trigger};
use super::sign::Address;
use super::state::Hyperliquid;

fn order(order: &Order) -> Value {
    json!({
        "oid": order.oid, "cloid": order.cloid, "symbol": order.coin, "asset": order.asset, "side": if order.buy { "buy" } else { "sell" },
        "price": order.price, "quantity": order.quantity, "filled": order.filled, "status": order.status,
        "waits_for": Hyperliquid::waits_for(order), "reduce_only": order.reduce_only, "time_in_force": order.tif,
        "trigger_price": order.trigger.map(|trigger| trigger.price), "trigger": order.trigger.map(trigger), "group": order.group, "nonce": order.nonce, "signer": order.signer.to_string(),
        "time": order.timestamp, "status_time": order.status_timestamp, "reason": order.why,
    })
}

/// Which exit it is, and what it does when it wakes.
fn trigger(trigger: Trigger) -> Value {
    let kind = if trigger.tpsl == Tpsl::Sl { "stop_loss" } else { "take_profit" };
    json!({ "kind": kind, "price": trigger.price, "market": trigger.market, "position": trigger.position })
}

impl Hyperliquid {
    fn account_truth(&mut self, address: Address) -> Value {
        let Some(account) = self.accounts.get(&address).cloned() else {
            return Value::Null;
        };
        let role = match account.role {
            Role::User => "user",
            Role::SubAccount(_) => "sub_account",
            Role::Vault(_) => "vault",
        };
        let (accepted, rejected): (Vec<&Order>, Vec<&Order>) = self.orders.of(address).partition(|order| order.was_accepted());
        let (accepted, rejected): (Vec<Value>, Vec<Value>) =
            (accepted.into_iter().map(order).collect(), rejected.into_iter().map(order).collect());
        // Those that wait for their entry too.
        let waiting: Vec<Value> =
            self.orders.of(address).filter(|order| order.is_open() && order.stage != Stage::Live).map(order).collect();
        let fills: Vec<Value> = self.fills.get(&address).into_iter().flatten().map(fill).collect();
        let now = self.system;
        let balances = |venue: &mut Self, spot| {
            let balances = venue.market.balances(now, &account.id, spot).into_iter();
            balances.map(|(asset, amount)| (asset.to_string(), amount.to_string().into())).collect::<Map<String, Value>>()
        };
        let (perp, spot) = (balances(self, false), balances(self, true));
        let mut positions = Map::new();
        for coin in self.perps() {
            let held = self.held(address, coin.asset);
            if !held.size.is_zero() {
                let shown = json!({ "quantity": plain(held.size), "cost": plain(held.cost) });
                positions.insert(coin.name.to_string(), shown);
            }
        }
        json!({
            "name": account.name, "role": role, "orders": accepted, "rejected_orders": rejected, "waiting_triggers": waiting,
            "fills": fills,
            "balances": { "perp": perp, "spot": spot }, "positions": positions, "equity": plain(self.market.equity(now, &account.id)),
            "volume": text(account.volume), "actions_used": account.actions_used,
            "agents": account.agents.iter().map(|agent| json!({
                "name": agent.name, "address": agent.address.to_string(), "valid_until": agent.valid_until })).collect::<Vec<_>>(),
        })
    }

    pub(crate) fn whole_truth(&mut self) -> Value {
        let addresses: Vec<Address> = self.accounts.iter().map(|(address, _)| *address).collect();
        let accounts: Map<String, Value> =
            addresses.into_iter().map(|address| (address.to_string(), self.account_truth(address))).collect();
        let refused: Vec<Value> = self
            .refused
            .iter()
            .map(|refused| {
                json!({
                    "time": refused.at, "kind": refused.kind, "account": refused.account.map(|a| a.to_string()),
                    "signer": refused.signer.map(|s| s.to_string()), "nonce": refused.nonce, "reason": refused.reason,
                })
            })
            .collect();
        let marks: Map<String, Value> = self
            .market
            .coins
            .clone()
            .iter()
            .map(|coin| (coin.name.to_string(), plain(self.market.mark(self.system, coin)).into()))
            .collect();
        json!({
            "time": self.now_ms(), "accounts": accounts, "refused": refused, "refused_count": self.refused_count,
            "requests": self.requests, "transfers": self.transfers, "marks": marks, "skew_ms": self.skew_ms,
        })
    }
}
