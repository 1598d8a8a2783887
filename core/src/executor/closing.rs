//! Closing: one leg per position, one order at a time per account and instrument, never more than the venue holds.

use super::book::closing_side;
use super::step::{Archived, CommandError, Effect, Step, Token};
use crate::journal::{Admission, Command, Event, ExecutionNumber, LegPlan, LegRef, OrderPlan, Reserve};
use crate::ledger::{Position, PositionKey};
use crate::model::close::{CloseRequest, CloseTarget};
use crate::model::execution::Timings;
use crate::model::ids::{AccountId, SignalId, VenueSymbol};
use crate::model::number::{Factor, Price, Quantity};
use crate::model::signal::OrderType;

impl Step<'_> {
    /// Takes a request to close: once. The same id with the same target is the execution it was.
    pub(super) fn close(&mut self, request: CloseRequest, archived: Option<Archived>, token: Token) {
        let body_hash = request.body_hash();
        match self.known(&request.id, &body_hash, archived) {
            // What reduces risk is taken even while it cannot be written down.
            Err(CommandError::JournalUnwritable(_)) => {}
            Err(error) => return self.effect(Effect::Rejected { token, error }),
            Ok(Some(execution)) => return self.effect(Effect::Accepted { token, execution }),
            Ok(None) => {}
        }
        let number = self.admit_close(request);
        self.effect(Effect::Accepted { token, execution: number });
    }

    /// Admits a close, whoever asks for it, and sends what can be sent.
    pub(super) fn admit_close(&mut self, request: CloseRequest) -> ExecutionNumber {
        let number = self.book.next_execution();
        self.live.started.insert(number, self.now.monotonic);
        let body_hash = request.body_hash();
        let legs = self.book.ledger().positions().filter_map(|(key, position)| self.close_leg(&request.target, key, position)).collect();
        self.emit(Event::Admitted(Admission {
            number,
            command: Command::Close(request),
            body_hash,
            metadata_hash: None,
            received_at: self.now.wall,
            valid_until: None,
            legs,
            standby: Vec::new(),
        }));
        self.advance(number);
        number
    }

    fn close_leg(&self, target: &CloseTarget, key: &PositionKey, position: &Position) -> Option<LegPlan> {
        let agent_of = |key: &PositionKey| self.setup.deployments.get(&key.deployment).map(|deployment| deployment.agent.clone());
        let whole = |named: bool| if named { position.quantity().magnitude() } else { Quantity::ZERO };
        let (share, closes): (Quantity, Option<SignalId>) = match target {
            CloseTarget::All => (position.quantity().magnitude(), None),
            CloseTarget::Signal(signal) => (position.share_of(signal).ok()?, Some(signal.clone())),
            CloseTarget::Agent(agent) => (whole(agent_of(key).as_ref() == Some(agent)), None),
            CloseTarget::Asset(asset) => (whole(position.terms().asset == *asset), None),
            CloseTarget::Account(account) => (whole(key.account == *account), None),
            CloseTarget::Lot(lot) => {
                if key.deployment != lot.deployment || key.account != lot.account || key.symbol != lot.instrument {
                    return None;
                }
                match &lot.signal {
                    Some(signal) => (position.share_of(signal).ok()?, Some(signal.clone())),
                    None => (position.quantity().magnitude(), None),
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
        let agent = agent_of(key);
        let venue = position.venue().clone();
        let mark = self.live.marks.get(&(venue.clone(), key.symbol.clone())).copied().or_else(|| position.entry_price());
        Some(LegPlan {
            deployment: key.deployment.clone(),
            agent: agent.unwrap_or_else(|| key.deployment.as_str().parse().expect("a deployment's name is a valid agent's name")),
            account: key.account.clone(),
            venue,
            symbol: Some(key.symbol.clone()),
            order: Some(OrderPlan {
                side: closing_side(position.quantity().is_long()),
                quantity: share,
                order: OrderType::Market,
                // Priced anew when the order is prepared.
                worst_price: mark.unwrap_or_else(|| Price::new(rust_decimal::Decimal::ONE).expect("1 is a price")),
                leverage: position.leverage(),
                terms: position.terms().clone(),
                reserve: Reserve::default(),
                rate: Factor::ONE,
                closes,
                trigger: None,
                attached: Vec::new(),
                external: false,
            }),
            ended: None,
            stands_in: None,
            timings: Timings { resolved: Some(0), ..Timings::default() },
        })
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
