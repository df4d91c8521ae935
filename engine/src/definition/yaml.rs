//! YAML of plain data: payloads and answers, not definitions.

use super::diagnostic::Diagnostic;
use super::document::{self, Limits};
use super::scalar::{self, Plain};
use super::source::Source;
use crate::value::Value;

/// Reads one YAML 1.2 (or JSON) value.
///
/// # Errors
/// When it is not that, or exceeds `limits`; with the place.
pub fn read(bytes: &[u8], limits: Limits) -> Result<Value, Box<Diagnostic>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let text = document::prepare(text);
            Ok(document::parse(&Source::new(&text), limits)?.to_value())
        }
        Err(error) => {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            Err(document::not_utf8(&good))
        }
    }
}

/// Writes a value as block YAML, with a line break at the end. Reading it gives the same value.
#[must_use]
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Array(items) if !items.is_empty() => sequence(&mut out, items, 0),
        Value::Object(members) if !members.is_empty() => mapping(&mut out, members, 0, false),
        _ => {
            leaf(&mut out, value, 0);
            out.push('\n');
        }
    }
    out
}

fn indent(out: &mut String, level: usize) {
    out.extend(std::iter::repeat_n("  ", level));
}

fn sequence(out: &mut String, items: &[Value], level: usize) {
    for item in items {
        indent(out, level);
        out.push_str("- ");
        match item {
            // The first member goes on the line of the dash.
            Value::Object(members) if !members.is_empty() => mapping(out, members, level + 1, true),
            Value::Array(inner) if !inner.is_empty() => {
                out.pop();
                out.push('\n');
                sequence(out, inner, level + 1);
            }
            _ => {
                leaf(out, item, level);
                out.push('\n');
            }
        }
    }
}

fn mapping(out: &mut String, members: &crate::value::Map, level: usize, mut on_line: bool) {
    for (key, value) in members.iter() {
        if !std::mem::take(&mut on_line) {
            indent(out, level);
        }
        string(out, key);
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                mapping(out, inner, level + 1, false);
            }
            Value::Array(inner) if !inner.is_empty() => {
                out.push('\n');
                sequence(out, inner, level + 1);
            }
            _ => {
                out.push(' ');
                leaf(out, value, level);
                out.push('\n');
            }
        }
    }
}

/// A scalar, or an empty collection.
fn leaf(out: &mut String, value: &Value, level: usize) {
    match value {
        Value::String(text) if is_block(text) => block(out, text, level + 1),
        Value::String(text) => string(out, text),
        other => out.push_str(&other.to_json()),
    }
}

/// Whether a text reads best as a literal block, and can be one.
fn is_block(text: &str) -> bool {
    let printable =
        text.chars().all(|c| c == '\n' || !c.is_control() && !matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}'));
    let first = text.lines().next().unwrap_or("");
    text.trim_end_matches('\n').contains('\n')
        && printable
        && !first.is_empty()
        && !first.starts_with([' ', '\t'])
        && !text.lines().any(|l| l.ends_with([' ', '\t']) || l.is_empty())
        && !text.ends_with("\n\n")
}

fn block(out: &mut String, text: &str, level: usize) {
    out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
    for line in text.lines() {
        out.push('\n');
        indent(out, level);
        out.push_str(line);
    }
}

/// A text, quoted when it would be read as something else, here or by a YAML 1.1 parser.
fn string(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}') => {
                out.push_str(&format!("\\u{:04X}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn is_plain(text: &str) -> bool {
    const OLD_WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "="];
    let begins =
        text.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '/' | '.' | '$' | '(') || c.is_ascii_digit());
    let inside = text.chars().all(|c| !c.is_control() && !matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{85}'));
    begins
        && inside
        && !text.starts_with("...")
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with(':')
        && !text.ends_with(' ')
        && !text.contains(['{', '}', '[', ']', ','])
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && matches!(scalar::resolve(text), Plain::Text)
        && !OLD_WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_that_people_read() {
        let value = Value::from(json!({
            "id": "0123", "on": "yes", "n": 1, "f": 0.5, "none": null, "empty": [], "map": {},
            "list": [{"a": 1, "b": [true, [2]]}, "x: y", "plain text", ""],
            "text": "two\nlines\n", "trail": "a \nb",
        }));
        expect![[r#"
            id: "0123"
            "on": "yes"
            "n": 1
            f: 0.5
            none: null
            empty: []
            map: {}
            list:
              - a: 1
                b:
                  - true
                  -
                    - 2
              - "x: y"
              - plain text
              - ""
            text: |
              two
              lines
            trail: "a \nb"
        "#]]
        .assert_eq(&write(&value));
    }

    fn any_value() -> impl Strategy<Value = serde_json::Value> {
        let text = prop_oneof![
            "[ -~]{0,8}",
            "[a-z:#\n\t \\-'\"é😀\u{85}\u{feff}]{0,12}",
            Just("null".to_owned()),
            Just("1e3".to_owned())
        ];
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(|b| json!(b)),
            any::<i64>().prop_map(|n| json!(n)),
            (-1e9..1e9f64).prop_map(|n| json!(n)),
            text.clone().prop_map(|t| json!(t)),
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
                proptest::collection::btree_map(text.clone(), inner, 0..5).prop_map(|m| json!(m)),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(json in any_value()) {
            let value = Value::from(json);
            let text = write(&value);
            let back = read(text.as_bytes(), Limits::default());
            prop_assert_eq!(back.map(|v| v.to_json()), Ok(value.to_json()), "{}", text);
        }
    }
}
