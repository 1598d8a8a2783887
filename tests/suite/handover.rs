//! What must hold when one engine follows another on the same files, or ends while others ask it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use omnivenue::Wait;
use omnivenue::journal::{Archive, ChainKey};
use omnivenue::model::signal::Signal;
use omnivenue::sqlite::SqliteArchive;

use crate::bench::{Bench, block_on, quiet};
use crate::books;
use crate::support::{Home, Process, signal};

/// Who asked for a signal that never became durable is told so, like everyone who comes after it.
#[test]
fn what_was_answered_is_the_same_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(vec![quiet("one", Duration::from_millis(20))]);
    let entry = || Signal::from_json(&signal("s-1", "demo", "HYPE", "100")).unwrap();
    let engine = block_on(bench.open(folder.path())).unwrap();
    bench.batches.store(0, Ordering::SeqCst);
    let answered = block_on(engine.execute(entry(), Wait::Settled));
    block_on(engine.shutdown()).unwrap();
    bench.batches.store(usize::MAX, Ordering::SeqCst);
    let engine = block_on(bench.open(folder.path())).unwrap();
    let after = block_on(engine.execute(entry(), Wait::Settled)).unwrap();
    block_on(engine.shutdown()).unwrap();
    if let Ok(before) = answered {
        assert_eq!(before.legs[0].outcome, after.legs[0].outcome, "{before:?} became {after:?}");
    }
}

/// Commands that start while no engine runs become one each, one after the other, or come through the one that runs.
#[test]
fn commands_that_start_at_once_without_an_engine_all_do_well() {
    for _ in 0..20 {
        let home = Home::new();
        let order = ["signal", "--asset", "HYPE", "--long", "--notional", "500", "--id", "s-1", "--json"];
        let processes: Vec<Process> = (0..8).map(|_| home.start(&order)).collect();
        let answers: Vec<String> = processes.into_iter().map(|process| process.wait().well()).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert_eq!((home.orders_at("hyperliquid"), home.orders_at("ostium")), (1, 1));
        books::files(home.path()).assert_exactly_once();
    }
}

/// Entries between two snapshots are counted from the latest snapshot, not from the start of the process.
#[test]
fn a_journal_that_grows_over_several_lives_gets_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..10).map(|number| format!("venue-{number}")).collect();
    let bench = Bench::new(names.iter().map(|name| quiet(name, Duration::ZERO)).collect());
    let mut entries = 0;
    for life in 0..3 {
        let engine = block_on(bench.open(folder.path())).unwrap();
        for number in 0..400 {
            let wish = Signal::from_json(&signal(&format!("s-{life}-{number}"), "demo", "HYPE", "20")).unwrap();
            block_on(engine.execute(wish, Wait::Settled)).unwrap();
        }
        entries = block_on(engine.health()).unwrap().seq;
        block_on(engine.shutdown()).unwrap();
    }
    assert!(entries > 22_000, "{entries} entries");
    let archive = SqliteArchive::read(&folder.path().join("journal.db"), ChainKey::default()).unwrap();
    assert!(archive.latest_snapshot().unwrap().is_some(), "{entries} entries and no snapshot");
}
