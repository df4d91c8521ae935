//! Reading, writing and deleting by path.

use super::Arguments;
use crate::expression::arithmetic::equal;
use crate::expression::errors::{Stop, typed};
use crate::expression::run::Run;
use crate::value::{Array, Map, Value};

type Done = Result<Value, Stop>;

/// Keys of the longest path: jq's own limit.
const PATH_MAX: usize = 10_000;

/// The highest index of an array: jq's own limit.
const INDEX_MAX: i64 = (i32::MAX >> 2) as i64;

/// What lies under `key` of `value`.
#[inline]
pub fn index(run: &mut Run<'_>, value: &Value, key: &Value) -> Done {
    match (value, key) {
        (Value::Object(map), Value::String(key)) => Ok(map.get(key).cloned().unwrap_or_default()),
        (Value::Array(items), Value::Int(_) | Value::Float(_) | Value::Decimal(_)) => {
            Ok(place(items.len(), key).and_then(|at| items.get(at)).cloned().unwrap_or_default())
        }
        _ => index_otherwise(run, value, key),
    }
}

fn index_otherwise(run: &mut Run<'_>, value: &Value, key: &Value) -> Done {
    match (value, key) {
        (Value::Null, Value::String(_) | Value::Object(_)) => Ok(Value::Null),
        (Value::Null, key) if key.as_f64().is_some() => Ok(Value::Null),
        (Value::Array(items), Value::Object(range)) => {
            let (from, to) = bounds(range, items.len())?;
            run.allocate_items(to - from)?;
            Ok(Value::Array(items[from..to].iter().cloned().collect()))
        }
        (Value::String(text), Value::Object(range)) => {
            run.charge(text.len() as u64 / 32)?;
            let (from, to) = bounds(range, text.chars().count())?;
            let part = slice(text, from, to);
            run.allocate(part.len())?;
            Ok(Value::from(part))
        }
        (Value::Array(items), Value::Array(wanted)) => indices(run, items, wanted),
        (other, key) => Err(Stop::error(format!("Cannot index {} with {}", other.type_name(), typed(key)))),
    }
}

/// The characters from `from` up to `to`.
pub fn slice(text: &str, from: usize, to: usize) -> &str {
    if text.is_ascii() {
        return &text[from..to];
    }
    let mut starts = text.char_indices().map(|(at, _)| at).skip(from);
    let start = starts.next().unwrap_or(text.len());
    let end = if to > from { starts.nth(to - from - 1).unwrap_or(text.len()) } else { start };
    &text[start..end]
}

/// Where `wanted` begins within `items`.
fn indices(run: &mut Run<'_>, items: &[Value], wanted: &[Value]) -> Done {
    let mut found = Array::new();
    if !wanted.is_empty() {
        for (at, window) in items.windows(wanted.len()).enumerate() {
            let mut all = true;
            for (a, b) in window.iter().zip(wanted) {
                all = all && equal(run, a, b)?;
            }
            if all {
                run.allocate_items(1)?;
                found.push(Value::from(at));
            }
        }
    }
    Ok(Value::Array(found))
}

/// A number as an index, towards zero.
fn truncated(key: &Value) -> Option<i64> {
    match key {
        Value::Int(at) => Some(*at),
        other => other.as_f64().filter(|at| !at.is_nan()).map(|at| at as i64),
    }
}

/// The place that an index means, from the end when it is negative.
fn place(length: usize, key: &Value) -> Option<usize> {
    let at = truncated(key)?.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
    usize::try_from(if at < 0 { at + length as i64 } else { at }).ok()
}

/// Where a slice begins and ends.
fn bounds(range: &Map, length: usize) -> Result<(usize, usize), Stop> {
    let bound = |name: &str| match range.get(name) {
        Some(Value::Null) => Ok(None),
        Some(value) if value.as_f64().is_some() => Ok(value.as_f64()),
        _ => Err(Stop::error("Array/string slice indices must be integers")),
    };
    let (start, end) = (bound("start")?.unwrap_or(0.0), bound("end")?);
    let len = length as f64;
    let from_end = |at: f64| if at < 0.0 { at + len } else { at };
    let start = if start.is_nan() { 0.0 } else { from_end(start).clamp(0.0, len) }.trunc();
    let end = from_end(end.filter(|end| !end.is_nan()).unwrap_or(len));
    let end = if end < 0.0 { start } else { end.ceil().min(len) };
    Ok((start as usize, end.max(start) as usize))
}

fn keys(path: &Value) -> Result<&Array, Stop> {
    match path {
        Value::Array(keys) if keys.len() > PATH_MAX => Err(Stop::error("Path too deep")),
        Value::Array(keys) => Ok(keys),
        _ => Err(Stop::error("Path must be specified as an array")),
    }
}

/// What lies at the end of `path`.
pub fn get(run: &mut Run<'_>, value: &Value, path: &Value) -> Done {
    let mut value = value.clone();
    for key in keys(path)? {
        run.charge(1)?;
        value = index(run, &value, key)?;
    }
    Ok(value)
}

/// `whole` with `new` at the end of `path`; what is missing on the way is made.
pub fn set(run: &mut Run<'_>, whole: Value, path: &Value, new: Value) -> Done {
    // Down, taking each part out of the one around it, and up again.
    let mut way = Vec::new();
    let mut rest = whole;
    for key in keys(path)? {
        run.charge(4)?;
        let part = index(run, &rest, key)?;
        // A scalar member needs no taking out.
        let stays = matches!((&rest, key), (Value::Object(_), Value::String(_))) && !part.is_container();
        if !stays && !matches!(key, Value::Object(_)) {
            rest = put(run, rest, key, Value::Null)?;
        }
        way.push((std::mem::replace(&mut rest, part), key));
    }
    rest = new;
    while let Some((container, key)) = way.pop() {
        rest = put(run, container, key, rest)?;
    }
    Ok(rest)
}

/// `container` with `new` under `key`.
fn put(run: &mut Run<'_>, container: Value, key: &Value, new: Value) -> Done {
    match (container, key) {
        (container @ (Value::Object(_) | Value::Null), Value::String(key)) => {
            let mut map = match container {
                Value::Object(map) => map,
                _ => Map::new(),
            };
            run.allocate_items(if map.is_unique() { 2 } else { 2 * map.len() + 2 })?;
            map.insert(key.clone(), new);
            Ok(Value::Object(map))
        }
        (container @ (Value::Array(_) | Value::Null), Value::Int(_) | Value::Float(_) | Value::Decimal(_)) => {
            put_element(run, list(container), key, new)
        }
        (container @ (Value::Array(_) | Value::Null), Value::Object(range)) => {
            let items = list(container);
            let (from, to) = bounds(range, items.len())?;
            let Value::Array(with) = new else {
                return Err(Stop::error("A slice of an array can only be assigned another array"));
            };
            run.allocate_items(items.len() + with.len())?;
            Ok(Value::Array(items.spliced(from..to, &with)))
        }
        (Value::String(_), Value::Object(_)) => Err(Stop::error("Cannot update string slices")),
        (other, key) => {
            let (key, other) = (key.type_name(), other.type_name());
            Err(Stop::error(format!("Cannot update field at {key} index of {other}")))
        }
    }
}

fn list(container: Value) -> Array {
    match container {
        Value::Array(items) => items,
        _ => Array::new(),
    }
}

fn put_element(run: &mut Run<'_>, mut items: Array, key: &Value, new: Value) -> Done {
    let Some(at) = truncated(key) else { return Err(Stop::error("Cannot set array element at NaN index")) };
    let at = if at < 0 { at.saturating_add(items.len() as i64) } else { at };
    let Ok(place) = usize::try_from(at) else { return Err(Stop::error("Out of bounds negative array index")) };
    if at > INDEX_MAX {
        return Err(Stop::error("Array index too large"));
    }
    let copied = if items.is_unique() { 0 } else { items.len() };
    run.allocate_items(copied + (place + 1).saturating_sub(items.len()))?;
    while items.len() <= place {
        items.push(Value::Null);
    }
    items.make_mut()[place] = new;
    Ok(Value::Array(items))
}

pub fn setpath(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let new = std::mem::take(&mut arguments[1]);
    set(run, input, &arguments[0], new)
}

pub fn has(_: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let found = match (&input, &arguments[0]) {
        (Value::Null, _) => false,
        (Value::Object(map), Value::String(key)) => map.contains_key(key),
        (Value::Array(items), key) if key.as_f64().is_some() => {
            truncated(key).is_some_and(|at| (0..items.len() as i64).contains(&at))
        }
        (other, key) => {
            let (other, key) = (other.type_name(), key.type_name());
            return Err(Stop::error(format!("Cannot check whether {other} has a {key} key")));
        }
    };
    Ok(Value::Bool(found))
}

pub fn delpaths(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let Value::Array(paths) = &arguments[0] else {
        return Err(Stop::error("Paths must be specified as an array"));
    };
    let mut paths = super::sorting::sorted(run, paths)?;
    for path in &paths {
        match path {
            Value::Array(keys) if keys.len() > PATH_MAX => return Err(Stop::error("Path too deep")),
            Value::Array(_) => {}
            other => {
                return Err(Stop::error(format!("Path must be specified as array, not {}", other.type_name())));
            }
        }
    }
    match paths.first() {
        None => return Ok(input),
        Some(Value::Array(first)) if first.is_empty() => return Ok(Value::Null),
        Some(_) => {}
    }
    let paths: Vec<Array> = paths.drain(..).map(list).collect();
    delete_all(run, input, &paths)
}

/// A container that is being freed of what lies at some paths.
struct Pruned {
    container: Value,
    /// Its paths, from which on, and how many of their keys lead to it.
    from: usize,
    to: usize,
    depth: usize,
    gone: Vec<Value>,
    /// The part of it that is being pruned.
    part: Option<Value>,
}

/// Deletes at paths that are sorted and not empty.
fn delete_all(run: &mut Run<'_>, whole: Value, paths: &[Array]) -> Done {
    let new = |container, from, to, depth| Pruned { container, from, to, depth, gone: Vec::new(), part: None };
    let mut open = vec![new(whole, 0, paths.len(), 0)];
    while let Some(top) = open.last_mut() {
        run.charge(1)?;
        if top.from == top.to {
            let done = delete(run, std::mem::take(&mut top.container), &top.gone)?;
            open.pop();
            match open.last_mut() {
                None => return Ok(done),
                Some(around) => {
                    if let Some(key) = around.part.take() {
                        around.container = put(run, std::mem::take(&mut around.container), &key, done)?;
                    }
                }
            }
            continue;
        }
        let (start, key) = (top.from, paths[top.from][top.depth].clone());
        while top.from < top.to && (top.from == start || equal(run, &key, &paths[top.from][top.depth])?) {
            top.from += 1;
        }
        let (end, depth) = (top.from, top.depth + 1);
        if paths[start].len() == depth {
            top.gone.push(key);
            continue;
        }
        let part = index(run, &top.container, &key)?;
        if !part.is_null() {
            top.part = Some(key);
            open.push(new(part, start, end, depth));
        }
    }
    Ok(Value::Null)
}

/// `container` without what lies under `gone`.
fn delete(run: &mut Run<'_>, container: Value, gone: &[Value]) -> Done {
    match container {
        Value::Null => Ok(Value::Null),
        other if gone.is_empty() => Ok(other),
        Value::Array(items) => delete_elements(run, &items, gone),
        Value::Object(mut map) => {
            run.allocate_items(if map.is_unique() { 0 } else { 2 * map.len() })?;
            for key in gone {
                let Value::String(key) = key else {
                    return Err(Stop::error(format!("Cannot delete {} field of object", key.type_name())));
                };
                run.charge(map.len() as u64 / 16)?;
                map.remove(key);
            }
            Ok(Value::Object(map))
        }
        other => Err(Stop::error(format!("Cannot delete fields from {}", other.type_name()))),
    }
}

fn delete_elements(run: &mut Run<'_>, items: &Array, gone: &[Value]) -> Done {
    let mut kept = vec![true; items.len()];
    for key in gone {
        let range = match key {
            Value::Object(range) => bounds(range, items.len())?,
            key if key.as_f64().is_some() => place(items.len(), key).map_or((0, 0), |at| (at, at + 1)),
            other => return Err(Stop::error(format!("Cannot delete {} element of array", other.type_name()))),
        };
        let to = range.1.min(items.len());
        run.charge(1 + (to.saturating_sub(range.0)) as u64 / 16)?;
        if range.0 < to {
            kept[range.0..to].fill(false);
        }
    }
    run.allocate_items(items.len())?;
    Ok(items.iter().zip(kept).filter(|(_, kept)| *kept).map(|(item, _)| item.clone()).collect())
}
