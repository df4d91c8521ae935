//! The environment in settings: `${VAR}` within strings, and `TRINITY__SECTION__KEY` over any key.

use std::collections::BTreeMap;

use serde_json::Value;
use trinity_engine::definition::nearest;

use super::finding::{Finding, MISSING_VARIABLE, UNKNOWN_KEY, dotted};
use super::shape;

/// Prefix of overrides.
const PREFIX: &str = "TRINITY__";

/// The variables that a value came from, by its pointer. What came from the environment is text, and may have to become
/// a number.
pub(super) type Origins = BTreeMap<String, Option<String>>;

/// Expands `${VAR}` and `${VAR:-default}` in all strings. An expression such as `${ .subject }` is none: a variable's name
/// follows the brace at once.
pub(super) fn expand(
    value: &mut Value,
    pointer: &str,
    environment: &[(String, String)],
    origins: &mut Origins,
    findings: &mut Vec<Finding>,
) {
    match value {
        Value::String(text) => match expanded(text, environment) {
            Ok(None) => {}
            Ok(Some(new)) => {
                *text = new;
                origins.insert(pointer.to_owned(), None);
            }
            Err(name) => {
                let message = format!("{} needs the environment variable {name}, which is not set", dotted(pointer));
                let hint = format!("set {name}, or give a default: ${{{name}:-…}}");
                findings.push(Finding::error(MISSING_VARIABLE, pointer, message).hint(hint));
            }
        },
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                expand(item, &format!("{pointer}/{at}"), environment, origins, findings);
            }
        }
        Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                expand(member, &shape::child(pointer, key), environment, origins, findings);
            }
        }
        _ => {}
    }
}

/// `None` when there is nothing to expand; the missing variable's name as the error.
fn expanded(text: &str, environment: &[(String, String)]) -> Result<Option<String>, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut changed = false;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let Some((name, default, length)) = variable(&rest[at..]) else {
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        };
        let found = environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        // As in a shell, the default of `:-` stands for an empty variable too.
        let found = found.filter(|value| default.is_none() || !value.is_empty());
        match found.or(default) {
            Some(value) => out.push_str(value),
            None => return Err(name.to_owned()),
        }
        changed = true;
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    Ok(changed.then_some(out))
}

/// Name, default and length of the `${…}` that `text` begins with, if it is one.
fn variable(text: &str) -> Option<(&str, Option<&str>, usize)> {
    let end = text.find('}')?;
    let inner = &text[2..end];
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_name = begins && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then_some((name, default, end + 1))
}

/// Puts the overrides in.
pub(super) fn apply_overrides(
    value: &mut Value,
    environment: &[(String, String)],
    origins: &mut Origins,
    findings: &mut Vec<Finding>,
) {
    let mut overrides: Vec<_> =
        environment.iter().filter_map(|(key, text)| Some((key, key.strip_prefix(PREFIX)?, text))).collect();
    overrides.sort();
    for (variable, path, text) in overrides {
        match place(value, path) {
            Ok((pointer, slot)) => {
                *slot = Value::String(text.clone());
                origins.insert(pointer, Some(variable.clone()));
            }
            Err(mut finding) => {
                finding.variable = Some(variable.clone());
                findings.push(finding);
            }
        }
    }
}

/// Where `SECTION__KEY` leads to; sections that are not there are made.
fn place<'v>(value: &'v mut Value, path: &str) -> Result<(String, &'v mut Value), Finding> {
    let mut schema = shape::root();
    let mut pointer = String::new();
    let mut slot = value;
    for segment in path.split("__") {
        let segment = segment.to_ascii_lowercase();
        if let Some(items) = shape::items(schema) {
            let length = slot.as_array().map_or(0, Vec::len);
            let item = segment.parse::<usize>().ok().and_then(|at| slot.get_mut(at));
            let Some(item) = item else {
                let message = format!("{} has no item {segment}: it has {length}", dotted(&pointer));
                return Err(Finding::error(UNKNOWN_KEY, &pointer, message));
            };
            (schema, slot) = (items, item);
        } else {
            let known = shape::keys(schema);
            let Some(key) = known.iter().find(|key| key.eq_ignore_ascii_case(&segment)).copied() else {
                return Err(unknown(&segment, &known, &pointer));
            };
            if !slot.is_object() {
                *slot = Value::Object(serde_json::Map::new());
            }
            schema = shape::member(schema, key).unwrap_or(schema);
            slot = &mut slot[key];
            pointer = shape::child(&pointer, key);
            continue;
        }
        pointer = shape::child(&pointer, &segment);
    }
    Ok((pointer, slot))
}

fn unknown(segment: &str, known: &[&str], pointer: &str) -> Finding {
    let within = if pointer.is_empty() { "the settings".to_owned() } else { dotted(pointer) };
    let hint = match nearest(segment, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => "nothing lies below it".to_owned(),
        None => format!("known there: {}", known.join(", ")),
    };
    Finding::error(UNKNOWN_KEY, pointer, format!("unknown key \"{segment}\" in {within}")).hint(hint)
}
