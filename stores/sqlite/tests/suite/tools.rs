//! Verify, export and backup, beside a running engine and without one.

use std::fs;

use omnivenue_core::journal::{Archive, ChainKey, Event, Journal, StoreError};
use omnivenue_sqlite::{Options, SqliteArchive, backup, export, open, verify};

use crate::support::{Place, admitted, all, plain, prepared, same};

#[test]
fn verify_knows_a_head_that_was_noted_and_misses_one_that_was_cut() {
    let place = Place::with(5);
    let key = ChainKey::default();
    let noted = verify(&place.journal, &key, None).unwrap();
    assert_eq!((noted.entries, noted.expected_at), (5, None));
    let mut opened = place.open();
    opened.journal.append(&plain(6..=3_000)).unwrap();
    assert_eq!(noted.namespace, opened.namespace);
    let later = verify(&place.journal, &key, Some(&noted.head.to_string().to_uppercase())).unwrap();
    assert_eq!((later.entries, later.head, later.expected_at), (3_000, opened.journal.head(), Some(5)));
    drop(opened);
    place.intruder().execute("DELETE FROM entries WHERE seq > 10", []).unwrap();
    assert_eq!(verify(&place.journal, &key, None).unwrap().entries, 10);
    let error = verify(&place.journal, &key, Some(&later.head.to_string())).unwrap_err();
    assert!(matches!(&error, StoreError::OtherHead { .. }), "{error}");
}

#[test]
fn verify_checks_that_the_indexes_say_what_the_entries_say() {
    let check = |sql: &str, seq: u64, what: &str| {
        let place = Place::new();
        place.open().journal.append(&[admitted(1, 1, "s-1"), prepared(2, 1, "abc1", 0)]).unwrap();
        assert_eq!(verify(&place.journal, &ChainKey::default(), None).unwrap().entries, 2);
        assert_eq!(place.intruder().execute(sql, []).unwrap(), 1, "{sql}");
        let error = verify(&place.journal, &ChainKey::default(), None).unwrap_err();
        let named = matches!(&error, StoreError::Unreadable { seq: at, reason } if *at == seq && reason.contains(what));
        assert!(named, "{sql}: {error}");
    };
    check("DELETE FROM signals", 1, "index by signal");
    check("UPDATE signals SET execution = 2", 1, "index by signal");
    check("DELETE FROM orders", 2, "index by order");
    check("UPDATE entries SET execution = 2 WHERE seq = 2", 2, "execution");
    check("UPDATE entries SET kind = 'killed' WHERE seq = 1", 1, "kind");
}

#[test]
fn the_export_is_one_event_a_line_without_metadata() {
    let place = Place::new();
    let mut opened = place.open();
    let written = [admitted(1, 1, "s-1"), prepared(2, 1, "abc1", 0)];
    opened.journal.append(&written).unwrap();
    opened.journal.append(&plain(3..=2_500)).unwrap();
    let mut output = Vec::new();
    assert_eq!(export(&place.journal, &mut output).unwrap(), 2_500);
    let text = String::from_utf8(output).unwrap();
    assert!(!text.contains("secret"));
    let stored = all(&opened.archive);
    assert_eq!(text.lines().count(), stored.len());
    for (line, entry) in text.lines().zip(&stored) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["seq"], entry.seq);
        assert_eq!(line["at"], entry.at.to_string());
        assert_eq!(line["hash"], entry.hash.to_string());
        assert_eq!(serde_json::from_value::<Event>(line["event"].clone()).unwrap(), entry.event().unwrap());
    }
}

#[test]
fn a_backup_has_what_is_only_in_the_write_ahead_log() {
    let place = Place::with(10);
    let mut opened = place.open();
    opened.journal.append(&plain(11..=60)).unwrap();
    let copy = place.file("copy.journal");
    backup(&place.journal, &copy).unwrap();
    opened.journal.append(&plain(61..=61)).unwrap();
    // What copying the file by hand would have got.
    let by_hand = place.file("by-hand.journal");
    fs::copy(&place.journal, &by_hand).unwrap();
    assert_eq!(verify(&by_hand, &ChainKey::default(), None).unwrap().entries, 10);
    let verified = verify(&copy, &ChainKey::default(), None).unwrap();
    assert_eq!((verified.entries, &verified.namespace), (60, &opened.namespace));
    same(&all(&SqliteArchive::read(&copy, ChainKey::default()).unwrap()), &plain(1..=60));
    assert!(backup(&place.journal, &copy).unwrap_err().to_string().contains("exists"));
    assert_eq!(
        fs::read_dir(place.folder.path()).unwrap().filter(|e| e.as_ref().unwrap().path().to_string_lossy().contains("partial")).count(),
        0
    );
    // The copy is a journal that goes on.
    let mut restored = open(&copy, Options::default()).unwrap();
    restored.journal.append(&plain(61..=61)).unwrap();
    assert_eq!(restored.journal.head(), opened.journal.head());
}

#[test]
fn a_journal_that_is_being_made_has_not_begun() {
    let place = Place::new();
    let begun = || SqliteArchive::read_begun(&place.journal, ChainKey::default());
    assert!(begun().unwrap().is_none(), "no file");
    fs::write(&place.journal, "").unwrap();
    assert!(begun().unwrap().is_none(), "a file that nothing has been written into");
    assert!(SqliteArchive::read(&place.journal, ChainKey::default()).unwrap_err().to_string().contains("is not a journal"));
    // As it is between the two steps of its creation.
    place.intruder().pragma_update(None, "journal_mode", "wal").unwrap();
    assert!(begun().unwrap().is_none(), "a file that is no more than a database");
    drop(place.open());
    assert_eq!(begun().unwrap().unwrap().entries_after(0, 10).unwrap(), []);
    fs::write(&place.journal, "something else").unwrap();
    assert!(begun().unwrap_err().to_string().contains("is not a journal"));
}

#[test]
fn looking_while_a_journal_is_made_never_fails() {
    for _ in 0..30 {
        let place = Place::new();
        let journal = place.journal.clone();
        let engine = std::thread::spawn(move || open(&journal, Options::default()).unwrap());
        while !engine.is_finished() {
            SqliteArchive::read_begun(&place.journal, ChainKey::default()).unwrap();
        }
        drop(engine.join().unwrap());
        assert!(SqliteArchive::read_begun(&place.journal, ChainKey::default()).unwrap().is_some());
    }
}
