//! Regular expressions, with look-around and backreferences.

use fancy_regex::{Regex, RegexBuilder};

use super::evaluate::{Machine, Stop};
use super::text::typed;
use crate::value::{Array, Map, Value};

/// How often a match may back-track.
const BACKTRACK_MAX: usize = 200_000;

/// All matches of `pattern` in `text`, each as jq's `match` describes it.
pub(super) fn matches(
    m: &mut Machine<'_>,
    text: &Value,
    pattern: &Value,
    flags: &Value,
    global: bool,
) -> Result<Vec<Value>, Stop> {
    let (Value::String(text), Value::String(pattern)) = (text, pattern) else {
        return Err(Stop::error(if text.as_str().is_none() {
            format!("{} cannot be matched, as it is not a string", typed(text))
        } else {
            format!("{} not a string or array", pattern.type_name())
        }));
    };
    let text = text.as_str();
    let (regex, global, skip_empty) = compile(pattern, flags, global)?;
    let names: Vec<Option<&str>> = regex.capture_names().collect();
    let mut found = Vec::new();
    let (mut chars, mut counted) = (0_usize, 0_usize);
    for captures in regex.captures_iter(text) {
        m.charge(8 + text.len() as u64 / 64)?;
        let captures = captures.map_err(|_| Stop::Limit("backtracking of a regular expression"))?;
        let Some(whole) = captures.get(0) else { continue };
        if skip_empty && whole.as_str().is_empty() {
            continue;
        }
        chars += text[counted..whole.start()].chars().count();
        counted = whole.start();
        let mut groups = Array::new();
        for (number, name) in names.iter().enumerate().skip(1) {
            let mut group = Map::default();
            let capture = captures.get(number);
            let offset = capture.map_or(-1, |c| {
                let before = chars + text[counted..c.start().max(counted)].chars().count();
                i64::try_from(before).unwrap_or(i64::MAX)
            });
            group.insert("offset", Value::Int(offset));
            group.insert("length", Value::Int(capture.map_or(0, |c| c.as_str().chars().count() as i64)));
            group.insert("string", capture.map_or(Value::Null, |c| Value::from(c.as_str())));
            group.insert("name", name.map_or(Value::Null, Value::from));
            groups.push(Value::Object(group));
        }
        let mut one = Map::default();
        one.insert("offset", Value::Int(chars as i64));
        one.insert("length", Value::Int(whole.as_str().chars().count() as i64));
        one.insert("string", Value::from(whole.as_str()));
        one.insert("captures", Value::Array(groups));
        m.allocate(200)?;
        found.push(Value::Object(one));
        if !global {
            break;
        }
    }
    Ok(found)
}

/// The expression with its flags, whether all matches are wanted, and whether empty ones are left out.
fn compile(pattern: &str, flags: &Value, global: bool) -> Result<(Regex, bool, bool), Stop> {
    let (mut global, mut skip_empty) = (global, false);
    let mut builder = RegexBuilder::new(pattern);
    builder.backtrack_limit(BACKTRACK_MAX);
    match flags {
        Value::Null => {}
        Value::String(flags) => {
            for flag in flags.chars() {
                match flag {
                    'g' => global = true,
                    'i' => _ = builder.case_insensitive(true),
                    'x' => _ = builder.ignore_whitespace(true),
                    's' => _ = builder.dot_matches_new_line(true),
                    'p' => _ = builder.dot_matches_new_line(true).multi_line(true),
                    'n' => skip_empty = true,
                    'l' => {}
                    _ => return Err(Stop::error(format!("{flags} is not a valid modifier string"))),
                }
            }
        }
        other => return Err(Stop::error(format!("{} is not a string", typed(other)))),
    }
    let regex = builder
        .build()
        .map_err(|error| Stop::error(format!("{pattern} (at offset 0) is not a valid regex: {error}")))?;
    Ok((regex, global, skip_empty))
}
