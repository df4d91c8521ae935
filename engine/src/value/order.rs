//! jq's equality and total order: null < false < true < numbers < strings < arrays < objects.

use std::cmp::Ordering;

use super::{Map, Value};

impl PartialEq for super::Array {
    fn eq(&self, other: &super::Array) -> bool {
        self.len() == other.len() && self.iter().zip(other).all(|(a, b)| a == b)
    }
}

impl Value {
    /// Orders as `sort` does. NaN is below all other numbers and equal to itself here, so that the order is total.
    #[must_use]
    pub fn compare(&self, other: &Value) -> Ordering {
        self.compare_counted(other, &mut u64::MAX.clone()).unwrap_or(Ordering::Equal)
    }

    /// The same, taking one from `steps` for each value looked at; `None` when they run out.
    pub fn compare_counted(&self, other: &Value, steps: &mut u64) -> Option<Ordering> {
        if let Some(order) = compare_scalars(self, other) {
            return Some(order);
        }
        let mut open = Vec::new();
        let mut next = Some((self, other));
        while let Some((a, b)) = next.or_else(|| step(&mut open)) {
            next = None;
            *steps = steps.checked_sub(1)?;
            let order = match (a, b) {
                (Value::Array(a), Value::Array(b)) => {
                    if !std::ptr::eq(a.as_ptr(), b.as_ptr()) || a.len() != b.len() {
                        open.push(Pair::Arrays(a, b, 0));
                    }
                    continue;
                }
                (Value::Object(a), Value::Object(b)) => {
                    *steps = steps.checked_sub((a.len() + b.len()) as u64)?;
                    open_objects(a, b, &mut open)
                }
                _ => compare_scalars(a, b).unwrap_or(Ordering::Equal),
            };
            if order != Ordering::Equal {
                return Some(order);
            }
        }
        Some(Ordering::Equal)
    }
}

enum Pair<'a> {
    Arrays(&'a [Value], &'a [Value], usize),
    Members(Vec<(&'a Value, &'a Value)>, usize),
}

/// The next two values to compare.
fn step<'a>(open: &mut Vec<Pair<'a>>) -> Option<(&'a Value, &'a Value)> {
    loop {
        match open.last_mut()? {
            Pair::Arrays(a, b, at) => {
                let place = *at;
                *at += 1;
                match (a.get(place), b.get(place)) {
                    (Some(x), Some(y)) => return Some((x, y)),
                    (None, None) => {
                        open.pop();
                    }
                    (x, _) => {
                        // One ended: the shorter is less. Two booleans carry that result.
                        return Some(if x.is_none() { (&FALSE, &TRUE) } else { (&TRUE, &FALSE) });
                    }
                }
            }
            Pair::Members(pairs, at) => {
                let place = *at;
                *at += 1;
                match pairs.get(place) {
                    Some(pair) => return Some(*pair),
                    None => {
                        open.pop();
                    }
                }
            }
        }
    }
}

static TRUE: Value = Value::Bool(true);
static FALSE: Value = Value::Bool(false);

/// Objects compare by their sorted keys first, then by the values in that order.
fn open_objects<'a>(a: &'a Map, b: &'a Map, open: &mut Vec<Pair<'a>>) -> Ordering {
    let (a, b) = (a.sorted(), b.sorted());
    let order = a.iter().map(|(key, _)| key).cmp(b.iter().map(|(key, _)| key));
    if order == Ordering::Equal {
        open.push(Pair::Members(a.into_iter().zip(b).map(|((_, x), (_, y))| (x, y)).collect(), 0));
    }
    order
}

const fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(false) => 1,
        Value::Bool(true) => 2,
        Value::Int(_) | Value::Float(_) => 3,
        Value::String(_) => 4,
        Value::Array(_) => 5,
        Value::Object(_) => 6,
    }
}

/// `None` for two arrays or two objects.
fn compare_scalars(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Float(b)) => Some(compare_mixed(*a, *b)),
        (Value::Float(a), Value::Int(b)) => Some(compare_mixed(*b, *a).reverse()),
        (Value::Float(a), Value::Float(b)) => Some(a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))),
        (Value::String(a), Value::String(b)) => Some(a.as_str().cmp(b.as_str())),
        (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_)) => None,
        _ => Some(rank(a).cmp(&rank(b))),
    }
}

fn compare_mixed(a: i64, b: f64) -> Ordering {
    if b.is_nan() {
        return Ordering::Greater;
    }
    // Beyond ±2^63 the sign decides; within, the whole part is exact in 64 bits.
    if b >= 9_223_372_036_854_775_808.0 {
        return Ordering::Less;
    }
    if b < -9_223_372_036_854_775_808.0 {
        return Ordering::Greater;
    }
    let whole = b.trunc();
    a.cmp(&(whole as i64)).then_with(|| 0.0_f64.partial_cmp(&(b - whole)).unwrap_or(Ordering::Equal))
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        if let (Value::Float(a), Value::Float(b)) = (self, other) {
            return a == b;
        }
        self.compare(other) == Ordering::Equal
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        self.len() == other.len()
            && Value::Object(self.clone()).compare(&Value::Object(other.clone())) == Ordering::Equal
    }
}
