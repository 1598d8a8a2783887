//! Which nonces a signer has used: the 100 highest are kept, a new one must be above the smallest of them, unused and near the present.
//!
//! Source: the venue's documentation, "Nonces and API wallets", read 2026-11-20.

use std::collections::{BTreeMap, BTreeSet};

use super::sign::Address;

const KEPT: usize = 100;
const DAY_MS: u64 = 86_400_000;

/// The nonces of every signer.
#[derive(Debug, Default)]
pub(crate) struct Nonces {
    used: BTreeMap<Address, BTreeSet<u64>>,
}

impl Nonces {
    /// Uses a nonce, or says in the venue's words why it cannot be used.
    pub(crate) fn take(&mut self, signer: Address, nonce: u64, now_ms: u64) -> Result<(), String> {
        let used = self.used.entry(signer).or_default();
        if used.contains(&nonce) {
            return Err(format!("Invalid nonce: duplicate nonce {nonce}"));
        }
        let oldest = now_ms.saturating_sub(2 * DAY_MS);
        if nonce <= oldest {
            return Err(format!("Invalid nonce: nonce too low {nonce} < {oldest}"));
        }
        let newest = now_ms.saturating_add(DAY_MS);
        if nonce >= newest {
            return Err(format!("Invalid nonce: nonce too high {nonce} > {newest}"));
        }
        if let Some(smallest) = used.first().filter(|smallest| used.len() >= KEPT && nonce <= **smallest) {
            return Err(format!("Invalid nonce: nonce too low {nonce} < {smallest}"));
        }
        used.insert(nonce);
        if used.len() > KEPT {
            used.pop_first();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    #[test]
    fn a_nonce_is_used_once_by_each_signer() {
        let mut nonces = Nonces::default();
        let (one, other) = (Address([1; 20]), Address([2; 20]));
        nonces.take(one, NOW, NOW).unwrap();
        assert_eq!(nonces.take(one, NOW, NOW).unwrap_err(), format!("Invalid nonce: duplicate nonce {NOW}"));
        nonces.take(other, NOW, NOW).unwrap();
        // Order does not matter, only use.
        nonces.take(one, NOW - 5, NOW).unwrap();
    }

    #[test]
    fn nonces_are_near_the_present() {
        let check = |nonce: u64, words: &str| {
            let result = Nonces::default().take(Address([1; 20]), nonce, NOW);
            assert!(result.err().unwrap_or_default().contains(words), "{nonce}");
        };
        check(NOW - 2 * DAY_MS + 1, "");
        check(NOW - 2 * DAY_MS, "nonce too low");
        check(NOW + DAY_MS - 1, "");
        check(NOW + DAY_MS, "nonce too high");
    }

    #[test]
    fn only_the_hundred_highest_are_kept() {
        let mut nonces = Nonces::default();
        let signer = Address([1; 20]);
        for nonce in 0..150 {
            nonces.take(signer, NOW + nonce, NOW).unwrap();
        }
        assert!(nonces.take(signer, NOW + 50, NOW).unwrap_err().contains("duplicate"));
        assert!(nonces.take(signer, NOW + 49, NOW).unwrap_err().contains(&format!("nonce too low {} < {}", NOW + 49, NOW + 50)));
        assert!(nonces.take(signer, NOW - 1000, NOW).unwrap_err().contains("nonce too low"));
        nonces.take(signer, NOW + 1000, NOW).unwrap();
    }
}
