//! One function per endpoint.

use crate::sign::{Terms, WireSignature};

/// The body of a request to `/exchange`.
#[must_use]
pub fn envelope(action_json: &str, signature: &WireSignature, terms: &Terms) -> String {
    let signature = serde_json::to_string(signature).expect("a signature has only string keys");
    let vault = terms.vault_address.map_or("null".to_owned(), |vault| format!("\"{vault}\""));
    let expires_after = terms.expires_after.map_or("null".to_owned(), |at| at.to_string());
    format!(
        r#"{{"action":{action_json},"nonce":{},"signature":{signature},"vaultAddress":{vault},"expiresAfter":{expires_after}}}"#,
        terms.nonce
    )
}
