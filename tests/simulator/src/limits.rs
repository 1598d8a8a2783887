//! Whether every entry kept every limit when it was decided: counted anew from the legs and positions in the book, without the gates and
//! without the totals that they look at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use omnivenue_core::executor::{Book, LegRecord, Limits, Now, OrderRecord, Setup, State};
use omnivenue_core::journal::{Command, ExecutionNumber, LegRef, Terms};
use omnivenue_core::ledger::{CapitalKey, Level, Position, PositionKey};
use omnivenue_core::model::ids::{AccountId, AgentId, Asset, DeploymentId, VenueId, VenueSymbol};
use omnivenue_core::model::instrument::Instrument;
use omnivenue_core::model::number::{Leverage, Price, Quantity};
use omnivenue_core::model::order::Purpose;
use omnivenue_core::model::signal::{Direction, Signal};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::Quote;
use rust_decimal::Decimal;

use crate::check::Violation;
use crate::reasons;
use crate::world::Coverage;

/// The quotes that the engine was given, and when.
pub(crate) type Heard = BTreeMap<(VenueId, VenueSymbol), (Quote, u64)>;

/// What rounding to the last digits that are kept may make of a sum.
const DUST: Decimal = Decimal::from_parts(1, 0, 0, false, 6);

/// Which legs have been looked at.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    known: BTreeMap<ExecutionNumber, usize>,
}

/// What is there when something is decided.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) state: &'a State,
    pub(crate) heard: &'a Heard,
    pub(crate) now: Now,
}

impl Watch {
    /// A new process begins with what is durable.
    pub(crate) fn begin(&mut self, book: &Book) {
        self.known = book.executions().map(|(number, record)| (number, record.legs.len())).collect();
    }

    /// Looks at the legs decided since it last looked.
    pub(crate) fn look(&mut self, scene: Scene<'_>, coverage: &mut Coverage) -> Vec<Violation> {
        let mut found = Vec::new();
        for (number, record) in scene.state.book().executions().filter(|(_, record)| record.purpose() == Purpose::Entry) {
            let before = self.known.insert(number, record.legs.len()).unwrap_or(0);
            let Command::Signal(signal) = &record.admission.command else { continue };
            for (index, leg) in record.legs.iter().enumerate().skip(before) {
                let at = LegRef { execution: number, leg: index };
                let holders = holders(scene.setup, leg);
                if let Some(why) = leg.plan.ended.as_ref().map(|(_, why)| why) {
                    coverage.add(format!("refused {}", why.code), 1);
                    if let Err(words) = reasons::explain(why, &holders) {
                        found.push(Violation::new("refusals explain themselves", format!("{}: {}: {words}", why.code, why.reason)));
                    }
                }
                let Some(order) = leg.plan.order.as_ref().filter(|_| leg.plan.ended.is_none()) else { continue };
                coverage.add("entries passed", 1);
                if let Some(why) = &order.shrunk {
                    coverage.add(format!("shrunk by {}", why.code), 1);
                    if let Err(words) = reasons::explain_shrunk(why, order, &holders) {
                        found.push(Violation::new("refusals explain themselves", format!("{}: {}: {words}", why.code, why.reason)));
                    }
                }
                for (level, limits) in &holders {
                    let entry = Entry { scene, at, leg, signal, level, limits };
                    found.extend(entry.over().into_iter().map(|words| {
                        Violation::new("no limit exceeded when decided", format!("{at:?} of {}, {level:?}: {words}", signal.id))
                    }));
                }
            }
        }
        found
    }
}

fn holders<'a>(setup: &'a Setup, leg: &LegRecord) -> Vec<(Level, &'a Limits)> {
    let plan = &leg.plan;
    let mut all = Vec::new();
    all.extend(setup.deployments.get(&plan.deployment).map(|of| (Level::Deployment(plan.deployment.clone()), &of.limits)));
    all.extend(setup.agents.get(&plan.agent).map(|of| (Level::Agent(plan.agent.clone()), &of.limits)));
    all.extend(setup.accounts.get(&plan.account).map(|of| (Level::Account(plan.account.clone()), &of.limits)));
    all.push((Level::Global, &setup.limits));
    all
}

/// An entry that was decided, before one of those whose limits it must keep.
struct Entry<'a> {
    scene: Scene<'a>,
    at: LegRef,
    leg: &'a LegRecord,
    signal: &'a Signal,
    level: &'a Level,
    limits: &'a Limits,
}

fn is_in(level: &Level, deployment: &DeploymentId, agent: Option<&AgentId>, account: &AccountId) -> bool {
    match level {
        Level::Global => true,
        Level::Account(id) => id == account,
        Level::Deployment(id) => id == deployment,
        Level::Agent(id) => agent == Some(id),
    }
}

impl<'a> Entry<'a> {
    fn book(&self) -> &'a Book {
        self.scene.state.book()
    }

    /// Entry legs at the level that may yet trade.
    fn entries(&self, level: &'a Level) -> impl Iterator<Item = (LegRef, &'a LegRecord)> {
        let book = self.book();
        let alive = |at: LegRef, leg: &LegRecord| book.is_planned(at) || leg.orders.iter().any(OrderRecord::is_unsettled);
        book.executions()
            .filter(|(_, record)| record.purpose() == Purpose::Entry)
            .flat_map(|(execution, record)| record.legs.iter().enumerate().map(move |(leg, of)| (LegRef { execution, leg }, of)))
            .filter(move |(at, leg)| leg.plan.order.is_some() && alive(*at, leg))
            .filter(move |(_, leg)| is_in(level, &leg.plan.deployment, Some(&leg.plan.agent), &leg.plan.account))
    }

    /// Positions at the level.
    fn positions(&self, level: &'a Level) -> impl Iterator<Item = (&'a PositionKey, &'a Position)> {
        let setup = self.scene.setup;
        let agent = |id: &DeploymentId| setup.deployments.get(id).map(|of| &of.agent);
        let of = move |key: &PositionKey| is_in(level, &key.deployment, agent(&key.deployment), &key.account);
        self.book().ledger().positions().filter(move |(key, _)| of(key))
    }

    fn mark(&self, venue: &VenueId, symbol: &VenueSymbol) -> Option<Price> {
        self.scene.state.marks().get(&(venue.clone(), symbol.clone())).copied()
    }

    fn rate(&self, currency: &Asset) -> Decimal {
        self.scene.setup.rates[currency].decimal()
    }

    /// Whether all money is in the currency of the limits, so that equities and prices are simple sums: the rest is left to the tests of
    /// contracts.
    fn in_dollars(&self) -> bool {
        self.scene.setup.rates.len() == 1
    }

    /// What is at stake: positions at the larger of cost and value, instrument by instrument, and entries at what they may cost.
    fn at_stake(&self, asset: Option<&Asset>, direction: Option<Direction>) -> Decimal {
        let toward = |long: bool| direction.is_none_or(|direction| (direction == Direction::Long) == long);
        let mut sum = Decimal::ZERO;
        for (_, leg) in self.entries(self.level).filter(|(_, leg)| leg.is_live()) {
            let order = leg.plan.order.as_ref().expect("entries have an order");
            if asset.is_none_or(|asset| *asset == order.terms.asset) && toward(order.side.is_buy()) {
                let filled = leg.filled().expect("it fits").quantity.decimal().min(order.quantity.decimal());
                let left = order.quantity.decimal() - filled;
                sum += order.reserve.notional.decimal() * left / order.quantity.decimal() * self.rate(&order.terms.settle);
            }
        }
        let mut held: BTreeMap<(&VenueId, &VenueSymbol), (Quantity, Decimal, &Terms)> = BTreeMap::new();
        for (key, position) in self.positions(self.level) {
            if asset.is_none_or(|asset| *asset == position.terms().asset) && toward(position.quantity().is_long()) {
                let gross = held.entry((position.venue(), &key.symbol)).or_insert((Quantity::ZERO, Decimal::ZERO, position.terms()));
                gross.0 = gross.0.plus(position.quantity().magnitude()).expect("it fits");
                gross.1 += position.cost().magnitude().decimal();
            }
        }
        let value = |((venue, symbol), (quantity, cost, terms)): (&(&VenueId, &VenueSymbol), &(Quantity, Decimal, &Terms))| {
            let worth = |mark| terms.worth(*quantity, mark).expect("it fits").decimal();
            self.mark(venue, symbol).map_or(*cost, |mark| worth(mark).max(*cost)) * self.rate(&terms.settle)
        };
        sum + held.iter().map(value).sum::<Decimal>()
    }

    /// Everything that this entry exceeds here.
    fn over(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.amounts(&mut found);
        self.counts(&mut found);
        self.times(&mut found);
        self.market(&mut found);
        self.exits(&mut found);
        found
    }

    fn amounts(&self, found: &mut Vec<String>) {
        let order = self.leg.plan.order.as_ref().expect("it passed");
        let direction = if order.side.is_buy() { Direction::Long } else { Direction::Short };
        let asset = &order.terms.asset;
        let mut most = |what: &str, limit: Option<Decimal>, count: &dyn Fn() -> Decimal| {
            let Some(limit) = limit else { return };
            let count = count();
            if count > limit + DUST {
                found.push(format!("{what} is {count}, the limit {limit}"));
            }
        };
        let limits = self.limits;
        most("notional", limits.max_notional.map(|n| n.decimal()), &|| self.at_stake(None, None));
        most("notional in the asset", limits.max_asset_notional.map(|n| n.decimal()), &|| self.at_stake(Some(asset), None));
        most("notional in the direction", limits.max_same_direction_notional.map(|n| n.decimal()), &|| {
            self.at_stake(None, Some(direction))
        });
        most("the order", limits.max_order_notional.map(|n| n.decimal()), &|| {
            order.reserve.notional.decimal() * self.rate(&order.terms.settle)
        });
        most("leverage", limits.max_leverage.map(Leverage::decimal), &|| order.leverage.decimal());
        most("leverage", self.instrument().map(|of| of.max_leverage.decimal()), &|| order.leverage.decimal());
        if let Some(fraction) = limits.max_concentration.filter(|_| self.in_dollars()) {
            match self.equity(None) {
                Some(equity) => {
                    most("concentration", Some(equity.max(Decimal::ZERO) * fraction.decimal()), &|| self.at_stake(Some(asset), None))
                }
                None => found.push("concentration without an equity".into()),
            }
        }
        let places = [None, Some(self.leg.plan.deployment.clone())];
        for deployment in places {
            let key =
                CapitalKey { account: self.leg.plan.account.clone(), deployment: deployment.clone(), currency: order.terms.settle.clone() };
            let ledger = self.book().ledger();
            let funds = match &deployment {
                Some(id) => self.scene.setup.deployments.get(id).and_then(|of| {
                    of.accounts.iter().find(|share| share.account == key.account)?.allocation.map(|allocation| allocation.amount())
                }),
                None => ledger.means(&key.account, &key.currency).ok(),
            };
            if let Some(free) =
                funds.and_then(|funds| ledger.capital(&key).available(funds).ok()).filter(|free| free.decimal() < Decimal::ZERO)
            {
                found.push(format!("{key:?} has {free} free"));
            }
        }
    }

    /// All equity at the level, or that of the deployment on one account.
    fn equity(&self, only: Option<&AccountId>) -> Option<Decimal> {
        let (setup, ledger) = (self.scene.setup, self.book().ledger());
        let mark = |venue: &VenueId, symbol: &VenueSymbol| self.mark(venue, symbol);
        let currency: Asset = "USDC".parse().expect("a valid asset");
        let key = |account: &AccountId, deployment: Option<&DeploymentId>| CapitalKey {
            account: account.clone(),
            deployment: deployment.cloned(),
            currency: currency.clone(),
        };
        let on = |account: &AccountId| {
            let key = key(account, None);
            // An account that was never seen has nothing.
            let funds = ledger.funds(account, &currency).unwrap_or_default();
            ledger.equity(&key, Some(funds), ledger.unrealized(&key, mark)).map(|equity| equity.decimal())
        };
        let of = |id: &DeploymentId| {
            let shares = setup.deployments[id].accounts.iter().filter(|share| only.is_none_or(|only| *only == share.account));
            shares
                .map(|share| {
                    let key = key(&share.account, Some(id));
                    let funds = share.allocation.map(|allocation| allocation.amount());
                    ledger.equity(&key, funds, ledger.unrealized(&key, mark)).map(|equity| equity.decimal())
                })
                .sum::<Option<Decimal>>()
        };
        match self.level {
            Level::Deployment(id) => of(id),
            Level::Agent(agent) => setup.deployments.iter().filter(|(_, of)| of.agent == *agent).map(|(id, _)| of(id)).sum(),
            Level::Account(id) => on(id),
            Level::Global => {
                let traded: BTreeSet<&AccountId> =
                    setup.deployments.values().flat_map(|of| &of.accounts).map(|share| &share.account).collect();
                traded.into_iter().map(on).sum()
            }
        }
    }

    fn instrument(&self) -> Option<&'a Instrument> {
        self.scene.setup.venues.get(&self.leg.plan.venue)?.instruments.get(self.leg.plan.symbol.as_ref()?)
    }

    fn counts(&self, found: &mut Vec<String>) {
        let order = self.leg.plan.order.as_ref().expect("it passed");
        let key = |leg: &LegRecord| PositionKey {
            deployment: leg.plan.deployment.clone(),
            account: leg.plan.account.clone(),
            symbol: leg.plan.symbol.clone().expect("entries have an instrument"),
        };
        let (mut open, mut sides) = (BTreeSet::new(), [BTreeSet::new(), BTreeSet::new()]);
        for (of, position) in self.positions(self.level) {
            open.insert(of.clone());
            sides[usize::from(position.quantity().is_long())].insert(of.clone());
        }
        for (_, leg) in self.entries(self.level) {
            let side = leg.plan.order.as_ref().expect("entries have an order").side;
            open.insert(key(leg));
            sides[usize::from(side.is_buy())].insert(key(leg));
        }
        let mut most = |what: &str, count: usize, limit: Option<u32>| {
            if limit.is_some_and(|limit| count > limit as usize) {
                found.push(format!("{count} {what}, the limit is {limit:?}"));
            }
        };
        // More of what is there already is no further position, however many the market or a change of limits left.
        let opens = |keys: &BTreeSet<PositionKey>| if self.was_there(&key(self.leg), None) { 0 } else { keys.len() };
        most("positions", opens(&open), self.limits.max_open_positions);
        let toward = usize::from(order.side.is_buy());
        let side = if self.was_there(&key(self.leg), Some(order.side.is_buy())) { 0 } else { sides[toward].len() };
        most("positions in one direction", side, self.limits.max_same_direction);
        if self.limits.one_position_per_asset {
            let asset = &order.terms.asset;
            let held = self.positions(self.level).filter(|(_, position)| position.terms().asset == *asset);
            found.extend(held.filter_map(|(key, position)| {
                let other = position.lots().find(|lot| lot.signal != self.signal.id)?;
                Some(format!("{} holds {asset} already at {key:?}", other.signal))
            }));
            let entering = self.entries(self.level).find(|(at, leg)| {
                at.execution != self.at.execution && leg.plan.order.as_ref().is_some_and(|order| order.terms.asset == *asset)
            });
            found.extend(entering.map(|(at, _)| format!("{at:?} is entering {asset} already")));
        }
        let everything = Level::Global;
        let entry = Entry { level: &everything, ..*self };
        let plan = &self.leg.plan;
        let held = entry.positions(&everything).filter(|(key, _)| key.account == plan.account && Some(&key.symbol) == plan.symbol.as_ref());
        let mut all: BTreeSet<Leverage> = held.map(|(_, position)| position.leverage()).collect();
        let there = |leg: &LegRecord| leg.plan.account == plan.account && leg.plan.symbol == plan.symbol;
        let entries = entry.entries(&everything).filter(|(_, leg)| there(leg));
        all.extend(entries.filter_map(|(_, leg)| Some(leg.plan.order.as_ref()?.leverage)));
        if all.len() > 1 {
            found.push(format!("leverages {all:?} on one instrument of an account"));
        }
    }

    /// Whether a position or another entry was at this place before, in this direction.
    fn was_there(&self, key: &PositionKey, buys: Option<bool>) -> bool {
        let side = |is_buy: bool| buys.is_none_or(|buys| buys == is_buy);
        let held = self.book().ledger().position(key).is_some_and(|position| side(position.quantity().is_long()));
        let level = Level::Deployment(key.deployment.clone());
        let entry = Entry { level: &level, ..*self };
        let other = entry.entries(&level).any(|(at, leg)| {
            let same = leg.plan.account == key.account && leg.plan.symbol.as_ref() == Some(&key.symbol);
            same && at != self.at && leg.plan.order.as_ref().is_some_and(|order| side(order.side.is_buy()))
        });
        held || other
    }

    /// When the entries at the level were prepared: those at hand, and `None` for those that were not yet.
    fn entered(&self) -> Vec<(LegRef, &'a LegRecord, Option<Timestamp>)> {
        let book = self.book();
        let all = book
            .executions()
            .filter(|(_, record)| record.purpose() == Purpose::Entry)
            .flat_map(|(execution, record)| record.legs.iter().enumerate().map(move |(leg, of)| (LegRef { execution, leg }, of)));
        all.filter(|(_, leg)| is_in(self.level, &leg.plan.deployment, Some(&leg.plan.agent), &leg.plan.account))
            .filter_map(|(at, leg)| {
                let first = leg.orders.iter().find(|order| order.intent.attempt == 0).map(|order| order.intent.at);
                (first.is_some() || book.is_planned(at)).then_some((at, leg, first))
            })
            .collect()
    }

    fn times(&self, found: &mut Vec<String>) {
        let (now, limits) = (self.scene.now, self.limits);
        let order = self.leg.plan.order.as_ref().expect("it passed");
        if let Some(rate) = limits.max_order_rate {
            let recent = |at: Option<Timestamp>| at.is_none_or(|at| now.wall.since(at) < rate.per);
            let count = self.entered().into_iter().filter(|(_, _, at)| recent(*at)).count();
            if count > rate.count as usize {
                found.push(format!("{count} entries in {:?}, the limit is {rate}", rate.per));
            }
        }
        if let Some(limit) = limits.cooldown {
            let others = self.entered().into_iter().filter(|(at, leg, _)| {
                let asset = leg.plan.order.as_ref().map(|order| &order.terms.asset);
                at.execution != self.at.execution && asset == Some(&order.terms.asset)
            });
            let age = |at: Option<Timestamp>| at.map_or(Duration::ZERO, |at| now.wall.since(at));
            found.extend(
                others
                    .map(|(at, _, when)| (at, age(when)))
                    .find(|(_, age)| *age < limit)
                    .map(|(at, age)| format!("{at:?} entered the asset {age:?} ago, the pause is {limit:?}")),
            );
        }
        let received = self.book().execution(self.at.execution).map(|record| record.admission.received_at);
        let age = self.signal.created_at.or(received).map(|since| now.wall.since(since)).unwrap_or_default();
        if limits.max_signal_age.is_some_and(|limit| age > limit) {
            found.push(format!("the signal is {age:?} old"));
        }
        if limits.min_confidence.is_some_and(|limit| self.signal.confidence.is_none_or(|confidence| confidence < limit)) {
            found.push(format!("the confidence is {:?}", self.signal.confidence));
        }
        if limits.trading_hours.is_some_and(|hours| !hours.hold(now.wall)) {
            found.push(format!("it is {}", now.wall));
        }
    }

    fn market(&self, found: &mut Vec<String>) {
        let (limits, plan) = (self.limits, &self.leg.plan);
        let order = plan.order.as_ref().expect("it passed");
        let symbol = plan.symbol.clone().expect("entries have an instrument");
        let Some((quote, heard)) = self.scene.heard.get(&(plan.venue.clone(), symbol)) else {
            return found.push("it was decided without a price".into());
        };
        let age = |heard: u64| Duration::from_micros(self.scene.now.monotonic - heard);
        if limits.max_price_age.is_some_and(|limit| age(*heard) > limit) {
            found.push(format!("the price is {:?} old", age(*heard)));
        }
        let (bid, ask) = (quote.bid.decimal(), quote.ask.decimal());
        let middle = (bid + ask) / Decimal::TWO;
        if limits.max_spread.is_some_and(|limit| (ask - bid) / middle > limit.decimal()) {
            found.push(format!("the spread is {}", (ask - bid) / middle));
        }
        if let Some(limit) = limits.price_collar {
            let fresh = limits.max_price_age.unwrap_or(Duration::from_secs(10));
            let others = self.scene.heard.iter().filter(|((venue, symbol), (_, heard))| {
                let lists = self.scene.setup.venues.get(venue).and_then(|of| of.instruments.get(symbol));
                lists.is_some_and(|of| of.base == order.terms.base) && (*venue == plan.venue || age(*heard) <= fresh)
            });
            for ((venue, _), (quote, _)) in others {
                let middle = (quote.bid.decimal() + quote.ask.decimal()) / Decimal::TWO;
                let worst = order.worst_price.decimal();
                let away = if order.side.is_buy() { worst / middle - Decimal::ONE } else { Decimal::ONE - worst / middle };
                if away > limit.decimal() + DUST {
                    found.push(format!("it may fill {away} from the middle at {venue}, the limit is {limit}"));
                }
            }
        }
    }

    fn exits(&self, found: &mut Vec<String>) {
        if !self.in_dollars() {
            return;
        }
        let limits = self.limits;
        let order = self.leg.plan.order.as_ref().expect("it passed");
        let long = order.side.is_buy();
        let worst = order.worst_price.decimal();
        let best = order.reserve.notional.decimal() / order.quantity.decimal();
        let stop = |entry: Decimal| self.signal.exits?.stop_price(self.signal.direction, price(entry), order.leverage).map(Price::decimal);
        let toward = |far: Decimal| if long { far } else { -far };
        let risk = limits.max_risk_per_trade.map(|limit| Some(limit.decimal()));
        let fraction = limits.max_risk_per_trade_fraction.map(|fraction| {
            let only = matches!(self.level, Level::Deployment(_)).then_some(&self.leg.plan.account);
            self.equity(only).map(|equity| equity.max(Decimal::ZERO) * fraction.decimal())
        });
        let fee = self.instrument().map(|of| of.taker_fee.decimal()).unwrap_or_default();
        for limit in [risk, fraction].into_iter().flatten() {
            let (Some(limit), Some(_)) = (limit, stop(worst)) else {
                found.push("it has no stop loss, or there is no equity".into());
                continue;
            };
            for entry in [worst, best] {
                let stop = stop(entry).expect("it has one");
                let loss = (toward(entry - stop).max(Decimal::ZERO) + (entry + stop) * fee) * order.quantity.decimal();
                if loss > limit + DUST {
                    found.push(format!("it may lose {loss}, the limit is {limit}"));
                }
            }
        }
        if let Some(limit) = limits.min_reward_to_risk {
            let profit = self.signal.exits.and_then(|exits| exits.take_profit_price(self.signal.direction, price(worst), order.leverage));
            match profit.zip(stop(worst)) {
                Some((profit, stop)) if toward(profit.decimal() - worst) >= toward(worst - stop) * limit.decimal() => {}
                other => found.push(format!("its exits are at {other:?}, from {worst}")),
            }
        }
        if let Some((distance, margin)) = limits.min_liquidation_distance.zip(limits.maintenance_margin) {
            for entry in [worst, best] {
                // What is left of the margin there is the maintenance margin: e/l ± (p − e) = m p.
                let (share, margin) = (Decimal::ONE / order.leverage.decimal(), margin.decimal());
                let liquidation = if long {
                    entry * (Decimal::ONE - share) / (Decimal::ONE - margin)
                } else {
                    entry * (Decimal::ONE + share) / (Decimal::ONE + margin)
                };
                let from = stop(entry).unwrap_or(entry);
                if toward(from - liquidation) < from * distance.decimal() - DUST {
                    found.push(format!("from {entry} it is liquidated at {liquidation}, {from} is to be {distance} before that"));
                }
            }
        }
    }
}

fn price(value: Decimal) -> Price {
    Price::new(value.normalize()).expect("a price is above zero")
}
