//! `POST /info`: every question by its type.

use serde_json::{Value, json};

use super::limits;
use super::sign::Address;
use super::state::{Hyperliquid, RefusedRequest};
use super::universe::Coin;
use super::wire::{OrderName, order_name};
use crate::json::Json;
use crate::protocol::Reply;

const UNREADABLE: &str = "Failed to deserialize the JSON body into the target type";

/// The question cannot be read.
struct Unreadable;

fn user(body: &Json) -> Result<Address, Unreadable> {
    body.text("user").and_then(|text| text.parse().ok()).ok_or(Unreadable)
}

fn millis(body: &Json, key: &str) -> Option<i64> {
    body.get(key).and_then(Json::as_u64).and_then(|millis| i64::try_from(millis).ok())
}

impl Hyperliquid {
    pub(crate) fn info(&mut self, body: &str) -> Reply {
        let body = serde_json::from_str::<Json>(body).unwrap_or(Json::Null);
        let kind = body.text("type").unwrap_or_default().to_owned();
        self.count(&kind);
        match self.answer_info(&kind, &body) {
            Ok(value) => Reply::json(&value),
            Err(Unreadable) => {
                let (at, account, reason) = (self.now_ms(), user(&body).ok(), UNREADABLE.to_owned());
                self.note_refusal(RefusedRequest { at, kind, account, signer: None, nonce: None, reason });
                Reply::text(422, UNREADABLE)
            }
        }
    }

    fn answer_info(&mut self, kind: &str, body: &Json) -> Result<Value, Unreadable> {
        if let Some(value) = self.market_question(kind, body)? {
            return Ok(value);
        }
        let user = user(body)?;
        self.account_question(kind, user, body)?.ok_or(Unreadable)
    }

    /// The coin of a question; one that is not known is answered with `null` (not tried).
    fn coin(&self, body: &Json) -> Result<Option<Coin>, Unreadable> {
        Ok(self.market.coin(body.text("coin").ok_or(Unreadable)?).cloned())
    }

    fn market_question(&mut self, kind: &str, body: &Json) -> Result<Option<Value>, Unreadable> {
        Ok(Some(match kind {
            "meta" => self.meta(),
            "metaAndAssetCtxs" => json!([self.meta(), self.perp_contexts()]),
            "spotMeta" => self.spot_meta(),
            "spotMetaAndAssetCtxs" => json!([self.spot_meta(), self.spot_contexts()]),
            "perpDexs" => json!([null]),
            "allMids" => self.mids().into(),
            "exchangeStatus" => json!({ "time": self.now_ms(), "specialStatuses": null }),
            "l2Book" => match self.coin(body)? {
                Some(coin) => self.book(&coin).unwrap_or(Value::Null),
                None => Value::Null,
            },
            "candleSnapshot" => {
                let request = body.get("req").ok_or(Unreadable)?;
                let Some(coin) = self.coin(request)? else {
                    return Ok(Some(Value::Null));
                };
                let from = millis(request, "startTime").ok_or(Unreadable)?;
                let to = millis(request, "endTime").unwrap_or(i64::MAX / 2);
                self.candle_snapshot(&coin, request.text("interval").ok_or(Unreadable)?, from, to).ok_or(Unreadable)?.into()
            }
            "fundingHistory" => {
                let from = millis(body, "startTime").ok_or(Unreadable)?;
                let to = millis(body, "endTime").unwrap_or(i64::MAX);
                self.coin(body)?.map_or(Value::Null, |coin| self.funding_history(&coin, from, to).into())
            }
            _ => return Ok(None),
        }))
    }

    fn account_question(&mut self, kind: &str, user: Address, body: &Json) -> Result<Option<Value>, Unreadable> {
        Ok(Some(match kind {
            "clearinghouseState" => self.clearinghouse(user),
            "spotClearinghouseState" => self.spot_clearinghouse(user),
            "userAbstraction" => "default".into(),
            "activeAssetData" => match self.coin(body)? {
                Some(coin) => self.active_asset_data(user, &coin),
                None => Value::Null,
            },
            "openOrders" => self.open_orders(user, false).into(),
            "frontendOpenOrders" => self.open_orders(user, true).into(),
            "orderStatus" => match self.asked_order(user, body)? {
                Some(oid) => json!({ "status": "order", "order": self.orders.get(oid).map(|order| self.order_status(order)) }),
                None => json!({ "status": "unknownOid" }),
            },
            "historicalOrders" => self.historical(user).into(),
            "userFills" => self.latest_fills(user).into(),
            "userFillsByTime" => {
                let from = body.get("startTime").and_then(Json::as_u64).ok_or(Unreadable)?;
                let to = body.get("endTime").and_then(Json::as_u64).unwrap_or(u64::MAX);
                self.fills_between(user, from, to).into()
            }
            "userRateLimit" => self.rate_limit(self.accounts.get(&user)),
            "userRole" => self.role(user),
            "extraAgents" => self.extra_agents(user).into(),
            "subAccounts" => self.sub_accounts(user),
            "userFees" => Self::user_fees(),
            "userFunding" | "userNonFundingLedgerUpdates" | "userTwapSliceFills" => json!([]),
            "maxBuilderFee" => {
                let builder: Address = body.text("builder").and_then(|text| text.parse().ok()).ok_or(Unreadable)?;
                self.accounts.get(&user).and_then(|account| account.builders.get(&builder)).copied().unwrap_or(0).into()
            }
            "webData2" => self.web_data(user),
            _ => return Ok(None),
        }))
    }

    /// The order that a question names, if there is one of that user.
    fn asked_order(&self, user: Address, body: &Json) -> Result<Option<u64>, Unreadable> {
        let name = order_name(body.get("oid").ok_or(Unreadable)?).map_err(|_| Unreadable)?;
        let order = match name {
            OrderName::Oid(oid) => self.orders.get(oid),
            OrderName::Cloid(cloid) => self.orders.of_cloid(user, &cloid),
        };
        Ok(order.filter(|order| order.account == user).map(|order| order.oid))
    }

    /// The order that an `orderStatus` asks for, for the fault that denies it.
    pub(crate) fn denied_order(&self, body: &str) -> Option<u64> {
        let body = serde_json::from_str::<Json>(body).ok()?;
        let user = user(&body).ok()?;
        (body.text("type") == Some("orderStatus")).then(|| self.asked_order(user, &body).ok().flatten()).flatten()
    }

    /// The rates of the lowest tier. Source: the venue's documentation, "Fees", read 2026-11-20.
    fn user_fees() -> Value {
        json!({
            "dailyUserVlm": [], "feeSchedule": { "cross": "0.00045", "add": "0.00015", "spotCross": "0.0007", "spotAdd": "0.0004" },
            "userCrossRate": "0.00045", "userAddRate": "0.00015", "userSpotCrossRate": "0.0007", "userSpotAddRate": "0.0004",
            "activeReferralDiscount": "0.0", "trial": null, "feeTrialReward": "0.0", "nextTrialAvailableTimestamp": null,
        })
    }

    /// The part of it that says what an account has; the rest of what the venue's web page is told is left out.
    pub(crate) fn web_data(&mut self, user: Address) -> Value {
        json!({
            "clearinghouseState": self.clearinghouse(user), "openOrders": self.open_orders(user, true), "meta": self.meta(),
            "assetCtxs": self.perp_contexts(), "serverTime": self.now_ms(), "user": user.to_string(), "isVault": false,
            "spotState": self.spot_clearinghouse(user),
        })
    }

    /// The weight of a question whose answer has this many items.
    pub(crate) fn info_weight(kind: &str, items: usize) -> u64 {
        let items = u64::try_from(items).unwrap_or(u64::MAX);
        let more = match kind {
            "userFills" | "userFillsByTime" | "historicalOrders" | "fundingHistory" => items / 20,
            "candleSnapshot" => items / 60,
            _ => 0,
        };
        limits::info_weight(kind) + more
    }
}
