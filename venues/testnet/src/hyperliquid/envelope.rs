//! The envelope of an action: who signed it, and for which account.

use super::accounts::{Accounts, Role};
use super::config::Source;
use super::sign::{Address, Signed, action_hash, agent_digest, is_user_signed, user_digest};
use super::wire::{Malformed, canonical};
use crate::json::Json;

/// A signed action as it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) action: Json,
    pub(crate) nonce: u64,
    pub(crate) expires_after: Option<u64>,
    signature: Signed,
    vault: Option<Address>,
}

/// Who acts, and on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authorized {
    pub(crate) signer: Address,
    /// The account that the signer stands for.
    pub(crate) master: Address,
    /// The account that is traded: the master, its sub-account or its vault.
    pub(crate) account: Address,
}

fn optional<'v, T>(value: Option<&'v Json>, read: impl FnOnce(&'v Json) -> Option<T>) -> Result<Option<T>, Malformed> {
    match value {
        None | Some(Json::Null) => Ok(None),
        Some(value) => read(value).map(Some).ok_or(Malformed),
    }
}

impl Envelope {
    pub(crate) fn read(value: &Json) -> Result<Self, Malformed> {
        let action = value.get("action").ok_or(Malformed)?;
        action.text("type").ok_or(Malformed)?;
        Ok(Self {
            action: action.clone(),
            nonce: value.get("nonce").and_then(Json::as_u64).ok_or(Malformed)?,
            signature: value.get("signature").and_then(Signed::read).ok_or(Malformed)?,
            vault: optional(value.get("vaultAddress"), |vault| vault.as_str()?.parse().ok())?,
            expires_after: optional(value.get("expiresAfter"), Json::as_u64)?,
        })
    }

    pub(crate) fn kind(&self) -> &str {
        self.action.text("type").unwrap_or_default()
    }

    /// Who may have signed it: one address for each network that is accepted.
    pub(crate) fn signers(&self, sources: &[Source]) -> Vec<Address> {
        if is_user_signed(self.kind()) {
            return user_digest(&self.action).and_then(|digest| self.signature.signer(&digest)).into_iter().collect();
        }
        let hash = action_hash(&canonical(&self.action), self.nonce, self.vault, self.expires_after);
        sources.iter().filter_map(|source| self.signature.signer(&agent_digest(source.text(), &hash))).collect()
    }

    /// Finds out who acts, or says in the venue's words why nobody here does.
    pub(crate) fn authorize(&self, accounts: &Accounts, sources: &[Source], now_ms: u64) -> Result<Authorized, String> {
        let signers = self.signers(sources);
        let Some(first) = signers.first() else {
            return Err("Unable to recover signer.".into());
        };
        if is_user_signed(self.kind()) {
            return self.own_key(*first, accounts);
        }
        let known = signers.iter().find_map(|signer| Some((*signer, accounts.master_of(signer, now_ms)?)));
        let Some((signer, master)) = known else {
            return Err(format!("User or API Wallet {first} does not exist."));
        };
        let account = self.vault.unwrap_or(master);
        let belongs = account == master
            || accounts.get(&account).is_some_and(|account| [Role::SubAccount(master), Role::Vault(master)].contains(&account.role));
        if belongs { Ok(Authorized { signer, master, account }) } else { Err(format!("Vault not registered: {account}")) }
    }

    /// What moves money or approves agents is signed by the account's own key.
    fn own_key(&self, signer: Address, accounts: &Accounts) -> Result<Authorized, String> {
        let stated = ["nonce", "time"].iter().find_map(|key| self.action.get(key)?.as_u64());
        if stated != Some(self.nonce) {
            return Err("Invalid nonce: the action's nonce is not the request's".into());
        }
        if accounts.get(&signer).is_none_or(|account| account.role != Role::User) {
            return Err(format!("Must deposit before performing actions. User: {signer}"));
        }
        Ok(Authorized { signer, master: signer, account: signer })
    }
}
