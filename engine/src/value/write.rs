//! JSON text of a value.

use std::fmt;

use super::nest::Nest;
use super::number::{format_f64, format_i64};
use super::{Map, Value};

enum Open<'a> {
    Array(std::slice::Iter<'a, Value>),
    Object(&'a Map, usize),
}

impl Value {
    /// Appends its compact JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.write_limited(out, usize::MAX, &mut { u64::MAX }, None);
    }

    /// Its compact JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        self.write_json(&mut out);
        into_text(out)
    }

    /// Its JSON over several lines, indented by two spaces.
    #[must_use]
    pub fn to_json_pretty(&self) -> String {
        let mut out = Vec::new();
        self.write_limited(&mut out, usize::MAX, &mut { u64::MAX }, Some(2));
        into_text(out)
    }

    /// Writes until `out` holds `most` bytes or `values` of them are written, which are counted down; whether all went in.
    pub fn write_limited(&self, out: &mut Vec<u8>, most: usize, values: &mut u64, indent: Option<usize>) -> bool {
        let mut open = Nest::new();
        let mut value = self;
        loop {
            if out.len() > most || *values == 0 {
                return false;
            }
            *values -= 1;
            match value {
                Value::Null => out.extend_from_slice(b"null"),
                Value::Bool(true) => out.extend_from_slice(b"true"),
                Value::Bool(false) => out.extend_from_slice(b"false"),
                Value::Int(number) => format_i64(*number, out),
                Value::Float(number) => format_f64(*number, out),
                Value::Decimal(number) => out.extend_from_slice(number.as_str().as_bytes()),
                Value::String(text) => write_string(text, out),
                Value::Array(list) if list.is_empty() => out.extend_from_slice(b"[]"),
                Value::Object(map) if map.is_empty() => out.extend_from_slice(b"{}"),
                Value::Array(list) => {
                    out.push(b'[');
                    open.push(Open::Array(list.iter()));
                    line(out, indent, open.depth());
                    if let Some(Open::Array(rest)) = open.innermost()
                        && let Some(first) = rest.next()
                    {
                        value = first;
                        continue;
                    }
                }
                Value::Object(map) => {
                    out.push(b'{');
                    open.push(Open::Object(map, 1));
                    line(out, indent, open.depth());
                    if let Some((key, first)) = map.at(0) {
                        write_key(key, out, indent);
                        value = first;
                        continue;
                    }
                }
            }
            match next(&mut open, out, indent) {
                Some(following) => value = following,
                None => return true,
            }
        }
    }
}

/// Closes what has ended; the next value to write.
fn next<'a>(open: &mut Nest<Open<'a>>, out: &mut Vec<u8>, indent: Option<usize>) -> Option<&'a Value> {
    loop {
        let depth = open.depth();
        match open.innermost()? {
            Open::Array(rest) => {
                if let Some(value) = rest.next() {
                    out.push(b',');
                    line(out, indent, depth);
                    return Some(value);
                }
                line(out, indent, depth - 1);
                out.push(b']');
            }
            Open::Object(map, at) => {
                if let Some((key, value)) = map.at(*at) {
                    *at += 1;
                    out.push(b',');
                    line(out, indent, depth);
                    write_key(key, out, indent);
                    return Some(value);
                }
                line(out, indent, depth - 1);
                out.push(b'}');
            }
        }
        open.pop();
    }
}

#[inline]
fn line(out: &mut Vec<u8>, indent: Option<usize>, depth: usize) {
    if let Some(width) = indent {
        out.push(b'\n');
        out.resize(out.len() + width * depth, b' ');
    }
}

fn write_key(key: &str, out: &mut Vec<u8>, indent: Option<usize>) {
    write_string(key, out);
    out.push(b':');
    if indent.is_some() {
        out.push(b' ');
    }
}

/// Writes a string in quotes, escaped as jq does.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    // Nearly all texts need no escape, and a loop without exits is done many bytes at a time.
    let plain = bytes
        .iter()
        .fold(true, |plain, &byte| plain & (byte >= 0x20) & (byte != b'"') & (byte != b'\\') & (byte != 0x7f));
    if plain {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            0x08 => b"\\b",
            0x0c => b"\\f",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 | 0x7f => b"\\u",
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..at]);
        out.extend_from_slice(short);
        if short == b"\\u" {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(&[b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        start = at + 1;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

fn into_text(out: Vec<u8>) -> String {
    // Strings are UTF-8 and everything else written is ASCII, so nothing is ever replaced.
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { f.write_str(&self.to_json_pretty()) } else { f.write_str(&self.to_json()) }
    }
}
