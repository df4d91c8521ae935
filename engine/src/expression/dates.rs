//! Dates: seconds since the epoch, and jq's "broken down time".

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};

use super::evaluate::Stop;
use super::text::typed;
use crate::value::{Array, Value};

/// `gmtime`: year, month from 0, day, hour, minute, seconds, weekday, day of the year from 0.
pub(super) fn gmtime(seconds: &Value) -> Result<Value, Stop> {
    let number = seconds.as_f64().ok_or_else(|| Stop::error("gmtime() requires a number"))?;
    #[expect(clippy::cast_possible_truncation, reason = "floored; out of range is refused below")]
    let date = DateTime::from_timestamp(number.floor() as i64, 0)
        .ok_or_else(|| Stop::error("error converting number of seconds since epoch to datetime"))?;
    let rest = f64::from(date.second()) + (number - number.floor());
    Ok(broken_down(date.naive_utc(), Value::number(rest)))
}

fn broken_down(date: NaiveDateTime, seconds: Value) -> Value {
    let int = |n: u32| Value::Int(i64::from(n));
    Value::Array(
        vec![
            Value::Int(i64::from(date.year())),
            int(date.month0()),
            int(date.day()),
            int(date.hour()),
            int(date.minute()),
            seconds,
            int(date.weekday().num_days_from_sunday()),
            int(date.ordinal0()),
        ]
        .into(),
    )
}

fn assembled(parts: &Array, who: &str) -> Result<DateTime<Utc>, Stop> {
    let wrong = || Stop::error(format!("{who} requires parsed datetime inputs"));
    let part = |at: usize| parts.get(at).and_then(Value::as_f64).ok_or_else(wrong);
    #[expect(clippy::cast_possible_truncation, reason = "jq truncates the parts")]
    let whole = |at: usize| part(at).map(|n| n.floor() as i64);
    let year = i32::try_from(whole(0)?).map_err(|_| wrong())?;
    let month = whole(1)?;
    let start = NaiveDate::from_ymd_opt(year, u32::try_from(month).map_err(|_| wrong())? + 1, 1).ok_or_else(wrong)?;
    let span = TimeDelta::try_days(whole(2)? - 1)
        .and_then(|span| span.checked_add(&TimeDelta::try_hours(whole(3).ok()?)?))
        .and_then(|span| span.checked_add(&TimeDelta::try_minutes(whole(4).ok()?)?))
        .and_then(|span| span.checked_add(&TimeDelta::try_seconds(whole(5).ok()?)?));
    let date = start.and_time(chrono::NaiveTime::MIN).checked_add_signed(span.ok_or_else(wrong)?);
    Ok(date.ok_or_else(wrong)?.and_utc())
}

/// `mktime`.
pub(super) fn mktime(value: &Value) -> Result<Value, Stop> {
    let Value::Array(parts) = value else { return Err(Stop::error("mktime requires array of 6 numbers")) };
    if parts.len() < 6 {
        return Err(Stop::error("mktime requires array of 6 numbers"));
    }
    Ok(Value::Int(assembled(parts, "mktime")?.timestamp()))
}

/// `strftime`.
pub(super) fn strftime(value: &Value, form: &Value) -> Result<Value, Stop> {
    let parts = match value {
        Value::Array(parts) => parts.clone(),
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds, towards zero")]
        Value::Int(_) | Value::Float(_) => match gmtime(&Value::Int(value.as_f64().unwrap_or(0.0) as i64))? {
            Value::Array(parts) => parts,
            _ => Array::new(),
        },
        _ => return Err(Stop::error("strftime/1 requires parsed datetime inputs")),
    };
    let Value::String(form) = form else { return Err(Stop::error("strftime/1 requires a string format")) };
    let date = assembled(&parts, "strftime/1")?;
    let mut text = String::new();
    use std::fmt::Write as _;
    let form = form.replace("%Z", "GMT");
    write!(text, "{}", date.format(&form)).map_err(|_| Stop::error("strftime/1: unknown system failure"))?;
    Ok(Value::from(text.as_str()))
}

/// `strptime`.
pub(super) fn strptime(value: &Value, form: &Value) -> Result<Value, Stop> {
    let Value::String(text) = value else {
        return Err(Stop::error(format!("strptime/1 requires string inputs and arguments, not {}", typed(value))));
    };
    let Value::String(form) = form else { return Err(Stop::error("strptime/1 requires string inputs and arguments")) };
    let wrong = || Stop::error(format!("date \"{text}\" does not match format \"{form}\""));
    let parsed = if form.contains("%z") {
        DateTime::parse_from_str(text, form).map(|date| date.naive_local()).ok()
    } else {
        let form = form.replace("%Z", "Z");
        let date = NaiveDateTime::parse_from_str(text, &form).ok();
        date.or_else(|| NaiveDate::parse_from_str(text, &form).ok().map(|date| date.and_time(chrono::NaiveTime::MIN)))
    };
    let date = parsed.ok_or_else(wrong)?;
    Ok(broken_down(date, Value::Int(i64::from(date.second()))))
}
