//! Candle files: CSV, or gzip of it, read exactly; what is wrong is named by file, line, column and value.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use csv::StringRecord;
use flate2::read::MultiGzDecoder;
use omnivenue_core::model::number::{Price, Quantity};

const COLUMNS: [&str; 6] = ["open_time_ms", "open", "high", "low", "close", "volume"];

/// Why a candle file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CandleError {
    /// It cannot be opened or read.
    #[error("{file}: cannot be read")]
    Io {
        /// The file.
        file: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The compressed file is damaged or ends before its end.
    #[error("{file}: the gzip ends too early or is damaged; copy the file again")]
    Gzip {
        /// The file.
        file: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// There are too few candles to know their length.
    #[error("{file}: has {candles} candles, but at least 2 are needed")]
    TooShort {
        /// The file.
        file: PathBuf,
        /// How many it has.
        candles: usize,
    },
    /// A column is not there under its name.
    #[error("{file}, line 1: has no column `{column}`; its columns are {has}, but must be open_time_ms,open,high,low,close,volume")]
    Column {
        /// The file.
        file: PathBuf,
        /// The missing column.
        column: &'static str,
        /// What the header says.
        has: String,
    },
    /// A line is not one of the table.
    #[error("{file}, line {line}: {reason}")]
    Line {
        /// The file.
        file: PathBuf,
        /// Counted from 1, the header included.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A value does not fit.
    #[error("{file}, line {line}: {column} is `{value}`, but must be {fits}")]
    Value {
        /// The file.
        file: PathBuf,
        /// Counted from 1, the header included.
        line: u64,
        /// The column.
        column: &'static str,
        /// What it says.
        value: String,
        /// What would fit.
        fits: String,
    },
}

/// One line of a file of candles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandleRow {
    /// Counted from 1, the header included.
    pub line: u64,
    /// When it begins, in milliseconds since 1970-01-01T00:00:00Z.
    pub open_time_ms: i64,
    /// The first price.
    pub open: Price,
    /// The highest.
    pub high: Price,
    /// The lowest.
    pub low: Price,
    /// The last.
    pub close: Price,
    /// What was traded, in the unit of the source; absent where the file says nothing.
    pub volume: Option<Quantity>,
}

impl CandleRow {
    /// The prices in the order in which they are taken to be passed: a rising candle passes its low first, a falling one its high.
    #[must_use]
    pub fn path(&self) -> [Price; 4] {
        let Self { open, high, low, close, .. } = *self;
        if close >= open { [open, low, high, close] } else { [open, high, low, close] }
    }
}

/// Reads a file of candles line by line, and holds one of them: each later than the one before it, at whatever distance.
pub struct CandleReader {
    file: PathBuf,
    records: csv::StringRecordsIntoIter<Box<dyn Read + Send>>,
    columns: [usize; 6],
    before: Option<i64>,
    failed: bool,
}

impl std::fmt::Debug for CandleReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CandleReader").field("file", &self.file).field("before", &self.before).finish_non_exhaustive()
    }
}

impl CandleReader {
    /// Opens a file: CSV, or gzip of it when its name ends in `.gz`.
    ///
    /// # Errors
    /// [`CandleError`] when it cannot be read or lacks a column.
    pub fn open(file: &Path) -> Result<Self, CandleError> {
        let raw = File::open(file).map_err(|source| CandleError::Io { file: file.to_owned(), source })?;
        let input: Box<dyn Read + Send> = if is_gzip(file) { Box::new(MultiGzDecoder::new(raw)) } else { Box::new(raw) };
        let mut reader = csv::ReaderBuilder::new().from_reader(input);
        let header = reader.headers().map_err(|e| unreadable(file, &e))?.clone();
        if header.is_empty() {
            return Err(CandleError::TooShort { file: file.to_owned(), candles: 0 });
        }
        let columns = columns(file, &header)?;
        Ok(Self { file: file.to_owned(), records: reader.into_records(), columns, before: None, failed: false })
    }

    fn read(&mut self, record: Result<StringRecord, csv::Error>) -> Result<CandleRow, CandleError> {
        let row = self.row(&record.map_err(|e| unreadable(&self.file, &e))?)?;
        if let Some(before) = self.before.filter(|before| *before >= row.open_time_ms) {
            return Err(self.value(row.line, COLUMNS[0], &row.open_time_ms.to_string(), format!("later than the line before, {before}")));
        }
        self.before = Some(row.open_time_ms);
        Ok(row)
    }

    fn row(&self, record: &StringRecord) -> Result<CandleRow, CandleError> {
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |column: usize| record.get(self.columns[column]).unwrap_or_default();
        let price = |column: usize| {
            let fits = |e| self.value(line, COLUMNS[column], cell(column), format!("a price: {e}"));
            cell(column).parse::<Price>().map_err(fits)
        };
        let whole = |_| self.value(line, COLUMNS[0], cell(0), "a whole number of milliseconds since 1970".into());
        let open_time_ms = cell(0).parse().map_err(whole)?;
        let (open, high, low, close) = (price(1)?, price(2)?, price(3)?, price(4)?);
        if low > high {
            return Err(self.value(line, "low", cell(3), format!("at most the high {high}")));
        }
        for (column, price) in [(1, open), (4, close)] {
            if price < low || price > high {
                return Err(self.value(line, COLUMNS[column], cell(column), format!("between the low {low} and the high {high}")));
            }
        }
        let volume = cell(5).parse().ok();
        Ok(CandleRow { line, open_time_ms, open, high, low, close, volume })
    }

    fn value(&self, line: u64, column: &'static str, value: &str, fits: String) -> CandleError {
        CandleError::Value { file: self.file.clone(), line, column, value: value.chars().take(48).collect(), fits }
    }
}

impl Iterator for CandleReader {
    type Item = Result<CandleRow, CandleError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let record = self.records.next()?;
        let read = self.read(record);
        self.failed = read.is_err();
        Some(read)
    }
}

fn is_gzip(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "gz")
}

fn unreadable(file: &Path, error: &csv::Error) -> CandleError {
    if let csv::ErrorKind::Io(io) = error.kind() {
        let source = io::Error::new(io.kind(), io.to_string());
        let file = file.to_owned();
        return if is_gzip(&file) { CandleError::Gzip { file, source } } else { CandleError::Io { file, source } };
    }
    let line = error.position().map_or(0, csv::Position::line);
    CandleError::Line { file: file.to_owned(), line, reason: error.to_string() }
}

fn columns(file: &Path, header: &StringRecord) -> Result<[usize; 6], CandleError> {
    let mut found = [0; 6];
    for (place, column) in found.iter_mut().zip(COLUMNS) {
        *place = header.iter().position(|name| name == column).ok_or_else(|| CandleError::Column {
            file: file.to_owned(),
            column,
            has: header.iter().collect::<Vec<_>>().join(","),
        })?;
    }
    Ok(found)
}

/// Candles without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candles {
    /// The prices of each candle in the order in which they are passed: open, the two extremes, close.
    path: Vec<[Price; 4]>,
    /// From one candle to the next.
    step_ms: u64,
}

impl Candles {
    /// Reads a file.
    ///
    /// # Errors
    /// [`CandleError`] names the file, the line, the column, the value and what fits.
    pub fn read(file: &Path) -> Result<Self, CandleError> {
        let mut reader = CandleReader::open(file)?;
        let (mut path, mut step, mut before) = (Vec::new(), None, None);
        while let Some(row) = reader.next() {
            let row = row?;
            if let Some(before) = before {
                step = Some(length(&reader, before, &row, step)?);
            }
            before = Some(row.open_time_ms);
            path.push(row.path());
        }
        let short = CandleError::TooShort { file: file.to_owned(), candles: path.len() };
        Ok(Self { step_ms: step.ok_or(short)?, path })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.path.len()
    }

    /// The price in one quarter of the series' time, counted from its start; the last close after its end.
    #[must_use]
    pub fn price(&self, quarter: u64) -> Price {
        let last = self.path.last().expect("a series has at least two candles")[3];
        let candle = usize::try_from(quarter / 4).ok().and_then(|index| self.path.get(index));
        candle.map_or(last, |path| path[usize::try_from(quarter % 4).expect("a number below 4 fits")])
    }

    /// The length of a candle in milliseconds.
    #[must_use]
    pub const fn step_ms(&self) -> u64 {
        self.step_ms
    }
}

/// The text of a file, or of a gzip of one.
pub(crate) fn read_text(file: &Path) -> Result<String, CandleError> {
    let failed = |source| CandleError::Io { file: file.to_owned(), source };
    let mut text = String::new();
    let mut raw = File::open(file).map_err(failed)?;
    if is_gzip(file) {
        let gzip = |source| CandleError::Gzip { file: file.to_owned(), source };
        MultiGzDecoder::new(raw).read_to_string(&mut text).map_err(gzip)?;
    } else {
        raw.read_to_string(&mut text).map_err(failed)?;
    }
    Ok(text)
}

/// How far a row is from the one before it, which must be as far as all others are.
fn length(reader: &CandleReader, before: i64, row: &CandleRow, expected: Option<u64>) -> Result<u64, CandleError> {
    let wrong = |fits| reader.value(row.line, COLUMNS[0], &row.open_time_ms.to_string(), fits);
    let step = row.open_time_ms.checked_sub(before).and_then(|step| u64::try_from(step).ok());
    let step = step.ok_or_else(|| wrong(format!("later than the line before, {before}")))?;
    match expected {
        Some(expected) if step != expected => {
            Err(wrong(format!("{expected} ms after the line before: there is a gap, or the candles change their length")))
        }
        _ => Ok(step),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const GOOD: &str = "open_time_ms,open,high,low,close,volume\n0,10,12,9,11,5\n60000,11,11.5,8,9.0,\n";

    fn read(text: &str) -> Result<Candles, CandleError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("candles.csv");
        std::fs::write(&file, text).unwrap();
        Candles::read(&file)
    }

    fn zipped(cut: usize) -> Result<Candles, CandleError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("candles.csv.gz");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(GOOD.as_bytes()).unwrap();
        let bytes = encoder.finish().unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - cut]).unwrap();
        Candles::read(&file)
    }

    #[test]
    fn prices_run_through_the_extremes_to_the_close() {
        for candles in [read(GOOD).unwrap(), zipped(0).unwrap()] {
            let path: Vec<String> = (0..10).map(|quarter| candles.price(quarter).to_string()).collect();
            // A rising candle passes its low first, a falling one its high; then the last close holds.
            assert_eq!(path, ["10", "9", "12", "11", "11", "11.5", "8", "9", "9", "9"]);
            assert_eq!((candles.step_ms(), candles.count()), (60_000, 2));
        }
    }

    #[test]
    fn columns_may_stand_in_any_order() {
        let swapped = "low,high,open_time_ms,open,close,volume\n9,12,0,10,11,1\n8,11.5,60000,11,9,1\n";
        assert_eq!(read(swapped).unwrap(), read(GOOD).unwrap());
    }

    #[test]
    fn errors_name_file_line_column_value_and_what_fits() {
        let check = |text: &str, words: &[&str]| {
            let error = read(text).unwrap_err().to_string();
            for word in words.iter().chain(&["candles.csv"]) {
                assert!(error.contains(word), "{error}\nshould contain {word}");
            }
        };
        let with = |from: &str, to: &str| GOOD.replacen(from, to, 1);
        check("", &["has 0 candles"]);
        check("open_time_ms,open,high,low,close,volume\n", &["has 0 candles"]);
        check(GOOD.rsplit_once("60000").unwrap().0, &["has 1 candles"]);
        check(&with(",low", ""), &["line 1", "no column `low`", "open_time_ms,open,high,close,volume"]);
        check(&with("open_time_ms", "time"), &["line 1", "no column `open_time_ms`", "time,open"]);
        check(&format!("{GOOD}180000,9,9,9,9,1\n"), &["line 4", "open_time_ms is `180000`", "60000 ms after", "gap"]);
        check(&with("60000", "0"), &["line 3", "open_time_ms is `0`", "later than the line before, 0"]);
        check(&with("60000", "-5"), &["line 3", "open_time_ms is `-5`", "later"]);
        check(&with("10,12,9,11", "10,8,9,10"), &["line 2", "low is `9`", "at most the high 8"]);
        check(&with("10,12,9,11", "13,12,9,11"), &["line 2", "open is `13`", "between the low 9 and the high 12"]);
        check(&with("9.0", "9.0x"), &["line 3", "close is `9.0x`", "a price"]);
        check(&with("9.0", "0"), &["line 3", "close is `0`", "greater than 0"]);
        check(&with("0,10", "1e3,10"), &["line 2", "open_time_ms is `1e3`", "milliseconds"]);
        check(&with("9.0,", "9.0"), &["line: 3", "found record with 5 fields"]);
    }

    #[test]
    fn a_truncated_gzip_and_a_missing_file_are_named() {
        for cut in [1, 9, 30] {
            assert!(zipped(cut).unwrap_err().to_string().contains("gzip ends too early"), "{cut}");
        }
        let error = Candles::read(Path::new("/nowhere/x.csv")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/x.csv: cannot be read"));
    }
}
