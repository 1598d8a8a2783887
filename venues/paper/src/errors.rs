//! The exchange's codes, as the engine understands them.

use std::time::Duration;

use omnivenue_core::model::ids::VenueId;
use omnivenue_core::venue::{Effect, ErrorKind, Operation, VenueError};

use crate::link::LinkError;
use crate::wire::RefusalCode;

/// How long a client should pause after a request that was not looked at.
const OVERLOADED_PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn venue_error(venue: &VenueId, operation: Operation, error: LinkError) -> VenueError {
    let message = error.to_string();
    match error {
        LinkError::NotSent(_) => VenueError::new(venue, operation, ErrorKind::Connection, Effect::NotSent, message),
        LinkError::Cut => VenueError::new(venue, operation, ErrorKind::Connection, Effect::Unknown, message),
        LinkError::Unreadable => VenueError::new(venue, operation, ErrorKind::Unreadable, Effect::Unknown, message),
        LinkError::Refused(refusal) => {
            let retry_after = (refusal.code == RefusalCode::Overloaded).then_some(OVERLOADED_PAUSE);
            let error = VenueError::new(venue, operation, kind(refusal.code), Effect::Refused, refusal.message);
            VenueError { retry_after, ..error.with_code(refusal.code.text()) }
        }
    }
}

pub(crate) const fn kind(code: RefusalCode) -> ErrorKind {
    match code {
        RefusalCode::Malformed
        | RefusalCode::AlreadyUsed
        | RefusalCode::BadNonce
        | RefusalCode::BadPrice
        | RefusalCode::BadQuantity
        | RefusalCode::MinNotional
        | RefusalCode::BadLeverage
        | RefusalCode::ReduceOnly
        | RefusalCode::PostOnly
        | RefusalCode::BadTrigger
        | RefusalCode::TooManyTriggers
        | RefusalCode::NotTrading => ErrorKind::InvalidRequest,
        RefusalCode::UnknownAccount => ErrorKind::Unauthorized,
        RefusalCode::UnknownSymbol | RefusalCode::UnknownOrder => ErrorKind::NotFound,
        RefusalCode::Expired => ErrorKind::Expired,
        RefusalCode::InsufficientFunds => ErrorKind::InsufficientFunds,
        RefusalCode::Unsupported => ErrorKind::Unsupported,
        RefusalCode::NoPrice => ErrorKind::Unavailable,
        RefusalCode::Overloaded => ErrorKind::RateLimited,
    }
}

#[cfg(test)]
mod tests {
    use omnivenue_core::model::time::Timestamp;

    use super::*;
    use crate::wire::Refusal;

    #[test]
    fn an_error_says_whether_it_may_have_happened() {
        let check = |error: LinkError, kind: ErrorKind, effect: Effect, code: Option<&str>| {
            let error = venue_error(&"paper".parse().unwrap(), Operation::Place, error);
            assert_eq!((error.kind, error.effect, error.code.as_deref()), (kind, effect, code), "{error}");
            assert_eq!(error.retry_after.is_some(), kind == ErrorKind::RateLimited);
        };
        check(LinkError::NotSent("it has stopped".into()), ErrorKind::Connection, Effect::NotSent, None);
        check(LinkError::Cut, ErrorKind::Connection, Effect::Unknown, None);
        let refused = |code| LinkError::Refused(Refusal { code, message: "no".into(), at: Timestamp::EPOCH });
        check(refused(RefusalCode::Expired), ErrorKind::Expired, Effect::Refused, Some("expired"));
        check(refused(RefusalCode::MinNotional), ErrorKind::InvalidRequest, Effect::Refused, Some("min_notional"));
        check(refused(RefusalCode::BadTrigger), ErrorKind::InvalidRequest, Effect::Refused, Some("bad_trigger"));
        check(refused(RefusalCode::Overloaded), ErrorKind::RateLimited, Effect::Refused, Some("overloaded"));
    }
}
