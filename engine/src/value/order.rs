//! jq's equality and order: null < false < true < numbers < strings < arrays < objects.

use std::cmp::Ordering;

use super::{Map, Value};

impl PartialEq for super::Array {
    fn eq(&self, other: &super::Array) -> bool {
        self.len() == other.len() && self.iter().zip(other).all(|(a, b)| a == b)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.equals_counted(other, &mut u64::MAX.clone()).unwrap_or(false)
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        self.len() == other.len() && Value::Object(self.clone()) == Value::Object(other.clone())
    }
}

impl Value {
    /// Orders as `sort` does. NaN is below all other numbers and equal to itself, so that the order is total.
    #[must_use]
    pub fn compare(&self, other: &Value) -> Ordering {
        self.compare_counted(other, &mut u64::MAX.clone()).unwrap_or(Ordering::Equal)
    }

    /// The same, taking one from `steps` for each value looked at; `None` when they run out.
    pub fn compare_counted(&self, other: &Value, steps: &mut u64) -> Option<Ordering> {
        order(self, other, Ordering::Equal, steps)
    }

    /// Orders as `<` does, where NaN is below NaN too. Takes from `steps` like [`compare_counted`](Self::compare_counted).
    pub fn precedes_counted(&self, other: &Value, steps: &mut u64) -> Option<Ordering> {
        order(self, other, Ordering::Less, steps)
    }

    /// Whether both are equal, taking one from `steps` for each value looked at; `None` when they run out.
    pub fn equals_counted(&self, other: &Value, steps: &mut u64) -> Option<bool> {
        let mut open = Vec::new();
        let mut next = Some((self, other));
        while let Some((a, b)) = next.take().or_else(|| pair(&mut open)) {
            *steps = steps.checked_sub(1)?;
            let equal = match (a, b) {
                (Value::Array(a), Value::Array(b)) => {
                    if a.len() == b.len() && !std::ptr::eq(a.as_ptr(), b.as_ptr()) {
                        open.push(Open::Arrays(a, b, 0));
                    }
                    a.len() == b.len()
                }
                (Value::Object(a), Value::Object(b)) => {
                    if a.len() == b.len() && !a.is_same(b) {
                        open.push(Open::Objects(a, b, 0));
                    }
                    a.len() == b.len()
                }
                (Value::String(a), Value::String(b)) => a == b,
                _ => compare_scalars(a, b, Ordering::Less) == Ordering::Equal,
            };
            if !equal {
                return Some(false);
            }
        }
        Some(true)
    }
}

/// Two containers whose parts are being compared.
enum Open<'a> {
    Arrays(&'a [Value], &'a [Value], usize),
    Objects(&'a Map, &'a Map, usize),
    Members(Vec<(&'a Value, &'a Value)>, usize),
}

static TRUE: Value = Value::Bool(true);
static FALSE: Value = Value::Bool(false);

/// The next two values to compare.
fn pair<'a>(open: &mut Vec<Open<'a>>) -> Option<(&'a Value, &'a Value)> {
    loop {
        let found = match open.last_mut()? {
            Open::Arrays(a, b, at) => {
                *at += 1;
                match (a.get(*at - 1), b.get(*at - 1)) {
                    (Some(x), Some(y)) => Some((x, y)),
                    (None, None) => None,
                    // One ended: the shorter is less. Two booleans carry that result.
                    (None, Some(_)) => Some((&FALSE, &TRUE)),
                    (Some(_), None) => Some((&TRUE, &FALSE)),
                }
            }
            Open::Objects(a, b, at) => {
                *at += 1;
                // A key that is missing on one side makes the objects unequal, whatever its value.
                a.at(*at - 1).map(|(key, x)| b.get(key).map_or((&TRUE, &FALSE), |y| (x, y)))
            }
            Open::Members(pairs, at) => {
                *at += 1;
                pairs.get(*at - 1).copied()
            }
        };
        match found {
            Some(pair) => return Some(pair),
            None => _ = open.pop(),
        }
    }
}

fn order(a: &Value, b: &Value, nan: Ordering, steps: &mut u64) -> Option<Ordering> {
    let mut open = Vec::new();
    let mut next = Some((a, b));
    while let Some((a, b)) = next.take().or_else(|| pair(&mut open)) {
        *steps = steps.checked_sub(1)?;
        let order = match (a, b) {
            (Value::Array(a), Value::Array(b)) => {
                let shared = std::ptr::eq(a.as_ptr(), b.as_ptr()) && a.len() == b.len();
                if !shared || nan == Ordering::Less {
                    open.push(Open::Arrays(a, b, 0));
                }
                Ordering::Equal
            }
            (Value::Object(a), Value::Object(b)) => {
                *steps = steps.checked_sub((a.len() + b.len()) as u64)?;
                open_objects(a, b, &mut open)
            }
            _ => compare_scalars(a, b, nan),
        };
        if order != Ordering::Equal {
            return Some(order);
        }
    }
    Some(Ordering::Equal)
}

/// Objects compare by their sorted keys first, then by the values in that order.
fn open_objects<'a>(a: &'a Map, b: &'a Map, open: &mut Vec<Open<'a>>) -> Ordering {
    let (a, b) = (a.sorted(), b.sorted());
    let order = a.iter().map(|(key, _)| key.as_str()).cmp(b.iter().map(|(key, _)| key.as_str()));
    if order == Ordering::Equal {
        open.push(Open::Members(a.into_iter().zip(b).map(|((_, x), (_, y))| (x, y)).collect(), 0));
    }
    order
}

const fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(false) => 1,
        Value::Bool(true) => 2,
        Value::Int(_) | Value::Float(_) | Value::Decimal(_) => 3,
        Value::String(_) => 4,
        Value::Array(_) => 5,
        Value::Object(_) => 6,
    }
}

/// Not for two arrays or two objects. `nan` is the order of two NaN.
#[inline]
fn compare_scalars(a: &Value, b: &Value, nan: Ordering) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Decimal(a), Value::Decimal(b)) => a.compare(b.as_str()),
        (Value::Decimal(a), Value::Int(b)) => a.compare(&b.to_string()),
        (Value::Int(a), Value::Decimal(b)) => b.compare(&a.to_string()).reverse(),
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or(match (a.is_nan(), b.is_nan()) {
                (true, true) => nan,
                (true, false) => Ordering::Less,
                _ => Ordering::Greater,
            }),
            _ => rank(a).cmp(&rank(b)),
        },
    }
}
