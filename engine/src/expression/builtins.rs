//! The functions of jq that are written in Rust.

use std::ops::ControlFlow;

use ecow::EcoString;

use super::arithmetic::{add, compare, split};
use super::ast::Ast;
use super::evaluate::{Env, Flow, Item, Machine, Out, Path, Stop, path_of};
use super::text::{to_string, typed};
use super::{dates, paths, prelude, regex};
use crate::value::{Array, ParseLimits, Value};

/// Functions of values: their arguments are values, and they give one output.
const PLAIN: &[&str] = &[
    "not/0",
    "length/0",
    "utf8bytelength/0",
    "keys/0",
    "keys_unsorted/0",
    "add/0",
    "type/0",
    "tostring/0",
    "tonumber/0",
    "tojson/0",
    "fromjson/0",
    "sort/0",
    "unique/0",
    "min/0",
    "max/0",
    "reverse/0",
    "flatten/0",
    "flatten/1",
    "floor/0",
    "ceil/0",
    "round/0",
    "sqrt/0",
    "fabs/0",
    "trunc/0",
    "exp/0",
    "exp2/0",
    "exp10/0",
    "log/0",
    "log2/0",
    "log10/0",
    "sin/0",
    "cos/0",
    "tan/0",
    "asin/0",
    "acos/0",
    "atan/0",
    "cbrt/0",
    "significand/0",
    "pow/2",
    "atan2/2",
    "fmod/2",
    "isnan/0",
    "isinfinite/0",
    "isnormal/0",
    "infinite/0",
    "nan/0",
    "now/0",
    "has/1",
    "contains/1",
    "startswith/1",
    "endswith/1",
    "split/1",
    "explode/0",
    "implode/0",
    "trim/0",
    "ltrim/0",
    "rtrim/0",
    "indices/1",
    "setpath/2",
    "delpaths/1",
    "test/2",
    "gmtime/0",
    "mktime/0",
    "strftime/1",
    "strptime/1",
    "toboolean/0",
    "bsearch/1",
];

/// Functions whose arguments are filters, or that give any number of outputs.
const CONTROL: &[&str] = &[
    "empty/0",
    "error/0",
    "select/1",
    "path/1",
    "range/1",
    "range/2",
    "range/3",
    "first/1",
    "last/1",
    "isempty/1",
    "sort_by/1",
    "group_by/1",
    "match/2",
    "getpath/1",
];

/// Whether `name/arity` is written here.
pub(super) fn is_native(signature: &str) -> bool {
    PLAIN.contains(&signature) || CONTROL.contains(&signature)
}

/// Whether `name/arity` is built in.
pub(super) fn is_known(signature: &str) -> bool {
    let prelude =
        |(name, arity): (&str, &str)| arity.parse().is_ok_and(|arity| prelude::function(name, arity).is_some());
    is_native(signature) || signature.rsplit_once('/').is_some_and(prelude)
}

/// Calls a function that is written here; `Continue` when there is none of that name.
pub(super) fn call(
    m: &mut Machine<'_>,
    name: &str,
    arguments: &[Ast],
    env: Env<'_>,
    input: &Item,
    out: Out<'_>,
) -> ControlFlow<Flow> {
    let signature = EcoString::from(format!("{name}/{}", arguments.len()));
    if CONTROL.contains(&signature.as_str()) {
        return ControlFlow::Break(control(m, &signature, arguments, env, input, out));
    }
    if !PLAIN.contains(&signature.as_str()) {
        return ControlFlow::Continue(());
    }
    ControlFlow::Break(match arguments {
        [] => plain(m, &signature, &input.value, &[]).and_then(|value| out(m, input.computed(value))),
        _ => product(m, &signature, arguments, &mut Vec::new(), env, input, out),
    })
}

/// Calls with every combination of the arguments' outputs, the last argument varying slowest.
fn product(
    m: &mut Machine<'_>,
    signature: &str,
    arguments: &[Ast],
    values: &mut Vec<Value>,
    env: Env<'_>,
    input: &Item,
    out: Out<'_>,
) -> Flow {
    let Some((last, rest)) = arguments.split_last() else {
        let arguments: Vec<Value> = values.iter().rev().cloned().collect();
        let value = plain(m, signature, &input.value, &arguments)?;
        return out(m, input.computed(value));
    };
    for value in m.collect(last, env, input)? {
        values.push(value);
        product(m, signature, rest, values, env, input, out)?;
        values.pop();
    }
    Ok(())
}

fn control(m: &mut Machine<'_>, signature: &str, arguments: &[Ast], env: Env<'_>, input: &Item, out: Out<'_>) -> Flow {
    match (signature, arguments) {
        ("error/0", _) => Err(Stop::Error(input.value.clone())),
        ("select/1", [filter]) => {
            let plain = Item::plain(input.value.clone());
            m.eval(filter, env, &plain, &mut |m, verdict| {
                if verdict.value.is_truthy() { out(m, input.clone()) } else { Ok(()) }
            })
        }
        ("path/1", [filter]) => {
            let start = Item { value: input.value.clone(), path: Path::At(Array::new()) };
            m.eval(filter, env, &start, &mut |m, item| {
                let path = path_of(item)?;
                out(m, input.computed(Value::Array(path)))
            })
        }
        ("getpath/1", [path]) => {
            for path in m.collect(path, env, input)? {
                let Value::Array(keys) = &path else { return Err(Stop::error("Path must be specified as an array")) };
                let value = paths::get(&input.value, keys)?;
                let path = match &input.path {
                    Path::At(before) => {
                        let mut whole = before.clone();
                        whole.extend_from_slice(keys);
                        Path::At(whole)
                    }
                    other => other.clone(),
                };
                out(m, Item { value, path })?;
            }
            Ok(())
        }
        ("range/1", [to]) => range(m, &Ast::Literal(Value::Int(0)), to, &Ast::Literal(Value::Int(1)), env, input, out),
        ("range/2", [from, to]) => range(m, from, to, &Ast::Literal(Value::Int(1)), env, input, out),
        ("range/3", [from, to, step]) => range(m, from, to, step, env, input, out),
        ("first/1", [filter]) => first(m, filter, env, input, out),
        ("last/1", [filter]) => {
            let mut last = None;
            m.eval(filter, env, input, &mut |_, item| {
                last = Some(item);
                Ok(())
            })?;
            last.map_or(Ok(()), |item| out(m, item))
        }
        ("isempty/1", [filter]) => {
            let found = m.first(filter, env, &Item::plain(input.value.clone()))?;
            out(m, input.computed(Value::Bool(found.is_none())))
        }
        ("sort_by/1", [filter]) => {
            let sorted = keyed(m, filter, env, input)?.into_iter().map(|(_, value)| value).collect();
            out(m, input.computed(sorted))
        }
        ("group_by/1", [filter]) => {
            let grouped = groups(keyed(m, filter, env, input)?);
            out(m, input.computed(grouped))
        }
        ("match/2", [pattern, flags]) => {
            for flags in m.collect(flags, env, input)? {
                for pattern in m.collect(pattern, env, input)? {
                    for found in regex::matches(m, &input.value, &pattern, &flags, false)? {
                        out(m, input.computed(found))?;
                    }
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn first(m: &mut Machine<'_>, filter: &Ast, env: Env<'_>, input: &Item, out: Out<'_>) -> Flow {
    // With paths the item itself is wanted, so it is kept whole.
    let mut found = None;
    let flow = m.eval(filter, env, input, &mut |_, item| {
        found = Some(item);
        Err(Stop::Break(u64::MAX))
    });
    match flow {
        Ok(()) | Err(Stop::Break(u64::MAX)) => {}
        Err(other) => return Err(other),
    }
    found.map_or(Ok(()), |item| out(m, item))
}

fn range(m: &mut Machine<'_>, from: &Ast, to: &Ast, step: &Ast, env: Env<'_>, input: &Item, out: Out<'_>) -> Flow {
    let number = |value: &Value| value.as_f64().ok_or_else(|| Stop::error("Range bounds must be numeric"));
    for from in m.collect(from, env, input)? {
        for to in m.collect(to, env, input)? {
            for step in m.collect(step, env, input)? {
                let (mut at, to, step) = (number(&from)?, number(&to)?, number(&step)?);
                while if step > 0.0 {
                    at < to
                } else if step < 0.0 {
                    at > to
                } else {
                    at < to
                } {
                    m.charge(1)?;
                    out(m, input.computed(Value::number(at)))?;
                    at += step;
                }
            }
        }
    }
    Ok(())
}

/// The elements with their keys, sorted by them.
fn keyed(m: &mut Machine<'_>, filter: &Ast, env: Env<'_>, input: &Item) -> Result<Vec<(Value, Value)>, Stop> {
    let Value::Array(items) = &input.value else {
        return Err(Stop::error(format!("{} cannot be sorted, as it is not an array", typed(&input.value))));
    };
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        let key = m.collect(filter, env, &Item::plain(item.clone()))?;
        keyed.push((Value::Array(key.into()), item.clone()));
    }
    charge_sort(m, &input.value)?;
    keyed.sort_by(|a, b| a.0.compare(&b.0));
    Ok(keyed)
}

fn groups(keyed: Vec<(Value, Value)>) -> Value {
    let mut groups: Vec<(Value, Array)> = Vec::new();
    for (key, value) in keyed {
        match groups.last_mut() {
            Some((last, group)) if *last == key => group.push(value),
            _ => groups.push((key, std::iter::once(value).collect())),
        }
    }
    groups.into_iter().map(|(_, group)| Value::Array(group)).collect()
}

/// Sorting walks what it sorts, again and again.
fn charge_sort(m: &mut Machine<'_>, value: &Value) -> Flow {
    let size = value.size_up_to(m.cx.limits.memory_max);
    m.allocate(size)?;
    m.charge(size as u64 / 8)
}

fn plain(m: &mut Machine<'_>, signature: &str, input: &Value, arguments: &[Value]) -> Result<Value, Stop> {
    let argument = |at: usize| arguments.get(at).cloned().unwrap_or_default();
    Ok(match signature {
        "not/0" => Value::Bool(!input.is_truthy()),
        "type/0" => Value::from(input.type_name()),
        "length/0" => length(input)?,
        "utf8bytelength/0" => match input {
            Value::String(text) => Value::Int(text.len() as i64),
            other => return Err(Stop::error(format!("{} only strings have UTF-8 byte length", typed(other)))),
        },
        "keys/0" | "keys_unsorted/0" => match input {
            Value::Object(map) if signature == "keys/0" => {
                map.sorted().into_iter().map(|(key, _)| Value::String(key.clone())).collect()
            }
            Value::Object(map) => map.keys().map(|key| Value::String(key.clone())).collect(),
            Value::Array(items) => (0..items.len() as i64).map(Value::Int).collect(),
            other => return Err(Stop::error(format!("{} has no keys", typed(other)))),
        },
        "add/0" => {
            let mut sum = Value::Null;
            let items: Vec<Value> = match input {
                Value::Array(items) => items.iter().cloned().collect(),
                Value::Object(map) => map.values().cloned().collect(),
                other => return Err(Stop::error(format!("Cannot iterate over {}", typed(other)))),
            };
            for item in &items {
                sum = add(m, &sum, item)?;
            }
            sum
        }
        "tostring/0" => {
            charge_text(m, input)?;
            Value::String(to_string(input))
        }
        "tojson/0" => {
            charge_text(m, input)?;
            Value::from(input.to_json().as_str())
        }
        "fromjson/0" => match input {
            Value::String(text) => {
                m.allocate(text.len() * 4)?;
                Value::parse(text.as_bytes(), &ParseLimits::default())
                    .map_err(|error| Stop::error(format!("{error} (while parsing '{text}')")))?
            }
            other => return Err(Stop::error(format!("{} only strings can be parsed", typed(other)))),
        },
        "tonumber/0" => match input {
            Value::Int(_) | Value::Float(_) => input.clone(),
            Value::String(text) => Value::parse(text.trim().as_bytes(), &ParseLimits::default())
                .ok()
                .filter(|value| value.as_f64().is_some())
                .ok_or_else(|| Stop::error(format!("{} cannot be parsed as a number", typed(input))))?,
            other => return Err(Stop::error(format!("{} cannot be parsed as a number", typed(other)))),
        },
        "toboolean/0" => match input {
            Value::Bool(_) => input.clone(),
            Value::String(text) if text == "true" => Value::Bool(true),
            Value::String(text) if text == "false" => Value::Bool(false),
            other => return Err(Stop::error(format!("{} cannot be parsed as a boolean", typed(other)))),
        },
        "sort/0" | "unique/0" | "min/0" | "max/0" => {
            let Value::Array(items) = input else {
                let what = if matches!(signature, "min/0" | "max/0") { "iterated over" } else { "sorted" };
                return Err(Stop::error(format!("{} cannot be {what}, as it is not an array", typed(input))));
            };
            charge_sort(m, input)?;
            let mut items: Vec<Value> = items.iter().cloned().collect();
            items.sort_by(Value::compare);
            match signature {
                "min/0" => items.into_iter().next().unwrap_or_default(),
                "max/0" => items.pop().unwrap_or_default(),
                "unique/0" => {
                    items.dedup();
                    Value::Array(items.into())
                }
                _ => Value::Array(items.into()),
            }
        }
        "reverse/0" => match input {
            Value::Null => Value::Array(Array::new()),
            Value::Array(items) => {
                m.allocate(24 * items.len())?;
                items.iter().rev().cloned().collect()
            }
            other => return Err(Stop::error(format!("Cannot reverse {}", typed(other)))),
        },
        "flatten/0" => flatten(m, input, f64::MAX)?,
        "flatten/1" => {
            let depth = argument(0).as_f64().ok_or_else(|| Stop::error("flatten depth must not be negative"))?;
            if depth < 0.0 {
                return Err(Stop::error("flatten depth must not be negative"));
            }
            flatten(m, input, depth)?
        }
        "isnan/0" => Value::Bool(math(input)?.is_nan()),
        "isinfinite/0" => Value::Bool(math(input)?.is_infinite()),
        "isnormal/0" => Value::Bool(math(input)?.is_normal()),
        "infinite/0" => Value::Float(f64::INFINITY),
        "nan/0" => Value::Float(f64::NAN),
        "now/0" => Value::number(m.cx.now.micros() as f64 / 1e6),
        "pow/2" => Value::number(math(&argument(0))?.powf(math(&argument(1))?)),
        "atan2/2" => Value::number(math(&argument(0))?.atan2(math(&argument(1))?)),
        "fmod/2" => Value::number(math(&argument(0))? % math(&argument(1))?),
        "has/1" => match (input, &argument(0)) {
            (Value::Object(map), Value::String(key)) => Value::Bool(map.contains_key(key)),
            (Value::Array(items), key) if key.as_f64().is_some() => {
                let at = key.as_f64().unwrap_or(-1.0);
                Value::Bool(at >= 0.0 && at < items.len() as f64)
            }
            (Value::Null, _) => Value::Bool(false),
            (other, key) => {
                return Err(Stop::error(format!(
                    "Cannot check whether {} has a {} key",
                    other.type_name(),
                    key.type_name()
                )));
            }
        },
        "contains/1" => Value::Bool(contains(m, input, &argument(0), 0)?),
        "startswith/1" | "endswith/1" => match (input, &argument(0)) {
            (Value::String(text), Value::String(part)) if signature == "startswith/1" => {
                Value::Bool(text.starts_with(part.as_str()))
            }
            (Value::String(text), Value::String(part)) => Value::Bool(text.ends_with(part.as_str())),
            _ => {
                let name = signature.trim_end_matches("/1");
                return Err(Stop::error(format!("{name}() requires string inputs")));
            }
        },
        "split/1" => match (input, &argument(0)) {
            (Value::String(text), Value::String(separator)) => {
                m.allocate(text.len() * 2)?;
                split(text, separator)
            }
            _ => return Err(Stop::error("split input and separator must be strings")),
        },
        "explode/0" => match input {
            Value::String(text) => {
                m.allocate(24 * text.len())?;
                text.chars().map(|c| Value::Int(i64::from(u32::from(c)))).collect()
            }
            other => return Err(Stop::error(format!("{} cannot be exploded", typed(other)))),
        },
        "implode/0" => match input {
            Value::Array(codes) => {
                let wrong = || Stop::error("Unicode codepoint must be numeric");
                let mut text = EcoString::new();
                for code in codes {
                    let code = code.as_i64().ok_or_else(wrong)?;
                    text.push(u32::try_from(code).ok().and_then(char::from_u32).unwrap_or('\u{FFFD}'));
                }
                Value::String(text)
            }
            _ => return Err(Stop::error("implode input must be an array")),
        },
        "trim/0" | "ltrim/0" | "rtrim/0" => match input {
            Value::String(text) => Value::from(match signature {
                "trim/0" => text.trim(),
                "ltrim/0" => text.trim_start(),
                _ => text.trim_end(),
            }),
            other => return Err(Stop::error(format!("{} cannot be trimmed", typed(other)))),
        },
        "indices/1" => match (input, &argument(0)) {
            (Value::String(text), Value::String(part)) if part.is_empty() => {
                let _ = text;
                Value::Null
            }
            (Value::String(text), Value::String(part)) => {
                m.charge(text.len() as u64)?;
                let places =
                    text.char_indices().enumerate().filter(|(_, (at, _))| text[*at..].starts_with(part.as_str()));
                places.map(|(count, _)| Value::Int(count as i64)).collect()
            }
            (Value::Array(items), Value::Array(part)) => paths::indices(items, part),
            (Value::Array(items), one) => paths::indices(items, std::slice::from_ref(one)),
            (other, key) => paths::index(other, key)?,
        },
        "setpath/2" => match &argument(0) {
            Value::Array(path) => paths::set(input, path, argument(1))?,
            _ => return Err(Stop::error("Path must be specified as an array")),
        },
        "delpaths/1" => match &argument(0) {
            Value::Array(all) => {
                let mut found = Vec::new();
                for path in all {
                    let Value::Array(path) = path else {
                        return Err(Stop::error("Path must be specified as an array"));
                    };
                    found.push(path.clone());
                }
                paths::delete(input, found)?
            }
            _ => return Err(Stop::error("Paths must be specified as an array")),
        },
        "test/2" => Value::Bool(!regex::matches(m, input, &argument(0), &argument(1), false)?.is_empty()),
        "gmtime/0" => dates::gmtime(input)?,
        "mktime/0" => dates::mktime(input)?,
        "strftime/1" => dates::strftime(input, &argument(0))?,
        "strptime/1" => dates::strptime(input, &argument(0))?,
        "bsearch/1" => match input {
            Value::Array(items) => match items.binary_search_by(|item| item.compare(&argument(0))) {
                Ok(at) => Value::Int(at as i64),
                Err(at) => Value::Int(-1 - at as i64),
            },
            other => return Err(Stop::error(format!("{} cannot be searched from", typed(other)))),
        },
        other => Value::number(function(other.trim_end_matches("/0"), math(input)?)),
    })
}

fn function(name: &str, x: f64) -> f64 {
    match name {
        "floor" => x.floor(),
        "ceil" => x.ceil(),
        "round" => x.round(),
        "trunc" => x.trunc(),
        "sqrt" => x.sqrt(),
        "cbrt" => x.cbrt(),
        "fabs" => x.abs(),
        "exp" => x.exp(),
        "exp2" => x.exp2(),
        "exp10" => 10_f64.powf(x),
        "log" => x.ln(),
        "log2" => x.log2(),
        "log10" => x.log10(),
        "sin" => x.sin(),
        "cos" => x.cos(),
        "tan" => x.tan(),
        "asin" => x.asin(),
        "acos" => x.acos(),
        "atan" => x.atan(),
        "significand" if x != 0.0 && x.is_finite() => x / 2_f64.powf(x.abs().log2().floor()),
        _ => x,
    }
}

fn math(value: &Value) -> Result<f64, Stop> {
    value.as_f64().ok_or_else(|| Stop::error(format!("{} number required", typed(value))))
}

/// Turning a value into text builds at least as much as the value holds, shared parts each time.
fn charge_text(m: &mut Machine<'_>, value: &Value) -> Flow {
    if !value.is_container() {
        return Ok(());
    }
    let mut text = Vec::new();
    let most = 16 << 20;
    if !value.write_limited(&mut text, most, None) {
        return Err(Stop::Limit("memory"));
    }
    m.allocate(text.len())
}

fn length(value: &Value) -> Result<Value, Stop> {
    Ok(match value {
        Value::Null => Value::Int(0),
        Value::Bool(_) => return Err(Stop::error(format!("{} has no length", typed(value)))),
        Value::Int(n) => n.checked_abs().map_or_else(|| Value::number((*n as f64).abs()), Value::Int),
        Value::Float(n) => Value::Float(n.abs()),
        Value::String(text) => Value::Int(text.chars().count() as i64),
        Value::Array(items) => Value::Int(items.len() as i64),
        Value::Object(map) => Value::Int(map.len() as i64),
    })
}

fn flatten(m: &mut Machine<'_>, value: &Value, depth: f64) -> Result<Value, Stop> {
    let items: Vec<Value> = match value {
        Value::Array(items) => items.iter().cloned().collect(),
        Value::Object(map) => map.values().cloned().collect(),
        other => return Err(Stop::error(format!("Cannot iterate over {}", typed(other)))),
    };
    let mut pending: Vec<(Value, f64)> = items.into_iter().rev().map(|item| (item, depth)).collect();
    let mut flat = Array::new();
    while let Some((item, depth)) = pending.pop() {
        m.allocate(24)?;
        match item {
            Value::Array(items) if depth > 0.0 => {
                pending.extend(items.iter().rev().map(|item| (item.clone(), depth - 1.0)))
            }
            other => flat.push(other),
        }
    }
    Ok(Value::Array(flat))
}

fn contains(m: &mut Machine<'_>, a: &Value, b: &Value, depth: u32) -> Result<bool, Stop> {
    m.charge(1)?;
    if depth > m.cx.limits.depth_max {
        return Err(Stop::Limit("depth"));
    }
    Ok(match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, wanted) in b.iter() {
                match a.get(key) {
                    Some(value) if contains(m, value, wanted, depth + 1)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::Array(a), Value::Array(b)) => {
            for wanted in b {
                let mut found = false;
                for value in a {
                    if contains(m, value, wanted, depth + 1).unwrap_or(false) {
                        found = true;
                        break;
                    }
                    m.charge(1)?;
                }
                if !found {
                    return Ok(false);
                }
            }
            true
        }
        (Value::String(a), Value::String(b)) => a.contains(b.as_str()),
        _ if a.type_name() == b.type_name() => compare(m, a, b)?.is_eq(),
        _ => {
            return Err(Stop::error(format!("{} and {} cannot have their containment checked", typed(a), typed(b))));
        }
    })
}
