//! Batches, brackets and what orders do to one another: children wait for their entry, siblings end one another.
//!
//! Source: the venue's documentation, "Take profit and stop loss orders", read 2026-11-20. What becomes of children whose entry ended
//! in part is not stated there: here they are armed when the entry ended by itself, and canceled when it was canceled.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::orders::{Order, Stage};
use super::place::{Draft, Origin, Rejection};
use super::sign::Address;
use super::state::Hyperliquid;
use super::wire::OrderWire;

/// How the orders of one action belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grouping {
    Na,
    NormalTpsl,
    PositionTpsl,
}

impl Hyperliquid {
    /// Takes the orders of one action. One fault that their text alone shows refuses them all, with one error.
    pub(crate) fn place_batch(&mut self, origin: Origin, orders: Vec<OrderWire>, grouping: Grouping) -> Vec<Value> {
        match self.drafts(orders, grouping) {
            Err(text) => vec![json!({ "error": text })],
            Ok(drafts) => match grouping {
                Grouping::Na => drafts.iter().map(|draft| self.place_alone(origin, draft)).collect(),
                Grouping::NormalTpsl => self.place_bracket(origin, &drafts),
                Grouping::PositionTpsl => self.place_on_position(origin, &drafts),
            },
        }
    }

    fn drafts(&self, orders: Vec<OrderWire>, grouping: Grouping) -> Result<Vec<Draft>, String> {
        if orders.is_empty() {
            return Err("Empty batch of orders.".into());
        }
        let position = grouping == Grouping::PositionTpsl;
        let drafts = orders.into_iter().map(|wire| self.draft(wire, position)).collect::<Result<Vec<_>, _>>()?;
        let children = drafts.iter().skip(usize::from(grouping == Grouping::NormalTpsl));
        let loose = |draft: &Draft| draft.trigger.is_none() || !draft.wire.reduce_only;
        if grouping != Grouping::Na && children.clone().any(loose) {
            return Err("TP/SL orders must be reduce-only trigger orders.".into());
        }
        Ok(drafts)
    }

    fn place_alone(&mut self, origin: Origin, draft: &Draft) -> Value {
        let order = self.make(origin, draft);
        if order.trigger.is_some() { self.arm(order) } else { self.place_live(order) }
    }

    /// An entry and what is to close it: the first order and its children.
    fn place_bracket(&mut self, origin: Origin, drafts: &[Draft]) -> Vec<Value> {
        let Some((first, children)) = drafts.split_first() else {
            return Vec::new();
        };
        let mut entry = self.make(origin, first);
        let entry_oid = entry.oid;
        let mut made = Vec::new();
        for draft in children {
            let mut child = self.make(origin, draft);
            (child.stage, child.group) = (Stage::Entry, Some(entry_oid));
            entry.children.push(child.oid);
            made.push(child);
        }
        // The entry is decided first: what it answers decides what its children wait for.
        let children = std::mem::take(&mut entry.children);
        let answer = self.place_live(entry);
        if let Some(text) = answer.get("error").cloned() {
            return std::iter::repeat_n(json!({ "error": text }), drafts.len()).collect();
        }
        let mut answers = vec![answer];
        let Some(mut entry) = self.orders.get(entry_oid).cloned() else {
            return answers;
        };
        entry.children = children;
        let waits = entry.is_open();
        self.orders.put(entry);
        answers.extend(made.into_iter().map(|child| self.adopt(child, waits)));
        answers
    }

    fn adopt(&mut self, mut child: Order, waits: bool) -> Value {
        if !waits {
            child.stage = Stage::Trigger;
        }
        if let Some(rejection) = self.unfit(&child) {
            return self.reject(child, rejection);
        }
        self.record(child);
        Value::from(if waits { "waitingForFill" } else { "waitingForTrigger" })
    }

    /// Orders that close the whole position, whatever it is when they fire.
    fn place_on_position(&mut self, origin: Origin, drafts: &[Draft]) -> Vec<Value> {
        let mut group = None;
        let mut answers = Vec::new();
        for draft in drafts {
            let mut order = self.make(origin, draft);
            group = group.or(Some(order.oid));
            order.group = group;
            if self.held(order.account, order.asset).size.is_zero() {
                let text = format!("Reduce only order would increase position. asset={}", order.asset);
                answers.push(self.reject(order, Rejection { status: "reduceOnlyRejected", text }));
            } else if let Some(rejection) = self.unfit(&order) {
                answers.push(self.reject(order, rejection));
            } else {
                self.record(order);
                answers.push("waitingForTrigger".into());
            }
        }
        answers
    }

    /// What follows from a change of an order.
    pub(crate) fn follow(&mut self, oid: u64, traded: bool) {
        let Some(order) = self.orders.get(oid).cloned() else {
            return;
        };
        if !order.children.is_empty() && !order.is_open() {
            let fulfilled = order.status == "filled" || (!order.filled.is_zero() && order.tif.as_deref() != Some("Gtc"));
            for child in &order.children {
                if fulfilled { self.wake(*child) } else { self.end(*child, "canceled") }
            }
        }
        if traded {
            if let Some(group) = order.group {
                self.end_group(order.account, group, Some(oid), "siblingFilledCanceled");
            }
            self.end_orphans(order.account, order.asset);
        }
    }

    /// The entry has filled: the child waits for its trigger from now on.
    fn wake(&mut self, oid: u64) {
        if let Some(mut child) = self.orders.get(oid).filter(|child| child.is_open() && child.stage == Stage::Entry).cloned() {
            child.stage = Stage::Trigger;
            self.record(child);
        }
    }

    fn end_group(&mut self, account: Address, group: u64, but: Option<u64>, status: &str) {
        let siblings: Vec<u64> = self
            .orders
            .open_of(account)
            .filter(|other| other.group == Some(group) && Some(other.oid) != but && other.stage != Stage::Entry)
            .map(|other| other.oid)
            .collect();
        for sibling in siblings {
            self.end(sibling, status);
        }
    }

    /// Orders that belong to a position end with it.
    fn end_orphans(&mut self, account: Address, asset: u32) {
        let size = self.held(account, asset).size;
        let orphaned = |order: &&Order| {
            let closes = if order.buy { size < Decimal::ZERO } else { size > Decimal::ZERO };
            order.asset == asset && order.group.is_some() && order.stage == Stage::Trigger && !closes
        };
        let orphans: Vec<u64> = self.orders.open_of(account).filter(orphaned).map(|order| order.oid).collect();
        for orphan in orphans {
            self.end(orphan, "reduceOnlyCanceled");
        }
    }

    /// Ends an open order, wherever it waits.
    pub(crate) fn end(&mut self, oid: u64, status: &str) {
        let Some(mut order) = self.orders.get(oid).filter(|order| order.is_open()).cloned() else {
            return;
        };
        if let Some(paper) = order.paper.clone() {
            let (coin, now) = (self.coin_of(&order), self.system);
            let id = self.accounts.get(&order.account).map(|account| account.id.clone()).expect("orders belong to accounts that exist");
            if self.market.cancel(now, &id, &coin, &paper).is_ok() {
                self.settle(false, status);
            }
            return;
        }
        order.status = status.into();
        self.record(order);
        self.follow(oid, false);
    }
}
