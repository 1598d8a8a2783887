//! A pause after an entry, and after a loss.

use std::time::Duration;

use super::{Candidate, Gate, Verdict, View};
use crate::executor::LatestEntry;
use crate::model::execution::Reason;
use crate::model::time::format_duration;

/// Refuses an entry in an asset too soon after one of another signal, or after a trade there that closed at a loss before fees: `cooldown`,
/// `loss_cooldown`. Both are facts of the journal, so that a restart ends no pause; a clock that is set back only makes it longer. O(log n).
#[derive(Debug)]
pub(super) struct Cooldown;

impl Gate for Cooldown {
    fn name(&self) -> &'static str {
        "cooldown"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        if !candidate.opens() {
            return Ok(Verdict::Pass);
        }
        let (asset, now) = (&candidate.terms.asset, view.now.wall);
        for holder in view.holders {
            let Some(tally) = holder.tally(view) else { continue };
            if let Some(limit) = holder.limits.cooldown
                && let Some(latest) = tally.latest_entry(asset, candidate.execution)
            {
                let age = match latest {
                    LatestEntry::Now => Duration::ZERO,
                    LatestEntry::At(at) => now.since(at),
                };
                if age < limit {
                    return Err(refusal("cooldown", &format!("the latest entry of {holder} in {asset}"), age, limit));
                }
            }
            if let Some(limit) = holder.limits.loss_cooldown
                && let Some(at) = tally.latest_loss(asset)
                && now.since(at) < limit
            {
                return Err(refusal("loss_cooldown", &format!("the latest loss of {holder} in {asset}"), now.since(at), limit));
            }
        }
        Ok(Verdict::Pass)
    }
}

fn refusal(code: &str, what: &str, age: Duration, limit: Duration) -> Reason {
    let age = Duration::from_millis(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    Reason::new(code, format!("{what} was {} ago, the next may come after {}", format_duration(age), format_duration(limit)))
}
