//! Functions on text.

use ecow::EcoString;

use super::{Arguments, paths};
use crate::expression::arithmetic;
use crate::expression::errors::{Stop, refuse};
use crate::expression::run::Run;
use crate::value::{Array, Value};

type Done = Result<Value, Stop>;

pub fn utf8bytelength(_: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    match &input {
        Value::String(text) => Ok(Value::from(text.len())),
        other => Err(refuse(other, "only strings have UTF-8 byte length")),
    }
}

fn both<'v>(input: &'v Value, other: &'v Value, who: &str) -> Result<(&'v EcoString, &'v EcoString), Stop> {
    match (input, other) {
        (Value::String(a), Value::String(b)) => Ok((a, b)),
        _ => Err(Stop::error(format!("{who}() requires string inputs"))),
    }
}

pub fn startswith(_: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let (text, part) = both(&input, &arguments[0], "startswith")?;
    Ok(Value::Bool(text.starts_with(part.as_str())))
}

pub fn endswith(_: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let (text, part) = both(&input, &arguments[0], "endswith")?;
    Ok(Value::Bool(text.ends_with(part.as_str())))
}

pub fn ltrimstr(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let (text, part) = both(&input, &arguments[0], "startswith")?;
    match text.strip_prefix(part.as_str()) {
        Some(rest) => copied(run, rest),
        None => Ok(input),
    }
}

pub fn rtrimstr(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let (text, part) = both(&input, &arguments[0], "endswith")?;
    match text.strip_suffix(part.as_str()) {
        Some(rest) => copied(run, rest),
        None => Ok(input),
    }
}

fn copied(run: &mut Run<'_>, text: &str) -> Done {
    run.allocate(text.len())?;
    Ok(Value::from(text))
}

fn trimmed(run: &mut Run<'_>, input: Value, trim: fn(&str) -> &str) -> Done {
    let Value::String(text) = &input else { return Err(Stop::error("trim input must be a string")) };
    let rest = trim(text);
    if rest.len() == text.len() { Ok(input) } else { copied(run, rest) }
}

pub fn trim(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    trimmed(run, input, str::trim)
}

pub fn ltrim(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    trimmed(run, input, str::trim_start)
}

pub fn rtrim(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    trimmed(run, input, str::trim_end)
}

pub fn split(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    match (&input, &arguments[0]) {
        (Value::String(text), Value::String(separator)) => arithmetic::split(run, text, separator),
        _ => Err(Stop::error("split input and separator must be strings")),
    }
}

pub fn explode(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    let Value::String(text) = &input else { return Err(Stop::error("explode input must be a string")) };
    run.allocate_items(text.len())?;
    Ok(text.chars().map(|c| Value::from(u32::from(c))).collect())
}

pub fn implode(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    let Value::Array(points) = &input else { return Err(Stop::error("implode input must be an array")) };
    run.allocate(points.len())?;
    let mut text = EcoString::with_capacity(points.len());
    for point in points {
        match point.as_f64().filter(|point| !point.is_nan()) {
            // What is no character becomes U+FFFD.
            Some(code) if code > -1.0 => text.push(char::from_u32(code as u32).unwrap_or('\u{FFFD}')),
            Some(_) => text.push('\u{FFFD}'),
            None => return Err(refuse(point, "can't be imploded, unicode codepoint needs to be numeric")),
        }
    }
    Ok(Value::String(text))
}

fn cased(run: &mut Run<'_>, input: Value, change: fn(&str) -> String) -> Done {
    let Value::String(text) = &input else { return Err(Stop::error("explode input must be a string")) };
    run.allocate(text.len())?;
    Ok(Value::from(change(text)))
}

pub fn ascii_downcase(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    cased(run, input, str::to_ascii_lowercase)
}

pub fn ascii_upcase(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    cased(run, input, str::to_ascii_uppercase)
}

/// Where a value begins within a text or array.
pub fn indices(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    match (&input, &arguments[0]) {
        (Value::String(text), Value::String(part)) => positions(run, text, part),
        (Value::Array(_), Value::Array(_)) => paths::index(run, &input, &arguments[0]),
        (Value::Array(_), other) => {
            let wanted = [other.clone()].into_iter().collect();
            paths::index(run, &input, &wanted)
        }
        (_, other) => paths::index(run, &input, other),
    }
}

/// Positions in characters, which may overlap.
fn positions(run: &mut Run<'_>, text: &str, part: &str) -> Done {
    let mut found = Array::new();
    let (mut at, mut counted, mut chars) = (0, 0, 0);
    run.charge(text.len() as u64 / 16)?;
    while let Some(next) = text[at..].find(part).filter(|_| !part.is_empty()) {
        run.charge(4 + part.len() as u64 / 16)?;
        run.allocate_items(1)?;
        at += next;
        chars += text[counted..at].chars().count();
        counted = at;
        found.push(Value::from(chars));
        at += text[at..].chars().next().map_or(1, char::len_utf8);
    }
    Ok(Value::Array(found))
}

/// Of texts that grow: adds the text between two matches and one of the replacements to each.
pub fn spread(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let Value::Array(mut texts) = input else { return Ok(input) };
    let [gap, Value::Array(replacements)] = arguments else { return Ok(Value::Array(texts)) };
    for (place, replacement) in replacements.iter().enumerate() {
        let added = arithmetic::add(run, gap.clone(), replacement.clone())?;
        if place == texts.len() {
            run.allocate_items(1)?;
            texts.push(Value::Null);
        }
        let text = std::mem::take(&mut texts.make_mut()[place]);
        texts.make_mut()[place] = arithmetic::add(run, text, added)?;
    }
    Ok(Value::Array(texts))
}

/// Bytes as text: what is not UTF-8 becomes U+FFFD, once for as many bytes as jq takes for one character.
pub fn decoded(bytes: &[u8]) -> EcoString {
    let mut text = EcoString::new();
    let mut rest = bytes;
    loop {
        let valid = match std::str::from_utf8(rest) {
            Ok(all) => {
                text.push_str(all);
                return text;
            }
            Err(error) => error.valid_up_to(),
        };
        let (good, bad) = rest.split_at(valid);
        text.push_str(&String::from_utf8_lossy(good));
        text.push(char::REPLACEMENT_CHARACTER);
        rest = &bad[malformed_len(bad)..];
    }
}

/// How many of the bytes at the beginning stand for one malformed character: what the first of them announces, up to the first
/// that does not continue it; where the text ends before that, all.
fn malformed_len(bytes: &[u8]) -> usize {
    let announced = match bytes[0] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    if announced > bytes.len() {
        return bytes.len();
    }
    bytes[1..announced].iter().position(|byte| !(0x80..0xc0).contains(byte)).map_or(announced, |at| at + 1)
}
