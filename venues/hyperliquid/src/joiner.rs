//! Joins what the stream tells of orders with what it tells of trades.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use omnivenue_core::model::instrument::Market;
use omnivenue_core::model::order::OrderReport;

use crate::convert::{self, ConvertError};
use crate::wire;

/// How many orders are remembered, to join trades with: far more than can rest at once.
const ORDERS_MAX: usize = 8192;
/// How many trades are remembered, to tell those that were never streamed.
const TRADES_MAX: usize = 32_768;
/// Joins orders and trades: orders come without trades, trades without our names.
pub(crate) struct Joiner {
    market: Market,
    orders: BTreeMap<u64, (wire::OrderState, Vec<wire::Fill>)>,
    /// Trades whose order is not known yet, and how often it was asked for.
    waiting: BTreeMap<u64, (Vec<wire::Fill>, u32)>,
    told: BTreeSet<u64>,
    told_in_order: VecDeque<u64>,
}

impl Joiner {
    pub(crate) fn new(market: Market) -> Self {
        Self { market, orders: BTreeMap::new(), waiting: BTreeMap::new(), told: BTreeSet::new(), told_in_order: VecDeque::new() }
    }

    pub(crate) fn is_ours(&self, coin: &str) -> bool {
        convert::is_of(coin, self.market)
    }

    /// News of an order: the report, with all its trades that are known.
    pub(crate) fn order(&mut self, state: wire::OrderState) -> Result<Option<OrderReport>, ConvertError> {
        if !self.is_ours(&state.order.coin) {
            return Ok(None);
        }
        let oid = state.order.oid;
        let (waited, _) = self.waiting.remove(&oid).unwrap_or_default();
        let (known, fills) = self.orders.entry(oid).or_insert_with(|| (state.clone(), Vec::new()));
        fills.extend(waited);
        // Frames may come twice or in another order: what is over stays over.
        let was_final = convert::order_status(&known.status).is_final();
        if !was_final || convert::order_status(&state.status).is_final() {
            let tif = state.order.tif.clone().or(known.order.tif.take());
            let reduce_only = state.order.reduce_only || known.order.reduce_only;
            *known = state;
            (known.order.tif, known.order.reduce_only) = (tif, reduce_only);
        }
        let report = self.report(oid)?;
        while self.orders.len() > ORDERS_MAX {
            // The lowest number is the oldest order.
            self.orders.pop_first();
        }
        Ok(Some(report))
    }

    /// A trade: the report of its order, or nothing while the order is not known.
    pub(crate) fn fill(&mut self, fill: wire::Fill) -> Result<Option<OrderReport>, ConvertError> {
        if !self.is_ours(&fill.coin) || !self.tell(fill.tid) {
            return Ok(None);
        }
        let oid = fill.oid;
        match self.orders.get_mut(&oid) {
            Some((_, fills)) => {
                fills.push(fill);
                self.report(oid).map(Some)
            }
            None => {
                self.waiting.entry(oid).or_default().0.push(fill);
                Ok(None)
            }
        }
    }

    /// Orders that trades wait for.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = u64> {
        self.waiting.keys().copied()
    }

    /// Notes that an order was asked for and not found; how often that was.
    pub(crate) fn asked_in_vain(&mut self, oid: u64) -> u32 {
        let Some((_, asked)) = self.waiting.get_mut(&oid) else { return 0 };
        *asked += 1;
        *asked
    }

    /// Whether a trade was noted.
    pub(crate) fn is_told(&self, tid: u64) -> bool {
        self.told.contains(&tid)
    }

    fn report(&self, oid: u64) -> Result<OrderReport, ConvertError> {
        let missing = || convert::missing_order(oid);
        let (state, fills) = self.orders.get(&oid).ok_or_else(missing)?;
        let cloid = state.order.cloid.as_ref();
        let fills = fills.iter().map(|fill| convert::fill(fill, cloid)).collect::<Result<_, _>>()?;
        convert::report(state, fills, false)
    }

    /// Notes a trade; false when it was noted before.
    pub(crate) fn tell(&mut self, tid: u64) -> bool {
        if !self.told.insert(tid) {
            return false;
        }
        self.told_in_order.push_back(tid);
        if self.told_in_order.len() > TRADES_MAX
            && let Some(oldest) = self.told_in_order.pop_front()
        {
            self.told.remove(&oldest);
        }
        true
    }
}
