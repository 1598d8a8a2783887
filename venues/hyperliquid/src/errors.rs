//! What the venue's refusals mean. It has no numeric codes: texts are matched by how they begin.
//!
//! Source: the venue's documentation ("Error responses", "Nonces and API wallets", "Rate limits"), ccxt 4.5.90 and recorded answers of
//! hyperliquid-python-sdk; read 2026-11.

use std::time::Duration;

use omnivenue_core::model::ids::VenueId;
use omnivenue_core::venue::{Effect, ErrorKind, Operation, VenueError};

/// What a text of the venue means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What a write that got this answer may have done.
    pub effect: Effect,
    /// Our stable code for it.
    pub code: &'static str,
    /// When to try again, where the venue says so.
    pub retry_after: Option<Duration>,
}

/// How the venue said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// For one item of a request that was carried out: the chain looked at this very item and refused it.
    Item,
    /// For the request as a whole.
    Request,
}

const fn refused(kind: ErrorKind, code: &'static str) -> Meaning {
    Meaning { kind, effect: Effect::Refused, code, retry_after: None }
}

const fn unknown(kind: ErrorKind, code: &'static str) -> Meaning {
    Meaning { kind, effect: Effect::Unknown, code, retry_after: None }
}

/// When the venue lets an account whose budget is used up ask again. Source: "Rate limits", read 2026-11.
pub const BUDGET_PAUSE: Duration = Duration::from_secs(10);

use ErrorKind as K;

/// Texts by their beginning; the first that fits counts.
const TABLE: &[(&str, Meaning)] = &[
    // The nonce was used: by this very request, perhaps, so that it took effect. Never a refusal.
    ("Invalid nonce: duplicate nonce", unknown(K::InvalidRequest, DUPLICATE_NONCE)),
    // It cannot be told from a duplicate whose nonce is no longer remembered.
    ("Invalid nonce: nonce too low", unknown(K::InvalidRequest, NONCE_TOO_LOW)),
    ("Invalid nonce", unknown(K::InvalidRequest, "invalid_nonce")),
    ("Insufficient margin", refused(K::InsufficientFunds, "insufficient_margin")),
    ("Insufficient spot balance", refused(K::InsufficientFunds, "insufficient_balance")),
    ("Price must be divisible by tick size", refused(K::InvalidRequest, "price_tick")),
    ("Order has invalid price", refused(K::InvalidRequest, "price_tick")),
    ("Order has invalid size", refused(K::InvalidRequest, "quantity_lot")),
    ("Order has zero size", refused(K::InvalidRequest, "quantity_zero")),
    ("Order must have minimum value", refused(K::InvalidRequest, "min_notional")),
    ("Post only order would have immediately matched", refused(K::InvalidRequest, "post_only_would_match")),
    ("Order could not immediately match", refused(K::InvalidRequest, NO_MATCH)),
    ("No liquidity available for market order", refused(K::InvalidRequest, NO_MATCH)),
    ("Reduce only order would increase position", refused(K::InvalidRequest, "reduce_only")),
    ("Invalid TP/SL price", refused(K::InvalidRequest, "trigger_price")),
    ("Order price cannot be more than", refused(K::InvalidRequest, "price_band")),
    ("Price too far from oracle", refused(K::InvalidRequest, "price_band")),
    ("Order would increase open interest", refused(K::InvalidRequest, "open_interest_cap")),
    ("Order would cause position to exceed margin tier", refused(K::InvalidRequest, "margin_tier")),
    ("Order was never placed, already canceled, or filled", refused(K::NotFound, GONE)),
    ("User or API Wallet", refused(K::Unauthorized, "unknown_signer")),
    ("Must deposit before performing actions", refused(K::Unauthorized, "unknown_user")),
    ("Unable to recover signer", refused(K::Unauthorized, "bad_signature")),
    ("Vault not registered", refused(K::Unauthorized, "unknown_vault")),
    (
        "Too many cumulative requests sent",
        Meaning { kind: K::RateLimited, effect: Effect::Refused, code: BUDGET, retry_after: Some(BUDGET_PAUSE) },
    ),
    ("Cannot set scheduled cancel time", refused(K::InvalidRequest, "schedule_cancel")),
];

/// The nonce was used before.
pub const DUPLICATE_NONCE: &str = "duplicate_nonce";
/// The nonce is below all that the venue remembers.
pub const NONCE_TOO_LOW: &str = "nonce_too_low";
/// Immediate-or-cancel found nothing to trade with.
pub const NO_MATCH: &str = "no_match";
/// The order to cancel does not rest.
pub const GONE: &str = "order_gone";
/// The account's budget of actions is used up.
pub const BUDGET: &str = "action_budget";

/// What a refusal means.
///
/// A text that is not in the table is a refusal where the venue answered for one item, since it looked at that item. For a request as a whole
/// it is *unknown*: a text that nobody here has read may be the venue's way to say that it timed out on its own chain. (What it says to a request
/// whose `expiresAfter` has passed was found nowhere, so such a request is unknown too, until a probe has proved it absent.)
#[must_use]
pub fn meaning(text: &str, scope: Scope) -> Meaning {
    let known = TABLE.iter().find(|(begins, _)| text.starts_with(begins)).map(|(_, meaning)| *meaning);
    known.unwrap_or(match scope {
        Scope::Item => refused(K::InvalidRequest, "refused"),
        Scope::Request => unknown(K::InvalidRequest, "unrecognized"),
    })
}

/// What an answer without the venue's JSON means, by its HTTP status.
///
/// 429 is not carried out (fact of the venue), nor is any other 4xx, which its JSON reader gives; 408 says nothing. Redirects, 5xx and 2xx that
/// cannot be read say nothing either.
#[must_use]
pub fn http_meaning(status: u16, retry_after: Option<Duration>) -> Meaning {
    match status {
        429 => Meaning { kind: K::RateLimited, effect: Effect::Refused, code: "http_429", retry_after },
        408 => unknown(K::Timeout, "http_408"),
        401 | 403 => refused(K::Unauthorized, "http_forbidden"),
        400..=499 => refused(K::InvalidRequest, "http_4xx"),
        500..=599 => Meaning { kind: K::Unavailable, effect: Effect::Unknown, code: "http_5xx", retry_after },
        _ => unknown(K::Unreadable, "http_unexpected"),
    }
}

/// The venue's words as an error of ours. Words are cut at 300 characters.
#[must_use]
pub fn error(venue: &VenueId, operation: Operation, meaning: Meaning, words: &str) -> VenueError {
    let words: String = without_signatures(words).chars().take(300).collect();
    let mut error = VenueError::new(venue, operation, meaning.kind, meaning.effect, words).with_code(meaning.code);
    error.retry_after = meaning.retry_after;
    error
}

/// Leaves out long hexadecimal numbers: a server that repeats what it could not read would repeat the signature. Addresses stay.
fn without_signatures(words: &str) -> String {
    const LONGEST: usize = 42;
    let mut kept = String::with_capacity(words.len());
    let mut digits = String::new();
    for c in words.chars().chain(std::iter::once('\n')) {
        if c.is_ascii_hexdigit() {
            digits.push(c);
            continue;
        }
        kept.push_str(if digits.len() > LONGEST { "[...]" } else { &digits });
        digits.clear();
        kept.push(c);
    }
    kept.pop();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_nonce_is_never_a_refusal() {
        for scope in [Scope::Item, Scope::Request] {
            assert_eq!(meaning("Invalid nonce: duplicate nonce 1700000000000", scope).effect, Effect::Unknown);
            assert_eq!(meaning("Invalid nonce: nonce too low 1 < 2", scope).effect, Effect::Unknown);
        }
    }

    #[test]
    fn texts_mean_what_the_venue_means() {
        let check = |text: &str, kind: ErrorKind, code: &str| {
            let meaning = meaning(text, Scope::Item);
            assert_eq!((meaning.kind, meaning.effect, meaning.code), (kind, Effect::Refused, code), "{text}");
        };
        check("Insufficient margin to place order. asset=159", K::InsufficientFunds, "insufficient_margin");
        check("Order must have minimum value of $10. asset=5", K::InvalidRequest, "min_notional");
        check("Order could not immediately match against any resting orders. asset=0", K::InvalidRequest, NO_MATCH);
        check("Order was never placed, already canceled, or filled. asset=0", K::NotFound, GONE);
        check("User or API Wallet 0x0000000000000000000000000000000000000001 does not exist.", K::Unauthorized, "unknown_signer");
        check("Too many cumulative requests sent (10001 > 10000) for cumulative volume traded $0.", K::RateLimited, BUDGET);
        check("Something nobody has read.", K::InvalidRequest, "refused");
    }

    #[test]
    fn a_text_nobody_has_read_settles_nothing_about_a_whole_request() {
        let meaning = meaning("Something went wrong, try again.", Scope::Request);
        assert_eq!((meaning.effect, meaning.code), (Effect::Unknown, "unrecognized"));
    }

    #[test]
    fn answers_without_the_venues_words_go_by_their_status() {
        let check = |status: u16, effect: Effect| assert_eq!(http_meaning(status, None).effect, effect, "{status}");
        [200, 204, 302, 307, 308, 408, 500, 502, 503, 504].into_iter().for_each(|status| check(status, Effect::Unknown));
        [400, 401, 403, 404, 422, 429].into_iter().for_each(|status| check(status, Effect::Refused));
    }

    #[test]
    fn words_are_kept_and_cut() {
        let id: VenueId = "hyperliquid".parse().unwrap();
        let error = error(&id, Operation::Place, meaning("Insufficient margin to place order.", Scope::Item), &"x".repeat(1000));
        assert_eq!(error.message.len(), 300);
        let address = "0x14791697260e4c9a71f18484c9f997b308e59325";
        let echoed = format!("Cannot read {{\"r\":\"0x{}\"}} of {address}", "ab".repeat(32));
        assert_eq!(without_signatures(&echoed), format!("Cannot read {{\"r\":\"0x[...]\"}} of {address}"));
        assert_eq!(error.code.as_deref(), Some("insufficient_margin"));
    }
}
