//! Text to tokens.

use ecow::EcoString;

use super::SyntaxError;
use super::ast::Place;
use crate::value::Value;

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub offset: usize,
    pub len: usize,
}

impl Token {
    pub const fn place(&self) -> Place {
        Place { offset: self.offset, len: self.len }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Number(Value),
    /// A name, perhaps with `::`; keywords are names.
    Name(EcoString),
    /// `.name`
    Field(EcoString),
    /// `$name`
    Variable(EcoString),
    /// `@name`
    Format(EcoString),
    /// A text: its literal pieces and the tokens of each interpolation.
    Text(Vec<Piece>),
    Symbol(&'static str),
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Plain(EcoString),
    Filter(Vec<Token>),
}

/// Longest first.
const SYMBOLS: [&str; 36] = [
    "?//", "//=", "|=", "+=", "-=", "*=", "/=", "%=", "==", "!=", "<=", ">=", "//", "..", "?", "|", ",", "+", "-", "*",
    "/", "%", "=", "<", ">", "(", ")", "[", "]", "{", "}", ":", ";", ".", "$", "@",
];

/// The deepest nesting of interpolations.
const NESTING_MAX: usize = 32;

pub(super) struct Lexer<'a> {
    source: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Lexer<'a> {
    pub const fn new(source: &'a str) -> Lexer<'a> {
        Lexer { source, at: 0, depth: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn error<T>(&self, offset: usize, message: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError { message: message.into(), offset, len: self.at.saturating_sub(offset).max(1) })
    }

    /// All tokens up to the end, or to the `)` that closes an interpolation.
    pub fn tokens(&mut self) -> Result<Vec<Token>, SyntaxError> {
        let mut tokens = Vec::new();
        let mut open = 0_usize;
        loop {
            self.space();
            let offset = self.at;
            let Some(first) = self.rest().chars().next() else {
                if self.depth > 0 {
                    return self.error(offset, "the interpolation `\\(` is not closed");
                }
                tokens.push(Token { kind: Kind::End, offset, len: 1 });
                return Ok(tokens);
            };
            let kind = self.token(first)?;
            match kind {
                Kind::Symbol("(") => open += 1,
                Kind::Symbol(")") if open == 0 && self.depth > 0 => {
                    tokens.push(Token { kind: Kind::End, offset, len: 1 });
                    return Ok(tokens);
                }
                Kind::Symbol(")") => open = open.saturating_sub(1),
                _ => {}
            }
            tokens.push(Token { kind, offset, len: self.at - offset });
        }
    }

    /// Skips white space and comments. A comment goes on behind a line end with an odd number of `\` before it.
    fn space(&mut self) {
        loop {
            let trimmed = self.rest().trim_start_matches([' ', '\t', '\r', '\n']);
            self.at = self.source.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            let mut escaped = false;
            let end = trimmed.char_indices().find(|(_, c)| {
                let ends = *c == '\n' && !escaped;
                escaped = match c {
                    '\\' => !escaped,
                    '\r' => escaped,
                    _ => false,
                };
                ends
            });
            self.at += end.map_or(trimmed.len(), |(at, _)| at);
        }
    }

    fn token(&mut self, first: char) -> Result<Kind, SyntaxError> {
        let next = self.rest().chars().nth(1);
        let names = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        match first {
            '"' => self.text(),
            '0'..='9' => self.number(),
            '.' if next.is_some_and(|c| c.is_ascii_digit()) => self.number(),
            '.' if names(next) => {
                self.at += 1;
                Ok(Kind::Field(self.name(false)))
            }
            '$' if names(next) => {
                self.at += 1;
                Ok(Kind::Variable(self.name(true)))
            }
            '@' if next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') => {
                self.at += 1;
                Ok(Kind::Format(self.name(false)))
            }
            c if names(Some(c)) => Ok(Kind::Name(self.name(true))),
            c => {
                let Some(symbol) = SYMBOLS.iter().find(|symbol| self.rest().starts_with(**symbol)) else {
                    let offset = self.at;
                    self.at += c.len_utf8();
                    return self.error(offset, format!("unexpected character `{c}`"));
                };
                self.at += symbol.len();
                Ok(Kind::Symbol(symbol))
            }
        }
    }

    fn name(&mut self, qualified: bool) -> EcoString {
        let start = self.at;
        loop {
            let word = self.rest().find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            self.at += word.unwrap_or(self.rest().len());
            let behind = self.rest().strip_prefix("::");
            if qualified && behind.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')) {
                self.at += 2;
                continue;
            }
            return self.source[start..self.at].into();
        }
    }

    fn digits(&mut self) {
        self.at += self.rest().find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest().len());
    }

    fn number(&mut self) -> Result<Kind, SyntaxError> {
        let start = self.at;
        self.digits();
        if self.rest().starts_with('.') {
            self.at += 1;
            self.digits();
        }
        if self.rest().starts_with(['e', 'E']) {
            let back = self.at;
            self.at += 1;
            if self.rest().starts_with(['+', '-']) {
                self.at += 1;
            }
            if self.rest().starts_with(|c: char| c.is_ascii_digit()) {
                self.digits();
            } else {
                self.at = back;
            }
        }
        match Value::from_literal(&self.source[start..self.at]) {
            Some(number) => Ok(Kind::Number(number)),
            None => self.error(start, "not a number"),
        }
    }

    fn text(&mut self) -> Result<Kind, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let mut pieces = Vec::new();
        let mut plain = EcoString::new();
        loop {
            let offset = self.at;
            let run = self.rest().find(['"', '\\']).unwrap_or(self.rest().len());
            plain.push_str(&self.rest()[..run]);
            self.at += run;
            if self.rest().starts_with('"') {
                self.at += 1;
                pieces.push(Piece::Plain(plain));
                return Ok(Kind::Text(pieces));
            }
            if self.rest().is_empty() {
                self.at = start + 1;
                return self.error(start, "the text is not closed: a `\"` is missing");
            }
            if self.rest().starts_with("\\(") {
                self.at += 2;
                if self.depth >= NESTING_MAX {
                    return self.error(offset, "interpolations are nested too deep");
                }
                pieces.push(Piece::Plain(std::mem::take(&mut plain)));
                self.depth += 1;
                pieces.push(Piece::Filter(self.tokens()?));
                self.depth -= 1;
                continue;
            }
            plain.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let offset = self.at;
        let escaped = self.rest().chars().nth(1);
        self.at += 1 + escaped.map_or(0, char::len_utf8);
        Ok(match escaped {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => return self.unicode(offset),
            _ => return self.error(offset, "an unknown escape in a text"),
        })
    }

    fn unicode(&mut self, offset: usize) -> Result<char, SyntaxError> {
        let high = self.hex(offset)?;
        if !(0xD800..0xDC00).contains(&high) {
            return Ok(char::from_u32(high).unwrap_or('\u{FFFD}'));
        }
        if self.rest().starts_with("\\u") {
            self.at += 2;
            let low = self.hex(offset)?;
            if (0xDC00..0xE000).contains(&low) {
                let code = 0x1_0000 + (high - 0xD800) * 0x400 + (low - 0xDC00);
                return Ok(char::from_u32(code).unwrap_or('\u{FFFD}'));
            }
        }
        self.error(offset, "the first half of a surrogate pair without the second")
    }

    fn hex(&mut self, offset: usize) -> Result<u32, SyntaxError> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => self.error(offset, "`\\u` wants four hexadecimal digits"),
        }
    }
}
