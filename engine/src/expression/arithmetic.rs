//! Operators. Operands are taken whole, so that what nobody else holds grows in place.

use std::cmp::Ordering;

use super::ast::Operator;
use super::errors::{Stop, refuse_both};
use super::run::Run;
use crate::value::{Array, Map, Value};

/// Up to here every whole number is a double of its own, and no other number rounds to it.
const EXACT_MAX: i64 = (1 << 53) - 1;

/// Bytes of the longest text that a repetition may give: jq's own limit.
const REPEAT_MAX: usize = i32::MAX as usize - 12;

/// Objects within each other that `*` merges: jq's own limit.
const MERGE_DEPTH_MAX: usize = 10_000;

pub(super) fn apply(run: &mut Run<'_>, operator: Operator, a: Value, b: Value) -> Result<Value, Stop> {
    use Operator::{
        Add, Divide, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Modulo, Multiply, Subtract, Unequal,
    };
    match operator {
        Add => add(run, a, b),
        Subtract => subtract(run, a, &b),
        Multiply => multiply(run, a, b),
        Divide => divide(run, &a, &b),
        Modulo => modulo(&a, &b),
        Equal => Ok(Value::Bool(equal(run, &a, &b)?)),
        Unequal => Ok(Value::Bool(!equal(run, &a, &b)?)),
        Less => compare(run, &a, &b).map(|order| Value::Bool(order.is_lt())),
        LessOrEqual => compare(run, &a, &b).map(|order| Value::Bool(order.is_le())),
        Greater => compare(run, &a, &b).map(|order| Value::Bool(order.is_gt())),
        GreaterOrEqual => compare(run, &a, &b).map(|order| Value::Bool(order.is_ge())),
    }
}

/// The result on two numbers, unless it is an error.
pub(super) fn folded(operator: Operator, a: &Value, b: &Value) -> Option<Value> {
    let (x, y) = numbers(a, b)?;
    Some(match operator {
        Operator::Add => sum(x, y),
        Operator::Subtract => Value::number(x - y),
        Operator::Multiply => Value::number(x * y),
        Operator::Divide if y != 0.0 => Value::number(x / y),
        Operator::Modulo => modulo(a, b).ok()?,
        _ => return None,
    })
}

/// The result of arithmetic on two numbers, as doubles compute it; `None` for other operators and where it is an error.
#[inline]
pub(super) fn of_doubles(operator: Operator, a: f64, b: f64) -> Option<f64> {
    match operator {
        Operator::Add => Some(a + b),
        Operator::Subtract => Some(a - b),
        Operator::Multiply => Some(a * b),
        Operator::Divide if b != 0.0 => Some(a / b),
        _ => None,
    }
}

/// The result of arithmetic or of a comparison on two numbers as most are; `None` where it needs more care.
#[inline]
pub(super) fn of_numbers(operator: Operator, a: &Value, b: &Value) -> Option<Value> {
    let (x, y) = match (a, b) {
        (Value::Int(a), Value::Int(b)) => (*a as f64, *b as f64),
        (Value::Int(a), Value::Float(b)) => (*a as f64, *b),
        (Value::Float(a), Value::Int(b)) => (*a, *b as f64),
        (Value::Float(a), Value::Float(b)) => (*a, *b),
        _ => return None,
    };
    let exact = x.abs() <= EXACT_MAX as f64 && y.abs() <= EXACT_MAX as f64;
    if !exact {
        return None;
    }
    Some(match operator {
        Operator::Add => Value::number(x + y),
        Operator::Subtract => Value::number(x - y),
        Operator::Multiply => Value::number(x * y),
        Operator::Divide if y != 0.0 => Value::number(x / y),
        Operator::Equal => Value::Bool(x == y),
        Operator::Unequal => Value::Bool(x != y),
        Operator::Less => Value::Bool(x < y),
        Operator::LessOrEqual => Value::Bool(x <= y),
        Operator::Greater => Value::Bool(x > y),
        Operator::GreaterOrEqual => Value::Bool(x >= y),
        Operator::Divide | Operator::Modulo => return None,
    })
}

#[inline]
fn numbers(a: &Value, b: &Value) -> Option<(f64, f64)> {
    Some((a.as_f64()?, b.as_f64()?))
}

pub(super) fn sum(a: f64, b: f64) -> Value {
    Value::number(a + b)
}

/// Whole numbers that doubles compute exactly.
#[inline]
fn exact(a: &Value, b: &Value, compute: impl FnOnce(i64, i64) -> Option<i64>) -> Option<Value> {
    let is_exact = |n: &i64| (-EXACT_MAX..=EXACT_MAX).contains(n);
    match (a, b) {
        (Value::Int(a), Value::Int(b)) if is_exact(a) && is_exact(b) => {
            compute(*a, *b).filter(is_exact).map(Value::Int)
        }
        _ => None,
    }
}

#[inline]
pub(super) fn add(run: &mut Run<'_>, a: Value, b: Value) -> Result<Value, Stop> {
    if let Some(sum) = exact(&a, &b, i64::checked_add) {
        return Ok(sum);
    }
    match (a, b) {
        (Value::Null, other) | (other, Value::Null) => Ok(other),
        (Value::String(mut a), Value::String(b)) => {
            run.allocate(b.len())?;
            let before = a.as_ptr();
            a.push_str(&b);
            // Text that others hold, or that outgrows its place, was copied.
            if a.as_ptr() != before {
                run.allocate(a.len())?;
            }
            Ok(Value::String(a))
        }
        (Value::Array(mut a), Value::Array(b)) => {
            run.allocate_items(b.len())?;
            let before = a.as_ptr();
            a.extend_from_slice(&b);
            if a.as_ptr() != before {
                run.allocate_items(a.len())?;
            }
            Ok(Value::Array(a))
        }
        (Value::Object(mut a), Value::Object(b)) => {
            run.allocate_items(2 * (b.len() + if a.is_unique() { 0 } else { a.len() }))?;
            for (key, value) in &b {
                a.insert(key.clone(), value.clone());
            }
            Ok(Value::Object(a))
        }
        (a, b) => match numbers(&a, &b) {
            Some((x, y)) => Ok(Value::number(x + y)),
            None => Err(refuse_both(&a, &b, "cannot be added")),
        },
    }
}

#[inline]
pub(super) fn subtract(run: &mut Run<'_>, a: Value, b: &Value) -> Result<Value, Stop> {
    if let Some(difference) = exact(&a, b, i64::checked_sub) {
        return Ok(difference);
    }
    if let (Value::Array(items), Value::Array(gone)) = (&a, b) {
        let mut kept = Array::new();
        for item in items {
            let mut found = false;
            for gone in gone {
                run.charge(1)?;
                if equal(run, item, gone)? {
                    found = true;
                    break;
                }
            }
            if !found {
                kept.push(item.clone());
            }
        }
        run.allocate_items(kept.len())?;
        return Ok(Value::Array(kept));
    }
    match numbers(&a, b) {
        Some((x, y)) => Ok(Value::number(x - y)),
        None => Err(refuse_both(&a, b, "cannot be subtracted")),
    }
}

#[inline]
fn multiply(run: &mut Run<'_>, a: Value, b: Value) -> Result<Value, Stop> {
    if let (Value::Int(x), Value::Int(y)) = (&a, &b)
        && *x > 0
        && *y > 0
        && let Some(product) = exact(&a, &b, i64::checked_mul)
    {
        return Ok(product);
    }
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => merge(run, a, &b),
        (Value::String(text), other) | (other, Value::String(text)) if other.as_f64().is_some() => {
            repeat(run, &text, other.as_f64().unwrap_or(f64::NAN))
        }
        (a, b) => match numbers(&a, &b) {
            Some((x, y)) => Ok(Value::number(x * y)),
            None => Err(refuse_both(&a, &b, "cannot be multiplied")),
        },
    }
}

fn repeat(run: &mut Run<'_>, text: &str, times: f64) -> Result<Value, Stop> {
    if times < 0.0 || times.is_nan() {
        return Ok(Value::Null);
    }
    let times = times.min(f64::from(i32::MAX)) as usize;
    let len = text.len().saturating_mul(times);
    if len >= REPEAT_MAX {
        return Err(Stop::error("Repeat string result too long"));
    }
    run.allocate(len)?;
    Ok(Value::from(text.repeat(times)))
}

/// `*` of objects: members that are objects on both sides are merged in turn.
fn merge(run: &mut Run<'_>, a: Map, b: &Map) -> Result<Value, Stop> {
    // Objects being merged: so far, with what, from which member on, and as which member of the one before.
    let mut open = vec![(a, b.clone(), 0_usize)];
    loop {
        let depth = open.len();
        let Some((into, from, at)) = open.last_mut() else { return Ok(Value::Null) };
        if *at == 0 {
            run.allocate_items(2 * (from.len() + if into.is_unique() { 0 } else { into.len() }))?;
        }
        run.charge(1)?;
        let member = from.at(*at).map(|(key, value)| (key.clone(), value.clone()));
        if let Some((key, value)) = member {
            if let (Some(Value::Object(old)), Value::Object(new)) = (into.get(&key), &value) {
                if depth > MERGE_DEPTH_MAX {
                    return Err(Stop::error("Object merge too deep"));
                }
                let inner = (old.clone(), new.clone(), 0);
                open.push(inner);
            } else {
                into.insert(key, value);
                *at += 1;
            }
            continue;
        }
        let Some((done, ..)) = open.pop() else { return Ok(Value::Null) };
        match open.last_mut() {
            None => return Ok(Value::Object(done)),
            Some((into, from, at)) => {
                if let Some((key, _)) = from.at(*at) {
                    into.insert(key.clone(), Value::Object(done));
                }
                *at += 1;
            }
        }
    }
}

fn divide(run: &mut Run<'_>, a: &Value, b: &Value) -> Result<Value, Stop> {
    if let Some((x, y)) = numbers(a, b) {
        if y == 0.0 {
            return Err(refuse_both(a, b, "cannot be divided because the divisor is zero"));
        }
        return Ok(Value::number(x / y));
    }
    match (a, b) {
        (Value::String(text), Value::String(separator)) => split(run, text, separator),
        _ => Err(refuse_both(a, b, "cannot be divided")),
    }
}

/// The parts of a text: an empty separator gives the characters, an empty text nothing.
pub(super) fn split(run: &mut Run<'_>, text: &str, separator: &str) -> Result<Value, Stop> {
    run.charge(text.len() as u64 / 16)?;
    let mut parts = Array::new();
    if text.is_empty() {
        return Ok(Value::Array(parts));
    }
    let mut take = |part: &str| {
        run.charge(2)?;
        run.allocate(size_of::<Value>() + part.len())?;
        parts.push(Value::from(part));
        Ok(())
    };
    if separator.is_empty() {
        text.char_indices().try_for_each(|(at, c)| take(&text[at..at + c.len_utf8()]))?;
    } else if let &[byte @ 0..0x80] = separator.as_bytes() {
        // The usual case, for which a search needs no preparation.
        text.split(char::from(byte)).try_for_each(take)?;
    } else {
        text.split(separator).try_for_each(take)?;
    }
    Ok(Value::Array(parts))
}

fn modulo(a: &Value, b: &Value) -> Result<Value, Stop> {
    let Some((x, y)) = numbers(a, b) else {
        return Err(refuse_both(a, b, "cannot be divided (remainder)"));
    };
    if x.is_nan() || y.is_nan() {
        return Ok(Value::Float(f64::NAN));
    }
    // Beyond 64 bits both are taken for the bound.
    let (x, y) = (x as i64, y as i64);
    if y == 0 {
        return Err(refuse_both(a, b, "cannot be divided (remainder) because the divisor is zero"));
    }
    Ok(Value::number(x.checked_rem(y).unwrap_or(0) as f64))
}

/// `==`
#[inline]
pub(super) fn equal(run: &mut Run<'_>, a: &Value, b: &Value) -> Result<bool, Stop> {
    a.equals_counted(b, run.steps_left()).ok_or(Stop::Limit("steps"))
}

/// The order of `<`.
#[inline]
pub(super) fn compare(run: &mut Run<'_>, a: &Value, b: &Value) -> Result<Ordering, Stop> {
    a.precedes_counted(b, run.steps_left()).ok_or(Stop::Limit("steps"))
}
