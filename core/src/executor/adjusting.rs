//! What happens on an account without an order of ours: money that moves, trades of others, liquidations. Each is booked once, under the
//! venue's own name, with who bears it.

use std::time::Duration;

use rust_decimal::Decimal;

use super::sharing::{pro_rata, shrink};
use super::step::Step;
use crate::journal::{Adjustment, AdjustmentKind, Event, PriceSource, Share, Terms};
use crate::ledger::PositionKey;
use crate::model::execution::Reason;
use crate::model::ids::{AccountId, AdjustmentId, ClientOrderId, DeploymentId, VenueId, VenueOrderId, VenueSymbol};
use crate::model::instrument::{Instrument, Market};
use crate::model::movement::{Movement, MovementKind};
use crate::model::number::{Amount, NumberError, SignedQuantity};
use crate::model::order::FillReport;
use crate::model::time::Timestamp;
use crate::venue::AccountSnapshot;

/// For how long it need not be written down up to when all is known.
const UNSAID: Duration = Duration::from_secs(600);

/// Something that a venue tells beside our orders.
#[derive(Debug, Clone, Copy)]
enum News<'a> {
    Movement(&'a Movement),
    Fill(&'a FillReport),
}

impl News<'_> {
    fn id(&self) -> AdjustmentId {
        let text = match self {
            Self::Movement(movement) => format!("movement:{}", movement.id),
            Self::Fill(fill) => format!("trade:{}", fill.trade_id),
        };
        text.parse().expect("a word and a venue's name are a valid name")
    }

    /// What happens at one instant is booked in this order: funding and fees are of what was held before it traded.
    const fn order(&self) -> (Timestamp, u8) {
        match self {
            Self::Movement(movement) => (movement.at, 0),
            Self::Fill(fill) => (fill.at, 1),
        }
    }
}

/// Who holds how much of an instrument: deployments by name, and what is not ours.
type Holders = Vec<(Option<DeploymentId>, SignedQuantity)>;

impl Step<'_> {
    /// The news of a snapshot that is not about orders of ours.
    fn news<'a>(&self, snapshot: &'a AccountSnapshot) -> Vec<News<'a>> {
        let fills = snapshot.fills.iter().filter(|fill| self.is_foreign(fill)).map(News::Fill);
        let mut news: Vec<News<'a>> = snapshot.movements.iter().map(News::Movement).chain(fills).collect();
        news.sort_by_key(|one| (one.order(), one.id()));
        news
    }

    /// Whether a trade is of no order of ours. One without a name may be of an order of ours whose trades are awaited: it is looked at again.
    fn is_foreign(&self, fill: &FillReport) -> bool {
        match &fill.client_order_id {
            Some(id) => self.book.leg_of(id).is_none() && !self.is_tagged(id),
            None => true,
        }
    }

    /// The order of ours that a venue names so.
    pub(super) fn order_named(&self, id: &VenueOrderId) -> Option<ClientOrderId> {
        use crate::model::order::OrderState as State;
        let named = |state: &State| match state {
            State::Open { venue_order_id } => venue_order_id == id,
            State::Done { venue_order_id, .. } => venue_order_id.as_ref() == Some(id),
            State::Sent | State::Unknown { .. } => false,
        };
        let orders = self.book.executions().flat_map(|(_, record)| record.legs.iter().flat_map(|leg| &leg.orders));
        orders.rev().find(|order| named(&order.state)).map(|order| order.intent.client_order_id().clone())
    }

    /// From now on what happens to the account without us is booked; what the snapshot tells of is in what it holds.
    pub(super) fn follow(&mut self, account: &AccountId, snapshot: &AccountSnapshot) {
        let since = super::recovery::earlier(snapshot.at);
        let known = self.news(snapshot).into_iter().filter(|one| one.order().0 >= since).map(|one| one.id()).collect();
        self.emit(Event::Followed { account: account.clone(), since, until: snapshot.at, known });
    }

    /// Books what a snapshot tells beside our orders.
    pub(super) fn take_news(&mut self, account: &AccountId, snapshot: &AccountSnapshot) {
        for one in self.news(snapshot) {
            let id = one.id();
            if self.book.is_told(account, &id, one.order().0) {
                continue;
            }
            match one {
                News::Movement(movement) => self.take_movement(account, id, movement),
                News::Fill(fill) => self.take_foreign(account, id, fill),
            }
        }
        // Not with every comparison: a restart asks the venue from here on, and may well ask for a little more.
        let explained = self.live.accounts.get(account).is_some_and(|live| live.suspicion.is_empty());
        if explained && self.book.known_until(account).is_some_and(|known| snapshot.at.since(known) > UNSAID) {
            let since = super::recovery::earlier(snapshot.at);
            self.emit(Event::Followed { account: account.clone(), since, until: snapshot.at, known: Vec::new() });
        }
    }

    fn take_movement(&mut self, account: &AccountId, id: AdjustmentId, movement: &Movement) {
        let Some(mut adjustment) = self.adjustment(account, id, movement.kind.into(), movement.symbol.as_ref()) else { return };
        adjustment.at = movement.at;
        if let (None, Some(symbol)) = (&movement.symbol, self.holding_of(account, movement)) {
            // Where holdings are positions, what came in is not ours.
            let Ok(quantity) = SignedQuantity::new(movement.amount.decimal()) else { return };
            (adjustment.terms, adjustment.symbol) = (self.terms(account, &symbol), Some(symbol.clone()));
            adjustment.price = self.mark(account, &symbol).map(|price| (price, PriceSource::Mark));
            adjustment.shares = vec![Share::traded(None, quantity, Amount::ZERO)];
            adjustment.reason = format!("{} of {} {}", adjustment.kind.word(), movement.amount, movement.asset);
            let price = adjustment.price;
            self.emit(Event::Adjusted(adjustment));
            return self.check_cover(account, &symbol, price);
        }
        adjustment.asset = Some(movement.asset.clone());
        adjustment.shares = self.bearers(account, movement).unwrap_or_else(|_| vec![Share::paid(None, movement.amount)]);
        let what = movement.symbol.as_ref().map(|symbol| format!(" on {symbol}")).unwrap_or_default();
        adjustment.reason = format!("{} of {} {}{what}", adjustment.kind.word(), movement.amount, movement.asset);
        self.emit(Event::Adjusted(adjustment));
    }

    /// The instrument whose holdings an asset is, where there is one.
    fn holding_of(&self, account: &AccountId, movement: &Movement) -> Option<VenueSymbol> {
        if movement.kind == MovementKind::Funding {
            return None;
        }
        let venue = self.setup.venues.get(&self.setup.accounts.get(account)?.venue)?;
        let of = |instrument: &&Instrument| instrument.market == Market::Spot && instrument.base == movement.asset;
        let held: Vec<&VenueSymbol> = self.book.ledger().instruments_of(account).collect();
        let mut listed: Vec<&Instrument> = venue.instruments.values().filter(of).collect();
        listed.sort_by_key(|instrument| !held.contains(&&instrument.symbol));
        listed.first().map(|instrument| instrument.symbol.clone())
    }

    /// Funding is shared by what everybody held when it was due, with the sign of it; what a liquidation cost by how much everybody held.
    /// Everything else is the account's alone.
    fn bearers(&self, account: &AccountId, movement: &Movement) -> Result<Vec<Share>, NumberError> {
        let shared = matches!(movement.kind, MovementKind::Funding | MovementKind::LiquidationFee);
        let Some(symbol) = movement.symbol.as_ref().filter(|_| shared) else { return Ok(vec![Share::paid(None, movement.amount)]) };
        let held: Holders = self.book.held_at(account, symbol, movement.at)?.into_iter().collect();
        let signed = movement.kind == MovementKind::Funding;
        let weight = |held: &SignedQuantity| if signed { held.decimal() } else { held.decimal().abs() };
        let weights: Vec<Decimal> = held.iter().map(|(_, held)| weight(held)).collect();
        let Some(parts) = pro_rata(movement.amount.decimal(), &weights)? else { return Ok(vec![Share::paid(None, movement.amount)]) };
        let paid = held.into_iter().zip(parts).filter(|(_, part)| !part.is_zero());
        paid.map(|((deployment, _), part)| Ok(Share::paid(deployment, Amount::new(part)?))).collect()
    }

    fn take_foreign(&mut self, account: &AccountId, id: AdjustmentId, fill: &FillReport) {
        if fill.client_order_id.is_none() && fill.cause.is_none() && self.book.is_moving(account, &fill.symbol) {
            // It may be of an order of ours that is not known by the venue's name yet.
            return;
        }
        if self.instrument_on(account, &fill.symbol).is_some_and(|instrument| instrument.check_trade(fill.price, fill.quantity).is_err()) {
            return;
        }
        let Some(mut adjustment) = self.adjustment(account, id, fill.cause.into(), Some(&fill.symbol)) else { return };
        adjustment.at = fill.at;
        adjustment.price = Some((fill.price, PriceSource::Trade));
        adjustment.fee_asset = Some(fill.fee.asset.clone());
        let whole = vec![Share::traded(None, fill.quantity.signed(fill.side.is_buy()), fill.fee.amount)];
        adjustment.shares = if fill.cause.is_some() { self.hit(account, fill).unwrap_or(whole) } else { whole };
        let (kind, symbol) = (adjustment.kind, fill.symbol.clone());
        adjustment.reason = match kind {
            AdjustmentKind::ForeignTrade => {
                format!("somebody else traded here: {} {} {symbol} at {}", fill.side, fill.quantity, fill.price)
            }
            _ => format!("the venue traded by itself ({}): {} {} {symbol} at {}", kind.word(), fill.side, fill.quantity, fill.price),
        };
        let (words, price) = (adjustment.reason.clone(), adjustment.price);
        let ours: Vec<DeploymentId> = adjustment.shares.iter().filter_map(|share| share.deployment.clone()).collect();
        self.emit(Event::Adjusted(adjustment));
        if kind == AdjustmentKind::ForeignTrade {
            return self.check_cover(account, &symbol, price);
        }
        if kind == AdjustmentKind::Settlement {
            // As was known from the start: nothing is wrong.
            return self.look_after_all(account, &symbol, ours);
        }
        self.halt(account, Reason::new("liquidated", format!("{words}; no entry until a person has looked at it")));
        self.look_after_all(account, &symbol, ours);
    }

    /// Looks after the exits of positions that changed without an order of ours.
    pub(super) fn look_after_all(&mut self, account: &AccountId, symbol: &VenueSymbol, deployments: Vec<DeploymentId>) {
        for deployment in deployments {
            self.tend_position(&PositionKey { deployment, account: account.clone(), symbol: symbol.clone() });
        }
    }

    /// Who is hit by a forced trade, and by how much of it and of its fee.
    fn hit(&self, account: &AccountId, fill: &FillReport) -> Result<Vec<Share>, NumberError> {
        let held = self.holders(account, &fill.symbol);
        let whole = held.iter().try_fold(SignedQuantity::ZERO, |sum, (_, held)| sum.plus(*held))?;
        let signed = fill.quantity.signed(fill.side.is_buy());
        if whole.is_zero() || whole.is_long() == signed.is_long() {
            // It opens: nothing of what is known was liquidated.
            return Ok(vec![Share::traded(None, signed, fill.fee.amount)]);
        }
        let lot = self.instrument_on(account, &fill.symbol).map_or(Decimal::new(1, 8), |instrument| instrument.lot_size.decimal());
        let quantities: Vec<Decimal> = held.iter().map(|(_, held)| held.decimal()).collect();
        let (mut changes, rest) = shrink(fill.quantity.decimal(), &quantities, lot)?;
        // What nobody held was not ours.
        let rest = if signed.is_long() { rest } else { -rest };
        if let Some(external) = held.iter().position(|(deployment, _)| deployment.is_none()) {
            changes[external] += rest;
        }
        let weights: Vec<Decimal> = changes.iter().map(Decimal::abs).collect();
        let fees = pro_rata(fill.fee.amount.decimal(), &weights)?.ok_or(NumberError::Overflow { operation: "sharing a fee" })?;
        // The venue rounds the worth of the trade as a whole: what each has of it must add up to that.
        let terms = self.terms(account, &fill.symbol).filter(|terms| !terms.contract.is_linear());
        let worth = terms.map(|terms| terms.value(signed, fill.price)).transpose()?;
        let values = worth.map(|worth| pro_rata(worth.decimal(), &changes)).transpose()?.flatten();
        let share = |index: usize, whose, change, fee| -> Result<Share, NumberError> {
            let value = values.as_ref().and_then(|values| values.get(index)).map(|value| Amount::new(*value)).transpose()?;
            Ok(Share { value, ..Share::traded(whose, SignedQuantity::new(change)?, Amount::new(fee)?) })
        };
        let parts = held.into_iter().zip(changes).zip(fees).enumerate().filter(|(_, ((_, change), _))| !change.is_zero());
        parts.map(|(index, (((whose, _), change), fee))| share(index, whose, change, fee)).collect()
    }

    /// Who holds an instrument of an account now. What is not ours comes first, whether there is any or not.
    pub(super) fn holders(&self, account: &AccountId, symbol: &VenueSymbol) -> Holders {
        let ledger = self.book.ledger();
        let external = (None, ledger.external_quantity(account, symbol).unwrap_or_default());
        let ours = ledger.positions_on(account, symbol).map(|(key, position)| (Some(key.deployment.clone()), position.quantity()));
        std::iter::once(external).chain(ours).collect()
    }

    /// An adjustment of which nothing but what it is about is known yet.
    pub(super) fn adjustment(
        &self,
        account: &AccountId,
        id: AdjustmentId,
        kind: AdjustmentKind,
        symbol: Option<&VenueSymbol>,
    ) -> Option<Adjustment> {
        let venue = self.setup.accounts.get(account)?.venue.clone();
        Some(Adjustment {
            id,
            kind,
            account: account.clone(),
            venue,
            symbol: symbol.cloned(),
            terms: symbol.and_then(|symbol| self.terms(account, symbol)),
            asset: None,
            fee_asset: None,
            price: None,
            shares: Vec::new(),
            reason: String::new(),
            at: self.now.wall,
        })
    }

    pub(super) fn instrument_on(&self, account: &AccountId, symbol: &VenueSymbol) -> Option<&Instrument> {
        self.setup.venues.get(&self.setup.accounts.get(account)?.venue)?.instruments.get(symbol)
    }

    /// What the ledger must know of an instrument.
    pub(super) fn terms(&self, account: &AccountId, symbol: &VenueSymbol) -> Option<Terms> {
        let instrument = self.instrument_on(account, symbol)?;
        Some(Terms::of(instrument, self.setup.assets.resolve(&instrument.base).0))
    }

    pub(super) fn venue_of(&self, account: &AccountId) -> Option<VenueId> {
        self.setup.accounts.get(account).map(|account| account.venue.clone())
    }

    /// The middle of bid and ask.
    pub(super) fn mark(&self, account: &AccountId, symbol: &VenueSymbol) -> Option<crate::model::number::Price> {
        self.live.marks.get(&(self.venue_of(account)?, symbol.clone())).copied()
    }
}
