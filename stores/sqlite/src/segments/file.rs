//! A segment's file: lines of JSON. The first says which segment of which journal it is and what comes before, then an entry a line as
//! `omnivenue journal export` writes them, and the last holds the snapshot that closes it. Metadata of signals is in none.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use omnivenue_core::journal::{ChainKey, Hash, Snapshot, StoreError, StoredEntry};
use omnivenue_core::model::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Segment;
use crate::chain::{self, Head};
use crate::{error, file};

/// How the file is written.
const FORMAT: u32 = 1;
/// The longest line: a snapshot.
const LINE_MAX: u64 = 1024 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
struct First {
    segment: u64,
    format: u32,
    namespace: String,
    first: u64,
    previous: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Last {
    closed: u64,
    head: String,
    state: String,
    seal: String,
}

#[derive(Debug, Deserialize)]
struct Middle<'a> {
    seq: u64,
    at: Timestamp,
    hash: String,
    #[serde(borrow)]
    event: &'a RawValue,
}

/// What a whole segment's file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    /// Its number, from 1.
    pub number: u64,
    /// Whose journal it is of.
    pub namespace: String,
    /// Its first entry.
    pub first: u64,
    /// Its last entry.
    pub last: u64,
    /// The chain up to the entry before the first: the head of the segment before.
    pub previous: Hash,
    /// The chain up to its last entry.
    pub head: Hash,
    /// The entry whose hash is the one that was expected.
    pub expected_at: Option<u64>,
}

/// Checks a segment's file on its own, wherever it was moved to: every link of its chain, and the snapshot that closes it.
///
/// # Errors
/// [`StoreError::Broken`] names the first entry that does not fit; [`StoreError::Incompatible`] when it is no segment, was cut, or is of a
/// journal with another key; [`StoreError::Io`] when it cannot be read.
pub fn verify_segment(path: &Path, key: &ChainKey) -> Result<SegmentFile, StoreError> {
    verify_file(path, key, None)
}

pub(crate) fn verify_file(path: &Path, key: &ChainKey, expected: Option<&str>) -> Result<SegmentFile, StoreError> {
    let wrong = |what: String| StoreError::Incompatible(format!("{}: {what}", path.display()));
    let mut lines = Lines::open(path)?;
    let first = lines.next()?.ok_or_else(|| wrong("is empty".into()))?;
    let first: First = serde_json::from_str(&first).map_err(|e| wrong(format!("is no segment of a journal ({e})")))?;
    if first.format != FORMAT {
        return Err(wrong(format!("is a segment of format {}, and this version reads format {FORMAT}", first.format)));
    }
    let previous = parse(&first.previous).ok_or_else(|| wrong("its first line holds no hash".into()))?;
    let mut head = Head { seq: first.first.saturating_sub(1), hash: previous };
    let mut expected_at = None;
    while let Some(line) = lines.next()? {
        if let Ok(entry) = serde_json::from_str::<Middle<'_>>(&line) {
            let stored = parse(&entry.hash).ok_or_else(|| wrong(format!("entry {} holds no hash", entry.seq)))?;
            key.check(head.hash, head.seq + 1, entry.at, entry.event.get(), stored).map_err(StoreError::Broken)?;
            head = Head { seq: head.seq + 1, hash: stored };
            expected_at = expected_at.or((expected == Some(entry.hash.as_str())).then_some(head.seq));
            continue;
        }
        let last: Last = serde_json::from_str(&line).map_err(|e| wrong(format!("the line after entry {} is damaged ({e})", head.seq)))?;
        let closes = last.closed == head.seq && parse(&last.head) == Some(head.hash);
        if !closes || parse(&last.seal) != Some(chain::snapshot_hash(key, head, &last.state)) {
            return Err(wrong("the snapshot that closes it is not the one that was kept".into()));
        }
        if lines.next()?.is_some() {
            return Err(wrong("goes on after its end".into()));
        }
        let First { segment: number, namespace, first, .. } = first;
        return Ok(SegmentFile { number, namespace, first, last: head.seq, previous, head: head.hash, expected_at });
    }
    Err(wrong(format!("was cut after entry {}", head.seq)))
}

/// Whether a file begins as a segment of this journal with this number: one that was written and then not noted.
pub(super) fn is_ours(path: &Path, namespace: &str, number: u64) -> bool {
    let first = Lines::open(path).and_then(|mut lines| lines.next()).ok().flatten();
    let first = first.and_then(|line| serde_json::from_str::<First>(&line).ok());
    first.is_some_and(|first| first.namespace == namespace && first.segment == number)
}

/// A file under way; complete only once [`Writer::close`] returns.
pub(super) struct Writer {
    output: BufWriter<File>,
}

impl Writer {
    pub(super) fn begin(path: &Path, segment: &Segment, namespace: &str) -> Result<Self, StoreError> {
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(file::PRIVATE).open(path);
        let mut writer = Self { output: BufWriter::new(opened.map_err(|e| error::io(path, "create", &e))?) };
        let first = First {
            segment: segment.number,
            format: FORMAT,
            namespace: namespace.to_owned(),
            first: segment.first,
            previous: segment.previous.to_string(),
        };
        writer.line(&serde_json::to_string(&first).expect("plain data always serializes"))?;
        Ok(writer)
    }

    pub(super) fn entry(&mut self, entry: &StoredEntry) -> Result<(), StoreError> {
        self.line(&format!(r#"{{"seq":{},"at":"{}","hash":"{}","event":{}}}"#, entry.seq, entry.at, entry.hash, entry.body))
    }

    /// Writes the snapshot and flushes all of it to the disk.
    pub(super) fn close(mut self, key: &ChainKey, snapshot: &Snapshot) -> Result<(), StoreError> {
        let head = Head { seq: snapshot.seq, hash: snapshot.hash };
        let last = Last {
            closed: snapshot.seq,
            head: snapshot.hash.to_string(),
            state: snapshot.state.clone(),
            seal: chain::snapshot_hash(key, head, &snapshot.state).to_string(),
        };
        self.line(&serde_json::to_string(&last).expect("plain data always serializes"))?;
        let file = self.output.into_inner().map_err(|e| failed(e.error()))?;
        file.sync_all().map_err(|e| failed(&e))
    }

    fn line(&mut self, text: &str) -> Result<(), StoreError> {
        self.output.write_all(text.as_bytes()).and_then(|()| self.output.write_all(b"\n")).map_err(|e| failed(&e))
    }
}

fn failed(error: &std::io::Error) -> StoreError {
    StoreError::Io(format!("a segment cannot be written: {error}"))
}

struct Lines {
    input: BufReader<File>,
    path: std::path::PathBuf,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => StoreError::Io(format!("{} does not exist", path.display())),
            _ => error::io(path, "open", &e),
        })?;
        Ok(Self { input: BufReader::new(file), path: path.to_owned() })
    }

    fn next(&mut self) -> Result<Option<String>, StoreError> {
        let mut line = String::new();
        let read = self.input.by_ref().take(LINE_MAX).read_line(&mut line).map_err(|e| error::io(&self.path, "read", &e))?;
        Ok((read > 0).then(|| line.trim_end_matches('\n').to_owned()))
    }
}

fn parse(text: &str) -> Option<Hash> {
    let mut bytes = [0_u8; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[place * 2..place * 2 + 2], 16).ok()?;
    }
    Some(Hash::from_bytes(bytes))
}
