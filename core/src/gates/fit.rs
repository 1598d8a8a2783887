//! Asking every gate, and making an entry as small as they ask.

use super::{BUILT_IN, Candidate, Holder, Most, Shrink, Verdict, View, entry_reserve};
use crate::journal::Reserve;
use crate::model::execution::Reason;
use crate::model::number::{Leverage, Quantity};

/// How often an entry is made smaller before it is refused. Each limit that shrinks asks once, and once more where rounding was in its way.
const ROUNDS: usize = 64;

/// What may pass of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fitted {
    /// How much.
    pub(crate) quantity: Quantity,
    /// With which leverage.
    pub(crate) leverage: Leverage,
    /// What it holds back.
    pub(crate) reserve: Reserve,
    /// Why it is less than was asked.
    pub(crate) shrunk: Option<Reason>,
}

/// Asks every gate, and all of them again of what one of them has shrunk. The caller books the reserve before it asks about another entry, so
/// that it all is one step. O(gates + instruments and accounts in the scopes of their limits + log n), for each time it is made smaller.
///
/// # Errors
/// The first refusal; of what is too small to be sent, the one of the gate that made it so.
pub(crate) fn fit_entry(asked: Candidate<'_>, view: View<'_>) -> Result<Fitted, Reason> {
    let holders = Holder::of(&asked, view);
    let view = View { holders: &holders, ..view };
    let mut candidate = asked;
    let mut shrinks: Vec<Shrink> = Vec::new();
    while let Some(shrink) = ask(&candidate, view)? {
        if shrinks.len() == ROUNDS {
            return Err(shrink.reason);
        }
        candidate = cut(&candidate, &shrink)?;
        shrinks.push(shrink);
    }
    let Candidate { quantity, leverage, reserve, .. } = candidate;
    Ok(Fitted { quantity, leverage, reserve, shrunk: words(&asked, &candidate, &shrinks) })
}

/// The first gate that wants it smaller.
fn ask(candidate: &Candidate<'_>, view: View<'_>) -> Result<Option<Shrink>, Reason> {
    for gate in BUILT_IN {
        if let Verdict::Shrink(shrink) = gate.check(candidate, view)? {
            return Ok(Some(shrink));
        }
    }
    Ok(None)
}

/// The candidate as small as a gate asks: always smaller than it was.
fn cut<'a>(candidate: &Candidate<'a>, shrink: &Shrink) -> Result<Candidate<'a>, Reason> {
    let mut smaller = *candidate;
    match shrink.most {
        Most::Quantity(most) => smaller.quantity = less(candidate, most),
        Most::Leverage(most) if most < candidate.leverage => {
            smaller.leverage = most;
            // Never more than what other limits have left of it.
            smaller.quantity = (candidate.resize.0)(most)?.min(candidate.quantity);
        }
        Most::Leverage(_) => return Err(shrink.reason.clone()),
    }
    candidate.instrument.check_order(smaller.quantity, candidate.worst_price, false).map_err(|too_small| {
        let Reason { code, reason } = &shrink.reason;
        Reason::new(code, format!("{reason}; shrunk to that, {too_small}"))
    })?;
    let Candidate { instrument, side, quantity, reserve_price, leverage, .. } = smaller;
    smaller.reserve = entry_reserve(instrument, side, quantity, reserve_price, leverage)?;
    Ok(smaller)
}

/// Whole lots, no more than `most`, and at least one lot less than before.
fn less(candidate: &Candidate<'_>, most: Quantity) -> Quantity {
    let one_less = candidate.quantity.minus(candidate.instrument.lot_size).unwrap_or_default();
    candidate.instrument.floor_quantity(most.min(one_less))
}

/// What a person reads of an entry that was made smaller: from what to what, and by which limits.
fn words(asked: &Candidate<'_>, passed: &Candidate<'_>, shrinks: &[Shrink]) -> Option<Reason> {
    // The one that asked last is the one that binds.
    let last = shrinks.last()?;
    let mut changes = Vec::new();
    if passed.quantity != asked.quantity {
        changes.push(format!("from {} to {} {}", asked.quantity, passed.quantity, asked.instrument.base));
    }
    if passed.leverage != asked.leverage {
        changes.push(format!("from leverage {} to {}", asked.leverage, passed.leverage));
    }
    let mut codes: Vec<&str> = Vec::new();
    for shrink in shrinks {
        if !codes.contains(&shrink.reason.code.as_str()) {
            codes.push(&shrink.reason.code);
        }
    }
    let (changes, codes) = (changes.join(" and "), codes.join(" and "));
    Some(Reason::new(&last.reason.code, format!("shrunk {changes} by {codes}: {}", last.reason.reason)))
}
