//! JSON values: immutable, cheap to clone, shared between steps, expressions and history.
//!
//! A clone is a reference count; mutation copies on write. Nothing here recurses without bound: values of any depth may be
//! parsed (up to the parser's limit), compared, written and dropped.

mod bury;
mod decimal;
mod map;
mod nest;
mod number;
mod order;
mod parse;
mod serde;
mod write;

use std::ops::Deref;

use ecow::{EcoString, EcoVec};

pub use bury::bury;
pub use decimal::Decimal;
pub use map::Map;
pub use number::{format_f64, format_i64};
pub use parse::{JsonError, ParseLimits};

/// A JSON value. Cloning is a reference count; mutation copies on write.
///
/// Numbers keep the digits with which they were written until they are computed with, as in jq; what is computed is a
/// double.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number within 64 bits.
    Int(i64),
    /// Any other number that a double holds with its digits.
    Float(f64),
    /// A number with more digits, or others: `1.50`, `100000000000000000000`.
    Decimal(Decimal),
    /// Text.
    String(EcoString),
    /// A list.
    Array(Array),
    /// Members in insertion order.
    Object(Map),
}

/// What a value exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The bytes that it may take.
    TooLarge,
    /// The arrays and objects that may be within each other.
    TooDeep,
}

/// The elements of an array. Reads as a slice.
#[derive(Clone, Debug, Default)]
pub struct Array(EcoVec<Value>);

impl Array {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Array {
        Array(EcoVec::new())
    }

    /// An empty list with room for `capacity` elements.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Array {
        Array(EcoVec::with_capacity(capacity))
    }

    /// Adds an element at the end.
    pub fn push(&mut self, value: Value) {
        self.0.push(value);
    }

    /// The elements for change, copied first when they are shared.
    pub fn make_mut(&mut self) -> &mut [Value] {
        self.0.make_mut()
    }

    /// Keeps the first `len` elements.
    pub fn truncate(&mut self, len: usize) {
        if len < self.0.len() {
            self.0.truncate(len);
        }
    }

    /// Whether nobody else holds the elements.
    #[must_use]
    pub fn is_unique(&mut self) -> bool {
        self.0.is_unique()
    }

    /// Keeps the elements that pass.
    pub fn retain(&mut self, keep: impl FnMut(&mut Value) -> bool) {
        self.0.retain(keep);
    }

    /// Adds all of `other` at the end.
    pub fn extend_from_slice(&mut self, other: &[Value]) {
        self.0.extend_from_slice(other);
    }

    /// Replaces a range of elements by others.
    #[must_use]
    pub fn spliced(&self, range: std::ops::Range<usize>, with: &[Value]) -> Array {
        let mut list = Array::with_capacity(self.len() - range.len() + with.len());
        list.extend_from_slice(&self[..range.start]);
        list.extend_from_slice(with);
        list.extend_from_slice(&self[range.end..]);
        list
    }
}

impl Deref for Array {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.0
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        if self.0.is_empty() || !self.0.is_unique() {
            return;
        }
        if self.0.iter().any(Value::is_container) {
            bury(std::mem::take(&mut self.0));
        }
    }
}

impl FromIterator<Value> for Array {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Array {
        Array(items.into_iter().collect())
    }
}

impl From<Vec<Value>> for Array {
    fn from(items: Vec<Value>) -> Array {
        Array(items.into())
    }
}

impl From<EcoVec<Value>> for Array {
    fn from(items: EcoVec<Value>) -> Array {
        Array(items)
    }
}

impl<'a> IntoIterator for &'a Array {
    type Item = &'a Value;
    type IntoIter = std::slice::Iter<'a, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl Value {
    /// Parses one JSON document.
    ///
    /// # Errors
    /// When it is not RFC 8259 JSON or exceeds a limit; the error names the place.
    pub fn parse(bytes: &[u8], limits: &ParseLimits) -> Result<Value, JsonError> {
        parse::parse(bytes, limits)
    }

    /// A number as jq has it: whole ones that a double holds exactly become `Int`.
    #[must_use]
    pub fn number(value: f64) -> Value {
        number::normalize(value)
    }

    /// Its text, if it is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Its truth value, if it is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// Its value, if it is a whole number within 64 bits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            Value::Float(number) => whole(*number),
            Value::Decimal(number) => whole(number.to_f64()),
            _ => None,
        }
    }

    /// Its value, if it is a whole number of 0 or more.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.as_i64().and_then(|number| u64::try_from(number).ok())
    }

    /// Its value as a double, if it is a number.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            Value::Decimal(number) => Some(number.to_f64()),
            _ => None,
        }
    }

    /// Its elements, if it is an array.
    #[must_use]
    pub const fn as_array(&self) -> Option<&Array> {
        match self {
            Value::Array(list) => Some(list),
            _ => None,
        }
    }

    /// Its members, if it is an object.
    #[must_use]
    pub const fn as_object(&self) -> Option<&Map> {
        match self {
            Value::Object(map) => Some(map),
            _ => None,
        }
    }

    /// The member `key`, if it is an object and has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.get(key)
    }

    /// What a JSON Pointer (RFC 6901) leads to.
    #[must_use]
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        if pointer.is_empty() {
            return Some(self);
        }
        let mut value = self;
        for segment in pointer.strip_prefix('/')?.split('/') {
            value = match value {
                Value::Object(map) if !segment.contains('~') => map.get(segment)?,
                Value::Object(map) => map.get(&segment.replace("~1", "/").replace("~0", "~"))?,
                Value::Array(list) => list.get(segment.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// As jq counts truth: everything but `null` and `false`.
    #[must_use]
    pub const fn is_truthy(&self) -> bool {
        !matches!(self, Value::Null | Value::Bool(false))
    }

    /// Whether it is plain to see that it equals `other`: containers only when they are the same storage.
    #[must_use]
    pub fn is_same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Object(a), Value::Object(b)) => a.is_same(b),
            (Value::Array(a), Value::Array(b)) => std::ptr::eq(a.as_ptr(), b.as_ptr()) && a.len() == b.len(),
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Decimal(a), Value::Decimal(b)) => a.as_str() == b.as_str(),
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Null, Value::Null) => true,
            _ => false,
        }
    }

    /// Whether it is `null`.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether it is an array or an object.
    #[must_use]
    pub const fn is_container(&self) -> bool {
        matches!(self, Value::Array(_) | Value::Object(_))
    }

    /// Its type as jq names it.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) | Value::Float(_) | Value::Decimal(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }
    }

    /// Bytes it takes, roughly, counting shared parts each time they occur and stopping soon after `most`.
    #[must_use]
    pub fn size_up_to(&self, most: usize) -> usize {
        let mut total = 0;
        let mut open = vec![self];
        while let Some(value) = open.pop() {
            total += size_of::<Value>();
            match value {
                Value::String(text) if text.len() > 15 => total += text.len() + 16,
                Value::Decimal(number) if number.as_str().len() > 15 => total += number.as_str().len() + 16,
                Value::Array(list) => open.extend(list.iter()),
                Value::Object(map) => {
                    for (key, member) in map {
                        total += 16 + if key.len() > 15 { key.len() + 16 } else { 0 };
                        open.push(member);
                    }
                }
                _ => {}
            }
            if total > most {
                break;
            }
        }
        total
    }

    /// Takes the bytes of it, roughly, from those that are left, counting shared parts each time they occur, and looks how deep it
    /// is nested.
    ///
    /// # Errors
    /// Where the first of both bounds is exceeded.
    pub fn fits(&self, bytes_left: &mut usize, depth_left: usize) -> Result<(), Misfit> {
        let take = |left: &mut usize, bytes| {
            *left = left.checked_sub(bytes).ok_or(Misfit::TooLarge)?;
            Ok(())
        };
        take(bytes_left, self.own_bytes())?;
        if !self.is_container() {
            return Ok(());
        }
        let depth_left = depth_left.checked_sub(1).ok_or(Misfit::TooDeep)?;
        match self {
            Value::Array(list) => list.iter().try_for_each(|value| value.fits(bytes_left, depth_left)),
            Value::Object(map) => {
                for (key, value) in map {
                    let key = size_of::<Value>() + long(key);
                    if value.is_container() {
                        take(bytes_left, key)?;
                        value.fits(bytes_left, depth_left)?;
                    } else {
                        take(bytes_left, key + value.own_bytes())?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Its bytes without those of its parts.
    #[inline]
    fn own_bytes(&self) -> usize {
        size_of::<Value>()
            + match self {
                Value::String(own) => long(own),
                Value::Decimal(number) => long(number.as_str()),
                _ => 0,
            }
    }

    /// Bytes it takes, roughly, counting shared parts each time they occur.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size_up_to(usize::MAX)
    }
}

/// The bytes of a text that has a place of its own.
#[inline]
const fn long(text: &str) -> usize {
    if text.len() > 15 { text.len() + 16 } else { 0 }
}

fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9.2e18).then_some(number as i64)
}

macro_rules! value_from {
    ($($from:ty => |$x:ident| $to:expr;)*) => {
        $(impl From<$from> for Value {
            fn from($x: $from) -> Value {
                $to
            }
        })*
    };
}

value_from! {
    bool => |x| Value::Bool(x);
    i32 => |x| Value::Int(x.into());
    u32 => |x| Value::Int(x.into());
    u16 => |x| Value::Int(x.into());
    i64 => |x| Value::Int(x);
    u64 => |x| i64::try_from(x).map_or_else(|_| Value::Float(x as f64), Value::Int);
    usize => |x| i64::try_from(x).map_or_else(|_| Value::Float(x as f64), Value::Int);
    f64 => |x| Value::number(x);
    &str => |x| Value::String(x.into());
    String => |x| Value::String(x.into());
    EcoString => |x| Value::String(x);
    Map => |x| Value::Object(x);
    Array => |x| Value::Array(x);
    EcoVec<Value> => |x| Value::Array(x.into());
    Vec<Value> => |x| Value::Array(x.into());
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

impl FromIterator<Value> for Value {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Value {
        Value::Array(items.into_iter().collect())
    }
}

impl<K: Into<EcoString>> FromIterator<(K, Value)> for Value {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(members: I) -> Value {
        Value::Object(members.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
