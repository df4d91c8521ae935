//! Durations as the DSL writes them: ISO 8601 or an object of units.

use crate::time::Duration;
use crate::value::Value;

const SECOND: f64 = 1e6;
const MINUTE: f64 = 60.0 * SECOND;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;
/// A fraction of a month counts by this; whole months follow the calendar.
const MONTH: f64 = 30.0 * DAY;
/// Longest span: ten thousand years.
const MICROS_MAX: f64 = 10_000.0 * 366.0 * DAY;

/// The units of a duration object and their length.
pub(crate) const UNITS: [(&str, f64); 5] =
    [("days", DAY), ("hours", HOUR), ("minutes", MINUTE), ("seconds", SECOND), ("milliseconds", 1e3)];

/// What a computed duration gives: an ISO 8601 string or a duration object.
///
/// # Errors
/// When it is neither, with a message for the author.
pub fn from_value(value: &Value) -> Result<Duration, String> {
    match value {
        Value::String(text) => parse_iso8601(text),
        Value::Object(members) => {
            let mut micros = 0.0;
            for (unit, amount) in members.iter() {
                let Some(amount) = amount.as_f64() else {
                    return Err(format!("`{unit}` of a duration must be a number"));
                };
                micros += units_to_micros(unit, amount)?;
            }
            if members.iter().next().is_none() {
                return Err("a duration needs at least one unit".into());
            }
            exact(0.0, micros)
        }
        _ => Err("a duration is an ISO 8601 string such as PT30S, or an object such as {seconds: 30}".into()),
    }
}

/// `amount` of a unit of a duration object, in microseconds.
pub(crate) fn units_to_micros(unit: &str, amount: f64) -> Result<f64, String> {
    let Some((_, length)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("unknown unit `{unit}` of a duration"));
    };
    if amount < 0.0 {
        return Err("a duration can't be negative".into());
    }
    Ok(amount * length)
}

/// `P[nY][nM][nW][nD][T[nH][nM][nS]]`, decimals allowed in every part. Years and months follow the calendar.
///
/// # Errors
/// When `text` is not that, with a message for the author.
pub fn parse_iso8601(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not an ISO 8601 duration such as PT30S, PT1H30M or P1DT12H");
    let rest = text.strip_prefix('P').ok_or_else(wrong)?;
    let (date, time) = match rest.split_once('T') {
        Some((_, "")) => return Err(wrong()),
        Some((date, time)) => (date, time),
        None => (rest, ""),
    };
    let (mut months, mut micros, mut parts) = (0.0, 0.0, 0);
    let designators = [('Y', 12.0, 0.0), ('M', 1.0, 0.0), ('W', 0.0, 7.0 * DAY), ('D', 0.0, DAY)];
    let clock = [('H', 0.0, HOUR), ('M', 0.0, MINUTE), ('S', 0.0, SECOND)];
    for (part, units) in [(date, &designators[..]), (time, &clock[..])] {
        let mut rest = part;
        let mut next = 0;
        while !rest.is_empty() {
            let length = rest.bytes().take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b',')).count();
            let number = rest[..length].replace(',', ".");
            let well_formed =
                number.starts_with(|c: char| c.is_ascii_digit()) && number.ends_with(|c: char| c.is_ascii_digit());
            let amount: f64 = number.parse().ok().filter(|_| well_formed).ok_or_else(wrong)?;
            let designator = rest[length..].chars().next().ok_or_else(wrong)?;
            let found = units[next..].iter().position(|(name, ..)| *name == designator).ok_or_else(wrong)?;
            let (_, in_months, in_micros) = units[next + found];
            months += amount * in_months;
            micros += amount * in_micros;
            next += found + 1;
            parts += 1;
            rest = &rest[length + designator.len_utf8()..];
        }
    }
    if parts == 0 {
        return Err(wrong());
    }
    exact(months, micros)
}

/// Whole months, and the rest to the microsecond.
fn exact(months: f64, micros: f64) -> Result<Duration, String> {
    let whole = months.floor();
    let micros = (micros + (months - whole) * MONTH).round();
    if whole * MONTH + micros > MICROS_MAX {
        return Err("the duration is longer than 10,000 years".into());
    }
    // Both are non-negative and far below the limits of their types.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(Duration { months: whole as u32, micros: micros as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_8601_with_decimals() {
        let micros = |text| parse_iso8601(text).map(|d| (d.months, d.micros));
        assert_eq!(micros("PT30S"), Ok((0, 30_000_000)));
        assert_eq!(micros("PT0.5S"), Ok((0, 500_000)));
        assert_eq!(micros("PT1,5H"), Ok((0, 5_400_000_000)));
        assert_eq!(micros("P1Y2M3W4DT5H6M7S"), Ok((14, 25 * 86_400_000_000 + 18_367_000_000)));
        assert_eq!(micros("P0.5Y"), Ok((6, 0)));
        assert_eq!(micros("P0.5M"), Ok((0, 15 * 86_400_000_000)));
    }

    #[test]
    fn what_is_no_duration() {
        for text in [
            "",
            "P",
            "PT",
            "30s",
            "P1S",
            "PT1D",
            "PT1M1H",
            "P-1D",
            "PT.5S",
            "PT5.S",
            "P1DT",
            "pt5s",
            "P99999999999Y",
            "PT1.2.3S",
        ] {
            assert!(parse_iso8601(text).is_err(), "{text}");
        }
    }
}
