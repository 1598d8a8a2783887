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

/// What the stream does not say of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    /// Triggers have none.
    tif: Option<String>,
    reduce_only: bool,
    is_trigger: bool,
}

/// What is known of a nonce without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nonce {
    /// The venue has taken a request under it, or said that one was.
    Used,
    /// The venue has taken a `noop` of ours under it: no order ever was, nor can be.
    Burned,
}

#[derive(Debug)]
struct Remembered {
    shapes: Recent<Cloid, Shape>,
    names: Recent<u64, Option<Cloid>>,
    nonces: Recent<u64, Nonce>,
    leverages: BTreeMap<VenueSymbol, Leverage>,
}

/// The memory of one account.
#[derive(Debug)]
pub(crate) struct Memory(Mutex<Remembered>);

impl Memory {
    pub(crate) const fn new() -> Self {
        let leverages = BTreeMap::new();
        Self(Mutex::new(Remembered { shapes: Recent::new(), names: Recent::new(), nonces: Recent::new(), leverages }))
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        // What a panic elsewhere leaves half done is forgotten later than it should be, and nothing else.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Orders are about to be sent: whether they can rest, or only reduce, is not said in the stream.
    pub(crate) fn sent(&self, orders: &[action::Order]) {
        let mut memory = self.lock();
        for order in orders {
            let (tif, is_trigger) = match &order.kind {
                OrderKind::Limit { tif: Tif::Gtc } => (Some("Gtc"), false),
                OrderKind::Limit { tif: Tif::Ioc } => (Some("Ioc"), false),
                OrderKind::Limit { tif: Tif::Alo } => (Some("Alo"), false),
                OrderKind::Trigger { .. } => (None, true),
            };
            let shape = Shape { tif: tif.map(str::to_owned), reduce_only: order.reduce_only, is_trigger };
            if let Some(cloid) = &order.cloid {
                memory.shapes.insert(cloid.clone(), shape);
            }
        }
    }

    /// Adds to an order what the venue left out here and said elsewhere.
    pub(crate) fn complete(&self, order: &mut wire::Order) {
        let mut memory = self.lock();
        memory.names.insert(order.oid, order.cloid.clone());
        let Some(cloid) = order.cloid.clone() else { return };
        let Some(known) = memory.shapes.get(&cloid).cloned() else {
            if order.tif.is_some() || order.is_trigger {
                // A list said it: an order of an earlier life of this process, most likely.
                let shape = Shape { tif: order.tif.clone(), reduce_only: order.reduce_only, is_trigger: order.is_trigger };
                memory.shapes.insert(cloid, shape);
            }
            return;
        };
        order.tif = order.tif.take().or(known.tif);
        order.reduce_only |= known.reduce_only;
        order.is_trigger |= known.is_trigger;
    }

    /// The venue gave an order a number.
    pub(crate) fn named(&self, oid: u64, cloid: Option<&Cloid>) {
        self.lock().names.insert(oid, cloid.cloned());
    }

    /// Our name of an order, where its number is known; the inner `None` is an order without one.
    pub(crate) fn name(&self, oid: u64) -> Option<Option<Cloid>> {
        self.lock().names.get(&oid).cloned()
    }

    /// A request was taken under a nonce, or the venue said that one was.
    pub(crate) fn spend(&self, nonce: u64) {
        let mut memory = self.lock();
        if memory.nonces.get(&nonce).is_none() {
            memory.nonces.insert(nonce, Nonce::Used);
        }
    }

    /// A `noop` was taken under a nonce.
    pub(crate) fn burned(&self, nonce: u64) {
        self.lock().nonces.insert(nonce, Nonce::Burned);
    }

    pub(crate) fn nonce(&self, nonce: u64) -> Option<Nonce> {
        self.lock().nonces.get(&nonce).copied()
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
        memory.sent(&[order]);
        let json = format!(r#"{{"coin":"A","side":"B","limitPx":"1","sz":"1","oid":7,"timestamp":1,"origSz":"1","cloid":"{cloid}"}}"#);
        let mut seen: wire::Order = serde_json::from_str(&json).unwrap();
        memory.complete(&mut seen);
        assert_eq!((seen.tif.as_deref(), seen.reduce_only), (Some("Ioc"), true));
        assert_eq!((memory.name(7), memory.name(8)), (Some(Some(cloid)), None));
    }

    #[test]
    fn what_a_list_said_of_a_trigger_is_added_to_what_the_stream_says() {
        let memory = Memory::new();
        let json = r#"{"coin":"A","side":"A","limitPx":"1","sz":"1","oid":7,"timestamp":1,"origSz":"1","cloid":"0x00000000000000000000000000000002"}"#;
        let bare: wire::Order = serde_json::from_str(json).unwrap();
        let mut listed = wire::Order { is_trigger: true, reduce_only: true, ..bare.clone() };
        memory.complete(&mut listed);
        let mut streamed = bare;
        memory.complete(&mut streamed);
        assert_eq!((streamed.tif, streamed.reduce_only, streamed.is_trigger), (None, true, true));
    }

    #[test]
    fn a_nonce_that_was_burned_is_not_taken_for_one_that_an_order_used() {
        let memory = Memory::new();
        memory.burned(7);
        memory.spend(7);
        memory.spend(8);
        assert_eq!([memory.nonce(7), memory.nonce(8), memory.nonce(9)], [Some(Nonce::Burned), Some(Nonce::Used), None]);
    }
}
