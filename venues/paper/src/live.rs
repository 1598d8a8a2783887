//! The price of an instrument as a real venue last quoted it.

use std::time::Duration;

use omnivenue_core::model::number::Price;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::Quote;

/// The last quote of a real venue, and how long it holds.
#[derive(Debug, Clone)]
pub(crate) struct LivePrice {
    holds_for: Duration,
    last: Option<Quote>,
}

impl LivePrice {
    /// No quote yet.
    pub(crate) const fn new(holds_for: Duration) -> Self {
        Self { holds_for, last: None }
    }

    /// Takes a quote that has come in at `now`. One that was made before the last one, came too late or is crossed changes nothing.
    ///
    /// A quote from the future was made now: the venue's clock may be ahead of ours, and must not make its quotes hold longer.
    /// A middle, which has no bid and ask of its own, never replaces those that it lies between: it says that they still hold.
    pub(crate) fn take(&mut self, quote: Quote, now: Timestamp) -> bool {
        let quote = Quote { at: quote.at.min(now), ..quote };
        let late = now.since(quote.at) > self.holds_for || self.last.as_ref().is_some_and(|last| quote.at < last.at);
        if late || quote.bid > quote.ask {
            return false;
        }
        let within = |last: &&Quote| quote.bid == quote.ask && last.bid <= quote.bid && quote.bid <= last.ask && last.bid < last.ask;
        if let Some(last) = self.quote(now).filter(within).cloned() {
            self.last = Some(Quote { at: quote.at, ..last });
            return false;
        }
        self.last = Some(quote);
        true
    }

    /// The last quote, while it holds.
    pub(crate) fn quote(&self, now: Timestamp) -> Option<&Quote> {
        self.last.as_ref().filter(|quote| now.since(quote.at) <= self.holds_for)
    }

    /// The middle of the last quote, however old.
    pub(crate) fn mark(&self) -> Option<Price> {
        self.last.as_ref().map(Quote::middle)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::EPOCH.after(Duration::from_millis(millis))
    }

    fn quote(bid: u32, ask: u32, millis: u64) -> Quote {
        let price = |price: u32| price.to_string().parse().unwrap();
        Quote { symbol: "HYPE".parse().unwrap(), bid: price(bid), ask: price(ask), at: at(millis), depth: Default::default() }
    }

    #[test]
    fn a_quote_holds_as_long_as_it_is_told_and_its_middle_for_ever() {
        let mut live = LivePrice::new(Duration::from_secs(10));
        assert_eq!((live.quote(at(0)), live.mark()), (None, None), "before the first quote there is no price");
        assert!(live.take(quote(37, 39, 1000), at(1500)));
        assert_eq!(live.quote(at(11_000)), Some(&quote(37, 39, 1000)));
        assert_eq!(live.quote(at(11_001)), None);
        assert_eq!(live.mark().unwrap().to_string(), "38");
    }

    #[test]
    fn late_and_crossed_quotes_change_nothing() {
        let mut live = LivePrice::new(Duration::from_secs(10));
        assert!(live.take(quote(37, 39, 5000), at(5000)));
        assert!(!live.take(quote(1, 2, 4999), at(5001)), "it was overtaken");
        assert!(!live.take(quote(40, 39, 6000), at(6000)), "it is crossed");
        assert!(!live.take(quote(1, 2, 7000), at(17_001)), "it was too old when it came");
        assert_eq!(live.mark().unwrap().to_string(), "38");
        assert!(live.take(quote(40, 40, 9000), at(9000)), "a locked market is one");
    }

    #[test]
    fn a_clock_ahead_of_ours_makes_no_quote_hold_longer() {
        let mut live = LivePrice::new(Duration::from_secs(10));
        assert!(live.take(quote(37, 39, 3_600_000), at(1000)));
        assert_eq!(live.quote(at(11_001)), None);
        assert!(live.take(quote(38, 40, 2000), at(2000)), "and stops no later one once it is set right");
    }

    #[test]
    fn a_middle_keeps_the_bid_and_ask_that_it_lies_between() {
        let mut live = LivePrice::new(Duration::from_secs(10));
        assert!(live.take(quote(38, 38, 0), at(0)), "without a bid and ask it is all there is");
        assert!(live.take(quote(37, 39, 1000), at(1000)));
        assert!(!live.take(quote(38, 38, 9000), at(9000)), "nothing new");
        assert_eq!(live.quote(at(19_000)), Some(&quote(37, 39, 9000)), "but they hold on");
        assert!(live.take(quote(40, 40, 10_000), at(10_000)), "the market has left them");
        assert!(live.take(quote(37, 39, 11_000), at(11_000)));
        assert!(live.take(quote(38, 38, 22_000), at(22_000)), "they were too old to be held on to");
    }

    proptest! {
        #[test]
        fn whatever_comes_in_what_is_quoted_was_given_and_is_young(
            given in prop::collection::vec((1_u32..50, 1_u32..50, 0_u64..60_000, 0_u64..3000), 1..40),
            holds_ms in 1_u64..20_000,
        ) {
            let mut live = LivePrice::new(Duration::from_millis(holds_ms));
            let mut now = 0;
            let mut newest = 0;
            for (bid, ask, made, pause) in &given {
                now += pause;
                live.take(quote(*bid, *ask, *made), at(now));
                if let Some(found) = live.quote(at(now)) {
                    prop_assert!(found.bid <= found.ask);
                    prop_assert!(found.at <= at(now) && at(now).since(found.at) <= Duration::from_millis(holds_ms));
                    prop_assert!(found.at >= at(newest), "it never goes back");
                    let of = |q: &(u32, u32, u64, u64)| quote(q.0, q.1, 0);
                    prop_assert!(given.iter().any(|q| of(q).bid == found.bid && of(q).ask == found.ask));
                    newest = u64::try_from(found.at.as_millis()).unwrap();
                }
            }
        }
    }
}
