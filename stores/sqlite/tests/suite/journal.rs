//! Writing, reading back, going on.

use std::os::unix::fs::PermissionsExt;

use omnivenue_core::journal::{Archive, ChainKey, Entry, Hash, Journal, StoreError};
use omnivenue_sqlite::{Options, SqliteArchive, open, verify};

use crate::support::{Place, admitted, all, at, plain, prepared, same};

#[test]
fn what_was_appended_is_there_after_reopening_and_the_chain_goes_on() {
    let place = Place::new();
    let mut opened = place.open();
    assert_eq!((opened.journal.last_seq(), opened.journal.head()), (0, Hash::GENESIS));
    opened.journal.append(&plain(1..=3)).unwrap();
    opened.journal.append(&[]).unwrap();
    same(&all(&opened.archive), &plain(1..=3));
    drop(opened);
    let mut opened = place.open();
    assert_eq!(opened.journal.last_seq(), 3);
    opened.journal.append(&plain(4..=4)).unwrap();
    let stored = all(&opened.archive);
    same(&stored, &plain(1..=4));
    let key = ChainKey::default();
    let chained = stored.iter().fold(Hash::GENESIS, |head, e| key.link(head, e.seq, e.at, &e.body));
    assert_eq!((opened.journal.head(), stored[3].hash), (chained, chained));
    assert_eq!(opened.archive.entries_after(2, 1).unwrap(), stored[2..3]);
}

#[test]
fn executions_are_found_by_signal_and_by_order() {
    let place = Place::new();
    let mut opened = place.open();
    let written = [admitted(1, 1, "s-1"), prepared(2, 1, "abc1", 0), admitted(3, 2, "s-2"), prepared(4, 1, "abc2", 1)];
    opened.journal.append(&written).unwrap();
    let archive = &opened.archive;
    assert_eq!(archive.execution_of_signal(&"s-2".parse().unwrap()).unwrap(), Some(2));
    assert_eq!(archive.execution_of_signal(&"s-3".parse().unwrap()).unwrap(), None);
    assert_eq!(archive.execution_of_order(&"abc2".parse().unwrap()).unwrap(), Some(1));
    assert_eq!(archive.execution_of_order(&"abc".parse().unwrap()).unwrap(), None);
    same(&archive.entries_of(1).unwrap(), &[written[0].clone(), written[1].clone(), written[3].clone()]);
    assert!(archive.entries_of(9).unwrap().is_empty());
    // The same id as the same execution is no news; as another one it would be a second order for one wish.
    opened.journal.append(&[prepared(5, 1, "abc2", 1)]).unwrap();
    assert!(opened.journal.append(&[admitted(6, 3, "s-2")]).unwrap_err().to_string().contains("s-2"));
    assert!(opened.journal.append(&plain(6..=6)).unwrap_err().to_string().contains("earlier write failed"));
}

#[test]
fn a_gap_is_refused_and_ends_the_writing() {
    let place = Place::new();
    let mut opened = place.open();
    assert!(opened.journal.append(&plain([1, 3])).is_err());
    assert!(matches!(opened.journal.append(&plain(1..=1)), Err(StoreError::Io(_))));
    assert!(opened.journal.snapshot(1, "{}").is_err());
    drop(opened);
    let mut opened = place.open();
    assert!(all(&opened.archive).is_empty());
    opened.journal.append(&plain(1..=1)).unwrap();
}

#[test]
fn the_namespace_is_drawn_once_and_kept() {
    let place = Place::new();
    let drawn = place.open().namespace;
    assert!(drawn.len() == 6 && drawn.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{drawn}");
    assert_eq!(place.open().namespace, drawn);
    assert_ne!(Place::new().open().namespace, drawn);
    let with = |place: &Place, tag: &str| {
        open(&place.journal, Options { namespace: Some(tag.into()), ..Options::default() }).map(|opened| opened.namespace)
    };
    assert_eq!(with(&place, &drawn).unwrap(), drawn);
    assert!(with(&place, if drawn == "ffffff" { "000000" } else { "ffffff" }).unwrap_err().to_string().contains(&drawn));
    assert_eq!(with(&Place::new(), "abc123").unwrap(), "abc123");
    for wrong in ["", "abc", "ABC123", "abcdef0", "abcdeg", "abc-12"] {
        let refused = Place::new();
        assert!(with(&refused, wrong).unwrap_err().to_string().contains("6 of 0-9 a-f"), "{wrong}");
        // Nothing half-made is left that would get another tag.
        assert_eq!(with(&refused, "abc123").unwrap(), "abc123");
    }
}

#[test]
fn another_key_is_told_from_a_broken_chain() {
    let place = Place::new();
    let keyed = |secret: &[u8]| open(&place.journal, Options { chain_key: ChainKey::new(secret), ..Options::default() });
    keyed(b"first").unwrap().journal.append(&plain(1..=3)).unwrap();
    assert!(matches!(keyed(b"second").unwrap_err(), StoreError::Incompatible(_)));
    assert!(matches!(open(&place.journal, Options::default()).unwrap_err(), StoreError::Incompatible(_)));
    assert!(matches!(SqliteArchive::read(&place.journal, ChainKey::default()).unwrap_err(), StoreError::Incompatible(_)));
    assert!(matches!(verify(&place.journal, &ChainKey::default(), None).unwrap_err(), StoreError::Incompatible(_)));
    assert_eq!(verify(&place.journal, &ChainKey::new(b"first"), None).unwrap().entries, 3);
    assert_eq!(keyed(b"first").unwrap().journal.last_seq(), 3);
}

#[test]
fn only_the_owner_can_read_the_files() {
    let place = Place::with(1);
    let mode = |name: &str| std::fs::metadata(place.file(name)).unwrap().permissions().mode() & 0o777;
    for name in ["trading.journal", "trading.journal-wal", "trading.journal-shm", "trading.journal.lock"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
}

#[test]
fn the_latest_snapshot_is_read_back() {
    let place = Place::new();
    let mut opened = place.open();
    opened.journal.append(&plain(1..=9)).unwrap();
    assert_eq!(opened.archive.latest_snapshot().unwrap(), None);
    for seq in [3, 5, 9] {
        opened.journal.snapshot(seq, &format!("state {seq}")).unwrap();
    }
    assert!(opened.journal.snapshot(10, "early").unwrap_err().to_string().contains("entry 10"));
    opened.journal.append(&plain(10..=12)).unwrap();
    drop(opened);
    let opened = place.open();
    let snapshot = opened.archive.latest_snapshot().unwrap().unwrap();
    assert_eq!((snapshot.seq, snapshot.state.as_str()), (9, "state 9"));
    assert_eq!(snapshot.hash, opened.archive.entries_after(8, 1).unwrap()[0].hash);
    let kept: i64 = place.intruder().query_row("SELECT count(*) FROM snapshots", [], |row| row.get(0)).unwrap();
    assert_eq!((kept, opened.journal.last_seq()), (2, 12));
}

#[test]
fn reading_needs_no_engine_takes_no_lock_and_creates_nothing() {
    let place = Place::with(3);
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let read = || SqliteArchive::read(&place.journal, ChainKey::default()).unwrap();
    let before = names();
    same(&all(&read()), &plain(1..=3));
    assert_eq!(names(), before);
    // The main file alone: a copy of a journal that was closed, or one on a disk that cannot be written.
    for gone in ["trading.journal-wal", "trading.journal-shm", "trading.journal.lock"] {
        std::fs::remove_file(place.file(gone)).unwrap();
    }
    let archive = read();
    same(&all(&archive), &plain(1..=3));
    assert_eq!(names(), ["trading.journal"]);
    // An engine starts while the reader is there.
    let mut opened = place.open();
    opened.journal.append(&plain(4..=5)).unwrap();
    same(&all(&archive), &plain(1..=5));
    assert!(SqliteArchive::read(&place.file("missing"), ChainKey::default()).unwrap_err().to_string().contains("does not exist"));
}

#[test]
fn a_reader_that_holds_an_old_state_does_not_make_appends_fail() {
    let place = Place::with(1);
    let mut opened = place.open();
    let reader = place.intruder();
    reader.execute_batch("BEGIN; SELECT * FROM entries").unwrap();
    for seq in 2..200 {
        opened.journal.append(&plain([seq])).unwrap();
    }
    opened.journal.snapshot(100, "{}").unwrap();
    let old: i64 = reader.query_row("SELECT count(*) FROM entries", [], |row| row.get(0)).unwrap();
    assert_eq!((old, all(&opened.archive).len()), (1, 199));
}

#[test]
fn the_write_ahead_log_stays_short() {
    let place = Place::new();
    let mut opened = place.open();
    let mut longest = 0;
    // Several times the bound, without a pause in which the thread could catch up.
    let many: Vec<_> =
        plain(1..=60_000).into_iter().map(|entry| Entry { body: format!("\"{:01000}\"", entry.seq).into(), ..entry }).collect();
    for (count, batch) in many.chunks(12).enumerate() {
        opened.journal.append(batch).unwrap();
        if count % 50 == 0 {
            longest = longest.max(std::fs::metadata(place.file("trading.journal-wal")).unwrap().len());
        }
    }
    assert!(longest < 80 << 20, "{longest}");
    drop(opened);
    assert_eq!(std::fs::metadata(place.file("trading.journal-wal")).unwrap().len(), 0);
    assert_eq!(place.open().journal.last_seq(), 60_000);
}

#[test]
fn erased_metadata_is_gone_from_the_files_and_the_chain_is_whole() {
    let place = Place::new();
    let mut opened = place.open();
    opened.journal.append(&[admitted(1, 1, "s-1"), admitted(2, 2, "s-2")]).unwrap();
    let (first, second) = ("s-1".parse().unwrap(), "s-2".parse().unwrap());
    assert_eq!(opened.archive.metadata(&first).unwrap().unwrap(), r#"{"note":"secret of s-1"}"#);
    assert!(opened.journal.erase_metadata(&first).unwrap());
    assert!(!opened.journal.erase_metadata(&first).unwrap());
    assert_eq!(opened.archive.metadata(&first).unwrap(), None);
    assert!(opened.archive.metadata(&second).unwrap().is_some());
    let holds = |text: &str| {
        ["trading.journal", "trading.journal-wal"].iter().any(|name| {
            let bytes = std::fs::read(place.file(name)).unwrap();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        })
    };
    drop(opened);
    assert!(!holds("secret of s-1") && holds("secret of s-2"));
    assert_eq!(verify(&place.journal, &ChainKey::default(), None).unwrap().entries, 2);
    assert!(omnivenue_sqlite::erase_metadata(&place.journal, &ChainKey::default(), &second).unwrap());
    assert!(!holds("secret of s-2"));
    let mut opened = place.open();
    opened.journal.append(&plain(3..=3)).unwrap();
    assert_eq!(opened.archive.entries_after(2, 9).unwrap()[0].at, at(3));
}
