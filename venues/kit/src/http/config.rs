//! How the clients connect and how long they wait.

use std::fmt;
use std::time::Duration;

use http::{HeaderValue, Uri};
use omnivenue_core::venue::ErrorKind;

use super::HttpError;

/// How the clients connect and how long they wait.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// For name, TCP, proxy and TLS together; what fails here was not sent. Keep it below `timeout`.
    pub connect_timeout: Duration,
    /// For the whole exchange, from the connection to the last byte of the answer.
    pub timeout: Duration,
    /// How long an unused connection is kept. Keep it below the venue's keep-alive: a connection that the venue closes
    /// while we write leaves the request's fate unknown.
    pub idle_timeout: Duration,
    /// An HTTP proxy that connects us (`http://host:port`, `CONNECT`); `None` connects directly. Never taken from the
    /// environment.
    pub proxy: Option<String>,
    /// What we call ourselves.
    pub user_agent: String,
}

/// How often a question is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryConfig {
    /// How often at most, the first time included; at least 1 is done.
    pub attempts: u32,
    /// The wait before the second attempt; doubles each time.
    pub backoff: Duration,
    /// The longest wait. A venue that asks for a longer one gets no further attempt.
    pub backoff_max: Duration,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(20),
            proxy: None,
            user_agent: concat!("omnivenue/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { attempts: 3, backoff: Duration::from_millis(200), backoff_max: Duration::from_secs(2) }
    }
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Someone may have written a password into it, although `proxy_uri` refuses it.
        let proxy = self.proxy.as_deref().map(|text| text.rsplit('@').next().unwrap_or_default());
        f.debug_struct("HttpConfig")
            .field("connect_timeout", &self.connect_timeout)
            .field("timeout", &self.timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("proxy", &proxy)
            .field("user_agent", &self.user_agent)
            .finish()
    }
}

impl HttpConfig {
    pub(super) fn proxy_uri(&self) -> Result<Option<Uri>, HttpError> {
        self.proxy.as_deref().map(proxy_uri).transpose()
    }

    pub(super) fn user_agent(&self) -> Result<HeaderValue, HttpError> {
        HeaderValue::from_str(&self.user_agent)
            .map_err(|_| HttpError::not_sent(ErrorKind::InvalidRequest, "the user agent has characters that no header may have"))
    }
}

pub(crate) fn proxy_uri(text: &str) -> Result<Uri, HttpError> {
    let wrong = |why: &str| HttpError::not_sent(ErrorKind::InvalidRequest, format!("the proxy {why}; write http://host:port"));
    let uri: Uri = text.parse().map_err(|_| wrong("is not a url"))?;
    if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) || uri.port_u16().is_none() {
        return Err(wrong("is not an http url with host and port"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(wrong("has a user name or password, which is not supported"));
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        for wrong in [
            "",
            "localhost:3128",
            "https://proxy:3128",
            "socks5://proxy:1080",
            "http://proxy",
            "http://:3128",
            "http://u:hunter2@proxy:3128",
        ] {
            let config = HttpConfig { proxy: Some(wrong.to_owned()), ..HttpConfig::default() };
            let error = config.proxy_uri().unwrap_err();
            assert!(error.to_string().contains("write http://host:port"), "{wrong}");
            assert!(!format!("{error} {error:?} {config:?}").contains("hunter2"));
        }
        let config = HttpConfig { proxy: Some("http://127.0.0.1:3128".to_owned()), ..HttpConfig::default() };
        assert_eq!(config.proxy_uri().unwrap().unwrap().port_u16(), Some(3128));
        assert_eq!(HttpConfig::default().proxy_uri().unwrap(), None);
    }
}
