//! What should hold and does not yet: not part of the suite until it does. To try it, add `mod unfixed;` to `main.rs`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use omnivenue::Wait;
use omnivenue::journal::{Archive, ChainKey};
use omnivenue::model::signal::Signal;
use omnivenue::sqlite::SqliteArchive;

use crate::bench::{Bench, block_on, quiet};
use crate::books;
use crate::support::{Home, Process, signal};

/// `core/src/engine/shell.rs`, `changed`: once the journal has failed, `durable` counts as `u64::MAX`, and the caller of a signal
/// that never became durable is told `Ok` with an execution that is done: refused, `journal_unwritable`. After a restart the same id
/// is another execution, and fills. It should be told `Err(JournalUnwritable)`, like everyone who comes after it.
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

/// Commands that start while no engine runs become one each, one after the other, or come through the one that runs. Some of them fail
/// now and then, though nothing is wrong and nothing was done:
/// - `src/open.rs`, `Opened::shutdown`: the journal is given up before the exchanges' files are. Who takes the journal in between ends
///   with exit code 1: "the simulated exchange … is in use by another exchange (process …); stop that one first".
/// - `src/command/backend.rs`, `Backend::running_or` and `ask`: whether an engine runs is asked over one connection, and the request
///   goes over another. Where the engine has ended in between, the command ends with exit code 4: "the engine no longer answers".
/// - `src/control/client.rs`, `Client::connect`: a socket that is being closed resets the connection, which is no `ConnectionRefused`;
///   the command ends with exit code 4: "the control socket … cannot be used: Connection reset by peer".
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

/// `core/src/engine/shell.rs`, `open`: entries between two snapshots are counted from the start of the process, not from the latest
/// snapshot. An engine that is restarted before it has written 20,000 entries never keeps one, and each start replays everything.
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
