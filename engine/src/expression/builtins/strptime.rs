//! Text as a date, by a format of the C library in the locale "C".

use super::dates::{Parts, days_before_month, is_space};
use super::strftime::{DAYS, MONTHS};

/// What a text has said so far.
struct Reading<'a> {
    rest: &'a str,
    parts: Parts,
    /// The hour counts to 12, and it is the second half of the day.
    twelve: bool,
    afternoon: bool,
    century: Option<i64>,
    /// The two last digits of the year.
    short_year: bool,
    weekday: bool,
    yearday: bool,
    month: bool,
    day: bool,
    /// Something of the date was said from which the days of the week and year follow.
    dated: bool,
    /// Weeks from Sunday or Monday, and how many.
    week: Option<(i64, i64)>,
}

/// The date that `text` says, and what is left of it; `None` when it is not of that form.
pub fn read<'a>(text: &'a str, format: &str) -> Option<(Parts, &'a str)> {
    let parts = Parts { year: 1900, weekday: 8, yearday: 367, ..Parts::default() };
    let mut reading = Reading {
        rest: text,
        parts,
        twelve: false,
        afternoon: false,
        century: None,
        short_year: false,
        weekday: false,
        yearday: false,
        month: false,
        day: false,
        dated: false,
        week: None,
    };
    reading.follow(format)?;
    reading.finish();
    Some((reading.parts, reading.rest))
}

impl<'a> Reading<'a> {
    fn follow(&mut self, format: &str) -> Option<()> {
        let mut format = format.chars();
        while let Some(c) = format.next() {
            if u8::try_from(c).is_ok_and(is_space) {
                self.space();
                continue;
            }
            if c != '%' {
                self.rest = self.rest.strip_prefix(c)?;
                continue;
            }
            let mut conversion = format.next()?;
            while matches!(conversion, '-' | '_' | '^' | '#' | '0'..='9') {
                conversion = format.next()?;
            }
            if matches!(conversion, 'E' | 'O') {
                conversion = format.next()?;
            }
            self.convert(conversion)?;
        }
        Some(())
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches(|c| u8::try_from(c).is_ok_and(is_space));
    }

    /// A number of at most so many digits within bounds, after space.
    fn number(&mut self, from: i64, to: i64, digits: usize) -> Option<i64> {
        self.rest = self.rest.trim_start_matches(' ');
        let len = self.rest.bytes().take(digits).take_while(u8::is_ascii_digit).count();
        let number = self.rest[..len].parse().ok()?;
        self.rest = &self.rest[len..];
        (from..=to).contains(&number).then_some(number)
    }

    /// A name or its first three letters.
    fn name(&mut self, names: &[&str]) -> Option<i64> {
        let starts = |name: &str| self.rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let place = names.iter().position(|name| starts(&name[..3]))?;
        let len = if starts(names[place]) { names[place].len() } else { 3 };
        self.rest = &self.rest[len..];
        Some(place as i64)
    }

    fn convert(&mut self, conversion: char) -> Option<()> {
        self.dated |= matches!(conversion, 'b' | 'B' | 'h' | 'C' | 'd' | 'e' | 'm' | 'y' | 'Y');
        match conversion {
            '%' => self.rest = self.rest.strip_prefix('%')?,
            'a' | 'A' => {
                self.parts.weekday = self.name(&DAYS)?;
                self.weekday = true;
            }
            'b' | 'B' | 'h' => {
                self.parts.month = self.name(&MONTHS)?;
                self.month = true;
            }
            'c' => self.follow("%a %b %e %H:%M:%S %Y")?,
            'C' => self.century = Some(self.number(0, 99, 2)?),
            'd' | 'e' => {
                self.parts.day = self.number(1, 31, 2)?;
                self.day = true;
            }
            'D' | 'x' => self.follow("%m/%d/%y")?,
            'F' => self.follow("%Y-%m-%d")?,
            'g' => _ = self.number(0, 99, 2)?,
            // Of any length, and no space before it.
            'G' => {
                let behind = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
                if behind.len() == self.rest.len() {
                    return None;
                }
                self.rest = behind;
            }
            'H' | 'k' => {
                self.parts.hour = self.number(0, 23, 2)?;
                self.twelve = false;
            }
            'I' | 'l' => {
                self.parts.hour = self.number(1, 12, 2)? % 12;
                self.twelve = true;
            }
            'j' => {
                self.parts.yearday = self.number(1, 366, 3)? - 1;
                self.yearday = true;
            }
            'm' => {
                self.parts.month = self.number(1, 12, 2)? - 1;
                self.month = true;
            }
            'M' => self.parts.minute = self.number(0, 59, 2)?,
            'n' | 't' => self.space(),
            'p' | 'P' => {
                let half = self.rest.get(..2)?;
                self.afternoon = half.eq_ignore_ascii_case("PM");
                if !self.afternoon && !half.eq_ignore_ascii_case("AM") {
                    return None;
                }
                self.rest = &self.rest[2..];
            }
            'r' => self.follow("%I:%M:%S %p")?,
            'R' => self.follow("%H:%M")?,
            's' => self.seconds()?,
            'S' => self.parts.second = self.number(0, 61, 2)?,
            'T' | 'X' => self.follow("%H:%M:%S")?,
            'u' => {
                self.parts.weekday = self.number(1, 7, 1)? % 7;
                self.weekday = true;
            }
            'U' => self.week = Some((0, self.number(0, 53, 2)?)),
            'V' => _ = self.number(0, 53, 2)?,
            'w' => {
                self.parts.weekday = self.number(0, 6, 1)?;
                self.weekday = true;
            }
            'W' => self.week = Some((1, self.number(0, 53, 2)?)),
            'y' => {
                let year = self.number(0, 99, 2)?;
                self.parts.year = if year >= 69 { 1900 + year } else { 2000 + year };
                self.short_year = true;
            }
            'Y' => {
                self.parts.year = self.number(0, 9_999, 4)?;
                self.century = None;
                self.short_year = false;
            }
            'z' => self.zone()?,
            // The name of a zone is read and dropped.
            'Z' => {
                self.space();
                self.rest = self.rest.trim_start_matches(|c| !u8::try_from(c).is_ok_and(is_space));
            }
            _ => return None,
        }
        Some(())
    }

    /// Seconds since the epoch say everything.
    fn seconds(&mut self) -> Option<()> {
        let len = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let seconds = self.rest[..len].parse().ok().filter(|seconds| *seconds < 67_768_036_191_676_800)?;
        self.rest = &self.rest[len..];
        self.parts = Parts::from_seconds(seconds);
        Some(())
    }

    /// `Z`, or an offset of two or four digits, which is read and dropped.
    fn zone(&mut self) -> Option<()> {
        self.rest = self.rest.trim_start_matches(' ');
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Some(());
        }
        let rest = self.rest.strip_prefix(['+', '-'])?;
        let (mut digits, mut at) = (0, 0);
        let bytes = rest.as_bytes();
        let mut value = 0_i64;
        while digits < 4 && bytes.get(at).is_some_and(u8::is_ascii_digit) {
            value = value * 10 + i64::from(bytes[at] - b'0');
            digits += 1;
            at += 1;
            if digits == 2 && bytes.get(at) == Some(&b':') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
        }
        match digits {
            2 => value *= 100,
            4 if value % 100 < 60 => {}
            _ => return None,
        }
        self.rest = &rest[at..];
        (value <= 1_400).then_some(())
    }

    /// What follows from what was said.
    fn finish(&mut self) {
        if self.twelve && self.afternoon {
            self.parts.hour += 12;
        }
        if let Some(century) = self.century {
            let short = if self.short_year { self.parts.year.rem_euclid(100) } else { 0 };
            self.parts.year = century * 100 + short;
        }
        if self.dated && !self.weekday && self.yearday {
            self.fill_from_yearday();
        }
        let start = days_before_month(self.parts.year, 0);
        let parts = &mut self.parts;
        let in_year = (0..12).contains(&parts.month);
        let days = days_before_month(parts.year, parts.month) + parts.day - 1;
        let follows = |dated: bool| in_year && (dated || parts.day != 0);
        if !self.weekday && follows(self.dated) {
            parts.weekday = (days + 4).rem_euclid(7);
        }
        if !self.yearday && follows(self.dated) {
            parts.yearday = days - start;
        }
        if let Some((first, week)) = self.week
            && self.weekday
        {
            if !self.yearday {
                let new_year = (start + 4).rem_euclid(7);
                parts.yearday = (7 - (new_year - first)) % 7 + (week - 1) * 7 + (parts.weekday - first + 7) % 7;
            }
            self.fill_from_yearday();
        }
    }

    /// Month and day that were not said.
    fn fill_from_yearday(&mut self) {
        let parts = &mut self.parts;
        let start = days_before_month(parts.year, 0);
        let before = |month: i64| days_before_month(parts.year, month) - start;
        let month = (0..12).rev().find(|month| before(*month) <= parts.yearday).unwrap_or(0);
        let day = parts.yearday - before(month) + 1;
        if !self.month {
            parts.month = month;
        }
        if !self.day {
            parts.day = day;
        }
        (self.month, self.day) = (true, true);
    }
}
