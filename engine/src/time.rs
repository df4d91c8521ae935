//! Time as a value. The core never asks for it.

use std::fmt;

use chrono::{DateTime, Months, SecondsFormat, TimeDelta, Utc};

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Timestamp {
        Timestamp(millis * 1_000)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Microseconds from `earlier` to here, 0 when it is later.
    #[must_use]
    pub const fn micros_since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// RFC 3339 in UTC with milliseconds, as everywhere in the API.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        self.to_datetime().to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// From RFC 3339 text; `None` when it is not or lies before 1970.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
        let micros = DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros();
        u64::try_from(micros).ok().map(Timestamp)
    }

    /// As a calendar date and time.
    #[must_use]
    pub fn to_datetime(self) -> DateTime<Utc> {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// A span as the DSL writes it: calendar months (years are 12) and an exact rest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Duration {
    /// Calendar months.
    pub months: u32,
    /// Microseconds.
    pub micros: u64,
}

impl Duration {
    /// A span of `millis` milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Duration {
        Duration { months: 0, micros: millis.saturating_mul(1_000) }
    }

    /// The moment this span after `start`; the end of representable time when it lies beyond.
    #[must_use]
    pub fn after(self, start: Timestamp) -> Timestamp {
        let mut moment = start;
        if self.months > 0 {
            let date = start.to_datetime().checked_add_months(Months::new(self.months));
            let micros = date.map_or(i64::MAX, |d| d.timestamp_micros());
            moment = Timestamp(u64::try_from(micros).unwrap_or(u64::MAX));
        }
        Timestamp(moment.0.saturating_add(self.micros))
    }

    /// Its length in microseconds, a month counted as 30 days: for limits and comparisons, not for the calendar.
    #[must_use]
    pub const fn nominal_micros(self) -> u64 {
        const MONTH: u64 = 30 * 86_400_000_000;
        (self.months as u64).saturating_mul(MONTH).saturating_add(self.micros)
    }
}

impl From<Duration> for TimeDelta {
    fn from(span: Duration) -> TimeDelta {
        TimeDelta::microseconds(i64::try_from(span.nominal_micros()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_the_calendar() {
        let start = Timestamp::parse_rfc3339("2026-01-31T12:00:00Z").expect("a date");
        let span = Duration { months: 1, micros: 1_000_000 };
        assert_eq!(span.after(start).to_rfc3339(), "2026-02-28T12:00:01.000Z");
    }
}
