//! From the engine's orders to the exchange's. Pure.

use omnivenue_core::model::exit::{Trigger, trigger_price};
use omnivenue_core::model::instrument::{Instrument, Side};
use omnivenue_core::model::number::Price;
use omnivenue_core::model::order::{AttachedExit, OrderRequest};
use omnivenue_core::model::signal::Direction;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Absence, Capabilities, ErrorKind, NonceRule, Ticket};

use crate::errors::kind;
use crate::triggers;
use crate::wire::PlaceOrder;

/// Why there is no such order.
pub(crate) type NoOrder = (ErrorKind, String);

/// The order as the exchange takes it. Worst prices are rounded to the price rule, never for the worse; triggers toward the entry.
///
/// # Errors
/// A sentence that says why there is no such order, and its kind: [`ErrorKind::Unsupported`] for exits that the venue does not have.
pub(crate) fn place_order(
    request: &OrderRequest,
    ticket: &Ticket,
    capabilities: &Capabilities,
    instrument: &Instrument,
) -> Result<PlaceOrder, NoOrder> {
    let invalid = |message: String| (ErrorKind::InvalidRequest, message);
    let orders = &capabilities.orders;
    let nonce = match (orders.nonce, ticket.nonce) {
        (NonceRule::None, _) => None,
        (NonceRule::Milliseconds, Some(nonce)) => Some(nonce),
        (NonceRule::Milliseconds, None) => {
            return Err(invalid("the ticket has no nonce, but this venue wants one".into()));
        }
    };
    let worst_price = worst_price(instrument, request.worst_price, request.side).map_err(invalid)?;
    let trigger = request.trigger.map(|trigger| admitted(instrument, trigger, request.side)).transpose().map_err(invalid)?;
    let place = PlaceOrder {
        client_order_id: ticket.client_order_id.clone(),
        nonce,
        timestamp: ticket.now,
        deadline: deadline(orders.absence, ticket.now),
        symbol: request.symbol.clone(),
        side: request.side,
        quantity: request.quantity,
        order: request.order,
        worst_price,
        leverage: request.leverage,
        reduce_only: request.reduce_only,
        trigger,
        attached: request
            .attached
            .iter()
            .map(|exit| attached(instrument, exit, request.side))
            .collect::<Result<_, _>>()
            .map_err(invalid)?,
    };
    triggers::check_exits(&place, capabilities.exits.as_ref()).map_err(|(code, message)| (kind(code), message))?;
    if request.reduce_only && !orders.reduce_only {
        return Err(invalid("this venue has no reduce-only orders".into()));
    }
    Ok(place)
}

fn worst_price(instrument: &Instrument, price: Price, side: Side) -> Result<Price, String> {
    let none = || format!("worst price {price} has no valid price of {} at or inside it", instrument.symbol);
    instrument.limit_price(price, side).ok_or_else(none)
}

/// A trigger on the price rule, of an order to `side`: what sells closes a long position.
fn admitted(instrument: &Instrument, trigger: Trigger, side: Side) -> Result<Trigger, String> {
    let direction = if side.is_buy() { Direction::Short } else { Direction::Long };
    let none = || format!("trigger {} has no valid price of {} beside it", trigger.price, instrument.symbol);
    let price = trigger_price(instrument, trigger.price, trigger.kind, direction).ok_or_else(none)?;
    Ok(Trigger { price, ..trigger })
}

fn attached(instrument: &Instrument, exit: &AttachedExit, entry: Side) -> Result<AttachedExit, String> {
    let side = entry.opposite();
    Ok(AttachedExit {
        client_order_id: exit.client_order_id.clone(),
        trigger: admitted(instrument, exit.trigger, side)?,
        worst_price: worst_price(instrument, exit.worst_price, side)?,
    })
}

fn deadline(absence: Absence, now: Timestamp) -> Option<Timestamp> {
    match absence {
        Absence::Window { length, .. } => Some(now.after(length)),
        Absence::Burn | Absence::Never => None,
    }
}

#[cfg(test)]
mod tests {
    use omnivenue_core::model::exit::ExitKind;
    use omnivenue_core::model::instrument::Market;
    use omnivenue_core::model::order::Purpose;
    use omnivenue_core::model::signal::OrderType;

    use super::*;
    use crate::config::Config;

    fn request(symbol: &str) -> OrderRequest {
        OrderRequest {
            account: "a".parse().unwrap(),
            symbol: symbol.parse().unwrap(),
            market: Market::Perp,
            side: Side::Buy,
            quantity: "1".parse().unwrap(),
            order: OrderType::Market,
            worst_price: "38.123456".parse().unwrap(),
            leverage: "2".parse().unwrap(),
            purpose: Purpose::Entry,
            reduce_only: false,
            trigger: None,
            attached: Vec::new(),
        }
    }

    fn convert(config: &Config, request: &OrderRequest, nonce: Option<u64>) -> Result<PlaceOrder, NoOrder> {
        let ticket = Ticket { client_order_id: "x1".parse().unwrap(), nonce, now: Timestamp::from_millis(1000) };
        place_order(request, &ticket, &config.capabilities(), &config.check().unwrap()[&request.symbol])
    }

    #[test]
    fn the_text_is_canonical_and_no_price_gets_worse() {
        let config = Config::hyperliquid_like();
        let buy = convert(&config, &request("HYPE"), Some(1000)).unwrap();
        assert_eq!(
            buy.to_wire(),
            r#"{"client_order_id":"x1","nonce":1000,"timestamp":"1970-01-01T00:00:01Z","symbol":"HYPE","side":"buy","quantity":"1","order":{"type":"market"},"worst_price":"38.123","leverage":"2","reduce_only":false}"#
        );
        assert_eq!(serde_json::from_str::<PlaceOrder>(&buy.to_wire()).unwrap(), buy);
        let sell = convert(&config, &OrderRequest { side: Side::Sell, ..request("HYPE") }, Some(1000)).unwrap();
        assert_eq!(sell.worst_price.to_string(), "38.124");
        assert!(convert(&config, &request("HYPE"), None).unwrap_err().1.contains("no nonce"));
    }

    #[test]
    fn exits_are_in_the_same_text_on_the_price_rule() {
        let config = Config::hyperliquid_like();
        let trigger = |kind, price: &str| Trigger { kind, price: price.parse().unwrap() };
        let exit = |name: &str, kind, price: &str| AttachedExit {
            client_order_id: name.parse().unwrap(),
            trigger: trigger(kind, price),
            worst_price: "35.00001".parse().unwrap(),
        };
        let attached = vec![exit("s1", ExitKind::StopLoss, "36.99991"), exit("t1", ExitKind::TakeProfit, "40.00009")];
        let wire = convert(&config, &OrderRequest { attached, ..request("HYPE") }, Some(1)).unwrap().to_wire();
        let told = r#""reduce_only":false,"attached":[{"client_order_id":"s1","trigger":{"kind":"stop_loss","price":"37"},"worst_price":"35.001"},{"client_order_id":"t1","trigger":{"kind":"take_profit","price":"40"},"worst_price":"35.001"}]}"#;
        assert!(wire.ends_with(told), "toward the entry, and never for the worse: {wire}");
        let stop = OrderRequest {
            purpose: Purpose::Protect,
            side: Side::Sell,
            reduce_only: true,
            trigger: Some(trigger(ExitKind::StopLoss, "36.99991")),
            ..request("HYPE")
        };
        let told = r#""reduce_only":true,"trigger":{"kind":"stop_loss","price":"37"}}"#;
        assert!(convert(&config, &stop, Some(1)).unwrap().to_wire().ends_with(told));
        let loose = OrderRequest { reduce_only: false, ..stop };
        assert_eq!(convert(&config, &loose, Some(1)).unwrap_err().0, ErrorKind::InvalidRequest);
    }

    #[test]
    fn exits_that_a_venue_lacks_are_refused_before_the_wire() {
        let check = |config: &Config, symbol: &str, travels: bool, words: &str| {
            let trigger = Trigger { kind: ExitKind::StopLoss, price: "37".parse().unwrap() };
            let exit = AttachedExit { client_order_id: "s1".parse().unwrap(), trigger, worst_price: "35".parse().unwrap() };
            let asked = if travels {
                OrderRequest { attached: vec![exit], ..request(symbol) }
            } else {
                OrderRequest { side: Side::Sell, reduce_only: true, trigger: Some(trigger), ..request(symbol) }
            };
            let (kind, message) = convert(config, &asked, Some(1)).unwrap_err();
            assert_eq!(kind, ErrorKind::Unsupported);
            assert!(message.contains(words), "{message}");
        };
        check(&Config { exits: None, ..Config::hyperliquid_like() }, "HYPE", false, "stop losses that wait");
        check(&Config { exits: None, ..Config::hyperliquid_like() }, "HYPE", true, "stop losses that wait");
        check(&Config::ostium_like(), "HYPE-USD", true, "place each by itself");
        check(&Config::spot_like(), "HYPE/USDC", false, "stop losses that wait");
        let mut loose = Config::hyperliquid_like();
        loose.orders.reduce_only = false;
        check(&loose, "HYPE", false, "stop losses that wait");
    }

    #[test]
    fn a_window_gives_a_deadline() {
        let place = convert(&Config::ostium_like(), &request("HYPE-USD"), Some(1)).unwrap();
        assert_eq!((place.deadline, place.nonce), (Some(Timestamp::from_millis(6000)), None));
        let reducing = OrderRequest { reduce_only: true, ..request("HYPE/USDC") };
        assert!(convert(&Config::spot_like(), &reducing, None).unwrap_err().1.contains("no reduce-only"));
    }
}
