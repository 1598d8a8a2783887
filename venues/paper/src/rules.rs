//! Which orders the exchange looks at: form, nonce, window, tick, lot, minimums, leverage. Pure.

use std::time::Duration;

use omnivenue_core::model::contract::Contract;
use omnivenue_core::model::instrument::Instrument;
use omnivenue_core::model::number::{Notional, Price};
use omnivenue_core::model::signal::{OrderType, TimeInForce};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Absence, NonceRule, OrderCapabilities};

use crate::contracts;
use crate::triggers;
use crate::wire::{PlaceOrder, RefusalCode};

/// A refusal without its time.
pub(crate) type Refused = (RefusalCode, String);

const DAY: Duration = Duration::from_secs(86_400);

/// What the exchange's kind demands of every order, whatever its instrument. `arrived` is by the exchange's clock.
pub(crate) fn check_form(place: &PlaceOrder, orders: &OrderCapabilities, arrived: Timestamp) -> Result<(), Refused> {
    check_nonce(place, orders.nonce, arrived)?;
    check_window(place, orders.absence, arrived)?;
    if place.reduce_only && !orders.reduce_only {
        return Err((RefusalCode::Unsupported, "reduce-only orders are not supported here".into()));
    }
    if matches!(place.order, OrderType::Limit { time_in_force: TimeInForce::Fok, .. }) && !orders.fill_or_kill {
        return Err((RefusalCode::Unsupported, "fill-or-kill orders are not supported here".into()));
    }
    if matches!(place.order, OrderType::Limit { post_only: true, .. }) && !orders.post_only {
        return Err((RefusalCode::Unsupported, "post-only orders are not supported here".into()));
    }
    if let OrderType::Limit { post_only: true, time_in_force: TimeInForce::Ioc | TimeInForce::Fok, .. } = place.order {
        return Err((RefusalCode::Malformed, "a post-only order must be good till canceled".into()));
    }
    Ok(())
}

fn check_nonce(place: &PlaceOrder, rule: NonceRule, arrived: Timestamp) -> Result<(), Refused> {
    let wrong = |message: String| Err((RefusalCode::BadNonce, message));
    match (rule, place.nonce) {
        (NonceRule::None, None) => Ok(()),
        (NonceRule::None, Some(nonce)) => wrong(format!("nonce {nonce} is given, but none is used here")),
        (NonceRule::Milliseconds, None) => wrong("nonce is missing, but must be the time in milliseconds".into()),
        (NonceRule::Milliseconds, Some(nonce)) => {
            let time = Timestamp::from_millis(i64::try_from(nonce).unwrap_or(i64::MAX));
            if arrived.since(time) > DAY * 2 || time.since(arrived) > DAY {
                return wrong(format!("nonce {nonce} is not within two days before and one day after {}", arrived.as_millis()));
            }
            Ok(())
        }
    }
}

fn check_window(place: &PlaceOrder, absence: Absence, arrived: Timestamp) -> Result<(), Refused> {
    match (absence, place.deadline) {
        (Absence::Window { length, margin }, Some(deadline)) => {
            if arrived > deadline {
                return Err((RefusalCode::Expired, format!("arrived at {arrived}, after its deadline {deadline}")));
            }
            if deadline > arrived.after(length).after(margin) {
                return Err((RefusalCode::Malformed, format!("deadline {deadline} is further than the window after {arrived}")));
            }
            Ok(())
        }
        (Absence::Window { .. }, None) => Err((RefusalCode::Malformed, "deadline is missing".into())),
        (Absence::Burn | Absence::Never, Some(deadline)) => {
            Err((RefusalCode::Malformed, format!("deadline {deadline} is given, but orders do not expire here")))
        }
        (Absence::Burn | Absence::Never, None) => Ok(()),
    }
}

/// What the instrument demands, apart from the smallest notional, which needs the price of the moment.
pub(crate) fn check_numbers(place: &PlaceOrder, instrument: &Instrument) -> Result<(), Refused> {
    let limit = match place.order {
        OrderType::Limit { price, .. } => Some(price),
        OrderType::Market => None,
    };
    for price in limit.into_iter().chain([place.worst_price]).chain(triggers::prices(place)) {
        check_price(price, instrument)?;
    }
    let quantity = place.quantity;
    if quantity > instrument.max_quantity || quantity < instrument.min_quantity || quantity.is_zero() {
        let fits = format!("between {} and {}", instrument.min_quantity.max(instrument.lot_size), instrument.max_quantity);
        return Err((RefusalCode::BadQuantity, format!("quantity {quantity} must be {fits}")));
    }
    if instrument.floor_quantity(quantity) != quantity {
        let message = format!("quantity {quantity} must be a multiple of the lot size {}", instrument.lot_size);
        return Err((RefusalCode::BadQuantity, message));
    }
    if place.leverage > instrument.max_leverage {
        let message = format!("leverage {} must be at most {}", place.leverage, instrument.max_leverage);
        return Err((RefusalCode::BadLeverage, message));
    }
    Ok(())
}

fn check_price(price: Price, instrument: &Instrument) -> Result<(), Refused> {
    if price > instrument.max_price || !instrument.price_rule.allows(price) {
        let message = format!("price {price} must be on the price rule of {} and at most {}", instrument.symbol, instrument.max_price);
        return Err((RefusalCode::BadPrice, message));
    }
    Ok(())
}

/// The smallest order, at the price at which it would trade or rest.
pub(crate) fn check_notional(place: &PlaceOrder, instrument: &Instrument, price: Price) -> Result<(), Refused> {
    let (notional, currency) = match instrument.contract {
        Contract::Linear => (price.notional(place.quantity), &instrument.quote),
        // It is a number of quote units in size, whatever the price.
        Contract::Inverse { .. } => (Notional::new(place.quantity.decimal()), &instrument.quote),
        Contract::Quanto { .. } => (contracts::worth(instrument, place.quantity, price), &instrument.settle),
    };
    let notional = notional.map_err(|e| (RefusalCode::BadQuantity, e.to_string()))?;
    if !place.reduce_only && notional < instrument.min_notional {
        let message = format!("notional {notional} must be at least {} {currency}", instrument.min_notional);
        return Err((RefusalCode::MinNotional, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use omnivenue_core::model::instrument::Side;

    use super::*;
    use crate::config::Config;

    /// A valid order for an exchange, at time zero.
    fn order(config: &Config, id: &str) -> PlaceOrder {
        let spec = config.instruments.iter().find(|spec| spec.base.as_str() == "HYPE").unwrap();
        let deadline = match config.orders.absence {
            Absence::Window { length, .. } => Some(Timestamp::EPOCH.after(length)),
            Absence::Burn | Absence::Never => None,
        };
        PlaceOrder {
            client_order_id: id.parse().unwrap(),
            nonce: (config.orders.nonce == NonceRule::Milliseconds)
                .then(|| crate::random::mix(id.len() as u64 + u64::from(id.as_bytes()[0])) % 86_400_000),
            timestamp: Timestamp::EPOCH,
            deadline,
            symbol: spec.symbol.clone(),
            side: Side::Buy,
            quantity: "1".parse().unwrap(),
            order: OrderType::Market,
            worst_price: "40".parse().unwrap(),
            leverage: "1".parse().unwrap(),
            reduce_only: false,
            trigger: None,
            attached: Vec::new(),
        }
    }

    fn check(config: &Config, change: impl FnOnce(&mut PlaceOrder), at_seconds: u64, expected: Option<RefusalCode>) {
        let mut place = order(config, "a");
        change(&mut place);
        let instruments = config.check().unwrap();
        let instrument = &instruments[&place.symbol];
        let arrived = Timestamp::EPOCH.after(Duration::from_secs(at_seconds));
        let result = check_form(&place, &config.orders, arrived)
            .and_then(|()| check_numbers(&place, instrument))
            .and_then(|()| check_notional(&place, instrument, "38".parse().unwrap()));
        assert_eq!(result.err().map(|(code, _)| code), expected, "{place:?}");
    }

    #[test]
    fn perpetuals_with_nonces() {
        let config = Config::hyperliquid_like();
        check(&config, |_| (), 0, None);
        check(&config, |o| o.nonce = None, 0, Some(RefusalCode::BadNonce));
        check(&config, |o| o.nonce = Some(0), 3 * 86_400, Some(RefusalCode::BadNonce));
        check(&config, |o| o.nonce = Some(2 * 86_400_000), 0, Some(RefusalCode::BadNonce));
        check(&config, |o| o.deadline = Some(Timestamp::EPOCH), 0, Some(RefusalCode::Malformed));
        check(&config, |o| o.quantity = "0.015".parse().unwrap(), 0, Some(RefusalCode::BadQuantity));
        check(&config, |o| o.quantity = "0".parse().unwrap(), 0, Some(RefusalCode::BadQuantity));
        check(&config, |o| o.quantity = "10000000.01".parse().unwrap(), 0, Some(RefusalCode::BadQuantity));
        check(&config, |o| o.quantity = "0.26".parse().unwrap(), 0, Some(RefusalCode::MinNotional));
        check(&config, |o| (o.quantity, o.reduce_only) = ("0.26".parse().unwrap(), true), 0, None);
        check(&config, |o| o.worst_price = "38.1234".parse().unwrap(), 0, Some(RefusalCode::BadPrice));
        check(&config, |o| o.worst_price = "100001".parse().unwrap(), 0, Some(RefusalCode::BadPrice));
        check(&config, |o| o.leverage = "11".parse().unwrap(), 0, Some(RefusalCode::BadLeverage));
        let limit = |price: &str, time_in_force, post_only| OrderType::Limit { price: price.parse().unwrap(), time_in_force, post_only };
        check(&config, |o| o.order = limit("38.12345", TimeInForce::Gtc, false), 0, Some(RefusalCode::BadPrice));
        check(&config, |o| o.order = limit("38", TimeInForce::Ioc, true), 0, Some(RefusalCode::Malformed));
    }

    #[test]
    fn requests_that_expire() {
        let config = Config::ostium_like();
        check(&config, |_| (), 5, None);
        check(&config, |_| (), 6, Some(RefusalCode::Expired));
        check(&config, |o| o.deadline = None, 0, Some(RefusalCode::Malformed));
        check(&config, |o| o.deadline = Some(Timestamp::from_millis(7_001)), 0, Some(RefusalCode::Malformed));
        check(&config, |o| o.nonce = Some(1), 0, Some(RefusalCode::BadNonce));
        check(&Config::spot_like(), |o| o.reduce_only = true, 0, Some(RefusalCode::Unsupported));
    }
}
