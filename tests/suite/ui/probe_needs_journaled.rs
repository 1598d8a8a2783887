//! A probe may send the same bytes again, so it too takes only what was written down.

use omnivenue::venue::{Account, Evidence, Prepared, ProbePermission, VenueError};

async fn skip_the_journal(account: &dyn Account, order: &Prepared, permission: ProbePermission) -> Result<Evidence, VenueError> {
    account.probe(order, permission).await
}

fn main() {}
