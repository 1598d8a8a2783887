//! One owner, in this process and among processes; what a killed owner leaves.

use std::io::{BufRead, BufReader};
use std::process::Command;

use omnivenue_core::journal::{ChainKey, Journal, StoreError};
use omnivenue_sqlite::{Options, SqliteArchive, open, verify};

use crate::support::{Place, all, plain, process, said, same};

fn holder(place: &Place) -> Option<i32> {
    match open(&place.journal, Options::default()).unwrap_err() {
        StoreError::InUse { what, pid } => {
            assert!(what.ends_with("trading.journal"), "{what}");
            pid
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_second_open_in_one_process_is_refused() {
    let place = Place::new();
    let mut opened = place.open();
    let me = i32::try_from(std::process::id()).ok();
    assert_eq!(holder(&place), me);
    // By another name of the same file too.
    let link = place.file("link");
    std::os::unix::fs::symlink(&place.journal, &link).unwrap();
    assert!(matches!(open(&link, Options::default()).unwrap_err(), StoreError::InUse { .. }));
    // The refused attempts have not dropped the lock: another process is still refused.
    let other = process("hold", &place, None).output().unwrap();
    let text = String::from_utf8(other.stdout).unwrap();
    assert!(text.lines().filter_map(said).any(|line| line.contains(&format!("process {}", std::process::id()))), "{text}");
    opened.journal.append(&plain(1..=1)).unwrap();
    drop(opened);
    assert_eq!(place.open().journal.last_seq(), 1);
}

#[test]
fn another_process_that_has_it_is_named() {
    let place = Place::with(2);
    let mut other = process("hold", &place, None).spawn().unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| said(&line) == Some("held")));
    assert_eq!(holder(&place), i32::try_from(other.id()).ok());
    let written = std::fs::read_to_string(place.file("trading.journal.lock")).unwrap();
    assert_eq!(written.trim(), other.id().to_string());
    // Reading is free.
    same(&all(&SqliteArchive::read(&place.journal, ChainKey::default()).unwrap()), &plain(1..=2));
    assert_eq!(verify(&place.journal, &ChainKey::default(), None).unwrap().entries, 2);
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(place.open().journal.last_seq(), 2);
}

#[test]
fn a_child_that_outlives_the_engine_does_not_keep_the_lock() {
    let place = Place::new();
    let opened = place.open();
    let mut child = Command::new("sleep").arg("30").spawn().unwrap();
    drop(opened);
    let again = process("write", &place, Some(600)).output().unwrap();
    assert!(String::from_utf8(again.stdout).unwrap().lines().filter_map(said).any(|line| line.parse::<u64>().is_ok()));
    assert!(place.open().journal.last_seq() > 0);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_killed_writer_loses_nothing_it_acknowledged() {
    let place = Place::new();
    let mut acknowledged = 0;
    for round in 0..5 {
        let mut writer = process("write", &place, None).spawn().unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
        let seqs = lines.filter_map(|line| said(&line).and_then(|text| text.parse::<u64>().ok()));
        for seq in seqs.take(50 + 37 * round) {
            assert!(seq > acknowledged);
            acknowledged = seq;
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        let mut opened = place.open();
        let last = opened.journal.last_seq();
        assert!(last >= acknowledged, "{last} < {acknowledged}");
        same(&all(&opened.archive), &plain(1..=last));
        opened.journal.append(&plain([last + 1])).unwrap();
        acknowledged = last + 1;
    }
    assert!(verify(&place.journal, &ChainKey::default(), None).unwrap().entries >= acknowledged);
}

#[test]
fn after_a_failed_write_nothing_more_is_written_and_the_chain_is_whole() {
    let place = Place::new();
    // Writing beyond 300 KiB fails in that process.
    let writer = process("write", &place, Some(600)).output().unwrap();
    let text = String::from_utf8(writer.stdout).unwrap();
    let lines: Vec<&str> = text.lines().filter_map(said).collect();
    let acknowledged: u64 = lines.iter().filter_map(|line| line.parse().ok()).max().unwrap();
    assert!(lines[lines.len() - 2].contains("cannot be written"), "{text}");
    assert!(lines[lines.len() - 1].contains("an earlier write failed"), "{text}");
    let mut opened = place.open();
    let last = opened.journal.last_seq();
    assert!(last >= acknowledged && acknowledged > 0);
    same(&all(&opened.archive), &plain(1..=last));
    opened.journal.append(&plain([last + 1])).unwrap();
    drop(opened);
    assert_eq!(verify(&place.journal, &ChainKey::default(), None).unwrap().entries, last + 1);
}
