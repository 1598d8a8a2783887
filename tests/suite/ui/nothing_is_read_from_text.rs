//! Text is no proof: none of the steps can be read from JSON or anything like it.

use omnivenue::gates::Cleared;
use omnivenue::journal::Journaled;
use omnivenue::model::order::OrderRequest;
use omnivenue::venue::Prepared;

fn readable<T: serde::de::DeserializeOwned>() {}

fn main() {
    readable::<OrderRequest>(); // anyone may wish
    readable::<Cleared<OrderRequest>>();
    readable::<Prepared>();
    readable::<Journaled<Prepared>>();
}
