//! Our names of orders: derived from what they are for, so that the same intent has the same name after any crash.

use sha2::{Digest, Sha256};

use crate::ledger::PositionKey;
use crate::model::ids::{AccountId, ClientOrderId, DeploymentId, SignalId, VenueSymbol};
use crate::model::order::Purpose;

/// Hexadecimal digits of a namespace tag.
pub const NAMESPACE_LENGTH: usize = 6;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Emergency names that each start reserves for each position.
pub(super) const EMERGENCIES: u32 = 16;

/// The name of an order that reduces a position while the journal cannot be written. Every start reserves a block of them by being written
/// down itself, so that a later process knows which names may have been used, and for which position.
pub(super) fn emergency_order_id(namespace: &str, block: u64, position: &PositionKey, count: u32) -> ClientOrderId {
    let parts = [
        "emergency",
        &block.to_string(),
        position.deployment.as_str(),
        position.account.as_str(),
        position.symbol.as_str(),
        &count.to_string(),
    ];
    name(namespace, &parts)
}

/// The name of an order: namespace tag, then a hash of (key, purpose, instrument, attempt). 32 lower-case
/// hexadecimal digits: 128 bits, which every venue can spell and none has to shorten.
pub(super) fn client_order_id(
    namespace: &str,
    (signal, deployment, account): (&SignalId, &DeploymentId, &AccountId),
    purpose: Purpose,
    symbol: &VenueSymbol,
    attempt: u32,
) -> ClientOrderId {
    let purpose = match purpose {
        Purpose::Entry => "entry",
        Purpose::Close => "close",
        Purpose::Protect => "protect",
    };
    name(namespace, &[signal.as_str(), deployment.as_str(), account.as_str(), purpose, symbol.as_str(), &attempt.to_string()])
}

fn name(namespace: &str, parts: &[&str]) -> ClientOrderId {
    let mut hasher = Sha256::new();
    // A zero byte cannot occur in a name, so that no two keys run together.
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let mut number = u128::from_be_bytes(digest[..16].try_into().expect("16 of 32 bytes"));
    let mut name = String::with_capacity(32);
    name.push_str(namespace);
    for _ in namespace.len()..32 {
        let digit = usize::try_from(number % 16).expect("a remainder below 16");
        name.push(char::from(DIGITS[digit]));
        number /= 16;
    }
    ClientOrderId::new(&name).expect("32 digits are a valid order id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_key_counts() {
        let id = |signal: &str, deployment: &str, account: &str, purpose, symbol: &str, attempt| {
            let key = (&signal.parse().unwrap(), &deployment.parse().unwrap(), &account.parse().unwrap());
            client_order_id("abc123", key, purpose, &symbol.parse().unwrap(), attempt)
        };
        let plain = id("s", "d", "a", Purpose::Entry, "HYPE", 0);
        assert_eq!(plain, id("s", "d", "a", Purpose::Entry, "HYPE", 0));
        assert_eq!(plain.as_str().len(), 32);
        assert!(plain.as_str().starts_with("abc123"));
        let others = [
            id("sd", "x", "a", Purpose::Entry, "HYPE", 0),
            id("t", "d", "a", Purpose::Entry, "HYPE", 0),
            id("s", "e", "a", Purpose::Entry, "HYPE", 0),
            id("s", "d", "b", Purpose::Entry, "HYPE", 0),
            id("s", "d", "a", Purpose::Close, "HYPE", 0),
            id("s", "d", "a", Purpose::Entry, "BTC", 0),
            id("s", "d", "a", Purpose::Entry, "HYPE", 1),
        ];
        assert!(others.iter().all(|other| *other != plain));
    }
}
