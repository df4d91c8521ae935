//! Operators.

use super::ast::Operator;
use super::evaluate::{Machine, Stop};
use super::text::typed;
use crate::value::{Array, Map, Value};

/// How long a text may become by repetition.
const REPEAT_MAX: usize = 16 << 20;

pub(super) fn negate(value: &Value) -> Result<Value, Stop> {
    match value {
        Value::Int(n) => Ok(n.checked_neg().map_or_else(|| Value::number(-(*n as f64)), Value::Int)),
        Value::Float(n) => Ok(Value::Float(-n)),
        other => Err(Stop::error(format!("{} cannot be negated", typed(other)))),
    }
}

pub(super) fn apply(m: &mut Machine<'_>, operator: Operator, a: &Value, b: &Value) -> Result<Value, Stop> {
    use Operator::{
        Add, Divide, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Modulo, Multiply, Subtract, Unequal,
    };
    match operator {
        Add => add(m, a, b),
        Subtract => subtract(m, a, b),
        Multiply => multiply(m, a, b),
        Divide => divide(m, a, b),
        Modulo => modulo(a, b),
        // NaN equals nothing and lies below every number, itself included.
        Equal | Unequal | Less | LessOrEqual | Greater | GreaterOrEqual if is_nan(a) || is_nan(b) => {
            let numbers = a.as_f64().is_some() && b.as_f64().is_some();
            let less = if numbers { is_nan(a) } else { a.compare(b).is_lt() };
            Ok(Value::Bool(match operator {
                Equal => false,
                Unequal => true,
                Less | LessOrEqual => less,
                _ => !less,
            }))
        }
        Equal => compare(m, a, b).map(|o| Value::Bool(o.is_eq())),
        Unequal => compare(m, a, b).map(|o| Value::Bool(o.is_ne())),
        Less => compare(m, a, b).map(|o| Value::Bool(o.is_lt())),
        LessOrEqual => compare(m, a, b).map(|o| Value::Bool(o.is_le())),
        Greater => compare(m, a, b).map(|o| Value::Bool(o.is_gt())),
        GreaterOrEqual => compare(m, a, b).map(|o| Value::Bool(o.is_ge())),
    }
}

fn is_nan(value: &Value) -> bool {
    matches!(value, Value::Float(number) if number.is_nan())
}

/// Compares, counting what is walked.
pub(super) fn compare(m: &mut Machine<'_>, a: &Value, b: &Value) -> Result<std::cmp::Ordering, Stop> {
    if !a.is_container() || !b.is_container() {
        return Ok(a.compare(b));
    }
    let mut steps = m.cx.limits.steps_max;
    let before = steps;
    let ordering = a.compare_counted(b, &mut steps).ok_or(Stop::Limit("steps"))?;
    m.charge(before - steps)?;
    Ok(ordering)
}

fn failed(a: &Value, b: &Value, what: &str) -> Stop {
    Stop::error(format!("{} and {} cannot be {what}", typed(a), typed(b)))
}

fn numbers(a: &Value, b: &Value) -> Option<(f64, f64)> {
    Some((a.as_f64()?, b.as_f64()?))
}

pub(super) fn add(m: &mut Machine<'_>, a: &Value, b: &Value) -> Result<Value, Stop> {
    match (a, b) {
        (Value::Null, other) | (other, Value::Null) => Ok(other.clone()),
        (Value::Int(x), Value::Int(y)) => {
            Ok(x.checked_add(*y).map_or_else(|| Value::number(*x as f64 + *y as f64), Value::Int))
        }
        (Value::String(x), Value::String(y)) => {
            m.allocate(x.len() + y.len())?;
            let mut text = x.clone();
            text.push_str(y);
            Ok(Value::String(text))
        }
        (Value::Array(x), Value::Array(y)) => {
            m.allocate(24 * (x.len() + y.len()))?;
            let mut items = x.clone();
            items.extend_from_slice(y);
            Ok(Value::Array(items))
        }
        (Value::Object(x), Value::Object(y)) => {
            m.allocate(48 * (x.len() + y.len()))?;
            let mut map = x.clone();
            for (key, value) in y.iter() {
                map.insert(key.clone(), value.clone());
            }
            Ok(Value::Object(map))
        }
        _ => numbers(a, b).map(|(x, y)| Value::number(x + y)).ok_or_else(|| failed(a, b, "added")),
    }
}

fn subtract(m: &mut Machine<'_>, a: &Value, b: &Value) -> Result<Value, Stop> {
    match (a, b) {
        (Value::Int(x), Value::Int(y)) => {
            Ok(x.checked_sub(*y).map_or_else(|| Value::number(*x as f64 - *y as f64), Value::Int))
        }
        (Value::Array(x), Value::Array(y)) => {
            let mut kept = Array::new();
            for item in x {
                let mut found = false;
                for gone in y {
                    m.charge(1)?;
                    found |= compare(m, item, gone)?.is_eq();
                }
                if !found {
                    kept.push(item.clone());
                }
            }
            m.allocate(24 * kept.len())?;
            Ok(Value::Array(kept))
        }
        _ => numbers(a, b).map(|(x, y)| Value::number(x - y)).ok_or_else(|| failed(a, b, "subtracted")),
    }
}

fn multiply(m: &mut Machine<'_>, a: &Value, b: &Value) -> Result<Value, Stop> {
    match (a, b) {
        (Value::Int(x), Value::Int(y)) => {
            Ok(x.checked_mul(*y).map_or_else(|| Value::number(*x as f64 * *y as f64), Value::Int))
        }
        (Value::String(text), number) | (number, Value::String(text)) if number.as_f64().is_some() => {
            let times = number.as_f64().unwrap_or(0.0);
            if times <= 0.0 || times.is_nan() {
                return Ok(if times.is_nan() || times < 0.0 { Value::Null } else { Value::from("") });
            }
            let count = if times < 1.0 { 1 } else { times as usize };
            if text.len().saturating_mul(count) > REPEAT_MAX {
                return Err(Stop::Limit("memory"));
            }
            m.allocate(text.len() * count)?;
            Ok(Value::from(text.repeat(count).as_str()))
        }
        (Value::Object(x), Value::Object(y)) => merge(m, x, y, 0).map(Value::Object),
        _ => numbers(a, b).map(|(x, y)| Value::number(x * y)).ok_or_else(|| failed(a, b, "multiplied")),
    }
}

fn merge(m: &mut Machine<'_>, a: &Map, b: &Map, depth: u32) -> Result<Map, Stop> {
    if depth > m.cx.limits.depth_max {
        return Err(Stop::Limit("depth"));
    }
    m.allocate(48 * (a.len() + b.len()))?;
    let mut map = a.clone();
    for (key, value) in b.iter() {
        let merged = match (map.get(key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                let old = old.clone();
                Value::Object(merge(m, &old, new, depth + 1)?)
            }
            _ => value.clone(),
        };
        map.insert(key.clone(), merged);
    }
    Ok(map)
}

fn divide(m: &mut Machine<'_>, a: &Value, b: &Value) -> Result<Value, Stop> {
    if let (Value::String(text), Value::String(separator)) = (a, b) {
        m.allocate(text.len() * 2)?;
        return Ok(split(text, separator));
    }
    let (x, y) = numbers(a, b).ok_or_else(|| failed(a, b, "divided"))?;
    if y == 0.0 {
        return Err(failed(a, b, "divided because the divisor is zero"));
    }
    Ok(Value::number(x / y))
}

/// jq's `split/1`: an empty separator gives the characters, an empty text nothing.
pub(super) fn split(text: &str, separator: &str) -> Value {
    if text.is_empty() {
        return Value::Array(Array::new());
    }
    if separator.is_empty() {
        return text.chars().map(|c| Value::from(c.encode_utf8(&mut [0; 4]) as &str)).collect();
    }
    text.split(separator).map(Value::from).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "jq truncates to 64 bits")]
fn modulo(a: &Value, b: &Value) -> Result<Value, Stop> {
    let (x, y) = numbers(a, b).ok_or_else(|| failed(a, b, "divided"))?;
    if x.is_nan() || y.is_nan() {
        return Ok(Value::Float(f64::NAN));
    }
    let divisor = (y as i64).unsigned_abs();
    if divisor == 0 {
        return Err(failed(a, b, "divided because the divisor is zero"));
    }
    let x = x as i64;
    let rest = i64::try_from(x.unsigned_abs() % divisor).unwrap_or(0);
    Ok(Value::Int(if x < 0 { -rest } else { rest }))
}
