//! What the journal's events mean for the tables: they are folded by the engine's own rules, and what changed is written.

use omnivenue_core::executor::{Book, ExecutionRecord, LegRecord, OrderRecord};
use omnivenue_core::journal::{
    Adjustment, Admission, BreakerState, Command, Event, ExecutionNumber, Intent, LegPlan, LegRef, StoreError, StoredEntry, Terms,
};
use omnivenue_core::model::execution::{LegState, Reason};
use omnivenue_core::model::ids::{ClientOrderId, VenueId, VenueOrderId};
use omnivenue_core::model::order::{FillReport, OrderReport, OrderRequest, OrderState};
use omnivenue_core::model::signal::OrderType;
use omnivenue_core::model::time::Timestamp;
use rusqlite::{Connection, params};

use super::totals::{self, Rows};
use crate::chain::{ReadError, to_sql};

/// An instant that sorts as text: always six decimals.
pub(crate) fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    let bare = text.trim_end_matches('Z');
    let (whole, decimals) = bare.split_once('.').unwrap_or((bare, ""));
    format!("{whole}.{decimals:0<6}Z")
}

/// Reads the record of an execution that is no longer at hand, as of an entry.
pub(crate) type Recall<'a> = dyn FnMut(ExecutionNumber, u64) -> Result<Option<ExecutionRecord>, StoreError> + 'a;

/// The state at an entry, and the rows of the tables that follow it as a whole.
#[derive(Debug, Default)]
pub(crate) struct Projection {
    book: Book,
    seq: u64,
    positions: Option<Rows>,
    equity: Option<Rows>,
}

impl Projection {
    /// The state at an entry, to which further ones can be folded. What the tables show at that entry is not known yet.
    pub(crate) fn at(book: Book, seq: u64) -> Self {
        Self { book, seq, ..Self::default() }
    }

    /// The last entry folded.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// Folds an entry without writing anything: what it changed is in the tables already.
    pub(crate) fn fold(&mut self, entry: &StoredEntry) -> Result<Event, ReadError> {
        let event = entry.event()?;
        self.book.apply(&event).map_err(|e| unreadable(entry.seq, e))?;
        self.seq = entry.seq;
        Ok(event)
    }

    /// Folds entries and writes what they changed.
    pub(crate) fn project(&mut self, conn: &Connection, entries: &[StoredEntry], recall: &mut Recall<'_>) -> Result<(), ReadError> {
        for entry in entries {
            self.entry(conn, entry, recall)?;
        }
        totals::replace(conn, &totals::POSITIONS, &mut self.positions, totals::positions(&self.book))?;
        totals::replace(conn, &totals::EQUITY, &mut self.equity, totals::equity(&self.book))
    }

    fn entry(&mut self, conn: &Connection, entry: &StoredEntry, recall: &mut Recall<'_>) -> Result<(), ReadError> {
        // An execution may be let go of with this very event: its order is looked up before.
        let before = entry.event()?.order().and_then(|order| self.book.leg_of(order));
        let event = self.fold(entry)?;
        let step = Step { conn, seq: entry.seq, at: moment(entry.at) };
        let order = event.order();
        let changed = match &event {
            Event::Admitted(admission) => return step.admitted(admission),
            Event::LegPlanned { execution, plan } => {
                let legs = self.with(*execution, entry.seq, recall, |record| record.legs.len())?;
                let leg = legs.and_then(|legs| legs.checked_sub(1));
                return leg.map_or(Ok(()), |leg| step.leg_planned(LegRef { execution: *execution, leg }, plan));
            }
            Event::Prepared(intent) => {
                step.prepared(intent, &request(entry)?)?;
                Some(intent.leg)
            }
            Event::Adjusted(adjustment) => return step.adjusted(adjustment),
            Event::LegEnded { leg, .. } => Some(*leg),
            Event::BreakerChanged { venue, state, why, .. } => return step.breaker_changed(venue.as_ref(), *state, why),
            Event::LegDecided { leg, plan } => {
                step.leg_decided(*leg, plan)?;
                Some(*leg)
            }
            _ => before,
        };
        let Some(at) = changed else { return Ok(()) };
        let report = if let Event::Reported { report, .. } = &event { Some(report) } else { None };
        let written =
            self.with(at.execution, entry.seq, recall, |record| record.legs.get(at.leg).map(|leg| step.leg(at, leg, order, report)))?;
        written.flatten().unwrap_or(Ok(()))
    }

    /// Does something with an execution, at hand or not.
    fn with<T>(
        &self,
        number: ExecutionNumber,
        seq: u64,
        recall: &mut Recall<'_>,
        look: impl FnOnce(&ExecutionRecord) -> T,
    ) -> Result<Option<T>, ReadError> {
        match self.book.execution(number) {
            Some(record) => Ok(Some(look(record))),
            None => Ok(recall(number, seq)?.as_ref().map(look)),
        }
    }
}

/// The request of an intent, which is opaque as a type.
fn request(entry: &StoredEntry) -> Result<OrderRequest, ReadError> {
    let read = || -> Result<OrderRequest, serde_json::Error> {
        let mut body: serde_json::Value = serde_json::from_str(&entry.body)?;
        serde_json::from_value(body["prepared"]["request"].take())
    };
    read().map_err(|e| StoreError::Unreadable { seq: entry.seq, reason: e.to_string() }.into())
}

/// The word an enum is written as; JSON where it is more than a word.
pub(super) fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

fn unreadable(seq: u64, reason: impl ToString) -> ReadError {
    StoreError::Unreadable { seq, reason: reason.to_string() }.into()
}

/// One entry on its way into the tables.
struct Step<'a> {
    conn: &'a Connection,
    seq: u64,
    at: String,
}

impl Step<'_> {
    fn admitted(&self, admission: &Admission) -> Result<(), ReadError> {
        let times = (moment(admission.received_at), admission.valid_until.map(moment));
        match &admission.command {
            Command::Signal(signal) => {
                let (order_type, limit_price) = order_type(&signal.order);
                self.conn
                    .prepare_cached(
                        "INSERT INTO signals (execution, signal_id, kind, agent, asset, market, direction, confidence, sizing, size, leverage,
                         slippage, order_type, limit_price, routing, venues, created_at, received_at, valid_until)
                         VALUES (?1, ?2, 'signal', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
                    )?
                    .execute(params![
                        to_sql(admission.number),
                        signal.id.as_str(),
                        signal.agent.as_str(),
                        signal.asset.as_str(),
                        word(&signal.market),
                        word(&signal.direction),
                        signal.confidence.map(|confidence| confidence.to_string()),
                        signal.sizing.name(),
                        signal.sizing.value().to_string(),
                        signal.leverage.to_string(),
                        signal.slippage.to_string(),
                        order_type,
                        limit_price,
                        word(&signal.routing),
                        signal.venues.as_ref().map(word),
                        signal.created_at.map(moment),
                        times.0,
                        times.1,
                    ])?;
            }
            Command::Close(close) => {
                self.conn
                    .prepare_cached(
                        "INSERT INTO signals (execution, signal_id, kind, closes, received_at, valid_until) VALUES (?1, ?2, 'close', ?3, ?4, ?5)",
                    )?
                    .execute(params![to_sql(admission.number), close.id.as_str(), word(&close.target), times.0, times.1])?;
            }
            Command::Protect(protect) => {
                self.conn
                    .prepare_cached(
                        "INSERT INTO signals (execution, signal_id, kind, closes, received_at, valid_until) VALUES (?1, ?2, 'protect', ?3, ?4, ?5)",
                    )?
                    .execute(params![to_sql(admission.number), protect.id.as_str(), protect.signal.as_str(), times.0, times.1])?;
            }
        }
        let number = admission.number;
        admission.legs.iter().enumerate().try_for_each(|(leg, plan)| self.leg_planned(LegRef { execution: number, leg }, plan))
    }

    fn breaker_changed(&self, venue: Option<&VenueId>, state: BreakerState, why: &Reason) -> Result<(), ReadError> {
        self.conn
            .prepare_cached("INSERT INTO breakers (seq, venue, state, code, reason, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![to_sql(self.seq), venue.map(VenueId::as_str), word(&state), why.code, why.reason, self.at])?;
        Ok(())
    }

    /// What changed the books without an order of ours.
    fn adjusted(&self, adjustment: &Adjustment) -> Result<(), ReadError> {
        for (number, share) in adjustment.shares.iter().enumerate() {
            self.conn
                .prepare_cached(
                    "INSERT INTO adjustments (seq, share, adjustment_id, kind, account, venue, deployment, instrument, quantity, price,
                     price_source, amount, asset, fee, fee_asset, reason, at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
                )?
                .execute(params![
                    to_sql(self.seq),
                    self.number(number)?,
                    adjustment.id.as_str(),
                    adjustment.kind.word(),
                    adjustment.account.as_str(),
                    adjustment.venue.as_str(),
                    share.deployment.as_ref().map(|deployment| deployment.as_str()),
                    adjustment.symbol.as_ref().map(|symbol| symbol.as_str()),
                    share.quantity.to_string(),
                    adjustment.price.map(|(price, _)| price.to_string()),
                    adjustment.price.map(|(_, source)| source.word()),
                    share.amount.to_string(),
                    adjustment.asset.as_ref().map(|asset| asset.as_str()),
                    share.fee.to_string(),
                    adjustment.fee_asset.as_ref().map(|asset| asset.as_str()),
                    adjustment.reason,
                    moment(adjustment.at),
                ])?;
        }
        Ok(())
    }

    /// A leg as it was decided.
    fn leg_planned(&self, at: LegRef, plan: &LegPlan) -> Result<(), ReadError> {
        let order = plan.order.as_ref();
        let (outcome, why) = plan.ended.clone().unzip();
        let ended = plan.ended.is_some();
        self.conn
            .prepare_cached(
                "INSERT INTO legs (execution, leg, signal_id, agent, deployment, venue, account, instrument, asset, side, state, outcome, code,
                 reason, quantity, worst_price, leverage, planned_at, updated_at, done_at)
                 VALUES (?1, ?18, (SELECT signal_id FROM signals WHERE execution = ?1),
                 ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?16, ?17)",
            )?
            .execute(params![
                to_sql(at.execution),
                plan.agent.as_str(),
                plan.deployment.as_str(),
                plan.venue.as_str(),
                plan.account.as_str(),
                plan.symbol.as_ref().map(|symbol| symbol.as_str()),
                order.map(|order| order.terms.asset.as_str()),
                order.map(|order| word(&order.side)),
                if ended {
                    "done"
                } else if plan.awaiting.is_some() {
                    "awaiting_approval"
                } else {
                    "planned"
                },
                outcome.map(|outcome| outcome.to_string()),
                why.as_ref().map(|why| why.code.as_str()),
                why.as_ref().map(|why| why.reason.as_str()),
                order.map(|order| order.quantity.to_string()),
                order.map(|order| order.worst_price.to_string()),
                order.map(|order| order.leverage.to_string()),
                self.at,
                ended.then_some(&self.at),
                self.number(at.leg)?,
            ])?;
        Ok(())
    }

    /// A leg that waited for a person's yes has an order now, unless it ended.
    fn leg_decided(&self, at: LegRef, plan: &LegPlan) -> Result<(), ReadError> {
        let order = plan.order.as_ref();
        self.conn
            .prepare_cached(
                "UPDATE legs SET instrument = coalesce(?3, instrument), asset = ?4, side = ?5, quantity = ?6, worst_price = ?7, leverage = ?8
                 WHERE execution = ?1 AND leg = ?2",
            )?
            .execute(params![
                to_sql(at.execution),
                self.number(at.leg)?,
                plan.symbol.as_ref().map(|symbol| symbol.as_str()),
                order.map(|order| order.terms.asset.as_str()),
                order.map(|order| word(&order.side)),
                order.map(|order| order.quantity.to_string()),
                order.map(|order| order.worst_price.to_string()),
                order.map(|order| order.leverage.to_string()),
            ])?;
        Ok(())
    }

    fn prepared(&self, intent: &Intent, request: &OrderRequest) -> Result<(), ReadError> {
        let (execution, leg) = (to_sql(intent.leg.execution), self.number(intent.leg.leg)?);
        let id = intent.client_order_id().as_str();
        self.conn
            .prepare_cached(
                "INSERT INTO orders (client_order_id, execution, leg, attempt, signal_id, agent, deployment, venue, account, instrument, market,
                 side, purpose, order_type, quantity, worst_price, leverage, reduce_only, state, prepared_at, updated_at)
                 SELECT ?1, execution, leg, ?4, signal_id, agent, deployment, venue, account, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 'sent', ?14, ?15
                 FROM legs WHERE execution = ?2 AND leg = ?3",
            )?
            .execute(params![
                id,
                execution,
                leg,
                intent.attempt,
                request.symbol.as_str(),
                word(&request.market),
                word(&request.side),
                word(&request.purpose),
                order_type(&request.order).0,
                request.quantity.to_string(),
                request.worst_price.to_string(),
                request.leverage.to_string(),
                request.reduce_only,
                moment(intent.at),
                self.at,
            ])?;
        self.conn.prepare_cached("UPDATE legs SET quantity = ?3 WHERE execution = ?1 AND leg = ?2")?.execute((
            execution,
            leg,
            request.quantity.to_string(),
        ))?;
        Ok(())
    }

    /// A leg as it is now, with the order that changed and what the report told of it.
    fn leg(&self, at: LegRef, leg: &LegRecord, order: Option<&ClientOrderId>, report: Option<&OrderReport>) -> Result<(), ReadError> {
        let (outcome, code, reason) = match &leg.state {
            LegState::Done { outcome, why } => {
                let (code, reason) = why.clone().map(|why| (why.code, why.reason)).unzip();
                (Some(outcome.to_string()), code, reason)
            }
            LegState::Unknown { why, .. } => (None, Some("unknown".to_owned()), Some(why.clone())),
            LegState::AwaitingApproval { .. } | LegState::Planned | LegState::Sent | LegState::Working => (None, None, None),
        };
        let filled = leg.filled().map_err(|e| unreadable(self.seq, e))?;
        let latest = leg.orders.last();
        self.conn
            .prepare_cached(
                "UPDATE legs SET state = ?3, outcome = ?4, code = ?5, reason = ?6, filled_quantity = ?7, filled_notional = ?8,
                 average_price = ?9, fees = ?10, client_order_id = ?11, venue_order_id = ?12, position_id = coalesce(?13, position_id),
                 updated_at = ?14, done_at = iif(?3 = 'done', coalesce(done_at, ?14), NULL) WHERE execution = ?1 AND leg = ?2",
            )?
            .execute(params![
                to_sql(at.execution),
                self.number(at.leg)?,
                leg.state.name(),
                outcome,
                code,
                reason,
                filled.quantity.to_string(),
                filled.notional.to_string(),
                filled.average_price().map(|price| price.to_string()),
                word(&filled.fees),
                latest.map(|order| order.intent.client_order_id().as_str()),
                latest.and_then(|order| venue_order_id(&order.state)).map(|id| id.as_str()),
                report.and_then(|report| report.position_id.as_ref()).map(|id| id.as_str()),
                self.at,
            ])?;
        let changed = order.and_then(|id| leg.orders.iter().find(|order| order.intent.client_order_id() == id));
        let terms = leg.plan.order.as_ref().map(|order| &order.terms);
        changed.map_or(Ok(()), |order| self.order(order, terms, report))
    }

    /// An order as it is now, with the trades the report told of.
    fn order(&self, order: &OrderRecord, terms: Option<&Terms>, report: Option<&OrderReport>) -> Result<(), ReadError> {
        let id = order.intent.client_order_id();
        let (state, done_reason, reason) = match &order.state {
            OrderState::Sent => ("sent", None, None),
            OrderState::Unknown { why, .. } => ("unknown", None, Some(why.as_str())),
            OrderState::Open { .. } => ("open", None, None),
            OrderState::Done { reason, .. } => ("done", Some(word(reason)), None),
        };
        self.conn
            .prepare_cached(
                "UPDATE orders SET state = ?2, done_reason = ?3, reason = ?4, venue_order_id = ?5, filled_quantity = ?6, filled_notional = ?7,
                 average_price = ?8, fees = ?9, updated_at = ?10, done_at = iif(?2 = 'done', coalesce(done_at, ?10), NULL)
                 WHERE client_order_id = ?1",
            )?
            .execute(params![
                id.as_str(),
                state,
                done_reason,
                reason,
                venue_order_id(&order.state).map(|id| id.as_str()),
                order.filled.quantity.to_string(),
                order.filled.notional.to_string(),
                order.filled.average_price().map(|price| price.to_string()),
                word(&order.filled.fees),
                self.at,
            ])?;
        for fill in report.iter().flat_map(|report| &report.fills).filter_map(|fill| order.trades.get(&fill.trade_id)) {
            self.fill(id, fill, terms, false)?;
        }
        match &order.adjustment {
            Some(adjustment) => self.fill(id, adjustment, terms, true),
            None => {
                // The venue's own trades tell the truth now.
                self.conn.prepare_cached("DELETE FROM fills WHERE client_order_id = ?1 AND adjustment")?.execute([id.as_str()])?;
                Ok(())
            }
        }
    }

    /// A trade, once: the same one told again changes nothing.
    fn fill(&self, id: &ClientOrderId, fill: &FillReport, terms: Option<&Terms>, adjustment: bool) -> Result<(), ReadError> {
        let worth = terms.map_or_else(|| fill.price.notional(fill.quantity), |terms| terms.worth(fill.quantity, fill.price));
        let notional = worth.map_err(|e| unreadable(self.seq, e))?;
        self.conn
            .prepare_cached(
                "INSERT INTO fills (client_order_id, trade_id, execution, leg, signal_id, agent, deployment, venue, account, instrument, side,
                 price, quantity, notional, fee, fee_asset, adjustment, at, seq)
                 SELECT client_order_id, ?2, execution, leg, signal_id, agent, deployment, venue, account, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,
                 ?12 FROM orders WHERE client_order_id = ?1
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                id.as_str(),
                fill.trade_id.as_str(),
                fill.symbol.as_str(),
                word(&fill.side),
                fill.price.to_string(),
                fill.quantity.to_string(),
                notional.to_string(),
                // A person's word says nothing of fees.
                (!adjustment).then(|| fill.fee.amount.to_string()),
                (!adjustment).then(|| fill.fee.asset.as_str()),
                adjustment,
                moment(fill.at),
                to_sql(self.seq),
            ])?;
        Ok(())
    }

    fn number(&self, leg: usize) -> Result<i64, ReadError> {
        i64::try_from(leg).map_err(|e| unreadable(self.seq, e))
    }
}

fn venue_order_id(state: &OrderState) -> Option<&VenueOrderId> {
    match state {
        OrderState::Open { venue_order_id } => Some(venue_order_id),
        OrderState::Done { venue_order_id, .. } => venue_order_id.as_ref(),
        OrderState::Sent | OrderState::Unknown { .. } => None,
    }
}

fn order_type(order: &OrderType) -> (&'static str, Option<String>) {
    match order {
        OrderType::Market => ("market", None),
        OrderType::Limit { price, .. } => ("limit", Some(price.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_sort_as_text() {
        let check = |micros: i64, text: &str| assert_eq!(moment(Timestamp::from_micros(micros)), text);
        check(0, "1970-01-01T00:00:00.000000Z");
        check(500_000, "1970-01-01T00:00:00.500000Z");
        check(1, "1970-01-01T00:00:00.000001Z");
    }
}
