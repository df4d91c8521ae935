//! `@name`: texts that other programs read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ecow::EcoString;

use super::Arguments;
use crate::expression::errors::{Stop, refuse};
use crate::expression::run::Run;
use crate::value::Value;

type Written = Result<EcoString, Stop>;

/// The alphabet of base 32 (RFC 4648).
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

pub fn format(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Result<Value, Stop> {
    let Value::String(name) = &arguments[0] else { return Err(refuse(&arguments[0], "is not a valid format")) };
    let text = match name.as_str() {
        "text" => return super::json::tostring(run, input, &mut []),
        "json" => super::json::written(run, &input)?,
        "csv" => row(run, &input, "cannot be csv-formatted, only array", ",", quoted)?,
        "tsv" => row(run, &input, "cannot be tsv-formatted, only array", "\t", |text, out| {
            replaced(text, out, &[('\t', "\\t"), ('\r', "\\r"), ('\n', "\\n"), ('\\', "\\\\"), ('\0', "\\0")]);
        })?,
        "sh" => shell(run, &input)?,
        name => {
            let text = super::json::text(run, &input)?;
            // The longest form takes six bytes for one.
            run.allocate(text.len())?;
            coded(name, &text).unwrap_or_else(|| Err(Stop::error(format!("{name} is not a valid format"))))?
        }
    };
    run.allocate(text.len())?;
    Ok(Value::String(text))
}

/// The formats that take any value as text; `None` for an unknown name.
fn coded(name: &str, text: &EcoString) -> Option<Written> {
    let mut out = EcoString::with_capacity(text.len());
    let marks = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('\'', "&apos;"), ('"', "&quot;"), ('\0', "\\0")];
    match name {
        "html" => replaced(text, &mut out, &marks),
        "uri" => percent(text, &mut out),
        "urid" => return Some(unpercent(text)),
        "base64" => out = STANDARD.encode(text.as_bytes()).into(),
        "base64d" => return Some(base64d(text)),
        "base32" => base32(text.as_bytes(), &mut out),
        "base32d" => return Some(base32d(text)),
        _ => return None,
    }
    Some(Ok(out))
}

fn replaced(text: &str, out: &mut EcoString, marks: &[(char, &str)]) {
    for c in text.chars() {
        match marks.iter().find(|(mark, _)| *mark == c) {
            Some((_, instead)) => out.push_str(instead),
            None => out.push(c),
        }
    }
}

fn quoted(text: &str, out: &mut EcoString) {
    out.push('"');
    replaced(text, out, &[('"', "\"\""), ('\0', "\\0")]);
    out.push('"');
}

fn row(
    run: &mut Run<'_>,
    value: &Value,
    refusal: &str,
    separator: &str,
    write: impl Fn(&str, &mut EcoString),
) -> Written {
    let Value::Array(items) = value else { return Err(refuse(value, refusal)) };
    let mut out = EcoString::new();
    for (place, item) in items.iter().enumerate() {
        run.charge(1 + out.len() as u64 / (64 * (place as u64 + 1)))?;
        if place > 0 {
            out.push_str(separator);
        }
        match item {
            Value::Null => {}
            Value::Float(number) if number.is_nan() => {}
            Value::String(text) => {
                run.allocate(text.len())?;
                write(text, &mut out);
            }
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Decimal(_) => out.push_str(&item.to_json()),
            Value::Array(_) | Value::Object(_) => return Err(refuse(item, "is not valid in a csv row")),
        }
    }
    Ok(out)
}

fn shell(run: &mut Run<'_>, value: &Value) -> Written {
    let alone = std::slice::from_ref(value);
    let items = value.as_array().map_or(alone, |items| items);
    let mut out = EcoString::new();
    for (place, item) in items.iter().enumerate() {
        run.charge(1)?;
        if place > 0 {
            out.push(' ');
        }
        match item {
            Value::String(text) => {
                run.allocate(text.len())?;
                out.push('\'');
                replaced(text, &mut out, &[('\'', "'\\''"), ('\0', "\\0")]);
                out.push('\'');
            }
            Value::Array(_) | Value::Object(_) => return Err(refuse(item, "can not be escaped for shell")),
            other => out.push_str(&other.to_json()),
        }
    }
    Ok(out)
}

fn percent(text: &str, out: &mut EcoString) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push('%');
            out.push(HEX[usize::from(byte >> 4)] as char);
            out.push(HEX[usize::from(byte & 15)] as char);
        }
    }
}

fn unpercent(text: &EcoString) -> Written {
    let wrong = || refuse(&Value::String(text.clone()), "is not a valid uri encoding");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| (digit as char).to_digit(16)).ok_or_else(wrong);
        let (high, low) = (digit()?, digit()?);
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map(EcoString::from).map_err(|_| wrong())
}

/// What is behind a `=` does not count, and the last character may lack its padding.
fn base64d(text: &EcoString) -> Written {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut code, mut count) = (0_u32, 0);
    for byte in text.bytes().take_while(|byte| *byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err(refuse(&Value::String(text.clone()), "is not valid base64 data")),
        };
        (code, count) = (code << 6 | u32::from(six), count + 1);
        if count == 4 {
            bytes.extend([(code >> 16) as u8, (code >> 8) as u8, code as u8]);
            (code, count) = (0, 0);
        }
    }
    match count {
        3 => bytes.extend([(code >> 10) as u8, (code >> 2) as u8]),
        2 => bytes.push((code >> 4) as u8),
        1 => return Err(refuse(&Value::String(text.clone()), "trailing base64 byte found")),
        _ => {}
    }
    Ok(super::texts::decoded(&bytes))
}

fn base32(bytes: &[u8], out: &mut EcoString) {
    for chunk in bytes.chunks(5) {
        let mut block = [0; 5];
        block[..chunk.len()].copy_from_slice(chunk);
        let bits = block.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        let used = (chunk.len() * 8).div_ceil(5);
        for place in 0..8 {
            let five = (bits >> (35 - 5 * place)) & 31;
            out.push(if place < used { BASE32[five as usize] as char } else { '=' });
        }
    }
}

fn base32d(text: &EcoString) -> Written {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let Some(five) = BASE32.iter().position(|own| *own == byte) else {
            return Err(refuse(&Value::String(text.clone()), "is not valid base32 data"));
        };
        (bits, count) = (bits << 5 | five as u32, count + 5);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Ok(super::texts::decoded(&bytes))
}
