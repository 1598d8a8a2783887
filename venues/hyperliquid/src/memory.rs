//! What an account remembers of its orders, to save questions. Bounded; nothing is lost with it but time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use omnivenue_core::model::ids::VenueSymbol;
use omnivenue_kit::clock::Monotonic;

use crate::action::{self, Cloid, OrderKind, Tif};
use crate::wire;

/// How many entries of each kind are kept.
const ENTRIES_MAX: usize = 16_384;

/// A map that forgets its oldest entries.
#[derive(Debug)]
struct Recent<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    by_age: BTreeMap<u64, K>,
    next: u64,
}

impl<K: Ord + Clone, V> Recent<K, V> {
    const fn new() -> Self {
        Self { entries: BTreeMap::new(), by_age: BTreeMap::new(), next: 0 }
    }

    fn insert(&mut self, key: K, value: V) {
        if let Some((age, _)) = self.entries.insert(key.clone(), (self.next, value)) {
            self.by_age.remove(&age);
        }
        self.by_age.insert(self.next, key);
        self.next += 1;
        while self.entries.len() > ENTRIES_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }
}

/// The leverage of a coin, as last seen or set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leverage {
    pub(crate) value: u32,
    pub(crate) is_cross: bool,
    pub(crate) at: Monotonic,
}

#[derive(Debug)]
struct Remembered {
    shapes: Recent<Cloid, (Tif, bool)>,
    names: Recent<u64, Option<Cloid>>,
    spent: Recent<u64, ()>,
    leverages: BTreeMap<VenueSymbol, Leverage>,
}

/// The memory of one account.
#[derive(Debug)]
pub(crate) struct Memory(Mutex<Remembered>);

impl Memory {
    pub(crate) const fn new() -> Self {
        let leverages = BTreeMap::new();
        Self(Mutex::new(Remembered { shapes: Recent::new(), names: Recent::new(), spent: Recent::new(), leverages }))
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        // What a panic elsewhere leaves half done is forgotten later than it should be, and nothing else.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An order is about to be sent: whether it can rest is not said in the stream.
    pub(crate) fn sent(&self, order: &action::Order) {
        if let (Some(cloid), OrderKind::Limit { tif }) = (&order.cloid, &order.kind) {
            self.lock().shapes.insert(cloid.clone(), (*tif, order.reduce_only));
        }
    }

    /// Adds to an order what the venue left out.
    pub(crate) fn complete(&self, order: &mut wire::Order) {
        let mut memory = self.lock();
        memory.names.insert(order.oid, order.cloid.clone());
        let Some((tif, reduce_only)) = order.cloid.as_ref().and_then(|cloid| memory.shapes.get(cloid)).copied() else { return };
        let word = match tif {
            Tif::Gtc => "Gtc",
            Tif::Ioc => "Ioc",
            Tif::Alo => "Alo",
        };
        order.tif.get_or_insert_with(|| word.to_owned());
        order.reduce_only |= reduce_only;
    }

    /// The venue gave an order a number.
    pub(crate) fn named(&self, oid: u64, cloid: Option<&Cloid>) {
        self.lock().names.insert(oid, cloid.cloned());
    }

    /// Our name of an order, where its number is known; the inner `None` is an order without one.
    pub(crate) fn name(&self, oid: u64) -> Option<Option<Cloid>> {
        self.lock().names.get(&oid).cloned()
    }

    /// The venue said that a nonce was used before.
    pub(crate) fn spend(&self, nonce: u64) {
        self.lock().spent.insert(nonce, ());
    }

    pub(crate) fn is_spent(&self, nonce: u64) -> bool {
        self.lock().spent.get(&nonce).is_some()
    }

    pub(crate) fn leverage(&self, symbol: &VenueSymbol) -> Option<Leverage> {
        self.lock().leverages.get(symbol).copied()
    }

    /// `None` forgets: it may be something else now.
    pub(crate) fn set_leverage(&self, symbol: &VenueSymbol, leverage: Option<Leverage>) {
        let leverages = &mut self.lock().leverages;
        match leverage {
            Some(leverage) => drop(leverages.insert(symbol.clone(), leverage)),
            None => drop(leverages.remove(symbol)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut recent = Recent::new();
        for key in 0..=ENTRIES_MAX {
            recent.insert(key, ());
            recent.insert(0, ());
        }
        assert_eq!((recent.entries.len(), recent.by_age.len()), (ENTRIES_MAX, ENTRIES_MAX));
        assert!(recent.get(&0).is_some() && recent.get(&1).is_none());
    }

    #[test]
    fn what_the_stream_leaves_out_is_added() {
        let memory = Memory::new();
        let cloid = Cloid::parse("0x00000000000000000000000000000001").unwrap();
        let order = action::Order {
            asset: 0,
            is_buy: true,
            price: "1".into(),
            size: "1".into(),
            reduce_only: true,
            kind: OrderKind::Limit { tif: Tif::Ioc },
            cloid: Some(cloid.clone()),
        };
        memory.sent(&order);
        let json = format!(r#"{{"coin":"A","side":"B","limitPx":"1","sz":"1","oid":7,"timestamp":1,"origSz":"1","cloid":"{cloid}"}}"#);
        let mut seen: wire::Order = serde_json::from_str(&json).unwrap();
        memory.complete(&mut seen);
        assert_eq!((seen.tif.as_deref(), seen.reduce_only), (Some("Ioc"), true));
        assert_eq!((memory.name(7), memory.name(8)), (Some(Some(cloid)), None));
    }
}
