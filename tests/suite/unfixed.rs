//! What should hold and does not yet: not part of the suite until it does. To try it, add `mod unfixed;` to `main.rs`.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use omnivenue::Wait;
use omnivenue::model::execution::Outcome;
use omnivenue::model::ids::VenueId;
use omnivenue::model::instrument::Instrument;
use omnivenue::model::signal::Signal;
use omnivenue::venue::{Capabilities, Effect, ErrorKind, Operation, Quote, Sink, Venue, VenueError};

use crate::bench::{Bench, Fault, block_on, quiet};
use crate::support::{eventually, signal};

const QUICK: Duration = Duration::from_millis(20);

fn entry(id: &str) -> Signal {
    Signal::from_json(&signal(id, "demo", "HYPE", "100")).unwrap()
}

/// What a venue that is down does when the engine opens.
#[derive(Clone, Copy)]
enum Down {
    QuotesHang,
    InstrumentsHang,
    InstrumentsFail,
}

struct Broken(Arc<dyn Venue>, Down);

#[async_trait]
impl Venue for Broken {
    fn id(&self) -> &VenueId {
        self.0.id()
    }

    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    async fn instruments(&self) -> Result<Vec<Instrument>, VenueError> {
        match self.1 {
            Down::QuotesHang => self.0.instruments().await,
            Down::InstrumentsHang => pending().await,
            Down::InstrumentsFail => {
                Err(VenueError::new(self.id(), Operation::Instruments, ErrorKind::Unavailable, Effect::Refused, "down for maintenance"))
            }
        }
    }

    async fn quotes(&self) -> Result<Vec<Quote>, VenueError> {
        pending().await
    }

    async fn stream_quotes(&self, _: Sink<Quote>) -> Result<(), VenueError> {
        pending().await
    }
}

/// `core/src/engine/shell.rs`, `open`: venues are asked one after the other and without a deadline, and one that fails ends it all.
fn a_venue_that_is_down_when_the_engine_opens(down: Down) {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(vec![quiet("fine", QUICK), quiet("down", QUICK)]);
    bench.venues[1] = Arc::new(Broken(Arc::clone(&bench.venues[1]), down));
    let opened = block_on(async { tokio::time::timeout(Duration::from_secs(60), bench.open(folder.path())).await });
    let engine = opened.expect("the engine opens").unwrap();
    let execution = block_on(engine.execute(entry("s-1"), Wait::Settled)).unwrap();
    assert_eq!(execution.legs[0].outcome, Some(Outcome::Filled), "{execution:?}");
    assert_eq!(execution.legs[1].outcome, Some(Outcome::Skipped), "{execution:?}");
    block_on(engine.shutdown()).unwrap();
}

#[test]
fn a_venue_whose_quotes_hang_costs_its_own_leg_only() {
    a_venue_that_is_down_when_the_engine_opens(Down::QuotesHang);
}

#[test]
fn a_venue_whose_instruments_hang_costs_its_own_leg_only() {
    a_venue_that_is_down_when_the_engine_opens(Down::InstrumentsHang);
}

#[test]
fn a_venue_whose_instruments_fail_costs_its_own_leg_only() {
    a_venue_that_is_down_when_the_engine_opens(Down::InstrumentsFail);
}

/// `core/src/engine/shell.rs`, `follow_account` and `follow_quotes`: a panic ends the task that would open the stream again.
#[test]
fn a_stream_that_panics_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(vec![quiet("fine", QUICK), quiet("broken", QUICK)]);
    let faulty = bench.faulty(1, &[(Fault::StreamPanics, 2)]);
    let engine = block_on(bench.open(folder.path())).unwrap();
    eventually("the stream is opened again", || (faulty.streamed.load(Ordering::SeqCst) > 2).then_some(()));
    block_on(engine.shutdown()).unwrap();
}
