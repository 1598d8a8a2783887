//! What should hold and does not yet: not part of the suite until it does. To try it, add `mod unfixed;` to `main.rs`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use omnivenue::Wait;
use omnivenue::model::signal::Signal;

use crate::bench::{Bench, block_on, quiet};
use crate::support::signal;

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
