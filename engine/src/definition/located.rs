//! A document of plain data that still knows where everything stands: settings, say.

use super::diagnostic::{Diagnostic, Severity};
use super::document::{self, Kind, Limits, Node};
use super::source::{Source, Span};
use crate::value::Value;

/// A YAML or JSON document with its text.
#[derive(Clone, Debug)]
pub struct Located {
    text: String,
    root: Node,
}

/// Which part of a member a finding is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Its key.
    Key,
    /// Its value.
    Value,
}

impl Located {
    /// Reads one document.
    ///
    /// # Errors
    /// It is not YAML or JSON, or exceeds `limits`; with the place.
    pub fn read(text: &str, limits: Limits) -> Result<Located, Box<Diagnostic>> {
        let text = document::prepare(text).into_owned();
        let root = document::parse(&Source::new(&text), limits)?;
        Ok(Located { text, root })
    }

    /// Without the places.
    #[must_use]
    pub fn value(&self) -> Value {
        self.root.to_value()
    }

    /// The text that findings refer to.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A finding about what a JSON Pointer leads to; where that is not there, about the innermost around it.
    #[must_use]
    pub fn finding(
        &self,
        severity: Severity,
        code: &'static str,
        (pointer, part): (&str, Part),
        message: String,
        hint: Option<String>,
    ) -> Diagnostic {
        let span = self.span(pointer, part);
        Diagnostic {
            severity,
            code,
            message,
            place: Source::new(&self.text).place(span),
            span,
            pointer: pointer.to_owned(),
            hint,
            related: Vec::new(),
        }
    }

    fn span(&self, pointer: &str, part: Part) -> Span {
        let mut node = &self.root;
        let mut key = node.span;
        for segment in pointer.split('/').skip(1) {
            match &node.kind {
                Kind::Object(entries) => {
                    let Some(entry) = entries.iter().find(|e| document::escape(&e.key) == segment) else {
                        return node.name;
                    };
                    (node, key) = (&entry.value, entry.key_span);
                }
                Kind::Array(items) => {
                    let Some(item) = segment.parse().ok().and_then(|at: usize| items.get(at)) else { return node.name };
                    (node, key) = (item, item.span);
                }
                _ => return node.name,
            }
        }
        // Nothing is written where null is meant.
        if part == Part::Key || matches!(node.kind, Kind::Null) { key } else { node.span }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_to_its_line_and_column() {
        let text = "server:\n  port: 80\nsources:\n  - name: a\n";
        let located = Located::read(text, Limits::default()).expect("YAML");
        let place = |pointer, part| {
            let place = located.finding(Severity::Error, "TRN0203", (pointer, part), String::new(), None).place;
            (place.line, place.column)
        };
        assert_eq!(place("/server/port", Part::Value), (2, 9));
        assert_eq!(place("/server/port", Part::Key), (2, 3));
        assert_eq!(place("/sources/0/name", Part::Value), (4, 11));
        assert_eq!(place("/server/host", Part::Value), (1, 1));
    }
}
