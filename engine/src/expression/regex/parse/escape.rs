//! What a backslash makes of the character behind it.

use super::{Assert, Node, Parser, Read, wrong};
use crate::expression::regex::class::{self, Class};

impl Parser<'_> {
    pub(super) fn escape(&mut self) -> Read {
        let Some(c) = self.next() else { return wrong("end pattern at escape") };
        Ok(match c {
            'A' => Node::Assert(Assert::TextStart),
            'Z' => Node::Assert(Assert::LastLineEnd),
            'z' => Node::Assert(Assert::TextEnd),
            'G' => Node::Assert(Assert::SearchStart),
            'b' => Node::Assert(Assert::Word),
            'B' => Node::Assert(Assert::NotWord),
            'K' => Node::Keep,
            'R' => Node::LineEnd,
            'X' => Node::Cluster,
            'N' => Node::Any(false),
            'O' => Node::Any(true),
            'k' if self.rest.starts_with(['<', '\'']) => {
                let text = self.reference()?;
                let numbers = match self.relative(&text) {
                    Some(number) => vec![number],
                    None => self.numbers_so_far(&text),
                };
                if numbers.is_empty() {
                    return Err(format!("undefined name <{text}> reference"));
                }
                self.back(numbers)
            }
            'g' if self.rest.starts_with(['<', '\'']) => {
                let text = self.reference()?;
                if self.counts() {
                    return Ok(Node::Empty);
                }
                let zero = (text == "0").then_some(0);
                let named = || self.numbers(&text);
                let numbers = self.relative(&text).or(zero).map_or_else(named, |number| vec![number]);
                if numbers.len() != 1 {
                    let wrong = if numbers.is_empty() {
                        let is_number = text.parse::<i64>().is_ok();
                        format!("undefined {} <{text}> reference", if is_number { "group" } else { "name" })
                    } else {
                        format!("multiplex definition name <{text}> call")
                    };
                    self.wrong_call.get_or_insert(wrong);
                }
                Node::Call(numbers.first().copied().unwrap_or(0))
            }
            '1'..='9' => return self.numbered(c),
            _ => match self.escaped_class(c)? {
                Some(mut class) => {
                    class.sort();
                    Node::Class(class)
                }
                None => {
                    let c = self.escaped_char(c)?;
                    self.char(c)
                }
            },
        })
    }

    fn back(&self, groups: Vec<usize>) -> Node {
        let is_open = |number: &usize| self.groups.get(number - 1).is_some_and(Option::is_none);
        let within = groups.iter().any(is_open);
        Node::Back { groups, folded: self.options.ignore_case, within }
    }

    /// What stands in `<…>` or `'…'`.
    pub(super) fn reference(&mut self) -> Read<String> {
        let close = if self.next() == Some('<') { '>' } else { '\'' };
        let Some((text, rest)) = self.rest.split_once(close) else { return wrong("invalid group name <>") };
        self.rest = rest;
        Ok(text.to_owned())
    }

    /// A group by number, also counted backwards.
    pub(super) fn relative(&self, text: &str) -> Option<usize> {
        let number: i64 = text.parse().ok()?;
        let number = if number < 0 { self.names.len() as i64 + 1 + number } else { number };
        usize::try_from(number).ok().filter(|number| (1..=self.count).contains(number))
    }

    /// `\1` refers back; a number that no group has is octal.
    pub(super) fn numbered(&mut self, first: char) -> Read {
        let more = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let text = format!("{first}{}", &self.rest[..more]);
        let number: usize = text.parse().unwrap_or(usize::MAX);
        if !self.counts() && number <= self.count.max(9) && number <= 1_000 {
            if number > self.count {
                return wrong("invalid backref number/name");
            }
            self.rest = &self.rest[more..];
            return Ok(self.back(vec![number]));
        }
        if first >= '8' {
            return Ok(self.char(first));
        }
        let c = self.octal(first);
        Ok(self.char(c))
    }

    pub(super) fn octal(&mut self, first: char) -> char {
        let mut code = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            match self.peek().and_then(|c| c.to_digit(8)) {
                Some(digit) => {
                    code = code * 8 + digit;
                    self.next();
                }
                None => break,
            }
        }
        char::from_u32(code).unwrap_or('\u{FFFD}')
    }

    /// `\w`, `\p{…}` and their like.
    pub(super) fn escaped_class(&mut self, c: char) -> Read<Option<Class>> {
        if let Some(class) = class::letter(c) {
            return Ok(Some(if c.is_ascii_uppercase() { class.negated() } else { class }));
        }
        if !matches!(c, 'p' | 'P') || !self.rest.starts_with('{') {
            return Ok(None);
        }
        let Some((name, rest)) = self.rest[1..].split_once('}') else {
            return wrong("invalid character property name {}");
        };
        let (plain, negative) = match name.strip_prefix('^') {
            Some(plain) => (plain, c == 'p'),
            None => (name, c == 'P'),
        };
        let Some(class) = class::property(plain) else {
            return Err(format!("invalid character property name {{{name}}}"));
        };
        self.rest = rest;
        Ok(Some(if negative { class.negated() } else { class }))
    }

    /// A character that is written with a `\`.
    pub(super) fn escaped_char(&mut self, c: char) -> Read<char> {
        Ok(match c {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\u{c}',
            'a' => '\u{7}',
            'e' => '\u{1b}',
            '0'..='7' => self.octal(c),
            'c' => match self.next() {
                Some(control) => char::from_u32(u32::from(control) & 0x1F).unwrap_or(control),
                None => return wrong("end pattern at control"),
            },
            'x' => self.hex()?,
            other => other,
        })
    }

    pub(super) fn hex(&mut self) -> Read<char> {
        if let Some(rest) = self.rest.strip_prefix('{')
            && let Some((digits, rest)) = rest.split_once('}')
            && let Ok(code) = u32::from_str_radix(digits, 16)
        {
            self.rest = rest;
            return char::from_u32(code).ok_or_else(|| "invalid code point value".to_owned());
        }
        let digits = self.rest.bytes().take(2).take_while(u8::is_ascii_hexdigit).count();
        let code = u32::from_str_radix(&self.rest[..digits], 16).unwrap_or(0);
        self.rest = &self.rest[digits..];
        Ok(char::from_u32(code).unwrap_or('\u{FFFD}'))
    }
}
