//! Closed segments: chained, whole on their own, and without them the journal stays short and forgets no id.

use std::fs;
use std::io::{BufRead, BufReader};

use omnivenue_core::journal::{Archive, ChainKey, Entry, Journal, StoreError};
use omnivenue_sqlite::{Opened, Options, SqliteArchive, open, rebuild_views, verify, verify_in, verify_segment};

use crate::support::{Place, admitted, plain, prepared, process, said};

fn options(retain: Option<u32>) -> Options {
    Options { segment_entries: Some(50), retain_segments: retain, ..Options::default() }
}

/// Entries after which a snapshot is kept, as an engine does.
fn grow(opened: &mut Opened, upto: u64) {
    while opened.journal.last_seq() < upto {
        let first = opened.journal.last_seq() + 1;
        let execution = first.div_ceil(10);
        let mut entries: Vec<Entry> = vec![admitted(first, execution, &format!("s-{execution}"))];
        entries.push(prepared(first + 1, execution, &format!("order{execution}"), 0));
        entries.extend(plain(first + 2..=first + 9));
        opened.journal.append(&entries).unwrap();
        if (first + 9).is_multiple_of(50) {
            opened.journal.snapshot(first + 9, &format!("\"state {}\"", first + 9)).unwrap();
        }
    }
}

fn segment(place: &Place, number: u64) -> std::path::PathBuf {
    place.file(&format!("trading.journal.{number:06}.segment"))
}

#[test]
fn segments_are_chained_whole_on_their_own_and_a_missing_one_is_named() {
    let place = Place::new();
    let mut opened = open(&place.journal, options(None)).unwrap();
    grow(&mut opened, 500);
    drop(opened);
    let key = ChainKey::default();
    let whole = verify(&place.journal, &key, None).unwrap();
    assert!(whole.segments >= 4 && whole.missing.is_empty() && whole.first == 1, "{whole:?}");
    let files: Vec<_> = (1..=whole.segments).map(|number| verify_segment(&segment(&place, number), &key).unwrap()).collect();
    for pair in files.windows(2) {
        assert_eq!((pair[1].first, pair[1].previous), (pair[0].last + 1, pair[0].head));
    }
    assert!(fs::read_to_string(segment(&place, 1)).unwrap().contains("\"event\":\"admitted\""));
    // A middle one is archived elsewhere.
    let archive = tempfile::tempdir().unwrap();
    let moved = archive.path().join(segment(&place, 2).file_name().unwrap());
    fs::rename(segment(&place, 2), &moved).unwrap();
    let missing = verify(&place.journal, &key, None).unwrap().missing;
    let words = format!("segment 2 (entries {} to {}), trading.journal.000002.segment is missing", files[1].first, files[1].last);
    assert_eq!(missing, [words]);
    let elsewhere = verify_in(&place.journal, &key, Some(&files[1].head.to_string()), Some(archive.path())).unwrap();
    assert_eq!((elsewhere.missing.len(), elsewhere.expected_at), (files.len() - 1, Some(files[1].last)));
    // What takes its place is noticed: a changed copy, another segment, a cut one.
    let text = fs::read_to_string(&moved).unwrap();
    let check = |text: &str, what: &str| {
        fs::write(segment(&place, 2), text).unwrap();
        let error = verify(&place.journal, &key, None).unwrap_err().to_string();
        assert!(error.contains(what), "{error}\nshould contain {what}");
    };
    check(&text.replacen("entry 10", "entry 11", 1), "hash chain is broken");
    check(&fs::read_to_string(segment(&place, 1)).unwrap(), "its file holds something else");
    check(&text[..text.len() / 2], "damaged");
    let short = text.lines().take(10).collect::<Vec<_>>().join("\n");
    check(&short, "was cut after entry");
    check(&text.replacen("state ", "State ", 1), "the snapshot that closes it");
    check("", "is empty");
    fs::write(segment(&place, 2), &text).unwrap();
    assert_eq!(verify(&place.journal, &key, None).unwrap(), whole);
}

#[test]
fn with_retention_the_journal_stays_short_and_every_id_is_known_for_ever() {
    let place = Place::new();
    let mut opened = open(&place.journal, options(Some(2))).unwrap();
    let mut longest = 0;
    for upto in (500..=5_000).step_by(500) {
        grow(&mut opened, upto);
        longest = longest.max(opened.archive.entries_after(0, usize::MAX).unwrap().len());
    }
    assert!(longest < 1_000, "{longest} entries were kept at once");
    let first = opened.archive.entries_after(0, 1).unwrap()[0].seq;
    assert!(first > 4_000, "{first}");
    drop(opened);
    let mut opened = open(&place.journal, options(Some(2))).unwrap();
    let archive = SqliteArchive::read(&place.journal, ChainKey::default()).unwrap();
    for execution in 1..=500_u64 {
        let signal = format!("s-{execution}").parse().unwrap();
        assert_eq!(archive.execution_of_signal(&signal).unwrap(), Some(execution));
        assert_eq!(archive.execution_of_order(&format!("order{execution}").parse().unwrap()).unwrap(), Some(execution));
        let kept = !archive.entries_of(execution).unwrap().is_empty();
        assert_eq!(archive.body_hash_of(&signal).unwrap().is_some(), !kept, "{execution}");
    }
    // The same id as another execution is refused as ever, although nothing of the first is left.
    let again = opened.journal.append(&[admitted(5_001, 9_999, "s-1")]).unwrap_err();
    assert!(again.to_string().contains("s-1 is in the journal already"), "{again}");
    drop(opened);
    let whole = verify(&place.journal, &ChainKey::default(), None).unwrap();
    assert_eq!((whole.entries, whole.first), (5_000, first));
    assert!(whole.missing.is_empty() && whole.segments > 50, "{whole:?}");
    // Where it begins cannot be moved, nor can it be cut further.
    place.intruder().execute("UPDATE base SET seq = seq + 1", []).unwrap();
    assert!(matches!(open(&place.journal, Options::default()).unwrap_err(), StoreError::Unreadable { .. }));
    place.intruder().execute("UPDATE base SET seq = seq - 1", []).unwrap();
    drop(open(&place.journal, Options::default()).unwrap());
    place.intruder().execute("DELETE FROM entries WHERE seq = ?1", [i64::try_from(first).unwrap()]).unwrap();
    assert!(matches!(open(&place.journal, Options::default()).unwrap_err(), StoreError::Broken(_)));
}

#[test]
fn killed_while_segments_are_closed_and_let_go_of_it_loses_nothing_it_has_promised() {
    let place = Place::new();
    let mut promised = 0;
    for round in 0..12_u64 {
        let mut child = process("segments", &place, None).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Not a fixed number of lines: it dies somewhere else each time.
        for _ in 0..30 + round * 17 {
            let Some(Ok(line)) = lines.next() else { break };
            if let Some(number) = said(&line).and_then(|words| words.parse::<u64>().ok()) {
                promised = number;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            promised = said(&line).and_then(|words| words.parse().ok()).unwrap_or(promised);
        }
        let opened = open(&place.journal, options(Some(1))).unwrap();
        assert!(opened.journal.last_seq() >= promised, "round {round}: {promised} was promised");
        for execution in 1..=promised / 10 {
            let signal = format!("s-{execution}").parse().unwrap();
            assert_eq!(opened.archive.execution_of_signal(&signal).unwrap(), Some(execution));
            let known =
                !opened.archive.entries_of(execution).unwrap().is_empty() || opened.archive.body_hash_of(&signal).unwrap().is_some();
            assert!(known, "round {round}: the body of s-{execution} is forgotten");
        }
        drop(opened);
        let whole = verify(&place.journal, &ChainKey::default(), None).unwrap();
        assert!(whole.missing.is_empty(), "{whole:?}");
    }
    let whole = verify(&place.journal, &ChainKey::default(), None).unwrap();
    assert!(whole.segments > 3 && whole.first > 1, "{whole:?}");
}

/// What the other process of that test does.
pub(crate) fn write_for_ever(file: &std::path::Path) {
    let mut opened = open(file, options(Some(1))).unwrap();
    // A process that died within ten entries may have left fewer.
    while !opened.journal.last_seq().is_multiple_of(10) {
        let next = opened.journal.last_seq() + 1;
        opened.journal.append(&plain([next])).unwrap();
    }
    loop {
        let upto = opened.journal.last_seq() + 10;
        grow(&mut opened, upto);
        println!("said: {upto}");
    }
}

#[test]
fn erased_text_is_in_no_file_whatever_was_written_let_go_of_and_erased_before() {
    let place = Place::new();
    let mut opened = open(&place.journal, options(Some(2))).unwrap();
    let _views = opened.journal.keep_views().unwrap();
    let mut erased: Vec<String> = Vec::new();
    let mut seed = 7_u64;
    for round in 1..=40_u64 {
        let upto = opened.journal.last_seq() + 50;
        // Long and short texts: some reach over several pages.
        while opened.journal.last_seq() < upto {
            let first = opened.journal.last_seq() + 1;
            let execution = first.div_ceil(10);
            let mut entry = admitted(first, execution, &format!("s-{execution}"));
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let long = usize::try_from(seed >> 33).unwrap() % 9_000;
            entry.metadata = Some(format!(r#"{{"note":"needle-{execution}-end{}"}}"#, format!("/{execution}-hay").repeat(long / 8)));
            opened.journal.append(&[entry]).unwrap();
            opened.journal.append(&plain(first + 1..=first + 9)).unwrap();
        }
        opened.journal.snapshot(upto, "{}").unwrap();
        for _ in 0..2 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let execution = (upto / 10).saturating_sub((seed >> 33) % 20).max(1);
            let signal = format!("s-{execution}").parse().unwrap();
            let there = opened.archive.metadata(&signal).unwrap().is_some();
            assert_eq!(opened.journal.erase_metadata(&signal).unwrap(), there);
            assert_eq!(opened.archive.metadata(&signal).unwrap(), None);
            if there {
                erased.push(execution.to_string());
            }
        }
        if round % 10 == 0 {
            let last = opened.journal.last_seq();
            assert!(_views.wait_for(last, std::time::Duration::from_secs(60)), "{:?}", _views.trouble());
            for file in fs::read_dir(place.folder.path()).unwrap().map(|file| file.unwrap().path()) {
                let bytes = fs::read(&file).unwrap();
                let text = String::from_utf8_lossy(&bytes);
                for execution in &erased {
                    assert!(!text.contains(&format!("needle-{execution}-end")), "round {round}: {execution} is in {}", file.display());
                    assert!(!text.contains(&format!("/{execution}-hay")), "round {round}: a part of {execution} is in {}", file.display());
                }
            }
        }
    }
    assert!(erased.len() > 20);
    drop(_views);
    drop(opened);
    verify(&place.journal, &ChainKey::default(), None).unwrap();
    // Text that was not erased is there: the search would find it.
    let bytes = fs::read(&place.journal).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("needle-"));
}

#[test]
fn views_are_rebuilt_from_what_the_journal_still_holds() {
    let place = Place::new();
    let mut opened = open(&place.journal, options(Some(1))).unwrap();
    let book = serde_json::to_string(&omnivenue_core::executor::Book::default()).unwrap();
    let mut last = 0;
    // Segments are closed by a thread of their own, and what is let go of is noted by a later append.
    while verify(&place.journal, &ChainKey::default(), None).unwrap().first == 1 {
        assert!(last < 50_000, "nothing is ever let go of");
        opened.journal.append(&plain(last + 1..=last + 50)).unwrap();
        last += 50;
        opened.journal.snapshot(last, &book).unwrap();
    }
    opened.journal.append(&plain(last + 1..=last + 10)).unwrap();
    drop(opened);
    assert_eq!(rebuild_views(&place.journal).unwrap(), last + 10);
    let opened = open(&place.journal, options(Some(1))).unwrap();
    assert_eq!(opened.journal.last_seq(), last + 10);
}
