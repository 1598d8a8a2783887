//! From the engine's orders to the exchange's. Pure.

use omnivenue_core::model::instrument::Instrument;
use omnivenue_core::model::order::OrderRequest;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Absence, NonceRule, OrderCapabilities, Ticket};

use crate::wire::PlaceOrder;

/// The order as the exchange takes it. The worst price is rounded to the price rule, never for the worse.
///
/// # Errors
/// A sentence that says why there is no such order.
pub(crate) fn place_order(
    request: &OrderRequest,
    ticket: &Ticket,
    orders: &OrderCapabilities,
    instrument: &Instrument,
) -> Result<PlaceOrder, String> {
    let nonce = match (orders.nonce, ticket.nonce) {
        (NonceRule::None, _) => None,
        (NonceRule::Milliseconds, Some(nonce)) => Some(nonce),
        (NonceRule::Milliseconds, None) => {
            return Err("the ticket has no nonce, but this venue wants one".into());
        }
    };
    if request.reduce_only && !orders.reduce_only {
        return Err("this venue has no reduce-only orders".into());
    }
    let worst_price = instrument
        .limit_price(request.worst_price, request.side)
        .ok_or_else(|| format!("worst price {} has no valid price of {} at or inside it", request.worst_price, instrument.symbol))?;
    Ok(PlaceOrder {
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
    use omnivenue_core::model::instrument::{Market, Side};
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
        }
    }

    fn convert(config: &Config, request: &OrderRequest, nonce: Option<u64>) -> Result<PlaceOrder, String> {
        let ticket = Ticket { client_order_id: "x1".parse().unwrap(), nonce, now: Timestamp::from_millis(1000) };
        place_order(request, &ticket, &config.orders, &config.check().unwrap()[&request.symbol])
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
        assert!(convert(&config, &request("HYPE"), None).unwrap_err().contains("no nonce"));
    }

    #[test]
    fn a_window_gives_a_deadline() {
        let place = convert(&Config::ostium_like(), &request("HYPE-USD"), Some(1)).unwrap();
        assert_eq!((place.deadline, place.nonce), (Some(Timestamp::from_millis(6000)), None));
        let reducing = OrderRequest { reduce_only: true, ..request("HYPE/USDC") };
        assert!(convert(&Config::spot_like(), &reducing, None).unwrap_err().contains("no reduce-only"));
    }
}
