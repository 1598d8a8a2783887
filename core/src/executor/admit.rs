//! From a signal to its legs: resolve, size, check, reserve — one decision, one event.

use super::availability::listed_assets;
use super::pricing::{self, Bounds};
use super::routing::Place;
use super::setup::{AccountShare, DeploymentSetup, Setup, StopRequirement};
use super::sizing::Leg;
use super::step::{Archived, CommandError, Decided, Effect, Step, Token};
use crate::gates::{self, Candidate, Fitted, Resize, Ruling, View};
use crate::journal::{Admission, Command, Event, ExecutionNumber, LegPlan, OrderPlan, Terms};
use crate::model::execution::{Outcome, Reason, Timings};
use crate::model::exit::{ExitKind, Exits};
use crate::model::ids::{AccountId, DeploymentId, SignalId, VenueId};
use crate::model::instrument::{Instrument, Market};
use crate::model::number::{Factor, Leverage, Quantity};
use crate::model::signal::{Direction, OrderType, Signal, TimeInForce, WantedMarket};
use crate::model::time::Timestamp;

/// What a leg would ask of its venue, before any gate has looked at it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proposal<'a> {
    pub(super) bounds: Bounds,
    pub(super) quantity: Quantity,
    /// What it was sized for: with another leverage it may be of another size.
    leg: Leg<'a>,
}

fn skipped(code: &str, reason: String) -> (Outcome, Reason) {
    (Outcome::Skipped, Reason::new(code, reason))
}

fn refused(reason: Reason) -> (Outcome, Reason) {
    (Outcome::Refused, reason)
}

impl Setup {
    /// The instrument that a signal trades on an account now: of `any` market the one that the account is configured for, else perpetuals, else
    /// spot, else dated futures. Spot carries only what is long and has no leverage.
    pub(crate) fn instrument_for(
        &self,
        signal: &Signal,
        (account, venue): (&AccountId, &VenueId),
        now: Timestamp,
    ) -> Result<&Instrument, (Outcome, Reason)> {
        let asset = self.assets.resolve(&signal.asset).0;
        let listed = self.venues.get(venue).ok_or_else(|| skipped("venue_down", format!("{venue} does not say what it trades")))?;
        let configured = self.accounts.get(account).and_then(|account| account.market);
        if let Some(market) = configured.filter(|market| !signal.market.allows(*market)) {
            return Err(skipped("other_market", format!("{account} trades {market}, the signal asks for {}", signal.market)));
        }
        // Of dated futures the first that is still entered.
        let entered_by = now.after(self.timing.expiry_margin);
        let none = |what: String| skipped("not_listed", format!("{venue} lists no {asset} {what}"));
        if let WantedMarket::Only(market) = signal.market {
            return listed.instrument_at(&asset, market, entered_by).ok_or_else(|| none(market.to_string()));
        }
        let order = [Market::Perp, Market::Spot, Market::Future];
        let mut found = order.into_iter().filter(|market| configured.is_none_or(|configured| configured == *market));
        let instrument = found.find_map(|market| listed.instrument_at(&asset, market, entered_by));
        let instrument =
            instrument.ok_or_else(|| none(configured.map_or_else(|| "perp, spot or future".to_owned(), |market| market.to_string())))?;
        if instrument.market == Market::Spot && (signal.direction == Direction::Short || signal.leverage > Leverage::ONE) {
            let wish =
                if signal.direction == Direction::Short { "short".to_owned() } else { format!("{} times leverage", signal.leverage) };
            return Err(skipped("other_market", format!("{account} trades {asset} on spot, where of `any` market nothing has {wish}")));
        }
        Ok(instrument)
    }
}

impl Step<'_> {
    /// Takes a signal: once. The same id with the same body is the execution it was; with another body it is an error.
    pub(super) fn execute(
        &mut self,
        signal: Signal,
        metadata_hash: Option<String>,
        archived: Option<Archived>,
        (received, rulings): (u64, Option<Vec<Ruling>>),
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
        self.weigh_losses();
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
            rulings,
        };
        self.book.admit(admission.clone());
        let deployments: Vec<(DeploymentId, DeploymentSetup)> =
            self.setup.deployments.iter().filter(|(_, d)| d.agent == signal.agent).map(|(id, d)| (id.clone(), d.clone())).collect();
        for (id, deployment) in &deployments {
            let mut chosen = false;
            let shares: Vec<&AccountShare> = deployment.accounts.iter().filter(|share| self.takes_part(&signal, share)).collect();
            for place in self.in_order(&signal, (id, deployment), shares) {
                if chosen {
                    admission.standby.push((id.clone(), place.share.account.clone()));
                    continue;
                }
                let plan = self.plan_leg(&signal, id, deployment, place, number);
                chosen = signal.routing.opens_one() && plan.ended.is_none();
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
        for venue in signal.venues.iter().flatten().chain(signal.routing.split()) {
            let venue_of = |share: &AccountShare| self.setup.accounts.get(&share.account).map(|account| account.venue.clone());
            let mut enabled: Vec<_> = deployments.iter().flat_map(|d| d.accounts.iter().filter_map(venue_of)).collect();
            if !enabled.contains(venue) {
                enabled.dedup();
                let names = enabled.iter().map(|venue| venue.as_str()).collect::<Vec<_>>().join(", ");
                return invalid(format!("venue {venue} is not enabled for agent {}; enabled are {names}", signal.agent));
            }
        }
        let (asset, _) = self.setup.assets.resolve(&signal.asset);
        let listed =
            self.setup.venues.values().any(|venue| venue.instruments_of(&asset).any(|instrument| signal.market.allows(instrument.market)));
        let all_open = self.setup.accounts.values().all(|account| self.setup.venues.contains_key(&account.venue));
        if !listed && all_open {
            let names = listed_assets(self.setup);
            let shown = names.iter().take(12).map(|asset| asset.as_str()).collect::<Vec<_>>().join(", ");
            return invalid(format!("no venue lists {} on the {} market; listed are {shown}", signal.asset, signal.market));
        }
        Ok(())
    }

    /// Decides one leg: an order with its reserve, or the reason why there is none.
    pub(super) fn plan_leg(
        &self,
        signal: &Signal,
        deployment: &DeploymentId,
        setup: &DeploymentSetup,
        place: Place<'_>,
        number: ExecutionNumber,
    ) -> LegPlan {
        let (share, stands_in) = &self.seat(place.share);
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
            routed: place.why,
            timings: Timings::default(),
        };
        if let Some(reason) = self.is_taken(number, &plan) {
            plan.ended = Some((Outcome::Skipped, reason));
            return plan;
        }
        match self.decide(signal, (deployment, setup), (place.share, share), number, &mut plan, self.rulings(number)) {
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

    /// What a leg would ask for on an account, or the one that stands in for it: worst price, leverage and size.
    pub(super) fn propose<'a>(
        &self,
        signal: &Signal,
        (id, deployment): (&DeploymentId, &DeploymentSetup),
        (share, seat): (&AccountShare, &AccountShare),
        (venue, instrument): (&VenueId, &'a Instrument),
    ) -> Result<Proposal<'a>, (Outcome, Reason)> {
        self.check_open(instrument, &signal.order).map_err(refused)?;
        let Some(quote) = self.live.quotes.get(&(venue.clone(), instrument.symbol.clone())) else {
            return Err(skipped("no_price", format!("{venue} has no price for {} yet", instrument.symbol)));
        };
        if let Some(exits) = &signal.exits {
            Self::check_exits(exits, signal.direction, quote.middle()).map_err(refused)?;
            self.check_stop_requirement(deployment, exits, (venue, instrument)).map_err(refused)?;
        }
        self.check_order_type(signal.order, venue).map_err(refused)?;
        let bounds = pricing::bounds(signal, instrument, quote, signal.direction.entry_side()).map_err(refused)?;
        let leverage = signal.leverage;
        let part = self.part(signal, deployment, share).map_err(refused)?;
        let per_name = self.setup.assets.resolve(&signal.asset).1;
        let per_base = self.setup.assets.resolve(&instrument.base).1;
        let leg = Leg { instrument, bounds, leverage, part, per_name, per_base };
        let quantity = self.size(signal, id, seat, &leg).map_err(refused)?;
        Ok(Proposal { bounds, quantity, leg })
    }

    /// What the venue cannot do is refused here, before anything is sent.
    fn check_order_type(&self, order: OrderType, venue: &VenueId) -> Result<(), Reason> {
        let orders = self.setup.venues.get(venue).map(|venue| &venue.capabilities.orders);
        let OrderType::Limit { time_in_force, post_only, .. } = order else { return Ok(()) };
        let lacks = |what: &str, instead: &str| Err(Reason::new("unsupported_order", format!("{venue} has no {what} orders; {instead}")));
        match orders {
            Some(orders) if time_in_force == TimeInForce::Fok && !orders.fill_or_kill => lacks("fill-or-kill", "use ioc"),
            Some(orders) if post_only && !orders.post_only => lacks("post-only", "leave post_only out"),
            _ => Ok(()),
        }
    }

    pub(super) fn decide(
        &self,
        signal: &Signal,
        (deployment, setup): (&DeploymentId, &DeploymentSetup),
        (configured, share): (&AccountShare, &AccountShare),
        number: ExecutionNumber,
        plan: &mut LegPlan,
        rulings: Option<&[Ruling]>,
    ) -> Result<OrderPlan, (Outcome, Reason)> {
        let asset = self.setup.assets.resolve(&signal.asset).0;
        let instrument = self.setup.instrument_for(signal, (&plan.account, &plan.venue), self.now.wall)?;
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
        let Proposal { bounds, quantity, leg } =
            self.propose(signal, (deployment, setup), (configured, share), (&plan.venue, instrument))?;
        let (worst_price, reserve_price, side) = (bounds.worst, bounds.reserve, signal.direction.entry_side());
        // What user gates were asked about is the account itself, whoever stands in for it.
        let quantity = gates::apply_rulings(rulings, (deployment, &configured.account), instrument, quantity).map_err(refused)?;
        instrument.check_order(quantity, worst_price, false).map_err(|reason| refused(Reason::new("venue_filter", reason)))?;

        let terms = Terms::of(instrument, asset);
        let leverage = leg.leverage;
        let reserve = gates::entry_reserve(instrument, side, quantity, reserve_price, leverage).map_err(refused)?;
        let key = (plan.venue.clone(), instrument.symbol.clone());
        let quote = self.live.quotes.get(&key).ok_or_else(|| skipped("no_price", format!("{} has no price", key.0)))?;
        let resize = |leverage| self.size(signal, deployment, share, &Leg { leverage, ..leg });
        let agent_setup = self.setup.agents.get(&signal.agent).cloned().unwrap_or_default();
        let candidate = Candidate {
            signal,
            execution: number,
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
            reserve_price,
            quote,
            leverage,
            resize: Resize(&resize),
            reserve,
        };
        let (marks, quotes, losses) = (&self.live.marks, &self.live.quotes, &self.live.scales.standings);
        let view = View { setup: self.setup, book: &*self.book, marks, losses, quotes, now: self.now, holders: &[] };
        let Fitted { quantity, leverage, reserve, shrunk } = gates::fit_entry(candidate, view).map_err(refused)?;
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
            shrunk,
        })
    }

    /// What user gates said of an execution's legs; nothing where there were none.
    fn rulings(&self, number: ExecutionNumber) -> Option<&[Ruling]> {
        self.book.execution(number)?.admission.rulings.as_deref()
    }

    /// Where a stop must be at the venue, the venue must be able to hold it from the start.
    fn check_stop_requirement(&self, setup: &DeploymentSetup, exits: &Exits, at: (&VenueId, &Instrument)) -> Result<(), Reason> {
        if setup.stops == StopRequirement::Any || !exits.wants_stop() {
            return Ok(());
        }
        if exits.stop_loss.is_none() {
            return Err(Reason::new(
                "no_venue_stop",
                "a trailing stop that is not active yet cannot wait at the venue; give a stop_loss too",
            ));
        }
        let (venue, symbol) = (at.0, &at.1.symbol);
        if self.can_hold(venue, symbol, ExitKind::StopLoss) {
            return Ok(());
        }
        let words = format!("stops must wait at the venue here (`stops = \"venue\"`), and {venue} holds none for {symbol}");
        Err(Reason::new("no_venue_stop", words))
    }
}
