//! Orders as the venue tells of them, and where to find them: by its number, by the client's, by the paper exchange's.

use std::collections::{BTreeMap, BTreeSet};

use omnivenue_core::model::ids::{ClientOrderId, VenueSymbol};
use omnivenue_core::model::number::{Price, Quantity};
use rust_decimal::Decimal;

use super::sign::Address;

/// Take profit or stop loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tpsl {
    Tp,
    Sl,
}

/// What wakes an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trigger {
    pub(crate) market: bool,
    pub(crate) price: Price,
    pub(crate) tpsl: Tpsl,
    /// It closes whatever the position is when it fires.
    pub(crate) position: bool,
}

/// What an order waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its entry has not filled.
    Entry,
    /// The mark has not reached its trigger.
    Trigger,
    /// Nothing: it is or was on the exchange.
    Live,
}

/// One order, from its acceptance or refusal on.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) oid: u64,
    pub(crate) cloid: Option<String>,
    pub(crate) account: Address,
    pub(crate) signer: Address,
    pub(crate) nonce: u64,
    pub(crate) coin: VenueSymbol,
    pub(crate) asset: u32,
    pub(crate) buy: bool,
    pub(crate) price: Price,
    pub(crate) quantity: Quantity,
    pub(crate) filled: Quantity,
    pub(crate) reduce_only: bool,
    pub(crate) tif: Option<String>,
    pub(crate) trigger: Option<Trigger>,
    pub(crate) stage: Stage,
    /// The venue's word: `open`, `filled`, `canceled`, …
    pub(crate) status: String,
    pub(crate) timestamp: u64,
    pub(crate) status_timestamp: u64,
    /// Its name on the paper exchange, once it is there.
    pub(crate) paper: Option<ClientOrderId>,
    /// Orders that end when this one trades, itself included.
    pub(crate) group: Option<u64>,
    pub(crate) children: Vec<u64>,
    /// Tenths of a basis point for a builder.
    pub(crate) builder: Option<(Address, u64)>,
    /// Sum of price × quantity of its trades.
    pub(crate) spent: Decimal,
    /// Why it ended, where the venue has words for it.
    pub(crate) why: Option<String>,
}

impl Order {
    pub(crate) fn is_open(&self) -> bool {
        self.status == "open" || (self.status == "triggered" && self.paper.is_some())
    }

    /// Whether the venue ever took it.
    pub(crate) fn was_accepted(&self) -> bool {
        !self.status.ends_with("Rejected")
    }

    pub(crate) fn remaining(&self) -> Quantity {
        self.quantity.minus(self.filled).unwrap_or_default()
    }
}

/// All orders.
#[derive(Debug)]
pub(crate) struct Orders {
    all: BTreeMap<u64, Order>,
    by_cloid: BTreeMap<(Address, String), Vec<u64>>,
    by_paper: BTreeMap<ClientOrderId, u64>,
    of_account: BTreeMap<Address, Vec<u64>>,
    open: BTreeSet<u64>,
    next: u64,
}

/// The first number; above 32 bits, as the venue's are.
const FIRST: u64 = 300_000_000_001;

impl Default for Orders {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            by_cloid: BTreeMap::new(),
            by_paper: BTreeMap::new(),
            of_account: BTreeMap::new(),
            open: BTreeSet::new(),
            next: FIRST,
        }
    }
}

impl Orders {
    pub(crate) const fn take_oid(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    pub(crate) fn put(&mut self, order: Order) {
        if order.is_open() {
            self.open.insert(order.oid);
        } else {
            self.open.remove(&order.oid);
        }
        if let Some(paper) = &order.paper {
            self.by_paper.insert(paper.clone(), order.oid);
        }
        if !self.all.contains_key(&order.oid) {
            self.of_account.entry(order.account).or_default().push(order.oid);
            if let Some(cloid) = &order.cloid {
                self.by_cloid.entry((order.account, cloid.clone())).or_default().push(order.oid);
            }
        }
        self.all.insert(order.oid, order);
    }

    pub(crate) fn get(&self, oid: u64) -> Option<&Order> {
        self.all.get(&oid)
    }

    pub(crate) fn of_paper(&self, id: &ClientOrderId) -> Option<&Order> {
        self.by_paper.get(id).and_then(|oid| self.all.get(oid))
    }

    /// The latest order of a client's id, open ones first.
    pub(crate) fn of_cloid(&self, account: Address, cloid: &str) -> Option<&Order> {
        let oids = self.by_cloid.get(&(account, cloid.to_ascii_lowercase()))?;
        let open = oids.iter().rev().find(|oid| self.open.contains(oid));
        open.or_else(|| oids.last()).and_then(|oid| self.all.get(oid))
    }

    /// Every order of an account, oldest first.
    pub(crate) fn of(&self, account: Address) -> impl DoubleEndedIterator<Item = &Order> {
        self.of_account.get(&account).into_iter().flatten().filter_map(|oid| self.all.get(oid))
    }

    pub(crate) fn open_of(&self, account: Address) -> impl Iterator<Item = &Order> {
        self.open.iter().filter_map(|oid| self.all.get(oid)).filter(move |order| order.account == account)
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = &Order> {
        self.open.iter().filter_map(|oid| self.all.get(oid))
    }
}
