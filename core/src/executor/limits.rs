//! What limits are made of beside amounts: rates of orders, hours of the week, and what happens to an order that is too large.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::time::{Timestamp, format_duration, parse_duration};

/// What happens to an entry that is larger than a limit on size admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExcess {
    /// It is refused.
    #[default]
    Refuse,
    /// It is made as small as the limit asks, in whole lots; refused where that is below the venue's smallest order.
    Shrink,
}

/// The largest number of entries that can be counted in a period.
pub const MOST_COUNTED: u32 = 256;

/// So many entries in a period, written `10/1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderRate {
    /// How many, from 1 to [`MOST_COUNTED`].
    pub count: u32,
    /// In any period as long as this.
    pub per: Duration,
}

impl FromStr for OrderRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let got: String = text.chars().take(48).collect();
            format!("`{got}` is not a rate; write a count of 1 to {MOST_COUNTED} and a period, such as \"10/1m\"")
        };
        let (count, per) = text.split_once('/').ok_or_else(wrong)?;
        let count = count.trim().parse().map_err(|_| wrong())?;
        let per = parse_duration(per.trim()).map_err(|_| wrong())?;
        if count == 0 || count > MOST_COUNTED || per.is_zero() { Err(wrong()) } else { Ok(Self { count, per }) }
    }
}

impl fmt::Display for OrderRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, format_duration(self.per))
    }
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES_OF_DAY: u16 = 24 * 60;
const MICROS_OF_MINUTE: i64 = 60_000_000;

/// A time of day on some days of the week, in UTC, written `mon-fri 08:00-16:30`. The end is not part of it. One that ends where it begins or
/// before goes on into the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TradingWindow {
    /// The days on which it begins, Monday as the lowest bit.
    days: u8,
    /// Minutes since midnight.
    from: u16,
    until: u16,
}

impl TradingWindow {
    fn holds(self, day: u8, minute: u16) -> bool {
        let begins = |day: u8| self.days & (1 << day) != 0;
        if self.from < self.until {
            return begins(day) && (self.from..self.until).contains(&minute);
        }
        (begins(day) && minute >= self.from) || (begins((day + 6) % 7) && minute < self.until)
    }
}

fn day(text: &str) -> Option<u8> {
    DAYS.iter().position(|name| name.eq_ignore_ascii_case(text)).and_then(|at| u8::try_from(at).ok())
}

/// `mon`, `mon-fri` or `fri-mon`, as bits.
fn days(text: &str) -> Option<u8> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (mut at, last) = (day(first.trim())?, day(last.trim())?);
    let mut bits = 1_u8 << at;
    while at != last {
        at = (at + 1) % 7;
        bits |= 1 << at;
    }
    Some(bits)
}

fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let two = |digits: &str| (digits.len() == 2).then(|| digits.parse::<u16>().ok()).flatten();
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let fits = (hours < 24 && minutes < 60) || (hours == 24 && minutes == 0);
    fits.then_some(hours * 60 + minutes)
}

impl FromStr for TradingWindow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (on, time) = text.trim().rsplit_once(' ')?;
            let bits = on.split(',').map(|part| days(part.trim())).try_fold(0, |all, bits| Some(all | bits?))?;
            let (from, until) = time.split_once('-')?;
            let (from, until) = (minute(from)?, minute(until)?);
            (from < MINUTES_OF_DAY).then_some(Self { days: bits, from, until })
        };
        read().ok_or_else(|| {
            let got: String = text.chars().take(48).collect();
            format!(
                "`{got}` is no time of the week; write days and hours in UTC, such as \"mon-fri 08:00-16:30\" or \"sat,sun 00:00-24:00\""
            )
        })
    }
}

impl fmt::Display for TradingWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = DAYS.iter().enumerate().filter(|(at, _)| self.days & (1 << at) != 0).map(|(_, name)| *name).collect();
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        write!(f, "{} {}-{}", names.join(","), time(self.from), time(self.until))
    }
}

/// The most windows that one week can be made of.
pub const MOST_WINDOWS: usize = 16;

/// When entries may be opened: at most [`MOST_WINDOWS`] windows of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TradingHours {
    windows: [TradingWindow; MOST_WINDOWS],
    count: u8,
}

impl TradingHours {
    /// These windows.
    ///
    /// # Errors
    /// A sentence where there are none, or more than [`MOST_WINDOWS`].
    pub fn new(given: &[TradingWindow]) -> Result<Self, String> {
        if given.is_empty() || given.len() > MOST_WINDOWS {
            let count = given.len();
            return Err(format!("got {count} times of the week, but must be 1 to {MOST_WINDOWS}; leave it out to trade at all hours"));
        }
        let mut windows = [TradingWindow::default(); MOST_WINDOWS];
        windows[..given.len()].copy_from_slice(given);
        Ok(Self { windows, count: u8::try_from(given.len()).unwrap_or(u8::MAX) })
    }

    /// The windows.
    pub fn windows(&self) -> impl Iterator<Item = &TradingWindow> {
        self.windows.iter().take(usize::from(self.count))
    }

    /// Whether an instant is within one of them.
    #[must_use]
    pub fn hold(&self, at: Timestamp) -> bool {
        let (day, minute) = week(at);
        self.windows().any(|window| window.holds(day, minute))
    }

    /// The day and the minute of an instant in words, as in a window: `thu 23:59`.
    #[must_use]
    pub fn moment(at: Timestamp) -> String {
        let (day, minute) = week(at);
        format!("{} {:02}:{:02}", DAYS[usize::from(day)], minute / 60, minute % 60)
    }
}

/// The day of the week, Monday being 0, and the minute of it.
fn week(at: Timestamp) -> (u8, u16) {
    let minutes = at.as_micros().div_euclid(MICROS_OF_MINUTE);
    let of_day = i64::from(MINUTES_OF_DAY);
    // 1970-01-01 was a Thursday.
    let day = (minutes.div_euclid(of_day) + 3).rem_euclid(7);
    let minute = minutes.rem_euclid(of_day);
    (u8::try_from(day).unwrap_or_default(), u16::try_from(minute).unwrap_or_default())
}

impl fmt::Display for TradingHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.windows().map(ToString::to_string).collect();
        f.write_str(&all.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn hours(windows: &[&str]) -> TradingHours {
        let windows: Vec<TradingWindow> = windows.iter().map(|text| text.parse().unwrap()).collect();
        TradingHours::new(&windows).unwrap()
    }

    #[test]
    fn a_window_has_a_first_minute_and_no_last_one() {
        // 2026-11-20 is a Friday.
        let check = |windows: &[&str], when: &str, expected| assert_eq!(hours(windows).hold(at(when)), expected, "{windows:?} {when}");
        let work: &[&str] = &["mon-fri 08:00-16:30"];
        check(work, "2026-11-20T07:59:59.999999Z", false);
        check(work, "2026-11-20T08:00:00Z", true);
        check(work, "2026-11-20T16:29:59Z", true);
        check(work, "2026-11-20T16:30:00Z", false);
        check(work, "2026-11-21T12:00:00Z", false);
        check(&["sat,sun 00:00-24:00"], "2026-11-21T23:59:59Z", true);
        check(&["sat,sun 00:00-24:00"], "2026-11-23T00:00:00Z", false);
        // Over midnight, and over the end of the week.
        check(&["fri 22:00-02:00"], "2026-11-21T01:59:00Z", true);
        check(&["fri 22:00-02:00"], "2026-11-20T01:59:00Z", false);
        check(&["sun 22:00-02:00"], "2026-11-23T01:00:00Z", true);
        check(&["sat-mon 10:00-11:00"], "2026-11-22T10:00:00Z", true);
        check(&["sat-mon 10:00-11:00"], "2026-11-24T10:00:00Z", false);
        check(&["wed 09:00-09:00"], "2026-11-19T08:59:00Z", true);
        check(&["mon 09:00-10:00", "fri 09:00-10:00"], "2026-11-20T09:30:00Z", true);
    }

    #[test]
    fn an_instant_before_1970_has_a_weekday_too() {
        assert_eq!(TradingHours::moment(at("1969-12-31T23:59:00Z")), "wed 23:59");
        assert_eq!(TradingHours::moment(at("1970-01-01T00:00:00Z")), "thu 00:00");
    }

    #[test]
    fn what_is_written_wrong_says_what_fits() {
        for wrong in ["", "mon", "08:00-16:00", "mon 8:00-16:00", "mon 08:00", "mon 24:00-25:00", "mon 08:60-09:00", "mo 08:00-09:00"] {
            assert!(wrong.parse::<TradingWindow>().unwrap_err().contains("mon-fri 08:00-16:30"), "{wrong}");
        }
        for wrong in ["", "10", "10/", "0/1m", "-1/1m", "257/1m", "10/0s", "10/1"] {
            assert!(wrong.parse::<OrderRate>().unwrap_err().contains("10/1m"), "{wrong}");
        }
        assert_eq!("10/60s".parse::<OrderRate>().unwrap().to_string(), "10/1m");
        assert_eq!("Mon-Wed,fri 08:00-16:00".parse::<TradingWindow>().unwrap().to_string(), "mon,tue,wed,fri 08:00-16:00");
        assert!(TradingHours::new(&[]).unwrap_err().contains("1 to 16"));
    }
}
