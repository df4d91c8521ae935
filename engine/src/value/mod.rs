//! JSON values: immutable, cheap to clone, shared between steps, expressions and history.

use ecow::{EcoString, EcoVec};

/// A JSON value. Cloning is a reference count; mutation copies on write.
///
/// Integers that fit are kept exact, as jq does where it can; all other numbers are doubles.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number within 64 bits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(EcoString),
    /// A list.
    Array(EcoVec<Value>),
    /// Members in insertion order.
    Object(Map),
}

/// The members of an object, in insertion order, each key once.
#[derive(Clone, Debug, Default)]
pub struct Map(EcoVec<(EcoString, Value)>);

impl Value {
    /// Its text, if it is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, _other: &Value) -> bool {
        unimplemented!("expr")
    }
}
