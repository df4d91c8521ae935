//! Dates as text, by a format of the C library in the locale "C", with its flags and widths.

use std::fmt::Write;

use super::dates::{Parts, days_before_month};

pub const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The widest that a field may be asked to be.
const WIDTH_MAX: usize = 1 << 16;

/// How a conversion was asked for.
#[derive(Clone, Copy, Default)]
struct Asked {
    /// `_`, `-`, `0` or `+`: what numbers are filled with.
    fill: Option<char>,
    upper: bool,
    swap: bool,
    width: usize,
}

/// The text of a date; `None` when it would be longer than anyone wants.
pub fn write(date: &Parts, format: &str, zone: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let start = rest.as_str();
        let mut asked = Asked::default();
        let mut conversion = rest.next();
        while let Some(flag) = conversion {
            match flag {
                '_' | '-' | '0' | '+' => asked.fill = Some(flag),
                '^' => asked.upper = true,
                '#' => asked.swap = true,
                _ => break,
            }
            conversion = rest.next();
        }
        while let Some(digit) = conversion.and_then(|c| c.to_digit(10)) {
            asked.width = (asked.width * 10 + digit as usize).min(WIDTH_MAX);
            conversion = rest.next();
        }
        if matches!(conversion, Some('E' | 'O')) {
            conversion = rest.next();
        }
        if asked.width >= WIDTH_MAX || out.len() > WIDTH_MAX {
            return None;
        }
        let known = conversion.is_some_and(|conversion| convert(date, conversion, asked, zone, &mut out));
        if !known {
            // What is no conversion stands as it is.
            out.push('%');
            out.push_str(&start[..start.len() - rest.as_str().len()]);
        }
    }
    Some(out)
}

fn number(out: &mut String, asked: Asked, value: i64, width: usize, fill: char) {
    let fill = match asked.fill {
        Some('_') => Some(' '),
        Some('0' | '+') => Some('0'),
        Some(_) => None,
        None => Some(fill),
    };
    let digits = value.unsigned_abs().to_string();
    let sign = if value < 0 { "-" } else { "" };
    let width =
        if fill.is_some() || asked.width > 0 { asked.width.max(if fill.is_some() { width } else { 0 }) } else { 0 };
    let missing = width.saturating_sub(digits.len() + sign.len());
    match fill {
        Some(' ') => {
            out.extend(std::iter::repeat_n(' ', missing));
            out.push_str(sign);
        }
        Some(_) => {
            out.push_str(sign);
            out.extend(std::iter::repeat_n('0', missing));
        }
        None => out.push_str(sign),
    }
    out.push_str(&digits);
}

fn text(out: &mut String, asked: Asked, value: &str, upper: bool) {
    let fill = if asked.fill == Some('0') || asked.fill == Some('+') { '0' } else { ' ' };
    let missing = if asked.fill == Some('-') { 0 } else { asked.width.saturating_sub(value.len()) };
    out.extend(std::iter::repeat_n(fill, missing));
    if upper {
        out.push_str(&value.to_uppercase());
    } else {
        out.push_str(value);
    }
}

/// Several conversions as one.
fn composed(out: &mut String, asked: Asked, date: &Parts, format: &str, zone: &str) {
    let value = write(date, format, zone).unwrap_or_default();
    text(out, asked, &value, asked.upper);
}

/// Writes one conversion; whether there is such a one.
fn convert(date: &Parts, conversion: char, asked: Asked, zone: &str, out: &mut String) -> bool {
    let [day, month] = [(&DAYS[..], date.weekday), (&MONTHS[..], date.month)]
        .map(|(names, place)| usize::try_from(place).ok().and_then(|place| names.get(place)).copied().unwrap_or("?"));
    // The C library keeps years from 1900 on in 32 bits.
    let since_1900 = (date.year - 1900) as i32;
    let upper = asked.upper || asked.swap;
    let hour12 = match date.hour {
        0 => 12,
        13.. => date.hour - 12,
        hour => hour,
    };
    match conversion {
        'a' => text(out, asked, day.get(..3).unwrap_or(day), upper),
        'A' => text(out, asked, day, upper),
        'b' | 'h' => text(out, asked, month.get(..3).unwrap_or(month), upper),
        'B' => text(out, asked, month, upper),
        'c' => composed(out, asked, date, "%a %b %e %H:%M:%S %Y", zone),
        'C' => number(out, asked, date.year.div_euclid(100), 1, '0'),
        'd' => number(out, asked, date.day, 2, '0'),
        'D' | 'x' => composed(out, asked, date, "%m/%d/%y", zone),
        'e' => number(out, asked, date.day, 2, ' '),
        'F' => composed(out, asked, date, "%Y-%m-%d", zone),
        'g' => number(out, asked, week_of_iso(date).0.rem_euclid(100), 2, '0'),
        'G' => number(out, asked, week_of_iso(date).0, 1, '0'),
        'H' => number(out, asked, date.hour, 2, '0'),
        'I' => number(out, asked, hour12, 2, '0'),
        'j' => number(out, asked, date.yearday + 1, 3, '0'),
        'k' => number(out, asked, date.hour, 2, ' '),
        'l' => number(out, asked, hour12, 2, ' '),
        'm' => number(out, asked, date.month + 1, 2, '0'),
        'M' => number(out, asked, date.minute, 2, '0'),
        'n' => text(out, asked, "\n", false),
        'p' => {
            let half = if date.hour < 12 { "AM" } else { "PM" };
            let half = if asked.swap { half.to_lowercase() } else { half.to_owned() };
            text(out, asked, &half, asked.upper && !asked.swap);
        }
        'P' => text(out, asked, if date.hour < 12 { "am" } else { "pm" }, false),
        'r' => composed(out, asked, date, "%I:%M:%S %p", zone),
        'R' => composed(out, asked, date, "%H:%M", zone),
        's' => {
            let year = i64::from(since_1900) + 1900;
            number(out, asked, Parts { year, ..*date }.checked_seconds().unwrap_or(-1), 1, '0');
        }
        'S' => number(out, asked, date.second, 2, '0'),
        't' => text(out, asked, "\t", false),
        'T' | 'X' => composed(out, asked, date, "%H:%M:%S", zone),
        'u' => number(out, asked, (date.weekday + 6) % 7 + 1, 1, '0'),
        'U' => number(out, asked, (date.yearday + 7 - date.weekday) / 7, 2, '0'),
        'V' => number(out, asked, week_of_iso(date).1, 2, '0'),
        'w' => number(out, asked, date.weekday, 1, '0'),
        'W' => number(out, asked, (date.yearday + 7 - (date.weekday + 6) % 7) / 7, 2, '0'),
        'y' => number(out, asked, i64::from(since_1900.rem_euclid(100)), 2, '0'),
        'Y' => number(out, asked, date.year, 1, '0'),
        'z' => {
            let mut offset = String::from("+");
            // Writing to a text can't fail.
            let _ = write!(offset, "{:0>width$}", 0, width = asked.width.saturating_sub(1).max(4));
            out.push_str(&offset);
        }
        'Z' => {
            let zone = if asked.swap { zone.to_lowercase() } else { zone.to_owned() };
            text(out, asked, &zone, asked.upper && !asked.swap);
        }
        '%' => text(out, asked, "%", false),
        _ => return false,
    }
    true
}

/// Year and week of ISO 8601: the week belongs to the year that its Thursday is in.
fn week_of_iso(date: &Parts) -> (i64, i64) {
    let thursday = date.yearday + 3 - (date.weekday + 6) % 7;
    let length = |year: i64| days_before_month(year + 1, 0) - days_before_month(year, 0);
    if thursday < 0 {
        (date.year - 1, (thursday + length(date.year - 1)) / 7 + 1)
    } else if thursday >= length(date.year) {
        (date.year + 1, 1)
    } else {
        (date.year, thursday / 7 + 1)
    }
}
