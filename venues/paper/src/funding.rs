//! Funding of perpetuals: by schedule, at one rate or at those of a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use omnivenue_core::model::ids::{AccountId, VenueSymbol};
use omnivenue_core::model::movement::{Movement, MovementKind};
use omnivenue_core::model::number::Rate;
use omnivenue_core::model::time::{Timestamp, duration_text};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::candles::{CandleError, read_text};
use crate::config::Config;
use crate::contracts;
use crate::exchange::Exchange;

/// Funding by schedule: at every whole multiple of the interval since the exchange's epoch, for as long as it runs. What would have been due
/// while it did not run is not paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Funding {
    /// What longs pay shorts each time, as a share of the position's worth; negative is the other way round. At most 8 decimals.
    pub rate: Rate,
    /// From one payment to the next; at least a second.
    #[serde(with = "duration_text")]
    pub every: Duration,
    /// Rates of the past: a CSV file with the columns open_time_ms,funding_rate, or a gzip of one when it ends in `.gz`. The first payment is
    /// at the first of them, and so on, whatever their times; after the last one it is `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<PathBuf>,
}

/// The rates of each file.
pub(crate) type FundingRates = BTreeMap<VenueSymbol, Vec<Rate>>;

/// Reads every file of rates.
pub(crate) fn open_rates(config: &Config) -> Result<FundingRates, CandleError> {
    let series = config.funding.iter().filter_map(|(symbol, funding)| Some((symbol, funding.series.as_ref()?)));
    series.map(|(symbol, file)| Ok((symbol.clone(), read(file)?))).collect()
}

const COLUMNS: [&str; 2] = ["open_time_ms", "funding_rate"];

fn read(file: &Path) -> Result<Vec<Rate>, CandleError> {
    let text = read_text(file)?;
    let wrong = |line, reason: String| CandleError::Line { file: file.to_owned(), line, reason };
    let mut lines = (1_u64..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty());
    match lines.next() {
        Some((_, header)) if header.split(',').eq(COLUMNS) => {}
        header => {
            let has = header.map(|(_, text)| text.chars().take(96).collect::<String>()).unwrap_or_default();
            return Err(wrong(1, format!("its columns are {has}, but must be open_time_ms,funding_rate")));
        }
    }
    let rates = lines.map(|(line, text)| {
        let value = text.split_once(',').map_or("", |(_, value)| value);
        let rate = Decimal::from_scientific(value).or_else(|_| Decimal::from_str_exact(value));
        let rate = rate.ok().filter(|rate| rate.normalize().scale() <= RATE_DECIMALS).and_then(|rate| Rate::new(rate).ok());
        rate.ok_or_else(|| CandleError::Value {
            file: file.to_owned(),
            line,
            column: "funding_rate",
            value: value.chars().take(48).collect(),
            fits: format!("a number between -1 and 1 with at most {RATE_DECIMALS} decimals"),
        })
    });
    let rates = rates.collect::<Result<Vec<Rate>, _>>()?;
    if rates.is_empty() { Err(wrong(1, "has no rates".into())) } else { Ok(rates) }
}

/// Decimals of a rate, at most: fees and funding are exact products.
pub(crate) const RATE_DECIMALS: u32 = 8;

impl Funding {
    fn every_micros(&self) -> i64 {
        i64::try_from(self.every.as_micros()).unwrap_or(i64::MAX).max(1)
    }

    /// How many payments there were until an instant, that one included.
    fn paid_until(&self, epoch: Timestamp, until: Timestamp) -> i64 {
        until.as_micros().saturating_sub(epoch.as_micros()).max(0) / self.every_micros()
    }

    /// The first payment after an instant.
    pub(crate) fn next(&self, epoch: Timestamp, after: Timestamp) -> Timestamp {
        let number = self.paid_until(epoch, after) + 1;
        Timestamp::from_micros(epoch.as_micros().saturating_add(number.saturating_mul(self.every_micros())))
    }

    /// The rate of the payment at an instant.
    fn rate_at(&self, epoch: Timestamp, now: Timestamp, series: Option<&Vec<Rate>>) -> Rate {
        let number = usize::try_from(self.paid_until(epoch, now)).unwrap_or(usize::MAX);
        series.and_then(|series| series.get(number.checked_sub(1)?)).copied().unwrap_or(self.rate)
    }
}

impl Exchange {
    /// When funding is due next after an instant.
    pub(crate) fn next_funding(&self, after: Timestamp) -> Option<Timestamp> {
        self.config.funding.values().map(|funding| funding.next(self.state.epoch(), after)).min()
    }

    /// Pays the funding that is due at this very instant.
    pub(crate) fn pay_due(&mut self, now: Timestamp) {
        let before = Timestamp::from_micros(now.as_micros() - 1);
        let epoch = self.state.epoch();
        let due: Vec<(VenueSymbol, Rate)> = self
            .config
            .funding
            .iter()
            .filter(|(_, funding)| funding.next(epoch, before) == now)
            .map(|(symbol, funding)| (symbol.clone(), funding.rate_at(epoch, now, self.rates.get(symbol))))
            .collect();
        due.into_iter().for_each(|(symbol, rate)| drop(self.pay_funding(now, &symbol, rate)));
    }

    /// Has every position in an instrument pay or receive funding now, at the price at which positions are valued. Returns who paid or received
    /// how much; without a price nothing is paid.
    pub fn pay_funding(&mut self, now: Timestamp, symbol: &VenueSymbol, rate: Rate) -> Vec<(AccountId, Movement)> {
        let Some(mark) = self.market.mark(symbol, now) else { return Vec::new() };
        let Some(instrument) = self.market.instrument(symbol).cloned() else { return Vec::new() };
        let held: Vec<_> = self.state.accounts().map(|(id, account)| (id.clone(), account.truth.position(symbol).quantity)).collect();
        let mut paid = Vec::new();
        for (account, quantity) in held.into_iter().filter(|(_, quantity)| !quantity.is_zero()) {
            let pays = if quantity.is_long() { rate } else { opposite(rate) };
            let due = contracts::worth(&instrument, quantity.magnitude(), mark).and_then(|worth| contracts::fee(&instrument, worth, pays));
            let Ok(due) = due else { continue };
            if let Ok(movement) = self.move_money(now, &account, &instrument.settle, -due, (MovementKind::Funding, Some(symbol))) {
                paid.push((account, movement));
            }
        }
        paid
    }
}

fn opposite(rate: Rate) -> Rate {
    Rate::new(-rate.decimal()).expect("a rate has the same range either way")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_a_file_are_paid_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rates.csv");
        std::fs::write(&file, "open_time_ms,funding_rate\n1637193600017,0.0001\n1637222400007,8.995e-05\n1637251200011,-0.00034381\n")
            .unwrap();
        let rates = read(&file).unwrap();
        let funding = Funding { rate: "0.0002".parse().unwrap(), every: Duration::from_secs(60), series: Some(file.clone()) };
        let at = |seconds: u64| {
            funding.rate_at(Timestamp::EPOCH, Timestamp::EPOCH.after(Duration::from_secs(seconds)), Some(&rates)).to_string()
        };
        assert_eq!([at(60), at(120), at(180), at(240)], ["0.0001", "0.00008995", "-0.00034381", "0.0002"]);
        let check = |text: &str, words: &str| {
            std::fs::write(&file, text).unwrap();
            let said = read(&file).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        };
        check("time,rate\n1,2\n", "its columns are time,rate");
        check("open_time_ms,funding_rate\n1,2\n", "between -1 and 1");
        check("open_time_ms,funding_rate\n1,0.000000001\n", "at most 8 decimals");
        check("open_time_ms,funding_rate\n", "has no rates");
    }
}
