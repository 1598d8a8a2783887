//! The steps in their order, for any account: a cleared request is prepared by it, and what the journal gives back is placed.
//! Nothing in between can be left out, as the other files here show.

use omnivenue::gates::Cleared;
use omnivenue::journal::Journaled;
use omnivenue::model::order::{OrderReport, OrderRequest};
use omnivenue::venue::{Account, Prepared, Ticket, VenueError};

/// Whoever makes a prepared order durable.
pub trait WriteDown {
    fn write_down(&mut self, order: Prepared) -> Journaled<Prepared>;
}

pub async fn in_order(
    account: &impl Account,
    journal: &mut impl WriteDown,
    cleared: Cleared<OrderRequest>,
    ticket: Ticket,
) -> Result<OrderReport, VenueError> {
    let prepared: Prepared = account.prepare(cleared, ticket)?;
    let durable: Journaled<Prepared> = journal.write_down(prepared);
    account.place(&durable).await
}

fn main() {}
