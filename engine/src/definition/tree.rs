//! A document as a tree with positions.

use ecow::EcoString;

use super::source::Span;
use crate::value::{Map, Value};

/// How a string was written; decides how its characters map to the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Style {
    Plain,
    Single,
    Double,
    Block,
}

/// A value and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its text.
    pub span: Span,
    /// What a message about something missing in it points at: the key that holds it, or else its own begin.
    pub name: Span,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(EcoString, Style),
    Array(Vec<Node>),
    Object(Vec<Entry>),
}

/// A member of a map.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: EcoString,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    /// The value of `key`, if this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|e| e.key == key).map(|e| &e.value)
    }

    /// Its members; none unless it is a map.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Object(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text, _) => Some(text),
            _ => None,
        }
    }

    /// What it is, with its article, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing (null)",
            Kind::Bool(_) => "a boolean",
            Kind::Int(_) | Kind::Float(_) => "a number",
            Kind::String(..) => "a string",
            Kind::Array(_) => "a list",
            Kind::Object(_) => "a map",
        }
    }

    /// Without the positions.
    pub(crate) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(b) => Value::Bool(*b),
            Kind::Int(n) => Value::Int(*n),
            Kind::Float(n) => Value::Float(*n),
            Kind::String(text, _) => Value::String(text.clone()),
            Kind::Array(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Kind::Object(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_value())).collect::<Map>())
            }
        }
    }
}

/// The JSON Pointer of the innermost value or key whose text holds `span`.
pub(crate) fn pointer_at(root: &Node, span: Span) -> String {
    let mut pointer = String::new();
    let mut node = root;
    // Of neighbours the last that begins at or before the span holds it; texts of neighbours do not overlap.
    loop {
        match &node.kind {
            Kind::Object(entries) => {
                let Some(entry) = entries.iter().rev().find(|e| e.key_span.start <= span.start) else { return pointer };
                pointer.push('/');
                pointer.push_str(&escape(&entry.key));
                if entry.key_span == span || entry.value.span.start > span.start {
                    return pointer;
                }
                node = &entry.value;
            }
            Kind::Array(items) => {
                let Some(index) = items.iter().rposition(|n| n.span.start <= span.start) else { return pointer };
                pointer.push_str(&format!("/{index}"));
                node = &items[index];
            }
            _ => return pointer,
        }
    }
}

/// `key` as a segment of a JSON Pointer (RFC 6901).
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
