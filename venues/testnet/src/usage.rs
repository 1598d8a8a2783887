//! How clients are pointed at a testnet.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::host::Host;
use crate::testnet::VenueUrls;

pub(crate) fn text(admin: &str, urls: &BTreeMap<String, VenueUrls>, hosts: &[Arc<Host>]) -> String {
    let mut text = String::from("The local testnet: paper trading behind the venues' own protocols. No order leaves this machine.\n\n");
    for host in hosts {
        if let Some(venue) = urls.get(host.name) {
            let _ = writeln!(text, "{}", host.usage(&venue.rest, &venue.stream));
        }
    }
    let _ = write!(
        text,
        r#"admin {admin}
  what really happened     curl {admin}/truth
  the next order is cut    curl {admin}/faults -d '{{"script":[{{"fault":"cut_after","kind":"order"}}]}}'
  one in fifty, seeded     curl {admin}/faults -d '{{"seed":7,"chances":[{{"fault":"late_commit","per_mille":20}}]}}'
  no faults                curl {admin}/faults -d '{{"clear":true}}'
  move a price             curl {admin}/prices -d '{{"symbol":"HYPE","price":"40"}}'
  a wrong clock            curl {admin}/clock -d '{{"skew_ms":-30000}}'
"#
    );
    text
}
