//! What positions need after they were opened, as the journal tells it: who guards which leg with what, and what must become flat.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::killing::is_latch;
use crate::journal::{ExecutionNumber, LegRef};
use crate::ledger::{Ledger, PositionKey, pairs};
use crate::model::close::Lot;
use crate::model::contract::Contract;
use crate::model::execution::Reason;
use crate::model::exit::{ExitKind, Exits};
use crate::model::ids::{SignalId, VenueId, VenueSymbol};
use crate::model::instrument::Side;
use crate::model::number::{Leverage, Price};
use crate::model::order::Filled;
use crate::model::signal::Direction;
use crate::model::time::Timestamp;

/// Something that must become flat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duty {
    /// Why.
    pub why: Reason,
    /// Since when.
    pub since: Timestamp,
    /// How often a close of it was begun.
    pub tries: u32,
    /// The latest of these closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close: Option<ExecutionNumber>,
}

/// The exits of one entry leg, for as long as anything of it is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// What is guarded.
    pub lot: Lot,
    /// Where.
    pub venue: VenueId,
    /// Which way it gains.
    pub direction: Direction,
    /// What distances in return on margin are divided by.
    pub leverage: Leverage,
    /// As the signal asked for.
    pub exits: Exits,
    /// What the leg has bought or sold so far: distances are from its average price.
    pub entered: Filled,
    /// When it first traded.
    pub since: Timestamp,
    /// The best price since then, in steps; `None` before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Price>,
    /// How it gains.
    #[serde(default, skip_serializing_if = "Contract::is_linear")]
    pub contract: Contract,
}

impl Guard {
    /// What distances are from.
    #[must_use]
    pub fn entry_price(&self) -> Option<Price> {
        self.entered.average_price()
    }

    /// Where an exit is now: of the stops the nearer one.
    #[must_use]
    pub fn trigger_price(&self, kind: ExitKind) -> Option<Price> {
        let entry = self.entry_price()?;
        let exits = self.exits.on(&self.contract, self.direction, self.leverage);
        exits.trigger_price(kind, self.direction, entry, self.leverage, self.best.unwrap_or(entry))
    }

    /// The side of what closes it.
    #[must_use]
    pub const fn exit_side(&self) -> Side {
        self.direction.entry_side().opposite()
    }

    fn position(&self) -> PositionKey {
        PositionKey::of(&self.lot)
    }
}

/// Duties, guards, and the orders that wait at venues for guards.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Upkeep {
    #[serde(with = "pairs")]
    duties: BTreeMap<Lot, Duty>,
    #[serde(with = "pairs")]
    guards: BTreeMap<LegRef, Guard>,
    /// The entry legs that are guarded, by what is guarded.
    #[serde(with = "pairs")]
    by_lot: BTreeMap<PositionKey, BTreeMap<SignalId, LegRef>>,
    #[serde(with = "pairs")]
    by_instrument: BTreeMap<(VenueId, VenueSymbol), BTreeSet<LegRef>>,
    /// The legs with exits at venues that are not over, by the entry leg they are for.
    #[serde(with = "pairs")]
    exits: BTreeMap<LegRef, BTreeSet<LegRef>>,
    /// Those entry legs, by the position they opened.
    #[serde(with = "pairs", default)]
    exits_by_position: BTreeMap<PositionKey, BTreeSet<LegRef>>,
}

impl Upkeep {
    pub(super) fn duty(&self, lot: &Lot) -> Option<&Duty> {
        self.duties.get(lot)
    }

    pub(super) fn duties(&self) -> impl Iterator<Item = (&Lot, &Duty)> {
        self.duties.iter()
    }

    pub(super) fn guard(&self, entry: LegRef) -> Option<&Guard> {
        self.guards.get(&entry)
    }

    pub(super) fn guards(&self) -> impl Iterator<Item = (LegRef, &Guard)> {
        self.guards.iter().map(|(entry, guard)| (*entry, guard))
    }

    /// The guarded legs of a position.
    pub(super) fn guarding(&self, key: &PositionKey) -> impl Iterator<Item = (LegRef, &Guard)> {
        self.by_lot.get(key).into_iter().flatten().filter_map(|(_, entry)| Some((*entry, self.guards.get(entry)?)))
    }

    /// The guarded legs that a price of an instrument concerns.
    pub(super) fn watching(&self, venue: &VenueId, symbol: &VenueSymbol) -> impl Iterator<Item = LegRef> + use<'_> {
        self.by_instrument.get(&(venue.clone(), symbol.clone())).into_iter().flatten().copied()
    }

    /// The legs with exits at the venue for an entry leg.
    pub(super) fn exits(&self, entry: LegRef) -> impl Iterator<Item = LegRef> + use<'_> {
        self.exits.get(&entry).into_iter().flatten().copied()
    }

    /// The entry legs of a position that have exits at its venue.
    pub(super) fn with_exits_on(&self, key: &PositionKey) -> impl Iterator<Item = LegRef> + use<'_> {
        self.exits_by_position.get(key).into_iter().flatten().copied()
    }

    /// Every entry leg that has exits at a venue.
    pub(super) fn with_exits(&self) -> impl Iterator<Item = LegRef> + use<'_> {
        self.exits.keys().copied()
    }

    pub(super) fn must_close(&mut self, lot: &Lot, why: &Reason, at: Timestamp) {
        let duty = self.duties.entry(lot.clone()).or_insert_with(|| Duty { why: why.clone(), since: at, tries: 0, close: None });
        // What must be closed without the kill switch too does not end with it.
        if is_latch(&duty.why.code) {
            duty.why = why.clone();
        }
    }

    pub(super) fn relieve(&mut self, lot: &Lot) {
        self.duties.remove(lot);
    }

    /// A close of a lot was begun.
    pub(super) fn pursued(&mut self, lot: &Lot, number: ExecutionNumber) {
        if let Some(duty) = self.duties.get_mut(lot) {
            duty.tries = duty.tries.saturating_add(1);
            duty.close = Some(number);
        }
    }

    /// Notes whether a leg with an exit at the venue is over.
    pub(super) fn note_exit(&mut self, entry: LegRef, key: &PositionKey, exit: LegRef, over: bool) {
        if !over {
            self.exits.entry(entry).or_default().insert(exit);
            self.exits_by_position.entry(key.clone()).or_default().insert(entry);
        } else if let Some(exits) = self.exits.get_mut(&entry) {
            exits.remove(&exit);
            if exits.is_empty() {
                self.exits.remove(&entry);
                if let Some(there) = self.exits_by_position.get_mut(key) {
                    there.remove(&entry);
                    if there.is_empty() {
                        self.exits_by_position.remove(key);
                    }
                }
            }
        }
    }

    /// An entry with exits has traded.
    pub(super) fn guard_with(&mut self, entry: LegRef, guard: Guard) {
        let best = self.guards.get(&entry).and_then(|before| before.best);
        let since = self.guards.get(&entry).map_or(guard.since, |before| before.since.min(guard.since));
        let Some(signal) = guard.lot.signal.clone() else { return };
        self.by_lot.entry(guard.position()).or_default().insert(signal, entry);
        self.by_instrument.entry((guard.venue.clone(), guard.lot.instrument.clone())).or_default().insert(entry);
        self.guards.insert(entry, Guard { best, since, ..guard });
    }

    pub(super) fn moved(&mut self, entry: LegRef, best: Price) {
        if let Some(guard) = self.guards.get_mut(&entry) {
            guard.best = Some(best);
        }
    }

    /// A position has changed: what is flat needs nothing any more. Returns the duties that are done.
    pub(super) fn settle(&mut self, key: &PositionKey, ledger: &Ledger) -> Vec<(Lot, Duty)> {
        let flat = |lot: &Lot| ledger.left_of(lot).is_ok_and(|left| left.is_zero());
        let done: Vec<LegRef> = self.guarding(key).filter(|(_, guard)| flat(&guard.lot)).map(|(entry, _)| entry).collect();
        done.into_iter().for_each(|entry| self.unguard(entry));
        let lots: Vec<Lot> =
            self.duties.range(key.whole()..).map(|(lot, _)| lot).take_while(|lot| PositionKey::of(lot) == *key).cloned().collect();
        lots.into_iter().filter(|lot| flat(lot)).filter_map(|lot| self.duties.remove_entry(&lot)).collect()
    }

    fn unguard(&mut self, entry: LegRef) {
        let Some(guard) = self.guards.remove(&entry) else { return };
        let key = guard.position();
        if let (Some(of), Some(signal)) = (self.by_lot.get_mut(&key), &guard.lot.signal) {
            of.remove(signal);
            if of.is_empty() {
                self.by_lot.remove(&key);
            }
        }
        let place = (guard.venue, guard.lot.instrument);
        if let Some(there) = self.by_instrument.get_mut(&place) {
            there.remove(&entry);
            if there.is_empty() {
                self.by_instrument.remove(&place);
            }
        }
    }
}
