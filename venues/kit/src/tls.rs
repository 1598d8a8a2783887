//! TLS for all connections: rustls with ring, trusting what the platform trusts.

use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;

/// The one client configuration, made when the first TLS connection needs it, so that plain connections need no roots.
///
/// The provider is passed in and not installed for the process: other users of rustls keep theirs. No early data, which
/// an attacker could send twice. Only HTTP/1.1 is offered: WebSockets need it, and HTTP/2 would add repeats of its own.
pub(crate) fn client_config() -> Result<Arc<ClientConfig>, rustls::Error> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_platform_verifier()?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}
