//! When an instrument trades: sessions by weekday on its exchange's own clock, and the days on which there are none.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::time::Timestamp;

const MINUTE_US: i64 = 60_000_000;
const DAY_MINUTES: i64 = 1440;

/// How many days ahead the next session is looked for.
const AHEAD: i64 = 400;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl Weekday {
    /// All of them, Monday first.
    pub const ALL: [Self; 7] = [Self::Monday, Self::Tuesday, Self::Wednesday, Self::Thursday, Self::Friday, Self::Saturday, Self::Sunday];

    /// Of a day counted from 1970-01-01, which was a Thursday.
    fn of(day: i64) -> Self {
        Self::ALL[usize::try_from((day + 3).rem_euclid(7)).unwrap_or(0)]
    }
}

/// A time of day on the exchange's clock, to the minute: `09:30`; `24:00` is the end of the day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(u16);

/// A day on the exchange's calendar: `2026-12-25`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

/// Text that is no time of day or no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is not {what}")]
pub struct HoursError {
    got: String,
    what: &'static str,
}

impl FromStr for TimeOfDay {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let read = || {
            let (hours, minutes) = text.split_once(':')?;
            let two = |part: &str| (part.len() == 2).then(|| part.parse::<u16>().ok()).flatten();
            let (hours, minutes) = (two(hours)?, two(minutes)?);
            (minutes < 60 && hours * 60 + minutes <= 1440).then_some(Self(hours * 60 + minutes))
        };
        read().ok_or_else(|| HoursError { got: text.chars().take(48).collect(), what: "a time of day; write \"09:30\", at most \"24:00\"" })
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl FromStr for Day {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let read = || {
            let mut parts = text.split('-');
            let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
            let plain = year.len() == 4 && month.len() == 2 && day.len() == 2 && parts.next().is_none();
            let month = time::Month::try_from(month.parse::<u8>().ok()?).ok()?;
            let date = time::Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
            plain.then(|| {
                Self(i64::from(date.to_julian_day() - time::Date::from_ordinal_date(1970, 1).map_or(0, time::Date::to_julian_day)))
            })
        };
        read().ok_or_else(|| HoursError { got: text.chars().take(48).collect(), what: "a day; write \"2026-12-25\"" })
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = Timestamp::from_micros(self.0.saturating_mul(DAY_MINUTES * MINUTE_US)).to_string();
        f.write_str(instant.get(..10).unwrap_or("out of range"))
    }
}

/// What is written as text and debugged as it is written.
macro_rules! textual {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
textual!(TimeOfDay, Day);

/// One session of a weekday. What goes on over midnight is two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// On which day of the week.
    pub day: Weekday,
    /// From then on.
    pub from: TimeOfDay,
    /// Until right before then.
    pub to: TimeOfDay,
}

/// From an instant on, how far the exchange's clock is from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Offset {
    /// The instant.
    pub from: Timestamp,
    /// Minutes east of UTC: -300 in New York in winter, -240 in summer.
    pub minutes: i16,
}

/// When an instrument trades, as its venue states it. Nothing is computed of time zones: where the exchange's clock changes, the changes are
/// listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TradingHours {
    /// The sessions of a week, in order and apart.
    pub sessions: Vec<Session>,
    /// How far the exchange's clock is from UTC, by when it changes, in order; before the first one that one holds. UTC when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offsets: Vec<Offset>,
    /// The days without a session.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub holidays: BTreeSet<Day>,
}

impl TradingHours {
    /// Checks what the types alone cannot.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what fits.
    pub fn check(&self) -> Result<(), String> {
        if self.sessions.is_empty() {
            return Err("hours has no sessions; leave it out where there is always trade".into());
        }
        if let Some(session) = self.sessions.iter().find(|session| session.from >= session.to) {
            return Err(format!("hours: a session from {} to {} ends before it begins", session.from, session.to));
        }
        let apart = self.sessions.windows(2).all(|two| (two[0].day, two[0].to) <= (two[1].day, two[1].from) && two[0].day <= two[1].day);
        if !apart {
            return Err("hours: sessions must be in order from Monday on, and apart".into());
        }
        if !self.offsets.windows(2).all(|two| two[0].from < two[1].from) {
            return Err("hours: offsets must ascend".into());
        }
        match self.offsets.iter().find(|offset| offset.minutes.abs() > 1080) {
            Some(offset) => Err(format!("hours: an offset is {} minutes, but must be at most 1080 either way", offset.minutes)),
            None => Ok(()),
        }
    }

    /// Whether there is a session at an instant.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        let local = self.local(at);
        self.on(local.div_euclid(DAY_MINUTES * MINUTE_US)).any(|(from, to)| from <= local && local < to)
    }

    /// When the next session begins: `None` while there is one, or where there is none within 400 days.
    #[must_use]
    pub fn opens_after(&self, at: Timestamp) -> Option<Timestamp> {
        if self.is_open(at) {
            return None;
        }
        let today = self.local(at).div_euclid(DAY_MINUTES * MINUTE_US);
        let mut starts = (today - 1..today + AHEAD).flat_map(|day| self.on(day)).map(|(from, _)| self.instant(from));
        starts.find(|start| *start > at)
    }

    fn minutes_at(&self, at: Timestamp) -> i64 {
        let holds = self.offsets.iter().rev().find(|offset| offset.from <= at).or(self.offsets.first());
        holds.map_or(0, |offset| i64::from(offset.minutes))
    }

    /// Microseconds on the exchange's clock.
    fn local(&self, at: Timestamp) -> i64 {
        at.as_micros().saturating_add(self.minutes_at(at) * MINUTE_US)
    }

    /// The instant at which the exchange's clock shows a time.
    fn instant(&self, local: i64) -> Timestamp {
        let at = |minutes: i64| Timestamp::from_micros(local.saturating_sub(minutes * MINUTE_US));
        let fits = self.offsets.iter().map(|offset| at(i64::from(offset.minutes))).find(|instant| self.local(*instant) == local);
        fits.unwrap_or_else(|| at(self.offsets.last().map_or(0, |offset| i64::from(offset.minutes))))
    }

    /// The sessions of a day, in microseconds on the exchange's clock.
    fn on(&self, day: i64) -> impl Iterator<Item = (i64, i64)> + '_ {
        let weekday = Weekday::of(day);
        let works = !self.holidays.contains(&Day(day));
        let at = move |time: TimeOfDay| (day * DAY_MINUTES + i64::from(time.0)) * MINUTE_US;
        self.sessions.iter().filter(move |session| works && session.day == weekday).map(move |one| (at(one.from), at(one.to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// New York in 2026: summer time from 8 March 07:00 to 1 November 06:00 UTC.
    fn new_york() -> TradingHours {
        let days = [Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday];
        let offset = |from: &str, minutes| Offset { from: from.parse().unwrap(), minutes };
        TradingHours {
            sessions: days.map(|day| Session { day, from: "09:30".parse().unwrap(), to: "16:00".parse().unwrap() }).to_vec(),
            offsets: vec![offset("2025-11-02T06:00:00Z", -300), offset("2026-03-08T07:00:00Z", -240), offset("2026-11-01T06:00:00Z", -300)],
            holidays: BTreeSet::from(["2026-11-26".parse().unwrap(), "2026-12-25".parse().unwrap()]),
        }
    }

    #[test]
    fn a_market_is_open_in_its_sessions() {
        let hours = new_york();
        hours.check().unwrap();
        let check = |at: &str, opens: Option<&str>| {
            let at: Timestamp = at.parse().unwrap();
            assert_eq!(hours.is_open(at), opens.is_none(), "{at}");
            assert_eq!(hours.opens_after(at), opens.map(|opens| opens.parse().unwrap()), "{at}");
        };
        check("2026-11-20T14:30:00Z", None);
        check("2026-11-20T14:29:59.999999Z", Some("2026-11-20T14:30:00Z"));
        check("2026-11-20T20:59:59Z", None);
        // A weekend, then a holiday, then the change of the clock.
        check("2026-11-20T21:00:00Z", Some("2026-11-23T14:30:00Z"));
        check("2026-11-25T22:00:00Z", Some("2026-11-27T14:30:00Z"));
        check("2026-12-24T21:00:00Z", Some("2026-12-28T14:30:00Z"));
        check("2026-03-06T22:00:00Z", Some("2026-03-09T13:30:00Z"));
        check("2026-10-30T21:00:00Z", Some("2026-11-02T14:30:00Z"));
    }

    #[test]
    fn hours_that_cannot_be_are_refused() {
        let check = |change: fn(&mut TradingHours), words: &str| {
            let mut hours = new_york();
            change(&mut hours);
            let said = hours.check().unwrap_err();
            assert!(said.contains(words), "{said}");
        };
        check(|hours| hours.sessions.clear(), "no sessions");
        check(|hours| hours.sessions.swap(0, 1), "in order");
        check(|hours| hours.sessions[0].to = "09:00".parse().unwrap(), "ends before it begins");
        check(|hours| hours.offsets.swap(0, 1), "must ascend");
        check(|hours| hours.offsets[0].minutes = 1081, "at most 1080");
        let text = serde_json::to_string(&new_york()).unwrap();
        assert_eq!(serde_json::from_str::<TradingHours>(&text).unwrap(), new_york());
        for wrong in ["9:30", "24:01", "12:60", "", "12"] {
            assert!(wrong.parse::<TimeOfDay>().is_err(), "{wrong}");
        }
        for wrong in ["2026-02-30", "26-01-01", "2026-1-1", "2026-01-01-01"] {
            assert!(wrong.parse::<Day>().is_err(), "{wrong}");
        }
    }
}
