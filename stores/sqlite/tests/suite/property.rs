//! Whatever the batches and wherever the journal is closed, killed or snapshot, the same entries come back.

use omnivenue_core::journal::{Archive, ChainKey, Entry, Journal, MemoryStore};
use omnivenue_sqlite::verify;
use proptest::prelude::*;

use crate::support::{Place, admitted, all, plain, prepared};

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<u8>),
    Reopen,
    Snapshot,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 1..20).prop_map(Step::Append),
        1 => Just(Step::Reopen),
        1 => Just(Step::Snapshot),
    ];
    proptest::collection::vec(step, 1..25)
}

/// Entries of each kind, as the numbers fall.
fn batch(kinds: &[u8], after: u64, executions: &mut u64) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (seq, kind) in (after + 1..).zip(kinds) {
        entries.push(match kind % 3 {
            0 => {
                *executions += 1;
                admitted(seq, *executions, &format!("signal-{executions}"))
            }
            1 if *executions > 0 => prepared(seq, u64::from(*kind) % *executions + 1, &format!("order{seq}"), 0),
            _ => plain([seq]).remove(0),
        });
    }
    entries
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_what_the_journal_in_memory_is(steps in steps()) {
        let place = Place::new();
        let (mut opened, mut memory) = (place.open(), MemoryStore::new());
        let mut executions = 0;
        for step in steps {
            match step {
                Step::Append(kinds) => {
                    let entries = batch(&kinds, opened.journal.last_seq(), &mut executions);
                    opened.journal.append(&entries).unwrap();
                    memory.append(&entries).unwrap();
                }
                Step::Reopen => {
                    drop(opened);
                    opened = place.open();
                }
                Step::Snapshot => {
                    let seq = opened.journal.last_seq();
                    let kept = opened.journal.snapshot(seq, &format!("state {seq}"));
                    prop_assert_eq!(kept.is_ok(), memory.snapshot(seq, &format!("state {seq}")).is_ok());
                }
            }
        }
        prop_assert_eq!(all(&opened.archive), memory.entries());
        prop_assert_eq!(opened.archive.latest_snapshot().unwrap(), memory.latest_snapshot().unwrap());
        for execution in 1..=executions {
            prop_assert_eq!(opened.archive.entries_of(execution).unwrap(), memory.entries_of(execution).unwrap());
            let signal = format!("signal-{execution}").parse().unwrap();
            prop_assert_eq!(opened.archive.execution_of_signal(&signal).unwrap(), Some(execution));
        }
        for entry in memory.entries() {
            let order = format!("order{}", entry.seq).parse().unwrap();
            prop_assert_eq!(opened.archive.execution_of_order(&order).unwrap(), memory.execution_of_order(&order).unwrap());
        }
        let last = opened.journal.last_seq();
        drop(opened);
        prop_assert_eq!(verify(&place.journal, &ChainKey::default(), None).unwrap().entries, last);
    }
}
