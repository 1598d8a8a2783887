//! What the venue tells about an account. An address it does not know has nothing, as at the venue.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::accounts::{Account, LeverageSetting, Role};
use super::limits;
use super::numbers::{minus, over, plus, text, times, usd};
use super::orders::{Order, Stage, Tpsl, Trigger};
use super::settle::Fill;
use super::sign::Address;
use super::state::Hyperliquid;
use super::universe::{Coin, TOKENS};

/// The venue tells of at most so many fills or orders at once.
const LIST_MAX: usize = 2000;

pub(crate) fn side(buy: bool) -> &'static str {
    if buy { "B" } else { "A" }
}

/// An order as `openOrders` and the order stream tell of it.
pub(crate) fn basic(order: &Order) -> Value {
    let mut value = json!({
        "coin": order.coin, "side": side(order.buy), "limitPx": text(order.price.decimal()),
        "sz": text(order.remaining().decimal()), "oid": order.oid, "timestamp": order.timestamp,
        "origSz": text(order.quantity.decimal()),
    });
    if let Some(cloid) = &order.cloid {
        value["cloid"] = cloid.as_str().into();
    }
    if order.reduce_only {
        value["reduceOnly"] = true.into();
    }
    value
}

fn order_type(order: &Order) -> &'static str {
    match order.trigger {
        Some(Trigger { tpsl: Tpsl::Sl, market: true, .. }) => "Stop Market",
        Some(Trigger { tpsl: Tpsl::Sl, .. }) => "Stop Limit",
        Some(Trigger { tpsl: Tpsl::Tp, market: true, .. }) => "Take Profit Market",
        Some(Trigger { tpsl: Tpsl::Tp, .. }) => "Take Profit Limit",
        None if order.tif.as_deref() == Some("FrontendMarket") => "Market",
        None => "Limit",
    }
}

fn condition(order: &Order) -> String {
    let Some(trigger) = order.trigger else {
        return "N/A".into();
    };
    let rising = (trigger.tpsl == Tpsl::Sl) == order.buy;
    format!("Price {} {}", if rising { "above" } else { "below" }, trigger.price)
}

fn opened(order: &Order) -> &'static str {
    match order.stage {
        _ if !order.is_open() => "",
        Stage::Entry => "waitingForFill",
        Stage::Trigger => "waitingForTrigger",
        Stage::Live => "resting",
    }
}

/// A trade as the venue tells of it.
pub(crate) fn fill(fill: &Fill) -> Value {
    let mut value = json!({
        "coin": fill.coin, "px": text(fill.price), "sz": text(fill.size), "side": side(fill.buy), "time": fill.time,
        "startPosition": text(fill.start), "dir": fill.direction, "closedPnl": text(fill.closed_pnl), "hash": fill.hash,
        "oid": fill.oid, "crossed": fill.crossed, "fee": text(fill.fee), "tid": fill.tid, "feeToken": fill.fee_token, "twapId": null,
    });
    if let Some(cloid) = &fill.cloid {
        value["cloid"] = cloid.as_str().into();
    }
    if let Some(fee) = fill.builder_fee {
        value["builderFee"] = text(fee).into();
    }
    value
}

impl Hyperliquid {
    /// An order as `frontendOpenOrders` and `orderStatus` tell of it.
    pub(crate) fn frontend(&self, order: &Order) -> Value {
        let mut value = basic(order);
        let children: Vec<Value> = order
            .children
            .iter()
            .filter_map(|oid| self.orders.get(*oid))
            .filter(|child| child.is_open() && child.stage == Stage::Entry)
            .map(|child| self.frontend(child))
            .collect();
        value["triggerCondition"] = condition(order).into();
        value["isTrigger"] = order.trigger.is_some().into();
        value["triggerPx"] = text(order.trigger.map_or(Decimal::ZERO, |trigger| trigger.price.decimal())).into();
        value["children"] = children.into();
        value["isPositionTpsl"] = order.trigger.is_some_and(|trigger| trigger.position).into();
        value["reduceOnly"] = order.reduce_only.into();
        value["orderType"] = order_type(order).into();
        value["tif"] = order.tif.as_deref().map_or(Value::Null, Into::into);
        value["cloid"] = order.cloid.as_deref().map_or(Value::Null, Into::into);
        value
    }

    pub(crate) fn order_status(&self, order: &Order) -> Value {
        json!({ "order": self.frontend(order), "status": order.status, "statusTimestamp": order.status_timestamp })
    }

    /// Orders that rest or wait for their trigger; children that wait for their entry are told with it.
    pub(crate) fn open_orders(&self, user: Address, frontend: bool) -> Vec<Value> {
        let open = self.orders.open_of(user).filter(|order| order.stage != Stage::Entry);
        open.map(|order| if frontend { self.frontend(order) } else { basic(order) }).collect()
    }

    pub(crate) fn historical(&self, user: Address) -> Vec<Value> {
        self.orders.of(user).rev().take(LIST_MAX).map(|order| self.order_status(order)).collect()
    }

    /// The latest fills, newest first.
    pub(crate) fn latest_fills(&self, user: Address) -> Vec<Value> {
        self.fills.get(&user).into_iter().flatten().rev().take(LIST_MAX).map(fill).collect()
    }

    /// Fills of a span of time, oldest first.
    pub(crate) fn fills_between(&self, user: Address, from: u64, to: u64) -> Vec<Value> {
        let all = self.fills.get(&user).into_iter().flatten();
        all.filter(|fill| (from..=to).contains(&fill.time)).take(LIST_MAX).map(fill).collect()
    }

    fn margin_of(&mut self, user: Address, coin: &Coin) -> (Decimal, Decimal, LeverageSetting) {
        let mark = self.market.mark(self.system, coin);
        let value = times(self.held(user, coin.asset).size, mark);
        let leverage = self.leverage_of(user, coin);
        let added = self.accounts.get(&user).and_then(|account| account.isolated.get(&coin.asset)).copied().unwrap_or_default();
        let margin = over(value.abs(), Decimal::from(leverage.value));
        (value, if leverage.cross { margin } else { plus(margin, added) }, leverage)
    }

    fn position(&mut self, user: Address, coin: &Coin) -> Option<Value> {
        let held = self.held(user, coin.asset);
        if held.size.is_zero() {
            return None;
        }
        let (value, margin, leverage) = self.margin_of(user, coin);
        let gained = minus(value, held.cost);
        let mut shown = json!({ "type": if leverage.cross { "cross" } else { "isolated" }, "value": leverage.value });
        if !leverage.cross {
            shown["rawUsd"] = usd(minus(margin, value)).into();
        }
        let zero = "0.0";
        Some(json!({ "type": "oneWay", "position": {
            "coin": coin.name, "szi": text(held.size), "leverage": shown, "entryPx": text(over(held.cost, held.size).round_dp(6)),
            "positionValue": usd(value.abs()), "unrealizedPnl": usd(gained), "returnOnEquity": text(over(gained, margin).round_dp(6)),
            "liquidationPx": null, "marginUsed": usd(margin), "maxLeverage": coin.max_leverage,
            "cumFunding": { "allTime": zero, "sinceOpen": zero, "sinceChange": zero },
        }}))
    }

    pub(crate) fn clearinghouse(&mut self, user: Address) -> Value {
        let coins: Vec<Coin> = self.market.coins.iter().filter(|coin| !coin.spot).cloned().collect();
        let positions: Vec<Value> = coins.iter().filter_map(|coin| self.position(user, coin)).collect();
        let totals = self.totals(user);
        let summary = json!({
            "accountValue": usd(totals.equity), "totalNtlPos": usd(totals.notional), "totalRawUsd": usd(totals.raw),
            "totalMarginUsed": usd(totals.margin),
        });
        json!({
            "marginSummary": summary, "crossMarginSummary": summary, "crossMaintenanceMarginUsed": usd(totals.maintenance),
            "withdrawable": usd(minus(totals.equity, totals.margin).max(Decimal::ZERO)), "assetPositions": positions, "time": self.now_ms(),
        })
    }

    fn totals(&mut self, user: Address) -> Totals {
        let id = self.accounts.get(&user).map(|account| account.id.clone());
        let equity = id.map_or(Decimal::ZERO, |id| self.market.equity(self.system, &id));
        let mut totals = Totals { equity, raw: equity, ..Totals::default() };
        let coins: Vec<Coin> = self.market.coins.iter().filter(|coin| !coin.spot).cloned().collect();
        for coin in &coins {
            let (value, margin, _) = self.margin_of(user, coin);
            totals.notional = plus(totals.notional, value.abs());
            totals.raw = minus(totals.raw, value);
            totals.margin = plus(totals.margin, margin);
            // Half of the initial margin at the largest leverage (not tried).
            totals.maintenance = plus(totals.maintenance, over(value.abs(), Decimal::from(2 * coin.max_leverage)));
        }
        totals
    }

    pub(crate) fn withdrawable(&mut self, user: Address) -> Decimal {
        let totals = self.totals(user);
        let orders: Vec<Order> = self.orders.open_of(user).filter(|order| order.paper.is_some() && !order.reduce_only).cloned().collect();
        let held = orders.iter().filter(|order| order.asset < super::universe::SPOT).map(|order| {
            let leverage = self.leverage_of(user, &self.coin_of(order)).value;
            over(times(order.price.decimal(), order.remaining().decimal()), Decimal::from(leverage))
        });
        let held = held.fold(Decimal::ZERO, plus);
        minus(minus(totals.equity, totals.margin), held).max(Decimal::ZERO)
    }

    /// What open spot orders hold of a token.
    fn hold(&self, user: Address, token: &str) -> Decimal {
        let resting = self.orders.open_of(user).filter(|order| order.paper.is_some() && order.asset >= super::universe::SPOT);
        let held = resting.map(|order| {
            let coin = self.coin_of(order);
            match order.buy {
                true if coin.quote.as_str() == token => times(order.price.decimal(), order.remaining().decimal()),
                false if coin.base.as_str() == token => order.remaining().decimal(),
                _ => Decimal::ZERO,
            }
        });
        held.fold(Decimal::ZERO, plus)
    }

    pub(crate) fn free_spot(&mut self, user: Address, token: &str) -> Decimal {
        let Some(id) = self.accounts.get(&user).map(|account| account.id.clone()) else {
            return Decimal::ZERO;
        };
        let balances = self.market.balances(self.system, &id, true);
        let total = balances.iter().find(|(asset, _)| asset.as_str() == token).map_or(Decimal::ZERO, |(_, amount)| amount.decimal());
        minus(total, self.hold(user, token)).max(Decimal::ZERO)
    }

    pub(crate) fn spot_clearinghouse(&mut self, user: Address) -> Value {
        let id = self.accounts.get(&user).map(|account| account.id.clone());
        let balances = id.map(|id| self.market.balances(self.system, &id, true)).unwrap_or_default();
        let mut rows = Vec::new();
        for (place, (name, ..)) in TOKENS.iter().enumerate() {
            if let Some((_, total)) = balances.iter().find(|(asset, _)| asset.as_str() == *name) {
                let hold = text(self.hold(user, name));
                rows.push(json!({ "coin": name, "token": place, "hold": hold, "total": text(total.decimal()), "entryNtl": "0.0" }));
            }
        }
        json!({ "balances": rows })
    }

    pub(crate) fn active_asset_data(&mut self, user: Address, coin: &Coin) -> Value {
        let mark = self.market.mark(self.system, coin);
        let leverage = self.leverage_of(user, coin);
        let available = self.withdrawable(user);
        let size = over(times(available, Decimal::from(leverage.value)), mark).trunc_with_scale(coin.sz_decimals);
        json!({
            "user": user.to_string(), "coin": coin.name,
            "leverage": { "type": if leverage.cross { "cross" } else { "isolated" }, "value": leverage.value },
            "maxTradeSzs": [text(size), text(size)], "availableToTrade": [usd(available), usd(available)], "markPx": text(mark),
        })
    }

    pub(crate) fn rate_limit(&self, account: Option<&Account>) -> Value {
        let (volume, used, cap) = account.map_or((Decimal::ZERO, 0, self.config.limits.address_actions), |account| {
            (account.volume, account.actions_used, limits::cap(account, &self.config.limits))
        });
        json!({ "cumVlm": text(volume.round_dp(2)), "nRequestsUsed": used, "nRequestsCap": cap, "nRequestsSurplus": 0 })
    }

    pub(crate) fn role(&self, user: Address) -> Value {
        match self.accounts.get(&user).map(|account| account.role) {
            Some(Role::User) => json!({ "role": "user" }),
            Some(Role::SubAccount(master)) => json!({ "role": "subAccount", "data": { "master": master.to_string() } }),
            Some(Role::Vault(_)) => json!({ "role": "vault" }),
            None => match self.accounts.agent_of(&user) {
                Some(master) => json!({ "role": "agent", "data": { "user": master.to_string() } }),
                None => json!({ "role": "missing" }),
            },
        }
    }

    pub(crate) fn extra_agents(&self, user: Address) -> Vec<Value> {
        let agents = self.accounts.get(&user).into_iter().flat_map(|account| &account.agents);
        let named = agents.filter_map(|agent| {
            Some(json!({ "name": agent.name.as_ref()?, "address": agent.address.to_string(), "validUntil": agent.valid_until }))
        });
        named.collect()
    }

    pub(crate) fn sub_accounts(&mut self, user: Address) -> Value {
        let subs: Vec<(Address, String)> = self.accounts.subs(user).map(|(address, account)| (*address, account.name.clone())).collect();
        if subs.is_empty() {
            return Value::Null;
        }
        let row = |(address, name): (Address, String)| {
            json!({
                "name": name, "subAccountUser": address.to_string(), "master": user.to_string(),
                "clearinghouseState": self.clearinghouse(address), "spotState": self.spot_clearinghouse(address),
            })
        };
        subs.into_iter().map(row).collect()
    }

    /// How an order stands, in one more word than its status says: what it waits for.
    pub(crate) fn waits_for(order: &Order) -> &'static str {
        opened(order)
    }
}

#[derive(Debug, Default)]
struct Totals {
    equity: Decimal,
    notional: Decimal,
    raw: Decimal,
    margin: Decimal,
    maintenance: Decimal,
}
