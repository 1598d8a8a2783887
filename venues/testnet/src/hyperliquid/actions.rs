//! `POST /exchange`: verified, counted, then done.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::accounts::LeverageSetting;
use super::brackets::Grouping;
use super::envelope::{Authorized, Envelope};
use super::limits;
use super::place::Origin;
use super::state::{Hyperliquid, RefusedRequest};
use super::universe::Coin;
use super::wire::{self, Malformed, OrderName, OrderWire};
use crate::json::Json;
use crate::protocol::Reply;

/// Why an action was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not of the form the venue knows: HTTP 422.
    Malformed,
    /// In the venue's words, with HTTP 200.
    Words(String),
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<String> for Refusal {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
}

impl From<&str> for Refusal {
    fn from(words: &str) -> Self {
        Self::Words(words.to_owned())
    }
}

fn done(kind: &str, statuses: Vec<Value>) -> Value {
    json!({ "type": kind, "data": { "statuses": statuses } })
}

fn plain() -> Value {
    json!({ "type": "default" })
}

impl Hyperliquid {
    pub(crate) fn exchange(&mut self, body: &str) -> Reply {
        let envelope = serde_json::from_str::<Json>(body).ok().and_then(|value| Envelope::read(&value).ok());
        let Some(envelope) = envelope else {
            return self.refuse(None, None, &Refusal::Malformed);
        };
        self.count(envelope.kind());
        let authorized = match envelope.authorize(&self.accounts, &self.config.sources, self.now_ms()) {
            Ok(authorized) => authorized,
            Err(words) => return self.refuse(Some(&envelope), None, &Refusal::Words(words)),
        };
        match self.admit(&envelope, authorized).and_then(|()| self.act(&envelope, authorized)) {
            Ok(response) => {
                self.note_errors(&envelope, authorized, &response);
                Reply::json(&json!({ "status": "ok", "response": response }))
            }
            Err(refusal) => self.refuse(Some(&envelope), Some(authorized), &refusal),
        }
    }

    /// What is checked before an action is looked at: the address's budget, its expiry, its nonce. Only what passes uses its nonce.
    fn admit(&mut self, envelope: &Envelope, who: Authorized) -> Result<(), Refusal> {
        let (now, limits) = (self.system, self.config.limits.clone());
        if let Some(account) = self.accounts.get_mut(&who.account) {
            limits::take_actions(account, &limits, now, &envelope.action)?;
        }
        let now_ms = self.now_ms();
        if envelope.expires_after.is_some_and(|expires| now_ms > expires) {
            // What has expired counts five times.
            let more = limits::batch(&envelope.action).saturating_mul(4);
            if let Some(account) = self.accounts.get_mut(&who.account) {
                account.actions_used = account.actions_used.saturating_add(more);
            }
            return Err(format!("Action expired: expiresAfter {} < {now_ms}", envelope.expires_after.unwrap_or_default()).into());
        }
        Ok(self.nonces.take(who.signer, envelope.nonce, now_ms)?)
    }

    fn refuse(&mut self, envelope: Option<&Envelope>, who: Option<Authorized>, refusal: &Refusal) -> Reply {
        const UNREADABLE: &str = "Failed to deserialize the JSON body into the target type";
        let words = if let Refusal::Words(words) = refusal { words.as_str() } else { UNREADABLE };
        self.note_refusal(RefusedRequest {
            at: self.now_ms(),
            kind: envelope.map_or("unreadable", Envelope::kind).to_owned(),
            account: who.map(|who| who.account),
            signer: who.map(|who| who.signer),
            nonce: envelope.map(|envelope| envelope.nonce),
            reason: words.to_owned(),
        });
        match refusal {
            Refusal::Malformed => Reply::text(422, UNREADABLE),
            Refusal::Words(words) => Reply::json(&json!({ "status": "err", "response": words })),
        }
    }

    /// Orders and cancels that were refused one by one are refused requests too.
    fn note_errors(&mut self, envelope: &Envelope, who: Authorized, response: &Value) {
        let statuses = response["data"]["statuses"].as_array().cloned().unwrap_or_default();
        for error in statuses.iter().filter_map(|status| status.get("error")?.as_str()) {
            self.note_refusal(RefusedRequest {
                at: self.now_ms(),
                kind: envelope.kind().to_owned(),
                account: Some(who.account),
                signer: Some(who.signer),
                nonce: Some(envelope.nonce),
                reason: error.to_owned(),
            });
        }
    }

    fn act(&mut self, envelope: &Envelope, who: Authorized) -> Result<Value, Refusal> {
        let action = &envelope.action;
        match envelope.kind() {
            "order" => self.order(envelope, who),
            "cancel" | "cancelByCloid" => self.cancel(action, who),
            "modify" => {
                let answer = self.modify(envelope, who, std::slice::from_ref(action))?;
                match answer.first().and_then(|status| status.get("error")?.as_str()) {
                    Some(error) => Err(error.into()),
                    None => Ok(plain()),
                }
            }
            "batchModify" => {
                let modifies = action.get("modifies").ok_or(Malformed)?.items();
                Ok(done("order", self.modify(envelope, who, modifies)?))
            }
            "updateLeverage" => self.update_leverage(action, who),
            "updateIsolatedMargin" => self.update_isolated_margin(action, who),
            "scheduleCancel" => self.schedule_cancel(action, who),
            "noop" | "setReferrer" => Ok(plain()),
            "reserveRequestWeight" => {
                let weight = action.get("weight").and_then(Json::as_u64).ok_or(Malformed)?;
                self.buy_weight(who, weight)
            }
            "approveAgent" => self.approve_agent(action, who),
            "approveBuilderFee" => self.approve_builder_fee(action, who),
            "usdClassTransfer" => self.class_transfer(action, who),
            "usdSend" | "spotSend" | "withdraw3" => Err("Transfers to others are not possible on this testnet.".into()),
            _ => Err(Refusal::Malformed),
        }
    }

    fn origin(&self, envelope: &Envelope, who: Authorized) -> Result<Origin, Refusal> {
        let builder = wire::builder(envelope.action.get("builder"))?;
        if let Some((address, tenths)) = builder {
            let approved = self.accounts.get(&who.master).and_then(|account| account.builders.get(&address)).copied().unwrap_or(0);
            if tenths > approved {
                return Err("Builder fee has not been approved.".into());
            }
        }
        Ok(Origin { who, nonce: envelope.nonce, builder })
    }

    fn order(&mut self, envelope: &Envelope, who: Authorized) -> Result<Value, Refusal> {
        let orders = envelope.action.get("orders").ok_or(Malformed)?.items();
        let orders = orders.iter().map(OrderWire::read).collect::<Result<Vec<_>, _>>()?;
        let grouping = match envelope.action.text("grouping") {
            Some("na") => Grouping::Na,
            Some("normalTpsl") => Grouping::NormalTpsl,
            Some("positionTpsl") => Grouping::PositionTpsl,
            _ => return Err(Refusal::Malformed),
        };
        let origin = self.origin(envelope, who)?;
        Ok(done("order", self.place_batch(origin, orders, grouping)))
    }

    /// The order of a name, if it is open and this account's.
    fn open_order(&self, who: Authorized, name: &OrderName, asset: Option<u32>) -> Option<u64> {
        let order = match name {
            OrderName::Oid(oid) => self.orders.get(*oid)?,
            OrderName::Cloid(cloid) => self.orders.of_cloid(who.account, cloid)?,
        };
        let same = order.account == who.account && asset.is_none_or(|asset| order.asset == asset);
        (same && order.is_open()).then_some(order.oid)
    }

    fn cancel(&mut self, action: &Json, who: Authorized) -> Result<Value, Refusal> {
        let cancels = action.get("cancels").ok_or(Malformed)?.items();
        let cancels = cancels.iter().map(wire::cancel).collect::<Result<Vec<_>, _>>()?;
        let mut statuses = Vec::new();
        for (asset, name) in cancels {
            if let Some(oid) = self.open_order(who, &name, Some(asset)) {
                self.end(oid, "canceled");
                statuses.push("success".into());
            } else {
                statuses.push(json!({ "error": format!("Order was never placed, already canceled, or filled. asset={asset}") }));
            }
        }
        Ok(done("cancel", statuses))
    }

    /// Each open order gives way to another one, with another number.
    fn modify(&mut self, envelope: &Envelope, who: Authorized, modifies: &[Json]) -> Result<Vec<Value>, Refusal> {
        let modifies = modifies.iter().map(wire::modify).collect::<Result<Vec<_>, _>>()?;
        let origin = self.origin(envelope, who)?;
        let mut statuses = Vec::new();
        for (name, order) in modifies {
            if let Err(text) = self.draft(order.clone(), false) {
                statuses.push(json!({ "error": text }));
            } else if let Some(oid) = self.open_order(who, &name, None) {
                self.end(oid, "canceled");
                statuses.extend(self.place_batch(origin, vec![order], Grouping::Na));
            } else {
                statuses.push(json!({ "error": "Cannot modify canceled or filled order" }));
            }
        }
        Ok(statuses)
    }

    fn perp(&self, action: &Json) -> Result<Coin, Refusal> {
        let asset = action.get("asset").and_then(Json::as_u64).and_then(|asset| u32::try_from(asset).ok()).ok_or(Malformed)?;
        let coin = self.market.asset(asset).filter(|coin| !coin.spot).cloned();
        coin.ok_or_else(|| format!("Asset {asset} does not exist.").into())
    }

    pub(crate) fn leverage_of(&self, account: super::sign::Address, coin: &Coin) -> LeverageSetting {
        let set = self.accounts.get(&account).and_then(|account| account.leverage.get(&coin.asset)).copied();
        set.unwrap_or(LeverageSetting { value: coin.leverage(), cross: true })
    }

    fn update_leverage(&mut self, action: &Json, who: Authorized) -> Result<Value, Refusal> {
        let coin = self.perp(action)?;
        let cross = action.get("isCross").and_then(Json::as_bool).ok_or(Malformed)?;
        let value = action.get("leverage").and_then(Json::as_u64).and_then(|value| u32::try_from(value).ok()).ok_or(Malformed)?;
        if value == 0 || value > coin.max_leverage {
            return Err("Invalid leverage value".into());
        }
        let open = !self.held(who.account, coin.asset).size.is_zero();
        if open && cross != self.leverage_of(who.account, &coin).cross {
            return Err("Cannot switch leverage type with open position.".into());
        }
        let Some(account) = self.accounts.get_mut(&who.account) else {
            return Err("User does not exist.".into());
        };
        account.leverage.insert(coin.asset, LeverageSetting { value, cross });
        let id = account.id.clone();
        if open {
            let leverage = omnivenue_core::model::number::Leverage::new(Decimal::from(value)).map_err(|e| e.to_string())?;
            self.market.edit(false, |_, truth| {
                let position = truth.accounts.get_mut(&id).and_then(|books| books.positions.get_mut(&coin.name));
                position.into_iter().for_each(|position| position.leverage = leverage);
            })?;
        }
        Ok(plain())
    }

    fn update_isolated_margin(&mut self, action: &Json, who: Authorized) -> Result<Value, Refusal> {
        let coin = self.perp(action)?;
        let millionths = match action.get("ntli") {
            Some(Json::Unsigned(value)) => i64::try_from(*value).map_err(|_| Malformed)?,
            Some(Json::Signed(value)) => *value,
            _ => return Err(Refusal::Malformed),
        };
        let isolated = !self.leverage_of(who.account, &coin).cross && !self.held(who.account, coin.asset).size.is_zero();
        if !isolated {
            return Err("Must have an isolated position to update its margin.".into());
        }
        if let Some(account) = self.accounts.get_mut(&who.account) {
            let margin = account.isolated.entry(coin.asset).or_default();
            *margin = super::numbers::plus(*margin, Decimal::new(millionths, 6)).max(Decimal::ZERO);
        }
        Ok(plain())
    }

    fn schedule_cancel(&mut self, action: &Json, who: Authorized) -> Result<Value, Refusal> {
        let now = self.now_ms();
        let required = self.config.limits.schedule_cancel_volume;
        let time = match action.get("time") {
            None | Some(Json::Null) => None,
            Some(time) => Some(time.as_u64().ok_or(Malformed)?),
        };
        let Some(account) = self.accounts.get_mut(&who.account) else {
            return Err("User does not exist.".into());
        };
        if account.volume < Decimal::from(required) {
            let traded = account.volume.round_dp(2);
            return Err(
                format!("Cannot set scheduled cancel time until enough volume traded. Required: ${required}. Traded: ${traded}.").into()
            );
        }
        if time.is_some_and(|time| time < now.saturating_add(5_000)) {
            return Err("Scheduled cancel time too early, must be at least 5 seconds from now.".into());
        }
        if time.is_some() && account.schedules_triggered.0 == now / 86_400_000 && account.schedules_triggered.1 >= 10 {
            return Err("Scheduled cancel was already triggered 10 times today.".into());
        }
        account.schedule = time;
        Ok(plain())
    }
}
