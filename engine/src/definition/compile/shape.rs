//! Maps with known keys, and values of known types.

use super::Compiler;
use crate::definition::document::{Entry, Kind, Node};
use crate::definition::suggest::nearest;

impl<'a> Compiler<'a> {
    /// Whether `node` is a map; keys not in `known` are reported.
    pub(super) fn map(&mut self, node: &Node, what: &str, known: &[&str]) -> bool {
        if !self.is_map(node, what) {
            return false;
        }
        for entry in node.entries() {
            if !known.contains(&entry.key.as_str()) {
                self.unknown_key(entry, what, known);
            }
        }
        true
    }

    pub(super) fn unknown_key(&mut self, entry: &Entry, what: &str, known: &[&str]) {
        let message = format!("unknown key \"{}\" in {what}", entry.key);
        let hint = match nearest(&entry.key, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if known.is_empty() => "nothing is allowed here".to_owned(),
            None => format!("known here: {}", known.join(", ")),
        };
        self.error_with("TRN0201", entry.key_span, message, hint);
    }

    /// Whether `node` is a map, of whatever keys.
    pub(super) fn is_map(&mut self, node: &Node, what: &str) -> bool {
        let is = matches!(node.kind, Kind::Object(_));
        if !is {
            self.wrong_type_at_name(node, what, "a map");
        }
        is
    }

    /// Its items, if it is a list.
    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.kind {
            Kind::Array(items) => Some(items),
            _ => {
                self.wrong_type_at_name(node, what, "a list");
                None
            }
        }
    }

    /// Its one member, if it is a map of one key.
    pub(super) fn single<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n Entry> {
        if !self.is_map(node, what) {
            return None;
        }
        match node.entries() {
            [entry] => Some(entry),
            [] => {
                self.error("TRN0205", node.span, format!("{what} must have exactly one key, its name"));
                None
            }
            [_, second, ..] => {
                let hint = "begin a new item with `- ` (is the indentation right?)";
                let message = format!("{what} must have exactly one key, its name; this is another");
                self.error_with("TRN0205", second.key_span, message, hint);
                None
            }
        }
    }

    /// The value of a key that must be there.
    pub(super) fn required<'n>(&mut self, node: &'n Node, key: &str, what: &str) -> Option<&'n Node> {
        let found = node.get(key);
        if found.is_none() {
            self.error("TRN0202", node.name, format!("{what} needs \"{key}\""));
        }
        found
    }

    /// Its text.
    pub(super) fn string<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.kind {
            Kind::String(text, _) => Some(text),
            Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => {
                let raw = self.source.text[node.span.range()].to_owned();
                let message = format!("{what} must be a string, not {}", node.describe());
                self.error_with("TRN0203", node.span, message, format!("quote it: '{raw}'"));
                None
            }
            _ => {
                self.wrong_type_at_name(node, what, "a string");
                None
            }
        }
    }

    /// Its truth value.
    pub(super) fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match node.kind {
            Kind::Bool(value) => Some(value),
            _ => {
                self.wrong_type(node, what, "true or false");
                None
            }
        }
    }

    /// Its whole number between `least` and `most`.
    pub(super) fn integer(&mut self, node: &Node, what: &str, least: i64, most: i64) -> Option<i64> {
        match node.kind {
            Kind::Int(value) if (least..=most).contains(&value) => Some(value),
            Kind::Int(_) => {
                self.error("TRN0208", node.span, format!("{what} must be between {least} and {most}"));
                None
            }
            _ => {
                self.wrong_type(node, what, "a whole number");
                None
            }
        }
    }

    /// One of some words, as its position among them.
    pub(super) fn choice(&mut self, node: &Node, what: &str, words: &[&str]) -> Option<usize> {
        let text = self.string(node, what)?;
        let found = words.iter().position(|w| *w == text);
        if found.is_none() {
            let hint = match nearest(text, words.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("one of: {}", words.join(", ")),
            };
            self.error_with("TRN0208", node.span, format!("\"{text}\" is no {what}"), hint);
        }
        found
    }

    /// Exactly one of some keys, with its value.
    pub(super) fn exactly_one<'n>(&mut self, node: &'n Node, what: &str, keys: &[&str]) -> Option<&'n Entry> {
        let mut present = node.entries().iter().filter(|e| keys.contains(&e.key.as_str()));
        let Some(first) = present.next() else {
            self.error("TRN0202", node.name, format!("{what} needs one of: {}", keys.join(", ")));
            return None;
        };
        if let Some(second) = present.next() {
            let message = format!("{what} takes only one of: {}; \"{}\" is given already", keys.join(", "), first.key);
            self.error("TRN0210", second.key_span, message);
            return None;
        }
        Some(first)
    }

    /// Wrong types of what should be a collection point at the begin only, and of nothing at the key.
    fn wrong_type_at_name(&mut self, node: &Node, what: &str, expected: &str) {
        let span = if matches!(node.kind, Kind::Null) { node.name } else { node.span };
        self.error("TRN0203", span, format!("{what} must be {expected}, not {}", node.describe()));
    }

    /// `metadata` and `tags`: any map.
    pub(super) fn free_map(&mut self, node: Option<&Node>, what: &str) {
        if let Some(node) = node {
            self.is_map(node, what);
        }
    }
}
