//! An order that no gate has seen cannot be called cleared.

use omnivenue::gates::Cleared;
use omnivenue::model::order::OrderRequest;

fn forge(request: OrderRequest) -> Cleared<OrderRequest> {
    Cleared(request)
}

fn main() {}
