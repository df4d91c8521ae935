//! Settings against their JSON Schema: the part of it that we use, with findings as good as a compiler's.

use std::sync::OnceLock;

use serde_json::Value;
use trinity_engine::definition::{Limits, nearest, yaml};

use super::SCHEMA;
use super::environment::Origins;
use super::finding::{Finding, MISSING_KEY, NOT_ALLOWED, UNKNOWN_KEY, WRONG_TYPE, dotted};

/// The schema of the whole file.
pub(super) fn root() -> &'static Value {
    static ROOT: OnceLock<Value> = OnceLock::new();
    // It is part of the program: a test reads it.
    ROOT.get_or_init(|| serde_json::from_str(SCHEMA).unwrap_or(Value::Null))
}

fn resolved(schema: &'static Value) -> &'static Value {
    match schema["$ref"].as_str().and_then(|reference| root().pointer(reference.trim_start_matches('#'))) {
        Some(target) => target,
        None => schema,
    }
}

/// The schema of a map's member.
pub(super) fn member(schema: &'static Value, key: &str) -> Option<&'static Value> {
    let schema = resolved(schema);
    schema["properties"].get(key).or_else(|| schema.get("additionalProperties").filter(|s| s.is_object()))
}

/// The schema of a list's items.
pub(super) fn items(schema: &'static Value) -> Option<&'static Value> {
    resolved(schema).get("items")
}

/// The keys that a map may have.
pub(super) fn keys(schema: &'static Value) -> Vec<&'static str> {
    resolved(schema)["properties"].as_object().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// The pointer of a member.
pub(super) fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Checks `value`, and turns text from the environment into what is wanted.
pub(super) fn check(
    value: &mut Value,
    schema: &'static Value,
    pointer: &str,
    origins: &Origins,
    findings: &mut Vec<Finding>,
) {
    let schema = resolved(schema);
    if let Some(origin) = origins.get(pointer) {
        if !wants_text(schema) {
            convert(value);
        }
        if let Some(variable) = origin {
            let before = findings.len();
            check_value(value, schema, pointer, origins, findings);
            for finding in &mut findings[before..] {
                finding.variable.get_or_insert_with(|| variable.clone());
            }
            return;
        }
    }
    check_value(value, schema, pointer, origins, findings);
}

fn check_value(
    value: &mut Value,
    schema: &'static Value,
    pointer: &str,
    origins: &Origins,
    findings: &mut Vec<Finding>,
) {
    if let Some(choices) = schema["oneOf"].as_array() {
        // A word or a map: the value's type tells which is meant.
        let meant = choices.iter().find(|choice| choice.get("enum").is_some() != value.is_object());
        if let Some(choice) = meant {
            check_value(value, choice, pointer, origins, findings);
        }
        return;
    }
    if let Some(words) = schema["enum"].as_array() {
        if !words.contains(value) {
            findings.push(no_choice(value, words, pointer));
        }
        return;
    }
    match (schema["type"].as_str().unwrap_or_default(), &mut *value) {
        ("object", Value::Object(_)) => map(value, schema, pointer, origins, findings),
        // A section of which all lines are comments.
        ("object", Value::Null) if pointer.matches('/').count() < 2 => *value = Value::Object(serde_json::Map::new()),
        ("array", Value::Null) if pointer.matches('/').count() < 2 => *value = Value::Array(Vec::new()),
        ("array", Value::Array(list)) => {
            let Some(item) = schema.get("items") else { return };
            for (at, value) in list.iter_mut().enumerate() {
                check(value, item, &format!("{pointer}/{at}"), origins, findings);
            }
        }
        ("string", Value::String(text)) => {
            if text.is_empty() && schema["minLength"].as_u64().is_some() {
                findings.push(Finding::error(NOT_ALLOWED, pointer, format!("{} must not be empty", dotted(pointer))));
            }
        }
        ("boolean", Value::Bool(_)) => {}
        ("integer", Value::Number(number)) => {
            let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
            let most = schema["maximum"].as_i64().unwrap_or(i64::MAX);
            if !number.as_i64().is_some_and(|number| (least..=most).contains(&number)) {
                let range = match schema.get("maximum") {
                    Some(_) => format!("a whole number from {least} to {most}"),
                    None => format!("a whole number of at least {least}"),
                };
                findings.push(Finding::error(NOT_ALLOWED, pointer, format!("{} must be {range}", dotted(pointer))));
            }
        }
        (wanted, _) => findings.push(wrong_type(value, wanted, pointer)),
    }
}

fn map(value: &mut Value, schema: &'static Value, pointer: &str, origins: &Origins, findings: &mut Vec<Finding>) {
    let Value::Object(members) = value else { return };
    for (key, member_value) in members.iter_mut() {
        let at = child(pointer, key);
        match member(schema, key) {
            Some(member) => check(member_value, member, &at, origins, findings),
            None => findings.push(unknown_key(key, schema, pointer, &at)),
        }
    }
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(key) {
            let name = if pointer.is_empty() { "the file".to_owned() } else { dotted(pointer) };
            findings.push(Finding::error(MISSING_KEY, pointer, format!("{name} needs \"{key}\"")).at_key());
        }
    }
}

fn unknown_key(key: &str, schema: &'static Value, pointer: &str, at: &str) -> Finding {
    let known = keys(schema);
    let within = if pointer.is_empty() { "the settings".to_owned() } else { dotted(pointer) };
    let hint = match nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("known here: {}", known.join(", ")),
    };
    Finding::error(UNKNOWN_KEY, at, format!("unknown key \"{key}\" in {within}")).at_key().hint(hint)
}

fn no_choice(value: &Value, words: &[Value], pointer: &str) -> Finding {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let known: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    let finding = Finding::error(NOT_ALLOWED, pointer, format!("{} can't be \"{shown}\"", dotted(pointer)));
    match nearest(&shown, known.iter().copied()) {
        Some(near) => finding.hint(format!("did you mean \"{near}\"?")),
        None => finding.hint(format!("one of: {}", known.join(", "))),
    }
}

fn wrong_type(value: &Value, wanted: &str, pointer: &str) -> Finding {
    let name = if pointer.is_empty() { "the file".to_owned() } else { dotted(pointer) };
    let wanted = match wanted {
        "object" => "a map",
        "array" => "a list",
        "integer" => "a whole number",
        "boolean" => "true or false",
        _ => "a string",
    };
    let is = match value {
        Value::Null => "nothing (null)",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    };
    let finding = Finding::error(WRONG_TYPE, pointer, format!("{name} must be {wanted}, not {is}"));
    match value {
        Value::Number(_) | Value::Bool(_) if wanted == "a string" => finding.hint(format!("quote it: \"{value}\"")),
        _ => finding,
    }
}

fn wants_text(schema: &Value) -> bool {
    schema["type"] == "string" || schema.get("enum").is_some() || schema.get("oneOf").is_some()
}

/// Text of the environment as YAML: a number, a truth value, a list or a map.
fn convert(value: &mut Value) {
    if let Value::String(text) = value
        && let Ok(read) = yaml::read(text.as_bytes(), Limits::default())
    {
        *value = Value::from(&read);
    }
}
