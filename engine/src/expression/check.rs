//! What must hold for any text and any input: fuzzers and tests look for what breaks it.

use std::borrow::Cow;

use super::{Context, Expression, Limits, Way};
use crate::time::Timestamp;
use crate::value::{ParseLimits, Value};

/// Outputs that are looked at.
const OUTPUTS_MAX: usize = 50;

/// Budgets small enough to try many.
const LIMITS: Limits = Limits { steps_max: 100_000, memory_max: 4 << 20, depth_max: 2_000 };

/// Compiles and evaluates, both ways.
///
/// # Panics
/// When both ways answer differently. A budget may stop one way earlier than the other; what came before must agree.
pub fn both_ways_agree(program: &str, input: &str) {
    let Ok(expression) = Expression::compile(program, &[]) else { return };
    let Ok(input) = Value::parse(input.as_bytes(), &ParseLimits::default()) else { return };
    let none = |_: usize| Cow::Owned(Value::Null);
    let cx = Context { now: Timestamp(0), limits: &LIMITS, variables: &none, spent: None };
    let answer = |way| {
        let (outputs, error) = expression.outputs(way, &input, &cx, OUTPUTS_MAX);
        (outputs.iter().map(Value::to_json).collect::<Vec<_>>(), error)
    };
    let (best, machine) = (answer(Way::Best), answer(Way::Machine));
    let limited = |error: &Option<super::EvaluateError>| error.as_ref().is_some_and(super::EvaluateError::is_limit);
    if limited(&best.1) || limited(&machine.1) {
        let common = best.0.len().min(machine.0.len());
        assert_eq!(best.0[..common], machine.0[..common], "{program}");
    } else {
        assert_eq!(best, machine, "{program}");
    }
}

fn has_infinity(value: &Value) -> bool {
    match value {
        Value::Float(number) => number.is_infinite(),
        Value::Array(items) => items.iter().any(has_infinity),
        Value::Object(members) => members.iter().any(|(_, value)| has_infinity(value)),
        _ => false,
    }
}

/// Reads a text as JSON, writes it and reads it again.
///
/// # Panics
/// When what is read the second time is not what was read the first time, or another parser disagrees on whether it is JSON.
pub fn json_survives(bytes: &[u8]) {
    let Ok(value) = Value::parse(bytes, &ParseLimits { depth_max: 100 }) else { return };
    let text = value.to_json();
    if has_infinity(&value) {
        // As jq's, it is written as the largest double, and those digits are another number.
        return json_survives(text.as_bytes());
    }
    let again = Value::parse(text.as_bytes(), &ParseLimits { depth_max: 100 }).expect("what is written is JSON");
    assert_eq!(again.to_json(), text);
    assert!(value.compare(&again).is_eq(), "{text}");
    assert!(value == again, "{text}");
    assert!(serde_json::from_slice::<serde::de::IgnoredAny>(text.as_bytes()).is_ok(), "{text}");
}
