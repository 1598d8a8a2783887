//! Instruments and quotes.

use std::collections::BTreeSet;
use std::sync::Arc;

use omnivenue_core::model::instrument::{Market, Rounding};
use omnivenue_core::model::number::{Leverage, Rate};
use omnivenue_core::venue::Sink;
use tokio::time::timeout;

use crate::case::{Case, Verdict, cases, expect};
use crate::stage::{PATIENCE, Stage, is_near};

pub(super) fn cases() -> Vec<Case> {
    cases![
        instruments_are_the_venues_own_and_can_be_counted_exactly,
        every_quoted_price_is_on_the_price_rule_of_its_instrument,
        quotes_are_of_listed_instruments_each_once_and_not_crossed,
        a_price_that_moves_is_answered_and_streamed,
        a_stream_of_quotes_ends_when_nobody_listens,
    ]
}

async fn instruments_are_the_venues_own_and_can_be_counted_exactly(stage: Arc<Stage>) -> Verdict {
    let venue = stage.world.venue();
    let instruments = venue.instruments().await?;
    let symbols: BTreeSet<_> = instruments.iter().map(|instrument| &instrument.symbol).collect();
    expect(symbols.len() == instruments.len(), || "that no symbol is there twice".into())?;
    let high: Rate = "0.05".parse().map_err(|_| "a constant".to_owned())?;
    for instrument in &instruments {
        let symbol = &instrument.symbol;
        expect(instrument.venue == *venue.id(), || format!("that {symbol} is of {}, but {}", venue.id(), instrument.venue))?;
        let smallest = instrument.min_quantity;
        expect(instrument.floor_quantity(smallest) == smallest, || {
            format!("that the smallest order of {symbol}, {smallest}, is whole lots")
        })?;
        expect(instrument.taker_fee < high, || format!("a fee rate of {symbol} below {high}, but {}", instrument.taker_fee))?;
        let lent = instrument.market == Market::Spot && instrument.max_leverage != Leverage::ONE;
        expect(!lent, || format!("leverage 1 of {symbol} on spot, but {}", instrument.max_leverage))?;
        // Rounding finds a valid price on both sides of any: the rule is one that a price can be put on.
        for rounding in [Rounding::Down, Rounding::Up] {
            let price = instrument.price_rule.round(instrument.max_price, rounding);
            expect(price.is_some_and(|price| instrument.price_rule.allows(price)), || format!("a price rule of {symbol} that prices fit"))?;
        }
    }
    Ok(())
}

async fn every_quoted_price_is_on_the_price_rule_of_its_instrument(stage: Arc<Stage>) -> Verdict {
    let instruments = stage.world.venue().instruments().await?;
    for quote in stage.world.venue().quotes().await? {
        let Some(instrument) = instruments.iter().find(|instrument| instrument.symbol == quote.symbol) else { continue };
        if quote.bid == quote.ask {
            // The middle of a book is no price that anyone has asked for.
            continue;
        }
        for price in [quote.bid, quote.ask] {
            expect(instrument.price_rule.allows(price) && price <= instrument.max_price, || {
                format!("that {price} is a price of {}, whose rule is {:?}", quote.symbol, instrument.price_rule)
            })?;
        }
    }
    Ok(())
}

async fn quotes_are_of_listed_instruments_each_once_and_not_crossed(stage: Arc<Stage>) -> Verdict {
    let instruments = stage.world.venue().instruments().await?;
    let quotes = stage.world.venue().quotes().await?;
    let symbols: BTreeSet<_> = quotes.iter().map(|quote| &quote.symbol).collect();
    expect(symbols.len() == quotes.len(), || "that no instrument is quoted twice".into())?;
    for quote in &quotes {
        let listed = instruments.iter().any(|instrument| instrument.symbol == quote.symbol);
        expect(listed, || format!("that {} is quoted only if it is listed", quote.symbol))?;
        expect(quote.bid <= quote.ask, || format!("a bid at or below the ask, but {quote:?}"))?;
    }
    // An instrument without a price is said to have none by not being quoted; the one that is traded has one.
    stage.quote().await.map(|_| ())
}

async fn a_price_that_moves_is_answered_and_streamed(stage: Arc<Stage>) -> Verdict {
    let (sink, mut quotes) = Sink::bounded(1024);
    let venue = Arc::clone(stage.world.venue());
    let stream = tokio::spawn(async move { venue.stream_quotes(sink).await });
    let symbol = stage.instrument.symbol.clone();
    for percent in [102, 97] {
        let moved = stage.move_price(percent).await?;
        let hear = async {
            while let Some(quote) = quotes.recv().await {
                if quote.symbol == symbol && is_near(&quote, moved) {
                    return true;
                }
            }
            false
        };
        expect(timeout(2 * PATIENCE, hear).await == Ok(true), || format!("that the stream tells a price of {moved}"))?;
    }
    stream.abort();
    Ok(())
}

async fn a_stream_of_quotes_ends_when_nobody_listens(stage: Arc<Stage>) -> Verdict {
    let (sink, mut quotes) = Sink::bounded(1024);
    let venue = Arc::clone(stage.world.venue());
    let stream = tokio::spawn(async move { venue.stream_quotes(sink).await.is_ok() });
    let heard = timeout(2 * PATIENCE, quotes.recv()).await;
    expect(matches!(heard, Ok(Some(_))), || "a first quote".into())?;
    drop(quotes);
    stage.move_price(101).await?;
    let ended = timeout(2 * PATIENCE, stream).await;
    expect(matches!(ended, Ok(Ok(true))), || format!("that it ends well, but {ended:?}"))
}
