//! Findings about a definition, and how they are shown.

use std::fmt::Write as _;

use super::source::{Place, Source, Span};

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The definition is refused.
    Error,
    /// It is accepted, but look at it.
    Warning,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// Another place that explains a finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Related {
    /// What is there.
    pub message: String,
    /// Where.
    pub place: Place,
}

/// A finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable code, listed in `docs/language.md`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where, for people and editors.
    pub place: Place,
    /// Where, in bytes.
    pub span: Span,
    /// Where, as a JSON Pointer.
    pub pointer: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Other places that matter.
    pub related: Vec<Related>,
}

impl Diagnostic {
    /// As a compiler shows it: message, place, the line with the words underlined, and the hint. `file` names the text in
    /// the place; `colour` adds ANSI escapes. Ends with a line break.
    #[must_use]
    pub fn render(&self, file: &str, text: &str, colour: bool) -> String {
        let source = Source::new(text);
        let paint = Paint { colour, severity: self.severity };
        let widest = self.related.iter().map(|r| r.place.line).chain([self.place.line]).max().unwrap_or(1);
        let gutter = widest.to_string().len();
        let mut out = String::new();
        let head = format!("{}[{}]", self.severity.name(), self.code);
        let _ = writeln!(out, "{}: {}", paint.strong(&head), self.message);
        let Place { line, column, .. } = self.place;
        let _ = writeln!(out, "{:gutter$}{} {file}:{line}:{column}", "", paint.dim("-->"));
        snippet(&mut out, &source, self.place, gutter, '^', &paint);
        for related in &self.related {
            let Place { line, column, .. } = related.place;
            let _ = writeln!(out, "{:gutter$}{} {}: {file}:{line}:{column}", "", paint.dim("  ="), related.message);
            snippet(&mut out, &source, related.place, gutter, '-', &paint);
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "{:gutter$} {} {hint}", "", paint.dim("= help:"));
        }
        out
    }

    /// As a member of `errors[]` in a problem document.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({
            "severity": self.severity.name(),
            "code": self.code,
            "detail": self.message,
            "pointer": self.pointer,
            "line": self.place.line,
            "column": self.place.column,
            "length": self.place.length,
        });
        if let Some(hint) = &self.hint {
            json["hint"] = hint.as_str().into();
        }
        json
    }
}

/// The line of `place` with a mark under it. Very long lines are cut around the place.
fn snippet(out: &mut String, source: &Source<'_>, place: Place, gutter: usize, mark: char, paint: &Paint) {
    const WIDTH: usize = 160;
    let line = source.line(place.line);
    let column = place.column as usize - 1;
    let skip = if line.chars().count() > WIDTH { column.saturating_sub(WIDTH / 2) } else { 0 };
    let shown: String = line.chars().skip(skip).take(WIDTH).collect();
    // Tabs are kept under the line, so that the mark stays in its column.
    let pad: String = line.chars().skip(skip).take(column - skip).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let length = (place.length as usize).min(WIDTH.saturating_sub(column - skip)).max(1);
    let marks: String = std::iter::repeat_n(mark, length).collect();
    let bar = paint.dim("|");
    let number = place.line;
    let _ = writeln!(out, "{:gutter$} {bar}", "");
    let _ = writeln!(out, "{number:gutter$} {bar} {}", printable(&shown));
    let _ = writeln!(out, "{:gutter$} {bar} {pad}{}", "", paint.strong(&marks));
}

/// `text` without control characters that could drive a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// Whether and how to colour.
struct Paint {
    colour: bool,
    severity: Severity,
}

impl Paint {
    fn strong(&self, text: &str) -> String {
        let code = match self.severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
        };
        self.wrap(code, text)
    }

    fn dim(&self, text: &str) -> String {
        self.wrap("34", text)
    }

    fn wrap(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
