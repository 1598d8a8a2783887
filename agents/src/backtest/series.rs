//! Candles of one asset, read as they are needed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use omnivenue_core::agent::{Timeframe, TimeframeError};
use omnivenue_core::model::ids::Asset;
use omnivenue_core::model::instrument::Market;
use omnivenue_core::model::time::Timestamp;
use omnivenue_paper::{CandleError, CandleReader, CandleRow};

/// Why a series cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesError {
    /// A line of its file.
    #[error(transparent)]
    Candles(#[from] CandleError),
    /// Its first two candles do not tell how long one is.
    #[error("the candles of {asset} cannot be used: {source}")]
    Length {
        /// The asset.
        asset: Asset,
        /// What is wrong with their distance.
        source: TimeframeError,
    },
    /// A candle begins before the one before it is over.
    #[error("the candles of {asset} are {timeframe} long, but the one at {at} begins before the one before it is over")]
    Overlap {
        /// The asset.
        asset: Asset,
        /// How long its candles are.
        timeframe: Timeframe,
        /// The later one.
        at: Timestamp,
    },
    /// There are none, or none within the time.
    #[error("{what} has no candles to run over{within}")]
    Empty {
        /// The file, or the asset.
        what: String,
        /// The time that was asked for.
        within: String,
    },
    /// Candles of the same asset and market are given twice.
    #[error("the candles of {0} are given twice")]
    Twice(Asset),
}

type Rows = Box<dyn Iterator<Item = Result<CandleRow, CandleError>> + Send>;

/// Candles of one asset, read as they are needed: two of them are held at a time.
pub struct Series {
    asset: Asset,
    market: Market,
    /// The file, where it is one.
    file: Option<PathBuf>,
    timeframe: Timeframe,
    rows: Rows,
    ahead: std::collections::VecDeque<CandleRow>,
    last: Option<Timestamp>,
}

impl std::fmt::Debug for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Series").field("asset", &self.asset).field("timeframe", &self.timeframe).finish_non_exhaustive()
    }
}

impl Series {
    /// The candles of a file: CSV, or gzip of it, with the columns `open_time_ms,open,high,low,close,volume`. How long they are follows from the
    /// first two; gaps may be anywhere else.
    ///
    /// # Errors
    /// [`SeriesError`] when the file cannot be read or has fewer than two.
    pub fn file(asset: Asset, file: &Path) -> Result<Self, SeriesError> {
        let rows = CandleReader::open(file)?;
        Self::made(asset, Some(file.to_owned()), Box::new(rows))
    }

    /// Candles from anywhere.
    ///
    /// # Errors
    /// [`SeriesError`] when there are fewer than two.
    pub fn rows(asset: Asset, rows: impl Iterator<Item = Result<CandleRow, CandleError>> + Send + 'static) -> Result<Self, SeriesError> {
        Self::made(asset, None, Box::new(rows))
    }

    fn made(asset: Asset, file: Option<PathBuf>, mut rows: Rows) -> Result<Self, SeriesError> {
        let what = || file.as_ref().map_or_else(|| format!("the series of {asset}"), |file| file.display().to_string());
        let mut first = || rows.next().ok_or_else(|| SeriesError::Empty { what: what(), within: ": at least 2 are needed".into() });
        let (one, two) = (first()??, first()??);
        let length = u64::try_from(two.open_time_ms.saturating_sub(one.open_time_ms)).unwrap_or(0);
        let timeframe =
            Timeframe::new(Duration::from_millis(length)).map_err(|source| SeriesError::Length { asset: asset.clone(), source })?;
        Ok(Self { asset, market: Market::Perp, file, timeframe, rows, ahead: [one, two].into(), last: None })
    }

    /// The same candles, of instruments on this market; perpetuals unless told.
    #[must_use]
    pub fn on(self, market: Market) -> Self {
        Self { market, ..self }
    }

    /// What they are of.
    #[must_use]
    pub const fn asset(&self) -> &Asset {
        &self.asset
    }

    /// On which market.
    #[must_use]
    pub const fn market(&self) -> Market {
        self.market
    }

    /// How long each is.
    #[must_use]
    pub const fn timeframe(&self) -> Timeframe {
        self.timeframe
    }

    /// What it is called in messages.
    pub(super) fn name(&self) -> String {
        self.file.as_ref().map_or_else(|| self.asset.to_string(), |file| file.display().to_string())
    }

    /// The next candle that begins within the time; nothing after the first that begins too late.
    pub(super) fn next(&mut self, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<Option<CandleRow>, SeriesError> {
        loop {
            let row = match self.ahead.pop_front() {
                Some(row) => row,
                None => match self.rows.next().transpose()? {
                    Some(row) => row,
                    None => return Ok(None),
                },
            };
            let at = Timestamp::from_millis(row.open_time_ms);
            if self.last.is_some_and(|last| last.after(self.timeframe.length()) > at) {
                return Err(SeriesError::Overlap { asset: self.asset.clone(), timeframe: self.timeframe, at });
            }
            self.last = Some(at);
            if to.is_some_and(|to| at >= to) {
                return Ok(None);
            }
            if from.is_none_or(|from| at >= from) {
                return Ok(Some(row));
            }
        }
    }
}
