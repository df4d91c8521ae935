//! Why an evaluation stops, and how jq names values in the texts of errors.

use ecow::EcoString;

use crate::value::{Map, Value};

/// Bytes of a value's JSON that an error text shows.
const SHOWN_MAX: usize = 29;

/// Why evaluation stops before its end.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stop {
    /// A thrown value.
    Error(Value),
    /// `break` to the label with this number.
    Break(i64),
    /// A limit.
    Limit(&'static str),
    /// Whoever takes the outputs needs no more.
    Enough,
}

impl Stop {
    pub fn error(text: impl Into<EcoString>) -> Stop {
        Stop::Error(Value::String(text.into()))
    }

    /// The value that `catch` sees; `None` when it can't be caught.
    pub fn caught(self) -> Result<Value, Stop> {
        match self {
            Stop::Error(value) => Ok(value),
            Stop::Break(label) => Ok(broken(label)),
            Stop::Limit(_) | Stop::Enough => Err(self),
        }
    }
}

/// What a `catch` around a `break` sees.
pub(super) fn broken(label: i64) -> Value {
    let mut map = Map::new();
    map.insert("__jq", Value::Int(label));
    Value::Object(map)
}

/// A value's JSON as error texts show it: its beginning, when it is long.
pub(super) fn shown(value: &Value) -> String {
    let mut out = Vec::new();
    value.write_limited(&mut out, 4 * (SHOWN_MAX + 1) + 2, &mut { u64::MAX }, None);
    let text = String::from_utf8_lossy(&out);
    if text.len() <= SHOWN_MAX {
        return text.into_owned();
    }
    let close = match text.as_bytes()[0] {
        b'"' => "\"",
        b'[' => "]",
        b'{' => "}",
        _ => "",
    };
    let mut end = SHOWN_MAX - 3 - close.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...{close}", &text[..end])
}

/// A value with its type, as error texts name it.
pub(super) fn typed(value: &Value) -> String {
    format!("{} ({})", value.type_name(), shown(value))
}

/// `<type> (<value>) <what>`
pub(super) fn refuse(value: &Value, what: &str) -> Stop {
    Stop::error(format!("{} {what}", typed(value)))
}

/// `<type> (<value>) and <type> (<value>) <what>`
pub(super) fn refuse_both(a: &Value, b: &Value, what: &str) -> Stop {
    Stop::error(format!("{} and {} {what}", typed(a), typed(b)))
}
