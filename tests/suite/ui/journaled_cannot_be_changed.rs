//! What is durable cannot be exchanged for something else afterwards.

use omnivenue::journal::Journaled;
use omnivenue::venue::Prepared;

fn exchange(durable: Journaled<Prepared>, other: Prepared) -> Journaled<Prepared> {
    *durable = other;
    durable
}

fn main() {}
