//! Dates: seconds since the epoch, and "broken down time": year, month from 0, day, hour, minute, second, day of the week from
//! Sunday, day of the year from 0. The zone is always UTC: an expression must answer the same on every node.

use super::{Arguments, strftime as form, strptime as reading};
use crate::expression::errors::Stop;
use crate::expression::run::Run;
use crate::value::{Array, Value};

type Done = Result<Value, Stop>;

/// A date and time in parts, which need not be within their bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    pub year: i64,
    /// From 0.
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    /// From Sunday.
    pub weekday: i64,
    /// From 0.
    pub yearday: i64,
}

const DAY_SECONDS: i64 = 86_400;

/// Days from 1970-01-01 to the first day of a month (from 0) of a year.
///
/// Years begin in March here, so that the day of a leap year is the last: months then take 153 days every five.
pub fn days_before_month(year: i64, month: i64) -> i64 {
    let (year, month) = (year + month.div_euclid(12), month.rem_euclid(12));
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let centuries = year.div_euclid(100);
    365 * year + year.div_euclid(4) - centuries + centuries.div_euclid(4) + (153 * month + 2) / 5 - 719_468
}

impl Parts {
    /// The seconds since the epoch.
    pub fn seconds(&self) -> i64 {
        let days = days_before_month(self.year, self.month) + self.day - 1;
        ((days * 24 + self.hour) * 60 + self.minute) * 60 + self.second
    }

    pub fn from_seconds(seconds: i64) -> Parts {
        let (days, rest) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
        // The year is guessed by its mean length and corrected.
        let mut year = 1970 + (days as f64 / 365.2425).floor() as i64;
        while days_before_month(year + 1, 0) <= days {
            year += 1;
        }
        while days_before_month(year, 0) > days {
            year -= 1;
        }
        let month = (0..12).rev().find(|month| days_before_month(year, *month) <= days).unwrap_or(0);
        Parts {
            year,
            month,
            day: days - days_before_month(year, month) + 1,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
            weekday: (days + 4).rem_euclid(7),
            yearday: days - days_before_month(year, 0),
        }
    }

    /// With every part within its bounds, and the days that follow from the date; as it is where the C library fails.
    fn normal(&self) -> Parts {
        let parts = self.checked_seconds().map_or(*self, Parts::from_seconds);
        Parts { year: shown_year(parts.year), ..parts }
    }

    /// The seconds, where the year that they are in, counted from 1900, has 32 bits, as the C library demands.
    pub fn checked_seconds(&self) -> Option<i64> {
        let seconds = self.seconds();
        i32::try_from(Parts::from_seconds(seconds).year - 1900).is_ok().then_some(seconds)
    }

    fn value(&self, fraction: f64) -> Value {
        let second = Value::number(self.second as f64 + fraction);
        let [year, month, day, hour, minute] =
            [shown_year(self.year), self.month, self.day, self.hour, self.minute].map(Value::Int);
        let [weekday, yearday] = [self.weekday, self.yearday].map(Value::Int);
        [year, month, day, hour, minute, second, weekday, yearday].into_iter().collect()
    }

    /// From an array of as many parts as there are.
    fn read(list: &Array) -> Option<Parts> {
        let mut parts = Parts { year: 1900, ..Parts::default() };
        let fields = [
            &mut parts.year,
            &mut parts.month,
            &mut parts.day,
            &mut parts.hour,
            &mut parts.minute,
            &mut parts.second,
            &mut parts.weekday,
            &mut parts.yearday,
        ];
        for (place, (field, value)) in fields.into_iter().zip(list).enumerate() {
            let number = value.as_f64().filter(|number| !number.is_nan())?;
            // jq counts years from 1900, in 32 bits.
            let base = if place == 0 { 1900 } else { 0 };
            *field = i64::from((number - f64::from(base)) as i32) + i64::from(base);
        }
        Some(parts)
    }
}

/// A year as jq shows it: counted from 1900 in 32 bits, from where it is brought back in 32 bits too.
const fn shown_year(year: i64) -> i64 {
    ((year - 1900) as i32).wrapping_add(1900) as i64
}

fn broken_down(input: &Value, who: &str) -> Done {
    let Some(seconds) = input.as_f64() else {
        return Err(Stop::error(format!("{who}() requires numeric inputs")));
    };
    // Beyond this the year leaves 32 bits.
    let whole = if seconds.is_nan() { i64::MIN } else { seconds as i64 };
    if !(-67_768_040_609_740_800..67_768_036_191_676_800).contains(&whole) {
        return Err(Stop::error("error converting number of seconds since epoch to datetime"));
    }
    Ok(Parts::from_seconds(whole).value(seconds - seconds.floor()))
}

pub fn gmtime(_: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    broken_down(&input, "gmtime")
}

pub fn localtime(_: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    broken_down(&input, "localtime")
}

pub fn mktime(_: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    let Value::Array(list) = &input else { return Err(Stop::error("mktime requires array inputs")) };
    let parts = Parts::read(list).ok_or_else(|| Stop::error("mktime requires parsed datetime inputs"))?;
    match parts.checked_seconds() {
        // What the C library returns for an error.
        None | Some(-1) => Err(Stop::error("invalid gmtime representation")),
        Some(-2) => Err(Stop::error("mktime not supported on this platform")),
        Some(seconds) => Ok(Value::number(seconds as f64)),
    }
}

fn formatted(run: &mut Run<'_>, input: &Value, format: &Value, who: &str, zone: &str) -> Done {
    let refused = || Stop::error(format!("{who} requires parsed datetime inputs"));
    let input = match input {
        Value::Int(_) | Value::Float(_) | Value::Decimal(_) => {
            broken_down(input, if zone == "GMT" { "gmtime" } else { "localtime" })?
        }
        Value::Array(_) => input.clone(),
        _ => return Err(refused()),
    };
    let Value::String(format) = format else {
        return Err(Stop::error(format!("{who} requires a string format")));
    };
    let format = until_nul(format);
    let parts = input.as_array().and_then(Parts::read).ok_or_else(refused)?;
    run.allocate(format.len() + 100)?;
    // The C library fails when the text is empty or does not fit.
    match form::write(&parts.normal(), format, zone).filter(|text| text.len() < format.len() + 100) {
        Some(text) if !text.is_empty() || format.is_empty() => Ok(Value::from(text)),
        _ => Err(Stop::error(format!("{who}: unknown system failure"))),
    }
}

pub fn strftime(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    formatted(run, &input, &arguments[0], "strftime/1", "GMT")
}

pub fn strflocaltime(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    formatted(run, &input, &arguments[0], "strflocaltime/1", "UTC")
}

pub fn strptime(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let (Value::String(text), Value::String(format)) = (&input, &arguments[0]) else {
        return Err(Stop::error("strptime/1 requires string inputs and arguments"));
    };
    let (text, format) = (until_nul(text), until_nul(format));
    run.charge((text.len() + format.len()) as u64)?;
    let read = reading::read(text, format);
    let Some((parts, rest)) = read.filter(|(_, rest)| rest.is_empty() || is_space(rest.as_bytes()[0])) else {
        return Err(Stop::error(format!("date \"{text}\" does not match format \"{format}\"")));
    };
    let Value::Array(mut list) = parts.value(0.0) else { return Ok(Value::Null) };
    if !rest.is_empty() {
        list.push(Value::from(rest));
    }
    Ok(Value::Array(list))
}

/// What the C library sees of a text: it ends at a U+0000.
fn until_nul(text: &str) -> &str {
    text.split('\0').next().unwrap_or_default()
}

/// White space in C.
pub const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

pub fn now(run: &mut Run<'_>, _: Value, _: Arguments<'_>) -> Done {
    Ok(Value::number(run.cx.now.millis() as f64 / 1_000.0))
}
