//! There is no default of any step, and a step does not become another by cloning.

use omnivenue::gates::Cleared;
use omnivenue::journal::Journaled;
use omnivenue::model::order::OrderRequest;
use omnivenue::venue::Prepared;

fn cleared() -> Cleared<OrderRequest> {
    Cleared::default()
}

fn prepared() -> Prepared {
    Prepared::default()
}

fn journaled() -> Journaled<Prepared> {
    Journaled::default()
}

fn cloned(order: &Prepared) -> Journaled<Prepared> {
    order.clone()
}

fn main() {}
