//! Sorting, grouping and searching.

use std::cmp::Ordering;

use super::Arguments;
use crate::expression::arithmetic::equal;
use crate::expression::errors::{Stop, refuse, refuse_both};
use crate::expression::run::Run;
use crate::value::{Array, Value};

type Done = Result<Value, Stop>;

const NOT_SORTABLE: &str = "cannot be sorted, as it is not an array";
const NOT_BOTH: &str = "cannot be sorted, as they are not both arrays";

/// Places of `keys` in their order; equal ones keep theirs.
fn order(run: &mut Run<'_>, keys: &[Value]) -> Result<Vec<usize>, Stop> {
    run.allocate(keys.len() * size_of::<usize>())?;
    run.charge(keys.len() as u64)?;
    let mut places: Vec<usize> = (0..keys.len()).collect();
    let steps = run.steps_left();
    let mut enough = true;
    places.sort_by(|a, b| {
        // Once the steps ran out nothing is compared any more, and the result is thrown away.
        let order = if enough { keys[*a].compare_counted(&keys[*b], steps) } else { Some(Ordering::Equal) };
        order.unwrap_or_else(|| {
            enough = false;
            Ordering::Equal
        })
    });
    if enough { Ok(places) } else { Err(Stop::Limit("steps")) }
}

/// The elements in their order.
pub fn sorted(run: &mut Run<'_>, items: &Array) -> Result<Vec<Value>, Stop> {
    run.allocate_items(items.len())?;
    Ok(order(run, items)?.into_iter().map(|place| items[place].clone()).collect())
}

/// Values with a key each, in the order of the keys.
fn by_key<'v>(
    run: &mut Run<'_>,
    input: &'v Value,
    keys: &'v Value,
) -> Result<impl Iterator<Item = (&'v Value, &'v Value)> + use<'v>, Stop> {
    match (input, keys) {
        (Value::Array(items), Value::Array(keys)) if items.len() == keys.len() => {
            run.allocate_items(items.len())?;
            Ok(order(run, keys)?.into_iter().map(|place| (&keys[place], &items[place])))
        }
        _ => Err(refuse_both(input, keys, NOT_BOTH)),
    }
}

pub fn sort(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    match &input {
        Value::Array(items) => Ok(sorted(run, items)?.into()),
        other => Err(refuse(other, NOT_SORTABLE)),
    }
}

pub fn sort_by(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    Ok(by_key(run, &input, &arguments[0])?.map(|(_, value)| value.clone()).collect())
}

pub fn group_by(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let mut groups = Array::new();
    let mut group = Array::new();
    let mut last = None;
    for (key, value) in by_key(run, &input, &arguments[0])? {
        if let Some(last) = last
            && !equal(run, last, key)?
        {
            run.allocate_items(2)?;
            groups.push(Value::Array(std::mem::take(&mut group)));
        }
        group.push(value.clone());
        last = Some(key);
    }
    if last.is_some() {
        groups.push(Value::Array(group));
    }
    Ok(Value::Array(groups))
}

fn unique_of(run: &mut Run<'_>, input: &Value, keys: &Value) -> Done {
    let mut kept = Array::new();
    let mut last = None;
    for (key, value) in by_key(run, input, keys)? {
        let is_new = match last {
            Some(last) => !equal(run, last, key)?,
            None => true,
        };
        if is_new {
            kept.push(value.clone());
            last = Some(key);
        }
    }
    Ok(Value::Array(kept))
}

pub fn unique(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    match &input {
        Value::Array(_) => unique_of(run, &input, &input),
        other => Err(refuse(other, NOT_SORTABLE)),
    }
}

pub fn unique_by(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    unique_of(run, &input, &arguments[0])
}

/// The element whose key `wins` over that of the best so far.
fn best(run: &mut Run<'_>, input: &Value, keys: &Value, wins: fn(Ordering) -> bool) -> Done {
    let (Value::Array(items), Value::Array(keys)) = (input, keys) else {
        return Err(refuse_both(input, keys, "cannot be iterated over"));
    };
    if items.len() != keys.len() {
        return Err(refuse_both(input, &Value::Array(keys.clone()), "have wrong length"));
    }
    let mut place = 0;
    for next in 1..items.len() {
        let order = keys[next].precedes_counted(&keys[place], run.steps_left()).ok_or(Stop::Limit("steps"))?;
        if wins(order) {
            place = next;
        }
    }
    Ok(items.get(place).cloned().unwrap_or_default())
}

pub fn min(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    best(run, &input, &input, Ordering::is_lt)
}

pub fn max(run: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    best(run, &input, &input, Ordering::is_ge)
}

pub fn min_by(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    best(run, &input, &arguments[0], Ordering::is_lt)
}

pub fn max_by(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    best(run, &input, &arguments[0], Ordering::is_ge)
}

/// The place of a value in a sorted array, or `-1 -` the place where it would be.
pub fn bsearch(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let Value::Array(items) = &input else { return Err(refuse(&input, "cannot be searched from")) };
    let (mut start, mut end) = (0, items.len());
    while start < end {
        let middle = start + (end - start) / 2;
        let order = arguments[0].precedes_counted(&items[middle], run.steps_left());
        match order.ok_or(Stop::Limit("steps"))? {
            Ordering::Equal => return Ok(Value::from(middle)),
            Ordering::Less => end = middle,
            Ordering::Greater => start = middle + 1,
        }
    }
    Ok(Value::Int(-1 - start as i64))
}
