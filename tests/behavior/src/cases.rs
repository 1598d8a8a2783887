//! The cases, by topic.

mod access;
mod books;
mod identity;
mod lost;
mod market;
mod orders;
mod refused;
mod restart;
mod streams;

use crate::case::Case;

/// Every case there is.
#[must_use]
pub fn all() -> Vec<Case> {
    let topics = [
        market::cases(),
        orders::cases(),
        refused::cases(),
        identity::cases(),
        lost::cases(),
        restart::cases(),
        streams::cases(),
        books::cases(),
        access::cases(),
    ];
    topics.into_iter().flatten().collect()
}
