//! What is sent and what comes back.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body_util::Full;
use omnivenue_core::venue::ErrorKind;

use super::HttpError;

/// A request. `Debug` shows neither query, header values nor body.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The whole URL, `http://` or `https://`.
    pub url: String,
    /// Further headers; `Host`, `Content-Length` and `User-Agent` are the client's.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// An answer, of whatever status.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status, 3xx included.
    pub status: u16,
    /// How long the venue asks us to wait: `Retry-After` in seconds, at most a day. Dates are not read.
    pub retry_after: Option<Duration>,
    /// The body, all of it.
    pub body: Bytes,
}

impl Request {
    /// A request without headers and body.
    #[must_use]
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// `GET`.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::GET, url)
    }

    /// `POST` of a JSON body.
    #[must_use]
    pub fn post_json(url: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::new(Method::POST, url).header(CONTENT_TYPE.as_str(), "application/json").body(body)
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The host, and the request as the client takes it.
    pub(super) fn build(self, user_agent: &HeaderValue) -> Result<(String, http::Request<Full<Bytes>>), HttpError> {
        let wrong = |why: &str| HttpError::not_sent(ErrorKind::InvalidRequest, format!("the request cannot be built: {why}"));
        let url: Uri = self.url.parse().map_err(|_| wrong("the url is not one"))?;
        let known = matches!(url.scheme_str(), Some("http" | "https"));
        let host =
            url.host().filter(|host| known && !host.is_empty()).ok_or_else(|| wrong("the url needs http or https and a host"))?.to_owned();
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(wrong("the url has a user name"));
        }
        let mut headers = HeaderMap::new();
        headers.insert(http::header::USER_AGENT, user_agent.clone());
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().map_err(|_| wrong("a header has an impossible name"))?;
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong("a header has an impossible value"))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        let mut request = http::Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = url;
        *request.headers_mut() = headers;
        Ok((host, request))
    }
}

impl Reply {
    /// Whether the status is 2xx.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

/// The longest wait a venue can ask for that is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if text.is_empty() || !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)).min(RETRY_AFTER_MAX))
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url.split(['?', '#']).next().unwrap_or_default())
            .field("headers", &names)
            .field("body_length", &self.body.len())
            .finish()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("retry_after", &self.retry_after)
            .field("body_length", &self.body.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use omnivenue_core::venue::Effect;

    use super::*;

    #[test]
    fn what_cannot_be_built_was_not_sent() {
        let agent = HeaderValue::from_static("test");
        let check = |request: Request| {
            let error = request.build(&agent).unwrap_err();
            assert_eq!((error.effect, error.kind), (Effect::NotSent, ErrorKind::InvalidRequest));
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        };
        for url in
            ["", "/order", "127.0.0.1:80", "ftp://host/", "http://", "http:///x?key=hunter2", "https://hunter2@host/", "http://a b/hunter2"]
        {
            check(Request::get(url));
        }
        check(Request::get("http://host/").header("x y", "hunter2"));
        check(Request::get("http://host/").header("x-key", "hunter2\r\nx-evil: 1"));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let request = Request::post_json("https://host/order?signature=hunter2", "hunter2").header("x-key", "hunter2");
        assert!(!format!("{request:?}").contains("hunter2"), "{request:?}");
        assert!(format!("{request:?}").contains("https://host/order"));
        let (_, built) = request.build(&HeaderValue::from_static("test")).unwrap();
        assert!(!format!("{:?}", built.headers()).contains("hunter2"));
        let reply = Reply { status: 200, retry_after: None, body: Bytes::from_static(b"hunter2") };
        assert!(!format!("{reply:?}").contains("hunter2"));
    }

    #[test]
    fn waits_are_seconds_and_bounded() {
        let check = |text: &'static str, expected: Option<u64>| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{text}");
        };
        check("7", Some(7));
        check(" 0 ", Some(0));
        check("99999999999999999999999", Some(86_400));
        check("-1", None);
        check("1.5", None);
        check("", None);
        check("Wed, 21 Oct 2026 07:28:00 GMT", None);
    }
}
