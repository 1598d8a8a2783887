//! The cases, by topic.

mod access;
mod books;
mod identity;
mod lost;
mod market;
mod orders;
mod streams;

use crate::case::Case;

/// Every case there is.
#[must_use]
pub fn all() -> Vec<Case> {
    let topics = [market::cases(), orders::cases(), identity::cases(), lost::cases(), streams::cases(), books::cases(), access::cases()];
    topics.into_iter().flatten().collect()
}
