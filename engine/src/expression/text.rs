//! Values as text: formats and error texts.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ecow::EcoString;

use super::ast::Format;
use super::evaluate::Stop;
use crate::value::Value;

/// How many bytes of a value error texts show.
const SHOWN_MAX: usize = 11;

/// A value as error texts show it: cut when it is long.
pub(super) fn shown(value: &Value) -> String {
    let mut out = Vec::new();
    value.write_limited(&mut out, 64, None);
    let text = String::from_utf8_lossy(&out).into_owned();
    if text.len() <= SHOWN_MAX + 3 {
        return text;
    }
    let mut end = SHOWN_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}

/// A value with its type, as error texts name it.
pub(super) fn typed(value: &Value) -> String {
    format!("{} ({})", value.type_name(), shown(value))
}

/// `tostring`.
pub(super) fn to_string(value: &Value) -> EcoString {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_json().into(),
    }
}

pub(super) fn format(format: Format, value: &Value) -> Result<EcoString, Stop> {
    Ok(match format {
        Format::Text => to_string(value),
        Format::Json => value.to_json().into(),
        Format::Csv => row(value, "csv", ",", |text| format!("\"{}\"", text.replace('"', "\"\"")))?,
        Format::Tsv => row(value, "tsv", "\t", |text| {
            text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
        })?,
        Format::Html => {
            let text = to_string(value).to_string();
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            text.replace('\'', "&apos;").replace('"', "&quot;").into()
        }
        Format::Uri => {
            let mut out = EcoString::new();
            for byte in to_string(value).bytes() {
                if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                    out.push(byte as char);
                } else {
                    out.push_str(&format!("%{byte:02X}"));
                }
            }
            out
        }
        Format::Urid => unescape(&to_string(value))?,
        Format::Sh => match value {
            Value::Array(items) => {
                let words: Result<Vec<String>, Stop> = items.iter().map(quoted).collect();
                words?.join(" ").into()
            }
            other => quoted(other)?.into(),
        },
        Format::Base64 => STANDARD.encode(to_string(value).as_bytes()).into(),
        Format::Base64d => {
            let text = to_string(value);
            let bytes = STANDARD_NO_PAD.decode(text.trim_end_matches('='));
            let bytes = bytes.map_err(|_| Stop::error(format!("{} is not valid base64 data", typed(value))))?;
            String::from_utf8_lossy(&bytes).as_ref().into()
        }
    })
}

fn row(value: &Value, name: &str, separator: &str, quote: impl Fn(&str) -> String) -> Result<EcoString, Stop> {
    let Value::Array(items) = value else {
        return Err(Stop::error(format!("{} cannot be {name}-formatted, only an array can be", typed(value))));
    };
    let mut cells = Vec::with_capacity(items.len());
    for item in items {
        cells.push(match item {
            Value::Null => String::new(),
            Value::String(text) => quote(text),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => item.to_json(),
            Value::Array(_) | Value::Object(_) => {
                return Err(Stop::error(format!("{} is not valid in a {name} row", typed(item))));
            }
        });
    }
    Ok(cells.join(separator).into())
}

fn quoted(value: &Value) -> Result<String, Stop> {
    match value {
        Value::String(text) => Ok(format!("'{}'", text.replace("'", "'\\''"))),
        Value::Array(_) | Value::Object(_) => {
            Err(Stop::error(format!("{} can not be escaped for shell", typed(value))))
        }
        other => Ok(other.to_json()),
    }
}

fn unescape(text: &str) -> Result<EcoString, Stop> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()].map(|digit| digit.and_then(|d| (d as char).to_digit(16)));
        match digits {
            [Some(high), Some(low)] => bytes.push((high * 16 + low) as u8),
            _ => {
                return Err(Stop::error(format!("string ({}) is not a valid uri encoding", shown(&Value::from(text)))));
            }
        }
    }
    Ok(String::from_utf8_lossy(&bytes).as_ref().into())
}
