//! Files that were changed, cut, or never were a journal: each is refused with a sentence, none with a panic.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;

use omnivenue_core::journal::{Archive, ChainKey, Journal, StoreError};
use omnivenue_sqlite::{Options, SqliteArchive, open, verify};

use crate::support::{Place, all, plain};

fn refusal(place: &Place) -> StoreError {
    open(&place.journal, Options::default()).unwrap_err()
}

fn breaks_at(place: &Place, seq: u64) {
    for error in [refusal(place), verify(&place.journal, &ChainKey::default(), None).unwrap_err()] {
        match error {
            StoreError::Broken(e) => assert_eq!(e.seq, seq, "{e}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_changed_dropped_or_inserted_entry_is_found_and_named() {
    let check = |sql: &str, seq: u64| {
        let place = Place::with(20);
        assert!(place.intruder().execute(sql, []).unwrap() > 0, "{sql}");
        breaks_at(&place, seq);
    };
    check("UPDATE entries SET body = replace(body, 'entry 7', 'entry 8') WHERE seq = 7", 7);
    check("UPDATE entries SET at = at + 1 WHERE seq = 7", 7);
    check("UPDATE entries SET hash = zeroblob(32) WHERE seq = 20", 20);
    check("DELETE FROM entries WHERE seq = 7", 7);
    check("DELETE FROM entries WHERE seq <= 3", 1);
    check("INSERT INTO entries SELECT 21, at, kind, version, body, execution, hash FROM entries WHERE seq = 20", 21);
    check("INSERT INTO entries SELECT 23, at, kind, version, body, execution, hash FROM entries WHERE seq = 20", 21);
}

#[test]
fn one_changed_byte_in_the_file_is_found() {
    let place = Place::with(20);
    let mut bytes = fs::read(&place.journal).unwrap();
    let needle = b"entry 13";
    let found = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[found + 7] ^= 1;
    fs::write(&place.journal, bytes).unwrap();
    breaks_at(&place, 13);
}

#[test]
fn with_a_snapshot_the_rest_is_checked_and_verify_checks_all() {
    let place = Place::with(20);
    {
        let mut opened = place.open();
        opened.journal.snapshot(10, "ten").unwrap();
        opened.journal.snapshot(15, "fifteen").unwrap();
    }
    let change = |sql: &str| assert!(place.intruder().execute(sql, []).unwrap() > 0, "{sql}");
    // Not read on a start from entry 15, but `verify` sees it.
    change("UPDATE entries SET at = at + 1 WHERE seq = 4");
    assert!(open(&place.journal, Options::default()).is_ok());
    assert!(matches!(verify(&place.journal, &ChainKey::default(), None), Err(StoreError::Broken(e)) if e.seq == 4));
    change("UPDATE entries SET at = at - 1 WHERE seq = 4");
    // A changed snapshot is not used; the one before it is.
    change("UPDATE snapshots SET state = 'fifteen!' WHERE seq = 15");
    assert_eq!(place.open().archive.latest_snapshot().unwrap().unwrap().state, "ten");
    change("UPDATE snapshots SET chain = zeroblob(32) WHERE seq = 10");
    let opened = place.open();
    assert_eq!((opened.archive.latest_snapshot().unwrap(), all(&opened.archive).len()), (None, 20));
    drop(opened);
    // The end is missing, and a snapshot remembers it.
    change("DELETE FROM entries WHERE seq > 12");
    breaks_at(&place, 13);
}

#[test]
fn a_cut_or_garbled_file_is_an_error() {
    let place = Place::with(2_000);
    let length = fs::metadata(&place.journal).unwrap().len();
    assert!(length > 100_000);
    for keep in [length / 2, 8_192, 5_000, 100, 10] {
        let cut = Place::new();
        fs::copy(&place.journal, &cut.journal).unwrap();
        OpenOptions::new().write(true).open(&cut.journal).unwrap().set_len(keep).unwrap();
        let error = refusal(&cut).to_string();
        assert!(error.contains("trading.journal"), "{keep}: {error}");
        assert!(verify(&cut.journal, &ChainKey::default(), None).is_err());
    }
    let whole = fs::read(&place.journal).unwrap();
    for page in 1..whole.len() / 4_096 {
        let garbled = Place::new();
        let mut bytes = whole.clone();
        bytes[page * 4_096..(page + 1) * 4_096].fill(0xA5);
        fs::write(&garbled.journal, bytes).unwrap();
        assert!(verify(&garbled.journal, &ChainKey::default(), None).is_err(), "page {page}");
        // Where the page is not read on opening, the journal opens; where it is, it is refused. Neither may panic.
        let _ = open(&garbled.journal, Options::default());
    }
}

#[test]
fn what_is_no_journal_is_refused_and_left_as_it_is() {
    let text = Place::new();
    fs::write(&text.journal, "not a database, but long enough to be taken for one".repeat(40)).unwrap();
    let before = fs::read(&text.journal).unwrap();
    assert!(matches!(refusal(&text), StoreError::Incompatible(_)));
    assert_eq!(fs::read(&text.journal).unwrap(), before);

    let foreign = Place::new();
    foreign.intruder().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = fs::read(&foreign.journal).unwrap();
    let error = refusal(&foreign);
    assert!(matches!(&error, StoreError::Incompatible(text) if text.contains("not a journal of omnivenue")), "{error}");
    assert_eq!(fs::read(&foreign.journal).unwrap(), before);

    let folder = Place::new();
    fs::create_dir(&folder.journal).unwrap();
    assert!(matches!(refusal(&folder), StoreError::Incompatible(_)));

    let nowhere = Place::new();
    let error = open(&nowhere.file("missing/trading.journal"), Options::default()).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");

    let two = Place::with(1);
    fs::hard_link(&two.journal, two.file("second")).unwrap();
    assert!(refusal(&two).to_string().contains("hard links"));
}

#[test]
fn another_format_is_refused_with_what_to_do() {
    let place = Place::with(1);
    place.intruder().pragma_update(None, "user_version", 3).unwrap();
    for error in [refusal(&place), SqliteArchive::read(&place.journal, ChainKey::default()).unwrap_err()] {
        assert!(matches!(&error, StoreError::Incompatible(text) if text.contains("format 3") && text.contains("update")), "{error}");
    }
    place.intruder().pragma_update(None, "user_version", 1).unwrap();
    assert_eq!(place.open().journal.last_seq(), 1);
}

#[test]
fn a_creation_that_was_cut_short_is_begun_again() {
    let place = Place::new();
    fs::write(&place.journal, "").unwrap();
    fs::set_permissions(&place.journal, fs::Permissions::from_mode(0o600)).unwrap();
    place.open().journal.append(&plain(1..=1)).unwrap();
    let half = Place::new();
    half.intruder().pragma_update(None, "journal_mode", "wal").unwrap();
    half.open().journal.append(&plain(1..=1)).unwrap();
    assert_eq!(half.open().journal.last_seq(), 1);
}
