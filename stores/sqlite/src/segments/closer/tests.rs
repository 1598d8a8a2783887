use std::fs;

use omnivenue_core::journal::{Archive, Entry, Event, Journal, KillScope};
use omnivenue_core::model::time::Timestamp;

use super::*;
use crate::journal::{Options, open};
use crate::tools::verify;

fn entry(seq: u64) -> Entry {
    let event = Event::Killed { scope: KillScope::All, mode: Default::default(), reason: format!("{seq}"), at: Default::default() };
    let body = serde_json::to_string(&event).unwrap();
    Entry { seq, at: Timestamp::EPOCH, kind: event.kind(), body: body.into(), execution: None, index: None, metadata: None }
}

/// How far the process came with the first segment before it died.
#[derive(Debug, Clone, Copy)]
enum Died {
    BeforeAnything,
    WithHalfAFile,
    WithAFileWithoutItsName,
    WithTwoNames,
    BeforeItWasNoted,
    Noted,
}

fn options() -> Options {
    Options { segment_entries: Some(20), retain_segments: Some(1), ..Options::default() }
}

/// What a run does from where it begins: entries and a snapshot after every twenty, until so many are there.
fn go_on(path: &Path, upto: u64) {
    let mut opened = open(path, options()).unwrap();
    for seq in opened.journal.last_seq() + 1..=upto {
        opened.journal.append(&[entry(seq)]).unwrap();
        if seq % 20 == 0 {
            opened.journal.snapshot(seq, &format!("state {seq}")).unwrap();
        }
    }
}

#[test]
fn whenever_it_dies_while_a_segment_is_closed_nothing_is_lost_and_the_segments_are_whole() {
    use Died::{BeforeAnything, BeforeItWasNoted, Noted, WithAFileWithoutItsName, WithHalfAFile, WithTwoNames};
    for died in [BeforeAnything, WithHalfAFile, WithAFileWithoutItsName, WithTwoNames, BeforeItWasNoted, Noted] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("j");
        let namespace = {
            // Without segments: what follows is done by hand, up to where it dies.
            let mut opened = open(&path, Options::default()).unwrap();
            opened.journal.append(&(1..=20).map(entry).collect::<Vec<_>>()).unwrap();
            opened.journal.snapshot(20, "state 20").unwrap();
            opened.namespace
        };
        let work = Work { journal: path.clone(), key: ChainKey::default(), namespace };
        let job = Job { number: 1, after: Head::GENESIS, upto: 20 };
        let (name, partial) = (path_of(&path, 1), file::beside(&path_of(&path, 1), ".partial"));
        match died {
            BeforeAnything => {}
            WithHalfAFile => {
                work.write(&partial, &job).unwrap();
                let bytes = fs::read(&partial).unwrap();
                fs::write(&partial, &bytes[..bytes.len() / 2]).unwrap();
            }
            WithAFileWithoutItsName => drop(work.write(&partial, &job).unwrap()),
            WithTwoNames => {
                work.write(&partial, &job).unwrap();
                fs::hard_link(&partial, &name).unwrap();
            }
            BeforeItWasNoted => drop(work.close(&job).unwrap()),
            Noted => {
                let segment = work.close(&job).unwrap();
                let conn = crate::journal::connect(&path).unwrap();
                super::super::register(&conn, &segment).unwrap();
            }
        }
        go_on(&path, 200);
        let verified = verify(&path, &ChainKey::default(), None).unwrap();
        assert_eq!((verified.entries, verified.missing.len()), (200, 0), "{died:?}");
        assert!(verified.segments >= 3 && verified.first > 1, "{died:?}: {verified:?}");
        assert!(!partial.exists(), "{died:?}");
        let opened = open(&path, options()).unwrap();
        assert_eq!(opened.archive.latest_snapshot().unwrap().unwrap().state, "state 200");
    }
}

#[test]
fn a_file_of_somebody_else_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("j");
    fs::write(path_of(&path, 1), "somebody's diary").unwrap();
    go_on(&path, 100);
    assert_eq!(fs::read_to_string(path_of(&path, 1)).unwrap(), "somebody's diary");
    let verified = verify(&path, &ChainKey::default(), None).unwrap();
    assert_eq!((verified.entries, verified.segments, verified.first), (100, 0, 1), "without its archive nothing is let go of");
}
