//! Orders that wait for the mark: armed, fired, and what happens at each change of price.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::orders::{Order, Stage, Tpsl, Trigger};
use super::place::{Rejection, paper_id};
use super::state::Hyperliquid;

/// Whether a mark has reached a trigger.
fn reached(trigger: Trigger, buy: bool, mark: Decimal) -> bool {
    let rising = (trigger.tpsl == Tpsl::Sl) == buy;
    if rising { mark >= trigger.price.decimal() } else { mark <= trigger.price.decimal() }
}

/// Whether a trigger stands where it would fire at once.
fn wrong_side(order: &Order, mark: Decimal) -> bool {
    order.trigger.is_some_and(|trigger| reached(trigger, order.buy, mark))
}

/// Whether a stop's limit is short of its trigger, so that it could not trade when it wakes. Source: nautilus_trader issue 3611, read 2026-11-20.
fn short_of_trigger(order: &Order) -> bool {
    let stop = order.trigger.filter(|trigger| trigger.tpsl == Tpsl::Sl && trigger.market);
    stop.is_some_and(|stop| if order.buy { order.price < stop.price } else { order.price > stop.price })
}

impl Hyperliquid {
    /// Why an order cannot wait for its trigger, if it cannot. One that waits for its entry may still be on either side of the mark.
    pub(crate) fn unfit(&mut self, order: &Order) -> Option<Rejection> {
        let there = order.stage == Stage::Trigger && wrong_side(order, self.mark_of(order));
        let refused = there || short_of_trigger(order) || self.refuse_triggers;
        refused.then(|| Rejection { status: "badTriggerPxRejected", text: format!("Invalid TP/SL price. asset={}", order.asset) })
    }

    pub(crate) fn mark_of(&mut self, order: &Order) -> Decimal {
        let coin = self.coin_of(order);
        self.market.mark(self.system, &coin)
    }

    /// Takes an order that waits for the mark.
    pub(crate) fn arm(&mut self, order: Order) -> Value {
        if let Some(rejection) = self.unfit(&order) {
            return self.reject(order, rejection);
        }
        let value = super::numbers::times(order.price.decimal(), order.quantity.decimal());
        if !order.reduce_only && value < Decimal::TEN {
            let text = format!("Order must have minimum value of $10. asset={}", order.asset);
            return self.reject(order, Rejection { status: "minTradeNtlRejected", text });
        }
        if let Err(rejection) = self.check(&order) {
            return self.reject(order, rejection);
        }
        let mut inner = json!({ "oid": order.oid });
        if let Some(cloid) = &order.cloid {
            inner["cloid"] = cloid.as_str().into();
        }
        self.record(order);
        json!({ "resting": inner })
    }

    /// Does what is due at the prices and the time of now.
    pub(crate) fn advance(&mut self) {
        self.market.match_resting(self.system);
        self.settle(false, "reduceOnlyCanceled");
        // What fires can fill, and what fills can arm others: a few rounds settle it, the rest waits for the next price.
        for _ in 0..4 {
            let due = self.due();
            if due.is_empty() {
                break;
            }
            due.into_iter().for_each(|oid| self.fire(oid));
        }
        self.cancel_scheduled();
    }

    fn due(&mut self) -> Vec<u64> {
        let waiting: Vec<Order> = self.orders.open().filter(|order| order.stage == Stage::Trigger).cloned().collect();
        waiting.into_iter().filter(|order| wrong_side(order, self.mark_of(order))).map(|order| order.oid).collect()
    }

    /// The mark has reached it: it becomes an order on the exchange, under the same number.
    fn fire(&mut self, oid: u64) {
        let Some(mut order) = self.orders.get(oid).filter(|order| order.is_open() && order.stage == Stage::Trigger).cloned() else {
            return;
        };
        if order.trigger.is_some_and(|trigger| trigger.position) {
            let held = self.held(order.account, order.asset).size.abs();
            order.quantity = omnivenue_core::model::number::Quantity::new(held).unwrap_or(order.quantity);
        }
        order.stage = Stage::Live;
        order.status = "triggered".into();
        self.record(order.clone());
        match self.send(&order) {
            Ok(_) => {
                order.paper = Some(paper_id(oid));
                // That it was triggered has been told.
                self.orders.put(order);
                self.settle(true, "reduceOnlyCanceled");
            }
            Err(rejection) => {
                order.status = ended(rejection.status).into();
                order.why = Some(rejection.text);
                self.record(order);
                self.follow(oid, false);
            }
        }
    }

    fn cancel_scheduled(&mut self) {
        let now = self.now_ms();
        let due: Vec<_> =
            self.accounts.iter().filter(|(_, account)| account.schedule.is_some_and(|at| at <= now)).map(|(address, _)| *address).collect();
        for address in due {
            if let Some(account) = self.accounts.get_mut(&address) {
                account.schedule = None;
                let today = now / 86_400_000;
                let before = if account.schedules_triggered.0 == today { account.schedules_triggered.1 } else { 0 };
                account.schedules_triggered = (today, before + 1);
            }
            let open: Vec<u64> = self.orders.open_of(address).map(|order| order.oid).collect();
            open.into_iter().for_each(|oid| self.end(oid, "scheduledCancel"));
        }
    }
}

/// An accepted order that the exchange then refuses has ended; it was not rejected when it was placed.
fn ended(status: &str) -> &'static str {
    match status {
        "perpMarginRejected" | "insufficientSpotBalanceRejected" => "marginCanceled",
        "reduceOnlyRejected" => "reduceOnlyCanceled",
        _ => "canceled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_fire_on_their_side() {
        let check = |tpsl, buy, mark: i64, expected| {
            let trigger = Trigger { market: true, price: "100".parse().unwrap(), tpsl, position: false };
            assert_eq!(reached(trigger, buy, mark.into()), expected, "{tpsl:?} {buy} {mark}");
        };
        // Closing a long position: the stop below, the profit above.
        check(Tpsl::Sl, false, 101, false);
        check(Tpsl::Sl, false, 100, true);
        check(Tpsl::Tp, false, 99, false);
        check(Tpsl::Tp, false, 100, true);
        // Closing a short one.
        check(Tpsl::Sl, true, 99, false);
        check(Tpsl::Sl, true, 101, true);
        check(Tpsl::Tp, true, 101, false);
        check(Tpsl::Tp, true, 99, true);
    }
}
