//! JSON and other texts of values.
//!
//! `fromjson` reads what jq reads, which is more than JSON: `nan`, numbers such as `.5` and `+1`, and it says what is wrong in
//! jq's words. Payloads are read by the strict parser of [`Value::parse`].

use ecow::EcoString;

use super::Arguments;
use crate::expression::errors::{Stop, refuse};
use crate::expression::run::Run;
use crate::value::{Array, Map, Value};

type Done = Result<Value, Stop>;

/// Arrays and objects within each other that `fromjson` reads: jq's own limit.
const DEPTH_MAX: usize = 10_000;

/// The JSON of a value, within the budget: shared parts are written, and counted, each time they occur.
pub fn written(run: &mut Run<'_>, value: &Value) -> Result<EcoString, Stop> {
    let mut out = Vec::new();
    let most = run.memory_left();
    let all = value.write_limited(&mut out, most, run.steps_left(), None);
    run.allocate(out.len())?;
    if !all {
        return Err(Stop::Limit(if out.len() > most { "memory" } else { "steps" }));
    }
    Ok(super::texts::decoded(&out))
}

/// A text as it is, everything else as JSON.
pub fn text(run: &mut Run<'_>, value: &Value) -> Result<EcoString, Stop> {
    match value {
        Value::String(text) => Ok(text.clone()),
        other => written(run, other),
    }
}

pub fn tojson(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    written(run, &input).map(Value::String)
}

pub fn tostring(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    match input {
        Value::String(_) => Ok(input),
        other => written(run, &other).map(Value::String),
    }
}

pub fn tonumber(_: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    let number = match &input {
        Value::Int(_) | Value::Float(_) | Value::Decimal(_) => return Ok(input),
        Value::String(text) => Value::from_literal(text),
        _ => None,
    };
    number.ok_or_else(|| refuse(&input, "cannot be parsed as a number"))
}

pub fn toboolean(_: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    match &input {
        Value::Bool(_) => Ok(input),
        Value::String(text) if text == "true" => Ok(Value::Bool(true)),
        Value::String(text) if text == "false" => Ok(Value::Bool(false)),
        other => Err(refuse(other, "cannot be parsed as a boolean")),
    }
}

pub fn fromjson(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    let Value::String(text) = &input else { return Err(refuse(&input, "only strings can be parsed")) };
    let mut reader = Reader { open: Vec::new(), next: None, line: 1, column: 0 };
    reader.read(run, text).map_err(|wrong| match wrong {
        Wrong::Stop(stop) => stop,
        Wrong::Text(message) => Stop::error(format!("{message} (while parsing '{text}')")),
    })
}

enum Wrong {
    Stop(Stop),
    Text(String),
}

impl From<Stop> for Wrong {
    fn from(stop: Stop) -> Wrong {
        Wrong::Stop(stop)
    }
}

type Read<T> = Result<T, Wrong>;

fn wrong<T>(message: &str) -> Read<T> {
    Err(Wrong::Text(message.to_owned()))
}

enum Open {
    Array(Array),
    Object(Map),
    Key(EcoString),
}

/// Reads token by token, as jq does: that is what its messages speak of.
struct Reader {
    open: Vec<Open>,
    next: Option<Value>,
    line: usize,
    column: usize,
}

impl Reader {
    fn read(&mut self, run: &mut Run<'_>, text: &str) -> Read<Value> {
        run.charge(text.len() as u64 / 8)?;
        let bytes = text.strip_prefix('\u{FEFF}').unwrap_or(text).as_bytes();
        let mut at = 0;
        let mut done = None;
        while at < bytes.len() {
            let start = at;
            match bytes[at] {
                b' ' | b'\t' | b'\r' | b'\n' => at += 1,
                b'"' => {
                    let end = string_end(bytes, at + 1);
                    self.pass(&bytes[start..end.unwrap_or(bytes.len())]);
                    let Some(end) = end else { return self.at_end("Unfinished string") };
                    let string = string(&bytes[at + 1..end - 1]).or_else(|wrong| self.at_place(wrong))?;
                    run.allocate(string.len() + size_of::<Value>())?;
                    self.value(Value::String(string)).or_else(|wrong| self.at_place(wrong))?;
                    at = end;
                    done = self.finished(done)?;
                    continue;
                }
                b'[' | b']' | b'{' | b'}' | b',' | b':' => {
                    at += 1;
                    self.pass(&bytes[start..at]);
                    run.allocate(size_of::<Value>())?;
                    self.structure(bytes[start]).or_else(|wrong| self.at_place(wrong))?;
                    done = self.finished(done)?;
                    continue;
                }
                _ => {
                    let ends = |byte: &u8| b" \t\r\n\"[]{},:".contains(byte);
                    at += bytes[at..].iter().position(ends).unwrap_or(bytes.len() - at);
                    self.pass(&bytes[start..at]);
                    let at_end = at == bytes.len();
                    let read = literal(&bytes[start..at]).and_then(|value| self.value(value));
                    // jq finds the end of a word at what is behind it.
                    if let (Err(_), false) = (&read, at_end) {
                        self.pass(&bytes[at..=at]);
                    }
                    match read {
                        Err(Wrong::Text(message)) if at_end => {
                            return self.at_end(&message);
                        }
                        other => other.or_else(|wrong| self.at_place(wrong))?,
                    }
                    done = self.finished(done)?;
                    continue;
                }
            }
            self.pass(&bytes[start..at]);
        }
        if !self.open.is_empty() {
            return self.unfinished();
        }
        done.ok_or_else(|| Wrong::Text("Expected JSON value".to_owned()))
    }

    /// Counts lines and columns.
    fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.column += 1;
            if *byte == b'\n' {
                self.line += 1;
                self.column = 0;
            }
        }
    }

    fn at_place<T>(&self, found: Wrong) -> Read<T> {
        Err(match found {
            Wrong::Text(message) => Wrong::Text(format!("{message} at line {}, column {}", self.line, self.column)),
            other => other,
        })
    }

    fn at_end<T>(&self, message: &str) -> Read<T> {
        Err(Wrong::Text(format!("{message} at EOF at line {}, column {}", self.line, self.column)))
    }

    fn unfinished<T>(&self) -> Read<T> {
        self.at_end("Unfinished JSON term")
    }

    /// A whole value must be the only one.
    fn finished(&mut self, done: Option<Value>) -> Read<Option<Value>> {
        match (self.open.is_empty(), self.next.take()) {
            (true, Some(_)) if done.is_some() => Err(Wrong::Text("Unexpected extra JSON values".to_owned())),
            (true, Some(value)) => Ok(Some(value)),
            (_, next) => {
                self.next = next;
                Ok(done)
            }
        }
    }

    fn value(&mut self, value: Value) -> Read<()> {
        if self.next.is_some() {
            return wrong("Expected separator between values");
        }
        self.next = Some(value);
        Ok(())
    }

    fn structure(&mut self, byte: u8) -> Read<()> {
        match byte {
            b'[' | b'{' => {
                if self.open.len() >= DEPTH_MAX {
                    return wrong("Exceeds depth limit for parsing");
                }
                if self.next.is_some() {
                    return wrong("Expected separator between values");
                }
                self.open.push(if byte == b'[' { Open::Array(Array::new()) } else { Open::Object(Map::new()) });
                Ok(())
            }
            b':' => self.colon(),
            b',' => self.comma(),
            b']' => self.close_array(),
            _ => self.close_object(),
        }
    }

    fn colon(&mut self) -> Read<()> {
        match (self.next.take(), self.open.last()) {
            (None, _) => wrong("Expected string key before ':'"),
            (Some(_), None | Some(Open::Array(_) | Open::Key(_))) => wrong("':' not as part of an object"),
            (Some(Value::String(key)), Some(Open::Object(_))) => {
                self.open.push(Open::Key(key));
                Ok(())
            }
            (Some(_), _) => wrong("Object keys must be strings"),
        }
    }

    fn comma(&mut self) -> Read<()> {
        let Some(value) = self.next.take() else { return wrong("Expected value before ','") };
        match self.open.last_mut() {
            None => wrong("',' not as part of an object or array"),
            Some(Open::Array(list)) => {
                list.push(value);
                Ok(())
            }
            Some(Open::Object(_)) => wrong("Objects must consist of key:value pairs"),
            Some(Open::Key(_)) => {
                self.member(value);
                Ok(())
            }
        }
    }

    /// Puts a value under the key that waits for it.
    fn member(&mut self, value: Value) {
        if let Some(Open::Key(key)) = self.open.pop()
            && let Some(Open::Object(map)) = self.open.last_mut()
        {
            map.insert(key, value);
        }
    }

    fn close_array(&mut self) -> Read<()> {
        let next = self.next.take();
        let Some(Open::Array(list)) = self.open.last_mut() else { return wrong("Unmatched ']'") };
        match next {
            Some(value) => list.push(value),
            None if !list.is_empty() => return wrong("Expected another array element"),
            None => {}
        }
        if let Some(Open::Array(list)) = self.open.pop() {
            self.next = Some(Value::Array(list));
        }
        Ok(())
    }

    fn close_object(&mut self) -> Read<()> {
        match (self.next.take(), self.open.last()) {
            (_, None) => return wrong("Unmatched '}'"),
            (Some(value), Some(Open::Key(_))) => self.member(value),
            (Some(_), Some(_)) => return wrong("Objects must consist of key:value pairs"),
            (None, Some(Open::Object(map))) if map.is_empty() => {}
            (None, Some(Open::Object(_))) => return wrong("Expected another key-value pair"),
            (None, Some(_)) => return wrong("Unmatched '}'"),
        }
        if let Some(Open::Object(map)) = self.open.pop() {
            self.next = Some(Value::Object(map));
        }
        Ok(())
    }
}

/// Behind the quote that closes a string.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn string(bytes: &[u8]) -> Read<EcoString> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        at += 1;
        match byte {
            b'\\' => {
                let escape = bytes.get(at);
                at += 1;
                out.push(match escape {
                    Some(byte @ (b'\\' | b'"' | b'/')) => *byte,
                    Some(b'b') => 8,
                    Some(b'f') => 12,
                    Some(b't') => b'\t',
                    Some(b'n') => b'\n',
                    Some(b'r') => b'\r',
                    Some(b'u') => {
                        let (point, end) = unicode(bytes, at)?;
                        out.extend_from_slice(point.encode_utf8(&mut [0; 4]).as_bytes());
                        at = end;
                        continue;
                    }
                    Some(_) => return wrong("Invalid escape"),
                    None => return wrong("Expected escape character at end of string"),
                });
            }
            0..0x20 => {
                return wrong("Invalid string: control characters from U+0000 through U+001F must be escaped");
            }
            byte => out.push(byte),
        }
    }
    Ok(super::texts::decoded(&out))
}

/// The character of `\uXXXX`, or of two of them, and where it ends.
fn unicode(bytes: &[u8], at: usize) -> Read<(char, usize)> {
    let hex = |at: usize| {
        let digits = bytes.get(at..at + 4)?;
        let value = |byte: &u8| (*byte as char).to_digit(16);
        Some(digits.iter().try_fold(0, |number, byte| Some(number * 16 + value(byte)?)))
    };
    let first = match hex(at) {
        None => return wrong("Invalid \\uXXXX escape"),
        Some(None) => return wrong("Invalid characters in \\uXXXX escape"),
        Some(Some(first)) => first,
    };
    if !(0xD800..0xDC00).contains(&first) {
        return Ok((char::from_u32(first).unwrap_or('\u{FFFD}'), at + 4));
    }
    let second = if bytes.get(at + 4..at + 6) == Some(b"\\u") { hex(at + 6).flatten() } else { None };
    match second.filter(|second| (0xDC00..0xE000).contains(second)) {
        Some(second) => {
            let point = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            Ok((char::from_u32(point).unwrap_or('\u{FFFD}'), at + 10))
        }
        None => wrong("Invalid \\uXXXX\\uXXXX surrogate pair escape"),
    }
}

fn literal(bytes: &[u8]) -> Read<Value> {
    let word = |word: &str, value: Value| {
        if bytes == word.as_bytes() { Ok(value) } else { wrong("Invalid literal") }
    };
    match bytes {
        [b't', ..] => word("true", Value::Bool(true)),
        [b'f', ..] => word("false", Value::Bool(false)),
        [b'n', b'u', ..] => word("null", Value::Null),
        [b'\'', ..] => wrong("Invalid string literal; expected \", but got '"),
        _ => {
            let number = std::str::from_utf8(bytes).ok().and_then(Value::from_literal);
            number.map_or_else(|| wrong("Invalid numeric literal"), Ok)
        }
    }
}
