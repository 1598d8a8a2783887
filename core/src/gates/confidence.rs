//! How sure the agent is.

use super::{Candidate, Gate, Verdict, View};
use crate::model::execution::Reason;

/// Refuses signals that are less sure than the limit asks, or do not say how sure they are: `min_confidence`.
#[derive(Debug)]
pub(super) struct MinConfidence;

impl Gate for MinConfidence {
    fn name(&self) -> &'static str {
        "min_confidence"
    }

    fn check(&self, candidate: &Candidate<'_>, view: View<'_>) -> Result<Verdict, Reason> {
        for holder in view.holders {
            let Some(limit) = holder.limits.min_confidence else { continue };
            match candidate.signal.confidence {
                Some(confidence) if confidence >= limit => {}
                Some(confidence) => {
                    let words = format!("the confidence is {confidence}, {holder} asks for at least {limit}");
                    return Err(Reason::new(self.name(), words));
                }
                None => {
                    let words = format!("the signal states no confidence, {holder} asks for at least {limit}");
                    return Err(Reason::new(self.name(), words));
                }
            }
        }
        Ok(Verdict::Pass)
    }
}
