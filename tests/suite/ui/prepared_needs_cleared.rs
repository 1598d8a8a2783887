//! An order that was not cleared cannot be prepared.

use omnivenue::model::order::OrderRequest;
use omnivenue::venue::{Prepared, Ticket};

fn skip_the_gates(request: OrderRequest, ticket: Ticket) -> Prepared {
    Prepared::new(request, ticket, None, "bytes".to_owned(), None)
}

fn main() {}
