//! What is written down of an order before it is sent: everything that is signed, and for whom, without the signature.

use omnivenue_core::model::order::OrderRequest;
use omnivenue_core::model::signal::{OrderType, TimeInForce};
use omnivenue_core::model::time::Timestamp;
use omnivenue_kit::sign::Address;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::action::{Action, Cloid};
use crate::config::Environment;
use crate::sign::Terms;

/// The journaled text of an order.
///
/// Beside the request it names the chain, the account and the signer: a nonce protects its own signer only, so the same order under another key
/// would be another order, and the truth about it is kept under its own account.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Intent {
    pub(crate) environment: Environment,
    pub(crate) user: Address,
    pub(crate) signer: Address,
    pub(crate) nonce: u64,
    pub(crate) vault_address: Option<Address>,
    pub(crate) expires_after: u64,
    pub(crate) action: Box<RawValue>,
}

impl Intent {
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("an intent has only string keys")
    }

    /// What its signature covers beside the action.
    pub(crate) fn terms(&self) -> Terms {
        Terms {
            nonce: self.nonce,
            vault_address: self.vault_address,
            expires_after: Some(self.expires_after),
            environment: self.environment,
        }
    }

    /// The names of the orders in it, in their order: the entry, and whatever travels with it.
    pub(crate) fn names(&self) -> Result<Vec<Cloid>, serde_json::Error> {
        let action: Action = serde_json::from_str(self.action.get())?;
        let Action::Order { orders, .. } = action else { return Ok(Vec::new()) };
        Ok(orders.into_iter().filter_map(|order| order.cloid).collect())
    }

    /// After this the venue refuses it, by its own clock.
    pub(crate) fn deadline(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.expires_after).unwrap_or(i64::MAX))
    }
}

/// Whether what does not fill at once is gone. What waits for a trigger does not even begin at once.
pub(crate) fn is_immediate(request: &OrderRequest) -> bool {
    let at_once = matches!(request.order, OrderType::Market | OrderType::Limit { time_in_force: TimeInForce::Ioc | TimeInForce::Fok, .. });
    at_once && request.trigger.is_none()
}

#[cfg(test)]
mod tests {
    use omnivenue_core::model::exit::{ExitKind, Trigger};

    use super::*;

    #[test]
    fn what_waits_for_a_trigger_is_not_over_at_once() {
        let text = r#"{"account":"a","symbol":"HYPE","market":"perp","side":"sell","quantity":"1","order":{"type":"market"},"worst_price":"34","leverage":"1","purpose":"close","reduce_only":true}"#;
        let close: OrderRequest = serde_json::from_str(text).unwrap();
        assert!(is_immediate(&close));
        let trigger = Trigger { kind: ExitKind::StopLoss, price: "36".parse().unwrap() };
        assert!(!is_immediate(&OrderRequest { trigger: Some(trigger), ..close }), "it may trade weeks after its request expired");
    }

    #[test]
    fn what_is_written_reads_back_to_the_same_bytes() {
        let action =
            r#"{"type":"order","orders":[{"a":1,"b":true,"p":"1","s":"1","r":false,"t":{"limit":{"tif":"Ioc"}}}],"grouping":"na"}"#;
        let intent = Intent {
            environment: Environment::Testnet,
            user: Address::new([1; 20]),
            signer: Address::new([2; 20]),
            nonce: 1_700_000_000_000,
            vault_address: None,
            expires_after: 1_700_000_015_000,
            action: RawValue::from_string(action.to_owned()).unwrap(),
        };
        let text = intent.to_text();
        let read = Intent::parse(&text).unwrap();
        assert_eq!((read.to_text().as_str(), read.action.get()), (text.as_str(), action));
        assert_eq!(read.terms(), intent.terms());
        assert!(!text.contains("signature") && !text.contains("\"r\":\"0x"));
        assert!(Intent::parse(&text.replace("nonce", "nonec")).is_err());
        assert_eq!(read.names().unwrap(), []);
    }
}
