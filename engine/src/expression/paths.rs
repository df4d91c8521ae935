//! Reading and writing by path.

use super::evaluate::Stop;
use super::text::typed;
use crate::value::{Array, Map, Value};

/// The highest index that an assignment may reach: jq pads with nulls up to it.
const INDEX_MAX: i64 = 1 << 20;

/// What lies under `key` of `value`.
pub(super) fn index(value: &Value, key: &Value) -> Result<Value, Stop> {
    match (value, key) {
        (Value::Object(map), Value::String(key)) => Ok(map.get(key).cloned().unwrap_or_default()),
        (Value::Array(items), Value::Int(_) | Value::Float(_)) => {
            Ok(place(items.len(), key).and_then(|at| items.get(at)).cloned().unwrap_or_default())
        }
        (Value::Null, Value::String(_) | Value::Int(_) | Value::Float(_) | Value::Null) => Ok(Value::Null),
        (Value::Array(items), Value::Object(range)) => {
            let (from, to) = bounds(range, items.len())?;
            Ok(Value::Array(items[from..to].iter().cloned().collect()))
        }
        (Value::String(text), Value::Object(range)) => {
            let length = text.chars().count();
            let (from, to) = bounds(range, length)?;
            Ok(Value::from(text.chars().skip(from).take(to - from).collect::<String>().as_str()))
        }
        (Value::Null, Value::Object(_)) => Ok(Value::Null),
        (Value::Array(items), Value::Array(wanted)) => Ok(indices(items, wanted)),
        (other, key) => Err(Stop::error(format!("Cannot index {} with {}", other.type_name(), typed(key)))),
    }
}

/// Where `wanted` begins within `items`.
pub(super) fn indices(items: &[Value], wanted: &[Value]) -> Value {
    if wanted.is_empty() {
        return Value::Null;
    }
    let found = items.windows(wanted.len()).enumerate().filter(|(_, window)| *window == wanted);
    found.map(|(at, _)| Value::Int(i64::try_from(at).unwrap_or(i64::MAX))).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "jq floors indices")]
fn place(length: usize, key: &Value) -> Option<usize> {
    let at = match key {
        Value::Int(at) => *at,
        other => other.as_f64().filter(|at| !at.is_nan())?.floor() as i64,
    };
    let at = if at < 0 { at.checked_add(i64::try_from(length).ok()?)? } else { at };
    usize::try_from(at).ok()
}

fn bounds(range: &Map, length: usize) -> Result<(usize, usize), Stop> {
    let bound = |name: &str, default: usize, up: bool| match range.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => {
            let number =
                value.as_f64().ok_or_else(|| Stop::error("Start and end indices of an array slice must be numbers"))?;
            let number = if up { number.ceil() } else { number.floor() };
            let number = if number < 0.0 { number + length as f64 } else { number };
            Ok(number.clamp(0.0, length as f64) as usize)
        }
    };
    let from = bound("start", 0, false)?;
    let to = bound("end", length, true)?;
    Ok((from, to.max(from)))
}

/// What lies at the end of `path`.
pub(super) fn get(value: &Value, path: &[Value]) -> Result<Value, Stop> {
    let mut value = value.clone();
    for key in path {
        if value.is_null() {
            return Ok(Value::Null);
        }
        value = index(&value, key)?;
    }
    Ok(value)
}

/// `value` with `new` at the end of `path`; what is missing on the way is made.
pub(super) fn set(value: &Value, path: &[Value], new: Value) -> Result<Value, Stop> {
    // Down, keeping what lies on the way, and up again.
    let mut way = Vec::with_capacity(path.len());
    let mut at = value.clone();
    for key in path {
        let next = match (&at, key) {
            (Value::Null, Value::String(_) | Value::Int(_) | Value::Float(_) | Value::Object(_)) => Value::Null,
            (at, key) => index(at, key)?,
        };
        way.push(std::mem::replace(&mut at, next));
    }
    let mut built = new;
    while let (Some(container), Some(key)) = (way.pop(), path.get(way.len())) {
        built = replace(container, key, built)?;
    }
    Ok(built)
}

fn replace(container: Value, key: &Value, new: Value) -> Result<Value, Stop> {
    match (container, key) {
        (Value::Object(mut map), Value::String(key)) => {
            map.insert(key.clone(), new);
            Ok(Value::Object(map))
        }
        (Value::Null, Value::String(key)) => {
            let mut map = Map::default();
            map.insert(key.clone(), new);
            Ok(Value::Object(map))
        }
        (container @ (Value::Array(_) | Value::Null), Value::Int(_) | Value::Float(_)) => {
            let mut items = match container {
                Value::Array(items) => items,
                _ => Array::new(),
            };
            let wanted = key.as_f64().unwrap_or(0.0);
            let Some(at) = place(items.len(), key) else {
                return Err(Stop::error("Out of bounds negative array index"));
            };
            if wanted > INDEX_MAX as f64 {
                return Err(Stop::error("Array index too large"));
            }
            while items.len() <= at {
                items.push(Value::Null);
            }
            items.make_mut()[at] = new;
            Ok(Value::Array(items))
        }
        (container @ (Value::Array(_) | Value::Null), Value::Object(range)) => {
            let items = match container {
                Value::Array(items) => items,
                _ => Array::new(),
            };
            let Value::Array(with) = new else {
                return Err(Stop::error("A slice of an array can only be assigned another array"));
            };
            let (from, to) = bounds(range, items.len())?;
            Ok(Value::Array(items.spliced(from..to, &with)))
        }
        (other, key @ Value::String(_)) => {
            Err(Stop::error(format!("Cannot index {} with {}", other.type_name(), typed(key))))
        }
        (other, key) => Err(Stop::error(format!("Cannot update field at {} of {}", key.type_name(), typed(&other)))),
    }
}

/// `value` without what lies at the ends of `paths`.
pub(super) fn delete(value: &Value, mut paths: Vec<Array>) -> Result<Value, Stop> {
    paths.sort_by(|a, b| Value::Array(a.clone()).compare(&Value::Array(b.clone())));
    let mut whole = value.clone();
    for path in paths.iter().rev() {
        let Some((last, way)) = path.split_last() else { return Ok(Value::Null) };
        let container = get(&whole, way)?;
        if container.is_null() {
            continue;
        }
        let rest = without(container, last)?;
        whole = set(&whole, way, rest)?;
    }
    Ok(whole)
}

fn without(container: Value, key: &Value) -> Result<Value, Stop> {
    match (container, key) {
        (Value::Object(mut map), Value::String(key)) => {
            map.remove(key);
            Ok(Value::Object(map))
        }
        (Value::Array(items), Value::Int(_) | Value::Float(_)) => Ok(Value::Array(match place(items.len(), key) {
            Some(at) if at < items.len() => items.spliced(at..at + 1, &[]),
            _ => items,
        })),
        (Value::Array(items), Value::Object(range)) => {
            let (from, to) = bounds(range, items.len())?;
            Ok(Value::Array(items.spliced(from..to, &[])))
        }
        (Value::Object(_), key) => {
            Err(Stop::error(format!("Cannot delete field at object index of {}", key.type_name())))
        }
        (other, key) => {
            Err(Stop::error(format!("Cannot delete field at {} index of {}", key.type_name(), other.type_name())))
        }
    }
}
