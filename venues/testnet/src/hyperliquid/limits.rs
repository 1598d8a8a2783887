//! How much a client may ask: weight per minute and IP address, messages per minute, actions per address.
//!
//! Source: the venue's documentation, "Rate limits and user limits", read 2026-11-20.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use omnivenue_core::model::time::Timestamp;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::accounts::Account;
use super::config::Limits;
use crate::json::Json;

const MINUTE: Duration = Duration::from_secs(60);

/// What each IP address has used in the last minute.
#[derive(Debug, Default)]
pub(crate) struct Window {
    used: BTreeMap<IpAddr, VecDeque<(Timestamp, u64)>>,
}

impl Window {
    /// Takes this much, unless that is more than `most` within a minute.
    pub(crate) fn take(&mut self, now: Timestamp, peer: IpAddr, weight: u64, most: u64) -> bool {
        let used = self.used.entry(peer).or_default();
        while used.front().is_some_and(|(at, _)| now.since(*at) >= MINUTE) {
            used.pop_front();
        }
        let sum: u64 = used.iter().map(|(_, weight)| weight).sum();
        if sum.saturating_add(weight) > most {
            return false;
        }
        // Entries of one millisecond are one, so that their number has a bound.
        match used.back_mut() {
            Some((at, before)) if at.as_millis() == now.as_millis() => *before += weight,
            _ => used.push_back((now, weight)),
        }
        true
    }
}

/// The weight of a request for information.
pub(crate) fn info_weight(kind: &str) -> u64 {
    match kind {
        "l2Book" | "allMids" | "clearinghouseState" | "orderStatus" | "spotClearinghouseState" | "exchangeStatus" => 2,
        "userRole" => 60,
        _ => 20,
    }
}

/// How many orders or cancels an action is.
pub(crate) fn batch(action: &Json) -> u64 {
    let length = ["orders", "cancels", "modifies"].iter().find_map(|key| action.get(key)).map_or(1, |list| list.items().len());
    u64::try_from(length).unwrap_or(u64::MAX).max(1)
}

/// The weight of an action.
pub(crate) fn action_weight(action: &Json) -> u64 {
    1 + batch(action) / 40
}

/// How many actions an address has, used or not.
pub(crate) fn cap(account: &Account, limits: &Limits) -> u64 {
    let traded = account.volume.trunc().to_u64().unwrap_or(u64::MAX);
    limits.address_actions.saturating_add(traded).saturating_add(account.actions_bought)
}

/// Counts an action of an address, or says in the venue's words that it has none left.
pub(crate) fn take_actions(account: &mut Account, limits: &Limits, now: Timestamp, action: &Json) -> Result<(), String> {
    let cap = cap(account, limits);
    let cancels = matches!(action.text("type"), Some("cancel" | "cancelByCloid"));
    let most = if cancels { cap.saturating_add(100_000).min(cap.saturating_mul(2)) } else { cap };
    let count = batch(action);
    if account.actions_used.saturating_add(count) > most {
        // One request in ten seconds all the same.
        if account.last_when_exhausted.is_some_and(|last| now.since(last) < Duration::from_secs(10)) {
            return Err(format!(
                "Too many cumulative requests sent ({} > {most}) for cumulative volume traded ${}. Place taker orders to free up 1 request per USDC traded.",
                account.actions_used.saturating_add(count),
                account.volume.round_dp(2)
            ));
        }
        account.last_when_exhausted = Some(now);
    }
    account.actions_used = account.actions_used.saturating_add(count);
    Ok(())
}

/// What was traded counts for more actions.
pub(crate) fn traded(account: &mut Account, value: Decimal) {
    account.volume = account.volume.checked_add(value).unwrap_or(account.volume);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_a_weight() {
        let mut window = Window::default();
        let (one, other) = ("127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap());
        let at = |seconds| Timestamp::EPOCH.after(Duration::from_secs(seconds));
        assert!(window.take(at(0), one, 6, 10));
        assert!(window.take(at(30), one, 4, 10));
        assert!(!window.take(at(59), one, 1, 10));
        assert!(window.take(at(59), other, 10, 10));
        assert!(window.take(at(60), one, 6, 10));
        assert!(!window.take(at(60), one, 1, 10));
    }

    #[test]
    fn batches_weigh_more() {
        let action =
            |count: usize| serde_json::from_str(&format!(r#"{{"type":"order","orders":[{}]}}"#, vec!["1"; count].join(","))).unwrap();
        assert_eq!([1, 39, 40, 80].map(|count| action_weight(&action(count))), [1, 1, 2, 3]);
        assert_eq!([0, 1, 7].map(|count| batch(&action(count))), [1, 1, 7]);
    }
}
