//! Text to tokens.

use ecow::EcoString;

use super::SyntaxError;

/// A token and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub kind: Kind,
    pub offset: usize,
    pub len: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Number(f64, bool),
    /// A name, perhaps with `::`; keywords are names.
    Name(EcoString),
    /// `.name`
    Field(EcoString),
    /// `$name`
    Variable(EcoString),
    /// `@name`
    Format(EcoString),
    /// A text: literal pieces, and the source and offset of each interpolation after them.
    Text(Vec<Piece>),
    Symbol(&'static str),
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Plain(EcoString),
    Filter(Vec<Token>),
}

impl PartialEq for Token {
    fn eq(&self, other: &Token) -> bool {
        self.kind == other.kind
    }
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
    pub fn new(source: &'a str) -> Lexer<'a> {
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

    fn space(&mut self) {
        loop {
            let trimmed = self.rest().trim_start();
            self.at = self.source.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
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
            '@' if names(next) => {
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
            if qualified && self.rest().starts_with("::") {
                self.at += 2;
                continue;
            }
            return self.source[start..self.at].into();
        }
    }

    fn number(&mut self) -> Result<Kind, SyntaxError> {
        let start = self.at;
        let digits = |lexer: &mut Self| {
            let count = lexer.rest().find(|c: char| !c.is_ascii_digit()).unwrap_or(lexer.rest().len());
            lexer.at += count;
        };
        digits(self);
        let mut whole = true;
        if self.rest().starts_with('.') {
            whole = false;
            self.at += 1;
            digits(self);
        }
        if self.rest().starts_with(['e', 'E']) {
            let back = self.at;
            self.at += 1;
            if self.rest().starts_with(['+', '-']) {
                self.at += 1;
            }
            if self.rest().starts_with(|c: char| c.is_ascii_digit()) {
                whole = false;
                digits(self);
            } else {
                self.at = back;
            }
        }
        match self.source[start..self.at].parse() {
            Ok(number) => Ok(Kind::Number(number, whole)),
            Err(_) => self.error(start, "not a number"),
        }
    }

    fn text(&mut self) -> Result<Kind, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let mut pieces = Vec::new();
        let mut plain = EcoString::new();
        loop {
            let offset = self.at;
            let Some(c) = self.rest().chars().next() else {
                self.at = start + 1;
                return self.error(start, "the text is not closed: a `\"` is missing");
            };
            self.at += c.len_utf8();
            match c {
                '"' => {
                    pieces.push(Piece::Plain(plain));
                    return Ok(Kind::Text(pieces));
                }
                '\\' => {
                    let escaped = self.rest().chars().next();
                    self.at += escaped.map_or(0, char::len_utf8);
                    plain.push(match escaped {
                        Some(c @ ('"' | '\\' | '/')) => c,
                        Some('b') => '\u{8}',
                        Some('f') => '\u{c}',
                        Some('n') => '\n',
                        Some('r') => '\r',
                        Some('t') => '\t',
                        Some('u') => self.unicode(offset)?,
                        Some('(') => {
                            if self.depth >= NESTING_MAX {
                                return self.error(offset, "interpolations are nested too deep");
                            }
                            pieces.push(Piece::Plain(std::mem::take(&mut plain)));
                            self.depth += 1;
                            pieces.push(Piece::Filter(self.tokens()?));
                            self.depth -= 1;
                            continue;
                        }
                        _ => return self.error(offset, "an unknown escape in a text"),
                    });
                }
                other => plain.push(other),
            }
        }
    }

    fn unicode(&mut self, offset: usize) -> Result<char, SyntaxError> {
        let high = self.hex(offset)?;
        if (0xD800..0xDC00).contains(&high) && self.rest().starts_with("\\u") {
            self.at += 2;
            let low = self.hex(offset)?;
            let code = 0x1_0000 + (high - 0xD800) * 0x400 + low.wrapping_sub(0xDC00);
            return Ok(char::from_u32(code).unwrap_or('\u{FFFD}'));
        }
        Ok(char::from_u32(high).unwrap_or('\u{FFFD}'))
    }

    fn hex(&mut self, offset: usize) -> Result<u32, SyntaxError> {
        let code = self.rest().get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => self.error(offset, "`\\u` wants four hexadecimal digits"),
        }
    }
}
