//! The parts of a prepared order are nobody's to put together.

use omnivenue::venue::Prepared;

fn forge(body: omnivenue::venue::PreparedBody) -> Prepared {
    Prepared(body)
}

fn from_the_journal<T>(body: T) -> Prepared {
    Prepared::from_journal(body)
}

fn main() {}
