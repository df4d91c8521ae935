//! Times as numbers, as parts and as text.

use super::{Generator, quoted};

const TIMES: &[&str] = &[
    "0",
    "1425599621",
    "1425599621.678",
    "-1",
    "-86400.5",
    "951782400",
    "951782399.999",
    "4102444800",
    "253402300799",
    "-62135596800",
    "1e10",
    "68169600",
    "1709208000",
    ".",
    "\"x\"",
    "null",
    "[]",
    "nan",
    "1e18",
];

const PARTS: &[&str] = &[
    "[2024,1,29,10,30,59.5,4,59]",
    "[1999,11,31,23,59,60,5,364]",
    "[2015,2,5,23,51,47,4,63]",
    "[2024,12,1,0,0,0,0,0]",
    "[2024,0,0,0,0,0,0,0]",
    "[1970,0,1]",
    "[2024,1,29,10,30]",
    "[2024,1,29,10,30,0]",
    "[2024,\"1\",29,0,0,0,0,0]",
    "[2024.7,1.2,29.9,10,30,0,4,59]",
    "[-1,0,1,0,0,0,0,0]",
    "[2024,25,61,30,70,80,0,0]",
    "[1e10,0,1,0,0,0,0,0]",
];

const CONVERSIONS: &[&str] = &[
    "%a", "%A", "%b", "%B", "%c", "%C", "%d", "%D", "%e", "%F", "%g", "%G", "%h", "%H", "%I", "%j", "%k", "%l", "%m",
    "%M", "%n", "%p", "%P", "%r", "%R", "%s", "%S", "%t", "%T", "%u", "%U", "%V", "%w", "%W", "%x", "%X", "%y", "%Y",
    "%z", "%Z", "%%", "%-d", "%_H", "%05Y", "%^a", "%E", "%Oy", "%q", "%", "T", "é", " ", "-",
];

/// Texts, and forms that they are written in.
const WRITTEN: &[(&str, &str)] = &[
    ("2015-03-05T23:51:47Z", "%Y-%m-%dT%H:%M:%SZ"),
    ("2024-02-30T00:00:00Z", "%Y-%m-%dT%H:%M:%SZ"),
    ("2024-02-29 10:20", "%Y-%m-%d %H:%M"),
    ("2024-02-29 10:20", "%F %R"),
    ("10:20:30", "%T"),
    ("Thu, 05 Mar 2015 23:51:47 +0100", "%a, %d %b %Y %H:%M:%S %z"),
    ("Thursday 5 march 99", "%A %d %B %y"),
    ("03/05/15", "%D"),
    ("  7 11 PM", "%e %I %p"),
    ("12 AM", "%I %p"),
    ("1425599621", "%s"),
    ("2015-W10-4", "%G-W%V-%u"),
    ("10 4 2015", "%U %w %Y"),
    ("10 4 2015", "%W %u %Y"),
    ("2015 trailing", "%Y"),
    ("20 15", "%C %y"),
    ("5%", "%m%%"),
    ("x2015", "x%Y"),
    ("2015\t03", "%Y%t%m"),
    ("", "%Y"),
    ("-0500", "%z"),
    ("Z", "%z"),
    ("UTC", "%Z"),
    ("23:59:60", "%H:%M:%S"),
    ("24:00:00", "%H:%M:%S"),
    ("99", "%y"),
    ("68", "%y"),
    ("2015", "%q"),
    ("2015-3-5", "%Y-%m-%d"),
    ("20150305", "%Y%m%d"),
    ("Mar", "%b"),
    ("Mar", "%h"),
    ("10:20:30 PM", "%r"),
];

impl Generator {
    fn form(&mut self) -> String {
        (0..1 + self.chance.below(4)).map(|_| self.chance.pick(CONVERSIONS)).collect()
    }

    /// Dates read and written.
    pub(super) fn dates(&mut self) -> String {
        let time = self.chance.pick(TIMES);
        let parts = self.chance.pick(PARTS);
        let form = quoted(&self.form());
        let (text, read) = WRITTEN[self.chance.below(WRITTEN.len())];
        let other = quoted(WRITTEN[self.chance.below(WRITTEN.len())].0);
        let (text, read) = (quoted(text), quoted(read));
        match self.chance.below(14) {
            0 | 1 => format!("{time} | strftime({form})"),
            2 => format!("{parts} | strftime({form})"),
            3 => format!("{time} | gmtime"),
            4 => format!("{time} | gmtime | mktime"),
            5 => format!("{time} | todate"),
            6 => format!("{parts} | {}", self.chance.pick(&["mktime", "todate", "todateiso8601", "mktime | gmtime"])),
            7 => format!("{time} | strflocaltime({form}), (localtime | mktime)"),
            8 => format!("{text} | strptime({read}) | ., mktime"),
            9 => format!("{text} | strptime({read})"),
            10 => format!("{other} | strptime({read})"),
            11 => format!("{text} | {}", self.chance.pick(&["fromdate", "fromdateiso8601", "fromdate | todate"])),
            12 => format!("{text} | try (strptime({form}) | mktime) catch ."),
            _ => format!("{time} | strftime({read}) | strptime({read}) | mktime"),
        }
    }
}
