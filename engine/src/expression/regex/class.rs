//! Sets of characters.

use regex_syntax::hir::{Class as Parsed, HirKind};

/// A set of characters, as ranges in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Class {
    ranges: Vec<(char, char)>,
    /// One of its characters is several letters when case is ignored.
    pub holds_several: bool,
}

/// Characters that are several letters when case is ignored, as `ß` is `ss`.
const SEVERAL: &[(char, char)] = &[
    ('\u{DF}', '\u{DF}'),
    ('\u{130}', '\u{130}'),
    ('\u{149}', '\u{149}'),
    ('\u{1F0}', '\u{1F0}'),
    ('\u{390}', '\u{390}'),
    ('\u{3B0}', '\u{3B0}'),
    ('\u{587}', '\u{587}'),
    ('\u{1E96}', '\u{1E9A}'),
    ('\u{1E9E}', '\u{1E9E}'),
    ('\u{1F50}', '\u{1F50}'),
    ('\u{1F52}', '\u{1F52}'),
    ('\u{1F54}', '\u{1F54}'),
    ('\u{1F56}', '\u{1F56}'),
    ('\u{1F80}', '\u{1FAF}'),
    ('\u{1FB2}', '\u{1FB4}'),
    ('\u{1FB6}', '\u{1FB7}'),
    ('\u{1FBC}', '\u{1FBC}'),
    ('\u{1FC2}', '\u{1FC4}'),
    ('\u{1FC6}', '\u{1FC7}'),
    ('\u{1FCC}', '\u{1FCC}'),
    ('\u{1FD2}', '\u{1FD3}'),
    ('\u{1FD6}', '\u{1FD7}'),
    ('\u{1FE2}', '\u{1FE4}'),
    ('\u{1FE6}', '\u{1FE7}'),
    ('\u{1FF2}', '\u{1FF4}'),
    ('\u{1FF6}', '\u{1FF7}'),
    ('\u{1FFC}', '\u{1FFC}'),
    ('\u{FB00}', '\u{FB06}'),
    ('\u{FB13}', '\u{FB17}'),
];

impl Class {
    pub fn add(&mut self, from: char, to: char) {
        self.ranges.push((from, to));
    }

    pub fn add_all(&mut self, other: &Class) {
        self.ranges.extend_from_slice(&other.ranges);
    }

    /// A set that the syntax of another engine names, such as `\p{Greek}`.
    pub fn named(text: &str) -> Option<Class> {
        let parsed = regex_syntax::Parser::new().parse(text).ok()?;
        let HirKind::Class(Parsed::Unicode(class)) = parsed.kind() else {
            // A set of one character is parsed as a text.
            let HirKind::Literal(literal) = parsed.kind() else { return None };
            let only = std::str::from_utf8(&literal.0).ok()?.chars().next()?;
            return Some(Class { ranges: vec![(only, only)], ..Class::default() });
        };
        let ranges = class.ranges().iter().map(|range| (range.start(), range.end())).collect();
        Some(Class { ranges, ..Class::default() })
    }

    /// Everything else.
    #[must_use]
    pub fn negated(mut self) -> Class {
        self.sort();
        let mut ranges = Vec::new();
        let mut next = Some('\0');
        for (from, to) in self.ranges {
            if let Some(start) = next.filter(|start| *start < from)
                && let Some(end) = before(from)
            {
                ranges.push((start, end));
            }
            next = after(to);
        }
        if let Some(start) = next {
            ranges.push((start, char::MAX));
        }
        Class { ranges, holds_several: false }
    }

    /// In order and without overlaps.
    pub fn sort(&mut self) {
        self.ranges.sort_unstable();
        let mut merged: Vec<(char, char)> = Vec::with_capacity(self.ranges.len());
        for (from, to) in self.ranges.drain(..) {
            match merged.last_mut() {
                Some((_, end)) if from <= *end || before(from) == Some(*end) => *end = (*end).max(to),
                _ => merged.push((from, to)),
            }
        }
        self.ranges = merged;
    }

    /// With every letter in both cases.
    pub fn ignore_case(&mut self) {
        let holds = |(from, to): &(char, char)| SEVERAL.iter().any(|(first, last)| from <= last && first <= to);
        self.holds_several = self.ranges.iter().any(holds);
        let ranges = self.ranges.iter().map(|(from, to)| regex_syntax::hir::ClassUnicodeRange::new(*from, *to));
        let mut folded = regex_syntax::hir::ClassUnicode::new(ranges);
        if folded.try_case_fold_simple().is_ok() {
            self.ranges = folded.ranges().iter().map(|range| (range.start(), range.end())).collect();
        }
    }

    /// Whether it holds nothing but ASCII. The ranges must be in order.
    pub fn is_ascii(&self) -> bool {
        self.ranges.last().is_none_or(|(_, last)| last.is_ascii())
    }

    /// Whether it holds a character. The ranges must be in order.
    pub fn has(&self, c: char) -> bool {
        let place = self.ranges.partition_point(|(_, to)| *to < c);
        self.ranges.get(place).is_some_and(|(from, _)| *from <= c)
    }
}

fn before(c: char) -> Option<char> {
    match c {
        '\0' => None,
        '\u{E000}' => Some('\u{D7FF}'),
        c => char::from_u32(u32::from(c) - 1),
    }
}

fn after(c: char) -> Option<char> {
    match c {
        '\u{D7FF}' => Some('\u{E000}'),
        c => char::from_u32(u32::from(c) + 1),
    }
}

/// `\w`, `\d`, `\s`.
pub fn letter(name: char) -> Option<Class> {
    Class::named(match name.to_ascii_lowercase() {
        'w' => r"[\p{L}\p{M}\p{Nd}\p{Pc}]",
        'd' => r"\p{Nd}",
        's' => r"\p{White_Space}",
        _ => return None,
    })
}

/// `[:name:]` and the properties that share these names.
pub fn posix(name: &str) -> Option<Class> {
    Class::named(match name.to_ascii_lowercase().as_str() {
        "alnum" => r"[\p{Alphabetic}\p{Nd}]",
        "alpha" => r"\p{Alphabetic}",
        "ascii" => r"[\x00-\x7F]",
        "blank" => r"[\p{Zs}\t]",
        "cntrl" => r"\p{Cc}",
        "digit" => r"\p{Nd}",
        "graph" => r"[^\p{White_Space}\p{Cc}\p{Cn}\p{Cs}]",
        "lower" => r"\p{Lowercase}",
        "print" => r"[^\p{Cc}\p{Cn}\p{Cs}]",
        "punct" => r"[\p{P}$+<=>^`|~]",
        "space" => r"\p{White_Space}",
        "upper" => r"\p{Uppercase}",
        "word" => r"[\p{L}\p{M}\p{Nd}\p{Pc}]",
        "xdigit" => r"[0-9A-Fa-f]",
        _ => return None,
    })
}

/// `\p{name}`.
pub fn property(name: &str) -> Option<Class> {
    let plain: String = name.chars().filter(|c| !matches!(c, ' ' | '_' | '-')).collect();
    posix(&plain).or_else(|| {
        let known = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '-' | '='));
        if known { Class::named(&format!("\\p{{{name}}}")) } else { None }
    })
}
