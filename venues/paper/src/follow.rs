//! Follows the quotes of a real venue for as long as the exchange runs: a stream that is opened again whenever it ends, and all quotes
//! asked for after each time it opened and every while, so that a quiet instrument keeps its price and nothing missed stays missed.

use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::venue::{Quote, Sink, Venue};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// Quotes that may wait to be read from the stream.
const QUEUE: usize = 1024;
/// The pause before a stream is opened again: at first, and at most; it doubles until a quote comes.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// The shortest time from one asking for all quotes to the next.
const ASK_MIN: Duration = Duration::from_millis(100);

/// What takes the quotes; `false` once nobody wants them any more.
pub(crate) trait Taker: Fn(Vec<Quote>) -> bool + Send + Sync {}

impl<T: Fn(Vec<Quote>) -> bool + Send + Sync> Taker for T {}

/// Gives every quote of `feed` to `take` until it wants no more. All quotes are asked for three times within `holds_for`.
pub(crate) async fn follow(feed: Arc<dyn Venue>, holds_for: Duration, take: impl Taker) {
    let opened = Notify::new();
    tokio::select! {
        () = listen(&*feed, &opened, &take) => {}
        () = ask(&*feed, &opened, holds_for, &take) => {}
    }
}

/// The stream, again and again.
async fn listen(feed: &dyn Venue, opened: &Notify, take: &impl Taker) {
    let mut pause = PAUSE.0;
    loop {
        let (sink, mut quotes) = Sink::bounded(QUEUE);
        let mut heard = false;
        let pass_on = async {
            let mut batch = Vec::new();
            while quotes.recv_many(&mut batch, QUEUE).await > 0 {
                if !std::mem::replace(&mut heard, true) {
                    opened.notify_one();
                }
                if !take(std::mem::take(&mut batch)) {
                    return true;
                }
            }
            false
        };
        // Whichever ends first: what the stream had delivered and was not passed on yet is asked for anyway.
        let (unwanted, ended) = tokio::select! {
            unwanted = pass_on => (unwanted, Ok(())),
            ended = feed.stream_quotes(sink) => (false, ended),
        };
        if unwanted {
            return;
        }
        if let Err(error) = ended {
            tracing::warn!(venue = %feed.id(), %error, "the stream of live quotes ended; it is opened again");
        }
        pause = if heard { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
        sleep(pause).await;
    }
}

/// All quotes, every while and whenever the stream has opened.
async fn ask(feed: &dyn Venue, opened: &Notify, holds_for: Duration, take: &impl Taker) {
    let every = (holds_for / 3).max(ASK_MIN);
    loop {
        match timeout(holds_for.max(ASK_MIN), feed.quotes()).await {
            Ok(Ok(quotes)) => {
                if !take(quotes) {
                    return;
                }
            }
            Ok(Err(error)) => tracing::warn!(venue = %feed.id(), %error, "live quotes cannot be asked for"),
            Err(_) => tracing::warn!(venue = %feed.id(), "live quotes were asked for, but no answer came"),
        }
        tokio::select! {
            () = sleep(every) => {}
            () = opened.notified() => {}
        }
    }
}
