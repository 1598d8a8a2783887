//! Only a commit that has succeeded says that an order is durable.

use omnivenue::journal::Journaled;
use omnivenue::venue::Prepared;

fn forge(order: Prepared) -> Journaled<Prepared> {
    Journaled(order)
}

fn pretend(order: Prepared) -> Journaled<Prepared> {
    Journaled::witnessed(order)
}

fn convert(order: Prepared) -> Journaled<Prepared> {
    order.into()
}

fn main() {}
