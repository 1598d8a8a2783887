//! Lists that several questions share. After a crash many orders are asked for at once, and each would fetch the same long lists: that alone
//! would use up the budget of requests, and nothing would ever be known.

use std::sync::Arc;

use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::VenueError;
use omnivenue_kit::clock::Monotonic;
use tokio::sync::Mutex;

use crate::probe::Trades;
use crate::wire;

/// The orders of an account, as two lists that were asked for one after the other.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) open: Vec<wire::Order>,
    pub(crate) past: Vec<wire::OrderState>,
}

/// A list, when it was asked for, and from when on it tells.
#[derive(Debug)]
struct Told<T> {
    asked: Monotonic,
    since: Timestamp,
    list: Arc<T>,
}

/// The latest list of a kind. Whoever asks gets one that was asked for after he asked: what he knows by then is in it.
#[derive(Debug)]
pub(crate) struct Shared<T>(Mutex<Option<Told<T>>>);

impl<T> Shared<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// A list that tells from `since` on: one that somebody else has asked for meanwhile, or what `ask` brings.
    pub(crate) async fn get(&self, since: Timestamp, ask: impl AsyncFnOnce() -> Result<T, VenueError>) -> Result<Arc<T>, VenueError> {
        let wanted = Monotonic::now();
        // Whoever holds it is asking; those who wait take what he brings.
        let mut told = self.0.lock().await;
        if let Some(told) = told.as_ref().filter(|told| told.asked >= wanted && told.since <= since) {
            return Ok(Arc::clone(&told.list));
        }
        let asked = Monotonic::now();
        let list = Arc::new(ask().await?);
        *told = Some(Told { asked, since, list: Arc::clone(&list) });
        Ok(list)
    }
}

/// What an account shares.
#[derive(Debug)]
pub(crate) struct Lists {
    pub(crate) orders: Shared<Orders>,
    pub(crate) trades: Shared<Trades>,
}

impl Lists {
    pub(crate) fn new() -> Self {
        Self { orders: Shared::new(), trades: Shared::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn those_who_ask_at_once_are_told_once_and_never_what_is_older_than_their_question() {
        let (shared, asked) = (Shared::new(), Cell::new(0));
        let ask = async || {
            asked.set(asked.get() + 1);
            let list = asked.get();
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(list)
        };
        let at = |seconds: u64| Timestamp::EPOCH.after(Duration::from_secs(seconds));
        let later = async |since: Timestamp| {
            tokio::time::sleep(Duration::from_millis(5)).await;
            *shared.get(since, ask).await.unwrap()
        };
        let (first, second, third) = tokio::join!(shared.get(at(5), ask), later(at(5)), later(at(7)));
        // The first was under way when the others asked; they share the second.
        assert_eq!((*first.unwrap(), second, third, asked.get()), (1, 2, 2, 2));
        assert_eq!(later(at(5)).await, 3, "what was told before the question is no answer to it");
        let (_, more, further) = tokio::join!(later(at(9)), later(at(9)), later(at(8)));
        assert_eq!((more, further, asked.get()), (4, 5, 5), "a list that begins later leaves something out");
    }
}
