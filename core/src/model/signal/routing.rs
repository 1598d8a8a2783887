//! Which of the enabled venues take part.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::ids::VenueId;
use crate::model::number::{Fraction, exact};

/// Which venues take part, in each deployment by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    /// Every enabled venue, one leg each.
    #[default]
    All,
    /// The first venue, in the deployment's order, where the leg can be opened.
    First,
    /// The venue where the price after fees is best for the leg's size, then the next best one where a leg came to nothing for certain: never
    /// while one is unknown.
    Best,
    /// So much of the size at each venue; the weights add up to 1. Two accounts at one venue have equal parts of its weight. The weight of a
    /// venue that a deployment does not trade on, or where the leg comes to nothing, goes nowhere else.
    Split(BTreeMap<VenueId, Fraction>),
}

impl Routing {
    /// Whether one leg is opened where there are several accounts: the others stand by.
    #[must_use]
    pub const fn opens_one(&self) -> bool {
        matches!(self, Self::First | Self::Best)
    }

    /// The share of the size that goes to a venue: all of it unless it is split; `None` where a split does not name the venue.
    #[must_use]
    pub fn weight(&self, venue: &VenueId) -> Option<Fraction> {
        match self {
            Self::Split(weights) => weights.get(venue).copied(),
            _ => Some(Fraction::new(Decimal::ONE).expect("1 is a fraction")),
        }
    }

    /// The venues that a split names.
    pub fn split(&self) -> impl Iterator<Item = &VenueId> {
        let weights = if let Self::Split(weights) = self { Some(weights) } else { None };
        weights.into_iter().flat_map(BTreeMap::keys)
    }

    /// Checks what the types alone cannot, together with the venues that the signal names.
    ///
    /// # Errors
    /// A sentence that names the field, what was given and what fits.
    pub(super) fn check(&self, venues: Option<&[VenueId]>) -> Result<(), String> {
        let Self::Split(weights) = self else { return Ok(()) };
        let shown = || weights.iter().map(|(venue, weight)| format!("{venue} {weight}")).collect::<Vec<_>>().join(", ");
        if weights.is_empty() {
            return Err("routing.split is empty; give a weight for each venue, which add up to 1".into());
        }
        if let Some((venue, _)) = weights.iter().find(|(_, weight)| weight.is_zero()) {
            return Err(format!("routing.split gives {venue} 0; leave it out"));
        }
        let total = weights.values().try_fold(Decimal::ZERO, |sum, weight| exact::add(sum, weight.decimal()));
        if total != Some(Decimal::ONE) {
            let total = total.map_or_else(|| "more digits than can be kept exactly".to_owned(), |total| total.normalize().to_string());
            return Err(format!("routing.split adds up to {total} ({}), but must add up to exactly 1", shown()));
        }
        let differs = |named: &&[VenueId]| named.iter().any(|v| !weights.contains_key(v)) || weights.keys().any(|v| !named.contains(v));
        if venues.as_ref().is_some_and(differs) {
            return Err(format!("venues and routing.split ({}) name different venues; leave venues out", shown()));
        }
        Ok(())
    }
}
