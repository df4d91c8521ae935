//! A strict JSON parser (RFC 8259) that keeps its nesting on the heap.

use std::fmt;

use ecow::EcoString;

use super::nest::Nest;
use super::{Array, Decimal, Map, Value};

/// What a document may be at most.
#[derive(Clone, Copy, Debug)]
pub struct ParseLimits {
    /// How deep arrays and objects may nest; one more is an error.
    pub depth_max: usize,
}

impl Default for ParseLimits {
    fn default() -> ParseLimits {
        ParseLimits { depth_max: 512 }
    }
}

/// Why and where a text is not JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JsonError {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {}, column {}", self.message, self.line, self.column)
    }
}

impl std::error::Error for JsonError {}

enum Open {
    Array(Array),
    /// The members so far, which keys they may have, and the key of the member to come.
    Object(Map, Keys, EcoString),
}

/// Says of most keys that they were not there before, so that few need to be compared with all others.
#[derive(Default)]
struct Keys(u64);

impl Keys {
    /// Adds a key; whether it may be there already.
    fn may_repeat(&mut self, key: &str) -> bool {
        let bytes = key.as_bytes();
        let ends = [bytes.first(), bytes.get(bytes.len() / 2), bytes.last()].into_iter().flatten();
        let hash = ends.fold(bytes.len(), |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        let bit = 1 << (hash & 63);
        let there = self.0 & bit != 0;
        self.0 |= bit;
        there
    }
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

pub(super) fn parse(bytes: &[u8], limits: &ParseLimits) -> Result<Value, JsonError> {
    // Once for the whole is faster than string by string.
    let text = std::str::from_utf8(bytes)
        .map_err(|error| JsonError::at(bytes, error.valid_up_to(), "the text is not UTF-8".into()))?;
    let mut parser = Parser { text, bytes, at: 0 };
    parser.document(limits.depth_max).map_err(|message| JsonError::at(bytes, parser.at, message))
}

impl JsonError {
    fn at(bytes: &[u8], at: usize, message: String) -> JsonError {
        let before = &bytes[..at.min(bytes.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        JsonError {
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            column: before.len() - line_start + 1,
            message,
        }
    }
}

/// A fraction without an exponent, at least 1 or with its first digit soon behind the point.
fn is_plain(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let small = digits.starts_with("0.00") || (digits.starts_with('0') && digits.ends_with('0'));
    !small && !digits.contains(['e', 'E'])
}

impl Parser<'_> {
    fn document(&mut self, depth_max: usize) -> Result<Value, String> {
        let mut open = Nest::new();
        loop {
            // A value starts here.
            let mut value = match self.skip() {
                Some(b'"') => Value::String(self.string()?),
                Some(b'{') => {
                    self.enter(open.depth(), depth_max)?;
                    if self.skip() == Some(b'}') {
                        self.at += 1;
                        Value::Object(Map::new())
                    } else {
                        let key = self.key()?;
                        open.push(Open::Object(Map::with_capacity(8), Keys::default(), key));
                        continue;
                    }
                }
                Some(b'[') => {
                    self.enter(open.depth(), depth_max)?;
                    if self.skip() == Some(b']') {
                        self.at += 1;
                        Value::Array(Array::new())
                    } else {
                        open.push(Open::Array(Array::new()));
                        continue;
                    }
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word(b"true", Value::Bool(true))?,
                Some(b'f') => self.word(b"false", Value::Bool(false))?,
                Some(b'n') => self.word(b"null", Value::Null)?,
                Some(_) => return Err(self.unexpected("a value")),
                None => return Err("the text ends where a value is expected".into()),
            };
            // It ended: put it where it belongs, and close what ends with it.
            loop {
                match open.innermost() {
                    None => {
                        return if self.skip().is_none() { Ok(value) } else { Err(self.unexpected("the end")) };
                    }
                    Some(Open::Array(list)) => {
                        list.push(value);
                        match self.skip() {
                            Some(b',') => {
                                self.at += 1;
                                break;
                            }
                            Some(b']') => self.at += 1,
                            _ => return Err(self.unexpected("`,` or `]`")),
                        }
                    }
                    Some(Open::Object(map, keys, key)) => {
                        let key_now = std::mem::take(key);
                        if keys.may_repeat(&key_now) && map.contains_key(&key_now) {
                            map.insert(key_now, value);
                        } else {
                            map.push_new(key_now, value);
                        }
                        match self.skip() {
                            Some(b',') => {
                                self.at += 1;
                                if self.skip() != Some(b'"') {
                                    return Err(self.unexpected("a key in quotes"));
                                }
                                *key = self.key()?;
                                break;
                            }
                            Some(b'}') => self.at += 1,
                            _ => return Err(self.unexpected("`,` or `}`")),
                        }
                    }
                }
                value = match open.pop() {
                    Some(Open::Array(list)) => Value::Array(list),
                    Some(Open::Object(map, ..)) => Value::Object(map),
                    None => Value::Null,
                };
            }
        }
    }

    fn enter(&mut self, depth: usize, depth_max: usize) -> Result<(), String> {
        if depth >= depth_max {
            return Err(format!("nested deeper than {depth_max} levels"));
        }
        self.at += 1;
        Ok(())
    }

    /// Skips white space; the byte that follows.
    #[inline]
    fn skip(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn unexpected(&self, wanted: &str) -> String {
        match self.bytes.get(self.at) {
            None => format!("the text ends where {wanted} is expected"),
            Some(byte) if byte.is_ascii_graphic() => format!("found `{}`, expected {wanted}", *byte as char),
            Some(byte) if *byte < 0x80 => format!("found control character 0x{byte:02x}, expected {wanted}"),
            Some(_) => format!("found a non-ASCII character, expected {wanted}"),
        }
    }

    fn word(&mut self, word: &[u8], value: Value) -> Result<Value, String> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(value);
        }
        Err(self.unexpected("a value"))
    }

    fn key(&mut self) -> Result<EcoString, String> {
        if self.skip() != Some(b'"') {
            return Err(self.unexpected("a key in quotes"));
        }
        let key = self.string()?;
        if self.skip() != Some(b':') {
            return Err(self.unexpected("`:`"));
        }
        self.at += 1;
        Ok(key)
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        let mut whole: i64 = 0;
        let mut fits = true;
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        let digits = self.at;
        while let Some(byte @ b'0'..=b'9') = self.bytes.get(self.at) {
            let next = whole.checked_mul(10).and_then(|n| n.checked_add(i64::from(byte - b'0')));
            fits &= next.is_some();
            whole = next.unwrap_or(0);
            self.at += 1;
        }
        match self.at - digits {
            0 => return Err(self.unexpected("a digit")),
            1 => {}
            _ if self.bytes[digits] == b'0' => {
                self.at = digits;
                return Err("a number may not start with 0".into());
            }
            _ => {}
        }
        let mut is_whole = true;
        if self.bytes.get(self.at) == Some(&b'.') {
            is_whole = false;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            is_whole = false;
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let negative = digits > start;
        if is_whole && fits && (whole != 0 || !negative) {
            return Ok(Value::Int(if negative { -whole } else { whole }));
        }
        let text = &self.text[start..self.at];
        // Fifteen digits with a last one that is not 0 are what the double prints as again; with a last 0 they are kept.
        if !is_whole && text.len() <= 16 && is_plain(text) {
            if text.ends_with('0') {
                return Ok(Value::Decimal(Decimal::plain(text)));
            }
            return text.parse().map(Value::number).map_err(|_| String::from("not a number"));
        }
        Value::from_literal(text).ok_or_else(|| String::from("not a number"))
    }

    fn digits(&mut self) -> Result<(), String> {
        let start = self.at;
        while matches!(self.bytes.get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected("a digit")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<EcoString, String> {
        self.at += 1;
        let start = self.at;
        let end = self.plain_end();
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(EcoString::from(&self.text[start..end]));
        }
        self.string_with_escapes(start, end)
    }

    /// Where the run of characters that stand for themselves ends.
    fn plain_end(&self) -> usize {
        let mut at = self.at;
        // Eight bytes at a time, as one number.
        while let Some(eight) = self.bytes[at..].first_chunk::<8>() {
            let special = special_bytes(u64::from_le_bytes(*eight));
            if special != 0 {
                return at + (special.trailing_zeros() / 8) as usize;
            }
            at += 8;
        }
        let rest = &self.bytes[at..];
        at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
    }

    fn string_with_escapes(&mut self, start: usize, end: usize) -> Result<EcoString, String> {
        let mut text = String::from(&self.text[start..end]);
        self.at = end;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text.into());
                }
                Some(b'\\') => self.escape(&mut text)?,
                Some(0..0x20) => return Err("control characters in strings must be escaped".into()),
                Some(_) => {
                    let end = self.plain_end();
                    let start = self.at;
                    text.push_str(&self.text[start..end]);
                    self.at = end;
                }
                None => return Err("the text ends inside a string".into()),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), String> {
        let character = match self.bytes.get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex(self.at + 2)?;
                self.at += 6;
                text.push(self.code_point(first)?);
                return Ok(());
            }
            _ => return Err("unknown escape".into()),
        };
        text.push(character);
        self.at += 2;
        Ok(())
    }

    /// A surrogate without its partner becomes U+FFFD, as in jq.
    fn code_point(&mut self, first: u32) -> Result<char, String> {
        if (0xD800..0xDC00).contains(&first) && self.bytes[self.at..].starts_with(b"\\u") {
            let second = self.hex(self.at + 2)?;
            if (0xDC00..0xE000).contains(&second) {
                self.at += 6;
                let point = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&self, at: usize) -> Result<u32, String> {
        let digits = self.bytes.get(at..at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.ok_or("four hexadecimal digits must follow \\u")?;
        Ok(digits.iter().fold(0, |n, digit| n * 16 + (*digit as char).to_digit(16).unwrap_or(0)))
    }
}

/// Marks the lowest byte of `eight` that ends a run of plain characters by its highest bit; bytes above it may be marked too.
/// (A byte is below `n` when subtracting `n` borrows into its highest bit, and zero when it is below 1.)
fn special_bytes(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let below = |bytes: u64, limit: u8| bytes.wrapping_sub(ONES * u64::from(limit)) & !bytes & HIGH;
    let equal = |byte: u8| below(eight ^ (ONES * u64::from(byte)), 1);
    below(eight, 0x20) | equal(b'"') | equal(b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for special in [b'"', b'\\', 0, 0x1f] {
            for plain in [b'a', b' ', b'!', b'#', 0x7f, 0x80, 0xff] {
                for at in 0..8 {
                    let mut eight = [plain; 8];
                    assert_eq!(special_bytes(u64::from_le_bytes(eight)), 0, "{plain}");
                    eight[at] = special;
                    let found = special_bytes(u64::from_le_bytes(eight)).trailing_zeros() / 8;
                    assert_eq!(found as usize, at, "{special} among {plain}");
                }
            }
        }
    }

    #[test]
    fn repeated_keys_take_the_last_value_in_the_first_place() {
        let text = r#"{"ab":1,"xy":2,"ab":3,"ba":4,"xy":5}"#;
        let value = parse(text.as_bytes(), &ParseLimits::default()).expect("JSON");
        assert_eq!(value.to_json(), r#"{"ab":3,"xy":5,"ba":4}"#);
    }

    #[test]
    fn bytes_that_are_no_text_are_named_by_their_place() {
        let error = parse(b"{\n \"a\": \"\xff\"}", &ParseLimits::default()).expect_err("not UTF-8");
        assert_eq!((error.line, error.column), (2, 8));
    }
}
