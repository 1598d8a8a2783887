//! Market data: the real thing where `OMNIVENUE_DATA` names a folder with it, or where it is beside the repository in `shared/data`, else
//! something of the same shape.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use omnivenue_simulator::Random;

/// One-minute candles of a BTC perpetual in January 2022.
const BTC: &str = "btc_perp_1m_2022-01.csv.gz";
/// How many there are.
const MINUTES: usize = 45_031;
/// When the first one opens.
const FIRST: u64 = 1_640_991_660_000;

/// The BTC candles: the recorded ones, or as many made ones, written into `folder`.
pub(crate) fn btc(folder: &Path) -> PathBuf {
    let path = btc_path(folder);
    if data().is_none() {
        write_gz(&path, &minutes(1, MINUTES, 4_631_900, 2_500));
    }
    assert!(path.is_file(), "OMNIVENUE_DATA is set, but {} is not there", path.display());
    path
}

/// The folder of the recorded ones, if there is one: none where `OMNIVENUE_DATA` is empty.
pub(crate) fn data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    match std::env::var_os("OMNIVENUE_DATA") {
        Some(folder) => Some(PathBuf::from(folder)).filter(|folder| !folder.as_os_str().is_empty()),
        None => Some(beside()).filter(|folder| folder.join(BTC).is_file()),
    }
}

/// Where they are.
pub(crate) fn btc_path(folder: &Path) -> PathBuf {
    data().unwrap_or_else(|| folder.to_owned()).join(BTC)
}

/// Candles of another asset, made: `start` and the largest change of a minute are in hundredths.
pub(crate) fn made(folder: &Path, name: &str, seed: u64, start: u64, change: u64) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, minutes(seed, 5_000, start, change)).unwrap();
    path
}

/// A file's text: a walk that stays within a fifth of where it starts.
pub(crate) fn minutes(seed: u64, count: usize, start: u64, change: u64) -> String {
    let mut random = Random::new(seed);
    let mut text = "open_time_ms,open,high,low,close,volume\n".to_owned();
    let (lowest, highest) = (start - start / 5, start + start / 5);
    let mut open = start;
    for minute in 0..count {
        let step = random.below(2 * change + 1);
        let close = (open + step).saturating_sub(change).clamp(lowest, highest);
        let high = open.max(close) + random.below(change);
        let low = open.min(close) - random.below(change.min(lowest / 2));
        let time = FIRST + 60_000 * u64::try_from(minute).unwrap();
        let price = |hundredths: u64| format!("{}.{:02}", hundredths / 100, hundredths % 100);
        writeln!(text, "{time},{},{},{},{},{}", price(open), price(high), price(low), price(close), 1 + random.below(1_000)).unwrap();
        open = close;
    }
    text
}

pub(crate) fn write_gz(path: &Path, text: &str) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    std::fs::write(path, encoder.finish().unwrap()).unwrap();
}

#[test]
fn made_candles_have_the_shape_of_the_recorded_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.csv.gz");
    write_gz(&path, &minutes(1, MINUTES, 4_631_900, 2_500));
    let candles = omnivenue::paper::Candles::read(&path).unwrap();
    assert_eq!((candles.count(), candles.step_ms()), (MINUTES, 60_000));
    let used = omnivenue::paper::Candles::read(&btc(folder.path())).unwrap();
    assert_eq!((used.count(), used.step_ms()), (MINUTES, 60_000));
}
