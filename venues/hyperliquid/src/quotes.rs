//! Quotes: the middle of every book from one subscription, and the best prices of the coins that are traded.
//!
//! `allMids` is one cheap message for everything; it has no bid and no ask, so both are the middle. Best prices (`bbo`) cost a subscription a coin,
//! of which one IP address has 1000 and many clients; they are followed for the coins this process has made orders for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use omnivenue_core::model::ids::VenueSymbol;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Depth, Operation, PriceLevel, Quote, Sink, VenueError};
use omnivenue_kit::stream::{Event, Frame, Session, SessionConfig, Subscription};

use crate::convert::{self, Listing};
use crate::frames::{self, Channel};
use crate::venue::Hyperliquid;
use crate::wire;

/// The venue sends the middles of all books about once a second; silence for so long is a fault.
const STALE_AFTER: Duration = Duration::from_secs(60);
/// How long further coins are waited for before a new connection takes over.
const GATHER: Duration = Duration::from_millis(200);
const MIDS: &str = "allMids";

/// What the stream tells.
#[derive(Debug)]
enum Prices {
    Mids(wire::AllMids),
    Best(wire::BestPrices),
    Unreadable(String),
}

/// The quotes of all listed instruments that have one.
pub(crate) fn of_mids(mids: &wire::AllMids, listings: &BTreeMap<VenueSymbol, Listing>, at: Timestamp) -> Vec<Quote> {
    let listed = listings.keys().filter_map(|symbol| Some((symbol, mids.get(symbol.as_str())?)));
    listed.filter_map(|(symbol, mid)| convert::quote(symbol.as_str(), mid, mid, at)).collect()
}

fn of_best(best: &wire::BestPrices) -> Option<Quote> {
    let [Some(bid), Some(ask)] = &best.bbo else { return None };
    let quote = convert::quote(&best.coin, &bid.px, &ask.px, Timestamp::from_millis(best.time))?;
    let level = |price, level: &wire::Level| level.sz.parse().ok().map(|quantity| PriceLevel { price, quantity }).into_iter().collect();
    let depth = Depth { bids: level(quote.bid, bid), asks: level(quote.ask, ask), top_only: true };
    Some(Quote { depth, ..quote })
}

fn best_key(coin: &str) -> String {
    format!("bbo:{coin}")
}

fn read(channel: &Channel<'_>) -> Frame<Prices> {
    match channel.name {
        "allMids" => Frame::Data(MIDS.to_owned(), channel.read(|frame: wire::MidsFrame| Prices::Mids(frame.mids), Prices::Unreadable)),
        "bbo" => match channel.read(Prices::Best, Prices::Unreadable) {
            Prices::Best(best) => Frame::Data(best_key(&best.coin), Prices::Best(best)),
            other => Frame::Data(MIDS.to_owned(), other),
        },
        _ => Frame::Other,
    }
}

fn subscriptions(watched: &BTreeSet<VenueSymbol>) -> Vec<Subscription> {
    let mids = Subscription::new(MIDS, frames::subscribe(&serde_json::json!({"type": "allMids"}))).stale_after(STALE_AFTER).drop_oldest();
    let best = watched.iter().map(|symbol| {
        let coin = symbol.as_str();
        Subscription::new(best_key(coin), frames::subscribe(&serde_json::json!({"type": "bbo", "coin": coin}))).drop_oldest()
    });
    std::iter::once(mids).chain(best).collect()
}

/// Delivers quotes until the connection or the sink ends. When another coin is to be watched, a new connection takes over.
pub(crate) async fn stream(venue: &Hyperliquid, sink: Sink<Quote>) -> Result<(), VenueError> {
    let failed = |error| frames::failed(venue.client(), Operation::Quotes, error);
    let _place = venue.connection(Operation::Quotes)?;
    let mut watching = venue.watched();
    loop {
        venue.connect(Operation::Quotes).await?;
        let watched = watching.borrow_and_update().clone();
        let config = SessionConfig::new(venue.config().ws());
        let mut session = Session::connect(&config, frames::Json(read), subscriptions(&watched)).await.map_err(failed)?;
        // A coin is quoted by its middle until its best prices have come once.
        let mut seen = BTreeSet::new();
        loop {
            let event = tokio::select! {
                event = session.next() => event.map_err(failed)?,
                changed = watching.changed() => match changed {
                    Ok(()) => {
                        // Coins come in groups.
                        tokio::time::sleep(GATHER).await;
                        break;
                    }
                    Err(_) => return Ok(()),
                },
            };
            let quotes = match event {
                Event::Data(data) => match data.message {
                    Prices::Mids(mids) => {
                        let at = venue.client().clock().now(data.received_at);
                        let mut quotes = of_mids(&mids, &venue.listings(), at);
                        quotes.retain(|quote| !seen.contains(&quote.symbol));
                        quotes
                    }
                    Prices::Best(best) => {
                        let quote = of_best(&best);
                        seen.extend(quote.as_ref().map(|quote| quote.symbol.clone()));
                        quote.into_iter().collect()
                    }
                    Prices::Unreadable(why) => return Err(venue.client().unreadable(Operation::Quotes, why)),
                },
                Event::Stale { key, age } => return Err(frames::stale(venue.client(), Operation::Quotes, &key, age)),
                Event::Error(words) => return Err(frames::complaint(venue.client(), Operation::Quotes, &words)),
            };
            for quote in quotes {
                // A later quote replaces one that found no room.
                if sink.try_send(quote).is_err() {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_become_quotes() {
        let frame = |text: &str| match frames::read_with(text, read) {
            Frame::Data(key, prices) => (key, prices),
            other => panic!("{other:?}"),
        };
        let (key, prices) = frame(include_str!("../fixtures/ws_all_mids.json"));
        assert!(key == MIDS && matches!(prices, Prices::Mids(mids) if mids["HYPE"] == "38.105"));
        let (key, prices) = frame(include_str!("../fixtures/ws_bbo.json"));
        let Prices::Best(best) = prices else { panic!() };
        let quote = of_best(&best).unwrap();
        assert_eq!((key.as_str(), quote.bid.to_string(), quote.ask.to_string()), ("bbo:HYPE", "38.1".into(), "38.11".into()));
        assert_eq!(quote.at, Timestamp::from_millis(1_763_640_000_000));
        assert!(quote.depth.top_only && quote.depth.asks.len() == 1, "{:?}", quote.depth);
        let (_, prices) = frame(r#"{"channel":"bbo","data":{"coin":"HYPE","time":1,"bbo":[null,{"px":"1","sz":"1","n":1}]}}"#);
        assert!(matches!(prices, Prices::Best(best) if of_best(&best).is_none()), "a book with one side has no quote");
        let (_, prices) = frame(r#"{"channel":"allMids","data":{"mids":7}}"#);
        assert!(matches!(prices, Prices::Unreadable(_)));
    }
}
