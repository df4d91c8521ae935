//! Sets of characters in brackets.

use super::{Parser, Read, wrong};
use crate::expression::regex::class::{self, Class};

impl Parser<'_> {
    /// After a `[`.
    pub(super) fn set(&mut self) -> Read<Class> {
        let negative = self.take("^");
        let mut set = Class::default();
        let mut first = true;
        loop {
            let Some(c) = self.next() else { return wrong("premature end of char-class") };
            if c == ']' && !(first && self.rest.contains(']')) {
                if first {
                    return wrong("empty char-class");
                }
                break;
            }
            first = false;
            if c == '[' && self.rest.starts_with(':') && self.posix(&mut set)? {
                continue;
            }
            let from = if c == '\\' {
                let Some(c) = self.next() else { return wrong("end pattern at escape") };
                if let Some(class) = self.escaped_class(c)? {
                    if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                        return wrong("unmatched range specifier in char-class");
                    }
                    set.add_all(&class);
                    continue;
                }
                if c == 'b' { '\u{8}' } else { self.escaped_char(c)? }
            } else {
                c
            };
            let to = self.range_end(from)?;
            set.add(from, to);
        }
        if self.options.ignore_case {
            set.ignore_case();
        }
        Ok(if negative { set.negated() } else { set })
    }

    pub(super) fn posix(&mut self, set: &mut Class) -> Read<bool> {
        let Some((name, rest)) = self.rest[1..].split_once(":]") else { return Ok(false) };
        let (plain, negative) = match name.strip_prefix('^') {
            Some(plain) => (plain, true),
            None => (name, false),
        };
        let Some(class) = class::posix(plain) else { return Ok(false) };
        set.add_all(&if negative { class.negated() } else { class });
        self.rest = rest;
        Ok(true)
    }

    pub(super) fn range_end(&mut self, from: char) -> Read<char> {
        if !self.rest.starts_with('-') || self.rest.starts_with("-]") {
            return Ok(from);
        }
        self.next();
        let to = match self.next() {
            None => return wrong("premature end of char-class"),
            Some('\\') => {
                let Some(c) = self.next() else { return wrong("end pattern at escape") };
                if self.escaped_class(c)?.is_some() {
                    return wrong("char-class value at end of range");
                }
                self.escaped_char(c)?
            }
            Some(c) => c,
        };
        if to < from { wrong("empty range in char class") } else { Ok(to) }
    }
}
