//! From a signal to its legs: resolve, size, check, reserve — one decision, one event.

use super::setup::{AccountShare, DeploymentSetup, StopRequirement};
use super::step::{Archived, CommandError, Decided, Effect, Step, Token};
use crate::gates::{self, Candidate, View};
use crate::journal::{Admission, Command, Event, ExecutionNumber, LegPlan, LegRef, OrderPlan, Reserve, Terms};
use crate::ledger::PositionKey;
use crate::model::execution::{LegState, Outcome, Reason, Timings};
use crate::model::exit::{ExitKind, Exits};
use crate::model::ids::{Asset, DeploymentId, SignalId, VenueSymbol};
use crate::model::instrument::{Instrument, Market, Side};
use crate::model::number::{Factor, Leverage, Notional, Price, Quantity, exact};
use crate::model::signal::{OrderType, Routing, Signal, Sizing};
use crate::venue::Quote;

impl Step<'_> {
    /// Takes a signal: once. The same id with the same body is the execution it was; with another body it is an error.
    pub(super) fn execute(
        &mut self,
        signal: Signal,
        metadata_hash: Option<String>,
        archived: Option<Archived>,
        received: u64,
        token: Token,
    ) {
        let body_hash = signal.body_hash();
        match self.known(&signal.id, &body_hash, archived) {
            Err(error) => return self.effect(Effect::Rejected { token, error }),
            Ok(Some(execution)) => return self.effect(Effect::Accepted { token, execution }),
            Ok(None) => {}
        }
        if let Err(error) = self.check_signal(&signal) {
            return self.effect(Effect::Rejected { token, error });
        }
        let number = self.book.next_execution();
        self.live.started.insert(number, received);
        let mut admission = Admission {
            number,
            command: Command::Signal(Box::new(Signal { metadata: serde_json::Map::new(), ..signal.clone() })),
            body_hash,
            metadata_hash,
            received_at: self.now.wall,
            valid_until: Some(signal.valid_until(self.now.wall)),
            legs: Vec::new(),
            standby: Vec::new(),
        };
        self.book.admit(admission.clone());
        let deployments: Vec<(DeploymentId, DeploymentSetup)> =
            self.setup.deployments.iter().filter(|(_, d)| d.agent == signal.agent).map(|(id, d)| (id.clone(), d.clone())).collect();
        for (id, deployment) in &deployments {
            let mut chosen = false;
            let shares: Vec<&AccountShare> = deployment.accounts.iter().filter(|share| self.takes_part(&signal, share)).collect();
            for share in shares {
                if chosen {
                    admission.standby.push((id.clone(), share.account.clone()));
                    continue;
                }
                let plan = self.plan_leg(&signal, id, deployment, share, number);
                chosen = signal.routing == Routing::First && plan.ended.is_none();
                // The reserve is booked before the next leg is looked at.
                if let Err(fault) = self.book.add_leg(number, &plan) {
                    self.out.fault = Some(fault);
                    return;
                }
                admission.legs.push(plan);
            }
        }
        self.book.stand_by(number, admission.standby.clone());
        self.out.events.push(Decided { event: Event::Admitted(admission), execution: Some(number) });
        self.effect(Effect::Accepted { token, execution: number });
        self.await_answers(number);
        self.advance(number);
    }

    /// What is known of a command's id: its execution, a conflict, or nothing.
    pub(super) fn known(
        &self,
        id: &SignalId,
        body_hash: &str,
        archived: Option<Archived>,
    ) -> Result<Option<ExecutionNumber>, CommandError> {
        let at_hand = self.book.execution_of(id).and_then(|number| {
            let record = self.book.execution(number)?;
            Some(Archived { execution: number, body_hash: record.admission.body_hash.clone() })
        });
        match at_hand.or(archived) {
            None => match &self.live.journal_failed {
                None => Ok(None),
                Some(reason) => Err(CommandError::JournalUnwritable(reason.clone())),
            },
            Some(known) if known.body_hash == body_hash => Ok(Some(known.execution)),
            Some(_) => Err(CommandError::Conflict { id: id.clone() }),
        }
    }

    fn check_signal(&self, signal: &Signal) -> Result<(), CommandError> {
        let invalid = |words: String| Err(CommandError::Invalid(format!("signal {}: {words}; nothing was done", signal.id)));
        if let Err(reason) = signal.check() {
            return invalid(reason);
        }
        let deployments: Vec<&DeploymentSetup> = self.setup.deployments.values().filter(|d| d.agent == signal.agent).collect();
        if deployments.is_empty() {
            let agents = self.setup.agents.keys().map(|agent| agent.as_str()).collect::<Vec<_>>().join(", ");
            return invalid(format!("agent {} has no deployment; the agents are {agents}", signal.agent));
        }
        for venue in signal.venues.iter().flatten() {
            let venue_of = |share: &AccountShare| self.setup.accounts.get(&share.account).map(|account| account.venue.clone());
            let mut enabled: Vec<_> = deployments.iter().flat_map(|d| d.accounts.iter().filter_map(venue_of)).collect();
            if !enabled.contains(venue) {
                enabled.dedup();
                let names = enabled.iter().map(|venue| venue.as_str()).collect::<Vec<_>>().join(", ");
                return invalid(format!("venue {venue} is not enabled for agent {}; enabled are {names}", signal.agent));
            }
        }
        let (asset, _) = self.setup.assets.resolve(&signal.asset);
        let listed = self.setup.venues.values().any(|venue| venue.instrument_of(&asset, signal.market).is_some());
        let all_open = self.setup.accounts.values().all(|account| self.setup.venues.contains_key(&account.venue));
        if !listed && all_open {
            let mut names: Vec<Asset> =
                self.setup.venues.values().flat_map(|v| v.instruments.values().map(|i| self.setup.assets.resolve(&i.base).0)).collect();
            names.sort();
            names.dedup();
            let shown = names.iter().take(12).map(|asset| asset.as_str()).collect::<Vec<_>>().join(", ");
            return invalid(format!("no venue lists {} on the {} market; listed are {shown}", signal.asset, signal.market));
        }
        Ok(())
    }

    fn takes_part(&self, signal: &Signal, share: &AccountShare) -> bool {
        let venue = self.setup.accounts.get(&share.account).map(|account| &account.venue);
        match (&signal.venues, venue) {
            (None, Some(_)) => true,
            (Some(named), Some(venue)) => named.contains(venue),
            (_, None) => false,
        }
    }

    /// Decides one leg: an order with its reserve, or the reason why there is none.
    pub(super) fn plan_leg(
        &self,
        signal: &Signal,
        deployment: &DeploymentId,
        setup: &DeploymentSetup,
        share: &AccountShare,
        number: ExecutionNumber,
    ) -> LegPlan {
        let (share, stands_in) = &self.seat(share);
        let venue = self.setup.accounts.get(&share.account).map(|account| account.venue.clone());
        let venue = venue.expect("takes_part only lets accounts of the configuration through");
        let mut plan = LegPlan {
            deployment: deployment.clone(),
            agent: signal.agent.clone(),
            account: share.account.clone(),
            venue,
            symbol: None,
            order: None,
            ended: None,
            stands_in: stands_in.clone(),
            awaiting: None,
            timings: Timings::default(),
        };
        if let Some(reason) = self.is_taken(number, &plan) {
            plan.ended = Some((Outcome::Skipped, reason));
            return plan;
        }
        match self.decide(signal, deployment, setup, share, &mut plan) {
            Ok(order) => {
                plan.timings.resolved = self.elapsed(number);
                plan.timings.cleared = self.elapsed(number);
                plan.awaiting = self.must_await((deployment, setup), number);
                // What waits has no order: it is sized and checked anew at the yes.
                plan.order = Some(order).filter(|_| plan.awaiting.is_none());
            }
            Err((outcome, reason)) => plan.ended = Some((outcome, reason)),
        }
        plan
    }

    /// A leg's key is its account: where another leg of the execution was put that stands in, or this one does, there is room for one.
    fn is_taken(&self, number: ExecutionNumber, plan: &LegPlan) -> Option<Reason> {
        let same = |other: &&LegPlan| {
            other.deployment == plan.deployment && other.account == plan.account && (other.stands_in.is_some() || plan.stands_in.is_some())
        };
        let other = self.book.execution(number)?.legs.iter().map(|leg| &leg.plan).find(same)?;
        let whom = |plan: &LegPlan| plan.stands_in.as_ref().map_or_else(|| "itself".to_owned(), |of| of.account.to_string());
        let words = format!("{} trades this signal for {} already; {} has no other place", plan.account, whom(other), whom(plan));
        Some(Reason::new("paper_fallback", words))
    }

    fn decide(
        &self,
        signal: &Signal,
        deployment: &DeploymentId,
        setup: &DeploymentSetup,
        share: &AccountShare,
        plan: &mut LegPlan,
    ) -> Result<OrderPlan, (Outcome, Reason)> {
        let skipped = |code: &str, reason: String| (Outcome::Skipped, Reason::new(code, reason));
        let refused = |reason: Reason| (Outcome::Refused, reason);
        let (asset, per_name) = self.setup.assets.resolve(&signal.asset);
        let venue = self
            .setup
            .venues
            .get(&plan.venue)
            .ok_or_else(|| skipped("venue_down", format!("{} does not say what it trades", plan.venue)))?;
        if let Some(market) =
            self.setup.accounts.get(&plan.account).and_then(|account| account.market).filter(|market| *market != signal.market)
        {
            return Err(skipped("other_market", format!("{} trades {market}, the signal asks for {}", plan.account, signal.market)));
        }
        let Some(instrument) = venue.instrument_of(&asset, signal.market) else {
            return Err(skipped("not_listed", format!("{} lists no {} {}", plan.venue, asset, signal.market)));
        };
        plan.symbol = Some(instrument.symbol.clone());
        let valid_until = signal.valid_until(self.now.wall);
        if self.now.wall > valid_until {
            return Err((Outcome::Expired, Reason::new("expired", format!("the signal was valid until {valid_until}"))));
        }
        let account = self.live.accounts.get(&plan.account);
        if !account.is_some_and(|account| account.ready) {
            let why = account
                .and_then(|account| account.failure.clone())
                .unwrap_or_else(|| "its venue's truth is still being compared with ours".into());
            return Err(skipped("recovering", format!("{} cannot trade yet: {why}", plan.account)));
        }
        let Some(quote) = self.live.quotes.get(&(plan.venue.clone(), instrument.symbol.clone())) else {
            return Err(skipped("no_price", format!("{} has no price for {} yet", plan.venue, instrument.symbol)));
        };
        let side = signal.direction.entry_side();
        if let Some(exits) = &signal.exits {
            Self::check_exits(exits, signal.direction, quote.middle()).map_err(refused)?;
            self.check_stop_requirement(setup, exits, plan, &instrument.symbol).map_err(refused)?;
        }
        let (worst_price, reserve_price) = prices(signal, instrument, quote, side).map_err(refused)?;
        let leverage = self.leverage(signal, instrument, deployment, share).map_err(refused)?;
        let quantity =
            size(signal.sizing, instrument, reserve_price, per_name, self.setup.assets.resolve(&instrument.base).1).map_err(refused)?;
        instrument.check_order(quantity, worst_price, false).map_err(|reason| refused(Reason::new("venue_filter", reason)))?;

        let terms = Terms::of(instrument, asset);
        let mut reserve = gates::reserve(instrument, quantity, reserve_price, leverage).map_err(refused)?;
        if instrument.market == Market::Spot && !side.is_buy() {
            // Selling what is held takes no capital.
            reserve = Reserve { capital: Notional::ZERO, ..reserve };
        }
        let agent_setup = self.setup.agents.get(&signal.agent).cloned().unwrap_or_default();
        let candidate = Candidate {
            agent: &signal.agent,
            agent_setup: &agent_setup,
            deployment,
            deployment_setup: setup,
            share,
            stands_in: plan.stands_in.is_some(),
            venue: &plan.venue,
            instrument,
            terms: &terms,
            side,
            quantity,
            worst_price,
            leverage,
            reserve,
        };
        let view = View { setup: self.setup, book: &*self.book, marks: &self.live.marks };
        gates::check_entry(&candidate, view).map_err(refused)?;
        let rate = self.setup.rates.get(&terms.settle).copied().unwrap_or(Factor::ONE);
        Ok(OrderPlan {
            side,
            quantity,
            order: signal.order,
            worst_price,
            leverage,
            terms,
            reserve,
            rate,
            closes: None,
            trigger: None,
            attached: Vec::new(),
            external: false,
        })
    }

    /// Where a stop must be at the venue, the venue must be able to hold it from the start.
    fn check_stop_requirement(&self, setup: &DeploymentSetup, exits: &Exits, plan: &LegPlan, symbol: &VenueSymbol) -> Result<(), Reason> {
        if setup.stops == StopRequirement::Any || !exits.wants_stop() {
            return Ok(());
        }
        if exits.stop_loss.is_none() {
            return Err(Reason::new(
                "no_venue_stop",
                "a trailing stop that is not active yet cannot wait at the venue; give a stop_loss too",
            ));
        }
        if self.can_hold(&plan.venue, symbol, ExitKind::StopLoss) {
            return Ok(());
        }
        let words = format!("stops must wait at the venue here (`stops = \"venue\"`), and {} holds none for {symbol}", plan.venue);
        Err(Reason::new("no_venue_stop", words))
    }

    /// The signal's leverage, if the instrument allows it and it is the one the position has.
    fn leverage(
        &self,
        signal: &Signal,
        instrument: &Instrument,
        deployment: &DeploymentId,
        share: &AccountShare,
    ) -> Result<Leverage, Reason> {
        if signal.leverage > instrument.max_leverage {
            let (asked, most) = (signal.leverage, instrument.max_leverage);
            return Err(Reason::new("max_leverage", format!("leverage {asked} is above the {most} that {} allows", instrument.symbol)));
        }
        let key = PositionKey { deployment: deployment.clone(), account: share.account.clone(), symbol: instrument.symbol.clone() };
        match self.book.ledger().position(&key) {
            Some(position) if position.leverage() != signal.leverage => Err(Reason::new(
                "leverage_conflict",
                format!(
                    "the position has leverage {}, the signal asks for {}; it can change only when flat",
                    position.leverage(),
                    signal.leverage
                ),
            )),
            _ => Ok(signal.leverage),
        }
    }

    /// Routing `first`: turns to the next account when a leg came to nothing for certain.
    pub(super) fn next_in_line(&mut self, at: LegRef) {
        let Some(record) = self.book.execution(at.execution) else { return };
        let Some(leg) = record.legs.get(at.leg) else { return };
        let Command::Signal(signal) = record.admission.command.clone() else { return };
        // A leg that was canceled was meant to come to nothing.
        let given_up = matches!(leg.state, LegState::Done { outcome: Outcome::Canceled, .. });
        let nothing = leg.state.is_done() && !given_up && leg.filled().is_ok_and(|filled| filled.quantity.is_zero());
        let alive = record.legs.iter().any(|other| {
            other.plan.deployment == leg.plan.deployment && (other.is_live() || other.filled().is_ok_and(|f| !f.quantity.is_zero()))
        });
        if signal.routing != Routing::First || !nothing || alive {
            return;
        }
        let deployment = leg.plan.deployment.clone();
        let Some(setup) = self.setup.deployments.get(&deployment).cloned() else { return };
        if !self.may_go_on((&deployment, &setup), record) {
            return;
        }
        let standby: Vec<_> =
            record.admission.standby.iter().filter(|(d, _)| *d == deployment).map(|(_, account)| account.clone()).collect();
        for account in standby {
            let Some(share) = setup.accounts.iter().find(|share| share.account == account).cloned() else { continue };
            let plan = self.plan_leg(&signal, &deployment, &setup, &share, at.execution);
            let planned = plan.ended.is_none();
            self.emit(Event::LegPlanned { execution: at.execution, plan });
            if planned {
                break;
            }
        }
        self.advance(at.execution);
    }
}

/// The worst price admitted, and the price at which the leg is reserved: for a sale the two differ, since a better price makes a larger
/// position.
fn prices(signal: &Signal, instrument: &Instrument, quote: &Quote, side: Side) -> Result<(Price, Price), Reason> {
    let away = |price: Price, up: bool| {
        let slip = signal.slippage.decimal();
        let factor = if up { exact::add(rust_decimal::Decimal::ONE, slip) } else { exact::sub(rust_decimal::Decimal::ONE, slip) };
        factor.and_then(|factor| price.decimal().checked_mul(factor)).and_then(|moved| Price::new(moved).ok())
    };
    let no_price =
        || Reason::new("no_valid_price", format!("no valid price of {} is within the slippage of {}", instrument.symbol, signal.slippage));
    let worst = match signal.order {
        OrderType::Market => away(if side.is_buy() { quote.ask } else { quote.bid }, side.is_buy()),
        OrderType::Limit { price, .. } => Some(price),
    };
    let worst = worst.and_then(|worst| instrument.limit_price(worst, side)).ok_or_else(no_price)?;
    if worst > instrument.max_price {
        return Err(Reason::new(
            "no_valid_price",
            format!("{worst} is above the largest price of {}, {}", instrument.symbol, instrument.max_price),
        ));
    }
    if side.is_buy() {
        return Ok((worst, worst));
    }
    let best = away(quote.bid, true).and_then(|best| instrument.limit_price(best, Side::Sell)).ok_or_else(no_price)?;
    Ok((worst, worst.max(best)))
}

/// Whole lots, rounded down.
fn size(sizing: Sizing, instrument: &Instrument, price: Price, per_name: Factor, per_base: Factor) -> Result<Quantity, Reason> {
    let overflow = || Reason::new("overflow", "the size has more digits than can be kept exactly");
    match sizing {
        Sizing::Notional(notional) => Ok(instrument.quantity_for(notional, price)),
        Sizing::Quantity(quantity) => {
            let units = exact::mul(quantity.decimal(), per_name.decimal()).ok_or_else(overflow)?;
            let lot = exact::mul(instrument.lot_size.decimal(), per_base.decimal()).ok_or_else(overflow)?;
            let lots = exact::units(units, lot).ok_or_else(overflow)?;
            exact::mul(lots, instrument.lot_size.decimal()).and_then(|value| Quantity::new(value).ok()).ok_or_else(overflow)
        }
    }
}
