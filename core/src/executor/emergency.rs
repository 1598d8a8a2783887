//! While the journal cannot be written: no entry leaves, but what reduces risk still does, under names that were reserved while it could.
//!
//! Being written down, a start reserves a block of names for each position. An order under one of them needs no entry of its own: a later
//! process that meets it at the venue knows from the block which position it reduced, and books it then.

use super::ids::{EMERGENCIES, emergency_order_id};
use super::step::Step;
use crate::gates::Cleared;
use crate::journal::{Admission, Command, Event, Intent, LegPlan, LegRef, OrderPlan, Reserve, Terms};
use crate::ledger::PositionKey;
use crate::model::close::{CloseRequest, CloseTarget, external_agent, external_deployment};
use crate::model::execution::{Reason, Timings};
use crate::model::ids::{AccountId, ClientOrderId, VenueSymbol};
use crate::model::number::Factor;
use crate::model::order::{FillReport, OrderReport, OrderRequest, Purpose};
use crate::model::signal::OrderType;
use crate::venue::PreparedBody;

/// How many starts back an emergency order is still looked for.
const BLOCKS: u64 = 8;

impl Step<'_> {
    /// The journal can no longer be written. What was decided but is not durable was never sent: it is retired, and a close is made anew.
    pub(super) fn journal_failed(&mut self, reason: String) {
        if self.live.journal_failed.is_some() {
            return;
        }
        self.live.journal_failed = Some(reason.clone());
        let unsent: Vec<ClientOrderId> = std::mem::take(&mut self.live.unsent).into_iter().collect();
        for order in unsent {
            let Some(at) = self.book.leg_of(&order) else { continue };
            let again = self.book.execution(at.execution).is_some_and(|record| record.purpose() == Purpose::Close);
            let why = Reason::new("journal_unwritable", format!("the journal cannot be written ({reason}); the order was never sent"));
            self.emit(Event::Superseded { order: order.clone(), why: why.clone(), again });
            self.share_fate(&order, |order| Event::Superseded { order, why: why.clone(), again: false });
            self.after_order(at);
        }
    }

    /// The next reserved name for an order that reduces this leg's position; `None` once they are used up.
    pub(super) fn emergency_name(&mut self, cleared: &Cleared<OrderRequest>, at: LegRef) -> Option<ClientOrderId> {
        let deployment = self.book.leg(at)?.plan.deployment.clone();
        let key = PositionKey { deployment, account: cleared.get().account.clone(), symbol: cleared.get().symbol.clone() };
        let used = self.live.emergencies.entry(key.clone()).or_default();
        if *used >= EMERGENCIES {
            return None;
        }
        *used += 1;
        Some(emergency_order_id(self.book.namespace(), self.book.starts(), &key, *used))
    }

    /// The position that an order of this name reduced in an emergency of an earlier process, if it is such a name.
    fn emergency_of(&self, account: &AccountId, symbol: &VenueSymbol, id: &ClientOrderId) -> Option<PositionKey> {
        let latest = self.book.starts();
        let external = external_deployment();
        let deployments = self.setup.deployments.keys().chain([&external]).map(|deployment| PositionKey {
            deployment: deployment.clone(),
            account: account.clone(),
            symbol: symbol.clone(),
        });
        let mut deployments = deployments.into_iter();
        deployments.find(|key| {
            (latest.saturating_sub(BLOCKS)..=latest)
                .any(|block| (1..=EMERGENCIES).any(|count| emergency_order_id(self.book.namespace(), block, key, count) == *id))
        })
    }

    /// Books an emergency order of an earlier process as what it was: a close of its position. `false` when it is no such order.
    pub(super) fn adopt_emergency(&mut self, account: &AccountId, report: &OrderReport) -> bool {
        let id = &report.client_order_id;
        let Some(key) = self.emergency_of(account, &report.symbol, id) else { return false };
        let Some(fill) = report.fills.first().cloned() else {
            // Nothing of it traded, or the trades follow: there is nothing to book yet.
            return true;
        };
        let Some((plan, request)) = self.emergency_plan(&key, report, &fill) else { return false };
        let number = self.book.next_execution();
        let external = key.deployment == external_deployment();
        let deployment = Some(key.deployment).filter(|_| !external);
        let target = CloseTarget::Position { account: key.account.clone(), instrument: key.symbol.clone(), deployment };
        let id = format!("emergency:{id}").parse().expect("an order id with a prefix is a valid signal id");
        let command = CloseRequest { include_external: external, ..CloseRequest::new(id, target) };
        let id = &report.client_order_id;
        self.emit(Event::Admitted(Admission {
            number,
            body_hash: command.body_hash(),
            command: Command::Close(command),
            metadata_hash: None,
            received_at: self.now.wall,
            valid_until: None,
            legs: vec![plan],
            standby: Vec::new(),
            rulings: None,
        }));
        let prepared = PreparedBody { request, client_order_id: id.clone(), nonce: None, deadline: None, wire: String::new() };
        self.emit(Event::Prepared(Intent {
            leg: LegRef { execution: number, leg: 0 },
            attempt: 0,
            at: self.now.wall,
            prepared,
            travels_with: None,
            timings: Timings::default(),
        }));
        self.report(report.clone());
        true
    }

    fn emergency_plan(&self, key: &PositionKey, report: &OrderReport, fill: &FillReport) -> Option<(LegPlan, OrderRequest)> {
        let account = self.setup.accounts.get(&key.account)?;
        let instrument = self.setup.venues.get(&account.venue)?.instruments.get(&key.symbol)?;
        let position = self.book.ledger().position(key);
        let terms = position
            .map_or_else(|| Terms::of(instrument, self.setup.assets.resolve(&instrument.base).0), |position| position.terms().clone());
        let leverage = position.map_or(crate::model::number::Leverage::ONE, |position| position.leverage());
        let external = key.deployment == external_deployment();
        let agent = self.setup.deployments.get(&key.deployment).map(|deployment| deployment.agent.clone());
        let order = OrderPlan {
            side: fill.side,
            quantity: report.filled_quantity.max(fill.quantity),
            order: OrderType::Market,
            worst_price: fill.price,
            leverage,
            terms,
            reserve: Reserve::default(),
            rate: Factor::ONE,
            closes: None,
            trigger: None,
            attached: Vec::new(),
            external,
            shrunk: None,
        };
        let plan = LegPlan {
            deployment: key.deployment.clone(),
            agent: if external { external_agent() } else { agent? },
            account: key.account.clone(),
            venue: account.venue.clone(),
            symbol: Some(key.symbol.clone()),
            order: Some(order),
            ended: None,
            stands_in: None,
            awaiting: None,
            routed: None,
            timings: Timings::default(),
        };
        let request = OrderRequest { reduce_only: true, ..plan.request(Purpose::Close)? };
        Some((plan, request))
    }
}
