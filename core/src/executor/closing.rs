//! Closing: one leg per position, one order at a time per account and instrument, never more than was asked and never more than the venue
//! holds. What is not ours is closed only where that was asked for, by a leg of its own.

use super::book::closing_side;
use super::step::{Archived, CommandError, Effect, Step, Token};
use crate::journal::{Admission, Command, Event, ExecutionNumber, LegPlan, LegRef, OrderPlan, Reserve, Terms};
use crate::ledger::{Position, PositionKey};
use crate::model::close::{CloseRequest, CloseTarget, external_agent, external_deployment};
use crate::model::execution::{Outcome, Reason, Timings};
use crate::model::ids::{AccountId, AgentId, Asset, DeploymentId, SignalId, VenueId, VenueSymbol};
use crate::model::instrument::Instrument;
use crate::model::number::{Factor, Leverage, Price, Quantity, SignedQuantity};
use crate::model::signal::OrderType;

/// How many names an error lists.
const NAMED: usize = 12;

impl Step<'_> {
    /// Takes a request to close: once. The same id with the same body is the execution it was.
    pub(super) fn close(&mut self, request: CloseRequest, archived: Option<Archived>, token: Token) {
        let body_hash = request.body_hash();
        match self.known(&request.id, &body_hash, archived) {
            // What reduces risk is taken even while it cannot be written down.
            Err(CommandError::JournalUnwritable(_)) => {}
            Err(error) => return self.effect(Effect::Rejected { token, error }),
            Ok(Some(execution)) => return self.effect(Effect::Accepted { token, execution }),
            Ok(None) => {}
        }
        if let Err(words) = request.check().and_then(|()| self.check_target(&request.target)) {
            let error = CommandError::Invalid(format!("close {}: {words}; nothing was done", request.id));
            return self.effect(Effect::Rejected { token, error });
        }
        let number = self.admit_close(request);
        self.effect(Effect::Accepted { token, execution: number });
    }

    /// Admits a close, whoever asks for it, and sends what can be sent.
    pub(super) fn admit_close(&mut self, request: CloseRequest) -> ExecutionNumber {
        let number = self.book.next_execution();
        self.live.started.insert(number, self.now.monotonic);
        let body_hash = request.body_hash();
        let ours = self.book.ledger().positions().filter_map(|(key, position)| self.close_leg(&request, key, position));
        let legs = ours.chain(self.external_legs(&request)).collect();
        self.emit(Event::Admitted(Admission {
            number,
            command: Command::Close(request),
            body_hash,
            metadata_hash: None,
            received_at: self.now.wall,
            valid_until: None,
            legs,
            standby: Vec::new(),
            rulings: None,
        }));
        self.advance(number);
        number
    }

    /// Whether a target names what there is: in the configuration, or in the books of an earlier one.
    fn check_target(&self, target: &CloseTarget) -> Result<(), String> {
        let positions = || self.book.ledger().positions().map(|(key, _)| key);
        match target {
            CloseTarget::All | CloseTarget::Signal(_) => Ok(()),
            CloseTarget::Agent(agent) => {
                let agents = self.setup.agents.keys().chain(self.setup.deployments.values().map(|deployment| &deployment.agent));
                among("agent", agent, agents, positions().any(|key| self.agent_of(&key.deployment) == *agent))
            }
            CloseTarget::Asset(asset) => self.check_asset(asset),
            CloseTarget::Account(account) => self.check_account(account),
            CloseTarget::Position { account, instrument, deployment } => {
                self.check_place(account, instrument)?;
                deployment.as_ref().map_or(Ok(()), |deployment| self.check_deployment(deployment))
            }
            CloseTarget::Lot(lot) => {
                self.check_place(&lot.account, &lot.instrument)?;
                self.check_deployment(&lot.deployment)
            }
        }
    }

    fn check_deployment(&self, deployment: &DeploymentId) -> Result<(), String> {
        let held = self.book.ledger().positions().any(|(key, _)| key.deployment == *deployment);
        among("deployment", deployment, self.setup.deployments.keys(), held)
    }

    fn check_account(&self, account: &AccountId) -> Result<(), String> {
        let held = self.book.ledger().positions().any(|(key, _)| key.account == *account);
        among("account", account, self.setup.accounts.keys(), held)
    }

    /// An account and an instrument there; of a venue that does not say what it trades, any.
    fn check_place(&self, account: &AccountId, instrument: &VenueSymbol) -> Result<(), String> {
        self.check_account(account)?;
        let held = self.book.ledger().instruments_of(account).any(|symbol| symbol == instrument);
        let venue = self.setup.accounts.get(account).and_then(|account| self.setup.venues.get(&account.venue));
        venue.map_or(Ok(()), |venue| among("instrument", instrument, venue.instruments.keys(), held))
    }

    fn check_asset(&self, asset: &Asset) -> Result<(), String> {
        let (asset, _) = self.setup.assets.resolve(asset);
        let all_open = self.setup.accounts.values().all(|account| self.setup.venues.contains_key(&account.venue));
        let held = self.book.ledger().positions().any(|(_, position)| position.terms().asset == asset);
        let instruments = self.setup.venues.values().flat_map(|venue| venue.instruments.values());
        let mut listed: Vec<Asset> = instruments.map(|instrument| self.setup.assets.resolve(&instrument.base).0).collect();
        listed.sort();
        listed.dedup();
        among("asset", &asset, listed.iter(), held || !all_open)
    }

    fn agent_of(&self, deployment: &DeploymentId) -> AgentId {
        let agent = self.setup.deployments.get(deployment).map(|deployment| deployment.agent.clone());
        agent.unwrap_or_else(|| deployment.as_str().parse().expect("a deployment's name is a valid agent's name"))
    }

    /// The leg that closes what a request names of one position of ours; `None` when it names nothing of it.
    fn close_leg(&self, request: &CloseRequest, key: &PositionKey, position: &Position) -> Option<LegPlan> {
        let held = position.quantity().magnitude();
        let whole = |named: bool| if named { held } else { Quantity::ZERO };
        let (share, closes): (Quantity, Option<SignalId>) = match &request.target {
            CloseTarget::All => (held, None),
            CloseTarget::Signal(signal) => (position.share_of(signal).ok()?, Some(signal.clone())),
            CloseTarget::Agent(agent) => (whole(self.agent_of(&key.deployment) == *agent), None),
            CloseTarget::Asset(asset) => (whole(position.terms().asset == self.setup.assets.resolve(asset).0), None),
            CloseTarget::Account(account) => (whole(key.account == *account), None),
            CloseTarget::Lot(lot) => {
                let named = PositionKey::of(lot) == *key;
                match &lot.signal {
                    Some(signal) if named => (position.share_of(signal).ok()?, Some(signal.clone())),
                    _ => (whole(named), None),
                }
            }
            CloseTarget::Position { account, instrument, deployment } => {
                let named =
                    key.account == *account && key.symbol == *instrument && deployment.as_ref().is_none_or(|d| *d == key.deployment);
                (whole(named), None)
            }
        };
        if share.is_zero() {
            return None;
        }
        let order = OrderPlan {
            side: closing_side(position.quantity().is_long()),
            quantity: share,
            order: OrderType::Market,
            worst_price: self.mark_or(position.venue(), &key.symbol, position.entry_price()),
            leverage: position.leverage(),
            terms: position.terms().clone(),
            reserve: Reserve::default(),
            rate: Factor::ONE,
            closes,
            trigger: None,
            attached: Vec::new(),
            external: false,
            shrunk: None,
        };
        let plan = LegPlan {
            deployment: key.deployment.clone(),
            agent: self.agent_of(&key.deployment),
            account: key.account.clone(),
            venue: position.venue().clone(),
            symbol: Some(key.symbol.clone()),
            order: Some(order),
            ended: None,
            stands_in: None,
            awaiting: None,
            routed: None,
            timings: Timings { resolved: Some(0), ..Timings::default() },
        };
        Some(self.cut_to_part(request, plan))
    }

    /// The price a close is planned with; it is priced anew when its order is prepared.
    fn mark_or(&self, venue: &VenueId, symbol: &VenueSymbol, entry: Option<Price>) -> Price {
        let mark = self.live.marks.get(&(venue.clone(), symbol.clone())).copied().or(entry);
        mark.unwrap_or_else(|| Price::new(rust_decimal::Decimal::ONE).expect("1 is a price"))
    }

    /// Leaves of a leg the part that is asked for, in whole lots; a leg of which nothing is left, or that has nowhere to go, ends at once.
    fn cut_to_part(&self, request: &CloseRequest, mut plan: LegPlan) -> LegPlan {
        let Some(order) = &mut plan.order else { return plan };
        let skipped = |code: &str, words: String| Some((Outcome::Skipped, Reason::new(code, words)));
        let listed = plan.symbol.as_ref().and_then(|symbol| self.setup.venues.get(&plan.venue)?.instruments.get(symbol));
        if !self.setup.accounts.contains_key(&plan.account) {
            plan.ended = skipped("no_account", format!("{} is not in the configuration any more", plan.account));
        } else if let Some(shut) = listed.and_then(|instrument| self.shut(instrument)) {
            plan.ended = Some(shut);
        } else if let Some(part) = request.part {
            let (held, wanted) = (order.quantity, part.of(order.quantity));
            let lots = listed.map_or(wanted, |instrument| instrument.floor_quantity(wanted));
            if lots.is_zero() {
                let lot = listed.map(|instrument| instrument.lot_size.to_string()).unwrap_or_default();
                plan.ended = skipped("less_than_a_lot", format!("{wanted} of {held} is asked for, and less than a lot of {lot}"));
            } else {
                order.quantity = lots;
            }
        }
        if plan.ended.is_some() {
            plan.order = None;
        }
        plan
    }

    /// One leg for what is not ours at each place that a request names, where it asks for that.
    fn external_legs(&self, request: &CloseRequest) -> Vec<LegPlan> {
        if !request.include_external {
            return Vec::new();
        }
        let there = self.book.ledger().externals().filter(|(_, quantity)| !quantity.is_zero());
        there.filter_map(|((account, symbol), quantity)| self.external_leg(request, account, symbol, quantity)).collect()
    }

    fn external_leg(&self, request: &CloseRequest, account: &AccountId, symbol: &VenueSymbol, held: SignedQuantity) -> Option<LegPlan> {
        let venue = self.setup.accounts.get(account)?.venue.clone();
        let instrument = self.setup.venues.get(&venue).and_then(|venue| venue.instruments.get(symbol));
        let named = match &request.target {
            CloseTarget::All => true,
            CloseTarget::Account(wanted) => wanted == account,
            CloseTarget::Asset(asset) => {
                let asset = self.setup.assets.resolve(asset).0;
                instrument.is_some_and(|instrument| self.setup.assets.resolve(&instrument.base).0 == asset)
            }
            CloseTarget::Position { account: wanted, instrument, deployment: None } => wanted == account && instrument == symbol,
            CloseTarget::Position { .. } | CloseTarget::Signal(_) | CloseTarget::Agent(_) | CloseTarget::Lot(_) => false,
        };
        if !named {
            return None;
        }
        let mut plan = LegPlan {
            deployment: external_deployment(),
            agent: external_agent(),
            account: account.clone(),
            venue: venue.clone(),
            symbol: Some(symbol.clone()),
            order: None,
            ended: None,
            awaiting: None,
            routed: None,
            stands_in: None,
            timings: Timings { resolved: Some(0), ..Timings::default() },
        };
        let Some(instrument) = instrument else {
            plan.ended = Some((Outcome::Skipped, Reason::new("venue_down", format!("{venue} does not say that it trades {symbol}"))));
            return Some(plan);
        };
        plan.order = Some(self.external_order(instrument, held));
        Some(self.cut_to_part(request, plan))
    }

    /// An order that closes what is not ours.
    pub(super) fn external_order(&self, instrument: &Instrument, held: SignedQuantity) -> OrderPlan {
        OrderPlan {
            side: closing_side(held.is_long()),
            quantity: held.magnitude(),
            order: OrderType::Market,
            worst_price: self.mark_or(&instrument.venue, &instrument.symbol, None),
            leverage: Leverage::ONE,
            terms: Terms::of(instrument, self.setup.assets.resolve(&instrument.base).0),
            reserve: Reserve::default(),
            rate: Factor::ONE,
            closes: None,
            trigger: None,
            attached: Vec::new(),
            external: true,
            shrunk: None,
        }
    }

    /// Moves the next close of an account's instrument, once the one before it is done. `but` is a leg that waits for its own pause.
    pub(super) fn pump_closes(&mut self, account: &AccountId, symbol: &VenueSymbol, but: LegRef) {
        if self.book.closing(account, symbol).is_some() {
            return;
        }
        let next: Vec<LegRef> = self.book.closes(account, symbol).filter(|at| *at != but).collect();
        next.into_iter().for_each(|at| self.ask_ready(at));
    }
}

/// Whether a name is one of those that there are; says which there are.
fn among<'a, T: PartialEq + std::fmt::Display + 'a>(
    what: &str,
    name: &T,
    known: impl Iterator<Item = &'a T>,
    otherwise: bool,
) -> Result<(), String> {
    let mut names = Vec::new();
    for one in known {
        if one == name {
            return Ok(());
        }
        names.push(one.to_string());
    }
    if otherwise {
        return Ok(());
    }
    names.sort();
    names.dedup();
    let more = if names.len() > NAMED { ", …" } else { "" };
    Err(format!("there is no {what} {name}; there are {}{more}", names.into_iter().take(NAMED).collect::<Vec<_>>().join(", ")))
}
