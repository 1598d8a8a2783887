//! What was cleared stays what the gate looked at.

use omnivenue::gates::Cleared;
use omnivenue::model::number::Quantity;
use omnivenue::model::order::OrderRequest;

fn enlarge(cleared: Cleared<OrderRequest>, quantity: Quantity) -> Cleared<OrderRequest> {
    cleared.get().quantity = quantity;
    cleared
}

fn swap(cleared: Cleared<OrderRequest>, other: OrderRequest) -> Cleared<OrderRequest> {
    let mut cleared = cleared;
    cleared.0 = other;
    cleared
}

fn main() {}
