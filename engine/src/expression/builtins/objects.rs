//! Functions on arrays and objects.

use super::{Arguments, paths};
use crate::expression::arithmetic;
use crate::expression::errors::{Stop, refuse, refuse_both, typed};
use crate::expression::run::Run;
use crate::value::{Array, Map, Value};

type Done = Result<Value, Stop>;

/// Values within each other that `contains` looks into: jq's own limit.
const DEPTH_MAX: usize = 10_000;

pub fn length(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    Ok(match &input {
        Value::Null => Value::Int(0),
        Value::String(text) => {
            run.charge(text.len() as u64 / 64)?;
            Value::from(text.chars().count())
        }
        Value::Array(items) => Value::from(items.len()),
        Value::Object(map) => Value::from(map.len()),
        Value::Bool(_) => return Err(refuse(&input, "has no length")),
        Value::Int(_) | Value::Float(_) | Value::Decimal(_) => super::numbers::absolute(&input),
    })
}

pub fn keys(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    let Value::Object(map) = &input else { return indices_of(run, &input) };
    run.allocate_items(2 * map.len())?;
    Ok(map.sorted().into_iter().map(|(key, _)| Value::String(key.clone())).collect())
}

pub fn keys_unsorted(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    let Value::Object(map) = &input else { return indices_of(run, &input) };
    run.allocate_items(map.len())?;
    Ok(map.keys().map(|key| Value::String(key.clone())).collect())
}

fn indices_of(run: &mut Run<'_>, input: &Value) -> Done {
    let Value::Array(items) = input else { return Err(refuse(input, "has no keys")) };
    run.allocate_items(items.len())?;
    Ok((0..items.len()).map(Value::from).collect())
}

/// The values within an array or object.
pub fn parts(input: &Value) -> Result<Vec<Value>, Stop> {
    match input {
        Value::Array(items) => Ok(items.iter().cloned().collect()),
        Value::Object(map) => Ok(map.values().cloned().collect()),
        other => Err(Stop::error(format!("Cannot iterate over {}", typed(other)))),
    }
}

pub fn add(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    let mut sum = Value::Null;
    for part in parts(&input)? {
        run.charge(1)?;
        sum = arithmetic::add(run, sum, part)?;
    }
    Ok(sum)
}

pub fn join(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let mut joined = None;
    for part in parts(&input)? {
        run.charge(1)?;
        let before = match joined {
            None => Value::from(""),
            Some(joined) => arithmetic::add(run, joined, arguments[0].clone())?,
        };
        let part = match part {
            Value::Null => Value::from(""),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Decimal(_) => Value::from(part.to_json()),
            other => other,
        };
        joined = Some(arithmetic::add(run, before, part)?);
    }
    Ok(joined.unwrap_or_else(|| Value::from("")))
}

pub fn reverse(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    let Value::Array(items) = &input else { return Ok(input) };
    run.allocate_items(items.len())?;
    Ok(items.iter().rev().cloned().collect())
}

pub fn flatten(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let depth = &arguments[0];
    let mut flat = Array::new();
    // What is left of each array, and how much deeper it may go.
    let mut open = vec![(parts(&input)?.into_iter(), depth.clone())];
    while let Some((rest, depth)) = open.last_mut() {
        let Some(part) = rest.next() else {
            open.pop();
            continue;
        };
        run.allocate_items(1)?;
        match part {
            Value::Array(_) if depth.compare(&Value::Int(0)).is_ne() => {
                let Some(left) = depth.as_f64() else {
                    return Err(refuse_both(depth, &Value::Int(1), "cannot be subtracted"));
                };
                let inner = parts(&part)?;
                run.allocate_items(inner.len())?;
                open.push((inner.into_iter(), Value::number(left - 1.0)));
            }
            other => flat.push(other),
        }
    }
    Ok(Value::Array(flat))
}

pub fn to_entries(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    let entry =
        |key: Value, value: &Value| Value::Object([("key", key), ("value", value.clone())].into_iter().collect());
    match &input {
        Value::Object(map) => {
            run.allocate_items(6 * map.len())?;
            Ok(map.iter().map(|(key, value)| entry(Value::String(key.clone()), value)).collect())
        }
        Value::Array(items) => {
            run.allocate_items(6 * items.len())?;
            Ok(items.iter().enumerate().map(|(at, value)| entry(Value::from(at), value)).collect())
        }
        other => Err(refuse(other, "has no keys")),
    }
}

pub fn from_entries(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    let mut map = Map::new();
    for entry in parts(&input)? {
        run.allocate_items(2)?;
        let mut member = |name: &str| paths::index(run, &entry, &Value::from(name));
        let mut key = Value::Null;
        for name in ["key", "Key", "name", "Name"] {
            key = member(name)?;
            if key.is_truthy() {
                break;
            }
        }
        let has_value = matches!(&entry, Value::Object(entry) if entry.contains_key("value"));
        let value = member(if has_value { "value" } else { "Value" })?;
        let Value::String(key) = key else {
            return Err(Stop::error(format!("Cannot use {} as object key", typed(&key))));
        };
        map.insert(key, value);
    }
    Ok(Value::Object(map))
}

pub fn contains(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let wanted = &arguments[0];
    let kind = |value: &Value| (value.type_name(), value.as_bool());
    if kind(&input) != kind(wanted) {
        return Err(refuse_both(&input, wanted, "cannot have their containment checked"));
    }
    Ok(Value::Bool(holds(run, &input, wanted)?))
}

/// Values whose parts are being looked at.
enum Open<'a> {
    /// Members that must each be contained.
    Members(Vec<(&'a Value, &'a Value)>),
    /// Elements of which each must be contained in a candidate; those at hand.
    Elements { whole: &'a [Value], part: &'a [Value], at: usize, candidate: usize },
}

/// Whether `whole` contains `part`, without nesting calls.
fn holds(run: &mut Run<'_>, whole: &Value, part: &Value) -> Result<bool, Stop> {
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut verdict = answer(run, whole, part, &mut open)?;
    loop {
        run.charge(1)?;
        if open.len() > DEPTH_MAX {
            return Err(Stop::error("Containment check too deep"));
        }
        // The next question, or the answer to the one that was open.
        let next = match (open.last_mut(), verdict) {
            (None, verdict) => return Ok(verdict.unwrap_or(true)),
            (Some(Open::Members(_)), Some(false)) => Err(false),
            (Some(Open::Members(pairs)), _) => pairs.pop().ok_or(true),
            (Some(Open::Elements { whole, part, at, candidate }), verdict) => {
                if verdict == Some(true) {
                    (*at, *candidate) = (*at + 1, 0);
                }
                *candidate += 1;
                match (part.get(*at), whole.get(*candidate - 1)) {
                    (None, _) => Err(true),
                    (Some(_), None) => Err(false),
                    (Some(part), Some(whole)) => Ok((whole, part)),
                }
            }
        };
        verdict = match next {
            Ok((whole, part)) => answer(run, whole, part, &mut open)?,
            Err(answered) => {
                open.pop();
                Some(answered)
            }
        };
    }
}

/// The answer for values without parts; otherwise the question is opened.
fn answer<'a>(
    run: &mut Run<'_>,
    whole: &'a Value,
    part: &'a Value,
    open: &mut Vec<Open<'a>>,
) -> Result<Option<bool>, Stop> {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            run.charge(part.len() as u64)?;
            let pairs = part.iter().map(|(key, value)| Some((whole.get(key)?, value)));
            match pairs.collect::<Option<Vec<_>>>() {
                Some(pairs) => open.push(Open::Members(pairs)),
                None => return Ok(Some(false)),
            }
            Ok(None)
        }
        (Value::Array(whole), Value::Array(part)) => {
            open.push(Open::Elements { whole, part, at: 0, candidate: 0 });
            Ok(None)
        }
        (Value::String(whole), Value::String(part)) => {
            run.charge((whole.len() + part.len()) as u64 / 16)?;
            Ok(Some(whole.contains(part.as_str())))
        }
        _ => arithmetic::equal(run, whole, part).map(Some),
    }
}
