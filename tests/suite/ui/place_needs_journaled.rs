//! An order that was not written down cannot be sent.

use omnivenue::model::order::OrderReport;
use omnivenue::venue::{Account, Prepared, VenueError};

async fn skip_the_journal(account: &dyn Account, order: &Prepared) -> Result<OrderReport, VenueError> {
    account.place(order).await
}

fn main() {}
