//! What happens to an account without its owner's program: deposits, a trade by another hand, a liquidation.

use omnivenue_core::model::ids::{AccountId, Asset, MovementId, VenueSymbol};
use omnivenue_core::model::instrument::Side;
use omnivenue_core::model::movement::{FillCause, Movement, MovementKind};
use omnivenue_core::model::number::{Amount, Quantity};
use omnivenue_core::model::order::{FillReport, OrderReport};
use omnivenue_core::model::time::Timestamp;

use crate::books::Trade;
use crate::exchange::{Exchange, unknown_account};
use crate::rules::Refused;
use crate::state::Change;
use crate::wire::{PlaceOrder, Refusal, RefusalCode};

impl Exchange {
    /// Moves money into an account (positive) or out of it, whatever it then can carry.
    ///
    /// # Errors
    /// [`RefusalCode::UnknownAccount`]; [`RefusalCode::BadQuantity`] when the balance does not fit.
    pub fn move_money(
        &mut self,
        now: Timestamp,
        account: &AccountId,
        asset: &Asset,
        amount: Amount,
        (kind, symbol): (MovementKind, Option<&VenueSymbol>),
    ) -> Result<Movement, Refusal> {
        let refusal = |(code, message): Refused| Refusal { code, message, at: now };
        let state = self.state.account(account).ok_or_else(|| refusal(unknown_account(account)))?;
        let total = state.truth.balance(asset).plus(amount).map_err(|e| refusal((RefusalCode::BadQuantity, e.to_string())))?;
        let id = MovementId::new(&format!("m{}", self.state.movements() + 1)).expect("a letter and digits make a name");
        let movement = Movement { id, kind, asset: asset.clone(), amount, symbol: symbol.cloned(), at: now };
        self.state.record(Change::Moved { account: account.clone(), movement: movement.clone() });
        self.state.record(Change::Balance { account: account.clone(), asset: asset.clone(), total });
        Ok(movement)
    }

    /// Trades at the market by another hand, without asking whether the account can carry it.
    ///
    /// # Errors
    /// [`RefusalCode::UnknownAccount`], [`RefusalCode::UnknownSymbol`] or [`RefusalCode::NoPrice`].
    pub fn trade_by_hand(
        &mut self,
        now: Timestamp,
        account: &AccountId,
        symbol: &VenueSymbol,
        side: Side,
        quantity: Quantity,
    ) -> Result<OrderReport, Refusal> {
        let refusal = |code, message: &str| Refusal { code, message: message.to_owned(), at: now };
        let leverage = self.known(now, account)?.truth.position(symbol).leverage;
        let instrument = self.market.instrument(symbol).ok_or_else(|| refusal(RefusalCode::UnknownSymbol, "it is not traded here"))?;
        let worst_price = if side.is_buy() { instrument.max_price.to_string() } else { "0.00000001".to_owned() };
        self.market.quote(symbol, now).ok_or_else(|| refusal(RefusalCode::NoPrice, "it has no price at present"))?;
        let place: PlaceOrder = serde_json::from_value(serde_json::json!({
            "client_order_id": format!("hand{}", self.state.next_order()),
            "timestamp": now,
            "symbol": symbol,
            "side": side,
            "quantity": quantity,
            "order": { "type": "market" },
            "worst_price": worst_price,
            "leverage": leverage,
            "reduce_only": false,
        }))
        .map_err(|error| refusal(RefusalCode::Malformed, &error.to_string()))?;
        let wire = place.to_wire();
        Ok(self.accept(now, account, &place, &wire, &mut |_| false))
    }

    /// Closes a position in a contract by force, all of it unless a quantity is given, at the price at which positions are valued and at the
    /// fee of an order that takes liquidity. The trade has no order that anybody placed.
    ///
    /// # Errors
    /// [`RefusalCode::ReduceOnly`] when nothing is held; those of [`Exchange::trade_by_hand`].
    pub fn force(
        &mut self,
        now: Timestamp,
        account: &AccountId,
        symbol: &VenueSymbol,
        quantity: Option<Quantity>,
        cause: FillCause,
    ) -> Result<FillReport, Refusal> {
        let refusal = |code, message: &str| Refusal { code, message: message.to_owned(), at: now };
        let held = self.known(now, account)?.truth.position(symbol);
        let instrument = self.market.instrument(symbol).cloned();
        let instrument = instrument.filter(|instrument| instrument.market.is_margined());
        let instrument = instrument.ok_or_else(|| refusal(RefusalCode::UnknownSymbol, "it is no contract that is traded here"))?;
        let price = self.market.mark(symbol, now).ok_or_else(|| refusal(RefusalCode::NoPrice, "it has no price at present"))?;
        let quantity = quantity.unwrap_or(held.quantity.magnitude()).min(held.quantity.magnitude());
        if quantity.is_zero() {
            return Err(refusal(RefusalCode::ReduceOnly, "nothing is held"));
        }
        let side = if held.quantity.is_long() { Side::Sell } else { Side::Buy };
        let trade = Trade { side, price, quantity, fee_rate: instrument.taker_fee, leverage: held.leverage };
        let books = self.known(now, account)?.truth.book(&instrument, trade);
        let books = books.map_err(|error| refusal(RefusalCode::BadQuantity, &error.to_string()))?;
        let trade_id = self.state.next_trade();
        let fill = FillReport {
            venue_order_id: format!("forced-{trade_id}").parse().expect("letters and digits make a name"),
            trade_id,
            client_order_id: None,
            symbol: symbol.clone(),
            side,
            price,
            quantity,
            fee: books.fee.clone(),
            at: now,
            cause: Some(cause),
        };
        self.state.record(Change::Fill { account: account.clone(), fill: fill.clone() });
        for (asset, total) in books.balances {
            self.state.record(Change::Balance { account: account.clone(), asset, total });
        }
        if let Some(position) = books.position {
            self.state.record(Change::Position { account: account.clone(), symbol: symbol.clone(), position });
        }
        Ok(fill)
    }
}
